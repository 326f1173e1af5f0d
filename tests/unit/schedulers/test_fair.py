"""Fair capacity and weighted fair queueing (RFC 8260 sections 3.5 and 3.6)."""

from __future__ import annotations

from random import Random

import pytest
from support.scheduler_queue import Sender, shares
from support.seeds import seeds

from asyncsctp.schedulers import NO_STREAM, FairBandwidth, StreamScheduler, WeightedFairQueueing


def weighted(**weights: int) -> WeightedFairQueueing:
    scheduler = WeightedFairQueueing()
    for name, weight in weights.items():
        scheduler.set_priority(int(name.removeprefix("stream")), weight)
    return scheduler


@pytest.mark.parametrize("chunk", [None, 1200])
def test_equal_bytes_for_messages_of_unequal_length(chunk: int | None) -> None:
    sender = Sender(FairBandwidth(), chunk)
    sender.write(1, *[100] * 4000)
    sender.write(2, *[1000] * 400)
    sender.write(3, *[10_000] * 40)
    assert shares(sender.send_bytes(600_000)) == pytest.approx([1, 1, 1], abs=0.05)


@pytest.mark.parametrize("chunk", [None, 1200])
def test_bytes_in_proportion_to_weights(chunk: int | None) -> None:
    sender = Sender(weighted(stream2=2, stream3=5), chunk)
    for sid, size in ((1, 3000), (2, 100), (3, 1000)):
        sender.write(sid, *[size] * (900_000 // size))
    assert shares(sender.send_bytes(800_000)) == pytest.approx([1, 2, 5], abs=0.15)


def test_fair_capacity_has_no_weights() -> None:
    sender = Sender(FairBandwidth())
    sender.scheduler.set_priority(1, 100)
    sender.write(1, *[1000] * 100)
    sender.write(2, *[1000] * 100)
    assert shares(sender.send_bytes(100_000)) == [1, 1]


def test_the_largest_weight_beside_the_smallest() -> None:
    sender = Sender(weighted(stream1=65535), 1200)
    sender.write(1, *[1200] * 70_000)
    sender.write(2, *[1200] * 3)
    assert sender.turns(65_530).count(2) == 1
    assert sender.turns(20).count(2) == 1


@pytest.mark.parametrize("scheduler", [FairBandwidth, WeightedFairQueueing])
def test_idle_streams_save_nothing_up(scheduler: type[StreamScheduler]) -> None:
    sender = Sender(scheduler())
    sender.write(1, *[1000] * 1000)
    sender.write(2, *[1000] * 1000)
    sender.send_bytes(1_000_000)
    sender.write(3, *[1000] * 1000)
    assert shares(sender.send_bytes(300_000)) == pytest.approx([1, 1, 1], abs=0.02)


@pytest.mark.parametrize("scheduler", [FairBandwidth, WeightedFairQueueing])
def test_being_empty_for_an_instant_pays_no_debts(scheduler: type[StreamScheduler]) -> None:
    """Stream 1 has one long message at a time, and writes the next as soon as that has left."""
    sender = Sender(scheduler())
    sender.write(1, 100_000)
    sender.write(2, *[1000] * 3000)
    sender.write(3, *[1000] * 3000)
    for _ in range(1500):
        if sender.turn() == 1:
            sender.write(1, 100_000)
    assert shares(sender.bytes_sent) == pytest.approx([1, 1, 1], abs=0.2)


@pytest.mark.parametrize("scheduler", [FairBandwidth, WeightedFairQueueing])
def test_a_stream_that_is_alone_in_between_gets_its_share(scheduler: type[StreamScheduler]) -> None:
    """As above, but the send queue leaves the scheduler out when there is one stream."""
    sender = Sender(scheduler())
    sender.write(1, 100_000)
    sender.write(2, *[1000] * 3000)
    for _ in range(1500):
        if sender.turn() == 1:
            order = sender.queues[2][0][0]
            sender.scheduler.deactivate(2)
            sender.scheduler.activate(2, order)
            sender.write(1, 100_000)
    assert shares(sender.bytes_sent) == pytest.approx([1, 1], abs=0.2)


def test_a_debt_is_kept_while_nobody_has_anything_to_send() -> None:
    sender = Sender(FairBandwidth())
    sender.write(1, 10_000)
    sender.write(2, 100)
    assert sender.turns(2) == [1, 2]
    sender.write(1, 10_000)
    sender.write(2, *[100] * 200)
    assert sender.turns(30) == [2] * 30


def test_new_streams_do_not_starve_old_ones() -> None:
    """Each sends a single message, and another comes as soon as it is gone."""
    sender = Sender(FairBandwidth())
    sender.write(0, *[1000] * 10)
    sender.write(1, 1000)
    for sid in range(2, 200):
        sender.write(sid, 1000)
        sender.turn()
    assert sender.sent.count(0) == 10
    assert 0 in sender.sent[:10]


def test_a_weight_may_change_while_the_stream_sends_and_while_it_owes() -> None:
    scheduler = WeightedFairQueueing()
    sender = Sender(scheduler)
    sender.write(1, *[1000] * 1000)
    sender.write(2, *[1000] * 1000)
    sender.send_bytes(100_000)
    scheduler.set_priority(2, 3)
    assert shares(sender.send_bytes(400_000)) == pytest.approx([1, 3], abs=0.1)
    sender.withdraw(1)
    scheduler.set_priority(1, 6)
    scheduler.set_priority(2, 1)
    sender.write(1, *[1000] * 1000)
    sender.send_bytes(4000)
    assert shares(sender.send_bytes(210_000)) == pytest.approx([1, 0.17], abs=0.02)


@pytest.mark.parametrize("value", [-1, 0, 65536])
def test_weights_are_1_to_65535(value: int) -> None:
    scheduler = weighted(stream1=3)
    with pytest.raises(ValueError, match=f"the weight of a stream must be between 1 and 65535, not {value}"):
        scheduler.set_priority(1, value)
    sender = Sender(scheduler)
    sender.write(1, *[1000] * 100)
    sender.write(2, *[1000] * 100)
    assert shares(sender.send_bytes(80_000)) == pytest.approx([1, 0.33], abs=0.02)


@pytest.mark.parametrize("seed", seeds(20))
def test_shares_come_out_whatever_else_comes_and_goes(seed: int) -> None:
    """Streams 0 and 1 always have messages; 30 others have some now and then. Never do the two drift apart by more than
    their longest messages.
    """
    random = Random(seed)
    weights = [random.choice((1, 2, 3, 10)) for _ in range(2)]
    scheduler = weighted(stream0=weights[0], stream1=weights[1])
    sender = Sender(scheduler)
    for sid in (0, 1):
        sender.write(sid, *[random.randrange(1, 2000) for _ in range(5000)])
    for _ in range(3000):
        action = random.random()
        sid = random.randrange(2, 32)
        if action < 0.2:
            sender.write(sid, *[random.randrange(1, 20_000) for _ in range(random.randrange(1, 4))])
        elif action < 0.22 and sender.queues.get(sid):
            sender.withdraw(sid)
        elif action < 0.25:
            scheduler.set_priority(sid, random.randrange(1, 100))
        else:
            sender.turn()
            zero, one = (sender.bytes_sent.get(sid, 0) / weights[sid] for sid in (0, 1))
            assert abs(zero - one) <= 2000 / weights[0] + 2000 / weights[1]


def test_the_debts_of_very_many_are_forgiven_once_nobody_has_anything_to_send() -> None:
    """Each stream has sent more than its share at once; what is remembered of that is bounded."""
    scheduler = FairBandwidth()
    for sid in range(3000):
        scheduler.activate(sid, sid + 1)
    for sid in range(3000):
        scheduler.served(sid, 1_000_000 + sid, NO_STREAM)
    assert len(scheduler._ahead.keys) == 0
    sender = Sender(scheduler)
    sender.write(1, *[1000] * 100)
    sender.write(2, *[1000] * 100)
    assert shares(sender.send_bytes(100_000)) == pytest.approx([1, 1], abs=0.05)
