"""Where the messages of an association are written: makes them of what the caller gave, and queues them in the core.

Who waits for space in the send buffer is in `flow_control`, what a message may be in `handlers.data.submission`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from math import inf
from typing import Any, TypedDict, cast, final

from ..checks import check_bool, check_int
from ..outbound.message import ANY_PATH, WHOLE, Terms, message_flags
from ..tables import NOTHING
from ..wire.constants import MASK_32
from .flow_control import SendBuffer
from .receipts import Receipt
from .session import Session


class PartsOptions(TypedDict, total=False):
    """The options of a message that is written in parts; they mean what they do in `StreamWriter.write`."""

    lifetime: float | asyncio.Timeout | None
    max_retransmits: int | None
    context: Any
    auth_key: int | None


class SendOptions(PartsOptions, total=False):
    """The options of a message beside `ppid` and `unordered`, each of which `StreamWriter.write` explains."""

    priority: int | None
    sack_immediately: bool
    path: str | None


def frozen(data: object) -> bytes:
    """Return the bytes of a bytes-like object, copied only if they could change. `TypeError` for other objects."""
    if isinstance(data, bytes):
        return bytes(data)  # of a subclass
    if isinstance(data, memoryview) and type(data.obj) is bytes and data.nbytes == len(data.obj) and data.contiguous:
        return data.obj
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]  # whether it is one is asked here
    except TypeError:
        raise TypeError(f"data must be a bytes-like object, not {type(data).__name__}") from None


@final
class Outlet:
    """The way out for the messages of one association."""

    __slots__ = ("_session", "buffer", "priorities")

    def __init__(self, session: Session, send_buffer: int) -> None:
        self._session = session
        #: What was written, against the marks of the send buffer, and who waits for space.
        self.buffer = SendBuffer(session.core, send_buffer)
        self.priorities: dict[int, int] = NOTHING  # by stream, what the user set

    def write(self, sid: int, data: Any, ppid: Any, unordered: Any, options: SendOptions) -> Receipt:
        """Queue one message, as `StreamWriter.write` says. Its arguments are checked here, so that errors name them."""
        session = self._session
        kept: bytes = data if type(data) is bytes else frozen(data)
        size = len(kept)
        if not size:
            raise ValueError("data must hold at least 1 byte")  # RFC 9260 section 3.3.1
        if type(ppid) is not int:
            check_int("ppid", ppid)
        if session.ended:
            raise session.closed_error()
        flags = WHOLE if unordered is False else message_flags(check_bool("unordered", unordered), False)
        receipt = Receipt(session, sid, kept, ppid, flags, None, ANY_PATH)
        if options:
            given = self._prepared(options)
            if given.get("path") is not None:
                given["path"] = session.peer_address("path", given["path"])
            session.core.prepare(receipt, given, session.engine.now())
        session.core.sender().send(receipt)
        self.buffer.credit -= size
        session.engine.flush_soon(session.core, size)
        return receipt

    @staticmethod
    def _prepared(options: PartsOptions) -> dict[str, Any]:
        """Return the options as the core knows them, which has no loop to ask for the end of an `asyncio.Timeout`."""
        given = cast("dict[str, Any]", options)
        lifetime = given.get("lifetime")
        if isinstance(lifetime, asyncio.Timeout):
            when = lifetime.when()
            given["lifetime"] = inf if when is None else max(when - asyncio.get_running_loop().time(), 0.0)
        return given

    def write_many(self, sid: int, messages: Iterable[Any], ppid: Any, unordered: Any, sack_immediately: Any) -> None:
        """Queue messages, as `StreamWriter.write_many` says."""
        session = self._session
        kept = [data if type(data) is bytes else frozen(data) for data in messages]
        if not all(kept):
            raise ValueError("data must hold at least 1 byte")  # RFC 9260 section 3.3.1
        check_int("ppid", ppid)
        check_bool("unordered", unordered)
        check_bool("sack_immediately", sack_immediately)
        session.check_alive().send_many(sid, kept, ppid, unordered, sack_immediately)
        size = sum(map(len, kept))
        self.buffer.credit -= size
        session.engine.flush_soon(session.core, size)

    async def send_parts(
        self, sid: int, parts: AsyncIterable[Any] | Iterable[Any], ppid: int, unordered: bool, options: PartsOptions
    ) -> Receipt:
        """Write one message, as `StreamWriter.send_parts` says.

        A part waits for the next one, for only then is it known not to be the last.
        """
        check_int("ppid", ppid)
        check_bool("unordered", unordered)
        session = self._session
        if options.get("auth_key") is not None:
            session.check_alive()
        terms = session.core.terms(self._prepared(options), session.engine.now())
        flags = message_flags(unordered, False)
        waiting = b""

        async def follow(part: Any) -> bytes:
            """Write the part before this one, if both have any bytes; return what waits now."""
            kept = frozen(part)
            if kept and waiting:
                await self._write_piece(sid, waiting, ppid, flags, terms, False)
            return kept or waiting

        try:
            if isinstance(parts, AsyncIterable):
                async for part in parts:
                    waiting = await follow(part)
            else:
                for part in parts:
                    waiting = await follow(part)
            if not waiting:
                raise ValueError("a message must have at least 1 byte")  # RFC 9260 section 3.3.1
            await self._write_piece(sid, waiting, ppid, flags, terms, True)
        except BaseException:
            self._break_off(terms)
            raise
        return Receipt(session, sid, waiting, ppid, flags, terms, ANY_PATH)

    async def _write_piece(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> None:
        """Queue a piece of a message that is written in parts, and wait until the next one may follow."""
        session = self._session
        session.check_alive().sender().send_piece(sid, data, ppid, flags, terms, last)
        self.buffer.credit -= len(data)
        session.flush_soon(len(data))
        if self.buffer.credit < 0:
            session.check_alive()
            await self.buffer.wait_for_part(sid)
            session.check_alive()

    def _break_off(self, terms: Terms) -> None:
        """Give up a message that is written in parts and will not be ended.

        Where the peer can't be told it is aborted: it must not take the message for a whole one.
        """
        session = self._session
        submission = session.core.submission
        if session.ended or submission is None or not terms.open:
            return
        try:
            submission.give_up(terms)
        except ValueError:
            session.abort(b"a message that was begun can't be ended")
        else:
            session.flush_soon()

    async def drain(self, sid: int) -> None:
        """Wait while the send buffer is too full, as `StreamWriter.drain` says."""
        self._session.check_alive()
        await self.buffer.wait_for_space(sid)
        self._session.check_alive()

    async def flush(self) -> None:
        """Wait until all that was written is acknowledged, as `Association.flush` says."""
        session = self._session
        if not session.ended:
            await self.buffer.wait_until_dry()
        if session.error is not None:
            raise session.closed_error()

    def set_priority(self, sid: int, value: Any) -> None:
        """Tell the scheduler the value of a stream, as `Association.set_stream_priority` says."""
        self._session.check_alive().sender().set_priority(sid, check_int("value", value, 0, MASK_32))
        if not self.priorities:
            self.priorities = {}
        self.priorities[sid] = value
