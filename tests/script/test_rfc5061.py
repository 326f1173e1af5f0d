"""RFC 5061 by its rules, on the side that asks: section 5.1 A1 to A9, B1 to B5, C1 to C5, section 5.3 F0 to F10."""

from __future__ import annotations

import pytest
from support.asconf_script import NEW, OURS, Mobile, add, delete, prefer
from support.narrowing import so_far
from support.script import LOCAL, PEER, B, E, I

from asyncsctp.config import Config
from asyncsctp.errors import AsconfError, AssociationAborted, AssociationTimeout
from asyncsctp.handlers.state import CLOSED, ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.wire import causes, control
from asyncsctp.wire.asconf import pack_failure, pack_success
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF,
    CAUSE_NO_AUTHORIZATION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    DATA,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_DISABLE_RESTART,
    PARAM_SET_PRIMARY,
    PARAM_VTAGS,
    SACK,
    SHUTDOWN_ACK,
)
from asyncsctp.wire.tlv import pack

REFUSED = causes.pack_copies(CAUSE_NO_AUTHORIZATION, (b"",))


def kinds_and_addresses(script: Mobile) -> list[tuple[int, str]]:
    return [(request.kind, request.address) for request in script.asked()[1].requests]


# Section 5.1, A.


def test_a1_a_request_names_the_address_and_has_a_correlation_id_of_its_own() -> None:
    script = Mobile()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    _, asconf = script.asked()
    assert [(each.kind, each.address) for each in asconf.requests] == [
        (PARAM_ADD_ADDRESS, OURS),
        (PARAM_DELETE_ADDRESS, LOCAL[0]),
    ]
    assert len({each.correlation for each in asconf.requests}) == 2


def test_a2_numbers_begin_with_the_initial_tsn_and_wrap() -> None:
    script = Mobile()
    numbers = []
    for _ in range(20):  # the initial TSN is just below the wrap
        script.association.asconf.request_primary(LOCAL[0])
        script.flush()
        numbers.append(script.asked()[1].number)
        script.acknowledge(numbers[-1])
    assert numbers == list(range(20))


def test_a3_c1_one_asconf_at_a_time() -> None:
    script = Mobile()
    tickets = [script.association.asconf.request_primary(LOCAL[0]) for _ in range(3)]
    script.flush()
    for number in range(3):
        assert script.asked()[1].number == number
        script.flush()
        script.expect_nothing()
        script.acknowledge(number)
        assert [ticket.is_done for ticket in tickets] == [each <= number for each in range(3)]


def test_a5_the_acknowledgement_stops_the_timer_and_clears_the_error_counters() -> None:
    script = Mobile()
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.advance(1.0)
    assert (script.path().error_count, script.association.path_manager.error_count) == (1, 1)
    script.take()
    script.acknowledge(0)
    assert (script.path().error_count, script.association.path_manager.error_count) == (0, 0)
    script.advance(100.0)
    script.expect_nothing()


def test_a6_an_error_is_told_with_its_cause() -> None:
    script = Mobile()
    ticket = script.association.asconf.add_local(OURS)
    told = []
    ticket.on_done = lambda: told.append(ticket.is_ok)
    script.flush()
    [request] = script.asked()[1].requests
    script.acknowledge(
        0, [pack_failure(request.correlation, causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (request.parameter,)))]
    )
    assert told == [False]
    assert ticket.is_done
    assert not ticket.is_ok
    assert isinstance(ticket.error, AsconfError)
    assert [cause.code for cause in ticket.error.causes] == [0xA1]
    assert str(ticket.error)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (("", ""), (True, True)),  # A8
        (("ok", "ok"), (True, True)),
        (("no", ""), (False, False)),  # A7: all after the failed one
        (("no", "ok"), (False, True)),  # but those that are said to have succeeded
        (("", "no"), (True, False)),  # A7: all before it
    ],
)
def test_a7_a8_what_is_not_said_of_each_request(answers: tuple[str, str], outcome: tuple[bool, bool]) -> None:
    script = Mobile(paths=2)
    script.association.asconf.change_local(OURS, LOCAL[1])
    script.flush()
    _, asconf = script.asked()
    responses = []
    for request, answer in zip(asconf.requests, answers, strict=True):
        if answer == "ok":
            responses.append(pack_success(request.correlation))
        elif answer == "no":
            responses.append(pack_failure(request.correlation, REFUSED))
    script.acknowledge(0, responses)
    sources = script.association.path_manager.local.sources
    assert (OURS in sources, LOCAL[1] not in sources) == outcome
    assert LOCAL[0] in sources


