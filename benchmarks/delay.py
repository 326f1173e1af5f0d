"""How long a transfer takes where packets take their time: `python -m benchmarks.delay [--mb 4] [--ms 50]`.

A relay over loopback holds each packet for so many milliseconds, in both directions; a line without delay stands beside
it. What a congestion window does about the way there shows here alone: over plain loopback each window is hardly begun
before it is acknowledged. All is in one process, and so many megabytes are written at once.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any, cast

import asyncsctp

from .job import ADDRESS
from .report import align

__all__ = ["main", "measure"]

_PORT = 5001
_MESSAGE = 64 * 1024
_CONFIG = asyncsctp.Config(mtu=1500, recv_buffer=4 * 1024 * 1024, send_buffer=64 * 1024 * 1024)


class Relay(asyncio.DatagramProtocol):
    """Passes datagrams on after a delay: those of the server to the client, all others to the server."""

    def __init__(self, delay: float, server: tuple[str, int]) -> None:
        self._delay = delay
        self._server = server
        self._client = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Hold it for a while."""
        if addr != self._server:
            self._client = addr
        to = self._client if addr == self._server else self._server
        self._loop.call_later(self._delay, self._pass, data, to)

    def _pass(self, data: bytes, to: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, to)


async def measure(size: int, delay: float) -> float:
    """Seconds from the first byte written to the last byte read."""
    done = asyncio.get_running_loop().create_future()

    async def read(assoc: asyncsctp.Association) -> None:
        left = size
        async for message in assoc:
            left -= len(message.data)
            if left <= 0:
                done.set_result(time.perf_counter())

    async with asyncsctp.serve(read, ADDRESS, _PORT, udp_port=0, config=_CONFIG) as server:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Relay(delay, (ADDRESS, server.udp_port)), local_addr=(ADDRESS, 0)
        )
        try:
            port = transport.get_extra_info("sockname")[1]
            async with asyncsctp.connect(ADDRESS, _PORT, udp_port=port, config=_CONFIG) as assoc:
                began = time.perf_counter()
                for at in range(0, size, _MESSAGE):
                    await assoc.send(bytes(min(_MESSAGE, size - at)))
                return float(await done - began)
        finally:
            transport.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.delay", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", type=float, default=4.0, help="megabytes to send (%(default)s)")
    parser.add_argument("--ms", type=float, default=50.0, help="milliseconds each way (%(default)s)")
    arguments = parser.parse_args(argv)
    size = int(arguments.mb * 1e6)
    lines = [["each way", "", "seconds", "round trips"]]
    for milliseconds in (0.0, arguments.ms):
        seconds = asyncio.run(measure(size, milliseconds / 1000))
        trips = f"{seconds * 500 / milliseconds:.1f}" if milliseconds else ""
        lines.append([f"{milliseconds:g} ms", "", f"{seconds:.2f}", trips])
    print("\n".join(align(lines)))


if __name__ == "__main__":
    main()
