"""What a user notices when sockets refuse, networks shrink, and readers are slow: real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from support.network_namespace import in_own_network, set_loopback_mtu, set_loopback_up
from support.udp_recorder import Wrapped

import asyncsctp
from asyncsctp import Config
from asyncsctp.testing import SeededRandom
from asyncsctp.udp import options as udp_options
from asyncsctp.udp.batch import BatchTransport
from asyncsctp.udp.datagram import Address, PacketProtocol

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the errors and addresses are Linux's")

TIMEOUT = 30.0
A, A2, Z, Z2 = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
QUICK = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.2, path_max_retrans=1, heartbeat_interval=0.05)
#: A time-out takes longer than any pause of the machine: what is counted was lost.
PATIENT = Config(rto_initial=10.0, rto_min=10.0)
DEFAULT_RCVBUF = 212_992  # net.core.rmem_default, as it is granted: twice what was asked for

Trouble = Callable[[str, str, bytes], int]  # local address, method, data: an errno or 0
Main = Coroutine[Any, Any, None]


class _Sockets:
    """A loop whose UDP sockets can be made to fail; `buffer` is what they ask for, `high` their high-water mark."""

    protocol_random = SeededRandom(1)
    buffer = 1 << 20
    high = 1 << 18
    sends = 0

    @staticmethod
    def trouble(local: str, method: str, data: bytes) -> int:
        return 0

    def open_simulated_datagram(
        self, protocol_factory: Callable[[], PacketProtocol], local_addr: Address
    ) -> tuple[BatchTransport, PacketProtocol]:
        def trouble(method: str, data: bytes) -> int:
            self.sends += 1
            return self.trouble(local_addr[0], method, data)

        sock: Any = Wrapped(udp_options.open_socket(local_addr, self.buffer), trouble)
        protocol = protocol_factory()
        loop: Any = self
        transport = BatchTransport(loop, sock, protocol)
        transport.set_write_buffer_limits(self.high)
        return transport, protocol


class StockLoop(_Sockets, asyncio.SelectorEventLoop):
    """The stock loop."""


class UvLoop(_Sockets, uvloop.Loop):  # type: ignore[misc]  # its own two bases do not agree
    """uvloop."""


Loop = StockLoop | UvLoop
Run = Callable[[Callable[[Any], Main]], None]


@pytest.fixture(params=[StockLoop, UvLoop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs `main(loop)`; what the loop complains about fails the test."""

    def run(main: Callable[[Any], Main]) -> None:
        complaints: list[dict[str, Any]] = []

        async def bounded() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(TIMEOUT):
                await main(loop)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(bounded())
        assert complaints == []

    return run


async def echo(association: asyncsctp.Association) -> None:
    with suppress(asyncsctp.SCTPError):
        async for message in association:
            await association.send(message.data)


REFUSALS = [
    errno.EPERM,
    errno.EACCES,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ECONNREFUSED,
    errno.EADDRNOTAVAIL,
    errno.ENETDOWN,
    errno.EINVAL,
]


@pytest.mark.parametrize("code", REFUSALS, ids=errno.errorcode.get)
def test_what_the_system_refuses_is_the_paths_fault_and_another_takes_over(
    run: Run, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(loop: Loop) -> None:
        async with (
            asyncsctp.serve(echo, None, 5001, local_addrs=[Z, Z2], udp_port=0, config=QUICK) as server,
            asyncsctp.connect(
                [Z, Z2], 5001, udp_port=server.udp_port, local_addrs=[A, A2], config=QUICK
            ) as association,
        ):
            assert (association.peer, association.get_extra_info("sockname")[0]) == (Z, A)
            loop.trouble = lambda local, method, data: code if local == A else 0  # type: ignore[method-assign]
            before = loop.sends
            for number in range(50):
                data = b"%d" % number * 1000
                await association.send(data)
                assert (await association.recv()).data == data
            assert loop.sends - before < 2000, "no busy loop"
            del loop.trouble
            await asyncio.sleep(0)  # a refusal is counted at once by its socket, by its association in the next turn
            stats = association.stats
            assert stats.send_failures > 0
            assert association.get_extra_info("send_failures") == {errno.errorcode[code]: stats.send_failures}
            assert stats.t3_timeouts > 0, "the packets count as lost"
            assert await association.heartbeat(Z) < TIMEOUT

    run(main)
    assert not caplog.records


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS], ids=errno.errorcode.get)
def test_what_the_system_has_no_room_for_waits_and_nothing_is_lost(run: Run, code: int) -> None:
    async def main(loop: Loop) -> None:
        async with (
            asyncsctp.serve(echo, Z, 5001, udp_port=0, config=PATIENT) as server,
            asyncsctp.connect(Z, 5001, udp_port=server.udp_port, config=PATIENT) as association,
        ):
            # Every third send finds no room, and the next four don't either.
            loop.trouble = lambda local, method, data: code if loop.sends % 15 in (0, 3, 6, 9, 10) else 0  # type: ignore[method-assign]
            messages = [b"%d" % number * 5000 for number in range(200)]

            async def write() -> None:
                for data in messages:
                    await association.send(data)

            writing = asyncio.create_task(write())
            assert [(await association.recv()).data for _ in messages] == messages
            await writing
            failures = association.get_extra_info("send_failures")
            assert failures.keys() == {errno.errorcode[code]}
            assert server.endpoint.stats.send_failures.keys() == failures.keys()
            [other] = server.associations
            for stats in (association.stats, other.stats):
                assert (stats.send_failures, stats.t3_timeouts, stats.packets_retransmitted) == (0, 0, 0)
            del loop.trouble

    run(main)


