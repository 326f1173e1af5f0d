"""RFC 9260 section 6.3: the retransmission time-out, its timer, and what its expiry does."""

from __future__ import annotations

import pytest
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.wire.constants import DATA, HEARTBEAT, PARAM_HEARTBEAT_INFO
from asyncsctp.wire.control import pack_heartbeat_ack, read_heartbeat

FINE = Config(rto_min=0.01, heartbeat_interval=None)


def round_trip(script: Script, seconds: float, number: int) -> None:
    script.write(b"ping")
    script.expect(DATA)
    script.advance(seconds)
    script.send(script.sack(number))


# 6.3.1


def test_c1_the_rto_is_rto_initial_until_it_is_measured() -> None:
    assert Script(Config(rto_initial=2.5, heartbeat_interval=None)).rto == 2.5


def test_c2_c3_the_rto_follows_the_measurements() -> None:
    """C2: SRTT = R, RTTVAR = R/2. C3: alpha 1/8, beta 1/4, RTTVAR with the SRTT before."""
    script = Script(FINE)
    round_trip(script, 0.1, 0)
    assert script.rto == pytest.approx(0.1 + 4 * 0.05)
    round_trip(script, 0.2, 1)
    rttvar = 0.75 * 0.05 + 0.25 * 0.1
    srtt = 0.875 * 0.1 + 0.125 * 0.2
    assert script.rto == pytest.approx(srtt + 4 * rttvar)


def test_c4_one_measurement_for_each_round_trip() -> None:
    """C4: a new measurement MUST be made each round trip, and SHOULD be made no more than once."""
    script = Script(FINE)
    script.write(b"one")
    script.advance(0.02)
    script.write(b"two")
    script.advance(0.08)
    script.send(script.sack(0))
    assert script.rto == pytest.approx(0.3)
    script.advance(0.08)
    script.send(script.sack(1))  # was under way with the first one
    assert script.rto == pytest.approx(0.3)
    script.take()
    round_trip(script, 0.1, 2)
    assert script.rto < 0.3


def test_c5_what_was_sent_twice_is_not_measured() -> None:
    """C5, Karn's algorithm: measurements MUST NOT be made using chunks that were retransmitted."""
    script = Script()
    script.write(b"lost")
    script.advance(1.0)
    script.advance(0.3)
    script.send(script.sack(0))
    assert not script.path().rto.measured


def test_c5_nor_what_was_sent_before_a_retransmission_of_a_lower_tsn() -> None:
    """C5: SHOULD only be made using r if no TSN up to r was retransmitted since r was sent first."""
    script = Script(FINE)
    script.write_packets(1)
    script.advance(0.5)
    script.write_packets(1)
    script.advance(0.5)
    assert [packet.tsns for packet in script.take()] == [[0], [1], [0]]
    script.send(script.sack(1))
    assert not script.path().rto.measured


def test_c6_the_rto_is_at_least_rto_min() -> None:
    script = Script()
    round_trip(script, 0.01, 0)
    assert script.rto == 1.0


def test_c7_the_rto_is_at_most_rto_max() -> None:
    script = Script(Config(rto_max=2.0, heartbeat_interval=None))
    script.write(b"lost")
    script.advance(30.0)
    assert script.rto == 2.0


def test_g1_no_variation_is_one_tick() -> None:
    """G1: RTTVAR of 0 becomes the granularity of the clock."""
    script = Script(FINE)
    round_trip(script, 0.0, 0)
    assert 0.0 < script.rto < 0.1


# 6.3.2


def test_r1_the_timer_runs_from_the_first_chunk_on_not_from_the_last() -> None:
    """R1 and section 6.1: if the timer is running it MUST NOT be restarted by new data."""
    script = Script()
    script.write(b"one")
    script.advance(0.6)
    script.write(b"two")
    script.take()
    script.advance(0.39)
    script.expect_nothing()
    script.advance(0.02)
    assert script.expect(DATA, DATA).tsns == [0, 1]


def test_r2_the_timer_stops_when_all_is_acknowledged() -> None:
    script = Script()
    script.write(b"one", b"two")
    script.take()
    script.send(script.sack(1))
    script.advance(100.0)
    script.expect_nothing()


def test_r3_the_timer_starts_anew_when_the_earliest_is_acknowledged() -> None:
    script = Script()
    script.write(b"one")
    script.write(b"two")
    script.take()
    script.advance(0.9)
    script.send(script.sack(0))
    script.advance(script.rto - 0.05)
    script.expect_nothing()
    script.advance(0.1)
    assert script.expect(DATA).tsns == [1]


def test_r3_the_timer_takes_the_rto_that_the_same_sack_brings() -> None:
    """Sections 6.3.1 and 6.3.3: after an outage a measurement collapses the RTO, and the timer starts with that."""
    script = Script()
    script.write(b"lost")
    script.advance(40.0)
    script.send(script.sack(0))
    assert script.rto == 32.0
    script.take()
    script.write(b"new")
    script.write(b"lost as well")
    script.advance(0.1)
    script.send(script.sack(1))
    script.take()
    script.advance(1.01)
    assert script.expect(DATA).tsns == [2]


