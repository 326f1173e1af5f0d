"""A reader of the packets of other stacks that are kept in `tests/vectors`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Captured", "Chunk", "Conversation", "conversation", "names"]

_FOLDER = Path(__file__).parents[1] / "vectors"
HEADER_SIZE = 12


class Chunk(NamedTuple):
    """A chunk of a packet, and all bytes behind it."""

    kind: int
    flags: int
    value: bytes
    padded: bytes
    rest: bytes


class Captured(NamedTuple):
    to_server: bool
    source: str
    destination: str
    packet: bytes

    @property
    def chunks(self) -> Iterator[Chunk]:
        at = HEADER_SIZE
        while at < len(self.packet):
            length = int.from_bytes(self.packet[at + 2 : at + 4])
            end = at + length + -length % 4
            kind, flags = self.packet[at : at + 2]
            yield Chunk(kind, flags, self.packet[at + 4 : at + length], self.packet[at:end], self.packet[end:])
            at = end


class Conversation(NamedTuple):
    """Shared keys by id, and packets in their order; the first two hold INIT and INIT ACK."""

    keys: dict[int, bytes]
    packets: list[Captured]

    def chunks(self, kind: int) -> list[Chunk]:
        """The chunks of this type."""
        return [chunk for captured in self.packets for chunk in captured.chunks if chunk.kind == kind]


def names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def conversation(name: str) -> Conversation:
    """Comments begin with #. `key` has an id and hexadecimal digits; > and < have two addresses and a packet."""
    keys: dict[int, bytes] = {}
    packets = []
    for line in (_FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("key"):
            _, number, *digits = line.split()
            keys[int(number)] = bytes.fromhex("".join(digits))
        elif not line.startswith("#"):
            arrow, source, destination, packet = line.split()
            packets.append(Captured(arrow == ">", source, destination, bytes.fromhex(packet)))
    return Conversation(keys, packets)
