"""How messages become DATA chunks (RFC 9260 sections 6.1, 6.5, 6.9 and 6.10)."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from asyncsctp.outbound.data_queue import DataQueue
from asyncsctp.outbound.message import OutboundMessage, Terms, message_flags
from asyncsctp.outbound.send_queue import SendQueue
from asyncsctp.schedulers import NO_STREAM, FirstComeFirstServed, Priority, RoundRobinPerPacket, StreamScheduler
from asyncsctp.wire.octets import Writer, read_data

ROOM = 1440
UNLIMITED = 1 << 30
WHOLE, BEGIN, MIDDLE, END, UNORDERED, IMMEDIATE = 3, 2, 0, 1, 4, 8


class Chunk(NamedTuple):
    flags: int
    tsn: int
    sid: int
    ssn: int
    ppid: int
    data: bytes


def chunks_of(body: bytes) -> list[Chunk]:
    chunks = []
    at = 0
    while at < len(body):
        flags, length, tsn, sid, ssn, ppid = read_data(body, at)
        chunks.append(Chunk(flags, tsn, sid, ssn, ppid, body[at + 16 : at + length]))
        at += (length + 3) & -4
    return chunks


def packet(queue: SendQueue, room: int = ROOM, tsn: int = 1, max_user: int = UNLIMITED) -> list[Chunk]:
    writer = Writer()
    count, user_bytes = queue.fill(writer, room, tsn, max_user)
    chunks = chunks_of(writer.getvalue())
    assert len(writer.getvalue()) <= room
    assert count == len(chunks)
    assert user_bytes == sum(len(chunk.data) for chunk in chunks) <= max_user
    return chunks


def queue_of(*messages: OutboundMessage, scheduler: StreamScheduler | None = None) -> SendQueue:
    queue = DataQueue(scheduler or FirstComeFirstServed(), ROOM)
    for message in messages:
        queue.push(message)
    return queue


def next_path(queue: SendQueue) -> int:
    message = queue.next_message()
    assert message is not None
    return message.path_id


def test_a_run_of_small_messages_shares_a_packet() -> None:
    queue = queue_of(*(OutboundMessage(4, bytes([n]) * 5, ppid=n) for n in range(3)))
    assert queue.buffered == queue.buffered_of(4) == 15
    chunks = packet(queue, tsn=(1 << 32) - 1)
    assert chunks == [
        Chunk(WHOLE, 0xFFFFFFFF, 4, 0, 0, b"\0" * 5),
        Chunk(WHOLE, 0, 4, 1, 1, b"\1" * 5),
        Chunk(WHOLE, 1, 4, 2, 2, b"\2" * 5),
    ]
    assert not queue
    assert queue.buffered == queue.buffered_of(4) == 0
    assert packet(queue) == []


def test_unordered_messages_leave_the_stream_sequence_number_alone() -> None:
    queue = queue_of(
        OutboundMessage(1, b"a"),
        OutboundMessage(1, b"b", flags=message_flags(unordered=True, immediate=True)),
        OutboundMessage(1, b"c"),
    )
    chunks = packet(queue)
    assert [chunk.flags for chunk in chunks] == [WHOLE, WHOLE | UNORDERED | IMMEDIATE, WHOLE]
    assert [chunk.ssn for chunk in chunks if not chunk.flags & UNORDERED] == [0, 1]


def test_ssn_wraps_after_65535() -> None:
    queue = queue_of()
    for n in range(65537):
        queue.push(OutboundMessage(0, b"x"))
        last = packet(queue)
        assert last[0].ssn == n & 0xFFFF


def test_a_long_message_is_fragmented_with_contiguous_tsns() -> None:
    data = bytes(range(256)) * 16
    message = OutboundMessage(2, data, 9, message_flags(unordered=False, immediate=True))
    queue = queue_of(message, OutboundMessage(2, b"next"))
    chunks: list[Chunk] = []
    while queue:
        chunks += packet(queue, tsn=len(chunks) + 1)
    assert [chunk.flags for chunk in chunks] == [BEGIN, MIDDLE, END | IMMEDIATE, WHOLE]
    assert [chunk.tsn for chunk in chunks] == [1, 2, 3, 4]
    assert [chunk.ssn for chunk in chunks] == [0, 0, 0, 1]
    assert b"".join(chunk.data for chunk in chunks[:3]) == data
    assert queue.tracked == [(3, message)]


def test_fragments_do_not_exceed_the_smallest_path_of_the_association() -> None:
    queue = queue_of(OutboundMessage(0, b"x" * 3000))
    queue.max_chunk = 1000
    assert [len(chunk.data) for chunk in packet(queue, room=8000)] == [984, 984, 984, 48]


def test_a_long_message_starts_in_the_rest_of_a_packet_but_not_in_a_sliver() -> None:
    queue = queue_of(OutboundMessage(0, b"x" * 900), OutboundMessage(0, b"y" * 5000))
    assert [len(chunk.data) for chunk in packet(queue)] == [900, ROOM - 916 - 16]
    queue = queue_of(OutboundMessage(0, b"x" * 1300), OutboundMessage(0, b"y" * 5000))
    assert [len(chunk.data) for chunk in packet(queue)] == [1300]


def test_a_message_that_fits_one_chunk_is_not_cut_for_the_rest_of_a_packet() -> None:
    queue = queue_of(OutboundMessage(0, b"x" * 900), OutboundMessage(0, b"y" * 1000))
    assert [len(chunk.data) for chunk in packet(queue)] == [900]
    assert [len(chunk.data) for chunk in packet(queue)] == [1000]


def test_a_chunk_too_long_for_the_peers_window_waits() -> None:
    queue = queue_of(OutboundMessage(0, b"x" * 100), OutboundMessage(0, b"y" * 100))
    assert packet(queue, max_user=99) == []
    assert len(packet(queue, max_user=199)) == 1
    queue = queue_of(OutboundMessage(0, b"x" * 5000))
    assert packet(queue, max_user=1000) == []


def test_a_window_probe_is_one_chunk() -> None:
    queue = queue_of(OutboundMessage(0, b"x" * 100), OutboundMessage(0, b"y" * 3000))
    assert queue.next_size(ROOM) == 100
    assert queue.next_size(50) == 0
    assert len(packet(queue, max_user=queue.next_size(ROOM))) == 1
    assert queue.next_size(ROOM) == ROOM - 16
    assert len(packet(queue, max_user=queue.next_size(ROOM))) == 1
    assert packet(queue_of()) == []
    assert queue_of().next_size(ROOM) == 0


def test_streams_leave_in_order_of_arrival_without_interleaving_messages() -> None:
    queue = queue_of(
        OutboundMessage(1, b"a" * 2000), OutboundMessage(2, b"b"), OutboundMessage(1, b"c"), OutboundMessage(3, b"d")
    )
    first = packet(queue)
    queue.push(OutboundMessage(2, b"e"))
    chunks = first + packet(queue)
    assert [chunk.data[:1] for chunk in chunks] == [b"a", b"a", b"b", b"c", b"d", b"e"]
    assert [chunk.ssn for chunk in chunks] == [0, 0, 0, 1, 0, 1]


class LastStreamFirst(StreamScheduler):
    """A user's own; it keeps packets to one stream."""

    def __init__(self) -> None:
        self.active: set[int] = set()
        self.in_packet = NO_STREAM
        self.turns: list[tuple[int, int]] = []

    def activate(self, sid: int, order: int) -> None:
        assert sid not in self.active
        self.active.add(sid)

    def deactivate(self, sid: int) -> None:
        self.active.remove(sid)

    def next(self) -> int:
        if self.in_packet != NO_STREAM:
            return self.in_packet if self.in_packet in self.active else NO_STREAM
        return max(self.active, default=NO_STREAM)

    def served(self, sid: int, size: int, order: int) -> None:
        self.turns.append((sid, size))
        self.in_packet = sid
        if order == NO_STREAM:
            self.active.remove(sid)

    def begin_packet(self) -> None:
        self.in_packet = NO_STREAM


