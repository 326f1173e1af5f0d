"""What the user is to be told, beside events, once the packet, the timer or the call at work has been dealt with.

In the middle of a step nothing may change that the step relies on, and a user who is called back may change anything.
So handlers leave notices, and `association.lifecycle` calls the user between two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..events import Event


@final
class Outcome:
    """A message that someone watches was acknowledged, the last of it over `address`; or given up for a reason."""

    __slots__ = ("address", "reason", "transmissions", "watcher")

    def __init__(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        self.watcher: Final = watcher
        self.reason: Final = reason
        self.address: Final = address
        self.transmissions: Final = transmissions


@final
class HeartbeatAnswer:
    """A HEARTBEAT that the user asked for was answered after so many seconds, or was not (None)."""

    __slots__ = ("address", "round_trip")

    def __init__(self, address: str, round_trip: float | None) -> None:
        self.address: Final = address
        self.round_trip: Final = round_trip


@final
class Signal:
    """One of the three below, which say no more than that they are there."""

    __slots__ = ()


#: There is more space in the send buffer.
WRITABLE: Final = Signal()
#: Each side has all that the other sent, and nothing is missing of the end but the SHUTDOWN COMPLETE.
COMPLETE: Final = Signal()
#: The peer's addresses have changed, which is for the endpoint to know, and not for the user.
MOVED: Final = Signal()

#: What may be told. A function is called: the user's, that a request of his is done; or a handler's, that goes on then.
Notice = Event | Outcome | HeartbeatAnswer | Signal | Callable[[], None]
