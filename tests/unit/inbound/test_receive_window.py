"""What the peer may send, and what it was told (RFC 9260 section 6.2), with the memory of the endpoint behind it."""

from __future__ import annotations

import pytest

from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.reassembly import Recipient
from asyncsctp.inbound.receive_window import SILLY_WINDOW, Budget, ReceiveWindow
from asyncsctp.wire.constants import FLAG_BEGIN, FLAG_END

SIZE = 20_000
MIB = 1 << 20
B, E = FLAG_BEGIN, FLAG_END


class Peer(Recipient):
    """What comes, in order and whole unless it is said otherwise; the user reads nothing until `read`."""

    def __init__(self, size: int = SIZE, memory: int = 64 * MIB, budget: Budget | None = None) -> None:
        self.budget = budget or Budget(memory)
        self.tracker = DataTracker(1, size)
        self.queue = DataStreams(self, 1 << 20)
        self.received = 0
        self.window = ReceiveWindow(size, self.budget, self.queue, self.tracker, 0)
        self.window.count()  # as a receiver does before it takes the first data
        self.ssns: dict[int, int] = {}

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        pass

    def send(self, size: int, flags: int = B | E, sid: int = 0, skip: int = 0) -> None:
        tsn = self.tracker.accept(self.tracker.highest_tsn + 1 + skip & 0xFFFFFFFF)
        ssn = self.ssns.get(sid, 0)
        if flags & E:
            self.ssns[sid] = ssn + 1
        assert self.queue.add(tsn, flags, sid, ssn, 0, bytes(size)) is None
        self.received += size

    def read(self, size: int) -> None:
        self.queue.unread -= size

    def announce(self) -> int:
        return self.window.announce(self.received)


def test_what_was_not_read_is_not_free() -> None:
    peer = Peer()
    assert (peer.window.announced, peer.window.free()) == (SIZE, SIZE)
    peer.send(5000)
    assert peer.announce() == SIZE - 5000
    peer.read(5000)
    assert peer.announce() == SIZE


def test_a_silly_window_is_announced_as_closed() -> None:
    """Section 6.2: the receiver's side of silly window avoidance."""
    peer = Peer()
    peer.send(SIZE - SILLY_WINDOW)
    assert peer.announce() == SILLY_WINDOW
    peer.send(1)
    assert peer.window.a_rwnd == 0


def test_what_was_announced_is_not_taken_back() -> None:
    """Section 6.2: the peer may have sent it already. What is held costs more than its bytes, which it can't know."""
    peer = Peer()
    for sid in range(20):
        peer.send(10, B, sid=sid, skip=1)
    assert peer.queue.held > 20 * 50
    assert peer.announce() >= SIZE - peer.queue.held
    assert peer.window.is_promised(SIZE)
    assert not peer.window.is_promised(SIZE + 1)


def test_a_message_in_progress_does_not_close_the_window() -> None:
    """Only more data can complete it."""
    peer = Peer()
    peer.send(1000, B)
    while peer.received < 2 * SIZE:
        peer.send(1000, 0)
    assert peer.announce() >= SIZE - 2000
    peer.send(1000, B | E, sid=1, skip=1)  # which is held behind a hole
    assert peer.announce() < SIZE


def test_an_update_is_worth_it_when_a_quarter_has_opened() -> None:
    peer = Peer()
    peer.send(SIZE - 1000)
    peer.announce()
    peer.read(SIZE // 4 - 1)
    assert not peer.window.is_worth_an_update
    peer.read(1)
    assert peer.window.is_worth_an_update


def test_associations_share_the_memory_of_their_endpoint() -> None:
    budget = Budget(MIB)
    peers = [Peer(MIB, budget=budget) for _ in range(3)]
    for _ in range(40):
        for peer in peers:
            if peer.window.free() > 20_000:
                peer.send(20_000)
                peer.window.count()
    assert sum(peer.queue.unread for peer in peers) <= MIB + 3 * 4096
    for peer in peers:
        assert peer.announce() < MIB // 2
        peer.read(peer.queue.unread)
        peer.window.count()
    assert budget.taken == 0


@pytest.mark.parametrize("known", [True, False])
def test_without_memory_streams_that_were_there_before_go_on(known: bool) -> None:
    """What it takes to know where they stand does not come back by reading."""
    peer = Peer(MIB, memory=256 << 10)
    for sid in range(300):
        peer.send(1, sid=sid)
    peer.read(peer.queue.unread)
    assert peer.window.count()
    peer.budget.taken += 1 << 20  # by others
    for sid in range(300) if known else range(1000, 1300):
        peer.send(1, sid=sid)
    peer.read(peer.queue.unread)
    assert peer.window.count() is known


def test_a_larger_buffer_than_before_is_remembered_when_it_shrinks() -> None:
    """The peer may have begun as many messages as fitted it."""
    peer = Peer()
    peer.window.resize(SIZE // 2)
    assert peer.queue.surplus == SIZE // 2
    assert peer.window.most(100) >= SIZE
    assert peer.window.free() == SIZE // 2
