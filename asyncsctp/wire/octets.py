"""The numbers of the hot path in and out of bytes: the one place where compiled and plain code differ.

Compiled, a field is read or written in a few nanoseconds; interpreted, `struct` does several in one call. All that is
built on these functions is the same source. A reader checks nothing; it never reads beyond the end, though, but raises
IndexError or `struct.error`: its caller has looked at lengths before.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final


def _probe() -> None:
    """Show what kind of function this module's are."""


#: Whether this code was compiled. The compiler is told that it was, other checkers that it wasn't.
COMPILED: Final = type(_probe).__name__ != "function"

if COMPILED:
    from librt.strings import BytesWriter as Writer
    from librt.strings import read_i16_be, read_i32_be, read_i32_le, write_i16_be, write_i32_be, write_i32_le
    from mypy_extensions import i16, i32, i64

    def read_item(data: bytes, at: i64) -> tuple[i64, i64]:
        return i64(read_i16_be(data, at)) & 0xFFFF, i64(read_i16_be(data, at + 2)) & 0xFFFF

    def read_data(data: bytes, at: i64) -> tuple[i64, i64, i64, i64, i64, i64]:
        return (
            i64(read_i16_be(data, at)) & 0xFFFF,
            i64(read_i16_be(data, at + 2)) & 0xFFFF,
            i64(read_i32_be(data, at + 4)) & 0xFFFFFFFF,
            i64(read_i16_be(data, at + 8)) & 0xFFFF,
            i64(read_i16_be(data, at + 10)) & 0xFFFF,
            i64(read_i32_be(data, at + 12)) & 0xFFFFFFFF,
        )

    def read_i_data(data: bytes, at: i64) -> tuple[i64, i64, i64, i64, i64, i64]:
        return (
            i64(read_i16_be(data, at)) & 0xFFFF,
            i64(read_i16_be(data, at + 2)) & 0xFFFF,
            i64(read_i32_be(data, at + 4)) & 0xFFFFFFFF,
            i64(read_i16_be(data, at + 8)) & 0xFFFF,
            i64(read_i32_be(data, at + 12)) & 0xFFFFFFFF,
            i64(read_i32_be(data, at + 16)) & 0xFFFFFFFF,
        )

    def read_sack(data: bytes, at: i64) -> tuple[i64, i64, i64]:
        return (
            i64(read_i32_be(data, at + 4)) & 0xFFFFFFFF,
            i64(read_i32_be(data, at + 8)) & 0xFFFFFFFF,
            i64(read_i32_be(data, at + 12)) & 0xFFFFFFFF,
        )

    def read_checksum(packet: bytes) -> i64:
        return i64(read_i32_le(packet, 8)) & 0xFFFFFFFF

    def write_data(writer: Writer, flags: i64, length: i64, wire_tsn: i64, key: i64, ppid: i64) -> None:
        write_i16_be(writer, i16(flags))
        write_i16_be(writer, i16(length))
        write_i32_be(writer, i32(wire_tsn))
        write_i32_be(writer, i32(key))
        write_i32_be(writer, i32(ppid))

    def write_i_data(writer: Writer, first16: i64, length: i64, wire_tsn: i64, sid: i64, mid: i64, number: i64) -> None:
        write_i16_be(writer, i16(first16))
        write_i16_be(writer, i16(length))
        write_i32_be(writer, i32(wire_tsn))
        write_i32_be(writer, i32(sid << 16))
        write_i32_be(writer, i32(mid))
        write_i32_be(writer, i32(number))

    def take_all(writer: Writer) -> bytes:
        data = writer.getvalue()
        writer.truncate(0)
        return data

    _scratch: Final = Writer()

    def pack_packet(prefix: bytes, checksum: i64, body: bytes) -> bytes:
        writer = _scratch
        writer.truncate(0)
        writer.write(prefix)
        write_i32_le(writer, i32(checksum))
        writer.write(body)
        return writer.getvalue()

    def pack_plain_sack(wire_cumulative_tsn: i64, a_rwnd: i64) -> bytes:
        writer = _scratch
        writer.truncate(0)
        write_i32_be(writer, 0x03000010)
        write_i32_be(writer, i32(wire_cumulative_tsn))
        write_i32_be(writer, i32(a_rwnd))
        write_i32_be(writer, 0)
        return writer.getvalue()

else:

    class Writer(list[bytes]):
        """Bytes that grow at the end."""

        write = list.append

        def getvalue(self) -> bytes:
            """All of them."""
            return b"".join(self)

        def truncate(self, size: int) -> None:
            """Begin anew; `size` is 0."""
            self.clear()

    #: The first 16 bits and the length of an item.
    read_item: Callable[[bytes, int], tuple[int, int]] = Struct("!HH").unpack_from

    _DATA: Final = Struct("!HHIII")

    #: Of a chunk: type and flags (below 256 if it is DATA), length, wire TSN, sid, SSN, PPID.
    read_data: Callable[[bytes, int], tuple[int, int, int, int, int, int]] = Struct("!HHIHHI").unpack_from

    _I_DATA: Final = Struct("!HHIHxxII")

    #: Of an I-DATA chunk: type and flags, length, wire TSN, sid, MID, and PPID (with the B bit) or FSN.
    read_i_data: Callable[[bytes, int], tuple[int, int, int, int, int, int]] = _I_DATA.unpack_from

    #: Of a SACK: wire Cumulative TSN Ack, a_rwnd, and both counts in one number, that of gap blocks in the high half.
    read_sack: Callable[[bytes, int], tuple[int, int, int]] = Struct("!4xIII").unpack_from

    _CHECKSUM: Final = Struct("<8xI")
    _HEADER: Final = Struct("<8sI")
    _SACK: Final = Struct("!IIII")

    def read_checksum(packet: bytes) -> int:
        """Return the checksum of a packet, which stands little-endian."""
        checksum: int = _CHECKSUM.unpack_from(packet)[0]
        return checksum

    def write_data(writer: Writer, flags: int, length: int, wire_tsn: int, key: int, ppid: int) -> None:
        """Write the header of a DATA chunk; `key` is `sid << 16 | ssn`."""
        writer.append(_DATA.pack(flags, length, wire_tsn, key, ppid))

    def write_i_data(writer: Writer, first16: int, length: int, wire_tsn: int, sid: int, mid: int, number: int) -> None:
        """Write the header of an I-DATA chunk, from what `read_i_data` gives."""
        writer.append(_I_DATA.pack(first16, length, wire_tsn, sid, mid, number))

    def take_all(writer: Writer) -> bytes:
        """Return what was written; the writer begins anew."""
        data = b"".join(writer)
        writer.clear()
        return data

    def pack_packet(prefix: bytes, checksum: int, body: bytes) -> bytes:
        """Pack a packet: ports and tag, checksum, chunks."""
        return _HEADER.pack(prefix, checksum) + body

    def pack_plain_sack(wire_cumulative_tsn: int, a_rwnd: int) -> bytes:
        """Pack a SACK chunk without gap blocks and duplicates."""
        return _SACK.pack(0x03000010, wire_cumulative_tsn, a_rwnd, 0)
