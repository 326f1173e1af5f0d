"""The regression gate: machine instructions of a fixed transfer, which are the same however busy the machine is.

    python -m benchmarks.instructions            # prints them
    python -m benchmarks.instructions --check    # compares with benchmarks/instructions.json
    python -m benchmarks.instructions --update   # writes this build's figures there
    python -m benchmarks.instructions --offers   # what extensions cost that are offered and not used

They are counted by valgrind's callgrind, for the phases of `benchmarks.transfer` alone: the start of the program is not
in them. As another build of Python takes other numbers, what is kept and compared is relative to plain Python of the
same run, for each version of Python, compiled and not.

Exit status: 0 as it should be, 1 a figure has grown beyond the tolerance, 2 wrong arguments or a failure, 3 nothing is
kept for this build, 77 there is no valgrind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import align
from .transfer import CALIBRATION

__all__ = ["KEPT", "Change", "Count", "compare", "count", "figures", "main", "ratios", "report"]

KEPT = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
WORSE, FAILED, UNKNOWN, NO_VALGRIND = 1, 2, 3, 77

_ROOT = Path(__file__).resolve().parent.parent
_LIMIT = 600.0
#: Each call of it ends a phase; nothing else calls it.
_MARK = "getppid"


@dataclass(frozen=True, slots=True)
class Count:
    """Of one build: instructions for each unit (packet, message, association), and for each of the calibration."""

    key: str
    instructions: dict[str, float]
    calibration: float

    def relative(self) -> dict[str, float]:
        """As multiples of the calibration's."""
        return {name: value / self.calibration for name, value in self.instructions.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """A figure now, over what is kept."""

    name: str
    kept: float
    now: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """Above 1: it has grown."""
        return self.now / self.kept

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.ratio > 1 + self.tolerance:
            return "WORSE"
        return "better: --update" if self.ratio < 1 - self.tolerance else "as before"


def figures(phases: Sequence[tuple[str, int]], totals: Sequence[int]) -> dict[str, float]:
    """Instructions for each unit, by phase; `totals[0]` is what came before the first mark, the last what came after.

    `ValueError` if there are not as many as there should be.
    """
    if len(totals) != len(phases) + 1:
        raise ValueError(f"{len(totals)} totals for {len(phases)} phases")
    spent: dict[str, tuple[int, int]] = {}
    for (name, units), total in zip(phases, totals, strict=False):
        if name:
            before = spent.get(name, (0, 0))
            spent[name] = before[0] + total, before[1] + units
    return {name: total / units for name, (total, units) in spent.items()}


def compare(kept: Mapping[str, float], now: Mapping[str, float], tolerance: float = TOLERANCE) -> list[Change]:
    """Every figure that both have."""
    return [Change(name, kept[name], value, tolerance) for name, value in now.items() if name in kept]


def count(offer: str = "default") -> Count:
    """Run the transfer under valgrind, with these extensions offered. `RuntimeError` if that fails."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("there is no valgrind")
    with tempfile.TemporaryDirectory(prefix="asyncsctp-instructions-") as directory:
        out = Path(directory, "out")
        command = [
            valgrind,
            "--tool=callgrind",
            f"--dump-before={_MARK}",
            f"--callgrind-out-file={out}",
            sys.executable,
            "-m",
            "benchmarks.transfer",
            offer,
        ]
        setarch = shutil.which("setarch")
        if setarch is not None and _runs([setarch, "-R", "true"]):
            command = [setarch, "-R", *command]
        # The same environment for everybody: its size moves the stack, and hashes decide where things are in a dict.
        # No bytecode is written, so that the first run is as the second.
        environment = {
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
            "PATH": os.environ.get("PATH", os.defpath),
            **{name: value for name, value in os.environ.items() if name.startswith("ASYNCSCTP_")},
        }
        run = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_LIMIT
        )
        if run.returncode != 0:
            raise RuntimeError(f"the transfer failed with status {run.returncode}:\n{run.stderr}")
        result: dict[str, Any] = json.loads(run.stdout)
        numbered = sorted(Path(directory).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        spent = figures(result["phases"], [_total(path) for path in (*numbered, out)])
    calibration = spent.pop(CALIBRATION)
    build = "compiled" if result["compiled"] else "uncompiled"
    major, minor, _ = platform.python_version_tuple()
    return Count(f"{platform.python_implementation()} {major}.{minor} {build}", spent, calibration)


def _runs(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


def _total(path: Path) -> int:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("totals:"):
            return int(line.partition(":")[2])
    raise RuntimeError(f"{path.name} has no total: this is another valgrind than we know")


def _read() -> dict[str, dict[str, float]]:
    try:
        kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return kept


def _table(counted: Count, changes: Sequence[Change]) -> list[str]:
    by_name = {change.name: change for change in changes}
    lines = [["", "", "instructions", "x plain Python", "kept", "now / kept", ""]]
    for name, relative in counted.relative().items():
        line = [name, "", f"{counted.instructions[name]:,.0f}", f"{relative:.2f}"]
        if name in by_name:
            change = by_name[name]
            line += [f"{change.kept:.2f}", f"{change.ratio:.3f}", change.verdict]
        lines.append(line)
    return align(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.instructions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help=f"fail if a figure is above the one in {KEPT.name}")
    parser.add_argument("--update", action="store_true", help=f"write this build's figures into {KEPT.name}")
    parser.add_argument("--offers", action="store_true", help="compare with no extensions offered, and with all")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, metavar="X", help="of --check (%(default)s)")
    arguments = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        print("there is no valgrind here: nothing was counted (on Debian: apt-get install valgrind)", file=sys.stderr)
        return NO_VALGRIND
    try:
        if arguments.offers:
            print("\n".join(ratios(count("none"), [(offer, count(offer)) for offer in ("default", "all")])))
            return 0
        counted = count()
    except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return FAILED
    return report(counted, _read(), arguments.tolerance, check=arguments.check, update=arguments.update)


def ratios(none: Count, offers: Sequence[tuple[str, Count]]) -> list[str]:
    """A table: what each offer of extensions takes, over what the same takes without any."""
    lines = [["", "", "none offered", *(f"{offer} / none" for offer, _ in offers)]]
    for name, value in none.instructions.items():
        found = [f"{counted.instructions[name] / value:.4f}" for _, counted in offers]
        lines.append([name, "", f"{value:,.0f}", *found])
    return align(lines)


def report(
    counted: Count, kept: dict[str, dict[str, float]], tolerance: float, *, check: bool = False, update: bool = False
) -> int:
    """Print it, beside what is kept; the exit status."""
    changes = compare(kept.get(counted.key, {}), counted.relative(), tolerance)
    print(f"{counted.key}; plain Python: {counted.calibration:,.0f} instructions")
    print("\n".join(_table(counted, changes)))
    if update:
        kept[counted.key] = {name: round(value, 4) for name, value in counted.relative().items()}
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"written: {KEPT.name}")
        return 0
    if not check:
        return 0
    if not changes:
        print(f"{KEPT.name} has nothing about {counted.key}: --update writes it", file=sys.stderr)
        return UNKNOWN
    return WORSE if any(change.verdict == "WORSE" for change in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
