"""The parameters of INIT and INIT ACK that are no plain addresses (RFC 9260 section 3.3.2.1, RFC 5061 section 4.2,
draft natsupp section 5.3.1). Those of authentication are in `auth`."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from struct import Struct, pack, unpack
from typing import Final

from . import tlv
from .addresses import ADDRESS_SIZES, pack_address, read_address
from .constants import (
    FORWARD_TSN,
    MASK_32,
    PARAM_ADAPTATION,
    PARAM_COOKIE_PRESERVATIVE,
    PARAM_DISABLE_RESTART,
    PARAM_ECN_CAPABLE,
    PARAM_FORWARD_TSN_SUPPORTED,
    PARAM_HOST_NAME,
    PARAM_SET_PRIMARY,
    PARAM_STATE_COOKIE,
    PARAM_SUPPORTED_ADDRESS_TYPES,
    PARAM_SUPPORTED_EXTENSIONS,
    PARAM_UNRECOGNIZED,
)
from .tlv import Malformed

_U32: Final = Struct("!I")
_ECN_CAPABLE: Final = tlv.pack(PARAM_ECN_CAPABLE)
_KEPT: Final = 64  # lists of extensions: few are in use


def pack_cookie(cookie: bytes) -> bytes:
    """State Cookie, section 3.3.3.1.1."""
    return tlv.pack(PARAM_STATE_COOKIE, cookie)


def pack_cookie_preservative(milliseconds: int) -> bytes:
    """Cookie Preservative, section 3.3.2.1.3: how much longer the peer is asked to honour its cookie."""
    return tlv.pack(PARAM_COOKIE_PRESERVATIVE, _U32.pack(min(milliseconds, MASK_32)))


def read_cookie_preservative(value: bytes) -> int:
    if len(value) != _U32.size:
        raise Malformed(f"a Cookie Preservative of {len(value)} bytes")
    milliseconds: int = _U32.unpack(value)[0]
    return milliseconds


def pack_supported_address_types(types: Collection[int]) -> bytes:
    """Supported Address Types, section 3.3.2.1.5."""
    return tlv.pack(PARAM_SUPPORTED_ADDRESS_TYPES, pack(f"!{len(types)}H", *sorted(types)))


def read_supported_address_types(value: bytes) -> frozenset[int]:
    if len(value) & 1:
        raise Malformed(f"Supported Address Types of {len(value)} bytes")
    # The type of the Host Name Address MUST be ignored.
    return frozenset(unpack(f"!{len(value) // 2}H", value)) - {PARAM_HOST_NAME}


def pack_ecn_capable() -> bytes:
    """ECN Capable, RFC 4960 appendix A."""
    return _ECN_CAPABLE


@lru_cache(maxsize=_KEPT)
def pack_extensions(chunk_types: frozenset[int]) -> bytes:
    """Supported Extensions, RFC 5061 section 4.2.7, and beside it Forward-TSN Supported, RFC 3758 section 3.1."""
    listed = tlv.pack(PARAM_SUPPORTED_EXTENSIONS, bytes(sorted(chunk_types)))
    return tlv.pack(PARAM_FORWARD_TSN_SUPPORTED) + listed if FORWARD_TSN in chunk_types else listed


@lru_cache(maxsize=_KEPT)
def read_supported_extensions(value: bytes) -> frozenset[int]:
    return frozenset(value)


def pack_adaptation(value: int) -> bytes:
    """Adaptation Layer Indication, RFC 5061 section 4.2.6."""
    return tlv.pack(PARAM_ADAPTATION, _U32.pack(value))


def read_adaptation(value: bytes) -> int | None:
    """What is indicated; None where it can't be read, which is no reason to refuse the rest."""
    return int.from_bytes(value) if len(value) == _U32.size else None


def pack_primary(address: str) -> bytes:
    """Set Primary IP Address in an INIT or INIT ACK, RFC 5061 section 4.2.4: nobody answers, so that its id is 0."""
    return tlv.pack_enclosing(PARAM_SET_PRIMARY, pack_address(address), _U32.pack(0))


def read_primary(value: bytes) -> str:
    """The address; empty where it is none that can be sent to: it is advice, and no reason to refuse the rest."""
    try:
        kind, end = tlv.item(value, _U32.size, len(value))
        if kind in ADDRESS_SIZES:
            return read_address(kind, value[_U32.size + tlv.HEADER_SIZE : end]) or ""
    except Malformed:
        pass
    return ""


def pack_disable_restart() -> bytes:
    """Disable Restart, draft natsupp section 5.3.1."""
    return tlv.pack(PARAM_DISABLE_RESTART)


def pack_unrecognized(parameter: bytes) -> bytes:
    """Unrecognized Parameter, section 3.3.3.1.2, around a whole parameter of the INIT."""
    return tlv.pack(PARAM_UNRECOGNIZED, parameter)
