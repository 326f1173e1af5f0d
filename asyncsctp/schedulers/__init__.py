"""Stream schedulers (RFC 8260 section 3): the contract, and those that come with the library."""

from __future__ import annotations

from .base import NO_STREAM, StreamScheduler
from .fair import FairBandwidth, WeightedFairQueueing
from .fcfs import FirstComeFirstServed
from .priority import Priority
from .round_robin import RoundRobin, RoundRobinPerPacket

__all__ = [
    "NO_STREAM",
    "FairBandwidth",
    "FirstComeFirstServed",
    "Priority",
    "RoundRobin",
    "RoundRobinPerPacket",
    "StreamScheduler",
    "WeightedFairQueueing",
]
