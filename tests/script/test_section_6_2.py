"""RFC 9260 section 6.2 and 6.2.1 for the receiver of data: when it acknowledges, and what."""

from __future__ import annotations

from typing import Any

import pytest
from support.chunks import pack_data
from support.script import B, E, I, Script, U

from asyncsctp.config import Config
from asyncsctp.wire.constants import ABORT, CAUSE_INVALID_STREAM, CAUSE_NO_USER_DATA, DATA, ERROR, SACK

QUIET: dict[str, Any] = {"heartbeat_interval": None}


@pytest.fixture
def script() -> Script:
    return Script()


def settle(script: Script) -> None:
    """The first DATA has come, which is acknowledged at once."""
    script.send(script.data(0))
    script.expect(SACK)


def test_the_first_data_chunk_is_acknowledged_at_once(script: Script) -> None:
    """Section 5.1: "the first DATA chunk ... MUST be acknowledged immediately"."""
    script.send(script.data(0))
    assert script.expect(SACK).one(SACK).tsn == 0


def test_every_second_packet_is_acknowledged(script: Script) -> None:
    """Section 6.2: for at least every second packet, not every second DATA chunk."""
    settle(script)
    script.send(script.data(1), script.data(2), script.data(3))
    script.expect_nothing()
    script.send(script.data(4))
    assert script.expect(SACK).one(SACK).tsn == 4


def test_a_single_packet_is_acknowledged_within_200_ms(script: Script) -> None:
    """Section 6.2: within 200 ms of the arrival of any unacknowledged DATA chunk."""
    settle(script)
    script.send(script.data(1))
    script.advance(0.199)
    script.expect_nothing()
    script.advance(0.001)
    assert script.expect(SACK).one(SACK).tsn == 1
    script.advance(10.0)
    script.expect_nothing()


def test_the_delay_counts_from_the_first_packet_that_is_not_acknowledged() -> None:
    script = Script(Config(sack_frequency=3, heartbeat_interval=None))
    settle(script)
    script.send(script.data(1))
    script.advance(0.15)
    script.send(script.data(2))
    script.advance(0.05)
    assert script.expect(SACK).one(SACK).tsn == 2


def test_an_acknowledgement_that_waits_leaves_with_data(script: Script) -> None:
    """Section 6.1: before DATA is sent, what was received is acknowledged in the same packet."""
    settle(script)
    script.send(script.data(1))
    script.expect_nothing()
    script.write(b"answer")
    assert script.expect(SACK, DATA).one(SACK).tsn == 1
    script.advance(0.5)
    script.expect_nothing()


def test_an_acknowledgement_that_waits_goes_on_waiting_if_no_data_can_leave(script: Script) -> None:
    """Section 6.2: delayed acknowledgement SHOULD be followed, also while our own data is under way."""
    settle(script)
    script.write(b"under way")
    script.expect(DATA)
    script.send(script.data(1))
    script.expect_nothing()
    script.advance(0.2)
    assert script.expect(SACK).one(SACK).tsn == 1


def test_an_acknowledgement_that_waits_goes_on_waiting_if_the_window_is_full(script: Script) -> None:
    """The same while data is queued that the congestion window has no room for."""
    settle(script)
    script.write_packets(10)
    assert script.take()
    script.send(script.data(1))
    script.expect_nothing()
    script.advance(0.2)
    assert script.expect(SACK).one(SACK).tsn == 1


def test_a_gap_is_reported_at_once_and_after_each_packet(script: Script) -> None:
    """Section 6.7: with Gap Ack Blocks, immediately, and for each packet until the gap is filled."""
    settle(script)
    script.send(script.data(2, ssn=2))
    assert script.expect(SACK).one(SACK).gaps == ((2, 2),)
    script.send(script.data(3, ssn=3))
    report = script.expect(SACK).one(SACK)
    assert (report.tsn, report.gaps) == (0, ((2, 3),))
    script.send(script.data(1, ssn=1))
    report = script.expect(SACK).one(SACK)
    assert (report.tsn, report.gaps) == (3, ())


def test_a_packet_that_fills_one_of_two_gaps_is_acknowledged_at_once(script: Script) -> None:
    settle(script)
    script.send(script.data(2, flags=B | E | U))
    script.send(script.data(5, flags=B | E | U))
    script.take()
    script.send(script.data(1, flags=B | E | U))
    report = script.expect(SACK).one(SACK)
    assert (report.tsn, report.gaps) == (2, ((5, 5),))


