"""The messages of one stream that have not left, and the numbers that they get (RFC 9260 section 6.5).

Whose turn it is among the streams is known to `send_queue`.
"""

from __future__ import annotations

from typing import Final, final

from ..wire.constants import FLAG_BEGIN
from .message import WHOLE, WITHDRAWN, OutboundMessage, Terms

#: What stands where a message was that has left.
GONE: Final = OutboundMessage(0, b"")
#: As `OutgoingStream.reserved`: the stream was held back and may try again, and then another one.
TRIES: Final = -2
_MOST_GONE: Final = 32


@final
class OutgoingStream:
    """The unsent messages of one stream: those from `head` on.

    * `begun`: of the first one a part has left, `offset` bytes of this piece; `fragments` is the FSN that comes next.
    * `next_ssn`: its SSN, or MID; `next_unordered`: the MID of an unordered one.
    * `later`: the messages that wait for a reset, while there is one (RFC 6525 section 5.1.2).
    * `open`: the terms of the message that is being written in parts, and has not been ended.
    * `reserved`: what the message that is begun, or about to, takes of the peer's memory, see `IDataQueue`; or TRIES.
    * `withdrawn`: how many of the messages stand there for nothing.
    """

    __slots__ = (
        "begun",
        "buffered",
        "fragments",
        "head",
        "later",
        "messages",
        "next_ssn",
        "next_unordered",
        "offset",
        "open",
        "reserved",
        "sid",
        "withdrawn",
    )

    def __init__(self, sid: int) -> None:
        self.sid = sid
        self.messages: list[OutboundMessage] = []
        self.head = 0
        self.begun = False
        self.offset = 0
        self.fragments = 0
        self.next_ssn = 0
        self.next_unordered = 0
        self.buffered = 0
        self.withdrawn = 0
        self.later: list[OutboundMessage] | None = None
        self.open: Terms | None = None
        self.reserved = 0

    def first(self) -> OutboundMessage:
        """Return the message that leaves next, of one or more."""
        return self.messages[self.head]

    def advance(self, head: int) -> None:
        """Drop the messages before this one, which have left, and those after them that were withdrawn."""
        messages = self.messages
        if self.withdrawn:
            while head < len(messages) and messages[head].flags & WITHDRAWN:
                messages[head] = GONE
                self.withdrawn -= 1
                head += 1
        if head == len(messages):
            messages.clear()
            head = 0
        elif head > _MOST_GONE and 2 * head > len(messages):
            del messages[:head]
            head = 0
        self.head = head

    def keeps(self, message: OutboundMessage) -> bool:
        """Return True if a message waits for the reset: all do but the rest of one that was begun before."""
        later = self.later
        return message.flags & FLAG_BEGIN != 0 or bool(later and later[-1].terms is message.terms)

    def end_message(self, unordered: bool) -> None:
        """End the message that was begun, one way or the other: its number is used up."""
        self.begun = False
        self.offset = 0
        self.fragments = 0
        if unordered:
            self.next_unordered += 1
        else:
            self.next_ssn += 1

    def withdraw(self, message: OutboundMessage) -> None:
        """Empty a message that is not the first: it stands there for nothing until its turn comes."""
        self.buffered -= len(message.data)
        message.data = b""
        message.flags = message.flags & ~WHOLE | WITHDRAWN
        self.withdrawn += 1
        if self.withdrawn > _MOST_GONE and 2 * self.withdrawn > len(self.messages) - self.head:
            self.messages = [message for message in self.messages[self.head :] if not message.flags & WITHDRAWN]
            self.head = self.withdrawn = 0
