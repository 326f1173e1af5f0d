"""Streams that begin anew, and that are added (RFC 6525), asked for by us and by usrsctp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import asyncsctp
from asyncsctp import EndOfStream, ReconfigError, StreamsAdded, StreamsReset, TsnsReset

from .peers import QUICK, Joined, Traffic, Usrsctp, arrival, joined, told, within

STREAMS, MOST = 8, 100
SOME = (1, 3)
DENIED = 2  # RFC 6525 section 4.4
EIGHT = QUICK.replace(outgoing_streams=STREAMS, max_incoming_streams=MOST)
ROLES = pytest.mark.parametrize("role", ["client", "server"])
#: All streams, or those that are named.
CHOICES = pytest.mark.parametrize("streams", [SOME, ()], ids=["some", "all"])


@asynccontextmanager
async def _eight(usrsctp: Usrsctp, role: str, **options: Any) -> AsyncIterator[Joined]:
    """An association with as many streams, of which three messages each have passed, both ways."""
    async with joined(usrsctp, role, EIGHT, streams=STREAMS, most_streams=MOST, **options) as joint:
        assert (joint.association.outgoing_streams, joint.association.incoming_streams) == (STREAMS, STREAMS)
        await _exchange(joint, ours=0, theirs=0)
        yield joint


async def _exchange(joint: Joined, ours: int, theirs: int, streams: tuple[int, int] = (STREAMS, STREAMS)) -> None:
    """Three messages on each stream pass both ways. Those of stream 1 begin with these sequence numbers."""
    association, peer, *_ = joint
    sent, received = (Traffic(count=3 * count, streams=count) for count in streams)
    sent.write(association)
    await peer.got(sent)
    assert peer.details[1]["ssn"] == ours
    peer.tell(received.command)
    messages: list[asyncsctp.Message] = []
    while len(messages) < received.count:
        messages += await within(5, "their messages", association.recv_many())
    received.check(map(arrival, messages))
    assert next(message.ssn for message in messages if message.stream == 1) == theirs
    await within(5, "the last acknowledgement", association.flush())
    await peer.settled()


# What we ask for.


@ROLES
@CHOICES
async def test_we_reset_our_streams(usrsctp: Usrsctp, role: str, streams: Sequence[int]) -> None:
    async with _eight(usrsctp, role) as joint:
        events = joint.association.events()
        await within(5, "the answer", joint.association.reset_streams(outgoing=list(streams)))
        assert (await joint.peer.expect("streams-reset", outgoing=False))["streams"] == list(streams)
        assert await told(events, StreamsReset) == StreamsReset(True, tuple(streams), "ok")
        await _exchange(joint, ours=0, theirs=3)


@ROLES
@CHOICES
async def test_we_ask_them_to_reset_theirs(usrsctp: Usrsctp, role: str, streams: Sequence[int]) -> None:
    async with _eight(usrsctp, role) as joint:
        events = joint.association.events()
        await within(5, "the answer", joint.association.reset_streams(incoming=list(streams)))
        assert (await joint.peer.expect("streams-reset", outgoing=True))["streams"] == list(streams)
        assert await told(events, StreamsReset) == StreamsReset(False, tuple(streams), "ok")
        await _exchange(joint, ours=3, theirs=0)


@ROLES
async def test_we_reset_both_at_once(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        await within(5, "the answers", joint.association.reset_streams(outgoing=list(SOME), incoming=list(SOME)))
        await joint.peer.expect("streams-reset", outgoing=True)
        await _exchange(joint, ours=0, theirs=0)
        resets = [event for event in joint.peer.events if event["event"] == "streams-reset"]
        assert sorted((event["outgoing"], event["streams"]) for event in resets) == [
            (False, list(SOME)),
            (True, list(SOME)),
        ]


@ROLES
async def test_we_reset_the_tsns(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        events = joint.association.events()
        await within(5, "the answer", joint.association.reset_tsns())
        await joint.peer.expect("tsns-reset", result="ok")
        assert await told(events, TsnsReset) == TsnsReset("ok")
        await _exchange(joint, ours=0, theirs=0)
        await _exchange(joint, ours=3, theirs=3)


@ROLES
async def test_we_add_streams(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        association, peer, *_ = joint
        await within(5, "the answer", association.add_streams(outgoing=2))
        await peer.expect("streams-added", result="ok", outgoing=STREAMS, incoming=STREAMS + 2)
        assert (association.outgoing_streams, association.incoming_streams) == (STREAMS + 2, STREAMS)
        await within(5, "the answer", association.add_streams(incoming=4))
        await peer.expect("streams-added", result="ok", outgoing=STREAMS + 4, incoming=STREAMS + 2)
        assert (association.outgoing_streams, association.incoming_streams) == (STREAMS + 2, STREAMS + 4)
        await _exchange(joint, ours=3, theirs=3, streams=(STREAMS + 2, STREAMS + 4))


# What they ask for.


@ROLES
@CHOICES
async def test_they_reset_their_streams(usrsctp: Usrsctp, role: str, streams: Sequence[int]) -> None:
    async with _eight(usrsctp, role) as joint:
        events = joint.association.events()
        assert await joint.peer.reset_streams(*streams, outgoing=True) == "ok"
        assert await told(events, StreamsReset) == StreamsReset(False, tuple(streams), "ok")
        await _exchange(joint, ours=3, theirs=0)


@ROLES
@CHOICES
async def test_they_ask_us_to_reset_ours(usrsctp: Usrsctp, role: str, streams: Sequence[int]) -> None:
    async with _eight(usrsctp, role) as joint:
        events = joint.association.events()
        assert await joint.peer.reset_streams(*streams, outgoing=False) == "ok"
        assert await told(events, StreamsReset) == StreamsReset(True, tuple(streams), "ok")
        await _exchange(joint, ours=0, theirs=3)


@ROLES
async def test_they_reset_the_tsns(usrsctp: Usrsctp, role: str) -> None:
    """In half of all associations usrsctp can't send after that, see `Peer.confused_by_reset`: until it can."""
    for _ in range(20):
        async with _eight(usrsctp, role) as joint:
            events = joint.association.events()
            assert await joint.peer.reset_tsns() == "ok"
            assert await told(events, TsnsReset) == TsnsReset("ok")
            if not joint.peer.confused_by_reset:
                await _exchange(joint, ours=0, theirs=0)
                await _exchange(joint, ours=3, theirs=3)
                return
    raise AssertionError("usrsctp was confused 20 times in turn")


