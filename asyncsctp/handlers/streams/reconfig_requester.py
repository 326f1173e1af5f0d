"""Our requests to reconfigure streams, one at a time under way (RFC 6525 sections 5.1 and 5.2.7).

Knows the order of the requests, their numbers, the re-configuration timer, and what the peer's answers mean. Of user
data it knows what the two protocols here say.
"""

from __future__ import annotations

from typing import Final, final

from ...events import Event, StreamsAdded, StreamsReset, TsnsReset
from ...paths.failover import OF_REQUESTS
from ...paths.path import Path
from ...timers import RECONFIG, timer_key
from ...wire.constants import MASK_32
from ...wire.reconfig import IN_PROGRESS, NOTHING_TO_DO, PERFORMED, REQUEST_IN_PROGRESS, Parameter, pack_reconfig
from ..context import Context
from ..paths.reachability import is_counted, on_answer, on_silence
from ..state import ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED
from .reconfig_jobs import (
    ADDITION,
    FAILED,
    RESET,
    TSNS,
    IncomingStreams,
    Job,
    OutgoingStreams,
    Ticket,
    is_success,
    result_name,
)

#: How often a request is repeated that the peer could not take in for one of its own.
_MOST_TRIES: Final = 8
#: So many answers "In progress" to one request, with nothing on its way, are no progress.
_MOST_STALLED: Final = 4
#: Requests that are looked at for one that can go: a stream with much to send holds up no other.
_LOOKED_AT: Final = 16
_RETRANSMITS: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED})


class _Waiting:
    """The requests that wait for their turn, and the one under way."""

    __slots__ = ("_outgoing", "current", "is_stopped", "queue")

    def __init__(self, outgoing: OutgoingStreams) -> None:
        self._outgoing = outgoing
        #: The one that is under way.
        self.current: Job | None = None
        self.queue: list[Job] = []
        #: All streams are stopped on behalf of the peer.
        self.is_stopped = False

    def push(self, job: Job) -> None:
        """Send this as soon as it can be; an answer to the peer before what the user wants."""
        if job.answers >= 0:
            self.queue.insert(0, job)
        else:
            self.queue.append(job)
        _hold(self._outgoing, job)

    def join(self, sid: int, most: int) -> Ticket | None:
        """Let the last request close this stream too, if that has not left and is of this kind."""
        if not self.queue:
            return None
        job = self.queue[-1]
        if not job.closes or job.outgoing is None or len(job.outgoing) >= most:
            return None
        if sid not in job.outgoing:
            job.outgoing = (*job.outgoing, sid)
            self._outgoing.hold((sid,))
        return job.ticket

    def answering(self, number: int) -> int:
        """What became of the request that answers the peer's: 0 if it is gone, 1 if it waits, 2 if it is under way."""
        if self.current is not None and self.current.answers == number:
            return 2
        return 1 if any(job.answers == number for job in self.queue) else 0

    def stop_all(self) -> bool:
        """On behalf of the peer: nothing new leaves; whether all that has left is acknowledged."""
        self.is_stopped = True
        return self._outgoing.stop() and self._outgoing.is_acknowledged

    def release_all(self, reset: bool) -> None:
        """The end of `stop_all`. What waits for a request of ours goes on waiting."""
        self.is_stopped = False
        self._outgoing.go_on(reset)


