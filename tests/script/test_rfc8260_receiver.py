"""RFC 8260 section 2: what a receiver does with I-DATA and I-FORWARD-TSN."""

from __future__ import annotations

import pytest
from support.script import B, E, Script, U

from asyncsctp.config import Config
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_INVALID_STREAM,
    CAUSE_NO_USER_DATA,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_PROTOCOL_VIOLATION,
    ERROR,
    FORWARD_TSN,
    I_DATA,
    I_DATA_HEADER_SIZE,
    I_FORWARD_TSN,
    SACK,
)
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
from asyncsctp.wire.octets import Writer, write_i_data
from asyncsctp.wire.tlv import PADDING

CONFIG = Config(heartbeat_interval=None, interleaving=True)
ALL = frozenset({I_DATA, I_FORWARD_TSN, FORWARD_TSN})


def negotiated(config: Config = CONFIG) -> Script:
    return Script(config, extensions=ALL)


def i_data(
    script: Script, tsn: int, data: bytes = b"data", *, flags: int = B | E, sid: int = 0, mid: int = 0, number: int = 0
) -> bytes:
    writer = Writer()
    length = I_DATA_HEADER_SIZE + len(data)
    write_i_data(writer, I_DATA << 8 | flags, length, script.theirs(tsn), sid, mid, number)
    return writer.getvalue() + data + PADDING[len(data) & 3]


def heard(script: Script) -> list[bytes]:
    return [data for _, _, _, data in script.user.messages]


def test_interleaved_messages_are_put_together() -> None:
    script = negotiated()
    script.send(
        i_data(script, 0, b"a0", flags=B, sid=0, number=46),
        i_data(script, 1, b"b0", flags=B, sid=1, number=47),
        i_data(script, 2, b"a1", flags=0, sid=0, number=1),
        i_data(script, 3, b"whole", sid=2, number=48),
        i_data(script, 4, b"u", flags=B | E | U, sid=0, number=49),
        i_data(script, 5, b"b1", flags=E, sid=1, number=1),
        i_data(script, 6, b"a2", flags=E, sid=0, number=2),
    )
    assert script.user.messages == [
        (2, 48, False, b"whole"),
        (0, 49, True, b"u"),
        (1, 47, False, b"b0b1"),
        (0, 46, False, b"a0a1a2"),
    ]
    assert script.expect(SACK).one(SACK).tsn == 6
    statistics = script.association.statistics
    assert (statistics.data_chunks_received, statistics.messages_received, statistics.bytes_received) == (7, 4, 16)


def test_the_i_bit_asks_for_a_sack() -> None:
    script = negotiated()
    script.send(i_data(script, 0))
    script.take()
    script.send(i_data(script, 1, mid=1))
    script.expect_nothing()
    script.advance(1)
    script.take()
    script.send(i_data(script, 2, mid=2, flags=B | E | 8))
    assert script.expect(SACK).one(SACK).tsn == 2


def test_duplicates_and_gaps_are_as_with_data() -> None:
    script = negotiated()
    script.send(i_data(script, 2, mid=2))
    script.send(i_data(script, 2, mid=2))
    sack = script.take()[-1].one(SACK)
    assert (sack.tsn, sack.gaps, sack.duplicates) == (-1, ((2, 2),), (2,))


def test_a_stream_that_is_not_there_is_reported() -> None:
    script = negotiated()
    script.send(i_data(script, 0, sid=60000))
    packet = script.expect(ERROR, SACK)
    assert packet.one(ERROR).causes[0][0] == CAUSE_INVALID_STREAM
    assert packet.one(SACK).tsn == 0


def test_no_user_data_aborts() -> None:
    script = negotiated()
    script.send(i_data(script, 0, b""))
    assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_NO_USER_DATA


@pytest.mark.parametrize("length", [0, 4, 19, 21])
def test_lengths_that_cannot_be_are_malformed(length: int) -> None:
    script = negotiated()
    chunk = bytearray(i_data(script, 0, b""))
    chunk[2:4] = length.to_bytes(2, "big")
    script.send(bytes(chunk))
    script.send(bytes(chunk[:8]))
    assert script.state is ESTABLISHED and heard(script) == []
    assert script.association.statistics.malformed_packets == 2


