"""What one association does about NATs between it and its peer (draft natsupp section 6; RFC 6951 section 5.4).

Knows what a NAT says of itself, and of a peer whose address has changed on the way. Which association a packet belongs
to, where several share an address and port, is the endpoint's business; how a changed address is agreed on, that of
`asconf`. Made where `Config.nat_support` is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ..errors import Cause
from ..paths.encapsulation import Route
from .context import Context

__all__ = ["Nat"]


@final
class Nat:
    """NATs, as one association sees them."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def on_error(self, found: Sequence[Cause], route: Route) -> None:
        """ERROR of a NAT, under the tag of a packet that we sent from the local address of `route`."""
