"""Two core associations run a `Plan`, and the checks of such a run.

Nothing may arrive wrong, twice or out of order, and receipts must be true. The run must also go on: once the line is
good and all readers read, whatever waits is delivered or given up, or the association has ended with an error that says
why. In the end nothing is left, and never is more held than allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from asyncsctp.association.association import Association
from asyncsctp.errors import (
    AsconfError,
    AssociationAborted,
    AssociationClosed,
    AssociationRefused,
    AssociationTimeout,
    MessageAbandoned,
    ReconfigError,
    SCTPError,
)
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.outbound.message import DONE, RELIABLE, TIMED, OutboundMessage, Terms, message_flags
from asyncsctp.timers import FORWARD_TSN_RTX, RECONFIG, T4_RTO, timer_kind, timer_path

from ..on_terms import send_on_terms
from ..pair import Pair, Recorder
from .address_changes import give, take
from .plan import KEYS, Action, Plan, draw

__all__ = ["PlannedCores", "features", "live"]

#: What a packet and its bookkeeping may hold beyond the receive buffer and a message.
_SLACK: Final = 70_000


def live(seed: int, *, without: Collection[str] = ()) -> None:
    """One seed, less some of its features; an error has the plan with it."""
    plan = draw(seed).without(without)
    meeting = PlannedCores(plan)
    try:
        meeting.run()
    except BaseException as error:
        error.add_note(f"{plan}\n{meeting}")
        raise


def features(seed: int) -> list[str]:
    """What a seed has drawn that it could do without."""
    return draw(seed).features


class Sent:
    """A message that was written, whole or in parts, by one incarnation of a side."""

    def __init__(self, number: int, sid: int, unordered: bool, policy: int, writer: Recorder, order: int) -> None:
        self.number = number
        self.sid = sid
        self.unordered = unordered
        self.policy = policy
        self.writer = writer
        self.order = order
        self.data = b""
        self.is_whole = True  # all its parts were taken
        self.in_parts = False
        self.is_given_up = False  # by its user, so that it need not come
        self.message: OutboundMessage | None = None
        self.terms: Terms | None = None


class PlannedPair(Pair):
    """A pair of which A may crash, so that a side has several incarnations, one after the other."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            plan.seed,
            link=plan.link,
            config=plan.configs[0],
            z_config=plan.configs[1],
            paths=plan.paths[0],
            z_paths=plan.paths[1],
        )
        self.lives: tuple[list[Recorder], list[Recorder]] = ([self.users[0]], [self.users[1]])
        #: The largest receive buffer that each side has had.
        self.windows = [config.recv_buffer for config in plan.configs]

    def check(self, endpoint: object) -> None:
        side = self.endpoints.index(endpoint)
        before = self._checked[side]
        super().check(endpoint)
        if self._checked[side] is before:
            return
        for association in self.endpoints[side].associations:
            data = association._parts.data
            if data is not None:
                queue, config = data.receiver._queue, association.context.config
                most = self.windows[side] + 2 * config.max_message_size + _SLACK
                assert queue.held + queue.unread <= most, f"side {side} holds {queue.held} and {queue.unread} bytes"

    def accept(self, association: Association) -> Recorder:
        self.accepted += 1
        if self.users[1].association is not None:
            self.users = (self.users[0], Recorder("z again"))
            self.lives[1].append(self.users[1])
        self.users[1].association = association
        return self.users[1]

    def reborn(self) -> None:
        super().reborn()
        self.lives[0].append(self.users[0])


