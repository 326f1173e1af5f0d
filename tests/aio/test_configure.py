"""The fields that `Association.configure` takes and the side of asyncio sees to; the others: tests/script."""

from __future__ import annotations

import asyncio
import socket

from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp import Config

from .conftest import Run


def test_close_timeout() -> None:
    """How long `close` waits for its graceful end before it aborts."""

    async def main() -> None:
        config = Config(recv_buffer=4096)
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end:
            ours = await asyncsctp.connect(Z, 5001, local_addrs=[A])
            await end.accept()
            ours.write(bytes(3000))
            ours.write(bytes(3000))
            ours.write(bytes(3000))  # nobody reads: there is no graceful end
            ours.configure(close_timeout=2.0)
            loop = asyncio.get_running_loop()
            since = loop.time()
            await ours.close()
            assert 2.0 <= loop.time() - since < 2.5

    two_hosts().run(main())


def test_send_buffer() -> None:
    """From how much on `drain` waits; one that waits goes on when there is room by the new measure."""

    async def main() -> None:
        config = Config(recv_buffer=4096)
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end:
            ours = await asyncsctp.connect(Z, 5001, local_addrs=[A])
            await end.accept()
            ours.configure(send_buffer=10_000)
            for _ in range(20):
                ours.write(bytes(1000))
            draining = asyncio.create_task(ours.drain())
            await asyncio.sleep(5)
            assert not draining.done()
            ours.configure(send_buffer=1_000_000)
            await asyncio.wait_for(draining, 1)
            ours.abort()

    two_hosts().run(main())


def test_recv_buffer_may_become_larger_than_the_endpoint_was_opened_with(run: Run) -> None:
    """What bounds it is the buffer that the system has granted to the socket."""

    async def main() -> None:
        config = Config(recv_buffer=65536)
        async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=config) as end:
            ours = await asyncsctp.connect("127.0.0.1", end.port, udp_port=end.udp_port)
            theirs = await end.accept()
            [sock] = end.sockets
            room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
            assert room > 131_072  # or the system grants nothing that could be tested
            for _ in range(120):
                ours.write(bytes(1000))  # 120,000 bytes do not fit 65,536
            theirs.configure(recv_buffer=131_072)
            assert theirs.config.recv_buffer == 131_072
            await asyncio.wait_for(ours.flush(), 5)
            theirs.configure(recv_buffer=1 << 30)
            assert theirs.config.recv_buffer == room
            ours.abort()

    run(main())
