"""INIT and INIT ACK (RFC 9260 sections 3.3.2 and 3.3.3), which differ by the parameters that belong into them.

Everything that grows with what a stranger sent is bounded here. Whether a tag, a stream count or an a_rwnd is
acceptable, and what to answer, is for the handshake to say.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from . import auth, parameters, tlv
from .addresses import ADDRESS_SIZES, pack_address, read_address
from .auth import AuthParameters
from .constants import (
    FORWARD_TSN,
    INIT,
    INIT_ACK,
    PARAM_ADAPTATION,
    PARAM_CHUNK_LIST,
    PARAM_COOKIE_PRESERVATIVE,
    PARAM_DISABLE_RESTART,
    PARAM_ECN_CAPABLE,
    PARAM_FORWARD_TSN_SUPPORTED,
    PARAM_HMAC_ALGORITHMS,
    PARAM_HOST_NAME,
    PARAM_RANDOM,
    PARAM_SET_PRIMARY,
    PARAM_STATE_COOKIE,
    PARAM_SUPPORTED_ADDRESS_TYPES,
    PARAM_SUPPORTED_EXTENSIONS,
    PARAM_UNRECOGNIZED,
)
from .tlv import Malformed

#: How many addresses of a peer's list are looked at.
MAX_ADDRESSES: Final = 64
#: So many bytes of unrecognized parameters are kept to be reported back, as far as a packet has room for them.
MAX_UNRECOGNIZED_SIZE: Final = 1024
#: Parameters of no more bytes are remembered: all INITs of a stack have the same. Longer ones hold nonces, addresses.
_USUAL_SIZE: Final = 64

_FIXED: Final = Struct("!IIHHI")
_FIXED_FIELDS: Final = 5
_HEADER: Final = Struct("!HH")
_OF_AUTH: Final = frozenset({PARAM_RANDOM, PARAM_CHUNK_LIST, PARAM_HMAC_ALGORITHMS})


class Init(NamedTuple):
    """What an INIT or INIT ACK says. What is left at its default is not on the wire."""

    initiate_tag: int
    a_rwnd: int
    outgoing_streams: int
    incoming_streams: int
    initial_tsn: int
    addresses: tuple[str, ...] = ()
    #: Read: there were more addresses than are looked at.
    lists_more: bool = False
    #: INIT alone. None: any type will do (section 3.3.2, note 4).
    supported_address_types: frozenset[int] | None = None
    #: INIT ACK alone, where it is mandatory.
    cookie: bytes | None = None
    #: INIT alone: by how much the receiver is asked to extend the life of its cookie.
    preservative_ms: int = 0
    ecn: bool = False
    #: Chunk types of RFC 5061 section 4.2.7. FORWARD TSN stands for the parameter of RFC 3758 section 3.1 as well.
    extensions: frozenset[int] = frozenset()
    #: RFC 4895. None: nothing was said of authentication.
    auth: AuthParameters | None = None
    #: RFC 5061 section 4.2.6.
    adaptation: int | None = None
    #: The address that its sender would like to be sent to (RFC 5061 section 5.4); empty: any.
    primary: str = ""
    #: Draft natsupp section 5.3.1.
    disable_restart: bool = False
    #: Read: whole parameters that ask to be reported. Packed into an INIT ACK, as answers to the INIT.
    unrecognized: tuple[bytes, ...] = ()
    #: Read: whole parameters of our INIT that the peer did not know.
    reported: tuple[bytes, ...] = ()
    #: Read: the whole Host Name Address parameter, which MUST be answered by an ABORT (section 3.3.2.1.4); else empty.
    host_name: bytes = b""


def pack_init(init: Init, ack: bool) -> bytes:
    """The chunk. An INIT of nothing but the fixed part is what the plainest peers understand."""
    items = []
    if ack and init.cookie is not None:
        items.append(parameters.pack_cookie(init.cookie))
    if not ack and init.supported_address_types is not None:
        items.append(parameters.pack_supported_address_types(init.supported_address_types))
    if not ack and init.preservative_ms:
        items.append(parameters.pack_cookie_preservative(init.preservative_ms))
    if init.auth is not None:
        items.append(auth.pack_auth_parameters(init.auth))
    if ack and init.unrecognized:
        # Section 3.2.2: they MUST go into the INIT ACK.
        items += map(parameters.pack_unrecognized, init.unrecognized)
    return _enclose(INIT_ACK if ack else INIT, init, init.outgoing_streams, items, init.ecn, init.extensions)


def pack_init_ack(
    ours: Init, cookie: bytes, outgoing_streams: int, ecn: bool, extensions: frozenset[int], says_auth: bool
) -> bytes:
    """The INIT ACK of a side that offers `ours`: of streams, ECN, extensions and authentication it says what is given
    here.
    """
    items = [parameters.pack_cookie(cookie)]
    if says_auth and ours.auth is not None:
        items.append(auth.pack_auth_parameters(ours.auth))
    return _enclose(INIT_ACK, ours, outgoing_streams, items, ecn, extensions)


def _enclose(
    kind: int, init: Init, outgoing_streams: int, items: list[bytes], ecn: bool, extensions: frozenset[int]
) -> bytes:
    """The chunk with these parameters, and those that an endpoint says to everybody alike behind them."""
    common, padding = _pack_common(init.addresses, ecn, extensions, init.adaptation, init.primary, init.disable_restart)
    fixed = _FIXED.pack(init.initiate_tag, init.a_rwnd, outgoing_streams, init.incoming_streams, init.initial_tsn)
    value = b"".join((fixed, *items, common))
    if not common and items:
        return tlv.pack_enclosing(kind << 8, items[-1], value[: -len(items[-1])])
    return _HEADER.pack(kind << 8, tlv.HEADER_SIZE + len(value) - padding) + value


@lru_cache(maxsize=64)
def _pack_common(
    addresses: tuple[str, ...],
    ecn: bool,
    extensions: frozenset[int],
    adaptation: int | None,
    primary: str,
    disable_restart: bool,
) -> tuple[bytes, int]:
    """What an endpoint says to everybody alike, or to all who offer the same; and how much of it is the padding of the
    last parameter, which does not count (section 3.2).
    """
    items = list(map(pack_address, addresses))
    if ecn:
        items.append(parameters.pack_ecn_capable())
    if adaptation is not None:
        items.append(parameters.pack_adaptation(adaptation))
    if primary:
        items.append(parameters.pack_primary(primary))
    if disable_restart:
        items.append(parameters.pack_disable_restart())
    if extensions:
        items.append(parameters.pack_extensions(extensions))
    return b"".join(items), -len(extensions) & 3


def read_init(data: bytes, start: int, end: int) -> Init:
    """The value of an INIT or INIT ACK chunk, which stands between `start` and `end`."""
    if end - start < _FIXED.size or end > len(data):
        raise Malformed(f"an INIT or INIT ACK with a value of {end - start} bytes")
    said = data[start + _FIXED.size : end]
    read = _read_usual(said) if len(said) <= _USUAL_SIZE else _read_parameters(said)
    return Init._make((*_FIXED.unpack_from(data, start), *read[_FIXED_FIELDS:]))


@lru_cache(maxsize=64)
def _read_usual(data: bytes) -> Init:
    return _read_parameters(data)


def _read_parameters(data: bytes) -> Init:
    """What the parameters say; nothing is known of the fixed fields."""
    addresses: dict[tuple[int, bytes], None] = {}
    lists_more = False
    supported_address_types: frozenset[int] | None = None
    cookie: bytes | None = None
    preservative_ms = 0
    ecn = False
    extensions: frozenset[int] = frozenset()
    unrecognized: list[bytes] = []
    reported: list[bytes] = []
    host_name = b""
    said: AuthParameters | None = None
    adaptation: int | None = None
    primary = ""
    disable_restart = False
    for kind, at, value_start, value_end in tlv.walk(data, 0, len(data)):
        value = data[value_start:value_end]
        if kind in ADDRESS_SIZES:
            if len(addresses) < MAX_ADDRESSES:
                addresses[kind, value] = None
            else:
                lists_more = True
        elif kind == PARAM_STATE_COOKIE:
            cookie = value
        elif kind == PARAM_SUPPORTED_ADDRESS_TYPES:
            supported_address_types = parameters.read_supported_address_types(value)
        elif kind == PARAM_COOKIE_PRESERVATIVE:
            preservative_ms = parameters.read_cookie_preservative(value)
        elif kind == PARAM_ECN_CAPABLE:
            ecn = True
        elif kind == PARAM_FORWARD_TSN_SUPPORTED:
            extensions |= {FORWARD_TSN}
        elif kind == PARAM_SUPPORTED_EXTENSIONS:
            listed = parameters.read_supported_extensions(value)
            extensions = extensions | listed if extensions else listed
        elif kind in _OF_AUTH:
            said = _hear(said or AuthParameters(), kind, value)
        elif kind == PARAM_ADAPTATION:
            adaptation = parameters.read_adaptation(value)
        elif kind == PARAM_SET_PRIMARY:
            primary = parameters.read_primary(value)
        elif kind == PARAM_DISABLE_RESTART:
            disable_restart = True
        elif kind == PARAM_UNRECOGNIZED:
            reported.append(value)
        elif kind == PARAM_HOST_NAME:
            host_name = data[at:value_end]
        else:
            if tlv.reports_parameter(kind):
                unrecognized.append(data[at:value_end])
            if not tlv.skips_parameter(kind):
                break
    return Init(
        initiate_tag=0,
        a_rwnd=0,
        outgoing_streams=0,
        incoming_streams=0,
        initial_tsn=0,
        addresses=_destinations(addresses),
        lists_more=lists_more,
        supported_address_types=supported_address_types,
        cookie=cookie,
        preservative_ms=preservative_ms,
        ecn=ecn,
        extensions=extensions,
        auth=said,
        adaptation=adaptation,
        primary=primary,
        disable_restart=disable_restart,
        unrecognized=tuple(tlv.take_whole(unrecognized, MAX_UNRECOGNIZED_SIZE)),
        reported=tuple(reported),
        host_name=host_name,
    )


def _hear(said: AuthParameters, kind: int, value: bytes) -> AuthParameters:
    """What a side says of authentication, with one more of its parameters; each MUST come once (RFC 4895 section 3)."""
    if kind == PARAM_RANDOM:
        return said._replace(random=value, flawed=said.flawed or not value or said.random != b"")
    if kind == PARAM_CHUNK_LIST:
        return said._replace(chunks=value, flawed=said.flawed or said.chunks is not None)
    if said.hmacs or len(value) & 1:
        return said._replace(flawed=True)
    return said._replace(hmacs=auth.read_hmacs(value))


def _destinations(parameters: dict[tuple[int, bytes], None]) -> tuple[str, ...]:
    literals = (read_address(kind, value) for kind, value in parameters)
    return tuple(dict.fromkeys(literal for literal in literals if literal is not None))
