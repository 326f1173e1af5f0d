"""A server of several processes behind one UDP port, each multihomed association with one of them; one dies.

    python examples/worker_processes.py                  # Linux: 127.0.0.1 and 127.0.0.2 need no setup there
    python examples/worker_processes.py --workers 8 --associations 40 --rounds 50

The parent opens the sockets and starts the workers. Clients ask over both paths of their associations who is there: it
is always the same process. Then one worker is killed, and another begins in its place. Its associations are told that
nobody knows them any more, and set up anew; those of the others go on.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from multiprocessing.process import BaseProcess

import asyncsctp


def work(slot: asyncsctp.WorkerSlot) -> None:
    """A worker process: serve with the sockets of this slot until killed."""

    async def answer(assoc: asyncsctp.Association) -> None:
        async for message in assoc:
            await assoc.send(b"%d" % os.getpid(), stream=message.stream)

    async def main() -> None:
        async with asyncsctp.serve(answer, reuse_port=slot) as server:
            await server.serve_forever()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    asyncsctp.run(main())


class Demo:
    """What the parts of the program have in common."""

    def __init__(self, args: argparse.Namespace, group: asyncsctp.WorkerGroup) -> None:
        self.args = args
        self.group = group
        self.context = multiprocessing.get_context("spawn")
        self.processes: list[BaseProcess] = [self.start(index) for index in range(args.workers)]

    def start(self, index: int) -> BaseProcess:
        process = self.context.Process(target=work, args=(self.group.slot(index),))
        process.start()
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    async def connect(self, stack: AsyncExitStack) -> asyncsctp.Association:
        """An association whose second path is known to work."""
        group = self.group
        assoc = await stack.enter_async_context(
            asyncsctp.connect(group.local_addrs, group.port, udp_port=group.udp_port, local_addrs=group.local_addrs)
        )
        await asyncio.gather(*(assoc.heartbeat(path.address) for path in assoc.paths))
        return assoc

    async def ask(self, assoc: asyncsctp.Association) -> int:
        """Which process answers, over all paths and in all rounds."""
        pids = set()
        for _ in range(self.args.rounds):
            for path in assoc.paths:
                await assoc.send(b"who?", path=path.address)
                pids.add(int((await assoc.recv()).data))
        (pid,) = pids  # there is one, always
        return pid

    async def run(self) -> bool:
        where = ", ".join(self.group.local_addrs)
        print(f"{self.args.workers} processes at {where}, UDP port {self.group.udp_port}", flush=True)
        async with AsyncExitStack() as stack:
            found: dict[asyncsctp.Association, int] = {}
            for _ in range(self.args.associations):
                assoc = await self.connect(stack)
                found[assoc] = await self.ask(assoc)
            counts = Counter(found.values())
            for index, process in enumerate(self.processes):
                print(f"worker {index}, process {process.pid}: {counts[process.pid or 0]} associations", flush=True)

            victim = max(range(self.args.workers), key=lambda index: counts[self.processes[index].pid or 0])
            pid = self.processes[victim].pid
            self.processes[victim].kill()
            self.processes[victim].join()
            self.processes[victim] = self.start(victim)
            print(f"worker {victim} is killed; process {self.processes[victim].pid} begins in its place", flush=True)

            undisturbed = again = 0
            for assoc, before in found.items():
                try:
                    now = await self.ask(assoc)
                except asyncsctp.AssociationAborted:
                    now = await self.ask(await self.connect(stack))
                    again += before == pid and now != pid
                else:
                    undisturbed += now == before
        print(f"{undisturbed} associations went on, {again} were set up anew")
        return undisturbed + again == len(found)


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Serve one port with several processes, and lose one of them.")
    parser.add_argument("--addresses", nargs="+", default=["127.0.0.1", "127.0.0.2"], metavar="ADDRESS")
    parser.add_argument("--workers", type=int, default=4, help="processes (default %(default)s)")
    parser.add_argument("--associations", type=int, default=16, help="clients (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="questions over each path (default %(default)s)")
    args = parser.parse_args()
    if args.associations < 1 or args.rounds < 1:
        parser.error("--associations and --rounds must be at least 1")
    try:
        with asyncsctp.WorkerGroup(args.addresses, 5001, udp_port=0, workers=args.workers) as group:
            demo = Demo(args, group)
            try:
                return 0 if asyncsctp.run(demo.run()) else 1
            finally:
                demo.end()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, NotImplementedError) as exc:
        print(f"worker_processes: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
