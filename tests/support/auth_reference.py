"""A second, short implementation of RFC 4895, which tests compare the library's answers with."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from struct import pack, unpack_from

from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.constants import AUTH

SHA_1 = 1
SHA_256 = 3
HASHES = {SHA_1: "sha1", SHA_256: "sha256"}
SIZES = {SHA_1: 20, SHA_256: 32}


def vector(said: AuthParameters) -> bytes:
    """Section 6.1: RANDOM, CHUNKS and HMAC-ALGO without padding."""
    joined = pack("!HH", 0x8002, 4 + len(said.random)) + said.random
    if said.chunks is not None:
        joined += pack("!HH", 0x8003, 4 + len(said.chunks)) + said.chunks
    return joined + pack(f"!HH{len(said.hmacs)}H", 0x8004, 4 + 2 * len(said.hmacs), *said.hmacs)


class Authenticator:
    """One side's AUTH chunks. `said` are what both sides said, in whichever order."""

    def __init__(self, said: tuple[AuthParameters, AuthParameters], keys: Mapping[int, bytes]) -> None:
        self.keys = keys
        one, other = map(vector, said)
        smaller = int.from_bytes(one) < int.from_bytes(other)
        self.vectors = one + other if smaller else other + one

    def auth(self, body: bytes, key_id: int = 0, hmac_id: int = SHA_256) -> bytes:
        """The AUTH chunk for what stands behind it (section 6.2)."""
        size = SIZES[hmac_id]
        header = pack("!BBHHH", AUTH, 0, 8 + size, key_id, hmac_id)
        key = self.keys[key_id] + self.vectors
        return header + hmac.digest(key, header + bytes(size) + body, HASHES[hmac_id])

    def key_of(self, chunks: bytes) -> int:
        """The key of an AUTH chunk that is right, with what stands behind it."""
        _, _, length, key_id, hmac_id = unpack_from("!BBHHH", chunks)
        assert self.auth(chunks[length:], key_id, hmac_id) == chunks[:length]
        return int(key_id)
