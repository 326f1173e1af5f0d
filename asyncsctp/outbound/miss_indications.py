"""What has been reported missing three times (RFC 9260 section 7.2.4, the HTNA algorithm), without a counter for each
chunk.

A SACK counts one miss for every missing TSN below its highest newly acknowledged TSN h. As h was sent later than every
TSN below it, such a TSN t was outstanding whenever an h above t was reported, so that t has been missed once for every
h > t there ever was: three times, if and only if the third largest h exceeds t. That third largest only grows; every
record is passed by it once. (In Fast Recovery a SACK that advances the cumulative TSN has its highest TSN reported as
h.) Reneged records have been missed less often and are counted one by one.

What T3-rtx has sent again left later than many TSNs above it: only an h that left after it tells of a miss. What was
sent again leaves in order of TSN, as all else does; so it is kept in order of leaving, and what has been missed three
times by that is at the front. A fast retransmit makes ineligible for another one.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Final, final

from .message import IN_FLIGHT, SentPacket

#: Miss indications that mark a chunk for retransmission.
_MISSES: Final = 3
#: Before all that has left: when, and the TSN.
_BEFORE_ALL: Final = (-inf, 0)


@final
class Reneged:
    """Records that were acknowledged by a gap ack block and no longer are, and how often each has been missed since.

    A SACK touches those alone that it counts a miss for, and each is counted three times at most.
    """

    __slots__ = ("_counts", "_fresh", "_records", "_waiting")

    def __init__(self) -> None:
        self._fresh: list[SentPacket] = []  # reneged on by the SACK in hand
        # By the last TSN of each, which is in the heap as well.
        self._records: dict[int, SentPacket] = {}
        self._counts: dict[int, int] = {}
        self._waiting: list[int] = []

    def __contains__(self, record: SentPacket) -> bool:
        return self._records.get(record.last_tsn) is record

    def add(self, record: SentPacket) -> None:
        """Count the misses of a record, from that of this SACK on, which is about to be counted."""
        self._fresh.append(record)

    def split(self, record: SentPacket, rest: SentPacket) -> None:
        """Count on for both parts of a record that was cut in two."""
        if self._records.get(rest.last_tsn) is record:
            self._records[rest.last_tsn] = rest
            self._wait(record, self._counts[rest.last_tsn])

    def take_missed(self, highest: int) -> list[SentPacket]:
        """Count a miss for those below `highest`; return those that have been missed three times now."""
        missed: list[SentPacket] = []
        again: list[SentPacket] = []
        while self._waiting and self._waiting[0] < highest:
            again.append(self._records[heappop(self._waiting)])
        for record in again:
            count = self._counts.pop(record.last_tsn) + 1
            del self._records[record.last_tsn]
            if record.state != IN_FLIGHT or record.transmissions > 1:
                continue
            if count < _MISSES:
                self._wait(record, count)
            else:
                missed.append(record)
        for record in self._fresh:
            self._wait(record, 1)
        self._fresh.clear()
        return missed

    def _wait(self, record: SentPacket, count: int) -> None:
        if record.last_tsn not in self._records:
            heappush(self._waiting, record.last_tsn)
        self._records[record.last_tsn] = record
        self._counts[record.last_tsn] = count


@final
class MissIndications:
    """The frontier below which everything outstanding has been missed often enough that was sent once; and the same for
    what was sent again.
    """

    __slots__ = ("_largest", "_latest", "again", "reneged", "frontier", "passed")

    def __init__(self, cumulative_tsn: int) -> None:
        self._largest = [cumulative_tsn] * _MISSES  # the highest newly acknowledged TSNs, ascending
        self.reneged: Reneged | None = None  # made for the first one
        #: Records that end below it have been missed three times; up to `passed` they have been looked at.
        self.frontier = cumulative_tsn
        self.passed = cumulative_tsn
        #: Of what was sent again without being fast retransmitted: when it left last, its first and its last TSN.
        self.again: list[tuple[float, int, int]] = []
        self._latest = [_BEFORE_ALL] * _MISSES  # of the highest newly acknowledged TSNs, when they left; ascending

    def note(self, highest: int) -> bool:
        """Count a miss for what is missing below `highest`; return whether the frontier has moved by it."""
        largest = self._largest
        if highest > largest[0]:
            largest[0] = highest
            largest.sort()
            self.frontier = largest[0]
        return self.frontier > self.passed

    def is_due(self, record: SentPacket) -> bool:
        """Return True if a record that the frontier passes is lost by that."""
        return (
            record.state == IN_FLIGHT
            and record.transmissions == 1
            and (self.reneged is None or record not in self.reneged)
        )

    def on_sent_again(self, record: SentPacket) -> None:
        """Note that a record has left once more."""
        if not record.fast_retransmitted:
            self.again.append((record.sent_at, record.first_tsn, record.last_tsn))

    def take_overtaken(self, sent_at: float, highest: int, cumulative_tsn: int) -> list[tuple[float, int, int]]:
        """Count a miss for what was sent again, is below `highest` and left before that did, at `sent_at`.

        Return what has been missed three times now: when it left, its first and its last TSN.
        """
        latest = self._latest
        if (sent_at, highest) > latest[0]:
            latest[0] = (sent_at, highest)
            latest.sort()
        passed = 0
        overtaken: list[tuple[float, int, int]] = []
        for entry in self.again:
            if entry[2] > cumulative_tsn:
                if (entry[0], entry[2]) >= latest[0]:
                    break
                overtaken.append(entry)
            passed += 1
        if passed:
            del self.again[:passed]
        return overtaken

    def on_reneged(self, record: SentPacket) -> None:
        """Note that a record was acknowledged by a gap ack block, and no longer is.

        The miss of this SACK is about to be counted. Of what had been sent again nobody knows which misses came after
        that: T3-rtx takes care of it.
        """
        if record.transmissions > 1:
            record.fast_retransmitted = True
            return
        if self.reneged is None:
            self.reneged = Reneged()
        self.reneged.add(record)

    def on_split(self, record: SentPacket, rest: SentPacket) -> None:
        """Count on for both parts of a record that was cut in two."""
        if self.reneged is not None:
            self.reneged.split(record, rest)

    def take_missed(self, highest: int) -> list[SentPacket]:
        """Count a miss for the reneged records below `highest`; return those missed three times now."""
        return self.reneged.take_missed(highest) if self.reneged is not None else []
