"""A congestion controller of a user that makes mistakes: they are told, and the built-in one takes over."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from asyncsctp.congestion import RFC9260, CongestionController, initial_window
from asyncsctp.congestion.guard import GuardedController, make

PMDCS = 1200
CALLS: dict[str, tuple[Any, ...]] = {
    "on_ack": (2400, 4800, True, False, 10.0),
    "on_fast_retransmit": (10.0,),
    "on_timeout": (10.0,),
    "on_congestion_experienced": (10.0,),
    "on_rtt": (0.1, 10.0),
    "on_all_acked": (),
    "on_idle": (5.0, 1.0),
    "on_pmdcs": (1000,),
    "reinitialize": (),
}


class Fixed(CongestionController):
    """Twenty packets, until it fails in the method that it is told to."""

    fails_in = ""
    window: Any = None

    def __init__(self, pmdcs: int, ipv4: bool) -> None:
        super().__init__(pmdcs, ipv4)
        self.cwnd = 20 * pmdcs

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        self.cwnd += acked

    def on_fast_retransmit(self, now: float) -> None:
        self.ssthresh = self.cwnd = 10 * self.pmdcs

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name != super().__getattribute__("fails_in"):
            return method
        window = super().__getattribute__("window")

        def fail(*args: object) -> None:
            if window is None:
                raise KeyError("no such thing")
            self.cwnd = window

        return fail


def guarded(fails_in: str = "", window: Any = None) -> tuple[CongestionController, list[Exception]]:
    class Wrong(Fixed):
        pass

    Wrong.fails_in = fails_in
    Wrong.window = window
    told: list[Exception] = []
    return make(Wrong, PMDCS, True, told.append), told


def test_one_that_does_well_is_what_its_path_sees() -> None:
    controller, told = guarded()
    assert controller.cwnd == 24_000
    controller.on_ack(*CALLS["on_ack"])
    assert controller.cwnd == 26_400
    controller.on_fast_retransmit(10.0)
    assert (controller.cwnd, controller.ssthresh) == (12_000, 12_000)
    for method, arguments in CALLS.items():
        getattr(controller, method)(*arguments)
    assert told == []


@pytest.mark.parametrize("method", list(CALLS))
def test_one_that_raises_is_replaced_and_that_is_told_once(method: str) -> None:
    controller, told = guarded(method)
    built_in = RFC9260(CALLS["on_pmdcs"][0] if method == "on_pmdcs" else PMDCS, True)
    for _ in range(2):
        getattr(controller, method)(*CALLS[method])
        getattr(built_in, method)(*CALLS[method])  # it hears of what the other one failed at
        assert (controller.cwnd, controller.ssthresh) == (built_in.cwnd, built_in.ssthresh)
    [error] = told
    arguments = ", ".join(map(repr, CALLS[method]))
    assert f"{method}({arguments}) failed with KeyError: 'no such thing'; RFC9260 has taken over" in str(error)
    assert "Wrong" in str(error)
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.parametrize("window", [1e9, "much", float("nan")])
@pytest.mark.parametrize("method", ["on_ack", "on_timeout", "on_pmdcs"])
def test_a_window_that_is_no_int_is_a_mistake(method: str, window: object) -> None:
    controller, told = guarded(method, window)
    getattr(controller, method)(*CALLS[method])
    assert isinstance(controller.cwnd, int)
    assert len(told) == 1


@pytest.mark.parametrize("window", [0, -5, 100])
def test_a_window_below_a_packet_is_a_packet(window: int) -> None:
    controller, told = guarded("on_ack", window)
    controller.on_ack(*CALLS["on_ack"])
    assert controller.cwnd == PMDCS
    assert told == []


def not_made(pmdcs: int, ipv4: bool) -> CongestionController:
    raise OSError("no licence")


class WithoutInit(Fixed):
    """Never has a window."""

    def __init__(self, pmdcs: int, ipv4: bool) -> None:
        pass


@pytest.mark.parametrize("factory", [not_made, lambda pmdcs, ipv4: 4711, lambda: None, WithoutInit])
def test_where_none_is_to_be_had_it_is_the_built_in_one(factory: Any) -> None:
    told: list[Exception] = []
    controller = make(factory, PMDCS, True, told.append)
    assert len(told) == 1
    assert controller.cwnd == initial_window(PMDCS, True)
    controller.on_timeout(1.0)
    assert controller.cwnd == PMDCS


def test_the_built_in_one_stands_alone() -> None:
    assert type(make(None, PMDCS, True, print)) is RFC9260
    assert type(make(RFC9260, PMDCS, True, print)) is RFC9260
    assert type(make(partial(RFC9260, limit=2), PMDCS, True, print)) is RFC9260
    assert type(make(Fixed, PMDCS, True, print)) is GuardedController
