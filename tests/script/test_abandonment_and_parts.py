"""Messages that are given up, or written in parts, when something else is going on."""

from __future__ import annotations

from struct import pack

import pytest
from support.narrowing import so_far
from support.on_terms import send_on_terms
from support.script import PEER, B, E, Packet, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationTimeout, MessageAbandoned
from asyncsctp.events import SenderDry
from asyncsctp.handlers.state import SHUTDOWN_ACK_SENT, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT
from asyncsctp.outbound.message import DONE, LIMITED, PRIORITY, RELIABLE, TIMED, OutboundMessage, Terms
from asyncsctp.wire import control
from asyncsctp.wire.constants import ABORT, DATA, FORWARD_TSN, RE_CONFIG, SHUTDOWN, SHUTDOWN_ACK
from asyncsctp.wire.reconfig import PERFORMED, pack_reconfig, pack_response

CONFIG = Config(heartbeat_interval=None, mtu=1200, max_burst=None, nodelay=True)
PR = frozenset({FORWARD_TSN})


def partial(**changes: object) -> Script:
    return Script(CONFIG.replace(**changes), extensions=PR)


def submit(script: Script, data: bytes, policy: int, bound: float, *, sid: int = 0) -> OutboundMessage:
    message = send_on_terms(script.association, sid, data, Terms(7, policy, bound))
    script.flush()
    return message


def begin(script: Script, sid: int, data: bytes, last: bool = False, terms: Terms | None = None) -> Terms:
    terms = terms or Terms("parts")
    script.association.sender().send_piece(sid, data, 0, B | E, terms, last)
    script.flush()
    return terms


def count(script: Script, kind: type) -> int:
    return sum(isinstance(event, kind) for event in script.user.events)


def kinds(packets: list[Packet]) -> list[int]:
    return [kind for packet in packets for kind in packet.kinds]


class TestInParts:
    @pytest.mark.parametrize("acknowledged", [False, True])
    def test_an_open_message_fails_with_its_association(self, acknowledged: bool) -> None:
        """All of it that was written has left: it is not delivered all the same, and its writer hears of that."""
        script = partial()
        terms = begin(script, 0, b"part")
        terms.watcher = "me"
        if acknowledged:
            script.send(script.sack(0))
        script.association.abort(script.now, b"")
        assert [(event.context, event.sent) for event in script.user.failed] == [("parts", True)]
        assert [settled[0] for settled in script.user.settled] == ["me"]

    @pytest.mark.parametrize("sent", [False, True])
    def test_no_more_is_taken_of_a_message_that_was_given_up(self, sent: bool) -> None:
        script = partial()
        if not sent:
            script.write_packets(20)
        terms = begin(script, 0, b"part")
        script.association.sender().give_up(terms)
        script.flush()
        script.take()
        with pytest.raises(MessageAbandoned):
            begin(script, 0, b"more", terms=terms)

    def test_what_waits_behind_an_open_message_is_no_reason_to_probe(self) -> None:
        """RFC 9260 section 6.1 A: the peer's window is wide open. With DATA nothing may come between the chunks."""
        script = partial()
        terms = begin(script, 0, b"part")
        script.write(b"other", sid=1)
        script.expect(DATA)
        script.send(script.sack(0))
        rto = script.rto
        script.advance(60.0)
        script.expect_nothing()
        assert script.rto == rto
        begin(script, 0, b"rest", True, terms)
        assert [chunk.data for packet in script.take() for chunk in packet.all(DATA)] == [b"rest", b"other"]

    def test_a_part_is_not_given_back_for_the_whole(self) -> None:
        script = partial()
        terms = begin(script, 0, b"part")
        begin(script, 0, b"rest", True, terms)
        script.take()
        script.association.sender().give_up(terms)
        script.flush()
        assert [(event.data, event.sent) for event in script.user.failed] == [(b"", True)]

    def test_none_of_its_parts_comes_back_alone(self) -> None:
        script = partial()
        script.write_packets(20)
        terms = begin(script, 0, b"first")
        begin(script, 0, b"second", terms=terms)
        script.association.abort(script.now, b"")
        assert [(event.data, event.sent) for event in script.user.failed if event.context == "parts"] == [(b"", False)]

    def test_a_lifetime_ends_before_a_message_has_begun_to_leave(self) -> None:
        """RFC 3758 section 4.1 holds for what is written in parts as for other messages."""
        script = partial()
        script.write_packets(20)
        terms = script.association.terms({"lifetime": 0.5, "context": "parts"}, script.now)
        begin(script, 1, b"part", terms=terms)
        script.advance(0.4)
        assert script.user.failed == []
        script.advance(0.2)
        assert [(event.context, event.reason) for event in script.user.failed] == [("parts", "its lifetime is over")]

    def test_it_can_not_have_a_lifetime_where_the_peer_can_not_be_told(self) -> None:
        script = Script(CONFIG)
        terms = script.association.terms({"lifetime": 0.5}, script.now)
        with pytest.raises(ValueError, match="partial reliability"):
            begin(script, 0, b"part", terms=terms)
        script.expect_nothing()

    def test_with_data_it_presses_for_its_end_once_it_has_begun_to_leave(self) -> None:
        """RFC 9260 section 6.9: no other message may come between its fragments."""
        script = partial()
        terms = begin(script, 1, b"part")
        script.write(b"waits", sid=2)
        assert script.association.pressing((1, 2)) == [1]
        assert (script.association.buffered, script.association.movable) == (9, 4)
        begin(script, 1, b"end", True, terms)
        assert script.association.pressing((1, 2)) == []


