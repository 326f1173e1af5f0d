"""Strict priorities (RFC 8260 section 3.4)."""

from __future__ import annotations

from typing import Final, final

from .base import NO_STREAM, StreamScheduler, check_value
from .turns import Turns

#: Below the priority in a key is the number of the turn: two years of a million turns per second. 62 bits together are
#: what compiled code has a machine word for.
_TURN_BITS: Final = 46


@final
class Priority(StreamScheduler):
    """The stream with the smallest value goes first; equal ones take turns (sections 3.4 and 4.3.2).

    `set_priority` takes 0 to 65535; a stream that was given none has 0, the highest priority. As long as a stream has
    messages, those with larger values wait.
    """

    __slots__ = ("_count", "_turns", "_values")

    def __init__(self) -> None:
        self._turns = Turns()
        self._values: dict[int, int] = {}  # that are not 0
        self._count = 0

    def activate(self, sid: int, order: int) -> None:
        self._queue(sid)

    def deactivate(self, sid: int) -> None:
        self._turns.remove(sid)

    def next(self) -> int:
        return self._turns.first()

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self._turns.remove(sid)
        else:
            self._queue(sid)

    def set_priority(self, sid: int, value: int) -> None:
        """Put a stream in its place, also for what was already written. `ValueError` beyond 0 to 65535."""
        check_value("priority", 0, value)
        if value == self._values.get(sid, 0):
            return
        if value:
            self._values[sid] = value
        else:
            del self._values[sid]
        if sid in self._turns.keys:
            self._queue(sid)

    def _queue(self, sid: int) -> None:
        """Put a stream behind those of the same priority."""
        self._count += 1
        self._turns.put(sid, self._values.get(sid, 0) << _TURN_BITS | self._count)
