"""How long data goes on to a path that was cut: the formula of docs/guide.md, against the simulated network."""

from __future__ import annotations

import pytest
from support.pair import A_ADDRESSES, Z_ADDRESSES, Pair

from asyncsctp.config import Config
from asyncsctp.events import PathChanged, PeerAddressChanged
from asyncsctp.path_state import PathState

PERIOD = 0.02  # of what is written
ROUND_TRIP = 0.02
SACK_DELAY = 0.2


def switch_time(rto: float, threshold: int, rto_max: float) -> float:
    """Seconds from the cut of a path to the switch of data, at most, while there is data to send.

    T3-rtx runs since the last acknowledgement before the cut. `rto` is the RTO in force then, which the peer's SACK
    delay is part of; each time-out doubles it (RFC 9260 section 6.3.3 E2). `threshold` is PFMR, or PMR where there is
    none: with one time-out more data leaves the path (RFC 7829 section 3.2 rule 2, RFC 9260 section 8.2).
    """
    return sum(min(rto * 2.0**number, max(rto, rto_max)) for number in range(threshold + 1))


class Writer:
    """A writes a little, now and then."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.goes_on = True
        self.write()

    def write(self) -> None:
        if self.goes_on:
            self.pair.send(0, 0, b"a little")
            self.pair.network.clock.after(PERIOD, self.write)

    def finish(self) -> None:
        """All that was written arrives, once."""
        self.goes_on = False
        self.pair.run_until(self.pair.is_delivered, 60.0)
        self.pair.verify()


def cut(pair: Pair, number: int) -> None:
    """Nothing gets to or from this address of Z any more."""
    for local in A_ADDRESSES:
        pair.network.cut(local, Z_ADDRESSES[number])


@pytest.mark.parametrize("rto_max", [0.7, 60.0])
@pytest.mark.parametrize("rto_min", [0.3, 1.0])
@pytest.mark.parametrize(
    ("pf_threshold", "path_max_retrans"), [(0, 5), (1, 5), (2, 5), (5, 5), (None, 0), (None, 2), (None, 5)]
)
def test_data_leaves_within_the_time_that_the_thresholds_give(
    pf_threshold: int | None, path_max_retrans: int, rto_min: float, rto_max: float
) -> None:
    config = Config(
        pf_threshold=pf_threshold,
        path_max_retrans=path_max_retrans,
        rto_min=min(rto_min, rto_max),
        rto_max=rto_max,
        rto_initial=rto_min,
        sack_delay=SACK_DELAY,
        max_retrans=20,
    )
    pair = Pair(paths=2, config=config)
    pair.establish()
    writer = Writer(pair)
    pair.run_for(7.013)
    manager = pair.association(0).path_manager
    first = manager.primary
    rto = first.rto.rto
    began = pair.now
    cut(pair, 0)
    pair.run_until(lambda: manager.data_path() is not first, 200.0)
    threshold = path_max_retrans if pf_threshold is None else pf_threshold
    most = switch_time(rto, threshold, rto_max)
    # Each time-out finds something to send to the path within one period; the acknowledgement before the cut may be as
    # old as SACKs are apart.
    assert most - 3 * PERIOD - ROUND_TRIP <= pair.now - began <= most + (threshold + 1) * PERIOD
    expected = PathState.POTENTIALLY_FAILED if threshold < path_max_retrans else PathState.INACTIVE
    assert [event for event in pair.users[0].events if isinstance(event, PathChanged)][-1] == PathChanged(
        Z_ADDRESSES[0], expected
    )
    writer.finish()


def test_an_idle_association_notices_by_a_heartbeat() -> None:
    """Within HB.interval, RTO with its jitter until it is sent, and RTO until it is overdue."""
    interval = 5.0
    pair = Pair(paths=2, config=Config(pf_threshold=0, heartbeat_interval=interval))
    pair.establish()
    pair.run_for(60.0)
    manager = pair.association(0).path_manager
    rto = manager.primary.rto.rto
    began = pair.now
    cut(pair, 0)
    pair.run_until(lambda: manager.data_path() is not manager.primary, 200.0)
    assert pair.now - began <= interval + 1.5 * rto + rto


def test_data_comes_back_when_the_path_does() -> None:
    """By a HEARTBEAT, of which there is one in each RTO."""
    pair = Pair(paths=2, config=Config(pf_threshold=0, rto_min=0.3, rto_initial=0.3, rto_max=2.0, path_max_retrans=30))
    pair.establish()
    writer = Writer(pair)
    pair.run_for(5.0)
    manager = pair.association(0).path_manager
    first = manager.primary
    cut(pair, 0)
    pair.run_until(lambda: manager.data_path() is not first, 10.0)
    pair.run_for(20.0)
    assert first.state is PathState.POTENTIALLY_FAILED
    for local in A_ADDRESSES:
        pair.network.heal(local, Z_ADDRESSES[0])
    began = pair.now
    pair.run_until(lambda: manager.data_path() is first, 10.0)
    assert pair.now - began <= 2.0 + ROUND_TRIP
    writer.finish()


def test_after_a_switchover_it_stays_where_it_is() -> None:
    config = Config(pf_threshold=0, primary_switchover=0, rto_min=0.3, rto_initial=0.3, rto_max=2.0)
    pair = Pair(paths=2, config=config)
    pair.establish()
    writer = Writer(pair)
    pair.run_for(5.0)
    cut(pair, 0)
    pair.run_for(2.0)
    for local in A_ADDRESSES:
        pair.network.heal(local, Z_ADDRESSES[0])
    pair.run_for(20.0)
    manager = pair.association(0).path_manager
    assert {path.state for path in manager.paths} == {PathState.ACTIVE}
    assert manager.primary is manager.data_path() is manager.find(Z_ADDRESSES[1])
    assert PeerAddressChanged(Z_ADDRESSES[1], "primary") in pair.users[0].events
    writer.finish()


def test_both_paths_gone_for_a_while_cost_nothing_but_time() -> None:
    """The dormant state of RFC 7829 section 4: data goes on to the address that failed last."""
    config = Config(pf_threshold=0, path_max_retrans=1, rto_min=0.3, rto_initial=0.3, rto_max=1.0, max_retrans=100)
    pair = Pair(paths=2, config=config)
    pair.establish()
    writer = Writer(pair)
    pair.run_for(5.0)
    cut(pair, 0)
    cut(pair, 1)
    pair.run_for(15.0)
    manager = pair.association(0).path_manager
    assert {path.state for path in manager.paths} == {PathState.INACTIVE}
    for local in A_ADDRESSES:
        pair.network.heal(local, Z_ADDRESSES[1])
    pair.run_until(lambda: manager.paths[1].state is PathState.ACTIVE, 5.0)
    writer.finish()


def test_a_dead_primary_costs_little_beside_a_path_that_works() -> None:
    """With the defaults: no message is later than the time-outs in which the loss is noticed, whatever is sent."""
    pair = Pair(paths=2)
    pair.establish()
    pair.run_for(5.0)
    rto = pair.association(0).path_manager.primary.rto.rto
    cut(pair, 0)
    worst = 0.0
    for number in range(200):
        written = pair.now
        pair.send(0, 0, bytes(1000))
        pair.run_until(pair.is_delivered, 60.0)
        worst = max(worst, pair.now - written)
        if number == 100:
            pair.run_for(100.0)  # the association rests, and is to know still what it knew
    assert worst <= rto + ROUND_TRIP
    pair.verify()
