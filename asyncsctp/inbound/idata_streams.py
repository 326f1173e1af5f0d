"""From I-DATA chunks to messages in the order of their streams (RFC 8260 section 2).

A fragment says by stream, U bit and MID which message it belongs to, and by its FSN where it stands there; TSNs say
nothing of either. Fragments that come in order are appended to what has come of their message. Those beyond a hole, in
their message or in the TSNs, are kept by their position, and follow when the hole is filled.

MIDs and FSNs are unwrapped at the door, each from what is next in its stream or message (RFC 1982). This module
deliberately knows neither the negotiated number of streams nor which TSNs have been received: the caller offers each
valid chunk once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop
from typing import Final, final

from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_32
from ..wire.numbering import Numbering
from ..wire.serial import unwrap
from .deferral import Chunk, Deferral
from .fragments import MESSAGE, Fragments, Message, Stream
from .reassembly import SMALLEST_CHARGE, Recipient

_KIND: Final = FLAG_BEGIN | FLAG_END | FLAG_UNORDERED
_WHOLE: Final = FLAG_BEGIN | FLAG_END
_NEVER: Final = -1
#: How far back an unordered MID may lie behind the newest: more than TSNs can be under way.
_AGE: Final = 1 << 30
_LARGEST_CHUNK: Final = 65535


@final
class IDataStreams(Fragments):
    """Reassembly and stream order of I-DATA chunks."""

    __slots__ = ("_fast_kind", "_numbering", "_shift")

    def __init__(self, recipient: Recipient, max_message_size: int, numbering: Numbering | None = None) -> None:
        """`numbering` is told how the peer counts fragments, once that is seen."""
        super().__init__(recipient, max_message_size)
        self._numbering = Numbering() if numbering is None else numbering
        self._fast_kind = _NEVER
        self._shift = 0  # 1 for a peer whose second fragment has FSN 0
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size
        # The fast lane looks neither at sizes, nor at who wants parts, nor at what is to be put aside.
        is_open = not (self._wanted or self._is_watching) and self._deferral is None
        self._fast_kind = _WHOLE if max_message_size >= _LARGEST_CHUNK and is_open else _NEVER

    def deliver_parts(self, sid: int, wanted: bool, point: int) -> None:
        """Whether the messages of a stream are given in parts, once `point` bytes of one are there in order."""
        if wanted:
            if not self._wanted:
                self._wanted = {}
            self._wanted[sid] = None
        else:
            self._wanted.pop(sid, None)
        self.point = point
        self.limit_messages(self._max_message_size)

    def reset(self) -> list[int]:
        """Give up all that is held, and start every stream at MID 0 (the peer has restarted)."""
        cut_off = super().reset()
        streams = [*self._ordered.values(), *self._unordered.values()]
        self._ordered = {}
        self._unordered = {}
        self._incomplete = 0
        self._under_way = 0
        self._doubts = {}
        self._doubtful = []
        self._owners = {}
        self._places = {}
        self._rising = []
        for stream in streams:
            stream.forget_all()  # of this stream something may be about to be delivered
        return cut_off

    def add(self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes) -> str | None:
        """Take in a new I-DATA chunk, and deliver what it completes; a text says how it violates the protocol."""
        if flags & _KIND == self._fast_kind:
            stream = self._ordered.get(sid)
            if stream is not None and stream.next & MASK_32 == number and not stream.messages:
                stream.next += 1
                size = len(payload)
                self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
                self.delivered += 1
                self.recipient.on_message(sid, number, ppid, False, tsn & MASK_32, payload)
                return None
        unordered = flags & FLAG_UNORDERED != 0
        if self._is_watching and flags & FLAG_BEGIN and not unordered and self._is_over(sid, number):
            self._defer(Deferral(tsn - 1, None, True))  # that one has been delivered: it goes by new numbers
        deferral = self._deferral
        if deferral is not None and deferral.covers(tsn, sid):
            self._put_aside(deferral, Chunk(tsn, flags, sid, number, ppid, payload))
            return None
        stream = self._stream(sid, unordered, number)
        mid = unwrap(number, stream.next)
        if mid < stream.next:
            return None if stream.skipped else _violation(tsn, "a message with its MID has been delivered")
        if unordered and mid - stream.next > _AGE + (_AGE >> 1):
            stream.next = mid - _AGE
        message = stream.messages.get(mid)
        if flags & _WHOLE == _WHOLE:
            if message is not None:
                return _violation(tsn, "another message has its MID")
            if unordered or mid == stream.next:
                if self.abandons and stream.messages:
                    self._begins(stream, mid, tsn)
                if len(payload) > self._max_message_size:
                    return _violation(tsn, f"it is longer than {self._max_message_size} bytes")
                if not unordered:
                    stream.next += 1
                self._hand_over(stream, mid, ppid, tsn, payload)
                self._after(stream)
                return None
        if message is None:
            message = Message(sid, unordered, mid)
        return self._join(stream, message, tsn, flags, ppid, payload)

    def in_progress(self, cumulative_tsn: int) -> int:
        """The bytes in order of the messages that are not complete, as far as they are acknowledged.

        Only what is still to come can complete these, so a window that they closed would never open. Several can be
        under way at a time; together they are exempt up to twice the size of one: a peer that begins another as long
        as all but the largest fit the window needs no more. Where the window was larger once, what they may have taken
        of it comes on top, and what keeping them takes with it.
        """
        exempt = min(self._under_way, 2 * self._max_message_size)
        if self.promised:
            exempt += min(self.promised, self._under_way - exempt + (self._incomplete - len(self._given)) * MESSAGE)
        return exempt

    @property
    def is_in_doubt(self) -> bool:
        """Whether there are messages behind which the next of their stream has begun."""
        return bool(self._doubts)

    def judge(self, cumulative_tsn: int) -> None:
        """Drop the messages that can't be completed any more, as all has come up to the next of their stream.

        A stream's messages don't interleave (RFC 8260 section 2), so that what is missing was not sent, and never will
        be: the peer has abandoned it. It need not say so again if its I-FORWARD-TSN was lost, for nothing is missing
        that this would move the cumulative TSN over.
        """
        if self._deferral is not None:
            return  # what is put aside may belong to them
        doubtful = self._doubtful
        while doubtful and doubtful[0] <= cumulative_tsn:
            message = self._doubts.get(heappop(doubtful))
            if message is None:
                continue
            streams = self._unordered if message.unordered else self._ordered
            stream = streams[message.sid]
            if not message.unordered and message.mid != stream.next:
                self._is_certain(message)
                continue
            self._drop(stream, message)
            if not message.unordered:
                stream.next = message.mid + 1
            self._after(stream)
            doubtful = self._doubtful

    def _begins(self, stream: Stream, mid: int, tsn: int) -> None:
        """A message begins with this TSN: the one before it was to be complete by then."""
        before = stream.messages.get(mid - 1)
        if before is not None and before.until < 0 and not before.is_complete:
            self._doubt(before, tsn)

    def relieve(self) -> bool:
        """Give what has come of messages that are read in parts, however little it is; whether there was any."""
        before = self.held
        point, self.point = self.point, 0
        for sid in self._wanted:
            for streams in (self._ordered, self._unordered):
                stream = streams.get(sid)
                message = None if stream is None or sid in self._given else _in_turn(stream)
                if stream is not None and message is not None and self._flows(stream, message):
                    self._flow(stream, message)
        self.point = point
        return self.held < before

    def skip(self, entries: Iterable[tuple[int, bool, int]]) -> None:
        """The peer abandoned messages: of each entry's stream, ordered or not, those up to its MID are over.

        RFC 3758 section 3.6 and RFC 8260 section 2.3.1: what is incomplete of them goes, the rest is delivered in
        order.
        """
        for sid, unordered, wire_mid in entries:
            stream = self._stream(sid, unordered, wire_mid)
            mid = unwrap(wire_mid, stream.next)
            if mid < stream.next:
                continue
            stream.skipped = True
            self._finish(stream, mid)
            if stream.next <= mid:
                stream.next = mid + 1
            self._after(stream)

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """These streams (None: all) number their messages from 0 again, ordered and unordered ones."""
        for streams in (self._ordered, self._unordered):
            for sid in list(streams) if sids is None else sids:
                stream = streams.get(sid)
                if stream is None:
                    continue
                if stream.messages:
                    self._finish(stream, max(stream.messages))
                streams.pop(sid, None)

    def restart(self, first_tsn: int) -> str | None:
        """All streams begin anew, and the TSNs too, with this one; what has come from it on is taken in anew."""
        deferral, anew, violation = self._part(first_tsn)
        found: list[Message] = []
        for streams in (self._ordered, self._unordered):
            for stream in streams.values():
                for message in list(stream.messages.values()):
                    if message.lowest >= first_tsn and not message.given:
                        found.append(message)
                        self._is_certain(message)
                        stream.end(message.mid)
        self.reset_streams(None)
        for message in found:
            self._take_over(message)
        self._deferral = deferral
        self.limit_messages(self._max_message_size)
        return violation or self._take_in(anew)

    def _take_over(self, message: Message) -> None:
        """A message that goes by the new numbers of its stream."""
        stream = self._stream(message.sid, message.unordered, message.mid & MASK_32)
        message.mid = unwrap(message.mid, stream.next)
        stream.begin(message)
        if message.is_complete and (message.unordered or message.mid == stream.next):
            self._take(stream, message)
            self._after(stream)

    def _is_over(self, sid: int, wire_mid: int) -> bool:
        """Whether an ordered message has been delivered, by the numbers of its stream as they are."""
        stream = self._ordered.get(sid)
        return stream is not None and unwrap(wire_mid, stream.next) < stream.next

    def _stream(self, sid: int, unordered: bool, wire_mid: int) -> Stream:
        streams = self._unordered if unordered else self._ordered
        stream = streams.get(sid)
        if stream is None:
            stream = streams[sid] = Stream(sid, unordered, wire_mid - _AGE if unordered else 0)
        return stream

    def _join(self, stream: Stream, message: Message, tsn: int, flags: int, number: int, payload: bytes) -> str | None:
        """Take a fragment into its message; `number` is the PPID of the first one, the FSN of others."""
        following = message.following
        if flags & FLAG_BEGIN:
            position = 0
        else:
            if number == 0 and following <= 1 and not self._shift and not self._count_from_second():
                return _violation(tsn, "its FSN is that of the first fragment, and it has no B bit")
            position = unwrap(number + self._shift, following)
            if position == 0 and following == 0:
                return _violation(tsn, "its FSN is that of the first fragment, and it has no B bit")
            if number == 1 and following == 1 and not self._shift and tsn == message.first_tsn + 1:
                self._numbering.second = 1  # it is the second without doubt
        if position < following or position in message.later:
            return _violation(tsn, "another fragment of its message has its FSN")
        ends = flags & FLAG_END != 0
        if ends and (message.end >= 0 or position < message.top):
            return _violation(tsn, "its E bit contradicts other fragments of its message")
        if 0 <= message.end < position:
            return _violation(tsn, "its FSN is beyond the fragment with the E bit")
        in_parts = message.given or stream.sid in self._wanted
        if not in_parts and message.size + len(payload) > self._max_message_size:
            return _violation(tsn, f"its message is longer than {self._max_message_size} bytes")
        if not message.size and not message.given:
            stream.begin(message)
            self.held += MESSAGE
            self._incomplete += 1
        if ends:
            message.end = position
        if message.lowest < 0 or tsn < message.lowest:
            message.lowest = tsn
        if position > message.top:
            message.top = position
        if position == 0:
            message.ppid = number
            message.first_tsn = tsn
            if self.abandons:
                self._begins(stream, message.mid, tsn)
        if self.abandons and message.until < 0:
            following_message = stream.messages.get(message.mid + 1)
            if following_message is not None and (
                following_message.following or following_message.given or following_message.is_complete
            ):
                self._doubt(message, following_message.first_tsn)
        if position == following == message.joined and tsn <= self.acknowledged and (position or not ends):
            self._append(message, payload)
        else:
            self._keep_loose(message, position, tsn, payload)
        if message.is_complete:
            self._is_certain(message)
            self._incomplete -= 1
            self._under_way -= len(message.body)
            if stream.unordered or message.mid == stream.next:
                self._take(stream, message)
                self._after(stream)
        elif in_parts and self._flows(stream, message):
            self._flow(stream, message)
        return None

    def _count_from_second(self) -> bool:
        """Linux (seen up to 6.12) counts fragments from the second one: to read it, all FSNs are moved by one.

        That is known once FSN 0 comes without the B bit. If others have been taken by RFC 8260's count, it is too late.
        """
        for streams in (self._ordered, self._unordered):
            for stream in streams.values():
                for message in stream.messages.values():
                    if message.following > 1 or len(message.later) > (0 in message.later):
                        return False
        self._shift = 1
        self._numbering.second = 0
        return True

    def _flows(self, stream: Stream, message: Message) -> bool:
        """Whether an incomplete message gives a part now."""
        if message.given:
            return message.ready > 0
        if not message.ready or message.ready < self.point or stream.sid not in self._wanted:
            return False
        return stream.sid not in self._given and (stream.unordered or message.mid == stream.next)

    def _flow(self, stream: Stream, message: Message) -> None:
        """Give what has come in order of an incomplete message."""
        if not message.given:
            if not self._given:
                self._given = {}
            self._given[stream.sid] = None
            message.given = True
            self.held -= MESSAGE
        self._under_way -= len(message.body)
        data = self._empty(message)
        mid = message.mid & MASK_32
        self._deliver_part(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data, False)

    def _take(self, stream: Stream, message: Message) -> None:
        """Deliver a complete message, or the last part of it."""
        data = self._empty(message)
        if not message.given:
            self.held -= MESSAGE
        stream.end(message.mid)
        if not stream.unordered:
            stream.next = message.mid + 1
        if message.given:
            self._given.pop(stream.sid, None)
            mid = message.mid & MASK_32
            self._deliver_part(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data, True)
        else:
            self._hand_over(stream, message.mid, message.ppid, message.first_tsn, data)

    def _hand_over(self, stream: Stream, mid: int, ppid: int, tsn: int, data: bytes) -> None:
        if stream.sid in self._wanted:
            self._deliver_part(stream.sid, mid & MASK_32, ppid, stream.unordered, tsn, data, True)
        else:
            self._deliver(stream.sid, mid & MASK_32, ppid, stream.unordered, tsn, data)

    def _after(self, stream: Stream) -> None:
        """Something of a stream is over: deliver the messages that have waited for it."""
        if stream.unordered:
            if not stream.messages and not stream.skipped:
                self._unordered.pop(stream.sid, None)
            return
        while stream.messages:
            message = stream.messages.get(stream.next)
            if message is None:
                return
            if not message.is_complete:
                if self._flows(stream, message):
                    self._flow(stream, message)
                return
            self._take(stream, message)

    def _finish(self, stream: Stream, last: int) -> None:
        """Deliver what is complete of the messages up to this MID, in order, and drop the rest."""
        order = stream.order
        if order is None:
            order = stream.order = list(stream.messages)
            heapify(order)
        while order and order[0] <= last:
            message = stream.messages.get(heappop(order))
            if message is None:
                continue
            if message.is_complete:
                self._take(stream, message)
            else:
                self._drop(stream, message)

    def _drop(self, stream: Stream, message: Message) -> None:
        self._forget(stream, message)
        if message.given:
            self._given.pop(stream.sid, None)
            self.recipient.on_parts_aborted(stream.sid)


def _in_turn(stream: Stream) -> Message | None:
    """The message that comes next; of unordered ones any."""
    if not stream.unordered:
        return stream.messages.get(stream.next)
    for message in stream.messages.values():
        return message
    return None


def _violation(tsn: int, text: str) -> str:
    return f"I-DATA chunk with TSN {tsn & MASK_32}: {text}"
