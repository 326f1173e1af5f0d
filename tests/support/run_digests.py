"""A program that prints a digest of each of many seeded runs, so that two builds of the package can be compared.

    python tests/support/run_digests.py {run | packets} FIRST LAST

Its first line says which build runs. Each other line has a seed, the number of packets, and the digest of all of
them, with their times, and of what both users were told. With a single seed, all of these are listed too.
"""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from random import Random

if __name__ == "__main__":
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parents[1]))

from support.hostile.replay import INTERLEAVED, QUIET, RICH, ROUGH, Moment, record, stir
from support.pair import Pair, Recorder
from support.random_runs.base import RandomRun

import asyncsctp


def whole_run(seed: int) -> Pair:
    """A random life of one association."""
    drawn = RandomRun(seed)
    drawn.pair.network.packets = []
    drawn.run()
    return drawn.pair


def random_packets(seed: int) -> Pair:
    """Senseless packets into a life that was quiet until then."""
    random = Random(seed)
    moment = random.choice(moments())
    pair = moment.life.live_until(moment.number)
    pair.network.packets = []
    stir(pair, moment, random)
    return pair


@cache
def moments() -> list[Moment]:
    return [moment for life in (QUIET, ROUGH, RICH, INTERLEAVED) for moment in record(life, copies=False)]


RUNS = {"run": whole_run, "packets": random_packets}


def told(user: Recorder) -> list[str]:
    """What a user has heard, and what the association has counted."""
    lines = [f"{user.name}: {len(data)} bytes, {rest}, {data!r}" for *rest, data in user.messages]
    lines += [f"{user.name}: {event!r}" for event in user.events]
    lines += [f"{user.name}: {heartbeat!r}" for heartbeat in user.heartbeats]
    lines.append(f"{user.name}: closed {user.is_closed}, {user.error!r}")
    if user.association is not None:
        lines.append(f"{user.name}: {user.association.statistics!r}")
    return lines


def lines_of(pair: Pair) -> list[str]:
    """All that happened."""
    assert pair.network.packets is not None
    lines = [
        f"{each.time!r} {each.source} {each.destination} {each.outcome.value} {each.data.hex()}"
        for each in pair.network.packets
    ]
    for user in pair.users:
        lines += told(user)
    return lines


def main(kind: str, first: str, last: str) -> None:
    print("compiled" if asyncsctp.compiled else "plain")
    for seed in range(int(first), int(last) + 1):
        pair = RUNS[kind](seed)
        lines = lines_of(pair)
        print(seed, len(pair.network.packets or ()), sha256("\n".join(lines).encode()).hexdigest())
        if first == last:
            print(*lines, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
