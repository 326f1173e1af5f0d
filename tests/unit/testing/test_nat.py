"""An ordinary UDP NAT: what its outside looks like, by RFC 4787, and how NATs stand behind one another."""

from __future__ import annotations

import errno
from functools import partial

import pytest
from support.endpoints import Sim

from asyncsctp.testing import Nat, Network, PacketOutcome, Port, Refusal

Address = tuple[str, int]
A, A2, B, C = "10.0.0.1", "10.0.0.2", "203.0.113.1", "203.0.113.2"
OUTSIDE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Host:
    """A host with one port; it keeps what arrives."""

    def __init__(self, network: Network, address: str, number: int = 1) -> None:
        self.network = network
        self.got: list[tuple[bytes, Address]] = []
        self.errors: list[OSError] = []
        self.port: Port = network.host(address, address).bind(address, number, self)

    def receive(self, datagrams: list[bytes], source: Address, congestion_experienced: bool) -> None:
        self.got += [(data, source) for data in datagrams]

    def batch_done(self) -> None:
        pass

    def error(self, destination: Address, error: OSError) -> None:
        self.errors.append(error)

    def say(self, data: bytes, destination: Address) -> None:
        """Sends it, and lets it arrive."""
        self.port.send(data, destination)
        finish(self.network)

    @property
    def last(self) -> tuple[bytes, Address]:
        return self.got[-1]


def finish(network: Network) -> None:
    while network.clock.next_time < float("inf"):
        network.clock.advance(network.clock.next_time)
        network.clock.run_due()


def scene(**options: float | bool | None) -> tuple[Network, Nat, Host, Host, Host]:
    """Two hosts behind a NAT, and one that is not."""
    network = Network(icmp=True)
    nat = network.nat(OUTSIDE, A, A2, **options)  # type: ignore[arg-type]
    return network, nat, Host(network, A), Host(network, A2), Host(network, B)


# Mapping.


def test_the_mapping_is_the_same_for_all_destinations() -> None:
    network, _, a, _, b = scene()
    c = Host(network, C)
    a.say(b"1", (B, 1))
    a.say(b"2", (C, 1))
    assert b.last[1] == c.last[1]


def test_a_symmetric_nat_maps_anew_for_each_destination() -> None:
    network, nat, a, _, b = scene(symmetric=True)
    c = Host(network, C)
    a.say(b"1", (B, 1))
    a.say(b"2", (C, 1))
    first, second = b.last[1], c.last[1]
    assert first[0] == second[0] == OUTSIDE
    assert first[1] != second[1]
    assert nat.mappings == {(A, 1): second[1]}
    a.say(b"3", (B, 1))
    assert b.last[1] == first
    b.say(b"4", first)
    assert a.last == (b"4", (B, 1))
    c.say(b"5", first)
    assert a.last == (b"4", (B, 1))
    assert nat.drops == {Refusal.UNSOLICITED: 1}


def test_when_all_ports_are_taken_no_more_goes_out() -> None:
    nat = Nat(OUTSIDE, frozenset({A, A2}))
    ports = {nat.translate_out((A, number), (B, 1), b"", 0.0) for number in range(45536)}
    assert len(ports) == 45536
    assert nat.translate_out((A2, 1), (B, 1), b"", 0.0) is None
    assert nat.drops == {Refusal.EXHAUSTED: 1}
    assert nat.translate_out((A, 1), (B, 1), b"", 0.0) in ports


# Rebinding.


def test_rebinding_to_another_address() -> None:
    network, nat, a, _, b = scene()
    a.say(b"1", (B, 1))
    before = b.last[1]
    nat.rebind(ELSEWHERE)
    assert nat.outside == ELSEWHERE
    b.say(b"late", before)
    assert [error.errno for error in b.errors] == [errno.EHOSTUNREACH]
    b.say(b"late", (ELSEWHERE, before[1]))
    assert a.got == []
    assert nat.drops == {Refusal.UNKNOWN: 1}
    a.say(b"2", (B, 1))
    address, number = b.last[1]
    assert address == ELSEWHERE
    assert number != before[1]
    b.say(b"3", b.last[1])
    assert a.last == (b"3", (B, 1))
    assert network.counts[PacketOutcome.UNREACHABLE] == 1


