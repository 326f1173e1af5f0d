"""One message of a GiB through a receive buffer of a MiB: `python -m benchmarks.large_message [--gib 1]`.

It is written piece by piece from an async generator and read part by part, between two processes over loopback, once
with DATA and once with I-DATA. Printed are Mbit/s, and by how much the resident memory of each process was larger at
its peak than after the first sixteenth of the message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncsctp

from .job import ADDRESS
from .report import align

__all__ = ["Progress", "main", "measure"]

PIECE = 64 * 1024
BUFFER = 1024 * 1024
_WARM_UP = 16  # the share of the message after which memory is looked at first
_LOOK_EVERY = 64  # pieces, between two looks at memory
_ROOT = Path(__file__).resolve().parent.parent
_PAGE = 4096


def resident() -> int:
    """The memory that this process has now, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


class Progress:
    """What has gone through, and what that took of memory."""

    def __init__(self, size: int) -> None:
        self.done = 0
        self.began = 0.0
        self.warm = self.peak = 0
        self._size = size
        self._looks = 0

    def note(self, size: int) -> None:
        """So many bytes more."""
        if not self.done:
            self.began = time.perf_counter()
        self.done += size
        self._looks += 1
        if self._looks % _LOOK_EVERY and self.done < self._size:
            return
        if not self.warm and self.done >= self._size // _WARM_UP:
            self.warm = resident()
        self.peak = max(self.peak, resident())

    def growth(self) -> int:
        """By how many bytes memory has grown since the warm-up, at its peak."""
        return max(self.peak - self.warm, 0)


def settings(interleaving: bool) -> asyncsctp.Config:
    """Of both sides."""
    return asyncsctp.Config(recv_buffer=BUFFER, send_buffer=BUFFER, interleaving=interleaving)


async def read(interleaving: bool, size: int) -> None:
    """The side that reads: tells its port, then what it has seen, each on a line."""
    progress = Progress(size)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handle(assoc: asyncsctp.Association) -> None:
        try:
            reader, writer = assoc.open_stream(0)
            async for part in reader.parts():
                progress.note(len(part.data))
                if part.last:
                    break
            await writer.send(b"all of it")
        finally:
            over.set_result(None)

    async with asyncsctp.serve(handle, ADDRESS, 0, udp_port=0, config=settings(interleaving)) as server:
        print(server.udp_port, server.port, flush=True)
        await over
        await asyncio.sleep(0.2)
    print(json.dumps([progress.done, progress.growth()]), flush=True)


async def write(interleaving: bool, size: int, port: int, udp_port: int) -> tuple[float, int]:
    """The side that writes; seconds, and by how much its memory has grown."""
    progress = Progress(size)

    async def pieces() -> AsyncIterator[bytes]:
        piece = bytes(PIECE)
        for _ in range(size // PIECE):
            progress.note(PIECE)
            yield piece

    async with asyncsctp.connect(ADDRESS, port, udp_port=udp_port, config=settings(interleaving)) as assoc:
        reader, writer = assoc.open_stream(0)
        await writer.send_parts(pieces())
        await reader.read()
        return time.perf_counter() - progress.began, progress.growth()


def measure(interleaving: bool, size: int) -> dict[str, float]:
    """One run: Mbit/s, and the growth of both processes in bytes. `RuntimeError` if not all came."""
    command = [sys.executable, "-m", "benchmarks.large_message", "--read", str(size)]
    if interleaving:
        command.append("--interleaving")
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            udp_port, port = map(int, process.stdout.readline().split())
            seconds, growth = asyncio.run(write(interleaving, size, port, udp_port))
            done, their_growth = json.loads(process.stdout.readline())
        except BaseException:
            process.kill()
            raise
    if done != size:
        raise RuntimeError(f"{done} of {size} bytes came")
    return {"Mbit/s": size * 8 / seconds / 1e6, "writer": growth, "reader": their_growth}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.large_message", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--gib", type=float, default=1.0, help="how long the message is (%(default)s)")
    parser.add_argument("--read", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--interleaving", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.read:
        asyncio.run(read(arguments.interleaving, arguments.read))
        return
    size = max(int(arguments.gib * (1 << 30)) // PIECE, 1) * PIECE
    build = "compiled" if asyncsctp.compiled else "uncompiled"
    print(f"asyncsctp {build}; a message of {size / 2**20:,.0f} MiB, buffers of {BUFFER >> 20} MiB\n")
    lines = [["", "", "Mbit/s", "writer grew, KiB", "reader grew, KiB"]]
    for interleaving in (False, True):
        found = measure(interleaving, size)
        name = "I-DATA" if interleaving else "DATA"
        grown = [f"{found[who] / 1024:,.0f}" for who in ("writer", "reader")]
        lines.append([name, "", f"{found['Mbit/s']:,.0f}", *grown])
    for line in align(lines):
        print(line)


if __name__ == "__main__":
    main()
