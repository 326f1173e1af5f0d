"""Many associations on one SCTP port: who gets a packet, who may set one up, what strangers are told (RFC 9260).

The endpoint reads headers, INIT and COOKIE ECHO; all else is the associations' own. It knows no sockets and no clock:
packets go to the outbox, and time comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from struct import Struct
from typing import Final, final

from .association import Association, AssociationUser
from .config import Config
from .handlers import capabilities
from .handlers.auth import admits
from .handlers.context import Random, Setup
from .handlers.cookie import CookieJar
from .handlers.handshake import acknowledge
from .handlers.state import COOKIE_ECHOED, COOKIE_WAIT
from .out_of_the_blue import Chunk, TokenBucket, answer, is_unicast, read_chunks
from .outbox import Outbox
from .paths.encapsulation import Route, as_seen, normalize
from .sharing import Sharing
from .statistics import EndpointStatistics
from .timers import NEVER
from .wire import causes, control
from .wire.constants import (
    ABORT,
    AUTH,
    COOKIE_ECHO,
    FLAG_TAG_REFLECTED,
    INIT,
    SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE,
)
from .wire.init import Init, read_init
from .wire.packet import PREFIX_SIZE, Seal, checksum_ok, read_header
from .wire.tlv import HEADER_SIZE, Malformed

__all__ = ["Directory", "Endpoint"]

_TAG_BITS: Final = 32
_TAG_REST: Final = 240.0  # seconds: twice the two minutes that a packet may wander about
_MOST_RESTING: Final = 1 << 16
#: Answers to packets that belong to no association: so many a second, and so many at once.
_ANSWER_RATE: Final = 200.0
_ANSWER_BURST: Final = 400.0
_SPARE_DEADLINES: Final = 64

_tag_of: Final = Struct("!I").unpack_from


@final
class Directory:
    """The associations of one endpoint, by tag and ports and by the peer's addresses, and the tags that must rest."""

    __slots__ = ("_by_address", "_keys", "_random", "_rest", "_resting", "_tags", "by_prefix", "now")

    def __init__(self, random: Random, rest: float) -> None:
        self._random = random
        self._rest = rest
        #: The association that a packet with these first bytes belongs to.
        self.by_prefix: dict[bytes, Association] = {}
        self._by_address: dict[tuple[str, int], Association] = {}
        #: What each association is found by, as it was when it was bound last.
        self._keys: dict[Association, tuple[bytes, list[tuple[str, int]]]] = {}
        self._tags: set[int] = set()
        self._resting: dict[int, float] = {}
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def associations(self) -> list[Association]:
        """All of them, the oldest first."""
        return list(self._keys)

    def bind(self, association: Association) -> None:
        """Its tags, its peer's port or the peer's addresses are known, or are others than before."""
        prefix = association.prefix
        port = association.context.peer_port
        addresses = [(path.route.address, port) for path in association.path_manager.paths]
        if self._keys.get(association) == (prefix, addresses):
            return
        self._drop_keys(association)
        self._keys[association] = (prefix, addresses)
        self.by_prefix[prefix] = association
        self._tags.add(_tag(prefix))
        self._resting.pop(_tag(prefix), None)
        for key in addresses:
            # Two can't have the same: who has it keeps it, whatever another peer claims to be (RFC 5062 section 2).
            self._by_address.setdefault(key, association)

    def unbind(self, association: Association) -> None:
        """The association has ended. Section 5.3.1: its tag rests until nothing of it can be under way any more."""
        if association in self._keys:
            self._drop_keys(association)
            del self._keys[association]

    def find_peer(self, addresses: Sequence[str], port: int) -> Association | None:
        """The association with a peer at this port of any of these addresses; the first that is known counts."""
        for address in addresses:
            association = self._by_address.get((address, port))
            if association is not None:
                return association
        return None

    def new_tag(self) -> int:
        """A tag that no association of this endpoint has or had a short while ago (section 5.3.1)."""
        while True:
            tag = self._random.bits(_TAG_BITS)
            if tag and tag not in self._tags and tag not in self._resting:
                return tag

    def rests(self, tag: int) -> bool:
        """Whether the tag was that of an association which ended a short while ago, or is taken."""
        return self._resting.get(tag, -NEVER) > self.now or tag in self._tags

    def _drop_keys(self, association: Association) -> None:
        keys = self._keys.get(association)
        if keys is None:
            return
        prefix, addresses = keys
        tag = _tag(prefix)
        if self.by_prefix.get(prefix) is association:
            del self.by_prefix[prefix]
        self._tags.discard(tag)
        for key in addresses:
            if self._by_address.get(key) is association:
                del self._by_address[key]
        self._resting.pop(tag, None)
        self._resting[tag] = self.now + self._rest
        # In order of time: what is due to be forgotten comes first.
        while self._resting and (len(self._resting) > _MOST_RESTING or next(iter(self._resting.values())) <= self.now):
            del self._resting[next(iter(self._resting))]


def _tag(prefix: bytes) -> int:
    tag: int = _tag_of(prefix, 4)[0]
    return tag


