"""Chunks put aside until the numbers of their streams have begun anew (RFC 6525 sections 5.2.2 E2 and 5.2.4).

They are kept as they came: by which count their SSN or MID goes is known only once the reset has been carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final


class Chunk(NamedTuple):
    """A chunk of user data, as `ReassemblyQueue.add` takes it."""

    tsn: int
    flags: int
    sid: int
    number: int
    ppid: int
    payload: bytes


@final
class Deferral:
    """What is put aside: the chunks above a TSN, of some streams or of all.

    `is_guess`: nobody has said that a reset is due, the chunks themselves seem to.
    """

    __slots__ = ("_streams", "after", "chunks", "is_guess", "skipped_to")

    def __init__(self, after: int, streams: Sequence[int] | None, is_guess: bool) -> None:
        self.after = after
        self.is_guess = is_guess
        self._streams = None if streams is None else frozenset(streams)
        self.chunks: dict[int, Chunk] = {}
        self.skipped_to = after  # the peer has abandoned what is missing up to here

    def covers(self, tsn: int, sid: int) -> bool:
        """Whether a chunk is to be put aside."""
        return tsn > self.after and (self._streams is None or sid in self._streams)
