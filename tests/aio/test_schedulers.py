"""Schedulers as a program sees them: put in, swapped, told of streams, and wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp import Config, SchedulerFailed, schedulers
from asyncsctp.schedulers import NO_STREAM, StreamScheduler

SIZE = 20_000


class Raises(StreamScheduler):
    """Goes wrong in its tenth turn."""

    def __init__(self) -> None:
        self.active: dict[int, int] = {}
        self.turns = 0

    def activate(self, sid: int, order: int) -> None:
        self.active[sid] = order

    def deactivate(self, sid: int) -> None:
        del self.active[sid]

    def next(self) -> int:
        self.turns += 1
        if self.turns == 10:
            raise ZeroDivisionError("on purpose")
        return min(self.active)

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            del self.active[sid]


class NamesNobody(Raises):
    """Names a stream that has nothing to send."""

    def next(self) -> int:
        return 4711


def exchange(config: Config, between: Any = None) -> tuple[list[asyncsctp.Message], list[Any], list[Any]]:
    """Messages on four streams from A to Z at once: what arrived, the events, and what the loop was told."""
    network = two_hosts()
    network.link(A, Z, rate=1e7, one_way=True)
    complaints: list[Any] = []
    events: list[Any] = []
    got: list[asyncsctp.Message] = []

    async def listen(association: asyncsctp.Association) -> None:
        events.extend([event async for event in association.events()])

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as ours:
                theirs = await accepting
                listening = asyncio.ensure_future(listen(ours))
                await asyncio.sleep(0)
                for number in range(40):
                    ours.write(bytes(SIZE), stream=number % 4, ppid=number)
                if between is not None:
                    await asyncio.sleep(0.05)
                    between(ours)
                async with asyncio.timeout(600):
                    while len(got) < 40:
                        got.append(await theirs.recv())
                assert ours.state is asyncsctp.State.ESTABLISHED
            await listening

    network.run(main())
    assert sorted(message.ppid for message in got) == list(range(40))
    return got, events, complaints


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("wrong", [Raises, NamesNobody])
def test_one_that_goes_wrong_aborts_nothing_and_is_told(wrong: type[StreamScheduler], interleaving: bool) -> None:
    _, events, complaints = exchange(Config(scheduler=wrong, interleaving=interleaving))
    [failed] = [event for event in events if isinstance(event, SchedulerFailed)]
    assert complaints == [failed.error]
    assert wrong.__name__ in str(failed.error)


def test_the_more_important_stream_goes_first_once_that_is_said() -> None:
    def prefer(association: asyncsctp.Association) -> None:
        for sid in range(4):
            association.set_stream_priority(sid, 5)
        association.configure(scheduler=schedulers.Priority)
        _, writer = association.open_stream(3)
        writer.priority = 0
        assert writer.priority == 0

    got, _, complaints = exchange(Config(), prefer)
    assert complaints == []
    late = [message.stream for message in got][len(got) // 2 :]
    assert late.count(3) <= 2, "its messages were overtaken by none"


@pytest.mark.parametrize(
    ("sid", "value", "error"),
    [(0, -1, ValueError), (0, 1 << 40, ValueError), (0, "1", TypeError), (70_000, 1, ValueError), ("0", 1, TypeError)],
)
def test_wrong_values_are_refused(sid: Any, value: Any, error: type[Exception]) -> None:
    def wrong(association: asyncsctp.Association) -> None:
        with pytest.raises(error):
            association.set_stream_priority(sid, value)

    exchange(Config(scheduler=schedulers.WeightedFairQueueing), wrong)
