"""Packets sent and not yet cumulatively acknowledged, and what a SACK says of them (RFC 9260 sections 6.2.1 and 6.3.1).

Knows TSNs, packet records and, as small ints, the paths they went over. It deliberately does not know congestion
windows, timers or when to send again: it marks, counts and sums up; the summary is for those who decide. Work is
proportional to what a SACK changes: gap ranges are compared with those of the SACK before.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final, final

from .gap_blocks import Withdrawn, subtract
from .message import ABANDONED, ACKED, IN_FLIGHT, LEFT, LOST, RELIABLE, TIMED_OUT, OutboundMessage, PacketRecord, Terms
from .miss_indications import MissIndications
from .records import Records, unacknowledged


@final
class AckSummary:
    """What one SACK did. One object serves all associations, again and again: it is read before the next SACK.

    * `stale`: older than one seen before, dropped (section 6.2.1 D i). `violation`: it acknowledges what was not sent.
      Nothing else was touched in either case.
    * `acked[path_id]`: bytes newly acknowledged, as cwnd counts (section 7.2.2); `any_new` if there were any. Of these,
      `astray` were sent to other paths as well, by path.
    * `cum_advanced`; `released`: user bytes that left the send buffer by that.
    * `round_trips`: (path_id, seconds) measurements, at most one per path.
    * `earliest_acked[path_id]`: the earliest outstanding TSN of the path was acknowledged (section 6.3.2 R3).
    * `lost_paths`: where the records that have been missed three times were last sent, and the highest TSN of these;
      one that was sent again counts as higher than all. `entered_recovery` if that began a fast recovery.
    * `reneged_paths`: paths on which data is outstanding again (section 6.3.2 R4); `reneged`: how many records that is.
    """

    __slots__ = (
        "acked",
        "any_new",
        "astray",
        "cum_advanced",
        "earliest_acked",
        "entered_recovery",
        "lost_paths",
        "released",
        "reneged",
        "reneged_paths",
        "round_trips",
        "stale",
        "violation",
    )

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.astray: dict[int, int] = {}
        self.earliest_acked: list[bool] = []
        self.round_trips: list[tuple[int, float]] = []
        self.lost_paths: dict[int, int] = {}
        self.reneged_paths: list[int] = []
        self.clear(1)

    def clear(self, paths: int) -> None:
        self.stale = self.violation = self.any_new = self.cum_advanced = self.entered_recovery = False
        self.released = 0
        self.reneged = 0
        if len(self.acked) == paths:
            for path_id in range(paths):
                self.acked[path_id] = 0
                self.earliest_acked[path_id] = False
        else:
            self.acked = [0] * paths
            self.earliest_acked = [False] * paths
        if self.round_trips:
            self.round_trips.clear()
        if self.lost_paths or self.reneged_paths or self.astray:
            self.astray.clear()
            self.lost_paths.clear()
            self.reneged_paths.clear()

    def add(self, record: PacketRecord) -> int:
        """A record is acknowledged; its bytes."""
        size = len(record.body)
        self.acked[record.path_id] += size
        if record.astray:
            self.add_astray(record.path_id, size)
        return size

    def add_astray(self, path_id: int, size: int) -> None:
        """So many of the bytes acknowledged on a path were sent to other paths as well."""
        self.astray[path_id] = self.astray.get(path_id, 0) + size

    def was_alone(self, path_id: int) -> bool:
        """Whether some of what was acknowledged on a path was sent there only."""
        return not self.astray or self.astray.get(path_id, 0) < self.acked[path_id]


_SUMMARY: Final = AckSummary()


@final
class OutstandingQueue(Records):
    """The records in order of TSN.

    `in_flight[path_id]` are bytes as cwnd counts them, `in_flight_user_bytes` as the peer's window does, both without
    what is marked for retransmission. `user_bytes` have been sent and not cumulatively acknowledged.

    `doubtful` receives the records of messages with a policy that have just been marked for retransmission, `delivered`
    the terms of watched messages that the peer has acknowledged, if there are any; their user takes both away.
    """

    __slots__ = (
        "_earliest",
        "_gaps",
        "_lost_tsns",
        "_misses",
        "_timed",
        "delivered",
        "doubtful",
        "in_flight",
        "_withdrawn",
        "in_flight_user_bytes",
        "summary",
        "user_bytes",
    )

    def __init__(self, initial_tsn: int, paths: int = 1) -> None:
        self.summary = _SUMMARY
        self.delivered: list[Terms] | None = None
        self.in_flight = [0] * paths
        self._earliest: list[PacketRecord | None] = [None] * paths
        self._timed: list[PacketRecord | None] = [None] * paths  # section 6.3.1 C4: one at a time
        self.restart(initial_tsn)

    def restart(self, initial_tsn: int) -> None:
        """Nothing has been sent, and the first TSN will be this one."""
        self.next_tsn = initial_tsn
        self.cumulative_tsn = initial_tsn - 1
        self.doubtful: list[PacketRecord] | None = None
        self.renumbered = None
        self.in_flight_user_bytes = 0
        self.user_bytes = 0
        self.records = []
        self.head = 0
        self._gaps: list[tuple[int, int]] = []  # acknowledged above the cumulative TSN
        self._withdrawn: Withdrawn | None = None  # reneged on, above the cumulative TSN
        self._misses = MissIndications(initial_tsn - 1)
        self._lost_tsns: list[int] = []  # heap of first TSNs; entries whose record is no longer lost are skipped
        for path_id in range(len(self.in_flight)):
            self.in_flight[path_id] = 0
            self._earliest[path_id] = self._timed[path_id] = None

    def is_contiguous(self) -> bool:
        """Whether nothing is marked as lost, and nothing acknowledged by gap ack blocks."""
        return not self._gaps and not self._lost_tsns

    def add_path(self) -> None:
        """There is one more path; its number is the next one."""
        self.in_flight.append(0)
        self._earliest.append(None)
        self._timed.append(None)

    def add(self, record: PacketRecord) -> None:
        """A packet with new data leaves; its first TSN is `next_tsn`."""
        self.add_run([record], len(record.body), record.user_bytes)

    def add_run(self, records: list[PacketRecord], size: int, user_bytes: int) -> None:
        """Packets with new data leave to one path, one or more; so many bytes with headers, and so many user bytes."""
        first = records[0]
        path_id = first.path_id
        self.records.extend(records)
        self.next_tsn = records[-1].last_tsn + 1
        self.in_flight[path_id] += size
        self.in_flight_user_bytes += user_bytes
        self.user_bytes += user_bytes
        if self._timed[path_id] is None:
            self._timed[path_id] = first
        if self._earliest[path_id] is None:
            self._earliest[path_id] = first

    def has_outstanding(self, path_id: int) -> bool:
        """Whether data last sent to this path is unacknowledged: T3-rtx runs for it (section 6.3.2 R2)."""
        return self._earliest[path_id] is not None

    def apply(
        self, cumulative_tsn: int, gap_offsets: Sequence[tuple[int, int]] | None, now: float, in_recovery: bool = False
    ) -> AckSummary:
        """Take in a SACK. Gaps are inclusive, ascending and disjoint offsets from the cumulative TSN.

        None says nothing of gaps: what a SHUTDOWN chunk brings.
        """
        summary = self.summary
        summary.clear(len(self.in_flight))
        if cumulative_tsn < self.cumulative_tsn:
            summary.stale = True
            return summary
        highest = cumulative_tsn + gap_offsets[-1][1] if gap_offsets else cumulative_tsn
        if highest >= self.next_tsn:  # section 12.4: whichever way it is acknowledged
            summary.violation = True
            return summary
        if cumulative_tsn > self.cumulative_tsn:
            summary.cum_advanced = True
            self._advance(cumulative_tsn)
            if self._withdrawn is not None and not self._withdrawn.advance(cumulative_tsn):
                self._withdrawn = None
        highest = 0
        if gap_offsets is None:
            if summary.cum_advanced and self._gaps:
                # A peer that still had the TSN after it would have said more: that range has been reneged on.
                at = cumulative_tsn
                self._apply_gaps(at, [(first - at, last - at) for first, last in self._gaps if first > at + 1])
        elif gap_offsets or self._gaps:
            highest = self._apply_gaps(cumulative_tsn, gap_offsets)
            if in_recovery and summary.cum_advanced and self._gaps:
                highest = self._gaps[-1][1]  # section 7.2.4: a miss for all that this SACK reports missing
        if self._misses.reneged is not None:
            for record in self._misses.take_missed(highest):
                self._lose(record)
        if highest and self._misses.note(highest):
            self._lose_missed()
        if self._misses.again:
            self._lose_again(highest)
        self._settle(now)
        return summary

    def earliest_lost(self) -> PacketRecord | None:
        """The record to send again first."""
        lost = self._lost_tsns
        while lost:
            record = self.records[self.index(lost[0])] if lost[0] > self.cumulative_tsn else None
            if record is not None and record.first_tsn == lost[0] and LOST <= record.state < ACKED:
                return record
            heappop(lost)
        return None

    def resend(self, record: PacketRecord, path_id: int, now: float) -> bool:
        """A lost record leaves again, to this path. Whether it is the earliest outstanding one there (section 6.1)."""
        record.state = IN_FLIGHT
        record.transmissions += 1
        record.sent_at = now
        self._misses.on_sent_again(record)
        self.in_flight[path_id] += len(record.body)
        self.in_flight_user_bytes += record.user_bytes
        last_path, record.path_id = record.path_id, path_id
        if last_path != path_id and self._earliest[last_path] is record:
            self._earliest[last_path] = self._next_outstanding(last_path, record.last_tsn + 1)
        earliest = self._earliest[path_id]
        if earliest is None or record.first_tsn < earliest.first_tsn:
            earliest = self._earliest[path_id] = record
        for other, timed in enumerate(self._timed):
            if timed is not None and timed.last_tsn >= record.first_tsn:  # section 6.3.1 C5
                self._timed[other] = None
        return earliest is record

    def split(self, record: PacketRecord, tsn: int) -> None:
        """Make two records of one; `tsn` is the first of the second."""
        rest = record.cut(tsn)
        self.records.insert(self.index(record.first_tsn) + 1, rest)
        if LOST <= rest.state < ACKED:
            heappush(self._lost_tsns, tsn)
        self._misses.on_split(record, rest)

    def expire(self, path_id: int, state: int = TIMED_OUT) -> int:
        """T3-rtx expired: all that is outstanding on the path is to be sent again (section 6.3.3). How many records."""
        earliest = self._earliest[path_id]
        since = self.records[self.index(earliest.first_tsn) :] if earliest is not None else []
        marked = [record for record in since if record.path_id == path_id and record.state < ACKED]
        for record in marked:
            self._mark(record, state)
        if self._misses.again:
            self._misses.again = [entry for entry in self._misses.again if self._is_under_way(*entry)]
        return len(marked)

    def abandon_all(self) -> list[tuple[OutboundMessage, bool]]:
        """Forget everything; the messages of which the peer has not acknowledged everything, and that they had left.

        A message of which the send queue still has a part is left to `SendQueue.abandon_all`.
        """
        if not self.records:
            return []
        messages = unacknowledged(self.records[self.head :])
        self.restart(self.next_tsn)
        return [(message, True) for message in messages]

    # Messages with terms (RFC 3758 section 3.5).

    def abandon(self, terms: Terms) -> list[int]:
        """Treat all chunks of a message that have left as finally acknowledged (A2, A3).

        The paths whose earliest outstanding one was among them.
        Of one that has not left completely the next TSN stands for the rest: it tells the receiver that no more comes.
        """
        paths: list[int] = []
        for record in terms.records:
            path_id = record.path_id
            if record.state == IN_FLIGHT:
                self.in_flight[path_id] -= len(record.body)
                self.in_flight_user_bytes -= record.user_bytes
            self.user_bytes -= record.user_bytes
            record.state = ABANDONED
            record.body = b""
            record.user_bytes = 0
            if self._timed[path_id] is record:
                self._timed[path_id] = None
            if self._earliest[path_id] is record:
                self._earliest[path_id] = self._next_outstanding(path_id, record.last_tsn + 1)
                if path_id not in paths:
                    paths.append(path_id)
        if terms.fate != LEFT:
            self.stand_for_rest(terms.message)
        return paths

    def _advance(self, cumulative_tsn: int) -> None:
        """Let go of what is cumulatively acknowledged. Reneging is over for it."""
        summary = self.summary
        records = self.records
        head = self.head
        end = len(records)
        in_flight = self.in_flight
        acked = summary.acked
        released = 0
        landed = 0
        while head < end:
            record = records[head]
            if record.last_tsn > cumulative_tsn:
                if record.first_tsn > cumulative_tsn:
                    break
                self.split(record, cumulative_tsn + 1)
                end += 1
            user_bytes = record.user_bytes
            released += user_bytes
            state = record.state
            if record.message is not None and state != ABANDONED:
                terms = record.land(record.message)
                if terms is not None:
                    if self.delivered is None:
                        self.delivered = []
                    self.delivered.append(terms)
            if state < ACKED:
                record.state = ACKED
                size = len(record.body)
                path_id = record.path_id
                acked[path_id] += size
                if record.astray:
                    summary.add_astray(path_id, size)
                if state == IN_FLIGHT:
                    in_flight[path_id] -= size
                    landed += user_bytes
            head += 1
        self.in_flight_user_bytes -= landed
        self.user_bytes -= released
        summary.released = released
        self.cumulative_tsn = cumulative_tsn
        if head == end:
            records.clear()
            head = 0
        elif head > 32 and head * 8 > end:
            del records[:head]
            head = 0
        self.head = head

    def _apply_gaps(self, cumulative_tsn: int, gap_offsets: Sequence[tuple[int, int]]) -> int:
        """Compare with the gap ranges of the SACK before. The highest TSN newly acknowledged, 0 for none."""
        before = self._gaps
        gaps = [(cumulative_tsn + start, cumulative_tsn + end) for start, end in gap_offsets if start]
        if self._withdrawn is not None:
            gaps = self._withdrawn.strike_out(gaps)
        self._gaps = gaps
        if gaps == before:
            return 0
        highest = 0
        for first, last in subtract(gaps, before):
            self._acknowledge(first, last)
            highest = last
        for first, last in subtract(before, gaps):
            if last > cumulative_tsn:
                self._renege(max(first, cumulative_tsn + 1), last)
        return highest

    def _acknowledge(self, first: int, last: int) -> None:
        """These TSNs are acknowledged by a gap ack block, and were not before."""
        summary = self.summary
        for record in self.cut_out(first, last):
            state = record.state
            if state >= ACKED:
                continue
            record.state = ACKED
            size = summary.add(record)
            if state == IN_FLIGHT:
                self.in_flight[record.path_id] -= size
                self.in_flight_user_bytes -= record.user_bytes

    def _renege(self, first: int, last: int) -> None:
        """These TSNs, acknowledged by a gap ack block, no longer are (section 6.2.1 D iii)."""
        summary = self.summary
        if self._withdrawn is None:
            self._withdrawn = Withdrawn()
        self._withdrawn.add(first, last)
        for record in self.cut_out(first, last):
            if record.state == ABANDONED:
                continue
            path_id = record.path_id
            record.state = IN_FLIGHT
            self.in_flight[path_id] += len(record.body)
            self.in_flight_user_bytes += record.user_bytes
            self._misses.on_reneged(record)
            earliest = self._earliest[path_id]
            if earliest is None or earliest.first_tsn > record.first_tsn:
                self._earliest[path_id] = record
            if path_id not in summary.reneged_paths:
                summary.reneged_paths.append(path_id)
            summary.reneged += 1

    def _lose_missed(self) -> None:
        """Section 7.2.4: what the frontier of miss indications has passed is lost."""
        misses = self._misses
        if self.head == len(self.records):
            return
        records = self.records
        index = self.index(misses.passed)
        misses.passed = misses.frontier
        while index < len(records):
            record = records[index]
            if record.last_tsn >= misses.frontier:
                break
            if misses.is_due(record):
                self._lose(record)
            index += 1

    def _lose_again(self, highest: int) -> None:
        """The same for what was sent again. None is newly acknowledged if `highest` is 0."""
        records = self.records
        sent_at = records[self.index(highest)].sent_at if highest else 0.0
        for left_at, first_tsn, last_tsn in self._misses.take_overtaken(sent_at, highest, self.cumulative_tsn):
            index = self.index(first_tsn)
            while index < len(records) and records[index].last_tsn <= min(last_tsn, highest):
                record = records[index]
                if record.state == IN_FLIGHT and record.sent_at == left_at and not record.hurried:
                    self._lose(record)
                index += 1

    def _is_under_way(self, sent_at: float, first_tsn: int, last_tsn: int) -> bool:
        """Whether the record with these TSNs is in flight, and has not left again since."""
        index = self.index(first_tsn)
        record = self.records[index] if index < len(self.records) else None
        return record is not None and record.state == IN_FLIGHT and record.sent_at == sent_at

    def _lose(self, record: PacketRecord) -> None:
        record.hurried = True
        self._mark(record, LOST)
        lost_paths = self.summary.lost_paths
        tsn = record.last_tsn if record.transmissions == 1 else self.next_tsn
        lost_paths[record.path_id] = max(lost_paths.get(record.path_id, tsn), tsn)

    def _mark(self, record: PacketRecord, state: int) -> None:
        """Mark for retransmission: it no longer counts as in flight (section 6.2.1 C)."""
        if record.state == IN_FLIGHT:
            self.in_flight[record.path_id] -= len(record.body)
            self.in_flight_user_bytes -= record.user_bytes
            heappush(self._lost_tsns, record.first_tsn)
        record.state = state
        message = record.message
        if message is not None and message.terms is not None and message.terms.policy != RELIABLE:
            if self.doubtful is None:
                self.doubtful = []
            self.doubtful.append(record)

    def _settle(self, now: float) -> None:
        """Per path: take the measurement that is complete, and find the earliest outstanding record."""
        summary = self.summary
        for path_id, acked in enumerate(summary.acked):
            if acked:
                summary.any_new = True
                timed = self._timed[path_id]
                if timed is not None and timed.state == ACKED:
                    summary.round_trips.append((path_id, now - timed.sent_at))
                    self._timed[path_id] = None
                earliest = self._earliest[path_id]
                if earliest is not None and earliest.state >= ACKED:
                    summary.earliest_acked[path_id] = True
                    self._earliest[path_id] = self._next_outstanding(path_id, earliest.last_tsn + 1)

    def _next_outstanding(self, path_id: int, tsn: int) -> PacketRecord | None:
        if not self.in_flight[path_id] and not self._lost_tsns:
            return None
        records = self.records
        for index in range(self.index(tsn), len(records)):
            record = records[index]
            if record.path_id == path_id and record.state < ACKED:
                return record
        return None
