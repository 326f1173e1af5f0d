"""Strict priorities (RFC 8260 section 3.4)."""

from __future__ import annotations

from typing import Final, final

from .base import check_value
from .round_robin import RoundRobin

#: Below the priority in a key is the number of the turn: two years of a million turns per second. 62 bits together are
#: what compiled code has a machine word for.
_TURN_BITS: Final = 46


@final
class Priority(RoundRobin):
    """The stream with the smallest value goes first; equal ones take turns (sections 3.4 and 4.3.2).

    `set_priority` takes 0 to 65535; a stream that was given none has 0, the highest priority. As long as a stream has
    messages, those with larger values wait.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[int, int] = {}  # that are not 0

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
            self._put(sid)

    def _put(self, sid: int) -> None:
        """Put a stream behind those of the same priority."""
        self._count += 1
        self._turns.put(sid, self._values.get(sid, 0) << _TURN_BITS | self._count)
