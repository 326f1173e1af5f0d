"""Draft natsupp sections 6.2.2, 6.4.2 and 8.4: NATs that have lost their state, and peers that NATs call otherwise."""

from __future__ import annotations

import pytest
from support.asconf_script import OURS, Mobile, add
from support.endpoints import (
    OTHER,
    THERE,
    UDP,
    UP_STATES,
    Solo,
    addresses,
    chunks,
    data,
    heartbeat_ack,
    image,
    into,
    kinds,
    kinds_to,
)
from support.natsupp_script import NAT, NAT_AND_ASCONF, REFLECTED, by_nat, nat_returns, server
from support.script import LOCAL, PEER, PEER_TAG

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationAborted
from asyncsctp.events import AssociationDown, PeerAddressChanged
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_ACK_SENT, SHUTDOWN_SENT, State
from asyncsctp.wire import control, tlv
from asyncsctp.wire.asconf import read_asconf
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_MISSING_STATE,
    CAUSE_PORT_COLLISION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_VTAG_COLLISION,
    COOKIE_ACK,
    DATA,
    ERROR,
    FLAG_MIDDLEBOX,
    HEARTBEAT,
    HEARTBEAT_ACK,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_DISABLE_RESTART,
    PARAM_VTAGS,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)

PUBLIC = "198.51.100.1"
AUTH_PARAMETERS = AuthParameters(bytes(range(32)), bytes([ASCONF, ASCONF_ACK]), (3, 1))


def parameters(chunk: bytes) -> list[tuple[int, bytes]]:
    """Those of an ASCONF behind its Address Parameter: type and value."""
    walk = tlv.walk(chunk, 4, len(chunk))
    return [(kind, chunk[start:end]) for kind, _, start, end in walk][1:]


# A NAT says that it does not know the association.


def test_6_4_2_missing_state_is_answered_by_an_asconf_that_has_all_that_the_nat_needs() -> None:
    script = Mobile(NAT_AND_ASCONF)
    nat_returns(script, CAUSE_MISSING_STATE)
    packet, asconf = script.asked()
    assert (packet.route.local, packet.to) == (LOCAL[0], PEER[0])
    assert asconf.address == "0.0.0.0"
    found = parameters(packet.one(ASCONF).value)
    assert [kind for kind, _ in found] == [PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS, PARAM_VTAGS, PARAM_DISABLE_RESTART]
    tags = (script.association.context.local_tag, PEER_TAG)
    assert found[2][1][4:] == b"".join(tag.to_bytes(4) for tag in tags)
    assert all(value.endswith(tlv.pack(5, bytes(4))) for _, value in found[:2])


def test_6_4_2_one_request_at_a_time_is_enough() -> None:
    script = Mobile(NAT_AND_ASCONF)
    for _ in range(5):
        nat_returns(script, CAUSE_MISSING_STATE)
    _, asconf = script.asked()
    script.acknowledge(asconf.number)
    script.expect_nothing()
    nat_returns(script, CAUSE_MISSING_STATE)
    assert script.asked()[1].number == asconf.number + 1


@pytest.mark.parametrize(("flags", "tag"), [(REFLECTED, PEER_TAG + 1), (FLAG_MIDDLEBOX, PEER_TAG), (1, PEER_TAG)])
def test_6_4_2_what_does_not_reflect_our_tag_or_is_of_no_nat_is_discarded(flags: int, tag: int) -> None:
    script = Mobile(NAT_AND_ASCONF)
    script.send(by_nat(ERROR, CAUSE_MISSING_STATE, flags), tag=tag)
    script.expect_nothing()
    assert script.association.statistics.bad_tags == 1


def test_6_4_2_without_dynamic_addresses_nothing_helps() -> None:
    solo = server()
    assert solo.say(by_nat(ERROR, CAUSE_MISSING_STATE), tag=solo.association.context.peer_tag) == []
    assert solo.association.state is ESTABLISHED


