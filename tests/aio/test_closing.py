"""Once an association, a server or an endpoint is closed, its UDP port is free: the next may have it at once.

One that the system has chosen is kept for some moments, for who asks again for a SHUTDOWN COMPLETE.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from support.ports import free_udp_port

import asyncsctp
from asyncsctp import AssociationAborted, AssociationRefused, AssociationTimeout, Config

from .conftest import Run, echo

A, Z, Z2 = "127.0.0.1", "127.0.0.3", "127.0.0.4"
QUICK = Config(rto_initial=0.05, rto_min=0.05, rto_max=0.1, init_max_retrans=1)


async def ask(association: asyncsctp.Association) -> None:
    await association.send(b"?")
    assert (await association.recv()).data == b"?"


def test_a_client_may_have_the_same_udp_port_again(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        async with asyncsctp.serve(echo, A, 5001, udp_port=0) as server:
            for _ in range(3):
                async with asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_udp_port=port) as association:
                    await ask(association)

    run(main())


def test_after_wait_closed_too(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)

        async def one(association: asyncsctp.Association) -> None:
            await association.recv()
            association.abort()

        async with asyncsctp.serve(one, A, 5001, udp_port=0) as server:
            for _ in range(3):
                association = await asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_udp_port=port)
                await association.send(b"?")
                with pytest.raises(AssociationAborted):
                    await association.wait_closed()

    run(main())


def test_after_an_exception_too(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        async with asyncsctp.serve(echo, A, 5001, udp_port=0) as server:
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    async with asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_udp_port=port):
                        raise ZeroDivisionError

    run(main())


def test_after_a_refusal_too(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        async with asyncsctp.serve(echo, A, 5001, udp_port=0) as server:
            for _ in range(3):
                with pytest.raises(AssociationRefused):
                    await asyncsctp.connect(A, 5002, udp_port=server.udp_port, local_udp_port=port)

    run(main())


def test_the_second_address_of_a_name_is_tried_from_the_same_udp_port(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async def found(*args: Any, **named: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, 0)) for address in (Z2, Z)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found, raising=False)
        port = free_udp_port(A)
        async with (
            asyncsctp.serve(echo, Z, 5001, udp_port=0) as server,
            asyncsctp.connect(
                "service.example", 5001, udp_port=server.udp_port, local_addrs=A, local_udp_port=port, config=QUICK
            ) as association,
        ):
            await ask(association)

    run(main())


def test_after_a_connect_that_was_cancelled_or_in_vain(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((A, 0))
            there = silent.getsockname()[1]
            for _ in range(2):
                connecting = asyncio.ensure_future(
                    asyncsctp.connect(A, 5001, udp_port=there, local_udp_port=port, config=QUICK)
                )
                await asyncio.sleep(0)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
            with pytest.raises(AssociationTimeout):
                await asyncsctp.connect(A, 5001, udp_port=there, local_udp_port=port, config=QUICK)
            async with asyncsctp.open_endpoint(local_addrs=A, udp_port=port):
                pass

    run(main())


def test_a_server_and_an_endpoint_may_have_the_same_udp_port_again(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        for _ in range(3):
            async with asyncsctp.serve(echo, A, 5001, udp_port=port):
                pass
            endpoint = await asyncsctp.open_endpoint(local_addrs=A, udp_port=port)
            await endpoint.close()
            async with asyncsctp.open_endpoint(local_addrs=A, udp_port=port):
                pass

    run(main())


def test_an_endpoint_that_lacks_an_address_leaves_the_others_ports_free(run: Run) -> None:
    async def main() -> None:
        port = free_udp_port(A)
        for _ in range(3):
            with pytest.raises(OSError) as caught:
                await asyncsctp.open_endpoint(local_addrs=[A, "192.0.2.1"], udp_port=port)
            assert caught.value.errno == errno.EADDRNOTAVAIL
        async with asyncsctp.open_endpoint(local_addrs=A, udp_port=port):
            pass

    run(main())


@pytest.mark.parametrize("many", [1, 100])
def test_a_port_that_was_kept_after_the_end_is_given_up_for_whoever_wants_it(run: Run, many: int) -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with asyncsctp.serve(echo, A, 5001, udp_port=0) as server:
            for _ in range(many):
                async with asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_addrs=A) as association:
                    await ask(association)
                    port = association.get_extra_info("udp_port")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError):
                other.bind((A, port))
            assert len(os.listdir("/proc/self/fd")) - before < 80  # uvloop takes two for each
            async with asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_addrs=A, local_udp_port=port):
                pass

    run(main())


def test_an_endpoint_that_is_aborted_keeps_none(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(echo, A, 5001, udp_port=0) as server:
            endpoint = await asyncsctp.open_endpoint(local_addrs=A)
            port = endpoint.udp_port
            async with endpoint.connect(A, 5001, udp_port=server.udp_port) as association:
                await ask(association)
            await endpoint.close()
            assert (endpoint.udp_port, endpoint.local_addrs, endpoint.sockets) == (0, (), ())
            with pytest.raises(asyncsctp.AssociationClosed):
                await endpoint.add_local_address(Z)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError):
                other.bind((A, port))
            endpoint.abort()
            await asyncio.sleep(0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((A, port))

    run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_is_kept_goes_with_its_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Also where nobody shuts down its generators; without a warning, as there was nothing left to close."""

    async def main() -> int:
        async with (
            asyncsctp.serve(echo, A, 5001, udp_port=0) as server,
            asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_addrs=A) as association,
        ):
            await ask(association)
            port: int = association.get_extra_info("udp_port")
            return port

    loop = new_loop()
    port = loop.run_until_complete(main())
    loop.close()
    gc.collect()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((A, port))
