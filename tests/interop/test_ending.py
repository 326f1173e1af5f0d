"""How associations with usrsctp end, and begin anew after one side was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.narrowing import so_far
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import AssociationAborted, AssociationRestarted, EndOfStream, PeerShutdown, State

from .peers import QUICK, Peer, Traffic, Usrsctp, body, eventually, told, within
from .relay import Relay

ROLES = pytest.mark.parametrize("role", ["client", "server"])
QUEUED = Traffic(count=600, streams=10, sizes=(1, 900, 5000))
USER_INITIATED_ABORT = 12


@asynccontextmanager
async def associated(
    usrsctp: Usrsctp, role: str, delay: float = 0.0
) -> AsyncIterator[tuple[asyncsctp.Association, Peer, Relay]]:
    """An association, in which we have this role, with a relay between us."""
    if role == "client":
        async with (
            usrsctp.server() as peer,
            Relay(peer.udp_port, delay=delay) as relay,
            asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=QUICK) as association,
        ):
            await peer.expect("up")
            yield association, peer, relay
    else:
        async with (
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK) as endpoint,
            Relay(endpoint.udp_port, delay=delay) as relay,
            usrsctp.client(endpoint.port, relay.port) as peer,
        ):
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            await peer.expect("up")
            yield association, peer, relay


@ROLES
async def test_we_shut_down_with_data_queued(usrsctp: Usrsctp, role: str) -> None:
    async with associated(usrsctp, role, delay=0.01) as (association, peer, _):
        QUEUED.write(association)
        closing = asyncio.ensure_future(association.close())
        await asyncio.sleep(0)
        assert so_far(association.state) is State.SHUTDOWN_PENDING
        with pytest.raises(asyncsctp.AssociationClosed):
            association.write(b"too late")
        await peer.got(QUEUED)
        await peer.expect("shutdown")
        await peer.expect("down")
        await within(5, "close()", closing)
        await within(5, "wait_closed()", association.wait_closed())
        assert association.state is State.CLOSED


@ROLES
async def test_they_shut_down_with_data_queued(usrsctp: Usrsctp, role: str) -> None:
    async with associated(usrsctp, role, delay=0.01) as (association, peer, _):
        peer.tell(QUEUED.command)
        await peer.expect("sent")
        peer.tell("shutdown")
        await within(10, "what was queued", QUEUED.read(association))
        with pytest.raises(EndOfStream):
            await within(5, "the end", association.recv())
        await peer.expect("down")
        await within(5, "wait_closed()", association.wait_closed())


@ROLES
async def test_they_shut_down_while_we_have_data_queued(usrsctp: Usrsctp, role: str) -> None:
    """RFC 9260 section 9.2: who receives SHUTDOWN delivers what it has before it answers."""
    async with associated(usrsctp, role, delay=0.01) as (association, peer, _):
        events = association.events()
        QUEUED.write(association)
        peer.tell("shutdown")
        await told(events, PeerShutdown)
        assert association.state is State.SHUTDOWN_RECEIVED
        with pytest.raises(asyncsctp.AssociationClosed):
            association.write(b"too late")
        await peer.got(QUEUED)
        await peer.expect("down")
        await within(5, "wait_closed()", association.wait_closed())


async def test_both_shut_down_at_once(usrsctp: Usrsctp) -> None:
    """Both SHUTDOWN chunks cross (RFC 9260 section 9.2)."""
    async with associated(usrsctp, "client", delay=0.1) as (association, peer, _):
        peer.tell("shutdown")
        await association.close()
        await within(5, "wait_closed()", association.wait_closed())
        await peer.expect("down")


@ROLES
async def test_we_shut_down_over_a_lossy_network(usrsctp: Usrsctp, role: str) -> None:
    """Each chunk of the handshake may be lost; here it is the first of each kind."""
    seen: set[int] = set()

    def lose_the_first(packet: bytes, to_server: bool) -> bytes | None:
        kind = packet[12]
        if kind in (7, 8) and kind not in seen:  # SHUTDOWN, SHUTDOWN ACK
            seen.add(kind)
            return None
        return packet

    async with associated(usrsctp, role) as (association, peer, relay):
        relay.change = lose_the_first
        await within(8, "close()", association.close())
        assert seen == {7, 8}
        await within(5, "wait_closed()", association.wait_closed())
        await peer.expect("down")


@ROLES
async def test_we_abort(usrsctp: Usrsctp, role: str) -> None:
    async with associated(usrsctp, role) as (association, peer, _):
        association.abort(b"enough of it")
        lost = await peer.expect("lost")
        assert b"enough of it" in bytes.fromhex(lost["info"])
        with pytest.raises(AssociationAborted) as caught:
            await association.wait_closed()
        assert not caught.value.by_peer


@ROLES
async def test_they_abort(usrsctp: Usrsctp, role: str) -> None:
    async with associated(usrsctp, role) as (association, peer, _):
        peer.tell("abort enough of it")
        with pytest.raises(AssociationAborted) as caught:
            await within(5, "the end", association.recv())
        assert caught.value.by_peer
        assert [(cause.code, cause.info) for cause in caught.value.causes] == [(USER_INITIATED_ABORT, b"enough of it")]
        assert association.state is State.CLOSED


async def test_their_server_is_lost_and_comes_back(usrsctp: Usrsctp) -> None:
    """It doesn't know the association any more, and says so as soon as it gets something of it."""
    async with usrsctp.server() as peer:
        association = await asyncsctp.connect("127.0.0.1", peer.port, udp_port=peer.udp_port, config=QUICK)
        await peer.kill()
    async with usrsctp.server(udp_port=peer.udp_port):
        association.write(b"is anybody there?")
        with pytest.raises(AssociationAborted) as caught:
            await within(5, "the end", association.recv())
        assert caught.value.by_peer


