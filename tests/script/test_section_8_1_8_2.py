"""RFC 9260 sections 8.1 and 8.2: when the peer counts as unreachable, and when one of its addresses does.

Where RFC 7829 would make a difference it is switched off: `test_rfc7829` is about that.
"""

from __future__ import annotations

import pytest
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationTimeout
from asyncsctp.events import AssociationDown, PathChanged, SendFailed
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.wire.constants import DATA, HEARTBEAT
from asyncsctp.wire.control import pack_heartbeat_ack, read_heartbeat


def states(script: Script, address: str) -> list[PathState]:
    return [event.state for event in script.user.events if isinstance(event, PathChanged) and event.address == address]


def answer(script: Script) -> None:
    """The peer answers the HEARTBEATs that were sent since the last look."""
    for packet in script.take():
        for chunk in packet.all(HEARTBEAT):
            script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_8_1_the_peer_is_unreachable_after_more_retransmissions_than_the_limit(limit: int) -> None:
    """If the counter exceeds Association.Max.Retrans: unreachable, nothing more is sent, and the ULP is told."""
    script = Script(Config(max_retrans=limit, path_max_retrans=10, heartbeat_interval=None))
    script.write(b"into the void")
    script.advance(1000.0)
    assert [packet.tsns for packet in script.take()] == [[0]] * (1 + limit)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationTimeout)
    failed, down = script.user.events[-2:]
    assert isinstance(failed, SendFailed)
    assert (failed.data, failed.sent) == (b"into the void", True)
    assert isinstance(down, AssociationDown)


def test_8_1_the_counter_is_reset_whenever_data_is_acknowledged() -> None:
    """MUST be reset each time a DATA chunk is acknowledged."""
    script = Script(Config(max_retrans=2, path_max_retrans=10, heartbeat_interval=None))
    for tsn in range(5):
        script.write(b"data")
        script.take()
        script.wait()
        script.wait()
        script.send(script.sack(tsn))
    assert script.state is ESTABLISHED


def test_8_1_an_acknowledgement_by_a_gap_block_resets_it_too() -> None:
    script = Script(Config(max_retrans=2, path_max_retrans=10, heartbeat_interval=None))
    script.write_packets(2)
    script.take()
    script.wait()
    script.wait()
    script.send(script.sack(-1, [(1, 1)]))
    assert script.association.path_manager.error_count == 0
    assert script.path().error_count == 0


def test_8_1_the_counter_is_of_all_addresses() -> None:
    """The counter includes retransmissions to all addresses."""
    script = Script(Config(max_retrans=4, path_max_retrans=10, heartbeat_interval=None), paths=2)
    script.write(b"into the void")
    script.advance(1000.0)
    assert [packet.to for packet in script.take()] == [PEER[0], PEER[1], PEER[0], PEER[1], PEER[0]]
    assert script.state is CLOSED


def test_8_1_unanswered_heartbeats_count_on_the_path_that_data_uses() -> None:
    """The counter includes unacknowledged HEARTBEATs on the path that is used for data."""
    script = Script(Config(max_retrans=2))
    script.advance(300.0)
    assert [packet.kinds for packet in script.take()] == [[HEARTBEAT]] * 3
    assert script.state is CLOSED


def test_8_1_but_not_on_other_paths() -> None:
    """SHOULD NOT on different paths: the association would be closed although the path in use works."""
    script = Script(Config(max_retrans=2, path_max_retrans=1, pf_threshold=None), paths=2)
    for _ in range(2000):
        packets = script.wait(1.0)
        for packet in packets:
            if packet.to == PEER[0]:
                for chunk in packet.all(HEARTBEAT):
                    script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    assert script.state is ESTABLISHED
    assert states(script, PEER[1]) == [PathState.INACTIVE]


def test_8_1_heartbeats_that_are_lost_now_and_then_end_nothing_while_data_waits() -> None:
    """The peer has no room for what waits and answers, but for every third HEARTBEAT: those in a row are counted."""
    script = Script(Config(max_retrans=3, path_max_retrans=3, heartbeat_interval=0.2, rto_max=60.0, rto_min=0.1))
    script.write(b"first")
    script.take()
    script.send(script.sack(0, a_rwnd=0))
    script.write(b"no room for this")
    count = 0
    while script.now < 1000.0:
        for packet in script.wait():
            for chunk in packet.all(HEARTBEAT):
                count += 1
                if count % 3:
                    script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
            if packet.all(DATA):
                script.send(script.sack(0, a_rwnd=0))
        assert script.state is ESTABLISHED
    assert count > 500
    while script.state is ESTABLISHED and script.now < 2000.0:
        script.wait()
    assert isinstance(script.user.error, AssociationTimeout)  # when nothing is answered any more


