"""The schedulers of RFC 8260 section 3 where messages interleave: order and shares on the wire, with I-DATA chunks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from struct import unpack_from

import pytest
from support.pair import A_ADDRESSES, Pair

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

I_DATA = 0x40
SLOW = LinkSettings(delay=0.01, rate=1e6)
LONG = 40_000


class Interleaved:
    """What A writes at once, and what then leaves: stream and user bytes of each chunk, by packets."""

    def __init__(self, scheduler: Callable[[], StreamScheduler] | None, **values: int) -> None:
        config = Config(mtu=1500, heartbeat_interval=None, interleaving=True, send_buffer=1 << 24)
        self.pair = Pair(link=SLOW, config=config.replace(scheduler=scheduler), z_config=config)
        self.pair.establish()
        for name, value in values.items():
            self.pair.association(0).sender().set_priority(int(name.removeprefix("stream")), value)
        self.packets: list[list[tuple[int, int]]] = []
        self._seen: set[int] = set()
        self.pair.network.on_datagram = self._see

    def _see(self, datagram: Datagram) -> None:
        if datagram.source[0] != A_ADDRESSES[0]:
            return
        chunks = []
        at = 12
        while at < len(datagram.data):
            kind, _, length = unpack_from("!BBH", datagram.data, at)
            assert kind != 0, "DATA in an association that interleaves"
            if kind == I_DATA:
                tsn, sid = unpack_from("!IH", datagram.data, at + 4)
                if tsn not in self._seen:
                    self._seen.add(tsn)
                    chunks.append((sid, length - 20))
            at += length + 3 & -4
        if chunks:
            self.packets.append(chunks)

    def send(self, **sizes: int) -> list[int]:
        """A message on each stream; the streams of the chunks that carry them, in order."""
        for name, size in sizes.items():
            self.pair.send(0, int(name.removeprefix("stream")), bytes(size))
        self.pair.run_until(self.pair.is_delivered, 600.0)
        self.pair.verify()
        return [sid for packet in self.packets for sid, _ in packet]

    def share(self, of: float) -> dict[int, int]:
        """The bytes of each stream in the first part of all that was sent."""
        chunks = [chunk for packet in self.packets for chunk in packet]
        left = of * sum(size for _, size in chunks)
        shares: dict[int, int] = {}
        for sid, size in chunks:
            shares[sid] = shares.get(sid, 0) + size
            left -= size
            if left <= 0:
                break
        return shares


@pytest.mark.parametrize("scheduler", [None, FirstComeFirstServed])
def test_first_come_first_served(scheduler: type[StreamScheduler] | None) -> None:
    """The order of arrival is kept, so nothing interleaves although it might."""
    streams = Interleaved(scheduler).send(stream3=LONG, stream1=LONG, stream2=LONG)
    assert list(dict.fromkeys(streams)) == [3, 1, 2]
    assert sum(one != other for one, other in pairwise(streams)) == 2


def test_round_robin() -> None:
    """Chunk by chunk, as section 3.2 has it with interleaving."""
    streams = Interleaved(RoundRobin).send(stream1=LONG, stream2=LONG, stream3=LONG)
    middle = streams[6:-6]
    assert all(len(set(middle[at : at + 3])) == 3 for at in range(len(middle) - 3))


def test_round_robin_per_packet() -> None:
    """Section 3.3: each packet holds one stream, the next packet the next stream."""
    wire = Interleaved(RoundRobinPerPacket)
    wire.send(stream1=LONG, stream2=LONG, stream3=LONG)
    assert all(len({sid for sid, _ in packet}) == 1 for packet in wire.packets)
    order = [packet[0][0] for packet in wire.packets][3:-3]
    assert all(one != other for one, other in pairwise(order))
    counts = [order.count(sid) for sid in (1, 2, 3)]
    assert max(counts) - min(counts) <= 2


def test_priority() -> None:
    """Section 3.4: a message that matters more stops one that was begun, at the next chunk."""
    wire = Interleaved(Priority, stream1=9, stream2=1)
    wire.pair.send(0, 1, bytes(LONG))
    wire.pair.run_for(0.05)
    before = sum(len(packet) for packet in wire.packets)
    streams = wire.send(stream2=LONG)
    assert set(streams[:before]) == {1}
    of_2 = [number for number, sid in enumerate(streams) if sid == 2]
    assert of_2 == list(range(of_2[0], of_2[-1] + 1)), "nothing else leaves before it has left"
    assert streams[-1] == 1
    assert of_2[0] - before <= 2


def test_fair_bandwidth() -> None:
    """Section 3.5: the same number of bytes for each stream, whatever the sizes of its messages."""
    wire = Interleaved(FairBandwidth)
    for _ in range(400):
        wire.pair.send(0, 2, bytes(100))
    wire.send(stream1=LONG)
    shares = wire.share(0.5)
    assert abs(shares[1] - shares[2]) <= 2 * 1452, shares


def test_weighted_fair_queueing() -> None:
    """Section 3.6: bytes in the proportion of the weights."""
    wire = Interleaved(WeightedFairQueueing, stream1=1, stream2=2, stream3=5)
    wire.send(stream1=4 * LONG, stream2=4 * LONG, stream3=4 * LONG)
    shares = wire.share(0.4)
    total = sum(shares.values())
    for sid, weight in ((1, 1), (2, 2), (3, 5)):
        assert abs(shares[sid] / total - weight / 8) < 0.04, shares


@pytest.mark.parametrize(
    "scheduler", [FirstComeFirstServed, RoundRobin, RoundRobinPerPacket, Priority, FairBandwidth, WeightedFairQueueing]
)
def test_a_scheduler_is_put_in_while_messages_interleave(scheduler: type[StreamScheduler]) -> None:
    wire = Interleaved(RoundRobin)
    for sid in range(5):
        wire.pair.send(0, sid, bytes(LONG))
    wire.pair.run_for(0.1)
    association = wire.pair.association(0)
    association.configure(association.context.config.replace(scheduler=scheduler))
    wire.send(stream5=LONG, stream1=500)


@pytest.mark.parametrize("sizes", [[1300] * 15, [1300] * 3 + [2000] * 10, [2000, 1300] * 8])
@pytest.mark.parametrize("window", [4096, 20_000])
def test_no_more_is_begun_than_a_small_window_can_keep(sizes: list[int], window: int) -> None:
    """RFC 8260 section 2.2.1: of many messages a little longer than a chunk, it is keeping them that takes the room."""
    config = Config(
        mtu=1280,
        heartbeat_interval=None,
        interleaving=True,
        recv_buffer=window,
        max_message_size=2000,
        scheduler=RoundRobin,
    )
    pair = Pair(config=config)
    pair.establish()
    for sid in range(window // 4096 * len(sizes)):
        pair.send(0, sid, bytes(sizes[sid % len(sizes)]))
    pair.run_until(pair.is_delivered, 600.0)
    pair.verify()
