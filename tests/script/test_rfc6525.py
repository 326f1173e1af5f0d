"""RFC 6525, clause by clause: what an association says to a peer that reconfigures streams, and to its user.

Request numbers are counted from 0 on both sides, as TSNs are.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from support.pair import Recorder
from support.script import PEER_TSN, B, E, Packet, Script, U

from asyncsctp.config import Config
from asyncsctp.errors import ReconfigError
from asyncsctp.events import Event, StreamsAdded, StreamsReset, TsnsReset
from asyncsctp.handlers.request import Ticket
from asyncsctp.handlers.state import CLOSED, ESTABLISHED, SHUTDOWN_ACK_SENT, SHUTDOWN_SENT
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_PROTOCOL_VIOLATION,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    DATA,
    ERROR,
    FORWARD_TSN,
    PARAM_ADD_INCOMING_STREAMS,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_RECONFIG_RESPONSE,
    PARAM_TSN_RESET,
    RE_CONFIG,
    SACK,
    SHUTDOWN,
)
from asyncsctp.wire.forward_tsn import pack_forward_tsn
from asyncsctp.wire.reconfig import (
    BAD_NUMBER,
    DENIED,
    IN_PROGRESS,
    NOTHING_TO_DO,
    PERFORMED,
    REQUEST_IN_PROGRESS,
    WRONG_STREAM,
    Parameter,
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_reconfig,
    pack_response,
    pack_tsn_reset,
    pack_tsn_response,
    read_reconfig,
)

OUT, IN, TSNS, RESPONSE = PARAM_OUTGOING_RESET, PARAM_INCOMING_RESET, PARAM_TSN_RESET, PARAM_RECONFIG_RESPONSE
ADD_OUT, ADD_IN = PARAM_ADD_OUTGOING_STREAMS, PARAM_ADD_INCOMING_STREAMS
STREAMS = 16


class Said(NamedTuple):
    """A parameter that the association sent. `number` counts from 0, of a response in the peer's numbers."""

    kind: int
    number: int
    streams: tuple[int, ...] = ()
    result: int = -1
    last_tsn: int = -1
    answers: int = -1
    added: int = 0


class Reconfigured(Script):
    """An association with a peer that knows RE-CONFIG."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        paths: int = 1,
        negotiated: bool = True,
        streams: int = STREAMS,
        user: Recorder | None = None,
    ) -> None:
        extensions = frozenset({RE_CONFIG, FORWARD_TSN}) if negotiated else frozenset()
        config = config or Config(heartbeat_interval=None)
        super().__init__(config, paths=paths, extensions=extensions, streams=streams, user=user)

    # The user.

    def reset(self, outgoing: list[int] | None = None, incoming: list[int] | None = None) -> Ticket:
        ticket = self.association.reconfig.reset_streams(outgoing, incoming)
        self.flush()
        return ticket

    def reset_tsns(self) -> Ticket:
        ticket = self.association.reconfig.reset_tsns()
        self.flush()
        return ticket

    def add(self, outgoing: int = 0, incoming: int = 0) -> Ticket:
        ticket = self.association.reconfig.add_streams(outgoing, incoming)
        self.flush()
        return ticket

    def events(self) -> list[Event]:
        """What the user was told of reconfiguration since the last look."""
        events: list[Event] = [
            event for event in self.user.events if isinstance(event, StreamsReset | StreamsAdded | TsnsReset)
        ]
        self.user.events.clear()
        return events

    # The peer.

    def respond(self, number: int, result: int = PERFORMED) -> None:
        self.send(pack_reconfig([pack_response(self.ours(number), result)]))

    def out_request(self, number: int, *streams: int, last_tsn: int = -1, answers: int = -1) -> bytes:
        return pack_outgoing_reset(self.theirs(number), self.ours(answers), self.theirs(last_tsn), streams)

    def request(self, *parameters: bytes) -> list[Said]:
        """The peer's requests; what comes back."""
        self.send(pack_reconfig(parameters))
        return self.said()

    def said(self) -> list[Said]:
        """All parameters that were sent since the last look; nothing else was, but SACKs."""
        found: list[Said] = []
        for packet in self.take():
            assert set(packet.kinds) <= {RE_CONFIG, SACK}
            found += self.parameters(packet)
        return found

    def parameters(self, packet: Packet) -> list[Said]:
        found: list[Said] = []
        for chunk in packet.all(RE_CONFIG):
            parameters, unknown = read_reconfig(chunk.value, 0, len(chunk.value))
            assert not unknown
            assert parameters
            found += map(self._said, parameters)
        return found

    def _said(self, parameter: Parameter) -> Said:
        if parameter.is_response:
            return Said(RESPONSE, self._number(parameter.number, PEER_TSN), result=parameter.result)
        number = self._number(parameter.number, self._local_tsn)
        if parameter.kind != OUT:
            return Said(parameter.kind, number, parameter.streams, added=parameter.added)
        return Said(
            OUT,
            number,
            parameter.streams,
            last_tsn=self._number(parameter.last_tsn, self._local_tsn),
            answers=self._number(parameter.answers, PEER_TSN),
        )


def code(ticket: Ticket) -> int | None:
    """The peer's result of a request that failed."""
    assert isinstance(ticket.error, ReconfigError)
    return ticket.error.result


def result(number: int, code: int) -> Said:
    return Said(RESPONSE, number, result=code)


def out(number: int, *streams: int, last_tsn: int = -1, answers: int = -1) -> Said:
    return Said(OUT, number, streams, last_tsn=last_tsn, answers=answers)


@pytest.fixture
def script() -> Reconfigured:
    return Reconfigured()


# 5.1.1: negotiation, one request at a time, the timer.


def test_without_negotiation_the_verbs_say_so_and_the_chunk_is_unknown() -> None:
    script = Reconfigured(negotiated=False)
    with pytest.raises(ReconfigError, match="not negotiated"):
        _ = script.association.reconfig
    script.send(pack_reconfig([script.out_request(0)]), script.data(0))
    script.expect(SACK)
    assert script.association.statistics.unknown_chunks == 1
    assert script.events() == []


def test_nothing_is_made_before_the_first_request(script: Reconfigured) -> None:
    script.write(b"x")
    script.send(script.sack(0))
    assert script.association._parts.established.reconfig is None


def test_one_request_is_under_way_at_a_time(script: Reconfigured) -> None:
    first, second = script.reset([1]), script.reset([2])
    assert script.said() == [out(0, 1)]
    script.respond(0)
    assert first.is_ok
    assert not second.is_done
    assert script.said() == [out(1, 2)]
    script.respond(1)
    assert second.is_ok
    assert script.said() == []


def test_a_request_is_sent_again_with_backoff_until_the_peer_counts_as_gone() -> None:
    script = Reconfigured(Config(heartbeat_interval=None, max_retrans=3))
    ticket = script.reset([1])
    [first] = script.take()
    waits = []
    while script.state is ESTABLISHED:
        before = script.now
        packets = script.wait()
        if script.state is ESTABLISHED:
            waits.append(script.now - before)
            assert [chunk.value for chunk in packets[0].chunks] == [chunk.value for chunk in first.chunks]
    assert waits == [1.0, 2.0, 4.0]
    assert script.state is CLOSED
    assert ticket.is_done
    assert not ticket.is_ok
    assert "ended" in str(ticket.error)


