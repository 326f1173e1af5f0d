"""A scheduler of a user that makes mistakes: they are told, and the order of arrival takes over."""

from __future__ import annotations

import re

import pytest
from support.scheduler_queue import Sender

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
from asyncsctp.schedulers.guard import guard, make


class Newest(StreamScheduler):
    """The stream that came last, until it fails in the method that it is told to."""

    fails_in = ""

    def __init__(self) -> None:
        self.sids: list[int] = []

    def fail(self, method: str) -> None:
        if self.fails_in == method:
            raise KeyError("no such thing")

    def activate(self, sid: int, order: int) -> None:
        self.fail("activate")
        self.sids.append(sid)

    def deactivate(self, sid: int) -> None:
        self.fail("deactivate")
        self.sids.remove(sid)

    def next(self) -> int:
        self.fail("next")
        return self.sids[-1] if self.sids else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        self.fail("served")
        if order == NO_STREAM:
            self.sids.remove(sid)

    def begin_packet(self) -> None:
        self.fail("begin_packet")

    def set_priority(self, sid: int, value: int) -> None:
        self.fail("set_priority")
        if value > 9:
            raise ValueError("0 to 9")


class Told:
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __call__(self, error: Exception) -> None:
        self.errors.append(error)

    @property
    def only(self) -> str:
        assert len(self.errors) == 1
        return str(self.errors[0])


@pytest.mark.parametrize(
    "scheduler", [FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth, WeightedFairQueueing]
)
def test_those_of_the_library_need_no_guard(scheduler: type[StreamScheduler]) -> None:
    made = scheduler()
    assert guard(made, Told()) is made


def test_a_guarded_one_is_not_guarded_twice() -> None:
    guarded = guard(Newest(), Told())
    assert guard(guarded, Told()) is guarded


def test_one_that_does_nothing_wrong_goes_on() -> None:
    told = Told()
    sender = Sender(guard(Newest(), told))
    for sid in (1, 2, 3):
        sender.write(sid, 10, 10)
    sender.withdraw(2)
    sender.scheduler.set_priority(1, 2)
    assert sender.packet(3) == [3, 3, 1]
    assert sender.packet(3) == [1]
    assert sender.packet(3) == []
    assert not told.errors


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("activate", r"activate\(4, 7\)"),
        ("deactivate", r"deactivate\(2\)"),
        ("next", r"next\(\)"),
        ("served", r"served\(3, 10, 6\)"),
        ("begin_packet", r"begin_packet\(\)"),
        ("set_priority", r"set_priority\(1, 2\)"),
    ],
)
def test_one_that_raises_is_replaced_and_nothing_is_lost(method: str, call: str) -> None:
    told = Told()
    scheduler = Newest()
    sender = Sender(guard(scheduler, told))
    for sid in (2, 1, 3):
        sender.write(sid, 10)
    for sid in (2, 1, 3):
        sender.write(sid, 10)
    scheduler.fails_in = method
    if method == "activate":
        sender.write(4, 10)
        assert sender.packet(9) == [2, 1, 3, 2, 1, 3, 4]
    elif method == "deactivate":
        sender.withdraw(2)
        assert sender.packet(9) == [1, 3, 1, 3]
    elif method == "set_priority":
        sender.scheduler.set_priority(1, 2)
        assert sender.packet(9) == [2, 1, 3, 2, 1, 3]
    elif method == "served":
        assert sender.packet(9) == [3, 2, 1, 2, 1, 3]
    else:
        assert sender.packet(9) == [2, 1, 3, 2, 1, 3]
    for sid in (5, 6):  # and it goes on
        sender.write(sid, 10)
    sender.withdraw(5)
    sender.scheduler.set_priority(6, 1)
    assert sender.packet(9) == [6]
    expected = rf"scheduler Newest: {call} raised KeyError: 'no such thing'; FirstComeFirstServed has taken over"
    assert re.fullmatch(expected, told.only)
    assert isinstance(told.errors[0].__cause__, KeyError)


def test_one_that_names_a_stream_with_nothing_to_send() -> None:
    class Confused(Newest):
        def next(self) -> int:
            return 77

    told = Told()
    sender = Sender(guard(Confused(), told))
    sender.write(2, 10)
    sender.write(1, 10)
    assert sender.packet(9) == [2, 1]
    assert "Confused: next() chose stream 77, which has nothing to send" in told.only


