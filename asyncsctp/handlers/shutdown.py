"""The graceful end (RFC 9260 section 9.2), from either side.

Knows the SHUTDOWN chunks, T2-shutdown, T5-shutdown-guard and autoclose. Whether data is still in the way is asked of
`data.sender`; which state follows from what stands in `state`.
"""

from __future__ import annotations

from typing import Final, final

from ..errors import AssociationAborted, AssociationTimeout
from ..events import PeerShutdown
from ..paths.failover import ROTATE_AT
from ..paths.path import Path
from ..paths.route import Route
from ..timers import AUTOCLOSE, T2_SHUTDOWN, T4_RTO, T5_GUARD
from ..wire import causes, control
from ..wire.constants import CAUSE_USER_ABORT, MASK_32
from .context import Context
from .data.receiver import DataReceiver
from .data.sender import Sender
from .data.submission import Submission
from .state import (
    ESTABLISHED,
    ON_ALL_ACKNOWLEDGED,
    ON_SHUTDOWN,
    SHUT_DOWN,
    SHUTDOWN_ACK_SENT,
    SHUTDOWN_PENDING,
    SHUTDOWN_RECEIVED,
    SHUTDOWN_SENT,
)

_T5_RTO_MAX_FACTOR: Final = 5  # section 9.2: RECOMMENDED value of T5-shutdown-guard
_LINGER_RTOS: Final = 4  # the peer repeats its SHUTDOWN ACK after one, and after three


