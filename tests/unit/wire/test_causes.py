from __future__ import annotations

import pytest

from asyncsctp.errors import Cause
from asyncsctp.wire import causes, tlv
from asyncsctp.wire.addresses import pack_address
from asyncsctp.wire.constants import (
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN,
    CAUSE_DELETE_LAST_ADDRESS,
    CAUSE_DELETE_SOURCE_ADDRESS,
    CAUSE_ILLEGAL_ASCONF_ACK,
    CAUSE_INVALID_PARAMETER,
    CAUSE_NO_AUTHORIZATION,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_RESOURCE_SHORTAGE,
    CAUSE_UNRECOGNIZED_CHUNK,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    CAUSE_USER_ABORT,
)
from asyncsctp.wire.tlv import Malformed

#: Add IP Address, as an ASCONF has it, to be returned in a cause.
PARAMETER = tlv.pack(0xC002, bytes(4) + pack_address("192.0.2.1"))


def read(data: bytes) -> tuple[Cause, ...]:
    return causes.read_causes(data, 0, len(data))


@pytest.mark.parametrize(
    ("cause", "wire", "text"),
    [
        (causes.pack_invalid_stream(9), "00010008 00090000", "invalid stream identifier: 9"),
        (
            causes.pack_missing_parameters([7]),
            "0002000a 00000001 0007 0000",
            "missing mandatory parameter: 0x0007 (State Cookie)",
        ),
        (
            causes.pack_missing_parameters([0x8002, 0x8004, 0x8008]),
            "0002000e 00000003 8002 8004 8008 0000",
            "missing mandatory parameter: 0x8002 (Random), 0x8004 (Requested HMAC Algorithm), 0x8008",
        ),
        (causes.pack_stale_cookie(2500), "00030008 000009c4", "stale cookie: by 2500 us"),
        (causes.pack_stale_cookie(0), "00030008 00000000", "stale cookie"),
        (causes.pack_stale_cookie(1 << 40), "00030008 ffffffff", "stale cookie: by 4294967295 us"),
        (causes.pack_cause(CAUSE_OUT_OF_RESOURCE), "00040004", "out of resource"),
        (
            causes.pack_unresolvable_address(pack_address("192.0.2.1")),
            "0005000c 00050008 c0000201",
            "unresolvable address: 192.0.2.1",
        ),
        (
            causes.pack_unresolvable_address(tlv.pack(11, b"a.b\0")),
            "0005000c 000b0008 612e6200",
            "unresolvable address: an address of type 11",
        ),
        (
            causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, bytes.fromhex("7f00000478")),
            "00060009 7f00000478 000000",
            "unrecognized chunk: type 0x7f",
        ),
        (causes.pack_cause(CAUSE_INVALID_PARAMETER), "00070004", "invalid mandatory parameter"),
        (
            causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [bytes.fromhex("c123000541"), bytes.fromhex("c1240004")]),
            "00080010 c123000541000000 c1240004",
            "unrecognized parameters: 0xc123, 0xc124",
        ),
        (causes.pack_no_user_data(77), "00090008 0000004d", "no user data: TSN 77"),
        (causes.pack_cause(CAUSE_COOKIE_WHILE_SHUTTING_DOWN), "000a0004", "cookie received while shutting down"),
        (
            causes.pack_restart_with_new_addresses(["192.0.2.1", "2001:db8::1"]),
            "000b0020 00050008 c0000201 00060014 20010db8000000000000000000000001",
            "restart of an association with new addresses: 192.0.2.1, 2001:db8::1",
        ),
        (causes.pack_cause(CAUSE_USER_ABORT, b"bye"), "000c0007 627965 00", "user-initiated abort: bye"),
        (causes.pack_cause(CAUSE_USER_ABORT), "000c0004", "user-initiated abort"),
        (causes.pack_protocol_violation("no"), "000d0006 6e6f 0000", "protocol violation: no"),
        (
            causes.pack_new_encapsulation_port(9899, 40000),
            "000e0008 26ab9c40",
            "restart of an association with new encapsulation port: 40000 instead of 9899",
        ),
    ],
)
def test_3_3_10_every_cause_on_the_wire_and_for_people(cause: bytes, wire: str, text: str) -> None:
    assert cause == bytes.fromhex(wire)
    [found] = read(cause)
    assert found.code == int(wire[:4], 16)
    assert str(found) == text


def test_several_causes_and_their_information() -> None:
    found = read(causes.pack_cause(CAUSE_USER_ABORT, b"why") + causes.pack_cause(CAUSE_OUT_OF_RESOURCE))
    assert [(cause.code, cause.info) for cause in found] == [(12, b"why"), (4, b"")]


def test_no_causes_at_all() -> None:
    assert read(b"") == ()


def test_an_unknown_cause_is_kept() -> None:
    [cause] = read(tlv.pack(0x00C8, b"abc"))
    assert cause == Cause(0x00C8, b"abc", "cause 200")


@pytest.mark.parametrize("code", [1, 2, 3, 6, 9, 14])
@pytest.mark.parametrize("size", [0, 3])
def test_a_cause_too_short_for_its_field_is_malformed(code: int, size: int) -> None:
    # A kernel read the staleness from behind the cause.
    with pytest.raises(Malformed):
        read(tlv.pack(code, bytes(size)) + bytes.fromhex("00040004"))


def test_a_count_of_missing_parameters_beyond_the_cause_is_malformed() -> None:
    with pytest.raises(Malformed):
        read(tlv.pack(2, bytes.fromhex("ffffffff 0007 0005")))


