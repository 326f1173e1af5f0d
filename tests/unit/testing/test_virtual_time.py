from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from asyncsctp.testing import DatagramError, DeadlockError, LinkSettings, Network, TimeLimitError, VirtualLoop, run
from asyncsctp.udp.datagram import PacketProtocol
from asyncsctp.udp.transport import open_datagram

A, B, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"


class Plain(asyncio.DatagramProtocol):
    """A protocol as any asyncio program has it."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: list[Exception] = []
        self.transport: Any = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data == b"choke":
            raise RuntimeError("choked")
        self.received.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Batched(Plain):
    """A protocol that takes batches."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[object] = []

    def datagrams_received(self, datagrams: list[bytes], addr: Any, congestion_experienced: bool) -> None:
        self.calls.append((datagrams, addr, congestion_experienced))

    def batch_done(self) -> None:
        self.calls.append("done")


def network(**options: Any) -> Network:
    net = Network(**options)
    net.host("a", A, A6)
    net.host("b", B, B6)
    return net


def loop() -> VirtualLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


def test_ten_idle_minutes_pass_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(660)


def test_timers_fire_in_order_at_their_time() -> None:
    async def main() -> list[tuple[str, float]]:
        running, fired = asyncio.get_running_loop(), list[tuple[str, float]]()
        for name, delay in (("b", 2.0), ("a", 1.0), ("c", 2.5)):
            running.call_later(delay, lambda name: fired.append((name, running.time())), name)
        running.call_later(2.2, fired.append, ("never", 0.0)).cancel()
        await asyncio.sleep(3)
        return fired

    assert run(main()) == [("a", 1.0), ("b", 2.0), ("c", 2.5)]


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    cleaned = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            cleaned.append(True)

    with pytest.raises(DeadlockError, match="main"):
        run(main())
    assert cleaned, "tasks are cancelled, and may take their virtual time"


def test_an_endless_run_is_an_error() -> None:
    async def main() -> None:
        running = asyncio.get_running_loop()

        def again() -> None:
            running.call_later(30, again)

        again()
        await running.create_future()

    with pytest.raises(TimeLimitError, match="3600"):
        run(main(), limit=3600)
    with pytest.raises(ValueError, match="limit"):
        run(main(), limit=0)


def test_leftover_tasks_are_cancelled() -> None:
    ended: list[float] = []

    async def leftover() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def main() -> None:
        left = asyncio.create_task(leftover())
        await asyncio.sleep(1)
        assert not left.done()

    run(main())
    assert ended == [1.0]


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> float:
        sleeper = asyncio.create_task(asyncio.sleep(1000))
        await asyncio.to_thread(sum, range(100_000))
        sleeper.cancel()
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_plain_datagram_programs_run() -> None:
    net = network()

    async def main() -> None:
        running = asyncio.get_running_loop()
        _, server = await running.create_datagram_endpoint(Plain, local_addr=("server", 7))
        with net.hosts["a"].active():
            transport, client = await running.create_datagram_endpoint(Plain, remote_addr=("server", 7))
        assert transport.get_extra_info("peername") == (B, 7)
        transport.sendto(b"ping")
        data, addr = await server.received.get()
        assert (data, addr) == (b"ping", transport.get_extra_info("sockname"))
        server.transport.sendto(b"pong", addr)
        assert await client.received.get() == (b"pong", (B, 7))
        assert running.time() == pytest.approx(0.02)

    net.name("server", B)
    net.run(main())


def test_ipv6_addresses_look_as_sockets_give_them() -> None:
    net = network()

    async def main() -> None:
        _, b = loop().open_simulated_datagram(Plain, (B6, 7))
        transport, _ = loop().open_simulated_datagram(Plain, (A6, 5))
        assert transport.get_extra_info("sockname") == (A6, 5, 0, 0)
        transport.sendto(bytearray(b"x"), (B6, 7, 0, 0))
        assert await b.received.get() == (b"x", (A6, 5, 0, 0))

    net.run(main())


