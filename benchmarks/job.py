"""What one run is asked to do, as both of its processes hear it: one JSON object on the command line."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

__all__ = ["ADDRESS", "END", "Job", "Results"]

ADDRESS = "127.0.0.1"
#: The message after which a sink reports what it has received. Others are longer.
END = b"\0"

Results = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run of one scenario. Sizes are bytes, times seconds."""

    scenario: str
    kind: str
    seconds: float
    size: int = 64
    batch: bool = False
    #: Associations held (memory, scale), or kept in the making at a time (setup).
    count: int = 1
    #: Processes of the server (workers).
    workers: int = 1
    #: How long nothing is done, while CPU time is counted (scale).
    idle: float = 1.0
    #: Seconds between HEARTBEATs; 0 is the stack's default.
    heartbeat: float = 0.0
    #: The largest IP packet, with its IP and UDP headers.
    mtu: int = 1500
    #: Asked for as SO_RCVBUF and SO_SNDBUF.
    buffer: int = 4 << 20
    loop: str = "uvloop"
    #: The name of a profiler, or nothing.
    profile: str = ""
    #: Where the server is; it tells.
    port: int = 0

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Job:
        """From JSON."""
        return cls(**json.loads(text))
