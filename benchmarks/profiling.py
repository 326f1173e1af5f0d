"""Where the CPU time goes, by room of the house, for one process while it is measured. Two ways to find out:

* "sampler": what Python runs is noted at every tick of a clock that counts only this process's time. Unlike a profiler
  that is called with each call, this one doesn't make small functions look large. Time in C counts for the line that
  called it, so that beneath a compiled core it sees nothing; that of uvloop for the callback that it runs next.
* "perf": the system's profiler, which sees symbols of compiled code, of the interpreter, of libraries and of the
  kernel, but not what the interpreter runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path, PurePath
from resource import RUSAGE_SELF, getrusage
from types import FrameType
from typing import Protocol

import asyncsctp

from .job import Results
from .machine import is_compiled

__all__ = [
    "PERF",
    "SAMPLER",
    "Perf",
    "Profiler",
    "Sampler",
    "describe",
    "perf_works",
    "profiler",
    "room",
    "room_of_symbol",
]

SAMPLER, PERF = "sampler", "perf"
KERNEL, EVENT_LOOP, PROGRAM = "kernel", "event loop", "the program"

_TICK = 0.001
_TOP_LINES = 5
_TOP_FUNCTIONS = 30
_FREQUENCY = 1999
_PACKAGES = ("asyncsctp", "benchmarks", "aiortc", "aioquic", "uvloop", "asyncio")
_OF_THE_LOOP = {"uvloop", "asyncio", "selectors"}


class Profiler(Protocol):
    """Of this process."""

    def start(self) -> None:
        """From now on."""

    def stop(self) -> Results:
        """Until now: `ticks`, the share of each of the `rooms`, and the `functions` that took most."""


def profiler(name: str) -> Profiler:
    """By its name."""
    return Perf() if name == PERF else Sampler()


class Sampler:
    """Counts the functions that are at work at the ticks."""

    def __init__(self) -> None:
        self._functions: Counter[tuple[str, str]] = Counter()
        self._lines: dict[tuple[str, str], Counter[int]] = {}
        self._rooms: Counter[str] = Counter()
        self._user = self._system = 0.0

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.setitimer(signal.ITIMER_PROF, _TICK, _TICK)

    def stop(self) -> Results:
        signal.setitimer(signal.ITIMER_PROF, 0)
        ticks = max(1, self._functions.total())
        return {
            "kind": SAMPLER,
            "ticks": ticks,
            "rooms": {name: count / ticks for name, count in self._rooms.most_common()},
            "functions": [
                {
                    "name": f"{room(file)}: {PurePath(file).stem}.{function}",
                    "share": count / ticks,
                    "lines": dict(self._lines[file, function].most_common(_TOP_LINES)),
                }
                for (file, function), count in self._functions.most_common(_TOP_FUNCTIONS)
            ],
        }

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        file = frame.f_code.co_filename
        key = file, frame.f_code.co_qualname
        self._functions[key] += 1
        self._lines.setdefault(key, Counter())[frame.f_lineno or 0] += 1
        # Since the last tick the system has worked for us, or we have.
        used = getrusage(RUSAGE_SELF)
        in_kernel = used.ru_stime - self._system > used.ru_utime - self._user
        self._user, self._system = used.ru_utime, used.ru_stime
        self._rooms[f"{KERNEL}, called from {room(file)}" if in_kernel else room(file)] += 1


class Perf:
    """Starts `perf record` upon this process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="asyncsctp-perf-")
        self._file = str(Path(self._folder.name, "perf.data"))
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_FREQUENCY), "-p", str(os.getpid())]
        self._process = subprocess.Popen(
            [*command, "-o", self._file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 5
        while not Path(self._file).exists() and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self) -> Results:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        fields = ["--stdio", "--no-children", "-q", "-n", "-F", "sample,dso,sym", "-t", "\t"]
        command = ["perf", "report", "-i", self._file, *fields]
        listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
        self._folder.cleanup()
        return shares(listed)


def shares(listed: str) -> Results:
    """From what `perf report` lists: samples, shared object and symbol, with tabs between."""
    functions: Counter[tuple[str, str]] = Counter()
    for line in listed.splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) >= 3 and cells[0].isdigit():
            functions[room_of_symbol(cells[1], cells[2]), cells[2].removeprefix("[.] ").removeprefix("[k] ")] += int(
                cells[0]
            )
    rooms: Counter[str] = Counter()
    for (name, _), count in functions.items():
        rooms[name] += count
    ticks = max(1, functions.total())
    return {
        "kind": PERF,
        "ticks": ticks,
        "rooms": {name: count / ticks for name, count in rooms.most_common()},
        "functions": [
            {"name": f"{name}: {symbol}", "share": count / ticks, "lines": {}}
            for (name, symbol), count in functions.most_common(_TOP_FUNCTIONS)
        ],
    }


