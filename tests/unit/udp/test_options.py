"""Socket options, and what the system says beside datagrams."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from asyncsctp.udp import options
from asyncsctp.udp.steering import check_platform

linux = pytest.mark.skipif(sys.platform != "linux", reason="numbers and structures are Linux's")

DESTINATION = ("192.0.2.7", 9899)


def told(code: int, origin: int, info: int = 0, icmp: tuple[int, int] = (0, 0)) -> list[tuple[int, int, bytes]]:
    value = options.EXTENDED_ERROR.pack(code, origin, *icmp, 0, info, 0)
    return [(socket.IPPROTO_IP, options.IP_RECVERR, value)]


@linux
def test_an_icmp_error_is_read() -> None:
    found = options.read_error(b"quoted", told(errno.ECONNREFUSED, options.ORIGIN_ICMP, icmp=(3, 3)), DESTINATION)
    assert found is not None
    assert (found.errno, found.address, found.icmp, found.mtu) == (errno.ECONNREFUSED, DESTINATION, (3, 3), None)
    assert found.quoted == b"quoted"


@linux
def test_the_systems_own_error_has_the_size_and_no_icmp() -> None:
    found = options.read_error(b"", told(errno.EMSGSIZE, options.ORIGIN_LOCAL, 1400), ())
    assert found is not None
    assert (found.address, found.icmp, found.mtu) == (None, None, 1400)


@linux
@pytest.mark.parametrize(
    "ancillary",
    [
        [],
        [(socket.SOL_SOCKET, 37, bytes(16))],  # a time stamp
        told(errno.ENOMSG, 4),  # SO_EE_ORIGIN_TIMESTAMPING
        [(socket.IPPROTO_IP, options.IP_RECVERR, bytes(8))],
    ],
)
def test_other_things_on_the_error_queue_are_no_errors(ancillary: list[tuple[int, int, bytes]]) -> None:
    assert options.read_error(b"", ancillary, DESTINATION) is None


@linux
@pytest.mark.parametrize(
    ("address", "expected"), [("2001:db8::1", "2001:db8::1"), ("ff02::1", ""), ("fe80::1", "fe80::1%999999")]
)
def test_the_address_that_a_datagram_came_to(address: str, expected: str) -> None:
    """RFC 9260 section 8.4 rule 1: none that is not unicast. An interface that is gone has a number still."""
    value = options.PACKET_INFO_IPV6.pack(socket.inet_pton(socket.AF_INET6, address), 999_999)
    assert options.read_local_address(value) == expected


@linux
def test_sockets_that_share_a_port() -> None:
    first = options.open_socket(("127.0.0.1", 0), 65536, reuse_port=True)
    port = first.getsockname()[1]
    second = options.open_socket(("127.0.0.1", port), 65536, reuse_port=True)
    assert second.getsockname() == first.getsockname()
    with pytest.raises(OSError, match="in use"):
        options.open_socket(("127.0.0.1", port), 65536)
    first.close()
    second.close()


class Refusing:
    """A socket of a system that knows none of the options."""

    family = socket.AF_INET

    def setsockopt(self, *args: object) -> None:
        raise OSError(errno.ENOPROTOOPT, "no such option")

    getsockopt = setsockopt

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 9899


def test_a_system_without_an_option_is_no_error() -> None:
    sock: Any = Refusing()
    assert not options.sends_segments(sock)
    assert not options.report_errors(sock)
    assert options.report_traffic_class(sock) == -1
    assert options.report_local_address(sock) == -1
    options.forbid_fragments(sock)
    options.allow_fragments(sock)


def test_processes_can_share_a_port_on_linux_alone() -> None:
    check_platform("linux")
    with pytest.raises(NotImplementedError, match="on Linux"):
        check_platform("darwin")
