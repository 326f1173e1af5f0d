"""A user's scheduler that goes wrong while messages are on their way: all of them arrive nevertheless."""

from __future__ import annotations

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.schedulers import NO_STREAM, StreamScheduler
from asyncsctp.schedulers.guard import guard
from asyncsctp.testing import LinkSettings


class GoesWrong(StreamScheduler):
    """In the `at`-th call of one method, from 1: raises, or with "stranger" and "nobody" chooses wrongly."""

    def __init__(self, method: str, at: int) -> None:
        self.method = method
        self.at = at
        self.line: dict[int, None] = {}

    def count(self, method: str) -> bool:
        self.at -= method == self.method
        return self.at == 0

    def called(self, method: str) -> None:
        if self.count(method):
            raise LookupError(f"in {method}")

    def activate(self, sid: int, order: int) -> None:
        self.called("activate")
        self.line[sid] = None

    def deactivate(self, sid: int) -> None:
        self.called("deactivate")
        del self.line[sid]

    def next(self) -> int:
        self.called("next")
        if self.count("stranger"):
            return 1000
        if self.count("nobody"):
            self.at += 1  # until it is noticed
            return NO_STREAM
        return next(iter(self.line), NO_STREAM)

    def served(self, sid: int, size: int, order: int) -> None:
        self.called("served")
        del self.line[sid]
        if order != NO_STREAM:
            self.line[sid] = None

    def begin_packet(self) -> None:
        self.called("begin_packet")


@pytest.mark.parametrize("at", [1, 2, 30])
@pytest.mark.parametrize("method", ["activate", "next", "served", "begin_packet", "deactivate", "stranger", "nobody"])
def test_all_arrive_and_the_error_is_told_once(method: str, at: int) -> None:
    told: list[Exception] = []
    config = Config(scheduler=lambda: guard(GoesWrong(method, at), told.append), mtu=1500)
    pair = Pair(link=LinkSettings(delay=0.01, rate=1e6, loss=0.02), config=config)
    pair.establish()
    for turn in range(40):
        for sid in range(8):
            pair.send(0, sid, bytes([sid]) * (100 + 700 * (turn % 4)))
        pair.run_for(0.15 if turn % 2 else 1.0)
    pair.run_until(pair.is_delivered)
    pair.verify()
    assert not pair.users[0].is_closed
    assert len(told) == 1
    assert str(told[0]).startswith("scheduler GoesWrong: ")
    assert str(told[0]).endswith("; FirstComeFirstServed has taken over")
