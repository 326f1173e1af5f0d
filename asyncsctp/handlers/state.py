"""The states of an association (RFC 9260 section 4), and in which of them each chunk type means something."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["State"]


class State(Enum):
    """A state of RFC 9260 section 4."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_PENDING = "shutdown-pending"
    SHUTDOWN_SENT = "shutdown-sent"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


CLOSED: Final = State.CLOSED
COOKIE_WAIT: Final = State.COOKIE_WAIT
COOKIE_ECHOED: Final = State.COOKIE_ECHOED
ESTABLISHED: Final = State.ESTABLISHED
SHUTDOWN_PENDING: Final = State.SHUTDOWN_PENDING
SHUTDOWN_SENT: Final = State.SHUTDOWN_SENT
SHUTDOWN_RECEIVED: Final = State.SHUTDOWN_RECEIVED
SHUTDOWN_ACK_SENT: Final = State.SHUTDOWN_ACK_SENT

#: New messages are taken from the user (section 9.2: none once a shutdown has begun).
TAKES_MESSAGES: Final = frozenset({COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED})
#: DATA may leave: COOKIE ECHO may be bundled with it, so it starts in COOKIE-ECHOED (section 5.1 C).
SENDS_DATA: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})
#: DATA from the peer is processed (sections 6 and 9.2).
RECEIVES_DATA: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT})
