"""RFC 6951 with the drafts rfc6951-bis and udp-encaps-cons: UDP ports, NATs, and what else stands around the packet.

And what RFC 9260 section 5.1.2 has about addresses: families, scopes, links.
"""

from __future__ import annotations

import pytest
from support.auth_reference import SHA_1, SHA_256
from support.chunks import pack_data
from support.endpoints import (
    OTHER,
    PEER_PORT,
    PEER_TAG,
    PEER_TSN,
    THERE,
    UDP,
    Sim,
    Solo,
    cause_of,
    chunks,
    data,
    init_of,
    kinds,
)
from support.script import LOCAL, PEER, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationRefused
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.paths.encapsulation import listed_addresses
from asyncsctp.paths.route import Route, as_seen, in_scope, is_source_for
from asyncsctp.wire import control
from asyncsctp.wire.auth import NEVER_AUTHENTICATED, pack_auth
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_NEW_ENCAPSULATION_PORT,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
    INIT_ACK,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
)
from asyncsctp.wire.init import Init, pack_init

# Section 5.4: the peer's port is learned from packets whose tag was right.


def udp_port(solo: Solo, address: str = THERE) -> int:
    path = solo.association.path_manager.find(address)
    assert path is not None
    return path.route.udp_port


def test_the_port_moves_with_a_verified_packet() -> None:
    solo = Solo()
    solo.accept()
    ((route, answer),) = solo.say(data(PEER_TSN), udp_port=4444)
    assert (route.udp_port, kinds(answer)) == (4444, [SACK])
    assert udp_port(solo) == 4444


@pytest.mark.parametrize("tag", [1, PEER_TAG, 0])
def test_the_port_does_not_move_with_any_other(tag: int) -> None:
    solo = Solo()
    solo.accept()
    for chunk in (data(PEER_TSN), control.pack_heartbeat(b"x"), control.pack_abort(), control.pack_shutdown_ack()):
        solo.say(chunk, tag=tag, udp_port=4444)
    assert udp_port(solo) == UDP


def test_the_port_does_not_move_with_a_broken_checksum() -> None:
    solo = Solo()
    solo.accept()
    packet = solo.packet(data(PEER_TSN))
    solo.receive(packet[:-1] + b"\xff", udp_port=4444)
    assert udp_port(solo) == UDP


def test_the_port_does_not_move_with_an_init() -> None:
    """Draft udp-encaps-cons section 4: rules 1 and 7."""
    solo = Solo()
    solo.accept()
    ((route, answer),) = solo.init(udp_port=4444, initiate_tag=7)
    assert route.udp_port == 4444
    assert (kinds(answer), cause_of(chunks(answer)[0])) == ([ABORT], CAUSE_NEW_ENCAPSULATION_PORT)
    assert udp_port(solo) == UDP


def test_ports_are_learned_for_each_address() -> None:
    solo = Solo()
    solo.accept(addresses=(OTHER,))
    solo.say(data(PEER_TSN), source=OTHER, udp_port=4444)
    assert (udp_port(solo), udp_port(solo, OTHER)) == (UDP, 4444)


def test_a_restart_keeps_the_ports_of_other_addresses() -> None:
    solo = Solo()
    solo.accept(addresses=(OTHER,))
    solo.say(data(PEER_TSN), source=OTHER, udp_port=4444)
    _, echo = solo.cookie(initiate_tag=7, addresses=(OTHER,))
    solo.receive(echo)
    assert solo.association.statistics.restarts == 1
    assert (udp_port(solo), udp_port(solo, OTHER)) == (UDP, 4444)


def test_the_port_of_the_cookie_echo_counts_not_that_of_the_init() -> None:
    """A NAT forgot its mapping between the two: only the COOKIE ECHO is verified."""
    solo = Solo()
    _, echo = solo.cookie(udp_port=4444)
    said = solo.receive(echo, udp_port=5555)
    assert [(route.udp_port, kinds(packet)) for route, packet in said] == [(5555, [COOKIE_ACK])]


