"""Messages become DATA chunks (RFC 9260 sections 3.3.1, 6.9 and 6.10): one message after the other, whatever its
stream, since the TSNs of a message are consecutive."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

from ..schedulers.base import StreamScheduler
from ..wire.constants import DATA_HEADER_SIZE, FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE, FLAG_UNORDERED, MASK_16, MASK_32
from ..wire.octets import Writer, write_data
from ..wire.tlv import PADDING
from .message import ANY_KEY, ANY_PATH, BEGUN, LEFT, WHOLE, OutboundMessage
from .send_queue import GONE, SMALLEST_TAIL, OutgoingStream, SendQueue


@final
class DataQueue(SendQueue):
    """A turn is a whole message."""

    __slots__ = ()

    def __init__(self, scheduler: StreamScheduler, max_chunk: int) -> None:
        super().__init__(scheduler, max_chunk, DATA_HEADER_SIZE, False)

    @property
    def movable(self) -> int:
        begun = self._begun
        return self.buffered if begun is None or begun.open is None else begun.buffered

    def pressing(self, sids: Collection[int]) -> list[int]:
        begun = self._begun
        return [] if begun is None or begun.open is None or begun.sid not in sids else [begun.sid]

    def fill(
        self, writer: Writer, space: int, tsn: int, max_user: int, path_id: int = ANY_PATH, key_id: int = ANY_KEY
    ) -> tuple[int, int]:
        if self._competing:
            self._begin_packet()
        space &= -4
        first_tsn = tsn
        user_before = max_user
        max_chunk = self.max_chunk
        directed = self.directed
        while space > DATA_HEADER_SIZE:
            stream = self._begun or self._turn()
            if stream is None or not stream.messages:
                break
            message = stream.messages[stream.head]
            if directed and (message.path_id != path_id or message.key_id != key_id):
                break
            if stream.begun or len(message.data) + DATA_HEADER_SIZE > max_chunk or message.flags & WHOLE != WHOLE:
                taken = self._fragment(stream, message, writer, space, tsn, max_user)
                if not taken:
                    break
                space -= (taken + DATA_HEADER_SIZE + 3) & -4
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
                flags = message.flags
                if length > space or length > max_chunk or size > max_user:
                    break
                if flags & WHOLE != WHOLE:  # a piece, or withdrawn
                    break
                if directed and (message.path_id != path_id or message.key_id != key_id):
                    break
                messages[head] = GONE
                head += 1
                key = sid_key | ssn & MASK_16
                write_data(writer, flags | urgent_flags, length, tsn & MASK_32, key, message.ppid)
                writer.write(data)
                if length & 3:
                    writer.write(PADDING[length & 3])
                    length = (length + 3) & -4
                message.tsn = tsn
                terms = message.terms
                if terms is not None:
                    terms.number = ssn
                    terms.state = LEFT
                    self.tracked.append((tsn, message))
                if not flags & FLAG_UNORDERED:
                    ssn += 1
                tsn += 1
                space -= length
                max_user -= size
                if not alone:
                    break
            taken = user_at_start - max_user
            if not taken:
                break
            stream.next_ssn = ssn
            stream.buffered -= taken
            stream.advance(head)
            if not stream.messages or not alone:
                self._end_turn(stream, taken)
            elif length <= max_chunk:
                break
        taken = user_before - max_user
        self.buffered -= taken
        return tsn - first_tsn, taken

    def _fragment(
        self, stream: OutgoingStream, message: OutboundMessage, writer: Writer, space: int, tsn: int, max_user: int
    ) -> int:
        """Write the next chunk of a message that needs several (section 6.9); return its user bytes, 0 if it waits."""
        data = message.data
        offset = stream.offset
        left = size = len(data) - offset
        limit = self.max_chunk
        if space < limit:
            limit = space
        if size + DATA_HEADER_SIZE > limit:
            if limit < SMALLEST_TAIL:
                return 0
            size = (limit - DATA_HEADER_SIZE) & -4
        if size > max_user:
            return 0
        flags = (message.flags & FLAG_UNORDERED) | self.urgent_flags
        if not stream.begun:
            flags |= FLAG_BEGIN
            stream.begun = True
            self._begun = stream
            if message.terms is not None:
                message.terms.number = stream.next_ssn
                message.terms.state = BEGUN
                message.terms.message = message
                message.terms.pieces = None
        if size == left:
            flags |= message.flags & (FLAG_END | FLAG_IMMEDIATE)
        length = size + DATA_HEADER_SIZE
        key = stream.sid << 16 | stream.next_ssn & MASK_16
        write_data(writer, flags, length, tsn & MASK_32, key, message.ppid)
        writer.write(data[offset : offset + size])
        if length & 3:
            writer.write(PADDING[length & 3])
        stream.buffered -= size
        if flags & FLAG_END or message.terms is not None:
            self.tracked.append((tsn, message))
        if size < left:
            stream.offset = offset + size
            return size
        stream.offset = 0
        stream.messages[stream.head] = GONE
        if flags & FLAG_END:
            self._begun = None
            stream.begun = False
            if not flags & FLAG_UNORDERED:
                stream.next_ssn += 1
            message.tsn = tsn
            if message.terms is not None:
                message.terms.state = LEFT
        stream.advance(stream.head + 1)
        self._end_turn(stream, len(data))
        return size
