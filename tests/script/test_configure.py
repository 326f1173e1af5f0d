"""What `Association.configure` changes in a live association: for every field that it takes, what is noticed of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.pair import Recorder
from support.script import B, E, I, Script

from asyncsctp.config import LIVE_FIELDS, Config
from asyncsctp.congestion import CongestionController
from asyncsctp.errors import MessageTooLarge
from asyncsctp.events import PathChanged, PeerAddressChanged
from asyncsctp.handlers.state import CLOSED
from asyncsctp.path_state import PathState
from asyncsctp.schedulers import Priority
from asyncsctp.wire import control
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_STALE_COOKIE,
    COOKIE_ACK,
    DATA,
    ERROR,
    HEARTBEAT,
    INIT_ACK,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
)
from asyncsctp.wire.init import Init, pack_init, read_init
from asyncsctp.wire.reconfig import pack_outgoing_reset, pack_reconfig

QUIET = Config(heartbeat_interval=None)


def configure(script: Script, **changes: Any) -> None:
    script.association.configure(script.association.context.config.replace(**changes), script.now)
    script.flush()


def retransmissions(script: Script, count: int) -> list[float]:
    """After how long each of so many T3-rtx expiries came."""
    found: list[float] = []
    since = script.now
    while len(found) < count:
        packets = script.wait()
        if any(packet.all(DATA) for packet in packets):
            found.append(round(packets[0].at - since, 6))
            since = packets[0].at
    return found


def rto_initial() -> None:
    script = Script(QUIET)
    configure(script, rto_initial=3.0)
    script.write(b"x")
    script.take()
    assert retransmissions(script, 1) == [3.0]


def rto_min() -> None:
    script = Script(QUIET)
    script.write(b"x")
    script.advance(0.01)
    script.send(script.sack(0))
    configure(script, rto_min=0.1)
    script.take()
    script.write(b"y")
    script.take()
    assert retransmissions(script, 1) == [0.1]


def rto_max() -> None:
    script = Script(QUIET)
    configure(script, rto_max=1.5)
    script.write(b"x")
    script.take()
    assert retransmissions(script, 3) == [1.0, 1.5, 1.5]


def max_retrans() -> None:
    script = Script(QUIET)
    configure(script, max_retrans=1)
    script.write(b"x")
    script.advance(2.9)
    assert not script.user.is_closed
    script.advance(0.2)
    assert script.user.is_closed


def states(script: Script) -> list[PathState]:
    return [event.state for event in script.user.events if isinstance(event, PathChanged)]


def path_max_retrans() -> None:
    script = Script(QUIET)
    configure(script, path_max_retrans=0, pf_threshold=None)
    script.write(b"x")
    script.advance(1.1)
    assert states(script)[-1] is PathState.INACTIVE


def pf_threshold() -> None:
    script = Script(QUIET.replace(pf_threshold=None))
    configure(script, pf_threshold=0)
    script.write(b"x")
    script.advance(1.1)
    assert states(script)[-1] is PathState.POTENTIALLY_FAILED


def primary_switchover() -> None:
    script = Script(QUIET.replace(pf_threshold=0), paths=2)
    configure(script, primary_switchover=0)
    script.write(b"x")
    script.advance(1.1)
    changed = [event for event in script.user.events if isinstance(event, PeerAddressChanged)]
    assert changed[-1].state == "primary"


def heartbeat_interval() -> None:
    script = Script(QUIET)
    script.advance(10)
    script.expect_nothing()
    configure(script, heartbeat_interval=2.0)
    script.advance(5)
    assert script.take()[0].kinds == [HEARTBEAT]


def first_data(script: Script) -> None:
    script.send(script.data(0))
    script.take()


def sack_delay() -> None:
    script = Script(QUIET)
    first_data(script)
    configure(script, sack_delay=0.05)
    script.send(script.data(1))
    script.advance(0.04)
    script.expect_nothing()
    script.advance(0.01)
    script.expect(SACK)


def sack_frequency() -> None:
    script = Script(QUIET)
    first_data(script)
    configure(script, sack_frequency=1)
    script.send(script.data(1))
    script.expect(SACK)


def cookie_lifetime() -> None:
    """Of the cookies for its peer's restart (section 5.2.2): the answer to one that is too old says so."""
    for lifetime, answer in ((60.0, COOKIE_ACK), (1.0, ERROR)):
        script = Script(QUIET)
        configure(script, cookie_lifetime=lifetime)
        script.send(pack_init(Init(0xABCD, 1 << 20, 16, 16, 77), False), tag=0)
        answered = script.expect(INIT_ACK).one(INIT_ACK)
        found = read_init(answered.value, 0, len(answered.value))
        script.advance(2)
        assert found.cookie is not None
        script.send(control.pack_cookie_echo(found.cookie), tag=found.initiate_tag)
        packet = script.expect(answer)
        if answer == ERROR:
            assert [code for code, _ in packet.one(ERROR).causes] == [CAUSE_STALE_COOKIE]


