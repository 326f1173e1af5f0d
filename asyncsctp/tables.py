"""A placeholder for tables that most objects never need."""

from __future__ import annotations

from typing import Any, Final

#: Always empty: whoever has a first entry puts a dict of its own in its place.
NOTHING: Final[dict[Any, Any]] = {}