def test_section_3_3_4_the_example_of_a_sack() -> None:
    """TSNs 10 to 12, 14, 15 and 17: cumulative 12, blocks 2-3 and 5-5, here from 0 on."""
    script = Script()
    for tsn in (0, 1, 2, 4, 5, 7):
        script.send(script.data(tsn, flags=B | E | U))
    report = script.take()[-1].one(SACK)
    assert (report.tsn, report.gaps) == (2, ((4, 5), (7, 7)))


def test_duplicates_alone_are_reported_at_once(script: Script) -> None:
    """Section 6.2: duplicates and no new DATA in a packet: MUST immediately send a SACK chunk."""
    settle(script)
    script.send(script.data(0, ssn=0))
    assert script.expect(SACK).one(SACK).duplicates == (0,)


def test_duplicates_are_listed_as_often_as_they_came(script: Script) -> None:
    """Section 3.3.4: TSN 19 three times is listed twice, and the list begins anew with each SACK."""
    script.arrive(script.data(0, ssn=0), script.data(0, ssn=0), script.data(0, ssn=0))
    script.flush()
    assert script.expect(SACK).one(SACK).duplicates == (0, 0)
    script.send(script.data(0, ssn=0))
    assert script.expect(SACK).one(SACK).duplicates == (0,)
    assert len(script.user.messages) == 1


def test_the_i_bit_is_obeyed(script: Script) -> None:
    """Section 6.2, RFC 7053 section 5.2: the receiver SHOULD NOT delay."""
    settle(script)
    script.send(script.data(1, flags=B | E | I))
    assert script.expect(SACK).one(SACK).tsn == 1
    script.send(script.data(2), script.data(3, flags=B | E | U | I), script.data(4))
    assert script.expect(SACK).one(SACK).tsn == 4


def test_no_more_than_one_sack_for_a_packet() -> None:
    """Section 6.2: "MUST NOT generate more than one SACK chunk for every incoming packet"."""
    script = Script()
    for tsn in (0, 2, 4, 1, 3, 3):  # in order, gaps, a gap filled, all filled, a duplicate
        script.send(script.data(tsn, flags=B | E | U | I))
        script.expect(SACK)


def test_a_batch_of_packets_gets_a_sack_for_every_second_of_them(script: Script) -> None:
    settle(script)
    for tsn in range(1, 7):
        script.arrive(script.data(tsn))
    script.flush()
    assert [packet.one(SACK).tsn for packet in script.take()] == [2, 4, 6]


def test_a_large_batch_gets_as_many_while_the_peer_may_be_in_slow_start() -> None:
    """Its window grows by each of them (section 7.2.1): nine for a hundred packets would hold it back."""
    script = Script(Config(recv_buffer=300_000, heartbeat_interval=None))
    settle(script)
    found = [batch(script, 1 + number * 100, 100) for number in range(15)]
    assert found[:9] == [50] * 9
    assert found[-1] == 9  # so many windows have come that a wider one would not let it send more
    script.send(script.data(1502))
    script.send(script.data(1501))  # a loss begins it anew
    script.take()
    found = [batch(script, 1503 + number * 100, 100) for number in range(15)]
    assert found[0] == 50
    assert found[-1] == 9
    script.advance(3.0)
    script.take()
    assert batch(script, 3003, 2) == 1  # and so does a pause, in which the window decays
    assert batch(script, 3005, 100) == 50


def batch(script: Script, first: int, count: int) -> int:
    """So many packets come together; the SACKs that answer them."""
    for tsn in range(first, first + count):
        script.arrive(script.data(tsn, bytes(1000)))
    script.flush()
    return sum(len(packet.all(SACK)) for packet in script.take())


def test_a_gap_late_in_a_batch_is_reported_by_three_sacks_as_well(script: Script) -> None:
    """The peer needs them to send again what is missing (section 7.2.4), whatever the batch began with."""
    settle(script)
    for tsn in (*range(1, 60), *range(61, 80)):
        script.arrive(script.data(tsn))
    script.flush()
    assert sum(bool(packet.one(SACK).gaps) for packet in script.take()) >= 3


def test_the_sack_delay_cannot_be_above_half_a_second() -> None:
    """Section 6.2: an implementation MUST NOT allow SACK.Delay above 500 ms."""
    with pytest.raises(ValueError, match="sack_delay"):
        Config(sack_delay=0.501)


# The receive window.


