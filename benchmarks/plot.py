"""A picture of a run: the medians, and as thin lines the range of the rounds. Needs matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import Samples, Spread, number

__all__ = ["PANELS", "Bars", "Panel", "check", "draw", "panels"]

_SIZES = (("bulk-64", "64 B"), ("bulk-1k", "1 KiB"), ("bulk-16k", "16 KiB"), ("bulk-256k", "256 KiB"))
_LABELS = {
    "asyncsctp": "asyncsctp",
    "usrsctp": "usrsctp (C)",
    "tcp": "asyncio TCP",
    "aiortc": "aiortc SCTP",
    "aioquic": "aioquic (encrypts)",
}
_COLOURS = {"asyncsctp": "#c2410c", "usrsctp": "#1d4ed8", "tcp": "#4b5563", "aiortc": "#0f766e", "aioquic": "#7e22ce"}
_MARKERS = {"asyncsctp": "o", "usrsctp": "s", "tcp": "^", "aiortc": "D", "aioquic": "v"}
_OTHER = "#000000"
#: It writes and reads one by one in both scenarios: one bar is enough.
_SAME = {("usrsctp", "bulk-64-batch")}


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars for some rows: (scenario, row, what it is). Two at most, the second one drawn lighter."""

    title: str
    unit: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """What a panel shows: for each peer the values of its rows, None where one was not measured."""

    panel: Panel
    peers: tuple[str, ...]
    values: tuple[tuple[Spread | None, ...], ...]


PANELS = (
    Panel(
        "Messages of 64 B: more is better",
        "1000 messages/s",
        (("bulk-64", "messages", "one by one"), ("bulk-64-batch", "messages", "many at a time")),
    ),
    Panel("Ping-pong, 64 B: less is better", "microseconds", (("latency", "p50", "p50"), ("latency", "p99", "p99"))),
    Panel("Setups and teardowns: more is better", "associations/s, one after another", (("setup-serial", "rate", ""),)),
    Panel(
        "CPU at 16 KiB: less is better",
        "CPU seconds per GB",
        (("bulk-16k", "client_cpu", "sender"), ("bulk-16k", "server_cpu", "receiver")),
    ),
    Panel(
        "An idle association: less is better",
        "bytes of Python objects",
        (("memory", "client_bytes", "client"), ("memory", "server_bytes", "server")),
    ),
)


def check(path: Path) -> None:
    """`ValueError` where nothing can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install '.[bench]'")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}")


def panels(found: Samples, peers: Sequence[str]) -> list[Bars]:
    """The panels that have figures, and in each the peers that have some."""
    shown = []
    for panel in PANELS:
        rows = [found.get(scenario, {}).get(row, {}) for scenario, row, _ in panel.rows]
        here = tuple(peer for peer in peers if any(peer in by_peer for by_peer in rows))
        if here:
            values = tuple(
                tuple(
                    None if (peer, scenario) in _SAME else _spread(by_peer.get(peer))
                    for (scenario, _, _), by_peer in zip(panel.rows, rows, strict=True)
                )
                for peer in here
            )
            shown.append(Bars(panel, here, values))
    return shown


def _spread(rounds: Mapping[int, float] | None) -> Spread | None:
    return Spread.of([*rounds.values()]) if rounds else None


def goodputs(found: Samples, peers: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, Spread]]]]:
    """For each peer its goodputs, with the place of the message size."""
    for peer in peers:
        points = []
        for place, (scenario, _) in enumerate(_SIZES):
            if (spread := _spread(found.get(scenario, {}).get("goodput", {}).get(peer))) is not None:
                points.append((place, spread))
        if points:
            yield peer, points


def draw(document: Mapping[str, Any], found: Samples, path: Path) -> list[Path]:
    """Write the picture of a run as SVG and PNG; the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    peers = list(document["peers"])
    bars = panels(found, peers)
    # The hash salt and no date: the same figures give the same file.
    style: Any = {"font.size": 9, "font.family": "DejaVu Sans", "svg.hashsalt": "asyncsctp", "axes.titlesize": 10}
    with mpl.rc_context(style):
        count = 1 + len(bars)
        columns = 2 if count > 1 else 1
        height = 3.3 * ((count + 1) // columns) + 0.7
        figure, axes = pyplot.subplots(
            (count + columns - 1) // columns, columns, figsize=(10, height), layout="constrained", squeeze=False
        )
        places = list(axes.flat)
        _lines(places[0], list(goodputs(found, peers)))
        for place, shown in zip(places[1:], bars, strict=False):
            _bars(place, shown)
        for place in places[count:]:
            place.set_axis_off()
        figure.suptitle(_title(document), fontsize=9)
        files = [path.with_suffix(".svg"), path.with_suffix(".png")]
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=120)
        pyplot.close(figure)
    return files


