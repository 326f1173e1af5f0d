"""What choosing the next stream costs: `python -m benchmarks.schedulers`, in ns of CPU time per turn.

A turn is what the send queue does for one chunk: ask which stream is next, and say that it was served. All streams
always have something more to send. Beside it, what it costs for a stream to come and go: `deactivate` and `activate`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from random import Random
from statistics import median

import asyncsctp
from asyncsctp.schedulers import (
    NO_STREAM,
    FairBandwidth,
    FirstComeFirstServed,
    Priority,
    RoundRobin,
    RoundRobinPerPacket,
    StreamScheduler,
    WeightedFairQueueing,
)

from .report import align

__all__ = ["SCHEDULERS", "main", "measure"]

SCHEDULERS: tuple[type[StreamScheduler], ...] = (
    FirstComeFirstServed,
    RoundRobin,
    RoundRobinPerPacket,
    Priority,
    FairBandwidth,
    WeightedFairQueueing,
)
STREAMS = (10, 1_000, 60_000)
ROUNDS = 5
_PACKET = 4  # turns


def measure(kind: type[StreamScheduler], streams: int, turns: int, seed: int = 1) -> tuple[float, float]:
    """Seconds for a turn, and for a stream that goes and comes back."""
    random = Random(seed)
    scheduler = kind()
    if kind in (Priority, WeightedFairQueueing):
        for sid in range(streams):
            scheduler.set_priority(sid, random.randrange(1, 16))
    order = 0
    for sid in random.sample(range(streams), streams):
        order += 1
        scheduler.activate(sid, order)
    sizes = [random.randrange(100, 1400) for _ in range(turns)]
    began = time.process_time()
    for number, size in enumerate(sizes):
        if not number % _PACKET:
            scheduler.begin_packet()
        sid = scheduler.next()
        order += 1
        scheduler.served(sid, size, order)
    turn = (time.process_time() - began) / turns
    loop_alone = _loop_alone(sizes)
    if scheduler.next() == NO_STREAM and kind is not RoundRobinPerPacket:
        raise RuntimeError(f"{kind.__name__} has lost its streams")
    sids = random.choices(range(streams), k=turns)
    began = time.process_time()
    for sid in sids:
        order += 1
        scheduler.deactivate(sid)
        scheduler.activate(sid, order)
    return turn - loop_alone, (time.process_time() - began) / turns


def _loop_alone(sizes: Sequence[int]) -> float:
    order = 0
    began = time.process_time()
    for number, _ in enumerate(sizes):
        if not number % _PACKET:
            pass
        order += 1
    return (time.process_time() - began) / len(sizes)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.schedulers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=100_000, help="that each figure is the mean of (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="that it is the median of (%(default)s)")
    arguments = parser.parse_args(argv)
    print(f"asyncsctp {'compiled' if asyncsctp.compiled else 'uncompiled'}; ns per turn, ns to go and come\n")
    lines = [["active streams", "", *(f"{streams:,}" for streams in STREAMS)]]
    for kind in SCHEDULERS:
        found = [
            [measure(kind, streams, arguments.turns, seed) for seed in range(arguments.rounds)] for streams in STREAMS
        ]
        for at, name in enumerate((kind.__name__, "  goes and comes")):
            lines.append([name, "", *(f"{median(each[at] for each in runs) * 1e9:,.0f}" for runs in found)])
    for line in align(lines):
        print(line)


if __name__ == "__main__":
    main()
