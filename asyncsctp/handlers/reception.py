"""User data from the peer: DATA or I-DATA chunks in, messages and SACKs out (RFC 9260 sections 6.2, 6.5, 6.9, RFC 7053,
RFC 8260), and what the peer has abandoned (RFC 3758).

This room joins the TSN tracker and the reassembly queue to the receive buffer. It decides what a_rwnd says and whether
there is room for a chunk; it does not know how a SACK gets into a packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..inbound.data_streams import DataStreams
from ..inbound.data_tracker import ACK_DELAYED, ACK_NOW, BEYOND, DUPLICATE, NO_ACK, DataTracker
from ..inbound.idata_streams import IDataStreams
from ..inbound.reassembly import ReassemblyQueue, Recipient
from ..paths.path import Path
from ..timers import DELAYED_ACK
from ..wire import causes
from ..wire.constants import DATA_HEADER_SIZE, FLAG_IMMEDIATE, I_DATA, I_DATA_HEADER_SIZE, MASK_16, MASK_32
from ..wire.forward_tsn import read_forward_tsn, read_i_forward_tsn
from ..wire.octets import read_data, read_i_data
from ..wire.sack import SACK_HEADER_SIZE, pack_sack
from ..wire.tlv import Malformed
from .context import Context, Setup
from .violations import Violations

__all__ = ["Reception"]

#: A window below this is announced as closed (section 6.2: the receiver's side of silly window avoidance).
_SILLY_WINDOW: Final = 512
#: SACKs for one batch of packets, beside the final one. Those of a larger batch came at the same instant, and each SACK
#: costs the peer as much as sending two packets (section 6.2: every second packet is a SHOULD).
_LONGEST_TRAIN: Final = 8
#: How far a FORWARD TSN may move the cumulative TSN in any case.
_FURTHEST: Final = 65535


@final
class Reception:
    """The receiving side of one association."""

    __slots__ = (
        "_announced",
        "_brim",
        "_brim_of_messages",
        "_carried",
        "_context",
        "_edge",
        "_exempt",
        "_immediate",
        "_messages",
        "_queue",
        "_sacks",
        "_streams",
        "_train",
        "_violations",
        "_window",
        "incoming_streams",
        "path_id",
        "tracker",
    )

    def __init__(self, context: Context, violations: Violations, recipient: Recipient, setup: Setup) -> None:
        config = context.config
        self._context = context
        self._violations = violations
        #: Streams from there on are not the peer's to use; it may grow (RFC 6525).
        self.incoming_streams = setup.incoming_streams
        self._streams = DataStreams(recipient, config.max_message_size)
        self._messages: IDataStreams | None = None
        self._queue: ReassemblyQueue = self._streams  # that of the two which is in use
        if setup.interleaving:
            self._queue = self._messages = IDataStreams(recipient, config.max_message_size)
        self._window = config.recv_buffer
        self._brim = self._brim_of_messages = 0
        self._set_brim()
        self._announced = config.recv_buffer
        # How far the peer may send by what was announced, in bytes received.
        self._edge = context.statistics.bytes_received + config.recv_buffer
        self._exempt = 0  # what the message in progress held when that was announced
        self._carried = False
        self._immediate = False
        self._sacks: list[bytes] = []
        self._train: list[int] = []  # wire cumulative TSNs of SACKs not yet packed, later than those
        self.tracker = DataTracker(setup.peer_initial_tsn, config.sack_frequency, config.recv_buffer)
        self.path_id = context.paths.primary.path_id  # where the last DATA came from: SACKs go there (section 6.4)

    @property
    def a_rwnd(self) -> int:
        """The window to announce.

        The message whose next fragment is awaited in order is not counted: only new data can complete it, so a window
        that it closed would never open. It is bounded by `max_message_size` instead.
        """
        free = self._free()
        return free if free >= _SILLY_WINDOW else 0

    def take(self, data: bytes, at: int, end: int, path: Path) -> int:
        """Take in the DATA chunks that stand one behind the other from `at` on; where the first other chunk stands.

        The walk of `wire.tlv`, with the header's further fields read in the same step.
        """
        self._carried = True
        tracker = self.tracker
        streams = self._streams
        statistics = self._context.statistics
        count = 0
        received = 0
        delivered = streams.delivered
        while end - at >= DATA_HEADER_SIZE:
            kind, length, wire_tsn, key, ppid = read_data(data, at)
            if kind > 0xFF:
                break
            if length <= DATA_HEADER_SIZE or length > end - at:
                self._judge_length(length, wire_tsn)
                return end
            if streams.unread + streams.held > self._brim and not self._has_room(wire_tsn, length - DATA_HEADER_SIZE, received):
                tsn = BEYOND
            else:
                tsn = tracker.accept(wire_tsn)
            if tsn >= 0:
                sid = key >> 16
                if sid >= self.incoming_streams:
                    self._violations.report(causes.pack_invalid_stream(sid), path.path_id)
                elif violation := streams.add(
                    tsn, kind, sid, key & MASK_16, ppid, data[at + DATA_HEADER_SIZE : at + length]
                ):
                    self._violations.protocol_violation(violation)
                    return end
                count += 1
                received += length - DATA_HEADER_SIZE
            elif tsn == DUPLICATE:
                statistics.duplicate_tsns_received += 1
            if kind & FLAG_IMMEDIATE:
                self._immediate = True
            at += length + 3 & -4
        statistics.data_chunks_received += count
        statistics.bytes_received += received
        statistics.messages_received += streams.delivered - delivered
        return at

    def take_i_data(self, data: bytes, at: int, end: int, path: Path) -> int:
        """The same for I-DATA chunks (RFC 8260 section 2.2.3), which abort the association if they weren't negotiated.
        """
        messages = self._messages
        if messages is None:
            self._violations.protocol_violation("an I-DATA chunk, which was not negotiated")
            return end
        self._carried = True
        tracker = self.tracker
        statistics = self._context.statistics
        count = 0
        received = 0
        delivered = messages.delivered
        while end - at >= I_DATA_HEADER_SIZE:
            kind, length, wire_tsn, sid, mid, number = read_i_data(data, at)
            if kind >> 8 != I_DATA:
                break
            if length <= I_DATA_HEADER_SIZE or length > end - at:
                self._judge_length(length - I_DATA_HEADER_SIZE + DATA_HEADER_SIZE, wire_tsn)
                return end
            size = length - I_DATA_HEADER_SIZE
            if messages.unread + messages.held > self._brim_of_messages and not self._has_room(
                wire_tsn, size, received
            ):
                tsn = BEYOND
            else:
                tsn = tracker.accept(wire_tsn)
            if tsn >= 0:
                if sid >= self.incoming_streams:
                    self._violations.report(causes.pack_invalid_stream(sid), path.path_id)
                elif violation := messages.add(
                    tsn, kind & 0xFF, sid, mid, number, data[at + I_DATA_HEADER_SIZE : at + length]
                ):
                    self._violations.protocol_violation(violation)
                    return end
                count += 1
                received += size
            elif tsn == DUPLICATE:
                statistics.duplicate_tsns_received += 1
            if kind & FLAG_IMMEDIATE:
                self._immediate = True
            at += length + 3 & -4
        statistics.data_chunks_received += count
        statistics.bytes_received += received
        statistics.messages_received += messages.delivered - delivered
        return at

    def on_forward_tsn(self, data: bytes, at: int, end: int) -> None:
        """FORWARD TSN, or I-FORWARD-TSN where I-DATA was negotiated: the peer has abandoned messages.

        RFC 3758 section 3.6. For the SACK it counts as DATA does. A stream that isn't there is passed over, and a TSN
        further ahead than the window could reach is no reason to move: some peers skip what they never sent.
        """
        messages = self._messages
        delivered = self._queue.delivered
        entries: list[tuple[int, int]] = []
        i_entries: list[tuple[int, bool, int]] = []
        if messages is None:
            wire_tsn, entries = read_forward_tsn(data, at, end)
        else:
            wire_tsn, i_entries = read_i_forward_tsn(data, at, end)
        self._carried = True
        statistics = self._context.statistics
        tracker = self.tracker
        previous = tracker.cumulative_tsn
        tsn = tracker.skip_to(wire_tsn, max(self._window, _FURTHEST))
        if tsn == BEYOND:
            statistics.dropped_out_of_window += 1
            return
        if tsn == DUPLICATE and wire_tsn != previous & MASK_32:
            return
        streams = self.incoming_streams
        if messages is None:
            tsn = previous if tsn == DUPLICATE else tsn
            self._streams.skip(previous, tsn, [entry for entry in entries if entry[0] < streams])
        elif tsn != DUPLICATE:
            messages.skip([entry for entry in i_entries if entry[0] < streams])
        statistics.messages_received += self._queue.delivered - delivered

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Whether messages of a stream are given in parts as they come (RFC 6458 sections 6.1.7 and 8.1.21).

        A first part is given once `partial_delivery_point` bytes are there, or less if that is a lot for the window.
        """
        config = self._context.config
        point = min(config.partial_delivery_point, config.max_message_size, config.recv_buffer >> 2)
        self._queue.deliver_parts(sid, wanted, point)

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """These streams (None: all) number their messages from 0 again (RFC 6525 section 5.2.2, E3).

        What waits in them for a message that won't come is delivered; the cumulative TSN must have reached the peer's
        Last Assigned TSN.
        """
        delivered = self._queue.delivered
        self._queue.reset_streams(sids)
        self._context.statistics.messages_received += self._queue.delivered - delivered

    def restart_tsns(self, initial_tsn: int) -> None:
        """The peer's next TSN is this one, as on the wire, and all its streams begin anew (RFC 6525 section 5.2.4).

        What has come whole is delivered; nothing is acknowledged any more of what came before.
        """
        delivered = self._queue.delivered
        self._queue.restart()
        self._context.statistics.messages_received += self._queue.delivered - delivered
        self._sacks = []
        self._train.clear()
        self.tracker.restart(initial_tsn)
        self._context.timers.stop(DELAYED_ACK)

    def lowest_tsn(self, data: bytes, at: int, end: int) -> int:
        """The TSN, unwrapped, of the DATA chunk at `at`, the first of its packet."""
        if end - at < DATA_HEADER_SIZE:
            raise Malformed("a DATA chunk without room for its header")
        expected = self.tracker.cumulative_tsn + 1
        return expected + ((read_data(data, at)[2] - expected + 0x80000000 & 0xFFFFFFFF) - 0x80000000)

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
        elif state == ACK_NOW and len(self._sacks) + len(self._train) < _LONGEST_TRAIN:
            # One for each packet that asks for it, although those of a batch leave together: the peer's window grows by
            # them (section 7.2.1), and it counts them when something is missing (section 7.2.4).
            wire_cumulative_tsn = self.tracker.settle()
            if wire_cumulative_tsn >= 0:
                self._train.append(wire_cumulative_tsn)
            else:
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

    def expire_delayed_ack(self) -> None:
        """SACK.Delay has passed since the first packet that is not acknowledged."""
        self.tracker.force()

    def consumed(self, charge: int) -> bool:
        """The application has read messages; whether the window has opened enough to tell the peer.

        `charge` is the size of a message, but `SMALLEST_CHARGE` at the least; of several, the sum of that. Section 6.2:
        by a quarter of the buffer, so that updates are few.
        """
        self._queue.unread -= charge
        if self._window - self._queue.unread - self._announced < self._window >> 2:
            return False
        if self.a_rwnd - self._announced < self._window >> 2:
            return False
        self.tracker.force()
        return True

    def close(self) -> None:
        """The association has ended, maybe by its user and in the middle of a packet: nothing is delivered any more."""
        self._queue.recipient = _NOBODY

    def configure(self) -> None:
        """The user changed settings."""
        config = self._context.config
        self._window = config.recv_buffer
        self._set_brim()
        self.tracker.resize(config.recv_buffer)
        self.tracker.sack_frequency = config.sack_frequency
        self._queue.limit_messages(config.max_message_size)

    def _set_brim(self) -> None:
        """From which fill on each new chunk is looked at: with I-DATA each DATA chunk is, for none is allowed."""
        self._brim_of_messages = self._window - _SILLY_WINDOW
        self._brim = self._brim_of_messages if self._messages is None else -1

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
        return pack_sack(wire_cumulative_tsn, a_rwnd, gaps, duplicates)

    def _announce(self) -> int:
        """The window, which the peer is about to be told.

        What it was told before and has not used is not taken back: it may be on its way. That the message that was
        exempt then has been completed since closes the window no faster than data comes in.
        """
        received = self._context.statistics.bytes_received
        held = self._queue.held
        exempt = self._queue.in_progress(self.tracker.cumulative_tsn) if held else 0
        free = self._window - self._queue.unread - held + exempt
        a_rwnd = free if free >= _SILLY_WINDOW else 0
        promised = self._edge - received
        if promised > a_rwnd:
            kept = min(promised, free + self._exempt)
            if kept >= _SILLY_WINDOW and kept > a_rwnd:
                a_rwnd = kept
        if a_rwnd > promised or not a_rwnd:
            self._edge = received + a_rwnd
            self._exempt = exempt
        self._announced = a_rwnd
        return a_rwnd

    def _free(self) -> int:
        held = self._queue.held
        if held:
            held -= self._queue.in_progress(self.tracker.cumulative_tsn)
        return self._window - self._queue.unread - held

    def _has_room(self, wire_tsn: int, size: int, received: int) -> bool:
        """Section 6.2 with a closed window: what is new and above all else is dropped, what fills a hole displaces the
        rest.

        What was announced is kept; where that was nothing, only a window that has opened since is one. `received` is
        what this packet has brought so far.
        """
        free = self._free()
        if free >= _SILLY_WINDOW or (free > 0 and self._announced):
            return True
        received += self._context.statistics.bytes_received + size
        if received <= self._edge and free + self._exempt > 0:
            return True
        tracker = self.tracker
        tsn = tracker.classify(wire_tsn)
        if tsn < 0:
            return True  # a duplicate takes no room, and is to be reported
        if self._queue.make_room(tracker, tsn, size):
            return True
        self._context.statistics.dropped_out_of_window += 1
        tracker.refuse()
        return False

    def _judge_length(self, length: int, wire_tsn: int) -> None:
        if length == DATA_HEADER_SIZE:
            self._violations.no_user_data(wire_tsn)
            return
        raise Malformed(f"a DATA chunk of length {length}")


@final
class _Nobody(Recipient):
    """Nobody is there for a message any more."""

    __slots__ = ()

    def on_message(self, sid: int, ssn: int, ppid: int, unordered: bool, tsn: int, data: bytes) -> None:
        """It is dropped."""


_NOBODY: Final = _Nobody()
