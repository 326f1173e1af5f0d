"""The endpoint's part of draft-ietf-tsvwg-natsupp: sections 5.1 and 6, packet by packet."""

from __future__ import annotations

import pytest
from support.endpoints import HERE, OTHER, PEER_PORT, PEER_TAG, THERE, UDP, Solo, cause_of, chunks, data, init_of, kinds
from support.narrowing import so_far
from support.natsupp_script import NAT, REFLECTED, by_nat, server

from asyncsctp.config import Config
from asyncsctp.errors import AssociationRefused
from asyncsctp.handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_PORT_COLLISION,
    CAUSE_VTAG_COLLISION,
    COOKIE_ACK,
    ERROR,
    FLAG_MIDDLEBOX,
    INIT,
    INIT_ACK,
    SACK,
    SHUTDOWN_COMPLETE,
)

SECOND_TAG = 0x22222222


# Section 6.1: setting up.


@pytest.mark.parametrize("supported", [True, False])
def test_6_1_init_and_init_ack_disable_restarts_where_that_is_asked_for(supported: bool) -> None:
    solo = Solo(config=Config(nat_support=supported))
    ((_, answer),) = solo.init(disable_restart=True)
    assert init_of(answer).disable_restart is supported
    assert solo.connect().disable_restart is supported


@pytest.mark.parametrize("theirs", [True, False])
def test_6_1_restarts_are_disabled_if_both_say_so(theirs: bool) -> None:
    solo = Solo(config=NAT)
    association = solo.accept(disable_restart=theirs)
    assert association.context.setup is not None
    assert association.context.setup.disable_restart is theirs


def test_6_1_the_init_names_no_address() -> None:
    solo = Solo(config=NAT, addresses=(HERE, OTHER))
    init = solo.connect()
    assert init.addresses == () and init.supported_address_types is None


def test_6_1_the_init_ack_names_no_private_address() -> None:
    solo = Solo(config=NAT, addresses=("10.0.0.1", HERE, "198.51.100.7"))
    ((_, answer),) = solo.init(source="10.0.0.2", disable_restart=True)
    assert init_of(answer).addresses == (HERE, "198.51.100.7")
    ((_, answer),) = solo.init(source="10.0.0.2")
    assert init_of(answer).addresses == ("10.0.0.1", HERE, "198.51.100.7")


@pytest.mark.parametrize("nat_support", [True, False])
@pytest.mark.parametrize("public", [(), (HERE,), (HERE, "198.51.100.7")])
def test_6_1_nothing_leaves_from_an_address_that_the_client_was_not_told(
    public: tuple[str, ...], nat_support: bool
) -> None:
    """It would not take it for ours. Several of its own addresses are reached from one, then."""
    solo = Solo(config=Config(nat_support=nat_support), addresses=("10.0.0.1", "10.1.0.1", *public))
    init, echo = solo.cookie("10.0.0.2", disable_restart=True, addresses=("10.0.0.2", "10.1.0.2", "10.2.0.2"))
    solo.receive(echo, "10.0.0.2")
    paths = solo.association.path_manager
    assert set(paths.local.sources) == {"10.0.0.1", *init.addresses}
    assert {path.route.local for path in paths.paths} <= {"10.0.0.1", *init.addresses}


def test_6_1_nor_does_the_one_for_an_association_that_there_is() -> None:
    solo = Solo(config=NAT, addresses=("10.0.0.1", HERE, "198.51.100.7"))
    solo.accept("10.0.0.2", disable_restart=True)
    ((_, answer),) = solo.init(source="10.0.0.2", disable_restart=True)
    assert init_of(answer).addresses == (HERE, "198.51.100.7")


# Section 6.2.2: the tag is another's already.