@final
class _Deadlines:
    """When each association wants to be woken. A deadline that was put off is found out when it comes, not before."""

    __slots__ = ("_count", "_due", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Association]] = []
        self._due: dict[Association, float] = {}
        self._count = 0

    def next_expiry(self) -> float:
        """When the first of them is due."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def note(self, association: Association) -> None:
        """Its timers may have changed."""
        deadline = association.next_expiry
        if deadline < self._due.get(association, NEVER):
            self._due[association] = deadline
            self._count += 1
            heappush(self._heap, (deadline, self._count, association))
            if len(self._heap) > 4 * len(self._due) + _SPARE_DEADLINES:
                self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
                heapify(self._heap)

    def forget(self, association: Association) -> None:
        """It has ended."""
        self._due.pop(association, None)

    def take_due(self, now: float) -> list[Association]:
        """Those whose deadline has come; each has to be noted again."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            deadline, _, association = heappop(self._heap)
            if self._due.get(association) == deadline:
                del self._due[association]
                due.append(association)
        return due


def _is_returned(setup: Setup, port: int, source: tuple[int, int], route: Route) -> bool:
    """Whether a cookie came back to `port` from where it was sent to (section 5.1.5 step 3, RFC 5062 section 7).

    `source` are the peer's port and the tag of the packet.
    """
    ports_and_tag = (setup.local_port, setup.peer_port, setup.local_tag)
    return ports_and_tag == (port, *source) and route.address in setup.addresses


@final
class Endpoint:
    """The SCTP instance behind one port (section 11.1.1)."""

    __slots__ = (
        "_accept",
        "_answers",
        "_cookies",
        "_deadlines",
        "_directory",
        "_random",
        "_sharing",
        "_touched",
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
        #: Of associations to come. Those that there are ask their peers for others by `Association.asconf`.
        self.local_addresses = tuple(dict.fromkeys(map(normalize, local_addresses)))
        self._sharing = sharing
        self._cookies = CookieJar(random, config.cookie_lifetime, None if sharing is None else sharing.cookie_secret)
        # A cookie used once must not be good for a second association: its tag rests for as long as it may live.
        tags = random if sharing is None else sharing.tags(random)
        self._directory = Directory(tags, max(_TAG_REST, 2 * config.cookie_lifetime))
        self._answers = TokenBucket(_ANSWER_RATE, _ANSWER_BURST)
        self._deadlines = _Deadlines()
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
        auth = chunks.pop(0) if chunks and chunks[0].kind == AUTH else None  # RFC 4895 section 6.3: of no account else
        if chunks and chunks[0].kind == COOKIE_ECHO and not any(chunk.kind == ABORT for chunk in chunks):
            association = self._on_cookie_echo(datagram, auth, chunks[0], (peer_port, tag), route, now)
            if association is not None:
                # Section 5.1.5 step 7: what follows the COOKIE ECHO is for the association that it made.
                association.receive_rest(datagram, chunks[0].end + 3 & ~3, route, now, auth is not None)
            return association
        known = self._directory.find_peer((route.address,), peer_port)
        if known is not None:
            return self._on_other_tag(known, datagram, chunks, tag, route, now)
        self._out_of_the_blue(datagram, chunks, peer_port, tag, route, now)
        return None

    def _on_other_tag(
        self, association: Association, datagram: bytes, chunks: list[Chunk], tag: int, route: Route, now: float
    ) -> Association | None:
        """A packet of a peer that we know, with a tag that is not ours: section 8.5, and the exceptions of 8.5.1."""
        # B and C: the peer has no TCB any more, and reflects the tag that we send with. 0 is that of no packet.
        if tag == association.context.peer_tag != 0:
            for kind, flags, start, end in chunks:
                if kind in (ABORT, SHUTDOWN_COMPLETE) and flags & FLAG_TAG_REFLECTED:
                    association.receive_reflected(kind, datagram[start:end], route, now)
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
        association = self._directory.find_peer((route.address, *init.addresses), peer_port)
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
            listed = capabilities.lists(self.local_addresses, route.address, init)
            tag_and_tsn = self._directory.new_tag(), self._random.bits(32)
            auth_random = capabilities.nonce(self.config, self._random)
            ours = capabilities.offer(self.config, *tag_and_tsn, listed, auth_random)
            addresses = capabilities.peer_addresses(init, route.address, self.local_addresses)
            setup = capabilities.agree(ours, init, (self.port, peer_port), route, addresses)
            self._send(route, peer_port, tag, acknowledge(ours, init, setup, self._cookies, now))
        return None

    def _on_cookie_echo(
        self, datagram: bytes, auth: Chunk | None, echo: Chunk, source: tuple[int, int], route: Route, now: float
    ) -> Association | None:
        """COOKIE ECHO under a tag that nobody has (sections 5.1.5, 5.2.4); the association that takes the packet."""
        opened = self._cookies.open(datagram[echo.start : echo.end], now, route.address)
        if opened is None or not _is_returned(opened.setup, self.port, source, route):
            self.statistics.cookies_rejected += 1
            return None
        setup = opened.setup
        association = self._directory.find_peer((route.address, *setup.addresses), setup.peer_port)
        # RFC 4895 section 6.3: if there is an association, its keys count and not those of the cookie.
        keyring, config = (None, self.config) if association is None else (association.keyring, association.config)
        at, end = (0, 0) if auth is None else (auth.start - HEADER_SIZE, auth.end)
        if not admits(setup, config, keyring, datagram, at, end):
            self.statistics.cookies_rejected += 1
            return None
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

    # Steps.

    def _is_full(self) -> bool:
        return self.limit is not None and len(self._directory) >= self.limit

    def _make(self, config: Config, peer_port: int, user: AssociationUser) -> Association:
        return Association(
            config, self._random, self.port, peer_port, self.local_addresses, user, self, self._cookies, self.outbox
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
