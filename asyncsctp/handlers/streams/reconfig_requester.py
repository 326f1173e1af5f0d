"""Our requests to reconfigure streams, one at a time under way (RFC 6525 sections 5.1 and 5.2.7).

Knows the order of the requests, their numbers, the re-configuration timer, and what the peer's answers mean. What the
user may ask for is in `reconfig`, what the peer asks of us in `reconfig_responder`.
"""

from __future__ import annotations

from typing import Final, final

from ...errors import ReconfigError
from ...events import StreamsAdded, StreamsReset, TsnsReset
from ...timers import RECONFIG
from ...wire.constants import (
    MASK_32,
    PARAM_ADD_INCOMING_STREAMS,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_TSN_RESET,
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
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_reconfig,
    pack_tsn_reset,
)
from ..context import Context
from ..data.receiver import DataReceiver
from ..paths.reachability import OF_REQUESTS
from ..request import Retry, Ticket
from ..state import ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED
from .outgoing_streams import OutgoingStreams

#: A result that is none of the peer's.
_FAILED: Final = -1
#: What the peer may answer but success (section 4.4).
_RESULTS: Final = {
    DENIED: "denied",
    WRONG_STREAM: "a stream does not exist",
    REQUEST_IN_PROGRESS: "another request is in progress",
    BAD_NUMBER: "bad request number",
}
#: How often a request is repeated that the peer could not take in for one of its own.
_MOST_TRIES: Final = 8
#: So many answers "In progress" to one request, with nothing on its way, are no progress.
_MOST_STALLED: Final = 4
#: Requests that are looked at for one that can go: a stream with much to send holds up no other.
_LOOKED_AT: Final = 16
_RETRANSMITS: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})
#: What the peer may answer with a request of its own.
_OF_THE_PEER: Final = (PARAM_INCOMING_RESET, PARAM_ADD_INCOMING_STREAMS)


@final
class RequestPart:
    """One parameter of a request. `streams`: the ids to reset, all if it is empty; `count`: how many to add."""

    __slots__ = ("count", "kind", "number", "response", "result", "streams")

    def __init__(self, kind: int, streams: tuple[int, ...] = (), count: int = 0) -> None:
        self.kind: Final = kind
        self.streams = streams
        self.count = count
        self.number = -1  # under which it is under way; -1: it is not, or was answered
        self.result = PERFORMED
        self.response: Parameter | None = None

    def pack(self, number: int, answers: int, last_tsn: int) -> bytes:
        """Pack it under this number; an outgoing reset answers the peer's request with the number `answers`, and takes
        effect after the TSN `last_tsn`.
        """
        self.number = number
        if self.kind == PARAM_OUTGOING_RESET:
            return pack_outgoing_reset(number, answers, last_tsn, self.streams)
        if self.kind == PARAM_INCOMING_RESET:
            return pack_incoming_reset(number, self.streams)
        if self.kind == PARAM_TSN_RESET:
            return pack_tsn_reset(number)
        return pack_add_streams(number, self.count, self.kind == PARAM_ADD_OUTGOING_STREAMS)


