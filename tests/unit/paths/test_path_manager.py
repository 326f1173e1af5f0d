from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.config import Config
from asyncsctp.congestion import RFC9260
from asyncsctp.path_state import PathState
from asyncsctp.paths.failover import OF_DATA, OF_HEARTBEATS, OF_REQUESTS, Verdict
from asyncsctp.paths.path import Path
from asyncsctp.paths.path_manager import PathManager
from asyncsctp.paths.route import Route

ACTIVE, INACTIVE, UNCONFIRMED = PathState.ACTIVE, PathState.INACTIVE, PathState.UNCONFIRMED
POTENTIALLY_FAILED = PathState.POTENTIALLY_FAILED
LOCALS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
PEERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


def manager(*peers: str, config: Config | None = None, locals_: list[str] | None = None) -> PathManager:
    return PathManager(config or Config(pf_threshold=None), locals_ or LOCALS, peers or PEERS, 9899, print)


def fail(paths: PathManager, path: Path) -> None:
    while path.state is ACTIVE:
        paths.on_timeout(path, counts=False)


class TestAddresses:
    def test_those_of_the_user_are_confirmed_and_the_first_is_primary(self) -> None:
        paths = manager()
        assert [path.state for path in paths.paths] == [ACTIVE] * 3
        assert paths.primary is paths.data_path() is paths.find("198.51.100.1")

    def test_those_that_the_peer_lists_are_not_confirmed(self) -> None:
        path = manager("198.51.100.1").add("198.51.100.2")
        assert path is not None
        assert path.state is UNCONFIRMED

    def test_an_address_has_one_path_however_it_is_spelled(self) -> None:
        paths = manager("2001:db8::9", "198.51.100.1")
        assert paths.add("2001:DB8:0::9") is paths.find("2001:0db8::9") is paths.paths[0]
        assert paths.add("::ffff:198.51.100.1") is paths.paths[1]
        assert len(paths.paths) == 2

    def test_ids_index_what_was_sent(self) -> None:
        paths = manager()
        assert [paths.by_id[path.path_id] for path in paths.paths] == paths.paths

    def test_local_addresses_are_paired_in_order_within_the_family(self) -> None:
        paths = manager("2001:db8::9", "198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::a")
        assert [path.route.local for path in paths.paths] == [
            "2001:db8::1",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.1",
            "2001:db8::1",
        ]

    def test_an_address_of_a_family_that_we_do_not_have_is_left_out(self) -> None:
        paths = manager("2001:db8::9", "198.51.100.1", locals_=["192.0.2.1"])
        assert [path.route.address for path in paths.paths] == ["198.51.100.1"]
        assert paths.add("2001:db8::a") is None

    def test_none_that_can_be_used_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="family"):
            manager("2001:db8::9", locals_=["192.0.2.1"])

    def test_the_smallest_packet_size_bounds_the_fragments(self) -> None:
        paths = manager("198.51.100.1")
        assert paths.amdcs == 1240
        paths.add("2001:db8::9")
        assert paths.amdcs == 1220
        assert paths.on_message_size(paths.primary, 1000)
        assert paths.amdcs == 960
        assert not paths.on_message_size(paths.primary, 1400)

    def test_removal(self) -> None:
        paths = manager("198.51.100.1", "2001:db8::9")
        gone = paths.primary
        gone.error_count = 3
        assert paths.remove("198.51.100.1")
        assert paths.data_path() is paths.primary is paths.find("2001:db8::9")
        assert paths.find("198.51.100.1") is None
        assert paths.by_id[gone.path_id] is gone
        assert not paths.on_acknowledged(gone)  # what was sent there may still be acknowledged
        assert paths.retransmit_path(gone.path_id) is paths.primary
        assert not paths.remove("2001:db8::9")
        assert not paths.remove("198.51.100.7")

    def test_the_last_confirmed_address_stays(self) -> None:
        paths = manager("198.51.100.1")
        paths.add("198.51.100.2")
        assert not paths.remove("198.51.100.1")
        assert paths.remove("198.51.100.2")


