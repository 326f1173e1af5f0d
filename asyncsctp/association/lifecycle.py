"""From CLOSED to CLOSED: what setting up, restarting and ending an association takes, and what its user hears of it.

The lifecycle furnishes the rooms of an association, for it is the `Owner` that handlers turn to. It has the
association's entry in the endpoint's directory and the user's callbacks in its care. It knows no chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from mypy_extensions import mypyc_attr

from ..errors import AssociationAborted, SCTPError
from ..events import AdaptationIndication, AssociationDown, AssociationRestarted, AssociationUp, AuthKeyChanged, Event
from ..handlers.context import Context
from ..handlers.notices import COMPLETE, MOVED, Complete, Completion, HeartbeatAnswer, Settlement, Writable
from ..handlers.setup.agreement import Setup
from ..handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT
from ..inbound.budget import Budget
from ..inbound.reassembly import Recipient
from ..paths.path import Path
from ..timers import AUTOCLOSE, T3_RTX, timer_key
from ..wire import causes
from ..wire.packet import Seal
from .parts import Rooms

if TYPE_CHECKING:
    from .association import Association


@mypyc_attr(allow_interpreted_subclasses=True)
class AssociationUser(Recipient):
    """What an association calls back. Derive from it, and take what is of interest.

    Messages and parts come as soon as they are whole, in the middle of a packet. All else is told after the packet, the
    timer or the call that it came of, one thing after the other. Any of these may call verbs of the association.
    """

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """A message has come. It fills the receive window until `Association.consumed` is called with its size."""

    def on_event(self, event: Event) -> None:
        """Anything else worth telling."""

    def on_writable(self) -> None:
        """`Association.buffered` has become smaller, by what came before this flush."""

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        """A HEARTBEAT asked for by `Association.heartbeat` was answered after so many seconds; None: it was not."""

    def on_settled(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        """A watched message was acknowledged, the last of it over `address`; or not, and `reason` is not empty.

        `transmissions` is the most that one of its chunks took.
        """

    def on_complete(self) -> None:
        """The peer has shut down, and each side has all that the other sent; what is left of the end brings nothing."""

    def on_closed(self, error: SCTPError | None) -> None:
        """The association has ended, gracefully if `error` is None. Nothing is called after this."""


class Registry(Protocol):
    """Who knows associations by their tags and addresses: the endpoint."""

    @property
    def budget(self) -> Budget:
        """What its associations may hold together of their peers' data."""

    def bind(self, association: Association) -> None:
        """The association's `prefix` or the addresses of its peer are new or have changed."""

    def unbind(self, association: Association) -> None:
        """The association has ended."""

    def await_completion(self, association: Association) -> None:
        """The association waits for nothing but SHUTDOWN COMPLETE: it may go when its place is wanted."""

    def find(self, address: str, port: int) -> Association | None:
        """The association with a peer at this address and port."""

    def new_tag(self) -> int:
        """A tag that no other association has, or had a short while ago (section 5.3.1)."""


