"""The lowest or highest key of a table that changes all the time."""

from __future__ import annotations

import random

import pytest

from asyncsctp.inbound.reassembly import LazyHeap


@pytest.mark.parametrize("highest", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_is_that_of_the_table_whatever_came_and_went(highest: bool, seed: int) -> None:
    chance = random.Random(seed)
    heap = LazyHeap(highest)
    table: dict[int, None] = {}
    for _ in range(3000):
        if not table or chance.random() < 0.55:
            key = chance.randrange(1000)
            if key not in table:
                table[key] = None
                heap.push(key, table)
        else:
            del table[chance.choice(list(table))]
        if chance.random() < 0.2:
            expected = (max if highest else min)(table, default=None)
            assert heap.first(table) == expected


def test_keys_are_popped_in_order_up_to_a_bound_and_once() -> None:
    heap = LazyHeap()
    table = dict.fromkeys([5, 1, 9, 3])
    assert [heap.pop(5, table) for _ in range(4)] == [1, 3, 5, None]
    table[2] = None
    heap.push(2, table)
    assert [heap.pop(8, table), heap.pop(8, table)] == [2, None]
    del table[9]
    assert heap.pop(100, table) is None


def test_keys_that_have_left_the_table_are_not_kept_for_ever() -> None:
    heap = LazyHeap()
    table: dict[int, None] = {}
    assert heap.first(table) is None
    for key in range(10_000):
        table[key] = None
        heap.push(key, table)
        del table[key]
    assert heap._heap is None or len(heap._heap) < 100
    table[7] = None
    heap.push(7, table)
    assert heap.first(table) == 7