@final
class Requests(_Waiting):
    """Our side's requests of one association."""

    __slots__ = (
        "_astray",
        "_context",
        "_incoming",
        "_next_number",
        "_path_id",
        "_stalled",
        "asked_streams",
        "chunk",
        "expects_restart",
        "peer_number",
    )

    def __init__(
        self,
        context: Context,
        outgoing: OutgoingStreams,
        incoming: IncomingStreams,
        first_number: int,
        peer_number: int,
    ) -> None:
        super().__init__(outgoing)
        self._context = context
        self._incoming = incoming
        self._next_number = first_number
        self._path_id = 0
        self._astray = False  # the one under way was sent to several addresses
        self._stalled = 0  # answers "In progress" to the one under way, although all that has left was acknowledged
        #: The last request number that was taken from the peer.
        self.peer_number = peer_number
        self.chunk = b""  # of the one that is under way
        #: The peer may have carried out an SSN/TSN reset of ours, and we have not heard of it.
        self.expects_restart = False
        #: Incoming streams that the peer has agreed to add, and has not yet added.
        self.asked_streams = 0

    # Sending.

    def advance(self, prefix: bytes = b"") -> bool:
        """Send the next request if none is under way and its time has come; whether it was sent.

        `prefix`, a response, leaves in the same chunk where that is allowed, else before it.
        """
        if self.current is not None or self._context.state is not ESTABLISHED:
            return False
        # An answer that is owed comes first: another reset would be taken for it, and each could wait for the other.
        owes = self.queue and self.queue[0].answers >= 0
        for job in self.queue[:_LOOKED_AT]:
            if owes and job.answers < 0:
                break
            if self._is_ready(job):
                self.queue.remove(job)
                self._send(job, prefix)
                return True
            if job.kind == TSNS:
                break
        return False

    def _is_ready(self, job: Job) -> bool:
        if job.not_before > self._context.now:
            return False
        if job.kind == TSNS:  # section 5.1.4 C2
            return self._outgoing.is_acknowledged and self._outgoing.is_clear(())
        return job.outgoing is None or self._outgoing.is_clear(job.outgoing)

    def _send(self, job: Job, prefix: bytes) -> None:
        parameters = job.pack(self._next_number, self.peer_number, self._outgoing.next_tsn - 1 & MASK_32)
        self._next_number = self._next_number + len(parameters) & MASK_32
        self._stalled = 0
        context = self._context
        self.current = job
        job.is_postponed = False
        if job.kind == TSNS:
            self._expect_restart(True)
        self.chunk = pack_reconfig(parameters)
        self._path_id = context.paths.data_path().path_id
        self._astray = False
        if not prefix:
            context.queue(self.chunk, self._path_id)
        elif job.outgoing is not None and len(parameters) == 1:
            context.queue(pack_reconfig([prefix, parameters[0]]), self._path_id)
        else:
            context.answer(pack_reconfig([prefix]), self._path_id)
            context.queue(self.chunk, self._path_id)
        self._start_timer()

    def _start_timer(self) -> None:
        context = self._context
        context.timers.start(timer_key(RECONFIG), context.now + context.paths.by_id[self._path_id].rto.rto)

    def expire(self) -> None:
        """The re-configuration timer: send again, over another path if there is one (section 5.1.1)."""
        context = self._context
        job = self.current
        if job is None or context.state not in _RETRANSMITS:
            _await_turn(self._context, self.queue)  # the time of one that waits has come: `advance` follows
            return
        path = context.paths.by_id[self._path_id]
        if job.is_postponed:  # section 5.2.7 H2: not an error
            job.is_postponed = False
            path.rto.back_off()
        elif not is_counted(context, path):
            if not on_silence(context, path, context.paths.on_timeout(path, OF_REQUESTS)):
                return
        self.send_again()
        self._start_timer()

    def forget_path(self, path: Path, successor: Path) -> None:
        """Go on with the successor, if this path, which is no more, was the last that was taken."""
        if self._path_id == path.path_id:
            self._path_id = successor.path_id

    def send_again(self, is_answer: bool = False) -> None:
        """The chunk of the request that is under way; maybe since the peer asks for it."""
        path_id = self._context.paths.retransmit_path(self._path_id).path_id
        self._astray |= path_id != self._path_id
        self._path_id = path_id
        if is_answer:
            self._context.answer(self.chunk, path_id)
        else:
            self._context.queue(self.chunk, path_id)

    # What the peer answers.

    def on_response(self, response: Parameter) -> bool:
        """Section 5.2.7; whether it answers what is under way."""
        job = self.current
        if job is None or response.number not in (job.out_number, job.in_number):
            return False
        self._hear()
        result = response.result if response.result <= IN_PROGRESS else FAILED
        job.is_postponed = result == IN_PROGRESS
        if job.is_postponed:
            if self._outgoing.is_acknowledged:
                self._stalled += 1
            if self._stalled < _MOST_STALLED:
                self._start_timer()
                return True
            # It has had all that it waits for: usrsctp, whose answer got lost, says so for ever. Another request, which
            # it takes for a new one, does no harm.
            result = REQUEST_IN_PROGRESS
        if response.number == job.out_number:
            job.out_number = -1
            job.tsns = (response.sender_tsn, response.receiver_tsn)
            if job.kind == TSNS and result == PERFORMED and response.sender_tsn < 0:
                result = FAILED  # section 5.1.7 D3 and D4: an answer without TSNs is none
            job.out_result = result
        else:
            job.in_number = -1
            job.in_result = result
        self._settle(job)
        return True

    def on_reset_by_peer(self, answers: int, streams: tuple[int, ...]) -> bool:
        """An outgoing reset of the peer with this response number (section 5.2.2 E1); whether it answers ours: one that
        does not may have the same number, but has other streams.
        """
        job = self.current
        if job is None or job.in_number != answers or job.incoming is None or set(job.incoming) != set(streams):
            return False
        self._hear()
        job.in_number = -1
        job.in_result = PERFORMED
        self._settle(job)
        return True

    def on_streams_by_peer(self, count: int) -> bool:
        """The peer adds streams (section 5.2.6); whether we have asked for that."""
        job = self.current
        if job is not None and job.kind == ADDITION and job.in_number >= 0 and job.add_incoming == count:
            self._hear()
            job.in_number = -1
            job.in_result = PERFORMED
            job.add_incoming = 0  # done, not only agreed on
            self._settle(job)
            return True
        if count <= self.asked_streams:
            self.asked_streams -= count
            return True
        return False

    def _expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may have carried out an SSN/TSN reset that we have not heard of: each count of TSNs, ours
        and the peer's, may begin anew.
        """
        self.expects_restart = is_expected
        self._outgoing.expect_restart(is_expected)
        self._incoming.expect_restart(is_expected)

    def _hear(self) -> None:
        context = self._context
        path = context.paths.by_id[self._path_id]
        pending = context.owner.data_pending()
        on_answer(context, path, context.paths.on_answered(path, OF_REQUESTS, pending, not self._astray))

    def _settle(self, job: Job) -> None:
        """Part of it was answered: if nothing else of it is under way, carry it out."""
        if job.out_number >= 0 or job.in_number >= 0:
            return
        self.current = None
        self._context.timers.stop(timer_key(RECONFIG))
        if job.kind == RESET:
            self._finish_reset(job)
        elif job.kind == TSNS:
            self._finish_tsns(job)
        else:
            self._finish_addition(job)
        if job not in self.queue and job.ticket is not None:
            job.ticket.drop_part(self._context)
        _await_turn(self._context, self.queue)

    def _finish_reset(self, job: Job) -> None:
        context = self._context
        again = False
        if job.outgoing is not None:
            result = job.out_result
            if self._is_repeated(job, result):
                again = True
            else:
                self._release(job.outgoing, is_success(result))
                context.emit(StreamsReset(True, job.outgoing, result_name(result)))
                _note(job, result)
                job.outgoing = None
        if job.incoming is not None:
            result = job.in_result
            if self._is_repeated(job, result):
                again = True
            else:
                if not is_success(result):
                    context.emit(StreamsReset(False, job.incoming, result_name(result)))
                _note(job, result)
                job.incoming = None
        if again:
            self._repeat(job)

    def _finish_tsns(self, job: Job) -> None:
        result = job.out_result
        if result == PERFORMED:  # H5
            sender_tsn, receiver_tsn = job.tsns
            self._outgoing.restart(receiver_tsn)
            self._incoming.restart(sender_tsn)
        if self._is_repeated(job, result):
            if not job.is_postponed:  # else it may have been carried out
                self._expect_restart(False)
            self._repeat(job)
            return
        self._expect_restart(False)
        if result == NOTHING_TO_DO:
            result = FAILED  # there is no such answer to it
        self._release((), result == PERFORMED)
        self._context.emit(TsnsReset(result_name(result)))
        _note(job, result)

    def _finish_addition(self, job: Job) -> None:
        again = False
        worst = PERFORMED
        tells = job.add_outgoing > 0
        if job.add_outgoing:
            if self._is_repeated(job, job.out_result):
                again = True
            else:
                if is_success(job.out_result):
                    self._outgoing.add(job.add_outgoing)  # H6
                else:
                    worst = job.out_result
                job.add_outgoing = 0
        if job.add_incoming:
            if self._is_repeated(job, job.in_result):
                again = True
            else:
                if is_success(job.in_result):
                    self.asked_streams += job.add_incoming
                else:
                    worst = job.in_result
                job.add_incoming = 0
        job.out_result = job.in_result = PERFORMED
        _note(job, worst)
        if again:
            self._repeat(job)
        elif tells or not is_success(worst):  # what the peer adds is told when it does
            self._context.emit(StreamsAdded(self._outgoing.count, self._incoming.count, result_name(worst)))

    def _is_repeated(self, job: Job, result: int) -> bool:
        return result == REQUEST_IN_PROGRESS and job.tries < _MOST_TRIES and self._context.state is ESTABLISHED

    def _repeat(self, job: Job) -> None:
        """The peer had a request of its own under way: ask again later, each time after a longer while.

        Chance decides between two that are in each other's way.
        """
        context = self._context
        job.tries += 1
        rto = context.paths.by_id[self._path_id].rto.rto
        job.not_before = context.now + rto * job.tries * (0.5 + context.random.bits(16) / 0x10000)
        owed = 0 if job.answers >= 0 else len([other for other in self.queue if other.answers >= 0])
        self.queue.insert(owed, job)

    def _release(self, streams: tuple[int, ...], reset: bool) -> None:
        """What others hold still is held again at once."""
        self._outgoing.release(streams, reset)
        if self.current is not None:
            _hold(self._outgoing, self.current)
            if self.current.outgoing is not None:
                self._outgoing.is_clear(self.current.outgoing)
        released = set(streams)
        for job in self.queue:
            if not released or not job.outgoing or not released.isdisjoint(job.outgoing):
                _hold(self._outgoing, job)
        if self.is_stopped:
            self._outgoing.stop()

    # The end.

    def give_up(self, reason: str) -> None:
        """Those that have not left will not."""
        jobs = self.queue
        self.queue = []
        if self.expects_restart and self.current is None:
            self._expect_restart(False)
        for job in jobs:
            streams = () if job.kind == TSNS else job.outgoing
            if streams is not None:
                free = _not_under_way(self.current, streams, self._outgoing.count)
                if free is not None:
                    self._outgoing.release(free, False)
            for event in _failures(job, self._outgoing.count, self._incoming.count):
                self._context.emit(event)
            _drop(self._context, job, reason)

    def end(self, reason: str) -> None:
        """The association has ended, or begins anew: nobody waits any more."""
        jobs = self.queue
        self.queue = []
        if self.current is not None:
            jobs.append(self.current)
            self.current = None
        for job in jobs:
            _drop(self._context, job, reason)


def _not_under_way(job: Job | None, streams: tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """Those of these streams, all if there are none, whose reset the peer may not have carried out by now; None if
    there are no such.
    """
    if job is None or (job.kind != TSNS and job.outgoing is None):
        return streams
    if job.kind == TSNS or not job.outgoing:
        return None
    return tuple(sid for sid in streams or range(count) if sid not in job.outgoing) or None


def _await_turn(context: Context, jobs: list[Job]) -> None:
    """The timer runs for the next of those that are to be asked for later."""
    waits = [job.not_before for job in jobs if job.not_before > context.now]
    if waits:
        context.timers.start(timer_key(RECONFIG), min(waits))


def _hold(outgoing: OutgoingStreams, job: Job) -> None:
    if job.kind == TSNS:
        outgoing.hold(())
    elif job.outgoing is not None:
        outgoing.hold(job.outgoing)


def _note(job: Job, result: int) -> None:
    if job.ticket is not None:
        job.ticket.note(result, "")


def _drop(context: Context, job: Job, reason: str) -> None:
    if job.ticket is not None:
        job.ticket.note(FAILED, reason)
        job.ticket.drop_part(context)


def _failures(job: Job, outgoing: int, incoming: int) -> list[Event]:
    """What to tell of one that will not leave; there are so many streams."""
    if job.kind == TSNS:
        return [TsnsReset("failed")]
    if job.kind == ADDITION:
        return [StreamsAdded(outgoing, incoming, "failed")]
    events: list[Event] = []
    if job.outgoing is not None:
        events.append(StreamsReset(True, job.outgoing, "failed"))
    if job.incoming is not None:
        events.append(StreamsReset(False, job.incoming, "failed"))
    return events