@final
class Lifecycle:
    """One association's way through its states."""

    __slots__ = ("_association", "_context", "_is_moved", "_is_over", "_registry", "_rooms", "_user", "seal")

    _context: Context
    _rooms: Rooms
    #: What the peer's packets start with, and how their checksums are checked; there is none before the first `retag`.
    seal: Seal

    def __init__(self, association: Association, user: AssociationUser, registry: Registry) -> None:
        self._association = association
        self._user = user
        self._registry = registry
        self._is_moved = False  # the endpoint does not know all addresses of the peer yet
        self._is_over = False  # the user has been told of the end

    def move_in(self, context: Context, rooms: Rooms) -> None:
        """The rooms are built; only those for user data are missing."""
        self._context = context
        self._rooms = rooms

    # What handlers ask for (`handlers.context.Owner`).

    def retag(self) -> None:
        """Tags or ports in the context have changed."""
        context = self._context
        self.seal = Seal(context.peer_port, context.local_port, context.local_tag)
        self._rooms.packetizer.retag()
        self._registry.bind(self._association)

    def new_tag(self) -> int:
        """A tag that nobody has."""
        return self._registry.new_tag()

    def rebind(self) -> None:
        """The peer's addresses have changed, maybe not for the last time in this step."""
        if not self._is_moved:
            self._is_moved = True
            self._context.notices.append(MOVED)

    def is_taken(self, address: str) -> bool:
        """Whether another association has a peer at this address and the same port (RFC 5062 section 2)."""
        setup = self._context.setup
        if setup is not None and setup.disable_restart:
            return False  # draft natsupp: a NAT in front of them makes them look alike
        other = self._registry.find(address, self._context.peer_port)
        return other is not None and other is not self._association

    def add_path(self, path: Path) -> None:
        """There is one more path, or what may become one."""
        self._rooms.add_path(path)

    def vacate(self, path: Path, other: Path) -> None:
        """This path is no more."""
        self._association.forget_route()
        self._rooms.vacate(path, other)
        context = self._context
        context.last_message = max(context.last_message, path.last_sent)  # it is not asked for that any more

    def establish(self, setup: Setup) -> None:
        """Enter ESTABLISHED."""
        self._furnish(setup)
        self._context.emit(AssociationUp(setup.outgoing_streams, setup.incoming_streams))
        config = self._context.config
        if setup.auth is None and config.offers_auth:
            self._context.emit(AuthKeyChanged(config.auth_active_key, "no-auth"))
        if setup.adaptation is not None:
            self._context.emit(AdaptationIndication(setup.adaptation))

    def restart(self, setup: Setup) -> None:
        """The peer has lost its state and begins anew (RFC 9260 section 5.2.4 A)."""
        context = self._context
        is_ending = context.state is SHUTDOWN_PENDING or context.state is SHUTDOWN_SENT
        self._rooms.heartbeat.stop()
        if self._rooms.transmission is not None and self._rooms.submission is not None:
            self._rooms.submission.lose()
            self._rooms.transmission.fail_all(AssociationAborted("the peer restarted the association", by_peer=True))
        context.timers.stop_all()
        context.clear_control()
        context.statistics.restarts += 1
        context.paths.restart(setup.addresses)
        cut_off = self._furnish(setup)
        if self._rooms.transmission is not None:
            self._rooms.transmission.released = True  # the send buffer is empty
        context.emit(AssociationRestarted())
        if is_ending and self._rooms.shutdown is not None:
            self._rooms.shutdown.shutdown()  # our user's wish holds for the new association too
        # Last: whatever verbs the user calls then, they find the new association whole.
        for sid in cut_off:
            if context.state is not CLOSED:  # by such a verb
                self._user.on_parts_aborted(sid)

    def end(self, error: SCTPError | None) -> None:
        """Enter CLOSED; the user hears of it last."""
        context = self._context
        if context.state is CLOSED:
            return
        context.state = CLOSED
        self._rooms.heartbeat.stop()
        if self._rooms.transmission is not None:
            self._rooms.transmission.fail_all(error)
        context.timers.stop_all()
        context.clear_control()
        self._rooms.clear()
        context.emit(AssociationDown(error))
        self._registry.unbind(self._association)

    def close_submission(self) -> None:
        """What is being written in parts will not be ended. The peer must not take it for a whole message: where it
        can't be told of that, the association is aborted.
        """
        submission = self._rooms.submission
        if submission is None:
            return
        try:
            for terms in submission.open_messages():
                submission.give_up(terms)
        except ValueError:
            text = "a message that was begun can't be ended"
            self._context.abort(causes.pack_user_abort(text.encode()), AssociationAborted(text))

    def data_pending(self) -> bool:
        """Whether user data waits to be sent or to be acknowledged."""
        return self._rooms.transmission is not None and self._rooms.transmission.pending

    def await_completion(self) -> None:
        """Nothing is missing but the SHUTDOWN COMPLETE."""
        self._context.notices.append(COMPLETE)
        self._registry.await_completion(self._association)

    def all_acknowledged(self) -> bool:
        """Whether the peer has all user data, and knows of what was given up."""
        return self._rooms.transmission is None or self._rooms.transmission.all_acknowledged

    def is_timed(self, path: Path) -> bool:
        """Whether T3-rtx runs for this path, or has just run out."""
        transmission = self._rooms.transmission
        if self._context.timers.runs(timer_key(T3_RTX, path.path_id)):
            return True
        return transmission is not None and transmission.outstanding.in_flight[path.path_id] > 0

    # The way to the user.

    def tell(self) -> None:
        """Call the user back with what has happened, in that order, unless a step is at work or the user is being told:
        what happens meanwhile is told after it. After the end nothing is.
        """
        context = self._context
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
                if isinstance(notice, Writable):
                    user.on_writable()
                elif isinstance(notice, Event):
                    user.on_event(notice)
                    if isinstance(notice, AssociationDown):
                        self._is_over = True
                        user.on_closed(notice.error)
                        break
                elif isinstance(notice, Settlement):
                    user.on_settled(notice.watcher, notice.reason, notice.address, notice.transmissions)
                elif isinstance(notice, Complete):
                    user.on_complete()
                elif isinstance(notice, HeartbeatAnswer):
                    user.on_heartbeat(notice.address, notice.round_trip)
                elif isinstance(notice, Completion):
                    notice.callback()
        finally:
            context.is_at_work = False
            del notices[:told]
        if self._is_over:
            notices.clear()

    def _furnish(self, setup: Setup) -> list[int]:
        """Enter ESTABLISHED; the streams on which that cuts off a message that the user has a part of."""
        context = self._context
        context.setup = setup
        if 0 < setup.preferred < len(setup.addresses) and context.paths.find(setup.addresses[setup.preferred]):
            context.paths.set_primary(setup.addresses[setup.preferred])  # RFC 5061 section 5.4
        context.state = ESTABLISHED
        context.take_keys(setup)
        keyring = context.keyring
        context.paths.reserve(keyring.size if keyring is not None and keyring.blanket else 0)
        cut_off = self._rooms.furnish(setup, self._user)
        self._rooms.heartbeat.start()
        context.last_message = context.now
        self.start_autoclose()
        self._registry.bind(self._association)
        if self._rooms.nat is not None:
            self._rooms.nat.on_established()
        return cut_off

    # Autoclose (RFC 6458 section 8.1.8).

    def start_autoclose(self) -> None:
        """Close the association once no message has come or gone for so long, if that is wished."""
        context = self._context
        if context.config.autoclose is not None and context.state is ESTABLISHED:
            context.timers.start(AUTOCLOSE, context.last_message + context.config.autoclose)
        else:
            context.timers.stop(AUTOCLOSE)

    def expire_autoclose(self) -> None:
        """Look whether messages have come or gone in the meantime."""
        context = self._context
        autoclose = context.config.autoclose
        if self._rooms.shutdown is None or autoclose is None:
            return
        sent = max((path.last_sent for path in context.paths.paths), default=0.0)
        context.last_message = max(context.last_message, sent)
        if context.last_message + autoclose > context.now:
            self.start_autoclose()
        else:
            self._rooms.shutdown.shutdown()
