from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncsctp.wire import control, tlv
from asyncsctp.wire.tlv import Malformed


def value_of(chunk: bytes) -> tuple[bytes, int, int]:
    [(_, _, start, end)] = tlv.walk(chunk, 0, len(chunk))
    return chunk, start, end


@pytest.mark.parametrize(
    ("chunk", "wire"),
    [
        (control.pack_heartbeat(b"nonce"), "0400000d 00010009 6e6f6e6365 000000"),
        (control.pack_heartbeat_ack(b"12345678"), "05000010 0001000c 3132333435363738"),
        (control.pack_abort(), "06000004"),
        (control.pack_abort(tlv.pack(4), reflected=True), "06010008 00040004"),
        (control.pack_shutdown(0xFFFFFFFE), "07000008 fffffffe"),
        (control.pack_shutdown_ack(), "08000004"),
        (control.pack_error(tlv.pack(4)), "09000008 00040004"),
        (control.pack_cookie_echo(b"cookie"), "0a00000a 636f6f6b6965 0000"),
        (control.pack_cookie_ack(), "0b000004"),
        (control.pack_ecne(7), "0c000008 00000007"),
        (control.pack_cwr(7), "0d000008 00000007"),
        (control.pack_shutdown_complete(), "0e000004"),
        (control.pack_shutdown_complete(reflected=True), "0e010004"),
        (control.pack_pad(4), "84000004"),
        (control.pack_pad(12), "8400000c 0000000000000000"),
    ],
)
def test_chunks_as_the_rfcs_draw_them(chunk: bytes, wire: str) -> None:
    assert chunk == bytes.fromhex(wire)


@pytest.mark.parametrize("pack", [control.pack_heartbeat, control.pack_heartbeat_ack])
@pytest.mark.parametrize("info", [b"", b"x", b"0123456789abcdef"])
def test_heartbeat_info_comes_back(pack: Callable[[bytes], bytes], info: bytes) -> None:
    assert control.read_heartbeat(*value_of(pack(info))) == info


def test_3_3_5_heartbeat_info_is_mandatory() -> None:
    for value in (b"", tlv.pack(2, b"nonce")):
        with pytest.raises(Malformed):
            control.read_heartbeat(value, 0, len(value))


def test_heartbeat_info_beyond_the_chunk_is_malformed() -> None:
    with pytest.raises(Malformed):
        control.read_heartbeat(tlv.pack(1, b"12345678"), 0, 8)


def test_tsns_come_back() -> None:
    assert control.read_tsn(*value_of(control.pack_shutdown(0xFFFFFFFF))) == 0xFFFFFFFF
    assert control.read_tsn(*value_of(control.pack_cwr(5))) == 5
    assert control.read_ecne(*value_of(control.pack_ecne(5))) == (5, 1)


def test_an_ecne_may_count_the_packets_that_were_marked() -> None:
    assert control.read_ecne(bytes.fromhex("00000005 00000009"), 0, 8) == (5, 9)


@pytest.mark.parametrize("read", [control.read_tsn, control.read_ecne])
@pytest.mark.parametrize("size", range(4))
def test_a_tsn_cut_short_is_malformed(read: Callable[[bytes, int, int], object], size: int) -> None:
    with pytest.raises(Malformed):
        read(bytes(16), 0, size)
    with pytest.raises(Malformed):
        read(bytes(size), 0, 8)


@pytest.mark.parametrize("size", [-4, 0, 3, 6])
def test_rfc4820_a_pad_chunk_has_a_header_and_no_padding(size: int) -> None:
    with pytest.raises(ValueError):
        control.pack_pad(size)


ABORT_OF_TWO = control.pack_abort(tlv.pack(12, b"abcdefgh") + tlv.pack(12, b"ijklmnop"))


@pytest.mark.parametrize(
    ("space", "left"),
    [
        (28, ABORT_OF_TWO),
        (27, control.pack_abort(tlv.pack(12, b"abcdefgh") + tlv.pack(12, b"ijkl"))),
        (16, control.pack_abort(tlv.pack(12, b"abcdefgh"))),
        (8, control.pack_abort(tlv.pack(12))),
        (4, control.pack_abort()),
        (3, b""),
    ],
)
def test_causes_are_shortened_to_what_fits_a_packet(space: int, left: bytes) -> None:
    assert control.fit(ABORT_OF_TWO, space) == left


def test_a_heartbeat_ack_is_sent_whole_or_not_at_all() -> None:
    ack, error = control.pack_heartbeat_ack(b"12345678"), control.pack_error(tlv.pack(4))
    assert control.fit(ack + error, 24) == ack + error
    assert control.fit(ack + error, 23) == ack + control.pack_error(b"")
    assert control.fit(ack + error, 15) == error


def test_a_cookie_echo_is_as_large_as_the_peer_has_made_it() -> None:
    echo = control.pack_cookie_echo(b"cookie")
    assert control.fit(echo, 4) == echo
    assert control.fit(echo + control.pack_heartbeat_ack(b"12345678"), 12) == echo
