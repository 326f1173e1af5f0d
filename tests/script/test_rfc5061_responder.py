"""RFC 5061 by its rules, on the side that is asked: section 5.2 D1 to D5, E1 to E7, V1 to V5, section 5.3 F7 to F14."""

from __future__ import annotations

import random

import pytest
from support.asconf_script import CHUNKS, NEW, OURS, Mobile, add, delete, prefer
from support.script import LOCAL, PEER, PEER_PORT, PEER_TSN, B, E, I, Script

from asyncsctp.config import Config
from asyncsctp.handlers.setup.negotiation import MAX_PEER_ADDRESSES
from asyncsctp.handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_RECEIVED, SHUTDOWN_SENT
from asyncsctp.path_state import PathState
from asyncsctp.paths.route import Route
from asyncsctp.wire import control, tlv
from asyncsctp.wire.asconf import pack_asconf, pack_asconf_ack, pack_disable_restart, pack_vtags
from asyncsctp.wire.constants import ASCONF_ACK, AUTH, DATA, HEARTBEAT, HEARTBEAT_ACK, SACK, SHUTDOWN, SHUTDOWN_ACK

THIRD = "10.3.0.2"
UNKNOWN = tlv.pack(0xF00A, b"\0\0\0\x09rest")


def state(script: Mobile) -> tuple[object, ...]:
    """What a packet from a stranger must not change."""
    paths = script.association.path_manager
    return (script.addresses, len(paths.by_id), sorted(paths._free), script.changes)


# Section 5.2, D: finding the association.


def test_d1_by_the_source_of_the_packet() -> None:
    script = Mobile(paths=2)
    script.ask(add(NEW), source=PEER[1], lookup="192.0.2.99")
    assert script.codes(PEER[1]) == []
    assert NEW in script.addresses


def test_d2_by_the_address_parameter() -> None:
    script = Mobile()
    script.ask(add(NEW), source=NEW, lookup=PEER[0])
    assert script.answer(NEW) == (0, [])
    assert script.addresses == [PEER[0], NEW]


def test_d2_by_a_wildcard() -> None:
    script = Mobile()
    script.ask(add("0.0.0.0"), source=NEW, lookup="0.0.0.0")
    assert script.answer(NEW) == (0, [])
    assert script.addresses == [PEER[0], NEW]


def test_d2_ext_by_the_address_parameter_of_another_in_the_packet() -> None:
    script = Mobile()
    first = script.asconf(add(NEW), lookup=THIRD)
    second = script.asconf(add(THIRD))
    script.say(first, second, source=NEW)
    assert script.addresses == [PEER[0], NEW, THIRD]


def test_d2_behind_an_answer_that_nobody_waits_for_any_more() -> None:
    """Who has moved may send both again in one packet."""
    script = Mobile()
    script.association.asconf.request_primary(LOCAL[0])
    script.flush()
    script.acknowledge(0)
    script.take()
    script.say(pack_asconf_ack(script.ours(0)), script.asconf(add(NEW)), source=NEW)
    assert script.answer(NEW) == (0, [])
    assert script.addresses == [PEER[0], NEW]


def test_d3_otherwise_it_is_out_of_the_blue() -> None:
    script = Mobile()
    before = state(script)
    script.ask(add(NEW), source=NEW, lookup=THIRD)
    script.expect_nothing()
    assert state(script) == before
    assert script.association.statistics.unexpected_chunks == 1


def test_an_address_that_is_only_heard_is_free_for_others_once_it_is_deleted() -> None:
    """RFC 9260 5.1.2 C has all addresses recorded that the peer lists, although not all are sent to."""
    script = Mobile()
    association = script.association
    assert association.context.setup is not None
    association.context.setup = association.context.setup._replace(further=(NEW, THIRD))
    script.endpoint._directory.bind(association)
    assert script.endpoint.find(NEW, PEER_PORT) is association
    script.ask(delete(NEW))
    assert script.answer() == (0, [])
    assert script.endpoint.find(NEW, PEER_PORT) is None
    assert script.endpoint.find(THIRD, PEER_PORT) is association


