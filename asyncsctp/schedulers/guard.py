"""A scheduler that a user wrote, watched: its mistakes abort nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..plugins import describe, fault, make_plugin, spell
from .base import NO_STREAM, StreamScheduler
from .fair import FairBandwidth, WeightedFairQueueing
from .fcfs import FirstComeFirstServed
from .priority import Priority
from .round_robin import RoundRobin, RoundRobinPerPacket

_OURS: Final = (FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth, WeightedFairQueueing)


def make(factory: Callable[[], object] | None, report: Callable[[Exception], object]) -> StreamScheduler:
    """Return the scheduler that `Config.scheduler` asks for, guarded; the built-in one for `None`, or if there is none
    to be had from the factory, which `report` is told.
    """
    if factory is None:
        return FirstComeFirstServed()
    made = make_plugin("scheduler", StreamScheduler, factory, report)
    return FirstComeFirstServed() if made is None else guard(made, report)


def guard(scheduler: StreamScheduler, report: Callable[[Exception], object]) -> StreamScheduler:
    """Return a scheduler that does as this one does until it makes a mistake, and then as `FirstComeFirstServed`.

    `report` is called once, with an error that names the class, the method and what was wrong. Those that come with the
    library are given back as they are.
    """
    if type(scheduler) in _OURS or type(scheduler) is GuardedScheduler:
        return scheduler
    return GuardedScheduler(scheduler, report)


@final
class GuardedScheduler(StreamScheduler):
    """Keeps what it takes to let another scheduler go on: the active streams and their orders."""

    __slots__ = ("_orders", "_packet_is_empty", "_report", "_scheduler", "failed")

    def __init__(self, scheduler: StreamScheduler, report: Callable[[Exception], object]) -> None:
        self._scheduler = scheduler
        self._report = report
        self._orders: dict[int, int] = {}
        self._packet_is_empty = True
        self.failed = False

    def __repr__(self) -> str:
        return repr(self._scheduler)

    def activate(self, sid: int, order: int) -> None:
        self._orders[sid] = order
        self._call("activate", sid, order)

    def deactivate(self, sid: int) -> None:
        del self._orders[sid]
        self._call("deactivate", sid)

    def next(self) -> int:
        try:
            sid = self._scheduler.next()
            if sid in self._orders:
                return sid
        except Exception as error:
            self._take_over(f"next() raised {describe(error)}", error)
            return self._scheduler.next()
        if sid != NO_STREAM:
            self._take_over(f"next() chose stream {spell(sid)}, which has nothing to send", None)
        elif not self._orders or not self._packet_is_empty:
            return NO_STREAM
        else:
            streams = len(self._orders)
            self._take_over(f"next() gave NO_STREAM for an empty packet while {streams} streams are active", None)
        return self._scheduler.next()

    def served(self, sid: int, size: int, order: int) -> None:
        self._packet_is_empty = False
        if order == NO_STREAM:
            del self._orders[sid]
        else:
            self._orders[sid] = order
        self._call("served", sid, size, order)

    def begin_packet(self) -> None:
        self._packet_is_empty = True
        self._call("begin_packet")

    def set_priority(self, sid: int, value: int) -> None:
        self._call("set_priority", sid, value)

    def _call(self, method: str, *args: int) -> None:
        """Call the other one; what it raises is its last mistake, but for a priority that is wrong itself."""
        try:
            getattr(self._scheduler, method)(*args)
        except Exception as error:
            if method == "set_priority" and isinstance(error, ValueError):
                raise
            self._take_over(f"{method}({', '.join(map(str, args))}) raised {describe(error)}", error)

    def _take_over(self, what: str, error: Exception | None) -> None:
        name = type(self._scheduler).__qualname__
        other = FirstComeFirstServed()
        for sid, order in self._orders.items():
            other.activate(sid, order)
        self._scheduler = other
        self.failed = True
        self._report(fault(f"scheduler {name}: {what}; FirstComeFirstServed has taken over", error))
