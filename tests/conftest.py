"""What tests share lies in `tests/support`, and is imported from there: `from support.pair import Pair`."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from asyncsctp.tables import NOTHING

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)


@pytest.fixture(autouse=True, scope="session")
def nothing_was_put_where_nothing_is() -> Iterator[None]:
    yield
    assert not NOTHING, "an entry was put into the empty table that all share"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the seed of a random test that failed, and the command that runs it again."""
    report = yield
    seed = getattr(item, "callspec", None) and item.callspec.params.get("seed")  # type: ignore[attr-defined]
    seed = os.environ.get("ASYNCSCTP_SEED", "") if seed is None else seed
    if report.failed and seed != "":
        report.sections.append(("seed", f"{seed}; again by: ASYNCSCTP_SEED={seed} python -m pytest '{item.nodeid}'"))
    return report
