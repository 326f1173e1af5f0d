"""What other stacks have fallen for: FORWARD TSN, I-DATA and RE-CONFIG from a peer that means harm, in every state.

Where a test says a number it is that of the advisory, issue or pull request of the stack in question.
"""

from __future__ import annotations

from struct import pack

import pytest
from support.hostile.extension_peer import BUFFER, LIMITS, STATES, ExtensionPeer
from support.script import B, E, U

from asyncsctp.handlers.state import CLOSED
from asyncsctp.inbound.idata_streams import IDataStreams
from asyncsctp.wire.constants import (
    ABORT,
    CAUSE_NO_USER_DATA,
    CAUSE_PROTOCOL_VIOLATION,
    ERROR,
    I_DATA,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_TSN_RESET,
    RE_CONFIG,
    SACK,
)
from asyncsctp.wire.forward_tsn import pack_forward_tsn, pack_i_forward_tsn
from asyncsctp.wire.reconfig import (
    BAD_NUMBER,
    DENIED,
    PERFORMED,
    REQUEST_IN_PROGRESS,
    Parameter,
    pack_add_streams,
    pack_incoming_reset,
    pack_reconfig,
    pack_response,
    pack_tsn_reset,
    pack_tsn_response,
    read_reconfig,
)

BOTH = pytest.mark.parametrize("interleaving", [False, True])
#: In which of them the peer's requests are answered at all.
ANSWERED = pytest.mark.parametrize("state", STATES[:-1])
EACH = pytest.mark.parametrize("state", STATES)


def violations(script: ExtensionPeer) -> list[int]:
    """The causes of the ABORT that was sent last."""
    assert script.state is CLOSED
    return [code for code, _ in script.take()[-1].one(ABORT).causes]


def responses(script: ExtensionPeer) -> list[Parameter]:
    found: list[Parameter] = []
    for packet in script.take():
        for chunk in packet.all(RE_CONFIG):
            found += read_reconfig(chunk.value, 0, len(chunk.value))[0]
    return found


def results(script: ExtensionPeer) -> list[int]:
    return [parameter.result for parameter in responses(script) if parameter.is_response]


# FORWARD TSN and I-FORWARD-TSN.


@BOTH
@EACH
def test_a_forward_tsn_beyond_the_window_moves_nothing(interleaving: bool, state: str) -> None:
    script = ExtensionPeer(interleaving, state)
    for tsn in (0x10000, 0x100000, 0x7FFFFFFE):
        script.send(script.skip(tsn, (0, 5)))
        assert script.expected == 0
        script.bounded()
    script.still_serves()


@BOTH
@EACH
def test_a_forward_tsn_for_what_was_never_sent_is_believed(interleaving: bool, state: str) -> None:
    """usrsctp 597, pion 104: a good peer does so; it is no reason to end an association."""
    script = ExtensionPeer(interleaving, state)
    script.send(script.skip(500, (0, 7), (1, 3)))
    if state not in ("shutdown-received", "shutdown-ack-sent"):  # there the peer has said that it sends no more
        assert script.expected == 501
    assert script.state is not CLOSED
    script.still_serves()


@BOTH
@EACH
def test_streams_that_are_not_there_leave_no_trace(interleaving: bool, state: str) -> None:
    script = ExtensionPeer(interleaving, state)
    script.send(script.skip(3, *((sid, 9) for sid in (16, 17, 1024, 32767, 32768, 65534, 65535))))
    script.bounded()
    queue = script.reception._queue
    if isinstance(queue, IDataStreams):
        assert not queue._ordered and not queue._unordered
    script.still_serves()


@BOTH
@EACH
def test_sixteen_thousand_entries(interleaving: bool, state: str) -> None:
    """As many as a packet holds; of all streams, and of one again and again."""
    script = ExtensionPeer(interleaving, state)
    count = 8_000 if interleaving else 16_000
    for entries in ([(at & 0xFFFF, at) for at in range(count)], [(0, at * 7) for at in range(count)], [(1, 0)] * count):
        script.send(script.skip(script.expected + 2, *entries))
        script.bounded()
        assert len(script.take()) <= 2
    script.still_serves()