def test_what_is_in_order_can_be_read_though_the_rest_is_not() -> None:
    good = causes.pack_cause(CAUSE_USER_ABORT, b"bye")
    assert causes.read_causes_leniently(good + b"\0\3\0\5\0") == read(good)
    assert causes.read_causes_leniently(good + b"\0\3\0\0") == read(good)
    assert causes.read_causes_leniently(b"\0\1\0\4") == ()


def test_a_copy_that_the_peer_cut_short_spoils_nothing() -> None:
    [cause] = read(tlv.pack(8, tlv.pack(0xC123) + b"\xc1\x24\0\x40"))
    assert str(cause) == "unrecognized parameters: 0xc123"
    [cause] = read(tlv.pack(11, pack_address("192.0.2.1") + tlv.pack(5, b"12345")))
    assert str(cause).endswith("192.0.2.1, an address of type 5")


def test_a_text_of_the_peer_is_safe_to_print() -> None:
    [cause] = read(tlv.pack(13, b"a\x1b[2J\xff\n" + b"x" * 60000))
    assert cause.text.isprintable()
    assert len(cause.text) < 300
    assert cause.info.startswith(b"a\x1b")


def test_the_staleness_can_be_read() -> None:
    [cause] = read(causes.pack_stale_cookie(123456))
    assert causes.read_staleness(cause.info) == 123456
    with pytest.raises(Malformed):
        causes.read_staleness(b"123")


def test_what_is_sent_fits_a_small_packet() -> None:
    for cause in (
        causes.pack_cause(CAUSE_USER_ABORT, b"x" * 70000),
        causes.pack_protocol_violation("y" * 70000),
        causes.pack_cause(CAUSE_UNRECOGNIZED_CHUNK, b"\x7f\0\xff\xff" + bytes(65531)),
        causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, [tlv.pack(0xC123, bytes(500))] * 100),
        causes.pack_restart_with_new_addresses(f"2001:db8::{n:x}" for n in range(100)),
    ):
        assert len(cause) <= causes.MAX_INFO_SIZE + 4
        read(cause)


def test_a_packet_full_of_causes_is_not_read_to_its_end() -> None:
    assert len(read(causes.pack_cause(CAUSE_OUT_OF_RESOURCE) * 10000)) == causes.MAX_CAUSES


@pytest.mark.parametrize(
    ("cause", "code", "text"),
    [
        (
            causes.pack_copies(CAUSE_DELETE_LAST_ADDRESS, (PARAMETER,)),
            0x00A0,
            "request to delete the last remaining IP address: 0xc002",
        ),
        (
            causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (PARAMETER,)),
            0x00A1,
            "operation refused due to resource shortage: 0xc002",
        ),
        (
            causes.pack_copies(CAUSE_DELETE_SOURCE_ADDRESS, (PARAMETER,)),
            0x00A2,
            "request to delete the source IP address: 0xc002",
        ),
        (causes.pack_cause(CAUSE_ILLEGAL_ASCONF_ACK), 0x00A3, "association aborted due to illegal ASCONF-ACK"),
        (causes.pack_copies(CAUSE_NO_AUTHORIZATION, (PARAMETER,)), 0x00A4, "request refused, no authorization: 0xc002"),
        (causes.pack_unsupported_hmac(3), 0x0105, "unsupported HMAC identifier: 3"),
    ],
)
def test_causes_of_rfc_5061_and_rfc_4895(cause: bytes, code: int, text: str) -> None:
    [found] = read(cause)
    assert (found.code, str(found)) == (code, text)
    if found.info[2:] and code != 0x0105:
        assert found.info == PARAMETER, "the whole parameter comes back (RFC 5061 section 4.3)"


def test_an_hmac_identifier_of_one_byte_is_malformed() -> None:
    with pytest.raises(Malformed):
        read(tlv.pack(0x0105, b"\0"))


USER_ABORT = causes.pack_cause(CAUSE_USER_ABORT, b"abcdefgh")


@pytest.mark.parametrize(
    ("space", "left"),
    [
        (12 + 12, USER_ABORT * 2),
        (12 + 11, USER_ABORT + tlv.pack(12, b"abcd")),
        (12 + 8, USER_ABORT + tlv.pack(12, b"abcd")),
        (12 + 7, USER_ABORT + tlv.pack(12)),
        (12 + 4, USER_ABORT + tlv.pack(12)),
        (12 + 3, USER_ABORT),
        (12, USER_ABORT),
        (3, b""),
        (0, b""),
    ],
)
def test_what_does_not_fit_is_cut_at_four_bytes(space: int, left: bytes) -> None:
    assert causes.shorten(USER_ABORT * 2, space) == left


@pytest.mark.parametrize(("space", "count"), [(28, 3), (27, 2), (20, 2), (19, 1), (12, 1), (11, 0), (4, 0)])
def test_no_parameter_of_a_cause_is_cut(space: int, count: int) -> None:
    parameters = [tlv.pack(0xC123 + index, bytes(4)) for index in range(3)]
    assert causes.shorten(causes.pack_copies(CAUSE_UNRECOGNIZED_PARAMETERS, parameters), space) == causes.pack_copies(
        CAUSE_UNRECOGNIZED_PARAMETERS, parameters[:count]
    )


def test_of_a_copy_that_was_cut_before_the_whole_ones_are_kept() -> None:
    whole = tlv.pack(0xC123, bytes(4))
    assert causes.shorten(tlv.pack(8, whole + b"\xc1\x24\0\x40"), 12) == tlv.pack(8, whole)
