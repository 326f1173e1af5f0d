"""The peer's ASCONF chunks, and our answers to them (RFC 5061 sections 5.2 and 5.3).

Each request is carried out once: its answer is kept for when it comes again. That its sender is the peer was shown
before, by authentication. What it takes to use an address or to forget it is in `peer_addresses`; our own requests are
in `asconf_requester`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ...path_state import PathState
from ...paths.path import Path
from ...paths.route import Route, as_seen, in_scope, is_ipv4
from ...wire import causes
from ...wire.asconf import WILDCARDS, AsconfChunk, Request, pack_asconf_ack, pack_failure, pack_success, read_asconf
from ...wire.constants import (
    ASCONF_ACK,
    CAUSE_DELETE_LAST_ADDRESS,
    CAUSE_DELETE_SOURCE_ADDRESS,
    CAUSE_NO_AUTHORIZATION,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_UNRESOLVABLE_ADDRESS,
    MASK_32,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_DISABLE_RESTART,
    PARAM_SET_PRIMARY,
    PARAM_VTAGS,
)
from ...wire.serial import ahead
from ..context import Context
from ..setup.agreement import Setup
from ..setup.negotiation import MAX_PEER_ADDRESSES
from .peer_addresses import PeerAddresses

_DONE: Final = 0
#: Answers that are kept, and addresses that are answered in one batch: a peer has one packet of them under way.
_KEPT: Final = 16
_MOST_SOURCES: Final = 16
#: What goes to an address that is not verified is at most so many times what came from there: it may be a victim's.
_MOST_AMPLIFICATION: Final = 3
_ADDRESS_AT: Final = 8  # in a request


@final
class AsconfResponder:
    """The peer's requests of one association."""

    __slots__ = ("_context", "_expected", "_kept", "_packet", "_peers", "_queued", "_reckons_with_nats")

    def __init__(self, context: Context, peers: PeerAddresses, setup: Setup) -> None:
        self._context = context
        self._peers = peers
        self._reckons_with_nats = setup.disable_restart
        self._expected = setup.peer_initial_tsn  # 'Peer-Sequence-Number' + 1
        #: By number the ASCONF-ACKs to the last requests, the oldest first.
        self._kept: dict[int, bytes] = {}
        self._packet = b""  # the one that the last request came in
        #: What leaves with the next flush: by the address that it goes to, the way there and how many bytes may go.
        self._queued: dict[str, tuple[Route, int, list[bytes]]] = {}

    def on_asconf(self, data: bytes, start: int, end: int, path: Path, route: Route) -> None:
        """Take in an ASCONF, authenticated, whose value is between `start` and `end` (E1 to E6). It came along `route`,
        to be answered there, of which `path` is what we have.
        """
        asconf = read_asconf(data, start, end)
        is_first = data is not self._packet
        self._packet = data
        steps = ahead(asconf.number, self._expected)
        answer = b""
        if steps == 0:
            if is_first:
                self._kept.clear()  # E1
            answer = self._carry_out(asconf, path, route)
            self._kept[asconf.number] = answer
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            self._expected = self._expected + 1 & MASK_32  # V5
        elif steps < 0:  # E2
            answer = self.answer_to(asconf.number)
        if answer:
            self._queue(answer, path, route)
        else:  # E5, or one that is too old
            self._context.statistics.unexpected_chunks += 1

    def answer_to(self, number: int) -> bytes:
        """Return the ASCONF-ACK to a request that was carried out, empty if it is not kept."""
        return self._kept.get(number, b"")

    def flush(self) -> None:
        """Send one packet to each address that something came from, as full as it may be (E6, E7)."""
        self._packet = b""
        if not self._queued:
            return
        queued = self._queued
        self._queued = {}
        for route, space, chunks in queued.values():
            body = b""
            for chunk in chunks:
                if len(body) + len(chunk) > space:
                    break
                body += chunk
            if body:
                self._context.transmit_along(body, route, self._context.peer_tag)

    def _queue(self, answer: bytes, path: Path, route: Route) -> None:
        """Answer to where the request came from, whatever that is now (V4, E6)."""
        self._context.answer_apart()
        entry = self._queued.get(route.address)
        if entry is not None:
            if answer not in entry[2] and len(entry[2]) < _KEPT:
                entry[2].append(answer)
            return
        local = self._context.paths.local
        if route.local in local.barred and route.local not in local.unasked:  # F1, F4
            # Where both sides move at the same time, nobody would ever hear an answer but from an address that is new.
            ipv4 = is_ipv4(route.address)
            others = [other for other in (*local.unasked, *local.arriving) if is_ipv4(other) == ipv4]
            sources = local.sources_for(route.address) or others
            if not sources:
                return
            route = route._replace(local=sources[0])
        if len(self._queued) < _MOST_SOURCES:
            space = self._space(path)
            if path.state is not PathState.UNCONFIRMED:
                # C5: it SHOULD NOT be larger; but if it was not given the peer would ask until the association fails.
                space = max(space, len(answer))
            self._queued[route.address] = (route, space, [answer])

    def _space(self, path: Path) -> int:
        """Return how many bytes of answers may go to where the packet came from, along this path."""
        context = self._context
        space = context.space(path, ASCONF_ACK)
        if path.state is not PathState.UNCONFIRMED or context.keyring is None:
            return space
        return min(space, _MOST_AMPLIFICATION * len(self._packet) - context.keyring.size)

    # Carrying out.

    def _carry_out(self, asconf: AsconfChunk, path: Path, route: Route) -> bytes:
        """Carry out the requests in order (V1 to V3); return the ASCONF-ACK."""
        results: list[int] = []
        is_failing = False
        for request in asconf.requests:
            if request.kind == PARAM_SET_PRIMARY:
                results.append(self._set_primary(request, path, route))
            elif request.kind in (PARAM_ADD_ADDRESS, PARAM_DELETE_ADDRESS):
                if is_failing:  # F11
                    results.append(CAUSE_RESOURCE_SHORTAGE)
                    continue
                change = self._add if request.kind == PARAM_ADD_ADDRESS else self._delete
                results.append(change(request, path, route))
                is_failing = results[-1] != _DONE
            elif request.kind in (PARAM_VTAGS, PARAM_DISABLE_RESTART):
                results.append(_DONE)  # draft natsupp section 6.4.2: it is for NATs
            else:
                results.append(CAUSE_UNRECOGNIZED_PARAMETERS)  # V2
        return _pack_answer(asconf, results, self._space(path))

    def _add(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Add IP Address (section 4.2.1); return `_DONE` or the code of the cause why not."""
        context = self._context
        paths = context.paths
        address = _meant(request, route)
        if not address:
            return CAUSE_UNRESOLVABLE_ADDRESS
        if paths.find(address) is not None:
            return _DONE  # draft natsupp section 6.4.2: no error
        known = [other.route.address for other in paths.paths]
        if not any(in_scope(address, other) for other in (route.address, *known)) or context.owner.is_taken(address):
            return CAUSE_NO_AUTHORIZATION
        if len(known) >= MAX_PEER_ADDRESSES and not self._replace_failed(request, path):
            return CAUSE_RESOURCE_SHORTAGE  # F9
        if address == path.route.address:
            self._peers.adopt(path)
        else:
            self._peers.add(address)
        return _DONE

    def _replace_failed(self, request: Request, path: Path) -> bool:
        """Remove an address that has failed, if the new one was named by a wildcard: it is the one that a NAT has now,
        and the peer can't name the one before, to have it deleted. False if none is removed.
        """
        paths = self._context.paths
        if request.address not in WILDCARDS or not self._reckons_with_nats:
            return False
        for other in paths.paths:
            failed = other.error_count > other.settings.max_retrans  # an UNCONFIRMED one too
            if failed and other not in (path, paths.primary, paths.data_path()):
                self._peers.remove(other, paths.data_path())
                return True
        return False

    def _delete(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Delete IP Address (section 4.2.2). One that is not there is gone already."""
        paths = self._context.paths
        if request.address in WILDCARDS:
            if path not in paths.paths or not paths.local.may_reach(path.route.address):
                return CAUSE_DELETE_LAST_ADDRESS
            for other in list(paths.paths):
                if other is not path:
                    self._peers.remove(other, path)
            self._peers.hear_no_more()
            return _DONE
        address = _meant(request, route)
        if not address:
            return CAUSE_UNRESOLVABLE_ADDRESS
        target = paths.find(address)
        if target is None:
            self._peers.hear_no_more(address)
            return _DONE
        rest = [other for other in paths.paths if other is not target and paths.local.may_reach(other.route.address)]
        if not rest:
            return CAUSE_DELETE_LAST_ADDRESS  # F7
        if target is path:
            return CAUSE_DELETE_SOURCE_ADDRESS  # F8
        self._peers.remove(target, path if path in rest else rest[0])
        return _DONE

    def _set_primary(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Set Primary IP Address (sections 4.2.4 and 5.4)."""
        address = _meant(request, route)
        target = self._context.paths.find(address) if address else None
        if target is None:
            return CAUSE_UNRESOLVABLE_ADDRESS
        self._peers.prefer(target)
        return _DONE


def _meant(request: Request, route: Route) -> str:
    """Return the address that is meant: a wildcard stands for the source of the packet (section 4.2)."""
    if request.address in WILDCARDS:
        return route.address
    return as_seen((request.address,), route.address)[0] if request.address else ""


def _pack_answer(asconf: AsconfChunk, results: list[int], space: int) -> bytes:
    """Pack the ASCONF-ACK: short if all was done, else with a response to each request, so that A7 leaves no doubt.

    C5: where the requests don't fit that were refused, the causes go without them.
    """
    if not any(results):
        return pack_asconf_ack(asconf.number)
    for whole in (True, False):
        responses = [
            _pack_response(request, result, whole)
            for request, result in zip(asconf.requests, results, strict=True)
            if request.kind != PARAM_DISABLE_RESTART  # which has no correlation id
        ]
        answer = pack_asconf_ack(asconf.number, responses)
        if len(answer) <= space:
            break
    return answer


def _pack_response(request: Request, result: int, whole: bool) -> bytes:
    if result == _DONE:
        return pack_success(request.correlation)
    parameter = request.parameter if whole else b""
    if result == CAUSE_UNRESOLVABLE_ADDRESS:
        cause = causes.pack_unresolvable_address(parameter[_ADDRESS_AT:])
    elif result == CAUSE_UNRECOGNIZED_PARAMETERS:
        cause = causes.pack_unrecognized_parameters([parameter] if parameter else [])
    else:
        cause = _CAUSES[result](parameter)
    return pack_failure(request.correlation, cause)


#: How a cause is packed that holds the parameter which it is about.
_CAUSES: Final[dict[int, Callable[[bytes], bytes]]] = {
    CAUSE_DELETE_LAST_ADDRESS: causes.pack_delete_last_address,
    CAUSE_DELETE_SOURCE_ADDRESS: causes.pack_delete_source_address,
    CAUSE_RESOURCE_SHORTAGE: causes.pack_resource_shortage,
    CAUSE_NO_AUTHORIZATION: causes.pack_no_authorization,
}
