"""TCP through asyncio's streams, with framed messages.

Its segments are as long as the others' packets; the kernel cuts, checks and acknowledges them.
"""

from __future__ import annotations

import asyncio
import socket

from ..job import ADDRESS, Job
from .base import Handler, Link
from .framed import READ, FramedLink

__all__ = ["connect", "listen"]


class TcpLink(FramedLink):
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer.write)
        self._writer = writer

    async def _drain(self) -> None:
        await self._writer.drain()

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
    server = await asyncio.start_server(accept, sock=sock, limit=READ, backlog=512)
    await server.start_serving()
    _servers.append(server)
    port: int = sock.getsockname()[1]
    return port


#: Kept alive until the process ends.
_servers: list[asyncio.Server] = []


async def connect(job: Job) -> Link:
    sock = _socket(job)
    await asyncio.get_running_loop().sock_connect(sock, (ADDRESS, job.port))
    return TcpLink(*await asyncio.open_connection(sock=sock, limit=READ))
