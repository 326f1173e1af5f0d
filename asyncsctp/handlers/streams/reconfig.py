"""Stream reconfiguration: the verbs of the user, and RE-CONFIG chunks (RFC 6525).

Made at the first request of either side. Our requests are sent by `reconfig_requester`, the peer's carried out by
`reconfig_responder`; `outgoing_streams` is what both may do to the streams that we send on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ...errors import ReconfigError
from ...paths.path import Path
from ...wire import causes
from ...wire.constants import (
    MASK_32,
    PARAM_ADD_INCOMING_STREAMS,
    PARAM_ADD_OUTGOING_STREAMS,
    PARAM_INCOMING_RESET,
    PARAM_OUTGOING_RESET,
    PARAM_TSN_RESET,
)
from ...wire.reconfig import is_allowed, pack_reconfig, read_reconfig
from ..context import Context
from ..data.receiver import DataReceiver
from ..request import Ticket
from ..state import ESTABLISHED
from .outgoing_streams import OutgoingStreams
from .reconfig_requester import ReconfigRequester, RequestPart, StreamRequest
from .reconfig_responder import MOST_STREAMS, ReconfigResponder

#: Ids in one request, so that it fits into any packet.
_MOST_LISTED: Final = 200


@final
class Reconfig:
    """Stream reconfiguration of one association."""

    __slots__ = ("_context", "_outgoing", "_receiver", "requester", "responder")

    def __init__(
        self,
        context: Context,
        outgoing: OutgoingStreams,
        receiver: DataReceiver,
        first_number: int,
        first_peer_number: int,
    ) -> None:
        """Request numbers begin with the initial TSNs (section 4.1)."""
        self._context = context
        self._outgoing = outgoing
        self._receiver = receiver
        last_number = first_peer_number - 1 & MASK_32
        self.requester: Final = ReconfigRequester(context, outgoing, receiver, first_number, last_number)
        self.responder: Final = ReconfigResponder(context, outgoing, receiver, self.requester, first_peer_number)

    # What the user says.

    def reset_streams(self, outgoing: Sequence[int] | None, incoming: Sequence[int] | None) -> Ticket:
        """Reset these streams; an empty list means all, None none.

        Our own are reset after what was written to them before. `ValueError` for an id out of range, or if nothing is
        asked for. `ReconfigError` if the association is shutting down.
        """
        self._check_state()
        if outgoing is None and incoming is None:
            raise ValueError("outgoing, incoming or both must be given")
        ours = _parts(PARAM_OUTGOING_RESET, "outgoing", outgoing, self._outgoing.count)
        theirs = _parts(PARAM_INCOMING_RESET, "incoming", incoming, self._receiver.incoming_streams)
        parts = ours + theirs
        fits = len(parts) == 1 or (len(parts) == 2 and sum(len(part.streams) for part in parts) <= _MOST_LISTED)
        ticket = Ticket()
        requests = [StreamRequest(each, ticket) for each in ([parts] if fits else [[part] for part in parts])]
        for request in requests:
            self.requester.push(request)
        return ticket

    def close_stream(self, sid: int) -> Ticket:
        """Reset this outgoing stream after what was written to it; together with others for which this was called
        before, as long as their request has not left.
        """
        self._check_state()
        ticket = self.requester.join(sid, _MOST_LISTED)
        return ticket or self._push([RequestPart(PARAM_OUTGOING_RESET, (sid,))], is_closing=True)

    def reset_tsns(self) -> Ticket:
        """Let all TSNs and stream sequence numbers begin anew, once all that was written has been acknowledged."""
        self._check_state()
        return self._push([RequestPart(PARAM_TSN_RESET)])

    def add_streams(self, outgoing: int, incoming: int) -> Ticket:
        """Add so many streams. `ValueError` if that makes more than 65535, or is nothing at all."""
        self._check_state()
        parts = [
            _addition(PARAM_ADD_OUTGOING_STREAMS, "outgoing", outgoing, self._outgoing.count),
            _addition(PARAM_ADD_INCOMING_STREAMS, "incoming", incoming, self._receiver.incoming_streams),
        ]
        if not outgoing and not incoming:
            raise ValueError("outgoing or incoming must be above 0")
        return self._push([part for part in parts if part.count])

    def _push(self, parts: list[RequestPart], *, is_closing: bool = False) -> Ticket:
        ticket = Ticket()
        self.requester.push(StreamRequest(parts, ticket, is_closing=is_closing))
        return ticket

    def _check_state(self) -> None:
        if self._context.state is not ESTABLISHED:
            raise ReconfigError(f"streams can't be reconfigured in state {self._context.state.value}")

    def is_unused(self, sid: int) -> bool:
        """Return whether nothing was written to this stream since its numbers began with 0."""
        return self._outgoing.is_unused(sid)

    # What the peer says.

    def on_reconfig(self, data: bytes, at: int, end: int, path: Path) -> None:
        """Take in a RE-CONFIG chunk whose parameters are between `at` and `end` (section 5.2.1)."""
        context = self._context
        found, unknown = read_reconfig(data, at, end)
        if unknown:
            context.report(causes.pack_unrecognized_parameters(unknown), path.path_id)
        if not is_allowed(found):
            context.statistics.unexpected_chunks += 1
            if found:
                cause = causes.pack_protocol_violation("parameters that may not stand together in a RE-CONFIG")
                context.report(cause, path.path_id)
            return
        answers: list[bytes] = []
        for parameter in found:
            if not parameter.is_response:
                answer = self.responder.on_request(parameter)
                if answer:
                    answers.append(answer)
            elif not self.requester.on_response(parameter):
                context.statistics.unexpected_chunks += 1
        if len(answers) == 1 and self.requester.advance(answers[0]):
            return
        if answers:
            context.answer(pack_reconfig(answers), context.paths.reply_path(path).path_id)

    # What progress and the end say.

    def advance(self) -> bool:
        """Go on with what waited for data to leave or to come; true if there is something to send."""
        sends = self.responder.advance()
        if not self.requester.queue:
            return sends
        if self._context.state is not ESTABLISHED:
            self.requester.give_up("the association is shutting down")
            return True
        return self.requester.advance() or sends

    def end(self, reason: str) -> None:
        """Give up all requests of both sides: the association has ended, or the peer has restarted it."""
        self.responder.end()
        self.requester.end(reason)


def _parts(kind: int, name: str, streams: Sequence[int] | None, count: int) -> list[RequestPart]:
    """Return what resets these of `count` streams, in pieces that fit into a request each: one with no ids for all."""
    if streams is None:
        return []
    for sid in streams:
        if not 0 <= sid < count:
            raise ValueError(f"{name} must hold ids between 0 and {count - 1}, not {sid}")
    listed = tuple(dict.fromkeys(streams))
    if not listed or len(listed) == count:
        return [RequestPart(kind)]
    return [RequestPart(kind, listed[at : at + _MOST_LISTED]) for at in range(0, len(listed), _MOST_LISTED)]


def _addition(kind: int, name: str, count: int, there: int) -> RequestPart:
    if not 0 <= count <= MOST_STREAMS - there:
        raise ValueError(f"{name} must be between 0 and {MOST_STREAMS - there}, not {count}")
    return RequestPart(kind, count=count)
