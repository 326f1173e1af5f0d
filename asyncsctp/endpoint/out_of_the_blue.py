"""Packets of no association (RFC 9260 section 8.4): which are answered, how, and how often.

INIT and COOKIE ECHO are the endpoint's own business and never come here. The packet's checksum is right. Reading it
makes no objects, and stops after a few chunks: whoever it comes from may send another at once.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

from ..paths.route import Route, in_scope
from ..wire import control, tlv
from ..wire.constants import (
    ABORT,
    CAUSE_STALE_COOKIE,
    COMMON_HEADER_SIZE,
    COOKIE_ACK,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    I_DATA,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from ..wire.tlv import HEADER_SIZE

#: So many chunks of a stranger's packet are looked at. Where more follow, and are not user data, it is dropped: nothing
#: else that is to be answered needs as many.
MOST_CHUNKS: Final = 16
#: So many causes of an ERROR are looked at for a stale cookie.
_MOST_CAUSES: Final = 4

_ABORT: Final = 1 << ABORT
_SHUTDOWN_ACK: Final = 1 << SHUTDOWN_ACK
#: Section 8.4 rules 6 and 7: what is never answered.
_FINAL: Final = 1 << SHUTDOWN_COMPLETE | 1 << COOKIE_ACK
_OTHERS: Final = 1 << 16
_STALE_COOKIE: Final = 1 << 17


def survey(datagram: bytes, at: int = COMMON_HEADER_SIZE) -> int:
    """Which chunk types a packet holds from `at` on, as bits: 1 << type, others together. 0 if there are none, or too
    many; behind user data there is nothing else (section 6.10).

    `Malformed` if one of the lengths can't be: then nothing in the packet is believed.
    """
    end = len(datagram)
    seen = 0
    count = 0
    while end - at >= HEADER_SIZE:
        count += 1
        if count > MOST_CHUNKS:
            return seen if not datagram[at] & ~I_DATA else 0  # that is 0 for DATA
        first16, value_end = tlv.item(datagram, at, end)
        kind = first16 >> 8
        seen |= 1 << kind if kind < 16 else _OTHERS
        if kind == ERROR and _is_stale_cookie(datagram, at + HEADER_SIZE, value_end):
            seen |= _STALE_COOKIE
        at = value_end + 3 & -4
    return seen


def holds(seen: int, kind: int) -> bool:
    """Whether a chunk of this type, below 16, was seen."""
    return seen & 1 << kind != 0


def reflected(datagram: bytes) -> int:
    """Where the first chunk stands that answers a packet under the tag which that carried; 0 if there is none."""
    end = len(datagram)
    at = COMMON_HEADER_SIZE
    count = 0
    while end - at >= HEADER_SIZE and count < MOST_CHUNKS:
        first16, value_end = tlv.item(datagram, at, end)
        if is_answer_reflected(first16 >> 8, first16 & 0xFF):
            return at
        at = value_end + 3 & -4
        count += 1
    return 0


def is_unicast(route: Route) -> bool:
    """Whether a packet that came along this route may be answered at all (rule 1)."""
    return in_scope(route.address, route.address)


def is_answer_reflected(kind: int, flags: int) -> bool:
    """Whether a chunk is one of those that answer a packet under the tag which that carried: the T bit tells.

    Sections 8.4 and 8.5.1 B and C; of a NAT, the M bit, draft natsupp sections 6.2.1 and 6.4.1.
    """
    if not flags & FLAG_TAG_REFLECTED:
        return False
    return kind in (ABORT, SHUTDOWN_COMPLETE) or (kind == ERROR and flags & FLAG_MIDDLEBOX != 0)


def answer(seen: int) -> bytes | None:
    """The chunk to answer a packet with where these were seen, under the tag that it carried; None where silence is
    due.
    """
    if not seen or seen & _ABORT:  # rule 2
        return None
    if seen & _SHUTDOWN_ACK:  # rule 5
        return control.pack_shutdown_complete(reflected=True)
    if seen & (_FINAL | _STALE_COOKIE):  # rules 6 and 7
        return None
    return control.pack_abort(reflected=True)  # rule 8


def _is_stale_cookie(datagram: bytes, at: int, end: int) -> bool:
    count = 0
    while end - at >= HEADER_SIZE and count < _MOST_CAUSES:
        code, value_end = tlv.item(datagram, at, end)
        if code == CAUSE_STALE_COOKIE:
            return True
        at = value_end + 3 & -4
        count += 1
    return False


@final
class TokenBucket:
    """So many at once, and so many a second after that: strangers must not decide how much we send."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate: Final = rate
        self._burst: Final = burst
        self._tokens = burst
        self._at = inf

    def has(self, now: float) -> bool:
        """Whether one more may go."""
        if now != self._at:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
            self._at = now
        return self._tokens >= 1.0

    def take(self, now: float) -> bool:
        """Let one more go, if it may; whether it does."""
        if not self.has(now):
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """One that went has turned out to be no stranger's."""
        self._tokens = min(self._burst, self._tokens + 1.0)
