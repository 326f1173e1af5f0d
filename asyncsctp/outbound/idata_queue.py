"""Messages become I-DATA chunks (RFC 8260 section 2.2.2): those of several streams may take turns chunk by chunk, those
of one stream follow one another.

The peer can deliver none of the messages that are begun before it has all of it, so that too many at a time fill its
memory with what nobody can read (RFC 8260 section 2.2.1). Begun are at a time as many as its first window can hold
together, with what keeping them takes, and two beside these, of any length: the others wait until one has left.
Messages that are written in parts are not counted: they may have no end, and who writes so has a peer that reads so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, final

from ..schedulers.base import StreamScheduler
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE, FLAG_UNORDERED, I_DATA, I_DATA_HEADER_SIZE, MASK_32
from ..wire.octets import Writer, write_i_data
from ..wire.serial import Numbering
from ..wire.tlv import PADDING
from .message import ANY_KEY, ANY_PATH, BEGUN, LEFT, WHOLE, OutboundMessage
from .send_queue import GONE, SMALLEST_TAIL, TRIES, OutgoingStream, SendQueue

_TYPE: Final = I_DATA << 8
#: Messages that may be begun although they don't fit the window beside the others.
_MOST_LONG: Final = 2
#: What a message that is not complete takes of the peer's memory beside its bytes: as `inbound.idata_streams` has it.
_KEEPING: Final = 512
#: Of its window so much is left for the next fragments, and for keeping those that don't fit.
_SPARE: Final = 2048
_LONG: Final = -1


@final
class IDataQueue(SendQueue):
    """A turn is one chunk; of a stream that is alone, all that fits."""

    __slots__ = ("_brings_back", "_long", "_numbering", "_reserved", "_window")

    def __init__(
        self, scheduler: StreamScheduler, max_chunk: int, window: int = 1 << 32, numbering: Numbering | None = None
    ) -> None:
        """`window` is what the peer announced first, in bytes; `numbering`: how it counts fragments."""
        super().__init__(scheduler, max_chunk, I_DATA_HEADER_SIZE, True)
        self._numbering = Numbering() if numbering is None else numbering
        self._window = window - _SPARE
        self._reserved = 0  # the bytes of the messages that are begun and count
        self._long = 0  # how many don't
        self._brings_back = False  # whether a message that had to wait may try again

    @property
    def movable(self) -> int:
        return self.buffered

    def pressing(self, sids: Collection[int]) -> list[int]:
        if not self.waiting:  # for a reset that one of them may put off; else there is nothing that they hold up
            return []
        streams = self._streams
        return [sid for sid in sids if sid in streams and streams[sid].begun and streams[sid].open is not None]

    def fill(
        self, writer: Writer, space: int, tsn: int, max_user: int, path_id: int = ANY_PATH, key_id: int = ANY_KEY
    ) -> tuple[int, int]:
        if self._competing:
            self._begin_packet()
        space &= -4
        first_tsn = tsn
        user_before = max_user
        while space > I_DATA_HEADER_SIZE:
            stream = self._turn()
            if stream is None:
                break
            message = stream.messages[stream.head]
            if self.directed and (message.path_id != path_id or message.key_id != key_id):
                break
            size = len(message.data) - stream.offset
            left = size
            limit = space if space < self.max_chunk else self.max_chunk
            if size + I_DATA_HEADER_SIZE > limit:
                # One that needs no fragments waits for the next packet; a piece of another is not made too small.
                if limit < SMALLEST_TAIL or (not stream.begun and size + I_DATA_HEADER_SIZE <= self.max_chunk):
                    break
                # The message may count already, although its first chunk has not left yet.
                if not (stream.begun or stream.reserved not in (0, TRIES) or self._may_begin(stream, message)):
                    stream.reserved = 0
                    self._hold_back(stream)
                    continue
                size = (limit - I_DATA_HEADER_SIZE) & -4
            if size > max_user:
                break
            self._write(stream, message, writer, size, left, tsn)
            stream.buffered -= size
            tsn += 1
            space -= (size + I_DATA_HEADER_SIZE + 3) & -4
            max_user -= size
            if self._competing or not stream.messages:
                self._end_turn(stream, size)
            if self._brings_back:
                self._brings_back = False
                self._bring_back()
        taken = user_before - max_user
        self.buffered -= taken
        return tsn - first_tsn, taken

    def _may_begin(self, stream: OutgoingStream, message: OutboundMessage) -> bool:
        """Return True if the first chunk of several may leave now; the message counts then until its last has left."""
        size = len(message.data) + _KEEPING
        if message.flags & WHOLE != WHOLE:  # it is written in parts
            if stream.reserved:
                self._release(stream)
            return True
        if self._reserved + size <= self._window:
            self._reserved += size
            stream.reserved = size
        elif self._long < _MOST_LONG:
            self._long += 1
            stream.reserved = _LONG
        else:
            return False
        self._brings_back = True  # there may be space for the next as well
        return True

    def _release(self, stream: OutgoingStream) -> None:
        """Count the message of a stream no more, or not at all: it is another one's turn to try."""
        if stream.reserved == _LONG:
            self._long -= 1
        elif stream.reserved != TRIES:
            self._reserved -= stream.reserved
        stream.reserved = 0
        self._brings_back = True

    def _write(
        self, stream: OutgoingStream, message: OutboundMessage, writer: Writer, size: int, left: int, tsn: int
    ) -> None:
        """Write one chunk: `size` of the `left` bytes of a message, or of a piece."""
        flags = message.flags
        terms = message.terms
        data = message.data
        unordered = flags & FLAG_UNORDERED != 0
        mid = stream.next_unordered if unordered else stream.next_ssn
        number = stream.fragments
        following = number + 1
        if not stream.begun:
            following = self._numbering.second
            number = message.ppid  # section 2.1: the fragment with the B bit has the PPID where others have the FSN
            if terms is not None:
                terms.number = mid
                terms.state = BEGUN
                terms.message = message
                terms.pieces = None
        if size != left or stream.begun or flags & WHOLE != WHOLE:
            data = data[stream.offset : stream.offset + size]
            flags &= ~WHOLE
            if not stream.begun:
                flags |= FLAG_BEGIN
            if size == left:
                flags |= message.flags & FLAG_END
            else:
                flags &= ~FLAG_IMMEDIATE
        length = size + I_DATA_HEADER_SIZE
        first16 = _TYPE | flags | self.urgent_flags
        write_i_data(writer, first16, length, tsn & MASK_32, stream.sid, mid & MASK_32, number & MASK_32)
        writer.write(data)
        if length & 3:
            writer.write(PADDING[length & 3])
        if terms is not None or flags & WHOLE == FLAG_END:
            self.tracked.append((tsn, message))
        if size != left:
            stream.begun = True
            stream.offset += size
            stream.fragments = following
            return
        stream.messages[stream.head] = GONE
        if flags & FLAG_END:
            message.tsn = tsn
            if terms is not None:
                terms.state = LEFT
            stream.end_message(unordered)
            if stream.reserved:
                self._release(stream)
        else:
            stream.begun = True
            stream.offset = 0
            stream.fragments = following
        stream.advance(stream.head + 1)
