"""The benchmark of the schedulers runs, and has a figure for each."""

from __future__ import annotations

import pytest

from benchmarks.schedulers import SCHEDULERS, STREAMS, main, measure


def test_each_has_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--turns", "100", "--rounds", "1"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for kind in SCHEDULERS:
        assert sum(line[:1] == [kind.__name__] and len(line) == 1 + len(STREAMS) for line in lines) == 1


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_turn_takes_time(kind: type) -> None:
    turn, coming = measure(kind, 10, 20_000)
    assert turn > 0 and coming > 0