def test_d4_the_tag_must_be_right() -> None:
    script = Mobile()
    datagram = script.packet(script.authenticated(script.asconf(add(NEW))), tag=77)
    script.endpoint.receive(datagram, Route(LOCAL[0], NEW, 9899), script.now)
    script.flush()
    assert NEW not in script.addresses


@pytest.mark.parametrize("source", [PEER[0], NEW])
def test_d5_without_authentication_nothing_is_done(source: str) -> None:
    script = Mobile()
    before = state(script)
    script.say(script.asconf(add(NEW)), script.data(0), source=source, genuine=False)
    script.expect_nothing()
    assert state(script) == before
    assert not script.user.messages  # D5: nor is the rest of the packet processed


def test_d5_with_wrong_authentication_neither() -> None:
    script = Mobile()
    before = state(script)
    chunks = bytearray(script.authenticated(script.asconf(add(NEW))))
    chunks[20] ^= 1
    for source in (PEER[0], NEW):
        script.say(bytes(chunks), source=source, genuine=False)
    script.expect_nothing()
    assert state(script) == before


def test_a_source_that_is_not_added_is_answered_and_forgotten() -> None:
    script = Mobile()
    script.ask(add(THIRD), source=NEW)
    assert script.answer(NEW) == (0, [])
    assert script.addresses == [PEER[0], THIRD]
    script.say(script.data(0), source=NEW, genuine=False)
    assert not script.user.messages


def test_data_beside_the_request_is_taken_and_answered_where_the_peer_is_for_sure() -> None:
    script = Mobile()
    script.say(script.asconf(add(NEW)), script.data(0, flags=B | E | I), source=NEW)
    assert len(script.user.messages) == 1
    packets = script.take()
    assert [(packet.kinds, packet.to) for packet in packets] == [([AUTH, ASCONF_ACK], NEW), ([SACK], PEER[0])]


def test_strangers_leave_nothing_behind() -> None:
    script = Mobile()
    before = state(script)[0]
    for number in range(300):
        script.ask(prefer(PEER[0]), source=f"10.9.{number >> 8}.{number & 0xFF}")
    paths = script.association.path_manager
    assert script.addresses == before
    assert len(paths.by_id) <= 2


# E: numbers, and answers that come again.


def test_e1_e4_the_next_number_is_carried_out_and_answered() -> None:
    script = Mobile()
    for number in range(6):  # over the wrap
        script.ask(add(NEW) if number % 2 == 0 else delete(NEW))
        assert script.answer() == (number, [])
        assert (NEW in script.addresses) == (number % 2 == 0)


def test_e2_a_duplicate_is_answered_from_the_cache_and_not_carried_out() -> None:
    script = Mobile()
    script.ask(delete(PEER[0]))
    first = script.answer()
    script.ask(add(NEW))
    assert script.answer() == (1, [])
    script.say(script.asconf(add(NEW), number=PEER_TSN + 1 & 0xFFFFFFFF))
    assert script.answer() == (1, [])
    assert script.changes == [(NEW, "added")]
    assert first[1][0].causes[0].code == 0xA0


def test_e2_a_host_that_has_moved_on_before_it_got_the_answer_gets_it() -> None:
    """The chunk is the same (B4), so that its Address Parameter may be one that it deleted itself."""
    script = Mobile()
    request = script.asconf(add(NEW), delete(PEER[0]), number=PEER_TSN, lookup=PEER[0])
    script.say(request, source=NEW)
    assert script.answer(NEW) == (0, [])
    assert script.addresses == [NEW]
    before = script.changes
    script.say(request, source=THIRD)
    assert script.answer(THIRD) == (0, [])
    assert script.addresses == [NEW] and script.changes == before
    script.say(script.asconf(add(THIRD), delete(NEW), number=PEER_TSN + 1 & 0xFFFFFFFF, lookup=NEW), source=THIRD)
    assert script.answer(THIRD) == (1, [])
    assert script.addresses == [THIRD]


