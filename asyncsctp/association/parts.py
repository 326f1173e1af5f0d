"""The rooms of one association under one roof: built when it begins, furnished for data once it is established."""

from __future__ import annotations

from typing import final

from ..errors import AsconfError, ReconfigError
from ..handlers.addresses.asconf import Asconf
from ..handlers.addresses.nat import Nat
from ..handlers.auth import Authentication, vouches
from ..handlers.context import Context
from ..handlers.data.ecn import Ecn
from ..handlers.data.receiver import Reception
from ..handlers.data.sender import Transmission
from ..handlers.data.submission import Submission
from ..handlers.paths.heartbeat import Heartbeat
from ..handlers.setup.agreement import Setup
from ..handlers.setup.collision import Collision
from ..handlers.setup.cookie import CookieJar
from ..handlers.setup.handshake import Handshake
from ..handlers.shutdown import Shutdown
from ..handlers.state import ESTABLISHED
from ..handlers.streams.reconfig import Reconfig
from ..handlers.streams.reconfig_streams import Incoming, Outgoing
from ..handlers.violations import Violations
from ..inbound.budget import Remains
from ..inbound.reassembly import Recipient
from ..outbound.message import Terms
from ..paths.path import Path
from ..paths.route import Route
from ..timers import T3_RTX, timer_key
from ..wire.numbering import Numbering
from ..wire.serial import unwrap_upwards
from ..wire.tlv import Malformed
from .outbox import Outbox
from .packetizer import Packetizer


