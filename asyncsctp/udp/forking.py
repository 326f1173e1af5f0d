"""A forked child has no part in the associations of its parent: what it has of their sockets is closed.

Both would read from the same sockets, and a child that ends, by `sys.exit` for instance, would abort associations that
its parent uses. Knows sockets, and which loop watches which descriptor.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary, ref

_Watch = tuple["ref[asyncio.AbstractEventLoop]", int, Callable[[], object] | None]

#: By socket: the loop that watches it, by which descriptor, and what closes that if it is not the socket's own.
_SOCKETS: Final[WeakKeyDictionary[socket.socket, _Watch]] = WeakKeyDictionary()


def keep_to_this_process(
    sock: socket.socket, loop: asyncio.AbstractEventLoop, watched: int, close_poller: Callable[[], object] | None = None
) -> None:
    """Close a socket, and what it is watched by, in every child that is forked from now on."""
    _SOCKETS[sock] = (ref(loop), watched, close_poller)


def _leave_to_the_parent() -> None:
    """Close first, and forget then: what a loop forgets in the child must not go from the epoll that it shares."""
    for sock, (known, watched, close_poller) in list(_SOCKETS.items()):
        if close_poller is not None:
            close_poller()
        sock.close()
        loop = known()
        if loop is not None:
            with suppress(Exception):  # it may be closed, or one that does not expect to live in two processes
                loop.remove_reader(watched)
                loop.remove_writer(watched)
    _SOCKETS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
