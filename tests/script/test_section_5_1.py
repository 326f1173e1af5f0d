"""RFC 9260 section 5.1: normal establishment, with every packet of it lost, doubled, late or forged."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from support.endpoints import (
    HERE,
    PEER_PORT,
    PEER_TAG,
    PEER_TSN,
    PORT,
    THERE,
    Node,
    Sim,
    Solo,
    cause_of,
    chunks,
    data,
    init_of,
    into,
    kinds,
    offer,
    tag_of,
)
from support.narrowing import so_far

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationRefused, AssociationTimeout
from asyncsctp.events import AssociationUp
from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.testing import LinkSettings
from asyncsctp.testing.host import Datagram
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_MISSING_PARAMETER,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_STALE_COOKIE,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    ERROR,
    HEARTBEAT,
    HEARTBEAT_ACK,
    INIT,
    INIT_ACK,
    SACK,
)
from asyncsctp.wire.init import pack_init

SETUP = (INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK)


def two(sim: Sim, config: Config | None = None) -> tuple[Node, Node]:
    a = sim.node("a", "10.0.0.1", config=config)
    z = sim.node("z", "10.0.0.2", listening=True, config=config)
    return a, z


def exchange(sim: Sim, a: Node, z: Node, limit: float = 200.0) -> None:
    """Both sides are up, agree on the tags, and messages go both ways."""
    sim.until(lambda: a.is_up() and z.is_up(), limit)
    a.send(b"from a")
    z.send(b"from z")
    sim.until(lambda: z.received and a.received, limit)
    assert (a.received, z.received) == ([b"from z"], [b"from a"])
    ours, theirs = a.association.context, z.association.context
    assert (ours.local_tag, ours.peer_tag) == (theirs.peer_tag, theirs.local_tag)
    assert len(z.endpoint.associations) == len(a.endpoint.associations) == 1


class Lossy:
    """Drops the first so many packets of each setup chunk."""

    def __init__(self, **counts: int) -> None:
        self.left = {globals()[name]: count for name, count in counts.items()}

    def __call__(self, datagram: Datagram) -> bool | None:
        for kind in kinds(datagram.data):
            if self.left.get(kind, 0) > 0:
                self.left[kind] -= 1
                return False
        return None


@pytest.mark.parametrize("losses", list(product(range(3), repeat=4)), ids=lambda losses: "".join(map(str, losses)))
def test_any_set_of_lost_setup_packets_is_survived(losses: tuple[int, ...]) -> None:
    """Each of the four packets is lost never, once or twice, in all combinations."""
    sim = Sim()
    a, z = two(sim)
    lossy = Lossy(**dict(zip(("INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK"), losses, strict=True)))
    sim.verdict = lossy
    a.connect(z)
    exchange(sim, a, z)
    assert not any(lossy.left.values())
    assert len(a.users) == len(z.users) == 1
    assert sum(isinstance(event, AssociationUp) for event in z.user.events) == 1
    assert sum(isinstance(event, AssociationUp) for event in a.user.events) == 1


@pytest.mark.parametrize("kind", SETUP)
@pytest.mark.parametrize("delay", [0.05, 1.5, 5.0, 20.0, 70.0])
def test_a_setup_packet_that_comes_late_does_no_harm(kind: int, delay: float) -> None:
    """The first of a kind is held back, while T1 sends another; it arrives long after the association is up."""
    sim = Sim()
    a, z = two(sim)
    held: list[Datagram] = []

    def hold(datagram: Datagram) -> float | None:
        if kind in kinds(datagram.data) and not held:
            held.append(datagram)
            return delay
        return None

    sim.verdict = hold
    a.connect(z)
    exchange(sim, a, z)
    sim.run(delay + 5)
    assert a.is_up()
    assert z.is_up()
    a.send(b"later")
    sim.until(lambda: z.received[-1] == b"later")
    assert len(z.users) == 1
    assert a.association.statistics.restarts == z.association.statistics.restarts == 0


@pytest.mark.parametrize("kind", SETUP)
@pytest.mark.parametrize("copies_after", [(0.0,), (0.001, 0.002), (1.0, 30.0, 59.0), (100.0,), (300.0,)])
def test_copies_of_a_setup_packet_change_nothing(kind: int, copies_after: tuple[float, ...]) -> None:
    sim = Sim()
    a, z = two(sim)
    a.connect(z)
    exchange(sim, a, z)
    (copied,) = (datagram for datagram in sim.log if kinds(datagram.data)[0] == kind)
    up = sim.now
    tags = (a.association.context.local_tag, z.association.context.local_tag)
    for after in copies_after:
        sim.run(max(0.0, up + after - sim.now))
        sim.network.send(copied.source, copied.destination, copied.data)
    sim.run(1.0)
    assert (a.association.context.local_tag, z.association.context.local_tag) == tags
    a.send(b"later")
    sim.until(lambda: z.received[-1] == b"later")
    assert len(z.users) == 1
    assert sum(isinstance(event, AssociationUp) for event in a.user.events) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_terrible_network_sets_up_one_association(seed: int) -> None:
    link = LinkSettings(delay=0.05, jitter=0.3, loss=0.2, duplicate=0.3, reorder=0.3, reorder_delay=2.0, corrupt=0.05)
    sim = Sim(seed, link)
    a, z = two(sim, Config(init_max_retrans=50, max_retrans=50))
    a.connect(z)
    exchange(sim, a, z, 5000)
    assert len(z.users) == 1


# Step by step.


def test_steps_a_to_e() -> None:
    solo = Solo(listening=False)
    init = solo.connect()
    association = solo.association
    assert so_far(association.state) is COOKIE_WAIT
    ((route, echo),) = solo.answer()
    assert so_far(association.state) is COOKIE_ECHOED
    assert route.address == THERE
    assert kinds(echo) == [COOKIE_ECHO]
    assert tag_of(echo) == PEER_TAG
    assert chunks(echo)[0][4:] == b"cookie"
    assert init.initiate_tag == association.context.local_tag != 0
    solo.say(control.pack_cookie_ack())
    assert association.state is ESTABLISHED
    assert association.outgoing_streams == 10


def test_nothing_but_the_cookie_echo_leaves_until_the_cookie_ack() -> None:
    """Section 5.1 C: until the COOKIE ACK has come, no other packet MUST be sent to the peer."""
    solo = Solo(listening=False)
    solo.connect()
    solo.answer()
    said = [
        *solo.say(tlv.pack(0xC1 << 8)),  # asks for a report
        *solo.say(tlv.pack(0x41 << 8)),
        *solo.say(data(PEER_TSN)),
        *solo.wait(2.9),
    ]
    assert [kinds(packet) for _, packet in said] == [[COOKIE_ECHO]]


def test_no_report_leaves_before_the_peers_tag_is_known() -> None:
    """Section 8.5: only an INIT goes without a tag."""
    solo = Solo(listening=False)
    solo.connect()
    assert solo.say(tlv.pack(0xC1 << 8)) == []
    assert solo.say(tlv.pack(0x41 << 8)) == []


@pytest.mark.parametrize("extra", [control.pack_cookie_ack(), data(PEER_TSN), control.pack_heartbeat(b"x")])
@pytest.mark.parametrize("before", [False, True])
def test_an_init_ack_is_alone_in_its_packet(extra: bytes, before: bool) -> None:
    """Section 5.1: it MUST be the only chunk."""
    solo = Solo(listening=False)
    solo.connect()
    ack = pack_init(offer(cookie=b"cookie"), ack=True)
    assert solo.say(*((extra, ack) if before else (ack, extra))) == []
    assert solo.association.state is COOKIE_WAIT


def test_cookie_ack_comes_first_and_a_sack_with_it() -> None:
    """Sections 5.1 D and 5.1.5 steps 6 and 7."""
    solo = Solo()
    ack, _ = solo.cookie()
    packet = solo.packet(control.pack_cookie_echo(ack.cookie or b""), data(PEER_TSN), tag=ack.initiate_tag)
    ((_, answer),) = solo.receive(packet)
    assert kinds(answer) == [COOKIE_ACK, SACK]
    assert tag_of(answer) == PEER_TAG
    assert solo.user.messages == [(0, 0, False, b"data")]


def test_the_first_data_is_acknowledged_at_once() -> None:
    solo = Solo()
    solo.accept()
    ((_, answer),) = solo.say(data(PEER_TSN))
    assert kinds(answer) == [SACK]


@pytest.mark.parametrize("at", [1, 2])
def test_a_cookie_echo_that_is_not_first_in_its_packet_is_not_processed(at: int) -> None:
    """Section 3.2.2 end: it MUST be the first chunk. Here a good one, in a packet with our tag."""
    solo = Solo()
    ack, echo = solo.cookie()
    solo.receive(echo)
    cookie_echo = control.pack_cookie_echo(ack.cookie or b"")
    items = [control.pack_heartbeat(b"info")] * at + [cookie_echo]
    said = solo.say(*items)
    assert not any(COOKIE_ACK in kinds(packet) for _, packet in said)


def test_a_second_cookie_echo_in_the_packet_is_not_processed() -> None:
    solo = Solo()
    ack, _ = solo.cookie()
    cookie_echo = control.pack_cookie_echo(ack.cookie or b"")
    ((_, answer),) = solo.receive(solo.packet(cookie_echo, cookie_echo, data(PEER_TSN), tag=ack.initiate_tag))
    assert kinds(answer).count(COOKIE_ACK) == 1


def test_5_1_1_streams_are_what_both_can() -> None:
    solo = Solo(config=Config(outgoing_streams=5, max_incoming_streams=3))
    association = solo.accept(outgoing_streams=9, incoming_streams=2)
    assert (association.outgoing_streams, association.incoming_streams) == (2, 3)


@pytest.mark.parametrize("state", ["closed", "up", "waiting"])
def test_an_init_ack_asks_for_no_more_streams_than_the_init_allows(state: str) -> None:
    """Section 3.3.3: its OS MUST NOT be greater than the MIS of the INIT, be the INIT expected or not."""
    solo = Solo(config=Config(outgoing_streams=1000, max_incoming_streams=700))
    if state == "up":
        solo.accept(incoming_streams=800)
    elif state == "waiting":
        solo.connect()
    ((_, answer),) = solo.init(incoming_streams=3, outgoing_streams=9)
    assert (init_of(answer).outgoing_streams, init_of(answer).incoming_streams) == (3, 700)
    ((_, answer),) = solo.init(incoming_streams=1001)
    assert init_of(answer).outgoing_streams == 1000


# Section 5.1.2.


def test_rule_a_the_source_is_the_only_address() -> None:
    association = Solo().accept("192.0.2.77")
    assert [path.route.address for path in association.path_manager.paths] == ["192.0.2.77"]


def test_rule_c_the_source_counts_even_where_it_is_not_listed() -> None:
    association = Solo().accept(addresses=("198.51.100.1", "198.51.100.2"))
    addresses = [path.route.address for path in association.path_manager.paths]
    assert addresses == [THERE, "198.51.100.1", "198.51.100.2"]


def test_rule_d_any_listed_address_finds_the_association() -> None:
    """An INIT from a new source that lists a known address is about the known association: new addresses, ABORT."""
    solo = Solo()
    solo.accept()
    ((route, answer),) = solo.init("192.0.2.99", initiate_tag=7, addresses=(THERE,))
    assert kinds(answer) == [ABORT]
    assert (route.address, tag_of(answer)) == ("192.0.2.99", 7)


def test_addresses_of_a_family_that_we_lack_are_ignored_without_a_word() -> None:
    solo = Solo()
    association = solo.accept(addresses=("2001:db8::1", "198.51.100.1"))
    assert [path.route.address for path in association.path_manager.paths] == [THERE, "198.51.100.1"]


# The cookie.


def test_a_cookie_of_length_zero_is_returned_like_any_other() -> None:
    """Sections 3.3.3.1.1 and 5.1 C: its contents are its sender's business. Only where there is none, it is missing."""
    solo = Solo(listening=False)
    solo.connect()
    ((_, echo),) = solo.answer(cookie=b"")
    assert chunks(echo) == [b"\x0a\0\0\x04"]
    assert tag_of(echo) == PEER_TAG
    solo.say(control.pack_cookie_ack())
    assert solo.association.state is ESTABLISHED
    solo = Solo(listening=False)
    solo.connect()
    ((_, abort),) = solo.answer(cookie=None)
    assert (kinds(abort), cause_of(chunks(abort)[0])) == ([ABORT], CAUSE_MISSING_PARAMETER)


