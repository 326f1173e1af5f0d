"""The retransmission time-out of one path (RFC 9260 sections 6.3.1 and 6.3.3). When a round trip may be measured is not
known here: that is the business of whoever knows which chunks were retransmitted (rules C4 and C5)."""

from __future__ import annotations

from typing import Final, final

_ALPHA: Final = 0.125  # section 16
_BETA: Final = 0.25
_GRANULARITY: Final = 0.001  # G of rule G1

#: The back-off, if any: the next measurement ends it; or it may outlast that; or it has outlasted one.
_PLAIN: Final = 0
_LASTING: Final = 1
_KEPT: Final = 2


@final
class RtoEstimator:
    """`rto` as it is in force, with any back-off; `srtt` and `rttvar` are 0.0 until a round trip was measured."""

    __slots__ = ("_back_off", "_maximum", "_minimum", "measured", "rto", "rttvar", "srtt")

    def __init__(self, initial: float, minimum: float, maximum: float) -> None:
        self.rto = initial  # rule C1
        self.srtt = 0.0
        self.rttvar = 0.0
        self.measured = False
        self._back_off = _PLAIN
        self._minimum = minimum
        self._maximum = maximum

    def observe(self, rtt: float, keep: bool = False) -> None:
        """A round trip was measured; this ends any back-off (section 6.3.3). `keep`: one that is `lasting` goes on till
        `release`.
        """
        if rtt < 0.0:
            rtt = 0.0
        if self.measured:  # rule C3
            self.rttvar += _BETA * (abs(self.srtt - rtt) - self.rttvar)
            self.srtt += _ALPHA * (rtt - self.srtt)
        else:  # rule C2
            self.srtt = rtt
            self.rttvar = rtt / 2
            self.measured = True
        if self.rttvar <= 0.0:
            self.rttvar = _GRANULARITY  # rule G1
        if keep and self._back_off != _PLAIN:
            self._back_off = _KEPT
            self.rto = max(self.rto, self.base)
        else:
            self._settle()

    def release(self) -> None:
        """End a back-off that has outlasted a measurement; one that has not ends with the next (Karn's algorithm)."""
        if self._back_off == _KEPT:
            self._settle()
        self._back_off = _PLAIN

    @property
    def base(self) -> float:
        """The RTO without back-off."""
        if not self.measured:
            return self.rto
        return min(max(self.srtt + 4 * self.rttvar, self._minimum), self._maximum)

    def back_off(self, lasting: bool = False) -> None:
        """Rule E2: twice as long, up to RTO.Max."""
        if lasting and self._back_off == _PLAIN:
            self._back_off = _LASTING
        self.rto = max(self.rto, min(self.rto * 2, self._maximum))

    def configure(self, initial: float, minimum: float, maximum: float) -> None:
        """Other bounds from now on; `initial` holds where nothing was measured yet."""
        self._minimum = minimum
        self._maximum = maximum
        if self.measured:
            self._settle()
        else:
            self.rto = initial

    def _settle(self) -> None:
        self._back_off = _PLAIN
        self.rto = self.base  # rules C6 and C7
