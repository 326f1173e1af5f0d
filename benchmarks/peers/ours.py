"""asyncsctp, as a program would use it, with no setting but the size of packets."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
from multiprocessing.synchronize import Semaphore
from time import perf_counter

import asyncsctp

from ..job import ADDRESS, Job
from ..scenarios import workers
from .base import Handler, Link, burst_of

__all__ = ["connect", "listen"]

_PORT = 5001
_LONGEST_START = 30.0
_context = multiprocessing.get_context("spawn")
_groups: list[asyncsctp.WorkerGroup] = []  # kept open, with their sockets
_endpoints: list[asyncsctp.Endpoint] = []


class OurLink(Link):
    """An association; all is sent and received on its stream 0."""

    def __init__(self, association: asyncsctp.Association) -> None:
        self._association = association
        self._reader, self._writer = association.open_stream(0)

    async def send(self, message: bytes) -> None:
        await self._writer.send(message)

    async def receive(self) -> bytes:
        try:
            return (await self._reader.read()).data
        except asyncsctp.EndOfStream:
            return b""

    async def pump(self, message: bytes, seconds: float, batch: bool) -> int:
        write_many, send = self._writer.write_many, self._writer.send
        burst = range(burst_of(message))
        many = [message] * len(burst)
        end = perf_counter() + seconds
        messages = 0
        while perf_counter() < end:
            if batch:
                write_many(many)
                await self._writer.drain()
            else:
                for _ in burst:
                    await send(message)
            messages += len(burst)
        return messages

    async def swallow(self, batch: bool) -> tuple[int, int]:
        messages = size = 0
        if not batch:
            async for message in self._reader:
                if len(message.data) == 1:
                    return messages, size
                messages += 1
                size += len(message.data)
        while many := await self._reader.read_many():
            sizes = [len(message.data) for message in many]
            size += sum(sizes)
            messages += len(sizes)
            if sizes[-1] == 1:
                return messages - 1, size - 1
        raise ConnectionError("the association ended too early")

    async def close(self) -> None:
        await self._association.close()

    async def wait_closed(self) -> None:
        await self._association.wait_closed()

    def counters(self) -> dict[str, int]:
        stats = self._association.stats
        counted = ((field.name, getattr(stats, field.name)) for field in dataclasses.fields(stats))
        return {name: value for name, value in counted if isinstance(value, int) and value}


def _config(job: Job) -> asyncsctp.Config:
    config = asyncsctp.Config(mtu=job.mtu)
    return config.replace(heartbeat_interval=job.heartbeat) if job.heartbeat else config


async def listen(job: Job, handler: Handler) -> int:
    if job.kind == "workers":
        group = asyncsctp.WorkerGroup(ADDRESS, _PORT, udp_port=0, workers=job.workers)
        ready = _context.Semaphore(0)
        for index in range(job.workers):
            _context.Process(target=_work, args=(group.slot(index), job, ready), daemon=True).start()
        for _ in range(job.workers):
            if not await asyncio.to_thread(ready.acquire, timeout=_LONGEST_START):
                raise RuntimeError("a worker process does not begin")
        _groups.append(group)
        return group.udp_port

    async def accept(association: asyncsctp.Association) -> None:
        await handler(OurLink(association))

    server = await asyncsctp.serve(accept, ADDRESS, _PORT, udp_port=0, config=_config(job))
    return server.udp_port


def _work(slot: asyncsctp.WorkerSlot, job: Job, ready: Semaphore) -> None:
    """One of several processes; it ends with the one that began it."""

    async def accept(association: asyncsctp.Association) -> None:
        await workers.answer(OurLink(association), job)

    async def serve() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        asyncio.get_running_loop().add_reader(parent.sentinel, os._exit, 0)
        async with asyncsctp.serve(accept, reuse_port=slot, config=_config(job)) as server:
            ready.release()
            await server.serve_forever()

    asyncsctp.run(serve())


async def connect(job: Job) -> Link:
    if job.kind == "setup" and job.count == 1:
        # From one endpoint, as a program would that goes on to set up associations; usrsctp has one socket for all.
        if not _endpoints:
            _endpoints.append(await asyncsctp.open_endpoint(local_addrs=ADDRESS, config=_config(job)))
        return OurLink(await _endpoints[0].connect(ADDRESS, _PORT, udp_port=job.port))
    return OurLink(await asyncsctp.connect(ADDRESS, _PORT, udp_port=job.port, config=_config(job)))
