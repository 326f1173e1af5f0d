"""Spoiled, forged and senseless packets in lives in which addresses change and packets are authenticated.

As in `test_hostile_packets`; samples are taken. What is authenticated can't be changed: that is no more than a loss.
"""

from __future__ import annotations

import os
from functools import cache
from random import Random

import pytest
from support.hostile import Moment, changed, fields, record, reseal, stir
from support.seeds import is_full_run, replayable, seeds
from support.spoiling import label, play, spoiled_is_survived
from support.wandering import NATTED, ROAMING, WARY

from asyncsctp.errors import SCTPError
from asyncsctp.wire.constants import ABORT, ASCONF, ASCONF_ACK, AUTH, INIT, INIT_ACK
from asyncsctp.wire.tlv import walk

FILE = "tests/fuzz/test_hostile_addresses.py"
SEED = int(os.environ.get("ASYNCSCTP_SEED", "0").partition("-")[0])
LIVES = {"roaming": ROAMING, "wary": WARY, "natted": NATTED}


@cache
def moments(name: str) -> list[Moment]:
    return record(LIVES[name])


def everything() -> list[Moment]:
    return [moment for name in LIVES for moment in moments(name)]


def is_harmless(moment: Moment, at: int) -> bool:
    """Whether another value of this byte may do no more than the loss of the packet."""
    packet = moment.datagram
    if packet[12] in (INIT, INIT_ACK):
        return at < 12
    if moment.life is WARY:
        return True
    covered = next((start - 4 for first16, _, start, _ in walk(packet, 12, len(packet)) if first16 >> 8 == AUTH), 4000)
    return (fields(packet)[at].is_harmless and at < covered) or at >= covered + 8


@pytest.mark.parametrize("name", LIVES)
def test_the_lives_have_seen_all_of_it(name: str) -> None:
    kinds = {
        first16 >> 8
        for moment in moments(name)
        for first16, _, _, _ in walk(moment.datagram, 12, len(moment.datagram))
    }
    assert kinds >= {AUTH, ASCONF, ASCONF_ACK}
    assert ABORT not in kinds


@pytest.mark.parametrize("name", LIVES)
def test_they_go_on_from_everywhere(name: str) -> None:
    random = Random(f"{SEED} {name}")
    for moment in moments(name):
        packets = random.choice(([moment.datagram], [], [moment.datagram] * 3))
        assert play(moment, packets).is_well(), f"{len(packets)} times {label(moment)}"


@pytest.mark.parametrize("name", LIVES)
def test_truncated_packets_do_no_more_than_lost_ones(name: str) -> None:
    random = Random(f"{SEED} {name}")
    for moment in moments(name):
        ends = range(len(moment.datagram))
        for end in ends if is_full_run() else random.sample(ends, 3):
            spoiled_is_survived(moment, reseal(moment.datagram[:end]), random.random() < 0.5, True)


@pytest.mark.parametrize("name", LIVES)
def test_packets_with_a_changed_byte_do_what_that_byte_may_do(name: str) -> None:
    random = Random(f"{SEED} {name}")
    for moment in moments(name):
        packet = moment.datagram
        places = range(12, len(packet))
        for at in places if is_full_run() else random.sample(places, min(len(places), 5)):
            spoiled = reseal(changed(packet, at, packet[at] ^ random.randrange(1, 256)))
            spoiled_is_survived(moment, spoiled, random.random() < 0.5, is_harmless(moment, at))


def test_every_packet_in_every_state() -> None:
    random = Random(SEED)
    there = everything()
    pairs = [(moment, other) for moment in there for other in there if moment.side == other.side]
    for moment, other in pairs if is_full_run() else random.sample(pairs, 100):
        try:
            packet = reseal(moment.datagram[:8] + other.datagram[8:])
            play(moment, [packet])
            play(moment, [packet, moment.datagram])
        except BaseException as error:
            error.add_note(f"{packet.hex()} was received instead of or before {label(moment)}")
            raise


@pytest.mark.parametrize("seed", seeds(100 if not is_full_run() else 10_000))
def test_soup(seed: int) -> None:
    with replayable(seed, FILE, "test_soup"):
        random = Random(seed)
        moment = random.choice(everything())
        pair = moment.resume()
        try:
            stir(pair, moment, random)
        except BaseException as error:
            error.add_note(f"it was received instead of {label(moment)}")
            raise
        for user in pair.users:
            assert user.error is None or isinstance(user.error, SCTPError)
