"""What reconfiguration asks of the rooms for user data: the one place where it touches them."""

from __future__ import annotations

from math import inf
from typing import Final, final

from ...wire.serial import unwrap_upwards
from ..context import Context
from ..data.receiver import Receiver
from ..data.sender import Sender
from ..data.submission import Submission

#: Seconds for which a packet may be under way (section 5.1.4).
_MSL: Final = 30.0


@final
class Outgoing:
    """`OutgoingStreams` of a `Sender` and the `Submission` before it."""

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
        """Whether the peer has everything that has left."""
        outstanding = self._sender.outstanding
        return outstanding.cumulative_tsn + 1 == outstanding.next_tsn

    def acknowledges(self, tsn: int) -> bool:
        """Whether the peer has acknowledged this TSN, or a later one."""
        return self._sender.outstanding.cumulative_tsn >= tsn

    def hold(self, streams: tuple[int, ...]) -> None:
        """Messages that are written from now on wait for `release`."""
        self._sender.queue.pause(streams)

    def is_clear(self, streams: tuple[int, ...]) -> bool:
        """Whether what was written before `hold` has left completely."""
        queue = self._sender.queue
        if not streams:
            return not queue.buffered and not queue.is_amid()
        return not any(queue.has_unsent(sid) for sid in streams)

    def stop(self) -> bool:
        """Nothing new leaves until `go_on`, unless it belongs to a message that was begun; whether there is none."""
        if not self._sender.suspended:  # else none has begun since
            self._sender.suspended = not self._sender.queue.is_amid()
        return self._sender.suspended

    def go_on(self, reset: bool) -> None:
        """The end of `stop`; with `reset` the sequence numbers of all streams begin with 0. What is held still is."""
        self._sender.suspended = False
        if reset:
            self._sender.queue.renumber()

    def release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Messages may leave again; with `reset` their sequence numbers begin with 0."""
        queue = self._sender.queue
        if reset:
            self._sender.outstanding.renumber(streams or queue.in_use())
        queue.resume(streams, reset)

    def restart(self, wire_tsn: int) -> None:
        """All that has left is acknowledged, and this TSN is assigned next."""
        outstanding = self._sender.outstanding
        self._sender.doubted_until = self._context.now + _MSL
        outstanding.restart(unwrap_upwards(wire_tsn, outstanding.next_tsn))  # what was counted before stays lower

    def expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may acknowledge by another count of TSNs than ours."""
        self._sender.doubted_until = inf if is_expected else self._context.now + _MSL

    def add(self, count: int) -> None:
        """So many more streams may be used."""
        self._submission.outgoing_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(outgoing_streams=self.count)

    def is_unused(self, sid: int) -> bool:
        """Whether nothing was sent on this stream, or written to it, since its numbers began with 0."""
        return self._sender.queue.is_unused(sid)


@final
class Incoming:
    """`IncomingStreams` of a `Receiver`."""

    __slots__ = ("_context", "_reception")

    def __init__(self, context: Context, reception: Receiver) -> None:
        self._context = context
        self._reception = reception

    @property
    def count(self) -> int:
        """How many incoming streams there are."""
        return self._reception.incoming_streams

    @property
    def cumulative_tsn(self) -> int:
        """Up to here everything has arrived or been abandoned."""
        return self._reception.tracker.cumulative_tsn

    def reset(self, streams: tuple[int, ...]) -> None:
        """The peer's sequence numbers begin with 0."""
        self._reception.reset_streams(streams or None)

    def defer(self, last_tsn: int, streams: tuple[int, ...]) -> bool:
        """What comes with a TSN above this one waits until `release`, which is to follow if this is true."""
        return self._reception.defer_reset(last_tsn, streams or None)

    def release(self) -> None:
        """The end of `defer`: the reset has been carried out, and the user has heard of it."""
        self._reception.release_deferred()

    def expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may let its TSNs begin anew at any time."""
        self._reception.expect_restart(is_expected)

    def restart(self, wire_tsn: int) -> None:
        """The peer's TSNs go on from this one, and all sequence numbers begin with 0."""
        self._reception.restart_tsns(wire_tsn)

    def add(self, count: int) -> None:
        """The peer may use so many more streams."""
        self._reception.incoming_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(incoming_streams=self.count)

    def acknowledge_now(self) -> None:
        """A SACK that is owed leaves with the next flush."""
        self._reception.acknowledger.hurry()
