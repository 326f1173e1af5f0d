from __future__ import annotations

import random
import tracemalloc

import pytest

from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.idata_streams import MESSAGE, IDataStreams
from asyncsctp.inbound.reassembly import LOOSE, Recipient
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE, FLAG_UNORDERED

B, E, U, I = FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, FLAG_IMMEDIATE  # noqa: E741
TOP = 0xFFFFFFFF


class Receiver(Recipient):
    """Messages as they were delivered, from I-DATA chunks offered one by one."""

    def __init__(self, max_message_size: int = 1 << 24) -> None:
        self.streams = IDataStreams(self, max_message_size)
        self.messages: list[tuple[int, bytes]] = []
        self.details: list[tuple[int, int, int, bool, int]] = []
        self.parts: list[tuple[int, int, bool, bytes, bool]] = []
        self.aborted: list[int] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.messages.append((sid, data))
        self.details.append((sid, ssn, ppid, unordered, tsn))

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        self.parts.append((sid, number, unordered, data, last))

    def on_parts_aborted(self, sid: int) -> None:
        self.aborted.append(sid)

    def add(self, tsn: int, flags: int, data: bytes, *, sid: int = 0, mid: int = 0, number: int = 0) -> str | None:
        text = self.streams.add(tsn, flags, sid, mid, number, data)
        if text is None:
            assert self.streams.recount() == self.streams.held
        return text

    def data(self) -> list[bytes]:
        return [data for _, data in self.messages]


def test_an_unfragmented_message_is_delivered_with_its_details() -> None:
    r = Receiver()
    assert r.add(7, B | E | I | 0xF0, b"x", sid=3, number=46) is None
    assert r.add(8, B | E, b"y", sid=3, mid=1, number=47) is None
    assert r.add(9, B | E | U, b"z", sid=3, mid=9, number=48) is None
    assert r.details == [(3, 0, 46, False, 7), (3, 1, 47, False, 8), (3, 9, 48, True, 9)]
    assert r.streams.held == 0


def test_messages_of_a_stream_wait_for_their_turn() -> None:
    r = Receiver()
    for tsn, mid in ((3, 2), (2, 1), (4, 3)):
        r.add(tsn, B | E, b"%d" % mid, mid=mid)
    assert r.data() == []
    assert r.streams.held == 3 * (1 + MESSAGE + LOOSE)
    r.add(1, B | E, b"0")
    assert r.data() == [b"0", b"1", b"2", b"3"]
    assert r.streams.held == 0


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3), (3, 0, 2, 1), (1, 2, 0, 3), (0, 3, 1, 2)])
@pytest.mark.parametrize("unordered", [0, U])
@pytest.mark.parametrize("tsns", [(100, 101, 102, 103), (103, 102, 101, 100), (7, 900, 8, 50)])
def test_fragments_are_joined_in_any_order_whatever_their_tsns(
    order: tuple[int, ...], unordered: int, tsns: tuple[int, ...]
) -> None:
    r = Receiver()
    flags = (B, 0, 0, E)
    for n in order:
        assert r.data() == []
        assert r.add(tsns[n], flags[n] | unordered, b"part%d" % n, number=n or 77) is None
    assert r.data() == [b"part0part1part2part3"]
    assert r.details == [(0, 0, 77, bool(unordered), tsns[0])]
    assert r.streams.held == r.streams.in_progress(0) == 0


def test_messages_of_several_streams_come_interleaved() -> None:
    r = Receiver()
    sizes = {0: 5, 1: 3, 2: 7}
    tsn = 0
    for position in range(7):
        for sid, size in sizes.items():
            if position < size:
                flags = (B if position == 0 else 0) | (E if position == size - 1 else 0)
                r.add(tsn, flags, b"%d%d" % (sid, position), sid=sid, number=position)
                tsn += 1
    assert [sid for sid, _ in r.messages] == [1, 0, 2]
    assert r.messages[0] == (1, b"101112")
    assert r.streams.held == 0


def test_ordered_and_unordered_messages_with_one_mid_are_two() -> None:
    r = Receiver()
    r.add(1, B, b"o", mid=0)
    r.add(2, B | U, b"u", mid=0)
    r.add(3, E | U, b"U", mid=0, number=1)
    r.add(4, E, b"O", mid=0, number=1)
    assert r.data() == [b"uU", b"oO"]


