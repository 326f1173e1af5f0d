"""Packets of no association (RFC 9260 section 8.4): which are answered, how, and how often.

INIT and COOKIE ECHO are the endpoint's own business and never come here. The packet is well-formed and its checksum
right.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple, final

from .paths.encapsulation import Route, in_scope
from .wire import causes, control, tlv
from .wire.constants import (
    ABORT,
    CAUSE_STALE_COOKIE,
    COMMON_HEADER_SIZE,
    COOKIE_ACK,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)

__all__ = ["Chunk", "TokenBucket", "answer", "is_answer_reflected", "is_unicast", "read_chunks"]


class Chunk(NamedTuple):
    """Where a chunk stands in its packet."""

    kind: int
    flags: int
    start: int  # of its value
    end: int


def read_chunks(datagram: bytes) -> list[Chunk]:
    """All chunks of a packet. `Malformed` if one of the lengths can't be: then nothing in the packet is believed."""
    items = tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram))
    return [Chunk(first16 >> 8, first16 & 0xFF, start, end) for first16, _, start, end in items]


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


def answer(datagram: bytes, chunks: list[Chunk]) -> bytes | None:
    """The chunk to answer with, under the tag that the packet carried; None where silence is due."""
    kinds = {chunk.kind for chunk in chunks}
    if not kinds or ABORT in kinds:  # rule 2
        return None
    if SHUTDOWN_ACK in kinds:  # rule 5
        return control.pack_shutdown_complete(reflected=True)
    if SHUTDOWN_COMPLETE in kinds or COOKIE_ACK in kinds:  # rules 6 and 7
        return None
    for chunk in chunks:
        if chunk.kind == ERROR and _is_stale_cookie(datagram, chunk):  # rule 7
            return None
    return control.pack_abort(reflected=True)  # rule 8


def _is_stale_cookie(datagram: bytes, error: Chunk) -> bool:
    return any(cause.code == CAUSE_STALE_COOKIE for cause in causes.read_causes(datagram, error.start, error.end))


@final
class TokenBucket:
    """So many at once, and so many a second after that: strangers must not decide how much we send."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate: Final = rate
        self._burst: Final = burst
        self._tokens = burst
        self._at = inf

    def take(self, now: float) -> bool:
        """Whether one more may go."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
