"""What follows when a path or the peer stops answering, or answers again (RFC 9260 sections 8.1 and 8.2).

The counters are in `paths`; here their verdicts become events and, at the limit, the end of the association.
"""

from __future__ import annotations

from ..errors import AssociationTimeout
from ..events import PathChanged, PathState, PeerAddressChanged
from ..paths.path import Path
from ..paths.path_manager import Verdict
from .context import Context

__all__ = ["on_answer", "on_silence"]


def on_silence(context: Context, path: Path, verdict: Verdict) -> bool:
    """A time-out was counted against this path; whether the association goes on."""
    if verdict.inactive:
        context.emit(PathChanged(path.route.address, PathState.INACTIVE))
    if verdict.exceeded:
        context.owner.end(AssociationTimeout("the peer does not answer any more"))
        return False
    return True


def on_answer(context: Context, path: Path, became_active: bool, confirmed: bool = False) -> None:
    """The peer answered over this path."""
    if confirmed:
        context.emit(PeerAddressChanged(path.route.address, "confirmed"))
    if became_active or confirmed:
        context.emit(PathChanged(path.route.address, PathState.ACTIVE))