@pytest.mark.parametrize("chunk", [data(1), control.pack_shutdown_ack()])
def test_out_of_the_blue_the_answer_goes_to_the_port_that_asked(chunk: bytes) -> None:
    """Draft udp-encaps-cons section 3."""
    solo = Solo()
    ((route, _),) = solo.say(chunk, tag=99, udp_port=4444)
    assert (route.address, route.udp_port) == (THERE, 4444)


def test_a_server_that_answers_from_another_port() -> None:
    solo = Solo(listening=False)
    solo.connect()
    ((route, _),) = solo.answer(udp_port=4444)
    assert route.udp_port == 4444


def test_single_homed_associations_list_no_address() -> None:
    """Section 3.2, a MUST: a NAT would change it."""
    solo = Solo(listening=False)
    assert solo.connect().addresses == ()


# NATs.


def behind_nat(sim: Sim, **options: object) -> tuple[object, object, object]:
    a = sim.node("a", "192.168.1.2")
    z = sim.node("z", "203.0.113.2", listening=True)
    nat = sim.network.nat("203.0.113.1", "192.168.1.2", **options)  # type: ignore[arg-type]
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    return a, z, nat


def test_a_client_behind_a_nat() -> None:
    sim = Sim()
    a, z, _ = behind_nat(sim)
    assert [path.route.address for path in z.association.path_manager.paths] == ["203.0.113.1"]  # type: ignore[attr-defined]
    z.send(b"to a")  # type: ignore[attr-defined]
    a.send(b"to z")  # type: ignore[attr-defined]
    sim.until(lambda: a.received and z.received)  # type: ignore[attr-defined]


@pytest.mark.parametrize("from_client", [True, False])
def test_data_flows_on_when_the_nat_rebinds(from_client: bool) -> None:
    """The client's next packet, DATA, SACK or HEARTBEAT, tells the new port; nothing is lost for good."""
    sim = Sim()
    a, z, nat = behind_nat(sim)
    sender, receiver = (a, z) if from_client else (z, a)
    messages = [number.to_bytes(2) * 20_000 for number in range(20)]
    for number, message in enumerate(messages):
        sender.send(message)  # type: ignore[attr-defined]
        sim.run(0.015)
        if number % 5 == 2:
            nat.rebind()  # type: ignore[attr-defined]
    sim.until(lambda: len(receiver.received) == 20, 200)  # type: ignore[attr-defined]
    assert receiver.received == messages  # type: ignore[attr-defined]
    assert a.is_up()  # type: ignore[attr-defined]
    assert len(z.users) == 1  # type: ignore[attr-defined]


def test_heartbeats_keep_a_nat_open() -> None:
    """Section 3.2; draft udp-encaps-cons section 5 wants their interval at 15 s."""
    sim = Sim()
    a, z, _ = behind_nat(sim, idle_timeout=60.0)
    sim.run(1000.0)
    z.send(b"still there?")  # type: ignore[attr-defined]
    sim.until(lambda: a.received, 1.0)  # type: ignore[attr-defined]


def test_a_nat_that_forgot_is_reopened_by_the_client() -> None:
    sim = Sim()
    a, z, nat = behind_nat(sim)
    sim.run(10.0)
    nat.rebind()  # type: ignore[attr-defined]
    z.send(b"held up")  # type: ignore[attr-defined]
    sim.until(lambda: a.received, 90.0)  # type: ignore[attr-defined]


def test_two_clients_behind_one_nat_with_the_same_sctp_port() -> None:
    """The second is told why (cause 14), and the first is not disturbed."""
    sim = Sim()
    a = sim.node("a", "192.168.1.2")
    b = sim.node("b", "192.168.1.3")
    z = sim.node("z", "203.0.113.2", listening=True)
    sim.network.nat("203.0.113.1", "192.168.1.2", "192.168.1.3")
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    b.connect(z)
    sim.until(lambda: b.user.is_closed)
    assert isinstance(b.user.error, AssociationRefused)
    assert b.user.error.causes[0].code == CAUSE_NEW_ENCAPSULATION_PORT
    a.send(b"undisturbed")
    sim.until(lambda: z.received)
    assert z.association.path_manager.primary.route.udp_port == 20000


