"""What a user may do when it is called back, and when it is: after a step, never in the middle of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.script import PEER, B, Script

from asyncsctp.config import Config
from asyncsctp.errors import AssociationAborted, SCTPError
from asyncsctp.events import AssociationDown, Event, SendFailed, StreamsReset
from asyncsctp.handlers.state import CLOSED
from asyncsctp.outbound.message import OutboundMessage
from asyncsctp.wire.constants import ABORT, FORWARD_TSN, HEARTBEAT, HEARTBEAT_ACK, RE_CONFIG, SACK
from asyncsctp.wire.control import pack_abort, pack_heartbeat, pack_heartbeat_ack, read_heartbeat
from asyncsctp.wire.reconfig import (
    PERFORMED,
    REQUEST_IN_PROGRESS,
    pack_outgoing_reset,
    pack_reconfig,
    pack_response,
    read_reconfig,
)

CONFIG = Config(heartbeat_interval=None, nodelay=True)


def tell(script: Script, callback: str, do: Callable[[], object]) -> list[str]:
    """Do this in the first call of a callback; the names of all calls from then on, in order."""
    calls: list[str] = []
    names = ("on_message", "on_event", "on_outcome", "on_heartbeat", "on_writable", "on_closed")
    for name in names:
        setattr(script.user, name, wrapped(getattr(script.user, name), name, callback, do, calls))
    return calls


def abort(script: Script) -> None:
    script.association.abort(script.now, b"")
    script.endpoint.touch(script.association)


def wrapped(
    original: Callable[..., None], name: str, callback: str, do: Callable[[], object], calls: list[str]
) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        is_first = name == callback and callback not in calls
        calls.append(name)
        original(*arguments)
        if is_first:
            do()
            assert calls[-1] == name, "another call came from within"

    return call


def limited(script: Script, data: bytes) -> OutboundMessage:
    message = script.association.send(0, data, options={"context": data, "max_retransmits": 0})
    submission = script.association.submission
    assert submission is not None and submission.watch(message, data)
    script.flush()
    return message


def test_a_message_that_is_withdrawn_when_another_is_given_up_is_given_up_once() -> None:
    """T3-rtx finds both worth no retransmission; the watcher of the first withdraws the second."""
    script = Script(CONFIG, extensions=frozenset({FORWARD_TSN}))
    limited(script, b"first")
    second = limited(script, b"second")
    script.take()
    submission = script.association.sender()
    withdrawn: list[bool] = []
    calls = tell(script, "on_outcome", lambda: withdrawn.append(submission.withdraw(second)))
    script.advance(3.5)
    assert withdrawn == [False]
    assert [event.context for event in script.user.failed] == [b"first", b"second"]
    assert calls.count("on_outcome") == 2
    packets = script.take()
    assert packets[-1].one(FORWARD_TSN).value[:4] == script.ours(1).to_bytes(4, "big")
    script.send(script.sack(1))
    script.advance(60.0)
    script.expect_nothing()


@pytest.mark.parametrize("answered", [True, False])
def test_abort_when_a_heartbeat_is_told_of_leaves_nothing_behind(answered: bool) -> None:
    script = Script(CONFIG)
    association = script.association
    association.heartbeat(None, script.now)
    script.flush()
    calls = tell(script, "on_heartbeat", lambda: abort(script))
    if answered:
        chunk = script.expect(HEARTBEAT).one(HEARTBEAT)
        script.send(pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))))
    else:
        script.take()
        script.advance(5.0)
    assert calls[0] == "on_heartbeat" and calls[-1] == "on_closed"
    assert set(calls[1:-1]) == {"on_event"}, "that a path may have failed, and of the end"
    assert association.next_expiry == float("inf")
    script.expect(ABORT)


@pytest.mark.parametrize("callback", ["on_message", "on_event", "on_outcome", "on_heartbeat", "on_writable"])
def test_nothing_is_told_after_the_end(callback: str) -> None:
    """One packet brings an answer of each kind; the first callback aborts."""
    script = Script(CONFIG)
    association = script.association
    watched = association.send(0, b"watched")
    submission = association.submission
    assert submission is not None and submission.watch(watched, "me")
    association.heartbeat(None, script.now)
    script.flush()
    probes = [chunk for packet in script.take() for chunk in packet.all(HEARTBEAT)]
    answers = [pack_heartbeat_ack(read_heartbeat(chunk.value, 0, len(chunk.value))) for chunk in probes]
    calls = tell(script, callback, lambda: abort(script))
    script.send(script.data(0), *answers, script.sack(0))
    assert callback in calls
    assert calls[-1] == "on_closed" and calls.count("on_closed") == 1
    assert association.state is CLOSED
    assert isinstance(script.user.error, AssociationAborted)


def test_what_waits_to_be_told_comes_before_what_a_callback_brings_about() -> None:
    script = Script(CONFIG)
    script.write(b"lost")
    events: list[type[Event]] = []
    original = script.user.on_event

    def on_event(event: Event) -> None:
        events.append(type(event))
        original(event)

    script.user.on_event = on_event  # type: ignore[method-assign]
    tell(script, "on_event", lambda: abort(script))
    script.send(pack_abort(b""))
    assert events == [SendFailed, AssociationDown]
    error: SCTPError | None = script.user.error
    assert isinstance(error, AssociationAborted) and error.by_peer


def test_a_heartbeat_that_is_asked_for_in_a_callback_leaves_beside_the_answers_to_the_packet() -> None:
    """12.4 bounds answers, and that is none: it goes where the user wants it to."""
    script = Script(CONFIG, paths=2)
    tell(script, "on_message", lambda: script.association.heartbeat(PEER[1], script.now))
    script.send(pack_heartbeat(b"theirs"), script.data(0))
    assert sorted((packet.to, *packet.kinds) for packet in script.take()) == [
        (PEER[0], HEARTBEAT_ACK, SACK),
        (PEER[1], HEARTBEAT),
    ]
    script.expect_nothing()


def test_a_request_that_is_done_is_told_of_between_two_steps() -> None:
    """Its answer comes in the middle of a packet, and who waits for it ends the association."""
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    association = script.association
    ticket = association.reconfig.reset_streams([1], None)
    ticket.on_done = lambda: abort(script)
    script.flush()
    script.expect(RE_CONFIG)
    calls = tell(script, "on_message", lambda: None)
    script.send(pack_reconfig([pack_response(script.ours(0), PERFORMED)]), script.data(0))
    assert ticket.is_ok
    assert calls == ["on_message", "on_event", "on_event", "on_closed"], "of the reset, and of the end"
    script.expect(ABORT)
    script.advance(60.0)
    script.expect_nothing()


def reset_by_peer(script: Script, last: int) -> bytes:
    """The peer's first request: stream 1 begins anew behind this TSN."""
    return pack_reconfig([pack_outgoing_reset(script.theirs(0), script.theirs(-1), script.theirs(last), [1])])