@final
class Rooms:
    """Who does what in one association. A room that is not needed, or was not negotiated, is None."""

    __slots__ = (
        "asconf",
        "authentication",
        "collision",
        "context",
        "ecn",
        "handshake",
        "heartbeat",
        "nat",
        "packetizer",
        "reception",
        "reconfig",
        "remains",
        "shutdown",
        "submission",
        "transmission",
        "violations",
    )

    def __init__(self, context: Context, cookies: CookieJar, outbox: Outbox) -> None:
        self.context = context
        self.heartbeat = Heartbeat(context)
        self.collision = Collision(context, cookies, self.heartbeat)
        self.violations = Violations(context)
        self.packetizer = Packetizer(context, outbox)
        self.nat = Nat(context, self.heartbeat, self.open_asconf) if context.config.nat_support else None
        self.handshake: Handshake | None = None
        self.reception: Reception | None = None
        self.remains: Remains | None = None  # after the end: what came and is still to be read
        self.transmission: Transmission | None = None
        self.submission: Submission | None = None
        self.shutdown: Shutdown | None = None
        self.ecn: Ecn | None = None
        self.authentication: Authentication | None = None  # made when the user wants something of it first
        self.reconfig: Reconfig | None = None  # made when it is needed first, see `open_reconfig`
        self.asconf: Asconf | None = None  # the same

    def furnish(self, setup: Setup, recipient: Recipient) -> list[int]:
        """Build the rooms that user data needs; those that the handshake needed go. The streams on which that cuts off
        a message that the user has a part of.
        """
        context = self.context
        cut_off: list[int] = []
        self.handshake = None
        if self.reconfig is not None:
            self._end_reconfig("the peer restarted the association")
        if self.asconf is not None:
            self._end_asconf("the peer restarted the association")
        context.numbering = Numbering(0 if setup.is_linux else 1) if setup.interleaving else None
        before = self.reception
        self.reception = Reception(context, self.violations, recipient, setup)
        if before is not None:
            cut_off = self.reception.succeed(before)
        first_tsn = setup.local_initial_tsn
        if self.transmission is not None:  # messages keep their TSNs, which are to lie below all that come
            first_tsn = unwrap_upwards(first_tsn, self.transmission.outstanding.next_tsn)
        self.transmission = Transmission(context, self.violations, setup, first_tsn)
        self.submission = Submission(context, self.transmission, setup, self.submission)
        self.shutdown = Shutdown(context, self.reception)
        self.ecn = Ecn(context, self.transmission) if setup.ecn else None
        self.packetizer.furnish(self.reception, self.transmission, self.ecn)
        return cut_off

    def open_reconfig(self) -> Reconfig | None:
        """Stream reconfiguration; None if it was not negotiated, or if the association is not up (RFC 6525)."""
        setup = self.context.setup
        transmission = self.transmission
        submission = self.submission
        reception = self.reception
        if self.reconfig is None and setup is not None and setup.stream_reconfig:
            if transmission is not None and submission is not None and reception is not None:
                self.reconfig = Reconfig(
                    self.context,
                    self.violations,
                    Outgoing(self.context, transmission, submission),
                    Incoming(self.context, reception),
                    setup.local_initial_tsn,
                    setup.peer_initial_tsn,
                )
        return self.reconfig

    def need_reconfig(self) -> Reconfig:
        """The same; `ReconfigError` if there is none."""
        reconfig = self.open_reconfig()
        if reconfig is None:
            raise ReconfigError("stream reconfiguration (RFC 6525) was not negotiated")
        return reconfig

    def open_authentication(self) -> Authentication:
        """The shared keys, for the user (RFC 4895)."""
        if self.authentication is None:
            self.authentication = Authentication(self.context)
        return self.authentication

    def assign_key(self, terms: Terms, key_id: int) -> None:
        """Let a message with these terms be authenticated with this key. `ValueError` if there is no such key.

        From the first on, all packets leave space for AUTH.
        """
        self.open_authentication().assign(terms, key_id)
        keyring = self.context.keyring
        transmission = self.transmission
        if keyring is not None and transmission is not None and self.context.paths.reserve(keyring.size):
            transmission.measure()

    def flush_reconfig(self) -> None:
        """Send what has become due by what has left, and go on with a shutdown that waited for the same."""
        while self.reconfig is not None and self.reconfig.advance():
            if self.context.state is not ESTABLISHED and self.shutdown is not None:
                self.shutdown.advance()
            self.packetizer.flush()

    def _end_reconfig(self, reason: str) -> None:
        if self.reconfig is not None:
            self.reconfig.end(reason)
            self.reconfig = None

    def open_asconf(self) -> Asconf | None:
        """Changing addresses (RFC 5061); None if it was not negotiated, or if the association is not up."""
        setup = self.context.setup
        if self.asconf is None and setup is not None and setup.dynamic_addresses and self.transmission is not None:
            self.asconf = Asconf(self.context, self.heartbeat, setup)
        return self.asconf

    def need_asconf(self) -> Asconf:
        """The same; `AsconfError` if there is none."""
        asconf = self.open_asconf()
        if asconf is None:
            raise AsconfError("changing addresses (RFC 5061) was not negotiated, or the association is not up")
        return asconf

    def _end_asconf(self, reason: str) -> None:
        if self.asconf is not None:
            self.asconf.requester.give_up(reason)
            self.asconf = None

    def hears(self, address: str) -> bool:
        """Whether packets are taken from this address of the peer, which nothing is sent to."""
        setup = self.context.setup
        if setup is None and self.handshake is not None:
            setup = self.handshake.setup
        return setup is not None and setup.hears(address)

    # Paths that come and go.

    def admit(self, datagram: bytes, route: Route) -> Path | None:
        """A path for a packet with our tag from an address that isn't the peer's, if that may become it; `dismiss`
        follows.
        """
        asconf = self.open_asconf()
        if asconf is not None:
            return asconf.admit(datagram, route)
        return self.nat.admit(route) if self.nat is not None and self.vouches(datagram) else None

    def is_last_word(self, datagram: bytes) -> bool:
        """Whether a packet with our tag is to be taken wherever it came from, as it ends the association."""
        try:
            return self.nat is not None and self.nat.is_last_word(datagram)
        except Malformed:
            return False

    def vouches(self, datagram: bytes) -> bool:
        """Whether a packet with our tag is to be believed where it came from."""
        if self.context.keyring is None:
            return True
        try:
            return vouches(self.context, datagram)
        except Malformed:
            return False

    def readmit(self, datagram: bytes, route: Route) -> None:
        """There is none: the packet is dropped, but for the answer that its sender may need to be heard at all."""
        try:
            answered = self.collision.on_unknown_source(datagram, route)
        except Malformed:
            answered = False
        if not answered:
            self.context.statistics.unexpected_chunks += 1

    def dismiss(self, path: Path) -> None:
        """The packet has been walked."""
        if self.asconf is not None:
            self.asconf.peers.dismiss(path)

    def add_path(self, path: Path) -> None:
        """There is one more path, or what may become one."""
        if self.transmission is not None:
            self.transmission.add_path(path.path_id)

    def vacate(self, path: Path, other: Path) -> None:
        """This path is no more: what refers to it is for the other one."""
        path_id, other_id = path.path_id, other.path_id
        context = self.context
        self.heartbeat.forget(path)
        context.vacate(path, other_id)
        if self.transmission is not None:
            self.transmission.vacate(path_id, other_id)
            context.timers.stop(timer_key(T3_RTX, path_id))
        if self.reception is not None and self.reception.path_id == path_id:
            self.reception.path_id = other_id
        if self.shutdown is not None:
            self.shutdown.vacate(path_id, other_id)
        if self.reconfig is not None:
            self.reconfig.requests.vacate(path_id, other_id)
        if self.asconf is not None:
            self.asconf.requester.retry.forget_path(path, other)

    def clear(self) -> None:
        """The association has ended: nothing is sent or received any more."""
        if self.reconfig is not None:
            self._end_reconfig("the association has ended")
        if self.asconf is not None:
            self._end_asconf("the association has ended")
        if self.reception is not None:
            self.remains = self.reception.close()
        self.handshake = self.reception = self.transmission = self.submission = self.shutdown = self.ecn = None
        self.packetizer.furnish(None, None, None)
