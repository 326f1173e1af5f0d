"""The batching UDP transport on real loopback sockets, on both event loops; trouble is injected through the socket."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.network_namespace import in_own_network, set_loopback_mtu
from support.udp_recorder import Recorder, Wrapped, closed, no_trouble, packets_of, where

from asyncsctp.udp import batch as batch_udp
from asyncsctp.udp import options as udp_options
from asyncsctp.udp.batch import BatchTransport
from asyncsctp.udp.datagram import Address

from .conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GSO, GRO and the error queue are Linux's")

TIMEOUT = 10.0


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    host: str = request.param
    try:
        udp_options.open_socket((host, 0), 65536).close()
    except OSError:
        pytest.skip(f"no {host} here")
    return host


def make(
    host: str = "127.0.0.1", trouble: Callable[[str, bytes], int] = no_trouble, **options: Any
) -> tuple[BatchTransport, Recorder, Wrapped]:
    sock: Any = Wrapped(udp_options.open_socket((host, 0), 1 << 20), trouble)
    recorder = Recorder()
    return BatchTransport(asyncio.get_running_loop(), sock, recorder, **options), recorder, sock


@pytest.mark.parametrize("segments", [True, False])
def test_packets_arrive_whole_and_in_order(run: Run, host: str, segments: bool) -> None:
    async def main() -> None:
        sender, s, sock = make(host, segments=segments)
        receiver, r, _ = make(host, segments=segments)
        packets = packets_of(*[1252] * 150, 700, 1252, 1252, 1300, 20, 20, 20, 5)
        sender.send_batch(packets, where(receiver))
        await r.until(lambda: len(r.datagrams) == len(packets))
        assert r.datagrams == packets
        assert all(type(datagram) is bytes for datagram in r.datagrams)
        assert {call[2] for call in r.named("received")} == {where(sender)}
        assert not any(call[3] for call in r.named("received"))
        if sender.get_extra_info("gso"):
            assert [method for method, _ in sock.went].count("sendmsg") >= 4
            assert len(sock.went) < 10
        await r.until(lambda: bool(r.named("done")))
        await closed(s, r)

    run(main())


def test_trains_stay_within_the_kernels_limits(run: Run) -> None:
    async def main() -> None:
        sender, s, sock = make()
        if not sender.get_extra_info("gso"):
            pytest.skip("no GSO here")
        receiver, r, _ = make()
        sizes = [100] * 130 + [9000] * 15 + [40000] * 3
        sender.send_batch(packets_of(*sizes), where(receiver))
        await r.until(lambda: len(r.datagrams) == len(sizes))
        assert [len(datagram) for datagram in r.datagrams] == sizes
        assert sock.went == [
            ("sendmsg", 6400),
            ("sendmsg", 6400),
            ("sendmsg", 200),
            ("sendmsg", 63000),
            ("sendmsg", 63000),
            ("sendto", 9000),
            ("sendto", 40000),
            ("sendto", 40000),
            ("sendto", 40000),
        ]
        await closed(s, r)

    run(main())


def test_batch_done_once_after_all_reads_of_a_wake_up(run: Run) -> None:
    async def main() -> None:
        receiver, r, _ = make()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            for number in range(10):
                source.sendto(bytes([number]), where(receiver))
        await r.until(lambda: bool(r.named("done")))
        assert [call[0] for call in r.calls] == ["made", *["received"] * 10, "done"]
        await closed(r)

    run(main())


def test_reading_leaves_other_tasks_their_turn(run: Run) -> None:
    async def main() -> None:
        receiver, r, _ = make(segments=False)
        count = 2 * batch_udp.READ_BUDGET
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            for _ in range(count):
                source.sendto(b"x", where(receiver))
        await r.until(lambda: len(r.datagrams) == count)
        assert len(r.named("done")) >= 2
        await closed(r)

    run(main())


def test_trouble_in_the_protocol_does_not_deafen(run: Run) -> None:
    class Clumsy(Recorder):
        def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
            super().datagrams_received(datagrams, addr, congestion_experienced)
            if datagrams == [b"bad"]:
                raise RuntimeError("clumsy")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[object] = []
        loop.set_exception_handler(lambda loop, context: complaints.append(context["exception"]))
        r = Clumsy()
        receiver = BatchTransport(loop, udp_options.open_socket(("127.0.0.1", 0), 65536), r)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            source.sendto(b"bad", where(receiver))
            source.sendto(b"good", where(receiver))
        await r.until(lambda: len(r.named("done")) == 2)
        assert r.datagrams == [b"bad", b"good"]
        assert len(complaints) == 1
        await closed(r)

    run(main())


def test_congestion_experienced_is_seen(run: Run, host: str) -> None:
    async def main() -> None:
        receiver, r, _ = make(host)
        assert receiver.get_extra_info("ecn") is True
        with udp_options.open_socket((host, 0), 65536) as source:
            for tos in (0, 1, 2, 3, 0xB8 | 3, 0xB8):
                if host == "::1":
                    source.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
                else:
                    source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
                source.sendto(bytes([tos]), where(receiver))
        await r.until(lambda: len(r.datagrams) == 6)
        assert [call[3] for call in r.named("received")] == [False, False, False, True, True, False]
        await closed(r)

    run(main())


@pytest.mark.parametrize("ecn", [True, False])
def test_marks_of_packets_sent(run: Run, host: str, ecn: bool) -> None:
    async def main() -> None:
        sender, s, _ = make(host, dscp=46, ecn=ecn)
        with udp_options.open_socket((host, 0), 65536) as target:
            udp_options.report_traffic_class(target)
            target.setblocking(True)
            target.settimeout(TIMEOUT)
            seen = []
            for capable in (False, True, True, False):
                sender.send_batch([b"packet"], target.getsockname()[:2], capable)
                _, [(_, _, value)], _, _ = target.recvmsg(100, 100)
                seen.append(int.from_bytes(value, sys.byteorder))
            for dscp, capable in ((10, False), (10, True), (0, True), (-1, False)):
                sender.send_batch([b"packet"], target.getsockname()[:2], capable, dscp=dscp)
                _, [(_, _, value)], _, _ = target.recvmsg(100, 100)
                seen.append(int.from_bytes(value, sys.byteorder))
        plain, marked = 46 << 2, 46 << 2 | 2
        own = [10 << 2, 10 << 2 | 2, 2, plain] if ecn else [10 << 2, 10 << 2, 0, plain]
        assert seen == ([plain, marked, marked, plain, *own] if ecn else [plain] * 4 + own)
        await closed(s)

    run(main())


@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT])
def test_without_gso_every_packet_goes_once(run: Run, code: int) -> None:
    async def main() -> None:
        sender, s, sock = make(trouble=lambda method, data: code if method == "sendmsg" else 0)
        receiver, r, _ = make()
        packets = packets_of(*[1000] * 20, 500)
        sender.send_batch(packets, where(receiver))
        sender.send_batch(packets, where(receiver))
        sender.sendto(b"the end", where(receiver))
        await r.until(lambda: b"the end" in r.datagrams)
        assert r.datagrams == [*packets, *packets, b"the end"]
        assert not s.errors
        assert sender.get_extra_info("gso") is False
        assert {method for method, _ in sock.went} == {"sendto"}
        await closed(s, r)

    run(main())


def test_a_train_refused_for_its_size_does_not_end_gso(run: Run) -> None:
    def too_large(method: str, data: bytes) -> int:
        if method == "sendmsg":
            return errno.EINVAL if len(data) > 4000 else 0
        return errno.EMSGSIZE if len(data) > 1500 else 0

    async def main() -> None:
        sender, s, _ = make(trouble=too_large)
        if not sender.get_extra_info("gso"):
            pytest.skip("no GSO here")
        receiver, r, _ = make()
        sender.send_batch(packets_of(2000, 2000, 2000, 100), where(receiver))
        sender.send_batch(packets_of(1000, 1000), where(receiver))
        await r.until(lambda: len(r.datagrams) == 3)
        assert [len(datagram) for datagram in r.datagrams] == [100, 1000, 1000]
        await s.until(lambda: bool(s.errors))
        assert [(error.errno, error.address) for error in s.errors] == [(errno.EMSGSIZE, where(receiver))] * 3
        assert sender.get_extra_info("gso") is True
        await closed(s, r)

    run(main())


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EPERM, errno.ENETUNREACH, errno.EADDRNOTAVAIL])
def test_what_a_lone_packet_fails_with_too_does_not_end_gso(run: Run, code: int) -> None:
    fails = True

    async def main() -> None:
        nonlocal fails
        sender, s, sock = make(trouble=lambda method, data: code if fails else 0)
        before = sender.get_extra_info("gso")
        receiver, r, _ = make()
        sender.send_batch(packets_of(*[1000] * 5), where(receiver))
        await s.until(lambda: bool(s.errors))
        assert {(error.errno, error.address) for error in s.errors} == {(code, where(receiver))}
        assert sum(error.count for error in s.errors) == 5
        assert s.failures == [code] * 5
        fails = False
        packets = packets_of(*[1000] * 5)
        sender.send_batch(packets, where(receiver))
        await r.until(lambda: len(r.datagrams) == 5)
        assert r.datagrams == packets
        assert sender.get_extra_info("gso") == before
        assert len(sock.went) == (1 if before else 5)
        await closed(s, r)

    run(main())


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS])
def test_a_full_socket_makes_packets_wait_in_order(run: Run, code: int, segments: bool) -> None:
    full = True
    sends = 0

    def trouble(method: str, data: bytes) -> int:
        nonlocal sends
        sends += 1
        return code if full or sends % 3 == 0 else 0

    async def main() -> None:
        nonlocal full
        sender, s, _ = make(trouble=trouble, segments=segments)
        receiver, r, _ = make()
        sender.set_write_buffer_limits(high=5000, low=1000)
        packets = packets_of(*[1000] * 5, 990, 980, *[1000] * 9)
        sender.send_batch(packets[:4], where(receiver))
        assert sender.get_write_buffer_size() == 4000
        assert not s.named("pause")
        for packet in packets[4:8]:
            sender.sendto(packet, where(receiver))
        assert len(s.named("pause")) == 1
        sender.send_batch(packets[8:], where(receiver), True)
        full = False
        await s.until(lambda: bool(s.named("resume")))
        await r.until(lambda: len(r.datagrams) == len(packets))
        assert r.datagrams == packets
        assert [call[0] for call in s.calls] == ["made", "pause", "resume"]
        assert sender.get_write_buffer_size() == 0
        await closed(s, r)

    run(main())


def test_errors_of_one_send_are_reported_and_the_rest_goes_on(run: Run) -> None:
    async def main() -> None:
        sender, s, _ = make(trouble=lambda method, data: errno.EPERM if b"forbidden" in data else 0)
        receiver, r, _ = make()
        sender.send_batch([b"allowed 1", b"allowed 2", b"forbidden", b"allowed 3"], where(receiver))
        assert not s.errors, "reported from inside a send"
        await r.until(lambda: len(r.datagrams) == 3)
        await s.until(lambda: bool(s.errors))
        assert [(error.errno, error.address, error.icmp) for error in s.errors] == [
            (errno.EPERM, where(receiver), None)
        ]
        await closed(s, r)

    run(main())


def test_too_large_for_a_datagram(run: Run, host: str) -> None:
    async def main() -> None:
        sender, s, _ = make(host)
        receiver, r, _ = make(host)
        sender.send_batch([b"before", bytes(65530), b"after"], where(receiver))
        await s.until(lambda: bool(s.errors))
        await r.until(lambda: len(r.datagrams) == 2)
        assert r.datagrams == [b"before", b"after"]
        [error] = s.errors
        assert (error.errno, error.address, error.icmp) == (errno.EMSGSIZE, where(receiver), None)
        await closed(s, r)

    run(main())


def test_a_train_on_a_path_that_shrank_goes_as_far_as_it_fits_and_once(run: Run) -> None:
    async def main() -> None:
        sender, s, sock = make()
        before = sender.get_extra_info("gso")
        receiver, r, _ = make()
        packets = packets_of(*[1200] * 30, 900)
        sender.send_batch(packets, where(receiver))
        set_loopback_mtu(1000)
        sender.send_batch(packets, where(receiver))
        sender.send_batch(packets_of(*[800] * 10), where(receiver))
        await r.until(lambda: len(r.datagrams) >= 42)
        assert r.datagrams == [*packets, packets[-1], *packets_of(*[800] * 10)]
        await s.until(lambda: bool(s.errors))
        told = {(error.errno, error.address, error.mtu, error.icmp) for error in s.errors}
        assert told == {(errno.EMSGSIZE, where(receiver), 1000, None)}
        assert [error.quoted for error in s.errors] == [packet[:8] for packet in packets[:30]]
        assert sender.get_extra_info("gso") == before
        if before:
            assert sock.went[-1] == ("sendmsg", 8000)
        r.calls.clear()
        sender.send_batch(packets, where(receiver), fragment=True)
        await r.until(lambda: len(r.datagrams) >= len(packets))
        assert r.datagrams == packets
        await closed(s)
        receiver.abort()
        await r.until(lambda: bool(r.named("lost")))

    in_own_network(lambda: run(main()))


def test_port_unreachable_is_told_and_harms_nothing(run: Run, host: str) -> None:
    async def main() -> None:
        sender, s, _ = make(host)
        receiver, r, _ = make(host)
        with udp_options.open_socket((host, 0), 65536) as gone:
            dead = gone.getsockname()[:2]
        for round_ in range(3):  # each ICMP message comes at once, and spoils the next call to the socket
            sender.send_batch([b"knock knock"] * 3, dead)
            sender.send_batch([b"one %d" % round_, b"two %d" % round_], where(receiver))
            await s.until(lambda: len(s.errors) > round_)  # noqa: B023
        await r.until(lambda: len(r.datagrams) == 6)
        assert r.datagrams == [b"%s %d" % (word, round_) for round_ in range(3) for word in (b"one", b"two")]
        for error in s.errors:
            assert isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED
            assert error.address == dead
            assert error.icmp == ((1, 4) if host == "::1" else (3, 3))
            assert error.quoted.startswith(b"knock knock")
        receiver.sendto(b"still listening", where(sender))
        await s.until(lambda: s.datagrams == [b"still listening"])
        await closed(s, r)

    run(main())


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EHOSTUNREACH])
def test_an_error_that_belongs_to_an_earlier_packet_loses_nothing(run: Run, code: int) -> None:
    async def main() -> None:
        spoiled = [code]
        sender, s, _ = make(trouble=lambda method, data: spoiled.pop() if spoiled else 0)
        receiver, r, _ = make()
        before = sender.get_extra_info("gso")
        packets = packets_of(100, 100, 100)
        sender.send_batch(packets, where(receiver))
        await r.until(lambda: len(r.datagrams) == 3)
        assert r.datagrams == packets
        assert sender.get_extra_info("gso") == before
        assert not s.errors
        await closed(s, r)

    run(main())


def test_fragmentation_is_allowed_for_one_batch_only(run: Run, host: str) -> None:
    level, option = (41, udp_options.IPV6_MTU_DISCOVER) if host == "::1" else (0, udp_options.IP_MTU_DISCOVER)
    modes: list[int] = []
    sock: list[Wrapped] = []

    def look(method: str, data: bytes) -> int:
        modes.append(sock[0].getsockopt(level, option))
        return 0

    async def main() -> None:
        sender, s, wrapped = make(host, trouble=look)
        sock.append(wrapped)
        receiver, r, _ = make(host)
        packets = packets_of(9000, 9000)
        sender.send_batch(packets, where(receiver), fragment=True)
        sender.sendto(b"whole", where(receiver))
        await r.until(lambda: len(r.datagrams) == 3)
        assert r.datagrams == [*packets, b"whole"]
        dont, probe = udp_options.PMTUDISC_DONT, udp_options.PMTUDISC_PROBE
        assert modes == [dont, dont, probe]
        await closed(s, r)

    run(main())


def test_what_was_granted_can_be_read(run: Run) -> None:
    async def main() -> None:
        transport, recorder, sock = make()
        assert transport.get_extra_info("socket") is sock
        assert transport.get_extra_info("sockname") == sock.getsockname()
        assert transport.get_extra_info("rcvbuf") == sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert transport.get_extra_info("sndbuf") == sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("no such thing", 7) == 7
        assert recorder.named("made") == [("made", transport)]
        await closed(recorder)

    run(main())


def test_close_sends_what_waits_then_ends_once(run: Run) -> None:
    async def main() -> None:
        full = True
        sender, s, sock = make(trouble=lambda method, data: errno.EAGAIN if full else 0)
        receiver, r, _ = make()
        packets = packets_of(100, 200, 300)
        sender.send_batch(packets, where(receiver))
        sender.close()
        sender.close()
        assert sender.is_closing()
        receiver.sendto(b"too late", where(sender))
        sender.sendto(b"too late", where(receiver))
        await asyncio.sleep(0)
        assert not s.named("lost")
        full = False
        await s.until(lambda: bool(s.named("lost")))
        await r.until(lambda: len(r.datagrams) == 3)
        assert r.datagrams == packets
        sender.abort()
        await asyncio.sleep(0)
        assert [call for call in s.calls if call[0] != "made"] == [("lost", None)]
        assert sock.fileno() == -1
        await closed(r)

    run(main())


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS])
def test_abort_drops_what_waits(run: Run, code: int) -> None:
    async def main() -> None:
        sender, s, sock = make(trouble=lambda method, data: code)
        sender.send_batch(packets_of(100, 200, 300), ("127.0.0.1", 9))
        sender.abort()
        assert not s.named("lost"), "called from inside abort"
        assert sender.get_write_buffer_size() == 0
        await s.until(lambda: bool(s.named("lost")))
        sender.close()
        await asyncio.sleep(0)
        assert [call for call in s.calls if call[0] != "made"] == [("lost", None)]
        assert sock.fileno() == -1 and sock.went == []

    run(main())


def test_nothing_comes_after_close_inside_a_callback(run: Run) -> None:
    class Leaver(Recorder):
        def datagrams_received(self, datagrams: list[bytes], addr: Address, congestion_experienced: bool) -> None:
            super().datagrams_received(datagrams, addr, congestion_experienced)
            self.named("made")[0][1].close()

    async def main() -> None:
        recorder = Leaver()
        loop = asyncio.get_running_loop()
        transport = BatchTransport(loop, udp_options.open_socket(("127.0.0.1", 0), 65536), recorder)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            source.sendto(b"first", where(transport))
            source.sendto(b"second", where(transport))
        await recorder.until(lambda: bool(recorder.named("lost")))
        await asyncio.sleep(0)
        assert [call[0] for call in recorder.calls] == ["made", "received", "lost"]

    run(main())


def test_a_forgotten_transport_is_complained_about() -> None:
    async def main() -> None:
        transport, recorder, _ = make()
        transport._watch.close()  # the loop holds the callback, and so the transport, until then
        recorder.calls.clear()
        del transport, recorder
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            gc.collect()

    asyncio.run(main())


def test_write_buffer_limits_are_checked(run: Run) -> None:
    async def main() -> None:
        transport, recorder, _ = make()
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        with pytest.raises(ValueError, match="low"):
            transport.set_write_buffer_limits(high=10, low=20)
        with pytest.raises(ValueError, match="address"):
            transport.sendto(b"x")
        await closed(recorder)

    run(main())
