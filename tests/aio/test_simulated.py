"""The interface over a network that loses, delays and fails, on virtual time."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest
from support.simulated import A2, Z2, A, Z, two_homed

import asyncsctp
from asyncsctp import AssociationDown, AssociationTimeout, Config, PathChanged, PathState, State
from asyncsctp.testing import Datagram, DatagramError, Network
from asyncsctp.wire.constants import SHUTDOWN_COMPLETE

from .conftest import echo


@pytest.mark.parametrize("seed", range(8))
def test_all_messages_get_through_a_bad_network_and_both_sides_end(seed: int) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, Z, 5001) as server:
            async with asyncsctp.connect(Z, 5001, local_addrs=[A]) as assoc:
                expected = [b"%d" % number * (1 + number * 37 % 900) for number in range(200)]

                async def write() -> None:
                    for data in expected:
                        await assoc.send(data)

                writing = asyncio.ensure_future(write())
                assert [(await assoc.recv()).data for _ in expected] == expected
                await writing
            await assoc.wait_closed()
            assert all(each.is_closing() for each in server.associations)
        assert server.associations == []

    two_homed(seed, loss=0.1, delay=0.02, jitter=0.01).run(main())


def test_silence_is_a_timeout_after_the_time_configured() -> None:
    """T1-init (RFC 9260 section 5.1): RTO.Initial, twice that up to RTO.Max, Max.Init.Retransmits times."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        config = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.08, init_max_retrans=3)
        with pytest.raises(AssociationTimeout):
            await asyncsctp.connect(Z, 5001, local_addrs=[A], config=config)
        assert loop.time() - started == pytest.approx(0.05 + 3 * 0.08)

    two_homed(loss=1.0).run(main())


def test_the_second_answer_is_begun_soon_after_the_first_is_silent() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with network.hosts["z"].active():
            server = await asyncsctp.serve(echo, Z2, 5001)
        with network.hosts["a"].active():
            started = loop.time()
            async with asyncsctp.connect("somewhere", 5001) as assoc:
                assert assoc.peer == Z2
                assert 0.25 <= loop.time() - started < 0.5
            network.heal(A, Z)
            config = Config(init_max_retrans=2)
            server.close()
            await server.wait_closed()
            started = loop.time()
            with pytest.raises(AssociationTimeout) as caught:
                await asyncsctp.connect("somewhere", 5001, config=config)
            assert loop.time() - started < 1 + 2 + 4 + 0.5
            del caught

    network = two_homed()
    network.name("somewhere", Z, Z2)
    network.run(main())


