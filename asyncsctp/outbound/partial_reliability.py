"""Partial reliability: which messages are given up, and when (RFC 3758 section 4, RFC 7496 section 3), and what the
sender does then (RFC 3758 section 3.5):

* A1: the Advanced.Peer.Ack.Point, how far the peer need not wait for anything.
* A2 and A3: all chunks of a message are abandoned together, as if they were acknowledged (`abandon`).
* A4: each SACK moves the point (C1, C2, `advance_peer_ack_point`). If it is above the cumulative TSN a FORWARD TSN is
  due (C3, `forward_tsn_due`), which says what of which stream is skipped (C4, `forward_tsn`).
* C5 and A5: while the peer has not answered it (`is_unanswered`) a timer runs, and its end sends it again. This is not
  a path's T3-rtx, which runs for data, but one of its own, with the RTO of the path that the chunk took; it is started
  in `handlers.data.abandonment`, which also sends the chunk, and tells the user.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, final

from ..wire.constants import FLAG_UNORDERED, MASK_16, MASK_32
from ..wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
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
_FIXED_SIZE: Final = 8  # of both chunks; each entry adds 4 bytes, or 8


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
    """The messages of one association that have a policy.

    * `forward_tsn_due`: the peer is to be told of what it need not wait for (C3).
    * `told_tsn`: the Advanced.Peer.Ack.Point that the peer was last told, -1 before.
    * `abandoned`: by stream and policy, how many messages were abandoned before and after they had begun to leave (RFC
      7496 section 4.3).
    """

    __slots__ = (
        "_advanced_tsn",
        "_deadlines",
        "_leaving",
        "_outstanding",
        "_priorities",
        "_queue",
        "abandoned",
        "forward_tsn_due",
        "told_tsn",
    )

    def __init__(self, queue: SendQueue, outstanding: OutstandingQueue) -> None:
        self._queue = queue
        self._outstanding = outstanding
        self._advanced_tsn = outstanding.cumulative_tsn
        self._deadlines = _Heap()
        self._priorities = _Heap()
        self._leaving = _Heap()  # the same, where it is known that they have begun to leave
        self.forward_tsn_due = False
        self.told_tsn = -1
        self.abandoned: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, terms: Terms, order: int) -> None:
        """Look after a message with a policy that has been queued as the `order`-th."""
        if terms.policy == TIMED:
            self._deadlines.push(terms.bound, order, terms)
        elif terms.policy == PRIORITY:
            self._priorities.push(-terms.bound, order, terms)

    # What the sender does (RFC 3758 section 3.5).

    def abandon(self, terms: Terms, policy: int, reason: str) -> tuple[int, set[int]]:
        """Give a message up, whole, wherever its chunks are (A2, A3). `policy` is what it is counted under.

        Return how many user bytes leave the send buffer, and the paths whose earliest outstanding data was abandoned.
        """
        outstanding = self._outstanding
        sid = terms.message.sid if terms.message is not None else 0
        sent = terms.state != WAITING
        before = outstanding.user_bytes
        released = self._queue.withdraw(terms) if terms.state in (WAITING, BEGUN) else 0
        paths = {record.path_id for record in terms.records if outstanding.abandon(record)}
        released += before - outstanding.user_bytes
        if terms.state == BEGUN:
            outstanding.abandon_rest(terms.message)
        unsent_count, sent_count = self.abandoned.get((sid, policy), (0, 0))
        self.abandoned[sid, policy] = (unsent_count, sent_count + 1) if sent else (unsent_count + 1, sent_count)
        terms.finish(reason)
        if sent:
            self.advance_peer_ack_point()
        return released, paths

    def advance_peer_ack_point(self) -> int:
        """Move the Advanced.Peer.Ack.Point on over abandoned chunks (C1, C2), see if that is news (C3); return it."""
        outstanding = self._outstanding
        if outstanding.cumulative_tsn > self._advanced_tsn:
            self._advanced_tsn = outstanding.cumulative_tsn
        records = outstanding.records
        for index in range(outstanding.index(self._advanced_tsn + 1), len(records)):
            record = records[index]
            if record.state != ABANDONED:
                break
            self._advanced_tsn = record.last_tsn
        if self._advanced_tsn > max(outstanding.cumulative_tsn, self.told_tsn):
            self.forward_tsn_due = True
        return self._advanced_tsn

    @property
    def is_unanswered(self) -> bool:
        """Whether the peer has not yet acknowledged what it was last told to skip (C5)."""
        return self.told_tsn > self._outstanding.cumulative_tsn

    def forward_tsn(self, space: int, interleaving: bool) -> bytes:
        """Return the FORWARD TSN, or I-FORWARD-TSN, to send, of at most `space` bytes (C4); nothing if none is due.

        It has by stream, and by order, the highest number that it skips; the TSN is lowered to what fits.
        """
        self.forward_tsn_due = False
        outstanding = self._outstanding
        most = (space - _FIXED_SIZE) // (8 if interleaving else 4)
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
        if point <= outstanding.cumulative_tsn:
            return b""
        self.told_tsn = point
        if interleaving:
            entries = [(sid, unordered, mid & MASK_32) for (sid, unordered), mid in numbers.items()]
            return pack_i_forward_tsn(point & MASK_32, entries)
        ordered = [(sid, ssn & MASK_16) for (sid, unordered), ssn in numbers.items() if not unordered]
        return pack_forward_tsn(point & MASK_32, ordered)

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
            if terms.state != LEFT or any(record.state in (LOST, TIMED_OUT) for record in terms.records):
                found.append(terms)
        return found

    def doubtful(self, records: list[SentPacket], now: float) -> list[Terms]:
        """Return the messages to abandon, of those of which a chunk would have to be sent again."""
        found: dict[Terms, None] = {}
        for record in records:
            terms = record.terms
            if terms is None or terms.state == DONE or record.state not in (LOST, TIMED_OUT):
                continue
            is_late = terms.policy == TIMED and terms.bound <= now
            if is_late or (terms.policy == LIMITED and record.transmissions > terms.bound):
                found[terms] = None
        return list(found)

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


def _has_arrived(terms: Terms) -> bool:
    return terms.state == LEFT and all(record.state == ACKED for record in terms.records)
