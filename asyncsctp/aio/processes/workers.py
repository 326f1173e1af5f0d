"""Worker processes behind one port: a parent opens all sockets, and each worker serves with those of its slot.

The parent, or whoever was given the group, keeps the sockets open, so that the kernel's order of them never changes:
a worker that has died can be replaced by one in the same slot, and what came for it in between waits there. Other ways
to have a port are in `membership`.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Final, final

from ...checks import check_int
from ...endpoint.port_sharing import Sharing
from ...paths.route import normalize
from ...udp import options as udp_options
from ...udp import steering
from ...udp.datagram import Address
from ...udp.transport import DEFAULT_BUFFER
from ...wire.constants import UDP_PORT
from ..addresses.resolve import literals
from ..engine import Engine
from .exchange import Exchange
from .membership import Membership

_EVERYWHERE: Final = ("0.0.0.0", "::")
_MOST_WORKERS: Final = 256
_LAST_PORT: Final = 65535
_ATTEMPTS: Final = 16
_SECRET_SIZE: Final = 32
_SALT_BITS: Final = 32
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


@final
class WorkerSlot:
    """One worker's place in a `WorkerGroup`: what to give to `serve` as its `reuse_port`.

    It goes to the worker as an argument of `multiprocessing.Process`, with any start method. One process at a time may
    serve in a slot: two would take each other's packets.
    """

    __slots__ = ("_cookie_secret", "_inbox", "_outlets", "_sockets", "index", "local_addrs", "port", "udp_port")

    def __init__(
        self,
        index: int,
        ports: tuple[int, int],
        sockets: dict[str, socket.socket],
        exchange: tuple[socket.socket | None, tuple[socket.socket, ...]],
        cookie_secret: bytes,
    ) -> None:
        """Not for users."""
        #: Its number, from 0 on; every local verification tag leaves it when divided by the number of workers.
        self.index = index
        #: The local addresses, one for each UDP socket; the SCTP port; the UDP port.
        self.local_addrs = tuple(sockets)
        self.port, self.udp_port = ports
        self._sockets = sockets
        self._inbox, self._outlets = exchange
        self._cookie_secret = cookie_secret

    @property
    def workers(self) -> int:
        """How many slots the group has."""
        return len(self._outlets) or 1

    def membership(self) -> Membership:
        """Not for users."""
        return _Worker(self)

    def __repr__(self) -> str:
        return f"<WorkerSlot {self.index} of {self.workers}: {', '.join(self.local_addrs)} port {self.port}>"


@final
class _Worker(Membership):
    """Has the sockets of a slot. They are copies: the slot's own remain open for who comes next."""

    __slots__ = ("_exchange", "_slot")

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot
        self._exchange: Exchange | None = None

    def open_socket(self, local_addr: Address, buffer: int) -> socket.socket:
        if self._exchange is not None or local_addr[0] not in self._slot._sockets:
            raise NotImplementedError("processes that share a UDP port can't bind further addresses")
        sock = self._slot._sockets[local_addr[0]].dup()
        sock.setblocking(False)
        udp_options.ask_for_buffers(sock, buffer)
        return sock

    def begin(self, engine: Engine) -> Sharing | None:
        slot = self._slot
        if slot._inbox is None:
            return None
        place = (slot.index, slot.workers)
        self._exchange = Exchange(engine, slot._inbox.dup(), self._send, place, slot._cookie_secret)
        return self._exchange.sharing

    def _send(self, member: int, message: bytes) -> bool:
        with suppress(OSError):  # it is too busy to take more, or the whole group is gone
            self._slot._outlets[member].send(message)
        return True

    def leave(self) -> None:
        if self._exchange is not None:
            self._exchange.close()


