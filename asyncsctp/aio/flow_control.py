"""Waiting: one coroutine for what arrives, any number for space in the send buffer.

Knows futures and the marks of the send buffer. Who is woken by what is known to `driver`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol, final

from ..tables import NOTHING


@final
class Turn:
    """The wait of the one coroutine that may read something. A second one is told so, whether the first still waits or
    not.
    """

    __slots__ = ("_future", "_where")

    def __init__(self, where: str) -> None:
        """Make it; `where` goes into errors, after "another coroutine is already waiting"."""
        self._where = where
        self._future: asyncio.Future[None] | None = None

    def claim(self) -> None:
        """Raise `RuntimeError` if another coroutine waits here."""
        if self._future is not None:
            raise RuntimeError(f"another coroutine is already waiting {self._where}")

    async def wait(self) -> None:
        """Wait until `wake`. Whoever cancels it loses nothing."""
        self.claim()
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> None:
        """Let the waiting coroutine go on, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


@final
class WaitList:
    """Coroutines that wait for the same thing, each cancelled without harm to the others; they go on in order."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[None], None] = NOTHING  # of those who wait since the last `wake`

    def __bool__(self) -> bool:
        return bool(self._futures)

    async def wait(self) -> None:
        """Wait until `wake`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._futures:
            self._futures = {}
        futures = self._futures
        futures[future] = None
        try:
            await future
        finally:
            futures.pop(future, None)

    def wake(self) -> None:
        """Let all go on that wait now."""
        futures, self._futures = self._futures, NOTHING
        for future in futures:
            if not future.done():
                future.set_result(None)


class Buffered(Protocol):
    """What the send buffer asks of the core of an association, where it is documented."""

    @property
    def buffered(self) -> int: ...
    @property
    def movable(self) -> int: ...
    def pressing(self, sids: Collection[int]) -> list[int]: ...
    def buffered_of(self, sid: int) -> int: ...


@final
class SendBuffer:
    """The marks of the send buffer, and who waits for them.

    Whoever writes waits above `Config.send_buffer` until half of it is left. A stream whose unsent messages fill half
    of the buffer waits for itself, until a quarter is left: so no stream can take the space of all others.

    A message in parts that has begun to leave, and must end before others may leave, does not wait for these: the same
    marks hold for it, but what can't move does not count.
    """

    __slots__ = ("_core", "_dry", "_parts", "_space", "_streams", "credit", "size")

    def __init__(self, core: Buffered, size: int) -> None:
        self._core = core
        self.size = size
        #: While it is above 0 no mark can have been reached. Whoever writes takes the size of the message from it.
        self.credit = 0
        self._space = WaitList()
        # Who waits, by stream, to go on with a message in parts, and for the stream itself.
        self._parts: dict[int, WaitList] = NOTHING
        self._streams: dict[int, WaitList] = NOTHING
        self._dry: WaitList | None = None

    def resize(self, size: int) -> None:
        """Change `Config.send_buffer`."""
        self.size = size
        self.credit = 0
        self.check()

    async def wait_for_space(self, sid: int) -> None:
        """Wait while the buffer, or the part of it that this stream may take, is above its marks."""
        core = self._core
        self.credit = self.size // 2 - core.buffered
        if core.buffered > self.size or self._space:
            await self._space.wait()
        await self._wait_for_stream(sid)

    async def wait_for_part(self, sid: int) -> None:
        """Wait until a message that is written in parts to this stream may go on."""
        core = self._core
        self.credit = self.size // 2 - core.buffered
        is_full = core.movable > self.size if core.pressing((sid,)) else core.buffered > self.size or bool(self._space)
        if is_full:
            if not self._parts:
                self._parts = {}
            await self._parts.setdefault(sid, WaitList()).wait()
        await self._wait_for_stream(sid)

    async def _wait_for_stream(self, sid: int) -> None:
        # Asked only after the association has space, so that there are never more than a few streams in this table.
        if sid in self._streams or self._core.buffered_of(sid) > self.size // 2:
            if not self._streams:
                self._streams = {}
            await self._streams.setdefault(sid, WaitList()).wait()

    async def wait_until_dry(self) -> None:
        """Wait until everything written has been acknowledged or given up."""
        while self._core.buffered:
            if self._dry is None:
                self._dry = WaitList()
            await self._dry.wait()

    def check(self) -> None:
        """Wake those who have space now: something was acknowledged."""
        core = self._core
        half = self.size // 2
        parts = self._parts
        if self._space or parts:
            if core.buffered <= half:
                self._space.wake()
                going_on = list(parts)
            else:
                going_on = core.pressing(parts) if parts and core.movable <= half else []
            for sid in going_on:
                parts.pop(sid).wake()
        if self._streams:
            low = self.size // 4
            for sid, waiting in list(self._streams.items()):
                if core.buffered_of(sid) <= low:
                    del self._streams[sid]
                    waiting.wake()
        if self._dry is not None and not core.buffered:
            self._dry.wake()
            self._dry = None

    def release(self) -> None:
        """Wake all: the association has ended."""
        for waiting in (self._space, self._dry, *self._parts.values(), *self._streams.values()):
            if waiting is not None:
                waiting.wake()
        self._dry, self._parts, self._streams = None, NOTHING, NOTHING
