"""Two hosts with two cables between them: real interfaces, in two network namespaces. One cable is cut."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.namespace import Elsewhere, in_own_network, ip, other_network

import asyncsctp
from asyncsctp import Config

from .conftest import Run

NEAR = ("10.77.1.1", "10.77.2.1")
FAR = ("10.77.1.2", "10.77.2.2")
NEAR_6 = ("fd77:1::1", "fd77:2::1")
FAR_6 = ("fd77:1::2", "fd77:2::2")

SETTINGS = "rto_initial=0.2, rto_min=0.1, rto_max=0.5, path_max_retrans=2, heartbeat_interval=0.5, sack_delay=0.05"
CONFIG = Config(
    rto_initial=0.2, rto_min=0.1, rto_max=0.5, path_max_retrans=2, heartbeat_interval=0.5, sack_delay=0.05
)
#: RFC 9260 section 8.2: after this time the path counts as INACTIVE: path_max_retrans + 1 time-outs in a row, each
#: twice the one before. What timed out is sent again elsewhere at the first of them (section 6.4.1).
BOUND = sum(min(0.5, 0.1 * 2**count) for count in range(3))
SLACK = 5.0

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
            number,
            (f"{NEAR[number]}/24", f"{NEAR_6[number]}/64"),
            (f"{FAR[number]}/24", f"{FAR_6[number]}/64"),
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
    seconds: list[float] = []

    async def main(elsewhere: Elsewhere) -> None:
        async with asyncsctp.connect(list(far), 5001, local_addrs=near, config=CONFIG) as assoc:
            await until_active(assoc)
            assoc.set_primary_path(far[0])

            async def write() -> None:
                for number in range(150):
                    await assoc.send(b"%d" % number)
                    await asyncio.sleep(0.01)

            writing = asyncio.ensure_future(write())
            before = time.monotonic()
            longest = 0.0
            for number in range(150):
                if number == 50:
                    elsewhere.cut(0)
                    before = time.monotonic()
                assert (await assoc.recv()).data == b"%d" % number
                now = time.monotonic()
                longest = max(longest, now - before)
                before = now
            await writing
            seconds.append(longest)

    def body() -> None:
        with other_network(SERVER) as elsewhere:
            lay_cables(elsewhere)
            start_server(elsewhere, far)
            run(main(elsewhere))

    in_own_network(body)
    print(f"{family}: nothing came for {seconds[0]:.3f} s; the path is given up after {BOUND:.3f} s")
    assert seconds[0] < BOUND + SLACK


@pytest.mark.process
def test_an_address_that_is_taken_away_ends_no_endpoint(run: Run) -> None:
    """The socket stays bound; what leaves from it is refused and counted, and goes from the other one."""

    async def main() -> None:
        async with asyncsctp.connect(list(FAR), 5001, local_addrs=NEAR, config=CONFIG) as assoc:
            await until_active(assoc)
            ip("addr", "del", f"{NEAR[0]}/24", "dev", "near0")
            for number in range(50):
                await assoc.send(b"%d" % number)
                assert (await assoc.recv()).data == b"%d" % number
            failures = assoc.get_extra_info("send_failures")
            assert assoc.stats.send_failures > 0
            assert failures.keys() & {"EINVAL", "ENETUNREACH", "EADDRNOTAVAIL", "ENODEV"}
            print(failures)
            ip("addr", "add", f"{NEAR[0]}/24", "dev", "near0")
            await until_active(assoc)

    def body() -> None:
        with other_network(SERVER) as elsewhere:
            lay_cables(elsewhere)
            start_server(elsewhere, FAR)
            run(main())

    in_own_network(body)
