"""In asyncio's debug mode the core looks after itself."""

from __future__ import annotations

import asyncio

import pytest

import asyncsctp
from asyncsctp.association.invariants import InvariantViolation
from asyncsctp.testing import Network
from asyncsctp.timers import T3_RTX, timer_key


@pytest.mark.parametrize("debug", [False, True])
def test_a_broken_invariant_is_told_in_debug_mode(debug: bool) -> None:
    network = Network(seed=1)
    network.host("client", "10.0.0.1")
    network.host("server", "10.0.0.2")
    told: list[object] = []

    async def handler(assoc: asyncsctp.Association) -> None:
        await assoc.wait_closed()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
        async with (
            asyncsctp.serve(handler, "10.0.0.2", 5001),
            asyncsctp.connect("10.0.0.2", 5001, local_addrs="10.0.0.1") as assoc,
        ):
            timers = assoc._session.core.context.timers
            timers.start(timer_key(T3_RTX, 9), 1e9)  # of a path that does not exist
            assoc.write(b"x")
            await asyncio.sleep(0.001)
            timers.stop(timer_key(T3_RTX, 9))

    network.run(main(), debug=debug)
    assert bool(told) == debug
    assert all(isinstance(error, InvariantViolation) for error in told)
