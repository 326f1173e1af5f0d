"""Associations through NATs: the scenarios of draft-ietf-tsvwg-natsupp section 8, its collisions, and plain UDP NATs.

All by the public interface, over the simulated network: what programs on both sides notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from random import Random
from typing import Any

import pytest
from support.endpoints import init_of, offer

import asyncsctp
from asyncsctp import AsconfError, AssociationRefused, Config, SCTPError, State
from asyncsctp.aio.addresses.resolve import Opening
from asyncsctp.testing import Binding, Datagram, LinkSettings, Network, Refusal, SctpNat
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import CAUSE_PORT_COLLISION, INIT, INIT_ACK, PARAM_IPV4_ADDRESS, PARAM_IPV6_ADDRESS
from asyncsctp.wire.init import pack_init
from asyncsctp.wire.packet import Seal, read_header

from .conftest import echo

# As in the draft's section 8: the client and its neighbour behind NATs, and the server.
A, A2 = "10.0.0.1", "10.1.0.1"
NEIGHBOUR, NEIGHBOUR2 = "10.0.0.7", "10.1.0.7"
EXTERNAL, EXTERNAL2, ELSEWHERE = "192.0.2.1", "192.0.2.129", "192.0.2.2"
Z, Z2 = "203.0.113.1", "203.0.113.129"
PORT, UDP = 5001, 9899

CONFIG = Config(nat_support=True, dynamic_addresses=True, heartbeat_interval=15.0)
PLAIN = Config(heartbeat_interval=15.0)


@pytest.fixture
def seed() -> int:
    """Of the network, where a test does not try several."""
    return 1


@pytest.fixture
def network(seed: int) -> Network:
    network = Network(seed, link=LinkSettings(delay=0.02))
    network.host("client", A, A2)
    network.host("neighbour", NEIGHBOUR, NEIGHBOUR2)
    network.host("server", Z, Z2)
    return network


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test is a coroutine, and runs on virtual time in its `network`."""

    @wraps(test)
    def run(network: Network, **given: Any) -> None:
        network.run(test(network, **given))

    return run


plain_and_with_all = pytest.mark.parametrize("config", [PLAIN, CONFIG], ids=["plain", "with all"])


def served(*addresses: str, config: Config = CONFIG) -> Opening[asyncsctp.Server]:
    return asyncsctp.serve(echo, port=PORT, local_addrs=addresses or (Z,), config=config)


def to(
    *addresses: str, local: str | list[str] = A, config: Config = CONFIG, port: int = 0
) -> Opening[asyncsctp.Association]:
    return asyncsctp.connect(
        list(addresses) or Z, PORT, udp_port=UDP, local_addrs=local, local_port=port, config=config
    )


async def converse(assoc: asyncsctp.Association, count: int = 100, limit: float = 120.0) -> None:
    """Says so many things, one every so often, and hears all of them from the other side, in order."""
    expected = [b"%d " % number * 200 for number in range(count)]

    async def talk() -> None:
        for data in expected:
            await assoc.send(data)
            await asyncio.sleep(0.05)

    async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
        group.create_task(talk())
        assert [(await assoc.recv()).data for _ in expected] == expected


async def call(server: asyncsctp.Server, assoc: asyncsctp.Association, limit: float) -> None:
    """The server speaks first, to its only client, and is heard."""
    await server.associations[0].send(b"are you there?")
    async with asyncio.timeout(limit):
        assert (await assoc.recv()).data == b"are you there?"


def addresses(assoc: asyncsctp.Association) -> set[str]:
    """Where the peer is, as this side sees it."""
    return {path.address for path in assoc.paths}


def kind_of(datagram: Datagram) -> int:
    return datagram.data[12]


def squat(nat: SctpNat, tag: int, port: int, neighbour: str = NEIGHBOUR) -> None:
    """A neighbour begins an association with the same tag and ports."""
    chunk = pack_init(offer(initiate_tag=tag, disable_restart=True), ack=False)
    assert nat.translate_out((neighbour, UDP), (Z, UDP), Seal(port, PORT, 0).pack(chunk), 0.0)


