"""RFC 9260 section 7.2: slow start, congestion avoidance, losses, and fast retransmit."""

from __future__ import annotations

import pytest
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.wire.constants import DATA, FORWARD_TSN


def wide(packets: int = 20) -> Script:
    """In congestion avoidance, a window of so many packets, all of them under way: TSNs 0 to `packets` - 1."""
    script = Script()
    script.path().congestion.cwnd = packets * script.payload
    script.path().congestion.ssthresh = packets * script.payload - 1
    script.write_packets(packets)
    assert len(script.take()) == packets
    return script


def report(script: Script, cumulative: int, *gaps: tuple[int, int]) -> list[list[int]]:
    """A SACK comes; the TSNs of each packet that is sent in answer."""
    script.send(script.sack(cumulative, gaps))
    return [packet.tsns for packet in script.take()]


# 7.2.1


@pytest.mark.parametrize(("mtu", "packets"), [(1500, 4), (1280, 4), (3000, 2), (9000, 2), (576, 4)])
def test_7_2_1_the_initial_window(mtu: int, packets: int) -> None:
    """MUST be min(4 * PMDCS, max(2 * PMDCS, 4404)) for IPv4; the last packet may exceed it (section 6.1 B)."""
    script = Script(Config(mtu=mtu, heartbeat_interval=None))
    assert script.cwnd == min(4 * script.payload, max(2 * script.payload, 4404))
    script.write_packets(10)
    assert len(script.take()) == packets


def test_7_2_1_slow_start_adds_what_is_acknowledged_up_to_one_packet() -> None:
    """MUST be increased by at most the lesser of what was acknowledged and L * PMDCS; L SHOULD be 1."""
    script = Script()
    cwnd = script.cwnd
    script.write_packets(100)
    script.send(script.sack(0))
    assert script.cwnd == cwnd + script.payload
    cwnd = script.cwnd
    script.send(script.sack(3))
    assert script.cwnd == cwnd + script.payload


def acknowledged(script: Script, packets: list[int], every: int, together: bool) -> None:
    """A SACK for every so many of these TSNs, and for the last; all of them in one batch, or each alone."""
    for tsn in [*packets[every - 1 : -1 : every], packets[-1]]:
        script.arrive(script.sack(tsn))
        if not together:
            script.flush()
    script.flush()


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("avoiding", [False, True])
@pytest.mark.parametrize("packets", [21, 25, 30, 45, 70, 100, 150, 400, 1000])
def test_7_2_1_sacks_that_come_together_widen_the_window_as_if_each_came_alone(
    every: int, avoiding: bool, packets: int
) -> None:
    """What the first of them allows would have left before the second one came, as long as there is data."""
    scripts = Script(peer_rwnd=1 << 24), Script(peer_rwnd=1 << 24)
    for script in scripts:
        script.path().congestion.cwnd = 20 * script.payload
        if avoiding:
            script.path().congestion.ssthresh = script.payload
        script.write_packets(packets)
    rounds = 0
    while scripts[0].in_flight:
        for script, together in zip(scripts, (False, True), strict=True):
            sent = [packet.tsns[0] for packet in script.take()]
            acknowledged(script, sent, every, together)
        assert scripts[0].cwnd == scripts[1].cwnd, f"after {rounds} round trips"
        assert scripts[0].in_flight == scripts[1].in_flight
        rounds += 1
    assert rounds > 1


def test_7_2_1_sacks_that_come_together_widen_no_window_that_was_not_filled() -> None:
    script = Script()
    script.path().congestion.cwnd = 20 * script.payload
    script.write_packets(12)
    script.write_packets(3)
    acknowledged(script, list(range(10)), 1, True)
    assert script.cwnd == 20 * script.payload


def test_sacks_that_come_together_are_seen_by_whoever_looks_before_the_flush() -> None:
    """Between the SACKs of a batch all is as it is after a flush for each of them: bytes and windows."""
    scripts = Script(peer_rwnd=1 << 24), Script(peer_rwnd=1 << 24)
    for script in scripts:
        script.path().congestion.cwnd = 12 * script.payload
        script.write_packets(8)
    for tsn in range(8):
        seen = []
        for script, together in zip(scripts, (True, False), strict=True):
            script.arrive(script.sack(tsn))
            if not together:
                script.flush()
            association = script.association
            seen.append((association.buffered, association.movable, association.in_flight(0), script.cwnd))
        assert seen[0] == seen[1]
        left = 7 - tsn
        assert seen[0][:2] == (left * (script.payload - 16), left * (script.payload - 16))
        assert seen[0][2] == left * script.payload


