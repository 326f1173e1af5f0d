"""What Max.Burst (RFC 9260 section 6.1 D) costs and saves: `python -m benchmarks.burst`, in simulated time.

A program sends a message, waits for the answer, and sends the next a little later, so that its congestion window is
wide open while nothing is in flight: the case that Max.Burst is about. The mean time from message to answer is printed,
for several limits on several lines.
"""

from __future__ import annotations

import asyncio
from statistics import fmean
from typing import NamedTuple

import asyncsctp
from asyncsctp.testing import LinkSettings, Network

__all__ = ["main"]

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
ONE_WAY = 0.05  # seconds
PAUSE = 0.2
MESSAGES, WARM_UP = 12, 3
LIMITS = (4, 8, 16, None)


class Line(NamedTuple):
    """A bottleneck with its drop-tail queue, and the size of the messages that go over it."""

    rate: float
    queue: int
    size: int


LINES = (
    Line(100e6, 256 * 1024, 64 * 1024),
    Line(100e6, 256 * 1024, 256 * 1024),
    Line(1e9, 1024 * 1024, 1024 * 1024),
    Line(20e6, 32 * 1024, 64 * 1024),
    Line(20e6, 32 * 1024, 256 * 1024),
    Line(5e6, 16 * 1024, 64 * 1024),
)


def response_time(line: Line, max_burst: int | None) -> float:
    """Seconds from a message to its answer, in the mean."""
    network = Network(seed=1, link=LinkSettings(delay=ONE_WAY, rate=line.rate, queue=line.queue))
    network.host("client", CLIENT)
    network.host("server", SERVER)
    config = asyncsctp.Config(mtu=1500, max_burst=max_burst)

    async def answer(assoc: asyncsctp.Association) -> None:
        async for _ in assoc:
            await assoc.send(b"here")

    async def ask() -> list[float]:
        times = []
        async with (
            asyncsctp.serve(answer, SERVER, 5001, config=config),
            asyncsctp.connect(SERVER, 5001, local_addrs=CLIENT, config=config) as assoc,
        ):
            for _ in range(MESSAGES):
                began = network.now
                await assoc.send(bytes(line.size))
                await assoc.recv()
                times.append(network.now - began)
                await asyncio.sleep(PAUSE)
        return times

    return fmean(network.run(ask())[WARM_UP:])


def main() -> None:
    """Print the table."""
    print(f"mean response time in ms, {2 * ONE_WAY * 1000:.0f} ms round trip, IP packets of 1500 B\n")
    print(f"{'Mbit/s':>8} {'queue KiB':>10} {'message KiB':>12}" + "".join(f"{limit or 'none':>8}" for limit in LIMITS))
    for line in LINES:
        times = "".join(f"{response_time(line, limit) * 1000:8.0f}" for limit in LIMITS)
        print(f"{line.rate / 1e6:8.0f} {line.queue // 1024:10} {line.size // 1024:12}{times}", flush=True)


if __name__ == "__main__":
    main()
