"""The command `asyncsctp`: `version` and `bench`."""

from __future__ import annotations

import argparse
import platform
import runpy
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

__all__ = ["main"]

_REQUIREMENTS = ("uvloop", "crc32c")
_NO_BENCHMARKS = """\
The benchmarks are not part of the installed package: they are in the folder benchmarks/ of the sources.
Get the sources (the project's repository, or its sdist: pip download --no-deps --no-binary :all: asyncsctp),
and there run: python -m benchmarks"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="asyncsctp", description="SCTP (RFC 9260) for asyncio, over UDP.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("version", help="versions of asyncsctp and of what it runs on")
    bench = commands.add_parser("bench", help="measure it on this machine, beside others", add_help=False)
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    options, rest = parser.parse_known_args(argv)
    if options.command == "version":
        if rest:
            parser.error(f"unknown arguments: {' '.join(rest)}")
        return _version()
    return _bench([*rest, *options.arguments])


def _version() -> int:
    print(f"asyncsctp {_version_of('asyncsctp')}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    for package in _REQUIREMENTS:
        print(f"{package} {_version_of(package)}")
    return 0


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _bench(arguments: Sequence[str]) -> int:
    """Hand over to `python -m benchmarks` of the sources that this package is in, or that are the current folder."""
    for folder in (Path(__file__).resolve().parent.parent, Path.cwd()):
        if (folder / "benchmarks" / "__main__.py").is_file() and (folder / "asyncsctp" / "__init__.py").is_file():
            break
    else:
        print(_NO_BENCHMARKS, file=sys.stderr)
        return 1
    sys.path.insert(0, str(folder))
    sys.argv = ["asyncsctp bench", *arguments]
    runpy.run_module("benchmarks", run_name="__main__")  # ends by SystemExit
    return 0
