"""The one walk over type-length-value items: chunks, parameters, error causes (RFC 9260 sections 3.2, 3.2.1, 3.3.10).

All three have a header of 16 bits of kind and 16 bits of length, and padding to a multiple of 4 that the length does
not count. This module knows that shape and how to treat a kind that is unknown; the kinds are in `constants`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final

from .constants import UNKNOWN_REPORT, UNKNOWN_SKIP
from .octets import read_item

HEADER_SIZE: Final = 4
#: The zero bytes that follow `size` bytes of content, by `size & 3`.
PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")

#: Two numbers of 16 bits, and one of 32.
U16_U16: Final = Struct("!HH")
U32: Final = Struct("!I")


class Malformed(ValueError):
    """A length or a count that can't be true. What else a peer may get wrong is judged by those who know its state."""


def item(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the first 16 bits of the item at `at`, and where its value ends; the next one stands behind the padding.

    The first 16 bits are the type of a parameter, the code of a cause, or a chunk's type and flags (type << 8 | flags).
    `Malformed` if its length can't be.
    """
    if end - at < HEADER_SIZE or end > len(data):
        raise Malformed("no space for a header")
    first16, length = read_item(data, at)
    if length < HEADER_SIZE:
        raise Malformed(f"item {first16:#06x} has length {length}")
    if length > end - at:
        raise Malformed(f"item {first16:#06x} of length {length} ends beyond what encloses it")
    return first16, at + length


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each item between `at` and `end` its first 16 bits, where it starts, where its value starts, and ends.

    A header always moves the walk on by 4 bytes or more. The last item may lack its padding, and up to 3 stray bytes
    behind it are ignored: some senders count the final padding in the length of what encloses it (section 3.2, note).
    """
    if end > len(data):
        raise Malformed("the list ends beyond the packet")
    while end - at >= HEADER_SIZE:
        first16, length = read_item(data, at)
        if length < HEADER_SIZE or length > end - at:
            item(data, at, end)  # which says what is wrong
        yield first16, at, at + HEADER_SIZE, at + length
        at += length + 3 & -4


def read_fields(layout: Struct, data: bytes, start: int, end: int) -> tuple[Any, ...]:
    """Return the fields of fixed length with which a value between `start` and `end` begins, `Malformed` without."""
    if end - start < layout.size or end > len(data):
        raise Malformed(f"{end - start} bytes where {layout.size} are due")
    return layout.unpack_from(data, start)


def skips_chunk(chunk_type: int) -> bool:
    """Return true if an unknown chunk asks to be skipped; if not, the rest of the packet is discarded (table 2)."""
    return bool(chunk_type & UNKNOWN_SKIP)


def reports_chunk(chunk_type: int) -> bool:
    """Return true if an unknown chunk asks to be reported to its sender (table 2)."""
    return bool(chunk_type & UNKNOWN_REPORT)


def skips_parameter(parameter_type: int) -> bool:
    """Return true if an unknown parameter asks to be skipped; if not, no further one of the chunk counts (table 3)."""
    return skips_chunk(parameter_type >> 8)


def reports_parameter(parameter_type: int) -> bool:
    """Return true if an unknown parameter asks to be reported to its sender (table 3)."""
    return reports_chunk(parameter_type >> 8)


def pack(first16: int, value: bytes = b"") -> bytes:
    """Pack one item, with its padding."""
    return U16_U16.pack(first16, HEADER_SIZE + len(value)) + value + PADDING[len(value) & 3]


def pack_enclosing(first16: int, items: bytes, fixed: bytes = b"") -> bytes:
    """Pack one item that encloses packed items, behind fields of fixed length.

    Its length counts the padding of the items, but not that of the last (section 3.2).
    """
    at = end = 0
    while len(items) - at >= HEADER_SIZE:
        _, end = item(items, at, len(items))
        at = end + 3 & -4
    return pack(first16, fixed + items[:end])


def pad(item: bytes) -> bytes:
    """Return an item, which was copied from a packet without its padding, with it."""
    return item + PADDING[len(item) & 3]


def take_whole(items: Iterable[bytes], space: int) -> list[bytes]:
    """Return the first of the items, as many as fit into `space` bytes with their padding; none is cut."""
    taken = []
    for item in items:
        space -= len(item) + 3 & -4
        if space < 0:
            break
        taken.append(item)
    return taken
