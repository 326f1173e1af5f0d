"""Congestion controllers, and the contract for a program's own."""

from __future__ import annotations

from .rfc9260 import INITIAL_SSTHRESH, RFC9260, CongestionController, initial_window

__all__ = ["INITIAL_SSTHRESH", "RFC9260", "CongestionController", "initial_window"]
