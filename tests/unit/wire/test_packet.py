from __future__ import annotations

import pytest

from asyncsctp.wire.packet import PREFIX_SIZE, Seal, checksum_ok, read_header
from asyncsctp.wire.tlv import Malformed

# COOKIE ACK from port 5000 to port 5000, tag 0x01020304.
PACKET = bytes.fromhex("1388138801020304ee5a51a50b000004")


def crc32c_bit_by_bit(data: bytes) -> int:
    """RFC 9260 appendix A, as plain as can be."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_appendix_a_the_checksum_stands_little_endian_behind_the_tag() -> None:
    body = b"\x0b\0\0\x04"
    packet = Seal(5000, 5001, 0xDEADBEEF).pack(body)
    prefix = bytes.fromhex("13881389deadbeef")
    assert packet == prefix + crc32c_bit_by_bit(prefix + bytes(4) + body).to_bytes(4, "little") + body


def test_what_a_seal_packs_it_opens() -> None:
    seal = Seal(1, 65535, 0xFFFFFFFF)
    packet = seal.pack(b"\x0b\0\0\x04" * 300)
    assert packet[:PREFIX_SIZE] == seal.prefix
    assert seal.opens(packet)
    assert checksum_ok(packet)
    assert read_header(packet) == (1, 65535, 0xFFFFFFFF)


def test_a_known_packet() -> None:
    assert Seal(5000, 5000, 0x01020304).pack(b"\x0b\0\0\x04") == PACKET


@pytest.mark.parametrize("at", range(8 * len(PACKET)))
def test_no_flipped_bit_goes_unnoticed(at: int) -> None:
    bad = bytearray(PACKET)
    bad[at // 8] ^= 1 << at % 8
    assert not checksum_ok(bytes(bad))


def test_a_zero_checksum_is_no_checksum() -> None:
    assert not checksum_ok(PACKET[:8] + bytes(4) + PACKET[12:])


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_common_header_is_no_packet(size: int) -> None:
    with pytest.raises(Malformed):
        read_header(PACKET[:size])
    assert not checksum_ok(PACKET[:size])
    assert not Seal(5000, 5000, 0x01020304).opens(PACKET[:size])


def test_a_packet_without_chunks_can_be_checked() -> None:
    assert checksum_ok(Seal(1, 2, 3).pack(b""))
