from __future__ import annotations

import pytest

from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.reassembly import Recipient
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE, FLAG_UNORDERED

B, E, U, I = FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, FLAG_IMMEDIATE  # noqa: E741


class Receiver(Recipient):
    """Messages as they were delivered, from DATA chunks offered one by one."""

    def __init__(self, max_message_size: int = 1 << 24) -> None:
        self.streams = DataStreams(self, max_message_size)
        self.messages: list[tuple[int, bytes]] = []
        self.details: list[tuple[int, int, int, bool, int]] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.messages.append((sid, data))
        self.details.append((sid, ssn, ppid, unordered, tsn))

    def add(self, tsn: int, flags: int, data: bytes, *, sid: int = 0, ssn: int = 0, ppid: int = 0) -> str | None:
        return self.streams.add(tsn, flags, sid, ssn, ppid, data)

    def data(self) -> list[bytes]:
        return [data for _, data in self.messages]


def test_an_unfragmented_message_is_delivered_with_its_details() -> None:
    r = Receiver()
    assert r.add(7, B | E, b"x", sid=3, ssn=0, ppid=46) is None
    assert r.details == [(3, 0, 46, False, 7)]
    assert r.streams.held == 0


def test_messages_of_a_stream_wait_for_their_turn() -> None:
    r = Receiver()
    for tsn, ssn in ((3, 2), (2, 1), (4, 3)):
        r.add(tsn, B | E, b"%d" % ssn, ssn=ssn)
    assert r.data() == []
    assert r.streams.held > 0
    r.add(1, B | E, b"0", ssn=0)
    assert r.data() == [b"0", b"1", b"2", b"3"]
    assert r.streams.held == 0


def test_streams_do_not_wait_for_one_another() -> None:
    r = Receiver()
    r.add(2, B | E, b"late", sid=1, ssn=1)
    r.add(3, B | E, b"free", sid=2, ssn=0)
    assert r.messages == [(2, b"free")]


def test_unordered_messages_wait_for_nobody_and_their_ssn_means_nothing() -> None:
    r = Receiver()
    r.add(2, B | E, b"late", ssn=1)
    r.add(3, B | E | U, b"now", ssn=0, ppid=5)
    assert r.data() == [b"now"]
    assert r.details == [(0, 0, 5, True, 3)]
    r.add(1, B | E, b"first", ssn=0)
    assert r.data() == [b"now", b"first", b"late"]


def test_the_i_bit_and_reserved_bits_change_nothing() -> None:
    r = Receiver()
    r.add(1, B | E | I, b"a", ssn=0)
    r.add(2, B | E | 0xF0, b"b", ssn=1)
    assert r.data() == [b"a", b"b"]


def test_the_ssn_wraps() -> None:
    r = Receiver()
    for n in range(65536):
        r.add(n, B | E, b"x", ssn=n)
    r.add(65538, B | E, b"second", ssn=1)
    r.add(65537, B | E, b"first", ssn=0)
    assert r.data()[65536:] == [b"first", b"second"]


def test_the_last_stream_is_a_stream() -> None:
    r = Receiver()
    r.add(1, B | U, b"un", sid=65535)
    r.add(2, E | U, b"ordered", sid=65535)
    r.add(4, B | E, b"2", sid=65535, ssn=1)
    r.add(3, B | E, b"1", sid=65535)
    assert r.messages == [(65535, b"unordered"), (65535, b"1"), (65535, b"2")]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3), (3, 0, 2, 1), (1, 2, 0, 3), (0, 3, 1, 2)])
@pytest.mark.parametrize("unordered", [0, U])
def test_fragments_are_joined_in_any_order(order: tuple[int, ...], unordered: int) -> None:
    r = Receiver()
    flags = (B, 0, 0, E)
    for n in order:
        assert r.data() == []
        assert r.add(100 + n, flags[n] | unordered, b"part%d" % n, ppid=n + 1) is None
    assert r.data() == [b"part0part1part2part3"]
    # the payload protocol identifier and the TSN are those of the first fragment
    assert r.details == [(0, 0, 1, bool(unordered), 100)]
    assert r.streams.held == 0


def test_a_fragmented_message_waits_for_its_turn() -> None:
    r = Receiver()
    r.add(2, B, b"a", ssn=1)
    r.add(3, E, b"b", ssn=1)
    assert r.data() == []
    r.add(1, B | E, b"0", ssn=0)
    assert r.data() == [b"0", b"ab"]
    r.add(5, B | E, b"3", ssn=3)
    r.add(4, B | E, b"2", ssn=2)
    assert r.data() == [b"0", b"ab", b"2", b"3"]
    assert r.streams.held == 0


