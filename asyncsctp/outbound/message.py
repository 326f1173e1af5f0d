"""What the sending side passes around: a message as it was written, and a packet's worth of DATA chunks as it was
sent."""

from __future__ import annotations

from typing import Final, final

from ..wire.constants import DATA_HEADER_SIZE, FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE, FLAG_UNORDERED
from ..wire.octets import read_data

WHOLE: Final = FLAG_BEGIN | FLAG_END

#: A message that takes the path of new data, whichever that is.
ANY_PATH: Final = -1

# The states of a packet record.
IN_FLIGHT: Final = 0
ACKED: Final = 1  # by a gap ack block, so it can be reneged on; or cumulatively, and then it is about to be forgotten
LOST: Final = 2  # three times reported missing, to be sent again (section 7.2.4)
TIMED_OUT: Final = 3  # T3-rtx expired, to be sent again (section 6.3.3)


def message_flags(unordered: bool, immediate: bool) -> int:
    """The flags of a message's DATA chunk when it needs one only."""
    return WHOLE | (FLAG_UNORDERED if unordered else 0) | (FLAG_IMMEDIATE if immediate else 0)


@final
class OutboundMessage:
    """One user message. How much of it was sent is known to its stream; there is one of these for every message, so it
    is lean.

    `data` is never empty (section 3.3.1: a DATA chunk has user data). `flags` are those of `message_flags`.
    A `context` that is not None makes the message be remembered until the peer has acknowledged all of it.
    `order` is its arrival number, set when it is queued. `path_id` is the path that its user wants it to take
    (section 11.1.5), if any.
    """

    order: int

    __slots__ = ("context", "data", "flags", "order", "path_id", "ppid", "sid")

    def __init__(
        self, sid: int, data: bytes, ppid: int = 0, flags: int = WHOLE, context: object = None, path_id: int = ANY_PATH
    ) -> None:
        self.sid = sid
        self.data = data
        self.ppid = ppid
        self.flags = flags
        self.context = context
        self.path_id = path_id


@final
class PacketRecord:
    """The DATA chunks that left in one packet, whose TSNs are consecutive: what is acknowledged, lost and sent again
    together.

    `len(body)` is what counts against cwnd (section 7.2.2), `user_bytes` what counts against the peer's window.
    """

    __slots__ = ("body", "first_tsn", "last_tsn", "path_id", "sent_at", "state", "transmissions", "user_bytes")

    def __init__(
        self, first_tsn: int, last_tsn: int, body: bytes, user_bytes: int, path_id: int, sent_at: float
    ) -> None:
        self.first_tsn = first_tsn
        self.last_tsn = last_tsn
        self.body = body
        self.user_bytes = user_bytes
        self.path_id = path_id
        self.sent_at = sent_at
        self.transmissions = 1
        self.state = IN_FLIGHT

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
        at = 0
        user_bytes = 0
        for _ in range(tsn - self.first_tsn):
            length = read_data(body, at)[1]
            user_bytes += length - DATA_HEADER_SIZE
            at += (length + 3) & -4
        rest = PacketRecord(tsn, self.last_tsn, body[at:], self.user_bytes - user_bytes, self.path_id, self.sent_at)
        rest.transmissions = self.transmissions
        rest.state = self.state
        self.last_tsn = tsn - 1
        self.body = body[:at]
        self.user_bytes = user_bytes
        return rest
