"""Runs of DATA chunks: fragments of a message found by the TSNs at their two edges, and what waits for its turn.

This is where chunks go that the short cuts of `data_streams` don't fit: after a loss, and where parts are wanted.
"""

from __future__ import annotations

from typing import Final, final

from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_16, MASK_32
from .deferral import Chunk, Deferral
from .reassembly import OVERHEAD, ReassemblyQueue, Recipient

#: What a run is charged beside its chunks: it has a place in several tables.
RUN: Final = 256
#: No TSN, and not the one before the first either.
NO_TSN: Final = -2
#: Stands for the SSN in the key of an unordered message.
UNORDERED_KEY: Final = 1 << 32

_HALF: Final = 1 << 15


@final
class Run:
    """Consecutive fragments of one message. The key is its stream and SSN, or its stream and `UNORDERED_KEY`."""

    __slots__ = ("first", "last", "begun", "ended", "key", "ppid", "size")

    def __init__(self, tsn: int, begun: bool, ended: bool, key: int, ppid: int) -> None:
        self.first = tsn
        self.last = tsn
        self.begun = begun
        self.ended = ended
        self.key = key
        self.ppid = ppid
        self.size = 0


@final
class Given:
    """A message of which the first fragments were given as parts."""

    __slots__ = ("first", "following", "key", "ppid")

    def __init__(self, first: int, following: int, key: int, ppid: int) -> None:
        self.first = first
        self.following = following  # the TSN of the next fragment
        self.key = key
        self.ppid = ppid


