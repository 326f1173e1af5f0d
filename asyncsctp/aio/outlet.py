"""Where the messages of an association are written: makes them of what the caller gave, and queues them in the core.

Who waits for space in the send buffer is in `flow_control`, what a message may be in `handlers.data.submission`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Any, cast, final

from ..checks import check_bool, check_int
from ..outbound.message import ANY_PATH, WHOLE, Terms, message_flags
from ..wire.constants import MASK_32
from .flow_control import SendBuffer
from .receipts import Receipt
from .send_options import PartsOptions, SendOptions
from .session import Session


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

    __slots__ = ("_priorities", "_session", "buffer")

    def __init__(self, session: Session, send_buffer: int) -> None:
        self._session = session
        #: What was written, against the marks of the send buffer, and who waits for space.
        self.buffer = SendBuffer(session.core, send_buffer)
        self._priorities: dict[int, int] | None = None  # by stream, what the user set

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
        session.check_alive()
        session.core.send_many(sid, kept, ppid, unordered, sack_immediately)
        size = sum(map(len, kept))
        self.buffer.credit -= size
        session.engine.flush_soon(session.core, size)

    def terms_of_parts(self, ppid: object, unordered: object, options: PartsOptions) -> Terms:
        """Return what is asked for a message that is written in parts, its arguments checked."""
        check_int("ppid", ppid)
        check_bool("unordered", unordered)
        session = self._session
        if options.get("auth_key") is not None:
            session.check_alive()
        return session.core.terms(self._prepared(options), session.engine.now())

    async def write_piece(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> None:
        """Queue a piece of a message that is written in parts, and wait until the next one may follow."""
        session = self._session
        session.check_alive()
        session.core.sender().send_piece(sid, data, ppid, flags, terms, last)
        self.buffer.credit -= len(data)
        session.flush_soon(len(data))
        if self.buffer.credit < 0:
            session.check_alive()
            await self.buffer.wait_for_part(sid)
            session.check_alive()

    def break_off(self, terms: Terms) -> None:
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

    def receipt_of_parts(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms) -> Receipt:
        """Return what stands for a message that was written in parts; `data` is the last of them."""
        return Receipt(self._session, sid, data, ppid, flags, terms, ANY_PATH)

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
        session = self._session
        session.check_alive()
        session.core.sender().set_priority(sid, check_int("value", value, 0, MASK_32))
        if self._priorities is None:
            self._priorities = {}
        self._priorities[sid] = value

    def priority_of(self, sid: int) -> int | None:
        """Return the value that was last set; None if none was."""
        return None if self._priorities is None else self._priorities.get(sid)
