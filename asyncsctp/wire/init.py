"""INIT and INIT ACK and their parameters (RFC 9260 sections 3.3.2 and 3.3.3, RFC 5061 section 4.2, draft natsupp 5.3).

Everything that grows with what anybody may send is bounded here. Whether a tag, a stream count or an a_rwnd is
acceptable, `handlers.setup.negotiation` knows, and what to answer `handlers.setup.handshake`. Parameters of
authentication are in `auth`, those that hold an address in `addresses`.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, pack, unpack
from typing import Final, NamedTuple

from . import auth, constants, tlv
from .addresses import ADDRESS_SIZES, pack_address, read_address
from .auth import AuthParameters
from .tlv import Malformed

#: How many addresses of a peer's list are looked at.
MAX_ADDRESSES: Final = 64
#: So many bytes of unrecognized parameters are kept to be reported back, as far as a packet has space for them.
MAX_UNRECOGNIZED_SIZE: Final = 1024
#: Parameters of no more bytes are remembered: all INITs of a stack have the same. Longer ones hold nonces, addresses.
_USUAL_SIZE: Final = 64

_FIXED: Final = Struct("!IIHHI")
_FIXED_FIELDS: Final = 5
_ECN_CAPABLE: Final = tlv.pack(constants.PARAM_ECN_CAPABLE)  # RFC 4960 appendix A
_DISABLE_RESTART: Final = tlv.pack(constants.PARAM_DISABLE_RESTART)  # draft natsupp section 5.3.1
_OF_AUTH: Final = frozenset({constants.PARAM_RANDOM, constants.PARAM_CHUNK_LIST, constants.PARAM_HMAC_ALGORITHMS})


class Init(NamedTuple):
    """What an INIT or INIT ACK says. What is left at its default is not on the wire.

    Where each association makes one its fields are given by position: by name they would cost three times as much.
    """

    initiate_tag: int
    a_rwnd: int
    outgoing_streams: int
    incoming_streams: int
    initial_tsn: int
    addresses: tuple[str, ...] = ()
    ecn: bool = False
    #: Chunk types of RFC 5061 section 4.2.7. FORWARD TSN stands for the parameter of RFC 3758 section 3.1 as well.
    extensions: frozenset[int] = frozenset()
    #: RFC 4895. None: nothing was said of authentication.
    auth: AuthParameters | None = None
    #: RFC 5061 section 4.2.6.
    adaptation: int | None = None
    #: Draft natsupp section 5.3.1.
    disable_restart: bool = False
    #: Read: there were more addresses than are looked at.
    lists_more: bool = False
    #: INIT alone. None: any type will do (section 3.3.2, note 4).
    supported_address_types: frozenset[int] | None = None
    #: INIT ACK alone, where it is mandatory.
    cookie: bytes | None = None
    #: INIT alone: by how much the receiver is asked to extend the life of its cookie.
    preservative_ms: int = 0
    #: The address that its sender would like to be sent to (RFC 5061 section 5.4); empty: any.
    primary: str = ""
    #: Read: whole parameters that ask to be reported. Packed into an INIT ACK, as answers to the INIT.
    unrecognized: tuple[bytes, ...] = ()
    #: Read: whole parameters of our INIT that the peer did not know.
    reported: tuple[bytes, ...] = ()
    #: Read: the whole Host Name Address parameter, which MUST be answered by an ABORT (section 3.3.2.1.4); else empty.
    host_name: bytes = b""


def pack_init(init: Init, ack: bool) -> bytes:
    """Pack the chunk. An INIT of nothing but the fixed part is what the plainest peers understand."""
    items = []
    if ack and init.cookie is not None:
        items.append(tlv.pack(constants.PARAM_STATE_COOKIE, init.cookie))
    if not ack and init.supported_address_types is not None:
        types = sorted(init.supported_address_types)
        items.append(tlv.pack(constants.PARAM_SUPPORTED_ADDRESS_TYPES, pack(f"!{len(types)}H", *types)))
    if not ack and init.preservative_ms:
        items.append(
            tlv.pack(constants.PARAM_COOKIE_PRESERVATIVE, tlv.U32.pack(min(init.preservative_ms, constants.MASK_32)))
        )
    if init.auth is not None:
        items.append(auth.pack_auth_parameters(init.auth))
    if ack and init.unrecognized:
        # Section 3.2.2: they MUST go into the INIT ACK.
        items += map(pack_unrecognized, init.unrecognized)
    return _enclose(
        constants.INIT_ACK if ack else constants.INIT, init, init.outgoing_streams, items, init.ecn, init.extensions
    )


def pack_init_ack(
    ours: Init, cookie: bytes, outgoing_streams: int, ecn: bool, extensions: frozenset[int], says_auth: bool
) -> bytes:
    """Pack the INIT ACK of a side that offers `ours`; of what is given here it says that instead."""
    items = [tlv.pack(constants.PARAM_STATE_COOKIE, cookie)]
    if says_auth and ours.auth is not None:
        items.append(auth.pack_auth_parameters(ours.auth))
    return _enclose(constants.INIT_ACK, ours, outgoing_streams, items, ecn, extensions)


def pack_unrecognized(parameter: bytes) -> bytes:
    """Pack an Unrecognized Parameter, section 3.3.3.1.2, around a whole parameter of the INIT."""
    return tlv.pack(constants.PARAM_UNRECOGNIZED, parameter)


def _enclose(
    kind: int, init: Init, outgoing_streams: int, items: list[bytes], ecn: bool, extensions: frozenset[int]
) -> bytes:
    """Pack the chunk with these parameters, and those that an endpoint says to everybody alike behind them."""
    common, padding = _pack_common(init.addresses, ecn, extensions, init.adaptation, init.primary, init.disable_restart)
    fixed = _FIXED.pack(init.initiate_tag, init.a_rwnd, outgoing_streams, init.incoming_streams, init.initial_tsn)
    value = b"".join((fixed, *items, common))
    if not common and items:
        return tlv.pack_enclosing(kind << 8, items[-1], value[: -len(items[-1])])
    return tlv.U16_U16.pack(kind << 8, tlv.HEADER_SIZE + len(value) - padding) + value


@lru_cache(maxsize=64)
def _pack_common(
    addresses: tuple[str, ...],
    ecn: bool,
    extensions: frozenset[int],
    adaptation: int | None,
    primary: str,
    disable_restart: bool,
) -> tuple[bytes, int]:
    """Pack what an endpoint says to everybody alike, or to all who offer the same.

    Return as well how much of it is the padding of the last parameter, which does not count (section 3.2).
    """
    items = list(map(pack_address, addresses))
    if ecn:
        items.append(_ECN_CAPABLE)
    if adaptation is not None:  # RFC 5061 section 4.2.6
        items.append(tlv.pack(constants.PARAM_ADAPTATION, tlv.U32.pack(adaptation)))
    if primary:  # RFC 5061 section 4.2.4: nobody answers, so that its id is 0
        items.append(tlv.pack_enclosing(constants.PARAM_SET_PRIMARY, pack_address(primary), tlv.U32.pack(0)))
    if disable_restart:
        items.append(_DISABLE_RESTART)
    if constants.FORWARD_TSN in extensions:  # RFC 3758 section 3.1
        items.append(tlv.pack(constants.PARAM_FORWARD_TSN_SUPPORTED))
    if extensions:  # RFC 5061 section 4.2.7
        items.append(tlv.pack(constants.PARAM_SUPPORTED_EXTENSIONS, bytes(sorted(extensions))))
    return b"".join(items), -len(extensions) & 3


def read_init(data: bytes, start: int, end: int) -> Init:
    """Return what an INIT or INIT ACK chunk says, whose value stands between `start` and `end`."""
    fixed = tlv.read_fields(_FIXED, data, start, end)
    said = data[start + _FIXED.size : end]
    parameters = _read_usual(said) if len(said) <= _USUAL_SIZE else _read_parameters(said)
    return Init._make((*fixed, *parameters[_FIXED_FIELDS:]))


def _read_parameters(data: bytes) -> Init:
    """Return what the parameters say; nothing is known of the fixed fields."""
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
        elif kind == constants.PARAM_STATE_COOKIE:
            cookie = value
        elif kind == constants.PARAM_SUPPORTED_ADDRESS_TYPES:
            if len(value) & 1:
                raise Malformed(f"Supported Address Types of {len(value)} bytes")
            # Section 3.3.2.1.5: the type of the Host Name Address MUST be ignored.
            supported_address_types = frozenset(unpack(f"!{len(value) // 2}H", value)) - {constants.PARAM_HOST_NAME}
        elif kind == constants.PARAM_COOKIE_PRESERVATIVE:
            if len(value) != tlv.U32.size:
                raise Malformed(f"a Cookie Preservative of {len(value)} bytes")
            preservative_ms = int.from_bytes(value)
        elif kind == constants.PARAM_ECN_CAPABLE:
            ecn = True
        elif kind == constants.PARAM_FORWARD_TSN_SUPPORTED:
            extensions |= {constants.FORWARD_TSN}
        elif kind == constants.PARAM_SUPPORTED_EXTENSIONS:
            extensions |= frozenset(value)
        elif kind in _OF_AUTH:
            said = _hear(said or AuthParameters(), kind, value)
        elif kind == constants.PARAM_ADAPTATION:
            # One that can't be read is no reason to refuse the rest; nor is advice as to the primary path.
            adaptation = int.from_bytes(value) if len(value) == tlv.U32.size else None
        elif kind == constants.PARAM_SET_PRIMARY:
            primary = _read_primary(value)
        elif kind == constants.PARAM_DISABLE_RESTART:
            disable_restart = True
        elif kind == constants.PARAM_UNRECOGNIZED:
            reported.append(value)
        elif kind == constants.PARAM_HOST_NAME:
            host_name = data[at:value_end]
        else:
            if tlv.reports_parameter(kind):
                unrecognized.append(data[at:value_end])
            if not tlv.skips_parameter(kind):
                break
    literals = (read_address(kind, value) for kind, value in addresses)
    destinations = tuple(dict.fromkeys(literal for literal in literals if literal is not None))
    offers = (ecn, extensions, said, adaptation, disable_restart)
    details = (lists_more, supported_address_types, cookie, preservative_ms, primary)
    unknown = tuple(tlv.take_whole(unrecognized, MAX_UNRECOGNIZED_SIZE))
    return Init(0, 0, 0, 0, 0, destinations, *offers, *details, unknown, tuple(reported), host_name)


_read_usual: Final = lru_cache(maxsize=64)(_read_parameters)


def _hear(said: AuthParameters, kind: int, value: bytes) -> AuthParameters:
    """Add one more parameter to what a side says of authentication; each MUST come once (RFC 4895 section 3)."""
    if kind == constants.PARAM_RANDOM:
        return said._replace(random=value, flawed=said.flawed or not value or said.random != b"")
    if kind == constants.PARAM_CHUNK_LIST:
        return said._replace(chunks=value, flawed=said.flawed or said.chunks is not None)
    if said.hmacs or len(value) & 1:
        return said._replace(flawed=True)
    return said._replace(hmacs=auth.read_hmacs(value))


def _read_primary(value: bytes) -> str:
    """Return the address; empty where it is none that can be sent to."""
    try:
        kind, end = tlv.item(value, tlv.U32.size, len(value))
        if kind in ADDRESS_SIZES:
            return read_address(kind, value[tlv.U32.size + tlv.HEADER_SIZE : end]) or ""
    except Malformed:
        pass
    return ""
