"""Writing a message too long to be held whole, piece by piece (RFC 6458 section 8.1.26). `reader` has the other side.

Always interpreted: it iterates over what the caller gave, and runs once for each part, not for each packet.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

from ..outbound.message import Terms, message_flags
from .outlet import Outlet, frozen
from .receipts import Receipt


async def send_parts(
    outlet: Outlet, sid: int, parts: AsyncIterable[Any] | Iterable[Any], ppid: int, unordered: bool, terms: Terms
) -> Receipt:
    """Write one message, as `StreamWriter.send_parts` says.

    A part waits for the next one, for only then is it known not to be the last.
    """
    flags = message_flags(unordered, False)

    async def follow(waiting: bytes, part: Any) -> bytes:
        """Write the part before this one, if both have any bytes; return what waits now."""
        kept = frozen(part)
        if kept and waiting:
            await outlet.write_piece(sid, waiting, ppid, flags, terms, False)
        return kept or waiting

    waiting = b""
    try:
        if isinstance(parts, AsyncIterable):
            async for part in parts:
                waiting = await follow(waiting, part)
        else:
            for part in parts:
                waiting = await follow(waiting, part)
        if not waiting:
            raise ValueError("a message must have at least 1 byte")  # RFC 9260 section 3.3.1
        await outlet.write_piece(sid, waiting, ppid, flags, terms, True)
    except BaseException:
        outlet.break_off(terms)
        raise
    return outlet.receipt_of_parts(sid, waiting, ppid, flags, terms)
