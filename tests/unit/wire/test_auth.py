"""AUTH chunks and their parameters, byte for byte as RFC 4895 sections 3 and 4 draw them."""

from __future__ import annotations

import pytest

from asyncsctp.wire import auth
from asyncsctp.wire.auth import SHA_1, SHA_256, AuthParameters
from asyncsctp.wire.constants import ASCONF, AUTH, DATA, INIT, INIT_ACK, SHUTDOWN_COMPLETE
from asyncsctp.wire.tlv import Malformed

SAID = AuthParameters(b"r" * 5, bytes((ASCONF, DATA)), (SHA_256, SHA_1))
WIRE = "80020009 7272727272 000000 80030006 c100 0000 80040008 0003 0001"
VECTOR = "80020009 7272727272 80030006 c100 80040008 0003 0001"


def test_parameters_are_padded_on_the_wire_and_not_in_the_key_vector() -> None:
    assert auth.pack_auth_parameters(SAID) == bytes.fromhex(WIRE)
    assert auth.key_vector(SAID) == bytes.fromhex(VECTOR)
    assert auth.read_key_vector(auth.key_vector(SAID)) == SAID


def test_a_list_of_chunks_may_be_missing() -> None:
    """Which is not the same as an empty one: the key vector has it or not (RFC 4895 section 6.1)."""
    without, empty = SAID._replace(chunks=None), SAID._replace(chunks=b"")
    assert auth.key_vector(without) == bytes.fromhex("80020009 7272727272 80040008 0003 0001")
    for said in (without, empty):
        assert auth.read_key_vector(auth.key_vector(said)) == said
        assert said.listed == frozenset()


def test_what_must_not_be_listed_is_ignored() -> None:
    said = AuthParameters(chunks=bytes((INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH, DATA)))
    assert said.listed == {DATA}


def test_which_of_two_key_vectors_is_longer() -> None:
    assert auth.is_longer(SAID, SAID._replace(chunks=None))
    assert not auth.is_longer(SAID, SAID)


@pytest.mark.parametrize("vector", ["80020009 72", "80020003", "80040005 00", "80050004", "8002"])
def test_a_key_vector_that_can_not_be_read_is_malformed(vector: str) -> None:
    with pytest.raises(Malformed):
        auth.read_key_vector(bytes.fromhex(vector))


def test_the_chunk() -> None:
    chunk = auth.pack_auth(0x0102, SHA_256, b"m" * 32)
    assert chunk == bytes.fromhex("0f000028 0102 0003") + b"m" * 32
    assert auth.read_auth(chunk, 4, len(chunk)) == (0x0102, SHA_256)


@pytest.mark.parametrize(("start", "end"), [(4, 4), (4, 7), (38, 42)])
def test_a_chunk_without_identifiers_is_malformed(start: int, end: int) -> None:
    with pytest.raises(Malformed):
        auth.read_auth(auth.pack_auth(0, SHA_1, bytes(32)), start, end)
