"""FORWARD TSN against reassembly against reset: a sender that abandons, over a network that loses and reorders.

The model is the sender itself: what it abandoned may be lost, what it did not must arrive once, whole and in order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from support.seeds import seeds

from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.idata_streams import MESSAGE, IDataStreams
from asyncsctp.inbound.reassembly import OVERHEAD, Recipient

MASK = 0xFFFFFFFF


@dataclass
class Message:
    sid: int
    unordered: bool
    number: int
    epoch: int
    pieces: list[bytes]
    tsns: list[int] = field(default_factory=list)
    abandoned: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


@dataclass
class Chunk:
    message: Message
    position: int
    never_sent: bool = False


class Exchange(Recipient):
    """A sender with its outstanding chunks by TSN, and the receiving queues it sends to."""

    def __init__(self, seed: int, interleaving: bool) -> None:
        self.random = random.Random(seed)
        self.interleaving = interleaving
        self.first = self.random.choice([0, 1, 1000, MASK - 20])
        self.tracker = DataTracker(self.first, 1 << 20)
        self.data_streams = DataStreams(self, 1 << 20)
        self.i_data_streams = IDataStreams(self, 1 << 20)
        self.streams = self.i_data_streams if interleaving else self.data_streams
        self.in_parts = {sid for sid in range(3) if self.random.random() < 0.3}
        for sid in self.in_parts:
            self.streams.deliver_parts(sid, True, self.random.choice([1, 6, 12]))
        self.capacity = self.random.choice([1 << 20, 1 << 20, 8 * MESSAGE if interleaving else 12 * OVERHEAD])
        self.sent: list[Chunk] = []
        self.messages: list[Message] = []
        self.unsent: list[tuple[Message, int]] = []
        self.numbers: dict[tuple[int, bool], int] = {}
        self.epoch = 0
        self.got: list[tuple[int, bool, bytes]] = []
        self.part: dict[int, tuple[int, bool, bytes]] = {}
        self.late: list[int] = []
        self.old_skips: list[tuple[int, list[tuple[int, bool, int]]]] = []

    # What the receiver hears.

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        assert sid not in self.in_parts
        self.got.append((sid, unordered, data))

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        assert sid in self.in_parts and data
        if sid in self.part and self.part[sid][0] == tsn:
            data = self.part.pop(sid)[2] + data
        if last:
            self.got.append((sid, unordered, data))
        else:
            assert sid not in self.part
            self.part[sid] = (tsn, unordered, data)

    def on_parts_aborted(self, sid: int) -> None:
        data = self.part.pop(sid)[2]
        [message] = [m for m in self.messages if m.sid == sid and m.data.startswith(data)]
        assert message.abandoned

    # The sender.

    def write(self) -> None:
        sid, unordered = self.random.randrange(3), self.random.random() < 0.3
        key = (sid, unordered)
        number = self.numbers.get(key, 0)
        self.numbers[key] = number + 1
        size = self.random.choice([1, 1, 2, 3, 6])
        pieces = [b"%d/%d;" % (len(self.messages), n) for n in range(size)]
        message = Message(sid, unordered, number, self.epoch, pieces)
        self.messages.append(message)
        if not self.interleaving:
            self.unsent += [(message, n) for n in range(size)]
            return
        places = [at for at, (other, _) in enumerate(self.unsent) if (other.sid, other.unordered) == key]
        at = places[-1] + 1 if places else 0
        for n in range(size):  # between the fragments of other streams
            at = self.random.randint(at, len(self.unsent)) if self.random.random() < 0.7 else len(self.unsent)
            self.unsent.insert(at, (message, n))
            at += 1

    def send(self) -> None:
        if self.unsent:
            message, position = self.unsent.pop(0)
            message.tsns.append(len(self.sent))
            self.sent.append(Chunk(message, position))
            if self.random.random() < 0.7:
                self.arrive(len(self.sent) - 1)
            elif self.random.random() < 0.5:
                self.late.append(len(self.sent) - 1)

    def arrive(self, number: int) -> None:
        chunk = self.sent[number]
        if chunk.never_sent:
            return
        message = chunk.message
        payload = message.pieces[chunk.position]
        wire_tsn = self.first + number & MASK
        lacking = self.streams.held + len(payload) + OVERHEAD - self.capacity
        lacking -= self.streams.in_progress(self.tracker.cumulative_tsn)
        tsn = self.tracker.classify(wire_tsn)
        if tsn >= 0 and lacking > 0 and not self.streams.make_space(self.tracker, tsn, lacking):
            if tsn != self.tracker.cumulative_tsn + 1:
                return
            # All that was held above it is given up. What is acknowledged is bounded elsewhere.
            assert max(self.streams._chunks, default=-1) < tsn
        tsn = self.tracker.accept(wire_tsn)
        if tsn < 0:
            return
        flags = (2 if chunk.position == 0 else 0) | (1 if chunk.position == len(message.pieces) - 1 else 0)
        flags |= 4 if message.unordered else 0
        number = message.number if self.interleaving else message.number & 0xFFFF
        ppid = 7 if chunk.position == 0 or not self.interleaving else chunk.position
        acknowledged = self.tracker.cumulative_tsn
        assert self.streams.add(tsn, flags, message.sid, number, ppid, payload, acknowledged) is None
        self.check()
        self.acknowledge()

    def acknowledge(self) -> None:
        """What is in order is joined, and nothing of it is loose any more: TSNs rise within a message."""
        self.streams.acknowledge(self.tracker.cumulative_tsn)
        if self.interleaving:
            assert min(self.streams._chunks, default=MASK << 1) > self.tracker.cumulative_tsn
        self.check()

    def check(self) -> None:
        assert self.streams.recount() == self.streams.held

    @property
    def cumulative(self) -> int:
        return self.tracker.cumulative_tsn - self.first

    def received(self, number: int) -> bool:
        return self.tracker.classify(self.first + number & MASK) == -1

    def abandon(self) -> None:
        candidates = [m for m in self.messages[-12:] if not m.abandoned and m.epoch == self.epoch]
        candidates = [m for m in candidates if not m.tsns or m.tsns[-1] > self.cumulative]
        if not candidates:
            return
        message = self.random.choice(candidates)
        if not message.tsns:  # nothing was sent of it: it takes no number
            return
        message.abandoned = True
        unsent = [each for each in self.unsent if each[0] is message]
        self.unsent = [each for each in self.unsent if each[0] is not message]
        if unsent:  # the last TSN stands for what was not sent
            message.tsns.append(len(self.sent))
            self.sent.append(Chunk(message, len(message.pieces) - 1, never_sent=True))

    def skip(self) -> None:
        point = self.cumulative
        skipped: dict[tuple[int, bool], int] = {}
        while point + 1 < len(self.sent):
            message = self.sent[point + 1].message
            if not message.abandoned:
                if not self.received(point + 1) or self.random.random() < 0.5:
                    break
                point += 1  # some pass over what has been acknowledged
                continue
            point += 1
            skipped[message.sid, message.unordered] = message.number
        if point <= self.cumulative:
            return
        entries = [(sid, unordered, number) for (sid, unordered), number in skipped.items()]
        self.random.shuffle(entries)
        self.old_skips.append((point, entries))
        self.take_skip(point, entries)

    def take_skip(self, point: int, entries: list[tuple[int, bool, int]]) -> None:
        previous = self.tracker.cumulative_tsn
        tsn = self.tracker.skip_to(self.first + point & MASK, 1 << 20)
        if tsn < 0:
            return
        if self.interleaving:
            self.i_data_streams.skip(previous, tsn, entries)
        else:
            ordered = [(sid, False, n & 0xFFFF) for sid, unordered, n in entries if not unordered]
            self.data_streams.skip(previous, tsn, ordered)
        self.check()
        self.acknowledge()

    def settle(self) -> None:
        """All that was not abandoned is sent until it has arrived."""
        while self.unsent:
            self.send()
        for _ in range(300):
            if self.cumulative == len(self.sent) - 1:
                return
            self.skip()
            number = self.cumulative + 1
            if number < len(self.sent) and not self.sent[number].message.abandoned:
                self.arrive(number)
        raise AssertionError(f"the cumulative TSN stays at {self.cumulative} of {len(self.sent) - 1}")

    def reset(self) -> None:
        self.settle()
        sids = self.random.choice([None, [0], [1, 2], [0, 1, 2, 99]])
        self.streams.reset_streams(sids)
        self.check()
        for sid in range(3) if sids is None else sids:
            self.numbers.pop((sid, False), None)
            self.numbers.pop((sid, True), None)
        self.epoch += 1

    def run(self) -> None:
        for _ in range(self.random.randrange(20, 200)):
            verb = self.random.random()
            if verb < 0.25:
                self.write()
            elif verb < 0.7:
                self.send()
            elif verb < 0.78:
                self.abandon()
            elif verb < 0.84:
                self.skip()
            elif verb < 0.9 and self.late:
                self.arrive(self.late.pop(self.random.randrange(len(self.late))))
            elif verb < 0.93 and self.old_skips:
                self.take_skip(*self.random.choice(self.old_skips))
            elif verb < 0.98 and self.sent:
                self.arrive(self.random.randrange(max(self.cumulative, 0), len(self.sent)) if self.sent else 0)
            elif verb > 0.99:
                self.reset()
        self.settle()
        self.judge()

    def judge(self) -> None:
        assert self.streams.held == 0 and not self.part
        assert self.streams.in_progress(self.tracker.cumulative_tsn) == 0
        known = {message.data: message for message in self.messages}
        got = [known[data] for _, _, data in self.got]  # each is whole
        assert len(got) == len({id(message) for message in got})  # and came once
        for message, (sid, unordered, _) in zip(got, self.got, strict=True):
            assert (message.sid, message.unordered) == (sid, unordered)
        missing = [m for m in self.messages if not m.abandoned and m.data not in {data for _, _, data in self.got}]
        assert not missing, missing
        for sid in range(3):
            ordered = [(m.epoch, m.number) for m in got if m.sid == sid and not m.unordered]
            assert ordered == sorted(ordered)


@pytest.mark.parametrize("interleaving", [False, True])
@pytest.mark.parametrize("seed", seeds(150))
def test_what_was_not_abandoned_arrives_once_whole_and_in_order(seed: int, interleaving: bool) -> None:
    Exchange(seed, interleaving).run()
