"""The receive window of one association: what is free, and what the peer was told (RFC 9260 section 6.2).

It adds up what the reassembly queue holds, what the user has not read, and what the state of streams takes, and shares
the memory of the endpoint with other associations by way of a `Budget`, which is here too. When the peer is told is in
`handlers.data.acknowledgement`, which chunks are taken when the window is closed in `handlers.data.receiver`.
"""

from __future__ import annotations

from typing import Final, final

from .data_tracker import DataTracker
from .reassembly import ReassemblyQueue

#: A window below this is announced as closed (section 6.2: the receiver's side of silly window avoidance).
SILLY_WINDOW: Final = 512
#: What the streams of an association may take that does not count.
_FEW_STREAMS: Final = 8192
#: Each association may hold so much in any case, and this does not count: the smallest `recv_buffer`.
FLOOR: Final = 4096
_LEAST_SLACK: Final = 512


@final
class Budget:
    """The memory that an endpoint's associations share: what they may hold of their peers' data, all together.

    Each may hold as much as would then be left for the others (dynamic thresholds, as switches share their buffers):
    one alone gets half of it, and of a hundred that want all they can get each gets a hundredth. So whoever comes later
    finds some, and no peer can take what others need.
    """

    __slots__ = ("limit", "members", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0  # the sum of what they hold, as each has counted it last
        self.members = 0  # how many associations there are

    def most(self, own: int) -> int:
        """Return what an association may hold that has counted so much of its own, in bytes."""
        left = (self.limit - self.taken + own) >> 1
        return FLOOR + left if left > 0 else FLOOR

    def slack(self) -> int:
        """Return by how many bytes an association may change before it counts anew: all by a sixteenth of the rest."""
        slack = (self.limit - self.taken) // (16 * self.members + 1)
        return slack if slack > _LEAST_SLACK else _LEAST_SLACK


@final
class Remains:
    """What an association that has ended left unread: it counts until it is read, or nobody has the association.

    All of it does. That each may hold a little is for those that live, of which there are only so many.
    """

    __slots__ = ("_budget", "_unread")

    def __init__(self, budget: Budget, unread: int) -> None:
        self._budget = budget
        self._unread = unread
        budget.taken += unread

    def read(self, charge: int) -> None:
        """Take note that so much has been read."""
        if charge > self._unread:
            charge = self._unread
        self._unread -= charge
        self._budget.taken -= charge

    def __del__(self) -> None:
        self.read(self._unread)


@final
class ReceiveWindow:
    """The space that an association has for what the peer sends. All sizes are in bytes, with the overhead of chunks.

    The budget is told only of changes worth it: `count` sets how much that is.

    * `announced`: what the peer was told last. `granted`: what the budget leaves to this association.
    * `checked_above`: with more unread and held, `count` is due, and `free` to be asked before a chunk is taken; at the
      beginning with any, as nothing is counted before the first data.
    * `counted_below`: with as little unread and held, or less, `count` is due.
    * `update_at`: with as little unread, or less, an update of the window may be worth a SACK.
    * `quiet_above`: with more unread, neither is so, whatever is held.
    """

    __slots__ = (
        "announced",
        "checked_above",
        "counted_below",
        "granted",
        "quiet_above",
        "size",
        "update_at",
        "_budget",
        "_capacity",
        "_counted",
        "_exempt",
        "_largest",
        "_promised_until",
        "_queue",
        "_streams_counted_above",
        "_streams_counted_below",
        "_tracker",
    )

    def __init__(self, size: int, budget: Budget, queue: ReassemblyQueue, tracker: DataTracker, received: int) -> None:
        """`received`: the user bytes received so far, as for `announce`."""
        self.size = self._largest = size
        self.announced = size
        self.granted = 0
        self.checked_above = -1  # `count` comes with the first data, as nothing is held before
        self.counted_below = 0
        self.update_at = self.quiet_above = -1
        self._queue = queue
        self._tracker = tracker
        self._budget = budget
        budget.members += 1
        self._counted = 0  # what the budget was told that is held here
        self._capacity = 0  # the smaller of `granted` and the window
        self._streams_counted_above = self._streams_counted_below = 0  # as above, for the state of streams
        # How far the peer may send by what was announced, in user bytes received; and what was exempt then.
        self._promised_until = received + size
        self._exempt = 0

    @property
    def a_rwnd(self) -> int:
        """The window to announce.

        What has come in order of a message that is not complete does not count: only more data can complete it, so a
        window that it closed would never open. It is bounded by `max_message_size` instead, and by the budget.
        """
        free = self.free()
        return free if free >= SILLY_WINDOW else 0

    @property
    def is_worth_an_update(self) -> bool:
        """Whether the window has opened by a quarter since it was announced (section 6.2), so that updates are few."""
        return self.a_rwnd - self.announced >= self._capacity >> 2

    @property
    def limit(self) -> int:
        """The memory limit of all associations of the endpoint."""
        return self._budget.limit

    def free(self) -> int:
        """Return how much more may come; below 0 if more has come already."""
        queue = self._queue
        held = queue.held
        used = queue.unread + held
        left = self.granted - used
        if held:
            used -= queue.in_progress(self._tracker.cumulative_tsn)
        free = self.size - used
        return free if free < left else left

    def is_promised(self, received: int) -> bool:
        """Return true if what was announced allows so many user bytes, and the budget still does."""
        queue = self._queue
        if received > self._promised_until or self.free() + self._exempt_before() <= 0:
            return False
        return queue.unread + queue.held < self.granted

    def most(self, max_message_size: int) -> int:
        """Return what is held at the very most: the window, as large as it ever was, and what does not count in it."""
        return min(self.granted, self._largest + 2 * max_message_size)

    def announce(self, received: int) -> int:
        """Return the window, which the peer is about to be told, after so many user bytes in all.

        What it was told before and has not used is not taken back: it may be on its way. That the message that was
        exempt then has been completed since closes the window no faster than data comes in.
        """
        queue = self._queue
        held = queue.held
        used = queue.unread + held
        stream_state = queue.stream_state()
        if (
            used > self.checked_above
            or used <= self.counted_below
            or stream_state > self._streams_counted_above
            or stream_state < self._streams_counted_below
        ):
            self.count()
        exempt = queue.in_progress(self._tracker.cumulative_tsn) if held else 0
        free = self.size - used + exempt
        left = self.granted - used
        a_rwnd = free if free < left else left
        if a_rwnd < SILLY_WINDOW:
            a_rwnd = 0
        promised = self._promised_until - received
        if promised > a_rwnd:
            kept = min(promised, free + self._exempt_before(), left)
            if kept >= SILLY_WINDOW and kept > a_rwnd:
                a_rwnd = kept
        if a_rwnd > promised or not a_rwnd:
            self._promised_until = received + a_rwnd
            self._exempt = exempt
        self.announced = a_rwnd
        self.update_at = self._capacity - (self._capacity >> 2) - a_rwnd
        self.quiet_above = max(self.update_at, self.counted_below)
        return a_rwnd

    def count(self) -> bool:
        """Tell the budget what is held, ask what it leaves, and set how much of a change is worth doing so again.

        The state of streams counts there, but not in the window: it stays, whatever is read. Return false if there is
        no space for that of streams that were not there before.
        """
        queue = self._queue
        used = queue.unread + queue.held
        stream_state = queue.stream_state()
        kept = stream_state - _FEW_STREAMS if stream_state > _FEW_STREAMS else 0
        counted = kept + used - FLOOR if used > FLOOR else kept
        budget = self._budget
        budget.taken += counted - self._counted
        self._counted = counted
        capacity = self.size
        left = budget.most(counted) - kept
        self.granted = granted = left if left > FLOOR else FLOOR
        if granted < capacity:
            capacity = granted
            slack = SILLY_WINDOW
        else:
            slack = budget.slack()
        self._capacity = capacity
        above = capacity - SILLY_WINDOW
        if above > used + slack:
            above = used + slack
        self.checked_above = above
        self.counted_below = -1
        if used > FLOOR:
            self.counted_below = used - slack if used - slack > FLOOR else FLOOR
        self.quiet_above = max(self.update_at, self.counted_below)
        self._streams_counted_below = 0
        if kept:
            self._streams_counted_below = stream_state - slack if kept > slack else _FEW_STREAMS
        if left >= FLOOR:
            self._streams_counted_above = _FEW_STREAMS + kept + slack
        elif stream_state > self._streams_counted_above:
            self.checked_above = -1  # the next chunk is looked at
            return False
        return True

    def resize(self, size: int) -> None:
        """Set the receive buffer's size. The peer may have begun as many messages as fitted a larger one."""
        self.size = size
        self._largest = max(self._largest, size)
        self._queue.surplus = self._largest - size
        self.count()

    def succeed(self, before: ReceiveWindow) -> None:
        """Take the place of another one: what is not yet read of it still takes its space."""
        self._queue.unread = before._queue.unread
        self._counted = before._counted
        self._budget.members -= 1
        self._largest = max(self._largest, before._largest)
        self.resize(self.size)

    def close(self) -> Remains | None:
        """Leave the budget, for good; return what is left to be read, which counts there still."""
        budget = self._budget
        budget.taken -= self._counted
        budget.members -= 1
        self._counted = 0
        self._budget = Budget(budget.limit)  # the rest of the packet is on nobody's account
        return Remains(budget, self._queue.unread) if self._queue.unread else None

    def _exempt_before(self) -> int:
        """Return what was exempt when the window was announced, and is not any more: it need not be free now."""
        return max(self._exempt - self._queue.still_in_progress(self._tracker.cumulative_tsn), 0)
