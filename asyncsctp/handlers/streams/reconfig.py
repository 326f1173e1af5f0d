"""Stream reconfiguration: the verbs of the user, and the peer's requests (RFC 6525 section 5.2).

The room is made at the first request of either side. Each request of the peer is carried out once: its answer is kept
for those that come again. One reset at most waits for user data to arrive (section 5.2.2 E2), and one SSN/TSN reset for
ours to be acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import ReconfigError
from ...events import StreamsAdded, StreamsReset, TsnsReset
from ...inbound.data_tracker import NARROW_SPAN
from ...paths.path import Path
from ...wire import causes
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
    is_allowed,
    pack_reconfig,
    pack_response,
    pack_tsn_response,
    read_reconfig,
)
from ...wire.serial import ahead
from ..context import Context
from ..state import CLOSED, ESTABLISHED
from ..violations import Violations
from .reconfig_jobs import TSNS, IncomingStreams, Job, OutgoingStreams, Ticket, addition_job, reset_job
from .reconfig_requester import Requests

MOST_STREAMS: Final = 65535
#: Ids in one request, so that it fits into any packet.
_MOST_LISTED: Final = 200
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
class Reconfig:
    """Stream reconfiguration of one association."""

    __slots__ = (
        "_answers",
        "_context",
        "_deferred",
        "_expected",
        "_incoming",
        "_outgoing",
        "_tsn_answer",
        "_tsn_copies",
        "_tsn_first",
        "_tsn_number",
        "_violations",
        "is_settling",
        "requests",
    )

    def __init__(
        self,
        context: Context,
        violations: Violations,
        outgoing: OutgoingStreams,
        incoming: IncomingStreams,
        first_number: int,
        first_peer_number: int,
    ) -> None:
        """Request numbers begin with the initial TSNs (section 4.1)."""
        self._context = context
        self._violations = violations
        self._outgoing = outgoing
        self._incoming = incoming
        self.requests = Requests(context, outgoing, incoming, first_number, first_peer_number - 1 & MASK_32)
        self._expected = first_peer_number
        #: The last numbers taken, the oldest first, and what was answered; nothing, if a request of ours answers.
        self._answers: list[tuple[int, bytes]] = []
        self._deferred: Parameter | None = None  # section 5.2.2 E2
        #: A reset has been carried out, and what goes by the new numbers waits until the user has heard of it.
        self.is_settling = False
        self._tsn_number = -1  # of the SSN/TSN reset that waits for our data to be acknowledged
        self._tsn_copies = 0
        self._tsn_answer = b""  # to the last SSN/TSN reset that was carried out, and our first TSN by it
        self._tsn_first = 0

    # What the user says.

    def reset_streams(self, outgoing: Sequence[int] | None, incoming: Sequence[int] | None) -> Ticket:
        """Reset these streams; an empty list means all, None none.

        Our own are reset after what was written to them before. `ValueError` for an id out of range, or if nothing is
        asked for. `ReconfigError` if the association is shutting down.
        """
        self._check_state()
        if outgoing is None and incoming is None:
            raise ValueError("outgoing, incoming or both must be given")
        ours = _listed("outgoing", outgoing, self._outgoing.count)
        theirs = _listed("incoming", incoming, self._incoming.count)
        ticket = Ticket()
        if len(ours or ()) + len(theirs or ()) <= _MOST_LISTED:
            self.requests.push(reset_job(ticket, ours, theirs))
            return ticket
        for part in _parts(ours):
            self.requests.push(reset_job(ticket, part, None))
        for part in _parts(theirs):
            self.requests.push(reset_job(ticket, None, part))
        return ticket

    def close_stream(self, sid: int) -> Ticket:
        """Reset this outgoing stream after what was written to it; together with others for which this was called
        before, as long as their request has not left.
        """
        self._check_state()
        ticket = self.requests.join(sid, _MOST_LISTED)
        if ticket is not None:
            return ticket
        ticket = Ticket()
        job = reset_job(ticket, (sid,), None)
        job.closes = True
        self.requests.push(job)
        return ticket

    def reset_tsns(self) -> Ticket:
        """Let all TSNs and stream sequence numbers begin anew, once all that was written has been acknowledged."""
        self._check_state()
        ticket = Ticket()
        self.requests.push(Job(TSNS, ticket))
        return ticket

    def add_streams(self, outgoing: int, incoming: int) -> Ticket:
        """Add so many streams. `ValueError` if that makes more than 65535, or is nothing at all."""
        self._check_state()
        for name, count, there in (
            ("outgoing", outgoing, self._outgoing.count),
            ("incoming", incoming, self._incoming.count),
        ):
            if not 0 <= count <= MOST_STREAMS - there:
                raise ValueError(f"{name} must be between 0 and {MOST_STREAMS - there}, not {count}")
        if not outgoing and not incoming:
            raise ValueError("outgoing or incoming must be above 0")
        ticket = Ticket()
        self.requests.push(addition_job(ticket, outgoing, incoming))
        return ticket

    def _check_state(self) -> None:
        if self._context.state is not ESTABLISHED:
            raise ReconfigError(f"streams can't be reconfigured in state {self._context.state.value}")

    def is_unused(self, sid: int) -> bool:
        """Whether nothing was written to this stream since its numbers began with 0."""
        return self._outgoing.is_unused(sid)

    # What the peer says.

    def on_reconfig(self, data: bytes, at: int, end: int, path: Path) -> None:
        """RE-CONFIG; its parameters are between `at` and `end` (section 5.2.1)."""
        context = self._context
        found, unknown = read_reconfig(data, at, end)
        if unknown:
            self._violations.report(causes.pack_unrecognized_parameters(unknown), path.path_id)
        if not is_allowed(found):
            context.statistics.unexpected_chunks += 1
            if found:
                cause = causes.pack_protocol_violation("parameters that may not stand together in a RE-CONFIG")
                self._violations.report(cause, path.path_id)
            return
        answers: list[bytes] = []
        for parameter in found:
            if parameter.is_response:
                if not self.requests.on_response(parameter):
                    context.statistics.unexpected_chunks += 1
                continue
            self._incoming.acknowledge_now()
            answer = self._judge(parameter)
            if answer:
                answers.append(answer)
        if len(answers) == 1 and self.requests.advance(answers[0]):
            return
        if answers:
            context.answer(pack_reconfig(answers), context.paths.reply_path(path).path_id)

    def _judge(self, request: Parameter) -> bytes:
        """A request: carry it out if it is new; the response parameter, or nothing if there is none (yet)."""
        steps = ahead(request.number, self._expected)
        if -_KEPT <= steps < 0:
            return self._answer_again(request.number)
        if steps:
            return pack_response(request.number, BAD_NUMBER)
        self._expected = request.number + 1 & MASK_32
        self.requests.peer_number = request.number
        self._answers.append((request.number, b""))
        del self._answers[:-_KEPT]
        result = self._carry_out(request)
        if result == _NO_ANSWER:
            return b""
        if request.kind == PARAM_TSN_RESET:
            return self._note(request.number, self._pack_refusal(request.number, result))
        return self._note(request.number, pack_response(request.number, result))

    def _answer_again(self, number: int) -> bytes:
        for known, answer in self._answers:
            if known != number:
                continue
            if answer:
                return answer
            if number == self._tsn_number:
                self._tsn_copies += 1
                if self._tsn_copies < _MOST_COPIES:
                    return b""
                return self._refuse_tsn_reset(REQUEST_IN_PROGRESS)
            match self.requests.answering(number):
                case 2:
                    self.requests.send_again(is_answer=True)
                    return b""
                case 1:
                    return pack_response(number, IN_PROGRESS)
            return pack_response(number, PERFORMED if self._context.state is ESTABLISHED else DENIED)
        return pack_response(number, BAD_NUMBER)

    def _note(self, number: int, answer: bytes) -> bytes:
        """Keep an answer for when the request comes again."""
        self._answers = [(known, answer if known == number else kept) for known, kept in self._answers]
        return answer

    def _carry_out(self, request: Parameter) -> int:
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

    def _reset_incoming(self, request: Parameter) -> int:
        """Outgoing SSN Reset Request, section 5.2.2. It is taken in shutdown too, where data waits for its answer."""
        if not self.requests.on_reset_by_peer(request.answers, request.streams) and (
            "reset_streams" not in self._context.config.reconfig_allowed
        ):
            return DENIED
        if _is_beyond(request.streams, self._incoming.count):
            return WRONG_STREAM
        if self.is_settling:
            return REQUEST_IN_PROGRESS
        deferred = self._deferred
        same = deferred is not None and (deferred.last_tsn, deferred.streams) == (request.last_tsn, request.streams)
        if not self._has_arrived(request):
            if deferred is not None and not same:
                return REQUEST_IN_PROGRESS
            self._deferred = request  # some peers ask again under a new number
            self._incoming.defer(request.last_tsn, request.streams)
            return IN_PROGRESS
        if same:
            self._deferred = None
        self._perform_reset(request)
        return PERFORMED

    def _has_arrived(self, request: Parameter) -> bool:
        return ahead(request.last_tsn, self._incoming.cumulative_tsn) <= 0

    def _perform_reset(self, request: Parameter) -> None:
        """E3 and E4. What goes by the new numbers, and has come before or comes in the same packet, is delivered once
        the user has heard of these: by that it is told from what came before.
        """
        self.is_settling = self._deferred is None and self._incoming.defer(request.last_tsn, request.streams)
        self._incoming.reset(request.streams)
        self._context.emit(StreamsReset(False, request.streams, "ok"))
        if self.is_settling:
            self._context.tell_done(self._settle)

    def _settle(self) -> None:
        if self._context.state is not CLOSED:  # the user may have ended it
            self.is_settling = False
            self._incoming.release()

    def _reset_outgoing(self, request: Parameter) -> int:
        """Incoming SSN Reset Request, section 5.2.3."""
        streams = request.streams
        if not self._permits("reset_streams"):
            return DENIED
        if _is_beyond(streams, self._outgoing.count):
            return WRONG_STREAM
        room = self._context.space(self._context.paths.data_path(), RE_CONFIG)
        room -= CHUNK_HEADER_SIZE + _OUTGOING_RESET_SIZE
        if 2 * len(streams) > room:
            return DENIED
        current = self.requests.current
        if current is not None and current.covers(streams, self._outgoing.count):
            return NOTHING_TO_DO
        return self._push_answer(reset_job(None, streams, None, request.number))

    def _push_answer(self, job: Job) -> int:
        """A request of ours will be the answer; not many of them wait, as the peer has one under way at a time."""
        current = self.requests.current
        answering = len([other for other in self.requests.queue if other.answers >= 0])
        if current is not None and current.answers >= 0:
            answering += 1  # it may have to wait again
        if answering >= _KEPT:
            return REQUEST_IN_PROGRESS
        if current is not None and current.in_number >= 0 and self._goes_first():
            return REQUEST_IN_PROGRESS  # each side's request is to be answered by one of the other's
        self.requests.push(job)
        return _NO_ANSWER

    def _reset_tsns(self, request: Parameter) -> int:
        """SSN/TSN Reset Request, section 5.2.4. What we have under way is acknowledged first: G3 would lose it."""
        if not self._permits("reset_tsns"):
            return DENIED
        # While ours is unanswered the peer may have carried it out: nobody here knows the TSNs in force. Of two that
        # cross both are refused, and chance decides which comes again first.
        if self._deferred is not None or self.is_settling or self._tsn_number >= 0 or self.requests.expects_restart:
            return REQUEST_IN_PROGRESS
        self._tsn_number = request.number
        self._tsn_copies = 0
        self.requests.stop_all()
        return _NO_ANSWER

    def _goes_first(self) -> bool:
        """Of two requests that are in each other's way one is refused, and comes again: whether that is the peer's."""
        return self._context.local_tag > self._context.peer_tag

    def _perform_tsn_reset(self) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        # G2 says the TSN after the last one. But what overtakes the answer would be taken under the old numbers: it is
        # to lie beyond what the peer has room for, who drops it until then; no less than what our own side looks ahead
        # meanwhile, and no more, as some peers abort an association that goes beyond their window.
        window = self._context.setup.peer_rwnd if self._context.setup is not None else 0
        our_tsn = self._outgoing.next_tsn + max(window // _SMALLEST_CHUNK, NARROW_SPAN) + 1 & MASK_32
        self._outgoing.restart(our_tsn)
        next_tsn = self._incoming.cumulative_tsn + 1 + _TSN_STEP & MASK_32  # G1
        self._incoming.restart(next_tsn)  # G4 and G5
        self.requests.release_all(True)
        self._context.emit(TsnsReset("ok"))
        self._tsn_answer = pack_tsn_response(number, PERFORMED, our_tsn, next_tsn)
        self._tsn_first = self._outgoing.next_tsn
        return self._note(number, self._tsn_answer)

    def _refuse_tsn_reset(self, result: int) -> bytes:
        number = self._tsn_number
        self._tsn_number = -1
        self.requests.release_all(False)
        return self._note(number, self._pack_refusal(number, result))

    def _pack_refusal(self, number: int, result: int) -> bytes:
        """Sections 5.1.7 D3 and D4: whichever the result, the answer names both TSNs; here those in force."""
        next_tsn = self._incoming.cumulative_tsn + 1
        return pack_tsn_response(number, result, self._outgoing.next_tsn & MASK_32, next_tsn & MASK_32)

    def _add_incoming(self, count: int) -> int:
        """Add Outgoing Streams Request, section 5.2.5."""
        asked = self.requests.on_streams_by_peer(count)
        if not asked and not self._permits("add_streams"):
            return DENIED
        most = MOST_STREAMS if asked else self._context.config.max_incoming_streams
        if self._incoming.count + count > most:
            return DENIED
        if not count:
            return NOTHING_TO_DO
        self._incoming.add(count)
        self._context.emit(StreamsAdded(self._outgoing.count, self._incoming.count, "ok"))
        return PERFORMED

    def _add_outgoing(self, request: Parameter) -> int:
        """Add Incoming Streams Request, section 5.2.6."""
        if not self._permits("add_streams") or self._outgoing.count + request.added > MOST_STREAMS:
            return DENIED
        if not request.added:
            return NOTHING_TO_DO
        return self._push_answer(addition_job(None, request.added, 0, request.number))

    # What progress and time say.

    def advance(self) -> bool:
        """Data has left or has come: go on with what waited for that. Whether there is something to send."""
        requests = self.requests
        sends = False
        deferred = self._deferred
        if deferred is not None and self._has_arrived(deferred):
            self._deferred = None
            self._perform_reset(deferred)
            self._answer_late(self._note(deferred.number, pack_response(deferred.number, PERFORMED)))
            sends = True
        if self._tsn_number >= 0:
            if self._context.state is not ESTABLISHED:
                self._answer_late(self._refuse_tsn_reset(DENIED))
                sends = True
            elif requests.stop_all():
                self._answer_late(self._perform_tsn_reset())
                sends = True
        if requests.queue:
            if self._context.state is not ESTABLISHED:
                requests.give_up("the association is shutting down")
                return True
            if requests.advance():
                sends = True
        return sends

    def _answer_late(self, answer: bytes) -> None:
        if self._context.state is not CLOSED:  # whom a message was delivered to may have aborted
            self._context.queue(pack_reconfig([answer]))

    def on_t3(self) -> None:
        """Data was not acknowledged. If it is the first that goes by new TSNs the peer may not have heard of these: the
        answer leaves with it once more, or the data would be dropped until the peer asks again.
        """
        if self._tsn_answer:
            if self._outgoing.acknowledges(self._tsn_first):
                self._tsn_answer = b""
            else:
                self._answer_late(self._tsn_answer)

    def expire(self) -> None:
        """The re-configuration timer has run out."""
        self.requests.expire()

    def end(self, reason: str) -> None:
        """The association has ended, or the peer has restarted it."""
        self._deferred = None
        self.requests.end(reason)


def _listed(name: str, streams: Sequence[int] | None, count: int) -> tuple[int, ...] | None:
    """The ids as requests have them: each once, none if all are meant."""
    if streams is None:
        return None
    for sid in streams:
        if not 0 <= sid < count:
            raise ValueError(f"{name} must hold ids between 0 and {count - 1}, not {sid}")
    listed = tuple(dict.fromkeys(streams))
    return () if len(listed) == count else listed


def _parts(streams: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """In pieces that fit into a request each."""
    if streams is None:
        return []
    if not streams:
        return [streams]
    return [streams[at : at + _MOST_LISTED] for at in range(0, len(streams), _MOST_LISTED)]


def _is_beyond(streams: tuple[int, ...], count: int) -> bool:
    return bool(streams) and max(streams) >= min(count, MASK_16 + 1)
