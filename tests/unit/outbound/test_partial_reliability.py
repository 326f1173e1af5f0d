"""Which messages are given up, and when (RFC 3758 sections 3.5 and 4, RFC 7496 section 3)."""

from __future__ import annotations

from math import inf
from weakref import ref

import pytest

from asyncsctp.outbound.data_queue import DataQueue
from asyncsctp.outbound.message import (
    DONE,
    LIMITED,
    PRIORITY,
    RELIABLE,
    TIMED,
    TIMED_OUT,
    OutboundMessage,
    SentPacket,
    Terms,
)
from asyncsctp.outbound.outstanding import OutstandingQueue
from asyncsctp.outbound.partial_reliability import PartialReliability
from asyncsctp.schedulers import FirstComeFirstServed
from asyncsctp.wire.forward_tsn import pack_forward_tsn
from asyncsctp.wire.octets import Writer

UNLIMITED = 1 << 30


class Bench:
    """A send queue and what leaves of it; `partial` chooses."""

    def __init__(self, max_chunk: int = 1000) -> None:
        self.queue = DataQueue(FirstComeFirstServed(), max_chunk)
        self.outstanding = OutstandingQueue(1, 2)
        self.partial = PartialReliability(self.queue, self.outstanding)

    def write(self, policy: int, bound: float = 0.0, *, sid: int = 0, size: int = 10) -> Terms:
        terms = Terms("mine", policy, bound)
        terms.message = OutboundMessage(sid, bytes(size), terms=terms)
        self.queue.push(terms.message)
        self.partial.add(terms, terms.message.order)
        return terms

    def leave(self, packets: int = 1, path_id: int = 0, space: int = 1000) -> None:
        """So many packets leave, each to this path."""
        for _ in range(packets):
            writer = Writer()
            tsn = self.outstanding.next_tsn
            count, user_bytes = self.queue.fill(writer, space, tsn, UNLIMITED)
            assert count
            record = SentPacket(tsn, tsn + count - 1, writer.getvalue(), user_bytes, path_id, 0.0)
            records = record.assign(self.queue.tracked)
            self.queue.tracked.clear()
            self.outstanding.add_run(records, len(writer.getvalue()), user_bytes)

    def time_out(self, times: int = 1) -> list[SentPacket]:
        """All that is outstanding is lost so many times, and sent again in between; the records of the last time."""
        for number in range(times):
            if number:
                while (record := self.outstanding.earliest_lost()) is not None:
                    self.outstanding.resend(record, 0, 0.0)
            self.outstanding.doubtful = None
            for lost in self.outstanding.sent_to(0):
                self.outstanding.mark(lost, TIMED_OUT)
        return self.outstanding.doubtful or []


def test_a_lifetime_ends_what_waits_and_what_is_lost_but_not_what_may_arrive() -> None:
    """RFC 3758 section 4.1: it is looked at before each transmission."""
    bench = Bench()
    lost, arriving = bench.write(TIMED, 5.0), bench.write(TIMED, 4.0)
    bench.leave()
    bench.time_out()
    record = bench.outstanding.records[1]
    assert record.terms is arriving
    bench.outstanding.resend(record, 0, 1.0)
    waiting, later = bench.write(TIMED, 3.0), bench.write(TIMED, 9.0)
    assert bench.partial.next_deadline == 3.0
    assert bench.partial.expired(2.9) == []
    assert bench.partial.expired(5.0) == [waiting, lost]
    assert bench.partial.next_deadline == 9.0
    assert bench.partial.expired(9.0) == [later]
    assert bench.partial.next_deadline == inf


def test_what_would_have_to_be_sent_once_more_than_it_may_is_given_up() -> None:
    """RFC 7496 section 3.1: `max_retransmits` of 1 allows two transmissions of each chunk."""
    bench = Bench()
    once, twice, reliable = bench.write(LIMITED, 0), bench.write(LIMITED, 1), bench.write(RELIABLE)
    timed = bench.write(TIMED, 5.0)
    bench.leave()
    assert bench.partial.doubtful(bench.time_out(), 4.9) == [once]
    bench.partial.abandon(once, LIMITED, "too often")
    assert bench.partial.doubtful(bench.time_out(2), 5.0) == [twice, timed]
    assert reliable.state != DONE


def test_a_message_of_which_several_chunks_are_lost_is_given_up_once() -> None:
    bench = Bench(max_chunk=500)
    long = bench.write(LIMITED, 0, size=1400)
    bench.leave(2)
    records = bench.time_out()
    assert len(records) == 3
    assert bench.partial.doubtful(records, 0.0) == [long]
    bench.partial.abandon(long, LIMITED, "too often")
    assert bench.partial.doubtful(records, 0.0) == []


