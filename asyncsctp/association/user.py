"""What an association calls back: the program above it, or the shell that serves that."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from ..errors import SCTPError
from ..events import Event
from ..inbound.reassembly import Recipient


@mypyc_attr(allow_interpreted_subclasses=True)
class AssociationUser(Recipient):
    """What an association calls back. Derive from it, and take what is of interest.

    Messages and parts come as soon as they are whole, in the middle of a packet. All else is told after the packet, the
    timer or the call that it came of, one thing after the other. Any of these may call verbs of the association.
    """

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """Take a message. It fills the receive window until `Association.consumed` is called with its size."""

    def on_event(self, event: Event) -> None:
        """Take anything else worth telling."""

    def on_writable(self) -> None:
        """Write on: `Association.buffered` has become smaller, by what came before this flush."""

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        """Take the answer to `Association.heartbeat`: it took so many seconds; None: there was none."""

    def on_outcome(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        """Hear of a watched message: it was acknowledged, the last of it over `address`; or not, and `reason` is not
        empty. `transmissions` is the most that one of its chunks took.
        """

    def on_complete(self) -> None:
        """Hear that the peer has shut down and each side has all that the other sent; nothing more comes but the
        end.
        """

    def on_closed(self, error: SCTPError | None) -> None:
        """Hear that the association has ended, gracefully if `error` is None. Nothing is called after this."""
