"""Whatever is said about messages and streams: each comes whole and at most once, reliable ones exactly once, in order.

Each seed is a life with random policies, resets in flight, interleaving on or off, and parts; see `support.mix`. A
single one is had again by ASYNCSCTP_SEED, which takes a range as well.
"""

from __future__ import annotations

import pytest
from support.mix import MixedLife
from support.seeds import replayable, seeds


@pytest.mark.parametrize("seed", seeds(600))
def test_what_was_said_holds(seed: int) -> None:
    life = MixedLife(seed)
    with replayable(seed, "tests/properties/test_messages_and_streams.py"):
        try:
            life.run()
        except BaseException as error:
            error.add_note(life.describe())
            raise