def test_6_2_2_in_cookie_wait_a_collision_makes_us_choose_another_tag() -> None:
    solo = Solo(config=NAT)
    first = solo.connect()
    ((_, again),) = solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION))
    assert kinds(again) == [INIT]
    second = init_of(again)
    assert second.initiate_tag != first.initiate_tag
    assert second._replace(initiate_tag=0) == first._replace(initiate_tag=0)
    assert so_far(solo.association.state) is COOKIE_WAIT
    [_] = solo.answer(disable_restart=True)
    solo.say(control.pack_cookie_ack())
    assert solo.association.state is ESTABLISHED


def test_6_2_2_collisions_come_to_an_end() -> None:
    solo = Solo(config=NAT.replace(init_max_retrans=2))
    solo.connect()
    for _ in range(2):
        assert [kinds(packet) for _, packet in solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION))] == [[INIT]]
    assert solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION)) == []
    assert isinstance(solo.user.error, AssociationRefused)


def test_6_2_2_the_old_tag_is_ours_no_more() -> None:
    solo = Solo(config=NAT)
    first = solo.connect()
    solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION))
    solo.say(by_nat(ABORT, CAUSE_PORT_COLLISION), tag=first.initiate_tag)
    assert solo.association.state is COOKIE_WAIT


def test_6_2_2_in_any_other_state_an_abort_of_a_nat_does_nothing() -> None:
    solo = Solo(config=NAT)
    solo.establish(disable_restart=True)
    for cause in (CAUSE_VTAG_COLLISION, CAUSE_PORT_COLLISION):
        for tag, flags in ((None, FLAG_MIDDLEBOX), (PEER_TAG, REFLECTED)):
            assert solo.say(by_nat(ABORT, cause, flags), tag=tag) == []
    assert solo.association.state is ESTABLISHED


def test_6_3_a_port_collision_ends_the_attempt_and_says_what_to_do() -> None:
    solo = Solo(config=NAT)
    solo.connect()
    assert solo.say(by_nat(ABORT, CAUSE_PORT_COLLISION)) == []
    assert isinstance(solo.user.error, AssociationRefused)
    assert "another local port" in str(solo.user.error)


def test_5_1_1_without_nat_support_the_bit_is_not_looked_at() -> None:
    """RFC 9260 section 3.2: reserved flags are ignored."""
    solo = Solo()
    solo.connect()
    solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION))
    assert isinstance(solo.user.error, AssociationRefused)


# Section 6.3.2: several peers behind one NAT, with the same address and port.


def test_6_3_2_another_tag_is_another_peer() -> None:
    solo = server()
    first = solo.association
    second = solo.accept(disable_restart=True, initiate_tag=SECOND_TAG)
    assert second is not first
    assert [each.state for each in (first, second)] == [ESTABLISHED, ESTABLISHED]
    assert first.context.local_tag != second.context.local_tag
    for association, payload in ((first, b"one"), (second, b"two")):
        ((_, answer),) = solo.say(data(1000, payload), data(1001, payload, ssn=1), tag=association.context.local_tag)
        assert kinds(answer) == [SACK]
    assert [message[3] for message in solo.users[0].messages] == [b"one"] * 2
    assert [message[3] for message in solo.users[1].messages] == [b"two"] * 2


def test_6_3_2_they_may_differ_by_their_udp_ports() -> None:
    """Draft udp-encaps-cons section 4 is about restarts, and there are none."""
    solo = server()
    first = solo.association
    second = solo.accept(udp_port=UDP + 1, disable_restart=True, initiate_tag=SECOND_TAG)
    assert second is not first
    assert [each.context.paths.primary.route.udp_port for each in (first, second)] == [UDP, UDP + 1]


def test_6_3_2_what_icmp_quotes_tells_which_of_them_is_meant() -> None:
    solo = server()
    first = solo.association
    second = solo.accept(disable_restart=True, initiate_tag=SECOND_TAG)
    assert solo.endpoint.find(THERE, PEER_PORT, PEER_TAG) is first
    assert solo.endpoint.find(THERE, PEER_PORT, SECOND_TAG) is second
    assert solo.endpoint.find(THERE, PEER_PORT) is first
    assert solo.endpoint.find(OTHER, PEER_PORT, PEER_TAG) is None


