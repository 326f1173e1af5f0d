"""Where packets go: the peer's addresses, their time-outs, windows and failures. Nothing here sends or keeps time."""

from __future__ import annotations

from .encapsulation import Route, in_scope, is_ipv4, listed_addresses, normalize
from .path import Path
from .path_manager import PathManager, Verdict
from .rto import RtoEstimator

__all__ = [
    "Path",
    "PathManager",
    "Route",
    "RtoEstimator",
    "Verdict",
    "in_scope",
    "is_ipv4",
    "listed_addresses",
    "normalize",
]
