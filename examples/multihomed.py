"""A pair of endpoints with two addresses each, whose first path is cut while messages flow, and mended later.

    python examples/multihomed.py                      # Linux: 127.0.0.1 and 127.0.0.2 need no setup there
    python examples/multihomed.py --cut-after 2 --mend-after 5 --seconds 8

The cut is the kernel's doing: a socket filter that drops whatever comes to the sockets of the first address, at both
ends. The association is told nothing of it. Messages are numbered; at the end it is checked that all of them arrived,
each once and in order. The short retransmission time-outs make the failover quick enough to watch.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import sys
import time
from socket import SOL_SOCKET
from typing import Any

import asyncsctp

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # Linux
DROP_ALL = ctypes.create_string_buffer((6).to_bytes(2, sys.byteorder) + bytes(6), 8)  # BPF: return 0
CONFIG = asyncsctp.Config(
    rto_initial=0.2, rto_min=0.1, rto_max=0.5, path_max_retrans=2, heartbeat_interval=0.3, sack_delay=0.05
)


def cut(sock: Any) -> None:
    """From now on nothing that comes to this socket is seen."""
    program = (1).to_bytes(8, sys.byteorder) + ctypes.addressof(DROP_ALL).to_bytes(8, sys.byteorder)
    sock.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, program)  # struct sock_fprog: a length and a pointer


def mend(sock: Any) -> None:
    sock.setsockopt(SOL_SOCKET, SO_DETACH_FILTER, 0)


class Demo:
    """What the parts of the program have in common."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.started = time.monotonic()
        self.sent = self.received = 0
        self.in_order = True

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.2f} s  {text}", flush=True)

    async def count(self, assoc: asyncsctp.Association) -> None:
        """The server's side: every message bears the number that is next."""
        async for message in assoc:
            self.in_order = self.in_order and int(message.data) == self.received
            self.received += 1

    async def watch(self, assoc: asyncsctp.Association) -> None:
        async for event in assoc.events():
            if isinstance(event, asyncsctp.PathChanged):
                self.say(f"path to {event.address} is {event.state.value} ({self.received:,} messages arrived)")

    async def write(self, assoc: asyncsctp.Association) -> None:
        """A message every millisecond."""
        while time.monotonic() - self.started < self.args.seconds:
            await assoc.send(b"%d" % self.sent)
            self.sent += 1
            await asyncio.sleep(0.001)

    async def cut_and_mend(self, sockets: list[Any]) -> None:
        await asyncio.sleep(self.args.cut_after)
        for sock in sockets:
            cut(sock)
        self.say(f"cut: nothing gets to {self.args.addresses[0]} any more")
        await asyncio.sleep(self.args.mend_after - self.args.cut_after)
        for sock in sockets:
            mend(sock)
        self.say("mended")

    async def run(self) -> bool:
        addresses = self.args.addresses
        async with (
            asyncsctp.serve(self.count, local_addrs=addresses, port=5001, udp_port=0, config=CONFIG) as server,
            asyncsctp.open_endpoint(local_addrs=addresses, config=CONFIG) as endpoint,
            endpoint.connect(addresses, server.port, udp_port=server.udp_port) as assoc,
        ):
            self.say(f"up; the peer has {', '.join(path.address for path in assoc.paths)}, {assoc.peer} is primary")
            watching = asyncio.create_task(self.watch(assoc))
            cutting = asyncio.create_task(self.cut_and_mend([server.sockets[0], endpoint.sockets[0]]))
            await asyncio.gather(self.write(assoc), cutting)
            await assoc.close()
            await watching
            stats = assoc.stats
        good = self.in_order and self.sent == self.received
        self.say(f"sent {self.sent:,}, received {self.received:,}, {'all in order' if good else 'NOT AS SENT'}")
        self.say(f"{stats.t3_timeouts} time-outs, {stats.packets_retransmitted} packets retransmitted")
        return good


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Cut one path of a multihomed association, and lose nothing.")
    parser.add_argument("--addresses", nargs=2, default=["127.0.0.1", "127.0.0.2"], metavar="ADDRESS")
    parser.add_argument("--cut-after", type=float, default=1.0, help="seconds (default %(default)g)")
    parser.add_argument("--mend-after", type=float, default=3.0, help="seconds (default %(default)g)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to send (default %(default)g)")
    args = parser.parse_args()
    if not args.cut_after < args.mend_after < args.seconds:
        parser.error("--cut-after must be less than --mend-after, and that less than --seconds")
    if sys.platform != "linux":
        print("multihomed: the cut needs a socket filter, which only Linux has", file=sys.stderr)
        return 1
    try:
        return 0 if asyncsctp.run(Demo(args).run()) else 1
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as exc:
        print(f"multihomed: {exc} (--addresses takes two addresses of this machine)", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
