"""Random runs in which messages have policies, streams are reset, and chunks of messages interleave."""

from __future__ import annotations

from functools import partial

from asyncsctp import schedulers
from asyncsctp.config import Config
from asyncsctp.errors import AssociationClosed, MessageAbandoned, ReconfigError
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.idata_streams import IDataStreams
from asyncsctp.inbound.reassembly import ReassemblyQueue
from asyncsctp.outbound.message import DONE, LIMITED, PRIORITY, RELIABLE, TIMED, OutboundMessage, Terms, message_flags
from asyncsctp.timers import FORWARD_TSN_RTX, RECONFIG

from ..on_terms import send_on_terms
from ..pair import Recorder
from .base import RandomRun

SCHEDULERS = (
    None,
    None,
    schedulers.FirstComeFirstServed,
    schedulers.RoundRobin,
    schedulers.RoundRobinPerPacket,
    schedulers.Priority,
    schedulers.FairBandwidth,
    schedulers.WeightedFairQueueing,
)


class MessagesAndResetsRun(RandomRun):
    """A `RandomRun` with every option of messages and streams."""

    #: What each side may have, beside what it begins with.
    more: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        #: By side and PPID, which is the message's number: its policy, and the message itself.
        self.policies: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.messages: tuple[dict[int, OutboundMessage], dict[int, OutboundMessage]] = ({}, {})
        #: What is written in parts: its terms, and the number of those that are still to be written.
        self.parts: tuple[dict[int, Terms], dict[int, Terms]] = ({}, {})
        self.writing = [0, 0]
        self.ended: tuple[set[int], set[int]] = (set(), set())  # those of which the last part was taken
        #: A as it was before it lost its state, and what it had sent.
        self.before: Recorder | None = None
        self.sent_before: list[tuple[int, int, bool, bytes]] = []
        self.broken: tuple[set[int], set[int]] = (set(), set())
        self.watched: tuple[set[int], set[int]] = (set(), set())
        self.known: tuple[set[int], set[int]] = (set(), set())  # acknowledged, by what `watch` said

    def _config(self) -> Config:
        random = self.random
        return (
            super()
            ._config()
            .replace(
                partial_reliability=random.random() < 0.9,
                interleaving=random.random() < 0.7,
                stream_reconfig=random.random() < 0.9,
                partial_delivery_point=random.choice((1, 2000, 64 * 1024)),
                scheduler=random.choice(SCHEDULERS),
                send_buffer=random.choice((5000, 50_000, 1 << 20)),
                recv_buffer=random.choice((9000, 30_000, 2 * 1024 * 1024)),
            )
        )

    def _plan_messages(self) -> None:
        super()._plan_messages()
        random, pair = self.random, self.pair
        for side in (0, 1):
            reader = pair.users[1 - side]
            for sid in range(random.choice((0, 0, 3))):
                pair.association(1 - side).deliver_parts(sid, True)
                reader.in_parts.add(sid)
            for _ in range(random.choice((0, 0, 1, 3, 8))):
                self._later(random.random() * 3, partial(self._reset, side, random.randrange(1 << 16)))
            for _ in range(random.choice((0, 0, 2, 10))):
                self._later(random.random() * 2, partial(self._withdraw, side, random.randrange(150)))
            for _ in range(random.choice((0, 3, 20))):
                self._later(random.random() * 2, partial(self._watch, side, random.randrange(150)))
            for _ in range(random.choice((0, 0, 1, 3))):
                self._later(random.random() * 2, partial(self._swap_scheduler, side, random.choice(SCHEDULERS)))
            for number in range(random.choice((0, 0, 1, 4))):
                self._later(random.random() * 2, partial(self._begin_parts, side, 1000 + number))
        if random.random() < 0.1:
            self._later(random.random() * 2, partial(self._abort, random.randrange(2)))
        if random.random() < 0.15:
            self._later(random.random() * 2, self._crash)

    def _send(self, side: int, sid: int, data: bytes, ppid: int, unordered: bool, path: int | None) -> None:
        pair, random = self.pair, self.random
        association = pair.association(side)
        if association.state is not ESTABLISHED:
            return
        policy = random.choice((RELIABLE, RELIABLE, TIMED, LIMITED, PRIORITY))
        setup = association.context.setup
        if setup is None or not setup.extensions.partial_reliability:
            policy = RELIABLE
        bound = {
            RELIABLE: 0.0,
            TIMED: pair.now + random.choice((0.0, 0.01, 0.2, 2.0)),
            LIMITED: random.choice((0, 0, 1, 5)),
            PRIORITY: random.choice((0, 1, 2)),
        }[policy]
        terms = Terms(None, policy, bound) if policy != RELIABLE or random.random() < 0.1 else None
        try:
            self.messages[side][ppid] = send_on_terms(association, sid, data, terms, ppid, unordered)
        except RuntimeError:
            return  # a message is being written to this stream in parts
        self.policies[side][ppid] = policy
        pair.sent[side].append((sid, ppid, unordered, data))
        pair.endpoints[side].touch(association)
        if random.random() < 0.2:
            self._watch(side, ppid)

    def _watch(self, side: int, number: int) -> None:
        association = self.pair.association(side)
        message = self.messages[side].get(number)
        submission = association.submission
        if message is None or submission is None or number in self.watched[side] | self.known[side]:
            return
        if message.terms is not None and message.terms.state == DONE:
            return
        if submission.watch(message, number):
            self.watched[side].add(number)
            self.pair.endpoints[side].touch(association)  # what is over already is told with the next flush
        else:
            self.known[side].add(number)

    def _swap_scheduler(self, side: int, scheduler: type | None) -> None:
        association = self.pair.association(side)
        if association.state is not CLOSED:
            association.configure(association.context.config.replace(scheduler=scheduler))
            self.pair.endpoints[side].touch(association)

    def _abort(self, side: int) -> None:
        if self.pair.association(side).state is not CLOSED:
            self.pair.abort(side)

    def _crash(self) -> None:
        """A loses its state, and comes again."""
        pair = self.pair
        if not pair.is_up():
            return
        self.before = pair.users[0]
        self.sent_before = pair.sent[0][:]
        self.writing[0] = 0
        for numbers in (self.watched[0], self.known[0], self.broken[0], self.ended[0]):
            numbers.clear()
        self.messages[0].clear()
        self.parts[0].clear()
        pair.reborn()

    # Messages written in parts.

    def _begin_parts(self, side: int, number: int) -> None:
        pair, random = self.pair, self.random
        association = pair.association(side)
        submission = association.submission
        if association.state is not ESTABLISHED or submission is None:
            return
        setup = association.context.setup
        policy = random.choice((RELIABLE, RELIABLE, TIMED, LIMITED))
        if setup is None or not setup.extensions.partial_reliability:
            policy = RELIABLE
        terms = Terms(None, policy, pair.now + random.random() if policy == TIMED else random.choice((0, 2)))
        sid = random.randrange(min(association.outgoing_streams, 3))
        unordered = random.random() < 0.2
        pieces = [bytes([number & 0xFF]) * random.choice((1, 100, 5000)) for _ in range(random.choice((1, 2, 5, 9)))]
        broken_at = random.choice((-1, -1, -1, random.randrange(len(pieces)))) if len(pieces) > 1 else -1
        flags = message_flags(unordered, False)
        if association.submission is None or not self._write_part(side, sid, number, flags, terms, pieces, 0):
            return
        self.policies[side][number] = policy
        self.parts[side][number] = terms
        pair.sent[side].append((sid, number, unordered, b"".join(pieces)))
        if random.random() < 0.5 and terms.state != DONE:
            terms.watcher = number
            self.watched[side].add(number)
        self.writing[side] += len(pieces) > 1
        when = 0.0
        for at in range(1, len(pieces)):
            when += random.choice((0.0, 0.01, 0.3)) * random.random()
            if at == broken_at:
                self._later(when, partial(self._break_off, side, number, terms))
            self._later(when, partial(self._go_on, side, sid, number, flags, terms, pieces, at))

    def _write_part(
        self, side: int, sid: int, number: int, flags: int, terms: Terms, pieces: list[bytes], at: int
    ) -> bool:
        association = self.pair.association(side)
        try:
            association.sender().send_piece(sid, pieces[at], number, flags, terms, at + 1 == len(pieces))
        except (AssociationClosed, MessageAbandoned, RuntimeError):
            return False
        if at + 1 == len(pieces):
            self.ended[side].add(number)
        self.pair.endpoints[side].touch(association)
        return True

    def _go_on(self, side: int, sid: int, number: int, flags: int, terms: Terms, pieces: list[bytes], at: int) -> None:
        if self.parts[side].get(number) is not terms:
            return  # nobody is there to write any more
        last = at + 1 == len(pieces)
        self.writing[side] -= last
        if not self._write_part(side, sid, number, flags, terms, pieces, at):
            self._break_off(side, number, terms)

    def _break_off(self, side: int, number: int, terms: Terms) -> None:
        """As who writes in parts does when there are no more, or when they are not taken."""
        association = self.pair.association(side)
        submission = association.submission
        if self.parts[side].get(number) is not terms or not terms.open or terms.state == DONE:
            return
        if association.state is CLOSED or submission is None:
            return
        try:
            submission.give_up(terms)
        except ValueError:
            if association.state is not ESTABLISHED:
                self._abort(side)
            return
        self.broken[side].add(number)
        self.policies[side][number] = TIMED
        self.pair.endpoints[side].touch(association)

    def _withdraw(self, side: int, number: int) -> None:
        association = self.pair.association(side)
        message = self.messages[side].get(number)
        if association.state is ESTABLISHED and message is not None and association.submission is not None:
            try:
                if association.submission.withdraw(message):
                    self.policies[side][number] = TIMED
            except ValueError:
                setup = association.context.setup
                assert setup is not None
                assert not setup.extensions.partial_reliability
            self.pair.endpoints[side].touch(association)

    def _reset(self, side: int, number: int) -> None:
        pair = self.pair
        association = pair.association(side)
        if association.state is not ESTABLISHED:
            return
        streams = [number % association.outgoing_streams, number // 7 % association.outgoing_streams % 3]
        try:
            match number % 6:
                case 0 | 1:
                    association.reconfig.reset_streams(sorted(set(streams)), None)
                case 2:
                    association.reconfig.reset_streams([], None)
                case 3:
                    association.reconfig.reset_streams(None, [number % association.incoming_streams % 5])
                case 4:
                    association.reconfig.reset_tsns()
                case 5:
                    association.reconfig.add_streams(number % 3 + 1, 0)
        except (ReconfigError, AssociationClosed, ValueError):
            return
        pair.endpoints[side].touch(association)

    def _is_quiet(self) -> bool:
        pair = self.pair
        if any(user.is_closed for user in pair.users):
            return True
        if not pair.is_up() or (self.before is not None and not pair.association(1).statistics.restarts):
            return False
        for side in (0, 1):
            association = pair.association(side)
            timers = association.context.timers
            if self.writing[side] or association.buffered or timers.runs(FORWARD_TSN_RTX) or timers.runs(RECONFIG):
                return False
        self._agree()
        return True

    def _agree(self) -> None:
        """Nothing is under way: each stream's next number is the same at both ends."""
        for side in (0, 1):
            writer, reader = self.pair.association(side), self.pair.association(1 - side)
            transmission, reception = writer._parts.established.sender, reader._parts.established.receiver
            assert not reception._queue.held, "fragments are held of what nobody will complete"
            for sid, stream in transmission.queue._streams.items():
                awaits = _awaited(reception._queue, sid)
                assert awaits == stream.next_ssn & 0xFFFF, f"stream {sid}: {stream.next_ssn} or {awaits}"

    def verify(self) -> None:
        """Each message whole at most once, reliable ones exactly once, in the order of their stream."""
        if self.pair.others:
            return  # Z had given A up before it came again: `planned_cores` has models of such runs
        for side in (0, 1):
            writer, reader = self.pair.users[side], self.pair.users[1 - side]
            for number in self.parts[side]:
                if number not in self.ended[side]:  # the association was shut down before
                    self.broken[side].add(number)
                    self.policies[side][number] = TIMED
            self._verify(side, writer, reader)
            self._verify_watchers(side, writer, reader)

    def _verify_watchers(self, side: int, writer: Recorder, reader: Recorder) -> None:
        """Each is told once what became of its message, and the truth."""
        came = {ppid for _, ppid, _, _ in self._came(side)}
        told = [watcher for watcher, *_ in writer.settled]
        assert sorted(told) == sorted(self.watched[side]), "not each watcher was told once"
        assert self.known[side] <= came, "what did not come was said to be acknowledged"
        for number, reason, address, transmissions in writer.settled:
            if not reason:
                assert number in came, f"message {number} did not come, and its watcher was told otherwise"
                assert address in (*self.pair.addresses[1 - side], *self.more[1 - side])
                assert transmissions > 0
            elif writer.error is None and reader.error is None and self.before is None:
                assert self.policies[side][number] != RELIABLE, f"message {number} is reliable: {reason}"
        assert not came & self.broken[side], "a message that was broken off came whole"

    def _verify(self, side: int, writer: Recorder, reader: Recorder) -> None:
        written = [*self.sent_before, *self.pair.sent[0]] if side == 0 else self.pair.sent[1]
        sent = {ppid: (sid, unordered, data) for sid, ppid, unordered, data in written}
        came: set[int] = set()
        latest: dict[int, int] = {}
        order = {entry[1]: number for number, entry in enumerate(written)}
        for sid, ppid, unordered, data in self._came(side):
            assert sent.get(ppid) == (sid, unordered, data), f"message {ppid} came otherwise than it was written"
            assert ppid not in came, f"message {ppid} came twice"
            came.add(ppid)
            if not unordered:
                assert latest.get(sid, -1) < order[ppid], f"message {ppid} came out of order on stream {sid}"
                latest[sid] = order[ppid]
        told = {event.ppid for event in writer.failed}
        assert len(told) == len(writer.failed), "a message was given back twice"
        if side == 0:  # those of before are not there to be told
            sent = {ppid: (sid, unordered, data) for sid, ppid, unordered, data in self.pair.sent[0]}
        for ppid in sent.keys() - came:
            if self.policies[side][ppid] == RELIABLE and self.before is None:
                assert writer.error is not None or reader.error is not None, f"reliable message {ppid} did not come"
            if writer.error is None:
                assert ppid in told, f"message {ppid} did not come, and nobody was told"
        for event in writer.failed:
            whole = b"" if event.ppid in self.parts[side] else sent[event.ppid][2]
            assert event.data == whole, f"message {event.ppid} was not given back as it was written"
        if writer.error is None and reader.error is None and self.before is None:
            reliable = {ppid for ppid in told if self.policies[side][ppid] == RELIABLE}
            assert not reliable, f"reliable messages {reliable} were given up"

    def _came(self, side: int) -> list[tuple[int, int, bool, bytes]]:
        """What came of the messages of a side."""
        messages = self.pair.users[1 - side].messages
        return messages if side == 0 or self.before is None else [*self.before.messages, *messages]


def _awaited(streams: ReassemblyQueue, sid: int) -> int:
    """The number of the next ordered message of a stream, as the receiver knows it; 16 bits of it."""
    if isinstance(streams, DataStreams):
        return streams._next_ssn.get(sid, 0)
    assert isinstance(streams, IDataStreams)
    return streams._ordered[sid].next & 0xFFFF if sid in streams._ordered else 0
