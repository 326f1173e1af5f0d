"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import asyncsctp

__all__ = ["is_compiled", "machine", "versions"]

_PACKAGES = ("asyncsctp", "uvloop", "crc32c", "aiortc", "aioquic")


def machine() -> dict[str, str | int]:
    """Processor, system, and the limits of socket buffers that decide over UDP."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count() or 1,
        "system": platform.platform(),
        **{name: _kernel_limit(name) for name in ("rmem_max", "wmem_max")},
    }


def versions() -> dict[str, str]:
    """Python, the packages, and the revision of a checkout."""
    found = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if revision := _revision():
        found["revision"] = revision
    return found


def is_compiled() -> bool:
    """Whether asyncsctp's core runs compiled here."""
    return bool(getattr(asyncsctp, "compiled", False))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _kernel_limit(name: str) -> int:
    try:
        return int(Path("/proc/sys/net/core", name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