def test_a_socket_that_stays_full_does_not_hold_up_the_others(run: Run) -> None:
    async def main(loop: Loop) -> None:
        loop.high = 2000
        async with (
            asyncsctp.serve(echo, None, 5001, local_addrs=[Z, Z2], udp_port=0, config=QUICK) as server,
            asyncsctp.connect(
                [Z, Z2], 5001, udp_port=server.udp_port, local_addrs=[A, A2], config=QUICK
            ) as association,
        ):
            loop.trouble = lambda local, method, data: errno.ENOBUFS if local == A else 0  # type: ignore[method-assign]
            for _ in range(3):
                await association.send(bytes(100_000))
                assert len((await association.recv()).data) == 100_000
            assert association.get_extra_info("send_failures").keys() == {"ENOBUFS"}
            assert association.stats.t3_timeouts > 0
            del loop.trouble
            assert await association.heartbeat(Z) < TIMEOUT

    run(main)


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("lasts", [True, False], ids=["for ever", "for a while"])
def test_the_end_waits_for_a_full_socket_but_not_for_ever(run: Run, code: int, lasts: bool) -> None:
    async def main(loop: Loop) -> None:
        peer_ended = asyncio.Event()

        async def reader(association: asyncsctp.Association) -> None:
            with pytest.raises(asyncsctp.AssociationAborted):
                await association.recv()
            peer_ended.set()

        async with asyncsctp.serve(reader, Z, 5001, udp_port=0, config=PATIENT) as server:
            endpoint = await asyncsctp.open_endpoint(local_addrs=A, config=PATIENT)
            await endpoint.connect(Z, 5001, udp_port=server.udp_port)
            [sock] = endpoint.sockets
            loop.trouble = lambda local, method, data: code if local == A else 0  # type: ignore[method-assign]
            endpoint.abort()
            assert sock.fileno() >= 0
            if not lasts:
                loop.call_soon(delattr, loop, "trouble")
            await endpoint.wait_closed()
            assert sock.fileno() < 0
            if lasts:
                server.associations[0].abort()
            else:
                await peer_ended.wait()

    run(main)


def test_a_path_whose_mtu_shrinks_loses_nothing(run: Run) -> None:
    async def main(loop: Loop) -> None:
        async with (
            asyncsctp.serve(echo, A, 5001, udp_port=0) as server,
            asyncsctp.connect(A, 5001, udp_port=server.udp_port) as association,
        ):
            messages = [b"%d" % number * 5000 for number in range(300)]

            async def write() -> None:
                for number, data in enumerate(messages):
                    if number == len(messages) // 2:
                        set_loopback_mtu(1000)
                    await association.send(data)

            has_gso = association.get_extra_info("gso")
            writing = asyncio.create_task(write())
            assert [(await association.recv()).data for _ in messages] == messages
            await writing
            [other] = server.associations
            for each in (association, other):
                assert each.paths[0].mtu == 1000
                assert each.stats.send_failures > 0
                assert each.get_extra_info("gso") == has_gso
            assert association.get_extra_info("send_failures").keys() == {"EMSGSIZE"}

    in_own_network(lambda: run(main))


def test_an_interface_that_goes_down_and_comes_back(run: Run) -> None:
    async def main(loop: Loop) -> None:
        config = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.2, path_max_retrans=100, max_retrans=100)
        async with (
            asyncsctp.serve(echo, A, 5001, udp_port=0, config=config) as server,
            asyncsctp.connect(A, 5001, udp_port=server.udp_port, config=config) as association,
        ):
            await association.send(b"before")
            assert (await association.recv()).data == b"before"
            set_loopback_up(False)
            await association.send(bytes(100_000))
            with pytest.raises(TimeoutError):
                await association.heartbeat()
            set_loopback_up(True)
            assert len((await association.recv()).data) == 100_000

    in_own_network(lambda: run(main))


