"""An ordinary UDP NAT: inside addresses and ports behind one outside address.

It knows mappings and when they were last used; links, hosts and packets are the network's.
"""

from __future__ import annotations

from typing import Final, final

__all__ = ["Nat"]

Address = tuple[str, int]

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
class Nat:
    """A NAT with endpoint-independent mapping (RFC 4787 section 4.1), made by `Network.nat`.

    With `filtering` it lets in only what comes from an address and port that the inside has written to, as most do
    (section 5). A mapping unused in both directions for longer than `idle_timeout` seconds is forgotten; `None`: never.
    """

    __slots__ = ("_by_inside", "_by_port", "_next_port", "filtering", "idle_timeout", "inside", "outside")

    def __init__(
        self, outside: str, inside: frozenset[str], *, idle_timeout: float | None = None, filtering: bool = True
    ) -> None:
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError(f"idle_timeout must be above 0 seconds, or None, not {idle_timeout!r}")
        self.outside = outside
        self.inside = inside
        self.idle_timeout = idle_timeout
        self.filtering = filtering
        self._by_inside: dict[Address, _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._next_port = _FIRST_PORT

    @property
    def mappings(self) -> dict[Address, int]:
        """The inside addresses and ports in use, and the outside port of each."""
        return {mapping.inside: mapping.outside_port for mapping in self._by_port.values()}

    def rebind(self) -> None:
        """Forgets all mappings, as after a restart: the next packet from inside gets another outside port."""
        self._by_inside.clear()
        self._by_port.clear()

    def translate_out(self, source: Address, destination: Address, now: float) -> Address:
        """The outside address and port of what `source` sends."""
        mapping = self._by_inside.get(source)
        if mapping is None or self._is_stale(mapping, now):
            mapping = self._map(source, now)
        mapping.used_at = now
        mapping.peers.add(destination)
        return self.outside, mapping.outside_port

    def translate_in(self, source: Address, port: int, now: float) -> Address | None:
        """The inside address and port that a packet to the outside `port` goes to; `None`: nowhere."""
        mapping = self._by_port.get(port)
        if mapping is None or self._is_stale(mapping, now):
            return None
        if self.filtering and source not in mapping.peers:
            return None
        mapping.used_at = now
        return mapping.inside

    def _is_stale(self, mapping: _Mapping, now: float) -> bool:
        return self.idle_timeout is not None and now - mapping.used_at > self.idle_timeout

    def _map(self, source: Address, now: float) -> _Mapping:
        stale = self._by_inside.pop(source, None)
        if stale is not None:
            del self._by_port[stale.outside_port]
        while self._next_port in self._by_port:
            self._step()
        mapping = _Mapping(source, self._next_port, now)
        self._by_inside[source] = self._by_port[self._next_port] = mapping
        self._step()
        return mapping

    def _step(self) -> None:
        self._next_port = self._next_port + 1 if self._next_port < _LAST_PORT else _FIRST_PORT
