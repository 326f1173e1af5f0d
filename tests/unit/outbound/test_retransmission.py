"""The peer's window, fast recovery and retransmission (RFC 9260 sections 6.1, 6.2.1, 6.3.3 and 7.2.4)."""

from __future__ import annotations

from support.chunks import pack_data
from support.narrowing import so_far

from asyncsctp.outbound.message import LOST, TIMED_OUT, SentPacket
from asyncsctp.outbound.outstanding import OutstandingQueue
from asyncsctp.outbound.retransmission import RetransmissionQueue


def sent(*chunks: int, a_rwnd: int = 10000, paths: int = 1) -> tuple[OutstandingQueue, RetransmissionQueue]:
    outstanding = OutstandingQueue(1, paths)
    for number, count in enumerate(chunks):
        send(outstanding, count, number % paths)
    return outstanding, RetransmissionQueue(outstanding, a_rwnd)


def send(outstanding: OutstandingQueue, chunks: int = 1, path_id: int = 0) -> None:
    first = outstanding.next_tsn
    body = b"".join(pack_data(3, tsn, 0, 0, 0, b"x" * 100) for tsn in range(first, first + chunks))
    size = 100 * chunks
    outstanding.add_run([SentPacket(first, first + chunks - 1, body, size, path_id, 0.0)], len(body), size)


CHUNK = 116


def test_the_peers_window_follows_what_is_in_flight() -> None:
    _, queue = sent(1, 1, 1, a_rwnd=1000)
    assert queue.peer_rwnd() == 700
    queue.on_sack(1, 500, (), 1.0)
    assert queue.peer_rwnd() == 300
    queue.on_sack(1, 100, (), 1.0)
    assert queue.peer_rwnd() == 0
    queue.expire_t3(0)
    assert queue.peer_rwnd() == 100
    queue.on_sack(3, 0, (), 1.0)
    assert queue.peer_rwnd() == 0


def test_a_stale_sack_does_not_change_the_window() -> None:
    _, queue = sent(1, 1)
    queue.on_sack(2, 5000, (), 1.0)
    assert queue.on_sack(1, 0, (), 1.0).stale
    assert queue.peer_rwnd() == 5000


def test_a_shutdown_acknowledges_but_has_no_window() -> None:
    outstanding, queue = sent(1, 1)
    assert queue.on_sack(2, queue.a_rwnd, None, 1.0).cum_advanced
    assert not outstanding
    assert queue.peer_rwnd() == 10000


def test_fast_retransmit_enters_recovery_once_until_the_exit_point() -> None:
    outstanding, queue = sent(*[1] * 10)
    for top in (3, 4):
        assert not queue.on_sack(0, 10000, ((3, top),), 1.0).entered_recovery
    summary = queue.on_sack(0, 10000, ((3, 5),), 1.0)
    assert summary.entered_recovery
    assert list(summary.lost_paths) == [0]
    assert so_far(queue.in_recovery)
    assert so_far(queue.fast_retransmit_due)
    parts: list[bytes] = []
    assert queue.fill(parts, CHUNK, 0, 2.0) == (CHUNK, True)
    assert not queue.fast_retransmit_due
    assert queue.fill(parts, 1000, 0, 2.0) == (CHUNK, False)
    assert [pack_data(3, tsn, 0, 0, 0, b"x" * 100) for tsn in (1, 2)] == parts
    queue.on_sack(2, 10000, ((1, 3), (5, 5)), 3.0)
    queue.on_sack(5, 10000, ((2, 3),), 3.0)
    summary = queue.on_sack(5, 10000, ((2, 4),), 3.0)
    assert list(summary.lost_paths) == [0]
    assert so_far(queue.in_recovery)
    assert not summary.entered_recovery
    assert not queue.fast_retransmit_due
    queue.on_sack(9, 10000, (), 4.0)
    assert so_far(queue.in_recovery)
    queue.on_sack(10, 10000, (), 4.0)
    assert not queue.in_recovery
    assert not outstanding


