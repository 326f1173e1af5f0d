"""Echoes on `Job.count` associations at a time, of a server of `Job.workers` processes behind one UDP port.

The kernel steers packets by their verification tags. The first answer of each association says which process has it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from time import perf_counter

from ..job import END, Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]


async def answer(link: Link, job: Job) -> None:
    while message := await link.receive():
        await link.send(b"%d" % os.getpid() if message == END else message)
    await link.wait_closed()


async def measure(peer: PeerModule, job: Job) -> Results:
    links = [await peer.connect(job) for _ in range(job.count)]
    processes = set()
    for link in links:
        await link.send(END)
        processes.add(await link.receive())
    message = bytes(job.size)
    start = perf_counter()

    async def go_on(link: Link) -> int:
        echoes = 0
        while perf_counter() - start < job.seconds:
            await link.send(message)
            await link.receive()
            echoes += 1
        return echoes

    echoes = sum(await asyncio.gather(*map(go_on, links)))
    seconds = perf_counter() - start
    await asyncio.gather(*(link.close() for link in links))
    return {"echoes": echoes, "seconds": seconds, "processes": len(processes)}


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    return {"echoes": client["echoes"] / client["seconds"] / 1e3, "processes": client["processes"]}
