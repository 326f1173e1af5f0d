"""RFC 9260 sections 6.5 to 6.7: stream identifiers and sequence numbers, order, and reports of gaps."""

from __future__ import annotations

from support.script import B, E, Script, U

from asyncsctp.wire.constants import DATA, SACK


def delivered(script: Script) -> list[bytes]:
    return [message[3] for message in script.user.messages]


def test_6_5_ssns_start_from_0_and_count_the_ordered_messages_of_a_stream() -> None:
    """MUST start from 0, MUST be incremented by 1 for each ordered message, MUST NOT change for unordered ones."""
    script = Script()
    for sid, unordered in ((0, False), (1, False), (0, True), (0, False), (1, False)):
        script.association.send(sid, b"x", unordered=unordered)
    script.flush()
    chunks = script.expect(*[DATA] * 5).all(DATA)
    assert [(chunk.sid, chunk.ssn) for chunk in chunks if not chunk.flags & U] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [chunk.flags for chunk in chunks] == [B | E, B | E, B | E | U, B | E, B | E]
    assert [chunk.tsn for chunk in chunks] == [0, 1, 2, 3, 4]


def test_6_5_after_65535_comes_0() -> None:
    script = Script()
    script.path().congestion.cwnd = 1 << 30
    ssns: list[int] = []
    while len(ssns) < 65538:
        for _ in range(1000):
            script.association.send(3, b"x")
        script.flush()
        ssns += [chunk.ssn for packet in script.take() for chunk in packet.all(DATA)]
        script.send(script.sack(len(ssns) - 1))
    assert ssns[65534:65538] == [65534, 65535, 0, 1]


def test_6_6_a_stream_is_delivered_in_order_and_streams_do_not_wait_for_each_other() -> None:
    """MUST deliver according to the SSNs, MUST hold what is out of order."""
    script = Script()
    script.send(script.data(1, b"second", ssn=1))
    script.send(script.data(2, b"other stream", sid=1, ssn=0))
    assert delivered(script) == [b"other stream"]
    script.send(script.data(0, b"first", ssn=0))
    assert delivered(script) == [b"other stream", b"first", b"second"]


def test_6_6_ssns_wrap_on_the_way_in_as_well() -> None:
    script = Script()
    for tsn in range(0, 65538, 60):
        count = min(60, 65538 - tsn)
        script.arrive(*[script.data(tsn + number, b"x", ssn=tsn + number & 0xFFFF) for number in range(count)])
        if not tsn % 6000:
            script.flush()
    assert len(script.user.messages) == 65538


def test_6_6_unordered_messages_do_not_wait_and_their_ssn_means_nothing() -> None:
    """The receiver MUST ignore the SSN of an unordered chunk."""
    script = Script()
    script.send(script.data(3, b"unordered", flags=B | E | U, ssn=12345))
    assert delivered(script) == [b"unordered"]
    script.send(script.data(2, b"2", flags=E | U, ssn=7), script.data(1, b"1", flags=B | U, ssn=8))
    assert delivered(script) == [b"unordered", b"12"]


def test_6_7_gap_blocks_go_from_the_lowest_up_as_many_as_fit_in_one_sack() -> None:
    """MUST send only one SACK, MUST report from lowest to highest, within the PMTU."""
    script = Script()
    for tsn in range(1, 1001, 2):
        script.arrive(script.data(tsn, flags=B | E | U))
    script.flush()
    packet = script.take()[-1]
    gaps = packet.one(SACK).gaps
    assert gaps == tuple((tsn, tsn) for tsn in range(1, 2 * len(gaps), 2))
    assert script.payload - 8 < packet.size <= script.payload


def test_6_7_as_many_gap_blocks_as_fit_although_other_chunks_wait_for_the_packet() -> None:
    """Section 6.2: as many Gap Ack Blocks as can fit such that the packet does not exceed the PMTU."""
    script = Script()
    for tsn in range(1, 401, 2):
        script.send(script.data(tsn, flags=B | E | U))
    script.take()
    script.send(b"\xc1\0" + (800).to_bytes(2) + bytes(796), script.data(401, flags=B | E | U))
    report = [packet.one(SACK) for packet in script.take() if SACK in packet.kinds][-1]
    assert len(report.gaps) == 201
