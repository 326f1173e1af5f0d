"""The states that error counters and answers lead to, threshold by threshold (RFC 9260 section 8.2, RFC 7829)."""

from __future__ import annotations

import pytest

from asyncsctp.config import Config
from asyncsctp.path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from asyncsctp.paths.local_addresses import NOWHERE
from asyncsctp.paths.path import Path
from asyncsctp.paths.path_manager import PathManager
from asyncsctp.paths.potentially_failed import is_given_up, is_probed_at_once, judge, most_errors, recover


def path(
    state: PathState = ACTIVE,
    errors: int = 0,
    *,
    max_retrans: int = 5,
    pf: int | None = 0,
    interval: float | None = 30.0,
) -> Path:
    config = Config(path_max_retrans=max_retrans, pf_threshold=pf, heartbeat_interval=interval)
    made = PathManager(config, ["192.0.2.1"], ["198.51.100.1"], 9899, print).primary
    made.state, made.error_count = state, errors
    return made


@pytest.mark.parametrize(
    ("errors", "pf", "state"),
    [
        (0, 0, ACTIVE),
        (1, 0, POTENTIALLY_FAILED),
        (2, 2, ACTIVE),
        (3, 2, POTENTIALLY_FAILED),
        (5, 0, POTENTIALLY_FAILED),
        (6, 0, INACTIVE),
        (5, None, ACTIVE),
        (6, None, INACTIVE),
    ],
)
def test_the_counter_decides_by_both_thresholds(errors: int, pf: int | None, state: PathState) -> None:
    """RFC 7829 section 3.2 rules 2 and 8."""
    judged = path(ACTIVE, errors, pf=pf)
    assert judge(judged) == (state is not ACTIVE)
    assert judged.state is state


@pytest.mark.parametrize("state", [UNCONFIRMED, INACTIVE])
def test_a_counter_does_not_end_what_only_an_answer_ends(state: PathState) -> None:
    judged = path(state, 0)
    assert not judge(judged)
    assert judged.state is state


@pytest.mark.parametrize(
    ("state", "pf", "is_certain", "after", "errors"),
    [
        (ACTIVE, 3, True, ACTIVE, 0),
        (ACTIVE, 3, False, ACTIVE, 0),
        (POTENTIALLY_FAILED, 0, True, ACTIVE, 0),
        (POTENTIALLY_FAILED, 0, False, POTENTIALLY_FAILED, 2),  # section 3.2 rule 9
        (INACTIVE, 0, False, INACTIVE, 2),
        (INACTIVE, None, False, ACTIVE, 0),
        (UNCONFIRMED, 0, True, UNCONFIRMED, 0),
    ],
)
def test_an_answer_brings_a_path_back_if_it_is_certainly_its_own(
    state: PathState, pf: int | None, is_certain: bool, after: PathState, errors: int
) -> None:
    answered = path(state, 2, pf=pf)
    assert recover(answered, is_certain) == (state is not after)
    assert (answered.state, answered.error_count) == (after, errors)


def test_a_path_that_nothing_can_leave_for_does_not_come_back() -> None:
    answered = path(INACTIVE, 6)
    answered.route = answered.route._replace(local=NOWHERE)
    assert not recover(answered, True)
    assert answered.state is INACTIVE


@pytest.mark.parametrize(
    ("max_retrans", "pf", "switchover", "most"),
    [(5, None, None, 6), (5, None, 9, 10), (5, 0, None, 50), (0, 0, None, 10), (5, 0, 70, 71)],
)
def test_counters_stop(max_retrans: int, pf: int | None, switchover: int | None, most: int) -> None:
    """RFC 9260 section 8.3; RFC 7829 section 4.1 rule 3 and section 5 rule 2."""
    assert most_errors(path(max_retrans=max_retrans, pf=pf), switchover) == most


def test_a_primary_path_is_given_up_above_its_threshold() -> None:
    """Section 5 rule 2."""
    assert not is_given_up(path(errors=99), None)
    assert not is_given_up(path(errors=3), 3)
    assert is_given_up(path(errors=4), 3)


@pytest.mark.parametrize(
    ("state", "interval", "at_once"),
    [(POTENTIALLY_FAILED, 30.0, True), (POTENTIALLY_FAILED, None, False), (ACTIVE, 30.0, False)],
)
def test_heartbeats_follow_one_another_while_a_path_may_have_failed(
    state: PathState, interval: float | None, at_once: bool
) -> None:
    """Section 3.2 rules 5 and 6."""
    assert is_probed_at_once(path(state, interval=interval)) == at_once
