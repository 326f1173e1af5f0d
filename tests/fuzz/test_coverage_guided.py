"""The harnesses of `coverage_guided`, each on its corpus and on what chance makes of it; coverage goes further.

ASYNCSCTP_SEED=0-9999 tries more of it.
"""

from __future__ import annotations

import pytest
from coverage_guided.blind import attempt, run
from coverage_guided.targets import TARGETS
from support.seeds import seeds


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    run(name, 0)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", seeds(25))
def test_what_chance_makes_of_it(seed: int, name: str) -> None:
    attempt(seed, name)
