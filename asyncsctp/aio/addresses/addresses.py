"""Our addresses are added, removed and preferred while associations live (RFC 5061): the waits of those who ask for it.

Knows tickets, and which sockets they take. What a request means is the business of the core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import AsconfError, SCTPError
from ...handlers.state import ESTABLISHED
from ...paths.route import in_scope, is_ipv4, is_source_for
from .address_book import AddressBook, ours, unicast

if TYPE_CHECKING:
    from ...handlers.addresses.asconf import Asconf
    from ...handlers.request import Ticket
    from ..session import Session


class DynamicAddresses:
    """The part of an `Association` that changes our own addresses."""

    __slots__ = ()

    _session: Session
    _book: AddressBook

    @property
    def local_addrs(self) -> tuple[str, ...]:
        """Our addresses that this association uses."""
        return ours(self._session)

    async def add_local_address(self, addr: str) -> None:
        """Use one more address of this machine, and wait until the peer has agreed (RFC 5061 section 4.2.1).

        Cancelling the wait does not withdraw the request. `AsconfError`, with the peer's error causes, if it did not
        agree, or if it can't be asked: RFC 5061 was not negotiated, the association is shutting down, the peer has
        restarted it meanwhile; then the address is not used. `OSError` if it is not the machine's, `ValueError` if it
        is in use already or still being removed, or is no unicast address; `AssociationClosed`, or the association's
        error, if that has ended. An address that means nothing where the peer is, as a private one behind a NAT, is
        told as the one that the request comes from (section 5.3, 0.0.0.0 or ::).
        """
        session = self._session
        address = unicast("addr", addr)
        _check_negotiated(session)
        if address in self.local_addrs or self._book.is_held(address, session):
            raise ValueError(f"{address} is an address of this association already")
        self._book.accept(session, address)
        await _carried_out(session, await add(self._book, session, address))

    async def remove_local_address(self, addr: str) -> None:
        """Use an address no more, and wait until the peer has agreed (section 4.2.2). Raises as `add_local_address`.

        `ValueError` if it is not in use, or is the last one from which the peer can be reached.
        """
        session = self._session
        address = unicast("addr", addr)
        _check_negotiated(session)
        if address not in self.local_addrs:
            known = ", ".join(self.local_addrs)
            raise ValueError(f"addr must be one of our addresses in this association ({known}), not {addr!r}")
        if len(self.local_addrs) == 1:
            raise ValueError(f"{address} is the last address of this association")
        book = self._book
        ticket = remove(book, session, address)
        if not session.engine.core.listening:
            book.unshare(address)  # nobody can set up an association to it: it is that of those who have it
        book.decline(session, address)
        try:
            await _carried_out(session, ticket)
        except AsconfError:
            book.accept(session, address)
            raise

    async def request_peer_primary(self, addr: str) -> None:
        """Ask the peer to send to this address of ours (section 4.2.4), and wait until it has agreed.

        Raises as `add_local_address`; `ValueError` if the address is not in use.
        """
        session = self._session
        address = unicast("addr", addr)
        _check_negotiated(session)
        if address not in self.local_addrs:
            known = ", ".join(self.local_addrs)
            raise ValueError(f"addr must be one of our addresses in this association ({known}), not {addr!r}")
        ticket = _room(session).request_primary(address)
        _begin(session, ticket, _nothing)
        await _carried_out(session, ticket)


def takes_changes(session: Session) -> bool:
    """Whether the peer can be asked for anything now."""
    setup = session.core.context.setup
    return not session.ended and session.core.state is ESTABLISHED and setup is not None and setup.dynamic_addresses


def is_usable(address: str, session: Session) -> bool:
    """Whether a packet from this address of ours can get to any of the peer's."""
    return any(is_ipv4(address) is is_ipv4(peer) and is_source_for(address, peer) for peer in _peers(session))


def is_translated(address: str, session: Session) -> bool:
    """Whether the peer can't know this address by its name: there is a NAT between, or it would mean another host."""
    return not any(in_scope(address, peer) for peer in _peers(session))


def _peers(session: Session) -> list[str]:
    return [path.route.address for path in session.core.path_manager.paths]