def test_one_that_sends_nothing_at_all() -> None:
    class Idle(Newest):
        def next(self) -> int:
            return NO_STREAM

    told = Told()
    sender = Sender(guard(Idle(), told))
    sender.write(2, 10)
    sender.write(1, 10)
    assert sender.packet(9) == [2, 1]
    assert "Idle: next() gave NO_STREAM for an empty packet while 2 streams are active" in told.only


def test_a_packet_may_be_ended() -> None:
    class OnePerPacket(Newest):
        full = False

        def begin_packet(self) -> None:
            self.full = False

        def next(self) -> int:
            return NO_STREAM if self.full else super().next()

        def served(self, sid: int, size: int, order: int) -> None:
            self.full = True
            super().served(sid, size, order)

    told = Told()
    sender = Sender(guard(OnePerPacket(), told))
    for sid in (1, 2):
        sender.write(sid, 10)
    assert [sender.packet(9) for _ in range(3)] == [[2], [1], []]
    assert not told.errors


def test_one_that_gives_no_number() -> None:
    class Silent(Newest):
        def next(self) -> int:
            return None if self.sids else NO_STREAM  # type: ignore[return-value]

    told = Told()
    sender = Sender(guard(Silent(), told))
    sender.write(1, 10)
    sender.write(2, 10)
    assert sender.packet(9) == [1, 2]
    assert "Silent: next()" in told.only and "None" in told.only


def test_methods_that_are_missing() -> None:
    class Nothing(StreamScheduler):
        pass

    told = Told()
    sender = Sender(guard(Nothing(), told))
    sender.write(1, 10)
    sender.write(2, 10)
    assert sender.packet(9) == [1, 2]
    assert "Nothing: activate(1, 1) raised NotImplementedError" in told.only


def test_a_wrong_value_is_the_callers_affair() -> None:
    told = Told()
    sender = Sender(guard(Newest(), told))
    sender.write(1, 10)
    with pytest.raises(ValueError, match="0 to 9"):
        sender.scheduler.set_priority(1, 10)
    assert not told.errors


def test_an_error_that_can_not_be_shown() -> None:
    class WorseError(Exception):
        def __str__(self) -> str:
            raise self

    class Worse(Newest):
        def next(self) -> int:
            raise WorseError

    told = Told()
    sender = Sender(guard(Worse(), told))
    sender.write(1, 10)
    assert sender.turn() == 1
    assert "Worse: next() raised WorseError;" in told.only


def test_what_the_config_names() -> None:
    told = Told()
    assert type(make(None, told)) is FirstComeFirstServed
    assert type(make(Priority, told)) is Priority
    sender = Sender(make(Newest, told))
    sender.write(1, 10)
    sender.write(2, 10)
    assert sender.turn() == 2
    assert not told.errors


def test_a_factory_that_has_none() -> None:
    def broken() -> StreamScheduler:
        raise OSError("not today")

    told = Told()
    assert type(make(broken, told)) is FirstComeFirstServed
    assert "broken" in told.only and "could not be made: OSError: not today" in told.only
    told = Told()
    assert type(make(dict, told)) is FirstComeFirstServed
    assert "which is not a StreamScheduler" in told.only


def test_a_choice_that_can_not_even_be_written_is_told() -> None:
    class Unspeakable(int):
        def __repr__(self) -> str:
            raise ValueError("never")

    class Odd(Newest):
        def next(self) -> int:
            return Unspeakable(77)

    told: list[Exception] = []
    sender = Sender(guard(Odd(), told.append))
    sender.write(1, 10)
    assert sender.turn() == 1
    # A number is no object in the compiled form, and can be written there.
    assert ("next() chose stream 77" if compiled else "Unspeakable>") in str(told[0])


def test_a_guarded_scheduler_is_shown_as_what_it_guards() -> None:
    scheduler = Newest()
    guarded = guard(scheduler, print)
    assert repr(guarded) == repr(scheduler)
    Newest.fails_in = "next"
    try:
        guard(guarded, print).next()
    finally:
        Newest.fails_in = ""
