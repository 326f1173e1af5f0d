"""Which addresses the machine has, and when that changes: told by netlink on Linux, found by looking elsewhere.

What comes and goes within a moment is not told. The messages of netlink are in `netlink`; what becomes of a change, in
`auto_asconf`.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, final

from ...paths.route import in_scope, is_ipv4, normalize
from ...udp.datagram import EXHAUSTED, address_of, sockaddr_of
from ...udp.forking import keep_to_this_process
from ...udp.transport import simulated
from . import netlink
from .resolve import source_towards

#: A change of networks is many changes of addresses.
_GATHERING: Final = 0.2
_POLL_INTERVAL: Final = 2.0
_READ_SIZE: Final = 1 << 16
_MOST_QUESTIONS: Final = 1000  # after so many an interrupted answer is good enough
#: Addresses for documentation (RFC 5737, RFC 3849): which of ours the system would use towards the rest of the world.
_FAR_AWAY: Final = ("192.0.2.1", "2001:db8::1")


@final
class AddressWatch:
    """Tells which of the machine's addresses have come (True) or gone (False), those together that belong together;
    first of all, once it is known what there is, of none.

    An address that is deprecated or temporary (RFC 8981) is not told of when it comes, as nobody should begin to use
    it, but is when it goes. `near` is an address of ours; a simulated network knows by it which host is meant.
    """

    def __init__(self, near: str, callback: Callable[[dict[str, bool]], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._addresses: dict[str, bool] = {}  # each with whether it is to last
        self._told: dict[str, bool] | None = None  # None: what there is at the beginning is no news
        self._handle: asyncio.TimerHandle | None = None
        self._close: Callable[[], object]
        self._source_for: Callable[[str], str] = source_towards
        simulation = simulated(self._loop)
        if simulation is not None:
            self._close, self._source_for = simulation.watch_simulated_addresses(near, self._take_list)
        else:
            try:
                self._close = _Netlink(self._loop, self._take).close
            except OSError:  # there is no such thing, or it is forbidden
                self._close = self._loop.create_task(_poll(self._take_list)).cancel

    @property
    def addresses(self) -> Collection[str]:
        """The addresses that there are by what was told; none before that."""
        return (self._told or {}).keys()

    def source_for(self, peer: str) -> str:
        """Return the address that the system would use towards a peer; empty if it knows no way there."""
        try:
            return normalize(self._source_for(peer))
        except OSError:
            return ""

    def close(self) -> None:
        """Look no more."""
        self._close()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _take_list(self, addresses: tuple[str, ...]) -> None:
        self._take(dict.fromkeys(map(normalize, addresses), True))

    def _take(self, addresses: dict[str, bool]) -> None:
        """Take these for all addresses that there are."""
        self._addresses = addresses
        if self._handle is None:
            self._handle = self._loop.call_later(0.0 if self._told is None else _GATHERING, self._tell)

    def _tell(self) -> None:
        self._handle = None
        before, now = self._told, self._addresses
        self._told = now
        if before is None:
            self._callback({})
            return
        changes = dict.fromkeys((address for address in before if address not in now), False)
        for address, is_lasting in now.items():
            if is_lasting and not before.get(address):
                changes[address] = True
        if changes:
            self._callback(changes)


@final
class _Netlink:
    """A socket to the kernel. It is asked once for all addresses, and tells of changes from then on.

    `OSError` where there is no such thing, or we may not ask.
    """

    __slots__ = ("_found", "_is_refused", "_is_stale", "_known", "_loop", "_poller", "_sequence", "_sock", "_tell")

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[dict[str, bool]], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._known: dict[tuple[str, int], bool] = {}  # by address and interface: whether it is to last
        self._found: dict[tuple[str, int], bool] | None = None  # of an answer that is not complete
        self._is_stale = False
        self._is_refused = False
        self._sequence = 0
        if sys.platform != "linux":
            raise OSError(errno.EAFNOSUPPORT, "only Linux has netlink")
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, netlink.NETLINK_ROUTE)
        # Through an epoll of its own: libuv ends the watch of a socket that has an error pending, as ENOBUFS is one.
        self._poller = select.epoll()
        try:
            self._sock.setblocking(False)
            self._sock.bind((0, netlink.GROUPS))
            self._poller.register(self._sock.fileno(), select.EPOLLIN)
            self._ask()
            loop.add_reader(self._poller.fileno(), self._on_readable)
            keep_to_this_process(self._sock, loop, self._poller.fileno(), self._poller.close)
            self._on_readable()
            if self._is_refused:
                raise OSError(errno.EPERM, "the kernel does not tell")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hear no more."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._poller.fileno())
            self._poller.close()
            self._sock.close()

    def _ask(self) -> None:
        self._sequence += 1
        self._found = {}
        self._is_stale = False
        try:
            self._sock.send(netlink.pack_address_request(self._sequence))
        except OSError:
            self._found = None  # what changes is told all the same
            self._is_refused = True

    def _on_readable(self) -> None:
        changed = False
        while self._sock.fileno() >= 0:
            try:
                data, sender = self._sock.recvfrom(_READ_SIZE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    break
                self._ask()  # news were lost
                continue
            if sender[0] == 0:  # the kernel; any other process may say what it likes
                changed = self._read(data) or changed
        if changed and self._found is None:
            self._tell({normalize(address): is_lasting for (address, _), is_lasting in self._known.items()})

    def _read(self, data: bytes) -> bool:
        """Take in messages; return whether any was news, or the end of an answer."""
        changed = False
        for message in netlink.read_messages(data, self._sequence):
            if isinstance(message, netlink.Address):
                for addresses in (self._known, self._found):
                    if addresses is not None and not (message.is_answer and addresses is self._known):
                        changed = _note(addresses, message) or changed
            elif message is netlink.AnswerState.INTERRUPTED:
                self._is_stale = True
            elif self._found is not None and self._is_stale and self._sequence < _MOST_QUESTIONS:
                self._ask()
            elif self._found is not None:
                found, self._found = self._found, None
                self._is_refused = message is netlink.AnswerState.REFUSED
                if not self._is_refused:
                    self._known = found
                    changed = True
        return changed


def _note(addresses: dict[tuple[str, int], bool], message: netlink.Address) -> bool:
    """Take in what is said of an address; return whether it was news."""
    key = message.address, message.interface
    if not message.is_there:
        return addresses.pop(key, None) is not None
    before = addresses.get(key)
    addresses[key] = message.is_lasting
    return before is not message.is_lasting


async def _poll(callback: Callable[[tuple[str, ...]], None]) -> None:
    """Look from time to time, where nobody tells."""
    loop = asyncio.get_running_loop()
    known: tuple[str, ...] = ()
    while True:
        found: dict[str, None] = {}
        for target in _FAR_AWAY:
            with suppress(OSError):  # no way there
                found[source_towards(target)] = None
        with suppress(OSError):  # no name, or nobody who knows it
            for *_, sockaddr in await loop.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM):
                found[address_of(sockaddr)[0]] = None
        # Nobody names some of them now, for want of a name service perhaps; they are gone when the system says so.
        found.update((address, None) for address in known if address not in found and _is_ours(address))
        known = tuple(address for address in found if in_scope(address, address))
        callback(known)
        await asyncio.sleep(_POLL_INTERVAL)


def _is_ours(address: str) -> bool:
    """Return whether this is an address of the machine: also where there are no sockets to ask the system with."""
    try:
        with socket.socket(socket.AF_INET if is_ipv4(address) else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(sockaddr_of((address, 0)))
    except OSError as exc:
        return exc.errno in EXHAUSTED
    return True
