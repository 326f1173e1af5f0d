"""A small stand-in for the send queue: streams, messages of given sizes, packets, and the order in which they left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncsctp.schedulers import NO_STREAM, StreamScheduler


@dataclass
class Sender:
    """The stand-in. `chunk`: the most bytes of a turn, as with I-DATA; None: a turn is a message, as with DATA."""

    scheduler: StreamScheduler
    chunk: int | None = None
    queues: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # order, bytes left
    sent: list[int] = field(default_factory=list)  # the stream of each turn
    bytes_sent: dict[int, int] = field(default_factory=dict)
    order: int = 0

    def write(self, sid: int, *sizes: int) -> None:
        queue = self.queues.setdefault(sid, [])
        was_empty = not queue
        for size in sizes:
            self.order += 1
            queue.append((self.order, size))
        if was_empty:
            self.scheduler.activate(sid, queue[0][0])

    def withdraw(self, sid: int) -> None:
        self.queues[sid].clear()
        self.scheduler.deactivate(sid)

    def turn(self) -> int:
        sid = self.scheduler.next()
        if sid == NO_STREAM:
            return sid
        queue = self.queues[sid]
        order, size = queue.pop(0)
        taken = size
        if self.chunk is not None and size > self.chunk:
            taken = self.chunk
            queue.insert(0, (order, size - taken))
        self.sent.append(sid)
        self.bytes_sent[sid] = self.bytes_sent.get(sid, 0) + taken
        self.scheduler.served(sid, taken, queue[0][0] if queue else NO_STREAM)
        return sid

    def turns(self, count: int) -> list[int]:
        return [self.turn() for _ in range(count)]

    def send_bytes(self, count: int) -> dict[int, int]:
        """Until so many have left, or all; by stream."""
        before = dict(self.bytes_sent)
        until = sum(before.values()) + count
        while sum(self.bytes_sent.values()) < until and self.turn() != NO_STREAM:
            pass
        return {sid: sent - before.get(sid, 0) for sid, sent in self.bytes_sent.items()}

    def packet(self, most: int) -> list[int]:
        """The streams of the turns in one packet that has room for so many."""
        self.scheduler.begin_packet()
        turns: list[int] = []
        while len(turns) < most:
            sid = self.turn()
            if sid == NO_STREAM:
                break
            turns.append(sid)
        return turns


def shares(bytes_sent: dict[int, int]) -> Sequence[float]:
    """Of the first stream's, by stream."""
    first = bytes_sent[min(bytes_sent)]
    return [round(bytes_sent[sid] / first, 2) for sid in sorted(bytes_sent)]
