"""A recorder of what a UDP transport calls, and a socket whose sends can be made to fail."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from asyncsctp.udp.batch import BatchTransport
from asyncsctp.udp.datagram import Address, DatagramError, PacketProtocol


class Recorder(PacketProtocol):
    """A protocol that records every call, and lets a test wait until something has been recorded."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failures: list[int] = []
        self._changed = asyncio.Event()

    def note(self, *call: Any) -> None:
        self.calls.append(call)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == name]

    @property
    def datagrams(self) -> list[bytes]:
        return [datagram for call in self.named("received") for datagram in call[1]]

    @property
    def errors(self) -> list[DatagramError]:
        return [call[1] for call in self.named("error")]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.note("made", transport)

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        self.note("received", datagrams, addr, congestion_experienced)

    def batch_done(self) -> None:
        self.note("done")

    def send_failed(self, code: int) -> None:
        self.failures.append(code)

    def error_received(self, exc: Exception) -> None:
        self.note("error", exc)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost", exc)


class Wrapped:
    """A socket whose sends can be made to fail: `trouble(method, data)` returns an errno or 0."""

    def __init__(self, sock: socket.socket, trouble: Callable[[str, bytes], int]) -> None:
        self._sock = sock
        self._trouble = trouble
        self.went: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _maybe(self, method: str, data: bytes) -> None:
        code = self._trouble(method, data)
        if code:
            raise OSError(code, os.strerror(code))
        self.went.append((method, len(data)))

    def sendto(self, data: bytes, addr: Any) -> int:
        self._maybe("sendto", data)
        return self._sock.sendto(data, addr)

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int, addr: Any) -> int:
        self._maybe("sendmsg", b"".join(buffers))
        return self._sock.sendmsg(buffers, ancillary, flags, addr)


def no_trouble(method: str, data: bytes) -> int:
    return 0


def where(transport: BatchTransport) -> Address:
    address: Address = transport.get_extra_info("sockname")
    return address


def packets_of(*sizes: int) -> list[bytes]:
    return [index.to_bytes(4, "big") + bytes(size - 4) for index, size in enumerate(sizes)]


async def closed(*recorders: Recorder) -> None:
    for recorder in recorders:
        made = recorder.named("made")[0][1]
        made.close()
        await recorder.until(lambda recorder=recorder: bool(recorder.named("lost")))  # type: ignore[misc]