@final
class StreamRequest:
    """What one RE-CONFIG chunk asks for: one part, or two that may stand together (section 3.1).

    `answers`: the number of the peer's request that this one answers; -1: none, and there is a ticket. `is_closing`:
    the writers of its streams were closed, others may join.
    """

    __slots__ = ("answers", "is_closing", "is_postponed", "not_before", "parts", "resets_tsns", "ticket", "tries")

    def __init__(
        self, parts: list[RequestPart], ticket: Ticket | None, answers: int = -1, *, is_closing: bool = False
    ) -> None:
        #: Those that are still to be answered; of two the first is for what we send.
        self.parts = parts
        self.resets_tsns: Final = parts[0].kind == PARAM_TSN_RESET
        self.ticket: Final = ticket
        self.answers: Final = answers
        self.is_closing: Final = is_closing
        self.tries = 0
        self.not_before = 0.0
        self.is_postponed = False  # the peer has said "In progress" since the chunk was sent last
        if ticket is not None:
            ticket.open_requests += 1

    def part(self, kind: int) -> RequestPart | None:
        """Return its part of this kind, if it has one."""
        return next((part for part in self.parts if part.kind == kind), None)

    @property
    def held(self) -> tuple[int, ...] | None:
        """The outgoing streams that wait for it, all if that is empty; None if none do."""
        first = self.parts[0]
        return first.streams if first.kind in (PARAM_OUTGOING_RESET, PARAM_TSN_RESET) else None

    @property
    def is_under_way(self) -> bool:
        """True while a part of it is unanswered."""
        return any(part.number >= 0 for part in self.parts)

    @property
    def asks_the_peer(self) -> bool:
        """True while the peer has yet to answer it with a request of its own."""
        return any(part.number >= 0 and part.kind in _OF_THE_PEER for part in self.parts)

    def covers(self, streams: tuple[int, ...], count: int) -> bool:
        """Return whether its outgoing reset, not yet answered, includes these of `count` streams."""
        part = self.part(PARAM_OUTGOING_RESET)
        if part is None or part.number < 0:
            return False
        if not part.streams:
            return True
        return len(part.streams) == count if not streams else set(streams) <= set(part.streams)


