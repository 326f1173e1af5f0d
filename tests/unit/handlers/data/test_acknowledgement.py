"""When a SACK is due: RFC 9260 sections 5.1 and 6.2, RFC 7053."""

from __future__ import annotations

from typing import Any

import pytest

from asyncsctp.config import Config
from asyncsctp.handlers.data.acknowledgement import Acknowledger
from asyncsctp.inbound.data_streams import DataStreams
from asyncsctp.inbound.data_tracker import DataTracker
from asyncsctp.inbound.reassembly import Recipient
from asyncsctp.inbound.receive_window import ReceiveWindow
from asyncsctp.timers import DELAYED_ACK
from asyncsctp.wire.sack import read_sack

NOW, LATER, NOT = "now", "later", "not"


class Side:
    """What receives: a tracker, an empty window and their acknowledger."""

    def __init__(self, make_bench: Any, sack_frequency: int = 2, initial_tsn: int = 10) -> None:
        self.context = make_bench(Config(sack_frequency=sack_frequency)).context
        self.path = self.context.paths.primary
        self.tracker = DataTracker(initial_tsn - 1, 1 << 20)
        queue = DataStreams(Recipient(), 1 << 20)
        window = ReceiveWindow(1 << 20, self.context.budget, queue, self.tracker, 0)
        self.acknowledger = Acknowledger(self.context, self.tracker, window)
        assert self.packet(initial_tsn - 1) == NOW, "section 5.1: the first DATA"
        self.sacks()

    @property
    def due(self) -> str:
        if self.acknowledger.is_due:
            return NOW
        return LATER if self.acknowledger.is_delaying else NOT

    def packet(self, *wire_tsns: int, immediate: bool = False) -> str:
        for wire_tsn in wire_tsns:
            self.tracker.accept(wire_tsn)
        self.acknowledger.on_packet(self.path, immediate)
        assert self.context.timers.runs(DELAYED_ACK) or not self.acknowledger.is_delaying
        return self.due

    def sacks(self, data_travels: bool = False) -> list[tuple[int, list[tuple[int, int]], tuple[int, ...]]]:
        """What the SACKs that leave say but for the window."""
        chunks = self.acknowledger.take_sacks(1000, data_travels)
        read = [read_sack(chunk, 0, len(chunk)) for chunk in chunks]
        return [(tsn, gaps, duplicates) for tsn, _, gaps, duplicates in read]


@pytest.fixture
def side(make_bench: Any) -> Side:
    return Side(make_bench)


def test_every_second_packet_not_every_second_chunk(side: Side) -> None:
    assert side.packet(10, 11, 12) == LATER
    assert side.packet(13) == NOW
    assert side.sacks() == [(13, [], ())]
    assert side.due == NOT
    assert side.packet(14) == LATER


@pytest.mark.parametrize("frequency", [1, 3, 4])
def test_every_so_many_packets(make_bench: Any, frequency: int) -> None:
    side = Side(make_bench, frequency)
    assert [side.packet(10 + n) for n in range(frequency)] == [LATER] * (frequency - 1) + [NOW]


def test_a_sack_that_goes_with_data_starts_the_count_again(side: Side) -> None:
    side.packet(10)
    assert side.sacks() == []
    assert side.sacks(data_travels=True) == [(10, [], ())]
    assert side.packet(11) == LATER


def test_the_i_bit_asks_for_an_acknowledgement_at_once(side: Side) -> None:
    assert side.packet(10, immediate=True) == NOW


def test_a_gap_is_reported_with_each_packet_until_it_is_closed(side: Side) -> None:
    states = []
    for wire in (11, 13, 10, 12, 14, 15):
        states.append(side.packet(wire))
        side.sacks()
    # opens, stays, stays open at 12, closes, and then as usual
    assert states == [NOW, NOW, NOW, NOW, LATER, NOW]


def test_chunks_out_of_order_within_one_packet_leave_no_gap(side: Side) -> None:
    assert side.packet(11, 10) == LATER


def test_a_packet_of_duplicates_alone_is_acknowledged_at_once(side: Side) -> None:
    side.packet(10)
    side.sacks(data_travels=True)
    assert side.packet(10, 9) == NOW
    assert side.sacks() == [(10, [], (10, 9))]


def test_duplicates_with_new_data_may_wait(side: Side) -> None:
    assert side.packet(9, 10) == LATER
    assert side.sacks(data_travels=True) == [(10, [], (9,))]


def test_one_leaves_for_each_packet_of_a_batch_in_their_order_whatever_they_tell(side: Side) -> None:
    for wire_tsns in ((10,), (11,), (12,), (13,), (15,), (14,), (16,), (17,)):
        side.packet(*wire_tsns)
    assert side.sacks() == [(11, [], ()), (13, [], ()), (13, [(2, 2)], ()), (15, [], ()), (17, [], ())]
    assert side.due == NOT


def test_what_was_delayed_is_due_when_the_time_has_passed_or_it_is_hurried(side: Side) -> None:
    side.acknowledger.hurry()
    assert side.due == NOT
    side.packet(10)
    side.acknowledger.hurry()
    assert side.due == NOW
    side.sacks()
    side.packet(11)
    side.acknowledger.force()
    assert side.due == NOW


def test_nothing_is_acknowledged_of_what_came_before_tsns_began_anew(side: Side) -> None:
    """RFC 6525 section 5.2.4; what comes after that is as the first of an association."""
    side.packet(10)
    side.packet(11)
    side.packet(13)
    side.tracker.restart(1000)
    side.acknowledger.restart(is_due=False)
    assert side.due == NOT
    assert not side.context.timers.runs(DELAYED_ACK)
    assert side.packet(1000) == NOW
    assert side.sacks() == [(1000, [], ())]
