"""Each message comes whole and at most once, reliable ones exactly once, in order, under any policy.

Each seed is a run with random policies, resets under way, interleaving on or off, and messages in parts
(`support.random_runs.messages_and_resets`). ASYNCSCTP_SEED as in `test_association`.
"""

from __future__ import annotations

import pytest
from support.random_runs.messages_and_resets import MessagesAndResetsRun
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(600))
def test_what_was_said_holds(seed: int) -> None:
    life = MessagesAndResetsRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
