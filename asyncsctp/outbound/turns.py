"""Whose turn it is among the streams that have something to send (RFC 8260 section 3).

Knows streams and their messages, and asks a scheduler as soon as two of them compete. What is sent in a turn is the
business of the queue that derives from this.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from ..schedulers.base import NO_STREAM, StreamScheduler
from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN
from .message import WITHDRAWN, OutboundMessage, Terms

#: What stands where a message was that has left.
GONE: Final = OutboundMessage(0, b"")
#: As `OutgoingStream.reserved`: the stream was held back and may try again, and then another one.
TRIES: Final = -2
_MOST_GONE: Final = 32


@final
class OutgoingStream:
    """The unsent messages of one stream: those from `head` on.

    * `begun`: of the first one a part has left, `offset` bytes of this piece; `fragments` is the FSN that comes next.
    * `next_ssn`: its SSN, or MID; `next_unordered`: the MID of an unordered one.
    * `later`: the messages that wait for a reset, while there is one (RFC 6525 section 5.1.2).
    * `open`: of the message that is being written in parts, and has not been ended.
    * `reserved`: what the message that is begun, or about to, takes of the peer's memory, see `IDataQueue`; or TRIES.
    """

    __slots__ = (
        "begun",
        "buffered",
        "fragments",
        "head",
        "later",
        "messages",
        "next_ssn",
        "next_unordered",
        "offset",
        "open",
        "reserved",
        "sid",
        "withdrawn",
    )

    def __init__(self, sid: int) -> None:
        self.sid = sid
        self.messages: list[OutboundMessage] = []
        self.head = 0
        self.begun = False
        self.offset = 0
        self.fragments = 0
        self.next_ssn = 0
        self.next_unordered = 0
        self.buffered = 0
        self.withdrawn = 0  # how many of the messages stand there for nothing
        self.later: list[OutboundMessage] | None = None
        self.open: Terms | None = None
        self.reserved = 0

    def first(self) -> OutboundMessage:
        """The message that leaves next."""
        return self.messages[self.head]

    def advance(self, head: int) -> None:
        """The messages before this one have left."""
        messages = self.messages
        if self.withdrawn:
            while head < len(messages) and messages[head].path_id == WITHDRAWN:
                messages[head] = GONE
                self.withdrawn -= 1
                head += 1
        if head == len(messages):
            messages.clear()
            head = 0
        elif head > _MOST_GONE and 2 * head > len(messages):
            del messages[:head]
            head = 0
        self.head = head

    def keeps(self, message: OutboundMessage) -> bool:
        """Whether it waits for the reset: all do but the rest of a message that was begun before."""
        later = self.later
        return message.flags & FLAG_BEGIN != 0 or bool(later and later[-1].terms is message.terms)

    def end_message(self, unordered: bool) -> None:
        """The message that was begun has come to its end, one way or the other: its number is used up."""
        self.begun = False
        self.offset = 0
        self.fragments = 0
        if unordered:
            self.next_unordered += 1
        else:
            self.next_ssn += 1

    def withdraw(self, message: OutboundMessage) -> None:
        """Take out one that is not the first: it stands there for nothing until its turn comes."""
        self.buffered -= len(message.data)
        message.data = b""
        message.path_id = WITHDRAWN
        self.withdrawn += 1
        if self.withdrawn > _MOST_GONE and 2 * self.withdrawn > len(self.messages) - self.head:
            self.messages = [message for message in self.messages[self.head :] if message.path_id != WITHDRAWN]
            self.head = self.withdrawn = 0


class Turns:
    """The streams that have something to send."""

    __slots__ = ("_active", "_begun", "_competing", "_held_back", "_scheduler", "_values")

    def __init__(self, scheduler: StreamScheduler) -> None:
        self._scheduler = scheduler
        self._values: dict[int, int] | None = None  # what the scheduler was told of streams
        self._active: dict[int, OutgoingStream] = {}
        self._held_back: dict[int, OutgoingStream] = NOTHING  # those whose next message has to wait, in order
        self._begun: OutgoingStream | None = None  # in the middle of a message that nothing may interleave with
        self._competing = False  # whether the scheduler knows the active streams

    def __bool__(self) -> bool:
        return bool(self._active)

    def set_scheduler(self, scheduler: StreamScheduler) -> None:
        """Let another scheduler choose from now on; a message that was begun is finished first.

        It is told the values of streams as far as it takes them.
        """
        self._scheduler = scheduler
        for sid, value in (self._values or {}).items():
            with suppress(ValueError):
                scheduler.set_priority(sid, value)
        if self._competing:
            for stream in self._active.values():
                scheduler.activate(stream.sid, stream.first().order)

    def set_priority(self, sid: int, value: int) -> None:
        """Tell the scheduler a stream's priority or weight."""
        self._scheduler.set_priority(sid, value)
        if self._values is None:
            self._values = {}
        self._values[sid] = value

    def _activate(self, stream: OutgoingStream, order: int) -> None:
        """A message comes for a stream that had none."""
        sid = stream.sid
        if self._active:
            if not self._competing:
                self._competing = True
                for other in self._active.values():
                    self._scheduler.activate(other.sid, other.first().order)
            self._scheduler.activate(sid, order)
        else:
            self._competing = False
        self._active[sid] = stream

    def _deactivate(self, stream: OutgoingStream) -> None:
        """Messages of a stream were withdrawn: it has another first one, or none."""
        if stream.sid not in self._active:
            if self._held_back.pop(stream.sid, None) is not None and stream.messages:
                self._activate(stream, stream.first().order)  # what is first now need not wait
            return
        if self._competing:
            self._scheduler.deactivate(stream.sid)
        if not stream.messages:
            del self._active[stream.sid]
        elif self._competing:
            self._scheduler.activate(stream.sid, stream.first().order)

    def _hold_back(self, stream: OutgoingStream) -> None:
        """The next message of a stream has to wait for others to end: it takes part again from `_bring_back` on."""
        if self._competing:
            self._scheduler.deactivate(stream.sid)
        del self._active[stream.sid]
        if not self._held_back:
            self._held_back = {}
        self._held_back[stream.sid] = stream

    def _bring_back(self) -> None:
        """The stream that has been held back longest takes part again."""
        for sid, stream in self._held_back.items():
            del self._held_back[sid]
            stream.reserved = TRIES
            self._activate(stream, stream.first().order)
            return

    def _begin_packet(self) -> None:
        """Leave the scheduler out once a single stream remains; not in mid-packet, it may want that packet closed."""
        if len(self._active) > 1:
            self._scheduler.begin_packet()
            return
        self._competing = False
        for sid in self._active:
            self._scheduler.deactivate(sid)

    def _turn(self) -> OutgoingStream | None:
        """The stream to take the next message, or chunk, from."""
        if not self._competing:
            for stream in self._active.values():
                return stream
            return None
        sid = self._scheduler.next()
        if sid == NO_STREAM:
            return None
        chosen = self._active.get(sid)
        if chosen is None:
            raise RuntimeError(f"{self._scheduler!r} chose stream {sid}, which has nothing to send")
        return chosen

    def _peek(self) -> OutgoingStream | None:
        """The stream that the next packet begins with, whatever the one before it may still have had room for."""
        if self._begun is not None:
            return self._begun
        if self._competing:
            self._begin_packet()
        return self._turn()

    def _end_turn(self, stream: OutgoingStream, size: int) -> None:
        """A turn of this stream is over: a message has left, or a chunk where they interleave; all, if it is alone."""
        order = NO_STREAM
        if stream.messages:
            order = stream.first().order
        else:
            del self._active[stream.sid]
        if self._competing:
            self._scheduler.served(stream.sid, size, order)