def test_a9_a_peer_that_does_not_know_asconf_is_asked_no_more() -> None:
    script = Mobile()
    tickets = [script.association.asconf.add_local(OURS), script.association.asconf.request_primary(LOCAL[0])]
    script.flush()
    packet, _ = script.asked()
    chunk = bytes([ASCONF, 0, 0, 4 + len(packet.one(ASCONF).value)]) + packet.one(ASCONF).value
    script.send(control.pack_error(causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, chunk)))
    assert all(ticket.is_done and not ticket.is_ok for ticket in tickets)
    script.advance(100.0)
    script.expect_nothing()
    with pytest.raises(AsconfError, match="understand"):
        script.association.asconf.request_primary(LOCAL[0])
    assert script.state is ESTABLISHED


def test_a9_another_unknown_chunk_has_nothing_to_do_with_it() -> None:
    script = Mobile()
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.send(control.pack_error(causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, b"\x82\0\0\4")))
    script.take()
    assert not ticket.is_done
    script.acknowledge(0)
    assert ticket.is_ok


# Section 5.1, B.


def test_b1_b3_b5_a_timeout_counts_against_the_path_and_backs_it_off() -> None:
    script = Mobile()
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    sent = [script.take()[0]]
    for _ in range(3):
        sent += script.wait()
    assert [packet.at - 100.0 for packet in sent] == [0.0, 1.0, 3.0, 7.0]
    assert script.path().error_count == 3
    assert len({packet.one(ASCONF).value for packet in sent}) == 1  # B4: unchanged


def test_b2_the_association_fails_when_it_is_never_answered() -> None:
    script = Mobile()
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.advance(2000.0)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationTimeout)
    assert ticket.is_done
    assert not ticket.is_ok
    assert len(script.take()) == 11


def test_b2_it_counts_where_no_data_can_leave_that_waits_for_an_answer() -> None:
    """With the only address of ours that it had the peer has lost us, and what is lost is not sent again."""
    script = Mobile()
    script.write(b"not acknowledged")
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.advance(2000.0)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationTimeout)
    assert len([packet for packet in script.take() if packet.all(ASCONF)]) == 11


def test_b4_it_is_sent_again_to_another_address() -> None:
    script = Mobile(paths=2)
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    sent = [script.take()[0], script.wait()[0], script.wait()[0]]
    assert {packet.to for packet in sent[:2]} == set(PEER)


def test_b4_an_addition_is_tried_from_the_new_address_too() -> None:
    """F1 lets ASCONF leave from there: the others may be of no use any more."""
    script = Mobile()
    script.association.asconf.add_local(OURS)
    script.flush()
    sent = [script.take()[0], script.wait()[0]]
    assert [packet.route.local for packet in sent] == [LOCAL[0], OURS]


def test_b4_an_address_that_the_peer_has_not_been_asked_to_delete_yet_may_bear_it() -> None:
    """One request waits for the other, and what the first leaves is of no use before the second was answered."""
    script = Mobile()
    asconf = script.association.asconf
    asconf.add_local(OURS)
    script.flush()
    script.acknowledge(0)
    script.take()
    asconf.remove_local(LOCAL[0])
    asconf.change_local("10.3.0.1", OURS)
    script.flush()
    assert {packet.route.local for packet in (script.take()[0], *script.wait(), *script.wait())} == {OURS, "10.3.0.1"}
    script.ask(prefer(PEER[0]), local=OURS)
    assert script.packets[-1].route.local == OURS
    script.take()
    script.acknowledge(1, local=OURS)
    assert script.asked()[0].route.local == "10.3.0.1"  # section 5.3.2, and from now on nothing else does
    script.ask(prefer(PEER[0]), local=OURS)
    assert script.packets[-1].route.local == "10.3.0.1"


# Section 5.1.1, C.


