"""RE-CONFIG and its parameters, byte for byte as RFC 6525 sections 3 and 4 draw them."""

from __future__ import annotations

import random
from contextlib import suppress
from itertools import product

import pytest

from asyncsctp.wire import tlv
from asyncsctp.wire.reconfig import (
    DENIED,
    Parameter,
    is_allowed,
    pack_add_streams,
    pack_incoming_reset,
    pack_outgoing_reset,
    pack_reconfig,
    pack_response,
    pack_tsn_reset,
    pack_tsn_response,
    read_reconfig,
)
from asyncsctp.wire.tlv import Malformed


def read(*parameters: bytes) -> list[Parameter]:
    value = b"".join(parameters)
    return read_reconfig(value, 0, len(value))[0]


@pytest.mark.parametrize(
    ("packed", "on_the_wire"),
    [
        (pack_outgoing_reset(1, 2, 3), "000d0010 00000001 00000002 00000003"),
        (pack_outgoing_reset(1, 2, 3, [4, 5]), "000d0014 00000001 00000002 00000003 00040005"),
        (pack_outgoing_reset(1, 2, 3, [4]), "000d0012 00000001 00000002 00000003 0004 0000"),
        (pack_incoming_reset(0xFFFFFFFF), "000e0008 ffffffff"),
        (pack_incoming_reset(7, [0, 65535, 1]), "000e000e 00000007 0000ffff 00010000"),
        (pack_tsn_reset(9), "000f0008 00000009"),
        (pack_response(9, DENIED), "0010000c 00000009 00000002"),
        (pack_tsn_response(9, 1, 10, 11), "00100014 00000009 00000001 0000000a 0000000b"),
        (pack_add_streams(9, 3, outgoing=True), "0011000c 00000009 00030000"),
        (pack_add_streams(9, 3, outgoing=False), "0012000c 00000009 00030000"),
    ],
)
def test_parameters_look_as_drawn(packed: bytes, on_the_wire: str) -> None:
    assert packed == bytes.fromhex(on_the_wire)


def test_parameters_are_read_as_they_were_packed() -> None:
    assert read(pack_outgoing_reset(1, 2, 3, [4, 5])) == [Parameter(13, 1, answers=2, last_tsn=3, streams=(4, 5))]
    assert read(pack_incoming_reset(1)) == [Parameter(14, 1)]
    assert read(pack_tsn_reset(1)) == [Parameter(15, 1)]
    assert read(pack_response(1, 6)) == [Parameter(16, 1, result=6)]
    assert read(pack_tsn_response(1, 1, 8, 0)) == [Parameter(16, 1, result=1, sender_tsn=8, receiver_tsn=0)]
    assert read(pack_add_streams(1, 2, True), pack_add_streams(2, 3, False)) == [
        Parameter(17, 1, added=2),
        Parameter(18, 2, added=3),
    ]


def test_the_length_of_a_chunk_does_not_count_the_last_padding() -> None:
    chunk = pack_reconfig([pack_response(1, 1), pack_outgoing_reset(1, 2, 3, [4])])
    assert chunk[:4] == bytes.fromhex("8200 0022")
    assert len(chunk) == 36
    assert [parameter.kind for parameter in read_reconfig(chunk, 4, 0x22)[0]] == [16, 13]


def test_a_stream_that_is_listed_twice_is_given_once() -> None:
    assert read(pack_incoming_reset(1, [5, 3, 5, 5]))[0].streams == (5, 3)


@pytest.mark.parametrize(
    "parameter",
    [
        "000d000c 00000001 00000002",  # no last TSN
        "000d0011 00000001 00000002 00000003 00",  # half a stream
        "000e0004",
        "000e0009 00000001 01",
        "000f0004",
        "000f000c 00000001 00000002",
        "00100008 00000001",
        "00100010 00000001 00000001 00000001",  # one TSN: both or none
        "00110008 00000001",
        "00120010 00000001 00010000 00000000",
        "000d0003",
        "000d0100 00000001 00000002 00000003",
    ],
)
def test_a_wrong_length_is_malformed(parameter: str) -> None:
    with pytest.raises(Malformed):
        read(bytes.fromhex(parameter) + bytes(3))


def test_combinations() -> None:
    allowed = {(13,), (14,), (13, 14), (15,), (17,), (18,), (17, 18), (16,), (16, 13), (16, 16)}
    kinds = range(13, 19)
    every = [(kind,) for kind in kinds] + list(product(kinds, kinds)) + [(), (16, 16, 16), (13, 14, 13)]
    for combination in every:
        assert is_allowed([Parameter(kind, 1) for kind in combination]) == (combination in allowed)


@pytest.mark.parametrize(
    ("kind", "goes_on", "reports"),
    [(0x0001, False, False), (0x4001, False, True), (0x8001, True, False), (0xC001, True, True)],
)
def test_parameters_of_unknown_type_say_what_to_do(kind: int, goes_on: bool, reports: bool) -> None:
    value = tlv.pack(kind, b"abc") + pack_tsn_reset(1)
    found, unknown = read_reconfig(value, 0, len(value))
    assert [parameter.kind for parameter in found] == ([15] if goes_on else [])
    assert unknown == ([value[:7]] if reports else [])


def test_no_more_is_read_than_it_takes_to_see_that_there_are_too_many() -> None:
    assert len(read(*[pack_response(1, 1)] * 1000)) == 3


def test_random_bytes_are_read_or_malformed() -> None:
    source = random.Random(6525)
    for _ in range(5000):
        value = bytearray(source.randbytes(source.randrange(64)))
        if len(value) > 4 and source.random() < 0.9:
            value[:4] = bytes([0, source.randrange(12, 20), 0, source.randrange(len(value) + 2)])
        with suppress(Malformed):
            read(bytes(value))
