"""IPv4 and IPv6 Address parameters (RFC 9260 sections 3.3.2.1.1, 3.3.2.1.2), and the literals used everywhere else.

Only addresses that can never be a destination are refused here. Whether one can be reached from where we are (section
5.1.2) is a matter of scope, which `paths.encapsulation` knows.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from . import tlv
from .constants import PARAM_IPV4_ADDRESS, PARAM_IPV6_ADDRESS
from .tlv import Malformed

#: How long the value of each kind of address parameter is.
ADDRESS_SIZES: Final = {PARAM_IPV4_ADDRESS: 4, PARAM_IPV6_ADDRESS: 16}
_TYPES: Final = {4: PARAM_IPV4_ADDRESS, 16: PARAM_IPV6_ADDRESS}
_ANY: Final = bytes(4)
_BROADCAST: Final = b"\xff\xff\xff\xff"
_MULTICAST: Final = 0xE0  # the first four bits


def parse_address(address: str) -> IPv4Address | IPv6Address:
    """Return the address of a literal; IPv4 even if mapped into IPv6, which MUST NOT be sent (section 3.3.2.1.2)."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return parsed.ipv4_mapped or parsed
    return parsed


def pack_address(address: str) -> bytes:
    """Pack the parameter for an address literal; an IPv4-mapped IPv6 address goes as the IPv4 address that it is."""
    packed = parse_address(address).packed
    return tlv.pack(_TYPES[len(packed)], packed)


def read_address(parameter_type: int, value: bytes) -> str | None:
    """Return the literal, in its one canonical form; None for an address that is no destination."""
    if len(value) != ADDRESS_SIZES[parameter_type]:
        raise Malformed(f"address parameter {parameter_type} of {len(value)} bytes")
    if parameter_type == PARAM_IPV4_ADDRESS:
        return _read_ipv4(value)
    address = IPv6Address(value)
    if address.ipv4_mapped is not None:
        return _read_ipv4(value[12:])
    return None if address.is_multicast or address.is_unspecified else str(address)


def _read_ipv4(value: bytes) -> str | None:
    if value[0] & 0xF0 == _MULTICAST or value in (_ANY, _BROADCAST):
        return None
    return f"{value[0]}.{value[1]}.{value[2]}.{value[3]}"
