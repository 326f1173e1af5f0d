"""Addresses of an endpoint that follow those of the machine: what came is added, what went is removed (RFC 5061).

Knows what the machine has and what each association has, and brings the second after the first, one request at a time.
Who refuses is asked again at the next change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, final

from ...errors import SCTPError
from ...handlers.request import Ticket
from ...paths.route import is_ipv4, is_source_for, wildcard_of
from ..flow_control import WaitList
from .address_book import AddressBook
from .address_watch import AddressWatch
from .dynamic_addresses import DynamicAddresses

_logger = logging.getLogger("asyncsctp")

#: Between looks for a way out, as long as there is none.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_BIND_PAUSE: Final = 5.0


@final
class AutoAsconf:
    """What follows the machine's addresses for one endpoint, from when it is opened until `close`."""

    def __init__(self, book: AddressBook, associations: Callable[[], Iterable[DynamicAddresses]]) -> None:
        """`associations` gives the addresses of each association that there is."""
        self._book = book
        self._associations = associations
        self._bound = book.addresses  # as it was opened: which kinds of address it is about
        self._arrived: dict[str, None] = {}  # and are not yet the endpoint's
        self._changes = WaitList()
        self._followers: dict[DynamicAddresses, asyncio.Task[None]] = {}
        self._refused: set[tuple[DynamicAddresses, str]] = set()
        self._is_begun = False
        self._is_due = False
        self._round: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._watch = AddressWatch(self._bound[0], self._on_change)

    def close(self) -> None:
        """Follow no more."""
        self._watch.close()
        self._stop_retry()
        for task in (self._round, *self._followers.values()):
            if task is not None:
                task.cancel()

    def follow(self, association: DynamicAddresses) -> None:
        """Bring an association up to date that has been set up, or for which something has changed."""
        if self._is_begun and association not in self._followers:
            self._followers[association] = asyncio.get_running_loop().create_task(self._bring(association))

    def _on_change(self, changes: dict[str, bool]) -> None:
        if not self._is_begun:
            # What the endpoint is bound to is what it begins with: where it is bound to all, all.
            self._arrived.update((address, None) for address in self._watch.addresses if self._book.is_covered(address))
            self._is_begun = True
        for address, has_come in changes.items():
            if has_come:
                self._arrived[address] = None
            else:
                _logger.info("%s is no address of this machine any more", address)
        self._is_due = True
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._follow_machine())

    async def _follow_machine(self) -> None:
        """Bring up to date the endpoint's own addresses first, then those of each association."""
        while self._is_due:
            self._is_due = False
            self._refused.clear()
            here = self._watch.addresses
            for address in list(self._arrived):
                if address not in here or await self._share(address):
                    self._arrived.pop(address, None)
            for address in self._book.addresses:
                if address not in here and address != wildcard_of(address):
                    self._book.unshare(address)
            for association in self._associations():
                self.follow(association)
            self._changes.wake()
        if self._arrived:  # they can't be bound, and that may be over before anything is told
            self._stop_retry()
            self._retry = asyncio.get_running_loop().call_later(_BIND_PAUSE, self._on_change, {})

    def _stop_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _share(self, address: str) -> bool:
        """Make it the endpoint's, if that is of use; true if there is nothing left to do about it."""
        if address in self._book.addresses or not self._is_wanted(address):
            return True
        try:
            await self._book.share(address)
        except (OSError, NotImplementedError) as exc:
            _logger.warning("%s is a new address of this machine, but can't be used: %s", address, exc)
            return isinstance(exc, NotImplementedError)
        _logger.info("%s is an address of this machine that can be used", address)
        return True

    def _is_wanted(self, address: str) -> bool:
        """Return whether it is of a kind with what the endpoint was opened at, or of use to an association."""
        return any(
            bound == wildcard_of(address) or (is_ipv4(bound) is is_ipv4(address) and is_source_for(address, bound))
            for bound in self._bound
        ) or any(association.is_usable(address) for association in self._associations())

    async def _bring(self, association: DynamicAddresses) -> None:
        """Bring one association up to date."""
        try:
            await self._ask_for_all(association)
        finally:
            del self._followers[association]

    async def _ask_for_all(self, association: DynamicAddresses) -> None:
        """Ask for one thing after the other until nothing is missing and nothing too much."""
        session = association.session
        pause = _FIRST_PAUSE
        while association.can_change:
            new, old = self._next_step(association)
            if not new and not old:
                return
            # Where the only way out has gone, another one may come a little later.
            if new or not self._is_cut_off(association):
                reason: object
                try:
                    ticket = await association.add(new, old) if new else association.remove(old)
                    if await self._answered(association, ticket):
                        _logger.info("%r: %s", session, _described(new, old))
                        continue
                    reason = ticket.error
                except (SCTPError, ValueError, NotImplementedError) as exc:
                    reason = exc
                except OSError as exc:  # it has gone meanwhile, and may be back before that is told
                    reason = None
                    _logger.warning("%r: not %s yet: %s", session, _described(new, old), exc)
                if session.ended:
                    return
                if reason is not None:
                    _logger.warning("%r: not %s: %s", session, _described(new, old), reason)
                    self._refused.add((association, new or old))
                    continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changes.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _answered(self, association: DynamicAddresses, ticket: Ticket) -> bool:
        """Wait for the peer's answer. If the address goes that a request leaves from, give it another one."""
        session = association.session
        asked = [ticket]
        while not session.ended and (open_ := [each for each in asked if not each.is_done]):
            answer = asyncio.ensure_future(session.answered(open_[0]))
            change = asyncio.ensure_future(self._changes.wait())
            try:
                await asyncio.wait((answer, change), return_when=asyncio.FIRST_COMPLETED)
            finally:
                answer.cancel()
                change.cancel()
            if not open_[0].is_done and self._is_cut_off(association) and (new := self._way_out(association)):
                _logger.info("%r: %s is tried too", session, new)
                asked.append(await association.add(new))
        return ticket.is_ok

    def _next_step(self, association: DynamicAddresses) -> tuple[str, str]:
        """Return what to add and what to remove; neither if all is as it should be."""
        gone = [address for address in association.addresses if self._is_gone(address)]
        if gone and self._is_cut_off(association):
            new = self._way_out(association)
            if new and len(gone) > 1 and association.is_translated(new):
                return new, ""
            return new, gone[0]
        for address in gone:
            if (association, address) not in self._refused:
                return "", address
        return self._missing(association), ""

    def _missing(self, association: DynamicAddresses) -> str:
        """Return an address that the association could have as well."""
        here = self._watch.addresses
        for address in self._book.addresses:
            # Through a NAT a request has to take the new way, and if that leads nowhere, no other one can follow.
            if address in here and self._can_take(association, address) and not association.is_translated(address):
                return address
        return ""

    def _is_gone(self, address: str) -> bool:
        return address not in self._watch.addresses and address != wildcard_of(address)

    def _is_cut_off(self, association: DynamicAddresses) -> bool:
        """Return whether none of its addresses, nor of those that it has asked for, leads to the peer."""
        local = association.session.core.path_manager.local
        return not any(
            address == wildcard_of(address) or (address in self._watch.addresses and association.is_usable(address))
            for address in (*local.sources, *local.arriving)
        )

    def _way_out(self, association: DynamicAddresses) -> str:
        """Return the address that the system would use towards the peer now; or any other, if that is being deleted."""
        manager = association.session.core.path_manager
        for path in (manager.primary, *manager.paths):
            source = self._watch.source_for(path.route.address)
            if source in self._watch.addresses and self._can_take(association, source):
                return source
            if source in manager.local.leaving and (other := self._missing(association)):
                return other
        return ""

    def _can_take(self, association: DynamicAddresses, address: str) -> bool:
        return (
            association.lacks(address)
            and (association, address) not in self._refused
            and address not in association.declined
        )


def _described(new: str, old: str) -> str:
    if new and old:
        return f"{old} became {new}"
    return f"{new} was added" if new else f"{old} was removed"
