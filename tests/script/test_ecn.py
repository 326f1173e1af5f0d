"""RFC 4960 appendix A and RFC 3168: explicit congestion notification."""

from __future__ import annotations

from struct import pack

import pytest
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.wire import control
from asyncsctp.wire.constants import CWR, DATA, ECNE, SACK

MARKED = Config(heartbeat_interval=None, ecn=True)


def ecne(script: Script, tsn: int) -> bytes:
    return control.pack_ecne(script.ours(tsn))


def test_a_mark_is_echoed_with_each_sack_until_the_answer() -> None:
    """ECNE holds the lowest TSN of the marked packet, and is repeated until the CWR (RFC 3168 section 6.1.3)."""
    script = Script(MARKED, ecn=True)
    script.send(script.data(0))
    script.expect(SACK)
    script.send(script.data(1), script.data(2), marked=True)
    script.send(script.data(3))
    packet = script.expect(ECNE, SACK)
    assert packet.one(ECNE).tsn == 1
    script.send(script.data(4))
    script.send(script.data(5))
    assert script.expect(ECNE, SACK).one(ECNE).tsn == 1
    script.send(control.pack_cwr(script.theirs(1)))
    script.send(script.data(6))
    script.send(script.data(7))
    script.expect(SACK)


def test_of_several_marks_in_one_batch_the_first_is_echoed() -> None:
    """RFC 9260 appendix A: the ECNE has the lowest TSN that came with the mark."""
    script = Script(ecn=True)
    script.arrive(script.data(0), marked=True)
    script.arrive(script.data(1), marked=True)
    script.flush()
    assert [chunk.tsn for packet in script.take() for chunk in packet.all(ECNE)] == [0]


def test_a_cwr_for_an_earlier_mark_does_not_end_a_later_one() -> None:
    script = Script(MARKED, ecn=True)
    script.send(script.data(0))
    script.take()
    script.send(script.data(1), marked=True)
    script.send(control.pack_cwr(script.theirs(0)))
    script.send(script.data(2))
    script.expect(ECNE, SACK)


def test_an_echo_halves_the_window_and_is_answered() -> None:
    """CWR holds the TSN of the ECNE; the window is reduced as by a loss (RFC 3168 section 6.1.2)."""
    script = Script(MARKED, ecn=True)
    script.path().congestion.cwnd = 20 * script.payload
    script.write_packets(4)
    script.take()
    script.send(ecne(script, 1))
    assert script.expect(CWR).one(CWR).tsn == 1
    assert (script.cwnd, script.ssthresh) == (10 * script.payload, 10 * script.payload)


def test_repeated_echoes_reduce_it_once_for_a_window_of_data_and_are_all_answered() -> None:
    """RFC 3168 section 6.1.2: react at most once per window of data; the CWR may have been lost."""
    script = Script(MARKED, ecn=True)
    script.path().congestion.cwnd = 40 * script.payload
    script.write_packets(4)
    script.take()
    for _ in range(3):
        script.send(ecne(script, 1))
        script.expect(CWR)
    script.send(ecne(script, 3))
    script.expect(CWR)
    assert script.cwnd == 20 * script.payload
    script.send(script.sack(3))
    script.write_packets(1)
    script.take()
    script.send(ecne(script, 4))
    assert script.cwnd == 10 * script.payload


def lost(script: Script, first: int, last: int) -> None:
    """Three SACKs report that this TSN is missing."""
    for highest in range(first + 1, last + 1):
        script.send(script.sack(first - 1, [(first + 1, highest)]))
    script.take()


@pytest.mark.parametrize("mark_first", [False, True])
def test_a_loss_and_a_mark_in_one_window_reduce_it_once(mark_first: bool) -> None:
    """RFC 3168 section 6.1.2: only once in response to a series of dropped and marked packets from a single window."""
    script = Script(MARKED, ecn=True)
    script.path().congestion.cwnd = 40 * script.payload
    script.write_packets(20)
    script.take()
    if mark_first:
        script.send(ecne(script, 5))
    lost(script, 0, 3)
    if not mark_first:
        script.send(ecne(script, 5))
        script.expect(CWR)
    assert script.ssthresh == 20 * script.payload
    script.send(script.sack(19))
    script.path().congestion.cwnd = 40 * script.payload
    script.write_packets(20)
    script.take()
    lost(script, 20, 23)
    assert script.ssthresh == 20 * script.payload


