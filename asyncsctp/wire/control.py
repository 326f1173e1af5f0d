"""The small control chunks: RFC 9260 section 3.3, ECNE and CWR of RFC 4960 appendix A, PAD of RFC 4820.

Packers return whole chunks with their padding. Readers take where the value of a chunk starts and ends, as the walk
gives it, and ignore what may stand behind the fields that they know; `Malformed` without these.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from . import causes, constants, tlv
from .tlv import HEADER_SIZE, U32, Malformed

#: So many parameters of a HEARTBEAT ACK are looked at for the one that we sent.
_MOST_PARAMETERS: Final = 8
#: What can't do without any of its bytes.
_WHOLE: Final = frozenset(
    {constants.ASCONF, constants.ASCONF_ACK, constants.COOKIE_ECHO, constants.INIT, constants.INIT_ACK}
)

_COOKIE_ACK: Final = tlv.pack(constants.COOKIE_ACK << 8)
_SHUTDOWN_ACK: Final = tlv.pack(constants.SHUTDOWN_ACK << 8)
_SHUTDOWN_COMPLETE: Final = tlv.pack(constants.SHUTDOWN_COMPLETE << 8)
_SHUTDOWN_COMPLETE_REFLECTED: Final = tlv.pack(constants.SHUTDOWN_COMPLETE << 8 | constants.FLAG_TAG_REFLECTED)


def pack_heartbeat(info: bytes) -> bytes:
    return tlv.pack_enclosing(constants.HEARTBEAT << 8, tlv.pack(constants.PARAM_HEARTBEAT_INFO, info))


def pack_heartbeat_ack(info: bytes) -> bytes:
    return tlv.pack_enclosing(constants.HEARTBEAT_ACK << 8, tlv.pack(constants.PARAM_HEARTBEAT_INFO, info))


def read_heartbeat(data: bytes, start: int, end: int) -> bytes:
    """Return the Sender-Specific Heartbeat Info of a HEARTBEAT or HEARTBEAT ACK, which is mandatory."""
    for kind, _, value_start, value_end in islice(tlv.walk(data, start, end), _MOST_PARAMETERS):
        if kind == constants.PARAM_HEARTBEAT_INFO:
            return data[value_start:value_end]
    raise Malformed("a HEARTBEAT without Heartbeat Info")


def pack_abort(packed: bytes = b"", reflected: bool = False) -> bytes:
    """Pack an ABORT with these causes; `reflected` sets the T bit: its packet carries the tag that we received."""
    return tlv.pack_enclosing(constants.ABORT << 8 | (constants.FLAG_TAG_REFLECTED if reflected else 0), packed)


def pack_error(packed: bytes) -> bytes:
    """Pack an ERROR with these causes."""
    return tlv.pack_enclosing(constants.ERROR << 8, packed)


def fit(body: bytes, space: int) -> bytes:
    """Return chunks as they fit a packet with space for so many bytes: what repeats the peer's bytes is cut to that.

    Of ABORT and ERROR the causes are shortened. A HEARTBEAT ACK is worth nothing unless it is whole, and is left out.
    What is left needs all of its bytes: a COOKIE ECHO is as large as the peer has made its cookie, an ASCONF-ACK as
    what it answers.
    """
    if len(body) <= space:
        return body
    kept = b""
    for first16, at, start, end in tlv.walk(body, 0, len(body)):
        kind = first16 >> 8
        if len(kept) + (end - at + 3 & -4) <= space or kind in _WHOLE:
            kept += tlv.pad(body[at:end])
        elif kind in (constants.ABORT, constants.ERROR) and len(kept) + HEADER_SIZE <= space:
            kept += tlv.pack_enclosing(first16, causes.shorten(body[start:end], space - len(kept) - HEADER_SIZE))
    return kept


def pack_cookie_echo(cookie: bytes) -> bytes:
    """Pack a COOKIE ECHO: its value is the cookie itself, not a parameter (section 3.3.11)."""
    return tlv.pack(constants.COOKIE_ECHO << 8, cookie)


def pack_cookie_ack() -> bytes:
    return _COOKIE_ACK


def pack_shutdown(wire_cumulative_tsn: int) -> bytes:
    return tlv.pack(constants.SHUTDOWN << 8, U32.pack(wire_cumulative_tsn))


def pack_shutdown_ack() -> bytes:
    return _SHUTDOWN_ACK


def pack_shutdown_complete(reflected: bool = False) -> bytes:
    return _SHUTDOWN_COMPLETE_REFLECTED if reflected else _SHUTDOWN_COMPLETE


def pack_ecne(wire_lowest_tsn: int) -> bytes:
    return tlv.pack(constants.ECNE << 8, U32.pack(wire_lowest_tsn))


def read_ecne(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the lowest wire TSN of the marked packet, and how many packets were marked since the last CWR.

    RFC 4960 appendix A has only the first; some peers add the other.
    """
    lowest = read_tsn(data, start, end)
    return lowest, read_tsn(data, start + U32.size, end) if end - start >= 2 * U32.size else 1


def pack_cwr(wire_lowest_tsn: int) -> bytes:
    return tlv.pack(constants.CWR << 8, U32.pack(wire_lowest_tsn))


def pack_pad(size: int) -> bytes:
    """Pack a chunk of `size` bytes in all, a multiple of 4, that every receiver discards (RFC 4820 section 3)."""
    if size < HEADER_SIZE or size & 3:
        raise ValueError(f"no PAD chunk has {size} bytes")
    return tlv.pack(constants.PAD << 8, bytes(size - HEADER_SIZE))


def read_tsn(data: bytes, start: int, end: int) -> int:
    """Return the wire TSN in a SHUTDOWN (the Cumulative TSN Ack) or a CWR (the lowest, from the ECNE)."""
    tsn: int = tlv.read_fields(U32, data, start, end)[0]
    return tsn