def test_e2_an_old_duplicate_is_not_answered() -> None:
    script = Mobile()
    for _ in range(3):
        script.ask(prefer(PEER[0]))
    script.take()
    script.say(script.asconf(add(NEW), number=PEER_TSN))
    script.expect_nothing()
    assert NEW not in script.addresses


@pytest.mark.parametrize("ahead", [1, 2, 0x7FFFFFFF])
def test_e5_a_number_from_ahead_is_discarded(ahead: int) -> None:
    script = Mobile()
    script.say(script.asconf(add(NEW), number=PEER_TSN + ahead & 0xFFFFFFFF))
    script.expect_nothing()
    assert NEW not in script.addresses


def test_e1_ext_e3_e6_several_in_a_packet_are_answered_in_one() -> None:
    script = Mobile()
    script.ask(add(NEW))
    script.take()  # the answer gets lost
    again = script.asconf(add(NEW), number=PEER_TSN)
    more = [script.asconf(add(THIRD)), script.asconf(delete(NEW)), script.asconf(prefer(THIRD))]
    script.say(again, *more)
    [packet] = [packet for packet in script.take() if packet.all(ASCONF_ACK)]
    numbers = [int.from_bytes(chunk.value[:4]) - PEER_TSN & 0xFFFFFFFF for chunk in packet.all(ASCONF_ACK)]
    assert numbers == [0, 1, 2, 3]
    assert script.addresses == [PEER[0], THIRD]
    script.say(again, *more)  # all of them are kept, not only the last
    [packet] = [packet for packet in script.take() if packet.all(ASCONF_ACK)]
    assert len(packet.all(ASCONF_ACK)) == 4


def test_e7_what_does_not_fit_the_pmtu_is_answered_when_it_comes_again() -> None:
    script = Mobile(Config(heartbeat_interval=None, dynamic_addresses=True, mtu=576))
    chunks = [script.asconf(*[delete("224.0.0.1", 10 * each + one) for one in range(10)]) for each in range(3)]
    script.say(*chunks)
    [packet] = script.take()
    assert packet.size <= 576 - 20 - 8 - 12
    assert len(packet.all(ASCONF_ACK)) < 3
    script.say(chunks[2])
    assert script.answer()[0] == 2


def test_an_answer_fits_the_pmtu_whatever_was_asked() -> None:
    script = Mobile(Config(heartbeat_interval=None, dynamic_addresses=True, mtu=576))
    script.ask(*[delete("224.0.0.1", number) for number in range(30)])
    packet = script.packets[-1]
    assert packet.size <= 576 - 20 - 8 - 12
    _, responses = script.answer()
    assert [response.correlation for response in responses] == list(range(30))
    assert not any(response.is_success for response in responses)


def test_a_batch_of_duplicates_is_answered_once() -> None:
    """CVE-2014-3688: they made an output queue grow."""
    script = Mobile()
    chunk = script.asconf(add(NEW))
    datagram = script.packet(script.authenticated(chunk))
    for _ in range(500):
        script.endpoint.receive(datagram, Route(LOCAL[0], PEER[0], 9899), script.now)
    script.flush()
    [packet] = [packet for packet in script.take() if packet.all(ASCONF_ACK)]
    assert len(packet.all(ASCONF_ACK)) == 1


# V: the answer.


def test_v1_requests_are_processed_in_order() -> None:
    script = Mobile()
    script.ask(prefer(NEW, 1), add(NEW, 2), prefer(NEW, 3))
    assert script.codes() == [5, 0, 0]  # section 5.4: what is not yet there is not made the primary
    assert script.association.path_manager.primary.route.address == NEW


def test_v2_what_is_unknown_is_reported() -> None:
    script = Mobile()
    script.ask(UNKNOWN, add(NEW))
    _, responses = script.answer()
    assert [response.is_success for response in responses] == [False, True]
    assert responses[0].causes[0].code == 8
    assert responses[0].causes[0].info == UNKNOWN
    assert NEW in script.addresses


