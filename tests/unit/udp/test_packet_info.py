"""A socket bound to all addresses: answers leave from the address that the peer spoke to."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from typing import Any, Self

import pytest
from support.udp_recorder import Recorder, Wrapped, closed, no_trouble, packets_of

import asyncsctp
from asyncsctp.udp import options as udp_options
from asyncsctp.udp.batch import BatchTransport
from asyncsctp.udp.datagram import Address

from .conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as its own")

TIMEOUT = 10.0


class Locals(Recorder):
    """Notes the local addresses too."""

    def datagrams_received_at(
        self, datagrams: list[bytes], addr: Address, congestion_experienced: bool, local: str
    ) -> None:
        self.note("received", datagrams, addr, congestion_experienced, local)


def make(
    host: str, trouble: Callable[[str, bytes], int] = no_trouble, **options: Any
) -> tuple[BatchTransport, Locals, Wrapped]:
    sock: Any = Wrapped(udp_options.open_socket((host, 0), 1 << 20), trouble)
    recorder = Locals()
    return BatchTransport(asyncio.get_running_loop(), sock, recorder, **options), recorder, sock


def port_of(transport: BatchTransport) -> int:
    port: int = transport.get_extra_info("sockname")[1]
    return port


class Client:
    """A plain UDP socket that takes datagrams from one address only, as a NAT or a connected socket does."""

    def __init__(self, server: Address) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.connect(server)
        self.sock.settimeout(TIMEOUT)
        self.address: Address = self.sock.getsockname()[:2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.sock.close()


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize(("wildcard", "hosts"), [("0.0.0.0", ["127.0.0.1", "127.0.0.2", "127.1.2.3"]), ("::", ["::1"])])
def test_answers_leave_from_the_address_spoken_to(run: Run, wildcard: str, hosts: list[str], segments: bool) -> None:
    async def main() -> None:
        transport, r, sock = make(wildcard, segments=segments)
        for host in hosts:
            with Client((host, port_of(transport))) as client:
                client.sock.send(b"to " + host.encode())
                await r.until(lambda: bool(r.named("received")))
                [(_, datagrams, addr, _, local)] = r.named("received")
                assert (datagrams, addr, local) == ([b"to " + host.encode()], client.address, host)
                packets = [*packets_of(*[1000] * 20, 300), b"alone"]
                transport.send_batch(packets, addr, local=local)
                assert [client.sock.recv(2000) for _ in packets] == packets
                if transport.get_extra_info("gso"):
                    assert sock.went == [("sendmsg", 20300), ("sendmsg", 5)]
                sock.went.clear()
            r.calls = [call for call in r.calls if call[0] != "received"]
        assert not r.errors
        await closed(r)

    run(main())


def test_a_socket_of_one_address_asks_for_nothing(run: Run) -> None:
    async def main() -> None:
        transport, r, sock = make("127.0.0.2")
        assert sock.getsockopt(socket.IPPROTO_IP, udp_options.IP_PKTINFO) == 0
        with Client(("127.0.0.2", port_of(transport))) as client:
            client.sock.send(b"hello")
            await r.until(lambda: bool(r.named("received")))
            transport.send_batch([b"alone"], client.address)
            assert client.sock.recv(100) == b"alone"
        assert r.named("received") == [("received", [b"hello"], client.address, False)]
        assert sock.went == [("sendto", 5)]
        await closed(r)

    run(main())


def test_what_waits_in_a_full_socket_keeps_its_source(run: Run) -> None:
    full = True

    async def main() -> None:
        nonlocal full
        transport, r, _ = make("0.0.0.0", lambda method, data: errno.EAGAIN if full else 0)
        with Client(("127.0.0.2", port_of(transport))) as client:
            packets = packets_of(100, 100, 40)
            transport.send_batch(packets, client.address, local="127.0.0.2")
            assert transport.get_write_buffer_size() == 240
            full = False
            arrived = await asyncio.to_thread(lambda: [client.sock.recv(200) for _ in packets])
            assert arrived == packets
        await closed(r)

    run(main())


def test_an_address_that_is_gone_is_told_and_does_not_end_gso(run: Run) -> None:
    async def main() -> None:
        transport, r, _ = make("0.0.0.0")
        if not transport.get_extra_info("gso"):
            pytest.skip("no GSO here")
        with Client(("127.0.0.2", port_of(transport))) as client:
            transport.send_batch(packets_of(100, 100, 100), client.address, local="192.0.2.7")
            await r.until(lambda: bool(r.errors))
            assert {error.address for error in r.errors} == {client.address}
            assert sum(error.count for error in r.errors) == 3
            assert r.errors[0].errno in (errno.EINVAL, errno.ENETUNREACH)
            assert transport.get_extra_info("gso") is True
            transport.send_batch([b"goes on"], client.address, local="127.0.0.2")
            assert client.sock.recv(100) == b"goes on"
        await closed(r)

    run(main())


def test_broadcasts_are_not_for_us(run: Run) -> None:
    """RFC 9260 section 8.4 rule 1."""

    async def main() -> None:
        transport, r, _ = make("0.0.0.0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            source.sendto(b"to all", ("127.255.255.255", port_of(transport)))
            source.sendto(b"to us", ("127.0.0.1", port_of(transport)))
        await r.until(lambda: bool(r.datagrams))
        assert r.datagrams == [b"to us"]
        await closed(r)

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_a_server_at_all_addresses_answers_from_the_one_spoken_to(run: Run, host: str) -> None:
    async def main() -> None:
        names: asyncio.Queue[tuple[str, list[str]]] = asyncio.Queue()

        async def handler(association: asyncsctp.Association) -> None:
            async for message in association:
                await association.send(message.data)
            paths = [path.address for path in association.paths]
            names.put_nowait((association.get_extra_info("sockname")[0], paths))

        async with asyncsctp.serve(handler, None, 5001, udp_port=0) as server:
            async with asyncsctp.connect(host, 5001, udp_port=server.udp_port) as association:
                for size in (1, 500_000):
                    await association.send(bytes(size))
                    assert len((await association.recv()).data) == size
                stats = association.stats
                assert [path.address for path in association.paths] == [host]
            ours = association.get_extra_info("sockname", None)
            assert await names.get() == (host, [ours[0]])
            assert stats.t3_timeouts == stats.unexpected_chunks == 0
            assert server.endpoint.stats.out_of_the_blue == 0
            assert not server.endpoint.stats.send_failures

    run(main())


def test_a_server_at_all_addresses_reaches_each_address_of_a_peer(run: Run) -> None:
    """The peer knows it by one address alone, and answers no HEARTBEAT from another (RFC 9260 sections 5.4, 8.4)."""

    async def main() -> None:
        confirmed: asyncio.Queue[list[asyncsctp.PathState]] = asyncio.Queue()

        async def handler(association: asyncsctp.Association) -> None:
            events = association.events()
            while not all(path.state is asyncsctp.PathState.ACTIVE for path in association.paths):
                await anext(events)
            confirmed.put_nowait([path.state for path in association.paths])

        config = asyncsctp.Config(rto_initial=0.1, rto_min=0.1)
        async with (
            asyncsctp.serve(handler, None, 5001, udp_port=0, config=config) as server,
            asyncsctp.connect(
                "127.0.0.2", 5001, udp_port=server.udp_port, local_addrs=["127.0.0.1", "127.0.0.3"], config=config
            ),
        ):
            assert len(await confirmed.get()) == 2

    run(main())


def test_an_endpoint_at_all_addresses_sets_up_and_takes(run: Run) -> None:
    async def main() -> None:
        async with await asyncsctp.open_endpoint(port=5001) as a, await asyncsctp.open_endpoint(port=5002) as z:
            for host in ("127.0.0.2", "::1"):
                association = await a.connect(host, 5002, udp_port=z.udp_port)
                other = await z.accept()
                await association.send(b"there")
                assert (await other.recv()).data == b"there"
                await other.send(b"back")
                assert (await association.recv()).data == b"back"
                assert other.get_extra_info("sockname")[0] == host
                # The system chose our address, and it stays the one that the peer knows us by.
                assert association.get_extra_info("sockname")[0] == other.peer
                await association.close()

    run(main())
