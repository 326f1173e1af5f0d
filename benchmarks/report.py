"""From measurements to medians, tables and JSON, and from two of those to ratios."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .peers import OURS
from .runner import Measurement, Settings
from .scenarios import SCENARIOS, Row, Scenario

__all__ = [
    "FORMAT",
    "Change",
    "Samples",
    "Spread",
    "align",
    "as_json",
    "compare",
    "comparison",
    "load",
    "number",
    "ratio_text",
    "ratios",
    "read",
    "samples",
    "table",
]

#: Of the JSON files; another number is another layout.
FORMAT = 1

#: scenario -> row -> peer -> round -> value
Samples = dict[str, dict[str, dict[str, dict[int, float]]]]


@dataclass(frozen=True, slots=True)
class Spread:
    """A value and the range that it was found in."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one or more values."""
        return cls(median(values), min(values), max(values))

    def over(self, other: Spread) -> Spread:
        """The ratio to one that was measured apart from it: of the medians, within all that the ranges allow."""
        return Spread(self.median / other.median, self.low / other.high, self.high / other.low)


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure has changed since an earlier run: the later over the earlier. `peer` is whose it is."""

    scenario: Scenario
    row: Row
    peer: str
    before: Spread
    after: Spread
    ratio: Spread

    @property
    def verdict(self) -> str:
        """In a word; "same" where the spreads overlap."""
        if self.ratio.low <= 1 <= self.ratio.high:
            return "same"
        return "better" if (self.ratio.median > 1) == (self.row.better == "higher") else "worse"


def samples(measurements: Sequence[Measurement]) -> Samples:
    """The figures of the runs that gave some."""
    found: Samples = {}
    for run in measurements:
        for key, value in run.figures.items():
            found.setdefault(run.scenario, {}).setdefault(key, {}).setdefault(run.peer, {})[run.round] = value
    return found


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Ours over theirs in those rounds that have both: what slows a whole round down is in neither's favour."""
    values = [value / theirs[number] for number, value in ours.items() if value > 0 and theirs.get(number, 0) > 0]
    return Spread.of(values) if values else None


def compare(before: Samples, after: Samples) -> list[Change]:
    """Every figure that both have, and ours over each of the others', which a slower machine leaves as it is."""
    changes = []
    for scenario, row in _rows(after):
        old = _spreads(before.get(scenario.name, {}).get(row.key, {}))
        new = _spreads(after[scenario.name][row.key])
        changes += [
            Change(scenario, row, whose, old[whose], spread, spread.over(old[whose]))
            for whose, spread in new.items()
            if whose in old and old[whose].low > 0 < spread.low
        ]
    return changes


def table(found: Samples, peers: Sequence[str]) -> list[str]:
    """The medians, a column for each peer; then ours over each of the others'."""
    beside = [peer for peer in peers if peer != OURS] if OURS in peers else []
    lines = [["", "", *peers, *(f"/ {peer}" for peer in beside)]]
    for scenario, row in _rows(found):
        values = found[scenario.name][row.key]
        if row is scenario.rows[0]:
            lines += [[], [scenario.title]]
        cells = [number(median(values[peer].values())) if peer in values else "-" for peer in peers]
        for peer in beside:
            ratio = ratios(values.get(OURS, {}), values.get(peer, {}))
            cells.append(ratio_text(ratio) if ratio else "-")
        lines.append([f"  {row.label}", row.unit, *cells])
    return align(lines)


def comparison(changes: Sequence[Change]) -> list[str]:
    """What `compare` found, to print."""
    lines = [["", "", "peer", "before", "after", "ratio", ""]]
    for change in changes:
        numbers = [number(change.before.median), number(change.after.median), ratio_text(change.ratio)]
        label = f"{change.scenario.name}: {change.row.label}"
        lines.append([label, change.row.unit, change.peer, *numbers, change.verdict])
    return align(lines)


def as_json(
    measurements: Sequence[Measurement],
    settings: Settings,
    peers: Mapping[str, str],
    absent: Mapping[str, str],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """All there is to know of a run: medians with their ranges, and the runs themselves."""
    return {
        "format": FORMAT,
        **about,
        "settings": dataclasses.asdict(settings),
        "peers": dict(peers),
        "absent": dict(absent),
        "summary": {
            scenario: {
                key: {peer: dataclasses.asdict(Spread.of([*values.values()])) for peer, values in by_peer.items()}
                for key, by_peer in rows.items()
            }
            for scenario, rows in samples(measurements).items()
        },
        "runs": [dataclasses.asdict(measurement) for measurement in measurements],
    }


def read(path: Path) -> tuple[dict[str, Any], list[Measurement]]:
    """A JSON file, and the runs in it. `ValueError` if it isn't one of ours."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"{path} has format {document['format']}, not {FORMAT}")
        return document, [Measurement(**run) for run in document["runs"]]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} was not written by this program: {error!r}") from None


def load(path: Path) -> Samples:
    """The figures in a JSON file. `ValueError` if it isn't one of ours."""
    return samples(read(path)[1])


def _spreads(by_peer: Mapping[str, Mapping[int, float]]) -> dict[str, Spread]:
    """Of each peer, and of ours over each other's."""
    spreads = {peer: Spread.of([*values.values()]) for peer, values in by_peer.items()}
    for peer, values in by_peer.items():
        if peer != OURS and (ratio := ratios(by_peer.get(OURS, {}), values)) is not None:
            spreads[f"{OURS} / {peer}"] = ratio
    return spreads


def _rows(found: Samples) -> Iterator[tuple[Scenario, Row]]:
    """Those that have figures, in the order of the table."""
    for scenario in SCENARIOS.values():
        for row in scenario.rows:
            if row.key in found.get(scenario.name, {}):
                yield scenario, row


def number(value: float) -> str:
    """Three digits at least, no more than make sense."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def ratio_text(ratio: Spread) -> str:
    """The median, and the range if there is one."""
    if ratio.low == ratio.high:
        return f"{ratio.median:.2f}"
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def align(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text: the first two to the left, numbers to the right. A line with one cell may run across."""
    columns = max(map(len, lines))
    widths = [max((len(line[at]) for line in lines if len(line) > max(at, 1)), default=0) for at in range(columns)]

    def place(at: int, cell: str) -> str:
        return cell.ljust(widths[at]) if at < 2 else cell.rjust(widths[at])

    return ["  ".join(place(at, cell) for at, cell in enumerate(line)).rstrip() for line in lines]
