"""Ranges of TSNs that gap ack blocks report, and those that the peer has taken back (RFC 9260 section 6.2.1 D iii).

Ranges are inclusive, ascending and disjoint. What was sent with these TSNs is known to `outstanding`.
"""

from __future__ import annotations

from typing import Final, final

#: The most ranges that are told apart. Beyond, what lies between them counts as withdrawn too.
_MOST_RANGES: Final = 16


@final
class Withdrawn:
    """TSNs that the peer has reported as received and later no longer. From then on only the cumulative TSN is believed
    of them: a peer that says now this and now that costs no more than one that says it once.
    """

    __slots__ = ("ranges",)

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def add(self, first: int, last: int) -> None:
        """Withdraw a range of TSNs."""
        apart = [each for each in self.ranges if each[1] < first - 1 or each[0] > last + 1]
        for each in self.ranges:
            if each[1] >= first - 1 and each[0] <= last + 1:
                first = min(first, each[0])
                last = max(last, each[1])
        apart.append((first, last))
        apart.sort()
        if len(apart) > _MOST_RANGES:
            apart = [(apart[0][0], apart[-1][1])]
        self.ranges = apart

    def advance(self, cumulative_tsn: int) -> bool:
        """Forget what is acknowledged for good; return whether anything is left."""
        if self.ranges and self.ranges[0][0] <= cumulative_tsn:
            left = [each for each in self.ranges if each[1] > cumulative_tsn]
            self.ranges = [(max(first, cumulative_tsn + 1), last) for first, last in left]
        return bool(self.ranges)


def subtract(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what `ranges` cover and `others` do not."""
    result: list[tuple[int, int]] = []
    at = 0
    count = len(others)
    for first, last in ranges:
        while at < count and others[at][1] < first:
            at += 1
        look = at
        while look < count and others[look][0] <= last:
            if others[look][0] > first:
                result.append((first, others[look][0] - 1))
            first = others[look][1] + 1
            look += 1
        if first <= last:
            result.append((first, last))
    return result
