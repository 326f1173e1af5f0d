"""Who has been reported missing three times (RFC 9260 section 7.2.4, the HTNA algorithm), without a counter for each
chunk.

A SACK counts one miss for every missing TSN below its highest newly acknowledged TSN h. As h was sent later than every
TSN below it, such a TSN t was outstanding whenever an h above t was reported, so that t has been missed once for every
h > t there ever was: three times, if and only if the third largest h exceeds t. That third largest only grows; every
record is passed by it once. (In Fast Recovery a SACK that advances the cumulative TSN has its highest TSN reported as
h.) Reneged records have been missed less often and are counted one by one.
"""

from __future__ import annotations

from typing import Final, final

from .message import IN_FLIGHT, PacketRecord

__all__ = ["MissIndications"]

#: Miss indications that mark a chunk for retransmission.
_MISSES: Final = 3


@final
class MissIndications:
    """The frontier below which everything outstanding has been missed often enough. First transmissions only."""

    __slots__ = ("_largest", "reneged", "frontier", "passed")

    def __init__(self, cumulative_tsn: int) -> None:
        self._largest = [cumulative_tsn] * _MISSES  # the highest newly acknowledged TSNs, ascending
        self.reneged: dict[PacketRecord, int] = {}  # and how often they were missed
        #: Records that end below it have been missed three times; up to `passed` they have been looked at.
        self.frontier = cumulative_tsn
        self.passed = cumulative_tsn

    def note(self, highest: int) -> bool:
        """A SACK counts a miss for what is missing below `highest`; whether the frontier has moved by it."""
        largest = self._largest
        if highest > largest[0]:
            largest[0] = highest
            largest.sort()
            self.frontier = largest[0]
        return self.frontier > self.passed

    def is_due(self, record: PacketRecord) -> bool:
        """Whether a record that the frontier passes is lost by that."""
        return record.state == IN_FLIGHT and record.transmissions == 1 and record not in self.reneged

    def on_reneged(self, record: PacketRecord) -> None:
        """The record was acknowledged by a gap ack block, and no longer is; the miss of this SACK is about to be
        counted.
        """
        if record.transmissions == 1:
            self.reneged[record] = 0

    def on_split(self, record: PacketRecord, rest: PacketRecord) -> None:
        """A record was cut in two."""
        if record in self.reneged:
            self.reneged[rest] = self.reneged[record]

    def take_missed(self, highest: int) -> list[PacketRecord]:
        """The reneged records that have now been missed three times."""
        missed: list[PacketRecord] = []
        for record, misses in list(self.reneged.items()):
            if record.state != IN_FLIGHT or record.transmissions > 1:
                del self.reneged[record]
            elif misses == 0 or record.last_tsn < highest:
                self.reneged[record] = misses + 1
                if misses + 1 >= _MISSES:
                    del self.reneged[record]
                    missed.append(record)
        return missed
