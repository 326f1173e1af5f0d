"""asyncio on virtual time: a loop whose clock is that of a simulated network, and whose sockets are in it.

When nothing is ready, the clock jumps to the next timer or the next arrival of a packet. Ten minutes of protocol time
cost what happens in them, and nothing for the waiting.
"""

from __future__ import annotations

import asyncio
import errno
import random
import selectors
import socket
from collections.abc import Callable
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack

from .clock import Clock, DeadlockError, TimeLimitError
from .host import Address, Host, current_host, normal
from .simulated_transport import SimulatedTransport, sockaddr

if TYPE_CHECKING:
    from concurrent.futures import Executor


T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

DAY: Final = 86400.0
_NAMED_TASKS: Final = 10
_WILDCARDS: Final[dict[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class SeededRandom:
    """A source of randomness for `asyncsctp.endpoint.endpoint.Endpoint`, repeatable by its seed. For tests only."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def bits(self, count: int) -> int:
        """Return a number of so many bits."""
        return self._random.getrandbits(count)

    def token(self, size: int) -> bytes:
        """Return so many bytes."""
        return self._random.randbytes(size)


class Surroundings(Protocol):
    """What a loop needs of the network that it is in."""

    seed: int
    clock: Clock
    hosts: dict[str, Host]
    names: dict[str, tuple[str, ...]]

    def host_of(self, address: str) -> Host | None: ...


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for time to pass, lets it pass. Real files and other threads are still heeded."""

    def __init__(self, clock: Clock, limit: float | None, pending: Callable[[], str]) -> None:
        super().__init__()
        self.clock = clock
        self.limit = limit if limit is not None else inf
        self.deadline = self.clock.now + self.limit
        self.threads = 0
        self.pending = pending

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self.clock
        if timeout is not None and timeout <= 0.0:
            clock.run_due()
            return []
        happened = super().select(0)
        if happened or clock.next_time <= clock.now:
            clock.run_due()
            return happened
        if self.threads:
            return super().select(None)
        target = min(clock.now + timeout if timeout is not None else inf, clock.next_time)
        if target == inf:
            raise DeadlockError(f"nothing is ready or scheduled at {clock.now:.6f} s; waiting: {self.pending()}")
        if target > self.deadline:
            self.deadline += self.limit
            raise TimeLimitError(f"not done after {self.limit:g} virtual seconds; waiting: {self.pending()}")
        clock.advance(target)
        clock.run_due()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time, with the datagram sockets of a simulated network.

    `time()` is the network's clock. While a thread of an executor is at work, virtual time stands still. TCP, pipes and
    subprocesses are not simulated. `network` is a `Network`, and `limit` is as in its `run`.
    """

    def __init__(self, network: Surroundings, *, limit: float | None = DAY) -> None:
        self.network = network
        self._jumping = _JumpingSelector(network.clock, limit, self._pending)
        super().__init__(self._jumping)
        #: Where endpoints have their tags and nonces from, so that a run depends on the network's seed alone.
        self.protocol_random = SeededRandom(f"{self.network.seed} protocol")

    def time(self) -> float:
        """Return the virtual seconds since the network was made."""
        return self.network.clock.now

    def open_simulated_datagram(
        self, protocol_factory: Callable[[], ProtocolT], local_addr: Address
    ) -> tuple[SimulatedTransport, ProtocolT]:
        """Open a datagram socket of the host that owns the address of `local_addr`; port 0 takes a free one.

        `OSError` when nobody owns it, or its port is in use. A wildcard address means the host of `Host.active()`, or
        the only host there is.
        """
        return self._attach(protocol_factory, (normal(local_addr[0]), local_addr[1]), None)

    def watch_simulated_addresses(
        self, near: str, callback: Callable[[tuple[str, ...]], object]
    ) -> tuple[Callable[[], object], Callable[[str], str]]:
        """Tell the addresses of the host that has `near`, now and each time that they have changed.

        Return what ends that, and what says which address packets to a peer leave from (`OSError` if none can).
        """
        host = self._host_for(normal(near))

        def tell() -> None:
            self.call_soon(callback, tuple(host.addresses))

        def stop() -> None:
            if tell in host.on_addresses:
                host.on_addresses.remove(tell)

        host.on_addresses.append(tell)
        callback(tuple(host.addresses))
        return stop, host.source_for

    async def create_datagram_endpoint(  # type: ignore[override]  # a more precise transport
        self,
        protocol_factory: Callable[[], ProtocolT],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[SimulatedTransport, ProtocolT]:
        """Open a simulated socket; `proto`, `flags`, `reuse_port` and `allow_broadcast` are ignored."""
        if sock is not None:
            raise ValueError("a real socket can't be part of a simulated network")
        if local_addr is None and remote_addr is None and family == 0:
            raise ValueError("unexpected address family")
        local = remote = None
        if local_addr is not None:
            local = await self._resolve(local_addr, family)
            family = _family(local[0])
        if remote_addr is not None:
            remote = await self._resolve(remote_addr, family)
            family = _family(remote[0])
        return self._attach(protocol_factory, local or (_WILDCARDS[family], 0), remote)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as the loop's
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Resolve IP literals and the names given by `Network.name`; `socket.gaierror` for others."""
        name = host.decode() if isinstance(host, bytes) else host
        kind = socket.SocketKind(type or socket.SOCK_DGRAM)
        protocol = proto or (socket.IPPROTO_UDP if kind is socket.SOCK_DGRAM else socket.IPPROTO_TCP)
        found = [
            (socket.AddressFamily(_family(address)), kind, protocol, "", sockaddr((address, int(port or 0))))
            for address in self._addresses(name, bool(flags & socket.AI_PASSIVE))
            if family in (socket.AF_UNSPEC, _family(address))
        ]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"the simulated network has no name {name}")
        return found

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` in a thread; virtual time stands still until it has returned."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._on_thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Shut down the default executor; this waits in real time, and without limit."""
        self._jumping.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads -= 1

    def _on_thread_done(self, _: object) -> None:
        self._jumping.threads -= 1

    def _attach(
        self, protocol_factory: Callable[[], ProtocolT], local: Address, remote: Address | None
    ) -> tuple[SimulatedTransport, ProtocolT]:
        host = self._host_for(local[0])
        if remote is not None and local[0] in _WILDCARDS.values():
            local = (host.source_for(remote[0]), local[1])
        protocol = protocol_factory()
        transport = SimulatedTransport(self, protocol, host, local, remote)
        protocol.connection_made(transport)
        return transport, protocol

    def _host_for(self, address: str) -> Host:
        if address not in _WILDCARDS.values():
            host = self.network.host_of(address)
        elif len(self.network.hosts) == 1:
            host = next(iter(self.network.hosts.values()))
        else:
            host = current_host.get()
            if host is None:
                raise OSError(errno.EADDRNOTAVAIL, f"whose {address}? Use host.active(), or bind an address of a host")
        if host is None:
            raise OSError(errno.EADDRNOTAVAIL, f"no simulated host has the address {address}")
        return host

    async def _resolve(self, address: tuple[str, int] | str, family: int) -> Address:
        if not isinstance(address, tuple):
            raise TypeError("2-tuple is expected")
        found = await self.getaddrinfo(address[0] or None, address[1], family=family, flags=socket.AI_PASSIVE)
        name, port = found[0][4][:2]
        return name, port

    def _addresses(self, name: str | None, passive: bool) -> tuple[str, ...]:
        if not name:
            return tuple(_WILDCARDS.values()) if passive else ("127.0.0.1", "::1")
        if name in self.network.names:
            return self.network.names[name]
        try:
            return (str(ip_address(name)),)
        except ValueError:
            return ()

    def _pending(self) -> str:
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        named = sorted(f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})" for task in tasks)
        return ", ".join(named[:_NAMED_TASKS]) + (" ..." if len(named) > _NAMED_TASKS else "")
