"""What tests with real sockets rely on: runs that go on side by side on a machine don't take ports from one another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
PROGRAM = "from support.ports import ports; print(*ports(), flush=True); input()"


def test_processes_that_test_side_by_side_have_ports_of_their_own() -> None:
    """Workers of one run, and of others, whatever they are called there."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=TESTS,
            env={**os.environ, "PYTEST_XDIST_WORKER": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("gw0", "gw1", "gw0", "gw32")
    ]
    try:
        shares: list[list[str]] = []
        for process in running:
            assert process.stdout is not None
            shares.append(process.stdout.readline().split())
    finally:
        for process in running:
            process.communicate("\n")
    every = [port for share in shares for port in share]
    assert min(map(len, shares)) > 100
    assert len(every) == len(set(every))
