"""Where the messages of an association arrive and wait, and who has claimed which stream.

Knows readers, ids and resets. Does not know sockets, timers, nor how messages travel.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from ..association.user import AssociationUser
from ..errors import EndOfStream, SCTPError
from ..events import AssociationRestarted, Event, StreamsReset
from .claims import Claims
from .flow_control import Turn
from .parts import Part
from .streams import Message, MessageQueue, StreamReader
from .unclaimed import Unclaimed

_NEW: Final = tuple.__new__  # a third of the time of Message(...)


@mypyc_attr(allow_interpreted_subclasses=True)
class Inbox(AssociationUser):
    """Where the messages of an association arrive: at the reader that has claimed their stream, or in one queue for
    all.
    """

    __slots__ = (
        "_accepting",
        "_lowest",
        "_readers",
        "_used",
        "_written",
        "claims",
        "ended",
        "error",
        "is_complete",
        "unclaimed",
    )

    def __init__(self) -> None:
        self.ended = False
        #: The peer has shut down, and each side has all that the other sent, although the end may still take time.
        self.is_complete = False
        self.error: SCTPError | None = None
        self.unclaimed = Unclaimed(self)
        self._readers: dict[int, StreamReader] = {}
        self._used: set[int] | None = None  # the streams that the peer has used since their reset, and nobody claimed
        self._written: set[int] | None = None  # those that we have used
        self.claims: Claims | None = None  # made when the first stream is reset
        self._lowest = 0
        self._accepting: Turn | None = None

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """The core has a message."""
        message: Message = _NEW(Message, (data, sid, ppid, unordered, ssn, tsn))
        queue: MessageQueue | None = self._readers.get(sid)
        if queue is None:
            self.use(sid)
            self.unclaimed.put(message)
            if self._accepting is not None:
                self._accepting.wake()
            queue = self.unclaimed
        else:
            queue.messages.append(message)
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
        if reader is not None:
            reader.abort_parts()

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """The reader of a stream wants parts from now on, or no more."""
        raise NotImplementedError

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
        if self.error is not None:
            return self.error.with_traceback(None)
        return EndOfStream("the association has ended" if self.ended else "the peer has shut the association down")

    def claim(self, sid: int) -> StreamReader:
        """A reader for a stream, which gets its messages from now on, and those that nobody has read. `ValueError` if
        claimed, or if it was and one direction is not finished.
        """
        if sid in self._readers:
            raise ValueError(f"stream {sid} is already claimed, until both sides have closed their writers of it")
        claims = self.claims
        if claims is not None and claims.is_held(sid) and (claims.is_closing(sid) or not self.is_unused(sid)):
            raise ValueError(f"stream {sid} was claimed before, and is not yet reset in both directions")
        return self._claim(sid)

    def _claim(self, sid: int) -> StreamReader:
        """The reader comes to its end at once if the peer has reset the stream before its messages were claimed. What
        came after that stays, for the next who claims the stream.
        """
        reader = StreamReader(self, sid)
        if self.claims is not None:
            self.claims.take(sid)
        is_used = self._used is not None and sid in self._used
        if is_used or self.unclaimed.has_ended(sid):
            reader.messages, reader.is_ended = self.unclaimed.take_stream(sid)
        if reader.is_ended:
            self.open_claims().finish_incoming(sid)
            return reader
        self._readers[sid] = reader
        if is_used and self._used is not None:
            self._used.discard(sid)
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
                self.free(sid)
        elif self._used is not None and sid in self._used:
            self._used.discard(sid)
            if not self.unclaimed.end(sid):
                self.free(sid)

    def _end_outgoing(self, claims: Claims, sid: int) -> None:
        """The peer has agreed to the reset of this stream of ours."""
        if self._written is not None and self.is_idle(sid):
            self._written.discard(sid)
            self.free(sid)
        if claims.finish_outgoing(sid):
            self.free(sid)

    def is_idle(self, sid: int) -> bool:
        """Whether nothing was written to this stream while it was reset."""
        return True

    def free(self, sid: int) -> None:
        """This id may be one to hand out."""
        if sid < self._lowest:
            self._lowest = sid

    def lowest_unused(self, limit: int) -> int:
        """The lowest id below `limit` that neither side has used, or that both have reset; -1 if there is none."""
        used = self._used or ()
        written = self._written or ()
        claims = self.claims
        unclaimed = self.unclaimed
        sid = self._lowest
        while (
            sid in used
            or sid in written
            or sid in self._readers
            or unclaimed.has_ended(sid)
            or (claims is not None and claims.is_held(sid))
        ):
            sid += 1
        self._lowest = sid
        return sid if sid < limit else -1

    async def accept(self) -> StreamReader:
        """A reader for the stream of the first message that nobody has read."""
        if self._accepting is None:
            self._accepting = Turn("accept_stream")
        self._accepting.claim()
        unclaimed = self.unclaimed
        while unclaimed.is_empty():
            if self.ended or self.is_complete:
                raise self.end_of_stream()
            await self._accepting.wait()
        return self._claim(unclaimed.first_stream())  # begun anew by the peer, whatever of before is not finished

    async def receive(self) -> Message:
        """The next message that belongs to no claimed stream."""
        return await self.unclaimed.read()

    async def receive_many(self, limit: int | None) -> list[Message]:
        """The messages that belong to no claimed stream."""
        return await self.unclaimed.read_many(limit)

    def on_complete(self) -> None:
        """No message is missing, and none comes any more (RFC 9260 section 9.2)."""
        self.is_complete = True
        self.wake_readers()

    def wake_readers(self) -> None:
        """No more messages come: the association has ended, or will."""
        self.unclaimed.wake()
        if self._accepting is not None:
            self._accepting.wake()
        for reader in self._readers.values():
            reader.wake_all()
