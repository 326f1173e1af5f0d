"""RFC 3758 section 3.5 and RFC 7496 section 3: messages that are given up, and what the peer is told of it."""

from __future__ import annotations

from struct import iter_unpack, unpack_from

import pytest
from support.on_terms import send_on_terms
from support.script import B, Chunk, E, Packet, Script

from asyncsctp.config import Config
from asyncsctp.errors import MessageTooLarge
from asyncsctp.events import SendFailed
from asyncsctp.handlers.data.sender import Sender
from asyncsctp.outbound.message import LIMITED, PRIORITY, TIMED, OutboundMessage, Terms
from asyncsctp.wire.constants import DATA, FORWARD_TSN, I_DATA, I_FORWARD_TSN, SACK

CONFIG = Config(heartbeat_interval=None, mtu=1200, max_burst=None)
PR = frozenset({FORWARD_TSN})
INTERLEAVED = frozenset({FORWARD_TSN, I_DATA, I_FORWARD_TSN})


def partial(**changes: object) -> Script:
    return Script(CONFIG.replace(**changes), extensions=PR)


def interleaved() -> Script:
    return Script(CONFIG.replace(interleaving=True), extensions=INTERLEAVED)


def submit(
    script: Script,
    data: bytes,
    policy: int,
    bound: float,
    *,
    sid: int = 0,
    unordered: bool = False,
    context: object = 7,
) -> OutboundMessage:
    message = send_on_terms(script.association, sid, data, Terms(context, policy, bound), unordered=unordered)
    script.flush()
    return message


def forwarded(script: Script, packet: Packet) -> tuple[int, list[tuple[int, int]]]:
    """New cumulative TSN, and stream and SSN of each entry, of the FORWARD TSN in a packet."""
    value = packet.one(FORWARD_TSN).value
    tsn = unpack_from("!I", value)[0] - script.ours(0) & 0xFFFFFFFF
    return tsn, list(iter_unpack("!HH", value[4:]))


def i_forwarded(script: Script, packet: Packet) -> tuple[int, list[tuple[int, int, int]]]:
    value = packet.one(I_FORWARD_TSN).value
    return unpack_from("!I", value)[0] - script.ours(0) & 0xFFFFFFFF, list(iter_unpack("!HHI", value[4:]))


def datas(packets: list[Packet]) -> list[Chunk]:
    return [chunk for packet in packets for chunk in packet.all(DATA)]


def failures(script: Script) -> list[SendFailed]:
    return script.user.failed


def miss(script: Script, cumulative: int, last: int) -> None:
    """Three SACKs that lack the TSN after `cumulative`, and report those up to `last` one by one."""
    for highest in range(cumulative + 2, last + 1):
        script.send(script.sack(cumulative, [(cumulative + 2, highest)]))


class TestNegotiation:
    @pytest.mark.parametrize("policy", [TIMED, LIMITED, PRIORITY])
    def test_no_policy_is_accepted_that_the_peer_was_not_offered(self, policy: int) -> None:
        script = Script(CONFIG)
        with pytest.raises(ValueError, match="not negotiated"):
            submit(script, b"x", policy, 1.0)
        assert script.take() == []
        assert script.association.buffered == 0

    def test_interleaving_takes_a_forward_tsn_of_its_own(self) -> None:
        """RFC 8260 section 2.3.1: only if both have listed it, or FORWARD TSN beside I-DATA, as Linux does."""
        script = Script(CONFIG.replace(interleaving=True), extensions=frozenset({I_DATA}))
        with pytest.raises(ValueError, match="not negotiated"):
            submit(script, b"x", TIMED, 1.0)


