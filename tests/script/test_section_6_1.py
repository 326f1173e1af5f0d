"""RFC 9260 section 6.1: when DATA may leave, and zero window probing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.wire.constants import DATA, ERROR, SACK

TIMID = Config(heartbeat_interval=None, nodelay=False)


def closed(script: Script, size: int = 100) -> None:
    """The peer acknowledges the first message, and closes its window."""
    script.write(bytes(size))
    script.expect(DATA)
    script.send(script.sack(0, a_rwnd=0))
    script.expect_nothing()


# A: the peer's window.


def test_a_no_new_data_beyond_the_peers_window() -> None:
    """Rule A: MUST NOT transmit new data if rwnd is smaller than the next DATA chunk."""
    script = Script(peer_rwnd=2500)
    script.write(bytes(1000), bytes(1000), bytes(1000))
    assert sum(len(packet.tsns) for packet in script.take()) == 2
    script.send(script.sack(0, a_rwnd=1400))  # 1000 bytes of which are on their way still
    script.expect_nothing()
    script.send(script.sack(1, a_rwnd=1400))
    assert script.expect(DATA).tsns == [2]


def test_a_chunks_are_not_cut_to_fit_a_small_window() -> None:
    """Rule A: the sender MUST avoid the silly window syndrome (RFC 1122 section 4.2.3.4)."""
    script = Script()
    closed(script)
    script.write(bytes(script.payload - 16))
    script.send(script.sack(0, a_rwnd=300))
    script.expect_nothing()
    script.send(script.sack(0, a_rwnd=2000))
    [chunk] = script.expect(DATA).all(DATA)
    assert len(chunk.data) == script.payload - 16


def test_a_chunks_are_as_long_as_the_largest_window_so_far_allows() -> None:
    """RFC 1122 section 4.2.3.4: half of the largest window seen on the association, which may come late."""
    script = Script(peer_rwnd=1500)
    script.write(bytes(5000))
    assert [len(chunk.data) for chunk in script.take()[0].all(DATA)] == [732, 476]
    script.send(script.sack(0, a_rwnd=100_000))
    assert len(script.take()[0].one(DATA).data) == script.payload - 16


def remeasured_by_icmp(script: Script) -> None:
    script.association.on_message_size(script.path().route, 1200, script.now)


def remeasured_by_the_user(script: Script) -> None:
    script.association.configure_path(PEER[0], {"mtu": 1200}, script.now)


@pytest.mark.parametrize("remeasured", [remeasured_by_icmp, remeasured_by_the_user])
def test_a_a_small_window_does_not_make_chunks_small_for_good(remeasured: Callable[[Script], None]) -> None:
    """Packets are measured anew while the peer's window is nearly closed."""
    script = Script()
    closed(script)
    script.send(script.sack(0, a_rwnd=600))
    remeasured(script)
    script.send(script.sack(0, a_rwnd=100_000))
    script.write(bytes(5000))
    assert len(script.take()[0].one(DATA).data) == script.payload - 16


def test_a_the_first_probe_comes_after_one_rto_and_the_next_ever_later() -> None:
    """Rule A: SHOULD send the first probe after 1 RTO, and SHOULD increase the interval exponentially."""
    script = Script()
    closed(script)
    script.write(b"waits")
    script.expect_nothing()
    start = script.now
    intervals = []
    for _ in range(7):
        [packet] = script.wait()
        assert (packet.kinds, packet.tsns) == ([DATA], [1])
        intervals.append(script.now - start)
        start = script.now
        script.advance(0.05)
        script.send(script.sack(0, a_rwnd=0))
    assert intervals == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0])


def test_a_probes_that_are_answered_are_no_errors() -> None:
    """Rule A: unacknowledged probes SHOULD NOT increment error counters as long as SACKs come."""
    script = Script(Config(max_retrans=3, path_max_retrans=1, heartbeat_interval=None))
    closed(script)
    script.write(b"waits")
    for _ in range(30):
        [packet] = script.wait()
        assert packet.tsns == [1]
        script.send(script.sack(0, a_rwnd=0))
    assert script.state is ESTABLISHED
    assert script.path().state is PathState.ACTIVE
    assert (script.path().error_count, script.association.path_manager.error_count) == (0, 0)


