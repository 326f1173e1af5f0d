"""The one clock of a simulation: a queue of what will happen, and when.

It knows instants and actions. What advances it is `virtual_time`, for asyncio, or `pair`, for core endpoints: a network
behaves alike under either.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf, isfinite
from typing import final


class SimulationError(RuntimeError):
    """A simulation can't go on, or should not."""


class DeadlockError(SimulationError):
    """Nothing is ready and nothing will ever happen, but the awaited end has not come."""


class TimeLimitError(SimulationError):
    """The awaited end has not come within the time allowed, in virtual seconds."""


@final
class Clock:
    """Virtual time in seconds, from 0.0, and the actions that wait for their instant.

    Actions of one instant run in the order in which they were scheduled.
    """

    __slots__ = ("_count", "_waiting", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_time(self) -> float:
        """The instant of the next action; infinity when there is none."""
        return self._waiting[0][0] if self._waiting else inf

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Run `action` at the instant `when`, or now if that has passed. `ValueError` when it is not finite."""
        if not isfinite(when):
            raise ValueError(f"when must be finite, not {when!r}")
        self._count += 1
        heappush(self._waiting, (max(when, self.now), self._count, action))

    def after(self, delay: float, action: Callable[[], object]) -> None:
        """Run `action` in `delay` seconds."""
        self.at(self.now + delay, action)

    def advance(self, when: float) -> None:
        """Set the clock forward to `when`; it never goes back, and never passes an action that waits."""
        self.now = max(self.now, min(when, self.next_time))

    def run_next(self) -> bool:
        """Run the next action if it is due now; return False if none is."""
        if not self._waiting or self._waiting[0][0] > self.now:
            return False
        heappop(self._waiting)[2]()
        return True

    def run_due(self) -> None:
        """Run all that is due now, and what these actions schedule for this same instant."""
        while self.run_next():
            pass
