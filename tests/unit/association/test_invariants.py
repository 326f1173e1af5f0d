"""A broken book is noticed: each invariant, what it takes to break it by hand, and what is said of it then."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable

import pytest
from support.asconf_script import Mobile
from support.endpoints import Solo, into
from support.pair import Pair
from support.script import LOCAL

from asyncsctp.association import invariants
from asyncsctp.association.association import Association
from asyncsctp.association.invariants import InvariantViolation, check
from asyncsctp.handlers.data.acknowledgement import ACK_DELAYED, ACK_NOW
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.handlers.data.sender import Sender
from asyncsctp.handlers.notices import WRITABLE
from asyncsctp.handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, SHUTDOWN_ACK_SENT, State
from asyncsctp.inbound.data_tracker import Intervals
from asyncsctp.outbound.message import ABANDONED, ACKED, LOST
from asyncsctp.path_state import PathState
from asyncsctp.timers import (
    DELAYED_ACK,
    FORWARD_TSN_RTX,
    HEARTBEAT_TIMER,
    T1_COOKIE,
    T1_INIT,
    T2_SHUTDOWN,
    T3_RTX,
    T4_RTO,
    timer_key,
)


@pytest.fixture
def pair() -> Pair:
    """A has data in flight and more in its queue; of what Z has sent, the first is missing."""
    pair = Pair(paths=2)
    pair.establish()
    pair.run_for(2.0)
    pair.network.on_datagram = Dropper(1)
    pair.send(1, 0, bytes(3000))
    pair.run_for(0.015)
    pair.send(0, 0, bytes(50_000))
    pair.simulation.flush()
    return pair


class Dropper:
    """Loses so many packets, and no more."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, datagram: object) -> bool:
        self.count -= 1
        return self.count < 0


def transmission(association: Association) -> Sender:
    found = association._parts.established.sender
    return found


def reception(association: Association) -> DataReceiver:
    found = association._parts.established.receiver
    return found


Spoiler = Callable[[Association], None]

#: What is said, with # for each number, and how to break the invariant.
BROKEN: list[tuple[str, Spoiler]] = []
BROKEN_ADDRESSES: list[tuple[str, Spoiler]] = []


def says(message: str, table: list[tuple[str, Spoiler]] = BROKEN) -> Callable[[Spoiler], Spoiler]:
    """Add a way to break an invariant, and what is to be said of it."""

    def add(spoil: Spoiler) -> Spoiler:
        table.append((message, spoil))
        return spoil

    return add


def numberless(text: str) -> str:
    return re.sub(r"-?[0-9]+(\.[0-9]+)?", "#", text)


@says("# bytes are in flight on path # and no T#-rtx runs for it")
def lose_t3(association: Association) -> None:
    association.context.timers.stop(timer_key(T3_RTX, 0))


@says("T#-rtx of path # runs for nothing")
def start_t3_for_nothing(association: Association) -> None:
    association.context.timers.start(timer_key(T3_RTX, 1), 99.0)


@says("timer # belongs to path #, which does not exist")
def time_a_path_that_is_not(association: Association) -> None:
    association.context.timers.start(timer_key(HEARTBEAT_TIMER, 7), 99.0)


@says("in flight are [#, #], counted were [#, #]")
def miscount_in_flight(association: Association) -> None:
    transmission(association).outstanding.in_flight[0] += 4


@says("user bytes in flight and outstanding are (#, #), counted were (#, #)")
def miscount_user_bytes(association: Association) -> None:
    transmission(association).outstanding.user_bytes -= 1


@says("the records end before TSN #, the next one is #")
def skip_a_tsn(association: Association) -> None:
    transmission(association).outstanding.next_tsn += 1


@says("TSN # is lost and nobody will send it again")
def lose_a_record(association: Association) -> None:
    outstanding = transmission(association).outstanding
    record = outstanding.records[0]
    outstanding.in_flight[0] -= len(record.body)
    outstanding.in_flight_user_bytes -= record.user_bytes
    record.state = LOST


@says("the earliest outstanding TSNs of the paths are [#, #], not [#, #]")
def forget_the_earliest(association: Association) -> None:
    transmission(association).outstanding._earliest[0] = None


@says("the send queue holds # bytes and counts #")
def miscount_the_queue(association: Association) -> None:
    transmission(association).queue.buffered += 1


@says("# bytes were read that had not come")
def read_too_much(association: Association) -> None:
    association.consumed(100)


@says("reassembly holds # bytes and counts #")
def miscount_what_is_held(association: Association) -> None:
    reception(association)._queue.held -= 1


@says("a SACK was due and did not leave")
def owe_a_sack(association: Association) -> None:
    reception(association).acknowledger.state = ACK_NOW


@says("a SACK is delayed and no timer runs for it")
def delay_a_sack_for_ever(association: Association) -> None:
    reception(association).acknowledger.state = ACK_DELAYED
    association.context.timers.stop(DELAYED_ACK)


