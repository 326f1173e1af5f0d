"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncsctp.cli import form

from . import figures, plot
from .figures import Run
from .machine import is_compiled, machine, versions
from .peers import OURS, PEERS, AbsentError, Peer
from .profiling import PERF, SAMPLER, describe, perf_works
from .progress import Progress
from .report import Samples, as_json, compare, comparison, load, read, samples, table
from .runner import Measurement, Settings, run_all
from .scenarios import SCENARIOS, Scenario, select
from .targets import judge, verdicts

__all__ = ["main"]

_DESCRIPTION = """\
Measures asyncsctp, and others beside it, between two processes over loopback: goodput, round trips, associations set
up and ended, CPU time and memory. Checksums are on, packets and socket buffers are as large for all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or read what was measured; print and write. 0 if every run gave results."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    made: list[tuple[Run, list[Measurement]]] = []
    try:
        scenarios = select(arguments.only)
        wanted = _peers(arguments.peers)
        earlier = load(arguments.compare) if arguments.compare else None
        if earlier is not None and max(arguments.runs, len(arguments.from_json or ())) > 1:
            raise ValueError("--compare is for one run: each of several has its own spread")
        if arguments.plot:
            plot.check(arguments.plot)
        if arguments.profile == PERF and not perf_works():
            raise ValueError("--profile perf: there is no perf here, or the system does not let us use it")
        command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)])
        for file in arguments.from_json or ():
            document, runs = read(file)
            made.append((Run(document, samples(runs)), runs))
        while len(made) < arguments.runs and not arguments.from_json:
            if made:
                time.sleep(arguments.pause)
            document, runs = _measure(scenarios, wanted, _settings(arguments), command)
            made.append((Run(document, samples(runs)), runs))
            if arguments.json:
                file = _numbered(arguments.json, len(made), arguments.runs)
                file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if arguments.figures:
            figures.write(arguments.figures, figures.block([run for run, _ in made]))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    last, measured = made[-1]
    for line in _report_all([run for run, _ in made]) if len(made) > 1 else _report(last.document, measured, earlier):
        print(line)
    if arguments.plot:
        for file in plot.draw(last.document, last.found, arguments.plot):
            print(f"\nwritten: {file}", end="")
        print()
    return 1 if any(measurement.error for _, runs in made for measurement in runs) else 0


def _numbered(file: Path, number: int, runs: int) -> Path:
    """The file of one of several runs: run.json, or run-2.json."""
    return file if runs == 1 else file.with_stem(f"{file.stem}-{number}")


def _settings(arguments: argparse.Namespace) -> Settings:
    quick = arguments.quick
    return Settings(
        seconds=arguments.seconds or (0.1 if quick else 1.5),
        rounds=arguments.rounds or (1 if quick else 5),
        mtu=arguments.mtu,
        loop=arguments.loop,
        profile=arguments.profile,
        quick=quick,
    )


def _measure(
    scenarios: Sequence[Scenario], wanted: Sequence[Peer], settings: Settings, command: str
) -> tuple[dict[str, Any], list[Measurement]]:
    """Run it all; the document that a JSON file has, and the runs."""
    about = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "compiled": is_compiled(),
    }
    print(f"asyncsctp: {form()}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="asyncsctp-benchmarks-") as directory:
        present, absent = _prepare(wanted, Path(directory))
        found = {name: version for name, (_, version) in present.items()}
        with Progress() as progress:
            runs = asyncio.run(run_all(scenarios, [peer for peer, _ in present.values()], settings, progress))
    return as_json(runs, settings, found, absent, about), runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_DESCRIPTION)
    others = [name for name in PEERS if name != OURS]
    loops = ["uvloop", "asyncio"] if importlib.util.find_spec("uvloop") else ["asyncio"]
    add = parser.add_argument
    add("--only", metavar="NAME,...", help=f"of {', '.join(SCENARIOS)}; or a kind of them, such as bulk")
    add("--peers", metavar="NAME,...", help=f"beside {OURS}: of {', '.join(others)}; or none", default=",".join(others))
    add("--rounds", type=_positive(int), metavar="N", help="of all runs, the peers in turn (5; those of scale: fewer)")
    add("--seconds", type=_positive(float), metavar="S", help="that each run lasts (1.5)")
    add("--loop", choices=loops, default=loops[0], help="the event loop of those in Python (%(default)s)")
    add("--mtu", type=_positive(int), default=1500, metavar="B", help="the largest IP packet (%(default)s)")
    add("--runs", type=_positive(int), metavar="N", default=1, help="of all this: so many separate runs (1)")
    add("--pause", type=_positive(float), metavar="S", default=1.0, help="seconds between separate runs (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write machine, versions, command, medians and all runs there")
    add("--compare", type=Path, metavar="FILE", help="with an earlier run: the ratio of each figure, and its spread")
    add("--from-json", type=Path, metavar="FILE", nargs="+", help="measure nothing; report what earlier runs wrote")
    add("--figures", type=Path, metavar="PAGE", help="put medians over the runs and their range into README.md")
    add("--plot", type=Path, metavar="FILE", help="draw it, as FILE.svg and FILE.png (needs matplotlib)")
    add("--quick", action="store_true", help="one short round with few associations, to see that everything works")
    add(
        "--profile",
        nargs="?",
        const=SAMPLER,
        default="",
        choices=[SAMPLER, PERF],
        help="print where the CPU time goes, by room, of those in Python; perf sees beneath compiled code",
    )
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


def _report_all(runs: Sequence[Run]) -> Iterator[str]:
    """The lines to print of several runs: each form of the package for itself."""
    for compiled in (True, False):
        those = [run for run in runs if run.compiled is compiled]
        if not those:
            continue
        on, settings = those[0].document["machine"], those[0].document["settings"]
        form_ = "compiled" if compiled else "uncompiled"
        rounds = f"{settings['rounds']} x {settings['seconds']:g} s"
        peers = dict.fromkeys(peer for run in those for peer in run.document["peers"])
        yield f"{on['processor']}, {on['cpus']} CPUs, {on['system']}"
        yield f"asyncsctp {form_}; {settings['loop']}, IP packets of {settings['mtu']} B"
        yield f"medians over {len(those)} runs, and their range; each of {rounds}"
        yield ""
        yield from figures.over_runs(those, list(peers))
        yield ""


def _report(document: Mapping[str, Any], runs: Sequence[Measurement], earlier: Samples | None) -> Iterator[str]:
    """The lines to print."""
    found = samples(runs)
    on, settings, peers = document["machine"], document["settings"], document["peers"]
    compiled = document.get("compiled", False)
    yield f"{on['processor']}, {on['cpus']} CPUs, {on['system']}"
    yield "; ".join(peers.values()) + f"; {settings['loop']}, IP packets of {settings['mtu']} B"
    yield f"asyncsctp {'compiled' if compiled else 'uncompiled'}; {document['versions']['python']}"
    yield f"medians of {settings['rounds']} x {settings['seconds']:g} s"
    yield from (f"{name}: absent ({reason})" for name, reason in document["absent"].items())
    yield ""
    yield from table(found, list(peers))
    if earlier is not None:
        yield from ("", *comparison(compare(earlier, found)))
    if lines := verdicts(judge(found, compiled), compiled):
        yield from ("", *lines)
    for run in runs:
        if run.error:
            yield f"\nfailed: {run.peer}, {run.scenario}, round {run.round + 1}: {run.error}"
        else:
            for side, results in (("client", run.client), ("server", run.server)):
                if "profile" in results:
                    yield ""
                    yield from describe(f"{run.peer}, {run.scenario}, {side}", results)


if __name__ == "__main__":
    sys.exit(main())
