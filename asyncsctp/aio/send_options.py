"""The options of a message, each by its name, as editors complete them.

What they mean in the protocol is in `outlet` and below. Always interpreted: mypyc can't make a `TypedDict`.
"""

from __future__ import annotations

import asyncio
from typing import TypedDict


class PartsOptions(TypedDict, total=False):
    """The options of a message that is written in parts (`StreamWriter.send_parts`)."""

    #: Seconds after which it is not sent any more, nor again (RFC 3758 section 4.1); or an `asyncio.Timeout`, whose end
    #: is taken.
    lifetime: float | asyncio.Timeout | None
    #: How often each of its chunks may be sent again, 0 to 4294967295 (RFC 7496 section 3.1).
    max_retransmits: int | None
    #: Any object; it comes back in `SendFailed`.
    context: object
    #: The id of the shared key that is to authenticate it, and nothing else with it (RFC 4895), where that was
    #: negotiated; without, it is the one that is active when it leaves, if it is to be authenticated.
    auth_key: int | None


class SendOptions(PartsOptions, total=False):
    """The options of a message beside `ppid` and `unordered` (`StreamWriter.write`)."""

    #: It may be given up, unsent, to make space in the send buffer for what is written later and matters more: for a
    #: message with a smaller `priority`, or without any of the three (RFC 7496 section 3.2).
    priority: int | None
    #: Ask the peer for a SACK without delay (RFC 7053).
    sack_immediately: bool
    #: The peer's address to send it to, while that is reachable.
    path: str | None
