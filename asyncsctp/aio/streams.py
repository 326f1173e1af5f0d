"""Reading and writing: messages, the reader and the writer of a stream, and where messages wait that nobody has read.

Knows who has claimed which stream. Does not know sockets, timers, nor how messages travel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from ..checks import check_int
from ..errors import AssociationClosed, EndOfStream
from ..inbound.reassembly import SMALLEST_CHARGE
from .parts import Part, PartReader, send_parts
from .receipts import Receipt
from .reconfiguration import close_stream, is_closed_with

if TYPE_CHECKING:
    from ..handlers.streams.reconfig_jobs import Ticket
    from .driver import Driver
    from .inbox import Inbox

#: The association hears of so much that was read at a time, unless all is read.
_REPORTED_AT: Final = 4096


class Message(NamedTuple):
    """A message as it arrived (RFC 6458 section 5.3.5).

    `ssn` (stream sequence number) and `tsn` are as they were on the wire, of 16 and 32 bits. The `ssn` of an
    `unordered` message means nothing. `ppid` is the sender's, in host byte order.
    """

    data: bytes
    stream: int
    ppid: int
    unordered: bool
    ssn: int
    tsn: int


class MessageQueue:
    """Messages that have arrived and are not yet read. They count against the receive window until they are.

    The oldest are turned around, so that the next one is taken from an end of a list.
    """

    __slots__ = ("_inbox", "_taken", "_turned", "is_ended", "is_waited_for", "messages", "waiter")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._taken = 0  # read, as the receive window counts it, and not yet reported
        self._turned: list[Message] = []  # the next one to be read is the last here
        self.waiter: asyncio.Future[None] | None = None
        #: No more messages come here: the peer has reset the stream.
        self.is_ended = False
        #: Whether `wake` is to be called when a message comes.
        self.is_waited_for = False
        #: Those behind them, in order of arrival: where new ones are appended.
        self.messages: list[Message] = []

    def __len__(self) -> int:
        return len(self._turned) + len(self.messages)

    def is_empty(self) -> bool:
        """Whether there is nothing to be read."""
        return not self._turned and not self.messages

    def put(self, message: Message) -> None:
        """A message has come."""
        self.messages.append(message)

    def pop(self) -> Message:
        """Take out the next one, of one or more."""
        if not self._turned:
            self._turn_around()
        return self._turned.pop()

    def take_all(self) -> list[Message]:
        """Take out all of them, the next one first."""
        taken = self._turned[::-1] + self.messages if self._turned else self.messages
        self._turned = []
        self.messages = []
        return taken

    def _turn_around(self) -> None:
        self._turned = self.messages
        self._turned.reverse()
        self.messages = []

    async def read(self) -> Message:
        """Read the next message, without suspending if it is here.

        What has arrived can be read after the peer has reset the stream (RFC 6525) or shut the association down, and
        after the association has ended. After that this raises `EndOfStream`, or the association's error if it did not
        end gracefully. `RuntimeError` if another coroutine is reading this stream already. Cancelling a read loses no
        message.
        """
        if self.waiter is not None or self.is_empty():
            await self.wait()
        message = self.pop()
        size = len(message[0])
        self._taken += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        if self._taken >= _REPORTED_AT or self.is_empty():
            self.report()
        return message

    def report(self) -> None:
        """Tell the association what has been read, so that it opens the window."""
        taken = self._taken
        self._taken = 0
        self._inbox.consumed(taken)

    async def read_many(self, limit: int | None = None) -> list[Message]:
        """Read all messages that have arrived, at most `limit` and at least one; wait and raise as `read` does.

        `ValueError` for a `limit` below 1.
        """
        if limit is not None:
            check_int("limit", limit, 1, wanted="an int or None")
        if self.waiter is not None or self.is_empty():
            await self.wait()
        some = limit is not None and limit < len(self)
        taken = [self.pop() for _ in range(limit or 0)] if some else self.take_all()
        sizes = [len(message[0]) for message in taken]
        self._taken += sum(sizes)
        if min(sizes) < SMALLEST_CHARGE:
            self._taken += sum([SMALLEST_CHARGE - size for size in sizes if size < SMALLEST_CHARGE])
        self.report()
        return taken

    async def wait(self) -> None:
        """Until there is a message. Raises what `StreamReader.read` does."""
        if self.waiter is not None:
            raise RuntimeError("another coroutine is already waiting for the next message")
        while self.is_empty():
            if self.is_ended:
                raise EndOfStream("the peer has reset the stream")
            if self._inbox.ended or self._inbox.is_complete:
                raise self._inbox.end_of_stream()
            self.waiter = asyncio.get_running_loop().create_future()
            self.is_waited_for = True
            try:
                await self.waiter
            finally:
                self.waiter = None
                self.is_waited_for = False

    def wake(self) -> None:
        """There is a message, or there never will be one."""
        self.is_waited_for = False
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


@final
class StreamReader(MessageQueue):
    """Reads the messages of one stream, each whole, in the order of the stream; unordered ones in order of arrival.

    Messages that are not read close the receive window of the association (RFC 9260 section 6.2), for all of its
    streams.
    """

    __slots__ = ("_parts", "_sid", "reads_parts")

    def __init__(self, inbox: Inbox, sid: int) -> None:
        super().__init__(inbox)
        self._sid = sid
        self._parts: PartReader | None = None
        #: Whether messages come in parts; else there are none where parts wait.
        self.reads_parts = False

    def __repr__(self) -> str:
        return f"<StreamReader of stream {self._sid}: {len(self)} messages>"

    @property
    def stream(self) -> int:
        """The stream's id."""
        return self._sid

    def parts(self) -> PartReader:
        """The messages of the stream in parts, as they arrive (RFC 6458 section 6.1.7): `async for part in ...`.

        A message of which `Config.partial_delivery_point` bytes have come does not wait for its end, and may be of any
        length; a shorter one comes as one part. It ends, and raises, as `read` does; `MessageAbandoned` if a message
        that has begun will not be completed. `read` can be used again once the last part of a message was read.
        `RuntimeError` if another coroutine is waiting for the next message.
        """
        parts = self._parts
        if parts is None:
            parts = self._parts = PartReader(self, self._inbox)
        if not self.reads_parts:
            if self.waiter is not None:
                raise RuntimeError("another coroutine is already waiting for the next message")
            self.reads_parts = True
            for message in self.take_all():
                parts.put(Part(message.data, True, *message[1:]))
            if not self.is_ended:
                self._inbox.deliver_parts(self._sid, True)
        return parts

    def end(self) -> None:
        """The peer has reset the stream: what is here can be read, and nothing more comes."""
        if self.reads_parts:
            self._inbox.deliver_parts(self._sid, False)
        self.is_ended = True
        self.wake_all()

    def wake_all(self) -> None:
        """Nothing more comes: whoever waits is to look again."""
        self.wake()
        if self._parts is not None:
            self._parts.wake()

    def on_part(self, part: Part) -> None:
        """A part has come; after the change to whole messages maybe the rest of one."""
        if self._parts is not None:
            self._parts.put(part)

    def abort_parts(self) -> None:
        """No more will come of the message of which parts have."""
        if self._parts is not None:
            self._parts.abort()

    async def wait(self) -> None:
        """Until there is a message. Raises what `read` does."""
        parts = self._parts
        if parts is not None and self.reads_parts:
            for part in parts.take_whole():
                self.messages.append(Message(part.data, *part[2:]))
            self.reads_parts = False
            if not self.is_ended:
                self._inbox.deliver_parts(self._sid, False)
        await super().wait()

    def at_eof(self) -> bool:
        """Whether all messages have been read, and no more come: the peer has reset the stream, or shut the association
        down, or that has ended.
        """
        inbox = self._inbox
        return (self.is_ended or inbox.ended or inbox.is_complete) and not self and not self._parts

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.read()
        except EndOfStream:
            raise StopAsyncIteration from None


