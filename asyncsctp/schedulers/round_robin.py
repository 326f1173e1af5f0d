"""Round robin, by turn and by packet (RFC 8260 sections 3.2 and 3.3)."""

from __future__ import annotations

from typing import final

from .base import NO_STREAM
from .turns import InTurn


@final
class RoundRobin(InTurn):
    """One turn each, one stream after the other (section 3.2). A stream that comes is the last."""

    __slots__ = ()


@final
class RoundRobinPerPacket(InTurn):
    """One packet each, one stream after the other (section 3.3): a packet that is lost holds up only its own stream."""

    __slots__ = ("_in_packet",)

    def __init__(self) -> None:
        super().__init__()
        self._in_packet = NO_STREAM  # whose chunks are in the packet that is being filled

    def deactivate(self, sid: int) -> None:
        self._turns.remove(sid)
        if not self._turns.keys:
            self._in_packet = NO_STREAM  # nobody tells us of the packets of a stream that is alone

    def next(self) -> int:
        sid = self._in_packet
        if sid == NO_STREAM:
            return self._turns.first()
        return sid if sid in self._turns.keys else NO_STREAM

    def served(self, sid: int, size: int, order: int) -> None:
        if order == NO_STREAM:
            self._turns.remove(sid)
        elif self._in_packet != sid:
            self._put(sid)
        self._in_packet = sid

    def begin_packet(self) -> None:
        self._in_packet = NO_STREAM
