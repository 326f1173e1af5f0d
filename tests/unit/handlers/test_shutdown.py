"""The graceful end (RFC 9260 section 9.2), step by step, by what the parts of an association ask of `Shutdown`."""

from __future__ import annotations

import pytest
from support.narrowing import so_far
from support.script import PEER, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationTimeout
from asyncsctp.events import PeerShutdown
from asyncsctp.handlers.shutdown import Shutdown
from asyncsctp.handlers.state import (
    CLOSED,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
)
from asyncsctp.timers import T2_SHUTDOWN, T3_RTX, T5_GUARD
from asyncsctp.wire.constants import ABORT, DATA, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE

CONFIG = Config(heartbeat_interval=None, rto_max=10.0)


def ending(script: Script) -> Shutdown:
    return script.association._parts.established.shutdown


def acknowledge(script: Script) -> None:
    """All that has left is acknowledged."""
    outstanding = script.association._parts.established.sender.outstanding
    outstanding.apply(outstanding.next_tsn - 1, (), script.now)
    script.association.context.timers.stop(T3_RTX)


@pytest.mark.parametrize("writes", [True, False])
def test_our_shutdown_leaves_once_all_is_acknowledged(writes: bool) -> None:
    script = Script(CONFIG)
    if writes:
        script.write(b"x")
        script.expect(DATA)
    ending(script).shutdown()
    assert script.state is (SHUTDOWN_PENDING if writes else SHUTDOWN_SENT)
    ending(script).shutdown()  # once is enough
    if writes:
        script.flush()
        script.expect_nothing()
        acknowledge(script)
        ending(script).advance()
    assert script.state is SHUTDOWN_SENT
    script.flush()
    script.expect(SHUTDOWN)


@pytest.mark.parametrize("writes", [True, False])
def test_the_peers_shutdown_is_told_and_answered_once_all_is_acknowledged(writes: bool) -> None:
    script = Script(CONFIG, paths=2)
    if writes:
        script.write(b"x")
        script.take()
    ending(script).on_shutdown(script.path(1))
    assert script.state is (SHUTDOWN_RECEIVED if writes else SHUTDOWN_ACK_SENT)
    assert script.association.context.notices  # the user hears of it after the step
    if writes:
        acknowledge(script)
        ending(script).advance()
    assert script.state is SHUTDOWN_ACK_SENT
    script.flush()
    assert [(packet.to, packet.kinds) for packet in script.take()] == [(PEER[1], [SHUTDOWN_ACK])]
    assert script.user.events[-1] == PeerShutdown()


def test_shutdowns_that_cross_are_both_answered() -> None:
    script = Script(CONFIG)
    ending(script).shutdown()
    ending(script).on_shutdown(script.path())
    assert so_far(script.state) is SHUTDOWN_ACK_SENT
    ending(script).on_shutdown_complete()
    assert script.state is CLOSED
    assert script.user.error is None


def test_an_acknowledgement_that_is_not_waited_for_ends_nothing() -> None:
    script = Script(CONFIG)
    route = script.path().route
    ending(script).on_shutdown_ack(script.path(), route)
    ending(script).on_shutdown_complete()
    assert so_far(script.state) is ESTABLISHED
    ending(script).shutdown()
    ending(script).on_shutdown_complete()  # this one is for SHUTDOWN-ACK-SENT alone
    assert so_far(script.state) is SHUTDOWN_SENT
    assert not ending(script).leave()
    ending(script).on_shutdown_ack(script.path(), route)
    assert script.state is CLOSED
    script.flush()
    assert script.take()[-1].kinds == [SHUTDOWN_COMPLETE]


def test_from_an_address_of_nobody_the_last_word_goes_there() -> None:
    """Section 8.4 rule 5."""
    script = Script(CONFIG)
    script.shutdown()
    script.take()
    ending(script).on_shutdown_ack(script.path(), script.path().route._replace(address="10.9.9.9"))
    script.flush()
    assert [(packet.to, packet.kinds) for packet in script.take()] == [("10.9.9.9", [SHUTDOWN_COMPLETE])]


def test_user_data_gives_the_peer_more_time() -> None:
    script = Script(CONFIG)
    script.shutdown()
    script.take()
    ending(script).expire_t2()
    script.now += 0.5
    script.association.context.now = script.now
    ending(script).on_data()
    assert ending(script).retransmissions == 0
    assert script.association.context.timers.deadline(T2_SHUTDOWN) == script.now + script.rto


def test_t2_backs_off_and_gives_up() -> None:
    script = Script(CONFIG.replace(max_retrans=3))
    script.shutdown()
    script.take()
    waits = []
    while script.state is SHUTDOWN_SENT:
        waits.append(script.association.context.timers.deadline(T2_SHUTDOWN) - script.now)
        ending(script).expire_t2()
        if script.state is SHUTDOWN_SENT:
            script.flush()
            script.expect(SHUTDOWN)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    script.flush()
    assert isinstance(script.user.error, AssociationTimeout)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_the_guard_ends_a_shutdown_that_takes_too_long(acknowledged: bool) -> None:
    """Five times RTO.Max. Where only SHUTDOWN COMPLETE is missing it is a graceful end."""
    script = Script(CONFIG)
    script.shutdown()
    assert script.association.context.timers.deadline(T5_GUARD) == script.now + 50.0
    if acknowledged:
        ending(script).on_shutdown(script.path())
    script.flush()
    script.take()
    ending(script).expire_t5()
    assert script.state is CLOSED
    script.flush()
    if acknowledged:
        assert script.user.error is None
        script.expect_nothing()
    else:
        assert isinstance(script.user.error, AssociationAborted)
        script.expect(ABORT)


def test_a_path_that_is_no_more_is_not_shut_down_over() -> None:
    script = Script(CONFIG, paths=2)
    ending(script).on_shutdown(script.path(1))
    ending(script).forget_path(script.path(1), script.path(0))
    script.association.context.clear_control()
    ending(script).expire_t2()
    assert {path_id for _, path_id, _ in script.association.context.control} <= {0, 1}
    assert script.association.context.timers.deadline(T2_SHUTDOWN) > script.now
