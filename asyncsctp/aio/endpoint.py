"""One SCTP port and its associations: the one-to-many form, over which `connect` and `serve` are thin."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from socket import AF_UNSPEC
from types import TracebackType
from typing import Any, Final, final

from ..association.association import Association as Core
from ..association.user import AssociationUser
from ..checks import check_int
from ..config import Config
from ..endpoint.endpoint import Endpoint as CoreEndpoint
from ..errors import AssociationClosed
from ..paths.route import normalize
from ..statistics import EndpointStatistics
from ..udp.transport import simulated
from ..wire.constants import UDP_PORT
from .addresses import addresses
from .addresses.address_book import AddressBook
from .addresses.auto_asconf import AutoAsconf
from .addresses.resolve import Opening, peer_candidates, race
from .association import Association
from .driver import Driver
from .engine import Engine
from .flow_control import Turn, WaitList
from .lingering import LONGEST, Stay, give_way, linger
from .processes.membership import Membership, Sole

_BACKLOG: Final = 128
_FIRST_FREE_PORT: Final = 49152
_LAST_PORT: Final = 65535


def _free_port(udp_port: int) -> int:
    """An SCTP port that nobody at our address is likely to have: that of a UDP port which the system found free.

    Peers tell associations from one address apart by the SCTP port (draft udp-encaps-cons section 4), and endpoints in
    other processes of this host have the same address.
    """
    return udp_port or secrets.choice(range(_FIRST_FREE_PORT, _LAST_PORT + 1))


def _fitted(config: Config, window: int) -> Config:
    """The settings with this window; the same object for endpoints that are opened alike one after the other."""
    if not _LATEST or _LATEST[0][0] is not config or _LATEST[0][1].recv_buffer != window:
        _LATEST[:] = [(config, config.replace(recv_buffer=window))]
    return _LATEST[0][1]


_LATEST: Final[list[tuple[Config, Config]]] = []


@final
class _SystemRandom:
    """The system's source of randomness."""

    def bits(self, count: int) -> int:
        return int.from_bytes(os.urandom(count + 7 >> 3)) >> (-count & 7)

    def token(self, size: int) -> bytes:
        return os.urandom(size)


_RANDOM: Final = _SystemRandom()


