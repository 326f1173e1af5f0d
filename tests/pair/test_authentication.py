"""Two associations that authenticate (RFC 4895), over networks that lose, reorder and shrink."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.errors import AssociationRefused
from asyncsctp.events import AuthKeyChanged
from asyncsctp.handlers.state import ESTABLISHED
from asyncsctp.testing import LinkSettings
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import (
    ABORT,
    AUTH,
    COMMON_HEADER_SIZE,
    COOKIE_ACK,
    COOKIE_ECHO,
    DATA,
    FORWARD_TSN,
    HEARTBEAT,
    HEARTBEAT_ACK,
    I_DATA,
    INIT,
    INIT_ACK,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)

ALL = frozenset(range(256)) - {INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH}
IP_AND_UDP = 28


def config(demanded: Iterable[int], **changes: object) -> Config:
    return Config(
        auth=True, auth_chunks=frozenset(demanded), auth_keys={1: b"one", 2: b"two"}, auth_active_key=1
    ).replace(**changes)


def converse(pair: Pair, count: int, seed: int = 0, keys: Sequence[int | None] = (None,)) -> None:
    """Messages of many sizes both ways."""
    chance = random.Random(seed)
    for number in range(count):
        for side in (0, 1):
            data = number.to_bytes(4) * chance.randint(1, 900)
            pair.send(side, number % 5, data, auth_key=chance.choice(keys))


def kinds(datagram: bytes) -> list[int]:
    return [first16 >> 8 for first16, _, _, _ in tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram))]


def end(pair: Pair) -> None:
    pair.shutdown(0)
    pair.run_until(pair.is_over)
    pair.verify()
    for side in (0, 1):
        assert pair.association(side).statistics.auth_failures == 0


@pytest.mark.parametrize("loss", [0.0, 0.08])
@pytest.mark.parametrize("hmacs", [(3, 1), (1,)], ids=["SHA-256", "SHA-1"])
@pytest.mark.parametrize(
    ("demanded", "z_demanded"),
    [({DATA}, {DATA}), (ALL, ALL), ({DATA, SACK}, set()), ({RE_CONFIG}, {ABORT, COOKIE_ECHO}), (ALL, {COOKIE_ACK})],
    ids=["DATA", "all", "one way", "rare", "all and few"],
)
def test_all_arrives_and_what_is_demanded_is_authenticated(
    demanded: frozenset[int], z_demanded: frozenset[int], hmacs: tuple[int, ...], loss: float
) -> None:
    pair = Pair(
        7,
        link=LinkSettings(loss=loss, jitter=0.01),
        paths=2,
        config=config(demanded, auth_hmacs=hmacs),
        z_config=config(z_demanded, auth_hmacs=hmacs),
    )
    pair.network.packets = []
    pair.establish()
    converse(pair, 60)
    for side in (0, 1):
        pair.association(side).reconfig.reset_streams([7], None)
        pair.endpoints[side].touch(pair.association(side))
    pair.run_until(pair.is_delivered)
    end(pair)
    for packet in pair.network.packets:
        assert len(packet.data) <= 1280 - IP_AND_UDP
        found = kinds(packet.data)
        owed = z_demanded if packet.source[0] in pair.addresses[0] else demanded
        assert not set(found[: found.index(AUTH)] if AUTH in found else found) & owed
        assert found.count(AUTH) <= 1


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_with_interleaving_and_messages_that_are_given_up(interleaving: bool, seed: int) -> None:
    settings = config({DATA, I_DATA, FORWARD_TSN, 0xC2}, interleaving=interleaving)
    pair = Pair(seed, link=LinkSettings(loss=0.05), config=settings)
    pair.establish()
    converse(pair, 60, seed, (None, 1, 2))
    for number in range(0, 40, 3):
        message = pair.association(0).send(9, b"never mind" * 200, options={"auth_key": number % 2 + 1})
        submission = pair.association(0).submission
        assert submission is not None
        pair.endpoints[0].touch(pair.association(0))
        pair.run_for(0.004)
        submission.withdraw(message)
        pair.endpoints[0].touch(pair.association(0))
    pair.run_until(lambda: sum(each[0] < 5 for each in pair.users[1].messages) == 60)
    pair.run_until(lambda: len(pair.users[0].messages) == 60)
    assert pair.association(0).statistics.auth_failures == pair.association(1).statistics.auth_failures == 0
    shared = pair.association(0).context.shared_keys
    pair.run_until(lambda: not pair.association(0).buffered)
    assert shared is not None
    assert not any(shared.is_used(key_id) for key_id in (1, 2))


def test_keys_are_rolled_over_under_load_without_loss() -> None:
    """Set the next on both sides, activate it on each, deactivate the old one, delete it; again and again."""
    pair = Pair(3, link=LinkSettings(loss=0.03, delay=0.01, jitter=0.005), config=config({DATA, SACK}))
    pair.establish()
    for key_id in range(3, 13):
        for side in (0, 1):
            pair.association(side).authentication.set_key(key_id, b"key %d" % key_id)
        converse(pair, 12, key_id, (None, key_id))
        pair.run_for(0.05)
        for side in (0, 1):
            keys = pair.association(side).authentication
            keys.activate(key_id)
            keys.deactivate(key_id - 1)
            pair.endpoints[side].touch(pair.association(side))
            pair.run_for(0.02)
        pair.run_until(pair.is_delivered)
        pair.run_for(0.5)
        for side in (0, 1):
            assert AuthKeyChanged(key_id - 1, "free") in pair.users[side].events
            assert AuthKeyChanged(key_id, "new") in pair.users[side].events
            pair.association(side).authentication.delete(key_id - 1)
    for side in (0, 1):
        assert pair.association(side).statistics.auth_failures == 0
        assert pair.association(side).statistics.unauthenticated_chunks == 0
    end(pair)


def test_different_keys_of_the_same_number_get_nothing_through() -> None:
    pair = Pair(config=config({DATA}, max_retrans=2), z_config=config({DATA}, auth_keys={1: b"another"}))
    pair.establish()
    converse(pair, 1)
    pair.run_until(lambda: pair.users[0].is_closed, 600)
    assert pair.users[1].messages == []
    assert pair.association(1).statistics.auth_failures > 2


@pytest.mark.parametrize(("ours", "theirs"), [(config({DATA}), Config()), (Config(), config({DATA}))])
def test_a_peer_without_it_is_refused(ours: Config, theirs: Config) -> None:
    """Downgrade: either side demands, the other can't."""
    pair = Pair(config=ours, z_config=theirs)
    pair.connect()
    pair.run_until(lambda: pair.users[0].is_closed)
    assert isinstance(pair.users[0].error, AssociationRefused | ConnectionError)
    assert pair.accepted == 0