def test_v3_correlation_ids_come_back() -> None:
    script = Mobile()
    script.ask(add("224.0.0.1", 0xDEADBEEF), UNKNOWN, delete(PEER[0], 0))
    assert [response.correlation for response in script.answer()[1]] == [0xDEADBEEF, 9, 0]


def test_what_nats_are_told_is_none_of_our_business() -> None:
    script = Mobile()
    script.ask(add("0.0.0.0", 1), pack_vtags(2, 1, 2), pack_disable_restart(), source=NEW, lookup="0.0.0.0")
    assert script.answer(NEW) == (0, [])
    script.ask(delete(THIRD), pack_vtags(2, 1, 2), pack_disable_restart(), delete("224.0.0.1", 4))
    assert [response.correlation for response in script.answer()[1]] == [2, 2, 4]


# Section 5.3.


def test_f7_the_last_address_is_not_deleted() -> None:
    script = Mobile()
    script.ask(delete(PEER[0]))
    [response] = script.answer()[1]
    assert [cause.code for cause in response.causes] == [0xA0]
    assert response.causes[0].info == delete(PEER[0])
    assert script.addresses == [PEER[0]]


def test_f7_nor_from_an_address_that_is_not_the_peers() -> None:
    script = Mobile()
    script.ask(delete(PEER[0]), source=NEW)
    assert script.codes(NEW) == [0xA0]
    script.ask(delete("0.0.0.0"), source=NEW)
    assert script.codes(NEW) == [0xA0]
    assert script.addresses == [PEER[0]]


def test_f8_the_source_of_the_packet_is_not_deleted() -> None:
    """CVE-2026-64564: it was, and the answer went over a path that was no more."""
    script = Mobile(paths=2)
    script.ask(delete(PEER[1]), source=PEER[1])
    assert script.codes(PEER[1]) == [0xA2]
    assert script.addresses == list(PEER)


def test_f9_there_is_a_limit_to_the_number_of_addresses() -> None:
    script = Mobile()
    for number in range(MAX_PEER_ADDRESSES - 1):
        script.ask(add(f"10.5.0.{number + 1}"))
    script.take()
    script.ask(add("10.5.0.100"), delete("10.5.0.1"), delete("10.5.0.2"))
    assert script.codes() == [0xA1, 0xA1, 0xA1]  # F11
    assert len(script.addresses) == MAX_PEER_ADDRESSES
    script.ask(delete("10.5.0.1"), add("10.5.0.100"))
    assert script.codes() == []


def test_f11_after_the_first_that_fails_no_other_is_carried_out() -> None:
    script = Mobile(paths=2)
    script.ask(delete(PEER[0], 1), add(NEW, 2), delete(PEER[1], 3), prefer(PEER[1], 4))
    assert script.codes() == [0xA2, 0xA1, 0xA1, 0]
    assert script.addresses == list(PEER)


def test_f12_the_primary_may_be_deleted() -> None:
    script = Mobile(paths=2)
    script.ask(delete(PEER[0]), source=PEER[1])
    assert script.codes(PEER[1]) == []
    assert script.changes == [(PEER[0], "removed"), (PEER[1], "primary")]
    script.write(b"message")
    assert [packet.to for packet in script.take()] == [PEER[1]]


def test_f13_a_deleted_address_is_no_part_of_the_association() -> None:
    script = Mobile(paths=2)
    script.write_packets(2)
    script.ask(delete(PEER[0]), source=PEER[1])
    script.take()
    script.say(script.data(0), genuine=False)
    script.say(control.pack_abort(), genuine=False)
    assert script.state is ESTABLISHED
    assert not script.user.messages
    script.advance(300.0)
    assert PEER[0] not in {packet.to for packet in script.take()}


