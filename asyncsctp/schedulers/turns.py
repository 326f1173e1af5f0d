"""The streams in the order of their turns: a heap that they can leave and change places in, and schedulers by it."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, final

from .base import NO_STREAM, StreamScheduler

#: So many entries that count no longer may always lie in the heap; beyond that, as many as there are others.
_FEW_STALE: Final = 32


@final
class Turns:
    """Streams by a number, the smallest first. All costs O(log streams), in the mean of many calls.

    The entry of a stream that has left, or has another number now, stays until it comes to the top or there are too
    many; `keys` has the numbers that count.
    """

    __slots__ = ("_heap", "keys")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self.keys: dict[int, int] = {}

    def first(self) -> int:
        """Return the stream whose turn it is, `NO_STREAM` if there is none."""
        return self._heap[0][1] if self._heap else NO_STREAM

    def first_key(self) -> int:
        """Return the number of that stream, which there must be."""
        return self._heap[0][0]

    def put(self, sid: int, key: int) -> None:
        """Add a stream, or give it another number."""
        heap = self._heap
        if sid not in self.keys:
            self.keys[sid] = key
            heappush(heap, (key, sid))
            return
        self.keys[sid] = key
        if heap[0][1] == sid:
            heapreplace(heap, (key, sid))
        else:
            heappush(heap, (key, sid))
        self._tidy()

    def remove(self, sid: int) -> None:
        """Remove a stream, which there must be."""
        del self.keys[sid]
        self._tidy()

    def clear(self) -> None:
        """Remove all streams."""
        self._heap.clear()
        self.keys.clear()

    def _tidy(self) -> None:
        heap = self._heap
        keys = self.keys
        if len(heap) > 2 * len(keys) + _FEW_STALE:
            self._heap = heap = [(key, sid) for sid, key in keys.items()]
            heapify(heap)
            return
        while heap:
            key, sid = heap[0]
            if keys.get(sid, NO_STREAM) == key:
                return
            heappop(heap)


class InTurn(StreamScheduler):
    """One turn each, one stream after the other; `_put` says where a stream stands."""

    __slots__ = ("_count", "_turns")

    def __init__(self) -> None:
        self._turns = Turns()
        self._count = 0

    def activate(self, sid: int, order: int) -> None:
        self._put(sid)

    def deactivate(self, sid: int) -> None:
        self._turns.remove(sid)

    def next(self) -> int:
        return self._turns.first()

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self._turns.remove(sid)
        else:
            self._put(sid)

    def _put(self, sid: int) -> None:
        """Put a stream behind all others."""
        self._count += 1
        self._turns.put(sid, self._count)
