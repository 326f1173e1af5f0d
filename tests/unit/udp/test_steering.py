"""The kernel's choice among the sockets at one port, as the programs tell it to."""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from asyncsctp.testing import SeededRandom
from asyncsctp.udp import steering
from asyncsctp.wire import control
from asyncsctp.wire.constants import DATA, INIT
from asyncsctp.wire.packet import Seal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers packets")

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Group:
    """Sockets at one port, and what comes to each."""

    def __init__(self, family: socket.AddressFamily, stack: ExitStack) -> None:
        self.family = family
        self.stack = stack
        self.sockets: list[socket.socket] = []
        self.port = 0

    def socket(self) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(self.family, socket.SOCK_DGRAM))
        sock.setblocking(False)
        return sock

    def bind(self, count: int) -> None:
        for _ in range(count):
            sock = self.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((LOOPBACK[self.family], self.port))
            self.port = sock.getsockname()[1]
            self.sockets.append(sock)

    def receiver_of(self, packet: bytes, source: str | None = None) -> int:
        """The index of the socket that gets it, in the order of binding."""
        with socket.socket(self.family, socket.SOCK_DGRAM) as sender:
            if source is not None:
                sender.bind((source, 0))
            sender.sendto(packet, (LOOPBACK[self.family], self.port))
        found = []
        for index, sock in enumerate(self.sockets):
            if sock.fileno() < 0:
                continue
            try:
                assert sock.recv(65536) == packet  # on loopback it has arrived when sendto returns
            except BlockingIOError:
                continue
            found.append(index)
        assert len(found) == 1
        return found[0]


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with ExitStack() as stack:
        group = Group(request.param, stack)
        try:
            group.bind(4)
        except OSError as exc:
            pytest.skip(f"no {request.param.name} here: {exc}")
        yield group


def packet(tag: int, body: bytes, port: int = 6000) -> bytes:
    return Seal(port, 5001, tag).pack(body)


def chunk(kind: int, flags: int = 0) -> bytes:
    return bytes((kind, flags, 0, 4))


TAGS = [1, 2, 3, 4, 5, 6, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


@pytest.mark.parametrize("members", [1, 3, 4])
@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_finds_its_member(group: Group, members: int, tag: int) -> None:
    steering.attach(group.sockets[0], steering.by_index(members, 7, group.family))
    for body in (chunk(DATA), control.pack_shutdown_ack(), control.pack_abort()):
        assert group.receiver_of(packet(tag, body)) == tag % members


def test_inits_are_spread_by_port_and_the_same_peer_finds_the_same_member(group: Group) -> None:
    steering.attach(group.sockets[0], steering.by_index(4, SeededRandom(1).bits(32), group.family))
    for port in range(30000, 30050):
        receivers = {group.receiver_of(packet(0, chunk(INIT), port)) for _ in range(2)}  # other UDP ports
        assert len(receivers) == 1
    counts = Counter(group.receiver_of(packet(0, chunk(INIT), port)) for port in range(30000, 30400))
    assert min(counts[index] for index in range(4)) > 60


def test_inits_are_spread_by_address() -> None:
    """Peers of one kind often have one port all of them."""
    with ExitStack() as stack:
        group = Group(socket.AF_INET, stack)
        group.bind(4)
        steering.attach(group.sockets[0], steering.by_index(4, SeededRandom(1).bits(32), group.family))
        counts = Counter(
            group.receiver_of(packet(0, chunk(INIT)), f"127.0.{high}.{low}")
            for high in range(4)
            for low in range(1, 101)
        )
        assert min(counts[index] for index in range(4)) > 60


def test_another_salt_is_another_spread(group: Group) -> None:
    def spread(salt: int) -> list[int]:
        steering.attach(group.sockets[0], steering.by_index(4, salt, group.family))
        return [group.receiver_of(packet(0, chunk(INIT), port)) for port in range(30000, 30040)]

    assert spread(0x12345678) != spread(0x87654321)


def test_what_reflects_a_tag_comes_to_where_the_init_came(group: Group) -> None:
    """RFC 9260 section 8.5.1 B and C: it bears the peer's tag, which tells nothing."""
    steering.attach(group.sockets[0], steering.by_index(4, 99, group.family))
    for port in range(30000, 30020):
        there = group.receiver_of(packet(0, chunk(INIT), port))
        for tag in (5, 6, 7, 8):
            assert group.receiver_of(packet(tag, control.pack_abort(reflected=True), port)) == there
            assert group.receiver_of(packet(tag, control.pack_shutdown_complete(reflected=True), port)) == there


def test_no_packet_is_too_short(group: Group) -> None:
    steering.attach(group.sockets[0], steering.by_index(4, 99, group.family))
    for size in range(14):
        assert group.receiver_of(bytes([1] * size)) in range(4)


def test_who_knows_no_number_lets_the_kernel_spread(group: Group) -> None:
    steering.attach(group.sockets[0], steering.by_name(64))
    for member in range(4):
        assert group.receiver_of(packet(64 * 1000 + member, chunk(DATA))) == member
    assert {group.receiver_of(packet(0, chunk(INIT))) for _ in range(100)} == set(range(4))
    assert {group.receiver_of(packet(40, chunk(DATA))) for _ in range(100)} == set(range(4))  # there is no such member


def test_a_socket_that_joins_later_finds_the_program_there(group: Group) -> None:
    steering.attach(group.sockets[0], steering.by_name(64))
    group.bind(1)
    assert group.receiver_of(packet(4, chunk(DATA))) == 4


def test_a_group_has_the_last_program_that_one_gave_it(group: Group) -> None:
    steering.attach(group.sockets[0], steering.by_index(4, 1, group.family))
    steering.attach(group.sockets[3], steering.by_index(2, 1, group.family))
    assert group.receiver_of(packet(3, chunk(DATA))) == 1


def test_the_kernel_moves_the_last_socket_into_the_place_of_one_that_closes(group: Group) -> None:
    """Why somebody has to keep all of them open."""
    steering.attach(group.sockets[0], steering.by_index(4, 1, group.family))
    group.sockets[1].close()
    assert group.receiver_of(packet(5, chunk(DATA))) == 3


def test_a_system_that_refuses_says_so() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, pytest.raises(NotImplementedError, match="steered"):
        steering.attach(sock, steering.by_name(64))