# Section 8.1.


@pytest.mark.parametrize("seed", range(4))
@simulated
async def test_8_1_single_homed_client_to_single_homed_server(network: Network) -> None:
    network.defaults(loss=0.05)
    nat = network.sctp_nat(EXTERNAL, A)
    async with served() as server:
        async with to() as assoc:
            assert assoc.negotiated.nat_support
            await converse(assoc)
            [peer] = server.associations
            assert peer.negotiated.nat_support
            assert (addresses(peer), addresses(assoc)) == ({EXTERNAL}, {Z})
        await assoc.wait_closed()
    [binding] = nat.bindings
    assert binding[3:] == (PORT, A, True)
    assert not nat.drops


@simulated
async def test_6_1_no_address_is_listed_by_the_inside_and_restarts_are_disabled(network: Network) -> None:
    network.sctp_nat(EXTERNAL, A)
    network.sctp_nat(EXTERNAL2, A2)
    network.packets = []
    async with served(Z, Z2), to(Z, local=[A, A2]) as assoc:
        await converse(assoc, 3)
    inits = [record.data for record in network.packets if record.data[12] in (INIT, INIT_ACK)]
    assert [data[12] for data in inits] == [INIT, INIT_ACK]
    assert all(init_of(data).disable_restart for data in inits)
    _, _, _, end = next(tlv.walk(inits[0], 12, len(inits[0])))
    listed = {kind for kind, _, _, _ in tlv.walk(inits[0], 12 + 20, end)}
    assert not listed & {PARAM_IPV4_ADDRESS, PARAM_IPV6_ADDRESS}


# Section 8.2.


@simulated
async def test_8_2_single_homed_client_to_multihomed_server(network: Network) -> None:
    nat = network.sctp_nat(EXTERNAL, A)
    async with served(Z, Z2) as server, to(Z) as assoc:
        assert addresses(assoc) == {Z, Z2}
        network.at(network.now + 2.0, partial(network.cut, A, Z))
        await converse(assoc)
        assert addresses(server.associations[0]) == {EXTERNAL}
    assert len(nat.bindings) == 1
    assert not nat.drops


# Sections 8.3 and 6.6.


@simulated
async def test_8_3_a_client_adds_its_second_address_by_a_second_nat(network: Network) -> None:
    first, second = network.sctp_nat(EXTERNAL, A), network.sctp_nat(EXTERNAL2, A2)
    async with served(Z, Z2) as server, to(Z) as assoc:
        await assoc.add_local_address(A2)
        [peer] = server.associations
        assert addresses(peer) == {EXTERNAL, EXTERNAL2}
        assert [row[:4] for row in second.bindings] == [row[:4] for row in first.bindings]
        assert [row[4:] for row in second.bindings] == [(A2, True)]
        network.at(network.now + 2.0, partial(network.cut, A, Z))
        network.at(network.now + 2.0, partial(network.cut, A, Z2))
        await converse(assoc)
    assert peer.state is State.CLOSED


@simulated
async def test_6_6_a_multihomed_client_adds_its_other_addresses_itself(network: Network) -> None:
    network.sctp_nat(EXTERNAL, A)
    network.sctp_nat(EXTERNAL2, A2)
    async with served(Z, Z2) as server, to(Z, local=[A, A2]):
        await asyncio.sleep(5.0)
        assert addresses(server.associations[0]) == {EXTERNAL, EXTERNAL2}


@simulated
async def test_6_2_2_an_address_whose_nat_reports_a_collision_is_not_added(network: Network) -> None:
    first, second = network.sctp_nat(EXTERNAL, A), network.sctp_nat(EXTERNAL2, A2, NEIGHBOUR2)
    async with served(Z, Z2) as server, to(Z) as assoc:
        [mine] = first.bindings
        squat(second, mine.internal_vtag, mine.internal_port, NEIGHBOUR2)
        with pytest.raises(AsconfError):
            await assoc.add_local_address(A2)
        assert second.drops[Refusal.VTAG_COLLISION] == 1
        await converse(assoc)
        await asyncio.sleep(100.0)
        assert second.drops[Refusal.VTAG_COLLISION] == 1
        assert addresses(server.associations[0]) == {EXTERNAL}


