"""Carries packets between the processes that share a UDP port: those that the kernel gave to the wrong one.

They are few: what came in one datagram of the kernel's (UDP GRO) for several associations, which goes where its first
packet belongs, and what RFC 9260 section 8.5.1 reflects. What does not fit into a socket is lost, as it may be in any
network. Who the others are is known to `membership` and `workers`, whose a packet is to `endpoint.port_sharing`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from struct import Struct
from typing import Final, final

from ...endpoint.port_sharing import Sharing
from ...paths.route import Route
from ...udp.forking import keep_to_this_process
from ..engine import Engine

#: Gives a message to a member; whether there is such a member.
Send = Callable[[int, bytes], bool]

_Key = tuple[int, Route, bool]  # member, route, whether congestion was experienced

_ROUND: Final = -1
_MOST_AT_ONCE: Final = 64 * 1024
_LARGEST: Final = 256 * 1024
_READ_BUDGET: Final = 32
_ANCILLARY_SPACE: Final = 64

_HEADER: Final = Struct("!HBBB")  # UDP port, flags, lengths of the local and the peer's address
_CONGESTION_EXPERIENCED: Final = 1
_LENGTH: Final = Struct("!H")
_CREDENTIALS: Final = Struct("=iII")  # process, user, group

# Linux numbers that the socket module does not name everywhere.
SO_PASSCRED: Final = 16
_SCM_CREDENTIALS: Final = 2


def _pack(route: Route, congestion_experienced: bool, datagrams: list[bytes]) -> bytes:
    flags = _CONGESTION_EXPERIENCED if congestion_experienced else 0
    local, address = route.local.encode(), route.address.encode()
    parts = [_HEADER.pack(route.udp_port, flags, len(local), len(address)), local, address]
    for datagram in datagrams:
        parts += (_LENGTH.pack(len(datagram)), datagram)
    return b"".join(parts)


def _unpack(message: bytes) -> tuple[Route, bool, list[bytes]]:
    udp_port, flags, local_size, address_size = _HEADER.unpack_from(message)
    address_at = _HEADER.size + local_size
    at = address_at + address_size
    local = message[_HEADER.size : address_at].decode()
    route = Route(local, message[address_at:at].decode(), udp_port)
    datagrams = []
    while at < len(message):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(message, at)[0]
        datagrams.append(message[start:at])
    return route, bool(flags & _CONGESTION_EXPERIENCED), datagrams


@final
class Exchange:
    """The socket at which one member hears the others, and its way to them.

    It owns `inbox`. If others may write to that, it has SO_PASSCRED set, and what they write is dropped.
    """

    def __init__(
        self, engine: Engine, inbox: socket.socket, send: Send, place: tuple[int, int], cookie_secret: bytes | None
    ) -> None:
        """`place`: which of how many members this is."""
        self._engine = engine
        self._inbox = inbox
        self._send = send
        self._member, self._members = place
        self._waiting: dict[_Key, list[bytes]] = {}
        self._flushing: asyncio.Handle | None = None
        self.sharing = Sharing(self._member, self._members, self, cookie_secret)
        inbox.setblocking(False)
        self._is_public = bool(inbox.getsockopt(socket.SOL_SOCKET, SO_PASSCRED))
        engine.loop.add_reader(inbox, self._on_readable)
        keep_to_this_process(inbox, engine.loop, inbox.fileno())

    # The core calls.

    def hand_over(self, member: int, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        """Send a packet to this member, at the end of this turn of the loop, with what else goes there."""
        self._waiting.setdefault((member, route, congestion_experienced), []).append(datagram)
        if self._flushing is None:
            self._flushing = self._engine.loop.call_soon(self._flush)

    def hand_round(self, datagram: bytes, route: Route, congestion_experienced: bool) -> None:
        """Send a packet to all the others."""
        self.hand_over(_ROUND, datagram, route, congestion_experienced)

    # The loop calls.

    def _flush(self) -> None:
        self._flushing = None
        waiting = self._waiting
        self._waiting = {}
        for (member, route, congestion_experienced), datagrams in waiting.items():
            for some in _portions(datagrams):
                message = _pack(route, congestion_experienced, some)
                if member == _ROUND:
                    for other in range(self._members):
                        if other != self._member:
                            self._send(other, message)
                elif not self._send(member, message):
                    self._deliver(route, congestion_experienced, some)  # it is for us to say that nobody is there

    def _on_readable(self) -> None:
        for _ in range(_READ_BUDGET):
            try:
                message, ancillary, _, _ = self._inbox.recvmsg(_LARGEST, _ANCILLARY_SPACE)
            except OSError:
                return
            if message and (not self._is_public or _is_from_us(ancillary)):
                self._deliver(*_unpack(message))
            elif not self._is_public:  # all others are gone
                self._engine.loop.remove_reader(self._inbox)
                return

    def _deliver(self, route: Route, congestion_experienced: bool, datagrams: list[bytes]) -> None:
        self.sharing.is_receiving = True
        try:
            self._engine.receive(datagrams, route, congestion_experienced)
        finally:
            self.sharing.is_receiving = False
        self._engine.flush()

    def close(self) -> None:
        """Stop to send and to hear."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._inbox.fileno() >= 0:
            self._engine.loop.remove_reader(self._inbox)
            self._inbox.close()


def _portions(datagrams: list[bytes]) -> list[list[bytes]]:
    """Split what is too much for one message of a socket."""
    portions: list[list[bytes]] = []
    space = 0
    for datagram in datagrams:
        size = _LENGTH.size + len(datagram)
        if size > space or not portions:
            portions.append([])
            space = _MOST_AT_ONCE
        portions[-1].append(datagram)
        space -= size
    return portions


def _is_from_us(ancillary: list[tuple[int, int, bytes]]) -> bool:
    """Return whether a process of this user, or of root, wrote it: others could make up where packets come from."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SCM_CREDENTIALS):
            return _CREDENTIALS.unpack_from(value)[1] in (0, os.geteuid())
    return False
