"""When HEARTBEATs are due (RFC 9260 sections 5.4 and 8.3, RFC 7829 section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncsctp.config import Config
from asyncsctp.handlers.paths.heartbeat import Heartbeat, heartbeat_delay
from asyncsctp.path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from asyncsctp.paths.path import Path
from asyncsctp.timers import NEVER

from ..conftest import PEER, Bench

OTHERS = ("192.0.2.3", "192.0.2.4")
MakeBench = Callable[..., Bench]


class Turns:
    """The heartbeats of a bench at any time."""

    def __init__(self, bench: Bench) -> None:
        self.context = bench.context
        self._heartbeat = Heartbeat(bench.context)

    def take(self, path: Path, now: float) -> float:
        self.context.now = now
        return self._heartbeat.take_turn(path)


@pytest.mark.parametrize(
    ("state", "errors", "interval", "fraction", "delay"),
    [
        (ACTIVE, 0, 30.0, 0.0, 30.5),
        (ACTIVE, 0, 30.0, 0.5, 31.0),
        (INACTIVE, 9, 30.0, 0.75, 31.25),
        (ACTIVE, 0, 0.25, 0.0, 0.75),
        (ACTIVE, 0, None, 0.0, NEVER),
        (POTENTIALLY_FAILED, 1, 30.0, 0.5, 0.0),
        (POTENTIALLY_FAILED, 1, None, 0.5, NEVER),
        (UNCONFIRMED, 0, 30.0, 0.5, 1.0),
        (UNCONFIRMED, 5, 30.0, 0.5, 1.0),
        (UNCONFIRMED, 6, 30.0, 0.5, 31.0),
        (UNCONFIRMED, 0, None, 0.5, 1.0),
        (UNCONFIRMED, 6, None, 0.5, 31.0),
    ],
)
def test_the_time_to_the_next_one(
    make_bench: MakeBench, state: PathState, errors: int, interval: float | None, fraction: float, delay: float
) -> None:
    bench = make_bench(Config(rto_initial=1.0, path_max_retrans=5, heartbeat_interval=interval))
    [path] = bench.context.paths.paths
    path.state, path.error_count = state, errors
    assert heartbeat_delay(path, fraction) == delay


def test_the_time_to_the_next_one_grows_with_the_back_off(make_bench: MakeBench) -> None:
    path = make_bench(Config(rto_initial=1.0)).context.paths.primary
    path.rto.back_off()
    path.rto.back_off()
    assert heartbeat_delay(path, 0.5) == 34.0


def test_probes_of_unconfirmed_addresses_take_turns(make_bench: MakeBench) -> None:
    turns = Turns(make_bench(Config(rto_initial=1.0), addresses=(PEER, *OTHERS)))
    paths = turns.context.paths
    assert [turns.take(path, 10.0) for path in paths.paths] == [0.0, 1.0, 2.0]
    assert turns.take(paths.paths[0], 11.0) == 2.0, "behind the last of them"
    assert turns.take(paths.paths[0], 50.0) == 0.0


def test_a_turn_that_has_not_come_is_given_back_when_it_is_asked_for_anew(make_bench: MakeBench) -> None:
    turns = Turns(make_bench(Config(rto_initial=1.0), addresses=(PEER, *OTHERS)))
    paths = turns.context.paths
    for path in paths.paths:
        turns.take(path, 0.0)
    assert turns.take(paths.paths[2], 0.0) == 2.0


def test_a_probe_that_was_answered_takes_no_longer_than_its_path(make_bench: MakeBench) -> None:
    """By then its RTO is that of what was measured, which may be much less than RTO.Initial."""
    turns = Turns(make_bench(Config(rto_initial=3.0, rto_min=0.5), addresses=(PEER, *OTHERS)))
    paths = turns.context.paths
    first, second, third = paths.paths
    assert turns.take(first, 10.0) == 0.0
    first.on_rtt(0.01, 10.01)
    assert turns.take(second, 10.1) == pytest.approx(0.4)
    assert turns.take(third, 10.1) == pytest.approx(3.4)
