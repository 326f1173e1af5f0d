"""The sockets of an endpoint, of which some come and go."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from support.narrowing import so_far
from support.udp_recorder import Wrapped

import asyncsctp
from asyncsctp import Config
from asyncsctp.aio.addresses.address_watch import _is_ours
from asyncsctp.aio.sockets import Sockets
from asyncsctp.association.outbox import PacketRun
from asyncsctp.paths.route import Route
from asyncsctp.udp import options as udp_options
from asyncsctp.udp.datagram import Address

from .conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as its own")

ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


class Listener:
    """Who has the sockets."""

    def __init__(self) -> None:
        self.received: list[tuple[list[bytes], Route]] = []
        self.errors: list[OSError] = []
        self.flushes = 0
        self.trains: list[bool] = []
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def receive(self, datagrams: list[bytes], route: Route, congestion_experienced: bool) -> None:
        self.received.append((datagrams, route))
        self._changed.set()

    def flush(self) -> None:
        self.flushes += 1
        self._changed.set()

    def on_error(self, route: Route, error: OSError) -> None:
        self.errors.append(error)
        self._changed.set()

    def on_socket_lost(self, error: Exception) -> None:
        raise AssertionError(error)

    def on_segmentation(self, works: bool) -> None:
        self.trains.append(works)


def opener(full: set[str], code: int = errno.EAGAIN) -> Callable[[Address, int], socket.socket]:
    """Makes sockets that are full, or refuse what is sent by this code, as long as their address is in this set."""

    def open_socket(local_addr: Address, buffer: int) -> socket.socket:
        wrapped: Any = Wrapped(
            udp_options.open_socket(local_addr, buffer), lambda method, data: code if local_addr[0] in full else 0
        )
        return wrapped  # type: ignore[no-any-return]

    return open_socket


async def bound(*addresses: str, full: set[str] | None = None) -> tuple[Sockets, Listener]:
    listener = Listener()
    sockets = Sockets(listener, Config(), opener(full or set()))
    await sockets.bind(addresses, 0)
    return sockets, listener


def test_one_more_has_the_port_of_the_others(run: Run) -> None:
    async def main() -> None:
        sockets, listener = await bound(ONE)
        port = sockets.udp_port
        await sockets.add(TWO)
        await sockets.add(TWO)
        assert list(sockets.by_local) == [ONE, TWO]
        assert sockets.info(TWO, "sockname") == (TWO, port)
        sockets.send([PacketRun(Route(TWO, ONE, port), [b"from the second"])])
        await listener.until(lambda: bool(listener.received))
        assert listener.received == [([b"from the second"], Route(ONE, TWO, port))]
        assert sockets.remove(ONE)
        assert sockets.udp_port == port
        assert not sockets.remove(TWO)  # the last one
        assert not sockets.remove(THREE)
        sockets.close()

    run(main())


def test_an_address_that_can_not_be_had_changes_nothing(run: Run) -> None:
    async def main() -> None:
        sockets, _ = await bound(ONE)
        for address, code in (("192.0.2.1", errno.EADDRNOTAVAIL), (TWO, errno.EADDRINUSE)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((TWO, sockets.udp_port))
                with pytest.raises(OSError) as caught:
                    await sockets.add(address)
            assert caught.value.errno == code
            assert list(sockets.by_local) == [ONE]
        sockets.close()

    run(main())


def test_where_all_addresses_are_bound_none_is_needed(run: Run) -> None:
    async def main() -> None:
        sockets, _ = await bound("0.0.0.0")
        await sockets.add(TWO)
        with pytest.raises(OSError):
            await sockets.add("192.0.2.1")
        assert list(sockets.by_local) == ["0.0.0.0"]
        sockets.close()

    run(main())


def test_a_full_one_that_goes_is_full_no_more(run: Run) -> None:
    async def main() -> None:
        full = {ONE, TWO}
        sockets, listener = await bound(ONE, TWO, THREE, full=full)
        for local in (ONE, TWO):
            sockets.send([PacketRun(Route(local, THREE, sockets.udp_port), [bytes(60_000)] * 5)])
        assert len(sockets.full) == 2
        assert not so_far(sockets.is_full)
        flushes = listener.flushes
        sockets.remove(TWO)
        assert len(sockets.full) == 1
        assert listener.flushes > flushes
        sockets.remove(THREE)
        assert so_far(sockets.is_full)
        await sockets.add(THREE)
        assert not sockets.is_full
        full.clear()  # what waited leaves, of the one that is gone too
        await listener.until(lambda: not sockets.full and len(listener.received) >= 5)
        assert not listener.errors
        sockets.close()

    run(main())


def test_an_address_that_is_full_when_it_goes_can_come_back_at_once(run: Run) -> None:
    async def main() -> None:
        full = {TWO}
        sockets, _ = await bound(ONE, TWO, full=full)
        sockets.send([PacketRun(Route(TWO, ONE, sockets.udp_port), [bytes(60_000)] * 5)])
        sockets.remove(TWO)
        await sockets.add(TWO)
        assert list(sockets.by_local) == [ONE, TWO]
        assert not sockets.full
        sockets.close()

    run(main())


def test_what_has_no_socket_is_counted(run: Run) -> None:
    async def main() -> None:
        sockets, _ = await bound(ONE)
        sockets.send([PacketRun(Route(TWO, ONE, 9), [b"a", b"b"]), PacketRun(Route(THREE, ONE, 9), [b"c"])])
        assert sockets.failures == {"EADDRNOTAVAIL": 3}
        sockets.close()

    run(main())


@pytest.mark.parametrize(
    "code", [errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENODEV]
)
def test_an_address_that_is_gone_for_a_while_is_counted_and_ends_nothing(run: Run, code: int) -> None:
    async def main() -> None:
        gone = {ONE}
        listener = Listener()
        sockets = Sockets(listener, Config(), opener(gone, code))
        await sockets.bind((ONE, TWO), 0)
        segmenting = sockets.info(ONE, "gso")
        route = Route(ONE, TWO, sockets.udp_port)
        sockets.send([PacketRun(route, [b"0123456789ab"] * 3), PacketRun(route, [b"alone"])])
        assert sockets.failures == {errno.errorcode[code]: 4}
        await listener.until(lambda: len(listener.errors) == 2)
        assert [error.errno for error in listener.errors] == [code] * 2
        assert sockets.info(ONE, "gso") == segmenting
        gone.clear()
        sockets.send([PacketRun(route, [b"again"])])
        await listener.until(lambda: bool(listener.received))
        assert listener.received[0][0] == [b"again"]
        sockets.close()

    run(main())


def test_processes_that_share_a_port_can_not_bind_more(run: Run) -> None:
    async def handler(association: asyncsctp.Association) -> None:
        raise AssertionError

    async def main() -> None:
        with asyncsctp.WorkerGroup(ONE, 5001, udp_port=0, workers=2) as group:
            async with asyncsctp.serve(handler, reuse_port=group.slot(0)) as server:
                with pytest.raises(NotImplementedError, match="share"):
                    await server.add_local_address(TWO)
                assert server.endpoint.local_addrs == (ONE,)

    run(main())


def test_trains_are_sent_while_each_of_them_sends_them(run: Run) -> None:
    async def main() -> None:
        def open_socket(local_addr: Address, buffer: int) -> socket.socket:
            wrapped: Any = Wrapped(
                udp_options.open_socket(local_addr, buffer),
                lambda method, data: errno.EIO if local_addr[0] == TWO and method == "sendmsg" else 0,
            )
            return wrapped  # type: ignore[no-any-return]

        listener = Listener()
        sockets = Sockets(listener, Config(), open_socket)
        await sockets.bind((ONE, TWO), 0)
        if not sockets.info(ONE, "gso"):
            pytest.skip("no GSO here")
        assert listener.trains[-1:] == [True]
        port = sockets.udp_port
        sockets.send([PacketRun(Route(ONE, TWO, port), [b"0123456789ab"] * 3)])
        assert listener.trains[-1:] == [True]
        sockets.send([PacketRun(Route(TWO, ONE, port), [b"0123456789ab"] * 3)])
        assert listener.trains[-1:] == [False]
        assert sockets.remove(TWO)
        assert listener.trains[-1:] == [True]
        sockets.close()

    run(main())


@contextmanager
def no_more_files() -> Iterator[None]:
    """Until its end this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = [os.dup(0) for _ in range(3)]  # no number below the limit stays free
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(kept) + 1, hard))
    with suppress(OSError):
        while True:
            kept.append(os.dup(0))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in kept:
            os.close(descriptor)


@pytest.mark.parametrize("local_addrs", [None, [ONE]])
def test_who_has_no_more_files_is_told_so(run: Run, local_addrs: list[str] | None) -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        with no_more_files(), pytest.raises(OSError, match="Too many open files") as caught:
            await asyncsctp.connect(TWO, 5001, udp_port=9, local_addrs=local_addrs)
        assert caught.value.errno == errno.EMFILE
        assert not isinstance(caught.value, asyncsctp.SCTPError)
        with no_more_files(), pytest.raises(OSError, match="Too many open files") as caught:
            await asyncsctp.open_endpoint(local_addrs=[ONE])
        assert caught.value.errno == errno.EMFILE

    run(main())


def test_no_way_to_a_peer_has_the_number_that_the_system_gave(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(asyncsctp.SCTPError, match=r"no way to 255\.255\.255\.255") as caught:
            await asyncsctp.connect("255.255.255.255", 5001)
        assert caught.value.errno == errno.EACCES
        assert "None" not in str(caught.value)

    run(main())


def test_an_address_is_not_gone_for_want_of_files() -> None:
    assert _is_ours(ONE)
    assert not _is_ours("192.0.2.1")
    with no_more_files():
        assert _is_ours(ONE)
