"""What the user asks for: what is allowed, when, and what is refused (RFC 9260 section 11.1)."""

from __future__ import annotations

import pytest
from support.narrowing import so_far
from support.script import LOCAL, PEER, UDP_PORT, B, E, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationClosed, MessageTooLarge
from asyncsctp.events import AdaptationIndication, AssociationUp, PeerAddressChanged, SchedulerFailed
from asyncsctp.handlers.state import CLOSED, COOKIE_WAIT, ESTABLISHED
from asyncsctp.outbound.message import Terms
from asyncsctp.paths.route import Route
from asyncsctp.schedulers import StreamScheduler
from asyncsctp.wire.constants import DATA, INIT

CONFIG = Config(heartbeat_interval=None, mtu=1200, max_message_size=10_000)


class TestSend:
    """Section 11.1.5."""

    @pytest.mark.parametrize(
        ("sid", "data", "ppid", "error", "what"),
        [
            (16, b"x", 0, ValueError, "stream must be between 0 and 15, not 16"),
            (-1, b"x", 0, ValueError, "stream must be between 0 and 15, not -1"),
            (0, b"x", 1 << 32, ValueError, "ppid must be between 0 and 4294967295"),
            (0, b"x", -1, ValueError, "ppid must be between 0 and 4294967295"),
            (0, b"", 0, ValueError, "at least one byte"),
            (0, bytes(10_001), 0, MessageTooLarge, "10001 bytes are more than max_message_size, which is 10000"),
        ],
    )
    def test_what_can_not_be_sent_is_refused_alone_and_among_others(
        self, sid: int, data: bytes, ppid: int, error: type[Exception], what: str
    ) -> None:
        script = Script(CONFIG)
        with pytest.raises(error, match=what):
            script.association.send(sid, data, ppid)
        with pytest.raises(error, match=what):
            script.association.send_many(sid, [b"fine", data, b"fine"], ppid, False, False)
        if error is not MessageTooLarge:  # the size of one that is written in parts is not known before its end
            with pytest.raises(error, match=what):
                script.association.sender().send_piece(sid, data, ppid, B | E, Terms(), False)
        script.flush()
        script.expect_nothing()
        assert script.association.context.statistics.messages_sent == 0

    def test_no_messages_are_nothing(self) -> None:
        script = Script(CONFIG)
        script.association.send_many(99, [], 0, False, False)
        script.flush()
        script.expect_nothing()

    def test_many_messages_at_once_while_one_is_written_in_parts(self) -> None:
        script = Script(CONFIG)
        script.association.sender().send_piece(1, b"part", 0, B | E, Terms(), False)
        script.association.send_many(2, [b"a", b"b"], 0, False, False)
        script.flush()
        assert [chunk.data for packet in script.take() for chunk in packet.all(DATA)] == [b"part"]
        with pytest.raises(RuntimeError, match="another message is being written to stream 1 in parts"):
            script.association.send_many(1, [b"c"], 0, False, False)

    def test_a_stream_takes_one_message_in_parts_at_a_time(self) -> None:
        script = Script(CONFIG)
        association = script.association
        first, second = association.terms({}, script.now), association.terms({"context": "mine"}, script.now)
        association.sender().send_piece(1, b"a", 0, B | E, first, False)
        for write in (
            lambda: association.sender().send_piece(1, b"x", 0, B | E, second, False),
            lambda: association.send(1, b"x"),
        ):
            with pytest.raises(RuntimeError, match="another message is being written to stream 1 in parts"):
                write()
        association.sender().send_piece(2, b"c", 0, B | E, second, True)
        association.sender().send_piece(1, b"b", 0, B | E, first, True)
        association.send(1, b"d")
        script.flush()
        assert [chunk.data for packet in script.take() for chunk in packet.all(DATA)] == [b"a", b"b", b"c", b"d"]

    def test_options_of_parts_are_those_that_a_message_in_parts_can_have(self) -> None:
        script = Script(CONFIG)
        for name in ("path", "priority", "sack_immediately", "color"):
            with pytest.raises(TypeError, match=name):
                script.association.terms({name: 1}, script.now)


