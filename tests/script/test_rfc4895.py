"""RFC 4895: chunks that are authenticated, by section; RFC 6458 sections 6.1.8 and 8.3 for the keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from support.auth_reference import SHA_1, SHA_256, Authenticator
from support.endpoints import PEER_TAG, Solo, cause_of, chunks, data, init_of, kinds, offer
from support.narrowing import so_far
from support.script import PEER_RANDOM, B, E, Packet, Script

from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.events import AssociationRestarted, AuthKeyChanged
from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.auth import AuthParameters, pack_auth
from asyncsctp.wire.constants import (
    ABORT,
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_DELETE_LAST_ADDRESS,
    CAUSE_DELETE_SOURCE_ADDRESS,
    CAUSE_ILLEGAL_ASCONF_ACK,
    CAUSE_MISSING_PARAMETER,
    CAUSE_NO_AUTHORIZATION,
    CAUSE_PROTOCOL_VIOLATION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_UNSUPPORTED_HMAC,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    DATA_HEADER_SIZE,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
    INIT,
    INIT_ACK,
    PARAM_CHUNK_LIST,
    PARAM_HMAC_ALGORITHMS,
    PARAM_RANDOM,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.init import pack_init

NOTHING: frozenset[int] = frozenset()
ALL = frozenset(range(256)) - {INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH}
THEIRS = AuthParameters(PEER_RANDOM, None, (SHA_256, SHA_1))


def config(*demanded: int, **changes: object) -> Config:
    return Config(auth=True, auth_chunks=frozenset(demanded), heartbeat_interval=None).replace(**changes)


def script(*demanded: int, owed: frozenset[int] = NOTHING, **changes: object) -> Script:
    return Script(config(*demanded), auth=owed, **changes)  # type: ignore[arg-type]


def heard(script: Script) -> list[bytes]:
    return [message for _, _, _, message in script.user.messages]


def keys_told(script: Script) -> list[tuple[int, str]]:
    return [(event.key_id, event.what) for event in script.user.events if isinstance(event, AuthKeyChanged)]


# Section 3 and 6.1: what is said in the handshake.


def test_3_what_we_say_of_it() -> None:
    solo = Solo(listening=False, config=config(DATA, RE_CONFIG))
    said = solo.connect().auth
    assert said is not None
    assert (len(said.random), said.chunks, said.hmacs) == (32, bytes([DATA, RE_CONFIG]), (SHA_256, SHA_1))


@pytest.mark.parametrize(
    ("auth", "cause"),
    [
        (None, CAUSE_MISSING_PARAMETER),
        (AuthParameters(b"", None, (1,)), CAUSE_PROTOCOL_VIOLATION),  # it is there, and not of 32 bytes
        (AuthParameters(bytes(32), None, ()), CAUSE_MISSING_PARAMETER),
        (AuthParameters(bytes(32), None, (2, 4)), CAUSE_MISSING_PARAMETER),
        (AuthParameters(bytes(31), None, (1,)), CAUSE_PROTOCOL_VIOLATION),
        (AuthParameters(bytes(33), None, (1,)), CAUSE_PROTOCOL_VIOLATION),
        (AuthParameters(bytes(1024), None, (1,)), CAUSE_PROTOCOL_VIOLATION),
    ],
    ids=str,
)
def test_6_1_a_peer_that_does_not_say_all_is_refused_where_we_demand(auth: AuthParameters | None, cause: int) -> None:
    """The downgrade: whoever takes out what the peer says of authentication gets no association."""
    solo = Solo(config=config(DATA))
    ((_, answer),) = solo.init(auth=auth)
    assert kinds(answer) == [ABORT]
    assert cause_of(chunks(answer)[0]) == cause
    solo = Solo(listening=False, config=config(DATA))
    solo.connect()
    ((_, answer),) = solo.answer(auth=auth)
    assert kinds(answer) == [ABORT]
    assert solo.association.state is CLOSED


RANDOM = tlv.pack(PARAM_RANDOM, bytes(32))
CHUNKS = tlv.pack(PARAM_CHUNK_LIST, b"\0")
HMAC_ALGO = tlv.pack(PARAM_HMAC_ALGORITHMS, b"\0\1")


@pytest.mark.parametrize(
    "parameters",
    [
        RANDOM * 2 + HMAC_ALGO,
        RANDOM + HMAC_ALGO * 2,
        RANDOM + CHUNKS * 2 + HMAC_ALGO,
        RANDOM + tlv.pack(PARAM_HMAC_ALGORITHMS, b"\0\1\0"),
        tlv.pack(PARAM_RANDOM) + HMAC_ALGO,
    ],
    ids=["two RANDOM", "two HMAC-ALGO", "two CHUNKS", "half an identifier", "a random number of no bytes"],
)
def test_3_what_contradicts_itself_is_refused(parameters: bytes) -> None:
    solo = Solo(config=config(DATA))
    init = pack_init(offer(), ack=False)
    init = init[:2] + (len(init) + len(parameters)).to_bytes(2) + init[4:] + parameters
    ((_, answer),) = solo.receive(solo.packet(init, tag=0))
    assert kinds(answer) == [ABORT]
    assert cause_of(chunks(answer)[0]) == CAUSE_PROTOCOL_VIOLATION
    assert solo.users == []


def test_a_peer_that_returns_our_own_random_number_is_refused() -> None:
    """It could return our AUTH chunks then, and pass for one who knows the key."""
    solo = Solo(listening=False, config=config(DATA))
    said = solo.connect().auth
    ((_, answer),) = solo.answer(auth=said)
    assert kinds(answer) == [ABORT]


def test_without_demands_a_peer_that_lacks_it_is_taken_and_the_user_told() -> None:
    """RFC 6458 section 6.1.8: SCTP_AUTH_NO_AUTH."""
    script = Script(config())
    assert keys_told(script) == [(0, "no-auth")]
    script.send(script.data(0, b"plain"))
    assert heard(script) == [b"plain"]


def test_auth_that_was_not_negotiated_is_an_unknown_chunk() -> None:
    """Section 5: its type asks to be neither reported, nor to go on behind it."""
    script = Script()
    script.send(pack_auth(0, SHA_1, bytes(20)), script.data(0))
    assert heard(script) == []
    assert script.association.statistics.unknown_chunks == 1
    script.expect_nothing()


def test_6_1_all_hmacs_of_ours_are_taken_and_the_first_of_the_peer_is_sent() -> None:
    for hmacs, sent in (((SHA_1,), SHA_1), ((SHA_256, SHA_1), SHA_256), ((7, SHA_1, SHA_256), SHA_1)):
        each = script(DATA, owed=frozenset({DATA}), hmacs=hmacs)
        each.send(each.data(0, b"one"), auth=0, hmac=SHA_1)
        each.send(each.data(1, b"two"), auth=0, hmac=SHA_256)
        assert heard(each) == [b"one", b"two"]
        each.write(b"three")
        assert int.from_bytes(each.take()[-1].one(AUTH).value[2:4]) == sent


# Section 6.2: what we send.


def all_are_authenticated(packets: list[Packet]) -> bool:
    return all(packet.kinds[0] == AUTH for packet in packets)


def test_6_2_where_data_is_owed_all_packets_are_authenticated() -> None:
    script_ = script(owed=frozenset({DATA}))
    script_.write(b"a", b"b")
    packet = script_.expect(AUTH, DATA, DATA)
    assert packet.key == 0
    script_.send(script_.data(0), script_.data(1))
    script_.send(control.pack_heartbeat(b"hello"))
    script_.send(script_.sack(1))
    assert all_are_authenticated(script_.take())


@pytest.mark.parametrize("mtu", range(576, 604, 4))
@pytest.mark.parametrize("narrowed", [False, True])
def test_6_2_all_sizes_of_messages_leave_beside_auth(mtu: int, narrowed: bool) -> None:
    """Fragmentation MUST take the AUTH chunk into account; ICMP may bring a path of any size to such packets."""
    script_ = Script(config(mtu=1400 if narrowed else mtu), auth=frozenset({DATA}))
    if narrowed:
        script_.association.on_message_size(script_.path().route, mtu, script_.now)
    tsn = -1
    for size in range(440, 600, 3):
        script_.write(bytes(size))
        packets = script_.take()
        assert sum(len(chunk.data) for packet in packets for chunk in packet.all(DATA)) == size
        assert max(packet.size for packet in packets) + 12 + 8 + 20 <= mtu
        tsn = packets[-1].tsns[-1]
        script_.send(script_.sack(tsn), auth=0)


def test_6_2_what_is_sent_again_is_authenticated_again() -> None:
    script_ = script(owed=frozenset({DATA}))
    script_.write(b"lost")
    first = script_.expect(AUTH, DATA)
    again = script_.wait()[0]
    assert again.kinds == [AUTH, DATA]
    assert again.one(DATA) == first.one(DATA)


@pytest.mark.parametrize("hmac", [SHA_1, SHA_256])
def test_no_packet_is_larger_than_its_path_allows(hmac: int) -> None:
    plain = Script()
    script_ = script(owed=frozenset({DATA}), hmacs=(hmac, SHA_1))
    size = {SHA_1: 28, SHA_256: 40}[hmac]
    assert script_.payload == plain.payload - size
    assert script_.path().congestion.pmdcs == script_.payload
    script_.write(bytes(3 * script_.payload), bytes(script_.payload - DATA_HEADER_SIZE))
    packets = script_.take()
    assert max(packet.size for packet in packets) == plain.payload
    assert [packet.size for packet in packets[:3]] == [plain.payload] * 3


def test_where_only_a_rare_chunk_is_owed_it_alone_is_authenticated() -> None:
    script_ = script(owed=frozenset({RE_CONFIG}), extensions=frozenset({RE_CONFIG}))
    assert script_.payload == Script().payload
    script_.association.send(0, b"data")
    script_.association.reconfig.add_streams(1, 0)
    script_.flush()
    packets = script_.take()
    assert sorted(packet.kinds for packet in packets) == [[DATA], [AUTH, RE_CONFIG]]


def test_owed_chunks_do_not_overtake_what_was_queued_beside_them() -> None:
    script_ = script(owed=frozenset({SHUTDOWN_ACK}))
    script_.arrive(control.pack_heartbeat(b"hello"))
    script_.send(control.pack_shutdown(script_.ours(-1)))
    script_.expect_each([HEARTBEAT_ACK], [AUTH, SHUTDOWN_ACK])
    script_ = script(owed=frozenset({SHUTDOWN_ACK}))  # RFC 9260 section 12.4: one packet is answered by one
    script_.send(control.pack_heartbeat(b"hello"), control.pack_shutdown(script_.ours(-1)))
    script_.expect(AUTH, HEARTBEAT_ACK, SHUTDOWN_ACK)


@pytest.mark.parametrize("owed", [frozenset({ABORT}), frozenset({ABORT, DATA, SACK})])
def test_6_2_the_abort_at_the_end_is_authenticated(owed: frozenset[int]) -> None:
    script_ = script(owed=owed)
    script_.association.abort(script_.now, b"enough")
    script_.flush()
    script_.expect(AUTH, ABORT)


def test_6_2_a_shutdown_that_is_owed() -> None:
    script_ = script(owed=frozenset({SHUTDOWN, SHUTDOWN_ACK}))
    script_.shutdown()
    assert [packet.kinds for packet in script_.take() if SHUTDOWN in packet.kinds] == [[AUTH, SHUTDOWN]]
    script_.send(control.pack_shutdown_ack())
    assert script_.state is CLOSED
    script_ = script(owed=frozenset({SHUTDOWN, SHUTDOWN_ACK}))
    script_.send(control.pack_shutdown(script_.ours(-1)))
    script_.expect(AUTH, SHUTDOWN_ACK)


def test_7_a_cookie_echo_that_is_owed_and_one_that_is_not() -> None:
    for owed, expected in ((frozenset({COOKIE_ECHO}), [AUTH, COOKIE_ECHO]), (frozenset({DATA}), [COOKIE_ECHO])):
        script_ = Script(config(), auth=owed, up=False)
        init = script_.expect_raw(INIT)
        assert init.auth is not None
        said = THEIRS._replace(chunks=bytes(sorted(owed)))
        script_.authenticator = Authenticator((init.auth, said), {0: b""})
        script_.send(pack_init(offer(cookie=b"cookie", auth=said), True), tag=init.initiate_tag)
        script_.expect(*expected)
        script_.advance(script_.rto)
        script_.expect(*expected)  # and again


# Section 6.3: what we take.


def test_6_3_what_must_be_authenticated_is_silently_discarded_without() -> None:
    script_ = script(DATA)
    script_.send(script_.data(0, b"forged"), script_.data(1, b"forged too"))
    assert heard(script_) == []
    assert script_.association.statistics.unauthenticated_chunks == 2
    script_.expect_nothing()
    script_.send(script_.data(0, b"genuine", ssn=0), auth=0)
    assert heard(script_) == [b"genuine"]


def test_6_3_only_that_is_discarded() -> None:
    script_ = script(DATA)
    script_.send(control.pack_heartbeat(b"hello"), script_.data(0), control.pack_heartbeat(b"again"))
    assert [packet.kinds for packet in script_.take()] == [[HEARTBEAT_ACK, HEARTBEAT_ACK]]
    script_.send(control.pack_heartbeat(b"hello"), script_.authenticated(script_.data(0, ssn=0)))
    assert heard(script_) == [b"data"]


def test_5_1_what_stands_before_auth_is_not_authenticated() -> None:
    script_ = script(HEARTBEAT)
    script_.send(control.pack_heartbeat(b"before"), script_.authenticated(control.pack_heartbeat(b"behind")))
    answer = script_.expect(HEARTBEAT_ACK).one(HEARTBEAT_ACK)
    assert b"behind" in answer.value


def test_5_1_a_second_auth_chunk_ends_the_packet() -> None:
    script_ = script(DATA)
    inner = script_.authenticated(script_.data(1, b"two", ssn=1))
    script_.send(script_.data(0, b"one", ssn=0), inner, auth=0)
    assert heard(script_) == [b"one"]
    statistics = script_.association.statistics
    assert (statistics.discarded_packets, statistics.malformed_packets) == (1, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packet: packet[:12] + bytes([packet[12] ^ 1]) + packet[13:],
        lambda packet: packet[:-1] + bytes([packet[-1] ^ 1]),
        lambda packet: packet[:4] + b"\0\7" + packet[6:],  # a key that there is not
        lambda packet: packet + packet[-20:],
    ],
    ids=["HMAC", "data", "key", "one chunk more"],
)
def test_6_3_what_is_wrong_is_silently_discarded_with_all_that_follows(spoil: Callable[[bytes], bytes]) -> None:
    script_ = script(DATA)
    packet = script_.authenticated(control.pack_heartbeat(b"unguarded"), script_.data(0, b"data"))
    script_.send(spoil(packet))
    script_.expect_nothing()
    assert heard(script_) == []
    assert script_.association.statistics.auth_failures == 1


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 16, 24, 28, 60, 1000])
def test_auth_chunks_of_odd_sizes_disturb_nothing(size: int) -> None:
    """CVE-2020-6831: it is read before anything is authenticated."""
    script_ = script(DATA)
    chunk = tlv.pack(AUTH << 8, b"\0\0\0\3"[:size] + bytes(max(size - 4, 0)))
    script_.send(chunk, script_.data(0))
    assert heard(script_) == []
    assert script_.state is ESTABLISHED
    statistics = script_.association.statistics
    assert statistics.malformed_packets + statistics.auth_failures == 1


def test_6_3_an_hmac_that_we_did_not_list_is_told() -> None:
    script_ = Script(config(DATA, auth_hmacs=(SHA_1,)), auth=NOTHING)
    packet = script_.authenticated(script_.data(0), hmac=SHA_256)
    script_.send(packet)
    assert heard(script_) == []
    [(code, info)] = script_.expect(ERROR).one(ERROR).causes
    assert (code, info) == (CAUSE_UNSUPPORTED_HMAC, b"\0\3")
    assert script_.association.statistics.auth_failures == 1


def test_a_flood_of_wrong_auth_chunks_costs_no_memory_and_no_answers() -> None:
    script_ = script(DATA)
    wrong = pack_auth(0, SHA_256, bytes(32))
    for _ in range(1000):
        script_.arrive(wrong, script_.data(0))
    script_.flush()
    script_.expect_nothing()
    assert script_.association.statistics.auth_failures == 1000


@pytest.mark.parametrize("seed", range(4))
def test_who_changes_packets_on_their_way_changes_nothing_else(seed: int) -> None:
    """All is to be authenticated: nothing but what the peer sent, as it sent it, has any effect."""
    chance = random.Random(seed)
    script_ = script(*ALL)
    genuine = script_.authenticated(
        control.pack_heartbeat(b"hello"), script_.data(0, b"data", ssn=0), script_.data(1, b"more", ssn=1)
    )
    for _ in range(1500):
        changed = bytearray(genuine)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(changed))
            kind = chance.randrange(4)
            if kind == 0:
                del changed[at : at + chance.randint(1, 8)]
            elif kind == 1:
                changed[at:at] = chance.randbytes(chance.randint(1, 8))
            else:
                changed[at] ^= 1 << chance.randrange(8)
            changed = changed or bytearray(b"\0")
        if not bytes(changed).startswith(genuine):
            script_.arrive_raw(script_.packet(bytes(changed)))
    script_.flush()
    assert heard(script_) == []
    assert script_.state is ESTABLISHED
    assert {kind for packet in script_.take() for kind in packet.kinds} <= {ERROR}  # an HMAC that we don't have
    script_.send(genuine)
    assert heard(script_) == [b"data", b"more"]


def test_9_key_0_is_not_taken_where_keys_are_configured() -> None:
    script_ = Script(
        config(DATA, auth_keys={1: b"one"}, auth_active_key=1),
        auth=frozenset({DATA}),
        keys={0: b"", 1: b"one"},
        up=False,
    )
    script_.set_up(1)
    script_.send(script_.data(0, b"from nobody"), auth=0)
    assert heard(script_) == []
    script_.send(script_.data(0, b"from a friend", ssn=0), auth=1)
    assert heard(script_) == [b"from a friend"]
    script_.write(b"mine")
    assert script_.take()[-1].key == 1


@pytest.mark.parametrize("kind", [ASCONF, ASCONF_ACK])
def test_rfc5061_d5_an_asconf_without_takes_the_rest_of_the_packet_with_it(kind: int) -> None:
    script_ = Script(config(dynamic_addresses=True), auth=NOTHING, extensions=frozenset({ASCONF, ASCONF_ACK}))
    script_.send(tlv.pack(kind << 8, bytes(12)), script_.data(0))
    assert heard(script_) == []
    assert script_.association.statistics.unauthenticated_chunks == 1
    script_.expect_nothing()


def test_6_3_an_abort_ends_nothing_without() -> None:
    script_ = script(ABORT)
    script_.send(control.pack_abort())
    script_.send(control.pack_abort(reflected=True), tag=script_.association.context.peer_tag)
    assert so_far(script_.state) is ESTABLISHED
    assert script_.association.statistics.unauthenticated_chunks == 2
    script_.send(control.pack_abort(), auth=0)
    assert script_.state is CLOSED


def test_6_3_nor_does_what_would_make_us_abort() -> None:
    """If the receiver wants to tear down an association in an authenticated way only, malformed packets don't."""
    for authenticated in (False, True):
        script_ = script(ABORT)
        script_.write(b"one")
        script_.take()
        script_.send(script_.sack(7), auth=0 if authenticated else None)
        assert script_.state is (CLOSED if authenticated else ESTABLISHED)
        script_ = script(ABORT)
        script_.send(script_.data(0, b""), auth=0 if authenticated else None)
        assert script_.state is (CLOSED if authenticated else ESTABLISHED)


