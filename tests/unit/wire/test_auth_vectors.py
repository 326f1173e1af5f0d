"""Authentication and changes of addresses as usrsctp does them, against its own packets.

The keys are derived once more here, in a few lines that share nothing with the library.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

import pytest
from support.vectors import Chunk, Conversation, conversation, names

from asyncsctp.wire.auth import SHA_1, key_vector, read_auth, read_key_vector
from asyncsctp.wire.constants import ASCONF, ASCONF_ACK, AUTH, COOKIE_ECHO, DATA, INIT, INIT_ACK
from asyncsctp.wire.init import Init, read_init
from asyncsctp.wire.packet import checksum_ok

RANDOM, CHUNKS, HMACS = 0x8002, 0x8003, 0x8004
FIXED_SIZE = 16  # of INIT and INIT ACK
MAC_AT, MAC_SIZE = 8, 20

EVERY = pytest.mark.parametrize("name", names())


def parameters(chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    at = FIXED_SIZE
    while at + 4 <= len(chunk.value):
        length = int.from_bytes(chunk.value[at + 2 : at + 4])
        yield int.from_bytes(chunk.value[at : at + 2]), chunk.value[at : at + length]
        at += length + -length % 4


def vector(chunk: Chunk) -> bytes:
    """RFC 4895 section 6.1: RANDOM, CHUNKS and HMAC-ALGO as they were sent."""
    found = dict(parameters(chunk))
    return found[RANDOM] + found.get(CHUNKS, b"") + found[HMACS]


def key(said: Conversation, key_id: int) -> bytes:
    """Section 6.1: the shared key, then the vectors, the smaller number first; of equal ones the shorter."""
    vectors = [vector(said.chunks(kind)[0]) for kind in (INIT, INIT_ACK)]
    vectors.sort(key=lambda it: (int.from_bytes(it), len(it)))
    return said.keys[key_id] + b"".join(vectors)


def init(said: Conversation, kind: int) -> Init:
    chunk = said.chunks(kind)[0]
    return read_init(chunk.value, 0, len(chunk.value))


@EVERY
def test_the_packets_are_whole(name: str) -> None:
    for captured in conversation(name).packets:
        assert checksum_ok(captured.packet)


@EVERY
def test_what_a_handshake_says(name: str) -> None:
    said = conversation(name)
    for kind in (INIT, INIT_ACK):
        auth = init(said, kind).auth
        assert auth is not None
        assert (len(auth.random), auth.hmacs, auth.flawed) == (32, (SHA_1,), False)
        assert key_vector(auth) == vector(said.chunks(kind)[0])
        assert read_key_vector(key_vector(auth)) == auth


@EVERY
def test_its_hmacs_are_those_of_the_rfc(name: str) -> None:
    """What we take for the key, and for what it covers, is what usrsctp takes for them: all that follows the AUTH."""
    said = conversation(name)
    chunks = said.chunks(AUTH)
    assert chunks
    for chunk in chunks:
        key_id, hmac_id = read_auth(chunk.padded, 4, len(chunk.padded))
        assert hmac_id == SHA_1
        covered = chunk.padded[:MAC_AT] + bytes(MAC_SIZE) + chunk.rest
        assert hmac.digest(key(said, key_id), covered, "sha1") == chunk.padded[MAC_AT:]


def test_who_demands_what() -> None:
    said = conversation("usrsctp-auth")
    [client, server] = (init(said, kind).auth for kind in (INIT, INIT_ACK))
    assert client is not None
    assert client.listed == {DATA, COOKIE_ECHO}
    assert server is not None
    assert server.listed == {DATA, COOKIE_ECHO, 3, 0xC0}
    assert [chunk.kind for chunk in said.packets[2].chunks] == [AUTH, COOKIE_ECHO]
    assert [int.from_bytes(chunk.value[:2]) for chunk in said.chunks(AUTH)] == [1, 1, 1, 1, 2]


def test_what_it_says_of_itself() -> None:
    said = conversation("usrsctp-asconf")
    assert {init(said, kind).adaptation for kind in (INIT, INIT_ACK)} == {77}
    for kind in (INIT, INIT_ACK):
        assert init(said, kind).extensions >= {ASCONF, ASCONF_ACK, AUTH}
    assert init(conversation("usrsctp-nat"), INIT).disable_restart
    assert init(conversation("usrsctp-nat"), INIT_ACK).disable_restart