class TestBeforeAndAfter:
    """What is asked for before the association is established, and after its end."""

    def test_shutdown_before_it_is_established_aborts(self) -> None:
        """Section 9.2 begins with an ESTABLISHED association: there is nothing to be delivered."""
        script = Script(CONFIG, up=False)
        script.expect_raw(INIT)
        script.shutdown()
        assert script.state is CLOSED
        assert isinstance(script.user.error, AssociationAborted)
        script.shutdown()
        script.expect_nothing()

    def test_no_heartbeat_is_sent_before_it_is_established(self) -> None:
        script = Script(CONFIG, up=False)
        script.expect_raw(INIT)
        with pytest.raises(AssociationClosed, match="no HEARTBEAT can be sent in state cookie-wait"):
            script.association.heartbeat(None, script.now)
        script.flush()
        script.expect_nothing()

    def test_settings_that_change_in_the_handshake_hold_afterwards(self) -> None:
        script = Script(CONFIG, up=False)
        assert so_far(script.state) is COOKIE_WAIT
        script.association.configure(CONFIG.replace(max_message_size=5), script.now)
        script.association.configure_path(PEER[0], {"mtu": 800}, script.now)
        script.set_up()
        assert script.state is ESTABLISHED
        with pytest.raises(MessageTooLarge):
            script.association.send(0, b"123456")
        assert script.payload < 800
        assert script.association.path_manager.amdcs == script.payload

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_what_concerns_data_means_nothing_without_any(self, when: str) -> None:
        script = Script(CONFIG, up=when == "after")
        association = script.association
        if when == "after":
            association.abort(script.now, b"")
        association.deliver_parts(0, True)
        assert not association.consumed(0)
        assert association.pressing((0,)) == []
        assert (association.movable, association.buffered, association.buffered_of(0)) == (0, 0, 0)
        assert (association.in_flight(0), association.abandoned()) == (0, {})
        assert association.submission is None
        with pytest.raises(AssociationClosed):
            association.send(0, b"x")

    @pytest.mark.parametrize("known", [True, False])
    def test_a_packet_size_that_the_network_tells_of_in_the_handshake_holds_afterwards(self, known: bool) -> None:
        """RFC 9260 section 7.3; of an address that is not the peer's it means nothing."""
        script = Script(Config(heartbeat_interval=None), up=False)
        before = script.payload
        route = Route(LOCAL[0], PEER[0] if known else "10.9.9.9", UDP_PORT)
        script.association.on_message_size(route, 700, script.now)
        assert (script.payload < 700 < before) if known else script.payload == before
        script.set_up()
        script.write(bytes(1000))
        assert len(script.take()) == (2 if known else 1)


def test_the_peers_adaptation_indication_is_told_when_the_association_is_up() -> None:
    """RFC 5061 section 4.2.6."""
    script = Script(CONFIG, adaptation=0xFFFFFFFF)
    assert [event for event in script.user.events if not isinstance(event, PeerAddressChanged)] == [
        AssociationUp(16, 16),
        AdaptationIndication(0xFFFFFFFF),
    ]


def test_a_scheduler_that_fails_is_told_and_replaced() -> None:
    class Failing(StreamScheduler):
        def activate(self, sid: int, order: int) -> None:
            raise LookupError("no such stream")

    script = Script(CONFIG.replace(scheduler=Failing))
    script.association.send(0, b"a")
    script.association.send(1, b"b")
    script.flush()
    assert [chunk.data for packet in script.take() for chunk in packet.all(DATA)] == [b"a", b"b"]
    [event] = [event for event in script.user.events if isinstance(event, SchedulerFailed)]
    assert "no such stream" in str(event.error)
