"""Whether a run shows what is promised: the arithmetic of the verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.report import Samples, samples
from benchmarks.runner import Measurement
from benchmarks.scenarios import SCENARIOS
from benchmarks.targets import TARGETS, Verdict, judge, verdicts


def figure(scenario: str, row: str, **by_peer: list[float]) -> Samples:
    return samples(
        [
            Measurement(round=number, scenario=scenario, peer=peer, figures={row: value})
            for peer, values in by_peer.items()
            for number, value in enumerate(values)
        ]
    )


def verdict(found: Samples, scenario: str, row: str, over: str, compiled: bool) -> Verdict:
    (one,) = (
        each
        for each in judge(found, compiled)
        if (each.target.scenario, each.target.row, each.target.over) == (scenario, row, over)
    )
    return one


def test_every_target_is_about_a_row_that_is_measured() -> None:
    for target in TARGETS:
        assert target.row in {row.key for row in SCENARIOS[target.scenario].rows}


@pytest.mark.parametrize(("compiled", "reached"), [(True, False), (False, True)])
def test_a_compiled_build_has_to_show_more(compiled: bool, reached: bool) -> None:
    found = figure("bulk-64", "messages", asyncsctp=[150.0, 160.0, 170.0], usrsctp=[100.0, 100.0, 100.0])
    shown = verdict(found, "bulk-64", "messages", "usrsctp", compiled)
    assert shown.reached is reached
    assert shown.bound == (2.5 if compiled else 1.2)


def test_rounds_are_compared_one_by_one_and_the_median_decides() -> None:
    found = figure("latency", "p50", asyncsctp=[10.0, 200.0, 30.0], tcp=[10.0, 100.0, 20.0])
    shown = verdict(found, "latency", "p50", "tcp", compiled=False)
    assert shown.shown is not None
    assert (shown.shown.low, shown.shown.median, shown.shown.high) == (1.0, 1.5, 2.0)
    assert shown.reached is False  # at most 1.3


def test_what_just_meets_the_bound_has_reached_it() -> None:
    found = figure("memory", "both_bytes", asyncsctp=[16384.0])
    assert verdict(found, "memory", "both_bytes", "", compiled=True).reached is True


def test_what_is_promised_for_one_kind_of_build_alone_is_not_asked_of_the_other() -> None:
    labels = [(each.target.scenario, each.target.over) for each in judge({}, compiled=False)]
    assert ("bulk-16k", "tcp") not in labels
    assert ("bulk-16k", "tcp") in [(each.target.scenario, each.target.over) for each in judge({}, compiled=True)]


def test_the_table_says_yes_no_and_what_was_not_measured() -> None:
    found = figure("bulk-1k", "goodput", asyncsctp=[500.0, 300.0], usrsctp=[100.0, 100.0])
    found |= figure("bulk-16k", "client_cpu", asyncsctp=[9.0], usrsctp=[10.0])
    lines = verdicts(judge(found, compiled=True), compiled=True)
    assert lines[0].startswith("targets, compiled")
    by_label = {line.strip().partition("  ")[0]: line.split() for line in lines[1:]}
    assert by_label["bulk 1 KiB"][-4:] == [">=", "4.00", "4.00", "(3.00-5.00)", "yes"][-4:]
    assert by_label["CPU per GB at 16 KiB, sender"][-3:] == ["0.33", "0.90", "no"]
    assert by_label["bulk 64 B, messages/s, read one by one"][-3:] == ["-", "not", "measured"]


def test_a_run_that_is_about_other_things_has_no_verdict() -> None:
    assert verdicts(judge(figure("setup-16", "rate", asyncsctp=[1.0]), compiled=False), compiled=False) == []
