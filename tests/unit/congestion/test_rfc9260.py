"""RFC 9260 section 7.2, clause by clause."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.config import Config
from asyncsctp.congestion import INITIAL_SSTHRESH, RFC9260

PMDCS = 1000


def controller(cwnd: int = 10_000, ssthresh: int = INITIAL_SSTHRESH, limit: int = 1) -> RFC9260:
    made = RFC9260(PMDCS, True, limit)
    made.cwnd = cwnd
    made.ssthresh = ssthresh
    return made


def ack(made: RFC9260, acked: int, *, full: bool = True, in_recovery: bool = False, cum: bool = True) -> int:
    made.on_ack(acked, made.cwnd if full else made.cwnd - 1, cum, in_recovery, 0.0)
    return made.cwnd


def test_slow_start_grows_by_what_was_acknowledged_but_at_most_one_packet_for_each_sack() -> None:
    made = controller()
    assert ack(made, 300) == 10_300
    assert ack(made, 2000) == 11_300


def test_slow_start_grows_by_two_packets_where_the_limit_says_so() -> None:
    made = controller(limit=2)
    assert ack(made, 1500) == 11_500
    assert ack(made, 9000) == 13_500


def test_slow_start_after_a_timeout_grows_by_one_packet_whatever_the_limit() -> None:
    made = controller(cwnd=20_000, limit=2)
    made.on_timeout(0.0)
    assert ack(made, 2000) == 2000
    while made.cwnd <= made.ssthresh:
        ack(made, 1000)
    ack(made, 1000)  # congestion avoidance
    made.cwnd = made.ssthresh
    before = made.cwnd
    assert ack(made, 2000) == before + 2000


@pytest.mark.parametrize("limit", [0, 3, -1])
def test_other_limits_are_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be 1 or 2"):
        RFC9260(PMDCS, True, limit)


def test_slow_start_does_not_grow_while_the_window_is_not_fully_utilized_or_in_fast_recovery() -> None:
    made = controller()
    assert ack(made, 1000, full=False) == 10_000
    assert ack(made, 1000, in_recovery=True) == 10_000


def test_slow_start_holds_while_cwnd_equals_ssthresh() -> None:
    assert ack(controller(ssthresh=10_000), 500) == 10_500


def test_congestion_avoidance_grows_by_one_packet_for_each_window_acknowledged() -> None:
    made = controller(ssthresh=4000)
    for _ in range(9):
        assert ack(made, 1000) == 10_000
    assert ack(made, 1500) == 11_000
    assert made.partial_bytes_acked == 500


def test_congestion_avoidance_counts_sacks_that_do_not_move_the_cumulative_tsn() -> None:
    made = controller(ssthresh=4000)
    assert ack(made, 10_000, cum=False) == 11_000


def test_congestion_avoidance_saves_no_credit_while_the_window_is_not_filled() -> None:
    made = controller(ssthresh=4000)
    for _ in range(50):
        assert ack(made, 1000, full=False) == 10_000
    assert made.partial_bytes_acked == 10_000
    assert ack(made, 1000) == 11_000
    assert ack(made, 1000) == 11_000


def test_the_count_starts_again_when_all_was_acknowledged() -> None:
    made = controller(ssthresh=4000)
    ack(made, 9999)
    made.on_all_acked()
    assert ack(made, 9999) == 10_000


def test_a_loss_halves_the_window_down_to_four_packets() -> None:
    made = controller(cwnd=20_000)
    ack(made, 1)
    made.on_fast_retransmit(0.0)
    assert (made.cwnd, made.ssthresh, made.partial_bytes_acked) == (10_000, 10_000, 0)
    made.on_fast_retransmit(0.0)
    made.on_fast_retransmit(0.0)
    assert (made.cwnd, made.ssthresh) == (4000, 4000)


def test_an_ecn_echo_is_answered_as_a_loss() -> None:
    made = controller(cwnd=20_000)
    made.on_congestion_experienced(0.0)
    assert made.cwnd == 10_000


def test_a_timeout_leaves_one_packet_and_slow_start_up_to_half_the_window() -> None:
    made = controller(cwnd=20_000)
    made.on_timeout(0.0)
    assert (made.cwnd, made.ssthresh, made.partial_bytes_acked) == (1000, 10_000, 0)
    made.on_timeout(1.0)
    assert (made.cwnd, made.ssthresh) == (1000, 4000)


def test_an_idle_window_is_halved_for_each_rto_and_slow_start_remembers_it() -> None:
    made = controller(cwnd=64_000)
    made.on_idle(2.5, 1.0)
    assert (made.cwnd, made.ssthresh) == (16_000, 64_000)
    made.on_idle(1.0, 1.0)
    assert (made.cwnd, made.ssthresh) == (8000, 64_000)
    made.on_idle(1e9, 0.01)
    assert (made.cwnd, made.ssthresh) == (4000, 64_000)
    made.cwnd = 9000
    made.on_all_acked()
    made.on_idle(1.0, 1.0)
    assert (made.cwnd, made.ssthresh) == (4500, 9000)


def test_idleness_does_not_widen_a_small_window() -> None:
    made = controller(cwnd=20_000)
    made.on_timeout(0.0)
    made.on_idle(100.0, 1.0)
    assert (made.cwnd, made.ssthresh) == (1000, 10_000)


def test_reinitialization_forgets_everything_but_the_packet_size() -> None:
    made = controller(cwnd=20_000, limit=2)
    made.on_pmdcs(500)
    made.on_timeout(0.0)
    made.reinitialize()
    assert (made.cwnd, made.ssthresh) == (2000, INITIAL_SSTHRESH)
    assert ack(made, 1000) == 3000


def test_it_can_be_configured_with_another_limit() -> None:
    factory = Config(congestion=partial(RFC9260, limit=2)).congestion
    assert factory is not None
    assert isinstance(factory(PMDCS, True), RFC9260)


@given(st.lists(st.tuples(st.sampled_from("aaaaaaltei"), st.integers(1, 50_000), st.booleans(), st.booleans())))
def test_the_window_never_grows_faster_than_allowed_nor_below_a_packet(
    steps: list[tuple[str, int, bool, bool]],
) -> None:
    made = controller(cwnd=4000, limit=2)
    for what, size, full, in_recovery in steps:
        before, ssthresh, partial_before = made.cwnd, made.ssthresh, made.partial_bytes_acked
        if what == "a":
            after = ack(made, size, full=full, in_recovery=in_recovery)
            if before > ssthresh:
                assert after == before + (PMDCS if full and partial_before + size >= before else 0)
            elif full and not in_recovery:
                assert before < after <= before + min(size, 2 * PMDCS)
            else:
                assert after == before
        elif what == "l":
            made.on_fast_retransmit(0.0)
            assert made.cwnd == made.ssthresh == max(before // 2, 4 * PMDCS)
        elif what == "t":
            made.on_timeout(0.0)
        elif what == "e":
            made.on_all_acked()
        else:
            made.on_idle(size / 1000 + 1.0, 1.0)
            assert made.cwnd <= before
        assert made.cwnd >= PMDCS
