"""usrsctp, the userland SCTP in C: `usrsctp_bench.c` beside this file, compiled where the library is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ..job import Job
from .base import AbsentError, Peer, Side

__all__ = ["UsrsctpPeer"]

_SOURCE = Path(__file__).with_name("usrsctp_bench.c")


class UsrsctpPeer(Peer):
    """Its programs take the job as words, not as JSON.

    It has one way to send and one to receive, message by message: this is what others are compared with when they write
    and read many at a time.
    """

    name = "usrsctp"
    skips = frozenset({"memory", "scale", "workers"})

    def __init__(self) -> None:
        self._program = ""

    def prepare(self, directory: Path) -> str:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise AbsentError("there is no C compiler")
        self._program = str(directory / "usrsctp_bench")
        command = [compiler, "-O2", "-o", self._program, str(_SOURCE), "-lusrsctp", "-lpthread", "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if built.returncode != 0:
            why = built.stderr.strip()
            raise AbsentError("libusrsctp is not installed" if "usrsctp.h" in why or "-lusrsctp" in why else why)
        return f"usrsctp{_version()}"

    def command(self, side: Side, job: Job) -> list[str]:
        numbers = (job.port, job.size, job.seconds, job.count, job.mtu, job.buffer)
        return [self._program, side, job.kind, *map(str, numbers)]


def _version() -> str:
    try:
        command = ["pkg-config", "--modversion", "usrsctp"]
        return " " + subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
