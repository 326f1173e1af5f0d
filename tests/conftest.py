"""What tests share lies in `tests/support`, and is imported from there: `from support.pair import Pair`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