def test_two_clients_behind_one_nat_with_two_sctp_ports() -> None:
    sim = Sim()
    a = sim.node("a", "192.168.1.2", port=4000)
    b = sim.node("b", "192.168.1.3", port=4001)
    z = sim.node("z", "203.0.113.2", listening=True)
    sim.network.nat("203.0.113.1", "192.168.1.2", "192.168.1.3")
    a.connect(z)
    b.connect(z)
    sim.until(lambda: a.is_up() and b.is_up() and len(z.users) == 2)
    a.send(b"a")
    b.send(b"b")
    sim.until(lambda: all(user.messages for user in z.users))


def test_private_addresses_are_not_listed_to_a_public_peer() -> None:
    """Section 5.7: addresses that might require translation MUST NOT be in the packet."""
    assert listed_addresses(("192.168.1.2", "10.0.0.1", "203.0.113.1"), "203.0.113.2") == ()
    assert listed_addresses(("192.168.1.2", "10.0.0.1"), "10.0.0.2") == ("192.168.1.2", "10.0.0.1")


# Several addresses, several families.


def test_a_dual_stack_association() -> None:
    sim = Sim()
    a = sim.node("a", "203.0.113.1", "2001:db8::1")
    z = sim.node("z", "203.0.113.2", "2001:db8::2", listening=True)
    a.connect(z, ("2001:db8::2",))
    sim.until(lambda: a.is_up() and z.is_up())
    for node, peer in ((a, z), (z, a)):
        assert {path.route.address for path in node.association.path_manager.paths} == set(peer.addresses)
        for path in node.association.path_manager.paths:
            assert (":" in path.route.local) == (":" in path.route.address)
    sim.run(20.0)
    sim.network.cut("2001:db8::1", "2001:db8::2")
    a.send(bytes(50_000))
    z.send(bytes(50_000))
    sim.until(lambda: a.received and z.received, 400)


def test_one_family_on_the_server_two_on_the_client() -> None:
    sim = Sim()
    a = sim.node("a", "203.0.113.1", "2001:db8::1")
    z = sim.node("z", "203.0.113.2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    assert [path.route.address for path in z.association.path_manager.paths] == ["203.0.113.1"]
    a.send(b"data")
    sim.until(lambda: z.received)


@pytest.mark.parametrize(("client", "server"), [(1, 2), (2, 1), (3, 2)])
def test_failover_with_unequal_numbers_of_addresses(client: int, server: int) -> None:
    sim = Sim()
    a = sim.node("a", *[f"203.0.{number}.1" for number in range(client)])
    z = sim.node("z", *[f"203.0.{number}.2" for number in range(server)], listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    sim.run(30.0)
    if server > 1:
        for address in a.addresses:
            sim.network.cut(address, "203.0.0.2")
    else:
        for address in z.addresses:
            sim.network.cut("203.0.0.1", address)
    a.send(bytes(50_000))
    z.send(bytes(50_000))
    sim.until(lambda: a.received and z.received, 400)


# Link-local addresses: the zone is ours to know, and never on the wire.


@pytest.mark.parametrize("lists", [(), ("fe80::77",), ("fe80::77", "fe80::78")])
def test_a_link_local_peer_is_accepted(lists: tuple[str, ...]) -> None:
    solo = Solo(addresses=("fe80::1%eth0",))
    source = "fe80::2%eth0"
    association = solo.accept(source, addresses=lists)
    addresses = [path.route.address for path in association.path_manager.paths]
    assert addresses == [source, *[f"{address}%eth0" for address in lists]]
    said = solo.say(data(PEER_TSN), source=source)
    assert [route.address for route, packet in said if SACK in kinds(packet)] == [source]


def test_a_link_local_peer_can_be_called() -> None:
    solo = Solo(listening=False, addresses=("2001:db8::1", "fe80::1%eth1", "fe80::1%eth0"))
    init = solo.connect(("fe80::2%eth0",))
    assert all("%" not in address for address in init.addresses)
    assert solo.association.path_manager.primary.route == Route("fe80::1%eth0", "fe80::2%eth0", UDP)
    ((route, _),) = solo.answer("fe80::2%eth0", addresses=("fe80::2", "fe80::3"))
    assert (route.address, route.udp_port) == ("fe80::2%eth0", UDP)
    solo.say(control.pack_cookie_ack(), source="fe80::2%eth0")
    assert [path.route.address for path in solo.association.path_manager.paths] == ["fe80::2%eth0", "fe80::3%eth0"]
    assert solo.association.state is ESTABLISHED


def test_a_link_local_peer_restarts() -> None:
    solo = Solo(addresses=("fe80::1%eth0",))
    association = solo.accept("fe80::2%eth0", addresses=("fe80::2", "fe80::3"))
    ((_, answer),) = solo.init("fe80::2%eth0", initiate_tag=7, addresses=("fe80::2", "fe80::3"))
    assert kinds(answer) == [INIT_ACK]
    ack = init_of(answer)
    solo.receive(solo.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag), "fe80::2%eth0")
    assert association.statistics.restarts == 1
    assert [path.route.address for path in association.path_manager.paths] == ["fe80::2%eth0", "fe80::3%eth0"]


def test_the_same_link_local_address_on_two_links_is_two_hosts() -> None:
    solo = Solo(addresses=("fe80::1%eth0", "fe80::1%eth1"))
    first = solo.accept("fe80::2%eth0")
    ((_, answer),) = solo.init("fe80::2%eth1", initiate_tag=7)
    ack = init_of(answer)
    assert ack.initiate_tag != first.context.local_tag
    solo.receive(solo.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag), "fe80::2%eth1")
    assert len(solo.users) == 2
    assert first.statistics.restarts == 0