class TestLimitedRetransmissions:
    """RFC 7496 section 3.1."""

    def test_the_first_retransmission_is_one_too_many(self) -> None:
        script = partial()
        submit(script, b"lost", LIMITED, 0, sid=3)
        script.write(b"a", b"b", b"c")
        script.take()
        miss(script, -1, 3)
        packet = script.expect(FORWARD_TSN)
        assert forwarded(script, packet) == (0, [(3, 0)])
        assert failures(script) == [SendFailed(3, 0, b"lost", 7, True, "it was retransmitted as often as it may be")]
        script.send(script.sack(3))
        assert script.association.buffered == 0
        script.advance(100.0)
        assert script.take() == []

    def test_as_many_as_allowed_are_sent(self) -> None:
        script = partial()
        submit(script, b"lost", LIMITED, 2)
        assert len(datas(script.take())) == 1
        assert len(datas(script.wait())) == 1  # T3-rtx
        assert len(datas(script.wait())) == 1
        assert [packet.kinds for packet in script.wait()] == [[FORWARD_TSN]]

    def test_congestion_is_reacted_to_all_the_same(self) -> None:
        """RFC 3758 section 3.5 F5."""
        script = partial()
        submit(script, b"lost", LIMITED, 0)
        script.take()
        script.wait()
        assert script.cwnd == script.path().mtu - 28 or script.cwnd < 2 * script.path().mtu
        assert script.rto == 2 * CONFIG.rto_initial

    def test_a_fragmented_message_is_abandoned_whole(self) -> None:
        """A3: also what the peer has reported."""
        script = partial()
        submit(script, bytes(3000), LIMITED, 0)
        script.write(*[b"x"] * 3)
        assert len(datas(script.take())) == 6
        for highest in (3, 4, 5):
            script.send(script.sack(0, [(2, highest)]))
        assert forwarded(script, script.expect(FORWARD_TSN)) == (2, [(0, 0)])
        script.send(script.sack(5))
        assert script.association.buffered == 0


class TestTimed:
    """RFC 3758 section 4.1."""

    def test_what_has_not_left_by_then_never_leaves(self) -> None:
        script = partial()
        script.write_packets(20)
        sent = len(datas(script.take()))
        assert sent < 20
        message = submit(script, b"late", TIMED, script.now + 0.25, sid=2)
        script.advance(0.2)
        assert failures(script) == []
        script.advance(0.06)
        assert failures(script) == [SendFailed(2, 0, b"late", 7, False, "its lifetime is over")]
        assert message.tsn < 0
        while script.association.buffered:
            acknowledge(script)
            assert not any(chunk.sid == 2 for chunk in datas(script.take()))
        assert FORWARD_TSN not in [kind for packet in script.take() for kind in packet.kinds]

    def test_what_is_in_flight_is_given_up_when_it_would_be_sent_again(self) -> None:
        script = partial()
        submit(script, b"x", TIMED, script.now + 0.25)
        script.take()
        script.advance(0.5)
        assert failures(script) == []
        assert forwarded(script, script.wait()[0]) == (0, [(0, 0)])
        assert [failure.sent for failure in failures(script)] == [True]

    def test_what_has_been_acknowledged_is_safe(self) -> None:
        script = partial()
        submit(script, b"x", TIMED, script.now + 0.25)
        script.take()
        script.send(script.sack(0))
        script.advance(10.0)
        assert failures(script) == []
        assert script.take() == []

    def test_a_message_half_sent_is_cut_off(self) -> None:
        """Its last TSN stands for what never left, and the next message of the stream has the next SSN."""
        script = partial()
        submit(script, bytes(40_000), TIMED, script.now + 0.25, sid=1)
        script.write(b"next", sid=1)
        sent = datas(script.take())
        assert sent[0].flags & B
        assert not any(chunk.flags & E for chunk in sent)
        script.advance(0.25)
        packets = script.take()
        assert forwarded(script, packets[0]) == (len(sent), [(1, 0)])
        [following] = datas(packets)
        assert (following.data, following.tsn, following.ssn) == (b"next", len(sent) + 1, 1)
        script.send(script.sack(len(sent) + 1))
        assert script.association.buffered == 0

    def test_expired_at_once(self) -> None:
        script = partial()
        submit(script, b"x", TIMED, script.now)
        assert script.take() == []
        assert len(failures(script)) == 1