def test_r3_but_not_when_a_later_one_is() -> None:
    script = Script()
    for text in (b"one", b"two", b"three"):
        script.write(text)
    script.take()
    script.advance(0.9)
    script.send(script.sack(-1, [(1, 1)]))
    script.advance(0.11)
    assert script.expect(DATA, DATA).tsns == [0, 2]


def test_r4_the_timer_starts_for_what_the_receiver_has_given_up() -> None:
    """R4, section 6.2.1 D iii: a TSN is missing that was acknowledged via a Gap Ack Block."""
    script = Script(paths=2)
    script.write(b"zero")
    script.association.set_primary(PEER[1])
    script.write(b"one")
    assert [packet.to for packet in script.take()] == [PEER[0], PEER[1]]
    script.advance(0.5)
    script.send(script.sack(-1, [(1, 1)]))
    script.send(script.sack(0))  # and 1 is gone
    script.advance(script.path(1).rto.rto - 0.01)
    script.expect_nothing()
    script.advance(0.02)
    assert script.expect(DATA).tsns == [1]


def test_section_6_2_1_d_a_sack_from_the_past_is_dropped() -> None:
    """D i: a Cumulative TSN Ack below the ack point; what it says of the window is as old."""
    script = Script()
    script.write(b"one", b"two")
    script.send(script.sack(1))
    script.take()
    script.send(script.sack(0, a_rwnd=0))
    script.write(b"three")
    assert script.expect(DATA).tsns == [2]


# 6.3.3


def test_e1_a_time_out_leaves_one_packet() -> None:
    """E1, section 7.2.3: ssthresh = max(cwnd / 2, 4 * PMDCS), cwnd = PMDCS."""
    script = Script()
    script.path().congestion.cwnd = 20_000
    script.write_packets(5)
    script.advance(1.0)
    assert (script.cwnd, script.ssthresh) == (script.payload, 10_000)


def test_e2_e3_each_expiry_doubles_the_rto_and_sends_one_packet_of_the_earliest() -> None:
    """E2: RTO = RTO * 2 up to RTO.Max. E3: those of the earliest chunks that fit into a single packet."""
    script = Script()
    script.write(*[bytes(100)] * 3)
    script.write_packets(2)
    script.take()
    start = script.now
    waited = []
    for _ in range(7):
        packets = script.wait()
        assert [packet.tsns for packet in packets] == [[0, 1, 2]]
        waited.append(script.now - start)
        start = script.now
    assert waited == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0])


def test_e3_the_rest_is_sent_as_soon_as_cwnd_allows() -> None:
    script = Script()
    script.write_packets(4)
    script.take()
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    script.send(script.sack(0))
    assert [tsn for packet in script.take() for tsn in packet.tsns] == [1, 2]


def test_a_measurement_brings_the_rto_back() -> None:
    """Section 6.3.3: only new data that is acknowledged, or a HEARTBEAT, collapses the RTO after it was doubled."""
    script = Script()
    script.write(b"lost")
    script.advance(3.0)
    script.send(script.sack(0))
    assert script.rto == 4.0
    script.write(b"new")
    script.advance(0.1)
    script.send(script.sack(1))
    assert script.rto == 1.0


def test_a_heartbeat_brings_the_rto_back() -> None:
    """Sections 6.3.3 and 8.3."""
    script = Script()
    script.write(b"lost")
    script.advance(3.0)
    script.send(script.sack(0))
    script.take()
    script.association.heartbeat(None, script.now)
    script.flush()
    value = script.expect(HEARTBEAT).one(HEARTBEAT).value
    assert int.from_bytes(value[:2]) == PARAM_HEARTBEAT_INFO
    script.advance(0.1)
    script.send(pack_heartbeat_ack(read_heartbeat(value, 0, len(value))))
    assert script.rto == 1.0


def test_f1_a_switch_of_paths_leaves_the_timer_running() -> None:
    """F1: the timers of the old path go on, and the new path's runs with its own RTO from its first DATA on."""
    script = Script(paths=2)
    for text in (b"zero", b"one"):
        script.write(text)
    script.advance(0.5)
    script.association.set_primary(PEER[1])
    script.write(b"two")
    assert [packet.to for packet in script.take()] == [PEER[0], PEER[0], PEER[1]]
    script.send(script.sack(0))  # restarts the timer of the old path
    script.advance(0.9)
    script.expect_nothing()
    script.advance(0.11)
    assert script.expect(DATA).tsns == [2]
    script.advance(script.rto - 1.0)
    assert script.expect(DATA, DATA).tsns == [1, 2]  # the other one went there meanwhile