def test_8_1_a_peer_that_answers_heartbeats_alone_has_the_time_of_one_that_is_silent() -> None:
    """The counter MAY stay while data is outstanding. Then the back-off stays as well, although section 6.3.3 has an
    RTO that collapses with a HEARTBEAT: else the limit would be reached within so many of the shortest RTOs.
    """
    script = Script(Config(heartbeat_interval=5.0))
    script.write(b"never acknowledged")
    start = script.now
    sent = []
    while script.state is ESTABLISHED:
        for packet in script.wait():
            sent += [script.now - start] * len(packet.tsns)
            for chunk in packet.all(HEARTBEAT):
                script.advance(0.1)
                script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    assert isinstance(script.user.error, AssociationTimeout)
    assert sent == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0, 243.0, 303.0]


def test_8_1_what_heartbeats_have_measured_is_in_force_when_data_is_acknowledged() -> None:
    script = Script(Config(heartbeat_interval=5.0))
    script.write(b"lost")
    for _ in range(3):
        script.advance(script.rto)
        answer(script)
    assert script.rto == 8.0
    script.send(script.sack(0))
    assert script.rto == 1.0


def test_8_1_a_heartbeat_ack_resets_the_counter() -> None:
    """SHOULD also be reset when a HEARTBEAT ACK is received."""
    script = Script(Config(max_retrans=4, pf_threshold=None))
    script.advance(70.0)
    assert script.association.path_manager.error_count > 0
    script.take()
    while not script.packets:
        script.advance(1.0)
    answer(script)
    assert script.association.path_manager.error_count == 0


@pytest.mark.parametrize("limit", [0, 2])
def test_8_2_an_address_is_inactive_after_more_errors_than_the_limit(limit: int) -> None:
    """When the error counter exceeds Path.Max.Retrans, inactive, and the ULP is told, once."""
    script = Script(Config(path_max_retrans=limit, heartbeat_interval=None, pf_threshold=None), paths=2)
    for number in range(limit + 1):
        assert script.path().state is PathState.ACTIVE
        script.write(b"data")
        script.take()
        script.wait()
        script.send(script.sack(number))
    assert script.path().state is PathState.INACTIVE
    assert states(script, PEER[0]) == [PathState.INACTIVE]
    assert script.path(1).state is PathState.ACTIVE


def test_8_2_the_counter_of_an_address_is_cleared_by_its_own_acknowledgements_alone() -> None:
    """SHOULD clear the counter of the address to which the DATA chunk was last sent."""
    script = Script(Config(heartbeat_interval=None, pf_threshold=None), paths=2)
    script.write(b"data")
    script.take()
    script.wait()
    script.send(script.sack(0))
    assert script.path(0).error_count == 1
    assert script.path(1).error_count == 0
    script.write(b"data")
    script.send(script.sack(1))
    assert script.path(0).error_count == 0


def test_8_2_an_inactive_address_that_answers_is_active_again() -> None:
    """SHOULD also report when an inactive address is marked as active."""
    script = Script(Config(path_max_retrans=0), paths=2)
    script.write(b"data")
    script.take()
    script.wait()
    script.send(script.sack(0))
    assert script.path().state is PathState.INACTIVE
    while script.path().state is PathState.INACTIVE:
        script.advance(1.0)
        answer(script)
    assert states(script, PEER[0]) == [PathState.INACTIVE, PathState.ACTIVE]
    script.write(b"data")
    assert script.take()[-1].to == PEER[0]


def test_8_2_with_all_addresses_inactive_data_is_still_sent() -> None:
    """Note: Association.Max.Retrans above the sum of Path.Max.Retrans; what then happens is ours to say."""
    script = Script(Config(max_retrans=10, path_max_retrans=0, heartbeat_interval=None, pf_threshold=None), paths=2)
    script.write(b"data")
    script.advance(20.0)
    assert {path.state for path in script.association.path_manager.paths} == {PathState.INACTIVE}
    assert script.state is ESTABLISHED
    script.take()
    script.send(script.sack(0))
    assert PathState.ACTIVE in {path.state for path in script.association.path_manager.paths}
    script.write(b"data")
    script.expect(DATA)
