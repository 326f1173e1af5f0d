"""What one association does about NATs between it and its peer (draft natsupp section 6; RFC 6951 section 5.4).

Knows what a NAT says of itself, when it seems to have forgotten us, and of a peer whose address has changed on the way.
Which association a packet belongs to, where several share an address and port, is known by `endpoint.directory`; how
addresses are changed, by `asconf_requester` and `peer_addresses`. Made where `Config.nat_support` is set.

A peer that authenticates says by ASCONF what its address is now. Of one that does not, an address is believed that its
packets come from under the right tag, once it has answered a HEARTBEAT there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from ...errors import AsconfError, AssociationAborted, Cause
from ...path_state import PathState
from ...paths.path import Path
from ...paths.route import Route, in_scope, is_translatable
from ...wire import causes, constants, tlv
from ..context import Context
from ..paths.heartbeat import Heartbeat
from ..request import Ticket
from ..state import CLOSED
from .asconf_requester import PERMITTED, AsconfRequester
from .asconf_responder import AsconfResponder
from .peer_addresses import PeerAddresses

#: So many time-outs in a row, and a NAT may have taken another address or have none left for us.
_SUSPICIOUS: Final = 2

#: What ends an association, and asks for nothing to be sent to who said it but SHUTDOWN COMPLETE.
_LAST_WORDS: Final = (constants.ABORT, constants.SHUTDOWN_ACK, constants.SHUTDOWN_COMPLETE)


@final
class NatSupport:
    """NATs, as one association sees them."""

    __slots__ = ("_context", "_newcomer", "_held_back", "_open_asconf", "_peers", "_recovery")

    def __init__(
        self,
        context: Context,
        heartbeat: Heartbeat,
        open_asconf: Callable[[], AsconfResponder | None],
        held_back: Sequence[str],
    ) -> None:
        """`open_asconf` gives what changes addresses; None if that was not negotiated, or while it can't be used.
        `held_back`: our addresses that the peer is told of once the association is up (section 6.6).
        """
        self._context = context
        self._peers = PeerAddresses(context, heartbeat)
        self._open_asconf = open_asconf
        self._recovery: Ticket | None = None
        self._newcomer: Path | None = None  # an address that the peer may have moved to
        self._held_back = held_back

    def on_established(self) -> None:
        """Tell the peer of our other addresses, each through a NAT of its own (section 6.6)."""
        held_back = self._held_back
        self._held_back = ()
        asconf = self._open_asconf()
        if asconf is None:
            return
        for address in held_back:
            try:
                asconf.requester.add_local(address, wildcard=True)
            except ValueError:
                continue  # no address of the peer can be reached from there

    # What a NAT says.

    def on_error(self, found: Sequence[Cause], route: Route) -> None:
        """Take in an ERROR of a NAT, under the tag of a packet that we sent from the local address of `route`."""
        asconf = self._open_asconf()
        if asconf is None:
            return  # section 6.4.2: there is nothing that would help
        codes = {cause.code for cause in found}
        if constants.CAUSE_MISSING_STATE in codes:
            path = self._context.paths.find(route.address)
            local = self._context.paths.local
            if path is not None and route.local not in local.barred:  # several may have a NAT each
                ours = route.local if route.local in local.sources else path.route.local
                self._recover(asconf.requester, path, ours)
        elif constants.CAUSE_VTAG_COLLISION in codes or constants.CAUSE_PORT_COLLISION in codes:
            self._on_collision(asconf.requester, found)

    def _recover(self, asconf: AsconfRequester, path: Path, local: str) -> None:
        """Tell the NAT of the association, and the peer of the NAT's address, in one request (section 6.4.2)."""
        if self._recovery is not None and not self._recovery.is_done:
            return
        try:
            self._recovery = asconf.recover(path, local)
        except AsconfError:
            self._recovery = None  # the association is about to end, or the peer does not know ASCONF after all

    def _on_collision(self, asconf: AsconfRequester, found: Sequence[Cause]) -> None:
        """Add no address at a NAT where another association has our tags (section 6.2.2); abort without it (6.4.2)."""
        ticket = asconf.give_up_for_nat("another association has the same tag or port at the NAT", found)
        if ticket is None or ticket is not self._recovery or len(self._context.paths.local.sources) > 1:
            return
        text = "a NAT has lost the association, and has another one with the same tag or port now"
        self._context.abort(causes.pack_cause(constants.CAUSE_USER_ABORT), AssociationAborted(text, found))

    # What silence says.

    def on_silence(self, path: Path) -> None:
        """Look, after a time-out on this path, for a NAT that may have another address now, which nobody tells."""
        newcomer = self._newcomer
        paths = self._context.paths
        data_path = paths.data_path()
        if newcomer is path and path.state is PathState.UNCONFIRMED and path.error_count:
            self._newcomer = None
            self._peers.remove(path, data_path)
        elif path is data_path or data_path.state is not PathState.ACTIVE:  # there is none that would work
            if self._recovery is not None and self._recovery.is_ok:
                self._recovery = None  # NATs have been told: the first time-out after that may have other reasons
            elif any(each.error_count >= _SUSPICIOUS or each.state is PathState.INACTIVE for each in paths.paths):
                self._ask(path)

    def on_unanswered(self, times: int) -> None:
        """Look for the same after SHUTDOWN was not answered so many times, which does not count against a path."""
        if times == _SUSPICIOUS:
            self._ask(self._context.paths.data_path())

    def _ask(self, path: Path) -> None:
        asconf = self._open_asconf()
        if asconf is not None and is_translatable(path.route.local):
            self._recover(asconf.requester, path, path.route.local)

    # A peer whose address has changed.

    def admit(self, route: Route) -> Path | None:
        """Return a path by which to verify an address that isn't the peer's, and where a packet with our tag came from;
        None where that is no sign of a NAT: the peer has several addresses, or says by ASCONF where it is.
        """
        context = self._context
        setup = context.setup
        if setup is None or not setup.disable_restart or setup.dynamic_addresses or context.state not in PERMITTED:
            return None
        paths = context.paths
        if len(paths.paths) > 1 or not in_scope(route.address, paths.primary.route.address):
            return None
        self._newcomer = self._peers.admit(route)
        self._peers.adopt(self._newcomer)
        return self._newcomer

    def is_last_word(self, datagram: bytes) -> bool:
        """Return whether a packet with our tag, from an address that is not the peer's, only ends this association.

        Whoever gives up cannot say any more that a NAT has moved it. RFC 9260 section 8.5.1 B and C go by the tag, and
        so are associations found here (section 6.3.2); section 8.4 rule 5 answers SHUTDOWN ACK wherever it is from.
        """
        setup = self._context.setup
        if setup is None or not setup.disable_restart:
            return False
        at, end = constants.COMMON_HEADER_SIZE, len(datagram)
        try:
            if end - at > tlv.HEADER_SIZE and datagram[at] == constants.AUTH:
                at = tlv.item(datagram, at, end)[1] + 3 & -4
            first16, value_end = tlv.item(datagram, at, end)
        except tlv.Malformed:
            return False
        return first16 >> 8 in _LAST_WORDS and not first16 & 0xFF and value_end + 3 & -4 >= end

    def flush(self) -> None:
        """Send to the newcomer alone, if it has answered its HEARTBEAT (RFC 9260 section 5.4): once a batch is over, as
        more may have come from the address that goes by that.
        """
        newcomer = self._newcomer
        if newcomer is None or newcomer.state is not PathState.ACTIVE or self._context.state is CLOSED:
            return
        self._newcomer = None
        self._peers.prefer(newcomer)
        for path in list(self._context.paths.paths):
            if path is not newcomer:
                self._peers.remove(path, newcomer)
