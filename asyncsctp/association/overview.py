"""What is known of an association at any time, for those who ask."""

from __future__ import annotations

from collections.abc import Collection

from ..config import Config
from ..handlers.addresses.asconf import Asconf
from ..handlers.auth import Authentication
from ..handlers.context import Context
from ..handlers.keyring import Keyring
from ..handlers.state import FORMING, State
from ..handlers.streams.reconfig import Reconfig
from ..paths.path import Path
from ..paths.path_manager import PathManager
from ..statistics import Statistics
from .parts import Rooms


class Overview:
    """The side of an association that answers questions and changes nothing."""

    __slots__ = ("_rooms", "context")

    context: Context
    _rooms: Rooms

    @property
    def state(self) -> State:
        """The state of RFC 9260 section 4."""
        return self.context.state

    @property
    def statistics(self) -> Statistics:
        """The counters, live."""
        return self.context.statistics

    @property
    def path_manager(self) -> PathManager:
        """The peer's addresses, and the paths to them."""
        return self.context.paths

    def path_to(self, address: str) -> Path:
        """The path to an address of the peer. `ValueError` for another one."""
        path = self.context.paths.find(address)
        if path is None:
            raise ValueError(f"{address} is not an address of the peer")
        return path

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.context.config

    @property
    def keyring(self) -> Keyring | None:
        """What the peer's chunks are authenticated with, once that is settled."""
        return None if self.context.state in FORMING else self.context.keyring

    @property
    def outgoing_streams(self) -> int:
        """How many streams we may send on; 0 before the association is established."""
        return self.context.setup.outgoing_streams if self.context.setup is not None else 0

    @property
    def incoming_streams(self) -> int:
        """How many streams the peer may send on; 0 before the association is established."""
        return self.context.setup.incoming_streams if self.context.setup is not None else 0

    @property
    def buffered(self) -> int:
        """User bytes that were written and are not acknowledged."""
        transmission = self._rooms.transmission
        return 0 if transmission is None else transmission.buffered

    @property
    def movable(self) -> int:
        """Of these, the bytes that go without a message that is being written in parts being ended first."""
        transmission = self._rooms.transmission
        return 0 if transmission is None else transmission.movable

    def pressing(self, sids: Collection[int]) -> list[int]:
        """Those of these streams whose message in parts has begun to leave, and holds up others until it is ended."""
        transmission = self._rooms.transmission
        return [] if transmission is None else transmission.queue.pressing(sids)

    def buffered_of(self, sid: int) -> int:
        """User bytes of one stream that were written and have not left."""
        return 0 if self._rooms.transmission is None else self._rooms.transmission.queue.buffered_of(sid)

    def abandoned(self) -> dict[tuple[int, int], tuple[int, int]]:
        """By stream and policy, how many messages were given up before and after they had begun to leave."""
        transmission = self._rooms.transmission
        if transmission is None or transmission.abandonment is None:
            return {}
        return transmission.abandonment.partial.abandoned

    def in_flight(self, path_id: int) -> int:
        """Bytes in flight on a path, as its congestion window counts them."""
        return 0 if self._rooms.transmission is None else self._rooms.transmission.outstanding.in_flight[path_id]

    @property
    def next_expiry(self) -> float:
        """When to call `expire`; infinity if there is nothing to wait for."""
        return self.context.timers.next_expiry

    @property
    def reconfig(self) -> Reconfig:
        """Stream reconfiguration (RFC 6525). `ReconfigError` if it was not negotiated, or the association is not up."""
        return self._rooms.need_reconfig()

    @property
    def authentication(self) -> Authentication:
        """The shared keys (RFC 4895); its verbs raise `ValueError` if authentication was not negotiated."""
        return self._rooms.open_authentication()

    @property
    def asconf(self) -> Asconf:
        """Changing our addresses (RFC 5061). `AsconfError` if it was not negotiated, or the association is not up."""
        return self._rooms.need_asconf()
