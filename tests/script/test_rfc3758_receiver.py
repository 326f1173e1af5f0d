"""RFC 3758 section 3.6: what a receiver does with FORWARD TSN, and section 3.3 where it was not negotiated."""

from __future__ import annotations

import pytest
from support.script import B, E, Script, U

from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED, SHUTDOWN_SENT
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_PROTOCOL_VIOLATION,
    CAUSE_UNRECOGNIZED_CHUNK,
    ERROR,
    FORWARD_TSN,
    SACK,
    SHUTDOWN,
)
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn


def negotiated(config: Config | None = None) -> Script:
    return Script(config, extensions=frozenset({FORWARD_TSN}))


def skip(script: Script, tsn: int, *entries: tuple[int, int]) -> bytes:
    return pack_forward_tsn(script.theirs(tsn), entries)


def heard(script: Script) -> list[bytes]:
    return [data for _, _, _, data in script.user.messages]


def test_the_cumulative_tsn_moves_and_on_over_what_was_received() -> None:
    """The RFC's example: 102 received, 104 and 105 too, 107; a FORWARD TSN to 103."""
    script = negotiated()
    for tsn in (0, 2, 3, 5):
        script.arrive(script.data(tsn, flags=B | E | U))
    script.send(skip(script, 1))
    sack = script.take()[-1].all(SACK)[-1]
    assert (sack.tsn, sack.gaps) == (3, ((5, 5),))
    assert script.association.statistics.forward_tsns_received == 1
    script.send(script.data(1, flags=B | E | U))  # what was skipped does arrive: it is a duplicate
    sack = script.expect(SACK).one(SACK)
    assert (sack.tsn, sack.duplicates) == (3, (1,))


def test_stranded_messages_are_delivered_in_order_and_what_follows_too() -> None:
    script = negotiated()
    for tsn, ssn in ((2, 2), (4, 4), (1, 1), (6, 6), (5, 5)):
        script.send(script.data(tsn, b"%d" % ssn, ssn=ssn))
    script.send(script.data(7, b"other", sid=1, ssn=1))
    assert heard(script) == []
    script.send(skip(script, 3, (0, 3)))
    assert heard(script) == [b"1", b"2", b"4", b"5", b"6"]
    assert script.take()[-1].one(SACK).tsn == 7


def test_one_that_is_out_of_date_is_answered_by_a_sack_and_its_entries_mean_nothing() -> None:
    """SHOULD send a SACK, since the last one may have been lost. The SSN may be that of a stream before its reset."""
    script = negotiated()
    script.send(script.data(0), script.data(1))
    script.take()
    for tsn in (1, 0, -5, -0x7FFFFFF0):
        script.send(skip(script, tsn, (0, 900)))
        assert script.expect(SACK).one(SACK).tsn == 1
    script.send(script.data(2, b"next"))
    assert heard(script)[-1] == b"next"
    script.send(skip(script, 2), script.data(3))
    assert script.take()[-1].one(SACK).tsn == 3


def test_sack_rules_are_those_of_data() -> None:
    script = negotiated()
    script.send(script.data(0))
    script.take()
    script.send(script.data(1))
    script.expect_nothing()  # delayed
    script.send(skip(script, 3))
    assert script.expect(SACK).one(SACK).tsn == 3  # every second packet
    script.send(skip(script, 5))
    script.expect_nothing()
    script.advance(0.2)
    assert script.expect(SACK).one(SACK).tsn == 5


@pytest.mark.parametrize("size", [2, 3])
def test_what_is_incomplete_goes(size: int) -> None:
    script = negotiated()
    script.send(script.data(1, b"half", flags=0, ssn=0), script.data(2, b"half", flags=0, ssn=0))
    script.send(script.data(5, b"next", ssn=1))
    script.send(skip(script, 1 + size, (0, 0)))
    script.send(skip(script, 4, (0, 0)))
    assert heard(script) == [b"next"]
    assert script.take()[-1].one(SACK).a_rwnd == script.config.recv_buffer


def test_a_message_that_lacks_nothing_yet_goes_on() -> None:
    script = negotiated()
    script.send(script.data(1, b"a", flags=B, ssn=1), script.data(2, b"b", flags=0, ssn=1))
    script.send(skip(script, 0, (0, 0)))
    script.send(script.data(3, b"c", flags=E, ssn=1))
    assert heard(script) == [b"abc"]


