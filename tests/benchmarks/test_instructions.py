"""The regression gate: its arithmetic, its exit status, and that what it counts is the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import instructions
from benchmarks.instructions import Count, compare, figures, main, ratios, report

ROOT = Path(__file__).resolve().parents[2]
COUNTED = Count("CPython 3.99 uncompiled", {"packet sent": 20_000.0, "setup": 500_000.0}, 5_000.0)
KEPT = {COUNTED.key: {"packet sent": 4.0, "setup": 100.0}}


class TestArithmetic:
    def test_phases_of_one_name_are_added_up_and_what_has_none_does_not_count(self) -> None:
        phases = [("", 0), ("sent", 10), ("received", 10), ("", 0), ("sent", 30)]
        assert figures(phases, [1_000_000, 7, 100, 50, 9, 140]) == pytest.approx({"sent": 16 / 40, "received": 10.0})

    def test_a_mark_that_was_missed_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="2 totals for 3 phases"):
            figures([("", 0), ("sent", 1), ("", 0)], [1, 2])

    @pytest.mark.parametrize(
        ("now", "verdict"), [(4.0, "as before"), (4.19, "as before"), (4.21, "WORSE"), (3.7, "better: --update")]
    )
    def test_five_per_cent_are_tolerated(self, now: float, verdict: str) -> None:
        (change,) = compare({"packet sent": 4.0, "gone": 1.0}, {"packet sent": now, "new": 1.0})
        assert (change.name, change.verdict) == ("packet sent", verdict)

    def test_another_interpreter_that_is_slower_at_everything_is_no_regression(self) -> None:
        slower = Count(COUNTED.key, {name: 3 * value for name, value in COUNTED.instructions.items()}, 15_000.0)
        assert slower.relative() == COUNTED.relative()


class TestStatus:
    def test_as_it_was_is_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert report(COUNTED, KEPT, 0.05, check=True) == 0
        assert "packet sent" in capsys.readouterr().out

    def test_a_regression_is_1(self) -> None:
        assert report(COUNTED, {COUNTED.key: {"packet sent": 3.0, "setup": 100.0}}, 0.05, check=True) == 1

    def test_without_check_it_only_tells(self) -> None:
        assert report(COUNTED, {COUNTED.key: {"packet sent": 3.0}}, 0.05) == 0

    def test_a_build_that_is_not_kept_is_said_and_nothing_is_recorded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(instructions, "KEPT", tmp_path / "kept.json")
        assert report(COUNTED, {}, 0.05, check=True) == 3
        assert "has nothing about CPython 3.99 uncompiled" in capsys.readouterr().err
        assert not (tmp_path / "kept.json").exists()

    def test_update_writes_it_and_leaves_the_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(instructions, "KEPT", tmp_path / "kept.json")
        assert report(COUNTED, {"another": {"setup": 1.0}}, 0.05, update=True) == 0
        kept = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))
        assert kept == {**KEPT, "another": {"setup": 1.0}}

    def test_without_valgrind_it_says_so_and_is_77(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert main(["--check"]) == 77
        assert "there is no valgrind here" in capsys.readouterr().err


@pytest.mark.process
def test_the_transfer_has_all_phases_and_the_same_ones_each_time() -> None:
    command = [sys.executable, "-m", "benchmarks.transfer"]
    first, second = (
        json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout) for _ in "12"
    )
    assert first == second
    done = {name: units for name, units in first["phases"] if name}
    assert {"calibration", "setup and teardown", "packet sent", "64 B message received"} <= done.keys()
    assert done["packet sent"] > 40
    assert done["64 B message acknowledged"] == 500


def test_what_is_kept_is_about_builds_with_all_figures() -> None:
    kept = json.loads(instructions.KEPT.read_text(encoding="utf-8"))
    assert len({tuple(figures) for figures in kept.values()}) == 1
    assert all(value > 0 for figures in kept.values() for value in figures.values())


def test_offers_are_compared_with_none() -> None:
    offered = Count(COUNTED.key, {"packet sent": 20_100.0, "setup": 550_000.0}, 5_000.0)
    lines = [line.split() for line in ratios(COUNTED, [("all", offered)])]
    assert lines[1:] == [["packet", "sent", "20,000", "1.0050"], ["setup", "500,000", "1.1000"]]
