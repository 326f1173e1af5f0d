"""QUIC through aioquic's asyncio interface: one bidirectional stream, with framed messages.

QUIC encrypts, with AES-128-GCM in OpenSSL: that is part of its cost, and the others have no counterpart to it. The
library's writer never waits; here it does once 1 MiB has been written that the peer has not acknowledged, or memory
would be all that bounds it. Closing is an end of stream both ways, then CONNECTION_CLOSE; the three probe time-outs
during which a closed connection answers late packets are not waited for. A new connection is a TLS 1.3 handshake.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ..job import ADDRESS, Job
from .base import Handler, Link
from .framed import READ, FramedLink

__all__ = ["connect", "listen"]

_HIGH_WATER = 1 << 20
_LOW_WATER = 1 << 18
_HEADERS = 20 + 8  # IPv4, UDP


class Protocol(QuicConnectionProtocol):
    """One connection; wakes its writer when the buffer has drained, and knows when it has ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.room: asyncio.Future[None] | None = None
        self.stream_id = 0

    def buffered(self) -> int:
        """Bytes written and not yet acknowledged."""
        return len(self._quic._streams[self.stream_id].sender._buffer)

    async def drain(self) -> None:
        """Wait while too much is buffered."""
        if self.buffered() < _HIGH_WATER:
            return
        self.transmit()
        self.room = asyncio.get_running_loop().create_future()
        await self.room

    def transmit(self) -> None:
        super().transmit()
        if self.room is not None and not self.room.done() and self.buffered() < _LOW_WATER:
            self.room.set_result(None)

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, ConnectionTerminated) and self.room is not None and not self.room.done():
            self.room.set_exception(ConnectionError("the connection has ended"))


class QuicLink(FramedLink):
    """A connection with its one stream."""

    def __init__(
        self,
        protocol: Protocol,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        udp: asyncio.DatagramTransport | None = None,
    ) -> None:
        reader, self._writer = streams
        reader._limit = READ  # type: ignore[attr-defined]  # aioquic has no argument for it
        super().__init__(reader, self._writer.write)
        self._protocol = protocol
        self._udp = udp

    async def _drain(self) -> None:
        await self._protocol.drain()

    async def close(self) -> None:
        self._writer.write_eof()
        await self._reader.read()
        self._protocol.close()
        if self._udp is not None:
            self._udp.close()

    async def wait_closed(self) -> None:
        await self._reader.read()
        self._writer.write_eof()
        await self._protocol.wait_closed()


def _configuration(job: Job, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=["benchmark"],
        is_client=is_client,
        max_datagram_size=job.mtu - _HEADERS,
        max_data=job.buffer,
        max_stream_data=job.buffer,
        idle_timeout=600.0,
        verify_mode=ssl.CERT_NONE,
    )


def _identify(configuration: QuicConfiguration) -> None:
    """A certificate of its own, on P-256, which is the cheapest."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    configuration.certificate = builder.sign(key, hashes.SHA256())
    configuration.private_key = key


def _socket(job: Job) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, job.buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, job.buffer)
    sock.bind((ADDRESS, 0))
    return sock


async def listen(job: Job, handler: Handler) -> int:
    tasks: set[asyncio.Task[None]] = set()

    def make(quic: QuicConnection, stream_handler: object = None) -> Protocol:
        def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_attend(handler, QuicLink(protocol, (reader, writer))))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        protocol = Protocol(quic, stream_handler=on_stream)
        return protocol

    configuration = _configuration(job, is_client=False)
    _identify(configuration)
    sock = _socket(job)
    await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicServer(configuration=configuration, create_protocol=make), sock=sock
    )
    port: int = sock.getsockname()[1]
    return port


async def _attend(handler: Handler, link: Link) -> None:
    await handler(link)


async def connect(job: Job) -> Link:
    quic = QuicConnection(configuration=_configuration(job, is_client=True))
    protocol = Protocol(quic)
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: protocol, sock=_socket(job))
    protocol.connect((ADDRESS, job.port))
    await protocol.wait_connected()
    return QuicLink(protocol, await protocol.create_stream(), udp)
