"""All of the peer's addresses: where data goes, which have failed, and when the peer has (RFC 9260 sections 6.4 and 8).

The manager counts errors and picks paths. It starts no timer, sends nothing, and tells nobody: what changed is
returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, final

from ..config import Config
from ..congestion.rfc9260 import RFC9260
from ..events import PathState
from .encapsulation import Route, is_ipv4, normalize, wildcard_of
from .local_addresses import NOWHERE
from .path import Path
from .path_table import PathTable
from .rto import RtoEstimator

__all__ = ["PathManager", "Verdict"]

_UNCONFIRMED: Final = PathState.UNCONFIRMED
_ACTIVE: Final = PathState.ACTIVE
_INACTIVE: Final = PathState.INACTIVE

_HB_MAX_BURST: Final = 1  # section 16
#: One time-out is a loss; with the second in a row the pair of addresses is suspected.
_ROTATE_AT: Final = 2


class Verdict(NamedTuple):
    """What a time-out changed."""

    inactive: bool  # the path became INACTIVE
    exceeded: bool  # Association.Max.Retrans was exceeded: the peer is unreachable


@final
class PathManager(PathTable):
    """The paths of one association: at least one. The first is the primary path until the user says otherwise."""

    __slots__ = ("_current", "_next_probe", "error_count", "primary")

    def __init__(self, config: Config, local_addresses: Sequence[str], addresses: Sequence[str], udp_port: int) -> None:
        """`addresses` are CONFIRMED from the start (section 5.4 rules 1 and 2): those that the user gave to `connect`,
        or the one that an INIT ACK was sent to. `udp_port` is the peer's where no other was learned."""
        super().__init__(config, local_addresses, udp_port)
        self._next_probe = 0.0
        self.error_count = 0
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
        if path is None and self.local.sources_for(address):
            path = self.prepare(address, confirmed=confirmed)
            self.attach(path)
        return path

    def remove(self, address: str, successor: Path | None = None) -> bool:
        """Stop using an address; whether that was done. The last one that is not UNCONFIRMED stays, unless `successor`
        is to take its place.
        """
        path = self.find(address)
        if path is None or (
            successor is None and all(other.state is _UNCONFIRMED for other in self.paths if other is not path)
        ):
            return False
        self.paths.remove(path)
        del self._by_address[path.route.address]
        path.state = _INACTIVE
        path.route = path.reply_route = path.route._replace(local=NOWHERE)
        if path is self.primary:
            best = self._best(path)
            self.primary = successor if best is path and successor is not None else best
        if path is self._current:
            self._current = self.primary
        self._measure()
        self._select()
        return True

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
        self.error_count = 0
        self._unsettle()
        for address in addresses:
            self.add(address)
        for path in self.paths:
            path.restart(RtoEstimator(config.rto_initial, config.rto_min, config.rto_max))
            if path.route.address == addresses[0]:
                path.state = _ACTIVE
        self.retain(addresses)
        self._select()
        for path in self.by_id:
            self.release(path)

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
        guessed = not path.rto.measured and path.error_count < _ROTATE_AT
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

    def _unsettle(self) -> None:
        """The peer may speak to another of our addresses now."""
        self.local.restart(self.paths)

    def leave(self, local: str) -> None:
        """Nothing leaves from this address of ours any more (RFC 5061 section 5.3 F4)."""
        self.local.leave(local, self.paths)
        self._select()

    def arrive(self) -> None:
        """There may be an address of ours again for paths that had none."""
        self.local.arrive(self.paths)
        self._select()

    def rotate_local(self, path: Path) -> bool:
        """Send to this address from our next one of its family; whether there is another (section 6.4.1)."""
        route = path.route
        locals_ = self.local.sources_for(route.address)
        if len(locals_) < 2:
            return False
        following = (locals_.index(route.local) + 1) % len(locals_) if route.local in locals_ else 0
        path.route = route._replace(local=locals_[following])
        path.congestion.reinitialize()  # section 7.2.5.2
        return True

    # Choice

    def data_path(self, preferred: Path | None = None) -> Path:
        """Where new data goes: the path that the user prefers for it, the primary, or one that works (section 6.4)."""
        if preferred is not None and preferred.state is _ACTIVE:
            return preferred
        return self._current

    def reply_path(self, path: Path) -> Path:
        """Where to answer what came from `path` (section 6.4); section 5.4 forbids most answers to UNCONFIRMED ones."""
        return self._current if path.state is _UNCONFIRMED or not path.route.local else path

    @property
    def is_held(self) -> bool:
        """Whether no data may leave, nor most else: the peer has moved, and where it is now is still to be verified
        (section 5.4); or we have, and it does not know that yet (RFC 5061 section 5.3 F1).
        """
        current = self._current
        return current.state is _UNCONFIRMED or not current.route.local

    def retransmit_path(self, after_path_id: int) -> Path:
        """Where data goes that timed out on another path: an active one, as divergent as can be (section 6.4.1)."""
        return self._best(self.by_id[after_path_id])

    # Errors

    def on_timeout(self, path: Path, counts: bool = True) -> Verdict:
        """Nothing came back from this path within its RTO; `counts` is whether the association's counter takes notice.

        Backs the RTO off (rule E2 of section 6.3.3), counts (sections 8.1 and 8.2), and after repeated errors tries
        the next local address. `Path.expire_t3` comes before it where the time-out was T3's.
        """
        path.rto.back_off()
        path.error_count += 1
        exceeded = False
        # Section 5.4: probing is not counted; but where there is no other path, nothing else would tell.
        if counts and (path.state is not _UNCONFIRMED or path is self._current):
            self.error_count += 1
            exceeded = self.error_count > self._config.max_retrans
        if path.error_count >= _ROTATE_AT:
            self.rotate_local(path)
        inactive = path.state is _ACTIVE and path.error_count > path.max_retrans
        if inactive:
            path.state = _INACTIVE
        if path.state is _INACTIVE:
            self._select()
        return Verdict(inactive, exceeded)

    def on_heartbeat_timeout(self, path: Path) -> Verdict:
        """A HEARTBEAT to this path was not answered within an RTO."""
        if path.error_count > path.max_retrans:
            path.error_count -= 1  # section 8.3: the counter stops once the path is inactive
        # Section 8.1: only on the path that data uses does it say that the peer is gone.
        return self.on_timeout(path, path is self._current)

    def on_acknowledged(self, path: Path) -> bool:
        """A SACK acknowledged data sent to this path (sections 8.1 and 8.2); whether the path became ACTIVE by that."""
        self.error_count = 0
        path.error_count = 0
        if path.state is not _INACTIVE or not path.route.local:
            return False
        path.state = _ACTIVE
        self._select()
        return True

    def on_heartbeat_acknowledged(self, path: Path, outstanding: bool) -> bool:
        """A HEARTBEAT to this path was answered; `outstanding` tells whether data awaits acknowledgement.

        Section 8.1: then the association's counter MAY stay. It does, or a peer that answers HEARTBEATs but never data
        would be waited for without end. Whether the path became ACTIVE by it, from INACTIVE; see `confirm` for
        UNCONFIRMED.
        """
        errors = self.error_count
        became_active = self.on_acknowledged(path)
        if outstanding:
            self.error_count = errors
        return became_active

    def confirm(self, path: Path) -> bool:
        """The peer has shown that this address is its own (section 5.4); whether that was news."""
        if path.state is not _UNCONFIRMED:
            return False
        path.state = _ACTIVE
        path.error_count = 0
        self._select()
        return True

    def reserve_probe(self, path: Path, now: float) -> float:
        """Seconds until a HEARTBEAT may leave for this UNCONFIRMED path; that turn is taken by asking.

        Section 5.4: in each RTO HB.Max.Burst of them, whatever the number of addresses. Turns are given in the order
        in which they are asked for, so that no path waits for ever.
        """
        turn = max(now, self._next_probe)
        self._next_probe = turn + path.rto.rto / _HB_MAX_BURST
        return turn - now

    # Settings

    def configure(self, config: Config) -> None:
        """Other settings from now on, for all paths."""
        other_controller = config.congestion is not self._config.congestion
        self._config = config
        for path in self.paths:
            path.rto.configure(config.rto_initial, config.rto_min, config.rto_max)
            path.max_retrans = config.path_max_retrans
            path.heartbeat_interval = config.heartbeat_interval
            if other_controller:
                path.congestion = (config.congestion or RFC9260)(path.payload, is_ipv4(path.route.address))

    def _select(self) -> None:
        # Section 8.2: ONE other address, and the same one as long as it works.
        if self.primary.state is _ACTIVE:
            self._current = self.primary
        elif self._current.state is not _ACTIVE:
            self._current = self._best(self._current)

    def _best(self, after: Path) -> Path:
        """The active path with the fewest errors that is not `after`, from another local address if it can be.

        If no other is active, `after` if it is. Else all have failed: RFC 7829 section 4.1 takes the one with the
        fewest errors then, and as its time-outs are counted on, they take turns.
        """
        best = after
        best_rank = (3, 0, 0, 0)  # worse than any
        for path in self.paths:
            if path.state is _UNCONFIRMED or not path.route.local:
                continue
            active = path.state is _ACTIVE
            same = 1 if path is after else 0
            same_local = 1 if path.route.local == after.route.local else 0
            rank = (same if active else 2, path.error_count, same, same_local)
            if rank < best_rank:
                best, best_rank = path, rank
        return best
