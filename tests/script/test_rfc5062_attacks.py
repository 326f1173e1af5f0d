"""RFC 5062: the attacks on SCTP that it describes, one after the other, against whole endpoints."""

from __future__ import annotations

import pytest
from support.endpoints import (
    OTHER,
    PEER_PORT,
    PEER_TAG,
    PEER_TSN,
    PORT,
    THERE,
    VICTIM,
    Sim,
    Solo,
    chunks,
    data,
    init_of,
    kinds,
    kinds_to,
)

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted
from asyncsctp.events import AssociationRestarted
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.wire import causes, control, sack
from asyncsctp.wire.constants import ABORT, COOKIE_ACK, DATA, HEARTBEAT, INIT_ACK
from asyncsctp.wire.packet import Seal


def test_section_2_camping_on_an_address_ends_when_the_owner_says_so() -> None:
    """The camper lists the victim's address; its HEARTBEAT is answered by the victim with an ABORT, reflected."""
    sim = Sim()
    camper = sim.node("camper", "10.0.0.1", "10.0.0.66", port=7000)
    sim.network.cut("10.0.0.66", "10.0.0.2", one_way=True)
    z = sim.node("z", "10.0.0.2", listening=True)
    camper.connect(z)
    sim.until(lambda: z.is_up())
    address = "10.0.0.66"
    path = z.association.path_manager.find(address)
    assert path is not None
    assert path.state is PathState.UNCONFIRMED
    # The victim's host: not the camper's after all. What reaches it, it answers as out of the blue.
    victim = Solo(addresses=(address,))
    sim.run(3.0)
    probes = [datagram for datagram in sim.log if datagram.destination[0] == address]
    assert probes
    ((_, answer),) = victim.receive(_readdressed(probes[-1].data))
    assert kinds(answer) == [ABORT]
    assert chunks(answer)[0][1] == 1


def _readdressed(packet: bytes) -> bytes:
    """The same packet to the port of a `Solo`."""
    source = int.from_bytes(packet[:2])
    tag = int.from_bytes(packet[4:8])
    return Seal(source, PORT, tag).pack(packet[12:])


def test_section_2_the_abort_of_the_owner_of_an_address_ends_the_campers_association() -> None:
    solo = Solo()
    association = solo.accept(addresses=(VICTIM,))
    solo.say(control.pack_abort(reflected=True), tag=PEER_TAG, source=VICTIM)
    assert association.state is not ESTABLISHED


def test_section_3_the_cookie_does_not_show_the_tags() -> None:
    solo = Solo()
    association = solo.accept()
    context = association.context
    ((_, answer),) = solo.init(initiate_tag=7)
    assert context.local_tag.to_bytes(4) not in answer
    assert context.peer_tag.to_bytes(4) not in answer


def test_section_4_a_takeover_by_restart_is_told_to_the_user() -> None:
    solo = Solo()
    solo.accept()
    _, echo = solo.cookie(initiate_tag=7)
    solo.receive(echo)
    assert sum(isinstance(event, AssociationRestarted) for event in solo.user.events) == 1


def test_section_5_bombing_by_a_listed_address() -> None:
    """The attacker stops to acknowledge, so that retransmissions go to the victim: they don't."""
    solo = Solo(config=Config(max_retrans=6, path_max_retrans=1))
    association = solo.accept(addresses=(VICTIM,))
    association.send(0, bytes(100_000))
    solo.touch()
    said = solo.wait(300.0)
    to_victim = kinds_to(said, VICTIM)
    assert {kind for types in to_victim for kind in types} == {HEARTBEAT}
    assert len(to_victim) < 20
    assert association.state is not ESTABLISHED


def test_section_5_bombing_by_a_forged_cookie_echo() -> None:
    """The INIT ACK went to the attacker; a COOKIE ECHO under the victim's name does not make it the victim's."""
    solo = Solo()
    _, echo = solo.cookie(addresses=(VICTIM,))
    solo.receive(echo, VICTIM)
    association = solo.association
    association.send(0, bytes(10_000))
    solo.touch()
    said = solo.take()
    assert {route.address for route, packet in said if DATA in kinds(packet)} == {THERE}


def test_section_6_replayed_cookies_bomb_nobody() -> None:
    """Each cookie makes one association at most, so HEARTBEATs to the victim are bounded by INITs."""
    solo = Solo(config=Config(cookie_lifetime=600.0))
    _, echo = solo.cookie(addresses=tuple(f"203.0.113.{number}" for number in range(1, 40)))
    probes = 0
    for _ in range(50):
        said = [*solo.receive(echo), *solo.wait(0.1)]
        probes += sum(HEARTBEAT in kinds(packet) for _, packet in said)
        if solo.endpoint.associations:
            solo.say(control.pack_abort(reflected=True), tag=PEER_TAG, source="203.0.113.1")
    assert len(solo.users) == 1
    assert probes <= 3