class TestTimers:
    def test_each_lifetime_ends_at_its_time(self) -> None:
        script = Script(CONFIG, extensions=PR, peer_rwnd=1500)
        script.write(bytes(1400))
        for lifetime in (0.3, 0.2, 0.7):
            send_on_terms(script.association, 0, bytes(1400), Terms(lifetime, TIMED, script.now + lifetime))
        script.flush()
        script.take()
        for seconds, contexts in ((0.25, [0.2]), (0.1, [0.2, 0.3]), (0.3, [0.2, 0.3]), (0.1, [0.2, 0.3, 0.7])):
            script.advance(seconds)
            assert [event.context for event in script.user.failed] == contexts

    def test_a_forward_tsn_that_the_peer_has_answered_in_part_is_sent_again(self) -> None:
        """RFC 3758 section 3.5 C5: its SACK tells of the one before; the one that went further may be lost."""
        script = partial()
        messages = [submit(script, b"x", LIMITED, 9) for _ in range(2)]
        script.take()
        for message in messages:
            script.association.sender().withdraw(message)
            script.flush()
            script.expect(FORWARD_TSN)
            script.advance(0.3)
        script.send(script.sack(0))
        script.expect_nothing()
        since = script.now
        [again] = [chunk for packet in script.wait() for chunk in packet.all(FORWARD_TSN)]
        assert again.value[:4] == pack("!I", script.ours(1))
        assert script.now - since == pytest.approx(script.path(0).rto.rto / 2, abs=0.01)

    def test_what_is_acknowledged_before_the_flush_needs_no_forward_tsn(self) -> None:
        script = partial()
        message = submit(script, b"x", LIMITED, 9)
        script.take()
        script.association.sender().withdraw(message)
        script.arrive(script.sack(0))
        script.flush()
        script.expect_nothing()
        assert script.wait() == []

    def test_what_is_given_up_at_the_last_moment_times_out_no_more(self) -> None:
        """The lifetime was over before T3-rtx ran out; a busy program hears of both at once."""
        script = Script(CONFIG, extensions=PR, peer_rwnd=1500)
        send_on_terms(script.association, 0, bytes(3000), Terms(7, TIMED, script.now + 0.5))
        script.flush()
        assert kinds(script.take()) == [DATA, DATA]
        cwnd, rto = script.cwnd, script.rto
        script.now += 5.0
        script.endpoint.expire(script.now)
        script.flush()
        assert kinds(script.take()) == [FORWARD_TSN]
        assert script.association.context.statistics.t3_timeouts == 0
        assert (script.cwnd, script.rto, script.path().error_count) == (cwnd, rto, 0)

    def test_one_silence_is_counted_once(self) -> None:
        """RFC 3758 section 3.5 C5, RFC 9260 section 8.1: T3-rtx runs for data, and the FORWARD TSN waits as well."""
        script = partial(path_max_retrans=5)
        message = submit(script, b"lost", LIMITED, 9)
        script.write(b"reliable")
        script.take()
        script.association.sender().withdraw(message)
        script.flush()
        script.expect(FORWARD_TSN)
        script.advance(1.5 * script.rto)
        assert script.path().error_count == 1
        assert sorted(set(kinds(script.take()))) == [DATA, FORWARD_TSN]

    @pytest.mark.parametrize("number", [0, 1])
    @pytest.mark.parametrize("what", ["data", "reset"])
    def test_timers_that_run_out_at_one_instant_tell_of_one_silence(self, number: int, what: str) -> None:
        """Whichever is the first: that depends on the number of the path."""
        script = Script(CONFIG.replace(path_max_retrans=20), paths=2, extensions=PR | {RE_CONFIG})
        script.association.set_primary(PEER[number])
        submit(script, b"lost", LIMITED, 0)
        script.advance(script.path(number).rto.rto)
        assert script.take()[-1].all(FORWARD_TSN)
        if what == "data":
            script.association.send(0, b"reliable")
        else:
            script.association.reconfig.reset_streams([1], None)
        script.flush()
        script.take()
        errors = script.association.path_manager.error_count
        sent = script.wait()
        assert script.association.path_manager.error_count == errors + 1
        assert sorted(kinds(sent)) == sorted([FORWARD_TSN, DATA if what == "data" else RE_CONFIG])

    def test_a_dead_peer_is_noticed_while_messages_are_withdrawn(self) -> None:
        script = partial(max_retrans=3, path_max_retrans=3)
        for _ in range(300):
            message = script.association.send(0, b"x")
            script.flush()
            script.advance(0.3)
            if so_far(script.user.is_closed):
                break
            script.association.sender().withdraw(message)
            script.flush()
            script.advance(0.1)
            if script.user.is_closed:
                break
        assert script.user.is_closed

    def test_what_is_left_has_its_whole_rto(self) -> None:
        """RFC 3758 section 3.5 A2: as if acknowledged; RFC 9260 section 6.3.2 R3: then T3-rtx is restarted."""
        script = partial()
        message = submit(script, b"first", LIMITED, 9)
        script.advance(0.8)
        script.write(b"second")
        script.advance(0.1)
        script.take()
        script.association.sender().withdraw(message)
        script.flush()
        script.take()
        script.advance(0.5)
        assert DATA not in kinds(script.take())


