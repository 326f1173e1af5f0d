"""Streams are reset, added and closed (RFC 6525): the waits of those who ask for it.

Knows tickets and results. What a request means is the business of the core.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..checks import check_int
from ..errors import ReconfigError

if TYPE_CHECKING:
    from ..handlers.streams.reconfig import Reconfig
    from ..handlers.streams.reconfig_jobs import Ticket
    from .session import Session as Driver

#: What the peer may answer but success (RFC 6525 section 4.4).
_RESULTS: Final = {
    2: "denied",
    3: "a stream does not exist",
    4: "another request is in progress",
    5: "bad request number",
}


async def reset_streams(driver: Driver, outgoing: Iterable[int] | None, incoming: Iterable[int] | None) -> None:
    """See `Association.reset_streams`."""
    ours = None if outgoing is None else [check_int("a stream in outgoing", sid) for sid in outgoing]
    theirs = None if incoming is None else [check_int("a stream in incoming", sid) for sid in incoming]
    await _carried_out(driver, _room(driver).reset_streams(ours, theirs))


async def reset_tsns(driver: Driver) -> None:
    """See `Association.reset_tsns`."""
    await _carried_out(driver, _room(driver).reset_tsns())


async def add_streams(driver: Driver, outgoing: int, incoming: int) -> None:
    """See `Association.add_streams`."""
    ours = check_int("outgoing", outgoing)
    theirs = check_int("incoming", incoming)
    await _carried_out(driver, _room(driver).add_streams(ours, theirs))


def close_stream(driver: Driver, sid: int) -> Ticket | None:
    """The writer of a stream was closed; None where the peer is told nothing of it."""
    setup = driver.core.context.setup
    if not driver.takes_messages or setup is None or not setup.stream_reconfig or sid >= setup.outgoing_streams:
        return None
    ticket = driver.core.reconfig.close_stream(sid)
    driver.engine.flush_soon(driver.core)
    return ticket


async def is_closed_with(driver: Driver, ticket: Ticket) -> bool:
    """Wait for the answer to the reset of a stream; whether the association was closed with it, before that came.

    `ReconfigError` if it was refused.
    """
    await _answered(driver, ticket)
    if ticket.is_ok:
        return False
    if ticket.result >= 0 or driver.takes_messages:
        raise _refusal(ticket)
    return True


def _room(driver: Driver) -> Reconfig:
    driver.check_alive()
    return driver.core.reconfig


async def _carried_out(driver: Driver, ticket: Ticket) -> None:
    await _answered(driver, ticket)
    if not ticket.is_ok:
        raise _refusal(ticket)


async def _answered(driver: Driver, ticket: Ticket) -> None:
    driver.engine.flush_soon(driver.core)
    ticket.on_done = driver.changes.wake
    while not ticket.is_done:
        await driver.changes.wait()


def _refusal(ticket: Ticket) -> ReconfigError:
    if ticket.result < 0:
        return ReconfigError(ticket.reason or "the peer's answer was wrong")
    what = _RESULTS.get(ticket.result, "unknown result")
    return ReconfigError(f"the peer did not reconfigure streams: {what} (result {ticket.result})", ticket.result)