def test_what_was_lost_and_has_left_again_is_not_given_up() -> None:
    bench = Bench()
    bench.write(LIMITED, 0)
    bench.leave()
    records = bench.time_out()
    bench.outstanding.resend(records[0], 0, 1.0)
    assert bench.partial.doubtful(records, 1.0) == []


def test_the_least_important_message_goes_first_and_of_equals_one_that_waits() -> None:
    """RFC 7496 section 3.2; a smaller value is more important."""
    bench = Bench()
    left = bench.write(PRIORITY, 7)
    bench.leave()
    important, waiting = bench.write(PRIORITY, 1), bench.write(PRIORITY, 7)
    assert bench.partial.least_important(7) is None
    for expected in (waiting, left, important):
        assert bench.partial.least_important(0) is expected
        bench.partial.abandon(expected, PRIORITY, "less important")
    assert bench.partial.least_important(-inf) is None


def test_what_the_peer_is_known_to_have_is_not_given_up_for_others() -> None:
    bench = Bench()
    bench.write(RELIABLE, size=900)
    arrived = bench.write(PRIORITY, 9)
    bench.leave(2, space=940)
    bench.outstanding.apply(0, ((2, 2),), 1.0)
    assert arrived.state != DONE
    assert bench.partial.least_important(-inf) is None


@pytest.mark.parametrize("packets", [0, 1, 2], ids=["waiting", "begun", "left"])
def test_a_message_is_given_up_wherever_its_chunks_are(packets: int) -> None:
    bench = Bench()
    terms = bench.write(TIMED, 1.0, sid=3, size=1500)
    bench.leave(packets)
    assert bench.partial.abandon(terms, TIMED, "too late") == (1500, {0} if packets else set())
    assert (bench.queue.buffered, bench.outstanding.user_bytes, bench.outstanding.in_flight) == (0, 0, [0, 0])
    assert bench.partial.abandoned == {(3, TIMED): (0, 1) if packets else (1, 0)}
    assert (terms.state, terms.reason) == (DONE, "too late")
    # Of one that was begun a TSN stands for what will not come, so that the peer waits for nothing.
    assert bench.partial.advance_peer_ack_point() == (2 if packets else 0)


def test_the_peer_is_told_of_what_is_given_up_without_a_gap() -> None:
    """RFC 3758 section 3.5 C1, C2 and C4: up to the first TSN that is neither acknowledged nor given up."""
    bench = Bench()
    terms = [bench.write(RELIABLE if number == 4 else LIMITED, 0, sid=number % 2) for number in range(6)]
    bench.leave()
    for number in (1, 2, 3, 5):
        bench.partial.abandon(terms[number], LIMITED, "too often")
    assert bench.partial.advance_peer_ack_point() == 0
    bench.outstanding.apply(1, (), 1.0)
    assert bench.partial.advance_peer_ack_point() == 4
    assert bench.partial.forward_tsn_due  # C3
    assert bench.partial.forward_tsn(1000, False) == pack_forward_tsn(4, [(1, 1), (0, 1)])
    assert bench.partial.is_unanswered
    assert bench.partial.forward_tsn(15, False) == pack_forward_tsn(2, [(1, 0)])  # C4: no more entries than fit


def test_numbers_of_before_a_reset_are_not_skipped() -> None:
    """RFC 6525 section 5.2.2: the stream begins anew, and one with that number is still to come."""
    bench = Bench()
    before, other = bench.write(LIMITED, 0, sid=1), bench.write(LIMITED, 0, sid=2)
    bench.leave()
    bench.outstanding.renumber([1])
    bench.partial.abandon(before, LIMITED, "too often")
    bench.partial.abandon(other, LIMITED, "too often")
    bench.partial.advance_peer_ack_point()
    assert bench.partial.forward_tsn(1000, False) == pack_forward_tsn(2, [(2, 0)])


def test_messages_that_are_done_are_not_kept_until_their_lifetimes_end() -> None:
    bench = Bench()
    last = bench.write(TIMED, 500.0)

    class Context:
        pass

    kept: list[ref[Context]] = []
    for number in range(1000):
        terms = bench.write(TIMED, 1000.0 + number)
        terms.context = context = Context()
        kept.append(ref(context))
        bench.partial.abandon(terms, RELIABLE, "withdrawn")
    del terms, context
    assert sum(context() is not None for context in kept) < 100
    assert bench.partial.next_deadline == 500.0
    assert bench.partial.expired(2000.0) == [last]
