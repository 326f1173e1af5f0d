from __future__ import annotations

import random
import struct

import pytest

from asyncsctp.handlers.setup.cookie import CookieJar
from asyncsctp.handlers.setup.negotiation import NO_EXTENSIONS, Setup, extensions_of
from asyncsctp.wire.auth import AuthParameters

SETUP = Setup(
    local_tag=0x11111111,
    peer_tag=0x22222222,
    local_initial_tsn=0xFFFFFFFF,
    peer_initial_tsn=7,
    peer_rwnd=100_000,
    outgoing_streams=10,
    incoming_streams=65535,
    local_port=5000,
    peer_port=6000,
    addresses=("192.0.2.2", "2001:db8::2"),
    udp_port=9899,
    ecn=True,
    extensions=extensions_of(frozenset({0x82, 0xC1})),
)


BOUND = (SETUP.local_port, SETUP.peer_port, SETUP.local_tag)


class Seeded:
    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


def jar(lifetime: float = 60.0, seed: int = 1) -> CookieJar:
    return CookieJar(Seeded(seed), lifetime)


def test_a_cookie_gives_back_all_that_went_into_it() -> None:
    cookies = jar()
    opened = cookies.open(cookies.seal(SETUP, 100.0, (3, 4)), 101.0, BOUND)
    assert opened is not None
    assert opened.setup == SETUP
    assert opened.tie_tags == (3, 4)
    assert opened.staleness_us == 0


def test_the_jar_keeps_nothing_of_a_cookie() -> None:
    """Section 5.1 B: two INITs of the same peer are two cookies, each good by itself and in any order."""
    cookies = jar()
    first, second = cookies.seal(SETUP, 1.0), cookies.seal(SETUP._replace(peer_tag=9), 2.0)
    for cookie in (second, first, second):
        assert cookies.open(cookie, 3.0, BOUND) is not None


def test_each_changed_bit_spoils_a_cookie() -> None:
    cookies = jar()
    cookie = cookies.seal(SETUP, 0.0)
    for position in range(len(cookie)):
        for bit in (1, 0x80):
            changed = bytearray(cookie)
            changed[position] ^= bit
            assert cookies.open(bytes(changed), 0.0, BOUND) is None, position


def test_a_cut_or_lengthened_cookie_is_no_cookie() -> None:
    cookies = jar()
    cookie = cookies.seal(SETUP, 0.0)
    for size in range(len(cookie)):
        assert cookies.open(cookie[:size], 0.0, BOUND) is None
    assert cookies.open(cookie + b"\0", 0.0, BOUND) is None


def test_another_endpoints_cookie_is_not_ours() -> None:
    assert jar(seed=2).open(jar(seed=1).seal(SETUP, 0.0), 0.0, BOUND) is None


@pytest.mark.parametrize("other", [(5001, 6000, 0x11111111), (5000, 6001, 0x11111111), (5000, 6000, 0x11111112)])
def test_a_cookie_is_good_for_the_ports_and_the_tag_that_it_was_made_for(other: tuple[int, int, int]) -> None:
    """Section 5.1.5 step 3, RFC 5062 section 7. It need not hold them: the packet that brings it back does."""
    cookies = jar()
    assert cookies.open(cookies.seal(SETUP, 0.0), 0.0, other) is None


@pytest.mark.parametrize("ties", [(0, 0), (3, 4)])
@pytest.mark.parametrize("extension", [0.0, 5.0])
@pytest.mark.parametrize("preferred", [0, 1])
@pytest.mark.parametrize("further", [(), tuple(f"198.51.100.{number}" for number in range(1, 40))])
def test_a_cookie_gives_back_what_is_rarely_in_one(
    ties: tuple[int, int], extension: float, preferred: int, further: tuple[str, ...]
) -> None:
    addresses = tuple(f"192.0.2.{number}" for number in range(1, 17))
    setup = SETUP._replace(
        addresses=addresses,
        further=further,
        preferred=preferred,
        adaptation=7,
        lists_more=bool(further),
        auth=(AuthParameters(bytes(32), b"\x01", (1,)), AuthParameters(bytes(range(32)), None, (3, 1))),
    )
    cookies = jar()
    opened = cookies.open(cookies.seal(setup, 1.0, ties, extension), 62.0, BOUND)
    assert opened is not None
    assert (opened.setup, opened.tie_tags) == (setup, ties)
    assert opened.staleness_us == (0 if extension else 1_000_000)


