from __future__ import annotations

import struct

import pytest

from asyncsctp.wire import tlv
from asyncsctp.wire.addresses import pack_address
from asyncsctp.wire.auth import AuthParameters
from asyncsctp.wire.init import MAX_ADDRESSES, MAX_UNRECOGNIZED_SIZE, Init, pack_init, pack_init_ack, read_init
from asyncsctp.wire.tlv import Malformed

ECN_CAPABLE = tlv.pack(0x8000)
PLAIN = Init(
    initiate_tag=0x01020304, a_rwnd=131072, outgoing_streams=10, incoming_streams=65535, initial_tsn=0xFFFFFFFF
)
FIXED = struct.pack("!IIHHI", 0x01020304, 131072, 10, 65535, 0xFFFFFFFF)


def read(chunk: bytes) -> Init:
    [(_, _, start, end)] = tlv.walk(chunk, 0, len(chunk))
    return read_init(chunk, start, end)


def read_parameters(*items: bytes) -> Init:
    value = FIXED + b"".join(items)
    return read_init(value, 0, len(value))


def test_3_3_2_the_smallest_init_is_its_fixed_part() -> None:
    assert pack_init(PLAIN, ack=False) == b"\x01\0\0\x14" + FIXED
    assert read(pack_init(PLAIN, ack=False)) == PLAIN


def test_an_init_with_everything() -> None:
    init = PLAIN._replace(
        addresses=("192.0.2.1", "2001:db8::1"),
        supported_address_types=frozenset({5, 6}),
        preservative_ms=30000,
        ecn=True,
        extensions=frozenset({0xC0, 0x82}),
    )
    assert read(pack_init(init, ack=False)) == init


def test_3_3_3_an_init_ack_with_everything() -> None:
    unknown = tlv.pack(0xC000)
    ack = PLAIN._replace(addresses=("192.0.2.1",), cookie=b"cookie", ecn=True, unrecognized=(unknown,))
    chunk = pack_init(ack, ack=True)
    assert chunk[:2] == b"\x02\0"
    assert read(chunk) == ack._replace(unrecognized=(), reported=(unknown,))


def test_an_init_ack_says_of_what_both_have_to_agree_on_what_they_agree_on() -> None:
    said = AuthParameters(bytes(32), b"\x01", (3, 1))
    ours = PLAIN._replace(addresses=("192.0.2.1",), ecn=True, extensions=frozenset({0xC0, 0x82}), auth=said)
    expected = ours._replace(cookie=b"cookie", outgoing_streams=3, ecn=False, extensions=frozenset({0xC0}))
    for says_auth, auth in ((True, said), (False, None)):
        chunk = pack_init_ack(ours, b"cookie", 3, False, frozenset({0xC0}), says_auth)
        assert chunk == pack_init(expected._replace(auth=auth), ack=True)
        assert read(chunk) == expected._replace(auth=auth)


def test_who_says_the_same_in_its_parameters_is_another_nevertheless() -> None:
    tail = ECN_CAPABLE
    other = struct.pack("!IIHHI", 5, 6, 7, 8, 9)
    assert read_parameters(tail) == PLAIN._replace(ecn=True)
    assert read_init(other + tail, 0, 20) == Init(5, 6, 7, 8, 9, ecn=True)
    assert read_parameters(tail) == PLAIN._replace(ecn=True)


def test_parameters_stay_in_the_chunk_that_they_belong_to() -> None:
    init = PLAIN._replace(cookie=b"c", preservative_ms=1, supported_address_types=frozenset({5}), unrecognized=(b"x",))
    as_init = read(pack_init(init, ack=False))
    assert as_init.cookie is None
    assert as_init.reported == ()
    as_ack = read(pack_init(init, ack=True))
    assert as_ack.preservative_ms == 0
    assert as_ack.supported_address_types is None


def test_the_chunk_flags_are_ignored_and_zero_tags_are_left_to_the_handshake() -> None:
    chunk = bytearray(pack_init(PLAIN._replace(initiate_tag=0, outgoing_streams=0, a_rwnd=1), ack=False))
    chunk[1] = 0xFF
    assert read(bytes(chunk)) == PLAIN._replace(initiate_tag=0, outgoing_streams=0, a_rwnd=1)


@pytest.mark.parametrize("size", range(16))
def test_a_fixed_part_cut_short_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        read_init(FIXED[:size], 0, size)


def test_an_init_beyond_the_packet_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_init(FIXED, 0, 20)