def test_f14_an_added_address_is_verified_before_it_is_used() -> None:
    script = Mobile()
    script.ask(add(NEW), prefer(NEW))
    script.take()
    assert script.association.path_manager.find(NEW).state is PathState.UNCONFIRMED  # type: ignore[union-attr]
    script.write(b"message")
    script.say(script.data(0, flags=B | E | I), source=NEW, genuine=False)
    assert {packet.to for packet in script.take() if packet.kinds != [HEARTBEAT]} == {PEER[0]}
    script.advance(0.0)
    [probe] = [packet for packet in script.take() if packet.to == NEW] or [*script.wait(3.0)]
    assert probe.kinds == [HEARTBEAT]
    script.say(tlv.pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), source=NEW, genuine=False)
    assert (NEW, "confirmed") in script.changes
    script.take()
    script.write(b"message")
    assert [packet.to for packet in script.take()] == [NEW]


def test_a_renumbered_host_gets_nothing_but_a_heartbeat_until_it_is_verified() -> None:
    """Section 5.3.2, F1, F14: there is nowhere else to send to."""
    script = Mobile()
    script.write_packets(2)
    script.take()
    script.ask(add(NEW), delete(PEER[0]), source=NEW)
    assert script.addresses == [NEW]
    assert script.answer(NEW) == (0, [])
    script.write(b"message")
    script.say(script.data(0, flags=B | E | I), source=NEW, genuine=False)
    script.say(control.pack_heartbeat(b"12345678"), source=NEW, genuine=False)
    script.advance(0.5)
    packets = script.take()
    assert {packet.to for packet in packets} == {NEW}
    assert {kind for packet in packets for kind in packet.kinds} == {HEARTBEAT, HEARTBEAT_ACK}
    [probe] = [packet for packet in packets if HEARTBEAT in packet.kinds]
    script.say(tlv.pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), source=NEW, genuine=False)
    packets = script.take()
    assert {packet.to for packet in packets} == {NEW}
    assert [tsn for packet in packets for tsn in packet.tsns] == [0, 1, 2]
    assert any(packet.all(SACK) for packet in packets)


def test_a_renumbered_host_that_is_never_found_is_given_up() -> None:
    script = Mobile(Config(heartbeat_interval=30.0, dynamic_addresses=True))
    script.write(b"message")
    script.ask(add(NEW), delete(PEER[0]), source=NEW)
    for number in range(200):
        script.say(script.data(2 * number + 1), source=NEW, genuine=False)
    assert len(script.association.context.control) <= 32
    script.advance(3000.0)
    assert script.state is CLOSED
    assert all(not packet.all(DATA) for packet in script.take() if packet.to == NEW)


def test_wildcards_stand_for_the_source() -> None:
    script = Mobile(paths=2)
    script.ask(add("0.0.0.0", 1), delete("0.0.0.0", 2), prefer("0.0.0.0", 3), source=NEW, lookup="0.0.0.0")
    assert script.codes(NEW) == []
    assert script.addresses == [NEW]
    assert script.changes[-1] == (NEW, "primary")


@pytest.mark.parametrize("address", ["255.255.255.255", "224.0.0.1", "ff02::1"])
def test_addresses_that_are_none(address: str) -> None:
    script = Mobile()
    script.ask(add(address))
    assert script.codes() == [5]
    script.ask(delete(address))
    assert script.codes() == [5]
    script.ask(prefer(address))
    assert script.codes() == [5]
    assert script.addresses == [PEER[0]]


def test_an_address_of_a_family_that_we_do_not_have_waits_until_we_have() -> None:
    """Else two hosts with IPv4 could never give each other their IPv6 addresses."""
    script = Mobile()
    script.ask(add("2001:db8::2"), prefer("2001:db8::2"))
    assert script.codes() == []
    script.write(b"message")
    assert [packet.to for packet in script.take()] == [PEER[0]]
    script.ask(delete(PEER[0]), lookup="0.0.0.0", source=NEW)
    assert script.codes(NEW) == [0xA0]  # it would be the last that we can send to
    script.advance(200.0)
    assert {packet.to for packet in script.take()} == {PEER[0]}
    script.association.heartbeat("2001:db8::2", script.now)
    script.flush()
    assert script.user.heartbeats == [("2001:db8::2", None)]
    script.association.asconf.add_local("2001:db8::1")
    script.flush()
    script.take()
    script.acknowledge(0)
    script.advance(0.0)
    [probe] = [packet for packet in script.take() if packet.to == "2001:db8::2"]
    assert (probe.kinds, probe.route.local) == ([HEARTBEAT], "2001:db8::1")


