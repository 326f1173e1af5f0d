from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.paths.rto import RtoEstimator


def test_it_starts_with_rto_initial_even_below_the_minimum() -> None:
    assert RtoEstimator(0.2, 1.0, 60.0).rto == 0.2


def test_the_first_measurement() -> None:
    estimator = RtoEstimator(3.0, 0.1, 60.0)
    estimator.observe(0.2)
    assert (estimator.srtt, estimator.rttvar) == (0.2, 0.1)
    assert estimator.rto == pytest.approx(0.6)


def test_the_next_measurement_uses_the_old_srtt_for_the_variation() -> None:
    estimator = RtoEstimator(3.0, 0.1, 60.0)
    estimator.observe(0.2)
    estimator.observe(0.4)
    assert estimator.rttvar == pytest.approx(0.75 * 0.1 + 0.25 * 0.2)
    assert estimator.srtt == pytest.approx(0.875 * 0.2 + 0.125 * 0.4)
    assert estimator.rto == pytest.approx(0.225 + 4 * 0.125)


def test_bounds() -> None:
    estimator = RtoEstimator(1.0, 1.0, 60.0)
    estimator.observe(0.001)
    assert estimator.rto == 1.0
    estimator = RtoEstimator(1.0, 1.0, 60.0)
    estimator.observe(50.0)
    assert estimator.rto == 60.0


def test_a_variation_of_nothing_becomes_the_granularity() -> None:
    estimator = RtoEstimator(1.0, 0.01, 60.0)
    estimator.observe(0.0)
    assert estimator.rttvar > 0.0


def test_backing_off_doubles_up_to_the_maximum_and_a_measurement_ends_it() -> None:
    estimator = RtoEstimator(1.0, 1.0, 5.0)
    seen = []
    for _ in range(4):
        estimator.back_off()
        seen.append(estimator.rto)
    assert seen == [2.0, 4.0, 5.0, 5.0]
    estimator.observe(0.1)
    assert estimator.rto == 1.0


def test_backing_off_never_shortens_an_initial_value_above_the_maximum() -> None:
    estimator = RtoEstimator(10.0, 1.0, 5.0)
    estimator.back_off()
    assert estimator.rto == 10.0


def test_a_back_off_outlasts_a_measurement_where_that_is_wanted() -> None:
    estimator = RtoEstimator(1.0, 0.1, 60.0)
    estimator.observe(0.1)
    estimator.back_off(lasting=True)
    estimator.back_off(lasting=True)
    estimator.observe(0.2, keep=True)
    assert estimator.rto == pytest.approx(4 * 0.3)
    assert estimator.base == pytest.approx(0.1125 + 4 * 0.0625)
    estimator.back_off(lasting=True)
    assert estimator.rto == pytest.approx(8 * 0.3)
    estimator.release()
    assert estimator.rto == estimator.base


def test_a_back_off_that_outlasted_nothing_ends_with_the_next_measurement() -> None:
    """Karn's algorithm: that what was sent twice has been acknowledged measures nothing."""
    estimator = RtoEstimator(1.0, 0.1, 60.0)
    estimator.observe(0.1)
    estimator.back_off(lasting=True)
    estimator.release()
    assert estimator.rto == 2 * estimator.base
    estimator.observe(0.1, keep=True)
    assert estimator.rto == estimator.base


def test_a_back_off_that_is_kept_is_no_shorter_than_what_was_measured() -> None:
    estimator = RtoEstimator(0.1, 0.1, 60.0)
    estimator.back_off(lasting=True)
    estimator.observe(1.0, keep=True)
    assert estimator.rto == 3.0


def test_without_a_back_off_there_is_nothing_to_keep() -> None:
    estimator = RtoEstimator(3.0, 0.1, 60.0)
    estimator.observe(0.1, keep=True)
    assert estimator.rto == pytest.approx(0.3)
    estimator = RtoEstimator(3.0, 0.1, 60.0)
    estimator.back_off()
    estimator.observe(0.1, keep=True)
    assert estimator.rto == pytest.approx(0.3)


def test_other_bounds_hold_at_once() -> None:
    estimator = RtoEstimator(1.0, 1.0, 60.0)
    estimator.configure(0.5, 0.1, 60.0)
    assert estimator.rto == 0.5
    estimator.observe(0.1)
    estimator.configure(0.5, 0.01, 60.0)
    assert estimator.rto == pytest.approx(0.3)


@given(st.lists(st.floats(-1.0, 1e6), min_size=1))
def test_it_stays_within_bounds_whatever_is_measured(rtts: list[float]) -> None:
    estimator = RtoEstimator(1.0, 0.5, 30.0)
    for rtt in rtts:
        estimator.observe(rtt)
        assert 0.5 <= estimator.rto <= 30.0
        assert estimator.srtt >= 0.0
        assert estimator.rttvar > 0.0
