"""Which TSNs have arrived, and when they are to be acknowledged (RFC 9260 sections 3.3.4, 6.2 and 6.7).

The tracker knows the cumulative TSN, the ranges received above it, the duplicates since the last SACK, and what section
6.2 asks for after each packet. It deliberately knows no clock (who asks starts the delayed-acknowledgement timer), no
receive buffer (a chunk can be classified before it is accepted), and nothing of what the chunks carried.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, final

from ..wire.constants import MASK_16, MASK_32
from ..wire.serial import unwrap
from .intervals import Intervals

#: The TSN was received before.
DUPLICATE: Final = -1
#: The TSN is too far ahead, or one hole too many: it is treated as if there were no buffer for it.
BEYOND: Final = -2

#: No acknowledgement is due.
NO_ACK: Final = 0
#: An acknowledgement is due when SACK.Delay has passed.
ACK_DELAYED: Final = 1
#: A SACK is due at once.
ACK_NOW: Final = 2
#: The same after a packet that leaves gaps: the SACK has more to tell than how far all has come.
ACK_REPORT: Final = 3

#: Ranges held above the cumulative TSN: a peer that sends every other TSN gets no further.
MAX_GAP_RANGES: Final = 4096
#: Duplicates kept for one SACK.
MAX_DUPLICATES: Final = 64

#: How far above the cumulative TSN anything is taken while the peer's TSNs may begin anew at any time. A peer that has
#: this implementation begins further ahead, so that its new TSNs are not taken for old ones.
NARROW_SPAN: Final = 4096

_SMALLEST_CHUNK: Final = 16  # bytes of window that a TSN is taken to use at the least, a DATA chunk's header
_SMALLEST_SPAN: Final = 1024


@final
class DataTracker:
    """The TSNs received from the peer, and the acknowledgement owed for them.

    For each DATA chunk of a packet, with room in the receive buffer, one call decides::

        tsn = tracker.accept(wire_tsn)      # the TSN, unwrapped, if it is new and now recorded
        if tsn < 0: ...                     # DUPLICATE or BEYOND: the chunk goes no further

    With too little room, the question comes before the record::

        tsn = tracker.classify(wire_tsn)    # the same answer, nothing recorded
        if tsn >= 0 and not reassembly.make_room(tracker, tsn, wanted):
            tracker.refuse()                # the chunk is dropped
        else: ...                           # accept, as above

    After the last chunk of each packet that carried DATA, `packet_done` brings `ack_state` up to date; `sack` gives the
    contents of a SACK and settles the debt.
    """

    __slots__ = (
        "cumulative_tsn",
        "expected",
        "ack_state",
        "sack_frequency",
        "_gaps",
        "_duplicates",
        "is_narrow",
        "_span",
        "_window",
        "_packets",
        "_at_once",
        "_settled",
    )

    def __init__(self, initial_tsn: int, sack_frequency: int, window: int) -> None:
        #: The last TSN before the first that is missing.
        self.cumulative_tsn = initial_tsn - 1
        #: The TSN after it, as it looks on the wire.
        self.expected = initial_tsn & MASK_32
        #: What is owed: `NO_ACK`, `ACK_DELAYED` or `ACK_NOW`.
        self.ack_state = NO_ACK
        #: A SACK for every so many packets.
        self.sack_frequency = sack_frequency
        self._gaps: Intervals | None = None  # made when the first gap opens, dropped when the last one closes
        self._duplicates: list[int] = []
        self._packets = 0
        self._at_once = True  # section 5.1: the first DATA chunk of an association MUST be acknowledged immediately
        self._settled = initial_tsn - 1  # the cumulative TSN after the packet before this one
        #: Whether the peer's TSNs may begin anew at any time.
        self.is_narrow = False
        self.resize(window)

    def resize(self, window: int) -> None:
        """Set the receive buffer's size in bytes, which bounds how far above the cumulative TSN a chunk may be."""
        self._window = window
        self._span = max(window // _SMALLEST_CHUNK, _SMALLEST_SPAN)
        if self.is_narrow:
            self._span = min(self._span, NARROW_SPAN)

    def narrow(self, is_narrow: bool) -> None:
        """Set whether the peer's TSNs may begin anew at any time (RFC 6525 section 5.2.4).

        Its chunks, which can't say by which count they go, are taken then as far above the cumulative TSN alone as the
        old count can be meant.
        """
        self.is_narrow = is_narrow
        self.resize(self._window)

    @property
    def highest_tsn(self) -> int:
        """The largest TSN received so far."""
        gaps = self._gaps
        return self.cumulative_tsn if gaps is None else gaps.last

    @property
    def has_gaps(self) -> bool:
        """Whether anything above the cumulative TSN has been received."""
        return self._gaps is not None

    def gap_ranges(self) -> list[tuple[int, int]]:
        """The ranges received above the cumulative TSN, as (first, last)."""
        return [] if self._gaps is None else list(self._gaps)

    def accept(self, wire_tsn: int) -> int:
        """Record a TSN as received; it comes back unwrapped if it is new, otherwise `DUPLICATE` or `BEYOND`."""
        if wire_tsn == self.expected and self._gaps is None:
            tsn = self.cumulative_tsn + 1
            self.cumulative_tsn = tsn
            self.expected = (wire_tsn + 1) & MASK_32
            return tsn
        return self._accept_among_gaps(wire_tsn)

    def classify(self, wire_tsn: int) -> int:
        """What `accept` would answer; nothing is recorded."""
        expected = self.cumulative_tsn + 1
        tsn = unwrap(wire_tsn, expected)
        if tsn < expected:
            return DUPLICATE
        if tsn > expected + self._span:
            return BEYOND
        gaps = self._gaps
        if gaps is None:
            return tsn
        if tsn in gaps:
            return DUPLICATE
        if tsn > expected and len(gaps) >= MAX_GAP_RANGES and gaps.is_isolated(tsn):
            return BEYOND
        return tsn

    def skip_to(self, wire_tsn: int, furthest: int) -> int:
        """Move the cumulative TSN to that of a FORWARD TSN, and on over what was received (RFC 3758 section 3.6).

        The New Cumulative TSN comes back unwrapped, or `DUPLICATE` if it is out of date: then a SACK is due, for the
        last one may have been lost. One that is more than `furthest` ahead is `BEYOND`, and changes nothing.
        """
        tsn = unwrap(wire_tsn, self.cumulative_tsn)
        steps = tsn - self.cumulative_tsn
        if steps <= 0:
            self.ack_state = ACK_NOW
            return DUPLICATE
        if steps > furthest or (self.is_narrow and steps > self._span):
            return BEYOND
        gaps = self._gaps
        if gaps is not None:
            gaps.drop_below(tsn + 1)
            if not gaps:
                self._gaps = None
        self._advance(tsn)
        return tsn

    def restart(self, initial_tsn: int) -> int:
        """Let the peer's TSNs go on from this one, as on the wire (RFC 6525 section 5.2.4); it comes back unwrapped.

        Nothing is owed for those before it. What has come from it on has overtaken the news, and is not forgotten.
        """
        first_tsn = unwrap(initial_tsn, self.cumulative_tsn + 1)
        has_come = first_tsn <= self.cumulative_tsn
        if not has_come:
            gaps = self._gaps
            if gaps is not None:
                gaps.drop_below(first_tsn)
                has_come = bool(gaps)
                if not gaps:
                    self._gaps = None
            self._advance(first_tsn - 1)
        self._duplicates = []
        self.ack_state = ACK_NOW if has_come else NO_ACK
        self._packets = 0
        self._at_once = True
        self._settled = self.cumulative_tsn
        return first_tsn

    def _accept_among_gaps(self, wire_tsn: int) -> int:
        gaps = self._gaps
        if gaps is not None:  # after a loss nearly all that comes is the next of what has come
            tsn = gaps.last + 1
            if tsn & MASK_32 == wire_tsn and tsn - self.cumulative_tsn <= self._span:
                gaps.extend()
                return tsn
        tsn = self.classify(wire_tsn)
        if tsn == DUPLICATE:
            if len(self._duplicates) < MAX_DUPLICATES:
                self._duplicates.append(wire_tsn)
        elif tsn == BEYOND:
            self.refuse()
        elif tsn == self.cumulative_tsn + 1:
            self._advance(tsn)
        else:
            if self._gaps is None:
                self._gaps = Intervals()
            self._gaps.add(tsn)
        return tsn

    def _advance(self, tsn: int) -> None:
        gaps = self._gaps
        if gaps is not None and gaps.first == tsn + 1:
            tsn = gaps.first_end
            gaps.drop_below(tsn + 1)
            if not gaps:
                self._gaps = None
        self.cumulative_tsn = tsn
        self.expected = (tsn + 1) & MASK_32

    def refuse(self) -> None:
        """A new chunk was dropped for lack of buffer: section 6.2 wants a SACK that doesn't show it, immediately."""
        self.ack_state = ACK_NOW

    def forget(self, tsn: int) -> None:
        """A TSN above the cumulative one was given up: section 6.2, it MUST NOT be in Gap Ack Blocks any more."""
        gaps = self._gaps
        if gaps is not None and gaps.remove(tsn):
            self.ack_state = ACK_NOW
            if not gaps:
                self._gaps = None

    def force(self) -> None:
        """A SACK is due at once: SACK.Delay has passed, the window opened, or the association's state asks for it."""
        self.ack_state = ACK_NOW

    def packet_done(self, immediate: bool) -> int:
        """A packet with DATA chunks has been taken in, `immediate` if one had the I bit. The `ack_state` comes back, or
        `ACK_REPORT`.

        At once for the I bit, for a packet with nothing new, while there are gaps, for the packet that closes the last
        one (RFC 5681 section 4.2, which section 6.2 follows), and for every `sack_frequency`-th packet; else delayed.
        """
        gaps = self._gaps is not None
        cumulative_tsn = self.cumulative_tsn
        state = self.ack_state
        if state != ACK_NOW:
            self._packets += 1
            if (
                immediate
                or gaps
                or self._at_once
                or cumulative_tsn == self._settled
                or self._packets >= self.sack_frequency
            ):
                state = ACK_NOW
            else:
                state = ACK_DELAYED
            self.ack_state = state
        self._at_once = gaps
        self._settled = cumulative_tsn
        return ACK_REPORT if gaps else state

    def settle(self) -> int:
        """What a SACK says if it is the cumulative TSN alone, as on the wire; what was owed counts as acknowledged.

        -1 if there are gaps or duplicates to be told of as well: that takes `sack`.
        """
        if self._gaps is not None or self._duplicates:
            return -1
        self.ack_state = NO_ACK
        self._packets = 0
        return self.cumulative_tsn & MASK_32

    def sack(self, room: int) -> tuple[int, list[tuple[int, int]], list[int]]:
        """The contents of a SACK with room for so many four-byte entries; what was owed counts as acknowledged.

        They are the cumulative TSN as on the wire, the Gap Ack Blocks as offsets from it, and the duplicates as on the
        wire. Section 6.7: the blocks are the lowest ones, as many as fit; duplicates take the rest.
        """
        blocks: list[tuple[int, int]] = []
        gaps = self._gaps
        if gaps is not None:
            base = self.cumulative_tsn
            blocks = [(first - base, last - base) for first, last in islice(gaps, max(room, 0))]
            while blocks and blocks[-1][1] > MASK_16:
                first = blocks.pop()[0]
                if first <= MASK_16:
                    blocks.append((first, MASK_16))
        duplicates = self._duplicates
        if duplicates:
            self._duplicates = []
            del duplicates[max(room - len(blocks), 0) :]
        self.ack_state = NO_ACK
        self._packets = 0
        return self.cumulative_tsn & MASK_32, blocks, duplicates
