"""How many interleaved messages are begun at a time: the peer holds what it can't deliver (RFC 8260 section 2.2.1)."""

from __future__ import annotations

import random

import pytest

from asyncsctp.outbound.idata_queue import IDataQueue
from asyncsctp.outbound.message import OutboundMessage, Terms
from asyncsctp.schedulers import (
    FairBandwidth,
    FirstComeFirstServed,
    Priority,
    RoundRobin,
    RoundRobinPerPacket,
    StreamScheduler,
)
from asyncsctp.schedulers.guard import guard
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END
from asyncsctp.wire.octets import Writer, read_i_data

ROOM = 1200
SCHEDULERS = (FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth)


class Peer:
    """What the chunks of a queue make a receiver hold."""

    def __init__(self, queue: IDataQueue) -> None:
        self.queue = queue
        self.held: dict[int, int] = {}
        self.most = self.most_begun = 0
        self.done: list[int] = []
        self.tsn = 1

    def packet(self, max_user: int = 1 << 30) -> int:
        writer = Writer()
        count, _ = self.queue.fill(writer, ROOM, self.tsn, max_user)
        body = writer.getvalue()
        at = 0
        while at < len(body):
            flags, length, _, sid, _, _ = read_i_data(body, at)
            flags &= 0xFF
            assert (sid in self.held) is not bool(flags & FLAG_BEGIN)
            self.held[sid] = self.held.get(sid, 0) + length - 20
            if flags & FLAG_END:
                del self.held[sid]
                self.done.append(sid)
            at += length + 3 & -4
        self.tsn += count
        self.most = max(self.most, sum(self.held.values()))
        self.most_begun = max(self.most_begun, len(self.held))
        return count

    def drain(self) -> None:
        while self.queue.buffered:
            assert self.packet()
        assert not self.queue and not self.held


def ignore(error: Exception) -> None:
    raise AssertionError(error)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_two_long_messages_at_a_time_and_what_fits_the_window(scheduler: type[StreamScheduler]) -> None:
    queue = IDataQueue(guard(scheduler(), ignore), ROOM, 20_000)
    for sid in range(10):
        queue.push(OutboundMessage(sid, bytes(50_000)))
    for sid in range(10, 20):
        queue.push(OutboundMessage(sid, bytes(5_000)))
    queue.push(OutboundMessage(20, bytes(500)))  # it needs no fragments
    peer = Peer(queue)
    peer.drain()
    assert sorted(peer.done) == list(range(21))
    assert peer.most <= 20_000 + 2 * 50_000
    assert peer.most_begun <= 6
    assert (queue._reserved, queue._long, queue._held_back) == (0, 0, {})


def test_all_interleave_that_fit_the_window_together() -> None:
    queue = IDataQueue(RoundRobin(), ROOM, 100_000)
    for sid in range(10):
        queue.push(OutboundMessage(sid, bytes(10_000)))
    peer = Peer(queue)
    for _ in range(10):
        peer.packet()
    assert len(peer.held) == 10


def test_a_short_message_overtakes_long_ones_that_wait() -> None:
    queue = IDataQueue(RoundRobin(), ROOM, 20_000)
    for sid in range(4):
        queue.push(OutboundMessage(sid, bytes(500_000)))
    peer = Peer(queue)
    for _ in range(8):
        peer.packet()
    queue.push(OutboundMessage(9, bytes(3_000)))
    queue.push(OutboundMessage(8, bytes(300)))
    for _ in range(12):
        peer.packet()
    assert sorted(peer.done) == [8, 9]


def test_what_is_written_in_parts_holds_up_nobody_and_waits_for_nobody() -> None:
    queue = IDataQueue(RoundRobin(), ROOM, 2_000)
    for sid in range(5):
        queue.push_piece(sid, bytes(10_000), 0, 3, Terms(), False)
    for sid in range(5, 8):
        queue.push(OutboundMessage(sid, bytes(5_000)))
    peer = Peer(queue)
    for _ in range(8):
        peer.packet()
    assert len(peer.held) == 7
    assert list(queue._held_back) == [7]


def test_the_parts_of_a_message_share_its_number_and_count_on() -> None:
    """RFC 8260 section 2.1: whichever way it was written, it is one message."""
    queue = IDataQueue(RoundRobin(), ROOM)
    terms = Terms()
    found: list[tuple[int, int, int, bytes]] = []
    for data, last in ((b"a" * 1500, False), (b"b", False), (b"c", True)):
        queue.push_piece(4, data, 77, 3, terms, last)
        while queue.buffered:
            writer = Writer()
            queue.fill(writer, ROOM, 1, 1 << 30)
            body = writer.getvalue()
            at = 0
            while at < len(body):
                flags, length, _, _, mid, number = read_i_data(body, at)
                found.append((flags & 3, mid, number, body[at + 20 : at + length]))
                at += length + 3 & -4
    assert found == [
        (FLAG_BEGIN, 0, 77, b"a" * (ROOM - 20)),
        (0, 0, 1, b"a" * (1500 - ROOM + 20)),
        (0, 0, 2, b"b"),
        (FLAG_END, 0, 3, b"c"),
    ]


