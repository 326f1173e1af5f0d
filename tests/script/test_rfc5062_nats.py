"""RFC 5062's attacks by means of what NATs do: a source address that changes, and packets in a NAT's name."""

from __future__ import annotations

import pytest
from support.stage import OTHER, PEER_TAG, PEER_TSN, THERE, UDP, Packet, Solo, chunks, data, kinds

from asyncsctp.association import Association
from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_MISSING_STATE,
    CAUSE_PORT_COLLISION,
    CAUSE_VTAG_COLLISION,
    ERROR,
    FLAG_MIDDLEBOX,
    FLAG_TAG_REFLECTED,
    HEARTBEAT,
    HEARTBEAT_ACK,
    SACK,
)

NAT = Config(nat_support=True, heartbeat_interval=None, path_max_retrans=2)
VICTIM = "203.0.113.66"


def victims(count: int) -> list[str]:
    return [f"203.0.{number >> 8}.{number & 0xFF}" for number in range(1, count + 1)]


def server() -> tuple[Solo, Association]:
    solo = Solo(config=NAT)
    association = solo.accept(disable_restart=True)
    solo.take()
    return solo, association


def addresses(association: Association) -> list[str]:
    return [path.route.address for path in association.path_manager.paths]


def answer(said: list[Packet]) -> bytes:
    """What answers the one HEARTBEAT among these packets."""
    [probe] = [chunk for _, packet in said for chunk in chunks(packet) if chunk[0] == HEARTBEAT]
    return tlv.pack(HEARTBEAT_ACK << 8, probe[4:])


def test_a_rebinding_that_was_forged_gets_the_victim_one_heartbeat() -> None:
    solo, association = server()
    association.send(0, bytes(50_000))
    solo.touch()
    solo.take()
    said = [*solo.say(data(PEER_TSN), source=VICTIM), *solo.wait(60.0)]
    assert [kinds(packet) for route, packet in said if route.address == VICTIM] == [[HEARTBEAT]]
    assert addresses(association) == [THERE]


def test_rebindings_without_end_get_one_heartbeat_in_an_rto() -> None:
    solo, association = server()
    said = []
    for victim in victims(400):
        said += solo.say(data(PEER_TSN), source=victim)
        said += solo.wait(0.05)
    strange = [packet for route, packet in said if route.address != THERE]
    assert {kind for packet in strange for kind in kinds(packet)} == {HEARTBEAT}
    assert len(strange) <= 21
    assert len(association.path_manager.by_id) <= 2


def test_who_has_moved_is_found_although_others_are_named() -> None:
    solo, association = server()
    for victim in victims(3):
        solo.say(data(PEER_TSN), source=victim)
        solo.wait(10.0)
    said = [*solo.say(data(PEER_TSN), source=OTHER), *solo.wait(0.5)]
    solo.say(answer(said), source=OTHER)
    assert addresses(association) == [OTHER]


@pytest.mark.parametrize("port", [1, 65535])
def test_another_udp_port_is_learned_by_the_right_tag_alone(port: int) -> None:
    solo, association = server()
    for tag in (0, 1, PEER_TAG):
        solo.say(data(PEER_TSN), tag=tag, udp_port=port)
    assert association.path_manager.primary.route.udp_port == UDP
    solo.say(data(PEER_TSN), udp_port=port)
    assert association.path_manager.primary.route.udp_port == port


def test_the_newcomer_is_verified_by_a_packet_from_the_old_address_with_more_in_it() -> None:
    """What stands behind the HEARTBEAT ACK is taken, and answered where the peer is now: but for the HEARTBEAT."""
    solo, association = server()
    said = [*solo.say(data(PEER_TSN), source=OTHER), *solo.wait(0.5)]
    rest = [control.pack_heartbeat(b"info"), data(PEER_TSN + 1), tlv.pack(0xC1 << 8, b"what")]
    said = solo.say(answer(said), *rest, source=THERE)
    said += solo.wait(1.0)
    assert addresses(association) == [OTHER]
    assert {route.address for route, _ in said} == {OTHER}
    assert {kind for _, packet in said for kind in kinds(packet)} == {SACK, ERROR}


def by_nat(kind: int, cause: int, body: bytes = b"", flags: int = FLAG_MIDDLEBOX | FLAG_TAG_REFLECTED) -> bytes:
    return tlv.pack_enclosing(kind << 8 | flags, tlv.pack(cause, body))


@pytest.mark.parametrize("kind", [ABORT, ERROR])
@pytest.mark.parametrize("cause", [CAUSE_MISSING_STATE, CAUSE_VTAG_COLLISION, CAUSE_PORT_COLLISION])
@pytest.mark.parametrize("tag", [1, PEER_TAG])
@pytest.mark.parametrize("body", [b"", bytes(4), bytes(1000), b"\x80\x02"])
def test_a_nats_words_end_no_association_that_is_up(kind: int, cause: int, tag: int, body: bytes) -> None:
    """Nor do they make one do anything, where the peer knows no ASCONF."""
    solo, association = server()
    for flags in (FLAG_MIDDLEBOX, FLAG_MIDDLEBOX | FLAG_TAG_REFLECTED):
        if kind == ABORT and flags & FLAG_TAG_REFLECTED and tag == PEER_TAG:
            continue  # that is an ABORT of the peer for all that can be told
        said = solo.say(by_nat(kind, cause, body, flags), tag=tag)
        assert all(kinds(packet) == [ABORT] for _, packet in said)  # out of the blue
    assert association.state is ESTABLISHED
    assert solo.say(data(PEER_TSN))[0][0].address == THERE