def test_a_a_peer_that_does_not_answer_probes_is_gone() -> None:
    script = Script(Config(max_retrans=3, heartbeat_interval=None))
    closed(script)
    script.write(b"waits")
    script.advance(200.0)
    assert [packet.tsns for packet in script.take()] == [[1]] * 4
    assert script.user.is_closed


def test_a_probing_does_not_affect_cwnd() -> None:
    """Rule A: "Zero window probing does not affect the calculation of cwnd"."""
    script = Script()
    closed(script)
    before = script.cwnd, script.ssthresh
    script.write(b"waits")
    for _ in range(5):
        script.wait()
        script.send(script.sack(0, a_rwnd=0))
    assert (script.cwnd, script.ssthresh) == before


def test_a_only_one_probe_is_under_way() -> None:
    """Rule A: a probe SHOULD only be sent when no DATA chunks are in flight."""
    script = Script()
    closed(script)
    script.write(b"one", b"two", b"three")
    [packet] = script.wait()
    assert packet.tsns == [1]
    script.send(script.sack(0, a_rwnd=0))
    script.expect_nothing()


def test_a_data_goes_on_when_the_window_opens() -> None:
    """A window update ends the waiting, and the timer that waited for it has no say in what follows."""
    script = Script()
    closed(script)
    script.write(b"waits")
    for _ in range(4):
        script.wait()
        script.send(script.sack(0, a_rwnd=0))
    script.send(script.sack(1, a_rwnd=0))  # it was taken nevertheless
    script.write(b"waits again")
    script.advance(script.rto - 0.1)
    script.expect_nothing()
    script.send(script.sack(1, a_rwnd=10_000))
    assert script.expect(DATA).tsns == [2]
    script.advance(script.rto - 0.05)  # R1: T3-rtx expires one RTO after this, not with the probe's timer
    script.expect_nothing()
    script.advance(0.1)
    assert script.expect(DATA).tsns == [2]


def test_a_a_dropped_probe_is_sent_again_when_the_window_opens() -> None:
    """What the closed window had no room for needs no time-out: the update says that it is missing."""
    script = Script()
    closed(script)
    script.write(b"one", bytes(1000), bytes(1000))
    script.wait()
    script.send(script.sack(0, a_rwnd=0))
    script.send(script.sack(0, a_rwnd=10_000))
    packets = script.take()
    assert [tsn for packet in packets for tsn in packet.tsns] == [1, 2, 3]
    assert script.path().error_count == 0


def test_a_a_window_that_opens_by_less_than_the_probe_is_closed_to_it() -> None:
    """The peer still drops it: it is sent again by its timer alone."""
    script = Script(peer_rwnd=5000)
    script.write(bytes(1000))
    script.send(script.sack(0, a_rwnd=0))
    script.write(bytes(1000))
    script.take()
    assert script.wait()[0].tsns == [1]
    script.send(script.sack(0, a_rwnd=999))
    script.expect_nothing()
    script.send(script.sack(0, a_rwnd=1000))
    assert script.expect(DATA).tsns == [1]


def test_a_a_dropped_probe_goes_over_the_same_path_when_the_window_opens() -> None:
    script = Script(paths=2)
    closed(script)
    script.write(b"one")
    [packet] = script.wait()
    script.send(script.sack(0, a_rwnd=0))
    script.send(script.sack(0, a_rwnd=10_000))
    assert script.expect(DATA).to == packet.to == PEER[0]


def test_a_a_lost_window_update_is_found_out_by_a_probe() -> None:
    script = Script()
    closed(script)
    script.write(b"one", b"two")
    assert [packet.tsns for packet in script.wait()] == [[1]]
    script.send(script.sack(1, a_rwnd=10_000))
    assert script.expect(DATA).tsns == [2]


def test_a_a_probe_leaves_with_a_sack_that_is_due() -> None:
    """Data from the peer, which is acknowledged all the time, does not keep the probe back."""
    script = Script()
    closed(script)
    script.write(b"waits")
    script.send(script.data(0))
    script.expect(SACK)
    script.advance(0.9)
    script.send(script.data(1))
    script.advance(0.1)
    assert [packet.tsns for packet in script.take()] == [[1]]


