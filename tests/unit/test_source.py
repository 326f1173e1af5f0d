"""Which of the two forms runs, and the way to choose."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import asyncsctp

PROGRAM = """
import asyncsctp
from asyncsctp.outbound import send_queue
from asyncsctp.wire import octets
print(asyncsctp.compiled, octets.__file__.endswith(".py"), send_queue.__file__.endswith(".py"))
"""


def run(pure: str | None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "ASYNCSCTP_PURE"}
    if pure is not None:
        environment["ASYNCSCTP_PURE"] = pure
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.process
def test_the_environment_asks_for_the_plain_source() -> None:
    assert run("1") == "False True True"


@pytest.mark.process
@pytest.mark.parametrize("pure", [None, "", "0"])
def test_without_that_what_was_built_runs(pure: str | None) -> None:
    built = run(pure)
    assert built in {"True False False", "False True True"}
    if os.environ.get("ASYNCSCTP_PURE", "") in {"", "0"}:
        assert built.split()[0] == str(asyncsctp.compiled)