@pytest.mark.parametrize("cause", [CAUSE_VTAG_COLLISION, CAUSE_PORT_COLLISION])
def test_6_4_2_a_collision_is_the_end_where_there_is_no_other_path(cause: int) -> None:
    script = Mobile(NAT_AND_ASCONF)
    nat_returns(script, CAUSE_MISSING_STATE)
    script.take()
    nat_returns(script, cause)
    script.expect(ABORT)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationAborted) and not script.user.error.by_peer


@pytest.mark.parametrize("cause", [CAUSE_VTAG_COLLISION, CAUSE_PORT_COLLISION])
def test_6_2_2_a_collision_ends_the_adding_of_an_address_and_nothing_else(cause: int) -> None:
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.add_local(OURS, wildcard=True)
    script.flush()
    packet, _ = script.asked()
    assert packet.route.local == OURS
    nat_returns(script, cause)
    assert ticket.is_done and not ticket.is_ok
    assert isinstance(ticket.error, AsconfError)
    assert [found.code for found in ticket.error.causes] == [cause]
    script.advance(100.0)
    script.expect_nothing()
    assert script.state is ESTABLISHED


def test_a_collision_out_of_the_blue_does_nothing() -> None:
    script = Mobile(NAT_AND_ASCONF)
    nat_returns(script, CAUSE_VTAG_COLLISION)
    script.expect_nothing()
    assert script.state is ESTABLISHED


# What NATs call otherwise.


def test_an_address_that_a_nat_calls_otherwise_is_none_to_be_found_by() -> None:
    """RFC 5061 section 4.1.1: the Address Parameter MUST be one that the peer has."""
    script = Mobile(NAT_AND_ASCONF)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    assert script.asked()[1].address == "0.0.0.0"


@pytest.mark.parametrize("new", [OURS, PUBLIC])
def test_the_only_address_is_changed_by_wildcards_wherever_the_new_one_is(new: str) -> None:
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.change_local(new, LOCAL[0])
    script.flush()
    packet, asconf = script.asked()
    assert packet.route.local == new
    assert {asconf.address, *(request.address for request in asconf.requests[:2])} == {"0.0.0.0"}
    script.acknowledge(asconf.number)
    assert ticket.is_ok
    assert script.association.path_manager.local.sources == (new,)


def test_an_address_on_its_way_to_the_peer_is_not_deleted_with_those_that_a_nat_has_forgotten() -> None:
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.add_local(PUBLIC)
    script.flush()
    _, asconf = script.asked()
    nat_returns(script, CAUSE_MISSING_STATE)
    with pytest.raises(ValueError, match="would delete"):
        script.association.asconf.change_local(OURS, LOCAL[0], wildcard=True)
    script.acknowledge(asconf.number)
    assert ticket.is_ok
    kinds = [kind for kind, _ in parameters(script.take()[0].one(ASCONF).value)]
    assert kinds == [PARAM_ADD_ADDRESS, PARAM_VTAGS, PARAM_DISABLE_RESTART]


def test_without_a_nat_an_address_that_reaches_none_of_the_peers_is_added_all_the_same() -> None:
    """Two private networks may be one; from here nobody can tell but by trying."""
    script = Mobile(NAT_AND_ASCONF)
    ticket = script.association.asconf.add_local(OURS)
    script.flush()
    assert [packet.route.local for packet in (*script.take(), *script.wait(), *script.wait())] == [OURS] * 3
    script.advance(4.0)
    script.take()
    script.acknowledge(1)  # that a NAT may have forgotten
    assert not ticket.is_done
    [first], [second] = script.take(), script.wait()
    assert [packet.route.local for packet in (first, second)] == [OURS, LOCAL[0]]
    for packet in (first, second):
        value = packet.all(ASCONF)[-1].value
        assert [request.address for request in read_asconf(value, 0, len(value)).requests] == [OURS]
    script.acknowledge(2)
    assert ticket.is_ok
    assert OURS in script.association.path_manager.local.sources


