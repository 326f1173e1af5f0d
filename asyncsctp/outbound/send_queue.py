"""Messages not yet sent, stream by stream, and how they become DATA chunks (RFC 9260 sections 6.5, 6.9 and 6.10).
 Knows messages, streams, stream sequence numbers and fragmentation; asks a scheduler which stream is next. It
deliberately does not know paths, windows or what became of a chunk once it was put into a packet: room and TSN come in
as numbers.
"""

from __future__ import annotations

from typing import Final, final

from ..schedulers.base import NO_STREAM, StreamScheduler
from ..wire.constants import (
    DATA_HEADER_SIZE,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    MASK_16,
    MASK_32,
)
from ..wire.octets import Writer, write_data
from ..wire.tlv import PADDING
from .message import ANY_PATH, OutboundMessage

#: A fragment that does not end its message is not made for less than this.
SMALLEST_TAIL: Final = 256

#: What stands where a message was that has left.
_GONE: Final = OutboundMessage(0, b"")
_MOST_GONE: Final = 32


@final
class _Stream:
    """The unsent messages of one stream: those from `head` on. `offset`: how much of the first was sent, from TSN
    `first_tsn` on.
    """

    __slots__ = ("buffered", "first_tsn", "head", "messages", "next_ssn", "offset", "sid")

    def __init__(self, sid: int) -> None:
        self.sid = sid
        self.messages: list[OutboundMessage] = []
        self.head = 0
        self.next_ssn = 0
        self.offset = 0
        self.first_tsn = 0
        self.buffered = 0

    def first(self) -> OutboundMessage:
        """The message that leaves next."""
        return self.messages[self.head]

    def advance(self, head: int) -> None:
        """The messages before this one have left."""
        messages = self.messages
        if head == len(messages):
            messages.clear()
            head = 0
        elif head > _MOST_GONE and 2 * head > len(messages):
            del messages[:head]
            head = 0
        self.head = head