@BOTH
@EACH
def test_forward_tsns_without_end(interleaving: bool, state: str) -> None:
    """In packets full of them, each of which moves something, or nothing."""
    script = ExtensionPeer(interleaving, state)
    script.reader.reads = False
    for number in range(60):
        at = script.expected
        script.send(*(script.skip(at + step, (0, number * 100 + step)) for step in range(100)))
        script.send(*[script.skip(script.expected - 1, (0, 1))] * 100)
        script.send(script.chunk(script.expected + 1, bytes(1000), B, number & 15, number * 100 + 200))
        script.bounded()
        assert sum(packet.size for packet in script.take()) < 4000
    script.still_serves()


@BOTH
def test_a_deferred_reset_and_forward_tsns_without_end(interleaving: bool) -> None:
    """mediasoup GHSA-rq7g-r9qr-rwpq: what waits for the reset is not kept, nor does it end in an abort."""
    script = ExtensionPeer(interleaving)
    script.send(pack_reconfig([script.out_request(0, [0], last_tsn=60_000)]))  # one that waits for data
    for number in range(1, 1000):
        script.send(script.skip(number * 3, (0, number), (1, number)))
        if not number % 100:
            script.send(pack_reconfig([script.out_request(0, [0], last_tsn=60_000)]))
            script.send(pack_reconfig([script.out_request(number // 100, [1], last_tsn=61_000)]))
        script.take()
        script.bounded()
    script.send(script.skip(60_000, (0, 1001)))
    assert PERFORMED in results(script)
    script.send(script.chunk(60_001, b"after the reset", number=0))
    assert script.reader.last == b"after the reset"
    script.still_serves()


def put_aside(interleaving: bool, is_skipped: bool) -> ExtensionPeer:
    """While our SSN/TSN reset waits for its answer, a number comes that is over: by which count is not known."""
    script = ExtensionPeer(interleaving)
    script.send(script.skip(0, (0, 0)) if is_skipped else script.chunk(0))
    script.association.reconfig.reset_tsns()
    script.flush()
    before = script.reader.count
    script.send(script.chunk(1, b"by which count?"))
    script.bounded()
    assert script.reader.count == before
    assert script.reception._queue.held
    script.take()
    return script


@BOTH
@pytest.mark.parametrize("is_skipped", [False, True])
def test_what_was_put_aside_for_a_restart_goes_when_that_is_refused(interleaving: bool, is_skipped: bool) -> None:
    """A FORWARD TSN does not free it (RFC 6525 section 5.2.4). By the old count it was abandoned, or is wrong."""
    script = put_aside(interleaving, is_skipped)
    script.still_serves()
    if interleaving and not is_skipped:
        assert violations(script) == [CAUSE_PROTOCOL_VIOLATION]
    else:
        assert script.is_up
        assert not script.reception._queue.held


@BOTH
@pytest.mark.parametrize("is_skipped", [False, True])
def test_what_was_put_aside_for_a_restart_does_not_wait_for_ever(interleaving: bool, is_skipped: bool) -> None:
    """The request has a timer: a peer that never answers it is unreachable in the end."""
    script = put_aside(interleaving, is_skipped)
    script.advance(1000)
    assert script.state is CLOSED
    assert script.reader.error is not None


@pytest.mark.parametrize("kind", [pack_forward_tsn, pack_i_forward_tsn])
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 5, 7])
def test_lengths_of_forward_tsns(kind: object, extra: int) -> None:
    """sipsorcery GHSA-jwjp-4649-v8jp: there are as many entries as the chunk has bytes for."""
    script = ExtensionPeer(kind is pack_i_forward_tsn)
    chunk = bytearray(script.skip(1))
    chunk[2:4] = pack("!H", len(chunk) + extra)
    script.send(bytes(chunk) + bytes(extra))
    assert script.expected == 2
    chunk[2:4] = pack("!H", 7)
    script.send(bytes(chunk[:7]) + b"\0")
    assert script.association.statistics.malformed_packets == 1
    script.still_serves()


# I-DATA.


@pytest.mark.parametrize("state", ["established", "shutdown-pending", "shutdown-sent"])
@pytest.mark.parametrize("flags", range(8))
def test_i_data_without_user_data_aborts(state: str, flags: int) -> None:
    """pion 443 and 471: entries that cost no window were queued without end. Section 6.2 of RFC 9260 aborts."""
    script = ExtensionPeer(True, state)
    script.send(*(script.i_data(tsn, b"", flags, tsn & 15, 5, tsn) for tsn in range(50)))
    assert violations(script) == [CAUSE_NO_USER_DATA]


@pytest.mark.parametrize("unordered", [0, U])
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("size", [1, 1000])
def test_fragments_without_end(unordered: int, parts: bool, size: int) -> None:
    """One message with no E bit: it may be as long as a message, or as the window if it is read in parts."""
    script = ExtensionPeer(True)
    script.reader.reads = False
    if parts:
        script.association.deliver_parts(0, True)
        script.reader.in_parts.add(0)
    for number in range(1000):
        script.send(script.i_data(script.expected, bytes(size), unordered | (0 if number else B), 0, 0, number))
        script.take()
        if script.state is CLOSED:
            assert not parts
            return
        script.bounded()
    assert parts or size == 1
    assert script.reader.charge <= BUFFER + LIMITS.max_message_size


@pytest.mark.parametrize("fsn", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 1 << 30])
@pytest.mark.parametrize("flags", [0, E, U, E | U])
def test_an_fsn_far_ahead_is_a_fragment_like_others(fsn: int, flags: int) -> None:
    """It is held, or ends it: nothing is made as long as the number says."""
    script = ExtensionPeer(True)
    script.send(script.i_data(0, b"first", B | flags & U, 0, 0, 0))
    script.send(script.i_data(1, b"far", flags, 0, 0, fsn))
    script.send(script.i_data(2, b"farther", flags & U, 0, 0, fsn + 1))
    script.bounded()
    if script.state is not CLOSED:
        script.still_serves()


@pytest.mark.parametrize("flags", [B | E, B, 0, E, B | E | U, B | U, U, E | U])
@pytest.mark.parametrize("mid", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 30])
def test_a_mid_far_ahead_waits_for_its_turn(flags: int, mid: int) -> None:
    script = ExtensionPeer(True)
    for number in range(20):
        script.send(script.i_data(number, b"far", flags, number & 15, mid + (number >> 4), 3))
        script.bounded()
    if script.state is not CLOSED:
        script.still_serves()


