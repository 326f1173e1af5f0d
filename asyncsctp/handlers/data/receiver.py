"""User data from the peer: DATA or I-DATA chunks in, messages out (RFC 9260 sections 6.2, 6.5, 6.9, RFC 8260), and what
the peer has abandoned (RFC 3758 section 3.6).

It joins the TSN tracker and the reassembly queue to the receive window, and decides which chunks are taken when that is
closed. When the peer is told is in `acknowledgement`, how large the window is in `inbound.receive_window`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import AssociationAborted
from ...inbound.data_streams import DataStreams
from ...inbound.data_tracker import BEYOND, DUPLICATE, DataTracker
from ...inbound.idata_streams import IDataStreams
from ...inbound.reassembly import ReassemblyQueue, Recipient
from ...inbound.receive_window import SILLY_WINDOW, ReceiveWindow, Remains
from ...paths.path import Path
from ...wire import causes, constants
from ...wire.constants import DATA_HEADER_SIZE, FLAG_IMMEDIATE, I_DATA, I_DATA_HEADER_SIZE, MASK_32
from ...wire.forward_tsn import read_forward_tsn
from ...wire.octets import read_data, read_i_data
from ...wire.serial import unwrap
from ...wire.tlv import Malformed
from ..context import Context
from ..setup.negotiation import Setup
from ..state import CLOSED
from .acknowledgement import Acknowledger

_FURTHEST: Final = 65535  # how far a FORWARD TSN may move the cumulative TSN in any case


@final
class DataReceiver:
    """The receiving side of one association."""

    __slots__ = (
        "_carried",
        "_context",
        "_immediate",
        "_interleaved",
        "_queue",
        "acknowledger",
        "incoming_streams",
        "tracker",
        "window",
    )

    def __init__(self, context: Context, recipient: Recipient, setup: Setup) -> None:
        config = context.config
        self._context = context
        #: Streams from there on are not the peer's to use; it may grow (RFC 6525).
        self.incoming_streams = setup.incoming_streams
        self._interleaved = setup.extensions.interleaving  # whether user data comes in I-DATA chunks
        self._queue: ReassemblyQueue
        if self._interleaved:
            self._queue = IDataStreams(recipient, config.max_message_size, context.numbering)
        else:
            self._queue = DataStreams(recipient, config.max_message_size)
        self._queue.abandons = setup.extensions.partial_reliability
        self.tracker = DataTracker(setup.peer_initial_tsn, config.recv_buffer)
        received = context.statistics.bytes_received
        self.window = ReceiveWindow(config.recv_buffer, context.budget, self._queue, self.tracker, received)
        self.acknowledger = Acknowledger(context, self.tracker, self.window)
        self._carried = False  # whether this packet has brought user data, or a FORWARD TSN
        self._immediate = False  # whether any of that had the I bit (RFC 7053)

    def on_data(self, data: bytes, at: int, end: int, path: Path) -> int:
        """Take in the DATA or I-DATA chunks that stand one behind the other from `at` on; return where the next other
        chunk stands. This is the walk of `wire.tlv`, with the header's further fields read in the same step.
        """
        self._carried = True
        interleaved = self._interleaved
        tracker = self.tracker
        queue = self._queue
        window = self.window
        statistics = self._context.statistics
        header_size = I_DATA_HEADER_SIZE if interleaved else DATA_HEADER_SIZE
        count = 0
        received = 0
        while end - at >= header_size:
            if interleaved:
                flags, length, wire_tsn, sid, number, ppid = read_i_data(data, at)
                flags ^= I_DATA << 8
            else:
                flags, length, wire_tsn, sid, number, ppid = read_data(data, at)
            if flags > 0xFF:  # its type is another one
                break
            if length <= header_size or length > end - at:
                if length != header_size:
                    raise Malformed(f"a chunk of user data of length {length}")
                cause = causes.pack_no_user_data(wire_tsn)  # section 6.2
                self._context.violated(cause, "the peer sent a DATA chunk without user data")
                return end
            if queue.unread + queue.held > window.checked_above and not self._has_space(
                wire_tsn, length - header_size, received
            ):
                if self._context.state is CLOSED:
                    return end
                tsn = BEYOND
            else:
                tsn = tracker.accept(wire_tsn)
            if tsn >= 0:
                if sid >= self.incoming_streams:
                    self._context.report(causes.pack_invalid_stream(sid), path.path_id)
                elif violation := queue.add(
                    tsn, flags, sid, number, ppid, data[at + header_size : at + length], tracker.cumulative_tsn
                ):
                    self._context.protocol_violation(violation)
                    return end
                count += 1
                received += length - header_size
            elif tsn == DUPLICATE:
                statistics.duplicate_tsns_received += 1
            else:
                self.acknowledger.force()  # section 6.2: a SACK that doesn't show it, at once
            if flags & FLAG_IMMEDIATE:
                self._immediate = True
            at += length + 3 & -4
        if queue.is_uncertain:
            queue.judge(tracker.cumulative_tsn)
        statistics.data_chunks_received += count
        statistics.bytes_received += received
        if queue.delivered:
            statistics.messages_received += queue.delivered
            queue.delivered = 0
        return at

    def on_forward_tsn(self, data: bytes, at: int, end: int) -> None:
        """Skip what the peer has abandoned (RFC 3758 section 3.6): FORWARD TSN, or I-FORWARD-TSN with I-DATA.

        For the SACK it counts as DATA does. A stream that isn't there is passed over, and a TSN further ahead than the
        window could reach is no reason to move: some peers skip what they never sent. One that is out of date asks for
        a SACK at once, for the last one may have been lost.
        """
        wire_tsn, entries = read_forward_tsn(data, at, end)
        self._carried = True
        statistics = self._context.statistics
        statistics.forward_tsns_received += 1
        tracker = self.tracker
        previous = tracker.cumulative_tsn
        tsn = tracker.skip_to(wire_tsn, max(self.window.size, _FURTHEST))
        if tsn == BEYOND:
            statistics.dropped_out_of_window += 1
            return
        if tsn == DUPLICATE:
            self.acknowledger.force()
            if wire_tsn != previous & MASK_32:
                return
            tsn = previous
        self._queue.skip(previous, tsn, [entry for entry in entries if entry[0] < self.incoming_streams])
        self._queue.judge(tracker.cumulative_tsn)
        self._conclude(None)
        if not self.window.count():
            self._give_in_to_streams()

    def on_packet_end(self, path: Path) -> bool:
        """Decide on the acknowledgement of a packet that has been walked; return true if it carried user data."""
        if not self._carried:
            return False
        self._carried = False
        self.acknowledger.on_packet(path, self._immediate)
        self._immediate = False
        return True

    def forget_path(self, path: Path, successor: Path) -> None:
        """Acknowledge over its successor what came over a path that is no more."""
        if self.acknowledger.path_id == path.path_id:
            self.acknowledger.path_id = successor.path_id

    def lowest_tsn(self, data: bytes, at: int, end: int) -> int:
        """Return the TSN, unwrapped, of the DATA chunk at `at`, the first of its packet."""
        if end - at < DATA_HEADER_SIZE:
            raise Malformed("a DATA chunk without space for its header")
        return unwrap(read_data(data, at)[2], self.tracker.cumulative_tsn + 1)

    def consumed(self, charge: int) -> bool:
        """Free the space of messages that the user has read; return true if the peer is to be told that it is free.

        `charge` is the size of a message, but `SMALLEST_CHARGE` at the least; of several, the sum of that.
        """
        queue = self._queue
        window = self.window
        unread = queue.unread - charge
        queue.unread = unread
        if unread > window.quiet_above:
            return False
        if unread > window.update_at and unread + queue.held > window.counted_below:
            return False
        window.count()
        return self._tell_of_window()

    def deliver_parts(self, sid: int, wanted: bool) -> None:
        """Set whether messages of a stream are given in parts (RFC 6458 sections 6.1.7 and 8.1.21), the first once
        `partial_delivery_point` bytes are there, or less if that is a lot for the window.
        """
        self._queue.deliver_parts(sid, wanted, self._delivery_point())

    def reset_streams(self, sids: Sequence[int] | None) -> None:
        """Let these streams (None: all) number their messages from 0 again, and deliver what waits there (RFC 6525
        section 5.2.2 E3), once the cumulative TSN has reached the peer's Last Assigned TSN.
        """
        self._queue.reset_streams(sids)
        self.window.count()
        self._conclude(None)

    def defer_reset(self, wire_tsn: int, sids: Sequence[int] | None) -> bool:
        """Put aside what these streams get above this TSN until it has come (RFC 6525 section 5.2.2 E2); return true if
        `release_deferred` is to follow.
        """
        return self._queue.defer(unwrap(wire_tsn, self.tracker.cumulative_tsn), sids)

    def release_deferred(self) -> None:
        """Take in what waited for the reset of its stream (RFC 6525 section 5.2.2 E4)."""
        self._conclude(self._queue.release())

    def expect_restart(self, is_expected: bool) -> None:
        """Take only TSNs near the last while the peer may let them begin anew at any time (RFC 6525 section 5.2.4)."""
        self.tracker.narrow(is_expected)
        self._conclude(self._queue.watch(is_expected))

    def restart_tsns(self, initial_tsn: int) -> None:
        """Let the peer's TSNs go on from this one, and all its streams begin anew (RFC 6525 section 5.2.4). What has
        come whole is delivered; nothing is acknowledged any more of what came before.
        """
        first_tsn = self.tracker.restart(initial_tsn)
        self.acknowledger.restart(self.tracker.highest_tsn >= first_tsn)
        self._queue.acknowledge(self.tracker.cumulative_tsn)
        self._conclude(self._queue.restart(first_tsn))

    def configure(self) -> None:
        """Apply settings that the user has changed."""
        config = self._context.config
        self._queue.limit_messages(config.max_message_size)
        self._queue.point = self._delivery_point()
        self.tracker.resize(config.recv_buffer)
        self.window.resize(config.recv_buffer)
        self.acknowledger.configure()
        self._tell_of_window()

    def succeed(self, before: DataReceiver) -> list[int]:
        """Take the place of another one, as the peer has restarted. What is not yet read still takes its space, and who
        wanted parts of messages still does; return the streams on which one was delivered that will not be ended.
        """
        cut_off = self._queue.succeed(before._queue)
        self.window.succeed(before.window)
        self.configure()
        return cut_off

    def close(self) -> Remains | None:
        """Deliver nothing any more, even in the middle of a packet; return what the user can still read."""
        self._queue.recipient = Recipient()
        return self.window.close()

    def _conclude(self, violation: str | None) -> None:
        """Count what was delivered, and abort the association if something violated the protocol."""
        self._context.statistics.messages_received += self._queue.delivered
        self._queue.delivered = 0
        if violation:
            self._context.protocol_violation(violation)

    def _tell_of_window(self) -> bool:
        """Let a SACK leave if the window has opened enough; return true if it has."""
        if not self.window.is_worth_an_update:
            return False
        self.acknowledger.force()
        return True

    def _delivery_point(self) -> int:
        config = self._context.config
        return min(config.partial_delivery_point, config.max_message_size, config.recv_buffer >> 2)

    def _has_space(self, wire_tsn: int, size: int, received: int) -> bool:
        """Return true if a chunk is to be taken although the window is full, or nearly.

        Section 6.2 with a closed window: what is new and above all else is dropped, what fills a hole displaces the
        rest. What was announced is kept, as far as the budget allows; where that was nothing, only a window that has
        opened since is one. `received` is what this packet has brought so far.

        All that lies above the cumulative TSN can be displaced, so the next TSN has space whatever is held behind it.
        Others can wait: the peer sends what is missing below them first. And so can the next one while chunks are put
        aside that it can't displace: they have come as far as their reset waits for, which is about to be carried out.
        """
        window = self.window
        if not window.count():
            self._give_in_to_streams()
            return False
        queue = self._queue
        tracker = self.tracker
        queue.acknowledge(tracker.cumulative_tsn)
        free = window.free()
        if free >= SILLY_WINDOW or (free > 0 and window.announced):
            return True
        if window.is_promised(self._context.statistics.bytes_received + received + size):
            return True
        tsn = tracker.classify(wire_tsn)
        if tsn < 0:
            return True  # a duplicate takes no space, and is to be reported
        fills_hole = tsn < tracker.highest_tsn
        if self._displace(tsn, size):
            return True
        if tsn == tracker.cumulative_tsn + 1 and not queue.is_deferring:
            free = window.free()
            if free >= SILLY_WINDOW:
                return True  # for less than it would take, but for enough
            if free + queue.unread < SILLY_WINDOW:  # it would not help if all were read that can be
                most = window.most(self._context.config.max_message_size)
                if fills_hole and queue.unread + queue.held < most:
                    return True  # nothing else will fill the hole
                if not queue.relieve():
                    self._give_in()
                    return False
        self._context.statistics.dropped_out_of_window += 1
        return False

    def _displace(self, tsn: int, size: int) -> bool:
        """Drop chunks with the largest TSNs, which the peer sends again, to make space; return true if it is enough."""
        queue = self._queue
        found = queue.make_space(self.tracker, tsn, size)
        if queue.displaced:
            statistics = self._context.statistics
            statistics.data_chunks_received -= queue.displaced
            statistics.bytes_received -= queue.displaced_bytes
            queue.displaced = queue.displaced_bytes = 0
            self.acknowledger.force()
        return found

    def _abort_for_space(self, text: str) -> None:
        """Abort: there is no space for what the peer has begun, and none will come about (section 3.3.10.4)."""
        self._context.abort(causes.pack_cause(constants.CAUSE_OUT_OF_RESOURCE), AssociationAborted(text))

    def _give_in(self) -> None:
        """Abort rather than stand still: only what there is no space for could complete what is held."""
        config = self._context.config
        self._abort_for_space(
            f"the peer has begun messages that nobody can read yet, {self._queue.held} bytes of them are held, and "
            f"there is no room for the rest: read them in parts, or raise recv_buffer ({self.window.size}), "
            f"max_message_size ({config.max_message_size}) or memory_limit ({self.window.limit} for all associations "
            "of the endpoint)"
        )

    def _give_in_to_streams(self) -> None:
        """Abort: where a stream stands is kept for as long as the association lives, and there is no space for that."""
        if self._context.state is CLOSED:
            return
        self._abort_for_space(
            "the peer uses more streams than there is room for: to know where each stands takes "
            f"{self._queue.stream_state()} bytes. Allow it fewer by max_incoming_streams, let it reset them, or raise "
            f"memory_limit ({self.window.limit} for all associations of the endpoint)"
        )