class TestSenderDry:
    @pytest.mark.parametrize("left", [False, True])
    def test_a_lifetime_that_ends_in_the_batch_of_something_else(self, left: bool) -> None:
        """The timer comes too late: a packet, or a call, is there before it."""
        script = Script(CONFIG, extensions=PR, peer_rwnd=1500 if left else 1 << 20)
        if not left:
            send_on_terms(script.association, 0, b"x", Terms(7, TIMED, script.now))
        else:
            send_on_terms(script.association, 0, bytes(3000), Terms(7, TIMED, script.now + 0.2))
        script.flush()
        if left:
            script.now += 0.3  # the timer would have run out in between
            script.flush()
        assert len(script.user.failed) == 1
        assert script.association.buffered == 0
        assert count(script, SenderDry) == 1
        assert script.user.writable

    def test_a_plain_message_makes_room(self) -> None:
        """RFC 7496 section 3.2: by more than it takes itself."""
        script = Script(CONFIG.replace(send_buffer=20_000), extensions=PR)
        script.write_packets(10)
        submit(script, bytes(9000), PRIORITY, 1)
        before = script.user.writable
        script.write(b"x")
        assert [len(event.data) for event in script.user.failed] == [9000]
        assert script.user.writable == before + 1

    def test_once_only(self) -> None:
        script = partial()
        message = submit(script, b"x", LIMITED, 1)
        script.association.sender().withdraw(message)
        script.flush()
        script.send(script.sack(0))
        assert count(script, SenderDry) == 1


class TestProbes:
    def test_what_a_closed_window_dropped_is_sent_again_as_often_as_agreed(self) -> None:
        """RFC 7496 section 3.1: never again, with no retransmission."""
        script = Script(CONFIG, extensions=PR, peer_rwnd=5000)
        script.write(bytes(1000))
        script.take()
        script.send(script.sack(0, a_rwnd=0))
        submit(script, bytes(1000), LIMITED, 0)
        script.expect_nothing()
        assert kinds(script.wait()) == [DATA]
        script.send(script.sack(0, a_rwnd=0))
        script.take()
        script.send(script.sack(0, a_rwnd=5000))
        assert kinds(script.take()) == [FORWARD_TSN]

    def test_while_a_forward_tsn_is_under_way_there_is_no_probe(self) -> None:
        """RFC 9260 section 6.1 A: one is sent if there is no outstanding data; here a TSN is, that was given up."""
        script = Script(CONFIG, extensions=PR, peer_rwnd=5000)
        terms = begin(script, 0, b"part")
        script.send(script.sack(0, a_rwnd=0))
        script.write(b"waits", sid=1)
        begin(script, 0, b"end", terms=terms)
        script.advance(0.9 * script.rto)
        script.take()
        script.association.sender().give_up(terms)
        script.flush()
        script.expect(FORWARD_TSN)
        script.advance(0.2 * script.rto)
        script.expect_nothing()
        script.send(script.sack(1, a_rwnd=0))
        assert kinds(script.wait()) == [DATA]


