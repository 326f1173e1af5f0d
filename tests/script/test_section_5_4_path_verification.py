"""RFC 9260 section 5.4: an address that the peer merely claims gets HEARTBEATs, few of them, and nothing else."""

from __future__ import annotations

import pytest
from support.endpoints import HERE, PEER_TSN, THERE, UDP, Sim, Solo, chunks, data, heartbeat_ack, kinds, kinds_to

from asyncsctp.config import Config
from asyncsctp.events import PeerAddressChanged
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.paths.route import Route
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.constants import COOKIE_ACK, DATA, HEARTBEAT, HEARTBEAT_ACK, SACK

CLAIMED = "198.51.100.66"
MANY = tuple(f"198.51.100.{number}" for number in range(1, 60))


def states(solo: Solo) -> dict[str, PathState]:
    return {path.route.address: path.state for path in solo.association.path_manager.paths}


def test_rule_1_addresses_named_by_our_user() -> None:
    solo = Solo()
    solo.establish((THERE, "192.0.2.3"), addresses=("192.0.2.3", CLAIMED))
    assert states(solo) == {THERE: PathState.ACTIVE, "192.0.2.3": PathState.ACTIVE, CLAIMED: PathState.UNCONFIRMED}


def test_rules_2_and_3_of_a_listener() -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED,))
    assert states(solo) == {THERE: PathState.ACTIVE, CLAIMED: PathState.UNCONFIRMED}


@pytest.mark.parametrize(
    "items",
    [
        (data(PEER_TSN),),
        (data(PEER_TSN + 5),),
        (data(PEER_TSN, sid=60000),),
        (tlv.pack(0xC1 << 8),),
        (tlv.pack(0x41 << 8),),
        (control.pack_shutdown(0),),
        (control.pack_shutdown_ack(),),
        (control.pack_error(causes.pack_stale_cookie(3)),),
        (control.pack_heartbeat(b"x"), data(PEER_TSN)),
        (b"\0\3\0\x10" + bytes(12),),
    ],
    ids=["DATA", "gap", "bad stream", "unknown", "stop", "SHUTDOWN", "SHUTDOWN ACK", "ERROR", "HEARTBEAT", "no data"],
)
def test_what_comes_from_there_is_answered_elsewhere(items: tuple[bytes, ...]) -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED,))
    said = [*solo.say(*items, source=CLAIMED), *solo.wait(0.5)]
    for chunk_types in kinds_to(said, CLAIMED):
        assert set(chunk_types) <= {HEARTBEAT, HEARTBEAT_ACK}


def test_a_heartbeat_from_there_is_answered_there() -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED,))
    ((route, answer),) = [
        each for each in solo.say(control.pack_heartbeat(b"x"), source=CLAIMED) if HEARTBEAT_ACK in kinds(each[1])
    ]
    assert route.address == CLAIMED
    assert kinds(answer) == [HEARTBEAT_ACK]


def test_a_cookie_echo_from_there_is_answered_there_beside_a_heartbeat() -> None:
    """Section 6.4: COOKIE ACK goes where the COOKIE ECHO came from. Section 5.4: it MUST be bundled with a HEARTBEAT,
    which proves the address.
    """
    solo = Solo()
    _, echo = solo.cookie(addresses=(CLAIMED,))
    said = solo.receive(echo, CLAIMED)
    assert [(route.address, kinds(packet)) for route, packet in said] == [(CLAIMED, [COOKIE_ACK, HEARTBEAT])]
    solo.say(heartbeat_ack(said), source=CLAIMED)
    assert states(solo) == {THERE: PathState.ACTIVE, CLAIMED: PathState.ACTIVE}


