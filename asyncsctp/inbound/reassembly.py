"""What DATA and I-DATA have in common on their way to messages: chunks that wait for others, and what they cost.

A reassembly queue holds fragments of messages that are not complete, and messages whose turn in their stream has not
come. What it holds is charged, with an overhead for each chunk, so that small chunks can't take more memory than the
receive window says (RFC 9260 section 6.2). Which chunks make a message and whose turn it is, `data_streams` and
`idata_streams` know; which TSNs have come, `data_tracker`; how much may be held, `receive_window`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, final

from mypy_extensions import mypyc_attr

from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_32
from .data_tracker import DataTracker

#: What a chunk held is charged beside its user data: bookkeeping takes less for a fragment, more for a waiting message.
OVERHEAD: Final = 128

#: The same of a chunk that has a place in several tables: one of I-DATA beyond a hole, and what is put aside.
LOOSE: Final = 320

#: What a message that is not yet read is charged at the least, so that a window full of tiny ones stays affordable.
SMALLEST_CHARGE: Final = 64

#: As the cumulative TSN: the one that was said last.
AS_BEFORE: Final = -2

# Of the flags: those that say what a chunk is, those of a message in one chunk, and what no chunk's flags are.
KIND: Final = FLAG_BEGIN | FLAG_END | FLAG_UNORDERED
WHOLE: Final = FLAG_BEGIN | FLAG_END
NEVER: Final = -1
#: No chunk carries more, so that where messages may be as long the fast paths need not look at sizes.
LARGEST_CHUNK: Final = 65535
_FEW_GONE: Final = 64


@mypyc_attr(allow_interpreted_subclasses=True)
class Recipient:
    """Who gets the messages; as it is here, nobody."""

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """Take a complete message, in its turn; `tsn` is that of its first chunk. Numbers are as on the wire."""

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        """Take the next part of a message of a stream for which `deliver_parts` was called; else as `on_message`."""

    def on_parts_aborted(self, sid: int) -> None:
        """Hear that the rest of the message whose parts were given will not come (RFC 6458 section 6.1.7)."""


class Chunk(NamedTuple):
    """A chunk of user data, as `ReassemblyQueue.add` takes it."""

    tsn: int
    flags: int
    sid: int
    number: int
    ppid: int
    payload: bytes


@final
class LazyHeap:
    """The lowest, or the highest, key of a table, at a cost that does not grow with the table.

    The heap is made when it is first asked. It is not told of keys that leave the table: they are passed over later.
    """

    __slots__ = ("_heap", "_sign")

    def __init__(self, highest: bool = False) -> None:
        self._heap: list[int] | None = None
        self._sign = -1 if highest else 1

    def push(self, key: int, table: Collection[int]) -> None:
        """Add a key that has just come into the table."""
        heap = self._heap
        if heap is None:
            return
        if len(heap) > 2 * len(table) + _FEW_GONE:  # most of them have left the table
            self._heap = None
        else:
            heappush(heap, self._sign * key)

    def first(self, table: Collection[int]) -> int | None:
        """Return the lowest (or highest) key of the table, None if it is empty."""
        sign = self._sign
        heap = self._heap
        if heap is None:
            self._heap = heap = [sign * key for key in table]
            heapify(heap)
        while heap:
            key = sign * heap[0]
            if key in table:
                return key
            heappop(heap)
        return None

    def pop(self, last: int, table: Collection[int]) -> int | None:
        """Return the lowest key of the table, each only once, or None if it is above `last`."""
        key = self.first(table)
        if key is None or key > last or self._heap is None:
            return None
        heappop(self._heap)
        return key


@final
class Deferral:
    """The chunks above a TSN, of some streams or of all, that are put aside until the numbers of these begin anew.

    RFC 6525 sections 5.2.2 E2 and 5.2.4. They are kept as they came: by which count their SSN or MID goes is known only
    once the reset has been carried out. `is_guess`: the chunks themselves, and nobody else, say that a reset is due.
    """

    __slots__ = ("_streams", "after", "chunks", "is_guess", "skipped_to")

    def __init__(self, after: int, streams: Sequence[int] | None, is_guess: bool) -> None:
        self.after = after
        self.is_guess = is_guess
        self._streams = None if streams is None else frozenset(streams)
        self.chunks: dict[int, Chunk] = {}
        self.skipped_to = after  # the peer has abandoned what is missing up to here

    def covers(self, tsn: int, sid: int) -> bool:
        """Return true if a chunk is to be put aside."""
        return tsn > self.after and (self._streams is None or sid in self._streams)


class ReassemblyQueue:
    """Chunks held by their TSN. A subclass says what they belong to.

    * `held`: bytes held, each chunk with its overhead. `unread`: bytes delivered and not yet read, each message with
      `SMALLEST_CHARGE` or more. `delivered`: how many messages, since whoever counts them set this to 0.
    * `displaced`: chunks that were given up to make space, and `displaced_bytes` of theirs: they come again.
    * `abandons`: the peer may leave off in the middle of a message (RFC 3758); what begins behind it says so then.
    * `point`: so many bytes of a message must be there before a first part of it is given.
    * `surplus`: by how much the window was once larger: the peer may have begun as many messages as fitted it then.
    * `is_uncertain`: `judge` may have something to do.
    """

    __slots__ = (
        "held",
        "unread",
        "delivered",
        "displaced",
        "displaced_bytes",
        "recipient",
        "abandons",
        "point",
        "surplus",
        "is_uncertain",
        "_max_message_size",
        "_chunks",
        "_largest",
        "_wanted",
        "_given",
        "_deferral",
        "_is_watching",
    )

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        self.held = self.unread = self.delivered = self.displaced = self.displaced_bytes = 0
        self.recipient = recipient
        self.abandons = self.is_uncertain = False
        self.point = self.surplus = 0
        self._max_message_size = max_message_size
        self._chunks: dict[int, bytes] = {}
        self._largest: LazyHeap | None = None  # of the TSNs held, once they are asked for
        self._wanted: dict[int, None] = NOTHING  # the streams that are read in parts
        self._given: dict[int, None] = NOTHING  # the streams of which a message has been given in part
        self._deferral: Deferral | None = None
        self._is_watching = False

    # What differs between DATA and I-DATA.

    def add(
        self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes, acknowledged: int = AS_BEFORE
    ) -> str | None:
        """Take in a chunk that is new; complete messages whose turn it is are delivered before this returns.

        `number` is the SSN (of I-DATA the MID), `ppid` is what stands in its place, and `acknowledged` the cumulative
        TSN: up to there nothing is given up any more. Return how the chunk violates the protocol, so that the
        association can't go on, or None.
        """
        raise NotImplementedError

    def judge(self, cumulative_tsn: int) -> None:
        """Take note that all up to this TSN has come, and drop the messages that can't be completed any more: the peer
        has abandoned them, and need not say so again if its FORWARD TSN was lost (RFC 3758).
        """
        raise NotImplementedError

    def acknowledge(self, cumulative_tsn: int) -> None:
        """Take note that all up to this TSN has come: nothing of it is given up from now on."""

    def skip(self, previous: int, tsn: int, entries: Iterable[tuple[int, bool, int]]) -> None:
        """Drop what the peer abandoned up to `tsn` (RFC 3758 section 3.6, RFC 8260 section 2.3.1).

        Of each entry's stream the ordered or unordered messages up to its SSN or MID are over; complete ones are
        delivered. If `tsn` is `previous`, the cumulative TSN before, that is out of date: entries aren't looked at.
        """
        raise NotImplementedError

    def in_progress(self, cumulative_tsn: int) -> int:
        """Return what the incomplete messages are charged that reach up to the cumulative TSN, in bytes.

        No retransmission will complete them, only new data: a window closed on their account would never open.
        """
        raise NotImplementedError

    def still_in_progress(self, cumulative_tsn: int) -> int:
        """Return how much of that was in progress when it was asked for last."""
        return 0

    def stream_state(self) -> int:
        """Return the bytes that it takes to know where each stream stands; they are not in `held`."""
        raise NotImplementedError

    def relieve(self) -> bool:
        """Give what has come of messages that are read in parts, however little it is; return true if there was any."""
        return False

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted, and with it which fast paths are open."""
        raise NotImplementedError

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """Let these streams (None: all) number their messages from 0 again (RFC 6525 section 5.2.2).

        What waits there under an old number is delivered in order if it is complete, and otherwise dropped.
        """
        raise NotImplementedError

    def restart(self, first_tsn: int) -> str | None:
        """Let all streams begin anew, and the TSNs too, with this one (RFC 6525 section 5.2.4).

        What has come from it on is taken in anew, by the new numbers; return how that violates the protocol, or None.
        """
        raise NotImplementedError

    def recount(self) -> int:
        """Return what `held` should be: for tests, at the cost of looking at everything; -1 if tables disagree."""
        raise NotImplementedError

    def _give_up(self, tsn: int) -> None:
        """Let go of a chunk that is not put aside, the largest held, as if it had not come."""
        raise NotImplementedError

    # Messages in parts.

    def deliver_parts(self, sid: int, wanted: bool, point: int) -> None:
        """Set whether the messages of a stream are given in parts, once `point` bytes of one are there in order.

        A message of which a part was given goes on in parts to its end, and until then no other of the stream is begun
        in parts; complete ones come between, as one part each. Such messages may be of any size.
        """
        if wanted:
            if not self._wanted:
                self._wanted = {}
            self._wanted[sid] = None
        else:
            self._wanted.pop(sid, None)
        self.point = point
        self.limit_messages(self._max_message_size)

    def succeed(self, before: ReassemblyQueue) -> list[int]:
        """Take the place of another one, which gives up all it holds; return what its `reset` does."""
        for sid in before._wanted:
            self.deliver_parts(sid, True, before.point)
        return before.reset()

    def reset(self) -> list[int]:
        """Give up all that is held (the peer has restarted).

        Return the streams of which a message has been given in part, that is cut off by this: nobody is told of it from
        here, in the middle of a restart.
        """
        cut_off = list(self._given)
        self._given = NOTHING
        self._deferral = None
        self._is_watching = False
        self.held = 0
        self._chunks = {}
        self._largest = None
        return cut_off

    # Chunks put aside.

    @property
    def is_deferring(self) -> bool:
        """Whether anything is put aside until a reset has been carried out."""
        return self._deferral is not None and bool(self._deferral.chunks)

    def defer(self, after: int, sids: Sequence[int] | None) -> bool:
        """Put aside what comes above `after` for these streams (None: all) until `release`.

        Their reset waits for what is missing up to there (RFC 6525 section 5.2.2 E2). Return false if all is put aside
        already that can't go by the old numbers, until `restart` or the end of `watch`.
        """
        self._defer(Deferral(after, sids, False))
        return self._deferral is not None and not self._deferral.is_guess

    def release(self) -> str | None:
        """Take in what was put aside (E4); return how it violates the protocol, or None."""
        deferral = self._deferral
        if deferral is None:
            return None
        self._deferral = None
        self.limit_messages(self._max_message_size)
        found = self._add_all(self._retrieve(deferral))
        if deferral.skipped_to > deferral.after:
            self.skip(deferral.after, deferral.skipped_to, ())
        return found

    def watch(self, is_watching: bool) -> str | None:
        """Set whether the peer may have let all numbers begin anew without our knowing (RFC 6525 section 5.2.4).

        What can't go by the old ones is put aside then, with all that comes after it, until `restart`. Without that it
        goes by the old ones nevertheless; return how it violates the protocol then, or None.
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

    def _puts_aside(self, chunk: Chunk, is_over: bool) -> bool:
        """Put a chunk aside if it is to be; return true if it was. `is_over`: its message was delivered before."""
        if is_over and self._is_watching and chunk.flags & (FLAG_UNORDERED | FLAG_BEGIN) == FLAG_BEGIN:
            self._defer(Deferral(chunk.tsn - 1, None, True))  # it goes by new numbers
        deferral = self._deferral
        if deferral is None or not deferral.covers(chunk.tsn, chunk.sid):
            return False
        deferral.chunks[chunk.tsn] = chunk
        self.held += len(chunk.payload) + LOOSE
        self._record(chunk.tsn, chunk.payload)
        return True

    def _split_deferral(self, first_tsn: int) -> tuple[Deferral | None, list[Chunk], str | None]:
        """End `watch`, as all TSNs go on from this one, and take in what was put aside below it by the old numbers.

        Return the deferral if it goes on, the other chunks put aside, and how the old ones violate the protocol.
        """
        self._is_watching = False
        deferral = self._deferral
        self._deferral = None
        self.limit_messages(self._max_message_size)
        if deferral is None:
            return None, [], None
        chunks = self._retrieve(deferral)
        found = self._add_all([chunk for chunk in chunks if chunk.tsn < first_tsn])
        goes_on = not deferral.is_guess and deferral.after >= first_tsn  # by the new count, that is
        return deferral if goes_on else None, [chunk for chunk in chunks if chunk.tsn >= first_tsn], found

    def _retrieve(self, deferral: Deferral) -> list[Chunk]:
        """Return what was put aside; it is held no longer."""
        chunks = deferral.chunks
        deferral.chunks = {}
        for chunk in chunks.values():
            self.held -= len(chunk.payload) + LOOSE
            self._chunks.pop(chunk.tsn, None)
        return list(chunks.values())

    def _add_all(self, chunks: list[Chunk]) -> str | None:
        """Add chunks in the order of their TSNs; return how the first that violates the protocol does."""
        for chunk in sorted(chunks):
            found = self.add(chunk.tsn, chunk.flags, chunk.sid, chunk.number, chunk.ppid, chunk.payload)
            if found:
                return found
        return None

    # What is held, and what is delivered.

    def make_space(self, tracker: DataTracker, tsn: int, wanted: int) -> bool:
        """Free so many bytes for a new TSN, which `tracker.classify` gave; return false if it is to be refused.

        Section 6.2: without a window, a TSN above the largest received MUST be dropped; for one below, the largest TSN
        held SHOULD be. Several are, if the largest is smaller than what comes. What is given up is forgotten by the
        tracker; it is above `tsn`, and so above the cumulative TSN.
        """
        if tsn > tracker.highest_tsn:
            return False
        largest = self._largest_held()  # which may change how it is kept, and what that is charged
        goal = self.held - wanted
        while self.held > goal:
            if largest < tsn:
                return False
            size = len(self._chunks[largest])
            deferral = self._deferral
            if deferral is not None and largest in deferral.chunks:
                del deferral.chunks[largest]
                del self._chunks[largest]
                self.held -= size + LOOSE
            else:
                self._give_up(largest)
            tracker.forget(largest)
            self.displaced += 1
            self.displaced_bytes += size
            largest = self._largest_held()
        return True

    def _largest_held(self) -> int:
        """Return the largest TSN held, -1 if there is none."""
        if self._largest is None:
            self._largest = LazyHeap(highest=True)
        largest = self._largest.first(self._chunks)
        return -1 if largest is None else largest

    def _deliver(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """Deliver a complete message, as one part if the stream is read in parts."""
        if sid in self._wanted:
            self._deliver_part(sid, number, ppid, unordered, tsn, data, True)
            return
        size = len(data)
        self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        self.delivered += 1
        self.recipient.on_message(sid, number, ppid, unordered, tsn & MASK_32, data)

    def _deliver_part(
        self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool
    ) -> None:
        size = len(data)
        self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        self.delivered += last
        self.recipient.on_part(sid, number, ppid, unordered, tsn & MASK_32, data, last)

    def _record(self, tsn: int, payload: bytes) -> None:
        """Hold a chunk under its TSN; its caller charges it."""
        self._chunks[tsn] = payload
        if self._largest is not None:
            self._largest.push(tsn, self._chunks)