def test_a_listener_is_as_it_was_after_many_inits() -> None:
    """Section 5.1 B: no resources for an INIT."""
    solo = Solo()
    sizes = set()
    for number in range(300):
        solo.init(f"198.51.100.{number % 250 + 1}", initiate_tag=number + 1)
        sizes.add((len(solo.endpoint.associations), solo.endpoint.next_expiry))
    assert sizes == {(0, float("inf"))}


def test_memory_stays_flat_under_a_flood_of_inits() -> None:
    import gc
    import tracemalloc

    solo = Solo()
    flood = [
        solo.packet(pack_init(offer(initiate_tag=number + 1), ack=False), tag=0, peer_port=number % 60000 + 1)
        for number in range(3000)
    ]
    for packet in flood[:500]:
        solo.receive(packet)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for packet in flood:
        solo.receive(packet)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 20_000


def test_every_changed_byte_spoils_the_cookie_silently() -> None:
    """Section 5.1.5 step 2."""
    solo = Solo()
    ack, echo = solo.cookie()
    cookie = ack.cookie or b""
    for at in range(len(cookie)):
        forged = cookie[:at] + bytes((cookie[at] ^ 0x01,)) + cookie[at + 1 :]
        assert solo.receive(solo.packet(control.pack_cookie_echo(forged), tag=ack.initiate_tag)) == []
    for cut in (b"", cookie[:-1], cookie[:20], cookie + b"\0", cookie + bytes(40), bytes(len(cookie))):
        assert solo.receive(solo.packet(control.pack_cookie_echo(cut), tag=ack.initiate_tag)) == []
    assert solo.endpoint.statistics.cookies_rejected == len(cookie) + 6
    assert solo.users == []
    assert kinds(solo.receive(echo)[0][1]) == [COOKIE_ACK]


