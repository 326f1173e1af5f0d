"""All of the peer's addresses, and ours to send to each of them from (RFC 9260 sections 5.1.2, 5.4, 6.4.1 and 7.3).

The manager knows addresses and settings; `failover` counts errors and picks paths. It starts no timer, sends nothing,
and tells nobody: what changed is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from ..config import Config
from ..congestion.guard import make
from ..path_state import ACTIVE, INACTIVE, UNCONFIRMED, PathState
from .choice import best
from .failover import ROTATE_AT, Failover, Verdict
from .local_addresses import NOWHERE, LocalAddresses
from .path import Path
from .route import Route, chunk_room, is_ipv4, normalize, wildcard_of
from .rto import RtoEstimator
from .settings import common_settings

_HB_MAX_BURST: Final = 1  # section 16


@final
class PathManager(Failover):
    """The paths of one association: at least one. The first is the primary path until the user says otherwise.

    `paths` are those in use, in order. `by_id` is the lookup for what was sent earlier: an id is used again once the
    path that had it was removed, and nothing refers to it (`release`). `local`: our own addresses.
    """

    __slots__ = (
        "_by_address",
        "_free",
        "_report",  # called with what goes wrong with a congestion controller
        "_settings",  # of the paths that have none of their own
        "_turns",  # to be probed: when, and when the next path may be
        "_udp_port",
        "amdcs",
        "local",
        "reserved",
    )

    def __init__(
        self,
        config: Config,
        local_addresses: Sequence[str],
        addresses: Sequence[str],
        udp_port: int,
        report: Callable[[Exception], object],
    ) -> None:
        """`addresses` are CONFIRMED from the start (section 5.4 rules 1 and 2): those that the user gave to `connect`,
        or the one that an INIT ACK was sent to. `udp_port` is the peer's where no other was learned.
        `report` is told of the mistakes of congestion controllers."""
        super().__init__(config)
        self._report = report
        self._settings = common_settings(config)
        self.local = LocalAddresses(local_addresses)
        self._udp_port = udp_port
        self._by_address: dict[str, Path] = {}
        self._free: list[int] = []  # ids
        self._turns: tuple[tuple[Path, float, float], ...] = ()
        self.reserved = 0  # of each packet, for AUTH
        self.amdcs = 0  # the largest chunk that fits a packet of every path (section 7.3)
        for address in addresses:
            self.add(address, confirmed=True)
        if not self.paths:
            raise ValueError(f"no local address has the family of any of {', '.join(addresses) or 'no addresses'}")
        self.primary = self.paths[0]
        self._current = self.primary

    # Addresses

    def add(self, address: str, *, confirmed: bool = False) -> Path | None:
        """The path to an address of the peer, made where it is new; None if no local address is of its family."""
        address = normalize(address)
        path = self._by_address.get(address)
        local = self.local.most_divergent(address, self.paths) if path is None else NOWHERE
        if local != NOWHERE:
            path = self._make(address, local, ACTIVE if confirmed else UNCONFIRMED)
            self.attach(path)
        return path

    def prepare(self, address: str) -> Path:
        """A path to what may become an address of the peer; nothing but what is sent to it by name goes there, and
        nothing at all where we have no address of its family.
        """
        return self._make(address, self.local.most_divergent(address, self.paths), UNCONFIRMED)

    def _make(self, address: str, local: str, state: PathState) -> Path:
        ipv4 = is_ipv4(address)
        config = self._config
        path = Path(
            self._free.pop() if self._free else len(self.by_id),
            Route(local, address, self._udp_port),
            state,
            self._settings,
            RtoEstimator(config.rto_initial, config.rto_min, config.rto_max),
            make(config.congestion, chunk_room(self._settings.mtu, ipv4) - self.reserved, ipv4, self._report),
            self.reserved,
        )
        if path.path_id == len(self.by_id):
            self.by_id.append(path)
        else:
            self.by_id[path.path_id] = path
        return path

    def attach(self, path: Path) -> None:
        """Use a path that `prepare` has made."""
        if path.path_id in self._free:
            self._free.remove(path.path_id)
        self.local.place(path, self.paths)
        self.paths.append(path)
        self._by_address[path.route.address] = path
        self._measure()

    def remove(self, address: str, successor: Path | None = None) -> bool:
        """Stop using an address; whether that was done. The last one that is not UNCONFIRMED stays, unless `successor`
        is to take its place.
        """
        path = self.find(address)
        if path is None or (
            successor is None and all(other.state is UNCONFIRMED for other in self.paths if other is not path)
        ):
            return False
        self.paths.remove(path)
        del self._by_address[path.route.address]
        path.state = INACTIVE
        path.route = path.reply_route = path.route._replace(local=NOWHERE)
        if path is self.primary:
            instead = best(self.paths, path)
            self.primary = successor if instead is path and successor is not None else instead
        if path is self._current:
            self._current = self.primary
        self._measure()
        self._select()
        self._spread([other for other in self.paths if not other.rto.measured])  # what works stays as it is
        self.await_another()
        return True

    def release(self, path: Path) -> None:
        """Nothing refers to a path any more that is not in use: its id may become another's."""
        path_id = path.path_id
        if self.by_id[path_id] is path and path not in self.paths and path_id not in self._free:
            self._free.append(path_id)

    def retain(self, addresses: Sequence[str]) -> None:
        """Stop using all other addresses, as far as `remove` does that."""
        for path in list(self.paths):
            if path.route.address not in addresses:
                self.remove(path.route.address)

    def restart(self, addresses: Sequence[str]) -> None:
        """The peer begins anew (section 5.2.4 A): with these addresses, and as if nothing had been sent to them yet.

        The first is CONFIRMED: the INIT ACK was sent there (section 5.4 rule 2).
        """
        config = self._config
        self.end_silence()
        self.local.restart(self.paths)  # the peer may speak to another of our addresses now
        for address in addresses:
            self.add(address)
        for path in self.paths:
            path.restart(RtoEstimator(config.rto_initial, config.rto_min, config.rto_max))
            path.judge()
            if path.route.address == addresses[0]:
                path.state = ACTIVE
        self.retain(addresses)
        self._select()
        for path in self.by_id:
            self.release(path)

    def find(self, address: str) -> Path | None:
        """The path to an address, as the peer or the user spells it."""
        return self._by_address.get(address) or self._by_address.get(normalize(address))

    def set_primary(self, address: str) -> bool:
        """The user chose the primary path; whether that changed it."""
        path = self.find(address)
        if path is None:
            raise ValueError(f"{address} is not an address of the peer")
        if path is self.primary:
            return False
        self.primary = path
        self._select()
        return True

    def learn(self, path: Path, route: Route) -> bool:
        """A packet whose verification tag was right came along `route`, seen from here; whether that was news.

        RFC 6951 section 5.4: its UDP port is the peer's from now on. Not for packets with an INIT, which carry no tag
        (draft udp-encaps-cons section 4). The local address it came to is taken as long as ours is a guess: one that
        has worked, or has been rotated to, stays. In place of a wildcard it is taken at any time.
        """
        known = path.route
        if route == known:
            path.route = route  # the same object, by which the next packet is recognized
            return False
        if known.local == wildcard_of(known.address) != route.local:
            self._settle(route.local)
            known = path.route
        guessed = not path.rto.measured and path.error_count < ROTATE_AT
        local = route.local if guessed and route.local in self.local.sources else known.local
        if local == known.local and route.udp_port == known.udp_port:
            return False
        path.route = Route(local, known.address, route.udp_port)
        if local != known.local:
            path.congestion.reinitialize()  # section 7.2.5.2
        return True

    def _settle(self, local: str) -> None:
        """The peer speaks to this one of the addresses that a wildcard stands for, and knows no other: none was listed.

        What came from elsewhere it would take for out of the blue (section 8.4), so that no path of the other family
        is of use.
        """
        wildcard = wildcard_of(local)
        self.local.settle(local)
        for path in list(self.paths):
            if path.route.local == wildcard:
                path.route = path.reply_route = path.route._replace(local=local)
            elif path.route.local == wildcard_of(path.route.local):
                self.remove(path.route.address)

    def leave(self, local: str) -> list[Path]:
        """Nothing leaves from this address of ours any more (RFC 5061 section 5.3 F4); where there is no other, nothing
        leaves at all. The paths whose state that has changed.
        """
        changed = self.local.leave(local, self.paths)
        self._select()
        return changed

    def arrive(self) -> list[Path]:
        """There may be an address of ours again for paths that had none; those whose state that has changed."""
        changed = self.local.arrive(self.paths)
        self._spread(self.paths)
        self._select()
        self.await_another()
        return changed

    def _spread(self, movable: Sequence[Path]) -> None:
        self.local.spread([path for path in movable if path is not self._current], self.paths)

    def await_another(self) -> None:
        """Nothing can leave for the address that data would take, nor for another that is verified: one that can be is
        waited for instead, and its errors count for the association.
        """
        if not self._current.route.local:
            self._current = next((path for path in self.paths if path.route.local), self._current)

    def rotate_local(self, path: Path) -> bool:
        """Send to this address from our next one of its family; whether there is another (section 6.4.1)."""
        route = path.route
        locals_ = self.local.sources_for(route.address)
        if len(locals_) < 2 or not route.local:
            return False
        following = (locals_.index(route.local) + 1) % len(locals_) if route.local in locals_ else 0
        path.route = route._replace(local=locals_[following])
        path.congestion.reinitialize()  # section 7.2.5.2
        return True

    # Probes

    def reserve_probe(self, path: Path, now: float) -> float:
        """Seconds until a HEARTBEAT may leave for this UNCONFIRMED path; that turn is taken by asking.

        Section 5.4: in each RTO HB.Max.Burst of them, whatever the number of addresses. Turns are given in the order
        in which they are asked for, so that no path waits for ever; what was removed before its turn had come had none,
        so that no address waits for those that came and went before it. The RTO is that of the path probed, which is
        less once it has answered.
        """
        begin = now
        turns: list[tuple[Path, float, float]] = []
        for other, turn, following in self._turns:
            is_taken = turn <= now or (other is not path and self._by_address.get(other.route.address) is other)
            if turn <= now:
                following = min(following, turn + other.rto.rto / _HB_MAX_BURST)
            if following > now and is_taken:
                turns.append((other, turn, following))
                begin = max(begin, following)
        turns.append((path, begin, begin + path.rto.rto / _HB_MAX_BURST))
        self._turns = tuple(turns)
        return begin - now

    # Settings

    def on_message_size(self, path: Path, mtu: int) -> bool:
        """The system reports that IP packets above `mtu` don't get through to this path; whether that was news."""
        changed = path.on_message_size(mtu)
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

    def configure(self, config: Config) -> list[tuple[Path, Verdict]]:
        """Other settings from now on, for all paths but what was set for one of them; what that changed.

        `ValueError` if they don't go with the latter, and all is as before.
        """
        other_controller = config.congestion is not self._config.congestion
        shared = common_settings(config)
        settings = [path.settings.renewed(config) if path.settings.own else shared for path in self.paths]
        self._settings = shared
        self._config = config
        for path, its_settings in zip(self.paths, settings, strict=True):
            path.rto.configure(config.rto_initial, config.rto_min, config.rto_max)
            path.settings = its_settings
            if other_controller:
                path.congestion = make(config.congestion, path.payload, is_ipv4(path.route.address), self._report)
        return [(path, self._judge(path)) for path in self.paths]

    def configure_path(self, path: Path, changes: dict[str, Any]) -> Verdict:
        """Other settings for this path alone, whatever `configure` says later; what that changed.

        `ValueError` or `TypeError` for a value that can't be, and all is as before.
        """
        dscp = path.settings.dscp
        path.settings = path.settings.changed(self._config, changes)
        if path.settings.dscp != dscp:
            path.congestion.reinitialize()  # section 7.2.5.1
        if "mtu" in changes:
            path.set_mtu(path.settings.mtu)
            self._measure()
        return self._judge(path)

    def _measure(self) -> None:
        self.amdcs = min(path.payload for path in self.paths)
