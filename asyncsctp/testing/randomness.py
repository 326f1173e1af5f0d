"""Randomness that can be repeated: tags, TSNs, nonces and secrets from a seed. For simulations and tests only."""

from __future__ import annotations

import random


class SeededRandom:
    """A source of randomness for `asyncsctp.endpoint.endpoint.Endpoint`, repeatable by its seed."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        """Return a number of so many bits."""
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        """Return so many bytes."""
        return self._random.randbytes(size)
