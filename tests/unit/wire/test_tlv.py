from __future__ import annotations

import pytest

from asyncsctp.wire import tlv


def items(data: bytes) -> list[tuple[int, bytes]]:
    return [(kind, data[start:end]) for kind, _, start, end in tlv.walk(data, 0, len(data))]


def test_items_are_walked_over_their_padding() -> None:
    data = tlv.pack(1, b"a") + tlv.pack(2, b"") + tlv.pack(0xFFFE, b"12345")
    assert len(data) % 4 == 0
    assert items(data) == [(1, b"a"), (2, b""), (0xFFFE, b"12345")]


def test_the_walk_tells_where_an_item_starts() -> None:
    data = b"????" + tlv.pack(7, b"abc") + tlv.pack(8, b"defg")
    assert list(tlv.walk(data, 4, len(data))) == [(7, 4, 8, 11), (8, 12, 16, 20)]


def test_the_last_item_may_lack_its_padding() -> None:
    assert items(tlv.pack(1, b"abcde")[:-3]) == [(1, b"abcde")]


@pytest.mark.parametrize("stray", [b"\0", b"\0\0", b"\1\2\3"])
def test_bytes_too_few_for_a_header_are_ignored(stray: bytes) -> None:
    assert items(tlv.pack(1, b"abcd") + stray) == [(1, b"abcd")]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_length_below_the_header_is_malformed_and_never_loops(length: int) -> None:
    with pytest.raises(tlv.Malformed):
        items(tlv.pack(1) + bytes([0, 2, 0, length]) + bytes(64))


def test_an_item_beyond_its_enclosure_is_malformed_though_the_packet_goes_on() -> None:
    data = tlv.pack(1, b"abcdefgh")
    with pytest.raises(tlv.Malformed):
        list(tlv.walk(data, 0, 8))


def test_an_enclosure_beyond_the_packet_is_malformed() -> None:
    with pytest.raises(tlv.Malformed):
        list(tlv.walk(tlv.pack(1), 0, 8))


def test_nothing_holds_nothing() -> None:
    assert items(b"") == []


@pytest.mark.parametrize(
    ("high_bits", "skips", "reports"),
    [(0b00, False, False), (0b01, False, True), (0b10, True, False), (0b11, True, True)],
)
def test_3_2_the_two_high_bits_say_what_to_do_with_the_unknown(high_bits: int, skips: bool, reports: bool) -> None:
    chunk_type = high_bits << 6 | 0x3F
    parameter_type = high_bits << 14 | 0x3FFF
    assert tlv.skips_chunk(chunk_type) is skips
    assert tlv.reports_chunk(chunk_type) is reports
    assert tlv.skips_parameter(parameter_type) is skips
    assert tlv.reports_parameter(parameter_type) is reports


def test_items_are_taken_whole_and_counted_with_their_padding() -> None:
    assert tlv.take_whole([b"12345", b"678", b"9"], 12) == [b"12345", b"678"]
    assert tlv.take_whole([b"12345", b"678"], 8) == [b"12345"]
    assert tlv.take_whole([b"12345"], 7) == []


def test_3_2_the_length_counts_the_padding_of_all_items_but_the_last() -> None:
    items = tlv.pack(1, b"a") + tlv.pack(2, b"b")
    assert tlv.pack_enclosing(0x0900, items) == b"\x09\0\0\x11" + items
    assert tlv.pack_enclosing(0x0900, items, b"1234") == b"\x09\0\0\x15" + b"1234" + items
    assert tlv.pack_enclosing(0x0900, b"") == b"\x09\0\0\x04"
