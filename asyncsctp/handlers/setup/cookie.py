"""State cookies: what a listener would have to remember of an INIT, sent along instead (RFC 9260 section 5.1).

A cookie is authenticated, not encrypted. So it holds nothing but what its receiver told us or is told by the INIT ACK,
and nonces: the tie-tags are no tags (RFC 5062 section 3.3), and its time counts from a random moment. What comes back
is checked field by field, as if the authentication were broken. What a good cookie leads to is known to `collision`
and, where there is no association, to `endpoint.out_of_the_blue`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2s, sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from ipaddress import ip_address
from math import ceil, inf
from struct import Struct
from typing import Final, NamedTuple, final

from ...paths.route import as_seen
from ...random_source import Random
from ...wire import causes, control
from ...wire.auth import RANDOM_SIZE, AuthParameters, key_vector, read_key_vector
from ...wire.constants import MASK_32
from .negotiation import MAX_PEER_ADDRESSES, Setup, extensions_of

#: Local-Tie-Tag and Peer's-Tie-Tag of a cookie made where no association was (section 5.2.2).
NO_TIE_TAGS: Final = (0, 0)

_MAC_SIZE: Final = 16  # keyed BLAKE2s (RFC 7693): a MAC, at a tenth of what HMAC takes for so little
_SECRET_SIZE: Final = 32
_LONGEST: Final = 4096  # bytes; no setup takes as many
_ADDRESSES_KEPT: Final = 1024
_SECRET_LIFE: Final = 3600.0  # section 5.1.3: changed reasonably frequently, e.g. hourly
_EPOCH_BITS: Final = 48
_EPOCH_MASK: Final = (1 << _EPOCH_BITS) - 1
_LONGEST_AGE: Final = 1 << _EPOCH_BITS - 1  # else it is of the future
_EPOCH_LABEL: Final = b"epoch"
_PERIOD: Final = Struct("!q")
_GENERATION: Final = 0xFF  # as much of a period's number as a cookie holds
_MICROSECONDS: Final = 1_000_000

# Generation of the secret, flags, created (48 bits); the peer's tag, TSNs, window; streams; UDP port; number of
# extensions. Ports and our tag are those of the packet with the COOKIE ECHO: they are authenticated, not sent.
_FIXED: Final = Struct("!BBHI IIII HH H B")
_BOUND: Final = Struct("!HHI")
_LIFE: Final = Struct("!Q")
_TIES: Final = Struct("!II")
_ECN: Final = 1
_DISABLE_RESTART: Final = 2
_AUTH: Final = 4  # the key vectors are there
_ADAPTATION: Final = 8  # an indication of the peer is there
_LISTS_MORE: Final = 16
_EXTENDED: Final = 32  # its life is not what the jar gives to all
_TIED: Final = 64
_PREFERRED: Final = 128  # and it is not the first address
_RARE: Final = _AUTH | _ADAPTATION | _EXTENDED | _TIED | _PREFERRED
_U16: Final = Struct("!H")
_U32: Final = Struct("!I")
_ADDRESS_SIZES: Final = frozenset({4, 16})


class OpenedCookie(NamedTuple):
    """A cookie of our own making that came back."""

    setup: Setup
    #: Local-Tie-Tag and Peer's-Tie-Tag.
    tie_tags: tuple[int, int]
    #: By how many microseconds its life is over; 0 while it lives.
    staleness_us: int

    def stale_error(self) -> bytes:
        """Return the ERROR that answers a cookie whose life is over (section 5.1.5 step 5, section 5.2.4 step 3); empty
        while it lives.
        """
        return control.pack_error(causes.pack_stale_cookie(self.staleness_us)) if self.staleness_us else b""


@final
class CookieJar:
    """Makes the cookies of one endpoint, and knows them again."""

    __slots__ = ("_changes_at", "_epoch", "_period", "_previous", "_random", "_secret", "_shared", "lifetime")

    def __init__(self, random: Random, lifetime: float, shared: bytes | None = None) -> None:
        """Make a jar; those with the same `shared` (32 random bytes), lifetime and clock open each other's cookies.

        The secret of each period follows from `shared` then, by a function that can't be turned round, and is no
        secret that a jar of its own has.
        """
        self.lifetime = lifetime
        self._random = random
        self._shared = shared
        self._period = 0
        # Made with the first cookie. One tells how long ago it was made, but not how long this machine has been up.
        self._epoch = 0
        self._secret = self._previous = b""
        self._changes_at = -inf

    def seal(
        self,
        setup: Setup,
        now: float,
        tie_tags: tuple[int, int] = NO_TIE_TAGS,
        extension: float = 0.0,
        lifetime: float | None = None,
    ) -> bytes:
        """Return a cookie for this setup.

        `extension` (seconds) is what a Cookie Preservative asks for, `lifetime` what is set for the association that it
        is of, if any. RFC 5062 section 6.3: long lives are not allowed even if requested; at most twice our own is.
        """
        self._change_secret(now)
        flags = _flags(setup)
        own = self.lifetime if lifetime is None else lifetime
        life = min(own + min(max(extension, 0.0), own), 2 * self.lifetime)
        created = self._stamp(now)
        if life != self.lifetime:
            flags |= _EXTENDED
        if tie_tags != NO_TIE_TAGS:
            flags |= _TIED
        parts = [
            _FIXED.pack(
                self._period & _GENERATION,
                flags,
                created >> 32,
                created & MASK_32,
                setup.peer_tag,
                setup.local_initial_tsn,
                setup.peer_initial_tsn,
                setup.peer_rwnd,
                setup.outgoing_streams,
                setup.incoming_streams,
                setup.udp_port,
                len(setup.extensions.packed),
            ),
            setup.extensions.packed,
        ]
        if flags & _RARE:
            if flags & _EXTENDED:
                parts.append(_LIFE.pack(int(life * _MICROSECONDS)))
            if flags & _TIED:
                parts.append(_TIES.pack(*tie_tags))
            if flags & _PREFERRED:
                parts.append(bytes((setup.preferred,)))
            parts += _pack_options(setup)
        parts += map(_pack_address, setup.addresses)
        if setup.further:
            parts += map(_pack_address, setup.further)
        content = b"".join(parts)
        return self._mac(self._secret, content, (setup.local_port, setup.peer_port, setup.local_tag)) + content

    def open(self, cookie: bytes, now: float, bound: tuple[int, int, int], source: str = "") -> OpenedCookie | None:
        """Return what a cookie says that came from the address `source`; None unless we have made it, under this secret
        or the one before, for these: our port, the peer's, and our tag (section 5.1.5 step 3, RFC 5062 section 7).
        """
        self._change_secret(now)
        mac, content = cookie[:_MAC_SIZE], cookie[_MAC_SIZE:]
        if not _FIXED.size <= len(content) <= _LONGEST:
            return None
        secret = self._secret if content[0] == self._period & _GENERATION else self._previous
        if not compare_digest(mac, self._mac(secret, content, bound)):
            return None
        try:
            return self._read(content, now, bound, source)
        except ValueError:
            return None

    def _read(self, content: bytes, now: float, bound: tuple[int, int, int], source: str) -> OpenedCookie | None:
        _, flags, high, low, peer_tag, local_tsn, peer_tsn, rwnd, outgoing, incoming, udp_port, count = (
            _FIXED.unpack_from(content)
        )
        local_port, peer_port, local_tag = bound
        at = extensions_end = _FIXED.size + count
        life = int(self.lifetime * _MICROSECONDS)
        tie_tags = NO_TIE_TAGS
        preferred = 0
        if flags & _EXTENDED:
            life = int.from_bytes(content[at : at + _LIFE.size])
            at += _LIFE.size
        if flags & _TIED:
            tie_tags = int.from_bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + _TIES.size])
            at += _TIES.size
        if flags & _PREFERRED:
            preferred = int.from_bytes(content[at : at + 1])
            at += 1
        auth, adaptation, addresses_at = _read_options(content, at, flags)
        addresses = as_seen(_read_addresses(content, addresses_at), source)
        age = self._stamp(now) - (high << 32 | low)
        if age < 0:
            age += 1 << _EPOCH_BITS
        if not (local_tag and peer_tag and outgoing and incoming and addresses) or age >= _LONGEST_AGE:
            return None
        kept = addresses[:MAX_PEER_ADDRESSES]
        if preferred >= len(kept):
            return None
        setup = Setup(
            local_tag,
            peer_tag,
            local_tsn,
            peer_tsn,
            rwnd,
            outgoing,
            incoming,
            local_port,
            peer_port,
            kept,
            udp_port,
            flags & _ECN != 0,
            extensions_of(frozenset(content[_FIXED.size : extensions_end])),
            auth,
            adaptation,
            preferred,
            flags & _DISABLE_RESTART != 0,
            addresses[MAX_PEER_ADDRESSES:],
            flags & _LISTS_MORE != 0,
        )
        return OpenedCookie(setup, tie_tags, min(max(age - life, 0), MASK_32))

    def _change_secret(self, now: float) -> None:
        if now < self._changes_at:
            return
        # No cookie outlives the secret that follows its own: section 5.1.5 step 1 discards what nobody can check any
        # more.
        life = max(_SECRET_LIFE, 2 * self.lifetime)
        # Counted from where the clock begins: jars that share a secret change it together.
        period = int(now // life)
        follows = self._changes_at > -inf and period == self._period + 1
        if not self._secret:
            if self._shared is None:
                self._epoch = self._random.bits(_EPOCH_BITS)
            else:
                self._epoch = int.from_bytes(hmac_digest(self._shared, _EPOCH_LABEL, sha256)[: _EPOCH_BITS // 8])
        self._previous = self._secret if follows else self._secret_of(period - 1)
        self._secret = self._secret_of(period)
        self._period = period
        self._changes_at = (period + 1) * life

    def _secret_of(self, period: int) -> bytes:
        if self._shared is None:
            return self._random.token(_SECRET_SIZE)
        return hmac_digest(self._shared, _PERIOD.pack(period), sha256)

    def _stamp(self, now: float) -> int:
        return self._epoch + ceil(now * _MICROSECONDS) & _EPOCH_MASK

    @staticmethod
    def _mac(secret: bytes, content: bytes, bound: tuple[int, int, int]) -> bytes:
        return blake2s(_BOUND.pack(*bound) + content, key=secret, digest_size=_MAC_SIZE).digest()


def _flags(setup: Setup) -> int:
    flags = _ECN if setup.ecn else 0
    if setup.disable_restart:
        flags |= _DISABLE_RESTART
    if setup.preferred:
        flags |= _PREFERRED
    if setup.lists_more:
        flags |= _LISTS_MORE
    if setup.auth is not None:
        flags |= _AUTH
    if setup.adaptation is not None:
        flags |= _ADAPTATION
    return flags


def _pack_options(setup: Setup) -> list[bytes]:
    """Return what not every setup has. RFC 4895 section 6.3: no shared key is among it."""
    options = []
    if setup.adaptation is not None:
        options.append(_U32.pack(setup.adaptation))
    for said in setup.auth or ():
        vector = key_vector(said)
        options += [_U16.pack(len(vector)), vector]
    return options


def _read_options(
    content: bytes, at: int, flags: int
) -> tuple[tuple[AuthParameters, AuthParameters] | None, int | None, int]:
    """Return what was said of authentication, the adaptation indication, and where the rest begins. `ValueError` if
    they can't be read.
    """
    adaptation: int | None = None
    if flags & _ADAPTATION:
        adaptation = int.from_bytes(content[at : at + 4])
        at += 4
    if not flags & _AUTH:
        return None, adaptation, at
    said = []
    for _ in range(2):
        start = at + 2
        at = start + int.from_bytes(content[at:start])
        said.append(read_key_vector(content[start:at]))
        if len(said[-1].random) != RANDOM_SIZE:
            raise ValueError("a key vector without its random number")
    if at > len(content):
        raise ValueError("the key vectors of a cookie end beyond it")
    return (said[0], said[1]), adaptation, at


@lru_cache(maxsize=_ADDRESSES_KEPT)
def _pack_address(address: str) -> bytes:
    packed = ip_address(address).packed
    return bytes((len(packed),)) + packed


def _read_addresses(content: bytes, at: int) -> tuple[str, ...]:
    addresses = []
    while at < len(content):
        size = content[at]
        following = at + 1 + size
        if size not in _ADDRESS_SIZES or following > len(content):
            raise ValueError(f"no address has {size} bytes")
        addresses.append(_address(content[at + 1 : following]))
        at = following
    return tuple(addresses)


@lru_cache(maxsize=_ADDRESSES_KEPT)
def _address(packed: bytes) -> str:
    return str(ip_address(packed))
