"""Fair capacity and weighted fair queueing (RFC 8260 sections 3.5 and 3.6), by virtual time.

Each active stream has a *tag*: the bytes that it has sent, divided by its weight. The smallest tag is next: a turn's
size need not be known before it, as in start-time fair queueing (Goyal, Vin and Cheng, 1996). The *virtual time* is the
tag that a stream would have that had always been active under an ideal scheduler, which serves all at once: it grows by
the size of each turn divided by the weights of all who take part, and is never behind the smallest tag.
"""

from __future__ import annotations

from typing import Final, final

from .base import NO_STREAM, StreamScheduler, check_value
from .round_robin import Turns

#: Tags are whole numbers of 65536ths of a byte, so that no weight makes a byte vanish.
_FRACTION_BITS: Final = 16
#: Once nobody has anything to send, the debts of more streams than this are forgiven.
_MOST_DEBTORS: Final = 1024


class _FairQueueing(StreamScheduler):
    """What both do.

    A stream that comes begins at the virtual time, so that it has saved nothing up; but not below the tag that it went
    with, so that what it had in advance is not given to it as a present. That tag is kept until the virtual time has
    passed it; until then the stream takes part, as it still would under the ideal scheduler.
    """

    __slots__ = ("_active", "_ahead", "_rest", "_total", "_virtual", "_weights")

    def __init__(self) -> None:
        self._active = Turns()  # by tag
        self._ahead = Turns()  # those that are not active and went with a tag beyond the virtual time
        self._weights: dict[int, int] = {}  # that are not 1
        self._total = 0  # the weights of both
        self._virtual = 0
        self._rest = 0  # what was too little to move the virtual time

    def activate(self, sid: int, order: int) -> None:
        tag = self._ahead.keys.get(sid, NO_STREAM)
        if tag == NO_STREAM:
            self._total += self._weights.get(sid, 1)
            tag = self._virtual
        else:
            self._ahead.remove(sid)
            if tag < self._virtual:
                tag = self._virtual
        self._active.put(sid, tag)

    def deactivate(self, sid: int) -> None:
        tag = self._active.keys[sid]
        self._active.remove(sid)
        if not self._active.keys and tag < self._virtual:
            # It is alone, and not idle at all: what it lags behind must not be lost to it each time that it is alone.
            self._virtual = tag
        self._leave(sid, tag)

    def next(self) -> int:
        return self._active.first()

    def served(self, sid: int, size: int, order: int) -> None:
        active = self._active
        work = size << _FRACTION_BITS
        tag = active.keys[sid] + work // self._weights.get(sid, 1)
        work += self._rest
        passed = work // self._total
        self._virtual += passed
        self._rest = work - passed * self._total
        if order == NO_STREAM:
            active.remove(sid)
            self._leave(sid, tag)
        else:
            active.put(sid, tag)
        if active.keys:
            if active.first_key() > self._virtual:
                self._virtual = active.first_key()
        elif len(self._ahead.keys) > _MOST_DEBTORS:
            self._ahead.clear()
            self._total = 0
        ahead = self._ahead
        while ahead.keys and ahead.first_key() <= self._virtual:  # the virtual time has passed its tag
            passed_by = ahead.first()
            ahead.remove(passed_by)
            self._total -= self._weights.get(passed_by, 1)

    def _leave(self, sid: int, tag: int) -> None:
        if tag > self._virtual:
            self._ahead.put(sid, tag)
        else:
            self._total -= self._weights.get(sid, 1)


@final
class FairBandwidth(_FairQueueing):
    """The same number of bytes for each stream that has something to send, however long its messages are (section
    3.5).
    """

    __slots__ = ()


@final
class WeightedFairQueueing(_FairQueueing):
    """Bytes in proportion to weights (section 3.6).

    `set_priority` takes a weight of 1 to 65535; a stream that was given none has 1.
    """

    __slots__ = ()

    def set_priority(self, sid: int, value: int) -> None:
        """Weigh a stream from its next turn on. `ValueError` beyond 1 to 65535."""
        check_value("weight", 1, value)
        if sid in self._active.keys or sid in self._ahead.keys:
            self._total += value - self._weights.get(sid, 1)
        if value != 1:
            self._weights[sid] = value
        elif sid in self._weights:
            del self._weights[sid]
