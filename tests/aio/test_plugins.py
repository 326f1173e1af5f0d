"""What a program puts into the library goes wrong: that is told, no association is left half made, and closing ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp import AssociationAborted, Config, CongestionControllerFailed
from asyncsctp.congestion import RFC9260, CongestionController


def none_to_be_had(pmdcs: int, ipv4: bool) -> CongestionController:
    raise RuntimeError("on purpose")


class Raises(CongestionController):
    """Can't do anything."""

    def on_ack(self, acked: int, in_flight_before: int, cum_advanced: bool, in_recovery: bool, now: float) -> None:
        raise RuntimeError("on purpose")

    def on_fast_retransmit(self, now: float) -> None:
        raise RuntimeError("on purpose")


def run(main: Callable[[list[Any]], Any]) -> list[Any]:
    """What the loop was told meanwhile."""
    network = two_hosts()
    complaints: list[Any] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        async with asyncio.timeout(100):
            await main(complaints)

    network.run(watched())
    return complaints


@pytest.mark.parametrize("factory", [none_to_be_had, Raises])
@pytest.mark.parametrize("side", ["server", "client", "both"])
def test_an_association_lives_without_its_congestion_controller(factory: Any, side: str) -> None:
    wrong = Config(congestion=factory)

    async def echo(association: asyncsctp.Association) -> None:
        async for message in association:
            await association.send(message.data)

    async def main(complaints: list[Any]) -> None:
        server = asyncsctp.serve(echo, Z, port=5001, config=Config() if side == "client" else wrong)
        async with server as serving:
            config = Config() if side == "server" else wrong
            async with asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as ours:
                await ours.send(bytes(50_000))
                assert len((await ours.recv()).data) == 50_000
            serving.close()
            await serving.wait_closed()
            assert serving.associations == []

    complaints = run(main)
    assert len(complaints) == (2 if side == "both" else 1)
    assert all("on purpose" in str(error) for error in complaints)


def test_another_congestion_controller_that_is_wrong_is_told_of_while_the_association_goes_on() -> None:
    async def main(complaints: list[Any]) -> None:
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect(Z, 5001, local_addrs=[A]) as ours:
                theirs = await accepting
                events = ours.events()
                ours.configure(congestion=none_to_be_had)
                event = await anext(events)
                assert isinstance(event, CongestionControllerFailed)
                assert complaints == [event.error]
                await ours.send(b"hello")
                assert (await theirs.recv()).data == b"hello"
                ours.configure(congestion=RFC9260)

    assert len(run(main)) == 1


def test_who_gets_an_association_and_raises_leaves_none_behind() -> None:
    def refuse(association: asyncsctp.Association) -> None:
        raise RuntimeError("on purpose")

    async def main(complaints: list[Any]) -> None:
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899) as end:
            end._on_accept = refuse
            with pytest.raises(AssociationAborted):
                async with asyncsctp.connect(Z, 5001, local_addrs=[A]) as ours:
                    await ours.recv()
            assert end.associations == []

    assert [str(error) for error in run(main)] == ["on purpose"]


class Unspeakable:
    """Can't even be written down."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __call__(self, *arguments: object) -> object:
        return self


@pytest.mark.parametrize("kind", ["congestion", "scheduler"])
def test_what_can_not_be_written_down_is_told_nevertheless(kind: str) -> None:
    async def main(complaints: list[Any]) -> None:
        config = Config(**{kind: Unspeakable()})  # type: ignore[arg-type]
        async with asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=config) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect(Z, 5001, local_addrs=[A]) as ours:
                await (await accepting).send(b"hello")
                assert (await ours.recv()).data == b"hello"

    [error] = run(main)
    assert "<Unspeakable> made <Unspeakable>, which is not a" in str(error)


def test_a_log_that_fails_leaves_no_association_behind() -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("the disk is full")

    async def handler(association: asyncsctp.Association) -> None:
        raise ValueError("on purpose")

    async def main(complaints: list[Any]) -> None:
        async with asyncsctp.serve(handler, Z, port=5001) as server:
            with pytest.raises(AssociationAborted):
                async with asyncsctp.connect(Z, 5001, local_addrs=[A]) as ours:
                    await ours.recv()
            server.close()
            await server.wait_closed()
            assert server.associations == []

    logger = logging.getLogger("asyncsctp.server")
    logger.addFilter(refuse)
    try:
        complaints = run(main)
    finally:
        logger.removeFilter(refuse)
    assert {str(error) for error in complaints} == {"the disk is full"}
