"""Setting an association up (RFC 9260 section 5.1): the side that associates, and the answer to an INIT.

The side that associates has a `Handshake`, which lives until the association is established. The other side keeps
nothing between INIT and COOKIE ECHO: it answers by `acknowledge`, and `endpoint` makes the association from the cookie.
What INIT and INIT ACK say, and what is wrong with them, is known to `negotiation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import AssociationAborted, AssociationRefused, AssociationTimeout, Cause
from ...paths.path import Path
from ...paths.path_manager import PathManager
from ...paths.route import Route, as_seen
from ...timers import T1_COOKIE, T1_INIT
from ...wire import causes, constants, control, tlv
from ...wire.auth import is_longer
from ...wire.constants import CAUSE_OUT_OF_RESOURCE, CAUSE_UNRECOGNIZED_PARAMETERS, ERROR, INIT_ACK
from ...wire.init import Init, pack_init, pack_init_ack, pack_unrecognized
from ..context import Context
from ..paths.reachability import OF_DATA, count_timeout
from ..state import ASSOCIATE, COOKIE_ECHOED, COOKIE_WAIT, ON_INIT_ACK, ON_STALE_COOKIE
from . import negotiation
from .cookie import NO_TIE_TAGS, CookieJar
from .negotiation import Setup

_NO_TAG: Final = 0  # section 8.5.1 A: of every packet with an INIT
_LONGEST_MARGIN: Final = 1.0  # section 5.2.6: what a Cookie Preservative may ask for beyond the round trip, in seconds

#: What the user can do about the causes of a refusal.
_HINTS: Final = {
    constants.CAUSE_PORT_COLLISION: (
        "another host behind the same NAT uses our SCTP port with this peer: take another local port"
    ),
    constants.CAUSE_OUT_OF_RESOURCE: "it takes no more associations now",
    constants.CAUSE_RESTART_NEW_ADDRESSES: (
        "it still has an association with one of our addresses but not with the others"
    ),
    constants.CAUSE_NEW_ENCAPSULATION_PORT: (
        "it expects our packets from another UDP encapsulation port: use that one as the local UDP port, or allow ours"
        " at the peer (Linux: sysctl net.sctp.encap_port or the socket option SCTP_REMOTE_UDP_ENCAPS_PORT), or wait"
        " until the old association between these addresses and ports has ended there"
    ),
}


def acknowledge(
    ours: Init,
    theirs: Init,
    setup: Setup,
    cookies: CookieJar,
    now: float,
    space: int,
    tie_tags: tuple[int, int] = NO_TIE_TAGS,
    lifetime: float | None = None,
) -> bytes:
    """Return the INIT ACK for an INIT, with the whole of the setup in its cookie (section 5.1 B), for a packet with so
    many bytes of space; an ABORT where the peer says more of authentication than these hold.

    Section 12.4: as small as may be. What the peer does not know it is not told; unknown parameters are reported as far
    as there is space, and addresses of the peer are recorded likewise. What is too large by what we have to say
    ourselves is sent nevertheless.
    """
    extension = theirs.preservative_ms / 1000
    says_auth = theirs.auth is not None
    streams = setup.outgoing_streams  # section 3.3.3: no more than the INIT allows
    cookie = cookies.seal(setup, now, tie_tags, extension, lifetime)
    chunk = pack_init_ack(ours, cookie, streams, setup.ecn, setup.extensions.types, says_auth)
    if len(chunk) > space and len(setup.addresses) > 1:
        for kept in (setup.addresses, setup.addresses[:1]):
            fewer = setup._replace(addresses=kept, further=(), lists_more=True, preferred=setup.preferred % len(kept))
            cookie = cookies.seal(fewer, now, tie_tags, extension, lifetime)
            chunk = pack_init_ack(ours, cookie, streams, setup.ecn, setup.extensions.types, says_auth)
            if len(chunk) <= space:
                return chunk
    if len(chunk) > space and setup.auth is not None and is_longer(setup.auth[1], setup.auth[0]):
        return control.pack_abort(causes.pack_cause(CAUSE_OUT_OF_RESOURCE))
    if not theirs.unrecognized:
        return chunk
    reports = tlv.take_whole(map(pack_unrecognized, theirs.unrecognized), space - len(chunk))
    return tlv.pack_enclosing(INIT_ACK << 8, b"".join(reports), chunk[tlv.HEADER_SIZE :]) if reports else chunk


def adopt(paths: PathManager, setup: Setup) -> None:
    """Take the peer's addresses for what the handshake says they are, no more and no fewer (section 5.1.2)."""
    for address in setup.addresses:
        path = paths.add(address)
        if path is not None and path.route.udp_port != setup.udp_port:
            paths.learn(path, path.route._replace(udp_port=setup.udp_port))
    paths.retain(setup.addresses)


