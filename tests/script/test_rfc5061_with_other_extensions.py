"""Where changing addresses (RFC 5061) meets authentication (RFC 4895), failover (RFC 7829) and NATs (draft natsupp)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.asconf_script import CHUNKS, NEW, OURS, Mobile, add, delete, prefer
from support.natsupp_script import NAT_AND_ASCONF, nat_returns
from support.script import LOCAL, PEER, UDP_PORT, Packet, Script

from asyncsctp.config import Config
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.paths.route import Route
from asyncsctp.wire.asconf import ANY_IPV4, pack_asconf_ack, read_asconf
from asyncsctp.wire.constants import (
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_MISSING_STATE,
    CAUSE_VTAG_COLLISION,
    ECNE,
    FORWARD_TSN,
    HEARTBEAT,
    RE_CONFIG,
)

ACTIVE = PathState.ACTIVE
PF = PathState.POTENTIALLY_FAILED


def numbers(script: Script, packet: Packet) -> list[int]:
    """Of the requests in a packet, from 0 on."""
    values = [chunk.value for chunk in packet.all(ASCONF)]
    return [read_asconf(value, 0, len(value)).number - script.ours(0) & 0xFFFFFFFF for value in values]


# Authentication.


@pytest.mark.parametrize("listed", [frozenset(), frozenset({ASCONF}), CHUNKS])
def test_rfc5061_4_1_asconf_is_authenticated_even_if_the_peer_does_not_list_it(listed: frozenset[int]) -> None:
    """Both chunks MUST be sent in an authenticated way."""
    script = Mobile(auth=listed)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.expect(AUTH, ASCONF)
    script.ask(add(NEW))
    assert [packet.kinds for packet in script.take() if packet.all(ASCONF_ACK)] == [[AUTH, ASCONF_ACK]]


def test_c5_an_answer_that_does_not_fit_is_given_nevertheless() -> None:
    """It SHOULD NOT be larger than the PMTU; but without one the peer would ask until the association fails."""
    script = Mobile()
    script.association.configure_path(PEER[0], {"mtu": 576}, script.now)
    script.ask(*[prefer("192.0.2.77", number) for number in range(64)])
    assert len(script.codes()) == 64


# Partial reliability.


def test_a_forward_tsn_goes_on_over_another_address_when_its_own_is_removed() -> None:
    """RFC 5061 section 5.3 F13: nothing refers to the address any more, and the peer is still to be told."""
    script = Mobile(paths=2, extensions=CHUNKS | {FORWARD_TSN})
    message = script.association.send(0, b"x", options={"max_retransmits": 9})
    script.flush()
    script.association.sender().withdraw(message)
    script.flush()
    assert [(packet.to, packet.kinds) for packet in script.take()][-1] == (PEER[0], [FORWARD_TSN])
    script.ask(delete(PEER[0]), source=PEER[1], lookup=PEER[1], local=LOCAL[1])
    assert script.addresses == [PEER[1]]
    script.take()
    [again] = script.wait()
    assert (again.to, again.kinds) == (PEER[1], [FORWARD_TSN])


# Failover.


def test_rfc7829_rule_9_holds_for_asconf_as_well() -> None:
    """What was sent to several addresses proves none of them."""
    config = Config(pf_threshold=0, heartbeat_interval=None, dynamic_addresses=True)
    script = Mobile(config, paths=2)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.advance(2.0)
    assert [packet.to for packet in script.take() if packet.all(ASCONF)] == [PEER[0], PEER[1], PEER[0]]
    script.acknowledge(0)
    assert [script.path(number).state for number in (0, 1)] == [PF, PF]
    script.association.asconf.request_primary(LOCAL[1])
    script.flush()
    [request] = script.take()
    script.acknowledge(1)
    assert script.path(PEER.index(request.to)).state is ACTIVE  # rule 10


def test_b4_another_address_is_taken_even_if_the_first_is_the_worst_by_now() -> None:
    """Which one is best has changed by the very time-out: another one than before is to be chosen nevertheless."""
    script = Mobile(Config(pf_threshold=0, heartbeat_interval=None, dynamic_addresses=True), paths=2)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.take()
    [again] = [packet for packet in script.wait() if packet.all(ASCONF)]
    assert script.path(0).state is PF
    assert again.to == PEER[1]


@pytest.mark.parametrize("asks", [True, False])
def test_rfc9260_8_1_a_silence_counts_once_while_data_is_outstanding(asks: bool) -> None:
    """T3-rtx and T4-rto of one path tell the same; counted twice an outage would end all in little more than half the
    time.
    """
    script = Mobile()
    if asks:
        script.association.asconf.request_primary(LOCAL[0])
    script.write(b"lost")
    start = script.now
    while script.state is ESTABLISHED:
        script.wait(1.0)
    assert script.now - start == pytest.approx(1 + 2 + 4 + 8 + 16 + 32 + 5 * 60, abs=1.0)


def test_rfc9260_8_1_a_silence_counts_once_for_each_of_several_addresses() -> None:
    """Whatever the order in which timers of both run out at one instant."""
    config = Config(rto_max=1.0, pf_threshold=0, path_max_retrans=0, heartbeat_interval=None, dynamic_addresses=True)
    script = Mobile(config, paths=2, extensions=CHUNKS | {RE_CONFIG})
    script.write(b"lost")
    script.association.reconfig.reset_streams([1], None)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    counted = [0]
    while script.state is ESTABLISHED:
        script.wait()
        counted.append(script.association.path_manager.error_count)
    assert max(after - before for before, after in pairwise(counted)) <= 2


def test_rfc9260_6_4_1_an_address_that_was_added_takes_a_path_from_one_that_serves_several() -> None:
    """The most divergent pair of source and destination: a cut of our first link is not to take both paths with it."""
    script = Mobile(paths=2)
    script.association.asconf.remove_local(LOCAL[1])
    script.flush()
    script.take()
    script.acknowledge(0)
    assert [path.route.local for path in script.association.path_manager.paths] == [LOCAL[0], LOCAL[0]]
    script.association.asconf.add_local(OURS)
    script.flush()
    script.take()
    assert script.path(1).route.local == LOCAL[0]  # RFC 5061 section 5.3 F1
    script.acknowledge(1)
    assert [path.route.local for path in script.association.path_manager.paths] == [LOCAL[0], OURS]
    script.write(b"lost")
    [first] = script.take()
    [again] = script.wait()
    assert (first.route.local, first.to) == (LOCAL[0], PEER[0])
    assert (again.route.local, again.to) == (OURS, PEER[1])


def test_rfc9260_6_4_1_a_peer_that_moves_about_does_not_gather_on_one_of_our_addresses() -> None:
    script = Mobile(paths=2)
    for number in range(1, 5):
        script.ask(add(f"10.2.0.{number}"), delete(script.addresses[-1]))
        script.take()
        paths = script.association.path_manager.paths
        assert [path.route.local for path in paths] == list(LOCAL), number


def test_rfc9260_6_4_1_when_one_of_ours_goes_its_paths_are_shared_among_the_rest() -> None:
    script = Mobile(paths=2)
    for address in (OURS, "10.3.0.1"):
        script.association.asconf.add_local(address)
    script.flush()
    script.acknowledge(0)
    script.acknowledge(1)
    script.association.asconf.remove_local(LOCAL[1])
    assert [path.route.local for path in script.association.path_manager.paths] == [LOCAL[0], OURS]


def test_rfc9260_5_4_what_could_not_be_probed_has_taken_no_turn_and_the_newest_comes_first() -> None:
    """Where both sides have moved, an address that the peer has had for long is the least likely to be its own still;
    and the peer is not to wait for the turns of those that nothing could be sent to.
    """
    script = Mobile()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    added = [NEW, "10.3.0.2", "10.4.0.2"]
    for address in added:
        script.ask(add(address))
        script.advance(0.2)
    script.take()
    start = script.now
    script.acknowledge(0, local=OURS)
    probes = [(script.now, packet.to) for packet in script.take() if packet.all(HEARTBEAT)]
    while len(probes) < len(added):
        probes += [(script.now, packet.to) for packet in script.wait() if packet.all(HEARTBEAT)]
    assert [to for _, to in probes] == added[::-1]
    assert [when - start for when, _ in probes] == pytest.approx([0.0, 1.0, 2.0])  # one in an RTO


# NATs.


def test_6_2_2_after_a_collision_the_peer_is_still_asked_in_order() -> None:
    """The request that a NAT refused has a number, and the peer takes no other before that one (RFC 5061 E4)."""
    script = Mobile(NAT_AND_ASCONF)
    refused = script.association.asconf.add_local(OURS, wildcard=True)
    script.flush()
    assert numbers(script, script.take()[0]) == [0]
    nat_returns(script, CAUSE_VTAG_COLLISION, OURS)
    assert refused.is_done
    assert not refused.is_ok
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    [packet] = script.take()
    assert numbers(script, packet) == [0, 1]
    assert packet.route.local == LOCAL[0]
    script.say(pack_asconf_ack(script.ours(0)), pack_asconf_ack(script.ours(1)))
    assert ticket.is_ok
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    assert numbers(script, script.take()[0]) == [2]


def test_6_6_a_new_address_that_leads_nowhere_does_not_end_an_association_that_has_another() -> None:
    """It may be one of a network that lets nobody out before they have paid."""
    script = Mobile(NAT_AND_ASCONF.replace(pf_threshold=None))
    ticket = script.association.asconf.add_local(OURS, wildcard=True)
    other = script.association.asconf.request_primary(LOCAL[0])
    script.advance(64.0)
    assert OURS in str(ticket.error)
    assert script.path().state is ACTIVE
    sent = [packet for packet in script.take() if packet.all(ASCONF)]
    first_to_arrive = next(packet for packet in sent if packet.route.local == LOCAL[0])
    assert [packet.route.local for packet in sent[:6]] == [OURS] * 6
    assert numbers(script, first_to_arrive) == [0, 1]
    script.say(pack_asconf_ack(script.ours(0)), pack_asconf_ack(script.ours(1)))
    assert other.is_ok
    assert OURS not in script.association.path_manager.local


def test_6_6_the_only_address_is_tried_to_the_end() -> None:
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.change_local(OURS, LOCAL[0], wildcard=True)
    script.flush()
    script.advance(2000.0)
    assert len([packet for packet in script.take() if packet.all(ASCONF)]) == 11
    assert str(ticket.error) == "the association has ended"


def test_6_4_2_the_nat_that_has_lost_its_state_is_told_and_no_other() -> None:
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.add_local(OURS, wildcard=True)
    script.flush()
    script.take()
    script.acknowledge(0)
    assert ticket.is_ok
    nat_returns(script, CAUSE_MISSING_STATE, OURS)
    packet, asconf = script.asked()
    assert packet.route.local == OURS
    assert asconf.requests[0].address == ANY_IPV4


# What else knew of a path.


def test_autoclose_knows_of_what_left_for_an_address_that_is_gone() -> None:
    """RFC 6458 section 8.1.8: the association is idle from the last message on, wherever that went."""
    script = Mobile(Config(heartbeat_interval=None, dynamic_addresses=True, autoclose=10.0), paths=2)
    script.advance(8.0)
    script.write(b"the last one")
    script.send(script.sack(0))
    script.ask(delete(PEER[0]), source=PEER[1])
    script.advance(9.0)
    assert script.state is ESTABLISHED
    script.advance(1.5)
    assert script.state is not ESTABLISHED


def test_a_mark_on_a_packet_from_a_new_address_is_echoed() -> None:
    """RFC 3168 section 6.1.3: it tells of congestion, wherever the packet came from."""
    script = Mobile(Config(heartbeat_interval=None, dynamic_addresses=True, ecn=True), ecn=True)
    datagram = script.packet(script.authenticated(script.asconf(add(NEW)), script.data(0)))
    script.endpoint.receive(datagram, Route(LOCAL[0], NEW, UDP_PORT), script.now, True)
    script.flush()
    assert any(packet.all(ECNE) for packet in script.take() + script.wait(1.0))
