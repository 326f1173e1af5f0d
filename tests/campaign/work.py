"""Processes that try seeds, and the one that hands them out.

A seed that takes too long has failed: its process is told by a signal, and ended if it does not hear that, as compiled
code may not. So no live-lock stops a campaign.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Final

from .families import FAMILIES, Family
from .ledger import Chunk, Failure

__all__ = ["Worker", "attempt", "work_off"]

#: Seconds beyond the limit after which a process that doesn't answer is ended.
_PATIENCE: Final = 10.0
_MOST_MEMORY: Final = 4 << 30


class TooLongError(Exception):
    """A seed takes longer than it may."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def attempt(family: Family, seed: int, limit: float, without: Iterable[str] = ()) -> Failure | None:
    """Try one seed; what has gone wrong, if anything."""
    try:
        with _within(limit):
            family.run(seed, tuple(without))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        lines = str(error).splitlines() or [""]
        summary = f"{type(error).__name__}: {lines[0]}"[:300]
        return Failure(family.name, seed, summary, "".join(traceback.format_exception(error)))
    return None


def _serve(pipe: Connection, limit: float, without: Sequence[str]) -> None:
    """The life of a process: chunks come in, seeds go out as they are done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    by_name = {family.name: family for family in FAMILIES}
    gc.freeze()
    with suppress(EOFError):
        while True:
            name, first, end = pipe.recv()
            for seed in range(first, end):
                started = time.monotonic()
                failure = attempt(by_name[name], seed, limit, without)
                pipe.send((seed, time.monotonic() - started, failure))


class Worker:
    """One process, and what it is at."""

    def __init__(self, limit: float, without: Sequence[str]) -> None:
        self._limit = limit
        self._without = without
        self.chunk: Chunk | None = None
        self._start()

    def _start(self) -> None:
        context: Any = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, self._limit, self._without)
        self._process: BaseProcess = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, chunk: Chunk, first: int, end: int) -> None:
        """Try these seeds of a chunk."""
        self.chunk = chunk
        self.next, self.end = first, end
        self.heard = time.monotonic()
        self.pipe.send((chunk.family, first, end))

    def is_late(self) -> bool:
        """Whether it must be taken for stuck."""
        return time.monotonic() > self.heard + self._limit + _PATIENCE

    def replace(self, why: str) -> Failure:
        """End the process, and go on with another at the seed after the one that it was at."""
        assert self.chunk is not None
        failure = Failure(self.chunk.family, self.next, why, "")
        self.stop()
        self._start()
        return failure

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def work_off(
    chunks: Iterable[tuple[Chunk, int]],
    jobs: int,
    limit: float,
    on_failure: Callable[[Failure], object],
    on_done: Callable[[Chunk, int, float], object],
    without: Sequence[str] = (),
) -> None:
    """Try the first so many seeds of each of these chunks, in `jobs` processes, without some features."""
    waiting = iter(chunks)
    workers = [Worker(limit, without) for _ in range(jobs)]
    spent: dict[Chunk, float] = {}
    busy: list[Worker] = []

    def proceed(worker: Worker) -> None:
        """The seeds that are left of its chunk, or another chunk, if there is one."""
        chunk = worker.chunk
        if chunk is not None and worker.next < worker.end:
            worker.begin(chunk, worker.next, worker.end)
            return
        if chunk is not None:
            on_done(chunk, worker.end - chunk.seeds.start, spent.pop(chunk, 0.0))
            busy.remove(worker)
            worker.chunk = None
        following = next(waiting, None)
        if following is not None:
            chunk, count = following
            busy.append(worker)
            worker.begin(chunk, chunk.seeds.start, chunk.seeds.start + count)

    try:
        for worker in workers:
            proceed(worker)
        while busy:
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                assert worker.chunk is not None
                if worker.pipe in ready:
                    try:
                        seed, seconds, failure = worker.pipe.recv()
                    except EOFError:
                        failure, seed, seconds = worker.replace("its process has ended"), worker.next, 0.0
                        worker.next = seed + 1
                        on_failure(failure)
                        proceed(worker)
                        continue
                    worker.heard = time.monotonic()
                    worker.next = seed + 1
                    spent[worker.chunk] = spent.get(worker.chunk, 0.0) + seconds
                    if failure is not None:
                        on_failure(failure)
                    if worker.next == worker.end:
                        proceed(worker)
                elif worker.is_late():
                    failure = worker.replace(f"not done after {limit:g} seconds, and it hears no signal")
                    spent[worker.chunk] = spent.get(worker.chunk, 0.0) + limit + _PATIENCE
                    worker.next += 1
                    on_failure(failure)
                    proceed(worker)
    finally:
        for worker in workers:
            worker.stop()
