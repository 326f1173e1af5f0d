"""The command: what is asked for, what is printed, and how it ends."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncsctp

from .families import FAMILIES, Family, portions
from .ledger import CHUNK, Chunk, Failure, Ledger
from .shrinking import brief, shrink
from .work import attempt, work_off

__all__ = ["main", "plan"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign, or have one seed again. 1: something failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = options.family or [family.name for family in FAMILIES]
    unknown = set(names) - {family.name for family in FAMILIES}
    if unknown:
        parser.error(f"there is no family {', '.join(sorted(unknown))}; --list names them")
    if options.list:
        for family in FAMILIES:
            print(f"{family.name:70} {family.weight:4} {family.target}")
        return 0
    if options.seed is not None:
        if len(names) != 1:
            parser.error("--seed takes one --family")
        [family] = [family for family in FAMILIES if family.name == names[0]]
        return _again(family, options.seed, options.limit, options.without, options.shrink)
    return _campaign(options, names)


def plan(count: int, names: Sequence[str], first: int, ledger: Ledger) -> Iterator[tuple[Chunk, int]]:
    """The chunks to be worked off, and how many seeds of each; the families take turns.

    Each family begins with the chunk that has the seed `first`.
    """
    shares = portions(count, names)
    turns = [
        ((number + 0.5) * CHUNK / share, name, number, min(CHUNK, share - number * CHUNK))
        for name, share in shares.items()
        for number in range(-(-share // CHUNK))
    ]
    for _, name, number, seeds in sorted(turns):
        chunk = Chunk(name, first // CHUNK + number)
        if chunk not in ledger.done:
            yield chunk, seeds


def _campaign(options: argparse.Namespace, names: Sequence[str]) -> int:
    ledger = Ledger(options.state)
    before = sum(ledger.counts.values())
    form = "compiled" if asyncsctp.compiled else "plain Python"
    print(f"{options.seeds:,} seeds of {len(names)} families in {options.jobs} processes, {form}", flush=True)
    started = told = time.monotonic()

    def on_failure(failure: Failure) -> None:
        ledger.note_failure(failure)
        print(failure, flush=True)

    def on_done(chunk: Chunk, count: int, seconds: float) -> None:
        nonlocal told
        ledger.note_done(chunk, count, seconds)
        if time.monotonic() > told + 60.0:
            told = time.monotonic()
            count = sum(ledger.counts.values()) - before
            print(f"... {count:,} seeds after {(told - started) / 60:.0f} min", flush=True)

    try:
        chunks = plan(options.seeds, names, options.first, ledger)
        work_off(chunks, options.jobs, options.limit, on_failure, on_done, options.without)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with it where there is a --state", flush=True)
    print("\n".join(ledger.summary()))
    if options.verbose:
        for failure in ledger.failures:
            print(f"{failure}\n{failure.details}")
    return 1 if ledger.failures else 0


def _again(family: Family, seed: int, limit: float, without: Sequence[str], wants_less: bool) -> int:
    failure = attempt(family, seed, limit, without)
    if failure is None:
        print(f"{family.name} {seed}: nothing is wrong")
        return 0
    print(failure.details)
    if wants_less:
        without = shrink(family, failure, limit, without)
        left = [feature for feature in family.features(seed) if feature not in without]
        failure = attempt(family, seed, limit, without) or failure
        print(f"With less:\n\n{failure.details}\nIt takes: {brief(left) or 'nothing of what can be left out'}")
    print(f"{failure} --without '{brief(without)}'" if without else str(failure))
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign",
        description="Run random tests over many seeds.",
        epilog="Seeds are drawn from all families by their weights. Ends with 1 if any failed.",
    )
    add = parser.add_argument
    add("--seeds", type=int, default=1000, metavar="N", help="how many, of all families together (1000)")
    add("--jobs", type=int, default=1, metavar="J", help="in so many processes (1)")
    add("--state", type=Path, metavar="FILE", help="remember there what is done, and don't do what is done there")
    add("--first", type=int, default=0, metavar="S", help=f"begin each family there; a multiple of {CHUNK} (0)")
    add("--family", action="append", metavar="NAME", help="this one alone; several may be named")
    add("--limit", type=float, default=60.0, metavar="SECONDS", help="what a seed may take (60)")
    add("--list", action="store_true", help="name the families, with weight and function")
    add("--verbose", action="store_true", help="print tracebacks at the end")
    add("--seed", type=int, metavar="S", help="have this one again, of the one --family")
    without = "without these of their features, where they have such"
    add("--without", type=lambda text: text.split(","), default=[], metavar="A,B", help=without)
    add("--shrink", action="store_true", help="find out which features it does not take to fail")
    return parser
