"""Error causes of ABORT and ERROR chunks (RFC 9260 section 3.3.10, RFC 5061 section 4.3, RFC 4895 section 4, draft
natsupp section 5.2; cause 14: draft-tuexen-tsvwg-sctp-udp-encaps-cons).

One builder for each cause, and a reader that gives all of a chunk with a sentence for people. Which cause is sent when,
`handlers.context` knows, and whoever else answers what a peer said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from struct import pack, unpack_from
from typing import Final, TypeVar

from ..errors import Cause
from . import tlv
from .addresses import ADDRESS_SIZES, pack_address
from .constants import (
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN,
    CAUSE_DELETE_LAST_ADDRESS,
    CAUSE_DELETE_SOURCE_ADDRESS,
    CAUSE_ILLEGAL_ASCONF_ACK,
    CAUSE_INVALID_PARAMETER,
    CAUSE_INVALID_STREAM,
    CAUSE_MISSING_PARAMETER,
    CAUSE_MISSING_STATE,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_NO_AUTHORIZATION,
    CAUSE_NO_USER_DATA,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_PORT_COLLISION,
    CAUSE_PROTOCOL_VIOLATION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_RESTART_NEW_ADDRESSES,
    CAUSE_STALE_COOKIE,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_UNRESOLVABLE_ADDRESS,
    CAUSE_UNSUPPORTED_HMAC,
    CAUSE_USER_ABORT,
    CAUSE_VTAG_COLLISION,
    MASK_32,
    PARAM_HMAC_ALGORITHMS,
    PARAM_RANDOM,
    PARAM_STATE_COOKIE,
)
from .tlv import Malformed

#: Cause-specific information that we send is cut to this at once, and to what a packet has space for when it leaves.
MAX_INFO_SIZE: Final = 1200
#: How many causes of one chunk are looked at.
MAX_CAUSES: Final = 16
#: How many characters of a peer's text, and how many items of a list, are shown to people.
MAX_TEXT: Final = 200
MAX_SHOWN: Final = 8

#: What an INIT or INIT ACK may be refused for not having (RFC 9260 section 3.3.3, RFC 4895 section 3).
_PARAMETERS: Final = {
    PARAM_STATE_COOKIE: "State Cookie",
    PARAM_RANDOM: "Random",
    PARAM_HMAC_ALGORITHMS: "Requested HMAC Algorithm",
}

#: Causes whose information is a list of parameters.
_OF_PARAMETERS: Final = frozenset(
    {
        CAUSE_UNRESOLVABLE_ADDRESS,
        CAUSE_UNRECOGNIZED_PARAMETERS,
        CAUSE_RESTART_NEW_ADDRESSES,
        CAUSE_DELETE_LAST_ADDRESS,
        CAUSE_RESOURCE_SHORTAGE,
        CAUSE_DELETE_SOURCE_ADDRESS,
        CAUSE_NO_AUTHORIZATION,
    }
)

Item = TypeVar("Item")


def pack_invalid_stream(sid: int) -> bytes:
    return _pack(CAUSE_INVALID_STREAM, pack("!HH", sid, 0))


def pack_missing_parameters(types: Sequence[int]) -> bytes:
    return _pack(CAUSE_MISSING_PARAMETER, pack(f"!I{len(types)}H", len(types), *types))


def pack_stale_cookie(staleness_us: int) -> bytes:
    """Say by how many microseconds the cookie came too late; 0 does not tell."""
    return _pack(CAUSE_STALE_COOKIE, pack("!I", min(staleness_us, MASK_32)))


def pack_out_of_resource() -> bytes:
    return _pack(CAUSE_OUT_OF_RESOURCE)


def pack_unresolvable_address(parameter: bytes) -> bytes:
    return _pack(CAUSE_UNRESOLVABLE_ADDRESS, parameter if len(parameter) <= MAX_INFO_SIZE else b"")


def pack_unrecognized_chunk(chunk: bytes) -> bytes:
    return _pack(CAUSE_UNRECOGNIZED_CHUNK, chunk)


def pack_invalid_parameter() -> bytes:
    return _pack(CAUSE_INVALID_PARAMETER)


def pack_unrecognized_parameters(parameters: Iterable[bytes]) -> bytes:
    return _pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, parameters)


def pack_no_user_data(wire_tsn: int) -> bytes:
    return _pack(CAUSE_NO_USER_DATA, pack("!I", wire_tsn))


def pack_cookie_while_shutting_down() -> bytes:
    return _pack(CAUSE_COOKIE_WHILE_SHUTTING_DOWN)


def pack_restart_with_new_addresses(addresses: Iterable[str]) -> bytes:
    return _pack_copies(CAUSE_RESTART_NEW_ADDRESSES, map(pack_address, addresses))


def pack_user_abort(reason: bytes = b"") -> bytes:
    return _pack(CAUSE_USER_ABORT, reason)


def pack_protocol_violation(text: str = "") -> bytes:
    return _pack(CAUSE_PROTOCOL_VIOLATION, text.encode())


def pack_new_encapsulation_port(current: int, new: int) -> bytes:
    """Name the UDP port in use with the peer, and the one that its INIT came from."""
    return _pack(CAUSE_NEW_ENCAPSULATION_PORT, pack("!HH", current, new))


def pack_unsupported_hmac(hmac_id: int) -> bytes:
    return _pack(CAUSE_UNSUPPORTED_HMAC, pack("!H", hmac_id))


def pack_delete_last_address(parameter: bytes) -> bytes:
    """Repeat the whole parameter of the ASCONF that asked for it; so do the others of RFC 5061."""
    return _pack_copies(CAUSE_DELETE_LAST_ADDRESS, (parameter,))


def pack_resource_shortage(parameter: bytes) -> bytes:
    return _pack_copies(CAUSE_RESOURCE_SHORTAGE, (parameter,))


def pack_delete_source_address(parameter: bytes) -> bytes:
    return _pack_copies(CAUSE_DELETE_SOURCE_ADDRESS, (parameter,))


def pack_illegal_asconf_ack() -> bytes:
    return _pack(CAUSE_ILLEGAL_ASCONF_ACK)


def pack_no_authorization(parameter: bytes) -> bytes:
    return _pack_copies(CAUSE_NO_AUTHORIZATION, (parameter,))


def shorten(packed: bytes, space: int) -> bytes:
    """Return as many of these causes as fit into `space` bytes, and of the first that doesn't as much as fits.

    Where it repeats parameters, none of these is cut.
    """
    for code, at, start, end in tlv.walk(packed, 0, len(packed)):
        if end + 3 & -4 <= space:
            continue
        if start > space:
            return packed[:at]
        info = packed[start:end]
        if code in _OF_PARAMETERS:
            items = [info[first:last] for _, first, _, last in _before_malformed(tlv.walk(info, 0, len(info)))]
            return packed[:at] + tlv.pack_enclosing(code, b"".join(map(tlv.pad, tlv.take_whole(items, space - start))))
        return packed[:at] + tlv.pack(code, info[: space - start & -4])
    return packed


def read_causes(data: bytes, start: int, end: int) -> tuple[Cause, ...]:
    """Return the causes of an ABORT or ERROR chunk whose value stands between `start` and `end`, unknown ones too."""
    return tuple(_causes(data, start, end))


def read_causes_leniently(value: bytes) -> tuple[Cause, ...]:
    """Return the causes in a value that need not be in order: those before the first that is malformed."""
    return tuple(_before_malformed(_causes(value, 0, len(value))))


def read_staleness(info: bytes) -> int:
    """Return the Measure of Staleness of a Stale Cookie cause, in microseconds."""
    return _u32(info)


def _pack(code: int, info: bytes = b"") -> bytes:
    return tlv.pack(code, info[:MAX_INFO_SIZE])


def _pack_copies(code: int, parameters: Iterable[bytes]) -> bytes:
    return tlv.pack_enclosing(code, b"".join(map(tlv.pad, tlv.take_whole(parameters, MAX_INFO_SIZE))))


def _causes(data: bytes, start: int, end: int) -> Iterator[Cause]:
    for code, _, value_start, value_end in islice(tlv.walk(data, start, end), MAX_CAUSES):
        yield _describe(code, data[value_start:value_end])


def _describe(code: int, info: bytes) -> Cause:
    name, details = _CAUSES.get(code, (f"cause {code}", _nothing))
    text = details(info)
    return Cause(code, info, f"{name}: {text}" if text else name)


def _nothing(info: bytes) -> str:
    return ""


def _text(info: bytes) -> str:
    shown = info[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)


def _stream(info: bytes) -> str:
    return str(_u32(info) >> 16)


def _tsn(info: bytes) -> str:
    return f"TSN {_u32(info)}"


def _ports(info: bytes) -> str:
    ports = _u32(info)
    return f"{ports & 0xFFFF} instead of {ports >> 16}"


def _staleness(info: bytes) -> str:
    staleness = read_staleness(info)
    return f"by {staleness} us" if staleness else ""


def _hmac(info: bytes) -> str:
    # Two bytes, and no more: its padding is not part of it.
    if len(info) < 2:
        raise Malformed(f"an HMAC identifier in {len(info)} bytes")
    return str(int.from_bytes(info[:2]))


def _missing(info: bytes) -> str:
    count = _u32(info)
    if count > (len(info) - tlv.U32.size) // 2:
        raise Malformed(f"{len(info)} bytes can't list {count} missing parameters")
    return ", ".join(map(_named, unpack_from(f"!{min(count, MAX_SHOWN)}H", info, tlv.U32.size)))


def _named(kind: int) -> str:
    name = _PARAMETERS.get(kind)
    return f"{kind:#06x} ({name})" if name is not None else f"{kind:#06x}"


def _chunk(info: bytes) -> str:
    # Only its header has to be there: peers may cut what they return.
    return f"type {_u32(info) >> 24:#04x}"


def _parameters(info: bytes) -> str:
    return ", ".join(f"{kind:#06x}" for kind, _ in _copies(info))


def _addresses(info: bytes) -> str:
    return ", ".join(_address(kind, value) for kind, value in _copies(info))


def _address(kind: int, value: bytes) -> str:
    if len(value) == ADDRESS_SIZES.get(kind):
        return str(ip_address(value))
    return f"an address of type {kind}"


def _copies(info: bytes) -> list[tuple[int, bytes]]:
    """Return type and value of the first few parameters that a peer returned. One that it cut short ends the list."""
    items = islice(tlv.walk(info, 0, len(info)), MAX_SHOWN)
    return [(kind, info[start:end]) for kind, _, start, end in _before_malformed(items)]


def _before_malformed(items: Iterable[Item]) -> Iterator[Item]:
    with suppress(Malformed):
        yield from items


def _u32(info: bytes) -> int:
    """Return the first four bytes. A cause that lacks them is malformed: causes have lengths too."""
    number: int = tlv.read_fields(tlv.U32, info, 0, len(info))[0]
    return number


#: How each cause is named, and what its information adds.
_CAUSES: Final[dict[int, tuple[str, Callable[[bytes], str]]]] = {
    CAUSE_INVALID_STREAM: ("invalid stream identifier", _stream),
    CAUSE_MISSING_PARAMETER: ("missing mandatory parameter", _missing),
    CAUSE_STALE_COOKIE: ("stale cookie", _staleness),
    CAUSE_OUT_OF_RESOURCE: ("out of resource", _nothing),
    CAUSE_UNRESOLVABLE_ADDRESS: ("unresolvable address", _addresses),
    CAUSE_UNRECOGNIZED_CHUNK: ("unrecognized chunk", _chunk),
    CAUSE_INVALID_PARAMETER: ("invalid mandatory parameter", _nothing),
    CAUSE_UNRECOGNIZED_PARAMETERS: ("unrecognized parameters", _parameters),
    CAUSE_NO_USER_DATA: ("no user data", _tsn),
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN: ("cookie received while shutting down", _nothing),
    CAUSE_RESTART_NEW_ADDRESSES: ("restart of an association with new addresses", _addresses),
    CAUSE_USER_ABORT: ("user-initiated abort", _text),
    CAUSE_PROTOCOL_VIOLATION: ("protocol violation", _text),
    CAUSE_NEW_ENCAPSULATION_PORT: ("restart of an association with new encapsulation port", _ports),
    CAUSE_DELETE_LAST_ADDRESS: ("request to delete the last remaining IP address", _parameters),
    CAUSE_RESOURCE_SHORTAGE: ("operation refused due to resource shortage", _parameters),
    CAUSE_DELETE_SOURCE_ADDRESS: ("request to delete the source IP address", _parameters),
    CAUSE_ILLEGAL_ASCONF_ACK: ("association aborted due to illegal ASCONF-ACK", _nothing),
    CAUSE_NO_AUTHORIZATION: ("request refused, no authorization", _parameters),
    CAUSE_VTAG_COLLISION: ("verification tag and port number collision", _nothing),
    CAUSE_MISSING_STATE: ("missing state", _nothing),
    CAUSE_PORT_COLLISION: ("port number collision", _nothing),
    CAUSE_UNSUPPORTED_HMAC: ("unsupported HMAC identifier", _hmac),
}
