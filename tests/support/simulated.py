"""Two hosts on a simulated network, and both ends of an association of the public interface, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncsctp
from asyncsctp import Config
from asyncsctp.testing import LinkSettings, Network

A, A2, A3 = "10.0.0.1", "10.1.0.1", "10.2.0.1"
Z, Z2 = "10.0.0.2", "10.1.0.2"

Ends = Callable[[asyncsctp.Association, asyncsctp.Association], Awaitable[None]]


def two_hosts(seed: int = 1, *, a: Sequence[str] = (A,), z: Sequence[str] = (Z,), **link: Any) -> Network:
    """Return a network of the hosts "a" and "z"; `link`: fields of the `LinkSettings` of all links."""
    network = Network(seed, link=LinkSettings(**link))
    network.host("a", *a)
    network.host("z", *z)
    return network


def two_homed(seed: int = 1, **link: Any) -> Network:
    """Return the network of `two_hosts` with two addresses on either side."""
    return two_hosts(seed, a=(A, A2), z=(Z, Z2), **link)


def run_ends(
    test: Ends,
    network: Network | None = None,
    *,
    config: Config | None = None,
    z_config: Config | None = None,
    z_addrs: Sequence[str] = (Z,),
    timeout: float = 3600.0,
) -> None:
    """Call `test` with both ends of an association from A to Z; raise `TimeoutError` after `timeout` virtual seconds.

    Without `z_config` the accepting end has `config` too.
    """

    async def main() -> None:
        async with asyncsctp.open_endpoint(
            local_addrs=z_addrs, port=5001, udp_port=9899, config=z_config or config
        ) as end:
            accepting = asyncio.ensure_future(end.accept())
            async with asyncsctp.connect(Z, 5001, local_addrs=[A], config=config) as ours:
                theirs = await accepting
                async with asyncio.timeout(timeout):
                    await test(ours, theirs)

    (network or two_hosts()).run(main())
