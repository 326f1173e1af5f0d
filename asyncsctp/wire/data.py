"""The DATA chunk (RFC 9260 section 3.3.1) as scalars: no chunk objects on the hot path.

Stream identifier and SSN travel as one 32-bit number, `sid << 16 | ssn`; `octets` has the reader and the writer of the
header. A chunk is known to be whole when `at + DATA_HEADER_SIZE <= at + length <= end of the packet`, and to carry user
data when `length` is above DATA_HEADER_SIZE.
"""

from __future__ import annotations

from .constants import DATA_HEADER_SIZE
from .octets import Writer, write_data
from .tlv import PADDING


def pack_data(flags: int, wire_tsn: int, sid: int, ssn: int, ppid: int, user_data: bytes) -> bytes:
    """A whole DATA chunk, with its padding."""
    size = len(user_data)
    writer = Writer()
    write_data(writer, flags, DATA_HEADER_SIZE + size, wire_tsn, sid << 16 | ssn, ppid)
    writer.write(user_data)
    writer.write(PADDING[size & 3])
    return writer.getvalue()
