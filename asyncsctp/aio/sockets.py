"""The UDP sockets of an endpoint, one for each of its local addresses.

Knows which socket a packet leaves from, and whether one is full. Does not know what is in a packet.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, cast, final

from ..association.outbox import PacketRun
from ..config import Config
from ..paths.route import Route, is_ipv4, normalize, wildcard_of
from ..tables import NOTHING
from ..udp.datagram import Address, PacketProtocol, PacketTransport
from ..udp.transport import DEFAULT_BUFFER, open_datagram
from ..wire.constants import IPV4_HEADER_SIZE, IPV6_HEADER_SIZE, UDP_HEADER_SIZE
from .flow_control import WaitList

_LARGEST: Final = 65535
_BIND_ATTEMPTS: Final = 16
_ROUTES_KEPT: Final = 4096
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
#: Half of a socket's buffer is for what our window lets the peer send; the kernel needs room beside the data.
_BUFFER_PER_WINDOW: Final = 2
_SMALLEST_WINDOW: Final = 4096  # as of `Config.recv_buffer`


class SocketOwner(Protocol):
    """What sockets tell their `Engine`, where it is documented."""

    def receive(self, datagrams: list[bytes], route: Route, congestion_experienced: bool) -> None: ...
    def flush(self) -> None: ...
    def on_error(self, route: Route, error: OSError) -> None: ...
    def on_socket_lost(self, error: Exception) -> None: ...
    def on_segmentation(self, works: bool) -> None: ...


@final
class _Socket(PacketProtocol):
    """The protocol of one transport: tells where datagrams came from, and how its socket fares."""

    __slots__ = ("_local", "_receiver", "_routes", "_sockets")

    def __init__(self, sockets: Sockets, receiver: SocketOwner, local: str) -> None:
        self._sockets = sockets
        self._receiver = receiver
        self._routes: dict[object, Route] = {}  # by where packets come from, and to where if that differs
        self._local = local

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A simulated one is no subclass of ours.
        self._sockets.by_local[self._local] = cast("PacketTransport", transport)
        self._sockets.note_segmentation()

    def _route(self, key: object, addr: Address, local: str) -> Route:
        """Return the route from an address to one of ours: always the same object, so that comparing is cheap."""
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            # The system spells IPv4 as we do; and whoever floods us has a new address each time.
            address = addr[0] if is_ipv4(addr[0]) else normalize(addr[0])
            ours = local if local is self._local else normalize(local)
            route = self._routes[key] = Route(ours, address, addr[1])
        return route

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        self._receiver.receive(datagrams, self._route(addr, addr, self._local), congestion_experienced)

    def datagrams_received_at(
        self, datagrams: list[bytes], addr: Address, congestion_experienced: bool, local: str
    ) -> None:
        self._receiver.receive(datagrams, self._route((addr, local), addr, local), congestion_experienced)

    def batch_done(self) -> None:
        self._receiver.flush()

    def error_received(self, exc: Exception) -> None:
        address: Address | None = getattr(exc, "address", None)
        if isinstance(exc, OSError) and address is not None:
            self._receiver.on_error(self._route(address, address, self._local), exc)

    def segmentation_changed(self, works: bool) -> None:
        self._sockets.note_segmentation()

    def send_failed(self, code: int) -> None:
        self._sockets.note_failures(code, 1)

    def is_expendable(self) -> bool:
        return self._sockets.are_expendable

    def pause_writing(self) -> None:
        if not self._sockets.full:
            self._sockets.full = {}
        self._sockets.full[self._local] = None

    def resume_writing(self) -> None:
        if self._local in self._sockets.full:
            del self._sockets.full[self._local]
            self._receiver.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sockets.on_closed(self._local)
        if exc is not None:
            self._receiver.on_socket_lost(exc)


@final
class Sockets:
    """All sockets of an endpoint."""

    def __init__(
        self, receiver: SocketOwner, config: Config, open_socket: Callable[[Address, int], socket.socket]
    ) -> None:
        """`open_socket` binds one, as that of `udp.options` does; `config` has what it is to be like."""
        self._receiver = receiver
        self._buffer = max(DEFAULT_BUFFER, config.recv_buffer)
        self._dscp = config.dscp
        self._ecn = config.ecn
        self._open_socket = open_socket
        self._narrow: dict[str, int] = NOTHING  # the largest datagrams that go whole, by the peer's address
        self._leaving: dict[str, PacketTransport] = NOTHING  # removed, and not closed yet
        self._gone = WaitList()
        self.by_local: dict[str, PacketTransport] = {}
        self.failures: dict[str, int] = {}  # of sends, by the name of the error
        self.full: dict[str, None] = NOTHING  # the local addresses of those that take no more for now
        self.are_expendable = False  # nobody has to close them

    @property
    def is_full(self) -> bool:
        """Whether none of them takes more. While one does, its paths go on, and take over what waits at the others."""
        return len(self.full) > 0 and len(self.full) >= len(self.by_local)

    async def bind(self, addresses: Sequence[str], udp_port: int) -> None:
        """Bind one for each address, all at the same UDP port: the peer takes it to be that of every address.

        `OSError` if an address or the port can't be had; "::" beside another address may be missing.
        """
        for attempt in range(_BIND_ATTEMPTS):
            number = udp_port
            address = ""
            try:
                for address in addresses:
                    number = await self._open(address, number)
            except OSError as exc:
                if address == "::" and len(addresses) > 1 and exc.errno in _NO_IPV6:
                    return
                self.close()
                await self.wait_closed()
                # A free port at the first address may be taken at the next.
                if exc.errno != errno.EADDRINUSE or udp_port or len(addresses) == 1 or attempt + 1 == _BIND_ATTEMPTS:
                    raise
            else:
                return

    async def add(self, address: str) -> None:
        """Bind one more, at the UDP port of the others; where a socket of all addresses serves, see that it can.

        `OSError` if the address can't be had; then nothing has changed.
        """
        if address in self.by_local:
            return
        while address in self._leaving:
            self._leaving[address].abort()
            await self._gone.wait()
        if self._at(address) is None:
            await self._open(address, self.udp_port)
        else:
            (await open_datagram(PacketProtocol, (address, 0))).close()

    async def _open(self, address: str, udp_port: int) -> int:
        """Bind one, and return its UDP port."""
        transport = await open_datagram(
            partial(_Socket, self, self._receiver, address),
            (address, udp_port),
            buffer=self._buffer,
            dscp=self._dscp,
            ecn=self._ecn,
            open_socket=self._open_socket,
        )
        number: int = transport.get_extra_info("sockname")[1]
        return number

    def remove(self, address: str) -> bool:
        """Close the socket of an address, if it has one and that is not the last; return whether that was done.

        What waits in it, because it is full, is sent first, as far as that can be.
        """
        transport = self.by_local.get(address)
        if transport is None or len(self.by_local) == 1:
            return False
        del self.by_local[address]
        self._leaving = self._leaving | {address: transport}
        self.note_segmentation()
        transport.close()
        self.full.pop(address, None)
        self._receiver.flush()  # it may have been the full one that others waited for
        return True

    def on_closed(self, local: str) -> None:
        """Forget a transport that is closed at the end of this turn of the loop."""
        if local in self.by_local:  # it has failed
            del self.by_local[local]
            self.note_segmentation()
        else:
            self._leaving.pop(local, None)
        self.full.pop(local, None)
        self._gone.wake()

    def note_segmentation(self) -> None:
        """Say whether all of them send several packets of one size in one system call (UDP GSO)."""
        self._receiver.on_segmentation(
            all(transport.get_extra_info("gso", False) for transport in self.by_local.values())
        )

    def note_failures(self, code: int, count: int) -> None:
        """Count packets that were refused, or had to wait."""
        name = errno.errorcode.get(code, str(code))
        self.failures[name] = self.failures.get(name, 0) + count

    @property
    def udp_port(self) -> int:
        """The UDP port of all of them; 0 once they are closed."""
        for transport in self.by_local.values():
            port: int = transport.get_extra_info("sockname")[1]
            return port
        return 0

    def window(self, wanted: int) -> int:
        """Return the receive window that the sockets have space for: `wanted`, or less, but not too small for one."""
        granted: list[int | None] = [self.info(local, "rcvbuf") for local in self.by_local]
        return max(_SMALLEST_WINDOW, min([wanted, *(size // _BUFFER_PER_WINDOW for size in granted if size)]))

    def send(self, runs: list[PacketRun]) -> None:
        """Send what was in the outbox."""
        for run in runs:
            route, packets = run.route, run.packets
            transport = self.by_local.get(route.local)
            local = ""
            if transport is None:
                local = route.local
                transport = self._at(local)
                if transport is None:
                    self.note_failures(errno.EADDRNOTAVAIL, len(packets))
                    continue
            addr = (route.address, route.udp_port)
            limit = self._narrow.get(route.address, _LARGEST) if self._narrow else _LARGEST
            if limit < _LARGEST and max(map(len, packets)) > limit:
                for packet in packets:
                    fragment = len(packet) > limit
                    transport.send_batch([packet], addr, run.ecn_capable, fragment=fragment, local=local, dscp=run.dscp)
            elif local or run.dscp >= 0:
                transport.send_batch(packets, addr, run.ecn_capable, local=local, dscp=run.dscp)
            else:
                transport.send_batch(packets, addr, run.ecn_capable)

    def narrow(self, address: str, mtu: int) -> None:
        """Send what is larger than this to an address in IP fragments, for what was cut for a larger MTU.

        Chunks that were sent keep their size (RFC 9260 section 6.9).
        """
        if not 0 < len(self._narrow) < _ROUTES_KEPT:
            self._narrow = {}
        headers = (IPV4_HEADER_SIZE if is_ipv4(address) else IPV6_HEADER_SIZE) + UDP_HEADER_SIZE
        self._narrow[address] = min(mtu - headers, self._narrow.get(address, mtu))

    def widen(self, address: str) -> None:
        """Send nothing to an address in fragments any more, as the user says."""
        self._narrow.pop(address, None)

    def inject(self, local: str, data: bytes, addr: Address) -> None:
        """Take in a datagram that came to a local address by another way."""
        if self._at(local) is not None:
            self._receiver.receive([data], Route(local, normalize(addr[0]), addr[1]), False)
            self._receiver.flush()

    def _at(self, local: str) -> PacketTransport | None:
        """Return the transport of a local address: its own, or that of all addresses."""
        transport = self.by_local.get(local)
        return transport if transport is not None else self.by_local.get(wildcard_of(local))

    def info(self, local: str, name: str, default: Any = None) -> Any:
        """Return `get_extra_info` of the transport at a local address."""
        transport = self._at(local)
        return default if transport is None else transport.get_extra_info(name, default)

    def all_there_are(self) -> tuple[Any, ...]:
        """Return the sockets themselves, where the transports have real ones."""
        found = (transport.get_extra_info("socket") for transport in self.by_local.values())
        return tuple(sock for sock in found if sock is not None)

    def close(self) -> None:
        """Close all of them; what waits in a full one is sent first, as far as that can be."""
        closing, self.by_local = self.by_local, {}
        self._leaving = self._leaving | closing
        for transport in closing.values():
            transport.close()

    async def wait_closed(self) -> None:
        """Wait until they are closed, and their UDP port is free again."""
        while self.by_local or self._leaving:
            await self._gone.wait()
