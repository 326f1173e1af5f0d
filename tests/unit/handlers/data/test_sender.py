"""What SACKs and time-outs do to data in flight, windows and timers (RFC 9260 sections 6.2.1, 6.3 and 7.2)."""

from __future__ import annotations

import pytest
from support.pair import Recorder
from support.script import Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted
from asyncsctp.handlers.data.sender import Sender
from asyncsctp.timers import T3_RTX, timer_key
from asyncsctp.wire.constants import DATA

CONFIG = Config(heartbeat_interval=None, mtu=1200)


def sending(script: Script) -> Sender:
    return script.association._parts.established.sender


def sack(script: Script, cumulative: int, gaps: tuple[tuple[int, int], ...] = (), a_rwnd: int | None = None) -> None:
    chunk = script.sack(cumulative, gaps, a_rwnd=a_rwnd)
    sending(script).on_sack(chunk, 0, len(chunk))


def t3(script: Script, path_id: int = 0) -> bool:
    return script.association.context.timers.runs(timer_key(T3_RTX, path_id))


def test_sacks_that_come_together_are_carried_out_when_somebody_looks() -> None:
    script = Script(CONFIG)
    script.write(b"a", b"b", b"c")
    for tsn in (0, 1):
        sack(script, tsn)
    assert sending(script)._outstanding.user_bytes == 3
    assert sending(script).buffered == 1
    assert t3(script)
    sack(script, 2)
    assert sending(script).all_acknowledged
    assert not t3(script)
    assert script.association.context.statistics.sacks_received == 3


@pytest.mark.parametrize("together", [True, False])
def test_the_window_grows_as_if_each_had_come_alone(together: bool) -> None:
    """Section 7.2.1: slow start, of a window that was full."""
    script = Script(CONFIG)
    script.write_packets(20)
    sent = len(script.take())
    before = script.cwnd
    for tsn in range(sent):
        sack(script, tsn)
        if not together:
            script.flush()
    script.flush()
    assert script.cwnd == before + sent * script.payload


def test_a_time_out_is_counted_once_and_nothing_is_left_to_count_twice() -> None:
    script = Script(CONFIG)
    script.write_packets(3)
    script.take()
    rto = script.rto
    sending(script).expire_t3(0)
    assert (script.rto, script.path().error_count, script.cwnd) == (2 * rto, 1, script.payload)
    assert sending(script).outstanding.in_flight[0] == 0
    script.flush()
    assert script.take()[0].tsns == [0]
    sack(script, 2)
    sending(script).apply_sacks()
    sending(script).expire_t3(0)
    assert script.association.context.statistics.t3_timeouts == 1


def test_what_was_on_a_path_that_is_no_more_leaves_over_another() -> None:
    script = Script(CONFIG, paths=2)
    script.write_packets(2)
    script.take()
    sending(script).forget_path(script.path(0), script.path(1))
    outstanding = sending(script).outstanding
    assert (outstanding.in_flight, outstanding.has_outstanding(0), t3(script, 0)) == ([0, 0], False, False)
    assert outstanding.user_bytes > 0
    script.flush()
    assert {(packet.to, *packet.kinds) for packet in script.take()} == {(script.path(1).route.address, DATA)}


def test_a_closed_window_is_probed_once_for_each_time_that_its_timer_runs_out() -> None:
    """Section 6.1 A."""
    script = Script(CONFIG)
    sender = sending(script)
    assert not sender.take_probe()
    sender.await_window(script.path())
    assert sender.probing
    sender.expire_window_probe()
    assert sender.take_probe()
    assert not sender.take_probe()


def test_the_peer_is_told_of_a_violation_where_it_acknowledges_what_was_never_sent() -> None:
    """Section 12.4; a SHUTDOWN that does is a SHUTDOWN all the same."""
    script = Script(CONFIG)
    script.write(b"x")
    script.take()
    sending(script).on_cumulative_tsn(script.ours(7))
    assert sending(script).buffered == 1
    sack(script, 7)
    script.flush()
    assert isinstance(script.user.error, AssociationAborted)


def test_at_the_end_each_message_is_told_of_once() -> None:
    script = Script(CONFIG, user=Recorder("the user"))
    script.write(b"sent", bytes(3000))
    script.association.send(1, b"waits")
    sack(script, 0)
    sending(script).fail_all(None)
    script.association._lifecycle.tell()
    assert sorted(len(event.data) for event in script.user.failed) == [5, 3000]
    assert {event.reason for event in script.user.failed} == {"the association was shut down"}
    assert sending(script).buffered == 0
