"""Ranges of TSNs that were reported, against sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.outbound.gap_ranges import Withdrawn, subtract


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


@given(st.lists(st.one_of(pairs, st.integers(0, 5)), max_size=12), tsns)
def test_what_was_withdrawn_is_not_believed_any_more(steps: list[tuple[int, int] | int], gaps: set[int]) -> None:
    withdrawn = Withdrawn()
    expected: set[int] = set()
    cumulative_tsn = 0
    for step in steps:
        if isinstance(step, int):
            cumulative_tsn += step
            expected = {tsn for tsn in expected if tsn > cumulative_tsn}
            assert withdrawn.advance(cumulative_tsn) is bool(expected)
        else:
            first, length = step
            first += cumulative_tsn
            withdrawn.add(first, first + length)
            expected |= set(range(first, first + length + 1))
        found = {cumulative_tsn + tsn for tsn in gaps}
        assert tsns_of(subtract(ranges_of(found), withdrawn.ranges)) == found - expected


def test_many_ranges_are_taken_for_one() -> None:
    withdrawn = Withdrawn()
    for tsn in range(2, 2000, 2):
        withdrawn.add(tsn, tsn)
    assert len(subtract([(1, 3000)], withdrawn.ranges)) <= 17
    assert subtract([(1, 1), (2500, 2600)], withdrawn.ranges) == [(1, 1), (2500, 2600)]
    assert subtract([(2, 2), (1998, 1998)], withdrawn.ranges) == []
