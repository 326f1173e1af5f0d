"""Setting up and ending associations with usrsctp, from either side."""

from __future__ import annotations

import os

import pytest
from support.narrowing import so_far
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import Config

from .peers import QUICK, Traffic, Usrsctp, within
from .relay import Relay

INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK = 1, 2, 10, 11


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    address: str = request.param
    try:
        free_udp_port(address)
    except OSError:
        if os.environ.get("ASYNCSCTP_REQUIRE_INTEROP") == "1":
            raise
        pytest.skip(f"{address} can't be used here")
    return address


async def test_we_connect(usrsctp: Usrsctp, host: str) -> None:
    async with usrsctp.server(mode="echo", bind=host, streams=100) as peer:
        config = Config(outgoing_streams=200, max_incoming_streams=50)
        async with asyncsctp.connect(host, peer.port, udp_port=peer.udp_port, config=config) as association:
            up = await peer.expect("up")
            assert (association.outgoing_streams, association.incoming_streams) == (100, 50)
            assert (up["outgoing"], up["incoming"]) == (50, 100)
            assert so_far(association.state) is asyncsctp.State.ESTABLISHED
            await association.send(b"\x01", stream=49, ppid=7)
            message = await within(5, "the echo", association.recv())
            assert (message.data, message.stream, message.ppid) == (b"\x01", 49, 7)
        await peer.expect("down")
    assert association.state is asyncsctp.State.CLOSED


async def test_they_connect(usrsctp: Usrsctp, host: str) -> None:
    async def echo(association: asyncsctp.Association) -> None:
        async for message in association:
            await association.send(message.data, stream=message.stream, ppid=message.ppid)

    traffic = Traffic(count=10, streams=10)
    async with (
        asyncsctp.serve(echo, host, udp_port=0, config=Config(outgoing_streams=60)) as server,
        usrsctp.client(server.port, server.udp_port, bind=host, streams=100) as peer,
    ):
        peer.tell("connect")
        up = await peer.expect("up")
        assert (up["outgoing"], up["incoming"]) == (100, 60)
        peer.tell(traffic.command)
        await peer.got(traffic)
        peer.tell("shutdown")
        await peer.expect("down")


@pytest.mark.parametrize("role", ["client", "server"])
async def test_the_first_of_each_chunk_is_lost(usrsctp: Usrsctp, role: str) -> None:
    """Both sides retransmit INIT and COOKIE ECHO, and answer each of them."""
    seen: set[int] = set()

    def lose_the_first(packet: bytes, to_server: bool) -> bytes | None:
        kind = packet[12]
        if kind in seen:
            return packet
        seen.add(kind)
        return None

    traffic = Traffic(count=10)
    if role == "client":
        async with usrsctp.server() as peer, Relay(peer.udp_port) as relay:
            relay.change = lose_the_first
            connecting = asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=QUICK)
            async with await within(10, "the association", connecting) as association:
                traffic.write(association)
                await peer.got(traffic)
    else:
        async with (
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK) as endpoint,
            Relay(endpoint.udp_port) as relay,
            usrsctp.client(endpoint.port, relay.port, rto_initial=100, rto_max=300) as peer,
        ):
            relay.change = lose_the_first
            peer.tell("connect")
            association = await within(10, "the association", endpoint.accept())
            await peer.expect("up")
            traffic.write(association)
            await peer.got(traffic)
            await association.close()
            await peer.expect("down")
    assert seen >= {INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK}


async def test_nobody_listens(usrsctp: Usrsctp) -> None:
    """usrsctp answers an INIT for another port with an ABORT; and so do we."""
    async with usrsctp.server() as peer:
        with pytest.raises(asyncsctp.AssociationRefused):
            await asyncsctp.connect("127.0.0.1", peer.port + 1, udp_port=peer.udp_port, config=QUICK)
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], port=5001) as endpoint,
        usrsctp.client(5002, endpoint.udp_port) as peer,
    ):
        peer.tell("connect")
        await peer.expect("end", reason="Connection refused")