class TestLearning:
    def test_the_udp_port_of_a_verified_packet(self) -> None:
        paths = manager()
        path = paths.primary
        window = path.congestion.cwnd = 50_000
        assert paths.learn(path, Route("192.0.2.1", "198.51.100.1", 4444))
        assert path.route == Route("192.0.2.1", "198.51.100.1", 4444)
        assert not paths.learn(path, Route("192.0.2.1", "198.51.100.1", 4444))
        assert path.congestion.cwnd == window
        assert paths.paths[1].route.udp_port == 9899

    def test_the_local_address_while_ours_is_a_guess(self) -> None:
        paths = manager()
        path = paths.primary
        path.congestion.cwnd = 50_000
        assert paths.learn(path, Route("192.0.2.2", "198.51.100.1", 9899))
        assert path.route.local == "192.0.2.2"
        assert path.congestion.cwnd == 4404  # section 7.2.5.2: another source address

    def test_one_that_works_stays(self) -> None:
        paths = manager()
        paths.primary.on_rtt(0.1, 1.0)
        assert not paths.learn(paths.primary, Route("192.0.2.2", "198.51.100.1", 9899))
        assert paths.primary.route.local == "192.0.2.1"

    def test_one_that_is_not_ours_is_ignored(self) -> None:
        paths = manager()
        assert not paths.learn(paths.primary, Route("192.0.2.77", "198.51.100.1", 9899))

    def test_in_place_of_a_wildcard_it_is_the_one_that_the_peer_speaks_to(self) -> None:
        paths = manager("198.51.100.1", "2001:db8::9", "198.51.100.2", locals_=["0.0.0.0", "::"])
        first, other_family, second = paths.paths
        first.on_rtt(0.1, 1.0)
        first.congestion.cwnd = 50_000
        assert not paths.learn(first, Route("0.0.0.0", "198.51.100.1", 9899)), "where the system does not tell"
        paths.learn(first, Route("192.0.2.77", "198.51.100.1", 9899))
        assert [path.route.local for path in paths.paths] == ["192.0.2.77"] * 2
        assert second.reply_route.local == "192.0.2.77"
        assert first.congestion.cwnd == 50_000
        # It knows us by that address alone.
        assert paths.paths == [first, second]
        assert paths.add("2001:db8::a") is None
        added = paths.add("198.51.100.3")
        assert added is not None
        assert added.route.local == "192.0.2.77"
        assert not paths.learn(first, Route("192.0.2.78", "198.51.100.1", 9899))
        assert not paths.local.rotate(first)
        assert other_family.state is INACTIVE
        # A peer that has restarted may speak to another one.
        paths.restart(["198.51.100.1", "198.51.100.2"])
        assert [path.route.local for path in paths.paths] == ["0.0.0.0"] * 2
        paths.learn(first, Route("192.0.2.78", "198.51.100.1", 9899))
        assert [path.route.local for path in paths.paths] == ["192.0.2.78"] * 2

    def test_repeated_timeouts_try_the_next_local_address_and_learning_does_not_undo_it(self) -> None:
        paths = manager()
        path = paths.primary
        paths.on_timeout(path)
        assert path.route.local == "192.0.2.1"
        paths.on_timeout(path)
        assert path.route.local == "192.0.2.2"
        assert not paths.learn(path, Route("192.0.2.1", "198.51.100.1", 9899))
        paths.on_timeout(path)
        assert path.route.local == "192.0.2.1"

    def test_there_is_nothing_to_rotate_with_one_local_address(self) -> None:
        paths = manager(locals_=["192.0.2.1", "2001:db8::1"])
        before = paths.primary.route
        assert not paths.local.rotate(paths.primary)
        assert paths.primary.route is before


