"""First come, first served (RFC 8260 section 3.1): messages leave in the order in which they were written."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import final

from .base import NO_STREAM, StreamScheduler

__all__ = ["FirstComeFirstServed"]


@final
class FirstComeFirstServed(StreamScheduler):
    """The default: a heap of the streams' first messages by arrival."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: list[tuple[int, int]] = []

    def activate(self, sid: int, order: int) -> None:
        heappush(self._heads, (order, sid))

    def deactivate(self, sid: int) -> None:
        self._heads = [head for head in self._heads if head[1] != sid]
        heapify(self._heads)

    def next(self) -> int:
        return self._heads[0][1] if self._heads else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if self._heads[0][1] != sid:
            self.deactivate(sid)
            if order != NO_STREAM:
                self.activate(sid, order)
        elif order != NO_STREAM:
            heapreplace(self._heads, (order, sid))
        else:
            heappop(self._heads)
