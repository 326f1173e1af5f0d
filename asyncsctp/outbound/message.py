"""What the sending side passes around: a message as it was written, what was agreed on for it, and a packet's worth of
data chunks as it was sent."""

from __future__ import annotations

from collections import deque
from typing import Final, final

from ..wire.constants import (
    DATA_HEADER_SIZE,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    I_DATA,
    I_DATA_HEADER_SIZE,
)
from ..wire.octets import read_data

WHOLE: Final = FLAG_BEGIN | FLAG_END

#: A message that takes the path of new data, whichever that is.
ANY_PATH: Final = -1
#: The same of one that is not whole: a piece of a message that its user writes in parts.
PIECE: Final = -2
#: What is left in its stream of a message that was withdrawn from the middle of it.
WITHDRAWN: Final = -3

#: From here on: a message whose packets are authenticated with a key of its own (RFC 4895), on a path or on any.
KEYED: Final = 1 << 32

#: The TSN of a message that has not left completely.
NOT_SENT: Final = -1

# The states of a packet record, in an order that comparisons use: what is lost, and what the peer need not be sent.
IN_FLIGHT: Final = 0
LOST: Final = 1  # three times reported missing, to be sent again (section 7.2.4)
TIMED_OUT: Final = 2  # T3-rtx expired, to be sent again (section 6.3.3)
ACKED: Final = 3  # by a gap ack block, so it can be reneged on; or cumulatively, and then it is about to be forgotten
ABANDONED: Final = 4  # RFC 3758 section 3.5 A2: as if acknowledged, but for cwnd

# How long a message is worth sending (RFC 3758 section 4, RFC 7496 section 3).
RELIABLE: Final = 0
TIMED: Final = 1  # until an instant
LIMITED: Final = 2  # for so many retransmissions of each chunk
PRIORITY: Final = 3  # until the send buffer is full, and something more important comes

# What has become of a message.
WAITING: Final = 0  # nothing of it has left
BEGUN: Final = 1
LEFT: Final = 2  # completely
SETTLED: Final = 3  # acknowledged, or abandoned


def message_flags(unordered: bool, immediate: bool) -> int:
    """The flags of a message's DATA chunk when it needs one only."""
    return WHOLE | (FLAG_UNORDERED if unordered else 0) | (FLAG_IMMEDIATE if immediate else 0)


def lane(path_id: int, key_id: int) -> int:
    """What stands for a path, or ANY_PATH, where a message is authenticated with this key."""
    return KEYED | key_id << 16 | path_id + 1


def lane_path(path_id: int) -> int:
    """The path that a message wants, or ANY_PATH."""
    return path_id if path_id < KEYED else (path_id & 0xFFFF) - 1


def lane_key(path_id: int) -> int:
    """The key that a message wants, or -1."""
    return -1 if path_id < KEYED else path_id >> 16 & 0xFFFF


class OutboundMessage:
    """One user message, or a piece of one. There is one of these for every message, so it is lean.

    `data` is never empty (section 3.3.1: a DATA chunk has user data). `flags` are those of `message_flags`; a piece
    lacks the B bit, the E bit or both. `order` is its arrival number, set when it is queued. `path_id` is the path that
    its user wants it to take (section 11.1.5), if any, or a `lane`. `tsn` is that of its last chunk, once that has
    left. `terms` are there only if it is to be told from others once it has left.
    """

    __slots__ = ("data", "flags", "order", "path_id", "ppid", "sid", "terms", "tsn")

    def __init__(
        self,
        sid: int,
        data: bytes,
        ppid: int = 0,
        flags: int = WHOLE,
        terms: Terms | None = None,
        path_id: int = ANY_PATH,
    ) -> None:
        self.sid = sid
        self.data = data
        self.ppid = ppid
        self.flags = flags
        self.terms = terms
        self.path_id = path_id
        self.order = 0
        self.tsn = -1  # NOT_SENT


@final
class KeyUse:
    """A shared key that messages name, and how many of them are neither acknowledged nor given up."""

    __slots__ = ("count", "key_id")

    def __init__(self, key_id: int) -> None:
        self.key_id = key_id
        self.count = 0


