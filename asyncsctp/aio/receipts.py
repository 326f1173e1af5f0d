"""What `write` gives back: a message on its way, which can be awaited and withdrawn.

A receipt is the very message that was queued, so that one that nobody looks at costs nothing. What becomes of the
message is known to `handlers.data.submission`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, NamedTuple, final

from ..errors import MessageAbandoned
from ..outbound.message import DONE, OutboundMessage, Terms
from .session import Session


class Delivery(NamedTuple):
    """A message has been acknowledged by the peer, all of it (RFC 9260 section 6.2.1).

    `time` is when, on the loop's clock, in seconds; `path` the peer's address that its last chunk went to;
    `transmissions` how often it was sent, the most of its chunks. They are None if the message was acknowledged before
    anybody waited for it.
    """

    time: float | None = None
    path: str | None = None
    transmissions: int | None = None


@final
class Receipt(OutboundMessage):
    """A message that was written. Awaiting it waits until the peer has acknowledged all of it.

    That gives a `Delivery`, or raises `MessageAbandoned` if it was given up, or if the association ended before. Any
    number of coroutines may wait; cancelling one does not withdraw the message.
    """

    __slots__ = ("_session",)

    def __init__(
        self, session: Session, sid: int, data: bytes, ppid: int, flags: int, terms: Terms | None, path_id: int
    ) -> None:
        """Not for users. As that of an `OutboundMessage`, without a second call for each message."""
        self.sid = sid
        self.data = data
        self.ppid = ppid
        self.flags = flags
        self.terms = terms
        self.path_id = path_id
        self.order = 0
        self.tsn = -1
        self._session = session

    def __await__(self) -> Generator[Any, None, Delivery]:
        return _watch(self._session, self).__await__()

    def withdraw(self) -> bool:
        """Give the message up (RFC 3758), so that it is not sent, or not again. Return whether it could be.

        False if the peer has acknowledged it, or it was given up before. `ValueError` if a part of it has left and
        partial reliability was not negotiated. `SendFailed` tells of it, and `MessageAbandoned` whoever awaits it.
        """
        session = self._session
        submission = session.core.submission
        if session.ended or submission is None or not submission.withdraw(self):
            return False
        session.flush_soon()
        return True

    def __repr__(self) -> str:
        return f"<Receipt of a message on stream {self.sid}>"


@final
class Watch:
    """Those who wait for one message, and what they were told, for those who ask again."""

    __slots__ = ("delivery", "futures")

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Delivery]] = []
        self.delivery: Delivery | None = None

    def finish(self, outcome: Delivery | MessageAbandoned) -> None:
        """Tell them all."""
        if isinstance(outcome, Delivery):
            self.delivery = outcome
        for future in self.futures:
            if not future.done():
                if isinstance(outcome, MessageAbandoned):
                    future.set_exception(MessageAbandoned(str(outcome)))
                else:
                    future.set_result(outcome)
        self.futures.clear()


def _watch(session: Session, receipt: Receipt) -> asyncio.Future[Delivery]:
    """Return a future for what becomes of a message."""
    future: asyncio.Future[Delivery] = session.engine.loop.create_future()
    terms = receipt.terms
    submission = session.core.submission
    if terms is not None and isinstance(terms.watcher, Watch) and terms.state != DONE:
        terms.watcher.futures.append(future)
        return future
    watch = Watch()
    watch.futures.append(future)
    if terms is not None and terms.state == DONE:
        if terms.reason:
            watch.finish(MessageAbandoned(terms.reason))
        elif isinstance(terms.watcher, Watch) and terms.watcher.delivery is not None:
            watch.finish(terms.watcher.delivery)
        else:
            watch.finish(Delivery())
    elif session.error is not None:
        watch.finish(MessageAbandoned(f"the association ended before it was known to arrive: {session.error}"))
    elif session.ended or submission is None or not submission.watch(receipt, watch):
        watch.finish(Delivery())
    elif session.core.context.notices:
        session.flush_soon()  # it is over already, and that is told with the next flush
    return future
