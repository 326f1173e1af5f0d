"""Explicit congestion notification as RFC 4960 appendix A has it: ECNE tells the sender of a mark, CWR answers it.

It exists only where both sides offered ECN. It knows TSNs and marks; what they do to a window is in `congestion`.
"""

from __future__ import annotations

from typing import final

from ...wire import control
from ...wire.constants import MASK_32
from ...wire.serial import ahead, unwrap
from ..context import Context
from .sender import Sender


@final
class Ecn:
    """The ECN conversation of one association, as receiver and as sender of data."""

    __slots__ = ("_context", "_marked_tsn", "_sender")

    def __init__(self, context: Context, sender: Sender) -> None:
        self._context = context
        self._sender = sender
        self._marked_tsn = -1

    # As receiver of data.

    def on_marked(self, lowest_tsn: int) -> None:
        """Note that a packet with DATA came with the CE mark; `lowest_tsn` is the first in it."""
        if self._marked_tsn < 0:
            self._marked_tsn = lowest_tsn

    def echo(self) -> bytes:
        """Return the ECNE to send beside each SACK until the CWR comes; empty if nothing is marked."""
        return b"" if self._marked_tsn < 0 else control.pack_ecne(self._marked_tsn & MASK_32)

    def on_cwr(self, wire_tsn: int) -> None:
        """End the echo: the sender has reduced its window for this mark."""
        if self._marked_tsn >= 0 and ahead(wire_tsn, self._marked_tsn) >= 0:
            self._marked_tsn = -1

    # As sender of data.

    def on_ecne(self, wire_tsn: int) -> None:
        """Reduce the window once for each window of data (RFC 3168 section 6.1.2), and say so with CWR."""
        context = self._context
        context.statistics.ecn_echoes_received += 1
        tsn = unwrap(wire_tsn, self._sender.outstanding.cumulative_tsn)
        if tsn >= self._sender.outstanding.next_tsn:
            return  # never sent
        self._sender.on_congestion_experienced(tsn)
        context.answer(control.pack_cwr(wire_tsn))
