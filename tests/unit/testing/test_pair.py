from __future__ import annotations

from functools import partial
from math import inf

import pytest

from asyncsctp.association.outbox import Outbox
from asyncsctp.paths.route import Route
from asyncsctp.testing import DeadlockError, LinkSettings, Network, Simulation, SimulationError, TimeLimitError

A, A2, B, B2 = "10.0.0.1", "10.1.0.1", "10.0.0.2", "10.1.0.2"


class Counting:
    """Sends numbers, one at a time, again each second until the number came back; answers what others send."""

    def __init__(self, routes: list[Route], limit: int = 0, ecn_capable: bool = False) -> None:
        self.outbox = Outbox()
        self.ecn_capable = ecn_capable
        self.next_expiry = inf
        self.routes = routes
        self.limit = limit
        self.number = 0
        self.tries = 0
        self.log: list[object] = []
        self.flushes = 0
        self.answers: list[tuple[Route, bytes]] = []

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool) -> None:
        self.log.append((now, route, datagram, congestion_experienced))
        if not self.routes:
            self.answers.append((route, datagram))
        elif datagram == bytes([self.number]):
            self.number += 1
            self.tries = 0
            self.next_expiry = inf

    def flush(self, now: float) -> None:
        self.flushes += 1
        for route, packet in self.answers:
            self.outbox.add(route, [packet])
        self.answers.clear()
        if self.next_expiry == inf and self.number < self.limit:
            route = self.routes[self.tries % len(self.routes)]
            self.outbox.add(route, [bytes([self.number])], self.ecn_capable)
            self.next_expiry = now + 1.0

    def expire(self, now: float) -> None:
        self.tries += 1
        self.next_expiry = inf


def pair(limit: int, seed: int = 0, **settings: float) -> tuple[Simulation, Counting, Counting]:
    simulation = Simulation(Network(seed, link=LinkSettings().replace(**settings)))
    a, b = Counting([Route(A, B, 9899), Route(A2, B2, 9899)], limit), Counting([])
    simulation.add(a, (A, A2))
    simulation.add(b, (B, B2))
    return simulation, a, b


def test_a_conversation_takes_its_round_trips() -> None:
    simulation, a, b = pair(10)
    simulation.run_until(lambda: a.number == 10)
    assert simulation.now == pytest.approx(0.2)
    assert b.log[0] == (0.01, Route(B, A, 9899), b"\0", False)
    assert a.log[0] == (0.02, Route(A, B, 9899), b"\0", False)


def test_expiries_run_and_another_path_helps() -> None:
    simulation, a, b = pair(3)
    simulation.network.cut(A, B)
    simulation.run_until(lambda: a.number == 3)
    assert simulation.now == pytest.approx(3.06)
    assert {entry[1] for entry in b.log} == {Route(B2, A2, 9899)}  # type: ignore[index]


def test_one_flush_for_all_of_one_instant() -> None:
    simulation, _, b = pair(0)
    for data in (b"1", b"2", b"3"):
        simulation.network.send((A, 9899), (B, 9899), data)
    while simulation.network.clock.next_time < inf:
        before = b.flushes
        b.answers.clear()
        assert simulation.step()
        if b.log:
            break
    assert len(b.log) == 3
    assert b.flushes == before + 2, "one that begins the step, and one after the batch"


def test_run_for_lets_that_time_pass() -> None:
    simulation, a, _ = pair(1)
    simulation.run_for(5.0)
    assert (simulation.now, a.number) == (5.0, 1)
    simulation.run_for(0.5)
    assert simulation.now == 5.5


def test_step_tells_when_nothing_is_left() -> None:
    simulation, a, _ = pair(1)
    while simulation.step():
        pass
    assert a.number == 1


def test_run_until_gives_up() -> None:
    simulation, _, _ = pair(1)
    with pytest.raises(DeadlockError):
        simulation.run_until(lambda: False)
    simulation, _, _ = pair(1)
    simulation.network.cut(A, B)
    simulation.network.cut(A2, B2)
    with pytest.raises(TimeLimitError, match="30 virtual seconds"):
        simulation.run_until(lambda: False, 30)


