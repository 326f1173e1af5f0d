"""TCP through asyncio's streams: each message after its length in four bytes.

Its segments are as long as the others' packets; the kernel cuts, checks and acknowledges them.
"""

from __future__ import annotations

import asyncio
import socket
from struct import Struct
from time import perf_counter

from ..job import ADDRESS, Job
from .base import Handler, Link, burst_of

__all__ = ["connect", "listen"]

_LENGTH = Struct("!I")
_READ = 1 << 18


class TcpLink(Link):
    """A pair of streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        self._writer.write(_LENGTH.pack(len(message)) + message)
        await self._writer.drain()

    async def receive(self) -> bytes:
        try:
            header = await self._reader.readexactly(4)
        except asyncio.IncompleteReadError:
            return b""
        return await self._reader.readexactly(_LENGTH.unpack(header)[0])

    async def pump(self, message: bytes, seconds: float, batch: bool) -> int:
        if not batch:
            return await super().pump(message, seconds, batch)
        write, pack, size = self._writer.write, _LENGTH.pack, len(message)
        burst = range(burst_of(message))
        end = perf_counter() + seconds
        messages = 0
        while perf_counter() < end:
            for _ in burst:
                write(pack(size) + message)
            messages += len(burst)
            await self._writer.drain()
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
        while data := await self._reader.read(_READ):
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

    async def close(self) -> None:
        self._writer.write_eof()
        await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()

    async def wait_closed(self) -> None:
        await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()


def _socket(job: Job) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, job.buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, job.buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, job.mtu - 40)
    return sock


async def listen(job: Job, handler: Handler) -> int:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(TcpLink(reader, writer))

    sock = _socket(job)
    sock.bind((ADDRESS, 0))
    server = await asyncio.start_server(accept, sock=sock, limit=_READ, backlog=512)
    await server.start_serving()
    _servers.append(server)
    port: int = sock.getsockname()[1]
    return port


#: Kept alive until the process ends.
_servers: list[asyncio.Server] = []


async def connect(job: Job) -> Link:
    sock = _socket(job)
    await asyncio.get_running_loop().sock_connect(sock, (ADDRESS, job.port))
    return TcpLink(*await asyncio.open_connection(sock=sock, limit=_READ))