def test_c4_nothing_is_asked_before_the_association_is_up_or_after_its_end() -> None:
    script = Mobile()
    script.association.abort(script.now, b"")
    script.flush()
    with pytest.raises(AsconfError):
        _ = script.association.asconf
    other = Mobile(extensions=frozenset())
    with pytest.raises(AsconfError, match="negotiated"):
        _ = other.association.asconf


def test_c4_what_waits_when_the_association_is_shut_down_is_told_so() -> None:
    script = Mobile()
    tickets = [script.association.asconf.request_primary(LOCAL[0]) for _ in range(2)]
    script.flush()
    script.shutdown()  # SHUTDOWN-SENT: it may go on
    script.take()
    script.acknowledge(0)
    assert [ticket.is_done for ticket in tickets] == [True, False]
    script.send(control.pack_shutdown_ack())
    assert script.state is CLOSED
    assert str(tickets[1].error) == "the association has ended"


@pytest.mark.parametrize("is_answered", [False, True])
def test_c4_in_shutdown_ack_sent_nothing_is_asked(is_answered: bool) -> None:
    """RFC 9260 section 9.2: the SHUTDOWN ACK MUST be sent all the same. An answer may be under way."""
    script = Mobile()
    tickets = [script.association.asconf.request_primary(LOCAL[0]) for _ in range(2)]
    script.flush()
    script.take()
    script.send(control.pack_shutdown(script.ours(-1)))
    script.expect(SHUTDOWN_ACK)
    assert [(ticket.is_done, str(ticket.error)) for ticket in tickets] == [
        (False, "None"),
        (True, "the association is shutting down"),
    ]
    if is_answered:
        script.acknowledge(0)
        assert tickets[0].is_ok
    assert [packet.kinds for packet in script.wait()] == [[SHUTDOWN_ACK]]
    script.send(control.pack_shutdown_complete())
    assert script.user.error is None
    assert [ticket.is_done for ticket in tickets] == [True, True]


@pytest.mark.parametrize("what", ["add", "remove"])
@pytest.mark.parametrize("by_both", [False, True])
def test_c4_addresses_that_come_or_go_hold_up_no_shutdown_ack(what: str, by_both: bool) -> None:
    """It leaves from an address that the peer has in any case."""
    script = Mobile(paths=2)
    asconf = script.association.asconf
    ticket = asconf.add_local(OURS) if what == "add" else asconf.remove_local(LOCAL[0])
    script.flush()
    if by_both:
        script.shutdown()
    script.take()
    script.send(control.pack_shutdown(script.ours(-1)))
    for packet in [*script.take(), *script.wait(), *script.wait()]:
        assert packet.kinds == [SHUTDOWN_ACK]
        assert packet.route.local in (LOCAL if what == "add" else LOCAL[1:])
    script.send(control.pack_shutdown_complete())
    assert script.user.error is None
    assert str(ticket.error) == "the association has ended"


def test_f1_who_moves_while_the_peer_shuts_down_acknowledges_from_where_it_is_then() -> None:
    """Nothing but ASCONF may leave from the one address, nor from the other (F4)."""
    script = Mobile()
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.take()
    script.say(control.pack_shutdown(script.ours(-1)), local=OURS, genuine=False)
    script.expect_nothing()
    script.acknowledge(0, local=OURS)
    assert ticket.is_ok
    assert [(packet.kinds, packet.route.local) for packet in script.take()] == [([SHUTDOWN_ACK], OURS)]


def test_f1_so_does_who_has_shut_down_itself() -> None:
    script = Mobile()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.shutdown()
    script.take()
    script.say(control.pack_shutdown(script.ours(-1)), local=OURS, genuine=False)
    script.expect_nothing()
    assert [packet.all(ASCONF) != [] for packet in script.wait()] == [True]
    script.acknowledge(0, local=OURS)
    script.take()
    script.say(control.pack_shutdown(script.ours(-1)), local=OURS, genuine=False)
    assert [(packet.kinds, packet.route.local) for packet in script.take()] == [([SHUTDOWN_ACK], OURS)]


# Section 5.3.


def test_f0_an_answer_to_what_was_never_asked_aborts() -> None:
    script = Mobile()
    script.acknowledge(0)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationAborted)
    assert script.take()[-1].one(ABORT).causes == [(0xA3, b"")]


