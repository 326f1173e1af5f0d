"""Whoever sends beside whoever fills the buffer: all of it arrives, and nobody waits for bytes that can't move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import pytest
from support.seeds import seeds
from support.simulated import run_ends, two_hosts

import asyncsctp
from asyncsctp import Config, EndOfStream, MessageAbandoned, ReconfigError, schedulers
from asyncsctp.schedulers import NO_STREAM, StreamScheduler

#: More than half of it is written again and again.
SMALL: Final = Config(send_buffer=20_000, recv_buffer=64 * 1024)
PART: Final = bytes(4000)
PARTS: Final = 25
HALVES: Final = 13

Sender = Callable[[asyncsctp.Association, int], Awaitable[int]]


class LastCome(StreamScheduler):
    """One of a user's own: the stream that came last is served until it has nothing left."""

    def __init__(self) -> None:
        self.stack: list[int] = []

    def activate(self, sid: int, order: int) -> None:
        self.stack.append(sid)

    def deactivate(self, sid: int) -> None:
        self.stack.remove(sid)

    def next(self) -> int:
        return self.stack[-1] if self.stack else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self.stack.remove(sid)


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(PARTS):
        yield PART
        await asyncio.sleep(0)


# Each sends about 100,000 bytes on a stream, and says how many messages they are.


async def in_parts(a: asyncsctp.Association, sid: int, *, unordered: bool = False) -> int:
    _, writer = a.open_stream(sid)
    await writer.send_parts(pieces(), unordered=unordered)
    return 1


async def one_by_one(a: asyncsctp.Association, sid: int, *, unordered: bool = False) -> int:
    for _ in range(PARTS):
        await a.send(PART, stream=sid, unordered=unordered)
    return PARTS


