"""What processes that share a port write to one another."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from asyncsctp.aio.processes import exchange
from asyncsctp.paths.route import Route

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers packets")


@pytest.mark.parametrize("congestion_experienced", [False, True])
@pytest.mark.parametrize(
    "route",
    [
        Route("192.0.2.1", "198.51.100.1", 65535),
        Route("192.0.2.1", "198.51.100.1", 9899),
        Route("fe80::1%eth0", "2001:db8:1111:2222:3333:4444:5555:6666", 1),
    ],
)
def test_what_is_packed_comes_out(route: Route, congestion_experienced: bool) -> None:
    datagrams = [b"", b"x", bytes(65507), bytes(range(256))]
    message = exchange._pack(route, congestion_experienced, datagrams)
    assert exchange._unpack(message) == (route, congestion_experienced, datagrams)


def test_many_datagrams_are_several_messages() -> None:
    """Each fits into a socket with the buffer that the system gives by default."""
    datagrams = [bytes([size % 256]) * size for size in (*[1252] * 200, 65507, 1, 65507, 65507, 12)]
    trains = exchange._portions(datagrams)
    assert [datagram for train in trains for datagram in train] == datagrams
    assert all(trains)
    assert len(trains) < 12
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        for train in trains:
            message = exchange._pack(Route("192.0.2.1", "198.51.100.1", 9899), False, train)
            assert here.send(message) == len(message)
            assert there.recv(exchange._LARGEST) == message


def test_what_other_users_write_is_not_believed() -> None:
    def credentials(user: int) -> list[tuple[int, int, bytes]]:
        return [(socket.SOL_SOCKET, exchange._SCM_CREDENTIALS, exchange._CREDENTIALS.pack(1, user, 0))]

    assert exchange._is_from_us(credentials(os.geteuid()))
    assert exchange._is_from_us(credentials(0))
    assert not exchange._is_from_us(credentials(os.geteuid() + 4711))
    assert not exchange._is_from_us([])
