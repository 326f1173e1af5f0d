"""The kit for schedulers: it lets those of the library pass, and catches what others do wrong."""

from __future__ import annotations

import random
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from support.seeds import seeds

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
from asyncsctp.testing.schedulers import check_scheduler

SIX = [FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth, WeightedFairQueueing]


@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize("scheduler", SIX)
def test_the_six_pass(scheduler: type[StreamScheduler], seed: int) -> None:
    check_scheduler(scheduler, seed=seed)


class Line(StreamScheduler):
    """A right one, from which the wrong ones derive. (The first key of a plain dict is found by going over those that
    were removed before it.)
    """

    def __init__(self) -> None:
        self.line: OrderedDict[int, None] = OrderedDict()

    def activate(self, sid: int, order: int) -> None:
        self.line[sid] = None

    def deactivate(self, sid: int) -> None:
        del self.line[sid]

    def next(self) -> int:
        return next(iter(self.line), NO_STREAM)

    def served(self, sid: int, size: int, order: int) -> None:
        del self.line[sid]
        if order != NO_STREAM:
            self.line[sid] = None


def test_one_of_a_users_own_passes() -> None:
    check_scheduler(Line, seed=1)


class ForgetsWithdrawals(Line):
    def deactivate(self, sid: int) -> None:
        pass


class KeepsTheEmpty(Line):
    def served(self, sid: int, size: int, order: int) -> None:
        del self.line[sid]
        self.line[sid] = None


class ChangesItsMind(Line):
    def next(self) -> int:
        return random.choice(list(self.line)) if self.line else NO_STREAM


class LowestFirst(Line):
    """Starves the others."""

    def __init__(self) -> None:
        super().__init__()
        self.heap: list[int] = []

    def activate(self, sid: int, order: int) -> None:
        super().activate(sid, order)
        heappush(self.heap, sid)

    def next(self) -> int:
        while self.heap and self.heap[0] not in self.line:
            heappop(self.heap)
        return self.heap[0] if self.heap else NO_STREAM


class TrustsThatTheNextIsServed(Line):
    """Another one may have been begun before this scheduler was put in."""

    def served(self, sid: int, size: int, order: int) -> None:
        first = next(iter(self.line))
        if first != sid:
            raise RuntimeError(f"{first} was to be served")
        super().served(sid, size, order)


class EndsEmptyPackets(Line):
    """Every second packet is left empty."""

    count = 0

    def begin_packet(self) -> None:
        self.count += 1

    def next(self) -> int:
        return super().next() if self.count % 2 else NO_STREAM


class LooksAtAll(Line):
    """The smallest arrival number by looking at each: right, and slow."""

    def __init__(self) -> None:
        self.orders: dict[int, int] = {}

    def activate(self, sid: int, order: int) -> None:
        self.orders[sid] = order

    def deactivate(self, sid: int) -> None:
        del self.orders[sid]

    def next(self) -> int:
        return min(self.orders, key=self.orders.__getitem__, default=NO_STREAM)

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            del self.orders[sid]
        else:
            self.orders[sid] = order


