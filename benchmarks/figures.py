"""Medians over separate runs, with their range: a table of them, and README's figures.

One run on a shared machine may be an hour in which one of those measured is slow. Within a run the median over its
rounds counts; over runs the median of these, with the lowest and the highest. Ratios are of one run each, so that what
slows all of it down is in nobody's favour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .peers import OURS
from .report import Samples, Spread, align, number, ratio_text, ratios
from .scenarios import SCENARIOS

__all__ = ["Run", "block", "over_runs", "write"]

BEGIN = "<!-- figures: begin (made by: python -m benchmarks --figures) -->"
END = "<!-- figures: end -->"

_LINES = (
    ("64 B messages, 1000/s, one by one", "bulk-64", "messages"),
    ("64 B messages, 1000/s, many at a time", "bulk-64-batch", "messages"),
    ("1 KiB messages, Mbit/s", "bulk-1k", "goodput"),
    ("16 KiB messages, Mbit/s", "bulk-16k", "goodput"),
    ("256 KiB messages, Mbit/s", "bulk-256k", "goodput"),
    ("CPU at 16 KiB, s/GB, sender", "bulk-16k", "client_cpu"),
    ("CPU at 16 KiB, s/GB, receiver", "bulk-16k", "server_cpu"),
    ("64 B ping-pong, p50, us", "latency", "p50"),
    ("64 B ping-pong, p99, us", "latency", "p99"),
    ("associations set up and torn down per second", "setup-serial", "rate"),
    ("idle association, bytes of Python objects, server", "memory", "server_bytes"),
    ("the same, client with its own socket", "memory", "client_bytes"),
)
_OTHERS = (("usrsctp (C)", "usrsctp"), ("aiortc's SCTP", "aiortc"), ("asyncio TCP", "tcp"))
_RATIOS = (
    ("messages of 64 B, one by one", "bulk-64", "messages", "usrsctp"),
    ("goodput at 1 KiB", "bulk-1k", "goodput", "usrsctp"),
    ("at 16 KiB", "bulk-16k", "goodput", "usrsctp"),
    ("at 256 KiB", "bulk-256k", "goodput", "usrsctp"),
    ("set-ups", "setup-serial", "rate", "usrsctp"),
    ("round trips (less is better)", "latency", "p50", "tcp"),
)
_PICTURE = "![The same as a picture](docs/benchmarks.svg)"
_NOTE = "TCP has segments of 64 KiB over loopback and no checksum to compute there."


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmarks: what its JSON file says of it, and its figures."""

    document: Mapping[str, Any]
    found: Samples

    @property
    def compiled(self) -> bool:
        return bool(self.document.get("compiled", False))

    def figure(self, scenario: str, row: str, peer: str) -> float | None:
        """Give the median over the rounds; None if there is none."""
        values = self.found.get(scenario, {}).get(row, {}).get(peer)
        return median(values.values()) if values else None

    def ratio(self, scenario: str, row: str, peer: str) -> float | None:
        """Give ours over that of another; None if the run lacks one of them."""
        values = self.found.get(scenario, {}).get(row, {})
        ratio = ratios(values.get(OURS, {}), values.get(peer, {}))
        return ratio.median if ratio else None


def over_runs(runs: Sequence[Run], peers: Sequence[str]) -> list[str]:
    """Give a table of all figures: the median over the runs, and their range."""
    beside = [peer for peer in peers if peer != OURS] if OURS in peers else []
    lines = [["", "", *peers, *(f"/ {peer}" for peer in beside)]]
    for scenario in SCENARIOS.values():
        rows = [row for row in scenario.rows if any(row.key in run.found.get(scenario.name, {}) for run in runs)]
        if rows:
            lines += [[], [scenario.title]]
        for row in rows:
            cells = [_over(run.figure(scenario.name, row.key, peer) for run in runs) for peer in peers]
            cells += [_over((run.ratio(scenario.name, row.key, peer) for run in runs), ratio_text) for peer in beside]
            lines.append([f"  {row.label}", row.unit, *cells])
    return align(lines)


def block(runs: Sequence[Run]) -> str:
    """Give README's figures, between the lines that mark them. `ValueError` if there is no run of the compiled form."""
    compiled = [run for run in runs if run.compiled]
    plain = [run for run in runs if not run.compiled]
    if not compiled:
        raise ValueError("the figures take a run of the compiled form at least")
    columns = [("asyncsctp, compiled", OURS, compiled), ("asyncsctp, plain", OURS, plain)]
    columns += [(title, peer, compiled) for title, peer in _OTHERS]
    lines = [BEGIN, "| | " + " | ".join(title for title, _, _ in columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for label, scenario, row in _LINES:
        cells = [_over(run.figure(scenario, row, peer) for run in those) for _, peer, those in columns]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _PICTURE, "", *_text(compiled, plain), END])


def write(path: Path, text: str) -> None:
    """Put a block of figures in place of the one in a page. `ValueError` if it has none."""
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition("<!-- figures: begin")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for figures: a line {BEGIN} and, behind it, one {END}")
    path.write_text(before + text + after, encoding="utf-8")


def _text(compiled: Sequence[Run], plain: Sequence[Run]) -> Iterator[str]:
    """What the figures are, a sentence a line, and the ratios that are to be read in their place."""
    first = compiled[0].document
    on, settings = first["machine"], first["settings"]
    others = f"; of the plain form over {_count(plain)}" if plain else ""
    yield (
        f"Medians over {_count(compiled)}, with the lowest and the highest{others}. A run's figure is the median of "
        f"{settings['rounds']} interleaved rounds of {settings['seconds']:g} s."
    )
    yield f"{on['processor']}, {on['cpus']} CPUs; {first['versions']['python']}, {settings['loop']}:"
    yield f"`{first['command']}`."
    yield _NOTE
    for what, runs in (("compiled", compiled), ("plain", plain)):
        for peer, name in (("usrsctp", "usrsctp's"), ("tcp", "asyncio TCP's")):
            found = [
                f"{label} {_over((run.ratio(scenario, row, peer) for run in runs), ratio_text)}"
                for label, scenario, row, whose in _RATIOS
                if whose == peer and any(run.ratio(scenario, row, peer) for run in runs)
            ]
            if found:
                yield f"Ours over {name} in the same run, {what}: {', '.join(found)}."


def _count(runs: Sequence[Run]) -> str:
    return "one run" if len(runs) == 1 else f"{len(runs)} separate runs"


def _over(values: Iterator[float | None], text: Any = None) -> str:
    """The median of those that are there and, if there are several, their range; a dash for none."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    spread = Spread.of(there)
    if text is not None:
        return str(text(spread))
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})"
