"""Chunks that prove where they come from (RFC 4895), with usrsctp, which has SHA-1 alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from crc32c import crc32c
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import AuthKeyChanged

from .peers import QUICK, Joined, Traffic, Usrsctp, body, eventually, joined, told, within
from .relay import Relay
from .sniffer import ASCONF, ASCONF_ACK, AUTH, DATA, HEARTBEAT, HEARTBEAT_ACK, SACK, Sniffer, chunks

SHA_1 = 1
COOKIE_ECHO, FORWARD_TSN = 10, 0xC0
SECRETS = {1: b"the first secret", 2: b"another"}
THEIRS = ",".join(f"{key}:{secret.hex()}" for key, secret in SECRETS.items())
DEMANDING = QUICK.replace(auth=True, auth_chunks=frozenset({DATA}), auth_keys=SECRETS, auth_active_key=1)
OPTIONS: dict[str, Any] = {"auth": 1, "asconf": 0, "auth_chunks": "0", "auth_keys": THEIRS, "auth_active": 1}
ROLES = pytest.mark.parametrize("role", ["client", "server"])
SOME = Traffic(count=100, streams=5, sizes=(10, 1000, 5000))

# Both sides demand all that goes on while an association lives and moves, and have one key.
KEY = 7
BOTH = _, SECOND = ("127.0.0.1", "127.0.0.2")
MOBILE = {DATA, SACK, HEARTBEAT, HEARTBEAT_ACK, ASCONF, ASCONF_ACK}
GUARDED = DEMANDING.replace(
    auth_chunks=frozenset({DATA, SACK, HEARTBEAT, HEARTBEAT_ACK}),
    dynamic_addresses=True,
    auth_keys={KEY: b"the one"},
    auth_active_key=KEY,
)
GUARDED_OPTIONS: dict[str, Any] = {
    "auth": 1,
    "asconf": 1,
    "auth_chunks": "0,3,4,5",
    "auth_keys": f"{KEY}:{b'the one'.hex()}",
    "auth_active": KEY,
}


async def _exchange(joint: Joined, traffic: Traffic = SOME) -> None:
    """It flows both ways."""
    joint.peer.tell(traffic.command)
    both = asyncio.gather(traffic.send(joint.association), traffic.read(joint.association))
    await within(10, "messages both ways", both)
    await joint.peer.got(traffic)


async def _changes(events: AsyncIterator[asyncsctp.Event], key: int, what: str) -> None:
    while await told(events, AuthKeyChanged) != AuthKeyChanged(key, what):
        pass


@ROLES
async def test_data_is_authenticated(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, DEMANDING, **OPTIONS) as joint:
        association, peer, relay, ours = joint
        assert association.negotiated.auth
        sniffer = Sniffer(relay)
        await _exchange(joint)
        for to_server in (True, False):
            assert sniffer.authenticated(DATA, to_server=to_server)
        said = {chunk.value[:4] for chunk in sniffer.chunks if chunk.kind == AUTH}
        assert said == {(1).to_bytes(2) + SHA_1.to_bytes(2)}
        told_by_peer = await peer.authentication()
        assert told_by_peer["demanded"] == [DATA]
        assert told_by_peer["authenticated"] > 0
        assert told_by_peer["missing"] == told_by_peer["failed"] == 0
        assert association.stats.unauthenticated_chunks == association.stats.auth_failures == 0
        assert ours == (role == "client")


@ROLES
@pytest.mark.parametrize("demands", ["we", "they", "nobody"])
async def test_one_side_demands(usrsctp: Usrsctp, role: str, demands: str) -> None:
    config = DEMANDING if demands == "we" else DEMANDING.replace(auth_chunks=frozenset())
    options = {**OPTIONS, "auth_chunks": "0" if demands == "they" else ""}
    async with joined(usrsctp, role, config, **options) as joint:
        sniffer = Sniffer(joint.relay)
        await _exchange(joint)
        authenticated = {joint.ours: demands == "they", not joint.ours: demands == "we"}
        for to_server, expected in authenticated.items():
            assert (AUTH in sniffer.kinds(to_server=to_server)) == expected


@ROLES
async def test_all_that_can_be_demanded(usrsctp: Usrsctp, role: str) -> None:
    """COOKIE ECHO is authenticated before there is an association, and ends are as well."""
    every = frozenset({DATA, 3, 4, 5, 6, 7, 8, 9, COOKIE_ECHO, 11, FORWARD_TSN, 0x82})
    options = {**OPTIONS, "auth_chunks": "0,3,4,5,6,7,8,9,10,11,130,192"}
    async with joined(usrsctp, role, DEMANDING.replace(auth_chunks=every), heartbeat=50, **options) as joint:
        await _exchange(joint)
        await within(5, "the answer", joint.association.heartbeat())
        await within(5, "the reset", joint.association.reset_streams(outgoing=[1]))
        assert set((await joint.peer.authentication())["demanded"]) == every
        await within(5, "the end", joint.association.close())
        await joint.peer.expect("down")
        assert joint.association.stats.unauthenticated_chunks == joint.association.stats.auth_failures == 0


async def _all_of_it(joint: Joined) -> None:
    """Each side sends all that both demand, with the one key, and misses nothing."""
    association, peer, relay, _ = joint
    sniffer = Sniffer(relay)
    await _exchange(joint)
    await within(5, "the answer", association.heartbeat())
    before = (await peer.status())["heartbeat_acks"]
    peer.tell("heartbeat 127.0.0.1")
    await peer.until(lambda status: status["heartbeat_acks"] > before, "theirs is answered")
    await within(5, "the answer", association.add_local_address(SECOND))
    await peer.expect("path", address=SECOND, state="confirmed")
    await peer.add_address(SECOND)
    await eventually(lambda: len(association.paths) == 2, "it was added")
    for kind in MOBILE:
        assert all(sniffer.authenticated(kind, to_server=to_server) for to_server in (True, False)), hex(kind)
    assert {chunk.value[:4] for chunk in sniffer.chunks if chunk.kind == AUTH} == {KEY.to_bytes(2) + SHA_1.to_bytes(2)}
    assert association.stats.unauthenticated_chunks == association.stats.auth_failures == 0
    theirs = await peer.authentication()
    assert set(theirs["demanded"]) == MOBILE
    assert theirs["missing"] == theirs["failed"] == theirs["unknown_key"] == 0


@ROLES
async def test_all_of_an_association_that_moves(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, GUARDED, addresses=BOTH, **GUARDED_OPTIONS) as joint:
        await _all_of_it(joint)


@ROLES
async def test_of_what_lacks_its_auth_nothing_is_done(usrsctp: Usrsctp, role: str) -> None:
    """The first chunk of each kind comes without, in each direction: it is as good as lost, and comes again."""
    stripped: dict[tuple[int, bool], list[int]] = {}

    def strip(packet: bytes, to_server: bool) -> bytes:
        kind, *more = [chunk.kind for chunk in chunks(packet, to_server)]
        if kind != AUTH or (more[0], to_server) in stripped:
            return packet
        stripped[more[0], to_server] = more
        plain = packet[:8] + bytes(4) + packet[12 + 28 :]
        return plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:]

    config = GUARDED.replace(heartbeat_interval=0.1)
    async with joined(usrsctp, role, config, addresses=BOTH, **GUARDED_OPTIONS, heartbeat=100) as joint:
        association, peer, relay, ours = joint
        relay.change = strip
        await _exchange(joint)
        await eventually(lambda: association.stats.heartbeat_acks_received > 0, "ours is answered")
        await peer.until(lambda status: status["heartbeat_acks"] > 0, "theirs is answered")
        await within(5, "the answer", association.add_local_address(SECOND))
        await peer.add_address(SECOND)
        assert set(stripped) == {(kind, to_server) for kind in MOBILE for to_server in (True, False)}
        came, went = ([stripped[kind, to_server] for kind in MOBILE] for to_server in (not ours, ours))
        assert association.stats.unauthenticated_chunks == sum(map(len, came))
        assert (await peer.authentication())["missing"] == sum(len(set(kinds)) for kinds in went)  # DATA counts once


@pytest.mark.parametrize("also", [frozenset(), frozenset({COOKIE_ECHO})], ids=["", "cookies"])
async def test_they_restart(usrsctp: Usrsctp, also: frozenset[int]) -> None:
    """With the same key. Where cookies have to be authenticated the restart procedure does not work (section 6.3)."""
    config = GUARDED.replace(auth_chunks=GUARDED.auth_chunks | also)
    ports = {"port": 6002, "udp_port": free_udp_port()}
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=config) as endpoint,
        Relay(endpoint.udp_port, addresses=BOTH) as relay,
    ):
        async with usrsctp.client(endpoint.port, relay.port, **ports, **GUARDED_OPTIONS) as peer:
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
            await peer.expect("up")
            await _exchange(Joined(association, peer, relay, False))
        async with usrsctp.client(endpoint.port, relay.port, **ports, **GUARDED_OPTIONS) as peer:
            peer.tell("connect")
            if also:
                await eventually(lambda: endpoint.stats.cookies_rejected > 1, "it tries in vain")
                assert (association.state, association.stats.restarts) == (asyncsctp.State.ESTABLISHED, 0)
            else:
                await peer.expect("up")
                assert endpoint.associations == [association]
                assert association.stats.restarts == 1
                await _all_of_it(Joined(association, peer, relay, False))
            association.abort()


@ROLES
async def test_the_empty_key(usrsctp: Usrsctp, role: str) -> None:
    config = DEMANDING.replace(auth_keys={}, auth_active_key=0)
    async with joined(usrsctp, role, config, auth=1, asconf=0, auth_chunks="0") as joint:
        await _exchange(joint)
        assert (await joint.peer.authentication())["authenticated"] > 0


@ROLES
async def test_the_empty_key_is_none_of_several(usrsctp: Usrsctp, role: str) -> None:
    """Who has a secret takes nothing that was made without one."""
    async with joined(usrsctp, role, DEMANDING, **{**OPTIONS, "auth_active": 0}) as joint:
        association, peer, *_ = joint
        peer.tell(SOME.command)
        await peer.until(lambda status: status["t3_timeouts"] > 0, "it retransmits in vain")
        assert association.stats.auth_failures > 0
        assert not association.stats.messages_received
        association.abort()
        await peer.expect("lost")


@ROLES
async def test_another_secret(usrsctp: Usrsctp, role: str) -> None:
    """Nothing passes until both have the same. usrsctp can't send again with a new key what it has sent with an old."""
    options = {**OPTIONS, "auth_keys": f"1:{b'wrong'.hex()}"}
    async with joined(usrsctp, role, DEMANDING, **options) as joint:
        association, peer, *_ = joint
        SOME.write(association)
        await eventually(lambda: association.stats.t3_timeouts > 0, "we retransmit in vain")
        assert association.state is asyncsctp.State.ESTABLISHED
        assert (await peer.authentication())["failed"] > 0
        assert not peer.arrivals
        association.set_auth_key(9, b"the same")
        await peer.ask(f"auth-key 9 {b'the same'.hex()}")
        association.activate_auth_key(9)
        await peer.ask("auth-activate 9")
        await peer.got(SOME)
        await _exchange(joint)


