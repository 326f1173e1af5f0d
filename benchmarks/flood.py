"""What a flood of INITs costs those who are connected: `python -m benchmarks.flood`, on loopback.

A server takes what one association sends, as fast as it goes, while another process sends INITs from many addresses
and ports and answers none of the INIT ACKs. Printed for each rate, over several rounds: goodput without the flood and
with it; the server's CPU time for what it took, which depends less on what else the machine does; its answers, how much
larger they are than the INITs, and how long a new client takes to connect. Count and time are bounded by the arguments;
nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from statistics import median
from typing import NamedTuple

import asyncsctp
from asyncsctp.handlers.setup import negotiation
from asyncsctp.testing import SeededRandom
from asyncsctp.wire.init import pack_init
from asyncsctp.wire.packet import Seal

__all__ = ["main"]

ADDRESS = "127.0.0.1"
PORT = 5001
SOURCES = 64  # addresses that INITs come from
KINDS = 1024  # of INITs
TICK = 0.002  # seconds between bursts of INITs
MESSAGE = bytes(1024)
BURST = [MESSAGE] * 64
WARM_UP, COOL_DOWN = 1.5, 1.5  # seconds of flood before and after what is measured
HEADERS = 28  # IP and UDP

_context = multiprocessing.get_context("spawn")

PLAIN = asyncsctp.Config()
ALL = asyncsctp.Config(
    auth=True, dynamic_addresses=True, interleaving=True, nat_support=True, adaptation_indication=1, mtu=1500
)


class Round(NamedTuple):
    """One measurement: bytes a second, CPU seconds of the server for each byte, answers for each INIT, bytes for each
    byte, and seconds to connect.
    """

    goodput: float
    cost: float
    answered: float = 0.0
    amplified: float = 0.0
    connected: float = 0.0


def serve(pipe: Connection, config: asyncsctp.Config) -> None:
    """The server's process; it tells its CPU time when the pipe asks, until that says to end."""

    async def swallow(association: asyncsctp.Association) -> None:
        with suppress(asyncsctp.SCTPError):
            async for _ in association:
                pass

    async def run() -> None:
        async with asyncsctp.serve(swallow, ADDRESS, PORT, udp_port=0, config=config) as server:
            pipe.send(server.udp_port)
            while await asyncio.to_thread(pipe.recv):
                pipe.send(time.process_time())

    asyncio.run(run())


def flood(pipe: Connection, udp_port: int, rate: int, seconds: float, config: asyncsctp.Config) -> None:
    """The attacker's process: so many INITs a second for so long; then how many, and what came back."""
    chance = random.Random(1)
    offer = negotiation.offer(config, SeededRandom(1), 1, ["127.0.1.1"], "127.0.0.1")
    packets = []
    for number in range(KINDS):
        init = offer._replace(initiate_tag=number + 1, initial_tsn=chance.getrandbits(32))
        packets.append(Seal(1024 + chance.randrange(60_000), PORT, 0).pack(pack_init(init, ack=False)))
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOURCES)]
    for number, sock in enumerate(sockets):
        sock.bind((f"127.0.1.{number + 1}", 0))
        sock.setblocking(False)
    by_number = {sock.fileno(): sock for sock in sockets}
    poller = select.epoll()
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    sent = sent_bytes = came = came_bytes = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        while sent < elapsed * rate:
            packet = packets[sent % KINDS]
            sockets[sent % SOURCES].sendto(packet, (ADDRESS, udp_port))
            sent += 1
            sent_bytes += len(packet) + HEADERS
        for number, _ in poller.poll(0):
            with suppress(BlockingIOError):
                while True:
                    came_bytes += len(by_number[number].recv(4096)) + HEADERS
                    came += 1
        time.sleep(TICK)
    for sock in sockets:
        sock.close()
    pipe.send((sent, sent_bytes, came, came_bytes))


def cpu_time(server: Connection) -> float:
    """What the server's process has taken until now."""
    server.send(True)
    spent: float = server.recv()
    return spent


