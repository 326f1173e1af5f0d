"""Endpoints that are closed, and answer for a moment still (RFC 9260 section 8.4 rule 5).

Who sends the SHUTDOWN COMPLETE ends first, and it may be lost: the peer then asks again, by its SHUTDOWN ACK. An
endpoint whose UDP port the system has chosen keeps its socket for that. Nobody waits for it, nothing holds up the end
of the loop, and whoever opens an endpoint at this very port gets it at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final
from weakref import ReferenceType, finalize, ref

if TYPE_CHECKING:
    from .engine import Engine

#: Seconds, however long a round trip takes.
LONGEST: Final = 10.0
#: In one loop; the one that has stayed longest leaves for the next. A program that connects often needs its files.
_MOST: Final = 32


@final
class Stay:
    """One endpoint, and what lets it leave. It is its loop that keeps it: with that its sockets go, if not before."""

    __slots__ = ("__weakref__", "_handle", "_last", "_leave", "engine")

    def __init__(self, engine: Engine, seconds: float, leave: Callable[[], None]) -> None:
        self.engine = engine
        self._leave = leave
        self._handle = engine.loop.call_later(seconds, self.end)
        self._last = finalize(self, _close, engine.sockets.all_there_are())

    def end(self) -> None:
        """It leaves now."""
        self._last.detach()
        self._handle.cancel()
        _STAYS[:] = [known for known in _STAYS if known() not in (None, self)]
        self._leave()


#: Of all loops, the oldest first; each touches its own.
_STAYS: Final[list[ReferenceType[Stay]]] = []


def _close(sockets: tuple[Any, ...]) -> None:
    for sock in sockets:
        if isinstance(sock, socket.socket):
            sock.close()


def _of(loop: asyncio.AbstractEventLoop) -> list[Stay]:
    return [stay for known in _STAYS if (stay := known()) is not None and stay.engine.loop is loop]


def linger(engine: Engine, seconds: float, leave: Callable[[], None]) -> Stay:
    """Let an endpoint that is closed answer for so long, and call `leave` then."""
    mine = _of(engine.loop)
    if len(mine) >= _MOST:
        mine[0].end()
    stay = Stay(engine, seconds, leave)
    _STAYS.append(ref(stay))
    return stay


async def give_way(loop: asyncio.AbstractEventLoop, udp_port: int) -> None:
    """This UDP port is wanted: those that only linger there leave."""
    for stay in _of(loop):
        if stay.engine.sockets.udp_port == udp_port:
            stay.end()
            await stay.engine.sockets.wait_closed()
