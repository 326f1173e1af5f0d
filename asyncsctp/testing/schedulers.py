"""A kit that tries stream schedulers: whether one keeps to the contract of `asyncsctp.schedulers.StreamScheduler`."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Callable
from itertools import count, islice
from random import Random
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NoReturn, final

from ..schedulers import NO_STREAM, StreamScheduler

#: A stream may wait for so many turns of each of the others. Turns are of 400 to 1400 bytes.
PATIENCE: Final = 64
MANY: Final = 60_000
#: A call may cost as much as that for each, and so much more, with so many times the streams.
FEW_STREAMS, MORE_STREAMS, COST_FACTOR, COST_ALLOWANCE = 64, 4096, 4, 64
#: Objects that it may have beyond what it began with, once it has seen MANY streams and all are empty.
MOST_LEFT: Final = 15_000
_VALUES: Final = (0, 1, 2, 7, 100, 65535)
_TOLD: Final = 16  # calls that the story goes back


def check_scheduler(
    factory: Callable[[], StreamScheduler],
    *,
    seed: int | None = None,
    streams: int = 32,
    steps: int = 4000,
    may_starve: bool = False,
) -> None:
    """Try the schedulers that `factory` makes; `AssertionError` with what was wrong and how it came to it.

    They are driven at random as an association would drive them, with whole messages and with chunks, up to `streams`
    streams and `steps` steps for each of several lives. `seed` has an earlier run repeated; without it, each run is
    another one, and the error says which. What must hold:

    * No method raises, but for `set_priority` a `ValueError`, whatever the state in which a stream comes, is withdrawn,
      pauses, or is served after it was begun under another scheduler.
    * `next()` names an active stream, the same one when asked again, and gives `NO_STREAM` only for a packet that holds
      something, or when no stream is active.
    * No active stream waits for more than 64 turns for each of the others. `may_starve` leaves this out, for schedulers
      that are meant to let streams wait, as `Priority` does. (It is asked without any `set_priority`.)
    * A call costs no more with 4,096 streams than 4 times what it costs with 64. Lines of Python executed and
      comparisons of numbers are counted, not time, so that this holds or not wherever it runs. What compiled code does
      is not seen.
    * 60,000 streams that are used once, together or one after the other, are all served, and leave nothing behind.
    """
    if streams < 2 or steps < 1:
        raise ValueError(f"streams must be at least 2 and steps at least 1, not {streams} and {steps}")
    if seed is None:
        seed = Random().randrange(1 << 32)
    for chunks in (False, True):
        for life in range(2):
            _Life(factory, seed, f"life {life} {chunks}", streams).run(steps, chunks)
    if not may_starve:
        _Fairness(factory, seed, "fairness", streams).run(4 * PATIENCE * streams)
    _check_costs(factory, seed)
    _Crowd(factory, seed, "crowd", MANY).run()


class _DrivenScheduler:
    """A scheduler, what it should know, and the story of what was done to it."""

    def __init__(self, factory: Callable[[], StreamScheduler], seed: int, part: str, streams: int) -> None:
        self.factory = factory
        self.seed = seed
        self.streams = streams
        self.random = Random(f"{seed} {part}")
        self.story: deque[str] = deque(maxlen=_TOLD)
        #: The arrival numbers of the messages of each stream that has some.
        self.messages: dict[int, list[int]] = {}
        self.active: dict[int, None] = {}
        self.arrivals = count(1)
        self.packet_is_empty = True
        self.scheduler = self.make()

    def make(self) -> StreamScheduler:
        try:
            scheduler: object = self.factory()
        except Exception as error:
            self.fail(f"the factory raised {error!r}", error)
        if not isinstance(scheduler, StreamScheduler):
            self.fail(f"the factory made {scheduler!r}, which is not a StreamScheduler")
        self.story.append(f"{type(scheduler).__name__}()")
        return scheduler

    def fail(self, what: str, cause: Exception | None = None) -> NoReturn:
        told = "".join(f"\n    {line}" for line in self.story)
        name = getattr(self.factory, "__name__", repr(self.factory))
        story = f"{name}: {what}\n  what was done, the last at the end:{told}"
        raise AssertionError(f"{story}\n  again by: check_scheduler(..., seed={self.seed})") from cause

    def call(self, name: str, *arguments: int) -> Any:
        self.story.append(f"{name}({', '.join(map(str, arguments))})")
        try:
            return getattr(self.scheduler, name)(*arguments)
        except Exception as error:
            if name == "set_priority" and isinstance(error, ValueError):
                self.story[-1] += "  # ValueError"
                return None
            self.fail(f"{name}() raised {type(error).__name__}: {error}", error)

    # What an association does.

    def activate(self, sid: int) -> None:
        self.active[sid] = None
        self.call("activate", sid, self.messages[sid][0])

    def deactivate(self, sid: int) -> None:
        del self.active[sid]
        self.call("deactivate", sid)

    def write(self, sid: int) -> None:
        self.messages.setdefault(sid, []).append(next(self.arrivals))

    def begin(self, sid: int) -> None:
        self.write(sid)
        self.activate(sid)

    def begin_packet(self) -> None:
        self.packet_is_empty = True
        self.call("begin_packet")

    def next(self) -> int:
        """Ask twice; the answer must be possible."""
        sid = self.call("next")
        self.story[-1] += f" -> {sid!r}"
        if not isinstance(sid, int):
            self.fail(f"next() gave {sid!r}, which is not the number of a stream")
        if sid != NO_STREAM and sid not in self.active:
            self.fail(f"next() chose stream {sid}, which has nothing to send; active: {self.some_active()}")
        if sid == NO_STREAM and self.active and self.packet_is_empty:
            self.fail(f"next() gave NO_STREAM for an empty packet; active: {self.some_active()}")
        again = self.call("next")
        self.story.pop()
        if again != sid:
            self.fail(f"next() gave {sid}, and then {again!r} although nothing had happened")
        return sid

    def some_active(self) -> str:
        return ", ".join(map(str, islice(self.active, 20))) + (", ..." if len(self.active) > 20 else "") or "none"

    def turn(self, whole: bool = True, served: int | None = None) -> int:
        """Serve the stream that is next, or this one; return it. A new packet is begun if it takes one."""
        sid = self.next() if served is None else served
        if sid == NO_STREAM:
            self.begin_packet()
            sid = self.next()
            if sid == NO_STREAM:
                return sid
        self.packet_is_empty = False
        messages = self.messages[sid]
        if whole:
            messages.pop(0)
        order = messages[0] if messages else NO_STREAM
        if not messages:
            del self.messages[sid]
            del self.active[sid]
        self.call("served", sid, self.random.randrange(400, 1401), order)
        return sid


@final
class _Life(_DrivenScheduler):
    """Whatever can happen, at random."""

    chunks = False
    resting: list[int]  # have messages, and are not active

    def run(self, steps: int, chunks: bool) -> None:
        self.chunks = chunks
        self.resting = []
        actions = {self.write_some: 30, self.fill: 30, self.look: 5, self.withdraw: 4, self.withdraw_first: 3}
        actions |= {self.pause: 4, self.resume: 6, self.leave_alone: 3, self.swap: 1, self.prioritize: 5}
        actions |= {self.drain: 1, self.look_at_nothing: 1}
        for action in self.random.choices(list(actions), list(actions.values()), k=steps):
            action()
        self.look_at_nothing()

    def write_some(self) -> None:
        for _ in range(self.random.choice((1, 1, 2, 6))):
            sid = self.random.randrange(self.streams)
            self.write(sid)
            if sid not in self.active and sid not in self.resting:
                self.activate(sid)

    def fill(self) -> None:
        """Fill a packet, or several."""
        for _ in range(self.random.choice((1, 1, 3))):
            self.begin_packet()
            for _ in range(self.random.choice((0, 1, 3, 8))):  # 0: what is next does not fit
                if self.next() == NO_STREAM:
                    break
                self.turn(not self.chunks or self.random.random() < 0.5)

    def look(self) -> None:
        """Ask what is next, as one does also to see how long it is."""
        if self.packet_is_empty or self.random.random() < 0.5:
            self.next()

    def look_at_nothing(self) -> None:
        for sid in list(self.active):
            self.messages.pop(sid)
            self.deactivate(sid)
        self.next()

    def some(self) -> int:
        return self.random.choice(list(self.active)) if self.active else NO_STREAM

    def withdraw(self) -> None:
        sid = self.some() if self.random.random() < 0.5 or not self.active else self.next()
        if sid != NO_STREAM:
            del self.messages[sid]
            self.deactivate(sid)

    def withdraw_first(self) -> None:
        sid = self.some()
        if sid != NO_STREAM:
            self.write(sid)
            self.messages[sid].pop(0)
            self.deactivate(sid)
            self.activate(sid)

    def pause(self) -> None:
        sid = self.some()
        if sid != NO_STREAM:
            self.resting.append(sid)
            self.deactivate(sid)

    def resume(self) -> None:
        if self.resting:
            self.activate(self.resting.pop(self.random.randrange(len(self.resting))))

    def leave_alone(self) -> None:
        """Leave one stream alone: a scheduler is not told what that does meanwhile."""
        while len(self.active) > 1:
            self.turn()
        if self.active:
            [sid] = self.active
            self.deactivate(sid)
            for _ in range(self.random.randrange(3)):
                self.write(sid)
                self.messages[sid].pop(0)
            self.activate(sid)

    def swap(self) -> None:
        """Put in another scheduler while streams are active, one of them perhaps in the middle of a message."""
        self.scheduler = self.make()
        self.packet_is_empty = True
        for sid in self.active:
            self.call("activate", sid, self.messages[sid][0])
        if self.active and self.random.random() < 0.7:
            self.begin_packet()
            self.turn(served=self.some())

    def prioritize(self) -> None:
        self.call("set_priority", self.random.randrange(self.streams), self.random.choice(_VALUES))

    def drain(self) -> None:
        self.begin_packet()
        while self.active:
            self.turn()


@final
class _Fairness(_DrivenScheduler):
    """All streams always have something to send; some are empty for an instant between two messages."""

    def run(self, turns: int) -> None:
        waiting = dict.fromkeys(range(self.streams), 0)
        for sid in waiting:
            for _ in range(self.random.randrange(1, 4)):
                self.write(sid)
            self.activate(sid)
        for now in range(1, turns + 1):
            if now % 3 == 0:
                self.begin_packet()
            sid = self.turn()
            waiting[sid] = now
            self.write(sid)
            if sid not in self.active:
                self.activate(sid)
            if now % self.streams == 0:
                longest = min(waiting, key=waiting.__getitem__)
                if now - waiting[longest] > PATIENCE * self.streams:
                    self.fail(
                        f"stream {longest} has waited for {now - waiting[longest]} turns of the {self.streams} streams "
                        f"(may_starve=True, if that is meant)"
                    )


@final
class _Crowd(_DrivenScheduler):
    """Very many streams, each with a single message."""

    def run(self) -> None:
        before = _reachable(self.scheduler, 20 * MANY)
        for sid in range(self.streams):
            self.begin(sid)
        self._empty("together", set(range(self.streams)))
        for sid in range(self.streams):
            self.begin(sid)
            if len(self.active) > 2:
                self.turn()
        self._empty("one after the other", set(self.active))
        for sid in range(3):
            self.begin(sid)
        for _ in range(self.streams):
            sid = next(reversed(self.active))
            self.deactivate(sid)
            self.activate(sid)
        self._empty("three of them", {0, 1, 2})
        left = _reachable(self.scheduler, 20 * MANY) - before
        if left > MOST_LEFT:
            self.fail(f"{left} objects are left of {self.streams} streams that have nothing more to send")

    def _empty(self, how: str, waiting: set[int]) -> None:
        while self.active:
            waiting.discard(self.turn())
        if waiting:
            self.fail(f"{len(waiting)} of {self.streams} streams, used {how}, were never served")
        if self.next() != NO_STREAM:
            self.fail("a stream was chosen when there was none")


def _reachable(root: object, limit: int) -> int:
    """Count the objects that hang on this one, beside classes, modules and functions."""
    left_out = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
    seen = {id(root)}
    waiting: list[object] = [root]
    while waiting and len(seen) < limit:
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in seen and not isinstance(each, left_out):
                seen.add(id(each))
                waiting.append(each)
    return len(seen)


def _measure(call: Callable[..., Any], *arguments: int) -> tuple[int, Any]:
    """Return what a call costs, in lines of Python executed and comparisons of `_Number`s, and what it gives."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        _Number.cost += event == "line"
        return trace

    before = sys.gettrace()
    _Number.cost = 0
    sys.settrace(trace)
    try:
        result = call(*arguments)
    finally:
        sys.settrace(before)
    return _Number.cost, result


