from __future__ import annotations

import pytest

from asyncsctp.inbound.data_tracker import BEYOND, DUPLICATE, MAX_DUPLICATES, MAX_GAP_RANGES, DataTracker


def tracker(initial_tsn: int = 10, window: int = 1 << 20) -> DataTracker:
    return DataTracker(initial_tsn, window)


def accept(to: DataTracker, *wire_tsns: int) -> None:
    for wire_tsn in wire_tsns:
        to.accept(wire_tsn)


def test_before_any_data_the_cumulative_tsn_is_the_one_before_the_initial() -> None:
    assert tracker(10).report(100) == (9, [], [])
    assert tracker(0).report(100) == (0xFFFFFFFF, [], [])


def test_the_example_of_section_3_3_4() -> None:
    t = tracker(10)
    accept(t, 10, 11, 12, 14, 15, 17)
    assert t.report(100) == (12, [(2, 3), (5, 5)], [])
    assert t.highest_tsn == 17
    assert t.gaps is not None


def test_tsns_are_unwrapped_across_the_end_of_the_wire() -> None:
    t = tracker(0xFFFFFFFE)
    assert [t.accept(wire) for wire in (0xFFFFFFFE, 1, 0xFFFFFFFF, 0)] == [
        0xFFFFFFFE,
        0x100000001,
        0xFFFFFFFF,
        0x100000000,
    ]
    assert t.cumulative_tsn == 0x100000001
    assert t.gaps is None
    assert t.accept(0xFFFFFFFF) == DUPLICATE
    assert t.report(100) == (1, [], [0xFFFFFFFF])


def test_gap_blocks_across_the_end_of_the_wire() -> None:
    t = tracker(0xFFFFFFFE)
    accept(t, 0xFFFFFFFE, 0, 1, 3)
    assert t.report(100) == (0xFFFFFFFE, [(2, 3), (5, 5)], [])


def test_gaps_close_in_any_order() -> None:
    t = tracker(1)
    for wire in (5, 3, 2, 4):
        t.accept(wire)
    assert t.gap_ranges() == [(2, 5)]
    assert t.accept(1) == 1
    assert t.cumulative_tsn == 5
    assert t.gap_ranges() == []


# Duplicates and room in a SACK


def test_each_repetition_is_listed_and_only_in_one_sack() -> None:
    t = tracker(20)
    for _ in range(2):
        t.accept(19)
    assert t.report(100)[2] == [19, 19]
    t.accept(19)
    assert t.report(100)[2] == [19]
    assert t.report(100)[2] == []


def test_duplicates_above_the_cumulative_tsn_are_recognised() -> None:
    t = tracker(10)
    assert t.accept(12) == 12
    assert t.accept(12) == DUPLICATE
    assert t.report(100) == (9, [(3, 3)], [12])


def test_a_flood_of_duplicates_is_cut() -> None:
    t = tracker(10)
    for _ in range(10 * MAX_DUPLICATES):
        assert t.accept(9) == DUPLICATE
    assert len(t.report(10_000)[2]) == MAX_DUPLICATES


def test_the_lowest_blocks_go_first_and_duplicates_take_the_rest() -> None:
    t = tracker(10)
    for wire in (11, 13, 15, 9, 9):
        t.accept(wire)
    assert t.report(2) == (9, [(2, 2), (4, 4)], [])
    t.accept(9)
    t.accept(9)
    assert t.report(4) == (9, [(2, 2), (4, 4), (6, 6)], [9])


def test_offsets_fit_their_sixteen_bits() -> None:
    t = DataTracker(1, 1 << 24)
    for tsn in range(65530, 65540):
        assert t.accept(tsn) == tsn
    t.accept(70000)
    assert t.report(100) == (0, [(65530, 65535)], [])


# How far ahead, how many holes


