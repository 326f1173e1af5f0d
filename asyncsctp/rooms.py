"""The rooms of one association under one roof: built when it begins, furnished for data once it is established."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from .handlers.collision import Collision
from .handlers.context import Context, Setup
from .handlers.cookie import CookieJar
from .handlers.ecn import Ecn
from .handlers.handshake import Handshake
from .handlers.heartbeat import Heartbeat
from .handlers.reception import Reception
from .handlers.shutdown import Shutdown
from .handlers.submission import Submission
from .handlers.transmission import Transmission
from .handlers.violations import Violations
from .inbound.reassembly import Recipient
from .outbox import Outbox
from .packetizer import Packetizer

__all__ = ["Rooms"]


@final
class Rooms:
    """Who does what in one association. A room that is not needed, or was not negotiated, is None."""

    __slots__ = (
        "collision",
        "context",
        "ecn",
        "handshake",
        "heartbeat",
        "packetizer",
        "reception",
        "shutdown",
        "submission",
        "transmission",
        "violations",
    )

    def __init__(self, context: Context, cookies: CookieJar, local_addresses: Sequence[str], outbox: Outbox) -> None:
        self.context = context
        self.collision = Collision(context, cookies, local_addresses)
        self.heartbeat = Heartbeat(context)
        self.violations = Violations(context)
        self.packetizer = Packetizer(context, outbox)
        self.handshake: Handshake | None = None
        self.reception: Reception | None = None
        self.transmission: Transmission | None = None
        self.submission: Submission | None = None
        self.shutdown: Shutdown | None = None
        self.ecn: Ecn | None = None

    def furnish(self, setup: Setup, recipient: Recipient) -> None:
        """Build the rooms that user data needs; those that the handshake needed go."""
        context = self.context
        self.handshake = None
        before = self.reception
        self.reception = Reception(context, self.violations, recipient, setup)
        if before is not None:
            self.reception.succeed(before)
        self.transmission = Transmission(context, self.violations, setup)
        self.submission = Submission(context, self.transmission, setup)
        self.shutdown = Shutdown(context, self.reception)
        self.ecn = Ecn(context, self.transmission) if setup.ecn else None
        self.packetizer.furnish(self.reception, self.transmission, self.ecn)

    def clear(self) -> None:
        """The association has ended: nothing is sent or received any more."""
        if self.reception is not None:
            self.reception.close()
        self.handshake = self.reception = self.transmission = self.submission = self.shutdown = self.ecn = None
        self.packetizer.furnish(None, None, None)
