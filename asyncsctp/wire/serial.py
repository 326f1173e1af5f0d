"""Serial numbers of 32 bits (RFC 1982, RFC 9260 section 1.6): TSN, MID, FSN, and the numbers of requests.

They are unwrapped on arrival, so that all other modules count with integers that only grow; `MASK_32` packs them.
SSNs have 16 bits, and are compared for equality or counted upwards alone: see `inbound.data_streams`.
"""

from __future__ import annotations

from typing import Final, final

from .constants import MASK_32

_HALF: Final = 1 << 31


def unwrap(value: int, near: int) -> int:
    """Return the integer nearest to `near` that is `value` on the wire; of two that are as near, the lower one."""
    return near + ((value - near + _HALF & MASK_32) - _HALF)


def unwrap_upwards(value: int, lowest: int) -> int:
    """Return the first integer from `lowest` on that is `value` on the wire."""
    return lowest + (value - lowest & MASK_32)


def ahead(value: int, other: int) -> int:
    """Return by how much one number is ahead of another, either of which may be as on the wire; below 0: behind it."""
    return (value - other + _HALF & MASK_32) - _HALF


@final
class Numbering:
    """How the peer counts the fragments of its I-DATA messages: `second` is the FSN of the second one.

    RFC 8260 section 2.1 gives the first fragment FSN 0, which it has no field for, so that the second has FSN 1. Linux
    gives the second FSN 0, and does not put together what is counted otherwise.
    """

    __slots__ = ("second",)

    def __init__(self, second: int = 1) -> None:
        self.second = second
