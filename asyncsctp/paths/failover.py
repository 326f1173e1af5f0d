"""When a path has failed, and which one takes over (RFC 9260 sections 6.4.1, 8.1 and 8.2, RFC 7829).

Knows the rules, for one path or a choice of paths. They are applied in `path_manager`; what the user is told of it is
in `handlers.paths.reachability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED
from .path import Path

#: What was not answered in time: user data and what belongs to it, HEARTBEATs, RE-CONFIG and ASCONF.
OF_DATA: Final = 0
OF_HEARTBEATS: Final = 1
OF_REQUESTS: Final = 2

#: One time-out is a loss; with the second in a row the pair of addresses is suspected.
ROTATE_AT: Final = 2
#: RFC 7829 section 4.1 rule 3: error counters go on above Path.Max.Retrans, up to an order of magnitude.
_DORMANT_FACTOR: Final = 10


class Verdict(NamedTuple):
    """What a time-out changed."""

    changed: bool  # the path has another state
    exceeded: bool = False  # Association.Max.Retrans was exceeded: the peer is unreachable
    switched: bool = False  # another path has become the primary path (RFC 7829 section 5)


def judge(path: Path) -> bool:
    """Set the state that follows from the error counter of a path, by its thresholds; True if that is another one.

    Only an answer ends UNCONFIRMED and INACTIVE.
    """
    before = path.state
    if before is UNCONFIRMED or before is INACTIVE:
        return False
    settings = path.settings
    if path.error_count > settings.max_retrans:
        path.state = INACTIVE  # section 8.2; RFC 7829 section 3.2 rule 8
    elif settings.pf_threshold is not None and path.error_count > settings.pf_threshold:
        path.state = POTENTIALLY_FAILED  # RFC 7829 section 3.2 rule 2
    else:
        path.state = ACTIVE
    return path.state is not before


def most_errors(path: Path, switchover: int | None) -> int:
    """Return where the error counter of a path stops: once the path is INACTIVE (section 8.3), or later where that
    tells failed paths apart (RFC 7829 section 4.1 rule 3).

    `switchover` is Primary.Switchover.Max.Retrans, which a primary path is to exceed (section 5 rule 2), None for
    others.
    """
    settings = path.settings
    most = settings.max_retrans + 1
    if settings.pf_threshold is not None:
        most = max(settings.max_retrans * _DORMANT_FACTOR, _DORMANT_FACTOR)
    return most if switchover is None else max(most, switchover + 1)


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
