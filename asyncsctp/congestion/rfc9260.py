"""The congestion control of RFC 9260 section 7.2: slow start and congestion avoidance, counted in bytes (RFC 3465).

The initial window is in `base`: every controller begins with it.
"""

from __future__ import annotations

from typing import final

from .base import CongestionController


@final
class RFC9260(CongestionController):
    """The built-in controller.

    `limit` is L of section 7.2.1, the packets by which one SACK can widen the window in slow start. It SHOULD be 1;
    RFC 3465 section 2.3 allows 2, and never more than 1 in the slow start after a time-out. It goes into a
    configuration as `functools.partial(RFC9260, limit=2)`.
    """

    __slots__ = ("_after_timeout", "_decayed", "_limit", "partial_bytes_acked")

    def __init__(self, pmdcs: int, ipv4: bool, limit: int = 1) -> None:
        if limit not in (1, 2):
            raise ValueError(f"limit must be 1 or 2, not {limit!r}")
        super().__init__(pmdcs, ipv4)
        self.partial_bytes_acked = 0
        self._limit = limit
        self._after_timeout = False
        self._decayed = False  # for idleness, since everything was acknowledged

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        """Widen the window (sections 7.2.1 and 7.2.2), whether or not the Cumulative TSN Ack Point moved (RFC 8540
        section 3.22).
        """
        cwnd = self.cwnd
        if cwnd <= self.ssthresh:
            # Section 7.2.1: MUST NOT grow unless the window was fully utilized, nor in Fast Recovery.
            if in_flight_before >= cwnd and not in_recovery:
                # RFC 3465 section 2.3: L MUST be 1 in the slow start that follows a time-out.
                most = self.pmdcs if self._after_timeout else self.pmdcs * self._limit
                self.cwnd = cwnd + min(acked, most)
            return
        # Section 7.2.2: by one PMDCS per window acknowledged, and no credit for windows that were not filled.
        self._after_timeout = False
        partial = self.partial_bytes_acked + acked
        if partial >= cwnd:
            if in_flight_before >= cwnd:
                partial -= cwnd
                self.cwnd = cwnd + self.pmdcs
            else:
                partial = cwnd
        self.partial_bytes_acked = partial

    def on_fast_retransmit(self, now: float) -> None:
        """Halve the window (section 7.2.3)."""
        self.ssthresh = self.cwnd = max(self.cwnd // 2, 4 * self.pmdcs)
        self.partial_bytes_acked = 0

    def on_timeout(self, now: float) -> None:
        """Begin slow start with one packet, up to half the window (section 7.2.3)."""
        self.on_fast_retransmit(now)
        self.cwnd = self.pmdcs
        self._after_timeout = True

    def on_all_acked(self) -> None:
        """Count partial_bytes_acked anew (section 7.2.2, last paragraph)."""
        self.partial_bytes_acked = 0
        self._decayed = False

    def on_idle(self, idle: float, rto: float) -> None:
        """Halve the window per RTO down to four packets; one below that is not widened by it (section 7.2.1)."""
        least = 4 * self.pmdcs
        if self.cwnd > least:
            if not self._decayed:  # before the first adjustment
                self._decayed = True
                self.ssthresh = self.cwnd
            self.cwnd = max(self.cwnd >> min(int(idle / rto), 32), least)

    def reinitialize(self) -> None:
        """Begin anew (section 7.2.5)."""
        super().reinitialize()
        self.partial_bytes_acked = 0
        self._after_timeout = False
