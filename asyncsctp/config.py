"""The settings of an endpoint and its associations, checked when they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .wire.constants import UDP_PORT

if TYPE_CHECKING:
    from .congestion.base import CongestionController
    from .schedulers.base import StreamScheduler

__all__ = ["Config"]

#: The fields that a live association can change.
LIVE_FIELDS = frozenset(
    {
        "rto_initial", "rto_min", "rto_max", "max_retrans", "path_max_retrans", "heartbeat_interval", "sack_delay",
        "sack_frequency", "cookie_lifetime", "shutdown_guard", "max_burst", "nodelay", "close_timeout", "autoclose",
        "recv_buffer", "send_buffer", "max_message_size", "partial_delivery_point", "scheduler", "congestion",
        "reconfig_allowed",
    }
)  # fmt: skip

#: What a peer may ask for by RE-CONFIG (RFC 6525), as `Config.reconfig_allowed` names it.
RECONFIG_KINDS = frozenset({"reset_streams", "reset_tsns", "add_streams"})

# field: (smallest, largest), both allowed
_RANGES: dict[str, tuple[float, float]] = {
    "rto_initial": (0.01, 3600.0),
    "rto_min": (0.01, 3600.0),
    "rto_max": (0.01, 3600.0),
    "max_retrans": (0, 1000),
    "path_max_retrans": (0, 1000),
    "init_max_retrans": (0, 1000),
    "heartbeat_interval": (0.01, 86400.0),
    "sack_delay": (0.0, 0.5),  # RFC 9260 section 6.2: MUST NOT be above 500 ms
    "sack_frequency": (1, 1000),
    "cookie_lifetime": (0.1, 3600.0),
    "shutdown_guard": (0.01, 86400.0),
    "max_burst": (1, 1_000_000),
    "close_timeout": (0.0, 86400.0),
    "autoclose": (0.01, 86400.0),
    "outgoing_streams": (1, 65535),
    "max_incoming_streams": (1, 65535),
    "recv_buffer": (4096, 1 << 30),
    "send_buffer": (1, 1 << 30),
    "max_message_size": (1, 1 << 30),
    "partial_delivery_point": (1, 1 << 30),
    "mtu": (576, 65535),
    "dscp": (0, 63),
    "udp_port": (1, 65535),
}
_OPTIONAL = frozenset({"heartbeat_interval", "shutdown_guard", "max_burst", "autoclose", "mtu"})
_INTEGERS = frozenset(
    {
        "max_retrans", "path_max_retrans", "init_max_retrans", "sack_frequency", "max_burst", "outgoing_streams",
        "max_incoming_streams", "recv_buffer", "send_buffer", "max_message_size", "partial_delivery_point", "mtu",
        "dscp", "udp_port",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of an endpoint and of the associations made by it.

    Times are seconds, sizes are bytes. A value out of range is a `ValueError`, one of the wrong type a `TypeError`;
    both name the field and what is allowed. Defaults are those of RFC 9260 section 16 where it has one.

    Timers and limits:

    * `rto_initial`, `rto_min`, `rto_max`: bounds of the retransmission time-out (0.01 to 3600), for T1, T2 and T3.
    * `max_retrans`: consecutive retransmissions before the peer counts as unreachable (section 8.1).
    * `path_max_retrans`: the same for one of its addresses (section 8.2).
    * `init_max_retrans`: retransmissions of INIT and COOKIE ECHO (section 5.1).
    * `heartbeat_interval`: seconds between HEARTBEATs on an idle path, beside its RTO; `None`: none on confirmed paths.
    * `sack_delay` (0 to 0.5) and `sack_frequency`: a SACK after so long, or so many packets (section 6.2).
    * `cookie_lifetime`: how long a state cookie may be used (section 5.1.3).
    * `shutdown_guard`: T5, the longest that a shutdown may take; `None`: five times `rto_max` (section 9.2).
    * `max_burst`: packets sent at one opportunity (section 6.1 D); `None`: no limit
      (docs/benchmarks.md has the measurement behind this default; the RFC's is 4).
    * `nodelay`: send small messages at once, or wait while data is in flight (section 6.1, Nagle's algorithm).
    * `close_timeout`: how long `close()` waits for its graceful end before it aborts.
    * `autoclose`: close an association that carried no message for so long; `None`: never.

    Streams and buffers:

    * `outgoing_streams`, `max_incoming_streams`: asked for and allowed at setup (1 to 65535).
    * `recv_buffer`: the receiver window announced (a_rwnd); it is bounded by what the system grants the UDP socket.
    * `send_buffer`: bytes written and not yet acknowledged above which `drain()` waits.
    * `max_message_size`: the longest message sent, and the longest accepted from the peer; not of what is written or
      read in parts.
    * `partial_delivery_point`: how much of a message must have arrived before `StreamReader.parts` gives a first part
      of one that is not complete (RFC 6458 section 8.1.21).

    Path:

    * `mtu`: the largest IP packet, with its IP and UDP headers; `None`: 1280 at first, less where the system says so.
    * `dscp`: the differentiated services code point of packets sent (0 to 63).
    * `udp_port`: the UDP port of peers not yet heard from.

    Plug-ins: `scheduler` and `congestion` take a class or another factory; `None` is the built-in one.

    Extensions, in force where both sides offer them:

    * `partial_reliability`: messages may be abandoned (RFC 3758 and RFC 7496).
    * `interleaving`: a long message does not hold up those of other streams (RFC 8260, I-DATA). Off unless asked for,
      as section 2.2.1 has it: what arrives in pieces of several messages at a time takes more memory.
    * `stream_reconfig`: streams may be reset and added (RFC 6525). `reconfig_allowed` is what a peer may ask for, of
      `"reset_streams"`, `"reset_tsns"` and `"add_streams"`; what is not in it is denied.
    * `ecn`: explicit congestion notification (RFC 4960 appendix A).
    """

    rto_initial: float = 1.0
    rto_min: float = 1.0
    rto_max: float = 60.0
    max_retrans: int = 10
    path_max_retrans: int = 5
    init_max_retrans: int = 8
    heartbeat_interval: float | None = 30.0
    sack_delay: float = 0.2
    sack_frequency: int = 2
    cookie_lifetime: float = 60.0
    shutdown_guard: float | None = None
    max_burst: int | None = None
    nodelay: bool = True
    close_timeout: float = 30.0
    autoclose: float | None = None

    outgoing_streams: int = 1024
    max_incoming_streams: int = 65535
    recv_buffer: int = 2 * 1024 * 1024
    send_buffer: int = 1024 * 1024
    max_message_size: int = 16 * 1024 * 1024
    partial_delivery_point: int = 64 * 1024

    mtu: int | None = None
    dscp: int = 0
    udp_port: int = UDP_PORT

    scheduler: Callable[[], StreamScheduler] | None = None
    congestion: Callable[[int, bool], CongestionController] | None = None

    partial_reliability: bool = True
    interleaving: bool = False
    stream_reconfig: bool = True
    reconfig_allowed: frozenset[str] = RECONFIG_KINDS
    ecn: bool = True

    def __post_init__(self) -> None:
        for field, (smallest, largest) in _RANGES.items():
            value = getattr(self, field)
            if value is None and field in _OPTIONAL:
                continue
            kind = int if field in _INTEGERS else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind):
                wanted = "an int" if field in _INTEGERS else "a number"
                raise TypeError(f"{field} must be {wanted}{' or None' if field in _OPTIONAL else ''}, not {value!r}")
            if not smallest <= value <= largest:
                raise ValueError(f"{field} must be between {smallest} and {largest}, not {value!r}")
        for field in ("nodelay", "partial_reliability", "interleaving", "stream_reconfig", "ecn"):
            if not isinstance(getattr(self, field), bool):
                raise TypeError(f"{field} must be a bool, not {getattr(self, field)!r}")
        for field in ("scheduler", "congestion"):
            if getattr(self, field) is not None and not callable(getattr(self, field)):
                raise TypeError(f"{field} must be a class or a factory, not {getattr(self, field)!r}")
        if not isinstance(self.reconfig_allowed, (set, frozenset)):
            raise TypeError(f"reconfig_allowed must be a set or frozenset, not {self.reconfig_allowed!r}")
        if not self.reconfig_allowed <= RECONFIG_KINDS:
            allowed = ", ".join(sorted(RECONFIG_KINDS))
            raise ValueError(f"reconfig_allowed must be made of {allowed}, not {set(self.reconfig_allowed)!r}")
        if self.rto_min > self.rto_max:
            raise ValueError(f"rto_min must be at most rto_max ({self.rto_max}), not {self.rto_min}")

    def replace(self, **changes: Any) -> Config:
        """A copy with these fields changed, checked as a new one is."""
        return dataclasses.replace(self, **changes)