class TestShutdown:
    def test_it_goes_on_when_the_last_message_is_given_up(self) -> None:
        """RFC 9260 section 9.2: nothing is outstanding any more, so SHUTDOWN leaves."""
        script = Script(CONFIG, extensions=PR, peer_rwnd=5000)
        script.write(bytes(1000))
        script.take()
        script.send(script.sack(0, a_rwnd=0))
        submit(script, bytes(1000), TIMED, script.now + 0.3)
        script.shutdown()
        assert so_far(script.state) is SHUTDOWN_PENDING
        script.advance(0.5)
        assert script.state is SHUTDOWN_SENT
        assert kinds(script.take()) == [SHUTDOWN]

    def test_it_is_answered_when_the_last_message_is_given_up(self) -> None:
        script = Script(CONFIG, extensions=PR, peer_rwnd=5000)
        script.write(bytes(1000))
        script.take()
        script.send(script.sack(0, a_rwnd=0))
        submit(script, bytes(1000), TIMED, script.now + 0.3)
        script.send(control.pack_shutdown(script.ours(0)))
        script.advance(0.5)
        assert script.state is SHUTDOWN_ACK_SENT

    def test_one_that_was_withdrawn(self) -> None:
        script = Script(CONFIG, extensions=PR, peer_rwnd=5000)
        script.write(bytes(1000))
        script.take()
        script.send(script.sack(0, a_rwnd=0))
        message = script.association.send(0, bytes(1000))
        script.flush()
        script.shutdown()
        submission = script.association.submission
        assert submission is not None
        submission.withdraw(message)
        script.flush()
        assert script.state is SHUTDOWN_SENT

    def gone(self, by_us: bool) -> Script:
        """A message was lost and given up, and so was the FORWARD TSN, while one of the two shuts down."""
        script = partial()
        submit(script, b"lost", LIMITED, 0)
        if by_us:
            script.shutdown()
        else:
            script.send(control.pack_shutdown(script.ours(-1)))
        assert kinds(script.take()) == [DATA]
        assert kinds(script.wait()) == [FORWARD_TSN]
        return script

    @pytest.mark.parametrize("by_us", [True, False])
    def test_a_lost_forward_tsn_is_sent_again_by_its_timer(self, by_us: bool) -> None:
        """RFC 3758 section 3.5 C5. It is outstanding until it is acknowledged, and so nobody has shut down before."""
        script = self.gone(by_us)
        for _ in range(3):
            assert kinds(script.wait()) == [FORWARD_TSN]
        assert script.state is (SHUTDOWN_PENDING if by_us else SHUTDOWN_RECEIVED)
        if by_us:
            script.send(script.sack(0))
            assert kinds(script.take()) == [SHUTDOWN]
            assert FORWARD_TSN not in kinds(script.wait())
            script.send(control.pack_shutdown_ack())
        else:
            script.send(control.pack_shutdown(script.ours(0)))
            assert kinds(script.take()) == [SHUTDOWN_ACK]
            assert FORWARD_TSN not in kinds(script.wait())
            script.send(control.pack_shutdown_complete())
        assert script.user.is_closed
        assert script.user.error is None

    @pytest.mark.parametrize("by_us", [True, False])
    def test_who_does_not_know_of_what_was_given_up_is_told_again(self, by_us: bool) -> None:
        """C3. Also by a SHUTDOWN, whose cumulative TSN is one as that of a SACK is."""
        script = self.gone(by_us)
        script.advance(0.9 * script.rto)
        script.send(script.sack(-1) if by_us else control.pack_shutdown(script.ours(-1)))
        script.advance(0.05)
        script.expect_nothing()
        for _ in range(3):
            script.advance(script.rto / 2)
            script.send(script.sack(-1) if by_us else control.pack_shutdown(script.ours(-1)))
            script.advance(script.rto / 2)
            assert FORWARD_TSN in kinds(script.take())

    def test_a_peer_that_is_never_told_is_given_up_as_silent(self) -> None:
        """RFC 9260 section 8.1: its data is no answer."""
        script = partial(max_retrans=2, path_max_retrans=2)
        message = submit(script, b"x", LIMITED, 9)
        script.association.sender().withdraw(message)
        script.flush()
        script.shutdown()
        for tsn in range(100):
            script.send(script.data(tsn))
            script.advance(0.5)
        assert SHUTDOWN not in kinds(script.take())
        assert isinstance(script.user.error, AssociationTimeout)

    @pytest.mark.parametrize("how", ["by us", "by the peer", "by autoclose"])
    def test_what_is_being_written_in_parts_is_given_up_before(self, how: str) -> None:
        """RFC 9260 section 9.2: no more of it is taken. It is outstanding until the peer knows of that."""
        script = partial(autoclose=5.0 if how == "by autoclose" else None)
        terms = begin(script, 0, b"part")
        script.send(script.sack(0))
        script.take()
        self.shut_down(script, how)
        assert [event.reason for event in script.user.failed] == ["it was withdrawn"]
        assert terms.state == DONE
        assert kinds(script.take()) == [FORWARD_TSN]
        script.send(script.sack(1))
        assert kinds(script.take()) == [SHUTDOWN_ACK if how == "by the peer" else SHUTDOWN]

    @pytest.mark.parametrize("how", ["by us", "by the peer", "by autoclose"])
    def test_the_association_is_aborted_where_the_peer_can_not_be_told(self, how: str) -> None:
        script = Script(CONFIG.replace(autoclose=5.0 if how == "by autoclose" else None))
        begin(script, 0, b"part")
        script.send(script.sack(0))
        script.take()
        self.shut_down(script, how)
        assert kinds(script.take()) == [ABORT]
        assert isinstance(script.user.error, AssociationAborted)
        assert [event.context for event in script.user.failed] == ["parts"]

    def test_what_has_not_begun_to_leave_needs_no_telling(self) -> None:
        script = Script(CONFIG)
        script.write_packets(20)
        begin(script, 0, b"part")
        script.shutdown()
        assert script.state is SHUTDOWN_PENDING
        assert len(script.user.failed) == 1

    def shut_down(self, script: Script, how: str) -> None:
        if how == "by us":
            script.shutdown()
        elif how == "by the peer":
            script.send(control.pack_shutdown(script.ours(0)))
        else:
            script.advance(5.1)


