"""Messages not yet sent, stream by stream, and whose turn it is (RFC 9260 section 6.5, RFC 8260 section 3).

Knows messages, streams and what is withdrawn of them; asks a scheduler which stream is next. How a message becomes
chunks differs between DATA (`data_queue`) and I-DATA (`idata_queue`). It deliberately does not know paths, windows or
what became of a chunk once it was put into a packet: room and TSN come in as numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ..schedulers.base import StreamScheduler
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED
from ..wire.octets import Writer
from .message import (
    ANY_PATH,
    BEGUN,
    PIECE,
    WAITING,
    WHOLE,
    WITHDRAWN,
    OutboundMessage,
    Terms,
    lane,
    lane_key,
    lane_path,
)
from .turns import GONE, OutgoingStream, Turns

#: A fragment that does not end its message is not made for less than this.
SMALLEST_TAIL: Final = 256


class SendQueue(Turns):
    """What the user has written and no packet has carried yet. A subclass says how it becomes chunks.

    `max_chunk` is the longest chunk to make, header included: the AMDCS (section 7.3), and not above half the largest
    window that the peer has announced, so that a chunk always comes to fit (RFC 1122 section 4.2.3.4). `buffered`
    counts user bytes; `waiting` those that wait for streams to be reset. `directed`: a message may want a path of its
    own. `urgent_flags` are set in every chunk: FLAG_IMMEDIATE in SHUTDOWN-PENDING (section 6.1), else 0. `tracked`
    receives, as (TSN, message), the last chunks of messages that were fragmented, and all of those that have terms;
    its user empties it.
    """

    __slots__ = (
        "_arrivals",
        "_streams",
        "_waits",
        "buffered",
        "directed",
        "max_chunk",
        "tracked",
        "urgent_flags",
        "waiting",
    )

    def __init__(self, scheduler: StreamScheduler, max_chunk: int) -> None:
        self.max_chunk = max_chunk
        self.buffered = 0
        self.waiting = 0
        self.directed = False
        self.urgent_flags = 0
        self.tracked: list[tuple[int, OutboundMessage]] = []
        super().__init__(scheduler)
        self._streams: dict[int, OutgoingStream] = {}
        self._arrivals = 0
        self._waits = False  # what is pushed to streams that are not yet in use waits for `resume_all`

    def fill(self, writer: Writer, room: int, tsn: int, max_user: int, path_id: int = ANY_PATH) -> tuple[int, int]:
        """Write the chunks, from `tsn` on, that fit into `room` bytes and hold at most `max_user` user bytes.

        The number of chunks and of user bytes written. A chunk that is too long for `max_user` waits (section 6.1 rule
        A), it is not cut to fit, lest windows become silly. Only messages for `path_id` are taken, as `next_path` gave
        it.
        """
        raise NotImplementedError

    @property
    def header_size(self) -> int:
        """The header of each chunk."""
        raise NotImplementedError

    @property
    def interleaves(self) -> bool:
        """Whether chunks of several messages may take turns, and unordered messages have numbers too."""
        raise NotImplementedError

    def buffered_of(self, sid: int) -> int:
        """Unsent user bytes of one stream."""
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
        if stream.later is not None and stream.keeps(message):
            stream.later.append(message)
            self.waiting += size
            return
        if not stream.messages:
            self._activate(stream, message.order)
        self.buffered += size
        stream.buffered += size
        stream.messages.append(message)
        if message.path_id != ANY_PATH and message.path_id != PIECE:
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
        """Queue a piece of the message that is written in parts (RFC 6458 section 8.1.26)."""
        stream = self._stream(sid)
        begins = stream.open is not terms
        flags = (flags & ~WHOLE) | (FLAG_BEGIN if begins else 0) | (FLAG_END if last else 0)
        piece = OutboundMessage(sid, data, ppid, flags, terms, ANY_PATH if begins and last else PIECE)
        if terms.fate == WAITING:
            if terms.pieces is None:
                terms.pieces = []
            terms.pieces.append(piece)
        if terms.key is not None:
            piece.path_id = lane(ANY_PATH, terms.key.key_id)
        if begins:
            self._arrivals += 1
            terms.order = self._arrivals
        piece.order = terms.order
        self.push(piece)
        stream.open = None if last else terms
        terms.open = not last
        return piece

    def is_open(self, sid: int) -> bool:
        """Whether a message is being written to this stream in parts."""
        stream = self._streams.get(sid)
        return stream is not None and stream.open is not None

    def open_messages(self) -> list[Terms]:
        """The messages that are being written in parts."""
        return [stream.open for stream in self._streams.values() if stream.open is not None]

    @property
    def movable(self) -> int:
        """User bytes that leave without a message that is being written in parts being ended first."""
        raise NotImplementedError

    def pressing(self, sids: Collection[int]) -> list[int]:
        """Those of these streams whose message in parts has begun to leave, and holds up others until it is ended."""
        raise NotImplementedError

    def is_begun(self, message: OutboundMessage) -> bool:
        """Whether a part of this message, and no more, has left."""
        stream = self._streams.get(message.sid)
        return stream is not None and stream.begun and bool(stream.messages) and stream.first() is message

    def number_of(self, message: OutboundMessage) -> int:
        """The SSN or MID of a message of which a part has left."""
        stream = self._streams[message.sid]
        return stream.next_unordered if self.interleaves and message.flags & FLAG_UNORDERED else stream.next_ssn

    def next_path(self) -> int:
        """The path that the message whose turn it is wants to take, or ANY_PATH."""
        stream = self._peek()
        if stream is None or not stream.messages:
            self.directed = bool(self._active)
            return ANY_PATH
        path_id = stream.first().path_id
        return ANY_PATH if path_id == PIECE else path_id

    def next_size(self, room: int) -> int:
        """The user bytes of the chunk that `fill` would make first in `room` bytes, 0 for none.

        As `max_user` it makes `fill` produce that one chunk: a zero window probe (section 6.1 rule A).
        """
        stream = self._peek()
        if stream is None or not stream.messages:
            return 0
        header_size = self.header_size
        size = len(stream.first().data) - stream.offset
        limit = min(room, self.max_chunk)
        if size + header_size <= limit:
            return size
        if limit < SMALLEST_TAIL or (not stream.offset and size + header_size <= self.max_chunk):
            return 0
        return (limit - header_size) & -4

    def fills(self, room: int) -> bool:
        """Whether what waits leaves no room for another chunk in a packet with so many bytes for it."""
        header_size = self.header_size
        least = self.buffered + header_size
        if least >= room:
            return True
        count = 0
        for stream in self._active.values():
            count += len(stream.messages) - stream.head - stream.withdrawn
            if least + header_size * count >= room:
                return True
        least += header_size * count
        if least + 3 * count < room:
            return False
        for stream in self._active.values():  # it depends on the padding, of as many as a packet can hold
            for message in stream.messages[stream.head :]:
                least += -len(message.data) & 3
        return least >= room

    def redirect(self, path_id: int) -> None:
        """This path is no more: messages that wanted to take it take any."""
        for stream in self._streams.values():
            for message in stream.messages[stream.head :] + (stream.later or []):
                if lane_path(message.path_id) == path_id:
                    key = lane_key(message.path_id)
                    message.path_id = ANY_PATH if key < 0 else lane(ANY_PATH, key)

    # Streams that are reset (RFC 6525).

    def pause(self, sids: Sequence[int]) -> None:
        """What is pushed to these streams from now on waits until `resume`; what was pushed before leaves."""
        for sid in sids:
            stream = self._stream(sid)
            if stream.later is None:
                stream.later = []

    def pause_all(self) -> None:
        """The same for all streams."""
        self._waits = True
        self.pause(list(self._streams))

    def has_unsent(self, sid: int) -> bool:
        """Whether any of what was pushed before `pause` has still to leave."""
        stream = self._streams.get(sid)
        return stream is not None and (bool(stream.messages) or stream.begun)

    def is_amid(self) -> bool:
        """Whether a message has left in part, of whatever stream."""
        return any(stream.begun for stream in self._streams.values())

    def is_unused(self, sid: int) -> bool:
        """Whether nothing was pushed to this stream since its numbers began with 0."""
        return sid not in self._streams

    def resume(self, sids: Sequence[int], reset: bool) -> None:
        """Let what waited leave; with `reset` the stream's numbers begin anew (section 5.2.2, RFC 8260 2.3.2)."""
        for sid in sids:
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
        """The streams to which something was pushed since their numbers began with 0."""
        return list(self._streams)

    def resume_all(self, reset: bool) -> None:
        """The same for all streams."""
        self._waits = False
        self.resume(list(self._streams), reset)

    def renumber(self) -> None:
        """All numbers begin anew, whatever waits."""
        for stream in self._streams.values():
            stream.next_ssn = stream.next_unordered = 0

    # Messages that do not leave.

    def withdraw(self, terms: Terms) -> int:
        """Take out all that has not left of a message; how many user bytes. If it was begun its number is used up."""
        message = terms.message if terms.pieces is None else terms.pieces[0]
        if message is None:
            return 0
        stream = self._streams[message.sid]
        before = stream.buffered + self.waiting
        if stream.open is terms:
            stream.open = None
        if terms.fate == BEGUN:
            self._withdraw_rest(stream, terms)
        elif stream.later and message in stream.later:
            for piece in terms.pieces or (message,):
                stream.later.remove(piece)
                self.waiting -= len(piece.data)
        elif stream.messages and stream.first() is message:
            self._withdraw_rest(stream, terms)
        else:
            for piece in terms.pieces or (message,):
                size = len(piece.data)
                stream.withdraw(piece)
                self.buffered -= size
        return before - stream.buffered - self.waiting

    def _withdraw_rest(self, stream: OutgoingStream, terms: Terms) -> None:
        """Of the first message of its stream."""
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
        if stream.reserved:
            self._release(stream)
            self._bring_back()

    def withdraw_beyond(self, outgoing_streams: int) -> list[tuple[OutboundMessage, bool]]:
        """Give back the messages of streams that the peer did not grant, as `abandon_all` does (section 5.1.1)."""
        withdrawn: list[tuple[OutboundMessage, bool]] = []
        for sid in [sid for sid in self._streams if sid >= outgoing_streams]:
            withdrawn += self._withdraw_all(self._streams[sid])
        withdrawn.sort(key=_by_arrival)
        return withdrawn

    def abandon_all(self) -> list[tuple[OutboundMessage, bool]]:
        """Forget everything, SSNs too. The messages in order of arrival, and whether a part of each had left."""
        abandoned = self.withdraw_beyond(0)
        self._streams.clear()
        self.tracked.clear()
        return abandoned

    def _release(self, stream: OutgoingStream) -> None:
        """The message that a stream had begun, or was about to, is over."""

    def _withdraw_all(self, stream: OutgoingStream) -> list[tuple[OutboundMessage, bool]]:
        messages = [message for message in stream.messages[stream.head :] if message.path_id != WITHDRAWN]
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
        if stream.reserved:
            self._release(stream)
            self._bring_back()
        return withdrawn

    # Turns.

    def _stream(self, sid: int) -> OutgoingStream:
        stream = self._streams.get(sid)
        if stream is None:
            stream = self._streams[sid] = OutgoingStream(sid)
            if self._waits:
                stream.later = []
        return stream


def _by_arrival(entry: tuple[OutboundMessage, bool]) -> int:
    return entry[0].order
