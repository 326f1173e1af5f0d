"""Whatever NATs forget, links lose and addresses do, every message arrives once, whole and in its turn, or its writer
hears of it.

Each seed is a life of an association of its own, checked after every event; see `support.natted`. ASYNCSCTP_SEED as in
`test_association`.
"""

from __future__ import annotations

import pytest
from support.natted import NattedLife
from support.seeds import replayable, seeds


@pytest.mark.parametrize("seed", seeds(300))
def test_nothing_is_lost_behind_nats(seed: int) -> None:
    life = NattedLife(seed)
    with replayable(seed, "tests/properties/test_natted.py"):
        try:
            life.run()
        except BaseException as error:
            error.add_note(life.describe())
            raise
