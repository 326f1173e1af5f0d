"""RFC 9260 section 12.4, and sections 3.2, 3.3.2 and 6.9: what we answer is small, and fits a packet of the path.

Everything that repeats the peer's bytes is a way to have us send more than a packet holds.
"""

from __future__ import annotations

from random import Random
from struct import pack
from typing import Any

import pytest
from support.endpoints import (
    ALL_STATES,
    OTHER,
    PEER_TSN,
    THERE,
    UDP,
    Packet,
    Solo,
    chunks,
    data,
    init_of,
    into,
    kinds,
    offer,
    victims,
)
from support.pair import Recorder
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_SENT
from asyncsctp.paths.route import Route
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import (
    ABORT,
    AUTH,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_RESTART_NEW_ADDRESSES,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_UNRESOLVABLE_ADDRESS,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    ERROR,
    HEARTBEAT_ACK,
    INIT_ACK,
    PARAM_HOST_NAME,
    PARAM_UNRECOGNIZED,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.init import pack_init
from asyncsctp.wire.reconfig import PERFORMED, pack_outgoing_reset, pack_reconfig, pack_response

MTUS = (576, 1280, 1500)
HEADERS = 20 + 8


def raw_init(*parameters: bytes, **changes: object) -> bytes:
    """An INIT with parameters that nobody knows, or knows better."""
    init = pack_init(offer(**changes), ack=False)
    body = init + b"".join(map(tlv.pad, parameters))
    return body[:2] + len(body).to_bytes(2) + body[4:]


def unknown(size: int) -> bytes:
    """A parameter whose type asks to be skipped and reported."""
    return tlv.pack(0xFFFF, bytes(size - 4))


def check_sizes(said: list[Packet], mtu: int) -> None:
    for _, packet in said:
        assert HEADERS + len(packet) <= mtu
        chunks(packet)  # which are well-formed


def named(chunk: bytes) -> list[tuple[int, bytes]]:
    """Code and information of the causes of an ABORT or ERROR."""
    return [(code, chunk[start:end]) for code, _, start, end in tlv.walk(chunk, 4, len(chunk))]


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("size", [4, 5, 8, 100, 400, 1000])
def test_unknown_parameters_are_reported_as_far_as_there_is_room(mtu: int, size: int) -> None:
    """Section 12.4: some or all of them MAY be omitted. None is cut (section 3.2.2)."""
    solo = Solo(config=Config(mtu=mtu))
    sent = [unknown(size)] * (4000 // size)
    ((_, answer),) = said = solo.receive(solo.packet(raw_init(*sent), tag=0))
    check_sizes(said, mtu)
    assert kinds(answer) == [INIT_ACK]
    reported = [
        answer[start:end]
        for kind, _, start, end in tlv.walk(answer, 12 + 20, len(answer))
        if kind == PARAM_UNRECOGNIZED
    ]
    assert set(reported) <= {unknown(size)[:size]}
    ack = init_of(answer)
    assert COOKIE_ACK in kinds(solo.say(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag)[0][1])
    ((_, answer),) = solo.receive(solo.packet(raw_init(unknown(4), unknown(4)), tag=0, peer_port=7))
    assert [kind for kind, *_ in tlv.walk(answer, 12 + 20, len(answer))].count(PARAM_UNRECOGNIZED) == 2


@pytest.mark.parametrize("mtu", MTUS)
def test_an_unknown_chunk_is_reported_as_far_as_there_is_room(mtu: int) -> None:
    solo = Solo(config=Config(mtu=mtu))
    solo.accept()
    ((_, answer),) = said = solo.say(tlv.pack(0xFE << 8, bytes(1300)))
    check_sizes(said, mtu)
    ((code, info),) = named(chunks(answer)[0])
    assert code == CAUSE_UNRECOGNIZED_CHUNK
    assert info[:4] == pack("!BBH", 0xFE, 0, 1304)


@pytest.mark.parametrize("mtu", MTUS)
def test_unknown_parameters_of_an_init_ack_are_reported_as_far_as_there_is_room(mtu: int) -> None:
    solo = Solo(config=Config(mtu=mtu), listening=False)
    solo.connect()
    init_ack = raw_init(*[unknown(100)] * 12)
    cookie = tlv.pack(7, b"cookie")
    init_ack = b"\2\0" + (len(init_ack) + len(cookie)).to_bytes(2) + init_ack[4:] + cookie
    ((_, answer),) = said = solo.say(init_ack)
    check_sizes(said, mtu)
    assert kinds(answer)[0] == COOKIE_ECHO
    for chunk in chunks(answer)[1:]:
        assert (chunk[0], named(chunk)[0][0]) == (ERROR, CAUSE_UNRECOGNIZED_PARAMETERS)


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("size", [20, 700, 1188, 3000])
@pytest.mark.parametrize("ack", [False, True])
def test_a_host_name_is_refused_in_a_packet(mtu: int, size: int, ack: bool) -> None:
    """Section 3.3.2.1.4: the parameter is in the ABORT where that has room for it."""
    solo = Solo(config=Config(mtu=mtu), listening=not ack)
    host_name = tlv.pack(PARAM_HOST_NAME, b"x" * size)
    if ack:
        solo.connect()
        init_ack = raw_init(host_name)
        said = solo.say(b"\2" + init_ack[1:])
    else:
        said = solo.receive(solo.packet(raw_init(host_name), tag=0))
    ((_, answer),) = said
    check_sizes(said, mtu)
    ((code, info),) = named(chunks(answer)[0])
    assert (chunks(answer)[0][0], code) == (ABORT, CAUSE_UNRESOLVABLE_ADDRESS)
    assert info in (b"", host_name)
    assert (info == b"") == (len(host_name) + 8 > mtu - HEADERS - 12 or len(host_name) > 1200)


@pytest.mark.parametrize("mtu", MTUS)
def test_new_addresses_of_a_restart_are_listed_as_far_as_there_is_room(mtu: int) -> None:
    solo = Solo(config=Config(mtu=mtu))
    association = solo.accept()
    addresses = (OTHER, *(f"2001:db8::{number:x}" for number in range(1, 60)))
    ((_, answer),) = said = solo.init(initiate_tag=77, addresses=addresses)
    check_sizes(said, mtu)
    ((_, answer),) = said = solo.init(initiate_tag=77, addresses=tuple(victims(64)))
    check_sizes(said, mtu)
    ((code, info),) = named(chunks(answer)[0])
    assert code == CAUSE_RESTART_NEW_ADDRESSES
    assert {length for _, at, _, end in tlv.walk(info, 0, len(info)) for length in (end - at,)} == {8}
    assert association.state is ESTABLISHED


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("size", [10, 500, 1200, 1410, 1800, 60_000])
def test_a_heartbeat_is_answered_if_the_answer_fits(mtu: int, size: int) -> None:
    """Cut, it would prove nothing to anybody; and a packet that is too large does not arrive."""
    solo = Solo(config=Config(mtu=mtu))
    solo.accept()
    value = bytes(control.pack_heartbeat(b"x" * size)[4:])
    said = solo.say(tlv.pack(4 << 8, value))
    check_sizes(said, mtu)
    fits = HEADERS + 12 + 4 + (len(value) + 3 & ~3) <= mtu
    assert [chunk for _, packet in said for chunk in chunks(packet)] == [tlv.pack(HEARTBEAT_ACK << 8, value)] * fits


def test_a_reason_of_our_user_is_cut_to_the_packet() -> None:
    solo = Solo(config=Config(mtu=576))
    association = solo.accept()
    association.abort(solo.now, b"because " * 200)
    solo.touch()
    ((_, answer),) = said = solo.take()
    check_sizes(said, 576)
    ((_, info),) = named(chunks(answer)[0])
    assert b"because because" in info
    assert len(answer) > 500


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("family", ["198.51.{}.7", "2001:db8::{}"])
def test_the_addresses_of_the_peer_are_recorded_as_far_as_there_is_room(mtu: int, family: str) -> None:
    addresses = tuple(family.format(number) for number in range(1, 65))
    ours = ("192.0.2.1", "192.0.2.77", "2001:db8::ffff")
    solo = Solo(config=Config(mtu=mtu), addresses=ours)
    ((_, answer),) = said = solo.init(addresses=addresses)
    check_sizes(said, mtu)
    ack = init_of(answer)
    solo.say(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag)
    assert solo.association.state is ESTABLISHED
    said = solo.say(tlv.pack(4 << 8, tlv.pack(1, b"x")), source=addresses[-1])
    assert [route.address for route, packet in said if HEARTBEAT_ACK in kinds(packet)] == [addresses[-1]]


def test_what_the_peer_says_of_authentication_is_recorded_or_refused() -> None:
    """It is part of the keys, so that it can't be cut (RFC 4895 section 6.1)."""
    solo = Solo(config=Config(mtu=576, auth=True))
    said = solo.init(auth=AuthParameters(bytes(32), bytes(range(256)), (1, 3)))
    check_sizes(said, 576)
    ((_, answer),) = said
    assert kinds(answer) == [INIT_ACK]
    ((_, answer),) = said = solo.init(auth=AuthParameters(bytes(32), bytes(range(256)), (1,) * 300))
    check_sizes(said, 576)
    assert kinds(answer) == [ABORT]
    assert named(chunks(answer)[0])[0][0] == CAUSE_OUT_OF_RESOURCE


# One packet at most is due to one packet.

UNKNOWN = tlv.pack(0xFE << 8, b"z" * 296)
HEARTBEAT = tlv.pack(4 << 8, tlv.pack(1, b"h" * 292))
CLAIMED = "198.51.100.66"


def of_control(said: list[Packet]) -> list[tuple[str, list[int]]]:
    """The packets with other chunks than DATA and SACK, and where they go."""
    found = [(route.address, kinds(packet)) for route, packet in said]
    return [(address, chunk_types) for address, chunk_types in found if set(chunk_types) - {DATA, SACK}]


@pytest.mark.parametrize(
    "items", [[UNKNOWN] * 8, [HEARTBEAT] * 20, [HEARTBEAT, UNKNOWN] * 10, [UNKNOWN, HEARTBEAT] * 10]
)
@pytest.mark.parametrize("source", [THERE, CLAIMED])
@pytest.mark.parametrize("local", ["192.0.2.1", "192.0.2.77"])
def test_one_packet_is_answered_by_one(items: list[bytes], source: str, local: str) -> None:
    """Be it one to several addresses: to one that is not verified no ERROR may go, and HEARTBEAT ACKs do."""
    solo = Solo(addresses=("192.0.2.1", "192.0.2.77"))
    solo.accept(addresses=(CLAIMED,))
    solo.wait(0.1)
    said = solo.receive(solo.packet(*items, data(PEER_TSN)), source, local=local)
    ((_, answer),) = of_control(said)
    assert len(answer) >= 3
    check_sizes(said, 1280)
    assert any(SACK in kinds(packet) for _, packet in said)


def test_packets_of_a_batch_are_answered_by_one_each() -> None:
    solo = Solo()
    solo.accept()
    packets = [solo.packet(*[HEARTBEAT] * 9), solo.packet(*[UNKNOWN] * 2), solo.packet(*[HEARTBEAT] * 9)] * 5
    solo.endpoint.receive_batch(packets, Route("192.0.2.1", THERE, UDP), solo.now)
    said = solo.take()
    check_sizes(said, 1280)
    assert 2 < len(of_control(said)) <= len(packets)


def test_a_shutdown_ack_during_the_handshake_is_answered_once_a_packet() -> None:
    """Section 8.5.1 E."""
    solo = Solo(listening=False)
    solo.connect()
    said = solo.say(*[control.pack_shutdown_ack()] * 30)
    assert [chunk_types for _, chunk_types in of_control(said)] == [[SHUTDOWN_COMPLETE]]


def test_an_abort_is_the_only_answer() -> None:
    solo = Solo()
    solo.accept()
    no_data = pack("!BBHIHHI", 0, 3, 16, PEER_TSN, 0, 0, 0)
    said = solo.say(HEARTBEAT, UNKNOWN, no_data)
    assert [chunk_types for _, chunk_types in of_control(said)] == [[ABORT]]


def test_what_is_to_be_authenticated_leaves_with_what_is_not() -> None:
    """RFC 4895 section 6.2: AUTH is for what stands behind it, and more may stand there than must."""
    config = Config(heartbeat_interval=None, auth=True)
    script = Script(config, auth=frozenset({RE_CONFIG}), extensions=frozenset({RE_CONFIG, AUTH}))
    reset = pack_reconfig([pack_outgoing_reset(script.theirs(0), 0, script.theirs(-1), (1,))])
    script.send(UNKNOWN, reset, UNKNOWN)
    script.expect(AUTH, ERROR, RE_CONFIG, ERROR)
    script.send(UNKNOWN)
    script.expect(ERROR)


@pytest.mark.parametrize("seed", range(150))
def test_nothing_is_answered_by_two_packets(seed: int) -> None:
    """Whatever comes in one packet, in whatever state, from whichever address."""
    chance = Random(seed)
    solo = Solo(addresses=("192.0.2.1", "192.0.2.77"), config=Config(mtu=chance.choice(MTUS)))
    association = into(solo, chance.choice(ALL_STATES))
    solo.wait(0.0)
    menu = [
        UNKNOWN,
        HEARTBEAT,
        tlv.pack(0x41 << 8, b"stop"),
        control.pack_shutdown_ack(),
        control.pack_shutdown(5),
        control.pack_shutdown_complete(),
        control.pack_cookie_ack(),
        control.pack_cookie_echo(b"cookie"),
        control.pack_error(causes.pack_stale_cookie(3)),
        control.pack_heartbeat_ack(b"x" * 20),
        data(PEER_TSN),
        data(PEER_TSN + 3),
        data(PEER_TSN + 1, sid=60000),
        tlv.pack(0xC0 << 8, pack("!I", PEER_TSN)),
        control.pack_ecne(4),
        tlv.pack(0xC1 << 8, pack("!I", 1)),
        tlv.pack(0x82 << 8, tlv.pack(13, pack("!III", PEER_TSN, 0, PEER_TSN - 1))),
        pack("!BBHIHHI", 0, 3, 16, PEER_TSN, 0, 0, 0),
    ]
    for _ in range(12):
        items = chance.choices(menu, k=chance.randrange(1, 30))
        tag = association.context.local_tag
        if chance.random() < 0.2 and association.state is not CLOSED:
            init = solo.packet(pack_init(offer(initiate_tag=chance.getrandbits(30) + 1), ack=False), tag=0)
            answers = solo.receive(init)
            if answers and kinds(answers[0][1]) == [INIT_ACK]:
                ack = init_of(answers[0][1])
                tag = ack.initiate_tag
                items.insert(0, control.pack_cookie_echo(ack.cookie or b""))
        source = chance.choice((THERE, OTHER))
        said = solo.receive(solo.packet(*items, tag=tag), source, local=chance.choice(solo.addresses))
        assert len(of_control(said)) <= 1, f"{[item[0] for item in items]}: {of_control(said)}"


# What one packet may cost.


@pytest.mark.parametrize(
    "chunk",
    [tlv.pack(9 << 8), *(tlv.pack(kind << 8, tlv.pack(1)) for kind in (4, 5, 0x84, 0xFE))],
    ids=["ERROR", "HEARTBEAT", "HEARTBEAT ACK", "PAD", "unknown"],
)
def test_only_so_many_control_chunks_of_a_packet_are_looked_at(chunk: bytes) -> None:
    """Data behind them has to come again, in a packet that is fit to be read."""
    solo = Solo()
    association = solo.accept()
    solo.say(*[chunk] * 32, data(PEER_TSN))
    assert len(solo.user.messages) == 1
    solo.say(*[chunk] * 33, data(PEER_TSN + 1, ssn=1))
    assert len(solo.user.messages) == 1
    assert (association.statistics.discarded_packets, association.statistics.malformed_packets) == (1, 0)
    solo.say(*[data(PEER_TSN + 1 + number, b"x", ssn=1 + number) for number in range(500)])
    assert len(solo.user.messages) == 501


# What we begin because its time has come is no answer: it leaves for where it is to go, whatever else does.

ASKED = tlv.pack(4 << 8, tlv.pack(1, b"asked"))
BESIDE = [(PEER[0], SHUTDOWN), (PEER[1], HEARTBEAT_ACK)]


def whereto(script: Script) -> list[tuple[str, int]]:
    return sorted((packet.to, kind) for packet in script.take() for kind in packet.kinds)


@pytest.mark.parametrize("first", [True, False])
def test_a_shutdown_that_becomes_due_leaves_beside_the_answer_to_another_path(first: bool) -> None:
    script = Script(paths=2)
    script.write(b"last")
    script.shutdown()
    script.expect(DATA)
    items = [ASKED, script.sack(0)]
    script.send(*(items if first else reversed(items)), source=1)
    assert whereto(script) == BESIDE
    assert script.state is SHUTDOWN_SENT


def test_a_shutdown_ack_that_becomes_due_leaves_beside_the_answer_to_another_path() -> None:
    script = Script(paths=2)
    script.write(b"last")
    script.send(control.pack_shutdown(script.ours(-1)))
    script.expect(DATA)
    script.send(ASKED, script.sack(0), source=1)
    assert whereto(script) == [(PEER[0], SHUTDOWN_ACK), (PEER[1], HEARTBEAT_ACK)]


def test_a_shutdown_that_our_user_begins_in_a_callback_leaves_beside_the_answer_to_another_path() -> None:
    class Leaving(Recorder):
        def on_message(self, *message: Any) -> None:
            script.association.shutdown(script.now)

    script = Script(paths=2, user=Leaving("the user"))
    script.send(ASKED, script.data(0), source=1)
    assert [entry for entry in whereto(script) if entry[1] != SACK] == BESIDE


def test_a_request_that_follows_another_leaves_beside_the_answer_to_another_path() -> None:
    """RFC 6525 section 5.2.7: its response lets the next one go, and so may a request of the peer."""
    script = Script(paths=2, extensions=frozenset({RE_CONFIG}))
    script.association.reconfig.add_streams(1, 0)
    script.association.reconfig.add_streams(2, 0)
    script.flush()
    script.expect(RE_CONFIG)
    reset = pack_outgoing_reset(script.theirs(0), script.ours(0), script.theirs(-1), (1,))
    script.send(ASKED, pack_reconfig([pack_response(script.ours(0), PERFORMED), reset]), source=1)
    assert (PEER[0], RE_CONFIG) in whereto(script)


def test_a_restart_goes_on_with_our_shutdown_beside_the_answer_to_another_path() -> None:
    """Section 5.2.4 action A: the COOKIE ACK goes to where the COOKIE ECHO came from."""
    solo = Solo()
    association = solo.accept(addresses=(OTHER,))
    association.shutdown(solo.now)
    solo.touch()
    solo.take()
    ((_, answer),) = solo.init(initiate_tag=77, addresses=(OTHER,))
    ack = init_of(answer)
    said = solo.say(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag, source=OTHER)
    assert of_control(said) == [(OTHER, [COOKIE_ACK, HEARTBEAT[0]]), (THERE, [SHUTDOWN])]
