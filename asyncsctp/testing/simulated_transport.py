"""A simulated datagram socket as an asyncio transport.

It knows its loop, its protocol and its port in the network. Times, losses and the addresses of others are in `network`.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, Final, final

from ..udp.datagram import DatagramError, PacketTransport
from .host import Address, Host, family, normal

_BUFFER: Final = 1 << 24  # what it says; there is no limit
_QUOTED: Final = 8  # of a packet that can't be sent: SCTP's ports and tag
_LARGEST: Final = 65507  # payload of a UDP datagram


def sockaddr(address: Address) -> tuple[Any, ...]:
    """Return an address as sockets give it: IPv6 with flow label and scope."""
    return (*address, 0, 0) if family(address[0]) == 6 else address


@final
class SimulatedTransport(PacketTransport):
    """A datagram socket of a simulated host, made by `VirtualLoop.open_simulated_datagram`.

    Beside what an `asyncio.DatagramTransport` does it sends batches, and hands them over to protocols that take them: a
    protocol with `datagrams_received(datagrams, addr, congestion_experienced)` gets all datagrams of one instant from
    one source at once (addresses are pairs then, for IPv6 too), and `batch_done()`, if it has it, after the last of
    that instant. The write buffer is always empty: a host hands all to its links, and `pause_writing` is never called.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        host: Host,
        local: Address,
        remote: Address | None = None,
    ) -> None:
        self._loop = loop
        self._context = copy_context()
        self._closing = False
        self._remote = remote
        self._batch: list[tuple[list[bytes], Address, bool, str]] = []
        self.set_protocol(protocol)
        self._port = host.bind(*local, self)
        shaped = sockaddr if self._take_many is None else tuple
        super().__init__(
            {
                "sockname": shaped((self._port.address, self._port.number)),
                "peername": shaped(remote) if remote is not None else None,
                "host": host,
                "ecn": True,
                "rcvbuf": _BUFFER,
                "sndbuf": _BUFFER,
            }
        )

    # asyncio.DatagramTransport

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send a datagram. Errors come to `protocol.error_received`; after `close` it is a no-op."""
        self.send_batch((data,), addr)

    def send_batch(
        self,
        packets: Sequence[bytes | bytearray | memoryview],
        addr: Any = None,
        ecn_capable: bool = False,
        *,
        fragment: bool = False,
        local: str = "",
        dscp: int = -1,
    ) -> None:
        """Send datagrams to one address, in order.

        Those that are `ecn_capable` can be marked instead of dropped; with `fragment` they pass links of a small mtu.
        They leave from `local`, if the socket is bound to a wildcard address.
        """
        if self._closing:
            return
        destination = self._destination(addr)
        for data in packets:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data must be a bytes-like object, not {type(data).__name__}")
            if len(data) > _LARGEST:
                text = f"a datagram has at most {_LARGEST} bytes"
                self.error(destination, DatagramError(errno.EMSGSIZE, text, destination))
                continue
            try:
                self._port.send(
                    bytes(data), destination, ecn_capable=ecn_capable, fragment=fragment, local=local, dscp=dscp
                )
            except OSError as error:
                code, text, quoted = error.errno or 0, str(error.strerror), bytes(data[:_QUOTED])
                self.error(destination, DatagramError(code, text, destination, quoted=quoted))

    def close(self) -> None:
        """Close the socket; `connection_lost` follows."""
        if not self._closing:
            self._closing = True
            self._port.close()
            self._call(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._take_many: Callable[..., object] | None = getattr(protocol, "datagrams_received", None)
        self._take_many_at: Callable[..., object] | None = getattr(protocol, "datagrams_received_at", None)
        self._take_one: Callable[..., object] | None = getattr(protocol, "datagram_received", None)
        self._batch_done: Callable[[], object] | None = getattr(protocol, "batch_done", None)
        self._error_received: Callable[[Exception], object] | None = getattr(protocol, "error_received", None)
        self._send_failed: Callable[[int], object] | None = getattr(protocol, "send_failed", None)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    # host.Receiver

    def receive(self, datagrams: list[bytes], source: Address, congestion_experienced: bool) -> None:
        """Take datagrams from the network."""
        if self._remote is None or source == self._remote:
            self._batch.append((datagrams, source, congestion_experienced, self._port.arrived_at))

    def batch_done(self) -> None:
        """Hand what came at this instant to the protocol, in the loop's next round."""
        if self._batch:
            batch, self._batch = self._batch, []
            self._call(self._hand_over, batch)

    def error(self, destination: Address, error: OSError) -> None:
        """Tell the protocol that what we sent was lost."""
        if self._send_failed is not None and not self._closing:
            self._send_failed(error.errno or 0)
        if self._error_received is not None and not self._closing:
            self._call(self._error_received, error)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        self._loop.call_soon(callback, *args, context=self._context)

    def _destination(self, addr: Any) -> Address:
        if addr is None:
            if self._remote is None:
                raise ValueError("an unconnected transport needs an address to send to")
            return self._remote
        destination = (normal(addr[0]), addr[1])
        if self._remote is not None and destination != self._remote:
            raise ValueError(f"Invalid address: must be None or {self._remote}")
        return destination

    def _hand_over(self, batch: list[tuple[list[bytes], Address, bool, str]]) -> None:
        for datagrams, source, marked, local in batch:
            if self._take_many_at is not None and local != self._port.address:
                self._guarded(self._take_many_at, datagrams, source, marked, local)
            elif self._take_many is not None:
                self._guarded(self._take_many, datagrams, source, marked)
            elif self._take_one is not None:
                for data in datagrams:
                    self._guarded(self._take_one, data, sockaddr(source))
        if self._batch_done is not None:
            self._guarded(self._batch_done)

    def _guarded(self, callback: Callable[..., object], *args: object) -> None:
        """Call the protocol: one datagram that it chokes on must not cost it the others."""
        if self._closing:
            return
        try:
            callback(*args)
        except Exception as error:
            context = {"message": f"Exception in {callback!r}", "exception": error, "transport": self}
            self._loop.call_exception_handler(context | {"protocol": self._protocol})
