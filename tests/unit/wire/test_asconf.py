"""ASCONF and ASCONF-ACK, byte for byte as RFC 5061 section 4 and draft natsupp section 5.3 draw them."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from asyncsctp.wire import causes
from asyncsctp.wire.asconf import (
    MAX_REQUESTS,
    AsconfChunk,
    Request,
    Response,
    pack_asconf,
    pack_asconf_ack,
    pack_disable_restart,
    pack_failure,
    pack_request,
    pack_success,
    pack_vtags,
    read_asconf,
    read_asconf_ack,
    read_lookup,
)
from asyncsctp.wire.constants import (
    CAUSE_DELETE_LAST_ADDRESS,
    CAUSE_RESOURCE_SHORTAGE,
    PARAM_ADD_ADDRESS,
    PARAM_DELETE_ADDRESS,
    PARAM_SET_PRIMARY,
)
from asyncsctp.wire.tlv import Malformed

ADD = pack_request(PARAM_ADD_ADDRESS, 0x01023474, "192.0.2.1")
DELETE = pack_request(PARAM_DELETE_ADDRESS, 0x01023476, "192.0.2.1")
HERE = "00050008 c0000207"


def read(value: str) -> AsconfChunk:
    data = bytes.fromhex(value)
    return read_asconf(data, 0, len(data))


def read_ack(value: bytes) -> tuple[int, list[Response]]:
    return read_asconf_ack(value, 4, len(value))


@pytest.mark.parametrize(
    ("packed", "on_the_wire"),
    [
        (ADD, "c0010010 01023474 00050008 c0000201"),
        (DELETE, "c0020010 01023476 00050008 c0000201"),
        (pack_request(PARAM_SET_PRIMARY, 0x01023479, "192.0.2.1"), "c0040010 01023479 00050008 c0000201"),
        (pack_request(PARAM_ADD_ADDRESS, 1, "2001:db8::1"), "c001001c 00000001 00060014 20010db8" + "0" * 23 + "1"),
        (pack_request(PARAM_ADD_ADDRESS, 1, "0.0.0.0"), "c0010010 00000001 00050008 00000000"),
        (pack_request(PARAM_DELETE_ADDRESS, 1, "::"), "c002001c 00000001 00060014" + "0" * 32),
        (pack_success(0x01023474), "c0050008 01023474"),
        (
            pack_failure(0x01023476, causes.pack_copies(CAUSE_DELETE_LAST_ADDRESS, (DELETE,))),
            "c003001c 01023476 00a00014 c0020010 01023476 00050008 c0000201",
        ),
        (pack_vtags(5, 0x0A0B0C0D, 0x01020304), "c0080010 00000005 0a0b0c0d 01020304"),
        (pack_disable_restart(), "c0070004"),
        (
            pack_asconf(0xFFFFFFFF, "192.0.2.7", [ADD, DELETE]),
            "c1000030 ffffffff 00050008 c0000207" + ADD.hex() + DELETE.hex(),
        ),
        (pack_asconf_ack(7), "80000008 00000007"),
        (pack_asconf_ack(7, [pack_success(1)]), "80000010 00000007 c0050008 00000001"),
    ],
)
def test_chunks_and_parameters_look_as_drawn(packed: bytes, on_the_wire: str) -> None:
    assert packed == bytes.fromhex(on_the_wire)


def test_what_is_packed_is_read() -> None:
    vtags = pack_vtags(3, 1, 2)
    chunk = pack_asconf(7, "192.0.2.7", [ADD, DELETE, vtags, pack_disable_restart()])
    assert read_asconf(chunk, 4, len(chunk)) == AsconfChunk(
        7,
        "192.0.2.7",
        (
            Request(0xC001, 0x01023474, "192.0.2.1", ADD),
            Request(0xC002, 0x01023476, "192.0.2.1", DELETE),
            Request(0xC008, 3, "", vtags, (1, 2)),
            Request(0xC007, 0, "", pack_disable_restart()),
        ),
    )
    assert read_lookup(chunk, 4, len(chunk))[1] == "192.0.2.7"


def test_an_answer_that_is_packed_is_read() -> None:
    chunk = pack_asconf_ack(7, [pack_success(1), pack_failure(2, causes.pack_copies(CAUSE_RESOURCE_SHORTAGE, (ADD,)))])
    number, responses = read_ack(chunk)
    assert number == 7
    assert [(each.correlation, each.is_success) for each in responses] == [(1, True), (2, False)]
    assert [cause.code for cause in responses[1].causes] == [0xA1]


def test_wildcards_are_told_from_what_is_no_destination() -> None:
    assert read("00000001 00050008 00000000").address == "0.0.0.0"
    assert read("00000001 00060014" + "0" * 32).address == "::"
    for address in ("ffffffff", "e0000001"):
        [request] = read(f"00000001 {HERE} c0010010 00000001 00050008 {address}").requests
        assert request.address == ""
    [request] = read(f"00000001 {HERE} c001001c 00000001 00060014 ff02" + "0" * 28).requests
    assert request.address == ""


def test_a_host_name_is_ignored_wherever_it_stands() -> None:
    """Section 4.1.1, note."""
    name = "000b0008 6e616d00"
    assert read(f"00000001 {name} {HERE}").address == "192.0.2.7"
    assert read(f"00000001 {HERE} {name}").requests == ()
    data = bytes.fromhex(f"00000001 {name} {HERE}")
    assert read_lookup(data, 0, len(data))[1] == "192.0.2.7"
    [request] = read(f"00000001 {HERE} c0010010 00000001 000b0008 6e616d00").requests
    assert request.address == ""


def test_what_does_not_belong_there_is_ignored() -> None:
    """Section 4.2: Success Indication, Error Cause Indication, Adaptation, Supported Extensions, plain addresses."""
    strangers = "c0050008 00000001 c0030008 00000002 c0060008 00000003 80080005 c1000000 00050008 c0000201"
    assert read(f"00000001 {HERE} {strangers}").requests == ()


def test_unknown_parameters_are_reported_as_their_bits_say() -> None:
    """RFC 9260 section 3.2.1."""
    [reported, known] = read(f"00000001 {HERE} f00a000c 00000005 00000000 {ADD.hex()}").requests
    assert (reported.kind, reported.correlation) == (0xF00A, 5)
    assert known.kind == 0xC001
    [known] = read(f"00000001 {HERE} 9abc0008 00000005 {ADD.hex()}").requests
    assert known.kind == 0xC001
    [reported] = read(f"00000001 {HERE} 7abc0008 00000005 {ADD.hex()}").requests
    assert reported.kind == 0x7ABC
    assert read(f"00000001 {HERE} 3abc0008 00000005 {ADD.hex()}").requests == ()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "000000",
        "00000001",
        "00000001 c0010010 01023474 00050008 c0000201",  # no Address Parameter
        "00000001 00050007 c0000201",
        "00000001 0005000c c0000201 00000000",
        f"00000001 {HERE} c0010004",
        f"00000001 {HERE} c0010008 00000001",
        f"00000001 {HERE} c0010010 00000001 00050009 c0000201",
        f"00000001 {HERE} c0010014 00000001 0005000c c0000201 00000000",
        f"00000001 {HERE} c0010018 00000001 00050008 c0000201",
        f"00000001 {HERE} c008000c 00000001 00000002",
    ],
)
def test_impossible_lengths(value: str) -> None:
    with pytest.raises(Malformed):
        read(value)


def test_a_tail_without_padding() -> None:
    data = bytes.fromhex(f"00000001 {HERE} f00a0009 00000005 07")
    assert [request.parameter for request in read_asconf(data, 0, len(data)).requests] == [data[12:]]
    answer = bytes.fromhex("00000001 c003000d 00000001 00a10005 07")
    assert [cause.info for cause in read_asconf_ack(answer, 0, len(answer))[1][0].causes] == [b"\7"]


def test_the_number_of_requests_is_bounded() -> None:
    chunk = pack_asconf(1, "192.0.2.7", [ADD] * MAX_REQUESTS)
    assert len(read_asconf(chunk, 4, len(chunk)).requests) == MAX_REQUESTS
    chunk = pack_asconf(1, "192.0.2.7", [ADD] * (MAX_REQUESTS + 1))
    with pytest.raises(Malformed):
        read_asconf(chunk, 4, len(chunk))


def test_answers_pass_over_what_they_do_not_know() -> None:
    value = bytes.fromhex("00000001 c0050006 0001 0000 12340008 00000000 c0050008 00000009")
    assert read_asconf_ack(value, 0, len(value)) == (1, [Response(9, True)])
    with pytest.raises(Malformed):
        read_asconf_ack(b"\0\0\0", 0, 3)


def test_garbage_is_malformed_or_read() -> None:
    chance = random.Random(5061)
    for _ in range(3000):
        chunk = bytearray(pack_asconf(1, "192.0.2.7", [ADD, pack_vtags(1, 2, 3), DELETE]))
        for _ in range(chance.randrange(1, 5)):
            chunk[chance.randrange(len(chunk))] = chance.randrange(256)
        data = bytes(chunk[: chance.randrange(len(chunk) + 1)])
        for reader in (read_asconf, read_asconf_ack, read_lookup):
            with suppress(Malformed):
                reader(data, min(4, len(data)), len(data))


def test_no_more_responses_are_read_than_there_can_be_requests() -> None:
    packed = pack_asconf_ack(7, [pack_success(number) for number in range(MAX_REQUESTS + 50)])
    number, responses = read_asconf_ack(packed, 4, len(packed))
    assert number == 7
    assert MAX_REQUESTS <= len(responses) <= MAX_REQUESTS + 1