def test_mids_without_end_cost_the_window() -> None:
    """Each begins a message, in its stream or far from it: chunks of a byte are charged what they take."""
    script = ExtensionPeer(True)
    for number in range(1500):
        script.arrive(script.i_data(script.expected + number % 2, b"x", B | (number & U), number & 15, number * 5 + 1))
        if not number % 50:
            script.flush()
            script.bounded()
        if not script.is_up:
            break
    assert "recv_buffer" in str(script.reader.error)  # nothing of it can be read, and nothing of it can be completed


@pytest.mark.parametrize("second", [(B | E, 0, 0), (B, 0, 0), (B | E, 1, 0), (0, 0, 1), (E, 0, 1), (E, 0, 0)])
def test_overlaps(second: tuple[int, int, int]) -> None:
    """Two chunks for one place of a message: a protocol violation, and no place is written twice."""
    script = ExtensionPeer(True)
    script.send(script.i_data(0, b"a", B), script.i_data(1, b"b", 0, 0, 0, 1), script.i_data(2, b"c", B | E, 0, 1))
    script.take()
    flags, mid, fsn = second
    script.send(script.i_data(3, b"d", flags, 0, mid, fsn))
    assert violations(script) == [CAUSE_PROTOCOL_VIOLATION]


def test_ordered_and_unordered_with_one_mid_are_two_messages() -> None:
    script = ExtensionPeer(True)
    script.send(script.i_data(0, b"a", B, 0, 0), script.i_data(1, b"A", B | U, 0, 0))
    script.send(script.i_data(2, b"B", E | U, 0, 0, 1))
    assert script.reader.last == b"AB"
    script.send(script.i_data(3, b"b", E, 0, 0, 1))
    assert script.reader.last == b"ab"
    script.still_serves()


@EACH
def test_i_data_that_was_not_negotiated_aborts(state: str) -> None:
    """dcSCTP: negotiated or not is a question on receipt as well."""
    script = ExtensionPeer(False, state)
    script.send(script.i_data(0))
    if state in ("shutdown-received", "shutdown-ack-sent"):
        assert script.state is not CLOSED  # no user data means anything there
        script.bounded()
    else:
        assert violations(script) == [CAUSE_PROTOCOL_VIOLATION]


def test_a_chunk_of_three_bytes_of_header_is_malformed() -> None:
    script = ExtensionPeer(True)
    for length in (0, 1, 3, 4, 12, 19):
        script.send(pack("!BBH", I_DATA, 3, length) + bytes(40))
    assert script.association.statistics.malformed_packets == 6
    script.still_serves()


# RE-CONFIG.


