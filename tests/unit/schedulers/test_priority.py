"""Strict priorities (RFC 8260 section 3.4)."""

from __future__ import annotations

import pytest
from support.scheduler_queue import Sender

from asyncsctp.schedulers import Priority


def sender(chunk: int | None = None, **values: int) -> Sender:
    sender = Sender(Priority(), chunk)
    for name, value in values.items():
        sender.scheduler.set_priority(int(name.removeprefix("stream")), value)
    return sender


def test_the_smaller_value_goes_first() -> None:
    it = sender(stream1=2, stream2=0, stream3=1)
    for sid in (1, 2, 3):
        it.write(sid, 10, 10)
    assert it.turns(6) == [2, 2, 3, 3, 1, 1]


def test_equal_ones_take_turns() -> None:
    it = sender(stream3=65535)
    for sid in (3, 1, 2):
        it.write(sid, 10, 10)
    assert it.turns(6) == [1, 2, 1, 2, 3, 3]


def test_none_given_is_the_highest() -> None:
    """Section 4.3.2: "the default value 0 is the highest priority"."""
    it = sender(stream1=1)
    it.write(1, 10)
    it.write(2, 10)
    assert it.turns(2) == [2, 1]


def test_a_long_message_does_not_delay_a_more_important_one() -> None:
    """Section 3.4, when interleaving: it waits for one chunk; else for the message."""
    for chunk, before in ((1000, 1), (None, 1)):
        it = sender(chunk, stream1=5)
        it.write(1, 10_000)
        it.turn()
        it.write(2, 10)
        assert it.turn() == 2
        assert it.sent.count(1) == before
        assert it.bytes_sent[1] == (chunk or 10_000)


def test_a_value_counts_for_what_was_written() -> None:
    it = sender()
    for sid in (1, 2, 3):
        it.write(sid, 10, 10)
    it.scheduler.set_priority(1, 9)
    assert it.turns(2) == [2, 3]
    it.scheduler.set_priority(1, 0)
    it.scheduler.set_priority(3, 4)
    assert it.turns(4) == [2, 1, 1, 3]


def test_a_value_outlasts_what_was_written() -> None:
    it = sender(stream1=1)
    it.write(1, 10)
    it.turn()
    it.write(1, 10)
    it.write(2, 10)
    assert it.turn() == 2


@pytest.mark.parametrize("value", [-1, 65536])
def test_values_have_16_bits(value: int) -> None:
    it = sender(stream1=1)
    it.write(1, 10)
    it.write(2, 10)
    with pytest.raises(ValueError, match=f"the priority of a stream must be between 0 and 65535, not {value}"):
        it.scheduler.set_priority(1, value)
    assert it.turn() == 2
