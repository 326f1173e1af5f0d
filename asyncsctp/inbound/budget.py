"""What the associations of an endpoint may hold of their peers' data, all together.

Each may hold as much as would then be left for the others (dynamic thresholds, as switches share their buffers): one
alone gets half of it, and of a hundred that want all they can get each gets a hundredth. So whoever comes later finds
some, and no peer can take what others need. What an association counts is in `receive_window`.
"""

from __future__ import annotations

from typing import Final, final

#: Each association may hold so much in any case, and this does not count: the smallest `recv_buffer`.
FLOOR: Final = 4096
_LEAST_SLACK: Final = 512


@final
class Budget:
    """The memory that an endpoint's associations share."""

    __slots__ = ("limit", "members", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: The sum of what they hold, as each has counted it last.
        self.taken = 0
        #: How many associations there are.
        self.members = 0

    def most(self, own: int) -> int:
        """Return what an association may hold that has counted so much of its own, in bytes."""
        left = (self.limit - self.taken + own) >> 1
        return FLOOR + left if left > 0 else FLOOR

    def slack(self) -> int:
        """Return how many bytes an association may change by before it counts anew.

        All together that is a sixteenth of what is left.
        """
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