def test_the_check_runs_after_every_event() -> None:
    simulation, a, b = pair(0)
    checked: list[object] = []
    simulation = Simulation(Network(), check=checked.append)
    simulation.add(a, (A, A2))
    simulation.add(b, (B, B2), check=lambda _: None)
    a.limit = 2
    simulation.run_until(lambda: a.number == 2)
    assert len(checked) >= 3
    assert all(endpoint is a for endpoint in checked)


def test_a_failing_check_stops_the_run() -> None:
    simulation, _, _ = pair(0)
    broken = Counting([Route("10.2.0.1", B, 9899)], 1)

    def check(endpoint: object) -> None:
        assert broken.number == 0, "broken"

    simulation.add(broken, ("10.2.0.1",), check=check)
    with pytest.raises(AssertionError, match="broken"):
        simulation.run_for(10)


def test_marks_reach_the_endpoint() -> None:
    simulation = Simulation(Network(link=LinkSettings(mark=1.0)))
    a, b = Counting([Route(A, B, 7)], 1, ecn_capable=True), Counting([])
    simulation.add(a, (A,))
    simulation.add(b, (B,), udp_port=7)
    simulation.run_until(lambda: a.number == 1)
    assert b.log[0][3] is True  # type: ignore[index]
    assert a.log[0][3] is False  # type: ignore[index]


def test_errors_come_with_their_route() -> None:
    simulation = Simulation(Network(icmp=True))
    a, errors = Counting([Route(A, B, 7)], 1), []
    simulation.add(a, (A,), on_error=lambda route, error: errors.append((simulation.now, route, type(error))))
    simulation.network.host("b", B)
    simulation.run_for(0.5)
    assert [(when, route) for when, route, kind in errors if issubclass(kind, ConnectionRefusedError)] == [
        (0.02, Route(A, B, 7))
    ]


def test_a_removed_endpoint_has_crashed_and_its_ports_are_free() -> None:
    simulation, a, b = pair(5)
    simulation.network.at(0.015, partial(simulation.remove, b))
    simulation.run_for(3.0)
    assert a.number == 1
    again = Counting([])
    simulation.add(again, (B, B2))
    simulation.run_until(lambda: a.number == 5)
    assert again.log


def test_addresses_can_be_bound_later() -> None:
    simulation, a, b = pair(0)
    host = simulation.network.host_of(B)
    assert host is not None
    simulation.network.add_address(host, "10.3.0.2")
    simulation.bind(b, "10.3.0.2")
    a.routes, a.limit = [Route(A, "10.3.0.2", 9899)], 1
    simulation.run_until(lambda: a.number == 1)
    for wrong in (partial(simulation.bind, b, "10.9.9.9"), partial(simulation.remove, Counting([]))):
        with pytest.raises(ValueError):
            wrong()


def test_time_that_stands_still_is_an_error() -> None:
    class Stuck(Counting):
        def expire(self, now: float) -> None:
            self.next_expiry = now

    simulation = Simulation(Network())
    stuck = Stuck([])
    stuck.next_expiry = 1.0
    simulation.add(stuck, (A,))
    with pytest.raises(SimulationError, match="stands still"):
        simulation.run_for(10)


def test_ten_minutes_cost_only_their_events() -> None:
    simulation, a, _ = pair(5)
    simulation.run_for(600.0)
    assert a.number == 5
    assert a.flushes < 50


def test_the_same_seed_gives_the_same_run() -> None:
    def logged(seed: int) -> list[object]:
        simulation, a, b = pair(100, seed, loss=0.2, jitter=0.05, duplicate=0.1, reorder=0.1)
        simulation.run_until(lambda: a.number == 100, 1000)
        return [simulation.now, *a.log, *b.log]

    assert logged(1) == logged(1)
    assert logged(1) != logged(2)
