"""Several workers behind one UDP port: each association stays with one of them, whichever address a packet comes to."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.process
import pickle
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from support.echo_worker import work
from support.ports import free_udp_port

import asyncsctp
from asyncsctp.aio.processes.membership import Neighbour
from asyncsctp.wire import control
from asyncsctp.wire.constants import SHUTDOWN_COMPLETE
from asyncsctp.wire.packet import Seal, read_header

from ..conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers packets")

HERE = ("127.0.0.1", "127.0.0.2")
THERE = ("127.0.0.3", "127.0.0.4")
WORKERS = 4
UDP_SEGMENT = 103
QUICK = asyncsctp.Config(rto_initial=0.2, rto_min=0.1, rto_max=1.0, sack_delay=0.05)


async def meet(group: asyncsctp.WorkerGroup, stack: AsyncExitStack) -> asyncsctp.Association:
    """A multihomed association with whichever worker it comes to, both of its paths known to work."""
    association = await stack.enter_async_context(
        asyncsctp.connect(HERE, group.port, udp_port=group.udp_port, local_addrs=THERE, config=QUICK)
    )
    await association.heartbeat(HERE[1])
    return association


async def ask(association: asyncsctp.Association, path: str) -> list[bytes]:
    """What the worker says to a message that goes to this address of it."""
    await association.send(b"who?", path=path)
    return (await association.recv()).data.split()


class Workers:
    """Servers that are all in this process."""

    def __init__(self) -> None:
        self.servers: dict[int, asyncsctp.Server] = {}

    def answer(self, index: int) -> Callable[[asyncsctp.Association], Coroutine[object, object, None]]:
        async def handler(association: asyncsctp.Association) -> None:
            with suppress(asyncsctp.SCTPError):
                async for message in association:
                    await association.send(b"%d %s" % (index, message.data))

        return handler

    def number_of(self, index: int) -> int:
        membership = self.servers[index].endpoint._membership
        assert isinstance(membership, Neighbour)
        return membership._number

    @property
    def strays(self) -> int:
        return sum(server.endpoint.stats.handed_over for server in self.servers.values())

    async def close(self) -> None:
        for server in self.servers.values():
            server.close()
            await server.wait_closed()


@asynccontextmanager
async def in_slots(group: asyncsctp.WorkerGroup) -> AsyncIterator[Workers]:
    workers = Workers()
    for slot in group.slots:
        workers.servers[slot.index] = await asyncsctp.serve(workers.answer(slot.index), reuse_port=slot, config=QUICK)
    try:
        yield workers
    finally:
        await workers.close()


@pytest.fixture
def group() -> Iterator[asyncsctp.WorkerGroup]:
    with asyncsctp.WorkerGroup(HERE, 5001, udp_port=0, workers=WORKERS) as group:
        yield group


# In one process.


def test_both_paths_of_an_association_lead_to_one_worker(run: Run, group: asyncsctp.WorkerGroup) -> None:
    async def main() -> None:
        async with in_slots(group) as workers, AsyncExitStack() as stack:
            used: set[bytes] = set()
            while len(used) < WORKERS:
                association = await meet(group, stack)
                who = {(await ask(association, path))[0] for path in (*HERE, *HERE)}
                assert len(who) == 1
                used |= who
            assert workers.strays == 0

    run(main())


def test_a_worker_can_connect_too(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """Its INIT bears a tag of its class, and so do the answers."""

    async def main() -> None:
        async with in_slots(group) as workers, AsyncExitStack() as stack:
            for index, server in workers.servers.items():
                other = await stack.enter_async_context(
                    asyncsctp.serve(workers.answer(10 + index), local_addrs=THERE, port=7000, udp_port=0)
                )
                association = await stack.enter_async_context(
                    server.endpoint.connect(THERE, 7000, udp_port=other.udp_port)
                )
                await association.send(b"hello")
                assert (await association.recv()).data == b"%d hello" % (10 + index)
                await association.close()
                await stack.pop_all().aclose()
            assert workers.strays == 0

    run(main())


def test_a_train_for_several_workers_is_sorted(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """The kernel looks at its first packet alone. A host with one UDP port for all sends such trains (RFC 6951)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with in_slots(group) as workers:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                tags = [1002, 1000, 1001, 1003]
                packets = [Seal(6000, group.port, tag).pack(control.pack_shutdown_ack()) for tag in tags]
                peer.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(packets[0]))
                try:
                    peer.sendto(b"".join(packets), (HERE[0], group.udp_port))
                except OSError as exc:
                    pytest.skip(f"no UDP_SEGMENT here: {exc}")
                answers = [await loop.sock_recv(peer, 65536) for _ in tags]
            # RFC 9260 section 8.4 rule 5, each by the worker of the tag.
            assert sorted(read_header(answer)[2] for answer in answers) == sorted(tags)
            assert {answer[12] for answer in answers} == {SHUTDOWN_COMPLETE}
            assert workers.servers[2].endpoint.stats.handed_over == 3
            assert [server.endpoint.stats.out_of_the_blue for server in workers.servers.values()] == [1, 1, 1, 1]

    run(main())


