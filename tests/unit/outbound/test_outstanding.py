"""What a SACK says of packets sent (RFC 9260 sections 6.2.1, 6.3.1 and 6.3.2)."""

from __future__ import annotations

from support.chunks import pack_data, pack_i_data

from asyncsctp.outbound.message import LIMITED, TIMED_OUT, OutboundMessage, SentPacket, Terms
from asyncsctp.outbound.outstanding import OutstandingQueue


def packet(first: int, chunks: int = 1, path_id: int = 0, sent_at: float = 0.0) -> SentPacket:
    body = b"".join(pack_data(3, tsn, tsn % 7, 0, tsn, b"%099d+" % tsn) for tsn in range(first, first + chunks))
    return SentPacket(first, first + chunks - 1, body, 100 * chunks, path_id, sent_at)


def add(queue: OutstandingQueue, record: SentPacket) -> None:
    queue.add_run([record], len(record.body), record.user_bytes)


def sent(*chunks: int, paths: int = 1) -> OutstandingQueue:
    """Packets with so many chunks each, from TSN 1 on, sent over the paths by turns."""
    queue = OutstandingQueue(1, paths)
    for number, count in enumerate(chunks):
        add(queue, packet(queue.next_tsn, count, number % paths, float(number)))
    return queue


def mark(queue: OutstandingQueue, path_id: int) -> None:
    """As T3-rtx of a path does."""
    for record in queue.sent_to(path_id):
        queue.mark(record, TIMED_OUT)


SIZE = len(packet(1).body)


def test_a_cumulative_acknowledgement_releases_packets() -> None:
    queue = sent(1, 1, 1)
    assert queue.in_flight == [3 * SIZE]
    assert queue.user_bytes == queue.in_flight_user_bytes == 300
    summary = queue.apply(2, (), 5.0)
    assert summary.cum_advanced
    assert summary.any_new
    assert not summary.stale
    assert summary.acked == [2 * SIZE]
    assert summary.released == 200
    assert summary.round_trips == [(0, 5.0)]
    assert summary.earliest_acked == [True]
    assert queue.in_flight == [SIZE]
    assert queue.user_bytes == queue.in_flight_user_bytes == 100
    assert queue.has_outstanding(0)
    queue.apply(3, (), 6.0)
    assert not queue
    assert not queue.has_outstanding(0)
    assert queue.in_flight == [0]


def test_an_older_sack_changes_nothing() -> None:
    queue = sent(1, 1, 1)
    queue.apply(2, (), 1.0)
    summary = queue.apply(1, ((2, 2),), 2.0)
    assert summary.stale
    assert not summary.any_new
    assert queue.in_flight == [SIZE]


def test_what_was_never_sent_can_not_be_acknowledged() -> None:
    queue = sent(1, 1)
    summary = queue.apply(3, (), 1.0)
    assert summary.violation
    assert not summary.any_new
    for gaps in (((2, 9),), ((2, 3),), ((2, 2), (40000, 50000)), ((3, 3),)):
        summary = queue.apply(0, gaps, 1.0)
        assert summary.violation
        assert not summary.any_new
        assert queue.in_flight == [2 * SIZE]
    assert queue.apply(0, ((2, 2),), 1.0).acked == [SIZE]


def test_gap_offsets_of_zero_do_no_harm() -> None:
    queue = sent(1)
    queue.apply(1, ((0, 0),), 1.0)
    assert not queue


def test_part_of_a_packet_can_be_acknowledged() -> None:
    queue = sent(4)
    summary = queue.apply(1, ((2, 2),), 1.0)
    assert summary.acked == [2 * SIZE]
    assert queue.in_flight == [2 * SIZE]
    assert queue.user_bytes == 300
    assert queue.in_flight_user_bytes == 200
    summary = queue.apply(4, (), 1.0)
    assert summary.acked == [2 * SIZE]
    assert summary.released == 300


