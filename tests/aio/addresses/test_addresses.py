"""Addresses that are added and removed at run time: sockets, waits and errors, on virtual time.

What the peer is asked, and answers, is played by hand.
"""

from __future__ import annotations

import asyncio

import pytest
from support.asconf_stub import Request, play
from support.narrowing import so_far
from support.simulated import A2, A3, Z2, A, Ends, Z, run_ends, two_hosts

import asyncsctp
from asyncsctp import AsconfError, AssociationClosed, Cause, Config
from asyncsctp.testing import Network
from asyncsctp.wire.constants import ASCONF, CAUSE_UNRECOGNIZED_CHUNK

DYNAMIC = Config(dynamic_addresses=True)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    return play(monkeypatch)


def three_and_two() -> Network:
    return two_hosts(a=(A, A2, A3), z=(Z, Z2))


def run(test: Ends, network: Network | None = None, *, config: Config = DYNAMIC, z_config: Config = DYNAMIC) -> None:
    run_ends(test, network or three_and_two(), config=config, z_config=z_config)


async def settle() -> None:
    await asyncio.sleep(1.0)


def ports_of(network: Network, host: str) -> list[str]:
    """The addresses that are bound at a host."""
    return [address for address, _ in network.hosts[host]._ports]


def test_an_address_is_bound_and_used_once_the_peer_has_agreed(requests: list[Request]) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        assert so_far(a.local_addrs) == (A,)
        waiting = asyncio.ensure_future(a.add_local_address(A2))
        await settle()
        assert not waiting.done()
        assert [request.asked for request in requests] == [("add", A2)]
        assert ports_of(network, "a") == [A, A2]
        requests[0].agree()
        await waiting
        assert so_far(a.local_addrs) == (A, A2)
        with pytest.raises(ValueError, match="already"):
            await a.add_local_address(A2)

        waiting = asyncio.ensure_future(a.request_peer_primary(A2))
        await settle()
        assert requests[1].asked == ("primary", A2)
        requests[1].agree()
        await waiting

        waiting = asyncio.ensure_future(a.remove_local_address(A))
        await settle()
        assert requests[2].asked == ("remove", A)
        assert ports_of(network, "a") == [A, A2]
        requests[2].agree()
        await waiting
        await settle()
        assert ports_of(network, "a") == [A2]
        assert a.local_addrs == (A2,)
        with pytest.raises(ValueError, match="last"):
            await a.remove_local_address(A2)

    run(test, network)


def test_a_refusal_gives_the_causes_and_the_socket_goes(requests: list[Request]) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        waiting = asyncio.ensure_future(a.add_local_address(A2))
        await settle()
        causes = (Cause(0xA1, b"", "the peer has no room for it"),)
        requests[0].refuse(*causes)
        with pytest.raises(AsconfError, match="no room") as caught:
            await waiting
        assert caught.value.causes == causes
        await settle()
        assert ports_of(network, "a") == [A]
        assert a.local_addrs == (A,)
        again = asyncio.ensure_future(a.add_local_address(A2))
        await settle()
        requests[1].agree()
        await again
        assert ports_of(network, "a") == [A, A2]
        refused = asyncio.ensure_future(a.remove_local_address(A2))
        await settle()
        requests[2].refuse()
        with pytest.raises(AsconfError, match="refused"):
            await refused
        await settle()
        assert ports_of(network, "a") == [A, A2]

    run(test, network)