# Section 8.4.


@pytest.mark.parametrize("outside", [None, ELSEWHERE])
@pytest.mark.parametrize("server", [(Z,), (Z, Z2)])
@simulated
async def test_8_4_the_nat_loses_its_state_while_data_flows(
    network: Network, outside: str | None, server: tuple[str, ...]
) -> None:
    nat = network.sctp_nat(EXTERNAL, A)
    async with served(*server) as listening, to(Z) as assoc:
        before = list(nat.bindings)
        network.at(network.now + 2.0, partial(nat.lose_state, outside))
        await converse(assoc, limit=30.0)
        assert nat.bindings == before
        assert addresses(listening.associations[0]) == {outside or EXTERNAL}
        assert nat.drops[Refusal.MISSING_STATE]


@pytest.mark.parametrize("outside", [None, ELSEWHERE])
@simulated
async def test_8_4_the_nat_loses_its_state_and_it_is_the_server_that_speaks(
    network: Network, outside: str | None
) -> None:
    """The client's next HEARTBEAT finds out."""
    nat = network.sctp_nat(EXTERNAL, A)
    async with served() as server, to() as assoc:
        await converse(assoc, 3)
        nat.lose_state(outside)
        await call(server, assoc, limit=100.0)
        assert addresses(server.associations[0]) == {outside or EXTERNAL}


@simulated
async def test_8_4_again_and_again(network: Network) -> None:
    nat = network.sctp_nat(EXTERNAL, A)
    async with served(), to() as assoc:
        for number in range(20):
            nat.lose_state(f"192.0.2.{10 + number}")
            await converse(assoc, 5, limit=30.0)


@simulated
async def test_8_4_both_of_two_nats_lose_their_state(network: Network) -> None:
    inner = network.sctp_nat("100.64.0.1", A)
    outer = network.sctp_nat(EXTERNAL, "100.64.0.1")
    async with served() as server, to() as assoc:
        await converse(assoc, 3)
        for lost in ([outer], [inner], [inner, outer]):
            for nat in lost:
                nat.lose_state(ELSEWHERE if nat is outer and len(lost) == 2 else None)
            await converse(assoc, 5, limit=60.0)
        assert addresses(server.associations[0]) == {ELSEWHERE}


@simulated
async def test_6_4_2_with_a_peer_without_dynamic_addresses_the_answer_of_the_nat_is_not_heeded(
    network: Network,
) -> None:
    nat = network.sctp_nat(EXTERNAL, A)
    config = CONFIG.replace(max_retrans=2, rto_max=2.0)
    async with served(config=Config(nat_support=True)):
        assoc = await to(config=config)
        nat.lose_state()
        await assoc.send(b"lost")
        began = network.now
        with pytest.raises(SCTPError):
            await assoc.wait_closed()
        assert network.now - began > 2.0
        assert nat.bindings == []


@simulated
async def test_6_4_2_the_association_is_aborted_when_another_has_taken_its_only_place(network: Network) -> None:
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    async with served():
        assoc = await to()
        [mine] = nat.bindings
        nat.lose_state()
        squat(nat, mine.internal_vtag, mine.internal_port)
        await assoc.send(b"lost")
        async with asyncio.timeout(5.0):
            with pytest.raises(SCTPError):
                await assoc.wait_closed()


@pytest.mark.parametrize("heartbeat_interval", [15.0, None])
@simulated
async def test_a_binding_that_times_out(network: Network, heartbeat_interval: float | None) -> None:
    """HEARTBEATs keep it; without them the next packet from inside brings it back."""
    nat = network.sctp_nat(EXTERNAL, A, idle_timeout=60.0)
    config = CONFIG.replace(heartbeat_interval=heartbeat_interval)
    async with served(config=config), to(config=config) as assoc:
        for _ in range(3):
            await asyncio.sleep(300.0)
            await converse(assoc, 3, limit=10.0)
    assert bool(nat.drops) is (heartbeat_interval is None)


