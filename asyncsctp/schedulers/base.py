"""The contract between the send queue and whatever decides which stream sends next (RFC 8260 section 3).
 A scheduler knows stream numbers, sizes and arrival numbers. It deliberately does not know messages, chunks or packets:
these stay in the send queue.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

__all__ = ["NO_STREAM", "StreamScheduler"]

#: From `StreamScheduler.next()`: nothing more for this packet. To `served()` as `order`: the stream is empty now.
NO_STREAM: Final = -1


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamScheduler:
    """Chooses among the streams that have something to send. Derive from it and give the class to `Config.scheduler`.

    A stream is *active* from `activate()` until `deactivate()`, or until it was `served()` empty. Every message has an
    arrival number, `order`, that grows with each message written to the association; a scheduler sees that of each
    stream's first message. A *turn* is one whole message, since DATA chunks of different messages must not interleave,
    or one chunk where both sides have agreed on I-DATA.

    One instance serves one association. While only one stream has messages the scheduler is not consulted at all: it
    hears of that stream, with the state it then has, as soon as a second one competes with it. No method may raise, and
    each should cost O(log streams) at most.
    """

    __slots__ = ()

    def activate(self, sid: int, order: int) -> None:
        """Stream `sid` has something to send; its first message is the `order`-th that was written."""
        raise NotImplementedError

    def deactivate(self, sid: int) -> None:
        """Stream `sid`, which is active, takes part no longer: it is alone, or its messages were withdrawn."""
        raise NotImplementedError

    def next(self) -> int:
        """The stream whose turn it is. The same one again if nothing was served since.

        `NO_STREAM` ends the packet being filled. It must not be given for a packet with nothing in it while streams are
        active.
        """
        raise NotImplementedError

    def served(self, sid: int, size: int, order: int) -> None:
        """The turn of `sid` is over and took `size` user bytes; `order` is that of its first message now.

        `order` is `NO_STREAM` if the stream has become empty and thereby inactive. It may be a stream other than the
        last given by `next()`: one that was in the middle of a message when this scheduler was put in.
        """
        raise NotImplementedError

    def begin_packet(self) -> None:
        """A new packet is about to be filled. (Optional.)"""

    def set_priority(self, sid: int, value: int) -> None:
        """The user gave stream `sid` this priority or weight. (Optional; most schedulers have no use for it.)"""
