"""From I-DATA chunks to messages in the order of their streams (RFC 8260 section 2).

A fragment says by stream, U bit and MID which message it belongs to, and by its FSN where it stands there; TSNs say
nothing of either. Fragments that come in order are appended to a list. Those beyond a hole are kept by their position,
and join the list when the hole is filled.

MIDs and FSNs are unwrapped at the door, each from what is next in its stream or message (RFC 1982). This module
deliberately knows neither the negotiated number of streams nor which TSNs have been received: the caller offers each
valid chunk once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, final

from ..wire.constants import FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, MASK_32
from .intervals import Intervals
from .reassembly import OVERHEAD, SMALLEST_CHARGE, ReassemblyQueue, Recipient

__all__ = ["IDataStreams"]

_KIND: Final = FLAG_BEGIN | FLAG_END | FLAG_UNORDERED
_WHOLE: Final = FLAG_BEGIN | FLAG_END
_NEVER: Final = -1
_HALF: Final = 1 << 31
#: How far back an unordered MID may lie behind the newest: more than TSNs can be under way.
_AGE: Final = 1 << 30
_LARGEST_CHUNK: Final = 65535
#: Fragments that a message may have in any case; a long one may have more, if they are not tiny.
_FEW_FRAGMENTS: Final = 64
_HEAP_SLACK: Final = 64


@final
class _Message:
    """What has come of a message: its fragments in order from `gone` on, and others beyond a hole by their position."""

    __slots__ = (
        "sid",
        "unordered",
        "mid",
        "ppid",
        "first_tsn",
        "end",
        "top",
        "gone",
        "size",
        "ready",
        "open",
        "parts",
        "tsns",
        "later",
        "later_tsns",
        "torn",
    )

    def __init__(self, sid: int, unordered: bool, mid: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.mid = mid
        self.ppid = 0
        self.first_tsn = 0
        self.end = -1  # the position of the fragment with the E bit
        self.top = 0  # the highest position seen
        self.gone = 0  # fragments given to the recipient as parts
        self.size = 0  # bytes held
        self.ready = 0  # of these in `parts`
        self.open = 0  # what it is charged, while it lacks nothing but what is still to be sent
        self.parts: list[bytes] = []
        self.tsns: list[int] = []
        self.later: dict[int, bytes] = {}
        self.later_tsns: dict[int, int] = {}
        # The positions in `later`, once a fragment in the middle of `parts` was given up: all others went there.
        self.torn: Intervals | None = None


@final
class _Stream:
    """The ordered messages of a stream, or its unordered ones, of which something is held."""

    __slots__ = ("sid", "unordered", "next", "skipped", "messages", "order")

    def __init__(self, sid: int, unordered: bool, following: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.next = following  # the MID whose turn it is; of unordered messages, all below are over
        self.skipped = False  # whether fragments of messages that are over may come: they were abandoned
        self.messages: dict[int, _Message] = {}
        self.order: list[int] | None = None  # a heap of the MIDs, made when some are first skipped

    def unwrap(self, wire_mid: int) -> int:
        """The MID with its high bits, at most half of all MIDs from the next one."""
        return self.next + ((wire_mid - self.next + _HALF) & MASK_32) - _HALF

    def begin(self, mid: int) -> _Message:
        """A message of which nothing is held yet."""
        message = self.messages[mid] = _Message(self.sid, self.unordered, mid)
        order = self.order
        if order is not None:
            if len(order) > 2 * len(self.messages) + _HEAP_SLACK:
                self.order = None
            else:
                heappush(order, mid)
        return message


@final
class IDataStreams(ReassemblyQueue):
    """Reassembly and stream order of I-DATA chunks."""

    __slots__ = ("_ordered", "_unordered", "_fast_kind", "_most_fragments", "_open", "_owners", "_places")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._ordered: dict[int, _Stream] = {}
        self._unordered: dict[int, _Stream] = {}  # those of which something is held, or was skipped
        self._fast_kind = _NEVER
        self._most_fragments = 0
        self._open = 0  # the sum over the messages
        # Where the chunks held are, by TSN, from when room is first asked for until nothing is held.
        self._owners: dict[int, _Message] | None = None
        self._places: dict[int, int] = {}
        self.limit_messages(max_message_size)

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size
        # The fast lane looks neither at sizes nor at who wants parts.
        self._fast_kind = _WHOLE if max_message_size >= _LARGEST_CHUNK and not self._wanted else _NEVER
        # Messages in progress are not held against the window, so their bookkeeping must not outgrow their data.
        self._most_fragments = _FEW_FRAGMENTS + max_message_size // OVERHEAD

    def deliver_parts(self, sid: int, wanted: bool, point: int) -> None:
        """Whether the messages of a stream are given in parts, once `point` bytes of one are there in order."""
        if wanted:
            self._wanted.add(sid)
        else:
            self._wanted.discard(sid)
        self._point = point
        self.limit_messages(self._max_message_size)

    def reset(self) -> None:
        """Give up all that is held, and start every stream at MID 0 (the peer has restarted)."""
        super().reset()
        streams = [*self._ordered.values(), *self._unordered.values()]
        self._ordered = {}
        self._unordered = {}
        self._open = 0
        self._owners = None
        self._places = {}
        for stream in streams:
            stream.messages.clear()  # of this stream something may be about to be delivered
        self._abort_given()

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
        stream = self._stream(sid, unordered, number)
        mid = stream.unwrap(number)
        if mid < stream.next:
            return None if stream.skipped else _violation(tsn, "a message with its MID has been delivered")
        if unordered and mid - stream.next > _AGE + (_AGE >> 1):
            stream.next = mid - _AGE
        message = stream.messages.get(mid)
        if flags & _WHOLE == _WHOLE:
            if message is not None:
                return _violation(tsn, "another message has its MID")
            if unordered or mid == stream.next:
                if len(payload) > self._max_message_size:
                    return _violation(tsn, f"it is longer than {self._max_message_size} bytes")
                if not unordered:
                    stream.next += 1
                self._hand_over(stream, mid, ppid, tsn, payload)
                self._after(stream)
                return None
        if message is None:
            message = stream.begin(mid)
        return self._join(stream, message, tsn, flags, ppid, payload)

    def in_progress(self, cumulative_tsn: int) -> int:
        """What the messages are charged that lack nothing but fragments which may not have been sent yet.

        Only new data can complete these, so a window that they closed would never open. Several can be under way at a
        time; together they are exempt up to the size of one, so that memory stays bounded by the window and
        `max_message_size`.
        """
        return min(self._open, self._max_message_size)

    def skip(self, entries: Iterable[tuple[int, bool, int]]) -> None:
        """The peer abandoned messages: of each entry's stream, ordered or not, those up to its MID are over.

        RFC 3758 section 3.6 and RFC 8260 section 2.3.1: what is incomplete of them goes, the rest is delivered in
        order.
        """
        for sid, unordered, wire_mid in entries:
            stream = self._stream(sid, unordered, wire_mid)
            mid = stream.unwrap(wire_mid)
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

    def restart(self) -> None:
        """All streams begin anew, and the TSNs too: nothing more comes for what is incomplete."""
        self.reset_streams(None)

    def recount(self) -> int:
        """What `held` should be."""
        held = open_ = 0
        for streams in (self._ordered, self._unordered):
            for stream in streams.values():
                for message in stream.messages.values():
                    chunks = [*message.parts, *message.later.values()]
                    held += sum(map(len, chunks)) + OVERHEAD * len(chunks)
                    open_ += message.open
        return held if open_ == self._open else -1

    def settle(self) -> None:
        """All that is held is to be found by its TSN from now on."""
        if self._owners is not None:
            return
        self._owners = {}
        for streams in (self._ordered, self._unordered):
            for stream in streams.values():
                for message in stream.messages.values():
                    for number, tsn in enumerate(message.tsns):
                        self._index(message, message.gone + number, tsn, message.parts[number])
                    for position, tsn in message.later_tsns.items():
                        self._index(message, position, tsn, message.later[position])

    def _stream(self, sid: int, unordered: bool, wire_mid: int) -> _Stream:
        streams = self._unordered if unordered else self._ordered
        stream = streams.get(sid)
        if stream is None:
            stream = streams[sid] = _Stream(sid, unordered, wire_mid - _AGE if unordered else 0)
        return stream

    def _join(
        self, stream: _Stream, message: _Message, tsn: int, flags: int, number: int, payload: bytes
    ) -> str | None:
        """Take a fragment into its message; `number` is the PPID of the first one, the FSN of others."""
        following = message.gone + len(message.parts)
        if flags & FLAG_BEGIN:
            position = 0
        else:
            position = following + ((number - following + _HALF) & MASK_32) - _HALF
            if position == 0 and following == 0:
                return _violation(tsn, "its FSN is that of the first fragment, and it has no B bit")
        if position < following or position in message.later:
            return _violation(tsn, "another fragment of its message has its FSN")
        if flags & FLAG_END:
            if message.end >= 0 or position < message.top:
                return _violation(tsn, "its E bit contradicts other fragments of its message")
            message.end = position
        elif 0 <= message.end < position:
            return _violation(tsn, "its FSN is beyond the fragment with the E bit")
        size = len(payload)
        in_parts = message.gone > 0 or stream.sid in self._wanted
        if not in_parts:
            if message.size + size > self._max_message_size:
                return _violation(tsn, f"its message is longer than {self._max_message_size} bytes")
            if len(message.parts) + len(message.later) >= self._most_fragments:
                return _violation(tsn, f"its message has more than {self._most_fragments} fragments")
        if position > message.top:
            message.top = position
        message.size += size
        self.held += size + OVERHEAD
        if self._owners is not None:
            self._index(message, position, tsn, payload)
        if position == 0:
            message.ppid = number
            message.first_tsn = tsn
        if position == following and message.torn is None:
            message.ready += size
            message.parts.append(payload)
            message.tsns.append(tsn)
            if message.later:
                _close_hole(message, following + 1)
        else:
            message.later[position] = payload
            message.later_tsns[position] = tsn
            if message.torn is not None:
                message.torn.add(position)
                if in_parts or len(message.later) == message.end + 1 - message.gone:
                    self._mend(message)
        if message.end >= 0 and message.gone + len(message.parts) > message.end:
            self._set_open(message, 0)
            if stream.unordered or message.mid == stream.next:
                self._take(stream, message)
                self._after(stream)
            return None
        if in_parts and self._flows(stream, message):
            self._flow(stream, message)
        self._measure(message)
        return None

    def _measure(self, message: _Message) -> None:
        """Whether an incomplete message has a hole, and what it is charged if it has none."""
        torn = message.torn
        whole = not message.later if torn is None else len(torn) == 1 and torn.first == message.gone
        charge = message.size + (len(message.parts) + len(message.later)) * OVERHEAD if whole else 0
        self._set_open(message, charge)

    def _mend(self, message: _Message) -> None:
        """Fragments kept by their position become a list again, if there is no hole."""
        torn = message.torn
        if torn is not None and len(torn) == 1 and torn.first == message.gone:
            message.torn = None
            _close_hole(message, message.gone)

    def _set_open(self, message: _Message, charge: int) -> None:
        self._open += charge - message.open
        message.open = charge

    def _flows(self, stream: _Stream, message: _Message) -> bool:
        """Whether an incomplete message gives a part now."""
        if message.gone:
            return message.ready > 0
        if message.ready < self._point or not message.ready or stream.sid not in self._wanted:
            return False
        return stream.sid not in self._given and (stream.unordered or message.mid == stream.next)

    def _flow(self, stream: _Stream, message: _Message) -> None:
        """Give what has come in order of an incomplete message."""
        self._given.add(stream.sid)
        data = self._release_parts(message)
        self._measure(message)
        mid = message.mid & MASK_32
        self._deliver_part(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data, False)

    def _take(self, stream: _Stream, message: _Message) -> None:
        """Deliver a complete message, or the last part of it."""
        begun = message.gone > 0
        data = self._release_parts(message)
        del stream.messages[message.mid]
        if not stream.unordered:
            stream.next = message.mid + 1
        if begun:
            self._given.discard(stream.sid)
            mid = message.mid & MASK_32
            self._deliver_part(stream.sid, mid, message.ppid, stream.unordered, message.first_tsn, data, True)
        else:
            self._hand_over(stream, message.mid, message.ppid, message.first_tsn, data)

    def _hand_over(self, stream: _Stream, mid: int, ppid: int, tsn: int, data: bytes) -> None:
        if stream.sid in self._wanted:
            self._deliver_part(stream.sid, mid & MASK_32, ppid, stream.unordered, tsn, data, True)
        else:
            self._deliver(stream.sid, mid & MASK_32, ppid, stream.unordered, tsn, data)

    def _after(self, stream: _Stream) -> None:
        """Something of a stream is over: deliver the messages that have waited for it."""
        if stream.unordered:
            if not stream.messages and not stream.skipped:
                self._unordered.pop(stream.sid, None)
            return
        while stream.messages:
            message = stream.messages.get(stream.next)
            if message is None:
                return
            if message.end < 0 or message.gone + len(message.parts) <= message.end:
                if self._flows(stream, message):
                    self._flow(stream, message)
                return
            self._take(stream, message)

    def _finish(self, stream: _Stream, last: int) -> None:
        """Deliver what is complete of the messages up to this MID, in order, and drop the rest."""
        order = stream.order
        if order is None:
            order = stream.order = list(stream.messages)
            heapify(order)
        while order and order[0] <= last:
            message = stream.messages.get(heappop(order))
            if message is None:
                continue
            if message.end >= 0 and message.gone + len(message.parts) > message.end:
                self._take(stream, message)
            else:
                self._drop(stream, message)

    def _drop(self, stream: _Stream, message: _Message) -> None:
        begun = message.gone > 0
        del stream.messages[message.mid]
        self._set_open(message, 0)
        self._release_parts(message)
        self.held -= message.size + len(message.later) * OVERHEAD
        self._forget(list(message.later_tsns.values()))
        if begun:
            self._given.discard(stream.sid)
            self.recipient.on_parts_aborted(stream.sid)

    def _release_parts(self, message: _Message) -> bytes:
        """Take out what is there in order; it is not held any more."""
        parts = message.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.held -= message.ready + len(parts) * OVERHEAD
        self._forget(message.tsns)
        message.gone += len(parts)
        message.size -= message.ready
        message.ready = 0
        message.parts = []
        message.tsns = []
        return data

    def _index(self, message: _Message, position: int, tsn: int, payload: bytes) -> None:
        owners = self._owners
        if owners is not None:
            self._record(tsn, payload)
            owners[tsn] = message
            self._places[tsn] = position

    def _forget(self, tsns: Sequence[int]) -> None:
        """These are held no longer."""
        owners = self._owners
        if owners is None:
            return
        if not self.held:
            self._owners = None
            self._places = {}
            self._chunks = {}
            self._largest = None
            return
        for tsn in tsns:
            del owners[tsn], self._places[tsn], self._chunks[tsn]

    def _give_up(self, tsn: int) -> None:
        """Let go of the largest TSN held, wherever it stands in its message."""
        owners = self._owners
        assert owners is not None  # `settle` was called
        message = owners.pop(tsn)
        position = self._places.pop(tsn)
        size = len(self._chunks.pop(tsn))
        self.held -= size + OVERHEAD
        message.size -= size
        if position == message.end:
            message.end = -1
        if position in message.later:
            del message.later[position], message.later_tsns[position]
            if message.torn is not None:
                message.torn.remove(position)
        elif position == message.gone + len(message.parts) - 1:
            message.parts.pop()
            message.tsns.pop()
            message.ready -= size
        else:
            _tear(message, position)
        self._measure(message)
        if not message.parts and not message.later and not message.gone:
            streams = self._unordered if message.unordered else self._ordered
            streams[message.sid].messages.pop(message.mid)


def _close_hole(message: _Message, position: int) -> None:
    """What was beyond a hole joins what is in order, as far as it follows it."""
    later = message.later
    while later:
        payload = later.pop(position, None)
        if payload is None:
            return
        message.parts.append(payload)
        message.tsns.append(message.later_tsns.pop(position))
        message.ready += len(payload)
        position += 1


def _tear(message: _Message, position: int) -> None:
    """A fragment in the middle goes, as its TSN is the largest: from now on all are kept by their position.

    Only a peer that doesn't assign TSNs in the order of fragments gets here. As the hole may open again and again, the
    fragments behind it are moved once, and not each time.
    """
    torn = Intervals()
    for number, payload in enumerate(message.parts):
        at = message.gone + number
        if at != position:
            message.later[at] = payload
            message.later_tsns[at] = message.tsns[number]
    for at in sorted(message.later):
        torn.add(at)
    message.torn = torn
    message.parts = []
    message.tsns = []
    message.ready = 0


def _violation(tsn: int, text: str) -> str:
    return f"I-DATA chunk with TSN {tsn & MASK_32}: {text}"