@pytest.mark.parametrize("size", [64, 1200, 16_384, 262_144])
@pytest.mark.parametrize("pause", [0.5, 300.0])
def test_a_reader_that_stops_holds_no_more_than_its_buffer_and_goes_on_at_once(size: int, pause: float) -> None:
    count = max(min(1_000_000 // size, 5000), 8)
    config = Config(recv_buffer=100_000, send_buffer=200_000)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read = written = 0
        longest = 0.0
        finished = asyncio.Event()

        async def reader(association: asyncsctp.Association) -> None:
            nonlocal read, longest
            while read < count:
                if read == 3:
                    await asyncio.sleep(pause)
                    assert (written - read) * size <= config.recv_buffer + config.send_buffer + 2 * size
                before = loop.time()
                await association.recv()
                longest = max(longest, loop.time() - before)
                read += 1
            finished.set()

        async with (
            asyncsctp.serve(reader, Z, 5001, config=config),
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as assoc,
        ):
            for _ in range(count):
                await assoc.send(bytes(size))
                written += 1
            await finished.wait()
            assert longest < 1.0, "no time-out passed before a message came, and all were there or on their way"

    two_homed(delay=0.02).run(main())


@pytest.mark.parametrize("size", [64, 1200, 16_384, 262_144])
def test_a_reader_that_takes_one_message_at_a_time_never_waits_for_the_next(size: int) -> None:
    config = Config(recv_buffer=100_000, send_buffer=200_000)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read = written = 0
        finished = asyncio.Event()

        async def reader(association: asyncsctp.Association) -> None:
            nonlocal read
            longest = 0.0
            for number in range(count):
                before = loop.time()
                await association.recv()
                if number:
                    longest = max(longest, loop.time() - before)
                read += 1
                assert (written - read) * size <= config.recv_buffer + config.send_buffer + 2 * size
                await asyncio.sleep(0.1)
            assert association.stats.dropped_out_of_window == 0
            assert longest < 0.5
            finished.set()

        count = 200 if size < 100_000 else 10
        async with (
            asyncsctp.serve(reader, Z, 5001, config=config),
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as assoc,
        ):
            for _ in range(count):
                await assoc.send(bytes(size))
                written += 1
            await finished.wait()
            assert assoc.stats.t3_timeouts == 0

    two_homed(delay=0.02).run(main())


def test_a_dead_path_is_reported_and_another_takes_over() -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, port=5001, local_addrs=[Z, Z2]):
            config = Config(path_max_retrans=1, rto_max=2.0)
            async with asyncsctp.connect([Z, Z2], 5001, local_addrs=[A, A2], config=config) as assoc:
                events = assoc.events()
                await assoc.send(b"1")
                await assoc.recv()
                network.cut(A, Z)
                network.cut(A2, Z)
                await assoc.send(b"2")
                assert (await assoc.recv()).data == b"2"
                changes = []
                async for event in events:
                    if isinstance(event, PathChanged):
                        changes.append(event)
                        if event.state is PathState.INACTIVE:
                            break
                assert changes == [PathChanged(Z, PathState.POTENTIALLY_FAILED), PathChanged(Z, PathState.INACTIVE)]
                assert [path.state for path in assoc.paths] == [PathState.INACTIVE, PathState.ACTIVE]

    network = two_homed()
    network.run(main())


def test_a_dead_peer_ends_everything_that_waits() -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, Z, 5001, config=Config(max_retrans=3, rto_max=1.0)) as server:
            config = Config(max_retrans=3, rto_max=1.0, send_buffer=10_000)
            assoc = await asyncsctp.connect(Z, 5001, local_addrs=[A], config=config)
            events = assoc.events()
            network.cut(A, Z)
            reader, writer = assoc.open_stream()
            assoc.write(bytes(20_000))
            waits = [
                writer.drain(),
                assoc.flush(),
                reader.read(),
                assoc.recv(),
                assoc.accept_stream(),
                assoc.wait_closed(),
            ]
            outcomes = await asyncio.gather(*waits, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {AssociationTimeout}
            assert assoc.state is State.CLOSED
            *_, last = [event async for event in events]
            assert isinstance(last, AssociationDown)
            assert isinstance(last.error, AssociationTimeout)
            await assoc.close()
            await server.endpoint.close()

    network = two_homed()
    network.run(main())


def test_an_idle_association_lives_on_heartbeats_alone() -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A]) as assoc:
            await asyncio.sleep(3600)
            assert assoc.state is State.ESTABLISHED
            assert 50 < assoc.stats.heartbeats_sent < 150

    two_homed().run(main())


def test_autoclose_ends_an_idle_association() -> None:
    async def main() -> None:
        config = Config(autoclose=5.0)
        async with asyncsctp.serve(echo, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as assoc:
            await asyncio.sleep(3)
            await assoc.send(b"x")
            await asyncio.sleep(4)
            assert assoc.state is State.ESTABLISHED
            await assoc.wait_closed()
            assert asyncio.get_running_loop().time() < 10

    two_homed().run(main())


def test_a_loop_that_ends_tells_the_peer() -> None:
    async def main() -> None:
        with network.hosts["z"].active():
            await asyncsctp.serve(echo, Z, 5001)
        association = await asyncsctp.connect(Z, 5001, local_addrs=[A])
        await association.send(b"x")
        await association.recv()

    sent: list[Datagram] = []
    network = two_homed()
    network.on_datagram = sent.append
    network.run(main())
    assert {datagram.source[0] for datagram in sent if datagram.data[12] == 6} == {A, Z}


def test_a_full_socket_delays_and_loses_nothing() -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A]) as assoc:
            await assoc.send(b"before")
            await assoc.recv()
            await asyncio.sleep(1)
            transport: Any = network.hosts["a"].port_at(A, assoc.get_extra_info("udp_port")).receiver  # type: ignore[union-attr]
            transport.get_protocol().pause_writing()
            sent = network.counts.total()
            for number in range(100):
                assoc.write(b"%d" % number)
            await asyncio.sleep(0.2)
            assert network.counts.total() == sent
            transport.get_protocol().resume_writing()
            assert [(await assoc.recv()).data for _ in range(100)] == [b"%d" % number for number in range(100)]
            assert assoc.stats.packets_retransmitted == 0

    network = two_homed()
    network.run(main())


