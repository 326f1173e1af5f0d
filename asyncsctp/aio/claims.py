"""Which stream ids are not free although nobody reads them: one direction of theirs is not finished (RFC 6525).

Knows ids and what was reset. Does not know readers, nor what was read.
"""

from __future__ import annotations

from typing import Final, final

_INCOMING: Final = 1
_OUTGOING: Final = 2


@final
class Claims:
    """The streams of one association of which at least one direction was reset, or is about to be."""

    __slots__ = ("_finished", "closing")

    def __init__(self) -> None:
        self._finished: dict[int, int] = {}  # claimed streams: the directions that were reset
        #: Streams whose writer was closed, and whose reset is not yet answered.
        self.closing: dict[int, None] = {}

    def is_held(self, sid: int) -> bool:
        """Whether the id is not to be handed out."""
        return sid in self._finished or sid in self.closing

    def is_closing(self, sid: int) -> bool:
        """Whether a reset of ours is not yet answered."""
        return sid in self.closing

    def take(self, sid: int) -> None:
        """The stream is claimed anew: what is not finished is no longer waited for."""
        self._finished.pop(sid, None)
        self.closing.pop(sid, None)

    def close(self, sid: int) -> None:
        """Its writer was closed."""
        self.closing[sid] = None

    def finish_incoming(self, sid: int) -> bool:
        """The peer has reset a claimed stream; whether it is free now."""
        return self._finish(sid, _INCOMING)

    def finish_outgoing(self, sid: int) -> bool:
        """Our reset was answered; whether the stream is free now."""
        if sid not in self.closing:
            return False
        del self.closing[sid]
        return self._finish(sid, _OUTGOING)

    def restart(self) -> None:
        """The peer has restarted the association: no reset is waited for any more."""
        self._finished.clear()
        self.closing.clear()

    def _finish(self, sid: int, direction: int) -> bool:
        finished = self._finished.get(sid, 0) | direction
        if finished == _INCOMING | _OUTGOING:
            del self._finished[sid]
            return True
        self._finished[sid] = finished
        return False
