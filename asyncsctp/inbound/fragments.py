"""Fragments of I-DATA messages by message and position, and what they are charged (RFC 8260 section 2.1).

This is the store behind `idata_streams`. What has come of a message in order, up to the cumulative TSN, is one piece
that grows at its end, however many fragments it came in, and is kept until the message is delivered or dropped. All
else is *loose*: what lies beyond a hole of its message, or of the TSNs alone. It is found by its TSN, and can be given
up when room is needed, as long as it is above the cumulative TSN (RFC 9260 section 6.2). Whose turn a message is, the
store does not know.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final, final

from ..tables import NOTHING
from .reassembly import LOOSE, ReassemblyQueue, Recipient

_HEAP_SLACK: Final = 64

#: As the cumulative TSN: all is acknowledged that comes.
_ALL: Final = 1 << 60

#: What a message held is charged beside its data, until a part of it is given: from then on it is in `keeping`.
MESSAGE: Final = 512

#: What the ordered messages of a stream, or its unordered ones, take for as long as they are known, its place in
#: `aio.inbox` included.
_STREAM: Final = 256


@final
class Message:
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


@final
class Stream:
    """The ordered messages of a stream, or its unordered ones, of which something is held."""

    __slots__ = ("sid", "unordered", "next", "skipped", "messages", "order")

    def __init__(self, sid: int, unordered: bool, following: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.next = following  # the MID whose turn it is; of unordered messages, all below are over
        self.skipped = False  # whether fragments of messages that are over may come: they were abandoned
        self.messages: dict[int, Message] = NOTHING
        self.order: list[int] | None = None  # a heap of the MIDs, made when some are first skipped

    def begin(self, message: Message) -> None:
        """The first that is held of a message."""
        if not self.messages:
            self.messages = {}
        self.messages[message.mid] = message
        order = self.order
        if order is not None:
            if len(order) > 2 * len(self.messages) + _HEAP_SLACK:
                self.order = None
            else:
                heappush(order, message.mid)

    def end(self, mid: int) -> None:
        """Nothing is held any more of a message."""
        del self.messages[mid]
        if not self.messages:
            self.forget_all()

    def forget_all(self) -> None:
        """Nothing is held any more of any message."""
        self.messages = NOTHING
        self.order = None


class Fragments(ReassemblyQueue):
    """The fragments held, by stream, message and position."""

    __slots__ = (
        "_ordered",
        "_unordered",
        "_incomplete",
        "_under_way",
        "_owners",
        "_places",
        "_rising",
        "_doubts",
        "_doubtful",
        "promised",
        "acknowledged",
    )

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._ordered: dict[int, Stream] = {}
        self._unordered: dict[int, Stream] = {}  # those of which something is held, or was skipped
        self._incomplete = 0  # messages that are not complete
        self._under_way = 0  # bytes in the bodies of these
        #: By how much the window was once larger than it is: the peer may have begun as many messages as fitted that.
        self.promised = 0
        self._owners: dict[int, Message] = {}  # of the loose fragments, by their TSNs
        self._places: dict[int, int] = {}  # their positions
        self._rising: list[int] = []  # their TSNs as a heap; some may be loose no longer
        #: The cumulative TSN: what comes up to there is never given up. It is set before each `add`.
        self.acknowledged = _ALL
        # Incomplete messages behind which the next of their stream has begun, by their `until`; and a heap of these
        # numbers, some of which may be over.
        self._doubts: dict[int, Message] = {}
        self._doubtful: list[int] = []

    def keeping(self) -> int:
        """What it takes to know where each stream stands that the peer has used, or skipped messages of; and each
        message that is given in parts, one of a stream at most: to read them would not make that room free.
        """
        return (len(self._ordered) + len(self._unordered)) * _STREAM + len(self._given) * MESSAGE

    def recount(self) -> int:
        """What `held` should be."""
        deferred = self._deferral.chunks.values() if self._deferral is not None else ()
        held = sum([len(chunk.payload) + LOOSE for chunk in deferred])
        under_way = incomplete = loose = 0
        for streams in (self._ordered, self._unordered):
            for stream in streams.values():
                for message in stream.messages.values():
                    ready = len(message.body)
                    for position in range(message.joined, message.following):
                        ready += len(self._chunks[message.later[position]])
                    size = len(message.body) + sum([len(self._chunks[tsn]) for tsn in message.later.values()])
                    if (size, ready) != (message.size, message.ready) or message.following in message.later:
                        return -1
                    held += size + LOOSE * len(message.later) + (0 if message.given else MESSAGE)
                    loose += len(message.later)
                    if not message.is_complete:
                        under_way += len(message.body)
                        incomplete += 1
        agrees = (under_way, incomplete) == (self._under_way, self._incomplete)
        agrees = agrees and loose == len(self._owners) == len(self._places)
        agrees = agrees and len(self._chunks) == loose + len(deferred)
        return held if agrees else -1

    @property
    def is_scattered(self) -> bool:
        """Whether anything is loose."""
        return bool(self._rising)

    def acknowledge(self, cumulative_tsn: int) -> None:
        """All up to this TSN has come: what is in order of it is joined, and costs its bytes alone."""
        self.acknowledged = cumulative_tsn
        while self._rising and self._rising[0] <= cumulative_tsn:
            message = self._owners.get(heappop(self._rising))
            if message is not None:
                joined = self._join_loose(message)
                if not message.is_complete:
                    self._under_way += joined

    def _append(self, message: Message, payload: bytes) -> None:
        """The next fragment in order, all before it being joined; and the loose ones that follow it."""
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

    def _keep_loose(self, message: Message, position: int, tsn: int, payload: bytes) -> None:
        """A fragment beyond a hole."""
        if not message.later:
            message.later = {}
        message.later[position] = tsn
        message.size += len(payload)
        self.held += len(payload) + LOOSE
        self._record(tsn, payload)
        self._owners[tsn] = message
        self._places[tsn] = position
        if len(self._rising) > 2 * len(self._owners) + _HEAP_SLACK:
            self._rising = list(self._owners)
            heapify(self._rising)
        else:
            heappush(self._rising, tsn)
        if position == message.following:
            self._extend(message)

    def _extend(self, message: Message) -> None:
        """Count the loose fragments that follow what is in order."""
        later = message.later
        while message.following in later:
            message.ready += len(self._chunks[later[message.following]])
            message.following += 1

    def _join_loose(self, message: Message) -> int:
        """Append to the body the loose fragments that continue it, as far as they are acknowledged; their bytes."""
        before = len(message.body)
        while message.joined < message.following:
            tsn = message.later[message.joined]
            if tsn > self.acknowledged:
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
            self._owners = {}
            self._places = {}
            self._rising = []
            self._largest = None
        return payload

    def _give_up(self, tsn: int) -> None:
        """Let go of the loose fragment with the largest TSN."""
        if self._give_up_aside(tsn):
            return
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
            self._is_certain(message)
            streams = self._unordered if message.unordered else self._ordered
            streams[message.sid].end(message.mid)
            self.held -= MESSAGE
            self._incomplete -= 1

    def _doubt(self, message: Message, until: int) -> None:
        """The next message of its stream begins with this TSN."""
        message.until = until
        self._doubts[until] = message
        if len(self._doubtful) > 2 * len(self._doubts) + _HEAP_SLACK:
            self._doubtful = list(self._doubts)
            heapify(self._doubtful)
        else:
            heappush(self._doubtful, until)

    def _is_certain(self, message: Message) -> None:
        """Nothing of a message is missing any more, or it is dropped."""
        if message.until >= 0:
            del self._doubts[message.until]
            message.until = -1

    def _empty(self, message: Message) -> bytes:
        """Take out what is there in order."""
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

    def _forget(self, stream: Stream, message: Message) -> None:
        """Nothing is held any more of a message that is incomplete."""
        self._is_certain(message)
        stream.end(message.mid)
        self._incomplete -= 1
        self._under_way -= len(message.body)
        for tsn in message.later.values():
            self._take_loose(tsn)
        self.held -= message.size + LOOSE * len(message.later) + (0 if message.given else MESSAGE)