def test_an_address_that_is_added_shows_its_udp_port_to_the_peer() -> None:
    """A NAT's port is that of no other address. It is asked for the usual way only where that is not heard."""
    script = Mobile(NAT_AND_ASCONF)
    script.association.asconf.add_local(PUBLIC)
    script.flush()
    assert [packet.route.local for packet in (script.take()[0], script.wait()[0])] == [PUBLIC, LOCAL[0]]


def test_addresses_that_a_nat_has_no_more_leave_room_for_those_that_it_has() -> None:
    """A peer with several addresses can't name them, to have them deleted."""
    script = Mobile(NAT_AND_ASCONF.replace(path_max_retrans=1))
    for number in range(3 * MAX_PEER_ADDRESSES):
        source = f"198.51.100.{number}"
        script.ask(add("0.0.0.0"), source=source, lookup="0.0.0.0")
        assert script.codes(source) == []
        assert script.addresses[0] == PEER[0]
        assert source in script.addresses
        assert len(script.addresses) <= MAX_PEER_ADDRESSES
        script.advance(20.0)  # nobody answers there
        script.take()


@pytest.mark.parametrize("nat_support", [True, False])
def test_those_that_answer_stay_and_all_where_nobody_reckons_with_nats(nat_support: bool) -> None:
    """RFC 5061 section 5.3 F9."""
    script = Mobile(NAT_AND_ASCONF.replace(nat_support=nat_support))
    for number in range(1, MAX_PEER_ADDRESSES):
        script.ask(add("0.0.0.0"), source=f"198.51.100.{number}", lookup="0.0.0.0")
        script.take()
    if not nat_support:
        script.advance(1000.0)
        script.take()
    script.ask(add("0.0.0.0"), source="198.51.100.77", lookup="0.0.0.0")
    assert script.codes("198.51.100.77") == [CAUSE_RESOURCE_SHORTAGE]


# Silence.


@pytest.mark.parametrize("path_max_retrans", [0, 5])
def test_time_outs_make_us_ask_even_if_the_peer_is_in_a_private_network_too(path_max_retrans: int) -> None:
    """A NAT may stand between two of them."""
    script = Mobile(NAT_AND_ASCONF.replace(path_max_retrans=path_max_retrans))
    script.write(b"into the void")
    script.advance(3.5)
    assert [AUTH, ASCONF] in [packet.kinds for packet in script.take()]


def test_one_time_out_after_nats_have_been_told_is_no_reason_to_tell_them_again() -> None:
    """Else, where one error makes a path fail, each retransmission would leave behind another packet."""
    script = Mobile(NAT_AND_ASCONF.replace(path_max_retrans=0))
    script.write(b"into the void")
    asked = []
    for _ in range(6):
        script.take()
        packets = script.wait()
        assert DATA in [kind for packet in packets for kind in packet.kinds]
        asked.append([AUTH, ASCONF] in [packet.kinds for packet in packets])
        if asked[-1]:
            script.acknowledge(sum(asked) - 1)
    assert asked == [True, False] * 3


def test_heartbeats_that_are_not_answered_make_us_ask_however_few_are_counted() -> None:
    script = Mobile(NAT_AND_ASCONF.replace(path_max_retrans=0, heartbeat_interval=5.0))
    script.advance(30.0)
    assert [AUTH, ASCONF] in [packet.kinds for packet in script.take()]


def test_a_shutdown_that_is_not_answered_makes_us_ask() -> None:
    script = Mobile(NAT_AND_ASCONF)
    script.shutdown()
    script.advance(3.5)
    assert [packet.kinds for packet in script.take()] == [[SHUTDOWN], [SHUTDOWN], [AUTH, ASCONF], [SHUTDOWN]]


# A client that a NAT has moved before it has heard that the association is up.


