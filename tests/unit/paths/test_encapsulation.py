from __future__ import annotations

import pytest

from asyncsctp.paths.encapsulation import chunk_space, learned, listed_addresses
from asyncsctp.paths.route import Route


@pytest.mark.parametrize(
    ("mtu", "ipv4", "space"),
    [(1500, True, 1460), (1500, False, 1440), (1280, False, 1220), (65535, True, 65492), (576, True, 536)],
)
def test_the_udp_header_is_part_of_the_packet(mtu: int, ipv4: bool, space: int) -> None:
    assert chunk_space(mtu, ipv4) == space


def test_only_a_multihomed_endpoint_lists_addresses_and_only_those_that_mean_something_to_the_peer() -> None:
    assert listed_addresses(["203.0.113.1"], "203.0.113.9") == ()
    assert listed_addresses(["203.0.113.1", "127.0.0.1"], "203.0.113.9") == ()
    assert listed_addresses(["203.0.113.1", "127.0.0.1", "2001:db8::1"], "203.0.113.9") == (
        "203.0.113.1",
        "2001:db8::1",
    )
    assert listed_addresses(["127.0.0.1", "127.0.0.2", "127.0.0.1"], "127.0.0.1") == ("127.0.0.1", "127.0.0.2")
    assert listed_addresses(["0.0.0.0", "::"], "127.0.0.1") == ()


def test_the_peers_udp_port_is_that_of_its_last_packet() -> None:
    """RFC 6951 section 5.4; the local address is taken with it only where ours is a guess."""
    known = Route("203.0.113.1", "203.0.113.9", 9899)
    assert learned(known, known, True) is known
    assert learned(known, known._replace(udp_port=40000), False) == known._replace(udp_port=40000)
    elsewhere = known._replace(local="203.0.113.2")
    assert learned(known, elsewhere, False) is known
    assert learned(known, elsewhere, True) == elsewhere