# Sections 6.3 and 7: COOKIE ECHO.


class Listener(Solo):
    """A listening endpoint, and what it takes to authenticate towards it."""

    def __init__(self, *demanded: int, key: bytes = b"", **changes: object) -> None:
        super().__init__(config=config(*demanded, **changes))
        self.key = key

    def begin(self, chunks: bytes | None = None, **changes: Any) -> tuple[int, bytes, Authenticator]:
        """After the INIT ACK: its tag, the COOKIE ECHO for it, and the keys."""
        said = THEIRS._replace(chunks=chunks)
        ((_, answer),) = self.init(auth=said, **changes)
        ack = init_of(answer)
        assert ack.auth is not None
        key_id = self.endpoint.config.auth_active_key
        authenticator = Authenticator((said, ack.auth), {key_id: self.key, 0: self.key, 77: b""})
        return ack.initiate_tag, control.pack_cookie_echo(ack.cookie or b""), authenticator


def test_7_cookie_echo_auth_data() -> None:
    solo = Listener(DATA)
    tag, echo, keys = solo.begin()
    first = data(1000, b"authenticated")
    answers = solo.say(echo, keys.auth(first), first, tag=tag)
    assert kinds(answers[0][1])[0] == COOKIE_ACK
    assert [message for _, _, _, message in solo.user.messages] == [b"authenticated"]