def test_a_cookie_from_elsewhere_is_answered_there_and_changes_nothing() -> None:
    solo = Solo(config=NAT_AND_ASCONF)
    _, echo = solo.cookie(disable_restart=True, extensions=frozenset({ASCONF, ASCONF_ACK, AUTH}), auth=AUTH_PARAMETERS)
    solo.receive(echo)
    before = image(solo.association)
    ((route, answer),) = solo.receive(echo, OTHER, UDP + 5)
    assert (route.address, route.udp_port, kinds(answer)) == (OTHER, UDP + 5, [COOKIE_ACK])
    assert image(solo.association) == before


def test_no_other_packet_from_there_is_and_no_other_cookie() -> None:
    solo = Solo(config=NAT_AND_ASCONF)
    extensions = frozenset({ASCONF, ASCONF_ACK, AUTH})
    _, echo = solo.cookie(disable_restart=True, extensions=extensions, auth=AUTH_PARAMETERS)
    solo.receive(echo)
    [cookie] = chunks(echo)
    forged = cookie[:-1] + bytes([cookie[-1] ^ 1])
    for items in ([forged], [data(1000), cookie], [data(1000)], [tlv.pack(AUTH << 8, bytes(36)), cookie], [cookie[:9]]):
        dropped = solo.association.statistics.unexpected_chunks
        assert solo.say(*items, source=OTHER) == []
        assert solo.association.statistics.unexpected_chunks == dropped + 1


# A peer without authentication that comes from another address.


def test_it_is_where_it_answers_a_heartbeat() -> None:
    solo = server()
    answers = solo.say(data(1000), data(1001, ssn=1), source=OTHER, udp_port=UDP + 5) + solo.wait(0.0)
    assert kinds_to(answers, THERE) == [[SACK]]
    assert kinds_to(answers, OTHER) == [[HEARTBEAT]]
    solo.say(heartbeat_ack(answers), source=OTHER, udp_port=UDP + 5)
    assert addresses(solo.association) == [OTHER]
    assert solo.association.path_manager.primary.route.udp_port == UDP + 5
    changes = [(event.address, event.state) for event in solo.user.events if isinstance(event, PeerAddressChanged)]
    assert changes == [(OTHER, "added"), (OTHER, "confirmed"), (OTHER, "primary"), (THERE, "removed")]
    solo.association.send(0, b"data")
    solo.touch()
    assert [route.address for route, _ in solo.take()] == [OTHER]
    assert len(solo.user.messages) == 2


def test_one_that_ends_the_association_as_well_moves_nothing_any_more() -> None:
    solo = server()
    association = solo.association
    proof = heartbeat_ack(solo.say(data(1000), source=OTHER) + solo.wait(0.0))
    solo.say(proof, control.pack_abort(b""), source=OTHER)
    assert association.state is CLOSED
    assert solo.endpoint.associations == []
    assert isinstance(solo.user.events[-1], AssociationDown)


def test_its_own_heartbeats_are_answered_at_its_new_udp_port() -> None:
    solo = server()
    said = solo.say(control.pack_heartbeat(bytes(20)), source=OTHER, udp_port=UDP + 5) + solo.wait(0.0)
    assert {route[1:3] for route, _ in said} == {(OTHER, UDP + 5)}
    assert kinds_to(said, OTHER) == [[HEARTBEAT_ACK], [HEARTBEAT]]


def test_it_may_have_moved_before_it_has_heard_that_the_association_is_up() -> None:
    """Its COOKIE ECHO is answered once it is verified where it comes from."""
    solo = Solo(config=NAT)
    _, echo = solo.cookie(disable_restart=True)
    solo.receive(echo)
    proof = heartbeat_ack(solo.receive(echo, OTHER, UDP + 5) + solo.wait(0.0))
    solo.say(proof, source=OTHER, udp_port=UDP + 5)
    assert kinds_to(solo.receive(echo, OTHER, UDP + 5), OTHER) == [[COOKIE_ACK]]
    assert solo.association.statistics.restarts == 0