@pytest.mark.parametrize("ahead", [1, 0x7FFFFFFE])
def test_f0_so_does_one_from_ahead_of_the_one_under_way(ahead: int) -> None:
    script = Mobile()
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.take()
    script.acknowledge(ahead)
    assert script.state is CLOSED


def test_f0_an_old_one_is_ignored() -> None:
    script = Mobile()
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.acknowledge(0)
    script.acknowledge(0)
    script.acknowledge(-5)
    assert ticket.is_ok
    assert script.state is ESTABLISHED


def test_an_unauthenticated_answer_is_none() -> None:
    script = Mobile()
    ticket = script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.say(bytes.fromhex("80000008") + script.ours(0).to_bytes(4), genuine=False)
    assert not ticket.is_done


def test_f1_f2_a_new_address_is_no_source_before_the_peer_has_agreed() -> None:
    script = Mobile()
    ticket = script.association.asconf.add_local(OURS)
    script.flush()
    packet, _ = script.asked()
    assert packet.route.local == LOCAL[0]
    script.say(script.data(0), script.data(1), local=OURS, genuine=False)  # it is valid for what comes there
    assert script.user.messages
    assert [packet.route.local for packet in script.take()] == [LOCAL[0]]
    script.acknowledge(0)
    assert ticket.is_ok
    assert OURS in script.association.path_manager.local.sources
    script.say(script.data(2, flags=B | E | I), local=OURS, genuine=False)
    [packet] = script.take()
    assert packet.kinds == [SACK]
    assert packet.route.local == OURS


def test_f2_an_added_address_is_rotated_to_when_the_other_fails() -> None:
    script = Mobile()
    script.association.asconf.add_local(OURS)
    script.flush()
    script.acknowledge(0)
    script.take()
    script.write(b"message")
    sent = [script.take()[0], *(script.wait()[0] for _ in range(2))]
    assert [packet.route.local for packet in sent] == [LOCAL[0], LOCAL[0], OURS]


@pytest.mark.parametrize("what", ["add", "delete"])
def test_f3a_a_peer_that_understands_no_additions_is_asked_for_none(what: str) -> None:
    script = Mobile(paths=2)
    asconf = script.association.asconf
    ticket = asconf.add_local(OURS) if what == "add" else asconf.remove_local(LOCAL[1])
    script.flush()
    [request] = script.asked()[1].requests
    cause = causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [request.parameter])
    script.acknowledge(0, [pack_failure(request.correlation, cause)])
    assert not ticket.is_ok
    with pytest.raises(AsconfError):
        asconf.add_local("10.3.0.1")
    with pytest.raises(AsconfError):
        asconf.remove_local(LOCAL[1])
    asconf.request_primary(LOCAL[0])


def test_f3b_a_peer_that_understands_no_primaries_is_asked_for_none() -> None:
    script = Mobile()
    asconf = script.association.asconf
    asconf.request_primary(LOCAL[0])
    script.flush()
    [request] = script.asked()[1].requests
    cause = causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [request.parameter])
    script.acknowledge(0, [pack_failure(request.correlation, cause)])
    with pytest.raises(AsconfError):
        asconf.request_primary(LOCAL[0])
    asconf.add_local(OURS)


def test_f4_nothing_leaves_from_an_address_that_is_being_deleted() -> None:
    script = Mobile(paths=2)
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    packet, _ = script.asked()
    assert packet.route.local == LOCAL[1]
    script.say(script.data(0), script.data(1), genuine=False)  # to LOCAL[0], which is still valid
    assert len(script.user.messages) == 2
    script.write(b"message")
    assert {packet.route.local for packet in script.take()} == {LOCAL[1]}
    script.acknowledge(0, source=PEER[1], local=LOCAL[1])
    assert script.association.path_manager.local.sources == LOCAL[1:]


