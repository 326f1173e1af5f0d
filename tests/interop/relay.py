"""A relay between two SCTP endpoints that can lose, delay, reorder, change and cut off what passes it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Sequence
from typing import Self

from support.ports import ports

__all__ = ["Relay"]

_BUFFER = 4 * 1024 * 1024
_LARGEST = 65536
_ABORT, _REFLECTED = b"\x06", 1  # the T bit


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bound_everywhere(addresses: Sequence[str]) -> dict[str, socket.socket]:
    """A socket for each of the addresses, all with the same port."""
    for port in ports():
        socks: dict[str, socket.socket] = {}
        try:
            for address in addresses:
                socks[address] = _bound(address, port)
        except OSError:
            for sock in socks.values():
                sock.close()
        else:
            return socks
    raise OSError(f"no UDP port is free at all of {', '.join(addresses)}")


class Relay:
    """Clients come to `port`; what they send goes to the server at the same IP address, UDP port `to`, and back.

    IP addresses stay as they are, in both directions, so that multihomed associations can pass: only the UDP ports are
    changed. The client has one UDP port for all of its addresses. All addresses of both sides are in `addresses`.
    """

    def __init__(
        self,
        to: int,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        loss: float = 0.0,
        delay: float = 0.0,
        reorder: float = 0.0,
        seed: int = 1,
    ) -> None:
        """`loss` and `reorder` are shares of the packets. A reordered one is late by 2 ms; `delay` is in seconds."""
        self.to = to
        self.loss = loss
        self.delay = delay
        self.reorder = reorder
        #: Nothing passes from or to these addresses.
        self.cut: set[str] = set()
        #: Changes packets: called with one, and whether it goes to the server; None as an answer drops it.
        self.change: Callable[[bytes, bool], bytes | None] | None = None
        #: Whether ABORTs pass that answer packets out of the blue.
        self.reflects = True
        self.passed = 0
        self.lost = 0
        self._addresses = addresses
        self._random = random.Random(seed)
        #: The UDP port of the client, once it has sent something.
        self.client_port = 0
        self._buffer = bytearray(_LARGEST)

    @property
    def port(self) -> int:
        """The UDP port for clients."""
        port: int = next(iter(self._outer.values())).getsockname()[1]
        return port

    @property
    def back_port(self) -> int:
        """The UDP port that the server sees, and through which it can reach a client that has come to `port`."""
        port: int = next(iter(self._inner.values())).getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._outer = self._open(to_server=True)
        self._inner = self._open(to_server=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close(self._outer)
        self._close(self._inner)

    def rebind(self) -> None:
        """Become known to the server by another UDP port, as a NAT does that has forgotten the client."""
        old = self._inner
        self._inner = self._open(to_server=False)
        self._close(old)

    def _open(self, *, to_server: bool) -> dict[str, socket.socket]:
        socks = _bound_everywhere(self._addresses)
        for address, sock in socks.items():
            self._loop.add_reader(sock, self._read, address, to_server)
        return socks

    def _close(self, socks: dict[str, socket.socket]) -> None:
        for sock in socks.values():
            self._loop.remove_reader(sock)
            sock.close()

    def cut_off(self) -> None:
        """Let nothing pass."""
        self.cut.update(self._addresses)

    def restore(self) -> None:
        """Let everything pass again."""
        self.cut.clear()

    def _read(self, address: str, to_server: bool) -> None:
        """Datagrams have come to one of our sockets at `address`: that of the server if they go `to_server`."""
        sock = (self._outer if to_server else self._inner)[address]
        for _ in range(64):
            try:
                size, (source, port, *_rest) = sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # somebody's socket is closed: ICMP
            if source not in self._addresses:
                continue
            if to_server:
                self.client_port = port
            self._take(bytes(self._buffer[:size]), source, address, to_server)

    def _take(self, packet: bytes, source: str, destination: str, to_server: bool) -> None:
        unwanted = not self.reflects and packet[12:13] == _ABORT and packet[13] & _REFLECTED
        if unwanted or source in self.cut or destination in self.cut or self._random.random() < self.loss:
            self.lost += 1
            return
        if self.change is not None:
            changed = self.change(packet, to_server)
            if changed is None:
                self.lost += 1
                return
            packet = changed
        delay = self.delay + (0.002 if self.reorder and self._random.random() < self.reorder else 0.0)
        if delay:
            self._loop.call_later(delay, self._pass, packet, source, destination, to_server)
        else:
            self._pass(packet, source, destination, to_server)

    def _pass(self, packet: bytes, source: str, destination: str, to_server: bool) -> None:
        sock = (self._inner if to_server else self._outer)[source]
        if sock.fileno() < 0:
            return  # it was under way when the relay was closed
        self.passed += 1
        try:
            sock.sendto(packet, (destination, self.to if to_server else self.client_port))
        except OSError:
            self.lost += 1
