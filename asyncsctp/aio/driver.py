"""Hears from the core of one association, and tells whom it concerns: its inbox, its outlet, and those who wait.

Who listens to events is known here too. The loop and the sockets are in `engine`; what a program calls is in
`association`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, final
from weakref import WeakKeyDictionary

from mypy_extensions import mypyc_attr

from ..association.user import AssociationUser
from ..errors import MessageAbandoned, SCTPError
from ..events import CongestionControllerFailed, Event, PartialDeliveryAborted, SchedulerFailed
from ..handlers.state import CLOSED
from ..tables import NOTHING
from .flow_control import Turn
from .inbox import Inbox
from .outlet import Outlet
from .receipts import Delivery, Watch
from .session import Session

_EVENTS_KEPT: Final = 1024


@final
@mypyc_attr(native_class=False)  # there are weak references to it, which native objects can't have
class EventStream:
    """The events of an association from its `events()` on; ends with the association.

    It keeps the latest 1,024 that have not been read; `missed` counts those dropped.
    """

    __slots__ = ("__weakref__", "_events", "_session", "_turn", "missed")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._turn = Turn("in events()")
        self.missed = 0

    def put(self, event: Event | None) -> None:
        """Add an event; None: nothing more will happen."""
        if event is not None:
            self.missed += len(self._events) == _EVENTS_KEPT
            self._events.append(event)
        self._turn.wake()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        self._turn.claim()
        while not self._events:
            if self._session.ended:
                raise StopAsyncIteration
            await self._turn.wait()
        return self._events.popleft()


@final
class Driver(AssociationUser):
    """What the core of one association calls back."""

    __slots__ = ("_heartbeats", "_listeners", "_on_ended", "inbox", "outlet", "session")

    def __init__(self, session: Session, send_buffer: int, on_ended: Callable[[Session], None]) -> None:
        self.session = session
        self.inbox = Inbox(session)
        self.outlet = Outlet(session, send_buffer)
        self._on_ended = on_ended
        # Those who listen, in order, made when somebody does; one that nobody keeps is forgotten.
        self._listeners: WeakKeyDictionary[EventStream, None] | None = None
        self._heartbeats: dict[str, list[asyncio.Future[float]]] = NOTHING  # who waits, by address

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        self.inbox.on_message(sid, ssn, ppid, unordered, tsn, data)

    def on_part(self, sid: int, number: int, ppid: int, unordered: bool, tsn: int, data: bytes, last: bool) -> None:
        self.inbox.on_part(sid, number, ppid, unordered, tsn, data, last)

    def on_parts_aborted(self, sid: int) -> None:
        parts = self.inbox.parts_of(sid)
        if parts is not None:
            parts.abort()
        self._tell(PartialDeliveryAborted(sid))

    def on_event(self, event: Event) -> None:
        self.inbox.note(event)
        if self.session.changes:
            self.session.changes.wake()
        self._tell(event)
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
        for future in self._heartbeats.pop(address, ()):
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
        for address in list(self._heartbeats):
            self.on_heartbeat(address, None)
        self._tell(None)
        self._on_ended(session)

    def listen(self) -> EventStream:
        """Return the events from now on."""
        if self._listeners is None:
            self._listeners = WeakKeyDictionary()
        stream = EventStream(self.session)
        self._listeners[stream] = None
        return stream

    def _tell(self, event: Event | None) -> None:
        if self._listeners is not None:
            for stream in list(self._listeners):
                stream.put(event)

    async def heartbeat(self, address: str) -> float:
        """Send a HEARTBEAT to this address of the peer; return the round trip, as `Association.heartbeat` says."""
        session = self.session
        session.check_alive()
        future: asyncio.Future[float] = session.engine.loop.create_future()
        if not self._heartbeats:
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
