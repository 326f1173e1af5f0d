"""From I-DATA chunks to messages in the order of their streams (RFC 8260 section 2).

A fragment says by stream, U bit and MID which message it belongs to, and by its FSN where it stands there; TSNs say
nothing of either. What has come of a message in order, up to the cumulative TSN, is one piece that grows at its end,
however many fragments it came in, and is kept until the message is delivered or dropped. All else is *loose*: what lies
beyond a hole of its message, or of the TSNs alone. It is found by its TSN, and can be given up when space is needed, as
long as it is above the cumulative TSN (RFC 9260 section 6.2).

Which streams were negotiated is known to `handlers.data.receiver`, which TSNs have been received to `data_tracker`: the
caller offers each valid chunk once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, final

from ..tables import NOTHING
from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_32
from ..wire.serial import Numbering, unwrap
from .reassembly import (
    AS_BEFORE,
    KIND,
    LARGEST_CHUNK,
    LOOSE,
    NEVER,
    SMALLEST_CHARGE,
    WHOLE,
    Chunk,
    LazyHeap,
    ReassemblyQueue,
    Recipient,
)

#: What a message held is charged beside its data, until a part of it is given: from then on it is in `stream_state`.
MESSAGE: Final = 512

#: What the ordered messages of a stream, or its unordered ones, take for as long as they are known, its place in
#: `aio.inbox` included.
_STREAM: Final = 256
#: How far back an unordered MID may lie behind the newest: more than TSNs can be under way.
_AGE: Final = 1 << 30
#: As the cumulative TSN: all is acknowledged that comes.
_ALL: Final = 1 << 60


@final
class IncomingMessage:
    """What has come of a message: `body` in order, and `later` the TSNs of loose fragments by their position.

    Those from position `joined` on are loose; below `following` none is missing.
    """

    __slots__ = (
        "sid",
        "unordered",
        "mid",
        "ppid",
        "first_tsn",
        "end",
        "top",
        "joined",
        "following",
        "size",
        "ready",
        "given",
        "body",
        "later",
        "lowest",
        "until",
    )

    def __init__(self, sid: int, unordered: bool, mid: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.mid = mid
        self.ppid = 0
        self.first_tsn = 0
        self.end = -1  # the position of the fragment with the E bit
        self.top = 0  # the highest position seen
        self.joined = 0  # the position of the fragment that continues `body`
        self.following = 0  # the lowest position of which nothing has come
        self.size = 0  # bytes held
        self.ready = 0  # those of them that are in order
        self.given = False  # whether a part of it was given
        self.lowest = -1  # the lowest of its TSNs
        self.until = -1  # the TSN with which the next message of its stream begins: what is missing lies before that
        self.body = bytearray()
        self.later: dict[int, int] = NOTHING

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is missing."""
        return 0 <= self.end < self.following

    @property
    def charge(self) -> int:
        """What it is charged, in bytes."""
        return self.size + LOOSE * len(self.later) + (0 if self.given else MESSAGE)

    def contradiction(self, position: int, ends: bool) -> str | None:
        """Return what is wrong with a fragment at a position, beside those that have come; None if nothing is."""
        if position < self.following or position in self.later:
            return "another fragment of its message has its FSN"
        if ends and (self.end >= 0 or position < self.top):
            return "its E bit contradicts other fragments of its message"
        return "its FSN is beyond the fragment with the E bit" if 0 <= self.end < position else None