def test_section_6_3_no_long_lives_even_if_requested() -> None:
    solo = Solo(config=Config(cookie_lifetime=5.0))
    _, echo = solo.cookie(preservative_ms=3_600_000)
    solo.wait(10.5)
    assert not any(COOKIE_ACK in kinds(packet) for _, packet in solo.receive(echo))
    assert solo.users == []


@pytest.mark.parametrize("ports", [(PEER_PORT + 1, PORT), (PEER_PORT, PORT + 1)])
def test_section_7_redirection_by_ports(ports: tuple[int, int]) -> None:
    solo = Solo()
    ack, _ = solo.cookie()
    packet = solo.packet(
        control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag, peer_port=ports[0], port=ports[1]
    )
    said = solo.receive(packet)
    assert not any(COOKIE_ACK in kinds(answer) for _, answer in said)
    assert solo.users == []


def test_section_8_an_init_of_many_addresses_is_answered_once_and_to_its_source() -> None:
    solo = Solo()
    said = solo.init(addresses=tuple(f"203.0.113.{number}" for number in range(1, 60)))
    assert [route.address for route, _ in said] == [THERE]


@pytest.mark.parametrize("how", [(10_000, []), (-1, [(2, 2), (10_000, 10_001)]), (-1, [(3, 65535)])])
def test_optimistic_acknowledgements_are_a_violation(how: tuple[int, list[tuple[int, int]]]) -> None:
    """A SACK for what was never sent: no window is to be had by it. RFC 9260 section 12.4: nor by Gap Ack Blocks."""
    solo = Solo()
    association = solo.accept()
    association.send(0, bytes(100_000))
    solo.touch()
    solo.take()
    tsn = association.context.setup.local_initial_tsn  # type: ignore[union-attr]
    ahead, gaps = how
    said = solo.say(sack.pack_sack(tsn + ahead & 0xFFFFFFFF, 100_000, gaps, []))
    assert [kinds(packet) for _, packet in said] == [[ABORT]]
    assert isinstance(solo.user.error, AssociationAborted)


def test_a_late_sack_for_what_was_never_sent_is_dropped() -> None:
    """Section 6.2.1 D i: it is not looked into; TSNs may have begun anew since (RFC 6525)."""
    solo = Solo()
    association = solo.accept()
    for _ in range(2):
        association.send(0, b"x")
    solo.touch()
    solo.take()
    tsn = association.context.setup.local_initial_tsn  # type: ignore[union-attr]
    solo.say(sack.pack_sack(tsn + 1 & 0xFFFFFFFF, 100_000))
    assert solo.say(sack.pack_sack(tsn, 100_000, [(3, 500)])) == []
    assert association.state is ESTABLISHED


def test_blind_aborts_need_the_tag() -> None:
    solo = Solo()
    association = solo.accept()
    right = association.context.local_tag
    for tag in range(1, 3000):
        if tag not in (right, PEER_TAG):
            for flag in (False, True):
                solo.say(control.pack_abort(reflected=flag), tag=tag)
    assert association.state is ESTABLISHED


def test_blind_packets_cost_the_association_nothing() -> None:
    solo = Solo()
    association = solo.accept()
    for number in range(1000):
        solo.say(data(PEER_TSN + number), tag=number + 1)
        solo.say(control.pack_error(causes.pack_stale_cookie(number)), tag=number + 1)
    assert association.statistics.packets_received == 0
    assert association.statistics.bad_tags == 2000


def test_cookies_of_one_endpoint_are_not_good_at_another() -> None:
    one, other = Solo(seed=1), Solo(seed=2)
    _, echo = one.cookie()
    assert other.receive(echo) == []
    assert kinds(one.receive(echo)[0][1]) == [COOKIE_ACK]


def test_a_flood_of_cookies_makes_only_what_the_limit_allows() -> None:
    solo = Solo(limit=10)
    echoes = []
    for number in range(50):
        source = f"198.51.100.{number + 1}"
        _, echo = solo.cookie(source, initiate_tag=number + 1)
        echoes.append((source, echo))
    for source, echo in echoes:
        solo.receive(echo, source)
    assert len(solo.users) == len(solo.endpoint.associations) == 10


def test_an_init_does_not_take_an_address_from_its_association() -> None:
    """Two peers claim the same address: who has it keeps it."""
    solo = Solo()
    first = solo.accept(THERE)
    ((_, answer),) = solo.init(OTHER, initiate_tag=7, addresses=(THERE,))
    assert kinds(answer) == [ABORT]
    ((_, answer),) = solo.init(OTHER, initiate_tag=8)
    assert kinds(answer) == [INIT_ACK]
    ack = init_of(answer)
    solo.receive(solo.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag), OTHER)
    assert solo.endpoint.find(THERE, PEER_PORT) is first