def test_mids_wrap() -> None:
    r = Receiver()
    r.streams.skip(0, 1, [(0, False, 0x70000000), (0, False, 0xC0000000)])
    r.streams.skip(0, 1, [(0, False, TOP - 1)])
    r.add(3, B | E, b"2", mid=1)
    r.add(2, B | E, b"1", mid=0)
    assert r.data() == []
    r.add(1, B | E, b"0", mid=TOP)
    assert r.data() == [b"0", b"1", b"2"]
    for n, mid in enumerate((TOP, 0, 1, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFF, 5)):
        r.add(10 + 2 * n, B | U, b"%d" % n, sid=1, mid=mid)
        r.add(11 + 2 * n, E | U, b"!", sid=1, mid=mid, number=1)
    assert r.data()[3:] == [b"%d!" % n for n in range(7)]


@pytest.mark.parametrize(
    ("first", "second"),  # flags, sid, mid, FSN
    [
        ((B, 0, 0, 0), (B, 0, 0, 0)),  # a second B
        ((B, 0, 0, 0), (B | E, 0, 0, 0)),
        ((E, 0, 0, 3), (E, 0, 0, 4)),  # a second E
        ((E, 0, 0, 3), (E, 0, 0, 2)),
        ((E, 0, 0, 3), (0, 0, 0, 4)),  # beyond the E
        ((0, 0, 0, 4), (E, 0, 0, 3)),
        ((0, 0, 0, 3), (0, 0, 0, 3)),  # one FSN twice
        ((0, 0, 0, 3), (E, 0, 0, 3)),
        ((0, 0, 0, 3), (E, 0, 0, 2)),
        ((B, 0, 0, 0), (0, 0, 0, TOP)),  # FSN before the first
        ((B | E, 0, 5, 0), (B | E, 0, 5, 0)),  # two messages with one MID
        ((B | E, 0, 5, 0), (B, 0, 5, 0)),
        ((B | E, 0, 5, 0), (E, 0, 5, 1)),
        ((B, 0, 5, 0), (B | E, 0, 5, 0)),
        ((B | E, 0, 0, 0), (B | E, 0, 0, 0)),  # a MID that has been delivered
        ((B | E, 0, 0, 0), (E, 0, 0, 1)),
    ],
)
@pytest.mark.parametrize("offset", [0, 1])
def test_contradictions_are_violations(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int], offset: int
) -> None:
    r = Receiver()
    if offset:
        r.add(0, B | E, b"other", sid=9)
    flags, sid, mid, number = first
    assert r.add(1, flags, b"x", sid=sid, mid=mid, number=number) is None
    flags, sid, mid, number = second
    text = r.add(2, flags, b"x", sid=sid, mid=mid, number=number)
    assert text is not None
    assert "TSN 2" in text


def test_a_message_may_be_too_long() -> None:
    r = Receiver(max_message_size=10)
    assert "10 bytes" in (r.add(1, B | E, b"x" * 11) or "")
    r = Receiver(max_message_size=10)
    r.add(1, B, b"x" * 5)
    assert r.add(2, 0, b"x" * 5, number=2) is None
    assert "10 bytes" in (r.add(3, 0, b"x", number=1) or "")


def test_fragments_in_order_become_one_piece_however_small_they_are() -> None:
    """A message in pieces of 2 bytes takes no more memory than in large ones; so does one that comes backwards, once
    it is whole.
    """
    size = 1 << 17
    for order in (range(size >> 1), [0, *range((size >> 1) - 1, 0, -1)]):
        r = Receiver()
        tracemalloc.start()
        try:
            for n in order:
                assert r.streams.add(n, 0 if n else B, 0, 0, n, b"%c%c" % (n & 255, n >> 8 & 255)) is None
            assert r.streams.held == size + MESSAGE == r.streams.recount()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert taken < 1.2 * size
        r.add(size, E, b"!", number=size >> 1)
        [message] = r.data()
        assert len(message) == size + 1 and message[:6] == b"\x00\x00\x01\x00\x02\x00"


