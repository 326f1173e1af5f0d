"""RFC 9260 section 5.2: setup chunks where an association exists. Collisions, restarts, late and stale ones."""

from __future__ import annotations

from itertools import permutations

import pytest
from support.endpoints import (
    ALL_STATES,
    HERE,
    OTHER,
    PEER_TAG,
    PEER_TSN,
    THERE,
    UDP,
    UP_STATES,
    Node,
    Sim,
    Solo,
    cause_of,
    chunks,
    data,
    image,
    init_of,
    into,
    kinds,
    tag_of,
)
from support.narrowing import so_far

from asyncsctp.config import Config
from asyncsctp.events import AssociationRestarted, AssociationUp, SendFailed
from asyncsctp.handlers.state import (
    CLOSED,
    COOKIE_ECHOED,
    COOKIE_WAIT,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
    State,
)
from asyncsctp.path_state import PathState
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
from asyncsctp.wire import causes, control
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_RESTART_NEW_ADDRESSES,
    CAUSE_STALE_COOKIE,
    COOKIE_ACK,
    COOKIE_ECHO,
    ERROR,
    INIT,
    INIT_ACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
)
from asyncsctp.wire.init import Init
from asyncsctp.wire.sack import pack_sack

# Sections 5.2.1 and 5.2.2: INIT.


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("times", [1, 5])
def test_an_init_changes_nothing(state: State, times: int) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    for number in range(times):
        solo.init(initiate_tag=100 + number)
    assert image(association) == before


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED], ids=str)
def test_5_2_1_the_answer_says_what_our_init_said(state: State) -> None:
    solo = Solo(addresses=(HERE, "192.0.2.111"))
    said = solo.connect((THERE, OTHER))
    if state is COOKIE_ECHOED:
        solo.answer(addresses=(OTHER,))
    ((route, answer),) = solo.init(initiate_tag=77)
    assert (route.address, tag_of(answer)) == (THERE, 77)
    ack = init_of(answer)
    for field in ("initiate_tag", "a_rwnd", "incoming_streams", "initial_tsn", "addresses"):
        assert getattr(ack, field) == getattr(said, field)
    assert (said.outgoing_streams, ack.outgoing_streams) == (1024, 10)  # section 3.3.3: the INIT allows no more


def test_5_2_1_in_cookie_wait_only_where_our_user_wanted_to() -> None:
    solo = Solo()
    solo.connect((THERE,))
    ((route, _),) = solo.init(OTHER, addresses=(THERE,))
    assert route.address == THERE
    assert solo.init(OTHER)[0][0].address == OTHER  # another association, then: not about this one
    assert solo.association.state is COOKIE_WAIT


