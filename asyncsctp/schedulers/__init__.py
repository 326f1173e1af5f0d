"""Stream schedulers (RFC 8260 section 3): the contract, and those that come with the library."""

from __future__ import annotations

from .base import NO_STREAM, StreamScheduler
from .fcfs import FirstComeFirstServed

__all__ = ["NO_STREAM", "FirstComeFirstServed", "StreamScheduler"]
