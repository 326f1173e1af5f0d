"""RFC 5062's attacks by means of RFC 5061, RFC 4895 and NATs, and what else is wrong about packets of these.

The peer here is the attacker, with the tag and with the keys, or without.
"""

from __future__ import annotations

from struct import pack

import pytest
from support.asconf_script import NEW, OURS, Mobile, add, delete, prefer
from support.endpoints import VICTIM, victims
from support.natsupp_script import REFLECTED, by_nat
from support.script import LOCAL, PEER, PEER_TAG, PEER_TSN, UDP_PORT, Packet

from asyncsctp.config import Config
from asyncsctp.errors import AssociationTimeout
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.paths.potentially_failed import judge
from asyncsctp.paths.route import Route
from asyncsctp.timers import HEARTBEAT_TIMER, timer_key
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.asconf import pack_asconf, pack_asconf_ack, pack_failure, pack_success
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF_ACK,
    AUTH,
    CAUSE_PORT_COLLISION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_VTAG_COLLISION,
    DATA,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
)

OURS_IPV6 = "2001:db8::1"
UNKNOWN = tlv.pack(0xF00A, b"\0\0\0\x09rest")


def sent_to(packets: list[Packet], address: str) -> int:
    """The bytes of chunks that went there."""
    return sum(packet.size for packet in packets if packet.to == address)


# Bombing, RFC 5062 section 5, RFC 5061 section 8.


def test_an_added_address_gets_heartbeats_alone_and_one_of_these_in_an_rto() -> None:
    script = Mobile()
    script.write(bytes(20_000))
    script.ask(*[add(victim) for victim in victims(MAX_PEER_ADDRESSES - 1)])
    script.advance(30.0)
    probes = [packet for packet in script.take() if packet.to not in PEER]
    assert {kind for packet in probes for kind in packet.kinds} == {HEARTBEAT}
    assert len(probes) <= 31
    assert all(later.at - earlier.at > 0.9 for earlier, later in zip(probes, probes[1:], strict=False))


def test_addresses_that_come_and_go_for_ever_get_no_more_than_that() -> None:
    """The number of ASCONFs does not matter, nor that of addresses."""
    script = Mobile()
    for victim in victims(600):
        script.ask(add(VICTIM), add(victim))
        script.ask(delete(victim), delete(VICTIM))
        script.advance(0.05)
    packets = script.take()
    assert sum(packet.to not in PEER for packet in packets) <= 31
    assert {kind for packet in packets if packet.to not in PEER for kind in packet.kinds} <= {HEARTBEAT}
    assert len(script.association.path_manager.by_id) <= 3
    assert script.addresses == [PEER[0]]


def test_who_has_changed_addresses_often_is_verified_nevertheless() -> None:
    """Turns that nobody took are not waited for."""
    script = Mobile()
    for victim in victims(600):
        script.ask(add(victim))
        script.ask(delete(victim))
        script.advance(0.05)
    script.take()
    script.ask(add(NEW))
    script.advance(3.0)
    assert {packet.to for packet in script.take() if packet.all(HEARTBEAT)} == {NEW}


def test_a_primary_that_is_not_verified_gets_no_data() -> None:
    script = Mobile()
    script.ask(add(VICTIM), prefer(VICTIM))
    script.write(bytes(3000))
    script.advance(2.0)
    assert {kind for packet in script.take() if packet.to == VICTIM for kind in packet.kinds} == {HEARTBEAT}


def test_redirection_by_a_forged_source_ends_with_one_heartbeat_in_an_rto() -> None:
    """All of the association is moved to the victim: data waits until it has answered a HEARTBEAT, which it never
    does.
    """
    script = Mobile(Config(heartbeat_interval=None, dynamic_addresses=True, max_retrans=4))
    script.write(bytes(20_000))
    script.take()
    script.ask(add("0.0.0.0"), delete("0.0.0.0"), source=VICTIM)
    script.advance(300.0)
    packets = [packet for packet in script.take() if packet.to == VICTIM]
    assert packets[0].kinds == [AUTH, ASCONF_ACK]
    assert {kind for packet in packets[1:-1] for kind in packet.kinds} == {HEARTBEAT}
    assert len(packets) <= 7
    assert script.state is not ESTABLISHED


def test_moving_again_and_again_costs_the_attacker_what_it_brings() -> None:
    script = Mobile()
    asked = 0
    for victim in victims(100) * 2:
        chunk = script.asconf(add("0.0.0.0"), delete("0.0.0.0"), lookup="0.0.0.0")
        asked += len(script.authenticated(chunk))
        script.say(chunk, source=victim)
    packets = script.take()
    assert sum(packet.size for packet in packets) <= 1.5 * asked
    for victim in victims(100):
        assert sum(bool(packet.all(HEARTBEAT)) for packet in packets if packet.to == victim) <= 2


