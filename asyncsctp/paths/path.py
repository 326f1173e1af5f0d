"""One of the peer's addresses: what is known of the way there (RFC 9260 sections 6.1, 6.3, 7.2 and 7.3).

A path knows its time-out, its window and the size of its packets; its state and error counter are set by
`path_manager`. What is in flight is counted in `outbound`.
"""

from __future__ import annotations

from typing import Final, final

from ..congestion.base import CongestionController
from ..path_state import PathState
from .encapsulation import chunk_space
from .route import Route, is_ipv4
from .rto import RtoEstimator
from .settings import PathSettings

#: No report of a smaller packet is believed: every IPv4 and IPv6 path must carry one of these.
_SMALLEST_MTU_IPV4: Final = 576
_SMALLEST_MTU_IPV6: Final = 1280

#: Of a window that lies idle so much leaves in one burst: one of so many parts, but so many packets at the least.
_BURST_SHARE: Final = 4
_SMALLEST_BURST: Final = 10
_UNBOUNDED: Final = 1 << 62


@final
class Path:
    """One of the peer's addresses. Its `path_id` is its index in `PathManager.by_id`, for good."""

    __slots__ = (
        "_burst_end",  # in flight may be so much by now, although the window were wider
        "_idle_since",  # data was sent then, or the window adjusted for having sent none
        "_reserved",  # of each packet, for AUTH
        "congestion",
        "error_count",
        "heartbeat_at",  # when the HEARTBEAT that awaits its answer was sent
        "heartbeat_nonce",  # of that HEARTBEAT; empty: none awaits an answer
        "is_refused",  # ICMP says of that HEARTBEAT that nobody has taken it
        "last_sent",  # when data was sent here first, which measures the path; -1.0: never
        "mtu",  # the largest IP packet
        "one_packet",  # section 7.2.3: until an acknowledgement, a single packet in flight
        "path_id",
        "payload",  # the chunks that fit a packet, which is PMDCS
        "reply_route",  # from the local address that the peer's last packet came to, which need not be that of `route`
        "route",
        "rto",
        "settings",
        "state",
    )

    def __init__(
        self,
        path_id: int,
        route: Route,
        state: PathState,
        settings: PathSettings,
        rto: RtoEstimator,
        congestion: CongestionController,
        reserved: int = 0,
    ) -> None:
        self.path_id = path_id
        self.route = route
        self.reply_route = route
        self.state = state
        self.error_count = 0
        self.settings = settings
        self.rto = rto
        self.congestion = congestion
        self.mtu = settings.mtu
        self._reserved = reserved
        self.payload = chunk_space(self.mtu, is_ipv4(route.address)) - reserved
        self.last_sent = -1.0
        self._idle_since = -1.0
        self._burst_end = self._burst()
        self.one_packet = False
        self.heartbeat_nonce = b""
        self.heartbeat_at = 0.0
        self.is_refused = False

    def restart(self, rto: RtoEstimator) -> None:
        """Forget what was counted and measured: the peer has lost its state (section 5.2.4 A)."""
        self.rto = rto
        self.congestion.reinitialize()
        self.error_count = 0
        self.last_sent = self._idle_since = -1.0
        self.one_packet = False

    def space(self, in_flight: int, now: float) -> int:
        """Return the bytes of data that may leave now; while there are any, a whole packet may (section 6.1 B)."""
        if in_flight > 0:
            return 0 if self.one_packet else self.window - in_flight
        if self._idle_since >= 0.0:
            idle = now - self._idle_since
            rto = self.rto.rto
            if idle >= rto:
                self.congestion.on_idle(idle, rto)
                self._idle_since = now - idle % rto
        window = self.window
        return window if window > self.payload and not self.one_packet else self.payload

    @property
    def window(self) -> int:
        """The bytes that may be in flight: cwnd, but less of one that lies idle (section 6.1 D).

        What was in flight before a SACK may be so again, and as much beyond as it has acknowledged, which makes space
        for twice what was acknowledged. Or as much as may leave in one burst.
        """
        cwnd = self.congestion.cwnd
        return cwnd if cwnd < self._burst_end else self._burst_end

    def _burst(self) -> int:
        if not self.settings.bounds_bursts:
            return _UNBOUNDED
        return max(self.congestion.cwnd // _BURST_SHARE, _SMALLEST_BURST * self.payload)

    def on_sent(self, now: float, again: bool = False) -> None:
        """Note that data has left; `again`: it was sent before, so that it measures nothing (section 6.3.1 C5)."""
        if not again:
            self.last_sent = now
        self._idle_since = now

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        """Move the windows for a SACK of data sent here; the arguments are those of `CongestionController.on_ack`."""
        self.one_packet = False
        self.congestion.on_ack(acked, in_flight_before, cum_advanced, in_recovery, now)
        if self.settings.bounds_bursts:
            burst_end = in_flight_before + acked
            self._burst_end = burst_end if burst_end >= self.congestion.cwnd else max(burst_end, self._burst())
        else:
            self._burst_end = _UNBOUNDED

    def on_rtt(self, rtt: float, now: float, keep: bool = False) -> None:
        """Take a round trip that was measured, by data (section 6.3.1) or by a HEARTBEAT (section 8.3); `keep` is that
        of `RtoEstimator.observe`.
        """
        self.rto.observe(rtt, keep)
        self.congestion.on_rtt(rtt, now)

    def expire_t3(self, now: float) -> None:
        """Narrow the window (rule E1 of section 6.3.3). The rest of a time-out is `PathManager.on_timeout`."""
        self.congestion.on_timeout(now)
        self.one_packet = True

    def reserve(self, reserved: int) -> None:
        """Leave so many bytes of each packet for other than the chunks that we bundle (RFC 4895 section 6.2)."""
        self._reserved = reserved
        self.set_mtu(self.mtu)
        if self.last_sent < 0.0:
            self.congestion.reinitialize()  # the initial window is so many packets

    def on_message_size(self, mtu: int) -> bool:
        """Send no IP packet above `mtu` bytes, as the network carries none; True if that is news.

        A larger size never is (section 7.3).
        """
        mtu = max(mtu, _SMALLEST_MTU_IPV4 if is_ipv4(self.route.address) else _SMALLEST_MTU_IPV6)
        if mtu >= self.mtu:
            return False
        self.set_mtu(mtu)
        return True

    def set_mtu(self, mtu: int) -> None:
        """Send IP packets of at most this size from now on."""
        self.mtu = mtu
        self.payload = chunk_space(mtu, is_ipv4(self.route.address)) - self._reserved
        self.congestion.on_pmdcs(self.payload)
