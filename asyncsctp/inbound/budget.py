"""What the associations of an endpoint may hold of their peers' data, all together.

Each may hold as much as would then be left for the others (dynamic thresholds, as switches share their buffers): one
alone gets half of it, and of a hundred that want all they can get each gets a hundredth. So whoever comes later finds
some, and no peer can take what others need. The budget knows numbers alone; who counts what is in `acknowledging`.
"""

from __future__ import annotations

from typing import Final, final

__all__ = ["FLOOR", "Budget"]

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
        """What an association may hold that has counted so much of its own."""
        left = (self.limit - self.taken + own) >> 1
        return FLOOR + left if left > 0 else FLOOR

    def slack(self) -> int:
        """By how much an association may change before it counts anew: all together by a sixteenth of what is left."""
        slack = (self.limit - self.taken) // (16 * self.members + 1)
        return slack if slack > _LEAST_SLACK else _LEAST_SLACK