def test_a_cookie_is_read_as_if_anyone_could_have_authenticated_it() -> None:
    """The fields inside are checked after the MAC (CVE-2026-53224 and its kin trusted them)."""
    content_at = 16

    class Forger:
        """Knows the secret."""

        def bits(self, count: int) -> int:
            return 0

        def token(self, size: int) -> bytes:
            return bytes(size)

    cookies = CookieJar(Forger(), 60.0)
    genuine = cookies.seal(SETUP, 0.0)[content_at:]
    fixed_size = len(genuine) - 2 - (1 + 4) - (1 + 16)
    too_many_extensions = bytearray(genuine)
    too_many_extensions[fixed_size - 1] = 255
    a_family_of_its_own = bytearray(genuine)
    a_family_of_its_own[fixed_size + 2] = 5
    address_beyond_the_end = genuine[:-1]
    no_addresses = genuine[: fixed_size + 2]
    no_tag = genuine[:8] + bytes(4) + genuine[12:]
    from_the_future = genuine[:2] + struct.pack("!HI", 1 << 15, 0) + genuine[8:]
    for forged in (
        too_many_extensions,
        a_family_of_its_own,
        address_beyond_the_end,
        no_addresses,
        no_tag,
        from_the_future,
        genuine[:1],
        b"",
    ):
        cookie = cookies._mac(bytes(32), bytes(forged), BOUND) + bytes(forged)
        assert cookies.open(cookie, 0.0, BOUND) is None
    assert cookies.open(cookies._mac(bytes(32), genuine, BOUND) + genuine, 0.0, BOUND) is not None


def test_a_cookie_goes_stale_by_the_microsecond_rounded_up() -> None:
    cookies = jar(lifetime=60.0)
    cookie = cookies.seal(SETUP, 1000.0)
    assert _staleness(cookies, cookie, 1060.0) == 0
    assert _staleness(cookies, cookie, 1060.0000004) == 1
    assert _staleness(cookies, cookie, 1062.5) == 2_500_000


def test_a_very_stale_cookie_still_has_a_measure_that_fits_its_field() -> None:
    cookies = jar(lifetime=3600.0)
    cookie = cookies.seal(SETUP, 0.0)
    assert _staleness(cookies, cookie, 3600.0 + 4300.0) == 0xFFFFFFFF


@pytest.mark.parametrize(("asked", "granted"), [(0.0, 60.0), (5.0, 65.0), (60.0, 120.0), (4e9, 120.0), (-1.0, 60.0)])
def test_a_preservative_at_most_doubles_the_life(asked: float, granted: float) -> None:
    """RFC 5062 section 6.3; and an overflow in usrsctp that came from believing the number."""
    cookies = jar(lifetime=60.0)
    cookie = cookies.seal(SETUP, 0.0, extension=asked)
    assert _staleness(cookies, cookie, granted) == 0
    assert _staleness(cookies, cookie, granted + 1.0) == 1_000_000


def test_the_secret_changes_and_the_one_before_still_opens() -> None:
    cookies = jar()
    old = cookies.seal(SETUP, 0.0)
    late = cookies.seal(SETUP, 3599.0)
    assert cookies.seal(SETUP, 3601.0)[16] != late[16]
    assert cookies.open(late, 3602.0, BOUND) is not None
    assert cookies.open(old, 3602.0, BOUND) is not None  # stale, but known
    cookies.seal(SETUP, 7300.0)
    assert cookies.open(late, 7301.0, BOUND) is None


def test_secrets_that_nobody_used_for_long_are_forgotten_both() -> None:
    cookies = jar()
    cookie = cookies.seal(SETUP, 0.0)
    assert cookies.open(cookie, 20_000.0, BOUND) is None


def test_no_cookie_outlives_its_secret() -> None:
    cookies = jar(lifetime=3600.0)
    cookies.seal(SETUP, 0.0)
    cookie = cookies.seal(SETUP, 7199.0, extension=3600.0)
    assert _staleness(cookies, cookie, 7199.0 + 7200.0) == 0


def test_a_cookie_holds_nothing_local() -> None:
    """Not how long this machine has been up, no secret, and little enough for any path: section 5.1.3."""
    now = 123_456.0
    cookies = jar()
    cookie = cookies.seal(SETUP._replace(addresses=("192.0.2.2",), extensions=NO_EXTENSIONS), now)
    assert int(now * 1_000_000).to_bytes(8) not in cookie
    assert struct.pack("!d", now) not in cookie
    assert cookies._secret not in cookie
    assert len(cookie) <= 52
    # Everything but MAC and time is what the peer has sent us or is sent beside the cookie.
    other = jar(seed=5).seal(SETUP._replace(addresses=("192.0.2.2",), extensions=NO_EXTENSIONS), now)
    assert other[24:] == cookie[24:]


def _staleness(cookies: CookieJar, cookie: bytes, now: float) -> int:
    opened = cookies.open(cookie, now, BOUND)
    assert opened is not None
    return opened.staleness_us