def test_a_data_dropped_by_a_peer_that_reads_slowly_is_a_probe_as_well() -> None:
    """A receiver may charge more for a chunk than its user data: more than one chunk is outstanding when it closes."""
    script = Script(Config(max_retrans=3, heartbeat_interval=None))
    for _ in range(5):
        script.write(bytes(500))
    assert len(script.take()) == 5
    script.send(script.sack(1, a_rwnd=0))
    for _ in range(20):
        [packet] = script.wait()
        assert packet.tsns[0] == 2
        script.send(script.sack(1, a_rwnd=0))
    assert script.state is ESTABLISHED
    script.send(script.sack(1, a_rwnd=100_000))
    assert script.take()[0].tsns[0] == 2


# B to E: the congestion window, bursts, and what comes first.


def test_b_data_stops_at_cwnd_which_one_packet_may_exceed() -> None:
    """Rule B: nothing new with cwnd + PMDCS - 1 bytes in flight; less than cwnd SHOULD be exceeded, by one packet."""
    script = Script()
    cwnd = script.cwnd
    script.write_packets(20)
    sizes = [packet.size for packet in script.take()]
    assert sum(sizes[:-1]) < cwnd <= sum(sizes) < cwnd + script.payload


def test_c_what_is_lost_goes_before_what_is_new() -> None:
    """Rule C: before new DATA, MUST first transmit what is marked for retransmission."""
    script = Script()
    script.write_packets(10)
    assert [packet.tsns for packet in script.take()] == [[0], [1], [2], [3]]
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    script.send(script.sack(0))
    assert [tsn for packet in script.take() for tsn in packet.tsns] == [1, 2]


def test_d_max_burst_limits_the_packets_sent_at_one_opportunity() -> None:
    """Rule D: Max.Burst SHOULD limit the new packets; each SACK is another opportunity."""
    script = Script(Config(max_burst=2, heartbeat_interval=None))
    script.path().congestion.cwnd = 100_000
    script.write_packets(20)
    assert [packet.tsns for packet in script.take()] == [[0], [1]]
    script.send(script.sack(1))
    assert [packet.tsns for packet in script.take()] == [[2], [3]]
    script.arrive(script.sack(2))
    script.arrive(script.sack(3))
    script.flush()
    assert [packet.tsns for packet in script.take()] == [[4], [5], [6], [7]]


def test_d_a_window_that_lies_idle_is_not_filled_in_one_burst() -> None:
    """Without Max.Burst a quarter leaves at once; then twice what SACKs acknowledge, until it is full again."""
    script = Script(peer_rwnd=1 << 24, bursts=True)
    script.path().congestion.cwnd = 100 * script.payload
    script.write_packets(1)
    script.send(script.sack(0))
    script.take()
    script.write_packets(300)
    assert len(script.take()) == 25
    for tsn in range(1, 26):
        script.send(script.sack(tsn))
    assert len(script.take()) == 50
    for tsn in range(26, 76):
        script.send(script.sack(tsn))
    assert len(script.take()) == 100
    assert script.cwnd == 100 * script.payload


def test_d_a_window_in_use_is_refilled_whatever_a_sack_acknowledges() -> None:
    """Neither slow start nor bulk data is held up: what was in flight may be again."""
    script = Script(peer_rwnd=1 << 24, bursts=True)
    for _ in range(4):
        script.write_packets(60)
        sent = [tsn for packet in script.take() for tsn in packet.tsns]
        script.send(script.sack(sent[-1]))
        assert script.in_flight >= script.cwnd


def test_messages_are_bundled_in_order_of_tsn_behind_control_chunks() -> None:
    """Sections 6.1 and 6.10: control chunks MUST come first, DATA in increasing order of TSN, within the PMTU."""
    script = Script()
    script.arrive(script.data(0), b"\xc0\0\0\4")
    script.association.send(0, b"first")
    script.association.send(1, b"second")
    script.flush()
    packet = script.expect(ERROR, SACK, DATA, DATA)
    assert packet.tsns == [0, 1]
    assert packet.size <= script.payload


