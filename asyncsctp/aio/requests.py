"""What the user asks the peer for, from the call to the answer: addresses (RFC 5061) and streams (RFC 6525).

Knows tickets, and who waits for them. What is asked for is known by `addresses.dynamic_addresses`, `association` and
`writer`; what becomes of it, by `handlers.request` and those who use that.
"""

from __future__ import annotations

from collections.abc import Callable

from ..handlers.request import Ticket
from .session import Session


def ask(session: Session, ticket: Ticket, then: Callable[[bool], object] | None = None) -> Ticket:
    """Let a request leave, and return its ticket.

    `then` is called when it is done, with True if all was done as asked, whether anybody waits for that or not.
    """

    def done() -> None:
        if then is not None:
            then(ticket.is_ok)
        session.changes.wake()

    if ticket.is_done:
        done()
    else:
        ticket.on_done = done
    session.flush_soon()
    return ticket


async def answered(session: Session, ticket: Ticket) -> bool:
    """Wait until a request is done, or the association has ended; return True if all was done as asked.

    Cancelling the wait does not withdraw the request.
    """
    while not ticket.is_done and not session.ended:
        await session.changes.wait()
    return ticket.is_ok


async def carried_out(session: Session, ticket: Ticket) -> None:
    """Let a request leave, and wait until it is done. Raises why not all was done as asked."""
    if not await answered(session, ask(session, ticket)):
        raise_error(ticket)


def raise_error(ticket: Ticket) -> None:
    """Raise why not all was done as asked, if so."""
    if ticket.error is not None:
        raise ticket.error.with_traceback(None)
