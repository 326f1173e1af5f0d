"""Which user data is taken, and when the peer hears of it (RFC 9260 sections 6.2 and 6.9), chunk by chunk."""

from __future__ import annotations

import pytest
from support.chunks import pack_data
from support.script import PEER_TSN, B, E, I, Script

from asyncsctp.config import Config
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.handlers.state import CLOSED
from asyncsctp.wire.constants import ABORT, CAUSE_INVALID_STREAM, CAUSE_NO_USER_DATA, ERROR, FORWARD_TSN, SACK
from asyncsctp.wire.forward_tsn import pack_forward_tsn
from asyncsctp.wire.tlv import Malformed

SMALL = Config(heartbeat_interval=None, recv_buffer=4096, max_message_size=1000)


def receiving(script: Script) -> DataReceiver:
    return script.association._parts.established.receiver


def take(script: Script, *chunks: bytes) -> int:
    body = b"".join(chunks)
    return receiving(script).on_data(body, 0, len(body), script.path())


def heard(script: Script) -> list[bytes]:
    return [message[3] for message in script.user.messages]


def test_chunks_of_user_data_are_taken_as_far_as_they_stand_together() -> None:
    script = Script()
    first, second = script.data(0, b"a"), script.data(1, b"b", sid=3)
    other = b"\x0b\0\0\4"
    assert take(script, first, second, other, script.data(2)) == len(first) + len(second)
    assert heard(script) == [b"a", b"b"]
    statistics = script.association.context.statistics
    assert (statistics.data_chunks_received, statistics.bytes_received, statistics.messages_received) == (2, 2, 2)


@pytest.mark.parametrize("length", [0, 3, 15, 21])
def test_a_length_that_can_not_be_is_malformed(length: int) -> None:
    script = Script()
    chunk = script.data(0)
    with pytest.raises(Malformed):
        take(script, chunk[:2] + length.to_bytes(2) + chunk[4:20])
    assert heard(script) == []


def test_a_chunk_without_user_data_aborts() -> None:
    """Section 6.2."""
    script = Script()
    take(script, pack_data(B | E, script.theirs(0), 0, 0, 0, b""))
    script.flush()
    assert [code for code, _ in script.expect(ABORT).one(ABORT).causes] == [CAUSE_NO_USER_DATA]


def test_data_for_a_stream_that_is_not_there_is_acknowledged_and_told() -> None:
    """Section 6.5."""
    script = Script()
    take(script, script.data(0, sid=script.streams), script.data(1))
    receiving(script).on_packet_end(script.path())
    script.flush()
    chunks = [chunk for packet in script.take() for chunk in packet.chunks]
    assert [chunk.tsn for chunk in chunks if chunk.kind == SACK] == [1]
    [told] = [chunk for chunk in chunks if chunk.kind == ERROR]
    assert [code for code, _ in told.causes] == [CAUSE_INVALID_STREAM]
    assert len(heard(script)) == 1


def test_duplicates_are_counted_and_not_delivered_again() -> None:
    script = Script()
    take(script, script.data(0), script.data(0, ssn=0), script.data(0, ssn=0))
    assert len(heard(script)) == 1
    assert script.association.context.statistics.duplicate_tsns_received == 2


@pytest.mark.parametrize("flags", [B | E, B | E | I])
def test_the_i_bit_asks_for_a_sack_at_once(flags: int) -> None:
    """RFC 7053; without it the first packet may wait for another."""
    script = Script()
    script.send(script.data(0))
    script.advance(1.0)
    script.take()
    take(script, script.data(1, flags=flags))
    receiving(script).on_packet_end(script.path())
    assert receiving(script).acknowledger.is_due is bool(flags & I)


def test_a_full_buffer_takes_what_fills_a_hole_and_lets_go_of_the_largest() -> None:
    """Section 6.2: a TSN below the largest one displaces that, and the peer hears of it by the next SACK."""
    script = Script(SMALL)
    take(script, *[script.data(tsn, bytes(700), ssn=tsn) for tsn in range(1, 6)])
    tracker = receiving(script).tracker
    highest = tracker.highest_tsn
    take(script, script.data(0, bytes(700), ssn=0))
    assert tracker.highest_tsn < highest or tracker.cumulative_tsn == highest
    assert len(heard(script)) >= 4
    assert receiving(script).acknowledger.is_due


def test_what_is_abandoned_counts_as_received() -> None:
    """RFC 3758 section 3.6."""
    script = Script(extensions=frozenset({FORWARD_TSN}))
    take(script, script.data(2, b"waits", ssn=1))
    chunk = pack_forward_tsn(script.theirs(1), [(0, 0)])
    receiving(script).on_forward_tsn(chunk, 0, len(chunk))
    assert heard(script) == [b"waits"]
    assert receiving(script).tracker.expected == (PEER_TSN + 3) & 0xFFFFFFFF
    assert script.state is not CLOSED
