"""RFC 9260 section 9.2: shutdown, from either side."""

from __future__ import annotations

import pytest
from support.narrowing import so_far
from support.script import PEER, PEER_TAG, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, AssociationClosed, AssociationTimeout
from asyncsctp.events import AssociationDown, PeerShutdown
from asyncsctp.handlers.state import (
    CLOSED,
    COOKIE_WAIT,
    ESTABLISHED,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
    State,
)
from asyncsctp.wire import control
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_PROTOCOL_VIOLATION,
    DATA,
    SACK,
    SHUTDOWN,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)

SHUTDOWN_ACK_CHUNK = control.pack_shutdown_ack()
LONG = Config(heartbeat_interval=None, shutdown_guard=86400.0)


def shutdown_of_peer(script: Script, cumulative: int = -1) -> bytes:
    return control.pack_shutdown(script.ours(cumulative))


# Our side begins.


def test_shutdown_waits_until_all_is_acknowledged() -> None:
    """SHUTDOWN-PENDING until all outstanding data has been acknowledged; lost data is sent again."""
    script = Script()
    script.write_packets(8)
    script.shutdown()
    assert so_far(script.state) is SHUTDOWN_PENDING
    tsns = {tsn for packet in script.take() for tsn in packet.tsns}
    script.advance(1.0)
    assert script.expect(DATA).tsns == [0]
    while max(tsns) < 7:
        script.send(script.sack(max(tsns)))
        tsns |= {tsn for packet in script.take() for tsn in packet.tsns}
    assert so_far(script.state) is SHUTDOWN_PENDING
    script.send(script.sack(7))
    assert script.state is SHUTDOWN_SENT
    script.expect(SHUTDOWN)


def test_shutdown_names_the_last_tsn_and_ends_with_shutdown_complete() -> None:
    """The Cumulative TSN Ack of the peer's data; on SHUTDOWN ACK: stop T2, send SHUTDOWN COMPLETE, forget all."""
    script = Script()
    script.send(script.data(0), script.data(1))
    script.take()
    script.shutdown()
    assert script.expect(SHUTDOWN).one(SHUTDOWN).tsn == 1
    script.send(SHUTDOWN_ACK_CHUNK)
    packet = script.expect(SHUTDOWN_COMPLETE)
    assert (packet.tag, packet.chunks[0].flags) == (PEER_TAG, 0)
    assert script.state is CLOSED
    assert script.user.error is None
    assert script.user.events[-1] == AssociationDown(None)
    script.advance(1000.0)
    script.expect_nothing()


def test_an_acknowledgement_that_waits_leaves_with_the_shutdown() -> None:
    """MAY bundle a SACK: not every peer reads what a SHUTDOWN acknowledges."""
    script = Script()
    script.send(script.data(0))
    script.take()
    script.send(script.data(1))
    script.shutdown()
    packet = script.expect(SHUTDOWN, SACK)
    assert (packet.one(SHUTDOWN).tsn, packet.one(SACK).tsn) == (1, 1)


def test_no_messages_are_taken_from_then_on() -> None:
    """SHOULD reject any new data request in SHUTDOWN-PENDING, -SENT, -RECEIVED and -ACK-SENT."""
    ours = Script()
    ours.write(b"last")
    ours.shutdown()
    theirs = Script()
    theirs.write(b"last")
    theirs.send(shutdown_of_peer(theirs))
    for script, states in ((ours, (SHUTDOWN_PENDING, SHUTDOWN_SENT)), (theirs, (SHUTDOWN_RECEIVED, SHUTDOWN_ACK_SENT))):
        for state in states:
            assert script.state is state
            with pytest.raises(AssociationClosed):
                script.association.send(0, b"too late")
            script.send(script.sack(0))


def test_t2_sends_shutdown_again_with_what_has_come_since() -> None:
    """If the timer expires, MUST resend the SHUTDOWN with the updated last sequential TSN; RTO by section 6.3."""
    script = Script(LONG)
    script.shutdown()
    assert script.expect(SHUTDOWN).one(SHUTDOWN).tsn == -1
    start = script.now
    script.send(script.data(0))
    script.take()
    waited = []
    for _ in range(5):
        [packet] = script.wait()
        assert packet.one(SHUTDOWN).tsn == 0
        waited.append(script.now - start)
        start = script.now
    assert waited == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize("limit", [1, 10])