@pytest.mark.parametrize("agrees", [True, False])
def test_cancelling_the_wait_withdraws_nothing_and_leaks_nothing(requests: list[Request], agrees: bool) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for _ in range(3):
            requests.clear()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(a.add_local_address(A2), 1.0)
            with pytest.raises(ValueError, match="already"):
                await a.add_local_address(A2)
            assert len(requests) == 1
            assert ports_of(network, "a") == [A, A2]
            if not agrees:
                requests[0].refuse()
                await settle()
                assert ports_of(network, "a") == [A]
                continue
            requests[0].agree()
            await settle()
            assert a.local_addrs == (A, A2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(a.remove_local_address(A2), 1.0)
            requests[1].agree()
            await settle()
            assert ports_of(network, "a") == [A]

    run(test, network)


def test_an_association_that_ends_meanwhile_leaves_no_socket(requests: list[Request]) -> None:
    network = three_and_two()

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=DYNAMIC) as z,
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, udp_port=9899, config=DYNAMIC) as a,
        ):
            ours = await a.connect(Z, 5001)
            waiting = asyncio.ensure_future(ours.add_local_address(A2))
            await settle()
            assert so_far(a.local_addrs) == (A, A2)
            (await z.accept()).abort()
            with pytest.raises(asyncsctp.AssociationAborted):
                await waiting
            await settle()
            assert a.local_addrs == (A,)
            with pytest.raises(asyncsctp.AssociationAborted):
                await ours.add_local_address(A2)

    network.run(main())


def test_a_socket_goes_with_the_last_association_that_has_the_address(requests: list[Request]) -> None:
    network = three_and_two()

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=DYNAMIC),
            asyncsctp.open_endpoint(local_addrs=[Z2], port=5001, udp_port=9899, config=DYNAMIC),
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, udp_port=9899, config=DYNAMIC) as a,
        ):
            first, second = await a.connect(Z, 5001), await a.connect(Z2, 5001)
            waiting = asyncio.gather(first.add_local_address(A2), second.add_local_address(A2))
            await settle()
            for request in requests:
                request.agree()
            await waiting
            assert so_far(a.local_addrs) == (A, A2)
            removing = asyncio.ensure_future(first.remove_local_address(A2))
            await settle()
            requests[2].agree()
            await removing
            await settle()
            assert so_far(a.local_addrs) == (A, A2)
            await second.close()
            await settle()
            assert so_far(a.local_addrs) == (A,)
            # What the endpoint listens at stays, whoever of its associations gives it up.
            third = await a.connect(Z2, 5001)
            waiting_too = asyncio.ensure_future(third.add_local_address(A3))
            await settle()
            requests[3].agree()
            await waiting_too
            removing = asyncio.ensure_future(third.remove_local_address(A))
            await settle()
            requests[4].agree()
            await removing
            await settle()
            assert a.local_addrs == (A, A3)

    network.run(main())


