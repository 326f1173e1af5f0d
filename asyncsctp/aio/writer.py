"""Writing to one stream, and closing it (RFC 6525). What a message is made of is in `outlet`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, Unpack, final

from ..errors import AssociationClosed, ReconfigError
from ..handlers.request import Ticket
from .inbox import Inbox
from .outlet import Outlet, PartsOptions, SendOptions
from .receipts import Receipt
from .session import Session

Data = bytes | bytearray | memoryview


@final
class StreamWriter:
    """Writes messages to one stream."""

    __slots__ = ("_closing", "_inbox", "_outlet", "_session", "_sid", "_ticket")

    def __init__(self, session: Session, outlet: Outlet, inbox: Inbox, sid: int) -> None:
        self._session = session
        self._outlet = outlet
        self._inbox = inbox
        self._sid = sid
        self._closing = False
        self._ticket: Ticket | None = None  # for the reset of the stream, where the peer is told that it was closed

    def __repr__(self) -> str:
        return f"<StreamWriter of stream {self._sid}: {self.buffered} bytes to be sent>"

    @property
    def stream(self) -> int:
        """The stream's id."""
        return self._sid

    @property
    def buffered(self) -> int:
        """Bytes written to this stream and not yet sent."""
        return self._session.core.buffered_of(self._sid)

    def write(self, data: Data, *, ppid: int = 0, unordered: bool = False, **options: Unpack[SendOptions]) -> Receipt:
        """Queue one message. Never blocks: follow it by `drain`, or the queue grows without bound.

        * `data`: any bytes-like object of 1 to `Config.max_message_size` bytes; copied only if it could change.
        * `ppid`: the payload protocol identifier, 0 to 4294967295.
        * `unordered`: deliver it without regard to the others of the stream (RFC 9260 section 6.6).
        * `lifetime`: seconds after which it is not sent any more, nor again (RFC 3758 section 4.1); or an
          `asyncio.Timeout`, whose end is taken.
        * `max_retransmits`: how often each of its chunks may be sent again, 0 to 4294967295 (RFC 7496 section 3.1).
        * `priority`: it may be given up, unsent, to make space in the send buffer for what is written later and matters
          more: a message with a smaller `priority`, or without any of these three (RFC 7496 section 3.2).
        * `sack_immediately`: ask the peer for a SACK without delay (RFC 7053).
        * `context`: any object; it comes back in `SendFailed`.
        * `path`: the peer's address to send it to, while that is reachable.
        * `auth_key`: the id of the shared key that is to authenticate it, and nothing else with it (RFC 4895), where
          that was negotiated; without, it is the one that is active when it leaves, if it is to be authenticated.

        A message that is given up is told of by `SendFailed`, with its data. At most one of `lifetime`,
        `max_retransmits` and `priority` can be given, and only where partial reliability was negotiated: else
        `ValueError`.

        What comes back can be awaited, until the peer has acknowledged the message, and withdrawn: see `Receipt`.

        `TypeError` or `ValueError` for wrong arguments, `MessageTooLarge`, and `AssociationClosed` once the association
        is shutting down or has ended, or this writer was closed.
        """
        if self._closing:
            raise self._closed_error()
        return self._outlet.write(self._sid, data, ppid, unordered, options)

    async def send(
        self, data: Data, *, ppid: int = 0, unordered: bool = False, **options: Unpack[SendOptions]
    ) -> Receipt:
        """Write one message, then drain. Cancelling it does not withdraw the message."""
        if self._closing:
            raise self._closed_error()
        outlet = self._outlet
        receipt = outlet.write(self._sid, data, ppid, unordered, options)
        if outlet.buffer.credit < 0:
            await outlet.drain(self._sid)
        return receipt

    def write_many(
        self, messages: Iterable[Data], *, ppid: int = 0, unordered: bool = False, sack_immediately: bool = False
    ) -> None:
        """Write each of these, with the same options, at less cost: all of them, or none if one is wrong."""
        if self._closing:
            raise self._closed_error()
        self._outlet.write_many(self._sid, messages, ppid, unordered, sack_immediately)

    async def send_parts(
        self,
        parts: AsyncIterable[Data] | Iterable[Data],
        *,
        ppid: int = 0,
        unordered: bool = False,
        **options: Unpack[PartsOptions],
    ) -> Receipt:
        """Write one message in parts, so that it need not be held whole (RFC 6458 section 8.1.26).

        Each part is written once the next one is there, or the parts are at their end, and there is space for it.
        `Config.max_message_size` does not bound the message; the peer has to read it in parts, or to have space.

        From the second part to the last nothing else can be written to this stream (`RuntimeError`); and without
        interleaving (RFC 8260) nothing of other streams leaves. If the parts end by an error, this is cancelled, or the
        association is closed meanwhile, the message is withdrawn; where partial reliability was not negotiated, and a
        part has left, the association is aborted. `ValueError` if there is no byte in all parts; `MessageAbandoned` if
        the message was given up before its last part; other arguments and errors as of `write`.
        """
        if self._closing:
            raise self._closed_error()
        return await self._outlet.send_parts(self._sid, parts, ppid, unordered, options)

    def _closed_error(self) -> AssociationClosed:
        return AssociationClosed(f"the writer of stream {self._sid} has been closed")

    async def drain(self) -> None:
        """Wait while the send buffer is too full; any number of coroutines may.

        It is from `Config.send_buffer` bytes on, written to any stream and not yet acknowledged, until half of them are
        left; and while half of it is taken by messages of this stream that are not yet sent. Raises the association's
        error, or `AssociationClosed`, if it has ended.
        """
        await self._outlet.drain(self._sid)

    @property
    def priority(self) -> int | None:
        """What the scheduler was told by setting this, or by `Association.set_stream_priority`; None: nothing."""
        return self._outlet.priorities.get(self._sid)

    @priority.setter
    def priority(self, value: int) -> None:
        self._outlet.set_priority(self._sid, value)

    def close(self) -> None:
        """Take no more messages here; what was written is sent. Idempotent.

        Where stream reconfiguration (RFC 6525) was negotiated the stream is reset after that, and the peer's reader
        comes to its end; writers that are closed in the same turn of the loop share a request. Its id is free again
        once the peer has reset its direction too. Without, the peer hears nothing of it, and the stream stays claimed.
        """
        if self._closing:
            return
        self._closing = True
        session = self._session
        setup = session.core.context.setup
        if (
            session.takes_messages
            and setup is not None
            and setup.extensions.stream_reconfig
            and self._sid < setup.outgoing_streams
        ):
            self._ticket = session.ask(session.core.reconfig.close_stream(self._sid))
            self._inbox.close_outgoing(self._sid)

    def is_closing(self) -> bool:
        """Return whether no more messages can be written.

        That is so after `close`, and once the association shuts down or has ended.
        """
        return self._closing or not self._session.takes_messages

    async def wait_closed(self) -> None:
        """Wait until the peer has answered the reset of the stream; what was written to it has arrived then.

        `ReconfigError` if it was refused. Without stream reconfiguration, or before `close`, wait until what was
        written to the association has been acknowledged. Raises as `drain` does.
        """
        ticket = self._ticket
        if ticket is not None and await self._session.answered(ticket):
            return
        error = None if ticket is None else ticket.error
        is_refused = self._session.takes_messages or (isinstance(error, ReconfigError) and error.result is not None)
        if error is not None and is_refused:
            raise error.with_traceback(None)
        await self._outlet.flush()  # there was no request, or the association was closed before the answer came

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what `Association.get_extra_info` does."""
        return self._session.get_extra_info(name, default)
