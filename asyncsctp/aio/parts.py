"""Messages too long to be held whole: written piece by piece, read part by part (RFC 6458 sections 6.1.7 and 8.1.26).

Always interpreted: it has generators that await, and is called once for each part, not for each packet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, final

from ..errors import EndOfStream, MessageAbandoned
from ..inbound.reassembly import SMALLEST_CHARGE
from ..outbound.message import ANY_PATH, Terms, message_flags
from .receipts import Receipt

if TYPE_CHECKING:
    from .driver import Driver
    from .inbox import Inbox
    from .streams import StreamReader


class Part(NamedTuple):
    """A part of a message, in order; the whole of a short one. `last`: the message ends with it.

    The other fields are those of a `Message`; `tsn` is that of the message's first chunk. An unordered message may come
    between the parts of another, as one part: its `tsn` is not that of the others.
    """

    data: bytes
    last: bool
    stream: int
    ppid: int
    unordered: bool
    ssn: int
    tsn: int


@final
class PartReader:
    """The parts that have arrived in a stream and are not yet read; what `StreamReader.parts` iterates over."""

    def __init__(self, reader: StreamReader, inbox: Inbox) -> None:
        self._reader = reader
        self._inbox = inbox
        self._parts: deque[Part | None] = deque()  # None: the message before it will not be completed
        self._waiter: asyncio.Future[None] | None = None
        self._filling = -1  # the TSN of a message of which a part, and not the last, has come
        self._inside = -1  # the same of one of which a part has been read

    def __aiter__(self) -> PartReader:
        return self

    def __len__(self) -> int:
        return len(self._parts)

    async def __anext__(self) -> Part:
        self._reader.parts()  # it may have read whole messages in between
        while not self._parts:
            if self._reader.is_ended or self._inbox.ended or self._inbox.is_complete:
                error = self._inbox.end_of_stream()
                if not self._reader.is_ended and not isinstance(error, EndOfStream):
                    raise error
                if self._inside >= 0:  # the sender has ended without it
                    raise self._abandoned()
                raise StopAsyncIteration
            self.check_alone()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        part = self._parts.popleft()
        if part is None:
            raise self._abandoned()
        if not part.last:
            self._inside = part.tsn
        elif part.tsn == self._inside:
            self._inside = -1
        self._inbox.consumed(max(len(part.data), SMALLEST_CHARGE))
        return part

    def check_alone(self) -> None:
        """`RuntimeError` if a coroutine waits here."""
        if self._waiter is not None:
            raise RuntimeError("another coroutine is already waiting for the next part")

    def _abandoned(self) -> MessageAbandoned:
        self._inside = -1
        return MessageAbandoned("the message that was being read in parts will not be completed")

    def put(self, part: Part) -> None:
        """A part has come."""
        self._parts.append(part)
        if not part.last:
            self._filling = part.tsn
        elif part.tsn == self._filling:
            self._filling = -1
        self.wake()

    def abort(self) -> None:
        """No more will come of the message of which parts have."""
        if self._filling >= 0:
            self._filling = -1
            self._parts.append(None)
            self.wake()

    def wake(self) -> None:
        """There is a part, or something else to be told of."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take_whole(self) -> list[Part]:
        """All that is here, which must be whole messages: the reader goes on without parts."""
        self.check_alone()
        parts = [part for part in self._parts if part is not None and part.last]
        if self._inside >= 0 or len(parts) < len(self._parts):
            raise RuntimeError("a message is being read in parts: read the rest of it by parts() first")
        self._parts.clear()
        return parts


async def send_parts(
    driver: Driver, sid: int, parts: AsyncIterable[Any] | Iterable[Any], ppid: int, unordered: bool, terms: Terms
) -> Receipt:
    """See `StreamWriter.send_parts`. A part waits for the next one, for only then is it known not to be the last."""
    flags = message_flags(unordered, False)
    waiting = b""
    try:
        if isinstance(parts, AsyncIterable):
            async for part in parts:
                waiting = await _next(driver, sid, waiting, part, ppid, flags, terms)
        else:
            for part in parts:
                waiting = await _next(driver, sid, waiting, part, ppid, flags, terms)
        if not waiting:
            raise ValueError("a message must have at least 1 byte")  # RFC 9260 section 3.3.1
        await _send(driver, sid, waiting, ppid, flags, terms, True)
    except BaseException:
        break_off(driver, terms)
        raise
    return Receipt(driver, sid, waiting, ppid, flags, terms, ANY_PATH)


async def _next(driver: Driver, sid: int, waiting: bytes, part: Any, ppid: int, flags: int, terms: Terms) -> bytes:
    """Send the part before this one, if both have any bytes."""
    kept = driver.keep(part)
    if kept and waiting:
        await _send(driver, sid, waiting, ppid, flags, terms, False)
    return kept or waiting


async def _send(driver: Driver, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> None:
    driver.write_piece(sid, data, ppid, flags, terms, last)
    if driver.sending.credit < 0:
        await driver.drain_part(sid)


def break_off(driver: Driver, terms: Terms) -> None:
    """A message that is written in parts will not be ended: the peer must not take it for a whole one."""
    submission = driver.core.submission
    if driver.ended or submission is None or not terms.open:
        return
    try:
        submission.give_up(terms)
    except ValueError:
        driver.abort(b"a message that was begun can't be ended")
    else:
        driver.engine.flush_soon(driver.core)
