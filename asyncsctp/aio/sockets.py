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


class Receiver(Protocol):
    """Who gets what the sockets have."""

    def receive(self, datagrams: list[bytes], route: Route, congestion_experienced: bool) -> None:
        """Datagrams came in."""

    def flush(self) -> None:
        """No more for now, or a full socket has room again."""

    def on_error(self, route: Route, error: OSError) -> None:
        """A packet was too large, or could not be delivered."""

    def on_socket_lost(self, error: Exception) -> None:
        """A socket has failed."""

    def on_segmentation(self, works: bool) -> None:
        """Each of the sockets sends trains of packets in one system call; or there is one that does not."""


@final
class _Socket(PacketProtocol):
    """One socket as its transport sees it."""

    __slots__ = ("_is_full", "_receiver", "_routes", "_routes_at", "_sockets", "local", "segments", "transport")

    def __init__(self, sockets: Sockets, receiver: Receiver, local: str) -> None:
        self._sockets = sockets
        self._receiver = receiver
        self._routes: dict[Address, Route] = {}
        self._routes_at: dict[tuple[Address, str], Route] = NOTHING
        self._is_full = False
        self.segments = False
        self.local = local
        self.transport: PacketTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("PacketTransport", transport)  # a simulated one is no subclass of ours
        self._sockets.by_local[self.local] = self
        self.segmentation_changed(self.transport.get_extra_info("gso", False))

    def route_from(self, addr: Address) -> Route:
        """The route of what comes from an address: one object each, so that comparing is cheap."""
        route = self._routes.get(addr)
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            # The system spells IPv4 as we do; and whoever floods us has a new address each time.
            address = addr[0] if is_ipv4(addr[0]) else normalize(addr[0])
            route = self._routes[addr] = Route(self.local, address, addr[1])
        return route

    def route_at(self, addr: Address, local: str) -> Route:
        """The same for what came to a local address, where the socket is bound to all."""
        key = (addr, local)
        route = self._routes_at.get(key)
        if route is None:
            if not 0 < len(self._routes_at) < _ROUTES_KEPT:
                self._routes_at = {}
            address = addr[0] if is_ipv4(addr[0]) else normalize(addr[0])
            route = self._routes_at[key] = Route(normalize(local), address, addr[1])
        return route

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        self._receiver.receive(datagrams, self.route_from(addr), congestion_experienced)

    def datagrams_received_at(
        self, datagrams: list[bytes], addr: Address, congestion_experienced: bool, local: str
    ) -> None:
        self._receiver.receive(datagrams, self.route_at(addr, local), congestion_experienced)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._receiver.receive([data], self.route_from(addr), False)
        self._receiver.flush()

    def batch_done(self) -> None:
        self._receiver.flush()

    def error_received(self, exc: Exception) -> None:
        address: Address | None = getattr(exc, "address", None)
        if isinstance(exc, OSError) and address is not None:
            self._receiver.on_error(self.route_from(address), exc)

    def segmentation_changed(self, works: bool) -> None:
        self.segments = works
        self._sockets.note_segmentation()

    def send_failed(self, code: int) -> None:
        self._sockets.note_failures(code, 1)

    def is_expendable(self) -> bool:
        return self._sockets.are_expendable

    def pause_writing(self) -> None:
        self._is_full = True
        self._sockets.paused += 1

    def resume_writing(self) -> None:
        if self.forget_full():
            self._receiver.flush()

    def forget_full(self) -> bool:
        """It is full no more, or of no interest any more; whether it was."""
        if not self._is_full:
            return False
        self._is_full = False
        self._sockets.paused -= 1
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._sockets.on_closed(self)
        if exc is not None:
            self._receiver.on_socket_lost(exc)