def test_an_address_that_is_another_host_from_here() -> None:
    script = Mobile()
    script.ask(add("127.0.0.1"))
    assert script.codes() == [0xA4]


def test_an_address_that_is_there_already_or_gone_already() -> None:
    script = Mobile()
    script.ask(add(NEW), add(NEW), delete(THIRD))
    assert script.codes() == []
    assert script.addresses == [PEER[0], NEW]
    assert script.changes == [(NEW, "added")]


def test_another_associations_address_is_not_to_be_had() -> None:
    """RFC 5062 section 2: camping."""
    script = Mobile()
    other = script.endpoint.connect([NEW], 5001, script.now, type(script.user)("other"), udp_port=9899)
    script.flush()
    script.take()
    script.ask(add(NEW))
    assert script.codes() == [0xA4]
    assert script.endpoint.find(NEW, 5001) is other


def test_what_was_added_is_found_and_what_was_deleted_is_not() -> None:
    script = Mobile()
    script.ask(add(NEW))
    assert script.endpoint.find(NEW, 5001) is script.association
    script.ask(delete(NEW))
    assert script.endpoint.find(NEW, 5001) is None


# What a deleted path leaves behind.


def test_a_deleted_path_gives_up_its_timers_data_and_directed_messages() -> None:
    script = Mobile(Config(heartbeat_interval=5.0, dynamic_addresses=True), paths=2)
    script.write_packets(4)
    for _ in range(5):
        script.association.send(0, bytes(900), options={"path": PEER[0]})
    script.flush()
    script.take()
    script.association.heartbeat(PEER[0], script.now)
    script.say(script.data(0), genuine=False)
    script.say(script.data(1), genuine=False)  # for which a SACK is owed to PEER[0]
    script.take()
    script.ask(delete(PEER[0]), source=PEER[1])
    packets = script.take()
    assert {packet.to for packet in packets} == {PEER[1]}
    assert script.user.heartbeats == [(PEER[0], None)]
    acknowledged = -1
    for _ in range(20):
        sent = [tsn for packet in packets for tsn in packet.tsns]
        acknowledged = max([acknowledged, *sent])
        script.send(script.sack(acknowledged), source=1)
        packets = script.take()
    assert acknowledged == 8
    assert script.association.buffered == 0


def test_a_message_with_a_key_and_a_path_of_its_own_keeps_the_key() -> None:
    script = Mobile(paths=2)
    script.write_packets(4)
    script.association.send(0, bytes(900), options={"path": PEER[0], "auth_key": 0})
    script.flush()
    script.ask(delete(PEER[0]), source=PEER[1])
    packets = script.take()
    for tsn in range(4):
        script.send(script.sack(tsn), source=1)
        packets += script.take()
    [packet] = [packet for packet in packets if 4 in packet.tsns]
    assert (packet.to, packet.key) == (PEER[1], 0)


def test_data_that_was_acknowledged_by_gaps_can_be_reneged_on_after_its_path_is_deleted() -> None:
    script = Mobile(paths=2)
    script.write_packets(3)
    script.send(script.sack(-1, [(1, 2)]))
    script.ask(delete(PEER[0]), source=PEER[1])
    script.take()
    script.send(script.sack(0), source=1)
    script.advance(2.0)
    assert [packet.tsns for packet in script.take()] == [[1]]
    script.send(script.sack(1), source=1)
    assert [packet.tsns for packet in script.take()] == [[2]]


