"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from .machine import machine, versions
from .peers import OURS, PEERS, AbsentError, Peer
from .profiling import describe
from .progress import Progress
from .report import Samples, as_json, compare, comparison, load, samples, table
from .runner import Measurement, Settings, run_all
from .scenarios import SCENARIOS, select

__all__ = ["main"]

_DESCRIPTION = """\
Measures asyncsctp, and others beside it, between two processes over loopback: goodput, round trips, associations set
up and ended, CPU time and memory. Checksums are on, packets and socket buffers are as large for all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; 0 if every run gave results."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        scenarios = select(arguments.only)
        wanted = _peers(arguments.peers)
        earlier = load(arguments.compare) if arguments.compare else None
    except (ValueError, OSError) as error:
        parser.error(str(error))
    settings = Settings(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        mtu=arguments.mtu,
        loop=arguments.loop,
        profile=arguments.profile,
    )
    about = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)]),
        "machine": machine(),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory(prefix="asyncsctp-benchmarks-") as directory:
        present, absent = _prepare(wanted, Path(directory))
        found = {name: version for name, (_, version) in present.items()}
        with Progress() as progress:
            runs = asyncio.run(run_all(scenarios, [peer for peer, _ in present.values()], settings, progress))
    if arguments.json:
        document = as_json(runs, settings, found, absent, about)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for line in _report(runs, settings, found, absent, earlier):
        print(line)
    return 1 if any(run.error for run in runs) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_DESCRIPTION)
    others = [name for name in PEERS if name != OURS]
    loops = ["uvloop", "asyncio"] if importlib.util.find_spec("uvloop") else ["asyncio"]
    add = parser.add_argument
    add("--only", metavar="NAME,...", help=f"of {', '.join(SCENARIOS)}; or a kind of them, such as bulk")
    add("--peers", metavar="NAME,...", help=f"beside {OURS}: of {', '.join(others)}; or none", default=",".join(others))
    add("--rounds", type=_positive(int), default=3, metavar="N", help="of all runs, the peers in turn (%(default)s)")
    add("--seconds", type=_positive(float), default=2.0, metavar="S", help="that each run lasts (%(default)s)")
    add("--loop", choices=loops, default=loops[0], help="the event loop of those in Python (%(default)s)")
    add("--mtu", type=_positive(int), default=1500, metavar="B", help="the largest IP packet (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write machine, versions, command, medians and all runs there")
    add("--compare", type=Path, metavar="FILE", help="with an earlier run: the ratio of each figure, and its spread")
    add("--profile", action="store_true", help="print where the CPU time goes, by room, of those in Python")
    return parser


def _positive(kind: type[int | float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    return number


def _peers(names: str) -> list[Peer]:
    """Ours, and those named in a list with commas. `ValueError` for an unknown name."""
    words = [word.strip() for word in names.split(",") if word.strip() not in ("", "none", OURS)]
    if unknown := set(words) - PEERS.keys():
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return [peer for name, peer in PEERS.items() if name == OURS or name in words]


def _prepare(peers: Sequence[Peer], directory: Path) -> tuple[dict[str, tuple[Peer, str]], dict[str, str]]:
    """Those that are here, with their versions; and why the others are not."""
    present: dict[str, tuple[Peer, str]] = {}
    absent: dict[str, str] = {}
    for peer in peers:
        try:
            present[peer.name] = peer, peer.prepare(directory)
        except AbsentError as reason:
            absent[peer.name] = str(reason)
    return present, absent


def _report(
    runs: Sequence[Measurement],
    settings: Settings,
    present: dict[str, str],
    absent: dict[str, str],
    earlier: Samples | None,
) -> Iterator[str]:
    """The lines to print."""
    found = samples(runs)
    on = machine()
    yield f"{on['processor']}, {on['cpus']} CPUs, {on['system']}"
    yield "; ".join(present.values()) + f"; {settings.loop}, IP packets of {settings.mtu} B"
    yield f"medians of {settings.rounds} x {settings.seconds:g} s"
    yield from (f"{name}: absent ({reason})" for name, reason in absent.items())
    yield ""
    yield from table(found, list(present))
    if earlier is not None:
        yield from ("", *comparison(compare(earlier, found)))
    for run in runs:
        if run.error:
            yield f"\nfailed: {run.peer}, {run.scenario}, round {run.round + 1}: {run.error}"
        elif settings.profile and run.peer != "usrsctp":
            for side, results in (("client", run.client), ("server", run.server)):
                yield ""
                yield from describe(f"{run.peer}, {run.scenario}, {side}", results)


if __name__ == "__main__":
    sys.exit(main())
