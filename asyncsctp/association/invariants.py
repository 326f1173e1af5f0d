"""What must hold of an association after every flush, whatever its peer, its user and the network have done.

For tests and for debug mode: each look costs as much as the association holds. It reads the parts' books, and changes
nothing. Which rule of the protocol a broken one would break is said where it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import timers
from ..handlers.addresses.asconf_requester import PERMITTED, AsconfRequester
from ..handlers.context import Context
from ..handlers.data.receiver import DataReceiver
from ..handlers.data.sender import Sender
from ..handlers.paths.heartbeat import HEARTBEATS_IN
from ..handlers.state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, SENDS_DATA, SHUTDOWN_ACK_SENT, SHUTDOWN_SENT, State
from ..outbound.message import ABANDONED, ACKED, IN_FLIGHT
from ..outbound.outstanding import OutstandingQueue
from ..outbound.send_queue import SendQueue
from ..path_state import PathState
from ..wire.constants import MASK_32
from .association import Association
from .parts import Parts

_OF_A_PATH = frozenset({timers.T3_RTX, timers.HEARTBEAT_TIMER})
#: The timers without which an association could stay in a state for ever (sections 5.1 and 9.2).
_WAITS_FOR: dict[State, tuple[int, ...]] = {
    COOKIE_WAIT: (timers.T1_INIT,),
    COOKIE_ECHOED: (timers.T1_COOKIE,),
    SHUTDOWN_SENT: (timers.T2_SHUTDOWN, timers.T5_GUARD),
    SHUTDOWN_ACK_SENT: (timers.T2_SHUTDOWN,),
}


class InvariantViolation(AssertionError):
    """An association is in a state in which none should be: a bug of this library."""


def check(association: Association) -> None:
    """Raise `InvariantViolation` if the association, just flushed, contradicts itself or waits for nothing."""
    found = list(_complaints(association))
    if found:
        raise InvariantViolation(f"in state {association.state.value}: " + "; ".join(found))


def _complaints(association: Association) -> Iterator[str]:
    context = association.context
    parts = association._parts
    yield from _timers(context)
    if context.packets or (context.control and not context.paths.is_held):
        yield "control chunks or packets were left behind by the flush"
    if context.notices:
        yield "the user was not told of everything"
    if context.state is CLOSED:
        if parts.data is not None or parts.handshake is not None:
            yield "conversations go on after the end"
        return
    for kind in _WAITS_FOR.get(context.state, ()):
        if not context.timers.runs(kind):
            yield f"timer {kind} does not run"
    yield from _paths(context)
    yield from _removed(context, parts)
    if parts.data is not None:
        yield from _outstanding(parts.data.sender.outstanding)
        yield from _queue(parts.data.sender.queue)
        yield from _progress(context, parts.data.sender)
        yield from _receiver(context, parts.data.receiver)
        if parts.data.asconf is not None:
            yield from _asconf(context, parts.data.asconf.requester)


def _timers(context: Context) -> Iterator[str]:
    deadlines = context.timers._deadlines
    if context.state is CLOSED and deadlines:
        yield f"timers run after the end: {sorted(deadlines)}"
    for key in deadlines:
        kind, path_id = timers.timer_kind(key), timers.timer_path(key)
        if path_id >= len(context.paths.by_id) or (path_id and kind not in _OF_A_PATH):
            yield f"timer {kind} belongs to path {path_id}, which does not exist"
    if deadlines and context.timers.next_expiry > min(deadlines.values()):
        yield "the next expiry is later than a deadline"


def _paths(context: Context) -> Iterator[str]:
    paths = context.paths
    if paths.primary not in paths.paths or paths.data_path() not in paths.paths:
        yield "data goes to an address that was removed"
    current = paths.data_path()
    verifies = context.timers.runs(timers.timer_key(timers.HEARTBEAT_TIMER, current.path_id))
    if context.setup is not None and current.state is PathState.UNCONFIRMED and current.route.local and not verifies:
        yield "nothing leaves before an address is verified, and nobody verifies it"  # RFC 5061 section 5.3 F14
    if paths.amdcs != min(path.payload for path in paths.paths):
        yield "AMDCS is not the smallest PMDCS"  # section 7.3
    yield from _states(context)
    for path in paths.paths:
        if path.congestion.cwnd < 1 or path.error_count < 0 or path.rto.rto <= 0.0:
            yield f"path {path.path_id} has cwnd {path.congestion.cwnd}, {path.error_count} errors, RTO {path.rto.rto}"


def _removed(context: Context, parts: Parts) -> Iterator[str]:
    """Complain of what refers to an address that is the peer's no more (RFC 5061 section 5.3 F13)."""
    paths = context.paths
    used = {path.path_id for path in paths.paths}
    free = set(paths._free)
    if len(used) != len(paths.paths) or len(free) != len(paths._free) or used & free:
        yield f"paths {sorted(used)} are in use, {paths._free} are free"
    if any(paths.by_id[path.path_id] is not path for path in paths.paths):
        yield "a path is not where its number says"
    if context.setup is None:
        return  # path numbers are given back once the handshake is over
    for key in context.timers._deadlines:
        if timers.timer_kind(key) in _OF_A_PATH and timers.timer_path(key) not in used:
            yield f"timer {timers.timer_kind(key)} runs for path {timers.timer_path(key)}, which was removed"
    held = {path_id for _, path_id, _ in context.control} | set(parts.heartbeat._requested)
    if parts.data is not None:
        held |= {parts.data.receiver.acknowledger.path_id, parts.data.shutdown._path_id}
        sender = parts.data.sender
        outstanding = sender.outstanding
        held |= {record.path_id for record in outstanding.records[outstanding.head :] if record.state != ABANDONED}
        for path_id in set(range(len(outstanding.in_flight))) - used:
            if outstanding.in_flight[path_id] or outstanding._earliest[path_id] or outstanding._timed[path_id]:
                yield f"path {path_id} was removed, and data counts for it"
        for stream in sender.queue._streams.values():
            for message in stream.messages[stream.head :] + (stream.later or []):
                held.add(message.path_id)
        if sender.abandonment is not None:
            held.add(sender.abandonment.retry.path.path_id)
    held = {path_id for path_id in held if path_id >= 0} - used
    if held:
        yield f"paths {sorted(held)} were removed, and something refers to them"


