"""Round trips: one message to a server that sends it back, the next when it is there. The first tenth warms up."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from ..job import Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]


async def answer(link: Link, job: Job) -> None:
    await link.echo()
    await link.wait_closed()


async def measure(peer: PeerModule, job: Job) -> Results:
    link = await peer.connect(job)
    send, receive = link.send, link.receive
    message = bytes(job.size)
    trips: list[float] = []
    before = perf_counter()
    end = before + job.seconds
    while before < end:
        await send(message)
        await receive()
        now = perf_counter()
        trips.append(now - before)
        before = now
    counters = link.counters()
    await link.close()
    trips = sorted(trips[len(trips) // 10 :])
    quantiles = {f"p{percent}": trips[len(trips) * percent // 100] * 1e6 for percent in (50, 90, 99)}
    return {**quantiles, "messages": len(trips), "counters": counters}


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    return {name: client[name] for name in ("p50", "p90", "p99")}
