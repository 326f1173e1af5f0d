"""What the sending side passes around: a message as it was written, the terms that hold for it, and a packet's worth of
data chunks as it was sent.

Which messages may be written is known to `handlers.data.submission`, how they become chunks to `send_queue`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, final

from ..checks import check_int, check_number
from ..wire.constants import (
    DATA_HEADER_SIZE,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    I_DATA,
    I_DATA_HEADER_SIZE,
    MASK_32,
)
from ..wire.octets import read_data

WHOLE: Final = FLAG_BEGIN | FLAG_END
#: In the flags of a message that was withdrawn from the middle of its stream, and stands there for nothing.
WITHDRAWN: Final = 1 << 8

#: The path of a message that takes the path of new data, whichever that is.
ANY_PATH: Final = -1
#: The key of a message that is authenticated with the active one, if it is to be authenticated at all (RFC 4895).
ANY_KEY: Final = -1
#: The TSN of a message that has not left completely.
NOT_SENT: Final = -1

# The states of a packet record, in an order that comparisons use: what is lost, and what the peer need not be sent.
IN_FLIGHT: Final = 0
LOST: Final = 1  # three times reported missing, to be sent again (section 7.2.4)
TIMED_OUT: Final = 2  # T3-rtx expired, to be sent again (section 6.3.3)
ACKED: Final = 3  # by a gap ack block, so it can be reneged on; or cumulatively, and then it is about to be forgotten
ABANDONED: Final = 4  # RFC 3758 section 3.5 A2: as if acknowledged, but for cwnd

#: Miss indications that mark a chunk for retransmission (section 7.2.4).
MISSES: Final = 3

# How long a message is worth sending (RFC 3758 section 4, RFC 7496 section 3).
RELIABLE: Final = 0
TIMED: Final = 1  # until an instant
LIMITED: Final = 2  # for so many retransmissions of each chunk
PRIORITY: Final = 3  # until the send buffer is full, and something more important comes

# The states of a message.
WAITING: Final = 0  # nothing of it has left
BEGUN: Final = 1
LEFT: Final = 2  # completely
DONE: Final = 3  # acknowledged, or abandoned

#: The options that say how long a message is worth sending, of which it has one at most.
_POLICIES: Final = ("lifetime", "max_retransmits", "priority")
#: The options of a message that is written in parts, and those of a whole one, beside its PPID and its order.
PARTS_OPTIONS: Final = frozenset(("lifetime", "max_retransmits", "context", "auth_key"))
SEND_OPTIONS: Final = PARTS_OPTIONS | {"priority", "sack_immediately", "path"}


def message_flags(unordered: bool, immediate: bool) -> int:
    """Return the flags of a message's DATA chunk when it needs one only."""
    return WHOLE | (FLAG_UNORDERED if unordered else 0) | (FLAG_IMMEDIATE if immediate else 0)


