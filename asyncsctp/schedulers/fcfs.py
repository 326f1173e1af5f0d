"""First come, first served (RFC 8260 section 3.1): messages leave in the order in which they were written."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import Final, final

from ..tables import NOTHING
from .base import NO_STREAM, StreamScheduler

#: So many entries of streams that went away may always lie in the heap; beyond that, as many as there are active ones.
_FEW_GONE: Final = 32


@final
class FirstComeFirstServed(StreamScheduler):
    """The default: a heap of the streams' first messages by arrival.

    A stream that goes away leaves its entry behind, until that has come to the top. As a stream's arrival numbers never
    get smaller, its entries that count no longer are above the one that does.
    """

    __slots__ = ("_gone", "_gone_count", "_heads")

    def __init__(self) -> None:
        self._heads: list[tuple[int, int]] = []
        self._gone: dict[int, int] = NOTHING  # how many entries of a stream count no longer, the oldest ones
        self._gone_count = 0

    def activate(self, sid: int, order: int) -> None:
        heappush(self._heads, (order, sid))

    def deactivate(self, sid: int) -> None:
        if not self._gone:
            self._gone = {}
        self._gone[sid] = self._gone.get(sid, 0) + 1
        self._gone_count += 1
        self._tidy()

    def next(self) -> int:
        return self._heads[0][1] if self._heads else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if self._heads[0][1] != sid:
            if order != NO_STREAM:
                heappush(self._heads, (order, sid))
            self.deactivate(sid)
            return
        if order != NO_STREAM:
            heapreplace(self._heads, (order, sid))
        else:
            heappop(self._heads)
        if self._gone_count:
            self._tidy()

    def _tidy(self) -> None:
        """Leave no entry at the top that counts no longer, and not too many below it."""
        heads = self._heads
        if self._gone_count > _FEW_GONE and 2 * self._gone_count > len(heads):
            heads.sort()
            self._heads = [head for head in heads if not self._is_gone(head[1])]  # what is sorted is a heap
            return
        while self._gone_count and self._is_gone(heads[0][1]):
            heappop(heads)

    def _is_gone(self, sid: int) -> bool:
        """Return True if the oldest entry of the stream counts no longer; asked once for each entry."""
        count = self._gone.get(sid, 0)
        if not count:
            return False
        self._gone_count -= 1
        if count > 1:
            self._gone[sid] = count - 1
        else:
            del self._gone[sid]
        return True
