"""Packets to send, in order, as runs along one route: what a socket takes in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from ..paths.route import Route


@final
class PacketRun:
    """Packets that leave along one route one behind the other, with the same marks."""

    __slots__ = (
        "dscp",  # the differentiated services code point; -1: that of the endpoint's sockets
        "ecn_capable",  # they bear the codepoint ECT(0) (RFC 3168)
        "packets",
        "route",
    )

    def __init__(self, route: Route, packets: list[bytes], ecn_capable: bool = False, dscp: int = -1) -> None:
        self.route = route
        self.packets = packets
        self.ecn_capable = ecn_capable
        self.dscp = dscp


@final
class Outbox:
    """Packets from the associations of an endpoint to its sockets; iterated over as pairs (route, packet)."""

    __slots__ = ("runs", "merges_equal")

    def __init__(self) -> None:
        self.runs: list[PacketRun] = []
        #: Whether packets of one size that leave one behind the other cost less than others (UDP_SEGMENT).
        self.merges_equal = False

    def __len__(self) -> int:
        return sum(len(run.packets) for run in self.runs)

    def __iter__(self) -> Iterator[tuple[Route, bytes]]:
        for run in self.runs:
            for packet in run.packets:
                yield run.route, packet

    def add(self, route: Route, packets: list[bytes], ecn_capable: bool = False, dscp: int = -1) -> None:
        """Put in packets with their marks (see `PacketRun`); the list is the outbox's from now on."""
        runs = self.runs
        if runs:
            last = runs[-1]
            if last.route is route and last.ecn_capable == ecn_capable and last.dscp == dscp:
                last.packets.extend(packets)
                return
        runs.append(PacketRun(route, packets, ecn_capable, dscp))

    def take(self) -> list[PacketRun]:
        """Take out all."""
        runs = self.runs
        self.runs = []
        return runs

    def clear(self) -> None:
        """Throw away all."""
        self.runs = []
