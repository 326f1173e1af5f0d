"""Failover: which address takes over from one that does not answer (RFC 9260 section 6.4.1, RFC 7829 section 3.2).

Knows the choice alone. `path_manager` applies it to new data and to retransmissions, `local_addresses` changes our own
end of a path; that a path has failed is found in `potentially_failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..path_state import ACTIVE, POTENTIALLY_FAILED, UNCONFIRMED
from .path import Path

#: One time-out is a loss; with the second in a row the pair of addresses is suspected, and another local one is tried.
ROTATE_AT: Final = 2


def best(paths: Sequence[Path], after: Path) -> Path:
    """Return the active path with the fewest errors that is not `after`, from another local address if it can be.

    If no other is active, `after` if it is. Else one that is POTENTIALLY_FAILED, the one with the fewest errors (RFC
    7829 section 3.2 rule 4). Else all have failed: section 4.1 rule 3 takes the one with the fewest errors then, and
    as its time-outs are counted on, they take turns.
    """
    chosen = after
    chosen_rank = (4, 0, 0, 0)  # worse than any
    for path in paths:
        state = path.state
        if state is UNCONFIRMED or not path.route.local:
            continue
        same = 1 if path is after else 0
        same_local = 1 if path.route.local == after.route.local else 0
        standing = same if state is ACTIVE else 2 if state is POTENTIALLY_FAILED else 3
        rank = (standing, path.error_count, same, same_local)
        if rank < chosen_rank:
            chosen, chosen_rank = path, rank
    return chosen
