"""Addresses that come and go (RFC 5061), asked for by us and by usrsctp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import asyncsctp
from asyncsctp import AsconfError, PathState, PeerAddressChanged

from .peers import QUICK, Joined, Traffic, Usrsctp, eventually, joined, told, within
from .sniffer import ASCONF, ASCONF_ACK, AUTH, Sniffer

FIRST, SECOND, THIRD = ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SECRET = b"a secret"
DYNAMIC = QUICK.replace(dynamic_addresses=True, auth_keys={1: SECRET}, auth_active_key=1, rto_max=0.5)
OPTIONS = {"auth": 1, "asconf": 1, "auth_keys": f"1:{SECRET.hex()}", "auth_active": 1, "rto_max": 500}
ROLES = pytest.mark.parametrize("role", ["client", "server"])
SOME = Traffic(count=20, streams=5, sizes=(10, 1000))
FLOW = Traffic(count=800, streams=10, sizes=(2000,))


@asynccontextmanager
async def _dynamic(usrsctp: Usrsctp, role: str, **options: Any) -> AsyncIterator[Joined]:
    """An association over the first address at both ends, whose addresses can change.

    usrsctp gives an address up when it asks for that, not when it has the answer (RFC 5061 section 5.3 F4). What comes
    there in between is out of the blue to it. In a network that the address has left its ABORT would not be.
    """
    async with joined(usrsctp, role, DYNAMIC, addresses=ADDRESSES, **{**OPTIONS, **options}) as joint:
        assert joint.association.negotiated.dynamic_addresses
        joint.relay.reflects = False
        await _exchange(joint)
        yield joint


async def _exchange(joint: Joined, traffic: Traffic = SOME) -> None:
    """It flows both ways."""
    joint.peer.tell(traffic.command)
    both = asyncio.gather(traffic.send(joint.association), traffic.read(joint.association))
    await within(20, "messages both ways", both)
    await joint.peer.got(traffic)


async def _changes(events: AsyncIterator[asyncsctp.Event], address: str, state: str) -> None:
    while await told(events, PeerAddressChanged) != PeerAddressChanged(address, state):
        pass


async def _while_data_flows(joint: Joined, changes: Coroutine[Any, Any, None]) -> None:
    flowing = asyncio.ensure_future(_exchange(joint, FLOW))
    joint.relay.delay = 0.002
    await eventually(lambda: joint.association.stats.messages_received > 20, "data flows")
    await changes
    assert not flowing.done(), "it was done before"
    joint.relay.delay = 0.0
    await flowing


async def _we_move(joint: Joined) -> None:
    association, peer, *_ = joint
    await within(5, "the answer", association.add_local_address(SECOND))
    await peer.expect("path", address=SECOND, state="added")
    await peer.expect("path", address=SECOND, state="confirmed")
    await within(5, "the answer", association.request_peer_primary(SECOND))
    await peer.expect("path", address=SECOND, state="primary")
    await within(5, "the answer", association.remove_local_address(FIRST))
    await peer.expect("path", address=FIRST, state="removed")
    assert (await peer.addresses())["peer"] == [SECOND]
    assert (await peer.status())["primary"] == SECOND


async def _they_move(joint: Joined) -> None:
    association, peer, *_ = joint
    events = association.events()
    await peer.add_address(SECOND)
    await _changes(events, SECOND, "added")
    await _changes(events, SECOND, "confirmed")
    await peer.ask(f"set-peer-primary {SECOND}")
    await _changes(events, SECOND, "primary")
    assert association.peer == SECOND
    await peer.remove_address(FIRST)
    await _changes(events, FIRST, "removed")
    assert [path.address for path in association.paths] == [SECOND]


@ROLES
async def test_we_move(usrsctp: Usrsctp, role: str) -> None:
    async with _dynamic(usrsctp, role) as joint:
        sniffer = Sniffer(joint.relay)
        await _we_move(joint)
        await _exchange(joint)
        assert sniffer.kinds(to_server=joint.ours) >= {AUTH, ASCONF}
        assert sniffer.kinds(to_server=not joint.ours) >= {AUTH, ASCONF_ACK}


@ROLES
async def test_they_move(usrsctp: Usrsctp, role: str) -> None:
    async with _dynamic(usrsctp, role) as joint:
        await _they_move(joint)
        await _exchange(joint)
        joint.association.abort()  # it could crash on a SHUTDOWN


@ROLES
async def test_we_move_while_data_flows(usrsctp: Usrsctp, role: str) -> None:
    async with _dynamic(usrsctp, role) as joint:
        await _while_data_flows(joint, _we_move(joint))


@ROLES
async def test_they_move_while_data_flows(usrsctp: Usrsctp, role: str) -> None:
    async with _dynamic(usrsctp, role) as joint:
        await _while_data_flows(joint, _they_move(joint))
        joint.association.abort()


@ROLES
async def test_both_add_at_once(usrsctp: Usrsctp, role: str) -> None:
    """The requests cross."""
    async with _dynamic(usrsctp, role) as joint:
        association, peer, relay, _ = joint
        relay.delay = 0.02
        ours = [asyncio.ensure_future(association.add_local_address(address)) for address in (SECOND, THIRD)]
        for address in (SECOND, THIRD):
            await peer.ask(f"add-address {address}")
        await within(5, "the answers", asyncio.gather(*ours))
        await peer.until_addresses(
            lambda told: set(told["local"]) == set(told["peer"]) == set(ADDRESSES), "all addresses are known"
        )
        relay.delay = 0.0
        await eventually(
            lambda: [path.state for path in association.paths] == [PathState.ACTIVE] * 3, "all paths are confirmed"
        )
        await _exchange(joint)


@ROLES
@pytest.mark.parametrize("lost", [ASCONF, ASCONF_ACK])
async def test_requests_and_answers_get_lost(usrsctp: Usrsctp, role: str, lost: int) -> None:
    """They are sent again, and answered again."""
    count = 0

    def lose_one(packet: bytes, _: bool) -> bytes | None:
        nonlocal count
        if packet[12] == AUTH and packet[12 + 28] == lost:
            count += 1
            if count == 1:
                return None
        return packet

    async with _dynamic(usrsctp, role) as joint:
        for asking in (
            joint.association.add_local_address(SECOND),
            joint.peer.add_address(SECOND),
        ):
            count = 0
            joint.relay.change = lose_one
            await within(5, "the answer", asking)
            assert count > 1
        assert len(joint.association.paths) == 2
        await _exchange(joint)


@ROLES
async def test_we_choose(usrsctp: Usrsctp, role: str) -> None:
    """Where to send to is for each side to say as well."""
    async with _dynamic(usrsctp, role) as joint:
        association, peer, *_ = joint
        events = association.events()
        await peer.add_address(SECOND)
        await _changes(events, SECOND, "confirmed")
        await within(5, "the answer", association.add_local_address(SECOND))
        await peer.expect("path", address=SECOND, state="confirmed")
        association.set_primary_path(SECOND)
        await peer.ask(f"set-primary {SECOND}")
        await _exchange(joint)
        assert (association.peer, (await peer.status())["primary"]) == (SECOND, SECOND)


@ROLES
async def test_the_first_path_is_cut(usrsctp: Usrsctp, role: str) -> None:
    """What was added carries on, and requests go over it as well."""

    async def cut(joint: Joined) -> None:
        joint.relay.cut.add(FIRST)
        await eventually(
            lambda: {path.address: path.state for path in joint.association.paths}[FIRST] is not PathState.ACTIVE,
            "the path is given up",
        )
        await within(5, "the answer", joint.association.remove_local_address(FIRST))

    async with _dynamic(usrsctp, role, path_retrans=1, heartbeat=100) as joint:
        association, peer, *_ = joint
        association.configure(path_max_retrans=1)
        events = association.events()
        await peer.add_address(SECOND)
        await _changes(events, SECOND, "confirmed")
        await within(5, "the answer", association.add_local_address(SECOND))
        await peer.expect("path", address=SECOND, state="confirmed")
        await _while_data_flows(joint, cut(joint))
        await peer.expect("path", address=FIRST, state="removed")


@ROLES
async def test_the_last_address(usrsctp: Usrsctp, role: str) -> None:
    async with _dynamic(usrsctp, role) as joint:
        with pytest.raises(ValueError, match=r"last|only"):
            await joint.association.remove_local_address(FIRST)
        joint.peer.tell(f"remove-address {FIRST}")
        await joint.peer.expect("asked", reason="Invalid argument")
        await _exchange(joint)


@ROLES
async def test_they_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, DYNAMIC, addresses=ADDRESSES, **{**OPTIONS, "asconf": 0}) as joint:
        assert not joint.association.negotiated.dynamic_addresses
        with pytest.raises(AsconfError):
            await joint.association.add_local_address(SECOND)
        await _exchange(joint)


@ROLES
async def test_we_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    """usrsctp takes the address for itself all the same, and keeps it from the association."""
    async with joined(usrsctp, role, QUICK, addresses=ADDRESSES, **OPTIONS) as joint:
        await joint.peer.ask(f"add-address {SECOND}")
        assert (await joint.peer.addresses())["local"] == [FIRST]
        await _exchange(joint)
