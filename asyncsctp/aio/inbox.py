"""Where the messages of an association arrive and wait, who has claimed which stream, and which ids are free.

Who waits at a queue is in `reader`; when a stream is reset (RFC 6525) is known to `handlers.streams`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, final

from ..events import AssociationRestarted, Event, StreamsReset
from ..wire.constants import MASK_16
from .flow_control import Turn
from .reader import Message, MessageQueue, Part, StreamReader
from .session import Session

_NEW: Final = tuple.__new__  # a third of the time of Message(...)
_INCOMING: Final = 1
_OUTGOING: Final = 2


@final
class Claims:
    """The streams that were claimed and of which a direction was reset, or is about to be: their ids are not free."""

    __slots__ = ("_finished", "closing")

    def __init__(self) -> None:
        self._finished: dict[int, int] = {}  # the directions that were reset
        #: Streams whose writer was closed, and whose reset is not yet answered.
        self.closing: dict[int, None] = {}

    def is_held(self, sid: int) -> bool:
        """Return whether the id must not be given out."""
        return sid in self._finished or sid in self.closing

    def take(self, sid: int) -> None:
        """Wait no longer for what is not finished: the stream is claimed anew."""
        self._finished.pop(sid, None)
        self.closing.pop(sid, None)

    def close(self, sid: int) -> None:
        """Note that its writer was closed."""
        self.closing[sid] = None

    def finish_incoming(self, sid: int) -> bool:
        """Note that the peer has reset a claimed stream; return whether it is free now."""
        return self._finish(sid, _INCOMING)

    def finish_outgoing(self, sid: int) -> bool:
        """Note that our reset was answered; return whether the stream is free now."""
        if sid not in self.closing:
            return False
        del self.closing[sid]
        return self._finish(sid, _OUTGOING)

    def restart(self) -> None:
        """Wait for no reset any more: the peer has restarted the association."""
        self._finished.clear()
        self.closing.clear()

    def _finish(self, sid: int, direction: int) -> bool:
        finished = self._finished.get(sid, 0) | direction
        if finished == _INCOMING | _OUTGOING:
            del self._finished[sid]
            return True
        self._finished[sid] = finished
        return False


@final
class Backlog:
    """Unread messages, found by their order of arrival and by their stream. Each of them is here once.

    What came on a stream before the peer reset it is told from what came after (RFC 6525).
    """

    __slots__ = ("_arrivals", "_messages", "_streams")

    def __init__(self, messages: list[Message]) -> None:
        self._arrivals = 0
        self._messages: OrderedDict[int, Message] = OrderedDict()  # by the number of their arrival
        # By stream, and from reset to reset of it: the numbers. The last are those since its last reset.
        self._streams: dict[int, deque[deque[int]]] = {}
        for message in messages:
            self.add(message)

    def __len__(self) -> int:
        return len(self._messages)

    def unread(self) -> list[Message]:
        """Return all of them, in order of arrival."""
        return list(self._messages.values())

    def add(self, message: Message) -> None:
        """Add one that has arrived."""
        self._arrivals = number = self._arrivals + 1
        self._messages[number] = message
        sid = message[1]
        resets = self._streams.get(sid)
        if resets is None:
            resets = self._streams[sid] = deque([deque()])
        resets[-1].append(number)

    def first_stream(self) -> int:
        """Return the stream of the oldest message, of one or more."""
        for message in self._messages.values():
            return message[1]
        return -1

    def pop(self) -> tuple[Message, bool]:
        """Take out the oldest message; return it, and whether it was the last of before a reset of its stream."""
        message = self._messages.popitem(last=False)[1]
        sid = message[1]
        resets = self._streams[sid]
        was_ended = len(resets) > 1
        resets[0].popleft()
        if not resets[0]:
            self._forget(sid, resets)
        return message, was_ended and not self.has_ended(sid)

    def _forget(self, sid: int, resets: deque[deque[int]]) -> None:
        """Forget the oldest reset of a stream, or the stream: all of what came before has been taken."""
        resets.popleft()
        if not resets or not resets[0]:
            del self._streams[sid]

    def take_stream(self, sid: int) -> tuple[list[Message], bool]:
        """Take out the messages of a stream up to its oldest reset; return them, and whether there was one."""
        resets = self._streams.get(sid)
        if resets is None:
            return [], False
        is_ended = len(resets) > 1
        taken = [self._messages.pop(number) for number in resets[0]]
        self._forget(sid, resets)
        return taken, is_ended

    def end(self, sid: int) -> None:
        """Keep what came on this stream apart from what is to come: the peer has reset it."""
        resets = self._streams.get(sid)
        if resets is not None and resets[-1]:
            resets.append(deque())

    def has_ended(self, sid: int) -> bool:
        """Return whether there are messages from before a reset of this stream."""
        resets = self._streams.get(sid)
        return resets is not None and len(resets) > 1


@final
class Unclaimed(MessageQueue):
    """The messages that nobody has claimed, read in order of arrival, or taken out stream by stream.

    They are in a plain queue, until one stream has to be told from another; then in a backlog until that is empty.
    Which of the two it is, all of them are there.
    """

    __slots__ = ("_backlog", "freed")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._backlog: Backlog | None = None
        #: The lowest id that became free as the last message of before a reset was read; `MASK_16` if none did.
        self.freed = MASK_16

    def __len__(self) -> int:
        backlog = self._backlog
        return super().__len__() if backlog is None else len(backlog)

    def is_empty(self) -> bool:
        return self._backlog is None and not self._turned and not self.messages

    def put(self, message: Message) -> None:
        """Queue a message that has come."""
        if self._backlog is None:
            self.messages.append(message)
        else:
            self._backlog.add(message)

    def pop(self) -> Message:
        backlog = self._backlog
        if backlog is None:
            return super().pop()
        message, is_last = backlog.pop()
        if is_last:
            self.freed = min(self.freed, message[1])
        self._tidy()
        return message

    def take_all(self) -> list[Message]:
        backlog = self._backlog
        if backlog is None:
            return super().take_all()
        taken = backlog.unread()
        self._backlog = None
        for message in taken:
            if backlog.has_ended(message[1]):
                self.freed = min(self.freed, message[1])
        return taken

    def first_stream(self) -> int:
        """Return the stream of the message that is the next to be read, of one or more."""
        return self._sorted().first_stream()

    def take_stream(self, sid: int) -> tuple[list[Message], bool]:
        """Take out the messages of a stream up to its oldest reset, and leave what came after it.

        Return them, and whether there was a reset.
        """
        taken = self._sorted().take_stream(sid)
        self._tidy()
        return taken

    def end(self, sid: int) -> bool:
        """Note that the peer has reset this stream; return whether a message of before that is still to be read."""
        self._sorted().end(sid)
        self._tidy()
        return self.has_ended(sid)

    def has_ended(self, sid: int) -> bool:
        """Return whether there are messages of before a reset of this stream."""
        return self._backlog is not None and self._backlog.has_ended(sid)

    def _sorted(self) -> Backlog:
        if self._backlog is None:
            self._backlog = Backlog(super().take_all())
        return self._backlog

    def _tidy(self) -> None:
        backlog = self._backlog
        if backlog is not None and len(backlog) == 0:  # compiled code takes any backlog for true
            self._backlog = None


@final
class Inbox:
    """Takes the messages of an association: to the reader that has claimed their stream, or to one queue for all."""

    __slots__ = ("_accepting", "_lowest", "_readers", "_session", "_used", "_written", "claims", "unclaimed")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unclaimed = Unclaimed(session)
        self._readers: dict[int, StreamReader] = {}
        self._used: set[int] | None = None  # the streams that the peer has used since their reset, and nobody claimed
        self._written: set[int] | None = None  # those that we have used without a writer
        #: Made when the first stream is reset.
        self.claims: Claims | None = None
        self._lowest = 0  # no id below is free
        self._accepting: Turn | None = None

    # What the peer sends, by way of the driver.

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """Take a message to where it is read."""
        message: Message = _NEW(Message, (data, sid, ppid, unordered, ssn, tsn))
        queue: MessageQueue | None = self._readers.get(sid)
        if queue is None:
            if self._used is None:
                self._used = set()
            self._used.add(sid)
            self.unclaimed.put(message)
            if self._accepting is not None:
                self._accepting.wake()
            queue = self.unclaimed
        else:
            queue.messages.append(message)
        if queue.is_waited_for:
            queue.wake()

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        """Take a part of a message to the reader that wants parts."""
        reader = self._readers.get(sid)
        if reader is not None:
            reader.on_part(Part(data, last, sid, ppid, unordered, number, tsn))

    def abort_parts(self, sid: int) -> None:
        """Tell a reader that a message which it has a part of will not be completed."""
        reader = self._readers.get(sid)
        if reader is not None:
            reader.abort_parts()

    def note(self, event: Event) -> None:
        """Take from an event what it means for the ids of streams."""
        if isinstance(event, StreamsReset) and event.result == "ok":
            claims = self.open_claims()
            if event.outgoing:
                for sid in event.streams or (*(self._written or ()), *claims.closing):
                    self._end_outgoing(claims, sid)
            else:
                for sid in event.streams or (*self._readers, *(self._used or ())):
                    self._end_incoming(claims, sid)
        elif isinstance(event, AssociationRestarted) and self.claims is not None:
            self.claims.restart()

    def _end_incoming(self, claims: Claims, sid: int) -> None:
        """Take what is to come on this stream for something new."""
        reader = self._readers.pop(sid, None)
        if reader is not None:
            reader.end()
            if claims.finish_incoming(sid):
                self._free(sid)
        elif self._used is not None and sid in self._used:
            self._used.discard(sid)
            if not self.unclaimed.end(sid):
                self._free(sid)

    def _end_outgoing(self, claims: Claims, sid: int) -> None:
        """Note that the peer has agreed to the reset of this stream of ours."""
        if self._written is not None and self._session.is_idle(sid):
            self._written.discard(sid)
            self._free(sid)
        if claims.finish_outgoing(sid):
            self._free(sid)

    def _free(self, sid: int) -> None:
        """Note an id that may be one to give out."""
        if sid < self._lowest:
            self._lowest = sid

    def wake_readers(self) -> None:
        """Let all who read look again: no more messages come, as the association has ended, or will."""
        self.unclaimed.wake()
        if self._accepting is not None:
            self._accepting.wake()
        for reader in self._readers.values():
            reader.wake_all()

    # What the user says.

    def use_outgoing(self, sid: int) -> None:
        """Note that something was written to this stream without its writer."""
        if self._written is None:
            self._written = set()
        self._written.add(sid)

    def open_claims(self) -> Claims:
        """Return what is known of ids that were claimed before."""
        if self.claims is None:
            self.claims = Claims()
        return self.claims

    def claim(self, sid: int) -> StreamReader:
        """Return a reader for a stream, which gets its messages from now on, and those that nobody has read.

        `ValueError` if it is claimed, or was and one direction is not finished.
        """
        if sid in self._readers:
            raise ValueError(f"stream {sid} is already claimed, until both sides have closed their writers of it")
        claims = self.claims
        if claims is not None and claims.is_held(sid):
            is_unused = (self._written is None or sid not in self._written) and self._session.is_idle(sid)
            if sid in claims.closing or not is_unused:
                raise ValueError(f"stream {sid} was claimed before, and is not yet reset in both directions")
        return self._claim(sid)

    def _claim(self, sid: int) -> StreamReader:
        """Make a reader; it comes to its end at once if the peer has reset the stream before its messages were claimed.

        What came after that stays, for the next who claims the stream.
        """
        reader = StreamReader(self._session, sid)
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

    def lowest_unused(self, limit: int) -> int:
        """Return the lowest id below `limit` that neither side has used, or that both have reset; -1 if none is."""
        used = self._used or ()
        written = self._written or ()
        claims = self.claims
        unclaimed = self.unclaimed
        sid = min(self._lowest, unclaimed.freed)
        unclaimed.freed = MASK_16
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
        """Wait for a message that nobody has claimed; return a reader for its stream."""
        if self._accepting is None:
            self._accepting = Turn("in accept_stream")
        self._accepting.claim()
        unclaimed = self.unclaimed
        session = self._session
        while unclaimed.is_empty():
            if session.ended or session.is_complete:
                raise session.end_of_stream()
            await self._accepting.wait()
        return self._claim(unclaimed.first_stream())  # begun anew by the peer, whatever of before is not finished
