"""RFC 6525 in bad weather: whatever is reset when, each message comes whole, once and in order, and nobody is cut off.

Each seed is a run with resets of every kind from both sides at random instants, with loss, reordering, late answers,
partial reliability and slow readers (`support.random_runs.resets`). ASYNCSCTP_SEED as in `test_association`.
"""

from __future__ import annotations

import pytest
from support.random_runs.resets import ResetRun
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(300))
def test_resets_lose_nothing_and_end_nothing(seed: int) -> None:
    life = ResetRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
