"""The memory that the associations of an endpoint share."""

from __future__ import annotations

from asyncsctp.inbound.receive_window import Budget

MIB = 1 << 20
SMALLEST = 4096  # what each may hold in any case


def test_one_alone_gets_half_of_it() -> None:
    assert Budget(2 * MIB).most(0) == SMALLEST + MIB


def test_what_an_association_holds_itself_does_not_count_against_it() -> None:
    budget = Budget(2 * MIB)
    budget.taken = MIB
    assert budget.most(MIB) == SMALLEST + MIB
    assert budget.most(0) == SMALLEST + MIB // 2


def test_equals_that_want_all_get_equal_shares() -> None:
    budget = Budget(2 * MIB)
    held = [0] * 10
    for _ in range(200):
        for index, own in enumerate(held):
            held[index] = budget.most(own) - SMALLEST
            budget.taken += held[index] - own
    assert budget.taken <= budget.limit
    share = 2 * MIB / 11
    assert 0.99 * share < min(held) <= max(held) < 1.01 * share


def test_nothing_is_left_where_others_took_more_than_there_is() -> None:
    budget = Budget(MIB)
    budget.taken = 2 * MIB
    assert budget.most(0) == SMALLEST
    assert budget.slack() == 512


def test_all_together_may_change_by_a_sixteenth_of_what_is_left() -> None:
    budget = Budget(16 * MIB)
    budget.members = 4
    assert 4 * budget.slack() <= MIB < 4 * (budget.slack() + 64 * budget.members * 16)
    budget.members = 100_000
    assert budget.slack() == 512