def perf_works() -> bool:
    """Whether there is a perf, and the system lets us use it."""
    if shutil.which("perf") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="asyncsctp-perf-") as folder:
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-o", str(Path(folder, "perf.data")), "true"]
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def room(file: str) -> str:
    """Of a source file: the folder in asyncsctp, or its module there; beside these the event loop, and the program."""
    parts = PurePath(file).parts
    for package in _PACKAGES:
        if package not in parts:
            continue
        if package in _OF_THE_LOOP:
            return EVENT_LOOP
        if package == "benchmarks":
            return PROGRAM
        last = len(parts) - 1 - parts[::-1].index(package)
        return "/".join(parts[last : last + 2]).removesuffix(".py")
    return EVENT_LOOP if PurePath(file).stem in _OF_THE_LOOP else "other Python"


def room_of_symbol(library: str, symbol: str) -> str:
    """Of a symbol in a shared object; those of mypyc are named after the modules that they come from."""
    name = PurePath(library).name
    if library.startswith("[") or symbol.startswith("[k]"):
        return KERNEL
    if "CPyDef_" in symbol or "CPyPy_" in symbol:
        for part in symbol.partition("_")[2].split("___"):
            if part in _rooms_by_module():
                return _rooms_by_module()[part]
        return "asyncsctp, compiled"
    for part, found in (("loop.cpython", EVENT_LOOP), ("crc32c", "crc32c"), ("mypyc", "asyncsctp, compiled")):
        if part in name:
            return found
    if name.startswith(("libpython", "python")) or ".cpython-" in name:
        return "the interpreter"
    return "the C library" if name.startswith(("libc", "ld-", "libpthread", "[vdso]")) else name


@cache
def _rooms_by_module() -> dict[str, str]:
    package = Path(asyncsctp.__file__).parent
    # What is compiled comes last, and stays.
    files = sorted(package.rglob("*.py"), key=lambda file: ("aio" not in file.parts, str(file)))
    return {file.stem: room(str(file)) for file in files}


def describe(title: str, results: Results) -> list[str]:
    """Lines to print for one process. Its packets are those of its busier direction."""
    profile = results["profile"]
    counters = results.get("counters", {})
    packets = max(counters.get("packets_sent", 0), counters.get("packets_received", 0))
    each = results["cpu"] / packets * 1e6 if packets else 0.0
    system = results["cpu_system"] / results["cpu"]
    ticks = f"{profile['ticks']} ticks ({profile['kind']})"
    lines = [f"{title}: {results['cpu']:.2f} s of CPU, {system:.0%} of it in the system, {ticks}"]
    if is_compiled() and profile["kind"] == SAMPLER:
        lines.append("  the core is compiled: its time counts for what calls it; beneath it sees --profile perf")
    if packets:
        lines.append(f"  {packets} packets: {each:.2f} us for each")

    def line(name: str, share: float, more: str = "") -> str:
        cost = f" {share * each:7.2f} us/packet" if packets else ""
        return f"  {share:6.1%}{cost}  {name}{more}"

    lines += [line(name, share) for name, share in profile["rooms"].items() if share >= 0.005]
    lines.append("  functions, with the lines that took most:" if profile["kind"] == SAMPLER else "  functions:")
    for entry in profile["functions"]:
        at = ", ".join(f"{number} ({count})" for number, count in entry["lines"].items())
        lines.append(line(entry["name"], entry["share"], f"  {at}" if at else ""))
    if counters:
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in counters.items()))
    return lines
