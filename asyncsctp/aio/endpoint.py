"""One SCTP port with its UDP sockets: moves packets between these and the core, and calls the core in time.

Knows sockets, the clock and the loop. What the packets mean is the core's business, what the messages mean the user's.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from socket import AF_UNSPEC
from types import TracebackType
from typing import Any, Final, cast, final

from ..association import Association as Core, AssociationUser
from ..config import Config
from ..endpoint import Endpoint as CoreEndpoint
from ..errors import AssociationClosed
from ..paths.encapsulation import Route, normalize
from ..wire.constants import UDP_PORT
from .association import Association
from .datagram import Address, PacketProtocol, PacketTransport
from .driver import Driver
from .flow_control import Turn, WaitList
from .resolve import Opening, peer_candidates, race
from .transport import DEFAULT_BUFFER, open_datagram

__all__ = ["Endpoint"]

_BACKLOG: Final = 128
_BIND_ATTEMPTS: Final = 16
_ROUTES_KEPT: Final = 4096
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_FREE_PORTS: Final = (49152, 65535)
#: Written so much in one turn of the loop: it goes to the network at once, and is on its way while the program writes
on. _FLUSH_AT: Final = 64 * 1024 #: A socket takes some room beside the data: half of its buffer is for what our window
lets the peer send. _BUFFER_PER_WINDOW: Final = 2


@final
class _SystemRandom:
    """The system's source of randomness."""

    def bits(self, count: int) -> int:
        return secrets.randbits(count)

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


@final
class _Socket(PacketProtocol):
    """One UDP socket of an endpoint, bound to one local address."""

    __slots__ = ("_endpoint", "_routes", "is_paused", "local", "transport")

    def __init__(self, endpoint: Endpoint, local: str) -> None:
        self._endpoint = endpoint
        self._routes: dict[Address, Route] = {}
        self.local = local
        self.transport: PacketTransport
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("PacketTransport", transport)  # a simulated one is no subclass of ours
        self._endpoint.add_socket(self)

    def route_from(self, addr: Address) -> Route:
        """The route of what comes from an address: one object each, so that comparing is cheap."""
        route = self._routes.get(addr)
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            route = self._routes[addr] = Route(self.local, normalize(addr[0]), addr[1])
        return route

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        self._endpoint.receive(datagrams, self.route_from(addr), congestion_experienced)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._endpoint.receive([data], self.route_from(addr), False)
        self._endpoint.flush()

    def batch_done(self) -> None:
        self._endpoint.flush()

    def error_received(self, exc: Exception) -> None:
        self._endpoint.on_error(self, exc)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self._endpoint.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.on_socket_lost(exc)


