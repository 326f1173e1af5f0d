"""What endpoints do for NATs (draft-ietf-tsvwg-natsupp), with usrsctp, which is the one other stack that has it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import asyncsctp

from .peers import QUICK, Traffic, Usrsctp, joined, within
from .relay import Relay
from .sniffer import chunks

INIT, INIT_ACK = 1, 2
DISABLE_RESTART = 0xC007
FRIENDLY = QUICK.replace(nat_support=True)
ROLES = pytest.mark.parametrize("role", ["client", "server"])
SOME = Traffic(count=20, streams=5, sizes=(10, 1000))


def _parameters(value: bytes) -> set[int]:
    found = set()
    at = 16
    while at + 4 <= len(value):
        found.add(int.from_bytes(value[at : at + 2]))
        length = int.from_bytes(value[at + 2 : at + 4])
        at += max(length, 4) + -length % 4
    return found


@ROLES
@pytest.mark.parametrize("theirs", [0, 1])
async def test_restarts_are_disabled(usrsctp: Usrsctp, role: str, theirs: int) -> None:
    """usrsctp says so in its INIT if it is told to, and in its INIT ACK if we have; we always do."""
    said: dict[int, set[int]] = {}

    def note(packet: bytes, to_server: bool) -> bytes:
        for chunk in chunks(packet, to_server):
            if chunk.kind in (INIT, INIT_ACK):
                said[chunk.kind] = _parameters(chunk.value)
        return packet

    async with AsyncExitStack() as stack:
        if role == "client":
            peer = await stack.enter_async_context(usrsctp.server(nat=theirs))
            relay = await stack.enter_async_context(Relay(peer.udp_port))
            relay.change = note
            connecting = asyncsctp.connect("127.0.0.1", peer.port, udp_port=relay.port, config=FRIENDLY)
            association = await stack.enter_async_context(connecting)
        else:
            endpoint = await stack.enter_async_context(
                asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=FRIENDLY)
            )
            relay = await stack.enter_async_context(Relay(endpoint.udp_port))
            relay.change = note
            peer = await stack.enter_async_context(usrsctp.client(endpoint.port, relay.port, nat=theirs))
            peer.tell("connect")
            association = await within(5, "the association", endpoint.accept())
        await peer.expect("up")
        SOME.write(association)
        await peer.got(SOME)
        both = role == "client" or bool(theirs)
        assert association.negotiated.nat_support == both
        assert (DISABLE_RESTART in said[INIT]) == both
        assert DISABLE_RESTART in said[INIT_ACK]
        await within(5, "the end", association.close())


async def test_two_behind_one_address(usrsctp: Usrsctp) -> None:
    """Two hosts that a NAT shows with one address and one port have an association each with us."""
    async with (
        asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=FRIENDLY) as endpoint,
        Relay(endpoint.udp_port) as relay,
        usrsctp.client(endpoint.port, relay.port, nat=1, mode="echo") as one,
        usrsctp.client(endpoint.port, endpoint.udp_port, nat=1, mode="echo") as other,
    ):
        associations = []
        for peer in (one, other):
            peer.tell("connect")
            associations.append(await within(2, "the association", endpoint.accept()))
            await peer.expect("up")
        assert len({association.peer_port for association in associations}) == 1
        for _ in range(2):
            for association, peer in zip(associations, (one, other), strict=True):
                await within(5, "the echoes", asyncio.gather(SOME.send(association), SOME.read(association)))
                await peer.got(SOME)
        assert not [event for event in one.events + other.events if event["event"] in ("restarted", "lost")]
        for association in associations:
            await within(5, "the end", association.close())


@ROLES
async def test_without(usrsctp: Usrsctp, role: str) -> None:
    """Where one side alone has it, it is as if nobody had."""
    async with joined(usrsctp, role, QUICK, nat=1) as joint:
        assert not joint.association.negotiated.nat_support
        SOME.write(joint.association)
        await joint.peer.got(SOME)
