"""The peer's window, fast recovery and retransmissions, which are the association's and not a path's (RFC 9260 sections
6.1, 6.2.1 and 7.2.4).

Congestion windows are in `congestion`, which path is taken in `paths.failover`, timers in `handlers.data.sender`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from .ack_summary import AckSummary
from .message import ANY_KEY, TIMED_OUT
from .outstanding import OutstandingQueue

#: How far beyond the cumulative TSN a packet may begin. Gap ack blocks end at 65535 (section 3.3.4), and a stream may
#: have as many ordered messages in the send window (section 6.1); but peers that compare SSNs as RFC 1982 has it can't
#: tell more than 32767 apart.
_TSN_WINDOW: Final = 32000


@final
class RetransmissionQueue:
    """The window around an `OutstandingQueue`: what may be sent, and what has to be sent again.

    * `a_rwnd`: the window that the peer announced last; `largest_rwnd`: the largest so far.
    * `in_recovery`: cwnd neither shrinks by another loss nor grows (sections 7.2.1 and 7.2.4).
    * `fast_retransmit_due`: one packet of retransmissions may go regardless of cwnd.
    """

    __slots__ = ("_exit_point", "_outstanding", "a_rwnd", "fast_retransmit_due", "in_recovery", "largest_rwnd")

    def __init__(self, outstanding: OutstandingQueue, a_rwnd: int) -> None:
        self._outstanding = outstanding
        self.restart(a_rwnd)

    def restart(self, a_rwnd: int) -> None:
        """Begin with the window that the peer's INIT or INIT ACK announced (section 6.2.1 A)."""
        self.a_rwnd = self.largest_rwnd = a_rwnd
        self.in_recovery = False
        self.fast_retransmit_due = False
        self._exit_point = 0

    def peer_rwnd(self) -> int:
        """Return the user bytes that the peer can take beyond what is in flight (section 6.2.1 B to D)."""
        return max(self.a_rwnd - self._outstanding.in_flight_user_bytes, 0)

    def is_smooth(self) -> bool:
        """Return True if nothing is missing, as far as SACKs have told."""
        return not self.in_recovery and self._outstanding.is_contiguous()

    def last_new_tsn(self) -> int:
        """Return the highest TSN with which a packet of new data may begin."""
        return self._outstanding.cumulative_tsn + _TSN_WINDOW

    def on_sack(
        self, cumulative_tsn: int, a_rwnd: int, gap_ranges: Sequence[tuple[int, int]] | None, now: float
    ) -> AckSummary:
        """Take in a SACK, and return what it changes, as `OutstandingQueue.apply` does."""
        outstanding = self._outstanding
        if self.in_recovery and self._exit_point <= cumulative_tsn < outstanding.next_tsn:
            self.in_recovery = False  # section 6.2.1 D iv
        summary = outstanding.apply(cumulative_tsn, gap_ranges, now, self.in_recovery)
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

    def expire_t3(self, path_id: int) -> int:
        """Mark what is outstanding on a path for retransmission (section 6.3.3), and return how many records.

        That ends fast recovery: from here on the path, in slow start, recovers by itself (section 7.2.3).
        """
        self.in_recovery = False
        self.fast_retransmit_due = False
        return self._outstanding.expire(path_id)

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
            filled += size
            space -= size
            record = outstanding.earliest_lost()
        if filled or record is None:
            self.fast_retransmit_due = False
        return filled, earliest
