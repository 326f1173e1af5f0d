"""Which TSNs have arrived (RFC 9260 sections 3.3.4 and 6.7; RFC 3758 section 3.6).

The tracker knows the cumulative TSN, the ranges received above it, and the duplicates since the last SACK. When these
are to be acknowledged is in `handlers.data.acknowledgement`, what the chunks carried in `data_streams` and
`idata_streams`, and how much space there is for them in `receive_window`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Final, final

from ..wire.constants import MASK_16, MASK_32
from ..wire.serial import unwrap

#: The TSN was received before.
DUPLICATE: Final = -1
#: The TSN is too far ahead, or one hole too many: it is treated as if there were no space for it.
BEYOND: Final = -2

#: Ranges held above the cumulative TSN: a peer that sends every other TSN gets no further.
MAX_GAP_RANGES: Final = 4096
#: Duplicates kept for one SACK.
MAX_DUPLICATES: Final = 64

#: How far above the cumulative TSN anything is accepted while the peer's TSNs may begin anew at any time. A peer that
#: runs this implementation begins further ahead, so that its new TSNs are not taken for old ones.
NARROW_SPAN: Final = 4096

_SMALLEST_CHUNK: Final = 16  # bytes of window that a TSN is taken to use at the least, a DATA chunk's header
_SMALLEST_SPAN: Final = 1024


@final
class Intervals:
    """A set of integers as sorted, disjoint, inclusive ranges. Adding at the upper end costs the same whatever is held.

    Integers that follow one another are always in one range, as in Gap Ack Blocks (section 3.3.4).
    `len()` is the number of ranges, and iterating gives them in order as (first, last); an empty set is false.
    """

    __slots__ = ("_starts", "_ends")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __contains__(self, number: int) -> bool:
        ends = self._ends
        if not ends or number > ends[-1]:
            return False
        return self._starts[bisect_left(ends, number)] <= number

    @property
    def first(self) -> int:
        """The smallest integer held; there must be one."""
        return self._starts[0]

    @property
    def first_end(self) -> int:
        """The end of the first range; there must be one."""
        return self._ends[0]

    @property
    def last(self) -> int:
        """The largest integer held; there must be one."""
        return self._ends[-1]

    def is_isolated(self, number: int) -> bool:
        """Whether an integer that is not held would be a range of its own."""
        starts = self._starts
        at = bisect_left(starts, number)
        follows = at > 0 and self._ends[at - 1] == number - 1
        return not follows and not (at < len(starts) and starts[at] == number + 1)

    def extend(self) -> None:
        """Add the integer after the last one; there must be one."""
        self._ends[-1] += 1

    def add(self, number: int) -> bool:
        """Add an integer; false if it was held already."""
        starts, ends = self._starts, self._ends
        if not ends or number > ends[-1] + 1:
            starts.append(number)
            ends.append(number)
            return True
        if number == ends[-1] + 1:
            ends[-1] = number
            return True
        at = bisect_left(ends, number)
        if starts[at] <= number:
            return False
        follows = at > 0 and ends[at - 1] == number - 1
        if starts[at] == number + 1:
            if follows:  # the hole between two ranges
                del ends[at - 1], starts[at]
            else:
                starts[at] = number
        elif follows:
            ends[at - 1] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number)
        return True

    def remove(self, number: int) -> bool:
        """Take an integer out; false if it was not held."""
        if number not in self:
            return False
        starts, ends = self._starts, self._ends
        at = bisect_left(ends, number)
        start, end = starts[at], ends[at]
        if start == end:
            del starts[at], ends[at]
        elif number == end:
            ends[at] = number - 1
        elif number == start:
            starts[at] = number + 1
        else:
            ends[at] = number - 1
            starts.insert(at + 1, number + 1)
            ends.insert(at + 1, end)
        return True

    def drop_below(self, number: int) -> None:
        """Take out every integer smaller than this one."""
        starts, ends = self._starts, self._ends
        at = bisect_left(ends, number)
        del starts[:at], ends[:at]
        if starts and starts[0] < number:
            starts[0] = number


@final
class DataTracker:
    """The TSNs received from the peer: `cumulative_tsn` is the last before the first that is missing, `expected` the
    one after it, as on the wire; `gaps` what has come above it, if anything; `duplicates` the wire TSNs that came again
    since the last SACK; for `is_narrow` see `narrow`.

    For each DATA chunk of a packet, with space in the receive buffer, one call decides::

        tsn = tracker.accept(wire_tsn)      # the TSN, unwrapped, if it is new and now recorded
        if tsn < 0: ...                     # DUPLICATE or BEYOND: the chunk goes no further

    With too little space, the question comes before the record::

        tsn = tracker.classify(wire_tsn)    # the same answer, nothing recorded
        if tsn >= 0 and not reassembly.make_space(tracker, tsn, wanted): ...  # the chunk is dropped
        else: ...                           # accept, as above

    A SACK is due at once whenever a chunk is dropped for lack of space, and after `forget` (section 6.2).
    """

    __slots__ = ("cumulative_tsn", "expected", "gaps", "duplicates", "is_narrow", "_span", "_window")

    def __init__(self, initial_tsn: int, window: int) -> None:
        self.cumulative_tsn = initial_tsn - 1
        self.expected = initial_tsn & MASK_32
        self.gaps: Intervals | None = None  # made when the first gap opens, dropped when the last one closes
        self.duplicates: list[int] = []
        self.is_narrow = False
        self.resize(window)

    def resize(self, window: int) -> None:
        """Set the receive buffer's size in bytes, which bounds how far above the cumulative TSN a chunk may be."""
        self._window = window
        self._span = max(window // _SMALLEST_CHUNK, _SMALLEST_SPAN)
        if self.is_narrow:
            self._span = min(self._span, NARROW_SPAN)

    def narrow(self, is_narrow: bool) -> None:
        """Set whether the peer's TSNs may begin anew at any time (RFC 6525 section 5.2.4).

        A chunk can't say by which count it goes: while this is set, chunks are accepted only as far above the
        cumulative TSN as the old count can be meant.
        """
        self.is_narrow = is_narrow
        self.resize(self._window)

    @property
    def highest_tsn(self) -> int:
        """The largest TSN received so far."""
        gaps = self.gaps
        return self.cumulative_tsn if gaps is None else gaps.last

    def gap_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges received above the cumulative TSN, as (first, last)."""
        return [] if self.gaps is None else list(self.gaps)

    def accept(self, wire_tsn: int) -> int:
        """Record a TSN as received; return it unwrapped if it is new, otherwise `DUPLICATE` or `BEYOND`."""
        if wire_tsn == self.expected and self.gaps is None:
            tsn = self.cumulative_tsn + 1
            self.cumulative_tsn = tsn
            self.expected = (wire_tsn + 1) & MASK_32
            return tsn
        return self._accept_among_gaps(wire_tsn)

    def classify(self, wire_tsn: int) -> int:
        """Return what `accept` would, and record nothing."""
        expected = self.cumulative_tsn + 1
        tsn = unwrap(wire_tsn, expected)
        if tsn < expected:
            return DUPLICATE
        if tsn > expected + self._span:
            return BEYOND
        gaps = self.gaps
        if gaps is None:
            return tsn
        if tsn in gaps:
            return DUPLICATE
        if tsn > expected and len(gaps) >= MAX_GAP_RANGES and gaps.is_isolated(tsn):
            return BEYOND
        return tsn

    def skip_to(self, wire_tsn: int, furthest: int) -> int:
        """Move the cumulative TSN to that of a FORWARD TSN, and on over what was received (RFC 3758 section 3.6).

        Return the New Cumulative TSN unwrapped, `DUPLICATE` if it is out of date, or `BEYOND` if it is more than
        `furthest` ahead; neither of these changes anything.
        """
        tsn = unwrap(wire_tsn, self.cumulative_tsn)
        steps = tsn - self.cumulative_tsn
        if steps <= 0:
            return DUPLICATE
        if steps > furthest or (self.is_narrow and steps > self._span):
            return BEYOND
        self._drop_gaps_below(tsn + 1)
        self._advance(tsn)
        return tsn

    def restart(self, initial_tsn: int) -> int:
        """Let the peer's TSNs go on from this one, as on the wire (RFC 6525 section 5.2.4); return it unwrapped."""
        first_tsn = unwrap(initial_tsn, self.cumulative_tsn + 1)
        if first_tsn > self.cumulative_tsn:
            self._drop_gaps_below(first_tsn)
            self._advance(first_tsn - 1)
        self.duplicates = []
        return first_tsn

    def forget(self, tsn: int) -> None:
        """Take back a TSN above the cumulative one: section 6.2, it MUST NOT be in Gap Ack Blocks any more."""
        gaps = self.gaps
        if gaps is not None and gaps.remove(tsn) and not gaps:
            self.gaps = None

    def report(self, space: int) -> tuple[int, list[tuple[int, int]], list[int]]:
        """Return the contents of a SACK with space for so many four-byte entries; duplicates are listed only once.

        They are the cumulative TSN as on the wire, the Gap Ack Blocks as offsets from it, and the duplicates as on the
        wire. Section 6.7: the blocks are the lowest ones, as many as fit; duplicates take the rest.
        """
        blocks: list[tuple[int, int]] = []
        gaps = self.gaps
        if gaps is not None:
            base = self.cumulative_tsn
            blocks = [(first - base, last - base) for first, last in islice(gaps, max(space, 0))]
            while blocks and blocks[-1][1] > MASK_16:
                first = blocks.pop()[0]
                if first <= MASK_16:
                    blocks.append((first, MASK_16))
        duplicates = self.duplicates
        if duplicates:
            self.duplicates = []
            del duplicates[max(space - len(blocks), 0) :]
        return self.cumulative_tsn & MASK_32, blocks, duplicates

    def _accept_among_gaps(self, wire_tsn: int) -> int:
        gaps = self.gaps
        if gaps is not None:  # after a loss nearly all that comes is the next of what has come
            tsn = gaps.last + 1
            if tsn & MASK_32 == wire_tsn and tsn - self.cumulative_tsn <= self._span:
                gaps.extend()
                return tsn
        tsn = self.classify(wire_tsn)
        if tsn == DUPLICATE:
            if len(self.duplicates) < MAX_DUPLICATES:
                self.duplicates.append(wire_tsn)
        elif tsn == self.cumulative_tsn + 1:
            self._advance(tsn)
        elif tsn != BEYOND:
            if self.gaps is None:
                self.gaps = Intervals()
            self.gaps.add(tsn)
        return tsn

    def _advance(self, tsn: int) -> None:
        """Move the cumulative TSN to this one, and on over the range that follows it."""
        gaps = self.gaps
        if gaps is not None and gaps.first == tsn + 1:
            tsn = gaps.first_end
            self._drop_gaps_below(tsn + 1)
        self.cumulative_tsn = tsn
        self.expected = (tsn + 1) & MASK_32

    def _drop_gaps_below(self, tsn: int) -> None:
        gaps = self.gaps
        if gaps is not None:
            gaps.drop_below(tsn)
            if not gaps:
                self.gaps = None
