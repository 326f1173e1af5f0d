"""Two programs talk by the public interface, on virtual time, as a random `Plan` says; and the checks of such a run.

Settings, line and paths are those of the plan. What the programs do is drawn before anything happens too: tasks that
write to a stream each, claims of streams, readers of the rest, and others that interfere. As in `planned_cores`, each
message must be read once, whole and in order, receipts must be true, and the run must go on: once the line is good and
nobody pauses, every task ends, and none is left.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

import asyncsctp
from asyncsctp import (
    Association,
    AssociationAborted,
    AssociationClosed,
    AssociationTimeout,
    EndOfStream,
    MessageAbandoned,
    MessageTooLarge,
    ReconfigError,
    SCTPError,
    StreamReader,
    StreamWriter,
)
from asyncsctp.testing import Network

from .plan import SCHEDULERS, Plan, draw

__all__ = ["PlannedPrograms", "features", "live"]

PORT: Final = 5001
A_ADDRESSES: Final = ("10.0.0.1", "10.1.0.1")
Z_ADDRESSES: Final = ("10.0.0.2", "10.1.0.2")


def live(seed: int, *, without: Collection[str] = ()) -> None:
    """One seed, less some of its features; an error has the script with it."""
    script = write(seed).without(without)
    conversation = PlannedPrograms(script)
    try:
        conversation.run()
    except BaseException as error:
        error.add_note(f"{script}\n{conversation}")
        raise


def features(seed: int) -> list[str]:
    """What a seed has drawn that it could do without."""
    return write(seed).features


class Line(NamedTuple):
    """A step of a task: after a pause, `what` with these arguments."""

    pause: float
    what: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


class Part(NamedTuple):
    """A task: its side (0 or 1), its stream, and its steps in order."""

    side: int
    role: str  # "writer", "claim", "rest" or "meddler"
    stream: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Script:
    """The plan and all tasks. Of the plan's actions only cuts are done. `closes_at`: a graceful end in the middle."""

    plan: Plan
    parts: tuple[Part, ...]
    closes_at: float | None

    def __str__(self) -> str:
        lines = [str(dataclasses.replace(self.plan, actions=())), f"closes at {self.closes_at}"]
        for number, part in enumerate(self.parts):
            lines.append(f"{number:3} side {part.side}: {part.role} of stream {part.stream}")
            lines += [f"      {line.pause:.4f} s, {line.what}{line.arguments!r}" for line in part.lines]
        return "\n".join(lines)

    @property
    def features(self) -> list[str]:
        """What it could do without, the larger things first."""
        settings = dataclasses.replace(self.plan, actions=(), in_parts=((), ())).features
        roles = sorted({part.role for part in self.parts if part.role != "rest"})
        single = [f"task {number}" for number, part in enumerate(self.parts) if part.role != "rest"]
        closing = [] if self.closes_at is None else ["closes"]
        lines = [f"line {number}.{at}" for number, part in enumerate(self.parts) for at in range(len(part.lines))]
        return [*closing, *roles, *settings, *single, *lines]

    def without(self, features: Collection[str]) -> Script:
        """The same, less some of its features."""
        parts = []
        for number, part in enumerate(self.parts):
            if part.role not in features and f"task {number}" not in features:
                lines = tuple(line for at, line in enumerate(part.lines) if f"line {number}.{at}" not in features)
                parts.append(part._replace(lines=lines))
        closes_at = None if "closes" in features else self.closes_at
        return Script(self.plan.without(features), tuple(parts), closes_at)


def write(seed: int) -> Script:
    """The script of a seed."""
    return _Author(seed).write()


