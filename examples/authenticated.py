"""Shared keys: who does not have them gets nowhere, and they are replaced while data flows.

    python examples/authenticated.py

A server takes DATA and COOKIE ECHO from those alone that have its key (RFC 4895). A client sends readings; after half
of them both sides change to another key, and the old one is deleted, once nothing is under way that needs it. Then come
one client with a wrong key and one with none. Nothing is encrypted: authentication says who sent it, and that is all.
The network is simulated, on virtual time; with real addresses it is the same program without its last lines.
"""

from __future__ import annotations

import argparse
import asyncio

import asyncsctp
from asyncsctp.testing import Network

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
DATA, COOKIE_ECHO = 0, 10  # chunk types
MONDAY, TUESDAY = b"the key of monday", b"the key of tuesday"
CONFIG = asyncsctp.Config(
    auth=True,
    auth_chunks=frozenset({DATA, COOKIE_ECHO}),
    auth_keys={1: MONDAY},
    auth_active_key=1,
    rto_max=2.0,
    init_max_retrans=2,
)
READINGS = 200


async def serve_one(assoc: asyncsctp.Association) -> None:
    """Takes readings, and echoes them. It has the new key from the beginning, and uses it when the peer does."""
    assoc.set_auth_key(2, TUESDAY)
    watching = asyncio.create_task(follow(assoc))
    count = 0
    async for message in assoc:
        count += 1
        await assoc.send(message.data)
    await watching
    print(f"server: {count} readings, {assoc.stats.auth_failures} packets with a wrong key")


async def follow(assoc: asyncsctp.Association) -> None:
    async for event in assoc.events():
        match event:
            case asyncsctp.AuthKeyChanged(key_id, "new"):
                print(f"server: the peer has begun to use key {key_id}")
                assoc.activate_auth_key(key_id)
                assoc.deactivate_auth_key(1)
            case asyncsctp.AuthKeyChanged(key_id, "free"):
                print(f"server: nothing is sent with key {key_id} any more")


async def send_readings(assoc: asyncsctp.Association) -> None:
    assoc.set_auth_key(2, TUESDAY)
    events = assoc.events()
    for number in range(READINGS):
        if number == READINGS // 2:
            assoc.activate_auth_key(2)
            assoc.deactivate_auth_key(1)  # what was written with it still leaves with it
        await assoc.send(b"%d" % number)
    answers = [int((await assoc.recv()).data) for _ in range(READINGS)]
    while await anext(events) != asyncsctp.AuthKeyChanged(1, "free"):
        pass
    assoc.delete_auth_key(1)  # what came with it from now on would be dropped
    print(f"client: {len(answers)} answers, in order: {answers == list(range(READINGS))}; key 1 is deleted")


async def main() -> None:
    async with asyncsctp.serve(serve_one, SERVER, 5001, config=CONFIG) as server:
        async with asyncsctp.connect(SERVER, 5001, local_addrs=CLIENT, config=CONFIG) as assoc:
            await send_readings(assoc)
        for name, config in (
            ("a wrong key", CONFIG.replace(auth_keys={1: b"a guess"})),
            ("no key", asyncsctp.Config()),
        ):
            try:
                async with asyncsctp.connect(SERVER, 5001, local_addrs=CLIENT, config=config):
                    print(f"{name}: is let in, which must not be")
            except asyncsctp.SCTPError as exc:
                print(f"{name}: {type(exc).__name__}, {exc}")
        print(f"server: {len(server.associations)} associations are left")


if __name__ == "__main__":
    argparse.ArgumentParser(description="Keys that are replaced while data flows, and peers without.").parse_args()
    network = Network(seed=1)
    network.host("client", CLIENT)
    network.host("server", SERVER)
    network.run(main())