@final
class ReconfigRequester:
    """Our side's requests of one association."""

    __slots__ = (
        "_chunk",
        "_context",
        "_next_number",
        "_outgoing",
        "_receiver",
        "_stalled",
        "asked_streams",
        "current",
        "expects_restart",
        "is_stopped",
        "peer_number",
        "queue",
        "retry",
    )

    def __init__(
        self, context: Context, outgoing: OutgoingStreams, receiver: DataReceiver, first_number: int, peer_number: int
    ) -> None:
        self._context = context
        self._outgoing = outgoing
        self._receiver = receiver
        self._next_number = first_number
        self._chunk = b""  # of the request that is under way
        self._stalled = 0  # answers "In progress" to it, although all that has left was acknowledged
        self.retry = Retry(context, RECONFIG, OF_REQUESTS)
        #: The one that is under way.
        self.current: StreamRequest | None = None
        self.queue: list[StreamRequest] = []
        #: The last request number that was taken from the peer.
        self.peer_number = peer_number
        #: All streams are stopped on behalf of the peer.
        self.is_stopped = False
        #: The peer may have carried out an SSN/TSN reset of ours, and we have not heard of it.
        self.expects_restart = False
        #: Incoming streams that the peer has agreed to add, and has not yet added.
        self.asked_streams = 0

    def push(self, request: StreamRequest) -> None:
        """Send this as soon as it can be; an answer to the peer before what the user wants."""
        if request.answers >= 0:
            self.queue.insert(0, request)
        else:
            self.queue.append(request)
        self._hold(request)

    def join(self, sid: int, most: int) -> Ticket | None:
        """Let the last request close this stream too, if that has not left, and closes less than `most`; its ticket."""
        request = self.queue[-1] if self.queue else None
        if request is None or not request.is_closing or len(request.parts[0].streams) >= most:
            return None
        part = request.parts[0]
        if sid not in part.streams:
            part.streams = (*part.streams, sid)
            self._outgoing.hold((sid,))
        return request.ticket

    @property
    def answers_queued(self) -> int:
        """How many requests that answer the peer's wait for their turn."""
        return len([request for request in self.queue if request.answers >= 0])

    # On behalf of the peer.

    def stop_all(self) -> bool:
        """Let nothing new leave; true if all that has left is acknowledged."""
        self.is_stopped = True
        return self._outgoing.stop() and self._outgoing.is_acknowledged

    def release_all(self, reset: bool) -> None:
        """Undo `stop_all`. What waits for a request of ours goes on waiting."""
        self.is_stopped = False
        self._outgoing.go_on(reset)

    # Sending.

    def advance(self, prefix: bytes = b"") -> bool:
        """Send the next request if none is under way and its time has come; true if it was sent.

        `prefix`, a response, leaves in the same chunk where that is allowed, else before it.
        """
        if self.current is not None or self._context.state is not ESTABLISHED:
            return False
        # An answer to the peer comes first: another reset would be taken for it, and each could wait for the other.
        answers = self.queue and self.queue[0].answers >= 0
        for request in self.queue[:_LOOKED_AT]:
            if answers and request.answers < 0:
                break
            if self._is_ready(request):
                self.queue.remove(request)
                self._send(request, prefix)
                return True
            if request.resets_tsns:
                break
        return False

    def _is_ready(self, request: StreamRequest) -> bool:
        if request.not_before > self._context.now:
            return False
        if request.resets_tsns and not self._outgoing.is_acknowledged:  # section 5.1.4 C2
            return False
        return request.held is None or self._outgoing.is_clear(request.held)

    def _send(self, request: StreamRequest, prefix: bytes) -> None:
        context = self._context
        answers = request.answers if request.answers >= 0 else self.peer_number
        last_tsn = self._outgoing.next_tsn - 1 & MASK_32
        parameters: list[bytes] = []
        for part in request.parts:
            parameters.append(part.pack(self._next_number, answers, last_tsn))
            self._next_number = self._next_number + 1 & MASK_32
        self._stalled = 0
        self.current = request
        request.is_postponed = False
        if request.resets_tsns:
            self._expect_restart(True)
        self._chunk = pack_reconfig(parameters)
        self.retry.begin(context.paths.data_path())
        path_id = self.retry.path.path_id
        if prefix and len(parameters) == 1 and request.part(PARAM_OUTGOING_RESET) is not None:
            context.queue(pack_reconfig([prefix, *parameters]), path_id)
        else:
            if prefix:
                context.answer(pack_reconfig([prefix]), path_id)
            context.queue(self._chunk, path_id)
        self.retry.start_timer()

    def expire(self) -> None:
        """Send again when the re-configuration timer has run out, over another path if there is one (section 5.1.1)."""
        request = self.current
        if request is None or self._context.state not in _RETRANSMITS:
            self._await_turn()  # the time of one that waits has come: `advance` follows
            return
        if request.is_postponed:  # section 5.2.7 H2: not an error
            request.is_postponed = False
            self.retry.path.rto.back_off()
        elif not self.retry.on_timeout():
            return
        self.send_again()
        self.retry.start_timer()

    def send_again(self, is_answer: bool = False) -> None:
        """Send the request under way again; `is_answer`: as the peer asks for it."""
        path_id = self.retry.rotate().path_id
        if is_answer:
            self._context.answer(self._chunk, path_id)
        else:
            self._context.queue(self._chunk, path_id)

    # What the peer answers.

    def on_response(self, response: Parameter) -> bool:
        """Take in a response (section 5.2.7); false if it answers nothing that is under way."""
        request = self.current
        if request is None:
            return False
        part = next((part for part in request.parts if part.number == response.number), None)
        if part is None:
            return False
        self.retry.on_answer()
        result = response.result if response.result <= IN_PROGRESS else _FAILED
        request.is_postponed = result == IN_PROGRESS
        if request.is_postponed:
            if self._outgoing.is_acknowledged:
                self._stalled += 1
            if self._stalled < _MOST_STALLED:
                self.retry.start_timer()
                return True
            # It has had all that it waits for: usrsctp, whose answer got lost, says so for ever. Another request, which
            # it takes for a new one, does no harm.
            result = REQUEST_IN_PROGRESS
        part.response = response
        if request.resets_tsns and result == PERFORMED and response.sender_tsn < 0:
            result = _FAILED  # section 5.1.7 D3 and D4: an answer without TSNs is none
        self._close_part(request, part, result)
        return True

    def on_reset_by_peer(self, answers: int, streams: tuple[int, ...]) -> bool:
        """Take in an outgoing reset of the peer with this response number (section 5.2.2 E1); false if it answers none
        of ours: such a one may have the same number, but has other streams.
        """
        part = self.current.part(PARAM_INCOMING_RESET) if self.current is not None else None
        if self.current is None or part is None or part.number != answers or set(part.streams) != set(streams):
            return False
        self.retry.on_answer()
        self._close_part(self.current, part, PERFORMED)
        return True

    def on_streams_by_peer(self, count: int) -> bool:
        """Take note that the peer adds streams (section 5.2.6); false if we have not asked for that."""
        part = self.current.part(PARAM_ADD_INCOMING_STREAMS) if self.current is not None else None
        if self.current is not None and part is not None and part.number >= 0 and part.count == count:
            self.retry.on_answer()
            part.count = 0  # done, not only agreed on
            self._close_part(self.current, part, PERFORMED)
            return True
        if count <= self.asked_streams:
            self.asked_streams -= count
            return True
        return False

    def _expect_restart(self, is_expected: bool) -> None:
        """Reckon, or no more, with an SSN/TSN reset that the peer has carried out and that we have not heard of: each
        count of TSNs, ours and the peer's, may begin anew.
        """
        self.expects_restart = is_expected
        self._outgoing.expect_restart(is_expected)
        self._receiver.expect_restart(is_expected)

    def _close_part(self, request: StreamRequest, part: RequestPart, result: int) -> None:
        """Take note of the result of a part; if nothing else of the request is under way, carry it out."""
        part.number = -1
        part.result = result
        if request.is_under_way:
            return
        self.current = None
        self.retry.stop_timer()
        parts = request.parts
        request.parts = [each for each in parts if self._is_repeated(request, each)]
        finished = [each for each in parts if each not in request.parts]
        if request.resets_tsns:
            self._finish_tsns(request, parts[0])
        else:
            self._finish(request, finished)
        if request.parts:
            self._repeat(request)
        elif request.ticket is not None:
            request.ticket.close(self._context)
        self._await_turn()

    def _is_repeated(self, request: StreamRequest, part: RequestPart) -> bool:
        return part.result == REQUEST_IN_PROGRESS and request.tries < _MOST_TRIES and self._context.state is ESTABLISHED

    def _finish(self, request: StreamRequest, parts: list[RequestPart]) -> None:
        """Do what these parts of a request, answered for good, have as a consequence here, and tell the user."""
        emit = self._context.emit
        worst = PERFORMED
        for part in parts:
            is_done = _is_success(part.result)
            if not is_done:
                worst = part.result
                _fail(request, worst)
            if part.kind == PARAM_OUTGOING_RESET:
                self._release(part.streams, is_done)
                emit(StreamsReset(True, part.streams, _name(part.result)))
            elif part.kind == PARAM_INCOMING_RESET:
                if not is_done:  # what the peer resets is told when it does
                    emit(StreamsReset(False, part.streams, _name(part.result)))
            elif not is_done:
                continue
            elif part.kind == PARAM_ADD_OUTGOING_STREAMS:
                self._outgoing.add(part.count)  # H6
            else:
                self.asked_streams += part.count
        kinds = [part.kind for part in parts]
        is_addition = PARAM_ADD_OUTGOING_STREAMS in kinds or PARAM_ADD_INCOMING_STREAMS in kinds
        if PARAM_ADD_OUTGOING_STREAMS in kinds or (is_addition and not _is_success(worst)):
            emit(StreamsAdded(self._outgoing.count, self._receiver.incoming_streams, _name(worst)))

    def _finish_tsns(self, request: StreamRequest, part: RequestPart) -> None:
        response = part.response
        if part.result == PERFORMED and response is not None:  # H5
            self._outgoing.restart(response.receiver_tsn)
            self._receiver.restart_tsns(response.sender_tsn)
        if request.parts:
            if not request.is_postponed:  # else it may have been carried out
                self._expect_restart(False)
            return
        self._expect_restart(False)
        result = _FAILED if part.result == NOTHING_TO_DO else part.result  # there is no such answer to it
        self._release((), result == PERFORMED)
        self._context.emit(TsnsReset(_name(result)))
        if result != PERFORMED:
            _fail(request, result)

    def _repeat(self, request: StreamRequest) -> None:
        """Ask again later, each time after a longer while: the peer had a request of its own under way.

        Chance decides between two that are in each other's way.
        """
        context = self._context
        request.tries += 1
        wait = self.retry.path.rto.rto * request.tries * (0.5 + context.random.bits(16) / 0x10000)
        request.not_before = context.now + wait
        self.queue.insert(0 if request.answers >= 0 else self.answers_queued, request)

    def _await_turn(self) -> None:
        """Start the timer for the next of those that are to be asked for later."""
        now = self._context.now
        waits = [request.not_before for request in self.queue if request.not_before > now]
        if waits:
            self._context.timers.start(RECONFIG, min(waits))

    def _hold(self, request: StreamRequest) -> None:
        if request.held is not None:
            self._outgoing.hold(request.held)

    def _release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Let these streams go on, all if there are none; hold at once what other requests hold."""
        self._outgoing.release(streams, reset)
        released = set(streams)
        for request in self.queue:
            if not released or not request.held or not released.isdisjoint(request.held):
                self._hold(request)
        if self.is_stopped:
            self._outgoing.stop()

    # The end.

    def give_up(self, reason: str) -> None:
        """Give up the requests that have not left, for this reason."""
        requests = self.queue
        self.queue = []
        if self.expects_restart and self.current is None:
            self._expect_restart(False)
        emit = self._context.emit
        for request in requests:
            free = None if request.held is None else self._not_under_way(request.held)
            if free is not None:
                self._outgoing.release(free, False)
            for part in request.parts:
                if part.kind in (PARAM_OUTGOING_RESET, PARAM_INCOMING_RESET):
                    emit(StreamsReset(part.kind == PARAM_OUTGOING_RESET, part.streams, "failed"))
                elif part.kind == PARAM_TSN_RESET:
                    emit(TsnsReset("failed"))
                elif part is request.parts[0]:
                    emit(StreamsAdded(self._outgoing.count, self._receiver.incoming_streams, "failed"))
            self._drop(request, reason)

    def _not_under_way(self, streams: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return those of these streams, all if there are none, whose reset the peer can't have carried out by now.

        None if there are no such.
        """
        held = None if self.current is None else self.current.held
        if held is None:
            return streams
        if not held:
            return None
        return tuple(sid for sid in streams or range(self._outgoing.count) if sid not in held) or None

    def end(self, reason: str) -> None:
        """Give up all requests: the association has ended, or begins anew."""
        requests = self.queue
        self.queue = []
        if self.current is not None:
            requests.append(self.current)
            self.current = None
        for request in requests:
            self._drop(request, reason)

    def _drop(self, request: StreamRequest, reason: str) -> None:
        if request.ticket is not None:
            request.ticket.fail(ReconfigError(reason))
            request.ticket.close(self._context)


def _fail(request: StreamRequest, result: int) -> None:
    """Let the user know that the peer has not done what was asked, with this result."""
    if request.ticket is None:
        return
    if result == _FAILED:
        error = ReconfigError("the peer's answer was wrong")
    else:
        what = _RESULTS.get(result, "unknown result")
        error = ReconfigError(f"the peer did not reconfigure streams: {what} (result {result})", result)
    request.ticket.fail(error)


def _is_success(result: int) -> bool:
    """Return True for the results that say that all is as was asked for (section 4.4)."""
    return result in (PERFORMED, NOTHING_TO_DO)


def _name(result: int) -> str:
    """Return a result as events have it."""
    if _is_success(result):
        return "ok"
    return "denied" if result == DENIED else "failed"