def test_numbers_of_paths_are_used_again() -> None:
    script = Mobile()
    for number in range(500):
        address = f"10.7.{number >> 8}.{number & 0xFF}"
        script.ask(add(address))
        script.write(b"message")
        script.ask(delete(address))
        script.take()
    paths = script.association.path_manager
    assert len(paths.by_id) == 2
    assert len(script.association._parts.established.sender.outstanding.in_flight) == 2


def test_an_old_heartbeat_ack_proves_nothing_of_a_path_with_its_number() -> None:
    script = Mobile()
    script.ask(add(NEW))
    script.advance(0.0)
    [probe] = [packet for packet in script.take() if packet.to == NEW and packet.all(HEARTBEAT)] or script.wait()
    script.ask(delete(NEW))
    script.ask(add(THIRD))
    script.say(tlv.pack(HEARTBEAT_ACK << 8, probe.one(HEARTBEAT).value), genuine=False)
    assert (THIRD, "confirmed") not in script.changes


# States, and bad input.


@pytest.mark.parametrize("by_us", [True, False])
def test_rfc9260_8_3_in_a_shutdown_only_what_the_peer_has_moved_to_is_probed(by_us: bool) -> None:
    """Its peer may be gone already, and would abort then what else would have ended well."""
    script = Script(Mobile().config, paths=2, listed=True, extensions=CHUNKS | {AUTH}, auth=CHUNKS)
    script.advance(0.5)
    assert script.path(1).state is PathState.UNCONFIRMED
    script.take()
    if by_us:
        script.shutdown()
    else:
        script.send(control.pack_shutdown(script.ours(-1)))
    script.advance(100.0)
    assert {kind for packet in script.take() for kind in packet.kinds} <= {SHUTDOWN, SHUTDOWN_ACK}


@pytest.mark.parametrize("by_us", [True, False])
def test_f14_what_the_peer_has_moved_to_is_verified_in_a_shutdown(by_us: bool) -> None:
    script = Mobile()
    script.ask(add(NEW))
    script.advance(0.5)
    script.take()
    if by_us:
        script.shutdown()
    else:
        script.send(control.pack_shutdown(script.ours(-1)))
    script.take()
    script.advance(1.0)
    script.verify(NEW)
    assert (NEW, "confirmed") in script.changes


@pytest.mark.parametrize("other", [SHUTDOWN_SENT, SHUTDOWN_RECEIVED])
def test_c4_addresses_may_change_while_the_association_is_shut_down(other: object) -> None:
    script = Mobile(paths=2)
    if other is SHUTDOWN_RECEIVED:
        script.write(b"message")
        script.send(control.pack_shutdown(script.ours(-1)))
    else:
        script.shutdown()
    assert script.state is other
    script.ask(delete(PEER[0]), source=PEER[1])
    assert script.codes(PEER[1]) == []
    script.advance(200.0)
    assert {packet.to for packet in script.take()} == {PEER[1]}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        "fffffffc",
        "fffffffc c0010010 00000001 00050008 0a020002",
        "fffffffc 00050008 0a000002 c0010003",
        "fffffffc 00050008 0a000002 c0010010 00000001 00050009 0a020002",
    ],
)
@pytest.mark.parametrize("source", [PEER[0], NEW])
def test_malformed_requests_are_dropped_and_counted(value: str, source: str) -> None:
    script = Mobile()
    before = state(script)[-1], script.addresses
    script.say(tlv.pack(0xC100, bytes.fromhex(value)), source=source)
    script.expect_nothing()
    assert (state(script)[-1], script.addresses) == before
    statistics = script.association.statistics
    assert statistics.malformed_packets + statistics.unexpected_chunks == 1
    script.ask(add(NEW))
    assert script.codes() == []


def test_where_it_was_not_negotiated_it_is_an_unknown_chunk() -> None:
    script = Mobile(Config(heartbeat_interval=None, auth=True), extensions=frozenset())
    script.say(pack_asconf(PEER_TSN, PEER[0], [add(NEW)]))
    assert [packet.chunks[-1].causes[0][0] for packet in script.take()] == [6]
    assert NEW not in script.addresses