def test_the_window_shrinks_by_what_is_not_read_and_grows_by_what_is() -> None:
    """Section 6.2 B and C."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.user.reading = False
    script.send(script.data(0, bytes(1000)))
    assert script.expect(SACK).one(SACK).a_rwnd == 9000
    script.send(script.data(1, bytes(1000)), script.data(2, bytes(1000)))
    script.advance(0.2)
    assert script.expect(SACK).one(SACK).a_rwnd == 7000
    script.user.read(2)
    script.send(script.data(3, b"x" * 100, flags=B | E | I))
    assert script.expect(SACK).one(SACK).a_rwnd == 8900


def test_what_waits_for_reassembly_counts_against_the_window() -> None:
    """Section 6.2 C: a receiver that holds fragments SHOULD NOT increment a_rwnd for them."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.send(script.data(0, flags=B | E))
    script.expect(SACK)
    script.send(script.data(2, bytes(1000), flags=0, ssn=1))
    assert script.expect(SACK).one(SACK).a_rwnd <= 9000


def test_a_window_update_comes_with_a_quarter_of_the_buffer() -> None:
    """Section 6.2: a window update only if the window can be increased by at least a quarter of the buffer."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.user.reading = False
    for tsn in range(8):
        script.send(script.data(tsn, bytes(1000), flags=B | E | I))
    assert script.take()[-1].one(SACK).a_rwnd == 2000
    assert not script.user.read(2)
    script.flush()
    script.expect_nothing()
    assert script.user.read(1)
    script.flush()
    assert script.expect(SACK).one(SACK).a_rwnd == 5000
    assert not script.user.read(1)


def fill_window(script: Script, size: int = 1000) -> int:
    """Data comes that is not read, until the window is closed; the TSN after it."""
    script.user.reading = False
    tsn = 0
    while True:
        script.send(script.data(tsn, bytes(size), flags=B | E | U | I))
        tsn += 1
        report = script.take()[-1].one(SACK)
        assert report.tsn == tsn - 1
        if report.a_rwnd == 0:
            return tsn


@pytest.mark.parametrize("buffer", [10_000, 9_700, 10_300])
def test_what_comes_beyond_a_closed_window_is_dropped(buffer: int) -> None:
    """Section 6.2: with an advertised window of 0, MUST drop a new DATA chunk above the largest TSN, and MUST
    immediately send a SACK that does not show it."""
    script = Script(Config(recv_buffer=buffer, **QUIET))
    tsn = fill_window(script)
    read = len(script.user.messages)
    script.send(script.data(tsn, b"too much"))
    report = script.expect(SACK).one(SACK)
    assert (report.tsn, report.gaps, report.duplicates, report.a_rwnd) == (tsn - 1, (), (), 0)
    assert len(script.user.messages) == read
    script.user.read()
    script.flush()
    assert script.expect(SACK).one(SACK).a_rwnd == buffer
    script.send(script.data(tsn, b"too much", ssn=0))
    assert script.user.messages[-1][3] == b"too much"


def test_what_was_promised_is_kept() -> None:
    """Section 6.2: DATA inside the window that was advertised MUST be accepted, to its last byte."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.user.reading = False
    for tsn in range(8):
        script.send(script.data(tsn, bytes(1000), flags=B | E | U | I))
    assert script.take()[-1].one(SACK).a_rwnd == 2000
    script.send(script.data(8, bytes(1000), flags=B | E | U), script.data(9, bytes(1000), flags=B | E | U | I))
    assert script.expect(SACK).one(SACK).tsn == 9


