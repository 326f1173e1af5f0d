"""Where the messages of an association arrive and wait, and who has claimed which stream.

Knows readers, ids and resets. Does not know sockets, timers, nor how messages travel.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from ..association import AssociationUser
from ..errors import EndOfStream, SCTPError
from ..events import AssociationRestarted, Event, StreamsReset
from .claims import Claims
from .flow_control import Turn
from .parts import Part
from .streams import Message, MessageQueue, StreamReader

__all__ = ["Inbox"]

_NEW: Final = tuple.__new__  # a third of the time of Message(...)


@mypyc_attr(allow_interpreted_subclasses=True)
class Inbox(AssociationUser):
    """Where the messages of an association arrive: at the reader that has claimed their stream, or in one queue for
    all.
    """

    __slots__ = (
        "_accepting", "_by_stream", "_lowest", "_readers", "_used", "_written", "claims", "ended", "error",
        "unclaimed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ended = False
        self.error: SCTPError | None = None
        self.unclaimed = MessageQueue(self)
        self._readers: dict[int, StreamReader] = {}
        self._used: set[int] | None = None  # the streams that the peer has used; claimed ones are not listed
        self._written: set[int] | None = None  # those that we have used
        self.claims: Claims | None = None  # made when the first stream is reset
        self._lowest = 0
        self._accepting: Turn | None = None
        #: The unclaimed messages once more, sorted by stream; None until `accept` needs it.
        self._by_stream: dict[int, list[Message]] | None = None

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """The core has a message."""
        queue: MessageQueue | None = self._readers.get(sid)
        if queue is None:
            message: Message = _NEW(Message, (data, sid, ppid, unordered, ssn, tsn))
            queue = self.unclaimed
            self.use(sid)
            if self._by_stream is not None:
                self._by_stream.setdefault(sid, []).append(message)
            queue.messages.append(message)
            if self._accepting is not None:
                self._accepting.wake()
        else:
            queue.messages.append(_NEW(Message, (data, sid, ppid, unordered, ssn, tsn)))
        if queue.is_waited_for:
            queue.wake()

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        """The core has a part of a message, for a reader that wants parts."""
        reader = self._readers.get(sid)
        if reader is not None:
            reader.on_part(Part(data, last, sid, ppid, unordered, number, tsn))

    def abort_parts(self, sid: int) -> None:
        """A message that a reader has a part of will not be completed."""
        reader = self._readers.get(sid)
        if reader is not None and reader._parts is not None:
            reader._parts.abort()

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """The reader of a stream wants parts from now on, or no more."""
        raise NotImplementedError

    def end_of(self, sid: int) -> Exception | None:
        """What to raise to one who waits on this stream; None while more may come."""
        return self.end_of_stream() if self.ended else None

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
        return (self._written is None or sid not in self._written) and self.is_idle(sid)

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
        claims = self.claims
        if claims is not None and claims.is_held(sid) and (claims.is_closing(sid) or not self.is_unused(sid)):
            raise ValueError(f"stream {sid} was claimed before, and is not yet reset in both directions")
        return self._claim(sid)

    def _claim(self, sid: int) -> StreamReader:
        reader = StreamReader(self, sid)
        if self.claims is not None:
            ends_at = self.claims.take(sid)
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
        if self.claims is not None:
            self.claims.finish_incoming(sid)
        return reader

    def note(self, event: Event) -> None:
        """Something happened: of interest is what it means for the ids of streams."""
        if isinstance(event, StreamsReset) and event.result == "ok":
            self._on_reset(event)
        elif isinstance(event, AssociationRestarted) and self.claims is not None:
            self.claims.restart()

    def _on_reset(self, event: StreamsReset) -> None:
        claims = self.open_claims()
        if event.outgoing:
            for sid in event.streams or (*(self._written or ()), *claims.closing):
                self._end_outgoing(claims, sid)
        else:
            for sid in event.streams or (*self._readers, *(self._used or ())):
                self._end_incoming(claims, sid)

    def open_claims(self) -> Claims:
        """What is known of ids that were used before."""
        if self.claims is None:
            self.claims = Claims()
        return self.claims

    def _end_incoming(self, claims: Claims, sid: int) -> None:
        """What is to come on this stream is something new."""
        reader = self._readers.pop(sid, None)
        if reader is not None:
            reader.end()
            if claims.finish_incoming(sid):
                self._free(sid)
        elif self._used is not None and sid in self._used:
            self._used.discard(sid)
            self._free(sid)
            for message in self.unclaimed.unread():
                if message[1] == sid:
                    claims.ends[sid] = message[5]

    def _end_outgoing(self, claims: Claims, sid: int) -> None:
        """The peer has agreed to the reset of this stream of ours."""
        if self._written is not None and self.is_idle(sid):
            self._written.discard(sid)
            self._free(sid)
        if claims.finish_outgoing(sid):
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
        claims = self.claims
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
            if reader._parts is not None:
                reader._parts.wake()