async def test_their_client_restarts(usrsctp: Usrsctp) -> None:
    """It is lost, and comes back with the same addresses and ports: RFC 9260 section 5.2.2, one association for us."""
    traffic = Traffic(count=100, streams=5, sizes=(10, 3000))
    ports = {"udp_port": free_udp_port(), "port": 6002}
    async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK) as endpoint:
        async with usrsctp.client(endpoint.port, endpoint.udp_port, **ports) as peer:
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            events = association.events()
            peer.tell(traffic.command)
            await within(5, "the messages", traffic.read(association))
            QUEUED.write(association)
            await peer.kill()  # while this goes to it
        async with usrsctp.client(endpoint.port, endpoint.udp_port, **ports) as peer:
            peer.tell("connect")
            await told(events, AssociationRestarted)
            await peer.expect("up")
            assert endpoint.associations == [association]
            assert association.stats.restarts == 1
            peer.tell(traffic.command)
            traffic.write(association)
            await within(5, "the messages", traffic.read(association))
            await peer.got(traffic)  # and nothing of what was for the one that was lost
            peer.tell("shutdown")
            await peer.expect("down")
            await within(5, "wait_closed()", association.wait_closed())


async def test_we_restart(usrsctp: Usrsctp) -> None:
    """We are lost, and come back with the same addresses and ports."""
    ports: dict[str, Any] = {"local_port": 6003, "local_udp_port": free_udp_port("127.0.0.1"), "config": QUICK}
    traffic = Traffic(count=100, streams=5, sizes=(10, 3000))
    async with usrsctp.server(mode="echo") as peer, Relay(peer.udp_port) as relay:
        lost = await asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, **ports)
        await peer.expect("up")
        await within(5, "the echoes", asyncio.gather(traffic.send(lost), traffic.read(lost)))
        await peer.got(traffic)
        lost.write(body(0, 5000))
        relay.cut_off()  # so that nobody hears of the end
        lost.abort()
        await eventually(lambda: relay.lost > 0, "the ABORT got lost")
        relay.restore()
        async with asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, **ports) as association:
            await peer.expect("restarted")
            await within(5, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
            await peer.got(traffic)
        await peer.expect("down")


async def test_both_connect_at_once(usrsctp: Usrsctp) -> None:
    """The INITs cross (RFC 9260 section 5.2.1): one association comes of it."""
    traffic = Traffic(count=20, streams=5)
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK.replace(rto_initial=1.0)) as endpoint,
        Relay(endpoint.udp_port, delay=0.1) as relay,
        usrsctp.client(endpoint.port, relay.port, rto_initial=1000) as peer,
    ):
        peer.tell("connect")
        await eventually(lambda: relay.client_port > 0, "their INIT is on its way")
        connecting = endpoint.connect("127.0.0.1", peer.port, udp_port=relay.back_port)
        association = await within(5, "our association", connecting)
        await peer.expect("up")
        assert endpoint.associations == [association]
        traffic.write(association)
        await peer.got(traffic)
        peer.tell(traffic.command)
        await within(5, "the messages", traffic.read(association))
        await association.close()
        await peer.expect("down")
