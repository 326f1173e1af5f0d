"""The peer's requests to reconfigure streams, and our answers to them (RFC 6525 section 5.2).

Each request is carried out once: its answer is kept for when it comes again. One reset at most waits for user data to
arrive (section 5.2.2 E2), and one SSN/TSN reset for ours to be acknowledged. Our own requests, with some of which the
peer's are answered, are in `reconfig_requester`.
"""

from __future__ import annotations

from typing import Final, final

from ...events import StreamsAdded, StreamsReset, TsnsReset
from ...inbound.data_tracker import NARROW_SPAN
from ...paths.path import Path
from ...wire import causes, constants, reconfig
from ...wire.constants import MASK_32
from ...wire.reconfig import Parameter
from ...wire.serial import ahead
from ..context import Context
from ..data.receiver import DataReceiver
from ..data.sender import Sender
from ..data.submission import Submission
from ..setup.negotiation import Setup
from ..state import CLOSED, ESTABLISHED
from .reconfig_requester import MOST_STREAMS, ReconfigRequester, RequestPart, StreamRequest

_OUTGOING_RESET_SIZE: Final = 16
#: The peer's requests whose answer is kept: those of one chunk.
_KEPT: Final = 2
_NO_ANSWER: Final = -1
#: Copies of an SSN/TSN reset request, after which it is refused if our data is still not acknowledged.
_MOST_COPIES: Final = 3
#: Section 5.1.7 D4 says 2^31, where the halves of the number space meet: a SACK or DATA chunk that is late by one TSN
#: would look like one from far ahead, and two resets would lead back to where the first began. By these 5/16 of all
#: numbers what is late is old or beyond reach, and no number comes near one that was used in the 15 resets before.
_TSN_STEP: Final = 0x50000000
_SMALLEST_CHUNK: Final = 16  # what a TSN takes of a window at the least


