"""Many long messages at a time: what both ends of ours make of them, with an API user's eyes, in virtual time."""

from __future__ import annotations

import asyncio
import gc

import pytest
from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp import Config
from asyncsctp.schedulers import FairBandwidth, Priority, RoundRobin, StreamScheduler


def transfer(config: Config, sizes: list[int], *, loss: float = 0.0, reads_slowly: bool = False) -> None:
    """Each message on a stream of its own, all written at once; each is read whole."""

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end,
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as ours,
        ):
            theirs = await end.accept()
            assert ours.negotiated.interleaving
            sending = [asyncio.create_task(ours.send(bytes([n]) * size, stream=n)) for n, size in enumerate(sizes)]
            got: dict[int, bytes] = {}
            async with asyncio.timeout(3600):
                while len(got) < len(sizes):
                    if reads_slowly:
                        await asyncio.sleep(1)
                    message = await theirs.recv()
                    got[message.stream] = message.data
                await asyncio.gather(*sending)
                await ours.flush()
            assert got == {n: bytes([n]) * size for n, size in enumerate(sizes)}

    network = two_hosts(loss=loss)
    network.run(main())


@pytest.mark.parametrize("scheduler", [FairBandwidth, None], ids=["fair", "in turn"])
def test_twenty_messages_of_a_megabyte_at_once_with_default_settings(scheduler: type[StreamScheduler] | None) -> None:
    transfer(Config(interleaving=True, scheduler=scheduler), [1_000_000] * 20)


@pytest.mark.parametrize("scheduler", [FairBandwidth, RoundRobin, Priority])
@pytest.mark.parametrize("loss", [0.0, 0.03])
def test_messages_longer_than_the_window_one_after_the_other_if_need_be(
    scheduler: type[StreamScheduler], loss: float
) -> None:
    config = Config(interleaving=True, scheduler=scheduler, recv_buffer=20_000, max_message_size=50_000)
    transfer(config, [40_000] * 3, loss=loss)
    transfer(config, [40_000, 50_000, 1_000, 7_000, 30_000, 6_000, 50_000, 100, 45_000, 9_000], loss=loss)
    transfer(config, [40_000, 50_000, 1_000, 7_000, 30_000, 6_000, 50_000, 100], loss=loss, reads_slowly=True)


def test_a_hundred_messages_through_the_smallest_window() -> None:
    """The smallest `recv_buffer` there is, and far more streams than it could hold a fragment of."""
    transfer(Config(interleaving=True, recv_buffer=4096, max_message_size=10_000, scheduler=RoundRobin), [3_000] * 100)


def test_a_message_whose_peer_has_no_room_for_it_fails_with_a_reason_on_both_sides() -> None:
    async def main() -> None:
        config = Config(interleaving=True, memory_limit=1 << 20, recv_buffer=1 << 16)
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end:
            ours = await asyncsctp.connect(Z, 5001, local_addrs=[A])
            theirs = await end.accept()
            ours.write(bytes(800_000))
            with pytest.raises(asyncsctp.AssociationAborted, match="memory_limit"):
                await theirs.recv()
            with pytest.raises(asyncsctp.AssociationAborted, match="out of resource"):
                await ours.wait_closed()

    network = two_hosts()
    network.run(main())


@pytest.mark.parametrize("reads", [True, False])
def test_what_slow_handlers_have_of_peers_that_have_left_counts(reads: bool) -> None:
    """A peer sends, aborts, and comes again; what it sent can be read, and is in `memory_limit` until then."""
    limit = 1 << 20
    got: list[int] = []

    async def main() -> None:
        resumed = asyncio.Event()

        async def handler(association: asyncsctp.Association) -> None:
            await resumed.wait()
            if reads:
                got.append(0)
                async for message in association:
                    got[-1] += len(message.data)

        config = Config(memory_limit=limit, recv_buffer=1 << 18)
        async with asyncsctp.serve(handler, Z, 5001, udp_port=9899, config=config) as server:
            budget = server.endpoint._engine.core.budget
            for _ in range(20):
                peer = await asyncsctp.connect(Z, 5001, local_addrs=[A])
                peer.write_many([bytes(1000)] * 400)
                await asyncio.sleep(2)
                peer.abort()
                await asyncio.sleep(0.1)
            assert not server.associations
            assert budget.members == 0
            assert limit // 2 < budget.taken <= limit + (limit >> 4)
            resumed.set()
            await asyncio.wait(server._handlers.tasks)
            if reads:
                assert limit // 2 < sum(got) <= limit + (limit >> 4)
                assert budget.taken == 0
            gc.collect()
            assert budget.taken == 0

    network = two_hosts()
    network.run(main())
