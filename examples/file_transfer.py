"""Send a file over several streams of one association, and check at the other end that it is the same.

    python examples/file_transfer.py demo                         # both ends here, 64 MiB over loopback
    python examples/file_transfer.py receive --directory /tmp     # at one end
    python examples/file_transfer.py send FILE HOST               # at the other

Stream 0 carries a header (JSON) one way and the verdict the other. The file is cut into pieces, which are dealt out to
streams 1 to N in turn; a piece needs no header, since its stream and its stream sequence number say where it belongs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import asyncsctp

CONFIG = asyncsctp.Config(mtu=1500, recv_buffer=4 << 20, send_buffer=4 << 20, outgoing_streams=256)
PIECE = 64 * 1024


class Progress:
    """A bar on standard error, if that is a terminal, and the rate at the end."""

    def __init__(self, size: int) -> None:
        self.size, self.done = size, 0
        self.started = self.shown = time.perf_counter()

    def add(self, count: int) -> None:
        self.done += count
        if sys.stderr.isatty() and time.perf_counter() - self.shown > 0.1:
            self.shown = time.perf_counter()
            part = self.done / self.size
            sys.stderr.write(f"\r[{'#' * int(40 * part):40}] {part:4.0%} {self.rate()} \r")

    def rate(self) -> str:
        return f"{self.done * 8e-6 / (time.perf_counter() - self.started):,.0f} Mbit/s"

    def end(self) -> str:
        return f"{self.done:,} bytes in {time.perf_counter() - self.started:.2f} s, {self.rate()}"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def send(path: Path, host: str, port: int, udp_port: int, streams: int) -> bool:
    """Send one file; whether the receiver has the same."""
    header = {"name": path.name, "size": path.stat().st_size, "streams": streams, "sha256": digest(path)}
    async with asyncsctp.connect(host, port, udp_port=udp_port, config=CONFIG) as assoc:
        reader, writer = assoc.open_stream(0)
        await writer.send(json.dumps(header).encode())
        progress = Progress(path.stat().st_size)
        with path.open("rb") as file:
            for number in range(-(-progress.size // PIECE)):
                piece = file.read(PIECE)
                await assoc.send(piece, stream=1 + number % streams)  # waits while the send buffer is full
                progress.add(len(piece))
        await assoc.flush()  # until all of it has been acknowledged
        print(f"sent {progress.end()}, {streams} streams", flush=True)
        verdict = (await reader.read()).data.decode()
    print(f"receiver: {verdict}", flush=True)
    return verdict == f"sha256 {header['sha256']}"


async def receive(assoc: asyncsctp.Association, directory: Path) -> bool:
    """Take one file; whether it is what its header says. It gets its name once it has been checked."""
    reader, writer = assoc.open_stream(0)
    header = json.loads((await reader.read()).data)
    target = directory / Path(header["name"]).name  # never a path that the sender chose
    partial = target.with_name(target.name + ".part")
    progress, streams = Progress(header["size"]), header["streams"]
    with partial.open("wb") as file:
        while progress.done < progress.size:
            for message in await assoc.recv_many():
                file.seek((message.ssn * streams + message.stream - 1) * PIECE)
                file.write(message.data)
                progress.add(len(message.data))
    print(f"received {progress.end()}", flush=True)
    found = await asyncio.to_thread(digest, partial)
    await writer.send(f"sha256 {found}".encode())
    if found != header["sha256"]:
        print(f"{target.name}: wrong SHA-256, kept as {partial}", file=sys.stderr)
        return False
    partial.replace(target)
    print(f"{target}: SHA-256 verified", flush=True)
    return True


async def listen(args: argparse.Namespace) -> bool:
    """Receive files until cancelled, or one with --once."""
    first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def handler(assoc: asyncsctp.Association) -> None:
        good = False
        try:
            good = await receive(assoc, args.directory)
            await assoc.flush()
        finally:
            if not first.done():
                first.set_result(good)

    async with asyncsctp.serve(handler, args.host, args.port, udp_port=args.udp_port, config=CONFIG) as server:
        print(f"listening at SCTP port {server.port}, UDP port {server.udp_port}", flush=True)
        if args.once:
            return await first
        await server.serve_forever()
    return True


async def demo(args: argparse.Namespace) -> bool:
    """A receiver in a process of its own, a sender here, a file of random bytes between them."""
    with tempfile.TemporaryDirectory() as name:
        source, arrived = Path(name, "random.bin"), Path(name, "arrived")
        arrived.mkdir()
        source.write_bytes(os.urandom(args.megabytes << 20))
        options = ["receive", "--once", "--host", "127.0.0.1", "--udp-port", "0", "--directory", str(arrived)]
        receiver = await asyncio.create_subprocess_exec(sys.executable, __file__, *options, stdout=-1)
        assert receiver.stdout is not None
        try:
            line = (await receiver.stdout.readline()).decode().strip()
            udp_port = int(line.rpartition(" ")[2])
            good = await send(source, "127.0.0.1", args.port, udp_port, args.streams)
            return await receiver.wait() == 0 and good
        finally:
            if receiver.returncode is None:
                receiver.kill()
