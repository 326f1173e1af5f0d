"""At which of its addresses an endpoint has a socket, and for whom: for all of its associations, or for some of them.

Knows sockets and who holds them. What the peer has to be told is known by `dynamic_addresses`.
"""

from __future__ import annotations

import asyncio
from typing import final

from ...association.association import Association as Core
from ...errors import AssociationClosed
from ...paths.route import in_scope, normalize, wildcard_of
from ...tables import NOTHING
from ..engine import Engine


def unicast(name: str, address: object) -> str:
    """Return an address in its one spelling. `TypeError` or `ValueError` names the argument that we can't have."""
    if not isinstance(address, str):
        raise TypeError(f"{name} must be an IP address as str, not {address!r}")
    try:
        literal = normalize(address)
    except ValueError:
        literal = ""
    if not in_scope(literal, literal):
        raise ValueError(f"{name} must be a unicast IP address, not {address!r}")
    return literal


@final
class AddressBook:
    """The addresses of one endpoint. One is shared by all of its associations, or held by those that have it."""

    __slots__ = ("_engine", "_holders", "_lock", "shared")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._holders: dict[str, set[Core]] = NOTHING
        self._lock = asyncio.Lock()  # two may want the same
        #: What became an address of all associations after the endpoint was opened, whether a socket was needed for it,
        #: or there was one for all addresses of the machine.
        self.shared: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of the endpoint itself; a wildcard stands for all of its family."""
        return tuple(dict.fromkeys((*self._engine.core.local_addresses, *self.shared)))

    def is_covered(self, address: str) -> bool:
        """Return whether a socket of all addresses serves this one."""
        return wildcard_of(address) in self._engine.core.local_addresses

    def is_held(self, address: str, core: Core) -> bool:
        """Return whether this association has a socket there that others need not have."""
        return core in self._holders.get(address, ())

    async def hold(self, address: str, core: Core) -> None:
        """Have a socket as long as this association has the address. `OSError` if it can't be had."""
        self.keep(address, core)
        try:
            await self._bind(address)
        except BaseException:
            self.release(address, core)
            raise

    def keep(self, address: str, *cores: Core) -> None:
        """Keep the socket, if there is one, as long as one of these associations has the address."""
        if not self._holders:
            self._holders = {}
        self._holders.setdefault(address, set()).update(cores)

    def check_open(self) -> None:
        """Raise `AssociationClosed` once the endpoint is closed."""
        if self._engine.is_stopped:
            raise AssociationClosed("the endpoint has been closed")

    async def share(self, address: str) -> None:
        """Make it an address of all associations from now on. `OSError` if it can't be had."""
        self.check_open()
        await self._bind(address)
        if self._engine.is_stopped:
            self._engine.sockets.close()  # the one that was bound meanwhile
            self.check_open()
        if address not in self.shared:
            self.shared = (*self.shared, address)
        endpoint = self._engine.core
        if not self.is_covered(address) and address not in endpoint.local_addresses:
            endpoint.local_addresses = (*endpoint.local_addresses, address)

    def unshare(self, address: str) -> None:
        """Leave it to those associations alone that have it, as long as they do.

        The last one stays that of associations to come, until there is another.
        """
        core = self._engine.core
        self.shared = tuple(each for each in self.shared if each != address)
        core.local_addresses = tuple(each for each in core.local_addresses if each != address) or (address,)
        users = self.users(address)
        if users:
            self.keep(address, *users)
        self._close_unused(address)

    def users(self, address: str) -> list[Core]:
        """Return the associations that have this address."""
        return [core for core in self._engine.core.associations if address in core.path_manager.local.sources]

    def release(self, address: str, core: Core) -> None:
        """Close the socket, unless it has other users: this association has the address no more, or never got it."""
        holders = self._holders.get(address, set())
        holders.discard(core)
        if not holders:
            self._holders.pop(address, None)
            # In the next turn of the loop: we may be called by what came from that very socket.
            self._engine.loop.call_soon(self._close_unused, address)

    def forget(self, core: Core) -> None:
        """Release all that an association holds, which has ended."""
        for address in [address for address, holders in self._holders.items() if core in holders]:
            self.release(address, core)

    async def _bind(self, address: str) -> None:
        async with self._lock:
            await self._engine.sockets.add(address)

    def _close_unused(self, address: str) -> None:
        core = self._engine.core
        if address in self._holders or (core.listening and address in core.local_addresses) or self.users(address):
            return
        self._engine.sockets.remove(address)
