"""A broken book is noticed: each invariant, and what it takes to break it by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.asconf_script import Mobile
from support.pair import Pair
from support.script import LOCAL

from asyncsctp.association.association import Association
from asyncsctp.association.invariants import InvariantViolation, check
from asyncsctp.handlers.data.acknowledgement import ACK_DELAYED, ACK_NOW
from asyncsctp.handlers.data.receiver import DataReceiver
from asyncsctp.handlers.data.sender import Sender
from asyncsctp.handlers.state import COOKIE_WAIT
from asyncsctp.outbound.message import LOST
from asyncsctp.path_state import PathState
from asyncsctp.timers import DELAYED_ACK, HEARTBEAT_TIMER, T1_INIT, T2_SHUTDOWN, T3_RTX, T4_RTO, timer_key


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


def lose_t3(association: Association) -> None:
    association.context.timers.stop(timer_key(T3_RTX, 0))


def start_t3_for_nothing(association: Association) -> None:
    association.context.timers.start(timer_key(T3_RTX, 1), 99.0)


def time_a_path_that_is_not(association: Association) -> None:
    association.context.timers.start(timer_key(HEARTBEAT_TIMER, 7), 99.0)


def miscount_in_flight(association: Association) -> None:
    transmission(association).outstanding.in_flight[0] += 4


def miscount_user_bytes(association: Association) -> None:
    transmission(association).outstanding.user_bytes -= 1


def skip_a_tsn(association: Association) -> None:
    transmission(association).outstanding.next_tsn += 1


def lose_a_record(association: Association) -> None:
    outstanding = transmission(association).outstanding
    record = outstanding.records[0]
    outstanding.in_flight[0] -= len(record.body)
    outstanding.in_flight_user_bytes -= record.user_bytes
    record.state = LOST


def forget_the_earliest(association: Association) -> None:
    transmission(association).outstanding._earliest[0] = None


def miscount_the_queue(association: Association) -> None:
    transmission(association).queue.buffered += 1


def read_too_much(association: Association) -> None:
    association.consumed(100)


def miscount_what_is_held(association: Association) -> None:
    reception(association)._queue.held -= 1


def owe_a_sack(association: Association) -> None:
    reception(association).acknowledger.state = ACK_NOW


def delay_a_sack_for_ever(association: Association) -> None:
    reception(association).acknowledger.state = ACK_DELAYED
    association.context.timers.stop(DELAYED_ACK)


def leave_a_chunk_behind(association: Association) -> None:
    association.context.queue(b"\x0b\0\0\4")


def wait_without_a_timer(association: Association) -> None:
    association.context.state = COOKIE_WAIT
    association.context.timers.stop(T1_INIT)


def forget_the_smallest_path(association: Association) -> None:
    association.path_manager.amdcs += 4


def remove_a_path(association: Association) -> None:
    paths = association.path_manager
    paths.remove(paths.primary.route.address)


def give_a_number_twice(association: Association) -> None:
    association.path_manager._free.append(1)


def direct_a_message_to_nowhere(association: Association) -> None:
    queue = transmission(association).queue
    next(iter(queue._streams.values())).messages[-1].path_id = 7


def overlook_a_failed_path(association: Association) -> None:
    association.path_manager.primary.error_count = 6


def suspect_a_path_without_a_threshold(association: Association) -> None:
    association.path_manager.paths[1].state = PathState.POTENTIALLY_FAILED


def send_to_a_failed_path(association: Association) -> None:
    primary = association.path_manager.primary
    primary.error_count = 6
    primary.state = PathState.INACTIVE


def leave_a_suspect_unprobed(association: Association) -> None:
    path = association.path_manager.paths[1]
    association.configure_path(path.route.address, {"pf_threshold": 0}, 2.0)
    path.error_count = 1
    path.state = PathState.POTENTIALLY_FAILED
    association.context.timers.stop(timer_key(HEARTBEAT_TIMER, path.path_id))


def test_nothing_is_wrong_with_a_healthy_association(pair: Pair) -> None:
    for side in (0, 1):
        check(pair.association(side))
    assert transmission(pair.association(0)).outstanding.in_flight[0]
    assert transmission(pair.association(0)).queue
    assert reception(pair.association(0))._queue.held


@pytest.mark.parametrize(
    "spoil",
    [
        lose_t3,
        start_t3_for_nothing,
        time_a_path_that_is_not,
        miscount_in_flight,
        miscount_user_bytes,
        skip_a_tsn,
        lose_a_record,
        forget_the_earliest,
        miscount_the_queue,
        read_too_much,
        miscount_what_is_held,
        owe_a_sack,
        delay_a_sack_for_ever,
        leave_a_chunk_behind,
        wait_without_a_timer,
        forget_the_smallest_path,
        remove_a_path,
        give_a_number_twice,
        direct_a_message_to_nowhere,
        overlook_a_failed_path,
        suspect_a_path_without_a_threshold,
        send_to_a_failed_path,
        leave_a_suspect_unprobed,
    ],
)
def test_a_broken_book_is_noticed(pair: Pair, spoil: Callable[[Association], None]) -> None:
    association = pair.association(0)
    spoil(association)
    with pytest.raises(InvariantViolation, match=association.state.value):
        check(association)


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


def lose_t4(association: Association) -> None:
    association.context.timers.stop(T4_RTO)


def send_from_what_is_deleted(association: Association) -> None:
    local = association.path_manager.local
    local.sources = (*local.sources, LOCAL[0])


def leave_from_what_is_deleted(association: Association) -> None:
    path = association.path_manager.primary
    path.route = path.route._replace(local=LOCAL[0])


def verify_nothing(association: Association) -> None:
    path = association.path_manager.primary
    path.state = PathState.UNCONFIRMED


@pytest.mark.parametrize("spoil", [lose_t4, send_from_what_is_deleted, leave_from_what_is_deleted, verify_nothing])
def test_a_broken_book_of_addresses_is_noticed(mobile: Mobile, spoil: Callable[[Association], None]) -> None:
    check(mobile.association)
    spoil(mobile.association)
    with pytest.raises(InvariantViolation):
        check(mobile.association)
