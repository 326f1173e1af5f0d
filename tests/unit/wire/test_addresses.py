from __future__ import annotations

from ipaddress import ip_address

import pytest

from asyncsctp.wire.addresses import pack_address, read_address
from asyncsctp.wire.tlv import Malformed


def test_3_3_2_1_1_ipv4() -> None:
    assert pack_address("192.0.2.1") == bytes.fromhex("00050008c0000201")
    assert read_address(5, bytes.fromhex("c0000201")) == "192.0.2.1"


def test_3_3_2_1_2_ipv6_has_one_spelling() -> None:
    parameter = pack_address("2001:DB8:0::1")
    assert parameter == bytes.fromhex("00060014 20010db8000000000000000000000001")
    assert read_address(6, parameter[4:]) == "2001:db8::1"


def test_3_3_2_1_2_an_ipv4_mapped_address_must_not_be_sent() -> None:
    assert pack_address("::ffff:192.0.2.1") == pack_address("192.0.2.1")
    assert read_address(6, ip_address("::ffff:192.0.2.1").packed) == "192.0.2.1"


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.2.3", "::", "ff02::1", "::ffff:224.0.0.1", "::ffff:0.0.0.0"],
)
def test_what_can_never_be_a_destination_is_dropped(address: str) -> None:
    packed = ip_address(address).packed
    assert read_address(5 if len(packed) == 4 else 6, packed) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.0.1", "::1", "fe80::1"])
def test_scope_is_not_judged_here(address: str) -> None:
    packed = ip_address(address).packed
    assert read_address(5 if len(packed) == 4 else 6, packed) == address


@pytest.mark.parametrize(("parameter_type", "size"), [(5, 0), (5, 3), (5, 16), (6, 4), (6, 15), (6, 17)])
def test_an_address_of_the_wrong_size_is_malformed(parameter_type: int, size: int) -> None:
    with pytest.raises(Malformed):
        read_address(parameter_type, bytes(size))


def test_the_zone_of_a_link_local_address_stays_at_home() -> None:
    assert pack_address("fe80::1%eth0") == pack_address("fe80::1")
