"""Every kind of transport keeps the same promises."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from asyncsctp.testing import SeededRandom
from asyncsctp.udp import options as udp_options
from asyncsctp.udp import transport as transport_module
from asyncsctp.udp.batch import BatchTransport
from asyncsctp.udp.datagram import Address, DatagramError, PacketProtocol, PacketTransport, address_of, sockaddr_of
from asyncsctp.udp.transport import Kind, open_datagram

from .conftest import Run

TIMEOUT = 10.0


@pytest.fixture(params=["auto", "batch", "single", "plain"])
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


class Sink(PacketProtocol):
    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.datagrams: list[bytes] = []
        self.sources: set[Address] = set()
        self.answers = 0
        self.errors: list[Exception] = []
        self.lost: list[Exception | None] = []
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.transport is None
        self.transport = transport

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        self.datagrams += datagrams
        self.sources.add(addr)
        self._changed.set()

    def batch_done(self) -> None:
        self.answers += 1
        self._changed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        self._changed.set()


async def opened(kind: Kind, host: str = "127.0.0.1", **options: Any) -> tuple[PacketTransport, Sink]:
    sink = Sink()
    transport = await open_datagram(lambda: sink, (host, 0), kind=kind, **options)
    assert sink.transport is transport
    return transport, sink


async def closed(*sinks: Sink) -> None:
    for sink in sinks:
        assert isinstance(sink.transport, PacketTransport)
        sink.transport.close()
        assert sink.transport.is_closing()
        await sink.until(lambda sink=sink: bool(sink.lost))  # type: ignore[misc]
        assert sink.lost == [None]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_batches_arrive_in_order(run: Run, kind: Kind, host: str) -> None:
    async def main() -> None:
        sender, s = await opened(kind, host)
        receiver, r = await opened(kind, host)
        address = receiver.get_extra_info("sockname")
        assert address[0] == host and address[1] != 0 and len(address) == 2
        packets = [number.to_bytes(4, "big") * 250 for number in range(50)]
        sender.send_batch(packets, address)
        sender.sendto(bytearray(b"last"), address)
        await r.until(lambda: len(r.datagrams) == 51 and r.answers > 0)
        assert r.datagrams == [*packets, b"last"]
        assert r.sources == {sender.get_extra_info("sockname")}
        await closed(s, r)

    run(main())


def test_kind_of_transport(run: Run, kind: Kind) -> None:
    async def main() -> None:
        transport, sink = await opened(kind)
        expected = kind != "plain" and sys.platform == "linux"
        assert isinstance(transport, BatchTransport) == (kind != "plain")
        assert transport.get_extra_info("ecn") is expected
        if kind in ("single", "plain"):
            assert transport.get_extra_info("gso") is False
            assert transport.get_extra_info("gro") is False
        await closed(sink)

    run(main())


def test_buffers_are_asked_for(run: Run, kind: Kind) -> None:
    async def main() -> None:
        small, s = await opened(kind, buffer=16384)
        large, g = await opened(kind, buffer=131072)
        for name in ("rcvbuf", "sndbuf"):
            assert 0 < small.get_extra_info(name) < large.get_extra_info(name)
        await closed(s, g)

    run(main())


def test_too_large_is_reported_later_and_the_rest_goes(run: Run, kind: Kind) -> None:
    async def main() -> None:
        sender, s = await opened(kind)
        receiver, r = await opened(kind)
        address = receiver.get_extra_info("sockname")
        sender.send_batch([b"before", bytes(65530), b"after"], address)
        assert s.errors == []
        await s.until(lambda: bool(s.errors))
        await r.until(lambda: len(r.datagrams) == 2)
        assert r.datagrams == [b"before", b"after"]
        [error] = s.errors
        assert isinstance(error, DatagramError)
        assert (error.errno, error.address) == (errno.EMSGSIZE, address)
        await closed(s, r)

    run(main())


def test_fragments_on_request(run: Run, kind: Kind) -> None:
    async def main() -> None:
        sender, s = await opened(kind)
        receiver, r = await opened(kind)
        sender.send_batch([bytes(20000)], receiver.get_extra_info("sockname"), fragment=True)
        await r.until(lambda: r.datagrams == [bytes(20000)])
        await closed(s, r)

    run(main())


def test_code_points_of_single_batches(run: Run, kind: Kind) -> None:
    async def main() -> None:
        sender, s = await opened(kind, dscp=8)
        with udp_options.open_socket(("127.0.0.1", 0), 65536) as target:
            udp_options.report_traffic_class(target)
            target.setblocking(True)
            target.settimeout(TIMEOUT)
            seen = []
            for dscp in (-1, 46, 0, -1):
                sender.send_batch([b"packet"], target.getsockname()[:2], dscp=dscp)
                _, [(_, _, value)], _, _ = target.recvmsg(100, 100)
                seen.append(int.from_bytes(value, sys.byteorder))
        assert seen == [8 << 2, 46 << 2, 0, 8 << 2]
        await closed(s)

    run(main())


def test_abort(run: Run, kind: Kind) -> None:
    async def main() -> None:
        transport, sink = await opened(kind)
        transport.abort()
        await sink.until(lambda: bool(sink.lost))
        transport.sendto(b"x", ("127.0.0.1", 9))
        assert sink.lost == [None] and sink.errors == []

    run(main())


def test_bad_arguments(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="kind"):
            await opened("quick")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="dscp"):
            await opened("auto", dscp=64)
        with pytest.raises(ValueError, match="localhost"):
            await opened("auto", "localhost")
        transport, sink = await opened("plain")
        with pytest.raises(ValueError, match="address"):
            transport.sendto(b"x")
        await closed(sink)

    run(main())


def test_an_address_in_use_leaves_nothing_behind(run: Run, kind: Kind) -> None:
    async def main() -> None:
        transport, sink = await opened(kind)
        with pytest.raises(OSError) as caught:
            await open_datagram(Sink, transport.get_extra_info("sockname"), kind=kind)
        assert caught.value.errno == errno.EADDRINUSE
        await closed(sink)

    run(main())


def test_ipv6_takes_ipv6_only(run: Run, kind: Kind) -> None:
    async def main() -> None:
        transport, sink = await opened(kind, "::")
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        await closed(sink)

    run(main())


class NoWatching(asyncio.SelectorEventLoop):
    """Like a proactor loop: knows datagram endpoints, but watches no sockets for us."""

    def add_reader(self, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


def test_a_loop_that_cannot_watch_sockets_uses_its_own_transport() -> None:
    async def main() -> None:
        sender, s = await opened("auto")
        receiver, r = await opened("auto")
        assert not isinstance(sender, BatchTransport)
        sender.sendto(b"hello", receiver.get_extra_info("sockname"))
        await r.until(lambda: r.datagrams == [b"hello"])
        with pytest.raises(NotImplementedError):
            await opened("batch")
        await closed(s, r)

    with asyncio.Runner(loop_factory=NoWatching) as runner:
        runner.run(asyncio.wait_for(main(), TIMEOUT))


def test_a_simulated_network_brings_its_own() -> None:
    class Pretended(PacketTransport):
        pass

    class Simulated(asyncio.SelectorEventLoop):
        protocol_random = SeededRandom(0)

        def open_simulated_datagram(
            self, protocol_factory: Callable[[], PacketProtocol], local_addr: Address
        ) -> tuple[PacketTransport, PacketProtocol]:
            assert local_addr == ("10.0.0.1", 9899)
            return Pretended(), protocol_factory()

    async def main() -> None:
        assert isinstance(await open_datagram(Sink, ("10.0.0.1", 9899)), Pretended)

    with asyncio.Runner(loop_factory=Simulated) as runner:
        runner.run(main())


def test_the_loops_receive_size_is_cut_down() -> None:
    async def main() -> None:
        transport, sink = await opened("plain")
        assert isinstance(transport, transport_module._PlainTransport)
        assert transport._inner.max_size == 65536  # type: ignore[attr-defined]
        await closed(sink)

    asyncio.run(main())


def test_scopes() -> None:
    name = socket.if_nameindex()[0][1]
    index = socket.if_nametoindex(name)
    assert address_of(("fe80::1", 5, 0, index)) == (f"fe80::1%{name}", 5)
    assert address_of(("2001:db8::1", 5, 0, 0)) == ("2001:db8::1", 5)
    assert address_of(("192.0.2.1", 5)) == ("192.0.2.1", 5)
    assert sockaddr_of((f"fe80::1%{name}", 5)) == ("fe80::1", 5, 0, index)
    assert sockaddr_of(("fe80::1%3", 5)) == ("fe80::1", 5, 0, 3)
    assert sockaddr_of(("192.0.2.1", 5)) == ("192.0.2.1", 5)
    with pytest.raises(OSError):
        sockaddr_of(("fe80::1%nosuchif", 5))


def link_local() -> str | None:
    try:
        with open("/proc/net/if_inet6") as table:
            for line in table:
                digits, _, _, scope, _, name = line.split()
                if scope == "20":
                    groups = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
                    return f"{socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, groups))}%{name}"
    except OSError:
        pass
    return None


@pytest.mark.skipif(link_local() is None, reason="no link-local address here")
def test_link_local_addresses(run: Run, kind: Kind) -> None:
    async def main() -> None:
        host = link_local()
        assert host is not None
        sender, s = await opened(kind, host)
        receiver, r = await opened(kind, host)
        sender.sendto(b"hello", receiver.get_extra_info("sockname"))
        await r.until(lambda: r.datagrams == [b"hello"])
        assert r.sources == {(host, sender.get_extra_info("sockname")[1])}
        await closed(s, r)

    run(main())
