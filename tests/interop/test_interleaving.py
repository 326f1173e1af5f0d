"""Messages that interleave with those of other streams (RFC 8260), to and from usrsctp."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncsctp import schedulers

from .peers import QUICK, Traffic, Usrsctp, joined, marks, read_until, within
from .sniffer import DATA, I_DATA, Sniffer, most_at_a_time

MIB = 1 << 20
INTERLEAVING = QUICK.replace(interleaving=True, recv_buffer=8 * MIB, send_buffer=8 * MIB)
ROOM: dict[str, Any] = {"idata": 1, "rcvbuf": 8 * MIB}  # for all unfinished messages, see test_peer_itself.py
ROLES = pytest.mark.parametrize("role", ["client", "server"])


@ROLES
async def test_three_at_once(usrsctp: Usrsctp, role: str) -> None:
    """Three messages of 1 MiB, both ways at once."""
    traffic = Traffic(count=3, streams=3, sizes=(MIB,))
    config = INTERLEAVING.replace(scheduler=schedulers.RoundRobin)
    async with joined(usrsctp, role, config, **ROOM, delivery_point=8192) as (association, peer, relay, _):
        assert association.negotiated.interleaving
        sniffer = Sniffer(relay)
        peer.tell(traffic.command)
        traffic.write(association)
        await within(20, "the messages", asyncio.gather(traffic.read(association), peer.got(traffic, 20)))
        for to_server in (False, True):
            assert sniffer.kinds(to_server=to_server) & {DATA, I_DATA} == {I_DATA}
            assert most_at_a_time(sniffer.fragments(to_server=to_server)) == 3
        assert all(peer.details[n]["interleaved"] for n in range(3))


@ROLES
async def test_a_small_message_overtakes_a_large_one(usrsctp: Usrsctp, role: str) -> None:
    traffic = Traffic(count=2, streams=2, sizes=(MIB, 10))
    last = marks(2)
    config = INTERLEAVING.replace(scheduler=schedulers.RoundRobin)
    async with joined(usrsctp, role, config, **ROOM) as (association, peer, relay, _):
        relay.delay = 0.005
        traffic.write(association)
        last.write(association)
        there = await peer.got_until(last)
        peer.tell(traffic.command)
        await peer.expect("sent")  # each command has a thread of its own there
        peer.tell(last.command)
        here = await within(10, "the messages", read_until(association, last))
        for got in (there, here):
            traffic.check(got)
            assert [message.n for message in got] == [1, 0]


@ROLES
@pytest.mark.parametrize("order", ["o", "u", "m"])
async def test_a_bad_network(usrsctp: Usrsctp, role: str, order: str) -> None:
    """Fragments of many messages get lost and are late, ordered and unordered, both ways at once."""
    traffic = Traffic(count=400, streams=20, sizes=(1, 100, 1500, 3000, 20000), order=order)
    config = INTERLEAVING.replace(scheduler=schedulers.RoundRobin)
    async with joined(usrsctp, role, config, **ROOM, delivery_point=4096) as (association, peer, relay, _):
        sniffer = Sniffer(relay)
        relay.loss, relay.reorder = 0.02, 0.05
        peer.tell(traffic.command)
        sending = traffic.send(association)
        await within(20, "the messages", asyncio.gather(sending, traffic.read(association), peer.got(traffic, 20)))
        assert relay.lost
        for to_server in (False, True):
            assert most_at_a_time(sniffer.fragments(to_server=to_server)) > 1
        assert association.stats.unknown_chunks == association.stats.malformed_packets == 0


@ROLES
@pytest.mark.parametrize("who", ["we", "they"])
async def test_one_side_does_not_offer_it(usrsctp: Usrsctp, role: str, who: str) -> None:
    """Then all is DATA, and one message ends before the next begins."""
    traffic = Traffic(count=3, streams=3, sizes=(MIB,))
    config = INTERLEAVING.replace(interleaving=who == "they")
    async with joined(usrsctp, role, config, idata=int(who == "we"), delivery_point=8192) as joint:
        association, peer, relay, _ = joint
        assert not association.negotiated.interleaving
        sniffer = Sniffer(relay)
        peer.tell(traffic.command)
        traffic.write(association)
        await within(20, "the messages", asyncio.gather(traffic.read(association), peer.got(traffic, 20)))
        for to_server in (False, True):
            assert sniffer.kinds(to_server=to_server) & {DATA, I_DATA} == {DATA}
            assert most_at_a_time(sniffer.fragments(to_server=to_server)) == 1
