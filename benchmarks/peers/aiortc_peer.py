"""aiortc's SCTP over plain UDP: its `RTCSctpTransport` with data channels, on a socket where DTLS and ICE would be.

aiortc cuts messages so that its packets fit below DTLS; here they fit the MTU, as everybody's do. It has no graceful
shutdown of its own: closing is an ABORT.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from time import perf_counter
from typing import Any, cast

from aiortc import rtcsctptransport
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from ..job import ADDRESS, Job
from .base import Handler, Link

__all__ = ["connect", "listen"]

_PORT = 5000
_HIGH_WATER = 1 << 18
_LOW_WATER = 1 << 16
_HEADERS = 20 + 8 + 12 + 16  # IPv4, UDP, SCTP, DATA


class Wire:
    """The part of an `RTCDtlsTransport` that SCTP uses, for one address of the other side."""

    state = "connected"

    def __init__(self, udp: asyncio.DatagramTransport, address: Any, role: str) -> None:
        self._role = role
        self._udp = udp
        self._address = address
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None

    async def _send_data(self, data: bytes) -> None:
        self._udp.sendto(data, self._address)

    def _register_data_receiver(self, receiver: RTCSctpTransport) -> None:
        async def read() -> None:
            while True:
                await receiver._handle_data(await self.arrived.get())

        self._reader = asyncio.create_task(read())

    def _unregister_data_receiver(self, receiver: RTCSctpTransport) -> None:
        if self._reader is not None:
            self._reader.cancel()


class Sctp(RTCSctpTransport):
    """With futures for its beginning and its end."""

    def __init__(self, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        self.up: asyncio.Future[None] = loop.create_future()
        self.down: asyncio.Future[None] = loop.create_future()
        super().__init__(cast("Any", wire), _PORT)
        self.wire = wire

    def _set_state(self, state: Any) -> None:
        super()._set_state(state)
        if state is self.State.ESTABLISHED and not self.up.done():
            self.up.set_result(None)
        elif state is self.State.CLOSED and not self.down.done():
            self.down.set_result(None)


class AiortcLink(Link):
    """A data channel that both sides know of beforehand."""

    def __init__(self, sctp: Sctp, udp: asyncio.DatagramTransport | None = None) -> None:
        self._sctp = sctp
        self._udp = udp
        self._messages: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._channel = RTCDataChannel(cast("Any", sctp), RTCDataChannelParameters(negotiated=True, id=0))
        self._channel.bufferedAmountLowThreshold = _LOW_WATER
        self._channel.on("message", self._on_message)
        self._channel.on("bufferedamountlow", self._on_room)
        self._channel.on("close", self._wake)

    def _on_message(self, message: bytes) -> None:
        self._messages.append(message)
        if self._waiter is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _drain(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    async def send(self, message: bytes) -> None:
        self._channel.send(message)
        if self._channel.bufferedAmount >= _HIGH_WATER:
            await self._drain()

    async def pump(self, message: bytes, seconds: float, batch: bool) -> int:
        # The clock at each message: one takes long enough.
        channel = self._channel
        end = perf_counter() + seconds
        messages = 0
        while perf_counter() < end:
            channel.send(message)
            messages += 1
            if channel.bufferedAmount >= _HIGH_WATER:
                await self._drain()
        return messages

    async def receive(self) -> bytes:
        while not self._messages:
            if self._sctp.down.done():
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._messages.popleft()

    async def swallow(self, batch: bool) -> tuple[int, int]:
        messages = size = 0
        while len(message := await self.receive()) > 1:
            messages += 1
            size += len(message)
        return messages, size

    async def close(self) -> None:
        await self._sctp.stop()
        if self._udp is not None:
            self._udp.close()

    async def wait_closed(self) -> None:
        await self._sctp.down
        await self._sctp.stop()


class Socket(asyncio.DatagramProtocol):
    """A UDP socket: one association for each address that packets come from."""

    def __init__(self, handler: Handler | None) -> None:
        self._handler = handler
        self._wires: dict[Any, Wire] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        wire = self._wires.get(addr)
        if wire is None:
            if self._handler is None:
                return
            wire = self.wire_to(addr, "server")
            task = asyncio.create_task(self._accept(wire, addr, self._handler))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        wire.arrived.put_nowait(data)

    def wire_to(self, addr: Any, role: str) -> Wire:
        wire = self._wires[addr] = Wire(self._udp, addr, role)
        return wire

    async def _accept(self, wire: Wire, addr: Any, handler: Handler) -> None:
        sctp = Sctp(wire)
        link = AiortcLink(sctp)
        await _start(sctp)
        try:
            await handler(link)
        finally:
            del self._wires[addr]


async def _start(sctp: Sctp) -> None:
    await sctp.start(RTCSctpCapabilities(maxMessageSize=0), _PORT)
    await sctp.up


async def _open(job: Job, handler: Handler | None) -> tuple[asyncio.DatagramTransport, Socket]:
    rtcsctptransport.USERDATA_MAX_LENGTH = (job.mtu - _HEADERS) // 4 * 4
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, job.buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, job.buffer)
    sock.bind((ADDRESS, 0))
    return await asyncio.get_running_loop().create_datagram_endpoint(lambda: Socket(handler), sock=sock)


async def listen(job: Job, handler: Handler) -> int:
    udp, _ = await _open(job, handler)
    port: int = udp.get_extra_info("sockname")[1]
    return port


async def connect(job: Job) -> Link:
    udp, protocol = await _open(job, None)
    sctp = Sctp(protocol.wire_to((ADDRESS, job.port), "client"))
    link = AiortcLink(sctp, udp)
    await _start(sctp)
    return link
