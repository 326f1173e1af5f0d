"""The order of a flush, and what is in which packet (RFC 9260 sections 6.1 and 6.10)."""

from __future__ import annotations

import pytest
from support.endpoints import OTHER, THERE, Solo, into, kinds, tag_of
from support.script import PEER, Script

from asyncsctp.association.outbox import Outbox
from asyncsctp.association.packetizer import Packetizer
from asyncsctp.config import Config
from asyncsctp.handlers.state import COOKIE_ECHOED
from asyncsctp.path_state import UNCONFIRMED
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
    RE_CONFIG,
    SACK,
    SHUTDOWN_COMPLETE,
)

CONFIG = Config(heartbeat_interval=None, mtu=1200)


def error(size: int) -> bytes:
    return control.pack_error(tlv.pack(13, bytes(size - 8)))


def test_packets_of_their_own_come_first_then_control_then_acknowledgements_then_data() -> None:
    script = Script(CONFIG)
    context = script.association.context
    script.arrive(script.data(0))
    script.association.send(0, b"data")
    context.queue(error(100))
    context.queue(tlv.pack(RE_CONFIG << 8, bytes(8)))
    context.transmit_along(control.pack_shutdown_complete(), script.path().route, 77)
    script.flush()
    alone, packet = script.expect_each([SHUTDOWN_COMPLETE], [ERROR, RE_CONFIG, SACK, DATA])
    assert (alone.tag, packet.tag) == (77, context.peer_tag)


def test_control_chunks_share_packets_within_the_pmtu_for_each_path() -> None:
    """COOKIE ACK is the first in its packet (section 5.1 D)."""
    script = Script(CONFIG, paths=2)
    context = script.association.context
    for path_id in (0, 1, 0, 1, 0):
        context.queue(error(500), path_id)
    context.queue(control.pack_cookie_ack(), 1)
    context.queue(error(40), 1)
    script.flush()
    packets = script.take()
    assert sorted((packet.to, packet.kinds) for packet in packets) == [
        (PEER[0], [ERROR]),
        (PEER[0], [ERROR, ERROR]),
        (PEER[1], [ERROR, ERROR]),
        (PEER[1], [COOKIE_ACK, ERROR]),
    ]
    assert all(packet.size <= script.payload for packet in packets)


def test_a_chunk_that_fits_no_packet_is_shortened_or_left_out() -> None:
    """An ERROR says what it can; a HEARTBEAT ACK that returns less would be none."""
    script = Script(CONFIG)
    context = script.association.context
    causes = [tlv.pack(13, bytes(492)), tlv.pack(13, bytes(492)), tlv.pack(13, bytes(492))]
    context.queue(control.pack_error(b"".join(causes)))
    context.queue(control.pack_heartbeat_ack(bytes(3000)))
    script.flush()
    packet = script.expect(ERROR)
    assert packet.size <= script.payload
    assert packet.one(ERROR).causes[:2] == [(13, bytes(492))] * 2


def test_while_no_address_is_verified_only_heartbeats_leave() -> None:
    """RFC 5061 section 5.3 F14; what waits does not grow for ever, and leaves afterwards."""
    script = Script(CONFIG)
    context = script.association.context
    path = script.path()
    path.state = UNCONFIRMED
    assert context.paths.is_held
    script.association.send(0, b"data")
    for number in range(100):
        context.queue(error(100 + 4 * number))
    context.queue(control.pack_heartbeat(b"who are you"), 0)
    context.queue(control.pack_heartbeat(bytes(3000)), 0)
    script.association.heartbeat(None, script.now)
    script.association.flush(script.now)
    packets = [packet for run in script.outbox.take() for packet in run.packets]
    assert {kind for packet in packets for kind in kinds(packet)} == {HEARTBEAT}
    context.paths.judge(path)
    path.state = script.path().state.ACTIVE
    script.flush()
    sent = [kind for packet in script.take() for kind in packet.kinds]
    assert set(sent) == {ERROR, DATA}
    assert 16 <= sent.count(ERROR) <= 64


def test_what_can_leave_from_nowhere_does_not_leave() -> None:
    script = Script(CONFIG)
    context = script.association.context
    route = script.path().route
    context.transmit_along(control.pack_shutdown_complete(), route._replace(local=""), 5)
    script.flush()
    script.expect_nothing()


def test_in_the_handshake_the_tag_is_taken_over_as_soon_as_it_is_known() -> None:
    solo = Solo()
    solo.connect((THERE, OTHER))
    context = solo.association.context
    outbox = Outbox()
    packetizer = Packetizer(context, outbox)
    context.peer_tag = 0xABCDEF01
    context.queue(control.pack_heartbeat_ack(b"x"), 0)
    packetizer.flush(None)
    [(route, packet)] = list(outbox)
    assert (route.address, tag_of(packet), kinds(packet)) == (THERE, 0xABCDEF01, [HEARTBEAT_ACK])


def test_a_cookie_echo_is_alone_but_for_data() -> None:
    solo = Solo()
    association = into(solo, COOKIE_ECHOED)
    [(_, packet)] = solo.wait(1.2)
    assert kinds(packet) == [COOKIE_ECHO]
    assert tag_of(packet) == association.context.peer_tag


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_data_of_any_length_fills_packets_and_no_more(size: int) -> None:
    script = Script(CONFIG)
    script.write(*[bytes(1 + size)] * 500)
    packets = script.take()
    assert all(packet.size <= script.payload for packet in packets)
    assert packets[0].size > script.payload - 24