@pytest.mark.parametrize("changes", [{"tag": 1}, {"peer_port": PEER_PORT + 1}], ids=["tag", "peer's port"])
def test_step_3_ports_and_tag_are_those_of_the_cookie(changes: dict[str, int]) -> None:
    """RFC 5062 section 7 too."""
    solo = Solo()
    ack, _ = solo.cookie()
    packet = solo.packet(control.pack_cookie_echo(ack.cookie or b""), **{"tag": ack.initiate_tag, **changes})
    assert solo.receive(packet) == []
    assert solo.users == []


def test_a_cookie_from_another_address_is_none() -> None:
    solo = Solo()
    _, echo = solo.cookie()
    assert solo.receive(echo, "203.0.113.5") == []
    assert solo.users == []


def test_a_cookie_from_another_listed_address_proves_only_where_it_was_sent_to() -> None:
    """Section 5.4 rule 2: CONFIRMED is the address that the INIT ACK went to, and no other.

    Else whoever can forge the source of one packet could have data sent to anybody.
    """
    solo = Solo()
    victim = "198.51.100.66"
    _, echo = solo.cookie(addresses=(victim,))
    said = solo.receive(echo, victim)
    association = solo.association
    states = {path.route.address: path.state for path in association.path_manager.paths}
    assert states == {THERE: PathState.ACTIVE, victim: PathState.UNCONFIRMED}
    for route, packet in said:
        if route.address == victim:
            assert set(kinds(packet)) <= {HEARTBEAT, COOKIE_ACK}
            assert HEARTBEAT in kinds(packet)
    assert any(COOKIE_ACK in kinds(packet) for _, packet in said)
    association.send(0, b"data")
    solo.touch()
    assert {route.address for route, packet in solo.take() if DATA in kinds(packet)} == {THERE}


