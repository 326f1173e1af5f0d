"""Make the corpus: what random peers of other tests say, and what a handshake of ours is."""

from __future__ import annotations

from random import Random
from typing import Final

from support.endpoints import OTHER, PEER_PORT, THERE, Solo, chunks
from support.hostile.address_peer import RandomAddressChunks
from support.hostile.extension_peer import LIMITS, STATES, ExtensionPeer, RandomExtensionChunks
from support.pair import Recorder

from asyncsctp.config import Config
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import INIT

from .blind import FOLDER

_MOST: Final = 24


def packets() -> list[bytes]:
    """Well-formed chunks of all extensions, in and out of order."""
    found = []
    for seed in range(_MOST):
        random = Random(seed)
        first = seed * 37 & 0xFF
        script = ExtensionPeer(bool(first & 1), STATES[(first >> 1 & 7) % len(STATES)], config=LIMITS)
        disorder = RandomExtensionChunks(random, script, 0.0)
        body = b"".join(disorder.chunk()[:300] for _ in range(6))
        found.append(bytes((first, 255)) + body[:900])
    return found


def reconfig() -> list[bytes]:
    """Requests and answers of RFC 6525."""
    found = []
    for seed in range(_MOST):
        script = ExtensionPeer(bool(seed & 1))
        disorder = RandomExtensionChunks(Random(seed), script, 0.05)
        parameter = disorder.parameter()[:200]
        found.append(bytes((seed & 1 | 0x3C & min(len(parameter), 60),)) + parameter)
    return found


def inits() -> list[bytes]:
    """INIT and INIT ACK of endpoints with all kinds of settings."""
    found = []
    for bits in range(8):
        config = Config(
            auth=bool(bits & 1),
            dynamic_addresses=bool(bits & 2),
            nat_support=bool(bits & 4),
            interleaving=not bits & 1,
            adaptation_indication=7 if bits & 1 else None,
        )
        solo = Solo(config=config, addresses=("192.0.2.1", "2001:db8::1"))
        solo.endpoint.connect((THERE,), PEER_PORT, solo.now, Recorder("nobody"), config)
        found += [bytes((bits << 1,)) + chunk[4:] for _, packet in solo.take() for chunk in chunks(packet)]
        answers = solo.receive(solo.packet(tlv.pack(INIT << 8, found[-1][1:]), tag=0), source=OTHER)
        found += [bytes((bits << 1 | 1,)) + chunk[4:] for _, packet in answers for chunk in chunks(packet)]
    return found


def cookies() -> list[bytes]:
    """Where the genuine one is changed, and how."""
    return [bytes(3), b"\0\0\1", b"\0\x10\x80", b"\0\x20\xff\xff", b"\0\x12\0\1", b"\0\x40" + bytes(40)]


def asconf() -> list[bytes]:
    """ASCONF, ASCONF-ACK and others, of a peer that knows the rules and does not keep them."""
    found = []
    for seed in range(_MOST):
        chunks = RandomAddressChunks(seed)
        found.append(bytes((255 if seed & 1 else 254,)) + b"".join(chunks.chunk()[:160] for _ in range(3)))
    return found


def commands() -> list[bytes]:
    """Some lists of them."""
    return [Random(f"commands {seed}").randbytes(2 + 4 * (5 + 2 * seed)) for seed in range(_MOST)]


def main() -> None:
    """Write all of it."""
    for record in (packets, reconfig, inits, cookies, asconf, commands):
        lines = "\n".join(entry.hex() for entry in record())
        (FOLDER / f"{record.__name__}.hex").write_text(lines + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
