from __future__ import annotations

import tracemalloc

import pytest

from asyncsctp.config import Config
from asyncsctp.congestion import RFC9260
from asyncsctp.path_state import PathState
from asyncsctp.paths.failover import ROTATE_AT
from asyncsctp.paths.path import Path
from asyncsctp.paths.path_manager import PathManager
from asyncsctp.paths.route import Route

ACTIVE, INACTIVE, UNCONFIRMED = PathState.ACTIVE, PathState.INACTIVE, PathState.UNCONFIRMED
POTENTIALLY_FAILED = PathState.POTENTIALLY_FAILED
LOCALS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
PEERS = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


def manager(*peers: str, config: Config | None = None, locals_: list[str] | None = None) -> PathManager:
    return PathManager(config or Config(pf_threshold=None), locals_ or LOCALS, peers or PEERS, 9899, print)


def time_out(paths: PathManager, path: Path) -> None:
    path.error_count += 1
    if path.error_count >= ROTATE_AT:
        paths.local.rotate(path)
    paths.judge(path)


def fail(paths: PathManager, path: Path) -> None:
    while path.state is ACTIVE:
        time_out(paths, path)


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
        assert not paths.recover(gone)  # what was sent there may still be acknowledged
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
        time_out(paths, path)
        assert path.route.local == "192.0.2.1"
        time_out(paths, path)
        assert path.route.local == "192.0.2.2"
        assert not paths.learn(path, Route("192.0.2.1", "198.51.100.1", 9899))
        time_out(paths, path)
        assert path.route.local == "192.0.2.1"

    def test_there_is_nothing_to_rotate_with_one_local_address(self) -> None:
        paths = manager(locals_=["192.0.2.1", "2001:db8::1"])
        before = paths.primary.route
        assert not paths.local.rotate(paths.primary)
        assert paths.primary.route is before


class TestChoice:
    def test_data_goes_to_the_primary_path_while_it_is_active(self) -> None:
        paths = manager()
        time_out(paths, paths.primary)
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
        paths.recover(third)
        assert paths.data_path() is second
        paths.recover(first)
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


def test_settings_change_for_all_paths() -> None:
    paths = manager()
    paths.primary.congestion.cwnd = 50_000
    config = Config(rto_initial=0.5, path_max_retrans=1, max_retrans=1, heartbeat_interval=None)
    paths.configure(config)
    assert paths.primary.rto.rto == 0.5
    assert paths.primary.settings.heartbeat_interval is None
    assert paths.primary.congestion.cwnd == 50_000
    paths.primary.error_count = 2
    assert paths.judge(paths.primary)


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


def test_settings_are_shared_until_a_path_has_its_own() -> None:
    paths = manager()
    assert len({id(path.settings) for path in paths.paths}) == 1
    paths.configure_path(paths.primary, {"dscp": 5})
    assert paths.primary.settings is not paths.paths[1].settings is paths.paths[2].settings
