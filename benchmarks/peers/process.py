"""One side of a peer written in Python: `python -m benchmarks.peers.process MODULE server|client JOB`."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import tracemalloc
from collections.abc import Coroutine
from resource import RLIMIT_NOFILE, RUSAGE_SELF, getrlimit, getrusage, setrlimit
from typing import Any, cast

from ..job import Job, Results
from ..profiling import profiler
from ..scenarios import answer, measure
from .base import Link, PeerModule

__all__ = ["main"]


def emit(results: Results) -> None:
    """One line for the runner."""
    print(json.dumps(results), flush=True)


def raise_limit(count: int) -> None:
    """So many sockets, and some files. `RuntimeError` where the system does not let us have them."""
    wanted = count + 100
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if hard not in (-1, soft) and soft < wanted <= hard:
        setrlimit(RLIMIT_NOFILE, (wanted, hard))
    elif soft < wanted:
        raise RuntimeError(f"{count} associations need {wanted} file descriptors, and the limit is {hard}: ulimit -n")


class Stopwatch:
    """The CPU time of this process from now on, and with a profile where it goes."""

    def __init__(self, profile: str) -> None:
        self._profiler = profiler(profile) if profile else None
        if self._profiler is not None:
            self._profiler.start()
        self._start = getrusage(RUSAGE_SELF)

    def stop(self) -> Results:
        """In all, and what the system took of it."""
        end = getrusage(RUSAGE_SELF)
        system = end.ru_stime - self._start.ru_stime
        results: Results = {"cpu": end.ru_utime - self._start.ru_utime + system, "cpu_system": system}
        if self._profiler is not None:
            results["profile"] = self._profiler.stop()
        return results


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
    stopwatch = Stopwatch(job.profile)
    loop.add_reader(sys.stdin.fileno(), over.set_result, None)
    await over
    loop.remove_reader(sys.stdin.fileno())
    return {**stopwatch.stop(), "counters": counters}


async def attend(peer: PeerModule, job: Job) -> Results:
    """Be the client."""
    stopwatch = Stopwatch(job.profile)
    results = await measure(peer, job)
    return {**results, **stopwatch.stop()}


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
    raise_limit(job.count)
    if job.kind == "memory":
        gc.collect()
        tracemalloc.start()
    if side == "server":
        emit(run(serve(peer, job), job.loop))
    else:
        # On uvloop each of our sockets has an epoll beside it: twice the descriptors, where there are many sockets.
        emit(run(attend(peer, job), "asyncio" if job.kind == "scale" else job.loop))


if __name__ == "__main__":
    main(sys.argv[1:])
