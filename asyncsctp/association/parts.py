"""The parts of one association: built when it begins, and those for user data once it is established.

Which chunk goes to which part is in `dispatch`; what is built when, in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ..errors import AsconfError, AssociationClosed, ReconfigError
from ..handlers.addresses.asconf import Asconf
from ..handlers.addresses.nat_support import NatSupport
from ..handlers.auth import Authentication, proves_source
from ..handlers.context import Context
from ..handlers.paths.heartbeat import Heartbeat
from ..handlers.setup.agreement import Setup
from ..handlers.setup.collision import Collision
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.handshake import Handshake
from ..handlers.state import ESTABLISHED
from ..handlers.streams.reconfig import Reconfig
from ..handlers.violations import Violations
from ..inbound.budget import Remains
from ..inbound.reassembly import Recipient
from ..outbound.message import Terms
from ..paths.path import Path
from ..paths.route import Route
from ..wire.tlv import Malformed
from .established import EstablishedData
from .outbox import Outbox
from .packetizer import Packetizer


@final
class Parts:
    """Who does what in one association. What is not needed, or was not negotiated, is None."""

    __slots__ = (
        "authentication",
        "collision",
        "context",
        "data",
        "handshake",
        "heartbeat",
        "nat",
        "packetizer",
        "remains",
        "violations",
    )

    def __init__(self, context: Context, cookies: CookieJar, outbox: Outbox) -> None:
        self.context = context
        self.heartbeat = Heartbeat(context)
        context.path_users.append(self.heartbeat)
        self.collision = Collision(context, cookies, self.heartbeat)
        self.violations = Violations(context)
        self.packetizer = Packetizer(context, outbox)
        self.nat = NatSupport(context, self.heartbeat, self.open_asconf) if context.config.nat_support else None
        self.handshake: Handshake | None = None  # while we set the association up
        self.data: EstablishedData | None = None  # from the end of the handshake to that of the association
        self.remains: Remains | None = None  # after the end: what came and is still to be read
        self.authentication: Authentication | None = None  # made when the user first wants something of it

    @property
    def established(self) -> EstablishedData:
        """What carries user data. `AssociationClosed` before and after."""
        data = self.data
        if data is None:
            raise AssociationClosed(f"the association carries no data in state {self.context.state.value}")
        return data

    def associate(self, local_addresses: Sequence[str], held_back: tuple[str, ...]) -> None:
        """Begin to set the association up, from our side; the addresses held back are for later (natsupp section
        6.6).
        """
        if self.nat is not None:
            self.nat.held_back = held_back
        self.handshake = Handshake(self.context, local_addresses, self.context.local_tag)
        self.handshake.associate()

    def establish(self, setup: Setup, recipient: Recipient) -> EstablishedData:
        """Make what carries user data, in place of what the handshake needed or of what there was before a restart."""
        self.handshake = None
        if self.data is not None:
            self.data.end("the peer restarted the association")
        self.data = EstablishedData(self.context, self.violations, self.heartbeat, setup, recipient, self.data)
        return self.data

    def open_asconf(self) -> Asconf | None:
        """Return what changes addresses (RFC 5061); None if it was not negotiated, or the association is not up."""
        return None if self.data is None else self.data.open_asconf()

    def need_reconfig(self) -> Reconfig:
        """Return stream reconfiguration (RFC 6525); `ReconfigError` if there is none."""
        reconfig = None if self.data is None else self.data.open_reconfig()
        if reconfig is None:
            raise ReconfigError("stream reconfiguration (RFC 6525) was not negotiated")
        return reconfig

    def need_asconf(self) -> Asconf:
        """Return what changes addresses; `AsconfError` if there is nothing."""
        asconf = self.open_asconf()
        if asconf is None:
            raise AsconfError("changing addresses (RFC 5061) was not negotiated, or the association is not up")
        return asconf

    def open_authentication(self) -> Authentication:
        """Return the shared keys, for the user (RFC 4895)."""
        if self.authentication is None:
            self.authentication = Authentication(self.context)
        return self.authentication

    def assign_key(self, terms: Terms, key_id: int) -> None:
        """Let a message with these terms be authenticated with this key. `ValueError` if there is no such key.

        From the first on, all packets leave space for AUTH.
        """
        self.open_authentication().assign(terms, key_id)
        keyring = self.context.keyring
        if keyring is not None and self.data is not None and self.context.paths.reserve(keyring.size):
            self.data.sender.measure()

    def flush_reconfig(self, data: EstablishedData) -> None:
        """Send what has become due by what has left, and go on with a shutdown that waited for the same."""
        while data is self.data and data.reconfig is not None and data.reconfig.advance():
            if self.context.state is not ESTABLISHED:
                data.shutdown.advance()
            self.packetizer.flush(self.data)

    def hears(self, address: str) -> bool:
        """Return whether packets are taken from this address of the peer, which nothing is sent to."""
        setup = self.context.setup
        if setup is None and self.handshake is not None:
            setup = self.handshake.setup
        return setup is not None and setup.hears(address)

    # Paths that come and go.

    def admit(self, datagram: bytes, route: Route) -> Path | None:
        """Return a path for a packet with our tag from an address that isn't the peer's, if that may become it; call
        `release` once the packet has been processed.
        """
        asconf = self.open_asconf()
        if asconf is not None:
            return asconf.admit(datagram, route)
        return self.nat.admit(route) if self.nat is not None and proves_source(self.context, datagram) else None

    def is_last_word(self, datagram: bytes) -> bool:
        """Return whether a packet with our tag is to be taken wherever it came from, as it ends the association."""
        try:
            return self.nat is not None and self.nat.is_last_word(datagram)
        except Malformed:
            return False

    def release(self, path: Path) -> None:
        """Forget a path that `admit` gave, unless the packet has made its address the peer's."""
        if self.data is not None and self.data.asconf is not None:
            self.data.asconf.peers.discard(path)

    def end(self) -> None:
        """End all conversations, as the association has ended: nothing is sent or received any more."""
        self.handshake = None
        if self.data is not None:
            self.data.end("the association has ended")
            self.remains = self.data.receiver.close()
            self.data = None
