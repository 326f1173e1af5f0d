"""Packets that belong to none of an endpoint's associations (RFC 9260 sections 5.1, 5.2, 8.4 and 8.5): which of them
lead to an association, which are answered, how, and how often.

Nothing is remembered of who sends them, and whoever does may send another at once: reading them makes no objects, and
stops after a few chunks. Whether associations are taken is known to `endpoint`; what INIT ACK says, to
`handlers.setup.handshake`; what INIT and COOKIE ECHO mean where an association exists, to `handlers.setup.collision`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import Final, final

from ..association.association import Association
from ..association.lifecycle import Shared
from ..config import Config
from ..handlers.auth import admits
from ..handlers.setup import negotiation
from ..handlers.setup.negotiation import Setup
from ..handlers.state import COOKIE_ECHOED, COOKIE_WAIT
from ..paths.encapsulation import usual_space
from ..paths.route import Route, as_seen, in_scope
from ..statistics import EndpointStatistics
from ..wire import constants, control, tlv
from ..wire.constants import ABORT, AUTH, COMMON_HEADER_SIZE, COOKIE_ECHO, INIT, INIT_ACK, SHUTDOWN_ACK
from ..wire.init import Init, read_init
from ..wire.packet import MOST_CONTROL, Seal, checksum_ok, read_header
from ..wire.tlv import HEADER_SIZE, Malformed
from .directory import Directory

#: Answers to packets that belong to no association: so many a second, and so many at once.
_ANSWER_RATE: Final = 200.0
_ANSWER_BURST: Final = 400.0
#: INITs that are answered although no COOKIE ECHO follows: whoever returns a cookie does not count.
_INIT_RATE: Final = 1000.0
_INIT_BURST: Final = 2000.0
#: So many chunks of a packet are looked at. Where more follow, and are not user data, it is dropped: nothing that is to
#: be answered needs as many.
_MOST_CHUNKS: Final = 16
#: So many causes of an ERROR are looked at for a stale cookie.
_MOST_CAUSES: Final = 4

_OF_SETUP: Final = frozenset({INIT, AUTH, COOKIE_ECHO})
_NO_CHUNK: Final = -1

# What `survey` has seen.
_INIT: Final = 1 << INIT
_ABORT: Final = 1 << ABORT
_SHUTDOWN_ACK: Final = 1 << SHUTDOWN_ACK
_FINAL: Final = 1 << constants.SHUTDOWN_COMPLETE | 1 << constants.COOKIE_ACK
_OTHERS: Final = 1 << 16
_STALE_COOKIE: Final = 1 << 17


@final
class OutOfTheBlue:
    """The endpoint's answers to packets that are for none of its associations."""

    def __init__(
        self,
        config: Config,
        shared: Shared,
        directory: Directory,
        statistics: EndpointStatistics,
        answer_init: Callable[[Init, int, Route, float], bytes],
        accept: Callable[[Setup, Route, float], Association | bytes],
    ) -> None:
        """`answer_init` gives the INIT ACK or the ABORT for a peer that has no association here; `accept` the
        association that a cookie was made for, or the ABORT.
        """
        self._config = config
        self._port = shared.port
        self._cookies = shared.cookies
        self._outbox = shared.outbox
        self._directory = directory
        self._statistics = statistics
        self._answer_init = answer_init
        self._accept = accept
        self._answers = TokenBucket(_ANSWER_RATE, _ANSWER_BURST)
        self._inits = TokenBucket(_INIT_RATE, _INIT_BURST)

    def receive(self, datagram: bytes, route: Route, now: float) -> Association | None:
        """Answer a packet whose ports and tag belong to no association, or take it to the one that it is about.

        Return that association, if there is one. Raise `Malformed` for what can't be read or must not be.
        """
        peer_port, port, tag = read_header(datagram)
        statistics = self._statistics
        end = len(datagram)
        at = COMMON_HEADER_SIZE
        first = datagram[at] if at < end else _NO_CHUNK
        is_tagged = tag != 0 and port == self._port
        completed = is_tagged and self._directory.is_completed(tag)
        known = (
            is_tagged and first != COOKIE_ECHO and self._directory.find_peer((route.address,), peer_port) is not None
        )
        if tag and not (known or completed or first in _OF_SETUP or self._answers.has(now)):
            # It could only be answered: not even its checksum is worth a look.
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
            self._on_other_port(datagram, (peer_port, port), tag, route, now)
            return None
        if completed:
            self._on_completed(datagram, peer_port, tag, route, now)
            return None
        if tag == 0 or first == INIT:
            value_end = tlv.item(datagram, at, end)[1]
            if tag or first != INIT or end - (value_end + 3 & -4) >= HEADER_SIZE:
                raise Malformed("tag 0 and a lone INIT belong together, and with nothing else (section 8.5.1 A)")
            return self._on_init(datagram, value_end, peer_port, route, now)
        auth_end = 0
        if first == AUTH:  # RFC 4895 section 6.3: it means something in front of a COOKIE ECHO alone
            auth_end = tlv.item(datagram, at, end)[1]
            at = auth_end + 3 & -4
        if at < end and datagram[at] == COOKIE_ECHO:
            return self._on_cookie_echo(datagram, at, auth_end, (peer_port, tag), route, now)
        if known:
            return self._on_other_tag(datagram, peer_port, tag, route, now)
        self._on_unknown(datagram, at, peer_port, tag, route, now)
        return None

    def _on_other_tag(self, datagram: bytes, peer_port: int, tag: int, route: Route, now: float) -> Association | None:
        """Judge a packet of a known peer with a tag that is not ours by the exceptions of section 8.5.1.

        Return the association that it ends.
        """
        known = list(self._directory.peers_at((route.address,), peer_port))
        association = known[0]
        for each in known:
            # B and C: the peer has no TCB any more, and reflects the tag that we send with. 0 is that of no packet.
            # Draft natsupp section 6.4.1: so does a NAT that has lost its state.
            if tag == each.context.peer_tag != 0:
                association = each
                reflected = _reflected(datagram)
                if reflected is not None:
                    first16, value = reflected
                    association.receive_reflected(first16 >> 8, first16 & 0xFF, value, route, now)
                    return association
        # E: it still shuts down the association before this one.
        if association.state in (COOKIE_WAIT, COOKIE_ECHOED) and survey(datagram) & _SHUTDOWN_ACK:
            self._on_unknown(datagram, COMMON_HEADER_SIZE, peer_port, tag, route, now)
            return None
        association.statistics.bad_tags += 1
        return None

    def _on_completed(self, datagram: bytes, peer_port: int, tag: int, route: Route, now: float) -> None:
        """Answer a SHUTDOWN ACK under the tag of an association that we have completed (section 8.4 rule 5), as often
        as its peer needs, whoever else asks for answers. Anything else is late: a peer that waits for the SHUTDOWN
        COMPLETE would believe an ABORT (rule 8).
        """
        self._statistics.out_of_the_blue += 1
        if survey(datagram) & (_SHUTDOWN_ACK | _ABORT) == _SHUTDOWN_ACK:
            body = control.pack_shutdown_complete(reflected=True)
            if self._directory.take_completion(tag):
                self._send(route, self._port, peer_port, tag, body)
            else:
                self._answer(route, peer_port, tag, body, now)

    def _on_unknown(self, datagram: bytes, at: int, peer_port: int, tag: int, route: Route, now: float) -> None:
        """Answer a packet of a peer without an association, from `at` on, as section 8.4 says."""
        self._statistics.out_of_the_blue += 1
        seen = survey(datagram, at)
        if seen & _INIT:
            raise Malformed("an INIT that is not alone in its packet (section 8.5.1 A)")
        body = answer(seen)
        if body is not None:
            self._answer(route, peer_port, tag, body, now)

    def _on_other_port(self, datagram: bytes, ports: tuple[int, int], tag: int, route: Route, now: float) -> None:
        """Answer a packet for an SCTP port that nobody has (section 8.4, rule 3 for an INIT)."""
        self._statistics.out_of_the_blue += 1
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
        """Answer an INIT (sections 5.1 B, 5.2.1 and 5.2.2); nothing is remembered of it.

        Return the association that it is about.
        """
        self._statistics.inits_received += 1
        self._inits.take(now)
        init = read_init(datagram, COMMON_HEADER_SIZE + HEADER_SIZE, value_end)
        if init.addresses:
            init = init._replace(addresses=as_seen(init.addresses, route.address))
        tag = init.initiate_tag
        cause = negotiation.flaw(init, False, self._config)
        if cause is not None:
            self._statistics.associations_refused += 1
            self._answer(route, peer_port, tag, control.pack_abort(cause), now)
            return None
        # Section 5.1.2 D: any of its addresses tells which association it is about.
        association = self._concerned((route.address, *init.addresses), peer_port, tag)
        if association is not None:
            reply = association.on_init(init, route, self._directory.new_tag(), now)
            if reply is not None:
                self._answer(reply[0], peer_port, tag, reply[1], now)
            return association
        self._answer(route, peer_port, tag, self._answer_init(init, peer_port, route, now), now)
        return None

    def _on_cookie_echo(
        self, datagram: bytes, at: int, auth_end: int, source: tuple[int, int], route: Route, now: float
    ) -> Association | None:
        """Take in a COOKIE ECHO under a tag that nobody has (sections 5.1.5, 5.2.4), and what follows it.

        It stands at `at`, behind the AUTH chunk that ends at `auth_end`, if that is not 0. `source`: the peer's port,
        and the tag. Return the association that it has made, or that it is about.
        """
        value_end = tlv.item(datagram, at, len(datagram))[1]
        following = value_end + 3 & -4
        opened = self._cookies.open(datagram[at + HEADER_SIZE : value_end], now, (self._port, *source), route.address)
        statistics = self._statistics
        if opened is None or not opened.setup.lists(route.address):
            statistics.cookies_rejected += 1
            return None
        if following < len(datagram):
            chunks = islice(tlv.walk(datagram, following, len(datagram)), MOST_CONTROL)
            if any(first16 >> 8 == ABORT for first16, _, _, _ in chunks):
                statistics.out_of_the_blue += 1
                return None  # section 8.4 rule 2
        self._inits.give_back()
        setup = opened.setup
        association = self._concerned((route.address, *setup.addresses), setup.peer_port, setup.peer_tag)
        # RFC 4895 section 6.3: if there is an association, its keys count and not those of the cookie.
        config, keyring = (self._config, None) if association is None else (association.config, association.keyring)
        if not admits(setup, config, keyring, datagram, COMMON_HEADER_SIZE if auth_end else 0, auth_end):
            statistics.cookies_rejected += 1
            return None
        if association is not None:
            if not association.on_opened_cookie(opened, route, now):
                return association
        elif stale := opened.stale_error():
            statistics.stale_cookies += 1
            self._answer(route, setup.peer_port, setup.peer_tag, stale, now)
            return None
        else:
            accepted = self._accept(setup, route, now)
            if isinstance(accepted, bytes):
                self._answer(route, setup.peer_port, setup.peer_tag, accepted, now)
                return None
            association = accepted
        # Section 5.1.5 step 7: what follows the COOKIE ECHO is for the association that it made.
        association.receive_rest(datagram, following, route, now, auth_end != 0)
        return association

    def _concerned(self, addresses: Sequence[str], port: int, peer_tag: int) -> Association | None:
        """Return the association that an INIT, or a cookie for another tag than ours, is about: one with that peer.

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

    # What is sent.

    def _answer(self, route: Route, peer_port: int, tag: int, body: bytes, now: float, port: int = 0) -> None:
        """Send an answer, unless too many have been sent; INIT ACKs are as many as INITs are taken."""
        if body[0] == INIT_ACK or self._answers.take(now):
            self._send(route, port or self._port, peer_port, tag, body)
        else:
            self._statistics.answers_suppressed += 1

    def _send(self, route: Route, port: int, peer_port: int, tag: int, body: bytes) -> None:
        # Draft udp-encaps-cons section 3: to the UDP port that the packet came from.
        space = usual_space(self._config.mtu, route.address)
        self._outbox.add(route, [Seal(port, peer_port, tag).pack(control.fit(body, space))])


def survey(datagram: bytes, at: int = COMMON_HEADER_SIZE) -> int:
    """Return which chunk types a packet holds from `at` on, as bits: 1 << type, others together.

    0 if there are none, or too many; behind user data there is nothing else (section 6.10). `Malformed` if one of the
    lengths can't be: then nothing in the packet is believed.
    """
    end = len(datagram)
    seen = 0
    count = 0
    while end - at >= HEADER_SIZE:
        count += 1
        if count > _MOST_CHUNKS:
            return seen if not datagram[at] & ~constants.I_DATA else 0  # that is 0 for DATA
        first16, value_end = tlv.item(datagram, at, end)
        kind = first16 >> 8
        seen |= 1 << kind if kind < 16 else _OTHERS
        if kind == constants.ERROR:
            found = islice(tlv.walk(datagram, at + HEADER_SIZE, value_end), _MOST_CAUSES)
            if any(code == constants.CAUSE_STALE_COOKIE for code, _, _, _ in found):
                seen |= _STALE_COOKIE
        at = value_end + 3 & -4
    return seen


def answer(seen: int) -> bytes | None:
    """Return the chunk that answers a packet with these chunks, under the tag that it carried; None for silence."""
    if not seen or seen & _ABORT:  # section 8.4 rule 2
        return None
    if seen & _SHUTDOWN_ACK:  # rule 5
        return control.pack_shutdown_complete(reflected=True)
    if seen & (_FINAL | _STALE_COOKIE):  # rules 6 and 7
        return None
    return control.pack_abort(reflected=True)  # rule 8


def is_unicast(route: Route) -> bool:
    """Tell whether a packet that came along this route may be answered at all (section 8.4 rule 1)."""
    return in_scope(route.address, route.address)


def _reflected(datagram: bytes) -> tuple[int, bytes] | None:
    """Return the first chunk that answers a packet under the tag which that carried: type and flags, and value.

    The T bit tells: sections 8.4 and 8.5.1 B and C. Of a NAT, the M bit: draft natsupp sections 6.2.1 and 6.4.1.
    """
    for first16, _, start, end in islice(tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)), _MOST_CHUNKS):
        kind = first16 >> 8
        is_of_nat = kind == constants.ERROR and first16 & constants.FLAG_MIDDLEBOX != 0
        if first16 & constants.FLAG_TAG_REFLECTED and (kind in (ABORT, constants.SHUTDOWN_COMPLETE) or is_of_nat):
            return first16, datagram[start:end]
    return None


@final
class TokenBucket:
    """So many at once, and so many a second after that: others must not decide how much we send."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate: Final = rate
        self._burst: Final = burst
        self._tokens = burst
        self._at = inf

    def has(self, now: float) -> bool:
        """Tell whether one more may go."""
        if now != self._at:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
            self._at = now
        return self._tokens >= 1.0

    def take(self, now: float) -> bool:
        """Let one more go, if it may; return whether it does."""
        if not self.has(now):
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """Give one back, as it need not have been counted."""
        self._tokens = min(self._burst, self._tokens + 1.0)
