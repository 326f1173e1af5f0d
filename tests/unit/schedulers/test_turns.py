"""Streams in the order of their turns, whatever comes, goes and changes places."""

from __future__ import annotations

import random

import pytest

from asyncsctp.schedulers import NO_STREAM
from asyncsctp.schedulers.round_robin import Turns


@pytest.mark.parametrize("seed", range(5))
def test_the_first_is_the_one_with_the_smallest_number(seed: int) -> None:
    chance = random.Random(seed)
    turns = Turns()
    numbers: dict[int, int] = {}
    for count in range(5000):
        sid = chance.randrange(50)
        if chance.random() < 0.7:
            numbers[sid] = chance.randrange(1000) << 16 | count  # no two are equal
            turns.put(sid, numbers[sid])
        elif sid in numbers:
            del numbers[sid]
            turns.remove(sid)
        assert turns.keys == numbers
        if numbers:
            expected = min(numbers, key=numbers.__getitem__)
            assert (turns.first(), turns.first_key()) == (expected, numbers[expected])
        else:
            assert turns.first() == NO_STREAM


def test_entries_that_count_no_longer_are_not_kept_for_ever() -> None:
    turns = Turns()
    turns.put(0, 0)
    for number in range(10_000):
        turns.put(1, 20_000 - number)
    assert len(turns._heap) < 100
    turns.remove(0)
    assert turns.first() == 1


def test_all_can_be_removed() -> None:
    turns = Turns()
    for sid in range(5):
        turns.put(sid, sid)
    turns.clear()
    assert (turns.first(), turns.keys) == (NO_STREAM, {})
    turns.put(7, 1)
    assert turns.first() == 7
