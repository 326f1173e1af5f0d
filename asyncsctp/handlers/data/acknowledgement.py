"""What the peer is told of what it sent: when a SACK is due, and the window it announces (RFC 9260 6.2 and 6.7).

This room's part of the books are the TSN tracker and what the reassembly queue holds. It does not look into chunks, nor
does it know how a SACK gets into a packet.
"""

from __future__ import annotations

from typing import Final

from ...inbound.budget import FLOOR
from ...inbound.data_streams import DataStreams
from ...inbound.data_tracker import ACK_DELAYED, ACK_NOW, ACK_REPORT, NO_ACK, DataTracker
from ...inbound.idata_streams import IDataStreams
from ...inbound.reassembly import ReassemblyQueue, Recipient
from ...paths.path import Path
from ...timers import DELAYED_ACK
from ...wire.sack import SACK_HEADER_SIZE, pack_sack
from ..context import Context
from ..setup.agreement import Setup

#: A window below this is announced as closed (section 6.2: the receiver's side of silly window avoidance).
SILLY_WINDOW: Final = 512
#: What the streams of an association may take that does not count.
_FEW_STREAMS: Final = 8192
#: SACKs for one batch of packets, beside the final one, that say how far all has come, where more are of no use: each
#: costs the peer as much as sending two packets.
_SHORT_TRAIN: Final = 8
#: And those that tell of gaps or duplicates as well: it takes three to see what is missing (section 7.2.4).
_MOST_REPORTS: Final = 8
#: In slow start a peer's window grows with each SACK (section 7.2.1): one for every second packet (section 6.2) makes
#: it half as large again in each round trip. Once so many receive windows have come, without a loss or a pause, it is
#: as large as ours by that, and no longer what holds the peer back.
_WINDOWS_OF_SLOW_START: Final = 3