@final
class WorkerGroup:
    """One SCTP port that several processes serve, each with associations of its own. Made by their parent.

        def work(slot):
            async def main():
                async with asyncsctp.serve(handler, reuse_port=slot) as server:
                    await server.serve_forever()
            asyncsctp.run(main())

        with asyncsctp.WorkerGroup(["192.0.2.1", "198.51.100.1"], 5001, workers=4) as group:
            workers = [multiprocessing.Process(target=work, args=(group.slot(i),)) for i in range(4)]
            ...

    The kernel gives each packet to the worker that holds its association, whichever of the addresses it came to: the
    verification tag tells, which each worker chooses from a class of its own. INITs are spread by the peer's SCTP port
    and IP address, so that an INIT sent again, and that of a peer which lost its memory (RFC 9260 section 5.2), come to
    the same worker as long as the peer has the same address and port. Packets that the kernel gets wrong all the same
    (see `EndpointStatistics.handed_over`) are handed over by the worker that gets them. State cookies are good in every
    worker, so that one begun anew in a slot completes the handshakes of the one before.

    The group keeps all sockets open until it is closed (`close`, or `with`). While nobody serves in a slot, packets for
    it wait in the socket, and its share of the INITs goes unanswered: a worker that has died is to be replaced. While a
    worker's server closes, the worker of the next slot gets its share.

    Limits: a peer that lost its memory and comes from another address or port may reach another worker; then it has a
    new association there, and that of the first worker ends by its time-outs. ICMP errors go to any worker, so most of
    them are not noticed. `limit` of `serve`, and statistics, are those of each worker.
    """

    def __init__(
        self, local_addrs: str | Iterable[str] | None = None, port: int = 0, *, udp_port: int = UDP_PORT, workers: int
    ) -> None:
        """Open the sockets.

        * `local_addrs`: IP literals, by default all of the machine's; as in `serve`.
        * `port`: the SCTP port; 0 takes the number of the UDP port. `udp_port`: 0 takes a free one.
        * `workers`: how many there will be, 1 to 256.

        Raises `OSError` if an address or port can't be had, `NotImplementedError` where more than one worker is not
        possible (anywhere but on Linux), `ValueError` or `TypeError` for wrong arguments.
        """
        check_int("port", port, 0, _LAST_PORT)
        check_int("udp_port", udp_port, 0, _LAST_PORT)
        check_int("workers", workers, 1, _MOST_WORKERS)
        if workers > 1:
            steering.check_platform()
        addresses = _EVERYWHERE if local_addrs is None else literals("local_addrs", local_addrs)
        self._sockets: list[socket.socket] = []
        self._slots: list[WorkerSlot] = []
        try:
            by_address = self._bind(addresses, udp_port, workers)
            #: As of each slot.
            self.local_addrs = tuple(by_address)
            self.udp_port: int = self._sockets[0].getsockname()[1]
            self.port = port or self.udp_port
            self._make_slots(by_address, workers)
        except BaseException:
            self.close()
            raise

    def _bind(self, addresses: tuple[str, ...], udp_port: int, workers: int) -> dict[str, list[socket.socket]]:
        """Return the sockets of each address, a worker's after another's."""
        for attempt in range(_ATTEMPTS):
            by_address: dict[str, list[socket.socket]] = {}
            number = udp_port
            for address in addresses:
                try:
                    by_address[address] = self._bind_all((address, number), workers)
                except OSError as exc:
                    if address == "::" and by_address and exc.errno in _NO_IPV6:
                        continue
                    # A free port at the first address may be taken at the next.
                    is_last = attempt + 1 == _ATTEMPTS
                    if exc.errno != errno.EADDRINUSE or udp_port or not by_address or is_last:
                        raise
                    self.close()
                    break
                number = by_address[address][0].getsockname()[1]
            else:
                return by_address
        raise AssertionError("the last attempt returns or raises")

    def _bind_all(self, local_addr: Address, workers: int) -> list[socket.socket]:
        # The first takes the port for itself before it lets others in: or two groups could mix.
        first = udp_options.open_socket(local_addr, DEFAULT_BUFFER)
        bound = [first]
        self._sockets.append(first)
        if workers > 1:
            udp_options.share_port(first)
            address = (local_addr[0], first.getsockname()[1])
            for _ in range(1, workers):
                bound.append(udp_options.open_socket(address, DEFAULT_BUFFER, reuse_port=True))
                self._sockets.append(bound[-1])
            steering.attach(first, steering.by_index(workers, secrets.randbits(_SALT_BITS), first.family))
        return bound

    def _make_slots(self, by_address: dict[str, list[socket.socket]], workers: int) -> None:
        kind = socket.AF_UNIX, socket.SOCK_SEQPACKET
        pairs = [socket.socketpair(*kind) for _ in range(workers)] if workers > 1 else []
        for end in chain(*pairs):
            self._sockets.append(end)
            end.setblocking(False)
        outlets = tuple(outlet for _, outlet in pairs)
        cookie_secret = secrets.token_bytes(_SECRET_SIZE)
        self._slots = [
            WorkerSlot(
                index,
                (self.port, self.udp_port),
                {normalize(address): bound[index] for address, bound in by_address.items()},
                (pairs[index][0] if pairs else None, outlets),
                cookie_secret,
            )
            for index in range(workers)
        ]

    @property
    def slots(self) -> tuple[WorkerSlot, ...]:
        """All of them; empty once the group is closed."""
        return tuple(self._slots)

    def slot(self, index: int) -> WorkerSlot:
        """Return the place of one worker, from 0 on. `IndexError` if there is none, or the group is closed."""
        if not 0 <= index < len(self._slots):
            raise IndexError(f"there is no slot {index!r} among {len(self._slots)}")
        return self._slots[index]

    def close(self) -> None:
        """Close this process's copies of the sockets. Workers go on, but can't be replaced any more. Idempotent."""
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self._slots = []

    def __enter__(self) -> WorkerGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WorkerGroup {', '.join(self.local_addrs)} port {self.port}: {len(self._slots)} slots>"