def test_messages_side_by_side_stay_apart() -> None:
    r = Receiver()
    for tsn, flags, ssn in ((4, B, 1), (3, E, 0), (5, E, 1), (2, B, 0)):
        assert r.add(tsn, flags, b"%d" % tsn, ssn=ssn) is None
    assert r.data() == [b"23", b"45"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, B, 0, 0), (2, B, 0, 1)),  # a message begins before the other has ended
        ((1, B, 0, 0), (2, B | E, 0, 1)),
        ((2, B, 0, 1), (1, B, 0, 0)),
        ((1, E, 0, 5), (2, 0, 0, 5)),  # E before B
        ((1, E, 0, 5), (2, E, 0, 5)),
        ((2, 0, 0, 5), (1, E, 0, 5)),
        ((1, B | E, 0, 5), (2, E, 0, 5)),  # beside a message that waits for its turn
        ((2, B | E, 0, 5), (1, B, 0, 4)),
        ((1, B, 0, 0), (2, E, 1, 0)),  # another stream
        ((1, B, 0, 0), (2, E, 0, 1)),  # another SSN
        ((1, B, 0, 0), (2, E | U, 0, 0)),  # another U bit
        ((2, E, 0, 0), (1, B, 1, 0)),
        ((1, B | E, 0, 5), (3, B | E, 0, 5)),  # two messages with one SSN
        ((1, B | U, 0, 5), (2, B | E | U, 0, 5)),
    ],
)
def test_contradictions_are_violations(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> None:
    r = Receiver()
    tsn, flags, sid, ssn = first
    assert r.add(tsn, flags, b"x", sid=sid, ssn=ssn) is None
    tsn, flags, sid, ssn = second
    text = r.add(tsn, flags, b"x", sid=sid, ssn=ssn)
    assert text is not None
    assert f"TSN {tsn}:" in text
    assert r.data() == []


def test_a_fragmented_message_with_an_ssn_in_use_is_a_violation() -> None:
    r = Receiver()
    r.add(1, B | E, b"x", ssn=5)
    r.add(3, B, b"x", ssn=5)
    assert r.add(4, E, b"x", ssn=5) is not None


def test_an_unordered_fragment_may_carry_any_ssn() -> None:
    r = Receiver()
    r.add(1, B | U, b"a", ssn=9)
    assert r.add(2, E | U, b"b", ssn=8) is None
    assert r.data() == [b"ab"]


def test_a_message_can_be_too_long_in_one_chunk_or_in_several() -> None:
    r = Receiver(max_message_size=10)
    assert r.add(1, B | E, b"x" * 10) is None
    assert r.add(2, B | E, b"x" * 11, ssn=1) is not None
    r = Receiver(max_message_size=10)
    r.add(1, B, b"x" * 5)
    r.add(3, 0, b"x" * 5)
    assert "10 bytes" in (r.add(2, 0, b"x") or "")
    r = Receiver(max_message_size=10)
    r.streams.limit_messages(11)
    assert r.add(1, B | E, b"x" * 11) is None


@pytest.mark.parametrize("first", [1, 2], ids=["in order", "behind a hole"])
def test_a_message_can_have_too_many_fragments_for_its_size(first: int) -> None:
    """What it takes to hold them does not count in the window: it must not be more than their data."""
    r = Receiver(max_message_size=1000)
    if first == 2:
        r.add(1, B | E, b"x", ssn=7)  # which is not its turn, so that all are kept by their TSNs
    text, count = r.add(first, B, b"x"), 1
    while text is None:
        text = r.add(first + count, 0, b"x")
        count += 1
    assert "more than" in text
    assert "fragments" in text
    assert 64 <= count <= 128


def test_messages_delivered_while_delivering_keep_their_order() -> None:
    order: list[bytes] = []

    class Restarting(Recipient):
        def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
            order.append(data)
            if data == b"1":
                streams.reset()

    streams = DataStreams(Restarting(), 1000)
    for tsn in (2, 3, 4):
        streams.add(tsn, B | E, 0, tsn - 1, 0, b"%d" % (tsn - 1))
    streams.add(1, B | E, 0, 0, 0, b"0")
    assert order == [b"0", b"1"]
    assert streams.held == 0
    order.clear()
    for tsn in (2, 3, 4):
        streams.add(tsn, B | E, 0, tsn - 1, 0, b"%d" % (tsn - 1))
    streams.skip(0, 1, [(0, False, 3)])
    assert order == [b"1"]
    assert streams.held == 0


def test_a_restart_begins_every_stream_anew() -> None:
    r = Receiver()
    r.add(1, B | E, b"old", ssn=0)
    r.add(3, B, b"half", ssn=2)
    r.streams.reset()
    assert r.streams.held == 0
    r.add(50, B | E, b"new", ssn=0)
    assert r.data() == [b"old", b"new"]
