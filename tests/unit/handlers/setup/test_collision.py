"""Setup chunks where an association exists (RFC 9260 section 5.2); every row of its table 12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncsctp.handlers.paths.heartbeat import Heartbeat
from asyncsctp.handlers.setup.collision import Collision
from asyncsctp.handlers.setup.cookie import OpenedCookie
from asyncsctp.handlers.setup.negotiation import Setup
from asyncsctp.handlers.state import (
    COOKIE_ECHOED,
    COOKIE_WAIT,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
    State,
)
from asyncsctp.paths.route import Route
from asyncsctp.timers import T1_COOKIE, T1_INIT
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN,
    CAUSE_NEW_ENCAPSULATION_PORT,
    CAUSE_RESTART_NEW_ADDRESSES,
    CAUSE_STALE_COOKIE,
    COOKIE_ACK,
    ERROR,
    HEARTBEAT,
    SHUTDOWN_ACK,
)

Bench = Any  # see conftest
OTHER = "192.0.2.3"
THIRD = "192.0.2.4"
FRESH = 0x7777


@pytest.fixture
def pair(bench: Bench) -> tuple[Bench, Collision]:
    """An established association, tags 0x1111 and 0x2222, and its collision room."""
    return _established(bench)


def _established(bench: Bench) -> tuple[Bench, Collision]:
    bench.echo()
    bench.handshake.on_cookie_ack()
    bench.sent()
    return bench, Collision(bench.context, bench.cookies, Heartbeat(bench.context))


def reopen(bench: Bench, reply: tuple[Route, bytes] | None) -> tuple[OpenedCookie, bytes]:
    """The cookie in an INIT ACK, as the endpoint will see it again."""
    assert reply is not None
    init_ack = bench.read_setup_chunk(reply[1])
    assert init_ack.cookie is not None
    bound = (bench.context.local_port, bench.context.peer_port, init_ack.initiate_tag)
    opened = bench.cookies.open(init_ack.cookie, bench.context.now, bound)
    assert opened is not None
    return opened, init_ack.cookie


def opened(bench: Bench, ties: tuple[int, int] = (0, 0), stale: int = 0, **changes: Any) -> OpenedCookie:
    setup = Setup(0x1111, 0x2222, 1, 0xFFFFFFF0, 9999, 5, 5, 5000, 6000, (bench.peer_address,), bench.udp_port)
    return OpenedCookie(setup._replace(**changes), ties, stale)


def cookie_acks(bench: Bench) -> int:
    return [chunk for chunk, _ in bench.queued()].count(control.pack_cookie_ack())


def snapshot(bench: Bench) -> tuple[object, ...]:
    context = bench.context
    return (
        context.state,
        context.local_tag,
        context.peer_tag,
        context.setup,
        [path.route for path in context.paths.paths],
        [context.timers.deadline(timer) for timer in (T1_INIT, T1_COOKIE)],
        list(bench.owner.established),
        list(bench.owner.ended),
    )


# Section 5.2.1: INIT in COOKIE-WAIT and COOKIE-ECHOED.


def test_init_in_cookie_wait_is_answered_with_what_our_init_said(bench: Bench) -> None:
    bench.handshake.associate()
    bench.sent()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    before = snapshot(bench)
    reply = collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH, bench.handshake.offer)
    assert reply is not None
    assert reply[0] == bench.route()
    init_ack = bench.read_setup_chunk(reply[1])
    assert (init_ack.initiate_tag, init_ack.initial_tsn) == (0x1111, bench.handshake.offer.initial_tsn)
    cookie, _ = reopen(bench, reply)
    assert cookie.tie_tags == (0, 0)
    assert (cookie.setup.local_tag, cookie.setup.peer_tag) == (0x1111, 0x4444)
    assert snapshot(bench) == before


def test_in_cookie_wait_the_answer_goes_only_where_our_user_wanted_to(bench: Bench) -> None:
    """Rules 1 and 2."""
    bench.handshake.associate()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    known = bench.peer_init(tag=0x4444, addresses=(bench.peer_address,))
    reply = collision.on_init(known, bench.route(OTHER), FRESH, bench.handshake.offer)
    assert reply is not None
    assert reply[0].address == bench.peer_address
    assert collision.on_init(bench.peer_init(), bench.route(OTHER), FRESH, bench.handshake.offer) is None


def test_init_in_cookie_echoed_keeps_the_tag_and_has_tie_tags(bench: Bench) -> None:
    bench.echo()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    before = snapshot(bench)
    reply = collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH, bench.handshake.offer)
    cookie, _ = reopen(bench, reply)
    assert cookie.setup.local_tag == 0x1111
    assert 0 not in cookie.tie_tags
    assert snapshot(bench) == before


def test_init_in_cookie_echoed_may_add_no_address(bench: Bench) -> None:
    bench.echo()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    before = snapshot(bench)
    reply = collision.on_init(bench.peer_init(addresses=(OTHER,)), bench.route(), FRESH, bench.handshake.offer)
    assert reply is not None
    assert bench.kinds(reply[1]) == [ABORT]
    assert snapshot(bench) == before


# Section 5.2.2: INIT later.


@pytest.mark.parametrize("state", [ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT, SHUTDOWN_RECEIVED])
def test_init_later_is_answered_with_a_new_tag_and_changes_nothing(pair: tuple[Bench, Collision], state: State) -> None:
    bench, collision = pair
    bench.context.state = state
    before = snapshot(bench)
    first = collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH, None)
    second = collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH + 1, None)
    cookie, raw = reopen(bench, first)
    assert first is not None
    assert cookie.setup.local_tag == bench.read_setup_chunk(first[1]).initiate_tag == FRESH
    assert 0 not in cookie.tie_tags
    assert reopen(bench, second)[0].tie_tags == cookie.tie_tags
    assert snapshot(bench) == before
    # RFC 5062 section 3.3: whoever gets the address gets no tags of the association with it.
    assert (0x1111).to_bytes(4) not in raw
    assert (0x2222).to_bytes(4) not in raw


def test_a_restart_with_new_addresses_is_refused_and_they_are_named(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    before = snapshot(bench)
    init = bench.peer_init(tag=0x4444, addresses=(bench.peer_address, OTHER, THIRD))
    reply = collision.on_init(init, bench.route(), FRESH, None)
    assert reply is not None
    assert bench.kinds(reply[1]) == [ABORT]
    assert reply[1][1] == 0
    assert int.from_bytes(reply[1][4:6]) == CAUSE_RESTART_NEW_ADDRESSES
    new = bytes.fromhex("00050008c0000203") + bytes.fromhex("00050008c0000204")
    assert reply[1][8:] == new
    assert snapshot(bench) == before


def test_a_restart_from_a_new_source_is_refused_too(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    init = bench.peer_init(tag=0x3333, addresses=(bench.peer_address,))
    reply = collision.on_init(init, bench.route(OTHER), FRESH, None)
    assert reply is not None
    assert bench.kinds(reply[1]) == [ABORT]
    assert reply[0].address == OTHER


def test_a_restart_may_list_fewer_addresses(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(addresses=("192.0.2.2", OTHER))
    bench.echo(bench.peer_init(cookie=b"c", addresses=("192.0.2.2", OTHER)))
    bench.handshake.on_cookie_ack()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    reply = collision.on_init(bench.peer_init(), bench.route(OTHER), FRESH, None)
    assert reopen(bench, reply)[0].setup.addresses == (OTHER,)


def test_addresses_that_we_never_used_are_not_new(pair: tuple[Bench, Collision]) -> None:
    """The peer lists its loopback address each time; it was left out the first time, and is now."""
    bench, collision = pair
    reply = collision.on_init(bench.peer_init(addresses=("127.0.0.1", "2001:db8::2")), bench.route(), FRESH, None)
    reopen(bench, reply)


@pytest.mark.parametrize("state", [COOKIE_WAIT, ESTABLISHED, SHUTDOWN_ACK_SENT])
def test_init_from_another_udp_port_is_refused(pair: tuple[Bench, Collision], state: State) -> None:
    """Draft udp-encaps-cons section 4, rules 1 and 7."""
    bench, collision = pair
    bench.context.state = state
    before = snapshot(bench)
    source = bench.route(udp_port=40000)
    reply = collision.on_init(bench.peer_init(tag=0x4444), source, FRESH, None)
    assert reply is not None
    assert reply[0] == source
    assert bench.kinds(reply[1]) == [ABORT]
    assert int.from_bytes(reply[1][4:6]) == CAUSE_NEW_ENCAPSULATION_PORT
    assert reply[1][8:12] == (9899).to_bytes(2) + (40000).to_bytes(2)
    assert snapshot(bench) == before


def test_init_in_shutdown_ack_sent_gets_the_shutdown_ack_again(pair: tuple[Bench, Collision]) -> None:
    """Section 9.2."""
    bench, collision = pair
    bench.context.state = SHUTDOWN_ACK_SENT
    assert collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH, None) is None
    assert bench.sent() == [(bench.peer_address, 0x2222, control.pack_shutdown_ack())]


def test_the_cookie_preservative_is_heeded(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    reply = collision.on_init(bench.peer_init(preservative_ms=5000), bench.route(), FRESH, None)
    bench.context.now += 64.0
    assert reopen(bench, reply)[0].staleness_us == 0


# Section 5.2.4, table 12.


def restart_cookie(bench: Bench, collision: Collision) -> OpenedCookie:
    return reopen(bench, collision.on_init(bench.peer_init(tag=0x4444, tsn=5), bench.route(), FRESH, None))[0]


def test_action_a_restart(pair: tuple[Bench, Collision]) -> None:
    """X X M M."""
    bench, collision = pair
    cookie = restart_cookie(bench, collision)
    assert collision.on_opened_cookie(cookie, bench.route())
    assert bench.owner.restarted == [cookie.setup]
    assert (bench.context.local_tag, bench.context.peer_tag) == (FRESH, 0x4444)
    assert (bench.context.local_tag, bench.context.peer_tag) == (FRESH, 0x4444)
    assert cookie_acks(bench) == 1


@pytest.mark.parametrize("ties", [(0, 0), (1, 1)])
def test_no_restart_without_the_tie_tags(pair: tuple[Bench, Collision], ties: tuple[int, int]) -> None:
    """X X X X and X X 0 0: a good cookie of the same peer, but not made for this association."""
    bench, collision = pair
    restart_cookie(bench, collision)
    before = snapshot(bench)
    assert not collision.on_opened_cookie(opened(bench, ties, local_tag=FRESH, peer_tag=0x4444), bench.route())
    assert snapshot(bench) == before
    assert bench.queued() == []


def test_no_restart_with_one_tie_tag(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    cookie = restart_cookie(bench, collision)
    for ties in ((cookie.tie_tags[0], 1), (1, cookie.tie_tags[1])):
        assert not collision.on_opened_cookie(cookie._replace(tie_tags=ties), bench.route())
    assert bench.owner.restarted == []


def test_a_restart_before_any_init_is_none(pair: tuple[Bench, Collision]) -> None:
    """Tie-tags of 0 match no association, not even one that never had any."""
    bench, collision = pair
    assert not collision.on_opened_cookie(opened(bench, local_tag=FRESH, peer_tag=0x4444), bench.route())
    assert bench.owner.restarted == []


def test_a_second_restart_needs_a_new_cookie(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    first = restart_cookie(bench, collision)
    second = reopen(bench, collision.on_init(bench.peer_init(tag=0x5555), bench.route(), FRESH + 1, None))[0]
    assert collision.on_opened_cookie(first, bench.route())
    assert not collision.on_opened_cookie(second, bench.route())
    assert len(bench.owner.restarted) == 1


def test_a_repeated_restart_cookie_is_a_duplicate(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    cookie = restart_cookie(bench, collision)
    assert collision.on_opened_cookie(cookie, bench.route())
    assert collision.on_opened_cookie(cookie, bench.route())
    assert len(bench.owner.restarted) == 1
    assert cookie_acks(bench) == 2


def test_no_restart_while_the_shutdown_ack_is_out(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    cookie = restart_cookie(bench, collision)
    bench.context.state = SHUTDOWN_ACK_SENT
    before = snapshot(bench)
    assert not collision.on_opened_cookie(cookie, bench.route())
    [(_, tag, body)] = bench.sent()
    assert tag == 0x2222
    assert bench.kinds(body) == [SHUTDOWN_ACK, ERROR]
    assert int.from_bytes(body[8:10]) == CAUSE_COOKIE_WHILE_SHUTTING_DOWN
    assert snapshot(bench) == before


def test_action_b_in_cookie_wait(bench: Bench) -> None:
    """M 0 A A: both began, and the peer's INIT was answered before its INIT ACK came."""
    bench.handshake.associate()
    bench.sent()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    init = bench.peer_init(tag=0x4444, addresses=(OTHER,))
    cookie, raw = reopen(bench, collision.on_init(init, bench.route(), FRESH, bench.handshake.offer))
    assert collision.on_cookie_echo(raw, bench.route())
    assert bench.owner.established == [cookie.setup]
    assert bench.context.peer_tag == 0x4444
    assert (bench.context.local_tag, bench.context.peer_tag) == (0x1111, 0x4444)
    assert not bench.context.timers.runs(T1_INIT)
    assert bench.context.paths.find(OTHER) is not None
    assert cookie_acks(bench) == 1


