"""The options of a UDP socket and the layout of ancillary data: buffers, ECN, fragmentation, GSO, GRO, errors.

Event loops are in `batch` and `transport`. The system may refuse any wish but the address.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from functools import lru_cache
from struct import Struct
from typing import Final

from ..paths.route import is_ipv4, normalize
from .datagram import Address, DatagramError, SockAddr, address_of, sockaddr_of

BUFFERS: Final = {"rcvbuf": socket.SO_RCVBUF, "sndbuf": socket.SO_SNDBUF}
LINUX: Final = sys.platform == "linux"

# Linux numbers that the socket module does not name.
SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
MSG_ERRQUEUE: Final = 0x2000
IP_PKTINFO: Final = 8
IP_MTU_DISCOVER: Final = 10
IP_RECVERR: Final = 11
IPV6_MTU_DISCOVER: Final = 23
IPV6_MTU: Final = 24
IPV6_RECVERR: Final = 25
PMTUDISC_DONT: Final = 0
PMTUDISC_PROBE: Final = 3
IPV6_MINIMUM_MTU: Final = 1280

Ancillary = list[tuple[int, int, bytes]]

EXTENDED_ERROR: Final = Struct("=IBBBBII")  # errno, origin, type, code, padding, info, data
ORIGIN_LOCAL: Final = 1
ORIGIN_ICMP: Final = 2
ORIGIN_ICMP6: Final = 3

PACKET_INFO_IPV4: Final = Struct("=I4s4s")  # interface, our address to answer from, the destination as it was sent
PACKET_INFO_IPV6: Final = Struct("=16sI")  # destination, interface

ECT_0: Final = 2  # RFC 3168 section 5

# What not every system has; -1 where it is not known.
IP_RECVTOS: Final = 13 if LINUX else getattr(socket, "IP_RECVTOS", -1)
IPV6_TCLASS: Final = getattr(socket, "IPV6_TCLASS", -1)
IPV6_RECVTCLASS: Final = getattr(socket, "IPV6_RECVTCLASS", -1)
IPV6_RECVPKTINFO: Final = getattr(socket, "IPV6_RECVPKTINFO", -1)
IPV6_DONTFRAG: Final = getattr(socket, "IPV6_DONTFRAG", -1)

_ADDRESSES_KEPT: Final = 1024


def open_socket(local_addr: Address, buffer: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a non-blocking UDP socket bound to an address literal; IPv6 sockets take IPv6 only. `OSError`.

    `reuse_port` shares the port with others that do the same.
    """
    family = socket.AF_INET if is_ipv4(normalize(local_addr[0])) else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ask_for_buffers(sock, buffer)
        if reuse_port:
            share_port(sock)
        sock.bind(sockaddr_of(local_addr))
    except BaseException:
        sock.close()
        raise
    return sock


def share_port(sock: socket.socket) -> None:
    """Let other sockets have the same address and port, if they let it too. `OSError` if the system does not."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def ask_for_buffers(sock: socket.socket, size: int) -> None:
    """Ask for buffers of so many bytes in each direction; more than the system's limit is cut down, or refused."""
    for option in BUFFERS.values():
        _ask(sock, socket.SOL_SOCKET, option, size)


def _ask(sock: socket.socket, level: int, option: int, value: int) -> bool:
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def _ask_ip(sock: socket.socket, ipv4: int, ipv6: int, value: int) -> bool:
    """Set an option of IPv4 or IPv6, whichever the socket is of; -1 where it has none."""
    level, option = (socket.IPPROTO_IP, ipv4) if sock.family == socket.AF_INET else (socket.IPPROTO_IPV6, ipv6)
    return option >= 0 and _ask(sock, level, option, value)


def mark(sock: socket.socket, dscp: int, ecn_capable: bool) -> bool:
    """Set the code point of packets sent from now on, and whether they are ECT(0)."""
    return _ask_ip(sock, socket.IP_TOS, IPV6_TCLASS, dscp << 2 | (ECT_0 if ecn_capable else 0))


def forbid_fragments(sock: socket.socket) -> None:
    """Set DF, and let nobody but us judge how large a packet may be.

    PMTUDISC_PROBE, not DO: with DO the kernel believes ICMP (which anyone can forge) and refuses larger packets by
    itself, probes among them (RFC 8899 section 4.1). With PROBE only what exceeds the interface's own MTU is refused.
    """
    _set_fragments(sock, PMTUDISC_PROBE, ipv6_mtu=0)


