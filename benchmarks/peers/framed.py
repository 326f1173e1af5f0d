"""Messages over a stream of bytes, each after its length in four bytes: what TCP and QUIC need to carry messages."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from struct import Struct
from time import perf_counter

from .base import Link, burst_of

__all__ = ["READ", "FramedLink"]

READ = 1 << 18
_LENGTH = Struct("!I")


class FramedLink(Link):
    """A pair of streams. `write` takes bytes and never waits."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._reader = reader
        self._write = write

    @abstractmethod
    async def _drain(self) -> None:
        """Wait while too much is buffered."""

    async def send(self, message: bytes) -> None:
        self._write(_LENGTH.pack(len(message)) + message)
        await self._drain()

    async def receive(self) -> bytes:
        try:
            header = await self._reader.readexactly(4)
        except asyncio.IncompleteReadError:
            return b""
        return await self._reader.readexactly(_LENGTH.unpack(header)[0])

    async def pump(self, message: bytes, seconds: float, batch: bool) -> int:
        if not batch:
            return await super().pump(message, seconds, batch)
        write, pack, size = self._write, _LENGTH.pack, len(message)
        burst = range(burst_of(message))
        end = perf_counter() + seconds
        messages = 0
        while perf_counter() < end:
            for _ in burst:
                write(pack(size) + message)
            messages += len(burst)
            await self._drain()
        return messages

    async def swallow(self, batch: bool) -> tuple[int, int]:
        if batch:
            return await self._swallow_batches()
        messages = size = 0
        readexactly, unpack = self._reader.readexactly, _LENGTH.unpack
        while True:
            message = await readexactly(unpack(await readexactly(4))[0])
            if len(message) == 1:
                return messages, size
            messages += 1
            size += len(message)

    async def _swallow_batches(self) -> tuple[int, int]:
        messages = size = 0
        unpack_from = _LENGTH.unpack_from
        rest = b""
        while data := await self._reader.read(READ):
            data = rest + data
            at, end = 0, len(data)
            while at + 4 <= end:
                (length,) = unpack_from(data, at)
                if at + 4 + length > end:
                    break
                message = data[at + 4 : at + 4 + length]
                if len(message) == 1:
                    return messages, size
                at += 4 + length
                messages += 1
                size += len(message)
            rest = data[at:]
        raise ConnectionError("the stream ended too early")