@ROLES
async def test_keys_roll_over_while_data_flows(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, DEMANDING, **OPTIONS) as joint:
        association, peer, relay, _ = joint
        events = association.events()
        relay.delay = 0.002
        flow = Traffic(count=600, streams=5, sizes=(100, 3000))
        flowing = asyncio.ensure_future(_exchange(joint, flow))
        await eventually(lambda: association.stats.messages_received > 20, "data flows")
        association.set_auth_key(3, b"the third")
        await peer.ask(f"auth-key 3 {b'the third'.hex()}")
        association.activate_auth_key(3)
        await peer.expect("auth", key=3, what="new")
        await peer.ask("auth-activate 3")
        await _changes(events, 3, "new")
        association.deactivate_auth_key(1)
        await _changes(events, 1, "free")
        await within(10, "all that was written", flowing)
        association.delete_auth_key(1)
        await peer.ask("auth-deactivate 1")
        await peer.expect("auth", key=1, what="free")
        await peer.ask("auth-delete 1")
        await _exchange(joint)
        assert association.stats.auth_failures == 0
        assert (await peer.authentication())["failed"] == 0


@ROLES
async def test_a_key_for_a_message(usrsctp: Usrsctp, role: str) -> None:
    """usrsctp takes messages with a key of their own; it can't send such."""
    async with joined(usrsctp, role, DEMANDING, **OPTIONS) as joint:
        association, peer, relay, _ = joint
        sniffer = Sniffer(relay)
        for n, stream, size, *_ in SOME:
            association.write(body(n, size), stream=stream, ppid=n, auth_key=1 + n % 2)
        await peer.expect("auth", key=2, what="new")
        await within(5, "the acknowledgement", association.flush())
        await peer.got(SOME)
        assert {chunk.value[:2] for chunk in sniffer.chunks if chunk.kind == AUTH} == {b"\0\1", b"\0\2"}


