from __future__ import annotations

import errno
from functools import partial

import pytest

from asyncsctp.testing import Datagram, LinkSettings, Nat, Network, PacketOutcome, PacketRecord, Port
from asyncsctp.testing.clock import Clock

Address = tuple[str, int]
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Box:
    """Keeps what arrives."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.batches: list[tuple[float, list[bytes], Address, bool]] = []
        self.errors: list[tuple[float, Address, OSError]] = []
        self.done = 0

    def receive(self, datagrams: list[bytes], source: Address, congestion_experienced: bool) -> None:
        self.batches.append((self.network.now, datagrams, source, congestion_experienced))

    def batch_done(self) -> None:
        self.done += 1

    def error(self, destination: Address, error: OSError) -> None:
        self.errors.append((self.network.now, destination, error))

    @property
    def data(self) -> list[bytes]:
        return [data for _, datagrams, _, _ in self.batches for data in datagrams]


def two_hosts(network: Network) -> tuple[Port, Box, Port, Box]:
    a, b = Box(network), Box(network)
    return network.host("a", A).bind(A, 1, a), a, network.host("b", B).bind(B, 2, b), b


def finish(network: Network) -> None:
    while network.clock.next_time < float("inf"):
        network.clock.advance(network.clock.next_time)
        network.clock.run_due()


def test_a_datagram_arrives_after_the_delay() -> None:
    network = Network()
    port, _, _, b = two_hosts(network)
    port.send(b"hello", (B, 2))
    finish(network)
    assert b.batches == [(0.01, [b"hello"], (A, 1), False)]
    assert network.counts == {PacketOutcome.DELIVERED: 1}


def test_what_arrives_at_one_instant_from_one_source_is_one_batch() -> None:
    network = Network()
    port, _, _, b = two_hosts(network)
    other = network.host("c", C).bind(C, 3, Box(network))
    for data in (b"1", b"2", b"3"):
        port.send(data, (B, 2))
    other.send(b"4", (B, 2))
    port.send(b"5", (B, 2))
    finish(network)
    assert [(datagrams, source) for _, datagrams, source, _ in b.batches] == [
        ([b"1", b"2", b"3"], (A, 1)),
        ([b"4"], (C, 3)),
        ([b"5"], (A, 1)),
    ]
    assert b.done == 1


def test_marked_datagrams_are_a_batch_of_their_own() -> None:
    network = Network(link=LinkSettings(mark=1.0))
    port, _, _, b = two_hosts(network)
    port.send(b"1", (B, 2), ecn_capable=True)
    port.send(b"2", (B, 2))
    finish(network)
    assert [(datagrams, marked) for _, datagrams, _, marked in b.batches] == [([b"1"], True), ([b"2"], False)]


def test_ipv6() -> None:
    network = Network(link=LinkSettings(mtu=100))
    b = Box(network)
    port = network.host("a", "2001:DB8::1", A).bind("2001:db8:0::1", 1, Box(network))
    network.host("b", "2001:db8::2").bind("2001:db8::2", 2, b)
    port.send(b"x" * 52, ("2001:db8::2", 2))
    port.send(b"x" * 53, ("2001:db8::2", 2))
    finish(network)
    assert b.batches == [(0.01, [b"x" * 52], ("2001:db8::1", 1), False)]
    with pytest.raises(OSError, match="can't be reached"):
        port.send(b"", (B, 2))


def test_a_wildcard_port_gets_all_and_sends_from_the_right_family() -> None:
    network = Network()
    box, b6 = Box(network), Box(network)
    wild = network.host("a", A, "fd00::1").bind("::", 1, box)
    peer = network.host("b", "fd00::2").bind("fd00::2", 2, b6)
    peer.send(b"in", ("fd00::1", 1))
    wild.send(b"out", ("fd00::2", 2))
    finish(network)
    assert (box.data, b6.batches[0][2]) == ([b"in"], ("fd00::1", 1))


def test_ports() -> None:
    network = Network()
    host = network.host("a", A)
    port = host.bind(A, 0, Box(network))
    assert port.number >= 49152
    assert host.bind(A, 0, Box(network)).number != port.number
    for address in (A, "0.0.0.0"):
        with pytest.raises(OSError, match="in use") as caught:
            host.bind(address, port.number, Box(network))
        assert caught.value.errno == errno.EADDRINUSE
    port.close()
    host.bind(A, port.number, Box(network))
    with pytest.raises(OSError, match="no address") as caught:
        host.bind(B, 1, Box(network))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_names_and_addresses_are_unique() -> None:
    network = Network()
    network.host("a", A)
    with pytest.raises(ValueError, match="already"):
        network.host("b", A)
    with pytest.raises(ValueError, match="already"):
        network.host("a", B)
    with pytest.raises(ValueError):
        network.host("c", "server.example")


def test_links_change_while_it_runs_both_ways_or_one() -> None:
    network = Network()
    a_port, a, b_port, b = two_hosts(network)
    network.link(A, B, delay=1.0)
    network.link(A, B, delay=2.0, one_way=True)
    a_port.send(b"1", (B, 2))
    b_port.send(b"2", (A, 1))
    finish(network)
    assert (a.batches[0][0], b.batches[0][0]) == (1.0, 2.0)
    network.defaults(delay=0.5)
    a_port.send(b"3", (B, 2))
    finish(network)
    assert b.batches[1][0] == 2.5
    with pytest.raises(ValueError, match="loss"):
        network.link(A, B, loss=2.0)


def test_a_cut_loses_what_is_under_way_and_what_is_sent() -> None:
    network = Network()
    network.packets = []
    port, _, _, b = two_hosts(network)
    port.send(b"under way", (B, 2))
    network.at(0.005, partial(network.cut, A, B))
    network.at(0.006, partial(port.send, b"sent", (B, 2)))
    network.at(0.5, partial(network.heal, A, B))
    network.at(0.6, partial(port.send, b"later", (B, 2)))
    finish(network)
    assert b.data == [b"later"]
    assert network.packets[-1] == PacketRecord(0.61, (A, 1), (B, 2), b"later", PacketOutcome.DELIVERED)
    assert [(record.data, record.outcome) for record in network.packets[:2]] == [
        (b"sent", PacketOutcome.CUT),
        (b"under way", PacketOutcome.CUT),
    ]


def test_the_hook_drops_changes_and_holds() -> None:
    network = Network()
    port, _, _, b = two_hosts(network)
    seen: list[Datagram] = []
    verdicts = {b"drop": False, b"change": b"changed", b"hold": 1, b"pass": None, b"true": True}

    def hook(datagram: Datagram) -> bytes | float | bool | None:
        seen.append(datagram)
        return verdicts[datagram.data]  # type: ignore[return-value]

    network.on_datagram = hook
    for data in verdicts:
        port.send(data, (B, 2))
    finish(network)
    at_once, later = b.batches
    assert at_once[:2] == (0.01, [b"changed", b"pass", b"true"])
    assert later[:2] == (1.01, [b"hold"])
    assert seen[0] == Datagram(0.0, (A, 1), (B, 2), b"drop", False)
    assert network.counts[PacketOutcome.DROPPED] == 1


def test_too_big_is_silent_or_reported() -> None:
    network = Network(link=LinkSettings(mtu=128))
    port, a, _, b = two_hosts(network)
    port.send(b"x" * 101, (B, 2))
    finish(network)
    assert (a.errors, b.batches) == ([], [])
    network.link(A, B, report_too_big=True)
    port.send(b"x" * 101, (B, 2))
    finish(network)
    [(_, destination, error)] = a.errors
    assert (destination, error.errno, getattr(error, "mtu", None)) == ((B, 2), errno.EMSGSIZE, 128)


@pytest.mark.parametrize("icmp", [True, False])
def test_nobody_there(icmp: bool) -> None:
    network = Network(icmp=icmp)
    port, a, _, _ = two_hosts(network)
    port.send(b"", (B, 99))
    port.send(b"", ("10.9.9.9", 2))
    finish(network)
    assert [(when, to, error.errno) for when, to, error in a.errors] == (
        [(0.02, (B, 99), errno.ECONNREFUSED), (0.02, ("10.9.9.9", 2), errno.EHOSTUNREACH)] if icmp else []
    )
    assert all(isinstance(error, ConnectionRefusedError) for _, to, error in a.errors if to == (B, 99))
    assert network.counts == {PacketOutcome.NO_PORT: 1, PacketOutcome.UNREACHABLE: 1}


def test_addresses_come_and_go() -> None:
    network = Network()
    port, _, b_port, b = two_hosts(network)
    network.remove_address(b_port.host, B)
    port.send(b"lost", (B, 2))
    finish(network)
    network.add_address(b_port.host, B)
    port.send(b"found", (B, 2))
    finish(network)
    assert b.data == [b"found"]


def test_send_forges() -> None:
    network = Network()
    _, _, _, b = two_hosts(network)
    network.send(("10.6.6.6", 6), (B, 2), b"evil")
    finish(network)
    assert b.batches[0][1:3] == ([b"evil"], ("10.6.6.6", 6))


OUTSIDE = "192.0.2.1"


def natted(**options: float | bool | None) -> tuple[Network, Nat, Port, Box, Port, Box]:
    network = Network(icmp=True)
    port, a, b_port, b = two_hosts(network)
    return network, network.nat(OUTSIDE, A, **options), port, a, b_port, b  # type: ignore[arg-type]


def test_a_nat_translates_and_rebinds() -> None:
    network, nat, port, a, b_port, b = natted()
    port.send(b"1", (B, 2))
    finish(network)
    first = b.batches[0][2]
    assert first[0] == OUTSIDE
    assert nat.mappings == {(A, 1): first[1]}
    b_port.send(b"2", first)
    finish(network)
    assert a.batches[0][1:3] == ([b"2"], (B, 2))
    nat.rebind()
    b_port.send(b"stale", first)
    port.send(b"3", (B, 2))
    finish(network)
    assert b.batches[1][2] != first
    assert a.data == [b"2"]
    assert network.counts[PacketOutcome.FILTERED] == 1


def test_a_nat_filters_strangers_and_hides_the_inside() -> None:
    network, _, port, a, _, b = natted()
    c = Box(network)
    stranger = network.host("c", C).bind(C, 3, c)
    port.send(b"1", (B, 2))
    finish(network)
    stranger.send(b"", b.batches[0][2])
    stranger.send(b"", (A, 1))
    finish(network)
    assert (a.batches, [error.errno for _, _, error in c.errors]) == ([], [errno.EHOSTUNREACH])


def test_a_nat_without_filtering_lets_strangers_in() -> None:
    network, _, port, a, _, b = natted(filtering=False)
    port.send(b"1", (B, 2))
    finish(network)
    network.send((C, 3), b.batches[0][2], b"hi")
    finish(network)
    assert a.data == [b"hi"]


def test_an_idle_nat_forgets() -> None:
    network, _, port, a, b_port, b = natted(idle_timeout=30.0)
    port.send(b"1", (B, 2))
    network.at(29.0, partial(port.send, b"2", (B, 2)))
    network.at(61.0, partial(port.send, b"3", (B, 2)))
    network.at(100.0, lambda: b_port.send(b"late", b.batches[-1][2]))
    finish(network)
    sources = [source for _, _, source, _ in b.batches]
    assert sources[0] == sources[1] != sources[2]
    assert a.data == []
    with pytest.raises(ValueError, match="idle_timeout"):
        network.nat("192.0.2.9", C, idle_timeout=0)


def test_link_and_cut_of_a_natted_address_mean_its_outside() -> None:
    network, _, port, a, _, b = natted()
    network.link(A, B, delay=1.0)
    port.send(b"1", (B, 2))
    finish(network)
    assert b.batches[0][0] == 1.0
    port.send(b"", (B, 99))
    finish(network)
    assert [error.errno for _, _, error in a.errors] == [errno.ECONNREFUSED]


def test_the_clock_runs_actions_of_one_instant_in_order_and_never_goes_back() -> None:
    clock, done = Clock(), list[str]()
    for name in "abc":
        clock.at(1.0, partial(done.append, name))
    clock.at(0.5, lambda: clock.at(0.1, partial(done.append, "late")))
    clock.advance(5.0)
    clock.run_due()
    assert (clock.now, done) == (0.5, ["late"])
    clock.advance(5.0)
    clock.run_due()
    assert (clock.now, done) == (1.0, ["late", "a", "b", "c"])
    with pytest.raises(ValueError):
        clock.at(float("inf"), clock.run_due)


def traced(seed: int) -> list[PacketRecord]:
    network = Network(seed, link=LinkSettings(loss=0.1, jitter=0.02, reorder=0.1, duplicate=0.1, corrupt=0.1, rate=1e6))
    network.packets = []
    port, _, b_port, _ = two_hosts(network)
    for at in range(300):
        network.at(at * 0.001, partial(port.send, bytes(100), (B, 2)))
        network.at(at * 0.001, partial(b_port.send, bytes(50), (A, 1)))
    finish(network)
    return network.packets


def test_the_same_seed_gives_the_same_run() -> None:
    assert traced(3) == traced(3)
    assert traced(3) != traced(4)


def test_a_nat_is_checked() -> None:
    network, _, _, _, _, _ = natted()
    for outside, inside in ((OUTSIDE, C), (B, C), ("192.0.2.2", "fd00::1"), ("192.0.2.2", A)):
        with pytest.raises(ValueError):
            network.nat(outside, inside)
    with pytest.raises(ValueError, match="NAT"):
        network.host("d", OUTSIDE)


def test_addresses_behind_one_nat_reach_each_other_untranslated() -> None:
    network = Network()
    port, _, _, b = two_hosts(network)
    network.nat(OUTSIDE, A, B)
    network.link(A, B, delay=0.5)
    port.send(b"x", (B, 2))
    finish(network)
    assert b.batches == [(0.5, [b"x"], (A, 1), False)]
    assert network.backlog(A, B) == 0.0


def test_a_misspelt_hook_is_noticed() -> None:
    with pytest.raises(AttributeError):
        Network().on_datagrams = None  # type: ignore[attr-defined]