@pytest.mark.parametrize("state", [COOKIE_ECHOED, *UP_STATES], ids=str)
def test_new_addresses_are_refused_and_named(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    ((route, answer),) = solo.init(initiate_tag=77, addresses=("203.0.113.1", "203.0.113.2"))
    (abort,) = chunks(answer)
    assert (route.address, tag_of(answer), abort[0], abort[1]) == (THERE, 77, ABORT, 0)
    assert cause_of(abort) == CAUSE_RESTART_NEW_ADDRESSES
    (cause,) = causes.read_causes(abort, 4, len(abort))
    assert "203.0.113.1" in cause.text
    assert "203.0.113.2" in cause.text
    assert THERE not in cause.text
    assert image(association) == before


@pytest.mark.parametrize("state", UP_STATES, ids=str)
def test_a_late_copy_of_the_first_init_does_not_end_an_association_that_has_left_addresses(state: State) -> None:
    """RFC 5061 deletes addresses that the INIT had listed: its copy is no restart, which has another tag (5.3.1)."""
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    answers = solo.init(initiate_tag=association.context.peer_tag, addresses=("203.0.113.1",))
    assert not [chunk for _, answer in answers for chunk in chunks(answer) if chunk[0] == ABORT]
    assert image(association) == before
    assert association.state is state


@pytest.mark.parametrize("state", [COOKIE_ECHOED, *UP_STATES], ids=str)
def test_5_2_2_tie_tags_are_nonces(state: State) -> None:
    """RFC 5062 section 3.3: what the cookie shows are not the tags of the association."""
    solo = Solo()
    association = into(solo, state)
    cookie = init_of(solo.init(initiate_tag=77)[0][1]).cookie or b""
    if state is not COOKIE_ECHOED:  # there the answer has our tag, by section 5.2.1
        assert association.context.local_tag.to_bytes(4) not in cookie
    assert association.context.peer_tag.to_bytes(4) not in cookie


@pytest.mark.parametrize("state", UP_STATES, ids=str)
def test_5_2_2_each_answer_has_a_new_tag(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    tags = {init_of(solo.init(initiate_tag=77)[0][1]).initiate_tag for _ in range(5)}
    assert len(tags) == 5
    assert association.context.local_tag not in tags


def test_in_shutdown_ack_sent_an_init_gets_the_shutdown_ack() -> None:
    """Section 9.2."""
    solo = Solo()
    association = into(solo, SHUTDOWN_ACK_SENT)
    ((route, answer),) = solo.init(initiate_tag=77)
    assert kinds(answer) == [SHUTDOWN_ACK]
    assert (route.address, tag_of(answer)) == (THERE, PEER_TAG)
    assert association.state is SHUTDOWN_ACK_SENT


def test_in_shutdown_ack_sent_nothing_goes_to_unconfirmed_addresses() -> None:
    solo = Solo()
    solo.accept(addresses=(OTHER,))
    tsn = solo.association.context.setup.local_initial_tsn  # type: ignore[union-attr]
    solo.say(control.pack_shutdown(tsn - 1 & 0xFFFFFFFF))
    ((route, answer),) = solo.init(OTHER, initiate_tag=77)
    assert (route.address, kinds(answer)) == (THERE, [SHUTDOWN_ACK])


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
def test_an_init_from_another_udp_port_is_refused_there(state: State) -> None:
    """Draft udp-encaps-cons section 4 rules 1 and 7."""
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    ((route, answer),) = solo.init(udp_port=777, initiate_tag=77)
    (abort,) = chunks(answer)
    assert (route.udp_port, tag_of(answer), abort[0], abort[1]) == (777, 77, ABORT, 0)
    assert cause_of(abort) == CAUSE_NEW_ENCAPSULATION_PORT
    assert abort[8:12] == UDP.to_bytes(2) + (777).to_bytes(2)
    assert image(association) == before


# Section 5.2.3 and 5.2.5: INIT ACK and COOKIE ACK that nobody waits for.


@pytest.mark.parametrize("state", [state for state in ALL_STATES if state is not COOKIE_WAIT], ids=str)
@pytest.mark.parametrize("tag", [5, 0])
def test_5_2_3_an_unexpected_init_ack_is_discarded(state: State, tag: int) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)[:5]
    assert solo.answer(initiate_tag=tag) == []
    assert image(association)[:5] == before


@pytest.mark.parametrize("state", [state for state in ALL_STATES if state is not COOKIE_ECHOED], ids=str)
def test_5_2_5_an_unexpected_cookie_ack_is_discarded(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)[:5]
    assert solo.say(control.pack_cookie_ack()) == []
    assert image(association)[:5] == before


@pytest.mark.parametrize("state", [state for state in ALL_STATES if state is not COOKIE_ECHOED], ids=str)
def test_5_2_6_a_stale_cookie_report_is_discarded(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    before = image(association)[:5]
    assert solo.say(control.pack_error(causes.pack_stale_cookie(1))) == []
    assert image(association)[:5] == before


# Section 5.2.4, table 12.


def restart_cookie(solo: Solo, **changes: object) -> tuple[Init, bytes]:
    """The peer has lost its state, says INIT, and would answer with this packet."""
    return solo.cookie(**{"initiate_tag": 0x77777777, "initial_tsn": 5_000_000, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", UP_STATES, ids=str)
def test_action_a_restart(state: State) -> None:
    solo = Solo()
    association = into(solo, state)
    old = association.context.local_tag
    ack, echo = restart_cookie(solo)
    said = solo.receive(echo)
    assert kinds(said[0][1])[0] == COOKIE_ACK
    assert tag_of(said[0][1]) == 0x77777777
    assert (association.context.local_tag, association.context.peer_tag) == (ack.initiate_tag, 0x77777777)
    assert association.context.local_tag != old
    assert len(solo.users) == 1
    assert sum(isinstance(event, AssociationRestarted) for event in solo.user.events) == 1
    if state in (SHUTDOWN_PENDING, SHUTDOWN_SENT):  # our user's wish still holds
        assert association.state is SHUTDOWN_SENT
        assert SHUTDOWN in kinds(said[-1][1])
        return
    assert association.state is ESTABLISHED
    said = solo.say(data(5_000_000))
    assert solo.user.messages[-1][3] == b"data"


def test_action_a_tells_what_was_not_delivered() -> None:
    solo = Solo()
    association = solo.accept()
    association.send(3, b"in flight")
    solo.touch()
    solo.take()
    _, echo = restart_cookie(solo)
    solo.receive(echo)
    (failed,) = (event for event in solo.user.events if isinstance(event, SendFailed))
    assert (failed.stream, failed.data) == (3, b"in flight")
    assert "restart" in failed.reason


@pytest.mark.parametrize("initial_tsn", [5_000_000, 4_000_000_000, 17])
def test_action_a_ends_what_was_written_before(initial_tsn: int) -> None:
    """Who asks later for a message of the old association hears that it was not acknowledged, and only then."""
    solo = Solo()
    association = solo.accept()
    sizes = (10, 10, 3000, 10, 100_000, 10)
    messages = [association.send(3, bytes(size)) for size in sizes]
    solo.touch()
    solo.take()
    transmission = association._parts.established.sender
    first = transmission.outstanding.cumulative_tsn + 1
    solo.receive(solo.packet(pack_sack(first & 0xFFFFFFFF, 1 << 20)))
    assert messages[0].tsn == first
    assert messages[4].tsn < 0
    _, echo = restart_cookie(solo, initial_tsn=initial_tsn)
    solo.receive(echo)
    sender = association.sender()
    for number, message in enumerate(messages):
        assert sender.watch(message, number) is (number > 0)
        assert not sender.withdraw(message)
    association.flush(solo.now)
    assert [(watcher, "restart" in reason) for watcher, reason, *_ in solo.user.settled] == [
        (number, True) for number in range(1, len(sizes))
    ]
    anew = association.send(3, b"anew")
    solo.touch()
    assert sender.watch(anew, "anew")
    assert len(solo.user.settled) == len(sizes) - 1


def test_action_a_makes_room_for_new_messages() -> None:
    """What waited for the send buffer to become smaller goes on: it is empty."""
    solo = Solo()
    association = solo.accept()
    association.send(3, bytes(100_000))
    solo.touch()
    solo.take()
    before = solo.user.writable
    _, echo = restart_cookie(solo)
    solo.receive(echo)
    assert association.buffered == 0
    assert solo.user.writable == before + 1


def test_action_a_keeps_the_room_of_what_is_unread() -> None:
    """The window is the new association's, and smaller by what the user has not read; it does not grow by reading."""
    solo = Solo(config=Config(recv_buffer=20_000))
    association = solo.accept()
    solo.user.reading = False
    solo.say(data(PEER_TSN, bytes(1000)))
    _, echo = restart_cookie(solo)
    solo.receive(echo)
    solo.say(data(5_000_000, bytes(1000)))
    assert association._parts.established.receiver._queue.unread == 2000
    solo.user.read()
    assert association._parts.established.receiver._queue.unread == 0


def test_action_a_begins_anew_with_the_network() -> None:
    """Congestion control MUST be as at first; and what was counted and measured is of the peer that is gone."""
    solo = Solo(config=Config(path_max_retrans=3))
    association = solo.accept()
    association.send(0, bytes(100_000))
    solo.touch()
    solo.wait(40.0)
    path = association.path_manager.primary
    fresh = Solo().accept().path_manager.primary
    assert path.error_count > 3
    assert path.rto.rto > 1.0
    assert path.state is PathState.INACTIVE
    _, echo = restart_cookie(solo)
    solo.receive(echo)
    assert path is association.path_manager.primary
    assert (path.congestion.cwnd, path.congestion.ssthresh) == (fresh.congestion.cwnd, fresh.congestion.ssthresh)
    assert (path.rto.rto, path.error_count, path.state) == (1.0, 0, PathState.ACTIVE)
    assert association.path_manager.error_count == 0


def test_action_a_with_fewer_addresses_drops_the_others() -> None:
    solo = Solo()
    association = solo.accept(addresses=(OTHER, "198.51.100.10"))
    assert len(association.path_manager.paths) == 3
    _, echo = restart_cookie(solo, addresses=(OTHER,))
    solo.receive(echo)
    assert [path.route.address for path in association.path_manager.paths] == [THERE, OTHER]
    # The address is nobody's now: who says INIT from there is a stranger.
    ((_, answer),) = solo.init("198.51.100.10", initiate_tag=9)
    assert kinds(answer) == [INIT_ACK]
    assert init_of(answer).initiate_tag != association.context.local_tag


def test_who_camps_on_an_address_loses_it_to_its_owner() -> None:
    """RFC 5062 section 2: the association of one who listed a foreign address falls to the owner when it comes."""
    solo = Solo()
    association = solo.accept(THERE, addresses=(OTHER,))  # THERE is the camper, and has no right to OTHER
    _, echo = restart_cookie(solo, source=OTHER)
    solo.receive(echo, OTHER)
    assert [(path.route.address, path.state) for path in association.path_manager.paths] == [(OTHER, PathState.ACTIVE)]
    association.send(0, b"data")
    solo.touch()
    assert {route.address for route, _ in solo.take()} == {OTHER}


def test_action_a_needs_the_tie_tags() -> None:
    """A cookie from before the association: no tie-tags, and no tag matches."""
    solo = Solo()
    _, early = solo.cookie(initiate_tag=55)
    association = solo.accept()
    before = image(association)
    assert solo.receive(early) == []
    assert image(association) == before


def test_action_a_happens_once_for_each_cookie() -> None:
    solo = Solo()
    association = solo.accept()
    _, first = restart_cookie(solo)
    _, second = restart_cookie(solo, initiate_tag=0x66666666)
    solo.receive(first)
    before = image(association)[:5]
    assert kinds(solo.receive(first)[0][1]) == [COOKIE_ACK]  # now a duplicate of it: action D
    assert solo.receive(second) == []
    assert image(association)[:5] == before
    assert association.statistics.restarts == 1


def test_action_a_not_while_the_shutdown_ack_is_out() -> None:
    solo = Solo()
    association = solo.accept()
    _, echo = restart_cookie(solo)
    solo.say(control.pack_shutdown(association.context.setup.local_initial_tsn - 1 & 0xFFFFFFFF))  # type: ignore[union-attr]
    assert association.state is SHUTDOWN_ACK_SENT
    ((_, answer),) = solo.receive(echo)
    assert kinds(answer) == [SHUTDOWN_ACK, ERROR]
    assert cause_of(chunks(answer)[1]) == CAUSE_COOKIE_WHILE_SHUTTING_DOWN
    assert association.state is SHUTDOWN_ACK_SENT
    assert association.context.peer_tag == PEER_TAG


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED], ids=str)
def test_action_b_the_peer_chose_another_tag(state: State) -> None:
    """M X, and M 0 in COOKIE-WAIT."""
    solo = Solo()
    association = into(solo, state)
    ((_, answer),) = solo.init(initiate_tag=0x55555555, initial_tsn=9, addresses=(OTHER,))
    ack = init_of(answer)
    ((_, answer),) = solo.say(control.pack_cookie_echo(ack.cookie or b""))
    assert kinds(answer) == [COOKIE_ACK]
    assert tag_of(answer) == 0x55555555
    assert association.state is ESTABLISHED
    assert sum(isinstance(event, AssociationUp) for event in solo.user.events) == 1
    assert not any(INIT in kinds(packet) or COOKIE_ECHO in kinds(packet) for _, packet in solo.wait(20.0))
    solo.say(data(9))
    assert solo.user.messages[-1][3] == b"data"


def test_action_b_when_up_already_keeps_the_association() -> None:
    """The peer sent another INIT after it had answered ours: its tag is the newer, its TSNs are the same."""
    solo = Solo()
    solo.connect()
    ((_, answer),) = solo.init(initiate_tag=0x55555555)
    solo.answer()
    solo.say(control.pack_cookie_ack())
    association = solo.association
    assert association.context.peer_tag == PEER_TAG
    cookie = init_of(answer).cookie or b""
    ((_, answer),) = solo.say(control.pack_cookie_echo(cookie))
    assert (kinds(answer), tag_of(answer)) == ([COOKIE_ACK], 0x55555555)
    assert association.state is ESTABLISHED
    assert association.statistics.restarts == 0


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED, *UP_STATES], ids=str)
def test_action_c_a_cookie_that_came_late(state: State) -> None:
    """X M 0 0: ours, from before; silently discarded, whatever the state, and timers run on."""
    solo = Solo()
    _, early = solo.cookie(initiate_tag=PEER_TAG)
    association = into(solo, state)
    before = image(association)
    assert solo.receive(early) == []
    assert image(association) == before


def test_action_d_in_cookie_echoed() -> None:
    """The peer's INIT crossed ours, and its COOKIE ECHO comes before the COOKIE ACK to ours."""
    solo = Solo()
    solo.connect()
    ((_, answer),) = solo.init()
    solo.answer()
    association = solo.association
    assert so_far(association.state) is COOKIE_ECHOED
    ((_, answer),) = solo.say(control.pack_cookie_echo(init_of(answer).cookie or b""))
    assert kinds(answer) == [COOKIE_ACK]
    assert association.state is ESTABLISHED
    assert solo.say(control.pack_cookie_ack()) == []
    assert not any(COOKIE_ECHO in kinds(packet) for _, packet in solo.wait(20.0))


@pytest.mark.parametrize("state", [*UP_STATES, SHUTDOWN_ACK_SENT], ids=str)
def test_action_d_later(state: State) -> None:
    solo = Solo()
    _, echo = solo.cookie()
    solo.receive(echo)
    association = solo.association
    tsn = association.context.setup.local_initial_tsn  # type: ignore[union-attr]
    if state in (SHUTDOWN_PENDING, SHUTDOWN_RECEIVED):
        association.send(0, b"unacknowledged")
        solo.touch()
        solo.take()
    if state in (SHUTDOWN_RECEIVED, SHUTDOWN_ACK_SENT):
        solo.say(control.pack_shutdown(tsn - 1 & 0xFFFFFFFF))
    elif state is not ESTABLISHED:
        association.shutdown(solo.now)
        solo.touch()
        solo.take()
    assert association.state is state
    said = solo.receive(echo)
    assert kinds(said[0][1])[0] == COOKIE_ACK
    assert association.state is state
    assert association.statistics.restarts == 0


@pytest.mark.parametrize("state", [*UP_STATES, SHUTDOWN_ACK_SENT], ids=str)
def test_step_3_a_stale_cookie_of_another_peer_is_told(state: State) -> None:
    solo = Solo(config=Config(cookie_lifetime=1.0, max_retrans=100, path_max_retrans=100))
    association = into(solo, state if state is not SHUTDOWN_ACK_SENT else ESTABLISHED)
    _, echo = restart_cookie(solo)
    if state is SHUTDOWN_ACK_SENT:
        solo.say(control.pack_shutdown(association.context.setup.local_initial_tsn - 1 & 0xFFFFFFFF))  # type: ignore[union-attr]
    solo.wait(1.5)
    ((_, answer),) = solo.receive(echo)
    assert (kinds(answer), tag_of(answer)) == ([ERROR], 0x77777777)
    assert cause_of(chunks(answer)[0]) == CAUSE_STALE_COOKIE
    assert association.state is state
    assert association.context.peer_tag == PEER_TAG


# Two sides that both connect.

SETUP = (INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK)


def both(sim: Sim, listening: bool) -> tuple[Node, Node]:
    return sim.node("a", "10.0.0.1", listening=listening), sim.node("b", "10.0.0.2", listening=listening)


def assert_one(sim: Sim, a: Node, b: Node) -> None:
    """One association, the same on both sides, that works both ways."""
    sim.until(lambda: a.is_up() and b.is_up(), 300)
    sim.run(5.0)
    for node in (a, b):
        assert len(node.endpoint.associations) == 1
        assert len(node.users) == 1
        assert not node.user.is_closed
        assert node.association.statistics.restarts == 0
        assert sum(isinstance(event, AssociationUp) for event in node.user.events) == 1
    ours, theirs = a.association.context, b.association.context
    assert (ours.local_tag, ours.peer_tag) == (theirs.peer_tag, theirs.local_tag)
    a.send(b"from a")
    b.send(b"from b")
    sim.until(lambda: a.received and b.received)
    assert (a.received, b.received) == ([b"from b"], [b"from a"])
    a.shutdown()
    sim.until(lambda: a.user.is_closed and b.user.is_closed)
    assert (a.user.error, b.user.error) == (None, None)


@pytest.mark.parametrize("apart", [0.0, 0.005, 0.0099])
def test_simultaneous_connects_need_no_listener(apart: float) -> None:
    sim = Sim()
    a, b = both(sim, False)
    a.connect(b)
    sim.run(apart)
    b.connect(a)
    assert_one(sim, a, b)


@pytest.mark.parametrize("apart", [0.0, 0.005, 0.0099, 0.01, 0.0101, 0.015])
def test_simultaneous_connects_become_one_association(apart: float) -> None:
    sim = Sim()
    a, b = both(sim, True)
    a.connect(b)
    sim.run(apart)
    if not b.users:  # a listener hears the INIT after 10 ms, and is up after 30
        b.connect(a)
    assert_one(sim, a, b)


@pytest.mark.parametrize("apart", [0.0, 0.005, 0.011, 0.02])
@pytest.mark.parametrize("kind", SETUP)
@pytest.mark.parametrize("sender", ["10.0.0.1", "10.0.0.2"])
@pytest.mark.parametrize("lost", [1, 2])
def test_simultaneous_connects_with_losses(apart: float, kind: int, sender: str, lost: int) -> None:
    sim = Sim()
    a, b = both(sim, True)
    left = [lost]

    def lose(datagram: Datagram) -> bool | None:
        if datagram.source[0] == sender and kind in kinds(datagram.data) and left[0]:
            left[0] -= 1
            return False
        return None

    sim.verdict = lose
    a.connect(b)
    sim.run(apart)
    if not b.users:
        b.connect(a)
    assert_one(sim, a, b)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_collision_in_every_order(order: tuple[int, ...]) -> None:
    """The first packet of A and of B of each kind overtake each other in every way."""
    for second in permutations(range(4)):
        sim = Sim()
        a, b = both(sim, True)
        delays = {"10.0.0.1": list(order), "10.0.0.2": list(second)}

        def late(datagram: Datagram, delays: dict[str, list[int]] = delays) -> float | None:
            kind = kinds(datagram.data)[0]
            waiting = delays[datagram.source[0]]
            if kind in SETUP and waiting[SETUP.index(kind)] >= 0:
                delay = waiting[SETUP.index(kind)]
                waiting[SETUP.index(kind)] = -1
                return delay * 0.013
            return None

        sim.verdict = late
        a.connect(b)
        b.connect(a)
        assert_one(sim, a, b)


@pytest.mark.parametrize("seed", range(40))
def test_collision_in_a_terrible_network(seed: int) -> None:
    sim = Sim(seed, LinkSettings(jitter=0.2, loss=0.15, duplicate=0.3, reorder=0.3, reorder_delay=1.3))
    a, b = both(sim, True)
    a.connect(b)
    sim.run(0.004 * (seed % 5))
    if not b.users:
        b.connect(a)
    sim.until(lambda: a.is_up() and b.is_up(), 300)
    sim.verdict = None
    sim.network.defaults(LinkSettings())
    sim.run(90.0)
    a.send(b"from a")
    b.send(b"from b")
    sim.until(lambda: a.received and b.received)
    assert (a.received, b.received) == ([b"from b"], [b"from a"])
    assert len(a.endpoint.associations) == len(b.endpoint.associations) == 1


# Restarts of real endpoints.


def reborn(sim: Sim, node: Node, addresses: tuple[str, ...] | None = None, listening: bool = True) -> Node:
    sim.crash(node)
    return sim.node(
        node.name + "'", *(addresses or node.addresses), port=node.port, udp_port=node.udp_port, listening=listening
    )


def pair(sim: Sim, config: Config | None = None, paths: int = 1) -> tuple[Node, Node]:
    a = sim.node("a", *[f"10.{number}.0.1" for number in range(paths)], config=config)
    z = sim.node("z", *[f"10.{number}.0.2" for number in range(paths)], listening=True, config=config)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    sim.run(5.0)
    return a, z


@pytest.mark.parametrize("client_restarts", [True, False])
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("in_flight", [0, 1, 200_000])
def test_either_side_restarts(client_restarts: bool, paths: int, in_flight: int) -> None:
    sim = Sim()
    a, z = pair(sim, paths=paths)
    for node in (a, z):
        if in_flight:
            node.send(bytes(in_flight))
    sim.run(0.025)
    one, other = (a, z) if client_restarts else (z, a)
    association = other.association
    one = reborn(sim, one)
    one.connect(other)
    sim.until(lambda: one.is_up() and other.is_up() and association.statistics.restarts == 1)
    assert other.association is association
    assert len(other.users) == 1
    one.send(b"anew")
    other.send(b"anew too")
    sim.until(lambda: one.received and b"anew" in other.received)
    assert one.received == [b"anew too"]
    one.shutdown()
    sim.until(lambda: one.user.is_closed and other.user.is_closed)
    assert (one.user.error, other.user.error) == (None, None)


@pytest.mark.parametrize("kind", SETUP)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_restart_with_losses(kind: int, lost: int) -> None:
    sim = Sim()
    a, z = pair(sim)
    z.send(bytes(50_000))
    sim.run(0.015)
    a = reborn(sim, a)
    left = [lost]

    def lose(datagram: Datagram) -> bool | None:
        if kind in kinds(datagram.data) and left[0]:
            left[0] -= 1
            return False
        return None

    sim.verdict = lose
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up() and z.association.statistics.restarts == 1)
    a.send(b"anew")
    sim.until(lambda: z.received == [b"anew"])


def test_a_restart_with_fewer_addresses_end_to_end() -> None:
    sim = Sim()
    a, z = pair(sim, paths=3)
    assert len(z.association.path_manager.paths) == 3
    a = reborn(sim, a, a.addresses[:1])
    a.connect(z, z.addresses[:1])
    sim.until(lambda: a.is_up() and z.association.statistics.restarts)
    assert [path.route.address for path in z.association.path_manager.paths] == ["10.0.0.1"]
    sim.log.clear()
    z.send(bytes(50_000))
    sim.until(lambda: a.received)
    sim.run(100.0)
    assert {datagram.destination[0] for datagram in sim.log if datagram.source[0] in z.addresses} == {"10.0.0.1"}


def test_a_restart_with_more_addresses_is_refused_end_to_end() -> None:
    sim = Sim()
    a, z = pair(sim)
    a = reborn(sim, a, (*a.addresses, "10.5.0.1"))
    a.connect(z)
    sim.until(lambda: a.user.is_closed)
    assert "with one of our addresses" in str(a.user.error)
    assert z.is_up()


#: In which state the survivor is: whether it has data to send, and whether it is the one that shuts down.
RESTARTS = {"pending": (True, True), "sent": (False, True), "received": (True, False), "ack-sent": (False, False)}


@pytest.mark.parametrize("client_restarts", [True, False])
@pytest.mark.parametrize("act", RESTARTS)
@pytest.mark.parametrize("after", [0.0, 0.011, 0.021, 0.5])
def test_a_restart_while_shutting_down_leaves_nothing_behind(client_restarts: bool, act: str, after: float) -> None:
    """In whatever state the survivor is, the restarted side gets an association in the end, and old ones vanish."""
    sim = Sim()
    a, z = pair(sim)
    one, other = (a, z) if client_restarts else (z, a)
    has_data, shuts_down = RESTARTS[act]
    if has_data:
        other.send(bytes(100_000))
    (other if shuts_down else one).shutdown()
    sim.run(after)
    was_open = not other.user.is_closed
    one = reborn(sim, one)
    old_user = other.user
    if not was_open:
        other.endpoint.listening = True
    one.connect(other)
    sim.until(lambda: one.is_up() or one.user.is_closed, 400)
    sim.run(400.0)
    assert len(other.endpoint.associations) <= 1
    assert len(one.endpoint.associations) == len(other.endpoint.associations)
    if other.endpoint.associations:
        other_association = other.endpoint.associations[0]
        assert other_association.state is ESTABLISHED
        assert other_association.context.peer_tag == one.association.context.local_tag
    elif was_open:
        assert old_user.is_closed


def test_states_are_covered() -> None:
    assert set(ALL_STATES) | {CLOSED} == set(State)
