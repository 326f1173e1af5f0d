"""Routes whose packets bear marks: the ECN-capable codepoint (RFC 3168), and the DSCP that was set for a path.

Knows the marked twin of each route in use, one object each, so that packets leave in runs. What is to be marked is not
known here.
"""

from __future__ import annotations

from typing import final

from .path import Path
from .route import Route


@final
class Marks:
    """The marked routes of one association."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        #: By path and ECN-capability: a route, without and with marks.
        self._known: dict[int, tuple[Route, Route]] | None = None

    def of(self, path: Path, route: Route, ecn_capable: bool) -> Route:
        """The twin of this route along a path."""
        key = path.path_id * 2 + ecn_capable
        dscp = path.settings.dscp
        if self._known is None:
            self._known = {}
        known = self._known.get(key)
        if known is None or known[0] is not route or known[1].dscp != dscp:
            known = self._known[key] = (route, route._replace(ecn_capable=ecn_capable, dscp=dscp))
        return known[1]
