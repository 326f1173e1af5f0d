"""RFC 9260 section 6.9, with 3.3.1 and 7.3: fragmentation, reassembly, and packets that have become too long."""

from __future__ import annotations

import pytest
from support.script import PEER, UDP_PORT, B, E, Script, U

from asyncsctp.config import Config
from asyncsctp.paths.route import Route
from asyncsctp.wire.constants import ABORT, CAUSE_PROTOCOL_VIOLATION, DATA, SACK


def message(size: int) -> bytes:
    return bytes(number & 0xFF for number in range(size))


def test_a_message_that_fits_a_packet_is_not_fragmented() -> None:
    script = Script()
    script.write(message(script.payload - 16))
    [chunk] = script.expect(DATA).all(DATA)
    assert chunk.flags == B | E


@pytest.mark.parametrize("unordered", [False, True])
def test_a_longer_one_is_fragmented_in_order(unordered: bool) -> None:
    """MUST fragment; TSNs in sequence, one SSN, U in all of them, B/E 10, 00 ... 00, 01; no chunk above the AMDCS."""
    script = Script()
    script.path().congestion.cwnd = 100_000
    script.write(b"before", sid=2)
    script.write(message(5000), sid=2, unordered=unordered)
    script.write(b"after", sid=2)
    packets = script.take()[1:]
    assert all(packet.size <= script.payload for packet in packets)
    chunks = [chunk for packet in packets for chunk in packet.all(DATA)]
    assert [chunk.tsn for chunk in chunks] == list(range(1, len(chunks) + 1))
    fragments, after = chunks[:-1], chunks[-1]
    assert b"".join(chunk.data for chunk in fragments) == message(5000)
    assert {(chunk.sid, chunk.ppid) for chunk in fragments} == {(2, 0)}
    assert len({chunk.ssn for chunk in fragments}) == 1
    u = U if unordered else 0
    assert [chunk.flags for chunk in fragments] == [B | u] + [u] * (len(fragments) - 2) + [E | u]
    assert after.ssn == (1 if unordered else 2)


def test_fragments_leave_room_for_a_sack() -> None:
    """When fragmenting MUST take into account the space of a SACK that is bundled."""
    script = Script()
    script.send(script.data(0))
    script.take()
    script.send(script.data(1))
    script.write(message(3000))
    packets = script.take()
    assert packets[0].kinds == [SACK, DATA]
    assert all(packet.size <= script.payload for packet in packets)


def test_7_3_fragments_fit_the_smallest_of_the_paths() -> None:
    """Sections 6.9 and 7.3: SHOULD choose the AMDCS, the smallest PMDCS, although the path could carry more."""
    script = Script(paths=2)
    script.association.on_message_size(Route("10.1.0.1", PEER[1], UDP_PORT), 800, script.now)
    assert script.path(1).payload < script.path(0).payload
    script.write(message(3000))
    for packet in script.take():
        assert packet.to == PEER[0]
        assert all(len(chunk.data) + 16 <= script.path(1).payload for chunk in packet.all(DATA))


def test_a_chunk_that_has_become_too_long_is_sent_again_as_it_is() -> None:
    """A message cannot be re-fragmented: IP fragmentation MUST be used if the PMTU has been reduced."""
    script = Script()
    script.write(message(1000), message(100))
    script.take()
    script.association.on_message_size(Route("10.0.0.1", PEER[0], UDP_PORT), 600, script.now)
    script.advance(1.0)
    packet = script.expect(DATA)
    assert (packet.tsns, len(packet.chunks[0].data)) == ([0], 1000)
    script.send(script.sack(0))
    assert script.expect(DATA).tsns == [1]


def test_several_chunks_that_have_become_too_long_for_one_packet_take_several() -> None:
    script = Script()
    script.write(*[message(300)] * 3)
    assert script.expect(DATA, DATA, DATA).tsns == [0, 1, 2]
    script.association.on_message_size(Route("10.0.0.1", PEER[0], UDP_PORT), 600, script.now)
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    script.send(script.sack(0))
    assert [tsn for packet in script.take() for tsn in packet.tsns] == [1, 2]


def test_new_messages_fit_the_smaller_packets() -> None:
    script = Script()
    script.association.on_message_size(Route("10.0.0.1", PEER[0], UDP_PORT), 600, script.now)
    script.write(message(1000))
    packets = script.take()
    assert len(packets) >= 2
    assert all(packet.size <= script.payload for packet in packets)


# Reassembly.


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_fragments_are_joined_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    """MUST support reassembly, by the B and E bits and the TSNs."""
    script = Script()
    for tsn in order:
        script.send(script.data(tsn, bytes([tsn]) * 3, flags=(B, 0, E)[tsn], ssn=0))
    assert [each[3] for each in script.user.messages] == [b"\0\0\0\1\1\1\2\2\2"]


def test_all_fragments_of_a_packet_are_taken() -> None:
    """Section 6: an endpoint MUST properly receive and process bundled or fragmented data."""
    script = Script()
    script.send(
        script.data(0, b"1", flags=B, ssn=0), script.data(1, b"2", flags=E, ssn=0), script.data(2, b"next", ssn=1)
    )
    assert [each[3] for each in script.user.messages] == [b"12", b"next"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"flags": B, "ssn": 0}, {"flags": B, "ssn": 0}),  # begins again before its end
        ({"flags": B, "ssn": 0}, {"flags": E, "ssn": 1}),  # another SSN in the middle
        ({"flags": B, "ssn": 0}, {"flags": E | U, "ssn": 0}),  # another U bit in the middle
        ({"flags": B, "sid": 1, "ssn": 0}, {"flags": E, "sid": 2, "ssn": 0}),  # another stream in the middle
        ({"flags": B | E, "ssn": 0}, {"flags": E, "ssn": 1}),  # goes on behind its end
    ],
)
def test_fragments_that_contradict_each_other_are_a_protocol_violation(
    first: dict[str, int], second: dict[str, int]
) -> None:
    """Section 3.3.1: strictly sequential TSNs, one SSN and one U bit; 3.3.10.13 for a peer that has it otherwise."""
    script = Script()
    script.send(script.data(1, b"later", **second))
    script.take()
    script.send(script.data(0, b"earlier", **first))
    [packet] = [packet for packet in script.take() if ABORT in packet.kinds]
    assert packet.one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION
    assert script.user.is_closed


def test_a_message_longer_than_accepted_ends_the_association_not_the_memory() -> None:
    script = Script(Config(max_message_size=3000, heartbeat_interval=None))
    for tsn in range(4):
        script.arrive(script.data(tsn, bytes(1000), flags=0 if tsn else B, ssn=0))
    script.flush()
    assert script.take()[-1].kinds == [ABORT]


def test_a_message_larger_than_the_window_gets_through() -> None:
    """The message in progress does not close the window that only its own rest could open again."""
    script = Script(Config(recv_buffer=5000, heartbeat_interval=None))
    for tsn in range(20):
        script.send(script.data(tsn, bytes(1000), flags=B if tsn == 0 else E if tsn == 19 else 0, ssn=0))
        for packet in script.take():
            assert packet.one(SACK).tsn == tsn
    assert [len(each[3]) for each in script.user.messages] == [20_000]
