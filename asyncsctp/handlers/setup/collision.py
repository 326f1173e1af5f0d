"""INIT and COOKIE ECHO where an association exists (RFC 9260 section 5.2): collisions, restarts, late duplicates.

Whether the peer restarted is told by the tie-tags alone: nonces that stand for this association in every cookie made
for it, so that its real tags are not given away (RFC 5062 section 3.3). An INIT changes nothing; only a cookie that we
made does. Where there is no association, `endpoint.out_of_the_blue` answers.
"""

from __future__ import annotations

from typing import Final, final

from ...path_state import PathState
from ...paths.encapsulation import usual_space
from ...paths.path import Path
from ...paths.route import Route
from ...timers import T1_COOKIE, T1_INIT
from ...wire import causes, control, tlv
from ...wire.constants import AUTH, CAUSE_COOKIE_WHILE_SHUTTING_DOWN, COMMON_HEADER_SIZE, COOKIE_ECHO
from ...wire.init import Init
from ...wire.tlv import Malformed
from ..auth import admits, keys_of
from ..context import Context
from ..keyring import Keyring
from ..paths.heartbeat import Heartbeat
from ..state import CLOSED, COOKIE_ECHOED, COOKIE_WAIT, SHUTDOWN_ACK_SENT
from . import negotiation
from .cookie import NO_TIE_TAGS, CookieJar, OpenedCookie
from .handshake import acknowledge, adopt
from .negotiation import Setup

_TAG_BITS: Final = 32


