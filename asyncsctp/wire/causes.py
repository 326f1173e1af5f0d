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
from . import constants, tlv
from .addresses import ADDRESS_SIZES, pack_address
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
    constants.PARAM_STATE_COOKIE: " (State Cookie)",
    constants.PARAM_RANDOM: " (Random)",
    constants.PARAM_HMAC_ALGORITHMS: " (Requested HMAC Algorithm)",
}

Item = TypeVar("Item")


def pack_cause(code: int, info: bytes = b"") -> bytes:
    """Pack a cause with this information, or as much of it as is sent."""
    return tlv.pack(code, info[:MAX_INFO_SIZE])


def pack_copies(code: int, parameters: Iterable[bytes]) -> bytes:
    """Pack a cause that repeats whole parameters of the peer's, as many as are sent; none is cut."""
    return tlv.pack_enclosing(code, b"".join(map(tlv.pad, tlv.take_whole(parameters, MAX_INFO_SIZE))))


def pack_invalid_stream(sid: int) -> bytes:
    return pack_cause(constants.CAUSE_INVALID_STREAM, pack("!HH", sid, 0))


def pack_missing_parameters(types: Sequence[int]) -> bytes:
    return pack_cause(constants.CAUSE_MISSING_PARAMETER, pack(f"!I{len(types)}H", len(types), *types))


def pack_stale_cookie(staleness_us: int) -> bytes:
    """Say by how many microseconds the cookie came too late; 0 does not tell."""
    return pack_cause(constants.CAUSE_STALE_COOKIE, pack("!I", min(staleness_us, constants.MASK_32)))


def pack_unresolvable_address(parameter: bytes) -> bytes:
    return pack_cause(constants.CAUSE_UNRESOLVABLE_ADDRESS, parameter if len(parameter) <= MAX_INFO_SIZE else b"")


def pack_no_user_data(wire_tsn: int) -> bytes:
    return pack_cause(constants.CAUSE_NO_USER_DATA, pack("!I", wire_tsn))


def pack_restart_with_new_addresses(addresses: Iterable[str]) -> bytes:
    return pack_copies(constants.CAUSE_RESTART_NEW_ADDRESSES, map(pack_address, addresses))


def pack_protocol_violation(text: str = "") -> bytes:
    return pack_cause(constants.CAUSE_PROTOCOL_VIOLATION, text.encode())


def pack_new_encapsulation_port(current: int, new: int) -> bytes:
    """Name the UDP port in use with the peer, and the one that its INIT came from."""
    return pack_cause(constants.CAUSE_NEW_ENCAPSULATION_PORT, pack("!HH", current, new))


def pack_unsupported_hmac(hmac_id: int) -> bytes:
    return pack_cause(constants.CAUSE_UNSUPPORTED_HMAC, pack("!H", hmac_id))


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


def _causes(data: bytes, start: int, end: int) -> Iterator[Cause]:
    for code, _, value_start, value_end in islice(tlv.walk(data, start, end), MAX_CAUSES):
        name, details = _CAUSES.get(code, (f"cause {code}", None))
        info = data[value_start:value_end]
        text = details(info) if details is not None else ""
        yield Cause(code, info, f"{name}: {text}" if text else name)


def _text(info: bytes) -> str:
    shown = info[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)


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
    kinds = unpack_from(f"!{min(count, MAX_SHOWN)}H", info, tlv.U32.size)
    return ", ".join(f"{kind:#06x}{_PARAMETERS.get(kind, '')}" for kind in kinds)


def _parameters(info: bytes) -> str:
    return ", ".join(f"{kind:#06x}" for kind, _ in _copies(info))


def _addresses(info: bytes) -> str:
    return ", ".join(
        str(ip_address(value)) if len(value) == ADDRESS_SIZES.get(kind) else f"an address of type {kind}"
        for kind, value in _copies(info)
    )


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
_CAUSES: Final[dict[int, tuple[str, Callable[[bytes], str] | None]]] = {
    constants.CAUSE_INVALID_STREAM: ("invalid stream identifier", lambda info: str(_u32(info) >> 16)),
    constants.CAUSE_MISSING_PARAMETER: ("missing mandatory parameter", _missing),
    constants.CAUSE_STALE_COOKIE: ("stale cookie", _staleness),
    constants.CAUSE_OUT_OF_RESOURCE: ("out of resource", None),
    constants.CAUSE_UNRESOLVABLE_ADDRESS: ("unresolvable address", _addresses),
    # Of the chunk only its header has to be there: peers may cut what they return.
    constants.CAUSE_UNRECOGNIZED_CHUNK: ("unrecognized chunk", lambda info: f"type {_u32(info) >> 24:#04x}"),
    constants.CAUSE_INVALID_PARAMETER: ("invalid mandatory parameter", None),
    constants.CAUSE_UNRECOGNIZED_PARAMETERS: ("unrecognized parameters", _parameters),
    constants.CAUSE_NO_USER_DATA: ("no user data", lambda info: f"TSN {_u32(info)}"),
    constants.CAUSE_COOKIE_WHILE_SHUTTING_DOWN: ("cookie received while shutting down", None),
    constants.CAUSE_RESTART_NEW_ADDRESSES: ("restart of an association with new addresses", _addresses),
    constants.CAUSE_USER_ABORT: ("user-initiated abort", _text),
    constants.CAUSE_PROTOCOL_VIOLATION: ("protocol violation", _text),
    constants.CAUSE_NEW_ENCAPSULATION_PORT: ("restart of an association with new encapsulation port", _ports),
    constants.CAUSE_DELETE_LAST_ADDRESS: ("request to delete the last remaining IP address", _parameters),
    constants.CAUSE_RESOURCE_SHORTAGE: ("operation refused due to resource shortage", _parameters),
    constants.CAUSE_DELETE_SOURCE_ADDRESS: ("request to delete the source IP address", _parameters),
    constants.CAUSE_ILLEGAL_ASCONF_ACK: ("association aborted due to illegal ASCONF-ACK", None),
    constants.CAUSE_NO_AUTHORIZATION: ("request refused, no authorization", _parameters),
    constants.CAUSE_VTAG_COLLISION: ("verification tag and port number collision", None),
    constants.CAUSE_MISSING_STATE: ("missing state", None),
    constants.CAUSE_PORT_COLLISION: ("port number collision", None),
    constants.CAUSE_UNSUPPORTED_HMAC: ("unsupported HMAC identifier", _hmac),
}

#: Causes whose information is a list of parameters.
_OF_PARAMETERS: Final = frozenset(
    code for code, (_, details) in _CAUSES.items() if details in (_parameters, _addresses)
)
