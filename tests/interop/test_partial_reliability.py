"""Messages that are given up (RFC 3758, RFC 7496, RFC 8260 section 2.3), to and from usrsctp, with packet loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import asyncsctp

from .peers import QUICK, Traffic, Usrsctp, body, joined, marks, read_until, within
from .sniffer import DATA, FORWARD_TSN, I_DATA, I_FORWARD_TSN, Sniffer

# What is given up when does not depend on the event loop, and there is much to try.
pytestmark = pytest.mark.parametrize("loop_factory", ["asyncio"], indirect=True)

STREAMS = 4
RELIABLE = 10_000  # the first of the messages that are not given up, which share the streams of those that may be
LOSS, DELAY = 0.05, 0.01
POLICIES: dict[str, dict[str, Any]] = {"timed": {"lifetime": 0.03}, "limited": {"max_retransmits": 0}}

# usrsctp takes MIDs of unordered messages in an I-FORWARD-TSN for ordered ones, see test_peer_itself.py: with I-DATA a
# stream has messages of one kind.
KINDS = [
    pytest.param(False, "m", id="DATA"),
    pytest.param(True, "o", id="I-DATA-ordered"),
    pytest.param(True, "u", id="I-DATA-unordered"),
]


@asynccontextmanager
async def failures(association: asyncsctp.Association) -> AsyncIterator[dict[int, asyncsctp.SendFailed]]:
    """Of each message that was given up what we were told, by its number."""
    found: dict[int, asyncsctp.SendFailed] = {}
    events = association.events()

    async def collect() -> None:
        async for event in events:
            if isinstance(event, asyncsctp.SendFailed):
                assert event.ppid not in found, f"message {event.ppid} failed twice"
                found[event.ppid] = event

    collecting = asyncio.ensure_future(collect())
    try:
        yield found
    finally:
        if not collecting.done():
            collecting.cancel()
        await asyncio.wait([collecting])
        if not collecting.cancelled():
            collecting.result()


def _traffic(policy: str, order: str, sizes: tuple[int, ...] = (100, 1000, 3000)) -> tuple[Traffic, Traffic, Traffic]:
    """What may be given up, what may not, and what comes last."""
    unreliable = Traffic(count=288, streams=STREAMS, sizes=sizes, order=order, **POLICIES[policy])
    kind = "u" if order == "u" else "o"
    return unreliable, Traffic(count=48, streams=STREAMS, order=kind, first=RELIABLE), marks(STREAMS, kind)


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("policy", ["timed", "limited"])
@pytest.mark.parametrize(("interleaving", "order"), KINDS)
async def test_we_give_up(usrsctp: Usrsctp, role: str, policy: str, interleaving: bool, order: str) -> None:
    """What is lost is given up, and we are told; the rest arrives, and nothing waits behind what does not."""
    unreliable, reliable, last = _traffic(policy, order)
    config = QUICK.replace(interleaving=interleaving)
    async with (
        joined(usrsctp, role, config, idata=int(interleaving)) as (association, peer, relay, ours),
        failures(association) as failed,
    ):
        assert association.negotiated.partial_reliability
        assert association.negotiated.interleaving is interleaving
        sniffer = Sniffer(relay)
        relay.loss, relay.delay = LOSS, DELAY
        for some, others in zip(unreliable.rounds(24), reliable.rounds(4), strict=True):
            some.write(association)
            others.write(association)
            await within(10, "all is acknowledged or given up", association.flush())
        relay.loss = relay.delay = 0.0
        last.write(association)
        got = await peer.got_until(last)
        reliable.check(message for message in got if message.n >= RELIABLE)
        missing = unreliable.check_some(message for message in got if message.n < RELIABLE)
        assert missing
        assert missing <= failed.keys() <= {message.n for message in unreliable}
        for n, stream, size, *_ in unreliable:
            if n in failed:
                assert (failed[n].stream, failed[n].data) == (stream, body(n, size))
        seen = sniffer.kinds(to_server=ours)
        assert seen & {FORWARD_TSN, I_FORWARD_TSN} == {I_FORWARD_TSN if interleaving else FORWARD_TSN}
        assert seen & {DATA, I_DATA} == {I_DATA if interleaving else DATA}
        assert association.state is asyncsctp.State.ESTABLISHED


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("policy", ["timed", "limited"])
@pytest.mark.parametrize(("interleaving", "order"), KINDS)
async def test_they_give_up(usrsctp: Usrsctp, role: str, policy: str, interleaving: bool, order: str) -> None:
    """With I-DATA usrsctp gives up the wrong fragments, see test_peer_itself.py: there messages are of one each."""
    unreliable, reliable, last = _traffic(policy, order, (100, 1000, 800) if interleaving else (100, 1000, 3000))
    config = QUICK.replace(interleaving=interleaving)
    async with joined(usrsctp, role, config, idata=int(interleaving)) as (association, peer, relay, ours):
        sniffer = Sniffer(relay)
        reading = asyncio.ensure_future(read_until(association, last))
        relay.loss, relay.delay = LOSS, DELAY
        peer.tell(unreliable.command)
        peer.tell(reliable.command)
        await peer.expect("sent")
        await peer.settled()
        relay.loss = relay.delay = 0.0
        peer.tell(last.command)
        got = await within(10, "the last messages", reading)
        reliable.check(message for message in got if message.n >= RELIABLE)
        missing = unreliable.check_some(message for message in got if message.n < RELIABLE)
        assert missing
        assert missing <= peer.undelivered
        seen = sniffer.kinds(to_server=not ours)
        assert seen & {FORWARD_TSN, I_FORWARD_TSN} == {I_FORWARD_TSN if interleaving else FORWARD_TSN}
        assert association.stats.unknown_chunks == 0
        assert association.state is asyncsctp.State.ESTABLISHED


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
async def test_we_prefer_what_is_important(usrsctp: Usrsctp, role: str, interleaving: bool) -> None:
    """RFC 7496 section 4.3: in a full buffer a message of a smaller number takes the place of others."""
    less = Traffic(count=120, streams=STREAMS, priority=9)
    more = Traffic(count=60, streams=STREAMS, first=RELIABLE, priority=1)
    config = QUICK.replace(interleaving=interleaving, send_buffer=100_000)
    async with (
        joined(usrsctp, role, config, idata=int(interleaving)) as (association, peer, relay, _),
        failures(association) as failed,
    ):
        relay.loss, relay.delay = LOSS, DELAY
        less.write(association)
        more.write(association)
        await within(10, "all is acknowledged or given up", association.flush())
        relay.loss = relay.delay = 0.0
        marks(STREAMS).write(association)
        got = await peer.got_until(marks(STREAMS))
        more.check(message for message in got if message.n >= RELIABLE)
        missing = less.check_some(message for message in got if message.n < RELIABLE)
        assert missing
        assert missing <= failed.keys() <= {message.n for message in less}


@pytest.mark.parametrize("role", ["client", "server"])
async def test_they_prefer_nothing(usrsctp: Usrsctp, role: str) -> None:
    """usrsctp takes priorities, and gives nothing up for them: all arrives."""
    traffic = Traffic(count=200, streams=STREAMS, sizes=(100, 1000, 3000), order="m", priority=3)
    async with joined(usrsctp, role, QUICK, sndbuf=65536) as (association, peer, relay, _):
        relay.loss = LOSS
        peer.tell(traffic.command)
        await within(10, "the messages", traffic.read(association))
        assert relay.lost


@pytest.mark.parametrize("role", ["client", "server"])
async def test_we_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    """Then usrsctp delivers everything, whatever it was told of the messages."""
    traffic = Traffic(count=200, streams=STREAMS, sizes=(100, 1000, 3000), order="m", max_retransmits=0)
    config = QUICK.replace(partial_reliability=False)
    async with joined(usrsctp, role, config) as (association, peer, relay, ours):
        assert not association.negotiated.partial_reliability
        sniffer = Sniffer(relay)
        relay.loss = LOSS
        peer.tell(traffic.command)
        await within(10, "the messages", traffic.read(association))
        assert relay.lost
        assert FORWARD_TSN not in sniffer.kinds(to_server=not ours)


@pytest.mark.parametrize("role", ["client", "server"])
async def test_they_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    traffic = Traffic(count=200, streams=STREAMS, sizes=(100, 1000, 3000), order="m")
    async with joined(usrsctp, role, QUICK, pr=0) as (association, peer, relay, ours):
        assert not association.negotiated.partial_reliability
        sniffer = Sniffer(relay)
        relay.loss = LOSS
        await within(10, "our part", traffic.send(association))
        await peer.got(traffic)
        assert FORWARD_TSN not in sniffer.kinds(to_server=ours)
