"""Congestion controllers, and the contract for a program's own."""

from __future__ import annotations

from .base import INITIAL_SSTHRESH, CongestionController, initial_window
from .rfc9260 import RFC9260

__all__ = ["INITIAL_SSTHRESH", "RFC9260", "CongestionController", "initial_window"]
