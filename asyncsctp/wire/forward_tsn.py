"""FORWARD TSN (RFC 3758 section 3.2) and I-FORWARD-TSN (RFC 8260 section 2.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from . import tlv
from .constants import FORWARD_TSN, I_FORWARD_TSN

__all__ = ["pack_forward_tsn", "pack_i_forward_tsn"]


def pack_forward_tsn(wire_tsn: int, skipped: Sequence[tuple[int, int]]) -> bytes:
    """The chunk; each entry is a stream and the highest SSN that was skipped in it."""
    return tlv.pack(FORWARD_TSN << 8, pack("!I", wire_tsn) + b"".join([pack("!HH", sid, ssn) for sid, ssn in skipped]))


def pack_i_forward_tsn(wire_tsn: int, skipped: Sequence[tuple[int, bool, int]]) -> bytes:
    """The chunk; each entry is a stream, whether it is about unordered messages, and the highest MID skipped."""
    entries = [pack("!HHI", sid, unordered, mid) for sid, unordered, mid in skipped]
    return tlv.pack(I_FORWARD_TSN << 8, pack("!I", wire_tsn) + b"".join(entries))
