"""The RE-CONFIG chunk and its parameters (RFC 6525 sections 3 and 4).

Knows their shape and which of them may stand together. Numbers and TSNs stay as they are on the wire; what is right or
wrong about them, `handlers.streams` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack, unpack_from
from typing import Final, NamedTuple

from . import tlv
from .constants import (
    PARAM_ADD_INCOMING_STREAMS,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_RECONFIG_RESPONSE,
    PARAM_TSN_RESET,
    RE_CONFIG,
)
from .tlv import Malformed

# Results of a request, section 4.4 table 3.
NOTHING_TO_DO: Final = 0
PERFORMED: Final = 1
DENIED: Final = 2
WRONG_STREAM: Final = 3  # "Error - Wrong SSN"
REQUEST_IN_PROGRESS: Final = 4
BAD_NUMBER: Final = 5
IN_PROGRESS: Final = 6

#: Section 3.1: the only combinations of parameters in a chunk.
_COMBINATIONS: Final = frozenset(
    {
        (PARAM_OUTGOING_RESET,),
        (PARAM_INCOMING_RESET,),
        (PARAM_OUTGOING_RESET, PARAM_INCOMING_RESET),
        (PARAM_TSN_RESET,),
        (PARAM_ADD_OUTGOING_STREAMS,),
        (PARAM_ADD_INCOMING_STREAMS,),
        (PARAM_ADD_OUTGOING_STREAMS, PARAM_ADD_INCOMING_STREAMS),
        (PARAM_RECONFIG_RESPONSE,),
        (PARAM_RECONFIG_RESPONSE, PARAM_OUTGOING_RESET),
        (PARAM_RECONFIG_RESPONSE, PARAM_RECONFIG_RESPONSE),
    }
)


class Parameter(NamedTuple):
    """One parameter; which fields mean something depends on `kind`, the others are as they are here.

    `number`: the request sequence number; of a response, that of the request it answers. `answers`: the response
    sequence number of an outgoing reset. `last_tsn`: the sender's last assigned TSN. `streams`: the ids, all if empty.
    `added`: how many streams to add. `result`, and for an SSN/TSN reset `sender_tsn` and `receiver_tsn`: of a response;
    the TSNs are -1 without.
    """

    kind: int
    number: int
    answers: int = 0
    last_tsn: int = 0
    streams: tuple[int, ...] = ()
    added: int = 0
    result: int = 0
    sender_tsn: int = -1
    receiver_tsn: int = -1

    @property
    def is_response(self) -> bool:
        """Whether it is a response parameter, and no request."""
        return self.kind == PARAM_RECONFIG_RESPONSE


def pack_reconfig(parameters: Sequence[bytes]) -> bytes:
    """Pack the chunk, of one or two parameters."""
    return tlv.pack_enclosing(RE_CONFIG << 8, b"".join(parameters))


def pack_outgoing_reset(number: int, answers: int, last_tsn: int, streams: Sequence[int] = ()) -> bytes:
    """Pack an Outgoing SSN Reset Request, section 4.1."""
    return tlv.pack(PARAM_OUTGOING_RESET, pack(f"!III{len(streams)}H", number, answers, last_tsn, *streams))


def pack_incoming_reset(number: int, streams: Sequence[int] = ()) -> bytes:
    """Pack an Incoming SSN Reset Request, section 4.2."""
    return tlv.pack(PARAM_INCOMING_RESET, pack(f"!I{len(streams)}H", number, *streams))


def pack_tsn_reset(number: int) -> bytes:
    """Pack an SSN/TSN Reset Request, section 4.3."""
    return tlv.pack(PARAM_TSN_RESET, pack("!I", number))


def pack_add_streams(number: int, count: int, outgoing: bool) -> bytes:
    """Pack an Add Outgoing or Add Incoming Streams Request, sections 4.5 and 4.6."""
    kind = PARAM_ADD_OUTGOING_STREAMS if outgoing else PARAM_ADD_INCOMING_STREAMS
    return tlv.pack(kind, pack("!IHH", number, count, 0))


def pack_response(number: int, result: int) -> bytes:
    """Pack a Re-configuration Response, section 4.4."""
    return tlv.pack(PARAM_RECONFIG_RESPONSE, pack("!II", number, result))


def pack_tsn_response(number: int, result: int, sender_tsn: int, receiver_tsn: int) -> bytes:
    """Pack a Re-configuration Response to an SSN/TSN reset: the next TSN of its sender, and that of its receiver."""
    return tlv.pack(PARAM_RECONFIG_RESPONSE, pack("!IIII", number, result, sender_tsn, receiver_tsn))


def is_allowed(parameters: Sequence[Parameter]) -> bool:
    """Return true if these may stand together in a chunk, in this order (section 3.1)."""
    return tuple([parameter.kind for parameter in parameters]) in _COMBINATIONS


def read_reconfig(data: bytes, at: int, end: int) -> tuple[list[Parameter], list[bytes]]:
    """Return the parameters in a chunk's value, and those of unknown type, whole, that ask to be reported.

    RFC 9260 section 3.2.1. `Malformed` if a length can't be. Of more than two parameters the first three are given:
    that is one too many.
    """
    found: list[Parameter] = []
    unknown: list[bytes] = []
    for kind, start, value, value_end in tlv.walk(data, at, end):
        parameter = _read(kind, data, value, value_end)
        if parameter is not None:
            found.append(parameter)
            if len(found) > 2:
                break
            continue
        if tlv.reports_parameter(kind) and not unknown:
            unknown.append(data[start:value_end])
        if not tlv.skips_parameter(kind):
            break
    return found, unknown


def _read(kind: int, data: bytes, at: int, end: int) -> Parameter | None:
    size = end - at
    if kind == PARAM_OUTGOING_RESET:
        _check(kind, size, size >= 12 and size % 2 == 0)
        number, answers, last_tsn = unpack_from("!III", data, at)
        return Parameter(kind, number, answers, last_tsn, _streams(data, at + 12, end))
    if kind == PARAM_INCOMING_RESET:
        _check(kind, size, size >= 4 and size % 2 == 0)
        return Parameter(kind, unpack_from("!I", data, at)[0], streams=_streams(data, at + 4, end))
    if kind == PARAM_TSN_RESET:
        _check(kind, size, size == 4)
        return Parameter(kind, unpack_from("!I", data, at)[0])
    if kind in (PARAM_ADD_OUTGOING_STREAMS, PARAM_ADD_INCOMING_STREAMS):
        _check(kind, size, size == 8)
        number, count = unpack_from("!IH", data, at)
        return Parameter(kind, number, added=count)
    if kind == PARAM_RECONFIG_RESPONSE:
        _check(kind, size, size in (8, 16))
        number, result = unpack_from("!II", data, at)
        sender_tsn, receiver_tsn = unpack_from("!II", data, at + 8) if size == 16 else (-1, -1)
        return Parameter(kind, number, result=result, sender_tsn=sender_tsn, receiver_tsn=receiver_tsn)
    return None


def _check(kind: int, size: int, is_right: bool) -> None:
    if not is_right:
        raise Malformed(f"a re-configuration parameter {kind} with {size} bytes of value")


def _streams(data: bytes, at: int, end: int) -> tuple[int, ...]:
    """Return the ids listed, each once, in the order in which they were listed first."""
    return tuple(dict.fromkeys(unpack_from(f"!{(end - at) // 2}H", data, at)))
