"""What stands where a table would be that most never need: it costs each of them nothing until then."""

from __future__ import annotations

from typing import Any, Final

#: Nothing is ever put in: who has the first entry puts a dict of its own in its place.
NOTHING: Final[dict[Any, Any]] = {}