def test_reneged_data_is_outstanding_again() -> None:
    queue = sent(1, 3, 1)
    queue.apply(0, ((2, 5),), 1.0)
    assert queue.in_flight == [SIZE]
    summary = queue.apply(0, ((2, 2), (5, 5)), 1.0)
    assert [record.path_id for record in summary.reneged] == [0]
    assert queue.in_flight == [3 * SIZE]
    summary = queue.apply(5, (), 1.0)
    assert summary.acked == [3 * SIZE]
    assert not queue


def test_a_shutdown_tells_nothing_of_gaps() -> None:
    queue = sent(1, 1, 1)
    queue.apply(0, ((3, 3),), 1.0)
    assert not queue.apply(1, None, 1.0).reneged
    assert queue.in_flight == [SIZE]
    assert queue.apply(1, (), 1.0).reneged


def test_a_shutdown_that_stops_short_of_a_gap_range_tells_of_its_loss() -> None:
    # The SACKs that would have told are lost: the peer dropped the range for lack of buffer (section 6.2), or else the
    # cumulative TSN would be at its end. Nothing outstanding must count as acknowledged for good.
    queue = sent(1, 1, 1, 1, 1)
    queue.apply(0, ((3, 3), (5, 5)), 1.0)
    assert queue.apply(2, None, 1.0).reneged
    assert queue.has_outstanding(0)
    assert queue.in_flight == [2 * SIZE]
    assert queue.apply(4, None, 1.0).reneged
    assert queue.apply(5, None, 1.0).any_new
    assert not queue


def test_retransmitted_packets_are_not_timed() -> None:
    queue = sent(1, 1)
    mark(queue, 0)
    assert queue.in_flight == [0]
    assert queue.in_flight_user_bytes == 0
    for _ in range(2):
        record = queue.earliest_lost()
        assert record is not None
        queue.resend(record, 0, 3.0)
    add(queue, packet(3, sent_at=4.0))
    assert queue.apply(2, (), 5.0).round_trips == []
    assert queue.apply(3, (), 6.0).round_trips == [(0, 2.0)]


def test_no_measurement_from_data_sent_before_an_earlier_tsn_was_retransmitted() -> None:
    queue = sent(1)
    queue.apply(0, (), 0.0)
    mark(queue, 0)
    record = queue.earliest_lost()
    add(queue, packet(2, sent_at=1.0))
    assert record is not None
    queue.resend(record, 0, 2.0)
    assert queue.apply(2, (), 3.0).round_trips == []


def test_each_path_has_its_own_earliest_packet() -> None:
    queue = sent(1, 1, 1, 1, paths=2)  # 1 and 3 on path 0, 2 and 4 on path 1
    summary = queue.apply(0, ((2, 2),), 9.0)
    assert summary.earliest_acked == [False, True]
    assert summary.round_trips == [(1, 8.0)]
    summary = queue.apply(0, ((2, 4),), 9.0)
    assert summary.earliest_acked == [False, True]
    assert queue.has_outstanding(0)
    assert not queue.has_outstanding(1)
    summary = queue.apply(4, (), 9.0)
    assert summary.earliest_acked == [True, False]
    assert not queue.has_outstanding(0)


def test_a_retransmission_moves_to_another_path() -> None:
    queue = sent(1, 1, 1, 1, paths=2)
    mark(queue, 0)
    record = queue.earliest_lost()
    assert record is not None
    assert record.first_tsn == 1
    assert queue.resend(record, 1, 5.0)
    assert queue.in_flight == [0, 3 * SIZE]
    assert queue.has_outstanding(0)
    summary = queue.apply(1, (), 6.0)
    assert summary.acked == [0, SIZE]
    assert summary.earliest_acked == [False, True]
    record = queue.earliest_lost()
    assert record is not None
    assert record.first_tsn == 3
    assert not queue.resend(record, 1, 6.0)
    assert not queue.has_outstanding(0)