def test_6_3_2_an_init_again_is_no_other_peer() -> None:
    """Section 5.2.2 of RFC 9260: late, it has the tag of the association that came of it."""
    solo = server()
    _, echo = solo.cookie(disable_restart=True)
    assert solo.receive(echo) == []  # section 5.2.4 action C
    assert len(solo.endpoint.associations) == 1


def test_6_3_2_a_cookie_again_is_answered_and_makes_nothing() -> None:
    solo = Solo(config=NAT)
    _, echo = solo.cookie(disable_restart=True)
    assert kinds(solo.receive(echo)[0][1])[0] == COOKIE_ACK
    assert kinds(solo.receive(echo)[0][1])[0] == COOKIE_ACK
    assert len(solo.endpoint.associations) == 1


def test_6_3_2_without_disabled_restarts_another_tag_is_a_restart() -> None:
    solo = Solo(config=NAT)
    first = solo.accept()
    _, echo = solo.cookie(initiate_tag=SECOND_TAG)
    solo.receive(echo)
    assert solo.endpoint.associations == [first]
    assert first.statistics.restarts == 1
    ((_, answer),) = solo.init(udp_port=UDP + 1, initiate_tag=SECOND_TAG + 1)
    assert kinds(answer) == [ABORT] and cause_of(chunks(answer)[0]) == CAUSE_NEW_ENCAPSULATION_PORT


def test_6_3_2_the_limit_of_associations_holds() -> None:
    solo = Solo(config=NAT, limit=1)
    solo.accept(disable_restart=True)
    ((_, answer),) = solo.init(disable_restart=True, initiate_tag=SECOND_TAG)
    assert kinds(answer) == [ABORT]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_8_5_1_a_reflected_tag_tells_which_of_them_is_meant(which: int) -> None:
    solo = server()
    for number in (1, 2):
        solo.accept(disable_restart=True, initiate_tag=PEER_TAG + number)
    associations = [user.association for user in solo.users]
    solo.say(control.pack_abort(reflected=True), tag=PEER_TAG + which)
    states = [association.state for association in associations if association is not None]
    assert states == [CLOSED if number == which else ESTABLISHED for number in range(3)]


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_6_3_2_one_ends_and_the_others_are_found_still(ended: int) -> None:
    solo = server()
    for number in (1, 2):
        solo.accept(disable_restart=True, initiate_tag=PEER_TAG + number)
    associations = [user.association for user in solo.users]
    gone = associations.pop(ended)
    assert gone is not None
    solo.say(control.pack_abort(), tag=gone.context.local_tag)
    assert solo.endpoint.associations == associations
    for association in associations:
        assert association is not None
        solo.say(control.pack_abort(reflected=True), tag=association.context.peer_tag)
    assert solo.endpoint.associations == []
    assert solo.endpoint.find(THERE, PEER_PORT) is None


# Section 6.4.2, as far as it is about what is not to be believed.


@pytest.mark.parametrize("chunk", [ABORT, ERROR, SHUTDOWN_COMPLETE])
def test_6_4_2_what_does_not_reflect_our_tag_is_discarded(chunk: int) -> None:
    solo = server()
    assert solo.say(by_nat(chunk, CAUSE_VTAG_COLLISION, REFLECTED), tag=PEER_TAG + 1) == []
    assert solo.association.state is ESTABLISHED


def test_an_init_ack_under_the_tag_before_the_collision_is_out_of_the_blue() -> None:
    solo = Solo(config=NAT)
    first = solo.connect()
    solo.say(by_nat(ABORT, CAUSE_VTAG_COLLISION))
    before = solo.association.statistics.bad_tags
    answers = solo.say(*[tlv.pack(INIT_ACK << 8, bytes(16))], tag=first.initiate_tag)
    assert answers == [] and solo.association.statistics.bad_tags == before + 1
