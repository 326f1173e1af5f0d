"""Many associations on one endpoint of the server: setting up, idling, echo traffic on a tenth of them, ending.

The client has an endpoint and a socket for each of them, as many hosts would, and runs on the stock event loop; what is
reported is mostly the server's, which runs on the loop that was asked for.
The first association asks the server what it has used so far, of which the asking does not count. What timers cost is
measured with HEARTBEATs so far apart that none is due; what HEARTBEATs cost, for as long as it is from one to the next,
which sees one from either side of each association, whenever it begins.

Memory is what the system counts as resident, and so includes what C libraries allocate, and the task of the server's
handler. How long the later ones take over how long the earlier ones did shows what grows with their number; that is
told where there are enough of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from struct import Struct
from time import perf_counter, process_time
from typing import NamedTuple

from ..job import END, Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["answer", "figures", "measure"]

_AT_A_TIME = 64  # associations set up and ended
_UNDER_WAY = 64  # messages, over all active associations; one of each at least
_ENOUGH = 1000  # for a rate by tenths, and to tell a leak from what is made once
_SETTLE = 0.5  # acknowledgements that are delayed, timers of the setup
_REPORT = Struct("!dQQ")


class Usage(NamedTuple):
    """What a process has used: CPU seconds, resident bytes, and objects that the garbage collector knows."""

    cpu: float
    resident: int
    objects: int


#: CPU seconds that the counting itself took.
_counting = [0.0]


def _usage() -> Usage:
    cpu = process_time() - _counting[0]
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    objects = len(gc.get_objects())
    _counting[0] = process_time() - cpu
    return Usage(cpu, pages * os.sysconf("SC_PAGE_SIZE"), objects)


async def answer(link: Link, job: Job) -> None:
    while message := await link.receive():
        await link.send(_REPORT.pack(*_usage()) if message == END else message)
    await link.wait_closed()


async def _ask(control: Link) -> Usage:
    await control.send(END)
    return Usage(*_REPORT.unpack(await control.receive()))


async def _each(count: int, act: Callable[[int], Awaitable[object]]) -> list[float]:
    """Do it for all numbers below `count`, some at a time; when each was done, in seconds from the start."""
    start = perf_counter()
    done: list[float] = []
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await act(number)
            done.append(perf_counter() - start)

    await asyncio.gather(*(some() for _ in range(min(_AT_A_TIME, count))))
    return done


def slowdown(done: Sequence[float]) -> float:
    """How long the last tenth but one took, over how long the second did: the ends are for getting under way."""
    tenth = len(done) // 10
    return (done[9 * tenth - 1] - done[8 * tenth - 1]) / (done[2 * tenth - 1] - done[tenth - 1])


async def _echo(links: Sequence[Link], message: bytes, seconds: float) -> tuple[int, float]:
    """Keep messages going back and forth on all; how many came back, and the seconds it took."""
    start = perf_counter()
    each = max(1, _UNDER_WAY // len(links))

    async def one(link: Link) -> int:
        for _ in range(each):
            await link.send(message)
        returned = 0
        while perf_counter() - start < seconds:
            await link.receive()
            returned += 1
            await link.send(message)
        for _ in range(each):
            await link.receive()
        return returned + each

    returned = sum(await asyncio.gather(*map(one, links)))
    return returned, perf_counter() - start


async def measure(peer: PeerModule, job: Job) -> Results:
    control = await peer.connect(job)
    await _ask(control)
    before, own_before = await _ask(control), _usage()
    links: list[Link] = []

    async def dial(_: int) -> None:
        links.append(await peer.connect(job))

    async def hang_up(number: int) -> None:
        await links[number].close()

    dialled = await _each(job.count, dial)
    await asyncio.sleep(_SETTLE)
    own_full, full = _usage(), await _ask(control)

    idle_start = perf_counter()
    await asyncio.sleep(job.idle)
    idle_seconds, idle = perf_counter() - idle_start, await _ask(control)

    active = links[: max(1, job.count // 10)]
    echoes, echo_seconds = await _echo(active, bytes(job.size), job.seconds)
    busy = await _ask(control)

    ended = await _each(job.count, hang_up)
    links.clear()
    active.clear()
    await asyncio.sleep(_SETTLE)
    after = await _ask(control)
    await control.close()
    told_of_many = {}
    if job.count >= _ENOUGH:
        told_of_many = {
            "setup_slowdown": slowdown(dialled),
            "end_slowdown": slowdown(ended),
            "objects_left": (after.objects - before.objects) / job.count,
        }
    return {
        **told_of_many,
        "associations": job.count,
        "active": max(1, job.count // 10),
        "setup_seconds": dialled[-1],
        "setup_cpu": full.cpu - before.cpu,
        "server_resident": (full.resident - before.resident) / job.count,
        "client_resident": (own_full.resident - own_before.resident) / job.count,
        "idle_seconds": idle_seconds,
        "idle_cpu": idle.cpu - full.cpu,
        "echoes": echoes,
        "echo_bytes": echoes * job.size,
        "echo_seconds": echo_seconds,
        "echo_cpu": busy.cpu - idle.cpu,
        "end_seconds": ended[-1],
    }


def figures(client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]:
    count = client["associations"]
    found = {
        "echoes": client["echoes"] / client["echo_seconds"] / 1e3,
        "echo_cpu": client["echo_cpu"] / client["echoes"] * 1e6,
    }
    if count > 1:
        found |= {
            "setups": count / client["setup_seconds"],
            "setup_cpu": client["setup_cpu"] / count * 1e6,
            "server_resident": client["server_resident"] / 1024,
            "client_resident": client["client_resident"] / 1024,
            "idle_cpu": client["idle_cpu"] / client["idle_seconds"] * 100,
            "ends": count / client["end_seconds"],
        }
    of_many = ("setup_slowdown", "end_slowdown", "objects_left")
    return found | {name: client[name] for name in of_many if name in client}