def test_the_answer_does_not_leave_from_an_address_that_we_delete() -> None:
    """F4, E6."""
    script = Mobile(paths=2)
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    script.take()
    script.ask(add(NEW))
    [packet] = [packet for packet in script.take() if packet.all(ASCONF_ACK)]
    assert (packet.route.local, packet.to) == (LOCAL[1], PEER[0])


def test_both_sides_may_ask_at_the_same_time() -> None:
    script = Mobile()
    ticket = script.association.asconf.add_local(OURS)
    script.ask(add(NEW))
    assert NEW in script.addresses
    script.acknowledge(0)
    assert ticket.is_ok


def test_a_stranger_deletes_the_only_address_that_is_verified() -> None:
    script = Mobile()
    script.ask(add(NEW))
    script.ask(delete(PEER[0]), source=THIRD)
    assert script.addresses == [NEW]
    script.take()
    script.write(b"message")
    script.verify(NEW)
    assert [packet.to for packet in script.take() if packet.all(DATA)] == [NEW]


@pytest.mark.parametrize("seed", range(6))
def test_authenticated_garbage_disturbs_nothing(seed: int) -> None:
    """A peer that proves itself and talks nonsense: nothing raises, nothing grows, data goes on."""
    chance = random.Random(seed)
    script = Mobile(paths=2)
    addresses = [*PEER, NEW, THIRD, "0.0.0.0", "::", "2001:db8::2", "224.0.0.1", "10.0.0.1"]
    for tsn in range(400):
        parameters = [
            chance.choice((add, delete, prefer))(chance.choice(addresses), chance.randrange(9))
            for _ in range(chance.randrange(5))
        ]
        chunk = bytearray(script.asconf(*parameters, lookup=chance.choice(addresses)))
        if chance.random() < 0.5:
            chunk[chance.randrange(8, len(chunk))] = chance.randrange(256)
        script.say(bytes(chunk), source=chance.choice((*PEER, NEW, THIRD)))
        script.number = script.association._parts.need_asconf()._expected  # what could not be read comes again
        script.write(bytes([tsn & 0xFF]) * 100)
        if script.state is not ESTABLISHED:
            break
    assert script.state is ESTABLISHED
    paths = script.association.path_manager
    assert len(paths.paths) <= MAX_PEER_ADDRESSES
    assert len(paths.by_id) <= MAX_PEER_ADDRESSES + 1
    assert len(script.association.context.control) <= 32


def test_addresses_that_are_only_heard_can_be_deleted_too() -> None:
    """Section 4.2.2, where the peer listed more addresses than are sent to."""
    script = Mobile()
    context = script.association.context
    assert context.setup is not None
    context.setup = context.setup._replace(further=("198.51.100.1", "198.51.100.2", "198.51.100.3"))
    for number, address in enumerate(context.setup.further):
        script.say(script.data(number, b"heard"), source=address)
    assert len(script.user.messages) == 3
    script.ask(delete("198.51.100.2"))
    chunk = script.data(3)
    script.say(chunk, source="198.51.100.2")
    assert len(script.user.messages) == 3
    script.say(chunk, source="198.51.100.1")
    assert len(script.user.messages) == 4
    script.ask(delete("0.0.0.0"))
    for address in ("198.51.100.1", "198.51.100.3"):
        script.say(script.data(4, b"deleted"), source=address)
    assert len(script.user.messages) == 4


def test_of_many_requests_in_one_packet_the_last_are_remembered() -> None:
    """Section 5.2 E2 wants the answers of one packet kept; no more of them than a peer needs."""
    script = Mobile()
    requests = [script.asconf(prefer(LOCAL[0])) for _ in range(30)]
    script.say(*requests[:15])
    script.take()
    script.say(*requests[15:])
    script.take()
    script.say(requests[0])
    assert not [packet for packet in script.take() if packet.all(ASCONF_ACK)]
    script.say(requests[-1])
    assert script.answer()[0] == 29
