"""Which data chunks are sent again, and how many leave at a time: fast retransmit and fast recovery (RFC 9260 section
7.2.4), and what T3-rtx marks (6.3.3 E3). The peer's window is here as well (6.1, 6.2.1): like these it is the
association's, not a path's.

What has been reported missing three times is found by the HTNA algorithm of section 7.2.4 without a counter for each
chunk. A SACK counts one miss for every missing TSN below its highest newly acknowledged TSN h. As h was sent later than
every TSN below it, such a TSN t was outstanding whenever an h above t was reported, so that t has been missed once for
every h > t there ever was: three times, if and only if the third largest h exceeds t. That third largest, the frontier,
only grows; every record is passed by it once. (In Fast Recovery a SACK that advances the cumulative TSN has its highest
TSN reported as h.) Reneged records have been missed less often and are counted one by one.

What T3-rtx has sent again left later than many TSNs above it: only an h that left after it tells of a miss. What was
sent again leaves in order of TSN, as all else does; so it is kept in order of leaving, and what has been missed three
times by that is at the front. A fast retransmit makes ineligible for another one.

Congestion windows are in `congestion`, which path is fit for use in `paths.failover`, timers in `handlers.data.sender`.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf
from typing import Final, final

from .message import ANY_KEY, IN_FLIGHT, LOST, MISSES, TIMED_OUT, SentPacket
from .outstanding import AckSummary, OutstandingQueue

#: Before all that has left: when, and the TSN.
_BEFORE_ALL: Final = (-inf, 0)
#: How far beyond the cumulative TSN a packet may begin. Gap ack blocks end at 65535 (section 3.3.4), and a stream may
#: have as many ordered messages in the send window (section 6.1); but peers that compare SSNs as RFC 1982 has it can't
#: tell more than 32767 apart.
_TSN_WINDOW: Final = 32000


@final
class RetransmissionQueue:
    """What of an `OutstandingQueue` has to be sent again, and the window around it.

    * `a_rwnd`: the window that the peer announced last; `largest_rwnd`: the largest so far.
    * `in_recovery`: cwnd neither shrinks by another loss nor grows (sections 7.2.1 and 7.2.4).
    * `fast_retransmit_due`: one packet of retransmissions may go regardless of cwnd.
    """

    __slots__ = (
        "_again",
        "_exit_point",
        "_largest",
        "_latest",
        "_outstanding",
        "_passed",
        "_reneged",
        "a_rwnd",
        "fast_retransmit_due",
        "in_recovery",
        "largest_rwnd",
    )

    def __init__(self, outstanding: OutstandingQueue, a_rwnd: int) -> None:
        """`a_rwnd` is what the peer's INIT or INIT ACK announced (section 6.2.1 A)."""
        self._outstanding = outstanding
        self.a_rwnd = self.largest_rwnd = a_rwnd
        self.in_recovery = False
        self.fast_retransmit_due = False
        self._exit_point = 0
        self._largest = [outstanding.cumulative_tsn] * MISSES  # the highest newly acknowledged TSNs, ascending
        self._passed = outstanding.cumulative_tsn  # what ends below it was looked at when the frontier had come so far
        self._latest = [_BEFORE_ALL] * MISSES  # of the highest newly acknowledged TSNs, when they left; ascending
        # Of what was sent again without being fast retransmitted: when it left last, its first and its last TSN.
        self._again: list[tuple[float, int, int]] = []
        self._reneged: list[tuple[int, int]] = []  # heap of the first and last TSNs of what is counted one by one

    def peer_rwnd(self) -> int:
        """Return the user bytes that the peer can take beyond what is in flight (section 6.2.1 B to D)."""
        return max(self.a_rwnd - self._outstanding.in_flight_user_bytes, 0)

    def is_smooth(self) -> bool:
        """Return True if nothing is missing, as far as SACKs have told."""
        return not self.in_recovery and self._outstanding.is_contiguous()

    def last_new_tsn(self) -> int:
        """Return the highest TSN with which a packet of new data may begin."""
        return self._outstanding.cumulative_tsn + _TSN_WINDOW

    # Which records are marked.

    def on_sack(
        self, cumulative_tsn: int, a_rwnd: int, gap_ranges: Sequence[tuple[int, int]] | None, now: float
    ) -> AckSummary:
        """Take in a SACK, and mark what it shows to be lost; return what it changes, until the next one comes."""
        outstanding = self._outstanding
        if self.in_recovery and self._exit_point <= cumulative_tsn < outstanding.next_tsn:
            self.in_recovery = False  # section 6.2.1 D iv
        summary = outstanding.apply(cumulative_tsn, gap_ranges, now)
        if summary.stale or summary.violation:
            return summary
        self.a_rwnd = a_rwnd  # section 6.2.1 D ii
        if a_rwnd > self.largest_rwnd:
            self.largest_rwnd = a_rwnd
        if gap_ranges or summary.reneged or self._reneged or self._again:
            highest = summary.highest if gap_ranges else 0
            if self.in_recovery and summary.cum_advanced and gap_ranges:
                highest = outstanding.highest_reported()  # section 7.2.4: a miss for all that this SACK reports missing
            self._mark_lost(summary, highest)
        return summary

    def _mark_lost(self, summary: AckSummary, highest: int) -> None:
        """Mark what a SACK that counts misses below `highest` shows to be lost; begin fast recovery (section 7.2.4)."""
        if self._reneged or summary.reneged:
            self._count_reneged(summary, highest)
        if highest:
            self._count_misses(summary, highest)
        if self._again:
            self._count_overtaken(summary, highest)
        if summary.lost_paths and not self.in_recovery:
            self.in_recovery = True
            self.fast_retransmit_due = True
            self._exit_point = self._outstanding.next_tsn - 1
            summary.entered_recovery = True

    def _count_misses(self, summary: AckSummary, highest: int) -> None:
        """Count a miss for what was sent once and is below `highest`: what the frontier passes by that is lost."""
        largest = self._largest
        if highest > largest[0]:
            largest[0] = highest
            largest.sort()
        frontier = largest[0]
        if frontier <= self._passed:
            return
        records = self._outstanding.records
        index = self._outstanding.index(self._passed)
        self._passed = frontier
        while index < len(records) and records[index].last_tsn < frontier:
            record = records[index]
            if record.state == IN_FLIGHT and record.transmissions == 1 and not record.misses:
                self._lose(record, summary)
            index += 1

    def _count_reneged(self, summary: AckSummary, highest: int) -> None:
        """Count a miss for reneged records below `highest`, and the first one for those that this SACK reneges on.

        A SACK touches those alone that it counts a miss for, and each is counted three times at most.
        """
        again: list[SentPacket] = []
        while self._reneged and self._reneged[0][0] < highest:
            first_tsn, last_tsn = heappop(self._reneged)
            for record in self._outstanding.within(first_tsn, last_tsn):
                if record.state == IN_FLIGHT and record.transmissions == 1:
                    record.misses += record.last_tsn < highest
                    if record.misses < MISSES:
                        again.append(record)
                    else:
                        self._lose(record, summary)
        for record in summary.reneged:
            if record.transmissions > 1:  # nobody knows which misses came after that: T3-rtx takes care of it
                record.misses = MISSES
            else:
                record.misses = 1
                again.append(record)
        for record in again:
            heappush(self._reneged, (record.first_tsn, record.last_tsn))

    def _count_overtaken(self, summary: AckSummary, highest: int) -> None:
        """Count a miss for what was sent again, is below `highest` and left before that did; 0 stands for none."""
        outstanding = self._outstanding
        records = outstanding.records
        latest = self._latest
        left = (records[outstanding.index(highest)].sent_at if highest else 0.0, highest)
        if left > latest[0]:
            latest[0] = left
            latest.sort()
        done = 0
        for sent_at, first_tsn, last_tsn in self._again:
            if last_tsn > outstanding.cumulative_tsn:
                if (sent_at, last_tsn) >= latest[0]:
                    break
                for record in outstanding.within(first_tsn, min(last_tsn, highest)):
                    if record.state == IN_FLIGHT and record.sent_at == sent_at and record.misses < MISSES:
                        self._lose(record, summary)
            done += 1
        if done:
            del self._again[:done]

    def _lose(self, record: SentPacket, summary: AckSummary) -> None:
        """Mark a record for its fast retransmission."""
        record.misses = MISSES
        self._outstanding.mark(record, LOST)
        lost_paths = summary.lost_paths
        if not lost_paths:
            lost_paths = summary.lost_paths = {}
        tsn = record.last_tsn if record.transmissions == 1 else self._outstanding.next_tsn
        lost_paths[record.path_id] = max(lost_paths.get(record.path_id, tsn), tsn)

    def expire_t3(self, path_id: int) -> int:
        """Mark what is outstanding on a path for retransmission (section 6.3.3 E3), and return how many records.

        That ends fast recovery: from here on the path, in slow start, recovers by itself (section 7.2.3), and sends one
        packet until a SACK comes.
        """
        self.in_recovery = False
        self.fast_retransmit_due = False
        return self.mark_path(path_id, TIMED_OUT)

    def mark_path(self, path_id: int, state: int) -> int:
        """Mark all that is outstanding on a path as LOST or TIMED_OUT, and return how many records."""
        marked = self._outstanding.sent_to(path_id)
        for record in marked:
            self._outstanding.mark(record, state)
        if self._again:
            self._again = [entry for entry in self._again if self._is_under_way(entry[0], entry[1])]
        return len(marked)

    def _is_under_way(self, sent_at: float, first_tsn: int) -> bool:
        """Return True if what was sent again is in flight, and has not left again since."""
        records = self._outstanding.records
        index = self._outstanding.index(first_tsn)
        return index < len(records) and records[index].state == IN_FLIGHT and records[index].sent_at == sent_at

    # How many leave.

    def fill(self, parts: list[bytes], space: int, path_id: int, now: float, force: bool = False) -> tuple[int, bool]:
        """Append as many lost records as fit into `space` bytes, the earliest first (sections 6.3.3 E3 and 7.2.4).

        Those that need another choice of path than the first, or another key, are left. `force`, for an otherwise empty
        packet: a chunk that has become too long for the path goes nevertheless, and is left to IP fragmentation
        (section 6.9). Return how many bytes they are, and whether the earliest outstanding data of this path is among
        them, so that T3-rtx is to be restarted (section 6.1).
        """
        outstanding = self._outstanding
        filled = 0
        earliest = False
        first = record = outstanding.earliest_lost()
        last_path = first.path_id if first is not None else 0
        timed_out = first is not None and first.state == TIMED_OUT
        key_id = first.key_id if first is not None else ANY_KEY
        while record is not None and record.path_id == last_path and (record.state == TIMED_OUT) == timed_out:
            if record.key_id != key_id:
                break
            if len(record.body) > space:
                beyond = record.first_beyond(space)
                if beyond == record.first_tsn:
                    if filled or not force:
                        break
                    beyond += 1
                if beyond <= record.last_tsn:
                    outstanding.split(record, beyond)
            size = len(record.body)
            parts.append(record.body)
            earliest |= outstanding.resend(record, path_id, now)
            if record.misses < MISSES:
                self._again.append((now, record.first_tsn, record.last_tsn))
            filled += size
            space -= size
            record = outstanding.earliest_lost()
        if filled or record is None:
            self.fast_retransmit_due = False
        return filled, earliest