def test_moving_keeps_the_ports() -> None:
    _, nat, a, _, b = scene()
    a.say(b"1", (B, 1))
    _, number = b.last[1]
    nat.move(ELSEWHERE)
    b.say(b"2", (ELSEWHERE, number))
    assert a.last == (b"2", (B, 1))
    a.say(b"3", (B, 1))
    assert b.last[1] == (ELSEWHERE, number)


@pytest.mark.parametrize("kind", ["rebind", "move"])
def test_an_address_that_cannot_be_changes_nothing(kind: str) -> None:
    network, nat, a, _, b = scene()
    network.nat("192.0.2.9", "10.9.9.9")
    a.say(b"1", (B, 1))
    before = b.last[1]
    for outside in (B, A2, "192.0.2.9", "10.9.9.9", "fd00::1", "nonsense"):
        with pytest.raises(ValueError):
            getattr(nat, kind)(outside)
    a.say(b"2", (B, 1))
    assert b.last[1] == before


def test_an_address_that_was_left_can_be_taken() -> None:
    network, nat, a, _, b = scene()
    nat.move(ELSEWHERE)
    a.say(b"from elsewhere", (B, 1))
    c = Host(network, OUTSIDE)
    b.say(b"to the new owner", (OUTSIDE, 1))
    assert c.last == (b"to the new owner", (B, 1))
    with pytest.raises(ValueError, match="NAT"):
        network.host("d", ELSEWHERE)


def test_links_and_cuts_mean_the_address_of_now() -> None:
    network, nat, a, _, b = scene()
    network.cut(A, B)
    nat.move(ELSEWHERE)
    a.say(b"1", (B, 1))
    assert b.last == (b"1", (ELSEWHERE, 20000))
    network.cut(A, B)
    a.say(b"2", (B, 1))
    assert b.last[0] == b"1"


# Drops.


def test_drops_are_counted_by_reason() -> None:
    network, nat, a, a2, b = scene(idle_timeout=30.0, hairpin=False)
    a.say(b"1", (B, 1))
    there = b.last[1]
    b.say(b"nobody there", (OUTSIDE, 1))
    network.send((C, 1), there, b"from a stranger")
    a2.say(b"back in", there)
    network.at(100.0, partial(b.port.send, b"late", there))
    finish(network)
    assert nat.drops == {Refusal.UNKNOWN: 2, Refusal.UNSOLICITED: 1, Refusal.HAIRPIN: 1}
    assert network.counts[PacketOutcome.FILTERED] == 4
    assert a.got == []


# Hairpins, RFC 4787 section 6.


def test_hairpin_with_the_external_address_and_port_as_source() -> None:
    _, nat, a, a2, b = scene()
    a.say(b"1", (B, 1))
    at_a = b.last[1]
    a2.say(b"2", (B, 1))
    at_a2 = b.last[1]
    a.port.send(b"opens", at_a2)
    a2.say(b"to a", at_a)
    assert a.last == (b"to a", at_a2)
    a.say(b"to a2", at_a2)
    assert a2.last == (b"to a2", at_a)
    assert nat.outside == at_a[0] == at_a2[0]


def test_hairpins_are_filtered_as_all_else() -> None:
    _, nat, a, a2, b = scene()
    a.say(b"1", (B, 1))
    a2.say(b"uninvited", b.last[1])
    assert a.got == []
    assert nat.drops == {Refusal.UNSOLICITED: 1}


# One NAT behind another.

SHARED = "100.64.0.1"


def test_a_nat_behind_a_nat() -> None:
    network = Network()
    inner = network.nat(SHARED, A)
    outer = network.nat(OUTSIDE, SHARED)
    a, b = Host(network, A), Host(network, B)
    a.say(b"1", (B, 1))
    assert b.last[1][0] == OUTSIDE
    assert list(inner.mappings) == [(A, 1)]
    assert list(outer.mappings) == [(SHARED, inner.mappings[A, 1])]
    b.say(b"2", b.last[1])
    assert a.last == (b"2", (B, 1))


