"""The options of a message, as a user of the core gives them."""

from __future__ import annotations

import pytest
from support.script import LOCAL, PEER, Script

from asyncsctp.outbound.message import ANY_PATH, OutboundMessage
from asyncsctp.wire.constants import DATA, FLAG_IMMEDIATE


def test_a_message_without_options_has_no_terms() -> None:
    message = Script().association.send(0, b"plain", options={"lifetime": None, "path": None})
    assert (message.terms, message.path_id) == (None, ANY_PATH)


def test_an_option_that_there_is_not_is_named_with_those_that_there_are() -> None:
    association = Script().association
    with pytest.raises(TypeError, match="unorderd: no such option; a message has auth_key, context, lifetime"):
        association.send(0, b"data", options={"unorderd": True})
    with pytest.raises(TypeError, match="path: no such option"):  # of a message that is written in parts
        association.terms({"path": PEER[0]}, 0.0)
    assert association.buffered == 0


def test_options_are_checked_before_a_message_is_queued() -> None:
    association = Script().association
    message = OutboundMessage(0, b"data")
    with pytest.raises(TypeError, match="sack_immediately must be a bool, not 1"):
        association.prepare(message, {"sack_immediately": 1}, 0.0)
    with pytest.raises(ValueError, match="is not an address of the peer"):
        association.prepare(message, {"path": LOCAL[0]}, 0.0)
    with pytest.raises(ValueError, match="was not negotiated"):
        association.prepare(message, {"auth_key": 0}, 0.0)


def test_a_sack_is_asked_for_and_the_path_is_taken() -> None:
    script = Script()
    script.association.send(0, b"now", options={"sack_immediately": True, "path": PEER[0]})
    script.flush()
    assert script.expect(DATA).one(DATA).flags & FLAG_IMMEDIATE
