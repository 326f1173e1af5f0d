"""What is measured: the scenarios, and the rows that each gives to the table.

Each kind is a module with the client's side, `measure`, and the server's, `answer`. A peer that is not written in
Python has its own of both, with the same results.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from ..job import Job, Results
from ..peers.base import Link, PeerModule

__all__ = ["SCENARIOS", "Row", "Scenario", "answer", "measure", "select"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a scenario, as the table and the comparison name it."""

    key: str
    label: str
    unit: str
    better: str  # "higher" or "lower"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure: a module of this folder (`kind`), and what its job has beyond the settings of the run.

    A new one is a line in the list below, and a module if it is of a new kind;
    peers that can't do it have it in `skips`.
    """

    name: str
    kind: str
    title: str
    rows: tuple[Row, ...]
    size: int = 64
    batch: bool = False
    count: int = 1
    workers: int = 1
    idle: float = 1.0
    heartbeat: float = 0.0
    #: In so many rounds at most, for those that take long; the first ones.
    rounds: int | None = None
    #: Seconds that a run may take beyond those of any other.
    grace: float = 0.0

    def figures(self, client: Results, server: Results) -> dict[str, float]:
        """The rows' values, from what the two processes reported."""
        return _module(self.kind).figures(client, server)


_BULK = (
    Row("goodput", "goodput", "Mbit/s", "higher"),
    Row("messages", "messages", "1000/s", "higher"),
    Row("client_cpu", "CPU, sending side", "s/GB", "lower"),
    Row("server_cpu", "CPU, receiving side", "s/GB", "lower"),
)
_LATENCY = (
    Row("p50", "round trip, median", "us", "lower"),
    Row("p90", "90 %", "us", "lower"),
    Row("p99", "99 %", "us", "lower"),
)
_SETUP = (
    Row("rate", "set up and torn down", "1/s", "higher"),
    Row("client_cpu", "CPU, client", "us each", "lower"),
    Row("server_cpu", "CPU, server", "us each", "lower"),
)
_MEMORY = (
    Row("client_bytes", "Python objects, client", "bytes", "lower"),
    Row("server_bytes", "Python objects, server", "bytes", "lower"),
    Row("both_bytes", "both together", "bytes", "lower"),
)
_ECHO = (Row("echoes", "echoes", "1000/s", "higher"), Row("echo_cpu", "CPU of an echo, server", "us", "lower"))
_SCALE = (
    Row("setups", "set up", "1/s", "higher"),
    Row("setup_cpu", "CPU of a setup, server", "us", "lower"),
    Row("setup_slowdown", "time of the later / of the earlier ones", "", "lower"),
    Row("server_resident", "memory of each, server", "KiB", "lower"),
    Row("client_resident", "memory of each, client", "KiB", "lower"),
    Row("idle_cpu", "CPU while idle, server: timers", "% of a core", "lower"),
    *_ECHO,
    Row("ends", "ended gracefully", "1/s", "higher"),
    Row("end_slowdown", "time of the later / of the earlier ones", "", "lower"),
    Row("objects_left", "objects left after the end of each, server", "", "lower"),
)
_WORKERS = (
    Row("echoes", "echoes", "1000/s", "higher"),
    Row("processes", "processes that had associations", "", "higher"),
)
_HEARTBEAT = (Row("idle_cpu", "CPU while idle, server", "% of a core", "lower"),)
#: A HEARTBEAT is due after `Config.heartbeat_interval` and the RTO, which is at its lowest: 30 s and 1 s.
_BETWEEN_HEARTBEATS = 31.0
#: Armed, and not due before the end of the run.
_NO_HEARTBEATS = 3600.0

_ALL = (
    Scenario("bulk-64", "bulk", "bulk, messages of 64 B", _BULK, size=64),
    Scenario("bulk-64-batch", "bulk", "bulk, messages of 64 B, written and read many at a time", _BULK, 64, batch=True),
    Scenario("bulk-1k", "bulk", "bulk, messages of 1 KiB", _BULK, size=1 << 10),
    Scenario("bulk-16k", "bulk", "bulk, messages of 16 KiB", _BULK, size=16 << 10),
    Scenario("bulk-256k", "bulk", "bulk, messages of 256 KiB", _BULK, size=256 << 10),
    Scenario("latency", "latency", "ping-pong, 64 B", _LATENCY, size=64),
    Scenario("setup-serial", "setup", "associations, one after another", _SETUP),
    Scenario("setup-16", "setup", "associations, 16 in the making at a time", _SETUP, count=16),
    *(
        Scenario(f"workers-{n}", "workers", f"echoes of 1 KiB, {what}", _WORKERS, size=1 << 10, count=32, workers=n)
        for n, what in ((1, "one process"), (2, "two worker processes"), (4, "four worker processes"))
    ),
    Scenario("memory", "memory", "memory of an idle association, mean of 200", _MEMORY, count=200),
    Scenario("scale-1", "scale", "one association, echoes of 1 KiB", _ECHO, size=1 << 10, idle=0.1, rounds=2),
    Scenario(
        "scale-100", "scale", "100 associations, echoes of 1 KiB on 10", _SCALE, size=1 << 10, count=100, rounds=2
    ),
    Scenario(
        "scale-10000",
        "scale",
        "10,000 associations, echoes of 1 KiB on 1,000",
        _SCALE,
        size=1 << 10,
        count=10_000,
        idle=5.0,
        heartbeat=_NO_HEARTBEATS,
        rounds=1,
        grace=150.0,
    ),
    Scenario(
        "heartbeats",
        "scale",
        "HEARTBEATs of 1,000 associations, 30 s apart",
        _HEARTBEAT,
        count=1000,
        idle=_BETWEEN_HEARTBEATS,
        rounds=1,
        grace=60.0,
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def select(only: str | None) -> list[Scenario]:
    """Those named in a list with commas, by name or kind; all by default. `ValueError` for an unknown name."""
    if only is None:
        return list(_ALL)
    words = {word.strip() for word in only.split(",")}
    if unknown := words - SCENARIOS.keys() - {scenario.kind for scenario in _ALL}:
        raise ValueError(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return [scenario for scenario in _ALL if words & {scenario.name, scenario.kind}]


class _Module(Protocol):
    async def answer(self, link: Link, job: Job) -> None: ...

    async def measure(self, peer: PeerModule, job: Job) -> Results: ...

    def figures(self, client: Mapping[str, float], server: Mapping[str, float]) -> dict[str, float]: ...


def _module(kind: str) -> _Module:
    return cast("_Module", importlib.import_module(f"{__name__}.{kind}"))


async def answer(link: Link, job: Job) -> None:
    """The server's side of one link."""
    await _module(job.kind).answer(link, job)


async def measure(peer: PeerModule, job: Job) -> Results:
    """The client's side of the whole."""
    return await _module(job.kind).measure(peer, job)
