"""One of the peer's addresses: what is known of the way there, and what is set for it (RFC 9260 sections 6.1, 6.3, 7.2
and 7.3).

A path knows its time-out, its window and the size of its packets. Its error counter is kept by
`handlers.paths.reachability`, its state by `potentially_failed`; what is in flight is counted in `outbound`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from ..config import Config
from ..congestion.guard import make
from ..congestion.rfc9260 import CongestionController
from ..path_state import PathState
from .encapsulation import DEFAULT_MTU, chunk_space
from .route import Route, is_ipv4
from .rto import RtoEstimator

#: No report of a smaller packet is believed: every IPv4 and IPv6 path must carry one of these.
_SMALLEST_MTU_IPV4: Final = 576
_SMALLEST_MTU_IPV6: Final = 1280

#: Of a window that lies idle so much leaves in one burst: one of so many parts, but so many packets at the least.
_BURST_SHARE: Final = 4
_SMALLEST_BURST: Final = 10
_UNBOUNDED: Final = 1 << 62

_KEPT: Final = 64
_COMMON: Final[dict[tuple[float | None, int, int | None, int | None, int | None, bool], PathSettings]] = {}


@final
class PathSettings:
    """Never changed: other settings are another object. Paths that have none of their own share one."""

    __slots__ = (
        "bounds_bursts",  # where the user has set no Max.Burst
        "dscp",  # -1: that of the endpoint's sockets
        "heartbeat_interval",  # HB.interval; None: only while UNCONFIRMED
        "max_retrans",  # Path.Max.Retrans, PMR
        "mtu",
        "own",
        "pf_threshold",  # PotentiallyFailed.Max.Retrans, PFMR (RFC 7829 section 3.2 rule 1); None: no such state
    )

    def __init__(self, config: Config, own: dict[str, Any]) -> None:
        """`own`: by name, what was set for this path. `ValueError` if that does not go with the other settings."""
        mtu: int | None = own.get("mtu", config.mtu)
        self.heartbeat_interval: float | None = own.get("heartbeat_interval", config.heartbeat_interval)
        self.max_retrans: int = own.get("max_retrans", config.path_max_retrans)
        self.pf_threshold: int | None = own.get("pf_threshold", config.pf_threshold)
        self.mtu = mtu or DEFAULT_MTU
        self.dscp: int = own.get("dscp", -1)
        self.bounds_bursts = config.max_burst is None
        self.own = own
        least = self.max_retrans if self.pf_threshold is None else self.pf_threshold
        if config.primary_switchover is not None and config.primary_switchover < least:  # RFC 7829 section 5 rule 1
            name = "max_retrans" if self.pf_threshold is None else "pf_threshold"
            raise ValueError(
                f"{name} of a path must be at most primary_switchover ({config.primary_switchover}), not {least}"
            )


def common_settings(config: Config) -> PathSettings:
    """Return those of paths with none of their own: one object for all associations with the same."""
    key = (
        config.heartbeat_interval,
        config.path_max_retrans,
        config.pf_threshold,
        config.mtu,
        config.primary_switchover,
        config.max_burst is None,
    )
    settings = _COMMON.get(key)
    if settings is None:
        if len(_COMMON) >= _KEPT:
            _COMMON.clear()
        settings = _COMMON[key] = PathSettings(config, {})
    return settings


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
        config: Config,
        reserved: int,
        report: Callable[[Exception], object],
    ) -> None:
        """`reserved`: bytes of each packet for AUTH. `report` is told of the mistakes of a congestion controller."""
        self.path_id = path_id
        self.route = route
        self.reply_route = route
        self.state = state
        self.error_count = 0
        self.settings = settings
        self.rto = RtoEstimator(config.rto_initial, config.rto_min, config.rto_max)
        self.mtu = settings.mtu
        self._reserved = reserved
        ipv4 = is_ipv4(route.address)
        self.payload = chunk_space(settings.mtu, ipv4) - reserved
        self.congestion: CongestionController = make(config.congestion, self.payload, ipv4, report)
        self.last_sent = -1.0
        self._idle_since = -1.0
        self._burst_end = self._burst()
        self.one_packet = False
        self.heartbeat_nonce = b""
        self.heartbeat_at = 0.0
        self.is_refused = False

    def restart(self, config: Config) -> None:
        """Forget what was counted and measured: the peer has lost its state (section 5.2.4 A)."""
        self.rto = RtoEstimator(config.rto_initial, config.rto_min, config.rto_max)
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
        """Take a round trip of data (section 6.3.1) or of a HEARTBEAT (8.3); for `keep` see `RtoEstimator.observe`."""
        self.rto.observe(rtt, keep)
        self.congestion.on_rtt(rtt, now)

    def expire_t3(self, now: float) -> None:
        """Narrow the window (rule E1 of section 6.3.3). The rest of a time-out is `reachability.on_timeout`."""
        self.congestion.on_timeout(now)
        self.one_packet = True

    def reserve(self, reserved: int) -> None:
        """Leave so many bytes of each packet for other than the chunks that we bundle (RFC 4895 section 6.2)."""
        self._reserved = reserved
        self.set_mtu(self.mtu)
        if self.last_sent < 0.0:
            self.congestion.reinitialize()  # the initial window is so many packets

    def on_message_size(self, mtu: int) -> bool:
        """Send no IP packet above `mtu` bytes, as the network carries none; True if it is less than before (7.3)."""
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
