"""The contract between an association and a congestion controller, for the built-in ones and for a program's own.

There is one controller for each of the peer's addresses (RFC 9260 section 7.2). It knows bytes and time. What is the
same for every controller is elsewhere: when Fast Recovery begins and ends in `outbound.retransmission`, that a single
packet goes out after a time-out, and that one may always leave while nothing is in flight, in `paths.path`.
"""

from __future__ import annotations

from typing import Final

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
        """Narrow the window to a packet: T3-rtx ran out for this address (section 7.2.3)."""
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