@final
class Handshake:
    """The side that associates, in COOKIE-WAIT and COOKIE-ECHOED."""

    __slots__ = (
        "_collisions",
        "_context",
        "_cookie_echo",
        "_local_addresses",
        "_path",
        "_retransmissions",
        "_sent_at",
        "_stale_cookies",
        "offer",
        "setup",
    )

    def __init__(self, context: Context, local_addresses: Sequence[str], tag: int) -> None:
        """`tag` is the one that the peer will send to us with."""
        self._context = context
        self._local_addresses = local_addresses
        self._path: Path = context.paths.primary
        self._retransmissions = 0  # of the INIT, then of the COOKIE ECHO
        self._sent_at = 0.0
        self._stale_cookies = 0
        self._collisions = 0  # with others behind the same NAT
        #: What our INIT says; an INIT ACK in answer to the peer's own INIT says the same (section 5.2.1).
        self.offer = negotiation.offer(context.config, context.random, tag, local_addresses, self._path.route.address)
        self.setup: Setup | None = None  # what the INIT ACK has brought
        self._cookie_echo = b""  # what answers it

    # What the user says.

    def associate(self) -> None:
        """Send the INIT (section 5.1 A)."""
        context = self._context
        context.local_tag = self.offer.initiate_tag
        context.change(ASSOCIATE)
        self._send_init()

    # What the peer says.

    def on_init_ack(self, init: Init, source: Route) -> None:
        """Send the COOKIE ECHO for an INIT ACK, which came in a packet with our tag (section 5.1 C)."""
        context = self._context
        paths = context.paths
        if init.addresses:
            init = init._replace(addresses=as_seen(init.addresses, source.address))
        # Section 5.2.3: of no meaning in other states. Section 5.1.2 D: one of its addresses must be ours to know.
        if context.state is not COOKIE_WAIT or not any(map(paths.find, (source.address, *init.addresses))):
            context.statistics.unexpected_chunks += 1
            return
        context.peer_tag = init.initiate_tag
        cause = negotiation.flaw(init, True, context.config, self.offer)
        if cause is not None:  # erratum 7148, sections 3.3.3 and 5.1: the TCB goes
            self._reject(source, cause)
            return
        known = [path.route.address for path in paths.paths]
        addresses = negotiation.peer_addresses(init, source.address, self._local_addresses, known)
        ports = (context.local_port, context.peer_port)
        self.setup = negotiation.agree(self.offer, init, ports, source, addresses)
        adopt(paths, self.setup)
        context.take_keys(self.setup)
        self._choose_path(source)
        context.timers.stop(T1_INIT)
        context.change(ON_INIT_ACK)
        self._retransmissions = 0
        self._cookie_echo = control.pack_cookie_echo(init.cookie or b"")
        if init.unrecognized:
            # Section 3.2.2: reported beside the COOKIE ECHO, which comes first; never at the price of a packet too
            # large.
            report = control.pack_error(causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, init.unrecognized))
            if len(self._cookie_echo) + len(report) <= context.space(self._path, ERROR):
                self._cookie_echo += report
        self._send_cookie_echo()

    def on_cookie_ack(self) -> None:
        """Establish the association (section 5.1 E; section 5.2.5 in other states)."""
        context = self._context
        if context.state is not COOKIE_ECHOED or self.setup is None:
            context.statistics.unexpected_chunks += 1
            return
        context.timers.stop(T1_COOKIE)
        self._answered(self._path)
        context.owner.establish(self.setup)

    def on_error(self, found: Sequence[Cause]) -> None:
        """Take in an ERROR: one says that our cookie is stale, and nothing else is of meaning here (section 5.2.6)."""
        stale = next((cause for cause in found if cause.code == constants.CAUSE_STALE_COOKIE), None)
        if stale is not None and self._context.state is COOKIE_ECHOED:
            self._on_stale_cookie(stale)

    def _on_stale_cookie(self, cause: Cause) -> None:
        """Ask for a cookie that lives longer (section 5.2.6, option 3), as often as INITs may be retransmitted."""
        context = self._context
        staleness = causes.read_staleness(cause.info) / 1_000_000
        margin = min(staleness, _LONGEST_MARGIN) if staleness else _LONGEST_MARGIN
        extension = context.now - self._sent_at + margin
        self._stale_cookies += 1
        context.timers.stop(T1_COOKIE)
        if self._stale_cookies > context.config.init_max_retrans:
            text = f"{self._peer()} found {self._stale_cookies} cookies stale; is its cookie lifetime too short?"
            context.owner.end(AssociationRefused(text, (cause,)))
            return
        context.change(ON_STALE_COOKIE)
        context.peer_tag = 0
        context.keyring = None
        self.setup = None
        self._retransmissions = 0
        self.offer = self.offer._replace(preservative_ms=int(extension * 1000))
        self._send_init()

    def on_collision(self, found: Sequence[Cause]) -> None:
        """Try another tag after the ABORT of a NAT, which has another association with ours (draft natsupp sections
        6.2.2 and 6.3); give up if it is the port.
        """
        context = self._context
        if context.state is not COOKIE_WAIT:
            return
        codes = [cause.code for cause in found]
        if constants.CAUSE_VTAG_COLLISION in codes and self._collisions < context.config.init_max_retrans:
            self._collisions += 1
            context.owner.change_tag(context.owner.new_tag())
            self.offer = self.offer._replace(initiate_tag=context.local_tag)
            self._retransmissions = 0
            self._send_init()
        elif constants.CAUSE_VTAG_COLLISION in codes or constants.CAUSE_PORT_COLLISION in codes:
            self.on_abort(found)

    def on_abort(self, found: Sequence[Cause]) -> None:
        """End the association, which the peer has refused for these causes."""
        reasons = [f"{cause} ({_HINTS[cause.code]})" if cause.code in _HINTS else str(cause) for cause in found]
        reason = "; ".join(reasons) or "does it listen on that SCTP port?"
        self._context.owner.end(AssociationRefused(f"{self._peer()} refused the association: {reason}", found))

    # What time says.

    def expire_t1(self) -> None:
        """Send the INIT (T1-init) or the COOKIE ECHO (T1-cookie) again, to the peer's next address (sections 5.1 and
        6.3.3), or give up after one time-out too many.
        """
        context = self._context
        paths = context.paths
        sends_init = context.state is COOKIE_WAIT
        self._retransmissions += 1
        if self._retransmissions > context.config.init_max_retrans:
            chunk = "INIT" if sends_init else "COOKIE ECHO"
            text = f"{self._peer()} did not answer {self._retransmissions} {chunk} chunks"
            if sends_init:
                text += f"; does it take SCTP packets on UDP port {self._path.route.udp_port}?"
            context.owner.end(AssociationTimeout(text))
            return
        count_timeout(context, self._path, OF_DATA, counts=False)
        paths.judge(self._path)
        self._path = paths.retransmit_path(self._path.path_id)
        if sends_init:
            self._send_init()
        else:
            self._send_cookie_echo()

    # Steps.

    def _send_init(self) -> None:
        context = self._context
        context.transmit(pack_init(self.offer, ack=False), self._path.path_id, _NO_TAG)
        self._start(T1_INIT)

    def _send_cookie_echo(self) -> None:
        self._context.transmit(self._cookie_echo, self._path.path_id, self._context.peer_tag)
        self._start(T1_COOKIE)

    def _start(self, timer: int) -> None:
        self._sent_at = now = self._context.now
        self._context.timers.start(timer, now + self._path.rto.rto)

    def _answered(self, path: Path) -> None:
        """Note that the path works, and its round trip if we asked once (rule C5 of section 6.3.1)."""
        context = self._context
        context.paths.clear_errors()
        context.paths.recover(path)
        if self._retransmissions == 0 and path is self._path:
            path.on_rtt(context.now - self._sent_at, context.now)

    def _choose_path(self, source: Route) -> None:
        """Take the path that works as the primary. Section 5.4: a COOKIE ECHO goes to a CONFIRMED address."""
        paths = self._context.paths
        answered = paths.find(source.address)
        if answered is None:  # it listed an address that we know, but we have none of the family that it answered from
            self._path = paths.data_path()
        else:
            self._answered(answered)
            self._path = paths.reply_path(answered)
        if self._path is not paths.primary:
            paths.set_primary(self._path.route.address)

    def _reject(self, source: Route, cause: bytes) -> None:
        context = self._context
        path = context.paths.find(source.address) or self._path
        # Section 3.3.3: where the INIT ACK gives no tag, the ABORT reflects ours.
        reflected = context.peer_tag == 0
        context.transmit(control.pack_abort(cause, reflected), path.path_id, context.peer_tag or context.local_tag)
        found = causes.read_causes(cause, 0, len(cause))
        reason = str(found[0]) if found else "an initiate tag of 0"
        context.owner.end(AssociationAborted(f"the INIT ACK of {self._peer()} is not valid: {reason}", found))

    def _peer(self) -> str:
        addresses = ", ".join(path.route.address for path in self._context.paths.paths)
        return f"the peer at {addresses} port {self._context.peer_port}"
