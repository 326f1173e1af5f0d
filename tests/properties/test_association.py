"""Whatever the network does, every message arrives once, whole and in its turn, or its writer hears of it.

Each seed is a run of one association (`support.random_runs.base`), checked after every event. ASYNCSCTP_SEED=17 runs
that seed alone, ASYNCSCTP_SEED=1000-9999 a range.
"""

from __future__ import annotations

import pytest
from support.random_runs.base import RandomRun
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(1200))
def test_nothing_is_lost_in_silence(seed: int) -> None:
    scenario = RandomRun(seed)
    try:
        scenario.run()
    except BaseException as error:
        error.add_note(scenario.describe())
        raise