def test_7_the_data_behind_a_cookie_echo_is_discarded_without_auth() -> None:
    solo = Listener(DATA)
    tag, echo, _ = solo.begin()
    solo.say(echo, data(1000, b"forged"), tag=tag)
    assert solo.association.state is ESTABLISHED
    assert solo.user.messages == []
    assert solo.association.statistics.unauthenticated_chunks == 1


def test_6_3_auth_cookie_echo_data_makes_an_association_and_all_is_authenticated() -> None:
    solo = Listener(COOKIE_ECHO, DATA, auth_keys={5: b"known to friends"}, auth_active_key=5, key=b"known to friends")
    tag, echo, keys = solo.begin()
    rest = echo + data(1000, b"welcome")
    solo.say(keys.auth(rest, 5), rest, tag=tag)
    assert solo.association.state is ESTABLISHED
    assert [message for _, _, _, message in solo.user.messages] == [b"welcome"]


def test_6_3_only_those_with_the_key_are_let_in() -> None:
    solo = Listener(COOKIE_ECHO, auth_keys={5: b"known to friends"}, auth_active_key=5, key=b"guessed")
    tag, echo, keys = solo.begin()
    assert solo.say(echo, tag=tag) == []
    for key_id in (5, 0, 77):
        assert solo.say(keys.auth(echo, key_id), echo, tag=tag) == []
    assert solo.say(pack_auth(5, SHA_256, b""), echo, tag=tag) == []
    assert solo.users == []
    assert solo.endpoint.statistics.cookies_rejected == 5


