"""A stream scheduler of one's own: earliest deadline first, beside first come, first served.

    python examples/earliest_deadline_first.py
    python examples/earliest_deadline_first.py --rate 800 --loss 0.05 --seconds 120

Four kinds of messages share an association, each on a stream of its own: alarms and positions, which are worth nothing
when they are late, pictures and logs, which come in bursts and have time. The line is slow and loses packets; it is
simulated, on virtual time. How many messages of each kind arrived in time is printed, for both schedulers.

The scheduler is told of each message by its number, counted from 1 in the order in which the association's messages
are written. Who writes them all can count along, and so note a deadline for each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from struct import Struct
from typing import NamedTuple

import asyncsctp
from asyncsctp.schedulers import NO_STREAM, FirstComeFirstServed, StreamScheduler
from asyncsctp.testing import LinkSettings, Network
from asyncsctp.testing.schedulers import check_scheduler

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
DEADLINE = Struct("!d")


class Kind(NamedTuple):
    """Every `period` seconds `burst` messages of `size` bytes, which should arrive within `deadline` seconds."""

    name: str
    size: int
    burst: int
    period: float
    deadline: float


KINDS = (
    Kind("alarm", 50, 1, 0.13, 0.2),
    Kind("position", 500, 1, 0.05, 0.25),
    Kind("picture", 1000, 20, 0.5, 1.0),
    Kind("log", 1000, 75, 2.5, 5.0),
)


class Deadlines:
    """When each message that was written should have arrived."""

    def __init__(self) -> None:
        self.written = 0
        self._streams: dict[int, deque[tuple[int, float]]] = {}

    def note(self, sid: int, deadline: float) -> None:
        """That of the message that is written next."""
        self.written += 1
        self._streams.setdefault(sid, deque()).append((self.written, deadline))

    def of(self, sid: int, order: int) -> float:
        """That of a stream's first message. Those before it have left."""
        noted = self._streams.get(sid)
        while noted and noted[0][0] < order:
            noted.popleft()
        return noted[0][1] if noted and noted[0][0] == order else float("inf")


class EarliestDeadlineFirst(StreamScheduler):
    """The stream whose first message is the most urgent. Streams that have left stay in the heap until they come to its
    top; `_current` tells which entries count.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._heap: list[tuple[float, int, int]] = []
        self._current: dict[int, int] = {}

    def activate(self, sid: int, order: int) -> None:
        self._current[sid] = order
        heappush(self._heap, (self._deadlines.of(sid, order), order, sid))

    def deactivate(self, sid: int) -> None:
        del self._current[sid]
        if len(self._heap) > 2 * len(self._current) + 64:
            self._heap = sorted(entry for entry in self._heap if self._current.get(entry[2]) == entry[1])

    def next(self) -> int:
        while self._heap:
            _, order, sid = self._heap[0]
            if self._current.get(sid) == order:
                return sid
            heappop(self._heap)
        return NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self.deactivate(sid)
        elif order != self._current[sid]:  # else it was a chunk, and the message is not over
            self.activate(sid, order)


async def write(assoc: asyncsctp.Association, sid: int, kind: Kind, deadlines: Deadlines, until: float) -> int:
    """All messages of one kind; how many."""
    clock = asyncio.get_running_loop().time
    _, writer = assoc.open_stream(sid)
    count = 0
    while clock() < until:
        for _ in range(kind.burst):
            deadline = clock() + kind.deadline
            deadlines.note(sid, deadline)
            writer.write(DEADLINE.pack(deadline).ljust(kind.size, b"."))
            count += 1
        await asyncio.sleep(kind.period)
    return count


async def compare(network: Network, seconds: float, deadlines: Deadlines, config: asyncsctp.Config) -> list[float]:
    """The share of messages of each kind that arrived in time."""
    clock = asyncio.get_running_loop().time
    in_time = [0] * len(KINDS)

    async def read(assoc: asyncsctp.Association) -> None:
        async for message in assoc:
            in_time[message.stream] += clock() <= DEADLINE.unpack_from(message.data)[0]

    async with (
        asyncsctp.serve(read, SERVER, 5001, config=config),
        asyncsctp.connect(SERVER, 5001, local_addrs=CLIENT, config=config) as assoc,
    ):
        until = clock() + seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(write(assoc, sid, kind, deadlines, until)) for sid, kind in enumerate(KINDS)]
        await assoc.close()
    return [met / task.result() for met, task in zip(in_time, tasks, strict=True)]


def run(args: argparse.Namespace, make: Callable[[Deadlines], StreamScheduler]) -> list[float]:
    """A network and an association of its own for each scheduler."""
    link = LinkSettings(delay=0.02, rate=args.rate * 1000.0, queue=4500, loss=args.loss)
    network = Network(seed=args.seed, link=link)
    network.host("client", CLIENT)
    network.host("server", SERVER)
    deadlines = Deadlines()
    config = asyncsctp.Config(
        scheduler=partial(make, deadlines), mtu=1500, rto_initial=0.3, rto_min=0.2, sack_delay=0.05
    )
    return network.run(compare(network, args.seconds, deadlines, config))


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Deadlines met with two schedulers, over a slow and lossy line.")
    parser.add_argument("--rate", type=float, default=900.0, metavar="KBIT", help="of the line (default %(default)g)")
    parser.add_argument("--loss", type=float, default=0.02, help="of packets, 0 to 1 (default %(default)g)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of virtual time (default %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="for other losses (default %(default)d)")
    parser.add_argument("--check", action="store_true", help="try first whether the scheduler keeps to the contract")
    args = parser.parse_args()
    try:
        if args.check:
            check_scheduler(lambda: EarliestDeadlineFirst(Deadlines()), seed=args.seed)
        first_come = run(args, lambda _: FirstComeFirstServed())
        earliest = run(args, EarliestDeadlineFirst)
    except (ValueError, OSError) as exc:
        print(f"earliest_deadline_first: {exc}", file=sys.stderr)
        return 1
    print(f"{args.rate:g} kbit/s, {args.loss:.1%} of the packets lost; messages that arrived in time:\n")
    print(f"{'':10} {'within':>8} {'first come':>12} {'earliest deadline':>18}")
    for kind, before, after in zip(KINDS, first_come, earliest, strict=True):
        print(f"{kind.name:10} {kind.deadline:6.2f} s {before:12.1%} {after:18.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