def test_wrong_arguments(requests: list[Request]) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for change in (a.add_local_address, a.remove_local_address, a.request_peer_primary):
            for no_string in (None, 3, b"10.0.0.1", ["10.0.0.1"]):
                with pytest.raises(TypeError, match="addr"):
                    await change(no_string)  # type: ignore[arg-type]
            for wrong in ("", "somewhere", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"):
                with pytest.raises(ValueError, match="addr"):
                    await change(wrong)
        with pytest.raises(ValueError, match="already"):
            await a.add_local_address(A)
        for change in (a.remove_local_address, a.request_peer_primary):
            with pytest.raises(ValueError, match="one of our addresses"):
                await change(A2)
        with pytest.raises(ValueError, match="last"):
            await a.remove_local_address(A)
        with pytest.raises(OSError):
            await a.add_local_address("10.9.9.9")
        assert not requests
        assert ports_of(network, "a") == [A]

    run(test, network)


def test_without_rfc_5061_nothing_is_asked(requests: list[Request]) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        for change in (a.add_local_address, a.remove_local_address, a.request_peer_primary):
            with pytest.raises(AsconfError, match="not negotiated"):
                await change(A2)
        assert ports_of(network, "a") == [A]

    run(test, network, z_config=Config())


def test_an_endpoint_changes_for_all_its_associations_and_those_to_come(requests: list[Request]) -> None:
    network = three_and_two()
    network.host("y", "10.0.0.3")

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=DYNAMIC),
            asyncsctp.open_endpoint(local_addrs=[Z2], port=5001, udp_port=9899),
            asyncsctp.open_endpoint(local_addrs=["10.0.0.3"], port=5001, udp_port=9899, config=DYNAMIC) as y,
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, udp_port=9899, config=DYNAMIC) as a,
        ):
            able, unable = await a.connect(Z, 5001), await a.connect(Z2, 5001)
            for wrong, error in ((A, ValueError), ("ff02::1", ValueError), (3, TypeError), ("10.9.9.9", OSError)):
                with pytest.raises(error):
                    await a.add_local_address(wrong)  # type: ignore[arg-type]
            adding = asyncio.ensure_future(a.add_local_address(A2))
            await settle()
            assert [request.asked for request in requests] == [("add", A2)]
            assert not adding.done()
            requests[0].agree()
            await adding
            assert so_far(a.local_addrs) == so_far(able.local_addrs) == (A, A2)
            assert unable.local_addrs == (A,)
            to_come = await a.connect("10.0.0.3", 5001)
            assert to_come.local_addrs == (A, A2)
            assert [path.address for path in (await y.accept()).paths] == [A, A2]

            removing = asyncio.ensure_future(a.remove_local_address(A))
            await settle()
            assert [request.asked for request in requests[1:]] == [("remove", A)] * 2
            requests[1].agree()
            requests[2].refuse()
            await removing
            await settle()
            assert able.local_addrs == (A2,)
            assert so_far(a.local_addrs) == (A, A2)  # two associations have it still
            await to_come.close()
            await settle()
            assert so_far(a.local_addrs) == (A, A2)
            await unable.close()
            await settle()
            assert a.local_addrs == (A2,)
            with pytest.raises(ValueError, match="last"):
                await a.remove_local_address(A2)
            with pytest.raises(ValueError, match="one of the endpoint's"):
                await a.remove_local_address(A)

    network.run(main())


def test_an_endpoint_asks_the_others_where_one_association_can_not_do_without_the_address() -> None:
    network = Network(1)
    network.host("a", A, "fd00::1")
    network.host("z", Z, "fd00::2")

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z, "fd00::2"], port=5001, udp_port=9899, config=DYNAMIC) as z,
            asyncsctp.connect(Z, 5001, local_addrs=A, config=DYNAMIC),
            asyncsctp.connect("fd00::2", 5001, local_addrs="fd00::1", config=DYNAMIC),
        ):
            stuck, able = await z.accept(), await z.accept()
            await z.remove_local_address(Z)
            assert stuck.local_addrs == (Z, "fd00::2")
            assert able.local_addrs == ("fd00::2",)
            assert await stuck.heartbeat() > 0  # it has the address still

    network.run(main())


@pytest.mark.parametrize("is_added", [False, True])
def test_an_endpoint_asks_the_others_where_one_peer_has_said_that_it_does_not_understand(is_added: bool) -> None:
    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[A, A2], port=5001, udp_port=9899, config=DYNAMIC) as a,
            asyncsctp.connect(A, 5001, local_addrs=Z, config=DYNAMIC),
            asyncsctp.connect(A, 5001, local_addrs=Z2, config=DYNAMIC),
        ):
            unable, able = await a.accept(), await a.accept()
            unable._session.core.asconf.on_error((Cause(CAUSE_UNRECOGNIZED_CHUNK, bytes([ASCONF])),))
            await (a.add_local_address(A3) if is_added else a.remove_local_address(A2))
            assert unable.local_addrs == (A, A2)
            assert able.local_addrs == ((A, A2, A3) if is_added else (A,))

    three_and_two().run(main())