def _counted(compare: Callable[[Any, Any], bool]) -> Any:
    def counted(one: _Number, other: int) -> bool:
        _Number.cost += 1
        return compare(one, other)

    return counted


class _Number(int):
    """A number that counts how often it is compared: what min(), sorted() or list.remove() do, too."""

    cost = 0
    __lt__, __le__ = _counted(int.__lt__), _counted(int.__le__)
    __gt__, __ge__ = _counted(int.__gt__), _counted(int.__ge__)
    __eq__, __ne__ = _counted(int.__eq__), _counted(int.__ne__)
    __hash__ = int.__hash__


@final
class _Costs(_DrivenScheduler):
    """The mean cost of each method, with all streams active."""

    def run(self, rounds: int) -> dict[str, float]:
        spent: dict[str, list[int]] = {}
        numbers = [_Number(sid) for sid in range(self.streams)]
        orders = map(_Number, count(1))

        def measure(name: str, *arguments: int) -> Any:
            try:
                cost, result = _measure(getattr(self.scheduler, name), *arguments)
            except ValueError:
                return None  # of set_priority; that others don't raise was seen before
            spent.setdefault(name, []).append(cost)
            return result

        for sid in self.random.sample(numbers, self.streams):
            measure("activate", sid, next(orders))
        for number in range(rounds):
            if number % 4 == 0:
                measure("begin_packet")
            sid = measure("next")
            if sid == NO_STREAM:
                measure("begin_packet")
                sid = measure("next")
            order = next(orders)
            size = self.random.randrange(400, 1401)
            if number % 3:
                measure("served", sid, size, order)
            else:
                measure("served", sid, size, NO_STREAM)
                measure("activate", numbers[sid], order)
            sid = self.random.choice(numbers)
            measure("set_priority", sid, self.random.choice(_VALUES))
            measure("deactivate", sid)
            measure("activate", sid, next(orders))
        return {name: sum(costs) / len(costs) for name, costs in spent.items()}


def _check_costs(factory: Callable[[], StreamScheduler], seed: int) -> None:
    few = _Costs(factory, seed, "costs", FEW_STREAMS).run(400)
    driven = _Costs(factory, seed, "costs", MORE_STREAMS)
    for name, cost in driven.run(400).items():
        if cost > COST_FACTOR * few[name] + COST_ALLOWANCE:
            driven.story.clear()
            driven.fail(
                f"{name}() costs {cost:,.0f} lines and comparisons with {MORE_STREAMS} streams, and {few[name]:,.0f} "
                f"with {FEW_STREAMS}: it should grow with the logarithm at most"
            )
