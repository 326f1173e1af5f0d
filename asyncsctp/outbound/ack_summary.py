"""What one SACK has changed of what is outstanding, for those who decide what to make of it.

`outstanding` fills it in; `retransmission` and `handlers.data.sender` read it.
"""

from __future__ import annotations

from typing import final

from ..tables import NOTHING


@final
class AckSummary:
    """What one SACK did. An association has one for all of its SACKs: it is read before the next one comes.

    * `stale`: older than one seen before, dropped (section 6.2.1 D i). `violation`: it acknowledges what was not sent.
      Nothing else was touched in either case.
    * `acked[path_id]`: bytes newly acknowledged, as cwnd counts (section 7.2.2); `any_new` if there were any. Of these,
      `ambiguous` were sent to other paths as well, by path.
    * `cum_advanced`; `released`: user bytes that left the send buffer by that.
    * `round_trips`: (path_id, seconds) measurements, at most one per path.
    * `earliest_acked[path_id]`: the earliest outstanding TSN of the path was acknowledged (section 6.3.2 R3).
    * `lost_paths`: where the records that have been missed three times were last sent, and the highest TSN of these;
      one that was sent again counts as higher than all. `entered_recovery` if that began a fast recovery.
    * `reneged_paths`: paths on which data is outstanding again (section 6.3.2 R4).
    """

    __slots__ = (
        "acked",
        "ambiguous",
        "any_new",
        "cum_advanced",
        "earliest_acked",
        "entered_recovery",
        "lost_paths",
        "released",
        "reneged_paths",
        "round_trips",
        "stale",
        "violation",
    )

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.earliest_acked: list[bool] = []
        self.round_trips: list[tuple[int, float]] = []
        self.ambiguous: dict[int, int] = NOTHING
        self.lost_paths: dict[int, int] = NOTHING
        self.reneged_paths: list[int] = []
        self.clear(1)

    def clear(self, paths: int) -> None:
        """Begin anew, for so many paths."""
        self.stale = self.violation = self.any_new = self.cum_advanced = self.entered_recovery = False
        self.released = 0
        if len(self.acked) == paths:
            for path_id in range(paths):
                self.acked[path_id] = 0
                self.earliest_acked[path_id] = False
        else:
            self.acked = [0] * paths
            self.earliest_acked = [False] * paths
        if self.round_trips:
            self.round_trips.clear()
        if self.lost_paths or self.reneged_paths or self.ambiguous:
            self.ambiguous = self.lost_paths = NOTHING
            self.reneged_paths.clear()

    def add_ambiguous(self, path_id: int, size: int) -> None:
        """Note that so many of the bytes acknowledged on a path were sent to other paths as well."""
        if not self.ambiguous:
            self.ambiguous = {}
        self.ambiguous[path_id] = self.ambiguous.get(path_id, 0) + size

    def add_lost(self, path_id: int, tsn: int) -> None:
        """Note that what was last sent to a path was lost, up to this TSN."""
        if not self.lost_paths:
            self.lost_paths = {}
        self.lost_paths[path_id] = max(self.lost_paths.get(path_id, tsn), tsn)

    def is_certain(self, path_id: int) -> bool:
        """Return True if some of what was acknowledged on a path was sent to no other."""
        return not self.ambiguous or self.ambiguous.get(path_id, 0) < self.acked[path_id]