def test_t2_gives_up_after_association_max_retrans(limit: int) -> None:
    """SHOULD limit the retransmissions of SHUTDOWN; then destroy the TCB, and report the peer unreachable."""
    script = Script(Config(heartbeat_interval=None, shutdown_guard=86400.0, max_retrans=limit))
    script.shutdown()
    script.advance(10_000.0)
    assert [packet.kinds for packet in script.take()] == [[SHUTDOWN]] * (1 + limit)
    assert script.state is CLOSED
    assert isinstance(script.user.error, AssociationTimeout)


def test_data_of_the_peer_gives_it_more_time() -> None:
    """MUST restart T2, and SHOULD clear the retransmission count, as the peer sends all of its queued DATA chunks."""
    script = Script(Config(heartbeat_interval=None, shutdown_guard=86400.0, max_retrans=1))
    script.shutdown()
    script.take()
    for number in range(10):
        script.advance(script.rto - 0.1)
        script.expect_nothing()
        script.send(script.data(number))
        script.take()
        [packet] = script.wait()
        assert packet.kinds == [SHUTDOWN]
        script.send(script.data(number, ssn=0))
        script.take()
    assert script.state is SHUTDOWN_SENT


@pytest.mark.parametrize("paths", [1, 2])
def test_a_peer_that_says_other_things_is_told_again(paths: int) -> None:
    """Its HEARTBEATs are no sign that it has the SHUTDOWN: one was lost, and T2 runs on, and counts on."""
    script = Script(Config(heartbeat_interval=None, shutdown_guard=86400.0, max_retrans=4), paths=paths)
    script.shutdown()
    script.take()
    start = script.now
    again = []
    for number in range(100):
        script.advance(0.6)
        again += [packet.at - start for packet in script.take() if SHUTDOWN in packet.kinds]
        if so_far(script.state) is CLOSED:
            break
        script.send(control.pack_heartbeat(b"are you there?"), source=number % paths)
    expected = [1.0, 3.0, 7.0, 15.0] if paths == 1 else [1.0, 2.0, 4.0, 6.0]
    assert again == pytest.approx(expected)
    assert isinstance(script.user.error, AssociationTimeout)


def test_data_is_taken_in_shutdown_sent_and_each_packet_answered_by_a_shutdown() -> None:
    """MUST immediately respond to each packet with DATA with a SHUTDOWN; with gaps or duplicates, MUST send a SACK."""
    script = Script()
    script.shutdown()
    script.take()
    script.send(script.data(0, b"late"))
    packet = script.expect(SHUTDOWN, SACK)
    assert packet.one(SHUTDOWN).tsn == 0
    assert script.user.messages[-1][3] == b"late"
    script.send(script.data(2, ssn=2))
    packet = script.expect(SHUTDOWN, SACK)
    assert packet.one(SHUTDOWN).tsn == 0
    assert packet.one(SACK).gaps == ((2, 2),)
    script.send(script.data(0, ssn=0))
    assert script.expect(SHUTDOWN, SACK).one(SACK).duplicates == (0,)


def test_a_batch_of_packets_with_data_is_answered_by_one_shutdown() -> None:
    script = Script()
    script.shutdown()
    script.take()
    for tsn in range(6):
        script.arrive(script.data(tsn))
    script.flush()
    packets = script.take()
    assert [packet.one(SHUTDOWN).tsn for packet in packets if SHUTDOWN in packet.kinds] == [5]
    assert len([packet for packet in packets if SACK in packet.kinds]) <= 6


def test_no_data_is_bundled_with_a_shutdown() -> None:
    """Section 6.10, note."""
    script = Script()
    script.write(b"a" * 100)
    script.shutdown()
    script.send(script.sack(0))
    for packet in script.take():
        assert DATA not in packet.kinds or SHUTDOWN not in packet.kinds


def test_t5_ends_what_takes_too_long() -> None:
    """At the expiration of T5-shutdown-guard SHOULD send an ABORT; RECOMMENDED: 5 times RTO.Max."""
    script = Script()
    script.shutdown()
    start = script.now
    tsn = 0
    while script.state is SHUTDOWN_SENT:
        script.send(script.data(tsn))
        tsn += 1
        script.advance(0.9)
    assert script.take()[-1].one(ABORT).causes[0][0] == CAUSE_PROTOCOL_VIOLATION
    assert script.now - start == pytest.approx(300.0, abs=1.0)
    assert isinstance(script.user.error, AssociationAborted)


