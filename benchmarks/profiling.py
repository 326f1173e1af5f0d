"""Where the time went, by room: a profile of cProfile, condensed to what fits on a screen.

The profiler itself costs time with each call, so that rooms of many small calls look larger than they are.
"""

from __future__ import annotations

import pstats
from cProfile import Profile
from pathlib import PurePath
from typing import Any

from .job import Results

__all__ = ["condense", "describe"]

_TOP = 25
_LOOP = ("run_until_complete", "select", "poll")


def _room(file: str, function: str) -> str:
    """`asyncsctp/outbound` for its functions, the top folder for other packages, `loop` for waiting."""
    if any(word in function for word in _LOOP):
        return "event loop and waiting"
    if file == "~":
        return "built-in functions"
    parts = PurePath(file).parts
    for package in ("asyncsctp", "benchmarks", "aiortc", "uvloop", "asyncio"):
        if package in parts:
            inside = parts[len(parts) - 1 - parts[::-1].index(package) :]
            return "/".join(inside[:2]).removesuffix(".py")
    return "other"


def condense(profile: Profile) -> Results:
    """Seconds for each room, and the functions that took most, themselves."""
    # pstats has attributes that its type does not know of.
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = vars(pstats.Stats(profile))["stats"]
    rooms: dict[str, float] = {}
    functions: list[tuple[float, int, str]] = []
    for (file, line, function), (_, calls, own, _, _) in stats.items():
        room = _room(file, function)
        rooms[room] = rooms.get(room, 0.0) + own
        functions.append((own, calls, function if file == "~" else f"{room}: {PurePath(file).stem}.{function}:{line}"))
    functions.sort(reverse=True)
    return {
        "rooms": dict(sorted(rooms.items(), key=lambda item: -item[1])),
        "functions": [{"seconds": own, "calls": calls, "name": name} for own, calls, name in functions[:_TOP]],
    }


def describe(title: str, results: Results) -> list[str]:
    """Lines to print for one process."""
    profile = results["profile"]
    busy = sum(seconds for room, seconds in profile["rooms"].items() if not room.startswith("event loop"))
    lines = [f"{title}: {busy:.2f} s busy (profiled)"]
    lines += [f"  {seconds / busy:7.1%} {seconds:8.3f} s  {room}" for room, seconds in profile["rooms"].items()]
    lines.append("     of itself    calls  us/call")
    for entry in profile["functions"]:
        own, calls = entry["seconds"], entry["calls"]
        lines.append(f"  {own:8.3f} s {calls:8d} {own / calls * 1e6:8.2f}  {entry['name']}")
    if counters := results.get("counters"):
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in counters.items()))
    return lines