def test_f1_a_request_that_has_no_way_leaves_when_the_peer_is_where_it_says() -> None:
    """The peer has moved: nothing but HEARTBEATs may go there before it is verified. T4-rto need not run out then."""
    script = Mobile(paths=2)
    script.ask(add(NEW), delete(PEER[0]), delete(PEER[1]), source=NEW)
    script.advance(0.0)
    [probe] = [packet for packet in script.take() if packet.all(HEARTBEAT)]
    assert probe.to == NEW
    ticket = script.association.asconf.remove_local(LOCAL[1])
    script.flush()
    script.advance(0.4)
    script.expect_nothing()
    script.say(pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), source=NEW, genuine=False)
    packet, asconf = script.asked()
    assert (packet.to, packet.route.local, asconf.number) == (NEW, LOCAL[0], 0)
    script.advance(0.9)
    script.expect_nothing()
    script.acknowledge(0, source=NEW)
    assert ticket.is_ok


def test_f4_an_abort_to_an_address_that_is_being_deleted_is_ignored() -> None:
    """Section 5.3.1: the peer has deleted the address, and took for out of the blue what came from there."""
    script = Mobile(paths=2)
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    script.say(control.pack_abort(), genuine=False)
    tag = script.association.context.peer_tag
    script.send(control.pack_abort(reflected=True), tag=tag)
    assert so_far(script.state) is ESTABLISHED
    script.take()
    script.acknowledge(0, source=PEER[1], local=LOCAL[1])
    script.say(control.pack_abort(), source=PEER[1], local=LOCAL[1], genuine=False)
    assert script.state is CLOSED


@pytest.mark.parametrize("reflected", [False, True])
def test_f4_an_abort_counts_as_long_as_the_peer_was_not_asked_to_delete(reflected: bool) -> None:
    """It can't have deleted the address then, and what we ask for before may leave from there."""
    script = Mobile(paths=2)
    script.association.asconf.request_primary(LOCAL[1])
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    tag = script.association.context.peer_tag if reflected else None
    script.send(control.pack_abort(reflected=reflected), tag=tag)
    assert script.state is CLOSED


def test_f4_an_address_that_the_peer_does_not_delete_is_used_again() -> None:
    script = Mobile(paths=2)
    ticket = script.association.asconf.remove_local(LOCAL[1])
    script.flush()
    [request] = script.asked()[1].requests
    script.acknowledge(0, [pack_failure(request.correlation, REFUSED)])
    assert not ticket.is_ok
    assert set(script.association.path_manager.local.sources) == set(LOCAL)


def test_f5_the_last_address_stays() -> None:
    script = Mobile()
    with pytest.raises(ValueError, match="last"):
        script.association.asconf.remove_local(LOCAL[0])
    two = Mobile(paths=2)
    two.association.asconf.remove_local(LOCAL[0])
    with pytest.raises(ValueError, match="last"):  # although that one has not been deleted yet
        two.association.asconf.remove_local(LOCAL[1])


def test_f6_the_request_never_leaves_from_what_it_deletes() -> None:
    script = Mobile(paths=2)
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    packets = script.take()
    for _ in range(4):
        packets += script.wait()
    assert LOCAL[0] not in {packet.route.local for packet in packets if packet.all(ASCONF)}
    assert len(packets) >= 4


def test_f10_an_address_that_the_peer_refuses_is_not_used() -> None:
    script = Mobile()
    script.association.asconf.add_local(OURS)
    script.flush()
    [request] = script.asked()[1].requests
    script.acknowledge(
        0, [pack_failure(request.correlation, causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (request.parameter,)))]
    )
    assert script.association.path_manager.local.sources == LOCAL[:1]
    script.association.asconf.add_local(OURS)  # one may try again


# Section 5.3.2.


def test_a_single_homed_host_is_renumbered_from_its_new_address() -> None:
    script = Mobile()
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.write(b"before")
    packet, asconf = script.asked()  # and no DATA: neither address is a source
    assert packet.route.local == OURS
    assert asconf.address == LOCAL[0]
    script.acknowledge(0, local=OURS)
    assert ticket.is_ok
    [packet] = script.take()
    assert packet.kinds == [DATA]
    assert packet.route.local == OURS
    assert script.path().state is PathState.ACTIVE
    script.send(script.sack(0))
    script.say(script.data(0), script.data(1), local=OURS, genuine=False)
    assert {packet.route.local for packet in script.take()} == {OURS}