def test_a_mark_in_the_window_that_a_time_out_ended_reduces_nothing_more() -> None:
    script = Script(MARKED, ecn=True)
    script.path().congestion.cwnd = 40 * script.payload
    script.write_packets(20)
    script.advance(1.0)
    script.take()
    script.send(ecne(script, 5), script.sack(0))
    assert script.ssthresh == 20 * script.payload


def test_a_loss_on_one_path_and_a_mark_on_another_reduce_both() -> None:
    """One reaction for each window and path: each of them has its own (RFC 9260 section 7.2)."""
    script = Script(MARKED, ecn=True, paths=2)
    for number in (0, 1):
        script.path(number).congestion.cwnd = 40_000
    for _ in range(4):
        script.write(bytes(1000))
    script.write(bytes(1000), path=PEER[1])
    script.take()
    script.send(ecne(script, 4))
    lost(script, 0, 3)
    assert script.cwnd == 20_000
    assert script.path(1).congestion.cwnd == 20_000


def test_an_echo_repeated_after_its_packet_was_acknowledged_reduces_no_other_path() -> None:
    script = Script(MARKED, ecn=True, paths=2)
    script.path(1).congestion.cwnd = 40_000
    script.write(bytes(1000), path=PEER[1])
    script.take()
    before = script.cwnd
    script.send(ecne(script, 0), script.sack(0))
    script.send(ecne(script, 0))
    assert script.cwnd == before
    assert script.path(1).congestion.cwnd == 20_000


def test_the_window_of_the_path_that_was_marked_is_reduced() -> None:
    script = Script(MARKED, ecn=True, paths=2)
    script.path(1).congestion.cwnd = 40_000
    script.write(b"data", path=PEER[1])
    script.take()
    before = script.cwnd
    script.send(ecne(script, 0))
    assert script.cwnd == before
    assert script.path(1).congestion.cwnd == 20_000


def test_the_longer_form_of_an_echo_is_read() -> None:
    """Some peers add how many packets were marked."""
    script = Script(MARKED, ecn=True)
    script.write_packets(1)
    script.take()
    script.send(pack("!BBHII", ECNE, 0, 12, script.ours(0), 3))
    script.expect(CWR)


@pytest.mark.parametrize("tsn", [1, 1000, 0x7FFF0000])
def test_an_echo_of_what_was_never_sent_means_nothing(tsn: int) -> None:
    script = Script(MARKED, ecn=True)
    script.write_packets(1)
    script.take()
    before = script.cwnd
    script.send(ecne(script, tsn))
    script.expect_nothing()
    assert script.cwnd == before


def test_new_data_alone_is_ecn_capable() -> None:
    """RFC 3168 section 6.1.4 and 6.1.5: neither acknowledgements nor retransmissions."""
    script = Script(MARKED, ecn=True)
    script.send(script.data(0))
    assert not script.expect(SACK).ecn_capable
    script.write(b"new")
    assert script.expect(DATA).ecn_capable
    script.advance(1.0)
    assert not script.expect(DATA).ecn_capable


@pytest.mark.parametrize(("config", "ecn"), [(Config(heartbeat_interval=None, ecn=False), True), (MARKED, False)])
def test_without_agreement_there_is_none_of_it(config: Config, ecn: bool) -> None:
    script = Script(config, ecn=ecn)
    script.send(script.data(0), marked=True)
    script.expect(SACK)
    script.write(b"data")
    assert not script.expect(DATA).ecn_capable
    before = script.cwnd
    script.send(ecne(script, 0))
    script.expect_nothing()
    assert script.cwnd == before


def test_a_mark_on_a_packet_with_malformed_data_is_none() -> None:
    script = Script(ecn=True)
    script.send(b"\0\3\0\x0c" + bytes(8), marked=True)
    assert script.association.context.statistics.malformed_packets == 1
    script.send(script.data(0))
    assert ECNE not in [kind for packet in script.take() for kind in packet.kinds]
