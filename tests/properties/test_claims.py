"""Streams are claimed, accepted, reset, used again and read in any order: each message is had once, in the place where
it belongs, and nobody waits for what can't come.

The model is one list of messages for each place: what nobody has claimed, and each reader. A single seed is had again
by ASYNCSCTP_SEED, which takes a range as well.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final

import pytest
from support.inbox import Box
from support.seeds import seeds

from asyncsctp import AssociationAborted, EndOfStream, SCTPError
from asyncsctp.aio.reader import Message, StreamReader
from asyncsctp.events import StreamsReset

STREAMS: Final = 5


class Held:
    """What the model knows of one reader."""

    def __init__(self, reader: StreamReader, messages: list[bytes], *, ended: bool) -> None:
        self.reader = reader
        self.messages = messages
        self.ended = ended
        self.waiting: asyncio.Task[Any] | None = None


class Life:
    """One inbox, and the model beside it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.box = Box()
        self.log: list[str] = []
        self.count = 0
        #: Unclaimed: the stream, which of its lives (from reset to reset), and the message.
        self.unclaimed: list[tuple[int, int, bytes]] = []
        self.lives = [0] * STREAMS
        self.used: set[int] = set()  # by the peer, while unclaimed
        self.written: set[int] = set()  # by us, while unclaimed
        self.half: dict[int, set[str]] = {}  # claimed streams of which a direction was reset
        self.closing: set[int] = set()
        self.readers: list[Held] = []
        self.claimed: dict[int, Held] = {}
        self.receiving: asyncio.Task[Any] | None = None
        self.accepting: asyncio.Task[Any] | None = None
        self.had: list[bytes] = []

    async def run(self) -> None:
        random = self.random
        steps = (
            [self.arrive] * 8
            + [self.read] * 4
            + [self.receive, self.receive_many, self.accept, self.accept, self.claim, self.claim, self.open]
            + [self.reset, self.reset, self.reset_all, self.close, self.answer, self.write, self.wait_for_a_message]
            + [self.wait_for_a_stream, self.wait_at_a_reader, self.wait_at_a_reader, self.cancel]
        )
        for _ in range(random.choice((10, 40, 120))):
            await random.choice(steps)()
            await self.settle()
            self.check()
        await self.end()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    def note(self, what: str) -> None:
        self.log.append(what)

    # What the peer does.

    async def arrive(self) -> None:
        sid = self.random.randrange(STREAMS)
        self.count += 1
        data = b"%d" % self.count
        self.note(f"arrive {data!r} on {sid}")
        self.box.arrive(sid, data)
        held = self.claimed.get(sid)
        if held is not None:
            held.messages.append(data)
        else:
            self.unclaimed.append((sid, self.lives[sid], data))
            self.used.add(sid)
        await self.settle()
        await self.take_waiting()

    async def take_waiting(self) -> None:
        """Who waited has the message now: who accepts comes before who receives."""
        if self.accepting is not None and self.unclaimed:
            reader = await asyncio.wait_for(self.accepting, 1)
            self.accepting = None
            self.model_claim(reader, self.unclaimed[0][0])
        if self.receiving is not None and self.unclaimed:
            message = await asyncio.wait_for(self.receiving, 1)
            self.receiving = None
            self.expect(message, self.unclaimed.pop(0)[2])
        for held in self.readers:
            if held.waiting is not None and held.messages:
                message = await asyncio.wait_for(held.waiting, 1)
                held.waiting = None
                self.expect(message, held.messages.pop(0))

    def expect(self, message: Message, data: bytes) -> None:
        assert message.data == data
        self.had.append(data)

    async def reset(self) -> None:
        sid = self.random.randrange(STREAMS)
        self.note(f"reset {sid}")
        self.box.inbox.note(StreamsReset(outgoing=False, streams=(sid,), result="ok"))
        await self.model_reset(sid)

    async def reset_all(self) -> None:
        if self.random.random() < 0.3:
            self.note("reset all")
            self.box.inbox.note(StreamsReset(outgoing=False, streams=(), result="ok"))
            for sid in range(STREAMS):
                if sid in self.claimed or sid in self.used:
                    await self.model_reset(sid)

    async def model_reset(self, sid: int) -> None:
        held = self.claimed.pop(sid, None)
        self.lives[sid] += 1
        self.used.discard(sid)
        if held is not None:
            held.ended = True
            self.model_half(sid, "incoming")
            if held.waiting is not None:
                with pytest.raises((EndOfStream, StopAsyncIteration)):
                    await asyncio.wait_for(held.waiting, 1)
                held.waiting = None

    def model_half(self, sid: int, direction: str) -> None:
        half = self.half.setdefault(sid, set())
        half.add(direction)
        if len(half) == 2:
            del self.half[sid]

    # What our program does.

    async def claim(self) -> None:
        sid = self.random.randrange(STREAMS)
        self.note(f"claim {sid}")
        held_back = sid in self.closing or (sid in self.half and sid in self.written)
        if sid in self.claimed or held_back:
            with pytest.raises(ValueError, match="claimed"):
                self.box.inbox.claim(sid)
        else:
            self.model_claim(self.box.inbox.claim(sid), sid)

    def model_claim(self, reader: StreamReader, sid: int) -> None:
        assert reader.stream == sid
        self.half.pop(sid, None)
        self.closing.discard(sid)
        lives = [life for other, life, _ in self.unclaimed if other == sid]
        life = lives[0] if lives else self.lives[sid]
        taken = [data for other, number, data in self.unclaimed if (other, number) == (sid, life)]
        self.unclaimed = [entry for entry in self.unclaimed if entry[:2] != (sid, life)]
        held = Held(reader, taken, ended=life != self.lives[sid])
        self.readers.append(held)
        if held.ended:
            self.model_half(sid, "incoming")
        else:
            self.claimed[sid] = held
            self.used.discard(sid)

    async def open(self) -> None:
        """The lowest that is free."""
        sid = self.box.inbox.lowest_unused(STREAMS)
        self.note(f"open {sid}")
        taken = self.used | self.written | set(self.claimed) | set(self.half) | self.closing
        taken |= {sid for sid, _, _ in self.unclaimed}
        assert sid == min(set(range(STREAMS)) - taken, default=-1)
        if sid >= 0:
            self.model_claim(self.box.inbox.claim(sid), sid)

    async def accept(self) -> None:
        if self.unclaimed and self.accepting is None:
            self.note("accept")
            self.model_claim(await asyncio.wait_for(self.box.inbox.accept(), 1), self.unclaimed[0][0])

    async def receive(self) -> None:
        if self.unclaimed and self.receiving is None:
            self.note("receive")
            self.expect(await asyncio.wait_for(self.box.inbox.unclaimed.read(), 1), self.unclaimed.pop(0)[2])

    async def receive_many(self) -> None:
        if self.unclaimed and self.receiving is None:
            limit = self.random.choice((None, 1, 2, 5))
            self.note(f"receive {limit}")
            messages = await asyncio.wait_for(self.box.inbox.unclaimed.read_many(limit), 1)
            expected, self.unclaimed = self.unclaimed[:limit], self.unclaimed[limit or len(self.unclaimed) :]
            assert [message.data for message in messages] == [data for _, _, data in expected]
            self.had += [message.data for message in messages]

    async def read(self) -> None:
        ready = [held for held in self.readers if (held.messages or held.ended) and held.waiting is None]
        if not ready:
            return
        held = self.random.choice(ready)
        self.note(f"read {held.reader.stream}")
        if not held.messages:
            with pytest.raises(EndOfStream):
                await asyncio.wait_for(held.reader.read(), 1)
            self.readers.remove(held)
        elif self.random.random() < 0.5:
            self.expect(await asyncio.wait_for(held.reader.read(), 1), held.messages.pop(0))
        elif self.random.random() < 0.5:
            messages = await asyncio.wait_for(held.reader.read_many(), 1)
            assert [message.data for message in messages] == held.messages
            self.had += held.messages
            held.messages.clear()
        else:
            part = await asyncio.wait_for(anext(held.reader.parts()), 1)
            assert part.data == held.messages.pop(0)
            self.had.append(part.data)

    async def close(self) -> None:
        """A writer is closed: the reset of our direction is under way."""
        if self.claimed:
            sid = self.random.choice(sorted(self.claimed))
            self.note(f"close {sid}")
            self.box.inbox.close_outgoing(sid)
            self.closing.add(sid)

    async def answer(self) -> None:
        """The peer has answered resets of ours."""
        sid = self.random.randrange(STREAMS)
        self.note(f"answer {sid}")
        self.box.inbox.note(StreamsReset(outgoing=True, streams=(sid,), result="ok"))
        self.written.discard(sid)
        if sid in self.closing:
            self.closing.discard(sid)
            self.model_half(sid, "outgoing")

    async def write(self) -> None:
        sid = self.random.randrange(STREAMS)
        self.note(f"write {sid}")
        self.box.inbox.use_outgoing(sid)
        self.written.add(sid)

    # Who waits.

    async def wait_for_a_message(self) -> None:
        if not self.unclaimed and self.receiving is None:
            self.note("wait for a message")
            self.receiving = asyncio.ensure_future(self.box.inbox.unclaimed.read())

    async def wait_for_a_stream(self) -> None:
        if not self.unclaimed and self.accepting is None:
            self.note("wait for a stream")
            self.accepting = asyncio.ensure_future(self.box.inbox.accept())

    async def wait_at_a_reader(self) -> None:
        idle = [held for held in self.readers if not held.messages and not held.ended and held.waiting is None]
        if idle:
            held = self.random.choice(idle)
            self.note(f"wait at {held.reader.stream}")
            read = held.reader.read if self.random.random() < 0.6 else held.reader.parts().__anext__
            held.waiting = asyncio.ensure_future(read())

    async def cancel(self) -> None:
        """Somebody waits no more; nothing is lost by that."""
        waiting = [held for held in self.readers if held.waiting is not None]
        if waiting:
            held = self.random.choice(waiting)
            self.note(f"cancel at {held.reader.stream}")
            assert held.waiting is not None
            held.waiting.cancel()
            await asyncio.wait([held.waiting])
            held.waiting = None

    # What must hold.

    def check(self) -> None:
        for held in self.readers:
            parts = held.reader.parts() if held.reader.reads_parts else ()
            assert len(held.reader) + len(parts) == len(held.messages)
        assert len(self.box.inbox.unclaimed) == len(self.unclaimed)

    async def end(self) -> None:
        """What has come can be read after the end, and whoever waits hears of it."""
        error: SCTPError | None = self.random.choice((None, AssociationAborted("the test")))
        self.note(f"end {error!r}")
        box = self.box
        box.end(error)
        told = [held.waiting for held in self.readers if held.waiting is not None]
        told += [task for task in (self.receiving, self.accepting) if task is not None]
        for task in told:
            with pytest.raises((EndOfStream, StopAsyncIteration, AssociationAborted)):
                await asyncio.wait_for(task, 1)
        while self.unclaimed:
            if self.random.random() < 0.5:
                self.expect(await asyncio.wait_for(box.inbox.unclaimed.read(), 1), self.unclaimed.pop(0)[2])
            else:
                self.model_claim(await asyncio.wait_for(box.inbox.accept(), 1), self.unclaimed[0][0])
        for held in self.readers:
            while held.messages:
                self.expect(await asyncio.wait_for(held.reader.read(), 1), held.messages.pop(0))
            with pytest.raises((EndOfStream, AssociationAborted)):
                await asyncio.wait_for(held.reader.read(), 1)
        assert sorted(self.had) == sorted(b"%d" % (number + 1) for number in range(self.count))


@pytest.mark.parametrize("seed", seeds(300))
def test_each_message_is_in_one_place(seed: int) -> None:
    life = Life(seed)
    try:
        asyncio.run(asyncio.wait_for(life.run(), 20))
    except BaseException as error:
        error.add_note("\n".join(life.log))
        raise