def shutdown_guard() -> None:
    script = Script(QUIET)
    configure(script, shutdown_guard=2.0)
    script.shutdown()
    script.advance(1.9)
    assert script.take()[-1].kinds == [SHUTDOWN]
    script.advance(0.2)
    assert script.take()[-1].kinds == [ABORT]


def max_burst() -> None:
    script = Script(QUIET.replace(max_burst=None))
    configure(script, max_burst=1)
    script.write_packets(3)
    assert len(script.take()) == 1


def nodelay() -> None:
    script = Script(QUIET)
    configure(script, nodelay=False)
    script.write(b"x")
    script.write(b"y")
    script.expect(DATA)


def autoclose() -> None:
    script = Script(QUIET)
    configure(script, autoclose=2.0)
    script.advance(2.1)
    script.expect(SHUTDOWN)


def recv_buffer() -> None:
    """A window that was closed opens, and the peer is told at once: it would have to ask for it else."""
    script = Script(QUIET.replace(recv_buffer=4096), user=Recorder("the user"))
    script.user.reading = False
    for tsn in range(4):
        script.send(script.data(tsn, bytes(1024), flags=B | E | I))
    assert script.take()[-1].one(SACK).a_rwnd == 0
    configure(script, recv_buffer=8192)
    assert script.expect(SACK).one(SACK).a_rwnd == 4096
    configure(script, recv_buffer=8192)
    script.expect_nothing()
    configure(script, recv_buffer=4096)
    script.expect_nothing()  # what was announced is not taken back


def max_message_size() -> None:
    script = Script(QUIET)
    configure(script, max_message_size=100)
    with pytest.raises(MessageTooLarge):
        script.write(bytes(101))
    script.send(script.data(0, bytes(101)))
    assert script.state is CLOSED


def partial_delivery_point() -> None:
    script = Script(QUIET)
    script.user.in_parts = {0}
    script.association.deliver_parts(0, True)
    configure(script, partial_delivery_point=1000)
    script.send(script.data(0, bytes(600), flags=B, ssn=0))
    assert script.user.parts == {}
    script.send(script.data(1, bytes(600), flags=0, ssn=0))
    assert [len(part) for parts in script.user.parts.values() for part in parts] == [1200]


def scheduler() -> None:
    script = Script(QUIET)
    configure(script, scheduler=Priority)
    submission = script.association.submission
    assert submission is not None
    for sid, value in ((0, 3), (1, 2), (2, 1)):
        submission.set_priority(sid, value)
        script.association.send(sid, b"%d" % sid)
    script.flush()
    assert [chunk.sid for chunk in script.expect(DATA, DATA, DATA).chunks] == [2, 1, 0]


class OnePacket(CongestionController):
    """A window of one packet, whatever happens."""

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        self.cwnd = 1

    def on_fast_retransmit(self, now: float) -> None:
        pass


def congestion() -> None:
    script = Script(QUIET)
    configure(script, congestion=OnePacket)
    cwnd = script.cwnd
    script.write_packets(20)
    while tsns := [tsn for packet in script.take() for tsn in packet.tsns]:
        script.send(script.sack(tsns[-1]))
    assert script.cwnd <= script.payload < cwnd


def reconfig_allowed() -> None:
    script = Script(QUIET, extensions=frozenset({RE_CONFIG}))
    configure(script, reconfig_allowed=frozenset())
    script.send(pack_reconfig([pack_outgoing_reset(script.theirs(0), script.ours(-1), script.theirs(-1), (1,))]))
    [answer] = script.take()[-1].all(RE_CONFIG)
    assert answer.value[8:12] == (2).to_bytes(4, "big")  # Denied


#: Those that the side of asyncio sees to: tests/aio/test_configure.py.
ELSEWHERE = {"close_timeout", "send_buffer"}
EFFECTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        rto_initial,
        rto_min,
        rto_max,
        max_retrans,
        path_max_retrans,
        pf_threshold,
        primary_switchover,
        heartbeat_interval,
        sack_delay,
        sack_frequency,
        cookie_lifetime,
        shutdown_guard,
        max_burst,
        nodelay,
        autoclose,
        recv_buffer,
        max_message_size,
        partial_delivery_point,
        scheduler,
        congestion,
        reconfig_allowed,
    )
}


@pytest.mark.parametrize("field", sorted(LIVE_FIELDS - ELSEWHERE))
def test_each_field_has_its_effect(field: str) -> None:
    EFFECTS[field]()


def test_without_autoclose_its_timer_ends_nothing() -> None:
    """It runs since before the setting was taken back."""
    script = Script(QUIET.replace(autoclose=2.0))
    script.write(b"x")
    script.send(script.sack(0))
    script.take()
    configure(script, autoclose=None)
    assert script.wait(10.0) == []
    assert script.user.error is None
    assert not script.user.is_closed
