"""RFC 7829: a path that may have failed, the dormant state, and the switchover of the primary path, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from support.script import PEER, Packet, Script

from asyncsctp.config import Config
from asyncsctp.events import PathChanged, PeerAddressChanged, StreamsReset
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.wire.constants import DATA, FORWARD_TSN, HEARTBEAT, RE_CONFIG, SACK
from asyncsctp.wire.control import pack_heartbeat_ack, read_heartbeat
from asyncsctp.wire.reconfig import PERFORMED, pack_reconfig, pack_response

ACTIVE = PathState.ACTIVE
PF = PathState.POTENTIALLY_FAILED
INACTIVE = PathState.INACTIVE


def script(paths: int = 2, **settings: Any) -> Script:
    return Script(Config(**{"pf_threshold": 0, "heartbeat_interval": None, "max_retrans": 100} | settings), paths=paths)


def states(script: Script, number: int = 0) -> list[PathState]:
    """What the user was told of an address."""
    return [
        event.state for event in script.user.events if isinstance(event, PathChanged) and event.address == PEER[number]
    ]


def data_of(packets: list[Packet]) -> list[tuple[str, list[int]]]:
    return [(packet.to, packet.tsns) for packet in packets if packet.tsns]


def answer(script: Script, packet: Packet, number: int = 0) -> None:
    value = packet.one(HEARTBEAT).value
    script.send(pack_heartbeat_ack(read_heartbeat(value, 0, len(value))), source=number)


def fail(script: Script, times: int = 1, first_tsn: int = 0) -> int:
    """The primary path times out so often, each time with new data, which is then acknowledged elsewhere."""
    for tsn in range(first_tsn, first_tsn + times):
        script.write(b"lost at first")
        while not any(packet.to == PEER[1] for packet in script.take()):
            script.advance(0.1)
        script.send(script.sack(tsn))
    script.take()
    return first_tsn + times


# Section 3.2.


def test_rule_1_a_threshold_as_high_as_that_of_failure_changes_nothing() -> None:
    """PFMR greater than or equal to PMR: INACTIVE is reached before."""
    peer = script(pf_threshold=2, path_max_retrans=2)
    fail(peer, 3)
    assert states(peer) == [INACTIVE]


def test_rule_1_without_a_threshold_there_is_no_such_state() -> None:
    peer = script(pf_threshold=None, path_max_retrans=2)
    fail(peer, 2)
    assert states(peer) == []
    assert peer.path().state is ACTIVE
    fail(peer, 1, first_tsn=2)
    assert states(peer) == [INACTIVE]


@pytest.mark.parametrize("threshold", [0, 1, 3])
def test_rule_2_more_errors_than_the_threshold_make_it_potentially_failed(threshold: int) -> None:
    """When the error counter exceeds PFMR, the endpoint MUST mark the address as PF."""
    peer = script(pf_threshold=threshold)
    fail(peer, threshold)
    assert peer.path().state is ACTIVE
    fail(peer, 1, first_tsn=threshold)
    assert peer.path().state is PF
    assert states(peer) == [PF]


def test_rule_2_heartbeats_count_as_well() -> None:
    """Each time a HEARTBEAT chunk is sent when idle and not acknowledged within an RTO."""
    peer = script(heartbeat_interval=5.0)
    peer.advance(6.0)
    assert [packet.kinds for packet in peer.take()] == [[HEARTBEAT]] * 2
    assert states(peer) == []
    peer.advance(1.0)
    assert states(peer) == states(peer, 1) == [PF]


def test_rule_2_an_answer_in_time_clears_the_counter() -> None:
    peer = script(pf_threshold=1)
    for tsn in (0, 2, 4):
        fail(peer, 1, first_tsn=tsn)
        peer.write(b"gets through")
        peer.send(peer.sack(tsn + 1))
        assert peer.path().error_count == 0
    assert states(peer) == []


def test_rule_3_i_new_data_goes_to_an_active_address() -> None:
    """The sender SHOULD choose a destination address in active state, and MUST NOT change the state of either by it."""
    peer = script()
    tsn = fail(peer)
    for _ in range(3):
        peer.write(b"new")
        assert data_of(peer.take()) == [(PEER[1], [tsn])]
        peer.send(peer.sack(tsn))
        tsn += 1
    assert (peer.path().state, peer.path().error_count) == (PF, 1)
    assert peer.path(1).state is ACTIVE


def test_rule_3_ii_data_that_timed_out_goes_to_an_active_address() -> None:
    peer = script()
    peer.write(b"lost")
    peer.take()
    peer.advance(1.0)
    assert data_of(peer.take()) == [(PEER[1], [0])]
    assert peer.path().state is PF


def test_rule_3_ii_it_stays_where_only_its_own_address_is_active() -> None:
    """The other one is PF: to the active one it goes again."""
    peer = script(pf_threshold=1)
    peer.association.set_primary(PEER[1])
    peer.flush()
    for tsn in (0, 1):
        peer.write(b"lost at first")
        while not any(packet.to == PEER[0] for packet in peer.take()):
            peer.advance(0.1)
        peer.send(peer.sack(tsn))
    assert (peer.path(0).state, peer.path(1).state) == (ACTIVE, PF)
    peer.write(b"lost")
    assert data_of(peer.take()) == [(PEER[0], [2])]
    peer.advance(1.0)
    assert data_of(peer.take()) == [(PEER[0], [2])]


def test_rule_3_iii_the_wish_of_the_user_counts_for_active_addresses_only() -> None:
    """The user explicitly requests an address in PF state: an alternate address in active state, if one exists."""
    peer = script()
    tsn = fail(peer)
    peer.write(b"wished", path=PEER[0])
    assert data_of(peer.take()) == [(PEER[1], [tsn])]


def test_rule_3_fast_retransmissions_avoid_it_too() -> None:
    peer = script()
    peer.association.heartbeat(PEER[0], peer.now)
    peer.write(b"data")
    peer.advance(0.5)
    peer.send(peer.sack(0))
    peer.write(b"missed")
    for _ in range(3):
        peer.write(b"data", path=PEER[1])
    peer.take()
    peer.advance(0.6)  # the HEARTBEAT is overdue, and T3-rtx is not yet
    assert peer.path().state is PF
    for last in (2, 3, 4):
        peer.send(peer.sack(0, [(2, last)]))
    assert data_of(peer.take()) == [(PEER[1], [1])]


def test_rule_4_with_none_active_the_one_with_the_fewest_errors_takes_all() -> None:
    """MUST choose one in PF state; SHOULD the one with the lowest error count; the state stays as it is."""
    peer = script()
    peer.write(b"lost")
    assert data_of(peer.wait()) == [(PEER[0], [0])]
    seen = [data_of(peer.wait())[0][0] for _ in range(5)]
    # Each time-out counts one error more where it was; equal counts take turns.
    assert seen == [PEER[1], PEER[0], PEER[1], PEER[0], PEER[1]]
    assert states(peer) == states(peer, 1) == [PF]


def test_rule_4_a_potentially_failed_address_is_better_than_an_inactive_one() -> None:
    peer = script()
    peer.association.configure_path(PEER[1], {"max_retrans": 0}, peer.now)
    peer.write(b"lost")
    peer.take()
    seen = [data_of(peer.wait())[0][0] for _ in range(4)]
    assert seen == [PEER[1], PEER[0], PEER[0], PEER[0]]
    assert (peer.path(0).state, peer.path(1).state) == (PF, INACTIVE)


@pytest.mark.parametrize("number", [0, 1])
def test_rule_4_i_new_data_goes_to_the_one_with_the_lowest_error_count(number: int) -> None:
    peer = script()
    peer.association.configure_path(PEER[1 - number], {"heartbeat_interval": 30.0}, peer.now)
    peer.write(b"lost")
    peer.advance(2.0)
    peer.send(peer.sack(0))
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)
    peer.advance(2.0)  # a HEARTBEAT to the other one is overdue
    assert peer.path(1 - number).error_count > peer.path(number).error_count
    peer.take()
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[number], [1])]


def times_of(peer: Script, number: int, seconds: float) -> list[float]:
    """When HEARTBEATs go to an address, from now on; those to the other are answered."""
    began = peer.now
    seen = []
    while peer.now < began + seconds:
        for packet in peer.wait(began + seconds - peer.now):
            if packet.to == PEER[number]:
                seen += [peer.now - began] * len(packet.all(HEARTBEAT))
            elif packet.all(HEARTBEAT):
                answer(peer, packet, 1 - number)
    return seen


def test_rules_5_and_6_heartbeats_follow_at_once_and_once_per_rto() -> None:
    """HB.interval MUST be ignored; the RTO is backed off; the next one leaves immediately after the time-out."""
    peer = script(heartbeat_interval=30.0, rto_max=8.0, path_max_retrans=5)
    peer.write(b"lost")
    peer.take()
    peer.advance(1.0)
    packets = peer.take()
    assert data_of(packets) == [(PEER[1], [0])]
    assert [packet.to for packet in packets if packet.all(HEARTBEAT)] == [PEER[0]]
    peer.send(peer.sack(0))
    # At one error the RTO is 2 s, and with each one more it is doubled, up to RTO.Max. With the sixth it is INACTIVE.
    assert times_of(peer, 0, 30.0) == pytest.approx([2.0, 6.0, 14.0, 22.0])
    assert states(peer) == [PF, INACTIVE]


def test_rule_5_no_heartbeats_where_they_are_disabled() -> None:
    """If the Path Heartbeat function is disabled for the destination address, HEARTBEATs MUST NOT be sent."""
    peer = script(heartbeat_interval=None)
    fail(peer)
    peer.advance(1000.0)
    peer.expect_nothing()
    assert peer.path().state is PF


def test_rule_5_disabled_for_this_address_alone() -> None:
    peer = script(heartbeat_interval=5.0)
    peer.association.configure_path(PEER[0], {"heartbeat_interval": None}, peer.now)
    fail(peer)
    assert times_of(peer, 0, 100.0) == []
    peer.association.configure_path(PEER[0], {"heartbeat_interval": 5.0}, peer.now)
    peer.flush()
    assert times_of(peer, 0, 5.0)[0] == 0.0


def test_rule_6_a_heartbeat_under_way_is_not_doubled() -> None:
    peer = script(heartbeat_interval=30.0)
    peer.write(b"lost")
    peer.advance(0.5)
    peer.association.heartbeat(PEER[0], peer.now)
    peer.flush()
    peer.take()
    peer.advance(0.5)
    assert peer.path().state is PF
    assert not any(packet.all(HEARTBEAT) for packet in peer.take())
    peer.advance(0.5)
    assert [packet.to for packet in peer.take() if packet.all(HEARTBEAT)] == [PEER[0]]
    assert peer.path().error_count == 2


def test_rule_6_a_silence_counts_once_while_data_is_outstanding() -> None:
    """The timeout of a HEARTBEAT MAY be ignored if data is outstanding towards the address: T3-rtx tells the same."""
    peer = script(paths=1, heartbeat_interval=30.0, path_max_retrans=4)
    peer.write(b"lost")
    peer.advance(1.0 + 2.0 + 4.0 + 8.0 - 0.1)
    assert peer.path().error_count == 3
    assert states(peer) == [PF]
    assert peer.association.path_manager.error_count == 3


def test_rule_7_an_answer_to_a_heartbeat_makes_it_active() -> None:
    """SHOULD clear the error counter and transition back; data follows section 7.2 of RFC 9260."""
    peer = script(heartbeat_interval=30.0)
    peer.write(b"lost")
    peer.take()
    peer.advance(1.0)
    packets = peer.take()
    [probe] = [packet for packet in packets if packet.all(HEARTBEAT)]
    answer(peer, probe)
    assert (peer.path().state, peer.path().error_count) == (ACTIVE, 0)
    assert states(peer) == [PF, ACTIVE]
    assert peer.cwnd == peer.payload
    peer.send(peer.sack(0))
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[0], [1])]


def test_rule_8_more_time_outs_make_it_inactive_and_heartbeats_seldom() -> None:
    """PMR - PFMR more: INACTIVE, the ULP is notified, and HEARTBEATs go at the HB.interval frequency."""
    peer = script(heartbeat_interval=30.0, path_max_retrans=2, rto_max=4.0)
    fail(peer)
    times_of(peer, 0, 10.0)
    assert states(peer) == [PF, INACTIVE]
    seen = times_of(peer, 0, 200.0)
    assert [later - earlier for earlier, later in zip(seen, seen[1:], strict=False)] == pytest.approx([34.0] * 5)


def test_rule_9_what_was_sent_to_several_addresses_proves_none_of_them() -> None:
    """SHOULD NOT clear the error count, and SHOULD NOT move an address in PF state back to active state."""
    peer = script()
    peer.write(b"lost")
    peer.advance(1.0)
    peer.advance(1.0)
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)
    last = data_of(peer.take())[-1][0]
    peer.send(peer.sack(0))
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)
    assert (peer.path(0).error_count, peer.path(1).error_count) == (1, 1)
    assert peer.association.path_manager.error_count == 0  # RFC 9260 section 8.1: the peer answers
    assert last == PEER[0]


def test_rule_9_by_a_gap_block_neither() -> None:
    peer = script()
    peer.write(b"lost", b"this too")
    peer.advance(2.0)
    peer.take()
    peer.send(peer.sack(-1, [(1, 1)]))
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)


def test_rule_9_an_inactive_address_stays_so_as_well() -> None:
    peer = script(path_max_retrans=0)
    peer.write(b"lost")
    peer.advance(2.0)
    peer.send(peer.sack(0))
    assert (peer.path(0).state, peer.path(1).state) == (INACTIVE, INACTIVE)


def test_rule_9_is_not_for_an_active_address() -> None:
    """There the counter is cleared as RFC 9260 section 8.2 has it."""
    peer = script(pf_threshold=1)
    peer.write(b"lost")
    peer.advance(2.0)
    assert (peer.path(0).error_count, peer.path(1).error_count) == (1, 1)
    peer.send(peer.sack(0))
    assert sorted((peer.path(0).error_count, peer.path(1).error_count)) == [0, 1]


def test_rule_9_holds_for_a_request_to_reconfigure_as_well() -> None:
    peer = Script(Config(pf_threshold=0, heartbeat_interval=None), paths=2, extensions=frozenset({RE_CONFIG}))
    peer.association.reconfig.reset_streams([1], None)
    peer.flush()
    peer.advance(2.0)
    assert [packet.to for packet in peer.take()] == [PEER[0], PEER[1], PEER[0]]
    peer.send(pack_reconfig([pack_response(peer.ours(0), PERFORMED)]))
    assert StreamsReset(True, (1,), "ok") in peer.user.events
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)
    peer.association.reconfig.reset_streams([2], None)
    peer.flush()
    [request] = peer.take()
    peer.send(pack_reconfig([pack_response(peer.ours(1), PERFORMED)]))
    assert peer.path(PEER.index(request.to)).state is ACTIVE  # rule 10


def test_rule_9_holds_for_a_forward_tsn_as_well() -> None:
    peer = Script(Config(pf_threshold=0, heartbeat_interval=None), paths=2, extensions=frozenset({FORWARD_TSN}))
    peer.association.send(0, b"once only", options={"max_retransmits": 0})
    peer.flush()
    peer.advance(2.0)
    packets = peer.take()
    assert [packet.to for packet in packets if packet.all(FORWARD_TSN)] == [PEER[1], PEER[0]]
    peer.send(peer.sack(0))
    assert (peer.path(0).state, peer.path(1).state) == (PF, PF)


def test_rule_10_holds_for_a_forward_tsn_as_well() -> None:
    peer = Script(Config(pf_threshold=0, heartbeat_interval=None), paths=1, extensions=frozenset({FORWARD_TSN}))
    peer.association.send(0, b"once only", options={"max_retransmits": 0})
    peer.flush()
    peer.advance(3.0)
    assert peer.path().state is PF
    peer.send(peer.sack(0))
    assert peer.path().state is ACTIVE


def test_rule_10_what_was_sent_to_one_address_only_makes_it_active() -> None:
    """MUST clear the error counter and MUST transition an address in PF state back to active state."""
    peer = script()
    peer.write(b"lost")
    peer.advance(2.0)
    peer.send(peer.sack(0))
    peer.take()
    peer.write(b"new")
    [(to, [tsn])] = data_of(peer.take())
    peer.send(peer.sack(tsn))
    number = PEER.index(to)
    assert (peer.path(number).state, peer.path(number).error_count) == (ACTIVE, 0)
    assert peer.path(1 - number).state is PF


def test_rule_10_again_to_the_same_address_is_still_one_address() -> None:
    peer = script(paths=1)
    peer.write(b"late")
    peer.advance(3.0)
    assert peer.path().state is PF
    peer.send(peer.sack(0))
    assert (peer.path().state, peer.path().error_count) == (ACTIVE, 0)
    assert states(peer) == [PF, ACTIVE]


def test_rule_10_a_time_out_may_have_been_spurious() -> None:
    """Acknowledgments arrive for data that has not yet been retransmitted towards other destinations."""
    peer = script()
    peer.write_packets(3)
    peer.take()
    peer.path(1).congestion.cwnd = peer.payload
    peer.advance(1.0)
    assert data_of(peer.take()) == [(PEER[1], [0])]
    assert peer.path().state is PF
    peer.send(peer.sack(1))  # TSN 1 went to the first address alone
    assert (peer.path().state, peer.path().error_count) == (ACTIVE, 0)


# Section 4.1: the dormant state.


def test_dormant_1_and_2_data_goes_on_and_states_stay() -> None:
    """MUST choose one destination and transmit data there; it remains in inactive state."""
    peer = script(path_max_retrans=1)
    peer.write(b"lost")
    peer.advance(40.0)
    assert states(peer) == states(peer, 1) == [PF, INACTIVE]
    assert peer.state is ESTABLISHED
    peer.take()
    assert data_of(peer.wait(200.0))
    assert {path.state for path in peer.association.path_manager.paths} == {INACTIVE}


def test_dormant_3_the_one_with_the_fewest_errors_is_chosen() -> None:
    """The error counters go on above PMR + 1, and tell inactive addresses apart."""
    peer = script(path_max_retrans=1, rto_max=1.0, heartbeat_interval=1.0)
    # The second address gets HEARTBEATs only, which nobody answers; data goes to the first until it fails, too.
    peer.association.configure_path(PEER[0], {"heartbeat_interval": None}, peer.now)
    while peer.path(1).error_count < 5:
        peer.advance(1.0)
    assert peer.path(1).state is INACTIVE
    peer.take()
    peer.write(b"lost")
    seen: list[str] = []
    while len(seen) < 4:
        seen += [to for to, _ in data_of(peer.wait())]
    assert seen == [PEER[0]] * 4
    assert peer.path(0).state is INACTIVE


def test_dormant_3_the_counter_has_a_limit() -> None:
    """Some reasonable limit, an order of magnitude higher than the PMR value."""
    peer = script(path_max_retrans=2, rto_max=1.0, heartbeat_interval=0.1)
    peer.association.set_primary(PEER[1])  # whose HEARTBEATs count for the association
    peer.association.configure_path(PEER[1], {"heartbeat_interval": None}, peer.now)
    peer.advance(500.0)
    assert peer.path(0).error_count == 20


def test_dormant_3_time_outs_of_data_have_the_same_limit() -> None:
    peer = script(paths=1, path_max_retrans=1, rto_max=1.0)
    peer.write(b"lost")
    peer.advance(50.0)
    assert peer.path().error_count == 10
    assert peer.association.path_manager.error_count == 50  # for which there is none but AMR


def test_dormant_without_a_threshold_the_counter_stops_as_ever() -> None:
    """RFC 9260 section 8.3: SHOULD stop increasing the counter once the address is inactive."""
    peer = script(pf_threshold=None, path_max_retrans=2, rto_max=1.0, heartbeat_interval=0.1)
    peer.association.set_primary(PEER[1])
    peer.association.configure_path(PEER[1], {"heartbeat_interval": None}, peer.now)
    peer.advance(500.0)
    assert peer.path(0).error_count == 3


# Section 5: the switchover of the primary path.


def primaries(script: Script) -> list[str]:
    return [
        event.address
        for event in script.user.events
        if isinstance(event, PeerAddressChanged) and event.state == "primary"
    ]


@pytest.mark.parametrize(("threshold", "switchover"), [(0, 0), (0, 2), (1, 1), (None, 5), (None, 7)])
def test_switchover_2_and_3_the_path_that_data_takes_becomes_the_primary(
    threshold: int | None, switchover: int
) -> None:
    """When the error counter exceeds PSMR: MUST autonomously select and set a new primary path."""
    peer = script(pf_threshold=threshold, primary_switchover=switchover, heartbeat_interval=30.0, rto_max=2.0)
    tsn = 0
    for _ in range(1000):
        if primaries(peer):
            break
        assert peer.path().error_count <= switchover
        peer.write(b"data")
        peer.advance(0.5)
        for packet in peer.take():
            if packet.to == PEER[1] and packet.tsns:
                tsn = packet.tsns[-1]
                peer.send(peer.sack(tsn))
            elif packet.to == PEER[1] and packet.all(HEARTBEAT):
                answer(peer, packet, 1)
        peer.take()
    assert peer.path().error_count == switchover + 1
    assert primaries(peer) == [PEER[1]]
    assert peer.association.path_manager.primary is peer.path(1)


def test_switchover_4_there_is_no_switchback() -> None:
    peer = script(primary_switchover=0)
    tsn = fail(peer)
    peer.association.heartbeat(PEER[0], peer.now)
    peer.flush()
    answer(peer, peer.expect(HEARTBEAT))
    assert peer.path().state is ACTIVE
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[1], [tsn])]


def test_switchover_6_without_it_data_comes_back() -> None:
    peer = script(primary_switchover=None)
    tsn = fail(peer)
    peer.association.heartbeat(PEER[0], peer.now)
    peer.flush()
    answer(peer, peer.expect(HEARTBEAT))
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[0], [tsn])]
    assert primaries(peer) == []


def test_switchover_the_old_primary_is_used_again_when_the_new_one_fails() -> None:
    """Rule 3: a previously failed primary path can be used as per normal path selection."""
    peer = script(primary_switchover=0)
    tsn = fail(peer)
    peer.association.heartbeat(PEER[0], peer.now)
    peer.flush()
    answer(peer, peer.expect(HEARTBEAT))
    peer.write(b"lost on the new one")
    peer.take()
    assert data_of(peer.wait()) == [(PEER[0], [tsn])]
    assert primaries(peer) == [PEER[1], PEER[0]]


def test_switchover_with_nowhere_to_go_nothing_changes() -> None:
    peer = script(paths=1, primary_switchover=0)
    peer.write(b"lost")
    peer.advance(20.0)
    assert primaries(peer) == []
    assert peer.path().state is PF


# Settings of one path, and of all.


def test_a_threshold_that_is_lowered_is_exceeded_at_once() -> None:
    peer = script(pf_threshold=None)
    tsn = fail(peer, 2)
    assert states(peer) == []
    peer.association.configure(peer.association.context.config.replace(pf_threshold=1))
    peer.flush()
    assert states(peer) == [PF]
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[1], [tsn])]


def test_a_threshold_that_is_raised_is_not_exceeded_any_more() -> None:
    peer = script()
    tsn = fail(peer)
    peer.association.configure_path(PEER[0], {"pf_threshold": None}, peer.now)
    assert states(peer) == [PF, ACTIVE]
    peer.write(b"new")
    assert data_of(peer.take()) == [(PEER[0], [tsn])]


def test_heartbeats_that_are_switched_on_are_sent() -> None:
    """RFC 9260 section 8.3 C: re-enable."""
    peer = script()
    peer.advance(100.0)
    peer.association.configure(peer.association.context.config.replace(heartbeat_interval=5.0), peer.now)
    peer.flush()
    peer.advance(5.9)
    peer.expect_nothing()
    peer.advance(0.2)
    assert {packet.to for packet in peer.take() if packet.all(HEARTBEAT)} == set(PEER)
    peer.association.configure_path(PEER[1], {"heartbeat_interval": None}, peer.now)
    peer.advance(50.0)
    assert [packet.to for packet in peer.take() if packet.all(HEARTBEAT)].count(PEER[1]) <= 1


def test_what_is_set_for_a_path_stays_when_all_are_configured() -> None:
    peer = script(heartbeat_interval=30.0)
    peer.association.configure_path(PEER[0], {"max_retrans": 9, "heartbeat_interval": 7.0}, peer.now)
    peer.association.configure(peer.association.context.config.replace(path_max_retrans=1, heartbeat_interval=3.0))
    settings = [path.settings for path in peer.association.path_manager.paths]
    assert [(its.max_retrans, its.heartbeat_interval) for its in settings] == [(9, 7.0), (1, 3.0)]


def test_the_packet_size_of_one_path_bounds_the_chunks_of_all() -> None:
    """RFC 9260 section 7.3: AMDCS is the smallest PMDCS."""
    peer = script()
    peer.association.configure_path(PEER[1], {"mtu": 700}, peer.now)
    peer.write(bytes(2000))
    sizes = [len(chunk.data) for packet in peer.take() for chunk in packet.all(DATA)]
    assert max(sizes) <= 700 - 20 - 8 - 12 - 16
    assert (peer.path(0).mtu, peer.path(1).mtu) == (1280, 700)
    peer.association.configure_path(PEER[1], {"mtu": 1400}, peer.now)
    peer.send(peer.sack(3))
    peer.write(bytes(2000))
    assert max(len(chunk.data) for packet in peer.take() for chunk in packet.all(DATA)) > 1200


def test_a_code_point_of_one_path_is_on_all_that_goes_there() -> None:
    peer = script()
    peer.association.configure_path(PEER[1], {"dscp": 46}, peer.now)
    peer.write(b"one")
    peer.write(b"other", path=PEER[1])
    peer.association.heartbeat(PEER[1], peer.now)
    peer.association.heartbeat(PEER[0], peer.now)
    peer.send(peer.data(0), source=1)
    peer.advance(0.2)
    seen = {(packet.to, packet.dscp) for packet in peer.take()}
    assert seen == {(PEER[0], -1), (PEER[1], 46)}
    peer.association.configure_path(PEER[1], {"dscp": 0}, peer.now)
    peer.write(b"another", path=PEER[1])
    assert peer.expect(DATA).dscp == 0


def test_its_acknowledgements_are_still_bundled_with_data() -> None:
    """Marks are on the route out alone: where a packet came from is compared with the route without."""
    peer = script()
    peer.association.configure_path(PEER[0], {"dscp": 46}, peer.now)
    peer.send(peer.data(0))
    peer.take()
    peer.arrive(peer.data(1))
    peer.write(b"answer")
    assert peer.expect(SACK, DATA).dscp == 46


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"heartbeat_interval": 0.0}, ValueError),
        ({"heartbeat_interval": "1"}, TypeError),
        ({"max_retrans": None}, TypeError),
        ({"max_retrans": -1}, ValueError),
        ({"pf_threshold": 1001}, ValueError),
        ({"pf_threshold": True}, TypeError),
        ({"mtu": 575}, ValueError),
        ({"dscp": 64}, ValueError),
        ({"dscp": None}, TypeError),
        ({"rto_min": 1.0}, ValueError),
        ({"pf_threshold": 3}, ValueError),  # section 5 rule 1: above PSMR
    ],
)
def test_settings_that_can_not_be_change_nothing(changes: dict[str, Any], error: type[Exception]) -> None:
    peer = script(primary_switchover=2)
    before = peer.path().settings
    with pytest.raises(error, match=next(iter(changes))):
        peer.association.configure_path(PEER[0], {"max_retrans": 2} | changes, peer.now)
    assert peer.path().settings is before


def test_a_switchover_below_the_threshold_of_one_path_is_refused() -> None:
    peer = script()
    peer.association.configure_path(PEER[1], {"pf_threshold": 3}, peer.now)
    config = peer.association.context.config
    with pytest.raises(ValueError, match="primary_switchover"):
        peer.association.configure(config.replace(primary_switchover=2, rto_max=2.0))
    assert peer.association.context.config is config
    peer.association.configure(config.replace(primary_switchover=3))


def test_an_address_that_is_not_the_peers_has_no_settings() -> None:
    peer = script()
    with pytest.raises(ValueError, match="not an address of the peer"):
        peer.association.configure_path("10.9.9.9", {"mtu": 1400}, peer.now)
