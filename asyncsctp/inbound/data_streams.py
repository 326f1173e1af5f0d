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

from typing import Final, final

from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_16, MASK_32
from .reassembly import OVERHEAD, SMALLEST_CHARGE, ReassemblyQueue, Recipient

__all__ = ["DataStreams"]

_KIND: Final = FLAG_BEGIN | FLAG_END | FLAG_UNORDERED
_WHOLE: Final = FLAG_BEGIN | FLAG_END
_NEVER: Final = -1
_UNORDERED_KEY: Final = 1 << 32
_LARGEST_CHUNK: Final = 65535
#: Fragments that a message may have in any case; a long one may have more, if they are not tiny.
_FEW_FRAGMENTS: Final = 64


@final
class _Run:
    """Consecutive fragments of one message. The key is its stream and SSN, or its stream and `_UNORDERED_KEY`."""

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
class DataStreams(ReassemblyQueue):
    """Reassembly and stream order of DATA chunks."""

    __slots__ = ("_next_ssn", "_edges", "_front", "_waiting", "_fast_kind", "_most_fragments")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._next_ssn: dict[int, int] = {}
        self._edges: dict[int, _Run] = {}  # each run under its first and its last TSN
        self._front: _Front | None = None  # there is none while there are runs
        self._waiting: dict[int, _Run] = {}  # complete ordered messages by their key
        self._fast_kind = _NEVER
        self._most_fragments = 0
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size
        # The fast lane doesn't look at sizes: it is open only while no single chunk can be too long.
        self._fast_kind = _WHOLE if max_message_size >= _LARGEST_CHUNK else _NEVER
        # The message in progress is not held against the window, so its bookkeeping must not outgrow its data.
        self._most_fragments = _FEW_FRAGMENTS + max_message_size // OVERHEAD

    def reset(self) -> None:
        """Give up all that is held, and start every stream at SSN 0 (the peer has restarted)."""
        super().reset()
        self._next_ssn = {}
        self._edges = {}
        self._front = None
        self._waiting = {}

    def add(self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes) -> str | None:
        """Take in a new DATA chunk, and deliver what it completes; a text says how it violates the protocol."""
        front = self._front
        if front is not None:
            if tsn == front.last + 1 and flags & FLAG_BEGIN == 0:
                key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else number)
                if key == front.key:
                    return self._extend(front, tsn, flags, payload)
            self.settle()
        elif flags & _KIND == self._fast_kind and not self._edges and self._next_ssn.get(sid, 0) == number:
            self._next_ssn[sid] = (number + 1) & MASK_16
            size = len(payload)
            self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
            self.delivered += 1
            self.recipient.on_message(sid, number, ppid, False, tsn & MASK_32, payload)
            return None
        elif flags & _WHOLE == FLAG_BEGIN and not self._edges and len(payload) <= self._max_message_size:
            key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else number)
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

    def settle(self) -> None:
        """What is held is to be found by its TSN from now on: the front becomes a run like others."""
        front = self._front
        if front is None:
            return
        self._front = None
        run = _Run(front.first, True, False, front.key, front.ppid)
        run.last = front.last
        run.size = front.size
        self._edges[front.first] = self._edges[front.last] = run
        self.held -= front.size + len(front.parts) * OVERHEAD
        for number, payload in enumerate(front.parts):
            self._hold(front.first + number, payload)

    def _extend(self, front: _Front, tsn: int, flags: int, payload: bytes) -> str | None:
        """The next fragment of the front."""
        size = front.size + len(payload)
        if size > self._max_message_size:
            return _violation(tsn, f"its message is longer than {self._max_message_size} bytes")
        parts = front.parts
        if len(parts) >= self._most_fragments:
            return _violation(tsn, f"its message has more than {self._most_fragments} fragments")
        parts.append(payload)
        front.last = tsn
        front.size = size
        self.held += len(payload) + OVERHEAD
        if flags & FLAG_END == 0:
            return None
        key = front.key
        sid = key >> 16 & MASK_16
        if key < _UNORDERED_KEY:
            if self._next_ssn.get(sid, 0) != key & MASK_16:
                self.settle()
                run = self._edges[tsn]
                run.ended = True
                return self._complete(run)
            self._next_ssn[sid] = (key + 1) & MASK_16
        self._front = None
        self.held -= size + len(parts) * OVERHEAD
        self._deliver(sid, key & MASK_16, front.ppid, key >= _UNORDERED_KEY, front.first, b"".join(parts))
        return None

    def _add_beside_others(self, tsn: int, flags: int, sid: int, ssn: int, ppid: int, payload: bytes) -> str | None:
        begins = flags & FLAG_BEGIN != 0
        ends = flags & FLAG_END != 0
        # Section 3.3.1: the receiver MUST ignore the SSN of an unordered chunk.
        key = sid << 16 | (_UNORDERED_KEY if flags & FLAG_UNORDERED else ssn)
        left = self._edges.get(tsn - 1)
        right = self._edges.get(tsn + 1)
        size = len(payload)
        # Section 3.3.1: the TSNs of a message are strictly sequential, so a message begins exactly where one ends.
        if left is not None:
            if left.ended != begins:
                return _violation(tsn, "its B bit contradicts the E bit before it")
            if begins:
                left = None
            elif left.key != key:
                return _violation(tsn, "it differs from the fragment before it in stream, SSN or U bit")
            else:
                size += left.size
        if right is not None:
            if right.begun != ends:
                return _violation(tsn, "its E bit contradicts the B bit after it")
            if ends:
                right = None
            elif right.key != key:
                return _violation(tsn, "it differs from the fragment after it in stream, SSN or U bit")
            else:
                size += right.size
        if size > self._max_message_size:
            return _violation(tsn, f"its message is longer than {self._max_message_size} bytes")
        if begins and ends:
            return self._add_whole(tsn, key, ppid, payload)
        self._hold(tsn, payload)
        if left is None:
            run = _Run(tsn, begins, ends, key, ppid)
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
        if run.last - run.first >= self._most_fragments:
            return _violation(tsn, f"its message has more than {self._most_fragments} fragments")
        return self._complete(run) if run.begun and run.ended else None

    def _add_whole(self, tsn: int, key: int, ppid: int, payload: bytes) -> str | None:
        """Take in an unfragmented message: it is delivered, or waits for its turn."""
        sid = key >> 16 & MASK_16
        ssn = key & MASK_16
        if key >= _UNORDERED_KEY:
            self._deliver(sid, 0, ppid, True, tsn, payload)
        elif self._next_ssn.get(sid, 0) == ssn:
            self._next_ssn[sid] = (ssn + 1) & MASK_16
            self._deliver(sid, ssn, ppid, False, tsn, payload)
            self._deliver_waiting(sid)
        elif key in self._waiting:
            return _violation(tsn, "another message has its stream and SSN")
        else:
            self._hold(tsn, payload)
            run = _Run(tsn, True, True, key, ppid)
            run.size = len(payload)
            self._edges[tsn] = self._waiting[key] = run
        return None

    def _absorb(self, run: _Run, right: _Run) -> None:
        """Make the run that follows a part of this one."""
        edges = self._edges
        if run.last != run.first:
            del edges[run.last]
        if right.first != right.last:
            del edges[right.first]
        run.last = right.last
        run.ended = right.ended
        edges[run.last] = run

    def _complete(self, run: _Run) -> str | None:
        """A run is a whole message now: it is delivered, or waits for its turn."""
        key = run.key
        sid = key >> 16
        if key >= _UNORDERED_KEY:
            self._take(run)
        elif self._next_ssn.get(sid, 0) == key & MASK_16:
            self._next_ssn[sid] = (key + 1) & MASK_16
            self._take(run)
            self._deliver_waiting(sid)
        elif key in self._waiting:
            return _violation(run.last, "another message has its stream and SSN")
        else:
            self._waiting[key] = run
        return None

    def _deliver_waiting(self, sid: int) -> None:
        """Deliver the messages that wait in a stream, as far as none is missing before them."""
        while self._waiting:
            ssn = self._next_ssn.get(sid, 0)
            run = self._waiting.pop(sid << 16 | ssn, None)
            if run is None:
                return
            self._next_ssn[sid] = (ssn + 1) & MASK_16
            self._take(run)

    def _take(self, run: _Run) -> None:
        """Deliver a complete run, which is held no longer."""
        del self._edges[run.first]
        if run.first != run.last:
            del self._edges[run.last]
        data = self._release(run.first, run.last)
        unordered = run.key >= _UNORDERED_KEY
        self._deliver(run.key >> 16 & MASK_16, run.key & MASK_16, run.ppid, unordered, run.first, data)

    def _give_up(self, tsn: int) -> None:
        """Let go of the largest TSN held: the last fragment of its run, which is then incomplete."""
        run = self._edges.pop(tsn)
        if run.begun and run.ended:
            self._waiting.pop(run.key, None)
        size = len(self._chunks.pop(tsn))
        self.held -= size + OVERHEAD
        if run.first == tsn:
            return
        run.last = tsn - 1
        run.ended = False
        run.size -= size
        self._edges[run.last] = run


def _violation(tsn: int, text: str) -> str:
    return f"DATA chunk with TSN {tsn & MASK_32}: {text}"
