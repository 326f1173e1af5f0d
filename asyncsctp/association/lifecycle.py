"""From CLOSED to CLOSED: how an association is established, restarted and ended, and what its user hears of it.

The order of things, and why:

1. Birth. The lifecycle makes the context and the parts of the handshake; an association that accepts skips that one,
   as the cookie holds the whole agreement. Nothing is assigned from outside later.
2. `establish` enters ESTABLISHED, and makes what carries user data. Keys come first, since they decide on the space in
   packets; then the data conversations; then heartbeats, which go by the state; last the endpoint learns of the
   addresses, and the user of it all.
3. `restart` fails what was not delivered while its books still stand, then stops all timers, then does as `establish`
   does. What the user wanted (a shutdown) is wanted of the new association too.
4. `end` enters CLOSED first: whatever is called on the way finds the association ended. The user hears of it last.
5. The user is called by `tell` alone, between two steps, never within one: handlers leave notices. A callback may call
   any verb; what that gives rise to is told after it. Messages are the exception: they are handed over as they are
   whole, by `handlers.data.receiver`.

Which chunk or timer brings a step about is in `dispatch`; which state follows from what, in `handlers.state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, final

from ..config import Config
from ..errors import AssociationAborted, SCTPError
from ..events import AdaptationIndication, AssociationDown, AssociationRestarted, AssociationUp, AuthKeyChanged, Event
from ..handlers.context import Context
from ..handlers.notices import COMPLETE, MOVED, WRITABLE, HeartbeatAnswer, Outcome
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.negotiation import Setup
from ..handlers.state import CLOSED, END, ESTABLISH, SHUTDOWN_PENDING, SHUTDOWN_SENT
from ..inbound.receive_window import Budget
from ..paths.path import Path
from ..random_source import Random
from ..timers import T3_RTX, timer_key
from ..wire.packet import Seal
from .outbox import Outbox
from .parts import EstablishedData, Parts
from .user import AssociationUser


class Registry(Protocol):
    """Who knows associations by their tags and addresses: what `endpoint.directory.Directory` says of these methods."""

    def bind(self, association: Any) -> None: ...

    def unbind(self, association: Any) -> None: ...

    def await_completion(self, association: Any) -> None: ...

    def find_peer(self, addresses: Sequence[str], port: int) -> Any: ...

    def new_tag(self) -> int: ...


@final
class Shared:
    """What the associations of an endpoint have in common."""

    __slots__ = ("budget", "cookies", "outbox", "port", "random", "registry")

    def __init__(
        self, registry: Registry, port: int, random: Random, cookies: CookieJar, budget: Budget, outbox: Outbox
    ) -> None:
        self.registry = registry
        self.port = port  # ours
        self.random = random
        self.cookies = cookies
        self.budget = budget
        self.outbox = outbox


@final
class Lifecycle:
    """One association's way through its states: the `Owner` that handlers turn to."""

    __slots__ = ("_association", "_is_moved", "_is_over", "_registry", "_user", "context", "parts", "seal")

    def __init__(
        self,
        association: Any,
        user: AssociationUser,
        shared: Shared,
        config: Config,
        peer_port: int,
        tags: tuple[int, int],
        addresses: tuple[Sequence[str], Sequence[str]],
        held_back: Sequence[str],
        udp_port: int,
        now: float,
    ) -> None:
        """`tags` and `addresses` are ours and the peer's; its tag is 0 while it is unknown."""
        self._association = association
        self._user = user
        self._registry = shared.registry
        self._is_moved = False  # the endpoint does not know all addresses of the peer yet
        self._is_over = False  # the user has been told of the end
        #: What the peer's packets start with, and how their checksums are checked.
        self.seal = Seal(peer_port, shared.port, tags[0])
        self.context = Context(
            self, config, shared.random, (shared.port, peer_port), tags, addresses, udp_port, shared.budget, now
        )
        self.parts = Parts(self.context, shared.cookies, held_back)

    # What handlers ask for: `handlers.context.Owner` says what each does.

    def change_tag(self, local_tag: int) -> None:
        context = self.context
        context.local_tag = local_tag
        self.seal = Seal(context.peer_port, context.local_port, local_tag)
        self._registry.bind(self._association)

    def new_tag(self) -> int:
        return self._registry.new_tag()

    def rebind(self) -> None:
        if not self._is_moved:
            self._is_moved = True
            self.context.notices.append(MOVED)

    def is_taken(self, address: str) -> bool:
        setup = self.context.setup
        if setup is not None and setup.disable_restart:
            return False  # draft natsupp: a NAT in front of them makes them look alike
        # RFC 5062 section 2: of two peers at one address and port one is not what it says.
        other = self._registry.find_peer((address,), self.context.peer_port)
        return other is not None and other is not self._association

    def add_path(self, path: Path) -> None:
        if self.parts.data is not None:
            self.parts.data.sender.add_path(path.path_id)

    def establish(self, setup: Setup) -> None:
        self._establish(setup)
        context = self.context
        context.emit(AssociationUp(setup.outgoing_streams, setup.incoming_streams))
        if setup.auth is None and context.config.offers_auth:
            context.emit(AuthKeyChanged(context.config.auth_active_key, "no-auth"))
        if setup.adaptation is not None:
            context.emit(AdaptationIndication(setup.adaptation))

    def restart(self, setup: Setup) -> None:
        context = self.context
        is_ending = context.state is SHUTDOWN_PENDING or context.state is SHUTDOWN_SENT
        self.parts.heartbeat.stop()
        if self.parts.data is not None:
            self.parts.data.submission.lose()
            self.parts.data.sender.fail_all(AssociationAborted("the peer restarted the association", by_peer=True))
        context.timers.stop_all()
        context.clear_control()
        context.statistics.restarts += 1
        context.paths.restart(setup.addresses)
        self._establish(setup)
        data = self.parts.established
        data.sender.released = True  # the send buffer is empty
        context.emit(AssociationRestarted())
        if is_ending:
            data.shutdown.shutdown()  # our user's wish holds for the new association too
        # Last: whatever verbs the user calls then, they find the new association whole.
        for sid in data.cut_off:
            if context.state is not CLOSED:  # by such a verb
                self._user.on_parts_aborted(sid)

    def end(self, error: SCTPError | None) -> None:
        context = self.context
        if context.state is CLOSED:
            return
        context.change(END)
        parts = self.parts
        parts.heartbeat.stop()
        if parts.data is not None:
            parts.data.sender.fail_all(error)
        context.timers.stop_all()
        context.clear_control()
        parts.handshake = None
        if parts.data is not None:
            parts.data.end("the association has ended")
            parts.remains = parts.data.receiver.close()
            parts.data = None
        context.emit(AssociationDown(error))
        self._registry.unbind(self._association)

    def data_pending(self) -> bool:
        return self.parts.data is not None and self.parts.data.sender.buffered > 0

    def await_completion(self) -> None:
        self.context.notices.append(COMPLETE)
        self._registry.await_completion(self._association)

    def is_timed(self, path: Path) -> bool:
        data = self.parts.data
        if self.context.timers.runs(timer_key(T3_RTX, path.path_id)):
            return True
        return data is not None and data.sender.outstanding.in_flight[path.path_id] > 0

    # The way to the user.

    def tell(self) -> None:
        """Call the user back with what has happened, in that order, unless a step is at work or the user is being told:
        what happens meanwhile is told after it. After the end nothing is.
        """
        context = self.context
        notices = context.notices
        if not notices or context.is_at_work:
            return
        if self._is_over:
            notices.clear()
            return
        user = self._user
        context.is_at_work = True
        told = 0
        try:
            for notice in notices:  # and what is added meanwhile
                told += 1
                if self._is_moved:
                    self._is_moved = False
                    if context.state is not CLOSED:
                        self._registry.bind(self._association)
                if notice is WRITABLE:
                    user.on_writable()
                elif notice is COMPLETE:
                    user.on_complete()
                elif isinstance(notice, Event):
                    user.on_event(notice)
                    if isinstance(notice, AssociationDown):
                        self._is_over = True
                        user.on_closed(notice.error)
                        break
                elif isinstance(notice, Outcome):
                    user.on_outcome(notice.watcher, notice.reason, notice.address, notice.transmissions)
                elif isinstance(notice, HeartbeatAnswer):
                    user.on_heartbeat(notice.address, notice.round_trip)
                elif callable(notice):
                    notice()
        finally:
            context.is_at_work = False
            del notices[:told]
        if self._is_over:
            notices.clear()

    def _establish(self, setup: Setup) -> None:
        context = self.context
        context.setup = setup
        if 0 < setup.preferred < len(setup.addresses) and context.paths.find(setup.addresses[setup.preferred]):
            context.paths.set_primary(setup.addresses[setup.preferred])  # RFC 5061 section 5.4
        context.change(ESTABLISH)
        context.take_keys(setup)
        keyring = context.keyring
        context.paths.reserve(keyring.size if keyring is not None and keyring.covers_all else 0)
        parts = self.parts
        parts.handshake = None
        before = parts.data
        if before is not None:
            before.end("the peer restarted the association")
        parts.data = EstablishedData(context, parts.heartbeat, setup, self._user, before)
        parts.heartbeat.start()
        parts.data.shutdown.start_autoclose()
        self._registry.bind(self._association)
        if parts.nat is not None:
            parts.nat.on_established()
