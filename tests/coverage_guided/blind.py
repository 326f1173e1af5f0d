"""The harnesses without coverage: what is in the corpus, as it is and spoiled by chance.

The corpus is a file of hexadecimal lines for each harness, made from what random peers and programs of other tests
have sent; `python -m coverage_guided.recording`, in `tests`, makes it anew.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from .targets import TARGETS

__all__ = ["attempt", "corpus", "run", "spoiled"]

FOLDER = Path(__file__).parent / "corpus"


def corpus(name: str) -> list[bytes]:
    """The inputs that a harness begins with."""
    lines = (FOLDER / f"{name}.hex").read_text(encoding="ascii").split()
    return [bytes.fromhex(line) for line in lines]


def run(name: str, count: int, seed: int = 0) -> None:
    """Try the corpus, and so many more that are spoiled by chance."""
    for entry in corpus(name):
        _try(name, entry)
    for number in range(count):
        attempt(seed + number, name)


def attempt(seed: int, name: str) -> None:
    """Try one that is spoiled as this seed says."""
    random = Random(f"{name} {seed}")
    _try(name, spoiled(random, corpus(name)))


def spoiled(random: Random, entries: list[bytes]) -> bytes:
    """One of these, with bytes changed, cut out, put in, repeated, or joined to another."""
    data = bytearray(random.choice(entries))
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randrange(len(data) + 1)
        match random.randrange(8):
            case 0 | 1 | 2 if at < len(data):
                data[at] = random.choice((random.randrange(256), data[at] ^ 1 << random.randrange(8), 0, 255))
            case 3:
                del data[at : at + random.choice((1, 4, 16))]
            case 4:
                data[at:at] = random.randbytes(random.choice((1, 4, 16)))
            case 5:
                data[at:at] = data[at : at + random.choice((4, 16, 64))]
            case 6 if at + 1 < len(data):
                data[at : at + 2] = random.choice((0, 4, 8, 65535, len(data) - at)).to_bytes(2)
            case 7:
                other = random.choice(entries)
                data[at:] = other[random.randrange(len(other) + 1) :]
    return bytes(data[:3000])


def _try(name: str, data: bytes) -> None:
    try:
        TARGETS[name](data)
    except BaseException as error:
        error.add_note(f"again by: python -m tests.coverage_guided {name} --input {data.hex()}")
        raise
