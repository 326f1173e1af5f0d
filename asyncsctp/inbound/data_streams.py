"""From DATA chunks to messages in the order of their streams (RFC 9260 sections 3.3.1, 6.5, 6.6 and 6.9).

Fragments of a message have consecutive TSNs, so what is held is runs of them: one run for each message, or part of one,
found by the TSNs at its two ends. A chunk joins the runs beside it, however long they are, at the same cost. A complete
run is delivered at once if it is unordered or its SSN is next in its stream; otherwise it waits under its SSN. While
nothing is lost there is one incomplete message at most, and its fragments come in order. That one is the *front*, kept
as a list; it becomes a run as soon as anything else is to be held or looked for.

A stream costs nothing until its first ordered message. SSNs are compared for equality alone, so they stay as they are
on the wire: a TSN is new only once, hence an SSN that isn't next is always ahead, by up to 65535. Which streams were
negotiated is known to `handlers.data.receiver`, which TSNs have been received to `data_tracker`: the caller offers each
valid chunk once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, final

from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_16, MASK_32
from .reassembly import (
    AS_BEFORE,
    KIND,
    LARGEST_CHUNK,
    LOOSE,
    NEVER,
    OVERHEAD,
    SMALLEST_CHARGE,
    WHOLE,
    Chunk,
    ReassemblyQueue,
    Recipient,
)

#: What a run is charged beside its chunks: it has a place in several tables.
RUN: Final = 256

#: What a stream takes for as long as it is known, its place in `aio.inbox` included.
_STREAM: Final = 160
#: No TSN, and not the one before the first either.
_NO_TSN: Final = -2
#: Stands for the SSN in the key of an unordered message.
_UNORDERED_KEY: Final = 1 << 32
_HALF: Final = 1 << 15
_NO_PARTS: Final[list[bytes]] = []
#: Fragments that a message may have in any case; a long one may have more, if they are not tiny.
_FEW_FRAGMENTS: Final = 64


@final
class _Run:
    """Consecutive fragments of one message. The key is its stream and SSN, or its stream and `_UNORDERED_KEY`; `parts`
    are those of the front.
    """

    __slots__ = ("first", "last", "begun", "ended", "key", "ppid", "size", "parts")

    def __init__(self, tsn: int, begun: bool, ended: bool, key: int, ppid: int, size: int, parts: list[bytes]) -> None:
        self.first = self.last = tsn
        self.begun = begun
        self.ended = ended
        self.key = key
        self.ppid = ppid
        self.size = size
        self.parts = parts

    @property
    def is_complete(self) -> bool:
        """Whether nothing of its message is missing."""
        return self.begun and self.ended


@final
class DataStreams(ReassemblyQueue):
    """Reassembly and stream order of DATA chunks."""

    __slots__ = (
        "_fast_kind",
        "_front",
        "_front_kind",
        "_giving",
        "_judged",
        "_most_fragments",
        "_next_ssn",
        "_runs_filed",
        "_skipped",
        "_waiting",
    )

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._next_ssn: dict[int, int] = {}
        self._front: _Run | None = None
        # Each run under its first and its last TSN; empty while there is a front. To be had from `_runs` alone.
        self._runs_filed: dict[int, _Run] = {}
        self._waiting: dict[int, dict[int, _Run]] = NOTHING  # complete ordered messages by their streams and SSNs
        # Messages of which the first fragments were given as parts, and are not held: by the TSN that is awaited.
        self._giving: dict[int, _Run] = NOTHING
        self._skipped = _NO_TSN  # the TSN before those of which none can continue a message: it was abandoned
        self._judged = _NO_TSN  # up to there no message is incomplete
        self._most_fragments = 0
        # The flags of chunks for which there is a fast path; `NEVER` while it is closed.
        self._fast_kind = NEVER
        self._front_kind = NEVER
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        # The message in progress is not held against the window, so its bookkeeping must not outgrow its data.
        self._most_fragments = _FEW_FRAGMENTS + max_message_size // OVERHEAD
        # The fast paths look neither at who wants parts, nor at what is to be put aside; that for whole messages does
        # not look at sizes either.
        is_open = not (self._wanted or self._giving or self._is_watching) and self._deferral is None
        self._front_kind = FLAG_BEGIN if is_open else NEVER
        self._fast_kind = WHOLE if is_open and max_message_size >= LARGEST_CHUNK else NEVER
        if not is_open:
            self._runs()

    def reset(self) -> list[int]:
        cut_off = super().reset()
        self._next_ssn = {}
        self._runs_filed = {}
        self._front = None
        self._waiting = NOTHING
        self._skipped = _NO_TSN
        self._giving = NOTHING
        return cut_off

    def add(
        self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes, acknowledged: int = AS_BEFORE
    ) -> str | None:
        front = self._front
        if front is not None:
            if tsn == front.last + 1 and flags & FLAG_BEGIN == 0:
                key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else number)
                if key == front.key:
                    length = len(payload)
                    parts = front.parts
                    size = front.size + length
                    if size > self._max_message_size:
                        return self._too_long(tsn)
                    if len(parts) >= self._most_fragments:
                        return self._too_many(tsn)
                    parts.append(payload)
                    front.last = tsn
                    front.size = size
                    self.held += length + OVERHEAD
                    return None if flags & FLAG_END == 0 else self._complete_front(front)
        elif flags & KIND == self._fast_kind and not self._runs_filed and self._next_ssn.get(sid, 0) == number:
            self._next_ssn[sid] = (number + 1) & MASK_16
            size = len(payload)
            self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
            self.delivered += 1
            self.recipient.on_message(sid, number, ppid, False, tsn & MASK_32, payload)
            return None
        elif flags & WHOLE == self._front_kind and not self._runs_filed and len(payload) <= self._max_message_size:
            key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else number)
            self._front = _Run(tsn, True, False, key, ppid, len(payload), [payload])
            self.held += len(payload) + OVERHEAD
            return None
        return self._add_to_runs(tsn, flags, sid, number, ppid, payload)

    def judge(self, cumulative_tsn: int) -> None:
        if self._deferral is not None:
            return  # what is put aside may belong to them
        self.is_uncertain = False
        front = self._front
        if front is not None and front.last >= cumulative_tsn:
            return
        runs = self._runs()
        first, self._judged = self._judged, cumulative_tsn
        self.is_uncertain = bool(runs) or bool(self._giving)
        if not self.abandons or not self.is_uncertain:
            return
        for given in list(self._giving.values()):
            if given.last < cumulative_tsn:
                self._abort(given)
                self._count_as_over(given.key)
        numbers = range(first, cumulative_tsn)
        for number in numbers if len(numbers) < len(runs) else sorted(runs):
            run = runs.get(number)
            if run is not None and run.last == number and not run.ended and number < cumulative_tsn:
                self._extract(run)
                self._count_as_over(run.key)

    def skip(self, previous: int, tsn: int, entries: Iterable[tuple[int, bool, int]]) -> None:
        self._skipped = tsn  # even if it is out of date: no more comes of the message that ends there
        if tsn == previous:
            return
        deferral = self._deferral
        if deferral is not None and tsn > deferral.skipped_to:
            deferral.skipped_to = tsn
        under_way = self._drop_incomplete(previous, tsn)
        for sid, _, ssn in entries:
            expected = self._next_ssn.get(sid, 0)
            ahead = (ssn - expected) & MASK_16
            if ahead >= _HALF:
                continue  # it is over already
            if under_way is not None and under_way.key >> 16 == sid and (under_way.key - expected) & MASK_16 <= ahead:
                self._extract(under_way)
                self._skipped = under_way.last
                under_way = None
            self._finish(sid, expected, ahead)
            self._deliver_waiting(sid)

    def in_progress(self, cumulative_tsn: int) -> int:
        front = self._front
        if front is not None:
            return front.size + len(front.parts) * OVERHEAD if front.last == cumulative_tsn else 0
        run = self._runs().get(cumulative_tsn)
        if run is None or run.last != cumulative_tsn or run.ended or not run.begun:
            return 0
        return run.size + (run.last - run.first + 1) * OVERHEAD

    def stream_state(self) -> int:
        return len(self._next_ssn) * _STREAM

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        wanted = None if sids is None else set(sids)
        for given in list(self._giving.values()):
            if given.key < _UNORDERED_KEY and (wanted is None or given.key >> 16 in wanted):
                self._abort(given)
                self._skipped = given.last
        for number, run in list(self._runs().items()):
            if number != run.first or run.key >= _UNORDERED_KEY or run.is_complete:
                continue
            if wanted is None or run.key >> 16 in wanted:
                self._extract(run)
                if not run.ended:
                    self._skipped = run.last
        for sid in list(self._waiting) if sids is None else sids:
            self._finish(sid, self._next_ssn.get(sid, 0), MASK_16)
        if sids is None:
            self._next_ssn = {}
        else:
            for sid in sids:
                self._next_ssn.pop(sid, None)

    def restart(self, first_tsn: int) -> str | None:
        deferral, anew, found = self._split_deferral(first_tsn)
        for number, run in list(self._runs().items()):
            if number == run.first and run.last >= first_tsn:
                if run.is_complete:
                    self._stop_waiting(run)
                anew += self._unmake(run)
        self.reset_streams(None)
        for given in list(self._giving.values()):
            self._abort(given)
        for number, run in list(self._runs().items()):
            if number == run.first:
                self._extract(run)
        self._skipped = _NO_TSN
        self._deferral = deferral
        self.limit_messages(self._max_message_size)
        return found or self._add_all(anew)

    def recount(self) -> int:
        chunks = list(self._chunks.values())
        if self._front is not None:
            chunks += self._front.parts
            if self._runs_filed:
                return -1
        runs = sum(number == run.first for number, run in self._runs_filed.items())
        aside = 0 if self._deferral is None else len(self._deferral.chunks)
        return sum(map(len, chunks)) + OVERHEAD * (len(chunks) - aside) + LOOSE * aside + RUN * runs

    # The front.

    def _runs(self) -> dict[int, _Run]:
        """Return all that is held, by the TSNs at both ends of each run; the front is a run like others from now on."""
        front = self._front
        if front is not None:
            self._front = None
            self.is_uncertain = True
            self._runs_filed[front.first] = self._runs_filed[front.last] = front
            self.held += RUN
            for number, payload in enumerate(front.parts):
                self._record(front.first + number, payload)
            front.parts = _NO_PARTS
        return self._runs_filed

    def _largest_held(self) -> int:
        self._runs()
        return super()._largest_held()

    def _complete_front(self, front: _Run) -> str | None:
        """Deliver the front, of which the last fragment has come, or let it wait for its turn."""
        if not self._take_turn(front.key):
            self._runs()
            front.ended = True
            return self._wait(front)
        self._front = None
        self.held -= front.size + len(front.parts) * OVERHEAD
        self._hand_over(front.key, front.ppid, front.first, b"".join(front.parts))
        return None

    # Runs.

    def _add_to_runs(self, tsn: int, flags: int, sid: int, ssn: int, ppid: int, payload: bytes) -> str | None:
        """Take in a chunk beside others, or where it has to be looked at more closely."""
        begins = flags & FLAG_BEGIN != 0
        ends = flags & FLAG_END != 0
        left = given = self._giving.get(tsn)
        if given is not None and begins and self.abandons:
            self._abort(given)
            self._count_as_over(given.key)
            left = given = None
        if given is None and (self._is_watching or self._deferral is not None):
            is_over = ssn - self._next_ssn.get(sid, 0) & MASK_16 >= _HALF
            if self._puts_aside(Chunk(tsn, flags, sid, ssn, ppid, payload), is_over):
                return None
        self.is_uncertain = True
        # Section 3.3.1: the receiver MUST ignore the SSN of an unordered chunk.
        key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else ssn)
        runs = self._runs()
        if left is None:
            left = runs.get(tsn - 1)
        right = runs.get(tsn + 1)
        size = len(payload)
        # Section 3.3.1: the TSNs of a message are strictly sequential, so a message begins exactly where one ends; or
        # where its sender has left off one (RFC 3758).
        if left is not None:
            if begins != left.ended and (left.ended or not self.abandons):
                return _violation(tsn, "its B bit contradicts the E bit before it")
            if begins:
                left = None
            elif left.key != key:
                return _violation(tsn, "it differs from the fragment before it in stream, SSN or U bit")
            else:
                size += left.size
        if right is not None:
            if ends != right.begun and (ends or not self.abandons):
                return _violation(tsn, "its E bit contradicts the B bit after it")
            if right.begun:
                right = None
            elif right.key != key:
                return _violation(tsn, "it differs from the fragment after it in stream, SSN or U bit")
            else:
                size += right.size
        if given is not None:
            self._give_on(given, tsn, ends, payload, right)
            return None
        if left is None and not begins and tsn - 1 == self._skipped:
            self._pass_over(tsn, ends, right)
            return None
        is_limited = sid not in self._wanted and sid not in self._given
        if size > self._max_message_size and is_limited:
            return self._too_long(tsn)
        if begins and ends:
            return self._add_whole(tsn, key, ppid, payload)
        self._hold(tsn, payload)
        run = left
        if run is None:
            run = _Run(tsn, begins, ends, key, ppid, size, _NO_PARTS)
            self.held += RUN
        else:
            if run.first != run.last:
                del runs[run.last]
            run.last = tsn
            run.ended = ends
        if right is not None:
            self._unfile(right)
            run.last = right.last
            run.ended = right.ended
        run.size = size
        runs[run.first] = runs[run.last] = run
        if run.last - run.first >= self._most_fragments and is_limited:
            return self._too_many(tsn)
        if run.is_complete:
            if not self._take_turn(key):
                return self._wait(run)
            self._take(run)
            self._deliver_waiting(sid)
        elif run.begun and run.size >= self.point and sid in self._wanted and sid not in self._given:
            self._give_first(run)
        return None

    def _add_whole(self, tsn: int, key: int, ppid: int, payload: bytes) -> str | None:
        """Deliver an unfragmented message, or let it wait for its turn."""
        if self._take_turn(key):
            self._hand_over(key, ppid, tsn, payload)
            self._deliver_waiting(key >> 16)
            return None
        self._hold(tsn, payload)
        run = self._runs()[tsn] = _Run(tsn, True, True, key, ppid, len(payload), _NO_PARTS)
        self.held += RUN
        return self._wait(run)

    def _hold(self, tsn: int, payload: bytes) -> None:
        self.held += len(payload) + OVERHEAD
        self._record(tsn, payload)

    def _unfile(self, run: _Run) -> None:
        """Take a run out of the table; its chunks are held still."""
        runs = self._runs()
        del runs[run.first]
        if run.first != run.last:
            del runs[run.last]
        self.held -= RUN

    def _extract(self, run: _Run) -> bytes:
        """Take a run out; return its chunks, joined."""
        self._unfile(run)
        chunks = self._chunks
        self.held -= run.size + (run.last - run.first + 1) * OVERHEAD
        if run.first == run.last:
            return chunks.pop(run.first)
        return b"".join([chunks.pop(tsn) for tsn in range(run.first, run.last + 1)])

    def _take(self, run: _Run) -> None:
        """Deliver a complete run."""
        self._hand_over(run.key, run.ppid, run.first, self._extract(run))

    def _unmake(self, run: _Run) -> list[Chunk]:
        """Take a run out; return its chunks as they came."""
        found: list[Chunk] = []
        for tsn in range(run.first, run.last + 1):
            flags = FLAG_UNORDERED if run.key >= _UNORDERED_KEY else 0
            if run.begun and tsn == run.first:
                flags |= FLAG_BEGIN
            if run.ended and tsn == run.last:
                flags |= FLAG_END
            sid = run.key >> 16 & MASK_16
            found.append(Chunk(tsn, flags, sid, run.key & MASK_16, run.ppid, self._chunks[tsn]))
        self._extract(run)
        return found

    def _give_up(self, tsn: int) -> None:
        """Let go of the largest TSN held: the last fragment of its run, which is then incomplete."""
        runs = self._runs()
        run = runs[tsn]
        if run.is_complete:
            self._stop_waiting(run)
        if run.first == tsn:
            self._extract(run)
            return
        del runs[tsn]
        size = len(self._chunks.pop(tsn))
        self.held -= size + OVERHEAD
        run.last = tsn - 1
        run.ended = False
        run.size -= size
        runs[run.last] = run

    def _pass_over(self, tsn: int, ends: bool, right: _Run | None) -> None:
        """Drop a fragment of a message of which those before were abandoned, and what continues it."""
        self._skipped = _NO_TSN if ends else tsn
        if right is not None:
            self._extract(right)
            self._skipped = _NO_TSN if right.ended else right.last

    def _drop_incomplete(self, previous: int, tsn: int) -> _Run | None:
        """Drop messages that lack a TSN up to this one; return the one that lacks none, but whose rest is to come."""
        for given in list(self._giving.values()):
            if given.last < tsn:
                self._abort(given)
        under_way: _Run | None = None
        runs = self._runs()
        # Of what is held, an end is in this range: the least of both is looked through, so that many small steps cost
        # no more than a large one.
        for number in range(previous, tsn + 2) if tsn - previous < len(runs) else list(runs):
            run = runs.get(number)
            if run is None or run.first > tsn + 1 or run.is_complete:
                continue
            if not run.begun or run.last < tsn:
                self._extract(run)
                if run.last > tsn:
                    self._skipped = _NO_TSN if run.ended else run.last
            elif run.first <= tsn:
                under_way = run
        return under_way

    # The order of streams.

    def _take_turn(self, key: int) -> bool:
        """Return true if a complete message may be delivered now; the one after it in its stream is next then."""
        if key >= _UNORDERED_KEY:
            return True
        sid = key >> 16
        if self._next_ssn.get(sid, 0) != key & MASK_16:
            return False
        self._next_ssn[sid] = (key + 1) & MASK_16
        return True

    def _wait(self, run: _Run) -> str | None:
        """Let a complete message wait for its turn."""
        sid = run.key >> 16
        waiting = self._waiting.get(sid)
        if waiting is None:
            if not self._waiting:
                self._waiting = {}
            waiting = self._waiting[sid] = {}
        elif run.key & MASK_16 in waiting:
            return _violation(run.last, "another message has its stream and SSN")
        waiting[run.key & MASK_16] = run
        return None

    def _stop_waiting(self, run: _Run) -> bool:
        """Take a complete message out of those that wait; return false if it is not there."""
        sid = run.key >> 16
        waiting = self._waiting.get(sid)
        if waiting is None or waiting.get(run.key & MASK_16) is not run:
            return False
        del waiting[run.key & MASK_16]
        if not waiting:
            del self._waiting[sid]
        return True

    def _deliver_waiting(self, sid: int) -> None:
        """Deliver the messages that wait in a stream, as far as none is missing before them."""
        while sid in self._waiting:
            run = self._waiting[sid].get(self._next_ssn.get(sid, 0))
            if run is None or not self._stop_waiting(run):
                return
            self._take_turn(run.key)
            self._take(run)

    def _finish(self, sid: int, expected: int, ahead: int) -> None:
        """Deliver in order what waits in a stream of the next SSN and so many after it, which are over."""
        waiting = self._waiting.get(sid, NOTHING)
        if ahead < len(waiting):
            found = [waiting[ssn] for step in range(ahead + 1) if (ssn := (expected + step) & MASK_16) in waiting]
        else:
            steps = sorted([step for ssn in waiting if (step := (ssn - expected) & MASK_16) <= ahead])
            found = [waiting[(expected + step) & MASK_16] for step in steps]
        for run in found:
            if not self._stop_waiting(run):
                return  # the peer has restarted meanwhile
            self._next_ssn[sid] = (run.key + 1) & MASK_16
            self._take(run)
        self._next_ssn[sid] = (expected + ahead + 1) & MASK_16

    def _count_as_over(self, key: int) -> None:
        """Let the next message of its stream not wait for one that was left off."""
        if key < _UNORDERED_KEY and self._take_turn(key):
            self._deliver_waiting(key >> 16)

    def _hand_over(self, key: int, ppid: int, tsn: int, data: bytes) -> None:
        """Deliver a complete message."""
        self._deliver(key >> 16 & MASK_16, key & MASK_16, ppid, key >= _UNORDERED_KEY, tsn, data)

    # Messages in parts.

    def _give_first(self, run: _Run) -> None:
        """Give the first part of a message if it is its turn."""
        sid = run.key >> 16 & MASK_16
        if run.key < _UNORDERED_KEY and self._next_ssn.get(sid, 0) != run.key & MASK_16:
            return
        if not self._giving:
            self._giving = {}
        if not self._given:
            self._given = {}
        self._giving[run.last + 1] = run
        self._given[sid] = None
        self._give(run, self._extract(run), False)

    def _give_on(self, given: _Run, tsn: int, ends: bool, payload: bytes, right: _Run | None) -> None:
        """Give the next fragment of a message that is given in parts, and those that follow it."""
        del self._giving[given.last + 1]
        given.last = tsn
        if right is not None:
            payload += self._extract(right)
            given.last = right.last
            ends = right.ended
        if not ends:
            self._giving[given.last + 1] = given
            self._give(given, payload, False)
            return
        self._given.pop(given.key >> 16 & MASK_16, None)
        self.limit_messages(self._max_message_size)
        self._take_turn(given.key)
        self._give(given, payload, True)
        self._deliver_waiting(given.key >> 16)

    def _give(self, given: _Run, data: bytes, last: bool) -> None:
        key = given.key
        self._deliver_part(
            key >> 16 & MASK_16, key & MASK_16, given.ppid, key >= _UNORDERED_KEY, given.first, data, last
        )

    def _abort(self, given: _Run) -> None:
        """Tell the recipient that the rest of a message will not come."""
        del self._giving[given.last + 1]
        sid = given.key >> 16 & MASK_16
        self._given.pop(sid, None)
        self.limit_messages(self._max_message_size)
        self.recipient.on_parts_aborted(sid)

    def _too_long(self, tsn: int) -> str:
        return _violation(tsn, f"its message is longer than {self._max_message_size} bytes")

    def _too_many(self, tsn: int) -> str:
        return _violation(tsn, f"its message has more than {self._most_fragments} fragments")


def _violation(tsn: int, text: str) -> str:
    return f"DATA chunk with TSN {tsn & MASK_32}: {text}"
