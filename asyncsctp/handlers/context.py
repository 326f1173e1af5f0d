"""What a handler may know of its association, and what it may ask of it.

The context holds what all handlers share, takes what they want sent, and turns to the `Owner` for what only the
association can do; that is `association.lifecycle`. What is queued here is sent by `association.packetizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

from ..config import Config
from ..errors import AssociationAborted, SCTPError
from ..events import CongestionControllerFailed, Event
from ..inbound.receive_window import Budget
from ..paths.path import Path
from ..paths.path_manager import PathManager
from ..paths.route import Route
from ..random_source import Random
from ..statistics import Statistics
from ..timers import TimerTable
from ..wire import causes, control
from ..wire.constants import ABORT, HEARTBEAT, HEARTBEAT_ACK
from ..wire.serial import Numbering
from .keyring import Keyring, SharedKeys
from .notices import Notice, Outcome
from .setup.negotiation import Setup
from .state import CLOSED, State, Transition


class Owner(Protocol):
    """What only the association itself can do, on behalf of a handler."""

    def establish(self, setup: Setup) -> None:
        """Enter ESTABLISHED: make what carries user data, and tell the user (RFC 9260 section 5.1)."""

    def restart(self, setup: Setup) -> None:
        """Begin anew with a peer that has lost its state, and tell the user (RFC 9260 section 5.2.4 action A)."""

    def tell(self) -> None:
        """Call the user back with what a step, which is over, has left in `Context.notices`."""

    def end(self, error: SCTPError | None) -> None:
        """Enter CLOSED: stop every timer, fail what was not delivered, tell the user once."""

    def rebind(self) -> None:
        """Tell the endpoint at the end of this step that the peer's addresses have changed."""

    def new_tag(self) -> int:
        """Return a tag that nobody has (section 5.3.1)."""

    def is_taken(self, address: str) -> bool:
        """Return whether another association has a peer at this address and the same port."""

    def add_path(self, path: Path) -> None:
        """Make space for one more path, or what may become one, in the books of what is sent."""

    def change_tag(self, local_tag: int) -> None:
        """Be found by another tag than before."""

    def data_pending(self) -> bool:
        """Return whether user data waits to be sent or to be acknowledged."""

    def await_completion(self) -> None:
        """Tell the user that nothing is missing but the SHUTDOWN COMPLETE, and let the endpoint end it if need be."""

    def is_timed(self, path: Path) -> bool:
        """Return whether T3-rtx runs for this path, or has just run out and is still to be dealt with. It does not run
        where data is unacknowledged that can't be sent again for now.
        """


class PathUser(Protocol):
    """What refers to paths beyond one step: a conversation, or a book of what was sent."""

    def forget_path(self, path: Path, successor: Path) -> None:
        """Let go of a path that is no more: what waits for it is for its successor."""