@final
class Endpoint:
    """One SCTP port with all of its associations, on one UDP socket for each local address.

    Made by `open_endpoint`. As a context manager it is closed when left, and aborts its associations when an exception
    leaves it.
    """

    __slots__ = (
        "__weakref__",
        "_accept_turn",
        "_accepted",
        "_associations",
        "_auto_asconf",
        "_changes",
        "_closes_when_idle",
        "_config",
        "_core",
        "_engine",
        "_guard",
        "_has_left",
        "_is_closed",
        "_lingers_until",
        "_may_linger",
        "_membership",
        "_stay",
        "on_accept",
    )

    def __init__(self, engine: Engine, membership: Membership) -> None:
        """Not for users."""
        self._engine = engine
        self._core: CoreEndpoint
        self._config: Config
        self._membership = membership
        self._associations: dict[Association, None] = {}
        self._accepted: list[Association] = []
        self._accept_turn = Turn("accept()")
        self._auto_asconf: AutoAsconf | None = None
        self._changes = WaitList()
        self._guard = self._until_loop_ends()
        self._is_closed = False
        self._has_left = False
        self._may_linger = False  # the system chose the UDP port, so that nobody else waits for it
        self._lingers_until = 0.0
        self._stay: Stay | None = None
        self._closes_when_idle = False
        #: Who gets the associations that peers set up, if not `accept`.
        self.on_accept: Callable[[Association], object] | None = None

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
        membership: Membership | None = None,
    ) -> Endpoint:
        """Bind the sockets. `OSError` if that fails, `ValueError` or `TypeError` for wrong arguments. Not for users."""
        check_port("port", port)
        check_port("udp_port", udp_port)
        membership = membership or Sole()
        loop = asyncio.get_running_loop()
        simulation = simulated(loop)
        engine = Engine(loop)
        endpoint = cls(engine, membership)
        engine.on_socket_lost = endpoint._on_socket_lost
        if udp_port:
            await give_way(loop, udp_port)
        await engine.sockets.bind(tuple(map(normalize, local_addrs)), udp_port, config, membership.open_socket)
        window = engine.sockets.window(config.recv_buffer)
        if window != config.recv_buffer:
            config = _fitted(config, window)
        endpoint._config = config
        endpoint._core = engine.core = CoreEndpoint(
            config,
            port=port or _free_port(engine.sockets.udp_port if udp_port == 0 else 0),
            local_addresses=tuple(engine.sockets.by_local),
            random=_RANDOM if simulation is None else simulation.protocol_random,
            outbox=engine.outbox,
            listening=listening,
            accept=endpoint._on_association,
            limit=limit,
            sharing=membership.begin(engine),
        )
        engine.core.statistics.send_failures = engine.sockets.failures
        endpoint._may_linger = not udp_port
        engine.addresses = AddressBook(engine, config, membership, endpoint._drivers)
        if config.auto_asconf:
            endpoint._auto_asconf = AutoAsconf(engine.addresses)
        await anext(endpoint._guard)
        return endpoint

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        """The loop ends it when it ends itself: the last chance to tell the peers of a program that did not close."""
        try:
            yield
        finally:
            self.abort()

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return list(self._associations)

    @property
    def config(self) -> Config:
        """The settings of its associations; `recv_buffer` is what the sockets' buffers allow."""
        return self._config

    @property
    def port(self) -> int:
        """The SCTP port."""
        return self._core.port

    @property
    def udp_port(self) -> int:
        """The UDP port of its sockets; 0 once it is closed."""
        return 0 if self._is_closed else self._engine.sockets.udp_port

    @property
    def local_addrs(self) -> tuple[str, ...]:
        """The local addresses, one for each UDP socket; none once it is closed."""
        return () if self._is_closed else tuple(self._engine.sockets.by_local)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The UDP sockets, where the transports have real ones."""
        return () if self._is_closed else self._engine.sockets.all_there_are()

    @property
    def statistics(self) -> EndpointStatistics:
        """Counters of handshakes, and of packets that belong to no association; live."""
        return self._core.statistics

    async def add_local_address(self, addr: str) -> None:
        """Bind one more address of this machine, at the same UDP port, for associations to come and those that there
        are.

        Waits until each of their peers has been asked (RFC 5061); associations whose peers don't agree, or can't be
        asked, go on without it. `OSError` if it is not the machine's, `ValueError` if the endpoint has it already, or
        if it is no unicast address, `NotImplementedError` where processes share the port, `AssociationClosed` once the
        endpoint is closed.
        """
        await addresses.share(self._engine.addresses, addr)

    async def remove_local_address(self, addr: str) -> None:
        """Use an address no more. Waits as `add_local_address`; associations that can't do without, or whose peers
        don't agree, keep it.

        `ValueError` if the endpoint does not have it, or it is the last one; `AssociationClosed` once it is closed.
        """
        await addresses.unshare(self._engine.addresses, addr)

    def is_closing(self) -> bool:
        """Whether it takes no more associations from peers."""
        return not self._core.listening

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

        `config` is for this association; `dscp`, and the sockets' buffers, are those of the endpoint. Beside the errors
        of `asyncsctp.connect`: `ValueError` if there is an association with that port of that peer already.
        """

        async def open_() -> Association:
            candidates = await peer_candidates(host, family)
            return await race([partial(self.associate, peers, port, udp_port, config) for peers in candidates])

        return Opening(open_)

    async def associate(
        self, peers: Sequence[str], port: int, udp_port: int, config: Config | None = None
    ) -> Association:
        """One attempt at an association with the peer that has these addresses. Not for users."""
        if self._is_closed:
            raise AssociationClosed("the endpoint has been closed")
        check_port("port", port, 1)
        check_port("udp_port", udp_port, 1)
        if config is None:
            config = self._config
        elif config.recv_buffer > self._config.recv_buffer:
            config = config.replace(recv_buffer=self._engine.sockets.window(config.recv_buffer))
        engine = self._engine
        driver = Driver(engine, self._on_closed)
        number = config.udp_port if udp_port == UDP_PORT else udp_port
        association = Association(driver)
        core = self._core.connect(peers, port, engine.now(), driver, config, number)
        driver.attach(core, association, config.send_buffer)
        self._associations[association] = None
        engine.flush(core)
        try:
            await driver.established()
        except BaseException:
            association.abort()
            raise
        self._greet(driver)
        return association

    async def accept(self) -> Association:
        """The next association that a peer has set up. Up to 128 wait for this; what comes beyond is aborted.

        `AssociationClosed` once the endpoint is closed; `RuntimeError` if another coroutine is waiting already.
        """
        self._accept_turn.claim()
        while not self._accepted:
            if self.is_closing():
                raise AssociationClosed("the endpoint has been closed")
            await self._accept_turn.wait()
        return self._accepted.pop(0)

    async def close(self) -> None:
        """Take no more associations, shut down those that there are (see `Association.close`), close the sockets.

        Idempotent; returns when all is closed. If the system has chosen the UDP port, a socket stays for some moments
        where an association has just ended, as of `Association.wait_closed`; `abort` closes it.
        """
        self.stop_listening()
        self.close_when_idle()
        await asyncio.gather(*(association.close() for association in self._associations))
        self._close()
        await self.wait_closed()

    def abort(self) -> None:
        """Abort all associations, and close the sockets, at once."""
        for association in self.associations:
            association.abort()
        self._lingers_until = 0.0
        self._close()
        if self._stay is not None:
            self._stay.end()

    def stop_listening(self) -> None:
        """Refuse new associations of peers from now on."""
        self._core.listening = False
        self._accept_turn.wake()

    def close_when_idle(self) -> None:
        """Close the sockets once the last association has ended."""
        self._closes_when_idle = True
        if not self._associations:
            self._close_soon()

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed."""
        while not self._is_closed:
            await self._changes.wait()
        await self._engine.wait_ended()

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
        return f"<Endpoint {', '.join(self.local_addrs)} port {self.port}: {state}>"

    def _on_association(self, core: Core) -> AssociationUser:
        """A peer has set up an association."""
        driver = Driver(self._engine, self._on_closed)
        association = Association(driver)
        driver.attach(core, association, self._config.send_buffer)
        self._associations[association] = None
        if self.on_accept is not None:
            self._engine.loop.call_soon(_hand_over, association, self.on_accept)  # it is being set up
        elif len(self._accepted) < _BACKLOG:
            self._accepted.append(association)
            self._accept_turn.wake()
        else:
            self._engine.loop.call_soon(association.abort)
        if self._auto_asconf is not None or self._engine.addresses.shared:
            self._engine.loop.call_soon(self._greet, driver)  # the same
        return driver

    def _drivers(self) -> list[Driver]:
        return [association._driver for association in self._associations]

    def _greet(self, driver: Driver) -> None:
        """An association has been set up: it may lack what the endpoint was given meanwhile."""
        if self._auto_asconf is not None:
            self._auto_asconf.follow(driver)
        elif self._engine.addresses.shared:
            addresses.greet(driver)

    def _on_closed(self, association: Association) -> None:
        """An association has ended; its last packet may still have to be sent, and be asked for again."""
        self._associations.pop(association, None)
        stay = association.core.context.linger
        if stay and self._may_linger:
            self._lingers_until = max(self._lingers_until, self._engine.now() + min(stay, LONGEST))
        self._engine.addresses.leave(association._driver)
        if self._closes_when_idle and not self._associations:
            self._close_soon()

    def _on_socket_lost(self, error: Exception) -> None:
        for association in self.associations:
            association.connection_lost(error)

    def _close_soon(self) -> None:
        """Close once what is in hand has left; at once, where that may leave later."""
        if self._engine.now() < self._lingers_until:
            self._close()
        else:
            self._engine.is_ending = True
            self._engine.loop.call_soon(self._close)

    def _close(self) -> None:
        """Be closed for those who use it, if not for late packets."""
        if self._is_closed:
            return
        self._is_closed = True
        self.stop_listening()
        if self._auto_asconf is not None:
            self._auto_asconf.close()
        seconds = self._lingers_until - self._engine.now()
        if seconds > 0.0:
            self._engine.linger()
            self._stay = linger(self._engine, seconds, self._leave)
        else:
            self._leave()
        self._membership.leave()
        self._changes.wake()

    def _leave(self) -> None:
        """Close the sockets."""
        if self._has_left:
            return
        self._has_left = True
        self._engine.stop()
        with suppress(StopIteration, RuntimeError):  # it has nothing to wait for; or it is what closes us
            self._guard.aclose().send(None)


def _hand_over(association: Association, on_accept: Callable[[Association], object]) -> None:
    """Give an association to whoever takes it; if that fails, nobody has it, and the loop tells why."""
    try:
        on_accept(association)
    except Exception:
        association.abort()
        raise


def check_port(name: str, number: object, lowest: int = 0) -> None:
    """`TypeError` or `ValueError` for what is no port."""
    check_int(name, number, lowest, _LAST_PORT)
