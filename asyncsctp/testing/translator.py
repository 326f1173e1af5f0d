"""What NATs of all kinds have in common: two sides, an address outside, and a reason for each packet they drop.

It knows addresses. What a NAT remembers of packets is for the kinds themselves, how packets get to it for the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from .host import Address, normal

__all__ = ["Answer", "Refusal", "Translator"]


class Refusal(StrEnum):
    """Why a NAT dropped a packet."""

    UNKNOWN = "unknown"  #: from outside, and the NAT has no mapping or binding for it, or no longer
    STRANGER = "stranger"  #: from outside, from an address and port that the inside has not written to
    HAIRPIN = "hairpin"  #: from inside to the NAT's own address, and it does not hairpin
    EXHAUSTED = "exhausted"  #: from inside, and all outside ports are taken
    MALFORMED = "malformed"  #: not a packet that an `SctpNat` can read
    MISSING_STATE = "missing state"  #: from inside, and an `SctpNat` has no binding for it
    PORT_COLLISION = "port collision"  #: another inside host has these SCTP ports, and restarts are not disabled
    VTAG_COLLISION = "vtag collision"  #: another inside host has these SCTP ports and one of these tags


class Answer(NamedTuple):
    """A datagram that a NAT made itself, for the inside."""

    source: Address
    destination: Address
    data: bytes


class Translator:
    """A NAT between the addresses `inside` and the rest of the network, where all of them appear as `outside`.

    `inside` may hold the outside address of another NAT: then that one is behind this one. `drops` counts the packets
    that it dropped, by reason. With `hairpin` the inside can reach itself by way of the outside address (RFC 4787
    section 6), and sees outside addresses then. What is idle for longer than `idle_timeout` seconds is forgotten.
    """

    __slots__ = ("drops", "hairpin", "idle_timeout", "inside", "on_move", "outbox", "outside")

    def __init__(self, outside: str, inside: frozenset[str], *, idle_timeout: float | None, hairpin: bool) -> None:
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError(f"idle_timeout must be above 0 seconds, or None, not {idle_timeout!r}")
        self.outside = outside
        self.inside = inside
        self.idle_timeout = idle_timeout
        self.hairpin = hairpin
        self.drops: Counter[Refusal] = Counter()
        #: Its own datagrams to the inside, for the network to take.
        self.outbox: list[Answer] = []
        #: Asked before the outside address changes; raises `ValueError` when that can't be. The network sets it.
        self.on_move: Callable[[Translator, str], None] | None = None

    def move(self, outside: str) -> None:
        """Gets another outside address, and remembers all else: from now on packets come from there.

        What is sent to the old address finds nobody. `ValueError` when the new one is in use, or of another family.
        """
        outside = normal(outside)
        if outside == self.outside:
            return
        if self.on_move is not None:
            self.on_move(self, outside)
        self.outside = outside

    def translate_out(self, source: Address, destination: Address, data: bytes, now: float) -> Address | None:
        """The outside address and port of what `source` sends; `None`: it is dropped."""
        raise NotImplementedError

    def translate_in(self, source: Address, port: int, data: bytes, now: float) -> Address | None:
        """The inside address and port that a packet to the outside `port` goes to; `None`: it is dropped."""
        raise NotImplementedError

    def _refuses_hairpin(self, destination: Address) -> bool:
        return destination[0] == self.outside and not self.hairpin

    def _is_stale(self, used_at: float, now: float) -> bool:
        return self.idle_timeout is not None and now - used_at > self.idle_timeout

    def _drop(self, why: Refusal) -> Address | None:
        self.drops[why] += 1
        return None
