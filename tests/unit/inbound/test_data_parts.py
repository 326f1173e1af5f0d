"""DATA messages in parts, skipped messages and stream resets, chunk by chunk."""

from __future__ import annotations

import pytest

from asyncsctp.inbound.data_streams import RUN, DataStreams
from asyncsctp.inbound.reassembly import OVERHEAD, Recipient
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED

B, E, U = FLAG_BEGIN, FLAG_END, FLAG_UNORDERED


class Receiver(Recipient):
    def __init__(self, max_message_size: int = 1 << 24) -> None:
        self.streams = DataStreams(self, max_message_size)
        self.got: list[bytes] = []
        self.parts: list[tuple[int, int, int, bool, int, bytes, bool]] = []
        self.aborted: list[int] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.got.append(data)

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        self.parts.append((sid, number, ppid, unordered, tsn, data, last))

    def on_parts_aborted(self, sid: int) -> None:
        self.aborted.append(sid)

    def add(self, tsn: int, flags: int, data: bytes, *, sid: int = 0, ssn: int = 0, ppid: int = 0) -> str | None:
        text = self.streams.add(tsn, flags, sid, ssn, ppid, data)
        if text is None:
            assert self.streams.recount() == self.streams.held
        return text

    def flow(self) -> list[tuple[bytes, bool]]:
        return [(data, last) for *_, data, last in self.parts]


@pytest.mark.parametrize("unordered", [0, U])
def test_a_long_message_flows_and_is_of_any_size(unordered: int) -> None:
    r = Receiver(max_message_size=50)
    r.streams.deliver_parts(3, True, 25)
    for n in range(1000):
        assert r.add(n, unordered | (0 if n else B), b"0123456789", sid=3, ppid=9) is None
        assert r.streams.held <= 2 * (10 + OVERHEAD) + RUN
    r.add(1000, E | unordered, b"!", sid=3, ppid=9)
    assert r.parts[0] == (3, 0, 9, bool(unordered), 0, b"0123456789" * 3, False)
    assert r.parts[-1] == (3, 0, 9, bool(unordered), 0, b"!", True)
    assert b"".join(data for data, _ in r.flow()) == b"0123456789" * 1000 + b"!"
    assert r.streams.unread == 64 * len(r.parts)
    r.add(1001, B | E, b"whole", sid=3, ssn=0 if unordered else 1)
    assert r.parts[-1][5:] == (b"whole", True)
    assert r.streams.delivered == 2


def test_what_is_behind_a_hole_flows_at_once_when_it_is_filled() -> None:
    r = Receiver()
    r.streams.deliver_parts(0, True, 2)
    for tsn, flags in ((1, B), (3, 0), (4, 0), (6, E)):
        r.add(tsn, flags, b"%d%d" % (tsn, tsn))
    assert r.flow() == [(b"11", False)]
    r.add(2, 0, b"22")
    assert r.flow()[1:] == [(b"223344", False)]
    r.add(5, 0, b"55")
    assert r.flow()[2:] == [(b"5566", True)]
    assert r.streams.held == 0


def test_a_message_in_the_making_becomes_one_in_parts() -> None:
    r = Receiver()
    r.add(1, B, b"aa")
    r.streams.deliver_parts(0, True, 3)
    r.add(2, 0, b"bb")
    r.streams.deliver_parts(0, False, 3)
    r.add(3, 0, b"cc")
    r.add(4, E, b"dd")
    r.add(5, B, b"x", ssn=1)
    r.add(6, E, b"y", ssn=1)
    assert r.flow() == [(b"aabb", False), (b"cc", False), (b"dd", True)]
    assert r.got == [b"xy"]


def test_the_next_message_waits_for_its_turn() -> None:
    r = Receiver()
    r.streams.deliver_parts(0, True, 2)
    r.add(4, B, b"bb", ssn=1)
    r.add(5, 0, b"cc", ssn=1)
    r.add(7, B | E, b"2", ssn=2)
    assert r.parts == []
    r.add(1, B, b"aa", ssn=0)
    r.add(2, 0, b"aa", ssn=0)
    r.add(3, E, b"aa", ssn=0)
    r.add(6, E, b"dd", ssn=1)
    assert r.flow() == [(b"aa", False), (b"aa", False), (b"aa", True), (b"bbccdd", True), (b"2", True)]


@pytest.mark.parametrize(
    ("tsn", "flags", "sid", "ssn"), [(2, B, 0, 0), (2, 0, 1, 0), (2, 0, 0, 1), (2, U, 0, 0), (2, B | E, 0, 1)]
)
def test_contradictions_are_violations(tsn: int, flags: int, sid: int, ssn: int) -> None:
    r = Receiver()
    r.streams.deliver_parts(0, True, 1)
    r.add(1, B, b"x")
    assert r.add(tsn, flags, b"x", sid=sid, ssn=ssn) is not None


@pytest.mark.parametrize("how", ["skip", "reset", "restart", "new TSNs"])
def test_a_message_given_in_part_is_aborted_once(how: str) -> None:
    r = Receiver()
    r.streams.deliver_parts(4, True, 2)
    r.add(1, B, b"abc", sid=4)
    r.add(3, 0, b"ghi", sid=4)
    ssn = 0
    if how == "skip":
        r.streams.skip(1, 4, [(4, False, 0)])
        r.streams.skip(4, 5, [(4, False, 0)])
        ssn = 1
    elif how == "reset":
        r.streams.reset_streams([4])
    elif how == "restart":
        r.aborted += r.streams.reset()  # who resets it tells the user
        assert r.streams.reset() == []
    else:
        r.streams.restart(100)
    assert r.aborted == [4]
    assert r.streams.held == 0
    r.add(9, B | E, b"next", sid=4, ssn=ssn)
    assert r.flow()[-1] == (b"next", True)


