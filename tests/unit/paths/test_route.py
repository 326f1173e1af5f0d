from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsctp.paths.route import in_scope, is_ipv4, is_private, normalize


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


PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
EDGES = [number + by for network in PRIVATE for number in (int(network[0]), int(network[-1])) for by in (-1, 0, 1)]


@given(
    st.one_of(
        st.integers(0, 2**32 - 1),
        st.sampled_from(EDGES),
        st.sampled_from([0, 2**32 - 1, 0x7F000000, 0x80000000, 0xA9FE0000, 0xA9FEFFFF, 0xE0000000, 0xF0000000]),
    )
)
def test_scopes_are_those_of_the_registries(number: int) -> None:
    """RFC 1918, RFC 6598, RFC 3927 and RFC 1112."""
    address = IPv4Address(number)
    is_destination = not (address.is_multicast or address.is_unspecified or number == 2**32 - 1)
    has_link_scope = address.is_loopback or address.is_link_local
    is_local = has_link_scope or any(address in network for network in PRIVATE)
    assert in_scope(str(address), str(address)) is is_destination
    assert is_private(str(address)) is (is_local or not is_destination)
    assert in_scope(str(address), "10.0.0.1") is (is_destination and not has_link_scope)
    assert in_scope(str(address), "127.0.0.1") is is_destination
