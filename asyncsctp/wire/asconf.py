"""ASCONF and ASCONF-ACK, and the parameters in them (RFC 5061 sections 4.1 and 4.2, draft natsupp section 5.3).

Knows their shape. Numbers stay as they are on the wire. Whether a request is carried out, `handlers.addresses` knows in
`asconf_responder`, and what an answer means in `asconf_requester`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from ..errors import Cause
from . import constants, tlv
from .addresses import ADDRESS_SIZES, pack_address, read_address
from .causes import read_causes_leniently
from .tlv import HEADER_SIZE, U32, Malformed

#: The address that stands for the source of the packet (section 4.2).
ANY_IPV4: Final = "0.0.0.0"
ANY_IPV6: Final = "::"
WILDCARDS: Final = frozenset({ANY_IPV4, ANY_IPV6})

#: Of one chunk. A host with more addresses to change does that in several.
MAX_REQUESTS: Final = 64

_VTAGS: Final = Struct("!III")
_OF_ADDRESSES: Final = frozenset(
    {constants.PARAM_ADD_ADDRESS, constants.PARAM_DELETE_ADDRESS, constants.PARAM_SET_PRIMARY}
)
#: Section 4.2: where they are not allowed they are to be ignored. The Address Parameter is read before.
_MISPLACED: Final = frozenset(
    {
        constants.PARAM_IPV4_ADDRESS,
        constants.PARAM_IPV6_ADDRESS,
        constants.PARAM_HOST_NAME,
        constants.PARAM_ERROR_CAUSE,
        constants.PARAM_SUCCESS,
        constants.PARAM_ADAPTATION,
        constants.PARAM_SUPPORTED_EXTENSIONS,
    }
)


class Request(NamedTuple):
    """One ASCONF parameter.

    `address`: what is to be added, deleted or made the primary; one of `WILDCARDS`, or empty if it is none that can be
    sent to. `tags`: of VTags, its sender's own tag and the other. `parameter`: all of it as it came, to be given back.
    """

    kind: int
    correlation: int
    address: str = ""
    parameter: bytes = b""
    tags: tuple[int, int] = (0, 0)


class AsconfChunk(NamedTuple):
    """An ASCONF chunk. `address` is that of its Address Parameter, as `Request.address` has it."""

    number: int
    address: str
    requests: tuple[Request, ...]


class Response(NamedTuple):
    """What an ASCONF-ACK says of one request: it was carried out if there are no causes why not."""

    correlation: int
    is_success: bool
    causes: tuple[Cause, ...] = ()


def pack_asconf(number: int, address: str, parameters: Sequence[bytes]) -> bytes:
    """Pack the chunk, section 4.1.1; `address` may be one of `WILDCARDS`."""
    return tlv.pack_enclosing(constants.ASCONF << 8, pack_address(address) + b"".join(parameters), U32.pack(number))


def pack_request(kind: int, correlation: int, address: str) -> bytes:
    """Pack Add IP Address, Delete IP Address or Set Primary IP Address, sections 4.2.1, 4.2.2 and 4.2.4."""
    return tlv.pack_enclosing(kind, pack_address(address), U32.pack(correlation))


def pack_vtags(correlation: int, internal_tag: int, remote_tag: int) -> bytes:
    """Pack VTags, draft natsupp section 5.3.2: the tag that we chose, and the peer's."""
    return tlv.pack(constants.PARAM_VTAGS, _VTAGS.pack(correlation, internal_tag, remote_tag))


def pack_disable_restart() -> bytes:
    """Pack Disable Restart, draft natsupp section 5.3.1, for ASCONF, INIT and INIT ACK."""
    return tlv.pack(constants.PARAM_DISABLE_RESTART)


def pack_asconf_ack(number: int, responses: Sequence[bytes] = ()) -> bytes:
    """Pack the chunk, section 4.1.2; without responses all was done."""
    return tlv.pack_enclosing(constants.ASCONF_ACK << 8, b"".join(responses), U32.pack(number))


def pack_success(correlation: int) -> bytes:
    """Pack a Success Indication, section 4.2.5."""
    return tlv.pack(constants.PARAM_SUCCESS, U32.pack(correlation))


