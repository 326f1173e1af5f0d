"""The campaign: what is tried, what is remembered, and that nothing stops it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import campaign.command
import campaign.work
import pytest
from campaign.command import main, plan
from campaign.families import FAMILIES, Family, portions
from campaign.ledger import CHUNK, Chunk, Ledger
from campaign.shrinking import brief, shrink
from campaign.work import attempt


def fails_at_60(seed: int) -> None:
    assert seed != 60, "this is wrong\nand this is why"


def hangs_at_3(seed: int) -> None:
    while seed == 3:
        time.sleep(0.01)


def takes_two(seed: int, *, without: frozenset[str] = frozenset()) -> None:
    assert {"b", "d"} & without, "it takes b or d to go well"


def features(seed: int) -> list[str]:
    return ["a", "b", "c", "d"]


HERE = __name__
FAILING = Family("failing", f"{HERE}:fails_at_60", 1)
HANGING = Family("hanging", f"{HERE}:hangs_at_3", 1)


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (campaign.command, campaign.work, campaign.families):
        monkeypatch.setattr(module, "FAMILIES", [FAILING, HANGING])
    monkeypatch.setattr(Family, "_module", lambda family: globals_of_this_module)


class _This:
    def __getattr__(self, name: str) -> Any:
        return globals()[name]


globals_of_this_module = _This()


def test_all_seeds_are_shared_by_weight() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for count in (1, 100, 12_345):
        shares = portions(count, names)
        assert sum(shares.values()) == count
    assert portions(100_000, names)["planned cores"] > 25_000


def test_every_family_exists_and_runs() -> None:
    for family in FAMILIES:
        failure = attempt(family, 1, 60.0)
        assert failure is None, failure.details


@pytest.mark.usefixtures("families")
def test_a_failure_says_how_to_have_it_again_and_is_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    arguments = ["--seeds", "200", "--family", "failing", "--state", str(state)]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "FAILED failing 60: AssertionError: this is wrong; again by: python -m tests.campaign" in said
    assert "200 seeds     1 failed" in said
    assert main(["--family", "failing", "--seed", "60"]) == 1
    assert "and this is why" in capsys.readouterr().out
    ledger = Ledger(state)
    assert [failure.seed for failure in ledger.failures] == [60]
    assert ledger.done == {Chunk("failing", number) for number in range(4)}
    assert [chunk.number for chunk, _ in plan(300, ["failing"], 0, ledger)] == [4, 5]
    assert main(arguments) == 1, "what failed then has still failed"
    assert "200 seeds     1 failed" in capsys.readouterr().out
    assert main(["--family", "failing", "--seed", "61"]) == 0


@pytest.mark.usefixtures("families")
def test_a_live_lock_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "20", "--family", "hanging", "--limit", "0.2", "--jobs", "2"]) == 1
    said = capsys.readouterr().out
    assert "FAILED hanging 3: TooLongError" in said
    assert "20 seeds     1 failed" in said


def test_families_take_turns_from_where_they_begin() -> None:
    chunks = list(plan(1000, ["association", "planned cores"], 100, Ledger(None)))
    assert sum(count for _, count in chunks) == 1000
    assert all(chunk.number >= 100 // CHUNK for chunk, _ in chunks)
    assert {chunk.family for chunk, _ in chunks[:10]} == {"association", "planned cores"}


def test_shrinking_leaves_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Family, "_module", lambda family: globals_of_this_module)
    family = Family("takes", f"{HERE}:takes_two", 1)
    failure = attempt(family, 1, 10.0)
    assert failure is not None
    assert shrink(family, failure, 10.0) == ["a", "c"]
    assert brief(["x", "action 3", "action 9", "y", "action 2", "action 4"]) == "x,y,action 2-4,action 9"
