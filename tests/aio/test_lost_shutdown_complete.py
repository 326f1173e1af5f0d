"""A peer that has closed and is gone, its last word lost, and no ICMP: nobody waits for it (RFC 9260 section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import asyncsctp
from asyncsctp import AssociationAborted, AssociationRefused, Config, EndOfStream, State
from asyncsctp.testing import Network
from asyncsctp.testing.host import Datagram
from asyncsctp.wire.constants import SHUTDOWN_COMPLETE

A, B, Z = "10.0.0.1", "10.0.0.2", "10.0.0.9"


class Gone:
    """A network whose host A is never heard any more once it has sent its SHUTDOWN COMPLETE."""

    def __init__(self) -> None:
        self.network = Network(seed=1)
        for name, address in (("a", A), ("b", B), ("z", Z)):
            self.network.host(name, address)
        for other in (A, B):
            self.network.link(other, Z, delay=0.01)
            self.network.link(Z, other, delay=0.01)
        self.network.on_datagram = self.look
        self.is_gone = False

    def look(self, datagram: Datagram) -> bool:
        if datagram.source[0] == A and datagram.data[12] == SHUTDOWN_COMPLETE:
            self.is_gone = True
        return not (self.is_gone and A in (datagram.source[0], datagram.destination[0]))


async def say(texts: list[bytes], address: str) -> None:
    async with asyncsctp.connect(Z, 5001, local_addrs=[address]) as association:
        for text in texts:
            await association.send(text)


def now() -> float:
    return asyncio.get_running_loop().time()


async def whole(association: asyncsctp.Association) -> list[bytes]:
    return [message.data async for message in association]


async def from_a_stream(association: asyncsctp.Association) -> list[bytes]:
    reader, _ = association.open_stream(0)
    heard = [message.data async for message in reader]
    assert reader.at_eof()
    return heard


async def in_parts(association: asyncsctp.Association) -> list[bytes]:
    reader, _ = association.open_stream(0)
    return [part.data async for part in reader.parts()]


async def accepted(association: asyncsctp.Association) -> list[bytes]:
    reader, _ = await association.accept_stream()
    with pytest.raises(EndOfStream):
        await association.accept_stream()
    return [message.data for message in await reader.read_many()]


@pytest.mark.parametrize("read", [whole, from_a_stream, in_parts, accepted])
def test_readers_end_at_once(read: Callable[[asyncsctp.Association], Awaitable[list[bytes]]]) -> None:
    gone = Gone()
    heard: list[bytes] = []
    ended: list[float] = []

    async def handler(association: asyncsctp.Association) -> None:
        heard.extend(await read(association))
        ended.append(now())

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001):
            await say([b"1", b"2", b"3"], A)
            closed = now()
            await asyncio.sleep(1.0)
            assert ended and ended[0] - closed < 0.1

    gone.network.run(main())
    assert heard == [b"1", b"2", b"3"]


def test_what_was_not_acknowledged_keeps_readers_waiting() -> None:
    """They are told of the end, when it is known: what the handler has written may still fail."""
    network = Gone().network

    async def handler(association: asyncsctp.Association) -> None:
        association.write_many([bytes(1000)] * 100)
        with pytest.raises(AssociationAborted):
            async for _ in association:
                pass
        told.append(now())

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, config=Config(send_buffer=1 << 20)):
            association = await asyncsctp.connect(
                Z, 5001, local_addrs=[A], config=Config(recv_buffer=10_000, close_timeout=5.0)
            )
            await asyncio.sleep(1.0)
            begun = now()
            await association.close()  # nobody reads what comes, so that it takes too long
            await asyncio.sleep(1.0)
            assert told and told[0] - begun > 4.9

    told: list[float] = []
    network.run(main())


def test_the_association_ends_gracefully_when_its_handler_has_returned() -> None:
    gone = Gone()
    associations: list[asyncsctp.Association] = []

    async def handler(association: asyncsctp.Association) -> None:
        associations.append(association)
        async for _ in association:
            pass

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, config=Config(close_timeout=20.0)) as server:
            await say([b"1"], A)
            closed = now()
            [association] = associations
            await association.wait_closed()
            assert 19.0 < now() - closed < 21.0
            assert not server.associations

    gone.network.run(main())


@pytest.mark.parametrize("waits_before", [True, False])
def test_who_waits_for_the_end_and_does_not_close_waits_no_longer(waits_before: bool) -> None:
    """From where nothing else is missing; begun before the peer shuts down, or afterwards."""
    gone = Gone()
    ended: list[float] = []

    async def handler(association: asyncsctp.Association) -> None:
        if not waits_before:
            assert [message.data async for message in association] == [b"1"]
        await association.wait_closed()
        ended.append(now())

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, config=Config(close_timeout=20.0)) as server:
            await say([b"1"], A)
            closed = now()
            await asyncio.sleep(19.0)
            assert server.associations and not ended
            await asyncio.sleep(2.0)
            assert not server.associations
            assert 19.9 < ended[0] - closed < 20.1

    gone.network.run(main())


def test_who_waits_already_when_the_peer_shuts_down_has_what_is_still_to_be_acknowledged() -> None:
    """The time begins when nothing else is missing any more."""
    gone = Gone()
    ended: list[float] = []

    async def handler(association: asyncsctp.Association) -> None:
        association.write_many([bytes(1000)] * 100)
        await association.wait_closed()
        ended.append(now())

    async def main() -> None:
        config = Config(send_buffer=1 << 20, close_timeout=20.0)
        async with asyncsctp.serve(handler, Z, 5001, config=config) as server:
            association = await asyncsctp.connect(Z, 5001, local_addrs=[A], config=Config(recv_buffer=10_000))
            closing = asyncio.ensure_future(association.close())
            async with asyncio.timeout(25.0):
                read = 0
                while read < 100:
                    await asyncio.sleep(0.1)
                    read += len(await association.recv_many())
                await closing
            closed = now()
            await asyncio.sleep(30.0)
            assert not server.associations
            assert 19.5 < ended[0] - closed < 20.5

    gone.network.run(main())


def test_who_gives_up_waiting_for_the_end_leaves_it_as_it_was() -> None:
    gone = Gone()
    there: list[bool] = []

    async def handler(association: asyncsctp.Association) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await association.wait_closed()
        await asyncio.sleep(30.0)
        there.append(association.state is State.SHUTDOWN_ACK_SENT)

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, config=Config(close_timeout=20.0)):
            await say([b"1"], A)
            await asyncio.sleep(50.0)

    gone.network.run(main())
    assert there == [True]


def test_its_place_is_free_for_the_next() -> None:
    """But one that is still being spoken to keeps its own."""
    gone = Gone()
    heard: list[bytes] = []

    async def handler(association: asyncsctp.Association) -> None:
        heard.extend([message.data async for message in association])

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, limit=1) as server:
            await say([b"1"], A)
            await asyncio.sleep(0.5)
            async with asyncsctp.connect(Z, 5001, local_addrs=[B]) as association:
                assert len(server.associations) == 1
                with pytest.raises(AssociationRefused):
                    await asyncsctp.connect(Z, 5001, local_addrs=[B])
                await association.send(b"2")
                await association.flush()

    gone.network.run(main())
    assert heard == [b"1", b"2"]


def test_where_nobody_waits_the_end_comes_when_it_has_been_asked_for_often_enough() -> None:
    gone = Gone()

    async def main() -> None:
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899) as endpoint:
            accepting = asyncio.ensure_future(endpoint.accept())
            await say([b"1"], A)
            association = await accepting
            assert [message.data async for message in association] == [b"1"]
            async for _ in association.events():
                pass
            assert 300.0 < now() < 400.0
            await association.wait_closed()

    gone.network.run(main(), limit=1000.0)
