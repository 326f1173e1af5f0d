"""Whatever addresses come and go, every message arrives once, whole and in its turn, or its writer hears of it.

Each seed is a run of one association (`support.random_runs.address_changes`), checked after every event.
ASYNCSCTP_SEED as in `test_association`.
"""

from __future__ import annotations

import pytest
from support.random_runs.address_changes import AddressChangeRun
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(400))
def test_nothing_is_lost_on_the_way(seed: int) -> None:
    life = AddressChangeRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
