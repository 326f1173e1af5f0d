"""How it begins: `connect`, `serve`, `open_endpoint` and `run`. What they give is in `association` and `endpoint`."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine, Iterable, Sequence
from socket import AF_UNSPEC
from typing import Any, Final, TypeVar

from ..checks import check_int
from ..config import Config
from ..wire.constants import UDP_PORT
from .addresses.resolve import Opening, literals, local_addresses, peer_candidates, race, source_addresses
from .association import Association
from .endpoint import Endpoint
from .processes.membership import Membership, Neighbour
from .processes.workers import WorkerSlot
from .server import Handler, Handlers, Server

T = TypeVar("T")

#: Somebody has the port, or it is for the privileged.
_NOT_TO_BE_HAD: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
_DEFAULT: Final = Config()  # one object for all who don't say otherwise


def connect(
    host: str | Sequence[str],
    port: int,
    *,
    udp_port: int = UDP_PORT,
    local_addrs: str | Iterable[str] | None = None,
    local_port: int = 0,
    local_udp_port: int = 0,
    config: Config | None = None,
    family: int = AF_UNSPEC,
) -> Opening[Association]:
    """Set up an association; `await` it, or enter it by `async with`, which shuts it down or aborts it (RFC 9260
    section 5.1).

    * `host`: a name, an IP address, or a list of the addresses of one multihomed peer. The addresses of a name are
      tried as RFC 8305 does, the next one begun after 0.25 s (or when the one before has failed, with
      `local_udp_port`).
    * `port`: the peer's SCTP port, 1 to 65535. `udp_port`: its UDP port (RFC 6951); the default means
      `Config.udp_port`.
    * `local_addrs`: our addresses, IP literals; more than one makes us multihomed. By default the one, or those, that
      the system would use towards the peer.
    * `local_port`, `local_udp_port`: our SCTP and UDP port; 0 takes a free one. With a `local_port` the UDP port is the
      one with the same number, if that is free: a peer that still holds the association of a program which was killed
      lets nobody take it over from another UDP port (cause 14), and from the same one it is a restart (section 5.2).
    * `config`: `Config()` by default. `family`: AF_INET or AF_INET6 for one family alone.

    Raises `AssociationRefused`, `AssociationTimeout` (after `Config.init_max_retrans` retransmissions),
    `AssociationAborted` or another `SCTPError`; `socket.gaierror` for an unknown name, `OSError` if a local address or
    port can't be had, or there are no more sockets, and `ValueError` or `TypeError` for wrong arguments. Where the
    system knows no way to the peer, the `SCTPError` has its `errno`.
    """

    async def attempt(peers: tuple[str, ...]) -> Association:
        settings = config or _DEFAULT
        if local_addrs is None:
            ours = await source_addresses(peers, settings.udp_port if udp_port == UDP_PORT else udp_port)
        else:
            ours = literals("local_addrs", local_addrs)
        endpoint = await _open_alike(ours, local_port, local_udp_port, settings)
        try:
            association = await endpoint._associate(peers, port, udp_port)
        except BaseException:
            endpoint.abort()
            await endpoint.wait_closed()
            raise
        endpoint.close_when_idle()
        return association

    async def open_() -> Association:
        candidates = await peer_candidates(host, family)
        return await race(attempt, candidates, Association.abort, overlap=not local_udp_port)

    return Opening(open_)


def serve(
    handler: Handler,
    host: str | None = None,
    port: int = 0,
    *,
    udp_port: int = UDP_PORT,
    local_addrs: str | Iterable[str] | None = None,
    config: Config | None = None,
    limit: int | None = None,
    reuse_port: bool | WorkerSlot = False,
) -> Opening[Server]:
    """Listen for associations; `await` it, or enter it by `async with`, which closes the server when left.

    * `handler`: a coroutine function, called with each `Association` in a task of its own. When it returns, the
      association is shut down. When it raises, the error is logged and the association aborted; if it only tells that
      the association has ended, also in a group of `asyncio.TaskGroup`, it is logged as INFO, without a traceback.
    * `host`: a name or address to listen at; `local_addrs`: more of them, IP literals. One UDP socket is bound for
      each. Without either, all of the machine's: such a server answers each peer from the address that it speaks to,
      and tells it of no further ones, so it is not multihomed.
    * `port`: the SCTP port; 0 takes a free one. `udp_port`: the UDP port; 0 takes a free one.
    * `limit`: how many associations there may be at a time; more are refused (RFC 9260 section 3.3.10.4).
    * `reuse_port`: share the UDP port with other processes, each with associations of its own. A slot of a
      `WorkerGroup`, which then says what addresses and ports there are, for worker processes of one parent; this is the
      way that lets them come and go. True for up to 64 processes of one user that know nothing of one another but give
      the same `host`, `local_addrs`, `port` and `udp_port`, none of them 0: while all of them run, each packet comes to
      the process that holds its association. When one ends, the kernel gives its place to another one: from then on
      packets of some associations come to the wrong process, which hands them over to the right one. That works, but is
      slower, until all of them have been started anew. Handshakes under way with the one that ended fail, and INITs
      are spread anew, so that a peer which restarts may come to another process than the one that still takes it for
      its peer.

    Raises `OSError` if an address or port can't be had, `NotImplementedError` where processes can't share a port (on
    other systems than Linux), `ValueError` or `TypeError` for wrong arguments.
    """
    if not callable(handler):
        raise TypeError(f"handler must be a coroutine function, not {handler!r}")
    if limit is not None:
        check_int("limit", limit, 1, wanted="an int or None")
    if not isinstance(reuse_port, bool | WorkerSlot):
        raise TypeError(f"reuse_port must be a bool or a slot of a WorkerGroup, not {reuse_port!r}")
    if reuse_port is True and not (port and udp_port):
        raise ValueError("port and udp_port must not be 0 where processes are to share them")
    if isinstance(reuse_port, WorkerSlot) and (
        host is not None
        or local_addrs is not None
        or port not in (0, reuse_port.port)
        or udp_port not in (UDP_PORT, reuse_port.udp_port)
    ):
        raise ValueError("the addresses and ports are those of the WorkerGroup: none can be named beside its slot")

    async def open_() -> Server:
        membership = Membership()
        if isinstance(reuse_port, WorkerSlot):
            ours, ports = reuse_port.local_addrs, (reuse_port.port, reuse_port.udp_port)
            membership = reuse_port.membership()
        else:
            ours, ports = await local_addresses(host, local_addrs), (port, udp_port)
            if reuse_port:
                membership = await Neighbour.join(ours, udp_port)
        handlers = Handlers(handler)
        try:
            endpoint = await Endpoint._open(
                ours,
                *ports,
                config or _DEFAULT,
                listening=True,
                limit=limit,
                membership=membership,
                on_accept=handlers.serve,
            )
        except BaseException:
            membership.leave()
            raise
        return Server(endpoint, handlers)

    return Opening(open_)


def open_endpoint(
    *, local_addrs: str | Iterable[str] | None = None, port: int = 0, udp_port: int = 0, config: Config | None = None
) -> Opening[Endpoint]:
    """Open an `Endpoint` that sets up and accepts any number of associations from one port: the one-to-many form.

    The arguments are as in `serve`; `udp_port` takes a free one by default, as in `connect`: with a `port` the one with
    the same number, if that is free. `await` it, or enter it by `async with`.
    """

    async def open_() -> Endpoint:
        ours = await local_addresses(None, local_addrs)
        return await _open_alike(ours, port, udp_port, config or _DEFAULT, listening=True)

    return Opening(open_)


async def _open_alike(
    local_addrs: Sequence[str], port: int, udp_port: int, config: Config, *, listening: bool = False
) -> Endpoint:
    """Open an endpoint; where an SCTP port is named and no UDP port, preferably at the UDP port with that number."""
    if port and udp_port == 0:
        try:
            return await Endpoint._open(local_addrs, port, port, config, listening=listening)
        except OSError as error:
            if error.errno not in _NOT_TO_BE_HAD:
                raise
    return await Endpoint._open(local_addrs, port, udp_port, config, listening=listening)


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a coroutine as `asyncio.run`, on uvloop where that is installed and no `loop_factory` is given."""
    if loop_factory is None:
        try:
            import uvloop
        except ImportError:
            pass
        else:
            loop_factory = uvloop.new_event_loop
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
