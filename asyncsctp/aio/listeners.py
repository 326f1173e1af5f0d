"""Who listens to the events of an association.

Not compiled: there are weak references to listeners, which compiled objects can't have. What tells them is `driver`.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, final

from ..events import Event
from .flow_control import Turn
from .session import Session

_EVENTS_KEPT: Final = 1024


@final
class EventStream(AsyncIterator[Event]):
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

    async def __anext__(self) -> Event:
        self._turn.claim()
        while not self._events:
            if self._session.ended:
                raise StopAsyncIteration
            await self._turn.wait()
        return self._events.popleft()


@final
class Listeners:
    """Those who listen to the events of an association. An `EventStream` that nobody keeps is forgotten."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: list[weakref.ref[EventStream]] = []

    def add(self, stream: EventStream) -> None:
        """Add one that listens."""
        self._streams = [ref for ref in self._streams if ref() is not None]
        self._streams.append(weakref.ref(stream))

    def tell(self, event: Event | None) -> None:
        """Tell all of them of an event, or by None of the end."""
        for ref in self._streams:
            stream = ref()
            if stream is not None:
                stream.put(event)