def test_a_message_that_was_begun_is_charged_what_it_takes() -> None:
    """However tiny: in order, beyond a hole, complete and not in turn, ordered or not."""
    for kind in range(4):
        r = Receiver()
        tracemalloc.start()
        try:
            for n in range(5000):
                if kind == 0:
                    r.streams.add(n, B | U, n & 15, n, 46, b"%4d" % n)
                elif kind == 1:
                    r.streams.add(n, 0, 0, 0, 2 * n + 2, b"%4d" % n)
                elif kind == 2:
                    r.streams.add(n, B | E, 0, n + 1, 46, b"%4d" % n)
                else:
                    r.streams.add(n, B, n, n + 1, 46, b"%4d" % n)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert r.streams.recount() == r.streams.held
        streams = 300 * len(r.streams._ordered)  # what a stream costs is bounded by their number
        assert taken < 1.25 * r.streams.held + streams, kind


def test_what_has_come_in_order_is_exempt_up_to_two_messages() -> None:
    r = Receiver(max_message_size=400)
    for sid in range(3):
        r.add(sid, B, bytes(200), sid=sid)
    assert r.streams.in_progress(2) == 3 * 200
    r.add(3, 0, bytes(50), sid=0, number=2)  # beyond a hole
    assert r.streams.in_progress(2) == 3 * 200
    assert r.streams.held == 3 * (200 + MESSAGE) + 50 + LOOSE
    r.add(4, 0, bytes(50), sid=0, number=1)
    assert r.streams.in_progress(4) == 700
    r.add(5, B, bytes(200), sid=4)
    assert r.streams.in_progress(5) == 800  # and no more
    r.add(6, E, bytes(1), sid=0, number=3)
    assert r.streams.in_progress(6) == 3 * 200
    r.add(7, B, bytes(1), sid=7, mid=1)  # not its turn
    r.add(8, E, bytes(1), sid=7, mid=1, number=1)  # complete: it waits for another
    assert r.streams.in_progress(8) == 3 * 200


@pytest.mark.parametrize("seed", range(40))
def test_room_is_made_from_the_largest_tsn_wherever_it_stands(seed: int) -> None:
    chance = random.Random(seed)
    r = Receiver()
    tracker = DataTracker(0, 1 << 20)
    chunks = []
    for sid in range(3):
        for position in range(8):
            flags = (B if position == 0 else 0) | (E if position == 7 else 0) | (U if sid == 2 else 0)
            chunks.append((flags, sid, position, b"%d%d" % (sid, position)))
    if seed % 2:
        chance.shuffle(chunks)  # TSNs in no order of fragments
    capacity = 3 * MESSAGE + chance.randrange(2, 12) * (2 + LOOSE)

    def take(tsn: int) -> None:
        flags, sid, position, payload = chunks[tsn]
        assert tracker.accept(tsn) == tsn
        r.streams.acknowledge(tracker.cumulative_tsn)
        assert r.add(tsn, flags, payload, sid=sid, number=position) is None
        r.streams.acknowledge(tracker.cumulative_tsn)
        assert r.streams.recount() == r.streams.held

    for _ in range(4):
        pending = [tsn for tsn in range(24) if tracker.classify(tsn) >= 0]
        chance.shuffle(pending)
        for tsn in pending:
            payload = chunks[tsn][-1]
            lacking = r.streams.held + len(payload) + LOOSE - capacity - r.streams.in_progress(0)
            if lacking > 0 and not r.streams.make_space(tracker, tsn, lacking):
                continue
            take(tsn)
    for tsn in range(24):
        if tracker.classify(tsn) >= 0:
            take(tsn)
    assert r.streams.recount() == r.streams.held == len(r.streams._chunks) == 0
    assert sorted(r.messages) == [(sid, b"".join(b"%d%d" % (sid, p) for p in range(8))) for sid in range(3)]
    assert r.streams.held == r.streams.in_progress(23) == 0


