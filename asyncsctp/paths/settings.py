"""What holds for one path: the association's settings, and in their place what the user has set for this path alone.

Knows names and thresholds. What follows from them is decided by the path, and by whoever knows all paths.
"""

from __future__ import annotations

from typing import Any, Final, final

from ..config import Config, check_path_setting
from .route import chunk_room, is_ipv4

DEFAULT_MTU: Final = 1280  # IPv6 guarantees it; IPv4 tunnels carry it too


def usual_room(mtu: int | None, address: str) -> int:
    """The bytes of chunks in a packet where nothing is known of the way to this address but `Config.mtu`."""
    return chunk_room(mtu or DEFAULT_MTU, is_ipv4(address))


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
        """`own`: by name, what was set for this path."""
        heartbeat_interval: float | None = own.get("heartbeat_interval", config.heartbeat_interval)
        max_retrans: int = own.get("max_retrans", config.path_max_retrans)
        pf_threshold: int | None = own.get("pf_threshold", config.pf_threshold)
        mtu: int | None = own.get("mtu", config.mtu)
        dscp: int = own.get("dscp", -1)
        self.heartbeat_interval = heartbeat_interval
        self.max_retrans = max_retrans
        self.pf_threshold = pf_threshold
        self.mtu = mtu or DEFAULT_MTU
        self.dscp = dscp
        self.bounds_bursts = config.max_burst is None
        self.own = own
        least = max_retrans if pf_threshold is None else pf_threshold
        if config.primary_switchover is not None and config.primary_switchover < least:  # RFC 7829 section 5 rule 1
            name = "max_retrans" if pf_threshold is None else "pf_threshold"
            raise ValueError(
                f"{name} of a path must be at most primary_switchover ({config.primary_switchover}), not {least}"
            )

    def renewed(self, config: Config) -> PathSettings:
        """The same for other settings of the association."""
        return PathSettings(config, self.own)

    def changed(self, config: Config, changes: dict[str, Any]) -> PathSettings:
        """With these set for the path alone. `ValueError` or `TypeError` names what is wrong."""
        for name, value in changes.items():
            check_path_setting(name, value)
        return PathSettings(config, self.own | changes)


def common_settings(config: Config) -> PathSettings:
    """Those of paths with none of their own: one object for all associations with the same."""
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


_KEPT: Final = 64
_COMMON: Final[dict[tuple[float | None, int, int | None, int | None, int | None, bool], PathSettings]] = {}