def test_6_3_a_cookie_echo_with_auth_where_none_was_negotiated_is_not_read() -> None:
    solo = Solo(config=config())
    ack, _ = solo.cookie()
    echo = control.pack_cookie_echo(ack.cookie or b"")
    assert solo.say(pack_auth(0, SHA_1, bytes(20)), echo, tag=ack.initiate_tag) == []
    assert solo.users == []


def established(solo: Listener, **changes: object) -> tuple[Association, Authenticator]:
    tag, echo, keys = solo.begin(**changes)  # type: ignore[arg-type]
    solo.say(keys.auth(echo), echo, tag=tag)
    assert solo.association.state is ESTABLISHED
    return solo.association, keys


def test_6_3_a_restart_takes_the_keys_of_the_association_before_it() -> None:
    solo = Listener(COOKIE_ECHO, DATA)
    association, before = established(solo)
    tag, echo, after = solo.begin(initiate_tag=PEER_TAG + 1)
    assert solo.say(echo, tag=tag) == []
    assert solo.say(after.auth(echo), echo, tag=tag) == []
    assert association.statistics.restarts == 0
    answers = solo.say(before.auth(echo), echo, tag=tag)
    assert COOKIE_ACK in kinds(answers[0][1])
    assert association.statistics.restarts == 1
    assert any(isinstance(event, AssociationRestarted) for event in solo.user.events)
    for keys, taken in ((before, []), (after, [b"new"])):  # after this operation both use the new one
        chunk = data(1000, b"new")
        solo.say(keys.auth(chunk), chunk, tag=tag)
        assert [message for _, _, _, message in solo.user.messages] == taken


