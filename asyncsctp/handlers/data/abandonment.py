"""Messages that are given up: FORWARD TSN to the peer, `SendFailed` to the user (RFC 3758 section 3.5, RFC 7496).

It exists only once a message has a policy, or is withdrawn. The rules are those of `outbound.partial_reliability`; here
they are carried out, with timers and paths.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

from ...events import SendFailed
from ...outbound.message import LIMITED, PRIORITY, RELIABLE, TIMED, WAITING, Terms
from ...outbound.outstanding import OutstandingQueue
from ...outbound.partial_reliability import PartialReliability
from ...outbound.send_queue import SendQueue
from ...paths.path import Path
from ...timers import FORWARD_TSN_RTX, LIFETIME, T3_RTX, timer_key
from ..context import Context
from ..paths.reachability import OF_DATA
from ..request import Retry
from ..state import SENDS_DATA

_REASONS: Final = {
    RELIABLE: "it was withdrawn",
    TIMED: "its lifetime is over",
    LIMITED: "it was retransmitted as often as it may be",
    PRIORITY: "it made room for what matters more",
}


@final
class Abandonment:
    """The sending side of partial reliability."""

    __slots__ = (
        "_context",
        "_interleaving",
        "_outstanding",
        "_sent_at",
        "_unanswered_at",
        "partial",
        "released",
        "retry",
    )

    def __init__(self, context: Context, queue: SendQueue, outstanding: OutstandingQueue, interleaving: bool) -> None:
        self._context = context
        self._outstanding = outstanding
        self._interleaving = interleaving
        self.partial = PartialReliability(queue, outstanding)
        #: User bytes have left the send buffer since this was last set to False.
        self.released = False
        self._sent_at = -inf  # the last FORWARD TSN
        self._unanswered_at = -1  # the cumulative TSN when the timer was started
        #: Of the FORWARD TSN that the peer was last sent.
        self.retry = Retry(context, FORWARD_TSN_RTX, OF_DATA)

    # What the user says.

    def add(self, terms: Terms, order: int) -> None:
        """Look after a message with a policy that has been queued as the `order`-th."""
        self.partial.add(terms, order)
        if terms.policy == TIMED:
            timers = self._context.timers
            if terms.bound < timers.deadline(LIFETIME):
                timers.start(LIFETIME, terms.bound)

    def free(self, wanted: int, importance: float) -> None:
        """Give up what is less important than a new message, until so many bytes are free (RFC 7496 section 3.2)."""
        while wanted > 0 and (terms := self.partial.least_important(importance)) is not None:
            wanted -= self.give_up(terms, PRIORITY)

    def give_up(self, terms: Terms, policy: int) -> int:
        """Abandon a message, and return the bytes of the send buffer that become free."""
        context = self._context
        if context.state not in SENDS_DATA:
            return 0  # nothing is unacknowledged, it was never ended: the end of the association tells of it
        message = terms.message
        data = b"" if message is None or terms.order else message.data
        watcher = terms.watcher
        reason = _REASONS[policy]
        sent = terms.state != WAITING
        released, paths = self.partial.abandon(terms, policy, reason)
        for path_id in paths:  # what A2 takes for acknowledged moves T3-rtx as what is (section 6.3.2)
            key = timer_key(T3_RTX, path_id)
            if not self._outstanding.has_outstanding(path_id):
                context.timers.stop(key)  # R2
            elif context.timers.runs(key):
                context.timers.start(key, context.now + context.paths.by_id[path_id].rto.rto)  # R3
        if message is not None:
            context.emit(SendFailed(message.sid, message.ppid, data, terms.context, sent, reason))
            message.data = b""  # what is outstanding of it may refer to it for long
        if watcher is not None:
            context.tell_outcome(watcher, reason, None, terms.transmissions)
        context.statistics.messages_abandoned += 1
        self.released = True
        return released

    # What the peer says.

    def judge(self) -> None:
        """Give up what was marked for retransmission and is not worth it (RFC 3758 section 3.5 A2, F5)."""
        outstanding = self._outstanding
        records = outstanding.doubtful or []
        outstanding.doubtful = None
        for terms in self.partial.doubtful(records, self._context.now):
            self.give_up(terms, terms.policy)

    def on_sack(self) -> None:
        """Advance the point that the peer is told of (RFC 3758 section 3.5 A4).

        A FORWARD TSN that a SACK does not know of is sent again once a round trip has passed.
        """
        context = self._context
        retry = self.retry
        advanced_tsn = self.partial.advance_peer_ack_point()
        cumulative_tsn = self._outstanding.cumulative_tsn
        if cumulative_tsn > self._unanswered_at and context.timers.runs(FORWARD_TSN_RTX):
            retry.stop_timer()
            retry.on_answer()
            if self.partial.is_unanswered:
                self._start_timer()
        if advanced_tsn > cumulative_tsn:
            rto = retry.path.rto
            round_trip = rto.srtt if rto.measured else rto.rto
            if context.now - self._sent_at >= round_trip:
                self.partial.forward_tsn_due = True

    # What time says.

    def expire_lifetimes(self) -> None:
        """Give up the messages whose lifetime is over."""
        context = self._context
        for terms in self.partial.expired(context.now):
            self.give_up(terms, TIMED)
        following = self.partial.next_deadline
        if following < inf:
            context.timers.start(LIFETIME, following)

    def expire_forward_tsn(self) -> None:
        """Send a FORWARD TSN again that the peer did not answer (RFC 3758 section 3.5 C5, RFC 9260 section 6.3.3)."""
        if self._context.owner.is_timed(self.retry.path):  # T3-rtx ran out too: `on_t3` follows
            return
        if self.retry.on_timeout():
            self._send_again()

    def on_t3(self, path_id: int) -> None:
        """Send a FORWARD TSN again that this path took, as its T3-rtx has run out (RFC 3758 section 3.5 A5)."""
        if path_id == self.retry.path.path_id and self.partial.is_unanswered:
            self.retry.stop_timer()
            self._send_again()

    # Steps.

    def is_overdue(self) -> bool:
        """Return True if a lifetime is over and its timer has not run out yet, which then doesn't any more."""
        if self._context.timers.deadline(LIFETIME) > self._context.now:
            return False
        self._context.timers.stop(LIFETIME)
        return True

    def flush(self) -> None:
        """Queue what is due for the peer."""
        if self.partial.forward_tsn_due:
            self._send(self._context.paths.data_path())

    def _send_again(self) -> None:
        self._send(self._context.paths.retransmit_path(self.retry.path.path_id))

    def _send(self, path: Path) -> None:
        context = self._context
        was_unanswered = self.partial.is_unanswered
        chunk = self.partial.forward_tsn(path.payload, self._interleaving)
        if not chunk:
            return
        context.queue(chunk, path.path_id)
        context.statistics.forward_tsns_sent += 1
        if was_unanswered:
            self.retry.move(path)
        else:
            self.retry.begin(path)
        self._sent_at = context.now
        if not context.timers.runs(FORWARD_TSN_RTX):
            self._start_timer()

    def _start_timer(self) -> None:
        """Start the timer of C5. What else is abandoned until it ends does not put it off (section 6.3.2 R1)."""
        self._unanswered_at = self._outstanding.cumulative_tsn
        self.retry.start_timer()
