"""What an idle association takes of memory at either end, as the benchmark counts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import OURS, PEERS
from benchmarks.runner import Settings, run_pair
from benchmarks.scenarios import SCENARIOS

#: Bytes of Python objects, in either form of the package; at the client with a socket and an endpoint of its own.
SERVER = 12_544
CLIENT = 16_384


@pytest.mark.process
def test_an_idle_association_is_small_at_both_ends() -> None:
    job = Settings().job(SCENARIOS["memory"])
    found, _ = asyncio.run(run_pair(PEERS[OURS], job, 60.0))
    assert found["associations"] == 200
    assert found["server_bytes"] <= SERVER
    assert found["client_bytes"] <= CLIENT
