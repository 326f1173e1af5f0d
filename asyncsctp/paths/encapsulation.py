"""SCTP in UDP (RFC 6951): the peer's UDP port, the space that the headers leave, and which addresses are listed.

What a route is, and what an address means, is in `route`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..wire.constants import COMMON_HEADER_SIZE, IPV4_HEADER_SIZE, IPV6_HEADER_SIZE, UDP_HEADER_SIZE
from .route import Route, in_scope, is_ipv4, normalize

DEFAULT_MTU: Final = 1280  # IPv6 guarantees it; IPv4 tunnels carry it too


def chunk_space(mtu: int, ipv4: bool) -> int:
    """Return the bytes of chunks in an IP packet of `mtu` bytes: whole words, after the UDP header (section 5.6)."""
    ip_header_size = IPV4_HEADER_SIZE if ipv4 else IPV6_HEADER_SIZE
    return (mtu - ip_header_size - UDP_HEADER_SIZE - COMMON_HEADER_SIZE) & ~3


def usual_space(mtu: int | None, address: str) -> int:
    """Return the bytes of chunks in a packet where nothing is known of the way to this address but `Config.mtu`."""
    return chunk_space(mtu or DEFAULT_MTU, is_ipv4(address))


def learned(known: Route, seen: Route, is_guess: bool) -> Route:
    """Return the route to the peer, after a packet with the right tag came along `seen`; `known` if nothing is new.

    Section 5.4: the packet's UDP port is the peer's from now on. Not for packets with an INIT, which carry no tag
    (draft udp-encaps-cons section 4). The local address that it came to is taken as long as ours is a guess: one that
    has worked, or has been rotated to, stays.
    """
    local = seen.local if is_guess else known.local
    if local == known.local and seen.udp_port == known.udp_port:
        return known
    return Route(local, known.address, seen.udp_port)


def listed_addresses(local_addresses: Sequence[str], peer: str) -> tuple[str, ...]:
    """Return the local addresses to list in an INIT or INIT ACK that goes to `peer` (RFC 9260 section 5.1.2).

    None for a single-homed endpoint: the peer takes the source of the packet then, and section 3.2 says that addresses
    MUST NOT be listed, as a NAT might change them.
    """
    if len(local_addresses) < 2:
        return ()
    listed = tuple(dict.fromkeys(normalize(address) for address in local_addresses if in_scope(address, peer)))
    return listed if len(listed) > 1 else ()