def pack_failure(correlation: int, cause: bytes) -> bytes:
    """Pack an Error Cause Indication, section 4.2.3, around a packed cause."""
    return tlv.pack_enclosing(constants.PARAM_ERROR_CAUSE, cause, U32.pack(correlation))


def read_asconf(data: bytes, start: int, end: int) -> AsconfChunk:
    """Return the chunk whose value stands between `start` and `end`; `Malformed` if it has no Address Parameter.

    Of unknown parameters those are given that ask to be reported (RFC 9260 section 3.2.1).
    """
    number, address = read_lookup(data, start, end)
    requests: list[Request] = []
    for kind, at, _, value_end in tlv.walk(data, start + U32.size, end):
        if kind in _MISPLACED:
            continue
        request = _read_request(kind, data[at:value_end])
        if request is not None:
            requests.append(request)
        if not tlv.skips_parameter(kind):  # all that are known ask to be skipped where they aren't
            break
        if len(requests) > MAX_REQUESTS:
            raise Malformed(f"an ASCONF with more than {MAX_REQUESTS} requests")
    return AsconfChunk(number, address, tuple(requests))


def read_lookup(data: bytes, start: int, end: int) -> tuple[int, str]:
    """Return sequence number and Address Parameter alone, to find the association by (section 5.2 D2)."""
    number: int = tlv.read_fields(U32, data, start, end)[0]
    for kind, _, value, value_end in tlv.walk(data, start + U32.size, end):
        if kind in ADDRESS_SIZES:
            return number, _read_literal(kind, data[value:value_end])
        if kind != constants.PARAM_HOST_NAME:  # section 4.1.1
            raise Malformed(f"an ASCONF that begins with parameter {kind:#06x} where its Address Parameter is due")
    raise Malformed("an ASCONF without an Address Parameter")


def read_asconf_ack(data: bytes, start: int, end: int) -> tuple[int, list[Response]]:
    """Return sequence number and responses. What else stands among these is passed over."""
    number: int = tlv.read_fields(U32, data, start, end)[0]
    responses: list[Response] = []
    for kind, _, at, value_end in tlv.walk(data, start + U32.size, end):
        if kind not in (constants.PARAM_SUCCESS, constants.PARAM_ERROR_CAUSE) or value_end - at < U32.size:
            continue
        correlation = int.from_bytes(data[at : at + U32.size])
        causes = read_causes_leniently(data[at + U32.size : value_end]) if kind == constants.PARAM_ERROR_CAUSE else ()
        responses.append(Response(correlation, kind == constants.PARAM_SUCCESS, causes))
        if len(responses) > MAX_REQUESTS:
            break
    return number, responses


def _read_request(kind: int, parameter: bytes) -> Request | None:
    """Return a request; None for one that is unknown, and wants to be passed over in silence."""
    size = len(parameter) - HEADER_SIZE
    correlation = int.from_bytes(parameter[HEADER_SIZE : HEADER_SIZE + U32.size]) if size >= U32.size else 0
    if kind in _OF_ADDRESSES:
        at = HEADER_SIZE + U32.size
        inner, end = tlv.item(parameter, at, len(parameter))
        literal = _read_literal(inner, parameter[at + HEADER_SIZE : end]) if inner in ADDRESS_SIZES else ""
        return Request(kind, correlation, literal, parameter)
    if kind == constants.PARAM_VTAGS:
        if size != _VTAGS.size:
            raise Malformed(f"VTags with {size} bytes of value")
        _, internal_tag, remote_tag = _VTAGS.unpack_from(parameter, HEADER_SIZE)
        return Request(kind, correlation, "", parameter, (internal_tag, remote_tag))
    if kind == constants.PARAM_DISABLE_RESTART or tlv.reports_parameter(kind):
        return Request(kind, correlation, "", parameter)
    return None


def _read_literal(kind: int, value: bytes) -> str:
    if len(value) == ADDRESS_SIZES[kind] and not any(value):
        return ANY_IPV4 if kind == constants.PARAM_IPV4_ADDRESS else ANY_IPV6
    return read_address(kind, value) or ""