class DataRuns(ReassemblyQueue):
    """The chunks of DATA messages that are not complete, or not in turn."""

    __slots__ = ("_next_ssn", "_edges", "_waiting", "_most_fragments", "_skipped", "_giving", "_judged", "is_uncertain")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._next_ssn: dict[int, int] = {}
        self._edges: dict[int, Run] = {}  # each run under its first and its last TSN
        self._waiting: dict[int, dict[int, Run]] = NOTHING  # complete ordered messages by their streams and SSNs
        self._most_fragments = 0
        self._skipped = NO_TSN  # the TSN before those of which none can continue a message: it was abandoned
        self._giving: dict[int, Given] = NOTHING  # by the TSN that is awaited
        self._judged = NO_TSN  # up to there no message is incomplete
        #: Whether there may be something to `judge`.
        self.is_uncertain = False

    def _add_beside_others(self, tsn: int, flags: int, sid: int, ssn: int, ppid: int, payload: bytes) -> str | None:
        self.is_uncertain = True
        if self._giving and tsn in self._giving:
            return self._give_on(tsn, flags, sid, ssn, ppid, payload)
        if self._is_watching and flags & (FLAG_UNORDERED | FLAG_BEGIN) == FLAG_BEGIN:
            if ssn - self._next_ssn.get(sid, 0) & MASK_16 >= _HALF:
                self._defer(Deferral(tsn - 1, None, True))  # that one has been delivered: it goes by new numbers
        deferral = self._deferral
        if deferral is not None and deferral.covers(tsn, sid):
            self._put_aside(deferral, Chunk(tsn, flags, sid, ssn, ppid, payload))
            return None
        begins = flags & FLAG_BEGIN != 0
        ends = flags & FLAG_END != 0
        # Section 3.3.1: the receiver MUST ignore the SSN of an unordered chunk.
        key = sid << 16 | (UNORDERED_KEY if flags & FLAG_UNORDERED else ssn)
        left = self._edges.get(tsn - 1)
        right = self._edges.get(tsn + 1)
        size = len(payload)
        # Section 3.3.1: the TSNs of a message are strictly sequential, so a message begins exactly where one ends; or
        # where its sender has left off one (RFC 3758).
        if left is not None:
            if (left.ended and not begins) or (begins and not left.ended and not self.abandons):
                return violation(tsn, "its B bit contradicts the E bit before it")
            if begins:
                left = None
            elif left.key != key:
                return violation(tsn, "it differs from the fragment before it in stream, SSN or U bit")
            else:
                size += left.size
        if right is not None:
            if (ends and not right.begun) or (right.begun and not ends and not self.abandons):
                return violation(tsn, "its E bit contradicts the B bit after it")
            if right.begun:
                right = None
            elif right.key != key:
                return violation(tsn, "it differs from the fragment after it in stream, SSN or U bit")
            else:
                size += right.size
        if left is None and not begins and tsn - 1 == self._skipped:
            self._pass_over(tsn, ends, right)
            return None
        if size > self._max_message_size and sid not in self._wanted and sid not in self._given:
            return violation(tsn, f"its message is longer than {self._max_message_size} bytes")
        if begins and ends:
            return self._add_whole(tsn, key, ppid, payload)
        self._hold(tsn, payload)
        if left is None:
            run = Run(tsn, begins, ends, key, ppid)
            self.held += RUN
        else:
            run = left
            if run.first != run.last:
                del self._edges[run.last]
            run.last = tsn
            run.ended = ends
        self._edges[tsn] = run
        run.size = size
        if right is not None:
            self._absorb(run, right)
        if run.last - run.first >= self._most_fragments and sid not in self._wanted and sid not in self._given:
            return violation(tsn, f"its message has more than {self._most_fragments} fragments")
        if run.begun and run.ended:
            return self._complete(run)
        if run.begun and run.size >= self.point and sid in self._wanted and sid not in self._given:
            self._give_first(run)
        return None

    def _add_whole(self, tsn: int, key: int, ppid: int, payload: bytes) -> str | None:
        """Take in an unfragmented message: it is delivered, or waits for its turn."""
        sid = key >> 16 & MASK_16
        ssn = key & MASK_16
        if key >= UNORDERED_KEY:
            self._hand_over(key, ppid, tsn, payload)
        elif self._next_ssn.get(sid, 0) == ssn:
            self._next_ssn[sid] = (ssn + 1) & MASK_16
            self._hand_over(key, ppid, tsn, payload)
            self._deliver_waiting(sid)
        else:
            self._hold(tsn, payload)
            run = Run(tsn, True, True, key, ppid)
            run.size = len(payload)
            self._edges[tsn] = run
            self.held += RUN
            return self._wait(run)
        return None

    def _wait(self, run: Run) -> str | None:
        """A complete message waits for its turn."""
        sid = run.key >> 16
        waiting = self._waiting.get(sid)
        if waiting is None:
            if not self._waiting:
                self._waiting = {}
            waiting = self._waiting[sid] = {}
        elif run.key & MASK_16 in waiting:
            return violation(run.last, "another message has its stream and SSN")
        waiting[run.key & MASK_16] = run
        return None

    def _absorb(self, run: Run, right: Run) -> None:
        """Make the run that follows a part of this one."""
        edges = self._edges
        if run.last != run.first:
            del edges[run.last]
        if right.first != right.last:
            del edges[right.first]
        self.held -= RUN
        run.last = right.last
        run.ended = right.ended
        edges[run.last] = run

    def _complete(self, run: Run) -> str | None:
        """A run is a whole message now: it is delivered, or waits for its turn."""
        key = run.key
        sid = key >> 16
        if key >= UNORDERED_KEY:
            self._take(run)
        elif self._next_ssn.get(sid, 0) == key & MASK_16:
            self._next_ssn[sid] = (key + 1) & MASK_16
            self._take(run)
            self._deliver_waiting(sid)
        else:
            return self._wait(run)
        return None

    def _deliver_waiting(self, sid: int) -> None:
        """Deliver the messages that wait in a stream, as far as none is missing before them."""
        while self._waiting:
            waiting = self._waiting.get(sid)
            ssn = self._next_ssn.get(sid, 0)
            run = waiting.pop(ssn, None) if waiting is not None else None
            if run is None:
                return
            if not waiting:
                del self._waiting[sid]
            self._next_ssn[sid] = (ssn + 1) & MASK_16
            self._take(run)

    def _take(self, run: Run) -> None:
        """Deliver a complete run, which is held no longer."""
        del self._edges[run.first]
        if run.first != run.last:
            del self._edges[run.last]
        self.held -= RUN
        self._hand_over(run.key, run.ppid, run.first, self._release(run.first, run.last))

    def _hand_over(self, key: int, ppid: int, tsn: int, data: bytes) -> None:
        """Give a complete message."""
        sid = key >> 16 & MASK_16
        if sid in self._wanted:
            self._deliver_part(sid, key & MASK_16, ppid, key >= UNORDERED_KEY, tsn, data, True)
        else:
            self._deliver(sid, key & MASK_16, ppid, key >= UNORDERED_KEY, tsn, data)

    def _give_up(self, tsn: int) -> None:
        """Let go of the largest TSN held: the last fragment of its run, which is then incomplete."""
        if self._give_up_aside(tsn):
            return
        run = self._edges.pop(tsn)
        if run.begun and run.ended:
            self._stop_waiting(run)
        size = len(self._chunks.pop(tsn))
        self.held -= size + OVERHEAD
        if run.first == tsn:
            self.held -= RUN
            return
        run.last = tsn - 1
        run.ended = False
        run.size -= size
        self._edges[run.last] = run

    def _stop_waiting(self, run: Run) -> None:
        sid = run.key >> 16
        waiting = self._waiting.get(sid)
        if waiting is not None and waiting.pop(run.key & MASK_16, None) is not None and not waiting:
            del self._waiting[sid]

    def _drop(self, run: Run) -> None:
        """Let go of an incomplete message."""
        del self._edges[run.first]
        if run.first != run.last:
            del self._edges[run.last]
        self.held -= RUN
        self._release(run.first, run.last)

    def judge(self, cumulative_tsn: int) -> None:
        """Drop the messages that can't be completed any more: all up to this TSN has come, and does not continue them.

        Their sender has left them off (RFC 3758). It need not say so again if its FORWARD TSN was lost, for nothing is
        missing that this would move the cumulative TSN over.
        """
        if self._deferral is not None:
            return  # what is put aside may belong to them
        first, self._judged = self._judged, cumulative_tsn
        edges = self._edges
        self.is_uncertain = bool(edges) or bool(self._giving)
        if not self.abandons or not self.is_uncertain:
            return
        for given in list(self._giving.values()):
            if given.following <= cumulative_tsn:
                self._abort(given)
                self._count_as_over(given.key)
        numbers = range(first, cumulative_tsn)
        for number in numbers if len(numbers) < len(edges) else sorted(edges):
            run = edges.get(number)
            if run is not None and run.last == number and not run.ended and number < cumulative_tsn:
                self._drop(run)
                self._count_as_over(run.key)

    def _count_as_over(self, key: int) -> None:
        """The next message of its stream is not to wait for one that was left off."""
        sid = key >> 16
        if key < UNORDERED_KEY and self._next_ssn.get(sid, 0) == key & MASK_16:
            self._next_ssn[sid] = (key + 1) & MASK_16
            self._deliver_waiting(sid)

    def _pass_over(self, tsn: int, ends: bool, right: Run | None) -> None:
        """A fragment of a message of which those before were abandoned: it goes, and so does what continues it."""
        self._skipped = NO_TSN if ends else tsn
        if right is not None:
            self._drop(right)
            self._skipped = NO_TSN if right.ended else right.last

    def _give_first(self, run: Run) -> None:
        """Give the first part of a message if it is its turn."""
        sid = run.key >> 16 & MASK_16
        if run.key < UNORDERED_KEY and self._next_ssn.get(sid, 0) != run.key & MASK_16:
            return
        del self._edges[run.first]
        if run.first != run.last:
            del self._edges[run.last]
        if not self._giving:
            self._giving = {}
        if not self._given:
            self._given = {}
        self._giving[run.last + 1] = given = Given(run.first, run.last + 1, run.key, run.ppid)
        self._given[sid] = None
        self.held -= RUN
        self._give(given, self._release(run.first, run.last), False)

    def _give_on(self, tsn: int, flags: int, sid: int, ssn: int, ppid: int, payload: bytes) -> str | None:
        """The next fragment of a message that is given in parts."""
        given = self._giving[tsn]
        ends = flags & FLAG_END != 0
        if flags & FLAG_BEGIN:
            if not self.abandons:
                return violation(tsn, "its B bit contradicts the E bit before it")
            self._abort(given)
            self._count_as_over(given.key)
            return self._add_beside_others(tsn, flags, sid, ssn, ppid, payload)
        if sid << 16 | (UNORDERED_KEY if flags & FLAG_UNORDERED else ssn) != given.key:
            return violation(tsn, "it differs from the fragment before it in stream, SSN or U bit")
        right = self._edges.get(tsn + 1)
        if right is not None:
            if (ends and not right.begun) or (right.begun and not ends and not self.abandons):
                return violation(tsn, "its E bit contradicts the B bit after it")
            if not right.begun:
                if right.key != given.key:
                    return violation(tsn, "it differs from the fragment after it in stream, SSN or U bit")
                del self._edges[right.first]
                if right.first != right.last:
                    del self._edges[right.last]
                self.held -= RUN
                payload += self._release(right.first, right.last)
                tsn = right.last
                ends = right.ended
        del self._giving[given.following]
        if not ends:
            given.following = tsn + 1
            self._giving[tsn + 1] = given
            self._give(given, payload, False)
            return None
        self._given.pop(sid, None)
        self.limit_messages(self._max_message_size)
        if given.key < UNORDERED_KEY:
            self._next_ssn[sid] = (ssn + 1) & MASK_16
        self._give(given, payload, True)
        if given.key < UNORDERED_KEY:
            self._deliver_waiting(sid)
        return None

    def _give(self, given: Given, data: bytes, last: bool) -> None:
        key = given.key
        sid = key >> 16 & MASK_16
        self._deliver_part(sid, key & MASK_16, given.ppid, key >= UNORDERED_KEY, given.first, data, last)

    def _abort(self, given: Given) -> None:
        """The rest of a message will not come."""
        del self._giving[given.following]
        sid = given.key >> 16 & MASK_16
        self._given.pop(sid, None)
        self.limit_messages(self._max_message_size)
        self.recipient.on_parts_aborted(sid)


def violation(tsn: int, text: str) -> str:
    """What is wrong with a chunk."""
    return f"DATA chunk with TSN {tsn & MASK_32}: {text}"
