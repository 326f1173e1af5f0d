"""Addresses that follow those of the machine: a simulated host gets and loses them, on virtual time.

What the peer answers is played by hand.
"""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.asconf_stub import Request, play
from support.narrowing import so_far
from support.simulated import A2, A3, Z2, A, Ends, Z, run_ends, two_hosts

import asyncsctp
from asyncsctp import Config
from asyncsctp.testing import Host, Network

DYNAMIC = Config(dynamic_addresses=True)
AUTO = Config(dynamic_addresses=True, auto_asconf=True)


def one_and_two() -> tuple[Network, Host]:
    """Return the network, and its host A, whose addresses change."""
    network = two_hosts(z=(Z, Z2))
    return network, network.hosts["a"]


def run(network: Network, test: Ends, *, config: Config = AUTO, z_config: Config = DYNAMIC) -> None:
    async def and_abort(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await test(a, z)
        a.abort()

    run_ends(and_abort, network, config=config, z_config=z_config, z_addrs=(Z, Z2), timeout=36000.0)


async def settle() -> None:
    await asyncio.sleep(5.0)


def asked(requests: list[Request]) -> list[tuple[str, ...]]:
    return [request.asked for request in requests]


def test_what_comes_is_added_and_what_goes_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch, agrees=True)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await settle()
        assert asked(requests) == []
        network.add_address(host, A2)
        await settle()
        assert asked(requests) == [("add", A2)]
        assert so_far(a.local_addrs) == (A, A2)
        network.remove_address(host, A)
        await settle()
        assert asked(requests[1:]) == [("remove", A)]
        assert so_far(a.local_addrs) == (A2,)
        assert [address for address, _ in host._ports] == [A2]
        network.add_address(host, A)
        await settle()
        assert a.local_addrs == (A2, A)

    run(network, test)


def test_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, A2)
        network.add_address(host, A3)
        await settle()
        assert asked(requests) == [("add", A2)]
        network.remove_address(host, A)
        await settle()
        assert len(requests) == 1
        requests[0].agree()
        await settle()
        assert asked(requests[1:]) == [("remove", A)]
        requests[1].agree()
        await settle()
        assert asked(requests[2:]) == [("add", A3)]

    run(network, test)


def test_the_only_address_is_changed_when_there_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch, agrees=True)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.remove_address(host, A)
        await asyncio.sleep(30.0)
        assert asked(requests) == []
        assert a.local_addrs == (A,)
        network.add_address(host, A2)
        await settle()
        assert asked(requests) == [("change", A2, A)]
        assert a.local_addrs == (A2,)
        assert [address for address, _ in host._ports] == [A2]
        network.remove_address(host, A2)
        network.add_address(host, A)
        await settle()
        assert asked(requests[1:]) == [("change", A, A2)]

    run(network, test)


def test_what_was_left_aside_is_taken_when_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    network.add_address(host, A2)
    requests = play(monkeypatch, agrees=True)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        await settle()
        assert asked(requests) == []
        network.remove_address(host, A)
        await settle()
        assert asked(requests) == [("change", A2, A)]

    run(network, test)


def test_what_comes_and_goes_within_a_moment_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, A2)
        network.remove_address(host, A)
        await asyncio.sleep(0.1)
        network.remove_address(host, A2)
        network.add_address(host, A)
        await settle()
        assert asked(requests) == []

    run(network, test)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1", "2001:db8::1", "169.254.1.1"])
def test_what_the_peer_can_not_reach_is_not_added(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, address)
        await settle()
        assert asked(requests) == []
        assert [address for address, _ in host._ports] == [A]

    run(network, test)


def test_who_refuses_is_asked_again_at_the_next_change(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)
    caplog.set_level(logging.INFO, "asyncsctp")

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, A2)
        await settle()
        requests[0].refuse(reason="no room")
        await settle()
        assert len(requests) == 1
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
            f"{a!r}: not {A2} was added: no room"
        ]
        network.add_address(host, A3)
        await settle()
        assert asked(requests[1:]) == [("add", A2)]
        requests[1].agree()
        await settle()
        assert asked(requests[2:]) == [("add", A3)]

    run(network, test)


def test_what_the_user_removed_does_not_come_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch, agrees=True)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, A2)
        await settle()
        await a.remove_local_address(A2)
        network.add_address(host, A3)
        await settle()
        assert asked(requests) == [("add", A2), ("remove", A2), ("add", A3)]
        await a.add_local_address(A2)
        assert a.local_addrs == (A, A3, A2)

    run(network, test)


def test_a_server_adds_for_all_and_for_those_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch, agrees=True)

    async def main() -> None:
        async with (
            asyncsctp.open_endpoint(local_addrs=[A], port=5001, config=AUTO) as server,
            asyncsctp.open_endpoint(local_addrs=[Z], port=5001, config=DYNAMIC) as able,
            asyncsctp.open_endpoint(local_addrs=[Z2], port=5001) as unable,
        ):
            await able.connect(A, 5001, udp_port=server.udp_port)
            await unable.connect(A, 5001, udp_port=server.udp_port)
            first, second = await server.accept(), await server.accept()
            network.add_address(host, A2)
            await settle()
            assert asked(requests) == [("add", A2)]
            assert server.local_addrs == (A, A2)
            assert {first.local_addrs, second.local_addrs} == {(A,), (A, A2)}
            network.remove_address(host, A)
            await settle()
            assert asked(requests[1:]) == [("remove", A)]
            async with asyncsctp.connect(A2, 5001, udp_port=server.udp_port, local_addrs=[Z]) as late:
                assert [path.address for path in late.paths] == [A2]
                third = await server.accept()
                assert third.local_addrs == (A2,)
            server.abort()
        assert host.on_addresses == []

    network.run(main(), limit=3600)


def test_a_server_at_all_addresses_tells_each_peer_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    network.add_address(host, A2)
    requests = play(monkeypatch, agrees=True)

    async def main() -> None:
        with host.active():
            server = await asyncsctp.open_endpoint(port=5001, config=AUTO)
        async with (
            server,
            asyncsctp.connect(A, 5001, udp_port=server.udp_port, local_addrs=[Z], config=DYNAMIC) as client,
        ):
            ours = await server.accept()
            await settle()
            assert asked(requests) == [("add", A2)]
            assert ours.local_addrs == (A, A2)
            network.add_address(host, A3)
            network.remove_address(host, A)
            await settle()
            assert asked(requests[1:]) == [("remove", A), ("add", A3)]
            assert server.local_addrs == ("0.0.0.0", "::")
            client.abort()

    network.run(main(), limit=3600)


def test_without_it_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        assert host.on_addresses == []
        network.add_address(host, A2)
        await settle()
        assert asked(requests) == []

    run(network, test, config=DYNAMIC)


def test_a_peer_without_rfc_5061_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, host = one_and_two()
    requests = play(monkeypatch)

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.add_address(host, A2)
        await settle()
        assert asked(requests) == []
        await a.send(b"goes on")
        assert (await z.recv()).data == b"goes on"

    run(network, test, z_config=Config())


def test_sending_from_an_address_that_is_gone_ends_nothing() -> None:
    network, host = one_and_two()

    async def test(a: asyncsctp.Association, z: asyncsctp.Association) -> None:
        network.remove_address(host, A)
        await a.send(b"later")
        await asyncio.sleep(2.0)
        assert a.stats.send_failures > 0
        network.add_address(host, A)
        assert (await z.recv()).data == b"later"

    run(network, test, config=Config())