# Section 8.5.


async def meet(a: asyncsctp.Endpoint, b: asyncsctp.Endpoint, outside_a: str, outside_b: str) -> None:
    """Both begin at once, and talk."""
    one, other = await asyncio.gather(
        a.connect(outside_b, b.port, udp_port=UDP), b.connect(outside_a, a.port, udp_port=UDP)
    )
    assert one.negotiated.nat_support
    assert (addresses(one), addresses(other)) == ({outside_b}, {outside_a})
    echoing = asyncio.ensure_future(echo(other))
    await converse(one, 20)
    assert (len(a.associations), len(b.associations)) == (1, 1)
    await one.close()
    await echoing


@pytest.mark.parametrize("lead", [0.0, 0.01, 0.05, 0.5])
@simulated
async def test_8_5_peer_to_peer(network: Network, lead: float) -> None:
    """The later INIT passes the other NAT, whichever it is."""
    nats = network.sctp_nat(EXTERNAL, A), network.sctp_nat(EXTERNAL2, NEIGHBOUR2)
    network.on_datagram = lambda datagram: (
        lead if kind_of(datagram) == INIT and datagram.source[0] == NEIGHBOUR2 and network.now < 1.0 else None
    )
    async with (
        asyncsctp.open_endpoint(local_addrs=A, port=4000, udp_port=UDP, config=CONFIG) as a,
        asyncsctp.open_endpoint(local_addrs=NEIGHBOUR2, port=4001, udp_port=UDP, config=CONFIG) as b,
    ):
        await meet(a, b, EXTERNAL, EXTERNAL2)
    [one], [other] = nats[0].bindings, nats[1].bindings
    assert one == Binding(other.remote_vtag, 4000, other.internal_vtag, 4001, A, restart_disabled=True)
    assert other.internal_address == NEIGHBOUR2


@simulated
async def test_8_5_peer_to_peer_behind_one_nat(network: Network) -> None:
    """The same by the hairpin of one NAT."""
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    async with (
        asyncsctp.open_endpoint(local_addrs=A, port=4000, udp_port=UDP, config=CONFIG) as a,
        asyncsctp.open_endpoint(local_addrs=NEIGHBOUR, port=4001, udp_port=UDP, config=CONFIG) as b,
    ):
        await meet(a, b, EXTERNAL, EXTERNAL)
    assert len(nat.bindings) == 2


# Sections 6.2 and 6.3: two hosts behind one NAT.


@simulated
async def test_6_3_two_clients_with_the_same_ports_are_told_apart_by_their_tags(network: Network) -> None:
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    async with served() as server, to(port=4000) as one:
        async with to(local=NEIGHBOUR, port=4000) as other:
            assert len(server.associations) == 2
            await asyncio.gather(converse(one), converse(other))
            assert {row[1:2] + row[3:] for row in nat.bindings} == {
                (4000, PORT, A, True),
                (4000, PORT, NEIGHBOUR, True),
            }
            nat.lose_state()
            await asyncio.gather(converse(one), converse(other))
        await converse(one, 10)
        other_again = await to(local=NEIGHBOUR, port=4000)
        other_again.abort()
        await converse(one, 10)
    assert len(nat.bindings) == 3


@pytest.mark.parametrize(("server", "second"), [(PLAIN, CONFIG), (CONFIG, PLAIN)])
@simulated
async def test_6_3_a_port_collision_is_a_clear_error_for_the_second(
    network: Network, server: Config, second: Config
) -> None:
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    async with served(config=server), to(port=4000) as one:
        began = network.now
        with pytest.raises(AssociationRefused, match=r"[Cc]ollision") as caught:
            await to(local=NEIGHBOUR, port=4000, config=second)
        assert network.now - began < 1.0
        assert [cause.code for cause in caught.value.causes] == [CAUSE_PORT_COLLISION]
        await converse(one, 10)
        async with to(local=NEIGHBOUR, port=4001, config=second) as other:
            await converse(other, 10)
    assert nat.drops == {Refusal.PORT_COLLISION: 1}


