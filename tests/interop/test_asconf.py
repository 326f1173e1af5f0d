"""Addresses that come and go (RFC 5061), asked for by us and by usrsctp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import AsconfError, PathState, PeerAddressChanged

from .peers import QUICK, Joined, Traffic, Usrsctp, eventually, joined, told, within
from .sniffer import ASCONF, ASCONF_ACK, AUTH, Sniffer

FIRST, SECOND, THIRD = ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SECRET = b"a secret"
DYNAMIC = QUICK.replace(dynamic_addresses=True, auth_keys={1: SECRET}, auth_active_key=1, rto_max=0.5)
OPTIONS: dict[str, Any] = {"auth": 1, "asconf": 1, "auth_keys": f"1:{SECRET.hex()}", "auth_active": 1, "rto_max": 500}
V4, V6 = "127.0.0.1", "::1"  # a network each: nothing goes from an address of one to one of the other
DIRECTIONS = pytest.mark.parametrize(("first", "second"), [(V4, V6), (V6, V4)], ids=["to-ipv6", "to-ipv4"])
ROLES = pytest.mark.parametrize("role", ["client", "server"])
SOME = Traffic(count=20, streams=5, sizes=(10, 1000))
FLOW = Traffic(count=800, streams=10, sizes=(2000,))


@asynccontextmanager
async def _dynamic(usrsctp: Usrsctp, role: str, **options: Any) -> AsyncIterator[Joined]:
    """An association over the first address at both ends, whose addresses can change.

    usrsctp gives an address up when it asks for that, not when it has the answer (RFC 5061 section 5.3 F4). What comes
    there in between is out of the blue to it. In a network that the address has left its ABORT would not be.
    """
    async with joined(usrsctp, role, DYNAMIC, **{"addresses": ADDRESSES, **OPTIONS, **options}) as joint:
        assert joint.association.negotiated.dynamic_addresses
        joint.relay.reflects = False
        await _exchange(joint)
        yield joint


@asynccontextmanager
async def _over(usrsctp: Usrsctp, role: str, first: str, second: str, **options: Any) -> AsyncIterator[Joined]:
    """The same over the first of these addresses, to which the second can be added."""
    try:
        free_udp_port(first, second)
    except OSError:
        if os.environ.get("ASYNCSCTP_REQUIRE_INTEROP") == "1":
            raise
        pytest.skip(f"{first} and {second} can't be used here")
    options |= {"addresses": (first, second), "ours": (first,), "bind": first, "inet6": int(V6 in (first, second))}
    async with _dynamic(usrsctp, role, **options) as joint:
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
    """One exchange follows the other, until the changes are done."""

    async def change() -> None:
        await _flows(joint, 20)
        await changes

    async def flow() -> None:
        while not changing.done():
            await _exchange(joint, FLOW)

    joint.relay.delay = 0.002
    changing = asyncio.ensure_future(change())
    await asyncio.gather(changing, flow())
    joint.relay.delay = 0.0


async def _flows(joint: Joined, count: int) -> None:
    last = joint.association.stats.messages_received + count
    await eventually(lambda: joint.association.stats.messages_received >= last, f"{count} messages more")


async def _both_add(joint: Joined, address: str) -> None:
    """From then on there is a path between theirs and ours."""
    association, peer, *_ = joint
    events = association.events()
    await peer.add_address(address)
    await _changes(events, address, "added")
    await within(5, "the answer", association.add_local_address(address))
    await peer.expect("path", address=address, state="confirmed")
    await _changes(events, address, "confirmed")


async def _we_leave(joint: Joined, old: str, new: str) -> None:
    association, peer, *_ = joint
    await within(5, "the answer", association.request_peer_primary(new))
    await peer.expect("path", address=new, state="primary")
    await within(5, "the answer", association.remove_local_address(old))
    await peer.expect("path", address=old, state="removed")
    assert (await peer.addresses())["peer"] == [new]
    assert (await peer.status())["primary"] == new


async def _they_leave(joint: Joined, old: str, new: str) -> None:
    association, peer, *_ = joint
    events = association.events()
    await peer.ask(f"set-peer-primary {new}")
    await _changes(events, new, "primary")
    assert association.peer == new
    await peer.remove_address(old)
    await _changes(events, old, "removed")
    assert [path.address for path in association.paths] == [new]


async def _we_move(joint: Joined) -> None:
    association, peer, *_ = joint
    await within(5, "the answer", association.add_local_address(SECOND))
    await peer.expect("path", address=SECOND, state="added")
    await peer.expect("path", address=SECOND, state="confirmed")
    await _we_leave(joint, FIRST, SECOND)


async def _they_move(joint: Joined) -> None:
    association, peer, *_ = joint
    events = association.events()
    await peer.add_address(SECOND)
    await _changes(events, SECOND, "added")
    await _changes(events, SECOND, "confirmed")
    await _they_leave(joint, FIRST, SECOND)


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
        for asking in (joint.association.add_local_address(SECOND), joint.peer.add_address(SECOND)):
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
@pytest.mark.parametrize(("first", "second"), [(FIRST, SECOND), (V4, V6), (V6, V4)])
async def test_the_first_path_is_cut(usrsctp: Usrsctp, role: str, first: str, second: str) -> None:
    """What was added carries on, and requests go over it as well."""

    async def cut(joint: Joined) -> None:
        joint.relay.cut.add(first)
        await eventually(
            lambda: {path.address: path.state for path in joint.association.paths}[first] is not PathState.ACTIVE,
            "the path is given up",
        )
        await within(5, "the answer", joint.association.remove_local_address(first))

    async with _over(usrsctp, role, first, second, path_retrans=1, heartbeat=100) as joint:
        joint.association.configure(path_max_retrans=1)
        await _both_add(joint, second)
        await _while_data_flows(joint, cut(joint))
        await joint.peer.expect("path", address=first, state="removed")


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


@ROLES
@DIRECTIONS
@pytest.mark.parametrize("leave", [_we_leave, _they_leave], ids=["we", "they"])
async def test_one_side_gives_a_family_up(
    usrsctp: Usrsctp, role: str, first: str, second: str, leave: Callable[[Joined, str, str], Coroutine[Any, Any, None]]
) -> None:
    """The other one still has an address of it, which can't be reached any more: neither sends there."""
    async with _over(usrsctp, role, first, second) as joint:
        await _both_add(joint, second)
        await leave(joint, first, second)
        await _exchange(joint)
        joint.association.abort()


