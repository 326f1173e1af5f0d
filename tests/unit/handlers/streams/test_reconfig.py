"""Stream reconfiguration on a bench: what it asks of the rooms for user data, and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncsctp.events import StreamsReset, TsnsReset
from asyncsctp.handlers.notices import Completion
from asyncsctp.handlers.state import ESTABLISHED, SHUTDOWN_PENDING
from asyncsctp.handlers.streams.reconfig import Reconfig
from asyncsctp.handlers.violations import Violations
from asyncsctp.wire.constants import PARAM_OUTGOING_RESET
from asyncsctp.wire.reconfig import (
    DENIED,
    IN_PROGRESS,
    PERFORMED,
    Parameter,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_response,
    pack_tsn_reset,
    read_reconfig,
)

from ..conftest import Bench


class FakeOutgoing:
    """Streams that have as much to send as the test says, and a diary."""

    def __init__(self) -> None:
        self.count = 10
        self.next_tsn = 100
        self.is_acknowledged = True
        self.unsent: set[int] = set()
        self.diary: list[str] = []

    def acknowledges(self, tsn: int) -> bool:
        return True

    def hold(self, streams: tuple[int, ...]) -> None:
        self.diary.append(f"hold {streams}")

    def is_clear(self, streams: tuple[int, ...]) -> bool:
        return not self.unsent & set(streams or range(self.count))

    def stop(self) -> bool:
        return True

    def go_on(self, reset: bool) -> None:
        self.diary.append(f"go on {reset}")

    def release(self, streams: tuple[int, ...], reset: bool) -> None:
        self.diary.append(f"release {streams} {reset}")

    def restart(self, wire_tsn: int) -> None:
        self.next_tsn = wire_tsn

    def expect_restart(self, is_expected: bool) -> None:
        pass

    def add(self, count: int) -> None:
        self.count += count

    def is_unused(self, sid: int) -> bool:
        return sid not in self.unsent


class FakeIncoming:
    """Streams of a peer from whom everything has come up to the TSN that the test says."""

    def __init__(self) -> None:
        self.count = 10
        self.cumulative_tsn = 500
        self.was_reset: list[tuple[int, ...]] = []

    def reset(self, streams: tuple[int, ...]) -> None:
        self.was_reset.append(streams)

    def defer(self, last_tsn: int, streams: tuple[int, ...]) -> bool:
        return False

    def release(self) -> None:
        pass

    def expect_restart(self, is_expected: bool) -> None:
        pass

    def restart(self, wire_tsn: int) -> None:
        self.cumulative_tsn = wire_tsn - 1

    def add(self, count: int) -> None:
        self.count += count

    def acknowledge_now(self) -> None:
        pass


class Room:
    """A room for reconfiguration, our numbers from 1000 and the peer's from 2000."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.outgoing = FakeOutgoing()
        self.incoming = FakeIncoming()
        bench.context.state = ESTABLISHED
        self.reconfig = Reconfig(bench.context, Violations(bench.context), self.outgoing, self.incoming, 1000, 2000)

    def hear(self, *parameters: bytes) -> list[Parameter]:
        value = b"".join(parameters)
        self.reconfig.on_reconfig(value, 0, len(value), self.bench.context.paths.primary)
        return self.said()

    def said(self) -> list[Parameter]:
        while self.reconfig.advance():
            pass
        return [each for chunk, _ in self.bench.queued() for each in read_reconfig(chunk, 4, len(chunk))[0]]


@pytest.fixture
def room(bench: Bench) -> Room:
    return Room(bench)


def test_streams_are_held_from_the_call_on_and_released_by_the_answer(room: Room) -> None:
    room.outgoing.unsent = {3}
    ticket = room.reconfig.reset_streams([3], None)
    assert room.outgoing.diary == ["hold (3,)"]
    assert room.said() == []
    room.outgoing.unsent.clear()
    assert room.said() == [Parameter(PARAM_OUTGOING_RESET, 1000, answers=1999, last_tsn=99, streams=(3,))]
    room.hear(pack_response(1000, PERFORMED))
    assert room.outgoing.diary == ["hold (3,)", "release (3,) True"]
    assert ticket.is_ok


def test_closing_writers_join_the_request_that_has_not_left(room: Room) -> None:
    tickets = [room.reconfig.close_stream(sid) for sid in (1, 2, 3)]
    assert len(set(map(id, tickets))) == 1
    assert [each.streams for each in room.said()] == [(1, 2, 3)]
    assert room.reconfig.close_stream(4) is not tickets[0]
    assert room.said() == []


def test_a_stream_with_much_to_send_holds_up_no_other(room: Room) -> None:
    room.outgoing.unsent = {1}
    room.reconfig.reset_streams([1], None)
    room.reconfig.reset_streams([2], None)
    assert [each.streams for each in room.said()] == [(2,)]


def test_a_reset_is_carried_out_when_the_cumulative_tsn_gets_there_by_whatever_means(room: Room) -> None:
    """FORWARD TSN moves it as data does."""
    assert [each.result for each in room.hear(pack_outgoing_reset(2000, 999, 510, [4]))] == [IN_PROGRESS]
    room.incoming.cumulative_tsn = 509
    assert room.said() == []
    room.incoming.cumulative_tsn = 600
    assert [each.result for each in room.said()] == [PERFORMED]
    assert room.incoming.was_reset == [(4,)]
    assert room.bench.context.notices == [StreamsReset(False, (4,), "ok")]


def test_what_waits_for_our_request_goes_on_waiting_while_the_peer_resets_tsns(room: Room) -> None:
    room.reconfig.reset_streams([3], None)
    room.said()
    [answer] = room.hear(pack_tsn_reset(2000))
    assert answer.result == PERFORMED
    assert room.outgoing.diary == ["hold (3,)", "go on True"]
    assert TsnsReset("ok") in room.bench.context.notices


def test_in_shutdown_what_has_not_left_is_given_up(room: Room) -> None:
    room.outgoing.unsent = {3}
    ticket = room.reconfig.reset_streams([3], [4])
    room.bench.context.state = SHUTDOWN_PENDING
    assert room.said() == []
    assert ticket.is_done
    assert not ticket.is_ok
    assert room.outgoing.diary == ["hold (3,)", "release (3,) False"]
    assert [each.result for each in room.hear(pack_incoming_reset(2000, [1]))] == [DENIED]


def test_whoever_waits_is_called(room: Room) -> None:
    called: list[bool] = []
    waker: Callable[[], None] = lambda: called.append(True)  # noqa: E731 - a callback like any other
    ticket = room.reconfig.reset_streams(None, [1])
    ticket.on_done = waker
    room.said()
    room.hear(pack_response(1000, 0))
    assert called == []  # not in the middle of that
    [notice] = [notice for notice in room.bench.context.notices if isinstance(notice, Completion)]
    assert notice.callback is waker


def test_peers_that_ask_and_ask_queue_up_two_requests_at_most(room: Room) -> None:
    room.outgoing.unsent = set(range(10))
    for number in range(2000, 2100):
        room.hear(pack_incoming_reset(number, [number % 10]))
    assert len(room.reconfig.requests.queue) == 2
