"""Which UDP port a client has that names its SCTP port (RFC 6951 section 5.4; draft udp-encaps-cons section 4)."""

from __future__ import annotations

import asyncio
from typing import Any

from support.simulated import A, Z, two_hosts

import asyncsctp
from asyncsctp.testing.host import Host


def test_a_client_that_was_killed_comes_back_from_its_port() -> None:
    """The server has its association still, and takes a new INIT from the same UDP port for a restart (section 5.2)."""
    network = two_hosts()
    got: list[bytes] = []

    async def handler(association: asyncsctp.Association) -> None:
        got.extend([message.data async for message in association])

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, port=5001) as server:
            killed = await asyncsctp.connect(Z, 5001, local_addrs=[A], local_port=4000)
            await killed.send(b"first", stream=1)
            await killed.flush()
            network.cut(A, Z)
            killed.abort()  # nobody hears of it
            await asyncio.sleep(1)
            network.heal(A, Z)
            assert len(server.associations) == 1
            async with asyncsctp.connect(Z, 5001, local_addrs=[A], local_port=4000) as association:
                await association.send(b"second", stream=1)
                await association.flush()
                assert server.associations[0].stats.restarts == 1
        assert got == [b"first", b"second"]

    network.run(main())


def test_the_udp_port_has_the_number_of_the_sctp_port_where_it_is_free() -> None:
    network = two_hosts()

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[A], port=4000) as first,
            asyncsctp.open_endpoint(local_addrs=[A], port=4000) as second,
            asyncsctp.open_endpoint(local_addrs=[A], port=4000, udp_port=7000) as named,
            asyncsctp.open_endpoint(local_addrs=[A]) as neither,
        ):
            assert first.udp_port == 4000
            assert second.udp_port not in (0, 4000)
            assert named.udp_port == 7000
            assert neither.udp_port == neither.port  # of the two, the UDP port is chosen first

    network.run(main())


def test_a_port_that_is_for_the_privileged_is_not_insisted_on(monkeypatch: Any) -> None:
    network = two_hosts()
    bind = Host.bind

    def guarded(self: Any, address: str, number: int, *rest: Any) -> Any:
        if 0 < number < 1024:
            raise PermissionError(13, "for root alone")
        return bind(self, address, number, *rest)

    monkeypatch.setattr(Host, "bind", guarded)

    async def main() -> None:
        async with asyncsctp.open_endpoint(local_addrs=[A], port=36) as endpoint:
            assert endpoint.port == 36
            assert endpoint.udp_port > 1024

    network.run(main())
