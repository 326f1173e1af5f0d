"""Two hosts with two cables between them: real interfaces, in two network namespaces. One cable is cut."""

from __future__ import annotations

import asyncio

import pytest
from support.network_namespace import Elsewhere, in_own_network, ip, other_network

import asyncsctp
from asyncsctp import Config

from .conftest import Run

NEAR = ("10.77.1.1", "10.77.2.1")
FAR = ("10.77.1.2", "10.77.2.2")
NEAR_6 = ("fd77:1::1", "fd77:2::1")
FAR_6 = ("fd77:1::2", "fd77:2::2")

#: Of the two addresses one is soon given up. The peer is not (max_retrans): its process, or this one, may stand still
#: for some seconds on a machine that is busy. How long a failover takes is asserted where time is virtual, in
#: tests/pair/test_failover_time.py.
SETTINGS = (
    "rto_initial=0.2, rto_min=0.1, rto_max=0.5, path_max_retrans=2, max_retrans=1000, heartbeat_interval=0.5, "
    "sack_delay=0.05"
)
CONFIG = Config(
    rto_initial=0.2,
    rto_min=0.1,
    rto_max=0.5,
    path_max_retrans=2,
    max_retrans=1000,
    heartbeat_interval=0.5,
    sack_delay=0.05,
)

SERVER = f"""
import asyncio, asyncsctp

async def echo(association):
    async for message in association:
        await association.send(message.data)

async def main(addresses):
    config = asyncsctp.Config({SETTINGS})
    async with asyncsctp.serve(echo, local_addrs=addresses, port=5001, config=config) as server:
        print("listening", flush=True)
        await server.serve_forever()

asyncio.run(main(sys.stdin.readline().split()))
"""


def lay_cables(elsewhere: Elsewhere) -> None:
    for number in range(2):
        elsewhere.lay_cable(
            number, (f"{NEAR[number]}/24", f"{NEAR_6[number]}/64"), (f"{FAR[number]}/24", f"{FAR_6[number]}/64")
        )


def start_server(elsewhere: Elsewhere, addresses: tuple[str, ...]) -> None:
    elsewhere.begin(" ".join(addresses))
    assert elsewhere.output.readline() == "listening\n"


async def until_active(assoc: asyncsctp.Association) -> None:
    events = assoc.events()
    while not all(path.state is asyncsctp.PathState.ACTIVE for path in assoc.paths):
        await anext(events)


@pytest.mark.process
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_nothing_is_lost_when_the_first_cable_is_cut(run: Run, family: str) -> None:
    near, far = (NEAR, FAR) if family == "IPv4" else (NEAR_6, FAR_6)

    async def main(elsewhere: Elsewhere) -> None:
        async with asyncsctp.connect(list(far), 5001, local_addrs=near, config=CONFIG) as assoc:
            await until_active(assoc)
            assoc.set_primary_path(far[0])

            async def write() -> None:
                for number in range(150):
                    await assoc.send(b"%d" % number)
                    await asyncio.sleep(0.01)

            writing = asyncio.ensure_future(write())
            for number in range(150):
                if number == 50:
                    await asyncio.to_thread(elsewhere.cut, 0)
                assert (await assoc.recv()).data == b"%d" % number
            await writing
            events = assoc.events()
            while assoc.paths[0].state is not asyncsctp.PathState.INACTIVE:
                await anext(events)
            assert [path.address for path in assoc.paths] == list(far)
            assert assoc.paths[1].state is asyncsctp.PathState.ACTIVE

    def body() -> None:
        with other_network(SERVER) as elsewhere:
            lay_cables(elsewhere)
            start_server(elsewhere, far)
            run(main(elsewhere))

    in_own_network(body)


@pytest.mark.process
def test_an_address_that_is_taken_away_ends_no_endpoint(run: Run) -> None:
    """The socket stays bound; what leaves from it is refused and counted, and goes from the other one."""

    async def main() -> None:
        async with asyncsctp.connect(list(FAR), 5001, local_addrs=NEAR, config=CONFIG) as assoc:
            await until_active(assoc)
            await asyncio.to_thread(ip, "addr", "del", f"{NEAR[0]}/24", "dev", "near0")
            for number in range(50):
                await assoc.send(b"%d" % number)
                assert (await assoc.recv()).data == b"%d" % number
            failures = assoc.get_extra_info("send_failures")
            assert assoc.stats.send_failures > 0
            assert failures.keys() & {"EINVAL", "ENETUNREACH", "EADDRNOTAVAIL", "ENODEV"}
            print(failures)
            await asyncio.to_thread(ip, "addr", "add", f"{NEAR[0]}/24", "dev", "near0")
            await until_active(assoc)

    def body() -> None:
        with other_network(SERVER) as elsewhere:
            lay_cables(elsewhere)
            start_server(elsewhere, FAR)
            run(main())

    in_own_network(body)