@final
class Endpoint:
    """One SCTP port with all of its associations, on one UDP socket for each local address: the one-to-many form.

    Made by `open_endpoint`. Leaving it as a context manager closes it, or aborts its associations when an exception
    leaves.
    """

    __slots__ = (
        "__weakref__",
        "_accept_turn",
        "_accepted",
        "_associations",
        "_changes",
        "_closes_when_idle",
        "_core",
        "_flush_handle",
        "_guard",
        "_handle",
        "_handle_at",
        "_is_closed",
        "_loop",
        "_outbox",
        "_slack",
        "_sockets",
        "_unflushed",
        "config",
        "now",
        "on_accept",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        self._loop = loop
        self.config = config
        self._core: CoreEndpoint
        self._sockets: dict[str, _Socket] = {}
        self._outbox: list[tuple[Route, bytes]] = []
        self._associations: dict[Association, None] = {}
        self._accepted: deque[Association] = deque()
        self._accept_turn = Turn("accept()")
        self._changes = WaitList()
        self._flush_handle: asyncio.Handle | None = None
        self._unflushed = 0
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = inf
        self._guard: AsyncGenerator[None, None] | None = None
        self._is_closed = False
        #: The sockets go when the last association has: that of `connect`, and a server's after `close`.
        self._closes_when_idle = False
        #: Who gets the associations that peers set up; None: `accept`.
        self.on_accept: Callable[[Association], object] | None = None
        # The time of uvloop has a resolution of 1 ms, and its timers may fire that much early.
        is_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
        self.now: Callable[[], float] = time.monotonic if is_uvloop else loop.time
        self._slack = 0.001 if is_uvloop else 0.0

    @classmethod
    async def open(
        cls,
        local_addrs: Iterable[str],
        port: int,
        udp_port: int,
        config: Config,
        *,
        listening: bool = False,
        limit: int | None = None,
    ) -> Endpoint:
        """Bind the sockets. `OSError` if that fails, `ValueError` for what is no address or no port."""
        loop = asyncio.get_running_loop()
        for name, number in (("port", port), ("udp_port", udp_port)):
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} must be an int, not {number!r}")
            if not 0 <= number <= 65535:
                raise ValueError(f"{name} must be between 0 and 65535, not {number}")
        addresses = tuple(dict.fromkeys(map(normalize, local_addrs)))
        if not addresses:
            raise ValueError("local_addrs must name at least one address, or be None")
        endpoint = cls(loop, config)
        await endpoint._bind(addresses, udp_port)
        granted = [endpoint.socket_info(local, "rcvbuf", None) for local in endpoint._sockets]
        window = min((size // _BUFFER_PER_WINDOW for size in granted if size), default=config.recv_buffer)
        endpoint.config = config.replace(recv_buffer=max(4096, min(config.recv_buffer, window)))
        endpoint._core = CoreEndpoint(
            endpoint.config,
            port=port or secrets.randbelow(_FREE_PORTS[1] - _FREE_PORTS[0] + 1) + _FREE_PORTS[0],
            local_addresses=tuple(endpoint._sockets),
            random=_SystemRandom(),
            outbox=endpoint._outbox,
            listening=listening,
            accept=endpoint._accept if listening else None,
            limit=limit,
        )
        endpoint._guard = endpoint._until_loop_ends()
        await anext(endpoint._guard)
        return endpoint

    async def _bind(self, addresses: Sequence[str], udp_port: int) -> None:
        """All sockets at the same UDP port: the peer takes it to be that of all addresses (RFC 6951 section 5.1)."""
        for attempt in range(_BIND_ATTEMPTS):
            number = udp_port
            try:
                for address in addresses:
                    transport = await open_datagram(
                        partial(_Socket, self, address),
                        (address, number),
                        buffer=max(DEFAULT_BUFFER, self.config.recv_buffer),
                        dscp=self.config.dscp,
                        ecn=self.config.ecn,
                    )
                    number = transport.get_extra_info("sockname")[1]
            except OSError as exc:
                self._close_sockets()
                self._sockets.clear()
                if address == "::" and len(addresses) > 1 and exc.errno in _NO_IPV6:
                    return await self._bind(addresses[:-1], udp_port)
                # A free port at the first address may be taken at the next.
                if exc.errno != errno.EADDRINUSE or udp_port or len(addresses) == 1 or attempt + 1 == _BIND_ATTEMPTS:
                    raise
            else:
                return

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        """`loop.shutdown_asyncgens` ends it with the loop: the last chance to tell the peers of a program that forgot
        to.
        """
        try:
            yield
        finally:
            if not self._is_closed:
                self.abort()

    # Public.

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return list(self._associations)

    @property
    def port(self) -> int:
        """The SCTP port."""
        return self._core.port

    @property
    def udp_port(self) -> int:
        """The UDP port of its sockets."""
        for local in self._sockets:
            number: int = self.socket_info(local, "sockname", (local, 0))[1]
            return number
        return 0

    @property
    def local_addrs(self) -> tuple[str, ...]:
        """The local addresses, one for each UDP socket."""
        return tuple(self._sockets)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The UDP sockets, where the transport has real ones."""
        found = (self.socket_info(local, "socket", None) for local in self._sockets)
        return tuple(sock for sock in found if sock is not None)

    @property
    def statistics(self) -> Any:
        """Counters of handshakes, and of packets that belong to no association."""
        return self._core.statistics

    def connect(
        self,
        host: str | Sequence[str],
        port: int,
        *,
        udp_port: int = UDP_PORT,
        config: Config | None = None,
        family: int = AF_UNSPEC,
    ) -> Opening[Association]:
        """Set up an association from this port; awaitable, or a context manager. See `asyncsctp.connect`.

        `config` is for this association; its `dscp` and the sockets' buffers stay those of the endpoint.
        """

        async def open_() -> Association:
            candidates = await peer_candidates(host, family)
            return await race([partial(self.associate, peers, port, udp_port, config) for peers in candidates])

        return Opening(open_)

    async def accept(self) -> Association:
        """The next association that a peer has set up. At most 128 wait for this; more are refused.

        `AssociationClosed` once the endpoint is closed; `RuntimeError` if another coroutine is waiting already.
        """
        self._accept_turn.claim()
        while not self._accepted:
            if self._is_closed or not self._core.listening:
                raise AssociationClosed("the endpoint has been closed")
            await self._accept_turn.wait()
        return self._accepted.popleft()

    async def close(self) -> None:
        """Take no more associations, shut those down that there are (see `Association.close`), and close the sockets.
        """
        self.stop_listening()
        self._closes_when_idle = True
        if self._associations:
            await asyncio.gather(*(association.close() for association in self._associations))
        self._close()

    def abort(self) -> None:
        """Abort all associations, and close the sockets."""
        for association in list(self._associations):
            association.abort()
        self._close()

    async def wait_closed(self) -> None:
        """Until the sockets are closed."""
        while not self._is_closed:
            await self._changes.wait()

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self.abort()
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._associations)} associations"
        return f"<Endpoint {', '.join(self._sockets)} port {self.port}: {state}>"

    # What the sockets, the drivers and the clock call.

    def receive(self, datagrams: list[bytes], route: Route, congestion_experienced: bool) -> None:
        """Datagrams came in; `flush` follows."""
        now = self.now()
        receive = self._core.receive
        for datagram in datagrams:
            receive(datagram, route, now, congestion_experienced)

    def receive_at(self, local: str, data: bytes, addr: Address) -> None:
        """A datagram came to one local address by another way than our sockets."""
        self._sockets[local].datagram_received(data, addr)

    def flush(self, core: Core | None = None) -> None:
        """Send what is to be sent, of this association and of all that have been touched; and set the timer.

        While a socket is full nothing is taken from the core: there it waits in order, and retransmissions don't pile
        up.
        """
        if core is not None:
            self._core.touch(core)
        if any(sock.is_paused for sock in self._sockets.values()):
            return
        self._unflushed = 0
        self._core.flush(self.now())
        if self._outbox:
            self._transmit()
        self._arm()

    def flush_soon(self, core: Core, size: int = 0) -> None:
        """`flush` at the end of this turn of the loop, together with what else is written in it."""
        self._core.touch(core)
        self._unflushed += size
        if self._unflushed >= _FLUSH_AT:
            self.flush()
        elif self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self._flush_written)

    def _flush_written(self) -> None:
        self._flush_handle = None
        self.flush()

    def _transmit(self) -> None:
        """Empty the outbox: what follows one another on one route goes to its socket in one piece."""
        outbox = self._outbox
        at = 0
        count = len(outbox)
        while at < count:
            route, packet = outbox[at]
            packets = [packet]
            at += 1
            while at < count and outbox[at][0] is route:
                packets.append(outbox[at][1])
                at += 1
            sock = self._sockets.get(route.local)
            if sock is not None:
                sock.transport.send_batch(packets, (route.address, route.udp_port), route.ecn_capable)
        outbox.clear()

    def _arm(self) -> None:
        """One handle for all timers; it is only moved to an earlier time, and looks again when it comes too soon."""
        when = self._core.next_expiry
        if when < self._handle_at and not self._is_closed:
            if self._handle is not None:
                self._handle.cancel()
            self._handle_at = when
            self._handle = self._loop.call_at(when + self._slack, self._expire)

    def _expire(self) -> None:
        self._handle = None
        self._handle_at = inf
        now = self.now()
        if self._core.next_expiry <= now:
            self._core.expire(now)
        self.flush()

    def on_error(self, sock: _Socket, error: Exception) -> None:
        """A packet was too large, or ICMP says that it did not arrive: of interest to associations, and never fatal."""
        address: Address | None = getattr(error, "address", None)
        if not isinstance(error, OSError) or address is None:
            return
        route = sock.route_from(address)
        now = self.now()
        for core in self._concerned(route, getattr(error, "quoted", b"")):
            mtu: int | None = getattr(error, "mtu", None)
            if mtu is not None:
                core.on_message_size(route, mtu, now)
            elif error.errno != errno.EMSGSIZE:
                core.on_unreachable(route, now)
            self._core.touch(core)
        self.flush()

    def _concerned(self, route: Route, quoted: bytes) -> list[Core]:
        """The associations that an ICMP message is about. RFC 9260 section 10: the tag it quotes tells it from a forged
        one.
        """
        if len(quoted) < 8:
            found = (association.core for association in self._associations)
            return [core for core in found if core.path_manager.find(route.address) is not None]
        core = self._core.find(route.address, int.from_bytes(quoted[2:4]))
        # A packet with tag 0 holds an INIT, whose initiate tag is ours.
        tag, initiate_tag = int.from_bytes(quoted[4:8]), int.from_bytes(quoted[16:20])
        if core is None or not (tag == core.context.peer_tag if tag else initiate_tag == core.context.local_tag):
            return []
        return [core]

    def add_socket(self, sock: _Socket) -> None:
        """A socket is bound."""
        self._sockets[sock.local] = sock

    def on_socket_lost(self, exc: Exception | None) -> None:
        """A socket is closed; `exc` if not by us."""
        if exc is not None:
            for association in list(self._associations):
                association.connection_lost(exc)

    def close_when_idle(self) -> None:
        """Close the sockets once the last association has ended."""
        self._closes_when_idle = True
        if not self._associations:
            self._loop.call_soon(self._close)

    def on_closed(self, association: Association) -> None:
        """An association has ended; its last packet may still have to be sent."""
        self._associations.pop(association, None)
        if association in self._accepted:
            self._accepted.remove(association)
        if self._closes_when_idle and not self._associations:
            self._loop.call_soon(self._close)

    def stop_listening(self) -> None:
        """Refuse new associations from now on."""
        self._core.listening = False
        self._accept_turn.wake()

    def socket_info(self, local: str, name: str, default: Any) -> Any:
        """`get_extra_info` of the transport at a local address."""
        sock = self._sockets.get(local)
        return default if sock is None else sock.transport.get_extra_info(name, default)

    def _accept(self, core: Core) -> AssociationUser:
        """A peer sets up an association."""
        driver = Driver(self, self._loop)
        association = Association(driver)
        driver.attach(core, association)
        self._associations[association] = None
        if self.on_accept is not None:
            self.on_accept(association)
        else:
            self._accepted.append(association)
            self._accept_turn.wake()
        return driver

    async def associate(
        self, peers: Sequence[str], port: int, udp_port: int, config: Config | None = None
    ) -> Association:
        """One attempt at an association with a peer that has these addresses; `udp_port` is as in `connect`."""
        if self._is_closed:
            raise AssociationClosed("the endpoint has been closed")
        if config is None:
            config = self.config
        elif config.recv_buffer > self.config.recv_buffer:
            config = config.replace(recv_buffer=self.config.recv_buffer)
        driver = Driver(self, self._loop)
        association = Association(driver)
        number = config.udp_port if udp_port == UDP_PORT else udp_port
        core = self._core.connect(peers, port, self.now(), driver, config, number)
        driver.attach(core, association)
        self._associations[association] = None
        self.flush()
        try:
            await driver.established()
        except BaseException:
            association.abort()
            raise
        return association

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.stop_listening()
        self.flush()
        for handle in (self._handle, self._flush_handle):
            if handle is not None:
                handle.cancel()
        self._close_sockets()
        if self._guard is not None:
            with suppress(StopIteration, RuntimeError):  # it doesn't suspend; or it is what closes us
                self._guard.aclose().send(None)
        self._changes.wake()

    def _close_sockets(self) -> None:
        for sock in self._sockets.values():
            sock.transport.close()
