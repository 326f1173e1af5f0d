"""Whether the peer and its addresses can be reached: endpoint and path failure (RFC 9260 sections 8.1 and 8.2).

Time-outs count against a path and against the association, answers take that back; at Association.Max.Retrans the
association ends. What a path's counter makes of its state is in `paths.potentially_failed` (RFC 7829), which address
takes over in `paths.failover`.
"""

from __future__ import annotations

from typing import Final

from ...errors import AssociationTimeout
from ...events import PathChanged, PeerAddressChanged
from ...path_state import ACTIVE, UNCONFIRMED
from ...paths.failover import ROTATE_AT
from ...paths.path import Path
from ...paths.potentially_failed import is_probed_at_once
from ...timers import HEARTBEAT_TIMER, timer_key
from ..context import Context

#: What was not answered in time: user data and what belongs to it, HEARTBEATs, RE-CONFIG and ASCONF.
OF_DATA: Final = 0
OF_HEARTBEATS: Final = 1
OF_REQUESTS: Final = 2


def on_timeout(context: Context, path: Path, kind: int = OF_DATA, counts: bool = True) -> bool:
    """Count that nothing came back within an RTO, as `count_timeout` says; False if the association has ended by it."""
    at, silent = context.silence
    context.silence = (context.now, (*silent, path) if at == context.now else (path,))
    before = context.paths.error_count
    count_timeout(context, path, kind, counts)
    judge(context, path)
    if context.paths.error_count > max(before, context.config.max_retrans):
        context.owner.end(AssociationTimeout("the peer does not answer any more"))
        return False
    return True


def on_heartbeat_timeout(context: Context, path: Path) -> bool:
    """Count that a HEARTBEAT to this path was not answered within an RTO; False if the association has ended."""
    paths = context.paths
    if path.error_count >= paths.most_errors(path):
        path.error_count -= 1  # section 8.3: the counter stops once the path is inactive
    # Section 8.1: only on the path that data uses does it say that the peer is gone.
    return on_timeout(context, path, OF_HEARTBEATS, path is paths.data_path())


def count_timeout(context: Context, path: Path, kind: int, counts: bool) -> None:
    """Count a time-out of what was sent to a path, which is of this kind; `counts`: for the association as well.

    Backs the RTO off (section 6.3.3 E2), and after repeated errors tries the next local address (section 6.4.1).
    """
    paths = context.paths
    if path.settings.pf_threshold is None or path.error_count < paths.most_errors(path):
        path.error_count += 1
    # Section 5.4: probing is not counted; but where there is no other path, nothing else would tell. Nor is there
    # another while nothing can leave for the one in use, and an ASCONF goes to those that are to be verified.
    current = paths.data_path()
    counts = counts and (path.state is not UNCONFIRMED or path is current or not current.route.local)
    path.rto.back_off(lasting=counts and kind != OF_HEARTBEATS)
    if counts:
        paths.unanswered += (kind,)
    if path.error_count >= ROTATE_AT:
        paths.local.rotate(path)


def judge(context: Context, path: Path) -> None:
    """Give a path the state that follows from its error counter and its thresholds; tell the user if it is another."""
    paths = context.paths
    primary = paths.primary
    if paths.judge(path):
        context.emit(PathChanged(path.route.address, path.state))
        if is_probed_at_once(path) and not path.heartbeat_nonce:
            context.timers.start(timer_key(HEARTBEAT_TIMER, path.path_id), context.now)
    if paths.primary is not primary:
        context.emit(PeerAddressChanged(paths.primary.route.address, "primary"))


def is_counted(context: Context, path: Path) -> bool:
    """Return True if the outage that a timer tells of is counted by T3-rtx of this path, or was by another timer at
    this instant: twice, it would end the association in half the time that Association.Max.Retrans gives it.
    """
    at, silent = context.silence
    return context.owner.is_timed(path) or (at == context.now and path in silent)


def on_acknowledged(context: Context, path: Path, is_certain: bool = True) -> None:
    """Clear all errors, as a SACK acknowledged data that was sent to a path; `is_certain`: and to no other one."""
    paths = context.paths
    if paths.unanswered:
        paths.clear_errors()
    if (path.error_count or path.state is not ACTIVE) and paths.recover(path, is_certain):
        context.emit(PathChanged(path.route.address, path.state))


def on_answered(context: Context, path: Path, kind: int, is_certain: bool = True, is_confirmed: bool = False) -> None:
    """Clear errors of this kind, as a HEARTBEAT or a request that went to this path was answered.

    While user data is outstanding, those of other kinds stay: a peer that answers HEARTBEATs but never acknowledges
    data would be waited for without end (section 8.1: the counter MAY stay). `is_confirmed`: the path was UNCONFIRMED.
    """
    paths = context.paths
    is_outstanding = context.owner.data_pending()
    if is_outstanding:
        paths.unanswered = tuple([other for other in paths.unanswered if other != kind])
    if not is_outstanding or not paths.unanswered:
        paths.clear_errors()
    recovered = paths.recover(path, is_certain)
    if is_confirmed:
        context.emit(PeerAddressChanged(path.route.address, "confirmed"))
    if recovered or is_confirmed:
        context.emit(PathChanged(path.route.address, path.state))
