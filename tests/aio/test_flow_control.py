"""Water marks and waiters, against a core that only counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import pytest

from asyncsctp.aio.flow_control import SendBuffer, Turn, WaitList


class Counting:
    """As much of a core as the send buffer asks for."""

    def __init__(self) -> None:
        self.unacknowledged = 0
        self.unsent: dict[int, int] = {}
        self.under_way = -1  # the stream whose message must end before others leave

    @property
    def buffered(self) -> int:
        return self.unacknowledged + sum(self.unsent.values())

    @property
    def movable(self) -> int:
        return self.buffered if self.under_way < 0 else self.unacknowledged + self.unsent.get(self.under_way, 0)

    def pressing(self, sids: Collection[int]) -> list[int]:
        return [sid for sid in sids if sid == self.under_way]

    def buffered_of(self, sid: int) -> int:
        return self.unsent.get(sid, 0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 5))


async def is_waiting(task: asyncio.Task[Any]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def begin(waiting: Awaitable[None]) -> asyncio.Task[None]:
    async def wait() -> None:
        await waiting

    return asyncio.ensure_future(wait())


def test_room_below_the_mark_is_given_at_once() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unacknowledged = 1000
        await buffer.wait_for_space(0)

    run(test)


def test_a_full_buffer_makes_every_writer_wait_until_half_is_left() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unacknowledged = 1001
        tasks = [begin(buffer.wait_for_space(sid)) for sid in (0, 0, 7)]
        assert all([await is_waiting(task) for task in tasks])
        core.unacknowledged = 501
        buffer.check()
        assert all([await is_waiting(task) for task in tasks])
        core.unacknowledged = 500
        buffer.check()
        await asyncio.gather(*tasks)

    run(test)


def test_who_comes_while_others_wait_waits_too() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unacknowledged = 1001
        first = begin(buffer.wait_for_space(0))
        assert await is_waiting(first)
        core.unacknowledged = 700
        second = begin(buffer.wait_for_space(1))
        assert await is_waiting(second)
        core.unacknowledged = 0
        buffer.check()
        await asyncio.gather(first, second)

    run(test)


def test_one_stream_cannot_take_the_room_of_others() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unsent[3] = 501
        greedy = begin(buffer.wait_for_space(3))
        await buffer.wait_for_space(4)
        assert await is_waiting(greedy)
        core.unsent[3] = 250
        buffer.check()
        await greedy

    run(test)


def test_a_cancelled_writer_harms_no_other() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unacknowledged = 2000
        tasks = [begin(buffer.wait_for_space(0)) for _ in range(3)]
        assert await is_waiting(tasks[0])
        tasks[1].cancel()
        assert await is_waiting(tasks[0])
        core.unacknowledged = 0
        buffer.check()
        await asyncio.gather(tasks[0], tasks[2])
        assert tasks[1].cancelled()

    run(test)


def test_woken_and_cancelled_at_once_is_cancelled() -> None:
    async def test() -> None:
        waiting = WaitList()
        task = begin(waiting.wait())
        assert await is_waiting(task)
        waiting.wake()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)


def test_dry_is_when_nothing_is_unacknowledged() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        await buffer.wait_until_dry()
        core.unacknowledged = 1
        tasks = [begin(buffer.wait_until_dry()) for _ in range(2)]
        buffer.check()
        assert await is_waiting(tasks[0])
        core.unacknowledged = 0
        buffer.check()
        await asyncio.gather(*tasks)

    run(test)


def test_a_part_does_not_wait_for_what_can_not_move_before_its_message_ends() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unsent = {1: 200, 2: 900}
        parts = [begin(buffer.wait_for_part(sid)) for sid in (1, 2)]
        assert await is_waiting(parts[0]) and await is_waiting(parts[1])
        core.under_way = 1
        buffer.check()
        await parts[0]
        assert await is_waiting(parts[1])
        core.unsent[1] = 450
        core.unacknowledged = 600
        again = begin(buffer.wait_for_part(1))
        assert await is_waiting(again), "for what moves it waits as all do"
        core.unacknowledged = 50
        buffer.check()
        await again
        core.under_way = -1
        core.unsent = {2: 250}
        buffer.check()
        await parts[1]

    run(test)


def test_a_part_takes_its_turn_among_those_who_wait() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unacknowledged = 1001
        first = begin(buffer.wait_for_space(1))
        assert await is_waiting(first)
        core.unacknowledged = 900
        second = begin(buffer.wait_for_part(2))
        assert await is_waiting(second)
        core.unacknowledged = 500
        buffer.check()
        await asyncio.gather(first, second)

    run(test)


def test_the_end_releases_all() -> None:
    async def test() -> None:
        core = Counting()
        buffer = SendBuffer(core, 1000)
        core.unsent[1] = 600
        stream = begin(buffer.wait_for_space(1))
        assert await is_waiting(stream)
        core.unacknowledged = 2000
        room = begin(buffer.wait_for_space(2))
        part = begin(buffer.wait_for_part(3))
        assert await is_waiting(room) and await is_waiting(part)
        buffer.release()
        await asyncio.gather(stream, room, part)

    run(test)


def test_a_turn_is_for_one_even_between_wake_and_return() -> None:
    async def test() -> None:
        turn = Turn("in recv")
        first = begin(turn.wait())
        assert await is_waiting(first)
        turn.wake()
        with pytest.raises(RuntimeError, match="already waiting in recv"):
            await turn.wait()
        await first
        second = begin(turn.wait())
        assert await is_waiting(second)
        turn.wake()
        await second

    run(test)
