"""The window around what is outstanding: what may be sent, and what has to be sent again (RFC 9260 sections 6.1, 6.2.1,
7.2.4).
 Knows the peer's window and fast recovery, which are the association's and not a path's. It deliberately does not know
cwnd, which path is fit for use, or timers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from .message import TIMED_OUT, PacketRecord
from .outstanding import AckSummary, OutstandingQueue

#: How far beyond the cumulative TSN a packet may begin. Gap ack blocks end at 65535 (section 3.3.4), and a stream may
#: have as many ordered messages in the send window (section 6.1); but peers that compare SSNs as RFC 1982 has it can't
#: tell more than 32767 apart.
_TSN_WINDOW: Final = 32000


@final
class RetransmissionQueue:
    """Keeps the peer's window, fast recovery and the retransmissions of an `OutstandingQueue`.

    `in_recovery`: cwnd neither shrinks by another loss nor grows (sections 7.2.1 and 7.2.4). `fast_retransmit_due`: one
    packet of retransmissions may go regardless of cwnd. `largest_rwnd`: of the windows announced so far. The T3-rtx
    timer is never decided here; what is returned is what it takes.
    """

    __slots__ = ("_exit_point", "_outstanding", "a_rwnd", "fast_retransmit_due", "in_recovery", "largest_rwnd")

    def __init__(self, outstanding: OutstandingQueue, a_rwnd: int) -> None:
        self._outstanding = outstanding
        self.restart(a_rwnd)

    def restart(self, a_rwnd: int) -> None:
        """Section 6.2.1 A: the window that the peer's INIT or INIT ACK announced."""
        self.a_rwnd = self.largest_rwnd = a_rwnd
        self.in_recovery = False
        self.fast_retransmit_due = False
        self._exit_point = 0

    def peer_rwnd(self) -> int:
        """What the peer has room for beyond what is in flight (section 6.2.1 B to D: these three amount to this)."""
        return max(self.a_rwnd - self._outstanding.in_flight_user_bytes, 0)

    def is_smooth(self) -> bool:
        """Whether nothing is missing, as far as SACKs have told."""
        return not self.in_recovery and self._outstanding.is_contiguous()

    def last_new_tsn(self) -> int:
        """The highest TSN with which a packet of new data may begin."""
        return self._outstanding.cumulative_tsn + _TSN_WINDOW

    def on_sack(
        self, cumulative_tsn: int, a_rwnd: int, gap_offsets: Sequence[tuple[int, int]] | None, now: float
    ) -> AckSummary:
        """Take in a SACK; see `OutstandingQueue.apply`."""
        outstanding = self._outstanding
        if self.in_recovery and self._exit_point <= cumulative_tsn < outstanding.next_tsn:
            self.in_recovery = False  # section 6.2.1 D iv
        summary = outstanding.apply(cumulative_tsn, gap_offsets, now, self.in_recovery)
        if summary.stale or summary.violation:
            return summary
        self.a_rwnd = a_rwnd  # section 6.2.1 D ii
        if a_rwnd > self.largest_rwnd:
            self.largest_rwnd = a_rwnd
        if summary.lost_paths and not self.in_recovery:
            self.in_recovery = True
            self.fast_retransmit_due = True
            self._exit_point = outstanding.next_tsn - 1
            summary.entered_recovery = True
        return summary

    def on_shutdown(self, cumulative_tsn: int, now: float) -> AckSummary:
        """Take in the cumulative TSN of a SHUTDOWN chunk, which tells nothing else (section 9.2)."""
        return self.on_sack(cumulative_tsn, self.a_rwnd, None, now)

    def expire_t3(self, path_id: int) -> int:
        """T3-rtx expired: what is outstanding on the path is marked for retransmission; the number of records.

        It ends fast recovery: from here on the path, in slow start, recovers by itself (section 7.2.3).
        """
        self.in_recovery = False
        self.fast_retransmit_due = False
        return self._outstanding.expire(path_id)

    def earliest_lost(self) -> PacketRecord | None:
        """What has to be sent again first. Its `path_id` is where it went last, its state why: LOST goes there again,
        TIMED_OUT better goes elsewhere (section 6.4)."""
        return self._outstanding.earliest_lost()

    def fill(self, parts: list[bytes], room: int, path_id: int, now: float, force: bool = False) -> tuple[int, bool]:
        """Append as many lost records as fit into `room` bytes, the earliest first (sections 6.3.3 E3 and 7.2.4).

        Their bytes, and whether the earliest outstanding data of this path is among them (section 6.1: restart T3-rtx
        then). Those that need another choice of path than the first, or another key, are left. `force`, for an
        otherwise empty packet: a chunk that has become too long for the path goes nevertheless, and is left to IP
        fragmentation (section 6.9).
        """
        outstanding = self._outstanding
        filled = 0
        earliest = False
        first = record = outstanding.earliest_lost()
        last_path = first.path_id if first is not None else 0
        timed_out = first is not None and first.state == TIMED_OUT
        key_id = first.key_id() if first is not None else -1
        while record is not None and record.path_id == last_path and (record.state == TIMED_OUT) == timed_out:
            if record.key_id() != key_id:
                break
            if len(record.body) > room:
                beyond = record.first_beyond(room)
                if beyond == record.first_tsn:
                    if filled or not force:
                        break
                    beyond += 1
                if beyond <= record.last_tsn:
                    outstanding.split(record, beyond)
            size = len(record.body)
            parts.append(record.body)
            record.astray |= record.path_id != path_id
            earliest |= outstanding.resend(record, path_id, now)
            filled += size
            room -= size
            record = outstanding.earliest_lost()
        if filled or record is None:
            self.fast_retransmit_due = False
        return filled, earliest
