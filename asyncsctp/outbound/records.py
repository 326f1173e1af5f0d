"""The packets that were sent and are not done with, in order of TSN: finding, cutting and listing them.

Knows which TSNs a record has and which message a chunk belongs to. It deliberately does not know what the peer has said
of them: that is for `outstanding`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from ..wire.constants import DATA_HEADER_SIZE, FLAG_BEGIN, FLAG_UNORDERED, I_DATA, I_DATA_HEADER_SIZE, MASK_16, MASK_32
from ..wire.octets import read_data, read_i_data
from .message import ABANDONED, LEFT, NOT_SENT, WHOLE, OutboundMessage, PacketRecord, Terms

_last_tsn: Final = attrgetter("last_tsn")


class Records:
    """The records from `head` on; those before it are done with.

    `next_tsn` is that of the next chunk to be sent. `renumbered`: by stream, the first TSN since its numbers began
    anew, if what is outstanding may have one of the numbers before.
    """

    __slots__ = ("cumulative_tsn", "head", "next_tsn", "records", "renumbered")

    cumulative_tsn: int
    head: int
    next_tsn: int
    records: list[PacketRecord]
    renumbered: dict[int, int] | None

    def __bool__(self) -> bool:
        return self.head < len(self.records)

    def path_of(self, tsn: int) -> int:
        """The path to which this TSN was last sent, -1 if it is not outstanding."""
        record = self.records[self.index(tsn)] if self.cumulative_tsn < tsn < self.next_tsn else None
        return record.path_id if record is not None else -1

    def index(self, tsn: int) -> int:
        """Where the record with this TSN is, or the first one beyond it."""
        head = self.head
        if head == len(self.records) or tsn <= self.records[head].last_tsn:
            return head
        return bisect_left(self.records, tsn, head, key=_last_tsn)

    def cut_out(self, first: int, last: int) -> list[PacketRecord]:
        """The records of exactly these TSNs. One that sticks out, as not all its chunks were reported, is cut."""
        records = self.records
        start = self.index(first)
        if records[start].first_tsn < first:
            self.split(records[start], first)
            start += 1
        end = start
        while end < len(records) and records[end].last_tsn <= last:
            end += 1
        if end < len(records) and records[end].first_tsn <= last:
            self.split(records[end], last + 1)
            end += 1
        return records[start:end]

    def split(self, record: PacketRecord, tsn: int) -> None:
        """Make two records of one; `tsn` is the first of the second."""
        raise NotImplementedError

    def renumber(self, sids: Iterable[int]) -> None:
        """The numbers of these streams begin anew with the next TSN."""
        if self.next_tsn == self.cumulative_tsn + 1:
            self.renumbered = None
            return
        if self.renumbered is None:
            self.renumbered = {}
        for sid in sids:
            self.renumbered[sid] = self.next_tsn

    def stand_for_rest(self, message: OutboundMessage | None) -> None:
        """The next TSN stands for what will not leave of this message."""
        rest = PacketRecord(self.next_tsn, self.next_tsn, b"", 0, 0, 0.0)
        rest.message = message
        rest.state = ABANDONED
        self.records.append(rest)
        self.next_tsn += 1

    def attach(self, message: OutboundMessage, terms: Terms, number: int = -1) -> bool:
        """Give terms to a message that has left without, or a part of it has; false if it is acknowledged already.

        `number` is the SSN or MID of one of which only a part has left.
        """
        last_tsn = message.tsn
        if last_tsn == NOT_SENT:
            last_tsn = self.next_tsn - 1
        elif last_tsn <= self.cumulative_tsn:
            return False
        else:
            terms.fate = LEFT
        message.terms = terms
        terms.message = message
        key = number
        if number >= 0:
            key = (message.sid << 3 | message.flags & FLAG_UNORDERED) << 32 | number & MASK_32
        for tsn in range(last_tsn, self.cumulative_tsn, -1):
            record = self.records[self.index(tsn)]
            if not record.body:
                continue
            flags, chunk_key = _identify(record, tsn)
            if key < 0:
                key = chunk_key
            if chunk_key == key:
                record = self.cut_out(tsn, tsn)[0]
                record.message = message
                terms.records.appendleft(record)
                if flags & FLAG_BEGIN:
                    break
        terms.number = key & MASK_32
        return True


def unacknowledged(records: list[PacketRecord]) -> list[OutboundMessage]:
    """The messages in these records that have left completely: as they were written, or recovered from their one chunk.

    What a gap ack block acknowledged is among them: it may wait for its turn for ever, or be discarded (section 6.2.1).
    """
    messages: dict[OutboundMessage, None] = {}
    for record in records:
        if record.state == ABANDONED:
            continue
        at = 0
        for tsn in range(record.first_tsn, record.last_tsn + 1):
            flags, length, _, key, ppid = read_data(record.body, at)
            message = record.message
            if message is not None and tsn == message.tsn:
                messages[message] = None
            elif flags & WHOLE == WHOLE:
                start = at + DATA_HEADER_SIZE
                if flags >> 8 == I_DATA:
                    _, _, _, sid, _, ppid = read_i_data(record.body, at)
                    key = sid << 16
                    start = at + I_DATA_HEADER_SIZE
                data = record.body[start : at + length]
                messages[OutboundMessage(key >> 16, data, ppid, flags & (WHOLE | FLAG_UNORDERED))] = None
            at += (length + 3) & -4
    return list(messages)


def _identify(record: PacketRecord, tsn: int) -> tuple[int, int]:
    """A chunk's flags, and what it has in common with the others of its message: stream, order and SSN or MID."""
    at = 0
    for _ in range(tsn - record.first_tsn):
        at += (read_data(record.body, at)[1] + 3) & -4
    flags, _, _, key, _ = read_data(record.body, at)
    unordered = flags & FLAG_UNORDERED
    if flags >> 8 == I_DATA:
        _, _, _, sid, mid, _ = read_i_data(record.body, at)
        return flags, (sid << 3 | unordered) << 32 | mid
    return flags, (key >> 16 << 3 | unordered) << 32 | key & MASK_16
