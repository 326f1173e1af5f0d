"""The settings of an endpoint and its associations, checked when they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from .checks import check_bool, check_int, check_number
from .wire.auth import NEVER_AUTHENTICATED, SHA_1, SHA_256
from .wire.constants import ASCONF, ASCONF_ACK, MASK_16, MASK_32, UDP_PORT

if TYPE_CHECKING:
    from .congestion.rfc9260 import CongestionController
    from .schedulers.base import StreamScheduler


class LiveChanges(TypedDict, total=False):
    """The fields of `Config` that a live association can change (`Association.configure`)."""

    rto_initial: float
    rto_min: float
    rto_max: float
    max_retrans: int
    path_max_retrans: int
    heartbeat_interval: float | None
    sack_delay: float
    sack_frequency: int
    cookie_lifetime: float
    shutdown_guard: float | None
    max_burst: int | None
    nodelay: bool
    close_timeout: float
    autoclose: float | None
    recv_buffer: int
    send_buffer: int
    max_message_size: int
    partial_delivery_point: int
    scheduler: Callable[[], StreamScheduler] | None
    congestion: Callable[[int, bool], CongestionController] | None
    reconfig_allowed: frozenset[str]
    pf_threshold: int | None
    primary_switchover: int | None


class PathChanges(TypedDict, total=False):
    """What can be set for one path (`Association.configure_path`)."""

    heartbeat_interval: float | None
    max_retrans: int
    pf_threshold: int | None
    mtu: int | None
    dscp: int


LIVE_FIELDS = frozenset(LiveChanges.__annotations__)

#: What a peer may ask for by RE-CONFIG (RFC 6525), as `Config.reconfig_allowed` names it.
RECONFIG_KINDS = frozenset({"reset_streams", "reset_tsns", "add_streams"})

_MEMORY_LIMIT = 256 * 1024 * 1024

#: RFC 5061 sections 4.1.1 and 4.1.2.
_ALWAYS_DEMANDED = frozenset({ASCONF, ASCONF_ACK})

#: What can be set for one path, and the field that holds for the others.
PATH_FIELDS = {name: name for name in PathChanges.__annotations__} | {"max_retrans": "path_max_retrans"}

# field: (smallest, largest), both allowed
_RANGES: dict[str, tuple[float, float]] = {
    "rto_initial": (0.01, 3600.0),
    "rto_min": (0.01, 3600.0),
    "rto_max": (0.01, 3600.0),
    "max_retrans": (0, 1000),
    "path_max_retrans": (0, 1000),
    "init_max_retrans": (0, 1000),
    "pf_threshold": (0, 1000),
    "primary_switchover": (0, 1000),
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
    "memory_limit": (1 << 16, 1 << 40),
    "mtu": (576, 65535),
    "dscp": (0, 63),
    "udp_port": (1, 65535),
    "auth_active_key": (0, 65535),
    "adaptation_indication": (0, MASK_32),
}


def _check_number(field_name: str, value: object, name: str) -> None:
    """Check the value of a field with a range; `name` is what the user calls it. Raise `TypeError` or `ValueError`."""
    kind = _KINDS[field_name]
    or_none = " or None" if kind.endswith("None") else ""
    if value is None and or_none:
        return
    smallest, largest = _RANGES[field_name]
    if kind.startswith("int"):
        check_int(name, value, smallest, largest, f"an int{or_none}")
    else:
        check_number(name, value, smallest, largest, f"a number{or_none}")


def check_path_setting(name: str, value: object) -> None:
    """Raise `TypeError` or `ValueError` for what can't be set for a path, or not to this value."""
    if name not in PATH_FIELDS:
        raise ValueError(f"{name} can't be set for a path; these can: {', '.join(sorted(PATH_FIELDS))}")
    _check_number(PATH_FIELDS[name], value, name)


def check_auth_key(key_id: object, key: object) -> None:
    """Raise `TypeError` or `ValueError` for what is no shared key and its id (RFC 4895)."""
    check_int("a key id", key_id, 0, MASK_16)
    if not isinstance(key, bytes):
        raise TypeError(f"a key must be bytes, not {type(key).__name__}")
    if not key and key_id:
        raise ValueError("a key must not be empty; only key 0 may, which then is the one without a secret")


