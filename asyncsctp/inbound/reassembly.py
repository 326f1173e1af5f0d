"""The chunks that wait for others, and what they cost: the ledger behind the receiver window (RFC 9260 section 6.2).

A reassembly queue holds fragments of messages that are not complete, and messages whose turn in their stream has not
come. What it holds is charged, with an overhead for each chunk, so that small chunks can't take more memory than the
window says. It deliberately does not know which chunks make a message and whose turn it is: that differs between DATA
(`data_streams`) and I-DATA. Nor does it know the window: the caller compares, and asks for room when there is none.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from mypy_extensions import mypyc_attr

from ..wire.constants import MASK_32
from .data_tracker import DataTracker

__all__ = ["OVERHEAD", "SMALLEST_CHARGE", "Recipient", "ReassemblyQueue"]

#: What a chunk held is charged beside its user data: bookkeeping takes less for a fragment, more for a waiting message.
OVERHEAD: Final = 128

#: What a message that is not yet read is charged at the least, so that a window full of tiny ones stays affordable.
SMALLEST_CHARGE: Final = 64

_HEAP_SLACK: Final = 64


@mypyc_attr(allow_interpreted_subclasses=True)
class Recipient:
    """Who gets the messages."""

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """A complete message, in its turn; `tsn` is that of its first chunk. Numbers are as on the wire."""
        raise NotImplementedError


class ReassemblyQueue:
    """Chunks held by their TSN. A subclass says what they belong to: `add`, `_give_up`, `in_progress`."""

    __slots__ = ("held", "recipient", "unread", "delivered", "_max_message_size", "_chunks", "_largest")

    def __init__(self, recipient: Recipient, max_message_size: int) -> None:
        #: Bytes held, each chunk with its `OVERHEAD`.
        self.held = 0
        #: Bytes delivered and not yet read, each message with `SMALLEST_CHARGE` or more.
        self.unread = 0
        #: How many messages were delivered.
        self.delivered = 0
        self.recipient = recipient
        self._max_message_size = max_message_size
        self._chunks: dict[int, bytes] = {}
        # The TSNs held, negated, as a heap: made when room is first asked for. Some may be held no longer.
        self._largest: list[int] | None = None

    def add(self, tsn: int, flags: int, sid: int, number: int, ppid: int, payload: bytes) -> str | None:
        """Take in a chunk that is new; complete messages whose turn it is are delivered before this returns.

        `number` is the SSN (of I-DATA the MID), and `ppid` is what stands in its place. A text says how the chunk
        violates the protocol, and the association can't go on.
        """
        raise NotImplementedError

    def in_progress(self, cumulative_tsn: int) -> int:
        """What the incomplete message that ends at the cumulative TSN is charged; 0 if there is none.

        No retransmission will complete such a message, only new data: a window closed on its account would never open.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """All that is held is to be found by its TSN, however it was kept."""

    def limit_messages(self, max_message_size: int) -> None:
        """Set the longest message that is accepted."""
        self._max_message_size = max_message_size

    def reset(self) -> None:
        """Give up all that is held (the peer has restarted)."""
        self.held = 0
        self._chunks = {}
        self._largest = None

    def make_room(self, tracker: DataTracker, tsn: int, wanted: int) -> bool:
        """Free so many bytes for a new TSN, which `tracker.classify` gave; false if it is to be refused.

        Section 6.2: without a window, a TSN above the largest received MUST be dropped; for one below, the largest TSN
        held SHOULD be. Several are, if the largest is smaller than what comes. What is given up is forgotten by the
        tracker; it is above `tsn`, and so above the cumulative TSN.
        """
        if tsn > tracker.highest_tsn:
            return False
        self.settle()
        goal = self.held - wanted
        while self.held > goal:
            largest = self._largest_held()
            if largest < tsn:
                return False
            self._give_up(largest)
            tracker.forget(largest)
        return True

    def _deliver(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        size = len(data)
        self.unread += size if size > SMALLEST_CHARGE else SMALLEST_CHARGE
        self.delivered += 1
        self.recipient.on_message(sid, ssn, ppid, unordered, tsn & MASK_32, data)

    def _hold(self, tsn: int, payload: bytes) -> None:
        self._chunks[tsn] = payload
        self.held += len(payload) + OVERHEAD
        largest = self._largest
        if largest is not None:
            if len(largest) > 2 * len(self._chunks) + _HEAP_SLACK:
                self._largest = None
            else:
                heappush(largest, -tsn)

    def _release(self, first: int, last: int) -> bytes:
        """Take the chunks of a message out, and join them."""
        chunks = self._chunks
        data = chunks.pop(first) if first == last else b"".join([chunks.pop(tsn) for tsn in range(first, last + 1)])
        self.held -= len(data) + (last - first + 1) * OVERHEAD
        return data

    def _largest_held(self) -> int:
        heap = self._largest
        if heap is None:
            self._largest = heap = [-tsn for tsn in self._chunks]
            heapify(heap)
        while heap:
            if -heap[0] in self._chunks:
                return -heap[0]
            heappop(heap)
        return -1

    def _give_up(self, tsn: int) -> None:
        """Let go of a chunk, the largest held, as if it had not come."""
        raise NotImplementedError
