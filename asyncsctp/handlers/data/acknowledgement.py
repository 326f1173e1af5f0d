"""When the peer is told of what it sent (RFC 9260 sections 5.1, 6.2, 6.4 and 6.7; RFC 7053).

What a SACK says comes from `inbound.data_tracker`, and the window in it from `inbound.receive_window`. Chunks are taken
in by `receiver`; how a SACK gets into a packet is in `association.packetizer`.
"""

from __future__ import annotations

from typing import Final, final

from ...inbound.data_tracker import DataTracker
from ...inbound.receive_window import ReceiveWindow
from ...paths.path import Path
from ...timers import DELAYED_ACK
from ...wire.constants import MASK_32
from ...wire.sack import SACK_HEADER_SIZE, pack_sack
from ..context import Context

NO_ACK: Final = 0  # no acknowledgement is due
ACK_DELAYED: Final = 1  # an acknowledgement is due when SACK.Delay has passed
ACK_NOW: Final = 2  # a SACK is due at once

#: SACKs for one batch of packets, beside the final one, that say how far all has come, where more are of no use: each
#: costs the peer as much as sending two packets.
_FEW_PLAIN: Final = 8
#: And those that tell of gaps or duplicates as well: it takes three to see what is missing (section 7.2.4).
_MOST_REPORTS: Final = 8
#: In slow start a peer's window grows with each SACK (section 7.2.1): one for every second packet (section 6.2) makes
#: it half as large again in each round trip. Once so many receive windows have come, without a loss or a pause, it is
#: as large as ours by that, and no longer what holds the peer back.
_WINDOWS_OF_SLOW_START: Final = 3


