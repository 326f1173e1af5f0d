"""Our own addresses as one association uses them: what its paths leave from, and what the peer has yet to agree to.

How the peer is asked is in `handlers.addresses` (RFC 5061); which sockets there are is known to `aio` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..path_state import ACTIVE, INACTIVE, UNCONFIRMED
from .path import Path
from .potentially_failed import judge
from .route import is_ipv4, is_private, is_source_for, normalize, wildcard_of

_UNUSED: Final = frozenset({UNCONFIRMED, INACTIVE})

NOWHERE: Final = ""  # the local address of a route along which nothing can leave


def set_out_from(addresses: Sequence[str], peer: str, nat_support: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return our addresses from which to associate with a peer at this one, and others that it is told of later.

    Where a NAT may be on the way that is a single one at first (draft natsupp section 6.6). A wildcard is left alone.
    """
    if not nat_support:
        return tuple(addresses), ()
    usable = [local for local in addresses if is_ipv4(local) == is_ipv4(peer) and is_source_for(local, peer)]
    if not usable or any(local == wildcard_of(local) for local in addresses):
        return tuple(addresses), ()
    return (usable[0],), tuple(local for local in addresses if local != usable[0])


def known_to_client(addresses: Sequence[str], local: str, disable_restart: bool) -> tuple[str, ...]:
    """Return those of our addresses that a client knows whose packets come to `local`: it takes none from another.

    Where both reckon with NATs, the INIT ACK names none that are private, nor a single one (draft natsupp section 6.1).
    """
    if not disable_restart:
        return tuple(addresses)
    public = [ours for ours in addresses if not is_private(ours)]
    return tuple(
        ours for ours in addresses if ours in (local, wildcard_of(ours)) or (ours in public and len(public) > 1)
    )