def test_a_restart_of_an_association_whose_cookie_echoes_need_no_keys() -> None:
    solo = Listener(DATA)
    association, _ = established(solo)
    association.authentication.set_key(4, b"four")
    association.authentication.activate(4)
    tag, echo, keys = solo.begin(bytes([DATA]), initiate_tag=PEER_TAG + 1)
    keys.keys = {4: b"four", 0: b""}
    chunk = data(1000, b"new")
    solo.say(echo, keys.auth(chunk, 4), chunk, tag=tag)
    assert association.statistics.restarts == 1
    assert [message for _, _, _, message in solo.user.messages] == [b"new"]  # keys that the user set survive
    association.send(0, b"mine")
    solo.touch()
    ((_, packet),) = solo.take()
    assert keys.key_of(packet[12:]) == 4


def test_a_restart_may_not_drop_authentication() -> None:
    solo = Listener(DATA)
    established(solo)
    ((_, answer),) = solo.init(initiate_tag=PEER_TAG + 1)
    assert kinds(answer) == [ABORT]
    assert solo.association.state is ESTABLISHED


def test_a_late_cookie_echo_of_this_very_association_is_answered() -> None:
    """Action D, with AUTH in front of it under our tag."""
    solo = Listener(COOKIE_ECHO)
    tag, echo, keys = solo.begin()
    solo.say(keys.auth(echo), echo, tag=tag)
    answers = solo.say(keys.auth(echo), echo, tag=tag)
    assert kinds(answers[0][1]) == [COOKIE_ACK]
    assert solo.say(echo, tag=tag) == []
    assert solo.association.statistics.unauthenticated_chunks == 1


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED], ids=str)
def test_collisions_with_auth(state: object) -> None:
    """Section 6.1: which random number counts is told by the same table as which tag does."""
    solo = Listener(COOKIE_ECHO, DATA)
    solo.connect()
    if state is COOKIE_ECHOED:
        solo.answer(auth=THEIRS)
    tag, echo, keys = solo.begin()
    assert tag == solo.association.context.local_tag
    assert [kinds(packet) for _, packet in solo.say(echo, tag=tag)] == []
    assert solo.association.state is state
    rest = echo + data(1000, b"hello")
    answers = solo.say(keys.auth(rest), rest, tag=tag)
    assert COOKIE_ACK in kinds(answers[0][1])
    assert solo.association.state is ESTABLISHED
    assert [message for _, _, _, message in solo.user.messages] == [b"hello"]
    chunk = data(1001, b"again", ssn=1)
    solo.say(keys.auth(chunk), chunk, tag=tag)
    assert len(solo.user.messages) == 2