@pytest.mark.parametrize("by_us", [True, False])
def test_it_may_have_moved_while_the_association_is_shut_down(by_us: bool) -> None:
    """RFC 9260 section 8.3 discontinues HEARTBEATs then; but without this one nothing would come to its end."""
    solo = server()
    association = solo.association
    assert association.context.setup is not None
    shutdown = control.pack_shutdown(association.context.setup.local_initial_tsn - 1 & 0xFFFFFFFF)
    if by_us:
        association.shutdown(solo.now)
        solo.touch()
        solo.take()
    said = solo.say(data(1000) if by_us else shutdown, source=OTHER) + solo.wait(0.0)
    assert association.state is (SHUTDOWN_SENT if by_us else SHUTDOWN_ACK_SENT)
    solo.say(heartbeat_ack(said), source=OTHER)
    assert addresses(solo.association) == [OTHER]
    assert kinds_to(solo.wait(10.0), OTHER)[0] == [SHUTDOWN if by_us else SHUTDOWN_ACK]


def test_who_has_moved_answers_heartbeats_while_it_shuts_down() -> None:
    solo = server()
    solo.association.shutdown(solo.now)
    solo.touch()
    solo.take()
    assert kinds_to(solo.say(control.pack_heartbeat(bytes(20))), THERE) == [[HEARTBEAT_ACK]]


def test_it_is_where_it_was_if_it_does_not() -> None:
    """RFC 5062: one HEARTBEAT is all that a forged source address brings about."""
    solo = server()
    sent = solo.say(data(1000), data(1001, ssn=1), source=OTHER)
    for number in range(2, 20):
        sent += solo.say(data(1000 + number, ssn=number), source=OTHER)
    sent += solo.wait(100.0)
    assert kinds_to(sent, OTHER) == [[HEARTBEAT]]
    assert addresses(solo.association) == [THERE]


def test_an_answer_from_elsewhere_proves_nothing() -> None:
    solo = server()
    answers = solo.say(data(1000), source=OTHER) + solo.wait(0.0)
    forged = bytes(len(heartbeat_ack(answers)) - 4)
    solo.say(tlv.pack(HEARTBEAT_ACK << 8, forged), source=OTHER)
    solo.wait(100.0)
    assert addresses(solo.association) == [THERE]


def test_one_address_at_a_time_is_tried() -> None:
    solo = server()
    solo.say(data(1000), source=OTHER)
    sent = solo.say(data(1001, ssn=1), source="198.51.100.77") + solo.wait(100.0)
    assert kinds_to(sent, "198.51.100.77") == []
    assert addresses(solo.association) == [THERE]


@pytest.mark.parametrize(("config", "disable_restart"), [(NAT, False), (Config(heartbeat_interval=None), True)])
def test_where_it_was_not_agreed_on_a_foreign_address_is_foreign(config: Config, disable_restart: bool) -> None:
    solo = server(config, disable_restart)
    assert solo.say(data(1000), source=OTHER) == []
    assert addresses(solo.association) == [THERE]
    assert solo.user.messages == []


def test_without_our_tag_it_is_out_of_the_blue() -> None:
    solo = server()
    answers = solo.say(data(1000), source=OTHER, tag=solo.association.context.local_tag ^ 1)
    assert kinds_to(answers, OTHER) == [[ABORT]]
    assert addresses(solo.association) == [THERE]


def test_a_peer_that_authenticates_says_by_asconf_where_it_is() -> None:
    script = Mobile(NAT_AND_ASCONF)
    script.say(script.data(0), source="10.7.0.1", genuine=False)
    script.expect_nothing()
    assert script.addresses == [PEER[0]]


# What ends an association is believed under the right tag, wherever it came from (RFC 9260 section 8.5.1).


