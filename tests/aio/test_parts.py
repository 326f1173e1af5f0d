"""Messages too long to be held: written in parts, read in parts, over a simulated network in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256

import pytest
from support.simulated import Z, run_ends, two_hosts

import asyncsctp
from asyncsctp import (
    AssociationAborted,
    AssociationClosed,
    Config,
    Delivery,
    EndOfStream,
    MessageAbandoned,
    Part,
    PartialDeliveryAborted,
    Receipt,
    SendFailed,
    StreamReader,
)

SMALL = Config(recv_buffer=64 * 1024, send_buffer=64 * 1024)
BOTH = pytest.mark.parametrize("config", [SMALL, SMALL.replace(interleaving=True)], ids=["DATA", "I-DATA"])
PLAIN = Config(partial_reliability=False)


async def one(reader: StreamReader) -> bytes:
    """The next message, put together from its parts."""
    data = b""
    async for part in reader.parts():
        data += part.data
        if part.last:
            return data
    raise AssertionError("the stream has ended")


async def expect_abandoned(parts: AsyncIterator[Part]) -> None:
    """Read a message to the end that it does not have."""
    with pytest.raises(MessageAbandoned):  # noqa: PT012 - which part it is after is not said
        while not (await anext(parts)).last:
            pass


class Held:
    """The most that a receiver held, whether in its window or waiting for its reader."""

    def __init__(self, association: asyncsctp.Association) -> None:
        reception = association._session.core._parts.established.receiver
        self._queue = reception._queue
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, self._queue.held + self._queue.unread)


# Flowing.


@BOTH
def test_a_message_larger_than_all_buffers_flows_while_it_is_being_sent(config: Config) -> None:
    total = 50 * 1024 * 1024
    config = config.replace(mtu=9000)
    piece = bytes(range(256)) * 64
    written = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal written
        while written < total:
            written += len(piece)
            yield piece

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        held = Held(z)
        sending = asyncio.ensure_future(writer.send_parts(pieces(), ppid=46))
        size = 0
        digest = sha256()
        parts = reader.parts()
        async for part in parts:
            held.look()
            assert (part.stream, part.ppid, part.unordered) == (1, 46, False)
            digest.update(part.data)
            size += len(part.data)
            assert written - size <= config.send_buffer + config.recv_buffer + 4 * len(piece)
            if part.last:
                break
        assert size == total and digest.digest() == sha256(piece * (total // len(piece))).digest()
        assert 0 < held.most <= config.recv_buffer + 16 * 1024
        receipt = await sending
        await receipt
        assert z.stats.messages_received == 1

    run_ends(test, two_hosts(delay=0.001), config=config)


@BOTH
def test_a_long_message_that_was_written_whole_is_read_in_parts(config: Config) -> None:
    data = bytes(range(256)) * 4000

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        a.write(data, stream=1, ppid=9)
        a.write(b"short", stream=1)
        found: list[Part] = []
        while len([part for part in found if part.last]) < 2:
            found.append(await anext(parts))
        assert found[-1][:4] == (b"short", True, 1, 0)
        *long, _ = found
        assert len(long) > 5 and b"".join(part.data for part in long) == data
        assert len({(part.tsn, part.ssn) for part in long}) == 1

    run_ends(test, two_hosts(seed=4, loss=0.02), config=config)


@BOTH
def test_short_messages_come_as_one_part_each(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        a.write(b"before", stream=1)
        await a.flush()
        parts = reader.parts()
        assert not reader.at_eof()
        for number in range(3):
            a.write(b"%d" % number, stream=1, unordered=number == 1)
        assert (await anext(parts))[:5] == (b"before", True, 1, 0, False)
        assert [(await anext(parts))[:5] for _ in range(3)] == [(b"%d" % n, True, 1, 0, n == 1) for n in range(3)]

    run_ends(test, config=config)


@BOTH
@pytest.mark.parametrize("unordered", [False, True])
def test_a_message_written_in_parts_is_one_message_to_who_reads_whole_ones(config: Config, unordered: bool) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        parts: list[bytes | bytearray | memoryview] = [b"", b"one ", bytearray(b"two "), b"", memoryview(b"three")]
        receipt = await writer.send_parts(parts, ppid=3, unordered=unordered)
        await writer.send(b"next")
        assert (await z.recv())[:4] == (b"one two three", 1, 3, unordered)
        assert (await z.recv()).data == b"next"
        await receipt

    run_ends(test, config=config)


def test_parts_need_not_be_read_as_they_were_written() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        texts = [b"%d," % number for number in range(20_000)]
        sending = asyncio.ensure_future(writer.send_parts(texts))
        assert await one(reader) == b"".join(texts)
        await sending

    run_ends(test, two_hosts(seed=2, loss=0.01), config=SMALL)


def test_many_parts_that_wait_are_taken_out_again() -> None:
    """Nothing leaves while the peer has no room. With cost that grows by their square this would take minutes."""

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for _ in range(8):
            a.write(bytes(1000), stream=9)
        await asyncio.sleep(1.0)
        _, writer = a.open_stream(1)

        def pieces() -> Iterator[bytes]:
            for _ in range(100_000):
                yield b"x"

        receipt = await writer.send_parts(pieces())
        assert writer.buffered == 100_000
        assert receipt.withdraw()
        assert writer.buffered == 0

    run_ends(test, z_config=Config(recv_buffer=4096))


# What may go wrong while a message is written.


async def failing(count: int, size: int = 8192, pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)
        if pause:
            await asyncio.sleep(pause)
    raise LookupError("no more")


@BOTH
def test_parts_that_fail_in_the_middle_withdraw_the_message(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        events, failures = z.events(), a.events()

        async def read() -> list[bytes]:
            found: list[bytes] = []
            parts = reader.parts()
            await expect_abandoned(parts)
            while len(found) < 2:
                part = await anext(parts)
                assert part.last
                found.append(part.data)
            return found

        reading = asyncio.ensure_future(read())
        with pytest.raises(LookupError):
            await writer.send_parts(failing(100), context="mine")
        await writer.send(b"next")
        await writer.send_parts([b"and ", b"next"])
        assert await reading == [b"next", b"and next"]
        async for event in events:
            if isinstance(event, PartialDeliveryAborted):
                assert event.stream == 1
                break
        async for failed in failures:
            if isinstance(failed, SendFailed):
                assert (failed.stream, failed.context, failed.sent) == (1, "mine", True)
                break
        assert a.abandoned(1)["withdrawn"] == (0, 1)

    run_ends(test, config=config)


@BOTH
def test_who_reads_late_is_told_between_the_parts_of_one_message_and_the_next(config: Config) -> None:
    """What has come of the message that was given up is not to be taken for the beginning of the next one."""

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        with pytest.raises(LookupError):
            await writer.send_parts(failing(5, pause=0.1))
        await writer.send(b"next")
        await a.flush()
        found: list[str] = []
        while not found or found[-1] != "next":
            try:
                part = await anext(parts)
                found.append("next" if part.last else "begun")
            except MessageAbandoned:
                found.append("abandoned")
        assert found[-2:] == ["abandoned", "next"] and set(found[:-2]) <= {"begun"} and len(found) > 2
        await writer.send(b"whole")
        assert (await reader.read()).data == b"whole"

    run_ends(test, config=config.replace(partial_delivery_point=1))


@BOTH
def test_who_reads_whole_messages_hears_nothing_of_one_that_was_given_up(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(LookupError):
            await writer.send_parts(failing(3, pause=0.1))
        await writer.send(b"next")
        assert (await z.recv()).data == b"next"

    run_ends(test, config=config)


@BOTH
def test_without_partial_reliability_the_association_is_aborted(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)

        async def read() -> None:
            with pytest.raises(AssociationAborted):
                await one(reader)

        reading = asyncio.ensure_future(read())
        with pytest.raises(LookupError):
            await writer.send_parts(failing(100))
        with pytest.raises(AssociationAborted) as caught:
            await a.wait_closed()
        assert not caught.value.by_peer
        await reading

    run_ends(test, config=config.replace(partial_reliability=False))


@pytest.mark.parametrize("config", [Config(), PLAIN], ids=["with", "without"])
@pytest.mark.parametrize("count", [0, 1])
def test_parts_that_fail_before_anything_has_left_change_nothing(config: Config, count: int) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(LookupError):
            await writer.send_parts(failing(count))
        await writer.send(b"next")
        message = await z.recv()
        assert message.data == b"next" and message.ssn == 0
        assert a.state is asyncsctp.State.ESTABLISHED

    run_ends(test, config=config)


@pytest.mark.parametrize("config", [Config(), PLAIN], ids=["with", "without"])
def test_parts_that_fail_while_all_of_them_wait_change_nothing(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for _ in range(8):
            a.write(bytes(1000), stream=9)
        await asyncio.sleep(1.0)
        _, writer = a.open_stream(1)
        with pytest.raises(LookupError):
            await writer.send_parts(failing(7))
        assert writer.buffered == 0
        await writer.send(b"next")
        while (message := await z.recv()).stream == 9:
            pass
        assert (message.data, message.ssn) == (b"next", 0)

    run_ends(test, config=config, z_config=Config(recv_buffer=4096))


@pytest.mark.parametrize("parts", [[], [b""], [b"", bytearray(), memoryview(b"")]], ids=len)
def test_a_message_has_a_byte_in_one_of_its_parts_at_least(parts: list[bytes]) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(ValueError, match="at least 1 byte"):
            await writer.send_parts(parts)
        await writer.send(b"x")
        assert (await z.recv()).ssn == 0

    run_ends(test)


def test_wrong_parts_are_named() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(TypeError, match="bytes-like object, not str"):
            await writer.send_parts(["text"])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            await writer.send_parts(5)  # type: ignore[arg-type]
        # A compiled method looks at the types itself, and does not say which argument has the wrong one.
        with pytest.raises(TypeError, match=None if asyncsctp.compiled else "ppid"):
            await writer.send_parts([b"x"], ppid="1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="ppid"):
            await writer.send_parts([b"x"], ppid=-1)
        with pytest.raises(TypeError, match=None if asyncsctp.compiled else "unordered"):
            await writer.send_parts([b"x"], unordered=1)  # type: ignore[arg-type]
        await writer.send_parts([b"x"])
        assert (await z.recv()).data == b"x"

    run_ends(test)


async def slowly(count: int, size: int = 8192, pause: float = 1.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)
        await asyncio.sleep(pause)


@BOTH
def test_nothing_else_is_written_to_a_stream_between_the_parts_of_a_message(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        sending = asyncio.ensure_future(writer.send_parts(slowly(4)))
        await asyncio.sleep(1.5)
        for write in (lambda: writer.write(b"x"), lambda: a.write(b"x", stream=1), lambda: writer.write_many([b"x"])):
            with pytest.raises(RuntimeError, match="stream 1 in parts"):
                write()
        with pytest.raises(RuntimeError, match="stream 1 in parts"):
            await writer.send_parts([b"x", b"y"])
        reading = asyncio.ensure_future(one(reader))
        await sending
        assert len(await reading) == 4 * 8192
        await writer.send(b"x")
        assert await one(reader) == b"x"

    run_ends(test, config=config)


@pytest.mark.parametrize("interleaving", [False, True])
def test_other_streams_go_on_meanwhile_with_interleaving_and_wait_without(interleaving: bool) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        clock = asyncio.get_running_loop().time
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        sending = asyncio.ensure_future(writer.send_parts(slowly(10)))
        reading = asyncio.ensure_future(one(reader))
        await asyncio.sleep(2.5)
        started = clock()
        a.write(b"another stream", stream=2)
        message = await z.recv()
        assert (message.data, message.stream) == (b"another stream", 2)
        if interleaving:
            assert clock() - started < 0.1 and not sending.done()
        else:
            assert sending.done()
        assert len(await reading) == 10 * 8192

    run_ends(test, config=SMALL.replace(interleaving=interleaving))


@BOTH
def test_a_sender_that_is_cancelled_withdraws_the_message(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await writer.send_parts([bytes(8192)] * 1000)  # nobody reads
        await writer.send(b"next")
        await expect_abandoned(parts)
        part = await anext(parts)
        assert part.last and part.data == b"next"

    run_ends(test, config=config)


@BOTH
def test_a_lifetime_bounds_a_message_in_parts(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        started = asyncio.get_running_loop().time()

        async def send() -> None:
            async with asyncio.timeout(3.2) as limit:
                await writer.send_parts(slowly(10), lifetime=limit)

        with pytest.raises(TimeoutError):
            await send()
        assert asyncio.get_running_loop().time() == pytest.approx(started + 3.2)
        assert a.abandoned()["timed"] == (0, 1) or a.abandoned()["withdrawn"] == (0, 1)
        await expect_abandoned(parts)
        await writer.send(b"next")
        assert (await anext(parts)).data == b"next"

    run_ends(test, config=config)


@BOTH
def test_a_message_in_parts_whose_lifetime_is_over_is_counted_once(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        with pytest.raises(MessageAbandoned):
            await writer.send_parts(slowly(10), lifetime=3.2)
        assert {name: tuple(count) for name, count in a.abandoned().items() if any(count)} == {"timed": (0, 1)}
        await writer.send(b"next")
        assert (await z.recv()).data == b"next"

    run_ends(test, config=config)


@BOTH
def test_closing_the_writer_does_not_cut_the_message_short(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        sending = asyncio.ensure_future(writer.send_parts(slowly(5)))
        await asyncio.sleep(2.5)
        writer.close()
        assert len(await one(reader)) == 5 * 8192
        await sending
        await writer.wait_closed()
        with pytest.raises(StopAsyncIteration):
            await anext(reader.parts())

    run_ends(test, config=config)


@BOTH
def test_closing_the_association_breaks_the_message_off(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        sending = asyncio.ensure_future(writer.send_parts(slowly(5)))
        await asyncio.sleep(2.5)
        a.write(b"of another stream", stream=2)
        closing = asyncio.ensure_future(a.close())
        assert (await z.recv()).data == b"of another stream"
        with pytest.raises(AssociationClosed):
            await sending
        await expect_abandoned(parts)
        await closing
        await a.wait_closed()
        assert [part async for part in parts] == []

    run_ends(test, config=config.replace(partial_delivery_point=1))


# What may go wrong while one is read.


@BOTH
def test_reading_whole_messages_goes_on_after_the_last_part(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        a.write(bytes(200_000), stream=1)
        for number in range(3):
            a.write(b"%d" % number, stream=1)
        await anext(parts)
        for read in (reader.read, reader.read_many):
            with pytest.raises(RuntimeError, match=r"parts\(\)"):
                await read()
        async for part in parts:
            if part.last:
                break
        await a.flush()
        assert [(await reader.read()).data for _ in range(3)] == [b"0", b"1", b"2"]
        a.write(b"3", stream=1)
        a.write(bytes(40_000), stream=1)
        assert (await reader.read()).data == b"3"
        assert (await reader.read()).data == bytes(40_000)
        assert await one_after(reader, a) == b"4"

    async def one_after(reader: StreamReader, a: asyncsctp.Association) -> bytes:
        a.write(b"4", stream=1)
        return await one(reader)

    run_ends(test, config=config)


def test_one_coroutine_alone_reads_parts() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        waiting = asyncio.ensure_future(one(reader))
        await asyncio.sleep(0.1)
        with pytest.raises(RuntimeError, match="another coroutine"):
            await anext(reader.parts())
        waiting.cancel()
        await asyncio.wait([waiting])
        a.write(b"x", stream=1)
        assert await one(reader) == b"x", "cancelling has lost nothing"

    run_ends(test)


def test_whole_messages_and_parts_are_not_waited_for_at_once() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        for wait, other in ((one(reader), reader.read), (reader.read(), parts.__anext__)):
            waiting = asyncio.ensure_future(wait)
            await asyncio.sleep(0.1)
            with pytest.raises(RuntimeError, match="another coroutine"):
                await other()
            a.write(b"x", stream=1)
            assert await waiting

    run_ends(test)


def test_parts_go_on_after_whole_messages() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        for text in (b"1", b"2"):
            a.write(text, stream=1)
            assert (await anext(parts)).data == text
            a.write(text, stream=1)
            assert (await reader.read()).data == text

    run_ends(test)


@BOTH
def test_a_stream_that_is_reset_ends_the_parts(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        _, writer = a.open_stream(1)
        sending = asyncio.ensure_future(writer.send_parts([bytes(8192)] * 20))
        await asyncio.sleep(1.0)
        assert not sending.done(), "nobody reads"
        found = [await anext(parts)]
        await asyncio.sleep(1.0)
        writer.close()
        found += [part async for part in parts]
        await sending
        assert sum(len(part.data) for part in found) == 20 * 8192
        assert [part.last for part in found].count(True) == 1 and found[-1].last
        assert reader.at_eof()
        with pytest.raises(EndOfStream):
            await reader.read()
        await writer.wait_closed()

    run_ends(test, config=config.replace(partial_delivery_point=1))


@BOTH
def test_what_has_come_is_not_the_end_for_who_has_not_read_it(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        a.write(b"x", stream=1)
        await a.close()
        await z.wait_closed()
        assert not reader.at_eof()
        assert [part.data async for part in parts] == [b"x"]
        assert reader.at_eof()
        with pytest.raises(EndOfStream):
            await reader.read()

    run_ends(test, config=config)


@BOTH
@pytest.mark.parametrize("gracefully", [False, True])
def test_an_association_that_ends_ends_the_parts(config: Config, gracefully: bool) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        reader, _ = z.open_stream(1)

        async def read() -> list[bool]:
            return [part.last async for part in reader.parts()]

        reading = asyncio.ensure_future(read())
        await a.send(b"x", stream=1)
        if gracefully:
            await a.close()
            assert await reading == [True]
            return
        sending = asyncio.ensure_future(a.open_stream(1)[1].send_parts(slowly(20)))
        await asyncio.sleep(9.5)
        a.abort(b"enough")
        with pytest.raises(AssociationAborted):
            await reading
        with pytest.raises(AssociationAborted):
            await sending

    run_ends(test, config=config)


def test_an_association_that_ends_ends_who_writes_parts() -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        z.open_stream(1)[0].parts()
        sending = asyncio.ensure_future(writer.send_parts([bytes(8192)] * 100))
        await asyncio.sleep(5.0)
        assert not sending.done(), "nobody reads"
        z.abort(b"enough")
        with pytest.raises(AssociationAborted):
            await sending
        with pytest.raises(AssociationAborted):
            await writer.send_parts([b"x"])
        writer.close()
        with pytest.raises(AssociationClosed):
            await writer.send_parts([b"x"])

    run_ends(test, config=SMALL)


@BOTH
def test_a_peer_that_closes_gets_what_was_whole_and_is_told_of_what_was_not(config: Config) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        sending = asyncio.ensure_future(writer.send_parts(slowly(5, pause=100.0)))
        await asyncio.sleep(150)
        receipt = a.write(b"whole", stream=2)
        closing = asyncio.ensure_future(z.close())
        await expect_abandoned(parts)
        assert (await z.recv()).data == b"whole"
        await receipt
        await closing
        await z.wait_closed()
        with pytest.raises(AssociationClosed):
            await sending

    run_ends(test, config=config.replace(partial_delivery_point=1))


@BOTH
@pytest.mark.parametrize("withdraws", [False, True])
def test_the_receipt_of_a_message_in_parts_is_one_like_others(config: Config, withdraws: bool) -> None:
    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        _, writer = a.open_stream(1)
        reader, _ = z.open_stream(1)
        parts = reader.parts()
        receipt = await writer.send_parts([bytes(8192)] * 14)  # more than the peer has room for; nobody reads
        await asyncio.sleep(1.0)
        waiting = asyncio.ensure_future(_wait(receipt))
        await asyncio.sleep(1.0)
        assert not waiting.done() and writer.buffered
        if withdraws:
            assert receipt.withdraw()
            assert not writer.buffered
            await expect_abandoned(parts)
            with pytest.raises(MessageAbandoned):
                await waiting
            assert not receipt.withdraw()
        else:
            assert sum([len(part.data) for part in [await anext(parts) for _ in range(3)]])
            rest = await one(reader)
            assert rest
            delivery = await waiting
            assert (delivery.path, await receipt) == (Z, delivery)
        await writer.send(b"next")
        assert await one(reader) == b"next"

    run_ends(test, config=config.replace(send_buffer=1024 * 1024))


async def _wait(receipt: Receipt) -> Delivery:
    return await receipt