def test_a_half_sent_message_given_in_part_is_aborted_by_what_follows() -> None:
    r = Receiver()
    r.streams.abandons = True
    r.streams.deliver_parts(0, True, 2)
    r.add(1, B | U, b"abc")
    r.streams.skip(1, 1, [])
    assert r.add(2, B | E | U, b"next") is None
    assert r.aborted == [0]
    assert r.flow()[-1] == (b"next", True)


def test_a_reset_delivers_what_is_complete_and_drops_the_rest() -> None:
    r = Receiver()
    r.add(1, B | E, b"0", ssn=0)
    for tsn, ssn in ((9, 65000), (5, 3), (7, 5)):
        r.add(tsn, B | E, b"%d" % ssn, ssn=ssn)
    r.add(11, B, b"half", ssn=65001)
    r.add(13, B | E, b"other", sid=1, ssn=1)
    r.streams.reset_streams([0, 77])
    assert r.got == [b"0", b"3", b"5", b"65000"]
    assert r.streams.held == 5 + OVERHEAD + RUN
    r.add(12, E, b"rest", ssn=65001)
    assert r.streams.held == 5 + OVERHEAD + RUN
    r.add(14, B | E, b"new", ssn=0)
    r.streams.reset_streams(None)
    assert r.got[4:] == [b"new", b"other"]
    assert r.streams.held == 0


def test_a_reset_leaves_unordered_messages_alone() -> None:
    """RFC 6525 section 5.2.2: it is SSNs that begin anew, and they have none."""
    r = Receiver()
    r.streams.deliver_parts(0, True, 2)
    r.add(1, B | U, b"in parts")
    r.streams.reset_streams([0])
    r.add(2, E | U, b"the end")
    assert (r.aborted, r.flow()) == ([], [(b"in parts", False), (b"the end", True)])
    r.add(3, B | U, b"x", sid=1)
    r.streams.reset_streams(None)
    r.add(4, E | U, b"y", sid=1)
    assert r.got == [b"xy"]


def test_a_reset_drops_the_end_of_a_message_without_its_beginning() -> None:
    r = Receiver()
    r.add(2, E, b"end", ssn=0)
    r.streams.reset_streams([0])
    assert r.streams.held == 0
    r.add(3, B | E, b"new", ssn=0)
    assert r.got == [b"new"]


def test_when_all_numbers_begin_anew_what_came_before_is_over_and_the_rest_is_taken_anew() -> None:
    """RFC 6525 section 5.2.4: from TSN 10 on, the new numbers count."""
    r = Receiver()
    r.streams.deliver_parts(4, True, 2)
    r.add(1, B | U, b"given", sid=4)
    r.add(3, B | U, b"half", sid=1)
    r.add(5, B, b"half", sid=2, ssn=1)
    r.add(10, B | E, b"whole", sid=2, ssn=1)
    r.add(11, B, b"be", sid=2, ssn=2)
    r.add(12, E, b"end", sid=2, ssn=2)
    assert r.streams.restart(10) is None
    assert (r.aborted, r.got) == ([4], [])
    assert r.streams.recount() == r.streams.held
    r.add(13, B | E, b"new", sid=2, ssn=0)
    assert r.got == [b"new", b"whole", b"beend"]
    assert r.streams.held == 0


def test_of_messages_given_in_part_only_those_are_aborted_that_were_skipped() -> None:
    r = Receiver()
    for sid in (1, 2):
        r.streams.deliver_parts(sid, True, 2)
    r.add(1, B, b"abandoned", sid=1)
    r.add(4, B, b"under", sid=2)
    assert r.streams.stream_state() == 0
    r.streams.skip(1, 3, [(1, False, 0)])
    assert r.aborted == [1]
    r.add(5, E, b"way", sid=2)
    assert r.flow()[1:] == [(b"under", False), (b"way", True)]


@pytest.mark.parametrize("ended", [True, False])
def test_the_rest_of_a_message_whose_beginning_was_skipped_is_dropped(ended: bool) -> None:
    r = Receiver()
    r.streams.abandons = True
    for tsn in (3, 4):
        r.add(tsn, E if ended and tsn == 4 else 0, b"rest")
    r.streams.skip(1, 3, [(0, False, 0)])
    assert r.streams.held == 0
    if not ended:
        assert r.add(5, 0, b"more") is None
        assert r.add(6, E, b"end") is None
    assert r.add(7, B | E, b"next", ssn=1) is None
    assert r.got == [b"next"]
    assert r.streams.held == 0


def test_ssns_are_skipped_over_their_wrap() -> None:
    r = Receiver()
    r.streams.skip(0, 1, [(0, False, 0x7000)])
    r.streams.skip(1, 2, [(0, False, 0xD000)])
    for tsn, ssn in ((10, 2), (11, 0), (12, 0xFFFF)):
        r.add(tsn, B | E, b"%x" % ssn, ssn=ssn)
    r.streams.skip(2, 3, [(0, False, 1)])
    assert r.got == [b"ffff", b"0", b"2"]
