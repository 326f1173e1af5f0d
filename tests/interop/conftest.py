"""Builds the usrsctp peer, and runs the tests here, which are coroutine functions, on each event loop."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .peers import Usrsctp

SOURCE = Path(__file__).with_name("usrsctp_peer.c")
LIBRARIES = ("-lusrsctp", "-lpthread", "-ldl")
TIMEOUT = 40.0

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == SOURCE.parent:
            item.add_marker(pytest.mark.interop)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        async with asyncio.timeout(TIMEOUT):
            await pyfuncitem.obj(**arguments)

    loop_factory: Any = pyfuncitem.funcargs["loop_factory"]
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
    return True


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    if request.param == "asyncio":
        return asyncio.new_event_loop
    factory: LoopFactory = pytest.importorskip("uvloop").new_event_loop
    return factory


@pytest.fixture(scope="session")
def usrsctp(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Usrsctp:
    """The peer, built unless that was done before."""
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    program = pytestconfig.cache.mkdir("interop") / f"usrsctp_peer-{version}"
    if not program.exists():
        compiler = os.environ.get("CC") or "cc"
        if shutil.which(compiler) is None:
            _unavailable(f"there is no C compiler ({compiler})")
        made = tmp_path_factory.mktemp("usrsctp") / "usrsctp_peer"
        command = [compiler, "-O2", "-o", str(made), str(SOURCE), *LIBRARIES]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        if outcome.returncode:
            _unavailable(f"usrsctp_peer.c does not build (is libusrsctp-dev installed?):\n{outcome.stderr}")
        unfinished = program.with_suffix(f".{os.getpid()}")
        shutil.copy2(made, unfinished)
        unfinished.rename(program)  # at once: others may be doing the same
    return Usrsctp(program)


def _unavailable(reason: str) -> None:
    if os.environ.get("ASYNCSCTP_REQUIRE_INTEROP") == "1":
        pytest.fail(f"the usrsctp peer is required here, but {reason}", pytrace=False)
    pytest.skip(f"needs usrsctp: {reason}")