def test_a_server_passes_it_on(requests: list[Request]) -> None:
    network = three_and_two()

    async def handler(association: asyncsctp.Association) -> None:
        await association.wait_closed()

    async def main() -> None:
        async with asyncsctp.serve(handler, Z, 5001, config=DYNAMIC) as server:
            await server.add_local_address(Z2)
            assert so_far(server.endpoint.local_addrs) == (Z, Z2)
            async with asyncsctp.connect(Z2, 5001, local_addrs=A) as assoc:
                assert {path.address for path in assoc.paths} == {Z, Z2}
            await settle()
            await server.remove_local_address(Z)
            assert server.endpoint.local_addrs == (Z2,)

    network.run(main())


@pytest.mark.parametrize("at_once", [False, True])
def test_a_closed_endpoint_takes_no_address_and_opens_no_socket(requests: list[Request], at_once: bool) -> None:
    network = three_and_two()

    async def main() -> None:
        server = await asyncsctp.serve(lambda association: association.wait_closed(), Z, 5001, config=DYNAMIC)
        adding = asyncio.ensure_future(server.add_local_address(Z2)) if at_once else None
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        if adding is not None:
            await asyncio.wait([adding])
            if adding.exception() is not None:
                assert isinstance(adding.exception(), AssociationClosed)
        for changing in (server.add_local_address(Z2), server.remove_local_address(Z)):
            with pytest.raises(AssociationClosed, match="endpoint has been closed"):
                await changing
        await settle()
        assert ports_of(network, "z") == []

    network.run(main())


def test_an_association_that_is_being_set_up_is_told_afterwards(requests: list[Request]) -> None:
    network = three_and_two()

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, udp_port=9899, config=DYNAMIC),
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, udp_port=9899, config=DYNAMIC) as a,
        ):
            connecting = asyncio.ensure_future(a.connect(Z, 5001).__aenter__())
            await asyncio.sleep(0.001)
            await a.add_local_address(A2)
            assert not requests
            await connecting
            await settle()
            assert [request.asked for request in requests] == [("add", A2)]
            requests[0].agree()

    network.run(main())


def test_an_endpoint_at_all_addresses_needs_no_socket(requests: list[Request]) -> None:
    network = three_and_two()

    async def main() -> None:
        with network.hosts["a"].active():
            a = await asyncsctp.open_endpoint(port=5001, udp_port=9899, config=DYNAMIC)
        async with a, asyncsctp.open_endpoint(local_addrs=[Z, Z2], port=5001, udp_port=9899, config=DYNAMIC) as z:
            ours = await a.connect(Z, 5001)
            theirs = await z.accept()
            assert ours.local_addrs == (A,)
            adding = asyncio.ensure_future(ours.add_local_address(A2))
            await settle()
            requests[0].agree()
            await adding
            assert a.local_addrs == ("0.0.0.0", "::")
            with pytest.raises(OSError):
                await ours.add_local_address("10.9.9.9")
            # What is sent from one of them leaves there.
            network.packets = []
            ours._session.core.path_manager.local.rotate(ours._session.core.path_manager.primary)
            await ours.send(b"from the second")
            await settle()
            assert network.packets[0].source[0] == A2
            theirs.abort()

    network.run(main())


def test_no_data_is_lost_with_a_socket_that_goes(requests: list[Request]) -> None:
    network = three_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        async def write() -> None:
            for number in range(2000):
                await a.send(b"%d" % number * 100)

        writing = asyncio.ensure_future(write())
        adding = asyncio.ensure_future(a.add_local_address(A2))
        await asyncio.sleep(0.1)
        z._session.core.path_manager.add(A2, confirmed=True)
        requests[0].agree()
        await adding
        a._session.core.path_manager.local.rotate(a._session.core.path_manager.primary)
        removing = asyncio.ensure_future(a.remove_local_address(A))
        await asyncio.sleep(0.1)
        z._session.core.set_primary(A2)
        requests[1].agree()
        await removing
        assert [(await z.recv()).data for _ in range(2000)] == [b"%d" % number * 100 for number in range(2000)]
        await writing

    run(test, network)
