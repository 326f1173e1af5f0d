"""The keyring against what usrsctp has sent: it takes that, and makes the same."""

from __future__ import annotations

import pytest
from support.vectors import HEADER_SIZE, Captured, Conversation, conversation, names

from asyncsctp.handlers.keyring import GENUINE, WRONG, Keyring, SharedKeys
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import AUTH, INIT, INIT_ACK
from asyncsctp.wire.init import read_init

AUTH_SIZE = 28

Said = tuple[AuthParameters, AuthParameters]


def said(them: Conversation) -> Said:
    """What the client said of authentication, and what the server did."""
    found = []
    for kind in (INIT, INIT_ACK):
        value = them.chunks(kind)[0].value
        auth = read_init(value, 0, len(value)).auth
        assert auth is not None
        found.append(auth)
    return found[0], found[1]


def protected(them: Conversation) -> list[Captured]:
    """The packets that begin with an AUTH chunk."""
    return [captured for captured in them.packets if captured.packet[HEADER_SIZE] == AUTH]


def keyring(both: Said, *, client: bool, keys: dict[int, bytes]) -> Keyring:
    return Keyring(both if client else both[::-1], SharedKeys(keys, min(keys)))


@pytest.mark.parametrize("name", names())
def test_the_receiver_finds_it_genuine(name: str) -> None:
    them = conversation(name)
    both = said(them)
    for captured in protected(them):
        ring = keyring(both, client=not captured.to_server, keys=them.keys)
        end = HEADER_SIZE + AUTH_SIZE
        assert ring.verify(captured.packet, HEADER_SIZE, end) == GENUINE
        spoiled = captured.packet[:-1] + bytes([captured.packet[-1] ^ 1])
        assert ring.verify(spoiled, HEADER_SIZE, end) == WRONG
        stranger = keyring(both, client=not captured.to_server, keys=dict.fromkeys(them.keys, b"guessed"))
        assert stranger.verify(captured.packet, HEADER_SIZE, end) == WRONG


@pytest.mark.parametrize("name", names())
def test_the_sender_makes_the_same(name: str) -> None:
    them = conversation(name)
    both = said(them)
    assert protected(them)
    for captured in protected(them):
        ring = keyring(both, client=captured.to_server, keys=them.keys)
        chunk, body = captured.packet[HEADER_SIZE:][:AUTH_SIZE], captured.packet[HEADER_SIZE + AUTH_SIZE :]
        assert ring.protect(body, int.from_bytes(chunk[4:6])) == chunk + body
