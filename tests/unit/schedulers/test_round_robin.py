"""Round robin, by turn and by packet (RFC 8260 sections 3.2 and 3.3)."""

from __future__ import annotations

from support.scheduler_queue import Sender

from asyncsctp.schedulers import NO_STREAM, RoundRobin, RoundRobinPerPacket


def test_messages_take_turns_however_long_they_are() -> None:
    sender = Sender(RoundRobin())
    for sid, size in ((1, 10), (2, 10_000), (3, 100)):
        sender.write(sid, *[size] * 3)
    assert sender.turns(10) == [1, 2, 3, 1, 2, 3, 1, 2, 3, NO_STREAM]


def test_chunks_take_turns() -> None:
    """A message of ten chunks does not hold up those of one (section 3.2, when interleaving)."""
    sender = Sender(RoundRobin(), chunk=1000)
    sender.write(1, 10_000)
    sender.write(2, 10, 10, 10)
    assert sender.turns(8) == [1, 2, 1, 2, 1, 2, 1, 1]


def test_who_was_empty_for_an_instant_has_to_wait_like_others() -> None:
    sender = Sender(RoundRobin())
    for sid in (1, 2, 3):
        sender.write(sid, 10)
    sender.write(2, 10)
    sender.write(3, 10)
    assert sender.turn() == 1
    sender.write(1, 10)
    assert sender.turns(5) == [2, 3, 1, 2, 3]


def test_who_is_withdrawn_leaves_the_line_and_comes_to_its_end() -> None:
    sender = Sender(RoundRobin())
    for sid in (1, 2, 3):
        sender.write(sid, 10, 10)
    sender.withdraw(1)
    sender.write(1, 10)
    assert sender.turns(6) == [2, 3, 1, 2, 3, NO_STREAM]


def test_a_packet_holds_one_stream() -> None:
    sender = Sender(RoundRobinPerPacket())
    sender.write(1, *[10] * 5)
    sender.write(2, *[10] * 3)
    sender.write(3, 10)
    packets = [sender.packet(3) for _ in range(6)]
    assert packets == [[1, 1, 1], [2, 2, 2], [3], [1, 1], [], []]


def test_a_packet_of_chunks_holds_one_stream() -> None:
    sender = Sender(RoundRobinPerPacket(), chunk=1000)
    sender.write(1, 3500)
    sender.write(2, 500, 500)
    assert [sender.packet(2) for _ in range(4)] == [[1, 1], [2, 2], [1, 1], []]


def test_a_packet_that_is_begun_anew_goes_to_the_same_stream() -> None:
    scheduler = RoundRobinPerPacket()
    scheduler.activate(1, 1)
    scheduler.activate(2, 2)
    for _ in range(3):
        scheduler.begin_packet()
        assert scheduler.next() == 1
    scheduler.served(1, 10, NO_STREAM)
    assert scheduler.next() == NO_STREAM  # something of stream 1 is in it
    scheduler.begin_packet()
    assert scheduler.next() == 2


def test_a_stream_that_was_withdrawn_ends_the_packet_that_it_began() -> None:
    scheduler = RoundRobinPerPacket()
    scheduler.activate(1, 1)
    scheduler.activate(2, 2)
    scheduler.begin_packet()
    scheduler.served(1, 10, 3)
    scheduler.deactivate(1)
    assert scheduler.next() == NO_STREAM
    scheduler.begin_packet()
    assert scheduler.next() == 2


def test_what_was_begun_under_another_scheduler_fills_its_packet() -> None:
    scheduler = RoundRobinPerPacket()
    scheduler.activate(1, 1)
    scheduler.activate(2, 2)
    scheduler.begin_packet()
    scheduler.served(2, 10, 5)
    assert scheduler.next() == 2
    scheduler.begin_packet()
    assert scheduler.next() == 1