def test_a_message_longer_than_the_window_takes_nothing_back_when_it_is_complete() -> None:
    """Section 6.2: the message in progress is not held against the window; what was announced meanwhile may be on its
    way when it is complete, and MUST be accepted."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.user.reading = False
    script.send(script.data(0, bytes(1000), flags=B | I))
    for tsn in range(1, 20):
        script.send(script.data(tsn, bytes(1000), flags=I))
        assert script.take()[-1].one(SACK).a_rwnd == 10_000
    script.send(script.data(20, bytes(1000), flags=E | I))
    assert script.expect(SACK).one(SACK).a_rwnd == 9_000, "of the 10,000 one has come"
    for tsn in range(21, 29):
        script.send(script.data(tsn, bytes(1000), flags=B | E | U | I))
        assert script.expect(SACK).one(SACK).a_rwnd == 29_000 - tsn * 1000
    script.send(script.data(29, bytes(1000), flags=B | E | U | I), script.data(30, bytes(1000), flags=B | E | U | I))
    report = script.expect(SACK).one(SACK)
    assert (report.tsn, report.gaps, report.a_rwnd) == (29, (), 0), "then it is closed"
    script.user.read()
    script.flush()
    assert script.expect(SACK).one(SACK).a_rwnd == 10_000


def test_a_closed_window_takes_what_fills_a_hole_and_gives_up_the_largest() -> None:
    """Section 6.2: a TSN below the largest displaces the largest one held for reordering, which is reported no more."""
    script = Script(Config(recv_buffer=7_000, **QUIET))  # each is charged 384 bytes more
    script.user.reading = False
    for tsn in (1, 2, 3, 4, 5):
        script.send(script.data(tsn, bytes(1000), ssn=tsn))
    report = script.take()[-1].one(SACK)
    assert (report.a_rwnd, report.gaps) == (0, ((1, 5),))
    script.send(script.data(0, bytes(1000), ssn=0))
    report = script.expect(SACK).one(SACK)
    assert report.tsn >= 3
    assert report.tsn < 5
    assert [len(message[3]) for message in script.user.messages] == [1000] * (report.tsn + 1)


def test_a_chunk_that_was_given_up_and_comes_again_is_counted_once() -> None:
    script = Script(Config(recv_buffer=6_000, **QUIET))
    script.user.reading = False
    for tsn in (1, 2, 3, 4, 5):
        script.send(script.data(tsn, bytes(1000 + tsn), ssn=tsn))
    script.send(script.data(0, bytes(1000), ssn=0))
    kept = script.take()[-1].one(SACK).tsn + 1
    statistics = script.association.statistics
    assert kept < 6
    assert statistics.data_chunks_received == kept
    assert statistics.bytes_received == sum(1000 + tsn for tsn in range(kept))
    script.user.read()
    script.flush()
    for tsn in (1, 2, 3, 4, 5, 5):
        script.send(script.data(tsn, bytes(1000 + tsn), ssn=tsn))
    script.user.read()
    script.flush()
    assert script.take()[-1].one(SACK).tsn == 5
    assert (statistics.data_chunks_received, statistics.messages_received) == (6, 6)
    assert statistics.bytes_received == 6015


def test_a_small_window_is_announced_as_none() -> None:
    """Section 6.2: the receiver MUST avoid the silly window syndrome (RFC 1122 section 4.2.3.3)."""
    script = Script(Config(recv_buffer=10_000, **QUIET))
    script.user.reading = False
    for tsn in range(9):
        script.send(script.data(tsn, bytes(1060), flags=B | E | U | I))
    assert script.take()[-1].one(SACK).a_rwnd == 0


# What is wrong with DATA.


def test_section_6_5_an_invalid_stream_is_acknowledged_reported_and_discarded(script: Script) -> None:
    """The DATA is acknowledged, an ERROR says which stream, and nothing is delivered; the association goes on."""
    script.send(script.data(0, sid=script.association.incoming_streams))
    packet = script.expect(ERROR, SACK)
    [(code, information)] = packet.one(ERROR).causes
    assert (code, information[:2]) == (CAUSE_INVALID_STREAM, script.association.incoming_streams.to_bytes(2))
    assert packet.one(SACK).tsn == 0
    assert not script.user.messages
    script.send(script.data(1))
    assert len(script.user.messages) == 1


def test_no_user_data_is_answered_by_an_abort(script: Script) -> None:
    """Section 6.2: DATA of length 16 SHOULD be answered by an ABORT with a No User Data cause, which names its TSN."""
    script.send(pack_data(B | E, script.theirs(0), 0, 0, 0, b""))
    [(code, information)] = script.expect(ABORT).one(ABORT).causes
    assert (code, information) == (CAUSE_NO_USER_DATA, script.theirs(0).to_bytes(4))
    assert script.user.is_closed


def test_user_data_that_is_no_multiple_of_4_is_padded_in_the_packet(script: Script) -> None:
    """Section 3.3.1: padding is not part of the length."""
    script.send(script.data(0, b"abcde"), script.data(1, b"f"), script.data(2, b"ghi"))
    assert [message[3] for message in script.user.messages] == [b"abcde", b"f", b"ghi"]
    script.write(b"abcde", b"f")
    packet = script.take()[-1]
    assert [chunk.data for chunk in packet.all(DATA)] == [b"abcde", b"f"]
