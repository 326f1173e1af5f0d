"""The simulated network for core endpoints: no asyncio, only a virtual clock and one event after the other.

It knows how an endpoint is driven: datagrams in, `flush`, outbox out, `expire` when its time has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Final, Protocol, final

from ..association.outbox import Outbox
from ..paths.route import Route
from .clock import DeadlockError, SimulationError, TimeLimitError
from .host import Address, Port, normal
from .network import Network

_STEPS_AT_ONE_INSTANT: Final = 100_000


class CoreEndpoint(Protocol):
    """An endpoint without input and output of its own, as a `Simulation` drives it."""

    outbox: Outbox

    @property
    def next_expiry(self) -> float:
        """The instant at which `expire` is to be called; infinity: not at all."""

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool) -> object:
        """Take a datagram that came in on `route`."""

    def flush(self, now: float) -> None:
        """Put what is to be sent into the outbox: all that came at this instant is in."""

    def expire(self, now: float) -> None:
        """Let the timers run out that are due: the time of `next_expiry` has come. A `flush` follows."""


@final
class _DrivenEndpoint:
    """An endpoint, its ports, and what watches it."""

    def __init__(
        self,
        endpoint: CoreEndpoint,
        udp_port: int,
        check: Callable[[CoreEndpoint], object] | None,
        on_error: Callable[[Route, OSError], object] | None,
    ) -> None:
        self.endpoint = endpoint
        self.udp_port = udp_port
        self.check = check
        self.on_error = on_error
        self.ports: dict[str, Port] = {}

    def flush(self, now: float) -> None:
        """Flush the endpoint, send its outbox, and check it."""
        self.endpoint.flush(now)
        for run in self.endpoint.outbox.take():
            port = self.ports[run.route.local]
            peer = (run.route.address, run.route.udp_port)
            for datagram in run.packets:
                with suppress(OSError):  # its address has been taken away
                    port.send(datagram, peer, ecn_capable=run.ecn_capable, dscp=run.dscp)
        if self.check is not None:
            self.check(self.endpoint)


@final
class _Inlet:
    """The receiver at one local address of an endpoint (`host.Receiver`)."""

    def __init__(self, network: Network, driven: _DrivenEndpoint, local: str) -> None:
        self._network = network
        self._driven = driven
        self._local = local

    def receive(self, datagrams: list[bytes], source: Address, congestion_experienced: bool) -> None:
        route = Route(self._local, *source)
        now = self._network.now
        for datagram in datagrams:
            self._driven.endpoint.receive(datagram, route, now, congestion_experienced)

    def batch_done(self) -> None:
        self._driven.flush(self._network.now)

    def error(self, destination: Address, error: OSError) -> None:
        if self._driven.on_error is not None:
            self._driven.on_error(Route(self._local, *destination), error)
            self._driven.flush(self._network.now)


@final
class Simulation:
    """Drives core endpoints through a `Network`, one event at a time.

    `check`, if given, is called with an endpoint after every event that it took part in, and raises when the endpoint
    is not as it should be. What a test does to an endpoint between steps (connect, send, shut down) leaves at the next.
    """

    __slots__ = ("_at_this_instant", "_driven", "check", "network")

    def __init__(self, network: Network, *, check: Callable[[CoreEndpoint], object] | None = None) -> None:
        self.network = network
        self.check = check
        self._driven: list[_DrivenEndpoint] = []
        self._at_this_instant = 0

    @property
    def now(self) -> float:
        """Virtual seconds since the network was made."""
        return self.network.now

    def add(
        self,
        endpoint: CoreEndpoint,
        addresses: Iterable[str],
        *,
        udp_port: int = 9899,
        check: Callable[[CoreEndpoint], object] | None = None,
        on_error: Callable[[Route, OSError], object] | None = None,
    ) -> None:
        """Put an endpoint on these addresses, at one UDP port.

        Those that no host of the network has yet become the addresses of one new host. `check` overrides that of the
        simulation. `on_error` is told what ICMP reports: the route, and an `OSError` (a `DatagramError`: `errno`, and
        `mtu` for EMSGSIZE).
        """
        addresses = tuple(map(normal, addresses))
        if not addresses:
            raise ValueError("addresses must name at least one")
        unowned = [address for address in addresses if self.network.host_of(address) is None]
        if unowned:
            self.network.host(f"host of {unowned[0]}", *unowned)
        driven = _DrivenEndpoint(endpoint, udp_port, check if check is not None else self.check, on_error)
        self._driven.append(driven)
        for address in addresses:
            self.bind(endpoint, address)

    def bind(self, endpoint: CoreEndpoint, address: str) -> None:
        """Give an endpoint that was added one more address, of a host of the network."""
        address = normal(address)
        host = self.network.host_of(address)
        if host is None:
            raise ValueError(f"no host of the network has the address {address}")
        driven = self._find(endpoint)
        driven.ports[address] = host.bind(address, driven.udp_port, _Inlet(self.network, driven, address))

    def remove(self, endpoint: CoreEndpoint) -> None:
        """Take an endpoint away, without a word to anybody: its host has crashed. Its UDP ports are free again."""
        driven = self._find(endpoint)
        self._driven.remove(driven)
        for port in driven.ports.values():
            port.close()

    def flush(self) -> None:
        """Send what the endpoints have to send now; every step begins with it."""
        for driven in self._driven:
            driven.flush(self.now)

    def step(self) -> bool:
        """Let the next thing happen: one event of the network, or one endpoint's expiry. False when there is none."""
        self.flush()
        return self._step(inf)

    def run_until(self, predicate: Callable[[], object], limit: float = 60.0) -> None:
        """Step until `predicate()` is true.

        `TimeLimitError` if it isn't after `limit` virtual seconds, `DeadlockError` if nothing is left to happen.
        """
        until = self.now + limit
        self.flush()
        while not predicate():
            if not self._step(until):
                if self._next_time() == inf:
                    raise DeadlockError(f"nothing is left to happen at {self.now:.6f} s, and {predicate!r} is not true")
                raise TimeLimitError(f"{predicate!r} is not true after {limit:g} virtual seconds")
            self.flush()

    def run_for(self, seconds: float) -> None:
        """Let all happen that happens in the next `seconds`; afterwards that time has passed."""
        until = self.now + seconds
        self.flush()
        while self._step(until):
            self.flush()
        self.network.clock.advance(until)

    def _find(self, endpoint: CoreEndpoint) -> _DrivenEndpoint:
        for driven in self._driven:
            if driven.endpoint is endpoint:
                return driven
        raise ValueError("that endpoint was not added")

    def _next_time(self) -> float:
        expiries = (driven.endpoint.next_expiry for driven in self._driven)
        return min(self.network.clock.next_time, min(expiries, default=inf))

    def _step(self, until: float) -> bool:
        """Let the next event happen, if it is not after `until`. Packets come before expiries of the same instant."""
        when = self._next_time()
        if when > until or when == inf:
            return False
        clock = self.network.clock
        if when > clock.now:
            self._at_this_instant = 0
            clock.advance(when)
        self._at_this_instant += 1
        if self._at_this_instant > _STEPS_AT_ONE_INSTANT:
            raise SimulationError(f"time stands still at {clock.now:.6f} s: an expiry, or a packet on its way, repeats")
        if clock.run_next():
            return True
        for driven in self._driven:
            if driven.endpoint.next_expiry <= clock.now:
                driven.endpoint.expire(clock.now)
                driven.flush(self.now)
                return True
        return True