class TestReset:
    """RFC 6525 section 5.2.2: the peer resets a stream once it has all TSNs of before."""

    def reset(self, script: Script, sid: int) -> None:
        script.association.reconfig.reset_streams([sid], None)
        script.flush()
        script.expect(RE_CONFIG)
        script.send(pack_reconfig([pack_response(script.ours(0), PERFORMED)]))

    def test_numbers_of_before_are_not_skipped_afterwards(self) -> None:
        """Its SACK got lost, and the stream's next messages have the numbers that were skipped once before."""
        script = Script(CONFIG, extensions=PR | {RE_CONFIG})
        script.write(b"a", b"b", b"c")
        script.send(script.sack(2))
        script.take()
        before = submit(script, b"before", LIMITED, 9)
        plain = script.association.send(0, b"plain")
        script.flush()
        sender = script.association.sender()
        sender.withdraw(before)
        script.flush()
        script.take()
        self.reset(script, 0)
        other = submit(script, b"other", LIMITED, 9, sid=1)
        sender.withdraw(plain)
        sender.withdraw(other)
        script.flush()
        [value] = [chunk.value for packet in script.take() for chunk in packet.all(FORWARD_TSN)]
        assert value == pack("!IHH", script.ours(5), 1, 0)

    def test_those_since_are(self) -> None:
        script = Script(CONFIG, extensions=PR | {RE_CONFIG})
        sender = script.association.sender()
        sender.withdraw(submit(script, b"before", LIMITED, 9))
        script.flush()
        script.take()
        self.reset(script, 0)
        sender.withdraw(submit(script, b"since", LIMITED, 9))
        script.flush()
        [value] = [chunk.value for packet in script.take() for chunk in packet.all(FORWARD_TSN)]
        assert value == pack("!IHH", script.ours(1), 0, 0)


def test_what_was_given_up_is_counted_by_stream_and_policy() -> None:
    """RFC 7496 section 4.3: how many messages before, and after, they had begun to leave."""
    script = Script(CONFIG.replace(send_buffer=20_000), extensions=PR)
    assert script.association.abandoned() == {}
    left = submit(script, b"x", LIMITED, 9, sid=3)
    script.association.sender().withdraw(left)
    script.write_packets(10)
    for _ in range(2):
        submit(script, bytes(3000), PRIORITY, 5, sid=4)
    script.write(bytes(9000))
    assert script.association.abandoned() == {(3, RELIABLE): (0, 1), (4, PRIORITY): (2, 0)}


def test_what_was_abandoned_holds_up_no_small_message() -> None:
    """RFC 3758 section 3.5 A2: it is not outstanding any more, so Nagle's algorithm does not wait for it."""
    script = partial(nodelay=False)
    message = submit(script, b"x", LIMITED, 9)
    script.association.sender().withdraw(message)
    script.take()
    script.write(b"small")
    script.expect(FORWARD_TSN, DATA)
