"""Memory of an idle association: what tracemalloc counts more with `Job.count` of them than with one, for each.

That is Python objects and buffers made by Python's allocators; what C libraries allocate for themselves (handles of
uvloop) and what the kernel holds for sockets is not in it. Each side measures itself, after a garbage collection.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Mapping
from struct import Struct

from ..job import Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]

_BYTES = Struct("!Q")
_SETTLE = 0.5  # timers of the setup run out, buffers of the loop are released


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def answer(link: Link, job: Job) -> None:
    while await link.receive():
        await link.send(_BYTES.pack(_traced()))
    await link.wait_closed()


async def measure(peer: PeerModule, job: Job) -> Results:
    first = await peer.connect(job)

    async def weigh() -> tuple[int, int]:
        await asyncio.sleep(_SETTLE)
        await first.send(b"bytes?")
        server: int = _BYTES.unpack(await first.receive())[0]
        return _traced(), server

    await weigh()  # the first one makes what is made once
    client, server = await weigh()
    links: list[Link] = []
    for _ in range(job.count):
        links.append(await peer.connect(job))  # noqa: PERF401, the list itself would be counted twice
    client_after, server_after = await weigh()
    await asyncio.gather(*(link.close() for link in [*links, first]))
    return {
        "client_bytes": (client_after - client) / job.count,
        "server_bytes": (server_after - server) / job.count,
        "associations": job.count,
    }


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    found = {name: client[name] for name in ("client_bytes", "server_bytes")}
    return {**found, "both_bytes": sum(found.values())}