def test_a_cookie_echo_again_from_there_is_answered_there_with_the_same_proof() -> None:
    """Its copies neither put off the time-out of the HEARTBEAT nor spoil its nonce."""
    solo = Solo()
    _, echo = solo.cookie(addresses=(CLAIMED,))
    solo.receive(echo)
    ((route, packet),) = solo.receive(echo, CLAIMED)
    assert (route.address, kinds(packet)) == (CLAIMED, [COOKIE_ACK, HEARTBEAT])
    path = solo.association.path_manager.find(CLAIMED)
    assert path is not None
    for _ in range(8):
        solo.wait(0.2)
        ((_, again),) = [each for each in solo.receive(echo, CLAIMED) if COOKIE_ACK in kinds(each[1])]
        assert kinds(again) == [COOKIE_ACK, HEARTBEAT]
    assert path.error_count == 1
    solo.say(heartbeat_ack([(route, again)]), source=CLAIMED)
    assert path.state is PathState.ACTIVE


def test_a_cookie_ack_comes_first_among_answers_of_a_batch() -> None:
    """Section 5.1 D, whatever was due to that address before."""
    solo = Solo()
    _, echo = solo.cookie(addresses=(CLAIMED,))
    solo.receive(echo)
    route = Route(HERE, CLAIMED, UDP)
    heartbeat = solo.packet(control.pack_heartbeat(b"x"))
    solo.endpoint.receive_batch([heartbeat, echo, heartbeat], route, solo.now)
    said = solo.take()
    assert kinds_to(said, CLAIMED) == [[HEARTBEAT_ACK], [COOKIE_ACK, HEARTBEAT, HEARTBEAT_ACK]]


def test_our_abort_and_our_data_avoid_it_even_if_our_user_prefers_it() -> None:
    solo = Solo()
    association = solo.accept(addresses=(CLAIMED,))
    association.set_primary(CLAIMED)
    association.send(0, b"data")
    solo.touch()
    said = solo.take()
    assert [route.address for route, packet in said if DATA in kinds(packet)] == [THERE]
    association.abort(solo.now, b"")
    solo.touch()
    assert [route.address for route, _ in solo.take()] == [THERE]


def test_retransmissions_avoid_it() -> None:
    """RFC 5062 section 5: the bombing attack; and when all else has failed, it is no alternative either."""
    solo = Solo(config=Config(max_retrans=8, path_max_retrans=2, rto_max=2.0))
    association = solo.accept(addresses=(CLAIMED,))
    association.send(0, bytes(50_000))
    solo.touch()
    said = solo.wait(120.0)
    assert association.state is not ESTABLISHED
    assert {tuple(set(each)) for each in kinds_to(said, CLAIMED)} == {(HEARTBEAT,)}


def test_the_probe_has_a_nonce_of_64_bits_and_says_its_path() -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED, "198.51.100.67"))
    said = solo.wait(5.0)
    infos = [
        (route.address, control.read_heartbeat(chunk, 4, len(chunk)))
        for route, packet in said
        for chunk in chunks(packet)
        if chunk[0] == HEARTBEAT
    ]
    assert len(infos) == len({info for _, info in infos}) >= 4
    assert all(len(info) >= 12 for _, info in infos)


def probe(solo: Solo, address: str = CLAIMED) -> bytes:
    """The Heartbeat Info of the next probe of an address."""
    for _ in range(100):
        for route, packet in solo.wait(0.1):
            for chunk in chunks(packet):
                if chunk[0] == HEARTBEAT and route.address == address:
                    return control.read_heartbeat(chunk, 4, len(chunk))
    raise AssertionError("no probe")


def test_only_the_right_nonce_confirms() -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED,))
    info = probe(solo)
    for at in range(len(info)):
        forged = info[:at] + bytes((info[at] ^ 1,)) + info[at + 1 :]
        solo.say(control.pack_heartbeat_ack(forged), source=CLAIMED)
    for forged in (b"", info[:-1], info + b"\0", bytes(len(info))):
        solo.say(control.pack_heartbeat_ack(forged), source=CLAIMED)
    assert states(solo)[CLAIMED] is PathState.UNCONFIRMED
    solo.say(control.pack_heartbeat_ack(info), source=CLAIMED)
    assert states(solo)[CLAIMED] is PathState.ACTIVE
    assert PeerAddressChanged(CLAIMED, "confirmed") in solo.user.events


