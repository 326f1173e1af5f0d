"""Spoiled, forged and senseless packets in lives in which addresses change and packets are authenticated.

As in `test_hostile_packets`; samples are taken. What is authenticated can't be changed: that is no more than a loss.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from support.endpoints import kinds
from support.hostile.address_change_runs import NATTED, ROAMING, WARY
from support.hostile.corruption import (
    any_number_is_survived,
    misplaced_are_survived,
    random_packets_are_survived,
    spoiled_is_survived,
    truncated_are_survived,
)
from support.hostile.replay import Moment, changed, fields, record, reseal
from support.seeds import SEED, is_full_run, seeds

from asyncsctp.wire.constants import ABORT, ASCONF, ASCONF_ACK, AUTH, INIT, INIT_ACK
from asyncsctp.wire.tlv import walk

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
    seen = {kind for moment in moments(name) for kind in kinds(moment.datagram)}
    assert seen >= {AUTH, ASCONF, ASCONF_ACK}
    assert ABORT not in seen


@pytest.mark.parametrize("name", LIVES)
def test_they_go_on_from_everywhere(name: str) -> None:
    any_number_is_survived(moments(name), Random(f"{SEED} {name}"))


@pytest.mark.parametrize("name", LIVES)
def test_truncated_packets_do_no_more_than_lost_ones(name: str) -> None:
    truncated_are_survived(moments(name), Random(f"{SEED} {name}"), 3)


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
    misplaced_are_survived(everything(), Random(SEED), 100)


@pytest.mark.parametrize("seed", seeds(100 if not is_full_run() else 10_000))
def test_random_packets(seed: int) -> None:
    random_packets_are_survived(everything(), Random(seed))
