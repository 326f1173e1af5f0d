"""Both forms of the hot path's readers and writers, compiled and plain, are held to the RFC's drawings."""

from __future__ import annotations

import struct

import pytest
from support.chunks import pack_data

from asyncsctp.wire import octets
from asyncsctp.wire.sack import pack_sack

LARGEST = 0xFFFFFFFF


def test_a_data_header_is_read_in_place() -> None:
    chunk = pack_data(7, LARGEST, 0xFFFF, 1, 51, b"x")
    assert octets.read_data(b"????" + chunk, 4) == (7, 17, LARGEST, 0xFFFF, 1, 51)
    assert octets.read_item(b"??" + chunk, 2) == (7, 17)


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0x80000000, LARGEST])
def test_no_number_is_taken_for_a_negative_one(value: int) -> None:
    low = value & 0xFFFF
    writer = octets.Writer()
    octets.write_data(writer, low & 0xFF, low, value, value, value)
    assert writer.getvalue() == struct.pack("!HHIII", low & 0xFF, low, value, value, value)
    fields = (low, low, value, low, low, value)
    assert octets.read_data(struct.pack("!HHIHHI", *fields), 0) == fields
    assert octets.read_item(struct.pack("!HH", low, low), 0) == (low, low)
    assert octets.read_sack(b"?" + struct.pack("!4xIII", value, value, value), 1) == (value, value, value)
    assert octets.read_checksum(struct.pack("<8xI", value)) == value
    assert octets.pack_packet(b"prefix..", value, b"body") == b"prefix.." + struct.pack("<I", value) + b"body"
    assert octets.pack_plain_sack(value, value) == struct.pack("!BBHIII", 3, 0, 16, value, value, 0)
    assert octets.pack_plain_sack(value, value) == pack_sack(value, value)


def test_a_writer_grows_and_begins_anew() -> None:
    writer = octets.Writer()
    writer.write(b"one")
    writer.write(b"two")
    assert writer.getvalue() == b"onetwo"
    writer.truncate(0)
    assert writer.getvalue() == b""
    writer.write(b"three")
    assert writer.getvalue() == b"three"


@pytest.mark.parametrize("size", [0, 3, 15])
def test_nothing_is_read_beyond_the_end(size: int) -> None:
    data = bytes(size)
    for read in (octets.read_data, octets.read_sack):
        with pytest.raises((IndexError, struct.error)):
            read(data, 0)
    for at in (size - 3, size, size + 100):
        if at >= 0:
            with pytest.raises((IndexError, struct.error)):
                octets.read_item(data, at)
