"""Our addresses in one association, which change while it lives (RFC 5061): what it takes to ask the peer for that.

Knows which sockets a request takes; which there are, and for whom, is in `address_book`. What a request means is known
by `handlers.addresses`. Where addresses follow those of the machine, `auto_asconf` asks.
"""

from __future__ import annotations

from typing import Final, final

from ...errors import AsconfError
from ...handlers.request import Ticket
from ...handlers.state import ESTABLISHED
from ...paths.route import in_scope, is_ipv4, is_source_for
from ..session import Session
from .address_book import AddressBook, unicast


@final
class DynamicAddresses:
    """The addresses of one association."""

    __slots__ = ("_book", "declined", "session")

    def __init__(self, session: Session, book: AddressBook) -> None:
        self.session: Final = session
        self._book = book
        #: What the user has taken from this association: it is not to come back by itself.
        self.declined: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Our addresses that its packets leave from."""
        return self.session.core.path_manager.local.sources

    # The user calls, through `Association`.

    async def add_local_address(self, addr: str) -> None:
        """Do what `Association.add_local_address` says."""
        address = self._checked(addr)
        if address in self.addresses or self._book.is_held(address, self.session.core):
            raise ValueError(f"{address} is an address of this association already")
        self._allow(address)
        await self._carried_out(await self.add(address))

    async def remove_local_address(self, addr: str) -> None:
        """Do what `Association.remove_local_address` says."""
        address = self._own(addr)
        if len(self.addresses) == 1:
            raise ValueError(f"{address} is the last address of this association")
        ticket = self.remove(address)
        if not self.session.engine.core.listening:
            self._book.unshare(address)  # nobody can set up an association to it: it is that of those who have it
        self.declined += (address,)
        try:
            await self._carried_out(ticket)
        except AsconfError:
            self._allow(address)
            raise

    def _allow(self, address: str) -> None:
        self.declined = tuple(each for each in self.declined if each != address)

    async def request_peer_primary(self, addr: str) -> None:
        """Do what `Association.request_peer_primary` says."""
        address = self._own(addr)
        await self._carried_out(self.session.ask(self.session.core.asconf.request_primary(address)))

    async def _carried_out(self, ticket: Ticket) -> None:
        """Wait for the peer's answer. `AsconfError` if it does not agree, or what the association has ended by."""
        if not await self.session.answered(ticket):
            self.session.check_alive()
            if ticket.error is not None:
                raise ticket.error.with_traceback(None)

    def _checked(self, addr: str) -> str:
        """Return an address in its one spelling. Raises if it is none that we can have, or none can be changed."""
        address = unicast("addr", addr)
        _ = self.session.check_alive().asconf
        return address

    def _own(self, addr: str) -> str:
        """Return one of our addresses here in its one spelling. Raises if it is none, or addresses can't be changed."""
        address = self._checked(addr)
        if address not in self.addresses:
            known = ", ".join(self.addresses)
            raise ValueError(f"addr must be one of our addresses in this association ({known}), not {addr!r}")
        return address

    # What can be asked.

    @property
    def can_change(self) -> bool:
        """True if the peer can be asked for anything now."""
        session = self.session
        setup = session.core.context.setup
        return not session.ended and session.core.state is ESTABLISHED and setup is not None and setup.dynamic_addresses

    def is_usable(self, address: str) -> bool:
        """Return whether a packet from this address of ours can get to any of the peer's."""
        return any(is_ipv4(address) is is_ipv4(peer) and is_source_for(address, peer) for peer in self._peers())

    def is_translated(self, address: str) -> bool:
        """Return whether the peer can't know this address by its name: there is a NAT, or it means another host."""
        return not any(in_scope(address, peer) for peer in self._peers())

    def lacks(self, address: str) -> bool:
        """Return whether an address of the endpoint is of use here, and the association does not have it yet."""
        return (
            self.can_change
            and self.is_usable(address)
            and address not in self.addresses
            and not self._book.is_held(address, self.session.core)
        )

    def _peers(self) -> list[str]:
        return [path.route.address for path in self.session.core.path_manager.paths]

    # Asking.

    async def add(self, new: str, old: str = "") -> Ticket:
        """Bind a new address, and ask the peer to take it, at once in place of an old one, if that is given.

        `OSError` if it can't be had; what the association has ended by, if it has meanwhile.
        """
        await self._book.hold(new, self.session.core)
        if self.session.ended:
            self._book.release(new, self.session.core)
            self.session.check_alive()
        return self.add_bound(new, old)

    def add_bound(self, new: str, old: str = "") -> Ticket:
        """Do the same with one that is bound already. Nobody else needs the socket of the one that is not used then."""
        book, core = self._book, self.session.core
        is_translated = self.is_translated(new)
        try:
            asconf = self.session.check_alive().asconf
            ticket = asconf.change_local(new, old, is_translated) if old else asconf.add_local(new, is_translated)
        except BaseException:
            book.release(new, core)
            raise
        if old:
            book.keep(old, core)

        def then(is_ok: bool) -> None:
            unused = old if is_ok else new
            if unused:
                book.release(unused, core)

        return self.session.ask(ticket, then)

    def remove(self, address: str) -> Ticket:
        """Ask the peer to forget an address; once it has, nobody else needs the socket."""
        book, core = self._book, self.session.core
        ticket = self.session.check_alive().asconf.remove_local(address)
        book.keep(address, core)  # what is on its way there has to be taken until then
        return self.session.ask(ticket, lambda is_ok: book.release(address, core) if is_ok else None)

    def catch_up(self) -> None:
        """Ask for the addresses that the endpoint was given while the association was set up."""
        for address in self._book.shared:
            if self.lacks(address):
                self.add_bound(address)