class OutboundMessage:
    """One user message, or a piece of one. There is one of these for every message, so it is lean.

    * `data` is never empty (section 3.3.1: a DATA chunk has user data), but for a message that was withdrawn.
    * `flags`: those of `message_flags`; a piece lacks the B bit, the E bit or both, as does what has WITHDRAWN.
    * `order`: its arrival number, set when it is queued.
    * `path_id`: the path that its user wants it to take (section 11.1.5), or ANY_PATH.
    * `tsn`: that of its last chunk, once that has left, or NOT_SENT.
    * `terms`: there only if it is to be told from others once it has left.
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

    @property
    def key_id(self) -> int:
        """The shared key that its packets are to be authenticated with, or ANY_KEY."""
        terms = self.terms
        return ANY_KEY if terms is None or terms.key is None else terms.key.key_id


@final
class KeyUse:
    """A shared key that messages name, and how many of them are neither acknowledged nor given up."""

    __slots__ = ("count", "key_id")

    def __init__(self, key_id: int) -> None:
        self.key_id = key_id
        self.count = 0


@final
class Terms:
    """What holds for one message beyond the plain, and its state.

    * `context` comes back in `SendFailed`; `watcher`, if any, is to hear what becomes of the message.
    * `policy`: RELIABLE, TIMED, LIMITED or PRIORITY. `bound`: the instant after which it is not sent, or the most
      retransmissions of a chunk, or its priority: the smaller, the more important.
    * `state`: WAITING to DONE; then `reason` says why it was given up, and is empty if it was acknowledged.
    * `number`: its SSN or MID, from BEGUN on.
    * `records`: its chunks that have left and are not cumulatively acknowledged, in order of TSN.
    * `transmissions`: the most that a chunk took which has been acknowledged; `path_id`: where the last of them went.
    * `pieces`: of a message written in parts, while nothing has left. `open`: there are more to come.
    * `key`: what its packets are to be authenticated with, if that is not the same for all.
    """

    __slots__ = (
        "bound",
        "context",
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
        "state",
        "transmissions",
        "watcher",
    )

    def __init__(self, context: object = None, policy: int = RELIABLE, bound: float = 0.0) -> None:
        self.context = context
        self.policy = policy
        self.bound = bound
        self.watcher: object = None
        self.key: KeyUse | None = None
        self.state = WAITING
        self.message: OutboundMessage | None = None
        self.number = 0
        self.reason = ""
        self.records: deque[SentPacket] = deque()
        self.transmissions = 0
        self.path_id = 0
        self.pieces: list[OutboundMessage] | None = None
        self.open = False
        self.order = 0  # of one that is written in parts

    @classmethod
    def from_options(cls, options: Mapping[str, Any], now: float) -> Terms:
        """Return the terms of a message that is written `now` with these options, of which others may be there as well:

        `context`, and one at most of `lifetime` (seconds), `max_retransmits` and `priority` (0 to 4294967295); None
        stands for none. `TypeError` or `ValueError` for what none of them can be.
        """
        terms = Terms(options.get("context"))
        given = [name for name in _POLICIES if options.get(name) is not None]
        if len(given) > 1:
            raise ValueError(f"a message can have one of {' and '.join(given)}, not several")
        for name in given:
            terms.policy = TIMED + _POLICIES.index(name)
            if name == "lifetime":
                terms.bound = now + check_number(name, options[name], 0)
            else:
                terms.bound = float(check_int(name, options[name], 0, MASK_32))
        return terms

    @property
    def is_plain(self) -> bool:
        """Whether they ask for nothing."""
        return self.policy == RELIABLE and self.context is None and self.key is None

    def finish(self, reason: str = "") -> None:
        """Note that the message is acknowledged, or abandoned for a reason: nothing of it is kept any more."""
        if self.key is not None and self.state != DONE:
            self.key.count -= 1
        self.state = DONE
        self.reason = reason
        self.message = None
        self.pieces = None
        self.open = False
        self.records.clear()


@final
class SentPacket:
    """Data chunks that left in one packet, whose TSNs are consecutive: what is acknowledged, lost and sent again
    together.

    * `len(body)` counts against cwnd (section 7.2.2), `user_bytes` against the peer's window.
    * `message`: that of which the last of several chunks is here, so that it can be given back: as acknowledgements are
      cumulative, it is the last to go. Each chunk of a message that has terms has a record of its own, with this.
    * `path_id`: where it was sent last; `is_ambiguous`: and elsewhere before, so that nobody knows by which path it has
      arrived.
    * `misses`: the miss indications that are counted for it alone, see `retransmission`; MISSES if it can't be fast
      retransmitted any more.
    """

    __slots__ = (
        "body",
        "first_tsn",
        "is_ambiguous",
        "last_tsn",
        "message",
        "misses",
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
        self.is_ambiguous = False
        self.misses = 0
        self.state = IN_FLIGHT

    @property
    def key_id(self) -> int:
        """The shared key that its packet is to be authenticated with, or ANY_KEY."""
        return ANY_KEY if self.message is None else self.message.key_id

    @property
    def terms(self) -> Terms | None:
        """Those of the message of its one chunk, if that has any."""
        return None if self.message is None else self.message.terms

    def first_beyond(self, space: int) -> int:
        """Return the TSN of the first chunk that does not fit into `space` bytes together with those before it."""
        at = 0
        for tsn in range(self.first_tsn, self.last_tsn + 1):
            at += (read_data(self.body, at)[1] + 3) & -4
            if at > space:
                return tsn
        return self.last_tsn + 1

    def cut(self, tsn: int) -> SentPacket:
        """Keep the chunks before `tsn`; return a record of those from it on."""
        body = self.body
        header_size = I_DATA_HEADER_SIZE if body[0] == I_DATA else DATA_HEADER_SIZE
        at = 0
        user_bytes = 0
        for _ in range(tsn - self.first_tsn):
            length = read_data(body, at)[1]
            user_bytes += length - header_size
            at += (length + 3) & -4
        rest = SentPacket(tsn, self.last_tsn, body[at:], self.user_bytes - user_bytes, self.path_id, self.sent_at)
        rest.transmissions = self.transmissions
        rest.is_ambiguous = self.is_ambiguous
        rest.misses = self.misses
        rest.state = self.state
        if self.message is not None and self.message.tsn >= tsn:
            rest.message = self.message
            self.message = None
        self.last_tsn = tsn - 1
        self.body = body[:at]
        self.user_bytes = user_bytes
        return rest

    def assign(self, chunks: list[tuple[int, OutboundMessage]]) -> list[SentPacket]:
        """Return the records that it takes to refer to the messages of these chunks, given by TSN in order."""
        records: list[SentPacket] = [self]
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
            record.message = message
            if message.terms is not None:
                message.terms.records.append(record)
        return records

    def acknowledge(self, terms: Terms) -> bool:
        """Note in its message's terms that it is acknowledged; return True if that completes a watched message."""
        terms.records.popleft()
        terms.path_id = self.path_id
        if self.transmissions > terms.transmissions:
            terms.transmissions = self.transmissions
        if terms.state != LEFT or terms.records:
            return False
        terms.finish()
        return terms.watcher is not None
