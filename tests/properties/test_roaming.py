"""Whatever addresses come and go, every message arrives once, whole and in its turn, or its writer hears of it.

Each seed is a life of an association of its own, checked after every event; see `support.roaming`. ASYNCSCTP_SEED as in
`test_association`.
"""

from __future__ import annotations

import pytest
from support.roaming import RoamingLife
from support.seeds import replayable, seeds


@pytest.mark.parametrize("seed", seeds(400))
def test_nothing_is_lost_on_the_way(seed: int) -> None:
    life = RoamingLife(seed)
    with replayable(seed, "tests/properties/test_roaming.py"):
        try:
            life.run()
        except BaseException as error:
            error.add_note(life.describe())
            raise