@final
class Shutdown:
    """One association's way from ESTABLISHED to CLOSED."""

    __slots__ = (
        "_context",
        "_path_id",
        "_queued",
        "_receiver",
        "_sender",
        "_submission",
        "last_message",
        "retransmissions",
    )

    def __init__(self, context: Context, receiver: DataReceiver, sender: Sender, submission: Submission) -> None:
        self._context = context
        self._receiver = receiver
        self._sender = sender
        self._submission = submission
        self.retransmissions = 0  # in a row, of what T2-shutdown waits for the answer to
        self._path_id = context.paths.primary.path_id
        self._queued: bytes | None = None  # the last SHUTDOWN, which may not have left yet
        self.last_message = context.now  # when user data last came, or left for an address that is no more

    # What the user says.

    def shutdown(self) -> None:
        """Begin to shut down: what was written is delivered first. Do nothing if either side has begun already."""
        if self._context.state is ESTABLISHED:
            self._context.change(SHUT_DOWN)
            self._close_submission()
            self.advance()

    # What the association's progress says.

    def advance(self, is_answer: bool = False) -> None:
        """Go on to the next step if no data is in the way any more; called whenever data was acknowledged, or
        (`is_answer`) with the SHUTDOWN of the peer.

        A FORWARD TSN is in the way until it is acknowledged, as what is outstanding (section 9.2): a peer in
        SHUTDOWN-RECEIVED takes user data no more, nor what is told of it.
        """
        context = self._context
        if context.state is SHUTDOWN_PENDING:
            # What the peer sends by new TSNs is acknowledged only once we have heard of these (RFC 6525 section 5.2.7).
            if self._sender.all_acknowledged and not self._receiver.tracker.is_narrow:
                context.change(ON_ALL_ACKNOWLEDGED)
                self._path_id = context.paths.data_path().path_id
                self._begin_t2()
                context.timers.start(T5_GUARD, context.now + self._guard())
                self._send(is_answer=False)
        elif context.state is SHUTDOWN_RECEIVED and self._sender.all_acknowledged and not self._is_moving():
            self._acknowledge(is_answer)

    def on_data(self) -> None:
        """Give the peer more time in SHUTDOWN-SENT, as a packet brought user data: it may have much to send before it
        answers.

        Nothing else does so. A peer that sends HEARTBEATs may not have the SHUTDOWN.
        """
        if self._context.state is SHUTDOWN_SENT:
            self._begin_t2()
            self._send(is_answer=True)

    # What the peer says.

    def on_shutdown(self, path: Path) -> None:
        """Carry out a SHUTDOWN whose Cumulative TSN Ack has been applied already; answer to where it came from (section
        6.4).
        """
        context = self._context
        state = context.state
        self._path_id = context.paths.reply_path(path).path_id
        if state is ESTABLISHED or state is SHUTDOWN_PENDING:
            context.change(ON_SHUTDOWN)
            context.emit(PeerShutdown())
            self._close_submission()
            self.advance(is_answer=True)
        elif state is SHUTDOWN_ACK_SENT or (state is SHUTDOWN_SENT and not self._is_moving()):
            self._acknowledge(is_answer=True)

    def on_shutdown_ack(self, path: Path, source: Route) -> None:
        """End the association for a SHUTDOWN ACK, in the right states. One from no address of the peer that we send to
        is answered there (section 8.4 rule 5); `path` is that of another address then.
        """
        context = self._context
        if context.state is SHUTDOWN_SENT or context.state is SHUTDOWN_ACK_SENT:
            path = context.paths.reply_path(path)
            if context.paths.find(source.address) is None:
                context.transmit_along(control.pack_shutdown_complete(), source, context.peer_tag)
            else:
                context.transmit(control.pack_shutdown_complete(), path.path_id, context.peer_tag)
            context.linger = _LINGER_RTOS * path.rto.rto
            context.owner.end(None)

    def on_shutdown_complete(self) -> None:
        """End the association for a SHUTDOWN COMPLETE, in SHUTDOWN-ACK-SENT alone."""
        if self._context.state is SHUTDOWN_ACK_SENT:
            self._context.owner.end(None)

    # What time says.

    def leave(self) -> bool:
        """Wait no longer for SHUTDOWN COMPLETE, if nothing else is missing; return whether that is so.

        Each side has all that the other sent, and both have said so: the end is a graceful one, although nobody may be
        there any more to say the last word.
        """
        if self._context.state is not SHUTDOWN_ACK_SENT:
            return False
        self._context.owner.end(None)
        return True

    def expire_t2(self) -> None:
        """Send again, over another path or from another address if there is one, until the limit (T2-shutdown)."""
        context = self._context
        self.retransmissions += 1
        if self.retransmissions > context.config.max_retrans:
            if not self.leave():
                context.owner.end(AssociationTimeout("the peer did not answer the shutdown"))
            return
        path = context.paths.by_id[self._path_id]
        path.rto.back_off()
        if self.retransmissions >= ROTATE_AT:  # section 6.4.1
            context.paths.local.rotate(path)
        self._path_id = context.paths.retransmit_path(self._path_id).path_id
        self._start_t2()
        self._send(is_answer=False)

    def expire_t5(self) -> None:
        """Abort: the shutdown as a whole took too long (T5-shutdown-guard)."""
        if not self.leave():
            self._context.abort(
                causes.pack_protocol_violation("T5-shutdown-guard expired"),
                AssociationAborted("the shutdown took longer than its guard timer allows"),
            )

    def forget_path(self, path: Path, successor: Path) -> None:
        """Let go of a path that is no more: what refers to it is for its successor."""
        if self._path_id == path.path_id:
            self._path_id = successor.path_id
        self.last_message = max(self.last_message, path.last_sent)  # which can't be asked later

    # Autoclose (RFC 6458 section 8.1.8).

    def start_autoclose(self) -> None:
        """Close the association once no message has come or gone for so long, if that is wished."""
        context = self._context
        if context.config.autoclose is not None and context.state is ESTABLISHED:
            context.timers.start(AUTOCLOSE, self.last_message + context.config.autoclose)
        else:
            context.timers.stop(AUTOCLOSE)

    def expire_autoclose(self) -> None:
        """Shut down, unless messages have come or gone in the meantime."""
        context = self._context
        autoclose = context.config.autoclose
        if autoclose is None:
            return
        self.last_message = max(self.last_message, *(path.last_sent for path in context.paths.paths))
        if self.last_message + autoclose > context.now:
            self.start_autoclose()
        else:
            self.shutdown()

    # Steps.

    def _close_submission(self) -> None:
        """Give up what is being written in parts, as it will not be ended. The peer must not take it for a whole
        message: where it can't be told of that, the association is aborted.
        """
        try:
            for terms in self._submission.open_messages():
                self._submission.give_up(terms)
        except ValueError:
            text = "a message that was begun can't be ended"
            self._context.abort(causes.pack_cause(CAUSE_USER_ABORT, text.encode()), AssociationAborted(text))

    def _is_moving(self) -> bool:
        """Return whether nothing can be acknowledged, as the peer is just being told of the only address to send from:
        nothing but ASCONF leaves (RFC 5061 section 5.3 F1 and F4), and that would not any more in SHUTDOWN-ACK-SENT
        (section 5.1.1 C4). No other ASCONF is waited for.
        """
        context = self._context
        return context.timers.runs(T4_RTO) and not context.paths.data_path().route.local

    def _acknowledge(self, is_answer: bool) -> None:
        context = self._context
        if context.state is not SHUTDOWN_ACK_SENT:
            context.change(ON_ALL_ACKNOWLEDGED)
            context.owner.await_completion()
            self._begin_t2()
        self._send(is_answer)

    def _send(self, is_answer: bool) -> None:
        if self._context.state is SHUTDOWN_ACK_SENT:
            self._queue(control.pack_shutdown_ack(), is_answer)
            return
        # A SHUTDOWN for each packet with DATA; one says it all for those of a batch. Where there are gaps a SACK MUST
        # go beside it; a SACK that is due always does, since some peers don't read what a SHUTDOWN acknowledges.
        self._receiver.acknowledger.hurry()
        waiting = self._context.control
        if waiting and waiting[-1][0] is self._queued:
            is_answer = waiting.pop()[2] and is_answer
        self._queued = control.pack_shutdown(self._receiver.tracker.cumulative_tsn & MASK_32)
        self._queue(self._queued, is_answer)

    def _queue(self, chunk: bytes, is_answer: bool) -> None:
        if is_answer:
            self._context.answer(chunk, self._path_id)
        else:
            self._context.queue(chunk, self._path_id)

    def _begin_t2(self) -> None:
        self.retransmissions = 0
        self._start_t2()

    def _start_t2(self) -> None:
        context = self._context
        context.timers.start(T2_SHUTDOWN, context.now + context.paths.by_id[self._path_id].rto.rto)

    def _guard(self) -> float:
        config = self._context.config
        return config.shutdown_guard if config.shutdown_guard is not None else _T5_RTO_MAX_FACTOR * config.rto_max