@final
class SendQueue:
    """What the user has written and no packet has carried yet.

    `max_chunk` is the longest DATA chunk to make, header included: the AMDCS (section 7.3), and not above half the
    window that the peer announced first, so that a chunk always comes to fit (RFC 1122 section 4.2.3.4). `buffered`
    counts user bytes. `directed`: a message may want a path of its own. `urgent_flags` are set in every chunk:
    FLAG_IMMEDIATE in SHUTDOWN-PENDING (section 6.1), else 0. `tracked` receives (first TSN, last TSN, message) of
    messages that were fragmented or have a context, once they have left completely; its user empties it.
    """

    __slots__ = (
        "_active", "_arrivals", "_begun", "_competing", "_scheduler", "_streams", "buffered", "directed", "max_chunk",
        "tracked", "urgent_flags",
    )  # fmt: skip

    def __init__(self, scheduler: StreamScheduler, max_chunk: int) -> None:
        self.max_chunk = max_chunk
        self.buffered = 0
        self.directed = False
        self.urgent_flags = 0
        self.tracked: list[tuple[int, int, OutboundMessage]] = []
        self._scheduler = scheduler
        self._streams: dict[int, _Stream] = {}
        self._active: dict[int, _Stream] = {}
        self._begun: _Stream | None = None  # the stream in the middle of a message
        self._competing = False  # whether the scheduler knows the active streams
        self._arrivals = 0

    def __bool__(self) -> bool:
        return bool(self._active)

    def buffered_of(self, sid: int) -> int:
        """Unsent user bytes of one stream."""
        stream = self._streams.get(sid)
        return stream.buffered if stream is not None else 0

    def push(self, message: OutboundMessage) -> None:
        """Queue a message behind those of its stream."""
        sid = message.sid
        size = len(message.data)
        self._arrivals = message.order = self._arrivals + 1
        self.buffered += size
        stream = self._active.get(sid)
        if stream is None:
            stream = self._activate(sid, message.order)
        stream.buffered += size
        stream.messages.append(message)
        if message.path_id != ANY_PATH:
            self.directed = True

    def push_many(self, sid: int, messages: list[bytes], ppid: int, flags: int) -> None:
        """Queue messages without options of their own, as `push` does each."""
        order = self._arrivals
        stream = self._active.get(sid)
        if stream is None:
            stream = self._activate(sid, order + 1)
        queued = stream.messages
        size = 0
        for data in messages:
            order += 1
            message = OutboundMessage(sid, data, ppid, flags)
            message.order = order
            size += len(data)
            queued.append(message)
        self._arrivals = order
        stream.buffered += size
        self.buffered += size

    def fill(self, writer: Writer, room: int, tsn: int, max_user: int, path_id: int = ANY_PATH) -> tuple[int, int]:
        """Write the DATA chunks, from `tsn` on, that fit into `room` bytes and hold at most `max_user` user bytes.

        The number of chunks and of user bytes written. A chunk that is too long for `max_user` waits (section 6.1 rule
        A), it is not cut to fit, lest windows become silly. Only messages for `path_id` are taken, as `next_path` gave
        it.
        """
        if self._competing:
            self._begin_packet()
        room &= -4
        first_tsn = tsn
        user_before = max_user
        max_chunk = self.max_chunk
        while room > DATA_HEADER_SIZE:
            stream = self._begun or self._turn()
            if stream is None:
                break
            message = stream.messages[stream.head]
            if message.path_id != path_id:
                break
            if stream.offset or len(message.data) + DATA_HEADER_SIZE > max_chunk:
                taken = self._fragment(stream, message, writer, room, tsn, max_user)
                if not taken:
                    break
                room -= (taken + DATA_HEADER_SIZE + 3) & -4
                max_user -= taken
                tsn += 1
                continue
            messages = stream.messages
            head = stream.head
            queued = len(messages)
            sid_key = stream.sid << 16
            ssn = stream.next_ssn
            alone = not self._competing
            urgent_flags = self.urgent_flags
            user_at_start = max_user
            length = 0
            while head < queued:
                message = messages[head]
                data = message.data
                size = len(data)
                length = size + DATA_HEADER_SIZE
                if length > room or length > max_chunk or size > max_user or message.path_id != path_id:
                    break
                messages[head] = _GONE
                head += 1
                flags = message.flags
                key = sid_key | ssn & MASK_16
                write_data(writer, flags | urgent_flags, length, tsn & MASK_32, key, message.ppid)
                writer.write(data)
                if length & 3:
                    writer.write(PADDING[length & 3])
                    length = (length + 3) & -4
                if message.context is not None:
                    self.tracked.append((tsn, tsn, message))
                if not flags & FLAG_UNORDERED:
                    ssn += 1
                tsn += 1
                room -= length
                max_user -= size
                if not alone:
                    break
            taken = user_at_start - max_user
            if not taken:
                break
            stream.next_ssn = ssn
            stream.buffered -= taken
            stream.advance(head)
            if head == queued or not alone:
                self._end_turn(stream, taken)
            elif length <= max_chunk:
                break
        taken = user_before - max_user
        self.buffered -= taken
        return tsn - first_tsn, taken

    def next_path(self) -> int:
        """The path that the message whose turn it is wants to take, or ANY_PATH."""
        stream = self._begun or self._turn()
        if stream is None:
            self.directed = False
            return ANY_PATH
        return stream.first().path_id

    def next_size(self, room: int) -> int:
        """The user bytes of the chunk that `fill` would make first in `room` bytes, 0 for none.

        As `max_user` it makes `fill` produce that one chunk: a zero window probe (section 6.1 rule A).
        """
        stream = self._begun or self._turn()
        if stream is None:
            return 0
        size = len(stream.first().data) - stream.offset
        limit = min(room, self.max_chunk)
        if size + DATA_HEADER_SIZE <= limit:
            return size
        if limit < SMALLEST_TAIL or (not stream.offset and size + DATA_HEADER_SIZE <= self.max_chunk):
            return 0
        return (limit - DATA_HEADER_SIZE) & -4

    def set_scheduler(self, scheduler: StreamScheduler) -> None:
        """Let another scheduler choose from now on; a message that was begun is finished first."""
        self._scheduler = scheduler
        if self._competing:
            for stream in self._active.values():
                scheduler.activate(stream.sid, stream.first().order)

    def set_priority(self, sid: int, value: int) -> None:
        """Tell the scheduler a stream's priority or weight."""
        self._scheduler.set_priority(sid, value)

    def withdraw_beyond(self, outgoing_streams: int) -> list[tuple[OutboundMessage, bool]]:
        """Give back the messages of streams that the peer did not grant, as `abandon_all` does (section 5.1.1)."""
        withdrawn: list[tuple[OutboundMessage, bool]] = []
        for sid in [sid for sid in self._active if sid >= outgoing_streams]:
            withdrawn += self._withdraw(self._active[sid])
        withdrawn.sort(key=_by_arrival)
        return withdrawn

    def abandon_all(self) -> list[tuple[OutboundMessage, bool]]:
        """Forget everything, SSNs too. The messages in order of arrival, and whether a part of each had left."""
        abandoned = self.withdraw_beyond(0)
        self._streams.clear()
        self.tracked.clear()
        return abandoned

    def _activate(self, sid: int, order: int) -> _Stream:
        stream = self._streams.get(sid)
        if stream is None:
            stream = self._streams[sid] = _Stream(sid)
        if self._active:
            if not self._competing:
                self._competing = True
                for other in self._active.values():
                    self._scheduler.activate(other.sid, other.first().order)
            self._scheduler.activate(sid, order)
        else:
            self._competing = False
        self._active[sid] = stream
        return stream

    def _begin_packet(self) -> None:
        """Leave the scheduler out once a single stream remains; not in mid-packet, it may want that packet closed."""
        if len(self._active) > 1:
            self._scheduler.begin_packet()
            return
        self._competing = False
        for sid in self._active:
            self._scheduler.deactivate(sid)

    def _turn(self) -> _Stream | None:
        """The stream to take the next message from."""
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

    def _end_turn(self, stream: _Stream, size: int) -> None:
        """A message of this stream has left completely; all of them, if the stream is alone."""
        order = NO_STREAM
        if stream.messages:
            order = stream.first().order
        else:
            del self._active[stream.sid]
        if self._competing:
            self._scheduler.served(stream.sid, size, order)

    def _fragment(
        self, stream: _Stream, message: OutboundMessage, writer: Writer, room: int, tsn: int, max_user: int
    ) -> int:
        """Write the next piece of a message that needs several chunks (section 6.9). Its user bytes, 0 if it waits."""
        data = message.data
        offset = stream.offset
        left = size = len(data) - offset
        limit = self.max_chunk
        if room < limit:
            limit = room
        if size + DATA_HEADER_SIZE > limit:
            if limit < SMALLEST_TAIL:
                return 0
            size = (limit - DATA_HEADER_SIZE) & -4
        if size > max_user:
            return 0
        flags = (message.flags & FLAG_UNORDERED) | self.urgent_flags
        if not offset:
            flags |= FLAG_BEGIN
            stream.first_tsn = tsn
        if size == left:
            flags |= FLAG_END | (message.flags & FLAG_IMMEDIATE)
        length = size + DATA_HEADER_SIZE
        key = stream.sid << 16 | stream.next_ssn & MASK_16
        write_data(writer, flags, length, tsn & MASK_32, key, message.ppid)
        writer.write(data[offset : offset + size])
        if length & 3:
            writer.write(PADDING[length & 3])
        stream.buffered -= size
        if size < left:
            stream.offset = offset + size
            self._begun = stream
            return size
        stream.offset = 0
        self._begun = None
        stream.messages[stream.head] = _GONE
        stream.advance(stream.head + 1)
        if not flags & FLAG_UNORDERED:
            stream.next_ssn += 1
        self.tracked.append((stream.first_tsn, tsn, message))
        self._end_turn(stream, len(data))
        return size

    def _withdraw(self, stream: _Stream) -> list[tuple[OutboundMessage, bool]]:
        withdrawn = [(message, False) for message in stream.messages[stream.head :]]
        if stream.offset:
            withdrawn[0] = (withdrawn[0][0], True)
            stream.offset = 0
            self._begun = None
        self.buffered -= stream.buffered
        stream.buffered = 0
        stream.advance(len(stream.messages))
        del self._active[stream.sid]
        if self._competing:
            self._scheduler.deactivate(stream.sid)
        return withdrawn


def _by_arrival(entry: tuple[OutboundMessage, bool]) -> int:
    return entry[0].order