@pytest.mark.parametrize("count", [1, 50])
def test_answers_to_addresses_that_are_not_verified_are_no_larger_than_thrice_the_request(count: int) -> None:
    """A long answer is in the cache, and a short duplicate under the victim's address asks for it (section 5.2 E2)."""
    script = Mobile()
    number = script.number
    refused = add("224.0.0.1")
    script.ask(*[refused] * count)
    assert len(script.answer()[1]) == count
    duplicate = script.authenticated(pack_asconf(number, PEER[0], [refused]))
    for victim in victims(10):
        script.endpoint.receive(script.packet(duplicate), Route(LOCAL[0], victim, UDP_PORT), script.now)
    script.flush()
    packets = script.take()
    for victim in victims(10):
        assert sent_to(packets, victim) <= 3 * len(duplicate)


def test_a_long_request_from_an_unverified_address_is_answered_in_full() -> None:
    script = Mobile()
    script.ask(*[add("224.0.0.1")] * 30, UNKNOWN, source=NEW)
    assert len(script.answer(NEW)[1]) == 31


# Camping, RFC 5062 section 2.


def test_who_owns_an_added_address_ends_the_association_by_an_abort() -> None:
    """That is what its host answers to the HEARTBEAT, as it is out of the blue there."""
    script = Mobile()
    script.ask(add(VICTIM))
    script.endpoint.receive(
        script.packet(control.pack_abort(reflected=True), tag=PEER_TAG), Route(LOCAL[0], VICTIM, UDP_PORT), script.now
    )
    script.flush()
    assert script.state is not ESTABLISHED


# Without the tag, and without the keys.


@pytest.mark.parametrize("tag", [0, 1, PEER_TAG])
@pytest.mark.parametrize("source", [PEER[0], VICTIM])
def test_blind_injection(tag: int, source: str) -> None:
    script = Mobile()
    before = (script.addresses, script.path().route, script.association.next_expiry)
    for chunk in (
        script.authenticated(pack_asconf(PEER_TSN, PEER[0], [add(VICTIM), delete("0.0.0.0")])),
        script.authenticated(pack_asconf_ack(script.ours(0))),
        by_nat(ERROR, CAUSE_PORT_COLLISION),
        by_nat(ABORT, CAUSE_VTAG_COLLISION, REFLECTED),
    ):
        script.endpoint.receive(script.packet(chunk, tag=tag), Route(LOCAL[0], source, 7), script.now)
        script.flush()
    assert [kind for packet in script.take() for kind in packet.kinds if kind != ABORT] == []
    assert (script.addresses, script.path().route, script.association.next_expiry) == before


def test_who_has_the_tag_and_no_keys_can_add_nothing_and_move_nothing() -> None:
    script = Mobile()
    for forged in (
        script.asconf(add(VICTIM), number=PEER_TSN),
        pack("!BBHHH", AUTH, 0, 40, 0, 3) + bytes(32) + script.asconf(add(VICTIM), number=PEER_TSN),
        pack("!BBHHH", AUTH, 0, 8, 0, 3) + script.asconf(add(VICTIM), number=PEER_TSN),
    ):
        for source in (PEER[0], VICTIM):
            script.say(forged, source=source, genuine=False)
    assert script.addresses == [PEER[0]]
    script.expect_nothing()


# Replay and reflection.


def test_a_replayed_asconf_adds_nothing_twice_and_moves_nothing() -> None:
    """Its source is no part of what is authenticated: the next request is from another address, and has another
    number.
    """
    script = Mobile()
    moving = script.authenticated(script.asconf(add("0.0.0.0"), lookup="0.0.0.0"))
    script.say(moving, source=NEW, genuine=False)
    script.ask(delete(NEW))
    script.take()
    for _ in range(3):
        script.say(moving, source=VICTIM, genuine=False)
        script.say(moving, source=NEW, genuine=False)
    assert script.addresses == [PEER[0]]
    assert not any(packet.all(HEARTBEAT) for packet in script.take())


def test_an_asconf_ack_that_is_replayed_settles_nothing() -> None:
    script = Mobile()
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    answer = script.authenticated(pack_asconf_ack(script.ours(0)))
    script.say(answer, genuine=False)
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.take()
    script.say(answer, genuine=False)
    assert not ticket.is_done
    assert script.state is ESTABLISHED


def test_our_own_chunks_that_come_back_do_nothing() -> None:
    """RFC 4895 section 6.1 has one key for both directions; numbers and correlation ids do not fit, or nothing is
    new.
    """
    script = Mobile()
    script.write(b"data")
    script.association.asconf.add_local(OURS)
    script.flush()
    script.endpoint.flush(script.now)
    for packet in script.take():
        body = b"".join(
            pack("!BBH", chunk.kind, chunk.flags, 4 + len(chunk.value)) + chunk.value + bytes(-len(chunk.value) & 3)
            for chunk in packet.chunks
        )
        script.say(body, genuine=False)
        script.say(body, source=VICTIM, genuine=False)
    assert OURS not in script.addresses
    assert VICTIM not in script.addresses
    assert script.state is ESTABLISHED