def test_batches() -> None:
    net = network(link=LinkSettings(mark=1.0))

    async def main() -> None:
        _, b = loop().open_simulated_datagram(Batched, (B, 7))
        transport, _ = loop().open_simulated_datagram(Plain, (A, 5))
        transport.send_batch([b"1", memoryview(b"2")], (B, 7), True)
        transport.send_batch([b"3"], (B, 7))
        await asyncio.sleep(0.1)
        assert b.calls == [([b"1", b"2"], (A, 5), True), ([b"3"], (A, 5), False), "done"]

    net.run(main())


def test_a_choking_protocol_gets_the_other_datagrams() -> None:
    net = network()
    reported: list[dict[str, Any]] = []

    async def main() -> None:
        loop().set_exception_handler(lambda _, context: reported.append(context))
        _, b = loop().open_simulated_datagram(Plain, (B, 7))
        transport, _ = loop().open_simulated_datagram(Plain, (A, 5))
        transport.send_batch([b"choke", b"fine"], (B, 7))
        assert (await b.received.get())[0] == b"fine"

    net.run(main())
    assert [str(context["exception"]) for context in reported] == ["choked"]


def test_errors_come_to_error_received() -> None:
    net = network(icmp=True)

    async def main() -> None:
        transport, protocol = loop().open_simulated_datagram(Plain, (A, 0))
        net.link(A, B, mtu=1000, report_too_big=True)
        for data, addr in ((b"", (B, 9)), (b"", ("10.9.9.9", 9)), (bytes(1000), (B, 9)), (b"", (B6, 9))):
            transport.sendto(data, addr)
        transport.sendto(bytes(65508), (B, 9))
        await asyncio.sleep(1)
        assert sorted(error.errno or 0 for error in protocol.errors if isinstance(error, OSError)) == sorted(
            [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.EAFNOSUPPORT, errno.EMSGSIZE]
        )
        with pytest.raises(ValueError, match="address"):
            transport.sendto(b"")
        with pytest.raises(TypeError):
            transport.sendto("text", (B, 9))  # type: ignore[arg-type]

    net.run(main())


def test_close() -> None:
    net = network()

    async def main() -> None:
        transport, protocol = loop().open_simulated_datagram(Plain, (A, 5))
        net.send((B, 7), (A, 5), b"too late")
        transport.close()
        assert transport.is_closing()
        transport.abort()
        transport.sendto(b"", (B, 7))
        await asyncio.sleep(1)
        assert protocol.lost
        assert protocol.received.empty()
        loop().open_simulated_datagram(Plain, (A, 5))

    net.run(main())


def test_addresses_without_owner_and_wildcards() -> None:
    net = network()

    async def main() -> None:
        for address in ("10.9.9.9", "0.0.0.0"):
            with pytest.raises(OSError, match=address) as caught:
                loop().open_simulated_datagram(Plain, (address, 0))
            assert caught.value.errno == errno.EADDRNOTAVAIL
        with net.hosts["b"].active():
            _, b = await loop().create_datagram_endpoint(Plain, local_addr=("0.0.0.0", 7))
        net.send((A, 1), (B, 7), b"x")
        assert await b.received.get() == (b"x", (A, 1))
        with socket.socket() as real, pytest.raises(ValueError, match="real socket"):
            await loop().create_datagram_endpoint(Plain, sock=real)

    net.run(main())


def test_tasks_started_by_a_protocol_belong_to_its_host() -> None:
    net = network()

    class Starter(Plain):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.task = asyncio.create_task(self.answer(addr))

        async def answer(self, addr: Any) -> None:
            transport, _ = await loop().create_datagram_endpoint(Plain, family=socket.AF_INET)
            transport.sendto(b"answer", addr)

    async def main() -> None:
        with net.hosts["b"].active():
            await loop().create_datagram_endpoint(Starter, local_addr=("0.0.0.0", 7))
        transport, a = loop().open_simulated_datagram(Plain, (A, 5))
        transport.sendto(b"x", (B, 7))
        assert (await a.received.get())[1][0] == B

    net.run(main())


