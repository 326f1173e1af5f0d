"""The side that associates (RFC 9260 section 5.1), against a peer played by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.narrowing import so_far

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationRefused, AssociationTimeout, Cause
from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.path_state import PathState
from asyncsctp.timers import T1_COOKIE, T1_INIT
from asyncsctp.wire import causes, control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_INVALID_PARAMETER,
    CAUSE_MISSING_PARAMETER,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_STALE_COOKIE,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_UNRESOLVABLE_ADDRESS,
    COOKIE_ECHO,
    ERROR,
)
from asyncsctp.wire.tlv import Malformed

Bench = Any  # see conftest
OTHER = "192.0.2.3"


def cause_code(chunk: bytes) -> int:
    return int.from_bytes(chunk[4:6])


def test_init_goes_alone_with_tag_0_to_the_primary(bench: Bench) -> None:
    bench.handshake.associate()
    [(address, tag, body)] = bench.sent()
    init = bench.read_setup_chunk(body)
    assert (address, tag) == (bench.peer_address, 0)
    assert init.initiate_tag == 0x1111
    assert init.addresses == ()
    assert init.preservative_ms == 0
    assert bench.context.state is COOKIE_WAIT
    assert bench.context.local_tag == 0x1111
    assert (bench.context.local_tag, bench.context.peer_tag) == (0x1111, 0)


def test_a_multihomed_endpoint_lists_its_addresses(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(local=("192.0.2.1", "192.0.2.9"))
    bench.handshake.associate()
    assert bench.read_setup_chunk(bench.sent()[0][2]).addresses == ("192.0.2.1", "192.0.2.9")


def test_the_whole_way(bench: Bench) -> None:
    bench.handshake.associate()
    bench.sent()
    bench.context.now = 0.1
    bench.handshake.on_init_ack(bench.peer_init(cookie=b"a cookie"), bench.route())
    assert bench.sent() == [(bench.peer_address, 0x2222, control.pack_cookie_echo(b"a cookie"))]
    assert bench.context.state is COOKIE_ECHOED
    assert not bench.context.timers.runs(T1_INIT)
    assert bench.context.timers.runs(T1_COOKIE)
    assert bench.owner.established == []

    bench.handshake.on_cookie_ack()
    [setup] = bench.owner.established
    assert (setup.local_tag, setup.peer_tag) == (0x1111, 0x2222)
    assert (setup.outgoing_streams, setup.incoming_streams) == (20, 10)
    assert setup.local_initial_tsn == bench.handshake.offer.initial_tsn
    assert setup.peer_initial_tsn == 0xFFFFFFF0
    assert setup.addresses == (bench.peer_address,)
    assert setup.ecn
    assert bench.context.timers.next_expiry == float("inf")
    assert bench.context.paths.primary.rto.srtt == pytest.approx(0.1 * 7 / 8)  # two round trips: 0.1 s and 0


def test_init_is_sent_again_with_doubled_time_outs_up_to_rto_max(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Config(rto_initial=1.0, rto_max=8.0, init_max_retrans=5))
    bench.handshake.associate()
    first = bench.sent()
    at = [0.0]
    while not bench.owner.ended:
        bench.wait()
        at.append(bench.context.now)
        assert bench.sent() == ([] if bench.owner.ended else first)
    assert at == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0]
    [error] = bench.owner.ended
    assert isinstance(error, AssociationTimeout)
    assert "192.0.2.2 port 6000 did not answer 6 INIT chunks" in str(error)
    assert "UDP port 9899" in str(error)


def test_init_max_retrans_of_0_is_one_init(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Config(init_max_retrans=0))
    bench.handshake.associate()
    bench.wait()
    assert len(bench.sent()) == 1
    assert bench.context.state is CLOSED


def test_init_goes_to_every_address_of_the_peer(make_bench: Callable[..., Bench]) -> None:
    """Section 5.1: retransmissions use all addresses, and each has its own back-off."""
    bench = make_bench(addresses=("192.0.2.2", OTHER, "192.0.2.4"))
    bench.handshake.associate()
    for _ in range(5):
        bench.wait()
    assert [address for address, _, _ in bench.sent()[:3]] == ["192.0.2.2", OTHER, "192.0.2.4"]
    assert bench.context.now == 1.0 + 1.0 + 1.0 + 2.0 + 2.0


def test_the_address_that_answered_becomes_the_primary(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(addresses=("192.0.2.2", OTHER))
    bench.handshake.associate()
    bench.wait()
    bench.sent()
    bench.handshake.on_init_ack(bench.peer_init(cookie=b"c", addresses=("192.0.2.2", OTHER)), bench.route(OTHER))
    assert [address for address, _, _ in bench.sent()] == [OTHER]
    assert bench.context.paths.primary.route.address == OTHER
    assert len(bench.context.paths.paths) == 2


def test_cookie_echo_is_sent_again_until_the_limit(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Config(init_max_retrans=2))
    body = bench.echo()
    bench.wait()
    bench.wait()
    assert bench.sent() == [(bench.peer_address, 0x2222, body)] * 2
    bench.wait()
    assert bench.sent() == []
    assert "did not answer 3 COOKIE ECHO chunks" in str(bench.owner.ended[0])


def test_cookie_echo_never_goes_to_an_address_that_is_not_confirmed(bench: Bench) -> None:
    """Section 5.4: the addresses that the peer adds in its INIT ACK are hearsay."""
    bench.echo(bench.peer_init(cookie=b"c", addresses=(OTHER,)))
    for _ in range(3):
        bench.wait()
    assert {address for address, _, _ in bench.sent()} == {bench.peer_address}
    path = bench.context.paths.find(OTHER)
    assert path is not None
    assert path.state is PathState.UNCONFIRMED


def test_the_peers_list_says_which_of_our_users_addresses_are_its_own(make_bench: Callable[..., Bench]) -> None:
    """Section 5.1.2: none listed means the source alone."""
    bench = make_bench(addresses=("192.0.2.2", OTHER))
    bench.echo()
    assert [path.route.address for path in bench.context.paths.paths] == ["192.0.2.2"]


def test_an_init_ack_from_a_new_address_counts_if_it_lists_a_known_one(bench: Bench) -> None:
    """Section 5.1.2 D."""
    body = bench.echo(bench.peer_init(cookie=b"c", addresses=(bench.peer_address,)), bench.route(OTHER))
    assert bench.kinds(body) == [COOKIE_ECHO]
    bench.handshake.on_cookie_ack()
    assert set(bench.owner.established[0].addresses) == {OTHER, bench.peer_address}


def test_an_init_ack_from_nowhere_is_not_for_us(bench: Bench) -> None:
    bench.handshake.associate()
    bench.sent()
    bench.handshake.on_init_ack(bench.peer_init(cookie=b"c"), bench.route(OTHER))
    assert bench.sent() == []
    assert bench.context.state is COOKIE_WAIT


def test_the_peers_udp_port_is_the_one_that_the_init_ack_came_from(bench: Bench) -> None:
    bench.echo(bench.peer_init(cookie=b"c", addresses=(OTHER,)), bench.route(udp_port=4321))
    assert {path.route.udp_port for path in bench.context.paths.paths} == {4321}


def test_an_init_ack_in_another_state_changes_nothing(bench: Bench) -> None:
    """Section 5.2.3."""
    bench.echo()
    for flawed in (bench.peer_init(cookie=b"other"), bench.peer_init(tag=0), bench.peer_init(cookie=None)):
        bench.handshake.on_init_ack(flawed, bench.route())
    assert bench.sent() == []
    assert so_far(bench.context.state) is COOKIE_ECHOED
    assert bench.context.statistics.unexpected_chunks == 3
    bench.handshake.on_cookie_ack()
    bench.handshake.on_init_ack(bench.peer_init(tag=9, cookie=b"other"), bench.route())
    assert bench.context.state is ESTABLISHED
    assert bench.context.peer_tag == 0x2222


def test_a_cookie_ack_that_nobody_waits_for_is_ignored(bench: Bench) -> None:
    """Section 5.2.5."""
    bench.handshake.associate()
    bench.handshake.on_cookie_ack()
    assert bench.owner.established == []
    bench.handshake.on_init_ack(bench.peer_init(cookie=b"c"), bench.route())
    bench.handshake.on_cookie_ack()
    bench.handshake.on_cookie_ack()
    assert len(bench.owner.established) == 1


@pytest.mark.parametrize(
    ("flaw", "code"),
    [
        ({"cookie": None}, CAUSE_MISSING_PARAMETER),
        ({"streams": (0, 1)}, CAUSE_INVALID_PARAMETER),
        ({"streams": (1, 0)}, CAUSE_INVALID_PARAMETER),
        ({"a_rwnd": 1499}, CAUSE_INVALID_PARAMETER),  # erratum 7148
        ({"host_name": b"\0\x0b\0\x06a\0"}, CAUSE_UNRESOLVABLE_ADDRESS),
    ],
)
def test_a_flawed_init_ack_ends_it_with_an_abort_under_the_peers_tag(
    bench: Bench, flaw: dict[str, Any], code: int
) -> None:
    bench.handshake.associate()
    bench.sent()
    bench.handshake.on_init_ack(bench.peer_init(**{"cookie": b"c"} | flaw), bench.route())
    [(address, tag, body)] = bench.sent()
    assert (address, tag) == (bench.peer_address, 0x2222)
    assert bench.kinds(body) == [ABORT]
    assert body[1] == 0
    assert cause_code(body) == code
    [error] = bench.owner.ended
    assert isinstance(error, AssociationAborted)
    assert [cause.code for cause in error.causes] == [code]
    assert not error.by_peer


def test_an_init_ack_with_tag_0_is_answered_by_a_reflected_tag(bench: Bench) -> None:
    """Section 3.3.3: an ABORT with the T bit, whose tag is the one that came."""
    bench.handshake.associate()
    bench.sent()
    bench.handshake.on_init_ack(bench.peer_init(tag=0, cookie=b"c"), bench.route())
    assert bench.sent() == [(bench.peer_address, 0x1111, control.pack_abort(reflected=True))]
    assert bench.context.state is CLOSED


def test_unknown_parameters_are_reported_behind_the_cookie(bench: Bench) -> None:
    """Section 3.2.2."""
    parameter = tlv.pack(0xC123, b"what is this")
    body = bench.echo(bench.peer_init(cookie=b"c", unrecognized=(parameter,)))
    assert bench.kinds(body) == [COOKIE_ECHO, ERROR]
    assert cause_code(body[8:]) == CAUSE_UNRECOGNIZED_PARAMETERS
    assert parameter in body


def test_no_report_makes_the_packet_too_large(bench: Bench) -> None:
    body = bench.echo(bench.peer_init(cookie=bytes(1000), unrecognized=(tlv.pack(0xC123, bytes(600)),)))
    assert bench.kinds(body) == [COOKIE_ECHO]


# Section 5.2.6.


def stale(microseconds: int) -> Cause:
    return Cause(CAUSE_STALE_COOKIE, microseconds.to_bytes(4))


@pytest.mark.parametrize(("staleness", "asked_ms"), [(300_000, 500), (10_000_000, 1200), (0, 1200)])
def test_a_stale_cookie_is_asked_for_again_with_a_longer_life(bench: Bench, staleness: int, asked_ms: int) -> None:
    """The round trip, and no more than a second beyond it."""
    bench.echo()
    tsn = bench.handshake.offer.initial_tsn
    bench.context.now += 0.2
    bench.handshake.on_error([stale(staleness)])
    [(_, tag, body)] = bench.sent()
    init = bench.read_setup_chunk(body)
    assert tag == 0
    assert (init.initiate_tag, init.initial_tsn) == (0x1111, tsn)
    assert init.preservative_ms == pytest.approx(asked_ms, abs=1)
    assert bench.context.state is COOKIE_WAIT
    assert bench.context.peer_tag == 0
    assert not bench.context.timers.runs(T1_COOKIE)
    bench.handshake.on_init_ack(bench.peer_init(tag=0x3333, cookie=b"fresh"), bench.route())
    bench.handshake.on_cookie_ack()
    assert bench.owner.established[0].peer_tag == 0x3333


def test_cookies_that_are_stale_for_ever_end_in_a_refusal(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Config(init_max_retrans=3))
    bench.handshake.associate()
    rounds = 0
    while not bench.owner.ended:
        rounds += 1
        bench.handshake.on_init_ack(bench.peer_init(cookie=b"c"), bench.route())
        bench.handshake.on_error([stale(1)])
    assert rounds == 4
    assert isinstance(bench.owner.ended[0], AssociationRefused)
    assert bench.owner.ended[0].causes == (stale(1),)


def test_a_stale_cookie_cause_without_its_measure_is_malformed(bench: Bench) -> None:
    """CVE-2026-64551: causes have lengths too."""
    bench.echo()
    with pytest.raises(Malformed):
        bench.handshake.on_error([Cause(CAUSE_STALE_COOKIE, b"\0\0")])
    assert bench.context.state is COOKIE_ECHOED


def test_a_stale_cookie_report_in_another_state_is_ignored(bench: Bench) -> None:
    bench.handshake.associate()
    bench.sent()
    bench.handshake.on_error([stale(1)])
    assert bench.sent() == []
    bench.handshake.on_init_ack(bench.peer_init(cookie=b"c"), bench.route())
    bench.handshake.on_cookie_ack()
    bench.handshake.on_error([stale(1)])
    assert bench.context.state is ESTABLISHED


# Refusals.


def test_a_refusal_tells_its_causes(bench: Bench) -> None:
    bench.handshake.associate()
    cause = causes.pack_cause(CAUSE_OUT_OF_RESOURCE)
    bench.handshake.on_abort(causes.read_causes(cause, 0, len(cause)))
    [error] = bench.owner.ended
    assert isinstance(error, AssociationRefused)
    assert isinstance(error, ConnectionRefusedError)
    assert str(error).startswith("the peer at 192.0.2.2 port 6000 refused the association: out of resource")


def test_a_refusal_without_a_cause_has_a_hint(bench: Bench) -> None:
    bench.handshake.associate()
    bench.handshake.on_abort(())
    assert "listen on that SCTP port" in str(bench.owner.ended[0])


def test_a_refusal_for_the_udp_port_says_what_to_do(bench: Bench) -> None:
    bench.handshake.associate()
    cause = causes.pack_new_encapsulation_port(9899, 40000)
    bench.handshake.on_abort(causes.read_causes(cause, 0, len(cause)))
    [error] = bench.owner.ended
    assert error.causes[0].code == CAUSE_NEW_ENCAPSULATION_PORT
    assert "9899" in str(error)
    assert "40000" in str(error)
    assert "UDP encapsulation port" in str(error)
