"""RFC 9260 section 6.8: the CRC32c. (`Script` checks that of every packet that the association sends.)"""

from __future__ import annotations

import pytest
from support.script import Script


@pytest.mark.parametrize("at", [0, 8, 11, 12, 20, -1])
def test_a_packet_with_a_wrong_checksum_is_silently_discarded(at: int) -> None:
    script = Script()
    datagram = bytearray(script.packet(script.data(0)))
    datagram[at] ^= 0x40
    script.arrive_raw(bytes(datagram))
    script.flush()
    script.expect_nothing()
    assert not script.user.messages


def test_a_checksum_of_zero_is_as_wrong() -> None:
    script = Script()
    datagram = script.packet(script.data(0))
    script.arrive_raw(datagram[:8] + bytes(4) + datagram[12:])
    script.flush()
    script.expect_nothing()
    assert script.association.statistics.checksum_errors == 1


def test_a_packet_with_a_right_one_is_not() -> None:
    script = Script()
    script.arrive_raw(script.packet(script.data(0)))
    assert len(script.user.messages) == 1
