"""First come, first served (RFC 8260 section 3.1)."""

from __future__ import annotations

from asyncsctp.schedulers import NO_STREAM, FirstComeFirstServed


def test_streams_take_turns_by_the_arrival_of_their_first_message() -> None:
    scheduler = FirstComeFirstServed()
    scheduler.activate(7, 2)
    scheduler.activate(3, 1)
    scheduler.activate(5, 4)
    assert scheduler.next() == 3
    assert scheduler.next() == 3
    scheduler.served(3, 100, 3)
    assert scheduler.next() == 7
    scheduler.served(7, 100, NO_STREAM)
    assert scheduler.next() == 3
    scheduler.served(3, 100, 9)
    assert scheduler.next() == 5


def test_nothing_to_choose_from() -> None:
    scheduler = FirstComeFirstServed()
    assert scheduler.next() == NO_STREAM
    scheduler.activate(1, 1)
    scheduler.deactivate(1)
    assert scheduler.next() == NO_STREAM


def test_another_stream_than_the_next_one_may_have_been_served() -> None:
    scheduler = FirstComeFirstServed()
    scheduler.activate(1, 1)
    scheduler.activate(2, 2)
    scheduler.served(2, 10, 5)
    assert scheduler.next() == 1
    scheduler.served(2, 10, NO_STREAM)
    scheduler.served(1, 10, NO_STREAM)
    assert scheduler.next() == NO_STREAM
