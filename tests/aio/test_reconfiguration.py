"""Streams that are reset, added and closed, as a program sees it: over a simulated network, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest
from support.simulated import A, Z, run_ends, two_hosts

import asyncsctp
from asyncsctp import Config, EndOfStream, ReconfigError, StreamReader, StreamWriter
from asyncsctp.events import Event, StreamsAdded, StreamsReset, TsnsReset
from asyncsctp.testing import Network
from asyncsctp.testing.host import Datagram
from asyncsctp.wire.constants import RE_CONFIG


class Requests:
    """Counts the RE-CONFIG chunks that open a packet of host A."""

    def __init__(self, network: Network) -> None:
        self.seen: list[bytes] = []
        network.on_datagram = self.look

    def look(self, datagram: Datagram) -> bool:
        if datagram.data[12] == RE_CONFIG and datagram.source[0] == A:
            self.seen.append(datagram.data)
        return True


async def next_event(events: object, kind: type[Event]) -> Event:
    async for event in events:  # type: ignore[attr-defined]
        if isinstance(event, kind):
            return event
    raise AssertionError("no such event")


async def settle() -> None:
    await asyncio.sleep(1.0)


def test_closing_a_writer_ends_the_peers_reader_after_what_was_written() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(3)
        for number in range(200):
            writer.write(b"%d" % number + bytes(1000))
        writer.close()
        assert writer.is_closing()
        with pytest.raises(asyncsctp.AssociationClosed):
            writer.write(b"x")
        reader, _ = await z.accept_stream()
        assert reader.stream == 3
        assert not reader.at_eof()
        numbers = [int(message.data[:-1000]) async for message in reader]
        assert numbers == list(range(200))
        assert reader.at_eof()
        with pytest.raises(EndOfStream):
            await reader.read()
        await writer.wait_closed()

    run_ends(test, two_hosts(loss=0.05))


def test_a_reader_that_waits_is_told_of_the_end() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(3)
        waiting = asyncio.ensure_future(reader.read())
        await settle()
        _, writer = a.open_stream(3)
        writer.close()
        with pytest.raises(EndOfStream, match="reset"):
            await waiting
        with pytest.raises(EndOfStream):
            await reader.read_many()

    run_ends(test)


def test_writers_that_are_closed_together_share_a_request() -> None:
    network = two_hosts()
    requests = Requests(network)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        writers = [a.open_stream()[1] for _ in range(50)]
        for writer in writers:
            writer.write(b"x")
        events = z.events()
        for writer in writers:
            writer.close()
        await asyncio.gather(*[writer.wait_closed() for writer in writers])
        assert await next_event(events, StreamsReset) == StreamsReset(False, tuple(range(50)), "ok")
        assert len(requests.seen) == 1

    run_ends(test, network)


def test_a_stream_is_free_again_once_both_directions_are_finished() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, writer = a.open_stream()
        assert reader.stream == 0
        await writer.send(b"question")
        z_reader, z_writer = await z.accept_stream()
        assert (await z_reader.read()).data == b"question"
        writer.close()
        with pytest.raises(ValueError, match="claimed"):
            a.open_stream(0)
        await writer.wait_closed()
        assert a.open_stream()[0].stream == 1  # the peer's direction is open still
        assert z_reader.at_eof()
        await z_writer.send(b"answer")
        with pytest.raises(ValueError, match="claimed before"):
            z.open_stream(0)
        z_writer.close()
        with pytest.raises(ValueError, match="claimed before"):
            z.open_stream(0)
        await z_writer.wait_closed()
        assert (await reader.read()).data == b"answer"
        assert [message async for message in reader] == []
        again, writer = a.open_stream()
        assert again.stream == 0
        await writer.send(b"second")
        z_reader, _ = await z.accept_stream()
        message = await z_reader.read()
        assert (message.data, message.stream, message.ssn) == (b"second", 0, 0)

    run_ends(test)


def test_an_id_is_not_handed_out_while_its_request_is_in_flight() -> None:
    network = two_hosts()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, writer = a.open_stream()
        _, z_writer = z.open_stream(0)
        z_writer.close()
        await z_writer.wait_closed()
        await settle()
        assert reader.at_eof()
        network.cut(A, Z)
        writer.close()
        await settle()
        with pytest.raises(ValueError, match="not yet reset in both directions"):
            a.open_stream(0)
        assert a.open_stream()[0].stream == 1
        network.heal(A, Z)
        await writer.wait_closed()
        assert a.open_stream()[0].stream == 0

    run_ends(test, network)


def test_streams_come_and_go_and_none_is_lost() -> None:
    """More conversations than there are ids, each of a new stream, both sides closing."""
    config = Config(outgoing_streams=4, max_incoming_streams=4)

    async def serve(z: asyncsctp.Association) -> None:
        while True:
            reader, writer = await z.accept_stream()
            task = asyncio.ensure_future(answer(reader, writer))
            tasks.append(task)

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        async for message in reader:
            await writer.send(message.data.upper())
        writer.close()

    async def ask(a: asyncsctp.Association, number: int) -> None:
        async with room:
            reader, writer = a.open_stream()
            used.append(reader.stream)
            await writer.send(b"a%d" % number)
            await writer.send(b"b%d" % number)
            writer.close()
            assert [message.data async for message in reader] == [b"A%d" % number, b"B%d" % number]
            await writer.wait_closed()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        serving = asyncio.ensure_future(serve(z))
        await asyncio.gather(*[ask(a, number) for number in range(40)])
        serving.cancel()
        await asyncio.gather(*tasks)
        assert max(used) < 4

    room = asyncio.Semaphore(3)
    used: list[int] = []
    tasks: list[asyncio.Task[None]] = []
    run_ends(test, two_hosts(7, loss=0.05, jitter=0.01), config=config)


def test_messages_of_the_new_numbering_belong_to_the_next_claim() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for text in (b"1", b"2"):
            await a.send(text, stream=5)
        await a.reset_streams(outgoing=[5])
        for text in (b"3", b"4"):
            await a.send(text, stream=5)
        await settle()
        first, _ = await z.accept_stream()
        assert [message.data async for message in first] == [b"1", b"2"]
        second, _ = await z.accept_stream()
        messages = await second.read_many()
        assert [(message.data, message.ssn) for message in messages] == [(b"3", 0), (b"4", 1)]
        assert not second.at_eof()

    run_ends(test)


def test_a_stream_that_nobody_claimed_is_unused_again_once_it_was_read() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await a.send(b"x", stream=0)
        await a.reset_streams(outgoing=[0])
        await settle()
        assert a.open_stream()[0].stream == 0  # nothing of either side is left there
        assert z.open_stream()[0].stream == 1
        assert (await z.recv()).data == b"x"
        assert z.open_stream()[0].stream == 0

    run_ends(test)


def test_what_was_read_by_a_claim_is_not_received_once_more_after_the_streams_end() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        a.write(b"other")
        _, writer = a.open_stream(1)
        writer.write_many([b"1", b"2", b"3"])
        await settle()
        reader, _ = z.open_stream(1)
        writer.close()
        assert [message.data async for message in reader] == [b"1", b"2", b"3"]
        assert (await z.recv()).data == b"other"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await z.recv()

    run_ends(test)


def test_a_stream_is_accepted_once_whatever_ends_beside_it() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, short = a.open_stream(2)
        a.write(b"first", stream=1)
        short.write(b"short")
        a.write(b"second", stream=1)
        short.close()
        await settle()
        first, _ = await z.accept_stream()
        second, _ = await z.accept_stream()
        assert (first.stream, second.stream) == (1, 2)
        assert [message.data async for message in second] == [b"short"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await z.accept_stream()
        assert [message.data for message in await first.read_many()] == [b"first", b"second"]
        waiting = asyncio.ensure_future(first.read())
        await settle()
        await a.close()
        with pytest.raises(asyncsctp.EndOfStream):
            await waiting

    run_ends(test)


def test_what_came_between_two_resets_is_a_conversation_of_its_own() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for text in (b"1", b"2", b"3"):
            await a.send(text, stream=5)
            await a.reset_streams(outgoing=[5])
        await settle()
        for text in (b"1", b"2", b"3"):
            reader, _ = await z.accept_stream()
            assert [message.data async for message in reader] == [text]

    run_ends(test)


def test_an_accepted_stream_is_free_again_once_both_directions_are_finished() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, ours = a.open_stream(0)
        await ours.send(b"x")
        reader, writer = await z.accept_stream()
        ours.close()
        assert [message.data async for message in reader] == [b"x"]
        writer.close()
        await writer.wait_closed()
        assert z.open_stream()[0].stream == 0

    run_ends(test)


def test_what_an_unclaimed_stream_had_can_be_claimed_though_we_wrote_to_it() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        z.write(b"ours", stream=3)
        await a.send(b"theirs", stream=3)
        await a.reset_streams(outgoing=[3])
        await settle()
        reader, _ = z.open_stream(3)
        assert [message.data async for message in reader] == [b"theirs"]

    run_ends(test)


def test_what_is_written_during_a_reset_leaves_after_it() -> None:
    network = two_hosts()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await a.send(b"before", stream=2)
        resetting = asyncio.ensure_future(a.reset_streams(outgoing=[2]))
        await asyncio.sleep(0)
        a.write(b"after", stream=2)
        await settle()
        await resetting
        messages = [await z.recv(), await z.recv()]
        assert [(message.data, message.ssn) for message in messages] == [(b"before", 0), (b"after", 0)]

    run_ends(test, network)


def test_events_on_both_sides() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        ours, theirs = a.events(), z.events()
        outgoing, incoming = a.outgoing_streams, a.incoming_streams
        await a.reset_streams(outgoing=[1, 2])
        assert await next_event(ours, StreamsReset) == StreamsReset(True, (1, 2), "ok")
        assert await next_event(theirs, StreamsReset) == StreamsReset(False, (1, 2), "ok")
        await a.reset_streams(incoming=[3])
        assert await next_event(ours, StreamsReset) == StreamsReset(False, (3,), "ok")
        assert await next_event(theirs, StreamsReset) == StreamsReset(True, (3,), "ok")
        await a.reset_streams([], [])
        assert await next_event(ours, StreamsReset) == StreamsReset(True, (), "ok")
        assert await next_event(ours, StreamsReset) == StreamsReset(False, (), "ok")
        await a.reset_tsns()
        assert await next_event(ours, TsnsReset) == await next_event(theirs, TsnsReset) == TsnsReset("ok")
        await a.add_streams(outgoing=2, incoming=3)
        assert (a.outgoing_streams, z.incoming_streams) == (outgoing + 2, outgoing + 2)
        await settle()
        assert (a.incoming_streams, z.outgoing_streams) == (incoming + 3, incoming + 3)
        assert isinstance(await next_event(theirs, StreamsAdded), StreamsAdded)
        await a.send(b"x", stream=outgoing + 1)
        await z.send(b"y", stream=incoming + 2)
        assert (await z.recv()).stream == outgoing + 1
        assert (await a.recv()).stream == incoming + 2

    run_ends(test)


def test_concurrent_calls_queue_up() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        outgoing = a.outgoing_streams
        await asyncio.gather(
            a.reset_streams([1]),
            a.reset_streams(None, [1]),
            a.reset_tsns(),
            a.add_streams(1),
            a.add_streams(1),
            z.reset_streams([1], [1]),
            z.reset_streams([2]),
            z.add_streams(5),
            z.reset_tsns(),
        )
        assert (a.outgoing_streams, z.incoming_streams) == (outgoing + 2, outgoing + 2)
        await a.send(b"x")
        await z.send(b"y")
        assert (await z.recv()).data == b"x"
        assert (await a.recv()).data == b"y"

    for seed in range(10):
        run_ends(test, two_hosts(seed, loss=0.1, jitter=0.02))


def test_what_the_peer_denies() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for asking in (a.reset_streams([1]), a.reset_streams(None, [1]), a.reset_tsns(), a.add_streams(1)):
            with pytest.raises(ReconfigError, match="denied") as caught:
                await asking
            assert caught.value.result == 2
        _, writer = a.open_stream(1)
        await writer.send(b"x")
        writer.close()
        with pytest.raises(ReconfigError, match="denied"):
            await writer.wait_closed()
        await z.reset_streams([1])

    run_ends(test, z_config=Config(reconfig_allowed=frozenset()))


def test_without_negotiation() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        assert "stream_reconfig" not in a.negotiated
        for asking in (a.reset_streams([1]), a.reset_tsns(), a.add_streams(1)):
            with pytest.raises(ReconfigError, match="not negotiated"):
                await asking
        _, writer = a.open_stream(1)
        await writer.send(b"x")
        writer.close()
        await writer.wait_closed()
        assert (await z.recv()).data == b"x"
        assert a._session.core._parts.established.reconfig is None

    run_ends(test, z_config=Config(stream_reconfig=False))


def test_wrong_arguments() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        with pytest.raises(ValueError, match="outgoing must hold ids"):
            await a.reset_streams([1024])
        with pytest.raises(TypeError):
            await a.reset_streams(["1"])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="must be given"):
            await a.reset_streams()
        with pytest.raises(TypeError, match="outgoing must be an int"):
            await a.add_streams(1.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="incoming must be between"):
            await a.add_streams(0, 70000)

    run_ends(test)


def test_the_end_ends_those_who_wait() -> None:
    network = two_hosts()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        network.cut(A, Z)
        writer.close()
        waits = [a.reset_streams([2]), a.reset_tsns(), a.add_streams(1), writer.wait_closed()]
        tasks = [asyncio.ensure_future(each) for each in waits]
        await settle()
        a.abort()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, asyncsctp.SCTPError) for outcome in outcomes] == [True] * 4
        assert [type(outcome) for outcome in outcomes[:3]] == [ReconfigError] * 3

    run_ends(test, network)


def test_closing_writers_and_then_the_association_delivers_all() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        writers = [a.open_stream()[1] for _ in range(5)]
        for writer in writers:
            writer.write(bytes(50_000))
            writer.close()
        closing = asyncio.ensure_future(a.close())
        received = [message.stream async for message in z]
        assert sorted(received) == [0, 1, 2, 3, 4]
        await closing
        for writer in writers:
            await writer.wait_closed()

    run_ends(test, two_hosts(loss=0.03))


def test_cancelling_the_wait_does_not_withdraw_the_request() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        outgoing = a.outgoing_streams
        adding = asyncio.ensure_future(a.add_streams(1))
        await asyncio.sleep(0.001)
        adding.cancel()
        await settle()
        assert a.outgoing_streams == outgoing + 1

    run_ends(test)


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_reliable_messages_survive_any_mix(seed: int, interleaving: bool) -> None:
    """Each message arrives once and in the order of its stream, whatever is reset meanwhile."""
    source = random.Random(seed)
    config = Config(interleaving=interleaving, outgoing_streams=8, max_incoming_streams=64)

    async def talk(one: asyncsctp.Association) -> None:
        for _ in range(60):
            stream = source.randrange(8)
            match source.randrange(12):
                case 0:
                    await one.reset_streams([stream])
                case 1:
                    await one.reset_streams([stream, (stream + 1) % 8], [stream])
                case 2:
                    await one.reset_streams([] if source.random() < 0.5 else None, [])
                case 3:
                    await one.add_streams(source.randrange(1, 3), source.randrange(2))
                case 4 if source.random() < 0.5:
                    await one.reset_tsns()
                case _:
                    for _ in range(source.randrange(1, 6)):
                        number = counts.setdefault((one, stream), 0)
                        counts[one, stream] += 1
                        size = source.choice([10, 1000, 30_000])
                        await one.send(number.to_bytes(4) + bytes(size), stream=stream)

    async def listen(one: asyncsctp.Association) -> None:
        async for message in one:
            received.setdefault((one, message.stream), []).append(int.from_bytes(message.data[:4]))

    async def quietly(work: Awaitable[None]) -> None:
        try:
            await work
        except ReconfigError as error:
            refusals.append(error.result)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        listening = [asyncio.ensure_future(listen(each)) for each in (a, z)]
        await asyncio.gather(*[quietly(talk(each)) for each in (a, a, z, z)])
        await asyncio.gather(a.flush(), z.flush())
        await asyncio.sleep(100)
        for sender, receiver in ((a, z), (z, a)):
            assert sender.outgoing_streams == receiver.incoming_streams
            for stream in range(8):
                expected = list(range(counts.get((sender, stream), 0)))
                assert received.get((receiver, stream), []) == expected
        for task in listening:
            task.cancel()

    counts: dict[tuple[asyncsctp.Association, int], int] = {}
    received: dict[tuple[asyncsctp.Association, int], list[int]] = {}
    refusals: list[int | None] = []
    run_ends(test, two_hosts(seed, loss=0.05, jitter=0.01), config=config)
