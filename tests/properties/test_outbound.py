"""The sending side against models that keep one entry for every TSN and every message."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.chunks import pack_data

from asyncsctp.outbound.data_queue import DataQueue
from asyncsctp.outbound.message import LOST, TIMED_OUT, OutboundMessage, SentPacket, message_flags
from asyncsctp.outbound.outstanding import OutstandingQueue
from asyncsctp.outbound.retransmission import RetransmissionQueue
from asyncsctp.schedulers import FirstComeFirstServed
from asyncsctp.wire.octets import Writer, read_data

PATHS = 3


class Sent:
    """One chunk in the model."""

    def __init__(self, size: int, user_bytes: int, path_id: int) -> None:
        self.size = size
        self.user_bytes = user_bytes
        self.path_id = path_id
        self.acked = False
        self.lost = False
        self.timed_out = False
        self.transmissions = 1
        self.left = 0.0
        self.hurried = False
        self.misses = 0
        self.overtaken = 0  # misses by what left later


class Model:
    """Section 7.2.4 and 6.2.1, literally: a miss counter for each chunk, and every chunk visited for each SACK.

    What was reneged on is acknowledged by the cumulative TSN alone from then on. Of what was sent again
    the model knows only what may be lost by now: `apply` leaves it in `overtaken`.
    """

    def __init__(self) -> None:
        self.chunks: dict[int, Sent] = {}
        self.withdrawn: set[int] = set()
        self.cumulative_tsn = 0
        self.overtaken: set[int] = set()

    def apply(self, cumulative_tsn: int, gaps: set[int], in_recovery: bool) -> tuple[list[int], set[int], bool]:
        acked = [0] * PATHS
        newly: list[int] = []
        reneged = False
        advanced = cumulative_tsn > self.cumulative_tsn
        self.cumulative_tsn = cumulative_tsn
        self.withdrawn = {tsn for tsn in self.withdrawn if tsn > cumulative_tsn}
        gaps = gaps - self.withdrawn
        for tsn, chunk in list(self.chunks.items()):
            reported = tsn <= cumulative_tsn or tsn in gaps
            if reported and not chunk.acked:
                acked[chunk.path_id] += chunk.size
                newly.append(tsn)
                chunk.acked = True
                chunk.lost = chunk.timed_out = False
            elif chunk.acked and not reported:
                chunk.acked = False
                chunk.misses = -1  # consecutive ones only, and the one for having been reneged on
                chunk.hurried &= chunk.transmissions > 1
                reneged = True
                self.withdrawn.add(tsn)
            if tsn <= cumulative_tsn:
                del self.chunks[tsn]
        highest = max((tsn for tsn in newly if tsn > cumulative_tsn), default=0)
        if in_recovery and advanced and gaps:
            highest = max(gaps)
        lost = set()
        self.overtaken = set()
        for tsn, chunk in self.chunks.items():
            if chunk.acked or chunk.lost or chunk.timed_out:
                continue
            if tsn < highest and (self.chunks[highest].left, highest) > (chunk.left, tsn):
                chunk.overtaken += 1
            if chunk.misses < 0:
                chunk.misses = 1
            elif tsn < highest:
                chunk.misses += 1
            else:
                continue
            if chunk.transmissions > 1:
                if max(chunk.overtaken, chunk.misses) >= 3 and not chunk.hurried:
                    self.overtaken.add(tsn)
            elif chunk.misses >= 3:
                chunk.lost = chunk.hurried = True
                lost.add(tsn)
        return acked, lost, reneged

    def in_flight(self) -> list[int]:
        return [
            sum(c.size for c in self.chunks.values() if c.path_id == path and not (c.acked or c.lost or c.timed_out))
            for path in range(PATHS)
        ]

    def user_bytes_in_flight(self) -> int:
        return sum(c.user_bytes for c in self.chunks.values() if not (c.acked or c.lost or c.timed_out))

    def outstanding_paths(self) -> list[bool]:
        return [any(c.path_id == path and not c.acked for c in self.chunks.values()) for path in range(PATHS)]


sends = st.tuples(st.just("send"), st.integers(0, PATHS - 1), st.lists(st.integers(1, 9), min_size=1, max_size=5))
sacks = st.tuples(
    st.just("sack"),
    st.one_of(st.just(0), st.integers(0, 6)),  # how far the cumulative TSN advances
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), max_size=4),  # holes and blocks, from the end backwards
    st.booleans(),
)
grows = st.tuples(st.just("grow"), st.integers(0, 5), st.booleans())  # the usual: one packet more, nothing else
times = st.tuples(st.just("t3"), st.integers(0, PATHS - 1))
resends = st.tuples(st.just("resend"), st.integers(0, PATHS - 1), st.integers(16, 120))
checks = st.lists(st.one_of(sends, sends, sacks, grows, grows, grows, times, resends), max_size=60)


def ranges_of(tsns: set[int], cumulative_tsn: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for tsn in sorted(tsns):
        offset = tsn - cumulative_tsn
        if ranges and ranges[-1][1] == offset - 1:
            ranges[-1] = (ranges[-1][0], offset)
        else:
            ranges.append((offset, offset))
    return ranges


def lost_tsns(queue: OutstandingQueue) -> set[int]:
    return {
        tsn
        for record in queue.records[queue.head :]
        if record.state in (LOST, TIMED_OUT)
        for tsn in range(record.first_tsn, record.last_tsn + 1)
    }


@settings(max_examples=400, deadline=None)
@given(checks)
@example(  # what was sent again is acknowledged, then taken back, and not overtaken three times since
    [
        ("send", 0, [1]),
        ("send", 2, [1]),
        ("t3", 2),
        ("resend", 0, 20),
        ("grow", 0, False),
        ("send", 0, [1, 1, 1]),
        ("grow", 0, False),
        ("sack", 0, [(1, 0), (1, 0)], False),
        ("grow", 1, False),
    ]
)
def test_outstanding_against_one_entry_per_tsn(commands: list[tuple]) -> None:  # type: ignore[type-arg]
    queue = OutstandingQueue(1, PATHS)
    window = RetransmissionQueue(queue, 10000)
    model = Model()
    gaps: set[int] = set()
    for now, command in enumerate(commands):
        if command[0] == "send":
            _, path_id, sizes = command
            first = queue.next_tsn
            chunks = [pack_data(3, first + n, 0, 0, 0, b"x" * size) for n, size in enumerate(sizes)]
            for n, size in enumerate(sizes):
                model.chunks[first + n] = Sent(len(chunks[n]), size, path_id)
                model.chunks[first + n].left = float(now)
            body = b"".join(chunks)
            record = SentPacket(first, first + len(sizes) - 1, body, sum(sizes), path_id, float(now))
            queue.add_run([record], len(body), sum(sizes))
        elif command[0] in {"sack", "grow"}:
            last = queue.next_tsn - 1
            cumulative_tsn = queue.cumulative_tsn
            if command[0] == "sack":
                cumulative_tsn = min(cumulative_tsn + command[1], last)
                gaps = set()
                end = last
                for hole, block in command[2]:
                    gaps |= set(range(end - block, end + 1))
                    end -= block + 1 + hole
            else:
                gaps = gaps | {tsn for tsn in range(last - command[1], last + 1) if tsn > cumulative_tsn + 1}
            gaps = {tsn for tsn in gaps if tsn > cumulative_tsn + 1}
            released = sum(c.user_bytes for tsn, c in model.chunks.items() if tsn <= cumulative_tsn)
            before = lost_tsns(queue)
            window.in_recovery, window._exit_point = command[-1], 1 << 60
            summary = window.on_sack(cumulative_tsn, 10000, ranges_of(gaps, cumulative_tsn), 1.0)
            acked, lost, reneged = model.apply(cumulative_tsn, gaps, command[-1])
            assert summary.acked == acked
            assert summary.any_new == any(acked)
            assert summary.released == released
            again = lost_tsns(queue) - before - lost
            assert lost_tsns(queue) - before == lost | again
            assert again <= model.overtaken
            for tsn in again:
                model.chunks[tsn].lost = model.chunks[tsn].hurried = True
            lost |= again
            assert bool(summary.lost_paths) == bool(lost)
            assert bool(summary.reneged) == reneged
            assert len(ranges_of(model.withdrawn, 0)) <= 16, "beyond, they are taken for one"
        elif command[0] == "t3":
            window.expire_t3(command[1])
            for chunk in model.chunks.values():
                if chunk.path_id == command[1] and not chunk.acked:
                    chunk.timed_out = True
                    chunk.lost = False
        else:
            parts: list[bytes] = []
            window.fill(parts, command[2], command[1], float(now))
            body = b"".join(parts)
            assert len(body) <= command[2]
            at = 0
            tsns = []
            while at < len(body):
                _, length, tsn, _, _, _ = read_data(body, at)
                tsns.append(tsn)
                at += (length + 3) & -4
            assert tsns == sorted(tsn for tsn, c in model.chunks.items() if c.lost or c.timed_out)[: len(tsns)]
            for tsn in tsns:
                chunk = model.chunks[tsn]
                chunk.lost = chunk.timed_out = False
                chunk.path_id = command[1]
                chunk.transmissions += 1
                chunk.left = float(now)
                chunk.misses = chunk.overtaken = 0
        assert queue.in_flight == model.in_flight()
        assert queue.in_flight_user_bytes == model.user_bytes_in_flight()
        assert queue.user_bytes == sum(chunk.user_bytes for chunk in model.chunks.values())
        assert lost_tsns(queue) == {tsn for tsn, c in model.chunks.items() if c.lost or c.timed_out}
        assert [queue.has_outstanding(path) for path in range(PATHS)] == model.outstanding_paths()
        assert bool(queue) == bool(model.chunks)


messages = st.tuples(
    st.integers(0, 3),
    st.one_of(st.integers(1, 40), st.integers(1, 3000)),
    st.booleans(),
    st.integers(0, 3),  # packets filled before it is written
)


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, max_size=40), st.integers(300, 1500), st.integers(0, 600), st.integers(0, 3000))
def test_every_message_leaves_whole_and_in_order(
    written: list[tuple[int, int, bool, int]], max_chunk: int, more_room: int, window: int
) -> None:
    queue = DataQueue(FirstComeFirstServed(), max_chunk)
    room = max_chunk + more_room
    expected: list[tuple[int, bytes, bool]] = []
    arrived: list[tuple[int, bytes, bool]] = []
    ssns: dict[int, int] = {}
    whole = b""
    open_ssn = -1
    next_tsn = 1

    def send_one(max_user: int) -> None:
        nonlocal next_tsn, whole, open_ssn
        writer = Writer()
        size = queue.next_size(room)
        buffered = queue.buffered
        count, user_bytes = queue.fill(writer, room, next_tsn, max_user)
        body = writer.getvalue()
        assert len(body) <= room
        assert user_bytes == buffered - queue.buffered <= max_user
        assert bool(count) == (bool(buffered) and size <= max_user)
        at = 0
        tsn = next_tsn
        while at < len(body):
            flags, length, wire_tsn, sid, ssn, ppid = read_data(body, at)
            assert wire_tsn == tsn
            assert length <= max_chunk
            assert ppid == sid
            if flags & 2:
                assert not whole
                open_ssn = ssn
            assert open_ssn == ssn
            whole += body[at + 16 : at + length]
            if flags & 1:
                arrived.append((sid, whole, bool(flags & 4)))
                whole = b""
                if not flags & 4:
                    assert open_ssn == ssns.get(sid, 0)
                    ssns[sid] = open_ssn + 1
            at += (length + 3) & -4
            tsn += 1
        assert tsn == next_tsn + count
        next_tsn = tsn

    for number, (sid, size, unordered, packets) in enumerate(written):
        for _ in range(packets):
            send_one(window)
        data = number.to_bytes(2, "big") * size
        queue.push(OutboundMessage(sid, data[:size], sid, message_flags(unordered, False)))
        expected.append((sid, data[:size], unordered))
        assert sum(queue.buffered_of(sid) for sid in range(4)) == queue.buffered
    while queue:
        send_one(1 << 30)
    assert arrived == expected
    assert queue.buffered == 0