def _asconf(context: Context, requests: AsconfRequester) -> Iterator[str]:
    if (requests.current is not None and context.state in PERMITTED) != context.timers.runs(timers.T4_RTO):
        yield "an ASCONF is under way and T4-rto does not run, or the other way round"  # RFC 5061 section 5.1 A4, A5
    if requests.queue and requests.current is None:
        yield "an ASCONF waits for nothing"
    local = context.paths.local
    if unknown := set(local.barred) & set(local.sources):
        yield f"packets leave from {sorted(unknown)}, which the peer does not know"
    if any(path.route.local in local.barred for path in context.paths.paths):
        yield "a path leaves from an address that is no source"  # RFC 5061 section 5.3 F1, F4


def _states(context: Context) -> Iterator[str]:
    """Complain of states that don't follow from error counters, and of data that does not follow from states (RFC 9260
    section 8.2, RFC 7829 section 3.2).
    """
    paths = context.paths
    for path in paths.paths:
        state, errors, threshold = path.state, path.error_count, path.settings.pf_threshold
        has_failed = errors > path.settings.max_retrans
        is_suspect = threshold is not None and errors > threshold
        if state is PathState.ACTIVE and (has_failed or is_suspect):
            yield f"path {path.path_id} is ACTIVE with {errors} errors"
        if state is PathState.POTENTIALLY_FAILED and (has_failed or not is_suspect):
            yield f"path {path.path_id} is POTENTIALLY_FAILED with {errors} errors"
        if state is PathState.POTENTIALLY_FAILED and context.state in HEARTBEATS_IN:
            runs = context.timers.runs(timers.timer_key(timers.HEARTBEAT_TIMER, path.path_id))
            if path.settings.heartbeat_interval is not None and not runs:
                yield f"path {path.path_id} is POTENTIALLY_FAILED and no HEARTBEAT is due or awaited"
    standing = {path.state for path in paths.paths}
    for state in (PathState.ACTIVE, PathState.POTENTIALLY_FAILED):
        if state in standing:
            if paths.data_path().state is not state:
                yield f"data takes a path that is {paths.data_path().state.value}, and another is {state.value}"
            break


def _outstanding(outstanding: OutstandingQueue) -> Iterator[str]:
    in_flight = [0] * len(outstanding.in_flight)
    earliest = [-1] * len(in_flight)
    landing = user_bytes = 0
    following = outstanding.cumulative_tsn + 1
    gaps = [gap for gap in outstanding._gap_ranges if gap[1] > outstanding.cumulative_tsn]
    gap = 0
    waiting = outstanding._lost_tsns
    for record in outstanding.records[outstanding.head :]:
        if record.first_tsn != following or record.last_tsn < record.first_tsn:
            yield f"a record has TSNs {record.first_tsn} to {record.last_tsn} where {following} is next"
        following = record.last_tsn + 1
        user_bytes += record.user_bytes
        path_id = record.path_id
        if record.state == ABANDONED:
            if record.body or record.user_bytes:
                yield f"TSN {record.first_tsn} was abandoned and still counts"
            continue
        if record.state == ACKED:
            while gap < len(gaps) and gaps[gap][1] < record.first_tsn:
                gap += 1
            if gap == len(gaps) or not gaps[gap][0] <= record.first_tsn <= record.last_tsn <= gaps[gap][1]:
                yield f"TSN {record.first_tsn} counts as acknowledged, and no gap ack block covers it"
            continue
        if earliest[path_id] < 0:
            earliest[path_id] = record.first_tsn
        if record.state == IN_FLIGHT:
            in_flight[path_id] += len(record.body)
            landing += record.user_bytes
        elif record.state != IN_FLIGHT and record.first_tsn not in waiting:
            yield f"TSN {record.first_tsn} is lost and nobody will send it again"
    if following != outstanding.next_tsn:
        yield f"the records end before TSN {following}, the next one is {outstanding.next_tsn}"
    if in_flight != outstanding.in_flight:
        yield f"in flight are {in_flight}, counted were {outstanding.in_flight}"
    if (landing, user_bytes) != (outstanding.in_flight_user_bytes, outstanding.user_bytes):
        counted = (outstanding.in_flight_user_bytes, outstanding.user_bytes)
        yield f"user bytes in flight and outstanding are {(landing, user_bytes)}, counted were {counted}"
    known = [record.first_tsn if record is not None else -1 for record in outstanding._earliest]
    if known != earliest:
        yield f"the earliest outstanding TSNs of the paths are {earliest}, not {known}"