def test_step_4_a_stale_cookie_is_told_and_makes_nothing() -> None:
    solo = Solo(config=Config(cookie_lifetime=5.0))
    _, echo = solo.cookie()
    solo.wait(7.0)
    ((_, answer),) = solo.receive(echo)
    assert kinds(answer) == [ERROR]
    assert cause_of(chunks(answer)[0]) == CAUSE_STALE_COOKIE
    assert causes.read_staleness(chunks(answer)[0][8:]) == pytest.approx(2_000_000, abs=2)
    assert tag_of(answer) == PEER_TAG
    assert solo.users == []


def test_a_stale_cookie_is_overcome_end_to_end() -> None:
    """Section 5.2.6, option 3: the round trip is longer than the listener's cookies live."""
    sim = Sim(link=LinkSettings(delay=0.7))
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2", listening=True, config=Config(cookie_lifetime=0.8))
    a.connect(z)
    exchange(sim, a, z)
    assert any(kinds(datagram.data) == [ERROR] for datagram in sim.log)


def test_a_cookie_survives_the_change_of_the_secret_and_not_two() -> None:
    solo = Solo(config=Config(cookie_lifetime=3600.0))
    solo.now = 0.0
    solo.cookie(initiate_tag=1)
    solo.now = 7199.0
    _, echo = solo.cookie(initiate_tag=2)
    solo.now = 7201.0
    assert kinds(solo.receive(echo)[0][1]) == [COOKIE_ACK]
    solo = Solo(config=Config(cookie_lifetime=3600.0))
    _, echo = solo.cookie()
    solo.now += 3 * 7200
    solo.cookie(initiate_tag=9)
    assert solo.receive(echo) == []  # step 1: nobody can check it any more: not even an answer