def test_names() -> None:
    net = network()
    net.name("both", B6, B)

    async def main() -> None:
        running = asyncio.get_running_loop()
        found = await running.getaddrinfo("both", 5, type=socket.SOCK_DGRAM)
        assert [(family, addr) for family, _, _, _, addr in found] == [
            (socket.AF_INET6, (B6, 5, 0, 0)),
            (socket.AF_INET, (B, 5)),
        ]
        assert [addr for *_, addr in await running.getaddrinfo("both", 5, family=socket.AF_INET)] == [(B, 5)]
        assert (await running.getaddrinfo(A6, None))[0][4] == (A6, 0, 0, 0)
        with pytest.raises(socket.gaierror):
            await running.getaddrinfo("nobody", 5)

    net.run(main())


def test_a_network_keeps_its_time_over_two_runs() -> None:
    net = network()
    net.run(asyncio.sleep(1))
    net.run(asyncio.sleep(1))
    assert net.now == 2.0


def test_debug_mode_works() -> None:
    async def main() -> bool:
        await asyncio.sleep(1)
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=True)
    assert not run(main(), debug=False)


def exchange(seed: int) -> list[Any]:
    """A stop-and-wait exchange over bad links, with everything that happened."""
    net = network(seed=seed, link=LinkSettings(loss=0.2, jitter=0.05, duplicate=0.1, reorder=0.1, rate=1e5))
    net.packets = []

    async def main() -> None:
        _, b = loop().open_simulated_datagram(Plain, (B, 7))
        transport, a = loop().open_simulated_datagram(Plain, (A, 0))

        async def echo() -> None:
            while True:
                data, addr = await b.received.get()
                b.transport.sendto(data, addr)

        server = asyncio.create_task(echo())
        for number in range(50):
            answered = False
            while not answered:
                transport.sendto(bytes([number]), (B, 7))
                try:
                    async with asyncio.timeout(0.3):
                        answered = (await a.received.get())[0] == bytes([number])
                except TimeoutError:
                    continue
        server.cancel()

    net.run(main())
    return [net.now, *net.packets]


def test_the_same_seed_gives_the_same_run() -> None:
    assert exchange(5) == exchange(5)
    assert exchange(5) != exchange(6)


def test_batches_come_from_pairs_whatever_the_family() -> None:
    net = network()

    async def main() -> None:
        transport, b = loop().open_simulated_datagram(Batched, (B6, 7))
        assert transport.get_extra_info("sockname") == (B6, 7)
        net.send((A6, 5), (B6, 7), b"x")
        await asyncio.sleep(1)
        assert b.calls == [([b"x"], (A6, 5), False), "done"]

    net.run(main())


def test_fragments_pass_a_narrow_link_and_others_are_reported_with_a_quotation() -> None:
    net = network(link=LinkSettings(mtu=1000, report_too_big=True))

    async def main() -> None:
        transport, a = loop().open_simulated_datagram(Plain, (A, 5))
        _, b = loop().open_simulated_datagram(Plain, (B, 7))
        transport.send_batch([b"w" * 1200], (B, 7))
        transport.send_batch([b"f" * 1200], (B, 7), fragment=True)
        assert (await b.received.get())[0] == b"f" * 1200
        await asyncio.sleep(1)
        [error] = a.errors
        assert isinstance(error, DatagramError)
        assert (error.address, error.mtu, error.icmp, error.quoted) == ((B, 7), 1000, (3, 4), b"w" * 520)

    net.run(main())


def test_it_is_the_transport_that_an_endpoint_opens() -> None:
    net = network()

    async def main() -> None:
        a = await open_datagram(PacketProtocol, (A, 0))
        _, b = loop().open_simulated_datagram(Batched, (B, 7))
        a.send_batch([b"1", b"2"], (B, 7))
        await asyncio.sleep(1)
        assert b.calls == [([b"1", b"2"], a.get_extra_info("sockname"), False), "done"]

    net.run(main())