class _Author:
    """A drawer of one script."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"{seed} script")
        plan = draw(seed)
        configs = [config.replace(close_timeout=86_400.0) for config in plan.configs]
        self.span = self.random.choice((0.05, 0.5, 2.0))
        cuts = tuple(action for action in plan.actions if action.what in ("cut", "heal"))
        calm = max([self.span, *(action.at + 0.001 for action in cuts)])
        self.plan = dataclasses.replace(plan, configs=(configs[0], configs[1]), actions=cuts, calm=calm)
        self.parts: list[Part] = []
        self.number = 0

    def write(self) -> Script:
        random = self.random
        for side in (0, 1):
            mine, theirs = self.plan.configs[side], self.plan.configs[1 - side]
            streams = min(mine.outgoing_streams, theirs.max_incoming_streams, 5)
            left = random.choice((3000, 20_000, 60_000, 100_000))
            for _ in range(random.choice((0, 1, 1, 2, 4))):
                self.parts.append(self._writer(side, random.randrange(streams), left // 3))
            for _ in range(random.choice((0, 0, 1, 3))):
                self.parts.append(Part(side, "claim", random.randrange(5), self._reading()))
            self.parts.append(Part(side, "rest", -1, self._reading()))
            if random.random() < 0.5:
                lines = [self._interference(side) for _ in range(random.choice((1, 3)))]
                self.parts.append(Part(side, "meddler", -1, tuple(lines)))
        if random.random() < 0.04:
            self.parts.append(Part(random.randrange(2), "meddler", -1, (Line(self._pause(), "abort"),)))
        closes_at = random.random() * self.span if random.random() < 0.15 else None
        return Script(self.plan, tuple(self.parts), closes_at)

    def _pause(self) -> float:
        random = self.random
        return round(random.random() * self.span * random.choice((0.0, 0.0, 0.05, 0.3)), 5)

    def _writer(self, side: int, sid: int, left: int) -> Part:
        random = self.random
        mine, theirs = self.plan.configs[side], self.plan.configs[1 - side]
        borders = (1, 30, 500, 1430, 4000, mine.send_buffer, theirs.recv_buffer, theirs.recv_buffer // 2, 20_000)
        kinds = random.sample([size for size in borders if size <= min(left, mine.max_message_size)], 1)
        claims = random.random() < 0.5
        lines = [Line(self._pause(), "claim" if claims else "pass")]
        share = random.choice((0.0, 0.0, 0.2))
        for _ in range(random.choice((1, 5, 20))):
            if left <= 0:
                break
            self.number += 1
            what = random.choice(("send", "send", "send", "write", "parts", "parts", "receipt", "many"))
            options: dict[str, Any] = {"number": self.number}
            if random.random() < 0.2:
                options["unordered"] = True
            if random.random() < share:
                name = random.choice(("lifetime", "max_retransmits", "priority"))
                value = {"lifetime": random.choice((0.0, 0.05, 1.0)), "max_retransmits": random.choice((0, 3))}
                options[name] = value.get(name, 1)
            if random.random() < 0.1 and what not in ("parts", "many"):
                options["sack_immediately"] = True
            size = min(left, random.choice((*kinds, random.randint(1, kinds[0]))))
            if what == "parts":
                options.pop("priority", None)
                count = random.choice((1, 2, 5))
                options["sizes"] = tuple(max(1, size // random.choice((1, 2))) for _ in range(count))
                options["pause"] = self._pause()
                options["breaks"] = random.random() < 0.1
                size = sum(options["sizes"])
            else:
                options["size"] = size
            if what == "many":
                options = {"number": self.number, "size": size, "count": random.choice((1, 3))}
                self.number += options["count"]
            left -= size
            lines.append(Line(self._pause(), what, options))
            if what == "write" and random.random() < 0.2:
                lines.append(Line(self._pause(), "withdraw", {"number": self.number}))
            if random.random() < 0.1:
                lines.append(Line(0.0, random.choice(("drain", "flush"))))
            if random.random() < 0.06:
                lines.append(Line(self._pause(), "reset"))
        if claims and random.random() < 0.4:
            lines.append(Line(0.0, "close"))
        return Part(side, "writer", sid, tuple(lines))

    def _reading(self) -> tuple[Line, ...]:
        """How someone reads: the first pause, then whole or in parts, and pauses in between until all is calm."""
        random = self.random
        how = random.choice(("read", "read", "read_many", "parts", "accept"))
        pauses = random.choice(((), (), (0.01,) * 10, (self.span,), (0.3, 0.3, 0.3)))
        return (Line(self._pause(), how), *(Line(pause, "pause") for pause in pauses))

    def _interference(self, side: int) -> Line:
        random = self.random
        what = random.choice(
            (
                "configure",
                "configure",
                "reset_streams",
                "add_streams",
                "reset_tsns",
                "heartbeat",
                "set_priority",
                "set_primary",
                "events",
            )
        )
        changes: dict[str, Any] = {
            "recv_buffer": random.choice((4096, 20_000, 1 << 20)),
            "send_buffer": random.choice((1, 4096, 1 << 20)),
            "max_burst": random.choice((None, 1, 4)),
            "sack_delay": random.choice((0.0, 0.5)),
            "scheduler": random.choice((None, *SCHEDULERS)),
            "nodelay": random.random() < 0.5,
        }
        names = random.sample(sorted(changes), random.choice((1, 2)))
        arguments: dict[str, dict[str, Any]] = {
            "configure": {name: changes[name] for name in names},
            "reset_streams": random.choice(({"outgoing": [0]}, {"outgoing": []}, {"incoming": [0, 1]})),
            "add_streams": random.choice(({"outgoing": 1}, {"incoming": 2})),
            "set_priority": {"sid": random.randrange(3), "value": random.choice((1, 100))},
            "set_primary": {"number": random.randrange(2)},
        }
        return Line(round(random.random() * self.span, 5), what, arguments.get(what, {}))


class Written:
    """A message that was given to the association, or parts of it."""

    def __init__(self, order: int, stream: int, data: bytes, options: dict[str, Any]) -> None:
        self.order = order  # of all messages of a side, by when their first bytes were queued
        self.stream = stream
        self.data = data
        self.unordered = bool(options.get("unordered"))
        self.is_reliable = not options.keys() & {"lifetime", "max_retransmits", "priority"}
        self.is_whole = True
        self.is_delivered = False  # by its receipt


class PlannedPrograms:
    """The run of a script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.plan = script.plan
        self.network = Network(script.plan.seed, link=script.plan.link)
        self.network.host("a", *A_ADDRESSES)
        self.network.host("z", *Z_ADDRESSES)
        self.sides: list[Association] = []
        self.written: tuple[dict[int, Written], dict[int, Written]] = ({}, {})
        self.read: tuple[set[int], set[int]] = (set(), set())  # by whom it was written
        self.errors: list[SCTPError | None] = [None, None]
        self.has_aborted = False
        self.is_cut_short = False  # the end came while a message was written in parts
        self.order = 0
        self.calm = asyncio.Event()
        self.tasks: dict[asyncio.Task[None], str] = {}

    def __str__(self) -> str:
        waiting = [what for task, what in self.tasks.items() if not task.done()]
        states = [f"{each!r}, {each._session.core.buffered} bytes buffered" for each in self.sides]
        return f"at {self.network.now:.3f} s: {states}; still at it: {waiting}"

    def run(self) -> None:
        self.network.run(self._main(), limit=1_000_000.0)
        self.network.run(asyncio.sleep(600.0))
        assert not len(self.network.clock), "packets are still under way"
        for host in self.network.hosts.values():
            for address in (*A_ADDRESSES, *Z_ADDRESSES):
                assert host.port_at(address, 9899) is None, "a socket is left"

    async def _main(self) -> None:
        accepted: asyncio.Queue[Association] = asyncio.Queue()

        async def handler(association: Association) -> None:
            accepted.put_nowait(association)
            with suppress(SCTPError):
                await association.wait_closed()

        here, there = A_ADDRESSES[: self.plan.paths[0]], Z_ADDRESSES[: self.plan.paths[1]]
        mine, theirs = self.plan.configs
        for action in self.plan.actions:
            self.network.at(action.at, partial(self._set_line, action.what, *action.arguments))
        async with asyncsctp.serve(handler, port=PORT, local_addrs=there, config=theirs) as server:
            try:
                association = await asyncsctp.connect(list(there), PORT, local_addrs=here, config=mine)
            except SCTPError as error:
                fits = all(b.offers_auth or not a.demanded_chunks for a, b in ((mine, theirs), (theirs, mine)))
                if fits and not (self.plan.is_rough and isinstance(error, AssociationTimeout)):
                    raise
                server.close()
                for each in server.associations:
                    each.abort()
                return
            self.sides = [association, await accepted.get()]
            await self._talk()
        for task in self.tasks:
            task.result()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks are left: {left}"
        assert not server.associations
        self._verify()

    async def _talk(self) -> None:
        for number, part in enumerate(self.script.parts):
            role: Coroutine[Any, Any, None] = getattr(self, f"_{part.role}")(part)
            self._begin(role, f"task {number}: {part.role} of stream {part.stream} of side {part.side}")
        if self.script.closes_at is not None:
            await asyncio.sleep(self.script.closes_at)
            self._begin(self.sides[self.plan.closer].close(), "close in the middle")
        await asyncio.sleep(max(0.0, self.plan.calm - self.network.now))
        self._calm_down()
        doers = {task for task, what in self.tasks.items() if {"writer", "meddler", "close"} & set(what.split())}
        await self._finish(doers, "not all was written")
        for side in (0, 1):
            self._begin(self._flush(self.sides[side]), f"flush of side {side}")
        await self._finish({task for task, what in self.tasks.items() if "flush" in what}, "not all was acknowledged")
        for side in (self.plan.closer, 1 - self.plan.closer):
            self._begin(self.sides[side].close(), f"close of side {side}")
        await self._finish(set(self.tasks), "not all came to its end")
        for side in (0, 1):
            try:
                await self.sides[side].wait_closed()
            except SCTPError as error:
                self.errors[side] = error

    def _begin(self, coroutine: Coroutine[Any, Any, None], what: str) -> None:
        self.tasks[asyncio.get_running_loop().create_task(coroutine, name=what)] = what

    async def _finish(self, tasks: set[asyncio.Task[None]], otherwise: str) -> None:
        """These tasks come to their end in bounded time."""
        if tasks:
            done, pending = await asyncio.wait(tasks, timeout=self._patience(), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            assert not pending, f"{otherwise}: {[self.tasks[task] for task in pending]}"

    def _patience(self) -> float:
        configs = [*self.plan.configs, *(side.config for side in self.sides)]
        waiting = sum(len(written.data) for each in self.written for written in each.values()) + 5000
        window = min(min(config.recv_buffer, (config.mtu or 1280) - 200) for config in configs)
        turn = 2 * self.plan.link.delay + 0.7
        turns = waiting / window + sum(map(len, self.written)) + 20
        longest = max(max(config.rto_max, config.rto_initial) for config in configs)
        rate = self.plan.link.rate or 1e9
        return turns * turn + 16 * waiting / rate + 24 * longest * 2 + 60.0

    @staticmethod
    async def _flush(association: Association) -> None:
        with suppress(SCTPError):
            await association.flush()

    def _set_line(self, what: str, here: int, there: int, one_way: bool = False) -> None:
        if what == "cut":
            self.network.cut(A_ADDRESSES[here], Z_ADDRESSES[there], one_way=one_way)
        else:
            self.network.heal(A_ADDRESSES[here], Z_ADDRESSES[there])

    def _calm_down(self) -> None:
        self.network.defaults(
            self.plan.link.replace(
                loss=0.0, burst_start=0.0, reorder=0.0, duplicate=0.0, corrupt=0.0, mark=0.0, jitter=0.0
            )
        )
        for a in A_ADDRESSES:
            for z in Z_ADDRESSES:
                self.network.heal(a, z)
        self.calm.set()

    # Those who write.

    async def _writer(self, part: Part) -> None:
        association = self.sides[part.side]
        writer: StreamWriter | None = None
        receipts: dict[int, asyncsctp.Receipt] = {}
        for line in part.lines:
            await asyncio.sleep(line.pause)
            try:
                if line.what == "claim":
                    with suppress(ValueError):
                        reader, writer = association.open_stream(part.stream)
                        self._begin(self._read_claimed(part.side, reader, ("read",), ()), "reader beside it")
                elif line.what == "reset":
                    with suppress(ReconfigError):
                        await association.reset_streams(outgoing=[part.stream])
                elif line.what == "close" and writer is not None:
                    writer.close()
                    with suppress(ReconfigError):
                        await writer.wait_closed()
                elif line.what == "withdraw":
                    receipt = receipts.get(line.arguments["number"])
                    if receipt is not None:
                        with suppress(ValueError):
                            if receipt.withdraw():
                                self.written[part.side][line.arguments["number"]].is_reliable = False
                elif line.what == "drain":
                    await association.drain(part.stream)
                elif line.what == "flush":
                    await association.flush()
                elif line.what not in ("close", "pass"):
                    await self._write(part.side, part.stream, writer, line, receipts)
            except SCTPError as error:
                if isinstance(error, (MessageAbandoned, MessageTooLarge)):
                    continue
                if not association.is_closing():
                    raise
                return
            except RuntimeError as error:
                if "in parts" not in str(error):
                    raise

    async def _write(
        self, side: int, stream: int, writer: StreamWriter | None, line: Line, receipts: dict[int, asyncsctp.Receipt]
    ) -> None:
        association = self.sides[side]
        options = dict(line.arguments)
        number: int = options.pop("number")
        if not association.negotiated.partial_reliability:
            for name in ("lifetime", "max_retransmits", "priority"):
                options.pop(name, None)
        if line.what == "many":
            count = options.pop("count")
            pieces = [self._data(number + each, options["size"]) for each in range(count)]
            for each, data in enumerate(pieces):
                association.write_many([data], stream=stream, ppid=number + each)
                self._note(side, number + each, stream, data, {})
            await association.drain(stream)
            return
        if line.what == "parts":
            if writer is not None:
                await self._write_parts(side, stream, writer, number, options)
            return
        data = self._data(number, options.pop("size"))
        written = self._note(side, number, stream, data, options)
        try:
            if writer is not None:
                receipt = writer.write(data, ppid=number, **options)
            else:
                receipt = association.write(data, stream=stream, ppid=number, **options)
        except BaseException:
            del self.written[side][number]
            raise
        receipts[number] = receipt
        if line.what == "receipt":
            await receipt
            written.is_delivered = True
        elif line.what == "send":
            await association.drain(stream)

    async def _write_parts(
        self, side: int, stream: int, writer: StreamWriter, number: int, options: dict[str, Any]
    ) -> None:
        sizes, pause, breaks = options.pop("sizes"), options.pop("pause"), options.pop("breaks")
        pieces = [bytes([number & 0xFF]) * size for size in sizes]
        written = self._note(side, number, stream, b"".join(pieces), options)
        written.is_whole = False

        async def give() -> Any:
            for at, piece in enumerate(pieces):
                if breaks and at == len(pieces) - 1 and at:
                    raise _NoMoreError
                if at == 1:  # the first of them is queued when the second is there
                    written.order = self._next_order()
                yield piece
                await asyncio.sleep(pause)
            if len(pieces) == 1:
                written.order = self._next_order()

        try:
            await writer.send_parts(give(), ppid=number, **options)
        except _NoMoreError:
            self.has_aborted |= not self.sides[side].negotiated.partial_reliability
        except RuntimeError:
            del self.written[side][number]
            raise
        except SCTPError:
            # Its last part may have been taken, and the wait for room after it have failed.
            written.is_reliable = False
            written.is_whole = True
            self.is_cut_short = True
            raise
        else:
            written.is_whole = True

    @staticmethod
    def _data(number: int, size: int) -> bytes:
        return number.to_bytes(2) * (size // 2) + b"!" * (size % 2)

    def _note(self, side: int, number: int, stream: int, data: bytes, options: dict[str, Any]) -> Written:
        written = self.written[side][number] = Written(self._next_order(), stream, data, options)
        return written

    def _next_order(self) -> int:
        self.order += 1
        return self.order

    # Those who read.

    async def _claim(self, part: Part) -> None:
        await asyncio.sleep(part.lines[0].pause if part.lines else 0.0)
        association = self.sides[part.side]
        try:
            reader, _ = association.open_stream(part.stream)
        except (ValueError, SCTPError):
            return
        await self._read_claimed(part.side, reader, *_manner(part))

    async def _rest(self, part: Part) -> None:
        """Reads what nobody has claimed, or claims it."""
        (how, *_), pauses = _manner(part)
        association = self.sides[part.side]
        latest: dict[int, int] = {}
        pauses_left = iter(pauses)
        while True:
            try:
                if how == "accept":
                    reader, _ = await association.accept_stream()
                    self._begin(self._read_claimed(part.side, reader, ("read",), ()), f"reader of {reader!r}")
                    messages = []
                elif how == "read_many":
                    messages = await association.recv_many(3)
                else:
                    messages = [await association.recv()]
            except (EndOfStream, SCTPError):
                return
            for message in messages:
                self._came(part.side, message, message.data, latest)
            await self._rest_a_while(pauses_left)

    async def _read_claimed(
        self, side: int, reader: StreamReader, manner: tuple[str, ...], pauses: tuple[float, ...]
    ) -> None:
        latest: dict[int, int] = {}
        pauses_left = iter(pauses)
        begun: dict[int, bytes] = {}
        iterator = reader.parts() if manner[0] == "parts" else None
        while True:
            try:
                if iterator is not None:
                    part = await anext(iterator)
                    begun[part.tsn] = begun.get(part.tsn, b"") + part.data
                    if part.last:
                        self._came(side, part, begun.pop(part.tsn), latest)
                elif manner[0] == "read_many":
                    for message in await reader.read_many():
                        self._came(side, message, message.data, latest)
                else:
                    message = await reader.read()
                    self._came(side, message, message.data, latest)
            except MessageAbandoned:
                begun.clear()
            except (EndOfStream, StopAsyncIteration, SCTPError):
                return
            await self._rest_a_while(pauses_left)

    async def _rest_a_while(self, pauses: Iterator[float]) -> None:
        pause = next(pauses, 0.0)
        if pause and not self.calm.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.calm.wait(), pause)

    def _came(self, side: int, message: Any, data: bytes, latest: dict[int, int]) -> None:
        number, stream = message.ppid, message.stream
        written = self.written[1 - side].get(number)
        assert written is not None, f"message {number} came to side {side}, and nobody wrote it"
        assert (written.stream, written.unordered) == (stream, message.unordered), f"message {number} came elsewhere"
        assert written.data == data, f"message {number} came with {len(data)} bytes of {len(written.data)}"
        assert number not in self.read[1 - side], f"message {number} came twice to side {side}"
        self.read[1 - side].add(number)
        if not message.unordered:
            assert latest.get(stream, -1) < written.order, f"message {number} came out of order on stream {stream}"
            latest[stream] = written.order

    # Those who interfere.

    async def _meddler(self, part: Part) -> None:
        association = self.sides[part.side]
        for line in part.lines:
            await asyncio.sleep(line.pause)
            try:
                if line.what == "configure":
                    association.configure(**line.arguments)
                elif line.what == "set_priority":
                    association.set_stream_priority(**line.arguments)
                elif line.what == "set_primary":
                    paths = association.paths
                    association.set_primary_path(paths[line.arguments["number"] % len(paths)].address)
                elif line.what == "abort":
                    self.has_aborted = True
                    association.abort(b"a random end")
                elif line.what == "events":
                    self._begin(self._listen(association), "listener")
                else:
                    await getattr(association, line.what)(**line.arguments)
            except (ReconfigError, ValueError):
                continue
            except TimeoutError:
                assert self.plan.is_rough or self.plan.link.delay >= 0.1, "a HEARTBEAT was not answered"
            except SCTPError as error:
                if not association.is_closing() and not isinstance(error, AssociationClosed):
                    raise
                return

    @staticmethod
    async def _listen(association: Association) -> None:
        async for _ in association.events():
            pass

    # What must be true.

    def _verify(self) -> None:
        told = f"errors: {self.errors!r}"
        for side, error in enumerate(self.errors):
            if error is not None:
                assert self._is_legitimate(side, error), f"ended without a reason; {told}"
        if any(self.errors):
            return
        for side in (0, 1):
            for number, written in self.written[side].items():
                if written.is_whole and written.is_reliable:
                    assert number in self.read[side], f"message {number} of side {side} was not read"
                if written.is_delivered:
                    assert number in self.read[side], f"message {number} was acknowledged, and not read"

    def _is_legitimate(self, side: int, error: SCTPError) -> bool:
        if isinstance(error, AssociationTimeout):
            return self.plan.is_rough or self.has_aborted
        if isinstance(error, AssociationAborted) and error.by_peer:
            other = self.errors[1 - side]
            return other is not None and not (isinstance(other, AssociationAborted) and other.by_peer)
        text = str(error)
        if "guard timer" in text:
            return self.plan.configs[side].shutdown_guard is None
        if "is longer than" in text:
            return any(
                len(written.data) > self.plan.configs[1 - each].max_message_size
                for each in (0, 1)
                for written in self.written[each].values()
            )
        if "there is no room for the rest" in text:  # what is written in parts is not held back
            return any(line.what == "parts" for part in self.script.parts for line in part.lines)
        if "violated" in text:
            return False
        # A message that is being written in parts as a side closes can't be taken back without partial reliability.
        broken = self.is_cut_short or any(not written.is_whole for each in self.written for written in each.values())
        return self.has_aborted or (broken and not self.sides[side].negotiated.partial_reliability)


class _NoMoreError(Exception):
    """There is no further part."""


def _manner(part: Part) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """How someone reads, and its pauses."""
    how = tuple(line.what for line in part.lines if line.what != "pause") or ("read",)
    return how, tuple(line.pause for line in part.lines if line.what == "pause")
