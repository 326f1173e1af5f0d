"""SCTP (RFC 9260) for asyncio, in Python, over UDP (RFC 6951): messages, streams, several addresses for each peer.

    async with asyncsctp.connect("192.0.2.1", 5001) as assoc:
        await assoc.send(b"hello", stream=3, ppid=46)
        message = await assoc.recv()

`connect`, `serve` and `open_endpoint` are the ways in, `Association` is what they lead to.
"""

from __future__ import annotations

from . import _source as _source  # isort: skip  # first: it decides whether what follows is compiled

from . import congestion, schedulers
from .aio.api import connect, open_endpoint, run, serve
from .aio.association import Abandoned, Association, Negotiated, Path
from .aio.driver import EventStream
from .aio.endpoint import Endpoint
from .aio.outlet import PartsOptions, SendOptions
from .aio.processes.workers import WorkerGroup, WorkerSlot
from .aio.reader import Message, Part, StreamReader
from .aio.receipts import Delivery, Receipt
from .aio.server import Server
from .aio.writer import StreamWriter
from .config import Config, LiveChanges, PathChanges
from .errors import (
    AsconfError,
    AssociationAborted,
    AssociationClosed,
    AssociationRefused,
    AssociationTimeout,
    Cause,
    EndOfStream,
    MessageAbandoned,
    MessageTooLarge,
    ReconfigError,
    SCTPError,
)
from .events import (
    AdaptationIndication,
    AssociationDown,
    AssociationRestarted,
    AssociationUp,
    AuthKeyChanged,
    CongestionControllerFailed,
    Event,
    PartialDeliveryAborted,
    PathChanged,
    PeerAddressChanged,
    PeerError,
    PeerShutdown,
    SchedulerFailed,
    SenderDry,
    SendFailed,
    StreamsAdded,
    StreamsReset,
    TsnsReset,
)
from .handlers.state import State
from .path_state import PathState
from .statistics import EndpointStatistics, Statistics
from .wire.octets import COMPILED

#: Whether the core runs compiled, or as plain Python.
compiled: bool = COMPILED

__all__ = ["compiled", "congestion", "connect", "open_endpoint", "run", "schedulers", "serve"]
__all__ += ["Association", "Endpoint", "EventStream", "Server", "StreamReader", "StreamWriter"]
__all__ += ["WorkerGroup", "WorkerSlot"]
__all__ += ["Config", "LiveChanges", "PartsOptions", "PathChanges", "SendOptions"]
__all__ += ["Cause", "Delivery", "EndpointStatistics", "Message", "Part", "Path", "PathState", "Receipt", "State"]
__all__ += ["Abandoned", "Negotiated", "Statistics"]
# Errors.
__all__ += ["AsconfError", "AssociationAborted", "AssociationClosed", "AssociationRefused", "AssociationTimeout"]
__all__ += ["EndOfStream", "MessageAbandoned", "MessageTooLarge", "ReconfigError", "SCTPError"]
# Events.
__all__ += ["AdaptationIndication", "AssociationDown", "AssociationRestarted", "AssociationUp", "AuthKeyChanged"]
__all__ += ["CongestionControllerFailed", "Event", "PartialDeliveryAborted", "PathChanged", "PeerAddressChanged"]
__all__ += ["PeerError", "PeerShutdown", "SchedulerFailed", "SendFailed", "SenderDry"]
__all__ += ["StreamsAdded", "StreamsReset", "TsnsReset"]
