"""Which address takes over (RFC 9260 section 6.4.1, RFC 7829 section 3.2): the choice alone."""

from __future__ import annotations

from itertools import permutations

import pytest

from asyncsctp.path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from asyncsctp.paths.failover import best
from asyncsctp.paths.path import Path

from .test_path_manager import manager


def paths_of(*states: tuple[PathState, int]) -> list[Path]:
    """Paths in these states, with so many errors, each from another of our addresses."""
    paths = manager(*[f"10.{number}.0.2" for number in range(len(states))]).paths
    for number, (path, (state, errors)) in enumerate(zip(paths, states, strict=True)):
        path.state, path.error_count = state, errors
        path.route = path.route._replace(local=f"10.{number}.0.1")
    return list(paths)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([(ACTIVE, 1), (ACTIVE, 0), (ACTIVE, 2)], 1),  # the fewest errors
        ([(ACTIVE, 0), (ACTIVE, 3)], 1),  # another one if there is any
        ([(ACTIVE, 0), (POTENTIALLY_FAILED, 3), (INACTIVE, 9)], 0),  # the only one that is active, though the same
        ([(INACTIVE, 9), (POTENTIALLY_FAILED, 4), (POTENTIALLY_FAILED, 3)], 2),  # RFC 7829 section 3.2 rule 4
        ([(POTENTIALLY_FAILED, 3), (INACTIVE, 9)], 0),
        ([(INACTIVE, 6), (INACTIVE, 9), (INACTIVE, 7)], 0),  # section 4.1 rule 3
        ([(INACTIVE, 8), (INACTIVE, 8)], 1),  # they take turns
        ([(ACTIVE, 0), (UNCONFIRMED, 0)], 0),  # section 5.4: nothing is sent to what is not verified
    ],
)
def test_the_best_after_the_first(states: list[tuple[PathState, int]], expected: int) -> None:
    paths = paths_of(*states)
    for order in permutations(paths):
        assert best(order, paths[0]) is paths[expected]


def test_of_equals_another_local_address_is_taken() -> None:
    """Section 6.4.1: the pair that is most divergent from the one that failed."""
    paths = paths_of((ACTIVE, 1), (ACTIVE, 0), (ACTIVE, 0))
    paths[1].route = paths[1].route._replace(local=paths[0].route.local)
    assert best(paths, paths[0]) is paths[2]


def test_a_path_that_nothing_can_leave_for_is_none() -> None:
    paths = paths_of((ACTIVE, 3), (ACTIVE, 0))
    paths[1].route = paths[1].route._replace(local="")
    assert best(paths, paths[0]) is paths[0]
