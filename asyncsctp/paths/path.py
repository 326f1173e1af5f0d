"""One of the peer's addresses: what is known of the way there (RFC 9260 sections 5.4, 6.3, 7.2, 7.3 and 8.3).

A path knows its own error counter and the state that follows from it (RFC 7829 section 3.2), its time-out, window and
packet size. Which path is used is decided where all of them are known, in `path_manager`; what is in flight is counted
in `outbound`.
"""

from __future__ import annotations

from typing import Final, final

from ..congestion.base import CongestionController
from ..path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from ..timers import NEVER
from .route import Route, chunk_room, is_ipv4, smallest_mtu
from .rto import RtoEstimator
from .settings import PathSettings

_HEARTBEAT_INTERVAL: Final = 30.0  # HB.interval, section 16

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
        self.payload = chunk_room(self.mtu, is_ipv4(route.address)) - reserved
        self.last_sent = -1.0
        self._idle_since = -1.0
        self._burst_end = self._burst()
        self.one_packet = False
        self.heartbeat_nonce = b""
        self.heartbeat_at = 0.0
        self.is_refused = False

    def restart(self, rto: RtoEstimator) -> None:
        """The peer has lost its state: what was counted and measured before is of no meaning (section 5.2.4 A)."""
        self.rto = rto
        self.congestion.reinitialize()
        self.error_count = 0
        self.last_sent = self._idle_since = -1.0
        self.one_packet = False

    def room(self, in_flight: int, now: float) -> int:
        """The bytes of data that may leave now; while there are any, a whole packet may (section 6.1 B)."""
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
        """What may be in flight: cwnd, but less of one that lies idle (section 6.1 D).

        What was in flight before a SACK may be once more, and as much beyond as it has acknowledged: then what the
        network let go on makes room for twice that. Or as much as may leave in one burst.
        """
        cwnd = self.congestion.cwnd
        return cwnd if cwnd < self._burst_end else self._burst_end

    def _burst(self) -> int:
        if not self.settings.bounds_bursts:
            return _UNBOUNDED
        return max(self.congestion.cwnd // _BURST_SHARE, _SMALLEST_BURST * self.payload)

    def on_sent(self, now: float, again: bool = False) -> None:
        """Data has left for this address; `again`: it was sent before, so that it measures nothing (section 6.3.1
        C5).
        """
        if not again:
            self.last_sent = now
        self._idle_since = now

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        """A SACK acknowledged data sent to this address; the arguments are those of `CongestionController.on_ack`."""
        self.one_packet = False
        self.congestion.on_ack(acked, in_flight_before, cum_advanced, in_recovery, now)
        if self.settings.bounds_bursts:
            burst_end = in_flight_before + acked
            self._burst_end = burst_end if burst_end >= self.congestion.cwnd else max(burst_end, self._burst())
        else:
            self._burst_end = _UNBOUNDED

    def on_rtt(self, rtt: float, now: float, keep: bool = False) -> None:
        """A round trip was measured, by data (section 6.3.1) or by a HEARTBEAT (section 8.3); `keep` is that of
        `RtoEstimator.observe`.
        """
        self.rto.observe(rtt, keep)
        self.congestion.on_rtt(rtt, now)

    def expire_t3(self, now: float) -> None:
        """Rule E1 of section 6.3.3. The rest of a time-out is `PathManager.on_timeout`."""
        self.congestion.on_timeout(now)
        self.one_packet = True

    def judge(self) -> bool:
        """Whether the error counter moves it to another state, by the thresholds in force. Only an answer ends
        UNCONFIRMED and INACTIVE.
        """
        before = self.state
        if before is UNCONFIRMED or before is INACTIVE:
            return False
        settings = self.settings
        if self.error_count > settings.max_retrans:
            self.state = INACTIVE  # section 8.2; RFC 7829 section 3.2 rule 8
        elif settings.pf_threshold is not None and self.error_count > settings.pf_threshold:
            self.state = POTENTIALLY_FAILED  # RFC 7829 section 3.2 rule 2
        else:
            self.state = ACTIVE
        return self.state is not before

    def reserve(self, reserved: int) -> None:
        """So many bytes of each packet are for other than the chunks that we bundle (RFC 4895 section 6.2)."""
        self._reserved = reserved
        self.set_mtu(self.mtu)
        if self.last_sent < 0.0:
            self.congestion.reinitialize()  # the initial window is so many packets

    def on_message_size(self, mtu: int) -> bool:
        """The network carries no IP packet above `mtu`; whether that is news. A larger size never is (section 7.3)."""
        mtu = max(mtu, smallest_mtu(is_ipv4(self.route.address)))
        if mtu >= self.mtu:
            return False
        self.set_mtu(mtu)
        return True

    def set_mtu(self, mtu: int) -> None:
        """IP packets have at most this size from now on."""
        self.mtu = mtu
        self.payload = chunk_room(mtu, is_ipv4(self.route.address)) - self._reserved
        self.congestion.on_pmdcs(self.payload)

    def heartbeat_delay(self, random_fraction: float) -> float:
        """Seconds from one HEARTBEAT to the next; `NEVER` where they are switched off. `random_fraction` is in [0, 1).

        Section 8.3: RTO with its back-off and +/- 50 %, plus HB.interval. Section 5.4: an UNCONFIRMED address is
        probed in each RTO, until that has failed too often; switched off or not. RFC 7829 section 3.2 rules 5 and 6: to
        one that is POTENTIALLY_FAILED they follow one another, each as soon as the one before has had its RTO.
        """
        rto = self.rto.rto
        interval = self.settings.heartbeat_interval
        if self.state is UNCONFIRMED:
            if self.error_count <= self.settings.max_retrans:
                return rto
            if interval is None:
                interval = _HEARTBEAT_INTERVAL
        elif interval is None:
            return NEVER
        elif self.state is POTENTIALLY_FAILED:
            return 0.0
        return interval + rto * (0.5 + random_fraction)
