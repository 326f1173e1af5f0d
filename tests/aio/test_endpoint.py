"""`connect`, `serve` and `open_endpoint` on loopback."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from typing import Any

import pytest
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import AssociationAborted, AssociationClosed, AssociationRefused, AssociationTimeout, Config, State

from .conftest import Run, echo


async def ask(association: asyncsctp.Association, data: bytes = b"?") -> None:
    await association.send(data)
    assert (await association.recv()).data == data


def silent_port() -> socket.socket:
    """A UDP port where nobody answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def test_the_example_of_the_manual(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server:
            async with asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port) as assoc:
                reader, writer = assoc.open_stream(3)
                await writer.send(b"hello", ppid=46)
                message = await reader.read()
                assert (message.data, message.stream, message.ppid) == (b"hello", 3, 46)
            assert assoc.state is State.CLOSED
        assert server.sockets == ()

    run(main())


def test_connect_can_be_awaited(run: Run) -> None:
    async def main() -> None:
        server = await asyncsctp.serve(echo, "127.0.0.1", udp_port=0)
        assert 1024 <= server.port <= 65535
        assoc = await asyncsctp.connect("127.0.0.1", server.port, udp_port=server.udp_port, local_port=4000)
        await ask(assoc)
        assert assoc.local_port == 4000
        assert len(server.associations) == 1
        await assoc.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_nobody_at_the_port_is_a_refusal(run: Run) -> None:
    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as client,
            asyncsctp.open_endpoint(local_addrs="127.0.0.1") as other,
        ):
            other.stop_listening()
            with pytest.raises(AssociationRefused):
                await client.connect("127.0.0.1", other.port, udp_port=other.udp_port)
            assert client.associations == []

    run(main())


def test_another_sctp_port_is_a_refusal(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server:
            config = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.05, init_max_retrans=3)
            with pytest.raises(AssociationRefused):
                await asyncsctp.connect("127.0.0.1", 5002, udp_port=server.udp_port, config=config)

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell whom an ICMP message is about")
def test_nobody_at_the_udp_port_is_a_refusal(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(AssociationRefused, match="UDP"):
            await asyncsctp.connect("127.0.0.1", 5001, udp_port=free_udp_port())

    run(main())


def test_silence_is_a_timeout(run: Run) -> None:
    async def main() -> None:
        with silent_port() as sock:
            config = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.1, init_max_retrans=3)
            with pytest.raises(AssociationTimeout):
                await asyncsctp.connect("127.0.0.1", 5001, udp_port=sock.getsockname()[1], config=config)

    run(main())


def test_a_cancelled_connect_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        with silent_port() as sock, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncsctp.connect("127.0.0.1", 5001, udp_port=sock.getsockname()[1])
        assert len(asyncio.all_tasks()) <= 2  # this one, and the one that waits for it

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"port": 0}, ValueError, "port"),
        ({"port": 70000}, ValueError, "port"),
        ({"port": "5001"}, TypeError, "port"),
        ({"udp_port": 0}, ValueError, "udp_port"),
        ({"local_port": -1}, ValueError, "port"),
        ({"host": []}, ValueError, "host"),
        ({"host": ["nonsense"]}, ValueError, "host"),
        ({"host": [5]}, TypeError, "host"),
        ({"family": 99}, ValueError, "family"),
        ({"family": socket.AF_INET6}, ValueError, "family"),
        ({"local_addrs": ["nonsense"]}, ValueError, "local_addrs"),
        ({"local_addrs": []}, ValueError, "local_addrs"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], error: type[Exception], name: str) -> None:
    async def main() -> None:
        with pytest.raises(error, match=name):
            await asyncsctp.connect(**(dict[str, Any](host="127.0.0.1", port=5001) | arguments))

    asyncio.run(main())


def test_addresses_in_use_and_of_others_are_the_system_s_errors() -> None:
    async def main() -> None:
        with silent_port() as sock:
            number = sock.getsockname()[1]
            with pytest.raises(OSError) as caught:
                await asyncsctp.serve(echo, "127.0.0.1", udp_port=number)
            assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError) as caught:
            await asyncsctp.connect("127.0.0.1", 5001, local_addrs=["192.0.2.77"])
        assert caught.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(socket.gaierror):
            await asyncsctp.connect("no-such-host.invalid", 5001)

    asyncio.run(main())