def test_what_was_under_way_when_a_host_is_renumbered_is_sent_again() -> None:
    script = Mobile()
    script.write(b"first")
    script.take()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.advance(1.5)
    assert all(packet.all(ASCONF) for packet in script.take())
    script.acknowledge(0, local=OURS)
    [packet] = script.take()
    assert (packet.tsns, packet.route.local) == ([0], OURS)


def test_a_renumbering_that_the_peer_refuses_leaves_the_old_address() -> None:
    script = Mobile()
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.write(b"message")
    _, asconf = script.asked()
    script.acknowledge(0, [pack_failure(request.correlation, REFUSED) for request in asconf.requests])
    assert not ticket.is_ok
    [packet] = script.take()
    assert (packet.tsns, packet.route.local) == ([0], LOCAL[0])


def test_a_peer_that_takes_the_old_address_and_does_not_give_the_new_one() -> None:
    """It may not (F11); the association tries on with what it had, and sees."""
    script = Mobile()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.write(b"message")
    _, asconf = script.asked()
    no, yes = asconf.requests
    script.acknowledge(0, [pack_failure(no.correlation, REFUSED), pack_success(yes.correlation)])
    [packet] = script.take()
    assert packet.route.local == LOCAL[0]


def test_a_heartbeat_to_the_new_address_is_answered_once_the_peer_has_agreed() -> None:
    script = Mobile()
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.take()
    script.say(control.pack_heartbeat(b"12345678"), local=OURS, genuine=False)
    script.expect_nothing()
    script.acknowledge(0, local=OURS)
    [packet] = script.take()
    assert packet.kinds == [HEARTBEAT_ACK]
    assert packet.route.local == OURS


def test_a_heartbeat_to_the_first_address_of_a_family_is_answered_once_the_peer_has_agreed() -> None:
    """It may come before the ASCONF-ACK, and be the only one for long; F1 bars the one address that can answer it."""
    theirs, ours = "2001:db8::2", "2001:db8::1"
    script = Mobile()
    script.ask(add(theirs))
    script.association.asconf.add_local(ours)
    script.flush()
    script.take()
    script.say(control.pack_heartbeat(b"too late"), source=theirs, local=ours, genuine=False)
    script.say(control.pack_heartbeat(b"12345678"), source=theirs, local=ours, genuine=False)
    script.expect_nothing()
    script.acknowledge(0)
    [answer] = [chunk for packet in script.take() if packet.route.local == ours for chunk in packet.all(HEARTBEAT_ACK)]
    assert answer.value == control.pack_heartbeat(b"12345678")[4:]


def test_an_association_that_is_renumbered_ends_if_nobody_answers() -> None:
    script = Mobile()
    ticket = script.association.asconf.change_local(OURS, LOCAL[0])
    script.write(b"message")
    script.advance(2000.0)
    assert script.state is CLOSED
    assert ticket.is_done
    assert not any(packet.all(DATA) for packet in script.take())


# Section 5.4, and draft natsupp.


def test_the_peer_is_asked_for_its_primary() -> None:
    script = Mobile(paths=2)
    ticket = script.association.asconf.request_primary(LOCAL[1])
    script.flush()
    assert kinds_and_addresses(script) == [(PARAM_SET_PRIMARY, LOCAL[1])]
    script.acknowledge(0)
    assert ticket.is_ok


@pytest.mark.parametrize("preferred", PEER)
def test_the_init_ack_may_name_the_primary(preferred: str) -> None:
    script = Mobile(paths=2, primary=preferred)
    assert script.association.path_manager.primary.route.address == preferred
    script.write(b"message")
    assert [packet.to for packet in script.take()] == [preferred]


def test_behind_a_nat_an_address_is_added_by_a_wildcard() -> None:
    """Draft natsupp section 6.6: from the address itself, and with the tags."""
    script = Mobile()
    ticket = script.association.asconf.add_local(OURS, wildcard=True)
    script.flush()
    packet, asconf = script.asked()
    assert packet.route.local == OURS
    assert asconf.address == "0.0.0.0"
    assert [(each.kind, each.address) for each in asconf.requests] == [
        (PARAM_ADD_ADDRESS, "0.0.0.0"),
        (PARAM_VTAGS, ""),
    ]
    context = script.association.context
    assert asconf.requests[1].tags == (context.local_tag, context.peer_tag)
    assert script.wait()[0].route.local == OURS
    script.acknowledge(0)
    assert ticket.is_ok
    assert OURS in script.association.path_manager.local.sources


