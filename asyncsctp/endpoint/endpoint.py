"""Many associations on one SCTP port: which of them gets a packet, and when each is due (RFC 9260 section 11.1.1).

The endpoint looks at tags alone, and decides whether associations are taken. Packets that belong to none of those that
there are go to `out_of_the_blue`. It knows no sockets and no clock: packets go to the outbox, and time comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..association.association import Association, MakeUser
from ..association.lifecycle import Shared
from ..association.outbox import Outbox
from ..association.user import AssociationUser
from ..config import Config
from ..handlers.setup import negotiation
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.handshake import acknowledge
from ..handlers.setup.negotiation import Setup
from ..inbound.receive_window import Budget
from ..paths.encapsulation import usual_space
from ..paths.local_addresses import known_to_client
from ..paths.route import Route, is_ipv4, normalize
from ..random_source import Random
from ..statistics import EndpointStatistics
from ..wire import causes, control
from ..wire.constants import CAUSE_OUT_OF_RESOURCE
from ..wire.init import Init
from ..wire.packet import PREFIX_SIZE
from ..wire.tlv import Malformed
from .directory import Deadlines, Directory
from .out_of_the_blue import OutOfTheBlue
from .port_sharing import Sharing

_MOST_WAITING: Final = 256  # more than comes in one turn of the loop
_TAG_REST: Final = 240.0  # seconds: twice the two minutes that a packet may wander about


@final
class Endpoint:
    """The SCTP instance behind one port (section 11.1.1)."""

    __slots__ = (
        "_accept",
        "_deadlines",
        "_directory",
        "_out_of_the_blue",
        "_shared",
        "_sharing",
        "_touched",
        "_waiting",
        "budget",
        "config",
        "limit",
        "listening",
        "local_addresses",
        "outbox",
        "port",
        "statistics",
    )

    def __init__(
        self,
        config: Config,
        *,
        port: int,
        local_addresses: Sequence[str],
        random: Random,
        outbox: Outbox | None = None,
        listening: bool = False,
        accept: MakeUser | None = None,
        limit: int | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        """Make an endpoint; `accept` gives the user of each association that a peer sets up, before all else.

        `limit`: the most associations; None: any number. `sharing`: its part in a port that others have too.
        """
        if listening and accept is None:
            raise ValueError("an endpoint that listens needs to know whom its associations are for")
        self.config = config
        self.budget = Budget(config.budget)
        self.port = port
        self.listening = listening
        self.limit = limit
        self.outbox = Outbox() if outbox is None else outbox
        self.statistics = EndpointStatistics()
        self._accept = accept
        #: Of associations to come. Those that there are ask their peers for others by `Association.asconf`.
        self.local_addresses = tuple(dict.fromkeys(map(normalize, local_addresses)))
        self._sharing = sharing
        cookies = CookieJar(random, config.cookie_lifetime, None if sharing is None else sharing.cookie_secret)
        # A cookie used once must not be good for a second association: its tag rests for as long as it may live.
        tags = random if sharing is None else sharing.tags(random)
        self._deadlines = Deadlines()
        self._directory = Directory(tags, max(_TAG_REST, 2 * config.cookie_lifetime), self._deadlines)
        self._shared = Shared(self._directory, port, random, cookies, self.budget, self.outbox)
        self._out_of_the_blue: OutOfTheBlue | None = None  # made by the first packet that belongs to no association
        #: An ordered set: what must be flushed after this batch.
        self._touched: dict[Association, None] = {}
        #: Packets that belong to none of the associations.
        self._waiting: list[tuple[bytes, Route, bool]] = []

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return self._directory.associations

    def find(self, address: str, port: int, tag: int = 0) -> Association | None:
        """Return the association with a peer at this address and SCTP port, or None; of several behind one NAT the one
        whose peer has this tag, or else the first.
        """
        found = list(self._directory.peers_at((normalize(address),), port))
        return next((each for each in found if each.context.peer_tag == tag), found[0] if found else None)

    # What the user says.

    def connect(
        self,
        addresses: Sequence[str],
        port: int,
        now: float,
        user: AssociationUser | MakeUser,
        config: Config | None = None,
        udp_port: int | None = None,
    ) -> Association:
        """Begin to set up an association with the peer that has these addresses (section 11.1.2)."""
        if not addresses:
            raise ValueError("an association needs an address of the peer")
        if not 1 <= port <= 65535:
            raise ValueError(f"an SCTP port is between 1 and 65535, not {port!r}")
        config = config or self.config
        addresses = tuple(dict.fromkeys(map(normalize, addresses)))
        self._directory.now = now
        if self._directory.find_peer(addresses, port) is not None:
            raise ValueError(f"there is an association with {', '.join(addresses)} port {port} already")
        udp_port = config.udp_port if udp_port is None else udp_port
        association = Association.connect(
            self._shared, config, user, self.local_addresses, addresses, port, udp_port, now
        )
        self._touched[association] = None
        return association

    def close(self, now: float, reason: bytes = b"") -> None:
        """Take no more associations, and abort those that there are."""
        self.listening = False
        self._directory.now = now
        for association in self._directory.associations:
            association.abort(now, reason)
            self._touched[association] = None
        self.flush(now)

    def touch(self, association: Association) -> None:
        """Let an association that the user did something with take part in the next flush."""
        self._touched[association] = None

    # What the network and the clock say.

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool = False) -> None:
        """Take in one SCTP packet, which came along this route; see `receive_batch`."""
        self.receive_batch([datagram], route, now, congestion_experienced)

    def receive_batch(
        self, datagrams: list[bytes], route: Route, now: float, congestion_experienced: bool = False
    ) -> None:
        """Take in SCTP packets that came along one route together. The associations that they touch take part in
        `flush`, and what belongs to none of them is looked at after these.
        """
        directory = self._directory
        directory.now = now
        by_prefix = directory.by_prefix
        touched = None
        for datagram in datagrams:
            association = by_prefix.get(datagram[:PREFIX_SIZE])
            if association is None:
                self._put_off(datagram, route, now, congestion_experienced)
                continue
            association.receive(datagram, route, now, congestion_experienced)
            if association is not touched:
                self._touched[association] = None
                touched = association

    def _put_off(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool) -> None:
        """Let a packet of none of the associations wait until these have been served (section 12.2.4.1)."""
        try:
            sharing = self._sharing
            if sharing is not None and sharing.take(
                datagram, route, now, congestion_experienced, self._directory, self.listening
            ):
                self.statistics.handed_over += 1
            elif len(self._waiting) < _MOST_WAITING:
                self._waiting.append((datagram, route, congestion_experienced))
            else:
                self.statistics.answers_suppressed += 1
        except Malformed:
            self.statistics.malformed_packets += 1

    def _attend(self, now: float) -> None:
        """Turn to those that have waited, in the order in which they came."""
        waiting = self._waiting
        self._waiting = []
        for datagram, route, congestion_experienced in waiting:
            association = self._directory.by_prefix.get(datagram[:PREFIX_SIZE])
            if association is not None:  # a COOKIE ECHO among these has made it
                association.receive(datagram, route, now, congestion_experienced)
            else:
                try:
                    if self._out_of_the_blue is None:
                        self._out_of_the_blue = OutOfTheBlue(
                            self.config,
                            self._shared,
                            self._directory,
                            self.statistics,
                            self._answer_init,
                            self._accept_cookie,
                        )
                    association = self._out_of_the_blue.receive(datagram, route, now)
                except Malformed:
                    self.statistics.malformed_packets += 1
            if association is not None:
                self._touched[association] = None

    def flush(self, now: float) -> None:
        """Send what the packets and calls since the last flush gave rise to; due after every batch of packets."""
        self._directory.now = now
        if self._touched:
            self._flush_touched(now)
        if self._waiting:
            self._attend(now)
            self._flush_touched(now)

    def _flush_touched(self, now: float) -> None:
        while self._touched:
            touched = self._touched
            self._touched = {}
            for association in touched:
                association.flush(now)
                self._deadlines.note(association)

    def expire(self, now: float) -> None:
        """Let the timers of those associations run out that are due: `next_expiry` has come."""
        self._directory.now = now
        for association in self._deadlines.take_due(now):
            association.expire(now)
            self._touched[association] = None
        self.flush(now)

    @property
    def next_expiry(self) -> float:
        """The time at which to call `expire`, as of the last flush; never too late."""
        return self._deadlines.next_expiry()

    # Who wants an association (RFC 9260 section 5.1).

    def _refusal(self) -> bytes | None:
        """Return the cause, packed or empty, for which no association is taken now; None if one is."""
        if not self.listening or self._accept is None:
            return b""
        # Those that wait for nothing but SHUTDOWN COMPLETE don't count.
        is_full = self.limit is not None and len(self._directory) - len(self._directory.leaving) >= self.limit
        return causes.pack_cause(CAUSE_OUT_OF_RESOURCE) if is_full else None

    def _answer_init(self, init: Init, peer_port: int, route: Route, now: float) -> bytes:
        """Return the INIT ACK for the INIT of a peer without an association (section 5.1 B), or an ABORT."""
        cause = self._refusal()
        if cause is not None:  # section 8.4 rule 3
            self.statistics.associations_refused += 1
            return control.pack_abort(cause)
        config, local, shared = self.config, self.local_addresses, self._shared
        ours = negotiation.offer(config, shared.random, self._directory.new_tag(), local, route.address, init)
        addresses = negotiation.peer_addresses(init, route.address, local)
        setup = negotiation.agree(ours, init, (self.port, peer_port), route, addresses)
        return acknowledge(ours, init, setup, shared.cookies, now, usual_space(config.mtu, route.address))

    def _accept_cookie(self, setup: Setup, route: Route, now: float) -> Association | bytes:
        """Make the association that a cookie describes which came along this route (section 5.1 D), or return an ABORT.

        Section 5.4 rule 2: the address that the INIT ACK went to alone is CONFIRMED, and one of ours must be for it.
        That may be gone, or not known to a client whose cookie comes along another route.
        """
        known = known_to_client(self.local_addresses, route.local, setup.disable_restart)
        is_reachable = any(is_ipv4(local) == is_ipv4(setup.addresses[0]) for local in known)
        # If the tag rests, the cookie was used, and that association has ended.
        is_usable = is_reachable and not self._directory.rests(setup.local_tag)
        cause = self._refusal() if is_usable else b""
        if cause is not None or self._accept is None:
            self.statistics.associations_refused += 1
            return control.pack_abort(cause or b"")
        self.statistics.cookies_accepted += 1
        if self.limit is not None and len(self._directory) >= self.limit:
            for leaving in self._directory.leaving:  # the one that has waited longest
                leaving.leave(now)
                break
        return Association.accept(self._shared, self.config, self._accept, known, setup, route, now)
