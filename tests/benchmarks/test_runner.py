"""The benchmarks: short runs with real processes, and the arithmetic of their comparison."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

import asyncsctp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.__main__ import main
from benchmarks.job import Job
from benchmarks.peers import PEERS
from benchmarks.peers.base import Peer, PythonPeer, Side
from benchmarks.progress import Progress
from benchmarks.report import Spread, compare, load, ratios, samples, table
from benchmarks.runner import Measurement, RunError, Settings, run_all, run_pair
from benchmarks.scenarios import SCENARIOS, select


def run(peer: str, scenario: str, value: float, number: int = 0, row: str = "goodput") -> Measurement:
    return Measurement(round=number, scenario=scenario, peer=peer, figures={row: value})


class Script(Peer):
    """A peer whose sides are one-line Python programs."""

    name = "script"

    def __init__(self, server: str, client: str = "") -> None:
        self.programs: dict[Side, str] = {"server": server, "client": client}

    def prepare(self, directory: Path) -> str:
        return "script"

    def command(self, side: Side, job: Job) -> list[str]:
        return [sys.executable, "-c", self.programs[side]]


JOB = Job(scenario="bulk-1k", kind="bulk", seconds=0.1)


class TestArithmetic:
    def test_a_spread_has_the_median_and_the_range(self) -> None:
        assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)

    def test_a_ratio_of_two_spreads_is_as_wide_as_both_allow(self) -> None:
        assert Spread(200.0, 150.0, 240.0).over(Spread(100.0, 80.0, 120.0)) == Spread(2.0, 1.25, 3.0)

    def test_peers_are_compared_round_by_round(self) -> None:
        assert ratios({0: 100.0, 1: 10.0}, {0: 50.0, 1: 5.0}) == Spread(2.0, 2.0, 2.0)

    def test_a_round_that_one_of_them_lacks_does_not_count(self) -> None:
        assert ratios({0: 100.0, 1: 10.0}, {1: 5.0}) == Spread(2.0, 2.0, 2.0)
        assert ratios({0: 100.0}, {1: 5.0}) is None

    @pytest.mark.parametrize(
        ("row", "before", "after", "verdict"),
        [
            ("goodput", [100.0, 110.0], [150.0, 160.0], "better"),
            ("goodput", [150.0, 160.0], [100.0, 110.0], "worse"),
            ("goodput", [100.0, 150.0], [140.0, 160.0], "same"),
            ("client_cpu", [100.0, 110.0], [150.0, 160.0], "worse"),
            ("client_cpu", [150.0, 160.0], [100.0, 110.0], "better"),
        ],
    )
    def test_a_change_is_one_only_where_the_spreads_do_not_overlap(
        self, row: str, before: list[float], after: list[float], verdict: str
    ) -> None:
        old = samples([run("tcp", "bulk-1k", value, number, row) for number, value in enumerate(before)])
        new = samples([run("tcp", "bulk-1k", value, number, row) for number, value in enumerate(after)])
        (change,) = compare(old, new)
        assert (change.peer, change.row.key, change.verdict) == ("tcp", row, verdict)

    def test_only_what_both_have_is_compared(self) -> None:
        old = samples([run("tcp", "bulk-1k", 1.0), run("tcp", "bulk-16k", 1.0)])
        new = samples([run("tcp", "bulk-1k", 1.0), run("asyncsctp", "bulk-1k", 1.0)])
        assert [(change.scenario.name, change.peer) for change in compare(old, new)] == [("bulk-1k", "tcp")]

    def test_a_slower_machine_changes_nothing_between_ours_and_theirs(self) -> None:
        old = samples([run("asyncsctp", "bulk-1k", 300.0), run("tcp", "bulk-1k", 100.0)])
        new = samples([run("asyncsctp", "bulk-1k", 150.0), run("tcp", "bulk-1k", 50.0)])
        verdicts = {change.peer: (change.ratio.median, change.verdict) for change in compare(old, new)}
        assert verdicts == {"asyncsctp": (0.5, "worse"), "tcp": (0.5, "worse"), "asyncsctp / tcp": (1.0, "same")}


class TestTable:
    def test_it_has_a_column_for_each_peer_and_for_each_ratio(self) -> None:
        found = samples([run("asyncsctp", "bulk-1k", 300.0), run("tcp", "bulk-1k", 200.0)])
        text = table(found, ["asyncsctp", "tcp"])
        assert text[0].split() == ["asyncsctp", "tcp", "/", "tcp"]
        assert text[-1].split() == ["goodput", "Mbit/s", "300", "200", "1.50"]

    def test_what_was_not_measured_is_a_dash(self) -> None:
        assert table(samples([run("tcp", "bulk-1k", 2.0)]), ["asyncsctp", "tcp"])[-1].split()[-3:] == ["-", "2.00", "-"]


class TestSelection:
    def test_by_name_and_by_kind(self) -> None:
        assert [scenario.name for scenario in select("latency,bulk-1k")] == ["bulk-1k", "latency"]
        assert all(scenario.kind == "bulk" for scenario in select("bulk"))
        assert select(None) == list(SCENARIOS.values())

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no such scenario: bulky"):
            select("bulky")


class TestFailures:
    def test_a_process_that_fails_is_reported_with_its_standard_error(self) -> None:
        broken = Script("print('{\"port\": 1}', flush=True); input()", "raise SystemExit('the client is out of order')")
        with pytest.raises(RunError, match=r"the client ended with status 1\n.*the client is out of order"):
            asyncio.run(run_pair(broken, JOB, 20.0))

    def test_a_process_that_hangs_is_stopped(self) -> None:
        with pytest.raises(RunError, match="no results in time"):
            asyncio.run(run_pair(Script("import time; time.sleep(60)"), JOB, 0.2))

    def test_the_other_runs_go_on(self) -> None:
        peers = [Script("print('not JSON')"), PEERS["tcp"]]
        settings = Settings(seconds=0.05, rounds=1, loop="asyncio")
        runs = asyncio.run(run_all([SCENARIOS["latency"]], peers, settings, lambda *_: None))
        assert [bool(outcome.error) for outcome in runs] == [True, False]
        assert "not JSON" in str(runs[0].error)


class TestProgress:
    def test_it_is_silent_without_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Progress() as progress:
            progress("something", 0, 1)
        assert capsys.readouterr().err == ""


@pytest.mark.process
class TestRuns:
    def test_beside_tcp_and_compared_with_itself(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "run.json"
        options = ["--peers", "tcp", "--rounds", "2", "--seconds", "0.1", "--only", "bulk-1k,latency,setup-serial"]
        assert main([*options, "--json", str(file)]) == 0
        document = json.loads(file.read_text(encoding="utf-8"))
        assert {run["peer"] for run in document["runs"]} == {"asyncsctp", "tcp"}
        assert [run["peer"] for run in document["runs"][:4]] == ["asyncsctp", "tcp"] * 2
        assert len(document["runs"]) == 2 * 3 * 2
        assert "--only bulk-1k,latency,setup-serial" in document["command"]
        assert document["machine"]["cpus"] >= 1
        assert document["versions"]["python"]
        for scenario in ("bulk-1k", "latency", "setup-serial"):
            assert set(document["summary"][scenario]) == {row.key for row in SCENARIOS[scenario].rows}
            for by_peer in document["summary"][scenario].values():
                for spread in by_peer.values():
                    assert 0 < spread["low"] <= spread["median"] <= spread["high"]
        found = load(file)
        assert all(change.ratio.median == 1.0 and change.verdict == "same" for change in compare(found, found))
        assert "bulk, messages of 1 KiB" in capsys.readouterr().out

    @pytest.mark.parametrize("peer", ["asyncsctp", "tcp"])
    @pytest.mark.parametrize("scenario", ["bulk-64-batch", "bulk-256k", "memory"])
    def test_each_scenario_on_the_stock_loop(self, peer: str, scenario: str) -> None:
        settings = Settings(seconds=0.05, rounds=1, loop="asyncio")
        (outcome,) = asyncio.run(run_all([SCENARIOS[scenario]], [PEERS[peer]], settings, lambda *_: None))
        assert outcome.error is None
        assert all(outcome.figures.values())

    def test_a_profile_tells_the_rooms_of_both_sides(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--peers", "none", "--rounds", "1", "--seconds", "0.3", "--only", "bulk-1k", "--profile"]) == 0
        output = capsys.readouterr().out
        for words in ("bulk-1k, client: ", "bulk-1k, server: ", "us/packet  "):
            assert words in output
        if asyncsctp.compiled:
            assert "the core is compiled: its time counts for what calls it" in output
        else:
            assert "us/packet  asyncsctp/wire" in output
            assert "asyncsctp/outbound" in output


def test_what_is_not_installed_is_absent_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PEERS, "aiortc", PythonPeer("aiortc", "aiortc_peer", requires=("no_such_package",)))
    assert main(["--peers", "aiortc", "--rounds", "1", "--seconds", "0.05", "--only", "latency"]) == 0
    assert "aiortc: absent (No module named 'no_such_package')" in capsys.readouterr().out


def test_a_file_of_another_program_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.json"
    file.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--compare", str(file)])
    assert "was not written by this program" in capsys.readouterr().err