def test_a_cookie_used_again_after_the_end_makes_no_second_association() -> None:
    solo = Solo(config=Config(cookie_lifetime=60.0))
    _, echo = solo.cookie()
    solo.receive(echo)
    solo.say(control.pack_abort())
    assert solo.association.state is CLOSED
    said = solo.receive(echo)
    assert [kinds(packet) for _, packet in said] in ([], [[ABORT]])
    assert len(solo.users) == 1


def test_a_cookie_echo_again_while_up_gets_its_cookie_ack_again_even_if_old() -> None:
    """Section 5.2.4 step 3: both tags match, so its age does not matter (case E)."""
    solo = Solo(config=Config(cookie_lifetime=5.0, heartbeat_interval=None))
    _, echo = solo.cookie()
    solo.receive(echo)
    solo.wait(1000.0)
    ((_, answer),) = solo.receive(echo)
    assert kinds(answer) == [COOKIE_ACK]
    assert len(solo.users) == 1


# Refusals and limits.


def test_nobody_listens() -> None:
    sim = Sim()
    a = sim.node("a", "10.0.0.1")
    z = sim.node("z", "10.0.0.2")
    a.connect(z)
    sim.until(lambda: a.user.is_closed)
    assert isinstance(a.user.error, AssociationRefused)
    assert sim.now < 0.1


def test_an_endpoint_at_its_limit_says_so_and_still_knows_its_own() -> None:
    solo = Solo(limit=1)
    solo.accept()
    ((_, answer),) = solo.init("198.51.100.7", initiate_tag=77)
    assert kinds(answer) == [ABORT]
    assert cause_of(chunks(answer)[0]) == CAUSE_OUT_OF_RESOURCE
    assert (tag_of(answer), chunks(answer)[0][1]) == (77, 0)
    ((_, answer),) = solo.init(initiate_tag=78)  # a restart needs no room
    assert kinds(answer) == [INIT_ACK]


def test_the_limit_counts_when_the_cookie_comes() -> None:
    solo = Solo(limit=1)
    _, echo = solo.cookie("198.51.100.7", initiate_tag=77)
    solo.accept()
    ((_, answer),) = solo.receive(echo, "198.51.100.7")
    assert kinds(answer) == [ABORT]
    assert cause_of(chunks(answer)[0]) == CAUSE_OUT_OF_RESOURCE
    assert len(solo.users) == 1


def test_t1_init_then_t1_cookie_give_up_after_max_init_retransmits() -> None:
    config = Config(init_max_retrans=3, rto_max=4.0)
    solo = Solo(config=config, listening=False)
    solo.connect()
    said = solo.wait(100.0)
    assert [kinds(packet) for _, packet in said] == [[INIT]] * 3
    assert isinstance(solo.user.error, AssociationTimeout)
    solo = Solo(config=config, listening=False)
    solo.connect()
    solo.wait(1.5)
    solo.answer()
    said = solo.wait(100.0)
    assert [kinds(packet) for _, packet in said] == [[COOKIE_ECHO]] * 3
    assert isinstance(solo.user.error, AssociationTimeout)


def test_inits_use_all_addresses_of_the_peer() -> None:
    """Section 5.1: retransmissions SHOULD use all of them."""
    solo = Solo(listening=False)
    addresses = (THERE, "192.0.2.3", "192.0.2.4")
    solo.connect(addresses)
    said = solo.wait(30.0)
    assert {route.address for route, _ in said} == set(addresses)


