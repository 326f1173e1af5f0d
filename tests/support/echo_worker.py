"""The worker process of `tests/aio/processes/test_workers.py`, as a module that a spawned process can import."""

from __future__ import annotations

import os

import asyncsctp


def work(slot: asyncsctp.WorkerSlot) -> None:
    """Say at each message who has it: slot, process, and how many packets came to this worker by mistake."""

    async def main() -> None:
        async def answer(association: asyncsctp.Association) -> None:
            async for message in association:
                strays = server.endpoint.stats.handed_over
                await association.send(b"%d %d %d %s" % (slot.index, os.getpid(), strays, message.data))

        async with asyncsctp.serve(answer, reuse_port=slot) as server:
            await server.serve_forever()

    asyncsctp.run(main())