@pytest.mark.parametrize("times", [1, 3])
@simulated
async def test_6_2_2_an_init_that_collides_is_sent_again_with_another_tag(network: Network, times: int) -> None:
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    tags: list[int] = []

    def collide(datagram: Datagram) -> None:
        if kind_of(datagram) == INIT:
            tags.append(init_of(datagram.data).initiate_tag)
            if len(tags) <= times:
                nat.translate_out((NEIGHBOUR, UDP), datagram.destination, datagram.data, network.now)

    network.on_datagram = collide
    async with served():
        began = network.now
        async with to() as assoc:
            assert network.now - began < 1.0
            await converse(assoc, 10)
    assert len(set(tags)) == len(tags) == times + 1
    assert nat.drops == {Refusal.VTAG_COLLISION: times}


@simulated
async def test_6_2_2_an_init_ack_that_collides_lets_the_client_begin_again(network: Network) -> None:
    nat = network.sctp_nat(EXTERNAL, A, NEIGHBOUR)
    tags: list[int] = []

    def collide(datagram: Datagram) -> None:
        if kind_of(datagram) == INIT:
            tags.append(init_of(datagram.data).initiate_tag)
        elif kind_of(datagram) == INIT_ACK and len(tags) == 1:
            _, port, _ = read_header(datagram.data)
            squat(nat, 1, port)
            tag = init_of(datagram.data).initiate_tag
            ack = pack_init(offer(initiate_tag=tag, disable_restart=True, cookie=b"cookie"), ack=True)
            nat.translate_in((Z, UDP), UDP, Seal(PORT, port, 1).pack(ack), network.now)

    network.on_datagram = collide
    async with served(), to() as assoc:
        await converse(assoc, 10)
    assert len(set(tags)) == 2
    assert nat.drops == {Refusal.VTAG_COLLISION: 1}


# Plain UDP NATs.


@plain_and_with_all
@pytest.mark.parametrize("seed", range(4))
@simulated
async def test_a_udp_nat_that_changes_the_outside_port_while_data_flows(network: Network, config: Config) -> None:
    network.defaults(loss=0.02)
    nat = network.nat(EXTERNAL, A)
    async with served(config=config) as server, to(config=config) as assoc:
        for after in (1.0, 2.0, 3.0):
            network.at(network.now + after, nat.rebind)
        await converse(assoc)
        [peer] = server.associations
        assert [path.udp_port for path in peer.paths] == list(nat.mappings.values())


@pytest.mark.parametrize("kind", ["rebind", "move"])
@pytest.mark.parametrize("seed", range(4))
@simulated
async def test_a_udp_nat_that_changes_the_outside_address_while_data_flows(network: Network, kind: str) -> None:
    network.defaults(loss=0.02)
    nat = network.nat(EXTERNAL, A)
    async with served() as server, to() as assoc:
        for after, outside in ((1.0, ELSEWHERE), (3.0, EXTERNAL2)):
            network.at(network.now + after, partial(getattr(nat, kind), outside))
        await converse(assoc)
        [peer] = server.associations
        assert addresses(peer) == {EXTERNAL2}


@pytest.mark.parametrize("seed", range(6))
@simulated
async def test_a_udp_nat_that_changes_the_outside_address_before_a_multihomed_server(network: Network) -> None:
    """A time-out sends data on from one path to the next, and all of them fail. It is noticed no later for that."""
    network.defaults(loss=0.02)
    nat = network.nat(EXTERNAL, A)
    config = CONFIG.replace(rto_initial=0.5, rto_min=0.25, rto_max=1.0, sack_delay=0.05, pf_threshold=0)
    async with served(Z, Z2, config=config) as server, to(Z, Z2, config=config) as assoc:
        await converse(assoc, 40)
        events = server.associations[0].events()
        nat.rebind(ELSEWHERE)
        async with asyncio.TaskGroup() as group:
            group.create_task(converse(assoc))
            # The RTO of the one path, of the other, and twice that of the first; a packet may get lost.
            async with asyncio.timeout(1.3):
                while await anext(events) != asyncsctp.PeerAddressChanged(ELSEWHERE, "added"):
                    pass


