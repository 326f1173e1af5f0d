"""The schedulers of RFC 8260 section 3 over a slow link: order and shares as they are on the wire, with DATA chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import unpack_from

import pytest
from support.pair import A_ADDRESSES, Z_ADDRESSES, Pair

from asyncsctp.config import Config
from asyncsctp.schedulers import (
    FairBandwidth,
    FirstComeFirstServed,
    Priority,
    RoundRobin,
    RoundRobinPerPacket,
    StreamScheduler,
    WeightedFairQueueing,
)
from asyncsctp.testing import Datagram, LinkSettings

DATA = 0
SLOW = LinkSettings(delay=0.01, rate=1e6)


def chunks_of(packet: bytes) -> Iterator[tuple[int, int, int]]:
    """TSN, stream and user bytes of each DATA chunk."""
    at = 12
    while at < len(packet):
        kind, _, length = unpack_from("!BBH", packet, at)
        if kind == DATA:
            tsn, sid = unpack_from("!IH", packet, at + 4)
            yield tsn, sid, length - 16
        at += length + 3 & -4


class Wire:
    """What A writes at once, and what then leaves: (stream, user bytes) of each chunk, by packets."""

    def __init__(self, scheduler: Callable[[], StreamScheduler] | None) -> None:
        self.config = Config(scheduler=scheduler, mtu=1500, heartbeat_interval=None, send_buffer=1 << 24)
        self.pair = Pair(link=SLOW, config=self.config, z_config=Config(mtu=1500, heartbeat_interval=None))
        self.pair.establish()
        self.sent: list[bytes] = []
        self.pair.network.on_datagram = self.see

    def see(self, datagram: Datagram) -> None:
        if datagram.source[0] == A_ADDRESSES[0]:
            self.sent.append(datagram.data)

    def write(self, sid: int, size: int, count: int = 1) -> None:
        for _ in range(count):
            self.pair.send(0, sid, bytes([sid]) * size)

    def run(self) -> None:
        self.pair.run_until(self.pair.is_delivered, 600.0)
        self.pair.verify()

    @property
    def packets(self) -> list[list[tuple[int, int]]]:
        seen: set[int] = set()
        packets: list[list[tuple[int, int]]] = []
        for packet in self.sent:
            chunks = [chunk for chunk in chunks_of(packet) if chunk[0] not in seen]
            seen |= {tsn for tsn, _, _ in chunks}
            if chunks:
                packets.append([(sid, size) for _, sid, size in chunks])
        return packets

    @property
    def chunks(self) -> list[tuple[int, int]]:
        return [chunk for packet in self.packets for chunk in packet]

    @property
    def streams(self) -> list[int]:
        """Of each chunk."""
        return [sid for sid, _ in self.chunks]

    def share(self, user_bytes: int) -> dict[int, int]:
        """How many of the first so many bytes are of each stream."""
        shares: dict[int, int] = {}
        for sid, size in self.chunks:
            shares[sid] = shares.get(sid, 0) + size
            if sum(shares.values()) >= user_bytes:
                return shares
        raise AssertionError("not so many bytes were sent")


def prioritized(scheduler: type[StreamScheduler], **values: int) -> Callable[[], StreamScheduler]:
    def make() -> StreamScheduler:
        made = scheduler()
        for name, value in values.items():
            made.set_priority(int(name.removeprefix("stream")), value)
        return made

    return make


@pytest.mark.parametrize("scheduler", [None, FirstComeFirstServed])
def test_first_come_first_served(scheduler: type[StreamScheduler] | None) -> None:
    wire = Wire(scheduler)
    order = [3, 1, 2, 2, 1, 3, 3, 3, 1, 2] * 10
    for sid in order:
        wire.write(sid, 500)
    wire.run()
    assert wire.streams == order


def test_round_robin() -> None:
    """By messages: one of five chunks is one turn, as DATA of different messages must not interleave."""
    wire = Wire(RoundRobin)
    wire.write(1, 5 * 1400, 10)
    wire.write(2, 700, 20)
    wire.write(3, 100, 30)
    wire.run()
    turns = [sid for number, sid in enumerate(wire.streams) if sid != 1 or wire.streams[number - 1] != 1]
    assert turns == [1, 2, 3] * 10 + [2, 3] * 10 + [3] * 10


def test_round_robin_per_packet() -> None:
    wire = Wire(RoundRobinPerPacket)
    for sid in (1, 2, 3):
        wire.write(sid, 300, 20)
    wire.run()
    packets = [[sid for sid, _ in packet] for packet in wire.packets]
    assert packets == [[1] * 4, [2] * 4, [3] * 4] * 5


def test_priority() -> None:
    wire = Wire(prioritized(Priority, stream1=2, stream2=1, stream4=1))
    for sid in (1, 2, 3, 4):
        wire.write(sid, 1000, 20)
    wire.run()
    assert wire.streams == [3] * 20 + [2, 4] * 20 + [1] * 20


def test_a_more_important_message_overtakes_all_that_wait() -> None:
    wire = Wire(prioritized(Priority, stream1=1))
    wire.write(1, 1000, 100)
    wire.pair.run_for(0.1)
    left = len(wire.streams)
    assert 10 <= left <= 50
    wire.write(2, 1000)
    wire.run()
    assert wire.streams.index(2) == left


def test_fair_bandwidth() -> None:
    wire = Wire(FairBandwidth)
    wire.write(1, 100, 1500)
    wire.write(2, 1000, 150)
    wire.write(3, 10_000, 15)
    wire.run()
    shares = wire.share(300_000)
    assert [shares[sid] for sid in (1, 2, 3)] == pytest.approx([100_000] * 3, abs=10_000)


def test_weighted_fair_queueing() -> None:
    wire = Wire(prioritized(WeightedFairQueueing, stream2=2, stream3=5))
    wire.write(1, 1000, 150)
    wire.write(2, 250, 600)
    wire.write(3, 500, 300)
    wire.run()
    shares = wire.share(160_000)
    assert [shares[sid] for sid in (1, 2, 3)] == pytest.approx([20_000, 40_000, 100_000], abs=1000)


def test_another_scheduler_is_put_in_while_messages_wait() -> None:
    """What was written waits for the new one's order; the message that has begun to leave is finished first."""
    wire = Wire(RoundRobin)
    for sid in (1, 2, 3):
        wire.write(sid, 3 * 1400, 20)
    wire.pair.run_for(0.2)
    left = len(wire.streams)
    assert 9 <= left <= 90
    association = wire.pair.association(0)
    association.configure(wire.config.replace(scheduler=prioritized(Priority, stream1=2, stream2=1)))
    wire.run()
    streams = wire.streams
    turns = [sid for number, sid in enumerate(streams) if number % 3 == 0]
    assert [streams[3 * number : 3 * number + 3] for number in range(60)] == [[sid] * 3 for sid in turns]
    begun = (left + 2) // 3  # messages
    assert turns[:begun] == ([1, 2, 3] * 20)[:begun]
    assert turns[begun:] == sorted(turns[begun:], reverse=True)
    assert set(turns[begun:]) == {1, 2, 3}


@pytest.mark.xfail(strict=True, reason="SendQueue.next_path asks for a stream before begin_packet, and gets NO_STREAM")
def test_messages_for_one_path_by_a_scheduler_that_ends_packets() -> None:
    """Each packet's stream is empty when the packet is full, and the window is full before all have left."""
    pair = Pair(config=Config(scheduler=RoundRobinPerPacket, mtu=1500), paths=2)
    pair.establish()
    pair.run_for(5.0)
    for sid in range(100):
        pair.send(0, sid, bytes(1400), path=Z_ADDRESSES[1])
    pair.run_until(pair.is_delivered)
    pair.verify()