def test_data_aborts_where_i_data_was_negotiated() -> None:
    """Section 2.2.3: MUST abort."""
    for first in (b"", b"\x84\0\0\4"):
        script = negotiated()
        script.send(first + script.data(0))
        assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION
        assert script.state is CLOSED
        assert heard(script) == []
    script = negotiated()
    script.send(i_data(script, 0), script.data(1))
    assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION


@pytest.mark.parametrize("offered", [frozenset({FORWARD_TSN}), frozenset[int](), ALL])
def test_i_data_aborts_where_it_was_not(offered: frozenset[int]) -> None:
    config = CONFIG.replace(interleaving=False) if offered == ALL else CONFIG
    script = Script(config, extensions=offered)
    script.send(i_data(script, 0))
    assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION
    assert heard(script) == []


def test_forward_tsn_aborts_where_i_forward_tsn_was_negotiated() -> None:
    script = negotiated()
    script.send(pack_forward_tsn(script.theirs(0)))
    assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION


def test_i_forward_tsn_skips_ordered_and_unordered_messages() -> None:
    script = negotiated()
    script.send(
        i_data(script, 1, b"half", flags=B, mid=0),
        i_data(script, 3, b"half", flags=B | U, sid=5, mid=7),
        i_data(script, 5, b"one", mid=1),
        i_data(script, 6, b"two", sid=5, mid=2),
    )
    skip = pack_i_forward_tsn(script.theirs(4), [(0, False, 0), (5, True, 7), (5, False, 1), (700, True, 1)])
    script.send(skip)
    assert heard(script) == [b"one", b"two"]
    assert script.take()[-1].one(SACK).tsn == 6
    assert script.association.statistics.messages_received == 2
    script.send(skip)  # out of date
    sack = script.expect(SACK).one(SACK)
    assert (sack.tsn, sack.a_rwnd) == (6, script.config.recv_buffer)
    script.send(i_data(script, 7, b"late", flags=U, sid=5, mid=7, number=1), i_data(script, 8, b"next", mid=2))
    assert heard(script)[2:] == [b"next"]
    assert script.state is ESTABLISHED


def test_three_messages_of_a_mebibyte_interleave_through_a_window_of_half() -> None:
    """A message in progress does not close the window: up to twice `max_message_size` in all."""
    script = negotiated(CONFIG.replace(recv_buffer=1 << 19, max_message_size=4 << 20))
    size = 1200
    count = (1 << 20) // size
    tsn = 0
    for position in range(count):
        for sid in range(3):
            flags = (B if position == 0 else 0) | (E if position == count - 1 else 0)
            script.arrive(i_data(script, tsn, bytes(size), flags=flags, sid=sid, number=position))
            tsn += 1
        if position % 16 == 0:
            script.flush()
            assert script.take()[-1].all(SACK)[-1].a_rwnd > 1 << 18
    script.flush()
    assert [len(data) for data in heard(script)] == [count * size] * 3
    assert script.association.statistics.dropped_out_of_window == 0


def test_begun_messages_without_end_end_the_association() -> None:
    """Endless first fragments of ever new messages: each is charged, what does not count in the window has a bound, and
    the end says what would help.
    """
    script = negotiated(CONFIG.replace(recv_buffer=1 << 16, max_message_size=1 << 14))
    most = 0
    for first in range(0, 4000, 10):
        script.arrive(
            *[i_data(script, tsn, b"x", flags=B | U, sid=tsn % 16, mid=tsn) for tsn in range(first, first + 10)]
        )
        script.flush()
        if script.state is CLOSED:
            break
        most = max(most, script.endpoint.budget.taken)
    assert 0 < first <= 130 and most <= 1 << 16
    [abort] = script.take()[-1].all(ABORT)
    assert [code for code, _ in abort.causes] == [CAUSE_OUT_OF_RESOURCE]
    remedies = ("recv_buffer", "max_message_size", "memory_limit", "in parts")
    assert all(remedy in str(script.user.error) for remedy in remedies)
