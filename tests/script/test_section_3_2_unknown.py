"""RFC 9260 sections 3.1 to 3.3: unknown chunks and parameters, by their two high bits; lengths and padding."""

from __future__ import annotations

import pytest
from support.endpoints import PEER_TAG, PEER_TSN, Solo, cause_of, chunks, data, init_of, kinds, offer, tag_of
from support.narrowing import so_far

from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_ACK_SENT
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ASCONF,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    COOKIE_ECHO,
    ERROR,
    FORWARD_TSN,
    HEARTBEAT_ACK,
    INIT,
    INIT_ACK,
    RE_CONFIG,
    SHUTDOWN,
)
from asyncsctp.wire.init import pack_init

#: I-DATA and I-FORWARD-TSN abort where they were not negotiated (RFC 8260).
UNKNOWN = [kind for kind in range(256) if kind not in (*range(15), 0x84, 0x40, 0xC2)]


@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_chunk(kind: int) -> None:
    """Table 2. What stood before it has been processed; what follows is, if the highest bit says so."""
    solo = Solo()
    association = solo.accept()
    unknown = tlv.pack(kind << 8, b"abcde")
    said = solo.say(control.pack_heartbeat(b"before"), unknown, control.pack_heartbeat(b"after"))
    answers = [chunk for _, packet in said for chunk in chunks(packet)]
    heartbeats = [chunk for chunk in answers if chunk[0] == HEARTBEAT_ACK]
    errors = [chunk for chunk in answers if chunk[0] == ERROR]
    assert len(heartbeats) == (2 if kind & 0x80 else 1)
    assert len(errors) == (1 if kind & 0x40 else 0)
    for error in errors:
        assert cause_of(error) == CAUSE_UNRECOGNIZED_CHUNK
        assert error[8:17] == unknown[:9]
    assert association.state is ESTABLISHED
    assert {tag_of(packet) for _, packet in said} == {PEER_TAG}


def test_a_packet_full_of_unknown_chunks_is_answered_by_little() -> None:
    solo = Solo()
    solo.accept()
    packet = solo.packet(*[b"\xc1\0\0\4"] * 300)
    assert sum(len(answer) for _, answer in solo.receive(packet)) <= len(packet)


def test_an_unknown_chunk_in_the_handshake_is_skipped_or_ends_the_packet() -> None:
    solo = Solo(listening=False)
    solo.connect()
    solo.answer()
    assert solo.say(b"\x41\0\0\4", control.pack_cookie_ack()) == []
    assert so_far(solo.association.state) is COOKIE_ECHOED
    solo.say(b"\xc1\0\0\4", control.pack_cookie_ack())
    assert solo.association.state is ESTABLISHED


@pytest.mark.parametrize("kind", [ASCONF, FORWARD_TSN, RE_CONFIG])
def test_an_extension_that_comes_before_the_cookie_ack_is_not_called_unknown(kind: int) -> None:
    """The peer is up and has what it uses from our INIT; an ERROR would make it give the extension up (RFC 5061)."""
    solo = Solo(listening=False)
    solo.connect()
    solo.answer()
    assert so_far(solo.association.state) is COOKIE_ECHOED
    said = solo.say(tlv.pack(kind << 8, b"abcd")) + solo.say(control.pack_cookie_ack())
    assert [kind for _, packet in said for kind in kinds(packet) if kind == ERROR] == []
    assert solo.association.state is ESTABLISHED


PARAMETERS = [0x0022, 0x3FFF, 0x4022, 0x7FFF, 0x8022, 0xBFFF, 0xC022, 0xFFFF]


def with_parameters(init: bytes, *items: bytes) -> bytes:
    """An INIT or INIT ACK with these parameters behind its own."""
    body = tlv.pad(init) + b"".join(map(tlv.pad, items))
    length = len(body) - len(tlv.pad(items[-1])) + len(items[-1])
    return body[:2] + length.to_bytes(2) + body[4:]


