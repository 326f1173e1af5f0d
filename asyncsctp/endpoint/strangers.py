"""Packets that belong to none of an endpoint's associations: who may set one up, and what strangers are told (RFC 9260
sections 5.1, 5.2, 8.4 and 8.5).

Reads headers, INIT and COOKIE ECHO; what else a packet holds is for the association that it leads to. Nothing is
remembered of a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, Protocol, final

from ..association.association import Association
from ..association.outbox import Outbox
from ..config import Config
from ..handlers.auth import admits
from ..handlers.context import Random
from ..handlers.setup import negotiation
from ..handlers.setup.agreement import Setup
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.handshake import acknowledge
from ..handlers.state import COOKIE_ECHOED, COOKIE_WAIT
from ..paths.local_addresses import known_to_client
from ..paths.route import Route, as_seen, is_ipv4
from ..paths.settings import usual_space
from ..statistics import EndpointStatistics
from ..wire import causes, control, tlv
from ..wire.constants import ABORT, AUTH, COMMON_HEADER_SIZE, COOKIE_ECHO, INIT, SHUTDOWN_ACK
from ..wire.init import read_init
from ..wire.packet import MOST_CONTROL, checksum_ok, pack_once, read_header
from ..wire.tlv import HEADER_SIZE
from .directory import Directory
from .out_of_the_blue import TokenBucket, answer, holds, is_unicast, reflected, survey

#: Answers to packets that belong to no association: so many a second, and so many at once.
_ANSWER_RATE: Final = 200.0
_ANSWER_BURST: Final = 400.0
#: INITs that are answered although no COOKIE ECHO comes of them. Whoever returns a cookie makes room for another.
_INIT_RATE: Final = 1000.0
_INIT_BURST: Final = 2000.0
_OF_SETUP: Final = frozenset({INIT, AUTH, COOKIE_ECHO})
_NO_CHUNK: Final = -1


class Host(Protocol):
    """The endpoint, as far as strangers have to do with it."""

    config: Config
    local_addresses: tuple[str, ...]
    listening: bool
    statistics: EndpointStatistics

    @property
    def is_full(self) -> bool:
        """Whether there are as many associations as there may be."""

    def welcome(self, setup: Setup, route: Route, now: float) -> Association | None:
        """An association as a cookie says that came along this route; None where nobody listens."""

    def touch(self, association: Association) -> None:
        """It takes part in the next flush."""


@final
class Strangers:
    """What comes for nobody, and what is answered."""

    __slots__ = ("_answers", "_cookies", "_directory", "_host", "_inits", "_outbox", "_port", "_random")

    def __init__(
        self, host: Host, port: int, directory: Directory, cookies: CookieJar, random: Random, outbox: Outbox
    ) -> None:
        self._host = host
        self._port = port
        self._directory = directory
        self._cookies = cookies
        self._random = random
        self._outbox = outbox
        self._answers = TokenBucket(_ANSWER_RATE, _ANSWER_BURST)
        self._inits = TokenBucket(_INIT_RATE, _INIT_BURST)

    def receive(self, datagram: bytes, route: Route, now: float) -> Association | None:
        """A packet whose ports and tag are nobody's; the association that it has to do with after all.

        `Malformed` for what can't be read.
        """
        peer_port, port, tag = read_header(datagram)
        statistics = self._host.statistics
        end = len(datagram)
        at = COMMON_HEADER_SIZE
        first = datagram[at] if at < end else _NO_CHUNK
        is_tagged = tag != 0 and port == self._port
        known = is_tagged and self._directory.find_peer((route.address,), peer_port) is not None
        completed = is_tagged and self._directory.is_completed(tag)
        if tag and not (known or completed or first in _OF_SETUP or self._answers.has(now)):
            # It could but be answered: not even its checksum is worth a look.
            statistics.out_of_the_blue += 1
            statistics.answers_suppressed += 1
            return None
        if not tag and first == INIT and not self._inits.has(now):
            statistics.inits_received += 1
            statistics.answers_suppressed += 1
            return None
        if not checksum_ok(datagram):
            statistics.checksum_errors += 1
            return None
        if peer_port == 0 or not is_unicast(route):
            statistics.out_of_the_blue += 1
            return None
        if port != self._port:
            self._at_another_port(datagram, (peer_port, port), tag, route, now)
            return None
        if completed:
            self._on_completed(datagram, peer_port, tag, route, now)
            return None
        if tag == 0 or first == INIT:
            # Section 8.5.1 A: tag 0 and INIT belong together, and with nothing else.
            value_end = tlv.item(datagram, at, end)[1]
            if tag == 0 and first == INIT and end - (value_end + 3 & -4) < HEADER_SIZE:
                return self._on_init(datagram, value_end, peer_port, route, now)
            statistics.malformed_packets += 1
            return None
        auth_end = 0
        if first == AUTH:  # RFC 4895 section 6.3: of no account but before a COOKIE ECHO
            auth_end = tlv.item(datagram, at, end)[1]
            at = auth_end + 3 & -4
        if at < end and datagram[at] == COOKIE_ECHO:
            value_end = tlv.item(datagram, at, end)[1]
            cookie = datagram[at + HEADER_SIZE : value_end]
            association = self._on_cookie_echo(datagram, cookie, auth_end, (peer_port, tag), route, now)
            if association is not None:
                # Section 5.1.5 step 7: what follows the COOKIE ECHO is for the association that it made.
                association.receive_rest(datagram, value_end + 3 & -4, route, now, auth_end != 0)
            return association
        if known:
            peers = list(self._directory.peers_at((route.address,), peer_port))
            return self._on_other_tag(peers, datagram, tag, route, now)
        self._out_of_the_blue(datagram, at, peer_port, tag, route, now)
        return None

    def _on_other_tag(
        self, known: list[Association], datagram: bytes, tag: int, route: Route, now: float
    ) -> Association | None:
        """A packet of a peer that we know, with a tag that is not ours: section 8.5, and the exceptions of 8.5.1."""
        association = known[0]
        for each in known:
            # B and C: the peer has no TCB any more, and reflects the tag that we send with. 0 is that of no packet.
            # Draft natsupp section 6.4.1: so does a NAT that has lost its state.
            if tag == each.context.peer_tag != 0:
                association = each
                at = reflected(datagram)
                if at:
                    first16, value_end = tlv.item(datagram, at, len(datagram))
                    value = datagram[at + HEADER_SIZE : value_end]
                    association.receive_reflected(first16 >> 8, first16 & 0xFF, value, route, now)
                    return association
        # E: it still shuts down the association before this one.
        if association.state in (COOKIE_WAIT, COOKIE_ECHOED) and holds(survey(datagram), SHUTDOWN_ACK):
            self._out_of_the_blue(datagram, COMMON_HEADER_SIZE, association.context.peer_port, tag, route, now)
            return None
        association.statistics.bad_tags += 1
        return None

    def _on_completed(self, datagram: bytes, peer_port: int, tag: int, route: Route, now: float) -> None:
        """A packet of an association that we have completed. Rule 5 of section 8.4 whoever else asks for answers, as
        often as a peer needs; and what else comes is late: an ABORT (rule 8) would be believed by a peer that waits for
        the SHUTDOWN COMPLETE.
        """
        self._host.statistics.out_of_the_blue += 1
        seen = survey(datagram)
        if holds(seen, SHUTDOWN_ACK) and not holds(seen, ABORT):
            body = control.pack_shutdown_complete(reflected=True)
            if self._directory.say_again(tag):
                self._send(route, peer_port, tag, body)
            else:
                self._answer(route, peer_port, tag, body, now)

    def _out_of_the_blue(self, datagram: bytes, at: int, peer_port: int, tag: int, route: Route, now: float) -> None:
        self._host.statistics.out_of_the_blue += 1
        seen = survey(datagram, at)
        if holds(seen, INIT):  # section 8.5.1 A
            self._host.statistics.malformed_packets += 1
            return
        body = answer(seen)
        if body is not None:
            self._answer(route, peer_port, tag, body, now)

    def _at_another_port(self, datagram: bytes, ports: tuple[int, int], tag: int, route: Route, now: float) -> None:
        """A packet for an SCTP port where nobody is: section 8.4, rule 3 for an INIT."""
        self._host.statistics.out_of_the_blue += 1
        body: bytes | None
        if tag == 0:
            at = COMMON_HEADER_SIZE
            first16, value_end = tlv.item(datagram, at, len(datagram))
            if first16 >> 8 != INIT or len(datagram) - value_end > HEADER_SIZE:
                return
            tag = int.from_bytes(datagram[at + HEADER_SIZE : min(at + 2 * HEADER_SIZE, value_end)])
            body = control.pack_abort()
        else:
            body = answer(survey(datagram))
        if body is not None and tag:
            peer_port, port = ports
            self._answer(route, peer_port, tag, body, now, port)

    # INIT and COOKIE ECHO.

    def _on_init(self, datagram: bytes, value_end: int, peer_port: int, route: Route, now: float) -> Association | None:
        """INIT: sections 5.1 B, 5.2.1 and 5.2.2. Nothing is remembered of it."""
        statistics = self._host.statistics
        statistics.inits_received += 1
        self._inits.take(now)
        init = read_init(datagram, COMMON_HEADER_SIZE + HEADER_SIZE, value_end)
        if init.addresses:
            init = init._replace(addresses=as_seen(init.addresses, route.address))
        tag = init.initiate_tag
        if tag == 0:  # section 3.3.2
            statistics.malformed_packets += 1
            return None
        cause = negotiation.flaw(init, False, self._host.config)
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
        if not self._host.listening:
            self._refuse(route, peer_port, tag, b"", now)
        elif self._host.is_full:
            self._refuse(route, peer_port, tag, causes.pack_out_of_resource(), now)
        else:
            listed = negotiation.lists(self._host.local_addresses, route.address, init)
            if self._host.config.nat_support and init.disable_restart:
                listed = negotiation.without_private(listed)
            tag_and_tsn = self._directory.new_tag(), self._random.bits(32)
            auth_random = negotiation.nonce(self._host.config, self._random)
            ours = negotiation.offer(self._host.config, *tag_and_tsn, listed, auth_random)
            addresses = negotiation.peer_addresses(init, route.address, self._host.local_addresses)
            setup = negotiation.agree(ours, init, (self._port, peer_port), route, addresses)
            body = acknowledge(ours, init, setup, self._cookies, now, self._room(route))
            if body[0] == ABORT:
                self._answer(route, peer_port, tag, body, now)
            else:
                self._send(route, peer_port, tag, body)
        return None

    def _on_cookie_echo(
        self, datagram: bytes, cookie: bytes, auth_end: int, source: tuple[int, int], route: Route, now: float
    ) -> Association | None:
        """COOKIE ECHO under a tag that nobody has (sections 5.1.5, 5.2.4); the association that takes the packet.

        `auth_end`: where an AUTH chunk in front of it ends; 0 if there is none.
        """
        opened = self._cookies.open(cookie, now, (self._port, *source), route.address)
        if opened is None or not opened.setup.lists(route.address):
            self._host.statistics.cookies_rejected += 1
            return None
        chunks = islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), MOST_CONTROL)
        if any(first16 >> 8 == ABORT for first16, _, _, _ in chunks):
            self._host.statistics.out_of_the_blue += 1
            return None  # section 8.4 rule 2
        self._inits.give_back()
        setup = opened.setup
        association = self._concerned((route.address, *setup.addresses), setup.peer_port, setup.peer_tag)
        # RFC 4895 section 6.3: if there is an association, its keys count and not those of the cookie.
        ours = self._host.config
        keyring, config = (None, ours) if association is None else (association.keyring, association.config)
        if not admits(setup, config, keyring, datagram, COMMON_HEADER_SIZE if auth_end else 0, auth_end):
            self._host.statistics.cookies_rejected += 1
            return None
        if association is not None:
            accepted = association.on_opened_cookie(opened, route, now)
            self._host.touch(association)
            return association if accepted else None
        if opened.staleness_us:
            self._host.statistics.stale_cookies += 1
            body = control.pack_error(causes.pack_stale_cookie(opened.staleness_us))
            self._answer(route, setup.peer_port, setup.peer_tag, body, now)
        elif self._directory.rests(setup.local_tag) or not self._host.listening:
            # It was used, and that association has ended; or nobody listens any more.
            self._refuse(route, setup.peer_port, setup.peer_tag, b"", now)
        elif not self._is_at_home(setup, route):
            self._refuse(route, setup.peer_port, setup.peer_tag, b"", now)
        elif self._host.is_full:
            self._refuse(route, setup.peer_port, setup.peer_tag, causes.pack_out_of_resource(), now)
        else:
            self._host.statistics.cookies_accepted += 1
            association = self._host.welcome(setup, route, now)
        return association

    # Steps.

    def _is_at_home(self, setup: Setup, route: Route) -> bool:
        """Whether there is an address of ours for the one that the INIT ACK went to, which alone is CONFIRMED (section
        5.4 rule 2). It may be gone, or not known to a client whose cookie comes along another route.
        """
        known = known_to_client(self._host.local_addresses, route.local, setup.disable_restart)
        return any(is_ipv4(local) == is_ipv4(setup.addresses[0]) for local in known)

    def _concerned(self, addresses: Sequence[str], port: int, peer_tag: int) -> Association | None:
        """The association that an INIT, or a cookie for another tag than ours, is about: one with that peer.

        Draft natsupp section 6.3.2: where restarts are disabled, another tag of the peer means another peer, behind the
        same NAT.
        """
        if self._directory.find_peer(addresses, port) is None:
            return None  # as most often
        for association in self._directory.peers_at(addresses, port):
            setup = association.context.setup
            if setup is None or not setup.disable_restart or association.context.peer_tag == peer_tag:
                return association
        return None

    def _refuse(self, route: Route, peer_port: int, tag: int, cause: bytes, now: float) -> None:
        """ABORT to someone who wants an association; the tag is the peer's own (sections 5.1 and 8.4 rule 3)."""
        self._host.statistics.associations_refused += 1
        self._answer(route, peer_port, tag, control.pack_abort(cause), now)

    def _answer(self, route: Route, peer_port: int, tag: int, body: bytes, now: float, port: int = 0) -> None:
        if self._answers.take(now):
            self._send(route, peer_port, tag, body, port)
        else:
            self._host.statistics.answers_suppressed += 1

    def _send(self, route: Route, peer_port: int, tag: int, body: bytes, port: int = 0) -> None:
        # Draft udp-encaps-cons section 3: to the UDP port that the packet came from.
        packet = pack_once(port or self._port, peer_port, tag, control.fit(body, self._room(route)))
        self._outbox.add(route, [packet])

    def _room(self, route: Route) -> int:
        return usual_space(self._host.config.mtu, route.address)
