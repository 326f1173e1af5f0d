"""The peer's ASCONF chunks, and our answers to them (RFC 5061 sections 5.2 and 5.3).

Each request is carried out once: its answer is kept for when it comes again. That its sender is the peer was shown
before, by authentication. What it takes to use an address or to forget it is in `peer_addresses`; our own requests are
in `asconf_requester`.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, final

from ...path_state import PathState
from ...paths.path import Path
from ...paths.route import Route, as_seen, in_scope, is_ipv4
from ...wire import asconf, causes, constants, tlv
from ...wire.asconf import WILDCARDS, AsconfChunk, Request
from ...wire.constants import ASCONF, ASCONF_ACK, AUTH, COMMON_HEADER_SIZE, MASK_32
from ...wire.packet import MOST_CONTROL
from ...wire.serial import ahead
from ...wire.tlv import Malformed
from ..context import Context
from ..keyring import GENUINE
from ..paths.heartbeat import Heartbeat
from ..setup.negotiation import MAX_PEER_ADDRESSES, Setup
from .asconf_requester import PERMITTED, AsconfRequester
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

    __slots__ = ("_context", "_expected", "_kept", "_packet", "_queued", "_reckons_with_nats", "peers", "requester")

    def __init__(self, context: Context, heartbeat: Heartbeat, setup: Setup) -> None:
        self._context = context
        self.peers: Final = PeerAddresses(context, heartbeat)
        self.requester: Final = AsconfRequester(context, self.peers, setup)  # our side's requests
        self._reckons_with_nats = setup.disable_restart
        self._expected = setup.peer_initial_tsn  # 'Peer-Sequence-Number' + 1
        self._kept: dict[int, bytes] = {}  # by number the ASCONF-ACKs to the last requests, the oldest first
        self._packet = b""  # the one that the last request came in
        #: What leaves with the next flush: by the address that it goes to, the way there and how many bytes may go.
        self._queued: dict[str, tuple[Route, int, list[bytes]]] = {}

    def admit(self, datagram: bytes, route: Route) -> Path | None:
        """Return a path for a packet with our tag from an address that is not the peer's, if an ASCONF is in it that
        may make it the peer's (section 5.2 D2), or the answer to ours. Call `peers.discard` with it afterwards.
        """
        if self._context.state not in PERMITTED or not in_scope(route.address, route.address):
            return None
        try:
            if not self._is_found(datagram, route) or not self._is_authentic(datagram):
                return None
        except Malformed:
            return None
        return self.peers.admit(route)

    def _is_found(self, datagram: bytes, route: Route) -> bool:
        """Return whether the Address Parameter of one of its ASCONFs names the peer, or is a wildcard (D2, D2-ext); or
        did, when it came before: its sender has moved on, and waits for the answer. Or the answer to ours is in it: who
        moves as well has no other address to send that from.
        """
        for first16, _, start, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL):
            kind = first16 >> 8
            if kind == ASCONF_ACK and self.requester.awaits(asconf.read_asconf_ack(datagram, start, end)[0]):
                return True
            if kind == ASCONF:
                number, address = asconf.read_lookup(datagram, start, end)
                if address in WILDCARDS or number in self._kept:
                    return True
                if address and self._context.paths.find(as_seen((address,), route.address)[0]) is not None:
                    return True
        return False

    def _is_authentic(self, datagram: bytes) -> bool:
        """Return whether the ASCONF stands behind an AUTH chunk that is right (D5), before anything is made for it."""
        keyring = self._context.keyring
        for first16, at, _, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL):
            if first16 >> 8 == AUTH:
                return keyring is not None and keyring.verify(datagram, at, end) == GENUINE
            if first16 >> 8 in (ASCONF, ASCONF_ACK):
                return False
        return False

    def on_asconf(self, data: bytes, start: int, end: int, path: Path, route: Route) -> None:
        """Take in an authenticated ASCONF, whose value is from `start` to `end` (E1 to E6); answer along `route`."""
        chunk = asconf.read_asconf(data, start, end)
        is_first = data is not self._packet
        self._packet = data
        steps = ahead(chunk.number, self._expected)
        answer = b""
        if steps == 0:
            if is_first:
                self._kept.clear()  # E1
            answer = self._carry_out(chunk, path, route)
            self._kept[chunk.number] = answer
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            self._expected = self._expected + 1 & MASK_32  # V5
        elif steps < 0:  # E2
            answer = self._kept.get(chunk.number, b"")
        if answer:
            self._queue(answer, path, route)
        else:  # E5, or one that is too old
            self._context.statistics.unexpected_chunks += 1

    def flush(self) -> None:
        """Send a packet to each address that something came from (E6, E7), and our own next request."""
        self._packet = b""
        queued = self._queued
        if queued:
            self._queued = {}
        for route, space, chunks in queued.values():
            body = b""
            for chunk in chunks:
                if len(body) + len(chunk) > space:
                    break
                body += chunk
            if body:
                self._context.transmit_along(body, route, self._context.peer_tag)
        self.requester.flush()

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

    def _carry_out(self, chunk: AsconfChunk, path: Path, route: Route) -> bytes:
        """Carry out the requests in order (V1 to V3); return the ASCONF-ACK."""
        results: list[int] = []
        is_failing = False
        for request in chunk.requests:
            if request.kind == constants.PARAM_SET_PRIMARY:
                results.append(self._set_primary(request, path, route))
            elif request.kind in (constants.PARAM_ADD_ADDRESS, constants.PARAM_DELETE_ADDRESS):
                if is_failing:  # F11
                    results.append(constants.CAUSE_RESOURCE_SHORTAGE)
                    continue
                change = self._add if request.kind == constants.PARAM_ADD_ADDRESS else self._delete
                results.append(change(request, path, route))
                is_failing = results[-1] != _DONE
            elif request.kind in (constants.PARAM_VTAGS, constants.PARAM_DISABLE_RESTART):
                results.append(_DONE)  # draft natsupp section 6.4.2: it is for NATs
            else:
                results.append(constants.CAUSE_UNRECOGNIZED_PARAMETERS)  # V2
        return _pack_answer(chunk, results, self._space(path))

    def _add(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Add IP Address (section 4.2.1); return `_DONE` or the code of the cause why not."""
        context = self._context
        paths = context.paths
        address = _meant(request, route)
        if not address:
            return constants.CAUSE_UNRESOLVABLE_ADDRESS
        if paths.find(address) is not None:
            return _DONE  # draft natsupp section 6.4.2: no error
        known = [other.route.address for other in paths.paths]
        if not any(in_scope(address, other) for other in (route.address, *known)) or context.owner.is_taken(address):
            return constants.CAUSE_NO_AUTHORIZATION
        if len(known) >= MAX_PEER_ADDRESSES and not self._replace_failed(request, path):
            return constants.CAUSE_RESOURCE_SHORTAGE  # F9
        self.peers.adopt(path if address == path.route.address else self.peers.prepare(address))
        return _DONE

    def _replace_failed(self, request: Request, path: Path) -> bool:
        """Remove an address that has failed, if the new one was named by a wildcard: the peer can't name the one that a
        NAT had before, to have it deleted. Return whether one was removed.
        """
        paths = self._context.paths
        if request.address not in WILDCARDS or not self._reckons_with_nats:
            return False
        for other in paths.paths:
            failed = other.error_count > other.settings.max_retrans  # an UNCONFIRMED one too
            if failed and other not in (path, paths.primary, paths.data_path()):
                self.peers.remove(other, paths.data_path())
                return True
        return False

    def _delete(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Delete IP Address (section 4.2.2). One that is not there is gone already."""
        paths = self._context.paths
        if request.address in WILDCARDS:
            if path not in paths.paths or not paths.local.may_reach(path.route.address):
                return constants.CAUSE_DELETE_LAST_ADDRESS
            for other in list(paths.paths):
                if other is not path:
                    self.peers.remove(other, path)
            self.peers.hear_no_more()
            return _DONE
        address = _meant(request, route)
        if not address:
            return constants.CAUSE_UNRESOLVABLE_ADDRESS
        target = paths.find(address)
        if target is None:
            self.peers.hear_no_more(address)
            return _DONE
        rest = [other for other in paths.paths if other is not target and paths.local.may_reach(other.route.address)]
        if not rest:
            return constants.CAUSE_DELETE_LAST_ADDRESS  # F7
        if target is path:
            return constants.CAUSE_DELETE_SOURCE_ADDRESS  # F8
        self.peers.remove(target, path if path in rest else rest[0])
        return _DONE

    def _set_primary(self, request: Request, path: Path, route: Route) -> int:
        """Carry out Set Primary IP Address (sections 4.2.4 and 5.4)."""
        address = _meant(request, route)
        target = self._context.paths.find(address) if address else None
        if target is None:
            return constants.CAUSE_UNRESOLVABLE_ADDRESS
        self.peers.prefer(target)
        return _DONE


def _meant(request: Request, route: Route) -> str:
    """Return the address that is meant: a wildcard stands for the source of the packet (section 4.2)."""
    if request.address in WILDCARDS:
        return route.address
    return as_seen((request.address,), route.address)[0] if request.address else ""


def _pack_answer(chunk: AsconfChunk, results: list[int], space: int) -> bytes:
    """Pack the ASCONF-ACK: short if all was done, else with a response to each request, so that A7 leaves no doubt; the
    causes go without the requests that were refused where these don't fit (C5).
    """
    if not any(results):
        return asconf.pack_asconf_ack(chunk.number)
    for whole in (True, False):
        responses = [
            _pack_response(request, result, whole)
            for request, result in zip(chunk.requests, results, strict=True)
            if request.kind != constants.PARAM_DISABLE_RESTART  # which has no correlation id
        ]
        answer = asconf.pack_asconf_ack(chunk.number, responses)
        if len(answer) <= space:
            break
    return answer


def _pack_response(request: Request, result: int, whole: bool) -> bytes:
    if result == _DONE:
        return asconf.pack_success(request.correlation)
    parameter = request.parameter if whole else b""
    if result == constants.CAUSE_UNRESOLVABLE_ADDRESS:
        cause = causes.pack_unresolvable_address(parameter[_ADDRESS_AT:])
    else:
        cause = causes.pack_copies(result, (parameter,))
    return asconf.pack_failure(request.correlation, cause)