@final
class Stream:
    """The ordered messages of a stream, or its unordered ones, of which something is held."""

    __slots__ = ("sid", "unordered", "next", "skipped", "messages", "order")

    def __init__(self, sid: int, unordered: bool, following: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.next = following  # the MID whose turn it is; of unordered messages, all below are over
        self.skipped = False  # whether fragments of messages that are over may come: they were abandoned
        self.messages: dict[int, IncomingMessage] = NOTHING
        self.order: LazyHeap | None = None  # of the MIDs, made when some are first skipped

    def begin(self, message: IncomingMessage) -> None:
        """Record a message of which the first fragment has come."""
        if not self.messages:
            self.messages = {}
        self.messages[message.mid] = message
        if self.order is not None:
            self.order.push(message.mid, self.messages)

    def end(self, mid: int) -> None:
        """Forget a message of which nothing is held any more."""
        del self.messages[mid]
        if not self.messages:
            self.forget_all()

    def forget_all(self) -> None:
        """Forget all messages: nothing is held any more of any."""
        self.messages = NOTHING
        self.order = None

    def in_turn(self) -> IncomingMessage | None:
        """Return the message that comes next, if it has begun; of unordered ones any."""
        if not self.unordered:
            return self.messages.get(self.next)
        return next(iter(self.messages.values()), None)


@final
class IDataStreams(ReassemblyQueue):
    """Reassembly and stream order of I-DATA chunks."""

    __slots__ = (
        "_acknowledged",
        "_doubtful",
        "_doubts",
        "_fast_kind",
        "_incomplete",
        "_numbering",
        "_ordered",
        "_owners",
        "_places",
        "_rising",
        "_shift",
        "_under_way",
        "_unordered",
    )

    def __init__(self, recipient: Recipient, max_message_size: int, numbering: Numbering | None = None) -> None:
        """`numbering` is told how the peer counts fragments, once that is seen."""
        super().__init__(recipient, max_message_size)
        self._numbering = Numbering() if numbering is None else numbering
        self._shift = 0  # 1 for a peer whose second fragment has FSN 0
        self._ordered: dict[int, Stream] = {}
        self._unordered: dict[int, Stream] = {}  # those of which something is held, or was skipped
        self._incomplete = 0  # messages that are not complete
        self._under_way = 0  # bytes in the bodies of these
        self._owners: dict[int, IncomingMessage] = {}  # of the loose fragments, by their TSNs
        self._places: dict[int, int] = {}  # their positions
        self._rising = LazyHeap()  # their TSNs
        self._acknowledged = _ALL  # the cumulative TSN, as it was said last
        # Incomplete messages behind which the next of their stream has begun, by their `until`; and these TSNs.
        self._doubts: dict[int, IncomingMessage] = {}
        self._doubtful = LazyHeap()
        # The flags of chunks for which there is a fast path; `NEVER` while it is closed.
        self._fast_kind = NEVER
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        # The fast path looks neither at sizes, nor at who wants parts, nor at what is to be put aside.
        is_open = not (self._wanted or self._is_watching) and self._deferral is None
        self._fast_kind = WHOLE if max_message_size >= LARGEST_CHUNK and is_open else NEVER

    def reset(self) -> list[int]:
        cut_off = super().reset()
        for stream in (*self._ordered.values(), *self._unordered.values()):
            stream.forget_all()  # of this stream something may be about to be delivered
        self._ordered = {}
        self._unordered = {}
        self._incomplete = 0
        self._under_way = 0
        self._doubts = {}
        self._doubtful = LazyHeap()
        self._forget_loose()
        return cut_off

    def add(
        self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes, acknowledged: int = AS_BEFORE
    ) -> str | None:
        if flags & KIND == self._fast_kind:
            stream = self._ordered.get(sid)
            if stream is not None and stream.next & MASK_32 == number and not stream.messages:
                stream.next += 1
                size = len(payload)
                self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
                self.delivered += 1
                self.recipient.on_message(sid, number, ppid, False, tsn & MASK_32, payload)
                return None
        unordered = flags & FLAG_UNORDERED != 0
        if self._is_watching or self._deferral is not None:
            stream = self._ordered.get(sid)
            is_over = stream is not None and unwrap(number, stream.next) < stream.next
            if self._puts_aside(Chunk(tsn, flags, sid, number, ppid, payload), is_over):
                return None
        stream = self._stream(sid, unordered, number)
        mid = unwrap(number, stream.next)
        if mid < stream.next:
            return None if stream.skipped else _violation(tsn, "a message with its MID has been delivered")
        if unordered and mid - stream.next > _AGE + (_AGE >> 1):
            stream.next = mid - _AGE
        message = stream.messages.get(mid)
        if flags & WHOLE == WHOLE:
            if message is not None:
                return _violation(tsn, "another message has its MID")
            if unordered or mid == stream.next:
                if self.abandons and stream.messages:
                    self._begins(stream, mid, tsn)
                if len(payload) > self._max_message_size:
                    return _violation(tsn, f"it is longer than {self._max_message_size} bytes")
                if not unordered:
                    stream.next += 1
                self._deliver(sid, number, ppid, unordered, tsn, payload)
                self._after(stream)
                return None
        if message is None:
            message = IncomingMessage(sid, unordered, mid)
        if acknowledged != AS_BEFORE:
            self._acknowledged = acknowledged
        return self._join(stream, message, tsn, flags, ppid, payload)

    def in_progress(self, cumulative_tsn: int) -> int:
        """Return the bytes in order of the messages that are not complete, as far as they are acknowledged.

        Several can be under way at a time; together they are exempt up to twice the size of one: a peer that begins
        another as long as all but the largest fit the window needs no more. Where the window was larger once, what they
        may have taken of it comes on top, and what keeping them takes with it.
        """
        exempt = min(self._under_way, 2 * self._max_message_size)
        if self.surplus:
            exempt += min(self.surplus, self._under_way - exempt + (self._incomplete - len(self._given)) * MESSAGE)
        return exempt

    def still_in_progress(self, cumulative_tsn: int) -> int:
        return self.in_progress(cumulative_tsn)  # it is the same messages for long

    def stream_state(self) -> int:
        # A message that is given in parts, of a stream one at most, counts here: reading them would not free its space.
        return (len(self._ordered) + len(self._unordered)) * _STREAM + len(self._given) * MESSAGE

    def acknowledge(self, cumulative_tsn: int) -> None:
        self._acknowledged = cumulative_tsn
        while (tsn := self._rising.pop(cumulative_tsn, self._owners)) is not None:
            message = self._owners[tsn]
            joined = self._join_loose(message)
            if not message.is_complete:
                self._under_way += joined

    def judge(self, cumulative_tsn: int) -> None:
        # A stream's messages don't interleave (RFC 8260 section 2), so that what is missing when the next of a stream
        # has come was not sent, and never will be.
        if self._owners:
            self.acknowledge(cumulative_tsn)
        if self._deferral is None:  # what is put aside may belong to them
            while (until := self._doubtful.pop(cumulative_tsn, self._doubts)) is not None:
                message = self._doubts[until]
                stream = self._stream(message.sid, message.unordered, message.mid)
                if not message.unordered and message.mid != stream.next:
                    self._end_doubt(message)
                    continue
                self._drop(stream, message)
                if not message.unordered:
                    stream.next = message.mid + 1
                self._after(stream)
        self.is_uncertain = bool(self._owners) or bool(self._doubts)

    def relieve(self) -> bool:
        before = self.held
        point, self.point = self.point, 0
        for sid in self._wanted:
            for streams in (self._ordered, self._unordered):
                stream = streams.get(sid)
                message = None if stream is None or sid in self._given else stream.in_turn()
                if stream is not None and message is not None and self._flows(stream, message):
                    self._flow(stream, message)
        self.point = point
        return self.held < before

    def skip(self, previous: int, tsn: int, entries: Iterable[tuple[int, bool, int]]) -> None:
        if tsn == previous:
            return
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
        for streams in (self._ordered, self._unordered):
            for sid in list(streams) if sids is None else sids:
                stream = streams.get(sid)
                if stream is None:
                    continue
                if stream.messages:
                    self._finish(stream, max(stream.messages))
                streams.pop(sid, None)

    def restart(self, first_tsn: int) -> str | None:
        deferral, anew, violation = self._split_deferral(first_tsn)
        found: list[IncomingMessage] = []
        for stream in (*self._ordered.values(), *self._unordered.values()):
            for message in list(stream.messages.values()):
                if message.lowest >= first_tsn and not message.given:
                    found.append(message)
                    self._end_doubt(message)
                    stream.end(message.mid)
        self.reset_streams(None)
        for message in found:  # it goes by the new numbers of its stream
            stream = self._stream(message.sid, message.unordered, message.mid)
            message.mid = unwrap(message.mid, stream.next)
            stream.begin(message)
            if message.is_complete and (message.unordered or message.mid == stream.next):
                self._take(stream, message)
                self._after(stream)
        self._deferral = deferral
        self.limit_messages(self._max_message_size)
        return violation or self._add_all(anew)

    def recount(self) -> int:
        deferred = self._deferral.chunks.values() if self._deferral is not None else ()
        held = sum([len(chunk.payload) + LOOSE for chunk in deferred])
        under_way = incomplete = loose = 0
        for stream in (*self._ordered.values(), *self._unordered.values()):
            for message in stream.messages.values():
                ready = len(message.body)
                for position in range(message.joined, message.following):
                    ready += len(self._chunks[message.later[position]])
                size = len(message.body) + sum([len(self._chunks[tsn]) for tsn in message.later.values()])
                if (size, ready) != (message.size, message.ready) or message.following in message.later:
                    return -1
                held += message.charge
                loose += len(message.later)
                if not message.is_complete:
                    under_way += len(message.body)
                    incomplete += 1
        agrees = (under_way, incomplete) == (self._under_way, self._incomplete)
        agrees = agrees and loose == len(self._owners) == len(self._places)
        agrees = agrees and len(self._chunks) == loose + len(deferred)
        return held if agrees else -1

    # A fragment and its message.

    def _stream(self, sid: int, unordered: bool, wire_mid: int) -> Stream:
        streams = self._unordered if unordered else self._ordered
        stream = streams.get(sid)
        if stream is None:
            stream = streams[sid] = Stream(sid, unordered, (wire_mid & MASK_32) - _AGE if unordered else 0)
        return stream

    def _join(
        self, stream: Stream, message: IncomingMessage, tsn: int, flags: int, number: int, payload: bytes
    ) -> str | None:
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
        ends = flags & FLAG_END != 0
        if contradiction := message.contradiction(position, ends):
            return _violation(tsn, contradiction)
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
            after = stream.messages.get(message.mid + 1)
            if after is not None and (after.following or after.given or after.is_complete):
                self._doubt(message, after.first_tsn)
        if position == following == message.joined and tsn <= self._acknowledged and (position or not ends):
            self._append(message, payload)
        else:
            self._keep_loose(message, position, tsn, payload)
        if message.is_complete:
            self._end_doubt(message)
            self._incomplete -= 1
            self._under_way -= len(message.body)
            if stream.unordered or message.mid == stream.next:
                self._take(stream, message)
                self._after(stream)
        elif in_parts and self._flows(stream, message):
            self._flow(stream, message)
        return None

    def _count_from_second(self) -> bool:
        """Move all FSNs by one, for a peer that counts fragments from the second one, as Linux does (seen up to 6.12).

        That is known once FSN 0 comes without the B bit. Return false if others have been taken by RFC 8260's count: it
        is too late then.
        """
        for stream in (*self._ordered.values(), *self._unordered.values()):
            for message in stream.messages.values():
                if message.following > 1 or len(message.later) > (0 in message.later):
                    return False
        self._shift = 1
        self._numbering.second = 0
        return True

    def _append(self, message: IncomingMessage, payload: bytes) -> None:
        """Append the next fragment in order, all before it being joined; and the loose ones that follow it."""
        size = len(payload)
        message.body += payload
        message.size += size
        message.ready += size
        message.joined = message.following = message.following + 1
        self.held += size
        self._under_way += size
        if message.later:
            self._extend(message)
            self._under_way += self._join_loose(message)

    def _keep_loose(self, message: IncomingMessage, position: int, tsn: int, payload: bytes) -> None:
        """Keep a fragment beyond a hole by its position."""
        self.is_uncertain = True
        if not message.later:
            message.later = {}
        message.later[position] = tsn
        message.size += len(payload)
        self.held += len(payload) + LOOSE
        self._record(tsn, payload)
        self._owners[tsn] = message
        self._places[tsn] = position
        self._rising.push(tsn, self._owners)
        if position == message.following:
            self._extend(message)

    def _extend(self, message: IncomingMessage) -> None:
        """Count the loose fragments that follow what is in order."""
        later = message.later
        while message.following in later:
            message.ready += len(self._chunks[later[message.following]])
            message.following += 1

    def _join_loose(self, message: IncomingMessage) -> int:
        """Append the loose fragments that continue the body, as far as they are acknowledged; return their bytes."""
        before = len(message.body)
        while message.joined < message.following:
            tsn = message.later[message.joined]
            if tsn > self._acknowledged:
                break
            del message.later[message.joined]
            message.body += self._take_loose(tsn)
            message.joined += 1
            self.held -= LOOSE
        if not message.later:
            message.later = NOTHING
        return len(message.body) - before

    def _take_loose(self, tsn: int) -> bytes:
        del self._owners[tsn], self._places[tsn]
        payload = self._chunks.pop(tsn)
        if not self._chunks:  # dicts don't shrink by themselves
            self._chunks = {}
            self._largest = None
            self._forget_loose()
        return payload

    def _forget_loose(self) -> None:
        self._owners = {}
        self._places = {}
        self._rising = LazyHeap()

    def _give_up(self, tsn: int) -> None:
        """Let go of the loose fragment with the largest TSN."""
        message = self._owners[tsn]
        position = self._places[tsn]
        if message.is_complete:
            self._incomplete += 1
            self._under_way += len(message.body)
        if position < message.following:
            for number in range(position, message.following):  # just this one, if TSNs rise within a message
                message.ready -= len(self._chunks[message.later[number]])
            message.following = position
        size = len(self._take_loose(tsn))
        del message.later[position]
        if position == message.end:
            message.end = -1
        message.size -= size
        self.held -= size + LOOSE
        if not message.size and not message.given:
            self._end_doubt(message)
            self._stream(message.sid, message.unordered, message.mid).end(message.mid)
            self.held -= MESSAGE
            self._incomplete -= 1

    def _empty(self, message: IncomingMessage) -> bytes:
        """Take out what is there in order, and return it."""
        later = message.later
        loose = [self._take_loose(later.pop(number)) for number in range(message.joined, message.following)]
        self.held -= LOOSE * len(loose)
        if len(loose) == 1 and not message.body:
            data = loose[0]
        else:
            data = bytes(message.body)
            if loose:
                data += b"".join(loose)
        if not later:
            message.later = NOTHING
        message.joined = message.following
        message.body = bytearray()
        message.size -= len(data)
        message.ready = 0
        self.held -= len(data)
        return data

    def _drop(self, stream: Stream, message: IncomingMessage) -> None:
        """Let go of an incomplete message."""
        self._end_doubt(message)
        stream.end(message.mid)
        self._incomplete -= 1
        self._under_way -= len(message.body)
        self.held -= message.charge
        for tsn in message.later.values():
            self._take_loose(tsn)
        if message.given:
            self._given.pop(stream.sid, None)
            self.recipient.on_parts_aborted(stream.sid)

    # Messages behind which the next of their stream has begun.

    def _begins(self, stream: Stream, mid: int, tsn: int) -> None:
        """Take note that a message begins with this TSN: the one before it was to be complete by then."""
        before = stream.messages.get(mid - 1)
        if before is not None and before.until < 0 and not before.is_complete:
            self._doubt(before, tsn)

    def _doubt(self, message: IncomingMessage, until: int) -> None:
        """Take note that the next message of its stream begins with this TSN."""
        self.is_uncertain = True
        message.until = until
        self._doubts[until] = message
        self._doubtful.push(until, self._doubts)

    def _end_doubt(self, message: IncomingMessage) -> None:
        """Take note that nothing of a message is missing any more, or that it is dropped."""
        if message.until >= 0:
            del self._doubts[message.until]
            message.until = -1

    # The order of streams, and messages in parts.

    def _flows(self, stream: Stream, message: IncomingMessage) -> bool:
        """Return true if an incomplete message gives a part now."""
        if message.given:
            return message.ready > 0
        if not message.ready or message.ready < self.point or stream.sid not in self._wanted:
            return False
        return stream.sid not in self._given and (stream.unordered or message.mid == stream.next)

    def _flow(self, stream: Stream, message: IncomingMessage) -> None:
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

    def _take(self, stream: Stream, message: IncomingMessage) -> None:
        """Deliver a complete message, or the last part of it."""
        data = self._empty(message)
        if not message.given:
            self.held -= MESSAGE
        stream.end(message.mid)
        if not stream.unordered:
            stream.next = message.mid + 1
        mid = message.mid & MASK_32
        if message.given:
            self._given.pop(stream.sid, None)
            self._deliver_part(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data, True)
        else:
            self._deliver(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data)

    def _after(self, stream: Stream) -> None:
        """Deliver the messages that have waited for something of their stream that is over now."""
        if stream.unordered:
            if not stream.messages and not stream.skipped:
                self._unordered.pop(stream.sid, None)
            return
        while (message := stream.in_turn()) is not None:
            if not message.is_complete:
                if self._flows(stream, message):
                    self._flow(stream, message)
                return
            self._take(stream, message)

    def _finish(self, stream: Stream, last: int) -> None:
        """Deliver what is complete of the messages up to this MID, in order, and drop the rest."""
        if stream.order is None:
            stream.order = LazyHeap()
        order = stream.order
        while (mid := order.pop(last, stream.messages)) is not None:
            message = stream.messages[mid]
            if message.is_complete:
                self._take(stream, message)
            else:
                self._drop(stream, message)


def _violation(tsn: int, text: str) -> str:
    return f"I-DATA chunk with TSN {tsn & MASK_32}: {text}"
