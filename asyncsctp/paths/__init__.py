"""Where packets go: the peer's addresses, their time-outs, windows and failures. Nothing here sends or keeps time."""

from __future__ import annotations

from .encapsulation import Route, in_scope, is_ipv4, listed_addresses, normalize
from .failover import Verdict
from .path import Path
from .path_manager import PathManager
from .rto import RtoEstimator
from .settings import PathSettings

__all__ = [
    "Path",
    "PathManager",
    "PathSettings",
    "Route",
    "RtoEstimator",
    "Verdict",
    "in_scope",
    "is_ipv4",
    "listed_addresses",
    "normalize",
]