@pytest.mark.parametrize(
    "changes", [{"a_rwnd": 1499}, {"outgoing_streams": 0}, {"incoming_streams": 0}, {"cookie": None}]
)
def test_a_flawed_init_ack_is_the_end(changes: dict[str, Any]) -> None:
    """Section 3.3.3 with erratum 7148; the ABORT bears the Initiate Tag of the INIT ACK."""
    solo = Solo(listening=False)
    solo.connect()
    ((_, answer),) = solo.answer(**changes)
    assert kinds(answer) == [ABORT]
    assert (tag_of(answer), chunks(answer)[0][1]) == (PEER_TAG, 0)
    assert isinstance(solo.user.error, AssociationAborted)
    assert solo.endpoint.associations == []


def test_an_init_ack_with_tag_0_is_the_end_with_the_t_bit() -> None:
    solo = Solo(listening=False)
    init = solo.connect()
    ((_, answer),) = solo.answer(initiate_tag=0)
    assert kinds(answer) == [ABORT]
    assert (tag_of(answer), chunks(answer)[0][1]) == (init.initiate_tag, 1)


def test_an_endpoint_can_talk_to_itself() -> None:
    """The same addresses and ports on both sides: one association, or a plain refusal, but nothing odd."""
    sim = Sim()
    a = sim.node("a", "10.0.0.1", listening=True)
    a.connect(a)
    sim.until(lambda: a.is_up())
    sim.run(1.0)
    assert len(a.endpoint.associations) == 1
    a.send(b"to myself")
    sim.until(lambda: a.received)
    assert a.received == [b"to myself"]
    a.shutdown()
    sim.until(lambda: a.user.is_closed)
    assert a.user.error is None
    assert a.endpoint.associations == []


def test_two_clients_of_one_host_are_two_associations() -> None:
    sim = Sim()
    sim.network.host("clients", "10.0.0.1")
    a = sim.node("a", "10.0.0.1", port=4000, udp_port=40000)
    b = sim.node("b", "10.0.0.1", port=4001, udp_port=40001)
    z = sim.node("z", "10.0.0.2", listening=True)
    a.connect(z)
    b.connect(z)
    sim.until(lambda: a.is_up() and b.is_up() and len(z.users) == 2)
    a.send(b"a")
    b.send(b"b")
    sim.until(lambda: all(user.messages for user in z.users))
    assert sorted(user.messages[0][3] for user in z.users) == [b"a", b"b"]


def test_init_ack_lists_nothing_of_a_single_homed_endpoint() -> None:
    ((_, answer),) = Solo().init()
    assert init_of(answer).addresses == ()
    ((_, answer),) = Solo(addresses=(HERE, "192.0.2.100")).init()
    assert init_of(answer).addresses == (HERE, "192.0.2.100")


def test_ports_and_udp_are_as_they_were() -> None:
    ((route, answer),) = Solo().init(udp_port=4242)
    assert (route.address, route.udp_port) == (THERE, 4242)
    assert answer[:4] == PORT.to_bytes(2) + PEER_PORT.to_bytes(2)


# Section 5.1.2 C: all addresses that the peer lists are recorded.


MANY = tuple(f"198.51.{number}.7" for number in range(60))
EVEN_MORE = tuple(f"198.51.{number % 250}.{number // 250 + 1}" for number in range(5000))


@pytest.mark.parametrize("addresses", [MANY, EVEN_MORE], ids=["60", "5000"])
@pytest.mark.parametrize("listening", [True, False])
def test_packets_are_taken_from_all_addresses_that_the_peer_lists(addresses: tuple[str, ...], listening: bool) -> None:
    """Not from the few alone that are sent to; and what comes from elsewhere is not the peer's."""
    solo = Solo(listening=listening)
    association = solo.accept(addresses=addresses) if listening else solo.establish(addresses=addresses)
    assert len(association.path_manager.paths) == 16
    for number, source in enumerate((THERE, *addresses[::7])):
        said = solo.say(data(PEER_TSN + number, b"%d" % number, ssn=number), source=source) + solo.wait(0.3)
        assert any(SACK in kinds(packet) for _, packet in said)
    assert [message for *_, message in solo.user.messages] == [b"%d" % number for number in range(number + 1)]
    elsewhere = "203.0.113.9" if len(addresses) == len(MANY) else "127.0.0.1"
    said = solo.say(data(PEER_TSN + number + 1, ssn=number + 1), source=elsewhere)
    assert len(solo.user.messages) == number + 1