def test_5_2_4_action_b_brings_another_random_number() -> None:
    """CVE-2015-1421: keys of the one before are not used any more."""
    solo = Listener(DATA)
    solo.connect()
    solo.answer(auth=THEIRS._replace(random=b"y" * 32))
    other = THEIRS._replace(random=b"z" * 32)
    ((_, answer),) = solo.init(auth=other, initiate_tag=PEER_TAG + 9)
    ack = init_of(answer)
    assert ack.auth is not None
    keys = Authenticator((other, ack.auth), {0: b""})
    solo.say(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag)
    chunk = data(1000, b"hello")
    solo.say(keys.auth(chunk), chunk)
    assert [message for _, _, _, message in solo.user.messages] == [b"hello"]


def test_action_b_after_the_association_is_up() -> None:
    """The peer's second INIT said the same but for its tag and its random number; so both cookies are good."""
    solo = Listener(DATA)
    solo.connect()
    tag, first, before = solo.begin()
    said = THEIRS._replace(random=b"z" * 32)
    ((_, answer),) = solo.init(auth=said, initiate_tag=PEER_TAG + 9)
    ack = init_of(answer)
    assert ack.auth is not None
    after = Authenticator((said, ack.auth), {0: b""})
    solo.say(first, tag=tag)
    solo.say(control.pack_cookie_echo(ack.cookie or b""), tag=tag)
    assert solo.association.statistics.restarts == 0
    for keys, taken in ((before, 0), (after, 1)):
        chunk = data(1000, b"hello")
        solo.say(keys.auth(chunk), chunk)
        assert len(solo.user.messages) == taken


def test_the_data_behind_a_cookie_echo_in_a_collision_is_discarded_without_auth() -> None:
    solo = Listener(DATA)
    solo.connect()
    tag, echo, keys = solo.begin()
    first = data(1000, b"hello")
    solo.say(echo, first, tag=tag)
    assert solo.association.state is ESTABLISHED
    assert solo.user.messages == []
    solo.say(echo, keys.auth(first), first, tag=tag)
    assert len(solo.user.messages) == 1


def test_once_a_cookie_was_stale_there_are_no_keys_until_the_next_init_ack() -> None:
    solo = Solo(listening=False, config=config(ABORT))
    solo.connect()
    solo.answer(auth=THEIRS)
    solo.say(control.pack_abort())
    assert so_far(solo.association.state) is COOKIE_ECHOED
    solo.say(control.pack_error(causes.pack_stale_cookie(0)))
    assert so_far(solo.association.state) is COOKIE_WAIT
    solo.say(control.pack_abort())  # who refuses an INIT has no keys
    assert solo.association.state is CLOSED


