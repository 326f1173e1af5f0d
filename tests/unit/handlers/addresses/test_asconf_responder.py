"""The peer's ASCONFs (RFC 5061 section 5.2): whose packets are let in, which requests are carried out, and answered."""

from __future__ import annotations

import pytest
from support.asconf_script import NEW, Mobile, add, delete
from support.script import LOCAL, PEER, UDP_PORT

from asyncsctp.handlers.addresses.asconf_responder import AsconfResponder
from asyncsctp.paths.route import Route
from asyncsctp.wire.constants import ASCONF_ACK
from asyncsctp.wire.tlv import Malformed


def responder(script: Mobile) -> AsconfResponder:
    found = script.association._parts.open_asconf()
    assert found is not None
    return found


def carry_out(script: Mobile, chunk: bytes, packet: bytes | None = None) -> None:
    """An authenticated request comes, in this packet."""
    data = chunk if packet is None else packet
    at = data.index(chunk)
    route = script.path().route
    responder(script).on_asconf(data, at + 4, at + len(chunk), script.path(), route)


def answers(script: Mobile) -> int:
    script.flush()
    return sum(len(packet.all(ASCONF_ACK)) for packet in script.take())


def test_requests_are_carried_out_in_order_and_once() -> None:
    script = Mobile()
    first, second = script.asconf(add(NEW)), script.asconf(delete(NEW))
    carry_out(script, second)  # E5: it is not its turn
    assert (script.addresses, answers(script)) == ([PEER[0]], 0)
    carry_out(script, first)
    assert (script.addresses, answers(script)) == ([PEER[0], NEW], 1)
    carry_out(script, first)  # E2: the answer was lost
    assert (script.addresses, answers(script)) == ([PEER[0], NEW], 1)
    carry_out(script, second)
    assert (script.addresses, answers(script)) == ([PEER[0]], 1)
    carry_out(script, first)  # E1: too old now
    assert (script.addresses, answers(script)) == ([PEER[0]], 0)


def test_several_requests_of_one_packet_are_answered_in_one() -> None:
    script = Mobile()
    chunks = [script.asconf(add(NEW)), script.asconf(delete(NEW))]
    for chunk in chunks:
        carry_out(script, chunk, b"".join(chunks))
    script.flush()
    assert [len(packet.all(ASCONF_ACK)) for packet in script.take() if packet.all(ASCONF_ACK)] == [2]


def test_a_request_that_can_not_be_read_is_malformed_and_changes_nothing() -> None:
    script = Mobile()
    with pytest.raises(Malformed):
        responder(script).on_asconf(bytes(3), 0, 3, script.path(), script.path().route)
    assert script.addresses == [PEER[0]]


@pytest.mark.parametrize(
    ("lookup", "genuine", "admitted"),
    [(PEER[0], True, True), ("0.0.0.0", True, True), ("10.9.9.9", True, False), (PEER[0], False, False)],
)
def test_a_packet_from_elsewhere_is_let_in_for_a_request_that_names_the_peer(
    lookup: str, genuine: bool, admitted: bool
) -> None:
    """Section 5.2 D2 and D5: by its Address Parameter, behind an AUTH that is right."""
    script = Mobile()
    chunk = script.asconf(add(NEW), lookup=lookup)
    packet = script.packet(script.authenticated(chunk) if genuine else chunk)
    path = responder(script).admit(packet, Route(LOCAL[0], NEW, UDP_PORT))
    assert (path is not None) is admitted
    if path is not None:
        assert path.route.address == NEW
        responder(script).peers.discard(path)
    assert script.addresses == [PEER[0]]


def test_nobody_is_let_in_without_a_request() -> None:
    script = Mobile()
    route = Route(LOCAL[0], NEW, UDP_PORT)
    assert responder(script).admit(script.packet(script.authenticated(script.data(0))), route) is None
    assert responder(script).admit(script.packet(b"\xc1\0\0\3"), route) is None
    assert responder(script).admit(script.packet(), route) is None
