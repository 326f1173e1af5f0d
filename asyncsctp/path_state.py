"""The states of a path to the peer; `paths.potentially_failed` knows what leads from one to another."""

from __future__ import annotations

from enum import Enum
from typing import Final


class PathState(Enum):
    """What is known of one of the peer's addresses (RFC 9260 sections 5.4 and 8.2; POTENTIALLY_FAILED: RFC 7829)."""

    UNCONFIRMED = "unconfirmed"
    ACTIVE = "active"
    POTENTIALLY_FAILED = "potentially-failed"
    INACTIVE = "inactive"


UNCONFIRMED: Final = PathState.UNCONFIRMED
ACTIVE: Final = PathState.ACTIVE
POTENTIALLY_FAILED: Final = PathState.POTENTIALLY_FAILED
INACTIVE: Final = PathState.INACTIVE
