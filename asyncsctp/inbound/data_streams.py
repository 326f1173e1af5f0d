"""From DATA chunks to messages in the order of their streams (RFC 9260 sections 3.3.1, 6.5, 6.6 and 6.9).

Fragments of a message have consecutive TSNs, so what is held is runs of them: one run for each message, or part of one,
found by the TSNs at its two edges. A chunk joins the runs beside it, however long they are, at the same cost. A
complete run is delivered at once if it is unordered or its SSN is next in its stream; otherwise it waits under its SSN.
While nothing is lost there is one message in the making at most, and its fragments come in order. That one is the
*front*, kept as a list; it becomes a run as soon as there is anything else to hold.

A stream costs nothing until its first ordered message. SSNs are compared for equality alone, so they stay as they are
on the wire: a TSN is new only once, hence an SSN that isn't next is always ahead, by up to 65535. This module
deliberately knows neither the negotiated number of streams nor which TSNs have been received: the caller offers each
valid chunk once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, final

from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_16, MASK_32
from .data_runs import NO_TSN, RUN, UNORDERED_KEY, DataRuns, Run, violation
from .deferral import Chunk
from .reassembly import LOOSE, OVERHEAD, SMALLEST_CHARGE, Recipient

#: What a stream takes for as long as it is known, its place in `aio.inbox` included.
_STREAM: Final = 160

_KIND: Final = FLAG_BEGIN | FLAG_END | FLAG_UNORDERED
_WHOLE: Final = FLAG_BEGIN | FLAG_END
_NEVER: Final = -1
_HALF: Final = 1 << 15
_LARGEST_CHUNK: Final = 65535
#: Fragments that a message may have in any case; a long one may have more, if they are not tiny.
_FEW_FRAGMENTS: Final = 64


@final
class _Front:
    """The first fragments of a message, all that is held."""

    __slots__ = ("first", "key", "last", "parts", "ppid", "size")

    def __init__(self, tsn: int, key: int, ppid: int, payload: bytes) -> None:
        self.first = tsn
        self.last = tsn
        self.key = key
        self.ppid = ppid
        self.size = len(payload)
        self.parts = [payload]


@final
class DataStreams(DataRuns):
    """Reassembly and stream order of DATA chunks."""

    __slots__ = ("_front", "_fast_kind", "_front_kind")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._front: _Front | None = None  # there is none while there are runs
        self._fast_kind = _NEVER
        self._front_kind = FLAG_BEGIN
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size
        # The fast lane doesn't look at sizes: it is open only while no single chunk can be too long. Neither lane looks
        # at who wants parts, nor at what is to be put aside.
        is_open = not (self._wanted or self._giving or self._is_watching) and self._deferral is None
        self._front_kind = FLAG_BEGIN if is_open else _NEVER
        self._fast_kind = _WHOLE if max_message_size >= _LARGEST_CHUNK and self._front_kind != _NEVER else _NEVER
        # The message in progress is not held against the window, so its bookkeeping must not outgrow its data.
        self._most_fragments = _FEW_FRAGMENTS + max_message_size // OVERHEAD

    def reset(self) -> list[int]:
        """Give up all that is held, and start every stream at SSN 0 (the peer has restarted)."""
        cut_off = super().reset()
        self._next_ssn = {}
        self._edges = {}
        self._front = None
        self._waiting = NOTHING
        self._skipped = NO_TSN
        self._giving = NOTHING
        return cut_off

    def deliver_parts(self, sid: int, wanted: bool, point: int) -> None:
        """Whether the messages of a stream are given in parts, once `point` bytes of one are there in order."""
        if wanted:
            self.settle()
            if not self._wanted:
                self._wanted = {}
            self._wanted[sid] = None
        else:
            self._wanted.pop(sid, None)
        self.point = point
        self.limit_messages(self._max_message_size)

    def add(self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes) -> str | None:
        """Take in a new DATA chunk, and deliver what it completes; a text says how it violates the protocol."""
        front = self._front
        if front is not None:
            if tsn == front.last + 1 and flags & FLAG_BEGIN == 0:
                key = sid << 16 | (UNORDERED_KEY if flags & FLAG_UNORDERED else number)
                if key == front.key:
                    length = len(payload)
                    parts = front.parts
                    size = front.size + length
                    if size > self._max_message_size or len(parts) >= self._most_fragments:
                        return self._refuse(tsn, size)
                    parts.append(payload)
                    front.last = tsn
                    front.size = size
                    self.held += length + OVERHEAD
                    return None if flags & FLAG_END == 0 else self._complete_front(front)
            self.settle()
        elif flags & _KIND == self._fast_kind and not self._edges and self._next_ssn.get(sid, 0) == number:
            self._next_ssn[sid] = (number + 1) & MASK_16
            size = len(payload)
            self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
            self.delivered += 1
            self.recipient.on_message(sid, number, ppid, False, tsn & MASK_32, payload)
            return None
        elif flags & _WHOLE == self._front_kind and not self._edges and len(payload) <= self._max_message_size:
            key = sid << 16 | (UNORDERED_KEY if flags & FLAG_UNORDERED else number)
            self._front = _Front(tsn, key, ppid, payload)
            self.held += len(payload) + OVERHEAD
            return None
        return self._add_beside_others(tsn, flags, sid, number, ppid, payload)

    def in_progress(self, cumulative_tsn: int) -> int:
        """What the incomplete message that ends at the cumulative TSN is charged; 0 if there is none."""
        front = self._front
        if front is not None:
            return front.size + len(front.parts) * OVERHEAD if front.last == cumulative_tsn else 0
        run = self._edges.get(cumulative_tsn)
        if run is None or run.last != cumulative_tsn or run.ended or not run.begun:
            return 0
        return run.size + (run.last - run.first + 1) * OVERHEAD

    def keeping(self) -> int:
        """What it takes to know where each stream stands that the peer has used."""
        return len(self._next_ssn) * _STREAM

    def settle(self) -> None:
        """What is held is to be found by its TSN from now on: the front becomes a run like others."""
        front = self._front
        if front is None:
            return
        self._front = None
        self.is_uncertain = True
        run = Run(front.first, True, False, front.key, front.ppid)
        run.last = front.last
        run.size = front.size
        self._edges[front.first] = self._edges[front.last] = run
        self.held += RUN - front.size - len(front.parts) * OVERHEAD
        for number, payload in enumerate(front.parts):
            self._hold(front.first + number, payload)

    def _refuse(self, tsn: int, size: int) -> str:
        """The front has grown beyond what a message may be; `size` is that with this TSN."""
        if size > self._max_message_size:
            return violation(tsn, f"its message is longer than {self._max_message_size} bytes")
        return violation(tsn, f"its message has more than {self._most_fragments} fragments")

    def _complete_front(self, front: _Front) -> str | None:
        """The last fragment of the front has come."""
        key = front.key
        sid = key >> 16 & MASK_16
        if key < UNORDERED_KEY:
            if self._next_ssn.get(sid, 0) != key & MASK_16:
                self.settle()
                run = self._edges[front.last]
                run.ended = True
                return self._complete(run)
            self._next_ssn[sid] = (key + 1) & MASK_16
        self._front = None
        self.held -= front.size + len(front.parts) * OVERHEAD
        self._deliver(sid, key & MASK_16, front.ppid, key >= UNORDERED_KEY, front.first, b"".join(front.parts))
        return None

    def skip(self, previous: int, tsn: int, entries: Iterable[tuple[int, int]]) -> None:
        """The peer abandoned what is missing up to a TSN; of each entry's stream, the SSNs up to that one are over.

        RFC 3758 section 3.6. `previous` is the cumulative TSN before that, both unwrapped. If they are the same the
        FORWARD TSN is out of date: its entries are then not looked at, but it may say that no more comes of a message.
        """
        self._skipped = tsn
        if tsn == previous:
            return
        self.settle()
        deferral = self._deferral
        if deferral is not None and tsn > deferral.skipped_to:
            deferral.skipped_to = tsn
        under_way = self._drop_incomplete(previous, tsn)
        for sid, ssn in entries:
            expected = self._next_ssn.get(sid, 0)
            ahead = (ssn - expected) & MASK_16
            if ahead >= _HALF:
                continue  # it is over already
            key = -1 if under_way is None else under_way.key
            if under_way is not None and key >> 16 == sid and (key - expected) & MASK_16 <= ahead:
                self._drop(under_way)
                self._skipped = under_way.last
                under_way = None
            self._finish(sid, expected, ahead)
            self._deliver_waiting(sid)

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """These streams (None: all) number their messages from 0 again; what waits in them is over."""
        self.settle()
        wanted = None if sids is None else set(sids)
        for given in list(self._giving.values()):
            sid = given.key >> 16 & MASK_16
            if given.key < UNORDERED_KEY and (wanted is None or sid in wanted):
                self._abort(given)
                self._skipped = given.following - 1
        for number, run in list(self._edges.items()):
            if number != run.first or run.key >= UNORDERED_KEY or (run.begun and run.ended):
                continue
            if wanted is None or run.key >> 16 in wanted:
                self._drop(run)
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
        """All streams begin anew, and the TSNs too, with this one; what has come from it on is taken in anew."""
        deferral, anew, found = self._part(first_tsn)
        self.settle()
        for number, run in list(self._edges.items()):
            if number == run.first and run.last >= first_tsn:
                if run.begun and run.ended:
                    self._stop_waiting(run)
                anew += self._unmake(run)
        self.reset_streams(None)
        for given in list(self._giving.values()):
            self._abort(given)
        for number, run in list(self._edges.items()):
            if number == run.first:
                self._drop(run)
        self._skipped = NO_TSN
        self._deferral = deferral
        self.limit_messages(self._max_message_size)
        return found or self._take_in(anew)

    def drop_incomplete(self, previous: int, tsn: int) -> None:
        """No more comes up to this TSN."""
        self.skip(previous, tsn, ())

    def _unmake(self, run: Run) -> list[Chunk]:
        """The chunks of a run, as they came; it is held no longer."""
        del self._edges[run.first]
        if run.first != run.last:
            del self._edges[run.last]
        self.held -= RUN
        found: list[Chunk] = []
        is_unordered = run.key >= UNORDERED_KEY
        for tsn in range(run.first, run.last + 1):
            flags = FLAG_UNORDERED if is_unordered else 0
            if run.begun and tsn == run.first:
                flags |= FLAG_BEGIN
            if run.ended and tsn == run.last:
                flags |= FLAG_END
            payload = self._release(tsn, tsn)
            found.append(Chunk(tsn, flags, run.key >> 16 & MASK_16, run.key & MASK_16, run.ppid, payload))
        return found

    def recount(self) -> int:
        """What `held` should be."""
        chunks = list(self._chunks.values())
        if self._front is not None:
            chunks += self._front.parts
            if self._edges:
                return -1  # there is a front beside runs
        runs = sum(number == run.first for number, run in self._edges.items())
        aside = 0 if self._deferral is None else len(self._deferral.chunks)
        return sum(map(len, chunks)) + OVERHEAD * (len(chunks) - aside) + LOOSE * aside + RUN * runs

    def _drop_incomplete(self, previous: int, tsn: int) -> Run | None:
        """Drop the messages that lack a TSN up to this one.

        What comes back is the one that lacks none, and is not complete either: maybe the rest of it is to come.
        """
        for given in list(self._giving.values()):
            if given.following <= tsn:
                self._abort(given)
        under_way: Run | None = None
        edges = self._edges
        # Of what is held, an edge is in this range: the least of both is looked through, so that many small steps cost
        # no more than a large one.
        numbers = range(previous, tsn + 2) if tsn - previous < len(edges) else list(edges)
        for number in numbers:
            run = edges.get(number)
            if run is None or run.first > tsn + 1 or (run.begun and run.ended):
                continue
            if not run.begun or run.last < tsn:
                self._drop(run)
                if run.last > tsn:
                    self._skipped = NO_TSN if run.ended else run.last
            elif run.first <= tsn:
                under_way = run
        return under_way

    def _finish(self, sid: int, expected: int, ahead: int) -> None:
        """Deliver in order what waits in a stream of the next SSN and so many after it, which are over."""
        waiting = self._waiting.get(sid)
        found: list[int] = []
        if waiting is not None:
            if ahead < len(waiting):
                found = [ssn for step in range(ahead + 1) if (ssn := (expected + step) & MASK_16) in waiting]
            else:
                found = [ssn for ssn in waiting if (ssn - expected) & MASK_16 <= ahead]
                found.sort(key=partial(_distance, expected))
        for ssn in found:
            waiting = self._waiting.get(sid)
            run = waiting.pop(ssn, None) if waiting is not None else None
            if run is None:
                return  # the peer has restarted meanwhile
            if not waiting:
                del self._waiting[sid]
            self._next_ssn[sid] = (ssn + 1) & MASK_16
            self._take(run)
        self._next_ssn[sid] = (expected + ahead + 1) & MASK_16


def _distance(expected: int, ssn: int) -> int:
    return (ssn - expected) & MASK_16
