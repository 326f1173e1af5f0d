"""Runs the pairs of processes, one pair at a time, the peers in turn within each round."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .job import Job, Results
from .peers import Peer
from .scenarios import Scenario

__all__ = ["Measurement", "RunError", "Settings", "run_all", "run_pair"]

_ROOT = Path(__file__).resolve().parent.parent
_GRACE = 30.0
_QUICK_COUNT, _QUICK_IDLE = 20, 0.2
_LINES_OF_STDERR = 30


class RunError(Exception):
    """A run gave no results; the text says why, with the last lines that its processes wrote to standard error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What holds for all runs."""

    seconds: float = 2.0
    rounds: int = 3
    mtu: int = 1500
    loop: str = "uvloop"
    #: The name of a profiler, or nothing.
    profile: str = ""
    #: To see that everything works: few associations, short waits. The figures mean nothing.
    quick: bool = False
    #: Beyond `seconds`, for a run to set up, drain and report.
    grace: float = _GRACE

    def job(self, scenario: Scenario) -> Job:
        """For one run of a scenario."""
        return Job(
            scenario=scenario.name,
            kind=scenario.kind,
            seconds=self.seconds,
            size=scenario.size,
            batch=scenario.batch,
            count=min(scenario.count, _QUICK_COUNT) if self.quick else scenario.count,
            workers=scenario.workers,
            idle=min(scenario.idle, _QUICK_IDLE) if self.quick else scenario.idle,
            heartbeat=scenario.heartbeat,
            mtu=self.mtu,
            loop=self.loop,
            profile=self.profile,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The outcome of one run: figures, or an error."""

    round: int
    scenario: str
    peer: str
    figures: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    client: Results = field(default_factory=dict)
    server: Results = field(default_factory=dict)


class _Child:
    """A process that prints JSON lines."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._name = name
        self._process = process
        self._errors = errors

    async def results(self) -> Results:
        """Its next line. `RunError` if it ends instead."""
        stdout = self._process.stdout
        assert stdout is not None
        line = await stdout.readline()
        if not line:
            status = await self._process.wait()
            raise RunError(f"the {self._name} ended with status {status}")
        try:
            results: Results = json.loads(line)
        except ValueError:
            raise RunError(f"the {self._name} printed {line!r}, which is not JSON") from None
        return results

    def end_input(self) -> None:
        """Tell it to finish."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def complaint(self) -> str:
        """The end of its standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()[-_LINES_OF_STDERR:]
        return "".join(f"\n  {self._name}: {line}" for line in lines)


@asynccontextmanager
async def _child(name: str, command: Sequence[str]) -> AsyncIterator[_Child]:
    """A running process; it is killed if it still runs in the end."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path},
            limit=1 << 20,
        )
        child = _Child(name, process, errors)
        try:
            yield child
        except RunError as failure:
            raise RunError(f"{failure}{child.complaint()}") from None
        except TimeoutError as error:
            raise RunError(f"no results in time{child.complaint()}") from error
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def run_pair(peer: Peer, job: Job, limit: float) -> tuple[Results, Results]:
    """One run: what client and server reported. Raises `RunError`, for one that takes longer than `limit` too."""
    async with _child("server", peer.command("server", job)) as server:
        async with asyncio.timeout(limit):
            port = (await server.results())["port"]
            async with _child("client", peer.command("client", dataclasses.replace(job, port=port))) as client:
                client_results = await client.results()
            server.end_input()
            return client_results, await server.results()


async def run_all(
    scenarios: Sequence[Scenario], peers: Sequence[Peer], settings: Settings, progress: Callable[[str, int, int], Any]
) -> list[Measurement]:
    """All of it. `progress` is told what runs next, how many runs are done, and how many there are."""
    plan = [
        (number, scenario, peer)
        for number in range(settings.rounds)
        for scenario in scenarios
        if scenario.rounds is None or number < scenario.rounds
        for peer in peers
        if not peer.skips & {scenario.name, scenario.kind}
    ]
    measurements: list[Measurement] = []
    for done, (number, scenario, peer) in enumerate(plan):
        progress(f"round {number + 1}/{settings.rounds}  {scenario.name}  {peer.name}", done, len(plan))
        names: dict[str, Any] = {"round": number, "scenario": scenario.name, "peer": peer.name}
        try:
            limit = settings.seconds + settings.grace + scenario.grace
            client, server = await run_pair(peer, settings.job(scenario), limit)
            figures = scenario.figures(client, server)
        except (RunError, OSError) as error:
            measurements.append(Measurement(**names, error=str(error)))
        except (KeyError, ZeroDivisionError) as error:
            measurements.append(Measurement(**names, error=f"results that give no figures: {error!r}"))
        else:
            measurements.append(Measurement(**names, figures=figures, client=client, server=server))
    return measurements