def test_lost_data_acknowledged_late_is_not_sent_again() -> None:
    queue = sent(1, 1)
    mark(queue, 0)
    assert queue.apply(1, (), 1.0).acked == [SIZE]
    record = queue.earliest_lost()
    assert record is not None
    assert record.first_tsn == 2
    queue.apply(2, (), 1.0)
    assert queue.earliest_lost() is None
    assert queue.in_flight == [0]


def test_the_path_of_a_tsn() -> None:
    queue = sent(2, 3, paths=2)
    assert [queue.path_of(tsn) for tsn in range(7)] == [-1, 0, 0, 1, 1, 1, -1]
    queue.apply(3, (), 0.0)
    assert [queue.path_of(tsn) for tsn in (3, 4, 6)] == [-1, 1, -1]


def test_a_path_can_be_added() -> None:
    queue = sent(1)
    queue.add_path()
    add(queue, packet(2, path_id=1))
    assert queue.in_flight == [SIZE, SIZE]
    assert queue.apply(2, (), 0.0).acked == [SIZE, SIZE]


def test_messages_are_recovered_when_the_association_dies() -> None:
    queue = sent(3, 1, 1)
    fragmented = OutboundMessage(5, b"both fragments")
    noted = OutboundMessage(6, b"noted", terms=Terms(object()))
    add(queue, SentPacket(6, 6, pack_data(2, 6, 5, 0, 0, b"both "), 5, 0, 0.0))
    add(queue, SentPacket(7, 7, pack_data(1, 7, 5, 0, 0, b"fragments"), 9, 0, 0.0))
    add(queue, SentPacket(8, 8, pack_data(3, 8, 6, 0, 0, b"noted"), 5, 0, 0.0))
    add(queue, SentPacket(9, 9, pack_data(2, 9, 6, 0, 0, b"not all of it has been sent"), 27, 0, 0.0))
    fragmented.tsn, noted.tsn = 7, 8
    queue.records[-3].message = fragmented
    queue.records[-2].assign([(8, noted)])
    queue.apply(1, ((3, 3), (5, 5)), 1.0)
    abandoned = queue.abandon_all()
    assert all(was_sent for _, was_sent in abandoned)
    recovered = [message for message, _ in abandoned]
    # Those that a gap ack block acknowledged too: nobody knows whether the peer's user will ever have them.
    assert [message.ppid for message in recovered[:4]] == [2, 3, 4, 5]
    assert recovered[0].sid == 2
    assert recovered[0].data == b"%099d+" % 2
    assert recovered[4:] == [fragmented, noted]
    assert not queue
    assert queue.user_bytes == 0
    assert queue.in_flight == [0]


def test_memory_of_acknowledged_packets_is_let_go() -> None:
    queue = OutstandingQueue(1)
    for tsn in range(1, 5000):
        add(queue, packet(tsn))
        if tsn > 50:
            assert queue.apply(tsn - 50, (), 0.0).acked == [SIZE]
    assert len(queue.records) < 200
    assert queue.in_flight == [50 * SIZE]


def test_a_message_of_which_the_end_is_cut_off_is_recovered_once() -> None:
    """Its fragments left in one packet, with what came before them; of each packet a part is acknowledged."""
    queue = OutstandingQueue(1)
    body = pack_data(3, 1, 0, 0, 0, b"whole") + pack_data(2, 2, 0, 1, 0, b"be") + pack_data(1, 3, 0, 1, 0, b"end")
    message = OutboundMessage(0, b"beend")
    message.tsn = 3
    record = SentPacket(1, 3, body, 10, 0, 0.0)
    assert record.assign([(3, message)]) == [record]
    add(queue, record)
    queue.apply(0, ((3, 3),), 1.0)
    assert queue.in_flight_user_bytes == 7
    assert queue.apply(1, ((2, 2),), 1.0).released == 5
    assert [message.data for message, _ in queue.abandon_all()] == [b"beend"]