# The peer's side begins.


def test_a_shutdown_is_acknowledged_at_once_if_nothing_is_outstanding() -> None:
    """MUST send a SHUTDOWN ACK, start T2, enter SHUTDOWN-ACK-SENT; and the end is SHUTDOWN COMPLETE."""
    script = Script()
    script.send(shutdown_of_peer(script))
    script.expect(SHUTDOWN_ACK)
    assert so_far(script.state) is SHUTDOWN_ACK_SENT
    assert PeerShutdown() in script.user.events
    script.send(control.pack_shutdown_complete())
    script.expect_nothing()
    assert script.state is CLOSED
    assert script.user.error is None


def test_outstanding_data_is_delivered_first() -> None:
    """MUST continue to follow normal data transmission procedures until all is acknowledged."""
    script = Script()
    script.write_packets(6)
    sent = [tsn for packet in script.take() for tsn in packet.tsns]
    script.send(shutdown_of_peer(script))
    assert script.state is SHUTDOWN_RECEIVED
    script.expect_nothing()
    script.send(script.sack(sent[-1]))
    sent += [tsn for packet in script.take() for tsn in packet.tsns]
    assert sent == [0, 1, 2, 3, 4, 5]
    script.send(script.sack(5))
    script.expect(SHUTDOWN_ACK)


def test_the_cumulative_tsn_of_a_shutdown_acknowledges() -> None:
    """The receiver verifies by it that all its outstanding DATA was received; MUST continue responding to SHUTDOWNs."""
    script = Script()
    script.write(b"one", b"two")
    script.take()
    script.send(shutdown_of_peer(script, 0))
    script.expect_nothing()
    script.send(shutdown_of_peer(script, 1))
    script.expect(SHUTDOWN_ACK)


def test_a_shutdown_says_nothing_of_gaps() -> None:
    """Section 3.3.8: MUST NOT interpret the lack of a Gap Ack Block as a renege."""
    script = Script()
    for text in (b"0", b"1", b"2"):
        script.write(text)
    script.take()
    script.send(script.sack(-1, [(2, 2)]))
    script.send(shutdown_of_peer(script, -1))
    script.send(shutdown_of_peer(script, 0))
    script.advance(3.5)
    assert {tsn for packet in script.take() for tsn in packet.tsns} == {1}


@pytest.mark.parametrize("state", [ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT])
@pytest.mark.parametrize("far", [1, 1000, 0x70000000])
def test_a_shutdown_that_acknowledges_what_was_never_sent_is_one_all_the_same(state: State, far: int) -> None:
    """One stack puts a TSN of its own there. It acknowledges nothing: section 12.4 is about SACK."""
    script = Script()
    if state is not SHUTDOWN_SENT:
        script.write(b"one", b"two")
        script.send(script.sack(0))
    if state is not ESTABLISHED:
        script.shutdown()
    script.take()
    assert script.state is state
    last = -1 if state is SHUTDOWN_SENT else 1
    script.send(shutdown_of_peer(script, last + far))
    if state is not SHUTDOWN_SENT:
        assert so_far(script.state) is SHUTDOWN_RECEIVED
        script.expect_nothing()
        assert script.wait()[0].tsns == [1]
        script.send(script.sack(1))
    script.expect(SHUTDOWN_ACK)
    script.send(control.pack_shutdown_complete())
    assert script.user.is_closed
    assert script.user.error is None


def test_a_shutdown_from_the_past_still_shuts_down() -> None:
    script = Script()
    script.write(b"one")
    script.send(script.sack(0))
    script.take()
    script.send(shutdown_of_peer(script, -1))
    script.expect(SHUTDOWN_ACK)


def test_data_is_discarded_once_the_peer_has_shut_down() -> None:
    """Section 6: DATA is received in ESTABLISHED, SHUTDOWN-PENDING and SHUTDOWN-SENT; otherwise discarded."""
    script = Script()
    script.write(b"outstanding")
    script.take()
    script.send(shutdown_of_peer(script))
    script.send(script.data(0))
    script.expect_nothing()
    assert not script.user.messages


