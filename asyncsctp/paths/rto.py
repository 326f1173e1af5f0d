"""The retransmission time-out of one path, and its back-off (RFC 9260 sections 6.3.1 and 6.3.3 E2).

When a round trip may be measured is known to `outbound.outstanding`, by which chunks were retransmitted (rules C4, C5).
The window that a time-out narrows (E1) is in `path`, what is marked for retransmission (E3) in `outbound`.
"""

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
    """`rto` as it is in force, with any back-off, in seconds; `srtt` and `rttvar` are 0.0 until a round trip was
    measured.
    """

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
        """Take a round trip, which ends any back-off (section 6.3.3), but for one that is `lasting` if `keep`."""
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
            self._back_off = _PLAIN
            self.rto = self.base

    def release(self) -> None:
        """End a back-off that has outlasted a measurement; one that has not ends with the next (Karn's algorithm)."""
        if self._back_off == _KEPT:
            self.rto = self.base
        self._back_off = _PLAIN

    @property
    def base(self) -> float:
        """The RTO without back-off (rules C6 and C7)."""
        if not self.measured:
            return self.rto
        return min(max(self.srtt + 4 * self.rttvar, self._minimum), self._maximum)

    def back_off(self, lasting: bool = False) -> None:
        """Double the RTO, up to RTO.Max (rule E2)."""
        if lasting and self._back_off == _PLAIN:
            self._back_off = _LASTING
        self.rto = max(self.rto, min(self.rto * 2, self._maximum))

    def configure(self, initial: float, minimum: float, maximum: float) -> None:
        """Set other bounds, which end any back-off; `initial` holds where nothing was measured yet."""
        self._minimum = minimum
        self._maximum = maximum
        if self.measured:
            self._back_off = _PLAIN
            self.rto = self.base
        else:
            self.rto = initial
