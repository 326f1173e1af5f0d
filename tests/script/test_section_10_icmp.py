"""RFC 9260 section 10 and RFC 6951 section 5.5: which ICMP messages are believed, and what they bring about."""

from __future__ import annotations

import pytest
from support.changing import so_far
from support.stage import (
    ALL_STATES,
    HERE,
    OTHER,
    PEER_PORT,
    PORT,
    THERE,
    UDP,
    Sim,
    Solo,
    image,
    into,
)

from asyncsctp.association import Association
from asyncsctp.errors import AssociationRefused
from asyncsctp.handlers.state import CLOSED, COOKIE_WAIT, SHUTDOWN_ACK_SENT, State
from asyncsctp.paths.encapsulation import Route
from asyncsctp.wire import control
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
    """RFC 9260 would have it aborted; but a UDP port without a listener is what a peer's restart looks like."""
    solo = Solo()
    association = into(solo, state)
    before = image(association)
    quoted = Seal(PORT, PEER_PORT, association.context.peer_tag).pack(control.pack_heartbeat(b"x"))
    unreachable(solo, association, quoted)
    unreachable(solo, association, quoted, Route(HERE, OTHER, UDP))
    assert image(association) == before


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
