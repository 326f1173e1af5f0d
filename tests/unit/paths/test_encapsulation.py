from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.paths import in_scope, is_ipv4, listed_addresses, normalize
from asyncsctp.paths.encapsulation import chunk_room


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_spelling(address: str, normal: str) -> None:
    assert normalize(address) == normal
    assert normalize(normal) == normal


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "::g", "192.0.2.1:80"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        normalize(text)


@given(st.ip_addresses())
def test_families(address: object) -> None:
    assert is_ipv4(normalize(str(address))) == ("." in normalize(str(address)) and ":" not in normalize(str(address)))


@pytest.mark.parametrize(
    ("mtu", "ipv4", "room"),
    [(1500, True, 1460), (1500, False, 1440), (1280, False, 1220), (65535, True, 65492), (576, True, 536)],
)
def test_the_udp_header_is_part_of_the_packet(mtu: int, ipv4: bool, room: int) -> None:
    assert chunk_room(mtu, ipv4) == room


@pytest.mark.parametrize(
    ("address", "other", "inside"),
    [
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "192.168.0.1", False),
        ("::1", "2001:db8::1", False),
        ("fe80::1", "fe80::2", True),
        ("169.254.1.1", "10.0.0.1", False),
        ("10.0.0.1", "192.168.0.1", True),
        ("fd00::1", "192.168.0.1", True),
        ("10.0.0.1", "203.0.113.1", False),
        ("100.64.0.1", "203.0.113.1", False),
        ("203.0.113.1", "10.0.0.1", True),
        ("203.0.113.1", "127.0.0.1", True),
        ("2001:db8::1", "203.0.113.1", True),
        ("0.0.0.0", "127.0.0.1", False),
        ("::", "::1", False),
        ("224.0.0.1", "127.0.0.1", False),
        ("ff02::1", "fe80::1", False),
        ("255.255.255.255", "127.0.0.1", False),
        ("nonsense", "127.0.0.1", False),
    ],
)
def test_scope(address: str, other: str, inside: bool) -> None:
    assert in_scope(address, other) is inside


def test_only_a_multihomed_endpoint_lists_addresses_and_only_those_that_mean_something_to_the_peer() -> None:
    assert listed_addresses(["203.0.113.1"], "203.0.113.9") == ()
    assert listed_addresses(["203.0.113.1", "127.0.0.1"], "203.0.113.9") == ()
    assert listed_addresses(["203.0.113.1", "127.0.0.1", "2001:db8::1"], "203.0.113.9") == (
        "203.0.113.1",
        "2001:db8::1",
    )
    assert listed_addresses(["127.0.0.1", "127.0.0.2", "127.0.0.1"], "127.0.0.1") == ("127.0.0.1", "127.0.0.2")
    assert listed_addresses(["0.0.0.0", "::"], "127.0.0.1") == ()
