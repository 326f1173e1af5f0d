"""The fields that `Association.configure` takes and the side of asyncio sees to; the others: tests/script."""

from __future__ import annotations

import asyncio

import asyncsctp
from asyncsctp import Config
from asyncsctp.testing import Network

A, Z = "10.0.0.1", "10.0.0.2"


def network_of_two() -> Network:
    network = Network(seed=1)
    network.host("a", A)
    network.host("z", Z)
    network.link(A, Z, delay=0.01)
    network.link(Z, A, delay=0.01)
    return network


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

    network_of_two().run(main())


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

    network_of_two().run(main())
