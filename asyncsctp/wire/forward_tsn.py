"""FORWARD TSN (RFC 3758 section 3.2) and I-FORWARD-TSN (RFC 8260 section 2.3.1): what the peer need not wait for.

Which entries fit into a packet, `handlers.data.abandonment` knows; what an entry means for a stream, and whether there
is such a stream, `handlers.data.receiver` and its reassembly queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from .constants import FORWARD_TSN, I_FORWARD_TSN
from .tlv import HEADER_SIZE, U16_U16, U32, pack, read_fields

#: Either chunk without entries.
FORWARD_TSN_HEADER_SIZE: Final = 8

_I_ENTRY: Final = Struct("!HHI")
_UNORDERED: Final = 1


def pack_forward_tsn(wire_tsn: int, entries: Iterable[tuple[int, int]] = ()) -> bytes:
    """Pack a FORWARD TSN with its New Cumulative TSN; each entry is a stream and the largest SSN skipped in it."""
    return pack(FORWARD_TSN << 8, U32.pack(wire_tsn) + b"".join([U16_U16.pack(sid, ssn) for sid, ssn in entries]))


def pack_i_forward_tsn(wire_tsn: int, entries: Iterable[tuple[int, bool, int]] = ()) -> bytes:
    """Pack an I-FORWARD-TSN; each entry is a stream, whether its unordered messages are meant, and the largest MID."""
    packed = [_I_ENTRY.pack(sid, _UNORDERED if unordered else 0, mid) for sid, unordered, mid in entries]
    return pack(I_FORWARD_TSN << 8, U32.pack(wire_tsn) + b"".join(packed))


def read_forward_tsn(data: bytes, at: int, end: int) -> tuple[int, list[tuple[int, bool, int]]]:
    """Return the wire New Cumulative TSN, and the entries as (sid, unordered, number), of either chunk at `at`.

    The number is the SSN or MID; an SSN is one of ordered messages. A chunk has at most so many entries as its length
    allows: bytes before `end` that make none are ignored, and so are reserved bits.
    """
    wire_tsn: int = read_fields(U32, data, at + HEADER_SIZE, end)[0]
    entry = _I_ENTRY if data[at] == I_FORWARD_TSN else U16_U16
    first = at + FORWARD_TSN_HEADER_SIZE
    fields = entry.iter_unpack(data[first : end - (end - first) % entry.size])
    if entry is _I_ENTRY:
        return wire_tsn, [(sid, bits & _UNORDERED != 0, mid) for sid, bits, mid in fields]
    return wire_tsn, [(sid, False, ssn) for sid, ssn in fields]
