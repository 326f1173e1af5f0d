"""Where the messages of an association arrive and wait, who has claimed which stream, and which ids are free.

Who waits at a queue is in `reader`; when a stream is reset (RFC 6525) is known to `handlers.streams`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, final

from ..events import AssociationRestarted, Event, StreamsReset
from ..tables import NOTHING
from ..wire.constants import MASK_16
from .flow_control import Turn
from .reader import Message, MessageQueue, Part, PartReader, StreamReader
from .session import Session

_NEW: Final = tuple.__new__  # a third of the time of Message(...)
_INCOMING: Final = 1
_OUTGOING: Final = 2


@final
class Unclaimed(MessageQueue):
    """The messages that nobody has claimed, read in order of arrival, or taken out stream by stream.

    They are in a plain queue, until one stream has to be told from another; then all are sorted, until none is left.
    What came on a stream before the peer reset it is told from what came after (RFC 6525).
    """

    __slots__ = ("_arrivals", "_sorted", "_streams", "freed")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._arrivals = 0
        self._sorted: OrderedDict[int, Message] | None = None  # by the number of their arrival, while they are sorted
        # Of these by stream, and from reset to reset of it, the numbers. The last are those since its last reset.
        self._streams: dict[int, deque[deque[int]]] = NOTHING
        #: The lowest id that became free as the last message of before a reset was read; `MASK_16` if none did.
        self.freed = MASK_16

    def __len__(self) -> int:
        return super().__len__() if self._sorted is None else len(self._sorted)

    def is_empty(self) -> bool:
        return self._sorted is None and not self._turned and not self.messages

    def put(self, message: Message) -> None:
        """Queue a message that has come."""
        if self._sorted is None:
            self.messages.append(message)
        else:
            self._insert(self._sorted, message)

    def pop(self) -> Message:
        if self._sorted is None:
            return super().pop()
        message = self._sorted.popitem(last=False)[1]
        sid = message[1]
        resets = self._streams[sid]
        was_ended = len(resets) > 1
        resets[0].popleft()
        if not resets[0]:
            self._forget(sid, resets)
        if was_ended and not self.has_ended(sid):
            self.freed = min(self.freed, sid)
        self._tidy()
        return message

    def take_all(self) -> list[Message]:
        if self._sorted is None:
            return super().take_all()
        taken = list(self._sorted.values())
        self._sorted = None
        self.freed = min([self.freed, *(sid for sid, resets in self._streams.items() if len(resets) > 1)])
        self._streams = NOTHING
        return taken

    def first_stream(self) -> int:
        """Return the stream of the message that is the next to be read, of one or more."""
        return next(iter(self._sort().values()))[1]

    def take_stream(self, sid: int) -> tuple[list[Message], bool]:
        """Take out the messages of a stream up to its oldest reset, and leave what came after it.

        Return them, and whether there was a reset.
        """
        messages = self._sort()
        taken: list[Message] = []
        is_ended = self.has_ended(sid)
        resets = self._streams.get(sid)
        if resets is not None:
            taken = [messages.pop(number) for number in resets[0]]
            self._forget(sid, resets)
        self._tidy()
        return taken, is_ended

    def end(self, sid: int) -> bool:
        """Note that the peer has reset this stream; return whether a message of before that is still to be read."""
        self._sort()
        resets = self._streams.get(sid)
        if resets is not None and resets[-1]:
            resets.append(deque())
        self._tidy()
        return self.has_ended(sid)

    def has_ended(self, sid: int) -> bool:
        """Return whether there are messages of before a reset of this stream."""
        resets = self._streams.get(sid)
        return resets is not None and len(resets) > 1

    def _sort(self) -> OrderedDict[int, Message]:
        if self._sorted is None:
            self._streams = {}
            self._sorted = OrderedDict()
            for message in super().take_all():
                self._insert(self._sorted, message)
        return self._sorted

    def _insert(self, messages: OrderedDict[int, Message], message: Message) -> None:
        self._arrivals = number = self._arrivals + 1
        messages[number] = message
        resets = self._streams.get(message[1])
        if resets is None:
            resets = self._streams[message[1]] = deque([deque()])
        resets[-1].append(number)

    def _forget(self, sid: int, resets: deque[deque[int]]) -> None:
        """Forget the oldest reset of a stream, or the stream: all of what came before has been taken."""
        resets.popleft()
        if not resets or not resets[0]:
            del self._streams[sid]

    def _tidy(self) -> None:
        if not self._sorted:
            self._sorted = None


@final
class Inbox:
    """Takes the messages of an association: to the reader that has claimed their stream, or to one queue for all."""

    __slots__ = ("_closing", "_finished", "_lowest", "_readers", "_session", "_turn", "_used", "_written", "unclaimed")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unclaimed = Unclaimed(session)
        self._readers: dict[int, StreamReader] = {}
        self._used: dict[int, None] = NOTHING  # streams that the peer has used since their reset, and nobody claimed
        self._written: dict[int, None] = NOTHING  # those that we have used without a writer
        # Of streams that were claimed: those whose writer was closed, and whose reset is not yet answered; and the
        # directions that were reset of those of which one was. The ids of both are not free.
        self._closing: dict[int, None] = NOTHING
        self._finished: dict[int, int] = NOTHING
        self._lowest = 0  # no id below is free
        self._turn: Turn | None = None

    # What the peer sends, by way of the driver.

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """Take a message to where it is read."""
        message: Message = _NEW(Message, (data, sid, ppid, unordered, ssn, tsn))
        queue: MessageQueue | None = self._readers.get(sid)
        if queue is None:
            if not self._used:
                self._used = {}
            self._used[sid] = None
            self.unclaimed.put(message)
            if self._turn is not None:
                self._turn.wake()
            queue = self.unclaimed
        else:
            queue.messages.append(message)
        if queue.is_waited_for:
            queue.wake()

    def parts_of(self, sid: int) -> PartReader | None:
        """Return where parts of messages of this stream go, if its reader wants, or wanted, any."""
        reader = self._readers.get(sid)
        return None if reader is None else reader.part_reader

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        """Take a part of a message to the reader that wants parts."""
        parts = self.parts_of(sid)
        if parts is not None:
            parts.put(Part(data, last, sid, ppid, unordered, number, tsn))

    def note(self, event: Event) -> None:
        """Take from an event what it means for the ids of streams."""
        if isinstance(event, StreamsReset) and event.result == "ok":
            if event.outgoing:
                for sid in event.streams or (*self._written, *self._closing):
                    self._end_outgoing(sid)
            else:
                for sid in event.streams or (*self._readers, *self._used):
                    self._end_incoming(sid)
        elif isinstance(event, AssociationRestarted):  # no reset is waited for any more
            self._closing = self._finished = NOTHING

    def _end_incoming(self, sid: int) -> None:
        """Take what is to come on this stream for something new."""
        reader = self._readers.pop(sid, None)
        if reader is not None:
            reader.end()
            self._finish(sid, _INCOMING)
        elif sid in self._used:
            del self._used[sid]
            if not self.unclaimed.end(sid):
                self._free(sid)

    def _end_outgoing(self, sid: int) -> None:
        """Note that the peer has agreed to the reset of this stream of ours."""
        if sid in self._written and self._session.is_idle(sid):
            del self._written[sid]
            self._free(sid)
        if sid in self._closing:
            del self._closing[sid]
            self._finish(sid, _OUTGOING)

    def _finish(self, sid: int, direction: int) -> None:
        """Note that a direction of a claimed stream was reset; with the second the stream is free."""
        finished = self._finished.get(sid, 0) | direction
        if finished == _INCOMING | _OUTGOING:
            del self._finished[sid]
            self._free(sid)
            return
        if not self._finished:
            self._finished = {}
        self._finished[sid] = finished

    def _free(self, sid: int) -> None:
        """Note an id that may be one to give out."""
        self._lowest = min(self._lowest, sid)

    def wake_readers(self) -> None:
        """Let all who read look again: no more messages come, as the association has ended, or will."""
        self.unclaimed.wake()
        if self._turn is not None:
            self._turn.wake()
        for reader in self._readers.values():
            reader.wake_all()

    # What the user says.

    def use_outgoing(self, sid: int) -> None:
        """Note that something was written to this stream without its writer."""
        if not self._written:
            self._written = {}
        self._written[sid] = None

    def close_outgoing(self, sid: int) -> None:
        """Note that the writer of a claimed stream was closed, and the peer is asked to agree to the reset."""
        if not self._closing:
            self._closing = {}
        self._closing[sid] = None

    def claim(self, sid: int) -> StreamReader:
        """Return a reader for a stream, which gets its messages from now on, and those that nobody has read.

        `ValueError` if it is claimed, or was and one direction is not finished.
        """
        if sid in self._readers:
            raise ValueError(f"stream {sid} is already claimed, until both sides have closed their writers of it")
        is_used = sid in self._finished and (sid in self._written or not self._session.is_idle(sid))
        if is_used or sid in self._closing:
            raise ValueError(f"stream {sid} was claimed before, and is not yet reset in both directions")
        return self._claim(sid)

    def _claim(self, sid: int) -> StreamReader:
        """Make a reader; it comes to its end at once if the peer has reset the stream before its messages were claimed.

        What came after that stays, for the next who claims the stream.
        """
        reader = StreamReader(self._session, sid)
        self._finished.pop(sid, None)
        self._closing.pop(sid, None)
        is_used = sid in self._used
        if is_used or self.unclaimed.has_ended(sid):
            reader.messages, reader.is_ended = self.unclaimed.take_stream(sid)
        if reader.is_ended:
            self._finish(sid, _INCOMING)
            return reader
        self._readers[sid] = reader
        self._used.pop(sid, None)
        return reader

    def lowest_unused(self, limit: int) -> int:
        """Return the lowest id below `limit` that neither side has used, or that both have reset; -1 if none is."""
        unclaimed = self.unclaimed
        sid = min(self._lowest, unclaimed.freed)
        unclaimed.freed = MASK_16
        taken = (self._used, self._written, self._readers, self._closing, self._finished)
        while unclaimed.has_ended(sid) or any(sid in each for each in taken):
            sid += 1
        self._lowest = sid
        return sid if sid < limit else -1

    async def accept(self) -> StreamReader:
        """Wait for a message that nobody has claimed; return a reader for its stream."""
        if self._turn is None:
            self._turn = Turn("in accept_stream")
        self._turn.claim()
        unclaimed = self.unclaimed
        session = self._session
        while unclaimed.is_empty():
            if session.ended or session.is_complete:
                raise session.end_of_stream()
            await self._turn.wait()
        return self._claim(unclaimed.first_stream())  # begun anew by the peer, whatever of before is not finished
