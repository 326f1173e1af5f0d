"""Authentication on the wire: the AUTH chunk, and what INIT and INIT ACK say of it (RFC 4895 sections 3 and 5).

Knows shapes, and the key vector that both sides derive from what was said. Keys and HMACs are in `handlers.keyring`,
who has to authenticate what in `handlers.auth`.
"""

from __future__ import annotations

from struct import pack, unpack
from typing import Final, NamedTuple

from . import tlv
from .constants import AUTH, INIT, INIT_ACK, PARAM_CHUNK_LIST, PARAM_HMAC_ALGORITHMS, PARAM_RANDOM, SHUTDOWN_COMPLETE
from .tlv import HEADER_SIZE, Malformed

RANDOM_SIZE: Final = 32
AUTH_HEADER_SIZE: Final = 8

# HMAC identifiers, section 3.3.
SHA_1: Final = 1
SHA_256: Final = 3

#: Section 3.2: MUST NOT be listed, and MUST be ignored where they are.
NEVER_AUTHENTICATED: Final = frozenset({INIT, INIT_ACK, SHUTDOWN_COMPLETE, AUTH})


class AuthParameters(NamedTuple):
    """What the INIT or INIT ACK of one side says: RANDOM, CHUNKS and HMAC-ALGO as they stand on the wire.

    `chunks` is None where there was no such parameter. `flawed`: one of them came twice or can't be read, so that it is
    not clear what its sender means.
    """

    random: bytes = b""
    chunks: bytes | None = None
    hmacs: tuple[int, ...] = ()
    flawed: bool = False

    @property
    def listed(self) -> frozenset[int]:
        """The chunk types that its sender takes only if they are authenticated."""
        return frozenset(self.chunks or b"") - NEVER_AUTHENTICATED


def pack_auth_parameters(said: AuthParameters) -> bytes:
    """Pack the parameters for INIT and INIT ACK."""
    return b"".join(map(tlv.pad, _parameters(said)))


def key_vector(said: AuthParameters) -> bytes:
    """Return the three parameters one behind the other, in this order, without padding (section 6.1)."""
    return b"".join(_parameters(said))


def is_longer(said: AuthParameters, other: AuthParameters) -> bool:
    """Return true if the first of two takes more bytes."""
    return len(key_vector(said)) > len(key_vector(other))


def read_key_vector(vector: bytes) -> AuthParameters:
    """Return what `key_vector` was made of; `Malformed` if it can't be told."""
    random = b""
    chunks: bytes | None = None
    hmacs: tuple[int, ...] = ()
    at = 0
    while at < len(vector):
        kind, end = tlv.item(vector, at, len(vector))
        value = vector[at + HEADER_SIZE : end]
        if kind == PARAM_RANDOM:
            random = value
        elif kind == PARAM_CHUNK_LIST:
            chunks = value
        elif kind == PARAM_HMAC_ALGORITHMS:
            hmacs = read_hmacs(value)
        else:
            raise Malformed(f"a key vector with parameter {kind:#06x}")
        at = end
    return AuthParameters(random, chunks, hmacs)


def read_hmacs(value: bytes) -> tuple[int, ...]:
    """Return the identifiers in a Requested HMAC Algorithm parameter, section 3.3."""
    if len(value) & 1:
        raise Malformed(f"a list of HMAC algorithms of {len(value)} bytes")
    return unpack(f"!{len(value) // 2}H", value)


def pack_auth(key_id: int, hmac_id: int, mac: bytes) -> bytes:
    """Pack the AUTH chunk, section 5.1."""
    return tlv.pack(AUTH << 8, tlv.U16_U16.pack(key_id, hmac_id) + mac)


def read_auth(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return Shared Key Identifier and HMAC Identifier of an AUTH chunk; its HMAC is what stands behind them."""
    key_id, hmac_id = tlv.read_fields(tlv.U16_U16, data, start, end)
    return key_id, hmac_id


def _parameters(said: AuthParameters) -> list[bytes]:
    """Return them each with its header, and without its padding."""
    items = [_parameter(PARAM_RANDOM, said.random)]
    if said.chunks is not None:
        items.append(_parameter(PARAM_CHUNK_LIST, said.chunks))
    items.append(_parameter(PARAM_HMAC_ALGORITHMS, pack(f"!{len(said.hmacs)}H", *said.hmacs)))
    return items


def _parameter(kind: int, value: bytes) -> bytes:
    return tlv.U16_U16.pack(kind, HEADER_SIZE + len(value)) + value
