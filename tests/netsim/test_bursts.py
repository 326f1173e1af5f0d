"""A program that goes on after a short pause finds its window wide open: what that does to a queue on the way."""

from __future__ import annotations

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.testing import LinkSettings

SIZE = 1_000_000
MESSAGE = 10_000


@pytest.mark.parametrize(("queue", "most_seconds", "most_again"), [(32, 0.35, 20), (128, 0.15, 20), (256, 0.13, 0)])
def test_a_megabyte_straight_after_bulk_data_does_not_overflow_the_queue(
    queue: int, most_seconds: float, most_again: int
) -> None:
    """It is 0.1 s of a line of 100 Mbit/s with 20 ms of round trip; a whole window at once loses a good part of itself,
    and at worst has to wait for a time-out.
    """
    link = LinkSettings(delay=0.01, rate=100e6, queue=queue * 1024)
    pair = Pair(7, link=link, config=Config(mtu=1500, recv_buffer=4 * 1024 * 1024), checked=False)
    pair.establish()
    association = pair.association(0)
    until = pair.now + 1.0
    while pair.now < until:
        while association.buffered < 1024 * 1024:
            pair.send(0, 0, bytes(MESSAGE))
        pair.run_for(0.02)
    pair.run_until(pair.is_delivered)
    pair.run_for(0.1)
    again = association.statistics.packets_retransmitted
    began = pair.now
    for _ in range(SIZE // MESSAGE):
        pair.send(0, 0, bytes(MESSAGE))
    pair.run_until(pair.is_delivered)
    assert pair.now - began < most_seconds
    assert association.statistics.packets_retransmitted - again <= most_again