_NO_KEYS: Mapping[int, bytes] = {}  # the same for all settings without keys


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
    * `pf_threshold`: an address with more time-outs in a row than that may have failed, and data avoids it where there
      is another (RFC 7829 section 3.2, which recommends 0, the default); `None`: data avoids only one that has failed.
    * `primary_switchover`: with more time-outs in a row than that the primary path loses its place for good (RFC 7829
      section 5). At least `pf_threshold`, or `path_max_retrans` where that is `None`; `None`: it keeps its place.
    * `heartbeat_interval`: seconds between HEARTBEATs on an idle path, beside its RTO; `None`: none on confirmed paths.
      The default is that of the RFC. They keep the bindings of NATs alive, and with UDP encapsulation it SHOULD be
      lowered to 15 (draft udp-encaps-cons section 5): do so where there are NATs.
    * `sack_delay` (0 to 0.5) and `sack_frequency`: a SACK after so long, or so many packets (section 6.2).
    * `cookie_lifetime`: how long a state cookie may be used (section 5.1.3); of a live association: those by which its
      peer restarts it, at most twice as long as the endpoint's.
    * `shutdown_guard`: T5, the longest that a shutdown may take; `None`: five times `rto_max` (section 9.2).
    * `max_burst`: how many packets may be sent for each SACK (section 6.1 D, where the default is 4); `None`: a quarter
      of a window that lies idle, ten packets at the least, then twice what is acknowledged (docs/benchmarks.md has the
      measurement).
    * `nodelay`: send small messages at once, or wait while data is in flight (section 6.1, Nagle's algorithm).
    * `close_timeout`: how long `close()` waits for its graceful end before it aborts, and `wait_closed()` for the last
      word of a peer that has shut down.
    * `autoclose`: close an association that carried no message for so long; `None`: never.

    Streams and buffers:

    * `outgoing_streams`, `max_incoming_streams`: asked for and allowed at setup (1 to 65535).
    * `recv_buffer`: the receiver window announced (a_rwnd); at most half of the buffer that the system grants the UDP
      socket, and cut to that without an error.
    * `send_buffer`: bytes written and not yet acknowledged above which `drain()` waits.
    * `max_message_size`: the longest message sent, and the longest accepted from the peer; not of what is written or
      read in parts.
    * `partial_delivery_point`: how much of a message must have arrived before `StreamReader.parts` gives a first part
      of one that is not complete (RFC 6458 section 8.1.21).
    * `memory_limit`: what all associations of an endpoint may hold together of their peers' data, those that have
      ended and are not read to the end included, and of the state of the streams that these use; each may hold as much
      as it leaves to the others, and 4,096 bytes in any case. `None`: 256 MiB, or four times `recv_buffer` and
      `max_message_size` together if that is more. Only the endpoint's setting counts, not that of one association.

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
    * `auth`: chunks may be authenticated (RFC 4895). `auth_chunks` are the chunk types that the peer must authenticate:
      with any of them a peer that can't is refused. `auth_hmacs` are the HMAC identifiers that we take, the preferred
      first: 3 is SHA-256 and 1 is SHA-1, which must be among them. `auth_keys` are the shared keys by id (0 to 65535),
      and `auth_active_key` the one to send with; without any it is key 0, the empty one, which proves no more than
      that its sender saw the handshake.
    * `dynamic_addresses`: addresses may be added and removed (RFC 5061); it takes `auth`, and implies it.
      `auto_asconf`: they follow those of the machine, whatever `local_addrs` were: addresses that come are bound and
      added where a peer can be reached from them, addresses that go are removed, and while there is none the
      association waits for the next. What the machine has at the beginning and `local_addrs` does not is left aside
      until there is nothing else. An endpoint at all of the machine's addresses tells each peer of them. Deprecated
      and temporary IPv6 addresses are not taken up.
    * `nat_support`: several associations of one address and port are told apart, restarts are disabled, and a peer
      whose address changes is found again (draft natsupp).
    * `adaptation_indication`: a number of 32 bits for the layer above the peer's SCTP; `None`: none.
    """

    rto_initial: float = 1.0
    rto_min: float = 1.0
    rto_max: float = 60.0
    max_retrans: int = 10
    path_max_retrans: int = 5
    pf_threshold: int | None = 0
    primary_switchover: int | None = None
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
    memory_limit: int | None = None

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
    auth: bool = False
    auth_chunks: frozenset[int] = frozenset()
    auth_hmacs: tuple[int, ...] = (SHA_256, SHA_1)
    auth_keys: Mapping[int, bytes] = field(default_factory=lambda: _NO_KEYS, repr=False, hash=False)
    auth_active_key: int = 0
    dynamic_addresses: bool = False
    auto_asconf: bool = False
    nat_support: bool = False
    adaptation_indication: int | None = None

    _windowed: Config | None = field(default=None, init=False, repr=False, compare=False)  # of `with_window`

    def __post_init__(self) -> None:
        for name in _RANGES:
            _check_number(name, getattr(self, name), name)
        for name, kind in _KINDS.items():
            if kind == "bool":
                check_bool(name, getattr(self, name))
        for name in ("scheduler", "congestion"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a class or a factory, not {getattr(self, name)!r}")
        if not isinstance(self.reconfig_allowed, (set, frozenset)):
            raise TypeError(f"reconfig_allowed must be a set or frozenset, not {self.reconfig_allowed!r}")
        if not self.reconfig_allowed <= RECONFIG_KINDS:
            allowed = ", ".join(sorted(RECONFIG_KINDS))
            raise ValueError(f"reconfig_allowed must be made of {allowed}, not {set(self.reconfig_allowed)!r}")
        if self.rto_min > self.rto_max:
            raise ValueError(f"rto_min must be at most rto_max ({self.rto_max}), not {self.rto_min}")
        least = self.path_max_retrans if self.pf_threshold is None else self.pf_threshold
        if self.primary_switchover is not None and self.primary_switchover < least:
            name = "path_max_retrans" if self.pf_threshold is None else "pf_threshold"
            raise ValueError(f"primary_switchover must be at least {name} ({least}), not {self.primary_switchover}")
        self._check_auth()

    def _check_auth(self) -> None:
        if not isinstance(self.auth_chunks, (set, frozenset)):
            raise TypeError(f"auth_chunks must be a set or frozenset, not {self.auth_chunks!r}")
        for kind in self.auth_chunks:
            check_int("a chunk type in auth_chunks", kind)
            if not 0 <= kind <= 255 or kind in NEVER_AUTHENTICATED:
                raise ValueError(f"auth_chunks must hold chunk types from 0 to 255 but 1, 2, 14 and 15, not {kind}")
        if not isinstance(self.auth_hmacs, tuple):
            raise TypeError(f"auth_hmacs must be a tuple, not {self.auth_hmacs!r}")
        if self.auth_hmacs not in ((SHA_1,), (SHA_256, SHA_1), (SHA_1, SHA_256)):
            raise ValueError(f"auth_hmacs must be made of 3 and 1, and have 1, not {self.auth_hmacs!r}")
        if not isinstance(self.auth_keys, Mapping):
            raise TypeError("auth_keys must be a mapping of ids to bytes")
        for key_id, key in self.auth_keys.items():
            check_auth_key(key_id, key)
        if self.auth_keys:
            object.__setattr__(self, "auth_keys", dict(self.auth_keys))  # what the caller does to his changes nothing
        if (self.auth_keys or self.auth_active_key) and self.auth_active_key not in self.auth_keys:
            known = ", ".join(map(str, sorted(self.auth_keys))) or "there are none"
            raise ValueError(f"auth_active_key must be an id in auth_keys ({known}), not {self.auth_active_key}")
        if not self.offers_auth and (self.auth_chunks or self.auth_keys):
            raise ValueError("auth must be True for auth_chunks and auth_keys to mean anything")
        if self.auto_asconf and not self.dynamic_addresses:
            raise ValueError("dynamic_addresses must be True for auto_asconf to mean anything")

    @property
    def budget(self) -> int:
        """The bytes of `memory_limit`, or what stands for None."""
        if self.memory_limit is not None:
            return self.memory_limit
        return max(_MEMORY_LIMIT, 4 * (self.recv_buffer + self.max_message_size))

    @property
    def offers_auth(self) -> bool:
        """True if authentication is offered to peers (RFC 4895): changing addresses takes it (RFC 5061 section 4.1)."""
        return self.auth or self.dynamic_addresses

    @property
    def demanded_chunks(self) -> frozenset[int]:
        """The chunk types that a peer must authenticate."""
        return frozenset(self.auth_chunks | _ALWAYS_DEMANDED if self.dynamic_addresses else self.auth_chunks)

    def with_window(self, size: int) -> Config:
        """Return a copy with this `recv_buffer`, the same object as long as it is asked for the same."""
        known = self._windowed
        if known is None or known.recv_buffer != size:
            known = self.replace(recv_buffer=size)
            object.__setattr__(self, "_windowed", known)
        return known

    def replace(self, **changes: Any) -> Config:
        """Return a copy with these fields changed, checked as a new one is."""
        return dataclasses.replace(self, **changes)


#: The type of each field, as it is written: "bool", "int", "float | None"...
_KINDS = {each.name: str(each.type) for each in dataclasses.fields(Config)}
