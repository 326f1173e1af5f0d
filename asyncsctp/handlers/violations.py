"""What the peer complains about, and what we complain about: ERROR, ABORT, unknown chunks (RFC 9260 sections 3.2,
3.3.7, 3.3.10).
"""

from __future__ import annotations

from typing import Final, final

from ..errors import AssociationAborted, Cause
from ..events import PeerError
from ..wire import causes, control, tlv
from ..wire.constants import ABORT
from .context import Context
from .state import CLOSED

_REPORTS_A_PACKET: Final = 8  # unknown chunks of one packet that are reported; a packet can hold hundreds


@final
class Violations:
    """The errors of one association, in both directions."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def on_unknown_chunk(self, chunk: bytes, path_id: int, reported: int) -> bool:
        """Treat a chunk type that was not negotiated as its two high bits ask (section 3.2); return whether the packet
        goes on. `reported` is how many of this packet have come before it.
        """
        self._context.statistics.unknown_chunks += 1
        kind = chunk[0]
        # Section 5.1 C: before the COOKIE ACK nothing is sent but the COOKIE ECHO.
        if self._context.setup is not None and tlv.reports_chunk(kind) and reported < _REPORTS_A_PACKET:
            self.report(causes.pack_unrecognized_chunk(chunk), path_id)
        return tlv.skips_chunk(kind)

    def report(self, cause: bytes, path_id: int) -> None:
        """Send an ERROR with this cause to where the packet at fault came from, if that is the peer's address for
        sure.
        """
        if self._context.state is CLOSED:
            return  # section 9.1: nothing answers a packet with an ABORT
        paths = self._context.paths
        self._context.answer(control.pack_error(cause), paths.reply_path(paths.by_id[path_id]).path_id)

    def on_error(self, found: tuple[Cause, ...]) -> None:
        """Tell the user of an ERROR with these causes, which is not fatal by itself (section 3.3.10)."""
        if found:
            self._context.emit(PeerError(found))

    def on_abort(self, found: tuple[Cause, ...]) -> None:
        """End the association for an ABORT whose tag was right, with these causes (section 9.1)."""
        reason = "; ".join(map(str, found))
        text = "the peer aborted the association" + (f": {reason}" if reason else "")
        self._context.owner.end(AssociationAborted(text, found, by_peer=True))

    def no_user_data(self, wire_tsn: int) -> None:
        """Abort for a DATA chunk without user data, and say which it was (section 6.2)."""
        if self._is_only_counted():
            return
        cause = causes.pack_no_user_data(wire_tsn)
        self._context.abort(cause, AssociationAborted("the peer sent a DATA chunk without user data"))

    def protocol_violation(self, text: str) -> None:
        """Abort with a Protocol Violation cause: the peer did what has no other answer (section 3.3.10.13)."""
        if self._is_only_counted():
            return
        cause = causes.pack_protocol_violation(text)
        self._context.abort(cause, AssociationAborted(f"the peer violated the protocol: {text}"))

    def out_of_resource(self, text: str) -> None:
        """Abort: there is no space for what the peer has begun, and none will come about (section 3.3.10.4)."""
        self._context.abort(causes.pack_out_of_resource(), AssociationAborted(text))

    def _is_only_counted(self) -> bool:
        """Return whether a violation is only counted: a peer whose ABORT must be authenticated can't bring one about by
        what is not (RFC 4895 section 6.3).
        """
        keyring = self._context.keyring
        if keyring is None or keyring.is_proven or ABORT not in keyring.demands:
            return False
        self._context.statistics.malformed_packets += 1
        return True