def test_data_that_was_acknowledged_before_its_timer_runs_out_is_not_sent_again() -> None:
    """The SACK waits for others of its batch, which time ends: it came first."""
    script = Script()
    script.write_packets(2)
    script.take()
    script.now += script.rto
    script.arrive(script.sack(1))
    script.endpoint.expire(script.now)
    script.flush()
    script.expect_nothing()
    assert script.association.statistics.t3_timeouts == 0


def test_what_is_acknowledged_is_not_given_up_although_the_flush_is_still_to_come() -> None:
    script = Script(extensions=frozenset({FORWARD_TSN}))
    message = script.association.send(0, b"arrived", options={"context": "mine"})
    script.flush()
    script.arrive(script.sack(0))
    assert script.association.submission is not None
    assert not script.association.submission.withdraw(message)
    assert script.association.statistics.messages_abandoned == 0


def test_7_2_1_a_window_update_among_them_takes_nothing_from_the_others() -> None:
    script = Script()
    cwnd = script.cwnd
    script.write_packets(40)
    acknowledged(script, [0, 0, 1, 1], 1, True)
    assert script.cwnd == cwnd + 2 * script.payload


def test_7_2_1_a_window_that_is_not_used_does_not_grow() -> None:
    """MUST NOT be increased unless the current congestion window is fully utilized."""
    script = Script()
    cwnd = script.cwnd
    for tsn in range(20):
        script.write_packets(1)
        script.send(script.sack(tsn))
    assert script.cwnd == cwnd


def test_7_2_1_acknowledgements_split_in_small_pieces_gain_nothing() -> None:
    """The first bound protects against ACK splitting: what is acknowledged counts, not how often."""
    script = Script()
    cwnd = script.cwnd
    script.write(*[bytes(100)] * 60)
    for tsn in range(10):
        script.send(script.sack(tsn))
    assert script.cwnd <= cwnd + 10 * 116


def test_7_2_1_a_window_that_rests_decays() -> None:
    """cwnd SHOULD be adjusted to max(cwnd / 2, 4 * PMDCS) once per RTO; before it, ssthresh SHOULD be set to cwnd."""
    script = Script()
    script.path().congestion.cwnd = 64_000
    script.write(b"x")
    script.send(script.sack(0))
    script.advance(2.5)
    script.write(b"y")
    assert (script.cwnd, script.ssthresh) == (16_000, 64_000)
    script.send(script.sack(1))
    script.advance(1000.0)
    script.write(b"z")
    assert script.cwnd == 4 * script.payload


def test_7_2_1_the_window_of_the_path_to_which_data_went_grows() -> None:
    """Sections 7.1 and 7.2.1: each address has its own variables."""
    script = Script(paths=2)
    script.association.set_primary(PEER[1])
    before = script.cwnd
    script.write_packets(10)
    script.send(script.sack(0))
    assert script.cwnd == before
    assert script.path(1).congestion.cwnd > before


# 7.2.2


def test_7_2_2_congestion_avoidance_adds_one_packet_for_each_window() -> None:
    """MUST NOT increment cwnd by more than PMDCS per RTT; SHOULD once per RTT if the window is full."""
    script = Script()
    congestion = script.path().congestion
    congestion.cwnd = 4 * script.payload
    congestion.ssthresh = script.payload
    script.write_packets(40)
    for tsn in range(3):
        script.send(script.sack(tsn))
        assert script.cwnd == 4 * script.payload
    script.send(script.sack(3))
    assert script.cwnd == 5 * script.payload
    for tsn in range(4, 8):
        script.send(script.sack(tsn))
        assert script.cwnd == 5 * script.payload
    script.send(script.sack(8))
    assert script.cwnd == 6 * script.payload


def test_7_2_2_partial_bytes_acked_is_given_up_when_all_is_acknowledged() -> None:
    """When all data has been acknowledged, partial_bytes_acked is initialized to 0."""
    script = Script()
    congestion = script.path().congestion
    congestion.cwnd = 4 * script.payload
    congestion.ssthresh = script.payload
    script.write_packets(4)
    script.send(script.sack(2))
    script.send(script.sack(3))
    cwnd = script.cwnd
    script.write_packets(20)
    script.send(script.sack(6))
    assert script.cwnd == cwnd


# 7.2.3 and 7.2.4


