"""Packets sent and not yet cumulatively acknowledged, and what a SACK says of them (RFC 9260 sections 6.2.1 and 6.3.1).

Knows TSNs, packet records and, as small ints, the paths they went over. It deliberately does not know congestion
windows, timers or what to send again: it counts and sums up in an `AckSummary`, for `retransmission` and
`handlers.data.sender` to decide. Work is proportional to what a SACK changes: gap ranges are compared with those of the
SACK before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final, final

from ..tables import NOTHING
from ..wire.constants import DATA_HEADER_SIZE, FLAG_BEGIN, FLAG_UNORDERED, I_DATA, I_DATA_HEADER_SIZE, MASK_32
from ..wire.octets import read_data, read_i_data
from .message import (
    ABANDONED,
    ACKED,
    IN_FLIGHT,
    LEFT,
    LOST,
    NOT_SENT,
    RELIABLE,
    WHOLE,
    OutboundMessage,
    SentPacket,
    Terms,
)

#: The most ranges that are told apart of what the peer has taken back. Beyond, what lies between them counts too.
_MOST_WITHDRAWN: Final = 16
_last_tsn: Final = attrgetter("last_tsn")


@final
class AckSummary:
    """What one SACK did. An association has one for all of its SACKs: it is read before the next one comes.

    * `stale`: older than one seen before, dropped (section 6.2.1 D i). `violation`: it acknowledges what was not sent.
      Nothing else was touched in either case.
    * `acked[path_id]`: bytes newly acknowledged, as cwnd counts (section 7.2.2); `any_new` if there were any. Of these,
      `ambiguous` were sent to other paths as well, by path. `highest`: the highest TSN that the gap ack blocks newly
      acknowledged, 0 for none; of a SACK without any it tells nothing.
    * `cum_advanced`; `released`: user bytes that left the send buffer by that.
    * `round_trips`: (path_id, seconds) measurements, at most one per path.
    * `earliest_acked[path_id]`: the earliest outstanding TSN of the path was acknowledged (section 6.3.2 R3).
    * `reneged`: records that are outstanding again (section 6.3.2 R4).
    * `lost_paths`: where the records that have been missed three times were last sent, and the highest TSN of these;
      one that was sent again counts as higher than all. `entered_recovery` if that began a fast recovery. Both are set
      by `retransmission`.
    """

    __slots__ = (
        "acked",
        "ambiguous",
        "any_new",
        "cum_advanced",
        "earliest_acked",
        "entered_recovery",
        "highest",
        "lost_paths",
        "released",
        "reneged",
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
        self.reneged: list[SentPacket] = []
        self.highest = 0
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
        if self.lost_paths or self.reneged or self.ambiguous:
            self.ambiguous = self.lost_paths = NOTHING
            self.reneged.clear()

    def add_ambiguous(self, path_id: int, size: int) -> None:
        """Note that so many of the bytes acknowledged on a path were sent to other paths as well."""
        if not self.ambiguous:
            self.ambiguous = {}
        self.ambiguous[path_id] = self.ambiguous.get(path_id, 0) + size

    def is_certain(self, path_id: int) -> bool:
        """Return True if some of what was acknowledged on a path was sent to no other."""
        return not self.ambiguous or self.ambiguous.get(path_id, 0) < self.acked[path_id]


@final
class OutstandingQueue:
    """The records in order of TSN, from `head` on; those before it are done with.

    * `next_tsn` is that of the next chunk to be sent, `cumulative_tsn` the highest that is acknowledged with all below.
    * `in_flight[path_id]` are bytes as cwnd counts them, `in_flight_user_bytes` as the peer's window does, both without
      what is marked for retransmission. `user_bytes` have been sent and not cumulatively acknowledged.
    * `renumbered`: by stream, the first TSN since its numbers began anew, if what is outstanding may have one of the
      numbers before.
    * `doubtful` receives the records of messages with a policy that have just been marked for retransmission,
      `delivered` the terms of watched messages that the peer has acknowledged, if there are any; their user takes both
      away.
    """

    __slots__ = (
        "_earliest",
        "_gap_ranges",
        "_lost_tsns",
        "_summary",
        "_timed",
        "_withdrawn",
        "cumulative_tsn",
        "delivered",
        "doubtful",
        "head",
        "in_flight",
        "in_flight_user_bytes",
        "next_tsn",
        "records",
        "renumbered",
        "user_bytes",
    )

    def __init__(self, initial_tsn: int, paths: int = 1) -> None:
        self._summary: AckSummary | None = None  # made by the first SACK
        self.delivered: list[Terms] | None = None
        self.in_flight = [0] * paths
        self._earliest: list[SentPacket | None] = [None] * paths  # outstanding, per path
        self._timed: list[SentPacket | None] = [None] * paths  # section 6.3.1 C4: one at a time
        self.restart(initial_tsn)

    def restart(self, initial_tsn: int) -> None:
        """Forget what was sent; the first TSN will be this one."""
        self.next_tsn = initial_tsn
        self.cumulative_tsn = initial_tsn - 1
        self.doubtful: list[SentPacket] | None = None
        self.renumbered: dict[int, int] | None = None
        self.in_flight_user_bytes = 0
        self.user_bytes = 0
        self.records: list[SentPacket] = []
        self.head = 0
        self._gap_ranges: list[tuple[int, int]] = []  # acknowledged above the cumulative TSN
        # Reneged on: from then on only the cumulative TSN is believed of these, so that a peer that says now this and
        # now that costs no more than one that says it once.
        self._withdrawn: list[tuple[int, int]] | None = None
        self._lost_tsns: list[int] = []  # heap of first TSNs; entries whose record is no longer lost are skipped
        for path_id in range(len(self.in_flight)):
            self.in_flight[path_id] = 0
            self._earliest[path_id] = self._timed[path_id] = None

    def __bool__(self) -> bool:
        return self.head < len(self.records)

    def is_contiguous(self) -> bool:
        """Return True if nothing is marked as lost, and nothing acknowledged by gap ack blocks."""
        return not self._gap_ranges and not self._lost_tsns

    def has_outstanding(self, path_id: int) -> bool:
        """Return True if data last sent to this path is unacknowledged: T3-rtx runs for it (section 6.3.2 R2)."""
        return self._earliest[path_id] is not None

    def path_of(self, tsn: int) -> int:
        """Return the path to which this TSN was last sent, -1 if it is not outstanding."""
        return self.records[self.index(tsn)].path_id if self.cumulative_tsn < tsn < self.next_tsn else -1

    def index(self, tsn: int) -> int:
        """Return the index of the record with this TSN, or of the first one beyond it."""
        head = self.head
        if head == len(self.records) or tsn <= self.records[head].last_tsn:
            return head
        return bisect_left(self.records, tsn, head, key=_last_tsn)

    def within(self, first_tsn: int, last_tsn: int) -> list[SentPacket]:
        """Return the records that have these TSNs and no others; one begins with the first of them, if it is there."""
        records = self.records
        start = end = self.index(first_tsn)
        while end < len(records) and records[end].last_tsn <= last_tsn:
            end += 1
        return records[start:end]

    def sent_to(self, path_id: int) -> list[SentPacket]:
        """Return what was last sent to a path and is not acknowledged."""
        earliest = self._earliest[path_id]
        since = self.records[self.index(earliest.first_tsn) :] if earliest is not None else []
        return [record for record in since if record.path_id == path_id and record.state < ACKED]

    def highest_reported(self) -> int:
        """Return the highest TSN that the last SACK acknowledged by a gap ack block, 0 if there was none."""
        return self._gap_ranges[-1][1] if self._gap_ranges else 0

    # Paths.

    def add_path(self) -> None:
        """Add a path, whose number is the next one."""
        self.in_flight.append(0)
        self._earliest.append(None)
        self._timed.append(None)

    def forget_path(self, path_id: int, other: int) -> None:
        """Let what was sent to a path, where all that is outstanding has been marked, count for another one."""
        earliest = self._earliest[other]
        for record in self.records[self.head :]:
            if record.path_id == path_id:
                record.path_id = other
                if record.state < ACKED and (earliest is None or record.first_tsn < earliest.first_tsn):
                    earliest = record
        self._earliest[other] = earliest
        self._earliest[path_id] = self._timed[path_id] = None

    # What leaves.

    def add_run(self, records: list[SentPacket], size: int, user_bytes: int) -> None:
        """Add packets with new data that leave to one path: `size` bytes of chunks, `user_bytes` of data."""
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

    # What the peer says.

    def apply(self, cumulative_tsn: int, gap_ranges: Sequence[tuple[int, int]] | None, now: float) -> AckSummary:
        """Take in a SACK, and return what it changes; that holds until the next one.

        The gap ranges are inclusive, ascending and disjoint, as offsets from the cumulative TSN. None says nothing of
        them: what a SHUTDOWN chunk brings.
        """
        summary = self._summary
        if summary is None:
            summary = self._summary = AckSummary()
        summary.clear(len(self.in_flight))
        if cumulative_tsn < self.cumulative_tsn:
            summary.stale = True
            return summary
        highest = cumulative_tsn + gap_ranges[-1][1] if gap_ranges else cumulative_tsn
        if highest >= self.next_tsn:  # section 12.4: whichever way it is acknowledged
            summary.violation = True
            return summary
        if cumulative_tsn > self.cumulative_tsn:
            summary.cum_advanced = True
            self._advance(summary, cumulative_tsn)
        if gap_ranges is None:
            if summary.cum_advanced and self._gap_ranges:
                # A peer that still had the TSN after it would have said more: that range has been reneged on.
                at = cumulative_tsn
                left = [(first - at, last - at) for first, last in self._gap_ranges if first > at + 1]
                self._apply_gap_ranges(summary, at, left)
        elif gap_ranges or self._gap_ranges:
            summary.highest = self._apply_gap_ranges(summary, cumulative_tsn, gap_ranges)
        self._measure(summary, now)
        return summary

    def mark(self, record: SentPacket, state: int) -> None:
        """Mark a record for retransmission: it no longer counts as in flight (section 6.2.1 C)."""
        if record.state == IN_FLIGHT:
            self._uncount(record)
            heappush(self._lost_tsns, record.first_tsn)
        record.state = state
        terms = record.terms
        if terms is not None and terms.policy != RELIABLE:
            if self.doubtful is None:
                self.doubtful = []
            self.doubtful.append(record)

    def earliest_lost(self) -> SentPacket | None:
        """Return the record to send again first, if any: where it went last if it is LOST, better elsewhere if it is
        TIMED_OUT (section 6.4).
        """
        lost = self._lost_tsns
        while lost:
            record = self.records[self.index(lost[0])] if lost[0] > self.cumulative_tsn else None
            if record is not None and record.first_tsn == lost[0] and LOST <= record.state < ACKED:
                return record
            heappop(lost)
        return None

    def resend(self, record: SentPacket, path_id: int, now: float) -> bool:
        """Send a lost record again, to this path; return True if it is the earliest outstanding one there."""
        record.state = IN_FLIGHT
        record.transmissions += 1
        record.sent_at = now
        self._count(record, path_id)
        last_path, record.path_id = record.path_id, path_id
        record.is_ambiguous |= last_path != path_id
        if last_path != path_id and self._earliest[last_path] is record:
            self._earliest[last_path] = self._next_outstanding(last_path, record.last_tsn + 1)
        earliest = self._earliest[path_id]
        if earliest is None or record.first_tsn < earliest.first_tsn:
            earliest = self._earliest[path_id] = record
        for other, timed in enumerate(self._timed):
            if timed is not None and timed.last_tsn >= record.first_tsn:  # section 6.3.1 C5
                self._timed[other] = None
        return earliest is record

    def split(self, record: SentPacket, tsn: int) -> None:
        """Make two records of one; `tsn` is the first of the second."""
        rest = record.cut(tsn)
        self.records.insert(self.index(record.first_tsn) + 1, rest)
        if LOST <= rest.state < ACKED:
            heappush(self._lost_tsns, tsn)

    def abandon_all(self) -> list[tuple[OutboundMessage, bool]]:
        """Forget everything; return the messages that have left and are not wholly acknowledged, each with True."""
        if not self.records:
            return []
        messages = _unacknowledged(self.records[self.head :])
        self.restart(self.next_tsn)
        return [(message, True) for message in messages]

    # Messages with terms (RFC 3758 section 3.5).

    def abandon(self, record: SentPacket) -> bool:
        """Let a record count as acknowledged for good; return True if it was the earliest outstanding of its path."""
        path_id = record.path_id
        if record.state == IN_FLIGHT:
            self._uncount(record)
        self.user_bytes -= record.user_bytes
        record.state = ABANDONED
        record.body = b""
        record.user_bytes = 0
        if self._timed[path_id] is record:
            self._timed[path_id] = None
        if self._earliest[path_id] is not record:
            return False
        self._earliest[path_id] = self._next_outstanding(path_id, record.last_tsn + 1)
        return True

    def abandon_rest(self, message: OutboundMessage | None) -> None:
        """Let the next TSN stand for what has not left of an abandoned message: it says that no more comes."""
        rest = SentPacket(self.next_tsn, self.next_tsn, b"", 0, 0, 0.0)
        rest.message = message
        rest.state = ABANDONED
        self.records.append(rest)
        self.next_tsn += 1

    def renumber(self, sids: Iterable[int]) -> None:
        """Note that the numbers of these streams begin anew with the next TSN (RFC 6525 section 5.2.2)."""
        if self.next_tsn == self.cumulative_tsn + 1:
            self.renumbered = None
            return
        if self.renumbered is None:
            self.renumbered = {}
        for sid in sids:
            self.renumbered[sid] = self.next_tsn

    def attach(self, message: OutboundMessage, terms: Terms, number: int = -1) -> bool:
        """Give terms to a message that has left without, or of which a part has.

        `number` is the SSN or MID of one of which only a part has left. Return False if it is acknowledged already.
        """
        last_tsn = message.tsn
        if last_tsn == NOT_SENT:
            last_tsn = self.next_tsn - 1
        elif last_tsn <= self.cumulative_tsn:
            return False
        else:
            terms.state = LEFT
        message.terms = terms
        terms.message = message
        key = number
        if number >= 0:
            key = (message.sid << 3 | message.flags & FLAG_UNORDERED) << 32 | number & MASK_32
        for tsn in range(last_tsn, self.cumulative_tsn, -1):
            record = self.records[self.index(tsn)]
            if not record.body:
                continue
            flags, chunk_key = _identify(record, tsn)
            if key < 0:
                key = chunk_key
            if chunk_key == key:
                record = self.cut_out(tsn, tsn)[0]
                record.message = message
                terms.records.appendleft(record)
                if flags & FLAG_BEGIN:
                    break
        terms.number = key & MASK_32
        return True

    # Steps.

    def cut_out(self, first: int, last: int) -> list[SentPacket]:
        """Return the records of exactly these TSNs. A record that has others as well is cut."""
        records = self.records
        start = self.index(first)
        if records[start].first_tsn < first:
            self.split(records[start], first)
            start += 1
        end = start
        while end < len(records) and records[end].last_tsn <= last:
            end += 1
        if end < len(records) and records[end].first_tsn <= last:
            self.split(records[end], last + 1)
            end += 1
        return records[start:end]

    def _advance(self, summary: AckSummary, cumulative_tsn: int) -> None:
        """Let go of what is cumulatively acknowledged: it can't be reneged on any more."""
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
                terms = record.message.terms
                if terms is not None and record.acknowledge(terms):
                    if self.delivered is None:
                        self.delivered = []
                    self.delivered.append(terms)
            if state < ACKED:
                record.state = ACKED
                size = len(record.body)
                path_id = record.path_id
                acked[path_id] += size
                if record.is_ambiguous:
                    summary.add_ambiguous(path_id, size)
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

    def _apply_gap_ranges(self, summary: AckSummary, cumulative_tsn: int, gap_ranges: Sequence[tuple[int, int]]) -> int:
        """Compare with the gap ranges of the SACK before; return the highest TSN newly acknowledged, 0 for none."""
        before = self._gap_ranges
        gaps = [(cumulative_tsn + start, cumulative_tsn + end) for start, end in gap_ranges if start]
        if self._withdrawn is not None:
            gaps = subtract(gaps, self._withdrawn)
        self._gap_ranges = gaps
        if gaps == before:
            return 0
        highest = 0
        for first, last in subtract(gaps, before):
            self._acknowledge(summary, first, last)
            highest = last
        for first, last in subtract(before, gaps):
            if last > cumulative_tsn:
                self._renege(summary, max(first, cumulative_tsn + 1), last)
        return highest

    def _acknowledge(self, summary: AckSummary, first: int, last: int) -> None:
        """Note that these TSNs are acknowledged by a gap ack block, and were not before."""
        for record in self.cut_out(first, last):
            state = record.state
            if state >= ACKED:
                continue
            record.state = ACKED
            summary.acked[record.path_id] += len(record.body)
            if record.is_ambiguous:
                summary.add_ambiguous(record.path_id, len(record.body))
            if state == IN_FLIGHT:
                self._uncount(record)

    def _renege(self, summary: AckSummary, first: int, last: int) -> None:
        """Note that these TSNs, acknowledged by a gap ack block, no longer are (section 6.2.1 D iii)."""
        self._withdrawn = join([each for each in self._withdrawn or () if each[1] > self.cumulative_tsn], first, last)
        for record in self.cut_out(first, last):
            if record.state == ABANDONED:
                continue
            path_id = record.path_id
            record.state = IN_FLIGHT
            self._count(record, path_id)
            summary.reneged.append(record)
            earliest = self._earliest[path_id]
            if earliest is None or earliest.first_tsn > record.first_tsn:
                self._earliest[path_id] = record

    def _count(self, record: SentPacket, path_id: int) -> None:
        self.in_flight[path_id] += len(record.body)
        self.in_flight_user_bytes += record.user_bytes

    def _uncount(self, record: SentPacket) -> None:
        self.in_flight[record.path_id] -= len(record.body)
        self.in_flight_user_bytes -= record.user_bytes

    def _measure(self, summary: AckSummary, now: float) -> None:
        """Take the round-trip time of each path (section 6.3.1), and find its earliest outstanding record."""
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

    def _next_outstanding(self, path_id: int, tsn: int) -> SentPacket | None:
        if not self.in_flight[path_id] and not self._lost_tsns:
            return None
        records = self.records
        for index in range(self.index(tsn), len(records)):
            record = records[index]
            if record.path_id == path_id and record.state < ACKED:
                return record
        return None


