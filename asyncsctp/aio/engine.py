"""Moves packets between the sockets and the core of an endpoint, and calls the core when its time has come.

Knows the clock and the loop. What packets mean is known to `endpoint.endpoint` and below.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from math import inf
from typing import Final, final

from ..association.association import Association as Core
from ..association.invariants import check
from ..association.outbox import Outbox
from ..config import Config
from ..endpoint.endpoint import Endpoint as CoreEndpoint
from ..handlers.paths.icmp import is_quoted
from ..paths.route import Route
from ..udp.datagram import Address
from .sockets import Sockets

#: Written so much in one turn of the loop: it goes out at once, and is on its way while the program writes on.
_FLUSH_AT: Final = 64 * 1024


@final
class Engine:
    """The loop, the clock and the sockets of one endpoint; and its core, once the sockets are bound."""

    __slots__ = (
        "_flush_handle",
        "_handle",
        "_handle_at",
        "_is_debugging",
        "_is_stopped",
        "_slack",
        "_unflushed",
        "core",
        "is_ending",
        "is_lingering",
        "loop",
        "now",
        "on_socket_lost",
        "outbox",
        "sockets",
    )

    core: CoreEndpoint  # from `begin` on, as is the next
    on_socket_lost: Callable[[Exception], None]

    def __init__(
        self, loop: asyncio.AbstractEventLoop, config: Config, open_socket: Callable[[Address, int], socket.socket]
    ) -> None:
        """Bind the `sockets`, then `begin`."""
        self.loop = loop
        self.outbox = Outbox()
        self.sockets = Sockets(self, config, open_socket)
        self._flush_handle: asyncio.Handle | None = None  # for what was written in this turn of the loop
        self._unflushed = 0  # bytes
        self._handle: asyncio.TimerHandle | None = None  # for the earliest of all timers
        self._handle_at = inf
        self._is_stopped = False
        self.is_ending = False  # the sockets are closed, or will be as soon as what is in hand has left
        self.is_lingering = False  # closed for all but late packets; `stop` follows, or the end of the loop
        self._is_debugging = loop.get_debug()
        # The time of uvloop has a resolution of 1 ms, and its timers may fire that much early.
        is_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
        self.now: Callable[[], float] = time.monotonic if is_uvloop else loop.time
        self._slack = 0.001 if is_uvloop else 0.0

    def begin(self, core: CoreEndpoint, on_socket_lost: Callable[[Exception], None]) -> None:
        """Take packets to this core, which had to know what the sockets have been granted; tell who has it of one that
        fails.
        """
        self.core = core
        self.on_socket_lost = on_socket_lost
        core.statistics.send_failures = self.sockets.failures

    def receive(self, datagrams: list[bytes], route: Route, congestion_experienced: bool) -> None:
        """Take in datagrams; `flush` follows."""
        self.core.receive_batch(datagrams, route, self.now(), congestion_experienced)

    def flush(self, core: Core | None = None) -> None:
        """Send what is to be sent, of this association and of all that have been touched; and set the timer.

        While all sockets are full nothing is taken from the core: there it waits in order, and retransmissions don't
        pile up.
        """
        if core is not None:
            self.core.touch(core)
        if self._is_stopped or (self.sockets.full and self.sockets.is_full):
            return
        self._send()
        # The one handle for all timers is only moved to an earlier time, and looks again if it is too soon.
        when = self.core.next_expiry
        if when < self._handle_at:
            if self._handle is not None:
                self._handle.cancel()
            self._handle_at = when
            self._handle = self.loop.call_at(when + self._slack, self._expire)

    def _send(self) -> None:
        self._unflushed = 0
        self.core.flush(self.now())
        if self.outbox.runs:
            self.sockets.send(self.outbox.take())
        if self._is_debugging:
            for association in self.core.associations:
                check(association)

    def flush_soon(self, core: Core, size: int = 0) -> None:
        """Flush at the end of this turn of the loop, together with what else is written in it."""
        self.core.touch(core)
        self._unflushed += size
        if self._unflushed >= _FLUSH_AT:
            self.flush()
        elif self._flush_handle is None:
            self._flush_handle = self.loop.call_soon(self._flush_written)

    def _flush_written(self) -> None:
        self._flush_handle = None
        self.flush()

    def _expire(self) -> None:
        self._handle = None
        self._handle_at = inf
        now = self.now()
        if self.core.next_expiry <= now:
            self.core.expire(now)
        self.flush()

    def on_segmentation(self, works: bool) -> None:
        """Note whether each of the sockets sends several packets of one size in one system call."""
        self.outbox.merges_equal = works

    def on_error(self, route: Route, error: OSError) -> None:
        """Tell associations that a packet was too large, or by ICMP that it did not arrive; that is never fatal.

        Of ICMP that does not prove what it is about (RFC 9260 section 10) nobody is told. What the system says of a
        path's size is for all that use it. Other refusals are not even for their sender: the packet counts as lost.
        """
        now = self.now()
        quoted: bytes = getattr(error, "quoted", b"")
        mtu: int | None = getattr(error, "mtu", None)
        is_icmp = getattr(error, "icmp", None) is not None
        port, tag = int.from_bytes(quoted[2:4]), int.from_bytes(quoted[4:8])
        sender = self.core.find(route.address, port, tag) if quoted else None
        concerned: list[Core] = []
        if not is_icmp:
            if sender is not None:
                sender.statistics.send_failures += getattr(error, "count", 1)
            if mtu is not None:
                concerned = [core for core in self.core.associations if core.path_manager.find(route.address)]
        elif sender is not None and is_quoted(sender.context, quoted):
            concerned = [sender]
        for core in concerned:
            if mtu is not None:
                core.on_message_size(route, mtu, now)
                path = core.path_manager.find(route.address)
                if path is not None:
                    self.sockets.narrow(route.address, path.mtu)
            elif error.errno == errno.ECONNREFUSED:
                core.on_unreachable(route, quoted, now)
            self.core.touch(core)
        self.flush()

    @property
    def is_stopped(self) -> bool:
        """Whether the endpoint is closed, and stays so."""
        return self._is_stopped or self.is_lingering

    async def wait_ended(self) -> None:
        """Wait until the sockets are closed, if they are to be."""
        if self.is_ending:
            await self.sockets.wait_closed()

    def stop(self) -> None:
        """Send what is to be sent, and close the sockets."""
        self._send()
        self._is_stopped = self.is_ending = True
        for handle in (self._handle, self._flush_handle):
            if handle is not None:
                handle.cancel()
        self.sockets.close()