def test_behind_a_nat_a_host_is_renumbered_by_wildcards() -> None:
    script = Mobile()
    ticket = script.association.asconf.change_local(OURS, LOCAL[0], wildcard=True)
    script.flush()
    packet, asconf = script.asked()
    assert packet.route.local == OURS
    assert [(each.kind, each.address) for each in asconf.requests] == [
        (PARAM_ADD_ADDRESS, "0.0.0.0"),
        (PARAM_DELETE_ADDRESS, "0.0.0.0"),
        (PARAM_VTAGS, ""),
    ]
    script.acknowledge(0, local=OURS)
    assert ticket.is_ok
    assert script.association.path_manager.local.sources == (OURS,)


def test_a_nat_that_has_lost_its_state_is_told_of_the_association() -> None:
    """Draft natsupp sections 6.4.2 and 8.4."""
    script = Mobile()
    ticket = script.association.asconf.recover(script.path(), LOCAL[0])
    script.flush()
    packet, asconf = script.asked()
    assert packet.route.local == LOCAL[0]
    assert [each.kind for each in asconf.requests] == [PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS, PARAM_VTAGS]
    assert PARAM_DISABLE_RESTART not in [each.kind for each in asconf.requests]
    unknown = causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [asconf.requests[2].parameter])
    responses = [pack_success(each.correlation) for each in asconf.requests[:2]]
    script.acknowledge(0, [*responses, pack_failure(asconf.requests[2].correlation, unknown)])
    assert ticket.is_ok  # VTags are for the NAT
    script.association.asconf.request_primary(LOCAL[0])


# What a caller may get wrong.


@pytest.mark.parametrize("address", ["nonsense", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", LOCAL[0]])
def test_addresses_that_can_not_be_added(address: str) -> None:
    script = Mobile()
    with pytest.raises(ValueError):
        script.association.asconf.add_local(address)
    script.flush()
    script.expect_nothing()


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    script = Mobile(paths=2)
    asconf = script.association.asconf
    asconf.add_local(OURS)
    asconf.remove_local(LOCAL[1])
    for address in (OURS, LOCAL[1]):
        with pytest.raises(ValueError, match="already"):
            asconf.add_local(address)
        for ask in (asconf.remove_local, asconf.request_primary):
            with pytest.raises(ValueError, match="must be one of"):
                ask(address)


def test_a_change_to_where_the_peer_is_not() -> None:
    script = Mobile()
    with pytest.raises(ValueError, match="reached"):
        script.association.asconf.change_local("2001:db8::1", LOCAL[0])
    script.flush()
    script.expect_nothing()


def test_an_address_of_another_family_can_be_added() -> None:
    script = Mobile()
    ticket = script.association.asconf.add_local("2001:db8::1")
    script.flush()
    assert kinds_and_addresses(script) == [(PARAM_ADD_ADDRESS, "2001:db8::1")]
    assert {packet.route.local for packet in (*script.wait(), *script.wait())} == {LOCAL[0]}
    script.acknowledge(0)
    assert ticket.is_ok


def test_a_silent_peer_is_not_probed_from_where_nothing_may_leave() -> None:
    script = Mobile(Config(heartbeat_interval=1.0, dynamic_addresses=True))
    script.association.asconf.change_local(OURS, LOCAL[0])
    script.flush()
    script.advance(10.0)
    assert {kind for packet in script.take() for kind in packet.kinds} & {HEARTBEAT, ERROR} == set()


def test_addresses_are_not_changed_while_the_association_ends() -> None:
    """While data or a SHUTDOWN of ours is under way they may be; later nobody would answer."""
    script = Mobile(paths=2)
    script.send(control.pack_shutdown(script.ours(-1)))
    with pytest.raises(AsconfError, match="addresses can't be changed in state shutdown-ack-sent"):
        script.association.asconf.remove_local(LOCAL[1])
    with pytest.raises(AsconfError, match="addresses can't be changed in state shutdown-ack-sent"):
        script.association.asconf.request_primary(LOCAL[1])
