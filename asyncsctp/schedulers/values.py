"""The value that a user gives a stream: a priority or a weight (RFC 8260 section 4.3.3: 16 bits)."""

from __future__ import annotations

from typing import Final

LARGEST: Final = 0xFFFF


def check(name: str, smallest: int, value: int) -> None:
    """`ValueError` that says what is allowed."""
    if not smallest <= value <= LARGEST:
        raise ValueError(f"the {name} of a stream must be between {smallest} and {LARGEST}, not {value!r}")