@pytest.mark.parametrize("unordered", [0, U])
def test_a_half_sent_message_ends_where_the_next_begins(unordered: int) -> None:
    """The sender has not sent all of it, and what it sent has arrived: there is no E, and never will be."""
    script = negotiated()
    script.send(script.data(0, b"a", flags=B | unordered, ssn=0), script.data(1, b"b", flags=unordered, ssn=0))
    script.send(skip(script, 1, (0, 0)))
    script.send(script.data(2, b"next", flags=B | E | unordered, ssn=0))
    assert script.state is ESTABLISHED
    assert b"next" in heard(script) and len(heard(script)) == 1
    script = negotiated()
    script.send(script.data(0, b"a", flags=B | unordered, ssn=0))
    script.send(skip(script, 1, (0, 0)))
    script.send(script.data(2, b"x", flags=B | unordered, ssn=1), script.data(3, b"y", flags=E | unordered, ssn=1))
    assert heard(script) == [b"xy"]


def test_fragments_beyond_of_a_message_that_was_skipped_go() -> None:
    script = negotiated()
    script.send(script.data(3, b"c", flags=0, ssn=0))
    script.send(skip(script, 1, (0, 0)))
    script.send(script.data(2, b"b", flags=0, ssn=0))
    script.send(script.data(5, b"whole", ssn=1))
    script.send(script.data(4, b"d", flags=E, ssn=0))
    assert heard(script) == [b"whole"]
    script.advance(1)
    assert script.take()[-1].one(SACK).a_rwnd == script.config.recv_buffer  # nothing is held


def test_streams_that_are_not_there_and_repeated_entries_are_harmless() -> None:
    script = negotiated()
    entries = [(65535, 7), (16, 1), (3, 2), (3, 2), (3, 0), (3, 0x8003), (9, 0xFFFF)]
    script.send(skip(script, 0, *entries))
    script.send(script.data(1, b"x", sid=3, ssn=3), script.data(2, b"y", sid=9, ssn=0))
    assert heard(script) == [b"x", b"y"]
    assert script.state is ESTABLISHED


def test_one_beyond_the_window_is_dropped_and_counted() -> None:
    script = negotiated(Config(heartbeat_interval=None, recv_buffer=100_000))
    script.send(skip(script, 100_000))  # 100,001 ahead
    assert script.expect(SACK).one(SACK).tsn == -1
    assert script.association.statistics.dropped_out_of_window == 1
    script.send(skip(script, 99_999))
    script.advance(1)
    assert script.take()[-1].one(SACK).tsn == 99_999
    assert script.state is ESTABLISHED


def test_one_too_short_is_malformed() -> None:
    script = negotiated()
    script.send(b"\xc0\0\0\4")
    script.send(b"\xc0\0\0\7" + bytes(4))
    assert script.association.statistics.malformed_packets == 2
    assert script.state is ESTABLISHED


def test_it_counts_while_data_does() -> None:
    script = negotiated()
    script.shutdown()
    script.expect(SHUTDOWN)
    assert script.state is SHUTDOWN_SENT
    script.send(skip(script, 3))
    assert script.take()[-1].all(SHUTDOWN)[0].tsn == 3


def test_where_it_was_not_negotiated_it_is_an_unknown_chunk() -> None:
    """Section 3.3.1: MUST act as if it did not support it, returning an ERROR."""
    script = Script()
    script.send(skip(script, 3), script.data(0))
    packet = script.expect(ERROR, SACK)
    assert packet.one(ERROR).causes[0][0] == CAUSE_UNRECOGNIZED_CHUNK
    assert packet.one(SACK).tsn == 0
    script.send(*[skip(script, 3)] * 100)
    assert sum(len(packet.all(ERROR)) for packet in script.take()) <= 8


def test_its_counterpart_for_i_data_aborts() -> None:
    """RFC 8260 section 2.3.1."""
    script = negotiated()
    script.send(pack_i_forward_tsn(script.theirs(3)))
    assert script.expect(ABORT).one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION


def test_an_entry_costs_no_more_than_what_it_delivers() -> None:
    """Many small steps over a stream's numbers, and over TSNs, with much held elsewhere."""
    script = negotiated()
    for first in range(0, 4000, 40):
        script.arrive(*[script.data(5000 + first + n, sid=1, ssn=first + n + 1) for n in range(40)])
    script.flush()
    for first in range(0, 4000, 40):
        script.arrive(*[skip(script, first + n, (0, (first + n) * 7 & 0xFFFF)) for n in range(40)])
    script.flush()
    assert heard(script) == []
    script.send(skip(script, 4999, (1, 0)))
    assert len(heard(script)) == 4000
