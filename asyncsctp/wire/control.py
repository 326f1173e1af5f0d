"""The small control chunks: RFC 9260 section 3.3, ECNE and CWR of RFC 4960 appendix A, PAD of RFC 4820.

Packers give whole chunks with their padding. Readers take where the value of a chunk starts and ends, as the walk
gives it, and ignore what may stand behind the fields that they know. A chunk without a value has no reader.
"""

from __future__ import annotations

from itertools import islice
from struct import Struct
from typing import Final

from . import causes, tlv
from .constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    COOKIE_ACK,
    COOKIE_ECHO,
    CWR,
    ECNE,
    ERROR,
    FLAG_TAG_REFLECTED,
    HEARTBEAT,
    HEARTBEAT_ACK,
    INIT,
    INIT_ACK,
    PAD,
    PARAM_HEARTBEAT_INFO,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from .tlv import HEADER_SIZE, Malformed

#: So many parameters of a HEARTBEAT ACK are looked at for the one that we sent.
_MOST_PARAMETERS: Final = 8
#: What can't do without any of its bytes.
_WHOLE: Final = frozenset({ASCONF, ASCONF_ACK, COOKIE_ECHO, INIT, INIT_ACK})

_U32: Final = Struct("!I")
_TWO_U32: Final = Struct("!II")

_COOKIE_ACK: Final = tlv.pack(COOKIE_ACK << 8)
_SHUTDOWN_ACK: Final = tlv.pack(SHUTDOWN_ACK << 8)
_SHUTDOWN_COMPLETE: Final = tlv.pack(SHUTDOWN_COMPLETE << 8)


def pack_heartbeat(info: bytes) -> bytes:
    return tlv.pack_enclosing(HEARTBEAT << 8, tlv.pack(PARAM_HEARTBEAT_INFO, info))


def pack_heartbeat_ack(info: bytes) -> bytes:
    return tlv.pack_enclosing(HEARTBEAT_ACK << 8, tlv.pack(PARAM_HEARTBEAT_INFO, info))


def read_heartbeat(data: bytes, start: int, end: int) -> bytes:
    """The Sender-Specific Heartbeat Info of a HEARTBEAT or HEARTBEAT ACK, which is mandatory."""
    for kind, _, value_start, value_end in islice(tlv.walk(data, start, end), _MOST_PARAMETERS):
        if kind == PARAM_HEARTBEAT_INFO:
            return data[value_start:value_end]
    raise Malformed("a HEARTBEAT without Heartbeat Info")


def pack_abort(packed: bytes = b"", reflected: bool = False) -> bytes:
    """With these causes. `reflected` sets the T bit: the packet carries the tag that we received, for want of the right
    one.
    """
    return tlv.pack_enclosing(ABORT << 8 | (FLAG_TAG_REFLECTED if reflected else 0), packed)


def pack_error(packed: bytes) -> bytes:
    """With these causes."""
    return tlv.pack_enclosing(ERROR << 8, packed)


def fit(body: bytes, room: int) -> bytes:
    """Chunks that are to leave in a packet with room for so many bytes, with what repeats the peer's bytes cut to that.

    Of ABORT and ERROR the causes are shortened. A HEARTBEAT ACK is worth nothing unless it is whole, and is left out.
    What is left needs all of its bytes: a COOKIE ECHO is as large as the peer has made its cookie, an ASCONF-ACK as
    what it answers.
    """
    if len(body) <= room:
        return body
    kept = b""
    for first16, at, start, end in tlv.walk(body, 0, len(body)):
        kind = first16 >> 8
        if len(kept) + (end - at + 3 & -4) <= room or kind in _WHOLE:
            kept += tlv.pad(body[at:end])
        elif kind in (ABORT, ERROR) and len(kept) + HEADER_SIZE <= room:
            kept += tlv.pack_enclosing(first16, causes.shorten(body[start:end], room - len(kept) - HEADER_SIZE))
    return kept


def pack_cookie_echo(cookie: bytes) -> bytes:
    """The value of the chunk is the cookie itself, not a parameter (section 3.3.11)."""
    return tlv.pack(COOKIE_ECHO << 8, cookie)


def pack_cookie_ack() -> bytes:
    return _COOKIE_ACK


def pack_shutdown(wire_cumulative_tsn: int) -> bytes:
    return tlv.pack(SHUTDOWN << 8, _U32.pack(wire_cumulative_tsn))


def read_shutdown(data: bytes, start: int, end: int) -> int:
    """The wire Cumulative TSN Ack."""
    return _read_tsn(data, start, end)


def pack_shutdown_ack() -> bytes:
    return _SHUTDOWN_ACK


def pack_shutdown_complete(reflected: bool = False) -> bytes:
    return tlv.pack(SHUTDOWN_COMPLETE << 8 | FLAG_TAG_REFLECTED) if reflected else _SHUTDOWN_COMPLETE


def pack_ecne(wire_lowest_tsn: int) -> bytes:
    return tlv.pack(ECNE << 8, _U32.pack(wire_lowest_tsn))


def read_ecne(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The lowest wire TSN of the marked packet, and how many packets were since the last CWR: some peers add it."""
    if end - start >= _TWO_U32.size and end <= len(data):
        lowest, marked = _TWO_U32.unpack_from(data, start)
        return lowest, marked
    return _read_tsn(data, start, end), 1


def pack_cwr(wire_lowest_tsn: int) -> bytes:
    return tlv.pack(CWR << 8, _U32.pack(wire_lowest_tsn))


def read_cwr(data: bytes, start: int, end: int) -> int:
    """The lowest wire TSN, as it stood in the ECNE."""
    return _read_tsn(data, start, end)


def pack_pad(size: int) -> bytes:
    """A chunk of `size` bytes in all, a multiple of 4, that every receiver discards (RFC 4820 section 3)."""
    if size < HEADER_SIZE or size & 3:
        raise ValueError(f"no PAD chunk has {size} bytes")
    return tlv.pack(PAD << 8, bytes(size - HEADER_SIZE))


def _read_tsn(data: bytes, start: int, end: int) -> int:
    if end - start < _U32.size or end > len(data):
        raise Malformed(f"a TSN in a value of {end - start} bytes")
    tsn: int = _U32.unpack_from(data, start)[0]
    return tsn