def test_what_has_come_in_order_above_a_hole_is_given_up_as_well() -> None:
    """RFC 9260 section 6.2: the TSNs alone say what is acknowledged for good."""
    r = Receiver()
    tracker = DataTracker(0, 1 << 20)
    for tsn, position in ((0, 0), (3, 1), (5, 2), (7, 3)):
        tracker.accept(tsn)
        r.streams.acknowledge(tracker.cumulative_tsn)
        flags = (0 if position else B) | (E if position == 3 else 0)
        assert r.add(tsn, flags, b"%d" % position, mid=1, number=position) is None
    assert r.streams.held == 4 + MESSAGE + 3 * LOOSE
    assert r.streams.in_progress(0) == 0, "it is complete"
    assert r.streams.make_space(tracker, 1, LOOSE + 2)
    assert r.streams.held == r.streams.recount() == 2 + MESSAGE + LOOSE
    assert r.streams.in_progress(0) == 1
    assert tracker.gap_ranges() == [(3, 3)]
    assert not r.streams.make_space(tracker, 1, LOOSE + 2), "the first fragment stays"
    assert r.streams.held == r.streams.recount() == 1 + MESSAGE
    tracker.accept(1)
    r.streams.acknowledge(tracker.cumulative_tsn)
    r.add(1, B | E, b"first", number=46)
    for tsn, position in ((5, 2), (7, 3), (3, 1)):
        r.add(tsn, E if position == 3 else 0, b"%d" % position, mid=1, number=position)
    assert r.data() == [b"first", b"0123"]
    assert r.streams.held == r.streams.recount() == 0


def test_what_is_loose_is_joined_once_it_is_acknowledged() -> None:
    r = Receiver(max_message_size=1000)
    for tsn in range(1, 9):
        r.streams.acknowledge(-1)
        r.add(tsn, 0 if tsn > 2 else B, bytes(100), sid=tsn & 1, number=tsn - 1 >> 1)
    assert (r.streams.held, r.streams.in_progress(-1)) == (800 + 2 * MESSAGE + 8 * LOOSE, 0)
    r.streams.acknowledge(5)
    assert (r.streams.held, r.streams.in_progress(5)) == (800 + 2 * MESSAGE + 3 * LOOSE, 500)
    r.streams.acknowledge(8)
    assert (r.streams.held, r.streams.in_progress(8)) == (800 + 2 * MESSAGE, 800)
    assert not r.streams._owners
    assert r.streams.recount() == r.streams.held


def test_what_is_acknowledged_is_not_given_up() -> None:
    r = Receiver()
    tracker = DataTracker(0, 1 << 20)
    for tsn, position in ((9, 3), (3, 1), (4, 0), (8, 4)):  # 0 to 2 are missing
        tracker.accept(tsn)
        assert r.add(tsn, 0 if position else B, b"%d" % position, number=position) is None
    for _ in range(3):
        assert r.streams.make_space(tracker, 1, 1)  # 9, which is beyond a hole
        assert r.streams.held == r.streams.recount() == 2 + MESSAGE + 1 + LOOSE
        assert tracker.accept(9) == 9
        assert r.add(9, 0, b"3", number=3) is None
    assert r.streams.make_space(tracker, 1, LOOSE + 2)
    assert not r.streams.make_space(tracker, 1, 1)
    assert r.streams.held == 2 + MESSAGE
    for tsn, position in ((8, 4), (9, 3), (10, 2)):
        tracker.accept(tsn)
        r.add(tsn, E if position == 4 else 0, b"%d" % position, number=position)
    assert r.data() == [b"01234"]


def test_a_peer_that_counts_from_the_second_fragment_is_read() -> None:
    """Linux numbers them so; the first time in order, then in any."""
    r = Receiver()
    r.add(1, B, b"a", number=46)
    r.add(2, 0, b"b", number=0)
    r.add(3, 0, b"c", number=1)
    r.add(4, E, b"d", number=2)
    r.add(5, E, b"C", mid=1, number=1)
    r.add(6, B, b"A", mid=1, number=46)
    r.add(7, 0, b"B", mid=1, number=0)
    assert r.data() == [b"abcd", b"ABC"]
    assert r.add(8, 0, b"x", mid=2, number=0xFFFFFFFF) is not None  # the place of the first


def test_fsn_0_without_b_is_a_violation_among_fragments_counted_otherwise() -> None:
    r = Receiver()
    r.add(1, 0, b"x", sid=1, number=1)
    assert r.add(2, 0, b"y", number=0) is not None


# I-FORWARD-TSN.