def test_what_the_packet_with_a_reset_brings_by_new_numbers_comes_after_the_event() -> None:
    """RFC 6525 5.2.2 E3: for the user the event divides what came before from what comes after."""
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    calls = tell(script, "", lambda: None)
    old, new = script.data(0, b"old", sid=1), script.data(1, b"new", sid=1, ssn=0)
    script.send(old, reset_by_peer(script, 0), new, script.data(2, b"other", sid=2))
    assert [message[3] for message in script.user.messages] == [b"old", b"other", b"new"]
    assert calls == ["on_message", "on_message", "on_event", "on_message"]


def test_what_was_put_aside_until_a_reset_comes_after_the_event() -> None:
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    calls = tell(script, "", lambda: None)
    script.send(reset_by_peer(script, 0), script.data(1, b"new", sid=1, ssn=0))
    script.send(script.data(0, b"old", sid=1, ssn=0))
    assert [message[3] for message in script.user.messages] == [b"old", b"new"]
    assert calls == ["on_message", "on_event", "on_message"]


@pytest.mark.parametrize("aside", [True, False])
def test_what_is_wrong_by_new_numbers_is_said_at_once(aside: bool) -> None:
    """The ABORT does not wait for the next flush."""
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    wrong = script.data(1, b"first", flags=B, sid=1, ssn=0), script.data(2, b"first again", flags=B, sid=1, ssn=0)
    script.send(*([reset_by_peer(script, 0), *wrong] if aside else [script.data(0, b"old", sid=1, ssn=0)]))
    script.take()
    script.send(*([script.data(0, b"old", sid=1, ssn=0)] if aside else [reset_by_peer(script, 0), *wrong]))
    assert script.state is CLOSED
    assert script.take()[-1].kinds == [ABORT]


def test_who_ends_the_association_when_it_is_reset_gets_no_more_of_it() -> None:
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    calls = tell(script, "on_event", lambda: abort(script))
    script.send(script.data(0, b"old", sid=1), reset_by_peer(script, 0), script.data(1, b"new", sid=1, ssn=0))
    assert calls == ["on_message", "on_event", "on_event", "on_closed"]
    assert script.take()[-1].kinds == [ABORT]


def test_a_second_reset_in_a_packet_is_to_come_again() -> None:
    """A peer has one request under way, 5.1.1; the first is not over until it has been told of."""
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    second = pack_reconfig([pack_outgoing_reset(script.theirs(1), script.theirs(-1), script.theirs(-1), [2])])
    script.send(reset_by_peer(script, -1), second, script.data(0, b"new", sid=1), script.data(1, b"other", sid=2))
    [answers] = [packet.all(RE_CONFIG) for packet in script.take() if packet.all(RE_CONFIG)]
    parameters = [read_reconfig(chunk.value, 0, len(chunk.value))[0][0] for chunk in answers]
    assert [parameter.result for parameter in parameters] == [PERFORMED, REQUEST_IN_PROGRESS]
    assert [event.streams for event in script.user.events if isinstance(event, StreamsReset)] == [(1,)]


def test_abort_when_a_message_comes_by_new_numbers_is_the_last_word() -> None:
    """Those that were put aside are delivered by a flush, once what was missing has come (RFC 6525 5.2.2 E4)."""
    script = Script(CONFIG, extensions=frozenset({RE_CONFIG}))
    script.send(script.data(0, b"before", sid=1))
    script.send(pack_reconfig([pack_outgoing_reset(script.theirs(0), script.theirs(-1), script.theirs(1), [1])]))
    script.send(script.data(2, b"after", sid=1, ssn=0))
    script.take()

    script.arrive(script.data(1, b"missing", sid=1, ssn=1))
    calls = tell(script, "on_message", lambda: abort(script))
    script.flush()
    assert script.take()[-1].kinds == [ABORT]
    assert script.state is CLOSED
    assert calls == ["on_event", "on_message", "on_event", "on_closed"]
