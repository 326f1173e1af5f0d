"""Every message arrives once, whole and in order, or its writer is told, behind NATs that forget and links that lose.

Each seed is a run of one association (`support.random_runs.nats`), checked after every event. ASYNCSCTP_SEED as in
`test_association`.
"""

from __future__ import annotations

import pytest
from support.random_runs.nats import NatRun
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(300))
def test_nothing_is_lost_behind_nats(seed: int) -> None:
    life = NatRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise
