"""RFC 9260 section 10 and RFC 6951 section 5.5: which ICMP messages are believed, and what they bring about."""

from __future__ import annotations

import pytest
from support.endpoints import (
    ALL_STATES,
    HERE,
    OTHER,
    PEER_PORT,
    PORT,
    THERE,
    UDP,
    Sim,
    Solo,
    heartbeat_ack,
    image,
    into,
    kinds,
)
from support.narrowing import so_far

from asyncsctp.association.association import Association
from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationRefused, AssociationTimeout
from asyncsctp.handlers.state import (
    CLOSED,
    COOKIE_WAIT,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    State,
)
from asyncsctp.paths.route import Route
from asyncsctp.wire import control
from asyncsctp.wire.constants import HEARTBEAT
from asyncsctp.wire.init import pack_init
from asyncsctp.wire.packet import Seal

ROUTE = Route(HERE, THERE, UDP)


def connecting(solo: Solo) -> tuple[Association, bytes]:
    """An association in COOKIE-WAIT, and the packet with its INIT."""
    init = solo.connect()
    return solo.association, Seal(PORT, PEER_PORT, 0).pack(pack_init(init, ack=False))


def unreachable(solo: Solo, association: Association, quoted: bytes, route: Route = ROUTE) -> None:
    association.on_unreachable(route, quoted, solo.now)
    solo.touch(association)
    assert solo.take() == []


@pytest.mark.parametrize("size", [20, 21, 24, 32, 10_000])
def test_a_port_unreachable_that_quotes_our_init_ends_the_attempt(size: int) -> None:
    """ICMP6: enough bytes to see that it is an INIT, and its tag. A router may cut the rest off anywhere."""
    solo = Solo(listening=False, addresses=(HERE, "192.0.2.101"))
    association, init = connecting(solo)
    unreachable(solo, association, init[:size])
    assert association.state is CLOSED
    assert isinstance(solo.user.error, AssociationRefused)
    assert THERE in str(solo.user.error)
    assert str(UDP) in str(solo.user.error)


@pytest.mark.parametrize("size", range(20))
def test_a_quote_too_short_is_not_believed(size: int) -> None:
    solo = Solo(listening=False)
    association, init = connecting(solo)
    unreachable(solo, association, init[:size])
    assert association.state is COOKIE_WAIT


def test_forged_quotes_are_not_believed() -> None:
    """A guess at the Initiate Tag, at the ports, at the tag, at the chunk type."""
    solo = Solo(listening=False)
    association, init = connecting(solo)
    for at in (0, 1, 2, 3, 4, 7, 12, 16, 17, 18, 19):
        unreachable(solo, association, init[:at] + bytes((init[at] ^ 1,)) + init[at + 1 :])
    unreachable(solo, association, b"")
    unreachable(solo, association, bytes(500))
    assert association.state is COOKIE_WAIT


def test_a_peer_gone_after_the_shutdown_is_a_graceful_end() -> None:
    """Its SHUTDOWN COMPLETE was lost, and it has closed its socket: nothing is left to be delivered."""
    solo = Solo()
    association = into(solo, SHUTDOWN_ACK_SENT)
    quoted = Seal(PORT, PEER_PORT, association.context.peer_tag).pack(control.pack_shutdown_ack())
    unreachable(solo, association, quoted[:4] + bytes(8) + quoted[12:])  # forged
    assert so_far(association.state) is SHUTDOWN_ACK_SENT
    unreachable(solo, association, quoted)
    assert association.state is CLOSED
    assert solo.user.is_closed
    assert solo.user.error is None


@pytest.mark.parametrize(
    "state", [state for state in ALL_STATES if state not in (COOKIE_WAIT, SHUTDOWN_ACK_SENT)], ids=str
)
def test_no_icmp_ends_an_association_that_has_begun(state: State) -> None:
    """RFC 9260 would have it aborted; but a UDP port without a listener is what a peer's restart looks like, and what
    an attacker can forge. At the most it makes us ask.
    """
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    quoted = Seal(PORT, PEER_PORT, association.context.peer_tag).pack(control.pack_heartbeat(b"x"))
    for _ in range(1000):
        association.on_unreachable(ROUTE, quoted, solo.now)
        association.on_unreachable(Route(HERE, OTHER, UDP), quoted, solo.now)
    solo.touch(association)
    packets = solo.take()
    asks = state in (ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED)
    assert [kinds(packet) for _, packet in packets] == [[HEARTBEAT]] * asks
    assert image(association)[:-1] == before[:-1]
    if asks:
        solo.say(heartbeat_ack(packets))
        assert association.state is state
        assert association.path_manager.error_count == 0


@pytest.mark.parametrize("interval", [None, 30.0])
@pytest.mark.parametrize("writes", [False, True])
def test_a_dead_process_is_noticed_in_seconds(writes: bool, interval: float | None) -> None:
    """ICMP for each HEARTBEAT, and no answer to any: Association.Max.Retrans round trips, and no minutes."""
    sim = Sim(icmp=True)
    a = sim.node("a", "10.0.0.1", config=Config(heartbeat_interval=interval))
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(a.is_up)
    sim.run(2.0)
    sim.crash(z)
    began = sim.now
    if writes:
        a.send(b"is anybody there?")
    else:
        a.association.heartbeat(None, sim.now)
        a.endpoint.touch(a.association)
    sim.until(lambda: a.user.is_closed, 15.0)
    assert isinstance(a.user.error, AssociationTimeout)
    assert sim.now - began > 5.0  # a process that is started again at once is found


def test_a_process_that_is_back_in_time_is_found() -> None:
    """It knows nothing of the association, says so, and can be connected to."""
    sim = Sim(icmp=True)
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    sim.until(a.is_up)
    sim.crash(z)
    a.send(b"is anybody there?")
    sim.run(3.0)
    assert not a.user.is_closed
    z = sim.node("z again", "10.0.0.2", listening=True)
    sim.until(lambda: a.user.is_closed, 5.0)
    assert isinstance(a.user.error, AssociationAborted)
    a.connect(z)
    sim.until(a.is_up)


@pytest.mark.parametrize("answered", [1, 3, 8])
def test_a_flood_of_icmp_ends_nothing_that_answers_now_and_then(answered: int) -> None:
    """An attacker who knows the tag says for each packet that nobody took it, and the network loses all HEARTBEATs but
    every so many-th one.
    """
    solo = Solo()
    association = into(solo, ESTABLISHED)
    quoted = Seal(PORT, PEER_PORT, association.context.peer_tag).pack(control.pack_heartbeat(b"x"))
    count = 0
    for _ in range(2000):
        association.on_unreachable(ROUTE, quoted, solo.now)
        solo.touch(association)
        packets = solo.take() + solo.wait(0.05)
        if any(HEARTBEAT in kinds(packet) for _, packet in packets):
            count += 1
            if count % answered == 0:
                solo.say(heartbeat_ack(packets[-1:]))
    assert association.state is ESTABLISHED
    assert association.path_manager.error_count < answered


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_nobody_at_the_udp_port_is_told_at_once(addresses: tuple[str, str]) -> None:
    sim = Sim(icmp=True)
    a = sim.node("a", addresses[0])
    z = sim.node("z", addresses[1], listening=True, udp_port=1234)
    a.connect(z, udp_port=UDP)
    sim.until(lambda: a.user.is_closed, 1.0)
    assert isinstance(a.user.error, AssociationRefused)


def test_no_host_is_not_the_end() -> None:
    """Only time-outs decide that: routes come back."""
    sim = Sim(icmp=True)
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True)
    sim.network.remove_address(sim.network.host_of("10.0.0.2"), "10.0.0.2")  # type: ignore[arg-type]
    a.connect(z)
    sim.run(5.0)
    assert a.association.state is COOKIE_WAIT
