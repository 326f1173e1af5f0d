"""Several addresses, HEARTBEATs, and chunks that one side doesn't know, with usrsctp."""

from __future__ import annotations

import asyncio

import pytest
from crc32c import crc32c

import asyncsctp
from asyncsctp import PathState

from .peers import QUICK, Peer, Traffic, Usrsctp, eventually, told, within
from .relay import Relay

DATA = 0
UNRECOGNIZED_CHUNK = 6
BOTH = ("127.0.0.1", "127.0.0.2")
HEARTBEATS = QUICK.replace(heartbeat_interval=0.1, path_max_retrans=1, rto_max=0.5)


async def _confirmed(association: asyncsctp.Association) -> None:
    def confirmed() -> bool:
        return [path.address for path in association.paths if path.state is PathState.ACTIVE] == list(BOTH)

    await eventually(confirmed, "both paths were confirmed")


async def test_multihomed(usrsctp: Usrsctp) -> None:
    """The addresses are exchanged in the handshake, and confirmed by HEARTBEATs, at both ends."""
    async with (
        usrsctp.server(mode="echo", bind=",".join(BOTH), heartbeat=100) as peer,
        asyncsctp.connect(
            BOTH[0], peer.port, udp_port=peer.udp_port, local_addrs=BOTH, config=HEARTBEATS
        ) as association,
    ):
        await peer.expect("path", address=BOTH[1], state="confirmed")
        await _confirmed(association)
        assert {path.local for path in association.paths} == set(BOTH)
        traffic = Traffic(count=50, streams=5)
        for number, address in enumerate(reversed(BOTH), 1):
            association.set_primary_path(address)
            await within(5, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
            await peer.got(traffic)
            assert association.peer == address, number


@pytest.mark.parametrize("role", ["client", "server"])
async def test_a_path_is_lost_while_data_flows(usrsctp: Usrsctp, role: str) -> None:
    first, second = Traffic(count=400, streams=10, sizes=(2000,)), Traffic(count=100, streams=10, sizes=(2000,))
    timers = {"heartbeat": 100, "rto_max": 500, "path_retrans": 1, "bind": ",".join(BOTH)}

    async def exercise(association: asyncsctp.Association, peer: Peer, relay: Relay) -> None:
        await peer.expect("path", address=BOTH[1], state="confirmed")
        await _confirmed(association)

        async def lose_it() -> None:
            await eventually(lambda: association.stats.messages_received > 20, "data flowed")
            relay.cut.add(BOTH[0])

        relay.delay = 0.005
        await within(15, "the echoes", asyncio.gather(first.send(association), first.read(association), lose_it()))
        await peer.got(first)
        # Data leaves the path after one time-out (RFC 7829 section 3.2), and is through before it is INACTIVE.
        lost = {BOTH[0]: PathState.INACTIVE, BOTH[1]: PathState.ACTIVE}
        await eventually(lambda: {path.address: path.state for path in association.paths} == lost, "it counts as lost")
        assert association.stats.t3_timeouts > 0
        await peer.expect("path", address=BOTH[0], state="unreachable")
        relay.restore()
        await peer.expect("path", address=BOTH[0], state="available")
        await _confirmed(association)
        await within(5, "the echoes", asyncio.gather(second.send(association), second.read(association)))
        await peer.got(second)

    if role == "client":
        async with (
            usrsctp.server(mode="echo", **timers) as peer,
            Relay(peer.udp_port, addresses=BOTH) as relay,
            asyncsctp.connect(
                BOTH[0], peer.port, udp_port=relay.port, local_addrs=BOTH, config=HEARTBEATS
            ) as association,
        ):
            await exercise(association, peer, relay)
    else:
        async with (
            asyncsctp.open_endpoint(local_addrs=BOTH, config=HEARTBEATS) as endpoint,
            Relay(endpoint.udp_port, addresses=BOTH) as relay,
            usrsctp.client(endpoint.port, relay.port, mode="echo", **timers) as peer,
        ):
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            await exercise(association, peer, relay)


@pytest.mark.parametrize("role", ["client", "server"])
async def test_the_udp_port_changes(usrsctp: Usrsctp, role: str) -> None:
    """RFC 6951 section 5.4: who sees packets come from another UDP port sends to that port from then on."""
    traffic = Traffic(count=50, streams=5)

    async def exercise(association: asyncsctp.Association, peer: Peer, relay: Relay) -> None:
        for _ in range(3):
            if role == "client":  # the client has to say something first
                await within(5, "our part", traffic.send(association))
                await peer.got(traffic)
            peer.tell(traffic.command)
            await within(5, "their part", traffic.read(association))
            if role == "server":
                assert association.paths[0].udp_port == relay.back_port
                await within(5, "our part", traffic.send(association))
                await peer.got(traffic)
            relay.rebind()

    if role == "client":
        async with (
            usrsctp.server() as peer,
            Relay(peer.udp_port) as relay,
            asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=QUICK) as association,
        ):
            await exercise(association, peer, relay)
    else:
        async with (
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=QUICK) as endpoint,
            Relay(endpoint.udp_port) as relay,
            usrsctp.client(endpoint.port, relay.port) as peer,
        ):
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            await exercise(association, peer, relay)
            peer.tell("shutdown")
            await peer.expect("down")


