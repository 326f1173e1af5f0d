"""Messages of all sizes on many streams, to and from usrsctp, over good networks and bad ones."""

from __future__ import annotations

import asyncio

import pytest

import asyncsctp

from .peers import QUICK, Traffic, Usrsctp, eventually, within
from .relay import Relay

# Around the sizes of one chunk and of one packet, and far above.
SMALL = (1, 2, 3, 4, 5, 100, 1000, 1195, 1196, 1197, 1200, 1213, 1232, 1444, 1452, 4095, 16384)
LARGE = (1, 1024 * 1024, 65536, 7, 262144, 1199, 100_000)

ALL_SIZES = [
    pytest.param(Traffic(count=1700, streams=100, sizes=SMALL, order="m"), id="small"),
    pytest.param(Traffic(count=70, streams=100, sizes=LARGE, order="o"), id="large-ordered"),
    pytest.param(Traffic(count=70, streams=100, sizes=LARGE, order="u"), id="large-unordered"),
]


async def echo(association: asyncsctp.Association) -> None:
    async for message in association:
        await association.send(message.data, stream=message.stream, ppid=message.ppid, unordered=message.unordered)


@pytest.mark.parametrize("traffic", ALL_SIZES)
async def test_we_send_and_they_echo(usrsctp: Usrsctp, traffic: Traffic) -> None:
    async with (
        usrsctp.server(mode="echo") as peer,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=peer.udp_port, config=QUICK) as association,
    ):
        await within(20, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
        await peer.got(traffic)
        assert association.stats.checksum_errors == association.stats.malformed_packets == 0
        assert association.stats.unexpected_chunks == association.stats.unknown_chunks == 0


@pytest.mark.parametrize("traffic", ALL_SIZES)
async def test_they_send_and_we_echo(usrsctp: Usrsctp, traffic: Traffic) -> None:
    async with (
        asyncsctp.serve(echo, "127.0.0.1", udp_port=0, config=QUICK) as server,
        usrsctp.client(server.port, server.udp_port) as peer,
    ):
        peer.tell("connect")
        await peer.expect("up")
        peer.tell(traffic.command)
        await peer.got(traffic, 20)
        assert (await peer.status())["checksum_errors"] == 0
        peer.tell("shutdown")
        await peer.expect("down")


@pytest.mark.parametrize("network", ["loses 2 %", "reorders", "loses and reorders with a delay"])
async def test_a_bad_network(usrsctp: Usrsctp, network: str) -> None:
    """Both directions at once, so that data, acknowledgements and echoes suffer."""
    count = 150 if "delay" in network else 600
    traffic = Traffic(count=count, streams=20, sizes=(1, 100, 1500, 3000, 20000), order="m")
    async with (
        usrsctp.server(mode="echo") as peer,
        Relay(peer.udp_port, seed=7) as relay,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=QUICK) as association,
    ):
        relay.loss = 0.02 if "loses" in network else 0.0
        relay.reorder = 0.05 if "reorders" in network else 0.0
        relay.delay = 0.005 if "delay" in network else 0.0
        await within(20, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
        await peer.got(traffic)
        relay.loss = 0.0
        if "loses" in network:
            assert relay.lost > 0
            assert association.stats.packets_retransmitted > 0
            assert association.stats.fast_retransmits > 0


async def test_a_bad_network_as_server(usrsctp: Usrsctp) -> None:
    traffic = Traffic(count=600, streams=20, sizes=(1, 100, 1500, 3000, 20000), order="m")
    async with (
        asyncsctp.serve(echo, "127.0.0.1", udp_port=0, config=QUICK) as server,
        Relay(server.udp_port, loss=0.02, seed=3) as relay,
        usrsctp.client(server.port, relay.port) as peer,
    ):
        peer.tell("connect")
        await peer.expect("up")
        peer.tell(traffic.command)
        await peer.got(traffic, 20)
        assert relay.lost > 0
        relay.loss = 0.0
        peer.tell("shutdown")
        await peer.expect("down")


async def test_we_read_slowly(usrsctp: Usrsctp) -> None:
    """Our window closes, usrsctp probes it, and it opens again.

    It counts each probe as an error although we answer (RFC 9260 section 6.1 A asks for the opposite), so it is given
    more of them.
    """
    traffic = Traffic(count=400, streams=4, sizes=(3000,))
    config = QUICK.replace(recv_buffer=65536)
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=config) as endpoint,
        usrsctp.client(endpoint.port, endpoint.udp_port, rto_max=300, path_retrans=50, assoc_retrans=50) as peer,
    ):
        peer.tell("connect")
        association = await within(5, "the association", endpoint.accept())
        await peer.expect("up")
        peer.tell(traffic.command)
        status = await peer.until(lambda status: status["t3_timeouts"] >= 3, "three window probes")
        assert status["peer_rwnd"] < 3000
        assert association.stats.bytes_received <= 65536 + 3000
        await within(10, "the rest", traffic.read(association))
        assert association.state is asyncsctp.State.ESTABLISHED
        peer.tell("shutdown")
        await peer.expect("down")


async def test_they_read_slowly(usrsctp: Usrsctp) -> None:
    """Their window closes. We probe it, more often than we would retransmit without an answer, and it opens again."""
    traffic = Traffic(count=200, streams=4, sizes=(3000,))
    config = QUICK.replace(max_retrans=2, path_max_retrans=2, rto_max=0.2)
    async with (
        usrsctp.server(hold=1, rcvbuf=65536) as peer,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=peer.udp_port, config=config) as association,
    ):
        traffic.write(association)

        def stopped() -> bool:
            return association.stats.bytes_sent > 30_000 and association.paths[0].flight <= 1500

        await eventually(stopped, "their window closed")
        probed = association.stats.sacks_received + 5
        await eventually(lambda: association.stats.sacks_received >= probed, "five probes were answered")
        assert association.state is asyncsctp.State.ESTABLISHED
        assert association.stats.bytes_sent < traffic.size / 2
        peer.tell("read")
        await peer.got(traffic)
        await within(5, "the last acknowledgement", association.flush())


async def test_a_message_longer_than_our_window(usrsctp: Usrsctp) -> None:
    traffic = Traffic(count=3, sizes=(300_000,))
    config = QUICK.replace(recv_buffer=65536)
    async with (
        usrsctp.server() as peer,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=peer.udp_port, config=config) as association,
    ):
        await peer.expect("up")
        peer.tell(traffic.command)
        await within(10, "the messages", traffic.read(association))