def test_what_was_abandoned_is_dropped_and_what_waited_for_it_delivered() -> None:
    r = Receiver()
    r.add(2, B, b"half", mid=1)
    r.add(5, B | E, b"two", mid=2)
    r.add(6, B | E, b"four", mid=4)
    r.add(7, B | E, b"other", sid=1, mid=1)
    r.streams.skip(0, 1, [(0, False, 1)])
    assert r.data() == [b"two"]
    r.streams.skip(0, 1, [(0, False, 3), (0, False, 3), (0, False, 1)])
    assert r.data() == [b"two", b"four"]
    assert r.streams.held == len(b"other") + MESSAGE + LOOSE
    r.add(8, B | E, b"five", mid=5)
    assert r.data()[-1] == b"five"


def test_complete_messages_up_to_the_mid_are_delivered_in_order() -> None:
    r = Receiver()
    for mid in (9, 3, 7, 5):
        r.add(mid, B | E, b"%d" % mid, mid=mid)
    r.streams.skip(0, 1, [(0, False, 8)])
    assert r.data() == [b"3", b"5", b"7", b"9"]


def test_unordered_messages_are_skipped_by_their_own_mids() -> None:
    r = Receiver()
    r.add(1, B | U, b"a", mid=3)
    r.add(2, B | U, b"b", mid=4)
    r.add(3, B, b"c", mid=0)
    r.streams.skip(0, 1, [(0, True, 3)])
    assert r.streams.held == 2 * (1 + MESSAGE)
    assert r.add(4, U, b"late", mid=3, number=1) is None  # of the message that was abandoned
    assert r.add(5, U | E, b"late", mid=3, number=2) is None
    assert r.streams.held == 2 * (1 + MESSAGE)
    r.add(6, E | U, b"B", mid=4, number=1)
    r.add(7, E, b"C", mid=0, number=1)
    assert r.data() == [b"bB", b"cC"]


def test_a_late_fragment_of_an_abandoned_message_is_dropped() -> None:
    r = Receiver()
    r.add(1, B, b"a", mid=0)
    r.streams.skip(0, 1, [(0, False, 0)])
    assert r.add(3, E, b"z", mid=0, number=2) is None
    assert r.streams.held == 0
    r.add(4, B | E, b"next", mid=1)
    assert r.data() == [b"next"]


def test_skipping_streams_never_used_and_mids_far_away_is_harmless() -> None:
    r = Receiver()
    r.streams.skip(0, 1, [(sid, bool(sid & 1), 0x12345) for sid in range(2000)] * 2)
    r.streams.skip(0, 1, [(0, False, 5), (0, False, 0x80012347)])  # behind, and behind
    r.add(1, B | E, b"x", sid=0, mid=0x12346)
    assert r.data() == [b"x"]


def test_the_mids_of_unordered_messages_go_round_and_round() -> None:
    """RFC 8260 section 2.1: 32 bits; of those far behind nothing is known any more."""
    r = Receiver()
    r.streams.skip(0, 1, [(0, True, 0)])
    for n in range(1, 40):
        assert r.add(n, B | E | U, b"%d" % n, mid=n << 28 & TOP) is None
    assert r.data() == [b"%d" % n for n in range(1, 40)]


# Stream reset.


def test_a_reset_begins_both_mids_anew_and_loses_nothing_complete() -> None:
    r = Receiver()
    for mid in range(3):
        r.add(mid, B | E, b"%d" % mid, mid=mid)
    r.add(9, B | E, b"9", mid=9)
    r.add(7, B | E, b"7", mid=7)
    r.add(8, B, b"half", mid=8)
    r.add(10, B | U, b"half", mid=5)
    r.add(11, B | E, b"other", sid=1, mid=1)
    r.streams.reset_streams([0, 5])
    assert r.data() == [b"0", b"1", b"2", b"7", b"9"]
    assert r.streams.held == len(b"other") + MESSAGE + LOOSE
    r.add(12, B | E, b"new", mid=0)
    r.add(13, B | E | U, b"new", mid=0)
    assert r.data()[5:] == [b"new", b"new"]
    r.streams.reset_streams(None)
    assert r.data()[7:] == [b"other"]


def test_a_restart_begins_every_stream_anew() -> None:
    r = Receiver()
    r.add(1, B | E, b"old", mid=0)
    r.add(3, B, b"half", mid=2)
    r.streams.reset()
    assert r.streams.held == 0
    r.add(50, B | E, b"new", mid=0)
    assert r.data() == [b"old", b"new"]


