"""The peer's requests to reconfigure streams, and our answers to them (RFC 6525 section 5.2).

Each request is carried out once: its answer is kept for when it comes again. One reset at most waits for user data to
arrive (section 5.2.2 E2), and one SSN/TSN reset for ours to be acknowledged. Our own requests, with some of which the
peer's are answered, are in `reconfig_requester`.
"""

from __future__ import annotations

from typing import Final, final

from ...events import StreamsAdded, StreamsReset, TsnsReset
from ...inbound.data_tracker import NARROW_SPAN
from ...wire.constants import (
    CHUNK_HEADER_SIZE,
    MASK_16,
    MASK_32,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_TSN_RESET,
    RE_CONFIG,
)
from ...wire.reconfig import (
    BAD_NUMBER,
    DENIED,
    IN_PROGRESS,
    NOTHING_TO_DO,
    PERFORMED,
    REQUEST_IN_PROGRESS,
    WRONG_STREAM,
    Parameter,
    pack_reconfig,
    pack_response,
    pack_tsn_response,
)
from ...wire.serial import ahead
from ..context import Context
from ..data.receiver import DataReceiver
from ..state import CLOSED, ESTABLISHED
from .outgoing_streams import OutgoingStreams
from .reconfig_requester import ReconfigRequester, RequestPart, StreamRequest