class TestPriority:
    """RFC 7496 section 3.2."""

    def full(self) -> Script:
        script = partial(send_buffer=24_000)
        script.write_packets(10)
        script.take()
        return script

    def test_what_matters_less_makes_room(self) -> None:
        script = self.full()
        for bound in (5, 9, 7):
            submit(script, bytes([bound]) * 4000, PRIORITY, bound, context=bound)
        assert failures(script) == []
        submit(script, bytes(4000), PRIORITY, 6, context=6)
        assert [(failure.context, failure.sent) for failure in failures(script)] == [(9, False)]
        submit(script, bytes(6000), PRIORITY, 1, context=1)
        assert [failure.context for failure in failures(script)] == [9, 7, 6]

    def test_reliable_messages_matter_most_and_never_make_room(self) -> None:
        script = self.full()
        submit(script, bytes(9000), PRIORITY, 0, context="least")
        script.write(bytes(9000))
        assert [failure.context for failure in failures(script)] == ["least"]
        before = script.association.buffered
        submit(script, bytes(9000), PRIORITY, 0)
        assert script.association.buffered == before + 9000

    def test_equals_stay(self) -> None:
        script = self.full()
        submit(script, bytes(12_000), PRIORITY, 4)
        submit(script, bytes(12_000), PRIORITY, 4)
        assert failures(script) == []


class TestPriorityInFlight:
    """RFC 7496 section 3.2: the buffer is full of what has left and is not acknowledged."""

    def test_what_has_left_makes_room(self) -> None:
        script = partial(send_buffer=5000)
        for bound in (1, 3, 2):
            submit(script, bytes([bound]) * 1000, PRIORITY, bound, sid=bound, context=bound)
        script.take()
        script.write(bytes(4000))
        assert [event.context for event in failures(script)] == [3, 2]
        assert all(event.sent for event in failures(script))
        script.write(bytes(1000))
        assert [event.context for event in failures(script)] == [3, 2, 1]
        tsn, entries = forwarded(script, next(packet for packet in script.take() if FORWARD_TSN in packet.kinds))
        assert (tsn, sorted(entries)) == (2, [(1, 0), (2, 0), (3, 0)])

    def test_what_waits_goes_before_what_has_left(self) -> None:
        script = Script(CONFIG.replace(send_buffer=3000), extensions=PR, peer_rwnd=2048)
        for number in range(3):
            submit(script, bytes(1000), PRIORITY, 5, sid=number, context=number)
        assert len(datas(script.take())) == 2
        submit(script, bytes(1000), PRIORITY, 4, sid=3, context=3)
        assert [(event.context, event.sent) for event in failures(script)] == [(2, False)]

    def test_what_the_peer_has_is_not_given_up(self) -> None:
        script = partial(send_buffer=3000)
        for number in range(3):
            submit(script, bytes(1000), PRIORITY, 5 - number, sid=number, context=number)
        script.send(script.sack(-1, [(1, 1)]))
        script.take()
        submit(script, bytes(3000), PRIORITY, 0, sid=5, context=5)
        assert [event.context for event in failures(script)] == [0, 2]

    def test_what_was_acknowledged_in_the_same_batch_is_not_given_up(self) -> None:
        script = partial(send_buffer=2000)
        for number in range(2):
            submit(script, bytes(1000), PRIORITY, 5, sid=number, context=number)
        script.arrive(script.sack(0))
        submit(script, bytes(1000), PRIORITY, 0, sid=5, context=5)
        assert failures(script) == []


