"""All of the peer's addresses, and which of them is sent to (RFC 9260 sections 5.1.2, 5.4, 6.4, 7.3 and 8).

When a path has failed is in `potentially_failed`, which one takes over in `failover`, what may be sent from in
`local_addresses`. Starts no timer, sends nothing, and tells nobody: what changed is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from ..config import Config, check_path_setting
from ..congestion.guard import make
from ..path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED, PathState
from .encapsulation import learned
from .failover import ROTATE_AT, best
from .local_addresses import NOWHERE, LocalAddresses
from .path import Path, PathSettings, common_settings
from .potentially_failed import is_given_up, judge, most_errors, recover
from .route import Route, is_ipv4, normalize, wildcard_of


@final
class PathManager:
    """The paths of one association: at least one."""

    __slots__ = (
        "_by_address",
        "_config",
        "_current",  # where data goes unless the user says otherwise
        "_free",  # ids
        "_report",  # called with what goes wrong with a congestion controller
        "_settings",  # of the paths that have none of their own
        "_udp_port",
        "amdcs",  # the largest chunk that fits a packet of every path (section 7.3)
        "by_id",  # what was sent earlier names a path so: an id is used again after `release`
        "local",  # our own addresses
        "paths",  # those in use, in order
        "primary",  # the user's choice, at first `paths[0]`; or what RFC 7829 section 5 has put in its place
        "reserved",  # of each packet, for AUTH
        "unanswered",  # the kind of each time-out since the last answers, see `handlers.paths.reachability`
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
        or the one that an INIT ACK was sent to. `udp_port` is the peer's where no other was learned. `report` is told
        of the mistakes of congestion controllers. `ValueError` if no local address has the family of any of them.
        """
        self._config = config
        self._report = report
        self._settings = common_settings(config)
        self._udp_port = udp_port
        self._by_address: dict[str, Path] = {}
        self._free: list[int] = []
        self.by_id: list[Path] = []
        self.paths: list[Path] = []
        self.local = LocalAddresses(local_addresses, self.paths)
        self.unanswered: tuple[int, ...] = ()
        self.reserved = 0
        self.amdcs = 0
        for address in addresses:
            self.add(address, confirmed=True)
        if not self.paths:
            raise ValueError(f"no local address has the family of any of {', '.join(addresses) or 'no addresses'}")
        self.primary = self._current = self.paths[0]

    # Addresses.

    def add(self, address: str, *, confirmed: bool = False) -> Path | None:
        """Return the path to an address of the peer, made if it is new; None if no local address is of its family."""
        address = normalize(address)
        path = self._by_address.get(address)
        local = self.local.most_divergent(address) if path is None else NOWHERE
        if local != NOWHERE:
            path = self._make(address, local, ACTIVE if confirmed else UNCONFIRMED)
            self.attach(path)
        return path

    def prepare(self, address: str) -> Path:
        """Return a path to what may become an address of the peer; nothing but what is sent to it by name goes there,
        and nothing at all where we have no address of its family. `attach` or `release` follows.
        """
        return self._make(address, self.local.most_divergent(address), UNCONFIRMED)

    def _make(self, address: str, local: str, state: PathState) -> Path:
        path_id = self._free.pop() if self._free else len(self.by_id)
        route = Route(local, address, self._udp_port)
        path = Path(path_id, route, state, self._settings, self._config, self.reserved, self._report)
        self.by_id[path_id : path_id + 1] = [path]  # in place of the one that had this number, or behind the last
        return path

    def attach(self, path: Path) -> None:
        """Use a path that `prepare` has made."""
        if path.path_id in self._free:
            self._free.remove(path.path_id)
        self.local.place(path)
        self.paths.append(path)
        self._by_address[path.route.address] = path
        self._measure()

    def remove(self, address: str, successor: Path | None = None) -> bool:
        """Stop using an address; False for the last one that is not UNCONFIRMED, if no `successor` takes its place."""
        path = self.find(address)
        others = [other for other in self.paths if other is not path]
        if path is None or (successor is None and all(other.state is UNCONFIRMED for other in others)):
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
        self.local.spread(self._current, only_unmeasured=True)  # what works is left as it is
        self.await_another()
        return True

    def release(self, path: Path) -> None:
        """Let another path have the id of one that is not in use, and that nothing refers to any more."""
        path_id = path.path_id
        if self.by_id[path_id] is path and path not in self.paths and path_id not in self._free:
            self._free.append(path_id)

    def retain(self, addresses: Sequence[str]) -> None:
        """Stop using all other addresses, as far as `remove` does that."""
        for path in list(self.paths):
            if path.route.address not in addresses:
                self.remove(path.route.address)

    def restart(self, addresses: Sequence[str]) -> None:
        """Begin anew with a peer that has restarted (section 5.2.4 A): with these addresses, and as if nothing had been
        sent to them yet. The first is CONFIRMED: the INIT ACK was sent there (section 5.4 rule 2).
        """
        self.clear_errors()
        self.local.restart()  # the peer may speak to another of our addresses now
        for address in addresses:
            self.add(address)
        for path in self.paths:
            path.restart(self._config)
            judge(path)
            if path.route.address == addresses[0]:
                path.state = ACTIVE
        self.retain(addresses)
        self._select()
        for path in self.by_id:
            self.release(path)

    def find(self, address: str) -> Path | None:
        """Return the path to an address, as the peer or the user spells it."""
        return self._by_address.get(address) or self._by_address.get(normalize(address))

    def learn(self, path: Path, route: Route) -> bool:
        """Take over where the peer is from the route of a packet whose verification tag was right; True if that was
        news (RFC 6951 section 5.4, see `learned`). In place of a wildcard the local address is taken at any time.
        """
        known = path.route
        if route == known:
            path.route = route  # the same object, by which the next packet is recognized
            return False
        if known.local == wildcard_of(known.address) != route.local:
            self._replace_wildcard(route.local)
            known = path.route
        is_guess = not path.rto.measured and path.error_count < ROTATE_AT and route.local in self.local.sources
        path.route = learned(known, route, is_guess)
        if path.route.local != known.local:
            path.congestion.reinitialize()  # section 7.2.5.2
        return path.route is not known

    def _replace_wildcard(self, local: str) -> None:
        """Let all leave from this one of the addresses that a wildcard stands for, and no path of the other family be
        used: none was listed, and what comes from elsewhere is out of the blue for the peer (section 8.4).
        """
        wildcard = wildcard_of(local)
        self.local.replace_wildcard(local)
        for path in list(self.paths):
            if path.route.local == wildcard:
                path.route = path.reply_route = path.route._replace(local=local)
            elif path.route.local == wildcard_of(path.route.local):
                self.remove(path.route.address)

    def leave(self, local: str) -> list[Path]:
        """Let nothing leave from this address of ours (RFC 5061 section 5.3 F4); return paths whose state changed."""
        changed = self.local.leave(local)
        self._select()
        return changed

    def arrive(self) -> list[Path]:
        """Use an address of ours that is new for paths that had none; return those whose state that changed."""
        changed = self.local.arrive()
        self.local.spread(self._current, only_unmeasured=False)
        self._select()
        self.await_another()
        return changed

    # Choice.

    def data_path(self, preferred: Path | None = None) -> Path:
        """Return where new data goes (section 6.4): the path that the user prefers for it, if that is ACTIVE (RFC 7829
        section 3.2 rule 3 iii), the primary, or one that works.
        """
        return preferred if preferred is not None and preferred.state is ACTIVE else self._current

    def reply_path(self, path: Path) -> Path:
        """Return where to answer what came from `path` (section 6.4): not to UNCONFIRMED ones, mostly (section 5.4)."""
        return self._current if path.state is UNCONFIRMED or not path.route.local else path

    def retransmit_path(self, after_path_id: int, is_fast: bool = False) -> Path:
        """Return where data is sent again: another address after a time-out, as divergent as can be (sections 6.4 and
        6.4.1, see `failover.best`); a fast retransmission where it went before, if that is ACTIVE.
        """
        path = self.by_id[after_path_id]
        return path if is_fast and path.state is ACTIVE else best(self.paths, path)

    @property
    def is_held(self) -> bool:
        """True while no data may leave, nor most else: the peer has moved, and where it is now is still to be verified
        (section 5.4); or we have, and it does not know that yet (RFC 5061 section 5.3 F1).
        """
        current = self._current
        return current.state is UNCONFIRMED or not current.route.local

    def set_primary(self, address: str) -> bool:
        """Make this address the primary path; True if it was not. `ValueError` if it is none of the peer's."""
        path = self.find(address)
        if path is None:
            raise ValueError(f"{address} is not an address of the peer")
        if path is self.primary:
            return False
        self.primary = path
        self._select()
        return True

    def await_another(self) -> None:
        """Take an unverified path for the current one, so that its errors count, if nothing can leave for another."""
        if not self._current.route.local:
            self._current = next((path for path in self.paths if path.route.local), self._current)

    def _select(self) -> None:
        # Section 8.2: ONE other address, and the same one as long as it works.
        if self.primary.state is ACTIVE:
            self._current = self.primary
        elif self._current.state is not ACTIVE:
            self._current = best(self.paths, self._current)

    # Errors.

    @property
    def error_count(self) -> int:
        """The association's error counter (section 8.1): time-outs since the last answers, on whichever path."""
        return len(self.unanswered)

    def clear_errors(self) -> None:
        """Take back the association's errors: the peer is there. No back-off outlasts them."""
        self.unanswered = ()
        for path in self.paths:
            path.rto.release()

    def most_errors(self, path: Path) -> int:
        """Return where the error counter of a path stops."""
        return most_errors(path, self._config.primary_switchover if path is self.primary else None)

    def judge(self, path: Path) -> bool:
        """Set the state that a path's errors make of it, and choose again where data goes; True if it is another."""
        changed = judge(path)
        if changed or path.state is POTENTIALLY_FAILED or path.state is INACTIVE:
            self._select()
        if path is self.primary and is_given_up(path, self._config.primary_switchover):
            self.primary = self._current
        return changed

    def recover(self, path: Path, is_certain: bool = True) -> bool:
        """Clear the errors of a path that has answered; True if it is ACTIVE again by that."""
        if not recover(path, is_certain):
            return False
        self._select()
        return True

    def confirm(self, path: Path) -> bool:
        """Take this address for the peer's own, as that has shown (section 5.4); return True if that was news."""
        if path.state is not UNCONFIRMED:
            return False
        path.state = ACTIVE if path.route.local else INACTIVE  # nothing can leave for it until we have an address
        path.error_count = 0
        self._select()
        return True

    # Settings.

    def on_message_size(self, path: Path, mtu: int) -> bool:
        """Send no IP packet above `mtu` bytes to this path, as the system says; True if that was news."""
        changed = path.on_message_size(mtu)
        self._measure()
        return changed

    def reserve(self, size: int) -> bool:
        """Leave so many bytes of each packet to AUTH (RFC 4895 section 6.2); True if that is another size."""
        if size == self.reserved:
            return False
        self.reserved = size
        for path in self.by_id:
            path.reserve(size)
        self._measure()
        return True

    def configure(self, config: Config) -> None:
        """Take other settings for all paths but for those of one alone; `judge` follows. `ValueError` if they clash."""
        other_controller = config.congestion is not self._config.congestion
        shared = common_settings(config)
        own = [PathSettings(config, path.settings.own) if path.settings.own else shared for path in self.paths]
        self._settings = shared
        self._config = config
        for path, settings in zip(self.paths, own, strict=True):
            path.rto.configure(config.rto_initial, config.rto_min, config.rto_max)
            path.settings = settings
            if other_controller:
                path.congestion = make(config.congestion, path.payload, is_ipv4(path.route.address), self._report)

    def configure_path(self, path: Path, changes: dict[str, Any]) -> None:
        """Take other settings for this path alone; `judge` follows. `ValueError` or `TypeError` for what can't be."""
        for name, value in changes.items():
            check_path_setting(name, value)
        before = path.settings
        path.settings = PathSettings(self._config, before.own | changes)
        if path.settings.dscp != before.dscp:
            path.congestion.reinitialize()  # section 7.2.5.1
        if "mtu" in changes:
            path.set_mtu(path.settings.mtu)
            self._measure()

    def _measure(self) -> None:
        self.amdcs = min(path.payload for path in self.paths)
