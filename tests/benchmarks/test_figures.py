"""Medians over separate runs, with their range, and README's figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import figures
from benchmarks.__main__ import main
from benchmarks.figures import Run
from benchmarks.report import as_json, samples
from benchmarks.runner import Measurement, Settings

ROOT = Path(__file__).resolve().parents[2]


def document(compiled: bool, ours: list[float], usrsctp: list[float]) -> dict[str, Any]:
    """What a run writes whose rounds gave these goodputs at 1 KiB, and round trips of the same numbers."""
    runs = [
        Measurement(round=number, scenario=scenario, peer=peer, figures={row: value})
        for peer, values in (("asyncsctp", ours), ("usrsctp", usrsctp))
        for scenario, row in (("bulk-1k", "goodput"), ("latency", "p50"))
        for number, value in enumerate(values)
    ]
    about = {
        "command": "python -m benchmarks",
        "machine": {"processor": "A processor", "cpus": 2, "system": "Linux"},
        "versions": {"python": "CPython 3.11.7"},
        "compiled": compiled,
    }
    peers = {"asyncsctp": "asyncsctp 0.1.0", "usrsctp": "usrsctp 0.9.5"}
    return as_json(runs, Settings(rounds=len(ours), seconds=1.5), peers, {}, about)


def run(*arguments: Any) -> Run:
    made = document(*arguments)
    return Run(made, samples([Measurement(**each) for each in made["runs"]]))


COMPILED = [run(True, [100, 200, 300], [50, 50, 60]), run(True, [500, 600, 700], [100, 100, 100])]
PLAIN = [run(False, [80, 90, 70], [100, 100, 100])]


def test_over_runs_it_is_the_median_of_their_medians_and_their_range() -> None:
    lines = figures.over_runs([*COMPILED, run(True, [300], [100])], ["asyncsctp", "usrsctp"])
    [line] = [line for line in lines if line.startswith("  goodput")]
    assert line.split("  ")[-1].strip() == "4.00 (3.00-6.00)"
    assert "300 (200-600)" in line
    assert "100 (50.0-100)" in line


def test_one_run_has_no_range() -> None:
    [line] = [line for line in figures.over_runs(PLAIN, ["asyncsctp"]) if line.startswith("  goodput")]
    assert line.endswith(" 80.0")


def test_the_block_has_both_forms_the_others_and_the_ratios_of_the_runs() -> None:
    block = figures.block([*COMPILED, *PLAIN])
    assert "| | asyncsctp, compiled | asyncsctp, plain | usrsctp (C) | aiortc's SCTP | asyncio TCP |" in block
    assert "| 1 KiB messages, Mbit/s | 400 (200-600) | 80.0 | 75.0 (50.0-100) | - | - |" in block
    assert "Medians over 2 separate runs, with the lowest and the highest; of the plain form over one run." in block
    assert "Ours over usrsctp's in the same run, compiled: goodput at 1 KiB 5.00 (4.00-6.00)." in block
    assert "Ours over usrsctp's in the same run, plain: goodput at 1 KiB 0.80." in block


def test_the_block_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    old = "<!-- figures: begin (made by hand) -->\nold\n<!-- figures: end -->"
    page.write_text(f"before\n\n{old}\n\nafter\n", encoding="utf-8")
    for _ in range(2):
        figures.write(page, figures.block(COMPILED))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n\n<!-- figures: begin (made by: python -m benchmarks --figures) -->\n| | ")
    assert text.endswith("\n<!-- figures: end -->\n\nafter\n")
    assert "old" not in text
    assert text.count("figures: begin") == 1


def test_a_page_without_a_place_and_runs_without_the_compiled_form_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for figures"):
        figures.write(page, figures.block(COMPILED))
    with pytest.raises(ValueError, match="compiled"):
        figures.block(PLAIN)


def test_the_readme_has_a_place() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert figures.BEGIN in text
    assert figures.END in text


def test_the_command_takes_several_runs_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files: list[Path] = []
    documents = [document(True, [200], [50]), document(True, [600], [100]), document(False, [80], [100])]
    for number, made in enumerate(documents):
        files.append(tmp_path / f"run-{number}.json")
        files[-1].write_text(json.dumps(made), encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n", encoding="utf-8")
    assert main(["--from-json", *map(str, files), "--figures", str(page)]) == 0
    assert "400 (200-600)" in page.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "asyncsctp compiled" in printed and "asyncsctp uncompiled" in printed
    assert "medians over 2 runs, and their range" in printed


def test_separate_runs_are_written_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--only", "bulk-1k", "--peers", "none", "--seconds", "0.05"]
    assert main([*options, "--runs", "2", "--pause", "0.01", "--json", str(tmp_path / "run.json")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-1.json", "run-2.json"]
    assert "medians over 2 runs" in capsys.readouterr().out
