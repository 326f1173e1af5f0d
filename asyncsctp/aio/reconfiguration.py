"""Streams are reset, added and closed (RFC 6525): the waits of those who ask for it.

Knows tickets and results. What a request means is the business of the core.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..checks import check_int
from ..errors import ReconfigError

if TYPE_CHECKING:
    from ..handlers.request import Ticket
    from ..handlers.streams.reconfig import Reconfig
    from .session import Session


async def reset_streams(session: Session, outgoing: Iterable[int] | None, incoming: Iterable[int] | None) -> None:
    """See `Association.reset_streams`."""
    ours = None if outgoing is None else [check_int("a stream in outgoing", sid) for sid in outgoing]
    theirs = None if incoming is None else [check_int("a stream in incoming", sid) for sid in incoming]
    await _carried_out(session, _room(session).reset_streams(ours, theirs))


async def reset_tsns(session: Session) -> None:
    """See `Association.reset_tsns`."""
    await _carried_out(session, _room(session).reset_tsns())


async def add_streams(session: Session, outgoing: int, incoming: int) -> None:
    """See `Association.add_streams`."""
    ours = check_int("outgoing", outgoing)
    theirs = check_int("incoming", incoming)
    await _carried_out(session, _room(session).add_streams(ours, theirs))


def close_stream(session: Session, sid: int) -> Ticket | None:
    """The writer of a stream was closed; None where the peer is told nothing of it."""
    setup = session.core.context.setup
    if not session.takes_messages or setup is None or not setup.stream_reconfig or sid >= setup.outgoing_streams:
        return None
    ticket = session.core.reconfig.close_stream(sid)
    session.engine.flush_soon(session.core)
    return ticket


async def is_closed_with(session: Session, ticket: Ticket) -> bool:
    """Wait for the answer to the reset of a stream; whether the association was closed with it, before that came.

    `ReconfigError` if it was refused.
    """
    await _answered(session, ticket)
    error = ticket.error
    if error is None:
        return False
    if session.takes_messages or (isinstance(error, ReconfigError) and error.result is not None):
        raise error.with_traceback(None)
    return True


def _room(session: Session) -> Reconfig:
    session.check_alive()
    return session.core.reconfig


async def _carried_out(session: Session, ticket: Ticket) -> None:
    await _answered(session, ticket)
    if ticket.error is not None:
        raise ticket.error.with_traceback(None)


async def _answered(session: Session, ticket: Ticket) -> None:
    session.engine.flush_soon(session.core)
    ticket.on_done = session.changes.wake
    while not ticket.is_done:
        await session.changes.wait()
