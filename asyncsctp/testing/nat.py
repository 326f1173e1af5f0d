"""What NATs have in common, an ordinary UDP NAT, and who is behind which NAT of a network.

How packets get to a NAT is in `network`; one that looks into them is in `sctp_nat`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from enum import StrEnum
from typing import Final, final

from .host import Address, family, normal

_FIRST_PORT: Final = 20000
_LAST_PORT: Final = 65535


class Refusal(StrEnum):
    """Why a NAT dropped a packet."""

    UNKNOWN = "unknown"  #: from outside, and the NAT has no mapping or binding for it, or no longer
    UNSOLICITED = "unsolicited"  #: from outside, from an address and port that the inside has not written to
    HAIRPIN = "hairpin"  #: from inside to the NAT's own address, and it does not hairpin
    EXHAUSTED = "exhausted"  #: from inside, and all outside ports are taken
    MALFORMED = "malformed"  #: not a packet that an `SctpNat` can read
    MISSING_STATE = "missing state"  #: from inside, and an `SctpNat` has no binding for it
    PORT_COLLISION = "port collision"  #: another inside host has these SCTP ports, and restarts are not disabled
    VTAG_COLLISION = "vtag collision"  #: another inside host has these SCTP ports and one of these tags


class Translator:
    """A NAT between the addresses `inside` and the rest of the network, where all of them appear as `outside`.

    `inside` may hold the outside address of another NAT: then that one is behind this one. `drops` counts the packets
    that it dropped, by reason. With `hairpin` the inside can reach itself by way of the outside address (RFC 4787
    section 6), and sees outside addresses then. What is idle for longer than `idle_timeout` seconds is forgotten.
    """

    __slots__ = ("drops", "hairpin", "idle_timeout", "inside", "on_move", "outbox", "outside")

    def __init__(self, outside: str, inside: frozenset[str], *, idle_timeout: float | None, hairpin: bool) -> None:
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError(f"idle_timeout must be above 0 seconds, or None, not {idle_timeout!r}")
        self.outside = outside
        self.inside = inside
        self.idle_timeout = idle_timeout
        self.hairpin = hairpin
        self.drops: Counter[Refusal] = Counter()
        #: Its own datagrams to the inside, for the network to take: source, destination and data.
        self.outbox: list[tuple[Address, Address, bytes]] = []
        #: Asked before the outside address changes; raises `ValueError` when that can't be. The network sets it.
        self.on_move: Callable[[Translator, str], None] | None = None

    def move(self, outside: str) -> None:
        """Take another outside address, and remember all else: from now on packets come from there.

        What is sent to the old address finds nobody. `ValueError` when the new one is in use, or of another family.
        """
        outside = normal(outside)
        if outside == self.outside:
            return
        if self.on_move is not None:
            self.on_move(self, outside)
        self.outside = outside

    def translate_out(self, source: Address, destination: Address, data: bytes, now: float) -> Address | None:
        """Return the outside address and port of what `source` sends; `None`: it is dropped."""
        raise NotImplementedError

    def translate_in(self, source: Address, port: int, data: bytes, now: float) -> Address | None:
        """Return the inside address and port that a packet to the outside `port` goes to; `None`: it is dropped."""
        raise NotImplementedError

    def _refuses_hairpin(self, destination: Address) -> bool:
        return destination[0] == self.outside and not self.hairpin

    def _is_stale(self, used_at: float, now: float) -> bool:
        return self.idle_timeout is not None and now - used_at > self.idle_timeout

    def _drop(self, why: Refusal) -> Address | None:
        self.drops[why] += 1
        return None


@final
class _Mapping:
    """One inside address and port, its port outside, and whom it has written to."""

    def __init__(self, inside: Address, outside_port: int, now: float) -> None:
        self.inside = inside
        self.outside_port = outside_port
        self.peers: set[Address] = set()
        self.used_at = now


@final
class Nat(Translator):
    """A UDP NAT, made by `Network.nat`.

    Its mapping is endpoint-independent (RFC 4787 section 4.1): an inside address and port has one outside port,
    whomever it writes to; a `symmetric` NAT takes another one for each address and port that is written to. With
    `filtering` it lets in only what comes from an address and port that the inside has written to, as most do
    (section 5). A mapping unused in both directions for longer than `idle_timeout` seconds is forgotten; `None`: never.
    """

    __slots__ = ("_by_inside", "_by_port", "_next_port", "filtering", "symmetric")

    def __init__(
        self,
        outside: str,
        inside: frozenset[str],
        *,
        idle_timeout: float | None = None,
        filtering: bool = True,
        symmetric: bool = False,
        hairpin: bool = True,
    ) -> None:
        super().__init__(outside, inside, idle_timeout=idle_timeout, hairpin=hairpin)
        self.filtering = filtering
        self.symmetric = symmetric
        self._by_inside: dict[tuple[Address, Address | None], _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._next_port = _FIRST_PORT

    @property
    def mappings(self) -> dict[Address, int]:
        """The inside addresses and ports in use, and the outside port of each; of a symmetric NAT, the newest."""
        return {mapping.inside: mapping.outside_port for mapping in self._by_port.values()}

    def rebind(self, outside: str | None = None) -> None:
        """Forget all mappings, as after a restart: the next packet from inside gets another outside port.

        With `outside` it has that address from now on, as after the renewal of a lease. `move` changes the address
        alone. `ValueError`, and nothing is changed, when the address is in use or of another family.
        """
        if outside is not None:
            self.move(outside)
        self._by_inside.clear()
        self._by_port.clear()

    def translate_out(self, source: Address, destination: Address, data: bytes, now: float) -> Address | None:
        if self._refuses_hairpin(destination):
            return self._drop(Refusal.HAIRPIN)
        key = source, destination if self.symmetric else None
        mapping = self._by_inside.get(key)
        if mapping is None or self._is_stale(mapping.used_at, now):
            mapping = self._map(key, now)
            if mapping is None:
                return self._drop(Refusal.EXHAUSTED)
        mapping.used_at = now
        mapping.peers.add(destination)
        return self.outside, mapping.outside_port

    def translate_in(self, source: Address, port: int, data: bytes, now: float) -> Address | None:
        mapping = self._by_port.get(port)
        if mapping is None or self._is_stale(mapping.used_at, now):
            return self._drop(Refusal.UNKNOWN)
        if self.filtering and source not in mapping.peers:
            return self._drop(Refusal.UNSOLICITED)
        mapping.used_at = now
        return mapping.inside

    def _map(self, key: tuple[Address, Address | None], now: float) -> _Mapping | None:
        """Return a new mapping at a port that nobody has, instead of the one that went stale; None if all are taken."""
        stale = self._by_inside.pop(key, None)
        if stale is not None:
            del self._by_port[stale.outside_port]
        if len(self._by_port) > _LAST_PORT - _FIRST_PORT:
            return None
        while self._next_port in self._by_port:
            self._step()
        mapping = _Mapping(key[0], self._next_port, now)
        self._by_inside[key] = self._by_port[self._next_port] = mapping
        self._step()
        return mapping

    def _step(self) -> None:
        self._next_port = self._next_port + 1 if self._next_port < _LAST_PORT else _FIRST_PORT


@final
class Realms:
    """The NATs of a network. `taken` are the addresses of its hosts.

    A realm is what is behind one NAT, or the public network (`None`).
    """

    __slots__ = ("_behind", "_by_outside", "_taken")

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._behind: dict[str, Translator] = {}
        self._by_outside: dict[str, Translator] = {}

    def add(self, nat: Translator) -> None:
        """Add a NAT. `ValueError` when one of its addresses can't be."""
        self._check(nat.outside)
        for address in sorted(nat.inside):
            if family(address) != family(nat.outside):
                raise ValueError(f"{address} and {nat.outside} are of different families")
            if address in self._behind:
                raise ValueError(f"{address} is behind a NAT already")
        self._by_outside[nat.outside] = nat
        self._behind.update(dict.fromkeys(nat.inside, nat))
        nat.on_move = self.move

    def move(self, nat: Translator, outside: str) -> None:
        """Change the outside address of a NAT; it is behind the same NAT as before. `ValueError` when that can't be."""
        self._check(outside)
        if family(outside) != family(nat.outside):
            raise ValueError(f"{outside} and {nat.outside} are of different families")
        outer, of_new = self._behind.get(nat.outside), self._behind.get(outside)
        if of_new is not None and of_new is not outer:
            raise ValueError(f"{outside} is behind another NAT")
        if outer is not None:
            del self._behind[nat.outside]
            self._behind[outside] = outer
            outer.inside = outer.inside - {nat.outside} | {outside}
        del self._by_outside[nat.outside]
        self._by_outside[outside] = nat

    def at(self, address: str) -> Translator | None:
        """Return the NAT that has this outside address."""
        return self._by_outside.get(address)

    def behind(self, address: str) -> Translator | None:
        """Return the NAT that this address is directly behind."""
        return self._behind.get(address)

    def meeting(self, a: str, b: str) -> tuple[str, str]:
        """Return the addresses under which `a` and `b` appear in the innermost realm where both do."""
        faces = self._faces(b)
        for realm, face in self._faces(a).items():
            if realm in faces:
                return face, faces[realm]
        raise AssertionError("the public network is a realm of all")

    def _faces(self, address: str) -> dict[Translator | None, str]:
        """Return the address under which a host appears in each realm, from its own to the public one."""
        faces: dict[Translator | None, str] = {}
        realm = self._behind.get(address)
        while realm is not None:
            faces[realm] = address
            address = realm.outside
            realm = self._behind.get(address)
        faces[None] = address
        return faces

    def _check(self, outside: str) -> None:
        if outside in self._taken or outside in self._by_outside:
            raise ValueError(f"{outside} is in use")
