"""Round robin, by turn and by packet (RFC 8260 sections 3.2 and 3.3); and what other schedulers have in common with it:
a heap of streams in the order of their turns, that they can leave and change places in.
"""

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


class RoundRobin(StreamScheduler):
    """One turn each, one stream after the other (section 3.2). A stream that comes is the last."""

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


@final
class RoundRobinPerPacket(RoundRobin):
    """One packet each, one stream after the other (section 3.3): a packet that is lost holds up only its own stream."""

    __slots__ = ("_in_packet",)

    def __init__(self) -> None:
        super().__init__()
        self._in_packet = NO_STREAM  # whose chunks are in the packet that is being filled

    def deactivate(self, sid: int) -> None:
        self._turns.remove(sid)
        if not self._turns.keys:
            self._in_packet = NO_STREAM  # nobody tells us of the packets of a stream that is alone

    def next(self) -> int:
        sid = self._in_packet
        if sid == NO_STREAM:
            return self._turns.first()
        return sid if sid in self._turns.keys else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self._turns.remove(sid)
        elif self._in_packet != sid:
            self._put(sid)
        self._in_packet = sid

    def begin_packet(self) -> None:
        self._in_packet = NO_STREAM