@final
class Context:
    """One association as its handlers see it."""

    __slots__ = (
        "answered_apart",
        "answers_at",
        "budget",
        "config",
        "control",
        "is_at_work",
        "is_waiting",
        "keyring",
        "linger",
        "local_port",
        "local_tag",
        "notices",
        "now",
        "numbering",
        "owner",
        "packets",
        "packets_before",
        "path_users",
        "paths",
        "peer_port",
        "peer_tag",
        "random",
        "setup",
        "shared_keys",
        "silence",
        "state",
        "statistics",
        "timers",
    )

    def __init__(
        self,
        owner: Owner,
        config: Config,
        random: Random,
        ports: tuple[int, int],
        tags: tuple[int, int],
        addresses: tuple[Sequence[str], Sequence[str]],
        udp_port: int,
        budget: Budget,
        now: float,
    ) -> None:
        """`ports`, `tags` and `addresses` are ours and the peer's; its tag is 0 while it is unknown."""
        self.config = config
        #: What the associations of the endpoint may hold together.
        self.budget = budget
        #: How the peer counts fragments, where messages interleave.
        self.numbering: Numbering | None = None
        self.random = random
        self.owner = owner
        self.local_port, self.peer_port = ports
        self.local_tag, self.peer_tag = tags
        self.now = now
        #: What the user is to be told, once the packet or the call that is at work has been dealt with.
        self.notices: list[Notice] = []
        self.paths = PathManager(config, *addresses, udp_port, self._on_controller_failed)
        self.state: State = CLOSED
        self.setup: Setup | None = None
        #: Those who are to let go of a path that is removed.
        self.path_users: list[PathUser] = []
        #: In the middle of a step, or while the user is being told: nothing is to be told from within.
        self.is_at_work = False
        #: After the end: for how many seconds the peer may still ask for our SHUTDOWN COMPLETE, which may be lost.
        self.linger = 0.0
        #: What is authenticated, and how; None unless that was negotiated. It is there from the INIT ACK on.
        self.keyring: Keyring | None = None
        self.shared_keys: SharedKeys | None = None
        #: When time-outs were counted last, and the paths that they were counted against, the last one last.
        self.silence: tuple[float, tuple[Path, ...]] = (0.0, ())
        self.statistics = Statistics()
        self.timers = TimerTable()
        #: Chunks that wait for the next flush, each with the path it must take, or -1 for any, and whether it answers
        #: what the peer sent.
        self.control: list[tuple[bytes, int, bool]] = []
        #: Packets of their own that wait for the next flush: route, verification tag and chunks of each.
        self.packets: list[tuple[Route, int, bytes]] = []
        #: Where in `control` and in `packets` the answers to the packet begin that is being processed.
        self.answers_at = 0
        self.packets_before = 0
        #: Whether it is answered by a packet of its own, too, which is made later.
        self.answered_apart = False
        #: Whether anything of these three has been so since `open_answers`: the cheap question of most packets.
        self.is_waiting = False

    def change(self, transition: Transition) -> None:
        """Enter the state that this event makes of the one that the association is in; see `state`."""
        self.state = transition[self.state]

    def queue(self, chunk: bytes, path_id: int = -1) -> None:
        """Send a control chunk with the next flush, bundled with whatever else goes to that path.

        It is what the association begins, or its user: its time has come, maybe by what a packet brought.
        """
        self.control.append((chunk, path_id, False))
        self.is_waiting = True

    def answer(self, chunk: bytes, path_id: int = -1) -> None:
        """Queue a control chunk that answers the packet that is being processed: see `close_answers`."""
        self.control.append((chunk, path_id, True))
        self.is_waiting = True

    def answer_first(self, chunk: bytes, path_id: int) -> None:
        """Queue an answer before all else that this packet gives rise to."""
        self.control.insert(self.answers_at, (chunk, path_id, True))
        self.is_waiting = True

    def transmit(self, body: bytes, path_id: int, tag: int) -> None:
        """Send a packet of its own with this verification tag: INIT (tag 0), INIT ACK, COOKIE ECHO, answers in odd
        states.
        """
        self.packets.append((self.paths.by_id[path_id].route, tag, body))
        self.is_waiting = True

    def transmit_along(self, body: bytes, route: Route, tag: int) -> None:
        """Send a packet of its own along a given route, whose addresses need not be in use (yet)."""
        self.packets.append((route, tag, body))
        self.is_waiting = True

    # The answers to one packet.

    def open_answers(self) -> None:
        """Take what is queued from now on, until `close_answers`, for answers to one packet. Not needed unless
        `is_waiting`, which is less often true than that something arrives.
        """
        self.answers_at = chunks = len(self.control)
        self.packets_before = packets = len(self.packets)
        self.answered_apart = False
        self.is_waiting = chunks + packets > 0

    def answer_apart(self) -> None:
        """Give the packet no other answer than a packet of its own, which is made later."""
        self.answered_apart = True
        self.is_waiting = True

    def clear_control(self) -> None:
        """Drop the control chunks that wait."""
        self.control.clear()
        self.answers_at = 0

    def close_answers(self) -> None:
        """Keep of the answers to a packet, which has been processed, what fits one packet (section 12.4).

        Those go that come first, and that fit; the peer asks again for what it needs. SACK is no such answer, nor is
        what was queued meanwhile and the peer does not ask for: nobody would ask again.
        """
        answers = len(self.control) - self.answers_at + len(self.packets) - self.packets_before
        if answers > 1 or (answers and self.answered_apart):
            self._bound_answers()

    def _bound_answers(self) -> None:
        at = self.answers_at
        answers = [entry for entry in self.control[at:] if entry[2]]
        begun = [entry for entry in self.control[at:] if not entry[2]]
        alone = self.packets[self.packets_before :]
        if len(answers) + len(alone) + self.answered_apart < 2:
            return
        self.control[at:] = begun
        del self.packets[self.packets_before :]
        if self.state is CLOSED:  # the last word counts
            self.clear_control()
            self.packets += alone[-1:]
        elif self.answered_apart:
            pass
        elif answers:
            self.control[at:at] = self._in_one_packet(answers)  # COOKIE ACK comes first (section 5.1 D)
        else:
            self.packets.append(alone[0])

    def _in_one_packet(self, answers: list[tuple[bytes, int, bool]]) -> list[tuple[bytes, int, bool]]:
        """Return as many of these chunks as one packet takes, all to where the first of them goes."""
        by_default = self.paths.data_path().path_id
        wanted = answers[0][1] if answers[0][1] >= 0 else by_default
        path = self.paths.by_id[wanted]
        keyring = self.keyring
        space = path.payload
        if keyring is not None and not keyring.covers_all and any(keyring.must_cover(chunk) for chunk, _, _ in answers):
            space -= keyring.size
        kept: list[tuple[bytes, int, bool]] = []
        for chunk, path_id, _ in answers:
            if (path_id if path_id >= 0 else by_default) != wanted:
                continue
            chunk = control.fit(chunk, space)
            if chunk and (len(chunk) <= space or not kept):
                kept.append((chunk, wanted, True))
                space -= len(chunk)
        if len(kept) > 1 and space < path.payload and keyring is not None and not keyring.covers_all:
            # Chunks that are to be authenticated leave in packets of their own: with all that is due beside them.
            return [(b"".join(chunk for chunk, _, _ in kept), wanted, True)]
        return kept

    def take_keys(self, setup: Setup) -> None:
        """Authenticate as this setup says, if it does (RFC 4895 section 6.1); the shared keys stay as they are."""
        if setup.auth is None:
            self.keyring = None
            return
        if self.shared_keys is None:
            self.shared_keys = SharedKeys(self.config.auth_keys, self.config.auth_active_key)
        if self.keyring is None or self.keyring.said != setup.auth:
            self.keyring = Keyring(setup.auth, self.shared_keys)

    def space(self, path: Path, kind: int) -> int:
        """Return how many bytes a control chunk of this type may have on a path: fewer where it needs AUTH."""
        keyring = self.keyring
        if keyring is None or keyring.covers_all or kind not in keyring.peer_demands:
            return path.payload
        return path.payload - keyring.size

    def forget_path(self, path: Path, successor: Path) -> None:
        """Have all let go of a path that is no more. What was queued for it, but to probe it, is for its successor."""
        for user in tuple(self.path_users):  # a SACK that is carried out then may end the association
            user.forget_path(path, successor)
        other_id = successor.path_id
        packets, chunks = self.packets, self.control
        self.packets = _elsewhere(packets[: self.packets_before], path)
        self.control = _instead(chunks[: self.answers_at], path, other_id)
        before, answers_at = self.packets_before, self.answers_at
        self.packets_before, self.answers_at = len(self.packets), len(self.control)
        self.packets += _elsewhere(packets[before:], path)
        self.control += _instead(chunks[answers_at:], path, other_id)

    def _on_controller_failed(self, error: Exception) -> None:
        """Tell the user that its congestion controller has made a mistake."""
        self.notices.append(CongestionControllerFailed(error))

    def emit(self, event: Event) -> None:
        """Tell the user."""
        self.notices.append(event)

    def tell_outcome(self, watcher: object, reason: str, path: Path | None, transmissions: int) -> None:
        """Tell the user that a watched message was acknowledged, the last of it over this path; or why it was not."""
        self.notices.append(Outcome(watcher, reason, "" if path is None else path.route.address, transmissions))

    def report(self, cause: bytes, path_id: int) -> None:
        """Send an ERROR with this cause to where the packet at fault came from, if that is surely the peer's address
        (section 3.3.10).
        """
        if self.state is not CLOSED:  # section 9.1: nothing answers a packet with an ABORT
            self.answer(control.pack_error(cause), self.paths.reply_path(self.paths.by_id[path_id]).path_id)

    def protocol_violation(self, text: str) -> None:
        """Abort with a Protocol Violation cause: the peer did what has no other answer (section 3.3.10.13)."""
        self.violated(causes.pack_protocol_violation(text), f"the peer violated the protocol: {text}")

    def violated(self, cause: bytes, text: str) -> None:
        """Abort with this cause for what the peer did. A peer whose ABORT must be authenticated can't bring that about
        by what is not (RFC 4895 section 6.3): it is only counted.
        """
        keyring = self.keyring
        if keyring is None or keyring.is_proven or ABORT not in keyring.demands:
            self.abort(cause, AssociationAborted(text))
        else:
            self.statistics.malformed_packets += 1

    def abort(self, cause: bytes, error: SCTPError) -> None:
        """Send an ABORT with this cause (packed; may be empty) to the peer, and end the association with this error."""
        self.transmit(control.pack_abort(cause), self.paths.data_path().path_id, self.peer_tag)
        self.owner.end(error)


def _elsewhere(packets: list[tuple[Route, int, bytes]], path: Path) -> list[tuple[Route, int, bytes]]:
    """Return those that don't go where this path leads."""
    return [packet for packet in packets if packet[0].address != path.route.address]


def _instead(chunks: list[tuple[bytes, int, bool]], path: Path, other_id: int) -> list[tuple[bytes, int, bool]]:
    """Return the chunks with another path in place of this one, but for those that were to probe it."""
    path_id = path.path_id
    return [
        (chunk, other_id if where == path_id else where, answers)
        for chunk, where, answers in chunks
        if where != path_id or chunk[0] not in (HEARTBEAT, HEARTBEAT_ACK)
    ]
