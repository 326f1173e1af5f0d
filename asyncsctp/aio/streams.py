"""Reading and writing: messages, the reader and the writer of a stream, and where messages wait that nobody has read.

Knows who has claimed which stream. Does not know sockets, timers, nor how messages travel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from mypy_extensions import mypyc_attr

from ..association import AssociationUser
from ..errors import AssociationClosed, EndOfStream, SCTPError
from ..inbound.reassembly import SMALLEST_CHARGE
from .claims import Claims
from .flow_control import Turn

if TYPE_CHECKING:
    from ..handlers.reconfig_jobs import Ticket
    from .driver import Driver

__all__ = ["Inbox", "Message", "MessageQueue", "StreamReader", "StreamWriter"]

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


_new: Final = tuple.__new__  # a third of the time of Message(...)


class MessageQueue:
    """Messages that have arrived and are not yet read. They count against the receive window until they are.

    The oldest are turned around, so that the next one is taken from an end of a list.
    """

    __slots__ = ("_inbox", "_taken", "_turned", "is_ended", "is_waited_for", "messages", "skipped", "waiter")

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
        #: The streams whose messages are read elsewhere by now; None: there are none of theirs here.
        self.skipped: dict[int, StreamReader] | None = None

    def __len__(self) -> int:
        return len(self._turned) + len(self.messages)

    def unread(self) -> list[Message]:
        """All of them, the next one to be read first."""
        return self._turned[::-1] + self.messages

    def first(self) -> Message:
        """The next one to be read, of one or more."""
        if not self._turned:
            self._turn_around()
        return self._turned[-1]

    def _turn_around(self) -> None:
        self._turned = self.messages
        self._turned.reverse()
        self.messages = []

    async def read(self) -> Message:
        """The next message; see `StreamReader.read`."""
        if self.waiter is not None or not (self._turned or self.messages):
            await self.wait()
        if not self._turned:
            self._turn_around()
        message = self._turned.pop()
        if self.skipped is not None:
            self.skip()
        size = len(message[0])
        self._taken += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        if self._taken >= _REPORTED_AT or not (self._turned or self.messages):
            self.report()
        return message

    def report(self) -> None:
        """Tell the association what has been read, so that it opens the window."""
        taken = self._taken
        self._taken = 0
        self._inbox.consumed(taken)

    async def read_many(self, limit: int | None = None) -> list[Message]:
        """All that is queued, but at least one; see `StreamReader.read_many`."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"limit must be an int or None, not {limit!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, or None, not {limit}")
        if self.waiter is not None or not (self._turned or self.messages):
            await self.wait()
        taken = self.unread() if self._turned else self.messages
        self._turned = []
        self.messages = []
        if self.skipped is not None:
            skipped = self.skipped
            taken = [message for message in taken if message[1] not in skipped]
            self.skipped = None
        if limit is not None and len(taken) > limit:
            self._turned = taken[: limit - 1 : -1]
            del taken[limit:]
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
        while not (self._turned or self.messages):
            if self.is_ended:
                raise EndOfStream("the peer has reset the stream")
            if self._inbox.ended:
                raise self._inbox.end_of_stream()
            self.waiter = asyncio.get_running_loop().create_future()
            self.is_waited_for = True
            try:
                await self.waiter
            finally:
                self.waiter = None
                self.is_waited_for = False

    def replace(self, messages: list[Message]) -> None:
        """These are left of those that were not read."""
        self._turned = []
        self.messages = messages

    def wake(self) -> None:
        """There is a message, or there never will be one."""
        self.is_waited_for = False
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def skip(self) -> None:
        """Drop messages from the front that are read elsewhere: so the first message, if any, is always one to be read
        here.
        """
        if self.skipped is not None:
            while self:
                if self.first()[1] not in self.skipped:
                    return
                self._turned.pop()
            self.skipped = None


@final
class StreamReader(MessageQueue):
    """Reads the messages of one stream, each whole, in the order of the stream; unordered ones in order of arrival.

    Messages that are not read close the receive window of the association (RFC 9260 section 6.2), for all of its
    streams.
    """

    __slots__ = ("_sid",)

    def __init__(self, inbox: Inbox, sid: int) -> None:
        super().__init__(inbox)
        self._sid = sid

    def __repr__(self) -> str:
        return f"<StreamReader of stream {self._sid}: {len(self)} messages>"

    @property
    def stream(self) -> int:
        """The stream's id."""
        return self._sid

    async def read(self) -> Message:
        """The next message; it doesn't suspend if there is one.

        What has arrived can be read after the peer has reset the stream (RFC 6525), and after the association has
        ended. Then this raises `EndOfStream`, or the association's error if it did not end gracefully.
        `RuntimeError` if another coroutine is reading this stream already. Cancelling a read loses no message.
        """
        if self.waiter is not None or not (self._turned or self.messages):
            await self.wait()
        if not self._turned:
            self._turn_around()
        message = self._turned.pop()
        size = len(message[0])
        self._taken += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        if self._taken >= _REPORTED_AT or not (self._turned or self.messages):
            self.report()
        return message

    async def read_many(self, limit: int | None = None) -> list[Message]:
        """All messages that have arrived, at most `limit`, and at least one: waits and raises as `read` does.

        `ValueError` for a `limit` below 1.
        """
        return await super().read_many(limit)

    def at_eof(self) -> bool:
        """Whether all messages have been read, and the peer has reset the stream or the association has ended."""
        return (self.is_ended or self._inbox.ended) and not self

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
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
    ) -> None:
        """Queue one message. Never blocks: follow it by `drain`, or the queue grows without bound.

        * `data`: any bytes-like object of 1 to `Config.max_message_size` bytes; copied only if it could change.
        * `ppid`: the payload protocol identifier, 0 to 4294967295.
        * `unordered`: deliver it without regard to the others of the stream (RFC 9260 section 6.6).
        * `sack_immediately`: ask the peer for a SACK without delay (RFC 7053).
        * `context`: any object; it comes back in `SendFailed`.
        * `path`: the peer's address to send it to, while that is reachable.

        `TypeError` or `ValueError` for wrong arguments, `MessageTooLarge`, and `AssociationClosed` once the association
        is shutting down or has ended, or this writer was closed.
        """
        if self._closing:
            raise self._closed_error()
        self._driver.write(self._sid, data, ppid, unordered, sack_immediately, context, path)

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
        sack_immediately: bool = False,
        context: object = None,
        path: str | None = None,
    ) -> None:
        """`write`, then `drain`."""
        driver = self._driver
        if self._closing:
            raise self._closed_error()
        driver.write(self._sid, data, ppid, unordered, sack_immediately, context, path)
        if driver.sending.credit < 0:
            await driver.drain(self._sid)

    def close(self) -> None:
        """Take no more messages here; what was written is sent. Idempotent.

        Where stream reconfiguration (RFC 6525) was negotiated the stream is reset after that, and the peer's reader
        comes to its end; writers that are closed in the same turn of the loop share a request. Its id is free again
        once the peer has reset its direction too. Without, the peer hears nothing of it, and the stream stays claimed.
        """
        if not self._closing:
            self._closing = True
            self._ticket = self._driver.close_stream(self._sid)

    def is_closing(self) -> bool:
        """Whether no more messages can be written: `close` was called, or the association shuts down or has ended."""
        return self._closing or not self._driver.takes_messages

    async def wait_closed(self) -> None:
        """Wait until the peer has answered the reset of the stream; what was written to it has arrived then.

        `ReconfigError` if it was refused. Without stream reconfiguration, or before `close`, wait until what was
        written to the association has been acknowledged. Raises as `drain` does.
        """
        ticket = self._ticket
        if ticket is None or await self._driver.is_closed_with(ticket):
            await self._driver.flush_written()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As `Association.get_extra_info`."""
        return self._driver.get_extra_info(name, default)


@mypyc_attr(allow_interpreted_subclasses=True)
class Inbox(AssociationUser):
    """Where the messages of an association arrive: at the reader that has claimed their stream, or in one queue for
    all.
    """

    __slots__ = (
        "_accepting", "_by_stream", "_claims", "_lowest", "_readers", "_used", "_written", "ended", "error",
        "unclaimed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ended = False
        self.error: SCTPError | None = None
        self.unclaimed = MessageQueue(self)
        self._readers: dict[int, StreamReader] = {}
        self._used: set[int] | None = None  # the streams that the peer has used; claimed ones are not listed
        self._written: set[int] | None = None  # those that we have used
        self._claims: Claims | None = None  # made when the first stream is reset
        self._lowest = 0
        self._accepting: Turn | None = None
        #: The unclaimed messages once more, sorted by stream; None until `accept` needs it.
        self._by_stream: dict[int, list[Message]] | None = None

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """The core has a message."""
        queue: MessageQueue | None = self._readers.get(sid)
        if queue is None:
            message: Message = _new(Message, (data, sid, ppid, unordered, ssn, tsn))
            queue = self.unclaimed
            self.use(sid)
            if self._by_stream is not None:
                self._by_stream.setdefault(sid, []).append(message)
            queue.messages.append(message)
            if self._accepting is not None:
                self._accepting.wake()
        else:
            queue.messages.append(_new(Message, (data, sid, ppid, unordered, ssn, tsn)))
        if queue.is_waited_for:
            queue.wake()

    def use(self, sid: int) -> None:
        """The peer has used this stream."""
        if self._used is None:
            self._used = set()
        self._used.add(sid)

    def use_outgoing(self, sid: int) -> None:
        """We have used this stream."""
        if self._written is None:
            self._written = set()
        self._written.add(sid)

    def is_unused(self, sid: int) -> bool:
        """Whether nothing was written to this stream since it was reset last, if ever."""
        return self._written is None or sid not in self._written

    def consumed(self, charge: int) -> None:
        """The application has read messages which the receive window has counted as so much."""
        raise NotImplementedError

    def end_of_stream(self) -> Exception:
        """What to raise when there will be no more messages."""
        return EndOfStream("the association has ended") if self.error is None else self.error.with_traceback(None)

    def claim(self, sid: int) -> StreamReader:
        """A reader for a stream, which gets its messages from now on, and those that nobody has read. `ValueError` if
        claimed, or if it was and one direction is not finished.
        """
        if sid in self._readers:
            raise ValueError(f"stream {sid} is already claimed")
        claims = self._claims
        if claims is not None and claims.is_held(sid) and (claims.is_closing(sid) or not self.is_unused(sid)):
            raise ValueError(f"stream {sid} was claimed before, and is not yet reset in both directions")
        return self._claim(sid)

    def _claim(self, sid: int) -> StreamReader:
        reader = StreamReader(self, sid)
        if self._claims is not None:
            ends_at = self._claims.take(sid)
            if ends_at >= 0:
                return self._claim_ended(reader, ends_at)
        queue = self.unclaimed
        if self._used is not None and sid in self._used:
            if self._by_stream is not None:
                reader.messages.extend(self._by_stream.pop(sid, ()))
            else:
                reader.messages.extend([message for message in queue.unread() if message[1] == sid])
        self._readers[sid] = reader
        if reader.messages:
            queue.skipped = self._readers
            queue.skip()
        return reader

    def _claim_ended(self, reader: StreamReader, ends_at: int) -> StreamReader:
        """A reader for a stream that the peer has reset already, after the message with this TSN.

        What came after it is left for the next who claims the stream.
        """
        sid = reader.stream
        taken: list[Message] = []
        left: list[Message] = []
        for message in self.unclaimed.unread():
            if message[1] == sid and not reader.is_ended:
                taken.append(message)
                reader.is_ended = message[5] == ends_at
            else:
                left.append(message)
        if not reader.is_ended:  # the last of them was read: this is a stream like others
            return self._claim(sid)
        reader.messages = taken
        self.unclaimed.replace(left)
        self._by_stream = None
        if self._claims is not None:
            self._claims.finish_incoming(sid)
        return reader

    def on_reset(self, streams: tuple[int, ...]) -> None:
        """The peer has reset these of its streams, all if there are none: what is to come on them is something new."""
        if self._claims is None:
            self._claims = Claims()
        for sid in streams or (*self._readers, *(self._used or ())):
            reader = self._readers.pop(sid, None)
            if reader is not None:
                reader.is_ended = True
                reader.wake()
                if self._claims.finish_incoming(sid):
                    self._free(sid)
            elif self._used is not None and sid in self._used:
                self._used.discard(sid)
                self._free(sid)
                for message in self.unclaimed.unread():
                    if message[1] == sid:
                        self._claims.ends[sid] = message[5]

    def on_outgoing_reset(self, streams: tuple[int, ...]) -> None:
        """The peer has agreed to the reset of these of our streams, all if there are none."""
        if self._claims is None:
            self._claims = Claims()
        for sid in streams or (*(self._written or ()), *self._claims.closing):
            if self._written is not None and self.is_idle(sid):
                self._written.discard(sid)
                self._free(sid)
            if self._claims.finish_outgoing(sid):
                self._free(sid)

    def is_idle(self, sid: int) -> bool:
        """Whether nothing was written to this stream while it was reset."""
        return True

    def _free(self, sid: int) -> None:
        if sid < self._lowest:
            self._lowest = sid

    def lowest_unused(self, limit: int) -> int:
        """The lowest id below `limit` that neither side has used, or that both have reset; -1 if there is none."""
        used = self._used or ()
        written = self._written or ()
        claims = self._claims
        if claims is not None and claims.ends:
            waiting = {message[1] for message in self.unclaimed.unread()}
            for read in [ended for ended in claims.ends if ended not in waiting]:
                del claims.ends[read]
                self._free(read)
        sid = self._lowest
        while sid in used or sid in written or sid in self._readers or (claims is not None and claims.is_held(sid)):
            sid += 1
        self._lowest = sid
        return sid if sid < limit else -1

    async def accept(self) -> StreamReader:
        """A reader for the stream of the first message that nobody has read."""
        if self._accepting is None:
            self._accepting = Turn("accept_stream")
        self._accepting.claim()
        queue = self.unclaimed
        while not queue:
            if self.ended:
                raise self.end_of_stream()
            await self._accepting.wait()
        if self._by_stream is None:
            self._by_stream = {}
            for message in queue.unread():
                self._by_stream.setdefault(message[1], []).append(message)
        return self._claim(queue.first()[1])  # the peer has begun anew on it, whatever of before is not finished

    async def receive(self) -> Message:
        """The next message that belongs to no claimed stream."""
        message = await self.unclaimed.read()
        self._by_stream = None
        return message

    async def receive_many(self, limit: int | None) -> list[Message]:
        """The messages that belong to no claimed stream."""
        messages = await self.unclaimed.read_many(limit)
        self._by_stream = None
        return messages

    def wake_readers(self) -> None:
        """The association has ended."""
        self.unclaimed.wake()
        if self._accepting is not None:
            self._accepting.wake()
        for reader in self._readers.values():
            reader.wake()
