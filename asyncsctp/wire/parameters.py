"""The parameters of INIT and INIT ACK that are not addresses (RFC 9260 section 3.3.2.1, RFC 5061 section 4.2.7)."""

from __future__ import annotations

from collections.abc import Collection
from struct import Struct, pack, unpack
from typing import Final

from . import tlv
from .constants import (
    MASK_32,
    PARAM_COOKIE_PRESERVATIVE,
    PARAM_ECN_CAPABLE,
    PARAM_FORWARD_TSN_SUPPORTED,
    PARAM_HOST_NAME,
    PARAM_STATE_COOKIE,
    PARAM_SUPPORTED_ADDRESS_TYPES,
    PARAM_SUPPORTED_EXTENSIONS,
    PARAM_UNRECOGNIZED,
)
from .tlv import Malformed

__all__ = [
    "pack_cookie",
    "pack_cookie_preservative",
    "pack_ecn_capable",
    "pack_forward_tsn_supported",
    "pack_supported_address_types",
    "pack_supported_extensions",
    "pack_unrecognized",
    "read_cookie_preservative",
    "read_supported_address_types",
]

_U32: Final = Struct("!I")


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
    return tlv.pack(PARAM_ECN_CAPABLE)


def pack_forward_tsn_supported() -> bytes:
    """Forward-TSN Supported, RFC 3758 section 3.1."""
    return tlv.pack(PARAM_FORWARD_TSN_SUPPORTED)


def pack_supported_extensions(chunk_types: Collection[int]) -> bytes:
    """Supported Extensions, RFC 5061 section 4.2.7. Its value is read by iteration: a byte is a chunk type."""
    return tlv.pack(PARAM_SUPPORTED_EXTENSIONS, bytes(sorted(chunk_types)))


def pack_unrecognized(parameter: bytes) -> bytes:
    """Unrecognized Parameter, section 3.3.3.1.2, around a whole parameter of the INIT."""
    return tlv.pack(PARAM_UNRECOGNIZED, parameter)
