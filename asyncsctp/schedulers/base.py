"""The contract between the send queue and whatever decides which stream sends next (RFC 8260 section 3).

A scheduler knows stream numbers, sizes and arrival numbers. Messages and chunks are known to `outbound.send_queue`.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

#: From `StreamScheduler.next()`: nothing more for this packet. To `served()` as `order`: the stream is empty now.
NO_STREAM: Final = -1
LARGEST_VALUE: Final = 0xFFFF


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamScheduler:
    """Chooses among the streams that have something to send. Derive from it and give the class to `Config.scheduler`.

    A stream is *active* from `activate()` until `deactivate()`, or until it was `served()` empty. Every message has an
    arrival number, `order`: 1 for the first that was written to the association, one more for each. A scheduler sees
    that of each stream's first message. A *turn* is one whole message, since DATA chunks of different messages must not
    interleave, or one chunk where both sides have agreed on I-DATA; if the message goes on, `order` stays the same.

    One instance serves one association. While only one stream has messages the scheduler is not consulted at all: it
    hears of that stream, with the state it then has, as soon as a second one competes with it. No method may raise, but
    for `set_priority`; if one does, `FirstComeFirstServed` takes over and a `SchedulerFailed` event tells. Each should
    cost O(log streams) at most. `asyncsctp.testing.schedulers.check_scheduler` tries all of this on a scheduler.

    For example, one that serves the stream longest whose messages are the shortest, so that small ones overtake:

    >>> class SmallestLast(StreamScheduler):
    ...     def __init__(self):
    ...         self.last = {}                                  # what the last turn of each active stream took
    ...     def activate(self, sid, order):
    ...         self.last[sid] = 0
    ...     def deactivate(self, sid):
    ...         del self.last[sid]
    ...     def next(self):
    ...         return min(self.last, key=self.last.get, default=NO_STREAM)    # O(streams): good for a few of them
    ...     def served(self, sid, size, order):
    ...         if order == NO_STREAM:
    ...             del self.last[sid]
    ...         else:
    ...             self.last[sid] = size
    """

    __slots__ = ()

    def activate(self, sid: int, order: int) -> None:
        """Take in stream `sid`, which is not active; its first message is the `order`-th that was written."""
        raise NotImplementedError

    def deactivate(self, sid: int) -> None:
        """Leave out stream `sid`, which is active: it is alone, it has to pause, or its messages were withdrawn. It may
        come back with the same `order`.
        """
        raise NotImplementedError

    def next(self) -> int:
        """Return the stream whose turn it is. The same one again if no other method was called since.

        `NO_STREAM` ends the packet being filled. It must not be given for a packet with nothing in it while streams are
        active. To be asked is not yet to be served: the turn may not fit into the packet, or the window.
        """
        raise NotImplementedError

    def served(self, sid: int, size: int, order: int) -> None:
        """Count a turn of `sid`, which took `size` user bytes; `order` is that of its first message now.

        `order` is `NO_STREAM` if the stream has become empty and thereby inactive. It may be a stream other than the
        last given by `next()`: one that was in the middle of a message when this scheduler was put in.
        """
        raise NotImplementedError

    def begin_packet(self) -> None:
        """Begin a packet; perhaps once more, if nothing was put into the last one. (Optional.)"""

    def set_priority(self, sid: int, value: int) -> None:
        """Give stream `sid`, active or not, this priority or weight, 0 to 65535, as the user says. (Optional; most
        schedulers have no use for it.) A `ValueError` reaches the user, and nothing has changed then.
        """


def check_value(name: str, smallest: int, value: int) -> None:
    """Raise `ValueError` that says what is allowed for a priority or weight (RFC 8260 section 4.3.3: 16 bits)."""
    if not smallest <= value <= LARGEST_VALUE:
        raise ValueError(f"the {name} of a stream must be between {smallest} and {LARGEST_VALUE}, not {value!r}")