@pytest.mark.parametrize("kind", PARAMETERS)
def test_an_unknown_parameter_of_an_init(kind: int) -> None:
    """Table 3 and section 3.2.2: reported in the INIT ACK, which is sent in any case."""
    solo = Solo()
    unknown = tlv.pack(kind, b"abcd")
    address = tlv.pack(5, bytes((198, 51, 100, 9)))
    init = with_parameters(pack_init(offer(), ack=False), unknown, address)
    ((_, answer),) = solo.receive(solo.packet(init, tag=0))
    assert kinds(answer) == [INIT_ACK]
    ack = init_of(answer)
    assert ack.reported == ((unknown,) if kind & 0x4000 else ())
    solo.receive(solo.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag))
    assert len(solo.association.path_manager.paths) == (2 if kind & 0x8000 else 1)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_an_unknown_parameter_of_an_init_ack(kind: int) -> None:
    """Section 3.2.2: reported beside the COOKIE ECHO, which is the first chunk."""
    solo = Solo(listening=False)
    solo.connect()
    unknown = tlv.pack(kind, b"abcd")
    ack = with_parameters(pack_init(offer(cookie=b"cookie"), ack=True), unknown)
    ((_, answer),) = solo.say(ack)
    if kind & 0x4000:
        assert kinds(answer) == [COOKIE_ECHO, ERROR]
        error = chunks(answer)[1]
        assert cause_of(error) == CAUSE_UNRECOGNIZED_PARAMETERS
        assert error[8:16] == unknown
    else:
        assert kinds(answer) == [COOKIE_ECHO]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 9, 100, 0xFFFF])
def test_a_length_that_cannot_be_ends_the_packet(length: int) -> None:
    solo = Solo()
    association = solo.accept()
    bad = b"\x81\0" + length.to_bytes(2) + b"abcd"
    said = solo.say(control.pack_heartbeat(b"before"), bad)
    assert [kinds(packet) for _, packet in said] == [[HEARTBEAT_ACK]]
    assert association.state is ESTABLISHED
    stranger = Solo()
    assert stranger.receive(stranger.packet(bad, tag=5)) == []


@pytest.mark.parametrize("kind", range(16))
@pytest.mark.parametrize("length", [4, 5, 8, 12])
def test_chunks_too_short_for_their_fields_do_no_harm(kind: int, length: int) -> None:
    solo = Solo()
    association = solo.accept()
    solo.say(tlv.pack(kind << 8, bytes(length - 4)))
    if kind in (0, 3, 6):  # no user data; zeros that acknowledge what was never sent; an ABORT
        assert association.state in (ESTABLISHED, CLOSED)
    elif kind == SHUTDOWN:  # whose field is not looked at where it can't be (section 9.2)
        assert association.state in (ESTABLISHED, SHUTDOWN_ACK_SENT)
    else:
        assert association.state is ESTABLISHED


def test_padding_is_not_looked_at_and_the_last_may_lack() -> None:
    solo = Solo()
    solo.accept()
    heartbeat = control.pack_heartbeat(b"x")
    padded = heartbeat[:-3] + b"\xff\xff\xff"
    said = solo.say(padded, heartbeat[:-3])
    assert [kinds(packet) for _, packet in said] == [[HEARTBEAT_ACK, HEARTBEAT_ACK]]


def test_reserved_flags_are_ignored() -> None:
    solo = Solo()
    association = solo.accept()
    heartbeat = control.pack_heartbeat(b"x")
    assert kinds(solo.say(bytes((heartbeat[0], 0xFF)) + heartbeat[2:])[0][1]) == [HEARTBEAT_ACK]
    chunk = data(PEER_TSN)
    solo.say(chunk[:1] + bytes((chunk[1] | 0xF0,)) + chunk[2:])
    assert solo.user.messages == [(0, 0, False, b"data")]
    init = pack_init(offer(initiate_tag=8), ack=False)
    ((_, answer),) = solo.receive(solo.packet(bytes((INIT, 0xFF)) + init[2:], tag=0))
    assert kinds(answer) == [INIT_ACK]
    assert association.state is ESTABLISHED