@ROLES
@DIRECTIONS
async def test_to_the_other_family_while_data_flows(usrsctp: Usrsctp, role: str, first: str, second: str) -> None:
    async def move(joint: Joined) -> None:
        await _both_add(joint, second)
        await _we_leave(joint, first, second)
        await _they_leave(joint, first, second)
        joint.relay.cut.add(first)
        await _flows(joint, FLOW.count + 20)  # so long that one exchange has ended, and another begun

    async with _over(usrsctp, role, first, second) as joint:
        await _while_data_flows(joint, move(joint))
        joint.association.abort()


@ROLES
@DIRECTIONS
async def test_the_other_family_comes_and_goes_while_data_flows(
    usrsctp: Usrsctp, role: str, first: str, second: str
) -> None:
    async def come_and_go(joint: Joined) -> None:
        association, peer, relay, _ = joint
        for _ in range(2):
            await _both_add(joint, second)
            await within(5, "the answer", association.request_peer_primary(second))
            await peer.ask(f"set-peer-primary {second}")
            await eventually(lambda: association.peer == second, "it is primary")
            relay.cut.add(first)
            await _flows(joint, FLOW.count + 20)
            relay.restore()
            await _we_leave(joint, second, first)
            await _they_leave(joint, second, first)
            relay.cut.add(second)
            await _flows(joint, FLOW.count + 20)
            relay.restore()

    async with _over(usrsctp, role, first, second) as joint:
        await _while_data_flows(joint, come_and_go(joint))
        joint.association.abort()


@ROLES
@DIRECTIONS
async def test_the_other_family_is_chosen(usrsctp: Usrsctp, role: str, first: str, second: str) -> None:
    async with _over(usrsctp, role, first, second) as joint:
        association, peer, relay, _ = joint
        await _both_add(joint, second)
        association.set_primary_path(second)
        await peer.ask(f"set-primary {second}")
        relay.cut.add(first)
        await _exchange(joint)
        assert not association.stats.t3_timeouts
        assert not (await peer.status())["t3_timeouts"]
        relay.restore()
