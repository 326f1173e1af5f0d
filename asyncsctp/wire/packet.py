"""The SCTP packet: common header and CRC32c (RFC 9260 sections 3.1 and 6.8, appendix A).

Ports and verification tag never change while an association lives, so a `Seal` keeps them packed, with the CRC32c
over the header as the seed of the one over the chunks. The checksum stands little-endian among fields in network byte
order. Which tag is right (section 8.5), `endpoint` knows.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from crc32c import crc32c

from .constants import COMMON_HEADER_SIZE
from .octets import pack_packet, read_checksum
from .tlv import Malformed

#: Source port, destination port and verification tag: what the checksum follows.
PREFIX_SIZE: Final = 8
#: So many chunks of a packet are looked at besides user data; nobody has more to say, and each costs.
MOST_CONTROL: Final = 32

_PREFIX: Final = Struct("!HHI")
_NO_CHECKSUM: Final = bytes(4)


@final
class Seal:
    """Makes packets of one direction of one association, and checks them."""

    __slots__ = ("_seed", "prefix")

    def __init__(self, source_port: int, destination_port: int, tag: int) -> None:
        self.prefix: Final[bytes] = _PREFIX.pack(source_port, destination_port, tag)
        self._seed: Final[int] = crc32c(self.prefix + _NO_CHECKSUM)

    def pack(self, body: bytes) -> bytes:
        """Pack the packet that carries these chunks."""
        checksum: int = crc32c(body, self._seed)
        return pack_packet(self.prefix, checksum, body)

    def opens(self, datagram: bytes) -> bool:
        """Return true if the checksum is right, of a packet that is known to start with `prefix`."""
        if len(datagram) < COMMON_HEADER_SIZE:
            return False
        checksum: int = crc32c(datagram[COMMON_HEADER_SIZE:], self._seed)
        return checksum == read_checksum(datagram)


def read_header(datagram: bytes) -> tuple[int, int, int]:
    """Return source port, destination port and verification tag of any packet, `Malformed` if it is too short."""
    if len(datagram) < COMMON_HEADER_SIZE:
        raise Malformed(f"a packet of {len(datagram)} bytes has no common header")
    return _PREFIX.unpack_from(datagram)


def checksum_ok(datagram: bytes) -> bool:
    """Return true if the checksum of any packet is right."""
    if len(datagram) < COMMON_HEADER_SIZE:
        return False
    checksum: int = crc32c(datagram[COMMON_HEADER_SIZE:], crc32c(datagram[:PREFIX_SIZE] + _NO_CHECKSUM))
    return checksum == read_checksum(datagram)
