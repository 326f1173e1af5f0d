"""A host of the simulated network: its addresses, and its bound UDP ports.

It knows what is bound where and hands datagrams over in batches; how they travel is in `network`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, final

if TYPE_CHECKING:
    from .clock import Clock


Address = tuple[str, int]

_FIRST_FREE_PORT: Final = 49152
_LAST_PORT: Final = 65535
_WILDCARDS: Final = {4: "0.0.0.0", 6: "::"}

#: The host whose program is running, where that matters (wildcard addresses).
current_host: ContextVar[Host | None] = ContextVar("current_host", default=None)


def normal(address: str) -> str:
    """Return an IP literal in its usual spelling; `ValueError` when it is none."""
    return str(ip_address(address))


def family(address: str) -> int:
    """Return 4 or 6."""
    return 6 if ":" in address else 4


class Datagram(NamedTuple):
    """A datagram as its sender handed it to the network."""

    time: float  #: when it was sent, in virtual seconds
    source: Address
    destination: Address
    data: bytes
    ecn_capable: bool
    fragment: bool = False  #: whether IP may cut it up for a link with a small mtu
    dscp: int = -1  #: the code point that its sender chose for it; -1: that of the socket


class Receiver(Protocol):
    """A program at a port. It must not raise."""

    def receive(self, datagrams: list[bytes], source: Address, congestion_experienced: bool) -> None:
        """Take datagrams that arrived at one instant from one source."""

    def batch_done(self) -> None:
        """Answer: all that arrived at this instant has been handed over."""

    def error(self, destination: Address, error: OSError) -> None:
        """Heed an ICMP message about a datagram to `destination` that was lost."""


@final
class Port:
    """A bound UDP port. `address` is an address of the host, or a wildcard.

    While its receiver is called, `arrived_at` is the address that the datagrams came to.
    """

    __slots__ = ("_arrived", "address", "arrived_at", "host", "is_closed", "number", "receiver")

    def __init__(self, host: Host, address: str, number: int, receiver: Receiver) -> None:
        self.host = host
        self.address = address
        self.number = number
        self.receiver = receiver
        self.arrived_at = address
        self.is_closed = False
        self._arrived: list[tuple[bytes, Address, bool, str]] = []

    def send(
        self,
        data: bytes,
        destination: Address,
        *,
        ecn_capable: bool = False,
        fragment: bool = False,
        local: str = "",
        dscp: int = -1,
    ) -> None:
        """Send a datagram; from `local`, if the port is bound to a wildcard.

        `OSError` when the host has no address of the destination's family, or has no more the one to send from.
        """
        if self.address not in _WILDCARDS.values():
            local = self.address
        elif not local or local in _WILDCARDS.values():
            local = self.host.source_for(destination[0])
        if family(local) != family(destination[0]):
            raise OSError(errno.EAFNOSUPPORT, f"{destination[0]} can't be reached from {local}")
        if local not in self.host.addresses:
            raise OSError(errno.EINVAL, f"{self.host.name} has no address {local} any more")  # as Linux says it
        source = (local, self.number)
        self.host.transmit(Datagram(self.host.clock.now, source, destination, data, ecn_capable, fragment, dscp))

    def arrive(self, data: bytes, source: Address, congestion_experienced: bool, local: str = "") -> None:
        """Take a datagram that came to this address; it is handed over with all others of this instant."""
        if not self._arrived:
            self.host.clock.after(0.0, self._hand_over)
        self._arrived.append((data, source, congestion_experienced, local or self.address))

    def close(self) -> None:
        """Give the port back; what has arrived but was not handed over is lost. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._arrived = []
            self.host.release(self)

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        at = 0
        while at < len(arrived) and not self.is_closed:
            _, source, marked, self.arrived_at = arrived[at]
            start = at
            while at < len(arrived) and arrived[at][1:] == (source, marked, self.arrived_at):
                at += 1
            self.receiver.receive([datagram[0] for datagram in arrived[start:at]], source, marked)
        if not self.is_closed:
            self.receiver.batch_done()


@final
class Host:
    """A host, made by `Network.host`. Addresses can come and go while its ports are bound.

    `on_addresses` are called after each time that one has come or gone.
    """

    __slots__ = ("_next_port", "_ports", "addresses", "clock", "name", "on_addresses", "transmit")

    def __init__(self, name: str, clock: Clock, transmit: Callable[[Datagram], None]) -> None:
        self.name = name
        self.addresses: list[str] = []
        self.clock = clock
        self.on_addresses: list[Callable[[], object]] = []
        self.transmit = transmit
        self._ports: dict[Address, Port] = {}
        self._next_port = _FIRST_FREE_PORT

    def __repr__(self) -> str:
        return f"<Host {self.name}: {', '.join(self.addresses)}>"

    @contextmanager
    def active(self) -> Iterator[Host]:
        """`with host.active():` what runs here, and every task made here, is a program of this host.

        It matters to those that bind a wildcard address, or none; others are known by the address they bind.
        """
        token = current_host.set(self)
        try:
            yield self
        finally:
            current_host.reset(token)

    def change_addresses(self, addresses: list[str]) -> None:
        """Set its addresses. Internal: use the network's methods."""
        self.addresses = addresses
        for callback in list(self.on_addresses):
            callback()

    def bind(self, address: str, number: int, receiver: Receiver) -> Port:
        """Bind a UDP port; number 0 takes a free one. `OSError` when the address isn't ours or the port is taken."""
        address = normal(address)
        if address not in self.addresses and address not in _WILDCARDS.values():
            raise OSError(errno.EADDRNOTAVAIL, f"{self.name} has no address {address}")
        if not 0 <= number <= _LAST_PORT:
            raise ValueError(f"port must be 0 to {_LAST_PORT}, not {number!r}")
        number = number or self._free_port(address)
        if self._is_taken(address, number):
            raise OSError(errno.EADDRINUSE, f"{address} port {number} is in use at {self.name}")
        port = self._ports[address, number] = Port(self, address, number, receiver)
        return port

    def release(self, port: Port) -> None:
        """Forget a bound port."""
        self._ports.pop((port.address, port.number), None)

    def port_at(self, address: str, number: int) -> Port | None:
        """Return the port that gets what is sent to `address` and port `number`."""
        exact = self._ports.get((address, number))
        return exact if exact is not None else self._ports.get((_WILDCARDS[family(address)], number))

    def source_for(self, destination: str) -> str:
        """Return what a wildcard port sends from: the first address of the destination's family, else `OSError`."""
        for address in self.addresses:
            if family(address) == family(destination):
                return address
        raise OSError(errno.ENETUNREACH, f"{self.name} has no address to reach {destination} from")

    def _is_taken(self, address: str, number: int) -> bool:
        return any(
            number == bound_number
            and family(address) == family(bound)
            and (address == bound or address in _WILDCARDS.values() or bound in _WILDCARDS.values())
            for bound, bound_number in self._ports
        )

    def _free_port(self, address: str) -> int:
        for _ in range(_FIRST_FREE_PORT, _LAST_PORT + 1):
            number = self._next_port
            self._next_port = number + 1 if number < _LAST_PORT else _FIRST_FREE_PORT
            if not self._is_taken(address, number):
                return number
        raise OSError(errno.EADDRINUSE, f"{self.name} has no free port")
