"""Many short conversations over few streams: each has a stream of its own, whose id is used again once both sides have
closed it (RFC 6525).

    python examples/conversations.py [COUNT]

asks a server in the same process COUNT questions (100 by default), eight at a time, and prints how many streams that
took.
"""

from __future__ import annotations

import argparse
import asyncio

import asyncsctp

ADDRESS = "127.0.0.1"
AT_A_TIME = 8


async def answer(reader: asyncsctp.StreamReader, writer: asyncsctp.StreamWriter) -> None:
    """One conversation, as the server has it."""
    async for message in reader:  # ends when the client has closed its writer
        await writer.send(message.data.upper(), ppid=message.ppid)
    writer.close()
    await writer.wait_closed()


async def serve_conversations(assoc: asyncsctp.Association) -> None:
    """All conversations of one client."""
    async with asyncio.TaskGroup() as tasks:
        try:
            while True:
                tasks.create_task(answer(*await assoc.accept_stream()))
        except asyncsctp.EndOfStream:
            pass  # the client has gone


async def ask(assoc: asyncsctp.Association, number: int, turns: asyncio.Semaphore) -> int:
    """One conversation, as the client has it; the stream that it used."""
    async with turns:
        reader, writer = assoc.open_stream()
        await writer.send(b"question %d" % number)
        writer.close()
        answers = [message.data async for message in reader]
        assert answers == [b"QUESTION %d" % number]
        await writer.wait_closed()
        return reader.stream


async def main(count: int) -> None:
    """Server and client."""
    turns = asyncio.Semaphore(AT_A_TIME)
    async with (
        asyncsctp.serve(serve_conversations, ADDRESS, 0, udp_port=0) as server,
        asyncsctp.connect(ADDRESS, server.port, udp_port=server.udp_port) as assoc,
    ):
        streams = await asyncio.gather(*[ask(assoc, number, turns) for number in range(count)])
    print(f"{count} conversations, {len(set(streams))} streams")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=100, help="how many questions to ask")
    asyncsctp.run(main(parser.parse_args().count))