def test_three_misses_mark_a_packet_once() -> None:
    outstanding, queue = sent(1, 1, 1, 1, 1)
    assert queue.on_sack(0, 10000, ((2, 2),), 1.0).lost_paths == {}
    assert queue.on_sack(0, 10000, ((2, 3),), 1.0).lost_paths == {}
    assert queue.on_sack(0, 10000, ((2, 3),), 1.0).lost_paths == {}  # nothing newly acknowledged: no miss
    assert outstanding.earliest_lost() is None
    assert list(queue.on_sack(0, 10000, ((2, 4),), 1.0).lost_paths) == [0]
    lost = outstanding.earliest_lost()
    assert lost is not None
    assert lost.first_tsn == 1
    assert lost.state == LOST
    assert outstanding.in_flight == [CHUNK]
    assert outstanding.in_flight_user_bytes == 100
    assert queue.fill([], CHUNK, 0, 2.0) == (CHUNK, True)
    assert outstanding.in_flight == [2 * CHUNK]
    assert outstanding.earliest_lost() is None
    assert queue.on_sack(0, 10000, ((2, 5),), 1.0).lost_paths == {}  # not eligible a second time


def test_in_recovery_a_cumulative_advance_misses_all_that_is_missing() -> None:
    _, queue = sent(1, 1, 1, 1, 1, 1)
    queue.on_sack(0, 10000, ((2, 2), (4, 4), (6, 6)), 1.0)
    queue.in_recovery, queue._exit_point = True, 6
    assert queue.on_sack(1, 10000, ((1, 1), (3, 3), (5, 5)), 1.0).lost_paths == {}
    assert list(queue.on_sack(2, 10000, ((2, 2), (4, 4)), 1.0).lost_paths) == [0]


def test_what_was_reneged_on_is_missed_three_times_from_then_on() -> None:
    """Section 6.2.1 D iii: the SACK that reneges on it counts the first miss, each part of a packet is counted."""
    outstanding, queue = sent(1, 3, 1, 1, 1)
    queue.on_sack(1, 10000, ((1, 4),), 1.0)
    summary = queue.on_sack(1, 10000, ((4, 4),), 1.0)
    assert [(record.first_tsn, record.last_tsn) for record in summary.reneged] == [(2, 4)]
    outstanding.split(outstanding.records[outstanding.head], 3)
    assert queue.on_sack(1, 10000, ((4, 5),), 1.0).lost_paths == {}
    assert queue.on_sack(1, 10000, ((4, 5),), 1.0).lost_paths == {}
    assert queue.on_sack(1, 10000, ((4, 6),), 1.0).lost_paths == {0: 4}
    assert queue.fill([], 1000, 0, 2.0) == (3 * CHUNK, True)


def test_a_timeout_marks_the_path_and_ends_recovery() -> None:
    outstanding, queue = sent(1, 1, 1, 1, 1, 1, paths=2)
    for top in (4, 5, 6):
        queue.on_sack(0, 10000, ((4, top),), 1.0)
    assert so_far(queue.in_recovery)
    assert queue.expire_t3(0) == 2
    assert not queue.in_recovery
    assert not queue.fast_retransmit_due
    lost = outstanding.earliest_lost()
    assert lost is not None
    assert lost.state == TIMED_OUT
    assert lost.path_id == 0
    parts: list[bytes] = []
    assert queue.fill(parts, 1000, 1, 2.0) == (CHUNK, True)  # the next one was lost on another path
    lost = outstanding.earliest_lost()
    assert lost is not None
    assert lost.state == LOST
    assert lost.path_id == 1
    assert queue.fill(parts, 1000, 1, 2.0) == (CHUNK, False)
    assert queue.fill(parts, 1000, 1, 2.0) == (CHUNK, False)
    assert queue.fill(parts, 1000, 1, 2.0) == (0, False)
    assert len(parts) == 3


