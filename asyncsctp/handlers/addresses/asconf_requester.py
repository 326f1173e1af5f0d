"""Our ASCONF chunks, one at a time under way (RFC 5061 sections 5.1 and 5.3).

Knows what the user may ask for, the order of the requests, their numbers, the T4-rto timer, what the peer's answers
mean for our addresses, and from which of these nothing may leave meanwhile. What the peer asks of us is in
`asconf_responder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, final

from ...errors import AsconfError, AssociationAborted, Cause
from ...events import PathChanged
from ...path_state import PathState
from ...paths.path import Path
from ...paths.route import Route, in_scope, is_ipv4, is_translatable, normalize
from ...timers import T4_RTO
from ...wire import asconf, causes, constants
from ...wire.asconf import ANY_IPV4, ANY_IPV6, WILDCARDS, Response
from ...wire.constants import MASK_32, PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS, PARAM_SET_PRIMARY
from ...wire.serial import ahead
from ..context import Context
from ..paths.reachability import OF_REQUESTS
from ..request import Retry, Ticket
from ..setup.negotiation import Setup
from ..state import ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT
from .peer_addresses import PeerAddresses

#: The states in which ASCONF and ASCONF-ACK are sent (section 5.1.1 C4).
PERMITTED: Final = frozenset({ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_RECEIVED, SHUTDOWN_SENT})
_ASCONF: Final = bytes([constants.ASCONF])
_TRIES: Final = 2  # after so many retransmissions of one request another may do what it can't


class Change(NamedTuple):
    """One parameter of a request."""

    kind: int
    address: str  # as the peer is told it
    local: str = ""  # which of ours comes or goes by it, if any does


class AddressRequest(NamedTuple):
    """What one ASCONF chunk asks for."""

    changes: tuple[Change, ...]
    ticket: Ticket
    source: str = ""  # an address of ours that it may leave from, although nothing else does (section 5.3 F1)
    lookup: str = ""  # its Address Parameter; empty: one that the peer knows
    prefers_source: bool = False  # it had better leave from there
    needs_source: bool = False  # it must, as a wildcard stands for it
    for_nat: bool = False  # NATs are told of the association (draft natsupp section 5.3.2)
    otherwise: AddressRequest | None = None  # what is asked for in its place if it does not seem to get through


@final
class AsconfRequester:
    """Our side's requests of one association."""

    __slots__ = (
        "_chunk",
        "_context",
        "_correlation",
        "_disables_restart",
        "_first_correlation",
        "_is_waiting",
        "_next_number",
        "_peers",
        "_returned",
        "_ways_taken",
        "current",
        "queue",
        "refused_kinds",
        "refuses_all",
        "retry",
    )

    def __init__(self, context: Context, peers: PeerAddresses, setup: Setup) -> None:
        self._context = context
        self._peers = peers
        self._disables_restart = setup.disable_restart  # both sides reckon with NATs
        self._next_number = setup.local_initial_tsn  # A2
        self._correlation = 1
        self._first_correlation = 1  # of the changes under way; those after the first follow
        self._chunk = b""  # under way
        self.retry = Retry(context, T4_RTO, OF_REQUESTS)
        #: Those that it took, and how often, the last one last: the peer's address, and ours.
        self._ways_taken: dict[tuple[str, str], int] = {}
        self._is_waiting = False  # there was no way to send it along
        self._returned: list[bytes] = []  # chunks that did not come as far as the peer
        self.current: AddressRequest | None = None  # the one that is under way
        self.queue: list[AddressRequest] = []
        #: Kinds of parameters that the peer does not understand (F3a, F3b); and whether ASCONF is all it does not (A9).
        self.refused_kinds: frozenset[int] = frozenset()
        self.refuses_all = False

    # What the user says.

    def add_local(self, address: str, wildcard: bool = False) -> Ticket:
        """Ask the peer to add this address of ours.

        `wildcard`: it is named as 0.0.0.0 or ::, and the request leaves from it: a NAT may call it otherwise.
        `ValueError` for an address that can't be, or is ours already; `AsconfError` where addresses can't be changed.
        """
        address = self._new(address)
        self._check(PARAM_ADD_ADDRESS)
        prefers_source = self._disables_restart  # it shows the UDP port, which is that of no other address
        change = Change(PARAM_ADD_ADDRESS, address, address)
        plain = AddressRequest((change,), Ticket(), address, prefers_source=prefers_source)
        if not wildcard and not self._is_translated(address):
            return self._push(plain)
        self._check_way(address)
        change = Change(PARAM_ADD_ADDRESS, _wildcard(address), address)
        there_may_be_no_nat = not wildcard and in_scope(address, self._context.paths.primary.route.address)
        otherwise = plain if there_may_be_no_nat else None
        return self._push(
            AddressRequest(
                (change,), plain.ticket, address, change.address, needs_source=True, for_nat=True, otherwise=otherwise
            )
        )

    def remove_local(self, address: str) -> Ticket:
        """Ask the peer to delete this address of ours; nothing leaves from it any more. `ValueError` for one that isn't
        ours, or after which there would be none (section 5.3 F5).
        """
        address = self._ours(address)
        self._check(PARAM_DELETE_ADDRESS)
        families = {is_ipv4(local) for local in self._context.paths.local.sources if local != address}
        if not any(is_ipv4(path.route.address) in families for path in self._context.paths.paths):
            raise ValueError(f"{address} is the last address from which the peer can be reached")
        return self._push(AddressRequest((Change(PARAM_DELETE_ADDRESS, address, address),), Ticket()))

    def change_local(self, new: str, old: str, wildcard: bool = False) -> Ticket:
        """Ask the peer for an address of ours in place of another, in one request that leaves from the new one (section
        5.3.2). `wildcard`: as of `add_local`; all addresses but the new one are deleted then.
        """
        new = self._new(new)
        old = self._ours(old)
        self._check(PARAM_ADD_ADDRESS)
        local = self._context.paths.local
        all_there_are = (*local.sources, *local.arriving)
        is_renamed = self._is_translated(old)
        wildcard = wildcard or (len(all_there_are) == 1 and (is_renamed or self._is_translated(new)))
        if len(local.sources) == 1 or wildcard:
            self._check_way(new)
        if wildcard and len(all_there_are) > 1:
            raise ValueError(f"a wildcard would delete {', '.join(all_there_are)}, and not {old} alone")
        addition = Change(PARAM_ADD_ADDRESS, _wildcard(new) if wildcard else new, new)
        deletion = Change(PARAM_DELETE_ADDRESS, _wildcard(new) if wildcard else old, old)
        lookup = _wildcard(new) if wildcard else "" if is_renamed else old
        return self._push(
            AddressRequest((addition, deletion), Ticket(), new, lookup, True, needs_source=wildcard, for_nat=wildcard)
        )

    def request_primary(self, address: str) -> Ticket:
        """Ask the peer to send to this address of ours (section 5.4)."""
        address = self._ours(address)
        self._check(PARAM_SET_PRIMARY)
        return self._push(AddressRequest((Change(PARAM_SET_PRIMARY, address),), Ticket()))

    def recover(self, path: Path, local: str) -> Ticket:
        """Tell a NAT on the way from this address of ours, which has forgotten the association, of it, and the peer by
        what address it is reached now (draft natsupp sections 6.4.2 and 8.4).
        """
        self._check(PARAM_ADD_ADDRESS)
        wildcard = _wildcard(path.route.address)
        changes: tuple[Change, ...] = (Change(PARAM_ADD_ADDRESS, wildcard),)
        ours = self._context.paths.local
        if len(ours.sources) + len(ours.arriving) < 2:  # else it would delete the others too
            changes += (Change(PARAM_DELETE_ADDRESS, wildcard),)
        return self._push(AddressRequest(changes, Ticket(), local, wildcard, needs_source=bool(local), for_nat=True))

    def _check(self, kind: int) -> None:
        if self._context.state not in PERMITTED:
            raise AsconfError(f"addresses can't be changed in state {self._context.state.value}")
        if self.refuses_all or kind in self.refused_kinds:
            raise AsconfError("the peer has said that it does not understand such a request (RFC 5061)")

    def _new(self, address: str) -> str:
        address = normalize(address)
        if not in_scope(address, address):
            raise ValueError(f"{address} is no address that the peer could send to")
        if address in self._context.paths.local:
            raise ValueError(f"{address} is an address of this association already, or is on its way in or out")
        return address

    def _ours(self, address: str) -> str:
        address = normalize(address)
        sources = self._context.paths.local.sources
        if address not in sources:
            raise ValueError(f"address must be one of {', '.join(sources)}, not {address}")
        return address

    def _is_translated(self, address: str) -> bool:
        """Return whether a NAT may call this address otherwise, and the peer expects that (natsupp section 6.6)."""
        return self._disables_restart and is_translatable(address)

    def _check_way(self, source: str) -> None:
        """Raise `ValueError` unless the peer has an address that what has to leave from this one of ours can go to."""
        if not any(is_ipv4(path.route.address) == is_ipv4(source) for path in self._context.paths.paths):
            raise ValueError(f"no address of the peer can be reached from {source}")

    def _push(self, request: AddressRequest) -> Ticket:
        """Ask for this once all before it was answered (A3, C1). What is to come or go is no source from now on."""
        paths = self._context.paths
        for change in request.changes:
            if not change.local:
                continue
            if change.kind == PARAM_ADD_ADDRESS:
                paths.local.announce(change.local)
            elif change.kind == PARAM_DELETE_ADDRESS:
                paths.local.withdraw(change.local)
                self._tell_states(paths.leave(change.local))
        self.queue.append(request)
        return request.ticket

    def flush(self) -> None:
        """Send the next request if none is under way; or the one that is, if there was no way for it, and is now."""
        if self.current is None and not self.queue:
            return
        if self._context.state not in PERMITTED:
            # Section 5.1.1 C4: none is sent any more. The answer to the one under way is still heard: until then nobody
            # knows whether it was carried out.
            self._drop_queue("the association is shutting down")
        elif self.current is None:
            self._begin(self.queue.pop(0))
        elif self._is_waiting and self._ways(self.current):
            self._transmit(self.current)

    # Sending.

    def _begin(self, request: AddressRequest) -> None:
        context = self._context
        self.current = request
        for change in request.changes:
            if change.kind == PARAM_DELETE_ADDRESS:
                context.paths.local.ask(change.local)
        self._ways_taken.clear()
        first = self._first_correlation = self._correlation
        parameters = [
            asconf.pack_request(change.kind, first + index, change.address)
            for index, change in enumerate(request.changes)
        ]
        self._correlation = first + len(parameters) & MASK_32 >> 1
        if request.for_nat:
            parameters.append(asconf.pack_vtags(self._correlation, context.local_tag, context.peer_tag))
            self._correlation += 1
            if self._disables_restart:
                parameters.append(asconf.pack_disable_restart())
        self._chunk = asconf.pack_asconf(self._next_number, request.lookup or self._known_address(), parameters)
        self._next_number = self._next_number + 1 & MASK_32
        self._transmit(request)

    def _known_address(self) -> str:
        """Return one of our addresses that the peer finds us by (section 4.1.1); a wildcard if NATs rename them all."""
        local = self._context.paths.local
        for address in (self._context.paths.data_path().route.local, *local.sources, *local.leaving):
            if address and address not in WILDCARDS and not (self._disables_restart and is_translatable(address)):
                return address
        return _wildcard(self._context.paths.data_path().route.address)

    def _transmit(self, request: AddressRequest) -> None:
        """Send the same chunk each time (B4), each time along another way if there is one; before it what the peer may
        still wait for, as it takes one number after the other (E4, section 5.5). These are additions of the source, and
        harm nothing where that is an address that the peer has.
        """
        context = self._context
        ways = self._ways(request)
        self._is_waiting = not ways
        if ways:
            path, source = min(ways, key=self._wear)
            if self._ways_taken:
                self.retry.move(path)
            else:
                self.retry.begin(path)
            way = path.route.address, source
            self._ways_taken[way] = self._ways_taken.pop(way, 0) + 1
            route = Route(source, path.route.address, path.route.udp_port)
            context.transmit_along(b"".join((*self._returned, self._chunk)), route, context.peer_tag)
        self.retry.start_timer()  # A4, B5

    def _ways(self, request: AddressRequest) -> list[tuple[Path, str]]:
        """Return the peer's addresses to send it to, each with one of ours to send it from; the best first.

        Nothing leaves any more from what is being deleted (F6), or to an address that is to be verified (F1), unless no
        HEARTBEAT can be exchanged before this was answered: we have no other of its family, or have moved as well.
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
        moved = _from(request.source, order) if request.source else []
        if request.needs_source:
            return moved
        # What it was to leave from may be gone for good. Section 5.3 F1 lets ASCONF leave from all that is being added.
        moved += [way for local in paths.local.arriving if local != request.source for way in _from(local, order)]
        usual = [(path, path.route.local) for path in order if path.route.local and path.route.local != request.source]
        usual += [way for local in paths.local.unasked for way in _from(local, order)]
        return moved + usual if request.prefers_source else usual + moved

    def _wear(self, way: tuple[Path, str]) -> tuple[int, bool]:
        """Return how often a way was taken, and whether just now: the best of those with the least is next."""
        taken = way[0].route.address, way[1]
        return self._ways_taken.get(taken, 0), taken == next(reversed(self._ways_taken), None)

    def expire(self) -> None:
        """Send again what T4-rto has run out for (B1 to B5)."""
        request = self.current
        if request is None or self._context.state not in PERMITTED:
            return
        if self._is_in_vain(request):
            self._withdraw(request, AsconfError(f"nothing came back of what left from {request.source}"))
        elif self._is_waiting or self.retry.on_timeout():
            self._transmit(request)

    def _is_in_vain(self, request: AddressRequest) -> bool:
        """Return whether a new address of ours, the only one that this may leave from, seems to be of no use: no reason
        to end an association which has others (B2), nor to let all other requests wait for ever.
        """
        paths = self._context.paths
        if not request.needs_source or request.source in paths.local.sources or paths.is_held:
            return False
        most = self.retry.path.settings.max_retrans if request.otherwise is None else _TRIES
        return sum(self._ways_taken.values()) > most

    # What the peer answers.

    def awaits(self, number: int) -> bool:
        """Return whether the ASCONF with this number is under way."""
        return self.current is not None and number == self._next_number - 1 & MASK_32

    def on_ack(self, data: bytes, start: int, end: int) -> None:
        """Take in an ASCONF-ACK, authenticated, whose value is between `start` and `end`."""
        context = self._context
        number, responses = asconf.read_asconf_ack(data, start, end)
        if ahead(number, self._next_number) >= 0:  # F0, section 4.3.4
            error = AssociationAborted("the peer acknowledged an ASCONF that was never sent")
            context.abort(causes.pack_cause(constants.CAUSE_ILLEGAL_ASCONF_ACK), error)
            return
        request = self.current
        if request is None or not self.awaits(number):
            context.statistics.unexpected_chunks += 1
            return
        self.retry.stop_timer()  # A5
        self.retry.on_answer()
        self.current = None
        self._returned.clear()
        self._conclude(request, responses)

    def _conclude(self, request: AddressRequest, responses: list[Response]) -> None:
        """Find out which of the changes were made (A6 to A8)."""
        answers = {response.correlation: response for response in responses}
        outcomes: list[bool] = []
        found: list[Cause] = []
        failing = False
        for index, change in enumerate(request.changes):
            response = answers.get(self._first_correlation + index)
            if response is None:
                outcomes.append(not failing)  # A7, A8
                continue
            outcomes.append(response.is_success)
            if not response.is_success:
                failing = True
                found += response.causes
                if any(cause.code == constants.CAUSE_UNRECOGNIZED_PARAMETERS for cause in response.causes):
                    is_primary = change.kind == PARAM_SET_PRIMARY  # F3b, else F3a
                    self.refused_kinds |= {change.kind} if is_primary else {PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS}
        self._apply(request.changes, outcomes)
        reason = ", ".join(map(str, found)) or "no cause was given"
        error = None if all(outcomes) else AsconfError(f"the peer did not agree: {reason}", found)
        request.ticket.close(self._context, error)

    def _apply(self, changes: tuple[Change, ...], outcomes: list[bool]) -> None:
        """Use our addresses as the peer now knows them (F2, F10)."""
        paths = self._context.paths
        local = paths.local
        for change, is_done in zip(changes, outcomes, strict=True):
            if not change.local:
                continue
            if (change.kind == PARAM_ADD_ADDRESS) == is_done:
                local.admit(change.local)
            else:
                local.drop(change.local)
        # A peer that deletes one and does not add the other is silent from now on, and not waited for without end.
        for kind in (PARAM_DELETE_ADDRESS, PARAM_ADD_ADDRESS):
            if not any(local.may_reach(path.route.address) for path in paths.paths):
                for change in changes:
                    if change.kind == kind and change.local:
                        local.admit(change.local)
        self._tell_states(paths.arrive())
        self._peers.resume()

    def _tell_states(self, paths: list[Path]) -> None:
        """Tell the user of the states of these paths, as addresses of ours have come or gone."""
        for path in paths:
            self._context.emit(PathChanged(path.route.address, path.state))

    def on_error(self, found: tuple[Cause, ...]) -> None:
        """Look for a refusal of all ASCONF among the causes of an ERROR (section 5.1 A9)."""
        for cause in found:
            if cause.code == constants.CAUSE_UNRECOGNIZED_CHUNK and cause.info[:1] == _ASCONF:
                self.refuses_all = True
                self.give_up("the peer does not understand ASCONF (RFC 5061)")

    # The end.

    def give_up_for_nat(self, reason: str, found: Sequence[Cause]) -> Ticket | None:
        """Give up the request under way, which a NAT has refused, if it is one for NATs (natsupp 6.2.2); its ticket."""
        request = self.current
        if request is None or not request.for_nat:
            return None
        self._withdraw(request, AsconfError(reason, found))
        return request.ticket

    def _withdraw(self, request: AddressRequest, error: AsconfError) -> None:
        """Send the request under way no more, and take it for not fulfilled."""
        self.current = None
        self._returned.append(self._chunk)
        self.retry.stop_timer()
        self._apply(request.changes, [False] * len(request.changes))
        if request.otherwise is not None and not error.causes:
            self._push(request.otherwise)
            self.flush()
        else:
            request.ticket.close(self._context, error)

    def give_up(self, reason: str) -> None:
        """Give up all requests, for this reason."""
        if self.current is not None:
            self.queue.insert(0, self.current)
            self.current = None
        self._drop_queue(reason)

    def _drop_queue(self, reason: str) -> None:
        self.retry.stop_timer()
        requests, self.queue = self.queue, []
        for request in requests:
            self._apply(request.changes, [False] * len(request.changes))
            request.ticket.close(self._context, AsconfError(reason))


def _from(local: str, paths: list[Path]) -> list[tuple[Path, str]]:
    """Return the ways from this address of ours to those of the peer that are of its family."""
    return [(path, local) for path in paths if is_ipv4(path.route.address) == is_ipv4(local)]


def _wildcard(address: str) -> str:
    """Return the wildcard of this address's family, which stands for the source of the packet (section 4.2)."""
    return ANY_IPV4 if is_ipv4(address) else ANY_IPV6
