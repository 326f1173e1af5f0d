"""What holds for one path: the association's settings, and in their place what the user has set for this path alone.

Knows names and thresholds. What follows from them is in `failover`, and for HEARTBEATs in `handlers.paths.heartbeat`.
"""

from __future__ import annotations

from typing import Any, Final, final

from ..config import Config
from .encapsulation import chunk_space
from .route import is_ipv4

DEFAULT_MTU: Final = 1280  # IPv6 guarantees it; IPv4 tunnels carry it too

_KEPT: Final = 64
_COMMON: Final[dict[tuple[float | None, int, int | None, int | None, int | None, bool], PathSettings]] = {}


def usual_space(mtu: int | None, address: str) -> int:
    """Return the bytes of chunks in a packet where nothing is known of the way to this address but `Config.mtu`."""
    return chunk_space(mtu or DEFAULT_MTU, is_ipv4(address))


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