class TestChoice:
    def test_data_goes_to_the_primary_path_while_it_is_active(self) -> None:
        paths = manager()
        paths.on_timeout(paths.primary)
        assert paths.data_path() is paths.primary

    def test_data_goes_to_one_other_path_while_the_primary_has_failed(self) -> None:
        paths = manager()
        first, second, third = paths.paths
        second.error_count = 1
        fail(paths, first)
        assert paths.data_path() is third
        third.error_count = 4
        assert paths.data_path() is third  # the same as long as it works
        fail(paths, third)
        assert paths.data_path() is second
        paths.on_acknowledged(third)
        assert paths.data_path() is second
        paths.on_acknowledged(first)
        assert paths.data_path() is first

    def test_data_never_goes_to_an_unconfirmed_address(self) -> None:
        paths = manager("198.51.100.1")
        other = paths.add("198.51.100.2")
        assert other is not None
        paths.set_primary("198.51.100.2")
        assert paths.data_path() is paths.paths[0]
        assert paths.reply_path(other) is paths.paths[0]
        fail(paths, paths.paths[0])
        assert paths.data_path() is paths.paths[0]
        assert paths.retransmit_path(0) is paths.paths[0]
        assert paths.data_path(other) is paths.paths[0]
        assert paths.confirm(other)
        assert not paths.confirm(other)
        assert paths.data_path() is paths.retransmit_path(0) is paths.reply_path(other) is other

    def test_the_user_chooses(self) -> None:
        paths = manager()
        first, second, third = paths.paths
        assert paths.set_primary("198.51.100.2")
        assert not paths.set_primary("198.51.100.2")
        assert paths.data_path() is second
        assert paths.data_path(third) is third
        fail(paths, third)
        assert paths.data_path(third) is second
        with pytest.raises(ValueError, match=r"198\.51\.100\.9"):
            paths.set_primary("198.51.100.9")
        assert first.state is ACTIVE

    def test_retransmissions_go_to_another_active_path_with_few_errors_and_another_source(self) -> None:
        paths = manager()
        first, second, third = paths.paths
        assert paths.retransmit_path(0) is second  # the third has the local address of the first
        second.error_count = 1
        assert paths.retransmit_path(0) is third
        fail(paths, third)
        assert paths.retransmit_path(0) is second
        fail(paths, second)
        assert paths.retransmit_path(0) is first

    def test_failed_paths_take_turns_when_all_have_failed(self) -> None:
        paths = manager(config=Config(max_retrans=100, pf_threshold=None))
        for path in paths.paths:
            fail(paths, path)
        used = set()
        for _ in range(6):
            current = paths.data_path()
            used.add(current.route.address)
            paths.on_timeout(current)
            assert current.state is INACTIVE
        assert used == set(PEERS)


