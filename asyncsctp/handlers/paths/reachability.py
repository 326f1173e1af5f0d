"""What follows when a path or the peer stops answering, or answers again (RFC 9260 sections 8.1 and 8.2, RFC 7829).

The counters are in `paths.path_manager`, their rules in `paths.failover`; here what they say becomes events and, at the
limit, the end of the association.
"""

from __future__ import annotations

from ...errors import AssociationTimeout
from ...events import PathChanged, PeerAddressChanged
from ...path_state import POTENTIALLY_FAILED
from ...paths.failover import Verdict
from ...paths.path import Path
from ...timers import HEARTBEAT_TIMER, timer_key
from ..context import Context


def on_silence(context: Context, path: Path, verdict: Verdict) -> bool:
    """Do what follows from a time-out of this path; return False if it was the end of the association."""
    at, silent = context.silence
    context.silence = (context.now, (*silent, path) if at == context.now else (path,))
    on_verdict(context, path, verdict)
    if verdict.exceeded:
        context.owner.end(AssociationTimeout("the peer does not answer any more"))
        return False
    return True


def is_counted(context: Context, path: Path) -> bool:
    """Return True if the outage that a timer tells of is counted by T3-rtx of this path, or was by another timer at
    this instant: twice, it would end the association in half the time that Association.Max.Retrans gives it.
    """
    at, silent = context.silence
    return context.owner.is_timed(path) or (at == context.now and path in silent)


def on_verdict(context: Context, path: Path, verdict: Verdict) -> None:
    """Tell the user of another state of a path, which its error counter or other thresholds have led to."""
    if verdict.changed:
        context.emit(PathChanged(path.route.address, path.state))
        # RFC 7829 section 3.2 rules 5 and 6: HEARTBEATs are sent from now on, where they are sent at all; the first one
        # at once, unless one is under way.
        if path.state is POTENTIALLY_FAILED and not path.heartbeat_nonce:
            context.timers.start(timer_key(HEARTBEAT_TIMER, path.path_id), context.now)
    if verdict.switched:
        context.emit(PeerAddressChanged(context.paths.primary.route.address, "primary"))


def on_answer(context: Context, path: Path, became_active: bool, confirmed: bool = False) -> None:
    """Tell the user of what an answer over this path has changed."""
    if confirmed:
        context.emit(PeerAddressChanged(path.route.address, "confirmed"))
    if became_active or confirmed:
        context.emit(PathChanged(path.route.address, path.state))


def tell_changes(context: Context, paths: list[Path]) -> None:
    """Tell the user of the states of these paths, as addresses of ours have come or gone."""
    for path in paths:
        context.emit(PathChanged(path.route.address, path.state))