def test_the_abort_of_a_peer_that_forgot_all_reaches_its_worker(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """RFC 9260 section 8.5.1 B: from whichever of its addresses, though the tag is not the worker's."""

    async def main() -> None:
        async with in_slots(group) as workers, AsyncExitStack() as stack:
            for _ in range(8):
                association = await meet(group, stack)
                core = association._session.core
                worker = int((await ask(association, HERE[0]))[0])
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                    peer.bind((THERE[1], 0))
                    body = control.pack_abort(reflected=True)
                    packet = Seal(association.local_port, group.port, core.context.local_tag).pack(body)
                    peer.sendto(packet, (HERE[1], group.udp_port))
                (other,) = workers.servers[worker].associations
                with pytest.raises(asyncsctp.AssociationAborted):
                    await other.wait_closed()
                association.abort()

    run(main())


def test_what_comes_for_a_slot_waits_there(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """An INIT that was lost would be sent again after a minute."""

    async def main() -> None:
        config = asyncsctp.Config(rto_initial=60.0)

        async def connect(endpoint: asyncsctp.Endpoint) -> asyncsctp.Association:
            return await endpoint.connect(HERE[0], group.port, udp_port=group.udp_port)

        async with AsyncExitStack() as stack:
            opening = [asyncsctp.open_endpoint(local_addrs=THERE[0], config=config) for _ in range(30)]
            endpoints = [await stack.enter_async_context(each) for each in opening]
            connecting = [asyncio.ensure_future(connect(endpoint)) for endpoint in endpoints]
            await asyncio.sleep(0)  # each of them has begun, and its INIT is sent
            await asyncio.sleep(0)
            assert all(endpoint.associations for endpoint in endpoints)
            async with in_slots(group):
                associations = await asyncio.gather(*connecting)
                assert len({(await ask(association, HERE[0]))[0] for association in associations}) > 1

    run(main())


def test_a_peer_that_lost_its_memory_finds_the_worker_that_remembers_it(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """RFC 9260 section 5.2.4 A: its INIT has no tag, but its address and port are the same."""

    async def main() -> None:
        async with in_slots(group) as workers:
            for port in range(7000, 7012):

                async def connect(udp_port: int, port: int = port) -> asyncsctp.Association:
                    return await asyncsctp.connect(
                        HERE,
                        group.port,
                        udp_port=group.udp_port,
                        local_addrs=THERE,
                        local_port=port,
                        local_udp_port=udp_port,
                        config=QUICK,
                    )

                before = await connect(0)
                worker = int((await ask(before, HERE[0]))[0])
                (other,) = workers.servers[worker].associations
                udp_port = before.get_extra_info("udp_port")
                before._session.engine.sockets.close()  # without a word
                await asyncio.sleep(0)  # the system has its port back
                after = await connect(udp_port)
                assert int((await ask(after, HERE[0]))[0]) == worker
                assert workers.servers[worker].associations == [other]
                assert other.stats.restarts == 1
                await after.close()
                before.abort()

    run(main())


def test_a_slot_serves_again(run: Run, group: asyncsctp.WorkerGroup) -> None:
    async def main() -> None:
        for _ in range(2):
            async with in_slots(group), AsyncExitStack() as stack:
                found: set[bytes] = set()
                while len(found) < WORKERS:
                    found.add((await ask(await meet(group, stack), HERE[1]))[0])

    run(main())


def test_a_worker_that_closes_refuses_nobody(run: Run, group: asyncsctp.WorkerGroup) -> None:
    """The others take its share, until it is gone and has a successor."""

    async def main() -> None:
        async with in_slots(group) as workers, AsyncExitStack() as stack:
            found: dict[bytes, asyncsctp.Association] = {}
            while b"1" not in found:
                association = await meet(group, stack)
                found[(await ask(association, HERE[0]))[0]] = association
            workers.servers[1].close(close_associations=False)
            for _ in range(20):
                assert (await ask(await meet(group, stack), HERE[1]))[0] != b"1"
            assert (await ask(found[b"1"], HERE[1]))[0] == b"1"
            await found[b"1"].close()
            await workers.servers.pop(1).wait_closed()

    run(main())


def test_all_addresses_of_the_machine_and_one_worker(run: Run) -> None:
    async def main() -> None:
        for count in (1, 3):
            with asyncsctp.WorkerGroup(udp_port=0, workers=count) as group:
                assert group.port == group.udp_port
                async with (
                    in_slots(group),
                    asyncsctp.connect("127.0.0.1", group.port, udp_port=group.udp_port) as association,
                ):
                    assert int((await ask(association, "127.0.0.1"))[0]) in range(count)

    run(main())


def test_groups_do_not_mix(group: asyncsctp.WorkerGroup) -> None:
    with pytest.raises(OSError, match="in use"):
        asyncsctp.WorkerGroup(HERE[0], 5001, udp_port=group.udp_port, workers=2)
    with pytest.raises(OSError, match="in use"):
        asyncsctp.WorkerGroup(["127.0.0.9", HERE[1]], 5001, udp_port=group.udp_port, workers=2)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"workers": 0}, ValueError, "workers must be between 1 and 256, not 0"),
        ({"workers": True}, TypeError, "workers must be an int"),
        ({"workers": 2, "port": 65536}, ValueError, "port must be between 0 and 65535"),
        ({"workers": 2, "udp_port": "9899"}, TypeError, "udp_port must be an int"),
        ({"workers": 2, "local_addrs": "localhost"}, ValueError, "local_addrs must be IP addresses"),
        ({"workers": 2, "local_addrs": "192.0.2.1"}, OSError, "assign"),
    ],
)
def test_wrong_groups(arguments: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        asyncsctp.WorkerGroup(**arguments)  # type: ignore[arg-type]


def test_slots(group: asyncsctp.WorkerGroup) -> None:
    assert [slot.index for slot in group.slots] == [0, 1, 2, 3]
    assert repr(group.slot(2)) == "<WorkerSlot 2 of 4: 127.0.0.1, 127.0.0.2 port 5001>"
    assert repr(group) == "<WorkerGroup 127.0.0.1, 127.0.0.2 port 5001: 4 slots>"
    for index in (-1, 4):
        with pytest.raises(IndexError):
            group.slot(index)
    group.close()
    with pytest.raises(IndexError):
        group.slot(0)


def test_wrong_ways_to_share(run: Run, group: asyncsctp.WorkerGroup) -> None:
    async def handler(association: asyncsctp.Association) -> None: ...

    slot = group.slot(0)
    for arguments in ({"host": "127.0.0.1"}, {"local_addrs": HERE}, {"port": 5002}, {"udp_port": 1}):
        with pytest.raises(ValueError, match="are those of the WorkerGroup"):
            asyncsctp.serve(handler, reuse_port=slot, **arguments)
    for arguments in ({}, {"port": 5001, "udp_port": 0}):
        with pytest.raises(ValueError, match="must not be 0"):
            asyncsctp.serve(handler, "127.0.0.1", reuse_port=True, **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reuse_port must be a bool or a slot"):
        asyncsctp.serve(handler, reuse_port=group)  # type: ignore[arg-type]


# Without a parent.


@pytest.fixture
def udp_port() -> int:
    return free_udp_port(HERE[0])


def test_processes_that_know_nothing_of_one_another(run: Run, udp_port: int) -> None:
    async def main() -> None:
        workers = Workers()

        async def join(index: int) -> None:
            workers.servers[index] = await asyncsctp.serve(
                workers.answer(index), local_addrs=HERE, port=5001, udp_port=udp_port, reuse_port=True, config=QUICK
            )

        async def meet() -> asyncsctp.Association:
            association = await stack.enter_async_context(
                asyncsctp.connect(HERE, 5001, udp_port=udp_port, local_addrs=THERE, config=QUICK)
            )
            await association.heartbeat(HERE[1])
            return association

        async def ask_all() -> dict[asyncsctp.Association, bytes]:
            found = {}
            for association in associations:
                who = {(await ask(association, path))[0] for path in (*HERE, *HERE)}
                assert len(who) == 1
                found[association] = who.pop()
            return found

        async with AsyncExitStack() as stack:
            await asyncio.gather(*map(join, range(3)))
            associations: list[asyncsctp.Association] = []
            before: dict[asyncsctp.Association, bytes] = {}
            while len(set(before.values())) < 3:
                associations.append(await meet())
                before = await ask_all()
            assert workers.strays == 0

            # The first leaves; the last has its place in the kernel then.
            gone = workers.servers.pop(min(workers.servers, key=workers.number_of))
            gone.close()
            await gone.wait_closed()
            associations = [each for each in associations if each.state is asyncsctp.State.ESTABLISHED]
            assert 0 < len(associations) < len(before)
            assert await ask_all() == {each: before[each] for each in associations}
            assert workers.strays > 0

            await join(7)
            after: dict[asyncsctp.Association, bytes] = {}
            while b"7" not in after.values():
                associations.append(await meet())
                after = await ask_all()
            assert all(after[association] == who for association, who in before.items() if association in after)
        await workers.close()

    run(main())


def test_a_tag_of_a_neighbour_that_is_gone_is_answered(run: Run, udp_port: int) -> None:
    """RFC 9260 section 8.4 rule 5: somebody has to."""

    async def handler(association: asyncsctp.Association) -> None: ...

    async def main() -> None:
        async with asyncsctp.serve(handler, HERE[0], 5001, udp_port=udp_port, reuse_port=True) as server:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                peer.sendto(Seal(6000, 5001, 64 * 7 + 5).pack(control.pack_shutdown_ack()), (HERE[0], udp_port))
                answer = await asyncio.get_running_loop().sock_recv(peer, 65536)
            assert (read_header(answer)[2], answer[12]) == (64 * 7 + 5, SHUTDOWN_COMPLETE)
            assert server.endpoint.stats.out_of_the_blue == 1

    run(main())


def test_who_does_not_share_with_just_anyone_has_no_neighbours(run: Run, group: asyncsctp.WorkerGroup) -> None:
    async def handler(association: asyncsctp.Association) -> None: ...

    async def main() -> None:
        async with asyncsctp.serve(handler, HERE[0], 5001, udp_port=0) as server:
            for udp_port in (server.udp_port, server.udp_port, group.udp_port):  # nothing is left of the first attempt
                with pytest.raises(OSError, match="in use"):
                    await asyncsctp.serve(handler, HERE[0], 5001, udp_port=udp_port, reuse_port=True)
        with pytest.raises(ValueError, match="port must be"):
            await asyncsctp.serve(handler, "127.0.0.1", 70000, udp_port=1, reuse_port=True)

    run(main())


# In processes.


def begin(slot: asyncsctp.WorkerSlot, method: str) -> multiprocessing.process.BaseProcess:
    context: Any = multiprocessing.get_context(method)  # each has its own class of processes
    process: multiprocessing.process.BaseProcess = context.Process(target=work, args=(slot,))
    process.start()
    return process


@contextmanager
def processes(group: asyncsctp.WorkerGroup, method: str) -> Iterator[list[multiprocessing.process.BaseProcess]]:
    started: list[multiprocessing.process.BaseProcess] = []
    try:
        started.extend(begin(slot, method) for slot in group.slots)
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()
            process.close()


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")  # fork, from Python 3.12 on
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_four_processes_and_two_paths(group: asyncsctp.WorkerGroup, method: str) -> None:
    """One is killed and replaced; the associations of the others don't notice."""

    async def main(started: list[multiprocessing.process.BaseProcess]) -> None:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            associations: dict[asyncsctp.Association, int] = {}
            while len(associations) < 12 or len(set(associations.values())) < WORKERS:
                association = await meet(group, stack)
                associations[association] = int((await ask(association, HERE[0]))[0])
            pids = [process.pid for process in started]
            for _ in range(5):
                for association, worker in associations.items():
                    for path in HERE:
                        assert [int(word) for word in (await ask(association, path))[:3]] == [worker, pids[worker], 0]

            lost = {each for each, worker in associations.items() if worker == 2}
            started[2].kill()
            started[2].join()
            for association in associations.keys() - lost:
                for path in HERE:
                    assert int((await ask(association, path))[1]) == pids[associations[association]]
            started[2].close()
            started[2] = begin(group.slot(2), method)
            for association in lost:  # RFC 9260 section 8.4 rule 8: by one who knows nothing of it
                with suppress(asyncsctp.AssociationAborted):
                    await association.send(b"are you there?")
                with pytest.raises(asyncsctp.AssociationAborted):
                    await association.wait_closed()
            while True:
                association = await meet(group, stack)
                if int((await ask(association, HERE[1]))[0]) == 2:
                    break
            assert int((await ask(association, HERE[1]))[1]) == started[2].pid
            for association in associations.keys() - lost:
                assert association.state is asyncsctp.State.ESTABLISHED
                for path in HERE:
                    assert int((await ask(association, path))[1]) == pids[associations[association]]
                assert association.stats.restarts == 0

    with processes(group, method) as started:
        asyncio.run(main(started))


def test_a_slot_does_not_go_where_its_sockets_can_not(group: asyncsctp.WorkerGroup) -> None:
    with pytest.raises(TypeError, match="socket"):
        pickle.dumps(group.slot(0))
