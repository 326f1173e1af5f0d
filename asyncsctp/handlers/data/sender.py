"""User data to the peer: what SACKs and T3-rtx mean for paths and timers (RFC 9260 sections 6.1, 6.2.1, 6.3 and 7.2).

Joins the send queue and what is outstanding to the windows, time-outs and error counters of the paths; knows what waits
for more to bundle (Nagle's algorithm). How data gets into packets is in `association.packetizer`; which messages are
taken, in `submission`.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

from ...errors import SCTPError
from ...events import SchedulerFailed, SenderDry, SendFailed
from ...outbound.data_queue import DataQueue
from ...outbound.idata_queue import IDataQueue
from ...outbound.message import LOST, OutboundMessage, Terms
from ...outbound.outstanding import AckSummary, OutstandingQueue
from ...outbound.retransmission import RetransmissionQueue
from ...outbound.send_queue import SendQueue
from ...paths.path import Path
from ...schedulers.guard import make
from ...timers import FORWARD_TSN_RTX, T3_RTX, WINDOW_PROBE, timer_key
from ...wire.sack import read_sack
from ...wire.serial import unwrap, unwrap_upwards
from ..context import Context
from ..paths.reachability import on_acknowledged, on_timeout
from ..setup.negotiation import Setup
from ..state import ESTABLISHED
from .abandonment import Abandonment

_SMALL_CHUNK: Final = 512  # chunks are not made smaller than this for a small window, but only for small packets
_ONE: Final = [1]  # the steps of a SACK that is carried out alone
_MSL: Final = 30.0  # seconds for which a packet may be under way (RFC 6525 section 5.1.4)


@final
class Sender:
    """The sending side of one association. SACKs that come together are carried out together, see `on_sack`; whoever
    looks at what they may change, which is `outstanding`, `window` and `abandonment`, finds it changed.
    """

    __slots__ = (
        "_abandonment",
        "_context",
        "_heard",
        "_outstanding",
        "_reduced",
        "_refilled",
        "_sacks",
        "_sacks_a_rwnd",
        "_window",
        "doubted_until",
        "in_flight_before",
        "probe_due",
        "probing",
        "queue",
        "released",
        "sacks",
        "suspended",
    )

    def __init__(self, context: Context, setup: Setup, first_tsn: int) -> None:
        self._context = context
        self._outstanding = OutstandingQueue(first_tsn, len(context.paths.by_id))
        self._window = RetransmissionQueue(self._outstanding, setup.peer_rwnd)
        scheduler = make(context.config.scheduler, self._report)
        self.queue: SendQueue = (
            IDataQueue(scheduler, 0, setup.peer_rwnd, context.numbering)
            if setup.extensions.interleaving
            else DataQueue(scheduler, 0)
        )
        self._abandonment: Abandonment | None = None
        self.doubted_until = -inf  # SACKs may go by another count of TSNs until then (RFC 6525 section 5.2.4)
        self.suspended = False  # no new data leaves: TSNs are about to begin anew (RFC 6525 section 5.1.3)
        #: Per path, what was in flight when data could last leave: cwnd grows only if that filled it (section 7.2.1).
        self.in_flight_before: list[int] = [0] * len(context.paths.by_id)
        #: Per path, the highest TSN that had been sent when its window was last reduced.
        self._reduced: list[int] = [-1] * len(context.paths.by_id)
        self.probing = False  # the peer's window is closed; what is outstanding, if anything, it had no space for
        self.probe_due = False
        self._heard = False  # a SACK has come since the last probe left, or since T3-rtx last ran out
        self.sacks = 0  # that have come since data could last leave
        self._sacks: list[int] = []  # the cumulative TSNs of those that are not yet carried out
        self._sacks_a_rwnd = 0  # the window that the last of them announced
        self._refilled = 0  # bytes that would have left by now, had data left after each SACK of this batch
        self.released = False  # the send buffer has shrunk since the user was last told
        self.measure()

    @property
    def outstanding(self) -> OutstandingQueue:
        """What was sent and is not cumulatively acknowledged."""
        if self._sacks:
            self.apply_sacks()
        return self._outstanding

    @property
    def window(self) -> RetransmissionQueue:
        """The peer's window, and what has to be sent again."""
        if self._sacks:
            self.apply_sacks()
        return self._window

    @property
    def abandonment(self) -> Abandonment | None:
        """The giving up of messages; None before there is one that may be given up."""
        if self._sacks:
            self.apply_sacks()
        return self._abandonment

    def open_abandonment(self, interleaving: bool) -> Abandonment:
        """Return the giving up of messages, from now on."""
        abandonment = self.abandonment
        if abandonment is None:
            abandonment = self._abandonment = Abandonment(self._context, self.queue, self.outstanding, interleaving)
        return abandonment

    def measure(self) -> None:
        """Take over the largest DATA chunk that all paths carry (section 7.3); but at most half the largest window so
        far, so that a chunk comes to fit without silly windows (section 6.1 A, RFC 1122 section 4.2.3.4).
        """
        self.queue.max_chunk = min(self._context.paths.amdcs, max(self._window.largest_rwnd >> 1, _SMALL_CHUNK))

    def change_scheduler(self) -> None:
        """Let the scheduler that the settings name choose from now on."""
        self.queue.set_scheduler(make(self._context.config.scheduler, self._report))

    def _report(self, error: Exception) -> None:
        """Tell the user that his scheduler has made a mistake."""
        self._context.emit(SchedulerFailed(error))

    def add_path(self, path_id: int) -> None:
        """Take over a new path, whose number may have been another's."""
        if path_id == len(self.outstanding.in_flight):
            self.outstanding.add_path()
            self.in_flight_before.append(0)
            self._reduced.append(-1)
        self.measure()

    def forget_path(self, path: Path, successor: Path) -> None:
        """Send what is not acknowledged of a path again, over another (RFC 5061 section 5.3 F13): it is no more."""
        path_id = path.path_id
        self.window.mark_path(path_id, LOST)
        self._outstanding.forget_path(path_id, successor.path_id)
        self.in_flight_before[path_id] = 0
        self._reduced[path_id] = -1
        self.queue.forget_path(path_id)
        if self.abandonment is not None:
            self.abandonment.retry.forget_path(path, successor)
        self.look_back()
        self.measure()
        self._context.timers.stop(timer_key(T3_RTX, path_id))

    @property
    def all_acknowledged(self) -> bool:
        """True if nothing waits, and the peer has acknowledged every TSN, given up (RFC 3758 section 3.5 C5) or not."""
        queue = self.queue
        return queue.buffered == 0 and queue.waiting == 0 and not self.outstanding

    @property
    def buffered(self) -> int:
        """User bytes that were written and are not acknowledged."""
        return self.queue.buffered + self.queue.waiting + self.outstanding.user_bytes

    @property
    def movable(self) -> int:
        """User bytes of `buffered` that go without a message that is being written in parts being ended first."""
        return self.queue.movable + self.outstanding.user_bytes

    def take_probe(self) -> bool:
        """Return True, once for each time-out, if a chunk may leave into the peer's closed window (section 6.1 A)."""
        if not self.probe_due or self.outstanding:
            return False
        self.probe_due = self._heard = False
        return True

    def waits_for_more(self, space: int, is_leaving: bool) -> bool:
        """Return True if new data that does not fill `space` waits for more to bundle, as other data is in flight or
        about to leave (Nagle's algorithm, section 6.1). Asked in a flush alone, where no SACK waits.
        """
        return (is_leaving or self._outstanding.user_bytes > 0) and not self.queue.fills(space)

    def await_window(self, path: Path) -> None:
        """Probe the peer's window after one RTO: it is closed, and nothing is outstanding whose SACK would open it."""
        timers = self._context.timers
        self.probing = True
        if not self.probe_due and not timers.runs(WINDOW_PROBE):
            timers.start(WINDOW_PROBE, self._context.now + path.rto.rto)

    # TSNs that begin anew (RFC 6525).

    def suspend(self) -> bool:
        """Let no message begin to leave while `suspended`; return True if none is in the middle."""
        if not self.suspended:  # else none has begun since
            self.suspended = not self.queue.is_amid()
        return self.suspended

    def expect_restart(self, is_expected: bool) -> None:
        """Reckon with acknowledgements by another count of TSNs than ours; if not, with late ones alone."""
        self.doubted_until = inf if is_expected else self._context.now + _MSL

    def restart_tsns(self, wire_tsn: int) -> None:
        """Take all that has left for acknowledged, and assign this TSN next."""
        outstanding = self.outstanding
        self.expect_restart(False)
        outstanding.restart(unwrap_upwards(wire_tsn, outstanding.next_tsn))  # what was counted before stays lower

    # What the peer says.

    def on_sack(self, data: bytes, at: int, length: int) -> None:
        """Take in a SACK, in the order of section 6.2.1.

        While nothing is missing, those that come together are carried out together, when somebody looks or before the
        next flush: each says no more than how far all has come, and the last one says it best.
        """
        context = self._context
        context.statistics.sacks_received += 1
        wire_cumulative_tsn, a_rwnd, gaps, _ = read_sack(data, at, length)
        outstanding = self._outstanding
        cumulative_tsn = unwrap(wire_cumulative_tsn, outstanding.cumulative_tsn)
        self.sacks += 1
        if not gaps and not self.probing and context.state is ESTABLISHED and self._window.is_smooth():
            sacks = self._sacks
            if (sacks[-1] if sacks else outstanding.cumulative_tsn) <= cumulative_tsn < outstanding.next_tsn:
                sacks.append(cumulative_tsn)
                self._sacks_a_rwnd = a_rwnd
                return
        summary = self.window.on_sack(cumulative_tsn, a_rwnd, gaps, context.now)
        if not self._apply(summary, _ONE):
            return
        self._heard = True
        if self.probing and a_rwnd:
            self._reopen(a_rwnd, summary.cum_advanced)
            if outstanding.doubtful:
                self.look_back()

    def apply_sacks(self) -> None:
        """Carry out the SACKs that came together; timers are right after that only."""
        sacks = self._sacks
        if sacks:
            self._sacks = []
            self._heard = True
            before = self._outstanding.cumulative_tsn
            summary = self._window.on_sack(sacks[-1], self._sacks_a_rwnd, (), self._context.now)
            self._apply(summary, [tsn - before for tsn in sacks])

    def begin_flush(self) -> None:
        """Carry out what came together, and queue what is due for the peer."""
        if self._sacks:
            self.apply_sacks()
        abandonment = self._abandonment
        if abandonment is not None:
            if abandonment.is_overdue():
                self.expire_lifetimes()
            abandonment.flush()

    def end_flush(self) -> None:
        """Note that all that could leave has left."""
        self.in_flight_before[:] = self.outstanding.in_flight
        self.sacks = 0
        self._refilled = 0

    def on_cumulative_tsn(self, wire_cumulative_tsn: int) -> None:
        """Take in what a SHUTDOWN acknowledges. Where a SACK would abort, for what was never sent (section 12.4), it is
        a SHUTDOWN all the same: some peers put a TSN of their own there.
        """
        outstanding = self.outstanding
        window = self._window
        cumulative_tsn = unwrap(wire_cumulative_tsn, outstanding.cumulative_tsn)
        if cumulative_tsn < outstanding.next_tsn:
            self._apply(window.on_sack(cumulative_tsn, window.a_rwnd, None, self._context.now), _ONE)

    def on_congestion_experienced(self, tsn: int) -> None:
        """Reduce the window of the path of this TSN, on whose packet the peer has seen a congestion mark."""
        path_id = self.outstanding.path_of(tsn)
        if path_id < 0:  # it was acknowledged before; if that window was reduced, which path it took is forgotten
            path_id = self._context.paths.data_path().path_id
            tsn = -1 if tsn <= max(self._reduced) else tsn
        if self._is_new_congestion(path_id, tsn):
            self._context.paths.by_id[path_id].congestion.on_congestion_experienced(self._context.now)

    # What time says.

    def expire_t3(self, path_id: int) -> None:
        """Reduce the path's window and back off (section 6.3.3 E1, E2); what is marked, E3, is for `retransmission`."""
        context = self._context
        path = context.paths.by_id[path_id]
        outstanding = self.outstanding
        if not outstanding.has_outstanding(path_id):
            return
        context.statistics.t3_timeouts += 1
        if not self.probing:  # section 6.1 A: probing does not affect cwnd
            path.expire_t3(context.now)  # E1
            self._reduced[path_id] = outstanding.next_tsn - 1
        answered = self._heard
        self._heard = False
        # What was made for a larger path may not fit although others would.
        largest = max(self.queue.max_chunk, outstanding.records[outstanding.head].user_bytes)
        if answered and self.window.a_rwnd < largest:
            # What goes into a closed window is a probe, and isn't counted as long as the peer answers (section 6.1 A);
            # nor is what ran out while the answer was on its way.
            self.probing = True
            context.paths.clear_errors()
            path.rto.back_off()
        elif not on_timeout(context, path):
            return
        self.window.expire_t3(path_id)
        self.look_back()
        if self.abandonment is not None:
            self.abandonment.on_t3(path_id)

    def expire_lifetimes(self) -> None:
        """Give up the messages whose lifetime is over (RFC 3758 section 4.1)."""
        if self.abandonment is not None:
            self.abandonment.expire_lifetimes()
            self.look_back()

    def expire_forward_tsn(self) -> None:
        """Send the FORWARD TSN again, which was not answered (RFC 3758 section 3.5 C5)."""
        abandonment = self.abandonment
        timers = self._context.timers
        if abandonment is None or timers.runs(FORWARD_TSN_RTX):  # T3-rtx ran out at the same instant
            return
        path_id = abandonment.retry.path.path_id
        key = timer_key(T3_RTX, path_id)
        if timers.runs(key):  # data waits for an answer as well: it is one silence, as if they had one timer
            timers.stop(key)
            self.expire_t3(path_id)
        else:
            abandonment.expire_forward_tsn()

    def expire_window_probe(self) -> None:
        """Let a probe leave into the peer's closed window; the next will take twice that time (section 6.1 A)."""
        if not self.outstanding:
            self.probe_due = True
            self._context.paths.data_path().rto.back_off()

    # The end.

    def fail_all(self, error: SCTPError | None) -> None:
        """Tell the user which messages were not delivered, as the association ends (RFC 6458 section 6.1.11)."""
        reason = "the association was shut down" if error is None else str(error)
        lost: list[tuple[OutboundMessage, bool]] = self.outstanding.abandon_all() + self.queue.abandon_all()
        told: set[Terms] = set()
        for message, sent in lost:
            terms = message.terms
            if terms is None:
                self._context.emit(SendFailed(message.sid, message.ppid, message.data, None, sent, reason))
                message.terms = Terms()
                message.terms.finish(reason)
            elif terms not in told:
                told.add(terms)
                data = b"" if terms.order else message.data
                self._context.emit(SendFailed(message.sid, message.ppid, data, terms.context, sent, reason))
                if terms.watcher is not None:
                    self._context.tell_outcome(terms.watcher, reason, None, terms.transmissions)
                terms.finish(reason)

    # Steps.

    def _apply(self, summary: AckSummary, steps: list[int]) -> bool:
        """Carry out what SACKs have changed; False if they are not to be believed. `steps`: how many TSNs each went."""
        if summary.violation and self._context.now >= self.doubted_until:
            self._context.protocol_violation("a SACK acknowledges a TSN that was never sent")
        if summary.violation or summary.stale:
            return False
        if self.queue.max_chunk < self._context.paths.amdcs:
            self.measure()  # the peer's window may be larger than ever
        if summary.any_new or summary.reneged:
            self._tell_paths(summary, steps)
        if self._abandonment is not None:
            self._abandonment.on_sack()
        if summary.released:
            self._note_released()
        if self.outstanding.doubtful or self.outstanding.delivered:
            self.look_back()
        return True

    def look_back(self) -> None:
        """Give up messages that are not to be sent again, and tell of watched ones that were acknowledged."""
        abandonment = self.abandonment
        if abandonment is not None:
            abandonment.judge()
            if abandonment.released:
                abandonment.released = False
                if self.outstanding.earliest_lost() is None:
                    self.window.fast_retransmit_due = False  # section 7.2.4: it was for what is not sent again
                self._note_released()
        if self.outstanding.delivered:
            delivered = self.outstanding.delivered
            self.outstanding.delivered = None
            for terms in delivered:
                path = self._context.paths.by_id[terms.path_id]
                self._context.tell_outcome(terms.watcher, "", path, terms.transmissions)

    def _note_released(self) -> None:
        self.released = True
        if not self.buffered:
            self._context.emit(SenderDry())

    def _tell_paths(self, summary: AckSummary, steps: list[int]) -> None:
        context = self._context
        now = context.now
        paths = context.paths
        outstanding = self.outstanding
        # Section 7.2.4, note: windows grow by what was acknowledged before they shrink by what was lost.
        recovering = self.window.in_recovery and not summary.entered_recovery
        for path_id, round_trip in summary.round_trips:  # timers are to take what it makes of the RTO (section 6.3.3)
            paths.by_id[path_id].on_rtt(round_trip, now)
        for path_id, acked in enumerate(summary.acked):
            key = timer_key(T3_RTX, path_id)
            if acked:
                path = paths.by_id[path_id]
                self._grow(path, acked, steps, summary.cum_advanced, recovering)
                on_acknowledged(context, path, summary.is_certain(path_id))
            if not outstanding.has_outstanding(path_id):
                if acked:
                    context.timers.stop(key)  # R2
                    paths.by_id[path_id].congestion.on_all_acked()
            elif summary.earliest_acked[path_id]:
                context.timers.start(key, now + paths.by_id[path_id].rto.rto)  # R3
        if summary.entered_recovery:
            context.statistics.fast_retransmits += 1
            for path_id, tsn in summary.lost_paths.items():
                if self._is_new_congestion(path_id, tsn):
                    paths.by_id[path_id].congestion.on_fast_retransmit(now)
        if summary.reneged:
            for path_id in {record.path_id for record in summary.reneged}:
                context.statistics.reneged += 1
                if not context.timers.runs(timer_key(T3_RTX, path_id)):
                    context.timers.start(timer_key(T3_RTX, path_id), now + paths.by_id[path_id].rto.rto)  # R4

    def _is_new_congestion(self, path_id: int, tsn: int) -> bool:
        """Return True if a path's window is to be reduced for a TSN that was lost, or marked: once for each window of
        data, whichever tells (RFC 3168 section 6.1.2).
        """
        if tsn <= self._reduced[path_id]:
            return False
        self._reduced[path_id] = self.outstanding.next_tsn - 1
        return True

    def _grow(self, path: Path, acked: int, steps: list[int], cum_advanced: bool, recovering: bool) -> None:
        """Let a window grow by SACKs that acknowledge so many bytes, as if data had left after each (section 7.2.1)."""
        now = self._context.now
        path_id = path.path_id
        flight = self.in_flight_before[path_id]
        supply = self._supply(path)
        told = 0
        for step in steps:
            share = acked * step // steps[-1] - told
            if share:
                path.on_ack(share, flight, cum_advanced, recovering, now)
                told += share
                flight -= share
                if supply <= 0:
                    continue
                space = path.window - flight
                if space > 0:
                    packets = -(-space // path.payload)  # section 6.1 B
                    taken = min(packets * (path.payload - self.queue.header_size), supply)
                    flight += packets * self.queue.header_size + taken
                    supply -= taken
                    self._refilled += taken
        self.in_flight_before[path_id] = flight

    def _supply(self, path: Path) -> int:
        """Return about how many user bytes could have left for this path, had data left after each SACK."""
        outstanding = self.outstanding
        if outstanding.earliest_lost() is not None:
            return outstanding.user_bytes - outstanding.in_flight_user_bytes - self._refilled
        if self.suspended or not (self.queue.directed or path is self._context.paths.data_path()):
            return 0
        return min(self.queue.buffered, self.window.peer_rwnd()) - self._refilled

    def _reopen(self, a_rwnd: int, accepted: bool) -> None:
        """End probing, as the peer's window opens, and send again what was dropped there, over the same path."""
        if a_rwnd < min(self.outstanding.user_bytes, self.queue.max_chunk):
            return
        self.probing = self.probe_due = False
        self._context.timers.stop(WINDOW_PROBE)
        if self.outstanding and not accepted:
            for path in self._context.paths.paths:
                self.window.mark_path(path.path_id, LOST)