MOST_STREAMS: Final = 65535
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
        "_outgoing",
        "_receiver",
        "_requester",
        "_tsn_answer",
        "_tsn_copies",
        "_tsn_first",
        "_tsn_number",
        "awaits_user",
    )

    def __init__(
        self,
        context: Context,
        outgoing: OutgoingStreams,
        receiver: DataReceiver,
        requester: ReconfigRequester,
        first_number: int,
    ) -> None:
        self._context = context
        self._outgoing = outgoing
        self._receiver = receiver
        self._requester = requester
        self._expected = first_number
        #: By number the last requests, the oldest first, and what was answered; nothing, if a request of ours answers.
        self._answers: dict[int, bytes] = {}
        self._deferred: Parameter | None = None  # section 5.2.2 E2
        #: A reset has been carried out, and what goes by the new numbers waits until the user has heard of it.
        self.awaits_user = False
        self._tsn_number = -1  # of the SSN/TSN reset that waits for our data to be acknowledged
        self._tsn_copies = 0
        self._tsn_answer = b""  # to the last SSN/TSN reset that was carried out, and our first TSN by it
        self._tsn_first = 0

    def on_request(self, request: Parameter) -> bytes:
        """Carry out a request if it is new; return the response parameter, or nothing if there is none (yet)."""
        self._receiver.acknowledger.hurry()
        steps = ahead(request.number, self._expected)
        if -_KEPT <= steps < 0:
            return self._answer_again(request.number)
        if steps:
            return pack_response(request.number, BAD_NUMBER)
        self._expected = request.number + 1 & MASK_32
        self._requester.peer_number = request.number
        self._answers[request.number] = b""
        if len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]
        result = self._carry_out(request)
        if result == _NO_ANSWER:
            return b""
        if request.kind == PARAM_TSN_RESET:
            return self._keep(request.number, self._pack_refusal(request.number, result))
        return self._keep(request.number, pack_response(request.number, result))

    def _answer_again(self, number: int) -> bytes:
        answer = self._answers.get(number)
        if answer is None:
            return pack_response(number, BAD_NUMBER)
        if answer:
            return answer
        if number == self._tsn_number:
            self._tsn_copies += 1
            return b"" if self._tsn_copies < _MOST_COPIES else self._refuse_tsn_reset(REQUEST_IN_PROGRESS)
        requester = self._requester
        if requester.current is not None and requester.current.answers == number:
            requester.send_again(is_answer=True)
            return b""
        if any(request.answers == number for request in requester.queue):
            return pack_response(number, IN_PROGRESS)
        return pack_response(number, PERFORMED if self._context.state is ESTABLISHED else DENIED)

    def _keep(self, number: int, answer: bytes) -> bytes:
        """Keep an answer for when the request comes again, and return it."""
        if number in self._answers:
            self._answers[number] = answer
        return answer

    def _carry_out(self, request: Parameter) -> int:
        """Return the result (section 4.4), or `_NO_ANSWER`."""
        kind = request.kind
        if kind == PARAM_OUTGOING_RESET:
            return self._reset_incoming(request)
        if kind == PARAM_INCOMING_RESET:
            return self._reset_outgoing(request)
        if kind == PARAM_TSN_RESET:
            return self._reset_tsns(request)
        if kind == PARAM_ADD_OUTGOING_STREAMS:
            return self._add_incoming(request.added)
        return self._add_outgoing(request)

    def _permits(self, what: str) -> bool:
        return self._context.state is ESTABLISHED and what in self._context.config.reconfig_allowed

    # Resets of streams.

    def _reset_incoming(self, request: Parameter) -> int:
        """Carry out an Outgoing SSN Reset Request (section 5.2.2). It is taken in shutdown too, where data waits for
        its answer.
        """
        if not self._requester.on_reset_by_peer(request.answers, request.streams) and (
            "reset_streams" not in self._context.config.reconfig_allowed
        ):
            return DENIED
        if _is_beyond(request.streams, self._receiver.incoming_streams):
            return WRONG_STREAM
        if self.awaits_user:
            return REQUEST_IN_PROGRESS
        deferred = self._deferred
        same = deferred is not None and (deferred.last_tsn, deferred.streams) == (request.last_tsn, request.streams)
        if not self._has_arrived(request):
            if deferred is not None and not same:
                return REQUEST_IN_PROGRESS
            self._deferred = request  # some peers ask again under a new number
            self._receiver.defer_reset(request.last_tsn, request.streams or None)
            return IN_PROGRESS
        if same:
            self._deferred = None
        self._perform_reset(request)
        return PERFORMED

    def _has_arrived(self, request: Parameter) -> bool:
        return ahead(request.last_tsn, self._receiver.tracker.cumulative_tsn) <= 0

    def _perform_reset(self, request: Parameter) -> None:
        """Reset the peer's streams (E3 and E4). What goes by the new numbers, and has come before or comes in the same
        packet, is delivered once the user has heard of these: by that it is told from what came before.
        """
        streams = request.streams or None
        self.awaits_user = self._deferred is None and self._receiver.defer_reset(request.last_tsn, streams)
        self._receiver.reset_streams(streams)
        self._context.emit(StreamsReset(False, request.streams, "ok"))
        if self.awaits_user:
            self._context.tell_done(self._release_deferred)

    def _release_deferred(self) -> None:
        if self._context.state is not CLOSED:  # the user may have ended it
            self.awaits_user = False
            self._receiver.release_deferred()

    def _reset_outgoing(self, request: Parameter) -> int:
        """Answer an Incoming SSN Reset Request by a request of ours (section 5.2.3)."""
        streams = request.streams
        if not self._permits("reset_streams"):
            return DENIED
        if _is_beyond(streams, self._outgoing.count):
            return WRONG_STREAM
        space = self._context.space(self._context.paths.data_path(), RE_CONFIG)
        space -= CHUNK_HEADER_SIZE + _OUTGOING_RESET_SIZE
        if 2 * len(streams) > space:
            return DENIED
        current = self._requester.current
        if current is not None and current.covers(streams, self._outgoing.count):
            return NOTHING_TO_DO
        return self._push_answer(request, RequestPart(PARAM_OUTGOING_RESET, streams))

    def _push_answer(self, request: Parameter, part: RequestPart) -> int:
        """Answer by a request of ours; not many of them wait, as the peer has one under way at a time."""
        requester = self._requester
        current = requester.current
        under_way = current is not None and current.answers >= 0  # it may have to wait again
        if requester.answers_queued + under_way >= _KEPT:
            return REQUEST_IN_PROGRESS
        # Each side's request is to be answered by one of the other's: one is refused, and comes again.
        if current is not None and current.asks_the_peer and self._context.local_tag > self._context.peer_tag:
            return REQUEST_IN_PROGRESS
        requester.push(StreamRequest([part], None, request.number))
        return _NO_ANSWER

    # Resets of TSNs.

    def _reset_tsns(self, request: Parameter) -> int:
        """Begin an SSN/TSN reset (section 5.2.4). What we have under way is acknowledged first: G3 would lose it."""
        if not self._permits("reset_tsns"):
            return DENIED
        # While ours is unanswered the peer may have carried it out: nobody here knows the TSNs in force. Of two that
        # cross both are refused, and chance decides which comes again first.
        if self._deferred is not None or self.awaits_user or self._tsn_number >= 0 or self._requester.expects_restart:
            return REQUEST_IN_PROGRESS
        self._tsn_number = request.number
        self._tsn_copies = 0
        self._requester.stop_all()
        return _NO_ANSWER

    def _perform_tsn_reset(self) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        # G2 says the TSN after the last one. But what overtakes the answer would be taken under the old numbers: it is
        # to lie beyond what the peer has space for, who drops it until then; no less than what our own side looks ahead
        # meanwhile, and no more, as some peers abort an association that goes beyond their window.
        window = self._context.setup.peer_rwnd if self._context.setup is not None else 0
        our_tsn = self._outgoing.next_tsn + max(window // _SMALLEST_CHUNK, NARROW_SPAN) + 1 & MASK_32
        self._outgoing.restart(our_tsn)
        next_tsn = self._receiver.tracker.cumulative_tsn + 1 + _TSN_STEP & MASK_32  # G1
        self._receiver.restart_tsns(next_tsn)  # G4 and G5
        self._requester.release_all(True)
        self._context.emit(TsnsReset("ok"))
        self._tsn_answer = pack_tsn_response(number, PERFORMED, our_tsn, next_tsn)
        self._tsn_first = self._outgoing.next_tsn
        return self._keep(number, self._tsn_answer)

    def _refuse_tsn_reset(self, result: int) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        self._requester.release_all(False)
        return self._keep(number, self._pack_refusal(number, result))

    def _pack_refusal(self, number: int, result: int) -> bytes:
        """Pack an answer that names both TSNs, as all do whichever the result (sections 5.1.7 D3 and D4): those in
        force.
        """
        next_tsn = self._receiver.tracker.cumulative_tsn + 1
        return pack_tsn_response(number, result, self._outgoing.next_tsn & MASK_32, next_tsn & MASK_32)

    # Streams that are added.

    def _add_incoming(self, count: int) -> int:
        """Carry out an Add Outgoing Streams Request (section 5.2.5)."""
        receiver = self._receiver
        asked = self._requester.on_streams_by_peer(count)
        if not asked and not self._permits("add_streams"):
            return DENIED
        most = MOST_STREAMS if asked else self._context.config.max_incoming_streams
        if receiver.incoming_streams + count > most:
            return DENIED
        if not count:
            return NOTHING_TO_DO
        receiver.incoming_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(incoming_streams=receiver.incoming_streams)
        self._context.emit(StreamsAdded(self._outgoing.count, receiver.incoming_streams, "ok"))
        return PERFORMED

    def _add_outgoing(self, request: Parameter) -> int:
        """Answer an Add Incoming Streams Request by a request of ours (section 5.2.6)."""
        if not self._permits("add_streams") or self._outgoing.count + request.added > MOST_STREAMS:
            return DENIED
        if not request.added:
            return NOTHING_TO_DO
        return self._push_answer(request, RequestPart(PARAM_ADD_OUTGOING_STREAMS, count=request.added))

    # What progress and time say.

    def advance(self) -> bool:
        """Go on with what waited for data to leave or to come; true if there is something to send."""
        sends = False
        deferred = self._deferred
        if deferred is not None and self._has_arrived(deferred):
            self._deferred = None
            self._perform_reset(deferred)
            self._answer_late(self._keep(deferred.number, pack_response(deferred.number, PERFORMED)))
            sends = True
        if self._tsn_number >= 0:
            if self._context.state is not ESTABLISHED:
                self._answer_late(self._refuse_tsn_reset(DENIED))
                sends = True
            elif self._requester.stop_all():
                self._answer_late(self._perform_tsn_reset())
                sends = True
        return sends

    def _answer_late(self, answer: bytes) -> None:
        if self._context.state is not CLOSED:  # whom a message was delivered to may have aborted
            self._context.queue(pack_reconfig([answer]))

    def on_t3(self) -> None:
        """Repeat the answer to an SSN/TSN reset if the first data that goes by our new TSNs was not acknowledged: the
        peer may not have heard of these, and would drop the data until it asks again.
        """
        if self._tsn_answer:
            if self._outgoing.acknowledges(self._tsn_first):
                self._tsn_answer = b""
            else:
                self._answer_late(self._tsn_answer)

    def end(self) -> None:
        """Wait for nothing any more."""
        self._deferred = None


def _is_beyond(streams: tuple[int, ...], count: int) -> bool:
    return bool(streams) and max(streams) >= min(count, MASK_16 + 1)
