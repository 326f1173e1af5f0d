"""What a program sees of paths, and sets for one of them."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

import pytest
from support.simulated import A2, Z2, A, Z, two_homed

import asyncsctp
from asyncsctp import Config, PathChanged, PathState, PeerAddressChanged
from asyncsctp.udp import options as udp_options
from asyncsctp.udp.datagram import Address

from .conftest import Run


async def swallow(assoc: asyncsctp.Association) -> None:
    async for _ in assoc:
        pass


def by_address(assoc: asyncsctp.Association) -> dict[str, asyncsctp.Path]:
    return {path.address: path for path in assoc.paths}


def test_a_snapshot_has_the_settings_in_force() -> None:
    async def main() -> None:
        config = Config(heartbeat_interval=7.0, path_max_retrans=3, pf_threshold=1, dscp=10)
        async with (
            asyncsctp.serve(swallow, port=5001, local_addrs=[Z, Z2]),
            asyncsctp.connect([Z, Z2], 5001, local_addrs=[A, A2], config=config) as assoc,
        ):
            for path in assoc.paths:
                assert (path.heartbeat_interval, path.max_retrans, path.pf_threshold, path.dscp) == (7.0, 3, 1, 10)
            assoc.configure_path(Z2, heartbeat_interval=None, max_retrans=9, pf_threshold=None, mtu=1400, dscp=46)
            assoc.configure(path_max_retrans=4, heartbeat_interval=2.0)
            one, two = assoc.paths
            assert (one.heartbeat_interval, one.max_retrans, one.pf_threshold) == (2.0, 4, 1)
            assert (one.mtu, one.dscp) == (1280, 10)
            assert (two.heartbeat_interval, two.max_retrans, two.pf_threshold) == (None, 9, None)
            assert (two.mtu, two.dscp) == (1400, 46)
            assoc.configure_path(Z2)
            assert assoc.paths == [one, two]

    two_homed().run(main())


def test_arguments_that_can_not_be() -> None:
    async def main() -> None:
        async with asyncsctp.serve(swallow, Z, 5001), asyncsctp.connect(Z, 5001, local_addrs=[A]) as assoc:
            before = assoc.paths
            with pytest.raises(ValueError, match=r"one of the peer's addresses \(10.0.0.2\)"):
                assoc.configure_path("10.0.0.9", mtu=1400)
            with pytest.raises(TypeError, match="addr"):
                assoc.configure_path(5)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="max_retrans must be between 0 and 1000, not -1"):
                assoc.configure_path(Z, max_retrans=-1)
            with pytest.raises(TypeError, match="heartbeat_interval must be a number or None"):
                assoc.configure_path(Z, heartbeat_interval="often")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="dscp can be changed for each path: configure_path"):
                assoc.configure(dscp=46)  # type: ignore[call-arg]
            assert assoc.paths == before
        with pytest.raises(asyncsctp.AssociationClosed):
            assoc.configure_path(Z, mtu=1400)

    two_homed().run(main())


def test_events_tell_of_a_path_that_may_have_failed_and_of_the_next_primary() -> None:
    network = two_homed()

    async def main() -> None:
        config = Config(pf_threshold=0, primary_switchover=0, heartbeat_interval=1.0)
        async with (
            asyncsctp.serve(swallow, port=5001, local_addrs=[Z, Z2]),
            asyncsctp.connect([Z, Z2], 5001, local_addrs=[A, A2], config=config) as assoc,
        ):
            events = assoc.events()
            await assoc.send(b"through")
            await assoc.flush()
            for local in (A, A2):
                network.cut(local, Z)
            await assoc.send(b"lost at first")
            await assoc.flush()
            assert by_address(assoc)[Z].state is PathState.POTENTIALLY_FAILED
            assert assoc.peer == Z2
            for local in (A, A2):
                network.heal(local, Z)
            seen = [await anext(events) for _ in range(4)]
            while PathChanged(Z, PathState.ACTIVE) not in seen:
                seen.append(await anext(events))
            told = [event for event in seen if isinstance(event, (PathChanged, PeerAddressChanged))]
            assert told == [
                PathChanged(Z, PathState.POTENTIALLY_FAILED),
                PeerAddressChanged(Z2, "primary"),
                PathChanged(Z, PathState.ACTIVE),
            ]
            assert assoc.peer == Z2

    network.run(main())


def test_a_code_point_is_on_the_packets_of_its_path_alone() -> None:
    network = two_homed()
    network.packets = []

    async def main() -> None:
        async with (
            asyncsctp.serve(swallow, port=5001, local_addrs=[Z, Z2]),
            asyncsctp.connect([Z, Z2], 5001, local_addrs=[A, A2]) as assoc,
        ):
            await assoc.heartbeat(Z2)  # nothing else is under way
            assoc.configure_path(Z2, dscp=46)
            assert network.packets is not None
            network.packets.clear()
            await assoc.send(b"plain")
            await assoc.send(b"expedited", path=Z2)
            await assoc.heartbeat(Z2)
            await assoc.heartbeat(Z)
            await assoc.flush()

    network.run(main())
    marks = {(record.destination[0], record.dscp) for record in network.packets or [] if record.source[0] in (A, A2)}
    assert marks == {(Z, -1), (Z2, 46)}


def test_a_path_that_has_become_narrow_gets_what_was_cut_before_in_fragments() -> None:
    network = two_homed()

    async def main() -> None:
        async with (
            asyncsctp.serve(swallow, Z, 5001),
            asyncsctp.connect(Z, 5001, local_addrs=[A], config=Config(mtu=1500)) as assoc,
        ):
            network.link(A, Z, mtu=700)  # silently
            await assoc.send(bytes(5000))
            assoc.configure_path(Z, mtu=700)
            async with asyncio.timeout(10):
                await assoc.flush()
            assoc.configure_path(Z, mtu=1500)
            network.link(A, Z, mtu=None)
            await assoc.send(bytes(5000))
            await assoc.flush()

    network.run(main())


class Relay:
    """Stands between a client and a server on loopback, and notes the traffic class of what the client sends."""

    def __init__(self, server: Address) -> None:
        self.seen: list[int] = []
        self._server = server
        self._client: Address | None = None
        self._front = udp_options.open_socket(("127.0.0.1", 0), 1 << 20)
        self._back = udp_options.open_socket(("127.0.0.1", 0), 1 << 20)
        self._kind = udp_options.report_traffic_class(self._front)
        self.udp_port: int = self._front.getsockname()[1]
        loop = asyncio.get_running_loop()
        loop.add_reader(self._front, self._forth)
        loop.add_reader(self._back, self._come_back)

    def _forth(self) -> None:
        with suppress(BlockingIOError):
            data, ancillary, _, self._client = self._front.recvmsg(65536, 100)
            self.seen += [int.from_bytes(value, sys.byteorder) for _, kind, value in ancillary if kind == self._kind]
            self._back.sendto(data, self._server)

    def _come_back(self) -> None:
        with suppress(BlockingIOError):
            data, _ = self._back.recvfrom(65536)
            if self._client is not None:
                self._front.sendto(data, self._client)

    def close(self) -> None:
        for sock in (self._front, self._back):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()


@pytest.mark.skipif(not hasattr(socket.socket, "recvmsg"), reason="the traffic class comes as ancillary data")
def test_a_code_point_gets_onto_the_wire(run: Run) -> None:
    async def main() -> None:
        async with asyncsctp.serve(swallow, "127.0.0.1", 5001, udp_port=0) as server:
            relay = Relay(("127.0.0.1", server.udp_port))
            config = Config(ecn=False, dscp=8)
            async with asyncsctp.connect("127.0.0.1", 5001, udp_port=relay.udp_port, config=config) as assoc:
                await assoc.send(b"as the endpoint says")
                await assoc.flush()
                assert set(relay.seen) == {8 << 2}
                relay.seen.clear()
                assoc.configure_path("127.0.0.1", dscp=46)
                for number in range(20):
                    await assoc.send(bytes(1000), stream=number % 3)
                await assoc.heartbeat()
                await assoc.flush()
                assert set(relay.seen) == {46 << 2}
            relay.close()

    run(main())