def test_6_3_out_of_the_blue_is_judged_without_auth() -> None:
    solo = Solo(config=config())
    auth = pack_auth(0, SHA_1, bytes(20))
    ((_, answer),) = solo.say(auth, data(1), tag=0x1234)
    assert kinds(answer) == [ABORT]
    ((_, answer),) = solo.say(auth, control.pack_shutdown_ack(), tag=0x1234)
    assert kinds(answer) == [SHUTDOWN_COMPLETE]
    assert solo.say(auth, control.pack_abort(), tag=0x1234) == []
    assert solo.say(auth, tag=0x1234) == []


def test_init_ack_with_auth_in_front_is_not_taken() -> None:
    solo = Solo(listening=False, config=config())
    solo.connect()
    solo.say(pack_auth(0, SHA_1, bytes(20)), pack_init(offer(cookie=b"x", auth=THEIRS), ack=True))
    assert solo.association.state is COOKIE_WAIT


# RFC 6458: keys.


def keyed(owed: frozenset[int] = frozenset({DATA}), *demanded: int) -> Script:
    script_ = script(*(demanded or (DATA,)), owed=owed, keys={0: b"", 1: b"one", 2: b"two"})
    keys = script_.association.authentication
    keys.set_key(1, b"one")
    keys.set_key(2, b"two")
    return script_


def test_8_1_18_the_active_key_authenticates_what_leaves_from_now_on() -> None:
    script_ = keyed()
    script_.write(b"first")
    assert script_.take()[-1].key == 0
    script_.association.authentication.activate(2)
    script_.write(b"second")
    assert script_.take()[-1].key == 2
    for packet in script_.wait():  # what is sent again, is with the key of now
        assert packet.key == 2


def test_a_key_of_the_peer_that_was_not_used_before_is_told() -> None:
    """Section 6.1.8: SCTP_AUTH_NEW_KEY."""
    script_ = keyed()
    script_.send(script_.data(0), auth=0)
    assert keys_told(script_) == []
    script_.send(script_.data(1), auth=2)
    script_.send(script_.data(2), auth=2)
    script_.send(script_.data(3), auth=0)
    script_.send(script_.data(4), auth=2)
    assert keys_told(script_) == [(2, "new")]
    assert len(heard(script_)) == 5


@pytest.mark.parametrize("owed", [frozenset({DATA}), NOTHING, frozenset({RE_CONFIG})])
def test_a_message_with_a_key_of_its_own_shares_no_packet_with_others(owed: frozenset[int]) -> None:
    script_ = keyed(owed)
    room = Script().payload
    association = script_.association
    for number, key in enumerate((None, 1, 1, 2, None, 2)):
        association.send(0, b"%d" % number, options={"auth_key": key})
    association.send(1, bytes(3000), options={"auth_key": 1})
    script_.flush()
    packets = script_.take()
    plain = 0 if DATA in owed else None
    seen = [(packet.key, [chunk.data for chunk in packet.all(DATA)]) for packet in packets]
    assert seen[:5] == [(plain, [b"0"]), (1, [b"1", b"2"]), (2, [b"3"]), (plain, [b"4"]), (2, [b"5"])]
    assert {key for key, _ in seen[5:]} == {1}
    assert sum(len(each) for _, parts in seen[5:] for each in parts) == 3000
    assert max(packet.size for packet in packets) <= room


def test_what_has_a_key_of_its_own_is_sent_again_with_it() -> None:
    script_ = keyed(NOTHING)
    for key in (1, None, 2, 2):
        script_.association.send(0, b"%d" % (key or 0), options={"auth_key": key})
    script_.flush()
    script_.take()
    again = []
    packets = script_.wait()
    while packets:
        again += [(packet.key, [chunk.data for chunk in packet.all(DATA)]) for packet in packets]
        script_.send(script_.sack(packets[-1].tsns[-1]))
        packets = script_.take()
    assert again == [(1, [b"1"]), (None, [b"0"]), (2, [b"2", b"2"])]


def test_8_3_4_and_5_deactivated_free_deleted() -> None:
    script_ = keyed()
    keys = script_.association.authentication
    script_.association.send(0, b"with one", options={"auth_key": 1})
    script_.flush()
    script_.take()
    keys.deactivate(1)
    with pytest.raises(ValueError, match="key 1 was deactivated"):
        script_.association.send(0, b"late", options={"auth_key": 1})
    with pytest.raises(ValueError, match="key 1 was deactivated"):
        keys.activate(1)
    with pytest.raises(ValueError, match="in use until"):
        keys.delete(1)
    script_.flush()
    assert keys_told(script_) == []
    again = [packet for packet in script_.wait() if DATA in packet.kinds]
    assert [packet.key for packet in again] == [1]
    script_.send(script_.sack(0))
    assert keys_told(script_) == [(1, "free")]
    script_.send(script_.data(0, b"late of theirs"), auth=1)
    assert heard(script_) == [b"late of theirs"]  # the peer may still use it
    keys.delete(1)
    script_.send(script_.data(1), auth=1)
    assert len(heard(script_)) == 1
    with pytest.raises(ValueError, match="there is no key 1, only 0, 2"):
        keys.delete(1)


