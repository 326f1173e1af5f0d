"""RFC 9260 section 8.5: the verification tag, in every state and for every chunk type."""

from __future__ import annotations

import pytest
from support.endpoints import (
    ALL_STATES,
    HERE,
    OTHER,
    PEER_PORT,
    PEER_TAG,
    PEER_TSN,
    THERE,
    UP_STATES,
    Sim,
    Solo,
    chunks,
    data,
    image,
    into,
    kinds,
    offer,
    tag_of,
)

from asyncsctp.errors import AssociationAborted, AssociationRefused
from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, ESTABLISHED, SHUTDOWN_ACK_SENT, State
from asyncsctp.wire import causes, control, sack, tlv
from asyncsctp.wire.constants import (
    ABORT,
    COOKIE_ECHO,
    HEARTBEAT_ACK,
    INIT,
    INIT_ACK,
    SACK,
    SHUTDOWN,
    SHUTDOWN_COMPLETE,
)
from asyncsctp.wire.init import pack_init

CHUNKS = {
    "DATA": data(PEER_TSN),
    "INIT": pack_init(offer(), ack=False),
    "INIT ACK": pack_init(offer(cookie=b"x"), ack=True),
    "SACK": sack.pack_sack(5, 0, [], []),
    "HEARTBEAT": control.pack_heartbeat(b"x"),
    "HEARTBEAT ACK": control.pack_heartbeat_ack(b"x"),
    "ABORT": control.pack_abort(),
    "ABORT T": control.pack_abort(reflected=True),
    "SHUTDOWN": control.pack_shutdown(5),
    "SHUTDOWN ACK": control.pack_shutdown_ack(),
    "ERROR": control.pack_error(causes.pack_stale_cookie(1)),
    "COOKIE ECHO": control.pack_cookie_echo(bytes(100)),
    "COOKIE ACK": control.pack_cookie_ack(),
    "ECNE": control.pack_ecne(5),
    "CWR": control.pack_cwr(5),
    "SHUTDOWN COMPLETE": control.pack_shutdown_complete(),
    "SHUTDOWN COMPLETE T": control.pack_shutdown_complete(reflected=True),
    "unknown": tlv.pack(0xC1 << 8),
    "PAD": control.pack_pad(8),
}


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("name", CHUNKS)
def test_a_wrong_tag_never_disturbs(state: State, name: str) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    events = list(solo.user.events)
    right = association.context.local_tag
    for tag in (right ^ 1, right ^ 0x80000000, 1, 0xFFFFFFFF):
        said = solo.say(CHUNKS[name], tag=tag)
        if name == "SHUTDOWN ACK" and state in (COOKIE_WAIT, COOKIE_ECHOED):  # E
            assert [kinds(packet) for _, packet in said] == [[SHUTDOWN_COMPLETE]]
            assert (tag_of(said[0][1]), chunks(said[0][1])[0][1]) == (tag, 1)
        else:
            assert said == []
    assert image(association) == before
    assert solo.user.events == events
    assert solo.user.messages == []


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("name", [name for name in CHUNKS if name != "INIT"])
def test_a_tag_of_0_is_for_inits_alone(state: State, name: str) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    assert solo.say(CHUNKS[name], tag=0) == []
    assert image(association) == before


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("first", [True, False])
def test_an_init_with_company_is_discarded(state: State, name: str, first: bool) -> None:
    """A: the packet contains only an INIT, or is silently discarded."""
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    pair = (CHUNKS["INIT"], CHUNKS[name])
    assert solo.say(*(pair if first else reversed(pair)), tag=0) == []
    assert image(association) == before


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("tag", ["ours", "theirs", "other"])
def test_an_init_with_a_tag_is_discarded(known: bool, tag: str) -> None:
    solo = Solo()
    if known:
        solo.accept()
    value = solo.association.context.local_tag if known and tag == "ours" else PEER_TAG if tag == "theirs" else 99
    assert solo.say(CHUNKS["INIT"], tag=value) == []


