"""The contract between a UDP transport and its protocol; `batch` and `transport` have two kinds of transport.

An address is always a pair (host, port) here. The host of a link-local IPv6 address carries its interface
("fe80::1%eth0"), so that the pair alone says where to send.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import Any, Final

#: Why there is no socket although nothing is wrong with its address: too many files, or too little memory.
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Address = tuple[str, int]
SockAddr = tuple[Any, ...]  # as the socket module gives it


class DatagramError(OSError):
    """A datagram could not be sent, or the network said that it can't get through. Never fatal to the transport.

    * `address`: where it was to go, `None` if not known.
    * `mtu`: with EMSGSIZE, the largest IP packet that would fit, where somebody told.
    * `icmp`: type and code of the ICMP message this came from, `None` for the system's own verdict. ICMP is not
      authenticated: anyone can forge it, and who believes it should look at
    * `quoted`: what the ICMP message quoted of the datagram's payload, for instance to check a verification tag;
      without ICMP its first bytes, if the transport tells.
    * `count`: how many datagrams it was in one turn of the loop.
    """

    def __init__(
        self,
        code: int,
        text: str,
        address: Address | None = None,
        *,
        mtu: int | None = None,
        icmp: tuple[int, int] | None = None,
        quoted: bytes = b"",
    ) -> None:
        super().__init__(code, text)
        self.address = address
        self.mtu = mtu
        self.icmp = icmp
        self.quoted = quoted
        self.count = 1


class PacketProtocol(asyncio.DatagramProtocol):
    """The side of the program. No method is called from inside a call to the transport, but for `pause_writing`."""

    __slots__ = ()

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        """Take datagrams of one source, in order; all or none of them were marked CE (RFC 3168) on the way."""
        for datagram in datagrams:
            self.datagram_received(datagram, addr)

    def datagrams_received_at(
        self, datagrams: list[bytes], addr: Address, congestion_experienced: bool, local: str
    ) -> None:
        """Take datagrams that came to `local`, one of our addresses: the socket is bound to a wildcard address."""
        self.datagrams_received(datagrams, addr, congestion_experienced)

    def batch_done(self) -> None:
        """Answer: there are no more datagrams in this wake-up."""

    def segmentation_changed(self, works: bool) -> None:
        """Note that datagrams of one size can be sent as one (UDP GSO), or can't. May be called from inside a send."""

    def send_failed(self, code: int) -> None:
        """Count packets that the system refused or made wait, or ICMP. May be called from inside a send."""

    def is_expendable(self) -> bool:
        """Return True if nobody has to close the transport: it may go with its loop, without a warning."""
        return False


class PacketTransport(asyncio.DatagramTransport):
    """A datagram transport that takes many packets at a time."""

    __slots__ = ()

    def send_batch(
        self,
        packets: Sequence[bytes],
        addr: Address,
        ecn_capable: bool = False,
        *,
        fragment: bool = False,
        local: str = "",
        dscp: int = -1,
    ) -> None:
        """Send packets in order to one address. They must not change afterwards.

        `ecn_capable` marks them ECT(0), where the socket can. IP packets travel whole or not at all, save with
        `fragment`: then one too large for the path is fragmented by IP, as a chunk needs that was sent before the
        path shrank. `local` is for a socket bound to a wildcard address: which of ours they leave from. Without it, or
        where the system can't be told, the system chooses. `dscp` is the code point that they bear; -1 that of the
        transport.
        """
        raise NotImplementedError

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send one datagram, not ECN-capable."""
        if addr is None:
            raise ValueError("the transport has no peer of its own: an address is needed")
        self.send_batch((bytes(data),), addr)


def address_of(sockaddr: SockAddr) -> Address:
    """Return the pair (host, port) of a socket address."""
    host: str = sockaddr[0]
    port: int = sockaddr[1]
    if len(sockaddr) == 4 and sockaddr[3] and "%" not in host:
        try:
            host = f"{host}%{socket.if_indextoname(sockaddr[3])}"
        except OSError:
            host = f"{host}%{sockaddr[3]}"
    return host, port


def sockaddr_of(addr: SockAddr) -> SockAddr:
    """Return the socket address of a pair; `OSError` if the interface does not exist."""
    host, _, scope = addr[0].partition("%")
    if not scope:
        return addr
    return host, addr[1], 0, int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