def test_7_2_4_the_third_report_sends_again_at_once_and_halves_the_window() -> None:
    """Three miss indications; ssthresh = max(cwnd / 2, 4 * PMDCS), cwnd = ssthresh; one packet regardless of cwnd."""
    script = wide()
    script.write_packets(10)
    assert report(script, -1, (1, 1)) == [[20]]
    assert report(script, -1, (1, 2)) == [[21]]
    assert report(script, -1, (1, 3)) == [[0]]
    assert (script.cwnd, script.ssthresh) == (10 * script.payload, 10 * script.payload)
    assert script.in_flight > script.cwnd


def test_7_2_4_two_reports_are_not_enough() -> None:
    script = wide()
    assert report(script, -1, (1, 1)) == []
    assert report(script, -1, (1, 2)) == []
    assert report(script, -1, (1, 2)) == []  # nothing newly acknowledged: no miss indication
    assert report(script, -1, (1, 2)) == []


def test_7_2_4_only_what_is_below_the_highest_newly_acknowledged_tsn_is_missed() -> None:
    """HTNA: a SACK counts for missing TSNs prior to the highest that it newly acknowledges."""
    script = wide()
    report(script, -1, (10, 10))  # misses 0 to 9
    report(script, -1, (5, 5), (10, 10))  # misses 0 to 4: HTNA is 5
    assert report(script, -1, (5, 6), (10, 10)) == [[0]]
    script.send(script.sack(4, [(5, 6), (10, 10)]))
    assert 7 not in [tsn for packet in script.take() for tsn in packet.tsns]


def test_7_2_4_several_lost_chunks_share_the_packet_and_the_rest_wait_for_cwnd() -> None:
    """K of the earliest in a single packet; the others are sent as soon as cwnd allows."""
    script = wide()
    report(script, -1, (3, 3))
    report(script, -1, (3, 4))
    assert report(script, -1, (3, 5)) == [[0]]
    assert script.in_flight >= script.cwnd
    later = report(script, -1, (3, 12))
    assert later[0] == [1]


def test_7_2_4_in_fast_recovery_the_window_is_not_reduced_again() -> None:
    """SHOULD NOT change due to a subsequent Fast Recovery event, until the exit point is acknowledged."""
    script = wide()
    for last in (1, 2, 3):
        report(script, -1, (1, last))
    cwnd = script.cwnd
    for last in (6, 7, 8):
        report(script, -1, (1, 3), (6, last))
    assert script.cwnd == cwnd
    report(script, 19)
    script.path().congestion.cwnd = 30 * script.payload
    script.write_packets(30)
    script.take()
    for last in (21, 22, 23):
        report(script, 19, (21, last))
    assert script.cwnd == 15 * script.payload


def test_7_2_4_in_fast_recovery_a_partial_acknowledgement_counts_for_all_that_is_missing() -> None:
    """A SACK that advances the ack point increments the indications of all TSNs reported missing."""
    script = wide()
    for last in (1, 2, 3):
        report(script, -1, (1, last))
    report(script, -1, (1, 4), (6, 6))  # 5 is missed once
    report(script, 4, (6, 6))  # nothing newly acknowledged beyond it, but the ack point moves: twice
    assert report(script, 4, (6, 12)) == [[5]]


def test_7_2_4_the_window_does_not_grow_in_fast_recovery() -> None:
    """Section 7.2.1: slow start only if the data sender is not in Fast Recovery."""
    script = wide()
    for last in (1, 2, 3):
        report(script, -1, (1, last))
    cwnd = script.cwnd
    report(script, 10)
    assert script.cwnd == cwnd


def test_7_2_4_what_was_fast_retransmitted_is_not_so_again() -> None:
    """Ineligible for a subsequent fast retransmit: T3-rtx is what remains."""
    script = wide()
    for last in (1, 2, 3):
        report(script, -1, (1, last))
    for last in range(4, 20):
        assert report(script, -1, (1, last)) == []
    assert [packet.tsns for packet in script.wait()] == [[0]]


def test_7_2_4_what_a_time_out_sent_again_is_fast_retransmitted_if_that_is_lost() -> None:
    """Only what was fast retransmitted is ineligible; what left before it, and is acknowledged late, tells nothing."""
    script = wide()
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    for first in (19, 18, 17, 16):
        assert [0] not in report(script, -1, (first, 19))
    script.path().congestion.cwnd = 40 * script.payload
    script.write_packets(10)
    assert script.take()[-1].tsns == [29]
    ssthresh = script.ssthresh
    assert [0] not in report(script, -1, (16, 20))
    assert [0] not in report(script, -1, (16, 21))
    assert [0] in report(script, -1, (16, 22))
    assert script.ssthresh > ssthresh  # half of what it was by then: another instance of congestion
    for last in range(23, 27):
        assert [0] not in report(script, -1, (16, last))


