"""Our ASCONF chunks, one at a time under way (RFC 5061 sections 5.1 and 5.3).

Knows the order of the requests, their numbers, the T4-rto timer, what the peer's answers mean for our addresses, and
from which of these nothing may leave meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import AssociationAborted, Cause
from ...events import PathState
from ...paths.encapsulation import Route, is_ipv4, is_translatable
from ...paths.failover import OF_REQUESTS
from ...paths.path import Path
from ...timers import T4_RTO
from ...wire import causes
from ...wire.asconf import ANY_IPV4, ANY_IPV6, WILDCARDS, Response, pack_asconf, pack_disable_restart, pack_vtags
from ...wire.constants import (
    CAUSE_UNRECOGNIZED_PARAMETERS,
    MASK_32,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
)
from ...wire.serial import ahead
from ..context import Context
from ..paths.reachability import is_counted, on_answer, on_silence, tell_changes
from ..setup.agreement import Setup
from ..state import ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT
from .asconf_jobs import Job, Ticket, Wish
from .peer_addresses import PeerAddresses

#: Section 5.1.1 C4: the states in which ASCONF and ASCONF-ACK are sent.
PERMITTED: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT})
#: After so many retransmissions of one request another may do what it can't.
_TRIES: Final = 2


@final
class Requests:
    """Our side's requests of one association."""

    __slots__ = (
        "_context",
        "_correlation",
        "_disables_restart",
        "_is_waiting",
        "_next_number",
        "_path",
        "_peers",
        "_returned",
        "_ways_taken",
        "current",
        "queue",
        "refused_kinds",
        "refuses_all",
    )

    def __init__(self, context: Context, peers: PeerAddresses, setup: Setup) -> None:
        self._context = context
        self._peers = peers
        self._disables_restart = setup.disable_restart
        self._next_number = setup.local_initial_tsn  # A2
        self._correlation = 1
        self._path: Path = context.paths.data_path()  # the one under way was last sent to
        #: Those that it took, and how often, the last one last: the peer's address, and ours.
        self._ways_taken: dict[tuple[str, str], int] = {}
        self._is_waiting = False  # there was no way to send it along
        self._returned: list[bytes] = []  # chunks that did not come as far as the peer
        #: The one that is under way.
        self.current: Job | None = None
        self.queue: list[Job] = []
        #: Kinds of parameters that the peer does not understand (F3a, F3b); and whether ASCONF is all it does not (A9).
        self.refused_kinds: frozenset[int] = frozenset()
        self.refuses_all = False

    def push(self, job: Job) -> None:
        """Ask for this once all before it was answered (A3, C1). What is to come or go is no source from now on."""
        paths = self._context.paths
        for wish in job.wishes:
            if not wish.local:
                continue
            if wish.kind == PARAM_ADD_ADDRESS:
                paths.local.announce(wish.local)
            elif wish.kind == PARAM_DELETE_ADDRESS:
                paths.local.withdraw(wish.local)
                tell_changes(self._context, paths.leave(wish.local))
        self.queue.append(job)

    def flush(self) -> None:
        """Send the next request if none is under way; or the one that is, if there was no way for it, and is now."""
        if self.current is None and not self.queue:
            return
        if self._context.state not in PERMITTED:
            self._stop()
        elif self.current is None:
            self._begin(self.queue.pop(0))
        elif self._is_waiting and self._ways(self.current):
            self._transmit(self.current)

    # Sending.

    def _begin(self, job: Job) -> None:
        context = self._context
        self.current = job
        for wish in job.wishes:
            if wish.kind == PARAM_DELETE_ADDRESS:
                context.paths.local.ask(wish.local)
        self._ways_taken.clear()
        job.number = self._next_number
        self._next_number = self._next_number + 1 & MASK_32
        parameters = job.parameters(self._correlation)
        self._correlation = self._correlation + len(parameters) & MASK_32 >> 1
        if job.for_nat:
            parameters.append(pack_vtags(self._correlation, context.local_tag, context.peer_tag))
            self._correlation += 1
            if self._disables_restart:
                parameters.append(pack_disable_restart())
        job.chunk = pack_asconf(job.number, job.lookup or self._known_address(), parameters)
        self._transmit(job)

    def _known_address(self) -> str:
        """One of our addresses that the peer has: it finds the association by that, if not by the source of the packet
        (section 4.1.1). What a NAT calls otherwise the peer does not have: it finds us by the tag then.
        """
        local = self._context.paths.local
        for address in (self._context.paths.data_path().route.local, *local.sources, *local.leaving):
            if address and address not in WILDCARDS and not (self._disables_restart and is_translatable(address)):
                return address
        return ANY_IPV4 if is_ipv4(self._context.paths.data_path().route.address) else ANY_IPV6

    def _transmit(self, job: Job) -> None:
        """B4: the same chunk each time, each time along another way if there is one.

        Section 5.5: before it what the peer may still wait for, as it takes one number after the other (E4). These are
        additions of the source, and harm nothing where that is an address that the peer has.
        """
        context = self._context
        ways = self._ways(job)
        self._is_waiting = not ways
        if ways:
            self._path, source = min(ways, key=self._wear)
            way = self._path.route.address, source
            self._ways_taken[way] = self._ways_taken.pop(way, 0) + 1
            route = Route(source, self._path.route.address, self._path.route.udp_port)
            context.transmit_along(b"".join((*self._returned, job.chunk)), route, context.peer_tag)
        context.timers.start(T4_RTO, context.now + self._path.rto.rto)  # A4, B5

    def _ways(self, job: Job) -> list[tuple[Path, str]]:
        """The peer's addresses to send it to, each with one of ours to send it from; the best first.

        F6 holds: nothing leaves any more from what is being deleted. None to an address that is to be verified (F1),
        unless no HEARTBEAT can be exchanged with it before this was answered: we have no other address of its family
        yet, or have moved as well as the peer.
        """
        paths = self._context.paths
        data_path = paths.data_path()
        moved_too = not data_path.route.local
        order = sorted(
            (
                path
                for path in paths.paths
                if path.state is not PathState.UNCONFIRMED or not path.route.local or moved_too
            ),
            key=lambda path: 0 if path is data_path else 1 if path.state is PathState.ACTIVE else 2,
        )
        moved = _from(job.source, order) if job.source else []
        if job.needs_source:
            return moved
        # What it was to leave from may be gone for good. Section 5.3 F1 lets ASCONF leave from all that is being added.
        moved += [way for local in paths.local.arriving if local != job.source for way in _from(local, order)]
        usual = [(path, path.route.local) for path in order if path.route.local and path.route.local != job.source]
        usual += [way for local in paths.local.unasked for way in _from(local, order)]
        return moved + usual if job.prefers_source else usual + moved

    def _wear(self, way: tuple[Path, str]) -> tuple[int, bool]:
        """How often a way was taken, and whether just now: of those with the least the best one is next, whatever their
        order was before.
        """
        path, source = way
        taken = path.route.address, source
        return self._ways_taken.get(taken, 0), taken == next(reversed(self._ways_taken), None)

    def expire(self) -> None:
        """T4-rto: B1 to B5."""
        context = self._context
        job = self.current
        if job is None or context.state not in PERMITTED:
            return
        path = self._path
        if context.paths.find(path.route.address) is not path:
            self._path = path = context.paths.data_path()
        if self._is_in_vain(job):
            self._withdraw(job, f"nothing came back of what left from {job.source}")
            return
        uncounted = self._is_waiting or is_counted(context, path)
        if uncounted or on_silence(context, path, context.paths.on_timeout(path, OF_REQUESTS)):
            self._transmit(job)

    def _is_in_vain(self, job: Job) -> bool:
        """Whether a new address of ours, the only one that this may leave from, seems to be of no use. That is no
        reason to end an association which has others (B2), nor to let all other requests wait for ever where these are
        heard.
        """
        paths = self._context.paths
        if not job.needs_source or job.source in paths.local.sources or paths.is_held:
            return False
        most = self._path.settings.max_retrans if job.otherwise is None else _TRIES
        return sum(self._ways_taken.values()) > most

    # What the peer answers.

    def awaits(self, number: int) -> bool:
        """Whether the ASCONF with this number is under way."""
        return self.current is not None and self.current.number == number

    def on_ack(self, number: int, responses: list[Response]) -> None:
        """ASCONF-ACK."""
        context = self._context
        job = self.current
        if ahead(number, self._next_number) >= 0:  # F0, section 4.3.4
            error = AssociationAborted("the peer acknowledged an ASCONF that was never sent")
            context.abort(causes.pack_illegal_asconf_ack(), error)
            return
        if job is None or not self.awaits(number):
            context.statistics.unexpected_chunks += 1
            return
        context.timers.stop(T4_RTO)  # A5
        path = self._path
        if context.paths.find(path.route.address) is path:
            # RFC 7829 section 3.2 rule 9: of several addresses nobody knows which one it reached.
            alone = all(address == path.route.address for address, _ in self._ways_taken)
            pending = context.owner.data_pending()
            on_answer(context, path, context.paths.on_answered(path, OF_REQUESTS, pending, alone))
        self.current = None
        self._returned.clear()
        self._judge(job, responses)

    def _judge(self, job: Job, responses: list[Response]) -> None:
        """A6 to A8: which of the wishes were fulfilled."""
        answers = {response.correlation: response for response in responses}
        outcomes: list[bool] = []
        found: list[Cause] = []
        failing = False
        for index, wish in enumerate(job.wishes):
            response = answers.get(job.correlation + index)
            if response is None:
                outcomes.append(not failing)  # A7, A8
                continue
            outcomes.append(response.is_success)
            if not response.is_success:
                failing = True
                found += response.causes
                if any(cause.code == CAUSE_UNRECOGNIZED_PARAMETERS for cause in response.causes):
                    self._on_not_understood(wish.kind)
        self._settle(job.wishes, outcomes)
        if all(outcomes):
            job.ticket.settle(self._context)
        else:
            reason = "; ".join(map(str, found)) or "no cause was given"
            job.ticket.settle(self._context, f"the peer refused: {reason}", found)

    def _on_not_understood(self, kind: int) -> None:
        if kind == PARAM_SET_PRIMARY:  # F3b
            self.refused_kinds |= {kind}
        else:  # F3a
            self.refused_kinds |= {PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS}

    def _settle(self, wishes: tuple[Wish, ...], outcomes: list[bool]) -> None:
        """Our addresses are what the peer now takes them for (F2, F10)."""
        paths = self._context.paths
        local = paths.local
        for wish, is_done in zip(wishes, outcomes, strict=True):
            if not wish.local or wish.kind == PARAM_SET_PRIMARY:
                continue
            if (wish.kind == PARAM_ADD_ADDRESS) == is_done:
                local.admit(wish.local)
            else:
                local.drop(wish.local)
        # A peer that deletes one and does not add the other is silent from now on, and not waited for without end.
        for kind in (PARAM_DELETE_ADDRESS, PARAM_ADD_ADDRESS):
            if not any(local.may_reach(path.route.address) for path in paths.paths):
                for wish in wishes:
                    if wish.kind == kind and wish.local:
                        local.admit(wish.local)
        tell_changes(self._context, paths.arrive())
        self._peers.resume()

    # The end.

    def refuse_all(self) -> None:
        """A9: the peer knows no ASCONF."""
        self.refuses_all = True
        self._context.timers.stop(T4_RTO)
        self.give_up("the peer does not understand ASCONF (RFC 5061)")

    def give_up_for_nat(self, reason: str, found: Sequence[Cause]) -> Ticket | None:
        """The one under way, if it tells NATs of the association, is not sent again, and was not fulfilled."""
        job = self.current
        if job is None or not job.for_nat:
            return None
        self._withdraw(job, reason, found)
        return job.ticket

    def _withdraw(self, job: Job, reason: str, found: Sequence[Cause] = ()) -> None:
        self.current = None
        self._returned.append(job.chunk)
        self._context.timers.stop(T4_RTO)
        self._settle(job.wishes, [False] * len(job.wishes))
        if job.otherwise is None or found:
            job.ticket.settle(self._context, reason, found)
        else:
            self.push(job.otherwise)
            self.flush()

    def _stop(self) -> None:
        """Section 5.1.1 C4: none is sent any more. The answer to the one under way is still heard: until then nobody
        knows whether it was carried out.
        """
        self._context.timers.stop(T4_RTO)
        self._drop_queue("the association is shutting down")

    def give_up(self, reason: str) -> None:
        """Nobody waits any more for what was asked."""
        if self.current is not None:
            self.queue.insert(0, self.current)
            self.current = None
        self._context.timers.stop(T4_RTO)
        self._drop_queue(reason)

    def _drop_queue(self, reason: str) -> None:
        jobs = self.queue
        self.queue = []
        for job in jobs:
            self._settle(job.wishes, [False] * len(job.wishes))
            job.ticket.settle(self._context, reason)


def _from(local: str, paths: list[Path]) -> list[tuple[Path, str]]:
    """From this address of ours to those of the peer that are of its family."""
    return [(path, local) for path in paths if is_ipv4(path.route.address) == is_ipv4(local)]
