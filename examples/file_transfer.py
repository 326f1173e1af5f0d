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
from asyncio.subprocess import PIPE
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
        if sys.stderr.isatty() and (self.done == self.size or time.perf_counter() - self.shown > 0.1):
            self.shown = time.perf_counter()
            part = self.done / self.size
            end = "\n" if self.done == self.size else "\r"
            print(f"[{'#' * int(40 * part):40}] {part:4.0%} {self.rate()}  ", end=end, file=sys.stderr, flush=True)

    def rate(self) -> str:
        return f"{self.done * 8e-6 / (time.perf_counter() - self.started):,.0f} Mbit/s"

    def __str__(self) -> str:
        return f"{self.done:,} bytes in {time.perf_counter() - self.started:.2f} s, {self.rate()}"


def digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


async def send(path: Path, host: str, port: int, udp_port: int, streams: int) -> bool:
    """Send one file; whether the receiver has the same."""
    size, sha256 = await asyncio.to_thread(digest, path)
    async with asyncsctp.connect(host, port, udp_port=udp_port, config=CONFIG) as assoc:
        reader, writer = assoc.open_stream(0)
        await writer.send(json.dumps({"name": path.name, "size": size, "streams": streams, "sha256": sha256}).encode())
        progress = Progress(size)
        with path.open("rb") as file:
            for number in range(-(-size // PIECE)):
                piece = file.read(PIECE)
                await assoc.send(piece, stream=1 + number % streams)  # waits while the send buffer is full
                progress.add(len(piece))
        await assoc.flush()  # until all of it has been acknowledged
        print(f"sent {progress}, {streams} streams", flush=True)
        verdict = (await reader.read()).data.decode()
    print(f"receiver: {verdict}", flush=True)
    return verdict == f"sha256 {sha256}"


async def receive(assoc: asyncsctp.Association, directory: Path) -> bool:
    """Take one file; whether it is what its header says. It gets its name once it has been checked."""
    reader, writer = assoc.open_stream(0)
    header = json.loads((await reader.read()).data)
    target = directory / Path(header["name"]).name  # never a path that the sender chose
    part = target.with_name(target.name + ".part")
    progress, streams = Progress(header["size"]), header["streams"]
    with part.open("wb") as file:
        while progress.done < progress.size:
            for message in await assoc.recv_many():
                file.seek((message.ssn * streams + message.stream - 1) * PIECE)
                file.write(message.data)
                progress.add(len(message.data))
    print(f"received {progress}", flush=True)
    found = await asyncio.to_thread(digest, part)
    await writer.send(f"sha256 {found[1]}".encode())
    good = found == (header["size"], header["sha256"])
    if good:
        part.replace(target)
    print(f"{target}: SHA-256 verified" if good else f"{part}: WRONG SHA-256", flush=True)
    return good


async def listen(args: argparse.Namespace) -> bool:
    """Receive files until cancelled, or one with --once."""
    first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def handler(assoc: asyncsctp.Association) -> None:
        good = False
        try:
            good = await receive(assoc, args.directory)
        finally:
            if not first.done():
                first.set_result(good)

    async with asyncsctp.serve(handler, args.host, args.port, udp_port=args.udp_port, config=CONFIG) as server:
        print(f"listening at SCTP port {server.port}, UDP port {server.udp_port}", flush=True)
        if args.once:
            return await first
        await server.serve_forever()
    return True


async def demo(args: argparse.Namespace, directory: str) -> bool:
    """A receiver in a process of its own, a sender here."""
    options = ["receive", "--once", "--host", "127.0.0.1", "--udp-port", "0", "--directory", directory]
    receiver = await asyncio.create_subprocess_exec(sys.executable, __file__, *options, stdout=PIPE)
    assert receiver.stdout is not None
    try:
        ports = (await receiver.stdout.readline()).decode()
        good = await send(args.file, "127.0.0.1", 5001, int(ports.rpartition(" ")[2]), args.streams)
        print((await receiver.stdout.read()).decode(), end="")
        return await receiver.wait() == 0 and good
    finally:
        if receiver.returncode is None:
            receiver.kill()
            await receiver.wait()


def run(args: argparse.Namespace) -> bool:
    if args.command == "receive":
        return asyncsctp.run(listen(args))
    if args.command == "send":
        return asyncsctp.run(send(args.file, args.host, args.port, args.udp_port, args.streams))
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        args.file = Path(here, "random.bin")
        args.file.write_bytes(os.urandom(args.megabytes << 20))
        return asyncsctp.run(demo(args, there))


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Send a file over several streams of one SCTP association.")
    commands = parser.add_subparsers(dest="command", required=True)
    receiver = commands.add_parser("receive", help="wait for files")
    receiver.add_argument("--host", help="a name or address to listen at; all of them by default")
    receiver.add_argument("--directory", type=Path, default=Path(), help="where files go (default: here)")
    receiver.add_argument("--once", action="store_true", help="end after one file")
    sender = commands.add_parser("send", help="send a file")
    sender.add_argument("file", type=Path)
    sender.add_argument("host")
    both = commands.add_parser("demo", help="both, over loopback, with a file of random bytes")
    both.add_argument("--megabytes", type=int, default=64, help="its size in MiB (default %(default)s)")
    for each in (receiver, sender):
        each.add_argument("--port", type=int, default=5001, help="SCTP port (default %(default)s)")
        each.add_argument("--udp-port", type=int, default=9899, help="UDP port (default %(default)s)")
    for each in (sender, both):
        each.add_argument("--streams", type=int, default=4, choices=range(1, 256), metavar="N", help="1 to 255")
    try:
        return 0 if run(parser.parse_args()) else 1
    except KeyboardInterrupt:
        return 130
    except (OSError, EOFError, ValueError) as exc:
        print(f"file_transfer: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
