from __future__ import annotations

import pytest

from asyncsctp.inbound.data_tracker import (
    ACK_DELAYED,
    ACK_NOW,
    ACK_REPORT,
    BEYOND,
    DUPLICATE,
    MAX_DUPLICATES,
    MAX_GAP_RANGES,
    NO_ACK,
    DataTracker,
)


def tracker(initial_tsn: int = 10, sack_frequency: int = 2, window: int = 1 << 20) -> DataTracker:
    return DataTracker(initial_tsn, sack_frequency, window)


def established(initial_tsn: int = 10, sack_frequency: int = 2) -> DataTracker:
    """A tracker that has seen its first packet, and has acknowledged it."""
    made = tracker(initial_tsn - 1, sack_frequency)
    packet(made, initial_tsn - 1)
    made.sack(100)
    return made


def packet(to: DataTracker, *wire_tsns: int, immediate: bool = False) -> int:
    for wire_tsn in wire_tsns:
        to.accept(wire_tsn)
    return to.packet_done(immediate)


def test_before_any_data_the_cumulative_tsn_is_the_one_before_the_initial() -> None:
    assert tracker(10).sack(100) == (9, [], [])
    assert tracker(0).sack(100) == (0xFFFFFFFF, [], [])
    assert tracker(0).ack_state == NO_ACK


def test_the_example_of_section_3_3_4() -> None:
    t = tracker(10)
    packet(t, 10, 11, 12, 14, 15, 17)
    assert t.sack(100) == (12, [(2, 3), (5, 5)], [])
    assert t.highest_tsn == 17
    assert t.has_gaps


def test_tsns_are_unwrapped_across_the_end_of_the_wire() -> None:
    t = tracker(0xFFFFFFFE)
    assert [t.accept(wire) for wire in (0xFFFFFFFE, 1, 0xFFFFFFFF, 0)] == [
        0xFFFFFFFE,
        0x100000001,
        0xFFFFFFFF,
        0x100000000,
    ]
    assert t.cumulative_tsn == 0x100000001
    assert not t.has_gaps
    assert t.accept(0xFFFFFFFF) == DUPLICATE
    assert t.sack(100) == (1, [], [0xFFFFFFFF])


def test_gap_blocks_across_the_end_of_the_wire() -> None:
    t = tracker(0xFFFFFFFE)
    packet(t, 0xFFFFFFFE, 0, 1, 3)
    assert t.sack(100) == (0xFFFFFFFE, [(2, 3), (5, 5)], [])


def test_gaps_close_in_any_order() -> None:
    t = tracker(1)
    for wire in (5, 3, 2, 4):
        t.accept(wire)
    assert t.gap_ranges() == [(2, 5)]
    assert t.accept(1) == 1
    assert t.cumulative_tsn == 5
    assert t.gap_ranges() == []


# Section 6.2: when to acknowledge


def test_the_first_data_is_acknowledged_at_once() -> None:
    t = tracker(10)
    assert packet(t, 10) == ACK_NOW
    t.sack(100)
    assert packet(t, 11) == ACK_DELAYED


def test_every_second_packet_not_every_second_chunk() -> None:
    t = established(10)
    assert packet(t, 10, 11, 12) == ACK_DELAYED
    assert packet(t, 13) == ACK_NOW
    t.sack(100)
    assert t.ack_state == NO_ACK
    assert packet(t, 14) == ACK_DELAYED


@pytest.mark.parametrize("frequency", [1, 3, 4])
def test_every_so_many_packets(frequency: int) -> None:
    t = established(10, sack_frequency=frequency)
    states = [packet(t, 10 + n) for n in range(frequency)]
    assert states == [ACK_DELAYED] * (frequency - 1) + [ACK_NOW]


def test_a_sack_that_went_with_data_starts_the_count_again() -> None:
    t = established(10)
    packet(t, 10)
    t.sack(100)
    assert packet(t, 11) == ACK_DELAYED


def test_the_i_bit_asks_for_an_acknowledgement_at_once() -> None:
    assert packet(established(10), 10, immediate=True) == ACK_NOW


def test_a_gap_is_reported_with_each_packet_until_it_is_closed() -> None:
    t = established(10)
    states = []
    for wire in (11, 13, 10, 12, 14, 15):
        states.append(packet(t, wire))
        t.sack(100)
    # opens, stays, stays open at 12, closes, and then as usual
    assert states == [ACK_REPORT, ACK_REPORT, ACK_REPORT, ACK_NOW, ACK_DELAYED, ACK_DELAYED]


def test_chunks_out_of_order_within_one_packet_leave_no_gap() -> None:
    assert packet(established(10), 11, 10) == ACK_DELAYED


def test_a_packet_of_duplicates_alone_is_acknowledged_at_once() -> None:
    t = established(10)
    packet(t, 10)
    t.sack(100)
    assert packet(t, 10, 9) == ACK_NOW
    assert t.sack(100) == (10, [], [10, 9])


def test_duplicates_with_new_data_may_wait() -> None:
    t = established(10)
    assert packet(t, 9, 10) == ACK_DELAYED
    assert t.sack(100)[2] == [9]


def test_what_is_due_at_once_stays_due_until_the_sack() -> None:
    t = established(10)
    packet(t, 10, immediate=True)
    assert packet(t, 11) == ACK_NOW
    t.sack(100)
    t.force()
    assert t.ack_state == ACK_NOW


# Duplicates and room in a SACK


def test_each_repetition_is_listed_and_only_in_one_sack() -> None:
    t = established(20)
    for _ in range(2):
        t.accept(19)
    assert t.sack(100)[2] == [19, 19]
    t.accept(19)
    assert t.sack(100)[2] == [19]
    assert t.sack(100)[2] == []