class TestErrors:
    def test_a_path_fails_when_its_counter_exceeds_the_limit_and_says_so_once(self) -> None:
        paths = manager(config=Config(path_max_retrans=2, pf_threshold=None))
        path = paths.primary
        verdicts = [paths.on_timeout(path) for _ in range(4)]
        assert [verdict.changed for verdict in verdicts] == [False, False, True, False]
        assert path.state is INACTIVE

    def test_the_peer_has_failed_when_the_sum_exceeds_the_limit(self) -> None:
        paths = manager(config=Config(max_retrans=3, pf_threshold=None))
        first, second, _ = paths.paths
        exceeded = [paths.on_timeout(path).exceeded for path in (first, second, first, second)]
        assert exceeded == [False, False, False, True]

    def test_a_timeout_backs_off_that_path_alone(self) -> None:
        paths = manager()
        paths.on_timeout(paths.primary)
        assert [path.rto.rto for path in paths.paths] == [2.0, 1.0, 1.0]

    def test_an_acknowledgement_clears_both_counters_and_brings_the_path_back(self) -> None:
        paths = manager()
        fail(paths, paths.primary)
        paths.on_timeout(paths.paths[1])
        assert paths.on_acknowledged(paths.primary)
        assert not paths.on_acknowledged(paths.primary)
        assert (paths.error_count, paths.primary.error_count, paths.paths[1].error_count) == (0, 0, 1)

    def test_an_answer_to_a_heartbeat_spares_the_association_counter_while_data_waits(self) -> None:
        paths = manager()
        first, second, _ = paths.paths
        paths.on_timeout(first)
        paths.on_timeout(second)
        assert not paths.on_answered(second, OF_HEARTBEATS, True)
        assert (paths.error_count, second.error_count) == (2, 0)
        paths.on_answered(second, OF_HEARTBEATS, False)
        assert (paths.error_count, first.error_count) == (0, 1)

    def test_a_peer_that_answers_heartbeats_but_no_data_is_given_up(self) -> None:
        paths = manager("198.51.100.1")
        for count in range(11):
            assert paths.error_count == count
            exceeded = paths.on_timeout(paths.primary).exceeded
            paths.on_answered(paths.primary, OF_HEARTBEATS, True)
        assert exceeded

    def test_a_back_off_lasts_as_long_as_the_count_of_what_it_is_for(self) -> None:
        """Sections 6.3.3 and 8.1: an answer of another kind may be measured, but counts and waits go together."""
        paths = manager("198.51.100.1", "198.51.100.2")
        first, second = paths.paths
        for kind in (OF_DATA, OF_REQUESTS):
            for path in (first, second, first):
                paths.on_timeout(path, kind)
            for path in (first, second):
                paths.on_answered(path, OF_HEARTBEATS, True)
                path.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
            assert [path.rto.rto for path in (first, second)] == [4.0, 2.0]
            assert not paths.on_acknowledged(first)
            assert [path.rto.rto for path in (first, second)] == [1.0, 1.0]
            assert paths.error_count == 0

    def test_an_answered_heartbeat_ends_the_back_off_of_those_that_were_not(self) -> None:
        paths = manager("198.51.100.1", "198.51.100.2")
        first, second = paths.paths
        paths.on_timeout(first)
        paths.on_heartbeat_timeout(second)
        paths.on_answered(second, OF_HEARTBEATS, True)
        second.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
        assert [path.rto.rto for path in (first, second)] == [2.0, 1.0]

    def test_the_last_answer_that_was_missing_ends_what_is_left_of_the_back_off(self) -> None:
        paths = manager("198.51.100.1")
        path = paths.primary
        paths.on_timeout(path, OF_REQUESTS)
        paths.on_answered(path, OF_HEARTBEATS, True)
        path.on_rtt(0.1, 1.0, keep=paths.error_count > 0)
        assert path.rto.rto == 2.0
        paths.on_answered(path, OF_REQUESTS, True)
        assert (path.rto.rto, paths.error_count) == (1.0, 0)

    def test_heartbeats_count_in_a_row_whatever_else_is_unanswered(self) -> None:
        """Section 8.1: an answer ends the silence about its kind, and data that waits is counted all the same."""
        paths = manager("198.51.100.1")
        path = paths.primary
        paths.on_timeout(path)
        for _ in range(30):
            assert not paths.on_heartbeat_timeout(path).exceeded
            assert not paths.on_timeout(path, OF_REQUESTS).exceeded
            paths.on_answered(path, OF_HEARTBEATS, True)
            paths.on_answered(path, OF_REQUESTS, True)
        assert paths.error_count == 1
        assert [paths.on_heartbeat_timeout(path).exceeded for _ in range(10)] == [False] * 9 + [True]

    def test_lost_heartbeats_count_for_the_association_only_where_data_goes(self) -> None:
        paths = manager()
        paths.on_heartbeat_timeout(paths.paths[1])
        assert paths.error_count == 0
        paths.on_heartbeat_timeout(paths.primary)
        assert paths.error_count == 1

    def test_lost_heartbeats_fail_a_path_and_then_its_counter_stops(self) -> None:
        paths = manager()
        path = paths.paths[1]
        changes = [paths.on_heartbeat_timeout(path).changed for _ in range(10)]
        assert changes == [False] * 5 + [True] + [False] * 4
        assert path.error_count == 6
        assert path.rto.rto == 60.0

    def test_lost_probes_of_an_unconfirmed_address_never_count_for_the_association(self) -> None:
        paths = manager("198.51.100.1")
        path = paths.add("198.51.100.2")
        assert path is not None
        for _ in range(20):
            assert paths.on_heartbeat_timeout(path) == Verdict(changed=False)
        assert paths.error_count == 0
        assert path.state is UNCONFIRMED
        assert path.error_count == 6
        assert paths.confirm(path)
        assert path.error_count == 0

    def test_a_limit_of_nothing(self) -> None:
        paths = manager(config=Config(path_max_retrans=0, max_retrans=0, pf_threshold=None))
        assert paths.on_timeout(paths.primary) == Verdict(changed=True, exceeded=True)


def test_settings_change_for_all_paths() -> None:
    paths = manager()
    paths.primary.congestion.cwnd = 50_000
    config = Config(rto_initial=0.5, path_max_retrans=1, max_retrans=1, heartbeat_interval=None)
    paths.configure(config)
    assert paths.primary.rto.rto == 0.5
    assert paths.primary.settings.heartbeat_interval is None
    assert paths.primary.congestion.cwnd == 50_000
    paths.on_timeout(paths.primary)
    assert paths.on_timeout(paths.primary) == Verdict(changed=True, exceeded=True)


def test_another_congestion_controller_replaces_the_old() -> None:
    made = []

    def factory(pmdcs: int, ipv4: bool) -> RFC9260:
        made.append((pmdcs, ipv4))
        return RFC9260(pmdcs, ipv4, 2)

    paths = manager("198.51.100.1", "2001:db8::9")
    paths.configure(Config(congestion=factory))
    assert made == [(1240, True), (1220, False)]
    paths.add("198.51.100.2")
    assert made[-1] == (1240, True)