def test_when_all_numbers_begin_anew_what_came_before_is_over_and_the_rest_goes_by_the_new_numbers() -> None:
    """RFC 6525 section 5.2.4: from TSN 10 on. A MID that was far ahead by the old numbers is next by the new ones."""
    r = Receiver()
    for mid in (0x7FFFFFFF, 0xFFFFFFFC):
        r.streams.skip(0, 1, [(0, False, mid)])
    r.add(3, B, b"half", mid=0xFFFFFFFD)
    r.add(4, B | U, b"half", sid=1, mid=8)
    r.add(10, B | E, b"zero", mid=0)
    r.add(11, B, b"on", mid=1)
    r.add(12, B | U, b"be", sid=1, mid=9)
    assert r.streams.restart(10) is None
    assert r.data() == [b"zero"]
    r.add(13, E, b"e", mid=1, number=1)
    r.add(14, E | U, b"end", sid=1, mid=9, number=1)
    assert r.data() == [b"zero", b"one", b"beend"]
    assert r.streams.held == 0


# Parts.


@pytest.mark.parametrize("unordered", [0, U])
def test_a_long_message_flows(unordered: int) -> None:
    r = Receiver(max_message_size=100)
    r.streams.deliver_parts(0, True, 25)
    for n in range(1000):
        r.add(n, unordered | (0 if n else B), b"0123456789", number=n)
        assert r.streams.held <= 30 + MESSAGE
    assert r.parts[0] == (0, 0, bool(unordered), b"0123456789" * 3, False)
    r.add(1001, E | unordered, b"!", number=1001)
    r.streams.deliver_parts(0, False, 25)
    r.add(1000, unordered, b"?", number=1000)
    assert r.parts[-1] == (0, 0, bool(unordered), b"?!", True)
    r.add(1002, B | E | unordered, b"whole", mid=1)
    assert r.data() == [b"whole"]


def test_a_short_message_comes_as_one_part_in_its_turn() -> None:
    r = Receiver()
    r.streams.deliver_parts(0, True, 25)
    r.add(2, B, b"12", mid=1)
    r.add(3, E, b"34", mid=1, number=1)
    r.add(1, B | E, b"0", mid=0)
    r.add(4, B | E, b"x", sid=1)
    assert r.parts == [(0, 0, False, b"0", True), (0, 1, False, b"1234", True)]
    assert r.data() == [b"x"]


@pytest.mark.parametrize("unordered", [0, U])
def test_to_make_space_parts_are_given_however_little_has_come(unordered: int) -> None:
    r = Receiver()
    for sid in (0, 1):
        r.streams.deliver_parts(sid, True, 1000)
    assert not r.streams.relieve()
    r.add(1, B | unordered, b"ab")
    assert r.parts == []
    assert r.streams.relieve()
    assert r.parts == [(0, 0, bool(unordered), b"ab", False)]
    assert not r.streams.relieve()


def test_a_message_waits_for_its_turn_before_it_flows() -> None:
    r = Receiver()
    r.streams.deliver_parts(0, True, 2)
    r.add(2, B, b"abc", mid=1)
    assert r.parts == []
    r.add(1, B | E, b"0", mid=0)
    assert r.parts == [(0, 0, False, b"0", True), (0, 1, False, b"abc", False)]


@pytest.mark.parametrize("how", ["skip", "reset", "restart"])
def test_a_message_given_in_part_is_aborted_once(how: str) -> None:
    r = Receiver()
    r.streams.deliver_parts(4, True, 2)
    r.add(1, B, b"abc", sid=4)
    r.add(3, 0, b"ghi", sid=4, number=2)
    if how == "skip":
        r.streams.skip(0, 1, [(4, False, 0)])
        r.streams.skip(0, 1, [(4, False, 0)])
    elif how == "reset":
        r.streams.reset_streams([4])
    else:
        r.aborted += r.streams.reset()  # in a restart: who resets it tells the user
        assert r.streams.reset() == []
    assert r.aborted == [4]
    assert r.streams.held == r.streams.recount() == 0
    r.add(9, B | E, b"next", sid=4, mid=1 if how == "skip" else 0)
    assert r.parts[-1][3:] == (b"next", True)
