"""How an endpoint has its UDP port: for itself, or together with other processes that know of it by its name alone.

A third way, the place in a group that a parent made, is in `workers`; how packets are handed over, in `exchange`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, final

from ...endpoint.port_sharing import Sharing
from ...udp import options as udp_options
from ...udp import steering
from ...udp.datagram import Address
from ..engine import Engine
from .exchange import SO_PASSCRED, Exchange

_NAMES: Final = 64
_JOINING: Final = "joining"
_PATIENCE: Final = 200  # times that the one before may take a hundredth of a second
_PAUSE: Final = 0.01


class Membership:
    """What an endpoint asks about its port, which is the endpoint's alone, unless a subclass says otherwise."""

    __slots__ = ()

    def open_socket(self, local_addr: Address, buffer: int) -> socket.socket:
        """Open a socket at this address, as `udp.options.open_socket` does.

        `NotImplementedError` from `begin` on, where processes share the port.
        """
        return udp_options.open_socket(local_addr, buffer)

    def begin(self, engine: Engine) -> Sharing | None:
        """Return what the core has to know of others at this port, when all sockets are there."""
        return None

    def leave(self) -> None:
        """Leave the port: the endpoint is closed, or was never opened. Idempotent."""


@final
class Neighbour(Membership):
    """One of several processes that nobody started together.

    Each has a number that no other has: the abstract name of a Unix socket, which the system frees when the process
    ends. That is what its tags tell. The kernel takes it for the index of the socket, which it is as long as nobody has
    left; later it is wrong for some, and what comes to the wrong one is handed over.
    """

    __slots__ = ("_exchange", "_inbox", "_is_first", "_number", "_outlet", "_prefix", "_turn")

    def __init__(self, prefix: str, number: int, inbox: socket.socket, turn: socket.socket | None) -> None:
        """Use `join`."""
        self._prefix = prefix
        self._number = number
        self._inbox = inbox
        self._turn = turn  # until we have begun, the others wait
        self._is_first = not any(_is_there(prefix + str(other)) for other in range(_NAMES) if other != number)
        self._outlet = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._outlet.setblocking(False)
        self._exchange: Exchange | None = None

    @classmethod
    async def join(cls, local_addrs: Iterable[str], udp_port: int) -> Neighbour:
        """Take the next number. `OSError` if 64 processes share this port, `NotImplementedError` but on Linux."""
        steering.check_platform()
        where = sha256(" ".join(sorted(local_addrs)).encode()).hexdigest()[:16]
        prefix = f"\0asyncsctp {os.geteuid()} {udp_port} {where} "
        turn = None
        try:
            for _ in range(_PATIENCE):  # one by one, so that numbers and indices go together
                turn = _claim(prefix + _JOINING)
                if turn is not None:
                    break
                await asyncio.sleep(_PAUSE)
            for number in range(_NAMES):
                inbox = _claim(prefix + str(number))
                if inbox is not None:
                    return cls(prefix, number, inbox, turn)
            raise OSError(errno.EADDRINUSE, f"{_NAMES} processes share UDP port {udp_port} already")
        except BaseException:
            if turn is not None:
                turn.close()
            raise

    def open_socket(self, local_addr: Address, buffer: int) -> socket.socket:
        if self._exchange is not None:
            raise NotImplementedError("processes that share a UDP port can't bind further addresses")
        if self._is_first:  # who else has the port is no member, even if it shares
            udp_options.open_socket(local_addr, buffer).close()
        sock = udp_options.open_socket(local_addr, buffer, reuse_port=True)
        try:
            steering.attach(sock, steering.by_name(_NAMES))
        except BaseException:
            sock.close()
            raise
        return sock

    def begin(self, engine: Engine) -> Sharing | None:
        self._exchange = Exchange(engine, self._inbox, self._send, (self._number, _NAMES), None)
        self._end_turn()
        return self._exchange.sharing

    def _send(self, member: int, message: bytes) -> bool:
        try:
            self._outlet.sendto(message, self._prefix + str(member))
        except ConnectionRefusedError:
            return False
        except OSError:
            pass  # it is too busy to take more
        return True

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.close()

    def leave(self) -> None:
        self._end_turn()
        if self._exchange is not None:
            self._exchange.close()
        self._inbox.close()
        self._outlet.close()


def _is_there(name: str) -> bool:
    """Return whether a member has this name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(name) == 0


def _claim(name: str) -> socket.socket | None:
    """Return a socket with this name, or None if somebody has it."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
        sock.bind(name)
    except OSError as exc:
        sock.close()
        if exc.errno != errno.EADDRINUSE:
            raise
        return None
    return sock
