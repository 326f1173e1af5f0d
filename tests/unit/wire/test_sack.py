from __future__ import annotations

import struct

import pytest

from asyncsctp.wire.sack import pack_sack, read_sack
from asyncsctp.wire.tlv import Malformed


def raw(blocks: list[tuple[int, int]], duplicates: list[int] | None = None, *, length: int | None = None) -> bytes:
    duplicates = duplicates or []
    size = 16 + 4 * len(blocks) + 4 * len(duplicates) if length is None else length
    chunk = struct.pack("!BBHIIHH", 3, 0, size, 100, 5000, len(blocks), len(duplicates))
    chunk += b"".join(struct.pack("!HH", *block) for block in blocks)
    return chunk + b"".join(struct.pack("!I", tsn) for tsn in duplicates)


def gaps_of(blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    chunk = raw(blocks)
    return read_sack(chunk, 0, len(chunk))[2]


def test_3_3_4_the_example_of_the_rfc() -> None:
    chunk = pack_sack(12, 4660, [(2, 3), (5, 5)])
    assert chunk == bytes.fromhex("03000018 0000000c 00001234 0002 0000 0002 0003 0005 0005")
    assert read_sack(chunk, 0, len(chunk)) == (12, 4660, [(2, 3), (5, 5)], ())


def test_without_gaps_and_duplicates() -> None:
    chunk = pack_sack(0xFFFFFFFF, 0)
    assert len(chunk) == 16
    assert read_sack(b"????" + chunk, 4, 16) == (0xFFFFFFFF, 0, [], ())


def test_duplicates_may_repeat() -> None:
    chunk = pack_sack(20, 1, [(2, 2)], [19, 19, 0xFFFFFFFF])
    assert read_sack(chunk, 0, len(chunk)) == (20, 1, [(2, 2)], (19, 19, 0xFFFFFFFF))


def test_blocks_in_any_order_are_sorted() -> None:
    # One stack sorts them as text: 10 before 2.
    assert gaps_of([(10, 11), (2, 3), (5, 6)]) == [(2, 3), (5, 6), (10, 11)]


def test_blocks_that_overlap_or_touch_are_one() -> None:
    assert gaps_of([(2, 5), (4, 9), (10, 12), (14, 14), (3, 4)]) == [(2, 12), (14, 14)]


def test_blocks_that_make_no_sense_are_dropped() -> None:
    assert gaps_of([(5, 4), (0, 3), (7, 8), (0, 0)]) == [(7, 8)]


def test_a_block_right_behind_the_cumulative_tsn_contradicts_it_and_is_dropped() -> None:
    # If all that is outstanding counted as acknowledged by such a block, no timer would run any more.
    assert gaps_of([(1, 2), (4, 65535)]) == [(4, 65535)]


def test_counts_beyond_the_chunk_length_are_malformed_though_the_packet_has_the_bytes() -> None:
    # A stack trusted the counts and read what followed the chunk.
    for chunk in (raw([(2, 3)], length=16), raw([], [7], length=16), raw([(2, 3)], [7], length=20)):
        with pytest.raises(Malformed):
            read_sack(chunk + bytes(64), 0, int.from_bytes(chunk[2:4]))


@pytest.mark.parametrize("length", [4, 8, 15])
def test_a_chunk_shorter_than_its_fixed_part_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        read_sack(pack_sack(1, 2), 0, length)


def test_a_chunk_beyond_the_packet_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_sack(pack_sack(1, 2), 0, 20)


def test_bytes_behind_what_is_counted_are_ignored() -> None:
    chunk = raw([(2, 3)], length=24) + b"\xff\xff\xff\xff"
    assert read_sack(chunk, 0, 24) == (100, 5000, [(2, 3)], ())
