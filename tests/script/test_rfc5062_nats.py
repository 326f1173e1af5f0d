"""RFC 5062's attacks by means of what NATs do: a source address that changes, and packets in a NAT's name."""

from __future__ import annotations

import pytest
from support.endpoints import (
    OTHER,
    PEER_TAG,
    PEER_TSN,
    THERE,
    UDP,
    VICTIM,
    addresses,
    data,
    heartbeat_ack,
    kinds,
    kinds_to,
    victims,
)
from support.natsupp_script import NAT, REFLECTED, by_nat, server

from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_MISSING_STATE,
    CAUSE_PORT_COLLISION,
    CAUSE_VTAG_COLLISION,
    ERROR,
    FLAG_MIDDLEBOX,
    HEARTBEAT,
    SACK,
)

IMPATIENT = NAT.replace(path_max_retrans=2)


def test_a_rebinding_that_was_forged_gets_the_victim_one_heartbeat() -> None:
    solo = server(IMPATIENT)
    solo.association.send(0, bytes(50_000))
    solo.touch()
    solo.take()
    said = [*solo.say(data(PEER_TSN), source=VICTIM), *solo.wait(60.0)]
    assert kinds_to(said, VICTIM) == [[HEARTBEAT]]
    assert addresses(solo.association) == [THERE]


def test_rebindings_without_end_get_one_heartbeat_in_an_rto() -> None:
    solo = server(IMPATIENT)
    said = []
    for victim in victims(400):
        said += solo.say(data(PEER_TSN), source=victim)
        said += solo.wait(0.05)
    strange = [packet for route, packet in said if route.address != THERE]
    assert {kind for packet in strange for kind in kinds(packet)} == {HEARTBEAT}
    assert len(strange) <= 21
    assert len(solo.association.path_manager.by_id) <= 2


def test_who_has_moved_is_found_although_others_are_named() -> None:
    solo = server(IMPATIENT)
    for victim in victims(3):
        solo.say(data(PEER_TSN), source=victim)
        solo.wait(10.0)
    said = [*solo.say(data(PEER_TSN), source=OTHER), *solo.wait(0.5)]
    solo.say(heartbeat_ack(said), source=OTHER)
    assert addresses(solo.association) == [OTHER]


@pytest.mark.parametrize("port", [1, 65535])
def test_another_udp_port_is_learned_by_the_right_tag_alone(port: int) -> None:
    solo = server(IMPATIENT)
    for tag in (0, 1, PEER_TAG):
        solo.say(data(PEER_TSN), tag=tag, udp_port=port)
    assert solo.association.path_manager.primary.route.udp_port == UDP
    solo.say(data(PEER_TSN), udp_port=port)
    assert solo.association.path_manager.primary.route.udp_port == port


def test_the_newcomer_is_verified_by_a_packet_from_the_old_address_with_more_in_it() -> None:
    """What stands behind the HEARTBEAT ACK is taken, and answered where the peer is now: but for the HEARTBEAT."""
    solo = server(IMPATIENT)
    said = [*solo.say(data(PEER_TSN), source=OTHER), *solo.wait(0.5)]
    rest = [control.pack_heartbeat(b"info"), data(PEER_TSN + 1), tlv.pack(0xC1 << 8, b"what")]
    said = solo.say(heartbeat_ack(said), *rest, source=THERE)
    said += solo.wait(1.0)
    assert addresses(solo.association) == [OTHER]
    assert {route.address for route, _ in said} == {OTHER}
    assert {kind for _, packet in said for kind in kinds(packet)} == {SACK, ERROR}


@pytest.mark.parametrize("kind", [ABORT, ERROR])
@pytest.mark.parametrize("cause", [CAUSE_MISSING_STATE, CAUSE_VTAG_COLLISION, CAUSE_PORT_COLLISION])
@pytest.mark.parametrize("tag", [1, PEER_TAG])
@pytest.mark.parametrize("body", [b"", bytes(4), bytes(1000), b"\x80\x02"])
def test_a_nats_words_end_no_association_that_is_up(kind: int, cause: int, tag: int, body: bytes) -> None:
    """Nor do they make one do anything, where the peer knows no ASCONF."""
    solo = server(IMPATIENT)
    for flags in (FLAG_MIDDLEBOX, REFLECTED):
        if kind == ABORT and flags == REFLECTED and tag == PEER_TAG:
            continue  # that is an ABORT of the peer for all that can be told
        said = solo.say(by_nat(kind, cause, flags, body), tag=tag)
        assert all(kinds(packet) == [ABORT] for _, packet in said)  # out of the blue
    assert solo.association.state is ESTABLISHED
    assert solo.say(data(PEER_TSN))[0][0].address == THERE
