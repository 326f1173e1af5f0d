"""Messages not yet sent, stream by stream, and whose turn it is (RFC 9260 section 6.5, RFC 8260 section 3).

Knows messages, streams and what is withdrawn of them; asks a scheduler which stream is next as soon as two of them
compete. How a message becomes chunks differs between DATA (`data_queue`) and I-DATA (`idata_queue`). It deliberately
does not know paths, windows or what became of a chunk once it was put into a packet, which is in `outstanding`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, final

from ..schedulers.base import NO_STREAM, StreamScheduler
from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED
from ..wire.octets import Writer
from .message import ANY_KEY, ANY_PATH, BEGUN, WAITING, WHOLE, WITHDRAWN, OutboundMessage, Terms

#: A fragment that does not end its message is not made for less than this.
SMALLEST_TAIL: Final = 256
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
    * `open`: the terms of the message that is being written in parts, and has not been ended.
    * `reserved`: what the message that is begun, or about to, takes of the peer's memory, see `IDataQueue`; or TRIES.
    * `withdrawn`: how many of the messages stand there for nothing.
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
        self.withdrawn = 0
        self.later: list[OutboundMessage] | None = None
        self.open: Terms | None = None
        self.reserved = 0

    def first(self) -> OutboundMessage:
        """Return the message that leaves next, of one or more."""
        return self.messages[self.head]

    def advance(self, head: int) -> None:
        """Drop the messages before this one, which have left, and those after them that were withdrawn."""
        messages = self.messages
        if self.withdrawn:
            while head < len(messages) and messages[head].flags & WITHDRAWN:
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

    def end_message(self, unordered: bool) -> None:
        """End the message that was begun, one way or the other: its number is used up."""
        self.begun = False
        self.offset = 0
        self.fragments = 0
        if unordered:
            self.next_unordered += 1
        else:
            self.next_ssn += 1

    def withdraw(self, message: OutboundMessage) -> None:
        """Empty a message that is not the first: it stands there for nothing until its turn comes."""
        self.buffered -= len(message.data)
        message.data = b""
        message.flags = message.flags & ~WHOLE | WITHDRAWN
        self.withdrawn += 1
        if self.withdrawn > _MOST_GONE and 2 * self.withdrawn > len(self.messages) - self.head:
            self.messages = [message for message in self.messages[self.head :] if not message.flags & WITHDRAWN]
            self.head = self.withdrawn = 0


class SendQueue:
    """What the user has written and no packet has carried yet. A subclass says how it becomes chunks.

    * `max_chunk` is the longest chunk to make, header included: the AMDCS (section 7.3), and not above half the largest
      window that the peer has announced, so that a chunk always comes to fit (RFC 1122 section 4.2.3.4).
    * `header_size`: the bytes of each chunk's header. `interleaves`: chunks of several messages may take turns, and
      unordered messages have numbers too.
    * `buffered` counts user bytes; `waiting` those that wait for streams to be reset.
    * `directed`: a message may want a path or a key of its own; else none does.
    * `urgent_flags` are set in every chunk: FLAG_IMMEDIATE in SHUTDOWN-PENDING (section 6.1), else 0.
    * `tracked` receives, as (TSN, message), the last chunks of messages that were fragmented, and all of those that
      have terms; its user empties it.
    """

    __slots__ = (
        "_active",
        "_arrivals",
        "_begun",
        "_competing",
        "_held_back",
        "_scheduler",
        "_streams",
        "_values",
        "_waits",
        "buffered",
        "directed",
        "header_size",
        "interleaves",
        "max_chunk",
        "tracked",
        "urgent_flags",
        "waiting",
    )

    def __init__(self, scheduler: StreamScheduler, max_chunk: int, header_size: int, interleaves: bool) -> None:
        self.max_chunk = max_chunk
        self.header_size = header_size
        self.interleaves = interleaves
        self.buffered = 0
        self.waiting = 0
        self.directed = False
        self.urgent_flags = 0
        self.tracked: list[tuple[int, OutboundMessage]] = []
        self._scheduler = scheduler
        self._values: dict[int, int] | None = None  # what the scheduler was told of streams
        self._streams: dict[int, OutgoingStream] = {}
        self._active: dict[int, OutgoingStream] = {}  # those that have something to send
        self._held_back: dict[int, OutgoingStream] = NOTHING  # those whose next message has to wait, in order
        self._begun: OutgoingStream | None = None  # in the middle of a message that nothing may interleave with
        self._competing = False  # whether the scheduler knows the active streams
        self._arrivals = 0
        self._waits = False  # what is pushed to streams that are not yet in use waits for `resume`

    def __bool__(self) -> bool:
        return bool(self._active)

    def fill(
        self, writer: Writer, space: int, tsn: int, max_user: int, path_id: int = ANY_PATH, key_id: int = ANY_KEY
    ) -> tuple[int, int]:
        """Write the chunks, from `tsn` on, that fit into `space` bytes and hold at most `max_user` user bytes.

        A chunk that is too long for `max_user` waits (section 6.1 A), it is not cut to fit, lest windows become silly.
        Only messages are taken that want this path and this key. Return how many chunks and user bytes were written.
        """
        raise NotImplementedError

    def buffered_of(self, sid: int) -> int:
        """Return the unsent user bytes of one stream."""
        stream = self._streams.get(sid)
        if stream is None:
            return 0
        return stream.buffered + (sum([len(message.data) for message in stream.later]) if stream.later else 0)

    def push(self, message: OutboundMessage) -> None:
        """Queue a message behind those of its stream. It gets its arrival number, unless it has one."""
        size = len(message.data)
        if not message.order:
            self._arrivals = message.order = self._arrivals + 1
        stream = self._streams.get(message.sid)
        if stream is None:
            stream = self._stream(message.sid)
        later = stream.later  # all waits for the reset there but the rest of a message that was begun before
        if later is not None and (message.flags & FLAG_BEGIN or (later and later[-1].terms is message.terms)):
            later.append(message)
            self.waiting += size
            return
        if not stream.messages:
            self._activate(stream, message.order)
        self.buffered += size
        stream.buffered += size
        stream.messages.append(message)
        if message.path_id != ANY_PATH or (message.terms is not None and message.terms.key is not None):
            self.directed = True

    def push_many(self, sid: int, messages: list[bytes], ppid: int, flags: int) -> None:
        """Queue messages without options of their own, as `push` does each."""
        order = self._arrivals
        stream = self._stream(sid)
        queued = stream.messages if stream.later is None else stream.later
        if not stream.messages and stream.later is None:
            self._activate(stream, order + 1)
        size = 0
        for data in messages:
            order += 1
            message = OutboundMessage(sid, data, ppid, flags)
            message.order = order
            size += len(data)
            queued.append(message)
        self._arrivals = order
        if stream.later is not None:
            self.waiting += size
            return
        stream.buffered += size
        self.buffered += size

    def push_piece(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> OutboundMessage:
        """Queue and return a piece of the message that is written in parts (RFC 6458 section 8.1.26)."""
        stream = self._stream(sid)
        begins = stream.open is not terms
        flags = (flags & ~WHOLE) | (FLAG_BEGIN if begins else 0) | (FLAG_END if last else 0)
        piece = OutboundMessage(sid, data, ppid, flags, terms)
        if terms.state == WAITING:
            if terms.pieces is None:
                terms.pieces = []
            terms.pieces.append(piece)
        if begins:
            self._arrivals += 1
            terms.order = self._arrivals
        piece.order = terms.order
        self.push(piece)
        stream.open = None if last else terms
        terms.open = not last
        return piece

    def is_open(self, sid: int) -> bool:
        """Return True while a message is being written to this stream in parts."""
        stream = self._streams.get(sid)
        return stream is not None and stream.open is not None

    def open_messages(self) -> list[Terms]:
        """Return the terms of the messages that are being written in parts."""
        return [stream.open for stream in self._streams.values() if stream.open is not None]

    @property
    def movable(self) -> int:
        """User bytes that leave without a message that is being written in parts being ended first."""
        raise NotImplementedError

    def pressing(self, sids: Collection[int]) -> list[int]:
        """Return those of these streams whose message in parts has begun to leave and holds up others."""
        raise NotImplementedError

    def is_begun(self, message: OutboundMessage) -> bool:
        """Return True if a part of this message, and no more, has left."""
        stream = self._streams.get(message.sid)
        return stream is not None and stream.begun and bool(stream.messages) and stream.first() is message

    def number_of(self, message: OutboundMessage) -> int:
        """Return the SSN or MID of a message of which a part has left."""
        stream = self._streams[message.sid]
        return stream.next_unordered if self.interleaves and message.flags & FLAG_UNORDERED else stream.next_ssn

    def next_message(self) -> OutboundMessage | None:
        """Return the message whose turn it is, for the path and the key that it wants; None if there is none."""
        stream = self._peek()
        if stream is None or not stream.messages:
            self.directed = bool(self._active)
            return None
        return stream.first()

    def next_size(self, space: int) -> int:
        """Return the user bytes of the chunk that `fill` would make first in `space` bytes, 0 for none.

        As `max_user` it makes `fill` produce that one chunk: a zero window probe (section 6.1 A).
        """
        stream = self._peek()
        if stream is None or not stream.messages:
            return 0
        header_size = self.header_size
        size = len(stream.first().data) - stream.offset
        limit = min(space, self.max_chunk)
        if size + header_size <= limit:
            return size
        if limit < SMALLEST_TAIL or (not stream.offset and size + header_size <= self.max_chunk):
            return 0
        return (limit - header_size) & -4

    def fills(self, space: int) -> bool:
        """Return True if what waits leaves no space for another chunk in a packet that has so many bytes for it."""
        header_size = self.header_size
        least = self.buffered + header_size
        if least >= space:
            return True
        count = 0
        for stream in self._active.values():
            count += len(stream.messages) - stream.head - stream.withdrawn
            if least + header_size * count >= space:
                return True
        least += header_size * count
        if least + 3 * count < space:
            return False
        for stream in self._active.values():  # it depends on the padding, of as many as a packet can hold
            for message in stream.messages[stream.head :]:
                least += -len(message.data) & 3
        return least >= space

    def forget_path(self, path_id: int) -> None:
        """Let messages that wanted to take this path take any: it is no more."""
        for stream in self._streams.values():
            for message in stream.messages[stream.head :] + (stream.later or []):
                if message.path_id == path_id:
                    message.path_id = ANY_PATH

    # Streams that are reset (RFC 6525).

    def pause(self, sids: Sequence[int]) -> None:
        """Let what is pushed to these streams (none: to all, new ones too) from now on wait until `resume`."""
        self._waits |= not sids
        for sid in sids or list(self._streams):
            stream = self._stream(sid)
            if stream.later is None:
                stream.later = []

    def has_unsent(self, sid: int) -> bool:
        """Return True if any of what was pushed before `pause` has still to leave."""
        stream = self._streams.get(sid)
        return stream is not None and (bool(stream.messages) or stream.begun)

    def is_amid(self) -> bool:
        """Return True if a message has left in part, of whatever stream."""
        return any(stream.begun for stream in self._streams.values())

    def is_unused(self, sid: int) -> bool:
        """Return True if nothing was pushed to this stream since its numbers began with 0."""
        return sid not in self._streams

    def resume(self, sids: Sequence[int], reset: bool) -> None:
        """Let what waited leave (no ids: of all); with `reset` numbers begin anew (section 5.2.2, RFC 8260 2.3.2)."""
        self._waits &= bool(sids)
        for sid in sids or list(self._streams):
            stream = self._streams.get(sid)
            if stream is None:
                continue
            if reset:
                stream.next_ssn = stream.next_unordered = 0
            later = stream.later
            stream.later = None
            for message in later or ():
                self.waiting -= len(message.data)
                self.push(message)
            if reset and not later and not stream.messages and stream.open is None:
                del self._streams[sid]

    def in_use(self) -> list[int]:
        """Return the streams to which something was pushed since their numbers began with 0."""
        return list(self._streams)

    def renumber(self) -> None:
        """Let all numbers begin anew, whatever waits (RFC 6525 section 5.2.4)."""
        for stream in self._streams.values():
            stream.next_ssn = stream.next_unordered = 0

    # Messages that do not leave.

    def withdraw(self, terms: Terms) -> int:
        """Take out what has not left of a message, and return how many user bytes. If begun, its number is used up."""
        message = terms.message if terms.pieces is None else terms.pieces[0]
        if message is None:
            return 0
        stream = self._streams[message.sid]
        before = stream.buffered + self.waiting
        if stream.open is terms:
            stream.open = None
        if terms.state == BEGUN or (stream.messages and stream.first() is message):
            self._withdraw_rest(stream, terms)
        elif stream.later and message in stream.later:
            for piece in terms.pieces or (message,):
                stream.later.remove(piece)
                self.waiting -= len(piece.data)
        else:
            for piece in terms.pieces or (message,):
                size = len(piece.data)
                stream.withdraw(piece)
                self.buffered -= size
        return before - stream.buffered - self.waiting

    def _withdraw_rest(self, stream: OutgoingStream, terms: Terms) -> None:
        """Take out what has not left of the first message of its stream."""
        messages = stream.messages
        head = stream.head
        size = -stream.offset
        while head < len(messages) and messages[head].terms is terms:
            size += len(messages[head].data)
            messages[head] = GONE
            head += 1
        stream.buffered -= size
        self.buffered -= size
        if stream.begun:
            message = terms.message
            stream.end_message(message is not None and bool(message.flags & FLAG_UNORDERED))
            if self._begun is stream:
                self._begun = None
        stream.advance(head)
        self._deactivate(stream)

    def withdraw_beyond(self, outgoing_streams: int) -> list[tuple[OutboundMessage, bool]]:
        """Take out and return the messages of streams that the peer did not grant (section 5.1.1).

        They are in order of arrival, each with True if a part of it had left.
        """
        withdrawn: list[tuple[OutboundMessage, bool]] = []
        for sid in [sid for sid in self._streams if sid >= outgoing_streams]:
            withdrawn += self._withdraw_all(self._streams[sid])
        withdrawn.sort(key=lambda entry: entry[0].order)
        return withdrawn

    def abandon_all(self) -> list[tuple[OutboundMessage, bool]]:
        """Forget everything, SSNs too; return the messages, as `withdraw_beyond` does."""
        abandoned = self.withdraw_beyond(0)
        self._streams.clear()
        self.tracked.clear()
        return abandoned

    def _release(self, stream: OutgoingStream) -> None:
        """Note that the message which a stream had begun, or was about to, is over."""

    def _withdraw_all(self, stream: OutgoingStream) -> list[tuple[OutboundMessage, bool]]:
        messages = [message for message in stream.messages[stream.head :] if not message.flags & WITHDRAWN]
        withdrawn = [(message, False) for message in messages]
        if stream.begun:
            if withdrawn:
                withdrawn[0] = (withdrawn[0][0], True)
            stream.begun = False
            stream.offset = stream.fragments = 0
            if self._begun is stream:
                self._begun = None
        for message in stream.later or ():
            self.waiting -= len(message.data)
            withdrawn.append((message, False))
        terms = stream.open
        if terms is not None and terms.message is not None and not withdrawn:
            withdrawn.append((terms.message, True))  # all of it that was written has left, and that is not all of it
        self.buffered -= stream.buffered
        stream.buffered = stream.withdrawn = 0
        stream.later = stream.open = None
        stream.advance(len(stream.messages))
        self._deactivate(stream)
        return withdrawn

    def _stream(self, sid: int) -> OutgoingStream:
        stream = self._streams.get(sid)
        if stream is None:
            stream = self._streams[sid] = OutgoingStream(sid)
            if self._waits:
                stream.later = []
        return stream

    # Turns.

    def set_scheduler(self, scheduler: StreamScheduler) -> None:
        """Let another scheduler choose from now on, with the values that it takes; what was begun is finished first."""
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
        """Let a stream take part, for which a message comes and which had none."""
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
        """Let a stream take part no more, or with another first message: some of its were withdrawn."""
        if stream.sid in self._active:
            if self._competing:
                self._scheduler.deactivate(stream.sid)
            if not stream.messages:
                del self._active[stream.sid]
            elif self._competing:
                self._scheduler.activate(stream.sid, stream.first().order)
        elif self._held_back.pop(stream.sid, None) is not None and stream.messages:
            self._activate(stream, stream.first().order)  # what is first now need not wait
        if stream.reserved:
            self._release(stream)
            self._bring_back()

    def _hold_back(self, stream: OutgoingStream) -> None:
        """Let a stream wait for messages of others to end: it takes part again from `_bring_back` on."""
        if self._competing:
            self._scheduler.deactivate(stream.sid)
        del self._active[stream.sid]
        if not self._held_back:
            self._held_back = {}
        self._held_back[stream.sid] = stream

    def _bring_back(self) -> None:
        """Let the stream take part again that has been held back longest."""
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
        """Return the stream to take the next message, or chunk, from; None if the scheduler lets none of them."""
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
        """Return the stream that the next packet begins with, whatever the one before it may still have space for."""
        if self._begun is not None:
            return self._begun
        if self._competing:
            self._begin_packet()
        return self._turn()

    def _end_turn(self, stream: OutgoingStream, size: int) -> None:
        """End a turn of this stream: a message has left, or a chunk where they interleave; all, if it is alone."""
        order = NO_STREAM
        if stream.messages:
            order = stream.first().order
        else:
            del self._active[stream.sid]
        if self._competing:
            self._scheduler.served(stream.sid, size, order)
