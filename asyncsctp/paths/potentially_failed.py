"""Potentially failed paths (RFC 7829): all that makes a path ACTIVE, POTENTIALLY_FAILED or INACTIVE, and what it means.

Time-outs and answers are counted by `handlers.paths.reachability` (RFC 9260 section 8.2); which address is used in
place of one that has failed is in `failover`. The thresholds, PFMR among them, are those of `path.PathSettings`.
"""

from __future__ import annotations

from typing import Final

from ..path_state import ACTIVE, INACTIVE, POTENTIALLY_FAILED, UNCONFIRMED
from .path import Path

#: RFC 7829 section 4.1 rule 3: error counters go on above Path.Max.Retrans, up to an order of magnitude.
_DORMANT_FACTOR: Final = 10


def judge(path: Path) -> bool:
    """Set the state that follows from the error counter of a path, by its thresholds; True if that is another one."""
    before = path.state
    if before is UNCONFIRMED or before is INACTIVE:  # only an answer ends these
        return False
    settings = path.settings
    if path.error_count > settings.max_retrans:
        path.state = INACTIVE  # RFC 9260 section 8.2; RFC 7829 section 3.2 rule 8
    elif settings.pf_threshold is not None and path.error_count > settings.pf_threshold:
        path.state = POTENTIALLY_FAILED  # section 3.2 rule 2
    else:
        path.state = ACTIVE
    return path.state is not before


def recover(path: Path, is_certain: bool) -> bool:
    """Clear the error counter of a path that has answered; True if it is ACTIVE again by that.

    `is_certain`: the answer is to what went to no other address. Section 3.2 rules 9 and 10: unless it is, nobody knows
    which address it reached, and one that has failed stays failed.
    """
    state = path.state
    if not is_certain and state is not ACTIVE and path.settings.pf_threshold is not None:
        return False
    path.error_count = 0
    if state is ACTIVE or state is UNCONFIRMED or not path.route.local:
        return False
    path.state = ACTIVE
    return True


def most_errors(path: Path, switchover: int | None) -> int:
    """Return where the error counter of a path stops: once the path is INACTIVE (RFC 9260 section 8.3), or later where
    that tells failed paths apart (section 4.1 rule 3), or a primary path is to exceed `switchover` (section 5 rule 2).
    """
    settings = path.settings
    most = settings.max_retrans + 1
    if settings.pf_threshold is not None:
        most = max(settings.max_retrans * _DORMANT_FACTOR, _DORMANT_FACTOR)
    return most if switchover is None else max(most, switchover + 1)


def is_given_up(primary: Path, switchover: int | None) -> bool:
    """Return True if Primary.Switchover.Max.Retrans was exceeded (None: never): the path that data takes becomes the
    primary one in place of this (section 5 rules 2 and 3).
    """
    return switchover is not None and primary.error_count > switchover


def is_probed_at_once(path: Path) -> bool:
    """Return True if HEARTBEATs to a path follow one another, each as soon as the one before has had its RTO (section
    3.2 rules 5 and 6): it is POTENTIALLY_FAILED, and they are not switched off.
    """
    return path.state is POTENTIALLY_FAILED and path.settings.heartbeat_interval is not None
