"""Explicit congestion notification as RFC 4960 appendix A has it: ECNE tells the sender of a mark, CWR answers it.

It exists only where both sides offered ECN. It knows TSNs and marks; what a congestion window does about them is the
business of the path's controller.
"""

from __future__ import annotations

from typing import final

from ...wire import control
from ...wire.constants import MASK_32
from ...wire.serial import ahead, unwrap
from ..context import Context
from .sender import Transmission


@final
class Ecn:
    """The ECN conversation of one association, as receiver and as sender of data."""

    __slots__ = ("_context", "_marked_tsn", "_transmission")

    def __init__(self, context: Context, transmission: Transmission) -> None:
        self._context = context
        self._transmission = transmission
        self._marked_tsn = -1

    # As receiver of data.

    def on_marked(self, lowest_tsn: int) -> None:
        """A packet with DATA came with the CE mark; `lowest_tsn` is the first in it."""
        if self._marked_tsn < 0:
            self._marked_tsn = lowest_tsn

    def echo(self) -> bytes:
        """The ECNE to send beside a SACK, again and again until the CWR comes; empty where nothing is marked."""
        if self._marked_tsn < 0:
            return b""
        return control.pack_ecne(self._marked_tsn & MASK_32)

    def on_cwr(self, wire_tsn: int) -> None:
        """CWR: the sender has reduced its window for this mark."""
        if self._marked_tsn >= 0 and ahead(wire_tsn, self._marked_tsn) >= 0:
            self._marked_tsn = -1

    # As sender of data.

    def on_ecne(self, wire_tsn: int) -> None:
        """ECNE: reduce the window once for each window of data (RFC 3168 section 6.1.2), and say so with CWR."""
        context = self._context
        context.statistics.ecn_echoes_received += 1
        tsn = unwrap(wire_tsn, self._transmission.outstanding.cumulative_tsn)
        if tsn >= self._transmission.outstanding.next_tsn:
            return  # never sent
        self._transmission.on_congestion_experienced(tsn)
        context.answer(control.pack_cwr(wire_tsn))
