"""However an association ends, and in the middle of what: both sides come to it, and to the same.

Each seed is a run of its own (`support.random_runs.endings`), checked after every event. ASYNCSCTP_SEED as in
`test_association`.
"""

from __future__ import annotations

import os

import pytest
from support.random_runs.endings import EndingRun, SurvivorRun
from support.seeds import seeds

#: Seeds that failed once.
FOUND = {
    74: "the peer shut down, and a message in parts that it had in part was given up after the SHUTDOWN ACK",
    261: "the same after our SHUTDOWN",
    359: "the same with messages that interleave",
    1001248: "a line that loses every fourth of the smallest packets was given too little time",
}


@pytest.mark.parametrize("seed", sorted({*seeds(300), *([] if os.environ.get("ASYNCSCTP_SEED") else FOUND)}))
def test_both_sides_end_gracefully_and_soon(seed: int) -> None:
    life = EndingRun(seed)
    try:
        life.run()
    except BaseException as error:
        error.add_note(life.describe())
        raise


@pytest.mark.parametrize("seed", seeds(200))
def test_who_is_forgotten_in_a_shutdown_is_told(seed: int) -> None:
    life = SurvivorRun(seed)
    life.run()
