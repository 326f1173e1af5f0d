"""Sets of integers kept as sorted, disjoint, inclusive ranges: what is received above the cumulative TSN.

This module knows nothing of TSNs, SACKs or serial numbers. Two integers that follow one another are always in one
range, so that the ranges are isolated, as the Gap Ack Blocks of RFC 9260 section 3.3.4 should be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import final


@final
class Intervals:
    """A set of integers as ranges. At the upper end adding costs the same whatever is held, elsewhere a bisection.

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
