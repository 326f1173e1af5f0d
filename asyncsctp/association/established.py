"""What an association has from the end of its handshake to its own end: all that carries user data.

Whether the association is up is whether there is one of these. A restart of the peer makes another (RFC 9260 section
5.2.4 A). Who makes it, and what an association has besides, stands in `parts`.
"""

from __future__ import annotations

from typing import Final, final

from ..handlers.addresses.asconf import Asconf
from ..handlers.context import Context
from ..handlers.data.ecn import Ecn
from ..handlers.data.receiver import DataReceiver
from ..handlers.data.sender import Sender
from ..handlers.data.submission import Submission
from ..handlers.paths.heartbeat import Heartbeat
from ..handlers.setup.agreement import Setup
from ..handlers.shutdown import Shutdown
from ..handlers.streams.outgoing_streams import OutgoingStreams
from ..handlers.streams.reconfig import Reconfig
from ..handlers.violations import Violations
from ..inbound.reassembly import Recipient
from ..wire.constants import DATA, I_DATA, PAD
from ..wire.numbering import Numbering
from ..wire.serial import unwrap_upwards

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
        "_violations",
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
        violations: Violations,
        heartbeat: Heartbeat,
        setup: Setup,
        recipient: Recipient,
        before: EstablishedData | None = None,
    ) -> None:
        """`before`: what there was until the peer restarted."""
        self._context = context
        self._violations = violations
        self._heartbeat = heartbeat
        self.setup = setup  # as it was agreed on; streams may have been added since, see `Context.setup`
        interleaves = setup.interleaving
        context.numbering = Numbering(0 if setup.is_linux else 1) if interleaves else None
        self.receiver: DataReceiver = DataReceiver(context, violations, recipient, setup)
        #: The streams on which a restart cuts off a message that the user has a part of.
        self.cut_off: list[int] = []
        first_tsn = setup.local_initial_tsn
        if before is not None:
            self.cut_off = self.receiver.succeed(before.receiver)
            # Messages keep their TSNs, which are to lie below all that come.
            first_tsn = unwrap_upwards(first_tsn, before.sender.outstanding.next_tsn)
        self.sender: Sender = Sender(context, violations, setup, first_tsn)
        self.submission: Submission = Submission(
            context, self.sender, setup, None if before is None else before.submission
        )
        self.shutdown: Shutdown = Shutdown(context, self.receiver, self.sender, self.submission)
        self.ecn = Ecn(context, self.sender) if setup.ecn else None
        self.features = (
            HAS_ECN * setup.ecn
            + HAS_INTERLEAVING * interleaves
            + HAS_PARTIAL_RELIABILITY * setup.partial_reliability
            + HAS_RECONFIG * setup.stream_reconfig
            + HAS_ASCONF * setup.dynamic_addresses
        )
        self.user_data: int = I_DATA if interleaves else DATA  # the type of the chunks that carry it
        self.pads = PAD in setup.extensions  # the peer takes PAD chunks (RFC 4820)
        self.reconfig: Reconfig | None = None  # made when it is first needed, see `open_reconfig`
        self.asconf: Asconf | None = None  # the same
        context.path_users += (self.receiver, self.sender, self.shutdown)

    def open_reconfig(self) -> Reconfig | None:
        """Return stream reconfiguration (RFC 6525); None if it was not negotiated."""
        setup = self.setup
        if self.reconfig is None and setup.stream_reconfig:
            self.reconfig = Reconfig(
                self._context,
                self._violations,
                OutgoingStreams(self._context, self.sender, self.submission),
                self.receiver,
                setup.local_initial_tsn,
                setup.peer_initial_tsn,
            )
            self._context.path_users.append(self.reconfig.requester.retry)
        return self.reconfig

    def open_asconf(self) -> Asconf | None:
        """Return what changes addresses (RFC 5061); None if that was not negotiated."""
        if self.asconf is None and self.setup.dynamic_addresses:
            self.asconf = Asconf(self._context, self._heartbeat, self.setup)
            self._context.path_users.append(self.asconf.requester.retry)
        return self.asconf

    def end(self, reason: str) -> None:
        """Refer to no paths any more, and tell those who wait for a request of ours that nobody will answer it."""
        users = self._context.path_users
        for user in (self.receiver, self.sender, self.shutdown):
            users.remove(user)
        if self.reconfig is not None:
            users.remove(self.reconfig.requester.retry)
            self.reconfig.end(reason)
        if self.asconf is not None:
            users.remove(self.asconf.requester.retry)
            self.asconf.requester.give_up(reason)