def moved(state: State, demanded: frozenset[int] = frozenset()) -> Solo:
    """A server in this state, whose client authenticates ASCONF."""
    solo = Solo(config=NAT_AND_ASCONF.replace(auth_chunks=demanded))
    into(solo, state, disable_restart=True, extensions=frozenset({ASCONF, ASCONF_ACK, AUTH}), auth=AUTH_PARAMETERS)
    return solo


@pytest.mark.parametrize("state", [*UP_STATES, SHUTDOWN_ACK_SENT], ids=str)
def test_who_gives_up_behind_a_nat_that_has_moved_it_is_heard(state: State) -> None:
    solo = moved(state)
    assert solo.say(control.pack_abort(), source=OTHER, udp_port=UDP + 5) == []
    assert isinstance(solo.user.error, AssociationAborted)
    assert solo.endpoint.associations == []


def test_the_shutdown_complete_of_one_that_has_moved_is_heard() -> None:
    solo = moved(SHUTDOWN_ACK_SENT)
    assert solo.say(control.pack_shutdown_complete(), source=OTHER) == []
    assert (solo.association.state, solo.user.error) == (CLOSED, None)


@pytest.mark.parametrize("state", [SHUTDOWN_SENT, SHUTDOWN_ACK_SENT], ids=str)
def test_the_shutdown_ack_of_one_that_has_moved_is_heard_and_answered_there(state: State) -> None:
    solo = moved(state)
    ((route, answer),) = solo.say(control.pack_shutdown_ack(), source=OTHER, udp_port=UDP + 5)
    assert (route.address, route.udp_port, kinds(answer)) == (OTHER, UDP + 5, [SHUTDOWN_COMPLETE])
    assert (solo.association.state, solo.user.error) == (CLOSED, None)


def test_no_other_packet_with_these_is_nor_one_that_says_it_of_another_tag() -> None:
    solo = moved(ESTABLISHED)
    before = image(solo.association)
    for items in (
        [data(1000), control.pack_abort()],
        [control.pack_abort(reflected=True)],
        [by_nat(ABORT, CAUSE_VTAG_COLLISION)],
        [control.pack_abort(reflected=True), data(1000)],
        [tlv.pack(AUTH << 8, bytes(36)), control.pack_abort(), data(1000)],
        [control.pack_abort()[:3]],
        [control.pack_shutdown_ack(), data(1000)],
    ):
        assert solo.say(*items, source=OTHER) == []
    solo.say(control.pack_shutdown_ack(), source=OTHER)
    solo.say(control.pack_shutdown_complete(), source=OTHER)
    assert image(solo.association) == before
    assert solo.user.messages == []


def test_where_an_abort_must_be_authenticated_one_from_elsewhere_must_be_too() -> None:
    solo = moved(ESTABLISHED, frozenset({ABORT}))
    for items in ([control.pack_abort()], [tlv.pack(AUTH << 8, bytes(36)), control.pack_abort()]):
        solo.say(*items, source=OTHER)
        assert solo.association.state is ESTABLISHED


def test_an_abort_from_elsewhere_that_is_authenticated_is_heard() -> None:
    script = Mobile(NAT_AND_ASCONF.replace(auth_chunks=frozenset({ABORT})))
    script.say(control.pack_abort(), source="10.7.0.1", genuine=False)
    assert script.state is ESTABLISHED
    script.say(control.pack_abort(), source="10.7.0.1")
    assert script.user.error is not None


def test_where_nobody_reckons_with_nats_an_abort_from_elsewhere_is_nothing() -> None:
    solo = Solo(config=NAT_AND_ASCONF.replace(nat_support=False))
    solo.accept(extensions=frozenset({ASCONF, ASCONF_ACK, AUTH}), auth=AUTH_PARAMETERS)
    solo.say(control.pack_abort(), source=OTHER)
    assert solo.association.state is ESTABLISHED
