"""The paths of an association as a program sees them, and their settings.

Looks at what the core counts and measures, and hands wishes down. What a setting does is the business of the core.
"""

from __future__ import annotations

import dataclasses
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ..config import LIVE_FIELDS, PATH_FIELDS
from ..path_state import PathState

if TYPE_CHECKING:
    from ..paths.path import Path as CorePath
    from .driver import Driver


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


class PathControl:
    """The side of an `Association` that deals with the peer's addresses, and with settings.

    What changes something raises `AssociationClosed`, or the association's error, once that has ended.
    """

    __slots__ = ("_driver",)

    _driver: Driver

    @property
    def peer(self) -> str:
        """The peer's primary address."""
        return self._driver.core.path_manager.primary.route.address

    @property
    def paths(self) -> list[Path]:
        """The peer's addresses and what is known of the way to each."""
        return _snapshot(self._driver)

    def set_primary_path(self, addr: str) -> None:
        """Send to this address of the peer while it works (RFC 9260 section 6.4).

        `ValueError` if it is not one of the peer's; `TypeError` for a wrong type.
        """
        self._driver.check_alive()
        self._driver.core.set_primary(self._driver.peer_address("addr", addr))

    async def heartbeat(self, addr: str | None = None) -> float:
        """Send a HEARTBEAT now (RFC 9260 section 8.3), to the primary address by default; the round trip in seconds.

        `TimeoutError` without an answer within the path's RTO, and at once if nothing can be sent there, or the address
        is removed meanwhile; `ValueError` for an address that is not the peer's; `AssociationClosed` if the association
        is shutting down, that or its error if it has ended.
        """
        return await self._driver.heartbeat(self.peer if addr is None else self._driver.peer_address("addr", addr))

    def configure(self, **changes: Any) -> None:
        """Change settings of this association alone: timers, thresholds, delays, buffers, scheduler, congestion
        controller. What `configure_path` has set stays.

        `ValueError` for fields that a live association can't change, and for values out of range; `TypeError` for a
        wrong type.
        """
        for field in changes:
            if field not in LIVE_FIELDS:
                if field in PATH_FIELDS:
                    raise ValueError(f"{field} can be changed for each path: configure_path")
                allowed = ", ".join(sorted(LIVE_FIELDS))
                raise ValueError(f"{field} can't be changed in a live association; these can: {allowed}")
        config = self._driver.core.context.config.replace(**changes)
        self._driver.check_alive()
        self._driver.configure(config)

    def configure_path(
        self,
        addr: str,
        *,
        heartbeat_interval: float | EllipsisType | None = ...,
        max_retrans: int | EllipsisType = ...,
        pf_threshold: int | EllipsisType | None = ...,
        mtu: int | EllipsisType | None = ...,
        dscp: int | EllipsisType = ...,
    ) -> None:
        """Change settings of the path to one of the peer's addresses; those that are not given stay as they are.

        They mean what the fields of `Config` mean, `max_retrans` what `path_max_retrans` does, and `configure` leaves
        them alone from now on. `mtu` None is the size that `Config.mtu` None begins with. `ValueError` for an address
        that is not the peer's, or a value out of range; `TypeError` for a wrong type.
        """
        driver = self._driver
        driver.check_alive()
        path = driver.core.path_manager.find(driver.peer_address("addr", addr))
        given = {
            "heartbeat_interval": heartbeat_interval,
            "max_retrans": max_retrans,
            "pf_threshold": pf_threshold,
            "mtu": mtu,
            "dscp": dscp,
        }
        if path is not None:
            _change(driver, path, {name: value for name, value in given.items() if value is not ...})


def _change(driver: Driver, path: CorePath, changes: dict[str, Any]) -> None:
    address = path.route.address
    before = path.mtu
    driver.core.configure_path(address, changes, driver.engine.now())
    if path.mtu < before:
        driver.engine.sockets.narrow(address, path.mtu)  # for what was cut for more, and is outstanding
    elif path.mtu > before:
        driver.engine.sockets.widen(address)
    driver.engine.flush(driver.core)


def _snapshot(driver: Driver) -> list[Path]:
    core = driver.core
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
            dscp=driver.engine.core.config.dscp if path.settings.dscp < 0 else path.settings.dscp,
        )
        for path in manager.paths
    ]
