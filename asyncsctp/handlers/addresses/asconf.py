"""Addresses that change while the association lives: the verbs of the user, and the way to those who do it (RFC 5061).

The room is made at the first request of either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, final

from ...errors import AsconfError, Cause
from ...paths.encapsulation import Route, as_seen, in_scope, is_ipv4, is_translatable, normalize
from ...paths.path import Path
from ...wire import tlv
from ...wire.asconf import ANY_IPV4, ANY_IPV6, MAX_REQUESTS, WILDCARDS, read_asconf_ack, read_lookup
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
from ..setup.agreement import Setup
from .asconf_jobs import Job, Ticket, Wish
from .asconf_requester import PERMITTED, Requests
from .asconf_responder import Answers
from .peer_addresses import PeerAddresses


@final
class Asconf:
    """Changing addresses of one association."""

    __slots__ = ("_answers", "_context", "_peers", "_requests")

    def __init__(self, context: Context, heartbeat: Heartbeat, setup: Setup) -> None:
        self._context = context
        self._peers = PeerAddresses(context, heartbeat)
        self._requests = Requests(context, self._peers, setup)
        self._answers = Answers(context, self._peers, setup)

    # What the user says.

    def add_local(self, address: str, wildcard: bool = False) -> Ticket:
        """Ask the peer to add this address of ours.

        `wildcard`: it is named as 0.0.0.0 or ::, and the request leaves from it: a NAT may call it otherwise.
        `ValueError` for an address that can't be, or is ours already; `AsconfError` where addresses can't be changed.
        """
        address = self._new(address)
        self._check(PARAM_ADD_ADDRESS)
        plain = Job([Wish(PARAM_ADD_ADDRESS, address, address)], source=address)
        plain.prefers_source = self._may_be_translated  # it shows the UDP port, which is that of no other address
        if not wildcard and not self._is_translated(address):
            return self._push(plain)
        self._check_way(address)
        job = Job([Wish(PARAM_ADD_ADDRESS, _wildcard(address), address)], source=address, lookup=_wildcard(address))
        job.needs_source = job.for_nat = True
        if not wildcard and in_scope(address, self._context.paths.primary.route.address):  # there may be no NAT at all
            job.otherwise = plain
            plain.ticket = job.ticket
        return self._push(job)

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
        return self._push(Job([Wish(PARAM_DELETE_ADDRESS, address, address)]))

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
        job = Job(
            [
                Wish(PARAM_ADD_ADDRESS, _wildcard(new) if wildcard else new, new),
                Wish(PARAM_DELETE_ADDRESS, _wildcard(new) if wildcard else old, old),
            ],
            source=new,
            lookup=_wildcard(new) if wildcard else "" if is_renamed else old,
        )
        job.prefers_source = True
        job.needs_source = job.for_nat = wildcard
        return self._push(job)

    def request_primary(self, address: str) -> Ticket:
        """Ask the peer to send to this address of ours (section 5.4)."""
        address = self._ours(address)
        self._check(PARAM_SET_PRIMARY)
        return self._push(Job([Wish(PARAM_SET_PRIMARY, address)]))

    def recover(self, path: Path, local: str) -> Ticket:
        """A NAT on the way from this address of ours has forgotten the association: tell it, and the peer by what
        address it is reached now (draft natsupp sections 6.4.2 and 8.4).
        """
        self._check(PARAM_ADD_ADDRESS)
        wishes = [Wish(PARAM_ADD_ADDRESS, _wildcard(path.route.address))]
        ours = self._context.paths.local
        if len(ours.sources) + len(ours.arriving) < 2:  # else it would delete the others too
            wishes.append(Wish(PARAM_DELETE_ADDRESS, _wildcard(path.route.address)))
        return self.request(wishes, local, _wildcard(path.route.address), for_nat=True)

    def request(self, wishes: Sequence[Wish], source: str = "", lookup: str = "", for_nat: bool = False) -> Ticket:
        """Ask for all of these in one ASCONF. With `source` it leaves from there and nowhere else; `lookup` is its
        Address Parameter; `for_nat`: it has VTags, and Disable Restart where that was agreed on.
        """
        for wish in wishes:
            self._check(wish.kind)
        if not 1 <= len(wishes) <= MAX_REQUESTS // 2:
            raise ValueError(f"one ASCONF has 1 to {MAX_REQUESTS // 2} requests, not {len(wishes)}")
        job = Job(wishes, source, lookup)
        job.needs_source = bool(source)
        job.for_nat = for_nat
        return self._push(job)

    def _push(self, job: Job) -> Ticket:
        self._requests.push(job)
        return job.ticket

    def _check(self, kind: int) -> None:
        if self._context.state not in PERMITTED:
            raise AsconfError(f"addresses can't be changed in state {self._context.state.value}")
        if self._requests.refuses_all or kind in self._requests.refused_kinds:
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
        """Whether a NAT may call this address otherwise, and the peer is used to that (draft natsupp section 6.6). One
        may as well stand between two private networks.
        """
        return self._may_be_translated and is_translatable(address)

    @property
    def _may_be_translated(self) -> bool:
        """Whether both sides reckon with NATs."""
        setup = self._context.setup
        return setup is not None and setup.disable_restart

    def _check_way(self, source: str) -> None:
        """What has to leave from there needs an address of the peer that it can go to."""
        if not any(is_ipv4(path.route.address) == is_ipv4(source) for path in self._context.paths.paths):
            raise ValueError(f"no address of the peer can be reached from {source}")

    # What the peer says.

    def admit(self, datagram: bytes, route: Route) -> Path | None:
        """A packet with our tag from an address that is not the peer's: a path for it, if an ASCONF is in it that may
        make it the peer's (section 5.2 D2), or the answer to ours. `dismiss` follows.
        """
        if self._context.state not in PERMITTED or not in_scope(route.address, route.address):
            return None
        try:
            if not self._is_found(datagram, route) or not self._is_authentic(datagram):
                return None
        except Malformed:
            return None
        return self._peers.admit(route)

    def dismiss(self, path: Path) -> None:
        """The packet is done with."""
        self._peers.dismiss(path)

    def on_asconf(self, data: bytes, start: int, end: int, path: Path, route: Route) -> None:
        """ASCONF, authenticated."""
        self._answers.on_asconf(data, start, end, path, route)

    def on_asconf_ack(self, data: bytes, start: int, end: int) -> None:
        """ASCONF-ACK, authenticated."""
        number, responses = read_asconf_ack(data, start, end)
        self._requests.on_ack(number, responses)

    def on_error(self, found: tuple[Cause, ...]) -> None:
        """ERROR with these causes: section 5.1 A9."""
        for cause in found:
            if cause.code == CAUSE_UNRECOGNIZED_CHUNK and cause.info[:1] == _ASCONF:
                self._requests.refuse_all()

    def give_up_for_nat(self, reason: str, found: Sequence[Cause]) -> Ticket | None:
        """A NAT has refused the request under way that it was told of; that, if there is one (draft natsupp 6.2.2)."""
        return self._requests.give_up_for_nat(reason, found)

    def _is_found(self, datagram: bytes, route: Route) -> bool:
        """D2, D2-ext: whether the Address Parameter of one of its ASCONFs is an address of the peer, or a wildcard.

        Or was, when the same ASCONF came before: its sender has moved on and still waits for the answer. Or whether
        the answer is in it that we wait for: who moves as well has no other address to send that from.
        """
        for first16, _, start, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL):
            if first16 >> 8 == ASCONF_ACK and self._requests.awaits(read_asconf_ack(datagram, start, end)[0]):
                return True
            if first16 >> 8 == ASCONF:
                number, address = read_lookup(datagram, start, end)
                if address in WILDCARDS or self._answers.has_answered(number):
                    return True
                if address and self._context.paths.find(as_seen((address,), route.address)[0]) is not None:
                    return True
        return False

    def _is_authentic(self, datagram: bytes) -> bool:
        """D5: whether the ASCONF stands behind an AUTH chunk that is right; before anything is made for its sender."""
        keyring = self._context.keyring
        for first16, at, _, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL):
            if first16 >> 8 == AUTH:
                return keyring is not None and keyring.verify(datagram, at, end) == GENUINE
            if first16 >> 8 in (ASCONF, ASCONF_ACK):
                return False
        return False

    # What progress and time say.

    def flush(self) -> None:
        """A batch is over: answers leave, and the next request."""
        self._answers.flush()
        self._requests.flush()

    def expire(self) -> None:
        """The T4-rto timer has run out."""
        self._requests.expire()

    def end(self, reason: str) -> None:
        """The association has ended, or the peer has restarted it."""
        self._requests.give_up(reason)


_ASCONF: Final = bytes([ASCONF])


def _wildcard(address: str) -> str:
    return ANY_IPV4 if is_ipv4(address) else ANY_IPV6
