"""The keys of one association, and what is authenticated with them (RFC 4895 section 6).

Computes: bytes in, bytes and verdicts out. Who sets keys, and what follows from a wrong one, is known to `auth`; which
packets are authenticated, to `association.packetizer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import new as hash_of
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final, final

from ..outbound.message import KeyUse
from ..wire import tlv
from ..wire.auth import AUTH_HEADER_SIZE, SHA_1, SHA_256, AuthParameters, key_vector, pack_auth, read_auth
from ..wire.constants import (
    ASCONF,
    ASCONF_ACK,
    COOKIE_ACK,
    COOKIE_ECHO,
    CWR,
    DATA,
    ECNE,
    FORWARD_TSN,
    HEARTBEAT,
    HEARTBEAT_ACK,
    I_DATA,
    I_FORWARD_TSN,
    PAD,
    SACK,
)
from ..wire.tlv import HEADER_SIZE

#: Instead of a key id: the one that is active.
ACTIVE: Final = -1

# What an AUTH chunk is found to be.
GENUINE: Final = 0
WRONG: Final = 1  # its HMAC is wrong, or its key is not known
UNSUPPORTED: Final = 2  # we did not list its HMAC identifier

_HASHES: Final = {SHA_1: "sha1", SHA_256: "sha256"}
_SIZES: Final = {SHA_1: 20, SHA_256: 32}
#: What travels with user data, or in its place: where one of them is to be authenticated, all packets are.
_COMPANIONS: Final = frozenset(
    {DATA, I_DATA, SACK, HEARTBEAT, HEARTBEAT_ACK, FORWARD_TSN, I_FORWARD_TSN, ECNE, CWR, PAD}
)
#: RFC 5061 section 4.1: they MUST be sent in an authenticated way, whether the peer says so or not.
_ALWAYS: Final = frozenset({ASCONF, ASCONF_ACK})


@final
class SharedKeys:
    """The endpoint pair shared keys of one association: they outlive its restarts.

    * `secrets`: the keys by id; each is replaced, never changed. `active`: the one to send with.
    * `deactivated`: the ids of those that are only for what was written with them, and for what the peer sends.
    * `uses`: the messages that name a key.
    """

    __slots__ = ("active", "deactivated", "secrets", "uses")

    def __init__(self, secrets: Mapping[int, bytes], active: int) -> None:
        # Section 6.1: where there is none, it is the empty one. Section 9: where there is one, the empty one is none.
        self.secrets: dict[int, bytes] = dict(secrets) or {0: b""}
        self.active = active
        self.deactivated: set[int] = set()
        self.uses: dict[int, KeyUse] = {}

    def use(self, key_id: int) -> KeyUse:
        """Return the count of the messages that are written with this key."""
        use = self.uses.get(key_id)
        if use is None:
            use = self.uses[key_id] = KeyUse(key_id)
        return use

    def is_used(self, key_id: int) -> bool:
        """Tell whether there is a message with this key that is neither acknowledged nor given up."""
        use = self.uses.get(key_id)
        return use is not None and use.count > 0


@final
class Keyring:
    """What both sides said of authentication: makes AUTH chunks by it, and verifies those of the peer.

    * `demands`: the chunk types that the peer must authenticate; `peer_demands`: those that we must.
    * `covers_all`: one of the latter travels with data, so that all packets are authenticated.
    * `size`: the bytes of our AUTH chunk.
    * `heard`: the ids of the keys that the peer has used.
    * `is_proven`: the packet that is being processed has shown an AUTH chunk that is right.
    """

    __slots__ = (
        "_blank",
        "_derived",
        "_hmac_id",
        "_larger",
        "_smaller",
        "_taken",
        "covers_all",
        "demands",
        "heard",
        "peer_demands",
        "said",
        "shared",
        "size",
        "is_proven",
    )

    def __init__(self, said: tuple[AuthParameters, AuthParameters], shared: SharedKeys) -> None:
        """Make it of what we said in the handshake, and what the peer did; both have an HMAC that we know."""
        local, peer = said
        self.said = said
        self.shared = shared
        # Section 6.1: the numerically smaller first, of equal ones the shorter.
        vectors = sorted(
            (key_vector(local), key_vector(peer)), key=lambda vector: (int.from_bytes(vector), len(vector))
        )
        self._smaller: bytes = vectors[0]
        self._larger: bytes = vectors[1]
        self._derived: dict[int, bytes] = {}  # the association shared keys, by key and HMAC
        self._taken = frozenset(local.hmacs)
        self._hmac_id = next(hmac_id for hmac_id in peer.hmacs if hmac_id in _HASHES)  # section 6.1: the first listed
        self._blank = bytes(_SIZES[self._hmac_id])
        self.size = AUTH_HEADER_SIZE + len(self._blank)
        self.demands = local.listed
        self.peer_demands = peer.listed | _ALWAYS
        self.covers_all = not self.peer_demands.isdisjoint(_COMPANIONS)
        self.heard = {shared.active}
        self.is_proven = False

    # What we send.

    def must_cover(self, body: bytes) -> bool:
        """Tell whether one of these chunks is to be authenticated."""
        return any(first16 >> 8 in self.peer_demands for first16, _, _, _ in tlv.walk(body, 0, len(body)))

    def cover(self, body: bytes, key_id: int = ACTIVE) -> bytes:
        """Return the chunks of a packet with AUTH in front, or behind what must come first (RFC 9260 section 5.1)."""
        kind = body[0]
        if kind in (COOKIE_ACK, COOKIE_ECHO) and kind not in self.peer_demands:
            end = tlv.item(body, 0, len(body))[1] + 3 & -4
            return body[:end] + self.protect(body[end:], key_id) if end < len(body) else body
        return self.protect(body, key_id)

    def protect(self, body: bytes, key_id: int = ACTIVE) -> bytes:
        """Return AUTH and the chunks that it authenticates, padding and all (section 6.2)."""
        if key_id < 0:
            key_id = self.shared.active
        hmac_id = self._hmac_id
        chunk = pack_auth(key_id, hmac_id, self._blank)
        mac = hmac_digest(self._key(key_id, hmac_id), chunk + body, _HASHES[hmac_id])
        return chunk[:AUTH_HEADER_SIZE] + mac + body

    # What the peer sends.

    def verify(self, data: bytes, at: int, value_end: int) -> int:
        """Judge the AUTH chunk at `at` (section 6.3): return `GENUINE`, `WRONG` or `UNSUPPORTED`."""
        key_id, hmac_id = read_auth(data, at + HEADER_SIZE, value_end)
        if hmac_id not in self._taken:
            return UNSUPPORTED
        size = _SIZES[hmac_id]
        mac_at = at + AUTH_HEADER_SIZE
        if key_id not in self.shared.secrets or value_end != mac_at + size:
            return WRONG
        authenticated = data[at:mac_at] + bytes(size) + data[value_end:]
        mac = hmac_digest(self._key(key_id, hmac_id), authenticated, _HASHES[hmac_id])
        return GENUINE if compare_digest(mac, data[mac_at:value_end]) else WRONG

    # Its keys.

    def set_key(self, key_id: int, secret: bytes) -> None:
        """Add a shared key, or put another in its place."""
        self.forget(key_id)
        self.shared.secrets[key_id] = secret

    def forget(self, key_id: int) -> None:
        """Forget a shared key, and what was derived from it."""
        self.shared.secrets.pop(key_id, None)
        self.shared.deactivated.discard(key_id)
        self.heard.discard(key_id)
        for hmac_id in _HASHES:
            self._derived.pop(key_id << 16 | hmac_id, None)

    def _key(self, key_id: int, hmac_id: int) -> bytes:
        """Return the association shared key (section 6.1), shortened as it exceeds a block (RFC 2104 section 2)."""
        key = self._derived.get(key_id << 16 | hmac_id)
        if key is None:
            key = hash_of(_HASHES[hmac_id], self.shared.secrets[key_id] + self._smaller + self._larger).digest()
            self._derived[key_id << 16 | hmac_id] = key
        return key
