"""One SCTP port and its associations: the one-to-many form, over which `connect` and `serve` are thin.

What moves packets is in `engine`, what becomes of an endpoint that is closed in `lingering`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from socket import AF_UNSPEC
from typing import Any, Final, final

from ..association.association import Association as Core
from ..checks import check_int
from ..config import Config
from ..endpoint.endpoint import Endpoint as CoreEndpoint
from ..errors import AssociationClosed, SCTPError
from ..paths.route import normalize
from ..statistics import EndpointStatistics
from ..udp.transport import simulated
from ..wire.constants import MASK_16, UDP_PORT
from .addresses.address_book import AddressBook, unicast
from .addresses.auto_asconf import AutoAsconf
from .addresses.dynamic_addresses import DynamicAddresses
from .addresses.resolve import Opening, peer_candidates, race
from .association import Association
from .driver import Driver
from .engine import Engine
from .flow_control import Turn, WaitList
from .lingering import LONGEST, Lingering, give_way
from .processes.membership import Membership
from .session import Session

#: Gets the associations that peers set up.
OnAccept = Callable[[Association], object]

_BACKLOG: Final = 128
_FREE_PORTS: Final = range(49152, 65536)


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
        "_addresses",
        "_associations",
        "_auto_asconf",
        "_changes",
        "_closes_when_idle",
        "_config",
        "_engine",
        "_guard",
        "_is_closed",
        "_lingering",
        "_lingers_until",
        "_may_linger",
        "_membership",
        "_on_accept",
        "_on_ended",
    )

    def __init__(
        self,
        engine: Engine,
        config: Config,
        membership: Membership,
        *,
        port: int,
        listening: bool,
        limit: int | None,
        on_accept: OnAccept | None,
        may_linger: bool,
    ) -> None:
        """Not for users, nor is `_open`."""
        simulation = simulated(engine.loop)
        self._config = config.with_window(engine.sockets.window(config.recv_buffer))
        core = CoreEndpoint(
            self._config,
            port=port,
            local_addresses=tuple(engine.sockets.by_local),
            random=_RANDOM if simulation is None else simulation.protocol_random,
            outbox=engine.outbox,
            listening=listening,
            accept=self._on_association,
            limit=limit,
            sharing=membership.begin(engine),
        )
        engine.begin(core, self._on_socket_lost)
        self._engine = engine
        self._addresses = AddressBook(engine)
        self._auto_asconf = AutoAsconf(self._addresses, self._dynamic_addresses) if config.auto_asconf else None
        self._membership = membership
        self._on_accept = on_accept  # who gets the associations that peers set up, if not `accept`
        self._associations: dict[Core, Association] = {}
        self._on_ended = self._on_closed  # one object for all associations
        self._accepted: list[Association] = []
        self._accept_turn = Turn("in accept()")
        self._changes = WaitList()
        self._guard = self._until_loop_ends()
        self._is_closed = False
        self._may_linger = may_linger
        self._lingers_until = 0.0
        self._lingering: Lingering | None = None
        self._closes_when_idle = False

    @classmethod
    async def _open(
        cls,
        local_addrs: Iterable[str],
        port: int,
        udp_port: int,
        config: Config,
        *,
        listening: bool = False,
        limit: int | None = None,
        membership: Membership | None = None,
        on_accept: OnAccept | None = None,
    ) -> Endpoint:
        """Bind the sockets. `OSError` if that fails, `ValueError` or `TypeError` for wrong arguments."""
        check_int("port", port, 0, MASK_16)
        check_int("udp_port", udp_port, 0, MASK_16)
        sharing = membership or Membership()
        loop = asyncio.get_running_loop()
        if udp_port:
            await give_way(loop, udp_port)
        engine = Engine(loop, config, sharing.open_socket)
        await engine.sockets.bind(tuple(map(normalize, local_addrs)), udp_port)
        # A port that nobody at our address is likely to have, as that of a UDP port which the system found free: peers
        # tell associations from one address apart by it (draft udp-encaps-cons section 4), and endpoints in other
        # processes of this host have the same address.
        free_port = secrets.choice(_FREE_PORTS) if udp_port else engine.sockets.udp_port
        endpoint = cls(
            engine,
            config,
            sharing,
            port=port or free_port,
            listening=listening,
            limit=limit,
            on_accept=on_accept,
            may_linger=not udp_port,  # where the system chose the UDP port nobody else waits for it
        )
        await anext(endpoint._guard)
        return endpoint

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        """Abort when the loop ends: the last chance to tell the peers of a program that did not close."""
        try:
            yield
        finally:
            self.abort()

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return list(self._associations.values())

    @property
    def config(self) -> Config:
        """The settings of its associations; `recv_buffer` is what the sockets' buffers allow."""
        return self._config

    @property
    def port(self) -> int:
        """The SCTP port."""
        return self._engine.core.port

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
    def stats(self) -> EndpointStatistics:
        """A copy of the counters of handshakes, and of packets that belong to no association."""
        counters = self._engine.core.statistics
        return dataclasses.replace(counters, send_failures=dict(counters.send_failures))

    async def add_local_address(self, addr: str) -> None:
        """Bind one more address of this machine, at the same UDP port, for associations to come and those that there
        are.

        Waits until each of their peers has been asked (RFC 5061); associations whose peers don't agree, or can't be
        asked, go on without it. `OSError` if it is not the machine's, `ValueError` if the endpoint has it already, or
        if it is no unicast address, `NotImplementedError` where processes share the port, `AssociationClosed` once the
        endpoint is closed.
        """
        book, address = self._addresses, unicast("addr", addr)
        book.check_open()
        if address in book.addresses:
            raise ValueError(f"{address} is an address of the endpoint already")
        await book.share(address)
        asked = []
        for each in self._dynamic_addresses():
            if each.lacks(address):
                with suppress(SCTPError, ValueError):  # it has ended meanwhile, or can't be asked
                    asked.append((each.session, await each.add(address)))
        await asyncio.gather(*(session.answered(ticket) for session, ticket in asked))

    async def remove_local_address(self, addr: str) -> None:
        """Use an address no more. Waits as `add_local_address`; associations that can't do without, or whose peers
        don't agree, keep it.

        `ValueError` if the endpoint does not have it, or it is the last one; `AssociationClosed` once it is closed.
        """
        book, address = self._addresses, unicast("addr", addr)
        book.check_open()
        if address not in book.addresses:
            known = ", ".join(book.addresses)
            raise ValueError(f"addr must be one of the endpoint's addresses ({known}), not {addr!r}")
        if len(book.addresses) == 1:
            raise ValueError(f"{address} is the last address of the endpoint")
        book.unshare(address)
        asked = []
        for each in self._dynamic_addresses():
            if address in each.addresses and each.can_change and len(each.addresses) > 1:
                with suppress(SCTPError, ValueError):  # it can't be asked, or can't do without
                    asked.append((each.session, each.remove(address)))
        await asyncio.gather(*(session.answered(ticket) for session, ticket in asked))

    def is_closing(self) -> bool:
        """Return whether it takes no more associations from peers."""
        return not self._engine.core.listening

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
            attempt = partial(self._associate, port=port, udp_port=udp_port, config=config)
            return await race(attempt, await peer_candidates(host, family), Association.abort)

        return Opening(open_)

    async def _associate(
        self, peers: Sequence[str], port: int, udp_port: int, config: Config | None = None
    ) -> Association:
        """Make one attempt at an association with the peer that has these addresses."""
        if self._is_closed:
            raise AssociationClosed("the endpoint has been closed")
        check_int("port", port, 1, MASK_16)
        check_int("udp_port", udp_port, 1, MASK_16)
        engine = self._engine
        settings = config or self._config
        if settings.recv_buffer > self._config.recv_buffer:
            settings = settings.with_window(engine.sockets.window(settings.recv_buffer))
        number = settings.udp_port if udp_port == UDP_PORT else udp_port
        core = engine.core.connect(
            peers, port, engine.now(), lambda core: self._add(core, settings)._driver, settings, number
        )
        association = self._associations[core]
        engine.flush(core)
        try:
            await association._session.established()
        except BaseException:
            association.abort()
            raise
        self._catch_up(association)
        return association

    def _add(self, core: Core, config: Config) -> Association:
        """Make an association of this core, which calls back its driver."""
        driver = Driver(Session(core, self._engine), config.send_buffer, self._on_ended)
        self._associations[core] = association = Association(driver, self._addresses)
        return association

    async def accept(self) -> Association:
        """Return the next association that a peer has set up. Up to 128 wait for this; what comes beyond is aborted.

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
        await asyncio.gather(*(association.close() for association in self.associations))
        self._close()
        await self.wait_closed()

    def abort(self) -> None:
        """Abort all associations, and close the sockets, at once."""
        for association in self.associations:
            association.abort()
        self._lingers_until = 0.0
        self._close()
        if self._lingering is not None:
            self._lingering.end()

    def stop_listening(self) -> None:
        """Refuse new associations of peers from now on."""
        self._engine.core.listening = False
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

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is not None:
            self.abort()
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._associations)} associations"
        return f"<Endpoint {', '.join(self.local_addrs)} port {self.port}: {state}>"

    def _on_association(self, core: Core) -> Driver:
        """Take in an association that a peer sets up; return what it calls back. What to do with it comes later."""
        association = self._add(core, self._config)
        call_soon = self._engine.loop.call_soon
        if self._on_accept is not None:
            call_soon(_hand_over, association, self._on_accept)
        elif len(self._accepted) < _BACKLOG:
            self._accepted.append(association)
            self._accept_turn.wake()
        else:
            call_soon(association.abort)
        if self._auto_asconf is not None or self._addresses.shared:
            call_soon(self._catch_up, association)
        return association._driver

    def _dynamic_addresses(self) -> list[DynamicAddresses]:
        return [association._addresses for association in self._associations.values()]

    def _catch_up(self, association: Association) -> None:
        """Give an association that was set up what the endpoint was given meanwhile."""
        if self._auto_asconf is not None:
            self._auto_asconf.follow(association._addresses)
        else:
            association._addresses.catch_up()

    def _on_closed(self, session: Session) -> None:
        """Forget an association that has ended; its last packet may still have to be sent, and be asked for again."""
        self._associations.pop(session.core, None)
        seconds = session.core.context.linger
        if seconds and self._may_linger:
            self._lingers_until = max(self._lingers_until, self._engine.now() + min(seconds, LONGEST))
        self._addresses.forget(session.core)
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
        """Close it for those who use it, if not for late packets."""
        if self._is_closed:
            return
        self._is_closed = True
        self.stop_listening()
        if self._auto_asconf is not None:
            self._auto_asconf.close()
        seconds = self._lingers_until - self._engine.now()
        if seconds > 0.0:
            self._lingering = Lingering(self._engine, seconds, self._leave)
        else:
            self._leave()
        self._membership.leave()
        self._changes.wake()

    def _leave(self) -> None:
        """Close the sockets."""
        self._engine.stop()
        with suppress(StopIteration, RuntimeError):  # it has nothing to wait for; or it is what closes us
            self._guard.aclose().send(None)


def _hand_over(association: Association, on_accept: OnAccept) -> None:
    """Give an association to whoever takes it; if that fails, abort it, and let the loop tell why."""
    try:
        on_accept(association)
    except Exception:
        association.abort()
        raise