@final
class Acknowledger:
    """The acknowledgements of one association."""

    __slots__ = (
        "_at_once",
        "_context",
        "_last_at",
        "_last_cumulative_tsn",
        "_last_path",
        "_packets",
        "_plain",
        "_reports",
        "_sack_frequency",
        "_sacks",
        "_slow_start_ends",
        "_tracker",
        "_window",
        "path_id",
        "state",
    )

    def __init__(self, context: Context, tracker: DataTracker, window: ReceiveWindow) -> None:
        self._context = context
        self._tracker = tracker
        self._window = window
        self._sack_frequency = context.config.sack_frequency
        self.state = NO_ACK  # what is due: `NO_ACK`, `ACK_DELAYED` or `ACK_NOW`
        self.path_id = context.paths.primary.path_id  # where the last DATA came from: SACKs go there (section 6.4)
        self._packets = 0  # those since the last SACK
        self._at_once = True  # section 5.1: the first DATA chunk of an association MUST be acknowledged immediately
        self._last_cumulative_tsn = tracker.cumulative_tsn  # that after the packet before this one
        self._sacks: list[bytes] = []  # SACKs to leave with the next flush
        self._reports = 0  # how many of them tell of gaps or duplicates
        self._plain: list[int] = []  # wire cumulative TSNs of further ones, which tell nothing else
        self._last_path = self.path_id  # where a SACK left to last, and when
        self._last_at = context.now
        self._slow_start_ends = 0
        self.expect_slow_start()

    def on_packet(self, path: Path, immediate: bool) -> None:
        """Decide when to acknowledge a packet that carried DATA, or a FORWARD TSN, and has been taken in (section 6.2).

        At once if a chunk had the I bit (`immediate`), if nothing in it was new, while there are gaps, for the packet
        that closes the last one (RFC 5681 section 4.2), and for every `sack_frequency`-th packet; otherwise when
        `sack_delay` has passed.
        """
        context = self._context
        tracker = self._tracker
        cumulative_tsn = tracker.cumulative_tsn
        has_gaps = tracker.gaps is not None
        is_due = True
        if self.state != ACK_NOW:
            self._packets += 1
            is_due = (
                immediate
                or has_gaps
                or self._at_once
                or cumulative_tsn == self._last_cumulative_tsn
                or self._packets >= self._sack_frequency
            )
            self.state = ACK_NOW if is_due else ACK_DELAYED
        self.path_id = path.path_id
        self._at_once = has_gaps
        self._last_cumulative_tsn = cumulative_tsn
        if not is_due:
            if not context.timers.runs(DELAYED_ACK):
                context.timers.start(DELAYED_ACK, context.now + context.config.sack_delay)
        # One for each packet that asks for it, although those of a batch leave together, as far as more are of use.
        elif has_gaps or len(self._plain) < _FEW_PLAIN or context.statistics.bytes_received < self._slow_start_ends:
            if not has_gaps and not tracker.duplicates:
                self._plain.append(cumulative_tsn & MASK_32)
                self.state = NO_ACK
                self._packets = 0
            elif self._reports < _MOST_REPORTS:
                self._reports += 1
                if self._plain:
                    self._pack_plain()
                self._sacks.append(self._report(path.payload))

    def take_sacks(self, space: int, data_travels: bool) -> list[bytes]:
        """Return the SACK chunks that are due, each of at most `space` bytes; if DATA travels anyway, one that could
        wait is among them.
        """
        if self._plain:
            self._pack_plain()
        sacks = self._sacks
        if self.state == ACK_NOW or (data_travels and self.state != NO_ACK):
            sacks.append(self._report(space))
        if sacks:
            context = self._context
            rto = context.paths.by_id[self.path_id].rto.rto
            self._sacks = []
            self._reports = 0
            if self.path_id != self._last_path or context.now - self._last_at >= rto:
                self._last_path = self.path_id
                self.expect_slow_start()
            self._last_at = context.now
            if self.state == NO_ACK:  # else the last packet of the batch waits for another still
                context.timers.stop(DELAYED_ACK)
            context.statistics.sacks_sent += len(sacks)
        return sacks

    @property
    def is_due(self) -> bool:
        """Whether a SACK must leave with the next flush."""
        return bool(self._plain) or bool(self._sacks) or self.state == ACK_NOW

    @property
    def is_delaying(self) -> bool:
        """Whether a SACK is to leave that could wait."""
        return self.state == ACK_DELAYED

    def hurry(self) -> None:
        """Let a SACK that could wait leave with the next flush."""
        if self.state == ACK_DELAYED:
            self.state = ACK_NOW

    def force(self) -> None:
        """Let a SACK leave with the next flush: SACK.Delay has passed, say, or a chunk was dropped (section 6.2)."""
        self.state = ACK_NOW

    def expect_slow_start(self) -> None:
        """Take note that the peer's window is small: it has begun, was idle (7.2.1), changed path or lost packets."""
        self._slow_start_ends = self._context.statistics.bytes_received + _WINDOWS_OF_SLOW_START * self._window.size

    def configure(self) -> None:
        """Apply settings that the user has changed."""
        self._sack_frequency = self._context.config.sack_frequency

    def restart(self, is_due: bool) -> None:
        """Acknowledge nothing of what came before the peer's TSNs began anew (RFC 6525 section 5.2.4), but what has
        come since, if `is_due`.
        """
        self._sacks = []
        self._reports = 0
        self._plain.clear()
        self.state = ACK_NOW if is_due else NO_ACK
        self._packets = 0
        self._at_once = True
        self._last_cumulative_tsn = self._tracker.cumulative_tsn
        self._context.timers.stop(DELAYED_ACK)

    def _pack_plain(self) -> None:
        """Pack the SACKs that say only how far all has come, each as of its packet, with the window as it is now."""
        a_rwnd = self._window.announce(self._context.statistics.bytes_received)
        for wire_cumulative_tsn in self._plain:
            self._sacks.append(pack_sack(wire_cumulative_tsn, a_rwnd))
        self._plain.clear()

    def _report(self, space: int) -> bytes:
        """Return a SACK of at most `space` bytes that tells all there is to tell."""
        statistics = self._context.statistics
        a_rwnd = self._window.announce(statistics.bytes_received)
        wire_cumulative_tsn, gaps, duplicates = self._tracker.report((space - SACK_HEADER_SIZE) >> 2)
        self.state = NO_ACK
        self._packets = 0
        statistics.duplicate_tsns_reported += len(duplicates)
        if gaps:
            self.expect_slow_start()
        return pack_sack(wire_cumulative_tsn, a_rwnd, gaps, duplicates)
