"""What reconfiguration asks of the rooms for user data: the one place where it touches them."""

from __future__ import annotations

from typing import final

from ..wire.constants import MASK_32
from .context import Context
from .reception import Reception
from .transmission import Transmission

__all__ = ["Incoming", "Outgoing"]


@final
class Outgoing:
    """`OutgoingStreams` of a `Transmission`."""

    __slots__ = ("_context", "_transmission")

    def __init__(self, context: Context, transmission: Transmission) -> None:
        self._context = context
        self._transmission = transmission

    @property
    def count(self) -> int:
        """How many outgoing streams there are."""
        return self._transmission.outgoing_streams

    @property
    def next_tsn(self) -> int:
        """The TSN that is assigned next."""
        return self._transmission.outstanding.next_tsn

    @property
    def is_acknowledged(self) -> bool:
        """Whether the peer has everything that has left."""
        self._transmission.settle()
        return not self._transmission.outstanding

    def hold(self, streams: tuple[int, ...]) -> None:
        """Messages that are written from now on wait for `release`."""

    def is_clear(self, streams: tuple[int, ...]) -> bool:
        """Whether what was written before `hold` has left completely."""
        queue = self._transmission.queue
        if not streams:
            return not queue.buffered
        return not any(queue.buffered_of(sid) for sid in streams)

    def stop(self) -> bool:
        """No message of any stream begins to leave until `release`; whether none is in the middle."""
        return not self._transmission.queue.buffered

    def release(self, streams: tuple[int, ...], reset: bool) -> None:
        """Messages may leave again; with `reset` their sequence numbers begin with 0."""
        if reset:
            known = self._transmission.queue._streams
            for sid in streams or tuple(known):
                stream = known.get(sid)
                if stream is not None:
                    stream.next_ssn = 0

    def restart(self, wire_tsn: int) -> None:
        """All that has left is acknowledged, and this TSN is assigned next."""
        self._transmission.outstanding.restart(wire_tsn)

    def add(self, count: int) -> None:
        """So many more streams may be used."""
        self._transmission.outgoing_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(outgoing_streams=self.count)


@final
class Incoming:
    """`IncomingStreams` of a `Reception`."""

    __slots__ = ("_context", "_reception")

    def __init__(self, context: Context, reception: Reception) -> None:
        self._context = context
        self._reception = reception

    @property
    def count(self) -> int:
        """How many incoming streams there are."""
        return self._reception._incoming_streams

    @property
    def cumulative_tsn(self) -> int:
        """Up to here everything has arrived or been abandoned."""
        return self._reception.tracker.cumulative_tsn

    def reset(self, streams: tuple[int, ...]) -> None:
        """The peer's sequence numbers begin with 0."""
        known = self._reception._streams._next_ssn
        for sid in streams or tuple(known):
            known.pop(sid, None)

    def restart(self, wire_tsn: int) -> None:
        """The peer's next TSN will be this one, and all sequence numbers begin with 0."""
        tracker = self._reception.tracker
        tracker.cumulative_tsn = tracker._settled = wire_tsn - 1
        tracker.expected = wire_tsn & MASK_32
        tracker._gaps = None
        self.reset(())

    def add(self, count: int) -> None:
        """The peer may use so many more streams."""
        self._reception._incoming_streams += count
        if self._context.setup is not None:
            self._context.setup = self._context.setup._replace(incoming_streams=self.count)

    def acknowledge_now(self) -> None:
        """A SACK that is owed leaves with the next flush."""
        self._reception.acknowledge_now()