def test_the_nonce_of_one_address_does_not_confirm_another() -> None:
    solo = Solo()
    other = "198.51.100.67"
    solo.accept(addresses=(CLAIMED, other))
    info = probe(solo)
    path_id = solo.association.path_manager.find(other).path_id  # type: ignore[union-attr]
    solo.say(control.pack_heartbeat_ack(path_id.to_bytes(4) + info[4:]), source=other)
    assert states(solo)[other] is PathState.UNCONFIRMED


def test_probes_are_few_however_many_addresses() -> None:
    """HB.Max.Burst in each RTO, over all addresses; and of 59 claimed ones, only so many are used at all."""
    solo = Solo(config=Config(heartbeat_interval=30.0))
    solo.accept(addresses=MANY)
    paths = len(solo.association.path_manager.paths)
    assert paths <= 16
    for _ in range(20):
        said = solo.wait(1.0)
        assert sum(route.address != THERE for route, _ in said) <= 2
    # When all have failed to answer, the rate is that of HEARTBEATs.
    solo.wait(2000.0)
    said = solo.wait(300.0)
    assert sum(route.address != THERE for route, _ in said) <= paths * 300 / 30


def test_unanswered_probes_end_nothing() -> None:
    """The overall error counter of the association is not incremented by them."""
    solo = Solo(config=Config(max_retrans=2, heartbeat_interval=None))
    association = solo.accept(addresses=(CLAIMED,))
    solo.wait(3000.0)
    assert association.state is ESTABLISHED
    assert association.path_manager.error_count == 0
    assert states(solo)[CLAIMED] is PathState.UNCONFIRMED


def test_a_cookie_echo_never_goes_to_an_unconfirmed_address() -> None:
    """The INIT ACK comes from an address that nobody named, and lists the one that was."""
    solo = Solo()
    solo.connect((THERE,))
    said = solo.answer(CLAIMED, addresses=(THERE,))
    said += solo.wait(10.0)
    assert {route.address for route, _ in said} == {THERE}


def test_sacks_go_where_data_came_from_once_it_is_confirmed() -> None:
    solo = Solo()
    solo.accept(addresses=(CLAIMED,))
    info = probe(solo)
    solo.say(control.pack_heartbeat_ack(info), source=CLAIMED)
    said = solo.say(data(PEER_TSN), source=CLAIMED)
    assert [route.address for route, packet in said if SACK in kinds(packet)] == [CLAIMED]


@pytest.mark.parametrize(("client", "server"), [(1, 3), (3, 1), (3, 3), (2, 3)])
def test_all_real_addresses_are_confirmed_in_the_end(client: int, server: int) -> None:
    sim = Sim()
    a = sim.node("a", *[f"10.{number}.0.1" for number in range(client)])
    z = sim.node("z", *[f"10.{number}.0.2" for number in range(server)], listening=True)
    a.connect(z, z.addresses[:1])
    sim.until(lambda: a.is_up() and z.is_up())
    for node, count in ((a, server), (z, client)):
        assert len(node.association.path_manager.paths) == count
    sim.until(
        lambda: all(path.state is PathState.ACTIVE for node in (a, z) for path in node.association.path_manager.paths),
        30,
    )
    a.send(b"to z")
    z.send(b"to a")
    sim.until(lambda: a.received and z.received)


def test_a_claimed_address_of_a_bystander_costs_it_little() -> None:
    """The bystander has an SCTP endpoint: it answers the probes by ABORT, which harms nobody."""
    sim = Sim()
    liar = sim.node("liar", "10.0.0.1", "10.9.0.1")
    sim.network.cut("10.9.0.1", "10.0.0.2")
    z = sim.node("z", "10.0.0.2", listening=True)
    liar.connect(z)
    sim.until(lambda: liar.is_up() and z.is_up())
    z.send(bytes(100_000))
    sim.run(300.0)
    assert z.is_up()
    assert liar.received == [bytes(100_000)]
    sent = [datagram for datagram in sim.log if datagram.destination[0] == "10.9.0.1"]
    assert sum(len(datagram.data) for datagram in sent) < 3000