def allow_fragments(sock: socket.socket) -> None:
    """Clear DF. IPv6 routers don't fragment: there, fragments of a size any path carries (RFC 8200 section 5)."""
    _set_fragments(sock, PMTUDISC_DONT, ipv6_mtu=IPV6_MINIMUM_MTU)


def _set_fragments(sock: socket.socket, discovery: int, ipv6_mtu: int) -> None:
    if LINUX:
        _ask_ip(sock, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, discovery)
        _ask_ip(sock, -1, IPV6_MTU, ipv6_mtu)
    else:
        _ask_ip(sock, -1, IPV6_DONTFRAG, 0 if ipv6_mtu else 1)


def report_traffic_class(sock: socket.socket) -> int:
    """Ask for the TOS or traffic class with each datagram; return the type of its ancillary data, -1 if there is none.

    The kernel won't merge datagrams whose marks differ.
    """
    if not _ask_ip(sock, IP_RECVTOS, IPV6_RECVTCLASS, 1):
        return -1
    if sock.family == socket.AF_INET6:
        return IPV6_TCLASS
    return socket.IP_TOS if LINUX else IP_RECVTOS  # the BSDs give it the number of the request


def report_local_address(sock: socket.socket) -> int:
    """Ask for the address that each datagram came to, if the socket is bound to all; return the type of its ancillary
    data, -1 if there is none.
    """
    is_wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")
    if not is_wildcard or not _ask_ip(sock, IP_PKTINFO if LINUX else -1, IPV6_RECVPKTINFO, 1):
        return -1
    return IP_PKTINFO if sock.family == socket.AF_INET else socket.IPV6_PKTINFO


@lru_cache(maxsize=_ADDRESSES_KEPT)
def read_local_address(value: bytes) -> str:
    """Return the address that a datagram came to, as `report_local_address` asked for it; "" if that is not unicast."""
    if len(value) == PACKET_INFO_IPV4.size:
        _, ours, destination = PACKET_INFO_IPV4.unpack(value)
        return socket.inet_ntop(socket.AF_INET, ours) if ours == destination else ""
    packed, interface = PACKET_INFO_IPV6.unpack_from(value)
    address = ipaddress.IPv6Address(packed)
    if address.is_multicast:
        return ""
    return address_of((str(address), 0, 0, interface if address.is_link_local else 0))[0]


@lru_cache(maxsize=_ADDRESSES_KEPT)
def leave_from(local: str) -> tuple[int, int, bytes]:
    """Return the ancillary data that makes a packet leave from this address; `OSError` if its interface is gone."""
    if ":" not in local:
        packed = socket.inet_pton(socket.AF_INET, local)
        return socket.IPPROTO_IP, IP_PKTINFO, PACKET_INFO_IPV4.pack(0, packed, bytes(4))
    sockaddr = sockaddr_of((local, 0))
    packed = socket.inet_pton(socket.AF_INET6, sockaddr[0])
    return (
        socket.IPPROTO_IPV6,
        socket.IPV6_PKTINFO,
        PACKET_INFO_IPV6.pack(packed, sockaddr[3] if len(sockaddr) == 4 else 0),
    )


def accept_segments(sock: socket.socket) -> bool:
    """Let the kernel hand over datagrams of one size as one (UDP GRO); return False if it does not."""
    return LINUX and _ask(sock, SOL_UDP, UDP_GRO, 1)


def sends_segments(sock: socket.socket) -> bool:
    """Return True if the kernel knows UDP GSO. Whether the interface takes it shows only when sending."""
    if not LINUX:
        return False
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def report_errors(sock: socket.socket) -> bool:
    """Ask for ICMP errors, and for the system's own about packets too large, on the error queue."""
    return LINUX and _ask_ip(sock, IP_RECVERR, IPV6_RECVERR, 1)


def read_error(quoted: bytes, ancillary: Ancillary, destination: SockAddr) -> DatagramError | None:
    """Return what the error queue said; `None` if it was about something else (a time stamp, say)."""
    for level, kind, value in ancillary:
        if (level, kind) not in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            continue
        if len(value) < EXTENDED_ERROR.size:
            continue
        code, origin, icmp_type, icmp_code, _, info, _ = EXTENDED_ERROR.unpack_from(value)
        if origin not in (ORIGIN_LOCAL, ORIGIN_ICMP, ORIGIN_ICMP6):
            continue
        mtu = info if code == errno.EMSGSIZE and info else None
        icmp = None if origin == ORIGIN_LOCAL else (icmp_type, icmp_code)
        address = address_of(destination) if destination else None
        return DatagramError(code, os.strerror(code), address, mtu=mtu, icmp=icmp, quoted=quoted)
    return None