@pytest.mark.parametrize("demanded", [{DATA}, set()])
def test_the_path_shrinks_with_auth_in_each_packet(demanded: set[int]) -> None:
    pair = Pair(config=config(demanded), link=LinkSettings(delay=0.01))
    pair.establish()
    converse(pair, 20, 1, (1, 2))
    pair.run_for(0.015)
    for side in (0, 1):
        association = pair.association(side)
        association.on_message_size(association.path_manager.primary.route, 700, pair.now)
        pair.endpoints[side].touch(association)
    pair.network.packets = []
    converse(pair, 20, 2, (1, 2, None))
    pair.run_until(pair.is_delivered)
    end(pair)
    assert max(len(packet.data) for packet in pair.network.packets) <= 700 - IP_AND_UDP


@pytest.mark.parametrize("demanded", [{DATA}, ALL - {COOKIE_ECHO}, set()])
def test_a_peer_that_restarts_goes_on_with_new_keys(demanded: frozenset[int]) -> None:
    pair = Pair(5, config=config(demanded))
    pair.establish()
    converse(pair, 3)
    pair.run_until(pair.is_delivered)
    pair.users[1].messages.clear()
    pair.sent[0].clear()
    pair.sent[1].clear()
    pair.reborn()
    pair.run_until(lambda: pair.association(0).state is ESTABLISHED and pair.association(1).statistics.restarts)
    converse(pair, 5, 9, (None, 1, 2))
    pair.run_until(lambda: pair.is_delivered())
    assert len(pair.users[0].messages) == len(pair.users[1].messages) == 5


def test_a_peer_that_restarts_without_the_old_keys_is_not_believed_where_cookies_need_them() -> None:
    """Section 6.3: the restart procedure does not work then; nor does the ABORT of a stranger end anything."""
    pair = Pair(5, config=config({COOKIE_ECHO, ABORT}, init_max_retrans=2))
    pair.establish()
    pair.reborn()
    pair.run_for(5.0)
    assert pair.association(1).statistics.restarts == 0
    assert pair.association(1).state is ESTABLISHED


def test_heartbeats_and_the_end_are_authenticated_where_they_must() -> None:
    demanded = {HEARTBEAT, HEARTBEAT_ACK, SHUTDOWN, SHUTDOWN_ACK}
    pair = Pair(config=config(demanded, heartbeat_interval=1.0), paths=2)
    pair.establish()
    pair.run_for(20.0)
    for side in (0, 1):
        assert all(path.error_count == 0 for path in pair.association(side).path_manager.paths)
        assert pair.association(side).statistics.heartbeat_acks_received > 10
    end(pair)