def test_both_families_and_wildcards(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, port=5001, udp_port=0) as server:
            assert len(server.sockets) == 2
            for host in ("127.0.0.1", "::1", "localhost"):
                async with asyncsctp.connect(host, 5001, udp_port=server.udp_port) as assoc:
                    await ask(assoc)
            async with asyncsctp.connect("localhost", 5001, udp_port=server.udp_port, family=socket.AF_INET) as assoc:
                assert assoc.peer == "127.0.0.1"

    run(main())


def test_multihomed_on_both_sides(run: Run) -> None:
    async def main() -> None:
        ours, theirs = ["127.0.0.11", "127.0.0.12"], ["127.0.0.21", "127.0.0.22"]
        async with asyncsctp.serve(echo, port=5001, udp_port=0, local_addrs=theirs) as server:
            assert len(server.sockets) == 2
            async with asyncsctp.connect(theirs, 5001, udp_port=server.udp_port, local_addrs=ours) as assoc:
                await ask(assoc)
                assert {path.address for path in assoc.paths} == set(theirs)
                assert {path.local for path in assoc.paths} == set(ours)
                (peer,) = server.associations
                assert {path.address for path in peer.paths} == set(ours)
                for address in theirs:
                    await assoc.heartbeat(address)
                assoc.set_primary_path("127.0.0.22")
                assert assoc.peer == "127.0.0.22"
                await ask(assoc)

    run(main())


def test_an_endpoint_has_many_associations_on_its_sockets(run: Run) -> None:
    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as a,
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as b,
            asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as c,
        ):
            to_b = await a.connect("127.0.0.1", b.port, udp_port=b.udp_port)
            to_c = await a.connect("127.0.0.1", c.port, udp_port=c.udp_port)
            from_a = await b.accept()
            await c.accept()
            assert len(a.associations) == 2
            assert len(a.sockets) == 1
            assert to_b.local_port == to_c.local_port == a.port
            await to_b.send(b"to b")
            assert (await from_a.recv()).data == b"to b"
            with pytest.raises(ValueError, match="already"):
                await a.connect("127.0.0.1", b.port, udp_port=b.udp_port)
            async with b.connect("127.0.0.1", c.port, udp_port=c.udp_port):
                assert len(b.associations) == 2
            assert len(b.associations) == 1
        assert to_b.state is to_c.state is from_a.state is State.CLOSED
        with pytest.raises(AssociationClosed):
            await a.accept()
        with pytest.raises(AssociationClosed):
            await a.connect("127.0.0.1", 5001)
        await a.close()

    run(main())


def test_an_endpoint_left_by_an_exception_aborts(run: Run) -> None:
    async def leave(b: asyncsctp.Endpoint) -> None:
        async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as a:
            await a.connect("127.0.0.1", b.port, udp_port=b.udp_port)
            raise ZeroDivisionError

    async def main() -> None:
        async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"]) as b:
            with pytest.raises(ZeroDivisionError):
                await leave(b)
            association = await b.accept()
            with pytest.raises(AssociationAborted):
                await association.wait_closed()

    run(main())


def test_a_limit_bounds_the_associations(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0, limit=2) as server:
            first = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            second = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            with pytest.raises(AssociationRefused):
                await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            await first.close()
            third = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            await ask(third)
            await second.close()
            await third.close()

    run(main())


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_of_nothing_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        asyncsctp.serve(echo, limit=limit)


def test_a_handler_that_returns_shuts_down_and_one_that_raises_aborts(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(association: asyncsctp.Association) -> None:
        message = await association.recv()
        if message.data == b"fail":
            raise ZeroDivisionError
        association.write(b"last words")

    async def main() -> None:
        async with asyncsctp.serve(handler, "127.0.0.1", 5001, udp_port=0) as server:
            async with asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port) as assoc:
                await assoc.send(b"end")
                assert [message.data async for message in assoc] == [b"last words"]
                await assoc.wait_closed()
            assert not caplog.records
            assoc = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            await assoc.send(b"fail")
            with pytest.raises(AssociationAborted):
                await assoc.recv()
            (record,) = caplog.records
            assert record.levelno == logging.ERROR
            assert record.exc_info is not None
            assert record.exc_info[0] is ZeroDivisionError

    caplog.set_level(logging.WARNING, "asyncsctp")
    run(main())


