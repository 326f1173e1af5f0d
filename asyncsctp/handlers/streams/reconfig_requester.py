"""Our requests to reconfigure streams, one at a time under way (RFC 6525 sections 5.1 and 5.2.7).

Knows what the user may ask for, the order of the requests, their numbers, the re-configuration timer, and what the
peer's answers mean. What the peer asks of us is in `reconfig_responder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import ReconfigError
from ...events import StreamsAdded, StreamsReset, TsnsReset
from ...timers import RECONFIG
from ...wire import reconfig
from ...wire.constants import (
    MASK_32,
    PARAM_ADD_INCOMING_STREAMS,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_TSN_RESET,
)
from ...wire.reconfig import Parameter
from ..context import Context
from ..data.receiver import DataReceiver
from ..data.sender import Sender
from ..data.submission import Submission
from ..paths.reachability import OF_REQUESTS
from ..request import Retry, Ticket
from ..setup.negotiation import Setup
from ..state import ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED

_FAILED: Final = -1  # a result that is none of the peer's
#: What the peer may answer (section 4.4).
_SUCCESS: Final = (reconfig.PERFORMED, reconfig.NOTHING_TO_DO)
_RESULTS: Final = {
    reconfig.DENIED: "denied",
    reconfig.WRONG_STREAM: "a stream does not exist",
    reconfig.REQUEST_IN_PROGRESS: "another request is in progress",
    reconfig.BAD_NUMBER: "bad request number",
}
#: What there can be of either direction, and how many ids are listed in one request, so that it fits into any packet.
MOST_STREAMS: Final = 65535
_MOST_LISTED: Final = 200
_MOST_TRIES: Final = 8  # how often a request is repeated that the peer could not take in for one of its own
_MOST_STALLED: Final = 4  # so many answers "In progress" to one request, with nothing on its way, are no progress
_LOOKED_AT: Final = 16  # requests that are looked at for one that can go: a stream with much to send holds up no other
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
        self.result = reconfig.PERFORMED
        self.response: Parameter | None = None

    def pack(self, number: int, answers: int, last_tsn: int) -> bytes:
        """Pack it under this number; `answers` is that of the peer's request which an outgoing reset answers."""
        self.number = number
        if self.kind == PARAM_OUTGOING_RESET:
            return reconfig.pack_outgoing_reset(number, answers, last_tsn, self.streams)
        if self.kind == PARAM_INCOMING_RESET:
            return reconfig.pack_incoming_reset(number, self.streams)
        if self.kind == PARAM_TSN_RESET:
            return reconfig.pack_tsn_reset(number)
        return reconfig.pack_add_streams(number, self.count, self.kind == PARAM_ADD_OUTGOING_STREAMS)


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
        self.parts = parts  # those that are still to be answered; of two the first is for what we send
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
        "_receiver",
        "_sender",
        "_stalled",
        "_submission",
        "asked_streams",
        "current",
        "expects_restart",
        "is_stopped",
        "peer_number",
        "queue",
        "retry",
    )

    def __init__(
        self, context: Context, sender: Sender, submission: Submission, receiver: DataReceiver, setup: Setup
    ) -> None:
        self._context = context
        self._sender = sender
        self._submission = submission
        self._receiver = receiver
        self._next_number = setup.local_initial_tsn  # section 4.1
        self._chunk = b""  # of the request that is under way
        self._stalled = 0  # answers "In progress" to it, although all that has left was acknowledged
        self.retry = Retry(context, RECONFIG, OF_REQUESTS)
        self.current: StreamRequest | None = None  # the one that is under way
        self.queue: list[StreamRequest] = []
        self.peer_number = setup.peer_initial_tsn - 1 & MASK_32  # the last request number that was taken from the peer
        self.is_stopped = False  # all streams are stopped on behalf of the peer
        #: The peer may have carried out an SSN/TSN reset of ours, and we have not heard of it.
        self.expects_restart = False
        self.asked_streams = 0  # incoming streams that the peer has agreed to add, and has not yet added

    # What the user says.

    def reset_streams(self, outgoing: Sequence[int] | None, incoming: Sequence[int] | None) -> Ticket:
        """Reset these streams; an empty list means all, None none.

        Our own are reset after what was written to them before. `ValueError` for an id out of range, or if nothing is
        asked for. `ReconfigError` if the association is shutting down.
        """
        self._check_state()
        if outgoing is None and incoming is None:
            raise ValueError("outgoing, incoming or both must be given")
        ours = _parts(PARAM_OUTGOING_RESET, "outgoing", outgoing, self._submission.outgoing_streams)
        theirs = _parts(PARAM_INCOMING_RESET, "incoming", incoming, self._receiver.incoming_streams)
        parts = ours + theirs
        fits = len(parts) == 2 and sum(len(part.streams) for part in parts) <= _MOST_LISTED
        ticket = Ticket()
        for each in [parts] if fits else [[part] for part in parts]:
            self.push(StreamRequest(each, ticket))
        return ticket

    def close_stream(self, sid: int) -> Ticket:
        """Reset this outgoing stream after what was written to it, together with others whose request has not left."""
        self._check_state()
        last = self.queue[-1] if self.queue else None
        if last is None or last.ticket is None or not last.is_closing or len(last.parts[0].streams) >= _MOST_LISTED:
            return self._push([RequestPart(PARAM_OUTGOING_RESET, (sid,))], is_closing=True)
        part = last.parts[0]
        if sid not in part.streams:
            part.streams = (*part.streams, sid)
            self._sender.queue.pause((sid,))
        return last.ticket

    def reset_tsns(self) -> Ticket:
        """Let all TSNs and stream sequence numbers begin anew, once all that was written has been acknowledged."""
        self._check_state()
        return self._push([RequestPart(PARAM_TSN_RESET)])

    def add_streams(self, outgoing: int, incoming: int) -> Ticket:
        """Add so many streams. `ValueError` if that makes more than 65535, or is nothing at all."""
        self._check_state()
        parts = [
            _addition(PARAM_ADD_OUTGOING_STREAMS, "outgoing", outgoing, self._submission.outgoing_streams),
            _addition(PARAM_ADD_INCOMING_STREAMS, "incoming", incoming, self._receiver.incoming_streams),
        ]
        if not outgoing and not incoming:
            raise ValueError("outgoing or incoming must be above 0")
        return self._push([part for part in parts if part.count])

    def _push(self, parts: list[RequestPart], *, is_closing: bool = False) -> Ticket:
        ticket = Ticket()
        self.push(StreamRequest(parts, ticket, is_closing=is_closing))
        return ticket

    def _check_state(self) -> None:
        if self._context.state is not ESTABLISHED:
            raise ReconfigError(f"streams can't be reconfigured in state {self._context.state.value}")

    def is_unused(self, sid: int) -> bool:
        """Return whether nothing was written to this stream since its numbers began with 0."""
        return self._sender.queue.is_unused(sid)

    def push(self, request: StreamRequest) -> None:
        """Send this as soon as it can be; an answer to the peer before what the user wants."""
        if request.answers >= 0:
            self.queue.insert(0, request)
        else:
            self.queue.append(request)
        self._hold(request)

    @property
    def answers_queued(self) -> int:
        """How many requests that answer the peer's wait for their turn."""
        return len([request for request in self.queue if request.answers >= 0])

    # On behalf of the peer.

    def stop_all(self) -> bool:
        """Let nothing new leave; true if all that has left is acknowledged."""
        self.is_stopped = True
        return self._sender.suspend() and not self._sender.outstanding

    def release_all(self, reset: bool) -> None:
        """Undo `stop_all`. What waits for a request of ours goes on waiting."""
        self.is_stopped = False
        self._sender.suspended = False
        if reset:
            self._sender.queue.renumber()

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
        if request.resets_tsns and self._sender.outstanding:  # section 5.1.4 C2
            return False
        queue, held = self._sender.queue, request.held
        if held:
            return not any(queue.has_unsent(sid) for sid in held)
        return held is None or (not queue.buffered and not queue.is_amid())

    def _send(self, request: StreamRequest, prefix: bytes) -> None:
        context = self._context
        answers = request.answers if request.answers >= 0 else self.peer_number
        last_tsn = self._sender.outstanding.next_tsn - 1 & MASK_32
        parameters: list[bytes] = []
        for part in request.parts:
            parameters.append(part.pack(self._next_number, answers, last_tsn))
            self._next_number = self._next_number + 1 & MASK_32
        self._stalled = 0
        self.current = request
        request.is_postponed = False
        if request.resets_tsns:
            self._expect_restart(True)
        self._chunk = reconfig.pack_reconfig(parameters)
        self.retry.begin(context.paths.data_path())
        path_id = self.retry.path.path_id
        if prefix and len(parameters) == 1 and request.part(PARAM_OUTGOING_RESET) is not None:
            context.queue(reconfig.pack_reconfig([prefix, *parameters]), path_id)
        else:
            if prefix:
                context.answer(reconfig.pack_reconfig([prefix]), path_id)
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
        send = self._context.answer if is_answer else self._context.queue
        send(self._chunk, self.retry.rotate().path_id)

    # What the peer answers.

    def on_response(self, response: Parameter) -> bool:
        """Take in a response (section 5.2.7); false if it answers nothing that is under way."""
        request = self.current
        part = None if request is None else next((p for p in request.parts if p.number == response.number), None)
        if request is None or part is None:
            return False
        self.retry.on_answer()
        result = response.result if response.result <= reconfig.IN_PROGRESS else _FAILED
        request.is_postponed = result == reconfig.IN_PROGRESS
        if request.is_postponed:
            if not self._sender.outstanding:
                self._stalled += 1
            if self._stalled < _MOST_STALLED:
                self.retry.start_timer()
                return True
            # It has had all that it waits for: usrsctp, whose answer got lost, says so for ever. Another request, which
            # it takes for a new one, does no harm.
            result = reconfig.REQUEST_IN_PROGRESS
        part.response = response
        if request.resets_tsns and result == reconfig.PERFORMED and response.sender_tsn < 0:
            result = _FAILED  # section 5.1.7 D3 and D4: an answer without TSNs is none
        self._close_part(request, part, result)
        return True

    def on_reset_by_peer(self, answers: int, streams: tuple[int, ...]) -> bool:
        """Take in an outgoing reset of the peer (section 5.2.2 E1); false if it is not the one that we asked for."""
        part = self.current.part(PARAM_INCOMING_RESET) if self.current is not None else None
        if self.current is None or part is None or part.number != answers or set(part.streams) != set(streams):
            return False
        self.retry.on_answer()
        self._close_part(self.current, part, reconfig.PERFORMED)
        return True

    def on_streams_by_peer(self, count: int) -> bool:
        """Take note that the peer adds streams (section 5.2.6); false if we have not asked for that."""
        part = self.current.part(PARAM_ADD_INCOMING_STREAMS) if self.current is not None else None
        if self.current is not None and part is not None and part.number >= 0 and part.count == count:
            self.retry.on_answer()
            part.count = 0  # done, not only agreed on
            self._close_part(self.current, part, reconfig.PERFORMED)
            return True
        if count <= self.asked_streams:
            self.asked_streams -= count
            return True
        return False

    def _expect_restart(self, is_expected: bool) -> None:
        """Reckon, or no more, with an SSN/TSN reset that was carried out and that we have not heard of."""
        self.expects_restart = is_expected
        self._sender.expect_restart(is_expected)
        self._receiver.expect_restart(is_expected)

    def _close_part(self, request: StreamRequest, part: RequestPart, result: int) -> None:
        """Take note of the result of a part; if nothing else of the request is under way, carry it out."""
        part.number = -1
        part.result = result
        if any(each.number >= 0 for each in request.parts):
            return
        self.current = None
        self.retry.stop_timer()
        parts = request.parts
        may_repeat = request.tries < _MOST_TRIES and self._context.state is ESTABLISHED
        request.parts = [each for each in parts if may_repeat and each.result == reconfig.REQUEST_IN_PROGRESS]
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

    def _finish(self, request: StreamRequest, parts: list[RequestPart]) -> None:
        """Do what these parts of a request, answered for good, have as a consequence here, and tell the user."""
        context, submission = self._context, self._submission
        emit = context.emit
        worst = reconfig.PERFORMED
        for part in parts:
            is_done = part.result in _SUCCESS
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
                submission.outgoing_streams += part.count  # H6
                if context.setup is not None:
                    context.setup = context.setup._replace(outgoing_streams=submission.outgoing_streams)
            else:
                self.asked_streams += part.count
        kinds = [part.kind for part in parts]
        is_addition = PARAM_ADD_OUTGOING_STREAMS in kinds or PARAM_ADD_INCOMING_STREAMS in kinds
        if PARAM_ADD_OUTGOING_STREAMS in kinds or (is_addition and worst not in _SUCCESS):
            emit(StreamsAdded(submission.outgoing_streams, self._receiver.incoming_streams, _name(worst)))

    def _finish_tsns(self, request: StreamRequest, part: RequestPart) -> None:
        response = part.response
        if part.result == reconfig.PERFORMED and response is not None:  # H5
            self._sender.restart_tsns(response.receiver_tsn)
            self._receiver.restart_tsns(response.sender_tsn)
        if request.parts:
            if not request.is_postponed:  # else it may have been carried out
                self._expect_restart(False)
            return
        self._expect_restart(False)
        result = _FAILED if part.result == reconfig.NOTHING_TO_DO else part.result  # there is no such answer to it
        self._release((), result == reconfig.PERFORMED)
        self._context.emit(TsnsReset(_name(result)))
        if result != reconfig.PERFORMED:
            _fail(request, result)

    def _repeat(self, request: StreamRequest) -> None:
        """Ask again after a longer while each time; chance decides between two that are in each other's way."""
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
            self._sender.queue.pause(request.held)

    def _release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Let these streams go on, all if there are none; hold at once what other requests hold."""
        queue = self._sender.queue
        if reset:
            self._sender.outstanding.renumber(streams or queue.in_use())
        queue.resume(streams, reset)
        released = set(streams)
        for request in self.queue:
            if not released or not request.held or not released.isdisjoint(request.held):
                self._hold(request)
        if self.is_stopped:
            self._sender.suspend()

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
                self._sender.queue.resume(free, False)
            for part in request.parts:
                if part.kind in (PARAM_OUTGOING_RESET, PARAM_INCOMING_RESET):
                    emit(StreamsReset(part.kind == PARAM_OUTGOING_RESET, part.streams, "failed"))
                elif part.kind == PARAM_TSN_RESET:
                    emit(TsnsReset("failed"))
                elif part is request.parts[0]:
                    emit(StreamsAdded(self._submission.outgoing_streams, self._receiver.incoming_streams, "failed"))
            if request.ticket is not None:
                request.ticket.close(self._context, ReconfigError(reason))

    def _not_under_way(self, streams: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return which of these streams the request under way does not reset; None if it resets all of them."""
        held = None if self.current is None else self.current.held
        if held is None:
            return streams
        if not held:
            return None
        return tuple(sid for sid in streams or range(self._submission.outgoing_streams) if sid not in held) or None

    def end(self, reason: str) -> None:
        """Give up all requests: the association has ended, or begins anew."""
        requests = self.queue if self.current is None else [*self.queue, self.current]
        self.queue, self.current = [], None
        for request in requests:
            if request.ticket is not None:
                request.ticket.close(self._context, ReconfigError(reason))


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


def _name(result: int) -> str:
    """Return a result as events have it."""
    if result in _SUCCESS:
        return "ok"
    return "denied" if result == reconfig.DENIED else "failed"


def _parts(kind: int, name: str, streams: Sequence[int] | None, count: int) -> list[RequestPart]:
    """Return what resets these of `count` streams, in pieces that fit into a request each: one with no ids for all."""
    if streams is None:
        return []
    for sid in streams:
        if not 0 <= sid < count:
            raise ValueError(f"{name} must hold ids between 0 and {count - 1}, not {sid}")
    listed = tuple(dict.fromkeys(streams))
    if not listed or len(listed) == count:
        return [RequestPart(kind)]
    return [RequestPart(kind, listed[at : at + _MOST_LISTED]) for at in range(0, len(listed), _MOST_LISTED)]


def _addition(kind: int, name: str, count: int, there: int) -> RequestPart:
    if not 0 <= count <= MOST_STREAMS - there:
        raise ValueError(f"{name} must be between 0 and {MOST_STREAMS - there}, not {count}")
    return RequestPart(kind, count=count)