def test_a_users_scheduler_decides_between_messages_and_may_end_a_packet() -> None:
    scheduler = LastStreamFirst()
    queue = queue_of(scheduler=scheduler)
    queue.push(OutboundMessage(1, b"a" * 2000))
    packet(queue)
    for sid in (2, 3, 3):
        queue.push(OutboundMessage(sid, b"x" * 10))
    assert [chunk.sid for chunk in packet(queue)] == [1]
    assert [chunk.sid for chunk in packet(queue)] == [3, 3]
    assert [chunk.sid for chunk in packet(queue)] == [2]
    assert scheduler.turns == [(1, 2000), (3, 10), (3, 10)]
    assert not scheduler.active
    assert not queue


def test_the_next_packet_is_another_streams_whatever_the_last_one_had_room_for() -> None:
    """What is said of the next packet before it is filled is said of the stream that it is then filled from."""
    queue = queue_of(scheduler=RoundRobinPerPacket())
    for path_id in (0, 0, 0):
        queue.push(OutboundMessage(1, bytes(500), path_id=path_id))
    queue.push(OutboundMessage(2, bytes(100), path_id=1))
    writer = Writer()
    assert queue.fill(writer, 600, 1, UNLIMITED, next_path(queue)) == (1, 500)
    assert (next_path(queue), queue.next_size(ROOM)) == (1, 100)
    assert queue.fill(writer, 600, 2, UNLIMITED, 1) == (1, 100)