@final
class Collision:
    """An association's answers to setup chunks that it did not wait for."""

    __slots__ = ("_context", "_cookies", "_heartbeat", "_tie_tags")

    def __init__(self, context: Context, cookies: CookieJar, heartbeat: Heartbeat) -> None:
        self._context = context
        self._cookies = cookies
        self._heartbeat = heartbeat
        self._tie_tags = NO_TIE_TAGS

    def on_init(self, init: Init, source: Route, tag: int, offer: Init | None) -> tuple[Route, bytes] | None:
        """Answer an INIT, which has no flaw; return where to, and the chunk: a packet under the Initiate Tag.

        `tag` is a fresh one, for the association that the peer may want instead of this one; `offer` is what our own
        INIT said, in COOKIE-WAIT and COOKIE-ECHOED.
        """
        context = self._context
        path = context.paths.find(source.address)
        if path is not None and path.route.udp_port != source.udp_port:
            # Draft udp-encaps-cons section 4, rules 1 and 7: it may be someone else behind the same NAT.
            cause = causes.pack_new_encapsulation_port(path.route.udp_port, source.udp_port)
            return source, control.pack_abort(cause)
        if context.state is SHUTDOWN_ACK_SENT:
            # Section 9.2: the SHUTDOWN COMPLETE was lost.
            context.transmit(control.pack_shutdown_ack(), self._reply_path(source).path_id, context.peer_tag)
            return None
        known = [known.route.address for known in context.paths.paths]
        setup = context.setup
        if setup is not None:
            known += setup.further
        addresses = negotiation.peer_addresses(init, source.address, context.paths.local.bound, known)
        if context.state is COOKIE_WAIT:
            if path is None:
                # Section 5.2.1 rules 1 and 2: only to where our user wanted to, and only where the peer says it is.
                path = next((known for known in map(context.paths.find, addresses) if known is not None), None)
                if path is None:
                    return None
                source = path.route
        else:
            added = [address for address in addresses if address not in known]
            if added and setup is not None and init.initiate_tag == context.peer_tag:
                # A restart has another tag (section 5.3.1). This is a late copy of the INIT that began the association,
                # whose sender has left addresses since (RFC 5061): an ABORT would end what is alive.
                context.statistics.unexpected_chunks += 1
                return None
            if added:  # sections 5.2.1 and 5.2.2
                cause = causes.pack_restart_with_new_addresses(added)
                return source, control.pack_abort(cause)
        return source, self._acknowledge(init, source, tag, offer, addresses)

    def on_cookie_echo(self, cookie: bytes, source: Route) -> bool:
        """Take in a COOKIE ECHO, first in a packet with our tag; return whether what follows may be processed."""
        context = self._context
        opened = self._open(cookie, source)
        if opened is None:
            context.statistics.unexpected_chunks += 1
            return False
        setup = opened.setup
        # With both tags it can but be answered, wherever a NAT has moved its sender meanwhile.
        is_ours = context.setup is not None and context.setup.disable_restart and setup.peer_tag == context.peer_tag
        if not setup.lists(source.address) and not is_ours:
            context.statistics.unexpected_chunks += 1
            return False
        return self.on_opened_cookie(opened, source)

    def on_unknown_source(self, datagram: bytes, source: Route) -> None:
        """Drop a packet with our tag from an address that is not the peer's, but for an answer that its sender needs.

        If the cookie that made this association stands first in it, its sender still waits for COOKIE ACK (section
        5.2.4 D): a NAT has moved it meanwhile. It gets that, and nothing else follows; see `nat` for what does later.
        """
        context = self._context
        if self._has_our_cookie(datagram, source):
            context.transmit_along(control.pack_cookie_ack(), source, context.peer_tag)
        else:
            context.statistics.unexpected_chunks += 1

    def _has_our_cookie(self, datagram: bytes, source: Route) -> bool:
        context = self._context
        if context.setup is None or not context.setup.disable_restart:
            return False
        auth_at = auth_end = 0
        try:
            for first16, at, start, end in tlv.walk(datagram, COMMON_HEADER_SIZE, len(datagram)):
                if first16 >> 8 == AUTH and at == COMMON_HEADER_SIZE:
                    auth_at, auth_end = at, end
                    continue
                if first16 >> 8 != COOKIE_ECHO:
                    return False
                if not admits(context.setup, context.config, context.keyring, datagram, auth_at, auth_end):
                    return False
                opened = self._open(datagram[start:end], source)
                return opened is not None and opened.setup.peer_tag == context.peer_tag
        except Malformed:
            pass
        return False

    def keys_in(self, cookie: bytes, source: Route) -> Keyring | None:
        """Return the keys for an AUTH chunk in front of this COOKIE ECHO, while the association is being set up."""
        opened = self._open(cookie, source)
        return None if opened is None else keys_of(opened.setup, self._context.config)

    def on_opened_cookie(self, opened: OpenedCookie, source: Route) -> bool:
        """Carry out table 12 of section 5.2.4 for a cookie that we made, from one of this association's addresses.

        Return whether what follows it in the packet may be processed; after a restart it is for the new association.
        """
        context = self._context
        setup = opened.setup
        local_matches = setup.local_tag == context.local_tag
        peer_matches = setup.peer_tag == context.peer_tag
        if local_matches and peer_matches:
            self._complete(opened, source)  # action D
            return True
        path = self._reply_path(source)
        stale = opened.stale_error()
        if stale:  # under the tag that its sender, whoever it is now, waits for
            context.transmit(stale, path.path_id, setup.peer_tag)
            return False
        restart = not local_matches and not peer_matches and opened.tie_tags == self._tie_tags != NO_TIE_TAGS
        if not local_matches and not restart:
            context.statistics.unexpected_chunks += 1  # action C, and what table 12 does not have
            return False
        if context.state is SHUTDOWN_ACK_SENT:
            body = control.pack_shutdown_ack() + control.pack_error(causes.pack_cause(CAUSE_COOKIE_WHILE_SHUTTING_DOWN))
            context.transmit(body, path.path_id, context.peer_tag)
            return False
        if restart:
            self._restart(opened, source)  # action A
        else:
            self._update(opened, source)  # action B
        return True

    # Table 12

    def _restart(self, opened: OpenedCookie, source: Route) -> None:
        context = self._context
        self._tie_tags = NO_TIE_TAGS  # a second restart needs a cookie made after this one
        context.peer_tag = opened.setup.peer_tag
        context.owner.change_tag(opened.setup.local_tag)
        self._begin_anew(opened.setup, source)

    def _update(self, opened: OpenedCookie, source: Route) -> None:
        context = self._context
        setup = opened.setup
        forming = context.state is COOKIE_WAIT or context.state is COOKIE_ECHOED
        context.peer_tag = setup.peer_tag
        if forming:
            self._complete(opened, source)
        elif context.setup is not None and _is_as_it_was(context.setup, setup):
            context.take_keys(setup)  # RFC 4895 section 6.1: its random number goes with its tag
            self.confirm(source)
        else:  # another tag and other TSNs: what the peer has now is not what we have
            self._begin_anew(setup, source)

    def _begin_anew(self, setup: Setup, source: Route) -> None:
        self._context.owner.restart(setup)
        if self._context.state is not CLOSED:  # the user may have ended it, when told what it cuts off
            self.confirm(source)

    def _complete(self, opened: OpenedCookie, source: Route) -> None:
        context = self._context
        if context.state is COOKIE_WAIT or context.state is COOKIE_ECHOED:
            context.timers.stop(T1_INIT)
            context.timers.stop(T1_COOKIE)
            adopt(context.paths, opened.setup)
            context.owner.establish(opened.setup)
        self.confirm(source)

    def confirm(self, source: Route) -> None:
        """Send a COOKIE ACK to where the COOKIE ECHO came from (section 6.4). To an address that is still to be
        verified it MUST be bundled with a HEARTBEAT (section 5.4).
        """
        paths = self._context.paths
        path = paths.find(source.address) or paths.data_path()
        answer = control.pack_cookie_ack()
        if path.state is PathState.UNCONFIRMED:
            answer += self._heartbeat.probe_again(path)
        self._context.answer_first(answer, path.path_id)  # before what a restart queues

    def _reply_path(self, source: Route) -> Path:
        """Return where the packet came from, if that is surely the peer's (section 5.4), else where data goes."""
        paths = self._context.paths
        path = paths.find(source.address)
        return paths.data_path() if path is None else paths.reply_path(path)

    def _open(self, cookie: bytes, source: Route) -> OpenedCookie | None:
        """Return what a cookie says that came in a packet with our tag."""
        context = self._context
        bound = (context.local_port, context.peer_port, context.local_tag)
        return self._cookies.open(cookie, context.now, bound, source.address)

    # Answers to INIT

    def _acknowledge(
        self, init: Init, source: Route, tag: int, offer: Init | None, addresses: tuple[str, ...]
    ) -> bytes:
        context = self._context
        if offer is None:
            # Section 5.2.2: a new tag, everything else as it was asked for when this association was made.
            bound = context.paths.local.bound
            offer = negotiation.offer(context.config, context.random, tag, bound, source.address, init)
        setup = negotiation.agree(offer, init, (context.local_port, context.peer_port), source, addresses)
        path = context.paths.find(source.address)
        space = usual_space(context.config.mtu, source.address) if path is None else path.payload
        lifetime = context.config.cookie_lifetime
        return acknowledge(offer, init, setup, self._cookies, context.now, space, self._ties(), lifetime)

    def _ties(self) -> tuple[int, int]:
        # Section 5.2.2: none in COOKIE-WAIT, else random and not 0.
        if self._context.state is COOKIE_WAIT:
            return NO_TIE_TAGS
        if self._tie_tags == NO_TIE_TAGS:
            random = self._context.random
            self._tie_tags = (random.bits(_TAG_BITS) or 1, random.bits(_TAG_BITS) or 1)
        return self._tie_tags


def _is_as_it_was(before: Setup, now: Setup) -> bool:
    """Tell whether a peer with another tag can go on with the TSNs and the kind of packets of before."""
    said = [(each.chunks, each.hmacs) for each in before.auth or ()]
    return before.peer_initial_tsn == now.peer_initial_tsn and said == [
        (each.chunks, each.hmacs) for each in now.auth or ()
    ]
