"""How associations with usrsctp end, and begin anew after one side was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import asyncsctp
from asyncsctp import AssociationAborted, AssociationRestarted, EndOfStream, State

from .peers import QUICK, Peer, Traffic, Usrsctp, body, eventually, within
from .relay import Relay, free_udp_port

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
        assert association.state is State.SHUTDOWN_PENDING
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

        async def shutdown() -> None:
            async for event in events:
                if isinstance(event, asyncsctp.PeerShutdown):
                    return

        await within(5, "the event", shutdown())
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
    restarted = asyncio.Event()
    associations: list[asyncsctp.Association] = []

    async def handler(association: asyncsctp.Association) -> None:
        associations.append(association)

        async def watch() -> None:
            async for event in association.events():
                if isinstance(event, AssociationRestarted):
                    restarted.set()

        watching = asyncio.ensure_future(watch())
        async for message in association:
            await association.send(message.data, stream=message.stream, ppid=message.ppid)
        await watching

    traffic = Traffic(count=100, streams=5, sizes=(10, 3000))
    async with asyncsctp.serve(handler, "127.0.0.1", udp_port=0, config=QUICK) as server:
        ports = {"udp_port": free_udp_port(), "port": 6002}
        for _ in range(2):
            async with usrsctp.client(server.port, server.udp_port, **ports) as peer:
                peer.tell("connect")
                await peer.expect("up")
                peer.tell(traffic.command)
                await peer.got(traffic)
                if not restarted.is_set():
                    peer.tell(Traffic(count=100, sizes=(5000,)).command)  # it is lost in the middle of this
                    await peer.expect("sent")
                    await peer.kill()
                    continue
                assert len(associations) == 1
                assert associations[0].stats.restarts == 1
                peer.tell("shutdown")
                await peer.expect("down")
            break_here = restarted.is_set()
        assert break_here


async def test_we_restart(usrsctp: Usrsctp) -> None:
    """We are lost, and come back with the same addresses and ports."""
    ports = {"local_port": 6003, "local_udp_port": free_udp_port("127.0.0.1"), "config": QUICK}
    traffic = Traffic(count=100, streams=5, sizes=(10, 3000))
    async with usrsctp.server(mode="echo") as peer, Relay(peer.udp_port) as relay:
        lost = await asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, **ports)
        await peer.expect("up")
        await within(5, "the echoes", asyncio.gather(traffic.send(lost), traffic.read(lost)))
        await peer.got(traffic)
        lost.write(body(0, 5000))
        relay.cut_off()  # so that nobody hears of the end
        lost.abort()
        await asyncio.sleep(0.05)
        relay.restore()
        async with asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, **ports) as association:
            await peer.expect("restarted")
            await within(5, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
            await peer.got(traffic)
        await peer.expect("down")


async def test_both_connect_at_once(usrsctp: Usrsctp) -> None:
    """The INITs cross: RFC 9260 section 5.2.1. One association comes of it."""
    traffic = Traffic(count=20, streams=5)
    async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK) as endpoint:
        async with Relay(endpoint.udp_port, delay=0.1) as relay:
            async with usrsctp.client(endpoint.port, relay.port, mode="echo", rto_initial=2000) as peer:
                pass
