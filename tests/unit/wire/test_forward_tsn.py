from __future__ import annotations

import pytest

from asyncsctp.wire.constants import FORWARD_TSN, I_FORWARD_TSN
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn, read_forward_tsn
from asyncsctp.wire.tlv import Malformed


def test_forward_tsn_is_as_in_rfc_3758() -> None:
    chunk = pack_forward_tsn(0xFFFFFFFE, [(1, 2), (65535, 65534)])
    assert chunk == bytes.fromhex("c0000010 fffffffe 0001 0002 ffff fffe")
    assert read_forward_tsn(chunk, 0, len(chunk)) == (0xFFFFFFFE, [(1, False, 2), (65535, False, 65534)])


def test_i_forward_tsn_is_as_in_rfc_8260() -> None:
    chunk = pack_i_forward_tsn(5, [(1, False, 2), (3, True, 0xFFFFFFFF)])
    assert chunk == bytes.fromhex("c2000018 00000005 0001 0000 00000002 0003 0001 ffffffff")
    assert read_forward_tsn(chunk, 0, len(chunk)) == (5, [(1, False, 2), (3, True, 0xFFFFFFFF)])


def test_no_entries() -> None:
    assert read_forward_tsn(pack_forward_tsn(7), 0, 8) == (7, [])
    assert read_forward_tsn(pack_i_forward_tsn(7), 0, 8) == (7, [])


def test_it_may_stand_anywhere_in_a_packet_and_reads_no_further_than_its_end() -> None:
    packet = bytes(12) + pack_forward_tsn(9, [(1, 1)]) + pack_i_forward_tsn(10, [(2, True, 2)]) + b"\xff" * 16
    assert read_forward_tsn(packet, 12, 24) == (9, [(1, False, 1)])
    assert read_forward_tsn(packet, 24, 40) == (10, [(2, True, 2)])


def test_reserved_bits_and_stray_bytes_mean_nothing() -> None:
    chunk = bytearray(pack_i_forward_tsn(5, [(1, True, 2)]))
    chunk[10:12] = b"\xff\xff"
    assert read_forward_tsn(bytes(chunk), 0, 16) == (5, [(1, True, 2)])
    assert read_forward_tsn(bytes(chunk), 0, 15) == (5, [])
    assert read_forward_tsn(pack_forward_tsn(5, [(1, 2), (3, 4)]), 0, 15) == (5, [(1, False, 2)])


@pytest.mark.parametrize("kind", [FORWARD_TSN, I_FORWARD_TSN])
@pytest.mark.parametrize("length", [1, 4, 7])
def test_too_short_is_malformed(kind: int, length: int) -> None:
    chunk = bytes([kind]) + bytes(19)
    with pytest.raises(Malformed):
        read_forward_tsn(chunk, 0, length)
    with pytest.raises(Malformed):
        read_forward_tsn(chunk[:length], 0, 8)
