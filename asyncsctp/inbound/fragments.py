"""Fragments of I-DATA messages by message and position, and what they are charged (RFC 8260 section 2.1).

This is the store behind `idata_streams`: it finds a chunk by its TSN when room is needed, and knows which messages lack
nothing but what may not have been sent yet. Whose turn it is, it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappush
from typing import Final, final

from ..wire.constants import MASK_32
from .intervals import Intervals
from .reassembly import OVERHEAD, ReassemblyQueue, Recipient

__all__ = ["HALF", "Fragments", "Message", "Stream", "close_hole"]

HALF: Final = 1 << 31
_HEAP_SLACK: Final = 64


@final
class Message:
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
class Stream:
    """The ordered messages of a stream, or its unordered ones, of which something is held."""

    __slots__ = ("sid", "unordered", "next", "skipped", "messages", "order")

    def __init__(self, sid: int, unordered: bool, following: int) -> None:
        self.sid = sid
        self.unordered = unordered
        self.next = following  # the MID whose turn it is; of unordered messages, all below are over
        self.skipped = False  # whether fragments of messages that are over may come: they were abandoned
        self.messages: dict[int, Message] = {}
        self.order: list[int] | None = None  # a heap of the MIDs, made when some are first skipped

    def unwrap(self, wire_mid: int) -> int:
        """The MID with its high bits, at most half of all MIDs from the next one."""
        return self.next + ((wire_mid - self.next + HALF) & MASK_32) - HALF

    def begin(self, mid: int) -> Message:
        """A message of which nothing is held yet."""
        message = self.messages[mid] = Message(self.sid, self.unordered, mid)
        order = self.order
        if order is not None:
            if len(order) > 2 * len(self.messages) + _HEAP_SLACK:
                self.order = None
            else:
                heappush(order, mid)
        return message


class Fragments(ReassemblyQueue):
    """The fragments held, by stream, message and position."""

    __slots__ = ("_ordered", "_unordered", "_open", "_owners", "_places")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        super().__init__(recipient, max_message_size)
        self._ordered: dict[int, Stream] = {}
        self._unordered: dict[int, Stream] = {}  # those of which something is held, or was skipped
        self._open = 0  # the sum over the messages
        # Where the chunks held are, by TSN, from when room is first asked for until nothing is held.
        self._owners: dict[int, Message] | None = None
        self._places: dict[int, int] = {}

    def recount(self) -> int:
        """What `held` should be."""
        deferred = self._deferral.chunks.values() if self._deferral is not None else ()
        held = sum([len(chunk.payload) + OVERHEAD for chunk in deferred])
        open_ = 0
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

    def _measure(self, message: Message) -> None:
        """Whether an incomplete message has a hole, and what it is charged if it has none."""
        torn = message.torn
        whole = not message.later if torn is None else len(torn) == 1 and torn.first == message.gone
        charge = message.size + (len(message.parts) + len(message.later)) * OVERHEAD if whole else 0
        self._set_open(message, charge)

    def _set_open(self, message: Message, charge: int) -> None:
        self._open += charge - message.open
        message.open = charge

    def _mend(self, message: Message) -> None:
        """Fragments kept by their position become a list again, if there is no hole."""
        torn = message.torn
        if torn is not None and len(torn) == 1 and torn.first == message.gone:
            message.torn = None
            close_hole(message, message.gone)

    def _release_parts(self, message: Message) -> bytes:
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

    def _index(self, message: Message, position: int, tsn: int, payload: bytes) -> None:
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
        if self._give_up_aside(tsn):
            return
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


def close_hole(message: Message, position: int) -> None:
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


def _tear(message: Message, position: int) -> None:
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
