"""From a name to an association: which addresses a peer has, from where they are reached, and trying them (RFC 8305).

Knows names, addresses and attempts. What an attempt does is in `aio.endpoint`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import chain, zip_longest
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final

from ...errors import SCTPError
from ...paths.route import is_ipv4, normalize
from ...udp.datagram import EXHAUSTED, address_of, sockaddr_of
from ...udp.transport import simulated

#: RFC 8305 section 8: Connection Attempt Delay.
_ATTEMPT_DELAY: Final = 0.25
_ANY_PORT: Final = 9


T = TypeVar("T", bound=AbstractAsyncContextManager[Any])
A = TypeVar("A")
Addresses = tuple[str, ...]


@final
class Opening(Generic[T]):
    """Something on its way to be open: await it, or enter it as a context manager that closes it when left."""

    __slots__ = ("_open", "_opened")

    def __init__(self, open_: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._open = open_
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._open().__await__()

    async def __aenter__(self) -> T:
        self._opened = opened = await self._open()
        return opened

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(exc_type, exc, traceback)


def literals(name: str, addresses: str | Iterable[str]) -> Addresses:
    """Return addresses in their one spelling, each once. `TypeError` or `ValueError` names the argument."""
    found: list[str] = []
    for address in (addresses,) if isinstance(addresses, str) else addresses:
        if not isinstance(address, str):
            raise TypeError(f"{name} must be IP addresses as str, not {address!r}")
        try:
            found.append(normalize(address))
        except ValueError:
            raise ValueError(f"{name} must be IP addresses, and {address!r} is none") from None
    if not found:
        raise ValueError(f"{name} must name at least one address")
    return tuple(dict.fromkeys(found))


async def peer_candidates(host: str | Sequence[str], family: int) -> list[Addresses]:
    """Return the peers to try, in order, each with its addresses: several for a name, one for a list of addresses.

    `socket.gaierror` for a name that can't be resolved, `ValueError` if no address is of the family.
    """
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family must be AF_UNSPEC, AF_INET or AF_INET6, not {family!r}")
    if isinstance(host, str):
        candidates: list[Addresses] = [(address,) for address in await _addresses_of(host, family)]
    else:
        candidates = [tuple(address for address in literals("host", host) if _is_of(family, address))]
    if not candidates or not candidates[0]:
        raise ValueError(f"host must have an address of the family, and {host!r} has none")
    return candidates


async def local_addresses(host: str | None, local_addrs: str | Iterable[str] | None) -> Addresses:
    """Return where a listener listens: at the addresses of `host` and at `local_addrs`; without either at all."""
    found: list[str] = []
    if host:
        found.extend(await _addresses_of(host, socket.AF_UNSPEC))
    if local_addrs is not None:
        found.extend(literals("local_addrs", local_addrs))
    return tuple(dict.fromkeys(found)) or ("0.0.0.0", "::")


async def source_addresses(peers: Iterable[str], udp_port: int) -> Addresses:
    """Return our addresses that the system would use towards these peers.

    `SCTPError` if it has no way to any of them, with the `errno` of the last; `OSError` if it has no sockets to ask
    with.
    """
    found: list[str] = []
    failure: OSError | None = None
    for peer in peers:
        try:
            found.append(await _source_address(peer, udp_port))
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                raise
            failure = exc
    if not found:
        error = SCTPError(f"there is no way to {', '.join(peers)}: {failure}")
        error.errno = None if failure is None else failure.errno
        raise error from failure
    return tuple(dict.fromkeys(found))


async def _source_address(peer: str, udp_port: int) -> str:
    loop = asyncio.get_running_loop()
    if simulated(loop) is None:
        return source_towards(peer, udp_port)
    probe, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(peer, udp_port))
    name = probe.get_extra_info("sockname")
    probe.close()
    return normalize(address_of(name)[0])


def source_towards(peer: str, udp_port: int = _ANY_PORT) -> str:
    """Return the address that the system would use towards a peer. `OSError` if it knows no way there."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(sockaddr_of((peer, udp_port)))  # of UDP: nothing is sent
        return normalize(address_of(sock.getsockname())[0])


async def race(
    attempt: Callable[[Addresses], Coroutine[Any, Any, A]],
    peers: Sequence[Addresses],
    abort: Callable[[A], None],
    *,
    overlap: bool = True,
) -> A:
    """Return what the first attempt that succeeds leads to, at one of these peers (RFC 8305).

    Each begins when the one before has failed, or 0.25 s after that began; with `overlap=False` only when it has
    failed. What further ones lead to is given to `abort`. If all fail, raises the error of the first that got an
    answer.
    """
    if len(peers) == 1:
        return await attempt(peers[0])
    waiting = deque(peers)
    pending: set[asyncio.Task[A]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or pending:
            if waiting:
                pending.add(asyncio.ensure_future(attempt(waiting.popleft())))
            delay = _ATTEMPT_DELAY if waiting and overlap else None
            done, pending = await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            winner = None
            for task in done:
                error = task.exception()
                if error is not None:
                    errors.append(error)
                elif winner is None:
                    winner = task.result()
                else:
                    abort(task.result())
            if winner is not None:
                return winner
    finally:
        for task in pending:
            task.cancel()
        for outcome in await asyncio.gather(*pending, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                abort(outcome)
    raise next((error for error in errors if isinstance(error, SCTPError)), errors[0])


async def _addresses_of(host: str, family: int) -> list[str]:
    """Return the addresses of a name or literal, the families by turns (RFC 8305 section 4)."""
    try:
        literal = normalize(host)
    except ValueError:
        pass
    else:
        return [literal] if _is_of(family, literal) else []
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    found = dict.fromkeys(normalize(address_of(sockaddr)[0]) for _, _, _, _, sockaddr in answers)
    first = [address for address in found if is_ipv4(address) is is_ipv4(next(iter(found)))]
    second = [address for address in found if address not in first]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [address for address in pairs if address is not None]


def _is_of(family: int, address: str) -> bool:
    return family == socket.AF_UNSPEC or (family == socket.AF_INET) is is_ipv4(address)