@final
class Sockets:
    """All sockets of an endpoint."""

    __slots__ = ("_gone", "_leaving", "_narrow", "_receiver", "are_expendable", "by_local", "failures", "paused")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._narrow: dict[str, int] = NOTHING
        self._leaving: dict[str, _Socket] | None = None  # removed, and not closed yet
        self._gone: WaitList | None = None
        self.by_local: dict[str, _Socket] = {}
        self.failures: dict[str, int] = {}  # of sends, by the name of the error
        self.paused = 0  # how many of them are full
        self.are_expendable = False  # nobody has to close them

    @property
    def is_full(self) -> bool:
        """Whether none of them has room. While one has, its paths go on, and take over what waits at the others."""
        return self.paused > 0 and self.paused >= len(self.by_local)

    async def bind(
        self,
        addresses: Sequence[str],
        udp_port: int,
        config: Config,
        open_socket: Callable[[Address, int], socket.socket],
    ) -> None:
        """Bind one for each address, all at the same UDP port: the peer takes it to be that of every address.

        `OSError` if an address or the port can't be had; "::" beside another address may be missing.
        """
        for attempt in range(_BIND_ATTEMPTS):
            number = udp_port
            address = ""
            try:
                for address in addresses:
                    number = await self._open(address, number, config, open_socket)
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

    async def add(self, address: str, config: Config, open_socket: Callable[[Address, int], socket.socket]) -> None:
        """Bind one more, at the UDP port of the others; where a socket of all addresses serves, see that it can.

        `OSError` if the address can't be had; then nothing has changed.
        """
        if address in self.by_local:
            return
        while self._leaving is not None and address in self._leaving:
            self._leaving[address].transport.abort()
            await self._next_gone()
        if self._at(address) is None:
            await self._open(address, self.udp_port, config, open_socket)
        else:
            (await open_datagram(PacketProtocol, (address, 0))).close()

    async def _open(
        self, address: str, udp_port: int, config: Config, open_socket: Callable[[Address, int], socket.socket]
    ) -> int:
        """Bind one; its UDP port."""
        transport = await open_datagram(
            partial(_Socket, self, self._receiver, address),
            (address, udp_port),
            buffer=max(DEFAULT_BUFFER, config.recv_buffer),
            dscp=config.dscp,
            ecn=config.ecn,
            open_socket=open_socket,
        )
        number: int = transport.get_extra_info("sockname")[1]
        return number

    def remove(self, address: str) -> bool:
        """Close the socket of an address, if it has one and that is not the last; whether that was done.

        What waits in it, because it is full, is sent first, as far as that can be.
        """
        sock = self.by_local.get(address)
        if sock is None or len(self.by_local) == 1:
            return False
        del self.by_local[address]
        if self._leaving is None:
            self._leaving = {}
        self._leaving[address] = sock
        self.note_segmentation()
        sock.transport.close()
        sock.forget_full()
        self._receiver.flush()  # it may have been the full one that others waited for
        return True

    def on_closed(self, sock: _Socket) -> None:
        """A socket is closed at the end of this turn of the loop."""
        if self.by_local.get(sock.local) is sock:  # it has failed
            del self.by_local[sock.local]
            sock.forget_full()
            self.note_segmentation()
        elif self._leaving is not None and self._leaving.get(sock.local) is sock:
            del self._leaving[sock.local]
        if self._gone is not None:
            self._gone.wake()

    async def _next_gone(self) -> None:
        if self._gone is None:
            self._gone = WaitList()
        await self._gone.wait()

    def note_segmentation(self) -> None:
        """Say whether all of them send trains."""
        self._receiver.on_segmentation(all(sock.segments for sock in self.by_local.values()))

    def note_failures(self, code: int, count: int) -> None:
        """So many packets were refused, or had to wait."""
        name = errno.errorcode.get(code, str(code))
        self.failures[name] = self.failures.get(name, 0) + count

    @property
    def udp_port(self) -> int:
        """The UDP port of all of them; 0 once they are closed."""
        for sock in self.by_local.values():
            port: int = sock.transport.get_extra_info("sockname")[1]
            return port
        return 0

    def window(self, wanted: int) -> int:
        """The receive window that the sockets have room for: `wanted`, or less, but never less than a window may be."""
        granted: list[int | None] = [self.info(local, "rcvbuf") for local in self.by_local]
        return max(_SMALLEST_WINDOW, min([wanted, *(size // _BUFFER_PER_WINDOW for size in granted if size)]))

    def send(self, runs: list[PacketRun]) -> None:
        """Send what was in the outbox."""
        for run in runs:
            route, packets = run.route, run.packets
            sock = self.by_local.get(route.local)
            local = ""
            if sock is None:
                local = route.local
                sock = self._at(local)
                if sock is None:
                    self.note_failures(errno.EADDRNOTAVAIL, len(packets))
                    continue
            addr = (route.address, route.udp_port)
            limit = self._narrow.get(route.address, _LARGEST) if self._narrow else _LARGEST
            if limit < _LARGEST and max(map(len, packets)) > limit:
                for packet in packets:
                    fragment = len(packet) > limit
                    sock.transport.send_batch(
                        [packet], addr, run.ecn_capable, fragment=fragment, local=local, dscp=run.dscp
                    )
            elif local or run.dscp >= 0:
                sock.transport.send_batch(packets, addr, run.ecn_capable, local=local, dscp=run.dscp)
            else:
                sock.transport.send_batch(packets, addr, run.ecn_capable)

    def narrow(self, address: str, mtu: int) -> None:
        """The way to an address takes no more than this at a time: what was cut for more goes in IP fragments.

        RFC 9260 section 6.9: chunks that were sent keep their size.
        """
        if not 0 < len(self._narrow) < _ROUTES_KEPT:
            self._narrow = {}
        headers = (IPV4_HEADER_SIZE if is_ipv4(address) else IPV6_HEADER_SIZE) + UDP_HEADER_SIZE
        self._narrow[address] = min(mtu - headers, self._narrow.get(address, mtu))

    def widen(self, address: str) -> None:
        """It takes more again: the user says so."""
        self._narrow.pop(address, None)

    def inject(self, local: str, data: bytes, addr: Address) -> None:
        """A datagram came to a local address by another way."""
        sock = self._at(local)
        if sock is not None:
            sock.datagram_received(data, addr)

    def _at(self, local: str) -> _Socket | None:
        """The socket of a local address: its own, or that of all addresses."""
        sock = self.by_local.get(local)
        return sock if sock is not None else self.by_local.get(wildcard_of(local))

    def info(self, local: str, name: str, default: Any = None) -> Any:
        """`get_extra_info` of the transport at a local address."""
        sock = self._at(local)
        return default if sock is None else sock.transport.get_extra_info(name, default)

    def all_there_are(self) -> tuple[Any, ...]:
        """The sockets themselves, where the transports have real ones."""
        found = (self.info(local, "socket") for local in self.by_local)
        return tuple(sock for sock in found if sock is not None)

    def close(self) -> None:
        """Close all of them; what waits in a full one is sent first, as far as that can be."""
        closing, self.by_local = self.by_local, {}
        self._leaving = (self._leaving or {}) | closing
        for sock in closing.values():
            sock.transport.close()

    async def wait_closed(self) -> None:
        """Until they are closed, and their UDP port is free again."""
        while self.by_local or self._leaving:
            await self._next_gone()
