"""An ordinary UDP NAT: inside addresses and ports behind one outside address.

It knows mappings and when they were last used; links, hosts and what is in the packets it does not.
"""

from __future__ import annotations

from typing import Final, final

from .host import Address
from .translator import Refusal, Translator

__all__ = ["Nat"]

_FIRST_PORT: Final = 20000
_LAST_PORT: Final = 65535


@final
class _Mapping:
    """One inside address and port, its port outside, and whom it has written to."""

    __slots__ = ("inside", "outside_port", "peers", "used_at")

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
        """Forgets all mappings, as after a restart: the next packet from inside gets another outside port.

        With `outside` it has that address from now on, as after the renewal of a lease. `move` changes the address
        alone. `ValueError`, and nothing is changed, when the address is in use or of another family.
        """
        if outside is not None:
            self.move(outside)
        self._by_inside.clear()
        self._by_port.clear()

    def translate_out(self, source: Address, destination: Address, data: bytes, now: float) -> Address | None:
        """The outside address and port of what `source` sends; `None`: it is dropped."""
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
        """The inside address and port that a packet to the outside `port` goes to; `None`: it is dropped."""
        mapping = self._by_port.get(port)
        if mapping is None or self._is_stale(mapping.used_at, now):
            return self._drop(Refusal.UNKNOWN)
        if self.filtering and source not in mapping.peers:
            return self._drop(Refusal.STRANGER)
        mapping.used_at = now
        return mapping.inside

    def _map(self, key: tuple[Address, Address | None], now: float) -> _Mapping | None:
        """A new mapping at a port that nobody has, instead of the one that went stale."""
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
