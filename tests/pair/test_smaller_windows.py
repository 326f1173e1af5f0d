"""A receive window that is made smaller while messages interleave: what was begun under the larger one is finished.

A writer of ours begins as many messages as the first window holds (RFC 8260 section 2.2.1), and nothing on the wire can
tell it that the window will not be as large again. So what has come in order of them is not held against the new one.
"""

from __future__ import annotations

from functools import partial

import pytest
from support.pair import Pair
from support.seeds import seeds

from asyncsctp.config import Config
from asyncsctp.schedulers import FairBandwidth, RoundRobin, StreamScheduler
from asyncsctp.testing import LinkSettings

SIZE = 5000
COUNT = 60
FIRST = 100_000
CONFIG = Config(heartbeat_interval=None, interleaving=True, max_message_size=SIZE, send_buffer=1 << 24)


def shrink(pair: Pair, windows: tuple[int, ...]) -> None:
    """Z gets the first of these windows now, and each other 100 ms after the one before."""
    association = pair.association(1)
    association.configure(association.context.config.replace(recv_buffer=windows[0]), pair.now)
    pair.endpoints[1].touch(association)
    if windows[1:]:
        pair.network.clock.after(0.1, partial(shrink, pair, windows[1:]))


def run(seed: int, scheduler: type[StreamScheduler], windows: tuple[int, ...], size: int, loss: float) -> Pair:
    """A writes `COUNT` messages on streams of their own, two to each, and Z's window changes in the midst of them."""
    link = LinkSettings(delay=0.01, rate=2e7, loss=loss)
    pair = Pair(seed, link=link, config=CONFIG.replace(scheduler=scheduler), z_config=CONFIG.replace(recv_buffer=FIRST))
    pair.establish()
    for number in range(2 * COUNT):
        pair.send(0, number % COUNT, bytes([number]) * size)
    association = pair.association(1)
    reception = association._parts.established.receiver
    pair.run_until(lambda: reception._queue.held > 0.7 * FIRST or pair.is_delivered(), 60.0)
    assert not pair.users[1].messages, "nothing is begun that is not complete"
    shrink(pair, windows)
    pair.run_until(lambda: pair.is_delivered() or pair.users[1].is_closed, 600.0)
    return pair


@pytest.mark.parametrize("scheduler", [RoundRobin, FairBandwidth])
@pytest.mark.parametrize("windows", [(4096,), (20_000, 4096), (300_000, 9000)], ids=["small", "in steps", "up first"])
@pytest.mark.parametrize("seed", seeds(4))
def test_what_was_begun_before_the_window_became_smaller_is_finished(
    seed: int, scheduler: type[StreamScheduler], windows: tuple[int, ...]
) -> None:
    pair = run(seed, scheduler, windows, SIZE, loss=0.02 * (seed % 2))
    assert pair.users[1].error is None
    pair.verify()
    assert pair.is_delivered()


def test_the_bookkeeping_of_small_messages_was_promised_too() -> None:
    """Two small chunks of each of many: most of what they take is not their bytes."""
    pair = run(1, RoundRobin, (4096,), 1500, 0.0)
    assert pair.users[1].error is None
    pair.verify()