async def test_heartbeats(usrsctp: Usrsctp) -> None:
    """Ours are answered, those that a program asks for and those of the timer; and theirs are."""
    async with (
        usrsctp.server() as peer,
        Relay(peer.udp_port, delay=0.02) as relay,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=HEARTBEATS) as association,
    ):
        round_trip = await within(5, "the answer", association.heartbeat())
        assert 0.035 <= round_trip < 0.3
        assert association.paths[0].srtt == pytest.approx(round_trip, abs=0.3)
        sent = association.stats.heartbeats_sent
        await eventually(lambda: association.stats.heartbeat_acks_received >= sent + 2, "the timer sends some")
        acks = (await peer.status())["heartbeat_acks"]
        peer.tell("heartbeat 127.0.0.1")
        await peer.until(lambda status: status["heartbeat_acks"] > acks, "theirs is answered")


def _with_chunk(packet: bytes, chunk: bytes) -> bytes:
    """A packet with one more chunk at its end."""
    plain = packet[:8] + bytes(4) + packet[12:] + chunk
    return plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:]


@pytest.mark.parametrize(("kind", "reported"), [(0x3F, False), (0x7E, True), (0xBF, False), (0xFE, True)])
async def test_unknown_chunks(usrsctp: Usrsctp, kind: int, reported: bool) -> None:
    """RFC 9260 section 3.2: they are passed over, and reported if their type asks for it. Nothing else suffers."""
    chunk = bytes([kind, 0, 0, 8]) + b"what"
    traffic = Traffic(count=200, streams=5, sizes=(1, 1000, 1100))
    async with (
        usrsctp.server(mode="echo") as peer,
        Relay(peer.udp_port) as relay,
        asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=QUICK) as association,
    ):
        events = association.events()
        relay.change = lambda packet, _: _with_chunk(packet, chunk) if packet[12] == DATA else packet
        await within(10, "the echoes", asyncio.gather(traffic.send(association), traffic.read(association)))
        await peer.got(traffic)
        relay.change = None
        assert association.stats.unknown_chunks > 0
        assert association.state is asyncsctp.State.ESTABLISHED
        if reported:
            await peer.expect("error", cause=UNRECOGNIZED_CHUNK)
            error = await told(events, asyncsctp.PeerError)
            assert error.causes[0].code == UNRECOGNIZED_CHUNK
            assert error.causes[0].info[:8] == chunk
    if not reported:
        assert not [event async for event in events if isinstance(event, asyncsctp.PeerError)]
        assert not [event for event in peer.events if event.get("cause") == UNRECOGNIZED_CHUNK]