@final
class LocalAddresses:
    """The addresses of one end of an association: ours. `paths` are those in use, as they come and go."""

    __slots__ = (
        "_paths",
        "arriving",  # the peer may send there, and nothing but ASCONF leaves from there yet (RFC 5061 section 5.3 F1)
        "bound",  # the endpoint's, with what was added and deleted since: what a peer that begins anew is told
        "leaving",  # the peer is to delete them (F4), and nothing but ASCONF leaves from there
        "sources",  # packets leave from these; one may have come in place of a wildcard in `bound`
        "unasked",  # of `leaving`: the peer has not been asked yet. ASCONF and its answers may leave from these at need
    )

    def __init__(self, addresses: Sequence[str], paths: Sequence[Path] = ()) -> None:
        self._paths = paths
        self.bound = self.sources = tuple(map(normalize, addresses))
        self.arriving: tuple[str, ...] = ()
        self.leaving: tuple[str, ...] = ()
        self.unasked: tuple[str, ...] = ()

    @property
    def barred(self) -> tuple[str, ...]:
        """Those that are arriving or leaving."""
        return self.arriving + self.leaving

    def __contains__(self, address: str) -> bool:
        return address in self.sources or address in self.barred

    def sources_for(self, address: str) -> list[str]:
        """Return what to send to this one from: of its family, and if there are any, of a scope that meets its own."""
        ipv4 = is_ipv4(address)
        family = [local for local in self.sources if is_ipv4(local) == ipv4]
        if len(family) < 2:
            return family
        return [local for local in family if is_source_for(local, address)] or family

    def may_reach(self, address: str) -> bool:
        """Return True if there is one to send to this one from, or will be."""
        ipv4 = is_ipv4(address)
        return any(is_ipv4(local) == ipv4 for local in (*self.sources, *self.arriving))

    def replace_wildcard(self, local: str) -> None:
        """Keep this one of the addresses that a wildcard stands for: the peer knows no other."""
        wildcard = wildcard_of(local)
        kept = [local if ours == wildcard else ours for ours in self.sources]
        self.sources = tuple(dict.fromkeys(ours for ours in kept if ours != wildcard_of(ours)))

    def restart(self) -> None:
        """Begin anew with what the peer was told in the handshake."""
        self.sources = self.bound
        self.arriving = self.leaving = self.unasked = ()
        for path in self._paths:
            self.place(path)

    # Addresses that come and go.

    def announce(self, address: str) -> None:
        """Await that the peer adds this one (F1)."""
        self.arriving = (*self.arriving, address)

    def admit(self, address: str) -> None:
        """Send from this one: the peer has added it (F2), or has kept it."""
        self._forget(address)
        self.sources = (*self.sources, address)
        if address not in self.bound and wildcard_of(address) not in self.bound:
            self.bound = (*self.bound, address)

    def withdraw(self, address: str) -> None:
        """Send no more from this one, which the peer is to delete (F4); `ask` follows."""
        self._forget(address)
        self.leaving = (*self.leaving, address)
        self.unasked = (*self.unasked, address)

    def ask(self, address: str) -> None:
        """Note that the peer is being asked to delete this one."""
        self.unasked = tuple(ours for ours in self.unasked if ours != address)

    def is_being_deleted(self, address: str) -> bool:
        """Return True if the peer may have deleted this one, and takes for out of the blue what comes from there."""
        return address in self.leaving and address not in self.unasked

    def drop(self, address: str) -> None:
        """Forget this one: the peer has deleted it, or has not added it (F10)."""
        self._forget(address)
        self.bound = tuple(ours for ours in self.bound if ours != address)

    def _forget(self, address: str) -> None:
        self.sources = tuple(ours for ours in self.sources if ours != address)
        self.arriving = tuple(ours for ours in self.arriving if ours != address)
        self.leaving = tuple(ours for ours in self.leaving if ours != address)
        self.ask(address)

    # What that means for paths.

    def place(self, path: Path) -> None:
        """Move a path that was made before our addresses changed, if it leaves from none of them."""
        if path.route.local not in self.sources:
            self._move(path)

    def leave(self, address: str) -> list[Path]:
        """Move all paths away from this one, or make them INACTIVE; return those whose state has changed."""
        changed = []
        for path in self._paths:
            if path.route.local == address:
                if not self._move(path) and path.state not in _UNUSED:
                    path.state = INACTIVE
                    changed.append(path)
            elif path.reply_route.local == address:
                path.reply_route = path.route
        return changed

    def arrive(self) -> list[Path]:
        """Move paths that had none to one that there is now; return those whose state has changed."""
        changed = []
        for path in self._paths:
            if not path.route.local and self._move(path) and path.state is INACTIVE:
                path.state = ACTIVE
                judge(path)
                if path.state is not INACTIVE:
                    changed.append(path)
        return changed

    def spread(self, current: Path, only_unmeasured: bool) -> None:
        """Let paths leave from an address of ours that has become free, if more of them share another (RFC 9260 section
        6.4.1); but not the `current` one, nor, with `only_unmeasured`, those that have worked.
        """
        if len(self.sources) < 2:
            return
        for path in self._paths:
            if path is current or not path.route.local or (only_unmeasured and path.rto.measured):
                continue
            local = self.most_divergent(path.route.address)
            if local and self._share(path.route.local) > self._share(local) + 1:
                self._move(path)

    def rotate(self, path: Path) -> bool:
        """Send to this address from our next one of its family; True if there is another (section 6.4.1)."""
        route = path.route
        sources = self.sources_for(route.address)
        if len(sources) < 2 or not route.local:
            return False
        following = (sources.index(route.local) + 1) % len(sources) if route.local in sources else 0
        path.route = route._replace(local=sources[following])
        path.congestion.reinitialize()  # section 7.2.5.2
        return True

    def most_divergent(self, address: str, moving: Path | None = None) -> str:
        """Return what to send to this one from: what the fewest paths but `moving` have in common (section 6.4.1)."""
        sources = self.sources_for(address)
        if len(sources) == 1:
            return sources[0]
        return min(sources, key=lambda local: self._share(local, moving), default=NOWHERE)

    def _move(self, path: Path) -> bool:
        """Let a path leave from one that may be a source; False if there is none of its family."""
        local = self.most_divergent(path.route.address, path)
        path.route = path.reply_route = path.route._replace(local=local)
        path.congestion.reinitialize()  # RFC 9260 section 7.2.5.2
        return bool(local)

    def _share(self, local: str, moving: Path | None = None) -> int:
        return sum(path.route.local == local and path is not moving for path in self._paths)