@says("control chunks or packets were left behind by the flush")
def leave_a_chunk_behind(association: Association) -> None:
    association.context.queue(b"\x0b\0\0\4")


@says("timer # does not run")
def wait_without_a_timer(association: Association) -> None:
    association.context.state = COOKIE_WAIT
    association.context.timers.stop(T1_INIT)


@says("AMDCS is not the smallest PMDCS")
def forget_the_smallest_path(association: Association) -> None:
    association.path_manager.amdcs += 4


@says("paths [#] were removed, and something refers to them")
def remove_a_path(association: Association) -> None:
    paths = association.path_manager
    paths.remove(paths.primary.route.address)


@says("paths [#, #] are in use, [#] are free")
def give_a_number_twice(association: Association) -> None:
    association.path_manager._free.append(1)


@says("paths [#] were removed, and something refers to them")
def direct_a_message_to_nowhere(association: Association) -> None:
    queue = transmission(association).queue
    next(iter(queue._streams.values())).messages[-1].path_id = 7


@says("path # is ACTIVE with # errors")
def overlook_a_failed_path(association: Association) -> None:
    association.path_manager.primary.error_count = 6


@says("path # is POTENTIALLY_FAILED with # errors")
def suspect_a_path_without_a_threshold(association: Association) -> None:
    association.path_manager.paths[1].state = PathState.POTENTIALLY_FAILED


@says("data takes a path that is inactive, and another is active")
def send_to_a_failed_path(association: Association) -> None:
    primary = association.path_manager.primary
    primary.error_count = 6
    primary.state = PathState.INACTIVE


@says("path # is POTENTIALLY_FAILED and no HEARTBEAT is due or awaited")
def leave_a_suspect_unprobed(association: Association) -> None:
    path = association.path_manager.paths[1]
    association.configure_path(path.route.address, {"pf_threshold": 0}, 2.0)
    path.error_count = 1
    path.state = PathState.POTENTIALLY_FAILED
    association.context.timers.stop(timer_key(HEARTBEAT_TIMER, path.path_id))


@says("the user was not told of everything")
def leave_a_notice_behind(association: Association) -> None:
    association.context.notices.append(WRITABLE)


@says("conversations go on after the end")
def end_without_an_end(association: Association) -> None:
    association.context.state = CLOSED
    association.context.timers.stop_all()


@says("the next expiry is later than a deadline")
def sleep_too_long(association: Association) -> None:
    association.context.timers._earliest = 1e9


@says("data goes to an address that was removed")
def send_to_a_removed_path(association: Association) -> None:
    paths = association.path_manager
    paths.paths.remove(paths.primary)


@says("path # has cwnd #, # errors, RTO #")
def close_a_congestion_window(association: Association) -> None:
    association.path_manager.primary.congestion.cwnd = 0


@says("a path is not where its number says")
def exchange_numbers(association: Association) -> None:
    association.path_manager.by_id.reverse()


@says("timer # runs for path #, which was removed")
def time_a_removed_path(association: Association) -> None:
    paths = association.path_manager
    paths.remove(paths.paths[1].route.address)
    association.context.timers.start(timer_key(HEARTBEAT_TIMER, 1), 99.0)


@says("path # was removed, and data counts for it")
def count_data_for_a_removed_path(association: Association) -> None:
    paths = association.path_manager
    paths.remove(paths.paths[1].route.address)
    transmission(association).outstanding.in_flight[1] = 4


@says("a record has TSNs # to # where # is next")
def leave_a_hole(association: Association) -> None:
    transmission(association).outstanding.records[1].first_tsn += 1


@says("TSN # was abandoned and still counts")
def abandon_in_half(association: Association) -> None:
    transmission(association).outstanding.records[0].state = ABANDONED


@says("TSN # counts as acknowledged, and no gap ack block covers it")
def acknowledge_by_nothing(association: Association) -> None:
    transmission(association).outstanding.records[1].state = ACKED


@says("stream # holds # bytes and counts #")
def miscount_a_stream(association: Association) -> None:
    [stream] = transmission(association).queue._active.values()
    stream.buffered += 1


@says("messages wait for others to end, and there are none")
def hold_back_for_nothing(association: Association) -> None:
    queue = transmission(association).queue
    queue._held_back = dict(queue._active)


@says("the paths and what is in flight on them are not the same number")
def count_for_one_more_path(association: Association) -> None:
    transmission(association).outstanding.add_path()


@says("data waits, and neither T#-rtx runs nor is the peer asked for anything")
def wait_for_nothing(association: Association) -> None:
    association.context.timers.stop_all()


@says("the timer for FORWARD TSN is wrong about TSNs that the peer is to skip")
def skip_nothing(association: Association) -> None:
    association.context.timers.start(FORWARD_TSN_RTX, 99.0)