class SearchesWhenOneLeaves(Line):
    """What list.remove() does no line of Python shows."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[int] = []

    def activate(self, sid: int, order: int) -> None:
        super().activate(sid, order)
        self.all.append(sid)

    def deactivate(self, sid: int) -> None:
        super().deactivate(sid)
        self.all.remove(sid)

    def served(self, sid: int, size: int, order: int) -> None:
        super().served(sid, size, order)
        if order == NO_STREAM:
            self.all.remove(sid)


class RemembersEveryone(Line):
    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[int, float] = {}

    def served(self, sid: int, size: int, order: int) -> None:
        super().served(sid, size, order)
        self.bytes[sid] = self.bytes.get(sid, 0.0) + size


class CanNotComeBack(Line):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def activate(self, sid: int, order: int) -> None:
        if order in self.seen:
            raise ValueError(f"the message {order} was here already")
        self.seen.add(order)
        super().activate(sid, order)


class GivesNoNumber(Line):
    def next(self) -> int:
        return next(iter(self.line), None)  # type: ignore[return-value]


class TooFewPlaces(Line):
    def activate(self, sid: int, order: int) -> None:
        if len(self.line) == 50_000:
            raise OverflowError("the line is full")
        super().activate(sid, order)


class ChokesOnPriorities(Line):
    def set_priority(self, sid: int, value: int) -> None:
        del self.line[sid]
        self.line[sid] = None


WRONG: list[tuple[Callable[[], StreamScheduler], str]] = [
    (ForgetsWithdrawals, r"next\(\) chose stream \d+, which has nothing to send; active: "),
    (KeepsTheEmpty, r"next\(\) chose stream \d+, which has nothing to send; active: "),
    (ChangesItsMind, r"next\(\) gave \d+, and then \d+ although nothing had happened"),
    (LowestFirst, r"stream \d+ has waited for \d+ turns of the 32 streams \(may_starve=True, if that is meant\)"),
    (TrustsThatTheNextIsServed, r"served\(\) raised RuntimeError: \d+ was to be served"),
    (EndsEmptyPackets, r"next\(\) gave NO_STREAM for an empty packet; active: \d+"),
    (LooksAtAll, r"next\(\) costs [\d,]+ lines and comparisons with 4096 streams, and [\d,]+ with 64"),
    (SearchesWhenOneLeaves, r"(served|deactivate)\(\) costs [\d,]+ lines and comparisons with 4096 streams"),
    (RemembersEveryone, r"\d+ objects are left of 60000 streams that have nothing more to send"),
    (CanNotComeBack, r"activate\(\) raised ValueError: the message \d+ was here already"),
    (GivesNoNumber, r"next\(\) gave None, which is not the number of a stream"),
    (TooFewPlaces, r"activate\(\) raised OverflowError: the line is full"),
    (ChokesOnPriorities, r"set_priority\(\) raised KeyError: \d+"),
    (StreamScheduler, r"activate\(\) raised NotImplementedError: "),
    (dict, r"the factory made \{\}, which is not a StreamScheduler"),  # type: ignore[list-item]
]


@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_ones_are_caught(wrong: Callable[[], StreamScheduler], said: str, seed: int) -> None:
    with pytest.raises(AssertionError) as caught:
        check_scheduler(wrong, seed=seed)
    story = str(caught.value)
    assert re.match(rf"{wrong.__name__}: {said}", story)
    assert story.endswith(f"\n  again by: check_scheduler(..., seed={seed})")


def test_the_story_is_told() -> None:
    with pytest.raises(AssertionError) as caught:
        check_scheduler(GivesNoNumber, seed=3)
    last = str(caught.value).splitlines()[-2]
    assert last == "    next() -> None"
    assert "what was done, the last at the end:" in str(caught.value)


def test_a_seed_repeats_what_went_wrong() -> None:
    with pytest.raises(AssertionError) as first:
        check_scheduler(ForgetsWithdrawals)
    found = re.search(r"seed=(\d+)\)$", str(first.value))
    assert found is not None
    with pytest.raises(AssertionError) as second:
        check_scheduler(ForgetsWithdrawals, seed=int(found[1]))
    assert str(second.value) == str(first.value)


def test_starving_may_be_meant() -> None:
    check_scheduler(LowestFirst, seed=1, may_starve=True)


def test_a_refused_value_is_no_mistake() -> None:
    class Choosy(Line):
        def set_priority(self, sid: int, value: int) -> None:
            if value > 5:
                raise ValueError("0 to 5")

    check_scheduler(Choosy, seed=1)


def test_another_tracer_gets_its_place_back() -> None:
    seen = sys.gettrace()
    check_scheduler(Line, seed=1, steps=10)
    assert sys.gettrace() is seen


@pytest.mark.parametrize(("streams", "steps"), [(1, 10), (2, 0)])
def test_too_little_to_try(streams: int, steps: int) -> None:
    with pytest.raises(ValueError, match="streams must be at least 2 and steps at least 1"):
        check_scheduler(Line, streams=streams, steps=steps)
