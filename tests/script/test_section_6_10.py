"""RFC 9260 section 6.10, with 3.2: bundling, and how a packet is read; RFC 4820: padding."""

from __future__ import annotations

import pytest
from support.script import PEER_TSN, Script

from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.wire import control
from asyncsctp.wire.constants import CAUSE_UNRECOGNIZED_CHUNK, DATA, ERROR, HEARTBEAT_ACK, INIT, SACK
from asyncsctp.wire.control import pack_heartbeat, pack_pad
from asyncsctp.wire.init import Init, pack_init


def test_chunks_are_processed_in_their_order() -> None:
    """MUST process received chunks in their order in the packet."""
    script = Script()
    script.write(b"data")
    script.take()
    script.send(script.sack(0), pack_heartbeat(b"x"), script.data(0))
    script.expect(HEARTBEAT_ACK, SACK)
    assert script.association.buffered == 0


def test_a_partial_chunk_is_dropped_and_what_stands_before_it_is_not() -> None:
    """If the receiver detects a partial chunk, it MUST drop the chunk."""
    script = Script()
    script.send(script.data(0), script.data(1)[:-4])
    assert script.expect(SACK).one(SACK).tsn == 0
    script.send(pack_heartbeat(b"y"), script.data(1)[:10])
    assert HEARTBEAT_ACK in script.take()[0].kinds
    assert script.state is ESTABLISHED


@pytest.mark.parametrize("chunk", [b"\x03\0\0\0", b"\x03\0\0\x03", b"\x03\0\xff\xff", b"\x03\0\0\x08\0\0\0\0", b"\x03"])
def test_lengths_that_cannot_be_end_the_packet_and_nothing_else(chunk: bytes) -> None:
    script = Script()
    script.send(script.data(0), chunk)
    script.expect(SACK)
    script.send(chunk + script.data(1))
    assert script.state is ESTABLISHED


def test_final_padding_may_be_counted_or_missing() -> None:
    """Section 3.2, note: a robust implementation accepts the chunk whether or not the final padding is in its
    length.
    """
    script = Script()
    script.send(b"\x04\0\0\x0c" + b"\0\1\0\x05" + b"x\0\0\0")
    script.expect(HEARTBEAT_ACK)
    script.send(b"\x04\0\0\x09" + b"\0\1\0\x05" + b"x")
    script.expect(HEARTBEAT_ACK)


def test_init_is_not_bundled_with_anything() -> None:
    """MUST NOT bundle INIT, INIT ACK or SHUTDOWN COMPLETE with other chunks; one that is, is discarded."""
    assert Script(up=False).take()[0].kinds == [INIT]
    script = Script()
    init = Init(7, 100_000, 1, 1, PEER_TSN, ())
    script.send(pack_init(init, False), script.data(0), tag=0)
    script.expect_nothing()
    assert script.state is ESTABLISHED


# Section 3.2: what nobody knows.


@pytest.mark.parametrize(("kind", "goes_on", "reported"), [(15, 0, 0), (0x41, 0, 1), (0x90, 1, 0), (0xC1, 1, 1)])
def test_the_high_bits_of_an_unknown_chunk_type_are_obeyed(kind: int, goes_on: int, reported: int) -> None:
    """00: stop. 01: stop and report. 10: skip. 11: skip and report, with cause "Unrecognized Chunk Type"."""
    script = Script()
    unknown = bytes((kind, 5, 0, 7)) + b"abc"
    script.send(pack_heartbeat(b"before"), unknown + b"\0", script.data(0))
    packet = script.expect(HEARTBEAT_ACK, *[ERROR] * reported, *[SACK] * goes_on)
    for error in packet.all(ERROR):
        assert error.causes == [(CAUSE_UNRECOGNIZED_CHUNK, unknown)]
    assert len(script.user.messages) == goes_on


def test_chunk_flags_without_meaning_are_ignored() -> None:
    """Section 3.2: set to 0 on transmit and ignored on receipt."""
    script = Script()
    data = bytearray(script.data(0))
    data[1] |= 0xF0
    heartbeat = bytearray(pack_heartbeat(b"x"))
    heartbeat[1] = 0xFF
    script.send(bytes(heartbeat), bytes(data))
    script.expect(HEARTBEAT_ACK, SACK)
    assert len(script.user.messages) == 1


def test_a_chunk_of_another_state_is_discarded() -> None:
    """Sections 5.2.3 and 5.2.5: an unexpected INIT ACK, a duplicate COOKIE ACK, SHUTDOWN COMPLETE, SHUTDOWN ACK."""
    script = Script()
    init_ack = pack_init(Init(7, 100_000, 1, 1, PEER_TSN, (), cookie=b"c"), True)
    for chunk in (init_ack, control.pack_cookie_ack(), control.pack_shutdown_complete(), control.pack_shutdown_ack()):
        script.send(chunk)
        script.expect_nothing()
        assert script.state is ESTABLISHED


# RFC 4820.


def test_pad_chunks_are_skipped() -> None:
    """RFC 4820 section 3: the receiver MUST discard the chunk and continue with the packet; there may be several."""
    script = Script()
    script.write(b"data")
    script.take()
    pad = bytearray(pack_pad(64))
    pad[1] = 0xAA
    pad[4:] = b"\xff" * 60
    script.send(pack_pad(4), script.sack(0), bytes(pad), script.data(0), pack_pad(100))
    assert script.expect(SACK).one(SACK).tsn == 0
    assert len(script.user.messages) == 1
    assert script.association.buffered == 0


def test_a_packet_of_padding_alone_means_nothing() -> None:
    script = Script()
    script.send(pack_pad(1000))
    script.expect_nothing()
    script.write(b"x")
    script.expect(DATA)


def test_data_that_has_no_space_behind_control_chunks_leaves_in_the_next_packet() -> None:
    """Section 6.10: control chunks come first, within the PMTU; a message is not fragmented for that."""
    script = Script()
    script.arrive(pack_heartbeat(bytes(1000)))
    script.association.send(0, bytes(script.payload - 16))
    script.association.send(0, b"small")
    script.flush()
    script.expect_each([HEARTBEAT_ACK], [DATA], [DATA])


def test_an_answer_too_long_for_a_packet_is_not_given() -> None:
    """Section 8.3: what a HEARTBEAT asks to be returned may not be cut."""
    script = Script(paths=2)
    script.association.configure_path(script.path(0).route.address, {"mtu": 576}, script.now)
    script.association.configure_path(script.path(1).route.address, {"mtu": 576}, script.now)
    script.send(pack_heartbeat(bytes(1000)))
    script.expect_nothing()
