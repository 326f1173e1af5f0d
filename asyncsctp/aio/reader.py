"""Reading: messages and parts of messages, and the queues where they wait until somebody reads them.

Which queue a message comes to is known to `inbox`, how a stream is written to `writer`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple, final

from ..checks import check_int
from ..errors import EndOfStream, MessageAbandoned
from ..inbound.reassembly import SMALLEST_CHARGE
from .flow_control import Turn
from .session import Session

#: The association hears of so many bytes that were read at a time, unless all is read.
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


class MessageQueue:
    """Messages that have arrived and are not yet read. They count against the receive window until they are.

    The oldest are turned around, so that the next one is taken from an end of a list.
    """

    __slots__ = ("_session", "_taken", "_turned", "is_ended", "is_waited_for", "messages", "waiter")

    def __init__(self, session: Session) -> None:
        self._session = session
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
        """Return whether there is nothing to be read."""
        return not self._turned and not self.messages

    def pop(self) -> Message:
        """Take out the next one, of one or more."""
        if not self._turned:
            self._turned = self.messages
            self._turned.reverse()
            self.messages = []
        return self._turned.pop()

    def take_all(self) -> list[Message]:
        """Take out all of them, the next one first."""
        taken = self._turned[::-1] + self.messages if self._turned else self.messages
        self._turned = []
        self.messages = []
        return taken

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
        self._session.consumed(taken)

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
        """Wait until there is a message. Raises what `StreamReader.read` does."""
        if self.waiter is not None:
            raise RuntimeError("another coroutine is already waiting for the next message")
        session = self._session
        while self.is_empty():
            if self.is_ended:
                raise EndOfStream("the peer has reset the stream")
            if session.ended or session.is_complete:
                raise session.end_of_stream()
            self.waiter = asyncio.get_running_loop().create_future()
            self.is_waited_for = True
            try:
                await self.waiter
            finally:
                self.waiter = None
                self.is_waited_for = False

    def wake(self) -> None:
        """Let the waiting coroutine look again: there is a message, or there never will be one."""
        self.is_waited_for = False
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


@final
class StreamReader(MessageQueue):
    """Reads the messages of one stream, each whole, in the order of the stream; unordered ones in order of arrival.

    Messages that are not read close the receive window of the association (RFC 9260 section 6.2), for all of its
    streams.
    """

    __slots__ = ("_sid", "part_reader", "reads_parts")

    def __init__(self, session: Session, sid: int) -> None:
        super().__init__(session)
        self._sid = sid
        self.part_reader: PartReader | None = None
        #: Whether messages come in parts; else there are none where parts wait.
        self.reads_parts = False

    def __repr__(self) -> str:
        return f"<StreamReader of stream {self._sid}: {len(self)} messages>"

    @property
    def stream(self) -> int:
        """The stream's id."""
        return self._sid

    def parts(self) -> PartReader:
        """Read the messages of the stream in parts, as they arrive (RFC 6458 section 6.1.7): `async for part in ...`.

        A message of which `Config.partial_delivery_point` bytes have come does not wait for its end, and may be of any
        length; a shorter one comes as one part. It ends, and raises, as `read` does; `MessageAbandoned` if a message
        that has begun will not be completed. `read` can be used again once the last part of a message was read.
        `RuntimeError` if another coroutine is waiting for the next message.
        """
        parts = self.part_reader
        if parts is None:
            parts = self.part_reader = PartReader(self, self._session)
        if not self.reads_parts:
            if self.waiter is not None:
                raise RuntimeError("another coroutine is already waiting for the next message")
            self.reads_parts = True
            for message in self.take_all():
                parts.put(Part(message.data, True, *message[1:]))
            if not self.is_ended:
                self._session.deliver_parts(self._sid, True)
        return parts

    def end(self) -> None:
        """Come to the end of what is here: the peer has reset the stream."""
        if self.reads_parts:
            self._session.deliver_parts(self._sid, False)
        self.is_ended = True
        self.wake_all()

    def wake_all(self) -> None:
        """Let whoever waits look again: nothing more comes."""
        self.wake()
        if self.part_reader is not None:
            self.part_reader.turn.wake()

    async def wait(self) -> None:
        """Wait until there is a message. Raises what `read` does."""
        parts = self.part_reader
        if parts is not None and self.reads_parts:
            for part in parts.take_whole():
                self.messages.append(Message(part.data, *part[2:]))
            self.reads_parts = False
            if not self.is_ended:
                self._session.deliver_parts(self._sid, False)
        await super().wait()

    def at_eof(self) -> bool:
        """Return whether all messages have been read, and no more come.

        That is so once the peer has reset the stream or shut the association down, or that has ended.
        """
        session = self._session
        has_parts = self.part_reader is not None and len(self.part_reader) > 0
        return (self.is_ended or session.ended or session.is_complete) and self.is_empty() and not has_parts

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.read()
        except EndOfStream:
            raise StopAsyncIteration from None


@final
class PartReader:
    """The parts that have arrived in a stream and are not yet read; what `StreamReader.parts` iterates over."""

    __slots__ = ("_filling", "_inside", "_parts", "_reader", "_session", "turn")

    def __init__(self, reader: StreamReader, session: Session) -> None:
        self._reader = reader
        self._session = session
        self._parts: deque[Part | None] = deque()  # None: the message before it will not be completed
        self.turn = Turn("for the next part")
        self._filling = -1  # the TSN of a message of which a part, and not the last, has come
        self._inside = -1  # the same of one of which a part has been read

    def __aiter__(self) -> PartReader:
        return self

    def __len__(self) -> int:
        return len(self._parts)

    async def __anext__(self) -> Part:
        self._reader.parts()  # it may have read whole messages in between
        session = self._session
        while not self._parts:
            if self._reader.is_ended or session.ended or session.is_complete:
                error = session.end_of_stream()
                if not self._reader.is_ended and not isinstance(error, EndOfStream):
                    raise error
                if self._inside >= 0:  # the sender has ended without it
                    raise self._abandoned()
                raise StopAsyncIteration
            await self.turn.wait()
        part = self._parts.popleft()
        if part is None:
            raise self._abandoned()
        if not part.last:
            self._inside = part.tsn
        elif part.tsn == self._inside:
            self._inside = -1
        session.consumed(max(len(part.data), SMALLEST_CHARGE))
        return part

    def _abandoned(self) -> MessageAbandoned:
        self._inside = -1
        return MessageAbandoned("the message that was being read in parts will not be completed")

    def put(self, part: Part) -> None:
        """Queue a part that has come."""
        self._parts.append(part)
        if not part.last:
            self._filling = part.tsn
        elif part.tsn == self._filling:
            self._filling = -1
        self.turn.wake()

    def abort(self) -> None:
        """Note that no more will come of the message of which parts have."""
        if self._filling >= 0:
            self._filling = -1
            self._parts.append(None)
            self.turn.wake()

    def take_whole(self) -> list[Part]:
        """Take out all that is here, which must be whole messages: the reader goes on without parts."""
        self.turn.claim()
        parts = [part for part in self._parts if part is not None and part.last]
        if self._inside >= 0 or len(parts) < len(self._parts):
            raise RuntimeError("a message is being read in parts: read the rest of it by parts() first")
        self._parts.clear()
        return parts
