"""Readers, claims and events, fed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.inbox import Box

from asyncsctp import AssociationAborted, EndOfStream, EventStream, Message, SenderDry
from asyncsctp.inbound.reassembly import SMALLEST_CHARGE


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 5))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_message_tells_all_of_itself() -> None:
    async def test() -> None:
        box = Box()
        box.inbox.on_message(3, 70000, 46, True, 5_000_000_000, b"x")
        message = await box.inbox.unclaimed.read()
        assert message == Message(data=b"x", stream=3, ppid=46, unordered=True, ssn=70000, tsn=5_000_000_000)
        assert isinstance(message, Message)

    run(test)


def test_reading_what_is_there_does_not_suspend() -> None:
    box = Box()
    reader = box.inbox.claim(1)
    box.arrive(1, b"a")
    box.arrive(1, b"b")
    with pytest.raises(StopIteration) as done:
        reader.read().send(None)
    assert done.value.value.data == b"a"
    with pytest.raises(StopIteration) as done:
        reader.read_many().send(None)
    assert [message.data for message in done.value.value] == [b"b"]


def test_messages_are_consumed_when_read_and_not_before() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        box.arrive(1, b"abc")
        box.arrive(2, b"de")
        assert box.session.read == []
        await reader.read()
        assert box.session.read == [SMALLEST_CHARGE]
        await box.inbox.unclaimed.read_many(None)
        assert box.session.read == [SMALLEST_CHARGE, SMALLEST_CHARGE]

    run(test)


def test_what_was_read_is_reported_now_and_then_and_when_all_is_read() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        for _ in range(7):
            box.arrive(1, bytes(1500))
        for _ in range(2):
            await reader.read()
        assert box.session.read == []
        await reader.read()
        assert box.session.read == [4500]
        for _ in range(4):
            await reader.read()
        assert box.session.read == [4500, 4500, 1500]
        for size in (1, 100, 10):
            box.arrive(1, bytes(size))
        await reader.read_many(2)
        await reader.read_many()
        assert box.session.read[3:] == [SMALLEST_CHARGE + 100, SMALLEST_CHARGE]

    run(test)


def test_cancelling_a_read_loses_nothing() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        waiting = asyncio.ensure_future(reader.read())
        await settle()
        box.arrive(1, b"first")  # the read is woken, and cancelled before it runs
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        box.arrive(1, b"second")
        assert [message.data for message in await reader.read_many()] == [b"first", b"second"]

    run(test)


def test_two_readers_of_one_stream_are_told_so() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        waiting = asyncio.ensure_future(reader.read())
        await settle()
        with pytest.raises(RuntimeError, match="another coroutine"):
            await reader.read()
        box.arrive(1, b"for the first")
        with pytest.raises(RuntimeError, match="another coroutine"):
            await reader.read_many()
        assert (await waiting).data == b"for the first"
        box.arrive(1, b"next")
        assert (await reader.read()).data == b"next"

    run(test)


@pytest.mark.parametrize("limit", [0, -1])
def test_read_many_wants_a_limit_of_one_or_more(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        Box().inbox.claim(1).read_many(limit).send(None)


def test_read_many_takes_no_more_than_asked_for() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        for number in range(5):
            box.arrive(1, b"%d" % number)
        assert [message.data for message in await reader.read_many(2)] == [b"0", b"1"]
        assert [message.data for message in await reader.read_many()] == [b"2", b"3", b"4"]

    run(test)


def test_what_has_come_can_be_read_after_the_end() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        box.arrive(1, b"last")
        box.end()
        assert not reader.at_eof()
        assert [message.data async for message in reader] == [b"last"]
        assert reader.at_eof()
        with pytest.raises(EndOfStream):
            await reader.read()
        with pytest.raises(EndOfStream):
            await box.inbox.accept()

    run(test)


def test_after_a_failure_the_error_follows_the_last_message() -> None:
    async def test() -> None:
        box = Box()
        reader = box.inbox.claim(1)
        box.arrive(1, b"last")
        box.end(AssociationAborted("gone", by_peer=True))
        assert (await reader.read()).data == b"last"
        for _ in range(2):
            with pytest.raises(AssociationAborted, match="gone"):
                await reader.read()
        with pytest.raises(AssociationAborted):
            async for _ in reader:
                pass

    run(test)


def test_the_end_wakes_every_reader() -> None:
    async def test() -> None:
        box = Box()
        waiting = [
            asyncio.ensure_future(box.inbox.claim(1).read()),
            asyncio.ensure_future(box.inbox.claim(2).read()),
            asyncio.ensure_future(box.inbox.unclaimed.read()),
            asyncio.ensure_future(box.inbox.accept()),
        ]
        await settle()
        box.end()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EndOfStream] * 4

    run(test)


def test_a_claim_takes_what_nobody_has_read() -> None:
    async def test() -> None:
        box = Box()
        for sid, data in ((1, b"1a"), (2, b"2a"), (1, b"1b"), (3, b"3a"), (2, b"2b")):
            box.arrive(sid, data)
        reader = box.inbox.claim(2)
        assert [message.data for message in await reader.read_many()] == [b"2a", b"2b"]
        assert [message.data for message in await box.inbox.unclaimed.read_many(None)] == [b"1a", b"1b", b"3a"]
        box.arrive(2, b"2c")
        box.arrive(3, b"3b")
        assert (await box.inbox.unclaimed.read()).data == b"3b"
        assert (await reader.read()).data == b"2c"

    run(test)


def test_a_stream_is_claimed_once() -> None:
    box = Box()
    box.inbox.claim(4)
    with pytest.raises(ValueError, match="4 is already claimed"):
        box.inbox.claim(4)


def test_accepted_and_unclaimed_streams_share_arrivals_without_loss_or_repetition() -> None:
    async def test() -> None:
        box = Box()
        for number in range(12):
            box.arrive(number % 4, b"%d" % number)
        first = await box.inbox.accept()
        assert first.stream == 0
        assert (await box.inbox.unclaimed.read()).data == b"1"
        second = await box.inbox.accept()
        assert second.stream == 2
        box.arrive(2, b"12")
        box.arrive(1, b"13")
        third = await box.inbox.accept()
        assert third.stream == 3
        assert [message.data for message in await box.inbox.unclaimed.read_many(None)] == [b"5", b"9", b"13"]
        assert [message.data for message in await first.read_many()] == [b"0", b"4", b"8"]
        assert [message.data for message in await second.read_many()] == [b"2", b"6", b"10", b"12"]
        assert [message.data for message in await third.read_many()] == [b"3", b"7", b"11"]

    run(test)


def test_accept_waits_for_a_stream_that_nobody_has_claimed() -> None:
    async def test() -> None:
        box = Box()
        box.inbox.claim(1)
        waiting = asyncio.ensure_future(box.inbox.accept())
        await settle()
        box.arrive(1, b"claimed")
        await settle()
        assert not waiting.done()
        with pytest.raises(RuntimeError, match="accept_stream"):
            await box.inbox.accept()
        box.arrive(6, b"new")
        reader = await waiting
        assert reader.stream == 6
        assert (await reader.read()).data == b"new"

    run(test)


def test_one_who_waits_for_a_stream_and_one_who_waits_for_messages_get_each_message_once() -> None:
    async def test() -> None:
        box = Box()
        accepting = asyncio.ensure_future(box.inbox.accept())
        receiving = asyncio.ensure_future(box.inbox.unclaimed.read())
        await settle()
        box.arrive(5, b"a")
        await settle()
        assert accepting.done() is not receiving.done()
        box.arrive(6, b"b")
        await settle()
        reader = await accepting
        assert {(await reader.read()).data, (await receiving).data} == {b"a", b"b"}
        assert box.inbox.unclaimed.messages == type(box.inbox.unclaimed.messages)()

    run(test)


def test_the_lowest_unused_stream_is_one_that_neither_side_has_used() -> None:
    box = Box()
    box.arrive(0, b"from the peer")
    box.inbox.use_outgoing(1)
    box.inbox.claim(2)
    assert box.inbox.lowest_unused(10) == 3
    assert box.inbox.lowest_unused(3) == -1
    assert box.inbox.claim(box.inbox.lowest_unused(10)).stream == 3


def test_events_wait_for_their_listener_but_not_without_bound() -> None:
    async def test() -> None:
        box = Box()
        stream = EventStream(box.session)
        for _ in range(1030):
            stream.put(SenderDry())
        assert stream.missed == 6
        box.end()
        stream.put(None)
        assert len([event async for event in stream]) == 1024

    run(test)


def test_a_listener_that_waits_is_woken_by_an_event_and_by_the_end() -> None:
    async def test() -> None:
        box = Box()
        stream = EventStream(box.session)
        waiting = asyncio.ensure_future(anext(stream))
        await settle()
        stream.put(SenderDry())
        assert await waiting == SenderDry()
        waiting = asyncio.ensure_future(anext(stream))
        await settle()
        box.end()
        stream.put(None)
        with pytest.raises(StopAsyncIteration):
            await waiting

    run(test)