def test_the_users_shutdown_is_ignored_then() -> None:
    """In SHUTDOWN-RECEIVED, MUST ignore ULP shutdown requests."""
    script = Script()
    script.write(b"outstanding")
    script.take()
    script.send(shutdown_of_peer(script))
    script.shutdown()
    assert script.state is SHUTDOWN_RECEIVED
    script.expect_nothing()


def test_t2_sends_shutdown_ack_again_until_the_limit() -> None:
    """If T2 expires MUST resend SHUTDOWN ACK; SHOULD limit that to Association.Max.Retrans.

    All has been delivered both ways, and the peer has said so: that nobody is there for the last word is no error.
    """
    script = Script()
    script.send(shutdown_of_peer(script))
    start = script.now
    script.advance(10_000.0)
    packets = script.take()
    assert [packet.kinds for packet in packets] == [[SHUTDOWN_ACK]] * 11
    waited = [later.at - earlier.at for earlier, later in zip(packets, packets[1:], strict=False)]
    assert waited[:7] == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0])
    assert packets[0].at == start
    assert script.user.is_closed and script.user.error is None


@pytest.mark.parametrize("outstanding", [False, True])
def test_the_user_hears_when_nothing_is_missing_but_the_last_word(outstanding: bool) -> None:
    """In SHUTDOWN-RECEIVED our own data may still fail; not in SHUTDOWN-ACK-SENT."""
    script = Script()
    if outstanding:
        script.write(b"outstanding")
        script.take()
    assert not script.association.leave(script.now)
    script.send(shutdown_of_peer(script))
    assert script.user.completed == (not outstanding)
    assert outstanding or script.state is SHUTDOWN_ACK_SENT
    if outstanding:
        assert not script.association.leave(script.now)
        script.send(script.sack(0))
        assert script.user.completed
    assert script.association.leave(script.now)
    assert script.user.is_closed and script.user.error is None
    assert not script.association.leave(script.now)
    assert script.association.next_expiry == float("inf")


def test_the_guard_is_no_error_either_when_all_is_delivered() -> None:
    script = Script(Config(heartbeat_interval=None, shutdown_guard=20.0))
    script.shutdown()
    script.send(shutdown_of_peer(script))
    script.take()
    script.advance(25.0)
    assert {kind for packet in script.take() for kind in packet.kinds} == {SHUTDOWN_ACK}
    assert script.user.is_closed and script.user.error is None


def test_a_repeated_shutdown_is_acknowledged_again() -> None:
    script = Script()
    script.send(shutdown_of_peer(script))
    script.take()
    script.send(shutdown_of_peer(script))
    script.expect(SHUTDOWN_ACK)


# Both sides, and what gets lost.


def test_shutdowns_that_cross() -> None:
    """In SHUTDOWN-SENT a SHUTDOWN is answered by SHUTDOWN ACK, and SHUTDOWN-ACK-SENT is entered."""
    script = Script()
    script.shutdown()
    script.expect(SHUTDOWN)
    script.send(shutdown_of_peer(script))
    script.expect(SHUTDOWN_ACK)
    assert script.state is SHUTDOWN_ACK_SENT


def test_a_shutdown_ack_in_shutdown_ack_sent_ends_it() -> None:
    """MUST stop T2, send SHUTDOWN COMPLETE, and remove all record."""
    script = Script()
    script.send(shutdown_of_peer(script))
    script.expect(SHUTDOWN_ACK)
    script.send(SHUTDOWN_ACK_CHUNK)
    script.expect(SHUTDOWN_COMPLETE)
    assert script.user.error is None


def test_a_shutdown_in_shutdown_pending_turns_the_roles() -> None:
    script = Script()
    script.write(b"outstanding")
    script.shutdown()
    script.take()
    script.send(shutdown_of_peer(script))
    assert script.state is SHUTDOWN_RECEIVED
    script.send(script.sack(0))
    script.expect(SHUTDOWN_ACK)


def test_a_lost_shutdown_complete_is_answered_again_although_nothing_is_left() -> None:
    """Section 8.4 rule 5: SHUTDOWN COMPLETE with the T bit and the tag of the SHUTDOWN ACK."""
    script = Script()
    script.shutdown()
    script.send(SHUTDOWN_ACK_CHUNK)
    script.take()
    script.send(SHUTDOWN_ACK_CHUNK)
    [packet] = script.take()
    assert packet.kinds == [SHUTDOWN_COMPLETE]
    assert packet.chunks[0].flags == 1
    assert packet.tag == script.association.context.local_tag


