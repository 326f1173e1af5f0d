"""What the user writes, on its way into the send queue: what is allowed, and on which terms (RFC 9260 section 11.1.5,
RFC 3758 section 4, RFC 7496 section 3, RFC 6458 section 8.1.26).

Checks messages, and knows what was negotiated for them. What becomes of them afterwards is in `sender` and
`abandonment`, what their options mean in `outbound.message`.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

from ...checks import check_int
from ...errors import MessageAbandoned, MessageTooLarge
from ...outbound.message import BEGUN, DONE, NOT_SENT, PRIORITY, RELIABLE, WAITING, OutboundMessage, Terms
from ...wire.constants import MASK_32
from ..context import Context
from ..setup.negotiation import Setup
from .abandonment import Abandonment
from .sender import Sender

_LOST: Final = "the peer restarted the association"
_MOST_RESTARTS: Final = 15
_OPTIONS: Final = "a lifetime, a limit of retransmissions or a priority"


@final
class Submission:
    """The way in for messages."""

    __slots__ = (
        "_context",
        "_is_cautious",
        "_lost",
        "_queue",
        "_setup",
        "_sender",
        "max_message_size",
        "outgoing_streams",
    )

    def __init__(self, context: Context, sender: Sender, setup: Setup, before: Submission | None = None) -> None:
        self._context = context
        self._sender = sender
        self._queue = sender.queue
        self._setup = setup
        self.outgoing_streams = setup.outgoing_streams
        self.max_message_size = context.config.max_message_size
        #: What was sent and not acknowledged when the peer restarted the association: the cumulative TSN, and the next.
        self._lost: tuple[tuple[int, int], ...] = () if before is None else before._lost
        self._is_cautious = False  # messages have terms, or are written in parts: each is looked at

    def send(self, message: OutboundMessage) -> None:
        """Queue a message. `ValueError` for one that can't be sent; `MessageTooLarge`; `RuntimeError` while another one
        is being written to its stream in parts.
        """
        self._check(message.sid, message.ppid, len(message.data))
        if message.terms is not None or self._is_cautious:
            self._admit(message, message.terms)
        else:
            self._queue.push(message)
        self._context.statistics.messages_sent += 1

    def send_many(self, sid: int, messages: list[bytes], ppid: int, flags: int) -> None:
        """Queue messages that differ in their data alone: all, or none if one can't be sent."""
        if not messages:
            return
        sizes = [len(data) for data in messages]
        self._check(sid, ppid, min(sizes))
        self._check(sid, ppid, max(sizes))
        if self._is_cautious:
            for data in messages:
                self._admit(OutboundMessage(sid, data, ppid, flags), None)
        else:
            self._queue.push_many(sid, messages, ppid, flags)
        self._context.statistics.messages_sent += len(messages)

    def send_piece(self, sid: int, data: bytes, ppid: int, flags: int, terms: Terms, last: bool) -> None:
        """Queue a piece of a message that is written in parts; all of them have the same terms."""
        if terms.state == DONE:
            raise MessageAbandoned(f"the message was given up: {terms.reason}")
        begins = terms.message is None
        self._check(sid, ppid, min(len(data), 1))
        if begins:
            if self._queue.is_open(sid):
                raise RuntimeError(f"another message is being written to stream {sid} in parts")
            self._is_cautious = True
            if terms.policy != RELIABLE:
                self._abandonment(_OPTIONS, True)
        piece = self._queue.push_piece(sid, data, ppid, flags, terms, last)
        if begins:
            terms.message = piece
            if terms.key is not None:
                terms.key.count += 1
            if self._sender.abandonment is not None:
                self._sender.abandonment.add(terms, piece.order)
            self._context.statistics.messages_sent += 1

    def set_priority(self, sid: int, value: int) -> None:
        """Tell the scheduler a stream's priority or weight. `ValueError` for what it does not take."""
        check_int("stream", sid, 0, self.outgoing_streams - 1)
        self._queue.set_priority(sid, value)

    def watch(self, message: OutboundMessage, watcher: object) -> bool:
        """Tell the watcher what becomes of a message that was sent; return False if it is acknowledged already."""
        terms = self._terms_of(message)
        if terms is not None:
            terms.watcher = watcher
            return True
        known = message.terms
        if known is None or not known.reason:
            return False
        self._context.tell_outcome(watcher, known.reason, None, known.transmissions)
        return True

    def withdraw(self, message: OutboundMessage) -> bool:
        """Give a message up that was sent; False if it is too late. `ValueError` if the peer can't be told of that."""
        terms = self._terms_of(message)
        if terms is None:
            return False
        self.give_up(terms)
        return True

    def give_up(self, terms: Terms) -> None:
        """Give up a message that is neither acknowledged nor given up; `ValueError` as of `withdraw`."""
        abandonment = self._abandonment("withdrawing a message that has begun to leave", terms.state != WAITING)
        abandonment.give_up(terms, RELIABLE)
        self._sender.look_back()

    def open_messages(self) -> list[Terms]:
        """Return the terms of the messages that are being written in parts."""
        return self._queue.open_messages() if self._is_cautious else []

    def _terms_of(self, message: OutboundMessage) -> Terms | None:
        """Return the terms of a message that was sent, made where it has none; None if nothing more becomes of it."""
        outstanding = self._sender.outstanding  # SACKs that have come change what becomes of messages
        terms = message.terms
        if terms is None:
            terms = Terms()
            if any(first < message.tsn < end for first, end in self._lost):  # of a restart too long ago it isn't known
                terms.finish(_LOST)
                message.terms = terms
            elif message.tsn != NOT_SENT:
                if not outstanding.attach(message, terms):
                    return None
            elif self._queue.is_begun(message):
                terms.state = BEGUN
                outstanding.attach(message, terms, self._queue.number_of(message))
            else:
                message.terms = terms
                terms.message = message
        return None if terms.state == DONE else terms

    def lose(self) -> None:
        """Note what the peer, which has restarted the association, will never acknowledge."""
        outstanding = self._sender.outstanding
        self._lost = (*self._lost[-_MOST_RESTARTS:], (outstanding.cumulative_tsn, outstanding.next_tsn))

    def _admit(self, message: OutboundMessage, terms: Terms | None) -> None:
        """Queue a message that has terms, or while others have that may be given up for it."""
        if self._queue.is_open(message.sid):
            raise RuntimeError(f"another message is being written to stream {message.sid} in parts")
        importance = -inf
        if terms is not None:
            terms.message = message
            if terms.policy != RELIABLE:
                self._abandonment(_OPTIONS, True)
                if terms.policy == PRIORITY:
                    importance = terms.bound
            if terms.key is not None:
                terms.key.count += 1
        abandonment = self._sender.abandonment
        if abandonment is not None:
            abandonment.free(self._sender.buffered + len(message.data) - self._context.config.send_buffer, importance)
        self._queue.push(message)
        if abandonment is not None:
            if terms is not None:
                abandonment.add(terms, message.order)
            self._sender.look_back()

    def _abandonment(self, what: str, tells_peer: bool) -> Abandonment:
        if tells_peer and not self._setup.extensions.partial_reliability:
            raise ValueError(f"{what} takes partial reliability (RFC 3758), which was not negotiated with the peer")
        self._is_cautious = True
        return self._sender.open_abandonment(self._setup.extensions.interleaving)

    def _check(self, sid: int, ppid: int, size: int) -> None:
        if not 0 <= sid < self.outgoing_streams:
            raise ValueError(f"stream must be between 0 and {self.outgoing_streams - 1}, not {sid}")
        if ppid >> 32:
            raise ValueError(f"ppid must be between 0 and {MASK_32}, not {ppid}")
        if not size:
            raise ValueError("a message must have at least one byte (RFC 9260 section 6.2)")
        if size > self.max_message_size:
            raise MessageTooLarge(f"{size} bytes are more than max_message_size, which is {self.max_message_size}")