class TestForwardTsn:
    """Section 3.5 A4, A5, C1 to C5."""

    def lost(self, script: Script, *sids: int, then: int = 3) -> None:
        for sid in sids:
            submit(script, b"lost", LIMITED, 0, sid=sid)
        script.write(*[b"x"] * then)
        script.take()

    def test_each_stream_is_told_once_with_its_highest_number(self) -> None:
        script = partial()
        self.lost(script, 4, 5, 4)
        for highest in (3, 4, 5):
            script.send(script.sack(-1, [(3, highest)]))
        assert forwarded(script, script.expect(FORWARD_TSN)) == (2, [(4, 1), (5, 0)])

    def test_unordered_messages_have_no_entry(self) -> None:
        script = partial()
        submit(script, b"lost", LIMITED, 0, unordered=True)
        script.write(b"x", b"x", b"x")
        script.take()
        miss(script, -1, 3)
        assert forwarded(script, script.expect(FORWARD_TSN)) == (0, [])

    def test_it_waits_for_what_is_not_abandoned(self) -> None:
        script = partial()
        script.write(b"reliable")
        self.lost(script, 4)
        for highest in (2, 3, 4):
            script.send(script.sack(-1, [(2, highest)]))
        packets = script.take()
        assert [chunk.data for chunk in datas(packets)] == [b"reliable"]
        assert not any(FORWARD_TSN in packet.kinds for packet in packets)
        script.send(script.sack(0, [(2, 4)]))
        assert forwarded(script, script.expect(FORWARD_TSN)) == (1, [(4, 0)])

    def test_it_is_sent_again_until_it_is_answered(self) -> None:
        script = partial()
        submit(script, b"lost", LIMITED, 0)
        script.take()
        times = []
        for _ in range(3):
            [packet] = script.wait()
            assert forwarded(script, packet) == (0, [(0, 0)])
            times.append(packet.at)
        assert times[2] - times[1] == 2 * (times[1] - times[0])
        script.send(script.sack(0))
        script.advance(1000.0)
        assert script.take() == []

    def test_a_peer_that_never_answers_is_given_up(self) -> None:
        script = partial(max_retrans=3, path_max_retrans=3)
        submit(script, b"lost", LIMITED, 0)
        script.advance(1000.0)
        assert script.user.is_closed

    def test_a_sack_that_does_not_know_of_it_brings_another_after_a_round_trip(self) -> None:
        script = partial()
        self.lost(script, 4)
        miss(script, -1, 3)
        script.expect(FORWARD_TSN)
        script.send(script.sack(-1, [(1, 3)]))
        assert script.take() == []
        script.advance(0.9)
        script.send(script.sack(-1, [(1, 3)]))
        script.advance(0.2)
        packets = script.take()
        assert [packet.kinds for packet in packets] == [[FORWARD_TSN]]

    def test_entries_that_do_not_fit_lower_the_point(self) -> None:
        """C4."""
        script = Script(CONFIG.replace(mtu=576), extensions=PR, streams=400)
        script.path().congestion.cwnd = 1 << 20
        room = (script.payload - 8) // 4
        for sid in range(200):
            submit(script, b"x", LIMITED, 0, sid=sid)
        script.take()
        [packet] = script.wait()
        assert forwarded(script, packet) == (room - 1, [(sid, 0) for sid in range(room)])
        script.send(script.sack(room - 1))
        [packet] = [packet for packet in script.take() if FORWARD_TSN in packet.kinds]
        assert forwarded(script, packet)[0] == 199

    def test_what_is_abandoned_does_not_grow_cwnd(self) -> None:
        """A2."""
        script = partial()
        self.lost(script, 4)
        miss(script, -1, 3)
        script.take()
        before = script.cwnd
        script.send(script.sack(3))
        assert script.cwnd == before

    def test_shutdown_waits_until_the_peer_knows(self) -> None:
        script = partial()
        self.lost(script, 4)
        script.shutdown()
        miss(script, -1, 3)
        [packet] = script.take()
        assert FORWARD_TSN in packet.kinds
        script.send(script.sack(3))
        assert [packet.kinds for packet in script.take()] == [[7]]


class TestInterleaved:
    """RFC 8260 section 2.3.1."""

    def test_the_message_is_skipped_by_its_number(self) -> None:
        script = interleaved()
        for unordered in (False, True):
            submit(script, b"lost", LIMITED, 0, sid=5, unordered=unordered)
        script.write(b"x", b"x", b"x")
        script.take()
        for highest in (2, 3, 4):
            script.send(script.sack(-1, [(2, highest)]))
        assert i_forwarded(script, script.expect(I_FORWARD_TSN)) == (1, [(5, 0, 0), (5, 1, 0)])

    def test_chunks_of_others_between_its_own_are_left_alone(self) -> None:
        script = interleaved()
        message = submit(script, bytes(6000), LIMITED, 0, sid=1)
        script.association.send(2, bytes(6000))
        script.flush()
        script.take()
        script.association.sender().withdraw(message)
        script.flush()
        kinds = [kind for packet in script.take() for kind in packet.kinds]
        assert I_FORWARD_TSN in kinds
        assert script.association.buffered == 6000