class PlannedCores:
    """The run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pair = PlannedPair(plan)
        self.sent: tuple[dict[int, Sent], dict[int, Sent]] = ({}, {})
        self.watched: dict[Recorder, set[int]] = {}
        self.known: dict[Recorder, set[int]] = {}  # acknowledged, by what `watch` said
        self.writing: dict[tuple[int, int], Sent] = {}  # by side and number: what is not yet written to its end
        self.has_aborted = False
        self.has_restarted = False
        self.is_calm = False
        self.was_up = False

    def __str__(self) -> str:
        """How it stands."""
        lines = [f"at {self.pair.now:.3f} s:"]
        for side in (0, 1):
            lines += [f"{user.name}: {_standing(user)}" for user in self.pair.lives[side]]
        return "\n".join(lines)

    def run(self) -> None:
        pair, plan = self.pair, self.plan
        pair.connect(pair_count(plan))
        pair.run_until(self._is_decided, self._patience(setup=True))
        if pair.is_up():
            self.was_up = True
            for side in (0, 1):
                for sid in plan.in_parts[side]:
                    pair.association(side).deliver_parts(sid, True)
                    pair.users[side].in_parts.add(sid)
            for action in plan.actions:
                pair.network.clock.after(action.at, partial(self._do, action))
            pair.run_for(plan.calm)
        else:
            self._verify_refusal()
        self._calm_down()
        pair.run_until(self._is_quiet, self._patience())
        if not any(user.is_closed for user in pair.users):
            self._verify_all_arrived()
        for side in (plan.closer, 1 - plan.closer):
            self._shutdown(side)
            if not plan.both:
                pair.run_until(self._is_half_over, self._patience())
        pair.run_until(self._is_over, self._patience())
        self._verify_nothing_is_left()
        self._verify_endings()
        for side in (0, 1):
            self._verify_messages(side)
            self._verify_receipts(side)

    def _patience(self, setup: bool = False) -> float:
        """How long, in virtual seconds, whatever waits may wait at most."""
        associations = [user.association for user in self.pair.users if user.association is not None]
        configs = [*self.plan.configs, *(association.context.config for association in associations)]
        longest = max(max(config.rto_max, config.rto_initial) for config in configs)
        heartbeats = max(config.heartbeat_interval or 0.0 for config in configs)
        if setup:
            return 25 * longest + 100.0
        waiting = sum(len(sent.data) for each in self.sent for sent in each.values()) + 5000
        window = min(min(config.recv_buffer, (config.mtu or 1280) - 200) for config in configs)
        turns = waiting / window + sum(map(len, self.sent)) + 20
        turn = 2 * self.plan.link.delay + 0.7
        rate = self.plan.link.rate or 1e9
        most = max(config.max_retrans for config in configs) + 2
        return turns * turn + 16 * waiting / rate + most * longest * 2 + 10 * heartbeats + 60.0

    # What is done.

    def _do(self, action: Action) -> None:
        if action.what in ("cut", "heal"):
            self._set_line(action.what == "cut", *action.arguments)
            return
        user = self.pair.users[action.side]
        if user.association is None or user.is_closed:
            return
        carry_out: Callable[..., None] = getattr(self, f"_{action.what}")
        try:
            carry_out(action.side, *action.arguments)
        except (AssociationClosed, ReconfigError, AsconfError, MessageAbandoned):
            return
        finally:
            if user.association.state is not CLOSED:
                self.pair.endpoints[action.side].touch(user.association)

    def _set_line(self, cut: bool, here: int, there: int, one_way: bool = False) -> None:
        a, z = self.pair.addresses[0][here], self.pair.addresses[1][there]
        if cut:
            self.pair.network.cut(a, z, one_way=one_way)
        else:
            self.pair.network.heal(a, z)

    def _may(self, side: int, policy: int) -> int:
        """The policy, where it was negotiated."""
        setup = self.pair.association(side).context.setup
        return policy if setup is not None and setup.extensions.partial_reliability else RELIABLE

    def _send(
        self,
        side: int,
        number: int,
        sid: int,
        size: int,
        unordered: bool,
        policy: int,
        bound: float,
        path: int | None,
        key: int | None,
        watched: bool,
        immediate: bool,
    ) -> None:
        pair, association = self.pair, self.pair.association(side)
        if sid >= association.outgoing_streams or size > association.context.config.max_message_size:
            return
        policy = self._may(side, policy)
        bound = pair.now + bound if policy == TIMED else bound
        terms = Terms(None, policy, bound) if policy != RELIABLE or number % 7 == 0 else None
        paths = association.path_manager.paths
        address = None if path is None else paths[path % len(paths)].route.address
        setup = association.context.setup
        keyed = key is not None and setup is not None and setup.auth is not None and KEYS[key] and self._has_keys(side)
        sent = self._note(side, number, sid, unordered, policy)
        sent.data = number.to_bytes(2) * (size // 2) + b"!" * (size % 2)
        try:
            sent.message = send_on_terms(
                association,
                sid,
                sent.data,
                terms,
                number,
                unordered,
                sack_immediately=immediate,
                path=address,
                auth_key=key if keyed else None,
            )
        except RuntimeError:  # a message is being written to this stream in parts
            del self.sent[side][number]
            return
        except BaseException:
            del self.sent[side][number]
            raise
        if watched:
            self._watch(side, number)

    def _has_keys(self, side: int) -> bool:
        return bool(self.pair.association(side).context.config.auth_keys)

    def _note(self, side: int, number: int, sid: int, unordered: bool, policy: int) -> Sent:
        sent = Sent(number, sid, unordered, policy, self.pair.users[side], len(self.sent[side]))
        self.sent[side][number] = sent
        return sent

    def _watch(self, side: int, number: int) -> None:
        user, sent = self.pair.users[side], self.sent[side].get(number)
        submission = self.pair.association(side).submission
        if sent is None or sent.message is None or submission is None or sent.writer is not user:
            return
        if sent.message.terms is not None and sent.message.terms.state == DONE:
            return
        if submission.watch(sent.message, number):
            self.watched.setdefault(user, set()).add(number)
        else:
            self.known.setdefault(user, set()).add(number)

    def _withdraw(self, side: int, number: int) -> None:
        association, sent = self.pair.association(side), self.sent[side].get(number)
        submission = association.submission
        if sent is None or sent.message is None or submission is None or sent.writer is not self.pair.users[side]:
            return
        try:
            if submission.withdraw(sent.message):
                sent.is_given_up = True
        except ValueError:
            assert association.context.setup is not None
            assert not association.context.setup.extensions.partial_reliability

    # Messages in parts.

    def _begin_parts(
        self,
        side: int,
        number: int,
        sid: int,
        unordered: bool,
        policy: int,
        bound: float,
        watched: bool,
        size: int,
        last: bool,
    ) -> None:
        association = self.pair.association(side)
        if sid >= association.outgoing_streams:
            return
        policy = self._may(side, policy)
        sent = self._note(side, number, sid, unordered, policy)
        sent.in_parts, sent.is_whole = True, False
        sent.terms = Terms(None, policy, self.pair.now + bound if policy == TIMED else bound)
        self.writing[side, number] = sent
        self._part(side, number, size, last)
        if not sent.data:
            del self.sent[side][number]
        elif watched and sent.terms.state != DONE:
            sent.terms.watcher = number
            self.watched.setdefault(sent.writer, set()).add(number)

    def _part(self, side: int, number: int, size: int, last: bool) -> None:
        sent = self.writing.get((side, number))
        if sent is None or sent.terms is None or sent.writer is not self.pair.users[side]:
            return
        data = bytes([number & 0xFF]) * size
        flags = message_flags(sent.unordered, False)
        try:
            self.pair.association(side).sender().send_piece(sent.sid, data, number, flags, sent.terms, last)
        except (AssociationClosed, MessageAbandoned, RuntimeError):
            if sent.data:
                self._break_off(side, number)
            else:
                del self.writing[side, number]
            return
        sent.data += data
        if last:
            sent.is_whole = True
            del self.writing[side, number]

    def _break_off(self, side: int, number: int) -> None:
        """As who writes in parts does when there are no more, or when they are not taken."""
        sent = self.writing.pop((side, number), None)
        association = self.pair.association(side)
        if sent is None or sent.terms is None or sent.writer is not self.pair.users[side]:
            return
        if not sent.terms.open or sent.terms.state == DONE or association.submission is None:
            return
        try:
            association.submission.give_up(sent.terms)
        except ValueError:
            self._abort(side)
        self.pair.endpoints[side].touch(association)

    def _break_off_all(self, side: int) -> None:
        for other, number in list(self.writing):
            if other == side:
                self._break_off(side, number)

    # Readers.

    def _stop_reading(self, side: int) -> None:
        if not self.is_calm:
            self.pair.stop_reading(side)

    def _go_on_reading(self, side: int) -> None:
        self.pair.resume_reading(side)

    def _read(self, side: int, count: int) -> None:
        self.pair.read(side, count)

    # Everything else.

    def _configure(self, side: int, changes: dict[str, Any]) -> None:
        association = self.pair.association(side)
        config = association.context.config
        if changes.get("rto_max", config.rto_max) < config.rto_min:
            changes = changes | {"rto_max": config.rto_min}
        self.pair.windows[side] = max(self.pair.windows[side], changes.get("recv_buffer", 0))
        association.configure(config.replace(**changes), self.pair.now)

    def _set_primary(self, side: int, number: int) -> None:
        association = self.pair.association(side)
        paths = association.path_manager.paths
        association.set_primary(paths[number % len(paths)].route.address)

    def _heartbeat(self, side: int, number: int) -> None:
        association = self.pair.association(side)
        paths = association.path_manager.paths
        association.heartbeat(paths[number % len(paths)].route.address, self.pair.now)

    def _learn_mtu(self, side: int, mtu: int) -> None:
        for path in list(self.pair.association(side).path_manager.paths):
            self.pair.association(side).on_message_size(path.route, mtu, self.pair.now)

    def _prioritize(self, side: int, sid: int, value: int) -> None:
        association = self.pair.association(side)
        if sid < association.outgoing_streams:
            association.sender().set_priority(sid, value)

    def _activate_key(self, side: int, key: int) -> None:
        association = self.pair.association(side)
        setup = association.context.setup
        if setup is not None and setup.auth is not None and self._has_keys(side) and self._has_keys(1 - side):
            association.authentication.activate(key)

    def _reset_streams(self, side: int, outgoing: tuple[int, ...] | None, incoming: tuple[int, ...] | None) -> None:
        association = self.pair.association(side)
        there = association.outgoing_streams, association.incoming_streams
        if max(outgoing or (0,)) < there[0] and max(incoming or (0,)) < there[1]:
            association.reconfig.reset_streams(outgoing, incoming)

    def _reset_tsns(self, side: int) -> None:
        self.pair.association(side).reconfig.reset_tsns()

    def _add_streams(self, side: int, outgoing: int, incoming: int) -> None:
        self.pair.association(side).reconfig.add_streams(outgoing, incoming)

    def _add_address(self, side: int, new: str, old: str) -> None:
        self._change_addresses(side, "add", new, old)

    def _remove_address(self, side: int, new: str, old: str) -> None:
        self._change_addresses(side, "remove", new, old)

    def _change_address(self, side: int, new: str, old: str) -> None:
        self._change_addresses(side, "change", new, old)

    def _ask_primary(self, side: int, new: str, old: str) -> None:
        self._change_addresses(side, "primary", new, old)

    def _change_addresses(self, side: int, what: str, new: str, old: str) -> None:
        pair, association = self.pair, self.pair.association(side)
        if association.state is not ESTABLISHED:
            return
        if what in ("add", "change") and new not in association.path_manager.local:
            give(pair, side, new)
        try:
            if what == "add":
                ticket = association.asconf.add_local(new)
            elif what == "remove":
                ticket = association.asconf.remove_local(old)
            elif what == "change":
                ticket = association.asconf.change_local(new, old)
            else:
                ticket = association.asconf.request_primary(old)
        except ValueError:
            return
        user = pair.users[side]

        def settled() -> None:
            if ticket.is_ok and what in ("remove", "change") and pair.users[side] is user:
                # One that the peer has left behind by losing its state may still have it.
                if all(old not in each.path_manager.local for each in pair.endpoints[side].associations):
                    take(pair, side, old)

        ticket.on_done = settled

    def _restart(self, side: int) -> None:
        """A loses its state, and comes again."""
        pair = self.pair
        if pair.is_up() and not self.has_restarted:
            self.has_restarted = True
            pair.reborn()

    def _abort(self, side: int) -> None:
        self.has_aborted = True
        self.pair.abort(side)

    def _shutdown(self, side: int) -> None:
        for user in self.pair.lives[side]:
            if user.association is not None and user.association in self.pair.endpoints[side].associations:
                self._break_off_all(side)
                user.association.shutdown(self.pair.now)
                self.pair.endpoints[side].touch(user.association)

    def _calm_down(self) -> None:
        """The line is good from now on, all readers read, and nothing new is begun."""
        pair, network = self.pair, self.pair.network
        self.is_calm = True
        network.defaults(
            self.plan.link.replace(
                loss=0.0, burst_start=0.0, reorder=0.0, duplicate=0.0, corrupt=0.0, mark=0.0, jitter=0.0
            )
        )
        for a in pair.addresses[0]:
            for z in pair.addresses[1]:
                network.heal(a, z)
        for side in (0, 1):
            self._break_off_all(side)
            if pair.users[side].association is not None:
                pair.resume_reading(side)

    # What is waited for.

    def _is_decided(self) -> bool:
        return self.pair.is_up() or self._is_half_over()

    def _is_half_over(self) -> bool:
        return any(user.is_closed for user in self.pair.users)

    def _is_over(self) -> bool:
        return self._has_ended(self.pair.users[0]) and all(map(self._has_ended, self.pair.lives[1]))

    @staticmethod
    def _has_ended(user: Recorder) -> bool:
        return user.is_closed or user.association is None

    def _is_quiet(self) -> bool:
        """Nothing is under way."""
        pair = self.pair
        if self._is_half_over():
            return True
        if not pair.is_up():
            return False
        for side in (0, 1):
            association = pair.association(side)
            timers = association.context.timers
            if association.buffered or any(map(timers.runs, (FORWARD_TSN_RTX, RECONFIG, T4_RTO))):
                return False
        return not (self.has_restarted and not pair.association(1).statistics.restarts and len(pair.lives[1]) == 1)

    # What must be true.

    def _verify_refusal(self) -> None:
        """The association was not set up: only for a reason."""
        errors = [user.error for user in self.pair.users if user.error is not None]
        fits = all(
            mine.demanded_chunks <= frozenset() or theirs.offers_auth
            for mine, theirs in (self.plan.configs, self.plan.configs[::-1])
        )
        for error in errors:
            if self.plan.is_rough and isinstance(error, AssociationTimeout):
                continue
            assert not fits, f"it was not set up: {error!r}"
            assert isinstance(error, (AssociationRefused, AssociationAborted, AssociationTimeout)), repr(error)

    def _verify_all_arrived(self) -> None:
        """All is quiet and nobody has ended: what is reliable is there."""
        if self.has_restarted:
            return
        for side in (0, 1):
            came = {ppid for user in self.pair.lives[1 - side] for _, ppid, _, _ in user.messages}
            for sent in self.sent[side].values():
                if sent.policy == RELIABLE and sent.is_whole and not sent.is_given_up:
                    assert sent.number in came, f"all is quiet, and message {sent.number} of side {side} did not come"

    def _verify_nothing_is_left(self) -> None:
        """All that an ended association may leave is an answer to late packets, for a while."""
        pair = self.pair
        for endpoint in pair.endpoints:
            assert not endpoint.associations, f"{endpoint.associations} are left"
        pair.run_for(600.0)
        for endpoint in pair.endpoints:
            assert endpoint.next_expiry == float("inf"), f"something is due at {endpoint.next_expiry}"
        assert not len(pair.network.clock), "packets are still under way"

    def _verify_endings(self) -> None:
        """Who ended with an error had a reason for it, and it says which."""
        errors = [(side, user.error) for side in (0, 1) for user in self.pair.lives[side] if user.error is not None]
        told = "; ".join(f"side {side}: {error!r}" for side, error in errors)
        for side, error in errors:
            assert str(error), f"{error!r} does not say why"
            assert self._is_legitimate(side, error), f"ended without a reason: {told}"

    def _is_legitimate(self, side: int, error: SCTPError) -> bool:
        if isinstance(error, AssociationAborted) and error.by_peer:  # who did it must have had a reason
            causes = [user.error for user in self.pair.lives[1 - side] if user.error is not None]
            # A that has come again knows nothing of an association with what was its address before.
            return self.has_restarted or any(not isinstance(e, AssociationAborted) or not e.by_peer for e in causes)
        if isinstance(error, AssociationRefused) or not self.was_up:
            return not self.was_up or self.has_restarted or self.has_aborted  # or it was looked at before
        if isinstance(error, AssociationTimeout):
            # Who shuts down and does not read keeps the peer from sending the rest, and from answering (section 9.2).
            unread = "shutdown" in str(error) and any(self._stops_reading(each) for each in (0, 1))
            return self.plan.is_rough or self.has_restarted or self.has_aborted or unread
        assert isinstance(error, AssociationAborted), repr(error)
        text = str(error)
        if "is longer than" in text:
            return self._is_any_too_long()
        if "guard timer" in text:  # five times RTO.Max may be less than what is left takes
            return self.plan.configs[side].shutdown_guard is None
        if "can't be ended" in text:  # without partial reliability nothing takes back what is written in parts
            begun = any(not sent.is_whole for each in self.sent for sent in each.values())
            return begun and not all(config.partial_reliability for config in self.plan.configs)
        if "there is no room for the rest" in text:  # what is written in parts is not held back
            return any(sent.in_parts for sent in self.sent[1 - side].values())
        if "violated the protocol" in text or "Protocol Violation" in text:
            return False
        return self.has_aborted or self.has_restarted

    def _stops_reading(self, side: int) -> bool:
        done = {action.what for action in self.plan.actions if action.side == side}
        return {"stop_reading", "shutdown"} <= done

    def _is_any_too_long(self) -> bool:
        """Whether a message is longer than the other side takes."""
        return any(
            len(sent.data) > self.plan.configs[1 - side].max_message_size
            for side in (0, 1)
            for sent in self.sent[side].values()
        )

    def _has_failed(self) -> bool:
        return any(user.error is not None for lives in self.pair.lives for user in lives) or self.has_restarted

    def _verify_messages(self, side: int) -> None:
        """Each whole, at most once and in the order of its stream; reliable ones at all, others or one is told."""
        sent = self.sent[side]
        came: set[int] = set()
        for user in self.pair.lives[1 - side]:
            latest: dict[int, int] = {}
            for sid, number, unordered, data in user.messages:
                assert number in sent, f"message {number} of side {side} came, and nobody wrote it"
                message = sent[number]
                assert (sid, unordered) == (message.sid, message.unordered), f"message {number} came elsewhere"
                assert data == message.data, f"message {number} came with {len(data)} bytes of {len(message.data)}"
                assert message.is_whole, f"message {number} came, and was not ended"
                assert number not in came, f"message {number} of side {side} came twice"
                came.add(number)
                if not unordered:
                    assert latest.get(sid, -1) < message.order, f"message {number} came out of order on stream {sid}"
                    latest[sid] = message.order
        failed = self._has_failed()
        for user in self.pair.lives[side]:
            told = [event.ppid for event in user.failed]
            assert len(set(told)) == len(told), "a message was given back twice"
            for event in user.failed:
                message = sent[event.ppid]
                # What was written in parts is not kept, unless it is one that has not left.
                given = event.data == message.data or (message.in_parts and not event.data)
                assert given, f"message {event.ppid} was not given back as it was written"
                must = message.policy == RELIABLE and message.is_whole and not message.is_given_up
                assert failed or not must, f"message {event.ppid} is reliable, and was given up: {event.reason}"
            for message in sent.values():
                if message.writer is user and user.is_closed and message.number not in came:
                    must = message.policy == RELIABLE and message.is_whole and not message.is_given_up
                    assert failed or not must, f"reliable message {message.number} did not come"
                    assert message.number in told, f"message {message.number} did not come, and nobody was told"

    def _verify_receipts(self, side: int) -> None:
        """Each who watches is told once what became of the message, and the truth."""
        came = {number for user in self.pair.lives[1 - side] for _, number, _, _ in user.messages}
        for user in self.pair.lives[side]:
            watched = self.watched.get(user, set())
            told = [watcher for watcher, *_ in user.settled]
            if user.is_closed:
                assert sorted(told) == sorted(watched), f"{sorted(watched)} were watched, {sorted(told)} were told"
            known = self.known.get(user, set())
            assert known <= came, f"{known - came} did not come, and were said to be acknowledged"
            for number, reason, _, transmissions in user.settled:
                if not reason:
                    assert number in came, f"message {number} did not come, and its watcher was told otherwise"
                    assert transmissions > 0


def pair_count(plan: Plan) -> int:
    """How many of Z's addresses A knows from the beginning."""
    return plan.paths[1] if plan.seed % 2 else 1


def _standing(user: Recorder) -> str:
    """What an association waits for, for whoever has to find out why it does."""
    association = user.association
    if association is None:
        return "never was"
    if user.is_closed:
        return f"ended: {user.error!r}"
    timers = {(timer_kind(key), timer_path(key)): when for key, when in association.context.timers._deadlines.items()}
    data = association._parts.data
    text = f"{association.state.value}, {len(user.unread)} unread, timers {timers}"
    if data is not None:
        transmission, reception = data.sender, data.receiver
        outstanding, queue = transmission.outstanding, reception._queue
        text += (
            f", {association.buffered} bytes buffered, TSNs {outstanding.cumulative_tsn} to {outstanding.next_tsn} "
            f"outstanding, peer's window {transmission.window.a_rwnd}; "
            f"received up to {reception.tracker.cumulative_tsn}, gaps {reception.tracker.gap_ranges()[:5]}, "
            f"held {queue.held}, unread {queue.unread}"
        )
    return text