@says("data waits, or the peer is to be told of what was given up, in a state in which neither is sent")
def shut_down_too_early(association: Association) -> None:
    association.context.state = SHUTDOWN_ACK_SENT


@says("the expected TSN does not follow the cumulative one")
def expect_another_tsn(association: Association) -> None:
    reception(association).tracker.expected += 1


@says("the gap range # to # touches what ends at #")
def leave_a_gap_that_is_none(association: Association) -> None:
    tracker = reception(association).tracker
    tracker.gaps = Intervals()
    tracker.gaps.add(tracker.cumulative_tsn + 1)


@says("a chunk is held that does not count as received")
def hold_what_has_not_come(association: Association) -> None:
    receiver = reception(association)
    receiver._queue._chunks[receiver.tracker.highest_tsn + 1] = b""


def test_nothing_is_wrong_with_a_healthy_association(pair: Pair) -> None:
    for side in (0, 1):
        check(pair.association(side))
    assert transmission(pair.association(0)).outstanding.in_flight[0]
    assert transmission(pair.association(0)).queue
    assert reception(pair.association(0))._queue.held


@pytest.mark.parametrize(("message", "spoil"), BROKEN, ids=[spoil.__name__ for _, spoil in BROKEN])
def test_a_broken_book_is_noticed(pair: Pair, message: str, spoil: Spoiler) -> None:
    association = pair.association(0)
    spoil(association)
    with pytest.raises(InvariantViolation) as caught:
        check(association)
    assert message in numberless(str(caught.value))
    assert f"in state {association.state.value}: " in str(caught.value)


def test_after_the_end_no_timer_runs(pair: Pair) -> None:
    pair.abort(0)
    pair.run_until(pair.is_over)
    association = pair.association(0)
    check(association)
    association.context.timers.start(T2_SHUTDOWN, 99.0)
    with pytest.raises(InvariantViolation, match="timers run after the end"):
        check(association)


@pytest.fixture
def mobile() -> Mobile:
    script = Mobile(paths=2)
    script.association.asconf.remove_local(LOCAL[0])
    script.flush()
    return script


@says("an ASCONF is under way and T#-rto does not run, or the other way round", BROKEN_ADDRESSES)
def lose_t4(association: Association) -> None:
    association.context.timers.stop(T4_RTO)


@says("packets leave from ['#.#'], which the peer does not know", BROKEN_ADDRESSES)
def send_from_what_is_deleted(association: Association) -> None:
    local = association.path_manager.local
    local.sources = (*local.sources, LOCAL[0])


@says("a path leaves from an address that is no source", BROKEN_ADDRESSES)
def leave_from_what_is_deleted(association: Association) -> None:
    path = association.path_manager.primary
    path.route = path.route._replace(local=LOCAL[0])


@says("nothing leaves before an address is verified, and nobody verifies it", BROKEN_ADDRESSES)
def verify_nothing(association: Association) -> None:
    path = association.path_manager.primary
    path.state = PathState.UNCONFIRMED


@says("an ASCONF waits for nothing", BROKEN_ADDRESSES)
def ask_for_nothing(association: Association) -> None:
    requester = association.asconf
    assert requester.current is not None
    requester.queue.append(requester.current)
    requester.current = None


@pytest.mark.parametrize(("message", "spoil"), BROKEN_ADDRESSES, ids=[spoil.__name__ for _, spoil in BROKEN_ADDRESSES])
def test_a_broken_book_of_addresses_is_noticed(mobile: Mobile, message: str, spoil: Spoiler) -> None:
    check(mobile.association)
    spoil(mobile.association)
    with pytest.raises(InvariantViolation) as caught:
        check(mobile.association)
    assert message in numberless(str(caught.value))


@pytest.mark.parametrize(("state", "timer"), [(COOKIE_WAIT, T1_INIT), (COOKIE_ECHOED, T1_COOKIE)])
def test_in_the_handshake_there_is_a_timer_to_be_missed(state: State, timer: int) -> None:
    association = into(Solo(), state)
    check(association)
    association.context.timers.stop(timer)
    with pytest.raises(InvariantViolation, match=rf"in state {state.value}: timer {timer} does not run"):
        check(association)


def test_each_invariant_is_broken_here() -> None:
    """A complaint that is never seen may be one that can't be made."""
    said = [message for message, _ in (*BROKEN, *BROKEN_ADDRESSES)] + ["timers run after the end: [#]"]
    for node in ast.walk(ast.parse(inspect.getsource(invariants))):
        if isinstance(node, ast.Yield) and node.value is not None:
            parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
            pattern = "".join(
                re.escape(numberless(str(part.value))) if isinstance(part, ast.Constant) else ".+" for part in parts
            )
            assert [message for message in said if re.fullmatch(pattern, message)], ast.unparse(node)
