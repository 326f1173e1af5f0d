"""Hears from the core of one association, and tells whom it concerns: its inbox, its outlet, and those who wait.

The loop and the sockets are in `engine`; what a program calls is in `association`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from ..association.user import AssociationUser
from ..errors import MessageAbandoned, SCTPError
from ..events import CongestionControllerFailed, Event, PartialDeliveryAborted, SchedulerFailed
from ..handlers.state import CLOSED
from .inbox import Inbox
from .listeners import EventStream, Listeners
from .outlet import Outlet
from .receipts import Delivery, Watch
from .session import Session


@final
class Driver(AssociationUser):
    """What the core of one association calls back."""

    __slots__ = ("_heartbeats", "_listeners", "_on_ended", "inbox", "outlet", "session")

    def __init__(self, session: Session, send_buffer: int, on_ended: Callable[[Session], None]) -> None:
        self.session = session
        self.inbox = Inbox(session)
        self.outlet = Outlet(session, send_buffer)
        self._on_ended = on_ended
        self._listeners: Listeners | None = None
        self._heartbeats: dict[str, list[asyncio.Future[float]]] | None = None  # who waits, by address

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.inbox.on_message(sid, ssn, ppid, unordered, tsn, data)

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        self.inbox.on_part(sid, number, ppid, unordered, tsn, data, last)

    def on_parts_aborted(self, sid: int) -> None:
        self.inbox.abort_parts(sid)
        if self._listeners is not None:
            self._listeners.tell(PartialDeliveryAborted(sid))

    def on_event(self, event: Event) -> None:
        self.inbox.note(event)
        if self.session.changes:
            self.session.changes.wake()
        if self._listeners is not None:
            self._listeners.tell(event)
        if isinstance(event, (SchedulerFailed, CongestionControllerFailed)):
            self.session.engine.loop.call_exception_handler({"message": str(event.error), "exception": event.error})

    def on_complete(self) -> None:
        self.session.is_complete = True
        self.inbox.wake_readers()
        self.session.changes.wake()

    def on_writable(self) -> None:
        self.outlet.buffer.check()

    def on_outcome(self, watcher: object, reason: str, address: str, transmissions: int) -> None:
        if isinstance(watcher, Watch):
            if reason:
                watcher.finish(MessageAbandoned(reason))
            else:
                watcher.finish(Delivery(self.session.engine.loop.time(), address, transmissions))

    def on_heartbeat(self, address: str, round_trip: float | None) -> None:
        session = self.session
        if round_trip is None and not session.ended and session.core.state is CLOSED:
            return  # it is no longer awaited; `on_closed` tells why
        waiting = self._heartbeats.pop(address, ()) if self._heartbeats is not None else ()
        for future in waiting:
            if future.done():
                continue
            if session.ended:
                future.set_exception(session.closed_error())
            elif round_trip is None:
                future.set_exception(TimeoutError(f"{address} did not answer a HEARTBEAT"))
            else:
                future.set_result(round_trip)

    def on_closed(self, error: SCTPError | None) -> None:
        session = self.session
        if session.ended:
            return
        session.ended = True
        session.error = error
        self.inbox.wake_readers()
        self.outlet.buffer.release()
        session.changes.wake()
        for address in list(self._heartbeats or ()):
            self.on_heartbeat(address, None)
        if self._listeners is not None:
            self._listeners.tell(None)
        self._on_ended(session)

    def listen(self) -> EventStream:
        """Return the events from now on."""
        if self._listeners is None:
            self._listeners = Listeners()
        stream = EventStream(self.session)
        self._listeners.add(stream)
        return stream

    async def heartbeat(self, address: str) -> float:
        """Send a HEARTBEAT to this address of the peer; return the round trip, as `Association.heartbeat` says."""
        session = self.session
        session.check_alive()
        future: asyncio.Future[float] = session.engine.loop.create_future()
        if self._heartbeats is None:
            self._heartbeats = {}
        waiting = self._heartbeats.setdefault(address, [])
        waiting.append(future)
        try:
            if len(waiting) == 1:
                session.core.heartbeat(address, session.engine.now())
                session.flush()
            return await future
        finally:
            if future in waiting:
                waiting.remove(future)
