"""Addresses that change under an association that carries data, with nothing played: both ends are the real ones."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from support.narrowing import so_far
from support.network_namespace import Elsewhere, in_own_network, ip, other_network

import asyncsctp
from asyncsctp import AsconfError, Config, PeerAddressChanged
from asyncsctp.testing import Host, Network

from ..conftest import Run

A, A2, A3, HOME = "10.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1"
Z, Z2 = "10.0.0.2", "10.1.0.2"
DYNAMIC = Config(dynamic_addresses=True, rto_initial=0.5, rto_min=0.5, rto_max=2.0)
AUTO = DYNAMIC.replace(auto_asconf=True)
COUNT = 400
Test = Callable[[asyncsctp.Association, asyncsctp.Association], Awaitable[None]]


def network_of_two(*addresses: str, seed: int = 1) -> tuple[Network, Host]:
    network = Network(seed)
    host = network.host("a", A, *addresses)
    network.host("z", Z)
    return network, host


def run_simulated(network: Network, test: Test, *, config: Config = DYNAMIC, patience: int = 10) -> None:
    theirs = DYNAMIC.replace(max_retrans=patience)

    async def main() -> None:
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=theirs) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as ours:
                await test(ours, await accepting)

    network.run(main(), limit=36000)


async def write(association: asyncsctp.Association, count: int = COUNT, pause: float = 0.05) -> None:
    for number in range(count):
        await association.send(b"%d" % number)
        await asyncio.sleep(pause)


async def read(association: asyncsctp.Association, count: int = COUNT) -> None:
    assert [(await association.recv()).data for _ in range(count)] == [b"%d" % number for number in range(count)]


async def traffic(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
    await asyncio.gather(write(a), write(z), read(a), read(z))


def test_an_address_is_added_preferred_and_the_first_removed() -> None:
    network, host = network_of_two(A2)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = z.events()
        running = asyncio.ensure_future(traffic(a, z))
        await a.add_local_address(A2)
        assert so_far(a.local_addrs) == (A, A2)
        while not all(path.state is asyncsctp.PathState.ACTIVE for path in z.paths):
            await anext(events)
        await a.request_peer_primary(A2)
        assert z.peer == A2
        await a.remove_local_address(A)
        assert a.local_addrs == (A2,)
        assert [path.address for path in z.paths] == [A2]
        assert [address for address, _ in host._ports] == [A2]
        with pytest.raises(ValueError, match="last"):
            await a.remove_local_address(A2)
        await running

    run_simulated(network, test)


def test_a_server_moves_with_all_its_associations() -> None:
    network, _ = network_of_two(A2)

    async def echo(association: asyncsctp.Association) -> None:
        async for message in association:
            await association.send(message.data)

    async def talk(association: asyncsctp.Association) -> None:
        for number in range(100):
            await association.send(b"%d" % number)
            assert (await association.recv()).data == b"%d" % number
            await asyncio.sleep(0.05)

    async def main() -> None:
        async with asyncsctp.serve(echo, A, 5001, config=DYNAMIC) as server:
            clients = [await asyncsctp.connect(A, 5001, local_addrs=Z, config=DYNAMIC) for _ in range(8)]
            talking = asyncio.gather(*map(talk, clients))
            await server.add_local_address(A2)
            await asyncio.sleep(2.0)
            await server.remove_local_address(A)
            assert server.endpoint.local_addrs == (A2,)
            for client in clients:
                assert [path.address for path in client.paths] == [A2]
            await talking
            for client in clients:
                await client.close()

    network.run(main(), limit=3600)


@pytest.mark.parametrize("gap", [-1.0, 0.0, 3.0])
@pytest.mark.parametrize("is_server", [False, True])
def test_a_host_that_moves_loses_nothing(gap: float, is_server: bool) -> None:
    """Before the old address is gone, at once, and after a while without any."""
    network, host = network_of_two()

    async def talk(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.at(network.now + 3.0, partial(network.remove_address, host, A))
        network.at(network.now + 3.0 + gap, partial(network.add_address, host, A2))
        await traffic(a, z)
        assert a.local_addrs == (A2,)
        assert [path.address for path in z.paths] == [A2]
        # And back, and on.
        network.at(network.now + 3.0, partial(network.remove_address, host, A2))
        network.at(network.now + 3.0 + gap, partial(network.add_address, host, A3))
        await traffic(a, z)
        assert a.local_addrs == (A3,)
        assert [path.address for path in z.paths] == [A3]

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, udp_port=9899, config=AUTO) as mobile,
            asyncsctp.connect(A, 5001, local_addrs=[Z], config=DYNAMIC) as z,
        ):
            await talk(await mobile.accept(), z)
            assert mobile.local_addrs == (A3,)

    if is_server:
        network.run(main(), limit=36000)
    else:
        run_simulated(network, talk, config=AUTO)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_and_goes_nothing_is_lost_and_no_address_is_left_over(seed: int) -> None:
    """Until it comes to rest at one that is new: nothing may leave from an address that is being deleted, so that it
    could wait for ever if that was the only one to come back (RFC 5061 section 5.3 F6).
    """
    chance = random.Random(seed)
    longest = (5.0, 2.0, 0.5)[seed % 3]
    network, host = network_of_two(seed=seed)
    network.defaults(loss=0.05, jitter=0.02)

    async def churn() -> None:
        for _ in range(int(25 / longest)):
            await asyncio.sleep(chance.uniform(0.01, longest))
            missing = [address for address in (A, A2, A3) if address not in host.addresses]
            if missing and (not host.addresses or chance.random() < 0.5):
                network.add_address(host, chance.choice(missing))
            else:
                network.remove_address(host, chance.choice(host.addresses))
        network.add_address(host, HOME)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await asyncio.gather(traffic(a, z), churn())
        await asyncio.sleep(60.0)
        assert set(a.local_addrs) == set(host.addresses)
        assert {path.address for path in z.paths} == set(host.addresses)
        assert {address for address, _ in host._ports} == set(host.addresses)

    run_simulated(network, test, config=AUTO.replace(max_retrans=1000), patience=1000)


def test_behind_a_nat_it_moves_to_another_one() -> None:
    """The peer sees neither of the private addresses: RFC 5061 section 5.3, the wildcard."""
    network = Network(1)
    host = network.host("a", "192.168.1.5")
    network.host("z", "8.8.8.8")
    network.nat("1.1.1.1", "192.168.1.5")

    async def main() -> None:
        async with asyncsctp.open_endpoint(local_addrs=["8.8.8.8"], port=5001, udp_port=9899, config=DYNAMIC) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect("8.8.8.8", 5001, local_addrs=["192.168.1.5"], config=AUTO) as a:
                z = await accepting
                assert [path.address for path in z.paths] == ["1.1.1.1"]
                network.nat("2.2.2.2", "192.168.2.5")
                network.at(3.0, partial(network.remove_address, host, "192.168.1.5"))
                network.at(4.0, partial(network.add_address, host, "192.168.2.5"))
                await traffic(a, z)
                assert a.local_addrs == ("192.168.2.5",)
                assert [path.address for path in z.paths] == ["2.2.2.2"]

    network.run(main(), limit=3600)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as its own")
def test_real_addresses(run: Run) -> None:
    async def main() -> None:
        both = ["127.0.0.1", "::1"]
        async with (
            asyncsctp.open_endpoint(local_addrs=both, port=5001, config=DYNAMIC) as end,
            asyncsctp.connect(both, 5001, udp_port=end.udp_port, local_addrs=both, config=DYNAMIC) as a,
        ):
            z = await end.accept()
            running = asyncio.gather(write(a, 200, 0.005), read(z, 200), write(z, 200, 0.005), read(a, 200))
            await a.add_local_address("127.0.0.2")
            assert a.local_addrs == ("127.0.0.1", "::1", "127.0.0.2")
            events = z.events()
            while not all(path.state is asyncsctp.PathState.ACTIVE for path in z.paths):
                await anext(events)
            await a.request_peer_primary("127.0.0.2")
            assert z.peer == "127.0.0.2"
            await a.remove_local_address("127.0.0.1")
            await a.remove_local_address("::1")
            assert [path.address for path in z.paths] == ["127.0.0.2"]
            assert [path.local for path in a.paths if path.address == "127.0.0.1"] == ["127.0.0.2"]
            await a.add_local_address("::1")
            await a.remove_local_address("127.0.0.2")
            assert [path.address for path in z.paths] == ["::1"]
            await running
            with pytest.raises(OSError):
                await a.add_local_address("192.0.2.1")

    run(main())


SERVER = """
import asyncio, asyncsctp

