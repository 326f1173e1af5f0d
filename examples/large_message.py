"""One message larger than memory should hold: written from an async generator, read in parts.

    python examples/large_message.py
    python examples/large_message.py --mebibytes 1024 --buffer 1024

Both ends are in this process, over loopback. Neither the send buffer nor the receive buffer is larger than `--buffer`
KiB, so the message is read while it is still being written. Whether what arrived is the same, and the most memory that
Python's objects took meanwhile, are printed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator
from zlib import crc32

import asyncsctp

PIECE = 16 * 1024
MEBIBYTE = 1024 * 1024


async def pieces(mebibytes: int) -> AsyncIterator[bytes]:
    """The message, piece by piece: where a program would read a file, or another connection."""
    for number in range(mebibytes * MEBIBYTE // PIECE):
        yield number.to_bytes(4) * (PIECE // 4)


async def run(mebibytes: int, kibibytes: int) -> bool:
    """Send the message, receive it; whether it is the same."""
    config = asyncsctp.Config(send_buffer=kibibytes * 1024, recv_buffer=kibibytes * 1024, mtu=9000)
    received: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def receive(assoc: asyncsctp.Association) -> None:
        reader, _ = assoc.open_stream(0)
        size = checksum = count = 0
        async for part in reader.parts():
            size += len(part.data)
            checksum = crc32(part.data, checksum)
            count += 1
            if part.last:
                break
        print(f"1 message of {size // MEBIBYTE} MiB, read in {count} parts")
        received.set_result(checksum)

    checksum = 0

    async def summed() -> AsyncIterator[bytes]:
        nonlocal checksum
        async for piece in pieces(mebibytes):
            checksum = crc32(piece, checksum)
            yield piece

    async with (
        asyncsctp.serve(receive, "127.0.0.1", 0, udp_port=0, config=config) as server,
        asyncsctp.connect("127.0.0.1", server.port, udp_port=server.udp_port, config=config) as assoc,
    ):
        _, writer = assoc.open_stream(0)
        receipt = await writer.send_parts(summed())
        await receipt  # the peer has acknowledged all of it
        same = await received == checksum
    return same


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="One large message through small buffers.")
    parser.add_argument("--mebibytes", type=int, default=64, help="of the message (default %(default)d)")
    parser.add_argument("--buffer", type=int, default=64, metavar="KIB", help="on each side (default %(default)d)")
    parser.add_argument("--no-memory", action="store_true", help="do not trace memory, which takes time")
    args = parser.parse_args()
    if args.mebibytes < 1:
        parser.error("--mebibytes must be at least 1")
    if not args.no_memory:
        tracemalloc.start()
    started = time.monotonic()
    try:
        same = asyncsctp.run(run(args.mebibytes, args.buffer))
    except (OSError, ValueError) as exc:
        print(f"large_message: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{time.monotonic() - started:.1f} s; the same arrived: {same}")
    if not args.no_memory:
        print(f"at most {tracemalloc.get_traced_memory()[1] / MEBIBYTE:.2f} MiB of memory beyond the program itself")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
