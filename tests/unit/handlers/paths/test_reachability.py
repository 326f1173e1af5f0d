"""What a path that stops answering, or answers again, does to the association (RFC 9260 sections 8.1 and 8.2), and
which path data takes then (RFC 7829).
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.config import Config
from asyncsctp.errors import AssociationTimeout
from asyncsctp.events import PathChanged, PeerAddressChanged
from asyncsctp.handlers.paths.reachability import (
    OF_DATA,
    OF_HEARTBEATS,
    OF_REQUESTS,
    is_counted,
    judge,
    on_acknowledged,
    on_answered,
    on_heartbeat_timeout,
    on_timeout,
)
from asyncsctp.path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from asyncsctp.paths.path import Path
from asyncsctp.timers import HEARTBEAT_TIMER, timer_key

from ..conftest import PEER, Bench

LOCALS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
PEERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


class Counted(NamedTuple):
    """What a time-out changed."""

    changed: bool  # the path has another state
    exceeded: bool  # the association has ended


class Peer:
    """One whose addresses answer or don't; the association goes on beyond its end."""

    def __init__(self, *addresses: str, config: Config | None = None) -> None:
        self._bench = Bench(config or Config(pf_threshold=None), LOCALS, addresses or PEERS)
        self._context = self._bench.context
        self.paths = self._context.paths

    def timeout(self, path: Path, kind: int = OF_DATA, counts: bool = True) -> Counted:
        before = path.state
        goes_on = on_timeout(self._context, path, kind, counts)
        return self._counted(path, before is not path.state, goes_on)

    def heartbeat_timeout(self, path: Path) -> Counted:
        before = path.state
        goes_on = on_heartbeat_timeout(self._context, path)
        return self._counted(path, before is not path.state, goes_on)

    def acknowledge(self, path: Path) -> bool:
        on_acknowledged(self._context, path)
        return self._is_told(path)

    def answer(self, path: Path, kind: int, outstanding: bool) -> bool:
        self._bench.owner.is_pending = outstanding
        on_answered(self._context, path, kind)
        return self._is_told(path)

    def fail(self, path: Path) -> None:
        while path.state is ACTIVE:
            self.timeout(path, counts=False)

    def _counted(self, path: Path, changed: bool, goes_on: bool) -> Counted:
        assert self._is_told(path) == changed
        return Counted(changed, not goes_on)

    def _is_told(self, path: Path) -> bool:
        told = PathChanged(path.route.address, path.state) in self._context.notices
        self._context.notices.clear()
        return told


