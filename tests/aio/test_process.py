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


FORKING = """
import asyncio, asyncsctp, os, sys
from asyncsctp import Config

async def echo(association):
    async for message in association:
        await association.send(message.data)

async def ask(association, text):
    await association.send(text)
    async with asyncio.timeout(5):
        assert (await association.recv()).data == text

async def main():
    config = Config(auto_asconf={auto_asconf}, dynamic_addresses={auto_asconf}, auth={auto_asconf})
    async with asyncsctp.serve(echo, "127.0.0.1", 5001, udp_port=0, config=config) as server:
        async with asyncsctp.connect("127.0.0.1", 5001, udp_port=server.udp_port, config=config) as association:
            await ask(association, b"before")
            child = os.fork()
            if not child:
                {ending}
            for number in range(50):
                await ask(association, b"%d" % number)
                await asyncio.sleep(0.01)
            while not os.waitpid(child, os.WNOHANG)[0]:
                await asyncio.sleep(0.01)
            await ask(association, b"after")
            assert association.stats.messages_received == 52
            assert association.state is asyncsctp.State.ESTABLISHED
    print("all went well", flush=True)

{run}(main())
"""

ENDINGS = {
    "exit": "sys.exit(3)",
    "error": "raise ZeroDivisionError",
    "close": "association.abort(); server.close(); await server.wait_closed(); sys.exit(0)",
    "live on": "await asyncio.sleep(0.5); sys.exit(0)",
}


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("run", ["asyncio.run", "import uvloop; uvloop.run"])
@pytest.mark.parametrize(
    ("ending", "auto_asconf"), [("exit", False), ("error", False), ("close", True), ("live on", False)]
)
def test_a_forked_child_has_no_part_in_the_associations_of_its_parent(run: str, ending: str, auto_asconf: bool) -> None:
    """Nor does what it does with its copy of them: it may end as it likes."""
    program = textwrap.dedent(FORKING).format(run=run, ending=ENDINGS[ending], auto_asconf=auto_asconf)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all went well\n"
