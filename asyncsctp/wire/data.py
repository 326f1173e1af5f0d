"""The DATA chunk (RFC 9260 section 3.3.1) as scalars: no chunk objects on the hot path.

Stream identifier and SSN travel as one 32-bit number, `sid << 16 | ssn`. The reader does not check: a chunk is known
to be whole when `at + DATA_HEADER_SIZE <= at + length <= end of the packet`, and to carry user data when `length` is
above DATA_HEADER_SIZE.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from .constants import DATA_HEADER_SIZE
from .tlv import PADDING

__all__ = ["DATA_HEADER", "PACK_DATA", "PADDING", "READ_DATA", "pack_data"]

#: Type, flags, length, TSN, stream identifier, SSN and PPID: the header as the RFC draws it.
DATA_HEADER: Final = Struct("!BBHIHHI")

_DATA_WORDS: Final = Struct("!HHIII")

#: Of the chunk at an offset: type and flags (below 256 if it is DATA), length, wire TSN, sid and SSN, PPID.
READ_DATA: Final[Callable[[bytes, int], tuple[int, int, int, int, int]]] = _DATA_WORDS.unpack_from

#: The header from the same five: flags, length without padding, wire TSN, sid and SSN, PPID.
PACK_DATA: Final[Callable[[int, int, int, int, int], bytes]] = _DATA_WORDS.pack


def pack_data(flags: int, wire_tsn: int, sid: int, ssn: int, ppid: int, user_data: bytes) -> bytes:
    """A whole DATA chunk, with its padding."""
    size = len(user_data)
    return PACK_DATA(flags, DATA_HEADER_SIZE + size, wire_tsn, sid << 16 | ssn, ppid) + user_data + PADDING[size & 3]