def test_an_outage_that_two_timers_tell_of_at_once_is_counted_once(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    assert not is_counted(bench.context, path)
    assert on_timeout(bench.context, path)
    assert is_counted(bench.context, path)
    bench.context.now += 0.001
    assert not is_counted(bench.context, path)


def test_another_path_that_is_silent_at_the_same_instant_is_counted_too(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    on_timeout(bench.context, path)
    on_timeout(bench.context, path)
    assert bench.context.silence == (bench.context.now, (path, path))


def test_association_max_retrans_ends_the_association() -> None:
    bench = Bench(Config(max_retrans=1))
    [path] = bench.context.paths.paths
    assert on_timeout(bench.context, path)
    assert not on_timeout(bench.context, path)
    [error] = bench.owner.ended
    assert isinstance(error, AssociationTimeout)


def test_the_user_hears_of_another_state(bench: Bench) -> None:
    [path] = bench.context.paths.paths
    judge(bench.context, path)
    assert not bench.context.notices
    path.error_count = 9
    judge(bench.context, path)
    assert list(bench.context.notices) == [PathChanged(PEER, INACTIVE)]


def test_rfc_7829_a_path_that_may_have_failed_is_probed_at_once(bench: Bench) -> None:
    context = bench.context
    [path] = context.paths.paths
    path.error_count = 1
    judge(context, path)
    assert context.timers.deadline(timer_key(HEARTBEAT_TIMER, path.path_id)) == context.now


def test_rfc_7829_another_primary_path_is_told() -> None:
    context = Bench(Config(primary_switchover=0), LOCALS, PEERS).context
    path = context.paths.primary
    on_timeout(context, path)
    assert list(context.notices) == [
        PathChanged(PEERS[0], POTENTIALLY_FAILED),
        PeerAddressChanged(context.paths.primary.route.address, "primary"),
    ]
    assert context.paths.primary is context.paths.data_path() is not path


@pytest.mark.parametrize(
    ("state", "is_confirmed", "told"),
    [
        (ACTIVE, False, []),
        (INACTIVE, False, [PathChanged(PEER, ACTIVE)]),
        (ACTIVE, True, [PeerAddressChanged(PEER, "confirmed"), PathChanged(PEER, ACTIVE)]),
    ],
)
def test_what_an_answer_changes_is_told(bench: Bench, state: PathState, is_confirmed: bool, told: list[object]) -> None:
    [path] = bench.context.paths.paths
    path.state = state
    on_answered(bench.context, path, OF_HEARTBEATS, is_confirmed=is_confirmed)
    assert list(bench.context.notices) == told


class TestErrors:
    def test_failed_paths_take_turns_when_all_have_failed(self) -> None:
        peer = Peer(config=Config(max_retrans=100, pf_threshold=None))
        paths = peer.paths
        for path in paths.paths:
            peer.fail(path)
        used = set()
        for _ in range(6):
            current = paths.data_path()
            used.add(current.route.address)
            peer.timeout(current)
            assert current.state is INACTIVE
        assert used == set(PEERS)

    def test_a_path_fails_when_its_counter_exceeds_the_limit_and_says_so_once(self) -> None:
        peer = Peer(config=Config(path_max_retrans=2, pf_threshold=None))
        paths = peer.paths
        path = paths.primary
        verdicts = [peer.timeout(path) for _ in range(4)]
        assert [verdict.changed for verdict in verdicts] == [False, False, True, False]
        assert path.state is INACTIVE

    def test_the_peer_has_failed_when_the_sum_exceeds_the_limit(self) -> None:
        peer = Peer(config=Config(max_retrans=3, pf_threshold=None))
        paths = peer.paths
        first, second, _ = paths.paths
        exceeded = [peer.timeout(path).exceeded for path in (first, second, first, second)]
        assert exceeded == [False, False, False, True]

    def test_a_timeout_backs_off_that_path_alone(self) -> None:
        peer = Peer()
        paths = peer.paths
        peer.timeout(paths.primary)
        assert [path.rto.rto for path in paths.paths] == [2.0, 1.0, 1.0]

    def test_an_acknowledgement_clears_both_counters_and_brings_the_path_back(self) -> None:
        peer = Peer()
        paths = peer.paths
        peer.fail(paths.primary)
        peer.timeout(paths.paths[1])
        assert peer.acknowledge(paths.primary)
        assert not peer.acknowledge(paths.primary)
        assert (paths.error_count, paths.primary.error_count, paths.paths[1].error_count) == (0, 0, 1)

    def test_an_answer_to_a_heartbeat_spares_the_association_counter_while_data_waits(self) -> None:
        peer = Peer()
        paths = peer.paths
        first, second, _ = paths.paths
        peer.timeout(first)
        peer.timeout(second)
        assert not peer.answer(second, OF_HEARTBEATS, True)
        assert (paths.error_count, second.error_count) == (2, 0)
        peer.answer(second, OF_HEARTBEATS, False)
        assert (paths.error_count, first.error_count) == (0, 1)

    def test_a_peer_that_answers_heartbeats_but_no_data_is_given_up(self) -> None:
        peer = Peer("198.51.100.1")
        paths = peer.paths
        for count in range(11):
            assert paths.error_count == count
            exceeded = peer.timeout(paths.primary).exceeded
            peer.answer(paths.primary, OF_HEARTBEATS, True)
        assert exceeded

    def test_a_back_off_lasts_as_long_as_the_count_of_what_it_is_for(self) -> None:
        """Sections 6.3.3 and 8.1: an answer of another kind may be measured, but counts and waits go together."""
        peer = Peer("198.51.100.1", "198.51.100.2")
        paths = peer.paths
        first, second = paths.paths
        for kind in (OF_DATA, OF_REQUESTS):
            for path in (first, second, first):
                peer.timeout(path, kind)
            for path in (first, second):
                peer.answer(path, OF_HEARTBEATS, True)
                path.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
            assert [path.rto.rto for path in (first, second)] == [4.0, 2.0]
            assert not peer.acknowledge(first)
            assert [path.rto.rto for path in (first, second)] == [1.0, 1.0]
            assert paths.error_count == 0

    def test_an_answered_heartbeat_ends_the_back_off_of_those_that_were_not(self) -> None:
        peer = Peer("198.51.100.1", "198.51.100.2")
        paths = peer.paths
        first, second = paths.paths
        peer.timeout(first)
        peer.heartbeat_timeout(second)
        peer.answer(second, OF_HEARTBEATS, True)
        second.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
        assert [path.rto.rto for path in (first, second)] == [2.0, 1.0]

    def test_the_last_answer_that_was_missing_ends_what_is_left_of_the_back_off(self) -> None:
        peer = Peer("198.51.100.1")
        paths = peer.paths
        path = paths.primary
        peer.timeout(path, OF_REQUESTS)
        peer.answer(path, OF_HEARTBEATS, True)
        path.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
        assert path.rto.rto == 2.0
        peer.answer(path, OF_REQUESTS, True)
        assert (path.rto.rto, paths.error_count) == (1.0, 0)

    def test_heartbeats_count_in_a_row_whatever_else_is_unanswered(self) -> None:
        """Section 8.1: an answer ends the silence about its kind, and data that waits is peer all the same."""
        peer = Peer("198.51.100.1")
        paths = peer.paths
        path = paths.primary
        peer.timeout(path)
        for _ in range(30):
            assert not peer.heartbeat_timeout(path).exceeded
            assert not peer.timeout(path, OF_REQUESTS).exceeded
            peer.answer(path, OF_HEARTBEATS, True)
            peer.answer(path, OF_REQUESTS, True)
        assert paths.error_count == 1
        assert [peer.heartbeat_timeout(path).exceeded for _ in range(10)] == [False] * 9 + [True]

    def test_lost_heartbeats_count_for_the_association_only_where_data_goes(self) -> None:
        peer = Peer()
        paths = peer.paths
        peer.heartbeat_timeout(paths.paths[1])
        assert paths.error_count == 0
        peer.heartbeat_timeout(paths.primary)
        assert paths.error_count == 1

    def test_lost_heartbeats_fail_a_path_and_then_its_counter_stops(self) -> None:
        peer = Peer()
        paths = peer.paths
        path = paths.paths[1]
        changes = [peer.heartbeat_timeout(path).changed for _ in range(10)]
        assert changes == [False] * 5 + [True] + [False] * 4
        assert path.error_count == 6
        assert path.rto.rto == 60.0

    def test_lost_probes_of_an_unconfirmed_address_never_count_for_the_association(self) -> None:
        peer = Peer("198.51.100.1")
        paths = peer.paths
        path = paths.add("198.51.100.2")
        assert path is not None
        for _ in range(20):
            assert peer.heartbeat_timeout(path) == (False, False)
        assert paths.error_count == 0
        assert path.state is UNCONFIRMED
        assert path.error_count == 6
        assert paths.confirm(path)
        assert path.error_count == 0

    def test_a_limit_of_nothing(self) -> None:
        peer = Peer(config=Config(path_max_retrans=0, max_retrans=0, pf_threshold=None))
        assert peer.timeout(peer.paths.primary) == (True, True)


@given(st.lists(st.tuples(st.sampled_from("tthackp"), st.integers(0, 4))))
def test_data_goes_to_an_active_path_as_long_as_there_is_one_and_never_to_an_unconfirmed_one(
    steps: list[tuple[str, int]],
) -> None:
    peer = Peer("198.51.100.1", "198.51.100.2", config=Config(path_max_retrans=1, pf_threshold=None))
    paths = peer.paths
    for n in (3, 4, 5):
        paths.add(f"198.51.100.{n}")
    for what, n in steps:
        path = paths.by_id[n]
        before = path.state
        if what == "t" and before is not UNCONFIRMED:
            assert peer.timeout(path).changed == (before is ACTIVE and path.state is INACTIVE)
        elif what == "h":
            peer.heartbeat_timeout(path)
        elif what == "a" and before is not UNCONFIRMED:
            assert peer.acknowledge(path) == (before is INACTIVE)
        elif what == "c":
            assert paths.confirm(path) == (before is UNCONFIRMED)
        elif what == "k":
            assert peer.answer(path, OF_HEARTBEATS, True) == (before is INACTIVE)
        elif what == "p":
            paths.set_primary(path.route.address)
        assert (before is UNCONFIRMED) or (path.state is not UNCONFIRMED)
        active = [other for other in paths.paths if other.state is ACTIVE]
        chosen = paths.data_path()
        assert chosen in active or (not active and chosen.state is INACTIVE)
        assert paths.primary.state is not ACTIVE or chosen is paths.primary
        for other in paths.paths:
            again = paths.retransmit_path(other.path_id)
            assert again in active or (not active and again.state is INACTIVE)
            assert again is not other or all(one is other for one in active)


class TestPotentiallyFailed:
    """RFC 7829."""

    def failing(self, **settings: int | None) -> Peer:
        return Peer(config=Config(**{"pf_threshold": 0, "max_retrans": 100} | settings))  # type: ignore[arg-type]

    def test_the_most_divergent_of_several_active_ones_takes_over(self) -> None:
        """Section 3.2 rule 3."""
        peer = Peer(*PEERS, "198.51.100.4", config=Config(pf_threshold=0))
        paths = peer.paths
        first = paths.primary
        peer.timeout(first)
        assert first.state is POTENTIALLY_FAILED
        assert paths.data_path().route.local != first.route.local

    def test_an_active_one_is_better_whatever_its_errors(self) -> None:
        peer = self.failing(pf_threshold=2)
        paths = peer.paths
        one, two, three = paths.paths
        for _ in range(3):
            peer.timeout(one)
            peer.timeout(three)
        peer.timeout(two)
        peer.timeout(two)
        assert [path.state for path in paths.paths] == [POTENTIALLY_FAILED, ACTIVE, POTENTIALLY_FAILED]
        assert paths.data_path() is two
        assert {paths.retransmit_path(path.path_id) for path in paths.paths} == {two}

    def test_the_choice_changes_no_state_and_no_counter(self) -> None:
        peer = self.failing()
        paths = peer.paths
        for path in paths.paths:
            peer.timeout(path)
        before = [(path.state, path.error_count) for path in paths.paths]
        for path in paths.paths:
            paths.data_path(path)
            paths.retransmit_path(path.path_id)
        assert [(path.state, path.error_count) for path in paths.paths] == before

    def test_the_one_that_answers_first_takes_all(self) -> None:
        peer = self.failing()
        paths = peer.paths
        for path in paths.paths:
            peer.timeout(path)
        assert peer.answer(paths.paths[2], OF_HEARTBEATS, True)
        assert paths.data_path() is paths.paths[2]

    def test_a_peer_that_begins_anew_has_paths_that_may_work(self) -> None:
        peer = self.failing()
        paths = peer.paths
        for path in paths.paths:
            peer.timeout(path)
        paths.restart(PEERS)
        assert [(path.state, path.error_count) for path in paths.paths] == [(ACTIVE, 0)] * 3
        assert paths.data_path() is paths.primary

    def test_an_unconfirmed_address_never_is(self) -> None:
        """Section 5.4 of RFC 9260 has a state of its own for it."""
        peer = self.failing()
        paths = peer.paths
        path = paths.add("198.51.100.9")
        assert path is not None
        for _ in range(5):
            peer.heartbeat_timeout(path)
        assert path.state is UNCONFIRMED

    def test_one_that_was_removed_is_judged_no_more(self) -> None:
        peer = self.failing()
        paths = peer.paths
        gone = paths.primary
        peer.timeout(gone)
        paths.remove(gone.route.address)
        assert peer.timeout(gone) == (False, False)
        assert gone.state is INACTIVE
        assert not peer.acknowledge(gone)
