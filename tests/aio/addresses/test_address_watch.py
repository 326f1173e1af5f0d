"""What the watch of the machine's addresses tells: from bytes of netlink, from the kernel itself, and by looking."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from pathlib import Path
from struct import pack
from typing import Any, Self

import pytest
from support.network_namespace import in_own_network, ip

from asyncsctp.aio.addresses import address_watch, netlink
from asyncsctp.aio.addresses.address_watch import AddressWatch
from asyncsctp.aio.addresses.netlink import AnswerState

from ..conftest import Run

NEW, DELETED, DONE, ERROR = 20, 21, 3, 2
TEMPORARY, OPTIMISTIC, FAILED, DEPRECATED, TENTATIVE = 0x01, 0x04, 0x08, 0x20, 0x40


def attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes, sequence: int = 0, flags: int = 0) -> bytes:
    return pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def about(address: str, kind: int = NEW, *, flags: int = 0, sequence: int = 0, interface: int = 2) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    body = pack("=BBBBI", family, 24, flags & 0xFF, 0, interface)
    return message(kind, body + attribute(1, packed) + attribute(8, pack("=I", flags)), sequence)


def read(data: bytes, sequence: int = 1) -> list[Any]:
    return list(netlink.read_messages(data, sequence))


def test_addresses_that_come_and_go() -> None:
    data = about("10.0.0.1") + about("2001:db8::1", DELETED, interface=3) + about("10.0.0.2", sequence=1)
    assert read(data) == [
        netlink.Address("10.0.0.1", 2, True, True, False),
        netlink.Address("2001:db8::1", 3, False, True, False),
        netlink.Address("10.0.0.2", 2, True, True, True),
    ]


def test_a_link_local_address_has_its_zone() -> None:
    index, name = socket.if_nameindex()[0]
    assert read(about("fe80::1", interface=index))[0].address == f"fe80::1%{name}"


def test_of_a_point_to_point_link_it_is_our_end() -> None:
    ours, theirs = (socket.inet_pton(socket.AF_INET, address) for address in ("10.0.0.1", "10.0.0.2"))
    for attributes in (
        attribute(1, theirs) + attribute(2, ours),
        attribute(2, ours) + attribute(1, theirs),
        attribute(99, b"?") + attribute(2, ours),
    ):
        assert read(message(NEW, pack("=BBBBI", socket.AF_INET, 32, 0, 0, 7) + attributes))[0].address == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "flags", "is_there", "is_lasting"),
    [
        ("2001:db8::1", TENTATIVE, False, True),
        ("2001:db8::1", TENTATIVE | FAILED, False, True),
        ("2001:db8::1", FAILED, False, True),
        ("2001:db8::1", TENTATIVE | OPTIMISTIC, True, True),
        ("2001:db8::1", DEPRECATED, True, False),
        ("2001:db8::1", TEMPORARY, True, False),
        ("10.0.0.1", TEMPORARY, True, True),  # of IPv4 it means a secondary address
        ("10.0.0.1", DEPRECATED, True, False),
    ],
)
def test_flags(address: str, flags: int, is_there: bool, is_lasting: bool) -> None:
    found = read(about(address, flags=flags))[0]
    assert (found.is_there, found.is_lasting) == (is_there, is_lasting)


def test_the_end_of_an_answer() -> None:
    assert read(message(DONE, bytes(4), 1)) == [AnswerState.COMPLETE]
    assert read(message(ERROR, bytes(4), 1)) == [AnswerState.REFUSED]
    assert read(message(DONE, bytes(4), 7)) == []
    assert read(message(DONE, bytes(4), 1, 0x10)) == [AnswerState.INTERRUPTED, AnswerState.COMPLETE]


def test_what_is_cut_short_or_wrong_says_nothing() -> None:
    whole = about("10.0.0.1")
    for size in range(len(whole)):
        assert read(whole[:size]) == []
    assert read(message(NEW, b"")) == []
    assert read(message(NEW, pack("=BBBBI", 99, 0, 0, 0, 1) + attribute(1, bytes(4)))) == []
    assert read(message(NEW, pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 1) + attribute(1, bytes(4)))) == []
    assert read(message(NEW, pack("=BBBBI", socket.AF_INET, 0, 0, 0, 1) + pack("=HH", 3, 1) + bytes(4))) == []
    assert read(pack("=IHHII", 3, NEW, 0, 0, 0) + whole) == []


@pytest.mark.parametrize("seed", range(20))
def test_noise_raises_nothing(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        data = bytearray(about("10.0.0.1") + about("2001:db8::1") + message(DONE, bytes(4), 1))
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        read(bytes(data[: chance.randrange(len(data))]))
        read(chance.randbytes(chance.randrange(200)))


# The kernel's own.


class News:
    """Notes what the watch tells, and lets a test wait for it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[dict[str, bool]] = asyncio.Queue()
        self.watch = AddressWatch("127.0.0.1", self._queue.put_nowait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.close()

    async def next(self) -> list[tuple[str, bool]]:
        return list((await self._queue.get()).items())


def test_the_kernel_tells(run: Run) -> None:
    async def main() -> None:
        with News() as news:
            assert await news.next() == []
            assert news.watch.addresses == {"127.0.0.1", "::1"}
            ip("addr", "add", "10.77.0.1/24", "dev", "lo")
            assert await news.next() == [("10.77.0.1", True)]
            ip("-6", "addr", "add", "fd77::1/64", "dev", "lo", "nodad")
            ip("addr", "del", "10.77.0.1/24", "dev", "lo")
            assert await news.next() == [("10.77.0.1", False), ("fd77::1", True)]
            # Who begins to use one that is deprecated begins something that is about to end.
            ip("-6", "addr", "add", "fd77::2/64", "dev", "lo", "nodad", "preferred_lft", "0")
            ip("addr", "add", "10.77.0.2/24", "dev", "lo")
            assert await news.next() == [("10.77.0.2", True)]
            assert "fd77::2" in news.watch.addresses
            ip("-6", "addr", "del", "fd77::2/64", "dev", "lo")
            assert await news.next() == [("fd77::2", False)]
            # What comes and goes at once is no news.
            ip("addr", "add", "10.77.0.3/24", "dev", "lo")
            ip("addr", "del", "10.77.0.3/24", "dev", "lo")
            ip("addr", "add", "10.77.0.4/24", "dev", "lo")
            assert await news.next() == [("10.77.0.4", True)]
            news.watch.close()
            news.watch.close()

    in_own_network(lambda: run(main()))


def test_an_address_is_told_when_its_uniqueness_is_known(run: Run) -> None:
    async def main() -> None:
        with News() as news:
            await news.next()
            ip("link", "add", "near", "type", "veth", "peer", "name", "far")
            ip("link", "set", "far", "up")
            ip("link", "set", "near", "up")
            ip("-6", "addr", "add", "fd77::1/64", "dev", "near")  # tentative for a second
            told: list[tuple[str, bool]] = []
            # The link-local one waits for a random moment before it is looked for (RFC 4862 section 5.4.2).
            while ("fd77::1", True) not in told or not any(address.startswith("fe80::") for address, _ in told):
                told += await news.next()
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.bind(("fd77::1", 0))
            assert any(address.startswith("fe80::") and "%" in address for address in news.watch.addresses)

    in_own_network(lambda: run(main()))


def test_many_at_once_are_not_lost(run: Run, tmp_path: Path) -> None:
    """More than the socket's buffer holds: the kernel says so, and is asked anew."""
    commands = tmp_path / "commands"
    commands.write_text("".join(f"addr add 10.77.{n >> 8}.{n & 255}/16 dev lo\n" for n in range(1, 3000)))

    async def main() -> None:
        with News() as news:
            await news.next()
            ip("-batch", str(commands))  # while nobody reads
            told: list[tuple[str, bool]] = []
            while len(told) < 2999:
                told += await news.next()
            assert len(set(told)) == 2999
            assert len(news.watch.addresses) == 3001

    in_own_network(lambda: run(main()))


def no_netlink(*_: object) -> None:
    raise OSError(errno.EAFNOSUPPORT, "no such thing")


def test_elsewhere_it_is_found_by_looking(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without netlink."""
    monkeypatch.setattr(address_watch, "_POLL_INTERVAL", 0.05)
    monkeypatch.setattr(address_watch, "_GATHERING", 0.01)

    async def main() -> None:
        ip("addr", "add", "10.77.0.1/24", "dev", "lo")
        ip("route", "add", "default", "dev", "lo")
        monkeypatch.setattr(address_watch, "_Netlink", no_netlink)
        with News() as news:
            assert await news.next() == []
            assert "10.77.0.1" in news.watch.addresses
            ip("addr", "del", "10.77.0.1/24", "dev", "lo")
            assert ("10.77.0.1", False) in await news.next()

    in_own_network(lambda: run(main()))
