"""How fast a transfer opens its window on a line with delay, in virtual time: by the round trips that it takes alone.

On a line that is fast enough all packets of a window arrive together, and so do their SACKs.
"""

from __future__ import annotations

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.testing import LinkSettings

ONE_WAY = 0.05
SIZE = 2_000_000
MESSAGE = 16_000


def seconds(rate: float | None, mtu: int) -> float:
    """From the first byte written to the last byte read, where nothing is lost."""
    link = LinkSettings(delay=ONE_WAY, rate=rate, queue=1 << 30)
    pair = Pair(7, link=link, config=Config(mtu=mtu, recv_buffer=4 * 1024 * 1024), checked=False)
    pair.establish()
    association = pair.association(0)
    began = pair.now
    for _ in range(SIZE // MESSAGE):
        pair.send(0, 0, bytes(MESSAGE))
    assert association.buffered == SIZE
    pair.run_until(pair.is_delivered, 60)
    return pair.now - began


@pytest.mark.parametrize("mtu", [576, 1280, 9000])
def test_no_transfer_is_slower_on_a_faster_line(mtu: int) -> None:
    found = [seconds(rate, mtu) for rate in (20e6, 100e6, 1e9, 100e9, None)]
    for slower, faster in zip(found, found[1:], strict=False):
        assert faster <= slower + 0.001


def test_two_megabytes_take_the_round_trips_of_slow_start() -> None:
    """Half as many packets again in each: 14 from the initial window of 4 on."""
    assert seconds(None, 1280) < 15 * 2 * ONE_WAY