async def add(book: AddressBook, session: Session, address: str) -> Ticket:
    """Bind it, and ask the peer to take it; if it does not, nobody else needs it."""
    await book.hold(address, session)
    return _request_addition(book, session, address)


def _request_addition(book: AddressBook, session: Session, address: str) -> Ticket:
    try:
        ticket = _room(session).add_local(address, is_translated(address, session))
    except BaseException:
        book.release(address, session)
        raise

    def settle(is_ok: bool) -> None:
        if not is_ok:
            book.release(address, session)

    _begin(session, ticket, settle)
    return ticket


def remove(book: AddressBook, session: Session, address: str) -> Ticket:
    """Ask the peer to forget it; once it has, nobody else needs it."""
    ticket = _room(session).remove_local(address)
    book.keep(address, session)  # what is on its way there has to be taken until then
    _begin(session, ticket, lambda is_ok: book.release(address, session) if is_ok else None)
    return ticket


async def change(book: AddressBook, session: Session, new: str, old: str) -> Ticket:
    """Both at once: the only address is another one now."""
    await book.hold(new, session)
    try:
        ticket = _room(session).change_local(new, old, is_translated(new, session))
    except BaseException:
        book.release(new, session)
        raise
    book.keep(old, session)

    def settle(is_ok: bool) -> None:
        if is_ok:
            book.release(old, session)
        else:
            book.release(new, session)

    _begin(session, ticket, settle)
    return ticket


async def answered(session: Session, ticket: Ticket) -> bool:
    """Wait for the peer's answer; whether it has agreed."""
    while not ticket.is_done and not session.ended:
        await session.changes.wait()
    return ticket.is_ok


async def share(book: AddressBook, addr: str) -> None:
    """See `Endpoint.add_local_address`."""
    address = unicast("addr", addr)
    book.check_open()
    if address in book.addresses:
        raise ValueError(f"{address} is an address of the endpoint already")
    await book.share(address)
    asked = []
    for session in list(book.sessions()):
        if lacks(book, session, address):
            with suppress(SCTPError, ValueError):  # it has ended meanwhile, or can't be asked
                asked.append((session, await add(book, session, address)))
    await asyncio.gather(*(answered(*each) for each in asked))


async def unshare(book: AddressBook, addr: str) -> None:
    """See `Endpoint.remove_local_address`."""
    address = unicast("addr", addr)
    book.check_open()
    if address not in book.addresses:
        raise ValueError(f"addr must be one of the endpoint's addresses ({', '.join(book.addresses)}), not {addr!r}")
    if len(book.addresses) == 1:
        raise ValueError(f"{address} is the last address of the endpoint")
    book.unshare(address)
    asked = []
    for session in book.users(address):
        if takes_changes(session) and len(ours(session)) > 1:
            with suppress(SCTPError, ValueError):  # it can't be asked, or can't do without
                asked.append((session, remove(book, session, address)))
    await asyncio.gather(*(answered(*each) for each in asked))


def greet(book: AddressBook, session: Session) -> None:
    """An association has been set up: it takes what the endpoint was given while that was under way."""
    for address in book.shared:
        if lacks(book, session, address):
            _request_addition(book, session, address)


def lacks(book: AddressBook, session: Session, address: str) -> bool:
    """Whether an address of the endpoint is of use to this association, and it does not have it yet."""
    return (
        takes_changes(session)
        and is_usable(address, session)
        and address not in ours(session)
        and not book.is_held(address, session)
    )


def _room(session: Session) -> Asconf:
    session.check_alive()
    return session.core.asconf


def _check_negotiated(session: Session) -> None:
    _room(session)


def _begin(session: Session, ticket: Ticket, settle: Callable[[bool], None]) -> None:
    """The request leaves. `settle` learns what became of it, whether anybody waits for that or not."""

    def done() -> None:
        settle(ticket.is_ok)
        session.changes.wake()

    if ticket.is_done:
        done()
    else:
        ticket.on_done = done
    session.engine.flush_soon(session.core)


async def _carried_out(session: Session, ticket: Ticket) -> None:
    if not await answered(session, ticket):
        session.check_alive()
        if ticket.error is not None:
            raise ticket.error.with_traceback(None)


def _nothing(is_ok: bool) -> None:
    """A request that takes nothing of ours."""