def _unacknowledged(records: list[SentPacket]) -> list[OutboundMessage]:
    """Return the messages in these records that have left completely, as written or recovered from their one chunk.

    What a gap ack block acknowledged is among them: it may wait for its turn for ever, or be discarded (section 6.2.1).
    """
    messages: dict[OutboundMessage, None] = {}
    for record in records:
        if record.state == ABANDONED:
            continue
        at = 0
        for tsn in range(record.first_tsn, record.last_tsn + 1):
            flags, length, _, sid, _, ppid = read_data(record.body, at)
            message = record.message
            if message is not None and tsn == message.tsn:
                messages[message] = None
            elif flags & WHOLE == WHOLE:
                start = at + DATA_HEADER_SIZE
                if flags >> 8 == I_DATA:
                    ppid = read_i_data(record.body, at)[5]
                    start = at + I_DATA_HEADER_SIZE
                data = record.body[start : at + length]
                messages[OutboundMessage(sid, data, ppid, flags & (WHOLE | FLAG_UNORDERED))] = None
            at += (length + 3) & -4
    return list(messages)


def subtract(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what the ranges cover and the others do not; all are inclusive, ascending and disjoint."""
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


def join(ranges: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Return the ranges with one more; those that touch become one, and so do all if they are too many."""
    apart = [each for each in ranges if each[1] < first - 1 or each[0] > last + 1]
    for each in ranges:
        if each[1] >= first - 1 and each[0] <= last + 1:
            first = min(first, each[0])
            last = max(last, each[1])
    apart.append((first, last))
    apart.sort()
    return [(apart[0][0], apart[-1][1])] if len(apart) > _MOST_WITHDRAWN else apart


def _identify(record: SentPacket, tsn: int) -> tuple[int, int]:
    """Return a chunk's flags, and a key that the chunks of its message share, of the stream, order and SSN or MID."""
    at = 0
    for _ in range(tsn - record.first_tsn):
        at += (read_data(record.body, at)[1] + 3) & -4
    flags, _, _, sid, number, _ = read_data(record.body, at)
    if flags >> 8 == I_DATA:
        number = read_i_data(record.body, at)[4]
    return flags, (sid << 3 | flags & FLAG_UNORDERED) << 32 | number