def test_7_2_4_of_what_a_time_out_sent_again_another_loss_is_found_at_once() -> None:
    script = wide(10)
    script.advance(1.0)
    script.take()
    assert report(script, 0) == [[1], [2]]
    assert report(script, 1) == [[3], [4]]
    script.path().congestion.cwnd = 20 * script.payload
    report(script, 2)  # 3 is lost once more
    for last in (4, 5):
        report(script, 2, (4, last))
    assert [3] in report(script, 2, (4, 6))


def test_7_2_4_what_a_time_out_sent_again_costs_a_sack_nothing_for_good() -> None:
    """It is forgotten with its acknowledgement, however often it had to be sent."""
    script = wide(10)
    for _ in range(8):
        script.wait()
    transmission = script.association._parts.established.sender
    window = transmission.window
    assert len(window._again) == 1
    script.send(script.sack(9))
    script.write_packets(1)
    script.send(script.sack(10))
    assert not window._again


def test_7_2_4_the_timer_starts_anew_with_the_retransmission_of_the_earliest() -> None:
    """T3-rtx is restarted only if the lowest outstanding TSN was acknowledged or is being retransmitted."""
    script = wide(10)
    script.advance(0.9)
    for last in (1, 2, 3):
        report(script, -1, (1, last))
    script.advance(0.95)
    script.expect_nothing()
    script.advance(0.1)
    assert script.take()[0].tsns == [0]


def test_7_2_4_the_window_grows_by_what_is_acknowledged_before_it_shrinks() -> None:
    """Note: the rules of 7.2.1 and 7.2.2 MUST be applied first."""
    script = Script()
    congestion = script.path().congestion
    congestion.cwnd = 20 * script.payload
    script.write_packets(40)
    script.take()
    report(script, -1, (2, 2))
    report(script, -1, (2, 3))
    cwnd = script.cwnd
    report(script, 0, (2, 4))
    assert script.cwnd == (cwnd + script.payload) // 2


def test_7_2_3_after_a_time_out_one_packet_is_in_flight_until_an_acknowledgement() -> None:
    """MUST be no more than PMDCS, and no more than one packet in flight until data is acknowledged."""
    script = wide(10)
    script.write_packets(5)
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    assert (script.cwnd, script.ssthresh) == (script.payload, 5 * script.payload)
    script.write(b"new")
    script.expect_nothing()
    assert len(report(script, 0)) == 2


def test_7_2_3_ssthresh_is_four_packets_at_the_least() -> None:
    script = wide(5)
    script.advance(1.0)
    assert script.ssthresh == 4 * script.payload


def test_7_2_only_chunks_with_headers_and_padding_count() -> None:
    """Section 7.2: the length of the DATA chunk, including the padding, SHOULD be used."""
    script = Script()
    script.write(b"x", b"yyyyy")
    assert script.in_flight == 20 + 24


def test_6_2_1_d_what_the_receiver_gave_up_is_missed_once() -> None:
    """Section 6.2.1 D iii: one miss indication for a chunk that was acknowledged and no longer is."""
    script = wide()
    report(script, -1, (1, 3))
    report(script, 0, (2, 3))  # 1 was given up: one
    report(script, 0, (2, 4))  # two
    assert report(script, 0, (2, 5)) == [[1]]


def test_7_2_5_1_another_service_class_is_an_unknown_network() -> None:
    """The congestion control parameters of the affected destination MUST be reset to their initial values."""
    script = Script(paths=2)
    initial = script.cwnd, script.ssthresh
    for number in (0, 1):
        script.path(number).congestion.cwnd = 50_000
        script.path(number).congestion.ssthresh = 40_000
    script.association.configure_path(PEER[0], {"dscp": 46}, script.now)
    assert (script.cwnd, script.ssthresh) == initial
    script.path().congestion.cwnd = 50_000
    script.association.configure_path(PEER[0], {"dscp": 46, "max_retrans": 3}, script.now)
    assert script.cwnd == 50_000  # it is the same as before
    script.association.configure_path(PEER[0], {"dscp": 0}, script.now)
    assert (script.cwnd, script.ssthresh) == initial
    assert script.path(1).congestion.cwnd == 50_000
