"""The scenarios, short: that each gives its figures, and what the figures of many associations are made of."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.__main__ import main
from benchmarks.runner import Settings
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.scale import figures, slowdown


def test_a_steady_rate_is_no_slowdown_and_a_growing_cost_is_one() -> None:
    assert slowdown([number / 100 for number in range(1, 1001)]) == pytest.approx(1.0)
    assert slowdown([number**2 / 100 for number in range(1, 1001)]) == pytest.approx(17 / 3, rel=0.01)


def test_the_figures_of_many_associations() -> None:
    client = {
        "associations": 1000,
        "setup_seconds": 2.0,
        "setup_cpu": 0.5,
        "server_resident": 10240.0,
        "client_resident": 20480.0,
        "idle_seconds": 10.0,
        "idle_cpu": 0.5,
        "echoes": 4000,
        "echo_seconds": 2.0,
        "echo_cpu": 1.0,
        "end_seconds": 4.0,
        "objects_left": 0.1,
        "setup_slowdown": 1.5,
        "end_slowdown": 1.0,
    }
    found = figures(client, {})
    assert found == {
        "echoes": 2.0,
        "echo_cpu": 250.0,
        "setups": 500.0,
        "setup_cpu": 500.0,
        "server_resident": 10.0,
        "client_resident": 20.0,
        "idle_cpu": 5.0,
        "ends": 250.0,
        "objects_left": 0.1,
        "setup_slowdown": 1.5,
        "end_slowdown": 1.0,
    }
    assert found.keys() == {row.key for row in SCENARIOS["scale-10000"].rows}
    assert figures({**client, "associations": 1}, {}).keys() >= {row.key for row in SCENARIOS["scale-1"].rows}


def test_a_quick_run_has_few_associations_and_short_waits() -> None:
    quick, slow = Settings(quick=True).job(SCENARIOS["scale-10000"]), Settings().job(SCENARIOS["scale-10000"])
    assert quick.count < 100 < slow.count
    assert quick.idle < 1 < slow.idle


@pytest.mark.process
def test_a_quick_run_gives_all_figures_of_each_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.json"
    assert main(["--quick", "--peers", "none", "--json", str(file)]) == 0
    summary = json.loads(file.read_text(encoding="utf-8"))["summary"]
    for scenario in SCENARIOS.values():
        told_of_many_only = {"setup_slowdown", "end_slowdown", "objects_left"}
        assert summary[scenario.name].keys() >= {row.key for row in scenario.rows} - told_of_many_only
    assert "10,000 associations" in capsys.readouterr().out

    assert main(["--from-json", str(file)]) == 0
    output = capsys.readouterr().out
    assert "ping-pong, 64 B" in output
    assert "timers of 10,000 idle associations" in output


@pytest.mark.process
@pytest.mark.skipif(importlib.util.find_spec("aioquic") is None, reason="aioquic is not installed")
def test_aioquic_moves_messages_that_are_larger_than_its_buffers(capsys: pytest.CaptureFixture[str]) -> None:
    only = "bulk-64,bulk-64-batch,bulk-256k,latency,setup-serial"
    assert main(["--quick", "--peers", "aioquic", "--only", only]) == 0
    assert "failed" not in capsys.readouterr().out
