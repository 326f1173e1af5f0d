"""Endpoints that are closed, and answer for a moment still (RFC 9260 section 8.4 rule 5).

Who sends the SHUTDOWN COMPLETE ends first, and it may be lost: the peer then asks again, by its SHUTDOWN ACK. An
endpoint whose UDP port the system has chosen keeps its socket for that. Nobody waits for it, nothing holds up the end
of the loop, and whoever opens an endpoint at this very port gets it at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, final
from weakref import WeakKeyDictionary, finalize

from .engine import Engine

#: Seconds, however long a round trip takes.
LONGEST: Final = 10.0
#: In one loop; the oldest ends for the next. A program that connects often needs its files.
_MOST: Final = 32


@final
class Lingering:
    """An endpoint that is closed and still answers. Its loop keeps it: with that its sockets go, if not before."""

    def __init__(self, engine: Engine, seconds: float, leave: Callable[[], None]) -> None:
        """Let the endpoint answer for so many seconds, and call `leave` then."""
        mine = _of(engine.loop)
        if len(mine) >= _MOST:
            mine[0].end()
        engine.is_lingering = engine.sockets.are_expendable = True
        self.engine = engine
        self._leave = leave
        self._handle = engine.loop.call_later(seconds, self.end)
        self._last = finalize(self, _close, engine.sockets.all_there_are())
        _LINGERING[self] = None

    def end(self) -> None:
        """Close its sockets now. Idempotent."""
        if self._last.detach() is not None:
            self._handle.cancel()
            _LINGERING.pop(self, None)
            self._leave()


#: Of all loops, the oldest first; each touches its own.
_LINGERING: Final[WeakKeyDictionary[Lingering, None]] = WeakKeyDictionary()


def _close(sockets: tuple[Any, ...]) -> None:
    for sock in sockets:
        if isinstance(sock, socket.socket):
            sock.close()


def _of(loop: asyncio.AbstractEventLoop) -> list[Lingering]:
    return [each for each in list(_LINGERING) if each.engine.loop is loop]


async def give_way(loop: asyncio.AbstractEventLoop, udp_port: int) -> None:
    """Close the sockets of those that only linger at this UDP port, which is wanted."""
    for lingering in _of(loop):
        if lingering.engine.sockets.udp_port == udp_port:
            lingering.end()
            await lingering.engine.sockets.wait_closed()
