"""Addresses that change while the association lives: the verbs of the user, and packets from new addresses (RFC 5061).

Made at the first request of either side. Our requests are sent by `asconf_requester`, the peer's carried out by
`asconf_responder`, and `peer_addresses` knows what it takes to use an address of the peer.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, final

from ...errors import AsconfError, Cause
from ...paths.path import Path
from ...paths.route import Route, as_seen, in_scope, is_ipv4, is_translatable, normalize
from ...wire import tlv
from ...wire.asconf import ANY_IPV4, ANY_IPV6, WILDCARDS, read_asconf_ack, read_lookup
from ...wire.constants import (
    ASCONF,
    ASCONF_ACK,
    AUTH,
    CAUSE_UNRECOGNIZED_CHUNK,
    COMMON_HEADER_SIZE,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
)
from ...wire.packet import MOST_CONTROL
from ...wire.tlv import Malformed
from ..context import Context
from ..keyring import GENUINE
from ..paths.heartbeat import Heartbeat
from ..request import Ticket
from ..setup.agreement import Setup
from .asconf_requester import PERMITTED, AddressRequest, AsconfRequester, Change
from .asconf_responder import AsconfResponder
from .peer_addresses import PeerAddresses


@final
class Asconf:
    """Changing addresses of one association."""

    __slots__ = ("_context", "_may_be_translated", "peers", "requester", "responder")

    def __init__(self, context: Context, heartbeat: Heartbeat, setup: Setup) -> None:
        self._context = context
        self._may_be_translated = setup.disable_restart  # both sides reckon with NATs
        self.peers: Final = PeerAddresses(context, heartbeat)
        self.requester: Final = AsconfRequester(context, self.peers, setup)
        self.responder: Final = AsconfResponder(context, self.peers, setup)

    # What the user says.

    def add_local(self, address: str, wildcard: bool = False) -> Ticket:
        """Ask the peer to add this address of ours.

        `wildcard`: it is named as 0.0.0.0 or ::, and the request leaves from it: a NAT may call it otherwise.
        `ValueError` for an address that can't be, or is ours already; `AsconfError` where addresses can't be changed.
        """
        address = self._new(address)
        self._check(PARAM_ADD_ADDRESS)
        prefers_source = self._may_be_translated  # it shows the UDP port, which is that of no other address
        change = Change(PARAM_ADD_ADDRESS, address, address)
        plain = AddressRequest([change], address, prefers_source=prefers_source)
        if not wildcard and not self._is_translated(address):
            return self.requester.push(plain)
        self._check_way(address)
        there_may_be_no_nat = not wildcard and in_scope(address, self._context.paths.primary.route.address)
        change = Change(PARAM_ADD_ADDRESS, _wildcard(address), address)
        request = AddressRequest(
            [change],
            address,
            _wildcard(address),
            needs_source=True,
            for_nat=True,
            otherwise=plain if there_may_be_no_nat else None,
        )
        return self.requester.push(request)

    def remove_local(self, address: str) -> Ticket:
        """Ask the peer to delete this address of ours; nothing leaves from it any more.

        `ValueError` for one that isn't ours, or after which there would be none (section 5.3 F5).
        """
        address = self._ours(address)
        self._check(PARAM_DELETE_ADDRESS)
        rest = [local for local in self._context.paths.local.sources if local != address]
        families = {is_ipv4(local) for local in rest}
        if not any(is_ipv4(path.route.address) in families for path in self._context.paths.paths):
            raise ValueError(f"{address} is the last address from which the peer can be reached")
        return self.requester.push(AddressRequest([Change(PARAM_DELETE_ADDRESS, address, address)]))

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
        request = AddressRequest(
            [addition, deletion], new, lookup, prefers_source=True, needs_source=wildcard, for_nat=wildcard
        )
        return self.requester.push(request)

    def request_primary(self, address: str) -> Ticket:
        """Ask the peer to send to this address of ours (section 5.4)."""
        address = self._ours(address)
        self._check(PARAM_SET_PRIMARY)
        return self.requester.push(AddressRequest([Change(PARAM_SET_PRIMARY, address)]))

    def recover(self, path: Path, local: str) -> Ticket:
        """Tell a NAT on the way from this address of ours, which has forgotten the association, of it, and the peer by
        what address it is reached now (draft natsupp sections 6.4.2 and 8.4).
        """
        self._check(PARAM_ADD_ADDRESS)
        wildcard = _wildcard(path.route.address)
        changes = [Change(PARAM_ADD_ADDRESS, wildcard)]
        ours = self._context.paths.local
        if len(ours.sources) + len(ours.arriving) < 2:  # else it would delete the others too
            changes.append(Change(PARAM_DELETE_ADDRESS, wildcard))
        return self.requester.push(AddressRequest(changes, local, wildcard, needs_source=bool(local), for_nat=True))

    def _check(self, kind: int) -> None:
        if self._context.state not in PERMITTED:
            raise AsconfError(f"addresses can't be changed in state {self._context.state.value}")
        if self.requester.refuses_all or kind in self.requester.refused_kinds:
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
        """Return whether a NAT may call this address otherwise, and the peer expects that (draft natsupp section 6.6).
        One may as well stand between two private networks.
        """
        return self._may_be_translated and is_translatable(address)

    def _check_way(self, source: str) -> None:
        """Raise `ValueError` unless the peer has an address that what has to leave from this one of ours can go to."""
        if not any(is_ipv4(path.route.address) == is_ipv4(source) for path in self._context.paths.paths):
            raise ValueError(f"no address of the peer can be reached from {source}")

    # What the peer says.

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

    def on_error(self, found: tuple[Cause, ...]) -> None:
        """Look for a refusal of all ASCONF among the causes of an ERROR (section 5.1 A9)."""
        for cause in found:
            if cause.code == CAUSE_UNRECOGNIZED_CHUNK and cause.info[:1] == _ASCONF:
                self.requester.refuse_all()

    def _is_found(self, datagram: bytes, route: Route) -> bool:
        """Return whether the Address Parameter of one of its ASCONFs names the peer, or is a wildcard (D2, D2-ext).

        Or was, when the same ASCONF came before: its sender has moved on and still waits for the answer. Or if the
        answer is in it that we wait for: who moves as well has no other address to send that from.
        """
        for first16, _, start, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL):
            if first16 >> 8 == ASCONF_ACK and self.requester.awaits(read_asconf_ack(datagram, start, end)[0]):
                return True
            if first16 >> 8 == ASCONF:
                number, address = read_lookup(datagram, start, end)
                if address in WILDCARDS or self.responder.answer_to(number):
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

    # What progress says.

    def flush(self) -> None:
        """Send the answers to a batch that is over, and the next request."""
        self.responder.flush()
        self.requester.flush()


_ASCONF: Final = bytes([ASCONF])


def _wildcard(address: str) -> str:
    return ANY_IPV4 if is_ipv4(address) else ANY_IPV6