def test_nagle_holds_a_part_of_a_packet_back_while_data_is_under_way() -> None:
    """Section 6.1: a delay that increases bundling, which the ULP can turn off."""
    script = Script(TIMID)
    script.write(b"first")
    script.expect(DATA)
    script.write(b"second")
    script.write(b"third")
    script.expect_nothing()
    script.send(script.sack(0))
    assert script.expect(DATA, DATA).tsns == [1, 2]
    prompt = Script()
    prompt.write(b"first")
    prompt.write(b"second")
    prompt.expect_each([DATA], [DATA])


def test_nagle_lets_a_full_packet_go() -> None:
    script = Script(TIMID)
    script.write(b"first")
    script.expect(DATA)
    script.write(bytes(script.payload))
    assert script.expect(DATA).size == script.payload


@pytest.mark.parametrize("short", range(16))
def test_nagle_lets_a_message_go_that_leaves_no_room_for_another(short: int) -> None:
    """Chunk headers count: a message that fills a packet needs not have as many bytes as the packet has room for."""
    script = Script(Config(heartbeat_interval=None, nodelay=False, mtu=1508))
    script.write(b"first")
    script.take()
    script.write(bytes(script.payload - 16 - short))
    assert script.expect(DATA).size > script.payload - 16


@pytest.mark.parametrize("size", [1, 4, 17, 64, 300])
@pytest.mark.parametrize("together", [False, True])
def test_nagle_holds_no_more_back_than_a_packet_of_small_messages(size: int, together: bool) -> None:
    """Headers and padding of small ones are most of the packet."""
    script = Script(TIMID)
    script.path().congestion.cwnd = 100_000
    script.write(b"first")
    script.take()
    chunk = (size + 16 + 3) & -4
    whole = script.payload // chunk
    if together:
        script.association.send_many(0, [bytes(size)] * (3 * whole + 1), 0, False, False)
        script.flush()
        assert [len(packet.tsns) for packet in script.take()] == [whole] * 3
        return
    for _ in range(whole - 1):
        script.write(bytes(size))
        script.expect_nothing()
    script.write(bytes(size), bytes(size))
    assert len(script.take()[0].tsns) == whole


def test_nagle_lets_the_rest_of_a_long_message_go_that_fills_a_packet() -> None:
    script = Script(TIMID)
    script.path().congestion.cwnd = 100_000
    script.write(bytes(3 * (script.payload - 16)))
    assert [packet.size for packet in script.take()] == [script.payload] * 3


def test_nagle_holds_a_part_of_a_packet_back_behind_full_ones_of_the_same_flight() -> None:
    script = Script(TIMID)
    script.write(bytes(script.payload + 100))
    assert script.expect(DATA).size == script.payload
    script.expect_nothing()
    script.send(script.sack(0))
    assert script.expect(DATA).tsns == [1]


def test_an_acknowledgement_is_not_held_back_by_nagle() -> None:
    """A SACK that can wait goes on waiting for its own timer."""
    script = Script(TIMID)
    script.send(script.data(0))
    script.write(b"first")
    script.take()
    script.send(script.data(1))
    script.write(b"second")
    script.expect_nothing()
    script.advance(0.2)
    script.expect(SACK)


def test_a_chunk_larger_than_the_window_is_a_probe_too() -> None:
    """It was made for a path that has become smaller since: what is made now would fit."""
    script = Script(Config(heartbeat_interval=None, max_retrans=3, path_max_retrans=3, rto_max=2.0))
    script.write(bytes(1100))
    script.association.on_message_size(script.path().route, 600, script.now)
    for _ in range(20):
        script.send(script.sack(-1, a_rwnd=900))
        script.take()
        script.wait()
    assert script.state is ESTABLISHED


def test_a_peer_that_answers_late_from_a_closed_window_is_there_nevertheless() -> None:
    """Every other time-out comes before the answer: that many in a row there are not."""
    script = Script(Config(heartbeat_interval=None, max_retrans=3, path_max_retrans=9, rto_max=2.0))
    script.write(b"data")
    for _ in range(20):
        script.wait()
        script.wait()
        script.send(script.sack(-1, a_rwnd=0))
        script.take()
    assert script.state is ESTABLISHED