def test_a_heartbeat_from_any_listed_address_is_answered_there() -> None:
    solo = Solo()
    solo.accept(addresses=MANY)
    said = solo.say(control.pack_heartbeat(b"x"), control.pack_heartbeat(b"y"), source=MANY[-1])
    assert [(route.address, kinds(packet)) for route, packet in said] == [(MANY[-1], [HEARTBEAT_ACK, HEARTBEAT_ACK])]


def test_a_handshake_goes_on_whichever_listed_address_its_packets_come_from() -> None:
    solo = Solo()
    _, echo = solo.cookie(addresses=MANY)
    said = solo.receive(echo, MANY[-1])
    assert [(route.address, kinds(packet)) for route, packet in said] == [(THERE, [COOKIE_ACK])]
    solo = Solo(listening=False)
    solo.connect()
    solo.answer(addresses=MANY)
    solo.say(control.pack_cookie_ack(), source=MANY[-1])
    assert solo.association.state is ESTABLISHED


@pytest.mark.parametrize("source", [THERE, MANY[3], MANY[-1]])
def test_a_peer_may_restart_from_any_address_that_it_listed(source: str) -> None:
    """None of them is new (section 5.2.2), and any tells which association it is about (section 5.1.2 D)."""
    solo = Solo()
    association = solo.accept(addresses=MANY)
    ack, echo = solo.cookie(source, initiate_tag=0x77, addresses=(THERE, *reversed(MANY)))
    assert COOKIE_ACK in kinds(solo.receive(echo, source)[0][1])
    assert association.statistics.restarts == 1
    assert association.context.local_tag == ack.initiate_tag
    assert solo.endpoint.associations == [association]
    solo = Solo()
    association = solo.accept(addresses=MANY)
    ((_, answer),) = solo.init(source, initiate_tag=0x77, addresses=(*MANY, "203.0.113.9"))
    assert kinds(answer) == [ABORT]
    assert association.state is ESTABLISHED


# A cookie that comes when, or where, we can't be at home for it.

BOTH = ("10.0.0.9", "fd00::9")  # of the peer, and private: a NAT may stand before them


def test_a_cookie_of_an_address_that_we_have_no_more_is_refused() -> None:
    """Section 5.4 rule 2: CONFIRMED is where the INIT ACK went to, for which there is nothing to send from any more."""
    solo = Solo(addresses=("10.0.0.1", "fd00::1"))
    _, echo = solo.cookie(BOTH[1], addresses=BOTH)
    solo.endpoint.local_addresses = ("10.0.0.1",)
    ((_, answer),) = solo.receive(echo, BOTH[0])
    assert kinds(answer) == [ABORT]
    assert (solo.users, solo.endpoint.associations) == ([], [])
    assert solo.accept(BOTH[0], addresses=BOTH).state is ESTABLISHED


def test_a_cookie_that_comes_along_a_route_by_which_the_client_does_not_know_us_is_refused() -> None:
    """Draft natsupp section 6.1: to a client that reckons with NATs private addresses are not listed."""
    solo = Solo(config=Config(nat_support=True), addresses=("10.0.0.1", "fd00::1"))
    ((_, answer),) = solo.receive(
        solo.packet(pack_init(offer(addresses=BOTH, disable_restart=True), ack=False), tag=0), BOTH[1], local="fd00::1"
    )
    ack = init_of(answer)
    echo = solo.packet(control.pack_cookie_echo(ack.cookie or b""), tag=ack.initiate_tag)
    ((_, answer),) = solo.receive(echo, BOTH[0], local="10.0.0.1")
    assert kinds(answer) == [ABORT]
    assert (solo.users, solo.endpoint.associations) == ([], [])
    solo.receive(echo, BOTH[1], local="fd00::1")
    assert solo.association.state is ESTABLISHED


def test_an_error_other_than_a_stale_cookie_changes_nothing_in_the_handshake() -> None:
    """Section 5.2.6 is about that cause alone; the COOKIE ECHO is sent again by its timer."""
    solo = Solo()
    association = into(solo, COOKIE_ECHOED)
    assert solo.say(control.pack_error(causes.pack_cause(CAUSE_OUT_OF_RESOURCE))) == []
    assert association.state is COOKIE_ECHOED
    assert [kinds(packet) for _, packet in solo.wait(1.5)] == [[COOKIE_ECHO]]