def test_duplicates_above_the_cumulative_tsn_are_recognised() -> None:
    t = established(10)
    assert t.accept(12) == 12
    assert t.accept(12) == DUPLICATE
    assert t.sack(100) == (9, [(3, 3)], [12])


def test_a_flood_of_duplicates_is_cut() -> None:
    t = established(10)
    for _ in range(10 * MAX_DUPLICATES):
        assert t.accept(9) == DUPLICATE
    assert len(t.sack(10_000)[2]) == MAX_DUPLICATES


def test_the_lowest_blocks_go_first_and_duplicates_take_the_rest() -> None:
    t = established(10)
    for wire in (11, 13, 15, 9, 9):
        t.accept(wire)
    assert t.sack(2) == (9, [(2, 2), (4, 4)], [])
    t.accept(9)
    t.accept(9)
    assert t.sack(4) == (9, [(2, 2), (4, 4), (6, 6)], [9])


def test_offsets_fit_their_sixteen_bits() -> None:
    t = DataTracker(1, 2, 1 << 24)
    for tsn in range(65530, 65540):
        assert t.accept(tsn) == tsn
    t.accept(70000)
    assert t.sack(100) == (0, [(65530, 65535)], [])


# How far ahead, how many holes


def test_a_tsn_far_beyond_the_window_is_not_recorded() -> None:
    t = DataTracker(10, 2, 65536)
    assert t.accept(10 + 100_000) == BEYOND
    assert t.ack_state == ACK_NOW
    assert t.highest_tsn == 9
    assert t.accept(10 + 4000) == 4010
    t.resize(1 << 24)
    assert t.accept(10 + 100_000) == 100_010


def test_the_next_of_what_has_come_is_bounded_too() -> None:
    t = DataTracker(0, 2, 0)
    answers = [t.accept(wire) for wire in range(1, 3000)]
    assert answers[:1000] == list(range(1, 1001))
    assert answers[-1000:] == [BEYOND] * 1000


def test_half_the_number_space_behind_is_old() -> None:
    t = tracker(10)
    assert t.classify((9 - 0x7FFFFFFF) & 0xFFFFFFFF) == DUPLICATE
    assert t.classify(10 + 0x7FFFFFFF) == BEYOND


def test_every_other_tsn_stops_at_a_bound_but_holes_can_be_filled() -> None:
    t = DataTracker(0, 2, 1 << 24)
    for wire in range(2, 4 * MAX_GAP_RANGES, 2):
        t.accept(wire)
    assert len(t.gap_ranges()) == MAX_GAP_RANGES
    assert t.accept(4 * MAX_GAP_RANGES) == BEYOND
    assert t.accept(0) == 0
    assert t.accept(3) == 3
    assert t.accept(2 * MAX_GAP_RANGES + 2) == 2 * MAX_GAP_RANGES + 2


# No room: classify, refuse, forget


def test_classifying_records_nothing() -> None:
    t = established(10)
    assert [t.classify(wire) for wire in (10, 12, 9)] == [10, 12, DUPLICATE]
    assert t.sack(100) == (9, [], [])
    assert t.ack_state == NO_ACK


def test_a_refused_chunk_is_answered_at_once_and_not_shown() -> None:
    t = established(10)
    assert t.classify(10) == 10
    t.refuse()
    assert t.packet_done(False) == ACK_NOW
    assert t.sack(100) == (9, [], [])
    assert t.accept(10) == 10


def test_what_is_forgotten_is_new_again() -> None:
    t = established(10)
    t.accept(12)
    t.sack(100)
    t.forget(12)
    assert t.ack_state == ACK_NOW
    assert t.sack(100) == (9, [], [])
    assert t.highest_tsn == 9
    assert t.accept(12) == 12


@pytest.mark.parametrize("initial_tsn", [5, 0xFFFFFFFE])
def test_skipping_moves_on_over_what_was_received(initial_tsn: int) -> None:
    tracker = DataTracker(initial_tsn, 2, 1 << 20)
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
    assert not tracker.has_gaps
    assert tracker.expected == wire(10)
    assert tracker.accept(wire(8)) == DUPLICATE
    assert tracker.skip_to(wire(109), 100) == base + 109


def test_a_skip_out_of_date_owes_a_sack_and_one_too_far_does_nothing() -> None:
    tracker = DataTracker(1, 2, 1 << 20)
    tracker.accept(1)
    tracker.sack(10)
    for tsn in (1, 0, 0x80000001 + 1):
        assert tracker.skip_to(tsn & 0xFFFFFFFF, 1 << 30) == DUPLICATE
        assert tracker.ack_state == ACK_NOW
        tracker.sack(10)
    assert tracker.skip_to(102, 100) == BEYOND
    assert (tracker.cumulative_tsn, tracker.ack_state) == (1, NO_ACK)
    assert tracker.skip_to(101, 100) == 101


def test_tsns_that_begin_anew_go_on_upwards() -> None:
    tracker = DataTracker(0xFFFFFFF0, 2, 1 << 20)
    for tsn in (0xFFFFFFF0, 0xFFFFFFF0, 0xFFFFFFF5):
        tracker.accept(tsn)
    before = tracker.cumulative_tsn
    tracker.restart(7)
    assert tracker.cumulative_tsn > before
    assert tracker.sack(10) == (6, [], [])
    assert tracker.accept(7) == tracker.cumulative_tsn
    assert tracker.packet_done(False) == ACK_NOW  # as the first one of an association
