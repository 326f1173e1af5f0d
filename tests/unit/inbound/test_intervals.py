from __future__ import annotations

import pytest

from asyncsctp.inbound.data_tracker import Intervals


def intervals(*numbers: int) -> Intervals:
    made = Intervals()
    for number in numbers:
        made.add(number)
    return made


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [
        ((), []),
        ((5,), [(5, 5)]),
        ((5, 6, 7), [(5, 7)]),
        ((7, 6, 5), [(5, 7)]),
        ((5, 7), [(5, 5), (7, 7)]),
        ((5, 7, 6), [(5, 7)]),
        ((5, 9, 7), [(5, 5), (7, 7), (9, 9)]),
        ((5, 9, 6), [(5, 6), (9, 9)]),
        ((5, 9, 8), [(5, 5), (8, 9)]),
    ],
)
def test_neighbours_are_one_range(numbers: tuple[int, ...], ranges: list[tuple[int, int]]) -> None:
    assert list(intervals(*numbers)) == ranges
    assert len(intervals(*numbers)) == len(ranges)


def test_a_number_is_new_only_once() -> None:
    held = intervals(1, 2, 3, 7)
    assert not any(held.add(number) for number in (1, 2, 3, 7))
    assert held.add(5)


def test_taking_the_middle_out_makes_two_ranges() -> None:
    held = intervals(1, 2, 3)
    assert held.remove(2)
    assert not held.remove(2)
    assert list(held) == [(1, 1), (3, 3)]


def test_dropping_below_cuts_a_range() -> None:
    held = intervals(1, 2, 3, 4, 8)
    held.drop_below(3)
    assert list(held) == [(3, 4), (8, 8)]
    held.drop_below(9)
    assert not held


def test_extending_adds_after_the_last() -> None:
    held = intervals(1, 4)
    held.extend()
    assert list(held) == [(1, 1), (4, 5)]
    assert held.last == 5


@pytest.mark.parametrize(("number", "isolated"), [(2, False), (3, True), (4, False), (6, False), (7, True)])
def test_isolated_numbers_touch_no_range(number: int, isolated: bool) -> None:
    assert intervals(1, 5).is_isolated(number) is isolated