def _queue(queue: SendQueue) -> Iterator[str]:
    buffered = 0
    for stream in [*queue._active.values(), *queue._held_back.values()]:
        size = sum(len(message.data) for message in stream.messages[stream.head :]) - stream.offset
        if size != stream.buffered or not stream.messages:
            yield f"stream {stream.sid} holds {size} bytes and counts {stream.buffered}"
        buffered += size
    if queue._held_back and not any(stream.reserved for stream in queue._active.values()):
        yield "messages wait for others to end, and there are none"
    if buffered != queue.buffered:
        yield f"the send queue holds {buffered} bytes and counts {queue.buffered}"


def _progress(context: Context, sender: Sender) -> Iterator[str]:
    """Complain of what was sent, or waits to be, and has no timer (sections 6.1 A and 6.3.2)."""
    runs = [context.timers.runs(timers.timer_key(timers.T3_RTX, path.path_id)) for path in context.paths.by_id]
    outstanding = sender.outstanding
    if len(outstanding.in_flight) != len(runs):
        yield "the paths and what is in flight on them are not the same number"
    for path_id, in_flight in enumerate(outstanding.in_flight):
        if in_flight and not runs[path_id]:
            yield f"{in_flight} bytes are in flight on path {path_id} and no T3-rtx runs for it"
    asks = any(map(context.timers.runs, (timers.WINDOW_PROBE, timers.FORWARD_TSN_RTX, timers.RECONFIG)))
    if context.paths.is_held:
        asks |= context.timers.runs(timers.T4_RTO) or any(
            context.timers.runs(timers.timer_key(timers.HEARTBEAT_TIMER, path.path_id)) for path in context.paths.paths
        )
    # Others may wait for what the user has to write the rest of.
    asks |= any(stream.begun and not stream.messages for stream in sender.queue._streams.values())
    if context.state in SENDS_DATA and sender.buffered and not any(runs) and not asks:
        yield "data waits, and neither T3-rtx runs nor is the peer asked for anything"
    skips = sender.abandonment is not None and (
        sender.abandonment.partial.advance_peer_ack_point() > outstanding.cumulative_tsn
    )
    if skips != context.timers.runs(timers.FORWARD_TSN_RTX):
        yield "the timer for FORWARD TSN is wrong about TSNs that the peer is to skip"  # RFC 3758 section 3.5 C5
    if context.state not in SENDS_DATA and not sender.all_acknowledged:
        yield "data waits, or the peer is to be told of what was given up, in a state in which neither is sent"
    for path_id, runs_here in enumerate(runs):
        if runs_here and not outstanding.has_outstanding(path_id):
            yield f"T3-rtx of path {path_id} runs for nothing"


def _receiver(context: Context, receiver: DataReceiver) -> Iterator[str]:
    tracker = receiver.tracker
    queue = receiver._queue
    acknowledger = receiver.acknowledger
    if queue.unread < 0:
        yield f"{-queue.unread} bytes were read that had not come"
    held = queue.recount()
    if held != queue.held:
        yield f"reassembly holds {held} bytes and counts {queue.held}"
    if tracker.expected != tracker.cumulative_tsn + 1 & MASK_32:
        yield "the expected TSN does not follow the cumulative one"
    last = tracker.cumulative_tsn
    for first, following in tracker.gap_ranges():
        if first <= last + 1 or following < first:
            yield f"the gap range {first} to {following} touches what ends at {last}"
        last = following
    if max(queue._chunks, default=0) > tracker.highest_tsn:
        yield "a chunk is held that does not count as received"
    if acknowledger.is_due and not context.paths.is_held:
        yield "a SACK was due and did not leave"  # section 6.2
    if acknowledger.is_delaying and not context.timers.runs(timers.DELAYED_ACK):
        yield "a SACK is delayed and no timer runs for it"
