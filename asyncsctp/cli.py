"""The command `asyncsctp`: `version`, `demo` and `bench`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import runpy
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Final

from .aio.api import connect, run, serve
from .aio.association import Association
from .config import Config
from .errors import SCTPError
from .wire.octets import COMPILED

_REQUIREMENTS = ("uvloop", "crc32c")
_HERE: Final = Path(__file__).resolve().parent.parent  # `-m` looks there first: the server is of the package that runs
_DEMO_MESSAGE: Final = 64 * 1024
_DEMO_CONFIG: Final = Config(mtu=1500, recv_buffer=4 << 20, send_buffer=4 << 20)
_NO_BENCHMARKS = """\
The benchmarks are not part of the installed package: they are in the folder benchmarks/ of the sources.
Get the sources (the project's repository, or its sdist: pip download --no-deps --no-binary :all: asyncsctp),
and there run: python -m benchmarks"""


def form() -> str:
    """Say which form of the package runs, and of plain Python what makes it faster."""
    if COMPILED:
        return "compiled"
    text = "plain Python, at about a third of the speed of the compiled form"
    if os.environ.get("ASYNCSCTP_PURE", "") not in {"", "0"}:
        return f"{text}: ASYNCSCTP_PURE asks for it"
    if (_HERE / "hatch_build.py").is_file():
        return f"{text}: these are the sources in {_HERE}. To compile them: pip install {_HERE} (without -e)"
    return f"{text}. To have it compiled, install it again from its sources where there is a C compiler"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="asyncsctp", description="SCTP (RFC 9260) for asyncio, over UDP.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("version", help="versions of asyncsctp and of what it runs on")
    demo = commands.add_parser("demo", help="a server, a client and a transfer between them, over loopback")
    demo.add_argument("--megabytes", type=int, default=64, help="how much to send, in MiB (default %(default)s)")
    demo.add_argument("--streams", type=int, default=4, help="on how many streams (default %(default)s)")
    demo.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    bench = commands.add_parser("bench", help="measure it on this machine, beside others", add_help=False)
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    options, rest = parser.parse_known_args(argv)
    if options.command != "bench" and rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if options.command == "version":
        return _version()
    if options.command == "demo":
        if options.megabytes < 1 or not 1 <= options.streams <= _DEMO_CONFIG.outgoing_streams:
            parser.error(f"--megabytes takes 1 or more, --streams 1 to {_DEMO_CONFIG.outgoing_streams}")
        return _demo(options)
    return _bench([*rest, *options.arguments])


def _version() -> int:
    print(f"asyncsctp {_version_of('asyncsctp')}, {form()}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    for package in _REQUIREMENTS:
        print(f"{package} {_version_of(package)}")
    return 0


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _bench(arguments: Sequence[str]) -> int:
    """Hand over to `python -m benchmarks` of the sources that this package is in, or that are the current folder."""
    for folder in (_HERE, Path.cwd()):
        if (folder / "benchmarks" / "__main__.py").is_file() and (folder / "asyncsctp" / "__init__.py").is_file():
            break
    else:
        print(_NO_BENCHMARKS, file=sys.stderr)
        return 1
    sys.path.insert(0, str(folder))
    sys.argv = ["asyncsctp bench", *arguments]
    runpy.run_module("benchmarks", run_name="__main__")  # ends by SystemExit
    return 0


def _demo(options: argparse.Namespace) -> int:
    try:
        if options.serve:
            return run(_demo_server(options.megabytes << 20))
        return run(_demo_client(options.megabytes << 20, options.streams))
    except KeyboardInterrupt:
        return 130
    except (OSError, EOFError) as exc:
        print(f"asyncsctp demo: {exc}", file=sys.stderr)
        return 1


async def _demo_server(size: int) -> int:
    """Take `size` bytes from one association, then tell it how many bytes and which SHA-256 each stream brought."""
    done = asyncio.Event()

    async def handler(association: Association) -> None:
        arrived: dict[int, list[bytes]] = {}
        missing = size
        try:
            while missing > 0:
                for message in await association.recv_many():
                    arrived.setdefault(message.stream, []).append(message.data)
                    missing -= len(message.data)
            await association.send(b"all is here")  # the clock of the client stops
            await association.flush()  # before any of the rest: streams know no order among one another
            for stream, pieces in arrived.items():
                await association.send(sha256(b"".join(pieces)).digest(), stream=stream)
            await association.wait_closed()
        except SCTPError as exc:
            print(f"asyncsctp demo: the server's side failed: {exc}", file=sys.stderr)
        finally:
            done.set()

    async with serve(handler, "127.0.0.1", udp_port=0, config=_DEMO_CONFIG) as server:
        print(server.port, server.udp_port, flush=True)
        await done.wait()
    return 0


async def _demo_client(size: int, streams: int) -> int:
    """Start a server in a process of its own, send it `size` random bytes, and check what it got."""
    data = memoryview(os.urandom(size))
    command = [sys.executable, "-m", __package__, "demo", "--serve", "--megabytes", str(size >> 20)]
    server = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, cwd=_HERE)
    try:
        assert server.stdout is not None
        ports = [int(number) for number in (await server.stdout.readline()).split()]
        if len(ports) != 2:
            raise EOFError("the server's process did not start")
        print(f"asyncsctp {_version_of('asyncsctp')}, {form()}", flush=True)
        print(f"server: SCTP port {ports[0]} over UDP port {ports[1]} of 127.0.0.1", flush=True)
        started = time.perf_counter()
        async with connect("127.0.0.1", ports[0], udp_port=ports[1], config=_DEMO_CONFIG) as association:
            up = time.perf_counter()
            print(f"client: association set up in {(up - started) * 1e3:.1f} ms", flush=True)
            sent: list[list[memoryview]] = [[] for _ in range(streams)]
            for number, at in enumerate(range(0, size, _DEMO_MESSAGE)):
                piece = data[at : at + _DEMO_MESSAGE]
                sent[number % streams].append(piece)
                await association.send(piece, stream=number % streams)
            await association.recv()
            took = time.perf_counter() - up
            rate = size * 8e-6 / took
            print(f"{size >> 20} MiB on {streams} streams in {took:.2f} s: {rate:,.0f} Mbit/s", flush=True)
            digests = {stream: sha256(b"".join(pieces)).digest() for stream, pieces in enumerate(sent) if pieces}
            replies = [await association.recv() for _ in digests]
        same = {reply.stream: reply.data for reply in replies} == digests
        print(f"SHA-256 of what arrived: {'that of what was sent' if same else 'NOT THAT OF WHAT WAS SENT'}")
        return await server.wait() if same else 1
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