def test_action_b_in_cookie_echoed(bench: Bench) -> None:
    """M X A A: the peer answered our INIT before it began itself, with another tag."""
    bench.echo()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    reply = collision.on_init(bench.peer_init(tag=0x4444), bench.route(), FRESH, bench.handshake.offer)
    _, raw = reopen(bench, reply)
    assert collision.on_cookie_echo(raw, bench.route())
    assert bench.owner.established[0].peer_tag == bench.context.peer_tag == 0x4444
    assert not bench.context.timers.runs(T1_COOKIE)
    assert cookie_acks(bench) == 1


def test_action_b_when_established_updates_the_tag_alone(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    assert collision.on_opened_cookie(opened(bench, peer_tag=0x4444), bench.route())
    assert (bench.context.local_tag, bench.context.peer_tag) == (0x1111, 0x4444)
    assert (bench.context.local_tag, bench.context.peer_tag) == (0x1111, 0x4444)
    assert bench.owner.restarted == []
    assert bench.context.state is ESTABLISHED
    assert cookie_acks(bench) == 1


def test_action_b_with_other_tsns_is_a_restart(pair: tuple[Bench, Collision]) -> None:
    """What the peer has then is not what we have."""
    bench, collision = pair
    assert collision.on_opened_cookie(opened(bench, peer_tag=0x4444, peer_initial_tsn=77), bench.route())
    assert len(bench.owner.restarted) == 1
    assert cookie_acks(bench) == 1


@pytest.mark.parametrize("state", [COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED])
def test_action_c_a_late_cookie_is_discarded(bench: Bench, state: State) -> None:
    """X M 0 0."""
    bench.echo()
    bench.context.state = state
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    before = snapshot(bench)
    assert not collision.on_opened_cookie(opened(bench, local_tag=FRESH), bench.route())
    assert snapshot(bench) == before
    assert bench.sent() == []
    assert bench.queued() == []


def test_action_d_in_cookie_echoed(bench: Bench) -> None:
    """M M A A: the collision in which both sides kept their tags."""
    bench.echo()
    collision = Collision(bench.context, bench.cookies, Heartbeat(bench.context))
    reply = collision.on_init(bench.peer_init(tag=0x2222), bench.route(), FRESH, bench.handshake.offer)
    cookie, raw = reopen(bench, reply)
    assert collision.on_cookie_echo(raw, bench.route())
    assert bench.owner.established == [cookie.setup]
    assert not bench.context.timers.runs(T1_COOKIE)
    assert cookie_acks(bench) == 1


@pytest.mark.parametrize("state", [ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT, SHUTDOWN_RECEIVED])
def test_action_d_later_only_repeats_the_cookie_ack(pair: tuple[Bench, Collision], state: State) -> None:
    """Case E: our COOKIE ACK was lost, perhaps for longer than the cookie lives (step 3)."""
    bench, collision = pair
    bench.context.state = state
    before = snapshot(bench)
    assert collision.on_opened_cookie(opened(bench, stale=5_000_000), bench.route())
    assert snapshot(bench) == before
    assert bench.sent() == []
    assert cookie_acks(bench) == 1


def test_the_cookie_ack_is_the_first_chunk(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    bench.context.queue(control.pack_heartbeat(b"info"))
    assert collision.on_opened_cookie(opened(bench), bench.route())
    assert bench.queued()[0][0] == control.pack_cookie_ack()


def test_the_cookie_ack_goes_to_an_unconfirmed_address_beside_a_heartbeat(pair: tuple[Bench, Collision]) -> None:
    """Section 5.4."""
    bench, collision = pair
    path = bench.context.paths.add(OTHER)
    assert path is not None
    assert collision.on_opened_cookie(opened(bench), bench.route(OTHER))
    ((body, path_id),) = bench.queued()
    assert path_id == path.path_id
    assert [first16 >> 8 for first16, *_ in tlv.walk(body, 0, len(body))] == [COOKIE_ACK, HEARTBEAT]


@pytest.mark.parametrize("changes", [{"local_tag": FRESH, "peer_tag": 0x4444}, {"peer_tag": 0x4444}])
def test_a_stale_cookie_is_told_to_whoever_sent_it(pair: tuple[Bench, Collision], changes: dict[str, Any]) -> None:
    """Step 3: unless both tags match."""
    bench, collision = pair
    before = snapshot(bench)
    assert not collision.on_opened_cookie(opened(bench, stale=1234, **changes), bench.route())
    [(address, tag, body)] = bench.sent()
    assert (address, tag) == (bench.peer_address, 0x4444)
    assert bench.kinds(body) == [ERROR]
    assert int.from_bytes(body[4:6]) == CAUSE_STALE_COOKIE
    assert int.from_bytes(body[8:12]) == 1234
    assert snapshot(bench) == before


def test_a_cookie_in_a_packet_of_ours_has_to_be_of_our_making(pair: tuple[Bench, Collision]) -> None:
    bench, collision = pair
    before = snapshot(bench)
    setup = opened(bench).setup
    assert collision.on_cookie_echo(bench.cookies.seal(setup, 0.0), bench.route())
    bench.queued()
    for cookie in (
        b"",
        b"anything at all",
        bench.cookies.seal(setup._replace(local_port=5001), 0.0),
        bench.cookies.seal(setup._replace(peer_port=6001), 0.0),
        bench.cookies.seal(setup._replace(local_tag=0x9999), 0.0),
    ):
        assert not collision.on_cookie_echo(cookie, bench.route())
    assert snapshot(bench) == before
    assert bench.queued() == []