def test_a_scheduler_without_a_guard_that_chooses_a_stream_with_nothing_to_send_raises() -> None:
    class Wrong(LastStreamFirst):
        def next(self) -> int:
            return 9

    queue = queue_of(OutboundMessage(1, b"a"), OutboundMessage(2, b"b"), scheduler=Wrong())
    with pytest.raises(RuntimeError, match="chose stream 9, which has nothing to send"):
        packet(queue)


def test_a_scheduler_can_be_replaced_in_the_middle_of_a_message() -> None:
    queue = queue_of(OutboundMessage(1, b"a" * 2000), OutboundMessage(2, b"b"), OutboundMessage(3, b"c"))
    chunks = packet(queue)
    queue.set_scheduler(LastStreamFirst())
    while queue:
        chunks += packet(queue)
    assert [chunk.sid for chunk in chunks] == [1, 1, 3, 2]


def test_abandoned_messages_come_back_in_order_of_arrival() -> None:
    messages = [OutboundMessage(sid, b"x" * size) for sid, size in ((1, 3000), (2, 5), (1, 6))]
    queue = queue_of(*messages)
    packet(queue)
    assert queue.abandon_all() == [(messages[0], True), (messages[1], False), (messages[2], False)]
    assert not queue
    assert queue.buffered == queue.buffered_of(1) == 0
    queue.push(OutboundMessage(1, b"again"))
    assert [chunk.ssn for chunk in packet(queue)] == [0]


def test_streams_not_granted_are_withdrawn() -> None:
    messages = [OutboundMessage(sid, b"x") for sid in (9, 0, 10, 9)]
    queue = queue_of(*messages)
    assert [message for message, _ in queue.withdraw_beyond(9)] == [messages[0], messages[2], messages[3]]
    assert [chunk.sid for chunk in packet(queue)] == [0]
    assert queue.buffered == 0


def test_many_messages_at_once_are_queued_as_each_alone() -> None:
    queue = queue_of(OutboundMessage(1, b"first"))
    queue.push_many(1, [b"a", b"bc"], 7, WHOLE)
    queue.push(OutboundMessage(2, b"last"))
    assert (queue.buffered, queue.buffered_of(1)) == (12, 8)
    assert [chunk[2:] for chunk in packet(queue)] == [
        (1, 0, 0, b"first"),
        (1, 1, 7, b"a"),
        (1, 2, 7, b"bc"),
        (2, 0, 0, b"last"),
    ]


def test_an_open_message_holds_up_all_others() -> None:
    """Section 6.9: the TSNs of its fragments are consecutive, so that none may come between them."""
    queue = queue_of()
    terms = Terms()
    queue.push_piece(1, b"part", 0, WHOLE, terms, False)
    queue.push(OutboundMessage(2, b"other"))
    assert (queue.movable, queue.pressing((1, 2))) == (9, [])
    packet(queue)
    assert (queue.buffered, queue.movable) == (5, 0)
    assert (queue.pressing((1, 2)), queue.pressing((2,))) == ([1], [])
    queue.push_piece(1, b"end", 0, WHOLE, terms, True)
    assert (queue.movable, queue.pressing((1, 2))) == (8, [])
    assert [chunk.data for chunk in packet(queue)] == [b"end", b"other"]


def test_what_is_written_during_a_reset_waits_for_it_and_has_new_numbers() -> None:
    """RFC 6525 section 5.1.2; what is written to another stream does not wait."""
    queue = queue_of(OutboundMessage(1, b"before"))
    queue.pause([1])
    queue.push_many(1, [b"a", b"bc"], 0, WHOLE)
    queue.push(OutboundMessage(1, b"def"))
    queue.push(OutboundMessage(2, b"other"))
    assert (queue.buffered, queue.waiting, queue.buffered_of(1)) == (11, 6, 12)
    assert [chunk.data for chunk in packet(queue)] == [b"before", b"other"]
    assert not queue.has_unsent(1)
    queue.resume([1], True)
    assert (queue.buffered, queue.waiting) == (6, 0)
    assert [(chunk.ssn, chunk.data) for chunk in packet(queue)] == [(0, b"a"), (1, b"bc"), (2, b"def")]