@final
class ReconfigResponder:
    """The peer's requests of one association."""

    __slots__ = (
        "_answers",
        "_context",
        "_deferred",
        "_expected",
        "_receiver",
        "_sender",
        "_submission",
        "_tsn_answer",
        "_tsn_copies",
        "_tsn_first",
        "_tsn_number",
        "awaits_user",
        "requester",
    )

    def __init__(
        self, context: Context, sender: Sender, submission: Submission, receiver: DataReceiver, setup: Setup
    ) -> None:
        self._context = context
        self._sender = sender
        self._submission = submission
        self._receiver = receiver
        #: Our side's requests, with some of which the peer's are answered.
        self.requester: Final = ReconfigRequester(context, sender, submission, receiver, setup)
        self._expected = setup.peer_initial_tsn  # section 4.1
        #: By number the last requests, the oldest first, and what was answered; nothing, if a request of ours answers.
        self._answers: dict[int, bytes] = {}
        self._deferred: Parameter | None = None  # section 5.2.2 E2
        #: A reset has been carried out, and what goes by the new numbers waits until the user has heard of it.
        self.awaits_user = False
        self._tsn_number = -1  # of the SSN/TSN reset that waits for our data to be acknowledged
        self._tsn_copies = 0
        self._tsn_answer = b""  # to the last SSN/TSN reset that was carried out, and our first TSN by it
        self._tsn_first = 0

    def on_reconfig(self, data: bytes, at: int, end: int, path: Path) -> None:
        """Take in a RE-CONFIG chunk whose parameters are between `at` and `end` (section 5.2.1)."""
        context = self._context
        found, unknown = reconfig.read_reconfig(data, at, end)
        if unknown:
            context.report(causes.pack_copies(constants.CAUSE_UNRECOGNIZED_PARAMETERS, unknown), path.path_id)
        if not reconfig.is_allowed(found):
            context.statistics.unexpected_chunks += 1
            if found:
                cause = causes.pack_protocol_violation("parameters that may not stand together in a RE-CONFIG")
                context.report(cause, path.path_id)
            return
        answers: list[bytes] = []
        for parameter in found:
            if not parameter.is_response:
                answer = self._on_request(parameter)
                if answer:
                    answers.append(answer)
            elif not self.requester.on_response(parameter):
                context.statistics.unexpected_chunks += 1
        if len(answers) == 1 and self.requester.advance(answers[0]):
            return
        if answers:
            context.answer(reconfig.pack_reconfig(answers), context.paths.reply_path(path).path_id)

    def _on_request(self, request: Parameter) -> bytes:
        """Carry out a request if it is new; return the response parameter, or nothing if there is none (yet)."""
        self._receiver.acknowledger.hurry()
        steps = ahead(request.number, self._expected)
        if -_KEPT <= steps < 0:
            return self._answer_again(request.number)
        if steps:
            return reconfig.pack_response(request.number, reconfig.BAD_NUMBER)
        self._expected = request.number + 1 & MASK_32
        self.requester.peer_number = request.number
        self._answers[request.number] = b""
        if len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]
        result = self._carry_out(request)
        if result == _NO_ANSWER:
            return b""
        if request.kind == constants.PARAM_TSN_RESET:
            return self._keep(request.number, self._pack_refusal(request.number, result))
        return self._keep(request.number, reconfig.pack_response(request.number, result))

    def _answer_again(self, number: int) -> bytes:
        answer = self._answers.get(number)
        if answer is None:
            return reconfig.pack_response(number, reconfig.BAD_NUMBER)
        if answer:
            return answer
        if number == self._tsn_number:
            self._tsn_copies += 1
            return b"" if self._tsn_copies < _MOST_COPIES else self._refuse_tsn_reset(reconfig.REQUEST_IN_PROGRESS)
        requester = self.requester
        if requester.current is not None and requester.current.answers == number:
            requester.send_again(is_answer=True)
            return b""
        if any(request.answers == number for request in requester.queue):
            return reconfig.pack_response(number, reconfig.IN_PROGRESS)
        is_up = self._context.state is ESTABLISHED
        return reconfig.pack_response(number, reconfig.PERFORMED if is_up else reconfig.DENIED)

    def _keep(self, number: int, answer: bytes) -> bytes:
        """Keep an answer for when the request comes again, and return it."""
        if number in self._answers:
            self._answers[number] = answer
        return answer

    def _carry_out(self, request: Parameter) -> int:
        """Return the result (section 4.4), or `_NO_ANSWER`."""
        kind = request.kind
        if kind == constants.PARAM_OUTGOING_RESET:
            return self._reset_incoming(request)
        if kind == constants.PARAM_INCOMING_RESET:
            return self._reset_outgoing(request)
        if kind == constants.PARAM_TSN_RESET:
            return self._reset_tsns(request)
        if kind == constants.PARAM_ADD_OUTGOING_STREAMS:
            return self._add_incoming(request.added)
        return self._add_outgoing(request)

    def _permits(self, what: str) -> bool:
        return self._context.state is ESTABLISHED and what in self._context.config.reconfig_allowed

    # Resets of streams.

    def _reset_incoming(self, request: Parameter) -> int:
        """Carry out an Outgoing SSN Reset Request (section 5.2.2): in shutdown too, where data waits for its answer."""
        if not self.requester.on_reset_by_peer(request.answers, request.streams) and (
            "reset_streams" not in self._context.config.reconfig_allowed
        ):
            return reconfig.DENIED
        if _is_beyond(request.streams, self._receiver.incoming_streams):
            return reconfig.WRONG_STREAM
        if self.awaits_user:
            return reconfig.REQUEST_IN_PROGRESS
        deferred = self._deferred
        same = deferred is not None and (deferred.last_tsn, deferred.streams) == (request.last_tsn, request.streams)
        if not self._has_arrived(request):
            if deferred is not None and not same:
                return reconfig.REQUEST_IN_PROGRESS
            self._deferred = request  # some peers ask again under a new number
            self._receiver.defer_reset(request.last_tsn, request.streams or None)
            return reconfig.IN_PROGRESS
        if same:
            self._deferred = None
        self._perform_reset(request)
        return reconfig.PERFORMED

    def _has_arrived(self, request: Parameter) -> bool:
        return ahead(request.last_tsn, self._receiver.tracker.cumulative_tsn) <= 0

    def _perform_reset(self, request: Parameter) -> None:
        """Reset the peer's streams (E3); what has come by the new numbers is delivered once the user knows (E4)."""
        streams = request.streams or None
        self.awaits_user = self._deferred is None and self._receiver.defer_reset(request.last_tsn, streams)
        self._receiver.reset_streams(streams)
        self._context.emit(StreamsReset(False, request.streams, "ok"))
        if self.awaits_user:
            self._context.notices.append(self._release_deferred)

    def _release_deferred(self) -> None:
        if self._context.state is not CLOSED:  # the user may have ended it
            self.awaits_user = False
            self._receiver.release_deferred()

    def _reset_outgoing(self, request: Parameter) -> int:
        """Answer an Incoming SSN Reset Request by a request of ours (section 5.2.3)."""
        streams = request.streams
        if not self._permits("reset_streams"):
            return reconfig.DENIED
        if _is_beyond(streams, self._submission.outgoing_streams):
            return reconfig.WRONG_STREAM
        space = self._context.space(self._context.paths.data_path(), constants.RE_CONFIG)
        space -= constants.CHUNK_HEADER_SIZE + _OUTGOING_RESET_SIZE
        if 2 * len(streams) > space:
            return reconfig.DENIED
        current = self.requester.current
        if current is not None and current.covers(streams, self._submission.outgoing_streams):
            return reconfig.NOTHING_TO_DO
        return self._push_answer(request, RequestPart(constants.PARAM_OUTGOING_RESET, streams))

    def _push_answer(self, request: Parameter, part: RequestPart) -> int:
        """Answer by a request of ours; not many of them wait, as the peer has one under way at a time."""
        requester = self.requester
        current = requester.current
        under_way = current is not None and current.answers >= 0  # it may have to wait again
        if requester.answers_queued + under_way >= _KEPT:
            return reconfig.REQUEST_IN_PROGRESS
        # Each side's request is to be answered by one of the other's: one is refused, and comes again.
        if current is not None and current.asks_the_peer and self._context.local_tag > self._context.peer_tag:
            return reconfig.REQUEST_IN_PROGRESS
        requester.push(StreamRequest([part], None, request.number))
        return _NO_ANSWER

    # Resets of TSNs.

    def _reset_tsns(self, request: Parameter) -> int:
        """Begin an SSN/TSN reset (section 5.2.4). What we have under way is acknowledged first: G3 would lose it."""
        if not self._permits("reset_tsns"):
            return reconfig.DENIED
        # While ours is unanswered the peer may have carried it out: nobody here knows the TSNs in force. Of two that
        # cross both are refused, and chance decides which comes again first.
        if self._deferred is not None or self.awaits_user or self._tsn_number >= 0 or self.requester.expects_restart:
            return reconfig.REQUEST_IN_PROGRESS
        self._tsn_number = request.number
        self._tsn_copies = 0
        self.requester.stop_all()
        return _NO_ANSWER

    def _perform_tsn_reset(self) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        # G2 says the TSN after the last one. But what overtakes the answer would be taken under the old numbers: it is
        # to lie beyond what the peer has space for, who drops it until then; no less than what our own side looks ahead
        # meanwhile, and no more, as some peers abort an association that goes beyond their window.
        window = self._context.setup.peer_rwnd if self._context.setup is not None else 0
        our_tsn = self._sender.outstanding.next_tsn + max(window // _SMALLEST_CHUNK, NARROW_SPAN) + 1 & MASK_32
        self._sender.restart_tsns(our_tsn)
        next_tsn = self._receiver.tracker.cumulative_tsn + 1 + _TSN_STEP & MASK_32  # G1
        self._receiver.restart_tsns(next_tsn)  # G4 and G5
        self.requester.release_all(True)
        self._context.emit(TsnsReset("ok"))
        self._tsn_answer = reconfig.pack_tsn_response(number, reconfig.PERFORMED, our_tsn, next_tsn)
        self._tsn_first = self._sender.outstanding.next_tsn
        return self._keep(number, self._tsn_answer)

    def _refuse_tsn_reset(self, result: int) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        self.requester.release_all(False)
        return self._keep(number, self._pack_refusal(number, result))

    def _pack_refusal(self, number: int, result: int) -> bytes:
        """Pack an answer with both TSNs in force, as all have them whichever the result (5.1.7 D3 and D4)."""
        next_tsn = self._receiver.tracker.cumulative_tsn + 1 & MASK_32
        return reconfig.pack_tsn_response(number, result, self._sender.outstanding.next_tsn & MASK_32, next_tsn)

    # Streams that are added.

    def _add_incoming(self, count: int) -> int:
        """Carry out an Add Outgoing Streams Request (section 5.2.5)."""
        receiver = self._receiver
        asked = self.requester.on_streams_by_peer(count)
        if not asked and not self._permits("add_streams"):
            return reconfig.DENIED
        most = MOST_STREAMS if asked else self._context.config.max_incoming_streams
        if receiver.incoming_streams + count > most:
            return reconfig.DENIED
        if not count:
            return reconfig.NOTHING_TO_DO
        receiver.incoming_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(incoming_streams=receiver.incoming_streams)
        self._context.emit(StreamsAdded(self._submission.outgoing_streams, receiver.incoming_streams, "ok"))
        return reconfig.PERFORMED

    def _add_outgoing(self, request: Parameter) -> int:
        """Answer an Add Incoming Streams Request by a request of ours (section 5.2.6)."""
        if not self._permits("add_streams") or self._submission.outgoing_streams + request.added > MOST_STREAMS:
            return reconfig.DENIED
        if not request.added:
            return reconfig.NOTHING_TO_DO
        return self._push_answer(request, RequestPart(constants.PARAM_ADD_OUTGOING_STREAMS, count=request.added))

    # What progress and time say.

    def advance(self) -> bool:
        """Go on with what waited for data to leave or to come, on both sides; true if there is something to send."""
        sends = False
        deferred = self._deferred
        if deferred is not None and self._has_arrived(deferred):
            self._deferred = None
            self._perform_reset(deferred)
            self._answer_late(self._keep(deferred.number, reconfig.pack_response(deferred.number, reconfig.PERFORMED)))
            sends = True
        if self._tsn_number >= 0:
            if self._context.state is not ESTABLISHED:
                self._answer_late(self._refuse_tsn_reset(reconfig.DENIED))
                sends = True
            elif self.requester.stop_all():
                self._answer_late(self._perform_tsn_reset())
                sends = True
        if not self.requester.queue:
            return sends
        if self._context.state is not ESTABLISHED:
            self.requester.give_up("the association is shutting down")
            return True
        return self.requester.advance() or sends

    def _answer_late(self, answer: bytes) -> None:
        if self._context.state is not CLOSED:  # whom a message was delivered to may have aborted
            self._context.queue(reconfig.pack_reconfig([answer]))

    def on_t3(self) -> None:
        """Repeat the answer to an SSN/TSN reset until data that goes by it, and is dropped without, is acknowledged."""
        if self._sender.outstanding.cumulative_tsn >= self._tsn_first:
            self._tsn_answer = b""
        elif self._tsn_answer:
            self._answer_late(self._tsn_answer)

    def end(self, reason: str) -> None:
        """Give up all requests of both sides: the association has ended, or the peer has restarted it."""
        self._deferred = None
        self.requester.end(reason)


def _is_beyond(streams: tuple[int, ...], count: int) -> bool:
    return bool(streams) and max(streams) >= min(count, constants.MASK_16 + 1)