def test_an_open_message_holds_up_none_but_a_reset_of_its_stream() -> None:
    """Those of others interleave with it; a reset waits for its end (RFC 6525 section 5.1.2)."""
    queue = IDataQueue(RoundRobin(), ROOM)
    queue.push_piece(1, b"part", 0, 3, Terms(), False)
    queue.push(OutboundMessage(2, b"other"))
    assert queue.movable == 9
    Peer(queue).packet()
    assert queue.pressing((1, 2)) == []
    queue.pause([1])
    queue.push(OutboundMessage(1, b"waits for the reset"))
    assert queue.pressing((1, 2, 3)) == [1]
    assert queue.movable == 0


def written(queue: IDataQueue, sid: int, size: int) -> Terms:
    terms = Terms()
    terms.message = OutboundMessage(sid, bytes(size), terms=terms)
    queue.push(terms.message)
    return terms


@pytest.mark.parametrize("ending", ["before", "after"])
@pytest.mark.parametrize("behind", [100, 0], ids=["a short one behind each", "nothing behind them"])
@pytest.mark.parametrize("withdrawn", [4, 3], ids=["all that wait", "all but one"])
def test_long_messages_that_waited_and_are_withdrawn_hold_up_nobody(ending: str, behind: int, withdrawn: int) -> None:
    """Whether that is while they still wait, or once one of those that had to end before has ended."""
    queue = IDataQueue(RoundRobin(), ROOM, 2_000)
    begun = [written(queue, sid, 5_000) for sid in range(2)]
    waiting = [written(queue, sid, 9_000) for sid in range(2, 6)]
    if behind:
        for sid in range(2, 6):
            written(queue, sid, behind)
    peer = Peer(queue)
    for _ in range(6):
        peer.packet()
    assert list(queue._held_back) == [2, 3, 4, 5]
    if ending == "after":
        for terms in begun:
            queue.withdraw(terms)
            peer.held.clear()
    for terms in waiting[:withdrawn]:
        queue.withdraw(terms)
    peer.drain()
    assert (queue._reserved, queue._long, queue._held_back) == (0, 0, {})


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("seed", range(12))
def test_messages_that_are_withdrawn_let_others_go_on(seed: int, scheduler: type[StreamScheduler]) -> None:
    """Whatever is written and taken back in whatever order: nothing is left behind, and the bound holds."""
    chance = random.Random(f"{seed} {scheduler.__name__}")
    queue = IDataQueue(guard(scheduler(), ignore), ROOM, 10_000)
    peer = Peer(queue)
    waiting: list[Terms] = []
    for _ in range(300):
        what = chance.randrange(4)
        if what < 2:
            terms = Terms()
            size = chance.choice([100, 3_000, 9_000, 30_000])
            message = OutboundMessage(chance.randrange(12), bytes(size), terms=terms)
            terms.message = message
            queue.push(message)
            waiting.append(terms)
        elif what == 2 and waiting:
            terms = waiting.pop(chance.randrange(len(waiting)))
            if terms.state < 2:
                begun = terms.message if terms.state == 1 else None
                queue.withdraw(terms)
                terms.finish("withdrawn")
                if begun is not None:
                    peer.held.pop(begun.sid)
        elif queue.buffered:
            assert peer.packet(chance.choice([1 << 30, 1 << 30, 600])) or queue.next_size(ROOM)
        assert sum(peer.held.values()) <= 10_000 + 2 * 30_000
        active = [*queue._active.values(), *queue._held_back.values()]
        assert sum(stream.buffered for stream in active) == queue.buffered
        assert queue._reserved == sum(stream.reserved for stream in active if stream.reserved > 0)
        assert queue._long == sum(stream.reserved == -1 for stream in active)
    peer.drain()
    assert (queue._reserved, queue._long, queue._held_back) == (0, 0, {})
    queue.push(OutboundMessage(0, bytes(30_000)))
    queue.push(OutboundMessage(1, bytes(30_000)))
    queue.push(OutboundMessage(2, bytes(30_000)))
    for _ in range(5):
        peer.packet()
    assert len(queue.abandon_all()) == 3
    assert (queue._reserved, queue._long, queue._held_back, queue._active) == (0, 0, {}, {})
