"""What follows when a path or the peer stops answering, or answers again (RFC 9260 sections 8.1 and 8.2, RFC 7829).

The counters are in `paths`; here their verdicts become events and, at the limit, the end of the association.
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
    """A time-out was counted against this path; whether the association goes on."""
    at, silent = context.silence
    context.silence = (context.now, (*silent, path) if at == context.now else (path,))
    on_verdict(context, path, verdict)
    if verdict.exceeded:
        context.owner.end(AssociationTimeout("the peer does not answer any more"))
        return False
    return True


def is_counted(context: Context, path: Path) -> bool:
    """Whether T3-rtx of this path tells, or another timer has told, of the silence that a timer which has run out tells
    of: it counts once, or an outage would end the association in half the time that Association.Max.Retrans gives it.
    """
    at, silent = context.silence
    return context.owner.is_timed(path) or (at == context.now and path in silent)


def on_verdict(context: Context, path: Path, verdict: Verdict) -> None:
    """The path may have another state, by its error counter or by other thresholds."""
    if verdict.changed:
        context.emit(PathChanged(path.route.address, path.state))
        # RFC 7829 section 3.2 rules 5 and 6: HEARTBEATs are sent from now on, where they are sent at all; the first one
        # at once, unless one is under way.
        if path.state is POTENTIALLY_FAILED and not path.heartbeat_nonce:
            context.timers.start(timer_key(HEARTBEAT_TIMER, path.path_id), context.now)
    if verdict.switched:
        context.emit(PeerAddressChanged(context.paths.primary.route.address, "primary"))


def on_answer(context: Context, path: Path, became_active: bool, confirmed: bool = False) -> None:
    """The peer answered over this path."""
    if confirmed:
        context.emit(PeerAddressChanged(path.route.address, "confirmed"))
    if became_active or confirmed:
        context.emit(PathChanged(path.route.address, path.state))


def tell_changes(context: Context, paths: list[Path]) -> None:
    """Addresses of ours have come or gone, and with them the use of these paths."""
    for path in paths:
        context.emit(PathChanged(path.route.address, path.state))
