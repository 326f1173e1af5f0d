"""Recorded runs that go on after packets that are lost, repeated, corrupted or misplaced, or after senseless ones."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from asyncsctp.errors import SCTPError

from ..seeds import is_full_run
from .replay import Moment, Talk, reseal, stir

__all__ = [
    "any_number_is_survived",
    "label",
    "misplaced_are_survived",
    "play",
    "random_packets_are_survived",
    "spoiled_is_survived",
    "truncated_are_survived",
]


def label(moment: Moment) -> str:
    size = len(moment.datagram)
    return f"a packet of {size} bytes to {'AZ'[moment.side]} in state {moment.state}: {moment.datagram.hex()}"


def play(moment: Moment, packets: list[bytes]) -> Talk:
    """Go on from a moment after these packets instead of the one that came, to the end."""
    pair = moment.resume()
    for packet in packets:
        pair.endpoints[moment.side].receive(packet, moment.route, pair.now, False)
    pair.finish()
    return pair


def spoiled_is_survived(moment: Moment, packet: bytes, instead: bool, is_harmless: bool) -> None:
    """The spoiled packet comes instead of the good one, or before it."""
    try:
        pair = play(moment, [packet] if instead else [packet, moment.datagram])
        if is_harmless:
            assert pair.is_well(), [user.error for user in pair.users]
    except BaseException as error:
        error.add_note(f"{packet.hex()} was received {'instead of' if instead else 'before'} {label(moment)}")
        raise


def any_number_is_survived(moments: Sequence[Moment], random: Random) -> None:
    """Each packet comes once, or not at all, or three times."""
    for moment in moments:
        packets = random.choice(([moment.datagram], [], [moment.datagram] * 3))
        assert play(moment, packets).is_well(), f"{len(packets)} times {label(moment)}"


def truncated_are_survived(moments: Sequence[Moment], random: Random, samples: int | None = None) -> None:
    """Each packet is cut off: at every length, or at so many that are drawn."""
    for moment in moments:
        ends = range(len(moment.datagram))
        for end in ends if samples is None or is_full_run() else random.sample(ends, samples):
            # INIT and INIT ACK have no length that anything inside depends on.
            spoiled_is_survived(moment, reseal(moment.datagram[:end]), random.random() < 0.5, True)


def misplaced_are_survived(moments: Sequence[Moment], random: Random, samples: int) -> None:
    """What was received at one moment is received at another, under the tag that is right there."""
    pairs = [(moment, other) for moment in moments for other in moments if moment.side == other.side]
    for moment, other in pairs if is_full_run() else random.sample(pairs, samples):
        try:
            packet = reseal(moment.datagram[:8] + other.datagram[8:])
            play(moment, [packet])
            play(moment, [packet, moment.datagram])
        except BaseException as error:
            error.add_note(f"{packet.hex()} was received instead of or before {label(moment)}")
            raise


def random_packets_are_survived(moments: Sequence[Moment], random: Random) -> None:
    """Random chunks of every kind, with the right tag mostly: whatever comes of it, it comes to an end."""
    moment = random.choice(moments)
    pair = moment.resume()
    try:
        stir(pair, moment, random)
    except BaseException as error:
        error.add_note(f"it was received instead of {label(moment)}")
        raise
    for user in pair.users:
        assert user.error is None or isinstance(user.error, SCTPError)
