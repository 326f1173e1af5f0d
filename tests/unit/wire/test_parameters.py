"""Parameters of INIT and INIT ACK, byte for byte as RFC 9260 section 3.3.2.1 and RFC 5061 section 4.2 draw them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from asyncsctp.wire import tlv
from asyncsctp.wire.asconf import pack_request
from asyncsctp.wire.constants import FORWARD_TSN, I_DATA, PARAM_SET_PRIMARY, RE_CONFIG
from asyncsctp.wire.init import Init, pack_init, pack_unrecognized, read_init
from asyncsctp.wire.tlv import Malformed

FIXED = struct.pack("!IIHHI", 1, 2, 3, 4, 5)
PLAIN = Init(1, 2, 3, 4, 5)


def parameters(wire: str) -> Init:
    """What an INIT says with these parameters behind its fixed part."""
    value = FIXED + bytes.fromhex(wire)
    return read_init(value, 0, len(value))


@pytest.mark.parametrize(
    ("fields", "ack", "wire"),
    [
        ({"cookie": b"abcde"}, True, "00070009 6162636465 000000"),
        ({"preservative_ms": 2500}, False, "00090008 000009c4"),
        ({"preservative_ms": 1 << 40}, False, "00090008 ffffffff"),
        ({"supported_address_types": frozenset({6, 5})}, False, "000c0008 0005 0006"),
        ({"supported_address_types": frozenset({6})}, False, "000c0006 0006 0000"),
        ({"ecn": True}, False, "80000004"),
        ({"adaptation": 0x01020304}, False, "c0060008 01020304"),
        ({"primary": "192.0.2.1"}, False, "c0040010 00000000 00050008 c0000201"),
        ({"disable_restart": True}, False, "c0070004"),
        ({"unrecognized": (bytes.fromhex("4123000541"),)}, True, "00080009 4123000541 000000"),
        # RFC 3758 section 3.1 came before RFC 5061 section 4.2.7; peers may know either.
        ({"extensions": frozenset({RE_CONFIG})}, False, "80080005 82 000000"),
        ({"extensions": frozenset({FORWARD_TSN, I_DATA})}, False, "c0000004 80080006 40c0 0000"),
    ],
)
def test_on_the_wire(fields: dict[str, Any], ack: bool, wire: str) -> None:
    assert pack_init(PLAIN._replace(**fields), ack)[20:] == bytes.fromhex(wire)


def test_an_unrecognized_parameter_is_repeated_whole() -> None:
    assert pack_unrecognized(bytes.fromhex("4123000541")) == bytes.fromhex("00080009 4123000541 000000")


def test_extensions_are_those_of_either_parameter() -> None:
    assert parameters("80080007 c040c0 00").extensions == {FORWARD_TSN, I_DATA}
    assert parameters("c0000004 80080005 40 000000").extensions == {FORWARD_TSN, I_DATA}


def test_a_cookie_preservative_is_of_four_bytes() -> None:
    assert parameters("00090008 000009c4").preservative_ms == 2500
    for wire in ("00090004", "00090007 000000 00", "00090009 0000000000 000000"):
        with pytest.raises(Malformed):
            parameters(wire)


def test_supported_address_types() -> None:
    """The Host Name Address is ignored (RFC 9260 section 3.3.2.1.5)."""
    assert parameters("000c000a 0005 000b 0006 0000").supported_address_types == frozenset({5, 6})
    assert parameters("000c0004").supported_address_types == frozenset()
    with pytest.raises(Malformed):
        parameters("000c0007 000500 00")


@pytest.mark.parametrize(
    ("wire", "read"),
    [("c0060008 01020304", 0x01020304), ("c0060007 010203 00", None), ("c0060009 0102030405 000000", None)],
)
def test_an_adaptation_indication_that_can_not_be_read_is_none(wire: str, read: int | None) -> None:
    assert parameters(wire).adaptation == read


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
    assert parameters(tlv.pack(0xC004, bytes.fromhex(value)).hex()).primary == address


def test_the_primary_address_of_an_init_is_that_of_an_asconf_without_an_id() -> None:
    assert pack_init(PLAIN._replace(primary="192.0.2.1"), False)[20:] == pack_request(PARAM_SET_PRIMARY, 0, "192.0.2.1")
