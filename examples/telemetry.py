"""Telemetry over a network that loses packets: what order and reliability cost in delay.

    python examples/telemetry.py
    python examples/telemetry.py --loss 0 0.05 0.3 --seconds 60 --plot telemetry.svg

Eight sensors send a reading each, 20 times a second. The same readings are sent in five ways: as one ordered stream, as
a stream for each sensor, unordered, with a lifetime of 150 ms, and without retransmission (as WebRTC's data channels
have it). For each share of packets lost it is printed how many readings were late (held up, or sent again), the delay
that 99 % of those that arrived stayed below, and how many arrived at all. The network is simulated, on virtual time:
the same seed gives the same figures. `--plot` draws them, with matplotlib.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import asyncsctp
from asyncsctp.testing import LinkSettings, Network

SENDER, RECEIVER = "10.0.0.1", "10.0.0.2"
SENSORS = 8
PERIOD = 0.05
SIZE = 100
DELAY = 0.02  # one way
LATE = 1.5 * DELAY
SENT = Struct("!d")
CONFIG = asyncsctp.Config(rto_initial=0.2, rto_min=0.1, rto_max=1.0, sack_delay=0.02, max_retrans=100)


class Way(NamedTuple):
    """How readings are sent: each sensor on a stream of its own or all on one, with options of `send`."""

    name: str
    own_streams: bool
    options: dict[str, Any]


WAYS = (
    Way("one stream", False, {}),
    Way("8 streams", True, {}),
    Way("unordered", False, {"unordered": True}),
    Way("lifetime", True, {"lifetime": 0.15}),
    Way("sent once", False, {"unordered": True, "max_retransmits": 0}),
)


class Outcome(NamedTuple):
    """`late` and `arrived`: shares of the readings; `slow`: the 99th percentile of the delays, in seconds."""

    late: float
    slow: float
    arrived: float


async def send(assoc: asyncsctp.Association, way: Way, sensor: int, count: int) -> None:
    """The readings of one sensor."""
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(PERIOD * sensor / SENSORS)
    for _ in range(count):
        reading = SENT.pack(clock()).ljust(SIZE, b".")
        assoc.write(reading, stream=sensor if way.own_streams else 0, **way.options)  # no drain: they must not wait
        await asyncio.sleep(PERIOD)


async def measure(way: Way, count: int) -> Outcome:
    """One association, both ends of it here."""
    clock = asyncio.get_running_loop().time
    delays: list[float] = []

    async def receive(assoc: asyncsctp.Association) -> None:
        async for message in assoc:
            sent = SENT.unpack_from(message.data)[0]
            delays.append(clock() - sent)

    async with (
        asyncsctp.serve(receive, RECEIVER, 5001, config=CONFIG),
        asyncsctp.connect(RECEIVER, 5001, local_addrs=SENDER, config=CONFIG) as assoc,
    ):
        async with asyncio.TaskGroup() as group:
            for sensor in range(SENSORS):
                group.create_task(send(assoc, way, sensor, count))
        await assoc.flush()
    delays.sort()
    late = sum(delay > LATE for delay in delays)
    return Outcome(late / len(delays), delays[int(0.99 * len(delays))], len(delays) / (SENSORS * count))


def run(way: Way, loss: float, seconds: float, seed: int) -> Outcome:
    """A network of its own for each way and each loss."""
    network = Network(seed=seed, link=LinkSettings(delay=DELAY, loss=loss))
    network.host("sender", SENDER)
    network.host("receiver", RECEIVER)
    return network.run(measure(way, max(int(seconds / PERIOD), 1)))


def table(title: str, losses: Sequence[float], rows: Sequence[Sequence[str]]) -> None:
    """A line for each share of loss, a column for each way."""
    print(f"\n{title:26}" + "".join(f"{way.name:>12}" for way in WAYS))
    for loss, row in zip(losses, rows, strict=True):
        print(f"{loss:10.1%} lost{'':11}" + "".join(f"{value:>12}" for value in row))


def draw(losses: Sequence[float], found: Sequence[Sequence[Outcome]], path: Path) -> None:
    """Delay against loss, and what is late, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels: tuple[tuple[str, str, Callable[[Outcome], float]], ...] = (
        ("99 % arrived within", "ms, logarithmic", lambda outcome: 1000 * outcome.slow),
        ("Late, of those that arrived", "%", lambda outcome: 100 * outcome.late),
        ("Arrived", "%", lambda outcome: 100 * outcome.arrived),
    )
    style: Any = {"font.size": 9, "svg.hashsalt": "asyncsctp", "svg.fonttype": "none"}
    with mpl.rc_context(style):
        figure, places = pyplot.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
        for axes, (title, unit, value) in zip(places, panels, strict=True):
            for index, way in enumerate(WAYS):
                values = [value(outcomes[index]) for outcomes in found]
                axes.plot([100 * loss for loss in losses], values, marker="osD^v"[index], label=way.name)
            axes.set_title(title)
            axes.set_ylabel(unit)
            axes.set_xlabel("packets lost, %")
            axes.grid(color="#e5e7eb", linewidth=0.7)
        places[0].set_yscale("log")
        ticks = (20, 50, 100, 200, 500, 1000, 2000)
        places[0].set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        places[0].set_yticks([], minor=True)
        places[1].set_ylim(bottom=0)
        places[2].set_ylim(0, 105)
        places[2].legend(fontsize=8, loc="lower left")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Delay against loss, for five ways to send telemetry.")
    parser.add_argument(
        "--loss",
        type=float,
        nargs="+",
        default=[0.0, 0.01, 0.02, 0.05, 0.1, 0.2],
        metavar="SHARE",
        help="shares of the packets lost, 0 to 1 (default 0 to 0.2)",
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of virtual time for each (default %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="for other losses (default %(default)d)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture too: needs matplotlib")
    args = parser.parse_args()
    try:
        found = [[run(way, loss, args.seconds, args.seed) for way in WAYS] for loss in args.loss]
        print(f"{SENSORS} sensors, {1 / PERIOD:g} readings of {SIZE} bytes a second each; {1000 * DELAY:g} ms one way")
        table("late, of those that came", args.loss, [[f"{each.late:.1%}" for each in row] for row in found])
        table("99 % came within", args.loss, [[f"{1000 * each.slow:.0f} ms" for each in row] for row in found])
        table("arrived", args.loss, [[f"{each.arrived:.1%}" for each in row] for row in found])
        if args.plot is not None:
            draw(args.loss, found, args.plot)
    except ImportError:
        print("telemetry: --plot needs matplotlib", file=sys.stderr)
        return 1
    except (ValueError, OSError) as exc:
        print(f"telemetry: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
