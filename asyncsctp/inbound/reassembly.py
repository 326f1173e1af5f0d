"""The chunks that wait for others, and what they cost: the ledger behind the receiver window (RFC 9260 section 6.2).

A reassembly queue holds fragments of messages that are not complete, and messages whose turn in their stream has not
come. What it holds is charged, with an overhead for each chunk, so that small chunks can't take more memory than the
window says. It deliberately does not know which chunks make a message and whose turn it is: that differs between DATA
(`data_streams`) and I-DATA. Nor does it know the window: the caller compares, and asks for room when there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from mypy_extensions import mypyc_attr

from ..tables import NOTHING
from ..wire.constants import MASK_32
from .data_tracker import DataTracker
from .deferral import Chunk, Deferral

#: What a chunk held is charged beside its user data: bookkeeping takes less for a fragment, more for a waiting message.
OVERHEAD: Final = 128

#: The same of a chunk that has a place in several tables: one of I-DATA beyond a hole, and what is put aside.
LOOSE: Final = 320

#: What a message that is not yet read is charged at the least, so that a window full of tiny ones stays affordable.
SMALLEST_CHARGE: Final = 64

_HEAP_SLACK: Final = 64


@mypyc_attr(allow_interpreted_subclasses=True)
class Recipient:
    """Who gets the messages."""

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """A complete message, in its turn; `tsn` is that of its first chunk. Numbers are as on the wire."""
        raise NotImplementedError

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        """The next part of a message of a stream that is read in parts; `tsn` is that of the message's first chunk.

        `number` is the SSN or MID. It is called for streams alone for which `deliver_parts` was.
        """

    def on_parts_aborted(self, sid: int) -> None:
        """The rest of the message whose parts were given will not come (RFC 6458 section 6.1.7)."""


class ReassemblyQueue:
    """Chunks held by their TSN. A subclass says what they belong to: `add`, `_give_up`, `in_progress`."""

    __slots__ = (
        "held",
        "abandons",
        "recipient",
        "unread",
        "delivered",
        "displaced",
        "displaced_bytes",
        "_max_message_size",
        "_chunks",
        "_largest",
        "_wanted",
        "point",
        "_given",
        "_deferral",
        "_is_watching",
    )

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        #: Bytes held, each chunk with its `OVERHEAD`.
        self.held = 0
        #: Bytes delivered and not yet read, each message with `SMALLEST_CHARGE` or more.
        self.unread = 0
        #: How many messages were delivered.
        self.delivered = 0
        #: Chunks that had to make room, and their user bytes: they come again.
        self.displaced = self.displaced_bytes = 0
        self.recipient = recipient
        self._max_message_size = max_message_size
        self._chunks: dict[int, bytes] = {}
        # The TSNs held, negated, as a heap: made when room is first asked for. Some may be held no longer.
        self._largest: list[int] | None = None
        self._wanted: dict[int, None] = NOTHING  # the streams that are read in parts
        #: So many bytes of a message must be there before a first part of it is given.
        self.point = 0
        #: Whether the peer may leave off in the middle of a message (RFC 3758): then what begins behind it says so.
        self.abandons = False
        self._given: dict[int, None] = NOTHING  # the streams of which a message has been given in part
        self._deferral: Deferral | None = None
        self._is_watching = False

    def add(self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes) -> str | None:
        """Take in a chunk that is new; complete messages whose turn it is are delivered before this returns.

        `number` is the SSN (of I-DATA the MID), and `ppid` is what stands in its place. A text says how the chunk
        violates the protocol, and the association can't go on.
        """
        raise NotImplementedError

    def in_progress(self, cumulative_tsn: int) -> int:
        """What the incomplete message that ends at the cumulative TSN is charged; 0 if there is none.

        No retransmission will complete such a message, only new data: a window closed on its account would never open.
        """
        raise NotImplementedError

    def keeping(self) -> int:
        """What it takes to know where each stream stands that the peer has used, in bytes; it is not in `held`."""
        raise NotImplementedError

    def relieve(self) -> bool:
        """Give what has come of messages that are read in parts, however little it is; whether there was any."""
        return False

    def settle(self) -> None:
        """All that is held is to be found by its TSN, however it was kept."""

    def acknowledge(self, cumulative_tsn: int) -> None:
        """All up to this TSN has come, or is not to come any more: nothing of it is given up from now on."""

    @property
    def is_deferring(self) -> bool:
        """Whether anything is put aside until a reset has been carried out."""
        return self._deferral is not None and bool(self._deferral.chunks)

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size

    def deliver_parts(self, sid: int, wanted: bool, point: int) -> None:
        """Whether the messages of a stream are given in parts, once `point` bytes of one are there in order.

        A message of which a part was given goes on in parts to its end, and until then no other of the stream is begun
        in parts; complete ones come between, as one part each. Such messages may be of any size.
        """
        raise NotImplementedError

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """These streams (None: all) number their messages from 0 again (RFC 6525 section 5.2.2).

        What waits there under an old number is delivered in order if it is complete, and otherwise dropped.
        """
        raise NotImplementedError

    def restart(self, first_tsn: int) -> str | None:
        """All streams begin anew, and the TSNs too, with this one (RFC 6525 section 5.2.4).

        Nothing more comes for what is incomplete below it. What has come from it on is taken in anew, by the new
        numbers; a text says how that violates the protocol.
        """
        raise NotImplementedError

    def defer(self, after: int, sids: Sequence[int] | None) -> bool:
        """Put aside what comes with a TSN above `after` for these streams (None: all), whose reset waits for what is
        missing up to there (RFC 6525 section 5.2.2 E2); until `release`. False where all is put aside that can't go by
        the old numbers, until `restart` or the end of `watch`.
        """
        self._defer(Deferral(after, sids, False))
        return self._deferral is not None and not self._deferral.is_guess

    def release(self) -> str | None:
        """Take in what was put aside (E4); a text says how it violates the protocol."""
        deferral = self._deferral
        if deferral is None:
            return None
        self._deferral = None
        self.limit_messages(self._max_message_size)
        found = self._take_in(self._retrieve(deferral))
        if deferral.skipped_to > deferral.after:
            self.drop_incomplete(deferral.after, deferral.skipped_to)
        return found

    def watch(self, is_watching: bool) -> str | None:
        """Whether the peer may have let all numbers begin anew without our knowing: what can't go by the old ones is
        put aside, with all that comes after it, until `restart` (RFC 6525 section 5.2.4). Without that it goes by the
        old ones nevertheless; a text says how it violates the protocol then.
        """
        self._is_watching = is_watching
        self.limit_messages(self._max_message_size)
        if not is_watching and self._deferral is not None and self._deferral.is_guess:
            return self.release()
        return None

    def _defer(self, deferral: Deferral) -> None:
        """Put aside what this one covers, unless another one does already."""
        if self._deferral is None:
            self._deferral = deferral
            self.limit_messages(self._max_message_size)

    def drop_incomplete(self, previous: int, tsn: int) -> None:
        """No more comes up to this TSN, as `skip` would have it."""

    def _put_aside(self, deferral: Deferral, chunk: Chunk) -> None:
        deferral.chunks[chunk.tsn] = chunk
        self.held += len(chunk.payload) + LOOSE
        self._record(chunk.tsn, chunk.payload)

    def _part(self, first_tsn: int) -> tuple[Deferral | None, list[Chunk], str | None]:
        """The end of `watch`: all TSNs go on from this one. What was put aside and lies below is taken in by the old
        numbers; the rest comes back, the deferral if it is to go on, and how the old ones violate the protocol.
        """
        self._is_watching = False
        deferral = self._deferral
        self._deferral = None
        self.limit_messages(self._max_message_size)
        if deferral is None:
            return None, [], None
        chunks = self._retrieve(deferral)
        found = self._take_in([chunk for chunk in chunks if chunk.tsn < first_tsn])
        goes_on = not deferral.is_guess and deferral.after >= first_tsn  # by the new count, that is
        return deferral if goes_on else None, [chunk for chunk in chunks if chunk.tsn >= first_tsn], found

    def _retrieve(self, deferral: Deferral) -> list[Chunk]:
        """What was put aside, held no longer."""
        chunks = deferral.chunks
        deferral.chunks = {}
        for chunk in chunks.values():
            self.held -= len(chunk.payload) + LOOSE
            self._chunks.pop(chunk.tsn, None)
        return list(chunks.values())

    def _take_in(self, chunks: list[Chunk]) -> str | None:
        """Chunks come anew, in the order of their TSNs."""
        found: str | None = None
        for chunk in sorted(chunks):
            found = self.add(chunk.tsn, chunk.flags, chunk.sid, chunk.number, chunk.ppid, chunk.payload)
            if found:
                break
        return found

    def _give_up_aside(self, tsn: int) -> bool:
        """Whether the largest TSN held was put aside; then it is not any more."""
        deferral = self._deferral
        chunk = deferral.chunks.pop(tsn, None) if deferral is not None else None
        if chunk is None:
            return False
        self.held -= len(chunk.payload) + LOOSE
        self._chunks.pop(tsn, None)
        return True

    def succeed(self, before: ReassemblyQueue) -> list[int]:
        """Take the place of another one, which gives up all it holds; what its `reset` gives."""
        for sid in before._wanted:
            self.deliver_parts(sid, True, before.point)
        return before.reset()

    def recount(self) -> int:
        """What `held` should be: for tests, at the cost of looking at everything."""
        raise NotImplementedError

    def reset(self) -> list[int]:
        """Give up all that is held (the peer has restarted); the streams of which a message has been given in part,
        that is cut off by this: nobody is told of it from here, in the middle of a restart.
        """
        cut_off = list(self._given)
        self._given = NOTHING
        self._deferral = None
        self._is_watching = False
        self.held = 0
        self._chunks = {}
        self._largest = None
        return cut_off

    def make_room(self, tracker: DataTracker, tsn: int, wanted: int) -> bool:
        """Free so many bytes for a new TSN, which `tracker.classify` gave; false if it is to be refused.

        Section 6.2: without a window, a TSN above the largest received MUST be dropped; for one below, the largest TSN
        held SHOULD be. Several are, if the largest is smaller than what comes. What is given up is forgotten by the
        tracker; it is above `tsn`, and so above the cumulative TSN.
        """
        if tsn > tracker.highest_tsn:
            return False
        self.settle()
        goal = self.held - wanted
        while self.held > goal:
            largest = self._largest_held()
            if largest < tsn:
                return False
            size = len(self._chunks[largest])
            self._give_up(largest)
            tracker.forget(largest)
            self.displaced += 1
            self.displaced_bytes += size
        return True

    def _deliver(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        size = len(data)
        self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        self.delivered += 1
        self.recipient.on_message(sid, ssn, ppid, unordered, tsn & MASK_32, data)

    def _deliver_part(
        self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool
    ) -> None:
        size = len(data)
        self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        self.delivered += last
        self.recipient.on_part(sid, number, ppid, unordered, tsn & MASK_32, data, last)

    def _hold(self, tsn: int, payload: bytes) -> None:
        self.held += len(payload) + OVERHEAD
        self._record(tsn, payload)

    def _record(self, tsn: int, payload: bytes) -> None:
        self._chunks[tsn] = payload
        largest = self._largest
        if largest is not None:
            if len(largest) > 2 * len(self._chunks) + _HEAP_SLACK:
                self._largest = None
            else:
                heappush(largest, -tsn)

    def _release(self, first: int, last: int) -> bytes:
        """Take the chunks of a message out, and join them."""
        chunks = self._chunks
        data = chunks.pop(first) if first == last else b"".join([chunks.pop(tsn) for tsn in range(first, last + 1)])
        self.held -= len(data) + (last - first + 1) * OVERHEAD
        return data

    def _largest_held(self) -> int:
        heap = self._largest
        if heap is None:
            self._largest = heap = [-tsn for tsn in self._chunks]
            heapify(heap)
        while heap:
            if -heap[0] in self._chunks:
                return -heap[0]
            heappop(heap)
        return -1

    def _give_up(self, tsn: int) -> None:
        """Let go of a chunk, the largest held, as if it had not come."""
        raise NotImplementedError
