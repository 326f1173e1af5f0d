"""Timers as values: a table of deadlines, without a clock and without callbacks.

Knows the names of timers and when they run out. What follows when one does is listed in `association.dispatch`; when to
look is up to whoever has the clock.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

# The kinds of timers (RFC 9260 section 16). The key of one that belongs to a path has its number too: see `timer_key`.
T1_INIT: Final = 0
T1_COOKIE: Final = 1
T2_SHUTDOWN: Final = 2
T3_RTX: Final = 3
T5_GUARD: Final = 4
HEARTBEAT_TIMER: Final = 5
DELAYED_ACK: Final = 6
AUTOCLOSE: Final = 7
WINDOW_PROBE: Final = 8
RECONFIG: Final = 9
FORWARD_TSN_RTX: Final = 10
LIFETIME: Final = 11
T4_RTO: Final = 12

_KINDS: Final = 16

NEVER: Final = inf


def timer_key(kind: int, path_id: int = 0) -> int:
    """Return the key of a timer of this kind, and of this path if it is one of a path."""
    return path_id * _KINDS + kind


def timer_kind(key: int) -> int:
    """Return the kind of a timer with this key."""
    return key % _KINDS


def timer_path(key: int) -> int:
    """Return the path of a timer with this key."""
    return key // _KINDS


@final
class TimerTable:
    """The deadlines of one association. Starting, restarting and stopping a timer cost the same however many run."""

    __slots__ = ("_deadlines", "_earliest")

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._earliest = NEVER

    def start(self, key: int, deadline: float) -> None:
        """Start the timer, or restart it with a new deadline."""
        self._deadlines[key] = deadline
        if deadline < self._earliest:
            self._earliest = deadline

    def stop(self, key: int) -> None:
        """Stop the timer; nothing happens if it does not run."""
        self._deadlines.pop(key, None)

    def stop_all(self) -> None:
        """Stop every timer."""
        self._deadlines.clear()
        self._earliest = NEVER

    def runs(self, key: int) -> bool:
        """Tell whether the timer runs."""
        return key in self._deadlines

    def deadline(self, key: int) -> float:
        """Return when the timer runs out; `NEVER` if it does not run."""
        return self._deadlines.get(key, NEVER)

    @property
    def next_expiry(self) -> float:
        """The time at which to call `expired`: never later than the earliest deadline.

        It may be earlier, after a timer was stopped or put off: the work of finding the next one is done once, at that
        time, and not at every restart.
        """
        return self._earliest if self._deadlines else NEVER

    def expired(self, now: float) -> list[int]:
        """Stop the timers that have run out by `now`, and return their keys in the order of their deadlines."""
        if now < self._earliest:
            return []
        due = sorted((deadline, key) for key, deadline in self._deadlines.items() if deadline <= now)
        for _, key in due:
            del self._deadlines[key]
        self._earliest = min(self._deadlines.values(), default=NEVER)
        return [key for _, key in due]