@pytest.mark.parametrize("paths", [1, 2])
def test_an_outage_is_counted_once_whether_a_request_waits_beside_data_or_not(paths: int) -> None:
    """RFC 9260 section 8.1 counts what the peer does not answer: it is as patient as without, as long as both try the
    same address.
    """
    ends = []
    for requests in (False, True):
        script = Reconfigured(Config(heartbeat_interval=None, pf_threshold=None), paths=paths)
        script.write(b"data")
        if requests:
            script.reset([1])
        while script.state is ESTABLISHED:
            script.wait()
        ends.append(script.now)
    assert ends[0] == ends[1]


def test_a_request_tries_another_address() -> None:
    script = Reconfigured(paths=2)
    script.reset([1])
    assert [packet.to for packet in script.take()] == ["10.0.0.2"]
    assert [packet.to for packet in script.wait()] == ["10.1.0.2"]
    assert script.path(0).error_count == 1
    script.respond(0)
    assert script.path(0).error_count == 1
    assert script.path(1).error_count == 0


def test_an_answer_stops_the_timer(script: Reconfigured) -> None:
    script.reset([1])
    script.take()
    script.respond(0)
    assert script.wait(1000.0) == []


# 5.1.2: outgoing reset.


def test_streams_begin_with_0_again_after_the_answer(script: Reconfigured) -> None:
    script.write(b"a", b"b", sid=3)
    script.write(b"c", sid=4)
    script.send(script.sack(2))
    script.take()
    ticket = script.reset([3])
    assert script.said() == [out(0, 3, last_tsn=2)]
    script.respond(0)
    assert ticket.is_ok
    assert script.events() == [StreamsReset(True, (3,), "ok")]
    script.write(b"d", sid=3)
    script.write(b"e", sid=4)
    assert [(chunk.sid, chunk.ssn) for packet in script.take() for chunk in packet.all(DATA)] == [(3, 0), (4, 1)]


