"""Packets to send, in order, as runs along one route: what a socket takes in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from ..paths.route import Route


@final
class Outbox:
    """What the associations of an endpoint put, and its sockets take out; seen one by one, (route, packet)."""

    __slots__ = ("runs", "takes_trains")

    def __init__(self) -> None:
        #: Each a route, and the packets that leave along it one behind the other.
        self.runs: list[tuple[Route, list[bytes]]] = []
        #: Whether packets of one size that leave one behind the other cost less than others (UDP_SEGMENT).
        self.takes_trains = False

    def __len__(self) -> int:
        return sum(len(packets) for _, packets in self.runs)

    def __iter__(self) -> Iterator[tuple[Route, bytes]]:
        for route, packets in self.runs:
            for packet in packets:
                yield route, packet

    def add(self, route: Route, packets: list[bytes]) -> None:
        """Put in packets, which are the outbox's from now on."""
        runs = self.runs
        if runs and runs[-1][0] is route:
            runs[-1][1].extend(packets)
        else:
            runs.append((route, packets))

    def take(self) -> list[tuple[Route, list[bytes]]]:
        """Take out all."""
        runs = self.runs
        self.runs = []
        return runs

    def clear(self) -> None:
        """Throw away all."""
        self.runs = []