def test_a_key_that_nothing_is_sent_with_is_free_at_once() -> None:
    script_ = keyed()
    script_.association.authentication.deactivate(2)
    script_.association.authentication.deactivate(2)
    script_.flush()
    assert keys_told(script_) == [(2, "free")]


def test_a_key_whose_last_message_is_given_up_is_free() -> None:
    script_ = keyed()
    message = script_.association.send(0, b"never mind", options={"auth_key": 1})
    script_.association.authentication.deactivate(1)
    submission = script_.association.submission
    assert submission is not None
    assert submission.withdraw(message)
    script_.flush()
    assert keys_told(script_) == [(1, "free")]
    script_.expect_nothing()


def test_a_message_in_parts_has_its_key_until_all_of_it_is_acknowledged() -> None:
    script_ = keyed()
    association = script_.association
    terms = association.terms({"auth_key": 1}, script_.now)
    for part, last in ((b"be", False), (b"end", True)):
        association.sender().send_piece(0, part, 0, B | E, terms, last)
        script_.flush()
    association.authentication.deactivate(1)
    assert [(packet.key, [chunk.data for chunk in packet.all(DATA)]) for packet in script_.take()] == [
        (1, [b"be"]),
        (1, [b"end"]),
    ]
    script_.send(script_.sack(0))
    assert keys_told(script_) == []
    script_.send(script_.sack(1))
    assert keys_told(script_) == [(1, "free")]


def test_a_key_that_is_set_anew_is_in_use_again() -> None:
    """It was deactivated, and is not free yet: of its end nothing is told then."""
    script_ = keyed()
    script_.association.send(0, b"x", options={"auth_key": 1})
    script_.flush()
    keys = script_.association.authentication
    keys.deactivate(1)
    keys.set_key(1, b"one")
    script_.send(script_.sack(0))
    assert keys_told(script_) == []
    script_.take()
    script_.association.send(0, b"y", options={"auth_key": 1})
    script_.flush()
    assert script_.take()[-1].key == 1


def test_nothing_is_told_of_keys_after_the_end() -> None:
    script_ = keyed()
    script_.association.send(0, b"lost", options={"auth_key": 1})
    script_.association.authentication.deactivate(1)
    script_.association.abort(script_.now, b"")
    script_.flush()
    assert script_.user.is_closed
    assert keys_told(script_) == []


def test_what_the_user_must_not_do() -> None:
    keys = keyed().association.authentication
    with pytest.raises(ValueError, match="key 0 is the active one"):
        keys.deactivate(0)
    with pytest.raises(ValueError, match="deactivate it first"):
        keys.delete(0)
    for verb in (keys.activate, keys.deactivate, keys.delete):
        with pytest.raises(ValueError, match="there is no key 9, only 0, 1, 2"):
            verb(9)
        with pytest.raises(TypeError):
            verb("1")  # type: ignore[arg-type]
    for key_id in (-1, 65536):
        with pytest.raises(ValueError, match="between 0 and 65535"):
            keys.set_key(key_id, b"key")
    with pytest.raises(ValueError, match="must not be empty"):
        keys.set_key(1, b"")
    with pytest.raises(TypeError):
        keys.set_key(1, "text")  # type: ignore[arg-type]


def test_the_empty_key_goes_when_it_is_deleted() -> None:
    script_ = keyed()
    keys = script_.association.authentication
    keys.activate(1)
    keys.deactivate(0)
    script_.send(script_.data(0, b"on its way"), auth=0)
    keys.delete(0)
    script_.send(script_.data(1, b"forged"), auth=0)
    assert heard(script_) == [b"on its way"]


def test_keys_where_authentication_was_not_negotiated() -> None:
    script_ = Script()
    with pytest.raises(ValueError, match="was not negotiated"):
        script_.association.authentication.set_key(1, b"one")
    with pytest.raises(ValueError, match="was not negotiated"):
        script_.association.send(0, b"data", options={"auth_key": 0})


def test_causes_are_named() -> None:
    """Section 4.1, RFC 5061 section 4.3."""
    address = tlv.pack(0xC002, b"\0\0\0\1" + tlv.pack(5, bytes(4)))
    packed = causes.pack_unsupported_hmac(7) + causes.pack_copies(CAUSE_DELETE_LAST_ADDRESS, (address,))
    packed += causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (address,)) + causes.pack_copies(
        CAUSE_DELETE_SOURCE_ADDRESS, (address,)
    )
    packed += causes.pack_cause(CAUSE_ILLEGAL_ASCONF_ACK) + causes.pack_copies(CAUSE_NO_AUTHORIZATION, (address,))
    found = causes.read_causes(packed, 0, len(packed))
    assert [cause.code for cause in found] == [0x105, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4]
    assert str(found[0]) == "unsupported HMAC identifier: 7"
    assert "last remaining" in str(found[1])
    assert causes.pack_unsupported_hmac(7)[:4] == b"\x01\x05\x00\x06"
