"""Our own addresses as one association uses them: what packets may leave from, and what the peer has yet to agree to.

Knows addresses as text, and which of them a path leaves from. It does not know how the peer is asked (RFC 5061), nor
which sockets there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..path_state import ACTIVE, INACTIVE, UNCONFIRMED
from .path import Path
from .route import is_ipv4, is_private, is_source_for, normalize, wildcard_of

_NONE: Final[frozenset[str]] = frozenset()
_UNUSED: Final = frozenset({UNCONFIRMED, INACTIVE})

#: The local address of a route along which nothing can leave.
NOWHERE: Final = ""


def set_out_from(addresses: Sequence[str], peer: str, nat_support: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Our addresses from which to associate with a peer at this one, and others that it is told of later.

    Where a NAT may be on the way that is a single one at first (draft natsupp section 6.6). A wildcard stays as it is.
    """
    if not nat_support:
        return tuple(addresses), ()
    usable = [local for local in addresses if is_ipv4(local) == is_ipv4(peer) and is_source_for(local, peer)]
    if not usable or any(local == wildcard_of(local) for local in addresses):
        return tuple(addresses), ()
    return (usable[0],), tuple(local for local in addresses if local != usable[0])


def known_to_client(addresses: Sequence[str], local: str, disable_restart: bool) -> tuple[str, ...]:
    """Those of our addresses that a client knows whose packets come to `local`: it takes none from another.

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
    """The addresses of one end of an association: ours.

    * `bound`: those of the endpoint, and what has been added and taken away since: what the peer is told when it begins
      anew. A wildcard among them may have become one address in `sources`.
    * `sources`: what packets leave from.
    * `arriving`: the peer has not agreed to them yet: it may send to them, and nothing but ASCONF leaves from them (RFC
      5061 section 5.3 F1). `leaving`: the same of those that are being deleted (F4). `barred`: both.
    * `unasked`: those of `leaving` that the peer has not been asked to delete yet, as it is asked one thing after the
      other. Where there is nothing else, ASCONF and its answers may leave from these.
    """

    __slots__ = ("arriving", "barred", "bound", "leaving", "sources", "unasked")

    def __init__(self, addresses: Sequence[str]) -> None:
        self.bound = self.sources = tuple(map(normalize, addresses))
        self.arriving: tuple[str, ...] = ()
        self.leaving: tuple[str, ...] = ()
        self.unasked: tuple[str, ...] = ()
        self.barred = _NONE

    def __contains__(self, address: str) -> bool:
        return address in self.sources or address in self.barred

    def sources_for(self, address: str) -> list[str]:
        """What to send to this one from: of its family, and if there are any, of a scope that meets its own."""
        ipv4 = is_ipv4(address)
        family = [local for local in self.sources if is_ipv4(local) == ipv4]
        if len(family) < 2:
            return family
        return [local for local in family if is_source_for(local, address)] or family

    def may_reach(self, address: str) -> bool:
        """Whether there is one to send to this one from, or will be."""
        ipv4 = is_ipv4(address)
        return any(is_ipv4(local) == ipv4 for local in (*self.sources, *self.arriving))

    # A wildcard, and the one address that it turns out to be.

    def settle(self, local: str) -> None:
        """The peer knows this one of the addresses that a wildcard stands for, and no other."""
        wildcard = wildcard_of(local)
        kept = [local if ours == wildcard else ours for ours in self.sources]
        self.sources = tuple(dict.fromkeys(ours for ours in kept if ours != wildcard_of(ours)))

    def restart(self, paths: Sequence[Path]) -> None:
        """The peer begins anew, with what it was told in the handshake."""
        self.sources = self.bound
        self.arriving = self.leaving = self.unasked = ()
        self.barred = _NONE
        for path in paths:
            self.place(path, paths)

    def place(self, path: Path, paths: Sequence[Path]) -> None:
        """Our addresses may have changed since this path was made."""
        if path.route.local not in self.sources:
            self._move(path, paths)

    # Addresses that come and go.

    def announce(self, address: str) -> None:
        """The peer is being asked to add this one (F1)."""
        self.arriving = (*self.arriving, address)
        self._bar()

    def admit(self, address: str) -> None:
        """The peer has added this one (F2), or has kept it."""
        self._forget(address)
        self.sources = (*self.sources, address)
        if address not in self.bound and wildcard_of(address) not in self.bound:
            self.bound = (*self.bound, address)

    def withdraw(self, address: str) -> None:
        """The peer is to delete this one (F4); `ask` follows."""
        self._forget(address)
        self.leaving = (*self.leaving, address)
        self.unasked = (*self.unasked, address)
        self._bar()

    def ask(self, address: str) -> None:
        """The peer is being asked to."""
        self.unasked = tuple(ours for ours in self.unasked if ours != address)

    def is_being_deleted(self, address: str) -> bool:
        """Whether the peer may have deleted this one, and takes for out of the blue what comes from there."""
        return address in self.leaving and address not in self.unasked

    def drop(self, address: str) -> None:
        """The peer has deleted this one, or has not added it (F10)."""
        self._forget(address)
        self.bound = tuple(ours for ours in self.bound if ours != address)

    def _forget(self, address: str) -> None:
        self.sources = tuple(ours for ours in self.sources if ours != address)
        self.arriving = tuple(ours for ours in self.arriving if ours != address)
        self.leaving = tuple(ours for ours in self.leaving if ours != address)
        self.ask(address)
        self._bar()

    def _bar(self) -> None:
        self.barred = frozenset(self.arriving + self.leaving) or _NONE

    # What that means for paths.

    def leave(self, address: str, paths: Sequence[Path]) -> list[Path]:
        """Nothing leaves from this one any more, and for paths without another of their family nothing at all: those
        whose state that has changed.
        """
        changed = []
        for path in paths:
            if path.route.local == address:
                if not self._move(path, paths) and path.state not in _UNUSED:
                    path.state = INACTIVE
                    changed.append(path)
            elif path.reply_route.local == address:
                path.reply_route = path.route
        return changed

    def arrive(self, paths: Sequence[Path]) -> list[Path]:
        """There may be one for paths that had none; those whose state that has changed."""
        changed = []
        for path in paths:
            if not path.route.local and self._move(path, paths) and path.state is INACTIVE:
                path.state = ACTIVE
                path.judge()
                if path.state is not INACTIVE:
                    changed.append(path)
        return changed

    def spread(self, movable: Sequence[Path], paths: Sequence[Path]) -> None:
        """Where one of ours has become free, paths that share another with more of them leave from that one from now
        on: what fails then is not all that there is (RFC 9260 section 6.4.1).
        """
        if len(self.sources) < 2:
            return
        for path in movable:
            local = self.most_divergent(path.route.address, paths)
            if local and path.route.local and _share(path.route.local, paths) > _share(local, paths) + 1:
                self._move(path, paths)

    def most_divergent(self, address: str, paths: Sequence[Path]) -> str:
        """What to send to this one from, so that it has as little as may be in common with what these use (section
        6.4.1): the one that serves the fewest of them.
        """
        sources = self.sources_for(address)
        if len(sources) == 1:
            return sources[0]
        return min(sources, key=lambda local: _share(local, paths), default=NOWHERE)

    def _move(self, path: Path, paths: Sequence[Path]) -> bool:
        """Let a path leave from one that may be a source; false if there is none of its family."""
        local = self.most_divergent(path.route.address, [other for other in paths if other is not path])
        path.route = path.reply_route = path.route._replace(local=local)
        path.congestion.reinitialize()  # RFC 9260 section 7.2.5.2
        return bool(local)


def _share(local: str, paths: Sequence[Path]) -> int:
    """How many paths leave from there."""
    return sum(path.route.local == local for path in paths)
