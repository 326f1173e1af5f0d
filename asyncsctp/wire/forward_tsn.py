"""FORWARD TSN (RFC 3758 section 3.2) and I-FORWARD-TSN (RFC 8260 section 2.3.1): what the peer need not wait for.

Which entries fit into a packet is for the sender to say. What an entry means for a stream, and whether there is such a
stream, is for the receiver to judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from .constants import FORWARD_TSN, I_FORWARD_TSN
from .tlv import HEADER_SIZE, Malformed, pack

#: Either chunk without entries.
FORWARD_TSN_HEADER_SIZE: Final = 8
FORWARD_TSN_ENTRY_SIZE: Final = 4
I_FORWARD_TSN_ENTRY_SIZE: Final = 8

_TSN: Final = Struct("!I")
_ENTRY: Final = Struct("!HH")
_I_ENTRY: Final = Struct("!HHI")
_UNORDERED: Final = 1


def pack_forward_tsn(wire_tsn: int, entries: Iterable[tuple[int, int]] = ()) -> bytes:
    """The chunk with its New Cumulative TSN; each entry is a stream and the largest SSN skipped in it."""
    return pack(FORWARD_TSN << 8, _TSN.pack(wire_tsn) + b"".join([_ENTRY.pack(sid, ssn) for sid, ssn in entries]))


def pack_i_forward_tsn(wire_tsn: int, entries: Iterable[tuple[int, bool, int]] = ()) -> bytes:
    """The chunk with its New Cumulative TSN; each entry is a stream, whether its unordered messages are meant, and the
    largest MID skipped of them.
    """
    packed = [_I_ENTRY.pack(sid, _UNORDERED if unordered else 0, mid) for sid, unordered, mid in entries]
    return pack(I_FORWARD_TSN << 8, _TSN.pack(wire_tsn) + b"".join(packed))


def read_forward_tsn(data: bytes, at: int, end: int) -> tuple[int, list[tuple[int, int]]]:
    """Of the chunk at `at` that ends at `end`: wire New Cumulative TSN, and the entries as (sid, ssn).

    A chunk has at most so many entries as its length allows; bytes at the end that make none are ignored.
    """
    wire_tsn = _read_tsn(data, at, end)
    at += FORWARD_TSN_HEADER_SIZE
    entries: list[tuple[int, int]] = list(_ENTRY.iter_unpack(data[at : end - (end - at) % FORWARD_TSN_ENTRY_SIZE]))
    return wire_tsn, entries


def read_i_forward_tsn(data: bytes, at: int, end: int) -> tuple[int, list[tuple[int, bool, int]]]:
    """Of the chunk at `at` that ends at `end`: wire New Cumulative TSN, and the entries as (sid, unordered, mid).

    The reserved bits are ignored, and so are bytes at the end that make no entry.
    """
    wire_tsn = _read_tsn(data, at, end)
    at += FORWARD_TSN_HEADER_SIZE
    entries: list[tuple[int, bool, int]] = []
    for sid, bits, mid in _I_ENTRY.iter_unpack(data[at : end - (end - at) % I_FORWARD_TSN_ENTRY_SIZE]):
        entries.append((sid, bits & _UNORDERED != 0, mid))
    return wire_tsn, entries


def _read_tsn(data: bytes, at: int, end: int) -> int:
    if end - at < FORWARD_TSN_HEADER_SIZE or end > len(data):
        raise Malformed(f"a FORWARD TSN of length {end - at}")
    wire_tsn: int = _TSN.unpack_from(data, at + HEADER_SIZE)[0]
    return wire_tsn