def test_what_addresses_mean_to_whom() -> None:
    named = ("fe80::2", "2001:db8::1", "10.0.0.1")
    assert as_seen(named, "fe80::9%eth0") == ("fe80::2%eth0", "2001:db8::1", "10.0.0.1")
    assert as_seen(("fe80::2",), "2001:db8::9") == ("fe80::2",)
    assert not in_scope("fe80::2", "2001:db8::9")
    assert not in_scope("fe80::2%eth0", "fe80::3%eth1")
    assert in_scope("fe80::2%eth0", "fe80::3%eth0")
    assert in_scope("2001:db8::1", "fe80::3%eth0")


@pytest.mark.parametrize(
    ("local", "address", "expected"),
    [
        ("127.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("10.0.0.1", "203.0.113.1", True),
        ("203.0.113.1", "10.0.0.1", True),
        ("fe80::1%eth0", "2001:db8::1", False),
        ("2001:db8::1", "fe80::1%eth0", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("fe80::1%eth1", "fe80::2%eth0", False),
        ("::1", "::1", True),
    ],
)
def test_where_we_send_from(local: str, address: str, expected: bool) -> None:
    assert is_source_for(local, address) is expected


def test_a_path_starts_from_an_address_that_can_be_answered() -> None:
    solo = Solo(listening=False, addresses=("127.0.0.1", "fe80::1%eth0", "2001:db8::1", "203.0.113.1"))
    solo.connect(("203.0.113.9", "2001:db8::9"))
    locals_ = [path.route.local for path in solo.association.path_manager.paths]
    assert locals_ == ["203.0.113.1", "2001:db8::1"]


def test_if_nothing_fits_any_of_the_family_is_tried() -> None:
    solo = Solo(listening=False, addresses=("127.0.0.1",))
    solo.connect(("203.0.113.9",))
    assert solo.association.path_manager.primary.route.local == "127.0.0.1"


def test_scopes_of_a_listener() -> None:
    """A public peer's loopback, link-local and private addresses are not used; it costs them nothing."""
    solo = Solo(addresses=("203.0.113.1", "2001:db8::1"))
    lists = ("127.0.0.1", "::1", "fe80::5", "10.0.0.5", "203.0.113.5", "2001:db8::5")
    association = solo.accept("203.0.113.4", addresses=lists)
    assert [path.route.address for path in association.path_manager.paths] == [
        "203.0.113.4",
        "203.0.113.5",
        "2001:db8::5",
    ]
    assert association.path_manager.paths[0].state is PathState.ACTIVE


def test_sctp_packets_are_padded_and_sealed_whatever_the_family() -> None:
    """Section 5.3: the SCTP checksum MUST be computed."""
    sim = Sim()
    a = sim.node("a", "2001:db8::1", config=Config(mtu=1500))
    z = sim.node("z", "2001:db8::2", listening=True)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    a.send(bytes(20_001))
    sim.until(lambda: z.received)
    for datagram in sim.log:
        assert chunks(datagram.data)  # which checks the checksum
        assert len(datagram.data) <= 1500 - 40 - 8
    assert max(len(datagram.data) for datagram in sim.log) > 1400


def test_nothing_is_answered_to_a_reflected_complete_of_another_port() -> None:
    solo = Solo()
    solo.accept()
    assert (
        solo.receive(
            solo.packet(control.pack_shutdown_complete(reflected=True), tag=PEER_TAG, peer_port=PEER_PORT + 1),
            udp_port=1,
        )
        == []
    )


# Where chunks must be authenticated, the tag alone proves nothing of who can read packets (RFC 4895 section 6.3).

EVERYTHING = frozenset(range(256)) - NEVER_AUTHENTICATED
COMMON = frozenset({DATA, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, ERROR, SHUTDOWN, SHUTDOWN_ACK, COOKIE_ECHO})
INIT_ACK_OF_NOBODY = pack_init(Init(7, 1 << 20, 1, 1, 1, cookie=b"cookie"), True)


def authenticating(demanded: frozenset[int]) -> Script:
    return Script(Config(auth=True, auth_chunks=demanded, heartbeat_interval=None), auth=frozenset())


def send_from(script: Script, udp_port: int, *said: bytes) -> None:
    script.endpoint.receive(script.packet(*said), Route(LOCAL[0], PEER[0], udp_port), script.now)
    script.flush()


def port_in_use(script: Script) -> int:
    """Where the next message goes to."""
    script.take()
    script.write(b"to the peer")
    [packet] = script.take()
    return packet.route.udp_port


@pytest.mark.parametrize("demanded", [EVERYTHING, COMMON], ids=["everything", "all that is common"])
@pytest.mark.parametrize(
    "said",
    [
        (),
        (pack_data(3, 0, 0, 0, 0, b"forged"),),
        (control.pack_heartbeat(b"x"),),
        (control.pack_heartbeat(b"x"), control.pack_pad(100)),
        (control.pack_error(b""),),
        (control.pack_pad(100),),
        (control.pack_shutdown_complete(),),
        (INIT_ACK_OF_NOBODY,),
        (control.pack_cookie_ack(),),
        (bytes.fromhex("be000004"),),
        (bytes.fromhex("3e000004"),),
        (bytes.fromhex("00000001"),),
        (pack_auth(0, SHA_256, bytes(32)), control.pack_heartbeat(b"x")),
        (control.pack_pad(4), pack_auth(0, SHA_1, bytes(20)), control.pack_heartbeat(b"x")),
    ],
    ids=lambda said: b"".join(said)[:8].hex(),
)
def test_the_port_does_not_move_with_what_nobody_vouches_for(said: tuple[bytes, ...], demanded: frozenset[int]) -> None:
    script = authenticating(demanded)
    send_from(script, 4444, *said)
    assert port_in_use(script) == UDP
    script.send(script.data(1), auth=0)
    assert {packet.route.udp_port for packet in script.wait()} == {UDP}


@pytest.mark.parametrize("demanded", [EVERYTHING, frozenset({DATA})], ids=["everything", "DATA"])
def test_the_port_moves_with_what_is_authenticated(demanded: frozenset[int]) -> None:
    script = authenticating(demanded)
    send_from(script, 4444, script.authenticated(control.pack_heartbeat(b"x")))
    assert [packet.route.udp_port for packet in script.take()] == [4444]
    assert port_in_use(script) == 4444


def test_the_port_moves_with_a_chunk_that_need_not_be_authenticated() -> None:
    """It is believed by what the chunk itself is believed by: a peer that only sends SACKs may stand behind a NAT."""
    script = authenticating(frozenset({DATA}))
    script.write(b"to the peer")
    send_from(script, 4444, script.sack(0))
    assert port_in_use(script) == 4444