class TestWithdrawing:
    def test_a_plain_message_that_has_left_with_others(self) -> None:
        script = partial()
        messages = [script.association.send(0, bytes([n])) for n in range(3)]
        script.flush()
        script.take()
        sender = script.association.sender()
        assert sender.withdraw(messages[1])
        assert not sender.withdraw(messages[1])
        script.flush()
        script.take()
        script.send(script.sack(0, [(2, 2)]))
        assert forwarded(script, script.expect(FORWARD_TSN)) == (1, [(0, 1)])
        script.send(script.sack(2))
        assert not sender.withdraw(messages[2])
        assert [failure.reason for failure in failures(script)] == ["it was withdrawn"]

    def test_a_plain_long_message_that_has_left_in_part(self) -> None:
        script = partial()
        message = script.association.send(1, bytes(40_000))
        script.flush()
        sent = datas(script.take())
        assert script.association.sender().withdraw(message)
        script.flush()
        assert forwarded(script, script.expect(FORWARD_TSN)) == (len(sent), [(1, 0)])

    def test_one_that_has_not_left_takes_no_negotiation(self) -> None:
        script = Script(CONFIG)
        script.write_packets(20)
        message = script.association.send(1, b"x")
        assert script.association.sender().withdraw(message)
        script.write(bytes(40_000), sid=3)
        with pytest.raises(ValueError, match="not negotiated"):
            script.association.sender().withdraw(script_first(script))

    def test_many_in_the_middle_of_a_queue_leave_nothing_behind(self) -> None:
        """The others leave in their order, and memory does not grow with what was withdrawn."""
        script = partial()
        script.write_packets(20)
        sender = script.association.sender()
        kept = []
        for number in range(5000):
            message = script.association.send(0, b"%d" % number)
            if number % 500:
                assert sender.withdraw(message)
            else:
                kept.append(message.data)
        stream = transmission(script).queue._streams[0]
        assert len(stream.messages) < 200
        seen = []
        while script.association.buffered:
            acknowledge(script)
            seen += [chunk.data for chunk in datas(script.take())]
        assert [data for data in seen if len(data) < 10] == kept


class TestWatching:
    def test_what_is_acknowledged_is_told_with_path_and_transmissions(self) -> None:
        script = partial()
        message = script.association.send(0, b"x")
        assert script.association.sender().watch(message, "me")
        script.flush()
        script.take()
        script.wait()
        script.send(script.sack(0))
        assert script.user.settled == [("me", "", "10.0.0.2", 2)]
        assert not script.association.sender().watch(message, "me")

    def test_watched_late(self) -> None:
        script = partial()
        messages = [script.association.send(0, bytes(size)) for size in (1, 3000, 1)]
        script.flush()
        script.take()
        for number, message in enumerate(messages):
            assert script.association.sender().watch(message, number)
        script.send(script.sack(2))
        assert [watcher for watcher, *_ in script.user.settled] == [0]
        script.send(script.sack(3))
        assert [watcher for watcher, *_ in script.user.settled] == [0, 1]
        script.send(script.sack(4))
        assert [watcher for watcher, *_ in script.user.settled] == [0, 1, 2]

    def test_the_end_of_the_association_is_told(self) -> None:
        script = partial()
        message = script.association.send(0, b"x")
        script.association.sender().watch(message, "me")
        script.flush()
        script.association.abort(script.now, b"")
        assert [(watcher, bool(reason)) for watcher, reason, *_ in script.user.settled] == [("me", True)]


def transmission(script: Script) -> Sender:
    found = script.association._parts.established.sender
    return found


def acknowledge(script: Script) -> None:
    """A SACK for all that has been sent."""
    outstanding = transmission(script).outstanding
    script.send(script.sack(outstanding.next_tsn - 1 - script._local_tsn))


def script_first(script: Script) -> OutboundMessage:
    """The message of which a part has left."""
    queue = transmission(script).queue
    script.association.flush(script.now)
    while queue._begun is None:
        acknowledge(script)
    return queue._begun.first()


def test_a_sack_is_bundled_with_it() -> None:
    script = partial()
    submit(script, b"lost", LIMITED, 0)
    script.take()
    script.arrive(script.data(0))
    [packet] = script.wait(0.0) or script.wait()
    assert SACK in packet.kinds


def test_a_list_of_messages_is_taken_whole_or_not_at_all() -> None:
    """Also where others have a policy."""
    script = partial(max_message_size=100)
    submit(script, b"x", LIMITED, 0)
    script.take()
    before = script.association.buffered
    with pytest.raises(MessageTooLarge):
        script.association.send_many(0, [b"short", bytes(101)], 0, False, False)
    assert script.association.buffered == before
    script.association.send_many(0, [b"short", b"shorter"], 0, False, False)
    script.flush()
    assert [chunk.data for chunk in datas(script.take())] == [b"short", b"shorter"]
