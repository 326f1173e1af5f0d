"""The largest packets that there are: a chunk's length has 16 bits, and none may need more."""

from __future__ import annotations

import pytest
from support.pair import Pair

from asyncsctp.config import Config
from asyncsctp.testing import LinkSettings
from asyncsctp.wire import tlv
from asyncsctp.wire.constants import COMMON_HEADER_SIZE, DATA
from asyncsctp.wire.packet import checksum_ok


@pytest.mark.parametrize("mtu", [65535, 65534, 32768, 32767])
def test_messages_above_the_largest_chunk_arrive_whole(mtu: int) -> None:
    pair = Pair(link=LinkSettings(mtu=mtu, queue=1 << 20), config=Config(mtu=mtu))
    pair.network.packets = []
    pair.establish()
    for number, size in enumerate((65535, 65536, 65537, 200_000, 65519, 65520, 1)):
        pair.send(0, number % 2, bytes([number]) * size, ppid=0xFFFFFFFF, unordered=number == 3)
    pair.run_until(pair.is_delivered)
    pair.shutdown(0)
    pair.run_until(pair.is_over)
    pair.verify()
    longest = 0
    for packet in pair.network.packets:
        assert len(packet.data) <= mtu - 28  # IP and UDP
        assert checksum_ok(packet.data)
        for first16, start, _, end in tlv.walk(packet.data, COMMON_HEADER_SIZE, len(packet.data)):
            if first16 >> 8 == DATA:
                longest = max(longest, end - start)
    assert mtu - 50 < longest <= mtu - 28 - COMMON_HEADER_SIZE
