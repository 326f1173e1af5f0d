from __future__ import annotations

import pytest
from support.chunks import pack_data

from asyncsctp.wire.tlv import PADDING


def test_3_3_1_the_chunk_as_the_rfc_draws_it() -> None:
    chunk = pack_data(0x0B, 0x01020304, 5, 6, 0x0708090A, b"hello")
    assert chunk == bytes.fromhex("000b0015 01020304 0005 0006 0708090a") + b"hello\0\0\0"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_padding_fills_up_to_four(size: int) -> None:
    chunk = pack_data(3, 0, 0, 0, 0, b"\xff" * size)
    assert len(chunk) % 4 == 0
    assert chunk[16 + size :] == PADDING[size & 3] == bytes(-size % 4)