async def pump(server: Connection, udp_port: int, seconds: float, config: asyncsctp.Config) -> tuple[float, float]:
    """Bytes a second that one association gets to the server, and the server's CPU seconds for each byte."""
    async with asyncsctp.connect(ADDRESS, PORT, udp_port=udp_port, config=config) as association:
        _, writer = association.open_stream(0)
        before = cpu_time(server)
        start = time.perf_counter()
        size = 0
        while time.perf_counter() - start < seconds:
            writer.write_many(BURST)
            await writer.drain()
            size += len(BURST) * len(MESSAGE)
        await association.flush()
        elapsed = time.perf_counter() - start
        return size / elapsed, (cpu_time(server) - before) / size


async def time_to_connect(udp_port: int, config: asyncsctp.Config) -> float:
    start = time.perf_counter()
    async with asyncsctp.connect(ADDRESS, PORT, udp_port=udp_port, config=config):
        return time.perf_counter() - start


async def go(server: Connection, udp_port: int, rate: int, seconds: float, config: asyncsctp.Config) -> Round:
    """One round; without a flood if the rate is 0."""
    if not rate:
        return Round(*await pump(server, udp_port, seconds, config))
    ours, theirs = _context.Pipe()
    arguments = (theirs, udp_port, rate, WARM_UP + seconds + COOL_DOWN, config)
    process = _context.Process(target=flood, args=arguments, daemon=True)
    process.start()
    try:
        await asyncio.sleep(WARM_UP)
        goodput, cost = await pump(server, udp_port, seconds, config)
        connected = await time_to_connect(udp_port, config)
        sent, sent_bytes, came, came_bytes = await asyncio.to_thread(ours.recv)
    finally:
        process.join()
    return Round(goodput, cost, came / sent, came_bytes / max(came, 1) * sent / sent_bytes, connected)


async def measure(
    server: Connection, udp_port: int, rates: Sequence[int], seconds: float, rounds: int, config: asyncsctp.Config
) -> None:
    results: dict[int, list[Round]] = {rate: [] for rate in (0, *rates)}
    for _ in range(rounds):  # in turn, so that what else the machine does meets all alike
        for rate, found in results.items():
            found.append(await go(server, udp_port, rate, seconds, config))
    before = median(each.goodput for each in results[0])
    alone = median(each.cost for each in results[0])
    for rate, found in results.items():
        goodput = median(each.goodput for each in found)
        cost = median(each.cost for each in found)
        line = f"{rate:>8} {goodput * 8 / 1e6:>10.0f} {goodput / before:>8.0%} {cost * 1e9:>10.2f} {cost / alone:>8.0%}"
        if rate:
            line += (
                f" {median(each.answered for each in found):>10.0%} {median(each.amplified for each in found):>8.2f}"
                f" {median(each.connected for each in found) * 1000:>10.0f}"
            )
        print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", default="1000,5000", help="INITs a second, with commas (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--all", action="store_true", help="with all extensions on")
    options = parser.parse_args(arguments)
    config = ALL if options.all else PLAIN
    rates = [int(rate) for rate in options.rates.split(",")]
    ours, theirs = _context.Pipe()
    server = _context.Process(target=serve, args=(theirs, config), daemon=True)
    server.start()
    try:
        udp_port: int = ours.recv()
        form = "compiled" if asyncsctp.compiled else "plain Python"
        print(f"{form}, {'all extensions' if options.all else 'default settings'}, loopback\n")
        columns = ("INIT/s", 8), ("Mbit/s", 10), ("", 8), ("CPU s/GB", 10), ("", 8), ("answered", 10), ("bytes", 8)
        print(*(f"{name:>{width}}" for name, width in (*columns, ("connect ms", 10))))
        asyncio.run(measure(ours, udp_port, rates, options.seconds, options.rounds, config))
        ours.send(None)
    finally:
        server.join(5)
        server.terminate()


if __name__ == "__main__":
    main()
