"""The ledger, and what happens when the receive buffer is full (section 6.2)."""

from __future__ import annotations

import tracemalloc

from asyncsctp.inbound.data_streams import RUN, DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.reassembly import OVERHEAD, Recipient
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED

B, E, U = FLAG_BEGIN, FLAG_END, FLAG_UNORDERED


class Room(Recipient):
    """A tracker and its streams, as an association uses them: with a receive buffer that can be full."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.delivered: list[bytes] = []
        self.tracker = DataTracker(1, 1 << 20)
        self.streams = DataStreams(self, 1 << 24)

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.delivered.append(data)

    def data(self, wire_tsn: int, flags: int, ssn: int, payload: bytes) -> bool:
        lacking = self.streams.held + len(payload) + OVERHEAD + RUN - self.capacity
        if lacking > 0:
            tsn = self.tracker.classify(wire_tsn)
            if tsn >= 0 and not self.streams.make_space(self.tracker, tsn, lacking):
                return False
        tsn = self.tracker.accept(wire_tsn)
        assert tsn < 0 or self.streams.add(tsn, flags, 0, ssn, 0, payload) is None
        return tsn >= 0


CHUNK = 100 + OVERHEAD
WHOLE = CHUNK + RUN


def test_every_chunk_and_every_run_is_charged_its_overhead() -> None:
    room = Room(1 << 20)
    room.data(2, B | E, 1, b"x")
    room.data(4, B, 3, b"xyz")
    assert room.streams.held == 4 + 2 * (OVERHEAD + RUN)
    room.data(5, 0, 3, b"xyz")
    assert room.streams.held == room.streams.recount() == 7 + 3 * OVERHEAD + 2 * RUN


def test_tiny_chunks_take_no_more_memory_than_they_are_charged() -> None:
    """Whole ones that wait for their turn, in one stream or in many; isolated fragments; fragments in a run."""
    for kind in range(4):
        streams = DataStreams(Room(1), 1 << 24)
        tracemalloc.start()
        try:
            for n in range(5000):
                if kind == 0:
                    streams.add(n + 2, B | E, 0, n + 1, 0, b"%4d" % n)
                elif kind == 1:
                    streams.add(n + 2, B | E, n, 1, 0, b"%4d" % n)
                elif kind == 2:
                    streams.add(2 * n + 2, 0, 0, 0, 0, b"%4d" % n)
                else:
                    streams.add(n + 2, 0, 0, 0, 0, b"%4d" % n)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert streams.recount() == streams.held
        assert taken < 1.5 * streams.held, (kind, taken / streams.held)


def test_above_the_highest_tsn_nothing_is_given_up() -> None:
    room = Room(2 * WHOLE)
    for tsn in (2, 3):
        assert room.data(tsn, B | E, tsn - 1, bytes(100))
    assert not room.data(4, B | E, 3, bytes(100))
    assert room.tracker.gap_ranges() == [(2, 3)]


def test_below_the_highest_the_largest_makes_room() -> None:
    room = Room(2 * WHOLE)
    for tsn in (2, 3):
        room.data(tsn, B | E, tsn - 1, b"%d" % tsn * 100)
    assert room.data(1, B | E, 0, b"1" * 100)
    assert room.delivered == [b"1" * 100, b"2" * 100]
    assert room.tracker.report(100) == (2, [], [])
    assert room.data(3, B | E, 2, b"3" * 100)
    assert room.delivered[2:] == [b"3" * 100]
    assert room.streams.held == 0


def test_the_end_of_a_complete_message_can_be_given_up() -> None:
    room = Room(3 * CHUNK + 2 * RUN)
    room.data(2, B, 1, b"2" * 100)
    room.data(3, 0, 1, b"3" * 100)
    room.data(4, E, 1, b"4" * 100)
    assert room.data(1, B | E, 0, b"1" * 100)
    assert room.delivered == [b"1" * 100]
    assert room.tracker.gap_ranges() == []
    assert room.tracker.cumulative_tsn == 3
    assert room.data(4, E, 1, b"4" * 100)
    assert room.delivered[1:] == [b"2" * 100 + b"3" * 100 + b"4" * 100]
    assert room.streams.held == 0


def test_several_small_ones_go_for_a_large_one() -> None:
    room = Room(4 * WHOLE)
    for tsn in (2, 3, 4, 5):
        room.data(tsn, B | E, tsn - 1, bytes(100))
    assert room.data(1, B | E, 0, bytes(500))
    assert room.tracker.highest_tsn == 3


def test_what_was_delivered_is_never_given_up() -> None:
    room = Room(2 * WHOLE)
    room.data(2, B | E, 1, bytes(100))
    room.data(3, B | E, 2, bytes(100))
    room.streams.add(room.tracker.accept(5), B | E | U, 0, 0, 0, b"out of order")
    assert room.delivered == [b"out of order"]
    assert not room.data(4, B | E, 3, bytes(100)), "nothing is held above it"
    assert room.tracker.gap_ranges() == [(2, 3), (5, 5)]
    assert room.data(1, B | E, 0, bytes(100))
    assert room.tracker.gap_ranges() == [(5, 5)]


def test_memory_stays_bounded_however_long_a_full_buffer_is_attacked() -> None:
    room = Room(50 * WHOLE)
    for wire_tsn in range(600, 1, -1):
        room.data(wire_tsn, B | E, wire_tsn - 1, bytes(100))
        assert room.streams.held <= room.capacity
    assert room.tracker.gap_ranges() == [(2, 51)]
    room.data(1, B | E, 0, bytes(100))
    for wire_tsn in range(51, 601):
        room.data(wire_tsn, B | E, wire_tsn - 1, bytes(100))
    assert len(room.delivered) == 600
    assert room.streams.held == 0


def test_a_message_in_progress_is_told_apart_from_what_is_missing() -> None:
    room = Room(1 << 20)
    assert room.streams.in_progress(0) == 0
    room.data(1, B, 0, bytes(100))
    room.data(2, 0, 0, bytes(100))
    assert room.streams.in_progress(room.tracker.cumulative_tsn) == 2 * CHUNK
    room.data(4, E, 0, bytes(100))
    assert room.streams.in_progress(room.tracker.cumulative_tsn) == 2 * CHUNK
    room.data(3, 0, 0, bytes(100))
    assert room.streams.in_progress(room.tracker.cumulative_tsn) == 0
    assert room.streams.held == 0


def test_a_message_without_a_beginning_is_not_in_progress() -> None:
    room = Room(1 << 20)
    room.data(1, 0, 0, bytes(100))
    assert room.streams.in_progress(room.tracker.cumulative_tsn) == 0
    assert room.streams.held == WHOLE


def test_what_was_given_up_does_not_count_for_the_length_of_its_message() -> None:
    room = Room(3 * CHUNK + 2 * RUN)
    room.streams.limit_messages(300)
    for _ in range(3):
        room.data(2, B, 1, bytes(100))
        room.data(3, 0, 1, bytes(100))
        room.data(4, E, 1, bytes(100))
        room.streams.make_space(room.tracker, 1, 2 * CHUNK)
    for tsn, flags in ((1, B | E), (3, 0), (4, E)):
        assert room.data(tsn, flags, tsn > 1, bytes(100))
    assert [len(data) for data in room.delivered] == [100, 300]


def test_what_was_delivered_leaves_nothing_behind() -> None:
    room = Room(1 << 20)

    room.data(1, B | E, 0, b"x")
    room.data(3, B | E, 2, b"x")
    assert room.streams.make_space(room.tracker, 2, 1)  # from here on the queue also knows its largest TSN
    room.data(3, B | E, 2, b"x")

    def deliver(first: int) -> None:
        for tsn in range(first, first + 5000, 5):
            for offset, flags in ((0, B), (2, 0), (1, 0), (4, E), (3, 0)):
                room.data(tsn + offset, flags | U, 0, b"x")
        room.delivered.clear()

    deliver(5)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        deliver(5005)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 5000