class Acknowledging:
    """The acknowledgements and the receive window of one association."""

    __slots__ = (
        "_announced",
        "_brim",
        "_brim_of_messages",
        "_brim_of_keeping",
        "_budget",
        "_carried",
        "_context",
        "_counted",
        "_ebb",
        "_ebb_of_keeping",
        "_edge",
        "_exempt",
        "_immediate",
        "_largest_window",
        "_last_at",
        "_last_path",
        "_level",
        "_limit",
        "_messages",
        "_most",
        "_queue",
        "_reports",
        "_sacks",
        "_slow_start_ends",
        "_streams",
        "_train",
        "_window",
        "path_id",
        "tracker",
    )

    def __init__(self, context: Context, recipient: Recipient, setup: Setup) -> None:
        config = context.config
        self._context = context
        self._streams = DataStreams(recipient, config.max_message_size)
        self._messages: IDataStreams | None = None
        self._queue: ReassemblyQueue = self._streams  # that of the two which is in use
        if setup.interleaving:
            self._queue = self._messages = IDataStreams(recipient, config.max_message_size, context.numbering)
        self._queue.abandons = setup.partial_reliability
        self._window = self._largest_window = config.recv_buffer
        self._announced = config.recv_buffer
        self._budget = context.budget
        self._budget.members += 1
        self._counted = 0  # what the budget was told that is held here
        self._most = 0  # what it leaves to this association
        self._limit = 0  # the smaller of that and the window
        self._brim = self._brim_of_messages = self._ebb = 0  # above and below these fills it is to be counted anew
        self._brim_of_keeping = self._ebb_of_keeping = 0  # and with more, or less, for the state of streams than this
        self._level = -1  # down to so much unread the window is not worth an update
        self._count()
        # How far the peer may send by what was announced, in bytes received.
        self._edge = context.statistics.bytes_received + config.recv_buffer
        self._exempt = 0  # what the messages in progress held when that was announced
        self._carried = False
        self._immediate = False
        self._sacks: list[bytes] = []
        self._reports = 0  # how many of them tell of gaps or duplicates
        self._train: list[int] = []  # wire cumulative TSNs of SACKs not yet packed, later than those
        self.tracker = DataTracker(setup.peer_initial_tsn, config.sack_frequency, config.recv_buffer)
        self.path_id = context.paths.primary.path_id  # where the last DATA came from: SACKs go there (section 6.4)
        self._last_path = self.path_id  # that, and when, as a SACK left last
        self._last_at = context.now
        self.expect_slow_start()

    @property
    def a_rwnd(self) -> int:
        """The window to announce.

        What has come in order of a message that is not complete does not count: only more data can complete it, so a
        window that it closed would never open. It is bounded by `max_message_size` instead, and by the budget.
        """
        free = self._free()
        return free if free >= SILLY_WINDOW else 0

    def packet_done(self, path: Path) -> bool:
        """All of a packet has been walked; whether it carried DATA. Decides on its acknowledgement (section 6.2)."""
        if not self._carried:
            return False
        self._carried = False
        self.path_id = path.path_id
        state = self.tracker.packet_done(self._immediate)
        self._immediate = False
        if state == ACK_DELAYED:
            timers = self._context.timers
            if not timers.runs(DELAYED_ACK):
                timers.start(DELAYED_ACK, self._context.now + self._context.config.sack_delay)
        elif (
            len(self._train) < _SHORT_TRAIN
            or state == ACK_REPORT
            or self._context.statistics.bytes_received < self._slow_start_ends
        ):
            # One for each packet that asks for it, although those of a batch leave together.
            wire_cumulative_tsn = self.tracker.settle()
            if wire_cumulative_tsn >= 0:
                self._train.append(wire_cumulative_tsn)
            elif self._reports < _MOST_REPORTS:
                self._reports += 1
                self._pack_train()
                self._sacks.append(self._sack((path.payload - SACK_HEADER_SIZE) >> 2))
        return True

    def acknowledgements(self, room: int, data_travels: bool) -> list[bytes]:
        """The SACK chunks that are due, each of at most `room` bytes; if DATA travels anyway, one that could wait as
        well.
        """
        if self._train:
            self._pack_train()
        sacks = self._sacks
        state = self.tracker.ack_state
        if state == ACK_NOW or (data_travels and state != NO_ACK):
            sacks.append(self._sack((room - SACK_HEADER_SIZE) >> 2))
        if sacks:
            self._sacks = []
            self._reports = 0
            now = self._context.now
            rto = self._context.paths.by_id[self.path_id].rto.rto
            if self.path_id != self._last_path or now - self._last_at >= rto:
                self._last_path = self.path_id
                self.expect_slow_start()
            self._last_at = now
            if self.tracker.ack_state == NO_ACK:  # else the last packet of the batch waits for another still
                self._context.timers.stop(DELAYED_ACK)
            self._context.statistics.sacks_sent += len(sacks)
        return sacks

    @property
    def is_due(self) -> bool:
        """Whether a SACK must leave with the next flush."""
        return bool(self._train) or bool(self._sacks) or self.tracker.ack_state == ACK_NOW

    @property
    def is_delaying(self) -> bool:
        """Whether a SACK is owed that could wait."""
        return self.tracker.ack_state == ACK_DELAYED

    def acknowledge_now(self) -> None:
        """What is owed must leave with the next flush."""
        if self.tracker.ack_state == ACK_DELAYED:
            self.tracker.force()

    def expect_slow_start(self) -> None:
        """The peer's window is small: it begins, was idle (section 7.2.1), takes another path, or loses packets."""
        self._slow_start_ends = self._context.statistics.bytes_received + _WINDOWS_OF_SLOW_START * self._window

    def expire_delayed_ack(self) -> None:
        """SACK.Delay has passed since the first packet that is not acknowledged."""
        self.tracker.force()

    def consumed(self, charge: int) -> bool:
        """The application has read messages; whether the window has opened enough to tell the peer.

        `charge` is the size of a message, but `SMALLEST_CHARGE` at the least; of several, the sum of that. Section 6.2:
        by a quarter of the buffer, so that updates are few.
        """
        queue = self._queue
        unread = queue.unread - charge
        queue.unread = unread
        if unread > self._level and (unread + queue.held > self._ebb):
            return False
        self._count()
        return self._reopen()

    def _reopen(self) -> bool:
        """Tell the peer of the window, if it has opened by a quarter; whether it is to be told."""
        if self.a_rwnd - self._announced < self._limit >> 2:
            return False
        self.tracker.force()
        return True

    def _pack_train(self) -> None:
        """The SACKs that say nothing but how far all has come, each as of its packet, with the window as it is now."""
        a_rwnd = self._announce()
        for wire_cumulative_tsn in self._train:
            self._sacks.append(pack_sack(wire_cumulative_tsn, a_rwnd))
        self._train.clear()

    def _sack(self, room: int) -> bytes:
        a_rwnd = self._announce()
        wire_cumulative_tsn, gaps, duplicates = self.tracker.sack(room)
        self._context.statistics.duplicate_tsns_reported += len(duplicates)
        if gaps:
            self.expect_slow_start()
        return pack_sack(wire_cumulative_tsn, a_rwnd, gaps, duplicates)

    def _announce(self) -> int:
        """The window, which the peer is about to be told.

        What it was told before and has not used is not taken back: it may be on its way. That the message that was
        exempt then has been completed since closes the window no faster than data comes in.
        """
        received = self._context.statistics.bytes_received
        held = self._queue.held
        used = self._queue.unread + held
        keeping = self._queue.keeping()
        if (
            used > self._brim_of_messages
            or used <= self._ebb
            or keeping > self._brim_of_keeping
            or keeping < self._ebb_of_keeping
        ):
            self._count()
        exempt = self._queue.in_progress(self.tracker.cumulative_tsn) if held else 0
        free = self._window - used + exempt
        left = self._most - used
        a_rwnd = free if free < left else left
        if a_rwnd < SILLY_WINDOW:
            a_rwnd = 0
        promised = self._edge - received
        if promised > a_rwnd:
            kept = min(promised, free + self._exempt_before(), left)
            if kept >= SILLY_WINDOW and kept > a_rwnd:
                a_rwnd = kept
        if a_rwnd > promised or not a_rwnd:
            self._edge = received + a_rwnd
            self._exempt = exempt
        self._announced = a_rwnd
        self._level = self._limit - (self._limit >> 2) - a_rwnd
        return a_rwnd

    def _exempt_before(self) -> int:
        """What was exempt when the window was announced, and is not any more: that much of it need not be free now.

        With I-DATA it is the same messages for long, which are not to be counted twice.
        """
        messages = self._messages
        if messages is None:
            return self._exempt
        return max(self._exempt - messages.in_progress(self.tracker.cumulative_tsn), 0)

    def _free(self) -> int:
        used = self._queue.unread + self._queue.held
        left = self._most - used
        if self._queue.held:
            used -= self._queue.in_progress(self.tracker.cumulative_tsn)
        free = self._window - used
        return free if free < left else left

    def _count(self) -> bool:
        """Tell the budget what is held, ask what it leaves, and set how much of a change is worth doing so again.

        The state of streams counts there, but not in the window: it stays, whatever is read. Whether there is room for
        that of streams that were not there before.
        """
        queue = self._queue
        used = queue.unread + queue.held
        keeping = queue.keeping()
        kept = keeping - _FEW_STREAMS if keeping > _FEW_STREAMS else 0
        counted = kept + used - FLOOR if used > FLOOR else kept
        budget = self._budget
        budget.taken += counted - self._counted
        self._counted = counted
        limit = self._window
        left = budget.most(counted) - kept
        self._most = most = left if left > FLOOR else FLOOR
        if most < limit:
            limit = most
            slack = SILLY_WINDOW
        else:
            slack = budget.slack()
        self._limit = limit
        # From which fill on each new chunk is looked at; with I-DATA each DATA chunk is, for none is allowed.
        brim = limit - SILLY_WINDOW
        if brim > used + slack:
            brim = used + slack
        self._brim_of_messages = brim
        self._brim = brim if self._messages is None else -1
        self._ebb = -1
        if used > FLOOR:
            self._ebb = used - slack if used - slack > FLOOR else FLOOR
        self._ebb_of_keeping = 0
        if kept:
            self._ebb_of_keeping = keeping - slack if kept > slack else _FEW_STREAMS
        if left >= FLOOR:
            self._brim_of_keeping = _FEW_STREAMS + kept + slack
        elif keeping > self._brim_of_keeping:
            self._brim = self._brim_of_messages = -1  # the next chunk is looked at
            return False
        return True
