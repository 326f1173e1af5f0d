"""Where a packet leaves from and goes to, and what addresses mean: their spelling, their family and their scope.

Knows addresses as text. What follows from SCTP being inside UDP is in `encapsulation`.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network
from typing import Final, NamedTuple

from ..wire.addresses import parse_address

_ADDRESSES_KEPT: Final = 1024  # reading one takes longer than anything else in a handshake

_NOWHERE: Final = -1
_LOOPBACK: Final = 0
_LINK: Final = 1
_PRIVATE: Final = 2
_GLOBAL: Final = 3

# RFC 4193 and, as an old neighbour of link-local, the site-local prefix of RFC 3879.
_PRIVATE_IPV6: Final = tuple(map(IPv6Network, ("fc00::/7", "fec0::/10")))


class Route(NamedTuple):
    """The local address that a packet leaves from, and the peer's address and UDP port that it goes to."""

    local: str
    address: str
    udp_port: int


@lru_cache(maxsize=_ADDRESSES_KEPT)
def normalize(address: str) -> str:
    """Return the one spelling of an IP literal: of IPv4 even if mapped into IPv6. `ValueError` for other text."""
    return str(parse_address(address))


def is_ipv4(address: str) -> bool:
    """Return True for a normalized address of IPv4, False for IPv6."""
    return ":" not in address


def wildcard_of(address: str) -> str:
    """Return the address that stands for all of a host's own, in the family of this one."""
    return "0.0.0.0" if is_ipv4(address) else "::"


def in_scope(address: str, other: str) -> bool:
    """Return True if `address` means the same host to someone at `other`: a loopback address does not to a global one.

    An address that can't be a destination at all, as multicast, is in no scope, and text that is no address neither.
    """
    scope = _scope(address)
    return scope != _NOWHERE and scope >= _scope(other) and not (scope == _LINK and _are_apart(address, other))


def is_private(address: str) -> bool:
    """Return True if it means a host of one network alone, and another one elsewhere."""
    return _scope(address) < _GLOBAL


def is_translatable(local: str) -> bool:
    """Return True if a NAT may stand between this address of ours and the peer, and call it otherwise."""
    return local != "" and _scope(local) in (_PRIVATE, _NOWHERE)  # a wildcard may be any of them


def is_source_for(local: str, address: str) -> bool:
    """Return True if what goes to `address` can leave from `local`, of the same family, and be answered there."""
    scope = _scope(local)
    other = _scope(address)
    if scope > _LINK and other > _LINK:
        return True  # a NAT may stand between private and global ones
    return scope == other and not _are_apart(local, address)


def as_seen(addresses: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return what addresses are called here that a packet from `source` names.

    A link-local IPv6 address is one of the link that the packet came along; what that is called, its zone ("%eth0"), is
    known to the receiver alone and never on the wire (RFC 4007 sections 6 and 11).
    """
    _, zoned, zone = source.partition("%")
    if not zoned:
        return addresses
    return tuple(
        f"{address}%{zone}" if not is_ipv4(address) and _scope(address) == _LINK else address for address in addresses
    )


def _are_apart(address: str, other: str) -> bool:
    """Return True if two link-local addresses are known to be on different links."""
    zone = address.partition("%")[2]
    other_zone = other.partition("%")[2]
    return bool(zone and other_zone) and zone != other_zone


@lru_cache(maxsize=_ADDRESSES_KEPT)
def _scope(address: str) -> int:
    try:
        ip = parse_address(address)
    except ValueError:
        return _NOWHERE
    if isinstance(ip, IPv4Address):
        return _scope_ipv4(int(ip))
    if ip.is_multicast or ip.is_unspecified:
        return _NOWHERE
    if ip.is_loopback:
        return _LOOPBACK
    if ip.is_link_local:
        return _LINK
    return _PRIVATE if any(ip in network for network in _PRIVATE_IPV6) else _GLOBAL


def _scope_ipv4(number: int) -> int:
    """Tell multicast, any and broadcast; 127.0.0.0/8; 169.254.0.0/16; RFC 1918 and RFC 6598; all others."""
    if number >> 28 == 0xE or number in (0, 0xFFFFFFFF):
        return _NOWHERE
    if number >> 24 == 127:
        return _LOOPBACK
    if number >> 16 == 0xA9FE:
        return _LINK
    if number >> 24 == 10 or number >> 20 == 0xAC1 or number >> 16 == 0xC0A8 or number >> 22 == 0x191:
        return _PRIVATE
    return _GLOBAL
