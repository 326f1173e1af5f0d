"""Chunks as a peer sends them, that the package itself never packs one at a time."""

from __future__ import annotations

from asyncsctp.wire.constants import DATA_HEADER_SIZE, I_DATA, I_DATA_HEADER_SIZE
from asyncsctp.wire.octets import Writer, write_data, write_i_data
from asyncsctp.wire.tlv import PADDING

__all__ = ["pack_data", "pack_i_data"]


def pack_data(flags: int, wire_tsn: int, sid: int, ssn: int, ppid: int, user_data: bytes) -> bytes:
    """A whole DATA chunk, with its padding (RFC 9260 section 3.3.1)."""
    size = len(user_data)
    writer = Writer()
    write_data(writer, flags, DATA_HEADER_SIZE + size, wire_tsn, sid << 16 | ssn, ppid)
    writer.write(user_data)
    writer.write(PADDING[size & 3])
    return writer.getvalue()


def pack_i_data(flags: int, wire_tsn: int, sid: int, mid: int, number: int, user_data: bytes) -> bytes:
    """A whole I-DATA chunk, with its padding (RFC 8260 section 2.1); `number` is the PPID or the FSN."""
    size = len(user_data)
    writer = Writer()
    write_i_data(writer, I_DATA << 8 | flags, I_DATA_HEADER_SIZE + size, wire_tsn, sid, mid, number)
    writer.write(user_data)
    writer.write(PADDING[size & 3])
    return writer.getvalue()
