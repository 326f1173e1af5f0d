"""One direction of a path through the network: what becomes of a packet, and when it comes out.

A link knows sizes, instants and its own seeded chance. Addresses are known to `network`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, NamedTuple, final

#: The smallest and the largest value of each field.
_RANGES: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(("loss", "burst_start", "burst_end", "burst_loss"), (0, 1)),
    **dict.fromkeys(("reorder", "duplicate", "corrupt", "mark"), (0, 1)),
    **dict.fromkeys(("delay", "jitter", "reorder_delay"), (0, 3600)),
    "queue": (1, 1 << 40),
    "rate": (1, 1e15),
    "ecn_threshold": (0, 1 << 40),
    "mtu": (68, 65535),  # RFC 791
}
_OR_NONE: Final = ("rate", "ecn_threshold", "mtu")


class PacketOutcome(StrEnum):
    """What became of a packet."""

    DELIVERED = "delivered"
    MARKED = "marked"  #: delivered, with Congestion Experienced
    CORRUPTED = "corrupted"  #: delivered, with one bit turned over
    LOST = "lost"  #: by chance
    OVERFLOW = "overflow"  #: the queue of the link was full
    TOO_BIG = "too big"  #: for the mtu of the link
    CUT = "cut"  #: the path is cut
    DROPPED = "dropped"  #: by the network's `on_datagram`
    FILTERED = "filtered"  #: by a NAT, whose `drops` say why
    UNREACHABLE = "unreachable"  #: no host has that address
    NO_PORT = "no port"  #: nobody has bound that port


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSettings:
    """How one direction of a path treats packets.

    Times are seconds, sizes are bytes of the whole IP packet. A value out of range is a `ValueError` naming the field.

    * `delay` (0 to 3600): from the end of the queue to the far side. `jitter`: up to so much more, evenly spread;
      by itself it never changes the order.
    * `loss`: probability (0 to 1) that a packet is lost.
    * `burst_start`, `burst_end`, `burst_loss`: Gilbert and Elliott's model. Before each packet a good link turns bad
      with probability `burst_start`, a bad one good with `burst_end`; while bad, packets are lost with `burst_loss`
      instead of `loss`.
    * `reorder`: probability that a packet is held for `reorder_delay` while later ones overtake it.
    * `duplicate`: probability that a packet arrives twice.
    * `corrupt`: probability that one bit of the payload is turned over on the way.
    * `mark`: probability that an ECN capable packet arrives with Congestion Experienced.
    * `rate`: bits per second (`None`: no limit). Packets wait in a drop-tail queue of `queue` bytes.
    * `ecn_threshold`: with more than so many bytes waiting, ECN capable packets are marked and others dropped (`None`:
      no active queue management). It acts only with a `rate`.
    * `mtu` (68 to 65535; `None`: no limit): larger packets vanish; with `report_too_big` the sender hears of it.
    """

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    burst_start: float = 0.0
    burst_end: float = 0.25
    burst_loss: float = 1.0
    reorder: float = 0.0
    reorder_delay: float = 0.01
    duplicate: float = 0.0
    corrupt: float = 0.0
    mark: float = 0.0
    rate: float | None = None
    queue: int = 65536
    ecn_threshold: int | None = None
    mtu: int | None = None
    report_too_big: bool = False

    def __post_init__(self) -> None:
        for name, (smallest, largest) in _RANGES.items():
            value: object = getattr(self, name)
            fits = isinstance(value, (int, float)) and not isinstance(value, bool) and smallest <= value <= largest
            if not fits and (value is not None or name not in _OR_NONE):
                raise ValueError(f"{name} must be a number from {smallest:g} to {largest:g}, not {value!r}")

    def replace(self, **changes: float | None) -> LinkSettings:
        """Return a changed copy. `ValueError` for a field that does not exist."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        unknown = ", ".join(sorted(changes.keys() - values.keys()))
        if unknown:
            raise ValueError(f"link settings have no {unknown}; they have {', '.join(values)}")
        return LinkSettings(**(values | changes))


class Crossing(NamedTuple):
    """What a link did with a packet."""

    arrivals: tuple[float, ...]  #: when its copies come out; empty: it does not
    outcome: PacketOutcome
    data: bytes
    congestion_experienced: bool = False


@final
class Link:
    """One direction of a path: a queue that drains at `rate`, then a wire with its delay and its accidents.

    Packets come out in the order in which they went in, however the settings change meanwhile, save those that
    `reorder` holds back.
    """

    __slots__ = ("_bad", "_busy_until", "_last_arrival", "_random", "is_cut", "settings")

    def __init__(self, settings: LinkSettings, random: Random) -> None:
        self.settings = settings
        self.is_cut = False
        self._random = random
        self._bad = False
        self._busy_until = 0.0
        self._last_arrival = 0.0

    def configure(self, settings: LinkSettings, now: float) -> None:
        """Change the settings; what waits in the queue keeps its times."""
        backlog = self.backlog(now)
        self.settings = settings
        self._busy_until = now + backlog * 8 / settings.rate if settings.rate is not None else now

    def backlog(self, now: float) -> float:
        """Return the bytes that wait in the queue, the packet being sent included."""
        rate = self.settings.rate
        return max(0.0, self._busy_until - now) * rate / 8 if rate is not None else 0.0

    def carry(
        self, data: bytes, now: float, *, headers: int = 0, ecn_capable: bool = False, fragment: bool = False
    ) -> Crossing:
        """Take a packet of `headers` and `data`; return what becomes of it. With `fragment` none is too big."""
        settings, size = self.settings, headers + len(data)
        if self.is_cut:
            return Crossing((), PacketOutcome.CUT, data)
        if settings.mtu is not None and size > settings.mtu and not fragment:
            return Crossing((), PacketOutcome.TOO_BIG, data)
        backlog = self.backlog(now)
        if backlog > 0 and backlog + size > settings.queue:
            return Crossing((), PacketOutcome.OVERFLOW, data)
        congested = settings.ecn_threshold is not None and backlog > settings.ecn_threshold
        if congested and not ecn_capable:
            return Crossing((), PacketOutcome.OVERFLOW, data)
        leaves = now
        if settings.rate is not None:
            leaves = self._busy_until = max(now, self._busy_until) + size * 8 / settings.rate
        if self._loses():
            return Crossing((), PacketOutcome.LOST, data)
        marked = ecn_capable and (self._happens(settings.mark) or congested)
        outcome = PacketOutcome.MARKED if marked else PacketOutcome.DELIVERED
        if data and self._happens(settings.corrupt):
            data, outcome = self._corrupted(data), PacketOutcome.CORRUPTED
        arrival = self._arrival(leaves)
        copies = 2 if self._happens(settings.duplicate) else 1
        return Crossing((arrival,) * copies, outcome, data, marked)

    def _happens(self, probability: float) -> bool:
        return probability > 0.0 and self._random.random() < probability

    def _loses(self) -> bool:
        settings = self.settings
        if self._happens(settings.burst_end if self._bad else settings.burst_start):
            self._bad = not self._bad
        return self._happens(settings.burst_loss if self._bad else settings.loss)

    def _arrival(self, leaves: float) -> float:
        settings = self.settings
        arrival = leaves + settings.delay
        if settings.jitter > 0.0:
            arrival += settings.jitter * self._random.random()
        arrival = max(arrival, self._last_arrival)
        if self._happens(settings.reorder):
            return arrival + settings.reorder_delay
        self._last_arrival = arrival
        return arrival

    def _corrupted(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)