def test_a_packet_too_big_makes_the_path_narrower() -> None:
    async def main() -> None:
        config = Config(mtu=1500)
        async with asyncsctp.serve(echo, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as assoc:
            assert assoc.paths[0].mtu == 1500
            network.link(A, Z, mtu=1400, report_too_big=True)
            await assoc.send(bytes(10_000))
            assert (await assoc.recv()).data == bytes(10_000)
            assert assoc.paths[0].mtu == 1400

    network = two_homed()
    network.run(main())


def test_a_forged_icmp_message_is_not_believed() -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A]) as assoc:
            port = network.hosts["a"].port_at(A, assoc.get_extra_info("udp_port"))
            assert port is not None
            header = assoc.local_port.to_bytes(2) + (5001).to_bytes(2)
            for quoted in (b"", header, header + bytes(20), header + b"\x12\x34\x56\x78" + bytes(16)):
                error = DatagramError(errno.EMSGSIZE, "", (Z, 9899), mtu=600, icmp=(3, 4), quoted=quoted)
                port.receiver.error((Z, 9899), error)
            await asyncio.sleep(0.1)
            assert assoc.paths[0].mtu == 1280

    network = two_homed()
    network.run(main())


@pytest.mark.parametrize(("udp_port", "icmp"), [(0, False), (9899, True)])
def test_a_lost_shutdown_complete_is_no_error(udp_port: int, icmp: bool) -> None:
    """RFC 9260 section 8.4 rule 5: who has sent it says it again. Where the UDP port is somebody's choice, it is free
    at once, and that nobody is there any more tells the peer as much.
    """
    network = Network(seed=3, icmp=icmp)
    network.host("client", "10.0.0.1")
    network.host("server", "10.0.0.2")
    ended: list[float] = []
    sent: list[bytes] = []

    def lose_the_first(datagram: Datagram) -> bool:
        if datagram.data[12] == SHUTDOWN_COMPLETE:
            sent.append(datagram.data)
            return len(sent) > 1
        return True

    async def handler(assoc: asyncsctp.Association) -> None:
        async for _ in assoc:
            pass
        await assoc.wait_closed()
        ended.append(network.now)

    async def main() -> None:
        async with asyncsctp.serve(handler, "10.0.0.2", 5001):
            async with asyncsctp.connect("10.0.0.2", 5001, local_addrs="10.0.0.1", local_udp_port=udp_port) as assoc:
                await assoc.send(b"x")
                begin = network.now
            assert network.now - begin < 0.1, "closing waits for no more than the SHUTDOWN ACK"
            await asyncio.sleep(5)

    network.on_datagram = lose_the_first
    network.run(main())
    assert len(sent) == (1 if icmp else 2)
    [when] = ended
    assert when < 1.2  # T2-shutdown once


def test_who_has_closed_answers_for_a_few_round_trips_and_not_for_ever() -> None:
    network = Network(seed=3)
    client = network.host("client", "10.0.0.1")
    network.host("server", "10.0.0.2")
    config = Config(rto_initial=0.5, rto_min=0.5)

    async def main() -> None:
        async with asyncsctp.serve(echo, "10.0.0.2", 5001):
            async with asyncsctp.connect("10.0.0.2", 5001, local_addrs="10.0.0.1", config=config) as assoc:
                port = assoc.get_extra_info("udp_port")
            for seconds, is_bound in ((1.9, True), (0.2, False)):
                await asyncio.sleep(seconds)
                assert (client.port_at("10.0.0.1", port) is not None) == is_bound

    network.run(main())
