"""usrsctp with usrsctp: what the peer of the other tests does with partial reliability, I-DATA and RE-CONFIG."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crc32c import crc32c

from .peers import Peer, Traffic, Usrsctp, eventually, marks, pair
from .sniffer import DATA, FORWARD_TSN, I_DATA, I_FORWARD_TSN, Sniffer, most_at_a_time

STREAMS = 4
LOSSY = Traffic(count=300, streams=STREAMS, sizes=(100, 1000, 3000), order="m")
# Where messages interleave usrsctp 0.9.5 abandons whatever fragments follow in its queue, of any message. And as a
# receiver it takes the MIDs of unordered messages in an I-FORWARD-TSN for ordered ones, and aborts when such come.
IN_ONE_CHUNK = {"o": replace(LOSSY, sizes=(100, 1000), order="o"), "u": replace(LOSSY, sizes=(100, 1000), order="u")}
REQUESTED = 0x0123  # a stream, to be found in a packet


# Nothing of ours runs here but the relay.
pytestmark = pytest.mark.parametrize("loop_factory", ["asyncio"], indirect=True)


@pytest.mark.parametrize(
    ("traffic", "idata"),
    [
        pytest.param(LOSSY, 0, id="reliable"),
        pytest.param(replace(LOSSY, lifetime=0.03), 0, id="timed"),
        pytest.param(replace(LOSSY, max_retransmits=0), 0, id="limited"),
        pytest.param(replace(IN_ONE_CHUNK["o"], lifetime=0.03), 1, id="timed-idata-ordered"),
        pytest.param(replace(IN_ONE_CHUNK["u"], max_retransmits=0), 1, id="limited-idata-unordered"),
    ],
)
async def test_policies(usrsctp: Usrsctp, traffic: Traffic, idata: int) -> None:
    """What is lost is abandoned. Nothing is abandoned unsent, however long it has waited."""
    last = marks(STREAMS, "u" if traffic.order == "u" else "o")
    async with pair(usrsctp, {}, idata=idata) as (client, server, relay):
        sniffer = Sniffer(relay)
        relay.loss, relay.delay = 0.05, 0.01
        client.tell(traffic.command)
        await client.settled()
        relay.loss = relay.delay = 0.0
        client.tell(last.command)
        missing = traffic.check_some(await server.got_until(last))
        seen = sniffer.kinds(to_server=True)
        status = await client.status()
    assert seen & {DATA, I_DATA} == {I_DATA if idata else DATA}
    assert missing <= client.undelivered
    assert status["abandoned_unsent"] == 0
    if "lifetime" in traffic.options or "max_retransmits" in traffic.options:
        assert missing
        assert status["abandoned_sent"] >= len(missing)
        assert seen & {FORWARD_TSN, I_FORWARD_TSN} == {I_FORWARD_TSN if idata else FORWARD_TSN}
    else:
        assert not client.undelivered


async def test_priorities(usrsctp: Usrsctp) -> None:
    """It takes the priority policy and never acts on it: what is important waits for room like the rest."""
    less = Traffic(count=60, streams=STREAMS, priority=9)
    more = Traffic(count=60, streams=STREAMS, first=1000, priority=1)
    async with pair(usrsctp, {}, sndbuf=70_000) as (client, server, relay):
        relay.cut_off()
        client.tell(less.command)
        await client.expect("sent")
        client.tell(more.command)
        await client.until(lambda status: status["t3_timeouts"] > 0, "it had to retransmit")
        relay.restore()
        await client.settled()
        client.tell(marks(STREAMS).command)
        got = await server.got_until(marks(STREAMS))
    less.check(message for message in got if message.n < 1000)
    more.check(message for message in got if message.n >= 1000)
    assert not client.undelivered


async def test_partial_reliability_off(usrsctp: Usrsctp) -> None:
    """Where the peer does not offer it, policies are accepted and without effect."""
    traffic = replace(LOSSY, count=100, max_retransmits=0)
    async with pair(usrsctp, {"pr": 0}) as (client, server, relay):
        relay.loss = 0.05
        client.tell(traffic.command)
        await server.got(traffic)
        assert relay.lost
        assert not client.undelivered


async def test_what_waits_before_an_abandoned_message_is_lost(usrsctp: Usrsctp) -> None:
    """3 and 4 have arrived and wait for 2. A FORWARD TSN that skips 2 and 5 in one go has usrsctp throw them away.

    Nobody sends such a one that abides by RFC 3758 section 3.5 C2: 3 and 4 are not abandoned.
    """
    traffic = Traffic(count=10, sizes=(1100,))  # each in a packet of its own
    tsns: dict[int, bytes] = {}
    lost, skip = True, False

    def change(packet: bytes, to_server: bool) -> bytes | None:
        nonlocal skip
        if not to_server or packet[12] != DATA:
            return packet
        ssn = packet[12 + 11]
        tsns[ssn] = packet[16:20]
        if lost:
            return None if ssn in (2, 5) else packet
        if not skip:
            return packet
        skip = False
        plain = packet[:8] + bytes(4) + bytes([FORWARD_TSN, 0, 0, 12]) + tsns[5] + bytes([0, 0, 0, 5])
        return plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:]

    async with pair(usrsctp, {}) as (client, server, relay):
        relay.change = change
        client.tell(traffic.command)
        await eventually(lambda: len(tsns) == traffic.count, "all were sent")
        lost, skip = False, True
        await client.settled()
        client.tell(marks(1).command)
        assert traffic.check_some(await server.got_until(marks(1))) == {2, 3, 4, 5}


async def test_interleaving(usrsctp: Usrsctp) -> None:
    """There is room for all messages: its reader can get stuck when a window full of unfinished ones has a gap."""
    traffic = Traffic(count=3, streams=3, sizes=(1 << 20,))
    async with pair(usrsctp, {}, idata=1, delivery_point=8192, rcvbuf=8 << 20) as (client, server, relay):
        sniffer = Sniffer(relay)
        for peer in (client, server):
            peer.tell(traffic.command)
        for peer in (client, server):
            await peer.got(traffic)
        for to_server in (False, True):
            assert sniffer.kinds(to_server=to_server) & {DATA, I_DATA} == {I_DATA}
            assert most_at_a_time(sniffer.fragments(to_server=to_server)) == 3
        assert all(server.details[n]["interleaved"] for n in range(3))


async def test_interleaving_off(usrsctp: Usrsctp) -> None:
    traffic = Traffic(count=3, streams=3, sizes=(1 << 20,))
    async with pair(usrsctp, {"idata": 0}, delivery_point=8192) as (client, server, relay):
        sniffer = Sniffer(relay)
        client.tell(traffic.command)
        await server.got(traffic)
        assert most_at_a_time(sniffer.fragments(to_server=True)) == 1
        assert not any(server.details[n]["interleaved"] for n in range(3))


async def _exchange(one: Peer, other: Peer, streams: int, ssn: int) -> None:
    """Three messages on each stream flow both ways, those of stream 1 begin with this number."""
    traffic = Traffic(count=3 * streams, streams=streams)
    for sender, receiver in ((one, other), (other, one)):
        sender.tell(traffic.command)
        await receiver.got(traffic)
        assert receiver.details[1]["ssn"] == ssn
        await sender.settled()


@pytest.mark.parametrize("asks", ["client", "server"])
async def test_reconfiguration(usrsctp: Usrsctp, asks: str) -> None:
    """The peer of who asks for an incoming kind answers, and then asks for the outgoing one."""
    async with pair(usrsctp, {}, streams=8, most_streams=100) as (client, server, _relay):
        asking, other = (client, server) if asks == "client" else (server, client)
        await _exchange(asking, other, 8, 0)
        assert await asking.reset_streams(1, 3, outgoing=True) == "ok"
        assert (await other.expect("streams-reset", outgoing=False))["streams"] == [1, 3]
        assert await asking.reset_streams(1, 3, outgoing=False) == "ok"
        assert (await other.expect("streams-reset", outgoing=True))["streams"] == [1, 3]
        await _exchange(asking, other, 8, 0)
        await _exchange(asking, other, 8, 3)
        assert await asking.reset_streams(outgoing=True) == await asking.reset_streams(outgoing=False) == "ok"
        await _exchange(asking, other, 8, 0)
        added = await asking.add_streams(outgoing=2)
        assert (added["result"], added["outgoing"], added["incoming"]) == ("ok", 10, 8)
        await other.expect("streams-added", result="ok", outgoing=8, incoming=10)
        added = await asking.add_streams(incoming=4)
        assert (added["result"], added["outgoing"], added["incoming"]) == ("ok", 10, 12)
        await other.expect("streams-added", result="ok", outgoing=12, incoming=10)
        await _exchange(asking, other, 10, 3)


async def test_a_reset_of_the_tsns(usrsctp: Usrsctp) -> None:
    """Who asked for it can send afterwards, or never again: that depends on chance, see `Peer.confused_by_reset`."""
    seen: set[bool] = set()
    for _ in range(20):
        async with pair(usrsctp, {}) as (client, server, _relay):
            await _exchange(client, server, 8, 0)
            assert await client.reset_tsns() == "ok"
            await server.expect("tsns-reset", result="ok")
            if client.confused_by_reset:
                client.tell(Traffic(count=10).command)
                await client.until(lambda status: status["t3_timeouts"] > 0, "it retransmits in vain")
            else:
                await _exchange(client, server, 8, 0)
            seen.add(client.confused_by_reset)
            if len(seen) == 2:
                return
    raise AssertionError("in 20 associations it was one and the same")


async def test_reconfiguration_denied(usrsctp: Usrsctp) -> None:
    """After a reset of the TSNs was denied its request stays outstanding for good: it can ask for nothing more."""
    async with pair(usrsctp, {"allow": 0}) as (client, _server, _relay):
        assert await client.reset_streams(1, outgoing=True) == "denied"
        assert await client.reset_streams(1, outgoing=False) == "denied"
        assert (await client.add_streams(outgoing=1))["result"] == "denied"
        assert await client.reset_tsns() == "denied"
        client.tell("reset-tsns")
        await client.expect("asked", reason="Operation already in progress")


async def test_reconfiguration_off(usrsctp: Usrsctp) -> None:
    async with pair(usrsctp, {"reconfig": 0}) as (client, _server, _relay):
        client.tell("reset out 1")
        await client.expect("asked", reason="Operation not supported")


async def test_a_reset_of_a_stream_that_is_not_there(usrsctp: Usrsctp) -> None:
    """It grants that for a stream of the asking side, and denies it for one of its own."""

    def make_999_of_it(packet: bytes, to_server: bool) -> bytes:
        before, found, after = packet[12:].rpartition(REQUESTED.to_bytes(2))
        if not (to_server and found):
            return packet
        plain = packet[:8] + bytes(4) + before + (999).to_bytes(2) + after
        return plain[:8] + crc32c(plain).to_bytes(4, "little") + plain[12:]

    async with pair(usrsctp, {}, streams=REQUESTED + 1) as (client, server, relay):
        relay.change = make_999_of_it
        assert await client.reset_streams(REQUESTED, outgoing=True) == "ok"
        assert (await server.expect("streams-reset", outgoing=False))["streams"] == [999]
        assert await client.reset_streams(REQUESTED, outgoing=False) == "denied"