@final
class Terms:
    """What holds for one message beyond the plain, and how it fares.

    * `context` comes back in `SendFailed`; `watcher`, if any, is to hear what becomes of the message.
    * `policy`: RELIABLE, TIMED, LIMITED or PRIORITY. `bound`: the instant after which it is not sent, or the most
      retransmissions of a chunk, or what it matters: the smaller, the more.
    * `fate`: WAITING to SETTLED; then `reason` says why it was given up, and is empty if it was acknowledged.
    * `number`: its SSN or MID, from BEGUN on.
    * `records`: its chunks that have left and are not cumulatively acknowledged, in order of TSN.
    * `transmissions`: the most that a chunk took which has been acknowledged; `path_id`: where the last of them went.
    * `pieces`: of a message written in parts, while nothing has left. `open`: there are more to come.
    * `key`: what its packets are to be authenticated with, if that is not the same for all.
    """

    __slots__ = (
        "bound",
        "context",
        "fate",
        "key",
        "message",
        "number",
        "open",
        "order",
        "path_id",
        "pieces",
        "policy",
        "reason",
        "records",
        "transmissions",
        "watcher",
    )

    def __init__(self, context: object = None, policy: int = RELIABLE, bound: float = 0.0) -> None:
        self.context = context
        self.policy = policy
        self.bound = bound
        self.watcher: object = None
        self.key: KeyUse | None = None
        self.fate = WAITING
        self.message: OutboundMessage | None = None
        self.number = 0
        self.reason = ""
        self.records: deque[PacketRecord] = deque()
        self.transmissions = 0
        self.path_id = 0
        self.pieces: list[OutboundMessage] | None = None
        self.open = False
        self.order = 0  # of one that is written in parts

    def settle(self, reason: str = "") -> None:
        """It is acknowledged, or abandoned for a reason: nothing of it is kept any more."""
        if self.key is not None and self.fate != SETTLED:
            self.key.count -= 1
        self.fate = SETTLED
        self.reason = reason
        self.message = None
        self.pieces = None
        self.open = False
        self.records.clear()


@final
class PacketRecord:
    """Data chunks that left in one packet, whose TSNs are consecutive: what is acknowledged, lost and sent again
    together.

    `len(body)` is what counts against cwnd (section 7.2.2), `user_bytes` what counts against the peer's window.
    `message`: that of which the last of several chunks is here, so that it can be given back: as acknowledgements are
    cumulative, it is the last to go. Each chunk of a message that has terms is named, and has a record of its own.
    `astray`: it was sent to several paths, so that nobody knows which of them it came along. `hurried`: it was sent
    again by a fast retransmit, which happens once (section 7.2.4).
    """

    __slots__ = (
        "astray",
        "body",
        "first_tsn",
        "hurried",
        "last_tsn",
        "message",
        "path_id",
        "sent_at",
        "state",
        "transmissions",
        "user_bytes",
    )

    def __init__(
        self, first_tsn: int, last_tsn: int, body: bytes, user_bytes: int, path_id: int, sent_at: float
    ) -> None:
        self.first_tsn = first_tsn
        self.last_tsn = last_tsn
        self.body = body
        self.user_bytes = user_bytes
        self.path_id = path_id
        self.sent_at = sent_at
        self.message: OutboundMessage | None = None
        self.transmissions = 1
        self.astray = False
        self.hurried = False
        self.state = IN_FLIGHT

    def key_id(self) -> int:
        """The key that its packet is to be authenticated with; -1 where any will do."""
        message = self.message
        if message is None or message.terms is None or message.terms.key is None:
            return -1
        return message.terms.key.key_id

    def first_beyond(self, room: int) -> int:
        """The TSN of the first chunk that `room` bytes can't take, with those before it."""
        at = 0
        for tsn in range(self.first_tsn, self.last_tsn + 1):
            at += (read_data(self.body, at)[1] + 3) & -4
            if at > room:
                return tsn
        return self.last_tsn + 1

    def cut(self, tsn: int) -> PacketRecord:
        """Make two of it: keep the chunks before `tsn`, return a record of those from it on."""
        body = self.body
        header_size = I_DATA_HEADER_SIZE if body[0] == I_DATA else DATA_HEADER_SIZE
        at = 0
        user_bytes = 0
        for _ in range(tsn - self.first_tsn):
            length = read_data(body, at)[1]
            user_bytes += length - header_size
            at += (length + 3) & -4
        rest = PacketRecord(tsn, self.last_tsn, body[at:], self.user_bytes - user_bytes, self.path_id, self.sent_at)
        rest.transmissions = self.transmissions
        rest.astray = self.astray
        rest.hurried = self.hurried
        rest.state = self.state
        if self.message is not None and self.message.tsn >= tsn:
            rest.message = self.message
            self.message = None
        self.last_tsn = tsn - 1
        self.body = body[:at]
        self.user_bytes = user_bytes
        return rest

    def carve(self, chunks: list[tuple[int, OutboundMessage]]) -> list[PacketRecord]:
        """As many records as it takes to name the messages of these chunks, which are given by TSN in order."""
        records: list[PacketRecord] = [self]
        for tsn, message in chunks:
            record = records[-1]
            if message.terms is None and record.message is None:
                record.message = message
                continue
            if tsn > record.first_tsn:
                record = record.cut(tsn)
                records.append(record)
            if tsn < record.last_tsn:
                records.append(record.cut(tsn + 1))
            record.of(message)
        return records

    def of(self, message: OutboundMessage) -> None:
        """Its one chunk is of this message."""
        self.message = message
        if message.terms is not None:
            message.terms.records.append(self)

    def land(self, message: OutboundMessage) -> Terms | None:
        """Its one chunk, of this message, is cumulatively acknowledged. The terms of a message that this completes, and
        that someone watches.
        """
        terms = message.terms
        if terms is None:
            return None
        terms.records.popleft()
        terms.path_id = self.path_id
        if self.transmissions > terms.transmissions:
            terms.transmissions = self.transmissions
        if terms.fate != LEFT or terms.records:
            return None
        terms.settle()
        return terms if terms.watcher is not None else None