def test_a_stream_is_unused_until_something_is_pushed_and_after_a_reset() -> None:
    queue = queue_of(OutboundMessage(1, b"x"))
    assert (queue.is_unused(0), queue.is_unused(1), queue.in_use()) == (True, False, [1])
    packet(queue)
    assert not queue.is_unused(1)
    queue.pause([1])
    queue.resume([1], True)
    assert queue.is_unused(1)


@pytest.mark.parametrize("pieces", [1, 2], ids=["whole", "in two parts"])
def test_a_message_that_waits_for_a_reset_can_be_withdrawn(pieces: int) -> None:
    queue = queue_of()
    queue.pause([1])
    terms = Terms()
    if pieces == 1:
        terms.message = OutboundMessage(1, b"abcdef", terms=terms)
        queue.push(terms.message)
    else:
        terms.message = queue.push_piece(1, b"abc", 0, WHOLE, terms, False)
        queue.push_piece(1, b"def", 0, WHOLE, terms, True)
    queue.push(OutboundMessage(1, b"stays"))
    assert queue.withdraw(terms) == 6
    assert (queue.waiting, queue.buffered) == (5, 0)
    queue.resume([1], False)
    assert [chunk.data for chunk in packet(queue)] == [b"stays"]


def test_all_parts_of_a_message_that_waits_are_withdrawn() -> None:
    queue = queue_of(OutboundMessage(1, b"first"))
    terms = Terms()
    terms.message = queue.push_piece(1, b"abc", 0, WHOLE, terms, False)
    queue.push_piece(1, b"def", 0, WHOLE, terms, False)
    assert queue.is_open(1)
    assert queue.open_messages() == [terms]
    assert queue.withdraw(terms) == 6
    assert not queue.is_open(1)
    queue.push(OutboundMessage(1, b"last"))
    assert [(chunk.ssn, chunk.data) for chunk in packet(queue) + packet(queue)] == [(0, b"first"), (1, b"last")]


def test_what_waits_for_a_reset_comes_back_as_well_when_all_is_abandoned() -> None:
    messages = [OutboundMessage(1, b"queued"), OutboundMessage(1, b"waits")]
    queue = queue_of(messages[0])
    queue.pause([1])
    queue.push(messages[1])
    assert queue.abandon_all() == [(messages[0], False), (messages[1], False)]
    assert (queue.buffered, queue.waiting) == (0, 0)


def test_after_the_end_nothing_goes_on_that_waited_for_a_reset() -> None:
    queue = queue_of()
    queue.pause([1])
    queue.push(OutboundMessage(1, b"waits"))
    queue.abandon_all()
    queue.resume([1], True)
    assert (queue.in_use(), queue.buffered, queue.waiting) == ([], 0, 0)


def test_without_a_message_in_turn_no_path_is_wanted() -> None:
    message = OutboundMessage(1, b"x", path_id=1)
    queue = queue_of(message)
    assert queue.directed
    assert next_path(queue) == 1
    queue.fill(Writer(), ROOM, 1, UNLIMITED, 1)
    assert queue.next_message() is None
    assert not queue.directed


def test_another_scheduler_is_told_the_priorities_that_it_takes() -> None:
    queue = queue_of(*(OutboundMessage(sid, b"x") for sid in (1, 2, 3)))
    queue.set_priority(3, 70_000)
    queue.set_priority(2, 2)
    queue.set_priority(1, 9)
    queue.set_scheduler(Priority())
    assert [chunk.sid for chunk in packet(queue)] == [3, 2, 1]


def test_messages_with_a_context_are_tracked() -> None:
    queue = queue_of(OutboundMessage(0, b"a"), OutboundMessage(0, b"b", terms=Terms("mine")))
    packet(queue, tsn=10)
    assert [(tsn, message.data) for tsn, message in queue.tracked] == [(11, b"b")]


def test_all_chunks_ask_for_a_sack_while_shutdown_is_pending() -> None:
    queue = queue_of(OutboundMessage(0, b"a"), OutboundMessage(0, b"b" * 2000))
    queue.urgent_flags = IMMEDIATE
    assert [chunk.flags for chunk in packet(queue) + packet(queue)] == [WHOLE | 8, BEGIN | 8, END | 8]
