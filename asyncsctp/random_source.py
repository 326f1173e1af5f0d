"""The contract of a source of random numbers: the core has none of its own."""

from __future__ import annotations

from typing import Protocol


class Random(Protocol):
    """A source of tags, initial TSNs, nonces and secrets; a seeded one makes a run repeat bit for bit."""

    def bits(self, count: int) -> int:
        """Return a number of so many random bits."""

    def token(self, size: int) -> bytes:
        """Return so many random bytes."""
