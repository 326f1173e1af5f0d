"""Sends messages on terms that a test has made itself: of any bound, or to look at them afterwards."""

from __future__ import annotations

from typing import Any

from asyncsctp.association.association import Association
from asyncsctp.outbound.message import OutboundMessage, Terms, message_flags


def send_on_terms(
    association: Association,
    sid: int,
    data: bytes,
    terms: Terms | None,
    ppid: int = 0,
    unordered: bool = False,
    **options: Any,
) -> OutboundMessage:
    """As `Association.send`; a key among the options goes with the terms."""
    message = OutboundMessage(sid, data, ppid, message_flags(unordered, False))
    association.prepare(message, options, association.context.now)
    if terms is not None:
        terms.key = None if message.terms is None else message.terms.key
        message.terms = terms
    association.sender().send(message)
    return message