@ANSWERED
def test_numbers_that_jump_change_nothing(state: str) -> None:
    script = ExtensionPeer(False, state)
    for number in (1, 2, 1000, 0x7FFFFFFF, -0x7FFFFFFF, -3):
        for request in (
            script.out_request(number, [0]),
            pack_incoming_reset(script.theirs(number), [0]),
            pack_tsn_reset(script.theirs(number)),
            pack_add_streams(script.theirs(number), 5, True),
            pack_add_streams(script.theirs(number), 5, False),
        ):
            before = script.reader.told
            script.send(pack_reconfig([request]))
            assert results(script) == [BAD_NUMBER]
            assert script.reader.told == before
    script.bounded()
    script.still_serves()


def test_old_requests_are_not_carried_out_again() -> None:
    script = ExtensionPeer(False)
    requests = [pack_reconfig([pack_add_streams(script.theirs(number), 1, True)]) for number in range(50)]
    for request in requests:
        script.send(request)
    assert results(script) == [PERFORMED] * 50
    assert script.association.incoming_streams == 66
    for request in requests[:-2]:
        script.send(request)
    assert results(script) == [BAD_NUMBER] * 48
    for request in requests[-2:] * 100:
        script.send(request)
    assert results(script) == [PERFORMED] * 200
    assert script.association.incoming_streams == 66
    script.bounded()


@EACH
def test_answers_that_nobody_waits_for_mean_nothing(state: str) -> None:
    """Linux: the count of streams went below 0 by a response that came twice, and 0 was taken for any number."""
    script = ExtensionPeer(False, state)
    before = script.association.outgoing_streams, script.association.incoming_streams, script.expected
    for number in (0, -1, 1, 0x7FFFFFFF):
        for result in range(8):
            script.send(pack_reconfig([pack_response(script.ours(number), result)]))
            script.send(pack_reconfig([pack_tsn_response(script.ours(number), result, 77, 88)]))
        script.send(pack_reconfig([pack_response(0, 1), pack_response(0xFFFFFFFF, 1)]))
    assert before == (script.association.outgoing_streams, script.association.incoming_streams, script.expected)
    assert not responses(script)
    script.bounded()
    script.still_serves()


def test_a_response_that_comes_twice_counts_once() -> None:
    script = ExtensionPeer(False)
    before = script.association.outgoing_streams
    script.association.reconfig.add_streams(3, 0)
    script.flush()
    for _ in range(20):
        script.send(pack_reconfig([pack_response(script.ours(0), PERFORMED)]))
    assert script.association.outgoing_streams == before + 3
    script.bounded()


@ANSWERED
def test_streams_are_added_up_to_the_limit_and_no_further(state: str) -> None:
    script = ExtensionPeer(False, state, config=LIMITS.replace(max_incoming_streams=1000))
    outgoing = script.association.outgoing_streams
    for number in range(200):
        script.send(pack_reconfig([pack_add_streams(script.theirs(number), 65535, number % 2 == 0)]))
        assert results(script) == [DENIED]
    assert script.association.incoming_streams == 16
    assert script.association.outgoing_streams == outgoing
    script.bounded()