def test_an_idle_association_keeps_little() -> None:
    config = Config()
    manager("198.51.100.1", config=config)
    tracemalloc.start()
    try:
        kept = [PathManager(config, LOCALS, ["198.51.100.1"], 9899, print) for _ in range(100)]
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size / len(kept) < 1500


@given(st.lists(st.tuples(st.sampled_from("tthackp"), st.integers(0, 4))))
def test_data_goes_to_an_active_path_as_long_as_there_is_one_and_never_to_an_unconfirmed_one(
    steps: list[tuple[str, int]],
) -> None:
    paths = manager("198.51.100.1", "198.51.100.2", config=Config(path_max_retrans=1, pf_threshold=None))
    for n in (3, 4, 5):
        paths.add(f"198.51.100.{n}")
    for what, n in steps:
        path = paths.by_id[n]
        before = path.state
        if what == "t" and before is not UNCONFIRMED:
            assert paths.on_timeout(path).changed == (before is ACTIVE and path.state is INACTIVE)
        elif what == "h":
            paths.on_heartbeat_timeout(path)
        elif what == "a" and before is not UNCONFIRMED:
            assert paths.on_acknowledged(path) == (before is INACTIVE)
        elif what == "c":
            assert paths.confirm(path) == (before is UNCONFIRMED)
        elif what == "k":
            assert paths.on_answered(path, OF_HEARTBEATS, True) == (before is INACTIVE)
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

    def failing(self, **settings: int | None) -> PathManager:
        return manager(config=Config(**{"pf_threshold": 0, "max_retrans": 100} | settings))  # type: ignore[arg-type]

    def test_the_most_divergent_of_several_active_ones_takes_over(self) -> None:
        """Section 3.2 rule 3."""
        paths = manager(*PEERS, "198.51.100.4", config=Config(pf_threshold=0))
        first = paths.primary
        paths.on_timeout(first)
        assert first.state is POTENTIALLY_FAILED
        assert paths.data_path().route.local != first.route.local

    def test_an_active_one_is_better_whatever_its_errors(self) -> None:
        paths = self.failing(pf_threshold=2)
        one, two, three = paths.paths
        for _ in range(3):
            paths.on_timeout(one)
            paths.on_timeout(three)
        paths.on_timeout(two)
        paths.on_timeout(two)
        assert [path.state for path in paths.paths] == [POTENTIALLY_FAILED, ACTIVE, POTENTIALLY_FAILED]
        assert paths.data_path() is two
        assert {paths.retransmit_path(path.path_id) for path in paths.paths} == {two}

    def test_the_choice_changes_no_state_and_no_counter(self) -> None:
        paths = self.failing()
        for path in paths.paths:
            paths.on_timeout(path)
        before = [(path.state, path.error_count) for path in paths.paths]
        for path in paths.paths:
            paths.data_path(path)
            paths.retransmit_path(path.path_id)
        assert [(path.state, path.error_count) for path in paths.paths] == before

    def test_the_one_that_answers_first_takes_all(self) -> None:
        paths = self.failing()
        for path in paths.paths:
            paths.on_timeout(path)
        assert paths.on_answered(paths.paths[2], OF_HEARTBEATS, True)
        assert paths.data_path() is paths.paths[2]

    def test_a_peer_that_begins_anew_has_paths_that_may_work(self) -> None:
        paths = self.failing()
        for path in paths.paths:
            paths.on_timeout(path)
        paths.restart(PEERS)
        assert [(path.state, path.error_count) for path in paths.paths] == [(ACTIVE, 0)] * 3
        assert paths.data_path() is paths.primary

    def test_an_unconfirmed_address_never_is(self) -> None:
        """Section 5.4 of RFC 9260 has a state of its own for it."""
        paths = self.failing()
        path = paths.add("198.51.100.9")
        assert path is not None
        for _ in range(5):
            paths.on_heartbeat_timeout(path)
        assert path.state is UNCONFIRMED

    def test_one_that_was_removed_is_judged_no_more(self) -> None:
        paths = self.failing()
        gone = paths.primary
        paths.on_timeout(gone)
        paths.remove(gone.route.address)
        assert paths.on_timeout(gone) == Verdict(changed=False)
        assert gone.state is INACTIVE
        assert not paths.on_acknowledged(gone)

    def test_settings_are_shared_until_a_path_has_its_own(self) -> None:
        paths = manager()
        assert len({id(path.settings) for path in paths.paths}) == 1
        paths.configure_path(paths.primary, {"dscp": 5})
        assert paths.primary.settings is not paths.paths[1].settings is paths.paths[2].settings
