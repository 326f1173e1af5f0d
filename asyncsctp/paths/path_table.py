"""Which paths there are: the peer's addresses, the numbers that stand for them, and the size of packets they carry.

The table does not know which of them is fit for use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..config import Config
from ..congestion.rfc9260 import RFC9260
from ..events import PathState
from .encapsulation import Route, chunk_room, is_ipv4, normalize
from .local_addresses import NOWHERE, LocalAddresses
from .path import Path
from .rto import RtoEstimator

__all__ = ["PathTable"]

_DEFAULT_MTU: Final = 1280  # IPv6 guarantees it; IPv4 tunnels carry it too


class PathTable:
    """The paths of one association.

    `paths` are those in use, in order. `by_id` is the lookup for what was sent earlier: an id is used again once the
    path that had it was removed, and nothing refers to it (`release`). `local` are our own addresses.
    """

    __slots__ = (
        "_by_address",
        "_config",
        "_families",
        "_free",
        "_udp_port",
        "amdcs",
        "by_id",
        "local",
        "paths",
        "reserved",
    )

    def __init__(self, config: Config, local_addresses: Sequence[str], udp_port: int) -> None:
        self._config = config
        self.local = LocalAddresses(local_addresses)
        self._udp_port = udp_port
        self._by_address: dict[str, Path] = {}
        self.by_id: list[Path] = []
        self._free: list[int] = []  # ids
        self.paths: list[Path] = []
        self._families = [0, 0]  # addresses paired so far: IPv6, IPv4
        self.amdcs = 0  # the largest chunk that fits a packet of every path (section 7.3)
        self.reserved = 0  # of each packet, for AUTH

    def find(self, address: str) -> Path | None:
        """The path to an address, as the peer or the user spells it."""
        return self._by_address.get(address) or self._by_address.get(normalize(address))

    def prepare(self, address: str, *, confirmed: bool = False) -> Path:
        """A path to what may become an address of the peer; nothing but what is sent to it by name goes there, and
        nothing at all where we have no address of its family.
        """
        ipv4 = is_ipv4(address)
        locals_ = self.local.sources_for(address) or [NOWHERE]
        position = self._families[ipv4]
        self._families[ipv4] += 1
        local = locals_[position] if position < len(locals_) else locals_[0]
        config = self._config
        mtu = config.mtu or _DEFAULT_MTU
        path = Path(
            self._free.pop() if self._free else len(self.by_id),
            Route(local, address, self._udp_port),
            PathState.ACTIVE if confirmed else PathState.UNCONFIRMED,
            mtu,
            RtoEstimator(config.rto_initial, config.rto_min, config.rto_max),
            (config.congestion or RFC9260)(chunk_room(mtu, ipv4) - self.reserved, ipv4),
        )
        path.payload -= self.reserved
        path.max_retrans = config.path_max_retrans
        path.heartbeat_interval = config.heartbeat_interval
        if path.path_id == len(self.by_id):
            self.by_id.append(path)
        else:
            self.by_id[path.path_id] = path
        return path

    def attach(self, path: Path) -> None:
        """Use a path that `prepare` has made."""
        if path.path_id in self._free:
            self._free.remove(path.path_id)
        self.paths.append(path)
        self._by_address[path.route.address] = path
        self._measure()

    def release(self, path: Path) -> None:
        """Nothing refers to a path any more that is not in use: its id may become another's."""
        path_id = path.path_id
        if self.by_id[path_id] is path and path not in self.paths and path_id not in self._free:
            self._free.append(path_id)

    def on_message_size(self, path: Path, mtu: int) -> bool:
        """The system reports that IP packets above `mtu` don't get through to this path; whether that was news."""
        changed = path.on_message_size(mtu, self.reserved)
        if changed:
            self._measure()
        return changed

    def reserve(self, size: int) -> bool:
        """Leave so many bytes of each packet to AUTH (RFC 4895 section 6.2); whether that is another size."""
        if size == self.reserved:
            return False
        self.reserved = size
        for path in self.by_id:
            path.reserve(size)
        self._measure()
        return True

    def _measure(self) -> None:
        self.amdcs = min(path.payload for path in self.paths)
