"""The inbound room against small models."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.inbound.data_streams import RUN, DataStreams
from asyncsctp.inbound.data_tracker import DUPLICATE, DataTracker, Intervals
from asyncsctp.inbound.reassembly import OVERHEAD, Recipient

NUMBERS = st.integers(0, 40)
MASK = 0xFFFFFFFF


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


@given(st.lists(st.tuples(st.sampled_from(["add", "add", "add", "remove", "drop", "extend"]), NUMBERS), max_size=80))
def test_intervals_are_a_set(steps: list[tuple[str, int]]) -> None:
    intervals, model = Intervals(), set[int]()
    for verb, number in steps:
        if verb == "add":
            isolated = not model & {number - 1, number, number + 1}
            if number not in model:
                assert intervals.is_isolated(number) is isolated
            assert intervals.add(number) is (number not in model)
            model.add(number)
        elif verb == "remove":
            assert intervals.remove(number) is (number in model)
            model.discard(number)
        elif verb == "drop":
            intervals.drop_below(number)
            model = {each for each in model if each >= number}
        elif model:
            intervals.extend()
            model.add(max(model) + 1)
        assert list(intervals) == ranges_of(model)
        assert all((each in intervals) is (each in model) for each in range(-1, 90))
        if model:
            assert (intervals.first, intervals.last) == (min(model), max(model))


@given(
    st.sampled_from([0, 1, 1000, MASK - 10, MASK, 1 << 31]),
    st.lists(st.tuples(st.sampled_from(["take", "take", "take", "take", "ask", "forget"]), NUMBERS), max_size=80),
)
def test_the_tracker_is_a_set_of_tsns(initial_tsn: int, steps: list[tuple[str, int]]) -> None:
    tracker, received = DataTracker(initial_tsn, 1 << 20), set[int]()
    duplicates: list[int] = []
    for verb, number in steps:
        tsn = initial_tsn + number
        expected = DUPLICATE if tsn in received else tsn
        if verb == "take":
            assert tracker.accept(tsn & MASK) == expected
            if tsn in received:
                duplicates.append(tsn & MASK)
            received.add(tsn)
        elif verb == "ask":
            assert tracker.classify(tsn & MASK) == expected
        elif tsn > tracker.cumulative_tsn:
            tracker.forget(tsn)
            received.discard(tsn)
        cumulative = initial_tsn - 1
        while cumulative + 1 in received:
            cumulative += 1
        above = ranges_of({tsn for tsn in received if tsn > cumulative})
        assert tracker.cumulative_tsn == cumulative
        assert tracker.expected == (cumulative + 1) & MASK
        assert tracker.gap_ranges() == above
        assert (tracker.gaps is not None) is bool(above)
        assert tracker.highest_tsn == max(received, default=cumulative)
    offsets = [(first - cumulative, last - cumulative) for first, last in above] if steps else []
    assert tracker.report(1000) == (tracker.cumulative_tsn & MASK, offsets, duplicates[:64])


@dataclass(frozen=True)
class Chunk:
    tsn: int
    flags: int
    sid: int
    ssn: int
    payload: bytes


@dataclass(frozen=True)
class Sent:
    sid: int
    unordered: bool
    pieces: int


MESSAGES = st.lists(st.builds(Sent, st.integers(0, 2), st.booleans(), st.integers(1, 5)), min_size=1, max_size=12)


def chunks_of(messages: list[Sent], initial_tsn: int) -> tuple[list[Chunk], list[bytes]]:
    chunks, whole, ssns = list[Chunk](), list[bytes](), dict[int, int]()
    for number, sent in enumerate(messages):
        ssn = ssns.get(sent.sid, 0)
        if not sent.unordered:
            ssns[sent.sid] = ssn + 1
        payloads = [b"%02d.%d;" % (number, piece) for piece in range(sent.pieces)]
        for piece, payload in enumerate(payloads):
            flags = (2 if piece == 0 else 0) | (1 if piece == sent.pieces - 1 else 0) | (4 if sent.unordered else 0)
            chunks.append(Chunk(initial_tsn + len(chunks), flags, sent.sid, ssn, payload))
        whole.append(b"".join(payloads))
    return chunks, whole


class Inbox(Recipient):
    def __init__(self) -> None:
        self.streams = DataStreams(self, 1 << 20)
        self.got: list[tuple[int, bool, bytes]] = []

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.got.append((sid, unordered, data))


def ready(messages: list[Sent], arrived: set[int]) -> set[int]:
    """The model: the numbers of the messages that can have been delivered once these TSNs are there."""
    done: set[int] = set()
    blocked: set[int] = set()
    first = 0
    for number, sent in enumerate(messages):
        complete = arrived >= set(range(first, first + sent.pieces))
        first += sent.pieces
        if complete and (sent.unordered or sent.sid not in blocked):
            done.add(number)
        elif not sent.unordered:
            blocked.add(sent.sid)
    return done


@given(MESSAGES, st.data())
def test_each_message_once_whole_in_stream_order_and_as_soon_as_it_can(
    messages: list[Sent], data: st.DataObject
) -> None:
    chunks, whole = chunks_of(messages, 0)
    inbox = Inbox()
    arrived: set[int] = set()
    for chunk in data.draw(st.permutations(chunks)):
        assert inbox.streams.add(chunk.tsn, chunk.flags, chunk.sid, chunk.ssn, 0, chunk.payload) is None
        arrived.add(chunk.tsn)
        done = ready(messages, arrived)
        assert sorted(got for _, _, got in inbox.got) == sorted(whole[number] for number in done)
        waiting = [c for c in chunks if c.tsn in arrived and not any(c.payload in whole[n] for n in done)]
        charged = sum(len(c.payload) + OVERHEAD for c in waiting)
        assert charged <= inbox.streams.held <= charged + RUN * len(waiting)
        assert inbox.streams.held == inbox.streams.recount()
    for sid in range(3):
        in_order = [whole[n] for n, sent in enumerate(messages) if sent.sid == sid and not sent.unordered]
        assert [got for at, unordered, got in inbox.got if at == sid and not unordered] == in_order
    assert inbox.streams.held == 0


@given(MESSAGES, st.data(), st.integers(0, 3))
def test_a_small_buffer_loses_nothing_that_is_sent_again(messages: list[Sent], data: st.DataObject, spare: int) -> None:
    """Chunks come in any order, repeated, into a buffer that is often full; what isn't acknowledged comes again."""
    initial_tsn = data.draw(st.sampled_from([0, 5, MASK - 3]))
    chunks, whole = chunks_of(messages, initial_tsn)
    capacity = (max(sent.pieces for sent in messages) + spare) * (OVERHEAD + RUN + 5)
    tracker, inbox = DataTracker(initial_tsn, 1 << 20), Inbox()
    streams = inbox.streams

    def offer(chunk: Chunk) -> None:
        lacking = streams.held + len(chunk.payload) + OVERHEAD + RUN - capacity
        tsn = tracker.classify(chunk.tsn & MASK)
        if tsn >= 0 and lacking > 0 and not streams.make_space(tracker, tsn, lacking):
            return
        tsn = tracker.accept(chunk.tsn & MASK)
        if tsn >= 0:
            assert tsn == chunk.tsn
            assert streams.add(tsn, chunk.flags, chunk.sid, chunk.ssn, 0, chunk.payload) is None
        assert streams.held <= capacity

    for chunk in data.draw(st.lists(st.sampled_from(chunks), max_size=60)):
        offer(chunk)
    for chunk in chunks:
        offer(chunk)
    assert tracker.cumulative_tsn == chunks[-1].tsn
    assert sorted(got for _, _, got in inbox.got) == sorted(whole)
    for sid in range(3):
        in_order = [whole[n] for n, sent in enumerate(messages) if sent.sid == sid and not sent.unordered]
        assert [got for at, unordered, got in inbox.got if at == sid and not unordered] == in_order
    assert streams.held == 0


FLAGS = st.integers(0, 7)


@given(
    st.permutations(range(12)),
    st.lists(st.tuples(FLAGS, st.integers(0, 1), st.integers(0, 2)), min_size=12, max_size=12),
    st.integers(0, 6),
)
def test_no_chunk_however_wrong_raises_or_spoils_the_ledger(
    order: list[int], what: list[tuple[int, int, int]], left_out: int
) -> None:
    inbox = Inbox()
    tracker = DataTracker(0, 1 << 20)
    violated = False
    for held, tsn in enumerate(order[: len(order) - left_out], start=1):
        flags, sid, ssn = what[tsn]
        text = inbox.streams.add(tracker.accept(tsn), flags, sid, ssn, 0, b"%x" % tsn)
        violated = violated or text is not None
        if not violated:
            out = b"".join(got for _, _, got in inbox.got)
            left = held - len(out)
            assert left * (1 + OVERHEAD) <= inbox.streams.held <= left * (1 + OVERHEAD + RUN)
    if tracker.gaps is not None:
        inbox.streams.make_space(tracker, tracker.cumulative_tsn + 1, 1 << 20)
