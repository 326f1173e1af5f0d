"""Associations on loopback, as a program uses them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import asyncsctp
from asyncsctp import (
    AssociationAborted,
    AssociationClosed,
    AssociationDown,
    Config,
    EndOfStream,
    MessageTooLarge,
    PathState,
    PeerShutdown,
    State,
)

from .conftest import Pair, Run


def test_messages_arrive_whole_in_order_and_on_their_stream(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            sizes = [1, 2, 3, 1200, 1232, 5000, 70000, 300_000, 4]
            reader, _ = z.open_stream(3)
            for size in sizes:
                await a.send(bytes([size & 255]) * size, stream=3, ppid=size)
            for number, size in enumerate(sizes):
                message = await reader.read()
                assert message.data == bytes([size & 255]) * size
                assert (message.stream, message.ppid, message.unordered) == (3, size, False)
                assert message.ssn == number

    run(main())


def test_a_thousand_small_messages_of_one_turn_share_packets(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            for number in range(1000):
                a.write(b"%d" % number, stream=number % 7)
            got = 0
            while got < 1000:
                got += len(await z.recv_many())
            assert a.stats.packets_sent < 100

    run(main())


def test_any_bytes_like_object_can_be_sent_and_changed_afterwards(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            changing = bytearray(b"bytearray")
            a.write(changing)
            changing[:] = b"something"
            a.write(memoryview(b"memoryview"))
            a.write(memoryview(bytearray(b"x-part-x"))[2:6])
            a.write(memoryview(b"0123456789")[::2])
            unordered = b"unordered"
            a.write(unordered, unordered=True, sack_immediately=True)
            texts = [(await z.recv()).data for _ in range(5)]
            assert sorted(texts) == sorted([b"bytearray", b"memoryview", b"part", b"02468", b"unordered"])

    run(main())


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"data": "text"}, TypeError, "data"),
        ({"data": 5}, TypeError, "data"),
        ({"data": b""}, ValueError, "data"),
        ({"ppid": -1}, ValueError, "ppid"),
        ({"ppid": 1 << 32}, ValueError, "ppid"),
        ({"ppid": "46"}, TypeError, "ppid"),
        ({"ppid": True}, TypeError, "ppid"),
        ({"stream": 1024}, ValueError, "stream"),
        ({"stream": -1}, ValueError, "stream"),
        ({"stream": "0"}, TypeError, "stream"),
        ({"unordered": 1}, TypeError, "unordered"),
        ({"sack_immediately": None}, TypeError, "sack_immediately"),
        ({"path": "192.0.2.9"}, ValueError, "path"),
        ({"path": "nowhere"}, ValueError, "path"),
        ({"path": 5}, TypeError, "path"),
        ({"data": bytes(1001)}, MessageTooLarge, "1000"),
    ],
)
def test_wrong_arguments_are_refused_at_once_by_name(
    pair: Pair, options: dict[str, Any], error: type[Exception], name: str
) -> None:
    async def main() -> None:
        async with pair(Config(max_message_size=1000)) as (a, _):
            with pytest.raises(error, match=name):
                a.write(**({"data": b"x"} | options))
            with pytest.raises(error, match=name):
                await a.send(**({"data": b"x"} | options))
            assert a.stats.messages_sent == 0

    asyncio.run(main())


def test_a_list_of_messages_is_written_at_once_and_each_is_a_message(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            _, writer = a.open_stream(5)
            changing = bytearray(b"two")
            writer.write(b"zero")
            writer.write_many((b"one", changing, memoryview(b"three")), ppid=46)
            changing[:] = b"2"
            writer.write_many([])
            a.write_many((b"%d" % number for number in range(3)), stream=7, unordered=True)
            writer.write(b"four")
            await a.flush()
            found = [await z.recv() for _ in range(8)]
            on_5 = [(message.data, message.ppid, message.ssn) for message in found if message.stream == 5]
            assert on_5 == [(b"zero", 0, 0), (b"one", 46, 1), (b"two", 46, 2), (b"three", 46, 3), (b"four", 0, 4)]
            on_7 = [message.data for message in found if message.stream == 7 and message.unordered]
            assert sorted(on_7) == [b"0", b"1", b"2"]
            assert a.stats.messages_sent == 8
            writer.close()
            with pytest.raises(AssociationClosed):
                writer.write_many([b"too late"])

    run(main())


@pytest.mark.parametrize(
    ("messages", "options", "error", "name"),
    [
        ([b"x", b""], {}, ValueError, "data"),
        ([b"x", "text"], {}, TypeError, "data"),
        ([b"x", bytes(1001)], {}, MessageTooLarge, "1000"),
        ([b"x"], {"ppid": -1}, ValueError, "ppid"),
        ([b"x"], {"ppid": True}, TypeError, "ppid"),
        ([b"x"], {"unordered": None}, TypeError, "unordered"),
        ([b"x"], {"stream": 1024}, ValueError, "stream"),
        (5, {}, TypeError, "iterable"),
    ],
)
def test_of_a_list_with_a_wrong_message_none_is_written(
    pair: Pair, messages: Any, options: dict[str, Any], error: type[Exception], name: str
) -> None:
    async def main() -> None:
        async with pair(Config(max_message_size=1000)) as (a, _):
            with pytest.raises(error, match=name):
                a.write_many(messages, **options)
            assert a.stats.messages_sent == 0

    asyncio.run(main())


def test_a_message_can_take_the_path_that_the_user_names(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            await a.send(b"this way", path="127.0.0.1")
            assert (await z.recv()).data == b"this way"

    run(main())


def test_streams_are_claimed_and_accepted(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            reader, writer = a.open_stream()
            assert (reader.stream, writer.stream) == (0, 0)
            _, other = a.open_stream()
            assert other.stream == 1
            await writer.send(b"zero")
            await other.send(b"one")
            accepted = [await z.accept_stream() for _ in range(2)]
            assert [(await each.read()).data for each, _ in accepted] == [b"zero", b"one"]
            await accepted[0][1].send(b"back")
            assert (await reader.read()).data == b"back"
            _, third = z.open_stream()
            assert third.stream == 2
            with pytest.raises(ValueError, match="claimed"):
                a.open_stream(0)
            for wrong in (-1, 70000):
                with pytest.raises(ValueError, match="sid"):
                    a.open_stream(wrong)

    run(main())


def test_stream_numbers_run_out_with_a_clear_error(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair(Config(outgoing_streams=2)) as (a, _):
            assert a.outgoing_streams == 2
            a.open_stream()
            a.open_stream()
            with pytest.raises(asyncsctp.SCTPError, match="every stream"):
                a.open_stream()

    run(main())


def test_drain_waits_for_a_reader_that_does_not_read(run: Run, pair: Pair) -> None:
    async def main() -> None:
        config = Config(recv_buffer=16384, send_buffer=32768)
        async with pair(config) as (a, z):
            sent = 0

            async def write() -> None:
                nonlocal sent
                for _ in range(200):
                    await a.send(bytes(1000))
                    sent += 1

            writers = [asyncio.ensure_future(write()) for _ in range(3)]
            await asyncio.sleep(0.3)
            assert 0 < sent * 1000 < 16384 + 32768 + 6 * 1000
            got = 0
            while got < 600:
                got += len(await z.recv_many())
            await asyncio.gather(*writers)
            await a.flush()

    run(main())


def test_a_cancelled_read_loses_no_message(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):

            async def send() -> None:
                for number in range(300):
                    await a.send(b"%d" % number)
                    await asyncio.sleep(0)

            sending = asyncio.ensure_future(send())
            got: list[bytes] = []
            while len(got) < 300:
                try:
                    async with asyncio.timeout(0.0005):
                        while True:
                            message = await z.recv()
                            got.append(message.data)
                            if len(got) == 300:
                                break
                except TimeoutError:
                    pass
            assert got == [b"%d" % number for number in range(300)]
            await sending

    run(main())


def test_close_delivers_what_was_written(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            for _ in range(300):
                a.write(bytes(1000))
            closing = asyncio.ensure_future(a.close())
            got = [message async for message in z]
            assert len(got) == 300
            await closing
            await a.close()
            await a.wait_closed()
            await z.wait_closed()
            assert a.state is z.state is State.CLOSED
            with pytest.raises(EndOfStream):
                await a.recv()
            for write in (a.write, a.open_stream(5)[1].write):
                with pytest.raises(AssociationClosed):
                    write(b"too late")
            with pytest.raises(AssociationClosed):
                await a.drain()
            with pytest.raises(AssociationClosed):
                await a.heartbeat()
            await a.flush()

    run(main())


def test_a_shutdown_takes_no_more_messages_from_either_side(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            events = z.events()
            a.write(b"x" * 100_000)
            closing = asyncio.ensure_future(a.close())
            await asyncio.sleep(0)
            assert a.is_closing()
            with pytest.raises(AssociationClosed):
                a.write(b"too late")
            await closing
            seen = [event async for event in events]
            assert PeerShutdown() in seen
            assert seen[-1] == AssociationDown(None)

    run(main())


def test_abort_ends_both_sides_at_once_and_says_why(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            reading = asyncio.ensure_future(z.recv())
            flushing = asyncio.ensure_future(a.flush())
            accepting = asyncio.ensure_future(z.accept_stream())
            await asyncio.sleep(0)
            a.abort(b"enough of this")
            assert a.state is State.CLOSED
            for waiting in (reading, accepting, asyncio.ensure_future(z.wait_closed())):
                with pytest.raises(AssociationAborted) as caught:
                    await waiting
                assert caught.value.by_peer
                assert b"enough of this" in caught.value.causes[0].info
            with pytest.raises(AssociationAborted) as caught:
                await a.wait_closed()
            assert not caught.value.by_peer
            await flushing
            a.abort()
            await a.close()

    run(main())


def test_abort_wants_a_short_reason_in_bytes(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, _):
            with pytest.raises(TypeError, match="reason"):
                a.abort("text")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="512"):
                a.abort(bytes(513))
            assert a.state is State.ESTABLISHED

    run(main())


def test_leaving_with_an_exception_aborts_and_without_one_delivers(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            async with a:
                a.write(b"delivered")
            assert (await z.recv()).data == b"delivered"
            with pytest.raises(EndOfStream):
                await z.recv()
        async with pair() as (a, z):
            with pytest.raises(ZeroDivisionError):
                async with a:
                    raise ZeroDivisionError
            with pytest.raises(AssociationAborted):
                await z.recv()

    run(main())


def test_close_gives_up_after_its_time(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair(Config(close_timeout=0.2), Config(recv_buffer=4096)) as (a, z):
            for _ in range(20):
                a.write(bytes(1000))
            started = asyncio.get_running_loop().time()
            await a.close()  # nobody reads at the other side
            assert 0.1 < asyncio.get_running_loop().time() - started < 2
            with pytest.raises(AssociationAborted):
                await a.wait_closed()
            with pytest.raises(AssociationAborted):
                await z.wait_closed()

    run(main())


def test_snapshots(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair(Config(outgoing_streams=7, max_incoming_streams=5)) as (a, z):
            await a.send(b"x" * 5000)
            await z.recv()
            await a.flush()
            assert a.state is State.ESTABLISHED
            assert (a.peer, a.peer_port, z.peer_port) == ("127.0.0.1", 5001, a.local_port)
            assert (a.outgoing_streams, a.incoming_streams) == (5, 5)
            (path,) = a.paths
            assert (path.address, path.state, path.primary, path.flight) == ("127.0.0.1", PathState.ACTIVE, True, 0)
            assert path.srtt is not None
            assert 0 < path.srtt < 1
            assert path.rto >= 1.0
            assert path.cwnd > path.mtu
            assert a.stats.messages_sent == 1
            stats = a.stats
            await a.send(b"more")
            assert stats.messages_sent == 1
            assert ("ecn" in a.negotiated) is a.negotiated.ecn
            assert a.config.outgoing_streams == 7
            assert a.get_extra_info("peername") == ("127.0.0.1", 5001)
            assert a.get_extra_info("sockname") == ("127.0.0.1", a.local_port)
            assert a.get_extra_info("peer_udp_port") == z.get_extra_info("udp_port")
            assert a.get_extra_info("socket").getsockname()[0] == "127.0.0.1"
            assert a.get_extra_info("nonsense", 5) == 5
            assert "127.0.0.1" in repr(a)
            protocol: object = a
            assert isinstance(protocol, asyncio.DatagramProtocol)
            assert not {"datagram_received", "connection_made", "core"} & {*dir(a), *dir(asyncsctp.Association)}
            assert {"send", "recv", "paths"} <= set(dir(a))

    run(main())


def test_heartbeat_gives_the_round_trip(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, _):
            several = await asyncio.gather(a.heartbeat(), a.heartbeat("127.0.0.1"), a.heartbeat())
            assert all(0 <= each < 1 for each in several)
            for wrong in ("127.0.0.9", "no address"):
                with pytest.raises(ValueError, match="addr"):
                    await a.heartbeat(wrong)
            a.set_primary_path("127.0.0.1")
            with pytest.raises(ValueError, match="addr"):
                a.set_primary_path("127.0.0.9")

    run(main())


def test_a_heartbeat_that_waits_when_the_association_ends_says_how_it_ended(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, _):
            waiting = asyncio.ensure_future(a.heartbeat())
            await asyncio.sleep(0)
            a.abort()
            with pytest.raises(asyncsctp.AssociationAborted):
                await waiting

    run(main())


def test_no_heartbeat_leaves_and_none_is_awaited_while_the_association_shuts_down(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, _):
            a.write(bytes(100))
            closing = asyncio.ensure_future(a.close())
            await asyncio.sleep(0)
            for _ in range(2):
                assert a.state is State.SHUTDOWN_PENDING
                with pytest.raises(AssociationClosed, match="shutdown-pending"):
                    await a.heartbeat()
            await closing

    run(main())


def test_live_settings_change_and_others_are_refused(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            a.configure(rto_min=0.05, sack_delay=0.01, send_buffer=1000)
            assert (a.config.rto_min, a.config.send_buffer) == (0.05, 1000)
            assert z.config.rto_min == 1.0
            with pytest.raises(ValueError, match="outgoing_streams"):
                a.configure(outgoing_streams=5)  # type: ignore[call-arg]
            with pytest.raises(ValueError, match="nonsense"):
                a.configure(nonsense=5)  # type: ignore[call-arg]
            with pytest.raises(ValueError, match="sack_delay"):
                a.configure(sack_delay=0.6)
            await a.send(bytes(5000))
            await a.heartbeat()
            assert a.paths[0].rto < 1.0

    run(main())


def test_a_closed_writer_takes_no_more(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (a, z):
            _, writer = a.open_stream(2)
            writer.write(b"last")
            writer.close()
            assert writer.is_closing()
            with pytest.raises(AssociationClosed, match="stream 2"):
                writer.write(b"too late")
            await writer.wait_closed()
            assert writer.buffered == 0
            assert (await z.recv()).data == b"last"

    run(main())


def test_a_forgotten_listener_costs_nothing(run: Run, pair: Pair) -> None:
    async def main() -> None:
        async with pair() as (association, _):
            kept = association.events()
            for _ in range(100):
                association.events()
            assert list(association._driver._listeners or ()) == [kept]

    run(main())
