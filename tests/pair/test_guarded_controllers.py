"""A user's congestion controller that goes wrong while messages are on their way: all of them arrive nevertheless."""

from __future__ import annotations

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.congestion import CongestionController
from asyncsctp.events import CongestionControllerFailed
from asyncsctp.testing import LinkSettings


class GoesWrong(CongestionController):
    """In the `at`-th call of one method, from 1: raises, or has no window any more."""

    def __init__(self, method: str, at: int, pmdcs: int, ipv4: bool) -> None:
        self.method = method
        self.at = at
        super().__init__(pmdcs, ipv4)
        self.called("__init__")

    def called(self, method: str) -> None:
        self.at -= method == self.method
        if self.at == 0:
            raise LookupError(f"in {method}")

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        self.called("on_ack")
        if not in_recovery:
            self.cwnd += acked
        self.at -= self.method == "window"
        if self.at == 0:
            self.cwnd = None  # type: ignore[assignment]

    def on_fast_retransmit(self, now: float) -> None:
        self.called("on_fast_retransmit")
        self.cwnd = max(self.cwnd // 2, self.pmdcs)

    def on_timeout(self, now: float) -> None:
        self.called("on_timeout")
        self.cwnd = self.pmdcs

    def on_rtt(self, rtt: float, now: float) -> None:
        self.called("on_rtt")

    def on_idle(self, idle: float, rto: float) -> None:
        self.called("on_idle")


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize(
    "method", ["__init__", "on_ack", "on_fast_retransmit", "on_timeout", "on_rtt", "on_idle", "window"]
)
def test_all_arrive_and_the_error_is_told_once(method: str, at: int) -> None:
    made = 0

    def factory(pmdcs: int, ipv4: bool) -> CongestionController:
        nonlocal made
        made += 1  # the other side's is sound
        return GoesWrong(method if made == 1 else "", 1 if method == "__init__" else at, pmdcs, ipv4)

    pair = Pair(link=LinkSettings(delay=0.01, rate=1e6, loss=0.05), config=Config(congestion=factory, mtu=1500))
    pair.establish()
    for turn in range(30):
        for sid in range(8):
            pair.send(0, sid, bytes([sid]) * (100 + 700 * (turn % 4)))
        pair.run_for(0.15 if turn % 2 else 2.5)
    pair.run_until(pair.is_delivered)
    pair.verify()
    assert not pair.users[0].is_closed
    [told] = [event for event in pair.users[0].events if isinstance(event, CongestionControllerFailed)]
    assert "GoesWrong" in str(told.error) or "factory" in str(told.error)
