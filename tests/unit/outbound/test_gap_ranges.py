"""Ranges of TSNs that were reported, against sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.outbound.outstanding import join, subtract


def ranges_of(tsns: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for tsn in sorted(tsns):
        if ranges and ranges[-1][1] == tsn - 1:
            ranges[-1] = (ranges[-1][0], tsn)
        else:
            ranges.append((tsn, tsn))
    return ranges


def tsns_of(ranges: list[tuple[int, int]]) -> set[int]:
    assert ranges == sorted(ranges)
    assert all(first <= last for first, last in ranges)
    tsns = [tsn for first, last in ranges for tsn in range(first, last + 1)]
    assert len(tsns) == len(set(tsns))
    return set(tsns)


tsns = st.sets(st.integers(1, 40))
pairs = st.tuples(st.integers(1, 40), st.integers(0, 8))


@given(tsns, tsns)
def test_what_one_covers_and_the_other_does_not(ours: set[int], others: set[int]) -> None:
    assert tsns_of(subtract(ranges_of(ours), ranges_of(others))) == ours - others


@given(st.lists(pairs, max_size=12))
def test_ranges_that_touch_are_joined(steps: list[tuple[int, int]]) -> None:
    ranges: list[tuple[int, int]] = []
    for first, length in steps:
        before = tsns_of(ranges)
        ranges = join(ranges, first, first + length)
        assert tsns_of(ranges) == before | set(range(first, first + length + 1))
        assert ranges == ranges_of(tsns_of(ranges))


def test_many_ranges_are_taken_for_one() -> None:
    ranges: list[tuple[int, int]] = []
    for tsn in range(2, 2000, 2):
        ranges = join(ranges, tsn, tsn)
    assert len(subtract([(1, 3000)], ranges)) <= 17
    assert subtract([(1, 1), (2500, 2600)], ranges) == [(1, 1), (2500, 2600)]
    assert subtract([(2, 2), (1998, 1998)], ranges) == []