def test_a_packet_too_long_for_the_path_is_cut_between_chunks() -> None:
    outstanding, queue = sent(5)
    queue.expire_t3(0)
    parts: list[bytes] = []
    assert queue.fill(parts, 2 * CHUNK + 50, 0, 1.0) == (2 * CHUNK, True)
    assert queue.fill(parts, 2 * CHUNK + 50, 0, 1.0) == (2 * CHUNK, False)
    assert queue.fill(parts, 2 * CHUNK + 50, 0, 1.0) == (CHUNK, False)
    assert b"".join(parts) == b"".join(pack_data(3, tsn, 0, 0, 0, b"x" * 100) for tsn in range(1, 6))
    assert outstanding.in_flight == [5 * CHUNK]
    queue.on_sack(5, 10000, (), 1.0)
    assert not outstanding
    assert outstanding.in_flight == [0]


def test_a_chunk_too_long_for_the_path_goes_alone_if_it_must() -> None:
    _, queue = sent(2)
    queue.expire_t3(0)
    parts: list[bytes] = []
    assert queue.fill(parts, 60, 0, 1.0) == (0, False)
    assert queue.fill(parts, 60, 0, 1.0, force=True) == (CHUNK, True)
    assert queue.fill(parts, 60, 0, 1.0, force=True) == (CHUNK, False)


def test_the_send_window_is_bounded_in_tsns() -> None:
    outstanding, queue = sent()
    while outstanding.next_tsn <= queue.last_new_tsn():
        send(outstanding, 50)
    assert 31000 < outstanding.next_tsn < 32767
    queue.on_sack(50, 1 << 30, (), 1.0)
    assert outstanding.next_tsn <= queue.last_new_tsn()


def test_what_went_astray_tells_nothing_of_a_path() -> None:
    """RFC 7829 section 3.2 rules 9 and 10: it was sent to several addresses; beside it there may be what was not."""
    outstanding, queue = sent(2, 1, paths=2)  # TSNs 1 and 2 on path 0, 3 on path 1
    queue.expire_t3(0)
    assert queue.fill([], 10000, 1, 1.0)[0] == 2 * CHUNK
    outstanding.split(outstanding.records[0], 2)
    summary = queue.on_sack(1, 10000, (), 2.0)
    assert summary.acked == [0, CHUNK]
    assert not summary.is_certain(1)
    summary = queue.on_sack(3, 10000, (), 2.0)
    assert summary.acked == [0, 2 * CHUNK]
    assert summary.is_certain(1)


def test_what_was_sent_again_to_the_same_path_did_not_go_astray() -> None:
    _, queue = sent(1)
    queue.expire_t3(0)
    queue.fill([], 10000, 0, 1.0)
    assert queue.on_sack(1, 10000, (), 2.0).is_certain(0)


def test_what_came_back_to_its_first_path_is_astray_for_good() -> None:
    _, queue = sent(1, 1, paths=2)
    for path_id in (1, 0):
        queue.expire_t3(0)
        queue.expire_t3(1)
        queue.fill([], 10000, path_id, 1.0)
        queue.fill([], 10000, path_id, 1.0)
    summary = queue.on_sack(0, 10000, ((1, 1),), 2.0)
    assert not summary.is_certain(0)
    assert queue.on_sack(0, 10000, ((1, 2),), 2.0).acked == [CHUNK, 0]


def test_what_is_left_of_a_packet_reneged_on_keeps_its_misses() -> None:
    """Section 7.2.4: they count from when it was reneged on, for each chunk of it."""
    outstanding, queue = sent(1, 2, 1, 1, 1, 1)  # TSNs 2 and 3 are one packet
    queue.on_sack(0, 10000, ((2, 4),), 1.0)
    queue.on_sack(0, 10000, ((4, 5),), 1.0)
    queue.on_sack(0, 10000, ((4, 6),), 1.0)
    assert list(queue.on_sack(2, 10000, ((2, 5),), 1.0).lost_paths) == [0]
    lost = outstanding.earliest_lost()
    assert lost is not None
    assert (lost.first_tsn, lost.last_tsn) == (3, 3)