@final
class StreamWriter:
    """Writes messages to one stream."""

    __slots__ = ("_closing", "_driver", "_sid", "_ticket")

    def __init__(self, driver: Driver, sid: int) -> None:
        self._driver = driver
        self._sid = sid
        self._closing = False
        self._ticket: Ticket | None = None

    def __repr__(self) -> str:
        return f"<StreamWriter of stream {self._sid}: {self.buffered} bytes to be sent>"

    @property
    def stream(self) -> int:
        """The stream's id."""
        return self._sid

    @property
    def buffered(self) -> int:
        """Bytes written to this stream and not yet sent."""
        return self._driver.core.buffered_of(self._sid)

    def write(
        self,
        data: bytes | bytearray | memoryview,
        *,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | asyncio.Timeout | None = None,
        max_retransmits: int | None = None,
        priority: int | None = None,
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
        auth_key: int | None = None,
    ) -> Receipt:
        """Queue one message. Never blocks: follow it by `drain`, or the queue grows without bound.

        * `data`: any bytes-like object of 1 to `Config.max_message_size` bytes; copied only if it could change.
        * `ppid`: the payload protocol identifier, 0 to 4294967295.
        * `unordered`: deliver it without regard to the others of the stream (RFC 9260 section 6.6).
        * `lifetime`: seconds after which it is not sent any more, nor again (RFC 3758 section 4.1); or an
          `asyncio.Timeout`, whose end is taken.
        * `max_retransmits`: how often each of its chunks may be sent again, 0 to 4294967295 (RFC 7496 section 3.1).
        * `priority`: it may be given up, unsent, to make room in the send buffer for what is written later and matters
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
        return self._driver.write(
            self._sid,
            data,
            ppid,
            unordered,
            sack_immediately,
            lifetime,
            max_retransmits,
            priority,
            context,
            path,
            auth_key,
        )

    def write_many(
        self,
        messages: Iterable[bytes | bytearray | memoryview],
        *,
        ppid: int = 0,
        unordered: bool = False,
        sack_immediately: bool = False,
    ) -> None:
        """`write` each of these, with the same options, at less cost: all of them, or none if one is wrong."""
        if self._closing:
            raise self._closed_error()
        self._driver.write_many(self._sid, messages, ppid, unordered, sack_immediately)

    def _closed_error(self) -> AssociationClosed:
        return AssociationClosed(f"the writer of stream {self._sid} has been closed")

    async def drain(self) -> None:
        """Wait while the send buffer is too full; any number of coroutines may.

        It is from `Config.send_buffer` bytes on, written to any stream and not yet acknowledged, until half of them are
        left; and while half of it is taken by messages of this stream that are not yet sent. Raises the association's
        error, or `AssociationClosed`, if it has ended.
        """
        await self._driver.drain(self._sid)

    async def send(
        self,
        data: bytes | bytearray | memoryview,
        *,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | asyncio.Timeout | None = None,
        max_retransmits: int | None = None,
        priority: int | None = None,
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
        auth_key: int | None = None,
    ) -> Receipt:
        """`write`, then `drain`. Cancelling it does not withdraw the message."""
        driver = self._driver
        if self._closing:
            raise self._closed_error()
        receipt = driver.write(
            self._sid,
            data,
            ppid,
            unordered,
            sack_immediately,
            lifetime,
            max_retransmits,
            priority,
            context,
            path,
            auth_key,
        )
        if driver.sending.credit < 0:
            await driver.drain(self._sid)
        return receipt

    async def send_parts(
        self,
        parts: AsyncIterable[bytes | bytearray | memoryview] | Iterable[bytes | bytearray | memoryview],
        *,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: float | asyncio.Timeout | None = None,
        max_retransmits: int | None = None,
        context: object = None,
        auth_key: int | None = None,
    ) -> Receipt:
        """Write one message in parts, so that it need not be held whole (RFC 6458 section 8.1.26).

        Each part is written once the next one is there, or the parts are at their end, and there is room for it.
        `Config.max_message_size` does not bound the message; the peer has to read it in parts, or to have room.

        From the second part to the last nothing else can be written to this stream (`RuntimeError`); and without
        interleaving (RFC 8260) nothing of other streams leaves. If the parts end by an error, this is cancelled, or the
        association is closed meanwhile, the message is withdrawn; where partial reliability was not negotiated, and a
        part has left, the association is aborted. `ValueError` if there is no byte in all parts; `MessageAbandoned` if
        the message was given up before its last part; other arguments and errors as of `write`.
        """
        if self._closing:
            raise self._closed_error()
        driver = self._driver
        driver.check_options(ppid, unordered)
        terms = driver.terms(lifetime, max_retransmits, context, auth_key)
        return await send_parts(driver, self._sid, parts, ppid, unordered, terms)

    @property
    def priority(self) -> int | None:
        """What the scheduler was told by setting this, or by `Association.set_stream_priority`; None: nothing."""
        return self._driver.priority_of(self._sid)

    @priority.setter
    def priority(self, value: int) -> None:
        self._driver.set_priority(self._sid, value)

    def close(self) -> None:
        """Take no more messages here; what was written is sent. Idempotent.

        Where stream reconfiguration (RFC 6525) was negotiated the stream is reset after that, and the peer's reader
        comes to its end; writers that are closed in the same turn of the loop share a request. Its id is free again
        once the peer has reset its direction too. Without, the peer hears nothing of it, and the stream stays claimed.
        """
        if not self._closing:
            self._closing = True
            self._ticket = close_stream(self._driver, self._sid)

    def is_closing(self) -> bool:
        """Whether no more messages can be written: `close` was called, or the association shuts down or has ended."""
        return self._closing or not self._driver.takes_messages

    async def wait_closed(self) -> None:
        """Wait until the peer has answered the reset of the stream; what was written to it has arrived then.

        `ReconfigError` if it was refused. Without stream reconfiguration, or before `close`, wait until what was
        written to the association has been acknowledged. Raises as `drain` does.
        """
        ticket = self._ticket
        if ticket is None or await is_closed_with(self._driver, ticket):
            await self._driver.flush_written()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As `Association.get_extra_info`."""
        return self._driver.get_extra_info(name, default)
