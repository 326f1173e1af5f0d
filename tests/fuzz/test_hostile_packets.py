"""Spoiled, forged and senseless packets, in every state: nothing breaks, and nothing but what must end ends.

Four lives of an association are recorded, two of them with all extensions. Each packet that arrives is then cut off at
every length, and changed at every byte, one at a time, and each time the run goes on from that moment. What a byte
becomes is drawn by a seed: ASYNCSCTP_FULL=1 tries all 255 values, and ASYNCSCTP_SEED draws others. Of the lives with
extensions, samples are taken.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

import pytest
from support.hostile.corruption import (
    any_number_is_survived,
    label,
    misplaced_are_survived,
    play,
    random_packets_are_survived,
    spoiled_is_survived,
    truncated_are_survived,
)
from support.hostile.replay import (
    INTERLEAVED,
    QUIET,
    RICH,
    ROUGH,
    Moment,
    changed,
    every_change,
    fields,
    record,
    reseal,
)
from support.seeds import SEED, is_full_run, seeds

from asyncsctp.wire.constants import DATA, FORWARD_TSN, I_DATA, I_FORWARD_TSN, RE_CONFIG
from asyncsctp.wire.tlv import walk


@cache
def moments() -> list[Moment]:
    """Every packet received in two lives."""
    return record(QUIET) + record(ROUGH)


@cache
def rich_moments() -> list[Moment]:
    """The same of two lives with messages in parts, abandoned ones and reconfiguration."""
    return record(RICH) + record(INTERLEAVED)


def test_the_lives_have_seen_every_state_and_chunk() -> None:
    states = {(moment.side, moment.state) for moment in moments()}
    assert {state for _, state in states} >= {
        "closed",
        "cookie-wait",
        "cookie-echoed",
        "established",
        "shutdown-pending",
        "shutdown-sent",
        "shutdown-received",
        "shutdown-ack-sent",
    }
    kinds = Counter(moment.datagram[12] for moment in moments())
    assert kinds.keys() >= {0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 14}


def test_a_life_that_is_lived_again_is_the_same() -> None:
    """What follows a moment is the same bit for bit, whichever way it was reached, and however often."""
    for moment in moments()[::3]:
        followed = []
        for pair in (moment.resume(), moment.life.live_until(moment.number)):
            pair.network.packets = []
            pair.endpoints[moment.side].receive(moment.datagram, moment.route, pair.now, False)
            pair.finish()
            followed.append((pair.network.packets, pair.network.counts, [vars(user) for user in pair.users]))
        for _, _, users in followed:
            for user in users:
                del user["association"]
        assert followed[0] == followed[1], label(moment)


def test_an_untouched_recording_goes_on_from_everywhere() -> None:
    for moment in moments():
        assert play(moment, [moment.datagram]).is_well(), label(moment)
        assert play(moment, []).is_well(), f"without {label(moment)}"
        assert play(moment, [moment.datagram] * 3).is_well(), f"three times {label(moment)}"


def test_packets_with_a_wrong_checksum_do_nothing() -> None:
    """All truncations and changes of a byte, without repairing the checksum; together they are not even noticed."""
    random = Random(SEED)
    for moment in moments():
        packet = moment.datagram
        wrong = [packet[:end] for end in range(len(packet))]
        some = every_change(packet) if is_full_run() else [(at, random.randrange(256)) for at in range(len(packet))]
        wrong += [changed(packet, at, value) for at, value in some if packet[at] != value]
        pair = moment.resume()
        pair.simulation.flush()  # the packets that came with this one
        user = pair.users[moment.side]
        before = None if user.association is None else (user.association.state, user.association.next_expiry)
        for spoiled in wrong:
            pair.endpoints[moment.side].receive(spoiled, moment.route, pair.now, False)
            pair.endpoints[moment.side].flush(pair.now)
            assert not pair.endpoints[moment.side].outbox, f"{spoiled.hex()} instead of {label(moment)}"
        assert before is None or (user.association.state, user.association.next_expiry) == before  # type: ignore[union-attr]
        pair.endpoints[moment.side].receive(packet, moment.route, pair.now, False)
        pair.finish()
        assert pair.is_well(), label(moment)


@pytest.mark.parametrize("part", range(16))
def test_truncated_packets_do_no_more_than_lost_ones(part: int) -> None:
    truncated_are_survived(moments()[part::16], Random(f"{SEED} {part}"))


@pytest.mark.parametrize("part", range(16))
def test_packets_with_a_changed_byte_do_what_that_byte_may_do(part: int) -> None:
    random = Random(f"{SEED} {part}")
    for moment in moments()[part::16]:
        packet = moment.datagram
        what = fields(packet)
        changes = list(every_change(packet))
        if not is_full_run():
            changes = random.sample(changes, 30)
            changes += [(at, packet[at] ^ random.randrange(1, 256)) for at in range(len(packet))]
            changes += [(at, packet[at] ^ 1 << random.randrange(8)) for at in range(12, min(len(packet), 32))]
        for at, value in changes:
            spoiled_is_survived(moment, reseal(changed(packet, at, value)), random.random() < 0.5, what[at].is_harmless)


def test_every_packet_in_every_state() -> None:
    misplaced_are_survived(moments(), Random(SEED), 600)


def test_the_rich_lives_have_seen_every_extension() -> None:
    kinds: set[int] = set()
    parameters: set[int] = set()
    for moment in rich_moments():
        packet = moment.datagram
        for first16, _, start, end in walk(packet, 12, len(packet)):
            kinds.add(first16 >> 8)
            if first16 >> 8 == RE_CONFIG:
                parameters |= {kind for kind, _, _, _ in walk(packet, start, end)}
    assert kinds >= {DATA, I_DATA, FORWARD_TSN, I_FORWARD_TSN, RE_CONFIG}
    assert parameters == set(range(13, 19))


@pytest.mark.parametrize("part", range(4))
def test_a_rich_recording_goes_on_from_everywhere(part: int) -> None:
    any_number_is_survived(rich_moments()[part::4], Random(f"{SEED} {part}"))


@pytest.mark.parametrize("part", range(8))
def test_truncated_packets_of_extensions_do_no_more_than_lost_ones(part: int) -> None:
    truncated_are_survived(rich_moments()[part::8], Random(f"{SEED} {part}"), 4)


@pytest.mark.parametrize("part", range(8))
def test_packets_of_extensions_with_a_changed_byte_do_what_that_byte_may_do(part: int) -> None:
    random = Random(f"{SEED} {part}")
    for moment in rich_moments()[part::8]:
        packet = moment.datagram
        what = fields(packet)
        changes = list(every_change(packet))
        if not is_full_run():
            first = range(12, min(len(packet), 40))
            changes = random.sample(changes, 2)
            changes += [(at, packet[at] ^ random.randrange(1, 256)) for at in random.sample(first, min(len(first), 4))]
        for at, value in changes:
            spoiled_is_survived(moment, reseal(changed(packet, at, value)), random.random() < 0.5, what[at].is_harmless)


def test_every_packet_of_extensions_in_every_state() -> None:
    misplaced_are_survived(rich_moments(), Random(SEED), 100)


@pytest.mark.parametrize("seed", seeds(100 if not is_full_run() else 10_000))
def test_random_packets_with_all_extensions(seed: int) -> None:
    random_packets_are_survived(rich_moments(), Random(seed))


@pytest.mark.parametrize("seed", seeds(300 if not is_full_run() else 20_000))
def test_random_packets(seed: int) -> None:
    random_packets_are_survived(moments(), Random(seed))
