"""What an association tells its user besides messages (RFC 6458 section 6.1), as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Cause, SCTPError
from .path_state import PathState


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events."""


@dataclass(frozen=True, slots=True)
class AssociationUp(Event):
    """The handshake is complete; the numbers are the streams in force."""

    outgoing_streams: int
    incoming_streams: int


@dataclass(frozen=True, slots=True)
class AssociationRestarted(Event):
    """The peer lost its state and set the association up anew (RFC 9260 section 5.2.4 action A)."""


@dataclass(frozen=True, slots=True)
class AssociationDown(Event):
    """The association has ended; `error` is None after a graceful shutdown."""

    error: SCTPError | None


@dataclass(frozen=True, slots=True)
class PathChanged(Event):
    """An address of the peer changed its state: it was confirmed, has failed, may have failed by
    `Config.pf_threshold` (RFC 7829 section 3.2 rule 12), or works again.
    """

    address: str
    state: PathState


@dataclass(frozen=True, slots=True)
class PeerAddressChanged(Event):
    """An address of the peer was `"added"`, `"confirmed"` or `"removed"`, or became our `"primary"` (RFC 5061).

    The latter also where `Config.primary_switchover` has made it that (RFC 7829 section 5).
    """

    address: str
    state: str


@dataclass(frozen=True, slots=True)
class CongestionControllerFailed(Event):
    """A congestion controller of `Config.congestion`, or what makes it, made a mistake, which `error` describes: it
    raised, or has a window that is no int. From now on the built-in one decides for that path (RFC 9260 section 7.2).
    """

    error: Exception


@dataclass(frozen=True, slots=True)
class SchedulerFailed(Event):
    """The scheduler of `Config.scheduler` made a mistake, which `error` describes: it raised, or chose a stream with
    nothing to send. From now on messages leave in the order in which they were written; none is lost.
    """

    error: Exception


@dataclass(frozen=True, slots=True)
class SendFailed(Event):
    """A message could not be delivered; `sent` tells whether any of it had left."""

    stream: int
    ppid: int
    data: bytes
    context: object
    sent: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SenderDry(Event):
    """All that was written has been acknowledged (RFC 6458 section 6.1.9)."""


@dataclass(frozen=True, slots=True)
class PeerError(Event):
    """The peer reported errors in an ERROR chunk (RFC 9260 section 3.3.10)."""

    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class PeerShutdown(Event):
    """The peer has begun to shut down: it takes no new messages (RFC 9260 section 9.2)."""


@dataclass(frozen=True, slots=True)
class PartialDeliveryAborted(Event):
    """A message of which `StreamReader.parts` had given a part will not be completed (RFC 6458 section 6.1.7)."""

    stream: int


@dataclass(frozen=True, slots=True)
class AdaptationIndication(Event):
    """What the peer's INIT or INIT ACK indicated of the layer above (RFC 5061 section 4.2.6); 0 to 2^32 - 1."""

    value: int


@dataclass(frozen=True, slots=True)
class AuthKeyChanged(Event):
    """Something about a shared key changed (RFC 4895, RFC 6458 section 6.1.8).

    `what`: `"new"`, the peer has begun to use this key; `"free"`, it was deactivated and is used for sending no more,
    so it can be deleted; `"no-auth"`, the peer does not authenticate, whatever the key.
    """

    key_id: int
    what: str


@dataclass(frozen=True, slots=True)
class StreamsReset(Event):
    """Streams began anew with sequence number 0, ours if `outgoing`, else the peer's (RFC 6525 section 6.1.1).

    `streams` are their ids; all, if it is empty. `result` is `"ok"`, `"denied"` or `"failed"`.
    """

    outgoing: bool
    streams: tuple[int, ...]
    result: str


@dataclass(frozen=True, slots=True)
class TsnsReset(Event):
    """All TSNs and stream sequence numbers began anew (RFC 6525 section 6.1.2). `result` as of `StreamsReset`."""

    result: str


@dataclass(frozen=True, slots=True)
class StreamsAdded(Event):
    """There are more streams (RFC 6525 section 6.1.3); the numbers are totals. `result` as of `StreamsReset`."""

    outgoing: int
    incoming: int
    result: str
