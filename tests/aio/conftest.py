"""Both event loops, and a server and a client on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

import asyncsctp

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Pair = Callable[..., AbstractAsyncContextManager[tuple[asyncsctp.Association, asyncsctp.Association]]]


async def echo(association: asyncsctp.Association) -> None:
    """Send each message back on its stream: a handler for `serve`."""
    async for message in association:
        await association.send(message.data, stream=message.stream, ppid=message.ppid)


@pytest.fixture(params=["asyncio", "asyncio-debug", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the loops, and ends one that hangs: a minute is no measure of speed."""

    def run_(main: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(60):
                return await main

        loop_factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        return asyncsctp.run(bounded(), debug=request.param == "asyncio-debug", loop_factory=loop_factory)

    return run_


@asynccontextmanager
async def _pair(
    config: asyncsctp.Config | None = None, peer_config: asyncsctp.Config | None = None
) -> AsyncIterator[tuple[asyncsctp.Association, asyncsctp.Association]]:
    accepted: asyncio.Queue[asyncsctp.Association] = asyncio.Queue()

    async def handler(association: asyncsctp.Association) -> None:
        accepted.put_nowait(association)
        with suppress(asyncsctp.SCTPError):
            await association.wait_closed()

    async with asyncsctp.serve(handler, "127.0.0.1", 5001, udp_port=0, config=peer_config or config) as server:
        association = await asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port, config=config)
        try:
            yield association, await accepted.get()
        finally:
            await association.close()


@pytest.fixture
def pair() -> Pair:
    """`async with pair() as (a, z)`: two associations of this process that are each other's peer."""
    return _pair
