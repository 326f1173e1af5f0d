"""Associations set up and ended again, gracefully where the stack can, as many as go; `Job.count` at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter

from ..job import Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]


async def answer(link: Link, job: Job) -> None:
    await link.wait_closed()


async def measure(peer: PeerModule, job: Job) -> Results:
    start = perf_counter()

    async def cycle() -> int:
        cycles = 0
        while perf_counter() - start < job.seconds:
            link = await peer.connect(job)
            await link.close()
            cycles += 1
        return cycles

    cycles = sum(await asyncio.gather(*(cycle() for _ in range(job.count))))
    return {"cycles": cycles, "seconds": perf_counter() - start}


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    return {
        "rate": client["cycles"] / client["seconds"],
        "client_cpu": client["cpu"] / client["cycles"] * 1e6,
        "server_cpu": server["cpu"] / client["cycles"] * 1e6,
    }
