"""The lowest, or the highest, key of a table, at a cost that does not grow with the table.

The heap is made when it is first asked. It is not told of keys that leave the table: they are passed over later.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heappop, heappush
from typing import Final, final

_SLACK: Final = 64


@final
class LazyHeap:
    """A heap of keys beside their table, which its caller hands over with each call."""

    __slots__ = ("_heap", "_sign")

    def __init__(self, highest: bool = False) -> None:
        self._heap: list[int] | None = None
        self._sign = -1 if highest else 1

    def push(self, key: int, table: Collection[int]) -> None:
        """Add a key that has just come into the table."""
        heap = self._heap
        if heap is None:
            return
        if len(heap) > 2 * len(table) + _SLACK:  # most of them have left the table
            self._heap = None
        else:
            heappush(heap, self._sign * key)

    def first(self, table: Collection[int]) -> int | None:
        """Return the lowest (or highest) key of the table, None if it is empty."""
        sign = self._sign
        heap = self._heap
        if heap is None:
            self._heap = heap = [sign * key for key in table]
            heapify(heap)
        while heap:
            key = sign * heap[0]
            if key in table:
                return key
            heappop(heap)
        return None

    def pop(self, last: int, table: Collection[int]) -> int | None:
        """Return the lowest key of the table, each only once, or None if it is above `last`."""
        key = self.first(table)
        if key is None or key > last or self._heap is None:
            return None
        heappop(self._heap)
        return key
