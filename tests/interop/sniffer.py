"""What passes a relay, read without the library under test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .relay import Relay

__all__ = [
    "ASCONF",
    "ASCONF_ACK",
    "AUTH",
    "DATA",
    "FORWARD_TSN",
    "HEARTBEAT",
    "HEARTBEAT_ACK",
    "I_DATA",
    "I_FORWARD_TSN",
    "SACK",
    "Chunk",
    "Fragment",
    "Sniffer",
    "chunks",
    "most_at_a_time",
]

DATA, SACK, I_DATA, FORWARD_TSN, I_FORWARD_TSN = 0, 3, 0x40, 0xC0, 0xC2
HEARTBEAT, HEARTBEAT_ACK = 4, 5
AUTH, ASCONF_ACK, ASCONF = 0x0F, 0x80, 0xC1


class Chunk(NamedTuple):
    """A chunk on its way to the server, or from it."""

    to_server: bool
    kind: int
    flags: int
    value: bytes


class Fragment(NamedTuple):
    """A DATA or I-DATA chunk (RFC 9260 section 3.3.1, RFC 8260 section 2.1). `number` is the SSN or MID."""

    tsn: int
    stream: int
    number: int
    unordered: bool
    begins: bool
    ends: bool


def chunks(packet: bytes, to_server: bool) -> Iterator[Chunk]:
    at = 12
    while at + 4 <= len(packet):
        length = int.from_bytes(packet[at + 2 : at + 4])
        yield Chunk(to_server, packet[at], packet[at + 1], packet[at + 4 : at + length])
        at += max(length, 4) + -length % 4


class Sniffer:
    """Notes each chunk that a relay did not lose."""

    def __init__(self, relay: Relay) -> None:
        self.chunks: list[Chunk] = []
        self._packets: list[tuple[Chunk, ...]] = []
        relay.change = self._note

    def _note(self, packet: bytes, to_server: bool) -> bytes:
        found = tuple(chunks(packet, to_server))
        self.chunks += found
        self._packets.append(found)
        return packet

    def kinds(self, *, to_server: bool) -> set[int]:
        """The types of the chunks seen in this direction."""
        return {chunk.kind for chunk in self.chunks if chunk.to_server == to_server}

    def authenticated(self, kind: int, *, to_server: bool) -> bool:
        """Whether an AUTH chunk stood before each chunk of this type in this direction, and there were some."""
        packets = [
            [chunk.kind for chunk in packet] for packet in self._packets if packet and packet[0].to_server == to_server
        ]
        found = [kinds for kinds in packets if kind in kinds]
        return bool(found) and all(AUTH in kinds[: kinds.index(kind)] for kinds in found)

    def fragments(self, *, to_server: bool) -> list[Fragment]:
        """DATA and I-DATA chunks of this direction by TSN, each once. TSNs have not begun anew."""
        found: dict[int, Fragment] = {}
        for chunk in self.chunks:
            if chunk.to_server == to_server and chunk.kind in (DATA, I_DATA):
                value = chunk.value
                number = int.from_bytes(value[8:12] if chunk.kind == I_DATA else value[6:8])
                tsn, flags = int.from_bytes(value[:4]), chunk.flags
                unordered, begins, ends = bool(flags & 4), bool(flags & 2), bool(flags & 1)
                found[tsn] = Fragment(tsn, int.from_bytes(value[4:6]), number, unordered, begins, ends)
        first = next(iter(found), 0)
        return sorted(found.values(), key=lambda fragment: (fragment.tsn - first + 2**31) % 2**32)


def most_at_a_time(fragments: Iterable[Fragment]) -> int:
    """Of how many messages at most had one begun and not ended: 1 without interleaving."""
    most = 0
    under_way: set[tuple[int, int, bool]] = set()
    for fragment in fragments:
        message = (fragment.stream, fragment.number, fragment.unordered)
        under_way.add(message)
        most = max(most, len(under_way))
        if fragment.ends:
            under_way.discard(message)
    return most
