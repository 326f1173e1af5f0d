"""Each chunk, and each timer, reaches its handler in the states in which it means something; nothing raises."""

from __future__ import annotations

import random

import pytest
from support.endpoints import ALL_STATES, PEER_TSN, Solo, data, image, into
from support.pair import Recorder
from support.script import Script

from asyncsctp import timers
from asyncsctp.association.dispatch import expire, process
from asyncsctp.association.parts import Parts
from asyncsctp.handlers.state import ESTABLISHED, MEANINGFUL, State
from asyncsctp.wire import control, tlv
from asyncsctp.wire.constants import COMMON_HEADER_SIZE, DATA, HEARTBEAT_ACK, PAD
from asyncsctp.wire.packet import Seal

KINDS = [value for name, value in vars(timers).items() if name.isupper() and name != "NEVER" and isinstance(value, int)]


def take(parts: Parts, *chunks: bytes) -> None:
    """A packet comes, along the primary path."""
    context = parts.context
    packet = Seal(context.peer_port, context.local_port, context.local_tag).pack(b"".join(chunks))
    path = context.paths.primary
    process(parts, packet, COMMON_HEADER_SIZE, path, path.route, False)


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_no_chunk_of_any_type_raises_in_any_state(state: State, seed: int) -> None:
    chance = random.Random(f"{state} {seed}")
    for kind in range(256):
        parts = into(Solo(), state)._parts
        flags, body = chance.randrange(256), chance.randbytes(chance.choice([0, 3, 4, 8, 16, 60]))
        take(parts, tlv.pack(kind << 8 | flags, body), data(PEER_TSN))


@pytest.mark.parametrize("state", ALL_STATES, ids=str)
def test_what_means_nothing_in_a_state_is_counted_and_changes_nothing(state: State) -> None:
    known = set().union(*MEANINGFUL.values())
    for kind in sorted(known - MEANINGFUL[state] - {DATA}):
        solo = Solo()
        association = into(solo, state)
        before = image(association)
        statistics = association.context.statistics
        counted = statistics.unexpected_chunks + statistics.unknown_chunks
        take(association._parts, tlv.pack(kind << 8, bytes(16)))
        assert statistics.unexpected_chunks + statistics.unknown_chunks == counted + 1, kind
        assert image(association) == before, kind


def test_what_stands_before_a_malformed_chunk_is_taken_and_nothing_behind_it() -> None:
    script = Script()
    parts = script.association._parts
    take(parts, script.data(0), b"\x04\0\0\3", script.data(1))
    assert len(script.user.messages) == 1
    assert parts.context.statistics.malformed_packets == 1


def test_the_number_of_control_chunks_in_a_packet_is_bounded() -> None:
    """Those of user data are not: they are small, and many."""
    script = Script()
    parts = script.association._parts
    take(parts, *[script.data(tsn) for tsn in range(80)])
    assert len(script.user.messages) == 80
    take(parts, *[control.pack_pad(4)] * 1000, script.data(80))
    assert parts.context.statistics.discarded_packets == 1
    assert len(script.user.messages) == 80


@pytest.mark.parametrize(("kind", "reports", "goes_on"), [(0x3F, 0, 0), (0x7F, 1, 0), (0xBF, 0, 1), (0xFF, 1, 1)])
def test_the_high_bits_of_an_unknown_type_say_what_becomes_of_it(kind: int, reports: int, goes_on: int) -> None:
    """Section 3.2."""
    script = Script()
    take(script.association._parts, tlv.pack(kind << 8, b"what"), script.data(0))
    assert len(script.user.messages) == goes_on
    assert len(script.association.context.control) == reports


def test_answers_go_to_who_asked_and_padding_asks_for_nothing() -> None:
    script = Script()
    context = script.association.context
    take(script.association._parts, tlv.pack(PAD << 8, bytes(40)), control.pack_heartbeat(b"x"))
    assert [(chunk[0], path_id) for chunk, path_id, _ in context.control] == [(HEARTBEAT_ACK, 0)]


#: Their objects are made when their timers are first needed.
OF_EXTENSIONS = {timers.T4_RTO, timers.RECONFIG}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - OF_EXTENSIONS))
def test_every_timer_has_a_handler(kind: int) -> None:
    """A timer may run out in the very instant in which what it is for has come."""
    script = Script()
    expire(script.association._parts, timers.timer_key(kind, 0))
    script.flush()
    assert script.state is ESTABLISHED or kind == timers.T5_GUARD


class Taking(Recorder):
    """For whom a packet comes while a message of stream 1 is handed over."""

    taken = b""
    was_at_work = False

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        super().on_message(sid, ssn, ppid, unordered, tsn, data)
        if sid == 1 and self.association is not None:
            take(self.association._parts, self.taken)
            self.was_at_work = self.association.context.is_at_work


def test_a_packet_may_come_in_a_callback() -> None:
    user = Taking("the user")
    script = Script(user=user)
    user.taken = script.data(1, sid=2)
    take(script.association._parts, script.data(0, sid=1))
    assert [message[0] for message in user.messages] == [1, 2]
    assert user.was_at_work
    assert not script.association.context.is_at_work
