"""Whatever the network does, every message arrives once, whole and in its turn, or its writer hears of it.

Each seed is a life of an association of its own, checked after every event; see `support.scenario`. A single one is
had again by ASYNCSCTP_SEED, which takes a range as well: ASYNCSCTP_SEED=1000-9999.
"""

from __future__ import annotations

import pytest
from support.scenario import Scenario
from support.seeds import replayable, seeds


@pytest.mark.parametrize("seed", seeds(1200))
def test_nothing_is_lost_in_silence(seed: int) -> None:
    scenario = Scenario(seed)
    with replayable(seed, "tests/properties/test_association.py"):
        try:
            scenario.run()
        except BaseException as error:
            error.add_note(scenario.describe())
            raise
