"""RFC 9260 section 6.4: which of the peer's addresses a packet goes to."""

from __future__ import annotations

from support.script import LOCAL, PEER, B, E, Script, U

from asyncsctp.config import Config
from asyncsctp.events import PathChanged
from asyncsctp.path_state import PathState
from asyncsctp.wire import control
from asyncsctp.wire.constants import DATA, ERROR, HEARTBEAT, HEARTBEAT_ACK, SACK, SHUTDOWN_ACK, SHUTDOWN_COMPLETE
from asyncsctp.wire.control import pack_heartbeat

DEFAULT = Config(heartbeat_interval=None, path_max_retrans=1, pf_threshold=None)


def fail_primary(script: Script) -> None:
    """Data to the primary path times out until that is INACTIVE; all of it is acknowledged elsewhere."""
    tsn = 0
    while script.path().state is PathState.ACTIVE:
        script.write(b"lost at first")
        script.wait()
        script.wait()
        script.send(script.sack(tsn))
        tsn += 1
        script.take()


def test_data_goes_to_the_primary_path() -> None:
    script = Script(paths=2)
    script.write(b"one")
    assert script.expect(DATA).to == PEER[0]
    script.association.set_primary(PEER[1])
    script.write(b"two")
    assert script.expect(DATA).to == PEER[1]


def test_the_user_may_name_the_path_of_a_message() -> None:
    """By default to the primary path, "unless the SCTP user explicitly specifies the destination transport address"."""
    script = Script(paths=2)
    script.write(b"one", path=PEER[1])
    assert script.expect(DATA).to == PEER[1]


def test_replies_go_where_the_control_chunk_came_from() -> None:
    """Reply chunks SHOULD go to the address from which the control chunk was received."""
    script = Script(paths=2)
    script.send(pack_heartbeat(b"info"), source=1)
    assert script.expect(HEARTBEAT_ACK).to == PEER[1]
    script.send(b"\xc1\0\0\4", source=1)
    assert script.expect(ERROR).to == PEER[1]
    script.send(control.pack_shutdown(script.ours(-1)), source=1)
    assert script.expect(SHUTDOWN_ACK).to == PEER[1]
    script.send(control.pack_shutdown_ack(), source=1)
    assert script.expect(SHUTDOWN_COMPLETE).to == PEER[1]


def test_sacks_go_where_the_data_came_from() -> None:
    """Sections 6.4 and 6.7: a SACK SHOULD be sent to the address from which the last DATA chunk was received."""
    script = Script(paths=2)
    script.send(script.data(0), source=1)
    assert script.expect(SACK).to == PEER[1]
    script.send(script.data(1), source=0)
    script.send(script.data(2), source=1)
    assert script.expect(SACK).to == PEER[1]
    script.send(script.data(3), source=1)
    script.advance(0.2)
    assert script.expect(SACK).to == PEER[1]


def test_a_sack_for_another_address_is_not_bundled_with_data() -> None:
    script = Script(paths=2)
    script.arrive(script.data(0), source=1)
    script.write(b"answer")
    sack, data = script.expect_each([SACK], [DATA])
    assert (sack.to, data.to) == (PEER[1], PEER[0])


def test_data_that_timed_out_goes_to_another_address_and_another_local_one() -> None:
    """Sections 6.4 and 6.4.1: SHOULD try another active address, and the most divergent pair."""
    script = Script(paths=2)
    script.write(b"lost")
    first = script.expect(DATA)
    script.advance(1.0)
    second = script.expect(DATA)
    assert (first.to, second.to) == PEER
    assert (first.route.local, second.route.local) == LOCAL


def test_a_fast_retransmission_goes_to_the_same_address() -> None:
    """SHOULD send fast retransmissions to the address to which the original data was sent."""
    script = Script(paths=2)
    for _ in range(4):
        script.write(b"data")
    script.take()
    for last in (1, 2, 3):
        script.send(script.sack(-1, [(1, last)]))
    packet = script.expect(DATA)
    assert (packet.tsns, packet.to) == ([0], PEER[0])


def test_both_counts_change_when_data_moves_to_another_address() -> None:
    """The outstanding data counts of the old and of the new address are adjusted."""
    script = Script(paths=2)
    script.write(b"lost")
    script.advance(1.0)
    assert [script.association.in_flight(path_id) for path_id in (0, 1)] == [0, 20]


def test_a_retransmission_to_another_address_does_not_leave_a_timer_behind() -> None:
    """6.3.2 R2: what was sent elsewhere needs no timer here, and no error is counted when it would have expired."""
    script = Script(paths=2)
    for _ in range(4):
        script.write(b"data")
    script.association.set_primary(PEER[1])
    script.advance(1.0)
    script.take()
    script.send(script.sack(3))
    script.advance(100.0)
    script.expect_nothing()
    assert script.path(0).error_count <= 1


def test_6_4_1_data_goes_elsewhere_while_the_primary_path_is_inactive_and_comes_back() -> None:
    """Sections 6.4.1 and 8.2: an alternate active address SHOULD be tried; the primary path stays the user's choice."""
    script = Script(DEFAULT, paths=2)
    fail_primary(script)
    assert PathChanged(PEER[0], PathState.INACTIVE) in script.user.events
    script.write(b"data")
    [packet] = [packet for packet in script.take() if DATA in packet.kinds]
    assert packet.to == PEER[1]
    script.send(script.sack(packet.tsns[-1]))
    script.association.heartbeat(PEER[0], script.now)
    script.flush()
    probe = script.expect(HEARTBEAT)
    assert probe.to == PEER[0]
    info = control.read_heartbeat(probe.one(HEARTBEAT).value, 0, len(probe.one(HEARTBEAT).value))
    script.send(control.pack_heartbeat_ack(info))
    assert script.user.events[-1] == PathChanged(PEER[0], PathState.ACTIVE)
    script.write(b"data")
    assert script.expect(DATA).to == PEER[0]


def test_the_abort_goes_where_the_peer_can_be_reached() -> None:
    script = Script(DEFAULT, paths=2)
    fail_primary(script)
    script.association.abort(script.now, b"enough")
    script.flush()
    assert script.take()[-1].to == PEER[1]


def test_5_4_nothing_but_heartbeats_goes_to_an_unconfirmed_address() -> None:
    """Section 5.4: MUST NOT send any chunks to an UNCONFIRMED address, but HEARTBEAT and HEARTBEAT ACK."""
    script = Script(paths=2, listed=True)
    script.advance(0.0)
    assert [packet.to for packet in script.take() if HEARTBEAT in packet.kinds] == [PEER[1]]
    assert script.path(1).state is PathState.UNCONFIRMED
    script.send(script.data(0, sid=60000), script.data(1, flags=B | E | U), b"\xc1\0\0\4", source=1)
    assert {packet.to for packet in script.take()} == {PEER[0]}
    script.send(pack_heartbeat(b"info"), source=1)
    assert script.expect(HEARTBEAT_ACK).to == PEER[1]
    script.write(b"lost")
    script.advance(1.5)
    assert {packet.to for packet in script.take() if DATA in packet.kinds} == {PEER[0]}
    script.send(script.sack(0))
    script.association.set_primary(PEER[1])
    script.write(b"data")
    assert {packet.to for packet in script.take() if DATA in packet.kinds} == {PEER[0]}
    script.send(control.pack_shutdown(script.ours(1)), source=1)
    script.send(control.pack_shutdown_ack(), source=1)
    assert {packet.to for packet in script.take() if HEARTBEAT not in packet.kinds} == {PEER[0]}