def test_a_tsn_far_beyond_the_window_is_not_recorded() -> None:
    t = DataTracker(10, 65536)
    assert t.accept(10 + 100_000) == BEYOND
    assert t.highest_tsn == 9
    assert t.accept(10 + 4000) == 4010
    t.resize(1 << 24)
    assert t.accept(10 + 100_000) == 100_010


def test_the_next_of_what_has_come_is_bounded_too() -> None:
    t = DataTracker(0, 0)
    answers = [t.accept(wire) for wire in range(1, 3000)]
    assert answers[:1000] == list(range(1, 1001))
    assert answers[-1000:] == [BEYOND] * 1000


def test_half_the_number_space_behind_is_old() -> None:
    t = tracker(10)
    assert t.classify((9 - 0x7FFFFFFF) & 0xFFFFFFFF) == DUPLICATE
    assert t.classify(10 + 0x7FFFFFFF) == BEYOND


def test_every_other_tsn_stops_at_a_bound_but_holes_can_be_filled() -> None:
    t = DataTracker(0, 1 << 24)
    for wire in range(2, 4 * MAX_GAP_RANGES, 2):
        t.accept(wire)
    assert len(t.gap_ranges()) == MAX_GAP_RANGES
    assert t.accept(4 * MAX_GAP_RANGES) == BEYOND
    assert t.accept(0) == 0
    assert t.accept(3) == 3
    assert t.accept(2 * MAX_GAP_RANGES + 2) == 2 * MAX_GAP_RANGES + 2


# No room: classify, refuse, forget


def test_classifying_records_nothing() -> None:
    t = tracker(10)
    assert [t.classify(wire) for wire in (10, 12, 9)] == [10, 12, DUPLICATE]
    assert t.report(100) == (9, [], [])


def test_what_is_forgotten_is_new_again() -> None:
    t = tracker(10)
    t.accept(12)
    t.report(100)
    t.forget(12)
    assert t.report(100) == (9, [], [])
    assert t.highest_tsn == 9
    assert t.accept(12) == 12


@pytest.mark.parametrize("initial_tsn", [5, 0xFFFFFFFE])
def test_skipping_moves_on_over_what_was_received(initial_tsn: int) -> None:
    tracker = DataTracker(initial_tsn, 1 << 20)
    base = initial_tsn - 1

    def wire(tsn: int) -> int:
        return base + tsn & 0xFFFFFFFF

    for tsn in (3, 4, 7, 9):
        tracker.accept(wire(tsn))
    assert tracker.skip_to(wire(2), 100) == base + 2
    assert tracker.cumulative_tsn == base + 4
    assert tracker.gap_ranges() == [(base + 7, base + 7), (base + 9, base + 9)]
    assert tracker.skip_to(wire(8), 100) == base + 8
    assert tracker.cumulative_tsn == base + 9
    assert tracker.gaps is None
    assert tracker.expected == wire(10)
    assert tracker.accept(wire(8)) == DUPLICATE
    assert tracker.skip_to(wire(109), 100) == base + 109


def test_a_skip_out_of_date_or_too_far_changes_nothing() -> None:
    tracker = DataTracker(1, 1 << 20)
    tracker.accept(1)
    for tsn in (1, 0, 0x80000001 + 1):
        assert tracker.skip_to(tsn & 0xFFFFFFFF, 1 << 30) == DUPLICATE
    assert tracker.skip_to(102, 100) == BEYOND
    assert tracker.cumulative_tsn == 1
    assert tracker.skip_to(101, 100) == 101


def test_tsns_that_begin_anew_go_on_upwards() -> None:
    tracker = DataTracker(0xFFFFFFF0, 1 << 20)
    for tsn in (0xFFFFFFF0, 0xFFFFFFF0, 0xFFFFFFF5):
        tracker.accept(tsn)
    before = tracker.cumulative_tsn
    tracker.restart(7)
    assert tracker.cumulative_tsn > before
    assert tracker.report(10) == (6, [], [])
    assert tracker.accept(7) == tracker.cumulative_tsn
