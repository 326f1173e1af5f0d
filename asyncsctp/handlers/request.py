"""A request that is sent again until the peer has answered it (RFC 5061, RFC 6525), as other chunks are, too.

`Ticket` is the user's side of it; `Retry` knows where it went, and whether a time-out is to be counted. What a request
asks for, and what an answer means, is known by `addresses.asconf_requester` and `streams.reconfig_requester`; what
time-outs do to a path, by `paths.reachability`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ..errors import SCTPError
from ..paths.path import Path
from .context import Context
from .paths.reachability import OF_DATA, is_counted, on_acknowledged, on_answered, on_timeout


@final
class Ticket:
    """What became of something that the user asked for, which may take several requests."""

    __slots__ = ("error", "is_done", "on_done", "open_requests")

    def __init__(self) -> None:
        self.open_requests = 0
        self.is_done = False  # all of its requests were answered, or are given up
        self.on_done: Callable[[], None] | None = None  # called when it is done
        self.error: SCTPError | None = None  # why the first that failed did; None while all goes as asked

    @property
    def is_ok(self) -> bool:
        """True if all was done as asked."""
        return self.is_done and self.error is None

    def fail(self, error: SCTPError) -> None:
        """Take note that something was not done, or not in full."""
        if self.error is None:
            self.error = error

    def close(self, context: Context, error: SCTPError | None = None) -> None:
        """Take note that one of its requests is over, with this error if it failed; tell the user after the last."""
        if error is not None:
            self.fail(error)
        self.open_requests -= 1
        self.is_done = self.open_requests <= 0
        if self.is_done and self.on_done is not None:
            context.notices.append(self.on_done)


@final
class Retry:
    """The retransmissions of one conversation, which has one chunk under way at a time, and a timer for it.

    A time-out is counted against the path that the chunk took (RFC 9260 section 8), as one of this kind (`OF_DATA` or
    `OF_REQUESTS` of `paths.reachability`), unless another timer has counted the same outage.
    """

    __slots__ = ("_context", "_kind", "_timer", "is_ambiguous", "path")

    def __init__(self, context: Context, timer: int, kind: int) -> None:
        self._context = context
        self._timer = timer
        self._kind = kind
        self.path = context.paths.data_path()  # where the chunk went last
        #: It went over several paths: nobody knows which of them its answer is for (RFC 7829 section 3.2 rule 9).
        self.is_ambiguous = False

    def begin(self, path: Path) -> None:
        """Send a new chunk over this path."""
        self.path = path
        self.is_ambiguous = False

    def move(self, path: Path) -> None:
        """Send the chunk again, over this path."""
        self.is_ambiguous |= path is not self.path
        self.path = path

    def rotate(self) -> Path:
        """Send the chunk again, over another path if one works (RFC 9260 section 6.4.1); return that."""
        path = self._context.paths.retransmit_path(self.path.path_id)
        self.move(path)
        return path

    def start_timer(self) -> None:
        """Start the timer anew, with the RTO of the path."""
        self._context.timers.start(self._timer, self._context.now + self.path.rto.rto)

    def stop_timer(self) -> None:
        """Stop the timer: the answer has come, or nobody waits for it."""
        self._context.timers.stop(self._timer)

    def on_timeout(self) -> bool:
        """Back off, and count the time-out unless another timer has; False if it has ended the association."""
        context, path = self._context, self.path
        return is_counted(context, path) or on_timeout(context, path, self._kind)

    def on_answer(self) -> None:
        """Count the answer for the path (RFC 9260 sections 8.1 and 8.2)."""
        context, path = self._context, self.path
        if self._kind == OF_DATA:
            on_acknowledged(context, path, not self.is_ambiguous)
        else:
            on_answered(context, path, self._kind, not self.is_ambiguous)

    def forget_path(self, path: Path, successor: Path) -> None:
        """Go on with the successor, if this path, which is no more, was the last that was taken."""
        if self.path is path:
            self.move(successor)