# B: ABORT.


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
def test_b_abort_with_our_tag(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    assert solo.say(control.pack_abort()) == []
    assert association.state is CLOSED
    expected = AssociationRefused if state in (COOKIE_WAIT, COOKIE_ECHOED) else AssociationAborted
    assert isinstance(solo.user.error, expected)
    assert solo.endpoint.associations == []


@pytest.mark.parametrize("state", [state for state in ALL_STATES if state is not COOKIE_WAIT], ids=str)
def test_b_abort_with_the_peers_tag_and_the_t_bit(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    assert solo.say(control.pack_abort(reflected=True), tag=PEER_TAG) == []
    assert association.state is CLOSED


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
def test_b_the_t_bit_and_the_tag_must_agree(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)[:5]
    assert solo.say(control.pack_abort(reflected=True)) == []
    assert solo.say(control.pack_abort(), tag=PEER_TAG) == []
    assert image(association)[:5] == before


def test_b_what_follows_an_abort_with_a_wrong_t_bit_is_discarded_too() -> None:
    """The receiver MUST silently discard the packet."""
    solo = Solo()
    solo.accept()
    assert solo.say(control.pack_abort(reflected=True), control.pack_heartbeat(b"x")) == []


def test_b_a_reflected_abort_that_can_not_be_read_ends_nothing() -> None:
    solo = Solo()
    association = solo.accept()
    assert solo.say(tlv.pack(ABORT << 8 | 1, b"\0\x0c\0\2"), tag=PEER_TAG) == []
    assert association.state is ESTABLISHED
    assert association.context.statistics.malformed_packets == 1


def test_an_init_under_our_tag_among_other_chunks_is_passed_over() -> None:
    """A is about packets under tag 0; this one has the right tag, and an INIT in it asks for nothing."""
    solo = Solo()
    solo.accept()
    answers = solo.say(control.pack_heartbeat(b"x"), CHUNKS["INIT"], control.pack_heartbeat(b"y"))
    assert [kinds(answer) for _, answer in answers] == [[HEARTBEAT_ACK] * 2]
    assert solo.association.context.statistics.unexpected_chunks == 1


def test_b_no_answer_to_a_packet_with_an_abort() -> None:
    """Section 9.1."""
    for company in CHUNKS.values():
        solo = Solo()
        solo.accept()
        if company[0] not in (INIT, SACK, SHUTDOWN, COOKIE_ECHO):  # wrong ones, that end the walk
            assert solo.say(company, control.pack_abort()) == []


def test_b_our_abort_bears_the_peers_tag_and_no_t_bit() -> None:
    solo = Solo()
    association = solo.accept()
    association.abort(solo.now, b"enough")
    solo.touch()
    ((_, answer),) = solo.take()
    assert (tag_of(answer), chunks(answer)[0][:2]) == (PEER_TAG, bytes((ABORT, 0)))


def test_b_a_reflected_abort_from_elsewhere_is_nothing() -> None:
    solo = Solo()
    association = solo.accept()
    solo.say(control.pack_abort(reflected=True), tag=PEER_TAG, source=OTHER)
    solo.receive(solo.packet(control.pack_abort(reflected=True), tag=PEER_TAG, peer_port=PEER_PORT + 1))
    assert association.state is ESTABLISHED


# C: SHUTDOWN COMPLETE.


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("reflected", [False, True])
def test_c_shutdown_complete(state: State, reflected: bool) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)[:3]
    tag = PEER_TAG if reflected else association.context.local_tag
    assert solo.say(control.pack_shutdown_complete(reflected), tag=tag) == []
    if state is SHUTDOWN_ACK_SENT:
        assert association.state is CLOSED
        assert solo.user.error is None
    else:
        assert image(association)[:3] == before


@pytest.mark.parametrize("reflected", [False, True])
def test_c_the_t_bit_and_the_tag_must_agree(reflected: bool) -> None:
    solo = Solo()
    association = into(solo, SHUTDOWN_ACK_SENT)
    tag = association.context.local_tag if reflected else PEER_TAG
    assert solo.say(control.pack_shutdown_complete(reflected), tag=tag) == []
    assert association.state is SHUTDOWN_ACK_SENT


# E: SHUTDOWN ACK.


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED], ids=str)
@pytest.mark.parametrize("tag", ["ours", "theirs", "old"])
def test_e_in_the_handshake_a_shutdown_ack_is_out_of_the_blue(state: State, tag: str) -> None:
    solo = Solo()
    association = into(solo, state)
    value = {"ours": association.context.local_tag, "theirs": PEER_TAG, "old": 0xABCDEF}[tag]
    ((_, answer),) = solo.say(control.pack_shutdown_ack(), tag=value)
    assert (tag_of(answer), chunks(answer)[0][:2]) == (value, bytes((SHUTDOWN_COMPLETE, 1)))
    assert association.state is state


def test_e_an_association_that_still_ends_makes_way_for_the_next() -> None:
    """Z waits for a SHUTDOWN COMPLETE that is lost, again and again; A associates anew from the same port."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    sim.verdict = lambda datagram: False if SHUTDOWN_COMPLETE in kinds(datagram.data) else None
    a.shutdown()
    sim.until(lambda: a.user.is_closed)
    sim.run(0.1)
    assert z.association.state is SHUTDOWN_ACK_SENT
    sim.verdict = None
    a.connect(z)
    sim.until(lambda: a.is_up() and len(z.users) == 2 and z.is_up(), 10)
    assert z.users[0].is_closed
    assert z.users[0].error is None


def test_every_packet_bears_the_peers_tag() -> None:
    """But the INIT."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1", "10.1.0.1")
    z = sim.node("z", "10.0.0.2", "10.1.0.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    tags = {"10.0.0.1": a.association.context.peer_tag, "10.1.0.1": a.association.context.peer_tag}
    tags |= {"10.0.0.2": z.association.context.peer_tag, "10.1.0.2": z.association.context.peer_tag}
    a.send(bytes(100_000))
    z.send(bytes(100_000))
    sim.run(100.0)
    a.shutdown()
    sim.until(lambda: a.user.is_closed and z.user.is_closed)
    init, *others = sim.log
    assert tag_of(init.data) == 0
    assert {(datagram.source[0], tag_of(datagram.data)) for datagram in others} == set(tags.items())


@pytest.mark.parametrize("state", UP_STATES, ids=str)
def test_the_right_tag_is_heard_in_every_state(state: State) -> None:
    solo = Solo()
    into(solo, state)
    assert HERE != THERE
    said = [kind for _, packet in solo.say(control.pack_heartbeat(b"x")) for kind in kinds(packet)]
    assert (HEARTBEAT_ACK in said) == (state.value != "shutdown-sent")
    assert INIT_ACK not in said