def _title(document: Mapping[str, Any]) -> str:
    settings, on = document["settings"], document["machine"]
    build = "compiled" if document.get("compiled") else "uncompiled"
    return (
        f"asyncsctp {build}, {document['versions']['python']}, {settings['loop']}; "
        f"{on['processor']}, {on['cpus']} CPUs\n"
        f"two processes over loopback, IP packets of {settings['mtu']} B; "
        f"medians of up to {settings['rounds']} interleaved rounds, thin lines from the lowest to the highest"
    )


def _label(peer: str) -> str:
    return _LABELS.get(peer, peer)


def _lines(axes: Any, lines: Sequence[tuple[str, list[tuple[int, Spread]]]]) -> None:
    """Goodput by size. The axis is logarithmic: from aiortc to TCP it is a factor of hundreds."""
    for peer, points in lines:
        places = [place for place, _ in points]
        medians = [spread.median for _, spread in points]
        around = [[s.median - s.low for _, s in points], [s.high - s.median for _, s in points]]
        axes.errorbar(
            places,
            medians,
            yerr=around,
            label=_label(peer),
            color=_COLOURS.get(peer, _OTHER),
            marker=_MARKERS.get(peer, "x"),
            markersize=5,
            linewidth=2.2 if peer == "asyncsctp" else 1.2,
            elinewidth=1,
            capsize=2,
            zorder=3 if peer == "asyncsctp" else 2,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.set_xticks(range(len(_SIZES)), [label for _, label in _SIZES])
    axes.set_xlim(-0.3, len(_SIZES) - 0.7)
    axes.set_title("Goodput by message size: more is better")
    axes.set_ylabel("Mbit/s, logarithmic")
    axes.grid(axis="y", which="major", color="#d1d5db", linewidth=0.7)
    axes.grid(axis="y", which="minor", color="#eef0f2", linewidth=0.5)
    axes.set_axisbelow(True)
    if lines:
        # Room for the legend below the slowest.
        axes.set_ylim(bottom=min(spread.low for _, points in lines for _, spread in points) / 4)
        axes.legend(fontsize=8, frameon=True, framealpha=0.9, edgecolor="none", loc="lower right")
    _tidy(axes)


def _bars(axes: Any, shown: Bars) -> None:
    """One group for each peer, from zero on a linear axis, with the numbers beside them."""
    rows = shown.panel.rows
    thick = 0.76 / len(rows)
    most = max(spread.high for values in shown.values for spread in values if spread is not None)
    for at, (peer, values) in enumerate(zip(shown.peers, shown.values, strict=True)):
        for which, spread in enumerate(values):
            if spread is None:
                continue
            y = at + (which - (len(rows) - 1) / 2) * thick
            axes.barh(y, spread.median, thick * 0.92, color=_COLOURS.get(peer, _OTHER), alpha=0.45 if which else 1)
            axes.plot([spread.low, spread.high], [y, y], color="black", linewidth=1, solid_capstyle="butt")
            text = number(spread.median) + (f"  {rows[which][2]}" if rows[which][2] else "")
            axes.text(max(spread.high, spread.median) + most * 0.015, y, text, va="center", fontsize=7.5)
    axes.set_yticks(range(len(shown.peers)), [_label(peer) for peer in shown.peers])
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.42)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.xaxis.set_major_locator(_few_ticks())
    axes.set_title(shown.panel.title)
    axes.set_xlabel(shown.panel.unit)
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    _tidy(axes)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _tidy(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