# What follows from it inside.


def test_an_address_that_is_verified_when_nothing_can_leave_for_it() -> None:
    """The HEARTBEAT ACK comes after our only address was asked to be replaced (section 5.3 F4)."""
    script = Mobile()
    script.ask(add(NEW))
    script.advance(0.0)
    [probe] = [packet for packet in script.take() if packet.all(HEARTBEAT)]
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.take()
    script.say(tlv.pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), source=NEW, genuine=False)
    script.association.send(0, b"waits", options={"path": NEW})
    script.flush()
    script.expect_nothing()
    script.acknowledge(0, local=OURS)
    assert ticket.is_ok
    assert [path.state for path in script.association.path_manager.paths] == [PathState.ACTIVE] * 2
    [packet] = [packet for packet in script.take() if packet.all(DATA)]
    assert packet.route.local == OURS


def settled(script: Mobile, number: int, *responses: bytes, local: str = LOCAL[0]) -> None:
    script.take()
    script.acknowledge(number, responses, local=local)


def test_a_peer_that_leaves_us_no_address_towards_it_is_not_waited_for_without_end() -> None:
    """It deletes the old address and does not add the new one; we have one left, of another family."""
    script = Mobile()
    script.association.asconf.add_local(OURS_IPV6)
    script.flush()
    settled(script, 0)
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    settled(
        script, 1, pack_failure(2, causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (b"",))), pack_success(3), local=OURS
    )
    assert ticket.is_done and not ticket.is_ok
    script.write(b"to nobody")
    script.advance(2000.0)
    assert isinstance(script.user.error, AssociationTimeout)


def test_an_address_of_the_peer_that_nothing_can_leave_for_any_more_is_not_waited_for() -> None:
    """All others are to be verified: data waits for one of these, and its errors count."""
    script = Mobile()
    script.association.asconf.add_local(OURS_IPV6)
    script.flush()
    settled(script, 0)
    script.ask(add("2001:db8::7"))
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    settled(script, 1)
    script.write(b"to nobody")
    script.advance(2000.0)
    assert isinstance(script.user.error, AssociationTimeout)
    assert {packet.to for packet in script.take() if packet.all(HEARTBEAT)} == {"2001:db8::7"}


def test_a_request_that_can_go_to_unverified_addresses_alone_is_not_repeated_for_ever() -> None:
    script = Mobile()
    script.association.asconf.add_local(OURS_IPV6)
    script.flush()
    settled(script, 0)
    script.ask(add("2001:db8::7"))
    ticket = script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    script.advance(2000.0)
    assert isinstance(script.user.error, AssociationTimeout)
    assert ticket.is_done and not ticket.is_ok


def test_all_others_are_not_deleted_from_where_we_can_not_send_to() -> None:
    """The request was under way as our address of that family went."""
    script = Mobile()
    script.association.asconf.add_local(OURS_IPV6)
    script.flush()
    settled(script, 0)
    script.ask(add("2001:db8::7"))
    script.association.asconf.remove_local(OURS_IPV6)
    script.flush()
    script.take()
    script.ask(delete("::"), source="2001:db8::7", local=OURS_IPV6)
    assert script.addresses == [PEER[0], "2001:db8::7"]


@pytest.mark.parametrize("errors", [0, 1, 9])
def test_a_path_is_watched_again_once_we_have_an_address_for_it(errors: int) -> None:
    script = Mobile(Config(heartbeat_interval=5.0, dynamic_addresses=True, pf_threshold=0, path_max_retrans=3))
    script.path().error_count = errors
    judge(script.path())
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.advance(0.5)
    script.association.context.timers.stop(timer_key(HEARTBEAT_TIMER, 0))  # there was nowhere to probe from
    settled(script, 0, local=OURS)
    assert ticket.is_ok
    script.advance(10.0)
    assert [packet.route.local for packet in script.take() if packet.all(HEARTBEAT)]


def test_a_newcomer_that_tells_us_of_our_address_before_it_asks_for_its_own() -> None:
    """In one packet: what was made for it before the answer had nowhere to be probed from."""
    script = Mobile()
    script.association.asconf.add_local(OURS_IPV6)
    script.flush()
    script.take()
    answer = pack_asconf_ack(script.ours(0))
    request = script.asconf(add("::"), delete("::"), lookup="::")
    script.say(answer, request, source="2001:db8::7", local=OURS_IPV6)
    script.take()
    script.advance(0.0)
    script.verify("2001:db8::7", OURS_IPV6)
    assert [path.state for path in script.association.path_manager.paths] == [PathState.ACTIVE]
