"""Many associations on one SCTP port: who gets a packet, who may set one up, what strangers are told (RFC 9260).

The endpoint reads headers, INIT and COOKIE ECHO; all else is the associations' own. It knows no sockets and no clock:
packets go to the outbox, and time comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from .association import Association, AssociationUser
from .config import Config
from .directory import Deadlines, Directory
from .handlers import capabilities
from .handlers.context import Random
from .handlers.cookie import CookieJar, OpenedCookie
from .handlers.handshake import acknowledge
from .handlers.state import COOKIE_ECHOED, COOKIE_WAIT
from .out_of_the_blue import Chunk, TokenBucket, answer, is_answer_reflected, is_unicast, read_chunks
from .outbox import Outbox
from .paths.encapsulation import Route, as_seen, normalize
from .sharing import Sharing
from .statistics import EndpointStatistics
from .wire import causes, control
from .wire.constants import (
    ABORT,
    COOKIE_ECHO,
    INIT,
    SHUTDOWN_ACK,
)
from .wire.init import Init, read_init
from .wire.packet import PREFIX_SIZE, Seal, checksum_ok, read_header
from .wire.tlv import Malformed

__all__ = ["Endpoint"]

_TAG_REST: Final = 240.0  # seconds: twice the two minutes that a packet may wander about
#: Answers to packets that belong to no association: so many a second, and so many at once.
_ANSWER_RATE: Final = 200.0
_ANSWER_BURST: Final = 400.0

@final
class Endpoint:
    """The SCTP instance behind one port (section 11.1.1)."""

    __slots__ = (
        "_accept",
        "_answers",
        "_cookies",
        "_deadlines",
        "_directory",
        "_local_addresses",
        "_random",
        "_sharing",
        "_touched",
        "config",
        "limit",
        "listening",
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
        accept: Callable[[Association], AssociationUser] | None = None,
        limit: int | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        """`accept` gives the user of each association that a peer sets up, before anything else happens to it.

        `sharing`: its part in a port that others have too.
        """
        if listening and accept is None:
            raise ValueError("an endpoint that listens needs to know whom its associations are for")
        self.config = config
        self.port = port
        self.listening = listening
        self.limit = limit
        self.outbox = Outbox() if outbox is None else outbox
        self.statistics = EndpointStatistics()
        self._accept = accept
        self._random = random
        self._local_addresses = tuple(dict.fromkeys(map(normalize, local_addresses)))
        self._sharing = sharing
        self._cookies = CookieJar(random, config.cookie_lifetime, None if sharing is None else sharing.cookie_secret)
        # A cookie used once must not be good for a second association: its tag rests for as long as it may live.
        tags = random if sharing is None else sharing.tags(random)
        self._directory = Directory(tags, max(_TAG_REST, 2 * config.cookie_lifetime))
        self._answers = TokenBucket(_ANSWER_RATE, _ANSWER_BURST)
        self._deadlines = Deadlines()
        #: An ordered set: what must be flushed after this batch.
        self._touched: dict[Association, None] = {}

    @property
    def associations(self) -> list[Association]:
        """Those that have not ended, the oldest first."""
        return self._directory.associations

    def find(self, address: str, port: int) -> Association | None:
        """The association with a peer at this address and SCTP port."""
        return self._directory.find_peer((normalize(address),), port)

    # What the user says.

    def connect(
        self,
        addresses: Sequence[str],
        port: int,
        now: float,
        user: AssociationUser,
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
        association = self._make(config, port, user)
        association.connect(addresses, config.udp_port if udp_port is None else udp_port, now)
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
        """The user did something with this association: it takes part in the next flush."""
        self._touched[association] = None

    # What the network and the clock say.

    def receive(self, datagram: bytes, route: Route, now: float, congestion_experienced: bool = False) -> None:
        """One SCTP packet, which came along this route; see `receive_batch`."""
        self.receive_batch([datagram], route, now, congestion_experienced)

    def receive_batch(
        self, datagrams: list[bytes], route: Route, now: float, congestion_experienced: bool = False
    ) -> None:
        """SCTP packets that came along one route together. The associations that they touch take part in `flush`."""
        directory = self._directory
        directory.now = now
        by_prefix = directory.by_prefix
        touched = None
        for datagram in datagrams:
            association = by_prefix.get(datagram[:PREFIX_SIZE])
            if association is not None:
                association.receive(datagram, route, now, congestion_experienced)
            else:
                try:
                    sharing = self._sharing
                    if sharing is not None and sharing.take(datagram, route, now, congestion_experienced, self):
                        self.statistics.handed_over += 1
                        continue
                    association = self._receive_stranger(datagram, route, now)
                except Malformed:
                    self.statistics.malformed_packets += 1
            if association is not None and association is not touched:
                self._touched[association] = None
                touched = association

    def flush(self, now: float) -> None:
        """Send what the packets and calls since the last flush gave rise to; due after every batch of packets."""
        self._directory.now = now
        while self._touched:
            touched = self._touched
            self._touched = {}
            for association in touched:
                association.flush(now)
                self._deadlines.note(association)

    def expire(self, now: float) -> None:
        """Time has come to `next_expiry`: the timers of those associations that are due."""
        self._directory.now = now
        for association in self._deadlines.take_due(now):
            association.expire(now)
            self._touched[association] = None
        self.flush(now)

    @property
    def next_expiry(self) -> float:
        """When to call `expire`, of the associations flushed here; never too late."""
        return self._deadlines.next_expiry()

    # What its associations say.

    def bind(self, association: Association) -> None:
        """Its tags, its peer's port or the peer's addresses are known, or are others than before."""
        self._directory.bind(association)

    def unbind(self, association: Association) -> None:
        """It has ended."""
        self._directory.unbind(association)
        self._deadlines.forget(association)

    def new_tag(self) -> int:
        """A tag for an association to be known by (section 5.3.1)."""
        return self._directory.new_tag()

    # Packets whose ports and tag are nobody's.

    def _receive_stranger(self, datagram: bytes, route: Route, now: float) -> Association | None:
        peer_port, port, tag = read_header(datagram)
        if not checksum_ok(datagram):
            self.statistics.checksum_errors += 1
            return None
        if peer_port == 0 or not is_unicast(route):
            self.statistics.out_of_the_blue += 1
            return None
        chunks = read_chunks(datagram)
        if port != self.port:
            self._at_another_port(datagram, chunks, (peer_port, port), tag, route, now)
            return None
        if any(chunk.kind == INIT for chunk in chunks) or tag == 0:
            # Section 8.5.1 A: tag 0 and INIT belong together, and with nothing else.
            if tag == 0 and len(chunks) == 1 and chunks[0].kind == INIT:
                init = read_init(datagram, chunks[0].start, chunks[0].end)
                init = init._replace(addresses=as_seen(init.addresses, route.address))
                return self._on_init(init, peer_port, route, now)
            self.statistics.malformed_packets += 1
            return None
        if chunks and chunks[0].kind == COOKIE_ECHO and not any(chunk.kind == ABORT for chunk in chunks):
            cookie = datagram[chunks[0].start : chunks[0].end]
            association = self._on_cookie_echo(cookie, (peer_port, tag), route, now)
            if association is not None:
                # Section 5.1.5 step 7: what follows the COOKIE ECHO is for the association that it made.
                association.receive_rest(datagram, chunks[0].end + 3 & ~3, route, now)
            return association
        known = list(self._directory.peers_at((route.address,), peer_port))
        if known:
            return self._on_other_tag(known, datagram, chunks, tag, route, now)
        self._out_of_the_blue(datagram, chunks, peer_port, tag, route, now)
        return None

    def _on_other_tag(
        self, known: list[Association], datagram: bytes, chunks: list[Chunk], tag: int, route: Route, now: float
    ) -> Association | None:
        """A packet of a peer that we know, with a tag that is not ours: section 8.5, and the exceptions of 8.5.1."""
        association = known[0]
        for each in known:
            # B and C: the peer has no TCB any more, and reflects the tag that we send with. 0 is that of no packet.
            # Draft natsupp section 6.4.1: so does a NAT that has lost its state.
            if tag == each.context.peer_tag != 0:
                association = each
                for kind, flags, start, end in chunks:
                    if is_answer_reflected(kind, flags):
                        association.receive_reflected(kind, flags, datagram[start:end], route, now)
                        return association
        # E: it still shuts down the association before this one.
        if association.state in (COOKIE_WAIT, COOKIE_ECHOED) and any(chunk.kind == SHUTDOWN_ACK for chunk in chunks):
            self._out_of_the_blue(datagram, chunks, association.context.peer_port, tag, route, now)
            return None
        association.statistics.bad_tags += 1
        return None

    def _out_of_the_blue(
        self, datagram: bytes, chunks: list[Chunk], peer_port: int, tag: int, route: Route, now: float
    ) -> None:
        self.statistics.out_of_the_blue += 1
        body = answer(datagram, chunks)
        if body is not None:
            self._answer(route, peer_port, tag, body, now)

    def _at_another_port(
        self, datagram: bytes, chunks: list[Chunk], ports: tuple[int, int], tag: int, route: Route, now: float
    ) -> None:
        """A packet for an SCTP port where nobody is: section 8.4, rule 3 for an INIT."""
        self.statistics.out_of_the_blue += 1
        body = answer(datagram, chunks)
        if tag == 0 and len(chunks) == 1 and chunks[0].kind == INIT:
            tag = read_init(datagram, chunks[0].start, chunks[0].end).initiate_tag
            body = control.pack_abort()
        if body is not None and tag:
            peer_port, port = ports
            self._answer(route, peer_port, tag, body, now, port)

    # INIT and COOKIE ECHO.

    def _on_init(self, init: Init, peer_port: int, route: Route, now: float) -> Association | None:
        """INIT: sections 5.1 B, 5.2.1 and 5.2.2. Nothing is remembered of it."""
        self.statistics.inits_received += 1
        tag = init.initiate_tag
        if tag == 0:  # section 3.3.2
            self.statistics.malformed_packets += 1
            return None
        cause = capabilities.flaw(init, False, self.config)
        if cause:
            self._refuse(route, peer_port, tag, cause, now)
            return None
        # Section 5.1.2 D: any of its addresses tells which association it is about.
        association = self._concerned((route.address, *init.addresses), peer_port, tag)
        if association is not None:
            reply = association.on_init(init, route, self._directory.new_tag(), now)
            if reply is not None and reply.body[0] == ABORT:
                self._answer(reply.route, peer_port, reply.tag, reply.body, now)
            elif reply is not None:
                self._send(reply.route, peer_port, reply.tag, reply.body)
            return association
        if not self.listening:
            self._refuse(route, peer_port, tag, b"", now)
        elif self._is_full():
            self._refuse(route, peer_port, tag, causes.pack_out_of_resource(), now)
        else:
            listed = capabilities.lists(self._local_addresses, route.address, init)
            if self.config.nat_support and init.disable_restart:
                listed = capabilities.without_private(listed)
            tag_and_tsn = self._directory.new_tag(), self._random.bits(32)
            auth_random = capabilities.nonce(self.config, self._random)
            ours = capabilities.offer(self.config, *tag_and_tsn, listed, auth_random)
            addresses = capabilities.peer_addresses(init, route.address, self._local_addresses)
            setup = capabilities.agree(ours, init, (self.port, peer_port), route, addresses)
            self._send(route, peer_port, tag, acknowledge(ours, init, setup, self._cookies, now))
        return None

    def _on_cookie_echo(
        self, cookie: bytes, peer_port_and_tag: tuple[int, int], route: Route, now: float
    ) -> Association | None:
        """COOKIE ECHO under a tag that nobody has (sections 5.1.5, 5.2.4); the association that takes the packet."""
        opened = self._cookies.open(cookie, now, route.address)
        if opened is None or not self._is_returned(opened, peer_port_and_tag, route):
            self.statistics.cookies_rejected += 1
            return None
        setup = opened.setup
        association = self._concerned((route.address, *setup.addresses), setup.peer_port, setup.peer_tag)
        if association is not None:
            accepted = association.on_opened_cookie(opened, route, now)
            self._touched[association] = None
            return association if accepted else None
        if opened.staleness_us:
            self.statistics.stale_cookies += 1
            body = control.pack_error(causes.pack_stale_cookie(opened.staleness_us))
            self._answer(route, setup.peer_port, setup.peer_tag, body, now)
        elif self._directory.rests(setup.local_tag) or self._accept is None or not self.listening:
            # It was used, and that association has ended; or nobody listens any more.
            self._refuse(route, setup.peer_port, setup.peer_tag, b"", now)
        elif self._is_full():
            self._refuse(route, setup.peer_port, setup.peer_tag, causes.pack_out_of_resource(), now)
        else:
            self.statistics.cookies_accepted += 1
            association = self._make(self.config, setup.peer_port, AssociationUser())
            association.user = self._accept(association)
            association.accept(setup, route, now)
        return association

    def _is_returned(self, opened: OpenedCookie, peer_port_and_tag: tuple[int, int], route: Route) -> bool:
        """Whether a cookie came back from where it was sent to (section 5.1.5 step 3, RFC 5062 section 7)."""
        setup = opened.setup
        return (
            setup.local_port == self.port
            and (setup.peer_port, setup.local_tag) == peer_port_and_tag
            and route.address in setup.addresses
        )

    # Steps.

    def _concerned(self, addresses: Sequence[str], port: int, peer_tag: int) -> Association | None:
        """The association that an INIT, or a cookie for another tag than ours, is about: one with that peer.

        Draft natsupp section 6.3.2: where restarts are disabled, another tag of the peer means another peer, behind the
        same NAT.
        """
        for association in self._directory.peers_at(addresses, port):
            setup = association.context.setup
            if setup is None or not setup.disable_restart or association.context.peer_tag == peer_tag:
                return association
        return None

    def _is_full(self) -> bool:
        return self.limit is not None and len(self._directory) >= self.limit

    def _make(self, config: Config, peer_port: int, user: AssociationUser) -> Association:
        return Association(
            config, self._random, self.port, peer_port, self._local_addresses, user, self, self._cookies, self.outbox
        )

    def _refuse(self, route: Route, peer_port: int, tag: int, cause: bytes, now: float) -> None:
        """ABORT to someone who wants an association; the tag is the peer's own (sections 5.1 and 8.4 rule 3)."""
        self.statistics.associations_refused += 1
        self._answer(route, peer_port, tag, control.pack_abort(cause), now)

    def _answer(self, route: Route, peer_port: int, tag: int, body: bytes, now: float, port: int = 0) -> None:
        if self._answers.take(now):
            self._send(route, peer_port, tag, body, port)
        else:
            self.statistics.answers_suppressed += 1

    def _send(self, route: Route, peer_port: int, tag: int, body: bytes, port: int = 0) -> None:
        # Draft udp-encaps-cons section 3: to the UDP port that the packet came from.
        self.outbox.add(route, [Seal(port or self.port, peer_port, tag).pack(body)])
