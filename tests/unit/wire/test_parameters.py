"""Parameters of INIT and INIT ACK, byte for byte as RFC 9260 section 3.3.2.1 and RFC 5061 section 4.2 draw them."""

from __future__ import annotations

import pytest

from asyncsctp.wire import parameters
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, RE_CONFIG
from asyncsctp.wire.tlv import Malformed


@pytest.mark.parametrize(
    ("packed", "wire"),
    [
        (parameters.pack_cookie(b"abcde"), "00070009 6162636465 000000"),
        (parameters.pack_cookie_preservative(2500), "00090008 000009c4"),
        (parameters.pack_cookie_preservative(1 << 40), "00090008 ffffffff"),
        (parameters.pack_supported_address_types({6, 5}), "000c0008 0005 0006"),
        (parameters.pack_supported_address_types([6]), "000c0006 0006 0000"),
        (parameters.pack_ecn_capable(), "80000004"),
        (parameters.pack_adaptation(0x01020304), "c0060008 01020304"),
        (parameters.pack_primary("192.0.2.1"), "c0040010 00000000 00050008 c0000201"),
        (parameters.pack_unrecognized(bytes.fromhex("4123000541")), "00080009 4123000541 000000"),
    ],
)
def test_on_the_wire(packed: bytes, wire: str) -> None:
    assert packed == bytes.fromhex(wire)


def test_forward_tsn_is_said_in_both_ways() -> None:
    """RFC 3758 section 3.1 came before RFC 5061 section 4.2.7; peers may know either."""
    assert parameters.pack_extensions(frozenset({RE_CONFIG})) == bytes.fromhex("80080005 82 000000")
    both = parameters.pack_extensions(frozenset({FORWARD_TSN, I_DATA}))
    assert both == bytes.fromhex("c0000004 80080006 40c0 0000")
    assert parameters.read_supported_extensions(b"\xc0\x40\xc0") == {FORWARD_TSN, I_DATA}


def test_a_cookie_preservative_is_of_four_bytes() -> None:
    assert parameters.read_cookie_preservative(bytes.fromhex("000009c4")) == 2500
    for size in (0, 3, 5):
        with pytest.raises(Malformed):
            parameters.read_cookie_preservative(bytes(size))


def test_supported_address_types() -> None:
    """The Host Name Address is ignored (RFC 9260 section 3.3.2.1.5)."""
    assert parameters.read_supported_address_types(bytes.fromhex("0005 000b 0006")) == {5, 6}
    assert parameters.read_supported_address_types(b"") == frozenset()
    with pytest.raises(Malformed):
        parameters.read_supported_address_types(b"\0\5\0")


@pytest.mark.parametrize(("value", "read"), [("01020304", 0x01020304), ("010203", None), ("0102030405", None)])
def test_an_adaptation_indication_that_can_not_be_read_is_none(value: str, read: int | None) -> None:
    assert parameters.read_adaptation(bytes.fromhex(value)) == read


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("00000000 00050008 c0000201", "192.0.2.1"),
        ("00000007 00060014 20010db8000000000000000000000001", "2001:db8::1"),
        ("00000000 00050008 e0000001", ""),  # multicast
        ("00000000 00050007 c00002", ""),
        ("00000000 000b0008 612e6200", ""),  # a host name
        ("00000000 00050008 c000", ""),
        ("00000000", ""),
        ("", ""),
    ],
)
def test_a_primary_address_that_can_not_be_one_is_left_out(value: str, address: str) -> None:
    assert parameters.read_primary(bytes.fromhex(value)) == address