@pytest.mark.parametrize(
    "parameter",
    [
        tlv.pack(5, b"123"),
        tlv.pack(6, b"1234"),
        tlv.pack(9, b""),
        tlv.pack(9, b"12345"),
        tlv.pack(12, b"\0\5\0"),
        b"\x80\x00\x00\x00",
        b"\x80\x00\x00\x03",
        b"\x80\x00\x00\x05",
        b"\x80\x08\xff\xff",
    ],
)
def test_a_parameter_of_impossible_length_is_malformed(parameter: bytes) -> None:
    with pytest.raises(Malformed):
        read_parameters(parameter)


def test_3_2_the_final_padding_may_be_counted_or_absent() -> None:
    parameter = tlv.pack(7, b"cookie")
    assert read_parameters(parameter).cookie == read_parameters(parameter[:-2]).cookie == b"cookie"


def test_addresses_are_listed_once_and_in_order() -> None:
    first, second = pack_address("192.0.2.2"), pack_address("192.0.2.1")
    mapped = tlv.pack(6, bytes(10) + b"\xff\xff\xc0\x00\x02\x02")
    assert read_parameters(first, second, first, mapped).addresses == ("192.0.2.2", "192.0.2.1")


def test_addresses_that_are_no_destination_are_dropped() -> None:
    items = [
        tlv.pack(5, bytes(4)),
        tlv.pack(5, b"\xff" * 4),
        tlv.pack(5, b"\xe0\0\0\1"),
        tlv.pack(6, b"\xff" + bytes(15)),
    ]
    assert read_parameters(*items, pack_address("192.0.2.1")).addresses == ("192.0.2.1",)


def test_a_long_list_of_addresses_is_cut() -> None:
    init = read_parameters(*(pack_address(f"10.0.{n >> 8}.{n & 255}") for n in range(1, 5000)))
    assert len(init.addresses) == MAX_ADDRESSES
    assert init.addresses[0] == "10.0.0.1"


def test_3_2_1_unknown_parameters_by_their_high_bits() -> None:
    stop, stop_report, skip, skip_report = (tlv.pack(kind, b"abcde") for kind in (0x3ABC, 0x7ABC, 0xBABC, 0xFABC))
    ecn = ECN_CAPABLE
    assert read_parameters(stop, ecn) == PLAIN
    assert read_parameters(ecn, stop).ecn
    assert read_parameters(stop_report, ecn) == PLAIN._replace(unrecognized=(stop_report[:-3],))
    assert read_parameters(skip, ecn) == PLAIN._replace(ecn=True)
    assert read_parameters(skip_report, ecn) == PLAIN._replace(ecn=True, unrecognized=(skip_report[:-3],))


def test_3_2_1_what_stands_behind_the_stop_is_not_looked_at() -> None:
    assert read_parameters(tlv.pack(0x3ABC), b"\0\5\0\0") == PLAIN


def test_rfc4820_padding_is_discarded_in_silence() -> None:
    assert read_parameters(tlv.pack(0x8005, bytes(1000)), ECN_CAPABLE) == PLAIN._replace(ecn=True)


def test_a_forged_init_is_not_answered_by_a_larger_init_ack() -> None:
    init = read_parameters(*(tlv.pack(0xC000 | n) for n in range(10000)))
    assert 0 < sum(map(len, init.unrecognized)) <= MAX_UNRECOGNIZED_SIZE
    assert len(pack_init(init, ack=True)) < 10000 * 4


def test_3_3_2_1_4_a_host_name_is_kept_whole_for_the_abort() -> None:
    parameter = tlv.pack(11, b"a.example\0\0\0")
    init = read_parameters(parameter)
    assert init.host_name == parameter
    assert b"example" not in pack_init(init, ack=False)


def test_3_3_2_1_5_the_host_name_type_is_ignored() -> None:
    assert read_parameters(tlv.pack(12, b"\0\x0b\0\5\0\6\x12\x34")).supported_address_types == frozenset({5, 6, 0x1234})
    assert read_parameters(tlv.pack(12)).supported_address_types == frozenset()


def test_supported_extensions_listed_twice_add_up() -> None:
    init = read_parameters(tlv.pack(0x8008, bytes([0xC1])), tlv.pack(0x8008, bytes([0x80])))
    assert init.extensions == frozenset({0xC1, 0x80})


def test_3_3_2_1_3_an_increment_beyond_its_field_is_the_largest() -> None:
    assert read(pack_init(PLAIN._replace(preservative_ms=1 << 40), ack=False)).preservative_ms == 0xFFFFFFFF
