"""What an association shows of itself, as it was when it was asked for: its paths, and what was negotiated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from ..handlers.setup.negotiation import Setup
from ..path_state import PathState
from .session import Session


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """One of the peer's addresses, as it was when it was asked for (RFC 9260 sections 6.3, 7.2 and 8.2).

    Times are seconds: `srtt` and `rttvar` are None before the first measurement. `cwnd`, `ssthresh` and `flight` are
    bytes; `mtu` is the largest IP packet. `local` is our address that packets leave from, `udp_port` the peer's UDP
    port. `error_count` are the time-outs since the last answer: above `max_retrans` the path is INACTIVE, and above
    `pf_threshold`, where that is not None, POTENTIALLY_FAILED (RFC 7829). `heartbeat_interval` and `dscp` are as in
    `Config`; `Association.configure_path` changes the last four, and `mtu`.
    """

    address: str
    state: PathState
    primary: bool
    srtt: float | None
    rttvar: float | None
    rto: float
    cwnd: int
    ssthresh: int
    flight: int
    mtu: int
    error_count: int
    local: str
    udp_port: int
    heartbeat_interval: float | None
    max_retrans: int
    pf_threshold: int | None
    dscp: int


def paths_of(session: Session) -> list[Path]:
    """Return what is known of the way to each of the peer's addresses."""
    core = session.core
    manager = core.path_manager
    return [
        Path(
            address=path.route.address,
            state=path.state,
            primary=path is manager.primary,
            srtt=path.rto.srtt if path.rto.measured else None,
            rttvar=path.rto.rttvar if path.rto.measured else None,
            rto=path.rto.rto,
            cwnd=path.congestion.cwnd,
            ssthresh=path.congestion.ssthresh,
            flight=core.in_flight(path.path_id),
            mtu=path.mtu,
            error_count=path.error_count,
            local=path.route.local,
            udp_port=path.route.udp_port,
            heartbeat_interval=path.settings.heartbeat_interval,
            max_retrans=path.settings.max_retrans,
            pf_threshold=path.settings.pf_threshold,
            dscp=session.engine.core.config.dscp if path.settings.dscp < 0 else path.settings.dscp,
        )
        for path in manager.paths
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Negotiated:
    """The extensions in force: those that both sides offered. Named as in `Config`; `"ecn" in negotiated` asks the
    same.
    """

    partial_reliability: bool = False
    interleaving: bool = False
    stream_reconfig: bool = False
    ecn: bool = False
    auth: bool = False
    dynamic_addresses: bool = False
    nat_support: bool = False

    @classmethod
    def of(cls, setup: Setup | None) -> Negotiated:
        """Return what a handshake has agreed on; nothing before there was one."""
        if setup is None:
            return cls()
        return cls(
            partial_reliability=setup.extensions.partial_reliability,
            interleaving=setup.extensions.interleaving,
            stream_reconfig=setup.extensions.stream_reconfig,
            ecn=setup.ecn,
            auth=setup.auth is not None,
            dynamic_addresses=setup.dynamic_addresses,
            nat_support=setup.disable_restart,
        )

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in dataclasses.fields(self) if getattr(self, field.name))


class Abandoned(NamedTuple):
    """Messages that were given up: before anything of them had left, and after (RFC 7496 section 4.3)."""

    unsent: int
    sent: int