def test_a_peer_that_aborts_is_no_error_of_the_handler(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server:
            assoc = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            await ask(assoc)
            assoc.abort()
        assert not caplog.records

    caplog.set_level(logging.WARNING, "asyncsctp")
    run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_nor_is_it_one_that_has_tasks_of_its_own(run: Run, caplog: pytest.LogCaptureFixture, fails: bool) -> None:
    """What fails for another reason still is one, whatever stands beside it."""

    async def wait(association: asyncsctp.Association) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(association.recv())
            group.create_task(association.open_stream(1)[0].read())

    async def fail(association: asyncsctp.Association) -> None:
        try:
            await association.wait_closed()
        except asyncsctp.SCTPError:
            raise ZeroDivisionError from None

    async def handler(association: asyncsctp.Association) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait(association))
            if fails:
                group.create_task(fail(association))

    async def main() -> None:
        async with asyncsctp.serve(handler, "127.0.0.1", 5001, udp_port=0) as server:
            assoc = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
            await assoc.send(b"x", stream=1)
            await assoc.flush()
            assoc.abort()
        levels = [record.levelno for record in caplog.records]
        assert levels == ([logging.ERROR] if fails else [logging.INFO])
        assert "aborted" in caplog.text

    caplog.set_level(logging.INFO, "asyncsctp.server")
    run(main())


def test_closing_a_server_ends_its_associations_gracefully(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server:
            udp_port = server.udp_port
            assoc = await asyncsctp.connect("127.0.0.1", 5001, udp_port=udp_port)
            await ask(assoc)
        await assoc.wait_closed()
        assert not server.is_serving()
        with pytest.raises(AssociationClosed):
            await server.start_serving()

    run(main())


def test_a_closed_server_can_let_its_associations_go_on(run: Run) -> None:
    async def main() -> None:
        server = await asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0)
        assoc = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
        await ask(assoc)
        server.close(close_associations=False)
        with pytest.raises(AssociationRefused):
            await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port)
        await ask(assoc)
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await assoc.close()
        await waiting

    run(main())


def test_serve_forever_until_cancelled(run: Run) -> None:
    async def main() -> None:
        server = await asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0)
        serving = asyncio.ensure_future(server.serve_forever())
        async with asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port) as assoc:
            await ask(assoc)
            with pytest.raises(RuntimeError):
                await server.serve_forever()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            await assoc.wait_closed()

    run(main())


def test_the_window_is_bounded_by_what_the_socket_was_granted(run: Run) -> None:
    async def main() -> None:
        config = Config(recv_buffer=1 << 30)
        async with asyncsctp.open_endpoint(local_addrs=["127.0.0.1"], config=config) as endpoint:
            granted = endpoint.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            assert endpoint.config.recv_buffer == granted // 2

    run(main())


def test_hundreds_of_associations_come_and_go(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0) as server:

            async def one(number: int) -> None:
                async with asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port) as assoc:
                    await ask(assoc, b"%d" % number)

            for _ in range(4):
                await asyncio.gather(*(one(number) for number in range(50)))
            await asyncio.sleep(0.05)
            assert server.associations == []

    run(main())


def test_an_exception_leaves_a_server_although_a_handler_waits_for_something_else(run: Run) -> None:
    async def main() -> None:
        never, entered = asyncio.Event(), asyncio.Event()

        async def handler(assoc: asyncsctp.Association) -> None:
            entered.set()
            await never.wait()

        async with (
            asyncsctp.serve(handler, "127.0.0.1", 5001, udp_port=0) as server,
            asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port),
        ):
            await entered.wait()
            raise KeyError("a mistake")

    with pytest.raises(KeyError):
        run(main())