@ROLES
async def test_they_add_streams(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        association, peer, *_ = joint
        events = association.events()
        added = await peer.add_streams(outgoing=2)
        assert (added["result"], added["outgoing"], added["incoming"]) == ("ok", STREAMS + 2, STREAMS)
        assert await told(events, StreamsAdded) == StreamsAdded(STREAMS, STREAMS + 2, "ok")
        added = await peer.add_streams(incoming=4)
        assert (added["result"], added["outgoing"], added["incoming"]) == ("ok", STREAMS + 2, STREAMS + 4)
        assert await told(events, StreamsAdded) == StreamsAdded(STREAMS + 4, STREAMS + 2, "ok")
        assert (association.outgoing_streams, association.incoming_streams) == (STREAMS + 4, STREAMS + 2)
        await _exchange(joint, ours=3, theirs=3, streams=(STREAMS + 4, STREAMS + 2))


# What is refused.


@ROLES
async def test_they_deny(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role, allow=0) as joint:
        association = joint.association
        asking: Callable[[], Awaitable[object]]
        for asking in (
            lambda: association.reset_streams(outgoing=[1]),
            lambda: association.reset_streams(incoming=[1]),
            lambda: association.reset_tsns(),
            lambda: association.add_streams(outgoing=1),
            lambda: association.add_streams(incoming=1),
        ):
            with pytest.raises(ReconfigError) as refused:
                await within(5, "the answer", asking())
            assert refused.value.result == DENIED
        assert (association.outgoing_streams, association.incoming_streams) == (STREAMS, STREAMS)
        await _exchange(joint, ours=3, theirs=3)


@ROLES
async def test_we_deny(usrsctp: Usrsctp, role: str) -> None:
    """usrsctp can ask for nothing more once a reset of the TSNs was denied: it comes last.

    And it takes no answer to that without both TSNs (RFC 6525 section 4.4), whatever the result.
    """
    config = EIGHT.replace(reconfig_allowed=frozenset())
    async with joined(usrsctp, role, config, streams=STREAMS, most_streams=MOST) as joint:
        await _exchange(joint, ours=0, theirs=0)
        assert await joint.peer.reset_streams(1, outgoing=True) == "denied"
        assert await joint.peer.reset_streams(1, outgoing=False) == "denied"
        assert (await joint.peer.add_streams(outgoing=1))["result"] == "denied"
        assert (await joint.peer.add_streams(incoming=1))["result"] == "denied"
        assert await joint.peer.reset_tsns() == "denied"
        await _exchange(joint, ours=3, theirs=3)


@ROLES
async def test_more_streams_than_they_take(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        with pytest.raises(ReconfigError) as refused:
            await within(5, "the answer", joint.association.add_streams(outgoing=MOST))
        assert refused.value.result == DENIED
        await _exchange(joint, ours=3, theirs=3)


@ROLES
async def test_more_streams_than_we_take(usrsctp: Usrsctp, role: str) -> None:
    async with _eight(usrsctp, role) as joint:
        assert (await joint.peer.add_streams(outgoing=MOST))["result"] == "denied"
        assert joint.association.incoming_streams == STREAMS
        await _exchange(joint, ours=3, theirs=3)


@ROLES
async def test_they_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, EIGHT, reconfig=0) as joint:
        assert not joint.association.negotiated.stream_reconfig
        with pytest.raises(ReconfigError) as refused:
            await within(5, "the refusal", joint.association.reset_streams(outgoing=[1]))
        assert refused.value.result is None


@ROLES
async def test_we_do_not_offer_it(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, EIGHT.replace(stream_reconfig=False)) as joint:
        assert not joint.association.negotiated.stream_reconfig
        joint.peer.tell("reset out 1")
        await joint.peer.expect("asked", reason="Operation not supported")


# Streams that end, and what gets lost on the way.


@ROLES
async def test_a_writer_is_closed(usrsctp: Usrsctp, role: str) -> None:
    """What was written before arrives before; usrsctp sees the stream begin anew. Their half goes on."""
    async with joined(usrsctp, role, EIGHT) as joint:
        association, peer, *_ = joint
        reader, writer = association.open_stream(2)
        for n in range(20):
            writer.write(bytes(5000), ppid=n)
        writer.close()
        await within(5, "the end of the stream", writer.wait_closed())
        assert (await peer.expect("streams-reset", outgoing=False))["streams"] == [2]
        assert [(message.n, message.stream, message.size) for message in peer.arrivals] == [
            (n, 2, 5000) for n in range(20)
        ]
        peer.tell(Traffic(count=3, streams=3).command)
        assert (await within(5, "their message", reader.read())).ppid == 2


@ROLES
async def test_they_end_a_stream(usrsctp: Usrsctp, role: str) -> None:
    async with joined(usrsctp, role, EIGHT) as joint:
        association, peer, *_ = joint
        reader, writer = association.open_stream(2)
        peer.tell(Traffic(count=30, streams=3, sizes=(5000,)).command)
        await peer.expect("sent")
        assert await peer.reset_streams(2, outgoing=True) == "ok"
        for _ in range(10):
            message = await within(5, "their message", reader.read())
            assert (message.stream, len(message.data)) == (2, 5000)
        with pytest.raises(EndOfStream):
            await within(5, "the end of the stream", reader.read())
        assert reader.at_eof()
        await writer.send(b"our half goes on", ppid=1)


@ROLES
async def test_resets_while_packets_get_lost(usrsctp: Usrsctp, role: str) -> None:
    """Each request has data before it that is still on its way. Requests and answers get lost as well."""
    traffic = Traffic(count=5 * STREAMS, streams=STREAMS, sizes=(2000,))
    async with joined(usrsctp, role, EIGHT, streams=STREAMS, most_streams=MOST) as joint:
        association, peer, relay, _ = joint
        relay.loss = 0.05
        for _ in range(5):
            traffic.write(association)
            await within(10, "our reset", association.reset_streams(outgoing=[]))
            await peer.got(traffic)
            assert [peer.details[n]["ssn"] for n in range(STREAMS)] == [0] * STREAMS
            peer.tell(traffic.command)
            await peer.expect("sent")
            reading = asyncio.ensure_future(traffic.read(association))
            await peer.ask("reset out")  # in several requests, each for the streams that have nothing under way
            left = set(range(STREAMS))
            while left:
                event = await peer.expect("streams-reset", outgoing=True, result="ok")
                left -= set(event["streams"] or left)
            await within(10, "their messages", reading)
        assert relay.lost
        relay.loss = 0.0
        assert association.stats.messages_received == 5 * traffic.count
