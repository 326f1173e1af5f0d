"""What every peer has in common: outside, two programs; inside, for those in Python, a `Link`."""

from __future__ import annotations

import importlib
import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Literal, Protocol

from ..job import Job

__all__ = ["AbsentError", "Handler", "Link", "Peer", "PeerModule", "PythonPeer", "Side", "burst_of"]

Side = Literal["server", "client"]


class AbsentError(Exception):
    """This peer can't be run here; the text says why."""


class Peer(ABC):
    """A stack, seen from the runner."""

    name: str
    #: Scenarios, or kinds of them, that it doesn't have.
    skips: frozenset[str] = frozenset()

    @abstractmethod
    def prepare(self, directory: Path) -> str:
        """Make it ready to run, in a directory that lasts as long as the benchmark; its version, or `AbsentError`."""

    @abstractmethod
    def command(self, side: Side, job: Job) -> list[str]:
        """The program, and its arguments."""


@dataclass(frozen=True)
class PythonPeer(Peer):
    """One whose programs are `benchmarks.peers.process` with a module of this folder."""

    name: str
    module: str
    requires: tuple[str, ...] = field(kw_only=True)
    skips: frozenset[str] = field(default=frozenset(), kw_only=True)

    def prepare(self, directory: Path) -> str:
        for package in self.requires:
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise AbsentError(str(error)) from None
        return ", ".join(map(_version, self.requires)) or f"asyncio of Python {platform.python_version()}"

    def command(self, side: Side, job: Job) -> list[str]:
        return [sys.executable, "-m", "benchmarks.peers.process", self.module, side, job.dumps()]


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package}, not installed"


def burst_of(message: bytes) -> int:
    """How many of these messages make 64 KiB: as many are written between two looks at the clock."""
    return max(1, 65536 // len(message))


class Link(ABC):
    """One association or connection, seen from a scenario, with the loops that a program of that stack would have."""

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Write one message, and wait while too much is buffered."""

    @abstractmethod
    async def receive(self) -> bytes:
        """The next message."""

    @abstractmethod
    async def swallow(self, batch: bool) -> tuple[int, int]:
        """Read messages up to `END`; how many there were before it, and their bytes.

        `batch`: all that have arrived at a time, instead of one by one.
        """

    @abstractmethod
    async def close(self) -> None:
        """End it, as gracefully as the stack can, and wait until it has ended."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the other side has ended it."""

    async def pump(self, message: bytes, seconds: float, batch: bool) -> int:
        """Send this message as often as it goes for so long; how often.

        `batch`: write several between two waits, where the stack has a call that doesn't wait.
        """
        send = self.send
        burst = range(burst_of(message))
        end = perf_counter() + seconds
        messages = 0
        while perf_counter() < end:
            for _ in burst:
                await send(message)
            messages += len(burst)
        return messages

    async def echo(self) -> None:
        """Send back what comes, until the other side ends."""
        while message := await self.receive():
            await self.send(message)

    def counters(self) -> dict[str, int]:
        """What the stack has counted, if it does."""
        return {}


Handler = Callable[[Link], Awaitable[None]]


class PeerModule(Protocol):
    """What a module of this folder has for `benchmarks.peers.process`."""

    async def listen(self, job: Job, handler: Handler) -> int:
        """Serve until the process ends; the port."""

    async def connect(self, job: Job) -> Link:
        """A link to the server of this job."""
