"""A congestion controller that a user wrote, watched: its mistakes abort nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from ..plugins import describe, fault, make_plugin, spell
from .rfc9260 import RFC9260, CongestionController


def make(
    factory: Callable[[int, bool], object] | None, pmdcs: int, ipv4: bool, report: Callable[[Exception], object]
) -> CongestionController:
    """Return the controller that `Config.congestion` asks for, guarded; the built-in one for `None`, or if there is
    none to be had from the factory, which `report` is told.
    """
    made = None
    if factory is not None:
        made = make_plugin("congestion controller", CongestionController, factory, report, pmdcs, ipv4)
    if made is None:
        return RFC9260(pmdcs, ipv4)
    return made if type(made) is RFC9260 else GuardedController(made, pmdcs, ipv4, report)


@final
class GuardedController(CongestionController):
    """Does as another controller does until that makes a mistake, and from then on as a new `RFC9260`.

    `report` is called once, with an error that names the class, the method and what was wrong. The windows are those
    that the other one had after it was called last; but no less than a packet, which may leave always (RFC 9260 section
    7.2.3).
    """

    __slots__ = ("_controller", "_report", "failed")

    def __init__(
        self, controller: CongestionController, pmdcs: int, ipv4: bool, report: Callable[[Exception], object]
    ) -> None:
        super().__init__(pmdcs, ipv4)
        self._controller = controller
        self._report = report
        self.failed = False
        try:
            self._look()
        except Exception as error:
            self._take_over("__init__", error)

    def __repr__(self) -> str:
        return repr(self._controller)

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        self._call("on_ack", acked, in_flight_before, cum_advanced, in_recovery, now)

    def on_fast_retransmit(self, now: float) -> None:
        self._call("on_fast_retransmit", now)

    def on_timeout(self, now: float) -> None:
        self._call("on_timeout", now)

    def on_congestion_experienced(self, now: float) -> None:
        self._call("on_congestion_experienced", now)

    def on_rtt(self, rtt: float, now: float) -> None:
        self._call("on_rtt", rtt, now)

    def on_all_acked(self) -> None:
        self._call("on_all_acked")

    def on_idle(self, idle: float, rto: float) -> None:
        self._call("on_idle", idle, rto)

    def on_pmdcs(self, pmdcs: int) -> None:
        self.pmdcs = pmdcs
        self._call("on_pmdcs", pmdcs)

    def reinitialize(self) -> None:
        self._call("reinitialize")

    def _call(self, method: str, *args: object) -> None:
        """Call the other one; where that fails, the one that takes over."""
        try:
            getattr(self._controller, method)(*args)
            self._look()
        except Exception as error:
            self._take_over(f"{method}({', '.join(map(repr, args))})", error)
            getattr(self._controller, method)(*args)
            self._look()

    def _look(self) -> None:
        """Copy the windows. `TypeError` for what is none."""
        controller: Any = self._controller
        for name in ("cwnd", "ssthresh"):
            if not isinstance(getattr(controller, name), int):
                raise TypeError(f"{name} is {spell(getattr(controller, name))}, which is not an int")
        self.cwnd = max(controller.cwnd, self.pmdcs)
        self.ssthresh = controller.ssthresh

    def _take_over(self, call: str, error: Exception) -> None:
        name = type(self._controller).__qualname__
        self._controller = RFC9260(self.pmdcs, self.ipv4)
        self._look()
        self.failed = True
        what = f"congestion controller {name}: {call} failed with {describe(error)}; RFC9260 has taken over"
        self._report(fault(what, error))