async def in_lists(a: asyncsctp.Association, sid: int) -> int:
    _, writer = a.open_stream(sid)
    for _ in range(PARTS // 5):
        writer.write_many([PART] * 5)
        await writer.drain()
    return PARTS // 5 * 5


async def fragmented(a: asyncsctp.Association, sid: int) -> int:
    for _ in range(HALVES):
        a.write(PART * 2, stream=sid)
        await a.drain(sid)
    return HALVES


async def at_once(a: asyncsctp.Association, sid: int) -> int:
    for _ in range(PARTS):
        a.write(PART, stream=sid)
    return PARTS


async def important(a: asyncsctp.Association, sid: int) -> int:
    """It makes room for itself, where there is something that matters less."""
    for _ in range(PARTS):
        await a.send(PART, stream=sid, lifetime=50)
    return PARTS


async def with_resets(a: asyncsctp.Association, sid: int) -> int:
    """What is written while all streams are to be reset waits for those that have begun."""
    resetting = asyncio.ensure_future(a.reset_streams(outgoing=[]))
    await asyncio.sleep(0)
    count = await one_by_one(a, sid)
    await resetting
    return count


async def with_a_reset_of_tsns(a: asyncsctp.Association, sid: int) -> int:
    resetting = asyncio.ensure_future(a.reset_tsns())
    await asyncio.sleep(0)
    count = await one_by_one(a, sid)
    await resetting
    return count


OTHERS: Final[dict[str, Sender]] = {
    "send_parts": in_parts,
    "send_parts unordered": partial(in_parts, unordered=True),
    "send": one_by_one,
    "send unordered": partial(one_by_one, unordered=True),
    "write_many": in_lists,
    "fragments": fragmented,
    "write": at_once,
    "lifetimes": important,
    "resets": with_resets,
    "a reset of TSNs": with_a_reset_of_tsns,
}
SCHEDULERS: Final[dict[str, Callable[[], StreamScheduler] | None]] = {
    "default": None,
    "round robin": schedulers.RoundRobin,
    "fair": schedulers.FairBandwidth,
    "own": LastCome,
}


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("unordered", [False, True], ids=["ordered", "unordered"])
def test_parts_and_others_all_arrive(other: str, scheduler: str, unordered: bool, interleaving: bool) -> None:
    config = SMALL.replace(interleaving=interleaving, scheduler=SCHEDULERS[scheduler])

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        senders = [in_parts(a, 1, unordered=unordered), *(OTHERS[other](a, sid) for sid in (2, 3))]
        reading = asyncio.ensure_future(collect(z, len(senders)))
        await asyncio.gather(*senders)
        await a.flush()
        await a.close()
        assert (await reading) >= {1, 2}

    async def collect(z: asyncsctp.Association, count: int) -> set[int]:
        sizes: dict[int, int] = {}
        async for message in z:
            sizes[message.stream] = sizes.get(message.stream, 0) + len(message.data)
        assert len(sizes) == count and all(size >= len(PART) * PARTS for size in sizes.values())
        return set(sizes)

    run_ends(test, two_hosts(delay=0.002), config=config, timeout=120.0)


class Crowd:
    """Senders of every kind at once, whose streams are reset meanwhile, and who give up some of what they write."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.config = Config(
            send_buffer=random.choice((3000, 20_000, 100_000)),
            recv_buffer=random.choice((100_000, 1_000_000)),
            interleaving=random.random() < 0.5,
            partial_reliability=random.random() < 0.7,
            scheduler=random.choice(list(SCHEDULERS.values())),
            mtu=random.choice((1280, 1500, 9000)),
        )
        self.loss = random.choice((0.0, 0.0, 0.02))
        self.written: dict[int, list[bytes]] = {}
        self.read: dict[int, list[list[bytes]]] = {}  # by reader: there is a new one after each reset
        self.number = 0

    def message(self, size: int) -> bytes:
        self.number += 1
        return b"%07d" % self.number + bytes(size)

    async def run(self, a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        random = self.random
        serving = asyncio.ensure_future(self.serve(z))
        senders = [self.sender(a, sid) for sid in range(random.choice((2, 3, 6)))]
        if a.negotiated.stream_reconfig:
            senders += [self.reset(a) for _ in range(random.choice((0, 0, 1, 3)))]
        await asyncio.gather(*senders)
        await a.close()
        await serving
        for sid, messages in self.written.items():
            read = [data for one in self.read.get(sid, []) for data in one]
            assert [data[:7] for data in read] == [data[:7] for data in messages], f"stream {sid}"
            assert read == messages

    async def sender(self, a: asyncsctp.Association, sid: int) -> None:
        random = self.random
        _, writer = a.open_stream(sid)
        kept = self.written.setdefault(sid, [])
        for _ in range(random.choice((1, 5, 20))):
            await asyncio.sleep(random.choice((0, 0, 0.001, 0.1)))
            match random.randrange(6):
                case 0:
                    kept.append(self.message(random.choice((100, 5000, 50_000))))
                    await writer.send(kept[-1])
                case 1:
                    messages = [self.message(random.choice((10, 1000))) for _ in range(20)]
                    kept += messages
                    writer.write_many(messages)
                    await writer.drain()
                case 2 if a.negotiated.partial_reliability:
                    writer.write(b"lost" + bytes(random.choice((10, 5000))), lifetime=0)
                case 3 if a.negotiated.partial_reliability:
                    with suppress(MessageAbandoned):
                        await writer.send_parts(self.failing(b"lost"), lifetime=random.choice((0.01, 0.1)))
                case 4 if a.negotiated.partial_reliability:
                    with pytest.raises(ZeroDivisionError):
                        await writer.send_parts(self.failing(b"lost", error=ZeroDivisionError()))
                case _:
                    kept.append(self.message(random.choice((100, 50_000))))
                    size = random.choice((1, 1000, 7000))
                    if len(kept[-1]) < size * 1000:
                        await writer.send_parts([kept[-1][at : at + size] for at in range(0, len(kept[-1]), size)])
                    else:
                        await writer.send(kept[-1])

    async def failing(self, data: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
        for _ in range(self.random.choice((1, 5, 20))):
            yield data + bytes(3000)
            await asyncio.sleep(self.random.choice((0, 0.01)))
        if error is not None:
            raise error

    async def reset(self, a: asyncsctp.Association) -> None:
        await asyncio.sleep(self.random.random() * 0.2)
        which = self.random.choice(([], [0], [1, 2]))
        with suppress(ReconfigError):
            await (a.reset_tsns() if self.random.random() < 0.3 else a.reset_streams(outgoing=which))

    async def serve(self, z: asyncsctp.Association) -> None:
        """Reads some streams whole, some in parts, and is slow."""
        reading: list[asyncio.Task[None]] = []
        with suppress(EndOfStream):
            while True:
                reader, _ = await z.accept_stream()
                reading.append(asyncio.ensure_future(self.answer(reader, self.random.random() < 0.5)))
        await asyncio.gather(*reading)

    async def answer(self, reader: asyncsctp.StreamReader, parts: bool) -> None:
        read: list[bytes] = []
        self.read.setdefault(reader.stream, []).append(read)
        while True:
            try:
                data = await self.one(reader, parts)
            except MessageAbandoned:
                continue
            except (EndOfStream, StopAsyncIteration):
                return
            if not data.startswith(b"lost"):
                read.append(data)
            await asyncio.sleep(self.random.choice((0, 0, 0.01)))

    async def one(self, reader: asyncsctp.StreamReader, parts: bool) -> bytes:
        if not parts:
            return (await reader.read()).data
        data: list[bytes] = []
        while True:
            part = await anext(reader.parts())
            data.append(part.data)
            if part.last:
                return b"".join(data)


#: The last word, SHUTDOWN COMPLETE, was lost, and the readers waited until T2-shutdown gave up.
LAST_WORD_LOST: Final = (153, 242, 264)


@pytest.mark.parametrize("seed", [*seeds(60), *LAST_WORD_LOST])
def test_a_crowd_of_senders(seed: int) -> None:
    """Whatever they do to one another, what is reliable arrives, once and in order."""
    crowd = Crowd(seed)
    run_ends(crowd.run, two_hosts(seed, delay=0.002, loss=crowd.loss), config=crowd.config, timeout=120.0)


def test_two_long_messages_written_by_two_tasks_both_arrive() -> None:
    """With the settings that a program has which sets none."""

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        parts = [bytes(64_000)] * 40
        writers = [a.open_stream(sid)[1] for sid in (1, 2)]
        readers = [z.open_stream(sid)[0] for sid in (1, 2)]
        reading = [asyncio.ensure_future(read(reader)) for reader in readers]
        await asyncio.gather(*(writer.send_parts(parts) for writer in writers))
        assert [await task for task in reading] == [40 * 64_000] * 2

    async def read(reader: asyncsctp.StreamReader) -> int:
        size = 0
        async for part in reader.parts():
            size += len(part.data)
            if part.last:
                break
        return size

    run_ends(test, two_hosts(delay=0.002), timeout=120.0)