@ROLES
async def test_packets_get_lost(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, DEMANDING, **OPTIONS) as joint:
        joint.relay.loss = 0.05
        await _exchange(joint, Traffic(count=300, streams=5, sizes=(10, 1000, 5000)))
        assert joint.relay.lost


@ROLES
async def test_what_was_tampered_with(usrsctp: Usrsctp, role: str) -> None:
    """DATA without its AUTH, and with a byte changed, is as good as lost."""
    seen = 0

    def tamper(packet: bytes, _: bool) -> bytes:
        nonlocal seen
        if packet[12] != AUTH or DATA not in packet[12 + 28 : 12 + 29]:
            return packet
        seen += 1
        if seen % 5 == 0:
            plain = packet[:8] + bytes(4) + packet[12 + 28 :]
        elif seen % 5 == 1:
            plain = packet[:8] + bytes(4) + packet[12:-4] + bytes([packet[-4] ^ 1]) + packet[-3:]
        else:
            return packet
        return plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:]

    async with joined(usrsctp, role, DEMANDING, **OPTIONS) as joint:
        joint.relay.change = tamper
        await _exchange(joint, Traffic(count=30, streams=3, sizes=(1000,)))
        joint.relay.change = None
        stats = joint.association.stats
        assert min(stats.unauthenticated_chunks, stats.auth_failures) > 0
        theirs = await joint.peer.authentication()
        assert min(theirs["missing"], theirs["failed"]) > 0


async def test_they_do_not_offer_it(usrsctp: Usrsctp) -> None:
    """What is demanded is not done without."""
    async with usrsctp.server(auth=0, asconf=0) as peer:
        connecting = asyncsctp.connect("127.0.0.1", peer.port, udp_port=peer.udp_port, config=DEMANDING)
        with pytest.raises(asyncsctp.SCTPError):
            await within(5, "the refusal", connecting)
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=DEMANDING) as endpoint,
        usrsctp.client(endpoint.port, endpoint.udp_port, auth=0, asconf=0) as peer,
    ):
        peer.tell("connect")
        await peer.expect("refused")


@ROLES
async def test_adaptation(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, QUICK.replace(adaptation_indication=0xDEADBEEF), adaptation=77) as joint:
        await joint.peer.expect("adaptation", value=0xDEADBEEF)
