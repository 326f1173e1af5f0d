"""The SACK chunk (RFC 9260 section 3.3.4) as scalars and ranges of offsets from the Cumulative TSN Ack.

Gap Ack Blocks are put in order here, so that nobody needs to look twice: some peers send them unsorted. What they mean
for the data that is outstanding, `outbound.outstanding` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from struct import Struct, pack, unpack_from
from typing import Final

from . import octets
from .constants import SACK
from .octets import pack_plain_sack
from .tlv import U16_U16, Malformed

#: A SACK without Gap Ack Blocks and duplicates; each of either adds 4 bytes.
SACK_HEADER_SIZE: Final = 16

_HEADER: Final = Struct("!HHIIHH")


def pack_sack(
    wire_cumulative_tsn: int, a_rwnd: int, gaps: Sequence[tuple[int, int]] = (), duplicates: Sequence[int] = ()
) -> bytes:
    """Pack the chunk; `gaps` are inclusive ranges of offsets, the lowest first, and `duplicates` wire TSNs."""
    blocks = len(gaps)
    repeats = len(duplicates)
    length = SACK_HEADER_SIZE + 4 * (blocks + repeats)
    if not blocks and not repeats:
        return pack_plain_sack(wire_cumulative_tsn, a_rwnd)
    header = _HEADER.pack(SACK << 8, length, wire_cumulative_tsn, a_rwnd, blocks, repeats)
    if blocks:
        header += pack(f"!{2 * blocks}H", *chain.from_iterable(gaps))
    if repeats:
        header += pack(f"!{repeats}I", *duplicates)
    return header


def read_sack(data: bytes, at: int, length: int) -> tuple[int, int, list[tuple[int, int]], tuple[int, ...]]:
    """Return wire Cumulative TSN Ack, a_rwnd, gap ranges and duplicate wire TSNs.

    The ranges are offsets, inclusive, sorted, disjoint and not adjacent. `at` is where the chunk starts and `length` is
    its Chunk Length; `Malformed` if the counts don't fit into it.
    """
    if length < SACK_HEADER_SIZE or at + length > len(data):
        raise Malformed(f"a SACK of length {length}")
    wire_cumulative_tsn, a_rwnd, counts = octets.read_sack(data, at)
    if not counts:
        return wire_cumulative_tsn, a_rwnd, [], ()
    blocks = counts >> 16
    repeats = counts & 0xFFFF
    if SACK_HEADER_SIZE + 4 * (blocks + repeats) > length:
        raise Malformed(f"a SACK of length {length} can't hold {blocks} gap blocks and {repeats} duplicates")
    at += SACK_HEADER_SIZE
    gaps_end = at + 4 * blocks
    return (
        wire_cumulative_tsn,
        a_rwnd,
        _ordered(list(U16_U16.iter_unpack(data[at:gaps_end]))),
        unpack_from(f"!{repeats}I", data, gaps_end),
    )


def _ordered(blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the blocks themselves where they are isolated and in order, which they should be (section 3.3.4)."""
    last = 0
    for start, end in blocks:
        if start <= last + 1 or end < start:
            return _merged(blocks)
        last = end
    return blocks


def _merged(blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what the blocks cover, as isolated ranges.

    A block that ends before its start covers nothing, nor does one that starts at 0 or 1: the Cumulative TSN Ack would
    be higher then.
    """
    ranges: list[tuple[int, int]] = []
    for start, end in sorted(blocks):
        if not 1 < start <= end:
            continue
        if ranges and start <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return ranges
