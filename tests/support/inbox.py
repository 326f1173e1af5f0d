"""An inbox without an association behind it."""

from __future__ import annotations

from asyncsctp import SCTPError
from asyncsctp.aio.inbox import Inbox
from asyncsctp.aio.session import Session


class Alone(Session):
    """A session without a core, which notes what was read and who wants parts."""

    def __init__(self) -> None:
        self.ended = False
        self.is_complete = False
        self.error = None
        self.read: list[int] = []
        self.in_parts: set[int] = set()

    def consumed(self, charge: int) -> None:
        self.read.append(charge)

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        (self.in_parts.add if wanted else self.in_parts.discard)(sid)

    def is_idle(self, sid: int) -> bool:
        return True


class Box:
    """The inbox of such a session."""

    def __init__(self) -> None:
        self.session = Alone()
        self.inbox = Inbox(self.session)
        self._tsn = 0

    def arrive(self, sid: int, data: bytes) -> None:
        self._tsn += 1
        if sid in self.session.in_parts:
            self.inbox.on_part(sid, self._tsn, 0, False, self._tsn, data, True)
        else:
            self.inbox.on_message(sid, self._tsn, 0, False, self._tsn, data)

    def end(self, error: SCTPError | None = None) -> None:
        self.session.ended = True
        self.session.error = error
        self.inbox.wake_readers()
