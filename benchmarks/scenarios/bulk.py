"""Goodput: one association, one stream, messages of one size as fast as they go.

The clock runs from before the first message is sent until the sender hears that the receiving program has the last
one, so that nothing buffered on the way counts. A gigabyte is 1e9 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from time import perf_counter

from ..job import END, Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]

_REPORT = Struct("!QQ")


async def answer(link: Link, job: Job) -> None:
    await link.send(_REPORT.pack(*await link.swallow(job.batch)))
    await link.wait_closed()


async def measure(peer: PeerModule, job: Job) -> Results:
    link = await peer.connect(job)
    message = bytes(job.size)
    start = perf_counter()
    sent = await link.pump(message, job.seconds, job.batch)
    await link.send(END)
    messages, size = _REPORT.unpack(await link.receive())
    seconds = perf_counter() - start
    counters = link.counters()
    await link.close()
    if (messages, size) != (sent, sent * job.size):
        raise RuntimeError(f"sent {sent} messages of {job.size} bytes, but {messages} of {size} bytes in all arrived")
    return {"messages": messages, "bytes": size, "seconds": seconds, "counters": counters}


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    gigabytes = client["bytes"] / 1e9
    return {
        "goodput": client["bytes"] * 8 / client["seconds"] / 1e6,
        "messages": client["messages"] / client["seconds"] / 1e3,
        "client_cpu": client["cpu"] / gigabytes,
        "server_cpu": server["cpu"] / gigabytes,
    }
