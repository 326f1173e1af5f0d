"""At which of its addresses an endpoint has a socket, and for whom: for all of its associations, or for some of them.

Knows sockets and who holds them. What the peer has to be told is the business of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, final

from ...config import Config
from ...errors import AssociationClosed
from ...paths.route import in_scope, normalize, wildcard_of
from ...tables import NOTHING
from ..processes.membership import Membership

if TYPE_CHECKING:
    from ..engine import Engine
    from ..session import Session


def ours(session: Session) -> tuple[str, ...]:
    """The addresses that an association's packets may leave from."""
    return session.core.path_manager.local.sources


def unicast(name: str, address: object) -> str:
    """An address in its one spelling. `TypeError` or `ValueError` names the argument that is none that we can have."""
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
    """Of one endpoint. An address is shared by all of its associations, or held by those that have it.

    `shared`: what became so after the endpoint was opened, whether a socket was needed for it or there was one for all
    addresses of the machine. `declined`: what the user took from an association, which is not to come back by itself.
    """

    __slots__ = ("_config", "_engine", "_holders", "_lock", "_membership", "declined", "sessions", "shared")

    def __init__(
        self, engine: Engine, config: Config, membership: Membership, sessions: Callable[[], Iterable[Session]]
    ) -> None:
        """`sessions` gives those of all associations."""
        self.sessions = sessions
        self._engine = engine
        self._config = config
        self._membership = membership
        self._holders: dict[str, set[Session]] = NOTHING
        self._lock: asyncio.Lock | None = None  # two may want the same
        self.shared: tuple[str, ...] = ()
        self.declined: dict[Session, set[str]] = NOTHING

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of the endpoint itself; a wildcard stands for all of its family."""
        return tuple(dict.fromkeys((*self._engine.core.local_addresses, *self.shared)))

    def is_covered(self, address: str) -> bool:
        """Whether a socket of all addresses serves this one."""
        return wildcard_of(address) in self._engine.core.local_addresses

    def is_held(self, address: str, session: Session) -> bool:
        """Whether this association has a socket there that others need not have."""
        return session in self._holders.get(address, ())

    async def hold(self, address: str, session: Session) -> None:
        """There is to be a socket as long as this association has the address. `OSError` if it can't be had."""
        self.keep(address, session)
        try:
            await self._bind(address)
            session.check_alive()
        except BaseException:
            self.release(address, session)
            raise

    def keep(self, address: str, session: Session) -> None:
        """If there is a socket it stays, as long as this association has the address."""
        self._hold(address, [session])

    def check_open(self) -> None:
        """`AssociationClosed` once the endpoint is closed."""
        if self._engine.is_stopped:
            raise AssociationClosed("the endpoint has been closed")

    async def share(self, address: str) -> None:
        """It is an address of all associations from now on. `OSError` if it can't be had."""
        self.check_open()
        await self._bind(address)
        if self._engine.is_stopped:
            self._engine.sockets.close()  # the one that was bound meanwhile
            self.check_open()
        if address not in self.shared:
            self.shared = (*self.shared, address)
        core = self._engine.core
        if not self.is_covered(address) and address not in core.local_addresses:
            core.local_addresses = (*core.local_addresses, address)

    def unshare(self, address: str) -> None:
        """It is an address of those associations alone that have it, as long as they do.

        The last one stays that of associations to come, until there is another.
        """
        core = self._engine.core
        self.shared = tuple(each for each in self.shared if each != address)
        core.local_addresses = tuple(each for each in core.local_addresses if each != address) or (address,)
        users = self.users(address)
        if users:
            self._hold(address, users)
        self._close_unused(address)

    def users(self, address: str) -> list[Session]:
        """The associations that have this address."""
        return [session for session in self.sessions() if address in ours(session)]

    def release(self, address: str, session: Session) -> None:
        """This association does not have the address any more, or never got it."""
        holders = self._holders.get(address, set())
        holders.discard(session)
        if not holders:
            self._holders.pop(address, None)
            # In the next turn of the loop: we may be called by what came from that very socket.
            self._engine.loop.call_soon(self._close_unused, address)

    def decline(self, session: Session, address: str) -> None:
        """The user has taken this address from an association."""
        if not self.declined:
            self.declined = {}  # most endpoints never have any
        self.declined.setdefault(session, set()).add(address)

    def accept(self, session: Session, address: str) -> None:
        """Let an association have an address again that the user had taken from it."""
        self.declined.get(session, set()).discard(address)

    def leave(self, session: Session) -> None:
        """An association has ended."""
        self.declined.pop(session, None)
        for address in [address for address, holders in self._holders.items() if session in holders]:
            self.release(address, session)

    async def _bind(self, address: str) -> None:
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            await self._engine.sockets.add(address, self._config, self._membership.open_further_socket)

    def _hold(self, address: str, sessions: Iterable[Session]) -> None:
        if not self._holders:
            self._holders = {}
        self._holders.setdefault(address, set()).update(sessions)

    def _close_unused(self, address: str) -> None:
        core = self._engine.core
        if address in self._holders or (core.listening and address in core.local_addresses) or self.users(address):
            return
        self._engine.sockets.remove(address)
