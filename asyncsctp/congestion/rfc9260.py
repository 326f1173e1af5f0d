"""The congestion control of RFC 9260 section 7.2: slow start and congestion avoidance, counted in bytes (RFC 3465); and
the contract between an association and any congestion controller, a program's own too.

There is one controller for each of the peer's addresses (section 7.2). It knows bytes and time. What is the same for
every controller is elsewhere: when Fast Recovery begins and ends in `outbound.retransmission`, that a single packet
goes out after a time-out, and that one may always leave while nothing is in flight, in `paths.path`.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

#: "Arbitrarily high" (section 7.2.1): no receiver can announce a larger window.
INITIAL_SSTHRESH: Final = 0xFFFFFFFF


def initial_window(pmdcs: int, ipv4: bool) -> int:
    """Return the cwnd, in bytes, before anything is known of a path (section 7.2.1)."""
    return min(4 * pmdcs, max(2 * pmdcs, 4404 if ipv4 else 4344))


@mypyc_attr(allow_interpreted_subclasses=True)
class CongestionController:
    """Decides how much data may be in flight to one of the peer's addresses.

    A subclass goes into `Config.congestion`, which is called with `pmdcs` and `ipv4` for each path. The subclass moves
    `cwnd` (bytes, an int, looked at after each call of a method here; less than `pmdcs` counts as that) and, where it
    means something, `ssthresh`, which is only reported. `on_ack` and `on_fast_retransmit` are what it must write. Sizes
    are those of DATA chunks with their headers and padding, `now` is a monotonic clock in seconds. Nothing here may
    block, and `on_ack` is called for each SACK. If a method raises, or a window is no int, `RFC9260` takes over for
    that path, and a `CongestionControllerFailed` event tells.

    For example, an additive increase and multiplicative decrease that gives up a fifth at a loss, once per round trip:

    >>> class Gentle(CongestionController):
    ...     def on_ack(self, acked, in_flight_before, cum_advanced, in_recovery, now):
    ...         if in_flight_before >= self.cwnd and not in_recovery:    # the window was what held us back
    ...             self.cwnd += max(1, self.pmdcs * acked // self.cwnd)
    ...     def on_fast_retransmit(self, now):
    ...         self.ssthresh = self.cwnd = max(self.cwnd * 4 // 5, 2 * self.pmdcs)
    >>> path = Gentle(1200, True)
    >>> path.cwnd
    4404
    >>> path.on_ack(2400, 4800, True, False, 10.0); path.cwnd
    5057
    >>> path.on_fast_retransmit(10.1); path.cwnd
    4045
    """

    __slots__ = ("cwnd", "ipv4", "pmdcs", "ssthresh")

    def __init__(self, pmdcs: int, ipv4: bool) -> None:
        self.pmdcs = pmdcs  # the largest DATA chunk that fits a packet of this path
        self.ipv4 = ipv4
        self.cwnd = initial_window(pmdcs, ipv4)
        self.ssthresh = INITIAL_SSTHRESH

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        """Move the window for a SACK that acknowledged data sent to this address.

        `acked` is the size of the chunks acknowledged for the first time. `in_flight_before` is what was in flight
        here when data could last leave: SACKs that are handled together, before anything is sent, see the same.
        `cum_advanced` tells whether the SACK moved the Cumulative TSN Ack Point, `in_recovery` whether it found the
        association in Fast Recovery.
        """
        raise NotImplementedError

    def on_fast_retransmit(self, now: float) -> None:
        """Narrow the window for data found missing outside Fast Recovery (section 7.2.4); `on_ack` came before."""
        raise NotImplementedError

    def on_timeout(self, now: float) -> None:
        """Narrow the window to a packet, to begin slow start: T3-rtx ran out for this address (section 7.2.3)."""
        self.on_fast_retransmit(now)
        self.cwnd = self.pmdcs

    def on_congestion_experienced(self, now: float) -> None:
        """Narrow the window for a congestion mark that the peer echoed, once per window (RFC 4960 appendix A)."""
        self.on_fast_retransmit(now)

    def on_rtt(self, rtt: float, now: float) -> None:
        """Take a round trip: about one per round trip while data flows, and one with each HEARTBEAT ACK."""

    def on_all_acked(self) -> None:
        """Note that nothing is outstanding on this address any more."""

    def on_idle(self, idle: float, rto: float) -> None:
        """Adjust to `idle` seconds, at least one `rto`, in which no data left; some is about to (section 7.2.1)."""

    def on_pmdcs(self, pmdcs: int) -> None:
        """Take another size of the largest chunk that fits a packet of this path, in bytes."""
        self.pmdcs = pmdcs

    def reinitialize(self) -> None:
        """Begin anew: another route, source address or service class is used (section 7.2.5)."""
        self.cwnd = initial_window(self.pmdcs, self.ipv4)
        self.ssthresh = INITIAL_SSTHRESH


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
        super().on_timeout(now)
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
        super().reinitialize()
        self.partial_bytes_acked = 0
        self._after_timeout = False