@simulated
async def test_a_udp_nat_that_changes_the_outside_address_of_an_idle_association(network: Network) -> None:
    """The client's next HEARTBEAT tells the server."""
    nat = network.nat(EXTERNAL, A)
    async with served() as server, to() as assoc:
        await converse(assoc, 3)
        nat.rebind(ELSEWHERE)
        await call(server, assoc, limit=100.0)


@plain_and_with_all
@simulated
async def test_heartbeats_keep_a_udp_nat_open(network: Network, config: Config) -> None:
    """Draft udp-encaps-cons section 5: they should come every 15 seconds."""
    nat = network.nat(EXTERNAL, A, idle_timeout=30.0)
    async with served(config=config) as server, to(config=config) as assoc:
        await asyncio.sleep(1000.0)
        await call(server, assoc, limit=1.0)
    assert not nat.drops


@plain_and_with_all
@simulated
async def test_without_heartbeats_a_udp_nat_closes_and_the_inside_opens_it(network: Network, config: Config) -> None:
    nat = network.nat(EXTERNAL, A, idle_timeout=30.0)
    config = config.replace(heartbeat_interval=None)
    async with served(config=config) as server, to(config=config) as assoc:
        await asyncio.sleep(1000.0)
        await server.associations[0].send(b"are you there?")
        await asyncio.sleep(0.5)
        assert nat.drops == {Refusal.UNKNOWN: 1}
        await assoc.send(b"yes")
        async with asyncio.timeout(10.0):
            assert (await assoc.recv()).data == b"are you there?"
            assert (await assoc.recv()).data == b"yes"


@plain_and_with_all
@simulated
async def test_a_symmetric_udp_nat_before_a_multihomed_server(network: Network, config: Config) -> None:
    """Each address of the server sees another port."""
    network.nat(EXTERNAL, A, symmetric=True)
    async with served(Z, Z2, config=config), to(Z, config=config) as assoc:
        await asyncio.sleep(60.0)
        network.at(network.now + 2.0, partial(network.cut, A, Z))
        await converse(assoc)


# Anything, at any time.


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("config", "moves"), [(PLAIN, False), (CONFIG, True)], ids=["port", "address"])
@simulated
async def test_a_udp_nat_that_rebinds_at_random(network: Network, seed: int, config: Config, moves: bool) -> None:
    network.defaults(loss=0.02)
    nat = network.nat(EXTERNAL, A)
    chance = Random(seed)
    async with served(config=config) as server, to(config=config) as assoc:
        for number in range(6):
            outside = f"192.0.2.{10 + number}" if moves and chance.random() < 0.5 else None
            network.at(network.now + chance.uniform(0.0, 8.0), partial(nat.rebind, outside))
        await converse(assoc, 200)
        assert addresses(server.associations[0]) == {nat.outside}


@pytest.mark.parametrize("seed", range(8))
@simulated
async def test_nats_that_lose_their_state_at_random_before_a_multihomed_client(network: Network, seed: int) -> None:
    network.defaults(loss=0.02)
    nats = network.sctp_nat(EXTERNAL, A), network.sctp_nat(EXTERNAL2, A2)
    chance = Random(seed)
    async with served(Z, Z2), to(Z) as assoc:
        await assoc.add_local_address(A2)
        for number in range(8):
            outside = f"192.0.2.{10 + number}" if chance.random() < 0.5 else None
            network.at(network.now + chance.uniform(0.0, 8.0), partial(chance.choice(nats).lose_state, outside))
        await converse(assoc, 200)
