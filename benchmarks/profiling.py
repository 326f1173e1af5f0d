"""Where the CPU time goes, by room: what runs is noted at every tick of a clock that counts only this process's time.

Unlike a profiler that is called with each call, this one doesn't make small functions look large. Time in C counts for
the line that called it; that of the event loop itself for the callback that it runs next.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import PurePath
from types import FrameType

from .job import Results

__all__ = ["Sampler", "describe"]

_TICK = 0.001
_TOP_LINES = 5
_TOP_FUNCTIONS = 30
_PACKAGES = ("asyncsctp", "benchmarks", "aiortc", "uvloop", "asyncio")


class Sampler:
    """Counts the functions that are at work at the ticks."""

    def __init__(self) -> None:
        self._functions: Counter[tuple[str, str]] = Counter()
        self._lines: dict[tuple[str, str], Counter[int]] = {}

    def start(self) -> None:
        """From now on."""
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.setitimer(signal.ITIMER_PROF, _TICK, _TICK)

    def stop(self) -> Results:
        """Until now: the share of each room, and of the functions that took most, with their lines."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        ticks = self._functions.total()
        rooms: Counter[str] = Counter()
        for (file, _), count in self._functions.items():
            rooms[_room(file)] += count
        return {
            "ticks": ticks,
            "rooms": {room: count / ticks for room, count in rooms.most_common()},
            "functions": [
                {
                    "name": f"{_room(file)}: {PurePath(file).stem}.{function}",
                    "share": count / ticks,
                    "lines": dict(self._lines[file, function].most_common(_TOP_LINES)),
                }
                for (file, function), count in self._functions.most_common(_TOP_FUNCTIONS)
            ],
        }

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if frame is not None:
            key = frame.f_code.co_filename, frame.f_code.co_qualname
            self._functions[key] += 1
            self._lines.setdefault(key, Counter())[frame.f_lineno or 0] += 1


def _room(file: str) -> str:
    """A package's folder, or its module where it has no folders."""
    parts = PurePath(file).parts
    for package in _PACKAGES:
        if package in parts:
            last = len(parts) - 1 - parts[::-1].index(package)
            return "/".join(parts[last : last + 2]).removesuffix(".py")
    return "other"


def describe(title: str, results: Results) -> list[str]:
    """Lines to print for one process. Its packets are those of its busier direction."""
    profile = results["profile"]
    counters = results.get("counters", {})
    packets = max(counters.get("packets_sent", 0), counters.get("packets_received", 0))
    each = results["cpu"] / packets * 1e6 if packets else 0.0
    system = results["cpu_system"] / results["cpu"]
    lines = [f"{title}: {results['cpu']:.2f} s of CPU, {system:.0%} of it in the system, {profile['ticks']} ticks"]
    if packets:
        lines.append(f"  {packets} packets: {each:.2f} us for each")

    def line(name: str, share: float, more: str = "") -> str:
        cost = f" {share * each:7.2f} us/packet" if packets else ""
        return f"  {share:6.1%}{cost}  {name}{more}"

    lines += [line(room, share) for room, share in profile["rooms"].items() if share >= 0.005]
    lines.append("  functions, with the lines that took most:")
    for entry in profile["functions"]:
        at = ", ".join(f"{number} ({count})" for number, count in entry["lines"].items())
        lines.append(line(entry["name"], entry["share"], f"  {at}"))
    if counters:
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in counters.items()))
    return lines