class Mixer(PacketProtocol):
    """A NAT that makes one flow, and trains of equal packets, of what several clients send; and spoils some of it.

    Beside each packet it sends one with a wrong byte, at times another cut short; every fourth train is marked CE.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._clients: dict[bytes, Address] = {}  # by SCTP port
        self._waiting: list[bytes] = []
        self.spoiled = 0
        self.trains = 0
        self.mixed = 0

    def connection_made(self, transport: Any) -> None:
        self.transport: BatchTransport = transport

    def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
        if addr == self._server:
            for datagram in datagrams:
                self.transport.send_batch([datagram], self._clients[datagram[2:4]])
        else:
            self._clients[datagrams[0][:2]] = addr
            self._waiting += datagrams

    def batch_done(self) -> None:
        waiting = sorted(self._waiting, key=len, reverse=True)
        self._waiting = []
        train: list[bytes] = []
        for number, packet in enumerate(waiting):
            train.append(packet)
            train.append(packet[:-1] + bytes([packet[-1] ^ 0x55]))
            if number % 7 == 6:
                train.append(packet[: len(packet) // 2])
        if not train:
            return
        self.spoiled += len(train) - len(waiting)
        self.trains += 1
        self.mixed += len({packet[:2] for packet in waiting}) > 1
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 3 if self.trains % 4 == 0 else 0)
        self.transport.send_batch(train, self._server)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)


def test_trains_that_mix_associations_sizes_marks_and_spoiled_packets(run: Run) -> None:
    clients = 4
    messages = [b"%d" % number * (1 + number * 977 % 6000) for number in range(100)]

    async def one(mixer: Mixer, port: int) -> asyncsctp.Statistics:
        udp_port = mixer.transport.get_extra_info("sockname")[1]
        async with asyncsctp.connect(Z2, 5001, udp_port=udp_port, local_port=port, config=PATIENT) as association:

            async def write() -> None:
                for data in messages:
                    await association.send(b"%d " % port + data)

            writing = asyncio.create_task(write())
            for data in messages:
                assert (await association.recv()).data == b"%d " % port + data
            await writing
            return association.stats

    async def main(loop: Loop) -> None:
        async with asyncsctp.serve(echo, Z, 5001, udp_port=0, config=PATIENT) as server:
            mixer = Mixer((Z, server.udp_port))
            transport = BatchTransport(loop, udp_options.open_socket((Z2, 0), 1 << 20), mixer)
            found = await asyncio.gather(*(one(mixer, 6000 + number) for number in range(clients)))
            transport.close()
            assert mixer.mixed > 0
            # The spoiled ones were seen, each on its own, and did no harm.
            rejected = server.endpoint.stats.checksum_errors + server.endpoint.stats.malformed_packets
            assert 0 < rejected < mixer.spoiled
            assert all(stats.ecn_echoes_received > 0 for stats in found)
            assert all(stats.t3_timeouts == 0 for stats in found)

    run(main)


def test_a_receive_buffer_that_the_kernel_did_not_raise(run: Run) -> None:
    """A window within it, of which nothing is taken back: neither short messages nor longer ones lose packets."""

    async def main(loop: Loop) -> None:
        loop.buffer = DEFAULT_RCVBUF // 2
        async with (
            asyncsctp.serve(echo, Z, 5001, udp_port=0, config=PATIENT) as server,
            asyncsctp.connect(Z, 5001, udp_port=server.udp_port, config=PATIENT) as association,
        ):
            [sock] = server.sockets
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == DEFAULT_RCVBUF
            for size, count in ((100, 3000), (5_000, 400), (60_000, 40), (262_144, 12), (1_000_000, 3)):

                async def write(size: int = size, count: int = count) -> None:
                    for number in range(count):
                        await association.send(number.to_bytes(4) * (size // 4))

                writing = asyncio.create_task(write())
                for number in range(count):
                    assert (await association.recv()).data == number.to_bytes(4) * (size // 4)
                await writing
            [other] = server.associations
            for stats in (association.stats, other.stats):
                assert stats.dropped_out_of_window == 0
                assert stats.t3_timeouts == 0

    run(main)


@pytest.mark.parametrize("size", [64, 5_000, 262_144])
def test_a_reader_that_stops_and_goes_on(run: Run, size: int) -> None:
    count = max(3_000_000 // size, 8) if size > 64 else 20_000
    config = PATIENT.replace(recv_buffer=100_000, send_buffer=200_000)

    async def main(loop: Loop) -> None:
        got = 0
        goes_on = asyncio.Event()
        done = asyncio.Event()

        async def reader(association: asyncsctp.Association) -> None:
            nonlocal got
            while got < count:
                if got == 3:
                    await goes_on.wait()
                message = await association.recv()
                assert message.data == got.to_bytes(4) * (size // 4)
                got += 1
            done.set()

        async with (
            asyncsctp.serve(reader, Z, 5001, udp_port=0, config=config) as server,
            asyncsctp.connect(Z, 5001, udp_port=server.udp_port, config=config) as association,
        ):
            written = 0

            async def write() -> None:
                nonlocal written
                for number in range(count):
                    await association.send(number.to_bytes(4) * (size // 4))
                    written += 1

            writing = asyncio.create_task(write())
            before = -1
            while before < written or not got:  # until the writer stands still
                before = written
                await association.heartbeat()
                await association.heartbeat()
            # What both sides hold, and one message in each of the program's hands.
            assert (written - got) * size <= config.recv_buffer + config.send_buffer + 4 * size
            assert not writing.done()
            goes_on.set()
            await done.wait()
            await writing
            [other] = server.associations
            assert other.stats.dropped_out_of_window == 0
            assert association.stats.t3_timeouts == 0

    run(main)
