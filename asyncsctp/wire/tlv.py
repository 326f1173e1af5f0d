"""The one walk over type-length-value items: chunks, parameters, error causes (RFC 9260 sections 3.2, 3.2.1, 3.3.10).

All three have a header of 16 bits of kind and 16 bits of length, and padding to a multiple of 4 that the length does
not count. This module knows that shape and how to treat a kind that nobody knows; it does not know any kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from .constants import UNKNOWN_REPORT, UNKNOWN_SKIP
from .octets import read_item

HEADER_SIZE: Final = 4
#: The zero bytes that follow `size` bytes of content, by `size & 3`.
PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")

_HEADER: Final = Struct("!HH")


class Malformed(ValueError):
    """A length or a count that can't be true. What else a peer may get wrong is judged by those who know its state."""


def item(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The item at `at`: its first 16 bits, and where its value ends. The next one stands behind the padding.

    The first 16 bits are the type of a parameter, the code of a cause, or a chunk's type and flags (type << 8 | flags).
    """
    if end - at < HEADER_SIZE or end > len(data):
        raise Malformed("no room for a header")
    first16, length = read_item(data, at)
    if length < HEADER_SIZE:
        raise Malformed(f"item {first16:#06x} has length {length}")
    if length > end - at:
        raise Malformed(f"item {first16:#06x} of length {length} ends beyond what encloses it")
    return first16, at + length


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each item between `at` and `end`: its first 16 bits, where it starts, where its value starts and where that ends.

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


def skips_chunk(chunk_type: int) -> bool:
    """Whether an unknown chunk asks to be skipped; if not, the rest of the packet is discarded (table 2)."""
    return bool(chunk_type & UNKNOWN_SKIP)


def reports_chunk(chunk_type: int) -> bool:
    """Whether an unknown chunk asks to be reported to its sender (table 2)."""
    return bool(chunk_type & UNKNOWN_REPORT)


def skips_parameter(parameter_type: int) -> bool:
    """Whether an unknown parameter asks to be skipped; if not, no further one of the chunk is processed (table 3)."""
    return skips_chunk(parameter_type >> 8)


def reports_parameter(parameter_type: int) -> bool:
    """Whether an unknown parameter asks to be reported to its sender (table 3)."""
    return reports_chunk(parameter_type >> 8)


def pack(first16: int, value: bytes = b"") -> bytes:
    """One item with its padding."""
    return _HEADER.pack(first16, HEADER_SIZE + len(value)) + value + PADDING[len(value) & 3]


def pack_enclosing(first16: int, items: bytes, fixed: bytes = b"") -> bytes:
    """One item that encloses packed items, behind fields of fixed length.

    Its length counts the padding of the items, but not that of the last (section 3.2).
    """
    at = end = 0
    while len(items) - at >= HEADER_SIZE:
        _, end = item(items, at, len(items))
        at = end + 3 & -4
    return pack(first16, fixed + items[:end])


def pad(item: bytes) -> bytes:
    """An item copied from a packet without its padding, padded."""
    return item + PADDING[len(item) & 3]


def take_whole(items: Iterable[bytes], room: int) -> list[bytes]:
    """The first of the items, as many as fit into `room` bytes with their padding; none is cut."""
    taken = []
    for item in items:
        room -= len(item) + 3 & -4
        if room < 0:
            break
        taken.append(item)
    return taken
