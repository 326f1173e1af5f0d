"""User data from the peer: DATA or I-DATA chunks in, messages and SACKs out (RFC 9260 sections 6.2, 6.5, 6.9, RFC 7053,
RFC 8260), and what the peer has abandoned (RFC 3758).

This room joins the TSN tracker and the reassembly queue to the receive buffer, and decides whether there is room for a
chunk. What the peer is told of it is in `acknowledging`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...inbound.budget import Budget, Remains
from ...inbound.data_tracker import BEYOND, DUPLICATE
from ...inbound.reassembly import Recipient
from ...paths.path import Path
from ...timers import DELAYED_ACK
from ...wire import causes
from ...wire.constants import DATA_HEADER_SIZE, FLAG_IMMEDIATE, I_DATA, I_DATA_HEADER_SIZE, MASK_16, MASK_32
from ...wire.forward_tsn import read_forward_tsn, read_i_forward_tsn
from ...wire.octets import read_data, read_i_data
from ...wire.serial import unwrap
from ...wire.tlv import Malformed, item
from ..context import Context
from ..setup.agreement import Setup
from ..state import CLOSED
from ..violations import Violations
from .acknowledgement import SILLY_WINDOW, Acknowledging

#: How far a FORWARD TSN may move the cumulative TSN in any case.
_FURTHEST: Final = 65535


@final
class Reception(Acknowledging):
    """The receiving side of one association."""

    __slots__ = ("_violations", "incoming_streams")

    def __init__(self, context: Context, violations: Violations, recipient: Recipient, setup: Setup) -> None:
        super().__init__(context, recipient, setup)
        self._violations = violations
        #: Streams from there on are not the peer's to use; it may grow (RFC 6525).
        self.incoming_streams = setup.incoming_streams

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
            if streams.unread + streams.held > self._brim and not self._may_come(wire_tsn, length, received):
                if self._context.state is CLOSED:
                    return end
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
        if streams.is_uncertain:
            streams.judge(tracker.cumulative_tsn)
        statistics.data_chunks_received += count
        statistics.bytes_received += received
        statistics.messages_received += streams.delivered - delivered
        return at

    def take_i_data(self, data: bytes, at: int, end: int, path: Path) -> int:
        """The same for I-DATA chunks (RFC 8260 section 2.2.3), which abort the association if they weren't
        negotiated.
        """
        messages = self._messages
        if messages is None:
            item(data, at, end)  # what can't be a chunk is none
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
                if self._context.state is CLOSED:
                    return end
                tsn = BEYOND
            else:
                tsn = tracker.accept(wire_tsn)
            if tsn >= 0:
                messages.acknowledged = tracker.cumulative_tsn
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
        if messages.is_scattered:
            messages.acknowledge(tracker.cumulative_tsn)
        if messages.is_in_doubt:
            messages.judge(tracker.cumulative_tsn)
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
        statistics.forward_tsns_received += 1
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
            self._streams.judge(tracker.cumulative_tsn)
        elif tsn != DUPLICATE:
            messages.skip([entry for entry in i_entries if entry[0] < streams])
            messages.acknowledge(tracker.cumulative_tsn)
            if messages.is_in_doubt:
                messages.judge(tracker.cumulative_tsn)
        statistics.messages_received += self._queue.delivered - delivered
        if not self._count():
            self._give_in_to_streams()

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Whether messages of a stream are given in parts as they come (RFC 6458 sections 6.1.7 and 8.1.21).

        A first part is given once `partial_delivery_point` bytes are there, or less if that is a lot for the window.
        """
        self._queue.deliver_parts(sid, wanted, self._delivery_point())

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """These streams (None: all) number their messages from 0 again (RFC 6525 section 5.2.2, E3).

        What waits in them for a message that won't come is delivered; the cumulative TSN must have reached the peer's
        Last Assigned TSN.
        """
        delivered = self._queue.delivered
        self._queue.reset_streams(sids)
        self._count()
        self._context.statistics.messages_received += self._queue.delivered - delivered

    def defer_reset(self, wire_tsn: int, sids: Sequence[int] | None) -> bool:
        """The reset of these streams waits for what is missing up to this TSN, if anything is; what lies above it waits
        for the reset (RFC 6525 section 5.2.2 E2). Whether `release_deferred` is to follow.
        """
        return self._queue.defer(unwrap(wire_tsn, self.tracker.cumulative_tsn), sids)

    def release_deferred(self) -> None:
        """What waited for the reset of its stream is taken in (E4)."""
        delivered = self._queue.delivered
        violation = self._queue.release()
        self._context.statistics.messages_received += self._queue.delivered - delivered
        if violation:
            self._violations.protocol_violation(violation)

    def expect_restart(self, is_expected: bool) -> None:
        """Whether the peer may let its TSNs begin anew at any time, and its word of that may come late or be lost (RFC
        6525 section 5.2.4): what is sent by the new count is not to be taken for what is sent by the old one.
        """
        self.tracker.narrow(is_expected)
        delivered = self._queue.delivered
        violation = self._queue.watch(is_expected)
        self._context.statistics.messages_received += self._queue.delivered - delivered
        if violation:
            self._violations.protocol_violation(violation)

    def restart_tsns(self, initial_tsn: int) -> None:
        """The peer's TSNs go on from this one, as on the wire, and all its streams begin anew (RFC 6525 section 5.2.4).

        What has come whole is delivered; nothing is acknowledged any more of what came before.
        """
        self._sacks = []
        self._train.clear()
        first_tsn = self.tracker.restart(initial_tsn)
        self._context.timers.stop(DELAYED_ACK)
        delivered = self._queue.delivered
        self._queue.acknowledge(self.tracker.cumulative_tsn)
        violation = self._queue.restart(first_tsn)
        self._context.statistics.messages_received += self._queue.delivered - delivered
        if violation:
            self._violations.protocol_violation(violation)

    def forget_path(self, path: Path, successor: Path) -> None:
        """Acknowledge over its successor what came over one that is no more."""
        if self.path_id == path.path_id:
            self.path_id = successor.path_id

    def lowest_tsn(self, data: bytes, at: int, end: int) -> int:
        """The TSN, unwrapped, of the DATA chunk at `at`, the first of its packet."""
        if end - at < DATA_HEADER_SIZE:
            raise Malformed("a DATA chunk without room for its header")
        return unwrap(read_data(data, at)[2], self.tracker.cumulative_tsn + 1)

    def close(self) -> Remains | None:
        """The association has ended, maybe by its user and in the middle of a packet: nothing is delivered any more.

        What its user has not read can still be read.
        """
        budget = self._budget
        self._queue.recipient = _NOBODY
        budget.taken -= self._counted
        budget.members -= 1
        self._counted = 0
        self._budget = Budget(budget.limit)  # the rest of the packet is on nobody's account
        return Remains(budget, self._queue.unread) if self._queue.unread else None

    def succeed(self, before: Reception) -> list[int]:
        """The peer has restarted: who wanted parts of its messages still does, and what was begun will not be ended.
        The streams of which a part has been delivered of such a message: the user is still to hear of it.

        What has come and is not yet read still takes its room.
        """
        cut_off = self._queue.succeed(before._queue)
        self._queue.unread = before._queue.unread
        self._counted = before._counted
        self._budget.members -= 1
        self._largest_window = before._largest_window
        self.configure()
        return cut_off

    def configure(self) -> None:
        """The user changed settings."""
        config = self._context.config
        self._window = config.recv_buffer
        self._largest_window = max(self._largest_window, self._window)
        if self._messages is not None:
            self._messages.promised = self._largest_window - self._window
        self._count()
        self.tracker.resize(config.recv_buffer)
        self.tracker.sack_frequency = config.sack_frequency
        self._queue.limit_messages(config.max_message_size)
        self._queue.point = self._delivery_point()
        self._reopen()

    def _delivery_point(self) -> int:
        config = self._context.config
        return min(config.partial_delivery_point, config.max_message_size, config.recv_buffer >> 2)

    def _may_come(self, wire_tsn: int, length: int, received: int) -> bool:
        """Whether a DATA chunk is to be taken: with I-DATA, none is (RFC 8260 section 2.2.3)."""
        if self._messages is None:
            return self._has_room(wire_tsn, length - DATA_HEADER_SIZE, received)
        self._violations.protocol_violation("a DATA chunk, although I-DATA was negotiated")
        raise Malformed("a DATA chunk, although I-DATA was negotiated")

    def _has_room(self, wire_tsn: int, size: int, received: int) -> bool:
        """Section 6.2 with a closed window: what is new and above all else is dropped, what fills a hole displaces the
        rest.

        What was announced is kept, as far as the budget leaves room; where that was nothing, only a window that has
        opened since is one. `received` is what this packet has brought so far.

        All that lies above the cumulative TSN can be displaced, so the next TSN has room whatever is held behind it.
        Others can wait: the peer sends what is missing below them first. And so can the next one while chunks are put
        aside that it can't displace: they have come as far as their reset waits for, which is about to be carried out.
        """
        if not self._count():
            self._give_in_to_streams()
            return False
        queue = self._queue
        tracker = self.tracker
        queue.acknowledge(tracker.cumulative_tsn)
        free = self._free()
        if free >= SILLY_WINDOW or (free > 0 and self._announced):
            return True
        received += self._context.statistics.bytes_received + size
        if received <= self._edge and free + self._exempt_before() > 0 and queue.unread + queue.held < self._most:
            return True
        tsn = tracker.classify(wire_tsn)
        if tsn < 0:
            return True  # a duplicate takes no room, and is to be reported
        fills_hole = tsn < tracker.highest_tsn
        if self._displace(tsn, size):
            return True
        if tsn == tracker.cumulative_tsn + 1 and not queue.is_deferring:
            free = self._free()
            if free >= SILLY_WINDOW:
                return True  # for less than it would take, but for enough
            if free + queue.unread < SILLY_WINDOW:  # it would not help if all were read that can be
                if fills_hole and queue.unread + queue.held < min(self._most, self._furthest()):
                    return True  # nothing else will fill the hole
                if not queue.relieve():
                    self._give_in()
                    return False
        self._context.statistics.dropped_out_of_window += 1
        tracker.refuse()
        return False

    def _displace(self, tsn: int, size: int) -> bool:
        """Make room by dropping chunks with the largest TSNs, if that is enough; whether it is. The peer sends them
        again, and they count as received then.
        """
        queue = self._queue
        chunks, user_bytes = queue.displaced, queue.displaced_bytes
        found = queue.make_room(self.tracker, tsn, size)
        statistics = self._context.statistics
        statistics.data_chunks_received -= queue.displaced - chunks
        statistics.bytes_received -= queue.displaced_bytes - user_bytes
        return found

    def _furthest(self) -> int:
        """What is held at the very most: the window, as large as it ever was, and what does not count in it."""
        return self._largest_window + 2 * self._context.config.max_message_size

    def _give_in(self) -> None:
        """Only what there is no room for could complete what is held: the association ends rather than stand still."""
        config = self._context.config
        self._violations.out_of_resource(
            f"the peer has begun messages that nobody can read yet, {self._queue.held} bytes of them are held, and "
            f"there is no room for the rest: read them in parts, or raise recv_buffer ({self._window}), "
            f"max_message_size ({config.max_message_size}) or memory_limit ({self._budget.limit} for all associations "
            "of the endpoint)"
        )

    def _give_in_to_streams(self) -> None:
        """Where a stream stands is to be kept for as long as the association lives, and there is no room for that."""
        if self._context.state is CLOSED:
            return
        self._violations.out_of_resource(
            "the peer uses more streams than there is room for: to know where each stands takes "
            f"{self._queue.keeping()} bytes. Allow it fewer by max_incoming_streams, let it reset them, or raise "
            f"memory_limit ({self._budget.limit} for all associations of the endpoint)"
        )

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
