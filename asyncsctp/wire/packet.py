"""The SCTP packet: common header and CRC32c (RFC 9260 sections 3.1 and 6.8, appendix A).

Ports and verification tag never change while an association lives, so a `Seal` keeps them packed, with the CRC32c
over the header as the seed of the one over the chunks. The checksum stands little-endian among fields in network byte
order. Which tag is right (section 8.5) is not known here.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from crc32c import crc32c

from .constants import COMMON_HEADER_SIZE
from .octets import pack_packet, read_checksum
from .tlv import Malformed

__all__ = ["PREFIX_SIZE", "Seal", "checksum_ok", "pack_prefix", "read_header"]

#: Source port, destination port and verification tag: what the checksum follows.
PREFIX_SIZE: Final = 8

_PREFIX: Final = Struct("!HHI")
_NO_CHECKSUM: Final = bytes(4)
_POLYNOMIAL: Final = 0x82F63B78  # of CRC32c, its bits reflected


@final
class Seal:
    """Makes packets of one direction of one association."""

    __slots__ = ("_seed", "prefix")

    def __init__(self, source_port: int, destination_port: int, tag: int) -> None:
        self.prefix: Final[bytes] = pack_prefix(source_port, destination_port, tag)
        self._seed: Final[int] = crc32c(self.prefix + _NO_CHECKSUM)

    def pack(self, body: bytes) -> bytes:
        """The packet that carries these chunks."""
        checksum: int = crc32c(body, self._seed)
        return pack_packet(self.prefix, checksum, body)


def pack_prefix(source_port: int, destination_port: int, tag: int) -> bytes:
    """The first `PREFIX_SIZE` bytes of a packet."""
    return _PREFIX.pack(source_port, destination_port, tag)


def read_header(datagram: bytes) -> tuple[int, int, int]:
    """Source port, destination port and verification tag of any packet."""
    if len(datagram) < COMMON_HEADER_SIZE:
        raise Malformed(f"a packet of {len(datagram)} bytes has no common header")
    return _PREFIX.unpack_from(datagram)


def checksum_ok(datagram: bytes) -> bool:
    """Whether the checksum of a packet is right.

    The CRC is to be taken with zeros where the checksum stands. Without a copy: a CRC is linear, so there is a seed
    with which the checksum cancels itself out when the CRC comes to it, and the result is that with zeros.
    """
    if len(datagram) < COMMON_HEADER_SIZE:
        return False
    checksum = read_checksum(datagram)
    seed = (
        _CANCEL_0[checksum & 0xFF]
        ^ _CANCEL_1[checksum >> 8 & 0xFF]
        ^ _CANCEL_2[checksum >> 16 & 0xFF]
        ^ _CANCEL_3[checksum >> 24]
    )
    computed: int = crc32c(datagram, seed)
    return computed == checksum


def _unwind(register: int) -> int:
    """The CRC register before the eight bytes of zeros after which it has this value."""
    for _ in range(8 * PREFIX_SIZE):
        register = ((register ^ _POLYNOMIAL) << 1 | 1) if register >> 31 else register << 1
    return register


def _canceling(shift: int) -> list[int]:
    """The seeds that cancel a checksum of which only these eight bits are not 0."""
    bits = [_unwind(1 << shift + bit) for bit in range(8)]
    seeds = [0]
    for bit in bits:
        seeds += [seed ^ bit for seed in seeds]
    return seeds


_CANCEL_0: Final = _canceling(0)
_CANCEL_1: Final = _canceling(8)
_CANCEL_2: Final = _canceling(16)
_CANCEL_3: Final = _canceling(24)
