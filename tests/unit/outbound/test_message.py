"""Messages, their terms, and the records of the packets that they leave in."""

from __future__ import annotations

import pytest
from support.chunks import pack_data

from asyncsctp.outbound.message import (
    ANY_KEY,
    LIMITED,
    PRIORITY,
    RELIABLE,
    TIMED,
    KeyUse,
    OutboundMessage,
    SentPacket,
    Terms,
)


@pytest.mark.parametrize(
    ("options", "policy", "bound"),
    [
        ({}, RELIABLE, 0.0),
        ({"lifetime": None, "priority": None}, RELIABLE, 0.0),
        ({"lifetime": 1.5}, TIMED, 11.5),
        ({"lifetime": 0}, TIMED, 10.0),
        ({"max_retransmits": 0}, LIMITED, 0.0),
        ({"priority": 7, "path": "ignored"}, PRIORITY, 7.0),
    ],
)
def test_terms_are_what_options_ask_for(options: dict[str, object], policy: int, bound: float) -> None:
    terms = Terms.from_options({"context": "mine", **options}, 10.0)
    assert (terms.policy, terms.bound, terms.context) == (policy, bound, "mine")
    assert Terms.from_options(options, 10.0).is_plain is (policy == RELIABLE)


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"lifetime": 1, "priority": 1}, ValueError, "one of lifetime and priority, not several"),
        ({"lifetime": -1}, ValueError, "lifetime must be at least 0"),
        ({"max_retransmits": True}, TypeError, "max_retransmits must be an int"),
        ({"priority": 1 << 32}, ValueError, "priority must be between 0 and 4294967295"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        Terms.from_options(options, 0.0)


def test_a_record_has_the_key_of_its_message_and_gives_it_back_when_that_is_done() -> None:
    key = KeyUse(5)
    message = OutboundMessage(0, b"data", terms=Terms())
    record = SentPacket(1, 1, pack_data(3, 1, 0, 0, 0, b"data"), 4, 0, 0.0)
    assert (message.key_id, record.key_id, record.terms) == (ANY_KEY, ANY_KEY, None)
    assert message.terms is not None
    message.terms.key = key
    key.count = 1
    record.assign([(1, message)])
    assert (record.key_id, record.terms) == (5, message.terms)
    message.terms.finish()
    message.terms.finish("twice")
    assert key.count == 0
