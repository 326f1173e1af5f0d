"""The picture of a run: what is in it, and that it can be drawn."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import plot
from benchmarks.report import Spread, samples
from benchmarks.runner import Measurement

DOCUMENT: dict[str, Any] = {
    "peers": {"asyncsctp": "asyncsctp 1", "tcp": "asyncio"},
    "settings": {"loop": "uvloop", "mtu": 1500, "rounds": 2, "seconds": 1.0},
    "machine": {"processor": "a processor", "cpus": 2},
    "versions": {"python": "CPython 3.11"},
    "compiled": True,
}


def run(peer: str, scenario: str, number: int = 0, **figures: float) -> Measurement:
    return Measurement(round=number, scenario=scenario, peer=peer, figures=figures)


RUNS = [
    run("asyncsctp", "bulk-64", goodput=50.0, messages=100.0),
    run("asyncsctp", "bulk-64", 1, goodput=60.0, messages=120.0),
    run("asyncsctp", "bulk-16k", goodput=900.0, client_cpu=7.0, server_cpu=6.0),
    run("tcp", "bulk-16k", goodput=9000.0, client_cpu=0.7, server_cpu=0.6),
    run("asyncsctp", "latency", p50=300.0, p99=700.0),
]


def test_each_panel_has_the_peers_that_were_measured_with_their_ranges() -> None:
    shown = {bars.panel.rows[0][0]: bars for bars in plot.panels(samples(RUNS), ["asyncsctp", "tcp"])}
    assert set(shown) == {"bulk-64", "bulk-16k", "latency"}
    assert shown["bulk-64"].peers == ("asyncsctp",)
    assert shown["bulk-64"].values == ((Spread(110.0, 100.0, 120.0), None),)
    assert shown["bulk-16k"].peers == ("asyncsctp", "tcp")
    assert shown["bulk-16k"].values[1] == (Spread(0.7, 0.7, 0.7), Spread(0.6, 0.6, 0.6))


def test_a_size_that_was_not_measured_leaves_a_gap() -> None:
    lines = dict(plot.goodputs(samples(RUNS), ["asyncsctp", "tcp"]))
    assert [place for place, _ in lines["asyncsctp"]] == [0, 2]
    assert [place for place, _ in lines["tcp"]] == [2]


def test_who_has_one_way_to_send_and_read_is_shown_once() -> None:
    runs = [run("usrsctp", "bulk-64", messages=300.0), run("usrsctp", "bulk-64-batch", messages=310.0)]
    (bars,) = plot.panels(samples(runs), ["usrsctp"])
    assert bars.values == ((Spread(300.0, 300.0, 300.0), None),)


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder|needs matplotlib"):
        plot.check(tmp_path / "nowhere" / "picture.svg")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_it_is_drawn_as_svg_and_png_with_every_label(tmp_path: Path) -> None:
    files = plot.draw(DOCUMENT, samples(RUNS), tmp_path / "picture.svg")
    assert [file.name for file in files] == ["picture.svg", "picture.png"]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    comments = files[0].read_text(encoding="utf-8")
    ElementTree.fromstring(comments)
    for text in ("asyncio TCP", "asyncsctp compiled, CPython 3.11", "Goodput by message size", "CPU seconds per GB"):
        assert f"<!-- {text}" in comments
    again = plot.draw(DOCUMENT, samples(RUNS), tmp_path / "again.svg")
    assert again[0].read_bytes() == files[0].read_bytes()
