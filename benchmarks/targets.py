"""What asyncsctp is to reach, and whether a run shows it: ratios round by round, and figures that stand alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .peers import OURS
from .report import Samples, Spread, align, number, ratio_text, ratios

__all__ = ["TARGETS", "Target", "Verdict", "judge", "verdicts"]


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: a figure of a scenario, over a peer's or (`over` is empty) alone; a bound for each kind of build.

    `None`: nothing is promised for that build.
    """

    label: str
    scenario: str
    row: str
    over: str
    better: str  # "higher": at least the bound; "lower": at most
    compiled: float | None
    uncompiled: float | None
    unit: str = ""

    def bound(self, compiled: bool) -> float | None:
        """For this build."""
        return self.compiled if compiled else self.uncompiled


def _more(label: str, scenario: str, row: str, over: str, compiled: float, uncompiled: float | None) -> Target:
    return Target(label, scenario, row, over, "higher", compiled, uncompiled)


def _less(label: str, scenario: str, row: str, over: str, compiled: float, uncompiled: float) -> Target:
    return Target(label, scenario, row, over, "lower", compiled, uncompiled)


_KIB = 1024.0

TARGETS = (
    _more("bulk 64 B, messages/s, read one by one", "bulk-64", "messages", "usrsctp", 2.5, 1.2),
    _more("bulk 64 B, messages/s, read in batches", "bulk-64-batch", "messages", "usrsctp", 4, 1.5),
    _more("bulk 1 KiB", "bulk-1k", "goodput", "usrsctp", 4, 2),
    _more("bulk 16 KiB", "bulk-16k", "goodput", "usrsctp", 4, 2),
    _more("bulk 16 KiB", "bulk-16k", "goodput", "tcp", 0.6, None),
    _more("bulk 256 KiB", "bulk-256k", "goodput", "usrsctp", 4, 2),
    _more("bulk 256 KiB", "bulk-256k", "goodput", "tcp", 0.6, None),
    _less("ping-pong 64 B, p50", "latency", "p50", "tcp", 1, 1.3),
    _more("setups and teardowns, one after another", "setup-serial", "rate", "usrsctp", 1, 0.5),
    _less("CPU per GB at 16 KiB, sender", "bulk-16k", "client_cpu", "usrsctp", 1 / 3, 2 / 3),
    _less("CPU per GB at 16 KiB, receiver", "bulk-16k", "server_cpu", "usrsctp", 1 / 3, 2 / 3),
    Target("idle association, client's objects", "memory", "client_bytes", "", "lower", 16 * _KIB, 16 * _KIB, "bytes"),
    Target("idle association, server's objects", "memory", "server_bytes", "", "lower", 16 * _KIB, 16 * _KIB, "bytes"),
    Target("idle association, both ends' objects", "memory", "both_bytes", "", "lower", 16 * _KIB, 16 * _KIB, "bytes"),
    Target("timers of 10,000 idle associations", "scale-10000", "idle_cpu", "", "lower", 2, 2, "% of a core"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what a run has shown; `shown` is None where it has not measured that."""

    target: Target
    bound: float
    shown: Spread | None

    @property
    def reached(self) -> bool | None:
        """By the median; None if it was not measured."""
        if self.shown is None:
            return None
        median = self.shown.median
        return median >= self.bound if self.target.better == "higher" else median <= self.bound


def _values(found: Samples, target: Target, peer: str) -> Mapping[int, float]:
    return found.get(target.scenario, {}).get(target.row, {}).get(peer, {})


def judge(found: Samples, compiled: bool) -> list[Verdict]:
    """All that is promised for this build."""
    judged = []
    for target in TARGETS:
        bound = target.bound(compiled)
        if bound is None:
            continue
        ours = _values(found, target, OURS)
        if target.over:
            shown = ratios(ours, _values(found, target, target.over))
        else:
            shown = Spread.of([*ours.values()]) if ours else None
        judged.append(Verdict(target, bound, shown))
    return judged


def verdicts(judged: Sequence[Verdict], compiled: bool) -> list[str]:
    """The lines of the table; nothing if the run has measured none of it."""
    if all(verdict.shown is None for verdict in judged):
        return []
    build = "compiled" if compiled else "uncompiled"
    title = f"targets, {build}: ratios are {OURS}'s over the peer's, medians (lowest-highest) of the rounds"
    return [title, *_lines(judged)]


def _lines(judged: Sequence[Verdict]) -> Iterator[str]:
    lines = [["", "", "wanted", "shown", "reached"]]
    for verdict in judged:
        target = verdict.target
        sign = ">=" if target.better == "higher" else "<="
        against = f"x {target.over}" if target.over else target.unit
        text = ratio_text if target.over else _alone
        shown = text(verdict.shown) if verdict.shown is not None else "-"
        answer = {True: "yes", False: "no", None: "not measured"}[verdict.reached]
        bound = f"{verdict.bound:.2f}" if target.over else number(verdict.bound)
        lines.append([f"  {target.label}", against, f"{sign} {bound}", shown, answer])
    return iter(align(lines))


def _alone(spread: Spread) -> str:
    low, median, high = number(spread.low), number(spread.median), number(spread.high)
    return median if low == high else f"{median} ({low}-{high})"
