"""What schedulers keep, after whatever came and went: no more than the active streams need, and sums that add up."""

from __future__ import annotations

from random import Random

import pytest
from support.scheduler_queue import Sender
from support.seeds import seeds

from asyncsctp import compiled
from asyncsctp.schedulers import (
    NO_STREAM,
    FairBandwidth,
    FirstComeFirstServed,
    Priority,
    RoundRobin,
    RoundRobinPerPacket,
    StreamScheduler,
    WeightedFairQueueing,
)
from asyncsctp.schedulers.round_robin import Turns

SIX = [FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth, WeightedFairQueueing]


@pytest.mark.parametrize("seed", seeds(30))
def test_turns_are_as_a_sorted_list(seed: int) -> None:
    random = Random(seed)
    turns = Turns()
    model: dict[int, int] = {}
    for _ in range(2000):
        sid = random.randrange(20)
        if random.random() < 0.7:
            model[sid] = random.randrange(1000) * 32 + sid
            turns.put(sid, model[sid])
        elif sid in model:
            del model[sid]
            turns.remove(sid)
        first = min(model, key=model.__getitem__, default=NO_STREAM)
        assert turns.first() == first
        assert turns.keys == model
        if model:
            assert turns.first_key() == model[first]


@pytest.mark.parametrize("seed", seeds(30))
def test_first_come_first_served_is_by_arrival_whatever_goes(seed: int) -> None:
    random = Random(seed)
    sender = Sender(FirstComeFirstServed())
    for _ in range(2000):
        action = random.random()
        sid = random.randrange(12)
        waiting = sender.queues.get(sid, [])
        if action < 0.45:
            sender.write(sid, 10)
        elif action < 0.6 and waiting:
            sender.withdraw(sid)
        elif action < 0.75 and waiting:
            sender.scheduler.deactivate(sid)
            sender.scheduler.activate(sid, waiting[0][0])
        elif action < 0.8 and waiting:  # it was begun under another scheduler
            waiting.pop(0)
            sender.scheduler.served(sid, 10, waiting[0][0] if waiting else NO_STREAM)
        else:
            firsts = [(queue[0][0], sid) for sid, queue in sender.queues.items() if queue]
            assert sender.turn() == (min(firsts)[1] if firsts else NO_STREAM)


@pytest.mark.skipif(compiled, reason="compiled objects show nothing of what is in them")
@pytest.mark.parametrize("seed", seeds(20))
def test_the_weights_of_all_who_take_part_add_up(seed: int) -> None:
    random = Random(seed)
    scheduler = WeightedFairQueueing()
    sender = Sender(scheduler)
    for _ in range(3000):
        action = random.random()
        sid = random.randrange(40)
        if action < 0.4:
            sender.write(sid, *[random.randrange(1, 3000) for _ in range(random.randrange(1, 4))])
        elif action < 0.45 and sender.queues.get(sid):
            sender.withdraw(sid)
        elif action < 0.5:
            scheduler.set_priority(sid, random.choice((1, 1, 2, 300, 65535)))
        else:
            sender.turn()
        part = [*scheduler._active.keys, *scheduler._ahead.keys]
        assert len(part) == len(set(part))
        assert scheduler._total == sum(scheduler._weights.get(sid, 1) for sid in part)


@pytest.mark.parametrize("scheduler", SIX)
def test_withdrawing_very_often_leaves_no_heap_of_garbage(scheduler: type[StreamScheduler]) -> None:
    made = scheduler()
    for sid in range(3):
        made.activate(sid, sid + 1)
    for order in range(4, 50_000):
        made.deactivate(2)
        made.activate(2, order)
    if not compiled:
        inside = made._heads if isinstance(made, FirstComeFirstServed) else vars_of(made)
        assert len(inside) < 100
    served = []
    for _ in range(3):
        made.begin_packet()
        served.append(made.next())
        made.served(served[-1], 10, NO_STREAM)
    assert sorted(served) == [0, 1, 2]


def vars_of(made: object) -> list[tuple[int, int]]:
    turns = getattr(made, "_turns", None) or getattr(made, "_active", None)
    assert isinstance(turns, Turns)
    return turns._heap
