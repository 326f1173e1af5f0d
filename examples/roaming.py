"""A laptop that moves between networks while it uploads: the transfer goes on, and its rate is drawn.

    python examples/roaming.py
    python examples/roaming.py --megabits 50 --loss 0.001 --plot roaming.svg

The laptop begins on Wi-Fi. It joins a mobile network beside that, leaves the Wi-Fi, loses the path to the first of the
server's addresses, and moves to a café with a second of no network between. There it is behind a NAT, which takes
another port, and another address at last. With `auto_asconf` the association follows by itself: addresses that come are
added, those that go are removed, authenticated (RFC 5061), and with `nat_support` what a NAT does is noticed by its
silence. The server is told of no change but by the association. At the end it is checked that every message arrived,
once and in order. The network is simulated, on virtual time: the same seed gives the same figures. `--plot` draws them,
with matplotlib; without, they are drawn as text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncsctp
from asyncsctp.testing import Host, LinkSettings, Network

HOME, MOBILE, CAFE = "192.0.2.10", "198.51.100.20", "192.168.7.4"
ROUTER, NEXT_ROUTER = "192.0.2.77", "192.0.2.78"  # the café's NAT, from outside
SERVER = ["203.0.113.1", "203.0.113.2"]
SIZE = 1000
BIN = 0.5
SECONDS = 23.0
CONFIG = asyncsctp.Config(
    auto_asconf=True,
    dynamic_addresses=True,
    nat_support=True,
    rto_initial=0.5,
    rto_min=0.25,
    rto_max=1.0,
    path_max_retrans=2,
    pf_threshold=0,
    heartbeat_interval=1.0,
    max_retrans=30,
)


class Roaming:
    """The laptop, the server and what happens to them."""

    def __init__(self, network: Network, laptop: Host) -> None:
        self.network = network
        self.laptop = laptop
        self.nat = network.nat(ROUTER, CAFE)
        self.sent = self.received = 0
        self.in_order = True
        self.bytes = [0] * int(SECONDS / BIN)
        self.happenings: list[tuple[float, str]] = []

    def say(self, text: str) -> None:
        print(f"{self.network.now:6.2f} s  {text}", flush=True)

    def schedule(self) -> None:
        """What happens, and when."""
        network, laptop = self.network, self.laptop
        self.at(3, "a mobile network beside the Wi-Fi", lambda: network.add_address(laptop, MOBILE))
        self.at(6, "out of the Wi-Fi's reach", lambda: network.remove_address(laptop, HOME))
        self.at(9, f"the path to {SERVER[0]} is cut", lambda: network.cut(MOBILE, SERVER[0]))
        self.at(13, "out of the mobile network's reach", lambda: network.remove_address(laptop, MOBILE))
        self.at(14, "in a café, behind a NAT", lambda: network.add_address(laptop, CAFE))
        self.at(17, "the NAT takes another port", self.nat.rebind)
        self.at(20, "the NAT has another address", lambda: self.nat.rebind(NEXT_ROUTER))

    def at(self, when: float, what: str, action: Any) -> None:
        def happen() -> None:
            self.say(f"{what}")
            self.happenings.append((when, what))
            action()

        self.network.at(when, happen)

    async def receive(self, assoc: asyncsctp.Association) -> None:
        """The server's side: messages are numbered from 0."""
        watching = asyncio.create_task(self.watch("server", assoc))
        async for message in assoc:
            self.in_order = self.in_order and int(message.data[:12]) == self.received
            self.received += 1
            if self.network.now < SECONDS:
                self.bytes[int(self.network.now / BIN)] += len(message.data)
        await watching

    async def watch(self, who: str, assoc: asyncsctp.Association) -> None:
        """What the server learns of the laptop's addresses, and the laptop of the ways to the server."""
        async for event in assoc.events():
            match event:
                case asyncsctp.PeerAddressChanged(address, what):
                    self.say(f"    {who}: {address} {what}")
                case asyncsctp.PathChanged(address, state) if who == "laptop":
                    self.say(f"    {who}: the path to {address} is {state.value}")

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[asyncsctp.Association]:
        """From the laptop, at whatever addresses it has."""
        with self.laptop.active():
            async with asyncsctp.connect(SERVER, 5001, config=CONFIG) as assoc:
                yield assoc

    async def run(self) -> None:
        async with asyncsctp.serve(self.receive, local_addrs=SERVER, port=5001, config=CONFIG), self.connect() as assoc:
            self.say(f"up, from {', '.join(assoc.local_addrs)}")
            watching = asyncio.create_task(self.watch("laptop", assoc))
            self.schedule()
            while self.network.now < SECONDS:
                await assoc.send((b"%012d" % self.sent).ljust(SIZE, b"."))
                self.sent += 1
            await assoc.close()
            await watching

    @property
    def is_good(self) -> bool:
        return self.in_order and self.received == self.sent

    @property
    def rates(self) -> list[float]:
        """Mbit/s of each half second."""
        return [count * 8 / BIN / 1e6 for count in self.bytes]


def show(roaming: Roaming, megabits: float) -> None:
    """The rates as text, a line for each half second."""
    print(f"\n  time   Mbit/s of at most {megabits:g}")
    for index, rate in enumerate(roaming.rates):
        begin = index * BIN
        what = "; ".join(text for when, text in roaming.happenings if begin <= when < begin + BIN)
        print(f"{begin:4.1f} s  {rate:6.1f} {'#' * round(40 * rate / megabits):40} {what}".rstrip())


def draw(roaming: Roaming, path: Path) -> None:
    """The same as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    style: Any = {"font.size": 9, "svg.hashsalt": "asyncsctp", "svg.fonttype": "none"}
    with mpl.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
        axes.stairs(roaming.rates, [index * BIN for index in range(len(roaming.bytes) + 1)], fill=True, alpha=0.6)
        top = 1.7 * max(roaming.rates)
        for when, what in roaming.happenings:
            axes.axvline(when, color="#6b7280", linewidth=0.8, linestyle="--")
            axes.text(when + 0.08, 0.98 * top, what, rotation=90, va="top", fontsize=7)
        axes.set_ylim(0, top)
        axes.set_xlim(0, SECONDS)
        axes.set_xlabel("seconds")
        axes.set_ylabel("Mbit/s that arrived, in order")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Move between networks while a transfer goes on, and lose nothing.")
    parser.add_argument("--megabits", type=float, default=10.0, help="rate of each link (default %(default)g)")
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets lost, 0 to 1 (default %(default)g)")
    parser.add_argument("--seed", type=int, default=2, help="for other losses (default %(default)d)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture too: needs matplotlib")
    args = parser.parse_args()
    try:
        if not args.megabits > 0:
            raise ValueError("--megabits must be above 0")
        link = LinkSettings(delay=0.02, loss=args.loss, rate=args.megabits * 1e6, queue=100_000)
        network = Network(seed=args.seed, link=link)
        laptop = network.host("laptop", HOME)
        network.host("server", *SERVER)
        roaming = Roaming(network, laptop)
        network.run(roaming.run())
        show(roaming, args.megabits)
        verdict = "each once and in order" if roaming.is_good else "NOT AS SENT"
        print(f"\nsent {roaming.sent:,} messages, received {roaming.received:,}, {verdict}")
        if args.plot is not None:
            draw(roaming, args.plot)
    except KeyboardInterrupt:
        return 130
    except ImportError:
        print("roaming: --plot needs matplotlib", file=sys.stderr)
        return 1
    except (ValueError, OSError) as exc:
        print(f"roaming: {exc}", file=sys.stderr)
        return 1
    return 0 if roaming.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