def test_between_two_nats_is_a_realm_of_its_own() -> None:
    network = Network(icmp=True)
    network.nat(SHARED, A, filtering=False)
    network.nat(OUTSIDE, SHARED, "100.64.0.2")
    a, neighbour, b = Host(network, A), Host(network, "100.64.0.2"), Host(network, B)
    network.link(A, "100.64.0.2", delay=0.5)
    a.say(b"1", ("100.64.0.2", 1))
    assert network.now == 0.5
    assert neighbour.last[1][0] == SHARED
    neighbour.say(b"2", neighbour.last[1])
    assert a.last == (b"2", ("100.64.0.2", 1))
    b.say(b"3", (SHARED, 20000))
    assert a.last[0] == b"2"
    assert [error.errno for error in b.errors] == [errno.EHOSTUNREACH]


def test_hosts_behind_two_nats_meet_by_the_hairpin_of_the_third() -> None:
    network = Network()
    for shared, inside in ((SHARED, A), ("100.64.0.2", A2)):
        network.nat(shared, inside, filtering=False)
    network.nat(OUTSIDE, SHARED, "100.64.0.2", filtering=False)
    a, a2, b = Host(network, A), Host(network, A2), Host(network, B)
    a.say(b"1", (B, 1))
    at_a = b.last[1]
    a2.say(b"2", at_a)
    assert a.last[0] == b"2"
    assert a.last[1][0] == OUTSIDE
    a.say(b"3", a.last[1])
    assert a2.last == (b"3", at_a)


def test_the_inner_nat_may_move_within_its_realm() -> None:
    network = Network()
    inner = network.nat(SHARED, A)
    outer = network.nat(OUTSIDE, SHARED)
    a, b = Host(network, A), Host(network, B)
    inner.rebind("100.64.0.9")
    a.say(b"1", (B, 1))
    assert b.last[1][0] == OUTSIDE
    b.say(b"2", b.last[1])
    assert a.last[0] == b"2"
    assert outer.inside == {"100.64.0.9"}


# With associations.


def test_an_association_survives_a_change_of_the_outside_port() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, listening=True)
    nat = sim.network.nat(OUTSIDE, A)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    before = z.association.path_manager.primary.route.udp_port
    nat.rebind()
    a.send(b"still me")
    sim.until(lambda: z.received)
    after = z.association.path_manager.primary.route.udp_port
    assert after == nat.mappings[A, 9899] != before
    z.send(b"I see")
    sim.until(lambda: a.received)


def test_two_hosts_behind_one_nat_talk_by_its_outside() -> None:
    sim = Sim()
    a, b = sim.node("a", A), sim.node("b", A2, listening=True)
    nat = sim.network.nat(OUTSIDE, A, A2, filtering=False)
    nat.translate_out((A2, 9899), (B, 9899), b"", 0.0)  # as a word to a rendezvous server would
    a.connect(b, (OUTSIDE,), udp_port=nat.mappings[A2, 9899])
    sim.until(lambda: a.is_up() and b.is_up())
    assert [path.route.address for path in b.association.path_manager.paths] == [OUTSIDE]
    a.send(b"hello, neighbour")
    sim.until(lambda: b.received)
    b.send(b"hello")
    sim.until(lambda: a.received)


def test_without_hairpin_they_do_not() -> None:
    sim = Sim()
    a, b = sim.node("a", A), sim.node("b", A2, listening=True)
    nat = sim.network.nat(OUTSIDE, A, A2, filtering=False, hairpin=False)
    nat.translate_out((A2, 9899), (B, 9899), b"", 0.0)
    a.connect(b, (OUTSIDE,), udp_port=nat.mappings[A2, 9899])
    sim.run(30.0)
    assert not b.users
    assert nat.drops[Refusal.HAIRPIN] >= 4


def test_an_association_through_two_nats() -> None:
    sim = Sim()
    a, z = sim.node("a", A), sim.node("z", B, listening=True)
    sim.network.nat(SHARED, A)
    sim.network.nat(OUTSIDE, SHARED)
    a.connect(z)
    sim.until(lambda: a.is_up() and z.is_up())
    z.send(b"to a")
    sim.until(lambda: a.received)