@EACH
@pytest.mark.parametrize("one", ["reset", "response", "tsns", "unknown", "empty"])
def test_a_chunk_of_thousands_of_parameters(state: str, one: str) -> None:
    """It is told that it is none, at the most; no answer for each of them."""
    script = ExtensionPeer(False, state)
    parameter = {
        "reset": script.out_request(0, [1]),
        "response": pack_response(script.ours(0), PERFORMED),
        "tsns": pack_tsn_reset(script.theirs(0)),
        "unknown": pack("!HHI", 0xC123, 8, 1),
        "empty": pack("!HH", 0x8000, 4),
    }[one]
    chunk = pack_reconfig([parameter] * (60_000 // len(parameter)))
    for _ in range(4):
        script.send(chunk)
        packets = script.take()
        assert len(packets) <= 1
        assert all(packet.size < 200 and set(packet.kinds) <= {ERROR, SACK} for packet in packets)
    script.bounded()
    script.still_serves()


@EACH
def test_a_packet_of_thousands_of_chunks(state: str) -> None:
    """Answers take about as much as what is answered, whatever it is; and none is kept."""
    script = ExtensionPeer(False, state)
    for chunk in (
        pack_reconfig([pack_tsn_reset(script.theirs(77))]),
        pack_reconfig([pack_add_streams(script.theirs(0), 0, True)]),
        pack_reconfig([pack_response(1, 1)] * 3),
        pack_reconfig([pack("!HH", 0xC123, 4)]),
        pack_reconfig([]),
    ):
        count = 60_000 // len(chunk)
        script.send(chunk * count)
        answered = sum(packet.size for packet in script.take())
        assert answered <= 2 * count * len(chunk)
    script.bounded()
    script.still_serves()


@ANSWERED
@pytest.mark.parametrize("count", [201, 2000, 30_000])
def test_lists_of_streams_longer_than_any_stack_needs(state: str, count: int) -> None:
    """Known ones, each again and again: they are reset once. Unknown ones: the request is refused."""
    script = ExtensionPeer(False, state)
    told = script.reader.told
    script.send(pack_reconfig([script.out_request(0, [at & 15 for at in range(count)])]))
    assert results(script) == [PERFORMED]
    assert script.reader.told == told + 1
    script.send(pack_reconfig([script.out_request(1, range(count))]))
    assert results(script) != [PERFORMED]
    script.send(pack_reconfig([pack_incoming_reset(script.theirs(2), range(count))]))
    assert results(script) != [PERFORMED]
    script.bounded()
    script.still_serves()


@pytest.mark.parametrize("kind", [PARAM_OUTGOING_RESET, PARAM_INCOMING_RESET])
def test_a_list_of_half_a_stream_is_malformed(kind: int) -> None:
    script = ExtensionPeer(False)
    for length in (0, 3, 5, 7, 13, 17, 19, 200, 65535):
        script.send(pack("!BBH", RE_CONFIG, 0, 36) + pack("!HH", kind, length) + bytes(28))
    assert not responses(script)
    script.bounded()
    script.still_serves()


@BOTH
def test_tsns_that_are_reset_again_and_again(interleaving: bool) -> None:
    """Each time it begins anew, and nothing of the time before is kept."""
    script = ExtensionPeer(interleaving)
    for number in range(300):
        script.send(script.chunk(script.expected, bytes(100), B, 0, 0))
        script.send(script.chunk(script.expected + 1, bytes(100), B | E, 1, 1))
        script.send(pack_reconfig([pack_tsn_reset(script.theirs(number))]))
        script.bounded()
        assert results(script) == [PERFORMED]
        assert not script.reception._queue.held
    assert script.is_up


def test_incoming_resets_that_we_are_to_answer_do_not_pile_up() -> None:
    """The peer asks under ever new numbers, and never answers ours."""
    script = ExtensionPeer(False)
    script.write(bytes(5000), sid=1)
    script.take()
    for number in range(200):
        script.send(pack_reconfig([pack_incoming_reset(script.theirs(number), [number & 15])]))
        script.bounded()
        assert len(script.take()) <= 3
    assert script.is_up


def test_two_requests_that_were_put_off_are_both_made_again() -> None:
    """The one that is due first waits for the other, an answer that is owed: nobody forgets that one."""
    script = ExtensionPeer(False)
    script.association.reconfig.reset_tsns()
    script.flush()
    script.send(pack_reconfig([pack_response(script.ours(0), REQUEST_IN_PROGRESS)]))
    script.advance(0.3)
    script.send(pack_reconfig([pack_incoming_reset(script.theirs(0), [1])]))
    script.send(pack_reconfig([pack_response(script.ours(1), REQUEST_IN_PROGRESS)]))
    script.take()
    [packet] = script.wait(10.0)
    assert packet.kinds == [RE_CONFIG]
    script.send(pack_reconfig([pack_response(script.ours(2), PERFORMED)]))
    assert [parameter.kind for parameter in responses(script)] == [PARAM_TSN_RESET]


@BOTH
@EACH
def test_everything_at_once_in_one_packet(interleaving: bool, state: str) -> None:
    """A reset, what it resets, what is skipped, and a reset again: in an order that no sender has."""
    script = ExtensionPeer(interleaving, state)
    for number in range(50):
        at = script.expected
        script.send(
            pack_reconfig([script.out_request(2 * number, [0, 1], last_tsn=at + 3)]),
            script.chunk(at + 2, b"x", B | E, 0, 0),
            script.skip(at + 1, (0, 9), (1, 9)),
            pack_reconfig([script.out_request(2 * number + 1, [0], last_tsn=at + 1)]),
            script.chunk(at + 3, b"y", B | E, 1, 0),
            script.skip(at + 5, (0, 0)),
        )
        script.bounded()
        script.take()
        if script.state is CLOSED:
            return
    script.still_serves()
