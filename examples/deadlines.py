"""Messages with a deadline: given up when they are late, by a lifetime, by `asyncio.timeout`, or by hand.

    python examples/deadlines.py

The network is simulated, on virtual time; it fails for two seconds. What was written before is delivered when it is
back, but for what nobody wants any more by then.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import asyncsctp
from asyncsctp.testing import Network

SENDER, RECEIVER = "10.0.0.1", "10.0.0.2"


async def follow(name: str, receipt: asyncsctp.Receipt) -> None:
    """What becomes of a message."""
    clock = asyncio.get_running_loop().time
    try:
        delivery = await receipt
    except asyncsctp.MessageAbandoned as error:
        print(f"{clock():5.2f} s  {name}: given up, {error}")
    else:
        print(f"{clock():5.2f} s  {name}: acknowledged by {delivery.path}, transmissions: {delivery.transmissions}")


async def watch(assoc: asyncsctp.Association) -> None:
    """`SendFailed` has the message itself, for who wants to send it by another way."""
    async for event in assoc.events():
        if isinstance(event, asyncsctp.SendFailed):
            clock = asyncio.get_running_loop().time
            left = "had left" if event.sent else "had not left"
            print(f"{clock():5.2f} s  back to the sender: {event.data.decode()} ({left}; {event.context})")


async def receive(assoc: asyncsctp.Association) -> None:
    """Each message as it comes."""
    async for message in assoc:
        print(f"{asyncio.get_running_loop().time():5.2f} s  received: {message.data.decode()}")


async def send(network: Network, assoc: asyncsctp.Association) -> None:
    """One message of each kind while the network works, and while it does not."""
    async with asyncio.TaskGroup() as group:
        watching = asyncio.ensure_future(watch(assoc))
        await follow("greeting", assoc.write(b"greeting", lifetime=0.5))
        network.cut(SENDER, RECEIVER)
        network.at(network.now + 2.0, lambda: network.heal(SENDER, RECEIVER))
        print(f"{network.now:5.2f} s  the network fails")
        group.create_task(follow("order", assoc.write(b"order")))
        group.create_task(follow("position", assoc.write(b"position", lifetime=0.5, context="good for 0.5 s")))
        async with asyncio.timeout(0.8) as limit:  # returns at once: there is room in the send buffer
            question = await assoc.send(b"question", lifetime=limit, context="good while somebody waits")
        group.create_task(follow("question", question))
        frame = assoc.write(b"frame", max_retransmits=0, context="sent once")
        group.create_task(follow("frame", frame))
        wish = assoc.write(b"wish", context="until further notice")
        group.create_task(follow("wish", wish))
        await asyncio.sleep(1.5)
        print(f"{network.now:5.2f} s  wish: withdrawn in time: {wish.withdraw()}")
    await assoc.flush()
    watching.cancel()
    counts = {policy: count.unsent + count.sent for policy, count in assoc.abandoned().items()}
    print(", ".join(f"{policy}: {count}" for policy, count in counts.items()))


async def run(network: Network) -> None:
    """Both ends."""
    config = asyncsctp.Config(rto_initial=0.3, rto_min=0.3, rto_max=0.6)
    async with (
        asyncsctp.serve(receive, RECEIVER, 5001, config=config),
        asyncsctp.connect(RECEIVER, 5001, local_addrs=SENDER, config=config) as assoc,
    ):
        await send(network, assoc)


def main() -> int:
    """The command line; gives the exit code."""
    argparse.ArgumentParser(description="Messages that are given up when they are late.").parse_args()
    network = Network(seed=1)
    network.host("sender", SENDER)
    network.host("receiver", RECEIVER)
    network.run(run(network))
    return 0


if __name__ == "__main__":
    sys.exit(main())