async def echo(association):
    async for message in association:
        await association.send(message.data)

async def main(addresses):
    config = asyncsctp.Config(dynamic_addresses=True, rto_initial=0.5, rto_min=0.2, rto_max=1.0, max_retrans=1000)
    async with asyncsctp.serve(echo, local_addrs=addresses, port=5001, config=config) as server:
        print("listening", flush=True)
        await server.serve_forever()

asyncio.run(main(sys.stdin.readline().split()))
"""


@pytest.mark.process
def test_a_real_host_that_moves_loses_nothing(run: Run) -> None:
    """Its interface gets another address, and loses the first: netlink tells, and the peer is told."""

    async def main() -> None:
        # Patient: either process may stand still for some seconds on a machine that is busy.
        config = AUTO.replace(rto_min=0.2, rto_max=1.0, max_retrans=1000)
        async with asyncsctp.connect("10.77.1.2", 5001, local_addrs="10.77.1.1", config=config) as assoc:
            writing = asyncio.ensure_future(write(assoc, 200, 0.02))
            for number in range(200):
                assert (await assoc.recv()).data == b"%d" % number
                if number == 50:
                    await asyncio.to_thread(ip, "addr", "add", "10.77.1.3/24", "dev", "near1")
                if number == 100:
                    await asyncio.to_thread(ip, "addr", "del", "10.77.1.1/24", "dev", "near1")
            await writing
            while assoc.local_addrs != ("10.77.1.3",):
                await assoc.send(b"still")
                await assoc.recv()

    def body() -> None:
        with other_network(SERVER) as elsewhere:
            elsewhere.lay_cable(1, ("10.77.1.1/24",), ("10.77.1.2/24",))
            start(elsewhere)
            # Else the second of a net goes with the first.
            Path("/proc/sys/net/ipv4/conf/near1/promote_secondaries").write_text("1")
            run(main())

    in_own_network(body)


def start(elsewhere: Elsewhere) -> None:
    elsewhere.begin("10.77.1.2")
    assert elsewhere.output.readline() == "listening\n"


def test_a_peer_that_does_not_know_it_is_told_to_the_user() -> None:
    network, _ = network_of_two(A2)

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899),
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=DYNAMIC) as a,
        ):
            with pytest.raises(AsconfError, match="not negotiated"):
                await a.add_local_address(A2)

    network.run(main())


def test_the_peer_s_user_hears_of_it() -> None:
    network, _ = network_of_two(A2)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        events = z.events()
        await a.add_local_address(A2)
        assert await anext(events) == PeerAddressChanged(A2, "added")

    run_simulated(network, test)
