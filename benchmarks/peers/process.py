"""One side of a peer written in Python: `python -m benchmarks.peers.process MODULE server|client JOB`."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import importlib
import json
import sys
import tracemalloc
from collections.abc import Coroutine
from resource import RUSAGE_SELF, getrusage
from typing import Any, cast

from ..job import Job, Results
from ..profiling import condense
from ..scenarios import answer, measure
from .base import Link, PeerModule

__all__ = ["main"]


def emit(results: Results) -> None:
    """One line for the runner."""
    print(json.dumps(results), flush=True)


def cpu_seconds() -> float:
    """Spent by this process until now, in it and in the system for it."""
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def serve(peer: PeerModule, job: Job) -> Results:
    """Listen until standard input ends."""
    counters: dict[str, int] = {}

    async def handler(link: Link) -> None:
        try:
            await answer(link, job)
        finally:
            for name, value in link.counters().items():
                counters[name] = counters.get(name, 0) + value

    loop = asyncio.get_running_loop()
    over = loop.create_future()
    port = await peer.listen(job, handler)
    emit({"port": port})
    start = cpu_seconds()
    loop.add_reader(sys.stdin.fileno(), over.set_result, None)
    await over
    loop.remove_reader(sys.stdin.fileno())
    return {"cpu": cpu_seconds() - start, "counters": counters}


async def attend(peer: PeerModule, job: Job) -> Results:
    """Be the client."""
    start = cpu_seconds()
    results = await measure(peer, job)
    return {**results, "cpu": cpu_seconds() - start}


def run(main: Coroutine[Any, Any, Results], loop: str) -> Results:
    """Run it on the event loop of this name."""
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def main(argv: list[str]) -> None:
    """Do what the command line says."""
    module, side, text = argv
    job = Job.loads(text)
    peer = cast("PeerModule", importlib.import_module(f"benchmarks.peers.{module}"))
    if job.kind == "memory":
        gc.collect()
        tracemalloc.start()
    profile = cProfile.Profile() if job.profile else None
    if profile is not None:
        profile.enable()
    results = run(serve(peer, job) if side == "server" else attend(peer, job), job.loop)
    if profile is not None:
        profile.disable()
        results["profile"] = condense(profile)
    emit(results)


if __name__ == "__main__":
    main(sys.argv[1:])
