"""The streams that we send on, as reconfiguration sees them (RFC 6525): held, released, and numbered anew.

Knows what that takes of `data.sender` and `data.submission`. When it is done, `reconfig_requester` decides for our
requests, and `reconfig_responder` for the peer's.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

from ...wire.serial import unwrap_upwards
from ..context import Context
from ..data.sender import Sender
from ..data.submission import Submission

#: Seconds for which a packet may be under way (section 5.1.4).
_MSL: Final = 30.0


@final
class OutgoingStreams:
    """The outgoing streams of one association. `streams` are ids in all methods; all streams, if it is empty."""

    __slots__ = ("_context", "_submission", "_sender")

    def __init__(self, context: Context, sender: Sender, submission: Submission) -> None:
        self._context = context
        self._sender = sender
        self._submission = submission

    @property
    def count(self) -> int:
        """How many outgoing streams there are."""
        return self._submission.outgoing_streams

    @property
    def next_tsn(self) -> int:
        """The TSN that is assigned next."""
        return self._sender.outstanding.next_tsn

    @property
    def is_acknowledged(self) -> bool:
        """True if the peer has everything that has left."""
        outstanding = self._sender.outstanding
        return outstanding.cumulative_tsn + 1 == outstanding.next_tsn

    def acknowledges(self, tsn: int) -> bool:
        """Return whether the peer has acknowledged this TSN, or a later one."""
        return self._sender.outstanding.cumulative_tsn >= tsn

    def hold(self, streams: tuple[int, ...]) -> None:
        """Let messages that are written from now on wait for `release`."""
        self._sender.queue.pause(streams)

    def is_clear(self, streams: tuple[int, ...]) -> bool:
        """Return whether what was written before `hold` has left completely."""
        queue = self._sender.queue
        if not streams:
            return not queue.buffered and not queue.is_amid()
        return not any(queue.has_unsent(sid) for sid in streams)

    def stop(self) -> bool:
        """Let no message of any stream begin to leave until `go_on`; true if none is in the middle."""
        if not self._sender.suspended:  # else none has begun since
            self._sender.suspended = not self._sender.queue.is_amid()
        return self._sender.suspended

    def go_on(self, reset: bool) -> None:
        """Undo `stop`; with `reset` the sequence numbers of all streams begin with 0. What is held still is."""
        self._sender.suspended = False
        if reset:
            self._sender.queue.renumber()

    def release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Let messages leave again; with `reset` their sequence numbers begin with 0."""
        queue = self._sender.queue
        if reset:
            self._sender.outstanding.renumber(streams or queue.in_use())
        queue.resume(streams, reset)

    def restart(self, wire_tsn: int) -> None:
        """Take all that has left for acknowledged, and assign this TSN next."""
        outstanding = self._sender.outstanding
        self._sender.doubted_until = self._context.now + _MSL
        outstanding.restart(unwrap_upwards(wire_tsn, outstanding.next_tsn))  # what was counted before stays lower

    def expect_restart(self, is_expected: bool) -> None:
        """Reckon with acknowledgements by another count of TSNs than ours; if not, with late ones alone."""
        self._sender.doubted_until = inf if is_expected else self._context.now + _MSL

    def add(self, count: int) -> None:
        """Let so many more streams be used."""
        self._submission.outgoing_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(outgoing_streams=self.count)

    def is_unused(self, sid: int) -> bool:
        """Return whether nothing was sent on this stream, or written to it, since its numbers began with 0."""
        return self._sender.queue.is_unused(sid)
