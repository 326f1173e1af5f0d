"""The states of an association (RFC 9260 section 4): which event leads from which to which, and in which of them each
chunk type means something. What is done on the way is said by the handlers, who ask for a change by `Context.change`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..wire.constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    COOKIE_ACK,
    COOKIE_ECHO,
    CWR,
    DATA,
    ECNE,
    ERROR,
    FORWARD_TSN,
    HEARTBEAT,
    HEARTBEAT_ACK,
    I_DATA,
    I_FORWARD_TSN,
    INIT_ACK,
    PAD,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)


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

    __hash__ = object.__hash__  # Enum's own is written in Python, and states are looked up for each packet


CLOSED: Final = State.CLOSED
COOKIE_WAIT: Final = State.COOKIE_WAIT
COOKIE_ECHOED: Final = State.COOKIE_ECHOED
ESTABLISHED: Final = State.ESTABLISHED
SHUTDOWN_PENDING: Final = State.SHUTDOWN_PENDING
SHUTDOWN_SENT: Final = State.SHUTDOWN_SENT
SHUTDOWN_RECEIVED: Final = State.SHUTDOWN_RECEIVED
SHUTDOWN_ACK_SENT: Final = State.SHUTDOWN_ACK_SENT

Transition = dict[State, State]

#: What each event makes of each state in which it can come (section 4, figure 3). What the RFC does not have comes of
#: section 5.2.4 (a restart) and section 5.2.6 (a stale cookie).
ASSOCIATE: Final[Transition] = {CLOSED: COOKIE_WAIT}  # our user wants an association
ON_INIT_ACK: Final[Transition] = {COOKIE_WAIT: COOKIE_ECHOED}
ON_STALE_COOKIE: Final[Transition] = {COOKIE_ECHOED: COOKIE_WAIT}
#: A COOKIE ACK, or a cookie of ours, maybe of a peer that has restarted.
ESTABLISH: Final[Transition] = dict.fromkeys(State, ESTABLISHED)
SHUT_DOWN: Final[Transition] = {ESTABLISHED: SHUTDOWN_PENDING}  # our user has nothing more to say
ON_SHUTDOWN: Final[Transition] = {ESTABLISHED: SHUTDOWN_RECEIVED, SHUTDOWN_PENDING: SHUTDOWN_RECEIVED}
#: Nothing of ours is outstanding any more.
ON_ALL_ACKNOWLEDGED: Final[Transition] = {
    SHUTDOWN_PENDING: SHUTDOWN_SENT,
    SHUTDOWN_SENT: SHUTDOWN_ACK_SENT,  # by a SHUTDOWN that crossed ours
    SHUTDOWN_RECEIVED: SHUTDOWN_ACK_SENT,
}
END: Final[Transition] = dict.fromkeys(State, CLOSED)  # by SHUTDOWN ACK, SHUTDOWN COMPLETE, an ABORT or a time-out

#: DATA may leave (sections 6 and 9.2).
SENDS_DATA: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})

#: The association is being set up by us.
FORMING: Final = frozenset({COOKIE_WAIT, COOKIE_ECHOED})

_ALWAYS: Final = frozenset({ABORT, ERROR, PAD})
_SETUP: Final = _ALWAYS | {SHUTDOWN_ACK}
_ADDRESSES: Final = frozenset({ASCONF, ASCONF_ACK})  # RFC 5061 section 5.1.1 C4, which is about sending them
_UP: Final = _ALWAYS | {COOKIE_ECHO, CWR, ECNE, HEARTBEAT, HEARTBEAT_ACK, RE_CONFIG, SACK, SHUTDOWN} | _ADDRESSES
_USER_DATA: Final = frozenset({DATA, I_DATA, FORWARD_TSN, I_FORWARD_TSN})

#: The chunk types that mean something in a state; others are discarded there. INIT, which comes without a tag, and
#: COOKIE ECHO for another tag go their own way (section 5.2).
MEANINGFUL: Final[dict[State, frozenset[int]]] = {
    CLOSED: frozenset(),
    COOKIE_WAIT: _SETUP | {COOKIE_ECHO, INIT_ACK},
    COOKIE_ECHOED: _SETUP | {COOKIE_ACK, COOKIE_ECHO, HEARTBEAT},
    ESTABLISHED: _UP | _USER_DATA,
    SHUTDOWN_PENDING: _UP | _USER_DATA,
    SHUTDOWN_RECEIVED: _UP,
    SHUTDOWN_SENT: _UP - {SACK} | _USER_DATA | {SHUTDOWN_ACK},
    SHUTDOWN_ACK_SENT: _ALWAYS | {ASCONF_ACK, COOKIE_ECHO, HEARTBEAT_ACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE},
}
