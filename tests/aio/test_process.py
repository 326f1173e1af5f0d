"""Programs as a user runs them: what they leave behind when they end without closing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

FORGETFUL = """
import asyncio, asyncsctp, sys

async def peer(association):
    try:
        async for _ in association:
            pass
    except asyncsctp.AssociationAborted as exc:
        print("peer was told", exc.by_peer, flush=True)

async def main():
    server = await asyncsctp.serve(peer, "127.0.0.1", 5001, udp_port=0)
    child = await asyncio.create_subprocess_exec(
        sys.executable, *FLAGS, "-c", CHILD, str(server.udp_port), stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    print("child said", errors.decode(), flush=True)
    await asyncio.sleep(0.2)
    print("left", len(server.associations), flush=True)
    server.close()
    await server.wait_closed()

asyncio.run(main())
"""

CHILD = """
import asyncio, asyncsctp, sys

async def main():
    association = await asyncsctp.connect("127.0.0.1", 5001, udp_port=int(sys.argv[1]))
    reader, writer = association.open_stream()
    listener = association.events()
    await writer.send(b"hello")
    waiting = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0.05)
    {ending}

{run}(main())
"""


@pytest.mark.process
@pytest.mark.parametrize("run", ["asyncio.run", "asyncsctp.run"])
@pytest.mark.parametrize("ending", ["pass", "raise KeyboardInterrupt", "sys.exit(3)", "raise asyncio.CancelledError"])
def test_a_program_that_does_not_close_tells_its_peer_and_warns_of_nothing(run: str, ending: str) -> None:
    flags = ["-X", "dev", "-W", "error"]
    child = textwrap.dedent(CHILD).format(run=run, ending=ending)
    program = f"FLAGS = {flags!r}\nCHILD = {child!r}\n{FORGETFUL}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "peer was told True" in done.stdout
    assert "left 0" in done.stdout
    assert "Warning" not in done.stdout
    assert "never retrieved" not in done.stdout
    assert "was destroyed" not in done.stdout
