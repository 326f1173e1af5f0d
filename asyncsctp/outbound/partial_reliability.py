"""Which messages are given up, and when (RFC 3758 sections 3.5 and 4, RFC 7496 section 3).

Knows the policies, and how to take a message out of the send queue and of what is outstanding at once. Timers, and the
chunk that tells the peer of it, are in `handlers.data.abandonment`.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, final

from ..wire.constants import FLAG_UNORDERED
from .message import (
    ABANDONED,
    ACKED,
    BEGUN,
    DONE,
    LEFT,
    LIMITED,
    LOST,
    PRIORITY,
    TIMED,
    TIMED_OUT,
    WAITING,
    SentPacket,
    Terms,
)
from .outstanding import OutstandingQueue
from .send_queue import SendQueue

_FEW: Final = 64


@final
class _Heap:
    """Messages by what bounds them. Those that are done are dropped when they come up, or before they are many."""

    __slots__ = ("_entries", "_limit")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Terms]] = []
        self._limit = _FEW

    def push(self, key: float, order: int, terms: Terms) -> None:
        entries = self._entries
        if len(entries) >= self._limit:
            entries = self._entries = [entry for entry in entries if entry[2].state != DONE]
            heapify(entries)
            self._limit = max(2 * len(entries), _FEW)
        heappush(entries, (key, order, terms))

    def first(self) -> Terms | None:
        """Return the one with the smallest key, or None."""
        entries = self._entries
        while entries:
            if entries[0][2].state != DONE:
                return entries[0][2]
            heappop(entries)
        return None

    def pop(self) -> None:
        heappop(self._entries)


@final
class PartialReliability:
    """The messages of one association that have a policy."""

    __slots__ = ("_advanced_tsn", "_deadlines", "_leaving", "_outstanding", "_priorities", "_queue", "abandoned")

    def __init__(self, queue: SendQueue, outstanding: OutstandingQueue) -> None:
        self._queue = queue
        self._outstanding = outstanding
        self._advanced_tsn = outstanding.cumulative_tsn
        self._deadlines = _Heap()
        self._priorities = _Heap()
        self._leaving = _Heap()  # the same, where it is known that they have begun to leave
        #: RFC 7496 section 4.3: by stream and policy, how many messages were abandoned before and after they had begun
        #: to leave.
        self.abandoned: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, terms: Terms, order: int) -> None:
        """Look after a message with a policy that has been queued as the `order`-th."""
        if terms.policy == TIMED:
            self._deadlines.push(terms.bound, order, terms)
        elif terms.policy == PRIORITY:
            self._priorities.push(-terms.bound, order, terms)

    # RFC 3758 section 3.5.

    def advance_peer_ack_point(self) -> int:
        """Move the Advanced.Peer.Ack.Point on over abandoned chunks (C1, C2), and return it."""
        outstanding = self._outstanding
        if outstanding.cumulative_tsn > self._advanced_tsn:
            self._advanced_tsn = outstanding.cumulative_tsn
        records = outstanding.records
        for index in range(outstanding.index(self._advanced_tsn + 1), len(records)):
            record = records[index]
            if record.state != ABANDONED:
                break
            self._advanced_tsn = record.last_tsn
        return self._advanced_tsn

    def skipped(self, most: int) -> tuple[int, dict[tuple[int, bool], int]]:
        """Return the new cumulative TSN to tell (C4), and by stream and `unordered` the highest number that it skips.

        There are at most so many entries; the TSN is lowered to where they end.
        """
        outstanding = self._outstanding
        numbers: dict[tuple[int, bool], int] = {}
        point = outstanding.cumulative_tsn
        renumbered = outstanding.renumbered
        for index in range(outstanding.head, len(outstanding.records)):
            record = outstanding.records[index]
            message = record.message
            if record.first_tsn > self._advanced_tsn or message is None or message.terms is None:
                break
            if renumbered is not None and record.first_tsn < renumbered.get(message.sid, 0):
                # The peer has reset the stream, so it has this TSN: its number would skip one that is still to come.
                point = record.last_tsn
                continue
            key = (message.sid, message.flags & FLAG_UNORDERED != 0)
            if key not in numbers and len(numbers) == most:
                break
            numbers[key] = message.terms.number
            point = record.last_tsn
        return point, numbers

    # The policies.

    @property
    def next_deadline(self) -> float:
        """The instant at which the next lifetime is over; infinity without any."""
        terms = self._deadlines.first()
        return inf if terms is None else terms.bound

    def expired(self, now: float) -> list[Terms]:
        """Return the messages to abandon whose lifetime is over.

        One that has left completely, and is not known to be lost, is not among them: section 4.1 looks at the lifetime
        before each transmission, and there may be none.
        """
        found: list[Terms] = []
        while (terms := self._deadlines.first()) is not None and terms.bound <= now:
            self._deadlines.pop()
            if terms.state != LEFT or _is_lost(terms):
                found.append(terms)
        return found

    def doubtful(self, records: list[SentPacket], now: float) -> list[Terms]:
        """Return the messages to abandon, of those of which a chunk would have to be sent again."""
        found: list[Terms] = []
        known: set[Terms] = set()
        for record in records:
            terms = record.terms
            if terms is None or terms.state == DONE or terms in known or record.state not in (LOST, TIMED_OUT):
                continue
            is_late = terms.policy == TIMED and terms.bound <= now
            if is_late or (terms.policy == LIMITED and record.transmissions > terms.bound):
                known.add(terms)
                found.append(terms)
        return found

    def least_important(self, than: float) -> Terms | None:
        """Return the least important message, if it is less important than `than` (RFC 7496 section 3.2).

        Of those with the same priority it is one of which nothing has left, if there is any; never one that the peer is
        known to have, of which nothing but an acknowledgement is missing.
        """
        while (waiting := self._priorities.first()) is not None and waiting.state != WAITING:
            order = waiting.message.order if waiting.message is not None else 0
            self._priorities.pop()
            self._leaving.push(-waiting.bound, order, waiting)
        while (leaving := self._leaving.first()) is not None and _has_arrived(leaving):
            self._leaving.pop()
        terms = waiting
        if leaving is not None and (waiting is None or leaving.bound > waiting.bound):
            terms = leaving
        return terms if terms is not None and terms.bound > than else None

    def abandon(self, terms: Terms, policy: int, reason: str) -> tuple[int, list[int]]:
        """Give a message up, whole, wherever its chunks are. `policy` is what it is counted under.

        Return how many user bytes leave the send buffer, and the paths whose earliest outstanding data was abandoned.
        """
        queue = self._queue
        message = terms.message
        sid = message.sid if message is not None else 0
        sent = terms.state != WAITING
        before = self._outstanding.user_bytes
        released = queue.withdraw(terms) if terms.state in (WAITING, BEGUN) else 0
        paths = self._outstanding.abandon(terms) if sent else []
        released += before - self._outstanding.user_bytes
        unsent_count, sent_count = self.abandoned.get((sid, policy), (0, 0))
        self.abandoned[sid, policy] = (unsent_count, sent_count + 1) if sent else (unsent_count + 1, sent_count)
        terms.finish(reason)
        return released, paths


def _has_arrived(terms: Terms) -> bool:
    return terms.state == LEFT and all(record.state == ACKED for record in terms.records)


def _is_lost(terms: Terms) -> bool:
    return any(record.state in (LOST, TIMED_OUT) for record in terms.records)