def fragments(*chunks: tuple[int, int, bytes]) -> OutstandingQueue:
    """A packet for each DATA chunk: its flags, stream and data; of each stream all have SSN 0."""
    queue = OutstandingQueue(1)
    for tsn, (flags, sid, data) in enumerate(chunks, 1):
        add(queue, SentPacket(tsn, tsn, pack_data(flags, tsn, sid, 0, 0, data), len(data), 0, 0.0))
    return queue


def attached(queue: OutstandingQueue, sid: int, tsn: int, number: int = -1) -> Terms:
    message = OutboundMessage(sid, b"")
    message.tsn = tsn
    terms = Terms("mine")
    assert queue.attach(message, terms, number)
    return terms


def test_terms_find_what_has_left_of_their_message_and_no_more() -> None:
    """Messages interleave (RFC 8260); of this one the beginning is acknowledged, or not."""
    for acknowledged, tsns in ((0, [1, 3, 5]), (1, [3, 5]), (3, [5])):
        queue = OutstandingQueue(1)
        for tsn, (flags, sid) in enumerate([(2, 1), (2, 2), (0, 1), (1, 2), (1, 1)], 1):
            body = pack_i_data(flags, tsn, sid, 70_000, 9 if flags & 2 else tsn, b"data")
            add(queue, SentPacket(tsn, tsn, body, 4, 0, 0.0))
        queue.apply(acknowledged, (), 1.0)
        terms = attached(queue, 1, 5)
        assert [record.first_tsn for record in terms.records] == tsns
        assert terms.number == 70_000


def test_terms_pass_over_what_was_given_up() -> None:
    """Of that no chunk is kept, and nobody can tell whose it was."""
    queue = fragments((2, 1, b"be"), (3, 2, b"gone"), (0, 1, b"mid"))
    assert not queue.abandon(attached(queue, 2, 2).records[0])
    terms = attached(queue, 1, -1, 0)
    assert [record.first_tsn for record in terms.records] == [1, 3]


def test_acknowledged_messages_have_no_terms_any_more() -> None:
    queue = sent(1, 1)
    queue.apply(1, (), 1.0)
    message = OutboundMessage(1, b"")
    message.tsn = 1
    assert not queue.attach(message, Terms())


def test_all_watched_messages_that_a_sack_acknowledges_are_delivered() -> None:
    queue = sent(1, 1, 1, 1)
    watched = [attached(queue, tsn, tsn) for tsn in (1, 2, 4)]
    for terms in watched:
        terms.watcher = "me"
    attached(queue, 3, 3)  # nobody watches it
    queue.apply(3, (), 1.0)
    assert queue.delivered == watched[:2]


def test_what_was_given_up_counts_for_nothing_whatever_the_peer_says_of_it() -> None:
    """RFC 3758 section 3.5 A2: it is acknowledged for good, be it acknowledged by gap ack blocks or reneged on."""
    queue = sent(1, 1, 1)
    terms = attached(queue, 2, 2)
    terms.policy = LIMITED
    assert not queue.abandon(terms.records[0])
    assert queue.in_flight == [2 * SIZE]
    assert queue.apply(0, ((2, 3),), 1.0).acked == [SIZE]
    summary = queue.apply(0, ((3, 3),), 2.0)
    assert (summary.acked, list(summary.reneged), queue.in_flight) == ([0], [], [SIZE])
    assert queue.apply(3, (), 3.0).acked == [SIZE]


def test_streams_that_are_reset_while_data_is_outstanding_are_known_by_their_first_tsns() -> None:
    queue = sent(1)
    queue.renumber([1, 2])
    add(queue, packet(2))
    queue.renumber([2, 5])
    assert queue.renumbered == {1: 2, 2: 3, 5: 3}
    queue.apply(2, (), 1.0)
    queue.renumber([1])
    assert queue.renumbered is None