def test_all_streams_are_an_empty_list(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.send(script.sack(0))
    script.take()
    script.reset([])
    assert script.said() == [out(0, last_tsn=0)]
    script.respond(0)
    assert script.events() == [StreamsReset(True, (), "ok")]
    script.write(b"d", sid=3)
    assert script.expect(DATA).one(DATA).ssn == 0


def test_all_streams_listed_are_all_streams(script: Reconfigured) -> None:
    script.reset(list(range(STREAMS)))
    assert script.said() == [out(0)]


def test_what_was_written_before_leaves_before_the_request(script: Reconfigured) -> None:
    script.write_packets(20)
    sent = len(script.take())
    assert sent < 20
    script.reset([0])
    script.expect_nothing()
    while sent < 20:
        script.send(script.sack(sent - 1))
        packets = script.take()
        data = sum(len(packet.all(DATA)) for packet in packets)
        said = [each for packet in packets for each in script.parameters(packet)]
        sent += data
        assert said == ([out(0, 0, last_tsn=19)] if sent == 20 else [])


def test_a_refusal_leaves_the_numbers_as_they_are(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.send(script.sack(0))
    script.take()
    ticket = script.reset([3])
    script.take()
    script.respond(0, DENIED)
    assert (ticket.is_done, ticket.is_ok, code(ticket)) == (True, False, DENIED)
    assert script.events() == [StreamsReset(True, (3,), "denied")]
    script.write(b"d", sid=3)
    assert script.expect(DATA).one(DATA).ssn == 1


@pytest.mark.parametrize("code", [WRONG_STREAM, BAD_NUMBER, 7, 0xFFFFFFFF])
def test_other_results_are_failures(script: Reconfigured, code: int) -> None:
    ticket = script.reset([3])
    script.take()
    script.respond(0, code)
    assert ticket.is_done
    assert not ticket.is_ok
    assert script.events() == [StreamsReset(True, (3,), "failed")]
    assert script.reset([3]).is_done is False
    assert script.said() == [out(1, 3)]


def test_both_directions_go_in_one_chunk(script: Reconfigured) -> None:
    ticket = script.reset([1], [2])
    assert script.said() == [out(0, 1), Said(IN, 1, (2,))]
    assert script.request(pack_response(script.ours(0), PERFORMED), script.out_request(0, 2, answers=1)) == [
        result(0, PERFORMED)
    ]
    assert ticket.is_ok
    assert script.events() == [StreamsReset(True, (1,), "ok"), StreamsReset(False, (2,), "ok")]


def test_a_stream_with_much_to_send_holds_up_no_other(script: Reconfigured) -> None:
    script.write_packets(10)
    script.take()
    script.reset([0])
    assert script.said() == []
    script.reset([3])
    assert [said.streams for said in script.said()] == [(3,)]


def test_closing_writers_join_the_request_that_has_not_left(script: Reconfigured) -> None:
    reconfig = script.association.reconfig
    tickets = [reconfig.close_stream(sid) for sid in (1, 2, 3, 2)]
    assert len(set(map(id, tickets))) == 1
    script.flush()
    assert [said.streams for said in script.said()] == [(1, 2, 3)]
    assert reconfig.close_stream(4) is not tickets[0]
    script.flush()
    assert script.said() == []


def test_many_streams_go_in_several_requests() -> None:
    script = Reconfigured()
    script.association._parts.need_reconfig()
    script.send(pack_reconfig([pack_add_streams(script.theirs(0), 1000, False)]))
    assert script.said() == [Said(ADD_OUT, 0, added=1000)]
    script.respond(0)
    ticket = script.reset(list(range(900)))
    numbers = []
    listed: list[int] = []
    while said := script.said():
        [each] = said
        numbers.append(each.number)
        listed += each.streams
        assert not ticket.is_done
        script.respond(each.number)
    assert listed == list(range(900))
    assert numbers == list(range(1, len(numbers) + 1))
    assert ticket.is_ok


def test_wrong_arguments() -> None:
    script = Reconfigured()
    reconfig = script.association.reconfig
    with pytest.raises(ValueError, match="outgoing must hold ids between 0 and 15, not 16"):
        reconfig.reset_streams([1, 16], None)
    with pytest.raises(ValueError, match="incoming"):
        reconfig.reset_streams(None, [-1])
    with pytest.raises(ValueError, match="must be given"):
        reconfig.reset_streams(None, None)
    with pytest.raises(ValueError, match="outgoing must be between 0 and 65519"):
        reconfig.add_streams(65520, 0)
    with pytest.raises(ValueError, match="above 0"):
        reconfig.add_streams(0, 0)
    script.flush()
    script.expect_nothing()


# 5.1.3 and 5.2.3: incoming reset.


def test_the_peer_answers_an_incoming_reset_by_an_outgoing_one(script: Reconfigured) -> None:
    ticket = script.reset(incoming=[2])
    assert script.said() == [Said(IN, 0, (2,))]
    assert script.request(script.out_request(0, 2, answers=0)) == [result(0, PERFORMED)]
    assert ticket.is_ok
    assert script.events() == [StreamsReset(False, (2,), "ok")]
    assert script.wait(100.0) == []


def test_an_answer_that_was_asked_for_is_taken_whatever_is_allowed() -> None:
    script = Reconfigured(Config(heartbeat_interval=None, reconfig_allowed=frozenset()))
    script.reset(incoming=[2])
    script.take()
    assert script.request(script.out_request(0, 2, answers=0)) == [result(0, PERFORMED)]
    assert script.request(script.out_request(1, 2, answers=0)) == [result(1, DENIED)]


@pytest.mark.parametrize(("code", "good"), [(NOTHING_TO_DO, True), (DENIED, False), (WRONG_STREAM, False)])
def test_an_incoming_reset_may_be_answered_by_a_response(script: Reconfigured, code: int, good: bool) -> None:
    ticket = script.reset(incoming=[2])
    script.take()
    script.respond(0, code)
    assert (ticket.is_done, ticket.is_ok) == (True, good)


def test_the_peer_asks_us_to_reset(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.send(script.sack(0))
    script.take()
    assert script.request(pack_incoming_reset(script.theirs(0), [3])) == [out(0, 3, last_tsn=0, answers=0)]
    script.respond(0)
    assert script.events() == [StreamsReset(True, (3,), "ok")]
    script.write(b"b", sid=3)
    assert script.expect(DATA).one(DATA).ssn == 0


def test_the_peer_asks_us_to_reset_what_is_still_being_sent(script: Reconfigured) -> None:
    script.write_packets(10)
    sent = len(script.take())
    request = pack_incoming_reset(script.theirs(0), [0])
    assert script.request(request) == []
    assert script.request(request) == [result(0, IN_PROGRESS)]
    while sent < 10:
        script.send(script.sack(sent - 1))
        packets = script.take()
        sent += sum(len(packet.all(DATA)) for packet in packets)
    assert script.parameters(packets[-1]) == [out(0, 0, last_tsn=9, answers=0)]


def test_a_repeated_incoming_reset_is_answered_and_not_carried_out_again(script: Reconfigured) -> None:
    request = pack_incoming_reset(script.theirs(0), [3])
    assert script.request(request) == [out(0, 3, answers=0)]
    assert script.request(request) == [out(0, 3, answers=0)]
    script.respond(0)
    assert script.request(request) == [result(0, PERFORMED)]
    assert script.events() == [StreamsReset(True, (3,), "ok")]


def test_peers_that_ask_and_ask_queue_up_two_requests_at_most(script: Reconfigured) -> None:
    script.write_packets(10)
    script.take()
    answers = [script.request(pack_incoming_reset(script.theirs(number), [0])) for number in range(10)]
    assert answers[:2] == [[], []]
    assert answers[2:] == [[result(number, REQUEST_IN_PROGRESS)] for number in range(2, 10)]


def test_simultaneous_resets_of_the_same_streams_leave_nothing_to_do(script: Reconfigured) -> None:
    script.reset([3, 4], [3, 4])
    assert script.said() == [out(0, 3, 4), Said(IN, 1, (3, 4))]
    both = script.out_request(0, 3, 4), pack_incoming_reset(script.theirs(1), [4, 3])
    assert script.request(*both) == [result(0, PERFORMED), result(1, NOTHING_TO_DO)]


def test_simultaneous_resets_of_other_streams_are_carried_out(script: Reconfigured) -> None:
    script.reset([3])
    script.take()
    assert script.request(pack_incoming_reset(script.theirs(0), [3, 4])) == []
    script.respond(0)
    assert script.said() == [out(1, 3, 4, answers=0)]


def test_a_reset_that_the_peer_asks_for_comes_after_another_request_of_ours(script: Reconfigured) -> None:
    """Section 5.2.3: a request to add streams that is under way resets none."""
    script.add(1)
    script.take()
    assert script.request(pack_incoming_reset(script.theirs(0), [1])) == []
    script.respond(0)
    assert script.said() == [out(1, 1, answers=0)]


def test_of_two_that_ask_each_other_for_a_reset_one_is_refused(script: Reconfigured) -> None:
    """Each would wait for the other's answer: the one with the larger tag refuses, and the other comes again."""
    assert script.association.context.local_tag > script.association.context.peer_tag
    script.reset(None, [1])
    script.take()
    assert script.request(pack_incoming_reset(script.theirs(0), [2])) == [result(0, REQUEST_IN_PROGRESS)]
    assert script.request(script.out_request(1, 1, answers=0)) == [result(1, PERFORMED)]
    assert script.request(pack_incoming_reset(script.theirs(2), [2])) == [out(1, 2, answers=2)]


def test_a_reset_of_more_streams_than_a_packet_can_list_is_denied() -> None:
    """The answer is a request of ours that lists them, in a chunk that can't be fragmented."""
    script = Reconfigured(Config(heartbeat_interval=None, mtu=576), streams=400)
    assert script.request(pack_incoming_reset(script.theirs(0), range(300))) == [result(0, DENIED)]
    [asked] = script.request(pack_incoming_reset(script.theirs(1), range(200)))
    assert (asked.kind, len(asked.streams)) == (OUT, 200)


def test_an_answer_and_the_next_reset_share_a_chunk(script: Reconfigured) -> None:
    """Section 3.1: a response and an Outgoing SSN Reset Request may stand together."""
    script.reset([1])
    script.reset([2])
    script.take()
    script.send(pack_reconfig([pack_response(script.ours(0), PERFORMED), script.out_request(0, 5)]))
    packet = script.expect(RE_CONFIG)
    assert script.parameters(packet) == [result(0, PERFORMED), out(1, 2, answers=0)]


def test_a_peer_that_is_busy_is_asked_again(script: Reconfigured) -> None:
    ticket = script.reset(incoming=[2])
    script.take()
    for number in range(3):
        script.respond(number, REQUEST_IN_PROGRESS)
        assert not ticket.is_done
        script.wait()
    assert script.request(script.out_request(0, 2, answers=3)) == [result(0, PERFORMED)]
    assert ticket.is_ok


def test_a_peer_that_stays_busy_is_not_asked_for_ever(script: Reconfigured) -> None:
    ticket = script.reset([2])
    for number in range(100):
        if ticket.is_done:
            break
        if number:
            script.wait()
        script.take()
        script.respond(number, REQUEST_IN_PROGRESS)
    assert (ticket.is_done, code(ticket)) == (True, REQUEST_IN_PROGRESS)
    assert number < 20
    assert script.wait(1000.0) == []


def test_a_peer_that_says_in_progress_for_ever_is_asked_anew(script: Reconfigured) -> None:
    """usrsctp keeps this answer if the later one got lost. It is no progress once all data has been acknowledged."""
    ticket = script.reset([2])
    script.take()
    for _ in range(4):
        script.respond(0, IN_PROGRESS)
        assert not ticket.is_done
        script.wait()
    script.respond(1, PERFORMED)
    assert ticket.is_ok


# 5.2.2: the peer resets its outgoing streams.


def test_the_peers_streams_begin_anew(script: Reconfigured) -> None:
    script.send(script.data(0, sid=2), script.data(1, sid=3))
    assert script.request(script.out_request(0, 2, last_tsn=1)) == [result(0, PERFORMED)]
    assert script.events() == [StreamsReset(False, (2,), "ok")]
    script.send(script.data(2, b"new", sid=2, ssn=0), script.data(3, b"on", sid=3, ssn=1))
    assert [message[3] for message in script.user.messages] == [b"data", b"data", b"new", b"on"]


def test_a_repeated_request_is_answered_from_memory(script: Reconfigured) -> None:
    """A retransmission must not reset what was sent since (sctp-proto 30 and 37)."""
    request = script.out_request(0, 2, last_tsn=0)
    script.send(script.data(0, sid=2))
    assert script.request(request) == [result(0, PERFORMED)]
    script.send(script.data(1, b"1", sid=2, ssn=0))
    assert script.request(request) == [result(0, PERFORMED)]
    script.send(script.data(2, b"2", sid=2, ssn=1))
    assert [message[3] for message in script.user.messages] == [b"data", b"1", b"2"]
    assert script.events() == [StreamsReset(False, (2,), "ok")]


def test_the_answers_to_both_requests_of_a_chunk_are_kept(script: Reconfigured) -> None:
    both = pack_add_streams(script.theirs(0), 2, True), pack_add_streams(script.theirs(1), 0, False)
    answers = [result(0, PERFORMED), result(1, NOTHING_TO_DO)]
    assert script.request(*both) == answers
    assert script.request(*both) == answers
    assert script.association.incoming_streams == STREAMS + 2


@pytest.mark.parametrize("number", [-1, 1, 2, 1000, 0x7FFFFFFF, -0x80000000])
def test_a_wrong_number_is_refused_and_changes_nothing(script: Reconfigured, number: int) -> None:
    assert [said.result for said in script.request(script.out_request(number, 2))] == [BAD_NUMBER]
    assert script.events() == []
    assert script.request(script.out_request(0, 2)) == [result(0, PERFORMED)]


def test_numbers_wrap(script: Reconfigured) -> None:
    for number in range(40):  # the peer's begin at 0xFFFFFFFC, ours at 0xFFFFFFF2
        assert script.request(script.out_request(number, 2, answers=number - 1)) == [result(number, PERFORMED)]
        script.reset([1])
        assert script.said() == [out(number, 1, answers=number)]
        script.respond(number)


def test_an_old_number_is_wrong_in_the_end(script: Reconfigured) -> None:
    for number in range(4):
        script.request(script.out_request(number, 2))
    codes = [script.request(script.out_request(number, 2))[0].result for number in range(4)]
    assert codes == [BAD_NUMBER, BAD_NUMBER, PERFORMED, PERFORMED]


def test_a_stream_that_does_not_exist_is_refused(script: Reconfigured) -> None:
    assert script.request(script.out_request(0, 2, STREAMS)) == [result(0, WRONG_STREAM)]
    assert script.request(pack_incoming_reset(script.theirs(1), [STREAMS])) == [result(1, WRONG_STREAM)]
    assert script.events() == []


def test_the_reset_waits_for_data_that_is_missing(script: Reconfigured) -> None:
    script.send(script.data(0, sid=2))
    script.send(script.data(2, b"third", sid=2, ssn=2))
    script.take()
    request = script.out_request(0, 2, last_tsn=2)
    assert script.request(request) == [result(0, IN_PROGRESS)]
    assert script.request(request) == [result(0, IN_PROGRESS)]
    assert script.events() == []
    script.send(script.data(1, b"second", sid=2, ssn=1))
    assert script.said() == [result(0, PERFORMED)]
    assert [message[3] for message in script.user.messages] == [b"data", b"second", b"third"]
    assert script.events() == [StreamsReset(False, (2,), "ok")]
    assert script.request(request) == [result(0, PERFORMED)]
    script.send(script.data(3, b"new", sid=2, ssn=0))
    assert script.user.messages[-1][3] == b"new"


def test_what_lies_above_a_reset_that_waits_waits_for_it(script: Reconfigured) -> None:
    """E2 and E4, with a peer that goes on by new numbers before it was told that they are in force."""
    script.send(script.data(0, b"old 0", sid=2, ssn=0), script.data(2, b"old 2", sid=2, ssn=2))
    script.take()
    assert script.request(script.out_request(0, 2, last_tsn=2)) == [result(0, IN_PROGRESS)]
    new = [script.data(3 + ssn, b"new %d" % ssn, sid=2, ssn=ssn) for ssn in range(3)]
    script.send(*new, script.data(6, b"other", sid=3, ssn=0), script.data(7, b"loose", flags=B | E | U, sid=2))
    assert [data for *_, data in script.user.messages] == [b"old 0", b"other"]
    script.send(script.data(1, b"old 1", sid=2, ssn=1))
    came = [data for *_, data in script.user.messages][2:]
    assert came == [b"old 1", b"old 2", b"new 0", b"new 1", b"new 2", b"loose"]
    script.take()
    script.send(script.data(8, b"new 3", sid=2, ssn=3))
    assert script.user.messages[-1][3] == b"new 3"


def test_the_reset_waits_no_more_for_what_is_abandoned(script: Reconfigured) -> None:
    assert script.request(script.out_request(0, 4, last_tsn=3)) == [result(0, IN_PROGRESS)]
    script.send(pack_forward_tsn(script.theirs(2), []))
    assert script.said() == []
    script.send(pack_forward_tsn(script.theirs(3), []))
    assert script.said() == [result(0, PERFORMED)]
    assert script.events() == [StreamsReset(False, (4,), "ok")]


def test_what_waits_above_a_reset_gives_way_to_what_the_reset_waits_for() -> None:
    """What is put aside fills the window: a chunk that comes for the hole displaces it, and it is to be sent again."""
    script = Reconfigured(Config(heartbeat_interval=None, recv_buffer=4096, max_message_size=4096))
    script.request(script.out_request(0, 2, last_tsn=0))
    for ssn in range(8):
        script.send(script.data(1 + ssn, bytes([ssn]) * 1000, sid=2, ssn=ssn))
    assert script.user.messages == []
    script.take()
    script.send(script.data(0, bytes(1400), sid=2, ssn=0))
    taken = [data[0] for *_, data in script.user.messages[1:]]
    assert taken == list(range(len(taken)))
    assert len(taken) >= 1
    for ssn in range(len(taken), 8):
        script.send(script.data(1 + ssn, bytes([ssn]) * 1000, sid=2, ssn=ssn))
    assert [data[0] for *_, data in script.user.messages[1:]] == list(range(8))


def test_what_was_abandoned_above_a_reset_that_waits(script: Reconfigured) -> None:
    script.send(script.data(0, b"old 0", sid=2, ssn=0))
    script.request(script.out_request(0, 2, last_tsn=1))
    script.send(script.data(2, b"half", flags=B, sid=2, ssn=0), script.data(4, b"new 1", sid=2, ssn=1))
    script.send(pack_forward_tsn(script.theirs(3), [(2, 1)]))
    script.send(script.data(5, b"new 0", sid=2, ssn=0))
    assert [data for *_, data in script.user.messages] == [b"old 0", b"new 0", b"new 1"]
    assert script.association._parts.established.receiver._queue.held == 0


def test_the_reset_that_waits_may_be_asked_for_under_a_new_number(script: Reconfigured) -> None:
    """dcSCTP does so."""
    assert script.request(script.out_request(0, 2, last_tsn=0)) == [result(0, IN_PROGRESS)]
    assert script.request(script.out_request(1, 2, last_tsn=0)) == [result(1, IN_PROGRESS)]
    script.send(script.data(0, sid=2))
    assert script.said() == [result(1, PERFORMED)]
    assert script.request(script.out_request(2, 2, last_tsn=0)) == [result(2, PERFORMED)]


def test_what_the_reset_waits_for_may_come_with_the_request_that_asks_again(script: Reconfigured) -> None:
    assert script.request(script.out_request(0, 2, last_tsn=0)) == [result(0, IN_PROGRESS)]
    script.send(script.data(0, sid=2), pack_reconfig([script.out_request(1, 2, last_tsn=0)]))
    assert script.said() == [result(1, PERFORMED)]
    assert script.events() == [StreamsReset(False, (2,), "ok")]
    script.send(script.data(1, sid=2, ssn=0))
    assert len(script.user.messages) == 2


def test_who_aborts_at_a_message_that_the_reset_delivers_answers_nothing_more() -> None:
    class Aborting(Recorder):
        def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
            super().on_message(sid, ssn, ppid, unordered, tsn, data)
            if sid == 2 and self.association is not None:
                self.association.abort(101.0, b"enough")

    script = Reconfigured(user=Aborting("the user"))
    script.send(script.data(1, sid=2, ssn=5))
    script.take()
    assert script.request(script.out_request(0, 2, last_tsn=1)) == [result(0, IN_PROGRESS)]
    script.send(script.data(0, sid=1))
    script.expect_each([SACK], [ABORT])
    assert script.user.is_closed


def test_one_reset_waits_at_most(script: Reconfigured) -> None:
    assert script.request(script.out_request(0, 2, last_tsn=0)) == [result(0, IN_PROGRESS)]
    for number in range(1, 100):
        request = script.out_request(number, 3, last_tsn=number)
        assert script.request(request) == [result(number, REQUEST_IN_PROGRESS)]
    script.send(script.data(0, sid=2))
    assert script.said() == [result(0, PERFORMED)]
    assert script.events() == [StreamsReset(False, (2,), "ok")]


def test_denied_where_it_is_not_allowed() -> None:
    script = Reconfigured(Config(heartbeat_interval=None, reconfig_allowed=frozenset()))
    assert script.request(script.out_request(0, 2)) == [result(0, DENIED)]
    assert script.request(pack_incoming_reset(script.theirs(1), [3])) == [result(1, DENIED)]
    assert script.request(pack_tsn_reset(script.theirs(2))) == [result(2, DENIED)]
    both = pack_add_streams(script.theirs(3), 1, True), pack_add_streams(script.theirs(4), 1, False)
    assert script.request(*both) == [result(3, DENIED), result(4, DENIED)]
    assert script.events() == []


def test_what_is_allowed_can_be_changed(script: Reconfigured) -> None:
    assert script.request(script.out_request(0, 2)) == [result(0, PERFORMED)]
    script.association.configure(script.config.replace(reconfig_allowed=frozenset({"add_streams"})))
    assert script.request(script.out_request(1, 2)) == [result(1, DENIED)]
    assert script.request(pack_add_streams(script.theirs(2), 1, True)) == [result(2, PERFORMED)]


# 5.2.7 H2: in progress.


def test_in_progress_is_no_error_and_is_asked_again(script: Reconfigured) -> None:
    ticket = script.reset([1])
    script.take()
    for _ in range(3):
        script.respond(0, IN_PROGRESS)
        script.wait()
        assert script.path().error_count == 0
    assert script.state is ESTABLISHED
    script.respond(0)
    assert ticket.is_ok


def test_a_peer_that_is_silent_after_in_progress_is_noticed() -> None:
    script = Reconfigured(Config(heartbeat_interval=None, max_retrans=3))
    script.reset([1])
    script.respond(0, IN_PROGRESS)
    while script.state is ESTABLISHED:
        script.wait()
    assert script.state is CLOSED


@pytest.mark.parametrize("number", [-1, 1, 5])
def test_an_answer_to_nothing_is_nothing(script: Reconfigured, number: int) -> None:
    ticket = script.reset([1])
    script.take()
    script.respond(number)
    assert not ticket.is_done
    script.respond(0)
    assert ticket.is_ok
    script.respond(0, DENIED)
    assert script.events() == [StreamsReset(True, (1,), "ok")]


def test_number_0_is_a_number_like_others() -> None:
    """A sequence number 0 was taken for "any" elsewhere."""
    script = Reconfigured()
    first = -script._local_tsn & 0xFFFFFFFF  # so many requests until the number is 0 on the wire
    assert first < 20
    for number in range(first + 2):
        ticket = script.reset([1])
        script.respond(number + 1, DENIED)
        script.respond(number - 1, DENIED)
        assert not ticket.is_done
        script.respond(number)
        assert ticket.is_ok


# 5.1.4 and 5.2.4: TSNs.


def test_tsns_begin_anew_once_all_is_acknowledged(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.take()
    script.send(script.data(0, sid=5))
    script.take()
    ticket = script.reset_tsns()
    script.expect_nothing()
    script.send(script.sack(0))
    assert script.said() == [Said(TSNS, 0)]
    script.send(pack_reconfig([pack_tsn_response(script.ours(0), PERFORMED, script.theirs(1), script.ours(5000))]))
    assert ticket.is_ok
    assert script.events() == [TsnsReset("ok")]
    script.write(b"b", sid=3)
    chunk = script.expect(DATA).one(DATA)
    assert (chunk.tsn, chunk.ssn) == (5000, 0)
    script.send(script.sack(5000), script.data(1, b"c", sid=5, ssn=0))
    assert script.user.messages[-1][3] == b"c"
    assert script.association.buffered == 0


def test_the_peer_may_choose_a_later_tsn_for_itself(script: Reconfigured) -> None:
    script.reset_tsns()
    script.send(pack_reconfig([pack_tsn_response(script.ours(0), PERFORMED, script.theirs(1000), script.ours(0))]))
    script.send(script.data(1000, b"c", sid=5, ssn=0))
    assert script.user.messages[-1][3] == b"c"


def test_an_answer_without_tsns_resets_none(script: Reconfigured) -> None:
    ticket = script.reset_tsns()
    script.take()
    script.respond(0)
    assert ticket.is_done
    assert not ticket.is_ok
    assert script.events() == [TsnsReset("failed")]
    script.write(b"b")
    assert script.expect(DATA).one(DATA).tsn == 0


def test_the_peer_resets_the_tsns(script: Reconfigured) -> None:
    script.send(script.data(0, sid=2))
    script.write(b"a", sid=3)
    script.send(script.sack(0))
    script.take()
    request = pack_reconfig([pack_tsn_reset(script.theirs(0))])
    script.send(request)
    answer = script.expect(RE_CONFIG).chunks[0].value
    [[parameter], _] = read_reconfig(answer, 0, len(answer))
    assert parameter.result == PERFORMED
    first = 1 + script.peer_rwnd // 16 + 1  # what overtakes the answer is beyond the peer's window
    assert parameter.sender_tsn == script.ours(first)
    assert script.events() == [TsnsReset("ok")]
    ahead = parameter.receiver_tsn - script.theirs(1) & 0xFFFFFFFF
    assert 1 << 30 < ahead <= 1 << 31
    script.send(request)
    assert script.expect(RE_CONFIG).chunks[0].value == answer
    assert script.events() == []
    script.send(script.data(1 + ahead, b"new", sid=2, ssn=0))
    assert script.user.messages[-1][3] == b"new"
    script.take()
    script.send(script.data(0, b"late", sid=2))  # of before: a duplicate
    assert script.user.messages[-1][3] == b"new"
    script.take()
    script.write(b"b", sid=3)
    chunk = next(chunk for packet in script.take() for chunk in packet.all(DATA))
    assert (chunk.tsn, chunk.ssn) == (first, 0)
    script.send(script.sack(0))  # late, of before
    script.send(script.sack(first))
    assert script.association.buffered == 0


def test_what_waits_for_our_request_goes_on_waiting_while_the_peer_resets_tsns(script: Reconfigured) -> None:
    script.reset([3])
    script.take()
    script.write(b"held", sid=3)
    assert script.request(pack_tsn_reset(script.theirs(0))) == [result(0, PERFORMED)]
    script.expect_nothing()
    script.respond(0)
    assert script.expect(DATA).one(DATA).ssn == 0


def test_our_data_is_acknowledged_before_the_tsns_are_reset(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.take()
    assert script.request(pack_tsn_reset(script.theirs(0))) == []
    assert script.events() == []
    script.send(script.sack(0))
    assert script.said() == [result(0, PERFORMED)]
    assert script.events() == [TsnsReset("ok")]


def test_what_a_reset_held_up_goes_on_with_the_new_tsns(script: Reconfigured) -> None:
    """The answer to our reset comes while all is stopped on behalf of the peer."""
    script.write(b"a", sid=1)
    script.reset([3])
    script.write(b"held", sid=3)
    script.take()
    assert script.request(pack_tsn_reset(script.theirs(0))) == []
    script.respond(0)
    script.expect_nothing()
    script.send(script.sack(0))
    packets = script.take()
    assert script.parameters(packets[0]) == [result(0, PERFORMED)]
    [chunk] = [chunk for packet in packets for chunk in packet.all(DATA)]
    assert (chunk.ssn, chunk.data, chunk.tsn > 1) == (0, b"held", True)


def test_who_shuts_down_resets_no_tsns_any_more(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.take()
    assert script.request(pack_tsn_reset(script.theirs(0))) == []
    script.shutdown()
    assert script.said() == [result(0, DENIED)]
    script.send(script.sack(0))
    script.expect(SHUTDOWN)
    assert script.events() == []


def test_a_peer_that_acknowledges_nothing_gets_no_tsn_reset(script: Reconfigured) -> None:
    script.write(b"a", sid=3)
    script.take()
    request = pack_tsn_reset(script.theirs(0))
    codes = [said.result for _ in range(5) for said in script.request(request)]
    assert set(codes) == {REQUEST_IN_PROGRESS}
    assert len(codes) >= 2
    script.send(script.sack(0))
    assert script.events() == []


def test_what_overtakes_the_answer_waits_for_it(script: Reconfigured) -> None:
    """A peer whose TSNs go on, as 5.2.4 G2 has it, sends by new numbers before its answer has come."""
    for ssn in range(3):
        script.send(script.data(ssn, bytes([ssn]), sid=5, ssn=ssn))
    script.reset_tsns()
    script.user.messages.clear()
    script.send(script.data(3, b"new 0", sid=5, ssn=0), script.data(4, b"new 1", sid=5, ssn=1))
    script.send(script.data(6, b"new 3", sid=5, ssn=3), script.data(7, b"unordered", flags=B | E | U, sid=5))
    assert script.user.messages == []
    script.send(pack_reconfig([pack_tsn_response(script.ours(0), PERFORMED, script.theirs(3), script.ours(5000))]))
    assert [data for *_, data in script.user.messages] == [b"new 0", b"new 1", b"unordered"]
    script.send(script.data(5, b"new 2", sid=5, ssn=2))
    assert [data for *_, data in script.user.messages][3:] == [b"new 2", b"new 3"]
    assert script.take()[-1].one(SACK).tsn == 7


def test_what_goes_by_a_new_count_is_not_taken_before_the_answer() -> None:
    """A FORWARD TSN, or DATA, far ahead: the answer that explains it was overtaken, or is lost."""
    script = Reconfigured(Config(heartbeat_interval=None, recv_buffer=4 << 20))
    script.send(script.data(0, b"old", sid=5))
    script.reset_tsns()
    script.take()
    script.user.messages.clear()
    script.send(pack_forward_tsn(script.theirs(4098 + 3), [(5, 0)]), script.data(4098 + 4, b"new", sid=5, ssn=1))
    assert [packet.one(SACK).tsn for packet in script.take()] == [0]
    script.send(
        pack_reconfig([pack_tsn_response(script.ours(0), PERFORMED, script.theirs(4098 + 2), script.ours(5000))])
    )
    script.take()
    assert script.user.messages == []
    script.send(pack_forward_tsn(script.theirs(4098 + 3), [(5, 0)]), script.data(4098 + 4, b"new", sid=5, ssn=1))
    assert [data for *_, data in script.user.messages] == [b"new"]


def test_a_sack_by_the_new_count_before_the_answer_is_no_violation(script: Reconfigured) -> None:
    """The answer is late, and the peer's window opens meanwhile: it acknowledges by TSNs that we don't know yet."""
    script.write(b"a", sid=3)
    script.send(script.sack(0))
    script.reset_tsns()
    script.take()
    script.send(script.sack(0x7FFF0000))
    script.send(control.pack_shutdown(script.ours(0x7FFF0000)))
    assert script.state is SHUTDOWN_ACK_SENT


def test_the_answer_leaves_once_more_with_data_that_goes_by_it_unheard(script: Reconfigured) -> None:
    """It was lost, and the peer drops what goes by TSNs that it has not heard of: errors that are none."""
    script.send(pack_reconfig([pack_tsn_reset(script.theirs(0))]))
    [answer] = script.expect(RE_CONFIG).chunks
    script.write(b"by new TSNs")
    tsn = script.expect(DATA).one(DATA).tsn
    again = script.wait()[0]
    assert again.kinds == [RE_CONFIG, DATA]
    assert again.chunks[0].value == answer.value
    script.send(script.sack(tsn))
    script.write(b"more")
    script.take()
    assert script.wait()[0].kinds == [DATA]


def test_requests_for_new_tsns_that_cross_are_refused_and_come_again(script: Reconfigured) -> None:
    """While ours is unanswered we can't say which TSNs are in force."""
    ticket = script.reset_tsns()
    script.take()
    assert script.request(pack_tsn_reset(script.theirs(0))) == [result(0, REQUEST_IN_PROGRESS)]
    script.respond(0, REQUEST_IN_PROGRESS)
    script.expect_nothing()
    script.wait()
    script.send(pack_reconfig([pack_tsn_response(script.ours(1), PERFORMED, script.theirs(1000), script.ours(0))]))
    assert ticket.is_ok


def test_what_was_put_aside_and_fits_no_count_aborts(script: Reconfigured) -> None:
    """It is acknowledged: to drop it in silence would be to lose it."""
    script.send(script.data(0, sid=5))
    script.reset_tsns()
    script.send(script.data(1, flags=B, sid=5, ssn=0), script.data(2, flags=E, sid=6, ssn=0))
    script.advance(0.3)
    assert script.take()[-1].one(SACK).tsn == 2
    script.respond(0, DENIED)
    assert script.state is CLOSED
    assert "it differs from the fragment" in str(script.user.error)


def test_a_shutdown_waits_for_the_answer_to_our_request_for_new_tsns(script: Reconfigured) -> None:
    """What the peer sends by them could not be acknowledged in SHUTDOWN-SENT, where nothing is asked again."""
    script.reset_tsns()
    script.take()
    script.shutdown()
    script.expect_nothing()
    script.wait()
    script.send(pack_reconfig([pack_tsn_response(script.ours(0), PERFORMED, script.theirs(1000), script.ours(7))]))
    assert script.take()[-1].kinds[-1] == SHUTDOWN


def test_a_shutdown_gives_up_a_request_for_new_tsns_that_is_to_be_asked_again(script: Reconfigured) -> None:
    """A peer that has said "in progress" for long may have carried it out; once nobody asks, nobody will know."""
    script.reset_tsns()
    while script.association.reconfig.current is not None:
        script.respond(0, IN_PROGRESS)
    script.take()
    script.shutdown()
    script.expect(SHUTDOWN)


def test_a_peer_that_is_busy_is_heard_although_our_data_waits_for_its_answer() -> None:
    """8.1: what is held until TSNs begin anew is not outstanding; each refusal is an answer."""
    script = Reconfigured(Config(heartbeat_interval=None, rto_min=0.1, rto_max=0.2, max_retrans=3))
    script.reset_tsns()
    script.write(b"held", sid=3)
    script.take()
    for number in range(6):
        for _ in range(3):
            assert len(script.wait()) == 1
        script.respond(number, REQUEST_IN_PROGRESS)
    assert script.state is ESTABLISHED


# 5.1.5, 5.1.6, 5.2.5, 5.2.6: more streams.


def test_outgoing_streams_are_used_after_the_answer(script: Reconfigured) -> None:
    ticket = script.add(outgoing=2)
    assert script.said() == [Said(ADD_OUT, 0, added=2)]
    with pytest.raises(ValueError, match="stream must be between 0 and 15"):
        script.association.send(STREAMS, b"x")
    script.respond(0)
    assert ticket.is_ok
    assert script.events() == [StreamsAdded(STREAMS + 2, STREAMS, "ok")]
    assert script.association.outgoing_streams == STREAMS + 2
    script.write(b"x", sid=STREAMS + 1)
    assert script.expect(DATA).one(DATA).ssn == 0
    with pytest.raises(ValueError, match="stream must be between 0 and 17"):
        script.association.send(STREAMS + 2, b"x")


def test_duplicate_answers_add_no_streams_twice(script: Reconfigured) -> None:
    script.add(outgoing=2)
    for _ in range(3):
        script.respond(0)
        script.respond(0, DENIED)
    assert script.association.outgoing_streams == STREAMS + 2


def test_refused_streams(script: Reconfigured) -> None:
    ticket = script.add(outgoing=2, incoming=3)
    assert script.said() == [Said(ADD_OUT, 0, added=2), Said(ADD_IN, 1, added=3)]
    script.send(pack_reconfig([pack_response(script.ours(0), PERFORMED), pack_response(script.ours(1), DENIED)]))
    assert (ticket.is_done, code(ticket)) == (True, DENIED)
    assert script.events() == [StreamsAdded(STREAMS + 2, STREAMS, "denied")]


@pytest.mark.parametrize("with_response", [False, True])
def test_incoming_streams_are_added_by_the_peer(with_response: bool) -> None:
    script = Reconfigured(Config(heartbeat_interval=None, reconfig_allowed=frozenset()))
    ticket = script.add(incoming=3)
    assert script.said() == [Said(ADD_IN, 0, added=3)]
    if with_response:  # usrsctp
        script.respond(0)
        assert ticket.is_ok
    assert script.request(pack_add_streams(script.theirs(0), 3, True)) == [result(0, PERFORMED)]
    assert ticket.is_ok
    assert script.association.incoming_streams == STREAMS + 3
    assert script.events() == [StreamsAdded(STREAMS, STREAMS + 3, "ok")]
    script.send(script.data(0, sid=STREAMS + 2))
    assert script.user.messages[-1][0] == STREAMS + 2
    assert script.request(pack_add_streams(script.theirs(1), 3, True)) == [result(1, DENIED)]


def test_the_peer_adds_streams_up_to_our_limit() -> None:
    script = Reconfigured(Config(heartbeat_interval=None, max_incoming_streams=STREAMS + 4))
    assert script.request(pack_add_streams(script.theirs(0), 5, True)) == [result(0, DENIED)]
    assert script.request(pack_add_streams(script.theirs(1), 4, True)) == [result(1, PERFORMED)]
    assert script.request(pack_add_streams(script.theirs(2), 1, True)) == [result(2, DENIED)]
    assert script.association.incoming_streams == STREAMS + 4
    assert script.events() == [StreamsAdded(STREAMS, STREAMS + 4, "ok")]


def test_there_are_never_more_than_65535_streams(script: Reconfigured) -> None:
    assert script.request(pack_add_streams(script.theirs(0), 65535 - STREAMS, True)) == [result(0, PERFORMED)]
    assert script.request(pack_add_streams(script.theirs(1), 1, True)) == [result(1, DENIED)]
    assert script.request(pack_add_streams(script.theirs(2), 65535, False)) == [result(2, DENIED)]


def test_the_peer_asks_us_to_add_streams(script: Reconfigured) -> None:
    request = pack_add_streams(script.theirs(0), 3, False)
    assert script.request(request) == [Said(ADD_OUT, 0, added=3)]
    assert script.request(request) == [Said(ADD_OUT, 0, added=3)]
    script.respond(0)
    assert script.request(request) == [result(0, PERFORMED)]
    assert script.association.outgoing_streams == STREAMS + 3
    assert script.events() == [StreamsAdded(STREAMS + 3, STREAMS, "ok")]


# 3.1 and 5.2.1: what may stand in a chunk.


@pytest.mark.parametrize(
    "kinds", [(IN, OUT), (OUT, OUT), (TSNS, OUT), (ADD_IN, ADD_OUT), (OUT, RESPONSE), (RESPONSE, TSNS), (RESPONSE,) * 3]
)
def test_other_combinations_are_a_violation(script: Reconfigured, kinds: tuple[int, ...]) -> None:
    ticket = script.reset([1])
    script.take()
    packers = {
        OUT: script.out_request(0, 1),
        IN: pack_incoming_reset(script.theirs(0)),
        TSNS: pack_tsn_reset(script.theirs(0)),
        RESPONSE: pack_response(script.ours(0), PERFORMED),
        ADD_IN: pack_add_streams(script.theirs(0), 1, False),
        ADD_OUT: pack_add_streams(script.theirs(0), 1, True),
    }
    script.send(pack_reconfig([packers[kind] for kind in kinds]))
    assert [code for code, _ in script.expect(ERROR).one(ERROR).causes] == [CAUSE_PROTOCOL_VIOLATION]
    assert script.events() == []
    assert not ticket.is_done
    assert script.state is ESTABLISHED


def test_unknown_parameters_are_reported_if_they_ask_for_it(script: Reconfigured) -> None:
    script.send(tlv.pack_enclosing(RE_CONFIG << 8, tlv.pack(0x40DE, b"what") + pack_tsn_reset(script.theirs(0))))
    packet = script.take()[0]
    assert [code for code, _ in packet.one(ERROR).causes] == [CAUSE_UNRECOGNIZED_PARAMETERS]
    assert RE_CONFIG not in packet.kinds  # this type asks for the rest of the chunk to be discarded


def test_an_empty_chunk_is_counted(script: Reconfigured) -> None:
    script.send(tlv.pack(RE_CONFIG << 8))
    script.expect_nothing()
    assert script.association.statistics.unexpected_chunks == 1


def test_a_malformed_chunk_is_counted(script: Reconfigured) -> None:
    script.send(tlv.pack(RE_CONFIG << 8, bytes.fromhex("000d0100") + bytes(20)))
    script.expect_nothing()
    assert script.association.statistics.malformed_packets == 1


def test_a_sack_goes_with_the_answer(script: Reconfigured) -> None:
    script.send(script.data(0))
    script.take()
    script.send(script.data(1))
    script.expect_nothing()  # delayed
    script.send(pack_reconfig([script.out_request(0, 2, last_tsn=1)]))
    script.expect(RE_CONFIG, SACK)


# The end.


def test_shutdown_gives_up_what_has_not_left_and_delivers_what_was_written(script: Reconfigured) -> None:
    script.write_packets(20)
    sent = len(script.take())
    ticket = script.reset([0])
    script.shutdown()
    assert ticket.is_done
    assert "shutting down" in str(ticket.error)
    while sent < 20:
        script.send(script.sack(sent - 1))
        sent += sum(len(packet.all(DATA)) for packet in script.take())
    script.send(script.sack(19))
    script.expect(SHUTDOWN)
    with pytest.raises(ReconfigError, match="shutdown-sent"):
        script.association.reconfig.reset_tsns()


def test_shutdown_gives_up_all_that_waits_and_tells_the_user(script: Reconfigured) -> None:
    """What the peer has asked for is among it: it can't be answered any more."""
    script.reset([1])
    tickets = [script.add(1), script.reset_tsns(), script.reset(None, [4])]
    script.take()
    assert script.request(pack_incoming_reset(script.theirs(0), [7])) == []
    script.shutdown()
    assert [ticket.is_done for ticket in tickets] == [True, True, True]
    assert sorted(script.events(), key=repr) == [
        StreamsAdded(16, 16, "failed"),
        StreamsReset(False, (4,), "failed"),
        StreamsReset(True, (7,), "failed"),
        TsnsReset("failed"),
    ]


@pytest.mark.parametrize("under_way", [[1], []])
def test_what_waits_for_a_reset_that_is_given_up_leaves_unless_another_is_under_way(
    script: Reconfigured, under_way: list[int]
) -> None:
    """The peer may have carried that out, and then takes the next message for the stream's first."""
    script.reset(under_way)
    script.reset([1, 2])
    script.take()
    for sid in (1, 2):
        script.write(b"%d" % sid, sid=sid)
    script.expect_nothing()
    script.shutdown()
    sent = [chunk.data for packet in script.take() for chunk in packet.all(DATA)]
    assert sent == ([b"2"] if under_way else [])
    script.respond(0)
    rest = [chunk.data for packet in script.take() for chunk in packet.all(DATA)]
    assert sorted(sent + rest) == [b"1", b"2"]


def test_the_peer_may_reset_its_streams_while_we_shut_down(script: Reconfigured) -> None:
    script.association.reconfig.reset_streams(None, [1])
    script.shutdown()
    assert script.state is SHUTDOWN_SENT
    script.take()
    script.send(pack_reconfig([script.out_request(0, 2)]))
    assert result(0, PERFORMED) in [said for packet in script.take() for said in script.parameters(packet)]
    script.send(pack_reconfig([pack_incoming_reset(script.theirs(1), [2])]))
    assert result(1, DENIED) in [said for packet in script.take() for said in script.parameters(packet)]


def test_the_end_ends_those_who_wait(script: Reconfigured) -> None:
    tickets = [script.reset([1]), script.reset_tsns(), script.add(1)]
    script.send(control.pack_abort(b""))
    assert all(ticket.is_done and not ticket.is_ok for ticket in tickets)


# Hostile input.


@pytest.mark.parametrize("seed", range(20))
def test_random_requests_do_no_harm(seed: int) -> None:
    source = random.Random(seed)
    script = Reconfigured()
    tsn = 0
    number = 0
    for _ in range(300):
        if source.random() < 0.1 and script.state is ESTABLISHED:
            try:
                script.reset([source.randrange(STREAMS)], [])
                script.write(bytes(2000), sid=source.randrange(STREAMS))
            except ReconfigError:
                pass
        parameters = []
        for _ in range(source.choice([1, 1, 2, 3])):
            wire_number = script.theirs(number + source.choice([0, 0, 0, 1, -1, 1000]))
            streams = [source.randrange(20) for _ in range(source.choice([0, 1, 2, 400]))]
            parameters.append(
                source.choice(
                    [
                        pack_outgoing_reset(
                            wire_number,
                            script.ours(source.randrange(5)),
                            script.theirs(tsn + source.randrange(-2, 5)),
                            streams,
                        ),
                        pack_incoming_reset(wire_number, streams),
                        pack_tsn_reset(wire_number) if source.random() < 0.1 else pack_incoming_reset(wire_number),
                        pack_add_streams(wire_number, source.choice([0, 1, 65535]), source.random() < 0.5),
                        pack_response(script.ours(source.randrange(100)), source.randrange(8)),
                        pack_tsn_response(
                            script.ours(source.randrange(100)), source.randrange(8), source.getrandbits(32), 5
                        ),
                    ]
                )
            )
            number += source.random() < 0.5
        chunk = bytearray(pack_reconfig(parameters))
        if source.random() < 0.3:
            for _ in range(3):
                chunk[source.randrange(4, len(chunk))] = source.getrandbits(8)
        script.send(bytes(chunk))
        sent = script.take()
        answers = [each for packet in sent for each in packet.all(RE_CONFIG)]
        assert len(answers) <= 4
        assert sum(len(each.value) for each in answers) < 1280 + 4 * len(chunk)
    data = script.association._parts.data
    if data is not None and data.reconfig is not None:
        assert len(data.reconfig._answers) <= 2
        assert len(data.reconfig.requester.queue) < 100
