"""How the peer counts the fragments of an I-DATA message: shared by what reads them and what writes them.

RFC 8260 section 2.1 gives the first fragment FSN 0, which it has no field for, so that the second has FSN 1. Linux
gives the second FSN 0, and does not put together what is counted otherwise.
"""

from __future__ import annotations

from typing import final


@final
class Numbering:
    """The count of one association, as far as it is known."""

    __slots__ = ("second",)

    def __init__(self, second: int = 1) -> None:
        #: The FSN of a message's second fragment.
        self.second = second