def closed_by_us() -> Script:
    script = Script()
    script.shutdown()
    script.send(SHUTDOWN_ACK_CHUNK)
    script.take()
    return script


def test_what_is_late_does_not_abort_a_peer_that_waits_for_shutdown_complete() -> None:
    """Section 8.4 rule 8 is for packets of no association; this one is known to have ended well, and so the peer's."""
    script = closed_by_us()
    late = [script.data(0), script.sack(-1), shutdown_of_peer(script), control.pack_heartbeat(b"x")]
    for chunk in [*late, control.pack_cookie_echo(b"x"), control.pack_abort()]:
        script.send(chunk)
        script.send(control.pack_shutdown_ack(), control.pack_abort())
        script.expect_nothing()
    script.send(SHUTDOWN_ACK_CHUNK)
    script.expect(SHUTDOWN_COMPLETE)


def test_who_waits_for_shutdown_complete_has_it_however_many_strangers_ask_for_answers() -> None:
    script = closed_by_us()
    for number in range(1000):
        script.arrive(control.pack_heartbeat(b"x"), tag=number + 1)
    script.flush()
    assert len(script.take()) < 1000
    script.send(SHUTDOWN_ACK_CHUNK)
    script.expect(SHUTDOWN_COMPLETE)


def test_that_an_association_ended_well_is_forgotten_with_its_tag() -> None:
    """Section 5.3.1: the tag rests, and then it is nobody's."""
    script = closed_by_us()
    script.advance(241.0)
    script.send(script.data(0))
    assert script.expect(ABORT).chunks[0].flags == 1


def test_other_ends_are_not_remembered() -> None:
    script = Script()
    script.association.abort(script.now, b"")
    script.flush()
    script.take()
    script.send(script.data(0))
    script.expect(ABORT)


@pytest.mark.parametrize(
    ("tag", "reflected", "accepted"),
    [(None, False, True), (PEER_TAG, True, True), (None, True, False), (PEER_TAG, False, False)],
)
def test_8_5_1_c_a_shutdown_complete_needs_our_tag_or_the_t_bit_and_the_peers(
    tag: int | None, reflected: bool, accepted: bool
) -> None:
    script = Script()
    script.send(shutdown_of_peer(script))
    script.send(control.pack_shutdown_complete(reflected), tag=tag)
    assert (script.state is CLOSED) == accepted


@pytest.mark.parametrize("reflected", [False, True])
def test_8_5_1_c_a_shutdown_complete_means_nothing_in_any_other_state(reflected: bool) -> None:
    """MUST ignore it if not in SHUTDOWN-ACK-SENT."""
    script = Script()
    chunk = control.pack_shutdown_complete(reflected)
    tag = PEER_TAG if reflected else None
    script.send(chunk, tag=tag)
    assert so_far(script.state) is ESTABLISHED
    script.write(b"outstanding")
    script.shutdown()
    script.send(chunk, tag=tag)
    assert so_far(script.state) is SHUTDOWN_PENDING
    script.send(script.sack(0))
    script.send(chunk, tag=tag)
    assert script.state is SHUTDOWN_SENT


def test_a_shutdown_during_the_handshake_is_discarded() -> None:
    """In COOKIE-WAIT or COOKIE-ECHOED, SHOULD be silently discarded."""
    script = Script(up=False)
    script.take()
    script.send(control.pack_shutdown(7), tag=script.association.context.local_tag)
    script.expect_nothing()
    assert script.state is COOKIE_WAIT


def test_a_sack_means_nothing_in_shutdown_sent() -> None:
    """Section 6: a SACK received in any other state SHOULD be discarded."""
    script = Script()
    script.shutdown()
    script.take()
    script.send(script.sack(1000))
    script.expect_nothing()
    assert script.state is SHUTDOWN_SENT


def test_shutdown_tries_another_path() -> None:
    """Sections 6.4 and 9.2: what timed out goes to another active address."""
    script = Script(LONG, paths=2)
    script.shutdown()
    script.advance(4.0)
    assert [packet.to for packet in script.take()][:3] == [PEER[0], PEER[1], PEER[0]]
