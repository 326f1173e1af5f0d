"""The parts of one association: `Parts` are built when it begins, `EstablishedData` at the end of its handshake.

Whether the association is up is whether there is one of the latter. A restart of the peer makes another (RFC 9260
section 5.2.4 A). Which chunk goes to which part is in `dispatch`; what is built when, in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..errors import AsconfError, AssociationClosed, ReconfigError
from ..handlers.addresses.asconf_responder import AsconfResponder
from ..handlers.addresses.nat_support import NatSupport
from ..handlers.context import Context
from ..handlers.data.ecn import Ecn
from ..handlers.data.receiver import DataReceiver
from ..handlers.data.sender import Sender
from ..handlers.data.submission import Submission
from ..handlers.paths.heartbeat import Heartbeat
from ..handlers.setup.collision import Collision
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.handshake import Handshake
from ..handlers.setup.negotiation import Setup
from ..handlers.shutdown import Shutdown
from ..handlers.streams.reconfig_responder import ReconfigResponder
from ..inbound.reassembly import Recipient
from ..inbound.receive_window import Remains
from ..wire.constants import DATA, I_DATA
from ..wire.serial import Numbering, unwrap_upwards

#: What was negotiated, as far as chunk types come with it.
HAS_ECN: Final = 1
HAS_INTERLEAVING: Final = 2
HAS_PARTIAL_RELIABILITY: Final = 4
HAS_RECONFIG: Final = 8
HAS_ASCONF: Final = 16


@final
class EstablishedData:
    """The conversations about user data, about its streams, and about the association's end."""

    __slots__ = (
        "_context",
        "_heartbeat",
        "_path_users_before",
        "asconf",
        "cut_off",
        "ecn",
        "features",
        "pads",
        "receiver",
        "reconfig",
        "sender",
        "setup",
        "shutdown",
        "submission",
        "user_data",
    )

    def __init__(
        self,
        context: Context,
        heartbeat: Heartbeat,
        setup: Setup,
        recipient: Recipient,
        before: EstablishedData | None = None,
    ) -> None:
        """`before`: what there was until the peer restarted."""
        self._context = context
        self._heartbeat = heartbeat
        self.setup = setup  # as it was agreed on; streams may have been added since, see `Context.setup`
        extensions = setup.extensions
        interleaves = extensions.interleaving
        context.numbering = Numbering(0 if extensions.is_linux else 1) if interleaves else None
        self.receiver: DataReceiver = DataReceiver(context, recipient, setup)
        #: The streams on which a restart cuts off a message that the user has a part of.
        self.cut_off: list[int] = []
        first_tsn = setup.local_initial_tsn
        if before is not None:
            self.cut_off = self.receiver.succeed(before.receiver)
            # Messages keep their TSNs, which are to lie below all that come.
            first_tsn = unwrap_upwards(first_tsn, before.sender.outstanding.next_tsn)
        self.sender: Sender = Sender(context, setup, first_tsn)
        self.submission: Submission = Submission(
            context, self.sender, setup, None if before is None else before.submission
        )
        self.shutdown: Shutdown = Shutdown(context, self.receiver, self.sender, self.submission)
        self.ecn = Ecn(context, self.sender) if setup.ecn else None
        self.features = (
            HAS_ECN * setup.ecn
            + HAS_INTERLEAVING * interleaves
            + HAS_PARTIAL_RELIABILITY * extensions.partial_reliability
            + HAS_RECONFIG * extensions.stream_reconfig
            + HAS_ASCONF * setup.dynamic_addresses
        )
        self.user_data: int = I_DATA if interleaves else DATA  # the type of the chunks that carry it
        self.pads = extensions.pads  # the peer takes PAD chunks (RFC 4820)
        self.reconfig: ReconfigResponder | None = None  # made when it is first needed, see `open_reconfig`
        self.asconf: AsconfResponder | None = None  # the same
        self._path_users_before = len(context.path_users)
        context.path_users += (self.receiver, self.sender, self.shutdown)

    def open_reconfig(self) -> ReconfigResponder | None:
        """Return stream reconfiguration (RFC 6525); None if it was not negotiated."""
        setup = self.setup
        if self.reconfig is None and setup.extensions.stream_reconfig:
            self.reconfig = ReconfigResponder(self._context, self.sender, self.submission, self.receiver, setup)
            self._context.path_users.append(self.reconfig.requester.retry)
        return self.reconfig

    def open_asconf(self) -> AsconfResponder | None:
        """Return what changes addresses (RFC 5061); None if that was not negotiated."""
        if self.asconf is None and self.setup.dynamic_addresses:
            self.asconf = AsconfResponder(self._context, self._heartbeat, self.setup)
            self._context.path_users.append(self.asconf.requester.retry)
        return self.asconf

    def end(self, reason: str) -> None:
        """Refer to no paths any more, and tell those who wait for a request of ours that nobody will answer it."""
        del self._context.path_users[self._path_users_before :]
        if self.reconfig is not None:
            self.reconfig.end(reason)
        if self.asconf is not None:
            self.asconf.requester.give_up(reason)


@final
class Parts:
    """Who does what in one association. What is not needed, or was not negotiated, is None."""

    __slots__ = ("collision", "context", "data", "handshake", "heartbeat", "nat", "remains")

    def __init__(self, context: Context, cookies: CookieJar, held_back: Sequence[str]) -> None:
        """`held_back`: our addresses that the peer is told of once the association is up (natsupp section 6.6)."""
        self.context = context
        self.heartbeat = Heartbeat(context)
        context.path_users.append(self.heartbeat)
        self.collision = Collision(context, cookies, self.heartbeat)
        self.nat: NatSupport | None = None
        if context.config.nat_support:
            self.nat = NatSupport(context, self.heartbeat, self.open_asconf, held_back)
        self.handshake: Handshake | None = None  # while we set the association up
        self.data: EstablishedData | None = None  # from the end of the handshake to that of the association
        self.remains: Remains | None = None  # after the end: what came and is still to be read

    @property
    def established(self) -> EstablishedData:
        """What carries user data. `AssociationClosed` before and after."""
        data = self.data
        if data is None:
            raise AssociationClosed(f"the association carries no data in state {self.context.state.value}")
        return data

    def open_asconf(self) -> AsconfResponder | None:
        """Return what changes addresses (RFC 5061); None if it was not negotiated, or the association is not up."""
        return None if self.data is None else self.data.open_asconf()

    def need_reconfig(self) -> ReconfigResponder:
        """Return stream reconfiguration (RFC 6525); `ReconfigError` if there is none."""
        reconfig = None if self.data is None else self.data.open_reconfig()
        if reconfig is None:
            raise ReconfigError("stream reconfiguration (RFC 6525) was not negotiated")
        return reconfig

    def need_asconf(self) -> AsconfResponder:
        """Return what changes addresses; `AsconfError` if there is nothing."""
        asconf = self.open_asconf()
        if asconf is None:
            raise AsconfError("changing addresses (RFC 5061) was not negotiated, or the association is not up")
        return asconf

    def hears(self, address: str) -> bool:
        """Return whether packets are taken from this address of the peer, which nothing is sent to."""
        setup = self.context.setup
        if setup is None and self.handshake is not None:
            setup = self.handshake.setup
        return setup is not None and setup.hears(address)
