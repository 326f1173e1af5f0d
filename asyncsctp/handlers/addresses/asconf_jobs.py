"""What the peer is asked about our addresses, and what became of it (RFC 5061 section 5.1).

Knows how a wish becomes a chunk. When it leaves, and what an answer means, is the business of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

from ...errors import Cause
from ...wire.asconf import pack_request
from ..context import Context


@final
class Ticket:
    """What became of a request: done as asked, or not, for the causes that the peer gave or for a reason of ours."""

    __slots__ = ("causes", "is_done", "on_done", "reason")

    def __init__(self) -> None:
        self.is_done = False
        #: Called when it is done.
        self.on_done: Callable[[], None] | None = None
        self.causes: tuple[Cause, ...] = ()
        self.reason = ""

    @property
    def is_ok(self) -> bool:
        """Whether all was done as asked."""
        return self.is_done and not self.reason

    def settle(self, context: Context, reason: str = "", causes: Sequence[Cause] = ()) -> None:
        """It is done; not as asked, if there is a reason."""
        self.reason = reason
        self.causes = tuple(causes)
        self.is_done = True
        context.tell_done(self.on_done)


class Wish(NamedTuple):
    """One change: the kind of parameter, the address as the peer is told it, and which of ours that is, if any comes or
    goes by it.
    """

    kind: int
    address: str
    local: str = ""


@final
class Job:
    """What one ASCONF chunk asks for.

    `source`: an address of ours that it may leave from, although nothing else does (section 5.3 F1). `prefers_source`:
    it had better; `needs_source`: it must, as a wildcard stands for it. `lookup`: its Address Parameter; empty: one
    that the peer knows. `for_nat`: NATs are told of the association (draft natsupp section 5.3.2). `otherwise`: what is
    asked for in its place, for the same ticket, if it does not seem to get through.
    """

    __slots__ = (
        "chunk",
        "correlation",
        "for_nat",
        "lookup",
        "needs_source",
        "number",
        "otherwise",
        "prefers_source",
        "source",
        "ticket",
        "wishes",
    )

    def __init__(self, wishes: Sequence[Wish], source: str = "", lookup: str = "") -> None:
        self.wishes = tuple(wishes)
        self.source = source
        self.lookup = lookup
        self.prefers_source = False
        self.needs_source = False
        self.for_nat = False
        self.otherwise: Job | None = None
        self.ticket = Ticket()
        self.number = -1
        #: That of the first wish; the others follow.
        self.correlation = 0
        self.chunk = b""

    def parameters(self, correlation: int) -> list[bytes]:
        """Its parameters, the first under this correlation id."""
        self.correlation = correlation
        return [pack_request(wish.kind, correlation + index, wish.address) for index, wish in enumerate(self.wishes)]
